/* SPDX-License-Identifier: Apache-2.0
 * The sink: what importers hand over goes through a heap by time, as ends of calls are not written down
 * in order, and out of it into the recorder's tables, cut and sealed at whole seconds as the recorder
 * does it.
 *
 *   importer -> pending (heap, PENDING_MAX or PENDING_BYTES_MAX) -> rows -> chunk, seal
 *
 * What comes later than a seal that is written already is flagged late and counted.
 */
#include "format/import/sink.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/chunk.h"
#include "format/trace/sysname.h"

#define SECOND 1000000000ull
#define PENDING_MAX 65536u
#define PENDING_BYTES_MAX ((size_t)64 << 20)
#define FACTS_MAX 32
#define SMALL_ROWS 4096u
#define CLOCK_EVERY_NS (10 * SECOND)

enum kind { CALL, PROCESS, PACKET };

struct pending {
    uint64_t ts_ns, seq;
    enum kind kind;
    size_t bytes; /* of item */
    void *item;   /* owned: a struct kymo_import_* with its texts behind it */
};

struct account {
    const char *source;
    uint64_t stored, late;
    bool used;
};

struct kymo_sink {
    struct kymo_writer *w; /* borrowed */
    uint32_t chunk_rows;
    struct kymo_rows *calls, *processes, *packets, *small[4];
    struct kymo_tasks *tasks;
    struct kymo_keys *keys;
    struct pending *heap; /* [cap_heap] */
    size_t n_heap, cap_heap, heap_bytes;
    uint64_t seq;
    struct account account[3];
    uint64_t seal_ns, next_seal_ns, next_clock_ns, last_ns;
    bool begun, real_time;
    const char *fact[FACTS_MAX];
    size_t n_facts;
    uint32_t pid;
    struct kymo_sink_totals totals;
};

enum { CONTEXT, CLOCK, LOSS, SYSNAME };

/* ---- life --------------------------------------------------------------------------------------- */

static kymo_status open_rows(struct kymo_sink *s, struct kymo_err *err)
{
    static const struct kymo_schema *const small[] = {
        [CONTEXT] = &KYMO_TABLE_CONTEXT,
        [CLOCK] = &KYMO_TABLE_CLOCK,
        [LOSS] = &KYMO_TABLE_LOSS,
        [SYSNAME] = &KYMO_TABLE_SYSNAME,
    };
    KYMO_TRY(kymo_rows_open(&s->calls, &KYMO_TABLE_SYSCALL, s->chunk_rows, err));
    KYMO_TRY(kymo_rows_open(&s->processes, &KYMO_TABLE_PROCESS, SMALL_ROWS, err));
    for (size_t i = 0; i < KYMO_COUNT_OF(small); i++)
        KYMO_TRY(kymo_rows_open(&s->small[i], small[i], SMALL_ROWS, err));
    KYMO_TRY(kymo_tasks_open(&s->tasks, err));
    KYMO_TRY(kymo_keys_open(&s->keys, err));
    return KYMO_OK;
}

kymo_status kymo_sink_open(struct kymo_sink **out, struct kymo_writer *w, uint32_t chunk_rows,
                           struct kymo_err *err)
{
    struct kymo_sink *s = calloc(1, sizeof(*s));
    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    s->w = w;
    s->chunk_rows = chunk_rows ? chunk_rows : KYMO_CHUNK_ROWS_MAX;
    s->account[CALL].source = "syscall";
    s->account[PROCESS].source = "process";
    s->account[PACKET].source = "packet";
    s->totals.ts_min_ns = UINT64_MAX;
    const kymo_status status = open_rows(s, err);
    if (status) {
        kymo_sink_close(s);
        return status;
    }
    *out = s;
    return KYMO_OK;
}

void kymo_sink_close(struct kymo_sink *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_heap; i++)
        free(s->heap[i].item);
    free(s->heap);
    kymo_rows_close(s->calls);
    kymo_rows_close(s->processes);
    kymo_rows_close(s->packets);
    for (size_t i = 0; i < KYMO_COUNT_OF(s->small); i++)
        kymo_rows_close(s->small[i]);
    kymo_tasks_close(s->tasks);
    kymo_keys_close(s->keys);
    free(s);
}

const struct kymo_sink_totals *kymo_sink_totals(const struct kymo_sink *s)
{
    return &s->totals;
}

