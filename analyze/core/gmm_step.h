/* SPDX-License-Identifier: Apache-2.0
 * gmm_step.h: one pass of EM over all rows, and the parameters that its sums come to. For gmm.c.
 *
 *   rows of a block          tile                     sums of the block
 *   +-----------------+  E   log densities [k,rows]   mass   [k]
 *   | tile            | ---> responsibilities     --> first  [k,d]   around shift
 *   +-----------------+                               second [k,d] or tiles of [d,d]
 *   | tile            |
 *   +-----------------+   blocks are summed in order
 */
#ifndef KYMO_CORE_GMM_STEP_H
#define KYMO_CORE_GMM_STEP_H

#include "analyze/core/gmm.h"

/* Sums over rows, of one block or of all. */
struct kymo_gmm_sums {
    double loglik, entropy;
    double *mass;   /* [k] */
    double *first;  /* [k,d] of weight times (x - shift) */
    double *second; /* full [k] tiles, tied tiles, else [k,d] of weight times squares */
};

/* Scratch of one thread. */
struct kymo_gmm_slot {
    double *tile;    /* for kymo_mixture_tile() */
    double *lp;      /* [k,tile_rows] log densities, then responsibilities */
    double *log_sum; /* [tile_rows] */
    double *entropy; /* [tile_rows] */
    double
        *weight; /* [tile_rows and slack] of the rows of one component, or their square roots */
    size_t *row; /* [tile_rows and slack] those rows */
    double *gathered; /* some of them around the shift */
};

struct kymo_gmm_pass {
    const struct kymo_gmm_in *in;
    struct kymo_mixture_plan plan;
    size_t block_rows, n_blocks, tile_rows;
    size_t second_size; /* doubles of a block's second moments */
    double *shift;      /* [k,d] */
    double total;       /* of all row weights */
    double *var;        /* [d] of each column over all rows */
    double *floor;      /* [d] least variance of each column */
    struct kymo_gmm_sums all;
    struct kymo_gmm_sums *part; /* [n_blocks] */
    struct kymo_gmm_slot *slot; /* one a thread */
    bool from_start;            /* responsibilities are the start's, not the plan's */
    bool with_sums;             /* moments too, not the log-likelihood alone */
};

/* Memory, and the columns' own means (as every shift), variances and floors. */
KYMO_MUST_USE kymo_status kymo_gmm_pass_new(struct kymo_gmm_pass *p,
                                            const struct kymo_gmm_in *in, struct kymo_arena *a,
                                            struct kymo_err *err);

/* One pass over the rows, into p->all. */
void kymo_gmm_pass_run(struct kymo_gmm_pass *p);

/* What was done so that a mixture stays one. */
struct kymo_gmm_floors {
    size_t components, axes, given_up;
};

/* M step: p->all into weights, means and covariances, held to the floor, with their factors. A
 * component without mass keeps the mean and covariance that m has. a: for scratch.
 * errors EINPUT: a sum overflowed; ELIMIT */
KYMO_MUST_USE kymo_status kymo_gmm_maximize(const struct kymo_gmm_pass *p,
                                            struct kymo_mixture *m,
                                            struct kymo_gmm_floors *floors,
                                            struct kymo_arena *a, struct kymo_err *err);

/* Hold m's covariances to the floor and factorize them, adding what was done to *floors. */
KYMO_MUST_USE kymo_status kymo_gmm_hold(const double *floor, struct kymo_mixture *m,
                                        struct kymo_gmm_floors *floors, struct kymo_arena *a,
                                        struct kymo_err *err);

/* Whether a mean of m lies so far from its shift, in its own standard deviations, that what
 * cancelled in p->all would show. */
bool kymo_gmm_moved_far(const struct kymo_gmm_pass *p, const struct kymo_mixture *m);

#endif
