/* SPDX-License-Identifier: Apache-2.0
 * feature_rows.c: processes, counts of calls and descriptors into the accumulators of their entities.
 */
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/model/feature_run.h"

/* Bounds of what a capture can make us hold. */
#define OPENED_MAX                                                                             \
    (1u << 20) /* entities of the snapshots that are held; later ones are not known */
#define SNAPSHOT_NS 1000000000 /* rows within it of the first one are of the same snapshot */
#define SNAPSHOTS_MAX 4096u
#define COUNT_PANES_MAX 4096u /* steps that one count may be of */

/* -- processes -------------------------------------------------------------------------------- */

static enum kymo_process_kind process_kind(const struct kymo_batch *b, uint32_t i)
{
    static const char *const kinds[KYMO_PROCESS_KINDS] = {"fork", "exec", "exit", "cred"};
    int k = 0;
    while (k < KYMO_PROCESS_KINDS &&
           !kymo_is_text(b, kymo_cell(b, KYMO_PROCESS_KIND, NULL, i), kinds[k]))
        k++;
    return (enum kymo_process_kind)k;
}

static void process_who(const struct kymo_batch *b, uint32_t i, struct who *w)
{
    w->pid = kymo_cell(b, KYMO_PROCESS_PID, NULL, i);
    w->start_ns = kymo_cell(b, KYMO_PROCESS_START, NULL, i);
    w->execseq = kymo_cell(b, KYMO_PROCESS_EXECSEQ, NULL, i);
    w->cgroup = kymo_cell(b, KYMO_PROCESS_CGROUP, NULL, i);
    w->comm = kymo_cell_text(b, kymo_cell(b, KYMO_PROCESS_COMM, NULL, i), &w->comm_bytes);
}

/* What the row says of who the process is. Its exit says nothing that is not known. */
static void learn_process(struct kymo_feature_run *r, const struct kymo_batch *b, uint32_t i,
                          enum kymo_process_kind kind, const struct who *w)
{
    size_t n;
    const char *exe = kymo_cell_text(b, kymo_cell(b, KYMO_PROCESS_EXE, NULL, i), &n);
    if (kind == KYMO_PROCESS_IS_FORK && !n)
        kymo_entity_fork(r, w, kymo_cell(b, KYMO_PROCESS_PPID, NULL, i));
    else if (kind != KYMO_PROCESS_IS_EXIT)
        kymo_entity_learn(r, w, n ? exe : NULL, n);
}

static void read_exe(struct kymo_feature_run *r, const struct kymo_batch *b, uint32_t i,
                     struct kymo_process_row *row)
{
    size_t n;
    const char *exe = kymo_cell_text(b, kymo_cell(b, KYMO_PROCESS_EXE, NULL, i), &n);
    if (!n)
        return;
    row->exe = XXH3_64bits(exe, n);
    row->exe += !row->exe;
    const struct kymo_vocabulary *v = r->spec->vocabulary;
    row->exe_is_new = v && !kymo_is_known(v, KYMO_KNOWN_EXES, row->exe);
    if (r->fit)
        kymo_vocabulary_learn(r->fit, KYMO_KNOWN_EXES, row->exe);
}

static struct kymo_process_row read_process(struct kymo_feature_run *r,
                                            const struct kymo_batch *b, uint32_t i,
                                            enum kymo_process_kind kind)
{
    struct kymo_process_row row = {.kind = kind};
    read_exe(r, b, i, &row);
    row.has_usage = kymo_has_cell(b, KYMO_PROCESS_LIFETIME, i);
    /* a table without usage does not say which thread was the last: the leader is taken for it */
    row.is_end = kymo_has_cell(b, KYMO_PROCESS_CODE, i) &&
                 (row.has_usage || (b->schema->n_columns <= KYMO_PROCESS_LIFETIME &&
                                    kymo_cell(b, KYMO_PROCESS_PID, NULL, i) ==
                                        kymo_cell(b, KYMO_PROCESS_TID, NULL, i)));
    row.code = row.is_end ? kymo_cell(b, KYMO_PROCESS_CODE, NULL, i) : 0;
    if (!row.has_usage)
        return row;
    row.lifetime_ns = kymo_cell(b, KYMO_PROCESS_LIFETIME, NULL, i);
    row.utime_ns = kymo_cell(b, KYMO_PROCESS_UTIME, NULL, i);
    row.stime_ns = kymo_cell(b, KYMO_PROCESS_STIME, NULL, i);
    row.maxrss_bytes = kymo_cell(b, KYMO_PROCESS_MAXRSS, NULL, i);
    row.minflt = kymo_cell(b, KYMO_PROCESS_MINFLT, NULL, i);
    row.majflt = kymo_cell(b, KYMO_PROCESS_MAJFLT, NULL, i);
    return row;
}

