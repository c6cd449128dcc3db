/* SPDX-License-Identifier: Apache-2.0
 * test_writer.c: what is written comes back, whole and field by field; a write that fails says so
 * and leaves what was sealed readable.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/trace/reader.h"
#include "format/trace/writer.h"
#include "tests/unit/tracegen.h"

/*
 * The program's own write(2), so that a disk can fail at the k-th call.
 * NOWHERE_FD stands for a file whose bytes are dropped and whose chunks are counted by kind.
 */
#define NOWHERE_FD 1000

static struct {
    int fd;         /* the file whose writes are counted; 0: none */
    unsigned calls; /* so far */
    unsigned fail_at;
    int with; /* errno; 0: only short writes and EINTR in turn */
    unsigned kinds[4];
} fault;

ssize_t write(int fd, const void *p, size_t n);
ssize_t write(int fd, const void *p, size_t n)
{
    if (fd == NOWHERE_FD) {
        if (n >= KYMO_CHUNK_HEADER_BYTES)
            fault.kinds[kymo_load_u32((const uint8_t *)p + 4) % 4]++;
        return (ssize_t)n;
    }
    if (fault.fd && fd == fault.fd) {
        fault.calls++;
        if (fault.with && fault.calls == fault.fail_at) {
            /* a disk that is full takes what still fits */
            if (fault.with == ENOSPC && n > 10)
                (void)syscall(SYS_write, fd, p, n / 2);
            errno = fault.with;
            return -1;
        }
        if (!fault.with && fault.calls % 3 == 0) {
            errno = EINTR;
            return -1;
        }
        if (!fault.with)
            n = n > 7 ? 7 : n;
    }
    return syscall(SYS_write, fd, p, n);
}

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

#define SMALL_CHUNKS 3u
#define SMALL_ROWS 50u

/* A small capture; the first status that is not good, and after that nothing may be written. */
static kymo_status write_small(int fd, struct kymo_rows *rows)
{
    struct kymo_writer *w;
    struct tracegen g;
    tracegen_init(&g, 8);
    kymo_status s = kymo_writer_open(&w, fd, "small", 1, NULL);
    if (s)
        return s;
    for (unsigned i = 0; i < SMALL_CHUNKS; i++) {
        tracegen_begin(rows);
        for (unsigned k = 0; k < SMALL_ROWS; k++)
            tracegen_row(&g, rows);
        const struct kymo_batch b = kymo_rows_view(rows);
        const off_t before = lseek(fd, 0, SEEK_END);
        const kymo_status now = kymo_writer_put(w, &b, 0, NULL);
        if (s) {
            assert_int_equal(now, s);
            assert_int_equal(lseek(fd, 0, SEEK_END), before);
        }
        s = s ? s : now;
    }
    const kymo_status now = kymo_writer_finish(w, NULL);
    s = s ? s : now;
    kymo_writer_close(w);
    return s;
}

/* Rows that can be read from a file that may be torn; each has to be right. */
static uint64_t read_small(const char *path, struct kymo_rows *rows, kymo_status *end)
{
    kymo_reader *r;
    const struct kymo_batch *b;
    struct tracegen g;
    uint64_t n = 0;
    tracegen_init(&g, 8);
    *end = kymo_reader_open(&r, path, 0, NULL);
    if (*end)
        return 0;
    while (!(*end = kymo_reader_next(r, &b, NULL)) && b) {
        tracegen_begin(rows);
        for (unsigned k = 0; k < SMALL_ROWS; k++)
            tracegen_row(&g, rows);
        const struct kymo_batch want = kymo_rows_view(rows);
        assert_same(&want, b);
        n += b->n_rows;
    }
    kymo_reader_close(r);
    return n;
}

static void a_write_that_fails_at_any_call_is_said_and_what_was_sealed_reads(void **state)
{
    (void)state;
    static const int with[] = {ENOSPC, EIO};
    struct kymo_rows *rows = open_rows(&KYMO_TABLE_SYSCALL, 64);
    for (size_t e = 0; e < 2; e++) {
        unsigned k = 1;
        for (;; k++) {
            char path[32];
            kymo_status end;
            fault.fd = temp_file(path);
            fault.calls = 0;
            fault.fail_at = k;
            fault.with = with[e];
            const kymo_status s = write_small(fault.fd, rows);
            close(fault.fd);
            fault.fd = 0;
            const uint64_t n = read_small(path, rows, &end);
            unlink(path);
            if (!s) {
                assert_int_equal(n, SMALL_CHUNKS * SMALL_ROWS);
                break;
            }
            /* call 1 is the file header, 2 the schema, then a chunk each */
            assert_int_equal(s, KYMO_EOUTPUT);
            assert_int_equal(n, (k > 3 ? k - 3 : 0) * SMALL_ROWS);
            assert_true(k == 1 ? end == KYMO_ECORRUPT : end == KYMO_OK || end == KYMO_ETORN);
        }
        assert_int_equal(k, SMALL_CHUNKS + 4);
    }
    kymo_rows_close(rows);
}

