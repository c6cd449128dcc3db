/* SPDX-License-Identifier: Apache-2.0
 * k-means in both precisions, and after a single update, against what independent libraries agree on.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/kmeans.h"
#include "format/base/json.h"

#define GOLDEN "tests/golden/clustering/"

static const char *const fixtures[] = {"iris_k3",
                                       "iris_k8",
                                       "wine_z_k3",
                                       "wine_z_k6",
                                       "faithful_k2",
                                       "breast_cancer_z_k2",
                                       "breast_cancer_z_k10",
                                       "digits600_k10"};

struct golden {
    json_t *json;
    size_t n, d, k;
    double *x, *init;
    float *x32;
};

static const json_t *get(const struct golden *g, const char *key)
{
    const json_t *v = json_object_get(g->json, key);
    assert_non_null(v);
    return v;
}

static void read_matrix(const json_t *rows, double *out)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        for (size_t j = 0, d = json_array_size(json_array_get(rows, i)); j < d; j++)
            out[i * d + j] = json_number_value(json_array_get(json_array_get(rows, i), j));
}

static void read_csv(struct golden *g)
{
    char path[160], line[4096];
    snprintf(path, sizeof(path), GOLDEN "%s", json_string_value(get(g, "data")));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    size_t cells = 0;
    while (cells < g->n * g->d) {
        assert_non_null(fgets(line, sizeof(line), f));
        for (char *at = line; *at && *at != '\n'; cells++) {
            g->x[cells] = strtod(at, &at);
            at += *at == ',';
        }
    }
    fclose(f);
    for (size_t i = 0; i < cells; i++)
        g->x32[i] = (float)g->x[i];
}

static struct golden load(const char *name)
{
    struct golden g = {0};
    char path[160];
    snprintf(path, sizeof(path), GOLDEN "kmeans_%s.json", name);
    assert_int_equal(kymo_json_read(&g.json, path, NULL), KYMO_OK);
    g.n = json_array_size(get(&g, "labels"));
    g.k = json_array_size(get(&g, "init_centers"));
    g.d = json_array_size(json_array_get(get(&g, "init_centers"), 0));
    g.x = calloc(g.n * g.d, sizeof(*g.x));
    g.x32 = calloc(g.n * g.d, sizeof(*g.x32));
    g.init = calloc(g.k * g.d, sizeof(*g.init));
    assert_true(g.x && g.x32 && g.init);
    read_csv(&g);
    read_matrix(get(&g, "init_centers"), g.init);
    return g;
}

static void drop(struct golden *g)
{
    json_decref(g->json);
    free(g->x);
    free(g->x32);
    free(g->init);
}

static void check(const struct golden *g, int narrow, size_t max_iter, const json_t *want,
                  double centre_tol, double inertia_tol)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_kmeans_in in = {
        .X = {.n = g->n, .d = g->d, .f32 = narrow ? g->x32 : NULL, .f64 = narrow ? NULL : g->x},
        .k = g->k,
        .init = g->init,
        .n_init = 1,
        .max_iter = max_iter,
        .n_threads = 2};
    struct kymo_kmeans_out out;
    assert_int_equal(kymo_kmeans(&in, &a, &out, NULL), KYMO_OK);
    const json_t *label = json_object_get(want, "labels");
    for (size_t i = 0; i < json_array_size(label); i++)
        assert_int_equal(out.label[i], json_integer_value(json_array_get(label, i)));
    double *C = KYMO_NEW(&a, double, g->k * g->d);
    read_matrix(json_object_get(want, "centers"), C);
    for (size_t i = 0; i < g->k * g->d; i++)
        assert_true(fabs(out.C[i] - C[i]) <= centre_tol);
    const json_t *after = json_object_get(want, "inertia_after");
    const double inertia = json_number_value(after ? after : json_object_get(want, "inertia"));
    assert_true(inertia > 0);
    assert_true(fabs(out.inertia / inertia - 1) <= inertia_tol);
    kymo_arena_release(&a);
}

static void the_fixed_point_is_that_of_four_libraries_in_f64(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
        struct golden g = load(fixtures[i]);
        check(&g, 0, 1000, g.json, 1e-9, 1e-10);
        drop(&g);
    }
}

static void the_fixed_point_is_that_of_four_libraries_in_f32(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
        struct golden g = load(fixtures[i]);
        check(&g, 1, 1000, g.json, 1e-5, 1e-5);
        drop(&g);
    }
}

static void one_update_is_that_of_four_libraries(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
        struct golden g = load(fixtures[i]);
        check(&g, 0, 1, get(&g, "one_update"), 1e-9, 1e-10);
        drop(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixed_point_is_that_of_four_libraries_in_f64),
        cmocka_unit_test(the_fixed_point_is_that_of_four_libraries_in_f32),
        cmocka_unit_test(one_update_is_that_of_four_libraries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
