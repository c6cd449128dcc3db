/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/fit/partition.h"

#include <math.h>
#include <stdio.h>

#include "analyze/core/metrics.h"
#include "analyze/fit/search.h"
#include "format/io/load.h"

#define CLUSTERS_MAX 65536u

/* Labels numbered from 0 in the order in which they are met. */
static kymo_status number_labels(struct kymo_fit *f, const struct kymo_matrix *m,
                                 const char *path, uint32_t *label, size_t *k,
                                 struct kymo_err *err)
{
    double *met = KYMO_NEW_RAW(&f->arena, double, CLUSTERS_MAX);
    if (!met)
        return kymo_fit_no_memory(err);
    *k = 0;
    for (size_t i = 0; i < f->split.n_train; i++) {
        const double v = kymo_matrix_at(m, f->split.train[i], 0);
        size_t c = 0;
        if (v != floor(v))
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                             "%s: the label of row %zu is %g, and has to be a whole number",
                             path, f->split.train[i] + 1, v);
        while (c < *k && met[c] != v)
            c++;
        if (c == CLUSTERS_MAX)
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has more than %u labels", path,
                             CLUSTERS_MAX);
        if (c == *k)
            met[(*k)++] = v;
        label[i] = (uint32_t)c;
    }
    return KYMO_OK;
}

static kymo_status load_labels(struct kymo_fit *f, const char *path, uint32_t **label,
                               size_t *k, struct kymo_err *err)
{
    struct kymo_matrix m;
    kymo_matrix_init(&m, 0);
    *label = KYMO_NEW_RAW(&f->arena, uint32_t, f->split.n_train);
    kymo_status s = *label ? kymo_matrix_load(&m, path, err) : kymo_fit_no_memory(err);
    if (!s && (m.n != f->m.n || m.d != 1))
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                      "%s is %zu by %zu, and %zu rows want one label each", path, m.n, m.d,
                      f->m.n);
    if (!s)
        s = number_labels(f, &m, path, *label, k, err);
    kymo_matrix_release(&m);
    return s;
}

static json_t *samples_json(const double *v, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, json_real(v[i]));
    return list;
}

static json_t *agreement_json(const struct kymo_agreement *a)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "rand", a->rand,
                     "adjusted_rand", a->adjusted_rand, "fowlkes_mallows", a->fowlkes_mallows,
                     "mutual_information", a->mutual_info, "nmi_arithmetic", a->nmi_arithmetic,
                     "nmi_geometric", a->nmi_geometric, "adjusted_mutual_information",
                     a->adjusted_mutual_info, "homogeneity", a->homogeneity, "completeness",
                     a->completeness);
}

kymo_status kymo_judge_partition(struct kymo_fit *f, const char *labels, const char *against,
                                 struct kymo_err *err)
{
    const unsigned threads = (unsigned)f->o->threads;
    uint32_t *label = NULL, *other = NULL;
    size_t k = 0, k_other = 0;
    struct kymo_spread spread;
    struct kymo_agreement agree = {0};
    KYMO_TRY(load_labels(f, labels, &label, &k, err));
    double *sample = KYMO_NEW(&f->arena, double, f->X.n);
    if (!sample)
        return kymo_fit_no_memory(err);
    struct kymo_labelling l = {.label = label, .k = k};
    KYMO_TRY(kymo_spread(&f->X, label, k, threads, &spread, err));
    if (f->X.n >= 2 && k >= 2)
        KYMO_TRY(kymo_silhouette_dense(&f->X, &l, 1, threads, sample, err));
    if (against) {
        KYMO_TRY(load_labels(f, against, &other, &k_other, err));
        KYMO_TRY(kymo_agree(f->X.n, other, k_other, label, k, &agree, err));
    }
    if (f->o->json) {
        json_t *doc = json_pack(
            "{s:I, s:I, s:f, s:f, s:f, s:o, s:o, s:o, s:o*}", "rows", (json_int_t)f->X.n, "k",
            (json_int_t)k, "within", spread.within, "between", spread.between, "silhouette",
            l.silhouette, "silhouette_samples", samples_json(sample, f->X.n),
            "calinski_harabasz", kymo_real_or_null(spread.calinski_harabasz), "davies_bouldin",
            kymo_real_or_null(spread.davies_bouldin), "against",
            against ? agreement_json(&agree) : NULL);
        const kymo_status s = doc ? kymo_json_write(doc, "-", 0, err) : kymo_fit_no_memory(err);
        json_decref(doc);
        return s;
    }
    printf("%zu states of %zu rows: silhouette %.6g, Calinski-Harabasz %.6g, Davies-Bouldin "
           "%.6g, within %.6g of %.6g\n",
           k, f->X.n, l.silhouette, spread.calinski_harabasz, spread.davies_bouldin,
           spread.within, spread.within + spread.between);
    if (against)
        printf(
            "against %zu states of %s: adjusted Rand %.6g, NMI %.6g, mutual information %.6g "
            "nats\n",
            k_other, against, agree.adjusted_rand, agree.nmi_arithmetic, agree.mutual_info);
    return KYMO_OK;
}
