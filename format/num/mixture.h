/* SPDX-License-Identifier: Apache-2.0
 * mixture.h: what a mixture of Gaussians says of rows. Fitting and scoring share it.
 *
 *   log p(x) = log sum over c of weight[c] N(x; mean[c], cov[c])
 *
 * Densities go through the inverse Cholesky factor P of a covariance, P cov P^T = I with P
 * lower-triangular: log N = log det P - (d log 2 pi + |P (x - mean)|^2) / 2.
 */
#ifndef KYMO_NUM_MIXTURE_H
#define KYMO_NUM_MIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"
#include "format/num/simd/simd.h"

enum kymo_cov {
    KYMO_COV_FULL,      /* each component its own: cov [k,d,d] */
    KYMO_COV_TIED,      /* one for all: cov [d,d] */
    KYMO_COV_DIAG,      /* variances: cov [k,d] */
    KYMO_COV_SPHERICAL, /* one variance each: cov [k] */
};

struct kymo_mixture {
    enum kymo_cov type;
    size_t k, d;
    double
        *weight;  /* [k] >= 0, sum 1; of 0: a component without mass, which no row belongs to */
    double *mean; /* [k,d] */
    double *cov;  /* shape by type, in squared column units */
    double *factor; /* shape of cov: P, or 1 / sd where cov holds variances */
};

/* Doubles of cov; false where they would not fit a size_t. */
bool kymo_mixture_cov_size(enum kymo_cov type, size_t k, size_t d, size_t *size);
/* Free parameters: k - 1 weights, k d means, and the covariances'. */
double kymo_mixture_n_params(enum kymo_cov type, size_t k, size_t d);

/* Arrays for k components of d columns, zeroed, arena. ELIMIT past its cap. */
KYMO_MUST_USE kymo_status kymo_mixture_new(struct kymo_mixture *m, enum kymo_cov type, size_t k,
                                           size_t d, struct kymo_arena *arena,
                                           struct kymo_err *err);
/* m = from, of the same type and shape. */
void kymo_mixture_copy(struct kymo_mixture *m, const struct kymo_mixture *from);

/* factor from cov. EINPUT: a covariance is not positive definite; factor is then of no use. */
KYMO_MUST_USE kymo_status kymo_mixture_factorize(struct kymo_mixture *m, struct kymo_err *err);

/*
 * The marginal mixture over chosen columns: their means and blocks of the covariances, exact for
 * every type.
 *
 * col     [n_cols] in 0..d-1, each once, n_cols >= 1; the result's columns are in this order
 * out     arena
 * errors  ELIMIT: the arena's cap; EINPUT: a block is not positive definite to rounding
 */
KYMO_MUST_USE kymo_status kymo_mixture_restrict(const struct kymo_mixture *m, size_t n_cols,
                                                const size_t *col, struct kymo_arena *arena,
                                                struct kymo_mixture *out, struct kymo_err *err);

/* Each [n] or [n,k] out, and may be NULL. */
struct kymo_posterior {
    double *log_resp;    /* [n,k] log of each component's share of the row */
    double *log_density; /* [n] log p(x), nats */
    uint32_t *label;     /* [n] component with the largest share, ties to the lowest index */
};

/*
 * What the mixture says of every row of x; row weights do not matter.
 *
 * cost    O(n k d^2) full, O(n (d^2 + k d)) tied, O(n k d) otherwise
 * errors  ELIMIT: no memory for a tile of rows a thread
 */
KYMO_MUST_USE kymo_status kymo_mixture_posterior(const struct kymo_mixture *m,
                                                 const struct kymo_dense *x, unsigned n_threads,
                                                 const struct kymo_posterior *out,
                                                 struct kymo_err *err);

/* A mixture laid out for the kernels; arena. Tiles of rows stay in a core's cache. */
struct kymo_mixture_plan {
    enum kymo_cov type;
    enum kymo_simd level;
    size_t k, d;
    size_t tile_rows;    /* at most so many rows a tile; by d alone */
    size_t scratch_size; /* doubles of scratch a tile needs */
    double *constant;    /* [k] log weight + log det P - d / 2 log 2 pi */
    double *mean;        /* full [k,d]; tied [d], the origin of the rows turned by P */
    double *packed;      /* full [k] factors by kymo_factor_pack(), tied one */
    double *pairs;       /* [k,d,2] scale and offset for kymo_quad_diag(); NULL for full */
};

/* Room for mixtures of this type and shape. ELIMIT past the arena's cap. */
KYMO_MUST_USE kymo_status kymo_mixture_plan_new(struct kymo_mixture_plan *p, enum kymo_cov type,
                                                size_t k, size_t d, enum kymo_simd level,
                                                struct kymo_arena *arena, struct kymo_err *err);
/* Lay a mixture out: weight, mean and factor are read. */
void kymo_mixture_plan_set(struct kymo_mixture_plan *p, const struct kymo_mixture *m);

/*
 * lp[c] = log(weight[c] N(x)) for rows lo .. lo + n_rows - 1 of x, 1 <= n_rows <= tile_rows. The rows
 * behind them, up to x->n, are taken to be next.
 *
 * scratch [scratch_size]
 * lp      [k] rows tile_rows doubles apart, out; rows up to the next multiple of 24 are written
 *         too, with something finite. -inf for a component without mass.
 */
void kymo_mixture_tile(const struct kymo_mixture_plan *p, const struct kymo_dense *x, size_t lo,
                       size_t n_rows, double *scratch, double *lp);

#endif
