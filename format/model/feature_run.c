/* SPDX-License-Identifier: Apache-2.0
 * feature_run.c: a capture's rows into panes.
 */
#include "format/model/feature_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/chunk.h"
#include "format/trace/reader.h"
#include "format/trace/sysname.h"

/* Bounds of what a capture can make us hold. */
#define THREADS_MAX (1u << 20) /* sequence states; past it all are forgotten */
#define SPANS_MAX 100000u

const char *const kymo_feature_tables[] = {"syscall", "process", "mark",
                                           "loss",    "clock",   "cgroup"};
const size_t kymo_feature_tables_n = KYMO_COUNT_OF(kymo_feature_tables);

kymo_status kymo_feature_open(struct kymo_feature_run **out,
                              const struct kymo_feature_spec *spec, uint32_t capture,
                              struct kymo_arena *arena, kymo_window_fn fn, void *ctx,
                              struct kymo_err *err)
{
    struct kymo_feature_run *r = calloc(1, sizeof(*r));
    if (!r)
        return kymo_feature_no_memory(err);
    r->spec = spec;
    r->capture = capture;
    r->arena = arena;
    r->fn = fn;
    r->ctx = ctx;
    r->bytes_max = KYMO_FEATURE_BYTES_MAX;
    r->step_ns = spec->step_ns;
    r->window_panes = (uint32_t)(spec->window_ns / spec->step_ns);
    for (size_t g = 0; kymo_feature_group_at(g); g++) {
        r->group[g] = kymo_feature_group_at(g);
        r->at[g] = r->acc_bytes;
        r->acc_bytes += r->group[g]->acc_bytes;
        r->n_groups++;
    }
    r->trash = calloc(1, r->acc_bytes);
    r->merged = calloc(1, r->acc_bytes);
    r->x = calloc(spec->d, sizeof(*r->x));
    r->row_acc = calloc(KYMO_CHUNK_ROWS_MAX, sizeof(*r->row_acc));
    r->task_thread = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*r->task_thread));
    r->task_pane_gen = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*r->task_pane_gen));
    r->task_entity = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*r->task_entity));
    r->kind = calloc(KYMO_CHUNK_KEYS_MAX, sizeof(*r->kind));
    r->hash = XXH3_createState();
    if (!r->trash || !r->merged || !r->x || !r->row_acc || !r->task_thread ||
        !r->task_pane_gen || !r->task_entity || !r->kind || !r->hash) {
        kymo_feature_close(r);
        return kymo_feature_no_memory(err);
    }
    XXH3_64bits_reset(r->hash);
    *out = r;
    return KYMO_OK;
}

void kymo_feature_close(struct kymo_feature_run *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->pane_n; i++)
        kymo_pane_release(r, &r->pane[(r->pane_first + i) % r->pane_cap]);
    if (r->trash)
        kymo_acc_release(r, r->trash);
    for (size_t i = 0; i < r->cgroup_n; i++)
        free(r->cgroup[i].path);
    XXH3_freeState(r->hash);
    free(r->trash);
    free(r->merged);
    free(r->x);
    free(r->pane);
    free(r->thread);
    free(r->cgroup);
    free(r->span);
    free(r->begun);
    free(r->row_acc);
    free(r->task_thread);
    free(r->task_pane_gen);
    free(r->task_entity);
    free(r->kind);
    free(r);
}

/* -- rows in ---------------------------------------------------------------------------------- */

static uint64_t lane_at(const struct kymo_batch *b, uint32_t column, const uint32_t *index,
                        uint32_t i)
{
    const uint64_t *lane = b->lane[column];
    return lane ? lane[index ? index[i] : i] : 0;
}

static void read_string(const struct kymo_batch *b, uint64_t id, const char **s, size_t *n)
{
    const int there = id < b->str.n;
    *s = there ? b->str.bytes + b->str.at[id] : "";
    *n = there ? b->str.at[id + 1] - b->str.at[id] : 0;
}

