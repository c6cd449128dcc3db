/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/choose.h"

#include <stdlib.h>
#include <string.h>

#include "format/trace/filter.h"

/* The columns that say whose a row is; -1 where the table has none. */
struct entity {
    int pid, comm, cgroup;
    int by_task; /* all of them are of the task */
};

static kymo_status take_pids(struct kymo_choose *c, struct kymo_err *err)
{
    for (size_t i = 0; i < c->o->pid.n; i++) {
        char *end;
        c->pid[i] = strtoull(c->o->pid.v[i], &end, 10);
        if (!c->o->pid.v[i][0] || *end || c->o->pid.v[i][0] == '-')
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "'%s' is no process id",
                             c->o->pid.v[i]);
    }
    return KYMO_OK;
}

kymo_status kymo_choose_open(struct kymo_choose *c, const struct kymo_slice_opts *o,
                             const struct kymo_people *people, struct kymo_ledger *ledger,
                             struct kymo_err *err)
{
    memset(c, 0, sizeof(*c));
    c->o = o;
    c->people = people;
    c->ledger = ledger;
    c->is_filtered = o->pid.n || o->comm.n || o->cgroup.n || o->table.n || o->filter;
    c->is_cut = c->is_filtered || o->mark || o->since_ns || o->until_ns != UINT64_MAX;
    KYMO_TRY(take_pids(c, err));
    if (o->filter)
        KYMO_TRY(kymo_filter_open(&c->filter, o->filter, err));
    c->row = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*c->row));
    c->task = malloc(KYMO_CHUNK_TASKS_MAX);
    return c->row && c->task
               ? KYMO_OK
               : KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a slice");
}

void kymo_choose_close(struct kymo_choose *c)
{
    kymo_filter_close(c->filter);
    free(c->row);
    free(c->task);
}

/* -------- time -------- */

