/* SPDX-License-Identifier: Apache-2.0
 * kymo-select: how many states a host has, and which kind of model tells them best.
 * needs: openblas
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyze/core/metrics.h"
#include "analyze/fit/family.h"
#include "analyze/fit/fit_options.h"
#include "analyze/fit/partition.h"
#include "analyze/fit/progress.h"
#include "analyze/fit/search.h"
#include "format/base/file.h"

#define TOOL "kymo-select"
#define TRIES_MAX 4096u

struct opts {
    struct kymo_fit_opts fit;
    const char *families, *labels, *against, *curve;
    uint64_t k_min, k_max, draws, pairs;
};

struct run {
    const struct opts *o;
    struct kymo_fit *f;
    enum kymo_family family[KYMO_FAMILIES];
    size_t n_families;
    struct kymo_search search; /* for the sample; its tries are the last family's */
    struct kymo_tried *tried;  /* [n_families * n_ks] by family, then k */
    size_t n, n_ks, chosen;
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'r', "read", "FILE", "the matrix, like a bare MATRIX", &o->fit.in, 0, 0},
        {KYMO_OPT_STR, 'o', "curve-out", "FILE", "write the table here as CSV", &o->curve, 0,
         0},
        {KYMO_OPT_STR, 0, "families", "LIST",
         "models to try: kmeans, gmm-full, gmm-tied, gmm-diag, gmm-spherical, ward, average, "
         "complete (kmeans,gmm-diag,ward)",
         &o->families, 0, 0},
        {KYMO_OPT_U64, 0, "k-min", "N", "from so many states on (2)", &o->k_min, 2, 4096},
        {KYMO_OPT_U64, 0, "k-max", "N", "to so many (12)", &o->k_max, 2, 4096},
        {KYMO_OPT_U64, 0, "gap", "N",
         "sets of even rows for the gap statistic (0: without; else at least 2)", &o->draws, 0,
         1000},
        {KYMO_OPT_U64, 0, "stability", "N",
         "pairs of resampled fits for the stability (5; 0: without)", &o->pairs, 0, 1000},
        {KYMO_OPT_STR, 0, "labels", "FILE",
         "judge this partition, one state a row (.npy or CSV), in place of trying any",
         &o->labels, 0, 0},
        {KYMO_OPT_STR, 0, "against", "FILE", "and say how much it agrees with this one",
         &o->against, 0, 0},
        KYMO_FIT_OPT_ROWS(&o->fit),
        KYMO_FIT_OPT_RUN(&o->fit),
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "say how many states there are, and which kind of model tells them best",
        .positional = "[MATRIX]",
        .positional_max = 1,
        .examples = "kymo select prod.features.kymo\n"
                    "kymo select --families kmeans,gmm-full --pca 0.9 --gap 10 "
                    "prod.features.kymo -o curve.csv\n"
                    "kymo select --labels labels.csv --against truth.csv iris.csv --json\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    int first;
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (first < argc && o->fit.in)
        return kymo_cli_usage(TOOL, "one matrix, please: both -r and %s were given",
                              argv[first]);
    if (first < argc)
        o->fit.in = argv[first];
    if (!o->fit.in)
        return kymo_cli_usage(TOOL, "no matrix to read");
    if (o->against && !o->labels)
        return kymo_cli_usage(TOOL, "--against compares with --labels");
    if (o->k_max < o->k_min)
        return kymo_cli_usage(TOOL, "--k-max is below --k-min");
    return o->draws == 1 ? kymo_cli_usage(TOOL, "--gap wants 2 sets at least") : KYMO_CLI_GO_ON;
}

/* -- trying ----------------------------------------------------------------------------------- */

static kymo_status parse_families(struct run *r, struct kymo_err *err)
{
    for (const char *p = r->o->families; *p;) {
        const size_t n = strcspn(p, ",");
        const enum kymo_family f = kymo_fit_family_value(p, n);
        if (f == KYMO_FAMILIES)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "--families: '%.*s' is none; see kymo select --help", (int)n, p);
        for (size_t i = 0; i < r->n_families; i++)
            if (r->family[i] == f)
                return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "--families: %s twice",
                                 kymo_fit_family_name(f));
        r->family[r->n_families++] = f;
        p += n + (p[n] == ',');
    }
    if (!r->n_families)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "--families names none");
    return KYMO_OK;
}

