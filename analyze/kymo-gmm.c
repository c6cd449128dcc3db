/* SPDX-License-Identifier: Apache-2.0
 * kymo-gmm: the states of a host as a mixture of Gaussians.
 * needs: openblas
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/core/gmm.h"
#include "analyze/core/kmeans.h"
#include "analyze/fit/fit_options.h"
#include "analyze/fit/progress.h"
#include "analyze/fit/search.h"

#define TOOL "kymo-gmm"
#define KMEANS_PASSES 300u

struct opts {
    struct kymo_fit_opts fit;
    const char *k, *init, *covariance, *probabilities, *seeding;
    uint64_t k_max, n_init, max_iter, n_states;
    double tol, reg;
};

struct run {
    const struct opts *o;
    struct kymo_fit *f;
    struct kymo_search search;
    enum kymo_cov type;
    double *init;              /* [k,p] first means, or NULL */
    struct kymo_mixture start; /* whole, where --init gives it */
    bool has_start;
    size_t done; /* fits */
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        KYMO_FIT_OPT_FILES(&o->fit),
        {KYMO_OPT_STR, 0, "probabilities-out", "FILE",
         "write how likely each state is for every row here (.npy, or CSV)", &o->probabilities,
         0, 0},
        {KYMO_OPT_STR, 'k', NULL, "N|auto", "how many components (auto)", &o->k, 0, 0},
        {KYMO_OPT_U64, 0, "k-max", "N", "where -k auto stops trying (24)", &o->k_max, 1, 4096},
        {KYMO_OPT_CHOICE, 0, "covariance", "full|tied|diag|spherical",
         "what a component's covariance is (full)", &o->covariance, 0, 0},
        {KYMO_OPT_U64, 0, "n-init", "N", "restarts of the k-means that it starts from (10)",
         &o->n_init, 1, 100000},
        {KYMO_OPT_CHOICE, 0, "seeding", "auto|sample",
         "how that k-means begins; sample is what --mpi takes (auto)", &o->seeding, 0, 0},
        {KYMO_OPT_U64, 0, "max-iter", "N", "steps of EM (200)", &o->max_iter, 1, 1e9},
        {KYMO_OPT_F64, 0, "tol", "X",
         "stop when the mean log-likelihood changes by less (1e-4; 0: never)", &o->tol, 0, 1e9},
        {KYMO_OPT_F64, 0, "reg", "V", "add this to every variance (0)", &o->reg, 0, 1e300},
        {KYMO_OPT_STR, 0, "init", "FILE",
         "where it starts in place of k-means: first means, one a row (.npy or CSV), with "
         "equal "
         "weights and the variances of all rows; or all of a mixture (.json)",
         &o->init, 0, 0},
        KYMO_FIT_OPT_ROWS(&o->fit),
        KYMO_FIT_OPT_MPI(&o->fit),
        KYMO_FIT_OPT_RUN(&o->fit),
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "find the states of a host as a mixture of Gaussians",
        .positional = "[MATRIX...]",
        .positional_max = SIZE_MAX,
        .examples = "kymo gmm --covariance diag prod.features.kymo -w prod.model.json\n"
                    "kymo gmm -k 4 --pca 0.95 prod.features.kymo -w prod.model.json\n"
                    "kymo gmm -k 3 iris.csv -w iris.json --probabilities-out p.csv\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    const int usage = kymo_fit_parse(&cli, argc, argv, &o->fit);
    return usage == KYMO_CLI_GO_ON ? kymo_parse_k(TOOL, o->k, &o->n_states) : usage;
}

/* -- where EM begins -------------------------------------------------------------------------- */

/* Equal weights, the means given, and for each the variances of all rows. */
static kymo_status start_at_means(struct run *r, size_t k, struct kymo_mixture *start,
                                  struct kymo_err *err)
{
    const struct kymo_dense *X = &r->f->X;
    const size_t d = X->d;
    KYMO_TRY(kymo_mixture_new(start, r->type, k, d, &r->f->arena, err));
    double *mean = KYMO_NEW(&r->f->arena, double, d), *var = KYMO_NEW(&r->f->arena, double, d);
    if (!mean || !var)
        return kymo_fit_no_memory(err);
    double mass, mean_var = 0;
    KYMO_TRY(kymo_ranks_moments(r->f->ranks, X, (unsigned)r->f->o->threads, mean, var, &mass,
                                &r->f->arena, err));
    for (size_t j = 0; j < d; j++)
        mean_var += var[j] / (double)d;
    for (size_t c = 0; c < k; c++) {
        start->weight[c] = 1 / (double)k;
        memcpy(start->mean + c * d, r->init + c * d, d * sizeof(double));
        for (size_t j = 0; j < d; j++) {
            if (r->type == KYMO_COV_FULL)
                start->cov[c * d * d + j * d + j] = var[j];
            else if (r->type == KYMO_COV_TIED)
                start->cov[j * d + j] = var[j];
            else if (r->type == KYMO_COV_DIAG)
                start->cov[c * d + j] = var[j];
            else
                start->cov[c] = mean_var;
        }
    }
    return KYMO_OK;
}

