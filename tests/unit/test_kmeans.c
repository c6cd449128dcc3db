/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/kmeans.h"
#include "analyze/core/metrics.h"
#include "analyze/core/select.h"
#include "format/base/rng.h"

#define N 1500 /* more than one block of rows */
#define D 3

static double points[N * D];

static int fill_points(void **state)
{
    (void)state;
    struct kymo_rng r;
    kymo_rng_init(&r, 42);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < D; j++)
            points[i * D + j] = kymo_rng_unit(&r) + (double)(i % 4) * 3;
    return 0;
}

struct trace {
    double last;
    size_t restart, passes;
    int worsened;
};

static void watch(void *ctx, const struct kymo_kmeans_tick *t)
{
    struct trace *w = ctx;
    if (t->restart == w->restart && w->passes && t->inertia > w->last * (1 + 1e-12))
        w->worsened = 1;
    w->restart = t->restart;
    w->last = t->inertia;
    w->passes++;
}

static struct kymo_kmeans_in input(size_t k, unsigned threads)
{
    return (struct kymo_kmeans_in){.X = {.n = N, .d = D, .f64 = points},
                                   .k = k,
                                   .n_init = 5,
                                   .max_iter = 300,
                                   .seed = 7,
                                   .n_threads = threads};
}

static void the_objective_never_worsens(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct trace w = {0};
    struct kymo_kmeans_in in = input(9, 2);
    in.tick = watch;
    in.tick_ctx = &w;
    struct kymo_kmeans_out out;
    assert_int_equal(kymo_kmeans(&in, &a, &out, NULL), KYMO_OK);
    assert_false(w.worsened);
    assert_true(w.passes > 5);
    assert_int_equal(out.restarts, 5);
    assert_int_equal(out.why, KYMO_KMEANS_FIXED_POINT);
    kymo_arena_release(&a);
}

static void four_clouds_are_found_whatever_the_seed(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct kymo_kmeans_in in = input(4, 1);
        in.seed = seed;
        struct kymo_kmeans_out out;
        assert_int_equal(kymo_kmeans(&in, &a, &out, NULL), KYMO_OK);
        for (size_t c = 0; c < 4; c++)
            assert_int_equal(out.size[c], N / 4);
        for (size_t i = 4; i < N; i++)
            assert_int_equal(out.label[i], out.label[i % 4]);
    }
    kymo_arena_release(&a);
}

static void every_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct kymo_kmeans_out one, more;
    const struct kymo_kmeans_in in1 = input(11, 1);
    assert_int_equal(kymo_kmeans(&in1, &a, &one, NULL), KYMO_OK);
    for (unsigned t = 2; t <= 5; t++) {
        const struct kymo_kmeans_in in = input(11, t);
        assert_int_equal(kymo_kmeans(&in, &a, &more, NULL), KYMO_OK);
        assert_memory_equal(one.C, more.C, 11 * D * sizeof(double));
        assert_memory_equal(one.label, more.label, N * sizeof(uint32_t));
        assert_true(memcmp(&one.inertia, &more.inertia, sizeof(double)) == 0);
    }
    kymo_arena_release(&a);
}

static void a_row_between_two_centres_goes_to_the_lower(void **state)
{
    (void)state;
    const double x[] = {1.0}, c[] = {2.0, 0.0, 2.0};
    uint32_t label;
    double dist2, inertia;
    const struct kymo_dense X = {.n = 1, .d = 1, .f64 = x};
    assert_int_equal(kymo_kmeans_assign(&X, 3, c, 1, &label, &dist2, &inertia, NULL), KYMO_OK);
    assert_int_equal(label, 0);
    assert_true(dist2 == 1.0 && inertia == 1.0);
}

static void an_empty_centre_takes_the_farthest_row(void **state)
{
    (void)state;
    /* Centre 1 at 100 wins no row; the row farthest from centre 0's is 9. */
    const double x[] = {0, 1, 2, 9}, init[] = {1, 100};
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_kmeans_in in = {.X = {.n = 4, .d = 1, .f64 = x},
                                      .k = 2,
                                      .init = init,
                                      .n_init = 1,
                                      .max_iter = 10,
                                      .n_threads = 1};
    struct kymo_kmeans_out out;
    assert_int_equal(kymo_kmeans(&in, &a, &out, NULL), KYMO_OK);
    assert_int_equal(out.size[0], 3);
    assert_int_equal(out.size[1], 1);
    assert_true(out.C[0] == 1.0 && out.C[1] == 9.0);
    assert_true(out.inertia == 2.0);
    kymo_arena_release(&a);
}

