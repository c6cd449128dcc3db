/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/gmm.h"
#include "format/base/size.h"
#include "tests/unit/testrows.h"

static const enum kymo_cov types[] = {KYMO_COV_FULL, KYMO_COV_TIED, KYMO_COV_DIAG,
                                      KYMO_COV_SPHERICAL};
static const char *const type_names[] = {"full", "tied", "diag", "spherical"};

static struct kymo_arena arena;

static int arena_open(void **state)
{
    (void)state;
    kymo_arena_init(&arena, SIZE_MAX);
    return 0;
}

static int arena_close(void **state)
{
    (void)state;
    kymo_arena_release(&arena);
    return 0;
}

static size_t cov_size(const struct kymo_mixture *m)
{
    size_t size;
    assert_true(kymo_mixture_cov_size(m->type, m->k, m->d, &size));
    return size;
}

static struct kymo_gmm_out fit(const struct kymo_gmm_in *in)
{
    struct kymo_gmm_out out;
    struct kymo_err err = {0};
    if (kymo_gmm(in, &arena, &out, &err))
        fail_msg("%s", err.text);
    return out;
}

static void is_sane(const struct kymo_gmm_out *o)
{
    for (size_t i = 0; i <= o->iterations; i++)
        assert_true(isfinite(o->trace[i]));
    for (size_t i = 1; i <= o->iterations; i++)
        if (!(o->trace[i] >= o->trace[i - 1] - 1e-9 * (1 + fabs(o->trace[i]))))
            fail_msg("step %zu: from %.17g to %.17g", i, o->trace[i - 1], o->trace[i]);
    double sum = 0;
    for (size_t c = 0; c < o->mix.k; c++)
        sum += o->mix.weight[c];
    rows_near(sum, 1, 1e-12, 0);
    for (size_t i = 0; i < o->mix.k * o->mix.d; i++)
        assert_true(isfinite(o->mix.mean[i]));
    for (size_t i = 0; i < cov_size(&o->mix); i++)
        assert_true(isfinite(o->mix.cov[i]) && isfinite(o->mix.factor[i]));
    assert_true(o->icl >= o->bic);
}

static void same_bytes(const struct kymo_gmm_out *a, const struct kymo_gmm_out *b)
{
    assert_int_equal(a->iterations, b->iterations);
    assert_memory_equal(a->trace, b->trace, (a->iterations + 1) * sizeof(double));
    assert_memory_equal(a->mix.weight, b->mix.weight, a->mix.k * sizeof(double));
    assert_memory_equal(a->mix.mean, b->mix.mean, a->mix.k * a->mix.d * sizeof(double));
    assert_memory_equal(a->mix.cov, b->mix.cov, cov_size(&a->mix) * sizeof(double));
    assert_memory_equal(a->mix.factor, b->mix.factor, cov_size(&a->mix) * sizeof(double));
    assert_true(memcmp(&a->icl, &b->icl, sizeof(double)) == 0);
}

static float *narrow(size_t n, const double *v)
{
    float *f = malloc(n * sizeof(float));
    assert_non_null(f);
    for (size_t i = 0; i < n; i++)
        f[i] = (float)v[i];
    return f;
}

static void all_near(const json_t *fixture, const char *key, const double *got)
{
    static double want[10000];
    const size_t n = rows_numbers(json_object_get(fixture, key), want);
    const json_t *tol = json_object_get(fixture, "tol");
    for (size_t i = 0; i < n; i++)
        rows_near(got[i], want[i], rows_number(tol, "params_rel"),
                  rows_number(tol, "params_abs"));
}

static void check_rows(const json_t *fixture, const struct kymo_gmm_out *o,
                       const struct kymo_dense *x)
{
    static double want[10000];
    double *log_resp = malloc(x->n * o->mix.k * sizeof(double));
    double *log_density = malloc(x->n * sizeof(double));
    uint32_t *label = malloc(x->n * sizeof(uint32_t));
    assert_true(log_resp && log_density && label);
    const struct kymo_posterior p = {log_resp, log_density, label};
    assert_int_equal(kymo_mixture_posterior(&o->mix, x, 2, &p, NULL), KYMO_OK);
    size_t n = rows_numbers(json_object_get(fixture, "resp_first_rows"), want);
    for (size_t i = 0; i < n; i++)
        rows_near(exp(log_resp[i]), want[i], 1e-5, 1e-8);
    n = rows_numbers(json_object_get(fixture, "labels"), want);
    assert_int_equal(n, x->n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(label[i], (uint32_t)want[i]);
        sum += log_density[i];
    }
    rows_near(sum, o->loglik, 1e-12, 0);
    free(log_resp);
    free(log_density);
    free(label);
}

