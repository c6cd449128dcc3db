/* SPDX-License-Identifier: Apache-2.0
 * assign.h: nearest centre of a row, the kernel that fitting and scoring share.
 */
#ifndef KYMO_NUM_ASSIGN_H
#define KYMO_NUM_ASSIGN_H

#include <stddef.h>
#include <stdint.h>

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"
#include "format/num/rows32.h"
#include "format/num/simd/nearest.h"
#include "format/num/simd/rowops.h"

/* -- plain double: what the nearest centre is ------------------------------------------------- */

/* Squared Euclidean distance of a[d] and b[d], summed in eight lanes in a fixed order. */
double kymo_sqdist(size_t d, const double *a, const double *b);

/* Lay centres out feature-major: out[j * k + c] = C[c * d + j]. The inner loop of the assignment
 * then runs over centres, which a compiler can vectorise without reordering any sum. */
void kymo_pack_centres(size_t k, size_t d, const double *C, double *out);

/*
 * Squared distances of one row to all centres.
 *
 * x       [d] finite, borrowed          packed  [d,k] by kymo_pack_centres
 * dist    [k] out; each summed from column 0 up
 */
void kymo_sqdist_all(size_t k, size_t d, const double *x, const double *packed, double *dist);

/* Index of the smallest of dist[k], k >= 1; ties go to the lowest index. */
size_t kymo_argmin(size_t k, const double *dist);

/* -- the same labels, many rows at a time ----------------------------------------------------- */

/* Centres as every kernel wants them; memory is the arena's that init was given. */
struct kymo_assigner {
    const struct kymo_rows32 *rows; /* borrowed */
    const struct kymo_rowops *ops;
    kymo_nearest_fn *fn;
    struct kymo_nearest near;
    size_t k;
    double *plain;        /* [d,k] feature-major */
    double *moved;        /* [k,d] in the units of the f32 rows, in packed order */
    float *packed, *bias; /* of near */
    /* Centres are packed in an order of their own: order[place] is a centre, place[centre] its place. */
    uint32_t *order, *place;
    /* By groups: places that are near each other. */
    kymo_groups_fn *groups;
    size_t n_groups, group_vectors; /* n_groups 1: none */
    float *narrow;                  /* [k,d] moved, when there are groups */
};

/* Groups pay from so many centres on. 200,000 rows of 128 columns, seconds with one slack a row and with
 * groups: k = 64, 50 passes, 0.91 and 0.89 (blobs), 0.66 and 0.74 (counts, four in five zero); k = 256, 30
 * passes, 3.7 and 2.8, 2.6 and 2.3. */
#define KYMO_GROUPS_K_LEAST 128u

/* What one thread at work needs; memory is the arena's. */
struct kymo_assign_scratch {
    float *tile;        /* [KYMO_TILE_ROWS, d] */
    double *row, *dist; /* [d], [k] */
};

/* errors  ELIMIT: the arena's cap */
KYMO_MUST_USE kymo_status kymo_assigner_init(struct kymo_assigner *a,
                                             const struct kymo_rows32 *rows, size_t k,
                                             enum kymo_simd level, struct kymo_arena *arena,
                                             struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_assign_scratch_init(struct kymo_assign_scratch *s, size_t k,
                                                   size_t d, struct kymo_arena *arena,
                                                   struct kymo_err *err);

/* Order places so that near centres share a group, and use groups from now on where they pay. Before
 * kymo_assigner_set(). cost O(k^2 + k d) */
void kymo_assigner_group(struct kymo_assigner *a, const double *C);

static inline size_t kymo_assigner_group_of(const struct kymo_assigner *a, size_t centre)
{
    return a->place[centre] / (16 * a->group_vectors);
}

/* Take centres C [k,d], in the units of the rows. cost O(k d) */
void kymo_assigner_set(struct kymo_assigner *a, const double *C);

/*
 * Label a few rows: exactly as kymo_sqdist_all() and kymo_argmin() do.
 *
 * row     [n_rows] in any order, n_rows <= KYMO_TILE_ROWS
 * norm2   [n] squared norms of all rows as f32 rows, rounded once; NULL: found on the way
 * out     label; and bounds of the distances, in the units of the f32 rows
 */
void kymo_assign_tile(const struct kymo_assigner *a, const uint32_t *row, size_t n_rows,
                      const float *norm2, struct kymo_assign_scratch *s,
                      struct kymo_nearest_tile *out);

/* The same for one row in plain double, to place r of *out. */
void kymo_assign_exact(const struct kymo_assigner *a, size_t row, struct kymo_assign_scratch *s,
                       size_t r, struct kymo_nearest_tile *out);

/* Squared distance of a row of X to c[d], by differences, in double. */
static inline double kymo_row_sqdist(const struct kymo_rowops *ops, const struct kymo_dense *x,
                                     size_t row, const double *c)
{
    return x->f32 ? ops->sqdist_f32(x->d, x->f32 + row * x->d, c)
                  : ops->sqdist_f64(x->d, x->f64 + row * x->d, c);
}

/* sum[d] += w * row */
static inline void kymo_row_add(const struct kymo_rowops *ops, const struct kymo_dense *x,
                                size_t row, double w, double *sum)
{
    if (x->f32)
        ops->add_f32(x->d, w, x->f32 + row * x->d, sum);
    else
        ops->add_f64(x->d, w, x->f64 + row * x->d, sum);
}

/*
 * Label each row of X with its nearest centre.
 *
 * X       n < 2^32 rows, borrowed         C  [k,d] finite, borrowed, k >= 1
 * label   [n] out, in 0..k-1; exactly those of plain double arithmetic, ties to the lowest index
 * dist2   [n] out, squared distance to it by differences; may be NULL
 * inertia out, the sum of weight * dist2, in row-block order; may be NULL
 * cost    O(n k d) time; O(k d) memory a block of rows
 * errors  ELIMIT: no memory for the packed centres, or too many rows
 */
KYMO_MUST_USE kymo_status kymo_kmeans_assign(const struct kymo_dense *X, size_t k,
                                             const double *C, unsigned n_threads,
                                             uint32_t *label, double *dist2, double *inertia,
                                             struct kymo_err *err);

#endif
