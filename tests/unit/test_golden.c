/* SPDX-License-Identifier: Apache-2.0
 * test_golden.c: the small capture of this layout version, kept in tests/golden, is what this
 * program writes and reads. `make golden` (tests/golden/make.sh) writes it anew through
 * KYMO_GOLDEN_WRITE; the commit that does so says why.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cmocka.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/trace/reader.h"
#include "format/trace/writer.h"
#include "tests/unit/tracegen.h"

#define GOLDEN "tests/golden"
/* The bytes are those of this zstd; another one may pack the same rows otherwise. */
#define GOLDEN_ZSTD 10504u

static const struct kymo_column_def every_column[] = {
    {"ts", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"u64", "bytes", KYMO_T_U64, KYMO_ORDER_ROW, 1},
    {"i64", "", KYMO_T_I64, KYMO_ORDER_ROW, 1},
    {"f64", "1/s", KYMO_T_F64, KYMO_ORDER_ROW, 1},
    {"f32", "share", KYMO_T_F32, KYMO_ORDER_ROW, 1},
    {"str", "", KYMO_T_STR, KYMO_ORDER_ROW, 1},
    {"same", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"none", "", KYMO_T_STR, KYMO_ORDER_ROW, 1},
};
static const struct kymo_schema every = {.table = "every",
                                         .version = 7,
                                         .n_columns = 8,
                                         .column = every_column,
                                         .meta = "{\"note\": \"all types\"}"};

/* A capture of few rows is one zstd frame a chunk, a longer one has a frame a stream. */
static const struct golden {
    const char *name;
    uint32_t n_calls;
} golden[] = {{"v1-small.kymo", 90}, {"v1-large.kymo", 6000}};

static void fill_syscalls(struct kymo_rows *r, uint32_t n)
{
    struct tracegen g;
    tracegen_init(&g, 3);
    kymo_rows_clear(r);
    tracegen_begin(r);
    for (uint32_t i = 0; i < n; i++)
        tracegen_row(&g, r);
}

static void fill_every(struct kymo_rows *r)
{
    static const char *const text[] = {"",
                                       "plain",
                                       "a \"quote\" and a \\",
                                       "\xce\xba\xcf\x8d\xce\xbc\xce\xb1",
                                       "tab\tbell\a",
                                       "not \xff UTF-8"};
    static const double real[] = {0, -1.5, 1e300, 0.1, -0.0, 5e-324};
    for (uint32_t i = 0; i < 24; i++) {
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, 0, row, 5000000000u + i * 1000u);
        if (i % 5)
            kymo_rows_set(r, 1, row, i % 7 ? i * 1000003u : UINT64_MAX - i);
        if (i % 4)
            kymo_rows_set(r, 2, row,
                          i % 3 ? (uint64_t)(int64_t)(-(int)i * 77) : (uint64_t)INT64_MIN);
        if (i % 3)
            kymo_rows_set_f64(r, 3, row, real[i % 6]);
        if (i % 2)
            kymo_rows_set_f64(r, 4, row, (double)i / 8);
        if (i % 8)
            kymo_rows_set_str(r, 5, row, text[i % 6], strlen(text[i % 6]));
        kymo_rows_set(r, 6, row, 42);
    }
}

static void put(struct kymo_writer *w, const struct kymo_rows *r, uint32_t flags)
{
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_writer_put(w, &b, flags, NULL), KYMO_OK);
}

static void write_golden(int fd, struct kymo_rows *syscalls, struct kymo_rows *all)
{
    struct kymo_writer *w;
    assert_int_equal(kymo_writer_open(&w, fd, "golden", 3, NULL), KYMO_OK);
    put(w, syscalls, KYMO_CHUNK_SEAL);
    assert_int_equal(kymo_writer_declare(w, &KYMO_TABLE_MARK, NULL), KYMO_OK);
    put(w, all, 0);
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    kymo_writer_close(w);
}

static int make_golden(void **state)
{
    struct kymo_rows **r = calloc(2, sizeof(*r));
    if (!r || kymo_rows_open(&r[0], &KYMO_TABLE_SYSCALL, 6000, NULL) ||
        kymo_rows_open(&r[1], &every, 128, NULL))
        return -1;
    fill_every(r[1]);
    *state = r;
    return 0;
}