/* Numbers of nested lists, in order; false: other than n, or not finite. */
static bool flatten(const json_t *v, double *to, size_t n, size_t *at)
{
    if (json_is_number(v)) {
        if (*at == n || !isfinite(json_number_value(v)))
            return false;
        to[(*at)++] = json_number_value(v);
        return true;
    }
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!flatten(json_array_get(v, i), to, n, at))
            return false;
    return json_is_array(v);
}

static kymo_status read_list(const json_t *doc, const char *key, const char *path, double *to,
                             size_t n, struct kymo_err *err)
{
    json_t *list;
    size_t at = 0;
    KYMO_TRY(kymo_json_get(doc, key, JSON_ARRAY, path, &list, err));
    if (!flatten(list, to, n, &at) || at != n)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: '%s' is not %zu finite numbers",
                         path, key, n);
    return KYMO_OK;
}

/* A mixture in the space of the states: weights [k], means [k,p], covariances by their type. */
static kymo_status read_start(struct run *r, const json_t *doc, size_t *k, struct kymo_err *err)
{
    const char *path = r->o->init;
    json_t *weights;
    size_t cells;
    double sum = 0;
    KYMO_TRY(kymo_json_get(doc, "weights", JSON_ARRAY, path, &weights, err));
    *k = json_array_size(weights);
    if (*k < 1 || *k > KYMO_STATES_MAX ||
        !kymo_mixture_cov_size(r->type, *k, r->f->X.d, &cells))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: a mixture of %zu", path, *k);
    KYMO_TRY(kymo_mixture_new(&r->start, r->type, *k, r->f->X.d, &r->f->arena, err));
    KYMO_TRY(read_list(doc, "weights", path, r->start.weight, *k, err));
    KYMO_TRY(read_list(doc, "means", path, r->start.mean, *k * r->f->X.d, err));
    KYMO_TRY(read_list(doc, "covariances", path, r->start.cov, cells, err));
    for (size_t c = 0; c < *k; c++) {
        sum += r->start.weight[c];
        if (r->start.weight[c] < 0)
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: a negative weight", path);
    }
    if (!(fabs(sum - 1) < 1e-6))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: the weights sum to %g", path,
                         sum);
    r->has_start = true;
    return kymo_mixture_factorize(&r->start, err);
}

static kymo_status load_start(struct run *r, size_t *k, struct kymo_err *err)
{
    const size_t n = r->o->init ? strlen(r->o->init) : 0;
    json_t *doc = NULL;
    *k = 0;
    if (!n)
        return KYMO_OK;
    if (n < 5 || strcmp(r->o->init + n - 5, ".json") != 0)
        return kymo_fit_place_file(r->f, r->o->init, k, &r->init, err);
    KYMO_TRY(kymo_json_read(&doc, r->o->init, err));
    const kymo_status s = read_start(r, doc, k, err);
    json_decref(doc);
    return s;
}

static kymo_status start_at_kmeans(struct run *r, size_t k, struct kymo_kmeans_out *out,
                                   struct kymo_err *err)
{
    const struct kymo_kmeans_in in = {
        .X = r->f->X,
        .k = k,
        .seeding =
            strcmp(r->o->seeding, "sample") == 0 ? KYMO_KMEANS_SAMPLE : KYMO_KMEANS_SEED_AUTO,
        .n_init = (size_t)r->o->n_init,
        .max_iter = KMEANS_PASSES,
        .seed = r->f->o->seed,
        .ranks = r->f->ranks,
        .n_threads = (unsigned)r->f->o->threads,
        .stop = kymo_progress_stop(),
    };
    return kymo_kmeans(&in, &r->f->arena, out, err);
}

/* -- fitting ---------------------------------------------------------------------------------- */

static void on_tick(void *ctx, const struct kymo_gmm_tick *t)
{
    const struct run *r = ctx;
    const double all = (double)r->search.n;
    kymo_progress(((double)r->done + (double)t->iteration / (double)r->o->max_iter) / all,
                  "k %zu  step %zu/%" PRIu64 "  log-likelihood %.8g",
                  r->search.tried[r->search.chosen].k, t->iteration, r->o->max_iter, t->loglik);
}

