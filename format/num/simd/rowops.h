/* SPDX-License-Identifier: Apache-2.0
 * rowops.h: sums over one row, in double, in eight lanes, without fused products: the same bytes at
 * every level.
 */
#ifndef KYMO_NUM_SIMD_ROWOPS_H
#define KYMO_NUM_SIMD_ROWOPS_H

#include <stddef.h>

#include "format/num/simd/simd.h"

struct kymo_rowops {
    /* sum[j] += w * x[j] */
    void (*add_f32)(size_t d, double w, const float *x, double *sum);
    void (*add_f64)(size_t d, double w, const double *x, double *sum);
    /* |x - c|^2 by differences */
    double (*sqdist_f32)(size_t d, const float *x, const double *c);
    double (*sqdist_f64)(size_t d, const double *x, const double *c);
    /* dist[c] = |x - c|^2 of k centres, feature-major [d,k]; each summed from column 0 up */
    void (*sqdist_all)(size_t k, size_t d, const double *x, const double *packed, double *dist);
    /* out[j] = (x[j] - pivot[j]) * scale, rounded to f32 */
    void (*narrow_f32)(size_t d, const float *x, const double *pivot, double scale, float *out);
    void (*narrow_f64)(size_t d, const double *x, const double *pivot, double scale,
                       float *out);
    /* a . b, in f32 */
    float (*dot_f32)(size_t d, const float *a, const float *b);
};

const struct kymo_rowops *kymo_rowops_at(enum kymo_simd level);

#endif