void kymo_sink_real_time(struct kymo_sink *s)
{
    s->real_time = true;
}

/* ---- chunks and seals ----------------------------------------------------------------------------- */

static kymo_status cut(struct kymo_sink *s, struct kymo_rows *r, uint32_t flags,
                       struct kymo_err *err)
{
    if (!r || !r->n_rows)
        return KYMO_OK;
    const struct kymo_batch b = kymo_rows_view(r);
    KYMO_TRY(kymo_writer_put(s->w, &b, flags, err));
    kymo_rows_clear(r);
    return KYMO_OK;
}

/* Names come before the calls that bear them: a name that only this file has is not known elsewhere. */
static kymo_status cut_calls(struct kymo_sink *s, struct kymo_err *err)
{
    KYMO_TRY(cut(s, s->small[SYSNAME], 0, err));
    KYMO_TRY(cut(s, s->calls, 0, err));
    kymo_tasks_next_chunk(s->tasks);
    kymo_keys_next_chunk(s->keys);
    return KYMO_OK;
}

/* Room for a row of a small table. */
static kymo_status small_row(struct kymo_sink *s, struct kymo_rows *r, uint32_t *row,
                             struct kymo_err *err)
{
    if (kymo_rows_full(r))
        KYMO_TRY(cut(s, r, 0, err));
    *row = kymo_rows_add(r);
    return KYMO_OK;
}

static kymo_status clock_row(struct kymo_sink *s, uint64_t ts_ns, struct kymo_err *err)
{
    uint32_t i;
    if (!s->real_time)
        return KYMO_OK;
    KYMO_TRY(small_row(s, s->small[CLOCK], &i, err));
    kymo_rows_set(s->small[CLOCK], KYMO_CLOCK_TS, i, ts_ns);
    kymo_rows_set(s->small[CLOCK], KYMO_CLOCK_BOOT, i, ts_ns);
    kymo_rows_set(s->small[CLOCK], KYMO_CLOCK_REAL, i, ts_ns);
    return KYMO_OK;
}

static kymo_status account_row(struct kymo_sink *s, struct account *a, uint64_t ts_ns,
                               struct kymo_err *err)
{
    struct kymo_rows *r = s->small[LOSS];
    uint32_t i;
    KYMO_TRY(small_row(s, r, &i, err));
    kymo_rows_set(r, KYMO_LOSS_TS, i, ts_ns);
    kymo_rows_set_str(r, KYMO_LOSS_SOURCE, i, a->source, strlen(a->source));
    kymo_rows_set(r, KYMO_LOSS_SEEN, i, a->stored);
    kymo_rows_set(r, KYMO_LOSS_STORED, i, a->stored);
    kymo_rows_set(r, KYMO_LOSS_LATE, i, a->late);
    a->stored = a->late = 0;
    return KYMO_OK;
}

static kymo_status seal(struct kymo_sink *s, uint64_t ts_ns, struct kymo_err *err)
{
    KYMO_TRY(cut_calls(s, err));
    KYMO_TRY(cut(s, s->processes, 0, err));
    KYMO_TRY(cut(s, s->packets, 0, err));
    if (ts_ns >= s->next_clock_ns) {
        KYMO_TRY(clock_row(s, ts_ns, err));
        s->next_clock_ns = ts_ns < UINT64_MAX - CLOCK_EVERY_NS ? ts_ns + CLOCK_EVERY_NS : ts_ns;
    }
    KYMO_TRY(cut(s, s->small[CONTEXT], 0, err));
    KYMO_TRY(cut(s, s->small[CLOCK], 0, err));
    for (size_t i = 0; i < KYMO_COUNT_OF(s->account); i++)
        if (s->account[i].used)
            KYMO_TRY(account_row(s, &s->account[i], ts_ns, err));
    s->seal_ns = ts_ns;
    return cut(s, s->small[LOSS], KYMO_CHUNK_SEAL, err);
}

/* The whole second after ts. */
static uint64_t second_after(uint64_t ts_ns)
{
    const uint64_t start = ts_ns - ts_ns % SECOND;
    return start < UINT64_MAX - SECOND ? start + SECOND : UINT64_MAX;
}

/* The seal that lies before ts, if one is due. Seconds without rows are passed over: the reader
 * knows from the next row that they were empty. */
