/* SPDX-License-Identifier: Apache-2.0
 * moments_lanes.h: the kernels of moments.h for one vector width; see lanes.h.
 */
#ifndef LANES
#error "LANES says which level this is"
#endif
#include "format/num/simd/lanes.h"

#undef T_ROWS
#undef T_TILES
#undef T_VECS
#undef M_VECS
#define M_VECS 4 /* vectors of columns at once: 12 registers and 4 at work */
#define T_VECS (KYMO_TILE / LANES_N) /* vectors across a tile */
#if LANES == 512
#define T_ROWS 8  /* rows of a tile at once: 24 sums, 3 of the other side, 1 of this */
#define T_TILES 3 /* tiles side by side */
#else
#define T_ROWS 4
#define T_TILES 1
#endif

/* n_vecs vectors of columns from j on, of all rows; n_vecs and is_f32 are constant where this is
 * expanded. */
LANES_INLINE void LANES_FN(moments_cols)(size_t d, size_t j, size_t n_vecs, const void *x,
                                         int is_f32, size_t n, const size_t *row,
                                         const double *weight, const double *shift, double *sum,
                                         double *square)
{
    const float *f = (const float *)x + j;
    const double *g = (const double *)x + j;
    vec_t first[M_VECS], second[M_VECS], around[M_VECS];
    for (size_t v = 0; v < n_vecs; v++) {
        first[v] = v_load(sum + j + v * LANES_N);
        second[v] = v_load(square + j + v * LANES_N);
        around[v] = v_load(shift + j + v * LANES_N);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t at = row[i] * d;
        const vec_t w = v_set(weight[i]);
        for (size_t v = 0; v < n_vecs; v++) {
            const vec_t value =
                is_f32 ? v_load_f32(f + at + v * LANES_N) : v_load(g + at + v * LANES_N);
            const vec_t t = value - around[v], wt = w * t;
            first[v] = first[v] + wt;
            second[v] = v_fma(wt, t, second[v]);
        }
    }
    for (size_t v = 0; v < n_vecs; v++) {
        v_store(sum + j + v * LANES_N, first[v]);
        v_store(square + j + v * LANES_N, second[v]);
    }
}

LANES_INLINE void LANES_FN(moments_of)(size_t d, const void *x, int is_f32, size_t n,
                                       const size_t *row, const double *weight,
                                       const double *shift, double *sum, double *square)
{
    const float *f = x;
    const double *g = x;
    size_t j = 0;
    for (; j + M_VECS * LANES_N <= d; j += M_VECS * LANES_N)
        LANES_FN(moments_cols)(d, j, M_VECS, x, is_f32, n, row, weight, shift, sum, square);
    for (; j + LANES_N <= d; j += LANES_N)
        LANES_FN(moments_cols)(d, j, 1, x, is_f32, n, row, weight, shift, sum, square);
    for (; j < d; j++)
        for (size_t i = 0; i < n; i++) {
            const size_t at = row[i] * d + j;
            const double t = (is_f32 ? (double)f[at] : g[at]) - shift[j], wt = weight[i] * t;
            sum[j] += wt;
            square[j] += wt * t;
        }
}

LANES_TARGET static void LANES_FN(moments)(const struct kymo_dense *x, size_t n,
                                           const size_t *row, const double *weight,
                                           const double *shift, double *sum, double *square)
{
    if (x->f32)
        LANES_FN(moments_of)(x->d, x->f32, 1, n, row, weight, shift, sum, square);
    else
        LANES_FN(moments_of)(x->d, x->f64, 0, n, row, weight, shift, sum, square);
}

/* One row of gather(); is_f32 is constant where this is expanded. */
LANES_INLINE void LANES_FN(gather_row)(size_t d, const void *x, int is_f32, double root,
                                       const double *shift, double *B, double *sum)
{
    const float *f = x;
    const double *g = x;
    size_t j = 0;
    for (; j + LANES_N <= d; j += LANES_N) {
        const vec_t v = is_f32 ? v_load_f32(f + j) : v_load(g + j);
        const vec_t b = (v - v_load(shift + j)) * v_set(root);
        v_store(B + j, b);
        v_store(sum + j, v_fma(b, v_set(root), v_load(sum + j)));
    }
    for (; j < d; j++) {
        const double b = ((is_f32 ? (double)f[j] : g[j]) - shift[j]) * root;
        B[j] = b;
        sum[j] += b * root;
    }
    for (; j < kymo_tile_cols(d); j++)
        B[j] = 0;
}

LANES_TARGET static void LANES_FN(gather)(const struct kymo_dense *x, size_t n,
                                          const size_t *row, const double *root,
                                          const double *shift, double *B, double *sum)
{
    const size_t d = x->d, step = kymo_tile_cols(d);
    for (size_t i = 0; i < n; i++, B += step)
        if (x->f32)
            LANES_FN(gather_row)(d, x->f32 + row[i] * d, 1, root[i], shift, B, sum);
        else
            LANES_FN(gather_row)(d, x->f64 + row[i] * d, 0, root[i], shift, B, sum);
}

/* T_ROWS rows of tn tiles; tn is constant where this is expanded. */
LANES_INLINE void LANES_FN(scatter_part)(size_t n, size_t step, size_t tn, const double *left,
                                         const double *right, double *tile)
{
    vec_t sum[T_ROWS][T_TILES * T_VECS];
    for (size_t i = 0; i < T_ROWS; i++)
        for (size_t v = 0; v < tn * T_VECS; v++)
            sum[i][v] = v_load(tile + v / T_VECS * KYMO_TILE * KYMO_TILE + i * KYMO_TILE +
                               v % T_VECS * LANES_N);
    for (size_t r = 0; r < n; r++, left += step, right += step) {
        vec_t b[T_TILES * T_VECS];
        for (size_t v = 0; v < tn * T_VECS; v++)
            b[v] = v_load(right + v * LANES_N);
        for (size_t i = 0; i < T_ROWS; i++) {
            const vec_t a = v_set(left[i]);
            for (size_t v = 0; v < tn * T_VECS; v++)
                sum[i][v] = v_fma(a, b[v], sum[i][v]);
        }
    }
    for (size_t i = 0; i < T_ROWS; i++)
        for (size_t v = 0; v < tn * T_VECS; v++)
            v_store(tile + v / T_VECS * KYMO_TILE * KYMO_TILE + i * KYMO_TILE +
                        v % T_VECS * LANES_N,
                    sum[i][v]);
}

LANES_TARGET static void LANES_FN(scatter)(size_t n, size_t d, const double *B, double *tiles)
{
    const size_t step = kymo_tile_cols(d);
    for (size_t i = 0; i < step; i += KYMO_TILE)
        for (size_t j = 0; j <= i;) {
            const size_t left = (i - j) / KYMO_TILE + 1, tn = left < T_TILES ? left : T_TILES;
            for (size_t sub = 0; sub < KYMO_TILE; sub += T_ROWS) {
                double *const tile = tiles + sub * KYMO_TILE;
                const double *const rows = B + i + sub;
#if T_TILES == 3
                if (tn == 3)
                    LANES_FN(scatter_part)(n, step, 3, rows, B + j, tile);
                else if (tn == 2)
                    LANES_FN(scatter_part)(n, step, 2, rows, B + j, tile);
                else
#endif
                    LANES_FN(scatter_part)(n, step, 1, rows, B + j, tile);
            }
            j += tn * KYMO_TILE;
            tiles += tn * KYMO_TILE * KYMO_TILE;
        }
}
