/* SPDX-License-Identifier: Apache-2.0
 * sequence_beside.c: threads, what tables process and fd say of them, and which names were used when.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/model/sequence_own.h"

/* Bounds of what a capture can make us hold. */
#define THREADS_MAX (1u << 20)
#define EVENTS_MAX (1u << 21) /* that wait for their time; more are left out */
#define FATE_EVENTS_MAX 8192u
#define SEEN_MAX (1u << 16) /* names of a role; others are always new */

kymo_status kymo_seq_no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for sequences of calls");
}

/* -- threads ---------------------------------------------------------------------------------- */

static uint32_t *thread_at(const struct kymo_sequence_learner *l, uint64_t pid, uint64_t tid,
                           uint64_t start_ns)
{
    const uint64_t id[3] = {pid, tid, start_ns};
    uint32_t at = (uint32_t)XXH3_64bits(id, sizeof(id)) & (l->thread_slots - 1);
    for (; l->thread_slot[at]; at = (at + 1) & (l->thread_slots - 1)) {
        const struct seq_thread *t = &l->thread[l->thread_slot[at] - 1];
        if (t->pid == pid && t->tid == tid && t->start_ns == start_ns)
            break;
    }
    return &l->thread_slot[at];
}

static int place_threads(struct kymo_sequence_learner *l, uint32_t cap)
{
    uint32_t *slot = calloc((size_t)cap * 2, sizeof(*slot));
    if (!slot)
        return 0;
    free(l->thread_slot);
    l->thread_slot = slot;
    l->thread_slots = cap * 2;
    l->cap_threads = cap;
    for (uint32_t i = 0; i < l->n_threads; i++) {
        const struct seq_thread *t = &l->thread[i];
        *thread_at(l, t->pid, t->tid, t->start_ns) = i + 1;
    }
    return 1;
}

static int grow_threads(struct kymo_sequence_learner *l)
{
    const uint32_t cap = l->cap_threads ? l->cap_threads * 2 : 256;
    struct seq_thread *t = cap <= THREADS_MAX ? realloc(l->thread, cap * sizeof(*t)) : NULL;
    if (!t)
        return 0;
    l->thread = t;
    return place_threads(l, cap);
}

int kymo_seq_bury(struct kymo_sequence_learner *l)
{
    uint32_t n = 0;
    if (l->n_threads < l->cap_threads / 2)
        return 1;
    for (uint32_t i = 0; i < l->n_threads; i++)
        if (!l->thread[i].is_dead)
            l->thread[n++] = l->thread[i];
    l->n_threads = n;
    return place_threads(l, l->cap_threads);
}

uint32_t kymo_seq_thread(struct kymo_sequence_learner *l, uint64_t pid, uint64_t tid,
                         uint64_t start_ns)
{
    if (!l->cap_threads && !grow_threads(l))
        return UINT32_MAX;
    if (*thread_at(l, pid, tid, start_ns))
        return *thread_at(l, pid, tid, start_ns) - 1;
    if (l->n_threads == l->cap_threads && !grow_threads(l))
        return UINT32_MAX;
    struct seq_thread *t = &l->thread[l->n_threads];
    *t = (struct seq_thread){.pid = pid,
                             .tid = tid,
                             .start_ns = start_ns,
                             .life = tid == pid ? LIFE_MAIN : LIFE_THREAD,
                             .is_new = 1,
                             .last_fd = -1,
                             .stretch = KYMO_STRETCH_NONE};
    for (unsigned i = 0; i < KYMO_GRAM - 1; i++)
        t->context[i] = KYMO_SYMBOL_NONE;
    *thread_at(l, pid, tid, start_ns) = l->n_threads + 1;
    return l->n_threads++;
}

uint32_t kymo_seq_leader(const struct kymo_sequence_learner *l, const struct seq_thread *t)
{
    const uint32_t at = t->pid != t->tid ? *thread_at(l, t->pid, t->pid, t->start_ns) : 0;
    return at ? l->thread[at - 1].comm : 0;
}

int kymo_seq_made(const struct kymo_sequence_learner *l, uint64_t tid)
{
    for (uint32_t i = 0; i < SEQ_MADE; i++)
        if (l->made[i].tid == tid)
            return l->made[i].is_thread;
    return -1;
}

size_t kymo_seq_comm(const char *s, size_t n, char *to)
{
    n = n < KYMO_SEQ_COMM ? n : KYMO_SEQ_COMM;
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(s[i] > ' ' && s[i] <= '~' ? s[i] : '_');
    if (!n)
        to[n++] = '_';
    return n;
}

