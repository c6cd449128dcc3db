/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/tally.h"

#include <stdlib.h>
#include <string.h>

#include "format/stat/tally_own.h"
#include "format/trace/sysname.h"

#define TEXT_BYTES_MAX ((size_t)128 << 20)
#define ERRNO_MAX 4095
#define ERESTART_FIRST 512
#define ERESTART_LAST 516
enum { MOVES_NOTHING, MOVES_IN, MOVES_OUT };

int kymo_measure_parse(const char *name, struct kymo_measure *m)
{
    static const char *const names[] = {"count",   "rate",  "share",    "errors", "read",
                                        "written", "bytes", "time",     "min",    "mean",
                                        "max",     NULL,    "histogram"};
    *m = (struct kymo_measure){.name = name};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i] && !strcmp(names[i], name)) {
            m->kind = (enum kymo_measure_kind)i;
            return 1;
        }
    m->kind = KYMO_MEASURE_QUANTILE;
    return kymo_quantile_parse(name, &m->q);
}

/* -------- open -------- */

/* What a measure is made of; a quantile gets its place. */
static void ask_measure(struct kymo_tally *t, const struct kymo_measure *m)
{
    const enum kymo_measure_kind k = m->kind;
    t->needs_ret |= k >= KYMO_MEASURE_ERRORS && k <= KYMO_MEASURE_BYTES;
    t->needs_dur |= k >= KYMO_MEASURE_TIME;
    t->needs_sums |= k >= KYMO_MEASURE_TIME && k <= KYMO_MEASURE_MAX;
    t->needs_values |= k == KYMO_MEASURE_QUANTILE || k == KYMO_MEASURE_HISTOGRAM;
    if (k != KYMO_MEASURE_QUANTILE)
        return;
    for (size_t i = 0; i < t->n_quantiles; i++)
        if (t->quantile[i] == m->q)
            return;
    if (t->n_quantiles < KYMO_QUANTILES_MAX)
        t->quantile[t->n_quantiles++] = m->q;
}

kymo_status kymo_tally_open(struct kymo_tally **out, const struct kymo_tally_ask *ask,
                            struct kymo_err *err)
{
    struct kymo_tally *t = calloc(1, sizeof(*t));
    if (!t)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    t->ask = ask;
    t->pass = 1;
    t->value_of = UINT32_MAX;
    for (size_t i = 0; i < ask->n_by; i++)
        kymo_by_init(&t->by[i], ask->by[i], TEXT_BYTES_MAX);
    kymo_idset_init(&t->groups, GROUP_WORDS);
    ask_measure(t, &ask->sort);
    for (size_t i = 0; i < ask->n_measures; i++)
        ask_measure(t, &ask->measure[i]);
    kymo_status s = kymo_callorder_open(&t->callorder, err);
    if (!s && ask->filter)
        s = kymo_filter_open(&t->filter, ask->filter, err);
    if (s) {
        kymo_tally_close(t);
        return s;
    }
    *out = t;
    return KYMO_OK;
}

static void release_refine(struct kymo_tally *t)
{
    for (size_t i = 0; i < t->n_refine; i++)
        kymo_refine_release(&t->refine[i]);
    free(t->refine);
    t->refine = NULL;
    t->n_refine = 0;
}

void kymo_tally_close(struct kymo_tally *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->ask->n_by; i++)
        kymo_by_release(&t->by[i]);
    for (uint32_t g = 0; g < t->groups.n && g < t->cap_groups; g++)
        kymo_values_release(&t->group[g].values);
    for (int p = 0; p < KYMO_BY_PLACES; p++) {
        kymo_idset_release(&t->part[p]);
        free(t->id[p]);
    }
    release_refine(t);
    kymo_idset_release(&t->groups);
    free(t->group);
    kymo_filter_close(t->filter);
    kymo_callorder_close(t->callorder);
    free(t);
}

/* -------- against a schema -------- */

static int column_of(const struct kymo_schema *s, const char *name, enum kymo_type type)
{
    const int c = kymo_schema_column(s, name);
    return c >= 0 && s->column[c].type == type ? c : -1;
}

static kymo_status needs_column(const struct kymo_tally *t, int column, const char *name,
                                const char *what, struct kymo_err *err)
{
    return column >= 0 ? KYMO_OK
                       : KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                                   "table %s has no column '%s', which %s made of",
                                   t->schema->table, name, what);
}