static void equal_rows_leave_a_centre_without_rows_where_it_was(void **state)
{
    (void)state;
    const double x[] = {5, 5, 5}, init[] = {5, 6};
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_kmeans_in in = {.X = {.n = 3, .d = 1, .f64 = x},
                                      .k = 2,
                                      .init = init,
                                      .n_init = 1,
                                      .max_iter = 10,
                                      .n_threads = 1};
    struct kymo_kmeans_out out;
    assert_int_equal(kymo_kmeans(&in, &a, &out, NULL), KYMO_OK);
    assert_int_equal(out.size[1], 0);
    assert_true(out.C[1] == 6.0);
    assert_int_equal(out.why, KYMO_KMEANS_FIXED_POINT);
    kymo_arena_release(&a);
}

static void a_stop_request_keeps_the_best_so_far(void **state)
{
    (void)state;
    const volatile sig_atomic_t stop = 1;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct kymo_kmeans_in in = input(6, 1);
    in.stop = &stop;
    struct kymo_kmeans_out out;
    assert_int_equal(kymo_kmeans(&in, &a, &out, NULL), KYMO_OK);
    assert_int_equal(out.why, KYMO_KMEANS_STOPPED);
    assert_int_equal(out.restarts, 1);
    assert_true(isfinite(out.inertia));
    kymo_arena_release(&a);
}

static void too_small_a_budget_is_a_limit_and_no_crash(void **state)
{
    (void)state;
    const struct kymo_kmeans_in in = input(6, 1);
    for (size_t cap = 0; cap < 64 << 10; cap += 4096) {
        struct kymo_arena a;
        kymo_arena_init(&a, cap);
        struct kymo_kmeans_out out = {0};
        const kymo_status s = kymo_kmeans(&in, &a, &out, NULL);
        assert_true(s == KYMO_OK || s == KYMO_ELIMIT);
        if (s)
            assert_null(out.C);
        kymo_arena_release(&a);
    }
}

static void silhouette_of_four_points_by_hand(void **state)
{
    (void)state;
    /* a = 1 for all; to the other pair: 10 and 11, 9 and 10 -> b = 10.5, 9.5, 9.5, 10.5 */
    const double x[] = {0, 1, 10, 11};
    const uint32_t label[] = {0, 0, 1, 1};
    struct kymo_labelling l = {label, 2, 0};
    double sample[4];
    assert_int_equal(kymo_silhouette(4, 1, x, &l, 1, 2, sample, NULL), KYMO_OK);
    assert_true(fabs(sample[0] - 9.5 / 10.5) < 1e-15);
    assert_true(fabs(sample[1] - 8.5 / 9.5) < 1e-15);
    assert_true(fabs(l.silhouette - (9.5 / 10.5 + 8.5 / 9.5) / 2) < 1e-15);
}

static void bic_of_two_pairs_by_hand(void **state)
{
    (void)state;
    /* n 4, d 1, k 2, inertia 1: variance 1/2, loglik = 4 ln(1/2) - 2 ln(pi) - 1 */
    const size_t size[] = {2, 2};
    const double loglik = 4 * log(0.5) - 2 * log(M_PI) - 1;
    assert_true(fabs(kymo_kmeans_bic(4, 1, 2, size, 1) - (-2 * loglik + 4 * log(4))) < 1e-12);
    assert_true(kymo_kmeans_bic(2, 1, 2, size, 1) == -INFINITY);
}

static void the_choice_of_k_weighs_bic_within_reach_of_the_silhouette(void **state)
{
    (void)state;
    const double silhouette[] = {0.50, 0.80, 0.75, 0.40}, bic[] = {10, 9, 8, 1};
    struct kymo_tried t[4];
    for (size_t i = 0; i < 4; i++) {
        t[i] = kymo_tried_k(2 + i);
        t[i].silhouette = silhouette[i];
        t[i].bic = bic[i];
    }
    assert_int_equal(kymo_select_k(4, t), 2);
    assert_int_equal(kymo_select_k(1, t), 0);
    t[2].stability = 0.4, t[1].stability = 0.9, t[0].stability = 1;
    assert_int_equal(kymo_select_k(4, t), 1);
    t[1].icl = 9, t[0].icl = 8; /* doubt counts where it is known */
    assert_int_equal(kymo_select_k(2, t + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_objective_never_worsens),
        cmocka_unit_test(four_clouds_are_found_whatever_the_seed),
        cmocka_unit_test(every_number_of_threads_gives_the_same_bytes),
        cmocka_unit_test(a_row_between_two_centres_goes_to_the_lower),
        cmocka_unit_test(an_empty_centre_takes_the_farthest_row),
        cmocka_unit_test(equal_rows_leave_a_centre_without_rows_where_it_was),
        cmocka_unit_test(a_stop_request_keeps_the_best_so_far),
        cmocka_unit_test(too_small_a_budget_is_a_limit_and_no_crash),
        cmocka_unit_test(silhouette_of_four_points_by_hand),
        cmocka_unit_test(bic_of_two_pairs_by_hand),
        cmocka_unit_test(the_choice_of_k_weighs_bic_within_reach_of_the_silhouette),
    };
    return cmocka_run_group_tests(tests, fill_points, NULL);
}
