/* SPDX-License-Identifier: Apache-2.0
 * kymo-kmeans: the states of a host by k-means.
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "analyze/core/kmeans.h"
#include "analyze/core/metrics.h"
#include "analyze/core/select.h"
#include "analyze/core/split.h"
#include "format/base/file.h"
#include "format/base/rng.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/io/csv.h"
#include "format/io/load.h"
#include "format/io/npy.h"
#include "format/model/model.h"
#include "format/num/parallel.h"
#include "format/num/stats.h"

#define TOOL "kymo-kmeans"
#define K_MAX 4096
#define SAMPLE_ROWS 4096u /* silhouettes of more rows are taken on a seeded sample of so many */
#define K_MAX_AUTO 24u    /* default end of the search */
#define ROWS_A_STATE_MIN 2u /* -k auto tries no k with fewer training rows a state than this */
/* Least spread of a state for novelty: in mean spreads of the states, and in that of all windows, so
 * that a state of three like windows does not call the fourth one new. */
#define SPREAD_FLOOR_STATES 0.5
#define SPREAD_FLOOR_ALL 0.1
#define TICK_NS 200000000ull

static volatile sig_atomic_t stop_signal;

static void on_signal(int n)
{
    stop_signal = n;
}

struct opts {
    const char *in, *out, *k, *init, *transform, *labels;
    uint64_t k_max, n_init, max_iter, seed, threads;
    double holdout;
    bool force, quiet, no_progress, json, marked;
};

/* All that one run holds. */
struct job {
    const struct opts *o;
    struct kymo_arena arena;
    struct kymo_matrix m;
    struct kymo_split split;
    struct kymo_model model;
    double *Z, *H; /* transformed rows: [n_train,d] and [n_hold,d] */
    double *init;  /* [k,d] or NULL */
    size_t k_init; /* rows of --init */
    size_t n_sample;
    double *S;      /* [n_sample,d], Z itself when it is small */
    size_t *sample; /* [n_sample] rows of Z, or NULL */
    struct kymo_kmeans_out fit;
    struct kymo_tried *tried;
    size_t n_tried, chosen;
    size_t restart_k;
    uint64_t tick_ns;
    bool ticked;
};

static int parse_k(const struct opts *o, uint64_t *k)
{
    *k = 0;
    if (strcmp(o->k, "auto") == 0)
        return KYMO_CLI_GO_ON;
    if (!kymo_parse_u64(o->k, k) || *k < 1 || *k > K_MAX)
        return kymo_cli_usage(TOOL, "-k wants a whole number from 1 to %d, or auto; not '%s'",
                              K_MAX, o->k);
    return KYMO_CLI_GO_ON;
}

