/* SPDX-License-Identifier: Apache-2.0
 * reduce.h: fewer columns that keep most of the variance.
 */
#ifndef KYMO_CORE_REDUCE_H
#define KYMO_CORE_REDUCE_H

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"

struct kymo_pca_in {
    const struct kymo_dense *x; /* borrowed; a row of weight 2 is that row twice */
    size_t count;               /* components to keep, 1..d; 0: as many as share asks for */
    double share;               /* of the variance to keep at least, in (0, 1]; with count 0 */
    unsigned n_threads;
};

struct kymo_pca {
    size_t d, m;       /* columns, components kept, 1 <= m <= d */
    double *mean;      /* [d] arena */
    double *component; /* [m,d] arena: rows of length 1, at right angles, largest |entry| > 0 */
    double
        *variance; /* [d] arena: of all d components, descending, >= 0; the first m are kept */
    double total;  /* their sum: the variance of all columns together, squared column units */
    double kept;   /* share of it in the first m, in 0..1; 1 where there is none */
};

/*
 * Principal components of the covariance of x, n - 1 below the line, columns not scaled.
 *
 * cost    O(n d^2 + d^3); memory O(d^2) a block of rows
 * errors  EINPUT: fewer than two rows' weight, or squares that overflow; ELIMIT: the arena's cap
 * source  Jolliffe, Principal component analysis, 2nd ed., Springer, 2002
 */
KYMO_MUST_USE kymo_status kymo_pca(const struct kymo_pca_in *in, struct kymo_arena *arena,
                                   struct kymo_pca *out, struct kymo_err *err);

/*
 * out[i] = component (x[i] - mean), each row's place along the components kept.
 *
 * x       of p->d columns               out     [n,m]
 * errors  ELIMIT: no memory for a tile of rows a thread
 */
KYMO_MUST_USE kymo_status kymo_pca_project(const struct kymo_pca *p, const struct kymo_dense *x,
                                           unsigned n_threads, double *out,
                                           struct kymo_err *err);

#endif
