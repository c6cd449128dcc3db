/* SPDX-License-Identifier: Apache-2.0
 * kymo-kmeans: the states of a host by k-means.
 * needs: openblas
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyze/core/kmeans.h"
#include "analyze/core/metrics.h"
#include "analyze/core/minibatch.h"
#include "analyze/fit/fit_options.h"
#include "analyze/fit/progress.h"
#include "analyze/fit/search.h"
#include "format/base/size.h"

#define TOOL "kymo-kmeans"

struct opts {
    struct kymo_fit_opts fit;
    const char *k, *init, *seeding;
    uint64_t k_max, n_init, max_iter, batch, n_states;
    double tol;
    bool minibatch;
};

struct run {
    const struct opts *o;
    struct kymo_fit *f;
    struct kymo_search search;
    double *init;     /* [k,p] or NULL */
    size_t done, all; /* restarts, over all k */
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        KYMO_FIT_OPT_FILES(&o->fit),
        {KYMO_OPT_STR, 'k', NULL, "N|auto", "how many states (auto)", &o->k, 0, 0},
        {KYMO_OPT_U64, 0, "k-max", "N", "where -k auto stops trying (24)", &o->k_max, 2, 4096},
        {KYMO_OPT_U64, 0, "n-init", "N", "restarts, of which the best is kept (10)", &o->n_init,
         1, 100000},
        {KYMO_OPT_U64, 0, "max-iter", "N", "updates of the centres a restart (300)",
         &o->max_iter, 1, 1e9},
        {KYMO_OPT_F64, 0, "tol", "X",
         "stop when the squared moves of the centres sum to X times the columns' mean variance "
         "(0: when no row changes its state)",
         &o->tol, 0, 1},
        {KYMO_OPT_STR, 0, "init", "FILE", "first centres, one a row (.npy or CSV)", &o->init, 0,
         0},
        {KYMO_OPT_CHOICE, 0, "seeding", "auto|plusplus|parallel|sample",
         "how first centres are drawn: k-means++, k-means||, which auto takes for many states, "
         "or "
         "k-means++ on a sample, which --mpi takes (auto)",
         &o->seeding, 0, 0},
        {KYMO_OPT_FLAG, 0, "mini-batch", NULL,
         "learn from random batches of rows: faster, to about a per mille of the inertia",
         &o->minibatch, 0, 0},
        {KYMO_OPT_U64, 0, "batch", "N", "rows of a batch (2048)", &o->batch, 1, 1e9},
        KYMO_FIT_OPT_ROWS(&o->fit),
        KYMO_FIT_OPT_MPI(&o->fit),
        KYMO_FIT_OPT_RUN(&o->fit),
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "find the states of a host by k-means",
        .positional = "[MATRIX...]",
        .positional_max = SIZE_MAX,
        .examples =
            "kymo kmeans prod.features.kymo -w prod.model.json\n"
            "kymo kmeans -k 8 --seed 7 prod.features.kymo -w prod.model.json\n"
            "kymo kmeans --transform standard -k 3 iris.csv -w iris.json -o labels.csv\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    const int usage = kymo_fit_parse(&cli, argc, argv, &o->fit);
    return usage == KYMO_CLI_GO_ON ? kymo_parse_k(TOOL, o->k, &o->n_states) : usage;
}

/* -- fitting ---------------------------------------------------------------------------------- */

static void on_tick(void *ctx, const struct kymo_kmeans_tick *t)
{
    const struct run *r = ctx;
    const double done = ((double)r->done + (double)t->restart) / (double)r->all;
    kymo_progress(done, "k %zu  restart %zu/%zu  pass %zu  inertia %.6g",
                  r->search.tried[r->search.chosen].k, t->restart + 1, t->n_init, t->iteration,
                  t->inertia);
}

static enum kymo_kmeans_seeding seeding_of(const char *word)
{
    if (strcmp(word, "plusplus") == 0)
        return KYMO_KMEANS_PLUSPLUS;
    if (strcmp(word, "sample") == 0)
        return KYMO_KMEANS_SAMPLE;
    return strcmp(word, "parallel") == 0 ? KYMO_KMEANS_PARALLEL : KYMO_KMEANS_SEED_AUTO;
}

/* Centres from batches, then one pass over all rows. */
static kymo_status fit_batches(struct run *r, size_t k, struct kymo_kmeans_out *out,
                               struct kymo_err *err)
{
    struct kymo_fit *f = r->f;
    const struct kymo_minibatch_in in = {
        .X = f->X,
        .k = k,
        .init = r->init,
        .batch = (size_t)r->o->batch,
        .seed = f->o->seed,
        .n_threads = (unsigned)f->o->threads,
        .stop = kymo_progress_stop(),
        .tick = on_tick,
        .tick_ctx = r,
    };
    struct kymo_minibatch_out got;
    KYMO_TRY(kymo_minibatch(&in, &f->arena, &got, err));
    *out = (struct kymo_kmeans_out){
        .C = got.C, .iterations = got.steps, .restarts = 1, .why = got.why};
    out->label = KYMO_NEW_RAW(&f->arena, uint32_t, f->X.n);
    out->size = KYMO_NEW(&f->arena, size_t, k);
    if (!out->label || !out->size)
        return kymo_fit_no_memory(err);
    KYMO_TRY(kymo_kmeans_assign(&f->X, k, got.C, in.n_threads, out->label, NULL, &out->inertia,
                                err));
    for (size_t i = 0; i < f->X.n; i++)
        out->size[out->label[i]]++;
    return KYMO_OK;
}

