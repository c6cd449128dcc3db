/* SPDX-License-Identifier: Apache-2.0
 * dense.h: rows of numbers as clusterers take them, in the precision in which they came.
 */
#ifndef KYMO_NUM_DENSE_H
#define KYMO_NUM_DENSE_H

#include <stddef.h>

/* Borrowed, row-major, finite. Exactly one of f32 and f64 is given; sums over it are double. */
struct kymo_dense {
    size_t n, d;
    const float *f32;     /* [n,d] or NULL */
    const double *f64;    /* [n,d] or NULL */
    const double *weight; /* [n] finite, > 0: how many rows each stands for; NULL: one each */
};

/* Element (i, j), widened. */
static inline double kymo_dense_at(const struct kymo_dense *x, size_t i, size_t j)
{
    return x->f32 ? (double)x->f32[i * x->d + j] : x->f64[i * x->d + j];
}

/* Row i, widened into out[d]. */
static inline void kymo_dense_row(const struct kymo_dense *x, size_t i, double *out)
{
    for (size_t j = 0; j < x->d; j++)
        out[j] = kymo_dense_at(x, i, j);
}

static inline double kymo_dense_weight(const struct kymo_dense *x, size_t i)
{
    return x->weight ? x->weight[i] : 1;
}

#endif