/* Does the filter look at more than tasks and keys? */
static kymo_status bind_filter(struct kymo_tally *t, struct kymo_err *err)
{
    t->filter_by_row = 0;
    if (!t->filter)
        return KYMO_OK;
    KYMO_TRY(kymo_filter_bind(t->filter, t->schema, t->names, t->start_ns, err));
    uint8_t *want = calloc(t->schema->n_columns, 1);
    if (!want)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    kymo_filter_need(t->filter, want);
    for (uint32_t c = 0; c < t->schema->n_columns; c++)
        t->filter_by_row |= want[c] && t->schema->column[c].order != KYMO_ORDER_TASK &&
                            t->schema->column[c].order != KYMO_ORDER_KEY;
    free(want);
    return KYMO_OK;
}

static kymo_status bind_fields(struct kymo_tally *t, struct kymo_err *err)
{
    int n_before[KYMO_BY_PLACES];
    memcpy(n_before, t->n_of, sizeof(n_before));
    memset(t->n_of, 0, sizeof(t->n_of));
    for (size_t i = 0; i < t->ask->n_by; i++) {
        KYMO_TRY(kymo_by_resolve(&t->by[i], t->schema, err));
        t->n_of[t->by[i].place]++;
        for (size_t j = 0; j < i; j++)
            if (t->by[j].source == t->by[i].source && t->by[j].column == t->by[i].column)
                return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                                 "'%s' and '%s' are one field, asked for twice", t->by[j].name,
                                 t->by[i].name);
    }
    for (int p = 0; p < KYMO_BY_PLACES; p++) {
        if (t->groups.n && n_before[p] != t->n_of[p])
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "table %s is laid out in another way than in the input before",
                             t->schema->table);
        if (!t->part[p].words)
            kymo_idset_init(&t->part[p], (uint32_t)t->n_of[p]);
    }
    return KYMO_OK;
}

kymo_status kymo_tally_bind(struct kymo_tally *t, const struct kymo_schema *s,
                            const struct kymo_names *names, uint64_t start_ns,
                            struct kymo_err *err)
{
    t->schema = s;
    t->names = names;
    if (!t->has_start)
        t->start_ns = start_ns;
    t->has_start |= start_ns != 0;
    t->origin_ns = t->start_ns;
    if (t->ask->every_ns && !t->ask->from_start)
        t->origin_ns -= t->start_ns % t->ask->every_ns;
    t->ts = kymo_schema_ts(s);
    t->dur = column_of(s, "dur", KYMO_T_U64);
    t->ret = column_of(s, "ret", KYMO_T_I64);
    t->arch = column_of(s, "arch", KYMO_T_U64);
    t->nr = column_of(s, "nr", KYMO_T_U64);
    if (t->arch < 0 || t->nr < 0 || s->column[t->arch].order != KYMO_ORDER_KEY ||
        s->column[t->nr].order != KYMO_ORDER_KEY)
        t->arch = t->nr = -1; /* calls are told by the key of a row */
    if (t->ask->every_ns || t->ask->since_ns || t->ask->until_ns != UINT64_MAX)
        KYMO_TRY(needs_column(t, t->ts, "ts", "windows and times are", err));
    if (t->needs_dur)
        KYMO_TRY(needs_column(t, t->dur, "dur", "times and quantiles are", err));
    if (t->needs_ret)
        KYMO_TRY(needs_column(t, t->ret, "ret", "errors and bytes are", err));
    KYMO_TRY(bind_fields(t, err));
    return bind_filter(t, err);
}

void kymo_tally_need(const struct kymo_tally *t, uint8_t *want)
{
    for (size_t i = 0; i < t->ask->n_by; i++)
        kymo_by_need(&t->by[i], want);
    if (t->filter)
        kymo_filter_need(t->filter, want);
    if (t->needs_dur)
        want[t->dur] = 1;
    if (t->needs_ret) {
        want[t->ret] = 1;
        if (t->arch >= 0)
            want[t->arch] = want[t->nr] = 1;
    }
}

void kymo_tally_range(const struct kymo_tally *t, uint64_t *since_ns, uint64_t *until_ns)
{
    *since_ns = t->start_ns + t->ask->since_ns;
    if (*since_ns < t->start_ns)
        *since_ns = UINT64_MAX;
    *until_ns = t->start_ns + t->ask->until_ns;
    if (*until_ns < t->start_ns)
        *until_ns = UINT64_MAX;
    if (!t->ask->since_ns)
        *since_ns = 0; /* rows of a later file may be older than the start of the first */
}