static int parse_args(int argc, char **argv, struct opts *o, uint64_t *k)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'w', "write", "FILE", "write the model here (-: standard output)",
         &o->out, 0, 0},
        {KYMO_OPT_STR, 'r', "read", "FILE", "the matrix, like a bare MATRIX", &o->in, 0, 0},
        {KYMO_OPT_STR, 'o', "labels-out", "FILE",
         "write the state of every row here (.npy, or CSV)", &o->labels, 0, 0},
        {KYMO_OPT_STR, 'k', NULL, "N|auto", "how many states (auto)", &o->k, 0, 0},
        {KYMO_OPT_U64, 0, "k-max", "N", "where -k auto stops trying (24)", &o->k_max, 2, K_MAX},
        {KYMO_OPT_U64, 0, "n-init", "N", "restarts, of which the best is kept (10)", &o->n_init,
         1, 100000},
        {KYMO_OPT_U64, 0, "max-iter", "N", "updates of the centres a restart (300)",
         &o->max_iter, 1, 1e9},
        {KYMO_OPT_U64, 0, "seed", "N", "seed of all that is drawn (1)", &o->seed, 0, 0},
        {KYMO_OPT_U64, 'j', "jobs", "N",
         "threads; the result is the same for every number (all CPUs)", &o->threads, 1,
         KYMO_THREADS_MAX},
        {KYMO_OPT_STR, 0, "init", "FILE",
         "first centres, one a row (.npy or CSV); in place of k-means++", &o->init, 0, 0},
        {KYMO_OPT_CHOICE, 0, "transform", "spec|standard|none",
         "how columns are bent and scaled (spec for a .kymo matrix, else none)", &o->transform,
         0, 0},
        {KYMO_OPT_SHARE, 0, "holdout", "SHARE",
         "share of the windows kept back to calibrate p-values (20% for a .kymo matrix, else "
         "0)",
         &o->holdout, 0, 0.5},
        {KYMO_OPT_FLAG, 0, "marked", NULL,
         "learn only from windows that lie wholly inside a mark", &o->marked, 0, 0},
        {KYMO_OPT_FLAG, 0, "json", NULL, "print the summary as JSON", &o->json, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite an output that exists", &o->force, 0, 0},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no summary and no warnings", &o->quiet, 0, 0},
        {KYMO_OPT_FLAG, 0, "no-progress", NULL, "no progress line", &o->no_progress, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "find the states of a host by k-means",
        .positional = "[MATRIX]",
        .positional_max = 1,
        .examples =
            "kymo kmeans prod.features.kymo -w prod.model.json\n"
            "kymo kmeans -k 8 --seed 7 prod.features.kymo -w prod.model.json\n"
            "kymo kmeans --transform standard -k 3 iris.csv -w iris.json -o labels.csv\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    int first;
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (first < argc && o->in)
        return kymo_cli_usage(TOOL, "one matrix, please: both -r and %s were given",
                              argv[first]);
    if (first < argc)
        o->in = argv[first];
    if (!o->in)
        return kymo_cli_usage(TOOL, "no matrix to read");
    if (!o->out)
        return kymo_cli_usage(TOOL, "no -w FILE to write the model to");
    if (o->json && strcmp(o->out, "-") == 0)
        return kymo_cli_usage(TOOL, "--json and -w - both want standard output");
    return parse_k(o, k);
}

/* -- rows to the space of the states ---------------------------------------------------------- */

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

/*
 * Let each group of features spread as far as its factor says, whatever number of its columns move
 * in this matrix: of fifty calls a service uses five, and those have to speak for the group. A
 * group of which less than one column's worth moves is left at that: noise is not blown up.
 *
 * source  Escofier, Pages, Multiple factor analysis, Comput. Stat. Data Anal. 18, 1994 (the idea)
 */
static void balance_groups(struct job *j, const double *moved)
{
    const struct kymo_feature_spec *spec = j->m.spec;
    for (size_t a = 0, b; a < spec->d; a = b) {
        double sum = 0;
        for (b = a; b < spec->d && strcmp(spec->column[b].group, spec->column[a].group) == 0;
             b++)
            sum += moved[b] * moved[b];
        const double columns = (double)(b - a);
        for (size_t c = a; c < b; c++)
            j->model.column[c].weight =
                spec->column[c].weight * sqrt(columns / (sum > 1 ? sum : 1));
    }
}

/* Mean and scale of each bent column over the training rows. */
static kymo_status fit_columns(struct job *j, const char *transform, struct kymo_err *err)
{
    const struct kymo_matrix *m = &j->m;
    const int by_spec = strcmp(transform, "spec") == 0, none = strcmp(transform, "none") == 0;
    double *bent = KYMO_NEW_RAW(&j->arena, double, j->split.n_train);
    double *moved =
        KYMO_NEW(&j->arena, double, m->d); /* spread of each column in its scales, 0..1 */
    if (!bent || !moved)
        return no_memory(err);
    for (size_t c = 0; c < m->d; c++) {
        const struct kymo_feature_column *spec = by_spec ? &m->spec->column[c] : NULL;
        struct kymo_model_column *to = &j->model.column[c];
        to->name = m->column[c].name;
        to->unit = m->column[c].unit;
        to->bend = spec ? spec->bend : none ? KYMO_BEND_NONE : KYMO_BEND_STANDARD;
        to->mean = 0;
        to->scale = to->weight = 1;
        if (none)
            continue;
        for (size_t i = 0; i < j->split.n_train; i++) {
            const size_t row = j->split.train[i];
            bent[i] = kymo_bend(to->bend, m->X[row * m->d + c]);
            if (!isfinite(bent[i]))
                return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                                 "%s: column '%.80s' of row %zu is %g, which %s does not take",
                                 j->o->in, to->name, row + 1, m->X[row * m->d + c],
                                 kymo_bend_name(to->bend));
        }
        kymo_mean_sd(j->split.n_train, bent, 1, &to->mean, &to->scale);
        const double sd = to->scale, floor = spec ? spec->floor : 0;
        to->scale = sd > floor ? sd : floor;
        to->scale = to->scale > 0 ? to->scale : 1;
        moved[c] = sd / to->scale;
    }
    if (by_spec)
        balance_groups(j, moved);
    return KYMO_OK;
}

