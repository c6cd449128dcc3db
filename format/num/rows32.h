/* SPDX-License-Identifier: Apache-2.0
 * rows32.h: dense rows as f32 kernels take them.
 *
 * Rows in f32 near the origin are taken where they lie. All others (f64, or far from the origin, where
 * f32 would spend its digits on the common offset, or of a scale that f32 products do not hold) are
 * moved by a pivot, scaled by a power of two and rounded, tile by tile.
 */
#ifndef KYMO_NUM_ROWS32_H
#define KYMO_NUM_ROWS32_H

#include <stdint.h>

#include "format/num/dense.h"
#include "format/num/simd/rowops.h"

#define KYMO_FETCH_BYTES 64u /* of a cache line */

struct kymo_rows32 {
    const struct kymo_dense *x;
    const struct kymo_rowops *ops;
    const double *pivot; /* [d], zero where direct */
    double scale;        /* a power of two, 1 where direct */
    int direct;          /* the f32 rows as they are */
    double filled;       /* share of the f32 values that are not zero, in the rows looked at */
};

/* Choose pivot and scale from at most so many rows, evenly spaced. */
#define KYMO_PIVOT_ROWS 256u

/*
 * X       n >= 1, borrowed               pivot  [d] out, borrowed by *out
 * cost    O(d) for each of KYMO_PIVOT_ROWS rows
 */
void kymo_rows32_init(struct kymo_rows32 *out, const struct kymo_dense *x, double *pivot);

/* C [k,d] f64 in the units of X to those of the f32 rows; out [k,d], may be C. */
void kymo_rows32_centres(const struct kymo_rows32 *r, size_t k, const double *C, double *out);

/*
 * Some rows as a tile.
 *
 * row     [n_rows] indices, in any order; n_rows <= tile_rows
 * buf     [tile_rows * d] floats, used when the rows cannot be taken where they lie; missing rows are
 *         zeros
 * returns the first row; row r is stride floats on
 */
const float *kymo_rows32_tile(const struct kymo_rows32 *r, const uint32_t *row, size_t n_rows,
                              size_t tile_rows, float *buf, size_t *stride);

/* Begin to fetch a row that will be wanted soon: rows picked here and there are not foreseen by CPUs. */
static inline void kymo_rows32_fetch(const struct kymo_rows32 *r, size_t row)
{
    const size_t bytes = r->x->d * (r->x->f32 ? sizeof(float) : sizeof(double));
    const char *at =
        (r->x->f32 ? (const char *)r->x->f32 : (const char *)r->x->f64) + row * bytes;
    for (size_t b = 0; b < bytes; b += KYMO_FETCH_BYTES)
        __builtin_prefetch(at + b, 0, 2);
}

#endif
