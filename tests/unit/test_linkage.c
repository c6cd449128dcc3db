/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analyze/core/dendrogram.h"
#include "analyze/core/linkage.h"
#include "format/base/rng.h"
#include "tests/unit/golden_rows.h"

#define METHODS 5
static const enum kymo_linkage_method methods[METHODS] = {
    KYMO_LINKAGE_WARD, KYMO_LINKAGE_AVERAGE, KYMO_LINKAGE_COMPLETE, KYMO_LINKAGE_SINGLE,
    KYMO_LINKAGE_CENTROID};

static struct kymo_arena arena;

static int open_arena(void **state)
{
    (void)state;
    kymo_arena_init(&arena, (size_t)1 << 30);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    kymo_arena_release(&arena);
    return 0;
}

static struct kymo_merge *link_rows(enum kymo_linkage_method method, const struct kymo_dense *x,
                                    unsigned threads)
{
    const struct kymo_linkage_in in = {.method = method, .rows = x, .n_threads = threads};
    struct kymo_linkage_out out = {0};
    struct kymo_err err = {0};
    if (kymo_linkage(&in, &arena, &out, &err))
        fail_msg("%s", err.text);
    assert_int_equal(out.n_merges, x->n - 1);
    assert_false(out.stopped);
    return out.Z;
}

static double distance(const struct kymo_dense *x, size_t a, size_t b)
{
    double sum = 0;
    for (size_t j = 0; j < x->d; j++) {
        const double v = kymo_dense_at(x, a, j) - kymo_dense_at(x, b, j);
        sum += v * v;
    }
    return sqrt(sum);
}

static struct kymo_merge *link_matrix(enum kymo_linkage_method method,
                                      const struct kymo_dense *x, enum kymo_distances_form form)
{
    double *at = KYMO_NEW(&arena, double, x->n * x->n);
    assert_non_null(at);
    size_t next = 0;
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = i + 1; j < x->n; j++)
            at[form == KYMO_DISTANCES_SQUARE ? i * x->n + j : next++] = distance(x, i, j);
    const struct kymo_distances m = {x->n, form, at, x->weight};
    const struct kymo_linkage_in in = {.method = method, .distances = &m, .n_threads = 1};
    struct kymo_linkage_out out = {0};
    assert_int_equal(kymo_linkage(&in, &arena, &out, NULL), KYMO_OK);
    assert_int_equal(out.n_merges, x->n - 1);
    return out.Z;
}

/* -- golden fixtures -------------------------------------------------------------------------- */

static void same_number(double got, double want, double rel, const char *what, size_t at)
{
    if (!(fabs(got - want) <= rel * fabs(want) + 1e-300))
        fail_msg("%s %zu: %.17g, not %.17g", what, at, got, want);
}

static void check_cuts(const struct kymo_merge *Z, size_t n, json_t *cuts)
{
    uint32_t *label = KYMO_NEW(&arena, uint32_t, n);
    const char *key;
    json_t *list;
    json_object_foreach (cuts, key, list) {
        size_t k;
        uint32_t *want = golden_labels(list, &k);
        assert_int_equal(kymo_dendrogram_cut(n, Z, strtoul(key, NULL, 10), label, NULL),
                         KYMO_OK);
        uint32_t other[64];
        memset(other, 0xff, sizeof(other));
        for (size_t i = 0; i < n; i++) {
            assert_true(want[i] < 64);
            if (other[want[i]] == UINT32_MAX)
                other[want[i]] = label[i];
            assert_int_equal(other[want[i]], label[i]);
        }
        free(want);
    }
}