static int64_t window_of(const struct kymo_tally *t, uint64_t ts)
{
    const uint64_t every = t->ask->every_ns;
    if (!every)
        return 0;
    if (ts >= t->origin_ns)
        return (int64_t)((ts - t->origin_ns) / every);
    return -(int64_t)((t->origin_ns - ts - 1) / every) - 1;
}

int kymo_tally_cuts(const struct kymo_tally *t, const struct kymo_batch *b)
{
    uint64_t since, until;
    if (t->ts < 0)
        return 0;
    kymo_tally_range(t, &since, &until);
    if (b->ts_max_ns < since || b->ts_min_ns > until)
        return 0; /* it is not counted at all */
    return b->ts_min_ns < since || b->ts_max_ns > until ||
           window_of(t, b->ts_min_ns) != window_of(t, b->ts_max_ns);
}

struct kymo_by *kymo_tally_field(struct kymo_tally *t, enum kymo_by_source source)
{
    for (size_t i = 0; i < t->ask->n_by; i++)
        if (t->by[i].source == source)
            return &t->by[i];
    return NULL;
}

void kymo_tally_saw(struct kymo_tally *t, uint64_t ts_ns)
{
    if (!t->has_ts || ts_ns < t->ts_min_ns)
        t->ts_min_ns = ts_ns;
    if (!t->has_ts || ts_ns > t->ts_max_ns)
        t->ts_max_ns = ts_ns;
    t->has_ts = 1;
}

/* -------- groups -------- */

static kymo_status room_for_groups(struct kymo_tally *t, struct kymo_err *err)
{
    if (t->groups.n < t->cap_groups)
        return KYMO_OK;
    const uint32_t cap = t->cap_groups ? t->cap_groups * 2 : 64;
    struct group *g = realloc(t->group, cap * sizeof(*g));
    if (!g)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u groups", cap);
    t->group = g;
    t->cap_groups = cap;
    return KYMO_OK;
}

static kymo_status find_group(struct kymo_tally *t, int64_t window, uint32_t task, uint32_t key,
                              uint32_t row, struct group **out, struct kymo_err *err)
{
    const uint32_t words[GROUP_WORDS] = {(uint32_t)(uint64_t)window,
                                         (uint32_t)((uint64_t)window >> 32), task, key, row};
    const uint32_t n = t->groups.n;
    uint32_t id;
    KYMO_TRY(room_for_groups(t, err));
    KYMO_TRY(kymo_idset_put(&t->groups, words, GROUPS_MAX, &id, err));
    if (id == n)
        t->group[id] = (struct group){.min_ns = UINT64_MAX, .refine = NO_REFINE};
    *out = &t->group[id];
    return KYMO_OK;
}

/* The part of each task, key or row: the numbers of its fields, as one number. */
static kymo_status take_parts(struct kymo_tally *t, enum kymo_by_place place, uint32_t n,
                              struct kymo_err *err)
{
    const struct kymo_by *field[KYMO_BY_MAX];
    uint32_t tuple[KYMO_BY_MAX];
    uint32_t n_fields = 0;
    for (size_t i = 0; i < t->ask->n_by; i++)
        if (t->by[i].place == place)
            field[n_fields++] = &t->by[i];
    if (!n_fields)
        return KYMO_OK;
    if (n > t->id_cap[place]) {
        free(t->id[place]);
        t->id_cap[place] = 0;
        t->id[place] = malloc(n * sizeof(uint32_t));
        if (!t->id[place])
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u rows", n);
        t->id_cap[place] = n;
    }
    uint32_t *id = t->id[place];
    if (n_fields == 1) {
        memcpy(id, field[0]->id, n * sizeof(*id));
        return KYMO_OK;
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t f = 0; f < n_fields; f++)
            tuple[f] = field[f]->id[i];
        KYMO_TRY(kymo_idset_put(&t->part[place], tuple, GROUPS_MAX, &id[i], err));
    }
    return KYMO_OK;
}

/* -------- counting -------- */

