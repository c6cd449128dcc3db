/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/reduce.h"
#include "tests/unit/testrows.h"

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

static struct kymo_pca fit(const struct kymo_pca_in *in)
{
    struct kymo_pca p;
    struct kymo_err err = {0};
    if (kymo_pca(in, &arena, &p, &err))
        fail_msg("%s", err.text);
    return p;
}

static void same_bytes(const struct kymo_pca *a, const struct kymo_pca *b)
{
    assert_int_equal(a->m, b->m);
    assert_memory_equal(a->mean, b->mean, a->d * sizeof(double));
    assert_memory_equal(a->variance, b->variance, a->d * sizeof(double));
    assert_memory_equal(a->component, b->component, a->m * a->d * sizeof(double));
}

static void check_fixture(const char *name)
{
    static double want[10000], got[10000];
    json_t *f = rows_json(name);
    struct kymo_dense x = {0};
    double *rows = rows_csv(json_string_value(json_object_get(f, "data")), &x.n, &x.d);
    x.f64 = rows;
    const double rel = rows_number(json_object_get(f, "tol"), "variance_rel");
    const double abs = rows_number(json_object_get(f, "tol"), "components_abs");
    struct kymo_pca_in in = {.x = &x, .n_threads = 1};
    in.count = (size_t)rows_number(f, "n_components");
    const struct kymo_pca p = fit(&in);
    assert_int_equal(p.m, in.count);
    size_t n = rows_numbers(json_object_get(f, "all_variances"), want);
    assert_int_equal(n, x.d);
    for (size_t i = 0; i < n; i++) /* columns without variance leave 0, or 1e-30 of rounding */
        rows_near(p.variance[i], want[i], rel, 1e-13 * p.total);
    n = rows_numbers(json_object_get(f, "explained_variance_ratio"), want);
    double kept = 0;
    for (size_t i = 0; i < n; i++) {
        rows_near(p.variance[i] / p.total, want[i], rel, 0);
        kept += want[i];
    }
    rows_near(p.kept, kept, rel, 0);
    n = rows_numbers(json_object_get(f, "components"), want);
    assert_int_equal(n, p.m * p.d);
    for (size_t i = 0; i < n; i++)
        rows_near(p.component[i], want[i], 0, abs);
    n = rows_numbers(json_object_get(f, "mean"), want);
    for (size_t i = 0; i < n; i++)
        rows_near(p.mean[i], want[i], 1e-12, 1e-12);
    assert_true(x.n * p.m <= 10000);
    assert_int_equal(kymo_pca_project(&p, &x, 2, got, NULL), KYMO_OK);
    n = rows_numbers(json_object_get(f, "scores_first_rows"), want);
    for (size_t i = 0; i < n; i++)
        rows_near(got[i], want[i], 0, 1e-6);
    for (in.n_threads = 2; in.n_threads <= 3; in.n_threads++) {
        const struct kymo_pca more = fit(&in);
        same_bytes(&p, &more);
    }
    free(rows);
    json_decref(f);
}

