/* SPDX-License-Identifier: Apache-2.0
 * nearest.h: the nearest and second nearest of k centres for a tile of rows, in f32.
 *
 * A score is |c|^2 / 2 - x.c: its order over c is that of the distances. Centres lie feature-major in
 * panels of up to four vectors of 16, so that one value of a row meets 16 centres in one instruction
 * and no sum ever has to be folded:
 *
 *      panel p, V = 1..4 vectors:   [d][16 V]   c0 c1 ... c15 | c16 ... c31 | ...     one line a column
 *      x[row][j], broadcast      x  that line  ->  16 V scores of the row, in registers
 *
 * Rounding is bounded, not trusted: a row whose two best scores lie closer than both may be off comes
 * back in a bit mask, and the caller decides it in plain double. So the labels are those of plain
 * double arithmetic at every level. The plain level hands every row back.
 */
#ifndef KYMO_NUM_SIMD_NEAREST_H
#define KYMO_NUM_SIMD_NEAREST_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "format/num/simd/simd.h"

#define KYMO_TILE_ROWS 16u
#define KYMO_PANEL_MAX 64u /* centres of one panel */

/* Floats that packed centres take: k rounded up to 16, times d. */
#define KYMO_NEAREST_PAD(k) (((k) + 15u) & ~(size_t)15u)

struct kymo_nearest {
    size_t d, k;
    const float *packed; /* [d * pad] panels, each [d][its centres] */
    const float *bias;   /* [pad] |c|^2 / 2; infinite past k */
    float norm_max;      /* of |c|, rounded up */
    float bias_max;      /* of |c|^2 / 2, rounded up */
    int sparse; /* most values of rows are zero: wide panels may walk the others alone */
};

struct kymo_nearest_tile {
    uint32_t label[KYMO_TILE_ROWS];
    /* Distances to the nearest centre, at most `upper`, and to every other, at least `lower`. */
    float upper[KYMO_TILE_ROWS], lower[KYMO_TILE_ROWS];
};

/*
 * Pack centres.
 *
 * C       [k,d] in f64, borrowed         packed  [d * pad] out         bias  [pad] out
 */
void kymo_nearest_pack(size_t k, size_t d, const double *C, float *packed, float *bias,
                       struct kymo_nearest *out);

/*
 * Label one tile of 16 rows.
 *
 * x       row r at x + r * stride, [d] each; all 16 readable
 * norm2   [16] squared norms of the rows, rounded once; NULL: found on the way
 * returns a bit for every row that rounding leaves open (or whose numbers are beyond f32): its label
 *         and bounds are not to be used
 */
typedef unsigned kymo_nearest_fn(const struct kymo_nearest *c, const float *x, size_t stride,
                                 const float *norm2, struct kymo_nearest_tile *out);
kymo_nearest_fn *kymo_nearest_at(enum kymo_simd level);

/* -- the same by groups of centres, for bounds by group ---------------------------------------- */

#define KYMO_GROUPS_MAX 8u

/* Vectors of 16 centres that make one group, so that there are at most KYMO_GROUPS_MAX: 1, 2, 4, ... */
static inline size_t kymo_group_vectors(size_t k)
{
    size_t vectors = 1;
    while (vectors * KYMO_GROUPS_MAX * 16 < k)
        vectors *= 2;
    return vectors;
}

/* Of one group and a tile of rows: the least score, its centre, and the least of the others. */
struct kymo_group_scores {
    float least[KYMO_TILE_ROWS], next[KYMO_TILE_ROWS];
    uint32_t label[KYMO_TILE_ROWS];
};

/* Scores with the groups whose bits are set in `groups`, to out[group]. Each may be off by half of
 * kymo_nearest_error.score2. */
typedef void kymo_groups_fn(const struct kymo_nearest *c, unsigned groups, size_t group_vectors,
                            const float *x, size_t stride, struct kymo_group_scores *out);
/* NULL where a level has none. */
kymo_groups_fn *kymo_groups_at(enum kymo_simd level);

/* How far the scores and squared distances of a row may be off. */
struct kymo_nearest_error {
    float norm2;
    float score2; /* the difference of two scores */
    float dist2;
};
struct kymo_nearest_error kymo_nearest_error(const struct kymo_nearest *c, float norm2);

#define KYMO_NEAREST_ROUND 0x1p-21f /* of a root and a product in f32 */

/* Bounds of a distance from its score. */
static inline float kymo_nearest_upper(const struct kymo_nearest_error *e, float score)
{
    const float v = 2 * score + e->norm2 + e->dist2;
    return v > 0 ? sqrtf(v) * (1 + KYMO_NEAREST_ROUND) : 0;
}

static inline float kymo_nearest_lower(const struct kymo_nearest_error *e, float score)
{
    const float v = 2 * score + e->norm2 - e->dist2;
    return v > 0 ? sqrtf(v) * (1 - KYMO_NEAREST_ROUND) : 0;
}

#endif