static void check_fixture(const char *name)
{
    json_t *f = rows_json(name);
    struct kymo_dense x = {0};
    double *rows = rows_csv(json_string_value(json_object_get(f, "data")), &x.n, &x.d);
    x.f64 = rows;
    struct kymo_gmm_in in = {.x = &x, .n_threads = 1};
    in.k = (size_t)rows_number(f, "k");
    in.max_iter = (size_t)rows_number(f, "iterations");
    const char *type = json_string_value(json_object_get(f, "covariance_type"));
    for (size_t t = 0; t < 4; t++)
        if (strcmp(type, type_names[t]) == 0)
            in.type = types[t];
    struct kymo_mixture start;
    assert_int_equal(kymo_mixture_new(&start, in.type, in.k, x.d, &arena, NULL), KYMO_OK);
    rows_numbers(json_object_get(f, "init_weights"), start.weight);
    rows_numbers(json_object_get(f, "init_means"), start.mean);
    assert_int_equal(rows_numbers(json_object_get(f, "init_covariances"), start.cov),
                     cov_size(&start));
    in.start = &start;
    const struct kymo_gmm_out one = fit(&in);
    is_sane(&one);
    double trace[64];
    const double rel = rows_number(json_object_get(f, "tol"), "loglik_rel");
    assert_int_equal(rows_numbers(json_object_get(f, "loglik_trace"), trace),
                     one.iterations + 1);
    for (size_t i = 0; i <= one.iterations; i++)
        rows_near(one.trace[i], trace[i], rel, 0);
    all_near(f, "weights", one.mix.weight);
    all_near(f, "means", one.mix.mean);
    all_near(f, "covariances", one.mix.cov);
    rows_near(one.n_params, rows_number(f, "n_parameters"), 0, 0);
    rows_near(one.bic, rows_number(f, "bic"), rel, 0);
    rows_near(one.aic, rows_number(f, "aic"), rel, 0);
    assert_int_equal(one.floored + one.given_up, 0);
    assert_int_equal(one.why, KYMO_GMM_MAX_ITER);
    check_rows(f, &one, &x);
    for (in.n_threads = 2; in.n_threads <= 3; in.n_threads++) {
        const struct kymo_gmm_out more = fit(&in);
        same_bytes(&one, &more);
    }
    float *f32 = narrow(x.n * x.d, rows);
    x.f32 = f32;
    x.f64 = NULL;
    const struct kymo_gmm_out single = fit(&in);
    is_sane(&single);
    rows_near(single.loglik, rows_number(f, "loglik"), 1e-5, 0);
    free(f32);
    free(rows);
    json_decref(f);
}

