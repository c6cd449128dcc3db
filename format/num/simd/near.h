/* SPDX-License-Identifier: Apache-2.0
 * near.h: exact nearest neighbours among rows, by a filter in single precision.
 *
 * A set holds rows in slots, sixteen slots a panel, feature-major inside it, centred and scaled to
 * float. A search runs over all panels with four rows at a time and asks for each pair whether its
 * distance, taken in float, could be below the best one known; only a pair that could is computed
 * in double, by the caller's function. The limit holds the worst that rounding can do:
 *
 *     r <= D + h,  h = u (|q| + |t|)     r: distance of the rounded rows, D: the true one, u = 2^-24
 *     r^2 <= D^2 (1 + e) + h^2 (1 + 1/e) for any e > 0
 *
 * and the right side falls apart into a term of the query and a term of the target. So what the
 * search returns depends on the caller's function alone: it is the same on every SIMD level.
 *
 * Inside, rows do not lie in the order of the slots but by neighbourhood, those nearest to the same one
 * of some sampled rows together, so that most tiles are given up after a few columns.
 */
#ifndef KYMO_NUM_NEAR_H
#define KYMO_NUM_NEAR_H

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"

#define KYMO_NEAR_LANES 16u  /* slots of a panel */
#define KYMO_NEAR_QUERIES 4u /* rows that a tile compares with two panels */
#define KYMO_NEAR_NONE UINT32_MAX

/* The neighbour of a row: the one of the smallest value, the lowest slot of equals. */
struct kymo_near {
    double value; /* INFINITY: none */
    uint32_t slot;
};

struct kymo_near_set {
    size_t n, d, n_panels; /* slots in use; columns; panels, an even number */
    size_t cap;            /* slots there is room for */
    double *centre;        /* [d] subtracted from every row */
    double unit;           /* what differences are multiplied with, a power of two */
    float *x;              /* [n_panels, d, 16] by place, as all that follows */
    float *scale;          /* [n_panels * 16] s of the value below */
    float *slack;          /* [n_panels * 16] -INFINITY: an empty place */
    uint32_t *group;       /* [n_panels * 16] */
    uint32_t *tile_group;  /* [n_panels / 2] of all rows of two panels, during a search; NONE */
    uint32_t *slot;        /* [cap] of a place */
    uint32_t *place;       /* [cap] of a slot */
    uint32_t *turn, *mark; /* [cap] scratch; mark is 0 between uses */
    float *query;          /* scratch [cap / 4, d, 4] */
};

/* The exact value of slots q and t, q != t: squared distance / (s_q + s_t), in double. Must be
 * symmetric and free of side effects: threads call it. */
typedef double (*kymo_near_fn)(const void *ctx, uint32_t q, uint32_t t);

/*
 * An empty set with room for the rows of x, centred on their mean.
 *
 * arena   set's memory: about 8 n d bytes
 * errors  ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_near_init(struct kymo_near_set *s, const struct kymo_dense *x,
                                         struct kymo_arena *arena, struct kymo_err *err);

/* Put row x[d] in a slot < cap. Rows of one group are no neighbours of each other; no row may lie
 * outside the box of the rows at kymo_near_init(). scale > 0. */
void kymo_near_put(struct kymo_near_set *s, size_t slot, const double *x, double scale,
                   uint32_t group);
void kymo_near_drop(struct kymo_near_set *s, size_t slot);
/* Another group for the row of a slot. */
void kymo_near_regroup(struct kymo_near_set *s, size_t slot, uint32_t group);
/* From now on the slots are 0..n-1; slot i holds what was in from[i], ascending; groups are kept. */
void kymo_near_compact(struct kymo_near_set *s, size_t n, const uint32_t *from);

/*
 * The neighbours of some slots.
 *
 * q       [n_q] slots, borrowed, n_q <= cap
 * best    [n_q] in: what is known already, {INFINITY, NONE}, or {a bound, NONE} past which nothing is of
 *         interest; out: the neighbour. A lower value or an equal one in a lower slot wins.
 * cost    O(n_q n d) single-precision steps, less where the limit is soon passed
 */
void kymo_near_search(struct kymo_near_set *s, size_t n_q, const uint32_t *q,
                      struct kymo_near *best, kymo_near_fn value, const void *ctx,
                      unsigned n_threads);

#endif
