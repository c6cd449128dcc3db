/* SPDX-License-Identifier: Apache-2.0
 * trace.c: the tables of a capture, row by row, into arrays by thread.
 *
 * Vectors grow by doubling and are paid from the trace's cap; texts are interned over all chunks, whose
 * dictionaries are their own. What the file says is taken for what it is: times are put in order, so that
 * a thread's calls follow each other, whatever the rows claim.
 */
#include "replay/plan/trace.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "format/base/size.h"
#include "format/trace/names.h"
#include "format/trace/reader.h"
#include "format/trace/sysname.h"
#include "replay/plan/machine.h"

#define CAP_DEFAULT ((size_t)2 << 30)
#define READER_BYTES ((size_t)256 << 20)
#define THREADS_MAX (1u << 20)
#define NONE UINT32_MAX
/* Moments behind are taken for this one: sums of a few of them, and a plan's span, stay in bounds. */
#define LAST_NS (((uint64_t)1 << 62) - ((uint64_t)1 << 48))

/* A growing array; bytes are counted in `load`. */
struct vec {
    void *p;
    size_t n, cap, item;
};

/* Open addressing: values are index + 1. */
struct map {
    uint32_t *slot;
    size_t n, slots;
};

struct load {
    struct kymo_trace t; /* first: what the caller gets is this */
    size_t cap_bytes, used_bytes;
    struct vec call, thread, process, name, fd, text, text_bytes;
    struct map texts, threads, processes;
    uint32_t *word; /* text of each string of the batch, NONE: not yet */
    uint32_t *here; /* thread of each task of the batch */
    size_t words, heres;
    struct kymo_names *names;
    uint32_t *comm_now; /* by thread: the name it has */
    size_t comm_cap;
    struct kymo_err *err;
};

static kymo_status too_much(struct load *l)
{
    return KYMO_FAIL(l->err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the slice needs more than %zu MiB of memory; cut a smaller one",
                     l->cap_bytes >> 20);
}

static kymo_status grow(struct load *l, void **p, size_t *cap, size_t need, size_t item)
{
    if (need <= *cap)
        return KYMO_OK;
    size_t want = *cap ? *cap : 64, bytes;
    while (want < need)
        want *= 2;
    if (!kymo_size_mul(want, item, &bytes) ||
        bytes - *cap * item > l->cap_bytes - l->used_bytes)
        return too_much(l);
    void *q = realloc(*p, bytes);
    if (!q)
        return too_much(l);
    memset((char *)q + *cap * item, 0, bytes - *cap * item);
    l->used_bytes += bytes - *cap * item;
    *p = q;
    *cap = want;
    return KYMO_OK;
}

/* Room for one more item of v; *out is where it goes, zeroed. */
static kymo_status add(struct load *l, struct vec *v, size_t item, void *out)
{
    v->item = item;
    if (v->n >= NONE)
        return too_much(l);
    KYMO_TRY(grow(l, &v->p, &v->cap, v->n + 1, item));
    char *const place = (char *)v->p + v->n++ * item;
    memset(place, 0, item);
    *(void **)out = place;
    return KYMO_OK;
}

