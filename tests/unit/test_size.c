/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/base/size.h"

static void add_gives_the_sum_up_to_the_last_that_fits(void **state)
{
    (void)state;
    size_t r = 0;
    assert_true(kymo_size_add(SIZE_MAX - 1, 1, &r));
    assert_true(r == SIZE_MAX);
}

static void add_refuses_overflow_and_moves_nothing(void **state)
{
    (void)state;
    size_t r = 5;
    assert_false(kymo_size_add(SIZE_MAX, 1, &r));
    assert_int_equal(r, 5);
}

static void mul_refuses_overflow_and_moves_nothing(void **state)
{
    (void)state;
    size_t r = 5;
    assert_false(kymo_size_mul(SIZE_MAX / 2 + 1, 2, &r));
    assert_int_equal(r, 5);
    assert_true(kymo_size_mul(SIZE_MAX / 2, 2, &r));
    assert_true(r == SIZE_MAX - 1);
}

static void round_up_goes_to_the_next_multiple_and_stays_on_one(void **state)
{
    (void)state;
    assert_int_equal(kymo_size_round_up(0, 16), 0);
    assert_int_equal(kymo_size_round_up(1, 16), 16);
    assert_int_equal(kymo_size_round_up(16, 16), 16);
    assert_int_equal(kymo_size_round_up(17, 16), 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_gives_the_sum_up_to_the_last_that_fits),
        cmocka_unit_test(add_refuses_overflow_and_moves_nothing),
        cmocka_unit_test(mul_refuses_overflow_and_moves_nothing),
        cmocka_unit_test(round_up_goes_to_the_next_multiple_and_stays_on_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
