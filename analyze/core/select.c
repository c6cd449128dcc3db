/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/select.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "analyze/core/metrics.h"
#include "format/base/rng.h"
#include "format/base/size.h"

struct kymo_tried kymo_tried_k(size_t k)
{
    return (struct kymo_tried){k, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
}

/* ICL where it is known, else BIC. */
static double criterion(const struct kymo_tried *t)
{
    return isnan(t->icl) ? t->bic : t->icl;
}

static int in_reach(double v, double best, double share)
{
    return isnan(v) || !(best > 0) || v >= share * best;
}

size_t kymo_select_k(size_t n, const struct kymo_tried *tried)
{
    double silhouette = -INFINITY, stability = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        silhouette = fmax(silhouette, tried[i].silhouette);
        stability = fmax(stability, tried[i].stability);
    }
    size_t chosen = n;
    for (size_t i = 0; i < n; i++) {
        const struct kymo_tried *t = &tried[i];
        if (!in_reach(t->silhouette, silhouette, KYMO_SILHOUETTE_REACH) ||
            !in_reach(t->stability, stability, KYMO_STABILITY_REACH))
            continue;
        if (chosen == n || criterion(t) < criterion(&tried[chosen]))
            chosen = i;
    }
    if (chosen < n)
        return chosen;
    /* What is stablest is the least compact, or the other way round: the silhouette decides. */
    chosen = 0;
    for (size_t i = 1; i < n; i++)
        if (tried[i].silhouette > tried[chosen].silhouette)
            chosen = i;
    return chosen;
}

size_t kymo_select_gap(size_t n, const struct kymo_tried *tried)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (tried[i].gap >= tried[i + 1].gap - tried[i + 1].gap_error)
            return i;
    return n;
}

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "trying the fit on other rows passes the memory budget");
}

static int is_stopped(const struct kymo_clusterer *c)
{
    return c->stop && *c->stop;
}

/* Numbers of the draws, far from one another. */
static uint64_t seed_of(uint64_t seed, size_t draw)
{
    return seed + 0x9e3779b97f4a7c15ull * (draw + 1);
}

static kymo_status gap_draws(const struct kymo_clusterer *c, const struct kymo_dense *X,
                             double dispersion, size_t draws, uint64_t seed,
                             struct kymo_tried *t, struct kymo_arena *a, struct kymo_err *err)
{
    size_t cells;
    double *rows = kymo_size_mul(X->n, X->d, &cells) ? KYMO_NEW_RAW(a, double, cells) : NULL;
    uint32_t *label = KYMO_NEW_RAW(a, uint32_t, X->n);
    double *log_within = KYMO_NEW_RAW(a, double, draws);
    if (!rows || !label || !log_within)
        return no_memory(err);
    struct kymo_rng rng;
    kymo_rng_init(&rng, seed);
    const struct kymo_dense even = {.n = X->n, .d = X->d, .f64 = rows, .weight = X->weight};
    for (size_t b = 0; b < draws; b++) {
        double w;
        kymo_gap_reference(X, &rng, rows);
        KYMO_TRY(c->fit(c->ctx, &even, t->k, seed_of(seed, b), label, &w, err));
        if (is_stopped(c))
            return KYMO_OK;
        log_within[b] = log(w > 0 ? w : 1e-300);
    }
    t->gap =
        kymo_gap(log(dispersion > 0 ? dispersion : 1e-300), draws, log_within, &t->gap_error);
    return KYMO_OK;
}

kymo_status kymo_try_gap(const struct kymo_clusterer *c, const struct kymo_dense *X,
                         double dispersion, size_t draws, uint64_t seed, struct kymo_tried *t,
                         struct kymo_err *err)
{
    assert(draws >= 2);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const kymo_status s = gap_draws(c, X, dispersion, draws, seed, t, &a, err);
    kymo_arena_release(&a);
    return s;
}

/* -- stability -------------------------------------------------------------------------------- */

/* A drawn set: which rows it holds, how often each, and their labels. */
struct sample {
    size_t n;
    uint32_t *times, *at; /* [X->n]; at: place of a row in the set */
    uint32_t *label;      /* [n] */
    double *weight;       /* [n] */
    double *f64;          /* [n,d] */
    float *f32;
};

