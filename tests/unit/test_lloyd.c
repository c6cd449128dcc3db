/* SPDX-License-Identifier: Apache-2.0
 * Passes that skip rows against passes that look at all of them, at every level.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/kmeans.h"
#include "analyze/core/lloyd.h"
#include "format/base/rng.h"

#define N_MAX 2500
#define D_MAX 40

static double x64[N_MAX * D_MAX], weight[N_MAX];
static float x32[N_MAX * D_MAX];

/* Overlapping clouds; or a grid, where many rows are equal and many lie between two centres. */
static void fill(struct kymo_rng *r, size_t n, size_t d, size_t clouds, int grid)
{
    for (size_t i = 0; i < n; i++) {
        const size_t cloud = (size_t)kymo_rng_below(r, clouds);
        weight[i] = 0.5 + kymo_rng_unit(r);
        for (size_t j = 0; j < d; j++) {
            double v = kymo_rng_unit(r) * 3 + (double)((cloud * 7 + j * 3) % 5);
            if (grid)
                v = floor(v);
            x32[i * d + j] = (float)v;
            x64[i * d + j] = (double)x32[i * d + j];
        }
    }
}

static void init(struct kymo_lloyd *l, const struct kymo_dense *X, size_t k,
                 enum kymo_simd level, struct kymo_arena *a)
{
    assert_int_equal(kymo_lloyd_init(l, X, k, 1, level, a, NULL), KYMO_OK);
    for (size_t c = 0; c < k; c++)
        kymo_dense_row(X, X->n / k * c, l->C + c * X->d);
    kymo_lloyd_begin(l);
}

/* Both must have the same labels and centres after each pass. */
static size_t run_beside(struct kymo_lloyd *quick, struct kymo_lloyd *full)
{
    size_t skipped = 0;
    const size_t n = quick->X->n, kd = quick->k * quick->X->d;
    full->slack_off = 1;
    for (size_t pass = 0; pass < 60; pass++) {
        const size_t changed = kymo_lloyd_assign(quick);
        assert_int_equal(kymo_lloyd_assign(full), changed);
        assert_memory_equal(quick->label, full->label, n * sizeof(uint32_t));
        assert_memory_equal(&quick->inertia, &full->inertia, sizeof(double));
        skipped += n - quick->visited;
        assert_int_equal(full->visited, n);
        if (!changed)
            break;
        kymo_lloyd_move(quick);
        kymo_lloyd_move(full);
        assert_memory_equal(quick->C, full->C, kd * sizeof(double));
        assert_memory_equal(quick->size, full->size, quick->k * sizeof(size_t));
    }
    return skipped;
}

static void skipping_rows_changes_nothing(void **state)
{
    (void)state;
    static const size_t ks[] = {1, 2, 5, 16, 17, 40, 64, 130, 200, 300};
    struct kymo_rng rng;
    kymo_rng_init(&rng, 11);
    size_t skipped = 0;
    for (size_t round = 0; round < 60; round++) {
        const size_t k = ks[round % (sizeof(ks) / sizeof(ks[0]))];
        const size_t n = k + (size_t)kymo_rng_below(&rng, N_MAX - k);
        const size_t d = 1 + (size_t)kymo_rng_below(&rng, D_MAX);
        fill(&rng, n, d, 1 + (size_t)kymo_rng_below(&rng, 2 * k), round % 4 == 3);
        struct kymo_dense X = {.n = n, .d = d};
        X.f32 = round % 2 ? x32 : NULL;
        X.f64 = round % 2 ? NULL : x64;
        X.weight = round % 3 ? NULL : weight;
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        struct kymo_lloyd quick, full;
        init(&quick, &X, k, kymo_simd_level(), &a);
        init(&full, &X, k, (enum kymo_simd)(round % ((size_t)kymo_simd_level() + 1)), &a);
        skipped += run_beside(&quick, &full);
        kymo_arena_release(&a);
    }
    assert_true(skipped > 100000);
}

