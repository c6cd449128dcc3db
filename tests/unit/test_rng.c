/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/base/rng.h"

/* From the state 1, 2, 3, 4; the first is rotl(2 * 5, 7) * 9. */
static void the_first_numbers_are_those_of_the_algorithm(void **state)
{
    (void)state;
    struct kymo_rng r = {{1, 2, 3, 4}};
    assert_true(kymo_rng_u64(&r) == 11520);
    assert_true(kymo_rng_u64(&r) == 0);
    assert_true(kymo_rng_u64(&r) == 1509978240);
    assert_true(kymo_rng_u64(&r) == 1215971899390074240);
}

static void one_seed_gives_one_sequence_and_another_seed_another(void **state)
{
    (void)state;
    struct kymo_rng a;
    struct kymo_rng b;
    struct kymo_rng c;
    kymo_rng_init(&a, 7);
    kymo_rng_init(&b, 7);
    kymo_rng_init(&c, 8);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        const uint64_t v = kymo_rng_u64(&a);
        assert_true(v == kymo_rng_u64(&b));
        same += v == kymo_rng_u64(&c);
    }
    assert_int_equal(same, 0);
}

static void below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    struct kymo_rng r;
    kymo_rng_init(&r, 1);
    unsigned seen[7] = {0};
    for (int i = 0; i < 70000; i++)
        seen[kymo_rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 9600, 10400); /* 4 standard deviations of 10000 */
    assert_true(kymo_rng_below(&r, 1) == 0);
}

static void below_of_a_large_range_is_not_biased(void **state)
{
    (void)state;
    /* A plain remainder of 3 * 2^62 would fall below 2^62 half of the time, not a third. */
    struct kymo_rng r;
    kymo_rng_init(&r, 2);
    const uint64_t third = (uint64_t)1 << 62;
    unsigned low = 0;
    for (int i = 0; i < 30000; i++)
        low += kymo_rng_below(&r, 3 * third) < third;
    assert_in_range(low, 9650, 10350);
}

static void unit_is_in_its_range_with_the_right_mean(void **state)
{
    (void)state;
    struct kymo_rng r;
    kymo_rng_init(&r, 3);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        const double v = kymo_rng_unit(&r);
        assert_true(v >= 0 && v < 1);
        sum += v;
    }
    assert_true(sum > 49600 && sum < 50400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_numbers_are_those_of_the_algorithm),
        cmocka_unit_test(one_seed_gives_one_sequence_and_another_seed_another),
        cmocka_unit_test(below_stays_below_and_reaches_all),
        cmocka_unit_test(below_of_a_large_range_is_not_biased),
        cmocka_unit_test(unit_is_in_its_range_with_the_right_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