static int sample_new(struct sample *s, const struct kymo_dense *X, struct kymo_arena *a)
{
    size_t cells;
    if (!kymo_size_mul(X->n, X->d, &cells))
        return 0;
    s->times = KYMO_NEW_RAW(a, uint32_t, X->n);
    s->at = KYMO_NEW_RAW(a, uint32_t, X->n);
    s->label = KYMO_NEW_RAW(a, uint32_t, X->n);
    s->weight = KYMO_NEW_RAW(a, double, X->n);
    s->f64 = X->f64 ? KYMO_NEW_RAW(a, double, cells) : NULL;
    s->f32 = X->f32 ? KYMO_NEW_RAW(a, float, cells) : NULL;
    return s->times && s->at && s->label && s->weight && (s->f64 || s->f32);
}

/* As many draws as there are rows; a row that is drawn again weighs more. */
static struct kymo_dense sample_draw(struct sample *s, const struct kymo_dense *X,
                                     struct kymo_rng *rng)
{
    memset(s->times, 0, X->n * sizeof(*s->times));
    for (size_t i = 0; i < X->n; i++)
        s->times[kymo_rng_below(rng, X->n)]++;
    s->n = 0;
    for (size_t i = 0; i < X->n; i++) {
        if (!s->times[i])
            continue;
        s->weight[s->n] = (double)s->times[i] * kymo_dense_weight(X, i);
        if (s->f64)
            memcpy(s->f64 + s->n * X->d, X->f64 + i * X->d, X->d * sizeof(double));
        else
            memcpy(s->f32 + s->n * X->d, X->f32 + i * X->d, X->d * sizeof(float));
        s->at[i] = (uint32_t)s->n++;
    }
    return (struct kymo_dense){
        .n = s->n, .d = X->d, .f32 = s->f32, .f64 = s->f64, .weight = s->weight};
}

static kymo_status stability_pairs(const struct kymo_clusterer *c, const struct kymo_dense *X,
                                   size_t pairs, uint64_t seed, struct kymo_tried *t,
                                   struct kymo_arena *a, struct kymo_err *err)
{
    struct sample set[2] = {{0}};
    uint32_t *both[2] = {KYMO_NEW_RAW(a, uint32_t, X->n), KYMO_NEW_RAW(a, uint32_t, X->n)};
    if (!sample_new(&set[0], X, a) || !sample_new(&set[1], X, a) || !both[0] || !both[1])
        return no_memory(err);
    struct kymo_rng rng;
    kymo_rng_init(&rng, seed);
    double sum = 0;
    for (size_t b = 0; b < pairs; b++) {
        for (int i = 0; i < 2; i++) {
            const struct kymo_dense rows = sample_draw(&set[i], X, &rng);
            double unused;
            if (rows.n < t->k)
                return KYMO_OK; /* too few different rows: it stays unknown */
            KYMO_TRY(c->fit(c->ctx, &rows, t->k, seed_of(seed, 2 * b + (size_t)i), set[i].label,
                            &unused, err));
            if (is_stopped(c))
                return KYMO_OK;
        }
        size_t n = 0;
        for (size_t i = 0; i < X->n; i++)
            if (set[0].times[i] && set[1].times[i]) {
                both[0][n] = set[0].label[set[0].at[i]];
                both[1][n++] = set[1].label[set[1].at[i]];
            }
        struct kymo_agreement agree = {.adjusted_rand = 1};
        if (n)
            KYMO_TRY(kymo_agree(n, both[0], t->k, both[1], t->k, &agree, err));
        sum += agree.adjusted_rand;
    }
    t->stability = sum / (double)pairs;
    return KYMO_OK;
}

kymo_status kymo_try_stability(const struct kymo_clusterer *c, const struct kymo_dense *X,
                               size_t pairs, uint64_t seed, struct kymo_tried *t,
                               struct kymo_err *err)
{
    assert(pairs >= 1);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const kymo_status s = stability_pairs(c, X, pairs, seed, t, &a, err);
    kymo_arena_release(&a);
    return s;
}
