/* SPDX-License-Identifier: Apache-2.0
 * test_clocksteps.c: a wall clock that was set and a host that slept, told from anchors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "format/io/clocksteps.h"

#define S 1000000000ull

static struct kymo_clocksteps steps;
static struct kymo_rows *rows;

static int setup(void **state)
{
    (void)state;
    memset(&steps, 0, sizeof(steps));
    return kymo_rows_open(&rows, &KYMO_TABLE_CLOCK, 4096, NULL);
}

static int teardown(void **state)
{
    (void)state;
    kymo_rows_close(rows);
    return 0;
}

static void anchor(uint64_t mono, uint64_t boot, uint64_t real)
{
    const uint32_t i = kymo_rows_add(rows);
    kymo_rows_set(rows, KYMO_CLOCK_TS, i, mono);
    kymo_rows_set(rows, KYMO_CLOCK_BOOT, i, boot);
    kymo_rows_set(rows, KYMO_CLOCK_REAL, i, real);
}

static void learn(void)
{
    const struct kymo_batch b = kymo_rows_view(rows);
    kymo_clocksteps_learn(&steps, &b);
    kymo_rows_clear(rows);
}

static void clocks_that_run_together_were_not_set(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        anchor(10 * i * S, 10 * i * S + 5, 1700000000 * S + 10 * i * S + i * 5000000);
    learn();
    assert_int_equal(steps.n_all, 0);
}

static void a_clock_is_set_forward_and_back(void **state)
{
    (void)state;
    anchor(10 * S, 10 * S, 1000 * S);
    anchor(11 * S, 11 * S, 4601 * S);
    learn(); /* chunks are of no account */
    anchor(20 * S, 20 * S, 4610 * S);
    anchor(21 * S, 21 * S, 4610 * S);
    learn();
    assert_int_equal(steps.n, 2);
    assert_int_equal(steps.step[0].from_ns, 10 * S);
    assert_int_equal(steps.step[0].ts_ns, 11 * S);
    assert_int_equal(steps.step[0].set_ns, (int64_t)(3600 * S));
    assert_int_equal(steps.step[0].slept_ns, 0);
    assert_int_equal(steps.step[1].set_ns, -(int64_t)S);
}

static void a_host_that_slept_did_not_set_its_clock(void **state)
{
    (void)state;
    anchor(10 * S, 10 * S, 1000 * S);
    anchor(11 * S, 611 * S, 1601 * S);
    learn();
    assert_int_equal(steps.n, 1);
    assert_int_equal(steps.step[0].slept_ns, 600 * S);
    assert_int_equal(steps.step[0].set_ns, 0);
}

static void what_is_not_in_order_is_passed_over(void **state)
{
    (void)state;
    anchor(10 * S, 10 * S, 1000 * S);
    anchor(9 * S, 99 * S, 5000 * S);
    anchor(12 * S, 12 * S, 1002 * S);
    learn();
    assert_int_equal(steps.n_all, 0);
}

static void very_many_steps_are_counted(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        anchor(i * S, i * S, i * 100 * S);
    learn();
    assert_int_equal(steps.n, KYMO_CLOCKSTEPS_MAX);
    assert_int_equal(steps.n_all, 999);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clocks_that_run_together_were_not_set),
        TEST(a_clock_is_set_forward_and_back),
        TEST(a_host_that_slept_did_not_set_its_clock),
        TEST(what_is_not_in_order_is_passed_over),
        TEST(very_many_steps_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
