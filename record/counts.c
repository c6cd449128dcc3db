/* SPDX-License-Identifier: Apache-2.0 */
#include "record/counts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "format/base/size.h"
#include "record/host.h"

#define IDLE_WINDOWS                                                                           \
    6u /* so long nothing was counted in a cell of an ended process: it is free */
#define OWNERS_MAX 131072u

/* Whose cells an entity's are. */
struct owner {
    uint32_t entity; /* 0: free */
    uint32_t pid;
    uint64_t start_ns, exec_seq, cgroup_id;
    char comm[KYMO_COMM_BYTES];
    bool ended;
};

/* A cell in which something was counted in this window. */
struct moved {
    uint64_t key;
    uint32_t cpu, at;
};

struct counts {
    struct counts_source source;
    uint32_t n_cells;       /* a CPU */
    struct kymo_cell *seen; /* [n_cpus * n_cells] as the last window left them */
    uint8_t *idle;          /* [n_cpus * n_cells] windows without a change */
    struct moved *moved;    /* [n_cpus * n_cells] */
    struct owner *owner;    /* [owner_slots] open addressing by entity */
    uint32_t owner_slots, n_owners;
};

/* What a process did of a call in a window, over all CPUs. */
#define ERRNOS_MAX (4u * KYMO_CELL_ERRNOS)
struct sum {
    uint64_t calls, errors, bytes, timed, time_ns, errno_other;
    uint64_t lat[KYMO_CELL_BUCKETS];
    uint32_t n_err;
    struct {
        uint32_t no;
        uint64_t n;
    } err[ERRNOS_MAX];
};