static kymo_status transform_rows(struct job *j, const size_t *row, size_t n, double **out,
                                  struct kymo_err *err)
{
    const size_t d = j->m.d;
    size_t cells;
    double *z = kymo_size_mul(n, d, &cells) ? KYMO_NEW_RAW(&j->arena, double, cells) : NULL;
    if (!z)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        KYMO_TRY(kymo_model_transform(&j->model, j->m.X + row[i] * d, z + i * d, row[i], err));
    *out = z;
    return KYMO_OK;
}

static kymo_status load_init(struct job *j, struct kymo_err *err)
{
    if (!j->o->init)
        return KYMO_OK;
    struct kymo_matrix c;
    kymo_matrix_init(&c, 0);
    kymo_status s = kymo_matrix_load(&c, j->o->init, err);
    if (!s && c.d != j->m.d)
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has %zu columns, the matrix has %zu",
                      j->o->init, c.d, j->m.d);
    if (!s && c.n == 0)
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has no rows", j->o->init);
    if (!s) {
        j->k_init = c.n;
        j->init = KYMO_NEW_RAW(&j->arena, double, c.n *c.d);
        s = j->init ? KYMO_OK : no_memory(err);
    }
    for (size_t i = 0; !s && i < c.n; i++)
        s = kymo_model_transform(&j->model, c.X + i * c.d, j->init + i * c.d, i, err);
    kymo_matrix_release(&c);
    return s;
}

/* -- fitting ---------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_tick(void *ctx, const struct kymo_kmeans_tick *t)
{
    struct job *j = ctx;
    const uint64_t now = now_ns();
    if (now < j->tick_ns)
        return;
    j->tick_ns = now + TICK_NS;
    j->ticked = true;
    fprintf(stderr, "\r\033[Kk %zu  restart %zu/%zu  pass %zu  inertia %.6g", j->restart_k,
            t->restart + 1, t->n_init, t->iteration, t->inertia);
    fflush(stderr);
}

static void end_progress(struct job *j)
{
    if (j->ticked)
        fputs("\r\033[K", stderr);
    j->ticked = false;
}

static kymo_status fit_k(struct job *j, size_t k, struct kymo_kmeans_out *out,
                         struct kymo_err *err)
{
    const bool progress = !j->o->quiet && !j->o->no_progress && isatty(STDERR_FILENO);
    const struct kymo_kmeans_in in = {
        .X = {.n = j->split.n_train, .d = j->m.d, .f64 = j->Z},
        .k = k,
        .init = j->init,
        .n_init = j->o->n_init,
        .max_iter = j->o->max_iter,
        .seed = j->o->seed,
        .n_threads = (unsigned)j->o->threads,
        .stop = &stop_signal,
        .tick = progress ? on_tick : NULL,
        .tick_ctx = j,
    };
    j->restart_k = k;
    return kymo_kmeans(&in, &j->arena, out, err);
}

/* Rows for silhouettes: all, or a seeded sample drawn without replacement, in row order. */
static kymo_status draw_sample(struct job *j, struct kymo_err *err)
{
    const size_t n = j->split.n_train, d = j->m.d;
    j->n_sample = n < SAMPLE_ROWS ? n : SAMPLE_ROWS;
    j->S = j->Z;
    if (n <= SAMPLE_ROWS)
        return KYMO_OK;
    j->sample = KYMO_NEW_RAW(&j->arena, size_t, SAMPLE_ROWS);
    j->S = KYMO_NEW_RAW(&j->arena, double, SAMPLE_ROWS *d);
    if (!j->sample || !j->S)
        return no_memory(err);
    struct kymo_rng rng;
    kymo_rng_init(&rng, j->o->seed);
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < SAMPLE_ROWS; i++)
        if (kymo_rng_below(&rng, n - i) < SAMPLE_ROWS - kept)
            j->sample[kept++] = i;
    for (size_t i = 0; i < SAMPLE_ROWS; i++)
        memcpy(j->S + i * d, j->Z + j->sample[i] * d, d * sizeof(double));
    return KYMO_OK;
}