#define FIXTURE(name)                                                                          \
    static void em_finds_what_three_libraries_find_in_##name(void **state)                     \
    {                                                                                          \
        (void)state;                                                                           \
        check_fixture("gmm_" #name);                                                           \
    }
FIXTURE(full_faithful_k2)
FIXTURE(full_iris_k3)
FIXTURE(tied_faithful_k2)
FIXTURE(tied_iris_k3)
FIXTURE(tied_wine_z_k3)
FIXTURE(tied_breast_cancer_z_k2)
FIXTURE(diag_faithful_k2)
FIXTURE(diag_iris_k3)
FIXTURE(diag_wine_z_k3)
FIXTURE(diag_breast_cancer_z_k2)
FIXTURE(spherical_faithful_k2)
FIXTURE(spherical_iris_k3)
FIXTURE(spherical_wine_z_k3)
FIXTURE(spherical_breast_cancer_z_k2)

/* Labels that have nothing to do with the rows: a start as good as any. */
static uint32_t *some_labels(size_t n, size_t k)
{
    uint32_t *label = KYMO_NEW(&arena, uint32_t, n);
    for (size_t i = 0; i < n; i++)
        label[i] = (uint32_t)((i * 0x9e3779b97f4a7c15u >> 33) % k);
    return label;
}

static void the_log_likelihood_never_falls(void **state)
{
    (void)state;
    struct kymo_rng r;
    kymo_rng_init(&r, 5);
    for (int round = 0; round < 60; round++) {
        const size_t n = 20 + kymo_rng_below(&r, 700), d = 1 + kymo_rng_below(&r, 21);
        const size_t k = 1 + kymo_rng_below(&r, 9);
        double *rows = rows_clouds(n, d, k, (uint64_t)round),
               *weight = malloc(n * sizeof(double));
        assert_non_null(weight);
        for (size_t i = 0; i < n; i++)
            weight[i] = 0.25 + kymo_rng_unit(&r);
        const struct kymo_dense x = {
            .n = n, .d = d, .f64 = rows, .weight = round % 2 ? weight : NULL};
        struct kymo_gmm_in in = {.x = &x, .k = k, .max_iter = 60, .n_threads = 1};
        in.label = some_labels(n, k);
        for (size_t t = 0; t < 4; t++) {
            in.type = types[t];
            const struct kymo_gmm_out o = fit(&in);
            is_sane(&o);
        }
        free(rows);
        free(weight);
    }
}

static void every_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    double *rows = rows_clouds(30000, 11, 5, 3);
    const struct kymo_dense x = {.n = 30000, .d = 11, .f64 = rows};
    struct kymo_gmm_in in = {.x = &x, .k = 5, .max_iter = 5, .label = some_labels(x.n, 5)};
    for (size_t t = 0; t < 4; t++) {
        in.type = types[t];
        in.n_threads = 1;
        const struct kymo_gmm_out one = fit(&in);
        for (in.n_threads = 2; in.n_threads <= 5; in.n_threads++) {
            const struct kymo_gmm_out more = fit(&in);
            same_bytes(&one, &more);
        }
    }
    free(rows);
}

static void a_row_of_weight_two_is_that_row_twice(void **state)
{
    (void)state;
    enum { N = 900, D = 5 };
    double *rows = rows_clouds(N, D, 3, 8), *twice = malloc(2 * N * D * sizeof(double));
    assert_non_null(twice);
    double weight[N];
    uint32_t *label = some_labels(N, 3), label_twice[2 * N];
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        weight[i] = i % 3 ? 1 : 2;
        for (int copy = 0; copy < (i % 3 ? 1 : 2); copy++) {
            memcpy(twice + n * D, rows + i * D, D * sizeof(double));
            label_twice[n++] = label[i];
        }
    }
    const struct kymo_dense x = {.n = N, .d = D, .f64 = rows, .weight = weight};
    const struct kymo_dense y = {.n = n, .d = D, .f64 = twice};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_gmm_in in = {
            .x = &x, .k = 3, .type = types[t], .label = label, .max_iter = 20, .n_threads = 1};
        const struct kymo_gmm_out a = fit(&in);
        in.x = &y;
        in.label = label_twice;
        const struct kymo_gmm_out b = fit(&in);
        rows_near(a.loglik, b.loglik, 1e-11, 0);
        rows_near(a.bic, b.bic, 1e-11, 0);
        rows_near(a.icl, b.icl, 1e-9, 0);
        for (size_t i = 0; i < cov_size(&a.mix); i++)
            rows_near(a.mix.cov[i], b.mix.cov[i], 1e-8, 1e-10);
    }
    free(rows);
    free(twice);
}

static void rows_far_from_zero_cost_no_digits(void **state)
{
    (void)state;
    enum { N = 2000, D = 9 };
    double *near = rows_clouds(N, D, 3, 4), *far = malloc(N * D * sizeof(double));
    assert_non_null(far);
    for (size_t i = 0; i < N * D; i++) {
        /* as many bits as are left at a million: so the two differ by the shift alone */
        near[i] = nearbyint(near[i] * 0x1p30) * 0x1p-30;
        far[i] = near[i] + 1e6;
    }
    const struct kymo_dense x = {.n = N, .d = D, .f64 = near}, y = {.n = N, .d = D, .f64 = far};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_gmm_in in = {.x = &x, .k = 3, .type = types[t], .max_iter = 10};
        in.label = some_labels(N, 3);
        const struct kymo_gmm_out a = fit(&in);
        in.x = &y;
        const struct kymo_gmm_out b = fit(&in);
        rows_near(b.loglik, a.loglik, 1e-9, 0);
        for (size_t i = 0; i < cov_size(&a.mix); i++)
            rows_near(b.mix.cov[i], a.mix.cov[i], 1e-7, 1e-8);
    }
    free(near);
    free(far);
}