kymo_status kymo_take_processes(struct kymo_feature_run *r, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    r->facts.from |= KYMO_FROM_PROCESSES;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const enum kymo_process_kind kind = process_kind(b, i);
        struct who w = {0};
        struct pane *p;
        uint32_t index;
        process_who(b, i, &w);
        learn_process(r, b, i, kind, &w);
        if (kind == KYMO_PROCESS_KINDS)
            continue;
        KYMO_TRY(kymo_pane_get(r, kymo_pane_of(r, b->lane[KYMO_PROCESS_TS][i]), b->at_bytes, &p,
                               err));
        if (!p) {
            r->facts.late++;
            continue;
        }
        kymo_entity_key(r, &w);
        KYMO_TRY(kymo_entity_get(r, p, &w, &index, err));
        const struct kymo_process_row row = read_process(r, b, i, kind);
        for (size_t g = 0; g < r->n_groups; g++)
            if (r->group[g]->process)
                r->group[g]->process(p->entity[index].acc + r->at[g], &row);
    }
    return KYMO_OK;
}

/* -- counts ----------------------------------------------------------------------------------- */

/*
 * A count is of the time from its start to its end, which meets one or more panes. Each pane gets the
 * part of it that its part of the time is, rounded so that the parts add up.
 */
struct stretch {
    uint64_t start_ns, dur_ns;
    uint64_t from_ns, to_ns; /* of the pane's part, since start_ns */
};

static uint64_t part_until(uint64_t n, uint64_t at_ns, uint64_t dur_ns)
{
    return (uint64_t)(__extension__(unsigned __int128) n * at_ns / dur_ns);
}

static uint64_t part(uint64_t n, const struct stretch *s)
{
    return n ? part_until(n, s->to_ns, s->dur_ns) - part_until(n, s->from_ns, s->dur_ns) : 0;
}

/* The pane's part of the stretch; what was before the first pane is in none. */
static void cut(const struct kymo_feature_run *r, uint64_t pane, struct stretch *s)
{
    const uint64_t lo = r->origin_ns + pane * r->step_ns, hi = lo + r->step_ns;
    s->to_ns = hi - s->start_ns < s->dur_ns ? hi - s->start_ns : s->dur_ns;
    s->from_ns = lo > s->start_ns ? lo - s->start_ns : 0;
    if (s->from_ns > s->to_ns)
        s->from_ns = s->to_ns;
}

static void count_row(const struct kymo_batch *b, uint32_t i, const struct stretch *s,
                      struct kymo_count_row *row)
{
    row->calls = part(kymo_cell(b, KYMO_COUNT_CALLS, NULL, i), s);
    row->errors = part(kymo_cell(b, KYMO_COUNT_ERRORS, NULL, i), s);
    row->bytes = part(kymo_cell(b, KYMO_COUNT_BYTES, NULL, i), s);
    row->timed = part(kymo_cell(b, KYMO_COUNT_TIMED, NULL, i), s);
    row->time_ns = part(kymo_cell(b, KYMO_COUNT_TIME, NULL, i), s);
    for (uint32_t k = 0; k < KYMO_COUNT_BUCKETS; k++)
        row->lat[k] = part(kymo_cell(b, KYMO_COUNT_LAT + k, NULL, i), s);
}

static kymo_status count_into(struct kymo_feature_run *r, struct pane *p, const struct who *w,
                              const struct kymo_count_row *row, struct kymo_err *err)
{
    uint32_t index;
    KYMO_TRY(kymo_entity_get(r, p, w, &index, err));
    struct entity *e = &p->entity[index];
    e->events += row->calls;
    for (size_t g = 0; g < r->n_groups; g++) {
        if (r->group[g]->counts)
            r->group[g]->counts(e->acc + r->at[g], row);
        if (r->group[g]->task && row->calls)
            r->group[g]->task(e->acc + r->at[g], w->pid, 0);
    }
    return KYMO_OK;
}

static void count_who(struct kymo_feature_run *r, const struct kymo_batch *b, uint32_t i,
                      struct who *w)
{
    w->pid = kymo_cell(b, KYMO_COUNT_PID, NULL, i);
    w->start_ns = kymo_cell(b, KYMO_COUNT_START, NULL, i);
    w->execseq = kymo_cell(b, KYMO_COUNT_EXECSEQ, NULL, i);
    w->cgroup = kymo_cell(b, KYMO_COUNT_CGROUP, NULL, i);
    w->comm = kymo_cell_text(b, kymo_cell(b, KYMO_COUNT_COMM, NULL, i), &w->comm_bytes);
    kymo_entity_learn(r, w, NULL, 0);
    kymo_entity_key(r, w);
}