static kymo_status fit_k(struct run *r, size_t k, struct kymo_gmm_out *out,
                         struct kymo_err *err)
{
    struct kymo_mixture start;
    struct kymo_kmeans_out rough;
    struct kymo_gmm_in in = {
        .x = &r->f->X,
        .k = k,
        .type = r->type,
        .reg = r->o->reg,
        .tol = r->o->tol,
        .max_iter = (size_t)r->o->max_iter,
        .ranks = r->f->ranks,
        .n_threads = (unsigned)r->f->o->threads,
        .stop = kymo_progress_stop(),
        .tick = r->f->ranks ? NULL : on_tick,
        .tick_ctx = r,
    };
    if (r->has_start) {
        in.start = &r->start;
    } else if (r->init) {
        KYMO_TRY(start_at_means(r, k, &start, err));
        in.start = &start;
    } else {
        KYMO_TRY(start_at_kmeans(r, k, &rough, err));
        in.label = rough.label;
    }
    return kymo_gmm(&in, &r->f->arena, out, err);
}

static kymo_status label_rows(struct run *r, const struct kymo_gmm_out *fit, uint32_t **label,
                              struct kymo_err *err)
{
    *label = KYMO_NEW_RAW(&r->f->arena, uint32_t, r->f->X.n);
    if (!*label)
        return kymo_fit_no_memory(err);
    const struct kymo_posterior p = {.label = *label};
    return kymo_mixture_posterior(&fit->mix, &r->f->X, (unsigned)r->f->o->threads, &p, err);
}

static kymo_status fit_all(struct run *r, struct kymo_gmm_out *best, const uint32_t **of_best,
                           struct kymo_err *err)
{
    struct kymo_search *s = &r->search;
    struct kymo_gmm_out *fit = KYMO_NEW(&r->f->arena, struct kymo_gmm_out, s->n);
    const uint32_t **label = KYMO_NEW(&r->f->arena, const uint32_t *, s->n);
    if (!fit || !label)
        return kymo_fit_no_memory(err);
    for (; r->done < s->n && !(r->done && *kymo_progress_stop()); r->done++) {
        const size_t i = r->done;
        uint32_t *l;
        s->chosen = i;
        KYMO_TRY(fit_k(r, s->tried[i].k, &fit[i], err));
        KYMO_TRY(label_rows(r, &fit[i], &l, err));
        label[i] = l;
        s->tried[i].bic = fit[i].bic;
        s->tried[i].icl = fit[i].icl;
    }
    kymo_progress_end();
    if (!r->f->ranks)
        KYMO_TRY(kymo_search_silhouettes(s, r->done, label, err));
    kymo_search_choose(s, r->done);
    *best = fit[s->chosen];
    *of_best = label[s->chosen];
    return KYMO_OK;
}

static json_t *fit_json(const struct run *r, const struct kymo_gmm_out *fit)
{
    json_t *trace = json_array();
    for (size_t i = 0; i <= fit->iterations; i++)
        json_array_append_new(trace, json_real(fit->trace[i]));
    return json_pack(
        "{s:I, s:f, s:o, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:o, s:I, s:o}",
        "rows", (json_int_t)r->f->all.train, "loglik", fit->loglik, "loglik_trace", trace,
        "iterations", (json_int_t)fit->iterations, "stopped", kymo_gmm_stop_name(fit->why),
        "n_parameters", fit->n_params, "bic", fit->bic, "aic", fit->aic, "icl", fit->icl,
        "entropy", fit->entropy, "floored", (json_int_t)fit->floored, "floored_axes",
        (json_int_t)fit->floored_axes, "given_up", (json_int_t)fit->given_up, "silhouette",
        kymo_real_or_null(r->search.tried[r->search.chosen].silhouette), "silhouette_rows",
        (json_int_t)r->search.sample.n, "tried", kymo_search_json(&r->search));
}

