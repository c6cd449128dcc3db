/* SPDX-License-Identifier: Apache-2.0
 * bench_cluster.c: one clusterer on one data set of cluster_peers.py, timed as the peers are.
 *
 * bench_cluster CASE DIR    CASE is like km_fixed/blobs_1m_64_k16; DIR holds X.SET.f32.npy and the like. Prints
 *                           RESULT {"time": seconds of the fit alone, ...}: the best of three below four seconds
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "analyze/core/density.h"
#include "analyze/core/gmm.h"
#include "analyze/core/hdbscan.h"
#include "analyze/core/kmeans.h"
#include "analyze/core/linkage.h"
#include "analyze/core/metrics.h"
#include "analyze/core/minibatch.h"
#include "analyze/core/seeding.h"
#include "format/base/json.h"
#include "format/base/rng.h"
#include "format/base/size.h"
#include "format/io/load.h"

#define STEPS 20u /* of a fit of fixed length, as the peers' */
#define SEEDS 5u  /* of a fit with seeding */
#define LONG_S 4.0
#define REPEATS 3

struct bench {
    const char *dir, *set, *what; /* what: after the first word's underscore */
    unsigned n_threads;
    struct kymo_matrix X, init, var;
    struct kymo_dense rows;
    struct kymo_arena arena; /* of one fit */
    json_t *said;            /* figures besides the time */
};

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double status_mb(const char *key)
{
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0)
            kb = strtod(line + strlen(key), NULL);
    if (f)
        fclose(f);
    return kb / 1024;
}

static void forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

static void must(kymo_status s, const struct kymo_err *err)
{
    if (!s)
        return;
    fprintf(stderr, "bench_cluster: %s\n", err->text);
    exit(1);
}

static void load(struct bench *b, struct kymo_matrix *m, const char *prefix, const char *type)
{
    char path[4096];
    struct kymo_err err = {0};
    snprintf(path, sizeof(path), "%s/%s.%s.%s.npy", b->dir, prefix, b->set, type);
    kymo_matrix_init(m, 0);
    must(kymo_matrix_load(m, path, &err), &err);
}

static void say(struct bench *b, const char *key, double v)
{
    json_object_set_new(b->said, key, json_real(v));
}

/* -- what is timed ---------------------------------------------------------------------------- */

static double *wide(struct bench *b, const struct kymo_matrix *m)
{
    double *v = KYMO_NEW_RAW(&b->arena, double, m->n * m->d);
    for (size_t i = 0; v && i < m->n; i++)
        for (size_t j = 0; j < m->d; j++)
            v[i * m->d + j] = kymo_matrix_at(m, i, j);
    return v;
}

static kymo_status km_fixed(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    struct kymo_kmeans_out out;
    (void)seed;
    const struct kymo_kmeans_in in = {.X = b->rows,
                                      .k = b->init.n,
                                      .init = wide(b, &b->init),
                                      .n_init = 1,
                                      .max_iter = STEPS,
                                      .n_threads = b->n_threads};
    KYMO_TRY(kymo_kmeans(&in, &b->arena, &out, err));
    say(b, "inertia", out.inertia);
    say(b, "n_iter", (double)out.iterations);
    return KYMO_OK;
}

static kymo_status km_conv(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    struct kymo_kmeans_out out;
    const struct kymo_kmeans_in in = {.X = b->rows,
                                      .k = b->init.n,
                                      .n_init = 1,
                                      .max_iter = 300,
                                      .tol = 1e-4,
                                      .seed = seed,
                                      .n_threads = b->n_threads};
    KYMO_TRY(kymo_kmeans(&in, &b->arena, &out, err));
    say(b, "inertia", out.inertia);
    say(b, "n_iter", (double)out.iterations);
    return KYMO_OK;
}

/* The centres that the seeding alone gives; their inertia is found after the clock stopped. */
static double *centres;
static size_t n_centres;