static int drop_golden(void **state)
{
    struct kymo_rows **r = *state;
    kymo_rows_close(r[0]);
    kymo_rows_close(r[1]);
    free(r);
    return 0;
}

static void path_of(const struct golden *g, char *path, size_t n)
{
    (void)snprintf(path, n, "%s/%s", GOLDEN, g->name);
}

static void the_golden_files_are_what_this_program_writes(void **state)
{
    struct kymo_rows **r = *state;
    for (size_t i = 0; i < KYMO_COUNT_OF(golden); i++) {
        char path[] = "/tmp/kymo-golden-XXXXXX", theirs_path[256];
        struct kymo_buf mine = {0}, theirs = {0};
        const int fd = mkstemp(path);
        assert_true(fd >= 0);
        fill_syscalls(r[0], golden[i].n_calls);
        write_golden(fd, r[0], r[1]);
        close(fd);
        assert_int_equal(kymo_file_read(&mine, path, 1 << 20, NULL), KYMO_OK);
        unlink(path);
        if (ZSTD_versionNumber() == GOLDEN_ZSTD) {
            path_of(&golden[i], theirs_path, sizeof(theirs_path));
            assert_int_equal(kymo_file_read(&theirs, theirs_path, 1 << 20, NULL), KYMO_OK);
            assert_int_equal(mine.n, theirs.n);
            assert_memory_equal(mine.p, theirs.p, mine.n);
        }
        assert_true(mine.n > 1000 && mine.n < 40000);
        kymo_buf_release(&mine);
        kymo_buf_release(&theirs);
    }
}

static void assert_cell(const struct kymo_batch *want, const struct kymo_batch *got, uint32_t c,
                        uint32_t i)
{
    uint32_t n, m;
    assert_int_equal(kymo_batch_present(want, c, i), kymo_batch_present(got, c, i));
    if (!kymo_batch_present(want, c, i))
        return;
    if (want->schema->column[c].type != KYMO_T_STR) {
        assert_int_equal(kymo_batch_lane(want, c, i), kymo_batch_lane(got, c, i));
        return;
    }
    const char *s = kymo_batch_str(want, c, i, &n), *t = kymo_batch_str(got, c, i, &m);
    assert_int_equal(n, m);
    assert_memory_equal(s, t, n);
}

static void read_back(const struct golden *g, struct kymo_rows **r)
{
    kymo_reader *reader;
    const struct kymo_batch *got;
    char path[256];
    path_of(g, path, sizeof(path));
    fill_syscalls(r[0], g->n_calls);
    assert_int_equal(kymo_reader_open(&reader, path, 0, NULL), KYMO_OK);
    for (int k = 0; k < 2; k++) {
        const struct kymo_batch want = kymo_rows_view(r[k]);
        assert_int_equal(kymo_reader_next(reader, &got, NULL), KYMO_OK);
        assert_non_null(got);
        assert_int_equal(got->n_rows, want.n_rows);
        assert_string_equal(got->schema->meta, want.schema->meta);
        for (uint32_t c = 0; c < want.schema->n_columns; c++)
            for (uint32_t i = 0; i < want.n_rows; i++)
                assert_cell(&want, got, c, i);
    }
    assert_int_equal(kymo_reader_next(reader, &got, NULL), KYMO_OK);
    assert_null(got);
    assert_true(kymo_reader_complete(reader));
    kymo_reader_close(reader);
}

static void the_golden_files_read_back_cell_by_cell(void **state)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(golden); i++)
        read_back(&golden[i], *state);
}

static int write_all(const char *folder)
{
    void *state;
    if (make_golden(&state))
        return 1;
    struct kymo_rows **r = state;
    for (size_t i = 0; i < KYMO_COUNT_OF(golden); i++) {
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, golden[i].name);
        const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd < 0)
            return 1;
        fill_syscalls(r[0], golden[i].n_calls);
        write_golden(fd, r[0], r[1]);
        if (close(fd))
            return 1;
    }
    return drop_golden(&state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_golden_files_are_what_this_program_writes),
        cmocka_unit_test(the_golden_files_read_back_cell_by_cell),
    };
    const char *write_to = getenv("KYMO_GOLDEN_WRITE");
    if (write_to)
        return write_all(write_to);
    return cmocka_run_group_tests_name("golden", tests, make_golden, drop_golden);
}
