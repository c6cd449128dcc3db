/* SPDX-License-Identifier: Apache-2.0
 * metrics.h: how good a partition is, arrays in, numbers out.
 */
#ifndef KYMO_CORE_METRICS_H
#define KYMO_CORE_METRICS_H

#include "format/base/err.h"

/* One partition of the same rows. */
struct kymo_labelling {
    const uint32_t *label; /* [n] in 0..k-1, borrowed */
    size_t k;              /* clusters, >= 2 for a silhouette */
    double silhouette;     /* out: mean over the rows, -1..1 */
};

/*
 * Mean silhouette of several partitions of the same rows, exactly, in one pass over the distances.
 *
 * X       [n,d] finite, borrowed, n >= 2
 * l       [m] partitions; .silhouette is filled; 0 where fewer than two clusters have rows
 * sample  [n] out, silhouette of each row under l[0]; may be NULL
 * cost    O(n^2 (d + m)) time, O(m k) a thread: distances are never kept
 * errors  ELIMIT: no memory
 * source  Rousseeuw, Silhouettes, J. Comput. Appl. Math. 20, 1987; the only row of its cluster has 0
 */
KYMO_MUST_USE kymo_status kymo_silhouette(size_t n, size_t d, const double *X,
                                          struct kymo_labelling *l, size_t m,
                                          unsigned n_threads, double *sample,
                                          struct kymo_err *err);

/*
 * Bayesian information criterion of a k-means partition, read as a mixture of k spherical
 * Gaussians with one shared variance and hard membership; lower is better.
 *
 *   variance = inertia / (d (n - k))
 *   loglik   = sum_c size_c ln(size_c / n) - n d/2 ln(2 pi variance) - d (n - k) / 2
 *   bic      = -2 loglik + (k - 1 + k d + 1) ln n
 *
 * size    [k] rows a cluster             inertia  as of kymo_kmeans
 * returns the criterion in nats; -INFINITY where the variance is 0 (as many clusters as rows)
 * source  Pelleg, Moore, X-means, ICML 2000 (with the variance a coordinate, not a row)
 */
double kymo_kmeans_bic(size_t n, size_t d, size_t k, const size_t *size, double inertia);

#endif