static kymo_status km_pp(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    struct kymo_rng rng;
    kymo_rng_init(&rng, seed);
    const struct kymo_seeding in = {.X = &b->rows,
                                    .k = b->init.n,
                                    .n_threads = b->n_threads,
                                    .level = kymo_simd_level(),
                                    .rng = &rng};
    n_centres = b->init.n;
    centres = KYMO_NEW_RAW(&b->arena, double, n_centres * b->rows.d);
    return kymo_seed_plusplus(&in, &b->arena, centres, err);
}

static kymo_status km_mini(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    struct kymo_minibatch_out out;
    const struct kymo_minibatch_in in = {
        .X = b->rows, .k = b->init.n, .seed = seed, .n_threads = b->n_threads};
    KYMO_TRY(kymo_minibatch(&in, &b->arena, &out, err));
    n_centres = b->init.n;
    centres = out.C;
    return KYMO_OK;
}

static kymo_status km_predict(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    (void)seed;
    uint32_t *label = KYMO_NEW_RAW(&b->arena, uint32_t, b->rows.n);
    return kymo_kmeans_assign(&b->rows, b->init.n, wide(b, &b->init), b->n_threads, label, NULL,
                              NULL, err);
}

static enum kymo_cov cov_of(const struct bench *b)
{
    return strncmp(b->what, "full", 4) == 0   ? KYMO_COV_FULL
           : strncmp(b->what, "tied", 4) == 0 ? KYMO_COV_TIED
           : strncmp(b->what, "diag", 4) == 0 ? KYMO_COV_DIAG
                                              : KYMO_COV_SPHERICAL;
}

/* Equal weights, the means given, every covariance that of all rows along the columns. */
static kymo_status gmm_start(struct bench *b, struct kymo_mixture *m, struct kymo_err *err)
{
    const size_t k = b->init.n, d = b->rows.d;
    KYMO_TRY(kymo_mixture_new(m, cov_of(b), k, d, &b->arena, err));
    memcpy(m->mean, wide(b, &b->init), k * d * sizeof(double));
    for (size_t c = 0; c < k; c++) {
        double mean = 0;
        m->weight[c] = 1 / (double)k;
        for (size_t j = 0; j < d; j++) {
            const double v = kymo_matrix_at(&b->var, 0, j);
            mean += v / (double)d;
            if (m->type == KYMO_COV_FULL)
                m->cov[(c * d + j) * d + j] = v;
            else if (m->type == KYMO_COV_TIED)
                m->cov[j * d + j] = v;
            else if (m->type == KYMO_COV_DIAG)
                m->cov[c * d + j] = v;
        }
        if (m->type == KYMO_COV_SPHERICAL)
            m->cov[c] = mean;
    }
    return KYMO_OK;
}

static kymo_status gmm_fit(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    struct kymo_mixture start;
    struct kymo_gmm_out out;
    (void)seed;
    KYMO_TRY(gmm_start(b, &start, err));
    const struct kymo_gmm_in in = {.x = &b->rows,
                                   .k = b->init.n,
                                   .type = start.type,
                                   .start = &start,
                                   .max_iter = STEPS,
                                   .n_threads = b->n_threads};
    KYMO_TRY(kymo_gmm(&in, &b->arena, &out, err));
    say(b, "ll", out.loglik / (double)b->rows.n);
    say(b, "n_iter", (double)out.iterations);
    return KYMO_OK;
}

static kymo_status gmm_bic(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    double best = INFINITY, best_k = 0;
    for (size_t k = 1; k <= 10; k++) {
        struct kymo_kmeans_out rough;
        struct kymo_gmm_out out;
        const struct kymo_kmeans_in first = {.X = b->rows,
                                             .k = k,
                                             .n_init = 1,
                                             .max_iter = 300,
                                             .tol = 1e-4,
                                             .seed = seed,
                                             .n_threads = b->n_threads};
        KYMO_TRY(kymo_kmeans(&first, &b->arena, &rough, err));
        const struct kymo_gmm_in in = {.x = &b->rows,
                                       .k = k,
                                       .type = KYMO_COV_FULL,
                                       .label = rough.label,
                                       .reg = 1e-6,
                                       .tol = 1e-3,
                                       .max_iter = 100,
                                       .n_threads = b->n_threads};
        KYMO_TRY(kymo_gmm(&in, &b->arena, &out, err));
        if (out.bic < best) {
            best = out.bic;
            best_k = (double)k;
        }
    }
    say(b, "best_k", best_k);
    say(b, "best_bic", best);
    return KYMO_OK;
}

