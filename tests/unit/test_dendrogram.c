/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/dendrogram.h"

/* ((0,4):1, (1,(2,3):2):3):7 */
static const struct kymo_merge tree[] = {
    {0, 4, 1, 2}, {2, 3, 2, 2}, {1, 6, 3, 3}, {5, 7, 7, 5}};

static void a_cut_numbers_clusters_as_they_appear(void **state)
{
    (void)state;
    static const uint32_t want[5][5] = {
        {0, 0, 0, 0, 0}, {0, 1, 1, 1, 0}, {0, 1, 2, 2, 0}, {0, 1, 2, 3, 0}, {0, 1, 2, 3, 4}};
    uint32_t label[5];
    for (size_t k = 1; k <= 5; k++) {
        assert_int_equal(kymo_dendrogram_cut(5, tree, k, label, NULL), KYMO_OK);
        assert_memory_equal(label, want[k - 1], sizeof(label));
    }
    assert_int_equal(kymo_dendrogram_cut(1, tree, 1, label, NULL), KYMO_OK);
    assert_int_equal(label[0], 0);
}

static void a_cut_by_height_takes_what_is_no_higher(void **state)
{
    (void)state;
    static const double heights[] = {0.5, 1, 2.5, 3, 100};
    static const size_t want[] = {5, 4, 3, 2, 1};
    uint32_t label[5];
    for (size_t i = 0; i < 5; i++) {
        size_t k = 0;
        assert_int_equal(kymo_dendrogram_cut_height(5, tree, heights[i], label, &k, NULL),
                         KYMO_OK);
        assert_int_equal(k, want[i]);
    }
}

static void a_merge_below_its_part_is_as_high_as_that(void **state)
{
    (void)state;
    const struct kymo_merge turned[] = {{0, 1, 5, 2}, {2, 3, 4, 3}};
    uint32_t label[3];
    size_t k = 0;
    assert_int_equal(kymo_dendrogram_cut_height(3, turned, 4.5, label, &k, NULL), KYMO_OK);
    assert_int_equal(k, 3);
    assert_int_equal(kymo_dendrogram_cut_height(3, turned, 5, label, &k, NULL), KYMO_OK);
    assert_int_equal(k, 1);
}

static void the_best_cut_finds_three_clumps(void **state)
{
    (void)state;
    double v[60];
    for (size_t i = 0; i < 60; i++)
        v[i] = (double)(i % 3) * 100 + (double)i * 0.1;
    const struct kymo_dense x = {.n = 60, .d = 1, .f64 = v};
    const struct kymo_linkage_in in = {
        .method = KYMO_LINKAGE_AVERAGE, .rows = &x, .n_threads = 1};
    struct kymo_arena a;
    kymo_arena_init(&a, (size_t)1 << 24);
    struct kymo_linkage_out out;
    assert_int_equal(kymo_linkage(&in, &a, &out, NULL), KYMO_OK);
    static const enum kymo_cut_index index[] = {KYMO_CUT_SILHOUETTE, KYMO_CUT_CALINSKI};
    for (size_t t = 0; t < 2; t++) {
        size_t k = 0;
        uint32_t label[60];
        double score[9];
        assert_int_equal(
            kymo_dendrogram_best(&x, out.Z, index[t], 2, 8, 2, score, &k, label, NULL),
            KYMO_OK);
        if (t == 0)
            assert_int_equal(k, 3);
        for (size_t i = 0; i < 60 && k == 3; i++)
            assert_int_equal(label[i], i % 3);
        for (size_t c = 2; c <= 8; c++)
            assert_true(score[c - 2] <= score[k - 2]);
    }
    kymo_arena_release(&a);
}

static void cophenetic_sums_by_hand(void **state)
{
    (void)state;
    double sum, square;
    assert_int_equal(kymo_dendrogram_cophenetic(5, tree, &sum, &square, NULL), KYMO_OK);
    assert_true(sum == 1 + 2 + 2 * 3 + 6 * 7);
    assert_true(square == 1 + 4 + 2 * 9 + 6 * 49);
}

