/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/moments.h"

#include <string.h>

#include "format/num/simd/pick.h"

#if defined(__x86_64__)
#define LANES 256
#include "format/num/simd/moments_lanes.h"
#undef LANES
#define LANES 512
#include "format/num/simd/moments_lanes.h"
#undef LANES
#elif defined(__aarch64__)
#define LANES 128
#include "format/num/simd/moments_lanes.h"
#undef LANES
#endif

void kymo_moments(enum kymo_simd level, const struct kymo_dense *x, size_t n, const size_t *row,
                  const double *weight, const double *shift, double *sum, double *square)
{
    KYMO_TRY_LANES(level, moments, x, n, row, weight, shift, sum, square);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < x->d; j++) {
            const double t = kymo_dense_at(x, row[i], j) - shift[j], wt = weight[i] * t;
            sum[j] += wt;
            square[j] += wt * t;
        }
}

void kymo_gather(enum kymo_simd level, const struct kymo_dense *x, size_t n, const size_t *row,
                 const double *root, const double *shift, double *B, double *sum)
{
    KYMO_TRY_LANES(level, gather, x, n, row, root, shift, B, sum);
    for (size_t i = 0; i < n; i++, B += kymo_tile_cols(x->d)) {
        memset(B + x->d, 0, (kymo_tile_cols(x->d) - x->d) * sizeof(double));
        for (size_t j = 0; j < x->d; j++) {
            B[j] = (kymo_dense_at(x, row[i], j) - shift[j]) * root[i];
            sum[j] += B[j] * root[i];
        }
    }
}

void kymo_scatter(enum kymo_simd level, size_t n, size_t d, const double *B, double *tiles)
{
    KYMO_TRY_LANES(level, scatter, n, d, B, tiles);
    const size_t step = kymo_tile_cols(d);
    for (size_t bi = 0; bi < step; bi += KYMO_TILE)
        for (size_t bj = 0; bj <= bi; bj += KYMO_TILE, tiles += KYMO_TILE * KYMO_TILE)
            for (size_t r = 0; r < n; r++)
                for (size_t i = 0; i < KYMO_TILE; i++)
                    for (size_t j = 0; j < KYMO_TILE; j++)
                        tiles[i * KYMO_TILE + j] += B[r * step + bi + i] * B[r * step + bj + j];
}

void kymo_tiles_unpack(size_t d, const double *tiles, double *S)
{
    for (size_t bi = 0; bi < d; bi += KYMO_TILE)
        for (size_t bj = 0; bj <= bi; bj += KYMO_TILE, tiles += KYMO_TILE * KYMO_TILE)
            for (size_t i = bi; i < d && i < bi + KYMO_TILE; i++)
                for (size_t j = bj; j <= i && j < bj + KYMO_TILE; j++)
                    S[i * d + j] = S[j * d + i] = tiles[(i - bi) * KYMO_TILE + j - bj];
}