static void check_tree(const json_t *fixture, const struct kymo_merge *Z, size_t n)
{
    const json_t *want = json_object_get(fixture, "Z");
    const int ordered = golden_number(fixture, "tied_pair_distances") == 0;
    assert_int_equal(json_array_size(want), n - 1);
    for (size_t i = 0; i + 1 < n; i++) {
        const json_t *row = json_array_get(want, i);
        const double h = json_number_value(json_array_get(row, 2));
        if (h > 0)
            same_number(Z[i].height, h, 1e-9, "height", i);
        else
            assert_true(Z[i].height == 0);
        if (!ordered)
            continue;
        assert_true(Z[i].a == json_number_value(json_array_get(row, 0)));
        assert_true(Z[i].b == json_number_value(json_array_get(row, 1)));
        assert_true(Z[i].size == json_number_value(json_array_get(row, 3)));
    }
    double sum, square;
    assert_int_equal(kymo_dendrogram_cophenetic(n, Z, &sum, &square, NULL), KYMO_OK);
    same_number(sum, golden_number(fixture, "cophenetic_sum"), 1e-9, "sum", 0);
    same_number(square, golden_number(fixture, "cophenetic_sumsq"), 1e-9, "sum of squares", 0);
    check_cuts(Z, n, json_object_get(fixture, "cuts"));
}

static void check_fixture(const char *method_name, const char *data)
{
    char name[64];
    snprintf(name, sizeof(name), "hier_%s_%s", method_name, data);
    json_t *fixture = golden_json(name);
    double *values;
    const struct kymo_dense x = golden_rows(fixture, &values);
    enum kymo_linkage_method method = KYMO_LINKAGE_WARD;
    while (strcmp(kymo_linkage_name(method), method_name) != 0)
        method++;
    check_tree(fixture, link_rows(method, &x, 2), x.n);
    check_tree(fixture, link_matrix(method, &x, KYMO_DISTANCES_CONDENSED), x.n);
    check_tree(fixture, link_matrix(method, &x, KYMO_DISTANCES_SQUARE), x.n);
    free(values);
    json_decref(fixture);
}

static void trees_are_those_on_which_three_libraries_agree(void **state)
{
    (void)state;
    static const char *const names[] = {"ward", "average", "complete", "single"};
    static const char *const sets[] = {"iris", "wine_z", "faithful_jitter", "breast_cancer_z",
                                       "digits600"};
    for (size_t m = 0; m < 4; m++)
        for (size_t s = 0; s < 5; s++)
            check_fixture(names[m], sets[s]);
    check_fixture("average", "faithful");
    check_fixture("single", "faithful");
}

/* -- against the definition ------------------------------------------------------------------- */

#define SMALL 48

struct parts {
    size_t n;
    double w;
    uint32_t row[SMALL];
};

static double by_definition(enum kymo_linkage_method method, const struct kymo_dense *x,
                            const struct parts *a, const struct parts *b)
{
    double sum = 0, most = 0, least = INFINITY;
    for (size_t i = 0; i < a->n; i++)
        for (size_t j = 0; j < b->n; j++) {
            const double v = distance(x, a->row[i], b->row[j]);
            sum += v * kymo_dense_weight(x, a->row[i]) * kymo_dense_weight(x, b->row[j]);
            most = fmax(most, v);
            least = fmin(least, v);
        }
    if (method == KYMO_LINKAGE_AVERAGE)
        return sum / (a->w * b->w);
    if (method == KYMO_LINKAGE_COMPLETE)
        return most;
    if (method == KYMO_LINKAGE_SINGLE)
        return least;
    double apart = 0;
    for (size_t c = 0; c < x->d; c++) {
        double ma = 0, mb = 0;
        for (size_t i = 0; i < a->n; i++)
            ma += kymo_dense_weight(x, a->row[i]) * kymo_dense_at(x, a->row[i], c) / a->w;
        for (size_t j = 0; j < b->n; j++)
            mb += kymo_dense_weight(x, b->row[j]) * kymo_dense_at(x, b->row[j], c) / b->w;
        apart += (ma - mb) * (ma - mb);
    }
    return method == KYMO_LINKAGE_CENTROID ? sqrt(apart)
                                           : sqrt(2 * a->w * b->w / (a->w + b->w) * apart);
}