static kymo_status hier(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    struct kymo_linkage_out out;
    int m = KYMO_LINKAGE_WARD;
    (void)seed;
    while (strcmp(kymo_linkage_name((enum kymo_linkage_method)m), b->what) != 0)
        m++;
    const struct kymo_linkage_in in = {
        .method = (enum kymo_linkage_method)m, .rows = &b->rows, .n_threads = b->n_threads};
    KYMO_TRY(kymo_linkage(&in, &b->arena, &out, err));
    double sum = 0;
    for (size_t i = 0; i < out.n_merges; i++)
        sum += out.Z[i].height;
    say(b, "h_sum", sum);
    say(b, "h_max", out.Z[out.n_merges - 1].height);
    return KYMO_OK;
}

static kymo_status dbscan(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    struct kymo_density_out out;
    (void)seed;
    const struct kymo_density_in in = {
        .x = &b->rows, .eps = 1.6, .min_weight = 10, .n_threads = b->n_threads};
    KYMO_TRY(kymo_density(&in, &b->arena, &out, err));
    say(b, "clusters", (double)out.k);
    say(b, "noise", (double)out.n_noise);
    return KYMO_OK;
}

static kymo_status hdbscan(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    struct kymo_hdbscan_out out;
    (void)seed;
    const struct kymo_hdbscan_in in = {
        .x = &b->rows, .min_weight = 10, .min_cluster_weight = 10, .n_threads = b->n_threads};
    KYMO_TRY(kymo_hdbscan(&in, &b->arena, &out, err));
    say(b, "clusters", (double)out.k);
    say(b, "noise", (double)out.n_noise);
    return KYMO_OK;
}

/* The peers' labels: which of the first twelve rows is nearest in the first four columns. */
static uint32_t *labels_of_twelve(struct bench *b)
{
    uint32_t *label = KYMO_NEW(&b->arena, uint32_t, b->rows.n);
    for (size_t i = 0; i < b->rows.n; i++) {
        double best = INFINITY;
        for (uint32_t c = 0; c < 12; c++) {
            double sum = 0;
            for (size_t j = 0; j < 4; j++) {
                const double t = kymo_dense_at(&b->rows, i, j) - kymo_dense_at(&b->rows, c, j);
                sum += t * t;
            }
            if (sum < best) {
                best = sum;
                label[i] = c;
            }
        }
    }
    return label;
}

static uint32_t *twelve;

static kymo_status silhouette(struct bench *b, uint64_t seed, struct kymo_err *err)
{
    (void)seed;
    struct kymo_labelling l = {.label = twelve, .k = 12};
    KYMO_TRY(kymo_silhouette_dense(&b->rows, &l, 1, b->n_threads, NULL, err));
    say(b, "value", l.silhouette);
    return KYMO_OK;
}

/* -- the clock -------------------------------------------------------------------------------- */

