/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/metrics.h"

#include <math.h>
#include <string.h>

#include "format/base/arena.h"
#include "format/num/assign.h"
#include "format/num/parallel.h"

/* -- spread around means ---------------------------------------------------------------------- */

/* What one block of rows gives back. */
struct part {
    double *sum;      /* [k,d] */
    double *weight;   /* [k] */
    double *distance; /* [k] of rows to their mean, weighted */
    double *square;   /* [k] */
};

struct spread {
    const struct kymo_dense *x;
    const uint32_t *label;
    size_t k, block_rows, n_blocks;
    struct part *part; /* [n_blocks] */
    double *mean;      /* [k,d] */
    double *row;       /* [n_blocks, d] scratch */
};

static size_t block_end(const struct spread *s, size_t block)
{
    const size_t hi = (block + 1) * s->block_rows;
    return hi < s->x->n ? hi : s->x->n;
}

static void sum_block(void *ctx, size_t block)
{
    const struct spread *s = ctx;
    const struct part *p = &s->part[block];
    const size_t d = s->x->d;
    for (size_t i = block * s->block_rows; i < block_end(s, block); i++) {
        const double w = kymo_dense_weight(s->x, i);
        double *sum = p->sum + s->label[i] * d;
        p->weight[s->label[i]] += w;
        for (size_t j = 0; j < d; j++)
            sum[j] += w * kymo_dense_at(s->x, i, j);
    }
}

static void distance_block(void *ctx, size_t block)
{
    const struct spread *s = ctx;
    const struct part *p = &s->part[block];
    const size_t d = s->x->d;
    double *row = s->row + block * d;
    for (size_t i = block * s->block_rows; i < block_end(s, block); i++) {
        kymo_dense_row(s->x, i, row);
        const uint32_t c = s->label[i];
        const double w = kymo_dense_weight(s->x, i), v = kymo_sqdist(d, row, s->mean + c * d);
        p->square[c] += w * v;
        p->distance[c] += w * sqrt(v);
    }
}

/* All parts into the first, in block order; then means. */
static void reduce_means(struct spread *s)
{
    const size_t d = s->x->d;
    struct part *into = &s->part[0];
    for (size_t b = 1; b < s->n_blocks; b++) {
        for (size_t i = 0; i < s->k * d; i++)
            into->sum[i] += s->part[b].sum[i];
        for (size_t c = 0; c < s->k; c++)
            into->weight[c] += s->part[b].weight[c];
    }
    for (size_t c = 0; c < s->k; c++)
        for (size_t j = 0; j < d && into->weight[c] > 0; j++)
            s->mean[c * d + j] = into->sum[c * d + j] / into->weight[c];
}

static void reduce_distances(struct spread *s)
{
    for (size_t b = 1; b < s->n_blocks; b++)
        for (size_t c = 0; c < s->k; c++) {
            s->part[0].square[c] += s->part[b].square[c];
            s->part[0].distance[c] += s->part[b].distance[c];
        }
}

static double davies_bouldin(const struct spread *s, size_t clusters)
{
    const struct part *p = &s->part[0];
    const size_t d = s->x->d;
    double sum = 0;
    for (size_t a = 0; a < s->k; a++) {
        double worst = 0;
        for (size_t b = 0; b < s->k && p->weight[a] > 0; b++) {
            if (a == b || !(p->weight[b] > 0))
                continue;
            const double apart = sqrt(kymo_sqdist(d, s->mean + a * d, s->mean + b * d));
            const double ratio =
                (p->distance[a] / p->weight[a] + p->distance[b] / p->weight[b]) / apart;
            /* equal means of rows on them: as good as apart */
            worst = ratio > worst ? ratio : worst;
        }
        sum += worst;
    }
    return sum / (double)clusters;
}

