/* SPDX-License-Identifier: Apache-2.0
 * select.h: how many states there are, and of which kind.
 */
#ifndef KYMO_CORE_SELECT_H
#define KYMO_CORE_SELECT_H

#include <signal.h>
#include <stdint.h>

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"

/* One fit that was tried. What nobody worked out is NaN. */
struct kymo_tried {
    size_t k;
    double inertia;
    double bic, icl;          /* nats, lower is better */
    double silhouette;        /* -1..1 */
    double calinski_harabasz; /* higher is better */
    double davies_bouldin;    /* lower is better */
    double gap,
        gap_error; /* ln dispersion of rows without clusters, less that of these; its error */
    double stability; /* 0..1: how much alike fits of resampled rows are */
};
/* All NaN but k. */
struct kymo_tried kymo_tried_k(size_t k);

/* A k is in reach when its silhouette is at least this share of the best one. */
#define KYMO_SILHOUETTE_REACH 0.7
/* And when it is stable, where that was worked out: at least this share of the stablest. */
#define KYMO_STABILITY_REACH 0.8

/*
 * The index of the fit to take: the lowest BIC (ICL where it is known, which also holds doubtful rows
 * against a fit) among those whose silhouette, and stability where known, are within reach of the best; the
 * first of equals. BIC alone splits without end where clusters are not of the shape it assumes, silhouette
 * alone joins what is close together; a state too many costs a label, a state too few mixes good with bad.
 *
 * tried  [n], n >= 1
 */
size_t kymo_select_k(size_t n, const struct kymo_tried *tried);

/* Fit k clusters to rows and label them; what criteria below ask for, many times over. */
struct kymo_clusterer {
    /* label [X->n] out, in 0..k-1; dispersion out: sum of squared distances to the clusters' means */
    kymo_status (*fit)(void *ctx, const struct kymo_dense *X, size_t k, uint64_t seed,
                       uint32_t *label, double *dispersion, struct kymo_err *err);
    void *ctx;
    const volatile sig_atomic_t *stop; /* may be NULL */
};

/*
 * Gap statistic of a fit: how much more compact its clusters are than those of rows drawn evenly from the box that
 * the rows fill; into t->gap and t->gap_error.
 *
 * dispersion  of the fit to X itself, sum of squared distances          draws  sets of random rows, >= 2
 * errors      ELIMIT; what fit returns          cost  draws fits, and a copy of X in double
 * source      Tibshirani, Walther, Hastie, Estimating the number of clusters in a data set via the gap
 *             statistic, J. R. Stat. Soc. B 63(2), 2001
 */
KYMO_MUST_USE kymo_status kymo_try_gap(const struct kymo_clusterer *c,
                                       const struct kymo_dense *X, double dispersion,
                                       size_t draws, uint64_t seed, struct kymo_tried *t,
                                       struct kymo_err *err);

/*
 * Stability of a fit, into t->stability: rows are drawn with replacement twice, clustered each time, and the two
 * partitions compared on the rows that both hold by the adjusted Rand index; the mean over so many pairs.
 *
 * errors  ELIMIT; what fit returns              cost  2 pairs fits, and a copy of X
 * source  Fang, Wang, Selection of the number of clusters via the bootstrap method, Comput. Stat. Data Anal.
 *         56, 2012; Hubert, Arabie, Comparing partitions, J. Classif. 2, 1985
 */
KYMO_MUST_USE kymo_status kymo_try_stability(const struct kymo_clusterer *c,
                                             const struct kymo_dense *X, size_t pairs,
                                             uint64_t seed, struct kymo_tried *t,
                                             struct kymo_err *err);

/* The smallest k of ascending tries whose gap reaches that of the next less its error; n: none. */
size_t kymo_select_gap(size_t n, const struct kymo_tried *tried);

#endif