static int same_string(const struct kymo_batch *b, uint64_t id, const char *word)
{
    const char *s;
    size_t n;
    read_string(b, id, &s, &n);
    return n == strlen(word) && memcmp(s, word, n) == 0;
}

static uint32_t *find_thread(struct kymo_thread_state *t, uint32_t slots, uint64_t key,
                             uint32_t *at)
{
    *at = (uint32_t)key & (slots - 1);
    while (t[*at].used && t[*at].key != key)
        *at = (*at + 1) & (slots - 1);
    return at;
}

static kymo_status grow_threads(struct kymo_feature_run *r, struct kymo_err *err)
{
    if (r->thread_n >= THREADS_MAX / 2) {
        memset(r->thread, 0, r->thread_slots * sizeof(*r->thread));
        r->thread_n = 0;
        return KYMO_OK;
    }
    const uint32_t slots = r->thread_slots ? r->thread_slots * 2 : 1024;
    struct kymo_thread_state *t = calloc(slots, sizeof(*t));
    if (!t)
        return kymo_feature_no_memory(err);
    for (uint32_t i = 0; i < r->thread_slots; i++) {
        uint32_t at;
        if (r->thread[i].used)
            t[*find_thread(t, slots, r->thread[i].key, &at)] = r->thread[i];
    }
    free(r->thread);
    r->thread = t;
    r->thread_slots = slots;
    return KYMO_OK;
}

/* Give every task of the chunk the slot of its thread. Room for all is made first, so that no slot
 * moves while the chunk is at work. */
static kymo_status find_threads(struct kymo_feature_run *r, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    while ((uint64_t)r->thread_n + b->n_tasks >= (uint64_t)r->thread_slots / 2)
        KYMO_TRY(grow_threads(r, err));
    for (uint32_t t = 0; t < b->n_tasks; t++) {
        const uint64_t tid = lane_at(b, KYMO_SYSCALL_TID, NULL, t);
        const uint64_t start = lane_at(b, KYMO_SYSCALL_START, NULL, t);
        const uint64_t key = kymo_mix64(kymo_mix64(tid + 1) ^ start);
        uint32_t at;
        find_thread(r->thread, r->thread_slots, key, &at);
        if (!r->thread[at].used) {
            memset(&r->thread[at], 0, sizeof(r->thread[at]));
            r->thread[at].used = 1;
            r->thread[at].key = key;
            r->thread_n++;
        }
        r->task_thread[t] = at;
    }
    return KYMO_OK;
}

static void know_calls(struct kymo_feature_run *r, const struct kymo_batch *b)
{
    for (uint32_t k = 0; k < b->n_keys; k++) {
        const uint32_t arch = (uint32_t)lane_at(b, KYMO_SYSCALL_ARCH, NULL, k);
        const uint32_t nr = (uint32_t)lane_at(b, KYMO_SYSCALL_NR, NULL, k);
        const struct kymo_sysinfo *info = kymo_sysinfo(arch, nr);
        struct kymo_call_kind *kind = &r->kind[k];
        char unknown[32];
        if (!info)
            snprintf(unknown, sizeof(unknown), "%x.%u", arch, nr);
        const char *name = info ? info->name : unknown;
        kind->cls = info ? info->cls : KYMO_CLASS_OTHER;
        kind->family = kymo_call_family(name);
        kind->hash = (uint32_t)XXH3_64bits(name, strlen(name));
    }
}

static void task_who(const struct kymo_batch *b, uint32_t task, struct who *w)
{
    w->pid = lane_at(b, KYMO_SYSCALL_PID, NULL, task);
    w->start_ns = lane_at(b, KYMO_SYSCALL_START, NULL, task);
    w->execseq = lane_at(b, KYMO_SYSCALL_EXECSEQ, NULL, task);
    w->cgroup = lane_at(b, KYMO_SYSCALL_CGROUP, NULL, task);
    read_string(b, lane_at(b, KYMO_SYSCALL_COMM, NULL, task), &w->comm, &w->comm_bytes);
}

