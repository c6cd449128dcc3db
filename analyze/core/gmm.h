/* SPDX-License-Identifier: Apache-2.0
 * gmm.h: Gaussian mixtures by expectation maximization, arrays in, arrays out.
 */
#ifndef KYMO_CORE_GMM_H
#define KYMO_CORE_GMM_H

#include <signal.h>

#include "analyze/core/ranks.h"
#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"
#include "format/num/mixture.h"

/* A variance never falls below this share of its column's variance over all rows, in any direction
 * of a full covariance: a standard deviation of 1.5e-5 of the column's. A column without
 * variance takes the square of its value, at least 1, for it. What lies in fewer dimensions than
 * columns then has a density, and a component that closes in on one value does not run away. */
#define KYMO_GMM_FLOOR 0x1p-32

/* A component with less than this share of all weight is given up: it keeps its place with weight
 * 0. What is given up changes the mean log-likelihood by less than twice as much. */
#define KYMO_GMM_MASS_MIN 1e-15

/* Why a fit ended. */
enum kymo_gmm_stop {
    KYMO_GMM_CONVERGED, /* the mean log-likelihood changed by less than tol */
    KYMO_GMM_MAX_ITER,
    KYMO_GMM_STOPPED, /* *in->stop became nonzero: the best so far */
};

struct kymo_gmm_tick {
    size_t iteration; /* M steps so far */
    double loglik;    /* after them */
};

struct kymo_gmm_in {
    const struct kymo_dense *x; /* borrowed; a row of weight 2 is that row twice */
    size_t k;                   /* components, 1 <= k <= n */
    enum kymo_cov type;
    /* The start; exactly one is given, borrowed. */
    const struct kymo_mixture *start; /* of this type, k and d: weight, mean and cov are read */
    const uint32_t *label; /* [n] in 0..k-1: what rows belong to, as k-means says it */
    const double *resp;    /* [n,k] >= 0, each row's sum 1 */
    double reg;            /* added to every variance, squared column units, >= 0; 0 for none */
    double tol;      /* change of the mean log-likelihood, nats a row; 0: only max_iter ends */
    size_t max_iter; /* M steps after the start's own, >= 1 */
    unsigned n_threads;
    const struct kymo_ranks
        *ranks; /* x is some of the rows, the others are elsewhere; NULL: all */
    const volatile sig_atomic_t *stop;                      /* may be NULL */
    void (*tick)(void *ctx, const struct kymo_gmm_tick *t); /* may be NULL */
    void *tick_ctx;
};

struct kymo_gmm_out {
    struct kymo_mixture mix; /* arena */
    double *trace;       /* [iterations + 1] arena: log-likelihood after each M step, nats */
    size_t iterations;   /* M steps after the start's own */
    double loglik;       /* the last of trace: sum over rows of weight times log density */
    double entropy;      /* of the responsibilities, nats: 0 where every row is certain */
    double n_params;     /* free parameters */
    double bic, aic;     /* -2 loglik + n_params ln(rows) or + 2 n_params: lower is better */
    double icl;          /* bic + 2 entropy: also holds doubtful rows against a fit */
    size_t floored;      /* components of mix with a variance at its floor; 1 for tied */
    size_t floored_axes; /* such columns or directions, over all components */
    size_t given_up;     /* components of mix without mass */
    enum kymo_gmm_stop why;
};

/*
 * Fit a mixture of k Gaussians to the rows of x.
 *
 * Steps     E: each component's responsibility for each row, in logs. M: weights, means and
 *           covariances of the rows so weighted. The log-likelihood never falls, rounding and reg
 *           aside, for the floor is the best covariance among those not below it.
 * Moments   are taken around the last step's means, and anew around the new ones where they moved
 *           too far for that: nothing large cancels, wherever the rows lie.
 * Threads   rows are cut in blocks that depend on the shape alone, sums run in block order: the
 *           same bytes for every n_threads.
 * cost      O(iterations n k d^2) for full and tied, O(iterations n k d) for the others; memory
 *           within a tenth of x, or 32 blocks' sums where that is more
 * errors    ELIMIT: the arena's cap; EINPUT: numbers so large that their squares overflow, or a
 *           start that is no covariance
 * source    Dempster, Laird, Rubin, Maximum likelihood from incomplete data via the EM algorithm,
 *           J. R. Stat. Soc. B 39(1), 1977; Biernacki, Celeux, Govaert, Assessing a mixture model
 *           for clustering with the integrated completed likelihood, IEEE PAMI 22(7), 2000
 */
KYMO_MUST_USE kymo_status kymo_gmm(const struct kymo_gmm_in *in, struct kymo_arena *arena,
                                   struct kymo_gmm_out *out, struct kymo_err *err);

const char *kymo_gmm_stop_name(enum kymo_gmm_stop why);

#endif