static void order_crosses_no_branches(void **state)
{
    (void)state;
    static const uint32_t want[] = {0, 4, 1, 2, 3};
    uint32_t order[5];
    assert_int_equal(kymo_dendrogram_order(5, tree, order, NULL), KYMO_OK);
    assert_memory_equal(order, want, sizeof(want));
}

static void check_text(struct kymo_buf *b, const char *want)
{
    assert_false(b->failed);
    kymo_buf_u8(b, 0);
    assert_string_equal((const char *)b->p, want);
    kymo_buf_release(b);
}

static void newick_has_lengths_and_quotes_hostile_names(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    assert_int_equal(kymo_dendrogram_newick(5, tree, NULL, &b, NULL), KYMO_OK);
    check_text(&b, "((0:1,4:1):6,(1:3,(2:2,3:2):1):4);\n");
    static const char *const names[] = {"plain-1.2", "a b", "it's", "x);(y:1,'", "a_\n\x7f"};
    assert_int_equal(kymo_dendrogram_newick(5, tree, names, &b, NULL), KYMO_OK);
    check_text(&b, "((plain-1.2:1,'a_  ':1):6,('a b':3,('it''s':2,'x);(y:1,''':2):1):4);\n");
    static const char *const none[] = {"", NULL};
    assert_int_equal(
        kymo_dendrogram_newick(2, &(struct kymo_merge){0, 1, 3, 2}, none, &b, NULL), KYMO_OK);
    check_text(&b, "('':3,1:3);\n");
    assert_int_equal(kymo_dendrogram_newick(1, NULL, NULL, &b, NULL), KYMO_OK);
    check_text(&b, "0;\n");
}

static void a_deep_chain_is_written_without_recursion(void **state)
{
    (void)state;
    enum { N = 20000 };
    static struct kymo_merge chain[N - 1];
    for (size_t i = 0; i + 1 < N; i++)
        chain[i] = (struct kymo_merge){i ? (double)(i + 1) : 0, i ? (double)(N + i - 1) : 1,
                                       (double)(i + 1), (double)(i + 2)};
    struct kymo_buf b = {0};
    assert_int_equal(kymo_dendrogram_newick(N, chain, NULL, &b, NULL), KYMO_OK);
    assert_false(b.failed);
    size_t open = 0, close = 0;
    for (size_t i = 0; i < b.n; i++) {
        open += b.p[i] == '(';
        close += b.p[i] == ')';
    }
    assert_int_equal(open, N - 1);
    assert_int_equal(close, N - 1);
    kymo_buf_release(&b);
}

static void gnuplot_draws_a_bracket_a_merge(void **state)
{
    (void)state;
    const struct kymo_merge three[] = {{0, 2, 1, 2}, {1, 3, 2.5, 3}};
    struct kymo_buf b = {0};
    assert_int_equal(kymo_dendrogram_gnuplot(3, three, &b, NULL), KYMO_OK);
    check_text(&b, "# 0 1\n# 1 0\n# 2 2\n"
                   "1 0\n1 1\n2 1\n2 0\n\n"
                   "0 0\n0 2.5\n1.5 2.5\n1.5 1\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_numbers_clusters_as_they_appear),
        cmocka_unit_test(a_cut_by_height_takes_what_is_no_higher),
        cmocka_unit_test(a_merge_below_its_part_is_as_high_as_that),
        cmocka_unit_test(the_best_cut_finds_three_clumps),
        cmocka_unit_test(cophenetic_sums_by_hand),
        cmocka_unit_test(order_crosses_no_branches),
        cmocka_unit_test(newick_has_lengths_and_quotes_hostile_names),
        cmocka_unit_test(a_deep_chain_is_written_without_recursion),
        cmocka_unit_test(gnuplot_draws_a_bracket_a_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