/* ---- maps ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    h ^= h >> 29;
    h = (h + b) * 0x94d049bb133111ebu;
    return h ^ h >> 32;
}

typedef uint64_t hash_of(const struct load *l, uint32_t index);

static kymo_status widen(struct load *l, struct map *m, hash_of *hash)
{
    if (2 * (m->n + 1) <= m->slots)
        return KYMO_OK;
    uint32_t *slot = NULL;
    size_t slots = 0;
    KYMO_TRY(grow(l, (void **)&slot, &slots, m->slots ? 2 * m->slots : 1024, sizeof(*slot)));
    for (size_t i = 0; i < m->slots; i++) {
        if (!m->slot[i])
            continue;
        size_t at = hash(l, m->slot[i] - 1) & (slots - 1);
        while (slot[at])
            at = (at + 1) & (slots - 1);
        slot[at] = m->slot[i];
    }
    l->used_bytes -= m->slots * sizeof(*m->slot);
    free(m->slot);
    m->slot = slot;
    m->slots = slots;
    return KYMO_OK;
}

static uint64_t text_hash(const struct load *l, uint32_t i)
{
    return XXH3_64bits(((char **)l->text.p)[i], ((uint32_t *)l->text_bytes.p)[i]);
}

static kymo_status intern(struct load *l, const char *s, size_t n, uint32_t *out)
{
    *out = 0;
    if (!n)
        return KYMO_OK;
    KYMO_TRY(widen(l, &l->texts, text_hash));
    size_t at = XXH3_64bits(s, n) & (l->texts.slots - 1);
    for (uint32_t id; (id = l->texts.slot[at]); at = (at + 1) & (l->texts.slots - 1))
        if (((uint32_t *)l->text_bytes.p)[id - 1] == n &&
            !memcmp(((char **)l->text.p)[id - 1], s, n)) {
            *out = id - 1;
            return KYMO_OK;
        }
    char **text;
    uint32_t *bytes;
    KYMO_TRY(add(l, &l->text, sizeof(*text), &text));
    KYMO_TRY(add(l, &l->text_bytes, sizeof(*bytes), &bytes));
    if (n + 64 > l->cap_bytes - l->used_bytes || !(*text = kymo_arena_str(&l->t.arena, s, n)))
        return too_much(l);
    l->used_bytes += n + 1;
    *bytes = (uint32_t)n;
    *out = (uint32_t)l->text.n - 1;
    l->texts.slot[at] = *out + 1;
    l->texts.n++;
    return KYMO_OK;
}

/* The text of a string cell; texts of a chunk are looked up once. */
static kymo_status cell_text(struct load *l, const struct kymo_batch *b, int c, uint32_t row,
                             uint32_t *out)
{
    *out = 0;
    if (c < 0 || !b->lane[c] || !kymo_batch_present(b, (uint32_t)c, row) ||
        b->schema->column[c].type != KYMO_T_STR || !b->str.at)
        return KYMO_OK;
    const uint64_t id = kymo_batch_lane(b, (uint32_t)c, row);
    if (id >= b->str.n)
        return KYMO_OK;
    if (l->word[id] == NONE)
        KYMO_TRY(intern(l, b->str.bytes + b->str.at[id], b->str.at[id + 1] - b->str.at[id],
                        &l->word[id]));
    *out = l->word[id];
    return KYMO_OK;
}

static uint64_t moment(uint64_t ns)
{
    return ns < LAST_NS ? ns : LAST_NS;
}

static int cell(const struct kymo_batch *b, int c, uint32_t row, uint64_t *v)
{
    *v = 0;
    if (c < 0 || !b->lane[c] || !kymo_batch_present(b, (uint32_t)c, row) ||
        b->schema->column[c].type == KYMO_T_STR)
        return 0;
    *v = kymo_batch_lane(b, (uint32_t)c, row);
    return 1;
}

static uint64_t cell_or(const struct kymo_batch *b, int c, uint32_t row, uint64_t otherwise)
{
    uint64_t v;
    return cell(b, c, row, &v) ? v : otherwise;
}

/* ---- processes and threads ---- */

static struct kymo_trace_process *process_at(const struct load *l, uint32_t i)
{
    return &((struct kymo_trace_process *)l->process.p)[i];
}

static struct kymo_trace_thread *thread_at(const struct load *l, uint32_t i)
{
    return &((struct kymo_trace_thread *)l->thread.p)[i];
}

static uint64_t process_hash(const struct load *l, uint32_t i)
{
    const struct kymo_trace_process *p = process_at(l, i);
    return mix(p->pid, p->start_ns);
}

static uint64_t thread_hash(const struct load *l, uint32_t i)
{
    const struct kymo_trace_thread *t = thread_at(l, i);
    return mix((uint64_t)t->process << 32 | 7, t->tid);
}

