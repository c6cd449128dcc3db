/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/err.h"

static kymo_status refuse(struct kymo_err *err, int value)
{
    return KYMO_FAIL(err, KYMO_ECORRUPT, 40, "%d items cannot fit", value);
}

static kymo_status refuse_below(struct kymo_err *err, int *reached)
{
    KYMO_TRY(refuse(err, 7));
    *reached = 1;
    return KYMO_OK;
}

static void fail_carries_code_place_and_text(void **state)
{
    (void)state;
    struct kymo_err err = {0};
    assert_int_equal(refuse(&err, 3), KYMO_ECORRUPT);
    assert_int_equal(err.code, KYMO_ECORRUPT);
    assert_int_equal(err.at_bytes, 40);
    assert_string_equal(err.text, "3 items cannot fit");
}

static void fail_without_a_place_to_write_still_fails(void **state)
{
    (void)state;
    assert_int_equal(refuse(NULL, 3), KYMO_ECORRUPT);
}

static void try_returns_at_the_first_failure_and_leaves_its_message(void **state)
{
    (void)state;
    struct kymo_err err = {0};
    int reached = 0;
    assert_int_equal(refuse_below(&err, &reached), KYMO_ECORRUPT);
    assert_int_equal(reached, 0);
    assert_string_equal(err.text, "7 items cannot fit");
}

static void a_long_message_is_cut_and_ends_with_nul(void **state)
{
    (void)state;
    struct kymo_err err;
    char text[2 * KYMO_ERR_BYTES_MAX];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    kymo_err_set(&err, KYMO_EINPUT, KYMO_NOWHERE, "%s", text);
    assert_int_equal(strlen(err.text), KYMO_ERR_BYTES_MAX - 1);
}

static void every_status_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = KYMO_OK; a <= KYMO_ESTOPPED; a++)
        for (int b = KYMO_OK; b < a; b++)
            assert_string_not_equal(kymo_status_name((kymo_status)a),
                                    kymo_status_name((kymo_status)b));
    assert_string_equal(kymo_status_name(KYMO_ECORRUPT), "corrupt input");
    assert_string_equal(kymo_status_name((kymo_status)99), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_carries_code_place_and_text),
        cmocka_unit_test(fail_without_a_place_to_write_still_fails),
        cmocka_unit_test(try_returns_at_the_first_failure_and_leaves_its_message),
        cmocka_unit_test(a_long_message_is_cut_and_ends_with_nul),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
