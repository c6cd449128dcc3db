/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/birch.h"
#include "format/num/assign.h"
#include "tests/unit/cloud_rows.h"

static struct kymo_birch_out sum_up(struct kymo_arena *a, const struct kymo_dense *x,
                                    size_t m_max)
{
    const struct kymo_birch_in in = {.x = x, .m_max = m_max};
    struct kymo_birch_out out = {0};
    struct kymo_err err = {0};
    if (kymo_birch(&in, a, &out, &err))
        fail_msg("%s", err.text);
    return out;
}

/* Weights, means and spreads from the labels alone, and that nothing is lost on the way. */
static void check_sums(const struct kymo_dense *x, const struct kymo_birch_out *out,
                       struct kymo_arena *a)
{
    const size_t d = x->d, m = out->m;
    double *weight = KYMO_NEW(a, double, m), *sum = KYMO_NEW(a, double, m *d);
    double *spread = KYMO_NEW(a, double, m), *row = KYMO_NEW(a, double, d), total = 0;
    uint32_t seen = 0;
    for (size_t i = 0; i < x->n; i++) {
        assert_true(out->label[i] <= seen && out->label[i] < m);
        seen += out->label[i] == seen;
        weight[out->label[i]] += kymo_dense_weight(x, i);
        for (size_t j = 0; j < d; j++)
            sum[out->label[i] * d + j] += kymo_dense_weight(x, i) * kymo_dense_at(x, i, j);
    }
    assert_int_equal(seen, m);
    for (size_t i = 0; i < x->n; i++) {
        kymo_dense_row(x, i, row);
        spread[out->label[i]] +=
            kymo_dense_weight(x, i) * kymo_sqdist(d, row, out->centroid + out->label[i] * d);
    }
    for (size_t c = 0; c < m; c++) {
        assert_true(weight[c] == out->weight[c]);
        total += spread[c];
        assert_true(fabs(spread[c] - out->spread[c]) <= 1e-9 * (1 + spread[c]));
        for (size_t j = 0; j < d; j++)
            assert_true(fabs(sum[c * d + j] / weight[c] - out->centroid[c * d + j]) <= 1e-12);
    }
    /* No join added more. */
    assert_true(total <= out->rise_max * (double)(x->n - m) * (1 + 1e-9) + 1e-9);
}

static void groups_are_few_enough_and_nothing_is_lost(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 2, 5, 8, 33}, most[] = {1, 2, 7, 31, 32, 33, 200, 5000};
    for (size_t c = 0; c < 80; c++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        const size_t n = c % 9 == 0 ? 1 + c / 9 : 1500 + c, d = widths[c % 5];
        struct kymo_dense x = {
            .n = n, .d = d, .f64 = rows_make(&a, (enum rows_kind)(c % ROWS_KINDS), n, d, c)};
        double *weight = KYMO_NEW(&a, double, n);
        for (size_t i = 0; i < n; i++)
            weight[i] = (double)(1 + (i * 5 + c) % 4);
        x.weight = c % 4 == 3 ? weight : NULL;
        const struct kymo_birch_out out = sum_up(&a, &x, most[c / 5 % 8]);
        assert_in_range(out.m, 1, most[c / 5 % 8]);
        assert_int_equal(out.n_done, n);
        check_sums(&x, &out, &a);
        kymo_arena_release(&a);
    }
}

static void only_equal_rows_join_where_there_is_room(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const size_t n = 3000, d = 2;
    const struct kymo_dense x = {.n = n, .d = d, .f64 = rows_make(&a, ROWS_GRID, n, d, 4)};
    const struct kymo_birch_out out = sum_up(&a, &x, 600);
    /* A grid of 12 by 12; a row may miss its equals where nodes lie side by side. */
    assert_in_range(out.m, 144, 288);
    assert_int_equal(out.n_builds, 1);
    for (size_t i = 0; i < n; i++) {
        assert_true(out.spread[out.label[i]] == 0);
        assert_memory_equal(out.centroid + out.label[i] * d, x.f64 + i * d, d * sizeof(double));
    }
    kymo_arena_release(&a);
}

static void groups_do_not_straddle_clouds_that_lie_apart(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const size_t n = 4000, d = 3;
    double *rows = rows_make(&a, ROWS_CLOUDS, n, d, 4);
    for (size_t i = 0; i < n; i++)
        rows[i * d] += 1000 * (double)(i % 5);
    const struct kymo_dense x = {.n = n, .d = d, .f64 = rows};
    const struct kymo_birch_out out = sum_up(&a, &x, 300);
    uint32_t *part = KYMO_NEW(&a, uint32_t, out.m);
    for (size_t i = 0; i < n; i++) {
        assert_true(part[out.label[i]] == 0 || part[out.label[i]] == 1 + i % 5);
        part[out.label[i]] = (uint32_t)(1 + i % 5);
    }
    kymo_arena_release(&a);
}