static void both_precisions_of_the_same_rows_take_the_same_way(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 12);
    fill(&rng, 2000, 13, 9, 0);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense f32 = {.n = 2000, .d = 13, .f32 = x32};
    const struct kymo_dense f64 = {.n = 2000, .d = 13, .f64 = x64};
    struct kymo_lloyd l32, l64;
    init(&l32, &f32, 9, kymo_simd_level(), &a);
    init(&l64, &f64, 9, kymo_simd_level(), &a);
    for (size_t pass = 0; pass < 30; pass++) {
        assert_int_equal(kymo_lloyd_assign(&l32), kymo_lloyd_assign(&l64));
        assert_memory_equal(l32.label, l64.label, 2000 * sizeof(uint32_t));
        assert_true(fabs(l32.inertia / l64.inertia - 1) < 1e-12);
        kymo_lloyd_move(&l32);
        kymo_lloyd_move(&l64);
    }
    kymo_arena_release(&a);
}

static void the_quick_inertia_is_that_of_differences(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 13);
    for (size_t round = 0; round < 6; round++) {
        fill(&rng, 1500, 11, 6, 0);
        for (size_t i = 0; i < 1500 * 11 && round > 2; i++)
            x64[i] += 1e5;
        const struct kymo_dense X = {
            .n = 1500, .d = 11, .f64 = x64, .weight = round % 2 ? weight : NULL};
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        struct kymo_lloyd l;
        init(&l, &X, 6, kymo_simd_level(), &a);
        for (size_t pass = 0; pass < 8; pass++) {
            kymo_lloyd_assign(&l);
            kymo_lloyd_settle(&l);
            double want = 0;
            for (size_t i = 0; i < X.n; i++)
                want += kymo_dense_weight(&X, i) *
                        kymo_sqdist(X.d, x64 + i * X.d, l.C + l.label[i] * X.d);
            assert_true(fabs(l.inertia / want - 1) < 1e-10);
            kymo_lloyd_move(&l);
        }
        kymo_arena_release(&a);
    }
}

static void a_cluster_that_shrinks_is_the_mean_of_its_rows(void **state)
{
    (void)state;
    /* Sums of 1e9 pass through the cluster that ends with the small rows. */
    enum { N = 2000 };
    for (size_t i = 0; i < N; i++)
        x64[i] = i < 5 ? 1e-3 * (double)(i + 1) : 1e9 + (double)i;
    const struct kymo_dense X = {.n = N, .d = 1, .f64 = x64};
    const double first[] = {1.1e9, 5e8};
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_kmeans_in in = {
        .X = X, .k = 2, .init = first, .n_init = 1, .max_iter = 50, .n_threads = 1};
    struct kymo_kmeans_out out;
    assert_int_equal(kymo_kmeans(&in, &a, &out, NULL), KYMO_OK);
    assert_int_equal(out.size[1], 5);
    assert_true(fabs(out.C[1] - 3e-3) < 1e-18);
    kymo_arena_release(&a);
}

static void a_row_of_weight_two_is_that_row_twice(void **state)
{
    (void)state;
    enum { N = 700, D = 5, K = 6 };
    struct kymo_rng rng;
    kymo_rng_init(&rng, 14);
    fill(&rng, N, D, K, 0);
    static double twice[2 * N * D];
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        weight[i] = (double)(1 + i % 2);
        for (size_t copy = 0; copy <= i % 2; copy++, n++)
            memcpy(twice + n * D, x64 + i * D, D * sizeof(double));
    }
    double first[K * D];
    memcpy(first, x64, sizeof(first));
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct kymo_kmeans_in in = {.X = {.n = N, .d = D, .f64 = x64, .weight = weight},
                                .k = K,
                                .init = first,
                                .n_init = 1,
                                .max_iter = 100,
                                .n_threads = 1};
    struct kymo_kmeans_out heavy, plain;
    assert_int_equal(kymo_kmeans(&in, &a, &heavy, NULL), KYMO_OK);
    in.X = (struct kymo_dense){.n = n, .d = D, .f64 = twice};
    assert_int_equal(kymo_kmeans(&in, &a, &plain, NULL), KYMO_OK);
    assert_int_equal(heavy.iterations, plain.iterations);
    assert_true(fabs(heavy.inertia / plain.inertia - 1) < 1e-12);
    for (size_t i = 0; i < K * D; i++)
        assert_true(fabs(heavy.C[i] - plain.C[i]) < 1e-12);
    for (size_t c = 0; c < K; c++)
        assert_true(heavy.mass[c] == (double)plain.size[c]);
    kymo_arena_release(&a);
}