/* Each merge is of two clusters that are there, at their distance, and none are nearer. */
static void check_greedy(enum kymo_linkage_method method, const struct kymo_dense *x,
                         const struct kymo_merge *Z)
{
    static struct parts part[2 * SMALL];
    static int is_there[2 * SMALL];
    for (size_t i = 0; i < 2 * x->n - 1; i++)
        is_there[i] = i < x->n;
    for (uint32_t i = 0; i < x->n; i++)
        part[i] = (struct parts){1, kymo_dense_weight(x, i), {i}};
    for (size_t i = 0; i + 1 < x->n; i++) {
        const size_t a = (size_t)Z[i].a, b = (size_t)Z[i].b;
        assert_true(a < b && b < x->n + i && is_there[a] && is_there[b]);
        double least = INFINITY;
        for (size_t p = 0; p < x->n + i; p++)
            for (size_t q = p + 1; q < x->n + i; q++)
                if (is_there[p] && is_there[q])
                    least = fmin(least, by_definition(method, x, &part[p], &part[q]));
        const double v = by_definition(method, x, &part[a], &part[b]);
        assert_true(fabs(v - Z[i].height) <= 1e-9 * (1 + v));
        assert_true(v <= least + 1e-9 * (1 + least));
        struct parts *into = &part[x->n + i];
        *into = part[a];
        memcpy(into->row + into->n, part[b].row, part[b].n * sizeof(part[b].row[0]));
        into->n += part[b].n;
        into->w += part[b].w;
        assert_true(fabs(Z[i].size - into->w) <= 1e-9 * into->w);
        is_there[a] = is_there[b] = 0;
        is_there[x->n + i] = 1;
    }
}

/* n rows; grid > 0: whole numbers below it, so that distances tie and rows repeat. */
static void fill(double *v, size_t n, uint64_t seed, uint64_t grid)
{
    struct kymo_rng r;
    kymo_rng_init(&r, seed);
    for (size_t i = 0; i < n; i++)
        v[i] = grid ? (double)kymo_rng_below(&r, grid) : kymo_rng_unit(&r) * 10;
}

static void every_merge_is_of_the_two_nearest(void **state)
{
    (void)state;
    static double v[SMALL * 4], w[SMALL];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct kymo_rng r;
        kymo_rng_init(&r, seed);
        struct kymo_dense x = {
            .n = 3 + kymo_rng_below(&r, SMALL - 3), .d = 1 + kymo_rng_below(&r, 4), .f64 = v};
        fill(v, x.n * x.d, seed, seed % 3 ? seed % 7 : 0);
        for (size_t i = 0; i < x.n; i++)
            w[i] = 0.25 + (double)kymo_rng_below(&r, 9);
        x.weight = seed % 2 ? w : NULL;
        for (size_t m = 0; m < METHODS; m++) {
            check_greedy(methods[m], &x, link_rows(methods[m], &x, 2));
            check_greedy(methods[m], &x, link_matrix(methods[m], &x, KYMO_DISTANCES_CONDENSED));
        }
    }
}

static void a_weight_counts_as_so_many_equal_rows(void **state)
{
    (void)state;
    static double v[40 * 3], more[200 * 3], w[40];
    fill(v, 40 * 3, 5, 0);
    struct kymo_rng r;
    kymo_rng_init(&r, 6);
    size_t n = 0;
    for (size_t i = 0; i < 40; i++) {
        const size_t times = 1 + kymo_rng_below(&r, 4);
        w[i] = (double)times;
        for (size_t t = 0; t < times; t++)
            memcpy(more + 3 * n++, v + 3 * i, 3 * sizeof(double));
    }
    const struct kymo_dense few = {.n = 40, .d = 3, .f64 = v, .weight = w};
    const struct kymo_dense many = {.n = n, .d = 3, .f64 = more};
    for (size_t m = 0; m < METHODS; m++) {
        const struct kymo_merge *a = link_rows(methods[m], &few, 1);
        const struct kymo_merge *b = link_rows(methods[m], &many, 1);
        for (size_t i = 0; i < n - 40; i++)
            assert_true(b[i].height == 0);
        for (size_t i = 0; i < 39; i++) {
            same_number(a[i].height, b[n - 40 + i].height, 1e-9, "height", i);
            assert_true(a[i].size == b[n - 40 + i].size);
        }
    }
}

/* -- shapes that try the searches ------------------------------------------------------------- */

/* Distances to the nearest row double from row to row; a hub in the middle of far rows; clumps far from
 * each other and from 0, where single precision sees nothing; all the same. */
