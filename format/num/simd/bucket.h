/* SPDX-License-Identifier: Apache-2.0
 * bucket.h: distances of one row to a bucket of rows, and of a box to boxes and buckets.
 *
 * A bucket holds KYMO_BUCKET_ROWS rows in groups of KYMO_BUCKET_LANES, feature by feature in each,
 * so that one load brings one feature of eight rows:
 *
 *     group 0: x0 of rows 0..7 | x1 of rows 0..7 | ... | x(d-1) of rows 0..7
 *     group 1: x0 of rows 8..15 | ...
 *
 * A row that is absent is INFINITY in every feature: it is no one's neighbour. Which rows answer a
 * question is one bit a row, row r being bit r.
 *
 * Every distance here has the bits of kymo_sqdist(): the same eight partial sums in the same order,
 * products rounded before they are added. So each level of vector instructions gives the same answers,
 * also exactly at a radius; and as rounding never turns round an order (a <= b gives fl(a) <= fl(b)),
 * a box's nearest distance is never above, and its farthest never below, the distance of a row inside.
 */
#ifndef KYMO_NUM_SIMD_BUCKET_H
#define KYMO_NUM_SIMD_BUCKET_H

#include <stddef.h>
#include <stdint.h>

#define KYMO_BUCKET_LANES 8u
#define KYMO_BUCKET_GROUPS 4u
/* At most 64, the bits of an answer. */
#define KYMO_BUCKET_ROWS (KYMO_BUCKET_GROUPS * KYMO_BUCKET_LANES)
#define KYMO_BUCKET_ALL (UINT64_MAX >> (64 - KYMO_BUCKET_ROWS))

/* Where feature 0 of a bucket's row lies; feature j is j * KYMO_BUCKET_LANES further. */
static inline size_t kymo_bucket_at(size_t d, size_t row)
{
    return row / KYMO_BUCKET_LANES * d * KYMO_BUCKET_LANES + row % KYMO_BUCKET_LANES;
}

/*
 * Which rows of a bucket, of those asked about, lie within a radius of x.
 *
 * among   rows asked about, a bit each; a group with none costs nothing
 * x       d finite values, the next lies `stride` doubles on: KYMO_BUCKET_LANES for a bucket's own row
 * bucket  [KYMO_BUCKET_ROWS,d] as above       r2  the radius squared, finite; it is inside
 * dist2   [KYMO_BUCKET_ROWS] out, squared distances, of meaning where the answer's bit is set; may be
 *         NULL
 */
uint64_t kymo_bucket_near(size_t d, const double *x, size_t stride, const double *bucket,
                          uint64_t among, double r2, double *dist2);

/* A narrow bucket holds single precision, in groups of KYMO_NARROW_LANES. */
#define KYMO_NARROW_LANES 16u

static inline size_t kymo_narrow_at(size_t d, size_t row)
{
    return row / KYMO_NARROW_LANES * d * KYMO_NARROW_LANES + row % KYMO_NARROW_LANES;
}

/*
 * Which rows of a narrow bucket lie within a radius of x, about: a sieve before kymo_bucket_near(), at a
 * quarter of its cost. Squared distances are off by d + 4 roundings of single precision at most, each
 * of 2^-24 of the sum, in whatever direction; levels may differ by as much.
 *
 * x       d finite values, the next lies KYMO_NARROW_LANES floats on
 */
uint64_t kymo_narrow_near(size_t d, const float *x, const float *bucket, float r2);

/* Which rows of a bucket lie within a radius of some point of a box; box as for kymo_box_nearest(). */
uint64_t kymo_bucket_near_box(size_t d, const double *box, const double *bucket, double r2);

/* Doubles in a box of d features: its low corner, then its high one, each padded with zeros. */
static inline size_t kymo_box_half(size_t d)
{
    return (d + KYMO_BUCKET_LANES - 1) / KYMO_BUCKET_LANES * KYMO_BUCKET_LANES;
}

/* Squared distance of the two points, one of each box, that are nearest: 0 where they overlap. */
double kymo_box_nearest(size_t d, const double *a, const double *b);
/* The same of the two that are farthest: a corner each. */
double kymo_box_farthest(size_t d, const double *a, const double *b);

#endif