static void a_start_far_from_the_rows_finds_them(void **state)
{
    (void)state;
    double *rows = rows_clouds(1000, 4, 1, 4);
    const struct kymo_dense x = {.n = 1000, .d = 4, .f64 = rows};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_mixture start;
        assert_int_equal(kymo_mixture_new(&start, types[t], 1, 4, &arena, NULL), KYMO_OK);
        start.weight[0] = 1;
        for (size_t j = 0; j < 4; j++)
            start.mean[j] = 1e9;
        for (size_t i = 0; i < cov_size(&start); i++)
            start.cov[i] = cov_size(&start) < 16 || i % 5 == 0;
        struct kymo_gmm_in in = {
            .x = &x, .k = 1, .type = types[t], .start = &start, .max_iter = 2};
        const struct kymo_gmm_out two = fit(&in);
        in.max_iter = 1;
        const struct kymo_gmm_out one = fit(&in);
        for (size_t i = 0; i < cov_size(&one.mix); i++)
            rows_near(one.mix.cov[i], two.mix.cov[i], 1e-12, 1e-12);
    }
    free(rows);
}

static void flat_data_gets_a_floor_that_is_reported(void **state)
{
    (void)state;
    enum { N = 300, D = 6 };
    double *rows = rows_clouds(N, D, 2, 4);
    for (size_t i = 0; i < N; i++) {
        rows[i * D + 2] = 7;                                 /* constant */
        rows[i * D + 5] = rows[i * D] - 2 * rows[i * D + 1]; /* follows from others */
        if (i % 2)                                           /* duplicates */
            memcpy(rows + i * D, rows + (i - 1) * D, D * sizeof(double));
    }
    const struct kymo_dense x = {.n = N, .d = D, .f64 = rows};
    for (size_t k = 1; k <= 4; k++)
        for (size_t t = 0; t < 4; t++) {
            struct kymo_gmm_in in = {.x = &x, .k = k, .type = types[t], .max_iter = 50};
            in.label = some_labels(N, k);
            const struct kymo_gmm_out o = fit(&in);
            is_sane(&o);
            if (types[t] == KYMO_COV_SPHERICAL)
                continue;
            assert_true(o.floored == (types[t] == KYMO_COV_TIED ? 1 : k));
            const size_t flat = types[t] == KYMO_COV_DIAG ? 1 : 2;
            assert_true(o.floored_axes >= o.floored * flat);
        }
    free(rows);
}

static void as_many_components_as_rows_is_no_harm(void **state)
{
    (void)state;
    double *rows = rows_clouds(12, 3, 2, 9);
    memcpy(rows + 33, rows, 3 * sizeof(double)); /* one row is there twice */
    const struct kymo_dense x = {.n = 12, .d = 3, .f64 = rows};
    uint32_t label[12];
    for (size_t k = 9; k <= 12; k++)
        for (size_t t = 0; t < 4; t++) {
            for (uint32_t i = 0; i < 12; i++)
                label[i] = i % (uint32_t)k;
            struct kymo_gmm_in in = {
                .x = &x, .k = k, .type = types[t], .label = label, .max_iter = 40};
            const struct kymo_gmm_out o = fit(&in);
            is_sane(&o);
            if (types[t] != KYMO_COV_TIED)
                assert_true(o.floored > 0);
        }
    free(rows);
}

static void a_component_without_rows_is_given_up(void **state)
{
    (void)state;
    double *rows = rows_clouds(200, 3, 2, 9);
    const struct kymo_dense x = {.n = 200, .d = 3, .f64 = rows};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_gmm_in in = {.x = &x, .k = 3, .type = types[t], .max_iter = 10};
        in.label = some_labels(200, 2); /* nothing belongs to the third */
        const struct kymo_gmm_out three = fit(&in);
        is_sane(&three);
        assert_int_equal(three.given_up, 1);
        assert_true(three.mix.weight[2] == 0);
        in.k = 2;
        const struct kymo_gmm_out two = fit(&in);
        rows_near(three.loglik, two.loglik, 1e-12, 0);
    }
    free(rows);
}