static kymo_status find_process(struct load *l, uint64_t pid, uint64_t start_ns, uint32_t *out)
{
    KYMO_TRY(widen(l, &l->processes, process_hash));
    size_t at = mix((uint32_t)pid, start_ns) & (l->processes.slots - 1);
    for (uint32_t id; (id = l->processes.slot[at]); at = (at + 1) & (l->processes.slots - 1)) {
        const struct kymo_trace_process *p = process_at(l, id - 1);
        if (p->pid == (uint32_t)pid && p->start_ns == start_ns) {
            *out = id - 1;
            return KYMO_OK;
        }
    }
    struct kymo_trace_process *p;
    if (l->process.n >= THREADS_MAX)
        return KYMO_FAIL(l->err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u processes",
                         THREADS_MAX);
    KYMO_TRY(add(l, &l->process, sizeof(*p), &p));
    *p = (struct kymo_trace_process){.pid = (uint32_t)pid,
                                     .parent = NONE,
                                     .leader = NONE,
                                     .start_ns = start_ns,
                                     .died_ns = UINT64_MAX};
    *out = (uint32_t)l->process.n - 1;
    l->processes.slot[at] = *out + 1;
    l->processes.n++;
    return KYMO_OK;
}

static kymo_status find_thread(struct load *l, uint64_t pid, uint64_t start_ns, uint64_t tid,
                               uint32_t *out)
{
    uint32_t process;
    KYMO_TRY(find_process(l, pid, start_ns, &process));
    KYMO_TRY(widen(l, &l->threads, thread_hash));
    size_t at = mix((uint64_t)process << 32 | 7, (uint32_t)tid) & (l->threads.slots - 1);
    for (uint32_t id; (id = l->threads.slot[at]); at = (at + 1) & (l->threads.slots - 1)) {
        const struct kymo_trace_thread *t = thread_at(l, id - 1);
        if (t->process == process && t->tid == (uint32_t)tid) {
            *out = id - 1;
            return KYMO_OK;
        }
    }
    struct kymo_trace_thread *t;
    if (l->thread.n >= THREADS_MAX)
        return KYMO_FAIL(l->err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u threads",
                         THREADS_MAX);
    KYMO_TRY(add(l, &l->thread, sizeof(*t), &t));
    *t = (struct kymo_trace_thread){.process = process, .tid = (uint32_t)tid};
    *out = (uint32_t)l->thread.n - 1;
    l->threads.slot[at] = *out + 1;
    l->threads.n++;
    if (t->tid == process_at(l, process)->pid)
        process_at(l, process)->leader = *out;
    return grow(l, (void **)&l->comm_now, &l->comm_cap, l->thread.n, sizeof(*l->comm_now));
}

/* ---- rows ---- */

struct columns {
    int ts, pid, tid, comm, start, arch, nr, flags, dur, ret, path, path2, addr, arg[6];
};

static void find_columns(const struct kymo_batch *b, struct columns *c)
{
    static const char *const arg[] = {"arg0", "arg1", "arg2", "arg3", "arg4", "arg5"};
    c->ts = kymo_batch_column(b, "ts");
    c->pid = kymo_batch_column(b, "pid");
    c->tid = kymo_batch_column(b, "tid");
    c->comm = kymo_batch_column(b, "comm");
    c->start = kymo_batch_column(b, "start");
    c->arch = kymo_batch_column(b, "arch");
    c->nr = kymo_batch_column(b, "nr");
    c->flags = kymo_batch_column(b, "flags");
    c->dur = kymo_batch_column(b, "dur");
    c->ret = kymo_batch_column(b, "ret");
    c->path = kymo_batch_column(b, "path");
    c->path2 = kymo_batch_column(b, "path2");
    c->addr = kymo_batch_column(b, "addr");
    for (int i = 0; i < 6; i++)
        c->arg[i] = kymo_batch_column(b, arg[i]);
}

static kymo_status row_thread(struct load *l, const struct kymo_batch *b,
                              const struct columns *c, uint32_t row, uint32_t *out)
{
    uint32_t *const kept = b->task ? &l->here[b->task[row]] : NULL;
    if (kept && *kept != NONE) {
        *out = *kept;
        return KYMO_OK;
    }
    const uint64_t pid = cell_or(b, c->pid, row, 0);
    KYMO_TRY(
        find_thread(l, pid, cell_or(b, c->start, row, 0), cell_or(b, c->tid, row, pid), out));
    if (kept)
        *kept = *out;
    return KYMO_OK;
}

