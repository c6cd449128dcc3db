/* SPDX-License-Identifier: Apache-2.0
 * The tree, and the kernels on buckets and boxes that it stands on.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/kdtree.h"
#include "format/num/assign.h"
#include "format/num/stats.h"
#include "tests/unit/cloud_rows.h"

static const size_t widths[] = {1, 2, 3, 7, 8, 9, 16, 17, 64};
#define N_WIDTHS (sizeof(widths) / sizeof(*widths))

static void distances_in_a_bucket_have_the_bits_of_plain_ones(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    for (size_t w = 0; w < N_WIDTHS; w++) {
        const size_t d = widths[w], n = KYMO_BUCKET_ROWS;
        const double *x = rows_make(&a, ROWS_CLOUDS, n, d, w);
        double *bucket = KYMO_NEW(&a, double, n *d), dist2[KYMO_BUCKET_ROWS];
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < d; j++)
                bucket[kymo_bucket_at(d, i) + j * KYMO_BUCKET_LANES] =
                    i % 9 == 4 ? INFINITY : x[i * d + j];
        for (size_t i = 0; i < n; i++) {
            const double r2 = kymo_sqdist(d, x + i * d, x + (i + 1) % n * d);
            const uint64_t near =
                kymo_bucket_near(d, x + i * d, 1, bucket, KYMO_BUCKET_ALL, r2, dist2);
            const uint64_t among = UINT64_C(0x9000f021) << i % 3;
            assert_true(kymo_bucket_near(d, x + i * d, 1, bucket, among, r2, NULL) ==
                        (near & among));
            for (size_t q = 0; q < n; q++) {
                const double want = kymo_sqdist(d, x + i * d, x + q * d);
                const int is_near = q % 9 != 4 && want <= r2;
                assert_int_equal(near >> q & 1, is_near);
                if (is_near)
                    assert_memory_equal(&dist2[q], &want, sizeof(want));
            }
        }
    }
    kymo_arena_release(&a);
}

static void a_sieve_holds_back_no_neighbour(void **state)
{
    (void)state;
    static const double scale[] = {1, 1, 1, 1e-3, 1e-22, 1e18, 1e30};
    static const double offset[] = {0, 1e3, 1e9, 1e13, 0, 1e20, 0};
    size_t found = 0;
    for (size_t c = 0; c < 35; c++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        const size_t n = 150, d = 16 + c * 7 % 49;
        double *rows = rows_make(&a, (enum rows_kind)(c % ROWS_KINDS), n, d, c);
        for (size_t i = 0; i < n * d; i++)
            rows[i] = rows[i] * scale[c % 7] + offset[c % 7];
        const struct kymo_dense x = {.n = n, .d = d, .f64 = rows};
        struct kymo_kdtree t;
        assert_int_equal(kymo_kdtree_build(&x, 1, &a, &t, NULL), KYMO_OK);
        assert_non_null(t.narrow);
        for (size_t s = 0; s < n; s++) {
            const double *from = rows + t.row[s] * d;
            const double r2 = kymo_sqdist(d, from, rows + t.row[(s * 7 + 1) % n] * d);
            for (size_t leaf = 0; leaf < t.n_leaves; leaf++) {
                uint64_t want = 0;
                for (size_t q = leaf * KYMO_BUCKET_ROWS; q < (leaf + 1) * KYMO_BUCKET_ROWS; q++)
                    if (q < n && kymo_sqdist(d, from, rows + t.row[q] * d) <= r2)
                        want |= UINT64_C(1) << q % KYMO_BUCKET_ROWS;
                assert_true(kymo_kdtree_near(&t, s, leaf, r2, NULL) == want);
                found += want != 0;
            }
        }
        kymo_arena_release(&a);
    }
    assert_true(found > 10000);
}

static void collect(const struct kymo_kdtree *t, struct kymo_kdnode v, unsigned *seen)
{
    const double *box = kymo_kdtree_box(t, v.i);
    const size_t half = kymo_box_half(t->d);
    double weight = 0;
    for (size_t leaf = v.lo; leaf < v.hi; leaf++)
        for (size_t r = 0; r < KYMO_BUCKET_ROWS; r++) {
            const size_t slot = leaf * KYMO_BUCKET_ROWS + r;
            if (!(kymo_kdtree_rows(t, leaf) >> r & 1)) {
                assert_int_equal(t->row[slot], KYMO_NO_ROW);
                continue;
            }
            weight += t->slot_weight ? t->slot_weight[slot] : 1;
            seen[t->row[slot]] += v.i == 0;
            for (size_t j = 0; j < t->d; j++) {
                const double x = kymo_kdtree_at(t, slot)[j * KYMO_BUCKET_LANES];
                assert_true(box[j] <= x && x <= box[half + j]);
            }
        }
    assert_true(fabs(weight - t->weight[v.i]) <= 1e-9 * weight);
    if (kymo_kdnode_is_leaf(v))
        return;
    assert_int_equal(kymo_kdnode_left(v).hi, kymo_kdnode_right(v).lo);
    collect(t, kymo_kdnode_left(v), seen);
    collect(t, kymo_kdnode_right(v), seen);
}

static void every_row_lies_in_one_slot_and_in_the_boxes_above_it(void **state)
{
    (void)state;
    for (size_t n = 1; n < 1400; n = n * 3 / 2 + 1)
        for (int kind = 0; kind < ROWS_KINDS; kind++) {
            struct kymo_arena a;
            kymo_arena_init(&a, SIZE_MAX);
            const struct kymo_dense x = {
                .n = n, .d = 3, .f64 = rows_make(&a, (enum rows_kind)kind, n, 3, n)};
            unsigned *seen = KYMO_NEW(&a, unsigned, n);
            struct kymo_kdtree t;
            assert_int_equal(kymo_kdtree_build(&x, 2, &a, &t, NULL), KYMO_OK);
            collect(&t, kymo_kdtree_root(&t), seen);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(seen[i], 1);
            for (size_t leaf = 0; leaf < t.n_leaves; leaf++)
                assert_int_equal(kymo_kdtree_leaf(&t, leaf).lo, leaf);
            kymo_arena_release(&a);
        }
}

static void a_box_is_never_farther_than_a_row_inside_nor_nearer_than_all(void **state)
{
    (void)state;
    for (size_t w = 0; w < N_WIDTHS; w++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        const size_t d = widths[w], n = 300;
        const struct kymo_dense x = {
            .n = n, .d = d, .f64 = rows_make(&a, ROWS_CLOUDS, n, d, 3)};
        struct kymo_kdtree t;
        assert_int_equal(kymo_kdtree_build(&x, 1, &a, &t, NULL), KYMO_OK);
        for (size_t p = 0; p < t.n_leaves; p++)
            for (size_t q = 0; q < t.n_leaves; q++) {
                const double *own = kymo_kdtree_box(&t, kymo_kdtree_leaf(&t, p).i);
                const double *box = kymo_kdtree_box(&t, kymo_kdtree_leaf(&t, q).i);
                const double nearest = kymo_box_nearest(d, own, box);
                const double farthest = kymo_box_farthest(d, own, box);
                for (size_t i = 0; i < n; i++) {
                    const size_t s = p * KYMO_BUCKET_ROWS + i / KYMO_BUCKET_ROWS;
                    const size_t u = q * KYMO_BUCKET_ROWS + i % KYMO_BUCKET_ROWS;
                    if (s >= n || u >= n || s / KYMO_BUCKET_ROWS != p)
                        continue;
                    const double *r = x.f64 + t.row[s] * d, *v = x.f64 + t.row[u] * d;
                    const double dist2 = kymo_sqdist(d, r, v);
                    assert_true(nearest <= dist2 && dist2 <= farthest);
                    const uint64_t near =
                        kymo_bucket_near_box(d, box, kymo_kdtree_bucket(&t, p), dist2);
                    assert_true(near >> s % KYMO_BUCKET_ROWS & 1);
                }
            }
        kymo_arena_release(&a);
    }
}

/* By sorting all distances. */
static double reach_plain(const struct kymo_dense *x, size_t i, double enough, double *scratch)
{
    size_t m = 0;
    for (size_t q = 0; q < x->n; q++)
        for (size_t copy = (size_t)kymo_dense_weight(x, q); copy > 0; copy--)
            scratch[m++] = kymo_sqdist(x->d, x->f64 + i * x->d, x->f64 + q * x->d);
    kymo_sort_f64(m, scratch);
    return enough <= (double)m ? scratch[(size_t)enough - 1] : INFINITY;
}