/* Rows of processes come ahead of the calls of their second: what a child will be is often known when its parent's
 * call returns. */
uint32_t kymo_seq_fate(const struct kymo_sequence_learner *l, uint64_t pid)
{
    for (size_t i = 0; i < l->n_events && i < FATE_EVENTS_MAX; i++)
        if (l->event[i].pid == pid && l->event[i].kind == SEQ_EXEC)
            return l->event[i].fate;
        else if (l->event[i].pid == pid && l->event[i].kind == SEQ_EXIT)
            return 0;
    return KYMO_FATE_OPEN;
}

/* -- what happened beside the calls ----------------------------------------------------------- */

static kymo_status push(struct kymo_sequence_learner *l, const struct seq_event *e,
                        struct kymo_err *err)
{
    if (l->n_events == l->cap_events) {
        const size_t cap = l->cap_events ? l->cap_events * 2 : 256;
        if (cap > EVENTS_MAX)
            return KYMO_OK;
        struct seq_event *more = realloc(l->event, cap * sizeof(*more));
        if (!more)
            return kymo_seq_no_memory(err);
        l->event = more;
        l->cap_events = cap;
    }
    l->event[l->n_events] = *e;
    l->event[l->n_events++].no = l->event_no++;
    return KYMO_OK;
}

static uint64_t cell(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    return column < b->schema->n_columns && b->lane[column] &&
                   (!b->present[column] || b->present[column][row])
               ? b->lane[column][row]
               : 0;
}

static int has(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    return column < b->schema->n_columns && b->lane[column] &&
           (!b->present[column] || b->present[column][row]);
}

static const char *text(const struct kymo_batch *b, uint32_t column, uint32_t row, size_t *n)
{
    const uint64_t id = cell(b, column, row);
    const int there = b->str.bytes && id < b->str.n;
    *n = there ? b->str.at[id + 1] - b->str.at[id] : 0;
    return there ? b->str.bytes + b->str.at[id] : "";
}

static int is_kind(const struct kymo_batch *b, uint32_t row, const char *word)
{
    size_t n;
    const char *s = text(b, KYMO_PROCESS_KIND, row, &n);
    return n == strlen(word) && memcmp(s, word, n) == 0;
}

static struct kymo_ends ends_of(const struct kymo_batch *b, uint32_t row)
{
    const uint64_t code = cell(b, KYMO_PROCESS_CODE, row);
    return (struct kymo_ends){.n = 1,
                              .utime_ns = cell(b, KYMO_PROCESS_UTIME, row),
                              .stime_ns = cell(b, KYMO_PROCESS_STIME, row),
                              .minflt = cell(b, KYMO_PROCESS_MINFLT, row),
                              .majflt = cell(b, KYMO_PROCESS_MAJFLT, row),
                              .maxrss_bytes = cell(b, KYMO_PROCESS_MAXRSS, row),
                              .killed = (code & 0x7f) != 0,
                              .failed = (code & 0x7f) == 0 && (code >> 8 & 0xff) != 0};
}

static kymo_status take_processes(struct kymo_sequence_learner *l, const struct kymo_batch *b,
                                  struct kymo_err *err)
{
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct seq_event e = {.ts_ns = cell(b, KYMO_PROCESS_TS, i),
                              .pid = cell(b, KYMO_PROCESS_PID, i),
                              .tid = cell(b, KYMO_PROCESS_TID, i),
                              .ppid = cell(b, KYMO_PROCESS_PPID, i),
                              .start_ns = cell(b, KYMO_PROCESS_START, i)};
        if (is_kind(b, i, "fork")) {
            e.kind = SEQ_FORK;
        } else if (is_kind(b, i, "exec")) {
            char comm[KYMO_SEQ_COMM];
            size_t n;
            const char *s = text(b, KYMO_PROCESS_COMM, i, &n);
            e.kind = SEQ_EXEC;
            e.fate = kymo_symbol_fate(comm, kymo_seq_comm(s, n, comm));
        } else if (is_kind(b, i, "exit")) {
            e.kind = SEQ_EXIT;
            e.is_end = has(b, KYMO_PROCESS_LIFETIME, i);
            e.ends = ends_of(b, i);
        } else {
            continue;
        }
        KYMO_TRY(push(l, &e, err));
    }
    return KYMO_OK;
}

