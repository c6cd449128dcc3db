/* SPDX-License-Identifier: Apache-2.0
 * family.h: the kinds of model that kymo select can choose from, each as one function.
 */
#ifndef KYMO_FIT_FAMILY_H
#define KYMO_FIT_FAMILY_H

#include "analyze/core/select.h"

enum kymo_family {
    KYMO_FAMILY_KMEANS,
    KYMO_FAMILY_GMM_FULL,
    KYMO_FAMILY_GMM_TIED,
    KYMO_FAMILY_GMM_DIAG,
    KYMO_FAMILY_GMM_SPHERICAL,
    KYMO_FAMILY_WARD,
    KYMO_FAMILY_AVERAGE,
    KYMO_FAMILY_COMPLETE,
    KYMO_FAMILIES
};
const char *kymo_fit_family_name(enum kymo_family f);
/* KYMO_FAMILIES when the n bytes are no name. */
enum kymo_family kymo_fit_family_value(const char *word, size_t n);
/* The tool that fits it, and the option that says so, "" for none. */
const char *kymo_fit_family_tool(enum kymo_family f);
const char *kymo_fit_family_option(enum kymo_family f);

struct kymo_fit_family_fit {
    enum kymo_family family;
    unsigned n_threads;
    const volatile sig_atomic_t *stop;
    size_t arena_bytes; /* cap of each fit's scratch */
};

/*
 * Fit t->k states to X and fill what the fit alone tells of t: inertia, BIC, ICL where it is a mixture,
 * Calinski-Harabasz, Davies-Bouldin. BIC of partitions is kymo_kmeans_bic's.
 *
 * label   [X->n] out           errors  ELIMIT; EINPUT: numbers that no covariance holds
 */
KYMO_MUST_USE kymo_status kymo_fit_family_try(struct kymo_fit_family_fit *f,
                                              const struct kymo_dense *X, uint64_t seed,
                                              struct kymo_tried *t, uint32_t *label,
                                              struct kymo_err *err);
/* A struct kymo_clusterer's fit; ctx is a struct kymo_fit_family_fit. */
KYMO_MUST_USE kymo_status kymo_fit_family_cluster(void *ctx, const struct kymo_dense *X,
                                                  size_t k, uint64_t seed, uint32_t *label,
                                                  double *dispersion, struct kymo_err *err);

#endif
