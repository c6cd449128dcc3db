/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/bytes.h"
#include "format/base/file.h"
#include "format/base/json.h"

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    struct kymo_err err = {0};
    if (kymo_json_parse(&j, text, strlen(text), "t.json", &err))
        print_message("%s\n", err.text);
    return j;
}

static void refuses(const char *text, const char *why)
{
    json_t *j = (json_t *)&text; /* a place nobody may write to */
    struct kymo_err err = {0};
    assert_int_not_equal(kymo_json_parse(&j, text, strlen(text), "t.json", &err), KYMO_OK);
    assert_ptr_equal(j, &text);
    assert_non_null(strstr(err.text, "t.json"));
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void what_is_not_strict_json_is_refused_and_named(void **state)
{
    (void)state;
    refuses("", "not JSON");
    refuses("{\"a\":1,}", "line 1");
    refuses("{\"a\":1}\n{", "line 2");
    refuses("{\"a\":1,\"a\":2}", "duplicate");
    refuses("{\"a\":NaN}", "not JSON");
    refuses("[1e999]", "not JSON");
    refuses("[\"\xff\"]", "decode byte");
}

static void deep_nesting_is_refused_before_parsing(void **state)
{
    (void)state;
    char text[200];
    memset(text, '[', sizeof(text));
    text[100] = '\0';
    refuses(text, "nested deeper");
    /* brackets in a string are no nesting */
    memset(text, '[', sizeof(text));
    memcpy(text, "[\"\\\"", 4);
    memcpy(text + 150, "\"]", 3);
    json_t *j = parse(text);
    assert_non_null(j);
    json_decref(j);
}

static void get_refuses_what_is_missing_or_of_another_type(void **state)
{
    (void)state;
    json_t *j = parse("{\"n\": 3, \"s\": \"x\", \"yes\": true}");
    json_t *v = NULL;
    struct kymo_err err = {0};
    assert_int_equal(kymo_json_get(j, "absent", JSON_ARRAY, "m.json", &v, &err), KYMO_EINPUT);
    assert_string_equal(err.text, "m.json: \"absent\" is missing");
    assert_int_equal(kymo_json_get(j, "s", JSON_ARRAY, "m.json", &v, &err), KYMO_EINPUT);
    assert_string_equal(err.text, "m.json: \"s\" is a string, not an array");
    assert_int_equal(
        kymo_json_get(json_object_get(j, "n"), "s", JSON_ARRAY, "m.json", &v, &err),
        KYMO_EINPUT);
    assert_null(v);
    assert_int_equal(kymo_json_get(j, "yes", JSON_TRUE, "m.json", &v, &err), KYMO_OK);
    assert_true(json_is_true(v));
    json_decref(j);
}

static void sixty_four_bits_travel_as_a_string_or_as_a_number(void **state)
{
    (void)state;
    json_t *j =
        parse("{\"n\": 7, \"s\": \"18446744073709551615\", \"minus\": -1, \"bad\": \"12x\","
              " \"big\": \"18446744073709551616\", \"empty\": \"\", \"sign\": \"-1\"}");
    uint64_t v = 42;
    assert_int_equal(kymo_json_get_u64(j, "minus", "m", &v, NULL), KYMO_EINPUT);
    assert_int_equal(kymo_json_get_u64(j, "bad", "m", &v, NULL), KYMO_EINPUT);
    assert_int_equal(kymo_json_get_u64(j, "big", "m", &v, NULL), KYMO_EINPUT);
    assert_int_equal(kymo_json_get_u64(j, "empty", "m", &v, NULL), KYMO_EINPUT);
    assert_int_equal(kymo_json_get_u64(j, "sign", "m", &v, NULL), KYMO_EINPUT);
    assert_true(v == 42);
    assert_int_equal(kymo_json_get_u64(j, "n", "m", &v, NULL), KYMO_OK);
    assert_true(v == 7);
    assert_int_equal(kymo_json_get_u64(j, "s", "m", &v, NULL), KYMO_OK);
    assert_true(v == UINT64_MAX);
    json_decref(j);
}

static void a_real_may_be_written_as_a_whole_number(void **state)
{
    (void)state;
    json_t *j = parse("{\"whole\": 3, \"real\": 0.25, \"text\": \"1\"}");
    double v = 42;
    assert_int_equal(kymo_json_get_f64(j, "text", "m", &v, NULL), KYMO_EINPUT);
    assert_true(v == 42);
    assert_int_equal(kymo_json_get_f64(j, "whole", "m", &v, NULL), KYMO_OK);
    assert_true(v == 3);
    assert_int_equal(kymo_json_get_f64(j, "real", "m", &v, NULL), KYMO_OK);
    assert_true(v == 0.25);
    json_decref(j);
}

static void what_is_written_is_read_back_equal_to_the_last_bit(void **state)
{
    (void)state;
    char path[] = "/tmp/kymo-test-json-XXXXXX";
    close(mkstemp(path));
    json_t *j =
        parse("{\"z\": [0.1, 1e-300, 5e-324, 3, -0.0, 1e22], \"a\": {\"e\": [], \"o\": {}},"
              " \"t\": \"\\\"\\\\\\u0001\\u00e9\", \"b\": [true, false, null, [1]]}");
    assert_int_equal(kymo_json_write(j, path, 0, NULL), KYMO_EUSAGE);
    assert_int_equal(kymo_json_write(j, path, 1, NULL), KYMO_OK);
    json_t *back = NULL;
    assert_int_equal(kymo_json_read(&back, path, NULL), KYMO_OK);
    assert_true(json_equal(j, back));
    /* the order of keys is the order they were put in */
    struct kymo_buf text = {0};
    assert_int_equal(kymo_file_read(&text, path, 10000, NULL), KYMO_OK);
    kymo_buf_u8(&text, 0);
    const char *s = (const char *)text.p;
    assert_true(strstr(s, "\"z\"") < strstr(s, "\"a\""));
    assert_non_null(strstr(s, "[0.10000000000000001, "));
    kymo_buf_release(&text);
    json_decref(back);
    json_decref(j);
    unlink(path);
}

static void quote_escapes_what_json_must_not_hold(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    kymo_json_quote(&b, "a\"\\\n\0\xff\xc3\xa9\x7f", 9);
    kymo_buf_u8(&b, 0);
    assert_string_equal((char *)b.p, "\"a\\\"\\\\\\u000a\\u0000\xef\xbf\xbd\xc3\xa9\\u007f\"");
    json_t *j = json_loads((char *)b.p, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(j);
    json_decref(j);
    kymo_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_strict_json_is_refused_and_named),
        cmocka_unit_test(deep_nesting_is_refused_before_parsing),
        cmocka_unit_test(get_refuses_what_is_missing_or_of_another_type),
        cmocka_unit_test(sixty_four_bits_travel_as_a_string_or_as_a_number),
        cmocka_unit_test(a_real_may_be_written_as_a_whole_number),
        cmocka_unit_test(what_is_written_is_read_back_equal_to_the_last_bit),
        cmocka_unit_test(quote_escapes_what_json_must_not_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
