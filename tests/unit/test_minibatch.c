/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/minibatch.h"
#include "format/base/rng.h"

#define N 30000
#define D 5
#define K 7

static float points[N * D];
static double weight[N];

/* Clouds that overlap a little. */
static int fill_points(void **state)
{
    (void)state;
    struct kymo_rng r;
    kymo_rng_init(&r, 31);
    for (size_t i = 0; i < N; i++) {
        const size_t cloud = (size_t)kymo_rng_below(&r, K);
        weight[i] = i % 2 ? 1 : 3;
        for (size_t j = 0; j < D; j++)
            points[i * D + j] =
                (float)((double)(cloud * (j + 3) % 5) * 2 + 3 * kymo_rng_unit(&r));
    }
    return 0;
}

static struct kymo_minibatch_in input(uint64_t seed, unsigned threads)
{
    return (struct kymo_minibatch_in){.X = {.n = N, .d = D, .f32 = points},
                                      .k = K,
                                      .batch = 512,
                                      .seed = seed,
                                      .n_threads = threads};
}

static double inertia_of(const struct kymo_dense *X, const double *C)
{
    static uint32_t label[N];
    double inertia;
    assert_int_equal(kymo_kmeans_assign(X, K, C, 1, label, NULL, &inertia, NULL), KYMO_OK);
    return inertia;
}

static void samples_come_close_to_the_fixed_point(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        struct kymo_minibatch_in in = input(seed, 1);
        in.X.weight = seed % 2 ? weight : NULL;
        struct kymo_minibatch_out out;
        assert_int_equal(kymo_minibatch(&in, &a, &out, NULL), KYMO_OK);
        assert_int_equal(out.why, KYMO_KMEANS_TOLERANCE);
        assert_true(out.steps > 0);
        const double inertia = inertia_of(&in.X, out.C);
        assert_true(fabs(out.inertia / inertia - 1) < 0.05); /* as the probe sees it */
        const struct kymo_kmeans_in full = {
            .X = in.X, .k = K, .init = out.C, .n_init = 1, .max_iter = 300, .n_threads = 1};
        struct kymo_kmeans_out fit;
        assert_int_equal(kymo_kmeans(&full, &a, &fit, NULL), KYMO_OK);
        assert_true(inertia < fit.inertia * 1.01);
        kymo_arena_release(&a);
    }
}

static void every_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct kymo_minibatch_out one, more;
    const struct kymo_minibatch_in in = input(3, 1);
    assert_int_equal(kymo_minibatch(&in, &a, &one, NULL), KYMO_OK);
    for (unsigned t = 2; t <= 3; t++) {
        const struct kymo_minibatch_in in2 = input(3, t);
        assert_int_equal(kymo_minibatch(&in2, &a, &more, NULL), KYMO_OK);
        assert_int_equal(one.steps, more.steps);
        assert_memory_equal(one.C, more.C, K * D * sizeof(double));
    }
    kymo_arena_release(&a);
}

static void fewer_rows_than_a_batch_are_enough(void **state)
{
    (void)state;
    const double x[] = {0, 0.5, 10, 10.5, 20, 20.5};
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_minibatch_in in = {
        .X = {.n = 6, .d = 1, .f64 = x}, .k = 3, .n_threads = 1};
    struct kymo_minibatch_out out;
    assert_int_equal(kymo_minibatch(&in, &a, &out, NULL), KYMO_OK);
    assert_true(out.inertia < 0.6);
    kymo_arena_release(&a);
}

static void limits_and_signals_end_it(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct kymo_minibatch_in in = input(1, 1);
    struct kymo_minibatch_out out;
    in.max_steps = 8;
    assert_int_equal(kymo_minibatch(&in, &a, &out, NULL), KYMO_OK);
    assert_int_equal(out.why, KYMO_KMEANS_MAX_ITER);
    assert_int_equal(out.steps, 8);
    const volatile sig_atomic_t stop = 1;
    in.stop = &stop;
    assert_int_equal(kymo_minibatch(&in, &a, &out, NULL), KYMO_OK);
    assert_int_equal(out.why, KYMO_KMEANS_STOPPED);
    assert_true(isfinite(out.inertia));
    kymo_arena_release(&a);
}

static void too_small_a_budget_is_a_limit_and_no_crash(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 1024u << 10; cap += 32768) {
        struct kymo_arena a;
        kymo_arena_init(&a, cap);
        const struct kymo_minibatch_in in = input(1, 1);
        struct kymo_minibatch_out out = {0};
        const kymo_status s = kymo_minibatch(&in, &a, &out, NULL);
        assert_true(s == KYMO_OK || s == KYMO_ELIMIT);
        if (s)
            assert_null(out.C);
        kymo_arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_come_close_to_the_fixed_point),
        cmocka_unit_test(every_number_of_threads_gives_the_same_bytes),
        cmocka_unit_test(fewer_rows_than_a_batch_are_enough),
        cmocka_unit_test(limits_and_signals_end_it),
        cmocka_unit_test(too_small_a_budget_is_a_limit_and_no_crash),
    };
    return cmocka_run_group_tests(tests, fill_points, NULL);
}