static kymo_status take_opens(struct kymo_sequence_learner *l, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    for (uint32_t i = 0; i < b->n_rows; i++) {
        size_t n, local, peer;
        const char *target = text(b, KYMO_FD_TARGET, i, &n);
        text(b, KYMO_FD_LOCAL, i, &local);
        text(b, KYMO_FD_PEER, i, &peer);
        const struct seq_event e = {.kind = SEQ_OPEN,
                                    .ts_ns = cell(b, KYMO_FD_TS, i),
                                    .pid = cell(b, KYMO_FD_PID, i),
                                    .start_ns = cell(b, KYMO_FD_START, i),
                                    .fd = (int64_t)cell(b, KYMO_FD_FD, i),
                                    .on = kymo_on_target(target, n, local > 0, peer > 0)};
        KYMO_TRY(push(l, &e, err));
    }
    return KYMO_OK;
}

/* The columns that this file looks at, where they stand in this build's table. */
static int fits(const struct kymo_batch *b, const struct kymo_schema *want, uint32_t columns)
{
    for (uint32_t c = 0; c < columns; c++)
        if (c >= b->schema->n_columns ||
            strcmp(b->schema->column[c].name, want->column[c].name) != 0 ||
            b->schema->column[c].type != want->column[c].type)
            return 0;
    return 1;
}

kymo_status kymo_seq_beside(struct kymo_sequence_learner *l, const struct kymo_batch *b,
                            struct kymo_err *err)
{
    if (strcmp(b->schema->table, "process") == 0)
        return fits(b, &KYMO_TABLE_PROCESS, KYMO_PROCESS_CODE + 1) ? take_processes(l, b, err)
                                                                   : KYMO_OK;
    if (strcmp(b->schema->table, "fd") == 0)
        return fits(b, &KYMO_TABLE_FD, KYMO_FD_TARGET + 1) ? take_opens(l, b, err) : KYMO_OK;
    return KYMO_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct seq_event *x = a, *y = b;
    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    return x->no < y->no ? -1 : x->no > y->no;
}

void kymo_seq_sort(struct kymo_sequence_learner *l)
{
    if (l->at_event)
        memmove(l->event, l->event + l->at_event,
                (l->n_events - l->at_event) * sizeof(*l->event));
    l->n_events -= l->at_event;
    l->at_event = 0;
    if (l->n_events)
        qsort(l->event, l->n_events, sizeof(*l->event), by_time);
}

static uint32_t depth_of(const struct kymo_sequence_learner *l, uint64_t pid)
{
    const struct seq_depth *d = &l->depth[pid % SEQ_DEPTHS];
    return d->pid == pid ? d->depth : 0;
}

static uint32_t note_depth(struct kymo_sequence_learner *l, uint64_t pid, uint32_t depth)
{
    depth = depth < SEQ_DEPTH_MAX ? depth : SEQ_DEPTH_MAX;
    l->depth[pid % SEQ_DEPTHS] = (struct seq_depth){pid, depth};
    return depth;
}

static kymo_status apply_fork(struct kymo_sequence_learner *l, const struct seq_event *e,
                              struct kymo_err *err)
{
    const int is_thread = e->pid != e->tid;
    l->made[l->at_made].tid = e->tid;
    l->made[l->at_made].is_thread = is_thread;
    l->at_made = (l->at_made + 1) % SEQ_MADE;
    if (!is_thread)
        kymo_fdroles_fork(l->fds, e->ppid, e->pid, e->start_ns);
    const uint32_t i = kymo_seq_thread(l, e->pid, e->tid, e->start_ns);
    if (i == UINT32_MAX)
        return kymo_seq_no_memory(err);
    struct seq_thread *t = &l->thread[i];
    t->is_born = 1;
    t->born_ns = e->ts_ns;
    if (!is_thread)
        t->depth = (uint8_t)note_depth(l, e->pid, depth_of(l, e->ppid) + 1);
    t->life = is_thread ? LIFE_THREAD : LIFE_FORK;
    return KYMO_OK;
}

static void apply_exec(struct kymo_sequence_learner *l, const struct seq_event *e)
{
    (void)note_depth(l, e->pid, 0);
    kymo_fdroles_exec(l->fds, e->pid);
}

static void add_ends(struct kymo_ends *to, const struct kymo_ends *from)
{
    to->n++;
    to->utime_ns += from->utime_ns;
    to->stime_ns += from->stime_ns;
    to->minflt += from->minflt;
    to->majflt += from->majflt;
    to->maxrss_bytes += from->maxrss_bytes;
    to->failed += from->failed;
    to->killed += from->killed;
}