/* The entity of a task in this pane, looked up at the first row of both in the chunk. */
static kymo_status task_in_pane(struct kymo_feature_run *r, const struct kymo_batch *b,
                                uint32_t task, struct pane *p, struct kymo_err *err)
{
    struct who w = {0};
    uint32_t index;
    task_who(b, task, &w);
    kymo_entity_key(r, &w);
    KYMO_TRY(kymo_entity_get(r, p, &w, &index, err));
    for (size_t g = 0; g < r->n_groups; g++)
        if (r->group[g]->task)
            r->group[g]->task(p->entity[index].acc + r->at[g], w.pid,
                              lane_at(b, KYMO_SYSCALL_TID, NULL, task));
    r->task_entity[task].entity = index;
    r->task_pane_gen[task] = r->gen;
    return KYMO_OK;
}

/* Point every row at its accumulator. */
static kymo_status place_rows(struct kymo_feature_run *r, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    const uint64_t *ts = b->lane[KYMO_SYSCALL_TS];
    uint64_t lo = 1, hi = 0; /* bounds of the current pane; none yet */
    struct pane *p = NULL;
    memset(r->task_pane_gen, 0, b->n_tasks * sizeof(*r->task_pane_gen));
    r->gen = 0;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (ts[i] < lo || ts[i] >= hi) {
            const uint64_t index = kymo_pane_of(r, ts[i]);
            KYMO_TRY(kymo_pane_get(r, index, b->at_bytes, &p, err));
            lo = index ? r->origin_ns + index * r->step_ns : 0;
            hi = r->origin_ns + (index + 1) * r->step_ns;
            r->gen++;
        }
        if (!p) {
            r->facts.late++;
            r->row_acc[i] = r->trash;
            continue;
        }
        const uint32_t task = b->task[i];
        if (r->task_pane_gen[task] != r->gen)
            KYMO_TRY(task_in_pane(r, b, task, p, err));
        struct entity *e = &p->entity[r->task_entity[task].entity];
        e->events++;
        r->row_acc[i] = e->acc;
    }
    return KYMO_OK;
}

static kymo_status take_syscalls(struct kymo_feature_run *r, const struct kymo_batch *b,
                                 struct kymo_err *err)
{
    r->facts.rows += b->n_rows;
    know_calls(r, b);
    KYMO_TRY(find_threads(r, b, err));
    KYMO_TRY(place_rows(r, b, err));
    const struct kymo_call_rows rows = {
        .b = b,
        .kind = r->kind,
        .acc = r->row_acc,
        .thread = r->task_thread,
        .state = r->thread,
        .pane_ns = r->step_ns,
    };
    for (size_t g = 0; g < r->n_groups; g++)
        if (r->group[g]->calls)
            r->group[g]->calls(r->at[g], &rows);
    return KYMO_OK;
}

static kymo_status take_processes(struct kymo_feature_run *r, const struct kymo_batch *b,
                                  struct kymo_err *err)
{
    static const char *const kinds[] = {"fork", "exec", "exit"};
    for (uint32_t i = 0; i < b->n_rows; i++) {
        size_t kind = 0;
        while (kind < 3 && !same_string(b, lane_at(b, KYMO_PROCESS_KIND, NULL, i), kinds[kind]))
            kind++;
        if (kind == 3)
            continue;
        struct pane *p;
        KYMO_TRY(kymo_pane_get(r, kymo_pane_of(r, b->lane[KYMO_PROCESS_TS][i]), b->at_bytes, &p,
                               err));
        if (!p) {
            r->facts.late++;
            continue;
        }
        struct who w = {0};
        uint32_t index;
        w.pid = lane_at(b, KYMO_PROCESS_PID, NULL, i);
        w.start_ns = lane_at(b, KYMO_PROCESS_START, NULL, i);
        w.execseq = lane_at(b, KYMO_PROCESS_EXECSEQ, NULL, i);
        w.cgroup = lane_at(b, KYMO_PROCESS_CGROUP, NULL, i);
        read_string(b, lane_at(b, KYMO_PROCESS_COMM, NULL, i), &w.comm, &w.comm_bytes);
        kymo_entity_key(r, &w);
        KYMO_TRY(kymo_entity_get(r, p, &w, &index, err));
        for (size_t g = 0; g < r->n_groups; g++)
            if (r->group[g]->process)
                r->group[g]->process(p->entity[index].acc + r->at[g],
                                     (enum kymo_process_kind)kind);
    }
    return KYMO_OK;
}