#define FIXTURE(name)                                                                          \
    static void components_are_what_two_libraries_find_in_##name(void **state)                 \
    {                                                                                          \
        (void)state;                                                                           \
        check_fixture("pca_" #name);                                                           \
    }
FIXTURE(iris)
FIXTURE(wine_z)
FIXTURE(breast_cancer_z)
FIXTURE(digits600)

static void a_share_keeps_as_few_components_as_reach_it(void **state)
{
    (void)state;
    double *rows = rows_clouds(500, 12, 3, 2);
    const struct kymo_dense x = {.n = 500, .d = 12, .f64 = rows};
    for (double share = 0.05; share <= 1; share += 0.05) {
        const struct kymo_pca_in in = {.x = &x, .share = share};
        const struct kymo_pca p = fit(&in);
        double before = 0;
        for (size_t i = 0; i + 1 < p.m; i++)
            before += p.variance[i];
        assert_true(before < share * p.total);
        assert_true(p.kept >= share * (1 - 1e-15));
    }
    free(rows);
}

static void components_are_of_length_one_at_right_angles_and_signed(void **state)
{
    (void)state;
    double *rows = rows_clouds(3000, 21, 3, 2);
    const struct kymo_dense x = {.n = 3000, .d = 21, .f64 = rows};
    const struct kymo_pca_in in = {.x = &x, .count = 21};
    const struct kymo_pca p = fit(&in);
    for (size_t a = 0; a < 21; a++) {
        double top = 0;
        for (size_t j = 0; j < 21; j++)
            if (fabs(p.component[a * 21 + j]) > fabs(top))
                top = p.component[a * 21 + j];
        assert_true(top > 0);
        for (size_t b = 0; b <= a; b++) {
            double dot = 0;
            for (size_t j = 0; j < 21; j++)
                dot += p.component[a * 21 + j] * p.component[b * 21 + j];
            rows_near(dot, a == b, 0, 1e-13);
        }
        assert_true(a == 0 || p.variance[a] <= p.variance[a - 1]);
    }
    free(rows);
}

static void weights_repeat_rows_and_places_far_out_cost_nothing(void **state)
{
    (void)state;
    enum { N = 700, D = 9 };
    double *rows = rows_clouds(N, D, 3, 2), *twice = malloc(2 * N * D * sizeof(double));
    assert_non_null(twice);
    double weight[N];
    for (size_t i = 0; i < N * D; i++) {
        rows[i] = nearbyint(rows[i] * 0x1p30) * 0x1p-30;
        twice[i] = twice[N * D + i] = rows[i] + 1e6;
    }
    for (size_t i = 0; i < N; i++)
        weight[i] = 2;
    const struct kymo_dense x = {.n = N, .d = D, .f64 = rows, .weight = weight};
    const struct kymo_dense y = {.n = 2 * N, .d = D, .f64 = twice};
    struct kymo_pca_in in = {.x = &x, .count = 4};
    const struct kymo_pca a = fit(&in);
    in.x = &y;
    const struct kymo_pca b = fit(&in);
    for (size_t i = 0; i < D; i++)
        rows_near(b.variance[i], a.variance[i], 1e-10, 0);
    for (size_t i = 0; i < 4 * D; i++)
        rows_near(b.component[i], a.component[i], 0, 1e-8);
    free(rows);
    free(twice);
}

static void rows_of_float_give_nearly_the_same(void **state)
{
    (void)state;
    double *rows = rows_clouds(500, 12, 3, 2);
    float *f = malloc(6000 * sizeof(float));
    assert_non_null(f);
    for (size_t i = 0; i < 6000; i++)
        f[i] = (float)rows[i];
    struct kymo_dense x = {.n = 500, .d = 12, .f64 = rows};
    const struct kymo_pca_in in = {.x = &x, .count = 12};
    const struct kymo_pca a = fit(&in);
    x.f64 = NULL;
    x.f32 = f;
    const struct kymo_pca b = fit(&in);
    for (size_t i = 0; i < 12; i++)
        rows_near(b.variance[i], a.variance[i], 1e-5, 0);
    free(rows);
    free(f);
}

static void rows_without_variance_have_components_all_the_same(void **state)
{
    (void)state;
    double rows[30];
    for (size_t i = 0; i < 30; i++)
        rows[i] = 0.1 * (double)(i % 3);
    const struct kymo_dense x = {.n = 10, .d = 3, .f64 = rows};
    const struct kymo_pca_in in = {.x = &x, .share = 0.95};
    const struct kymo_pca p = fit(&in);
    assert_int_equal(p.m, 1);
    assert_true(p.total == 0 && p.kept == 1);
    double place[10];
    assert_int_equal(kymo_pca_project(&p, &x, 1, place, NULL), KYMO_OK);
    for (size_t i = 0; i < 10; i++)
        assert_true(place[i] == 0);
}

static void what_has_no_variance_to_speak_of_is_refused(void **state)
{
    (void)state;
    double rows[] = {1e200, 2, -1e200, 3};
    struct kymo_dense x = {.n = 1, .d = 2, .f64 = rows};
    const struct kymo_pca_in in = {.x = &x, .count = 1};
    struct kymo_pca p;
    memset(&p, 0x5a, sizeof(p));
    const struct kymo_pca before = p;
    assert_int_equal(kymo_pca(&in, &arena, &p, NULL), KYMO_EINPUT);
    x.n = 2;
    assert_int_equal(kymo_pca(&in, &arena, &p, NULL), KYMO_EINPUT);
    for (size_t cap = 0; cap < 20000; cap += 500) {
        struct kymo_arena small;
        kymo_arena_init(&small, cap);
        assert_int_not_equal(kymo_pca(&in, &small, &p, NULL), KYMO_OK);
        kymo_arena_release(&small);
    }
    assert_memory_equal(&p, &before, sizeof(p));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, arena_open, arena_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(components_are_what_two_libraries_find_in_iris),
        TEST(components_are_what_two_libraries_find_in_wine_z),
        TEST(components_are_what_two_libraries_find_in_breast_cancer_z),
        TEST(components_are_what_two_libraries_find_in_digits600),
        TEST(a_share_keeps_as_few_components_as_reach_it),
        TEST(components_are_of_length_one_at_right_angles_and_signed),
        TEST(weights_repeat_rows_and_places_far_out_cost_nothing),
        TEST(rows_of_float_give_nearly_the_same),
        TEST(rows_without_variance_have_components_all_the_same),
        TEST(what_has_no_variance_to_speak_of_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