static void apply_exit(struct kymo_sequence_learner *l, const struct seq_event *e)
{
    const uint32_t at = l->cap_threads ? *thread_at(l, e->pid, e->tid, e->start_ns) : 0;
    if (at && e->is_end && l->thread[at - 1].conduct)
        add_ends(&l->thread[at - 1].conduct->ends, &e->ends);
    if (at)
        l->thread[at - 1].is_dead = 1;
    if (e->is_end)
        kymo_fdroles_exit(l->fds, e->pid, e->start_ns);
}

kymo_status kymo_seq_apply(struct kymo_sequence_learner *l, uint64_t until_ns,
                           struct kymo_err *err)
{
    for (; l->at_event < l->n_events && l->event[l->at_event].ts_ns <= until_ns;
         l->at_event++) {
        const struct seq_event *e = &l->event[l->at_event];
        if (e->kind == SEQ_FORK)
            KYMO_TRY(apply_fork(l, e, err));
        else if (e->kind == SEQ_EXEC)
            apply_exec(l, e);
        else if (e->kind == SEQ_EXIT)
            apply_exit(l, e);
        else
            kymo_fdroles_tell(l->fds, e->pid, e->start_ns, e->fd, e->on);
    }
    return KYMO_OK;
}

/* -- names ------------------------------------------------------------------------------------ */

static int was_seen(struct seq_recent *r, uint64_t hash)
{
    if (r->n_seen >= r->slots / 2 && r->slots < SEEN_MAX * 2) {
        const uint32_t slots = r->slots ? r->slots * 2 : 64;
        uint64_t *more = calloc(slots, sizeof(*more));
        if (!more)
            return 0;
        for (uint32_t i = 0; i < r->slots; i++) {
            uint32_t at = (uint32_t)r->seen[i] & (slots - 1);
            while (r->seen[i] && more[at])
                at = (at + 1) & (slots - 1);
            if (r->seen[i])
                more[at] = r->seen[i];
        }
        free(r->seen);
        r->seen = more;
        r->slots = slots;
    }
    uint32_t at = (uint32_t)hash & (r->slots - 1);
    while (r->seen[at] && r->seen[at] != hash)
        at = (at + 1) & (r->slots - 1);
    if (r->seen[at])
        return 1;
    if (r->n_seen < SEEN_MAX) {
        r->seen[at] = hash;
        r->n_seen++;
    }
    return 0;
}

static struct seq_recent *recent_of(struct kymo_sequence_learner *l, uint32_t role, int of)
{
    if (role >= l->n_recent) {
        const uint32_t n = role + 64;
        struct seq_recent *(*more)[2] = realloc(l->recent, n * sizeof(*more));
        if (!more)
            return NULL;
        memset(more + l->n_recent, 0, (n - l->n_recent) * sizeof(*more));
        l->recent = more;
        l->n_recent = n;
    }
    if (!l->recent[role][of])
        l->recent[role][of] = calloc(1, sizeof(struct seq_recent));
    return l->recent[role][of];
}

uint32_t kymo_seq_recency(struct kymo_sequence_learner *l, uint32_t role, int of_peers,
                          const char *s, size_t n)
{
    struct seq_recent *r = recent_of(l, role, of_peers);
    uint64_t hash = XXH3_64bits(s, n);
    hash += !hash;
    if (!r)
        return KYMO_RECENCY_NEW;
    uint32_t at = 0;
    while (at < r->n && r->hash[at] != hash)
        at++;
    const int is_listed = at < r->n;
    const int seen = was_seen(r, hash);
    if (!is_listed && r->n < KYMO_RECENCY_LIST)
        at = r->n++;
    else if (!is_listed)
        at = r->n - 1;
    memmove(r->hash + 1, r->hash, at * sizeof(*r->hash));
    r->hash[0] = hash;
    return is_listed ? kymo_recency_bucket(at) : seen ? KYMO_RECENCY_OLD : KYMO_RECENCY_NEW;
}

void kymo_seq_forget(struct kymo_sequence_learner *l)
{
    for (uint32_t i = 0; i < l->n_recent; i++)
        for (int of = 0; of < 2; of++)
            if (l->recent[i][of]) {
                free(l->recent[i][of]->seen);
                free(l->recent[i][of]);
            }
    free(l->recent);
    l->recent = NULL;
    l->n_recent = 0;
    if (l->thread_slot)
        memset(l->thread_slot, 0, l->thread_slots * sizeof(*l->thread_slot));
    l->n_threads = 0;
    l->n_events = l->at_event = 0;
    memset(l->made, 0, sizeof(l->made));
    if (l->depth)
        memset(l->depth, 0, SEQ_DEPTHS * sizeof(*l->depth));
}