static void the_reach_is_the_distance_at_which_enough_rows_are_near(void **state)
{
    (void)state;
    static const double enough[] = {1, 2, 10, 333, 700, 5000};
    for (size_t c = 0; c < 60; c++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        const size_t n = c < 6 ? 1 + c : 350 + c, d = widths[c % N_WIDTHS];
        struct kymo_dense x = {
            .n = n, .d = d, .f64 = rows_make(&a, (enum rows_kind)(c % ROWS_KINDS), n, d, c)};
        double *weight = KYMO_NEW(&a, double, n), *scratch = KYMO_NEW(&a, double, 3 * n);
        for (size_t i = 0; i < n; i++)
            weight[i] = (double)(1 + i % 3);
        x.weight = c % 2 ? weight : NULL;
        struct kymo_kdtree t;
        assert_int_equal(kymo_kdtree_build(&x, 2, &a, &t, NULL), KYMO_OK);
        double *reach2 = KYMO_NEW(&a, double, t.n_leaves *KYMO_BUCKET_ROWS);
        const double want_weight = enough[c / 2 % 6];
        assert_int_equal(kymo_kdtree_reach(&t, want_weight, 1 + (unsigned)c % 3, NULL, SIZE_MAX,
                                           reach2, NULL),
                         KYMO_OK);
        for (size_t s = 0; s < n; s++) {
            const double want = reach_plain(&x, t.row[s], want_weight, scratch);
            assert_true(reach2[s] == want);
        }
        kymo_arena_release(&a);
    }
}