static void judge(const struct spread *s, double *centre, struct kymo_spread *out)
{
    const struct part *p = &s->part[0];
    const size_t d = s->x->d;
    struct kymo_spread got = {0};
    size_t clusters = 0;
    double rows = 0;
    for (size_t c = 0; c < s->k; c++) {
        clusters += p->weight[c] > 0;
        rows += p->weight[c];
        got.within += p->square[c];
    }
    for (size_t j = 0; j < d; j++) {
        double sum = 0;
        for (size_t c = 0; c < s->k; c++)
            sum += p->sum[c * d + j];
        centre[j] = sum / rows;
    }
    for (size_t c = 0; c < s->k; c++)
        if (p->weight[c] > 0)
            got.between += p->weight[c] * kymo_sqdist(d, s->mean + c * d, centre);
    const double k = (double)clusters;
    const int can = clusters >= 2 && rows > k;
    got.calinski_harabasz = !can             ? NAN
                            : got.within > 0 ? got.between * (rows - k) / (got.within * (k - 1))
                                             : 1;
    got.davies_bouldin = can ? davies_bouldin(s, clusters) : NAN;
    *out = got;
}

static kymo_status spread_init(struct spread *s, struct kymo_arena *a, struct kymo_err *err)
{
    const size_t d = s->x->d;
    s->block_rows = kymo_block_rows(s->x->n);
    s->n_blocks = (s->x->n + s->block_rows - 1) / s->block_rows;
    s->part = KYMO_NEW(a, struct part, s->n_blocks);
    s->mean = kymo_arena_alloc(a, s->k, d * sizeof(double));
    s->row = kymo_arena_alloc_raw(a, s->n_blocks, d * sizeof(double));
    int ok = s->part && s->mean && s->row;
    for (size_t b = 0; ok && b < s->n_blocks; b++) {
        struct part *p = &s->part[b];
        p->sum = kymo_arena_alloc(a, s->k, d * sizeof(double));
        p->weight = KYMO_NEW(a, double, s->k);
        p->distance = KYMO_NEW(a, double, s->k);
        p->square = KYMO_NEW(a, double, s->k);
        ok = p->sum && p->weight && p->distance && p->square;
    }
    if (!ok)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "no memory for the means of %zu clusters by %zu columns", s->k, d);
    return KYMO_OK;
}

kymo_status kymo_spread(const struct kymo_dense *x, const uint32_t *label, size_t k,
                        unsigned n_threads, struct kymo_spread *out, struct kymo_err *err)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct spread s = {.x = x, .label = label, .k = k};
    const kymo_status status = spread_init(&s, &a, err);
    if (!status) {
        kymo_parallel(s.n_blocks, n_threads, sum_block, &s);
        reduce_means(&s);
        kymo_parallel(s.n_blocks, n_threads, distance_block, &s);
        reduce_distances(&s);
        judge(&s, s.row, out);
    }
    kymo_arena_release(&a);
    return status;
}

/* -- the gap ---------------------------------------------------------------------------------- */

void kymo_gap_reference(const struct kymo_dense *x, struct kymo_rng *rng, double *out)
{
    for (size_t j = 0; j < x->d; j++) {
        double lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; i < x->n; i++) {
            lo = fmin(lo, kymo_dense_at(x, i, j));
            hi = fmax(hi, kymo_dense_at(x, i, j));
        }
        for (size_t i = 0; i < x->n; i++)
            out[i * x->d + j] = lo + kymo_rng_unit(rng) * (hi - lo);
    }
}

double kymo_gap(double log_within, size_t n_ref, const double *log_within_ref, double *error)
{
    double mean = 0, square = 0;
    for (size_t i = 0; i < n_ref; i++)
        mean += log_within_ref[i] / (double)n_ref;
    for (size_t i = 0; i < n_ref; i++)
        square += (log_within_ref[i] - mean) * (log_within_ref[i] - mean) / (double)n_ref;
    *error = sqrt(square * (1 + 1 / (double)n_ref));
    return mean - log_within;
}

double kymo_kmeans_bic(size_t n, size_t d, size_t k, const size_t *size, double inertia)
{
    const double rows = (double)n, cols = (double)d, clusters = (double)k;
    if (k >= n || !(inertia > 0))
        return -INFINITY;
    const double variance = inertia / (cols * (rows - clusters));
    double loglik =
        -0.5 * rows * cols * log(2 * M_PI * variance) - 0.5 * cols * (rows - clusters);
    for (size_t c = 0; c < k; c++)
        if (size[c])
            loglik += (double)size[c] * log((double)size[c] / rows);
    const double parameters = clusters - 1 + clusters * cols + 1;
    return -2 * loglik + parameters * log(rows);
}
