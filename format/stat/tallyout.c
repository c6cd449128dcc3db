/* SPDX-License-Identifier: Apache-2.0
 * tallyout.c: what a tally counted, in order and as cells. Quantiles are selected when they are asked
 * for, so that groups which are not shown cost nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "format/stat/tally_own.h"

/* -------- windows -------- */

/* Time that was looked at: from the start, or since, to the last row, or until; ns since the start. */
static void looked_at(const struct kymo_tally *t, int64_t *from, int64_t *to)
{
    const int64_t first = t->has_ts ? (int64_t)(t->ts_min_ns - t->start_ns) : 0;
    const int64_t last = t->has_ts ? (int64_t)(t->ts_max_ns - t->start_ns) : 0;
    const uint64_t since = t->ask->since_ns, until = t->ask->until_ns;
    *from = first < 0 ? first : 0;
    *to = last;
    if (since && since < INT64_MAX)
        *from = (int64_t)since;
    if (until < INT64_MAX && (int64_t)until < *to)
        *to = (int64_t)until;
    if (*to < *from)
        *to = *from;
}

/* Where a window begins, in ns since the start. */
static int64_t begin_of(const struct kymo_tally *t, int64_t window)
{
    return (int64_t)(t->origin_ns + (uint64_t)window * t->ask->every_ns - t->start_ns);
}

int64_t kymo_tally_window_ns(const struct kymo_tally *t, int64_t window)
{
    int64_t from, to;
    const int64_t begin = begin_of(t, window);
    looked_at(t, &from, &to);
    return begin < from ? from : begin;
}

static double seconds_of(const struct kymo_tally *t, int64_t window)
{
    int64_t from, to;
    looked_at(t, &from, &to);
    if (t->ask->every_ns) {
        const int64_t begin = begin_of(t, window);
        const int64_t end = (int64_t)((uint64_t)begin + t->ask->every_ns);
        from = begin > from ? begin : from;
        to = end < to ? end : to;
    }
    return to > from ? (double)(to - from) / 1e9 : 0;
}

void kymo_tally_sum(const struct kymo_tally *t, struct kymo_tally_sum *out)
{
    int64_t from, to;
    looked_at(t, &from, &to);
    *out = (struct kymo_tally_sum){.groups = t->groups.n, .span_ns = (uint64_t)(to - from)};
    for (uint32_t g = 0; g < t->groups.n; g++)
        out->rows += t->group[g].count;
}

/* -------- cells -------- */

/* The quantiles of a group into t->value: exact, or the greatest value of the bucket where rows were
 * not given again. */
static kymo_status select_values(struct kymo_tally *t, uint32_t id, struct kymo_err *err)
{
    const struct group *g = &t->group[id];
    if (t->value_of == id)
        return KYMO_OK;
    if (!g->values.bucket) {
        KYMO_TRY(kymo_values_select(&g->values, t->quantile, t->n_quantiles, t->bucket,
                                    t->value, err));
        t->value_of = id;
        return KYMO_OK;
    }
    for (size_t q = 0; q < t->n_quantiles; q++) {
        struct kymo_refine r = {0};
        if (g->refine != NO_REFINE)
            r = t->refine[g->refine + q];
        else
            kymo_refine_locate(&r, g->values.bucket,
                               kymo_quantile_rank(t->quantile[q], g->values.n));
        t->value[q] = r.low + ((UINT64_C(1) << r.bits) - 1);
    }
    t->value_of = id;
    return KYMO_OK;
}

static kymo_status quantile_cell(struct kymo_tally *t, uint32_t id,
                                 const struct kymo_measure *m, struct kymo_cell *out,
                                 struct kymo_err *err)
{
    if (!t->group[id].values.n)
        return KYMO_OK;
    KYMO_TRY(select_values(t, id, err));
    for (size_t q = 0; q < t->n_quantiles; q++)
        if (t->quantile[q] == m->q) {
            out->kind = KYMO_CELL_U64;
            out->u64 = t->value[q];
        }
    return KYMO_OK;
}

static void set_f64(struct kymo_cell *out, double v)
{
    out->kind = KYMO_CELL_F64;
    out->f64 = v;
}

static int64_t group_window(const struct kymo_tally *t, uint32_t group)
{
    const uint32_t *w = kymo_idset_tuple(&t->groups, group);
    return (int64_t)(w[0] | (uint64_t)w[1] << 32);
}

/* Rows come window by window: a window is added up once. */
static uint64_t window_count(struct kymo_tally *t, int64_t window)
{
    if (t->share_count && t->share_window == window)
        return t->share_count;
    t->share_window = window;
    t->share_count = 0;
    for (uint32_t g = 0; g < t->groups.n; g++)
        if (group_window(t, g) == window)
            t->share_count += t->group[g].count;
    return t->share_count;
}

static void whole_number(const struct group *g, enum kymo_measure_kind kind,
                         struct kymo_cell *out)
{
    const uint64_t v[] = {
        [KYMO_MEASURE_COUNT] = g->count,
        [KYMO_MEASURE_ERRORS] = g->errors,
        [KYMO_MEASURE_READ] = g->read_bytes,
        [KYMO_MEASURE_WRITTEN] = g->written_bytes,
        [KYMO_MEASURE_BYTES] = g->read_bytes + g->written_bytes,
        [KYMO_MEASURE_TIME] = g->time_ns,
        [KYMO_MEASURE_MIN] = g->min_ns,
        [KYMO_MEASURE_MEAN] = 0,
        [KYMO_MEASURE_MAX] = g->max_ns,
    };
    if (kind >= KYMO_MEASURE_TIME && !g->n_dur)
        return;
    out->kind = KYMO_CELL_U64;
    out->u64 = v[kind];
}