static uint64_t digest(const void *p, size_t bytes)
{
    const unsigned char *b = p;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ b[i]) * 1099511628211u;
    return h;
}

/* The digest of this level is compared with that of plain C, which ran first: through a file, as each
 * level has a process. */
static void every_level_of_instructions_gives_the_same_bytes(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const size_t n = 5000, d = 11;
    const struct kymo_dense x = {.n = n, .d = d, .f64 = rows_make(&a, ROWS_CLOUDS, n, d, 6)};
    const struct kymo_birch_out out = sum_up(&a, &x, 250);
    const uint64_t got = digest(out.centroid, out.m * d * sizeof(double)) ^
                         digest(out.label, n * sizeof(uint32_t));
    char path[64];
    snprintf(path, sizeof(path), "/tmp/test_birch.%ld", (long)getppid());
    FILE *f = fopen(path, kymo_simd_level() == KYMO_SIMD_PLAIN ? "w+b" : "rb");
    assert_non_null(f);
    uint64_t want = got;
    if (kymo_simd_level() == KYMO_SIMD_PLAIN)
        assert_int_equal(fwrite(&got, sizeof(got), 1, f), 1);
    else
        assert_int_equal(fread(&want, sizeof(want), 1, f), 1);
    fclose(f);
    assert_true(got == want);
    kymo_arena_release(&a);
}

static volatile sig_atomic_t stop_now;

static void raise_later(void *ctx, size_t rows_done)
{
    (void)ctx;
    stop_now = rows_done > 0;
}

static void a_stop_leaves_the_sums_of_the_rows_so_far(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const size_t n = 70000;
    struct kymo_dense x = {.n = n, .d = 2, .f64 = rows_make(&a, ROWS_CLOUDS, n, 2, 6)};
    const struct kymo_birch_in in = {
        .x = &x, .m_max = 100, .stop = &stop_now, .tick = raise_later};
    struct kymo_birch_out out;
    assert_int_equal(kymo_birch(&in, &a, &out, NULL), KYMO_OK);
    assert_int_equal(out.n_done, 65536);
    for (size_t i = out.n_done; i < n; i++)
        assert_int_equal(out.label[i], KYMO_BIRCH_NONE);
    x.n = out.n_done;
    check_sums(&x, &out, &a);
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
    const struct kymo_birch_out one = sum_up(&a, &f64, 90), two = sum_up(&a, &f32, 90);
    assert_memory_equal(one.label, two.label, n * sizeof(uint32_t));
    kymo_arena_release(&a);
}

static void a_fit_within_every_budget_is_whole_or_refused(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 900, .d = 4, .f64 = rows_make(&a, ROWS_CLOUDS, 900, 4, 1)};
    const struct kymo_birch_in in = {.x = &x, .m_max = 300};
    int refused = 0, done = 0;
    for (size_t cap = 0; cap < 400000; cap += 6000) {
        struct kymo_arena small;
        kymo_arena_init(&small, cap);
        struct kymo_birch_out out = {.m = 77};
        const kymo_status s = kymo_birch(&in, &small, &out, NULL);
        assert_true(s == KYMO_OK || (s == KYMO_ELIMIT && out.m == 77));
        refused += s != KYMO_OK;
        done += s == KYMO_OK;
        kymo_arena_release(&small);
    }
    assert_true(refused > 3 && done > 3);
    kymo_arena_release(&a);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_few_enough_and_nothing_is_lost),
        cmocka_unit_test(only_equal_rows_join_where_there_is_room),
        cmocka_unit_test(groups_do_not_straddle_clouds_that_lie_apart),
        cmocka_unit_test(every_level_of_instructions_gives_the_same_bytes),
        cmocka_unit_test(a_stop_leaves_the_sums_of_the_rows_so_far),
        cmocka_unit_test(single_precision_rows_give_what_the_same_rows_give_in_double),
        cmocka_unit_test(a_fit_within_every_budget_is_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    char path[64];
    const int status = run_at_every_level(run);
    snprintf(path, sizeof(path), "/tmp/test_birch.%ld", (long)getpid());
    unlink(path);
    return status;
}