static void rows_of_either_precision_and_any_threads_make_the_same_tree(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const size_t n = 2000, d = 5;
    float *narrow = KYMO_NEW(&a, float, n *d);
    double *wide = rows_make(&a, ROWS_CLOUDS, n, d, 9);
    for (size_t i = 0; i < n * d; i++)
        wide[i] = (double)(narrow[i] = (float)wide[i]);
    const struct kymo_dense f32 = {.n = n, .d = d, .f32 = narrow};
    const struct kymo_dense f64 = {.n = n, .d = d, .f64 = wide};
    struct kymo_kdtree one, more;
    assert_int_equal(kymo_kdtree_build(&f64, 1, &a, &one, NULL), KYMO_OK);
    for (unsigned threads = 1; threads <= 3; threads++) {
        assert_int_equal(kymo_kdtree_build(&f32, threads, &a, &more, NULL), KYMO_OK);
        assert_memory_equal(one.row, more.row,
                            one.n_leaves * KYMO_BUCKET_ROWS * sizeof(*one.row));
        assert_memory_equal(one.box, more.box, one.n_nodes * one.box_stride * sizeof(double));
    }
    kymo_arena_release(&a);
}

static void a_tree_within_every_budget_is_whole_or_refused(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 900, .d = 4, .f64 = rows_make(&a, ROWS_CLOUDS, 900, 4, 1)};
    int refused = 0, built = 0;
    for (size_t cap = 0; cap < 200000; cap += 4000) {
        struct kymo_arena small;
        kymo_arena_init(&small, cap);
        struct kymo_kdtree t = {.n = 77};
        struct kymo_err err = {0};
        const kymo_status s = kymo_kdtree_build(&x, 1, &small, &t, &err);
        if (s) {
            assert_int_equal(s, KYMO_ELIMIT);
            assert_int_equal(t.n, 77);
            assert_true(err.text[0]);
        }
        refused += s != KYMO_OK;
        built += s == KYMO_OK;
        kymo_arena_release(&small);
    }
    assert_true(refused > 3 && built > 3);
    kymo_arena_release(&a);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_in_a_bucket_have_the_bits_of_plain_ones),
        cmocka_unit_test(a_sieve_holds_back_no_neighbour),
        cmocka_unit_test(every_row_lies_in_one_slot_and_in_the_boxes_above_it),
        cmocka_unit_test(a_box_is_never_farther_than_a_row_inside_nor_nearer_than_all),
        cmocka_unit_test(the_reach_is_the_distance_at_which_enough_rows_are_near),
        cmocka_unit_test(rows_of_either_precision_and_any_threads_make_the_same_tree),
        cmocka_unit_test(a_tree_within_every_budget_is_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return run_at_every_level(run);
}