static const uint32_t *sample_labels(struct job *j, const uint32_t *label)
{
    if (!j->sample)
        return label;
    uint32_t *l = KYMO_NEW_RAW(&j->arena, uint32_t, j->n_sample);
    for (size_t i = 0; l && i < j->n_sample; i++)
        l[i] = label[j->sample[i]];
    return l;
}

static kymo_status measure(struct job *j, const struct kymo_kmeans_out *fit, size_t n,
                           struct kymo_err *err)
{
    struct kymo_labelling *l = KYMO_NEW(&j->arena, struct kymo_labelling, n);
    if (!l)
        return no_memory(err);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        j->tried[i].inertia = fit[i].inertia;
        j->tried[i].bic = kymo_kmeans_bic(j->split.n_train, j->m.d, j->tried[i].k, fit[i].size,
                                          fit[i].inertia);
        l[i].k = j->tried[i].k;
        l[i].label = sample_labels(j, fit[i].label);
        kept += l[i].label != NULL;
    }
    if (kept < n)
        return no_memory(err);
    if (j->n_sample >= 2)
        KYMO_TRY(kymo_silhouette(j->n_sample, j->m.d, j->S, l, n, (unsigned)j->o->threads, NULL,
                                 err));
    for (size_t i = 0; i < n; i++)
        j->tried[i].silhouette = l[i].silhouette;
    return KYMO_OK;
}

/* The ks to try: one, or 2 up to what the rows can bear. */
static kymo_status list_ks(struct job *j, uint64_t k, size_t *n, struct kymo_err *err)
{
    size_t from = (size_t)k, to = (size_t)k;
    if (!k) {
        const size_t most = j->split.n_train / ROWS_A_STATE_MIN;
        from = 2;
        to = (size_t)j->o->k_max < most ? (size_t)j->o->k_max : most;
        to = to < from ? from : to;
    }
    if (from > j->split.n_train)
        return KYMO_FAIL(
            err, KYMO_EUSAGE, KYMO_NOWHERE,
            "%zu states want at least as many windows, and there are %zu to learn from", from,
            j->split.n_train);
    *n = to - from + 1;
    j->tried = KYMO_NEW(&j->arena, struct kymo_tried, *n);
    for (size_t i = 0; j->tried && i < *n; i++)
        j->tried[i].k = from + i;
    return j->tried ? KYMO_OK : no_memory(err);
}

static kymo_status fit_all(struct job *j, uint64_t k, struct kymo_err *err)
{
    size_t n;
    KYMO_TRY(list_ks(j, k, &n, err));
    struct kymo_kmeans_out *fit = KYMO_NEW(&j->arena, struct kymo_kmeans_out, n);
    if (!fit)
        return no_memory(err);
    KYMO_TRY(draw_sample(j, err));
    for (j->n_tried = 0; j->n_tried < n && !(j->n_tried && stop_signal); j->n_tried++)
        KYMO_TRY(fit_k(j, j->tried[j->n_tried].k, &fit[j->n_tried], err));
    end_progress(j);
    KYMO_TRY(measure(j, fit, j->n_tried, err));
    j->chosen = kymo_select_k(j->n_tried, j->tried);
    j->fit = fit[j->chosen];
    return KYMO_OK;
}

/* -- the model -------------------------------------------------------------------------------- */

/* Root mean square distance of the training rows to their common mean. */
static double total_spread(struct job *j)
{
    const size_t n = j->split.n_train, d = j->m.d;
    double square = 0;
    for (size_t c = 0; c < d; c++) {
        double mean, sd;
        kymo_mean_sd(n, j->Z + c, d, &mean, &sd);
        square += sd * sd;
    }
    return sqrt(square);
}

