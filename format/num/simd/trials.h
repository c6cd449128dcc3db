/* SPDX-License-Identifier: Apache-2.0
 * trials.h: squared distances of a tile of rows to a few candidates, by differences, in f32.
 *
 * By differences, since seeding draws rows in proportion to what comes out: a row that is its candidate
 * has exactly 0. Each distance is within (d / 4 + 8) 2^-24 of itself, at every level; plain and AVX2
 * give the same bytes.
 */
#ifndef KYMO_NUM_SIMD_TRIALS_H
#define KYMO_NUM_SIMD_TRIALS_H

#include <stddef.h>

#include "format/num/simd/nearest.h"

#define KYMO_TRIALS_MAX 16u

/* Places for t candidates: 4, 8 or 16. */
static inline size_t kymo_trials_pad(size_t t)
{
    return t <= 4 ? 4 : t <= 8 ? 8 : 16;
}

/*
 * x       KYMO_TILE_ROWS rows, row r at x + r * stride
 * n_cand  1..KYMO_TRIALS_MAX; pad = kymo_trials_pad(n_cand)
 * cand    [pad,d]; places past the candidates hold anything finite
 * near    [KYMO_TILE_ROWS] squared distances that a row has already
 * weight  [KYMO_TILE_ROWS]
 * dist2   [KYMO_TILE_ROWS,pad] out, not cut at near
 * sum     [pad] += weight * min(near, dist2) over the rows, in row order
 */
typedef void kymo_trials_fn(size_t d, size_t n_cand, const float *x, size_t stride,
                            const float *cand, const float *near, const double *weight,
                            float *dist2, double *sum);
kymo_trials_fn *kymo_trials_at(enum kymo_simd level);

#endif
