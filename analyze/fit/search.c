/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/fit/search.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyze/core/metrics.h"
#include "analyze/fit/fit_options.h"
#include "format/base/rng.h"

#define K_MAX 4096
#define ROWS_A_STATE_MIN 2u /* -k auto tries no k with fewer training rows a state than this */

int kymo_parse_k(const char *tool, const char *text, uint64_t *k)
{
    *k = 0;
    if (strcmp(text, "auto") == 0)
        return KYMO_CLI_GO_ON;
    if (!kymo_parse_u64(text, k) || *k < 1 || *k > K_MAX)
        return kymo_cli_usage(tool, "-k wants a whole number from 1 to %d, or auto; not '%s'",
                              K_MAX, text);
    return KYMO_CLI_GO_ON;
}

/* Rows for silhouettes, drawn without replacement. */
static kymo_status draw_sample(struct kymo_search *s, struct kymo_err *err)
{
    const struct kymo_dense *X = &s->f->X;
    if (s->f->ranks)
        return KYMO_OK; /* no silhouettes: they take every pair of rows */
    s->sample = *X;
    if (X->n <= KYMO_SAMPLE_ROWS)
        return KYMO_OK;
    s->row = KYMO_NEW_RAW(&s->f->arena, size_t, KYMO_SAMPLE_ROWS);
    double *rows = KYMO_NEW_RAW(&s->f->arena, double, KYMO_SAMPLE_ROWS * X->d);
    double *weight = KYMO_NEW_RAW(&s->f->arena, double, KYMO_SAMPLE_ROWS);
    if (!s->row || !rows || !weight)
        return kymo_fit_no_memory(err);
    struct kymo_rng rng;
    kymo_rng_init(&rng, s->f->o->seed);
    size_t kept = 0;
    for (size_t i = 0; i < X->n && kept < KYMO_SAMPLE_ROWS; i++)
        if (kymo_rng_below(&rng, X->n - i) < KYMO_SAMPLE_ROWS - kept) {
            kymo_dense_row(X, i, rows + kept * X->d);
            weight[kept] = kymo_dense_weight(X, i);
            s->row[kept++] = i;
        }
    s->sample = (struct kymo_dense){
        .n = kept, .d = X->d, .f64 = rows, .weight = X->weight ? weight : NULL};
    return KYMO_OK;
}

kymo_status kymo_search_open(struct kymo_search *s, struct kymo_fit *f, uint64_t k,
                             size_t least, uint64_t k_max, struct kymo_err *err)
{
    size_t from = (size_t)k, to = (size_t)k;
    memset(s, 0, sizeof(*s));
    s->f = f;
    if (!k && f->ranks)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "-k auto does not go with --mpi: silhouettes take every pair of rows");
    if (!k) {
        const size_t most = f->X.n / ROWS_A_STATE_MIN;
        from = least;
        to = (size_t)k_max < most ? (size_t)k_max : most;
        to = to < from ? from : to;
    }
    if (from > f->all.train)
        return KYMO_FAIL(
            err, KYMO_EUSAGE, KYMO_NOWHERE,
            "%zu states want at least as many windows, and there are %zu to learn from", from,
            f->all.train);
    s->n = to - from + 1;
    s->tried = KYMO_NEW(&f->arena, struct kymo_tried, s->n);
    if (!s->tried)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < s->n; i++)
        s->tried[i] = kymo_tried_k(from + i);
    return draw_sample(s, err);
}

static const uint32_t *sample_labels(struct kymo_search *s, const uint32_t *label)
{
    if (!s->row)
        return label;
    uint32_t *l = KYMO_NEW_RAW(&s->f->arena, uint32_t, s->sample.n);
    for (size_t i = 0; l && i < s->sample.n; i++)
        l[i] = label[s->row[i]];
    return l;
}

kymo_status kymo_search_silhouettes(struct kymo_search *s, size_t n,
                                    const uint32_t *const *label, struct kymo_err *err)
{
    struct kymo_labelling *l = KYMO_NEW(&s->f->arena, struct kymo_labelling, n);
    size_t kept = 0;
    for (size_t i = 0; l && i < n; i++) {
        l[i].k = s->tried[i].k;
        l[i].label = sample_labels(s, label[i]);
        kept += l[i].label != NULL;
    }
    if (!l || kept < n)
        return kymo_fit_no_memory(err);
    if (s->sample.n >= 2)
        KYMO_TRY(
            kymo_silhouette_dense(&s->sample, l, n, (unsigned)s->f->o->threads, NULL, err));
    for (size_t i = 0; i < n; i++)
        s->tried[i].silhouette = l[i].silhouette;
    return KYMO_OK;
}

void kymo_search_choose(struct kymo_search *s, size_t n)
{
    s->n = n;
    s->chosen = kymo_select_k(n, s->tried);
}

json_t *kymo_real_or_null(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

json_t *kymo_search_json(const struct kymo_search *s)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < s->n; i++) {
        const struct kymo_tried *t = &s->tried[i];
        json_array_append_new(
            list, json_pack("{s:I, s:o, s:o, s:o, s:o}", "k", (json_int_t)t->k, "inertia",
                            kymo_real_or_null(t->inertia), "silhouette",
                            kymo_real_or_null(t->silhouette), "bic", kymo_real_or_null(t->bic),
                            "icl", kymo_real_or_null(t->icl)));
    }
    return list;
}

void kymo_search_print(const struct kymo_search *s, FILE *to)
{
    const bool has_icl = s->n && !isnan(s->tried[0].icl);
    fprintf(to, "%6s %14s %11s %14s\n", "k", has_icl ? "ICL" : "inertia", "silhouette", "BIC");
    for (size_t i = 0; i < s->n; i++)
        fprintf(to, "%6zu %14.6g %11.4f %14.6g%s\n", s->tried[i].k,
                has_icl ? s->tried[i].icl : s->tried[i].inertia, s->tried[i].silhouette,
                s->tried[i].bic, i == s->chosen ? "  *" : "");
    if (s->n > 1)
        fprintf(to,
                "k = %zu: the lowest %s among those whose silhouette is at least %.0f%% of "
                "the best\n",
                s->tried[s->chosen].k, has_icl ? "ICL" : "BIC", KYMO_SILHOUETTE_REACH * 100);
}
