/* SPDX-License-Identifier: Apache-2.0
 * DBSCAN against fixtures on which two libraries agree, and against its definition, row by row.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/density.h"
#include "format/base/json.h"
#include "format/num/assign.h"
#include "tests/unit/cloud_rows.h"

#define GOLDEN "tests/golden/clustering/"

static struct kymo_density_out fit(struct kymo_arena *a, const struct kymo_dense *x, double eps,
                                   double min_weight, unsigned threads)
{
    const struct kymo_density_in in = {
        .x = x, .eps = eps, .min_weight = min_weight, .n_threads = threads};
    struct kymo_density_out out = {0};
    struct kymo_err err = {0};
    if (kymo_density(&in, a, &out, &err))
        fail_msg("%s", err.text);
    return out;
}

static void check_fixture(const char *name, const char *csv)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    char path[160];
    struct kymo_dense x = {0};
    snprintf(path, sizeof(path), GOLDEN "%s", csv);
    x.f64 = rows_read_csv(&a, path, &x.n, &x.d);
    json_t *want = NULL;
    snprintf(path, sizeof(path), GOLDEN "%s", name);
    assert_int_equal(kymo_json_read(&want, path, NULL), KYMO_OK);
    const double eps = json_number_value(json_object_get(want, "eps"));
    const double min_samples = json_number_value(json_object_get(want, "min_samples"));
    const json_t *label = json_object_get(want, "labels"),
                 *core = json_object_get(want, "core");
    const struct kymo_density_out got = fit(&a, &x, eps, min_samples, 2);
    assert_int_equal(json_array_size(label), x.n);
    for (size_t i = 0; i < x.n; i++) {
        const json_int_t l = json_integer_value(json_array_get(label, i));
        assert_int_equal(got.label[i], l < 0 ? KYMO_NOISE : (uint32_t)l);
        assert_int_equal(got.core[i], json_integer_value(json_array_get(core, i)));
    }
    json_decref(want);
    kymo_arena_release(&a);
}

static void two_libraries_and_this_one_agree_on_iris(void **state)
{
    (void)state;
    check_fixture("dbscan_iris.json", "iris.csv");
}

static void two_libraries_and_this_one_agree_on_wine(void **state)
{
    (void)state;
    check_fixture("dbscan_wine_z.json", "wine_z.csv");
}

/* The definition: rows in order, each new core row grows its cluster until it can grow no more. */
static void density_plain(const struct kymo_dense *x, double eps, double min_weight,
                          struct kymo_arena *a, uint32_t *label, uint8_t *core)
{
    const size_t n = x->n, d = x->d;
    uint32_t *queue = KYMO_NEW(a, uint32_t, n), *name = KYMO_NEW(a, uint32_t, n), k = 0;
    for (size_t i = 0; i < n; i++) {
        double weight = 0;
        for (size_t q = 0; q < n; q++)
            if (kymo_sqdist(d, x->f64 + i * d, x->f64 + q * d) <= eps * eps)
                weight += kymo_dense_weight(x, q);
        core[i] = weight >= min_weight;
        label[i] = name[i] = KYMO_NOISE;
    }
    for (size_t i = 0; i < n; i++) {
        if (!core[i] || label[i] != KYMO_NOISE)
            continue;
        size_t queued = 0;
        queue[queued++] = (uint32_t)i;
        label[i] = k;
        for (size_t at = 0; at < queued; at++)
            for (size_t q = 0; q < n && core[queue[at]]; q++)
                if (label[q] == KYMO_NOISE &&
                    kymo_sqdist(d, x->f64 + queue[at] * d, x->f64 + q * d) <= eps * eps) {
                    label[q] = k;
                    queue[queued++] = (uint32_t)q;
                }
        k++;
    }
    k = 0;
    for (size_t i = 0; i < n; i++)
        if (label[i] != KYMO_NOISE) {
            if (name[label[i]] == KYMO_NOISE)
                name[label[i]] = k++;
            label[i] = name[label[i]];
        }
}

/* Case c: rows, a radius (some exactly a distance between two rows) and a weight. */
static struct kymo_dense make_case(struct kymo_arena *a, size_t c, double *eps,
                                   double *min_weight)
{
    static const size_t widths[] = {1, 2, 3, 8, 11, 64};
    static const double weights[] = {1, 2, 5, 12, 40, 1000};
    struct kymo_rng r;
    kymo_rng_init(&r, c);
    const size_t d = widths[kymo_rng_below(&r, 6)];
    const size_t n = c % 10 == 0 ? 1 + c / 10 % 5 : 100 + (size_t)kymo_rng_below(&r, 600);
    const struct kymo_dense x = {
        .n = n, .d = d, .f64 = rows_make(a, (enum rows_kind)(c % ROWS_KINDS), n, d, c)};
    const double *p = x.f64 + kymo_rng_below(&r, n) * d, *q = x.f64 + kymo_rng_below(&r, n) * d;
    *min_weight = weights[kymo_rng_below(&r, 6)];
    *eps = c % 7 == 0 ? 0 : sqrt(kymo_sqdist(d, p, q)) * (c % 2 ? 1 : 0.3);
    if (c % ROWS_KINDS == ROWS_GRID && c % 3 == 0)
        *eps = (double)(1 + c % 4);
    return x;
}