static void fill_states(struct job *j)
{
    struct kymo_model *m = &j->model;
    const size_t n = j->split.n_train, d = j->m.d;
    double *sum = KYMO_NEW(&j->arena, double, m->k);
    for (size_t i = 0; i < n && sum; i++) {
        const uint32_t c = j->fit.label[i];
        double s = 0;
        for (size_t x = 0; x < d; x++) {
            const double t = j->Z[i * d + x] - j->fit.C[c * d + x];
            s += t * t;
        }
        sum[c] += s;
    }
    for (size_t c = 0; c < m->k && sum; c++) {
        struct kymo_state *s = &m->state[c];
        s->size = j->fit.size[c];
        s->weight = (double)s->size / (double)n;
        s->spread = s->size ? sqrt(sum[c] / (double)s->size) : 0;
        memcpy(s->centre, j->fit.C + c * d, d * sizeof(double));
    }
    const double by_states = SPREAD_FLOOR_STATES * sqrt(j->fit.inertia / (double)n);
    const double by_all = SPREAD_FLOOR_ALL * total_spread(j);
    m->spread_floor = by_states > by_all ? by_states : by_all;
}

static kymo_status calibrate(struct job *j, struct kymo_err *err)
{
    struct kymo_model *m = &j->model;
    double *dist = KYMO_NEW(&j->arena, double, m->k);
    m->n_holdout = j->split.n_hold;
    m->holdout = KYMO_NEW(&m->arena, double, m->n_holdout);
    if (!dist || !m->holdout)
        return no_memory(err);
    for (size_t i = 0; i < m->n_holdout; i++) {
        const size_t c = kymo_model_nearest(m, j->H + i * m->d, dist);
        m->holdout[i] = kymo_model_novelty(m, c, dist[c]);
    }
    kymo_sort_f64(m->n_holdout, m->holdout);
    return KYMO_OK;
}

/* The state of every row of the matrix, held out or not. */
static kymo_status label_all(struct job *j, uint32_t **out, struct kymo_err *err)
{
    struct kymo_model *m = &j->model;
    uint32_t *label = KYMO_NEW(&j->arena, uint32_t, j->m.n);
    double *z = KYMO_NEW(&j->arena, double, m->d), *dist = KYMO_NEW(&j->arena, double, m->k);
    if (!label || !z || !dist)
        return no_memory(err);
    for (size_t i = 0; i < j->m.n; i++) {
        KYMO_TRY(kymo_model_transform(m, j->m.X + i * m->d, z, i, err));
        label[i] = (uint32_t)kymo_model_nearest(m, z, dist);
    }
    /* What was learned from keeps the label of the fit. */
    for (size_t i = 0; i < j->split.n_train; i++)
        label[j->split.train[i]] = j->fit.label[i];
    *out = label;
    return KYMO_OK;
}

static json_t *tried_json(const struct job *j)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < j->n_tried; i++) {
        const struct kymo_tried *t = &j->tried[i];
        json_t *bic = isfinite(t->bic) ? json_real(t->bic) : json_null();
        json_array_append_new(list, json_pack("{s:I, s:f, s:f, s:o}", "k", (json_int_t)t->k,
                                              "inertia", t->inertia, "silhouette",
                                              t->silhouette, "bic", bic));
    }
    return list;
}

static json_t *fit_json(const struct job *j)
{
    return json_pack("{s:I, s:f, s:I, s:I, s:s, s:f, s:I, s:o}", "rows",
                     (json_int_t)j->split.n_train, "inertia", j->fit.inertia, "iterations",
                     (json_int_t)j->fit.iterations, "restarts", (json_int_t)j->fit.restarts,
                     "stopped", kymo_kmeans_stop_name(j->fit.why), "silhouette",
                     j->tried[j->chosen].silhouette, "silhouette_rows", (json_int_t)j->n_sample,
                     "tried", tried_json(j));
}

