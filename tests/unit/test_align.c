/* SPDX-License-Identifier: Apache-2.0
 * test_align.c: as few as possible are left over, whatever was cut out, put in or changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/rng.h"
#include "replay/proof/align.h"

#define N_MAX 4000u

static struct kymo_aligner *al;
static uint32_t pair[N_MAX];

static int set_up(void **state)
{
    (void)state;
    return kymo_aligner_open(&al, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    kymo_aligner_close(al);
    return 0;
}

/* The distance, after a look at the pairs: equal items, in order, and as many as the distance says. */
static uint64_t align(const uint32_t *a, uint32_t n, const uint32_t *b, uint32_t m)
{
    const uint64_t d = kymo_align(al, a, n, b, m, pair);
    uint64_t pairs = 0;
    int64_t last = -1;
    for (uint32_t i = 0; i < n; i++) {
        if (pair[i] == KYMO_UNPAIRED)
            continue;
        assert_true(pair[i] < m);
        assert_true((int64_t)pair[i] > last);
        assert_int_equal(a[i], b[pair[i]]);
        last = pair[i];
        pairs++;
    }
    assert_int_equal(d, n + m - 2 * pairs);
    return d;
}

/* By the definition: the longest common subsequence in a table. */
static uint64_t distance(const uint32_t *a, uint32_t n, const uint32_t *b, uint32_t m)
{
    uint32_t *row = calloc(m + 1, sizeof(*row));
    assert_non_null(row);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0, corner = 0; j < m; j++) {
            const uint32_t above = row[j + 1];
            row[j + 1] = a[i] == b[j] ? corner + 1 : above > row[j] ? above : row[j];
            corner = above;
        }
    const uint64_t d = n + m - 2 * row[m];
    free(row);
    return d;
}

static void equal_sequences_pair_one_by_one(void **state)
{
    (void)state;
    const uint32_t a[] = {3, 1, 4, 1, 5};
    assert_int_equal(align(a, 5, a, 5), 0);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(pair[i], i);
    assert_int_equal(align(a, 0, a, 0), 0);
    assert_int_equal(align(a, 5, a, 0), 5);
    assert_int_equal(align(a, 0, a, 5), 5);
}

static void an_item_too_few_is_found_where_it_is(void **state)
{
    (void)state;
    const uint32_t a[] = {1, 2, 3, 4, 5}, b[] = {1, 2, 4, 5};
    assert_int_equal(align(a, 5, b, 4), 1);
    assert_int_equal(pair[2], KYMO_UNPAIRED);
    assert_int_equal(pair[3], 2);
    assert_int_equal(align(b, 4, a, 5), 1);
}

static void the_example_of_the_paper_takes_five_edits(void **state)
{
    (void)state;
    const uint32_t a[] = {'A', 'B', 'C', 'A', 'B', 'B', 'A'};
    const uint32_t b[] = {'C', 'B', 'A', 'B', 'A', 'C'};
    assert_int_equal(align(a, 7, b, 6), 5);
}

static void distances_are_those_of_the_definition(void **state)
{
    (void)state;
    struct kymo_rng r;
    uint32_t a[60], b[60];
    kymo_rng_init(&r, 11);
    for (int round = 0; round < 3000; round++) {
        const uint32_t letters = 1 + (uint32_t)kymo_rng_below(&r, 6);
        const uint32_t n = (uint32_t)kymo_rng_below(&r, 61),
                       m = (uint32_t)kymo_rng_below(&r, 61);
        for (uint32_t i = 0; i < n; i++)
            a[i] = (uint32_t)kymo_rng_below(&r, letters);
        for (uint32_t i = 0; i < m; i++)
            b[i] = (uint32_t)kymo_rng_below(&r, letters);
        assert_int_equal(align(a, n, b, m), distance(a, n, b, m));
    }
}

static void past_what_is_exact_it_is_a_bound_that_is_near(void **state)
{
    (void)state;
    static uint32_t a[N_MAX], b[N_MAX];
    struct kymo_rng r;
    uint32_t m = 0;
    kymo_rng_init(&r, 5);
    for (uint32_t i = 0; i < N_MAX; i++) {
        a[i] = (uint32_t)kymo_rng_below(&r, 50);
        if (kymo_rng_below(&r, 5)) /* a fifth is missing */
            b[m++] = a[i];
    }
    const uint64_t exact = distance(a, N_MAX, b, m), got = align(a, N_MAX, b, m);
    assert_true(exact > KYMO_ALIGN_EXACT);
    assert_true(got >= exact && got <= exact + exact / 5);
    for (uint32_t i = 0; i < N_MAX; i++)
        b[i] = 1000 + i;
    assert_int_equal(align(a, N_MAX, b, N_MAX), 2 * N_MAX); /* nothing in common */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_sequences_pair_one_by_one),
        cmocka_unit_test(an_item_too_few_is_found_where_it_is),
        cmocka_unit_test(the_example_of_the_paper_takes_five_edits),
        cmocka_unit_test(distances_are_those_of_the_definition),
        cmocka_unit_test(past_what_is_exact_it_is_a_bound_that_is_near),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