static kymo_status add_span(struct kymo_feature_run *r, char *name, uint64_t start_ns,
                            uint64_t end_ns, struct kymo_err *err)
{
    if (r->span_n == SPANS_MAX ||
        !kymo_feature_room((void **)&r->span, &r->span_cap, r->span_n, sizeof(*r->span)))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u marks", SPANS_MAX);
    r->span[r->span_n++] = (struct kymo_span){name, start_ns, end_ns, r->capture};
    return KYMO_OK;
}

/* A mark with a duration is a span; so is a begin with the next end of its name. A point is none. */
static kymo_status take_marks(struct kymo_feature_run *r, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const uint64_t kind = lane_at(b, KYMO_MARK_KIND, NULL, i),
                       ts = b->lane[KYMO_MARK_TS][i];
        const char *s;
        size_t n;
        read_string(b, lane_at(b, KYMO_MARK_NAME, NULL, i), &s, &n);
        const uint8_t *there = b->present[KYMO_MARK_DUR];
        const uint64_t dur = !there || there[i] ? lane_at(b, KYMO_MARK_DUR, NULL, i) : 0;
        size_t m = r->begun_n;
        while (m > 0 &&
               (strlen(r->begun[m - 1].name) != n || memcmp(r->begun[m - 1].name, s, n) != 0))
            m--;
        if (same_string(b, kind, "end")) {
            if (m == 0)
                continue;
            KYMO_TRY(add_span(r, r->begun[m - 1].name, r->begun[m - 1].start_ns, ts, err));
            r->begun[m - 1] = r->begun[--r->begun_n];
            continue;
        }
        char *name = kymo_arena_str(r->arena, s, n);
        if (!name || r->begun_n == SPANS_MAX)
            return KYMO_FAIL(err, KYMO_ELIMIT, b->at_bytes, "marks pass the memory budget");
        if (dur && dur <= UINT64_MAX - ts) {
            KYMO_TRY(add_span(r, name, ts, ts + dur, err));
        } else { /* a moment too: an end of the same name may follow */
            if (!kymo_feature_room((void **)&r->begun, &r->begun_cap, r->begun_n,
                                   sizeof(*r->begun)))
                return kymo_feature_no_memory(err);
            r->begun[r->begun_n++] =
                (struct open_mark){name, ts, same_string(b, kind, "begin")};
        }
    }
    return KYMO_OK;
}

/* The counts of a loss row reach back to the seal before: every pane of that stretch has them. */
static kymo_status take_losses(struct kymo_feature_run *r, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    const int quota = kymo_schema_column(b->schema, "dropped_quota");
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const uint64_t stored = lane_at(b, KYMO_LOSS_STORED, NULL, i);
        const uint64_t dropped = lane_at(b, KYMO_LOSS_DROPPED_RING, NULL, i) +
                                 lane_at(b, KYMO_LOSS_DROPPED_NESTED, NULL, i) +
                                 lane_at(b, KYMO_LOSS_DROPPED_QUEUE, NULL, i) +
                                 (quota < 0 ? 0 : lane_at(b, (uint32_t)quota, NULL, i));
        r->facts.stored += stored;
        r->facts.dropped += dropped;
        const uint64_t ts = b->lane[KYMO_LOSS_TS][i];
        if (!dropped || ts < r->origin_ns)
            continue;
        const uint64_t from = kymo_pane_of(r, r->seal_ns);
        const uint64_t to = kymo_pane_of(r, ts > r->seal_ns ? ts - 1 : ts);
        struct pane *p;
        KYMO_TRY(kymo_pane_get(r, to, b->at_bytes, &p, err));
        for (uint64_t at = from > r->pane_first ? from : r->pane_first; at <= to && p; at++) {
            struct pane *q = &r->pane[at % r->pane_cap];
            q->seen += stored + dropped;
            q->dropped += dropped;
        }
    }
    return KYMO_OK;
}

