/* SPDX-License-Identifier: Apache-2.0
 * test_writer.c: what is written comes back, whole and field by field; a write that fails says so
 * and leaves what was sealed readable.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/trace/reader.h"
#include "format/trace/writer.h"
#include "tests/unit/tracegen.h"

static int temp_file(char *path)
{
    strcpy(path, "/tmp/kymo-test-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    return fd;
}

static struct kymo_rows *open_rows(const struct kymo_schema *schema, uint32_t cap)
{
    struct kymo_rows *r = NULL;
    assert_int_equal(kymo_rows_open(&r, schema, cap, NULL), KYMO_OK);
    return r;
}

static int same_text(const struct kymo_batch *a, const struct kymo_batch *b, uint32_t c,
                     uint32_t row)
{
    uint32_t n, m;
    const char *s = kymo_batch_str(a, c, row, &n), *t = kymo_batch_str(b, c, row, &m);
    return n == m && !memcmp(s, t, n);
}

/* Cell by cell; asserting each of 100 million cells on its own would be the slowest part. */
static void assert_same(const struct kymo_batch *a, const struct kymo_batch *b)
{
    assert_int_equal(a->n_rows, b->n_rows);
    assert_string_equal(a->schema->table, b->schema->table);
    assert_int_equal(a->schema->n_columns, b->schema->n_columns);
    for (uint32_t c = 0; c < a->schema->n_columns; c++) {
        const int is_text = a->schema->column[c].type == KYMO_T_STR;
        uint32_t wrong = 0;
        for (uint32_t i = 0; i < a->n_rows; i++) {
            const int present = kymo_batch_present(a, c, i);
            if (present != kymo_batch_present(b, c, i))
                wrong++;
            else if (present &&
                     !(is_text ? same_text(a, b, c, i)
                               : kymo_batch_lane(a, c, i) == kymo_batch_lane(b, c, i)))
                wrong++;
        }
        if (wrong)
            print_error("column %s: %u cells differ\n", a->schema->column[c].name, wrong);
        assert_int_equal(wrong, 0);
    }
}

static void five_million_rows_come_back_field_by_field(void **state)
{
    (void)state;
    enum { CHUNKS = 39 }; /* 39 * 131072 = 5.1 million */
    char path[32];
    const int fd = temp_file(path);
    struct kymo_err err = {0};
    struct kymo_writer *w;
    struct kymo_rows *rows = open_rows(&KYMO_TABLE_SYSCALL, KYMO_CHUNK_ROWS_MAX);
    struct tracegen g;
    tracegen_init(&g, 42);
    assert_int_equal(kymo_writer_open(&w, fd, path, 1, &err), KYMO_OK);
    for (int i = 0; i < CHUNKS; i++) {
        tracegen_begin(rows);
        while (!kymo_rows_full(rows))
            tracegen_row(&g, rows);
        const struct kymo_batch b = kymo_rows_view(rows);
        assert_int_equal(kymo_writer_put(w, &b, KYMO_CHUNK_SEAL, &err), KYMO_OK);
    }
    assert_int_equal(kymo_writer_finish(w, &err), KYMO_OK);
    assert_int_equal(kymo_writer_bytes(w), (uint64_t)lseek(fd, 0, SEEK_CUR));
    kymo_writer_close(w);
    close(fd);

    kymo_reader *r;
    const struct kymo_batch *b;
    uint64_t n = 0;
    tracegen_init(&g, 42);
    assert_int_equal(kymo_reader_open(&r, path, 0, &err), KYMO_OK);
    while (!kymo_reader_next(r, &b, &err) && b) {
        tracegen_begin(rows);
        while (!kymo_rows_full(rows))
            tracegen_row(&g, rows);
        const struct kymo_batch want = kymo_rows_view(rows);
        assert_same(&want, b);
        assert_int_equal(kymo_reader_chunk(r)->flags, KYMO_CHUNK_SEAL);
        n += b->n_rows;
    }
    assert_int_equal(err.code, KYMO_OK);
    assert_int_equal(n, (uint64_t)CHUNKS * KYMO_CHUNK_ROWS_MAX);
    assert_true(kymo_reader_complete(r));
    kymo_reader_close(r);
    kymo_rows_close(rows);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_million_rows_come_back_field_by_field),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