static kymo_status advance(struct kymo_sink *s, uint64_t ts_ns, struct kymo_err *err)
{
    if (!s->begun) {
        s->begun = true;
        struct kymo_rows *facts = s->small[CONTEXT];
        for (uint32_t i = 0; i < facts->n_rows; i++)
            kymo_rows_set(facts, KYMO_CONTEXT_TS, i, ts_ns);
        KYMO_TRY(clock_row(s, ts_ns, err));
        KYMO_TRY(cut(s, s->small[CLOCK], 0, err));
        KYMO_TRY(cut(s, s->small[CONTEXT], 0, err));
        s->next_seal_ns = second_after(ts_ns);
        s->next_clock_ns = ts_ns < UINT64_MAX - CLOCK_EVERY_NS ? ts_ns + CLOCK_EVERY_NS : ts_ns;
    }
    if (ts_ns < s->next_seal_ns)
        return KYMO_OK;
    KYMO_TRY(seal(s, s->next_seal_ns, err));
    s->next_seal_ns = second_after(ts_ns);
    return KYMO_OK;
}

/* ---- rows ------------------------------------------------------------------------------------------- */

static kymo_status name_row(struct kymo_sink *s, uint32_t arch, uint32_t nr,
                            struct kymo_err *err)
{
    const char *name = kymo_keys_name(s->keys, arch, nr);
    uint32_t i;
    if (!name)
        return KYMO_OK;
    KYMO_TRY(small_row(s, s->small[SYSNAME], &i, err));
    kymo_rows_set(s->small[SYSNAME], KYMO_SYSNAME_ARCH, i, arch);
    kymo_rows_set(s->small[SYSNAME], KYMO_SYSNAME_NR, i, nr);
    kymo_rows_set_str(s->small[SYSNAME], KYMO_SYSNAME_NAME, i, name, strlen(name));
    return KYMO_OK;
}

/* The chunk's key of a call; UINT16_MAX when the chunk is full. */
static kymo_status key_of(struct kymo_sink *s, const struct kymo_import_call *c, uint16_t *key,
                          struct kymo_err *err)
{
    int is_new, in_chunk;
    KYMO_TRY(kymo_keys_find(s->keys, c->arch, c->nr, key, &in_chunk, &is_new, err));
    if (is_new)
        KYMO_TRY(name_row(s, c->arch, c->nr, err));
    if (in_chunk)
        return KYMO_OK;
    *key = kymo_rows_add_key(s->calls);
    if (*key == UINT16_MAX)
        return KYMO_OK;
    s->calls->lane[KYMO_SYSCALL_ARCH][*key] = c->arch;
    s->calls->lane[KYMO_SYSCALL_NR][*key] = c->nr;
    kymo_keys_set(s->keys, c->arch, c->nr, *key);
    return KYMO_OK;
}

static bool dictionary_has_room(const struct kymo_rows *r)
{
    return r->str_bytes.n < KYMO_CHUNK_STR_BYTES_MAX - (1u << 20) &&
           r->n_str < KYMO_CHUNK_STRINGS_MAX - 16;
}

static kymo_status write_call(struct kymo_sink *s, const struct kymo_import_call *c,
                              struct kymo_err *err)
{
    uint32_t task = UINT32_MAX;
    uint16_t key = UINT16_MAX;
    if (kymo_rows_full(s->calls) || !dictionary_has_room(s->calls))
        KYMO_TRY(cut_calls(s, err));
    for (int again = 0; again < 2; again++) {
        KYMO_TRY(key_of(s, c, &key, err));
        KYMO_TRY(kymo_tasks_row(s->tasks, s->calls, c, &task, err));
        if (key != UINT16_MAX && task != UINT32_MAX)
            break;
        KYMO_TRY(cut_calls(s, err));
    }
    const uint32_t i = kymo_rows_add(s->calls);
    s->calls->task[i] = task;
    s->calls->key[i] = key;
    kymo_sink_fill_call(s->calls, i, c);
    s->totals.calls++;
    return KYMO_OK;
}

static kymo_status write_process(struct kymo_sink *s, const struct kymo_import_process *p,
                                 struct kymo_err *err)
{
    struct kymo_rows *r = s->processes;
    struct kymo_task t;
    uint32_t i;
    KYMO_TRY(kymo_tasks_learn(s->tasks, p, &t, err));
    if (!dictionary_has_room(r))
        KYMO_TRY(cut(s, r, 0, err));
    KYMO_TRY(small_row(s, r, &i, err));
    kymo_sink_fill_process(r, i, p, &t);
    s->totals.processes++;
    return KYMO_OK;
}