static kymo_status take_cgroups(struct kymo_feature_run *r, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    if (r->spec->by != KYMO_BY_CGROUP)
        return KYMO_OK;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const char *s;
        size_t n;
        read_string(b, lane_at(b, KYMO_CGROUP_PATH, NULL, i), &s, &n);
        if (!kymo_feature_room((void **)&r->cgroup, &r->cgroup_cap, r->cgroup_n,
                               sizeof(*r->cgroup)))
            return kymo_feature_no_memory(err);
        char *path = strndup(s, n);
        if (!path)
            return kymo_feature_no_memory(err);
        r->cgroup[r->cgroup_n++] =
            (struct cgroup_name){lane_at(b, KYMO_CGROUP_ID, NULL, i), path};
    }
    return KYMO_OK;
}

static void take_clock(struct kymo_feature_run *r, const struct kymo_batch *b)
{
    const uint32_t last = b->n_rows - 1;
    r->has_clock = 1;
    r->clock_ns = b->lane[KYMO_CLOCK_TS][last];
    r->clock_real_ns = lane_at(b, KYMO_CLOCK_REAL, NULL, last);
}

struct table {
    const char *name;
    const struct kymo_schema *schema; /* the columns that indexes mean */
    uint32_t n_columns;               /* that must be there: those of the first version */
    kymo_status (*take)(struct kymo_feature_run *, const struct kymo_batch *,
                        struct kymo_err *);
    int sets_origin;
};

static kymo_status take_clock_rows(struct kymo_feature_run *r, const struct kymo_batch *b,
                                   struct kymo_err *err)
{
    (void)err;
    take_clock(r, b);
    return KYMO_OK;
}

static const struct table tables[] = {
    {"syscall", &KYMO_TABLE_SYSCALL, KYMO_SYSCALL_COLUMNS, take_syscalls, 1},
    {"process", &KYMO_TABLE_PROCESS, KYMO_PROCESS_CODE + 1, take_processes, 0},
    {"mark", &KYMO_TABLE_MARK, KYMO_MARK_COLUMNS, take_marks, 0},
    {"loss", &KYMO_TABLE_LOSS, KYMO_LOSS_UNREAD + 1, take_losses, 1},
    {"clock", &KYMO_TABLE_CLOCK, KYMO_CLOCK_COLUMNS, take_clock_rows, 1},
    {"cgroup", &KYMO_TABLE_CGROUP, KYMO_CGROUP_COLUMNS, take_cgroups, 0},
};

/* Column indexes are those of this build's tables: refuse a table that has others, by name. */
static kymo_status check_columns(const struct table *t, const struct kymo_batch *b,
                                 struct kymo_err *err)
{
    for (uint32_t c = 0; c < t->n_columns; c++) {
        const struct kymo_column_def *want = &t->schema->column[c];
        if (c >= b->schema->n_columns || strcmp(b->schema->column[c].name, want->name) != 0 ||
            b->schema->column[c].order != want->order ||
            b->schema->column[c].type != want->type)
            return KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes,
                             "table '%s' lacks column %u '%s' where this version reads it",
                             t->name, c, want->name);
    }
    return b->lane[0]
               ? KYMO_OK
               : KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes, "table '%s' has no times", t->name);
}

static kymo_status seal(struct kymo_feature_run *r, uint64_t ts_ns, uint64_t at_bytes,
                        struct kymo_err *err)
{
    KYMO_TRY(kymo_pane_close_until(r, ts_ns, at_bytes, err));
    r->seal_ns = ts_ns;
    return KYMO_OK;
}