static void fill_shape(double *v, size_t n, size_t d, int shape)
{
    fill(v, n * d, 77, 0);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            double *x = &v[i * d + j];
            if (shape == 0)
                *x = j ? 0 : ldexp(1, (int)(i % 200)) + (i < 200 ? 0 : 1e-3);
            else if (shape == 1)
                *x = i % 50 ? (j == i % d ? 100 + *x : *x * 1e-3) : *x * 1e-3;
            else if (shape == 2)
                *x = 1e7 + (double)(i % 3) * 1e6 + *x * 1e-6;
            else
                *x = 4.2;
        }
}

static void heights_of_odd_shapes_are_those_of_the_matrix(void **state)
{
    (void)state;
    enum { N = 400, D = 6 };
    static double v[N * D];
    for (int shape = 0; shape < 4; shape++) {
        fill_shape(v, N, D, shape);
        const struct kymo_dense x = {.n = N, .d = D, .f64 = v};
        for (size_t m = 0; m < METHODS; m++) {
            if (methods[m] == KYMO_LINKAGE_CENTROID && shape == 2)
                continue; /* the recurrence on squares cancels there */
            const struct kymo_merge *a = link_rows(methods[m], &x, 2);
            const struct kymo_merge *b = link_matrix(methods[m], &x, KYMO_DISTANCES_SQUARE);
            for (size_t i = 0; i + 1 < N; i++)
                if (!(fabs(a[i].height - b[i].height) <=
                      1e-7 * b[N - 2].height * 1e-3 + 1e-7 * b[i].height))
                    fail_msg("%s, shape %d, merge %zu: %.17g, not %.17g",
                             kymo_linkage_name(methods[m]), shape, i, a[i].height, b[i].height);
        }
    }
}

/* -- the same whatever the machine ------------------------------------------------------------- */

enum { MANY = 1500, COLUMNS = 7 };

static struct kymo_dense many_rows(uint64_t grid)
{
    static double v[MANY * COLUMNS];
    fill(v, (size_t)MANY * COLUMNS, 11, grid);
    for (size_t i = 0; i < MANY; i++)
        v[i * COLUMNS] += (double)(i % 5) * (grid ? 8 : 12.5);
    return (struct kymo_dense){.n = MANY, .d = COLUMNS, .f64 = v};
}

static void every_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    for (uint64_t grid = 0; grid <= 3; grid += 3) {
        const struct kymo_dense x = many_rows(grid);
        for (size_t m = 0; m < METHODS; m++) {
            const struct kymo_merge *one = link_rows(methods[m], &x, 1);
            for (unsigned threads = 2; threads <= 3; threads++)
                assert_memory_equal(one, link_rows(methods[m], &x, threads),
                                    (MANY - 1) * sizeof(*one));
        }
    }
}

/* What this process makes of many rows, as one number a method. */
static int print_trees(void)
{
    kymo_arena_init(&arena, (size_t)1 << 30);
    for (uint64_t grid = 0; grid <= 3; grid += 3) {
        const struct kymo_dense x = many_rows(grid);
        for (size_t m = 0; m < METHODS; m++) {
            const struct kymo_merge *Z = link_rows(methods[m], &x, 2);
            uint64_t sum = 1469598103934665603u;
            for (size_t i = 0; i < (MANY - 1) * sizeof(*Z); i++)
                sum = (sum ^ ((const uint8_t *)Z)[i]) * 1099511628211u;
            printf("%016llx", (unsigned long long)sum);
        }
    }
    putchar('\n');
    kymo_arena_release(&arena);
    return 0;
}

static const char *self;

static void trees_at(const char *level, char text[256])
{
    char command[512];
    snprintf(command, sizeof(command), "KYMO_SIMD=%s '%s' trees", level, self);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, 256, f));
    assert_int_equal(pclose(f), 0);
}

static void every_level_of_vector_instructions_gives_the_same_bytes(void **state)
{
    (void)state;
    char plain[256], other[256];
    trees_at("plain", plain);
    trees_at("avx2", other);
    assert_string_equal(plain, other);
    trees_at("best", other);
    assert_string_equal(plain, other);
}