/* One family over all k: criteria that need the fit alone, then those that fit again. */
static kymo_status try_family(struct run *r, size_t which, struct kymo_err *err)
{
    struct kymo_fit *f = r->f;
    struct kymo_tried *t = r->tried + which * r->n_ks;
    struct kymo_fit_family_fit fit = {.family = r->family[which],
                                      .n_threads = (unsigned)f->o->threads,
                                      .stop = kymo_progress_stop(),
                                      .arena_bytes = f->arena.cap_bytes};
    const struct kymo_clusterer c = {kymo_fit_family_cluster, &fit, fit.stop};
    const uint32_t **label = KYMO_NEW(&f->arena, const uint32_t *, r->n_ks);
    if (!label)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < r->n_ks && !*fit.stop; i++) {
        uint32_t *l = KYMO_NEW_RAW(&f->arena, uint32_t, f->X.n);
        if (!l)
            return kymo_fit_no_memory(err);
        kymo_progress((double)(which * r->n_ks + i) / (double)(r->n_families * r->n_ks),
                      "%s  k %zu", kymo_fit_family_name(fit.family), t[i].k);
        KYMO_TRY(kymo_fit_family_try(&fit, &f->X, f->o->seed, &t[i], l, err));
        label[i] = l;
        if (r->o->draws)
            KYMO_TRY(kymo_try_gap(&c, &f->X, t[i].inertia, (size_t)r->o->draws, f->o->seed,
                                  &t[i], err));
        if (r->o->pairs)
            KYMO_TRY(
                kymo_try_stability(&c, &f->X, (size_t)r->o->pairs, f->o->seed, &t[i], err));
    }
    if (*fit.stop)
        return KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE,
                         "stopped while models were tried: nothing is chosen");
    r->search.tried = t;
    return kymo_search_silhouettes(&r->search, r->n_ks, label, err);
}

/* -- telling ---------------------------------------------------------------------------------- */

static const char *family_of(const struct run *r, size_t i)
{
    return kymo_fit_family_name(r->family[i / r->n_ks]);
}

static void print_cell(FILE *to, int width, double v)
{
    if (isnan(v))
        fprintf(to, " %*s", width, "-");
    else
        fprintf(to, " %*.5g", width, v);
}

static void print_reason(const struct run *r, FILE *to)
{
    const struct kymo_tried *t = &r->tried[r->chosen];
    fprintf(
        to,
        "%s with k = %zu: the lowest %s among those whose silhouette is at least %.0f%%%s of "
        "the best\n",
        family_of(r, r->chosen), t->k, isnan(t->icl) ? "BIC" : "ICL",
        KYMO_SILHOUETTE_REACH * 100, r->o->pairs ? " and whose stability at least 80%" : "");
    for (size_t w = 0; r->o->draws && w < r->n_families; w++) {
        const struct kymo_tried *of = r->tried + w * r->n_ks;
        const size_t i = kymo_select_gap(r->n_ks, of);
        if (i < r->n_ks)
            fprintf(to, "%s: the gap statistic alone takes k = %zu\n",
                    kymo_fit_family_name(r->family[w]), of[i].k);
    }
    fprintf(to, "kymo %s -k %zu%s%s %s -w MODEL\n",
            kymo_fit_family_tool(r->family[r->chosen / r->n_ks]), t->k,
            *kymo_fit_family_option(r->family[r->chosen / r->n_ks]) ? " " : "",
            kymo_fit_family_option(r->family[r->chosen / r->n_ks]), r->f->o->in);
}

static void print_table(const struct run *r, FILE *to)
{
    fprintf(to, "%-13s %4s %11s %11s %11s %10s %9s %9s %9s %9s\n", "family", "k", "inertia",
            "BIC", "ICL", "silhouette", "calinski", "davies", "gap", "stability");
    for (size_t i = 0; i < r->n; i++) {
        const struct kymo_tried *t = &r->tried[i];
        fprintf(to, "%-13s %4zu", family_of(r, i), t->k);
        print_cell(to, 11, t->inertia);
        print_cell(to, 11, t->bic);
        print_cell(to, 11, t->icl);
        print_cell(to, 10, t->silhouette);
        print_cell(to, 9, t->calinski_harabasz);
        print_cell(to, 9, t->davies_bouldin);
        print_cell(to, 9, t->gap);
        print_cell(to, 9, t->stability);
        fputs(i == r->chosen ? "  *\n" : "\n", to);
    }
}

static json_t *tried_json(const struct run *r, size_t i)
{
    const struct kymo_tried *t = &r->tried[i];
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "family",
                     family_of(r, i), "k", (json_int_t)t->k, "inertia",
                     kymo_real_or_null(t->inertia), "bic", kymo_real_or_null(t->bic), "icl",
                     kymo_real_or_null(t->icl), "silhouette", kymo_real_or_null(t->silhouette),
                     "calinski_harabasz", kymo_real_or_null(t->calinski_harabasz),
                     "davies_bouldin", kymo_real_or_null(t->davies_bouldin), "gap",
                     kymo_real_or_null(t->gap), "gap_error", kymo_real_or_null(t->gap_error),
                     "stability", kymo_real_or_null(t->stability));
}