kymo_status kymo_feature_chunk(struct kymo_feature_run *r, const struct kymo_batch *b,
                               uint32_t flags, uint64_t body_xxh3, struct kymo_err *err)
{
    const struct table *t = tables;
    const struct table *const end = tables + KYMO_COUNT_OF(tables);
    while (t < end && strcmp(t->name, b->schema->table) != 0)
        t++;
    if (t == end || b->n_rows == 0)
        return KYMO_OK;
    KYMO_TRY(check_columns(t, b, err));
    uint8_t raw[8];
    kymo_store_u64(raw, body_xxh3);
    XXH3_64bits_update(r->hash, raw, sizeof(raw));
    if (t->sets_origin)
        kymo_pane_origin(r, b->lane[0][0]);
    else if (!r->has_origin && t->take == take_processes)
        kymo_pane_origin(r, b->lane[0][b->n_rows - 1]);
    KYMO_TRY(t->take(r, b, err));
    if (t->sets_origin && b->ts_max_ns > r->end_ns)
        r->end_ns = b->ts_max_ns;
    return flags & KYMO_CHUNK_SEAL ? seal(r, b->ts_max_ns, b->at_bytes, err) : KYMO_OK;
}

kymo_status kymo_feature_seal(struct kymo_feature_run *r, uint64_t ts_ns, struct kymo_err *err)
{
    return r->has_origin ? seal(r, ts_ns, KYMO_NOWHERE, err) : KYMO_OK;
}

void kymo_feature_bound(struct kymo_feature_run *r, size_t bytes)
{
    r->bytes_max = bytes;
}

kymo_status kymo_feature_finish(struct kymo_feature_run *r, struct kymo_capture_facts *facts,
                                struct kymo_span **spans, size_t *n_spans, struct kymo_err *err)
{
    if (r->has_origin) {
        KYMO_TRY(kymo_pane_close_until(r, r->end_ns, KYMO_NOWHERE, err));
        const uint64_t start_ns = r->origin_ns + r->pane_first * r->step_ns;
        const uint64_t have_ns = r->end_ns > start_ns ? r->end_ns - start_ns : 0;
        const uint64_t window_ns = r->spec->window_ns;
        if (have_ns >= window_ns - window_ns / 10)
            KYMO_TRY(kymo_pane_emit(r, r->pane_first, have_ns, err));
        else if (r->pane_first == 0 && r->facts.rows)
            KYMO_TRY(
                kymo_pane_emit(r, 0, have_ns > window_ns / 10 ? have_ns : window_ns / 10, err));
    }
    for (size_t i = 0; i < r->begun_n; i++)
        if (r->begun[i].is_span)
            KYMO_TRY(add_span(r, r->begun[i].name, r->begun[i].start_ns, r->end_ns, err));
    struct kymo_span *kept = KYMO_NEW(r->arena, struct kymo_span, r->span_n);
    if (!kept)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "marks pass the memory budget");
    if (r->span_n)
        memcpy(kept, r->span, r->span_n * sizeof(*kept));
    r->facts.last_ns = r->end_ns;
    r->facts.xxh3 = XXH3_64bits_digest(r->hash);
    *facts = r->facts;
    *spans = kept;
    *n_spans = r->span_n;
    return KYMO_OK;
}

kymo_status kymo_feature_read(kymo_reader *reader, const struct kymo_batch *first,
                              struct kymo_feature_run *r, struct kymo_capture_facts *facts,
                              struct kymo_span **spans, size_t *n_spans, struct kymo_err *err)
{
    const struct kymo_batch *b = first;
    int torn = 0;
    for (;;) {
        if (b) {
            const struct kymo_chunk_header *h = kymo_reader_chunk(reader);
            KYMO_TRY(kymo_feature_chunk(r, b, h->flags, h->body_xxh3, err));
        }
        const kymo_status s = kymo_reader_next(reader, &b, err);
        if (s == KYMO_ETORN) {
            torn = 1;
            break;
        }
        if (s)
            return s;
        if (!b)
            break;
    }
    KYMO_TRY(kymo_feature_finish(r, facts, spans, n_spans, err));
    facts->torn = torn;
    return KYMO_OK;
}
