/* SPDX-License-Identifier: Apache-2.0
 * moments.h: weighted first and second moments of chosen rows around a shift, in row order.
 *
 * Around a shift near the rows' own mean nothing large cancels, however far from 0 the rows lie.
 * A symmetric matrix of sums is kept as the 8 by 8 tiles of its lower triangle:
 *
 *   0          tile (bi, bj) is at [bi (bi + 1) / 2 + bj], each row-major, the diagonal ones whole
 *   1 2
 *   3 4 5
 */
#ifndef KYMO_NUM_SIMD_MOMENTS_H
#define KYMO_NUM_SIMD_MOMENTS_H

#include "format/num/dense.h"
#include "format/num/simd/simd.h"

#define KYMO_TILE 8u

/* Columns rounded up to whole tiles; doubles of the tiles of a d by d matrix. */
static inline size_t kymo_tile_cols(size_t d)
{
    return (d + KYMO_TILE - 1) / KYMO_TILE * KYMO_TILE;
}
static inline size_t kymo_tiles_size(size_t d)
{
    const size_t blocks = kymo_tile_cols(d) / KYMO_TILE;
    return blocks * (blocks + 1) / 2 * KYMO_TILE * KYMO_TILE;
}

/*
 * First and second moments of every column by itself: of each row w (x - shift) and w (x - shift)^2.
 *
 * row     [n] indices of rows of x        weight  [n]
 * shift   [d]
 * sum, square  [d] added to
 */
void kymo_moments(enum kymo_simd level, const struct kymo_dense *x, size_t n, const size_t *row,
                  const double *weight, const double *shift, double *sum, double *square);

/*
 * B[i] = root[i] (x[row[i]] - shift), for kymo_scatter().
 *
 * row     [n] indices of rows of x        root    [n] square root of each row's weight
 * shift   [d]
 * B       [n, d rounded up to 8] out, the columns past d 0
 * sum     [d] root[i] B[i] is added for every row
 */
void kymo_gather(enum kymo_simd level, const struct kymo_dense *x, size_t n, const size_t *row,
                 const double *root, const double *shift, double *B, double *sum);

/* Add B^T B of n rows as kymo_gather() leaves them to tiles, kymo_tiles_size(d) doubles. */
void kymo_scatter(enum kymo_simd level, size_t n, size_t d, const double *B, double *tiles);

/* Tiles as a whole symmetric matrix S [d,d]. */
void kymo_tiles_unpack(size_t d, const double *tiles, double *S);

#endif
