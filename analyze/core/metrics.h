/* SPDX-License-Identifier: Apache-2.0
 * metrics.h: how good a partition is, arrays in, numbers out.
 */
#ifndef KYMO_CORE_METRICS_H
#define KYMO_CORE_METRICS_H

#include "format/base/err.h"
#include "format/base/rng.h"
#include "format/num/dense.h"

/* One partition of the same rows. */
struct kymo_labelling {
    const uint32_t *label; /* [n] in 0..k-1, borrowed */
    size_t k;              /* clusters, >= 2 for a silhouette */
    double silhouette;     /* out: mean over the rows, -1..1 */
};

/*
 * Mean silhouette of several partitions of the same rows, exactly.
 *
 * X       [n,d] finite, borrowed, n >= 2
 * l       [m] partitions; .silhouette is filled; 0 where fewer than two clusters have rows
 * sample  [n] out, silhouette of each row under l[0]; may be NULL
 * cost    O(m n^2 d) time, each distance taken once a partition; O(n d + n k) memory, at most 16 MiB of
 *         it for the n k: past that each distance is taken twice and O(n d) is enough
 * errors  ELIMIT: no memory
 * source  Rousseeuw, Silhouettes, J. Comput. Appl. Math. 20, 1987; the only row of its cluster has 0
 */
KYMO_MUST_USE kymo_status kymo_silhouette(size_t n, size_t d, const double *X,
                                          struct kymo_labelling *l, size_t m,
                                          unsigned n_threads, double *sample,
                                          struct kymo_err *err);

/* The same of rows in either precision. A weight w counts as w equal rows, w >= 1. */
KYMO_MUST_USE kymo_status kymo_silhouette_dense(const struct kymo_dense *x,
                                                struct kymo_labelling *l, size_t m,
                                                unsigned n_threads, double *sample,
                                                struct kymo_err *err);

/* How rows lie around the means of their clusters. */
struct kymo_spread {
    double within;  /* sum of weighted squared distances to the own mean */
    double between; /* of the clusters' means to the mean of all rows */
    double
        calinski_harabasz; /* (between / (k - 1)) / (within / (n - k)), higher is better; 1 where
                                 within is 0, as scikit-learn has it */
    double
        davies_bouldin; /* mean over clusters of the worst (s_a + s_b) / d_ab, lower is better */
};

/*
 * Indices of a partition that need no pairs of rows.
 *
 * x       n >= 2; weights count as so many equal rows
 * label   [n] in 0..k-1, borrowed; clusters without rows do not count
 * out     all of it; both indices are NAN where fewer than two clusters or no more rows than clusters
 *         are left
 * cost    O(n d + k^2 d) time, O(k d) memory a block of rows; sums in block order
 * errors  ELIMIT: no memory
 * source  Calinski, Harabasz, A dendrite method for cluster analysis, Comm. Statist. 3, 1974; Davies,
 *         Bouldin, A cluster separation measure, IEEE PAMI 1, 1979
 */
KYMO_MUST_USE kymo_status kymo_spread(const struct kymo_dense *x, const uint32_t *label,
                                      size_t k, unsigned n_threads, struct kymo_spread *out,
                                      struct kymo_err *err);

/* How much two partitions of the same rows agree; information in nats. */
struct kymo_agreement {
    double rand, adjusted_rand;
    double fowlkes_mallows;
    double mutual_info;
    double nmi_arithmetic, nmi_geometric; /* 1 where both partitions are one cluster */
    double adjusted_mutual_info;          /* with the arithmetic mean */
    double homogeneity, completeness;     /* of b, with a for the truth */
};

/*
 * a, b    [n] labels in 0..k_a-1 and 0..k_b-1, borrowed; n >= 1
 * cost    O(n + k_a k_b) time and memory; the adjusted mutual information O(k_a k_b n) at worst
 * errors  ELIMIT: no memory
 * source  Hubert, Arabie, Comparing partitions, J. Classif. 2, 1985; Vinh, Epps, Bailey, Information
 *         theoretic measures for clusterings comparison, JMLR 11, 2010
 */
KYMO_MUST_USE kymo_status kymo_agree(size_t n, const uint32_t *a, size_t k_a, const uint32_t *b,
                                     size_t k_b, struct kymo_agreement *out,
                                     struct kymo_err *err);

/*
 * The gap statistic's pieces: fit the same k to the rows and to some tables of reference rows, take the
 * logarithm of kymo_spread's within of each; the gap is how far the rows are below the mean of the
 * references. The k to take is the least with gap(k) >= gap(k + 1) - error(k + 1).
 *
 * out     [n,d] rows uniform in the box of x's rows; x->n rows, x->d columns
 * source  Tibshirani, Walther, Hastie, Estimating the number of clusters in a data set via the gap
 *         statistic, J. R. Statist. Soc. B 63, 2001
 */
void kymo_gap_reference(const struct kymo_dense *x, struct kymo_rng *rng, double *out);
/* log_within_ref [n_ref], n_ref >= 1; error: the standard deviation of the references (divided by their
 * number) times sqrt(1 + 1 / n_ref). Returns the gap in nats. */
double kymo_gap(double log_within, size_t n_ref, const double *log_within_ref, double *error);

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