static void labels_are_responsibilities_of_one(void **state)
{
    (void)state;
    double *rows = rows_clouds(500, 3, 2, 9), resp[1000];
    const struct kymo_dense x = {.n = 500, .d = 3, .f64 = rows};
    struct kymo_gmm_in in = {.x = &x, .k = 2, .label = some_labels(500, 2), .max_iter = 4};
    for (size_t i = 0; i < 1000; i++)
        resp[i] = in.label[i / 2] == i % 2;
    const struct kymo_gmm_out a = fit(&in);
    in.label = NULL;
    in.resp = resp;
    const struct kymo_gmm_out b = fit(&in);
    same_bytes(&a, &b);
    free(rows);
}

struct watch {
    size_t ticks;
    double last;
    volatile sig_atomic_t stop;
};

static void watch_three(void *ctx, const struct kymo_gmm_tick *t)
{
    struct watch *w = ctx;
    assert_int_equal(t->iteration, w->ticks);
    w->last = t->loglik;
    w->stop = ++w->ticks == 3;
}

static void a_fit_ends_when_told_with_what_it_has(void **state)
{
    (void)state;
    double *rows = rows_clouds(500, 3, 2, 9);
    const struct kymo_dense x = {.n = 500, .d = 3, .f64 = rows};
    struct watch w = {0};
    struct kymo_gmm_in in = {.x = &x,
                             .k = 2,
                             .label = some_labels(500, 2),
                             .max_iter = 100,
                             .stop = &w.stop,
                             .tick = watch_three,
                             .tick_ctx = &w};
    const struct kymo_gmm_out stopped = fit(&in);
    assert_int_equal(stopped.why, KYMO_GMM_STOPPED);
    assert_int_equal(stopped.iterations, 2);
    assert_true(memcmp(&stopped.loglik, &w.last, sizeof(double)) == 0);
    in.stop = NULL;
    in.tick = NULL;
    in.max_iter = 2;
    const struct kymo_gmm_out two = fit(&in);
    same_bytes(&stopped, &two);
    in.max_iter = 1000;
    in.tol = 1e-6;
    const struct kymo_gmm_out settled = fit(&in);
    assert_int_equal(settled.why, KYMO_GMM_CONVERGED);
    const double *last = settled.trace + settled.iterations;
    assert_true(fabs(last[0] - last[-1]) < 1e-6 * 500);
    assert_true(fabs(last[-1] - last[-2]) >= 1e-6 * 500);
    free(rows);
}

static void reg_is_added_to_every_variance(void **state)
{
    (void)state;
    double *rows = rows_clouds(500, 3, 1, 9);
    const struct kymo_dense x = {.n = 500, .d = 3, .f64 = rows};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_gmm_in in = {
            .x = &x, .k = 1, .type = types[t], .label = some_labels(500, 1), .max_iter = 1};
        const struct kymo_gmm_out without = fit(&in);
        in.reg = 0.5;
        const struct kymo_gmm_out with = fit(&in);
        const size_t n = cov_size(&with.mix);
        for (size_t i = 0; i < n; i++)
            rows_near(with.mix.cov[i] - without.mix.cov[i], n < 9 || i % 4 == 0 ? 0.5 : 0, 0,
                      1e-12);
    }
    free(rows);
}

static void too_little_memory_is_an_error_and_nothing_moves(void **state)
{
    (void)state;
    double *rows = rows_clouds(500, 3, 2, 9);
    const struct kymo_dense x = {.n = 500, .d = 3, .f64 = rows};
    struct kymo_gmm_in in = {.x = &x, .k = 2, .label = some_labels(500, 2), .max_iter = 3};
    for (size_t cap = 0; cap < 4000000; cap = cap * 5 / 4 + 1000) {
        struct kymo_arena small;
        kymo_arena_init(&small, cap);
        struct kymo_gmm_out out;
        memset(&out, 0x5a, sizeof(out));
        const struct kymo_gmm_out before = out;
        const kymo_status s = kymo_gmm(&in, &small, &out, NULL);
        if (s) {
            assert_int_equal(s, KYMO_ELIMIT);
            assert_memory_equal(&out, &before, sizeof(out));
        }
        kymo_arena_release(&small);
    }
    free(rows);
}