/* Shares of the states for every row of the matrix, held out or not. */
static kymo_status write_probabilities(struct run *r, struct kymo_err *err)
{
    struct kymo_fit *f = r->f;
    const struct kymo_model *m = &f->model;
    size_t cells = 0, places;
    if (!r->o->probabilities)
        return KYMO_OK;
    if (f->ranks)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "--probabilities-out does not go with --mpi");
    double *p =
        kymo_size_mul(f->m.n, m->k, &cells) ? KYMO_NEW_RAW(&f->arena, double, cells) : NULL;
    double *y =
        kymo_size_mul(f->m.n, m->p, &places) ? KYMO_NEW_RAW(&f->arena, double, places) : NULL;
    double *z = KYMO_NEW_RAW(&f->arena, double, m->d);
    const char **names = KYMO_NEW(&f->arena, const char *, m->k);
    if (!p || !y || !z || !names)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < f->m.n; i++) {
        KYMO_TRY(kymo_model_transform(m, kymo_matrix_row(&f->m, i, z), z, i, err));
        if (kymo_model_place(m, z, y + i * m->p) == z)
            memcpy(y + i * m->p, z, m->p * sizeof(double));
    }
    const struct kymo_dense rows = {.n = f->m.n, .d = m->p, .f64 = y};
    const struct kymo_posterior out = {.log_resp = p};
    KYMO_TRY(kymo_mixture_posterior(m->mix, &rows, (unsigned)f->o->threads, &out, err));
    for (size_t i = 0; i < cells; i++)
        p[i] = exp(p[i]);
    for (size_t c = 0; c < m->k; c++) {
        char word[24];
        const int n = snprintf(word, sizeof(word), "s%zu", c);
        names[c] = kymo_arena_str(&f->arena, word, (size_t)n);
        if (!names[c])
            return kymo_fit_no_memory(err);
    }
    return kymo_fit_write_table(f, r->o->probabilities, f->m.n, m->k, p, names, err);
}

static void print_summary(const struct run *r, const struct kymo_gmm_out *fit)
{
    FILE *to = kymo_fit_summary(r->f);
    char how[96];
    snprintf(how, sizeof(how), "%s after %zu steps", kymo_gmm_stop_name(fit->why),
             fit->iterations);
    kymo_search_print(&r->search, to);
    kymo_fit_print_states(r->f, to, how);
    fprintf(to, "log-likelihood %.10g, BIC %.10g, AIC %.10g, ICL %.10g; %.0f parameters\n",
            fit->loglik, fit->bic, fit->aic, fit->icl, fit->n_params);
    if (fit->floored)
        fprintf(to,
                "%zu components lie flat along %zu directions: their variances were held at "
                "2^-32 of the columns'; --reg adds to all, --pca takes directions away\n",
                fit->floored, fit->floored_axes);
    if (fit->given_up)
        fprintf(to, "%zu components are left without rows\n", fit->given_up);
}

static enum kymo_cov type_of(const char *word)
{
    static const char *const names[] = {"full", "tied", "diag", "spherical"};
    int t = 0;
    while (strcmp(names[t], word) != 0)
        t++;
    return (enum kymo_cov)t;
}

static kymo_status run(struct kymo_fit *f, void *ctx, struct kymo_err *err)
{
    struct run *r = ctx;
    struct kymo_gmm_out fit = {0};
    const uint32_t *label = NULL;
    uint64_t k = r->o->n_states;
    size_t k_init = 0;
    r->f = f;
    r->type = type_of(r->o->covariance);
    KYMO_TRY(kymo_fit_prepare(f, err));
    KYMO_TRY(load_start(r, &k_init, err));
    if (k_init && k && k != k_init)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "-k %" PRIu64 ", but %s has %zu means",
                         k, r->o->init, k_init);
    KYMO_TRY(kymo_search_open(&r->search, f, k_init ? k_init : k, 2, r->o->k_max, err));
    KYMO_TRY(fit_all(r, &fit, &label, err));
    k = r->search.tried[r->search.chosen].k;
    KYMO_TRY(kymo_fit_states(f, "gmm", k, k, label, fit.mix.mean, err));
    KYMO_TRY(kymo_model_mix(&f->model, r->type, err));
    kymo_mixture_copy(f->model.mix, &fit.mix);
    const bool finished = fit.why != KYMO_GMM_STOPPED && !*kymo_progress_stop();
    KYMO_TRY(kymo_fit_finish(f, label, finished, fit_json(r, &fit), err));
    KYMO_TRY(write_probabilities(r, err));
    if (f->o->json && kymo_fit_speaks(f))
        return kymo_fit_print_json(f, err);
    if (!f->o->quiet && kymo_fit_speaks(f))
        print_summary(r, &fit);
    return KYMO_OK;
}

int main(int argc, char **argv)
{
    struct opts o = {.fit = KYMO_FIT_DEFAULTS,
                     .k = "auto",
                     .covariance = "full",
                     .seeding = "auto",
                     .k_max = KYMO_K_MAX_AUTO,
                     .n_init = 10,
                     .max_iter = 200,
                     .tol = 1e-4};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct run r = {.o = &o};
    return kymo_fit_main(&o.fit, TOOL, run, &r);
}
