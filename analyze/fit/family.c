/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/fit/family.h"

#include <math.h>
#include <string.h>

#include "analyze/core/dendrogram.h"
#include "analyze/core/gmm.h"
#include "analyze/core/kmeans.h"
#include "analyze/core/linkage.h"
#include "analyze/core/metrics.h"

#define RESTARTS 5u
#define KMEANS_PASSES 300u
#define EM_STEPS 200u
#define EM_TOL 1e-4

static const struct family {
    const char *name, *tool, *option;
    int of; /* enum kymo_cov, or enum kymo_linkage_method */
} families[KYMO_FAMILIES] = {
    {"kmeans", "kmeans", "", 0},
    {"gmm-full", "gmm", "--covariance full", KYMO_COV_FULL},
    {"gmm-tied", "gmm", "--covariance tied", KYMO_COV_TIED},
    {"gmm-diag", "gmm", "--covariance diag", KYMO_COV_DIAG},
    {"gmm-spherical", "gmm", "--covariance spherical", KYMO_COV_SPHERICAL},
    {"ward", "hierarchical", "--method ward", KYMO_LINKAGE_WARD},
    {"average", "hierarchical", "--method average", KYMO_LINKAGE_AVERAGE},
    {"complete", "hierarchical", "--method complete", KYMO_LINKAGE_COMPLETE},
};

const char *kymo_fit_family_name(enum kymo_family f)
{
    return families[f].name;
}

enum kymo_family kymo_fit_family_value(const char *word, size_t n)
{
    int f = 0;
    while (f < KYMO_FAMILIES &&
           (strlen(families[f].name) != n || memcmp(families[f].name, word, n) != 0))
        f++;
    return (enum kymo_family)f;
}

const char *kymo_fit_family_tool(enum kymo_family f)
{
    return families[f].tool;
}

const char *kymo_fit_family_option(enum kymo_family f)
{
    return families[f].option;
}

static kymo_status run_kmeans(const struct kymo_fit_family_fit *f, const struct kymo_dense *X,
                              size_t k, uint64_t seed, struct kymo_arena *a,
                              struct kymo_kmeans_out *out, struct kymo_err *err)
{
    const struct kymo_kmeans_in in = {.X = *X,
                                      .k = k,
                                      .n_init = RESTARTS,
                                      .max_iter = KMEANS_PASSES,
                                      .seed = seed,
                                      .n_threads = f->n_threads,
                                      .stop = f->stop};
    return kymo_kmeans(&in, a, out, err);
}

static kymo_status run_gmm(const struct kymo_fit_family_fit *f, const struct kymo_dense *X,
                           uint64_t seed, struct kymo_arena *a, struct kymo_tried *t,
                           uint32_t *label, struct kymo_err *err)
{
    struct kymo_kmeans_out rough;
    struct kymo_gmm_out fit;
    KYMO_TRY(run_kmeans(f, X, t->k, seed, a, &rough, err));
    const struct kymo_gmm_in in = {.x = X,
                                   .k = t->k,
                                   .type = (enum kymo_cov)families[f->family].of,
                                   .label = rough.label,
                                   .tol = EM_TOL,
                                   .max_iter = EM_STEPS,
                                   .n_threads = f->n_threads,
                                   .stop = f->stop};
    KYMO_TRY(kymo_gmm(&in, a, &fit, err));
    t->bic = fit.bic;
    t->icl = fit.icl;
    const struct kymo_posterior p = {.label = label};
    return kymo_mixture_posterior(&fit.mix, X, f->n_threads, &p, err);
}

static kymo_status run_linkage(const struct kymo_fit_family_fit *f, const struct kymo_dense *X,
                               size_t k, struct kymo_arena *a, uint32_t *label,
                               struct kymo_err *err)
{
    struct kymo_linkage_out out;
    const struct kymo_linkage_in in = {.method =
                                           (enum kymo_linkage_method)families[f->family].of,
                                       .rows = X,
                                       .n_threads = f->n_threads,
                                       .stop = f->stop};
    KYMO_TRY(kymo_linkage(&in, a, &out, err));
    if (out.stopped) {
        memset(label, 0, X->n * sizeof(*label));
        return KYMO_OK;
    }
    return kymo_dendrogram_cut(X->n, out.Z, k, label, err);
}

/* t->bic stays NaN where the family has none of its own. */
static kymo_status label_rows(const struct kymo_fit_family_fit *f, const struct kymo_dense *X,
                              uint64_t seed, struct kymo_arena *a, struct kymo_tried *t,
                              uint32_t *label, struct kymo_err *err)
{
    struct kymo_kmeans_out out;
    if (f->family >= KYMO_FAMILY_WARD)
        return run_linkage(f, X, t->k, a, label, err);
    if (f->family != KYMO_FAMILY_KMEANS)
        return run_gmm(f, X, seed, a, t, label, err);
    KYMO_TRY(run_kmeans(f, X, t->k, seed, a, &out, err));
    memcpy(label, out.label, X->n * sizeof(*label));
    return KYMO_OK;
}

static kymo_status describe(const struct kymo_fit_family_fit *f, const struct kymo_dense *X,
                            struct kymo_arena *a, const uint32_t *label, struct kymo_tried *t,
                            struct kymo_err *err)
{
    struct kymo_spread s;
    size_t *size = KYMO_NEW(a, size_t, t->k);
    if (!size)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    KYMO_TRY(kymo_spread(X, label, t->k, f->n_threads, &s, err));
    for (size_t i = 0; i < X->n; i++)
        size[label[i]]++;
    t->inertia = s.within;
    t->calinski_harabasz = s.calinski_harabasz;
    t->davies_bouldin = s.davies_bouldin;
    if (isnan(t->bic))
        t->bic = kymo_kmeans_bic(X->n, X->d, t->k, size, s.within);
    return KYMO_OK;
}

kymo_status kymo_fit_family_try(struct kymo_fit_family_fit *f, const struct kymo_dense *X,
                                uint64_t seed, struct kymo_tried *t, uint32_t *label,
                                struct kymo_err *err)
{
    struct kymo_arena a;
    kymo_arena_init(&a, f->arena_bytes);
    kymo_status s = label_rows(f, X, seed, &a, t, label, err);
    if (!s)
        s = describe(f, X, &a, label, t, err);
    kymo_arena_release(&a);
    return s;
}

kymo_status kymo_fit_family_cluster(void *ctx, const struct kymo_dense *X, size_t k,
                                    uint64_t seed, uint32_t *label, double *dispersion,
                                    struct kymo_err *err)
{
    struct kymo_tried t = kymo_tried_k(k);
    KYMO_TRY(kymo_fit_family_try(ctx, X, seed, &t, label, err));
    *dispersion = t.inertia;
    return KYMO_OK;
}
