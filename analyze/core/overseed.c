/* SPDX-License-Identifier: Apache-2.0
 * k-means||: more seeds than are wanted, in a few passes, then seeds out of those.
 */
#include <math.h>
#include <string.h>

#include "analyze/core/seeding.h"
#include "format/base/size.h"
#include "format/num/assign.h"
#include "format/num/parallel.h"

struct overseed {
    const struct kymo_seeding *in;
    struct kymo_rows32 rows;
    struct kymo_assigner a;
    struct kymo_assign_scratch *scratch; /* [n_blocks] */
    size_t block_rows, n_blocks;
    size_t n_cand, cap; /* candidates so far, and places */
    size_t before;      /* candidates of earlier rounds: the others are new */
    uint32_t *cand;     /* [cap] rows */
    double *C;          /* [cap,d] */
    float *near;   /* [n] squared distance to the nearest candidate, in units of the f32 rows */
    uint32_t *who; /* [n] which that is */
    double *sum;   /* [n_blocks] of weight * near */
};

static size_t block_end(const struct overseed *s, size_t block)
{
    const size_t hi = (block + 1) * s->block_rows, n = s->in->X->n;
    return hi < n ? hi : n;
}

/* Measure the new candidates. */
static void meet_block(void *ctx, size_t block)
{
    struct overseed *s = ctx;
    const struct kymo_dense *X = s->in->X;
    const double scale2 = s->rows.scale * s->rows.scale;
    double sum = 0;
    for (size_t i = block * s->block_rows, hi = block_end(s, block); i < hi;
         i += KYMO_TILE_ROWS) {
        const size_t n_rows = hi - i < KYMO_TILE_ROWS ? hi - i : KYMO_TILE_ROWS;
        uint32_t row[KYMO_TILE_ROWS];
        struct kymo_nearest_tile t;
        for (size_t r = 0; r < n_rows; r++)
            row[r] = (uint32_t)(i + r);
        kymo_assign_tile(&s->a, row, n_rows, NULL, &s->scratch[block], &t);
        for (size_t r = 0; r < n_rows; r++) {
            const size_t c = s->before + t.label[r];
            const float near =
                (float)(kymo_row_sqdist(s->a.ops, X, i + r, s->C + c * X->d) * scale2);
            if (near < s->near[i + r]) {
                s->near[i + r] = near;
                s->who[i + r] = (uint32_t)c;
            }
            sum += kymo_dense_weight(X, i + r) * (double)s->near[i + r];
        }
    }
    s->sum[block] = sum;
}

/* Take in the candidates from s->before on; returns what is left of distances. */
static double meet(struct overseed *s)
{
    const size_t d = s->in->X->d;
    for (size_t c = s->before; c < s->n_cand; c++)
        kymo_dense_row(s->in->X, s->cand[c], s->C + c * d);
    s->a.k = s->n_cand - s->before;
    kymo_assigner_set(&s->a, s->C + s->before * d);
    kymo_parallel(s->n_blocks, s->in->n_threads, meet_block, s);
    double total = 0;
    for (size_t b = 0; b < s->n_blocks; b++)
        total += s->sum[b];
    s->before = s->n_cand;
    return total;
}

/* Every row by itself, with probability in proportion to its share of what is left. */
static void draw(struct overseed *s, double total)
{
    const struct kymo_dense *X = s->in->X;
    const double often = KYMO_OVERSEED_SHARE * (double)s->in->k / total;
    for (size_t i = 0; i < X->n && s->n_cand < s->cap; i++) {
        const double p = often * kymo_dense_weight(X, i) * (double)s->near[i];
        if (kymo_rng_unit(s->in->rng) < p)
            s->cand[s->n_cand++] = (uint32_t)i;
    }
}