static void numbers_whose_squares_overflow_are_refused(void **state)
{
    (void)state;
    double *rows = rows_clouds(100, 3, 2, 9);
    for (size_t i = 0; i < 300; i++)
        rows[i] *= 1e200;
    const struct kymo_dense x = {.n = 100, .d = 3, .f64 = rows};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_gmm_in in = {.x = &x, .k = 2, .type = types[t], .max_iter = 3};
        in.label = some_labels(100, 2);
        struct kymo_gmm_out out;
        struct kymo_err err = {0};
        assert_int_equal(kymo_gmm(&in, &arena, &out, &err), KYMO_EINPUT);
        assert_non_null(strstr(err.text, "overflow"));
    }
    free(rows);
}

/* log N(x) written out, by Gaussian elimination on a copy of the covariance. */
static double log_normal(size_t d, const double *x, const double *mean, const double *cov)
{
    double a[16][17], log_det = 0, q = 0;
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j < d; j++)
            a[i][j] = cov[i * d + j];
        a[i][d] = x[i] - mean[i];
    }
    for (size_t i = 0; i < d; i++) {
        log_det += log(a[i][i]);
        q += a[i][d] * a[i][d] / a[i][i];
        for (size_t l = i + 1; l < d; l++) {
            const double f = a[l][i] / a[i][i];
            for (size_t j = i; j <= d; j++)
                a[l][j] -= f * a[i][j];
        }
    }
    return -(q + log_det + (double)d * log(2 * 3.14159265358979323846)) / 2;
}

static void a_marginal_is_the_block_of_its_columns(void **state)
{
    (void)state;
    enum { N = 400, D = 7, S = 3 };
    static const size_t col[S] = {5, 0, 3};
    double *rows = rows_clouds(N, D, 2, 9), some[N * S], got[N];
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < S; j++)
            some[i * S + j] = rows[i * D + col[j]];
    const struct kymo_dense x = {.n = N, .d = D, .f64 = rows},
                            y = {.n = N, .d = S, .f64 = some};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_gmm_in in = {.x = &x, .k = 2, .type = types[t], .max_iter = 5};
        in.label = some_labels(N, 2);
        const struct kymo_gmm_out o = fit(&in);
        struct kymo_mixture part;
        assert_int_equal(kymo_mixture_restrict(&o.mix, S, col, &arena, &part, NULL), KYMO_OK);
        const struct kymo_posterior p = {.log_density = got};
        assert_int_equal(kymo_mixture_posterior(&part, &y, 1, &p, NULL), KYMO_OK);
        for (size_t i = 0; i < N; i++) {
            double sum = 0;
            for (size_t c = 0; c < 2; c++) {
                double mean[S], cov[S * S];
                for (size_t a = 0; a < S; a++) {
                    mean[a] = o.mix.mean[c * D + col[a]];
                    for (size_t b = 0; b < S; b++)
                        cov[a * S + b] =
                            types[t] == KYMO_COV_FULL ? o.mix.cov[(c * D + col[a]) * D + col[b]]
                            : types[t] == KYMO_COV_TIED ? o.mix.cov[col[a] * D + col[b]]
                            : a != b                    ? 0
                            : types[t] == KYMO_COV_DIAG ? o.mix.cov[c * D + col[a]]
                                                        : o.mix.cov[c];
                }
                sum += o.mix.weight[c] * exp(log_normal(S, some + i * S, mean, cov));
            }
            rows_near(got[i], log(sum), 1e-10, 1e-10);
        }
    }
    free(rows);
}

static void densities_agree_between_vector_levels(void **state)
{
    (void)state;
    enum { N = 100, D = 13, K = 5 };
    double *rows = rows_clouds(N, D, 3, 9);
    const struct kymo_dense x = {.n = N, .d = D, .f64 = rows};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_gmm_in in = {.x = &x, .k = K, .type = types[t], .max_iter = 5};
        in.label = some_labels(N, K);
        const struct kymo_gmm_out o = fit(&in);
        struct kymo_mixture_plan plain, best;
        assert_int_equal(
            kymo_mixture_plan_new(&plain, types[t], K, D, KYMO_SIMD_PLAIN, &arena, NULL),
            KYMO_OK);
        assert_int_equal(
            kymo_mixture_plan_new(&best, types[t], K, D, kymo_simd_level(), &arena, NULL),
            KYMO_OK);
        kymo_mixture_plan_set(&plain, &o.mix);
        kymo_mixture_plan_set(&best, &o.mix);
        double *scratch = KYMO_NEW(&arena, double, plain.scratch_size);
        double *a = KYMO_NEW(&arena, double, K *plain.tile_rows);
        double *b = KYMO_NEW(&arena, double, K *plain.tile_rows);
        kymo_mixture_tile(&plain, &x, 0, N, scratch, a);
        kymo_mixture_tile(&best, &x, 0, N, scratch, b);
        for (size_t c = 0; c < K; c++)
            for (size_t i = 0; i < N; i++)
                rows_near(b[c * plain.tile_rows + i], a[c * plain.tile_rows + i], 1e-13, 1e-11);
    }
    free(rows);
}