static kymo_status write_packet(struct kymo_sink *s, const struct kymo_import_packet *p,
                                struct kymo_err *err)
{
    uint32_t i;
    if (!s->packets)
        KYMO_TRY(kymo_rows_open(&s->packets, &KYMO_TABLE_PACKET, s->chunk_rows, err));
    struct kymo_rows *r = s->packets;
    if (!dictionary_has_room(r))
        KYMO_TRY(cut(s, r, 0, err));
    KYMO_TRY(small_row(s, r, &i, err));
    kymo_sink_fill_packet(r, i, p);
    s->totals.packets++;
    return KYMO_OK;
}

/* ---- the heap --------------------------------------------------------------------------------------- */

static bool before(const struct pending *a, const struct pending *b)
{
    return a->ts_ns != b->ts_ns ? a->ts_ns < b->ts_ns : a->seq < b->seq;
}

static void sift_up(struct kymo_sink *s, size_t i)
{
    const struct pending moving = s->heap[i];
    while (i && before(&moving, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = moving;
}

static void sift_down(struct kymo_sink *s)
{
    const struct pending moving = s->heap[0];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->n_heap)
            break;
        if (child + 1 < s->n_heap && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &moving))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = moving;
}

/* The oldest of what is held becomes a row. */
static kymo_status pop(struct kymo_sink *s, struct kymo_err *err)
{
    const struct pending p = s->heap[0];
    s->heap[0] = s->heap[--s->n_heap];
    sift_down(s);
    s->heap_bytes -= p.bytes;
    kymo_status status = advance(s, p.ts_ns, err);
    struct account *a = &s->account[p.kind];
    const bool late = p.ts_ns < s->seal_ns;
    a->used = true;
    a->stored++;
    a->late += late;
    s->totals.late += late;
    s->last_ns = p.ts_ns > s->last_ns ? p.ts_ns : s->last_ns;
    if (late && p.kind == CALL)
        ((struct kymo_import_call *)p.item)->flags |= KYMO_CALL_LATE;
    if (!status)
        status = p.kind == CALL      ? write_call(s, p.item, err)
                 : p.kind == PROCESS ? write_process(s, p.item, err)
                                     : write_packet(s, p.item, err);
    free(p.item);
    return status;
}

/* Take over an item that has its texts behind it. */
static kymo_status push(struct kymo_sink *s, enum kind kind, uint64_t ts_ns, void *item,
                        size_t bytes, struct kymo_err *err)
{
    if (s->n_heap == s->cap_heap) {
        const size_t cap = s->cap_heap ? 2 * s->cap_heap : 64;
        struct pending *grown = realloc(s->heap, cap * sizeof(*grown));
        if (!grown) {
            free(item);
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
        }
        s->heap = grown;
        s->cap_heap = cap;
    }
    s->heap[s->n_heap++] = (struct pending){ts_ns, s->seq++, kind, bytes, item};
    sift_up(s, s->n_heap - 1);
    s->heap_bytes += bytes;
    if (ts_ns < s->totals.ts_min_ns)
        s->totals.ts_min_ns = ts_ns;
    if (ts_ns > s->totals.ts_max_ns)
        s->totals.ts_max_ns = ts_ns;
    while (s->n_heap > PENDING_MAX || (s->n_heap && s->heap_bytes > PENDING_BYTES_MAX))
        KYMO_TRY(pop(s, err));
    return KYMO_OK;
}

/* A copy of fixed[fixed_bytes] with the texts that `text` (inside the copy) points at behind it. Long
 * texts are cut as the recorder cuts them. */
