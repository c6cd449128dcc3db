/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/trace/schema.h"

static void every_table_comes_back_from_its_bytes_with_its_hash(void **state)
{
    (void)state;
    for (size_t t = 0; t < KYMO_TABLES_OWN_N; t++) {
        struct kymo_arena arena;
        struct kymo_buf b = {0};
        struct kymo_schema *s;
        kymo_arena_init(&arena, 1 << 20);
        kymo_schema_encode(KYMO_TABLES_OWN[t], &b);
        assert_int_equal(kymo_schema_decode(&s, kymo_bytes_view(b.p, b.n, 0), &arena, NULL),
                         KYMO_OK);
        assert_string_equal(s->table, KYMO_TABLES_OWN[t]->table);
        assert_int_equal(s->version, KYMO_TABLES_OWN[t]->version);
        assert_int_equal(s->n_columns, KYMO_TABLES_OWN[t]->n_columns);
        assert_true(s->hash && s->hash == kymo_schema_hash(KYMO_TABLES_OWN[t]) &&
                    s->hash == kymo_schema_hash(s));
        for (uint32_t c = 0; c < s->n_columns; c++) {
            const struct kymo_column_def *a = &KYMO_TABLES_OWN[t]->column[c],
                                         *z = &s->column[c];
            assert_string_equal(a->name, z->name);
            assert_string_equal(a->unit, z->unit);
            assert_true(a->type == z->type && a->order == z->order &&
                        a->nullable == z->nullable);
            assert_int_equal(kymo_schema_column(s, a->name), c);
        }
        kymo_buf_release(&b);
        kymo_arena_release(&arena);
    }
}

static void no_two_tables_share_a_hash(void **state)
{
    (void)state;
    for (size_t i = 0; i < KYMO_TABLES_OWN_N; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(kymo_schema_hash(KYMO_TABLES_OWN[i]) !=
                        kymo_schema_hash(KYMO_TABLES_OWN[k]));
}

static void only_the_syscall_table_is_grouped_and_sysname_alone_has_no_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < KYMO_TABLES_OWN_N; i++) {
        assert_int_equal(kymo_schema_is_grouped(KYMO_TABLES_OWN[i]),
                         KYMO_TABLES_OWN[i] == &KYMO_TABLE_SYSCALL);
        assert_int_equal(kymo_schema_ts(KYMO_TABLES_OWN[i]) == 0,
                         KYMO_TABLES_OWN[i] != &KYMO_TABLE_SYSNAME);
    }
}

static kymo_status decode(const struct kymo_buf *b, size_t n, struct kymo_err *err)
{
    struct kymo_arena arena;
    struct kymo_schema *s = NULL;
    kymo_arena_init(&arena, 1 << 20);
    const kymo_status status = kymo_schema_decode(&s, kymo_bytes_view(b->p, n, 0), &arena, err);
    assert_int_equal(!s, status != KYMO_OK);
    kymo_arena_release(&arena);
    return status;
}

static void a_schema_cut_anywhere_is_corrupt_and_one_byte_more_is_too(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    kymo_schema_encode(&KYMO_TABLE_SYSCALL, &b);
    const size_t n = b.n;
    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(decode(&b, cut, NULL), KYMO_ECORRUPT);
    kymo_buf_u8(&b, 0);
    assert_int_equal(decode(&b, n, NULL), KYMO_OK);
    assert_int_equal(decode(&b, n + 1, NULL), KYMO_ECORRUPT);
    kymo_buf_release(&b);
}

static void what_makes_no_sense_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct kymo_column_def column[2];
        const char *table, *says;
    } bad[] = {
        {{{"a", "", 1, 0, 0}, {"a", "", 1, 0, 0}}, "t", "'a' is there twice"},
        {{{"a", "", 0, 0, 0}, {"b", "", 1, 0, 0}}, "t", "unknown type 0"},
        {{{"a", "", 6, 0, 0}, {"b", "", 1, 0, 0}}, "t", "unknown type 6"},
        {{{"a", "", 1, 6, 0}, {"b", "", 1, 0, 0}}, "t", "unknown order 6"},
        {{{"a", "", 1, KYMO_ORDER_CHAIN, 1}, {"b", "", 1, 0, 0}}, "t", "is no time"},
        {{{"a", "", 2, KYMO_ORDER_CHAIN, 0}, {"b", "", 1, 0, 0}}, "t", "is no time"},
        {{{"a", "", 1, KYMO_ORDER_TASK, 1}, {"b", "", 1, 0, 0}}, "t", "cannot be nullable"},
        {{{"", "", 1, 0, 0}, {"b", "", 1, 0, 0}}, "t", "without a name"},
        {{{"a\n", "", 1, 0, 0}, {"b", "", 1, 0, 0}}, "t", "control byte 0x0a"},
        {{{"a", "\x1b[31m", 1, 0, 0}, {"b", "", 1, 0, 0}}, "t", "control byte 0x1b"},
        {{{"a", "", 1, 0, 0}, {"b", "", 1, 0, 0}}, "", "a table without a name"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct kymo_schema s = {
            .table = bad[i].table, .n_columns = 2, .column = bad[i].column, .meta = ""};
        struct kymo_buf b = {0};
        struct kymo_err err = {0};
        kymo_schema_encode(&s, &b);
        assert_int_equal(decode(&b, b.n, &err), KYMO_ECORRUPT);
        assert_non_null(strstr(err.text, bad[i].says));
        kymo_buf_release(&b);
    }
}

static void a_count_that_the_bytes_cannot_hold_allocates_nothing(void **state)
{
    (void)state;
    static const uint64_t claims[] = {0, 3, 4097, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        struct kymo_buf b = {0};
        kymo_buf_varint(&b, 1);
        kymo_buf_varint(&b, 1);
        kymo_buf_u8(&b, 't');
        kymo_buf_varint(&b, claims[i]);
        kymo_buf_put(&b, "\1a\0\1\0", 5);
        assert_int_equal(decode(&b, b.n, NULL), KYMO_ECORRUPT);
        kymo_buf_release(&b);
    }
}

static void every_allocation_that_fails_is_a_limit(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    kymo_schema_encode(&KYMO_TABLE_MARK, &b);
    uint64_t k = 1;
    for (;; k++) {
        struct kymo_arena arena;
        struct kymo_schema *s = NULL;
        kymo_arena_init(&arena, 1 << 20);
        arena.fail_at = k;
        const kymo_status status =
            kymo_schema_decode(&s, kymo_bytes_view(b.p, b.n, 0), &arena, NULL);
        kymo_arena_release(&arena);
        if (!status)
            break;
        assert_int_equal(status, KYMO_ELIMIT);
        assert_null(s);
    }
    assert_true(k > KYMO_MARK_COLUMNS);
    kymo_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_comes_back_from_its_bytes_with_its_hash),
        cmocka_unit_test(no_two_tables_share_a_hash),
        cmocka_unit_test(only_the_syscall_table_is_grouped_and_sysname_alone_has_no_time),
        cmocka_unit_test(a_schema_cut_anywhere_is_corrupt_and_one_byte_more_is_too),
        cmocka_unit_test(what_makes_no_sense_is_refused_by_name),
        cmocka_unit_test(a_count_that_the_bytes_cannot_hold_allocates_nothing),
        cmocka_unit_test(every_allocation_that_fails_is_a_limit),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