kymo_status kymo_tally_cell(struct kymo_tally *t, const struct kymo_tally_row *row,
                            const struct kymo_measure *m, struct kymo_cell *out,
                            struct kymo_err *err)
{
    const struct group *g = &t->group[row->group];
    double seconds;
    *out = (struct kymo_cell){.kind = KYMO_CELL_NULL};
    switch (m->kind) {
    case KYMO_MEASURE_RATE:
        seconds = seconds_of(t, row->window);
        if (seconds > 0)
            set_f64(out, (double)g->count / seconds);
        return KYMO_OK;
    case KYMO_MEASURE_SHARE:
        set_f64(out, (double)g->count / (double)window_count(t, row->window));
        return KYMO_OK;
    case KYMO_MEASURE_MEAN:
        if (g->n_dur)
            set_f64(out, (double)g->time_ns / (double)g->n_dur);
        return KYMO_OK;
    case KYMO_MEASURE_QUANTILE:
        return quantile_cell(t, row->group, m, out, err);
    case KYMO_MEASURE_HISTOGRAM:
        return KYMO_OK;
    default:
        whole_number(g, m->kind, out);
        return KYMO_OK;
    }
}

void kymo_tally_by_cell(const struct kymo_tally *t, const struct kymo_tally_row *row, size_t by,
                        struct kymo_cell *out)
{
    const enum kymo_by_place place = t->by[by].place;
    const uint32_t part = kymo_idset_tuple(&t->groups, row->group)[2 + place];
    uint32_t at = 0;
    if (t->n_of[place] == 1) {
        kymo_by_cell(&t->by[by], part, out);
        return;
    }
    for (size_t i = 0; i < by; i++)
        at += t->by[i].place == place;
    kymo_by_cell(&t->by[by], kymo_idset_tuple(&t->part[place], part)[at], out);
}

void kymo_tally_histogram(struct kymo_tally *t, const struct kymo_tally_row *row,
                          uint64_t count[KYMO_LOG2_BUCKETS])
{
    memset(count, 0, KYMO_LOG2_BUCKETS * sizeof(*count));
    kymo_values_buckets(&t->group[row->group].values, t->bucket);
    for (unsigned b = 0; b < KYMO_BUCKETS; b++) {
        unsigned bits;
        const uint64_t low = kymo_bucket_low(b, &bits);
        count[low ? 64 - __builtin_clzll(low) : 0] += t->bucket[b];
    }
}

/* -------- order -------- */

static int by_fields(const struct kymo_tally_row *a, const struct kymo_tally_row *b)
{
    struct kymo_cell x, y;
    for (size_t i = 0; i < a->tally->ask->n_by; i++) {
        kymo_tally_by_cell(a->tally, a, i, &x);
        kymo_tally_by_cell(b->tally, b, i, &y);
        const int order = kymo_cell_order(&x, &y);
        if (order)
            return order;
    }
    return 0;
}

static int by_key(const void *a, const void *b)
{
    const struct kymo_tally_row *x = a, *y = b;
    if (x->window != y->window)
        return x->window < y->window ? -1 : 1;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return by_fields(x, y);
}

/* Larger is first. Reals that are not negative sort as their bits do. */
static kymo_status sort_key(struct kymo_tally *t, struct kymo_tally_row *row,
                            struct kymo_err *err)
{
    struct kymo_cell cell;
    const enum kymo_measure_kind kind = t->ask->sort.kind;
    const struct kymo_measure by_count = {.kind = KYMO_MEASURE_COUNT};
    const int counts = kind == KYMO_MEASURE_RATE || kind == KYMO_MEASURE_SHARE;
    KYMO_TRY(kymo_tally_cell(t, row, counts ? &by_count : &t->ask->sort, &cell, err));
    row->key = cell.kind == KYMO_CELL_U64 ? cell.u64 : 0;
    if (cell.kind == KYMO_CELL_F64)
        memcpy(&row->key, &cell.f64, sizeof(row->key));
    return KYMO_OK;
}

/* Keep the first `top` of each window. */
static size_t cut(struct kymo_tally_row *row, size_t n, uint64_t top)
{
    size_t kept = 0;
    uint64_t of_window = 0;
    for (size_t i = 0; i < n; i++) {
        of_window = i && row[i].window == row[i - 1].window ? of_window + 1 : 1;
        if (of_window > top)
            continue;
        const struct kymo_tally_row keep = row[i];
        row[kept++] = keep;
    }
    return kept;
}

kymo_status kymo_tally_rows(struct kymo_tally *t, struct kymo_tally_row **out, size_t *n,
                            uint64_t *hidden, struct kymo_err *err)
{
    struct kymo_tally_row *row = calloc(t->groups.n + (size_t)1, sizeof(*row));
    kymo_status s = KYMO_OK;
    if (!row)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u groups",
                         t->groups.n);
    for (uint32_t g = 0; g < t->groups.n && !s; g++) {
        row[g] = (struct kymo_tally_row){.window = group_window(t, g), .group = g, .tally = t};
        s = sort_key(t, &row[g], err);
    }
    if (s) {
        free(row);
        return s;
    }
    qsort(row, t->groups.n, sizeof(*row), by_key);
    *n = t->ask->top ? cut(row, t->groups.n, t->ask->top) : t->groups.n;
    *hidden = t->groups.n - *n;
    *out = row;
    return KYMO_OK;
}