/* Which call it is, here and there. */
static kymo_status name_call(struct load *l, const struct kymo_batch *b,
                             const struct columns *c, uint32_t row,
                             struct kymo_trace_call *call)
{
    const uint64_t arch = cell_or(b, c->arch, row, KYMO_ARCH_HERE);
    const uint64_t nr = cell_or(b, c->nr, row, UINT64_MAX);
    const int is_here = arch == KYMO_ARCH_HERE && nr < UINT16_MAX;
    /* what this machine makes of a number of its own is what counts, whatever the capture calls it */
    const struct kymo_sysinfo *const own =
        is_here ? kymo_sysinfo(KYMO_ARCH_HERE, (uint32_t)nr) : NULL;
    const char *const name = own ? own->name : kymo_names_call(l->names, arch, nr);
    call->nr = nr < UINT16_MAX ? (uint16_t)nr : UINT16_MAX;
    call->foreign = !is_here;
    call->here = (int16_t)(own ? (int)nr : name ? kymo_sysnr(KYMO_ARCH_HERE, name) : -1);
    return name ? intern(l, name, strlen(name), &call->name) : KYMO_OK;
}

static kymo_status name_thread(struct load *l, uint32_t thread, uint32_t comm)
{
    const uint32_t call = (uint32_t)l->call.n - 1;
    struct kymo_trace_thread *t = thread_at(l, thread);
    t->n++;
    if (t->n == 1)
        t->comm = comm;
    else if (l->comm_now[thread] != comm) {
        struct kymo_trace_name *name;
        KYMO_TRY(add(l, &l->name, sizeof(*name), &name));
        *name = (struct kymo_trace_name){thread, call, comm};
    }
    l->comm_now[thread] = comm;
    return KYMO_OK;
}

static kymo_status take_call(struct load *l, const struct kymo_batch *b,
                             const struct columns *c, uint32_t row)
{
    struct kymo_trace_call *call;
    uint32_t comm, thread;
    uint64_t dur, ret;
    KYMO_TRY(row_thread(l, b, c, row, &thread));
    KYMO_TRY(add(l, &l->call, sizeof(*call), &call));
    call->thread = thread;
    call->exit_ns = moment(cell_or(b, c->ts, row, 0));
    call->flags = (uint8_t)cell_or(b, c->flags, row, 0);
    if (cell(b, c->dur, row, &dur))
        call->has |= KYMO_TRACE_HAS_DUR;
    call->enter_ns = call->exit_ns - (dur < call->exit_ns ? dur : call->exit_ns);
    if (cell(b, c->ret, row, &ret))
        call->has |= KYMO_TRACE_HAS_RET;
    call->ret = (int64_t)ret;
    for (uint8_t i = 0; i < 6; i++)
        if (cell(b, c->arg[i], row, &call->arg[i]))
            call->n_args = (uint8_t)(i + 1);
    KYMO_TRY(cell_text(l, b, c->path, row, &call->path));
    KYMO_TRY(cell_text(l, b, c->path2, row, &call->path2));
    KYMO_TRY(cell_text(l, b, c->addr, row, &call->addr));
    if (c->path >= 0 && b->lane[c->path] && kymo_batch_present(b, (uint32_t)c->path, row))
        call->has |= KYMO_TRACE_HAS_PATH;
    if (c->path2 >= 0 && b->lane[c->path2] && kymo_batch_present(b, (uint32_t)c->path2, row))
        call->has |= KYMO_TRACE_HAS_PATH2;
    if (call->addr)
        call->has |= KYMO_TRACE_HAS_ADDR;
    KYMO_TRY(name_call(l, b, c, row, call));
    l->t.late += !(call->has & KYMO_TRACE_HAS_DUR) &&
                 !(call->flags & (KYMO_CALL_AT_ENTRY | KYMO_CALL_CHILD));
    KYMO_TRY(cell_text(l, b, c->comm, row, &comm));
    return name_thread(l, thread, comm);
}