static void add_results(struct kymo_tally *t, struct group *g, uint16_t key, uint32_t at,
                        uint32_t n)
{
    const uint64_t *ret = t->view.lane[t->ret];
    const uint8_t *present = t->view.present[t->ret];
    uint64_t errors = 0, bytes = 0;
    if (!ret)
        return;
    for (uint32_t i = at; i < at + n; i++) {
        const int64_t v = (int64_t)ret[i];
        if (present && !present[i])
            continue;
        errors += v < 0 && v >= -ERRNO_MAX && !(v <= -ERESTART_FIRST && v >= -ERESTART_LAST);
        bytes += v > 0 ? (uint64_t)v : 0;
    }
    g->errors += errors;
    if (t->key_class[key] == MOVES_IN)
        g->read_bytes += bytes;
    else if (t->key_class[key] == MOVES_OUT)
        g->written_bytes += bytes;
}

static void add_sums(struct group *g, const uint64_t *dur, const uint8_t *present, uint32_t n)
{
    uint64_t sum = 0, min = g->min_ns, max = g->max_ns, known = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t v = dur[i];
        if (present && !present[i])
            continue;
        known++;
        sum += v;
        min = v < min ? v : min;
        max = v > max ? v : max;
    }
    g->n_dur += known;
    g->time_ns += sum;
    g->min_ns = min;
    g->max_ns = max;
}

static kymo_status add_durations(struct kymo_tally *t, struct group *g, uint32_t at, uint32_t n,
                                 struct kymo_err *err)
{
    const uint64_t *dur = t->view.lane[t->dur];
    const uint8_t *present = t->view.present[t->dur];
    const size_t before = g->values.kept_bytes;
    if (!dur)
        return KYMO_OK;
    dur += at;
    present = present ? present + at : NULL;
    if (t->needs_sums)
        add_sums(g, dur, present, n);
    if (!t->needs_values)
        return KYMO_OK;
    KYMO_TRY(kymo_values_add(&g->values, dur, present, n, err));
    t->kept_bytes += g->values.kept_bytes - before;
    return KYMO_OK;
}

/* n rows of one task, key and group, from row at on. */
static kymo_status add_rows(struct kymo_tally *t, struct group *g, uint16_t key, uint32_t at,
                            uint32_t n, struct kymo_err *err)
{
    if (t->pass > 1) {
        for (size_t i = 0; g->refine != NO_REFINE && i < t->n_quantiles; i++) {
            struct kymo_refine *r = &t->refine[g->refine + i];
            const uint8_t *present = t->view.present[t->dur];
            if (r->bits && t->view.lane[t->dur])
                kymo_refine_add(r, t->view.lane[t->dur] + at, present ? present + at : NULL, n);
        }
        return KYMO_OK;
    }
    g->count += n;
    if (t->needs_ret)
        add_results(t, g, key, at, n);
    return t->needs_dur ? add_durations(t, g, at, n, err) : KYMO_OK;
}

/* What is asked of each row of a batch. */
struct by_row {
    const uint64_t *ts; /* NULL: all rows are of `window` */
    uint64_t since, until;
    int64_t window;
    int filter, parts;
};

static kymo_status take_run(struct kymo_tally *t, const struct kymo_run *run, uint32_t at,
                            const struct by_row *by, struct kymo_err *err)
{
    const uint32_t task = t->n_of[KYMO_BY_TASK] ? t->id[KYMO_BY_TASK][run->task] : 0;
    const uint32_t key = t->n_of[KYMO_BY_KEY] ? t->id[KYMO_BY_KEY][run->key] : 0;
    struct group *g = NULL;
    if (t->filter && !by->filter && !kymo_filter_match(t->filter, at))
        return KYMO_OK;
    if (!by->ts && !by->filter && !by->parts) {
        KYMO_TRY(find_group(t, by->window, task, key, 0, &g, err));
        return add_rows(t, g, run->key, at, run->n, err);
    }
    int64_t window = by->window;
    uint64_t from = 1, to = 0; /* of the window at hand; none yet */
    uint32_t part = 0, start = at;
    for (uint32_t i = at; i < at + run->n; i++) {
        const int out = (by->ts && (by->ts[i] < by->since || by->ts[i] > by->until)) ||
                        (by->filter && !kymo_filter_match(t->filter, i));
        const uint32_t now = by->parts ? t->id[KYMO_BY_ROW][i] : 0;
        const int moved = by->ts && (by->ts[i] < from || by->ts[i] > to);
        if (g && !out && !moved && now == part)
            continue;
        if (g)
            KYMO_TRY(add_rows(t, g, run->key, start, i - start, err));
        g = NULL;
        if (out)
            continue;
        if (moved) {
            window = window_of(t, by->ts[i]);
            from = t->ask->every_ns ? t->origin_ns + (uint64_t)window * t->ask->every_ns : 0;
            to = t->ask->every_ns ? from + (t->ask->every_ns - 1) : UINT64_MAX;
            if (to < from) /* at an end of time: one row at a time */
                from = to = by->ts[i];
        }
        part = now;
        start = i;
        KYMO_TRY(find_group(t, window, task, key, part, &g, err));
    }
    return g ? add_rows(t, g, run->key, start, at + run->n - start, err) : KYMO_OK;
}

