/* SPDX-License-Identifier: Apache-2.0
 * The built kymo-kmeans against fixtures on which independent libraries agree.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/file.h"
#include "format/base/json.h"

#define GOLDEN "tests/golden/clustering/"

static char folder[64];

static const char *in_folder(char *buf, size_t n, const char *name)
{
    snprintf(buf, n, "%s/%s", folder, name);
    return buf;
}

static json_t *read_json(const char *path)
{
    json_t *j = NULL;
    struct kymo_err err = {0};
    if (kymo_json_read(&j, path, &err))
        fail_msg("%s", err.text);
    return j;
}

static void write_init(const json_t *centres, const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    const size_t d = json_array_size(json_array_get(centres, 0));
    for (size_t j = 0; j < d; j++)
        fprintf(f, "c%zu%c", j, j + 1 < d ? ',' : '\n');
    for (size_t c = 0; c < json_array_size(centres); c++)
        for (size_t j = 0; j < d; j++)
            fprintf(f, "%.17g%c",
                    json_number_value(json_array_get(json_array_get(centres, c), j)),
                    j + 1 < d ? ',' : '\n');
    assert_int_equal(fclose(f), 0);
}

/* Run kymo-kmeans from the fixture's own first centres; the model, read back. */
static json_t *fit(const json_t *fixture, unsigned threads, char *text, size_t room)
{
    const char *bin = getenv("KYMO_BIN");
    char init[96], model[96], labels[96], command[1024];
    write_init(json_object_get(fixture, "init_centers"),
               in_folder(init, sizeof(init), "init.csv"));
    in_folder(model, sizeof(model), "model.json");
    in_folder(labels, sizeof(labels), "labels.csv");
    snprintf(command, sizeof(command),
             "%s/kymo-kmeans -q --force --transform none --holdout 0 -j %u --init %s -o %s -w "
             "%s " GOLDEN "%s",
             bin ? bin : "build/release/bin", threads, init, labels, model,
             json_string_value(json_object_get(fixture, "data")));
    assert_int_equal(system(command), 0);
    struct kymo_buf b = {0};
    assert_int_equal(kymo_file_read(&b, model, room - 1, NULL), KYMO_OK);
    memcpy(text, b.p, b.n);
    text[b.n] = 0;
    kymo_buf_release(&b);
    return read_json(model);
}

static void check_labels(const json_t *want)
{
    char path[96];
    FILE *f = fopen(in_folder(path, sizeof(path), "labels.csv"), "r");
    assert_non_null(f);
    char head[32];
    assert_non_null(fgets(head, sizeof(head), f));
    for (size_t i = 0; i < json_array_size(want); i++) {
        int got;
        assert_int_equal(fscanf(f, "%d", &got), 1);
        if (got != json_integer_value(json_array_get(want, i)))
            fail_msg("row %zu has label %d", i, got);
    }
    fclose(f);
}

static void check_centres(const json_t *model, const json_t *want, double within)
{
    const json_t *states = json_object_get(model, "states");
    assert_int_equal(json_array_size(states), json_array_size(want));
    for (size_t c = 0; c < json_array_size(want); c++) {
        const json_t *centre = json_object_get(json_array_get(states, c), "centre");
        const json_t *w = json_array_get(want, c);
        assert_int_equal(json_array_size(centre), json_array_size(w));
        for (size_t j = 0; j < json_array_size(w); j++) {
            const double a = json_number_value(json_array_get(centre, j));
            const double b = json_number_value(json_array_get(w, j));
            if (!(fabs(a - b) <= within))
                fail_msg("centre %zu, column %zu: %.17g, not %.17g", c, j, a, b);
        }
    }
}

static double number_at(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static void check_silhouette(const char *name, const json_t *model)
{
    char path[160];
    snprintf(path, sizeof(path), GOLDEN "metrics_%s.json", name);
    if (access(path, R_OK) != 0)
        return;
    json_t *metrics = read_json(path);
    const double want = number_at(metrics, "silhouette");
    const double got = number_at(json_object_get(model, "fit"), "silhouette");
    assert_true(fabs(got / want - 1) <= 1e-9);
    json_decref(metrics);
}

static void check_fixture(const char *name)
{
    static char one[1 << 20], more[1 << 20];
    char path[160];
    snprintf(path, sizeof(path), GOLDEN "kmeans_%s.json", name);
    json_t *fixture = read_json(path);
    json_t *model = fit(fixture, 1, one, sizeof(one));
    check_labels(json_object_get(fixture, "labels"));
    check_centres(model, json_object_get(fixture, "centers"), 1e-9);
    const json_t *f = json_object_get(model, "fit");
    assert_true(fabs(number_at(f, "inertia") / number_at(fixture, "inertia") - 1) <= 1e-10);
    assert_int_equal(json_integer_value(json_object_get(f, "iterations")),
                     json_integer_value(json_object_get(json_object_get(fixture, "n_iter"),
                                                        "count_of_assignment_passes")));
    check_silhouette(name, model);
    json_decref(model);
    for (unsigned threads = 2; threads <= 3; threads++) {
        json_decref(fit(fixture, threads, more, sizeof(more)));
        assert_string_equal(one, more);
    }
    json_decref(fixture);
}

#define FIXTURE(name)                                                                          \
    static void kmeans_finds_what_four_libraries_find_in_##name(void **state)                  \
    {                                                                                          \
        (void)state;                                                                           \
        check_fixture(#name);                                                                  \
    }
FIXTURE(iris_k3)
FIXTURE(iris_k8)
FIXTURE(wine_z_k3)
FIXTURE(wine_z_k6)
FIXTURE(faithful_k2)
FIXTURE(breast_cancer_z_k2)
FIXTURE(breast_cancer_z_k10)
FIXTURE(digits600_k10)

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/kymo-clustering-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"init.csv", "model.json", "labels.csv"};
    char path[96];
    for (size_t i = 0; i < 3; i++)
        unlink(in_folder(path, sizeof(path), names[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kmeans_finds_what_four_libraries_find_in_iris_k3),
        cmocka_unit_test(kmeans_finds_what_four_libraries_find_in_iris_k8),
        cmocka_unit_test(kmeans_finds_what_four_libraries_find_in_wine_z_k3),
        cmocka_unit_test(kmeans_finds_what_four_libraries_find_in_wine_z_k6),
        cmocka_unit_test(kmeans_finds_what_four_libraries_find_in_faithful_k2),
        cmocka_unit_test(kmeans_finds_what_four_libraries_find_in_breast_cancer_z_k2),
        cmocka_unit_test(kmeans_finds_what_four_libraries_find_in_breast_cancer_z_k10),
        cmocka_unit_test(kmeans_finds_what_four_libraries_find_in_digits600_k10),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