static kymo_status take_calls(struct load *l, const struct kymo_batch *b)
{
    struct columns c;
    find_columns(b, &c);
    if (c.ts < 0 || c.nr < 0)
        return KYMO_OK;
    for (uint32_t i = 0; i < b->n_rows; i++)
        KYMO_TRY(take_call(l, b, &c, i));
    return KYMO_OK;
}

static kymo_status take_process(struct load *l, const struct kymo_batch *b, uint32_t row)
{
    const uint64_t ts = moment(cell_or(b, kymo_batch_column(b, "ts"), row, 0));
    const uint64_t pid = cell_or(b, kymo_batch_column(b, "pid"), row, 0);
    const uint64_t tid = cell_or(b, kymo_batch_column(b, "tid"), row, pid);
    uint32_t kind, exe, cwd, comm, thread;
    uint64_t v;
    KYMO_TRY(cell_text(l, b, kymo_batch_column(b, "kind"), row, &kind));
    KYMO_TRY(cell_text(l, b, kymo_batch_column(b, "exe"), row, &exe));
    KYMO_TRY(cell_text(l, b, kymo_batch_column(b, "cwd"), row, &cwd));
    KYMO_TRY(cell_text(l, b, kymo_batch_column(b, "comm"), row, &comm));
    KYMO_TRY(
        find_thread(l, pid, cell_or(b, kymo_batch_column(b, "start"), row, 0), tid, &thread));
    const char *const word = ((char **)l->text.p)[kind];
    struct kymo_trace_process *p = process_at(l, thread_at(l, thread)->process);
    if (cell(b, kymo_batch_column(b, "ppid"), row, &v) && !p->ppid)
        p->ppid = (uint32_t)v;
    if (!p->exe)
        p->exe = exe;
    if (!p->cwd)
        p->cwd = cwd;
    if (!thread_at(l, thread)->n && !thread_at(l, thread)->comm)
        thread_at(l, thread)->comm = comm;
    if (!strcmp(word, "fork") && tid == pid)
        p->born_ns = ts;
    if (!strcmp(word, "exit") && cell(b, kymo_batch_column(b, "lifetime"), row, &v)) {
        p->died_ns = ts;
        p->code = (uint32_t)cell_or(b, kymo_batch_column(b, "code"), row, 0);
    }
    return KYMO_OK;
}

static kymo_status take_fd(struct load *l, const struct kymo_batch *b, uint32_t row)
{
    uint32_t process;
    struct kymo_trace_fd *fd;
    const uint64_t number = cell_or(b, kymo_batch_column(b, "fd"), row, NONE);
    KYMO_TRY(find_process(l, cell_or(b, kymo_batch_column(b, "pid"), row, 0),
                          cell_or(b, kymo_batch_column(b, "start"), row, 0), &process));
    if (number > INT32_MAX)
        return KYMO_OK;
    KYMO_TRY(add(l, &l->fd, sizeof(*fd), &fd));
    fd->ts_ns = moment(cell_or(b, kymo_batch_column(b, "ts"), row, 0));
    fd->process = process;
    fd->fd = (uint32_t)number;
    KYMO_TRY(cell_text(l, b, kymo_batch_column(b, "target"), row, &fd->target));
    KYMO_TRY(cell_text(l, b, kymo_batch_column(b, "local"), row, &fd->local));
    return cell_text(l, b, kymo_batch_column(b, "peer"), row, &fd->peer);
}

static void take_losses(struct load *l, const struct kymo_batch *b)
{
    static const char *const column[] = {"dropped_ring", "dropped_nested", "dropped_queue",
                                         "dropped_quota", "sampled"};
    for (size_t k = 0; k < KYMO_COUNT_OF(column); k++) {
        const int c = kymo_batch_column(b, column[k]);
        for (uint32_t i = 0; i < b->n_rows; i++)
            l->t.lost += cell_or(b, c, i, 0);
    }
}