static void labels_and_core_rows_are_those_of_the_definition(void **state)
{
    (void)state;
    size_t clusters = 0, noise = 0;
    for (size_t c = 0; c < 240; c++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        double eps, min_weight;
        const struct kymo_dense x = make_case(&a, c, &eps, &min_weight);
        uint32_t *label = KYMO_NEW(&a, uint32_t, x.n);
        uint8_t *core = KYMO_NEW(&a, uint8_t, x.n);
        density_plain(&x, eps, min_weight, &a, label, core);
        const struct kymo_density_out got = fit(&a, &x, eps, min_weight, 1 + (unsigned)c % 3);
        assert_memory_equal(got.core, core, x.n);
        for (size_t i = 0; i < x.n; i++)
            if (got.label[i] != label[i])
                fail_msg("case %zu, row %zu: %u, not %u", c, i, got.label[i], label[i]);
        clusters += got.k;
        noise += got.n_noise;
        kymo_arena_release(&a);
    }
    assert_true(clusters > 500 && noise > 5000);
}

static void a_weight_is_as_many_rows(void **state)
{
    (void)state;
    for (size_t c = 0; c < 40; c++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        double eps, min_weight;
        struct kymo_dense x = make_case(&a, c, &eps, &min_weight);
        double *weight = KYMO_NEW(&a, double, x.n), *rows = KYMO_NEW(&a, double, 3 * x.n * x.d);
        struct kymo_dense all = {.d = x.d, .f64 = rows};
        for (size_t i = 0; i < x.n; i++) {
            weight[i] = (double)(1 + (i * 7 + c) % 3);
            for (size_t copy = (size_t)weight[i]; copy > 0; copy--)
                memcpy(rows + all.n++ * x.d, x.f64 + i * x.d, x.d * sizeof(double));
        }
        x.weight = weight;
        const struct kymo_density_out got = fit(&a, &x, eps, min_weight, 2);
        const struct kymo_density_out want = fit(&a, &all, eps, min_weight, 2);
        size_t at = 0;
        for (size_t i = 0; i < x.n; at += (size_t)weight[i++]) {
            assert_int_equal(got.label[i], want.label[at]);
            assert_int_equal(got.core[i], want.core[at]);
        }
        kymo_arena_release(&a);
    }
}

static void every_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const size_t n = 6000;
    const struct kymo_dense x = {.n = n, .d = 2, .f64 = rows_make(&a, ROWS_CLOUDS, n, 2, 5)};
    const struct kymo_density_out one = fit(&a, &x, 0.1, 8, 1);
    assert_true(one.k > 3 && one.n_noise > 100);
    for (unsigned threads = 2; threads <= 5; threads++) {
        const struct kymo_density_out more = fit(&a, &x, 0.1, 8, threads);
        assert_memory_equal(one.label, more.label, n * sizeof(uint32_t));
        assert_memory_equal(one.core, more.core, n);
        assert_int_equal(one.k, more.k);
        assert_int_equal(one.n_noise, more.n_noise);
    }
    kymo_arena_release(&a);
}

static void a_border_row_goes_to_the_cluster_that_comes_first(void **state)
{
    (void)state;
    /* The row at 0 touches the core rows at -1 and 1, and has too few neighbours itself. */
    const double right_first[] = {1, 1.2, 1.4, 0, -1, -1.2, -1.4};
    const double border_first[] = {0, -1.4, -1.2, -1, 1, 1.2, 1.4};
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct kymo_dense x = {.n = 7, .d = 1, .f64 = right_first};
    struct kymo_density_out got = fit(&a, &x, 1, 4, 1);
    assert_int_equal(got.core[3], 0);
    assert_int_equal(got.k, 2);
    assert_int_equal(got.label[3], got.label[0]);
    assert_int_equal(got.label[4], 1);
    x.f64 = border_first;
    got = fit(&a, &x, 1, 4, 1);
    assert_int_equal(got.label[0], 0);
    assert_int_equal(got.label[1], 0);
    assert_int_equal(got.label[4], 1);
    kymo_arena_release(&a);
}

