/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/arena.h"

#define CAP_BYTES ((size_t)1 << 20)

static int with_arena(void **state)
{
    static struct kymo_arena a;
    kymo_arena_init(&a, CAP_BYTES);
    *state = &a;
    return 0;
}

static int without_arena(void **state)
{
    kymo_arena_release(*state);
    return 0;
}

static void what_is_handed_out_is_zeroed_aligned_and_apart(void **state)
{
    struct kymo_arena *a = *state;
    uint8_t *p[100];
    for (size_t i = 0; i < 100; i++) {
        p[i] = kymo_arena_alloc(a, i, 7);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t j = 0; j < 7 * i; j++)
            assert_int_equal(p[i][j], 0);
        memset(p[i], (int)i, 7 * i);
    }
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 0; j < 7 * i; j++)
            assert_int_equal(p[i][j], i);
}

static void reused_memory_is_zeroed_again(void **state)
{
    struct kymo_arena *a = *state;
    memset(kymo_arena_alloc(a, 1000, 1), 0xee, 1000);
    kymo_arena_reset(a);
    const uint8_t *p = kymo_arena_alloc(a, 1000, 1);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(p[i], 0);
}

static void the_cap_ends_it_and_what_was_given_stays(void **state)
{
    struct kymo_arena *a = *state;
    char *first = kymo_arena_str(a, "still here", 10);
    size_t given = 0;
    while (kymo_arena_alloc(a, 1, 1000))
        given += 1000;
    assert_in_range(given, CAP_BYTES / 2, CAP_BYTES);
    assert_in_range(a->used_bytes, given, CAP_BYTES);
    assert_string_equal(first, "still here");
}

static void more_than_the_cap_is_refused_and_costs_nothing(void **state)
{
    struct kymo_arena *a = *state;
    assert_null(kymo_arena_alloc(a, 1, CAP_BYTES + 1));
    assert_int_equal(a->used_bytes, 0);
    assert_non_null(kymo_arena_alloc(a, 1, CAP_BYTES / 2));
}

static void a_product_that_overflows_is_refused(void **state)
{
    assert_null(kymo_arena_alloc(*state, SIZE_MAX / 2 + 2, 2));
    assert_null(kymo_arena_alloc(*state, 1, SIZE_MAX));
    assert_null(kymo_arena_str(*state, "x", SIZE_MAX));
}

static void none_asked_for_gives_a_pointer(void **state)
{
    assert_non_null(kymo_arena_alloc(*state, 0, 100));
    assert_non_null(kymo_arena_alloc(*state, 100, 0));
}

static void reset_brings_the_whole_cap_back(void **state)
{
    struct kymo_arena *a = *state;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 5; i++)
            assert_non_null(kymo_arena_alloc_raw(a, 1, CAP_BYTES / 8));
        kymo_arena_reset(a);
        assert_true(a->used_bytes <= CAP_BYTES);
    }
}

static void after_a_reset_the_same_need_is_one_block(void **state)
{
    struct kymo_arena *a = *state;
    uint8_t *p = NULL;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 5; i++) {
            uint8_t *q = kymo_arena_alloc_raw(a, 1, CAP_BYTES / 16);
            assert_non_null(q);
            if (round && i)
                assert_ptr_equal(q, p + CAP_BYTES / 16);
            p = q;
            if (i == 4)
                kymo_arena_reset(a);
        }
}

static void the_chosen_call_fails_once(void **state)
{
    struct kymo_arena *a = *state;
    a->fail_at = 3;
    assert_non_null(kymo_arena_alloc(a, 1, 8));
    assert_non_null(kymo_arena_str(a, "x", 1));
    assert_null(kymo_arena_alloc(a, 1, 8));
    assert_non_null(kymo_arena_alloc(a, 1, 8));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_arena, without_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_handed_out_is_zeroed_aligned_and_apart),
        TEST(reused_memory_is_zeroed_again),
        TEST(the_cap_ends_it_and_what_was_given_stays),
        TEST(more_than_the_cap_is_refused_and_costs_nothing),
        TEST(a_product_that_overflows_is_refused),
        TEST(none_asked_for_gives_a_pointer),
        TEST(reset_brings_the_whole_cap_back),
        TEST(after_a_reset_the_same_need_is_one_block),
        TEST(the_chosen_call_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