static void short_writes_and_interruptions_leave_no_trace(void **state)
{
    (void)state;
    struct kymo_rows *rows = open_rows(&KYMO_TABLE_SYSCALL, 64);
    char path[32];
    kymo_status end;
    fault.fd = temp_file(path);
    fault.calls = 0;
    fault.with = 0;
    assert_int_equal(write_small(fault.fd, rows), KYMO_OK);
    assert_true(fault.calls > 100);
    close(fault.fd);
    fault.fd = 0;
    assert_int_equal(read_small(path, rows, &end), SMALL_CHUNKS * SMALL_ROWS);
    assert_int_equal(end, KYMO_OK);
    unlink(path);
    kymo_rows_close(rows);
}

static void a_schema_stands_before_its_rows_and_again_every_64_mib(void **state)
{
    (void)state;
    static const struct kymo_column_def column[] = {{"a", "", KYMO_T_U64, 0, 0},
                                                    {"b", "", KYMO_T_U64, 0, 0}};
    static const struct kymo_schema noise = {
        .table = "noise", .n_columns = 2, .column = column, .meta = ""};
    struct kymo_rows *r = open_rows(&noise, KYMO_CHUNK_ROWS_MAX);
    struct kymo_writer *w;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 1);
    memset(fault.kinds, 0, sizeof(fault.kinds));
    while (!kymo_rows_full(r)) {
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, 0, row, kymo_rng_u64(&rng));
        kymo_rows_set(r, 1, row, kymo_rng_u64(&rng));
    }
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_writer_open(&w, NOWHERE_FD, "nowhere", 1, NULL), KYMO_OK);
    for (int i = 0; i < 70; i++) /* 2 MiB each */
        assert_int_equal(kymo_writer_put(w, &b, 0, NULL), KYMO_OK);
    assert_true(kymo_writer_bytes(w) > 138u << 20);
    assert_int_equal(fault.kinds[KYMO_CHUNK_DATA], 70);
    assert_int_equal(fault.kinds[KYMO_CHUNK_SCHEMA], 3);
    assert_int_equal(kymo_writer_declare(w, &noise, NULL), KYMO_OK);
    assert_int_equal(kymo_writer_declare(w, &KYMO_TABLE_LOSS, NULL), KYMO_OK);
    assert_int_equal(fault.kinds[KYMO_CHUNK_SCHEMA], 4);
    kymo_writer_close(w);
    kymo_rows_close(r);
}

static void rounded_times_are_multiples_near_the_true_ones_and_the_schema_says_so(void **state)
{
    (void)state;
    char path[40];
    struct kymo_writer *w;
    struct tracegen g;
    kymo_reader *r;
    const struct kymo_batch *b;
    struct kymo_rows *rows = open_rows(&KYMO_TABLE_SYSCALL, 5000);
    const int fd = temp_file(path);
    tracegen_init(&g, 2);
    tracegen_begin(rows);
    while (rows->n_rows < rows->cap_rows)
        tracegen_row(&g, rows);
    const struct kymo_batch in = kymo_rows_view(rows);
    assert_int_equal(kymo_writer_open(&w, fd, path, 1, NULL), KYMO_OK);
    kymo_writer_time_unit(w, 64);
    assert_int_equal(kymo_writer_put(w, &in, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    kymo_writer_close(w);
    close(fd);

    assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_reader_next(r, &b, NULL), KYMO_OK);
    assert_string_equal(b->schema->meta, "{\"time_unit_ns\": 64}");
    assert_int_equal(b->n_rows, in.n_rows);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const uint64_t ts = b->lane[KYMO_SYSCALL_TS][i];
        assert_int_equal(ts, in.lane[KYMO_SYSCALL_TS][i] / 64 * 64);
        assert_int_equal(kymo_batch_lane(b, KYMO_SYSCALL_RET, i),
                         kymo_batch_present(&in, KYMO_SYSCALL_RET, i)
                             ? in.lane[KYMO_SYSCALL_RET][i]
                             : kymo_batch_lane(b, KYMO_SYSCALL_RET, i));
        if (!kymo_batch_present(&in, KYMO_SYSCALL_DUR, i))
            continue;
        assert_int_equal(b->lane[KYMO_SYSCALL_DUR][i],
                         (in.lane[KYMO_SYSCALL_DUR][i] + 32) / 64 * 64);
    }
    kymo_reader_close(r);
    kymo_rows_close(rows);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_fails_at_any_call_is_said_and_what_was_sealed_reads),
        cmocka_unit_test(short_writes_and_interruptions_leave_no_trace),
        cmocka_unit_test(a_schema_stands_before_its_rows_and_again_every_64_mib),
        cmocka_unit_test(rounded_times_are_multiples_near_the_true_ones_and_the_schema_says_so),
        cmocka_unit_test(five_million_rows_come_back_field_by_field),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