static kymo_status begin_batch(struct load *l, const struct kymo_batch *b)
{
    const size_t words = b->str.at ? b->str.n : 0;
    KYMO_TRY(grow(l, (void **)&l->word, &l->words, words + 1, sizeof(*l->word)));
    KYMO_TRY(grow(l, (void **)&l->here, &l->heres, b->n_tasks + 1u, sizeof(*l->here)));
    memset(l->word, 0xff, (words + 1) * sizeof(*l->word));
    memset(l->here, 0xff, (b->n_tasks + 1u) * sizeof(*l->here));
    return KYMO_OK;
}

static kymo_status take_batch(struct load *l, const struct kymo_batch *b)
{
    const char *const table = b->schema->table;
    KYMO_TRY(begin_batch(l, b));
    if (!strcmp(table, "sysname"))
        return kymo_names_learn(l->names, b, l->err);
    if (!strcmp(table, "syscall"))
        return take_calls(l, b);
    if (!strcmp(table, "loss"))
        take_losses(l, b);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (!strcmp(table, "process"))
            KYMO_TRY(take_process(l, b, i));
        else if (!strcmp(table, "fd"))
            KYMO_TRY(take_fd(l, b, i));
    }
    return KYMO_OK;
}

static kymo_status read_rows(struct load *l, const char *path)
{
    static const char *const table[] = {"sysname", "syscall", "process", "fd", "loss"};
    kymo_reader *r;
    const struct kymo_batch *b;
    KYMO_TRY(kymo_reader_open(&r, path, READER_BYTES, l->err));
    kymo_status s = kymo_reader_select(r, table, KYMO_COUNT_OF(table), l->err);
    while (!s) {
        s = kymo_reader_next(r, &b, l->err);
        if (s == KYMO_ETORN) {
            l->t.torn = 1;
            s = KYMO_OK;
            break;
        }
        if (s || !b)
            break;
        s = take_batch(l, b);
    }
    kymo_reader_close(r);
    return s;
}

/* ---- in order ---- */

