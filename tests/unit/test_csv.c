/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/io/csv.h"

static char text[1024];

static kymo_status parse(struct kymo_matrix *m, const char *s, struct kymo_err *err)
{
    snprintf(text, sizeof(text), "%s", s);
    kymo_matrix_init(m, 1 << 20);
    return kymo_csv_parse(m, text, strlen(text), "x.csv", err);
}

static void take(const char *s, size_t n, size_t d, double last, const char *name)
{
    struct kymo_matrix m;
    struct kymo_err err = {0};
    if (parse(&m, s, &err))
        fail_msg("%s: %s", s, err.text);
    assert_int_equal(m.n, n);
    assert_int_equal(m.d, d);
    assert_true(m.X[n * d - 1] == last);
    assert_string_equal(m.column[0].name, name);
    kymo_matrix_release(&m);
}

static void commas_tabs_and_semicolons_separate(void **state)
{
    (void)state;
    take("a,b\n1,2\n3,4\n", 2, 2, 4, "a");
    take("a\tb\n1\t2\n3\t4\n", 2, 2, 4, "a");
    take("a;b\n1;2\n3;4\n", 2, 2, 4, "a");
    take("a\n1\n2\n", 2, 1, 2, "a");
}

static void quotes_crlf_blank_lines_and_a_byte_order_mark_are_read(void **state)
{
    (void)state;
    take("\"a, \"\"x\"\"\",b\r\n\"1\",2\r\n", 1, 2, 2, "a, \"x\"");
    take("\xEF\xBB\xBF"
         "a,b\n\n 1 , 2 \n\n\n3,4",
         2, 2, 4, "a");
}

static void the_facts_of_rows_are_no_features(void **state)
{
    (void)state;
    take("ts,dur,real,capture,entity,events,lost,f\n2,1,0,0,\"a b\",5,0,3.5\n", 1, 1, 3.5, "f");
    take("ts,dur\n2,1\n", 1, 2, 1, "ts"); /* only all of them together */
}

static void refuse(const char *s, kymo_status want, const char *word)
{
    struct kymo_matrix m;
    struct kymo_err err = {0};
    assert_int_equal(parse(&m, s, &err), want);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not say '%s'", err.text, word);
    kymo_matrix_release(&m);
}

static void cells_that_are_no_numbers_are_named(void **state)
{
    (void)state;
    refuse("a,b\n1,2\n3,nan\n", KYMO_EINPUT, "'b' of row 2 (line 3)");
    refuse("a,b\n1,2\n-inf,1\n", KYMO_EINPUT, "'a' of row 2");
    refuse("a,b\n1,\n", KYMO_EINPUT, "'b' of row 1");
    refuse("a,b\n1,2x\n", KYMO_EINPUT, "'2x'");
    refuse("a,b\n\"1\n\",2\n3,x\n", KYMO_EINPUT, "'a' of row 1");
    refuse("a,b\n1,1e999\n", KYMO_EINPUT, "'b' of row 1");
}

static void ragged_rows_open_quotes_and_bare_numbers_are_refused(void **state)
{
    (void)state;
    refuse("a,b\n1\n", KYMO_ECORRUPT, "line 2 has 1 cells, the header has 2");
    refuse("a,b\n1,2,3\n", KYMO_ECORRUPT, "line 2 has 3");
    refuse("a,b\n\"1,2\n", KYMO_ECORRUPT, "quote in line 2");
    refuse("1,2\n3,4\n", KYMO_EINPUT, "header line");
    refuse("", KYMO_EINPUT, "empty");
}

static void what_is_written_is_read_again_to_the_last_bit(void **state)
{
    (void)state;
    struct kymo_matrix m, back;
    assert_int_equal(parse(&m, "\"q\"\"\",b\n0.1,1e-310\n-3,0.30000000000000004\n", NULL),
                     KYMO_OK);
    FILE *f = tmpfile();
    assert_int_equal(kymo_csv_write(fileno(f), &m, "x", NULL), KYMO_OK);
    rewind(f);
    static char again[1024];
    const size_t n = fread(again, 1, sizeof(again) - 1, f);
    kymo_matrix_init(&back, 1 << 20);
    assert_int_equal(kymo_csv_parse(&back, again, n, "x", NULL), KYMO_OK);
    assert_memory_equal(m.X, back.X, 4 * sizeof(double));
    assert_string_equal(back.column[0].name, "q\"");
    fclose(f);
    kymo_matrix_release(&m);
    kymo_matrix_release(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_tabs_and_semicolons_separate),
        cmocka_unit_test(quotes_crlf_blank_lines_and_a_byte_order_mark_are_read),
        cmocka_unit_test(the_facts_of_rows_are_no_features),
        cmocka_unit_test(cells_that_are_no_numbers_are_named),
        cmocka_unit_test(ragged_rows_open_quotes_and_bare_numbers_are_refused),
        cmocka_unit_test(what_is_written_is_read_again_to_the_last_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