static void single_precision_rows_give_what_the_same_rows_give_in_double(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const size_t n = 1500, d = 4;
    float *narrow = KYMO_NEW(&a, float, n *d);
    double *wide = rows_make(&a, ROWS_CLOUDS, n, d, 8);
    for (size_t i = 0; i < n * d; i++)
        wide[i] = (double)(narrow[i] = (float)wide[i]);
    const struct kymo_dense f32 = {.n = n, .d = d, .f32 = narrow};
    const struct kymo_dense f64 = {.n = n, .d = d, .f64 = wide};
    const struct kymo_density_out one = fit(&a, &f64, 0.7, 6, 1),
                                  two = fit(&a, &f32, 0.7, 6, 2);
    assert_true(one.k > 1);
    assert_memory_equal(one.label, two.label, n * sizeof(uint32_t));
    kymo_arena_release(&a);
}

static void a_huge_radius_makes_one_cluster_of_all(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 333, .d = 3, .f64 = rows_make(&a, ROWS_CLOUDS, 333, 3, 8)};
    const struct kymo_density_out got = fit(&a, &x, 1e300, 333, 2);
    assert_int_equal(got.k, 1);
    assert_int_equal(got.n_core, 333);
    assert_int_equal(fit(&a, &x, 1e300, 333.5, 2).n_noise, 333);
    kymo_arena_release(&a);
}

static volatile sig_atomic_t stop_now;

static void raise_at(void *ctx, enum kymo_density_stage stage)
{
    (void)ctx;
    if (stage == KYMO_DENSITY_CORE)
        stop_now = 1;
}

static void a_stop_ends_the_work_and_leaves_whole_labels(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 2000, .d = 3, .f64 = rows_make(&a, ROWS_CLOUDS, 2000, 3, 8)};
    const struct kymo_density_in in = {.x = &x,
                                       .eps = 0.5,
                                       .min_weight = 5,
                                       .n_threads = 2,
                                       .stop = &stop_now,
                                       .tick = raise_at};
    struct kymo_density_out out;
    assert_int_equal(kymo_density(&in, &a, &out, NULL), KYMO_OK);
    assert_true(out.stopped);
    assert_int_equal(out.n_noise, 2000);
    kymo_arena_release(&a);
}

static void a_fit_within_every_budget_is_whole_or_refused(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 900, .d = 4, .f64 = rows_make(&a, ROWS_CLOUDS, 900, 4, 1)};
    const struct kymo_density_in in = {.x = &x, .eps = 1, .min_weight = 5, .n_threads = 1};
    int refused = 0, done = 0;
    for (size_t cap = 0; cap < 300000; cap += 5000) {
        struct kymo_arena small;
        kymo_arena_init(&small, cap);
        struct kymo_density_out out = {.k = 77};
        double *curve = NULL;
        const kymo_status s = kymo_density(&in, &small, &out, NULL);
        assert_true(s == KYMO_OK || (s == KYMO_ELIMIT && out.k == 77));
        const kymo_status u = kymo_density_curve(&x, 5, 1, &small, &curve, NULL);
        assert_true(u == KYMO_OK || (u == KYMO_ELIMIT && !curve));
        refused += s != KYMO_OK;
        done += s == KYMO_OK;
        kymo_arena_release(&small);
    }
    assert_true(refused > 3 && done > 3);
    kymo_arena_release(&a);
}

static void the_bend_of_the_curve_separates_clouds_from_strays(void **state)
{
    (void)state;
    const double bent[] = {1, 1, 1, 1.1, 1.2, 6, 11};
    assert_true(kymo_density_suggest_eps(7, bent) == 1.2);
    assert_true(kymo_density_suggest_eps(1, bent + 6) == 11);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 2000, .d = 4, .f64 = rows_make(&a, ROWS_CLOUDS, 2000, 4, 2)};
    double *curve;
    assert_int_equal(kymo_density_curve(&x, 10, 2, &a, &curve, NULL), KYMO_OK);
    for (size_t i = 1; i < x.n; i++)
        assert_true(curve[i - 1] <= curve[i]);
    const struct kymo_density_out got =
        fit(&a, &x, kymo_density_suggest_eps(x.n, curve), 10, 2);
    assert_int_equal(got.k, 4);
    assert_in_range(got.n_noise, 200, 500);
    kymo_arena_release(&a);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_libraries_and_this_one_agree_on_iris),
        cmocka_unit_test(two_libraries_and_this_one_agree_on_wine),
        cmocka_unit_test(labels_and_core_rows_are_those_of_the_definition),
        cmocka_unit_test(a_weight_is_as_many_rows),
        cmocka_unit_test(every_number_of_threads_gives_the_same_bytes),
        cmocka_unit_test(a_border_row_goes_to_the_cluster_that_comes_first),
        cmocka_unit_test(single_precision_rows_give_what_the_same_rows_give_in_double),
        cmocka_unit_test(a_huge_radius_makes_one_cluster_of_all),
        cmocka_unit_test(a_stop_ends_the_work_and_leaves_whole_labels),
        cmocka_unit_test(a_fit_within_every_budget_is_whole_or_refused),
        cmocka_unit_test(the_bend_of_the_curve_separates_clouds_from_strays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return run_at_every_level(run);
}