static void floats_give_the_tree_of_their_values(void **state)
{
    (void)state;
    static float f[MANY * COLUMNS];
    static double wide[MANY * COLUMNS];
    const struct kymo_dense x = many_rows(0);
    for (size_t i = 0; i < (size_t)MANY * COLUMNS; i++)
        wide[i] = (double)(f[i] = (float)x.f64[i]);
    const struct kymo_dense a = {.n = MANY, .d = COLUMNS, .f32 = f};
    const struct kymo_dense b = {.n = MANY, .d = COLUMNS, .f64 = wide};
    for (size_t m = 0; m < METHODS; m++)
        assert_memory_equal(link_rows(methods[m], &a, 1), link_rows(methods[m], &b, 1),
                            (MANY - 1) * sizeof(struct kymo_merge));
}

/* -- edges ------------------------------------------------------------------------------------ */

static void one_row_has_no_merge_and_two_have_one(void **state)
{
    (void)state;
    const double v[] = {1, 2, 4, 6};
    struct kymo_dense x = {.n = 1, .d = 2, .f64 = v};
    for (size_t m = 0; m < METHODS; m++) {
        x.n = 1;
        (void)link_rows(methods[m], &x, 2);
        (void)link_matrix(methods[m], &x, KYMO_DISTANCES_CONDENSED);
        x.n = 2;
        const struct kymo_merge *trees[] = {link_rows(methods[m], &x, 2),
                                            link_matrix(methods[m], &x, KYMO_DISTANCES_SQUARE)};
        for (size_t t = 0; t < 2; t++) {
            assert_true(trees[t]->a == 0 && trees[t]->b == 1 && trees[t]->size == 2);
            assert_true(fabs(trees[t]->height - 5) < 1e-14);
        }
    }
}

static volatile sig_atomic_t stop;

static void ask_to_stop(void *ctx, const struct kymo_linkage_tick *t)
{
    (void)ctx;
    assert_true(t->merges <= t->merges_all);
    stop = 1;
}

static void a_stop_request_leaves_a_forest(void **state)
{
    (void)state;
    const struct kymo_dense x = many_rows(0);
    for (size_t m = 0; m < METHODS; m++) {
        stop = 0;
        const struct kymo_linkage_in in = {.method = methods[m],
                                           .rows = &x,
                                           .n_threads = 1,
                                           .stop = &stop,
                                           .tick = ask_to_stop};
        struct kymo_linkage_out out = {0};
        assert_int_equal(kymo_linkage(&in, &arena, &out, NULL), KYMO_OK);
        assert_true(out.stopped);
        assert_true(out.n_merges > 0 && out.n_merges < x.n - 1);
        for (size_t i = 0; i < out.n_merges; i++)
            assert_true(out.Z[i].a < out.Z[i].b && out.Z[i].b < (double)(x.n + i));
    }
}

static void too_small_a_budget_is_a_limit_and_no_crash(void **state)
{
    (void)state;
    struct kymo_dense x = many_rows(0);
    x.n = 300;
    for (size_t m = 0; m < METHODS; m++)
        for (size_t cap = 0; cap < 3 << 20; cap += 40000) {
            struct kymo_arena a;
            kymo_arena_init(&a, cap);
            const struct kymo_linkage_in in = {
                .method = methods[m], .rows = &x, .n_threads = 2};
            struct kymo_linkage_out out = {0};
            const kymo_status s = kymo_linkage(&in, &a, &out, NULL);
            assert_true(s == KYMO_OK || s == KYMO_ELIMIT);
            if (s)
                assert_null(out.Z);
            kymo_arena_release(&a);
        }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "trees") == 0)
        return print_trees();
    self = argv[0];
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_arena, close_arena)
    const struct CMUnitTest tests[] = {
        TEST(trees_are_those_on_which_three_libraries_agree),
        TEST(every_merge_is_of_the_two_nearest),
        TEST(a_weight_counts_as_so_many_equal_rows),
        TEST(heights_of_odd_shapes_are_those_of_the_matrix),
        TEST(every_number_of_threads_gives_the_same_bytes),
        TEST(every_level_of_vector_instructions_gives_the_same_bytes),
        TEST(floats_give_the_tree_of_their_values),
        TEST(one_row_has_no_merge_and_two_have_one),
        TEST(a_stop_request_leaves_a_forest),
        TEST(too_small_a_budget_is_a_limit_and_no_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