static int by_end(const void *a, const void *b, void *calls)
{
    const struct kymo_trace_call *c = calls;
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (c[i].exit_ns != c[j].exit_ns)
        return c[i].exit_ns < c[j].exit_ns ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* Rows that came late stand behind younger ones: put them where they belong. */
static kymo_status sort_calls(struct load *l)
{
    struct kymo_trace_call *call = l->call.p;
    const size_t n = l->call.n;
    size_t i = 1;
    while (i < n && call[i - 1].exit_ns <= call[i].exit_ns)
        i++;
    if (i >= n)
        return KYMO_OK;
    uint32_t *order = NULL;
    struct kymo_trace_call *sorted = NULL;
    size_t cap = 0, cap2 = 0;
    kymo_status s = grow(l, (void **)&order, &cap, n, sizeof(*order));
    if (!s)
        s = grow(l, (void **)&sorted, &cap2, n, sizeof(*sorted));
    if (!s) {
        for (i = 0; i < n; i++)
            order[i] = (uint32_t)i;
        qsort_r(order, n, sizeof(*order), by_end, call);
        for (i = 0; i < n; i++)
            sorted[i] = call[order[i]];
        memcpy(call, sorted, n * sizeof(*call));
        struct kymo_trace_name *name = l->name.p; /* moved with their calls */
        uint32_t *const where = (uint32_t *)(void *)sorted;
        for (i = 0; i < n; i++)
            where[order[i]] = (uint32_t)i;
        for (i = 0; i < l->name.n; i++)
            name[i].call = where[name[i].call];
    }
    l->used_bytes -= cap * sizeof(*order) + cap2 * sizeof(*sorted);
    free(order);
    free(sorted);
    return s;
}

static int by_thread(const void *a, const void *b)
{
    const struct kymo_trace_name *x = a, *y = b;
    if (x->thread != y->thread)
        return x->thread < y->thread ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}

static int by_time(const void *a, const void *b)
{
    const struct kymo_trace_fd *x = a, *y = b;
    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    if (x->process != y->process)
        return x->process < y->process ? -1 : 1;
    return x->fd < y->fd ? -1 : x->fd > y->fd;
}

/* A thread is in one call at a time: the order of their ends is that of their beginnings, and no call begins
 * before the last one ended. */
/* Taking a process down takes as long, before its parent is told. */
#define EXIT_NS 300000u

/*
 * What is known better than its row says. A thread's first call without a beginning was under way when the
 * slice began. An exit_group is seen as it is made, and its parent hears of it, as of the signal for it, when the
 * process is gone: that moment counts.
 */
static void mend_beginnings(struct load *l)
{
    struct kymo_trace *t = &l->t;
    struct kymo_trace_call *call = l->call.p;
    for (uint32_t i = 0; i < l->thread.n; i++) {
        const struct kymo_trace_thread *th = thread_at(l, i);
        const struct kymo_trace_process *p = process_at(l, th->process);
        if (!th->n)
            continue;
        struct kymo_trace_call *first = &call[t->order[th->first]];
        struct kymo_trace_call *last = &call[t->order[th->first + th->n - 1]];
        if (!(first->has & KYMO_TRACE_HAS_DUR) && !p->born_ns &&
            !(first->flags & (KYMO_CALL_AT_ENTRY | KYMO_CALL_CHILD | KYMO_CALL_EXECED)))
            first->enter_ns = t->first_ns;
        if (last->flags & KYMO_CALL_AT_ENTRY && last->here == SYS_exit_group &&
            p->died_ns != UINT64_MAX && p->died_ns > last->exit_ns + EXIT_NS)
            last->enter_ns = last->exit_ns = p->died_ns - EXIT_NS;
    }
}

static kymo_status order_calls(struct load *l)
{
    struct kymo_trace *t = &l->t;
    size_t cap = 0;
    KYMO_TRY(grow(l, (void **)&t->order, &cap, l->call.n, sizeof(*t->order)));
    struct kymo_trace_call *call = l->call.p;
    uint32_t at = 0;
    for (uint32_t i = 0; i < l->thread.n; i++) {
        struct kymo_trace_thread *th = thread_at(l, i);
        th->first = at;
        at += th->n;
        th->n = 0;
    }
    t->first_ns = UINT64_MAX;
    for (uint32_t i = 0; i < l->call.n; i++) {
        struct kymo_trace_thread *th = thread_at(l, call[i].thread);
        if (th->n) {
            const struct kymo_trace_call *before = &call[t->order[th->first + th->n - 1]];
            if (call[i].enter_ns < before->exit_ns)
                call[i].enter_ns = before->exit_ns;
        }
        t->order[th->first + th->n++] = i;
        if (call[i].enter_ns < t->first_ns)
            t->first_ns = call[i].enter_ns;
        t->last_ns = call[i].exit_ns;
    }
    mend_beginnings(l);
    return KYMO_OK;
}

static int by_pid(const void *a, const void *b, void *arg)
{
    const struct load *l = arg;
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const struct kymo_trace_process *x = process_at(l, i), *y = process_at(l, j);
    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* The youngest process of that pid that began no later than its child, NONE. */
static uint32_t parent_of(const struct load *l, const uint32_t *order,
                          const struct kymo_trace_process *child)
{
    size_t low = 0, high = l->process.n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        const struct kymo_trace_process *p = process_at(l, order[mid]);
        if (p->pid < child->ppid || (p->pid == child->ppid && p->start_ns <= child->start_ns))
            low = mid + 1;
        else
            high = mid;
    }
    return low && process_at(l, order[low - 1])->pid == child->ppid ? order[low - 1] : NONE;
}

static kymo_status find_parents(struct load *l)
{
    uint32_t *order = NULL;
    size_t cap = 0;
    KYMO_TRY(grow(l, (void **)&order, &cap, l->process.n + 1, sizeof(*order)));
    for (uint32_t i = 0; i < l->process.n; i++)
        order[i] = i;
    qsort_r(order, l->process.n, sizeof(*order), by_pid, l);
    for (uint32_t i = 0; i < l->process.n; i++) {
        struct kymo_trace_process *p = process_at(l, i);
        const uint32_t parent = p->ppid ? parent_of(l, order, p) : NONE;
        if (parent != i)
            p->parent = parent;
    }
    l->used_bytes -= cap * sizeof(*order);
    free(order);
    return KYMO_OK;
}

static kymo_status finish(struct load *l)
{
    struct kymo_trace *t = &l->t;
    KYMO_TRY(sort_calls(l));
    KYMO_TRY(order_calls(l));
    KYMO_TRY(find_parents(l));
    if (l->name.n)
        qsort(l->name.p, l->name.n, sizeof(struct kymo_trace_name), by_thread);
    if (l->fd.n)
        qsort(l->fd.p, l->fd.n, sizeof(struct kymo_trace_fd), by_time);
    t->call = l->call.p;
    t->n_calls = l->call.n;
    t->thread = l->thread.p;
    t->n_threads = l->thread.n;
    t->process = l->process.p;
    t->n_processes = l->process.n;
    t->name = l->name.p;
    t->n_names = l->name.n;
    t->fd = l->fd.p;
    t->n_fds = l->fd.n;
    t->text = l->text.p;
    t->text_bytes = l->text_bytes.p;
    t->n_texts = l->text.n;
    return KYMO_OK;
}

static void release_scratch(struct load *l)
{
    free(l->texts.slot);
    free(l->threads.slot);
    free(l->processes.slot);
    free(l->word);
    free(l->here);
    free(l->comm_now);
    kymo_names_close(l->names);
    l->texts = l->threads = l->processes = (struct map){0};
    l->word = l->here = l->comm_now = NULL;
    l->names = NULL;
}

void kymo_trace_free(struct kymo_trace *t)
{
    struct load *l = (struct load *)t;
    if (!l)
        return;
    release_scratch(l);
    free(l->call.p);
    free(l->thread.p);
    free(l->process.p);
    free(l->name.p);
    free(l->fd.p);
    free(l->text.p);
    free(l->text_bytes.p);
    free(t->order);
    kymo_arena_release(&t->arena);
    free(l);
}

static kymo_status load(struct load *l, const char *path)
{
    char **none;
    uint32_t *bytes;
    KYMO_TRY(add(l, &l->text, sizeof(*none), &none));
    KYMO_TRY(add(l, &l->text_bytes, sizeof(*bytes), &bytes));
    *none = kymo_arena_str(&l->t.arena, "", 0);
    if (!*none)
        return too_much(l);
    KYMO_TRY(kymo_names_open(&l->names, l->err));
    KYMO_TRY(read_rows(l, path));
    if (!l->call.n)
        return KYMO_FAIL(l->err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "no calls in it; replay needs a capture at level full");
    return finish(l);
}

kymo_status kymo_trace_load(struct kymo_trace **out, const char *path, size_t cap_bytes,
                            struct kymo_err *err)
{
    struct load *l = calloc(1, sizeof(*l));
    if (!l)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    l->cap_bytes = cap_bytes ? cap_bytes : CAP_DEFAULT;
    l->err = err;
    kymo_arena_init(&l->t.arena, l->cap_bytes);
    const kymo_status s = load(l, path);
    release_scratch(l);
    l->err = NULL;
    if (s) {
        kymo_trace_free(&l->t);
        return s;
    }
    *out = &l->t;
    return KYMO_OK;
}

uint32_t kymo_trace_comm(const struct kymo_trace *t, uint32_t call)
{
    const uint32_t thread = t->call[call].thread;
    size_t low = 0, high = t->n_names; /* the last name of the thread at or before the call */
    while (low < high) {
        const size_t mid = (low + high) / 2;
        const struct kymo_trace_name *n = &t->name[mid];
        if (n->thread < thread || (n->thread == thread && n->call <= call))
            low = mid + 1;
        else
            high = mid;
    }
    return low && t->name[low - 1].thread == thread ? t->name[low - 1].comm
                                                    : t->thread[thread].comm;
}
