/* SPDX-License-Identifier: Apache-2.0
 * birch.h: many rows summed up as few, so that what needs every pair of rows can have them.
 */
#ifndef KYMO_CORE_BIRCH_H
#define KYMO_CORE_BIRCH_H

#include <signal.h>

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"

/* The label of a row that was not reached before a stop. */
#define KYMO_BIRCH_NONE UINT32_MAX

struct kymo_birch_in {
    const struct kymo_dense *x;                /* 1 <= n < UINT32_MAX, borrowed */
    size_t m_max;                              /* groups at most, >= 1 */
    const volatile sig_atomic_t *stop;         /* may be NULL */
    void (*tick)(void *ctx, size_t rows_done); /* may be NULL; now and then */
    void *tick_ctx;
};

struct kymo_birch_out {
    size_t m;         /* groups, <= m_max */
    double *weight;   /* [m] arena: the sum of the rows' weights */
    double *centroid; /* [m,d] arena: the weighted mean of the rows */
    double *spread;   /* [m] arena: weighted sum of squared distances to it */
    uint32_t *label;  /* [n] arena: 0..m-1 in order of first appearance */
    double rise_max;  /* joins added at most this to the sum of spreads */
    size_t n_builds;  /* trees grown, the last one included */
    size_t n_done;    /* rows summed up: n, or fewer if *in->stop became nonzero */
};

/*
 * Sum the rows up in at most m_max groups of rows that lie close together.
 *
 * Tree     a row goes down to the nearest centroid at each level, and joins the group it ends at if
 *          that adds no more than rise_max to the sum of spreads, as in Ward's method; else it starts its
 *          own. rise_max begins at 0, where only equal rows join. When there are more groups than m_max,
 *          it rises to where a quarter of them would join a neighbour, and the groups themselves go
 *          through a new tree.
 * Result   weights, centroids and spreads are summed from the rows of each group, in row order
 * Order    rows are taken in the order in which they come, on one thread: the same bytes at every level
 *          of vector instructions
 * cost     O(n d log m) time; memory of at most about 6 m_max rows, and 4 bytes a row
 * errors   ELIMIT: the arena's cap
 * source   Zhang, Ramakrishnan, Livny, BIRCH: an efficient data clustering method for very large
 *          databases, SIGMOD 1996; Lang, Schubert, BETULA: numerically stable CF-trees for BIRCH
 *          clustering, SISAP 2020 (means are kept, not sums)
 */
KYMO_MUST_USE kymo_status kymo_birch(const struct kymo_birch_in *in, struct kymo_arena *arena,
                                     struct kymo_birch_out *out, struct kymo_err *err);

#endif