static kymo_status fit_k(struct run *r, size_t k, struct kymo_kmeans_out *out,
                         struct kymo_err *err)
{
    if (r->o->minibatch && r->f->ranks)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "--mini-batch does not go with --mpi");
    if (r->o->minibatch)
        return fit_batches(r, k, out, err);
    const struct kymo_kmeans_in in = {
        .X = r->f->X,
        .k = k,
        .init = r->init,
        .seeding = seeding_of(r->o->seeding),
        .n_init = (size_t)r->o->n_init,
        .max_iter = (size_t)r->o->max_iter,
        .tol = r->o->tol,
        .seed = r->f->o->seed,
        .ranks = r->f->ranks,
        .n_threads = (unsigned)r->f->o->threads,
        .stop = kymo_progress_stop(),
        .tick = r->f->ranks ? NULL : on_tick,
        .tick_ctx = r,
    };
    return kymo_kmeans(&in, &r->f->arena, out, err);
}

static kymo_status fit_all(struct run *r, struct kymo_kmeans_out *best, struct kymo_err *err)
{
    struct kymo_search *s = &r->search;
    struct kymo_kmeans_out *fit = KYMO_NEW(&r->f->arena, struct kymo_kmeans_out, s->n);
    const uint32_t **label = KYMO_NEW(&r->f->arena, const uint32_t *, s->n);
    const volatile sig_atomic_t *stop = kymo_progress_stop();
    size_t n = 0;
    if (!fit || !label)
        return kymo_fit_no_memory(err);
    r->all = s->n * (r->init ? 1 : (size_t)r->o->n_init);
    for (; n < s->n && !(n && *stop); n++) {
        s->chosen = n;
        KYMO_TRY(fit_k(r, s->tried[n].k, &fit[n], err));
        label[n] = fit[n].label;
        s->tried[n].inertia = fit[n].inertia;
        s->tried[n].bic = kymo_kmeans_bic(r->f->all.train, r->f->X.d, s->tried[n].k,
                                          fit[n].size, fit[n].inertia);
        r->done += r->all / s->n;
    }
    kymo_progress_end();
    if (!r->f->ranks)
        KYMO_TRY(kymo_search_silhouettes(s, n, label, err));
    kymo_search_choose(s, n);
    *best = fit[s->chosen];
    return KYMO_OK;
}

static json_t *fit_json(const struct run *r, const struct kymo_kmeans_out *fit)
{
    return json_pack(
        "{s:I, s:f, s:I, s:I, s:s, s:b, s:o, s:I, s:o}", "rows", (json_int_t)r->f->all.train,
        "inertia", fit->inertia, "iterations", (json_int_t)fit->iterations, "restarts",
        (json_int_t)fit->restarts, "stopped", kymo_kmeans_stop_name(fit->why), "mini_batch",
        r->o->minibatch, "silhouette",
        kymo_real_or_null(r->search.tried[r->search.chosen].silhouette), "silhouette_rows",
        (json_int_t)r->search.sample.n, "tried", kymo_search_json(&r->search));
}

static kymo_status run(struct kymo_fit *f, void *ctx, struct kymo_err *err)
{
    struct run *r = ctx;
    struct kymo_kmeans_out fit = {0};
    uint64_t k = r->o->n_states;
    size_t k_init = 0;
    r->f = f;
    KYMO_TRY(kymo_fit_prepare(f, err));
    if (r->o->init)
        KYMO_TRY(kymo_fit_place_file(f, r->o->init, &k_init, &r->init, err));
    if (r->init && k && k != k_init)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "-k %" PRIu64 ", but %s has %zu centres", k, r->o->init, k_init);
    KYMO_TRY(kymo_search_open(&r->search, f, r->init ? k_init : k, 2, r->o->k_max, err));
    KYMO_TRY(fit_all(r, &fit, err));
    k = r->search.tried[r->search.chosen].k;
    KYMO_TRY(kymo_fit_states(f, "kmeans", k, k, fit.label, fit.C, err));
    const bool finished = fit.why != KYMO_KMEANS_STOPPED && !*kymo_progress_stop();
    KYMO_TRY(kymo_fit_finish(f, fit.label, finished, fit_json(r, &fit), err));
    if (f->o->json && kymo_fit_speaks(f))
        return kymo_fit_print_json(f, err);
    if (f->o->quiet || !kymo_fit_speaks(f))
        return KYMO_OK;
    char how[80];
    snprintf(how, sizeof(how), "%s after %zu %s", kymo_kmeans_stop_name(fit.why),
             fit.iterations, r->o->minibatch ? "steps" : "passes");
    kymo_search_print(&r->search, kymo_fit_summary(f));
    kymo_fit_print_states(f, kymo_fit_summary(f), how);
    return KYMO_OK;
}

int main(int argc, char **argv)
{
    struct opts o = {.fit = KYMO_FIT_DEFAULTS,
                     .k = "auto",
                     .seeding = "auto",
                     .k_max = KYMO_K_MAX_AUTO,
                     .n_init = 10,
                     .max_iter = 300,
                     .batch = KYMO_MINIBATCH_ROWS};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct run r = {.o = &o};
    return kymo_fit_main(&o.fit, TOOL, run, &r);
}