static kymo_status overseed_init(struct overseed *s, const struct kymo_seeding *in,
                                 struct kymo_arena *a, struct kymo_err *err)
{
    const size_t n = in->X->n, d = in->X->d;
    *s = (struct overseed){.in = in, .block_rows = kymo_block_rows(n)};
    s->n_blocks = (n + s->block_rows - 1) / s->block_rows;
    /* A round brings KYMO_OVERSEED_SHARE k in the mean, with that for its variance. */
    const double round = KYMO_OVERSEED_SHARE * (double)in->k;
    s->cap = 1 + KYMO_OVERSEED_ROUNDS * (size_t)(round + 6 * sqrt(round));
    size_t cells;
    if (!kymo_size_mul(s->cap, d, &cells))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%zu seeds are too many", s->cap);
    double *pivot = KYMO_NEW_RAW(a, double, d);
    s->scratch = KYMO_NEW(a, struct kymo_assign_scratch, s->n_blocks);
    s->cand = KYMO_NEW_RAW(a, uint32_t, s->cap);
    s->C = KYMO_NEW_RAW(a, double, cells);
    s->near = KYMO_NEW_RAW(a, float, n);
    s->who = KYMO_NEW_RAW(a, uint32_t, n);
    s->sum = KYMO_NEW_RAW(a, double, s->n_blocks);
    if (!pivot || !s->scratch || !s->cand || !s->C || !s->near || !s->who || !s->sum ||
        n > UINT32_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "seeding of %zu rows passes the memory budget", n);
    kymo_rows32_init(&s->rows, in->X, pivot);
    KYMO_TRY(kymo_assigner_init(&s->a, &s->rows, s->cap, in->level, a, err));
    for (size_t b = 0; b < s->n_blocks; b++)
        KYMO_TRY(kymo_assign_scratch_init(&s->scratch[b], s->cap, d, a, err));
    for (size_t i = 0; i < n; i++) {
        s->near[i] = INFINITY;
        s->who[i] = 0;
    }
    return KYMO_OK;
}

/* Greedy k-means++ over the candidates that are nearest to some row, by what they are nearest to. */
static kymo_status choose(struct overseed *s, struct kymo_arena *a, double *C,
                          struct kymo_err *err)
{
    const struct kymo_dense *X = s->in->X;
    const size_t d = X->d;
    double *weight = KYMO_NEW(a, double, s->n_cand);
    if (!weight)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory to choose seeds");
    for (size_t i = 0; i < X->n; i++)
        weight[s->who[i]] += kymo_dense_weight(X, i);
    size_t n = 0;
    for (size_t c = 0; c < s->n_cand; c++) {
        if (!(weight[c] > 0))
            continue;
        weight[n] = weight[c];
        memmove(s->C + n * d, s->C + c * d, d * sizeof(*s->C));
        n++;
    }
    if (n <= s->in->k) { /* fewer than wanted: all, and any rows */
        memcpy(C, s->C, n * d * sizeof(*C));
        for (; n < s->in->k; n++)
            kymo_dense_row(X, (size_t)kymo_rng_below(s->in->rng, X->n), C + n * d);
        return KYMO_OK;
    }
    const struct kymo_dense seeds = {.n = n, .d = d, .f64 = s->C, .weight = weight};
    struct kymo_seeding in = *s->in;
    in.X = &seeds;
    return kymo_seed_plusplus(&in, a, C, err);
}

kymo_status kymo_seed_parallel(const struct kymo_seeding *in, struct kymo_arena *scratch,
                               double *C, struct kymo_err *err)
{
    struct overseed s;
    KYMO_TRY(overseed_init(&s, in, scratch, err));
    s.cand[s.n_cand++] = (uint32_t)kymo_rng_below(in->rng, in->X->n);
    double total = meet(&s);
    for (size_t round = 0; round < KYMO_OVERSEED_ROUNDS && total > 0; round++) {
        if (in->stop && *in->stop)
            break;
        draw(&s, total);
        if (s.n_cand > s.before)
            total = meet(&s);
    }
    return choose(&s, scratch, C, err);
}