/* The stretch of a row, and the panes that it meets. */
static kymo_status stretch_of(const struct kymo_feature_run *r, const struct kymo_batch *b,
                              uint32_t row, struct stretch *s, uint64_t *first, uint64_t *last,
                              struct kymo_err *err)
{
    const uint64_t end_ns = b->lane[0][row];
    s->dur_ns = r->count_dur_ns < end_ns ? r->count_dur_ns : end_ns;
    s->dur_ns += !s->dur_ns;
    s->start_ns = end_ns > s->dur_ns ? end_ns - s->dur_ns : 0;
    *first = kymo_pane_of(r, s->start_ns);
    *last = kymo_pane_of(r, end_ns ? end_ns - 1 : 0);
    if (*last - *first >= COUNT_PANES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, b->at_bytes,
                         "calls were counted by %g s, more than %u steps of time; use a longer "
                         "--step",
                         (double)s->dur_ns / 1e9, COUNT_PANES_MAX);
    return KYMO_OK;
}

kymo_status kymo_take_counts(struct kymo_feature_run *r, const struct kymo_batch *b,
                             struct kymo_err *err)
{
    r->facts.from |= KYMO_FROM_COUNTS;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct kymo_count_row row = {.pane_ns = r->step_ns};
        struct who w = {0};
        uint64_t first, last, in = 0;
        struct stretch s;
        r->count_dur_ns = kymo_cell(b, KYMO_COUNT_DUR, NULL, i);
        KYMO_TRY(stretch_of(r, b, i, &s, &first, &last, err));
        count_who(r, b, i, &w);
        kymo_know_call(&row.kind, (uint32_t)kymo_cell(b, KYMO_COUNT_ARCH, NULL, i),
                       (uint32_t)kymo_cell(b, KYMO_COUNT_NR, NULL, i));
        for (uint64_t at = first; at <= last; at++) {
            struct pane *p;
            KYMO_TRY(kymo_pane_get(r, at, b->at_bytes, &p, err));
            cut(r, at, &s);
            count_row(b, i, &s, &row);
            r->facts.calls += row.calls;
            in += p != NULL;
            if (p && row.calls)
                KYMO_TRY(count_into(r, p, &w, &row, err));
        }
        r->facts.late += !in;
        if (b->lane[KYMO_COUNT_TS][i] > r->counted_until_ns)
            r->counted_until_ns = b->lane[KYMO_COUNT_TS][i];
    }
    r->hold_ns = 0;
    return KYMO_OK;
}

/* Their times and lengths are those of the count rows before them. */
kymo_status kymo_take_count_errors(struct kymo_feature_run *r, const struct kymo_batch *b,
                                   struct kymo_err *err)
{
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct who w = {.pid = kymo_cell(b, KYMO_COUNT_ERROR_PID, NULL, i),
                        .start_ns = kymo_cell(b, KYMO_COUNT_ERROR_START, NULL, i),
                        .comm = "(unknown)",
                        .comm_bytes = 9};
        struct kymo_call_kind kind;
        uint64_t first, last;
        struct stretch s;
        KYMO_TRY(stretch_of(r, b, i, &s, &first, &last, err));
        if (!kymo_entity_recall(r, &w))
            kymo_entity_key(r, &w);
        kymo_know_call(&kind, (uint32_t)kymo_cell(b, KYMO_COUNT_ERROR_ARCH, NULL, i),
                       (uint32_t)kymo_cell(b, KYMO_COUNT_ERROR_NR, NULL, i));
        for (uint64_t at = first; at <= last; at++) {
            struct pane *p;
            uint32_t index;
            KYMO_TRY(kymo_pane_get(r, at, b->at_bytes, &p, err));
            cut(r, at, &s);
            const uint64_t n = part(kymo_cell(b, KYMO_COUNT_ERROR_CALLS, NULL, i), &s);
            if (!p || !n)
                continue;
            KYMO_TRY(kymo_entity_get(r, p, &w, &index, err));
            for (size_t g = 0; g < r->n_groups; g++)
                if (r->group[g]->count_error)
                    r->group[g]->count_error(p->entity[index].acc + r->at[g], &kind,
                                             kymo_cell(b, KYMO_COUNT_ERROR_ERRNO, NULL, i), n);
        }
    }
    return KYMO_OK;
}

/* -- descriptors ------------------------------------------------------------------------------ */

static enum kymo_open_kind open_kind(const struct kymo_batch *b, uint32_t i)
{
    size_t n;
    const char *s = kymo_cell_text(b, kymo_cell(b, KYMO_FD_TARGET, NULL, i), &n);
    if (n >= 1 && s[0] == '/')
        return KYMO_OPEN_FILES;
    if (n >= 7 && memcmp(s, "socket:", 7) == 0)
        return KYMO_OPEN_SOCKETS;
    return n >= 5 && memcmp(s, "pipe:", 5) == 0 ? KYMO_OPEN_PIPES : KYMO_OPEN_OTHERS;
}

