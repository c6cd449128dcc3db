/* SPDX-License-Identifier: Apache-2.0
 * strips.h: distances of many rows to one Gaussian, with the rows side by side in vector lanes.
 *
 *   rows      x00 x01 x02     strip   x00 x10 x20 ... (24)   column 0 of 24 rows
 *             x10 x11 x12             x01 x11 x21 ...        column 1
 *             x20 x21 x22             x02 x12 x22 ...        column 2
 *
 * So the same coefficient meets 24 rows at once and nothing is summed across lanes: the sum of a
 * row has one order, from column 0 up, at every level. Levels differ by fused roundings alone:
 * relative to the sum of the magnitudes added, within d * 2^-52.
 */
#ifndef KYMO_NUM_SIMD_STRIPS_H
#define KYMO_NUM_SIMD_STRIPS_H

#include "format/num/dense.h"
#include "format/num/simd/simd.h"

#define KYMO_STRIP_ROWS 24u /* three AVX-512 registers, six AVX2, twelve NEON */
#define KYMO_FACTOR_ROWS 8u /* rows of a triangular factor that are worked on together */

/* Squared lengths are cut here, so that what overflows stays comparable and is never NaN. */
#define KYMO_QUAD_MAX 0x1p1000

/* Strips that hold n rows. */
static inline size_t kymo_strips_of(size_t n_rows)
{
    return (n_rows + KYMO_STRIP_ROWS - 1) / KYMO_STRIP_ROWS;
}

/*
 * Lay rows out as strips, widened.
 *
 * x       rows lo .. lo + n_rows - 1 of it
 * out     [strips, d, 24]; what lies past the last row is 0
 */
void kymo_strips(enum kymo_simd level, const struct kymo_dense *x, size_t lo, size_t n_rows,
                 double *out);

/* Doubles of a packed d by d lower-triangular factor. */
size_t kymo_factor_packed(size_t d);

/* Lay P [d,d] lower-triangular out in blocks of eight rows, column by column, 0 above the
 * diagonal. The row j of P then goes to out[block j / 8][column][j % 8]. */
void kymo_factor_pack(size_t d, const double *P, double *out);

/*
 * q = |P (x - mean)|^2 for the 24 rows of a strip.
 *
 * strip   [d,24]                    mean    [d]
 * packed  by kymo_factor_pack()     diff    [d rounded up to 8, 24] scratch
 * y       [d rounded up to 8, 24] out: P (x - mean); may be NULL
 * q       [24] out, at most KYMO_QUAD_MAX
 * cost    24 d^2 multiply-adds
 */
void kymo_quad_factor(enum kymo_simd level, size_t d, const double *strip, const double *mean,
                      const double *packed, double *diff, double *y, double *q);

/*
 * q[c] = sum over j of (x_j scale[c,j] - offset[c,j])^2 for the 24 rows of a strip and k components.
 *
 * strip   [d,24]
 * pairs   [k,d,2] scale and offset
 * q       [k] rows of 24, `stride` doubles apart, out, at most KYMO_QUAD_MAX
 * cost    48 k d multiply-adds
 */
void kymo_quad_diag(enum kymo_simd level, size_t d, size_t k, const double *strip,
                    const double *pairs, size_t stride, double *q);

/*
 * y[c] = sum over j of C[c,j] (x_j - mean_j) for the 24 rows of a strip.
 *
 * strip   [d,24]                          mean    [d]
 * C       [m,d]                           diff    [d,24] scratch
 * y       [m,24] out
 * cost    24 m d multiply-adds
 */
void kymo_dot_strip(enum kymo_simd level, size_t d, size_t m, const double *strip,
                    const double *mean, const double *C, double *diff, double *y);

#endif