static void a_tolerance_ends_sooner_with_labels_of_the_last_centres(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 15);
    fill(&rng, 2500, 8, 30, 0);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct kymo_kmeans_in in = {.X = {.n = 2500, .d = 8, .f32 = x32},
                                .k = 12,
                                .n_init = 1,
                                .max_iter = 300,
                                .seed = 4,
                                .n_threads = 2};
    struct kymo_kmeans_out exact, soon;
    assert_int_equal(kymo_kmeans(&in, &a, &exact, NULL), KYMO_OK);
    in.tol = 1e-2;
    assert_int_equal(kymo_kmeans(&in, &a, &soon, NULL), KYMO_OK);
    assert_int_equal(exact.why, KYMO_KMEANS_FIXED_POINT);
    assert_int_equal(soon.why, KYMO_KMEANS_TOLERANCE);
    assert_true(soon.iterations < exact.iterations);
    static uint32_t label[2500];
    double inertia;
    assert_int_equal(kymo_kmeans_assign(&in.X, 12, soon.C, 1, label, NULL, &inertia, NULL),
                     KYMO_OK);
    assert_memory_equal(label, soon.label, sizeof(label));
    assert_true(fabs(inertia / soon.inertia - 1) < 1e-12);
    kymo_arena_release(&a);
}

static void every_level_finds_the_same_open_rows(void **state)
{
    (void)state;
    enum { N = 333 };
    struct kymo_rng rng;
    kymo_rng_init(&rng, 16);
    for (size_t k = 1; k < 70; k++) {
        float slack[N], drift[70];
        uint32_t label[N], want[N + KYMO_OPEN_SPARE], got[N + KYMO_OPEN_SPARE];
        for (size_t c = 0; c < k; c++)
            drift[c] = (float)kymo_rng_unit(&rng);
        for (size_t i = 0; i < N; i++) {
            label[i] = (uint32_t)kymo_rng_below(&rng, k);
            slack[i] = i % 5 ? (float)kymo_rng_unit(&rng) * 2 : drift[label[i]];
            slack[i] = i % 17 ? slack[i] : NAN;
        }
        const size_t lo = k % 19, hi = N - k % 7;
        const size_t n =
            kymo_openrows_at(KYMO_SIMD_PLAIN)(lo, hi, slack, label, k, drift, want);
        for (int level = 1; level <= (int)kymo_simd_level(); level++) {
            assert_int_equal(
                kymo_openrows_at((enum kymo_simd)level)(lo, hi, slack, label, k, drift, got),
                n);
            assert_memory_equal(want, got, n * sizeof(*got));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(skipping_rows_changes_nothing),
        cmocka_unit_test(both_precisions_of_the_same_rows_take_the_same_way),
        cmocka_unit_test(the_quick_inertia_is_that_of_differences),
        cmocka_unit_test(a_cluster_that_shrinks_is_the_mean_of_its_rows),
        cmocka_unit_test(a_row_of_weight_two_is_that_row_twice),
        cmocka_unit_test(every_level_finds_the_same_open_rows),
        cmocka_unit_test(a_tolerance_ends_sooner_with_labels_of_the_last_centres),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
