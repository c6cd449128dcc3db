/* SPDX-License-Identifier: Apache-2.0
 * Silhouettes from sums of distances by cluster.
 *
 * Rows are laid out cluster by cluster in panels of eight, so that sums by cluster are sums over runs
 * of panels. A distance serves both its rows: panels are cut in blocks, and every two blocks meet
 * once, in rounds in which no block meets two others (a round-robin tournament), so tasks of a round
 * write to places of their own and sums run in the order of the rounds:
 *
 *     round 0    each block with itself
 *     round 1    (0,3) (1,2)        the first stays, the others move on by one a round
 *     round 2    (0,2) (3,1)
 *     round 3    (0,1) (2,3)
 *
 * Where the table of rows by clusters would be large, rows are taken strip by strip instead and
 * each distance twice.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "analyze/core/metrics.h"
#include "format/base/arena.h"
#include "format/num/parallel.h"
#include "format/num/simd/distsum.h"

#define LANES KYMO_DISTSUM_LANES
#define BLOCKS_MAX 32u
#define BLOCK_PANELS_MIN 4u
#define TABLE_BYTES_MAX ((size_t)16 << 20)

struct sums {
    const struct kymo_dense *x;
    const struct kymo_labelling *l;
    struct kymo_distsum at;
    size_t n_panels;
    double *panel, *weight, *total; /* total [k] weight of a cluster */
    uint32_t *group, *row;          /* row [n_panels * 8] of x, NO_ROW: none */
    double *table;                  /* [k, width] */
    size_t width, strip;            /* places of a strip; its first panel */
    size_t n_blocks, block_panels, round;
    double *value; /* [n] silhouettes */
};

#define NO_ROW UINT32_MAX

/* -- the layout ------------------------------------------------------------------------------- */

static void lay_out(struct sums *s, size_t *next)
{
    const size_t k = s->l->k, n = s->x->n, d = s->x->d;
    memset(next, 0, k * sizeof(*next));
    for (size_t i = 0; i < n; i++)
        next[s->l->label[i]]++;
    size_t panel = 0;
    for (size_t c = 0; c < k; c++) {
        const size_t first = panel * LANES;
        for (size_t left = next[c]; left > 0; left -= left < LANES ? left : LANES)
            s->group[panel++] = (uint32_t)c;
        next[c] = first;
    }
    memset(s->row, 0xff, s->n_panels * LANES * sizeof(*s->row));
    for (size_t i = 0; i < n; i++) {
        const uint32_t c = s->l->label[i];
        const size_t at = next[c]++;
        s->row[at] = (uint32_t)i;
        s->weight[at] = kymo_dense_weight(s->x, i);
        s->total[c] += s->weight[at];
        for (size_t j = 0; j < d; j++)
            s->panel[(at / LANES * d + j) * LANES + at % LANES] = kymo_dense_at(s->x, i, j);
    }
}

static kymo_status sums_init(struct sums *s, struct kymo_arena *a, struct kymo_err *err)
{
    const size_t n = s->x->n, d = s->x->d, k = s->l->k;
    assert(k >= 1);
    size_t *rows = KYMO_NEW(a, size_t, k);
    if (rows)
        for (size_t i = 0; i < n; i++)
            rows[s->l->label[i]]++;
    for (size_t c = 0; rows && c < k; c++)
        s->n_panels += (rows[c] + LANES - 1) / LANES;
    const size_t places = s->n_panels * LANES;
    s->panel = kymo_arena_alloc(a, places, d * sizeof(double));
    s->weight = KYMO_NEW(a, double, places);
    s->total = KYMO_NEW(a, double, k);
    s->group = KYMO_NEW_RAW(a, uint32_t, s->n_panels);
    s->row = KYMO_NEW_RAW(a, uint32_t, places);
    s->value = KYMO_NEW_RAW(a, double, n);
    s->width = places;
    if (places > TABLE_BYTES_MAX / sizeof(double) / k) {
        const size_t fit = TABLE_BYTES_MAX / sizeof(double) / k / LANES * LANES;
        s->width = fit > LANES ? fit : LANES;
    }
    s->table = kymo_arena_alloc_raw(a, k, s->width * sizeof(double));
    if (!rows || !s->panel || !s->weight || !s->total || !s->group || !s->row || !s->value ||
        !s->table)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "no memory for the silhouette of %zu rows", n);
    lay_out(s, rows);
    s->at = (struct kymo_distsum){d, s->panel, s->weight, s->group};
    return KYMO_OK;
}

/* -- sums ------------------------------------------------------------------------------------- */

static size_t block_end(const struct sums *s, size_t block)
{
    const size_t end = (block + 1) * s->block_panels;
    return end < s->n_panels ? end : s->n_panels;
}