/* Untouched pages cost nothing, so what few processes need is all they take. */
static void *map_zeroed(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static size_t all_cells(const struct counts *c)
{
    return (size_t)c->source.n_cpus * c->n_cells;
}

kymo_status counts_open(struct counts **out, const struct counts_source *source,
                        struct kymo_err *err)
{
    struct counts *c = calloc(1, sizeof(*c));

    if (!c)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    c->source = *source;
    source->cells(source->ctx, 0, &c->n_cells);
    c->seen = map_zeroed(all_cells(c) * sizeof(*c->seen));
    c->idle = map_zeroed(all_cells(c));
    c->moved = map_zeroed(all_cells(c) * sizeof(*c->moved));
    c->owner_slots = 2 * OWNERS_MAX;
    c->owner = map_zeroed(c->owner_slots * sizeof(*c->owner));
    if (!c->seen || !c->idle || !c->moved || !c->owner) {
        counts_close(c);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for counts");
    }
    *out = c;
    return KYMO_OK;
}

void counts_close(struct counts *c)
{
    if (!c)
        return;
    if (c->seen)
        munmap(c->seen, all_cells(c) * sizeof(*c->seen));
    if (c->idle)
        munmap(c->idle, all_cells(c));
    if (c->moved)
        munmap(c->moved, all_cells(c) * sizeof(*c->moved));
    if (c->owner)
        munmap(c->owner, c->owner_slots * sizeof(*c->owner));
    free(c);
}

/* ---- owners --------------------------------------------------------------------------------- */

static struct owner *find_owner(const struct counts *c, uint32_t entity)
{
    uint32_t i = entity * 0x9e3779b1u & (c->owner_slots - 1);

    while (c->owner[i].entity && c->owner[i].entity != entity)
        i = (i + 1) & (c->owner_slots - 1);
    return &c->owner[i];
}

/* Forget the processes that ended and count nothing any more: rebuild the table of the others. */
static void drop_ended(struct counts *c)
{
    struct owner *old = c->owner;

    c->owner = map_zeroed(c->owner_slots * sizeof(*c->owner));
    if (!c->owner) {
        c->owner = old;
        return;
    }
    c->n_owners = 0;
    for (uint32_t i = 0; i < c->owner_slots; i++)
        if (old[i].entity && !old[i].ended) {
            *find_owner(c, old[i].entity) = old[i];
            c->n_owners++;
        }
    munmap(old, c->owner_slots * sizeof(*old));
}

void counts_learn(struct counts *c, const struct kymo_event_task *t)
{
    struct owner *o = t->entity ? find_owner(c, t->entity) : NULL;

    /* The leader names its process; a thread that came first stands in for it. */
    if (!o || (o->entity && t->head.tid != t->pid))
        return;
    if (!o->entity && c->n_owners == OWNERS_MAX) {
        drop_ended(c);
        o = find_owner(c, t->entity);
        if (c->n_owners == OWNERS_MAX)
            return; /* its counts are of nobody in particular */
    }
    c->n_owners += !o->entity;
    *o = (struct owner){
        .entity = t->entity,
        .pid = t->pid,
        .start_ns = t->start_ns,
        .exec_seq = t->exec_seq,
        .cgroup_id = t->cgroup_id,
    };
    memcpy(o->comm, t->comm, sizeof(o->comm));
}

void counts_ended(struct counts *c, uint32_t entity)
{
    struct owner *o = entity ? find_owner(c, entity) : NULL;

    if (o && o->entity)
        o->ended = true;
}

/* ---- a window ------------------------------------------------------------------------------- */

static void add_errors(struct sum *s, uint32_t no, uint64_t n)
{
    uint32_t i = 0;

    while (i < s->n_err && s->err[i].no != no)
        i++;
    if (i == ERRNOS_MAX) {
        s->errno_other += n;
        return;
    }
    s->n_err += i == s->n_err;
    s->err[i].no = no;
    s->err[i].n += n;
}

/* Differences are taken in the cell's own width, so its counters may wrap. */
static void add_cell(struct sum *s, const struct kymo_cell *now, const struct kymo_cell *was)
{
    s->calls += now->calls - was->calls;
    s->errors += now->errors - was->errors;
    s->bytes += now->bytes - was->bytes;
    s->timed += now->timed - was->timed;
    s->time_ns += now->time_ns - was->time_ns;
    s->errno_other += now->errno_other - was->errno_other;
    for (uint32_t i = 0; i < KYMO_CELL_BUCKETS; i++)
        s->lat[i] += now->lat[i] - was->lat[i];
    for (uint32_t i = 0; i < KYMO_CELL_ERRNOS; i++)
        if (now->err[i].n != was->err[i].n)
            add_errors(s, now->err[i].no, now->err[i].n - was->err[i].n);
}

static int by_key(const void *a, const void *b)
{
    const struct moved *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

/* A cell whose owner is gone, long idle. Its key goes last: until then the kernel finds it, and it does
 * not look for it any more. */
static void set_free(struct kymo_cell *cell, struct kymo_cell *seen)
{
    memset((uint8_t *)cell + sizeof(cell->key), 0, sizeof(*cell) - sizeof(cell->key));
    __atomic_store_n(&cell->key, 0, __ATOMIC_RELEASE);
    memset(seen, 0, sizeof(*seen));
}

/* Something was counted: if a thread of it ended, others did not. */
static void goes_on(struct counts *c, uint32_t entity)
{
    struct owner *o = entity ? find_owner(c, entity) : NULL;

    if (o && o->entity)
        o->ended = false;
}

static size_t find_moved(struct counts *c)
{
    size_t n = 0;
    uint32_t n_cells;

    for (uint32_t cpu = 0; cpu < c->source.n_cpus; cpu++) {
        struct kymo_cell *cell = c->source.cells(c->source.ctx, cpu, &n_cells);
        for (uint32_t i = 0; i < n_cells; i++) {
            const size_t at = (size_t)cpu * n_cells + i;
            const uint64_t key = __atomic_load_n(&cell[i].key, __ATOMIC_RELAXED);
            if (!key)
                continue;
            if (cell[i].calls != c->seen[at].calls) {
                c->moved[n++] = (struct moved){key, cpu, i};
                c->idle[at] = 0;
                goes_on(c, (uint32_t)(key >> 32));
            } else if (key >> 32 && c->idle[at] < IDLE_WINDOWS) {
                c->idle[at]++;
            } else if (key >> 32 && find_owner(c, (uint32_t)(key >> 32))->ended) {
                set_free(&cell[i], &c->seen[at]);
                c->idle[at] = 0;
            }
        }
    }
    qsort(c->moved, n, sizeof(*c->moved), by_key);
    return n;
}

static uint32_t arch_of(uint64_t key)
{
    return key >> 16 & 1 ? host_arch_compat() : host_arch();
}

static uint32_t nr_of(uint64_t key)
{
    return (uint32_t)(key & 0xffff) - 1;
}

static void put_count(struct kymo_rows *r, const struct sum *s, const struct owner *o,
                      uint64_t key, uint64_t ts_ns, uint64_t dur_ns)
{
    const uint32_t i = kymo_rows_add(r);

    kymo_rows_set(r, KYMO_COUNT_TS, i, ts_ns);
    kymo_rows_set(r, KYMO_COUNT_DUR, i, dur_ns);
    kymo_rows_set(r, KYMO_COUNT_PID, i, o->pid);
    kymo_rows_set(r, KYMO_COUNT_START, i, o->start_ns);
    kymo_rows_set(r, KYMO_COUNT_EXECSEQ, i, o->exec_seq);
    kymo_rows_set_str(r, KYMO_COUNT_COMM, i, o->comm, strnlen(o->comm, sizeof(o->comm)));
    kymo_rows_set(r, KYMO_COUNT_CGROUP, i, o->cgroup_id);
    kymo_rows_set(r, KYMO_COUNT_ARCH, i, arch_of(key));
    kymo_rows_set(r, KYMO_COUNT_NR, i, nr_of(key));
    kymo_rows_set(r, KYMO_COUNT_CALLS, i, s->calls);
    kymo_rows_set(r, KYMO_COUNT_ERRORS, i, s->errors);
    kymo_rows_set(r, KYMO_COUNT_BYTES, i, s->bytes);
    kymo_rows_set(r, KYMO_COUNT_TIMED, i, s->timed);
    kymo_rows_set(r, KYMO_COUNT_TIME, i, s->time_ns);
    for (uint32_t b = 0; b < KYMO_COUNT_BUCKETS; b++)
        kymo_rows_set(r, KYMO_COUNT_LAT + b, i, s->lat[b]);
}

static void put_error(struct kymo_rows *r, const struct owner *o, uint64_t key, uint64_t ts_ns,
                      uint32_t no, uint64_t n)
{
    if (!r)
        return; /* the count row has their sum */
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_COUNT_ERROR_TS, i, ts_ns);
    kymo_rows_set(r, KYMO_COUNT_ERROR_PID, i, o->pid);
    kymo_rows_set(r, KYMO_COUNT_ERROR_START, i, o->start_ns);
    kymo_rows_set(r, KYMO_COUNT_ERROR_EXECSEQ, i, o->exec_seq);
    kymo_rows_set(r, KYMO_COUNT_ERROR_ARCH, i, arch_of(key));
    kymo_rows_set(r, KYMO_COUNT_ERROR_NR, i, nr_of(key));
    kymo_rows_set(r, KYMO_COUNT_ERROR_ERRNO, i, no);
    kymo_rows_set(r, KYMO_COUNT_ERROR_CALLS, i, n);
}

/* The moved cells [from, to) are of one process and call. */
static void take_group(struct counts *c, size_t from, size_t to, struct sum *s)
{
    uint32_t n_cells;

    memset(s, 0, sizeof(*s));
    for (size_t m = from; m < to; m++) {
        const struct kymo_cell *cell =
            c->source.cells(c->source.ctx, c->moved[m].cpu, &n_cells) + c->moved[m].at;
        struct kymo_cell *seen = &c->seen[(size_t)c->moved[m].cpu * n_cells + c->moved[m].at];
        struct kymo_cell now;
        memcpy(&now, cell,
               sizeof(now)); /* the kernel counts on: what is read twice must agree */
        add_cell(s, &now, seen);
        *seen = now;
    }
}

void counts_window(struct counts *c, uint64_t ts_ns, uint64_t dur_ns, counts_rows rows,
                   counts_name name, void *ctx)
{
    const size_t n = find_moved(c);
    struct sum s;

    for (size_t from = 0, to; from < n; from = to) {
        const uint64_t key = c->moved[from].key;
        static const struct owner nobody = {.comm = "(others)"};
        const struct owner *o = key >> 32 ? find_owner(c, (uint32_t)(key >> 32)) : &nobody;
        struct kymo_rows *r = rows(ctx, &KYMO_TABLE_COUNT);
        for (to = from + 1; to < n && c->moved[to].key == key; to++)
            ;
        if (!r)
            return; /* every buffer is queued: what is left is in the next window */
        take_group(c, from, to, &s);
        name(ctx, arch_of(key), nr_of(key));
        put_count(r, &s, o->entity ? o : &nobody, key, ts_ns, dur_ns);
        for (uint32_t e = 0; e < s.n_err; e++)
            put_error(rows(ctx, &KYMO_TABLE_COUNT_ERROR), o, key, ts_ns, s.err[e].no,
                      s.err[e].n);
        if (s.errno_other)
            put_error(rows(ctx, &KYMO_TABLE_COUNT_ERROR), o, key, ts_ns, 0, s.errno_other);
    }
}