static void *copy_item(const void *fixed, size_t fixed_bytes, const size_t *text_at,
                       size_t n_texts, size_t *bytes)
{
    size_t total = fixed_bytes;
    for (size_t k = 0; k < n_texts; k++) {
        const struct kymo_text *t = (const void *)((const uint8_t *)fixed + text_at[k]);
        total += t->p ? (t->n < KYMO_IMPORT_TEXT_MAX ? t->n : KYMO_IMPORT_TEXT_MAX) : 0;
    }
    uint8_t *copy = malloc(total);
    if (!copy)
        return NULL;
    memcpy(copy, fixed, fixed_bytes);
    uint8_t *to = copy + fixed_bytes;
    for (size_t k = 0; k < n_texts; k++) {
        struct kymo_text *t = (void *)(copy + text_at[k]);
        if (!t->p)
            continue;
        t->n = t->n < KYMO_IMPORT_TEXT_MAX ? t->n : KYMO_IMPORT_TEXT_MAX;
        if (t->n)
            memcpy(to, t->p, t->n);
        t->p = (const char *)to;
        to += t->n;
    }
    *bytes = total;
    return copy;
}

#define TEXT(type, field) offsetof(struct kymo_import_##type, field)

static kymo_status take(struct kymo_sink *s, enum kind kind, uint64_t ts_ns, const void *fixed,
                        size_t fixed_bytes, const size_t *text_at, size_t n_texts,
                        struct kymo_err *err)
{
    size_t bytes;
    void *item = copy_item(fixed, fixed_bytes, text_at, n_texts, &bytes);
    if (!item)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    return push(s, kind, ts_ns, item, bytes, err);
}

kymo_status kymo_sink_call(struct kymo_sink *s, const struct kymo_import_call *c,
                           struct kymo_err *err)
{
    static const size_t text[] = {TEXT(call, path), TEXT(call, path2), TEXT(call, addr),
                                  TEXT(call, comm)};
    return take(s, CALL, c->ts_ns, c, sizeof(*c), text, KYMO_COUNT_OF(text), err);
}

kymo_status kymo_sink_process(struct kymo_sink *s, const struct kymo_import_process *p,
                              struct kymo_err *err)
{
    static const size_t text[] = {TEXT(process, comm), TEXT(process, exe), TEXT(process, argv)};
    return take(s, PROCESS, p->ts_ns, p, sizeof(*p), text, KYMO_COUNT_OF(text), err);
}

kymo_status kymo_sink_packet(struct kymo_sink *s, const struct kymo_import_packet *p,
                             struct kymo_err *err)
{
    static const size_t text[] = {TEXT(packet, iface), TEXT(packet, src), TEXT(packet, dst)};
    return take(s, PACKET, p->ts_ns, p, sizeof(*p), text, KYMO_COUNT_OF(text), err);
}

kymo_status kymo_sink_fact(struct kymo_sink *s, const char *key, const char *value,
                           struct kymo_err *err)
{
    struct kymo_rows *r = s->small[CONTEXT];
    uint32_t i;
    for (size_t k = 0; k < s->n_facts; k++)
        if (strcmp(s->fact[k], key) == 0)
            return KYMO_OK;
    if (s->n_facts < FACTS_MAX)
        s->fact[s->n_facts++] = key;
    KYMO_TRY(small_row(s, r, &i, err));
    kymo_rows_set(r, KYMO_CONTEXT_TS, i, s->last_ns);
    kymo_rows_set_str(r, KYMO_CONTEXT_KEY, i, key, strlen(key));
    kymo_rows_set_str(r, KYMO_CONTEXT_VALUE, i, value, strlen(value));
    return KYMO_OK;
}

uint32_t kymo_sink_fresh_pid(struct kymo_sink *s)
{
    return ++s->pid;
}

kymo_status kymo_sink_thread(struct kymo_sink *s, uint32_t tid, uint32_t pid,
                             struct kymo_err *err)
{
    return kymo_tasks_thread(s->tasks, tid, pid, err);
}

uint32_t kymo_sink_pid(const struct kymo_sink *s, uint32_t tid)
{
    return kymo_tasks_pid(s->tasks, tid);
}

kymo_status kymo_sink_name(struct kymo_sink *s, uint32_t arch, const char *name, size_t n,
                           uint32_t *arch_out, uint32_t *nr, struct kymo_err *err)
{
    return kymo_keys_by_name(s->keys, arch, name, n, arch_out, nr, err);
}

kymo_status kymo_sink_finish(struct kymo_sink *s, struct kymo_err *err)
{
    while (s->n_heap)
        KYMO_TRY(pop(s, err));
    if (!s->begun) /* an empty recording is still one */
        KYMO_TRY(kymo_writer_declare(s->w, &KYMO_TABLE_SYSCALL, err));
    return seal(s, s->last_ns, err);
}