static void meet(void *ctx, size_t task)
{
    struct sums *s = ctx;
    size_t a = task, b = task;
    if (s->round) { /* the circle method, n_blocks even */
        const size_t turn = s->n_blocks - 1, at = s->round - 1;
        a = task ? (at + task) % turn + 1 : 0;
        b = (at + turn - task) % turn + 1;
        if (a > b) {
            const size_t t = a;
            a = b;
            b = t;
        }
    }
    const size_t lo = b * s->block_panels, hi = block_end(s, b);
    for (size_t i = a * s->block_panels; i < block_end(s, a) && lo < hi; i++) {
        double *rows = s->table + i * LANES;
        const size_t from = a == b ? i + 1 : lo;
        if (a == b)
            kymo_distsum_add(&s->at, i, i, i + 1, rows, s->width, NULL);
        if (from < hi)
            kymo_distsum_add(&s->at, i, from, hi, rows, s->width,
                             s->table + s->group[i] * s->width);
    }
}

static void sum_strip(void *ctx, size_t panel)
{
    struct sums *s = ctx;
    kymo_distsum_add(&s->at, s->strip + panel, 0, s->n_panels, s->table + panel * LANES,
                     s->width, NULL);
}

/* Silhouette of the row at a place of the strip. */
static double silhouette_of(const struct sums *s, size_t place)
{
    const uint32_t row = s->row[s->strip * LANES + place];
    const size_t own = s->l->label[row];
    const double *to = s->table + place;
    if (s->total[own] <= 1)
        return 0;
    const double within = to[own * s->width] / (s->total[own] - 1);
    double other = INFINITY;
    for (size_t c = 0; c < s->l->k; c++) {
        if (c == own || !(s->total[c] > 0))
            continue;
        const double mean = to[c * s->width] / s->total[c];
        other = mean < other ? mean : other;
    }
    const double top = within > other ? within : other;
    return isinf(other) || !(top > 0) ? 0 : (other - within) / top;
}

static void read_strip(struct sums *s)
{
    for (size_t p = 0; p < s->width && s->strip * LANES + p < s->n_panels * LANES; p++)
        if (s->row[s->strip * LANES + p] != NO_ROW)
            s->value[s->row[s->strip * LANES + p]] = silhouette_of(s, p);
}

static void sum_all(struct sums *s, unsigned n_threads)
{
    const size_t table_bytes = s->l->k * s->width * sizeof(double);
    if (s->width == s->n_panels * LANES) {
        memset(s->table, 0, table_bytes);
        s->n_blocks = s->n_panels / BLOCK_PANELS_MIN / 2 * 2;
        if (s->n_blocks > BLOCKS_MAX)
            s->n_blocks = BLOCKS_MAX;
        if (s->n_blocks < 2)
            s->n_blocks = 2;
        s->block_panels = (s->n_panels + s->n_blocks - 1) / s->n_blocks;
        for (s->round = 0; s->round < s->n_blocks; s->round++)
            kymo_parallel(s->round ? s->n_blocks / 2 : s->n_blocks, n_threads, meet, s);
        read_strip(s);
        return;
    }
    for (; s->strip < s->n_panels; s->strip += s->width / LANES) {
        const size_t left = s->n_panels - s->strip, panels = s->width / LANES;
        memset(s->table, 0, table_bytes);
        kymo_parallel(left < panels ? left : panels, n_threads, sum_strip, s);
        read_strip(s);
    }
}

static kymo_status silhouette_one(const struct kymo_dense *x, struct kymo_labelling *l,
                                  unsigned n_threads, double *sample, struct kymo_err *err)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct sums s = {.x = x, .l = l};
    const kymo_status status = sums_init(&s, &a, err);
    if (!status) {
        sum_all(&s, n_threads);
        double sum = 0, weight = 0;
        for (size_t i = 0; i < x->n; i++) {
            sum += kymo_dense_weight(x, i) * s.value[i];
            weight += kymo_dense_weight(x, i);
        }
        l->silhouette = sum / weight;
        if (sample)
            memcpy(sample, s.value, x->n * sizeof(double));
    }
    kymo_arena_release(&a);
    return status;
}

kymo_status kymo_silhouette_dense(const struct kymo_dense *x, struct kymo_labelling *l,
                                  size_t m, unsigned n_threads, double *sample,
                                  struct kymo_err *err)
{
    for (size_t p = 0; p < m; p++)
        KYMO_TRY(silhouette_one(x, &l[p], n_threads, p ? NULL : sample, err));
    return KYMO_OK;
}

kymo_status kymo_silhouette(size_t n, size_t d, const double *X, struct kymo_labelling *l,
                            size_t m, unsigned n_threads, double *sample, struct kymo_err *err)
{
    const struct kymo_dense x = {n, d, NULL, X, NULL};
    return kymo_silhouette_dense(&x, l, m, n_threads, sample, err);
}