static json_t *provenance_json(const struct job *j)
{
    char hash[24];
    json_t *list = json_array();
    for (size_t i = 0; list && i < j->m.n_captures; i++) {
        const struct kymo_capture_facts *f = &j->m.capture[i];
        snprintf(hash, sizeof(hash), "%016" PRIx64, f->xxh3);
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", f->name,
                                              "xxh3", hash, "events", (json_int_t)f->rows,
                                              "dropped", (json_int_t)f->dropped, "windows",
                                              (json_int_t)f->windows));
    }
    snprintf(hash, sizeof(hash), "%016" PRIx64, kymo_matrix_xxh3(&j->m));
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "matrix_xxh3", hash, "windows",
                     (json_int_t)j->m.n, "left_out_for_loss", (json_int_t)j->split.n_lost,
                     "left_out_unmarked", (json_int_t)j->split.n_unmarked, "held_out",
                     (json_int_t)j->split.n_hold, "captures", list);
}

static kymo_status build_model(struct job *j, uint32_t **label, struct kymo_err *err)
{
    struct kymo_model *m = &j->model;
    const struct kymo_model_column *column = m->column;
    KYMO_TRY(kymo_model_shape(m, j->m.d, j->tried[j->chosen].k, err));
    memcpy(m->column, column, m->d * sizeof(*column));
    memcpy(m->family, "kmeans", sizeof("kmeans"));
    m->finished = j->fit.why != KYMO_KMEANS_STOPPED && !stop_signal;
    m->seed = j->o->seed;
    m->has_names = j->m.has_names;
    m->spec = j->m.spec;
    m->holdout_share = j->o->holdout;
    fill_states(j);
    KYMO_TRY(calibrate(j, err));
    KYMO_TRY(label_all(j, label, err));
    KYMO_TRY(kymo_count_transitions(&j->m, *label, m->k, m->transition, err));
    m->fit = fit_json(j);
    m->provenance = provenance_json(j);
    return m->fit && m->provenance ? KYMO_OK : no_memory(err);
}

static kymo_status write_labels(const struct job *j, const uint32_t *label,
                                struct kymo_err *err)
{
    const char *path = j->o->labels;
    const size_t n = strlen(path);
    struct kymo_out out;
    KYMO_TRY(kymo_out_open(&out, path, j->o->force, err));
    kymo_status s;
    if (n > 4 && strcmp(path + n - 4, ".npy") == 0) {
        s = kymo_npy_write_labels(out.fd, j->m.n, label, path, err);
    } else {
        struct kymo_buf text = {0};
        kymo_buf_printf(&text, "state\n");
        for (size_t i = 0; i < j->m.n; i++)
            kymo_buf_printf(&text, "%" PRIu32 "\n", label[i]);
        s = text.failed ? no_memory(err) : KYMO_OK;
        if (!s)
            s = kymo_file_write(out.fd, text.p, text.n, path, err);
        kymo_buf_release(&text);
    }
    if (!s)
        return kymo_out_commit(&out, err);
    kymo_out_abort(&out);
    return s;
}

/* -- what people read ------------------------------------------------------------------------- */

static void print_table(FILE *f, const struct job *j)
{
    fprintf(f, "%6s %14s %11s %14s\n", "k", "inertia", "silhouette", "BIC");
    for (size_t i = 0; i < j->n_tried; i++)
        fprintf(f, "%6zu %14.6g %11.4f %14.6g%s\n", j->tried[i].k, j->tried[i].inertia,
                j->tried[i].silhouette, j->tried[i].bic, i == j->chosen ? "  *" : "");
    if (j->n_tried > 1)
        fprintf(f,
                "k = %zu: the lowest BIC among those whose silhouette is at least %.0f%% of "
                "the best\n",
                j->tried[j->chosen].k, KYMO_SILHOUETTE_REACH * 100);
}

