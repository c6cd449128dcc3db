/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/seeding.h"

#include <math.h>
#include <string.h>

#include "format/num/assign.h"
#include "format/num/parallel.h"
#include "format/num/simd/trials.h"

#define AHEAD_ROWS 48u /* rows on their way to the caches while a tile is worked on */

struct seeder {
    const struct kymo_seeding *in;
    struct kymo_rows32 rows;
    kymo_trials_fn *fn;
    size_t block_rows, n_blocks, trials, pad;
    size_t won;   /* the candidate of the last pass that became a centre */
    float *near;  /* [n] squared distance to the nearest centre before the last pass's */
    float *dist2; /* [n,pad] to the last pass's candidates */
    float *cand;  /* [pad,d] */
    float *tile;  /* [n_blocks, KYMO_TILE_ROWS d] */
    double *sum;  /* [n_blocks,pad] of weight * min(near, dist2) */
};

static size_t block_end(const struct seeder *s, size_t block)
{
    const size_t hi = (block + 1) * s->block_rows, n = s->in->X->n;
    return hi < n ? hi : n;
}

static float near_now(const struct seeder *s, size_t i)
{
    const float t = s->dist2[i * s->pad + s->won];
    return t < s->near[i] ? t : s->near[i];
}

/* Settle the last pass's winner, then measure this pass's candidates. */
static void try_block(void *ctx, size_t block)
{
    struct seeder *s = ctx;
    const size_t d = s->in->X->d, pad = s->pad, hi = block_end(s, block);
    float *buf = s->tile + block * KYMO_TILE_ROWS * d;
    double *sum = s->sum + block * pad;
    memset(sum, 0, pad * sizeof(*sum));
    for (size_t i = block * s->block_rows; i < hi; i += KYMO_TILE_ROWS) {
        const size_t n_rows = hi - i < KYMO_TILE_ROWS ? hi - i : KYMO_TILE_ROWS;
        float near[KYMO_TILE_ROWS] = {0}, dist2[KYMO_TILE_ROWS * KYMO_TRIALS_MAX];
        double weight[KYMO_TILE_ROWS] = {0};
        uint32_t row[KYMO_TILE_ROWS];
        for (size_t r = 0; r < n_rows; r++) {
            row[r] = (uint32_t)(i + r);
            near[r] = s->near[i + r] = near_now(s, i + r);
            weight[r] = kymo_dense_weight(s->in->X, i + r);
        }
        size_t stride;
        const float *x = kymo_rows32_tile(&s->rows, row, n_rows, KYMO_TILE_ROWS, buf, &stride);
        s->fn(d, s->trials, x, stride, s->cand, near, weight, dist2, sum);
        memcpy(s->dist2 + i * pad, dist2, n_rows * pad * sizeof(*dist2));
    }
}

/* A row drawn with probability weight * near / total; with total 0 all rows are alike. `sum` [n_blocks],
 * stride pad, holds what the blocks have of total. */
static size_t draw_row(const struct seeder *s, double total)
{
    const struct kymo_dense *X = s->in->X;
    if (!(total > 0) || !isfinite(total))
        return (size_t)kymo_rng_below(s->in->rng, X->n);
    double left = kymo_rng_unit(s->in->rng) * total;
    size_t block = 0, last = 0;
    for (; block + 1 < s->n_blocks && left >= s->sum[block * s->pad + s->won]; block++)
        left -= s->sum[block * s->pad + s->won];
    for (size_t i = block * s->block_rows, hi = block_end(s, block); i < hi; i++) {
        const double share = kymo_dense_weight(X, i) * (double)near_now(s, i);
        if (!(share > 0))
            continue;
        last = i;
        left -= share;
        if (left < 0)
            break;
    }
    return last;
}

/* A row drawn by its weight. */
static size_t draw_first(const struct kymo_seeding *in)
{
    const struct kymo_dense *X = in->X;
    if (!X->weight)
        return (size_t)kymo_rng_below(in->rng, X->n);
    double total = 0;
    for (size_t i = 0; i < X->n; i++)
        total += X->weight[i];
    double left = kymo_rng_unit(in->rng) * total;
    size_t i = 0;
    for (; i + 1 < X->n && left >= X->weight[i]; i++)
        left -= X->weight[i];
    return i;
}