/* The snapshot that a row is of; NULL: an older one, or one too many. */
static struct open_snapshot *snapshot_at(struct kymo_feature_run *r, uint64_t ts_ns)
{
    struct open_snapshot *last = r->snapshot_n ? &r->snapshot[r->snapshot_n - 1] : NULL;
    if (last && ts_ns >= last->ts_ns && ts_ns - last->ts_ns < SNAPSHOT_NS)
        return last;
    if ((last && ts_ns < last->ts_ns) || r->snapshot_n == SNAPSHOTS_MAX ||
        !kymo_feature_room((void **)&r->snapshot, &r->snapshot_cap, r->snapshot_n,
                           sizeof(*r->snapshot)))
        return NULL;
    r->snapshot[r->snapshot_n] = (struct open_snapshot){.ts_ns = ts_ns};
    return &r->snapshot[r->snapshot_n++];
}

/* Rows of a process follow one another. */
static struct opened *opened_by(struct kymo_feature_run *r, struct open_snapshot *s,
                                uint64_t key)
{
    if (s->n && s->of[s->n - 1].key == key)
        return &s->of[s->n - 1];
    if (r->opened_n == OPENED_MAX ||
        !kymo_feature_room((void **)&s->of, &s->cap, s->n, sizeof(*s->of)))
        return NULL;
    r->opened_n++;
    s->of[s->n] = (struct opened){.key = key};
    s->is_sorted = 0;
    return &s->of[s->n++];
}

kymo_status kymo_take_opens(struct kymo_feature_run *r, const struct kymo_batch *b,
                            struct kymo_err *err)
{
    (void)err;
    r->facts.from |= KYMO_FROM_OPENS;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct who w = {.pid = kymo_cell(b, KYMO_FD_PID, NULL, i),
                        .start_ns = kymo_cell(b, KYMO_FD_START, NULL, i),
                        .comm = ""};
        struct open_snapshot *s = snapshot_at(r, b->lane[KYMO_FD_TS][i]);
        if (!kymo_entity_recall(r, &w))
            kymo_entity_key(r, &w);
        struct opened *o = s ? opened_by(r, s, w.key) : NULL;
        if (o)
            o->n[open_kind(b, i)]++;
    }
    return KYMO_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct opened *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

/* By key, each once. */
static void sort_snapshot(struct kymo_feature_run *r, struct open_snapshot *s)
{
    size_t kept = 0;
    if (s->n)
        qsort(s->of, s->n, sizeof(*s->of), by_key);
    for (size_t i = 0; i < s->n; i++) {
        if (!kept || s->of[kept - 1].key != s->of[i].key) {
            s->of[kept++] = s->of[i];
            continue;
        }
        for (int k = 0; k < KYMO_OPEN_KINDS; k++)
            s->of[kept - 1].n[k] += s->of[i].n[k];
    }
    r->opened_n -= s->n - kept;
    s->n = kept;
    s->is_sorted = 1;
}

void kymo_opens_of(struct kymo_feature_run *r, uint64_t key, uint64_t end_ns,
                   uint64_t n[KYMO_OPEN_KINDS])
{
    size_t i = r->snapshot_n;
    while (i > 0 && r->snapshot[i - 1].ts_ns >= end_ns)
        i--;
    memset(n, 0, KYMO_OPEN_KINDS * sizeof(*n));
    if (i == 0)
        return;
    struct open_snapshot *s = &r->snapshot[i - 1];
    if (!s->is_sorted)
        sort_snapshot(r, s);
    const struct opened want = {.key = key};
    const struct opened *o = s->n ? bsearch(&want, s->of, s->n, sizeof(want), by_key) : NULL;
    if (o)
        memcpy(n, o->n, sizeof(o->n));
}

void kymo_opens_forget(struct kymo_feature_run *r, uint64_t ts_ns)
{
    size_t gone = 0;
    while (gone + 1 < r->snapshot_n && r->snapshot[gone + 1].ts_ns <= ts_ns) {
        r->opened_n -= r->snapshot[gone].n;
        free(r->snapshot[gone++].of);
    }
    if (gone)
        memmove(r->snapshot, r->snapshot + gone, (r->snapshot_n - gone) * sizeof(*r->snapshot));
    r->snapshot_n -= gone;
}

void kymo_opens_forget_all(struct kymo_feature_run *r)
{
    for (size_t i = 0; i < r->snapshot_n; i++)
        free(r->snapshot[i].of);
    free(r->snapshot);
    r->snapshot = NULL;
    r->snapshot_n = r->snapshot_cap = 0;
}