static void a_tie_goes_to_the_lowest_component(void **state)
{
    (void)state;
    double rows[100];
    for (size_t i = 0; i < 100; i++)
        rows[i] = (double)(i % 7) - 3;
    const struct kymo_dense x = {.n = 50, .d = 2, .f64 = rows};
    for (size_t t = 0; t < 4; t++) {
        struct kymo_mixture m;
        assert_int_equal(kymo_mixture_new(&m, types[t], 3, 2, &arena, NULL), KYMO_OK);
        for (size_t c = 0; c < 3; c++) {
            m.weight[c] = 1.0 / 3;
            m.mean[c * 2] = m.mean[c * 2 + 1] = 0.3;
        }
        for (size_t i = 0; i < cov_size(&m); i++)
            m.cov[i] = cov_size(&m) % 4 || i % 4 == 0 || i % 4 == 3;
        assert_int_equal(kymo_mixture_factorize(&m, NULL), KYMO_OK);
        uint32_t label[50];
        const struct kymo_posterior p = {.label = label};
        assert_int_equal(kymo_mixture_posterior(&m, &x, 1, &p, NULL), KYMO_OK);
        for (size_t i = 0; i < 50; i++)
            assert_int_equal(label[i], 0);
    }
}

static void a_covariance_that_is_none_is_refused(void **state)
{
    (void)state;
    for (size_t t = 0; t < 4; t++) {
        struct kymo_mixture m;
        struct kymo_err err = {0};
        assert_int_equal(kymo_mixture_new(&m, types[t], 2, 2, &arena, NULL), KYMO_OK);
        for (size_t i = 0; i < cov_size(&m); i++)
            m.cov[i] = -1;
        assert_int_equal(kymo_mixture_factorize(&m, &err), KYMO_EINPUT);
        assert_true(strlen(err.text) > 0);
    }
    struct kymo_mixture m;
    assert_int_equal(kymo_mixture_new(&m, KYMO_COV_FULL, SIZE_MAX / 8, 1000, &arena, NULL),
                     KYMO_ELIMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, arena_open, arena_close)
#define GOLDEN(name) TEST(em_finds_what_three_libraries_find_in_##name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GOLDEN(full_faithful_k2),
        GOLDEN(full_iris_k3),
        GOLDEN(tied_faithful_k2),
        GOLDEN(tied_iris_k3),
        GOLDEN(tied_wine_z_k3),
        GOLDEN(tied_breast_cancer_z_k2),
        GOLDEN(diag_faithful_k2),
        GOLDEN(diag_iris_k3),
        GOLDEN(diag_wine_z_k3),
        GOLDEN(diag_breast_cancer_z_k2),
        GOLDEN(spherical_faithful_k2),
        GOLDEN(spherical_iris_k3),
        GOLDEN(spherical_wine_z_k3),
        GOLDEN(spherical_breast_cancer_z_k2),
        TEST(the_log_likelihood_never_falls),
        TEST(every_number_of_threads_gives_the_same_bytes),
        TEST(a_row_of_weight_two_is_that_row_twice),
        TEST(rows_far_from_zero_cost_no_digits),
        TEST(a_start_far_from_the_rows_finds_them),
        TEST(flat_data_gets_a_floor_that_is_reported),
        TEST(as_many_components_as_rows_is_no_harm),
        TEST(a_component_without_rows_is_given_up),
        TEST(labels_are_responsibilities_of_one),
        TEST(a_fit_ends_when_told_with_what_it_has),
        TEST(reg_is_added_to_every_variance),
        TEST(too_little_memory_is_an_error_and_nothing_moves),
        TEST(numbers_whose_squares_overflow_are_refused),
        TEST(a_marginal_is_the_block_of_its_columns),
        TEST(densities_agree_between_vector_levels),
        TEST(a_tie_goes_to_the_lowest_component),
        TEST(a_covariance_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