/* One pass with these rows as candidates; returns which leaves the least, and what it leaves. */
static size_t try_rows(struct seeder *s, const size_t *row, size_t n_rows, double *left)
{
    const size_t d = s->in->X->d;
    for (size_t t = 0; t < s->pad; t++) {
        const uint32_t r = (uint32_t)row[t < n_rows ? t : 0];
        size_t stride;
        float *to = s->cand + t * d;
        const float *x = kymo_rows32_tile(&s->rows, &r, 1, 1, to, &stride);
        if (x != to)
            memcpy(to, x, d * sizeof(*to));
    }
    kymo_parallel(s->n_blocks, s->in->n_threads, try_block, s);
    size_t best = 0;
    for (size_t t = 0; t < n_rows; t++) {
        double total = 0;
        for (size_t b = 0; b < s->n_blocks; b++)
            total += s->sum[b * s->pad + t];
        if (t == 0 || total < *left) {
            best = t;
            *left = total;
        }
    }
    return best;
}

static kymo_status seeder_init(struct seeder *s, const struct kymo_seeding *in,
                               struct kymo_arena *a, struct kymo_err *err)
{
    const size_t n = in->X->n, d = in->X->d;
    size_t trials = 2 + (size_t)log((double)in->k);
    trials = trials < KYMO_TRIALS_MAX ? trials : KYMO_TRIALS_MAX;
    *s = (struct seeder){.in = in,
                         .fn = kymo_trials_at(in->level),
                         .block_rows = kymo_block_rows(n),
                         .trials = trials,
                         .pad = kymo_trials_pad(trials)};
    s->n_blocks = (n + s->block_rows - 1) / s->block_rows;
    double *pivot = KYMO_NEW_RAW(a, double, d);
    s->near = KYMO_NEW_RAW(a, float, n);
    s->dist2 = KYMO_NEW_RAW(a, float, n * s->pad);
    s->cand = KYMO_NEW_RAW(a, float, d * s->pad);
    s->tile = KYMO_NEW_RAW(a, float, d *KYMO_TILE_ROWS * s->n_blocks);
    s->sum = KYMO_NEW_RAW(a, double, s->n_blocks * s->pad);
    if (!pivot || !s->near || !s->dist2 || !s->cand || !s->tile || !s->sum || n > UINT32_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "seeding of %zu rows passes the memory budget", n);
    kymo_rows32_init(&s->rows, in->X, pivot);
    for (size_t i = 0; i < n; i++)
        s->near[i] = s->dist2[i * s->pad] = INFINITY;
    return KYMO_OK;
}

static int is_stopped(const struct kymo_seeding *in)
{
    return in->stop && *in->stop;
}

kymo_status kymo_seed_plusplus(const struct kymo_seeding *in, struct kymo_arena *scratch,
                               double *C, struct kymo_err *err)
{
    struct seeder s;
    KYMO_TRY(seeder_init(&s, in, scratch, err));
    size_t row[KYMO_TRIALS_MAX] = {draw_first(in)};
    double left = INFINITY;
    kymo_dense_row(in->X, row[0], C);
    for (size_t c = 1; c < in->k; c++) {
        if (is_stopped(in)) {
            kymo_dense_row(in->X, (size_t)kymo_rng_below(in->rng, in->X->n), C + c * in->X->d);
            continue;
        }
        if (c == 1)
            s.won = try_rows(&s, row, 1, &left);
        for (size_t t = 0; t < s.trials; t++)
            row[t] = draw_row(&s, left);
        s.won = try_rows(&s, row, s.trials, &left);
        kymo_dense_row(in->X, row[s.won], C + c * in->X->d);
    }
    return KYMO_OK;
}

kymo_status kymo_seed_sample(const struct kymo_seeding *in, const struct kymo_ranks *ranks,
                             struct kymo_arena *scratch, double *C, struct kymo_err *err)
{
    struct kymo_dense rows;
    KYMO_TRY(
        kymo_ranks_sample(ranks, in->X, KYMO_SEED_SAMPLE_ROWS, in->rng, scratch, &rows, err));
    if (in->k > rows.n)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%zu states want at least as many rows, and the sample has %zu", in->k,
                         rows.n);
    struct kymo_seeding of_rows = *in;
    of_rows.X = &rows;
    return kymo_seed_plusplus(&of_rows, scratch, C, err);
}