static kymo_status print_json(const struct run *r, struct kymo_err *err)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < r->n; i++)
        json_array_append_new(list, tried_json(r, i));
    json_t *doc = json_pack("{s:o, s:o, s:I}", "chosen", tried_json(r, r->chosen), "tried",
                            list, "rows", (json_int_t)r->f->X.n);
    const kymo_status s = doc ? kymo_json_write(doc, "-", 0, err) : kymo_fit_no_memory(err);
    json_decref(doc);
    return s;
}

static kymo_status write_curve(const struct run *r, struct kymo_err *err)
{
    struct kymo_buf text = {0};
    struct kymo_out out;
    if (!r->o->curve)
        return KYMO_OK;
    KYMO_TRY(kymo_out_open(&out, r->o->curve, r->f->o->force, err));
    kymo_buf_printf(&text,
                    "family,k,inertia,bic,icl,silhouette,calinski_harabasz,davies_bouldin,"
                    "gap,gap_error,stability\n");
    for (size_t i = 0; i < r->n; i++) {
        const struct kymo_tried *t = &r->tried[i];
        const double v[] = {
            t->inertia,        t->bic, t->icl,       t->silhouette, t->calinski_harabasz,
            t->davies_bouldin, t->gap, t->gap_error, t->stability};
        kymo_buf_printf(&text, "%s,%zu", family_of(r, i), t->k);
        for (size_t c = 0; c < KYMO_COUNT_OF(v); c++)
            if (isnan(v[c]))
                kymo_buf_printf(&text, ",");
            else
                kymo_buf_printf(&text, ",%.17g", v[c]);
        kymo_buf_printf(&text, "\n");
    }
    kymo_status s = text.failed ? kymo_fit_no_memory(err) : KYMO_OK;
    if (!s)
        s = kymo_file_write(out.fd, text.p, text.n, r->o->curve, err);
    kymo_buf_release(&text);
    if (!s)
        return kymo_out_commit(&out, err);
    kymo_out_abort(&out);
    return s;
}

static kymo_status try_all(struct run *r, struct kymo_err *err)
{
    struct kymo_fit *f = r->f;
    KYMO_TRY(parse_families(r, err));
    if (f->X.n <= r->o->k_min)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%" PRIu64 " states want more rows than the %zu there are",
                         r->o->k_min, f->X.n);
    const size_t k_max = (size_t)r->o->k_max < f->X.n - 1 ? (size_t)r->o->k_max : f->X.n - 1;
    r->n_ks = k_max - (size_t)r->o->k_min + 1;
    r->n = r->n_families * r->n_ks;
    KYMO_TRY(kymo_search_open(&r->search, f, r->o->k_min, 2, r->o->k_min, err));
    r->tried = KYMO_NEW(&f->arena, struct kymo_tried, r->n);
    if (!r->tried)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < r->n; i++)
        r->tried[i] = kymo_tried_k((size_t)r->o->k_min + i % r->n_ks);
    for (size_t w = 0; w < r->n_families; w++)
        KYMO_TRY(try_family(r, w, err));
    kymo_progress_end();
    r->chosen = kymo_select_k(r->n, r->tried);
    KYMO_TRY(write_curve(r, err));
    if (f->o->json)
        return print_json(r, err);
    if (f->o->quiet)
        return KYMO_OK;
    print_table(r, stdout);
    print_reason(r, stdout);
    return KYMO_OK;
}

static kymo_status run(struct run *r, struct kymo_err *err)
{
    KYMO_TRY(kymo_fit_prepare(r->f, err));
    if (!r->o->labels)
        return try_all(r, err);
    return kymo_judge_partition(r->f, r->o->labels, r->o->against, err);
}

int main(int argc, char **argv)
{
    struct opts o = {.fit = KYMO_FIT_DEFAULTS,
                     .families = "kmeans,gmm-diag,ward",
                     .k_min = 2,
                     .k_max = 12,
                     .pairs = 5};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    struct kymo_fit f;
    kymo_progress_open(!o.fit.quiet && !o.fit.no_progress);
    kymo_fit_open(&f, &o.fit, TOOL);
    struct run r = {.o = &o, .f = &f};
    const kymo_status s = run(&r, &err);
    kymo_progress_end();
    const int stopped = (int)*kymo_progress_stop();
    kymo_fit_close(&f);
    if (stopped)
        return 128 + stopped;
    return kymo_cli_finish(TOOL, o.fit.in, s, &err, KYMO_EXIT_OK);
}
