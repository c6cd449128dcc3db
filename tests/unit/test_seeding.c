/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/seeding.h"
#include "format/base/rng.h"
#include "format/num/assign.h"

#define N 4000
#define D 6

typedef kymo_status seed_fn(const struct kymo_seeding *in, struct kymo_arena *scratch,
                            double *C, struct kymo_err *err);
static seed_fn *const seeds[] = {kymo_seed_plusplus, kymo_seed_parallel};

static float points[N * D];
static double wide[N * D];

/* Eight clouds, far from each other, of very unequal size. */
static int fill_points(void **state)
{
    (void)state;
    struct kymo_rng r;
    kymo_rng_init(&r, 21);
    for (size_t i = 0; i < N; i++) {
        const size_t cloud = i % 64 < 57 ? 0 : i % 64 - 56;
        for (size_t j = 0; j < D; j++) {
            const double at = cloud >> (j % 3) & 1 ? 50 : 0;
            points[i * D + j] = (float)(at + kymo_rng_unit(&r));
            wide[i * D + j] = (double)points[i * D + j];
        }
    }
    return 0;
}

static void seed(size_t how, const struct kymo_dense *X, size_t k, unsigned threads,
                 enum kymo_simd level, uint64_t from, double *C)
{
    struct kymo_rng rng;
    kymo_rng_init(&rng, from);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_seeding in = {
        .X = X, .k = k, .n_threads = threads, .level = level, .rng = &rng};
    assert_int_equal(seeds[how](&in, &a, C, NULL), KYMO_OK);
    kymo_arena_release(&a);
}

static int is_row(const struct kymo_dense *X, const double *c)
{
    for (size_t i = 0; i < X->n; i++) {
        size_t j = 0;
        while (j < X->d && kymo_dense_at(X, i, j) == c[j])
            j++;
        if (j == X->d)
            return 1;
    }
    return 0;
}

static void every_seed_is_a_row_and_every_cloud_has_one(void **state)
{
    (void)state;
    const struct kymo_dense X = {.n = N, .d = D, .f32 = points};
    for (size_t how = 0; how < 2; how++)
        for (uint64_t from = 0; from < 10; from++) {
            double C[8 * D];
            unsigned met = 0;
            seed(how, &X, 8, 2, kymo_simd_level(), from, C);
            for (size_t c = 0; c < 8; c++) {
                assert_true(is_row(&X, C + c * D));
                met |=
                    1u << ((C[c * D] > 25) + 2 * (C[c * D + 1] > 25) + 4 * (C[c * D + 2] > 25));
            }
            assert_int_equal(met, 255);
        }
}

static void every_number_of_threads_gives_the_same_seeds(void **state)
{
    (void)state;
    const struct kymo_dense X = {.n = N, .d = D, .f64 = wide};
    for (size_t how = 0; how < 2; how++) {
        double one[20 * D], more[20 * D];
        seed(how, &X, 20, 1, kymo_simd_level(), 5, one);
        for (unsigned t = 2; t <= 3; t++) {
            seed(how, &X, 20, t, kymo_simd_level(), 5, more);
            assert_memory_equal(one, more, sizeof(one));
        }
    }
}

static void every_level_seeds_equally_well(void **state)
{
    (void)state;
    const struct kymo_dense X = {.n = N, .d = D, .f32 = points};
    static uint32_t label[N];
    for (size_t how = 0; how < 2; how++)
        for (int level = 0; level <= (int)kymo_simd_level(); level++) {
            double C[30 * D], inertia;
            seed(how, &X, 30, 1, (enum kymo_simd)level, 6, C);
            assert_int_equal(kymo_kmeans_assign(&X, 30, C, 1, label, NULL, &inertia, NULL),
                             KYMO_OK);
            /* Within a cloud a row is about d / 6 from another; none is a cloud away. */
            assert_true(inertia < N * (double)D / 6);
        }
}

static void as_many_seeds_as_values_find_them_all(void **state)
{
    (void)state;
    enum { M = 900 };
    static double x[M];
    for (size_t i = 0; i < M; i++)
        x[i] = (double)(i % 9 == 0 ? i / 9 % 5 : 7);
    const struct kymo_dense X = {.n = M, .d = 1, .f64 = x};
    for (size_t how = 0; how < 2; how++)
        for (uint64_t from = 0; from < 20; from++) {
            double C[6];
            unsigned met = 0;
            seed(how, &X, 6, 1, kymo_simd_level(), from, C);
            for (size_t c = 0; c < 6; c++)
                met |= 1u << (unsigned)C[c];
            assert_int_equal(met, 0x9f);
        }
}

static void more_seeds_than_values_are_rows_all_the_same(void **state)
{
    (void)state;
    const double x[] = {3, 3, 3, 4, 4};
    const struct kymo_dense X = {.n = 5, .d = 1, .f64 = x};
    for (size_t how = 0; how < 2; how++) {
        double C[5];
        seed(how, &X, 5, 1, kymo_simd_level(), 1, C);
        for (size_t c = 0; c < 5; c++)
            assert_true(C[c] == 3 || C[c] == 4);
    }
}

static void a_heavy_row_is_drawn_first_more_often(void **state)
{
    (void)state;
    const double x[] = {0, 1, 2, 3}, weight[] = {1, 1, 97, 1};
    const struct kymo_dense X = {.n = 4, .d = 1, .f64 = x, .weight = weight};
    size_t heavy = 0;
    for (uint64_t from = 0; from < 200; from++) {
        double C[1];
        seed(0, &X, 1, 1, kymo_simd_level(), from, C);
        heavy += C[0] == 2;
    }
    assert_in_range(heavy, 185, 200);
}

static void too_small_a_budget_is_a_limit_and_no_crash(void **state)
{
    (void)state;
    const struct kymo_dense X = {.n = N, .d = D, .f32 = points};
    for (size_t how = 0; how < 2; how++)
        for (size_t cap = 0; cap < 512u << 10; cap += 16384) {
            struct kymo_rng rng;
            kymo_rng_init(&rng, 1);
            struct kymo_arena a;
            kymo_arena_init(&a, cap);
            double C[9 * D];
            const struct kymo_seeding in = {.X = &X, .k = 9, .n_threads = 1, .rng = &rng};
            const kymo_status s = seeds[how](&in, &a, C, NULL);
            assert_true(s == KYMO_OK || s == KYMO_ELIMIT);
            kymo_arena_release(&a);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_seed_is_a_row_and_every_cloud_has_one),
        cmocka_unit_test(every_number_of_threads_gives_the_same_seeds),
        cmocka_unit_test(every_level_seeds_equally_well),
        cmocka_unit_test(as_many_seeds_as_values_find_them_all),
        cmocka_unit_test(more_seeds_than_values_are_rows_all_the_same),
        cmocka_unit_test(a_heavy_row_is_drawn_first_more_often),
        cmocka_unit_test(too_small_a_budget_is_a_limit_and_no_crash),
    };
    return cmocka_run_group_tests(tests, fill_points, NULL);
}