/* The first span that ends at ts or later: n_spans when there is none. */
static size_t span_from(const struct kymo_choose *c, uint64_t ts)
{
    size_t lo = 0, hi = c->n_spans;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (c->span[mid].until_ns < ts)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct kymo_time_span *kymo_choose_span(const struct kymo_choose *c, uint64_t ts)
{
    const size_t i = span_from(c, ts);
    return i < c->n_spans && c->span[i].since_ns <= ts ? &c->span[i] : NULL;
}

int kymo_choose_meets(const struct kymo_choose *c, uint64_t min_ns, uint64_t max_ns)
{
    const size_t i = span_from(c, min_ns);
    return i < c->n_spans && c->span[i].since_ns <= max_ns;
}

int kymo_choose_holds(const struct kymo_choose *c, uint64_t min_ns, uint64_t max_ns)
{
    const struct kymo_time_span *s = kymo_choose_span(c, min_ns);
    return s && max_ns <= s->until_ns;
}

enum kymo_cut kymo_choose_why(const struct kymo_choose *c, uint64_t ts)
{
    return c->n_spans && ts > c->span[c->n_spans - 1].until_ns ? KYMO_CUT_AFTER
                                                               : KYMO_CUT_BEFORE;
}

/* -------- whose -------- */

int kymo_choose_table(const struct kymo_choose *c, const char *table)
{
    for (size_t i = 0; i < c->o->table.n; i++)
        if (!strcmp(c->o->table.v[i], table))
            return 1;
    return !c->o->table.n;
}

static int column_of(const struct kymo_schema *s, const char *name, uint8_t type)
{
    const int c = kymo_schema_column(s, name);
    return c >= 0 && s->column[c].type == type ? c : -1;
}

static int is_of_task(const struct kymo_schema *s, int c)
{
    return c < 0 || s->column[c].order == KYMO_ORDER_TASK;
}

static struct entity entity_of(const struct kymo_schema *s)
{
    struct entity e = {column_of(s, "pid", KYMO_T_U64), column_of(s, "comm", KYMO_T_STR),
                       column_of(s, "cgroup", KYMO_T_U64), 0};
    e.by_task = kymo_schema_is_grouped(s) && is_of_task(s, e.pid) && is_of_task(s, e.comm) &&
                is_of_task(s, e.cgroup);
    return e;
}

static int globs(const struct kymo_words *w, const char *s, size_t n)
{
    for (size_t i = 0; i < w->n; i++)
        if (kymo_glob(w->v[i], strlen(w->v[i]), s, n))
            return 1;
    return 0;
}

static int has_pid(const struct kymo_choose *c, uint64_t pid)
{
    for (size_t i = 0; i < c->o->pid.n; i++)
        if (c->pid[i] == pid)
            return 1;
    return 0;
}

/* A table that does not say whose a row is has none of anybody's. */
static int is_asked(const struct kymo_choose *c, const struct entity *e,
                    const struct kymo_batch *b, uint32_t row)
{
    if (c->o->pid.n && (e->pid < 0 || !kymo_batch_present(b, (uint32_t)e->pid, row) ||
                        !has_pid(c, kymo_batch_u64(b, (uint32_t)e->pid, row))))
        return 0;
    if (c->o->comm.n) {
        uint32_t n;
        if (e->comm < 0 || !kymo_batch_present(b, (uint32_t)e->comm, row))
            return 0;
        const char *s = kymo_batch_str(b, (uint32_t)e->comm, row, &n);
        if (!globs(&c->o->comm, s, n))
            return 0;
    }
    if (c->o->cgroup.n) {
        if (e->cgroup < 0 || !kymo_batch_present(b, (uint32_t)e->cgroup, row))
            return 0;
        const char *path =
            kymo_people_cgroup(c->people, kymo_batch_u64(b, (uint32_t)e->cgroup, row));
        if (!path || !globs(&c->o->cgroup, path, strlen(path)))
            return 0;
    }
    return 1;
}

static int is_task_asked(struct kymo_choose *c, const struct entity *e,
                         const struct kymo_batch *b, uint32_t row)
{
    if (!e->by_task)
        return is_asked(c, e, b, row);
    uint8_t *known = &c->task[b->task[row]];
    if (!*known)
        *known = (uint8_t)(1 + is_asked(c, e, b, row));
    return *known - 1;
}

/* -------- rows -------- */

/* A filter about no table is a mistake; one that is not about this one leaves all of it out, unless
 * it was named: then it is a mistake too. */
static kymo_status bind_filter(struct kymo_choose *c, const struct kymo_batch *b, int *is_about,
                               struct kymo_err *err)
{
    *is_about = 1;
    if (!c->filter)
        return KYMO_OK;
    const kymo_status s =
        kymo_filter_bind(c->filter, b->schema, c->names, c->start_ns, &c->misfit);
    if (s == KYMO_EUSAGE && !c->o->table.n) {
        *is_about = 0;
        return KYMO_OK;
    }
    if (s) {
        if (err)
            *err = c->misfit;
        return s;
    }
    c->n_bound++;
    return kymo_filter_begin(c->filter, b, err);
}

static kymo_status begin(struct kymo_choose *c, const struct kymo_batch *b, struct entity *e,
                         int *is_about, struct kymo_err *err)
{
    *e = entity_of(b->schema);
    memset(c->task, 0, b->n_tasks);
    *is_about = kymo_choose_table(c, b->schema->table);
    return *is_about ? bind_filter(c, b, is_about, err) : KYMO_OK;
}

/* Rings are the CPUs; a row's flags say whether its losses counted it as late or unread. */
static kymo_status leave_out(struct kymo_choose *c, const struct kymo_batch *b, uint32_t row,
                             enum kymo_cut why, int cpu, int flags, struct kymo_err *err)
{
    return kymo_ledger_cut(c->ledger, b->schema->table,
                           cpu < 0 ? 0 : kymo_batch_u64(b, (uint32_t)cpu, row), 1, why,
                           flags < 0 ? 0 : kymo_batch_u64(b, (uint32_t)flags, row), err);
}

kymo_status kymo_choose_rows(struct kymo_choose *c, const struct kymo_batch *b, uint32_t *n,
                             struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema);
    const int cpu = column_of(b->schema, "cpu", KYMO_T_U64);
    const int flags = column_of(b->schema, "flags", KYMO_T_U64);
    struct entity e;
    int is_about;
    *n = 0;
    KYMO_TRY(begin(c, b, &e, &is_about, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const uint64_t at = ts < 0 ? 0 : b->lane[ts][i];
        if (ts >= 0 && !kymo_choose_span(c, at))
            KYMO_TRY(leave_out(c, b, i, kymo_choose_why(c, at), cpu, flags, err));
        else if (is_about && is_task_asked(c, &e, b, i) &&
                 (!c->filter || kymo_filter_match(c->filter, i)))
            c->row[(*n)++] = i;
        else
            KYMO_TRY(leave_out(c, b, i, KYMO_CUT_FILTER, cpu, flags, err));
    }
    return KYMO_OK;
}

kymo_status kymo_choose_processes(struct kymo_choose *c, const struct kymo_batch *b,
                                  uint8_t *asked, struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema);
    struct entity e;
    int is_about;
    KYMO_TRY(begin(c, b, &e, &is_about, err));
    for (uint32_t i = 0; i < b->n_rows; i++)
        asked[i] = is_about && (ts < 0 || kymo_choose_span(c, b->lane[ts][i])) &&
                   is_task_asked(c, &e, b, i) &&
                   (!c->filter || kymo_filter_match(c->filter, i));
    return KYMO_OK;
}
