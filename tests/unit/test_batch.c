/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/trace/batch.h"

static struct kymo_rows *open_rows(const struct kymo_schema *s, uint32_t cap)
{
    struct kymo_rows *r = NULL;
    assert_int_equal(kymo_rows_open(&r, s, cap, NULL), KYMO_OK);
    return r;
}

static void the_same_text_has_the_same_id_and_the_empty_one_is_zero(void **state)
{
    (void)state;
    struct kymo_rows *r = open_rows(&KYMO_TABLE_CONTEXT, 10);
    char text[32];
    uint32_t id[3000];
    assert_int_equal(kymo_rows_intern(r, "", 0), 0);
    for (uint32_t i = 0; i < 3000; i++) {
        id[i] = kymo_rows_intern(r, text, (size_t)snprintf(text, sizeof(text), "text %u", i));
        assert_int_equal(id[i], i + 1);
    }
    for (uint32_t i = 0; i < 3000; i++)
        assert_int_equal(
            kymo_rows_intern(r, text, (size_t)snprintf(text, sizeof(text), "text %u", i)),
            id[i]);
    assert_int_equal(kymo_rows_intern(r, "text 1\0", 7),
                     3001); /* a NUL is a byte like others */
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(b.str.n, 3002);
    assert_memory_equal(b.str.bytes + b.str.at[id[2999]], "text 2999", 9);
    kymo_rows_clear(r);
    assert_int_equal(kymo_rows_intern(r, "text 7", 6), 1);
    kymo_rows_close(r);
}

static void a_full_dictionary_gives_the_empty_text(void **state)
{
    (void)state;
    struct kymo_rows *r = open_rows(&KYMO_TABLE_CONTEXT, 1);
    const size_t n = KYMO_CHUNK_STR_BYTES_MAX - 10;
    char *big = calloc(1, n);
    memset(big, 'x', n);
    assert_int_equal(kymo_rows_intern(r, big, n), 1);
    assert_int_equal(kymo_rows_intern(r, "more than it holds", 18), 0);
    assert_int_equal(kymo_rows_intern(r, "this fits", 9), 2);
    assert_int_equal(kymo_rows_intern(r, big, n), 1);
    free(big);
    kymo_rows_close(r);
}

static void a_new_row_is_null_until_it_is_set_also_after_clear(void **state)
{
    (void)state;
    struct kymo_rows *r = open_rows(&KYMO_TABLE_MARK, 2);
    for (int again = 0; again < 2; again++) {
        const uint32_t row = kymo_rows_add(r);
        struct kymo_batch b = kymo_rows_view(r);
        assert_false(kymo_batch_present(&b, KYMO_MARK_DUR, row));
        assert_true(kymo_batch_present(&b, KYMO_MARK_UID, row));
        assert_int_equal(kymo_batch_u64(&b, KYMO_MARK_UID, row), 0);
        kymo_rows_set(r, KYMO_MARK_DUR, row, 5);
        kymo_rows_set(r, KYMO_MARK_UID, row, 1000);
        assert_true(kymo_batch_present(&b, KYMO_MARK_DUR, row));
        (void)kymo_rows_add(r);
        assert_true(kymo_rows_full(r));
        kymo_rows_clear(r);
        assert_false(kymo_rows_full(r));
    }
    kymo_rows_close(r);
}

static void tasks_and_keys_run_out_in_words_and_cells_reach_them(void **state)
{
    (void)state;
    struct kymo_rows *r = open_rows(&KYMO_TABLE_SYSCALL, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(kymo_rows_add_task(r), i);
    assert_int_equal(kymo_rows_add_task(r), UINT32_MAX);
    for (uint32_t i = 0; i < KYMO_CHUNK_KEYS_MAX; i++)
        assert_int_equal(kymo_rows_add_key(r), i);
    assert_int_equal(kymo_rows_add_key(r), UINT16_MAX);
    r->lane[KYMO_SYSCALL_PID][3] = 77;
    r->lane[KYMO_SYSCALL_NR][500] = 202;
    const uint32_t row = kymo_rows_add(r);
    r->task[row] = 3;
    r->key[row] = 500;
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_batch_u64(&b, KYMO_SYSCALL_PID, row), 77);
    assert_int_equal(kymo_batch_u64(&b, KYMO_SYSCALL_NR, row), 202);
    kymo_rows_close(r);
}

static void numbers_read_as_doubles_by_their_type(void **state)
{
    (void)state;
    static const struct kymo_column_def column[] = {{"u", "", KYMO_T_U64, 0, 0},
                                                    {"i", "", KYMO_T_I64, 0, 0},
                                                    {"d", "", KYMO_T_F64, 0, 0},
                                                    {"f", "", KYMO_T_F32, 0, 0}};
    static const struct kymo_schema s = {
        .table = "t", .n_columns = 4, .column = column, .meta = ""};
    struct kymo_rows *r = open_rows(&s, 1);
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, 0, row, UINT64_MAX);
    kymo_rows_set(r, 1, row, (uint64_t)-3);
    kymo_rows_set_f64(r, 2, row, 0.1);
    kymo_rows_set_f64(r, 3, row, 0.25);
    const struct kymo_batch b = kymo_rows_view(r);
    assert_true(kymo_batch_f64(&b, 0, row) == 18446744073709551615.0);
    assert_true(kymo_batch_f64(&b, 1, row) == -3.0);
    assert_true(kymo_batch_f64(&b, 2, row) == 0.1);
    assert_true(kymo_batch_f64(&b, 3, row) == 0.25);
    assert_int_equal(kymo_batch_i64(&b, 1, row), -3);
    kymo_rows_close(r);
}

static void the_view_knows_the_times_of_its_rows(void **state)
{
    (void)state;
    struct kymo_rows *r = open_rows(&KYMO_TABLE_CLOCK, 3);
    const uint64_t ts[] = {50, 20, 90};
    for (int i = 0; i < 3; i++)
        kymo_rows_set(r, KYMO_CLOCK_TS, kymo_rows_add(r), ts[i]);
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(b.ts_min_ns, 20);
    assert_int_equal(b.ts_max_ns, 90);
    kymo_rows_close(r);
}

static void rows_past_a_chunk_are_refused(void **state)
{
    (void)state;
    struct kymo_rows *r = NULL;
    assert_int_equal(kymo_rows_open(&r, &KYMO_TABLE_MARK, 0, NULL), KYMO_EUSAGE);
    assert_int_equal(kymo_rows_open(&r, &KYMO_TABLE_MARK, KYMO_CHUNK_ROWS_MAX + 1, NULL),
                     KYMO_EUSAGE);
    assert_null(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_text_has_the_same_id_and_the_empty_one_is_zero),
        cmocka_unit_test(a_full_dictionary_gives_the_empty_text),
        cmocka_unit_test(a_new_row_is_null_until_it_is_set_also_after_clear),
        cmocka_unit_test(tasks_and_keys_run_out_in_words_and_cells_reach_them),
        cmocka_unit_test(numbers_read_as_doubles_by_their_type),
        cmocka_unit_test(the_view_knows_the_times_of_its_rows),
        cmocka_unit_test(rows_past_a_chunk_are_refused),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