/* What calls of each key return: bytes read, bytes written or something else. Messages are counted
 * by recvmmsg and sendmmsg, not bytes. */
static void take_classes(struct kymo_tally *t, const struct kymo_batch *b)
{
    memset(t->key_class, MOVES_NOTHING, sizeof(t->key_class));
    if (!t->needs_ret || t->arch < 0 || !b->lane[t->arch] || !b->lane[t->nr])
        return;
    for (uint32_t k = 0; k < b->n_keys; k++) {
        const uint64_t arch = b->lane[t->arch][k], nr = b->lane[t->nr][k];
        const char *name = kymo_names_call(t->names, arch, nr);
        const struct kymo_sysinfo *info =
            kymo_sysinfo((uint32_t)arch, nr > UINT32_MAX ? UINT32_MAX : (uint32_t)nr);
        if (!name || strstr(name, "mmsg"))
            continue;
        if (!info || strcmp(info->name, name) != 0)
            info = kymo_sysinfo_by_name(name);
        if (info && info->cls == KYMO_CLASS_READ)
            t->key_class[k] = MOVES_IN;
        if (info && info->cls == KYMO_CLASS_WRITE)
            t->key_class[k] = MOVES_OUT;
    }
}

/* A table that is not grouped by tasks and keys has its numbers by row. */
static kymo_status take_ids(struct kymo_tally *t, const uint32_t *row, struct kymo_err *err)
{
    const struct kymo_batch *b = &t->view;
    for (size_t i = 0; i < t->ask->n_by; i++) {
        struct kymo_by *f = &t->by[i];
        KYMO_TRY(kymo_by_take(f, b, t->names, err));
        if (!row || (f->source != KYMO_BY_FILE && f->source != KYMO_BY_ADDR))
            continue;
        uint32_t *sorted = malloc(b->n_rows * sizeof(*sorted));
        if (!sorted)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
        for (uint32_t r = 0; r < b->n_rows; r++)
            sorted[r] = f->id[row[r]];
        free(f->id);
        f->id = sorted;
        f->id_cap = b->n_rows;
    }
    KYMO_TRY(take_parts(t, KYMO_BY_TASK, b->n_tasks, err));
    KYMO_TRY(take_parts(t, KYMO_BY_KEY, b->n_keys, err));
    return take_parts(t, KYMO_BY_ROW, b->n_rows, err);
}

kymo_status kymo_tally_take(struct kymo_tally *t, const struct kymo_batch *b,
                            struct kymo_err *err)
{
    struct by_row by = {.filter = t->filter_by_row, .parts = t->n_of[KYMO_BY_ROW] > 0};
    const struct kymo_run *run;
    const uint32_t *row;
    uint32_t n_runs;
    kymo_tally_range(t, &by.since, &by.until);
    if (t->ts >= 0 && (b->ts_max_ns < by.since || b->ts_min_ns > by.until))
        return KYMO_OK;
    by.window = t->ts >= 0 ? window_of(t, b->ts_min_ns) : 0;
    KYMO_TRY(kymo_callorder_take(t->callorder, b, &t->view, &row, &run, &n_runs, err));
    by.ts = kymo_tally_cuts(t, b) ? t->view.lane[t->ts] : NULL;
    take_classes(t, &t->view);
    KYMO_TRY(take_ids(t, row, err));
    if (t->filter)
        KYMO_TRY(kymo_filter_begin(t->filter, &t->view, err));
    for (uint32_t i = 0, at = 0; i < n_runs; at += run[i++].n)
        KYMO_TRY(take_run(t, &run[i], at, &by, err));
    if (t->ts >= 0) {
        kymo_tally_saw(t, b->ts_min_ns);
        kymo_tally_saw(t, b->ts_max_ns);
    }
    return t->kept_bytes > t->ask->memory_bytes && t->pass == 1 ? kymo_tally_spill(t, err)
                                                                : KYMO_OK;
}