static kymo_status print_summary(const struct job *j, struct kymo_err *err)
{
    if (j->o->quiet && !j->o->json)
        return KYMO_OK;
    if (j->o->json) {
        json_t *doc = json_pack("{s:s, s:I, s:b, s:O, s:O}", "model", j->o->out, "k",
                                (json_int_t)j->model.k, "finished", j->model.finished, "fit",
                                j->model.fit, "provenance", j->model.provenance);
        const kymo_status s = doc ? kymo_json_write(doc, "-", 0, err) : no_memory(err);
        json_decref(doc);
        return s;
    }
    FILE *f = strcmp(j->o->out, "-") == 0 ? stderr : stdout;
    print_table(f, j);
    fprintf(
        f,
        "%zu states from %zu windows (%zu held out, %zu left out for loss, %zu unmarked); %s "
        "after %zu passes\n",
        j->model.k, j->split.n_train, j->split.n_hold, j->split.n_lost, j->split.n_unmarked,
        kymo_kmeans_stop_name(j->fit.why), j->fit.iterations);
    if (j->split.n_hold < KYMO_HOLDOUT_MIN && j->model.spec)
        kymo_cli_say(TOOL,
                     "%zu windows held out, fewer than %u: no p-values, score goes by state "
                     "and distance",
                     j->split.n_hold, KYMO_HOLDOUT_MIN);
    return KYMO_OK;
}

static kymo_status prepare(struct job *j, struct opts *o, uint64_t *k, struct kymo_err *err)
{
    KYMO_TRY(kymo_matrix_load(&j->m, o->in, err));
    if (!o->transform)
        o->transform = j->m.has_spec ? "spec" : "none";
    if (o->holdout < 0)
        o->holdout = j->m.has_spec ? 0.2 : 0;
    if (strcmp(o->transform, "spec") == 0 && !j->m.has_spec)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%s has no feature spec: --transform standard or none", o->in);
    if (j->m.n == 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has no rows to learn from", o->in);
    KYMO_TRY(kymo_split_rows(&j->m, o->holdout, o->marked, &j->arena, &j->split, err));
    if (j->split.n_train == 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: of %zu windows, %zu lost too much and %zu lie in no mark: none "
                         "is left to learn from",
                         o->in, j->m.n, j->split.n_lost, j->split.n_unmarked);
    KYMO_TRY(kymo_model_shape(&j->model, j->m.d, 1, err));
    KYMO_TRY(fit_columns(j, o->transform, err));
    KYMO_TRY(transform_rows(j, j->split.train, j->split.n_train, &j->Z, err));
    KYMO_TRY(transform_rows(j, j->split.hold, j->split.n_hold, &j->H, err));
    KYMO_TRY(load_init(j, err));
    if (j->init && *k && *k != j->k_init)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "-k %" PRIu64 ", but %s has %zu centres", *k, o->init, j->k_init);
    if (j->init)
        *k = j->k_init;
    return KYMO_OK;
}

static kymo_status run(struct job *j, struct opts *o, uint64_t k, struct kymo_err *err)
{
    uint32_t *label;
    struct kymo_out probe; /* refuse an existing output before the work, not after */
    KYMO_TRY(kymo_out_open(&probe, o->out, o->force, err));
    kymo_out_abort(&probe);
    KYMO_TRY(prepare(j, o, &k, err));
    KYMO_TRY(fit_all(j, k, err));
    KYMO_TRY(build_model(j, &label, err));
    if (o->labels)
        KYMO_TRY(write_labels(j, label, err));
    KYMO_TRY(kymo_model_write(&j->model, o->out, o->force, err));
    return print_summary(j, err);
}

int main(int argc, char **argv)
{
    struct opts o = {.k = "auto",
                     .k_max = K_MAX_AUTO,
                     .n_init = 10,
                     .max_iter = 300,
                     .seed = 1,
                     .threads = kymo_cpus(),
                     .holdout = -1};
    uint64_t k;
    const int usage = parse_args(argc, argv, &o, &k);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    struct kymo_err err = {0};
    struct job j = {.o = &o};
    kymo_arena_init(&j.arena, KYMO_MATRIX_BYTES_MAX);
    kymo_matrix_init(&j.m, 0);
    kymo_model_init(&j.model);
    const kymo_status s = run(&j, &o, k, &err);
    end_progress(&j);
    const int finding = stop_signal && !j.model.finished ? 128 + stop_signal : KYMO_EXIT_OK;
    kymo_model_release(&j.model);
    kymo_matrix_release(&j.m);
    kymo_arena_release(&j.arena);
    return kymo_cli_finish(TOOL, o.in, s, &err, finding);
}
