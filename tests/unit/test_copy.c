/* SPDX-License-Identifier: Apache-2.0
 * test_copy.c: rows copied from chunk to chunk are the rows they were.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/trace/copy.h"
#include "format/trace/reader.h"
#include "format/trace/writer.h"
#include "tests/unit/tracegen.h"

static struct kymo_rows *open_rows(const struct kymo_schema *s, uint32_t cap)
{
    struct kymo_rows *r = NULL;
    assert_int_equal(kymo_rows_open(&r, s, cap, NULL), KYMO_OK);
    return r;
}

static int same_cell(const struct kymo_batch *a, uint32_t i, const struct kymo_batch *b,
                     uint32_t k, uint32_t c)
{
    if (kymo_batch_present(a, c, i) != kymo_batch_present(b, c, k))
        return 0;
    if (!kymo_batch_present(a, c, i))
        return 1;
    if (a->schema->column[c].type != KYMO_T_STR)
        return kymo_batch_lane(a, c, i) == kymo_batch_lane(b, c, k);
    uint32_t n, m;
    const char *s = kymo_batch_str(a, c, i, &n), *t = kymo_batch_str(b, c, k, &m);
    return n == m && !memcmp(s, t, n);
}

static void assert_same_row(const struct kymo_batch *a, uint32_t i, const struct kymo_batch *b,
                            uint32_t k)
{
    for (uint32_t c = 0; c < a->schema->n_columns; c++)
        if (!same_cell(a, i, b, k, c))
            fail_msg("column %s of row %u became another in row %u", a->schema->column[c].name,
                     i, k);
}

/* A chunk of n rows; turned: its tasks and keys have other numbers, for the same things. */
static void generate(struct tracegen *g, struct kymo_rows *r, uint32_t n, int turned)
{
    tracegen_begin(r);
    for (uint32_t i = 0; i < n; i++)
        tracegen_row(g, r);
    if (!turned)
        return;
    for (uint32_t c = 0; c < r->schema->n_columns; c++) {
        const uint8_t order = r->schema->column[c].order;
        const uint32_t m = order == KYMO_ORDER_TASK  ? r->n_tasks
                           : order == KYMO_ORDER_KEY ? r->n_keys
                                                     : 0;
        for (uint32_t i = 0; i < m / 2; i++) {
            const uint64_t lane = r->lane[c][i];
            r->lane[c][i] = r->lane[c][m - 1 - i];
            r->lane[c][m - 1 - i] = lane;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        r->task[i] = r->n_tasks - 1 - r->task[i];
        r->key[i] = (uint16_t)(r->n_keys - 1u - r->key[i]);
    }
}

static void
chosen_rows_of_many_chunks_are_one_chunk_with_each_task_and_string_once(void **state)
{
    (void)state;
    enum { CHUNKS = 20, ROWS = 700 };
    struct kymo_rows *from = open_rows(&KYMO_TABLE_SYSCALL, ROWS);
    struct kymo_rows *to = open_rows(&KYMO_TABLE_SYSCALL, CHUNKS * ROWS);
    struct kymo_copy *c;
    struct tracegen g;
    uint32_t row[ROWS], n, total = 0;
    assert_int_equal(kymo_copy_open(&c, to, NULL), KYMO_OK);
    tracegen_init(&g, 3);
    for (int k = 0; k < CHUNKS; k++) {
        generate(&g, from, ROWS, k % 2);
        const struct kymo_batch b = kymo_rows_view(from);
        uint32_t m = 0;
        for (uint32_t i = 0; i < ROWS; i += 1 + i % 3)
            row[m++] = i;
        assert_int_equal(kymo_copy_begin(c, &b, NULL), KYMO_OK);
        assert_int_equal(kymo_copy_rows(c, row, m, &n, NULL), KYMO_OK);
        assert_int_equal(n, m);
        const struct kymo_batch out = kymo_rows_view(to);
        assert_int_equal(out.n_rows, total + m);
        for (uint32_t i = 0; i < m; i++)
            assert_same_row(&b, row[i], &out, total + i);
        total += m;
    }
    assert_int_equal(to->n_tasks, GEN_TASKS);
    assert_true(to->n_keys <= GEN_KEYS);
    /* 3 names, the address, and paths: 37 * 11 are possible */
    assert_true(to->n_str <= 1 + 3 + 1 + 37 * 11);
    kymo_copy_close(c);
    kymo_rows_close(to);
    kymo_rows_close(from);
}

static void a_full_target_says_how_many_and_the_rest_goes_on_after_a_clear(void **state)
{
    (void)state;
    enum { ROWS = 1000 };
    char path[] = "/tmp/kymo-test-XXXXXX";
    const int fd = mkstemp(path);
    struct kymo_rows *from = open_rows(&KYMO_TABLE_SYSCALL, ROWS);
    struct kymo_rows *to = open_rows(&KYMO_TABLE_SYSCALL, 300);
    struct kymo_copy *c;
    struct kymo_writer *w;
    struct tracegen g;
    uint32_t row[ROWS];
    assert_int_equal(kymo_writer_open(&w, fd, path, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_copy_open(&c, to, NULL), KYMO_OK);
    tracegen_init(&g, 4);
    for (uint32_t i = 0; i < ROWS; i++)
        row[i] = i;
    for (int k = 0; k < 3; k++) {
        generate(&g, from, ROWS, k % 2);
        const struct kymo_batch b = kymo_rows_view(from);
        assert_int_equal(kymo_copy_begin(c, &b, NULL), KYMO_OK);
        for (uint32_t at = 0, n; at < ROWS; at += n) {
            assert_int_equal(kymo_copy_rows(c, row + at, ROWS - at, &n, NULL), KYMO_OK);
            if (at + n == ROWS)
                continue;
            assert_true(kymo_rows_full(to));
            const struct kymo_batch out = kymo_rows_view(to);
            assert_int_equal(kymo_writer_put(w, &out, 0, NULL), KYMO_OK);
            kymo_copy_clear(c);
        }
    }
    const struct kymo_batch out = kymo_rows_view(to);
    assert_int_equal(kymo_writer_put(w, &out, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    kymo_writer_close(w);
    close(fd);

    kymo_reader *r;
    const struct kymo_batch *b;
    uint32_t at = ROWS;
    int chunk = 0;
    tracegen_init(&g, 4);
    assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b)
        for (uint32_t i = 0; i < b->n_rows; i++, at++) {
            if (at == ROWS) {
                generate(&g, from, ROWS, chunk++ % 2);
                at = 0;
            }
            const struct kymo_batch want = kymo_rows_view(from);
            assert_same_row(&want, at, b, i);
        }
    assert_int_equal(chunk, 3);
    assert_int_equal(at, ROWS);
    kymo_reader_close(r);
    unlink(path);
    kymo_copy_close(c);
    kymo_rows_close(to);
    kymo_rows_close(from);
}

/* What a target holds, to see whether anything moved. */
struct amount {
    uint32_t rows, tasks, keys, strings;
    size_t bytes;
};

static struct amount amount_of(const struct kymo_rows *r)
{
    return (struct amount){r->n_rows, r->n_tasks, r->n_keys, r->n_str, r->str_bytes.n};
}

static void full_tasks_full_keys_and_full_strings_leave_nothing_behind(void **state)
{
    (void)state;
    struct kymo_rows *from = open_rows(&KYMO_TABLE_SYSCALL, 2000);
    struct kymo_rows *to = open_rows(&KYMO_TABLE_SYSCALL, 8); /* 8 tasks */
    struct kymo_copy *c;
    uint32_t n;
    assert_int_equal(kymo_copy_open(&c, to, NULL), KYMO_OK);
    /* each row of a task and a key of its own */
    for (uint32_t i = 0; i < 600; i++) {
        const uint32_t row = kymo_rows_add(from);
        from->task[row] = kymo_rows_add_task(from);
        from->key[row] = i < 512 ? kymo_rows_add_key(from) : 0;
        from->lane[KYMO_SYSCALL_TID][from->task[row]] = i;
        if (i < 512)
            from->lane[KYMO_SYSCALL_NR][from->key[row]] = i;
    }
    const struct kymo_batch b = kymo_rows_view(from);
    uint32_t row[600];
    for (uint32_t i = 0; i < 600; i++)
        row[i] = i;
    assert_int_equal(kymo_copy_begin(c, &b, NULL), KYMO_OK);
    assert_int_equal(kymo_copy_rows(c, row, 7, &n, NULL), KYMO_OK);
    assert_int_equal(n, 7);
    to->cap_tasks = 7;
    struct amount before = amount_of(to);
    assert_int_equal(kymo_copy_rows(c, row + 7, 1, &n, NULL), KYMO_OK);
    struct amount after = amount_of(to);
    assert_int_equal(n, 0);
    assert_memory_equal(&before, &after, sizeof(before));
    to->cap_tasks = 8;
    to->cap_keys = 7;
    assert_int_equal(kymo_copy_rows(c, row + 7, 1, &n, NULL), KYMO_OK);
    after = amount_of(to);
    assert_int_equal(n, 0);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(kymo_copy_rows(c, row, 2, &n, NULL), KYMO_OK); /* a known one still fits */
    assert_int_equal(n, 1);
    kymo_copy_close(c);
    kymo_rows_close(to);
    kymo_rows_close(from);
}

static void a_string_that_does_not_fit_waits_for_the_next_chunk(void **state)
{
    (void)state;
    enum { BIG = 20 << 20 };
    struct kymo_rows *from = open_rows(&KYMO_TABLE_CONTEXT, 4);
    struct kymo_rows *to = open_rows(&KYMO_TABLE_CONTEXT, 4);
    struct kymo_copy *c;
    const uint32_t row[1] = {0};
    uint32_t n;
    char *big = malloc(BIG);
    assert_int_equal(kymo_copy_open(&c, to, NULL), KYMO_OK);
    for (int k = 0; k < 3; k++) {
        memset(big, 'a' + k, BIG);
        kymo_rows_clear(from);
        kymo_rows_add(from);
        /* twice in the row, once in the dictionary */
        kymo_rows_set_str(from, KYMO_CONTEXT_KEY, 0, big, BIG);
        kymo_rows_set_str(from, KYMO_CONTEXT_VALUE, 0, big, BIG);
        const struct kymo_batch b = kymo_rows_view(from);
        const struct amount before = amount_of(to);
        assert_int_equal(kymo_copy_begin(c, &b, NULL), KYMO_OK);
        assert_int_equal(kymo_copy_rows(c, row, 1, &n, NULL), KYMO_OK);
        assert_int_equal(n, k == 0);
        if (n)
            continue;
        const struct amount after = amount_of(to);
        assert_memory_equal(&before, &after, sizeof(before));
        kymo_copy_clear(c);
        assert_int_equal(kymo_copy_rows(c, row, 1, &n, NULL), KYMO_OK);
        assert_int_equal(n, 1);
        const struct kymo_batch out = kymo_rows_view(to);
        assert_same_row(&b, 0, &out, 0);
    }
    free(big);
    kymo_copy_close(c);
    kymo_rows_close(to);
    kymo_rows_close(from);
}

static void columns_go_by_name_and_a_constant_tells_tasks_apart(void **state)
{
    (void)state;
    static const struct kymo_column_def few[] = {
        {"new", "", KYMO_T_U64, KYMO_ORDER_ROW, 1},
        {"ts", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
        {"comm", "", KYMO_T_STR, KYMO_ORDER_TASK, 0},
        {"nr", "", KYMO_T_U64, KYMO_ORDER_KEY, 0},
        {"path", "", KYMO_T_STR, KYMO_ORDER_SPLIT, 1},
        {"host", "", KYMO_T_STR, KYMO_ORDER_TASK, 0},
    };
    static const struct kymo_schema schema = {
        .table = "syscall", .version = 1, .n_columns = 6, .column = few, .meta = ""};
    enum { ROWS = 200 };
    struct kymo_rows *from = open_rows(&KYMO_TABLE_SYSCALL, ROWS);
    struct kymo_rows *to = open_rows(&schema, 2 * ROWS);
    struct kymo_copy *c;
    struct tracegen g;
    uint32_t row[ROWS], n;
    tracegen_init(&g, 5);
    generate(&g, from, ROWS, 0);
    const struct kymo_batch b = kymo_rows_view(from);
    for (uint32_t i = 0; i < ROWS; i++)
        row[i] = i;
    assert_int_equal(kymo_copy_open(&c, to, NULL), KYMO_OK);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(kymo_copy_constant(c, 5, k ? "two" : "one", NULL), KYMO_OK);
        assert_int_equal(kymo_copy_begin(c, &b, NULL), KYMO_OK);
        assert_int_equal(kymo_copy_rows(c, row, ROWS, &n, NULL), KYMO_OK);
        assert_int_equal(n, ROWS);
    }
    assert_int_equal(to->n_tasks, 2 * 3); /* comm is all that is left of a task, and the host */
    const struct kymo_batch out = kymo_rows_view(to);
    for (uint32_t i = 0; i < 2 * ROWS; i++) {
        uint32_t m, l;
        const char *host = kymo_batch_str(&out, 5, i, &m);
        assert_memory_equal(host, i < ROWS ? "one" : "two", 3);
        assert_false(kymo_batch_present(&out, 0, i));
        assert_int_equal(kymo_batch_u64(&out, 1, i),
                         kymo_batch_u64(&b, KYMO_SYSCALL_TS, i % ROWS));
        assert_int_equal(kymo_batch_present(&out, 4, i),
                         kymo_batch_present(&b, KYMO_SYSCALL_PATH, i % ROWS));
        const char *comm = kymo_batch_str(&out, 2, i, &m);
        const char *was = kymo_batch_str(&b, KYMO_SYSCALL_COMM, i % ROWS, &l);
        assert_int_equal(m, l);
        assert_memory_equal(comm, was, m);
    }
    kymo_copy_close(c);
    kymo_rows_close(to);
    kymo_rows_close(from);
}

static void columns_of_another_kind_are_refused(void **state)
{
    (void)state;
    static const struct kymo_column_def text[] = {{"ts", "", KYMO_T_STR, KYMO_ORDER_ROW, 0}};
    static const struct kymo_column_def whole[] = {
        {"dur", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0}};
    static const struct kymo_schema another_type = {
        .table = "mark", .n_columns = 1, .column = text, .meta = ""};
    static const struct kymo_schema never_null = {
        .table = "mark", .n_columns = 1, .column = whole, .meta = ""};
    const struct kymo_schema *const bad[] = {&another_type, &never_null};
    struct kymo_rows *from = open_rows(&KYMO_TABLE_MARK, 1);
    kymo_rows_add(from);
    const struct kymo_batch b = kymo_rows_view(from);
    for (size_t i = 0; i < 2; i++) {
        struct kymo_rows *to = open_rows(bad[i], 1);
        struct kymo_copy *c;
        struct kymo_err err = {0};
        assert_int_equal(kymo_copy_open(&c, to, NULL), KYMO_OK);
        assert_int_equal(kymo_copy_begin(c, &b, &err), KYMO_EUSAGE);
        assert_non_null(strstr(err.text, "of another kind"));
        kymo_copy_close(c);
        kymo_rows_close(to);
    }
    kymo_rows_close(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            chosen_rows_of_many_chunks_are_one_chunk_with_each_task_and_string_once),
        cmocka_unit_test(a_full_target_says_how_many_and_the_rest_goes_on_after_a_clear),
        cmocka_unit_test(full_tasks_full_keys_and_full_strings_leave_nothing_behind),
        cmocka_unit_test(a_string_that_does_not_fit_waits_for_the_next_chunk),
        cmocka_unit_test(columns_go_by_name_and_a_constant_tells_tasks_apart),
        cmocka_unit_test(columns_of_another_kind_are_refused),
    };
    return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