static const struct task {
    const char *name, *type; /* type: precision of the rows, as the peers have them */
    kymo_status (*run)(struct bench *, uint64_t seed, struct kymo_err *);
    int seeded;
} tasks[] = {
    {"km_fixed", "f32", km_fixed, 0},     {"km_conv", "f32", km_conv, 1},
    {"km_pp", "f32", km_pp, 1},           {"km_mini", "f32", km_mini, 1},
    {"km_predict", "f32", km_predict, 0}, {"gmm_full", "f64", gmm_fit, 0},
    {"gmm_tied", "f64", gmm_fit, 0},      {"gmm_diag", "f64", gmm_fit, 0},
    {"gmm_spherical", "f64", gmm_fit, 0}, {"gmm_bic", "f64", gmm_bic, 0},
    {"hier_ward", "f64", hier, 0},        {"hier_average", "f64", hier, 0},
    {"hier_complete", "f64", hier, 0},    {"hier_single", "f64", hier, 0},
    {"dbscan", "f64", dbscan, 0},         {"hdbscan", "f64", hdbscan, 0},
    {"silhouette", "f64", silhouette, 0},
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one fit; what it allocated is given back. */
static double time_once(struct bench *b, const struct task *t, uint64_t seed, double *cpu_s,
                        double *inertia)
{
    struct kymo_err err = {0};
    kymo_arena_reset(&b->arena);
    centres = NULL;
    if (t->run == silhouette)
        twelve = labels_of_twelve(b);
    const double from = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    must(t->run(b, seed, &err), &err);
    const double took = now_s(CLOCK_MONOTONIC) - from;
    *cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    *inertia = json_number_value(json_object_get(b->said, "inertia"));
    if (centres)
        must(kymo_kmeans_assign(&b->rows, n_centres, centres, b->n_threads,
                                KYMO_NEW_RAW(&b->arena, uint32_t, b->rows.n), NULL, inertia,
                                &err),
             &err);
    return took;
}

static void run(struct bench *b, const struct task *t)
{
    double took[SEEDS], inertia[SEEDS], cpu = 0, best = INFINITY;
    const double base = status_mb("VmRSS:");
    forget_peak();
    if (t->seeded) {
        for (uint64_t s = 0; s < SEEDS; s++)
            took[s] = time_once(b, t, s + 1, &cpu, &inertia[s]);
        qsort(took, SEEDS, sizeof(*took), by_value);
        qsort(inertia, SEEDS, sizeof(*inertia), by_value);
        best = took[SEEDS / 2];
        say(b, "inertia", inertia[SEEDS / 2]);
        say(b, "inertia_max", inertia[SEEDS - 1]);
    } else {
        for (int i = 0; i < REPEATS && (i == 0 || best < LONG_S); i++) {
            const double s = time_once(b, t, 1, &cpu, &inertia[0]);
            best = s < best ? s : best;
        }
    }
    say(b, "time", best);
    say(b, "cpu", cpu);
    say(b, "base_mb", round(base));
    say(b, "peak_mb", round(status_mb("VmHWM:")));
    if (t->run == km_predict)
        say(b, "rows_per_s", (double)b->rows.n / best);
    char *text = json_dumps(b->said, JSON_REAL_PRECISION(12) | JSON_SORT_KEYS);
    printf("RESULT %s\n", text);
    free(text);
}

int main(int argc, char **argv)
{
    const char *slash = argc == 3 ? strchr(argv[1], '/') : NULL;
    const struct task *t = NULL;
    for (size_t i = 0; slash && i < KYMO_COUNT_OF(tasks); i++)
        if (strlen(tasks[i].name) == (size_t)(slash - argv[1]) &&
            memcmp(tasks[i].name, argv[1], (size_t)(slash - argv[1])) == 0)
            t = &tasks[i];
    if (!t) {
        fprintf(stderr,
                "usage: bench_cluster CASE/SET DIR, for the cases of cluster_peers.py\n");
        return 2;
    }
    const char *threads = getenv("OMP_NUM_THREADS"), *what = strchr(t->name, '_');
    struct bench b = {.dir = argv[2],
                      .set = slash + 1,
                      .what = what ? what + 1 : "",
                      .n_threads = threads ? (unsigned)atoi(threads) : 2,
                      .said = json_object()};
    kymo_arena_init(&b.arena, SIZE_MAX);
    load(&b, &b.X, "X", t->type);
    b.rows = kymo_matrix_dense(&b.X);
    if (strncmp(t->name, "km_", 3) == 0 ||
        (strncmp(t->name, "gmm_", 4) == 0 && t->run != gmm_bic))
        load(&b, &b.init, "init", t->type);
    if (t->run == gmm_fit)
        load(&b, &b.var, "var", "f64");
    run(&b, t);
    return 0;
}
