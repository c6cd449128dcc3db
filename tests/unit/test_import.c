/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/size.h"
#include "format/import/pairs.h"
#include "format/import/strace.h"
#include "format/trace/reader.h"
#include "format/trace/sysname.h"

#define SECOND 1000000000ull

struct capture {
    char path[32];
    int fd;
    struct kymo_writer *w;
    struct kymo_sink *sink;
};

static void begin(struct capture *c)
{
    struct kymo_err err;
    strcpy(c->path, "/tmp/test-import-XXXXXX");
    c->fd = mkstemp(c->path);
    assert_true(c->fd >= 0);
    assert_int_equal(kymo_writer_open(&c->w, c->fd, c->path, 1, &err), KYMO_OK);
    assert_int_equal(kymo_sink_open(&c->sink, c->w, 0, &err), KYMO_OK);
}

static void add(struct capture *c, uint64_t ts_ns, uint32_t tid)
{
    const struct kymo_import_call call = {.ts_ns = ts_ns,
                                          .dur_ns = KYMO_IMPORT_UNKNOWN,
                                          .tid = tid,
                                          .arch = KYMO_ARCH_X86_64,
                                          .has_ret = 1};
    assert_int_equal(kymo_sink_call(c->sink, &call, NULL), KYMO_OK);
}

/* Ends the capture and reads its calls: as many as cap of ts, pid and flags, in file order. */
static uint32_t end(struct capture *c, uint64_t (*row)[3], uint32_t cap)
{
    const struct kymo_batch *b;
    kymo_reader *r;
    uint32_t n = 0;
    assert_int_equal(kymo_sink_finish(c->sink, NULL), KYMO_OK);
    assert_int_equal(kymo_writer_finish(c->w, NULL), KYMO_OK);
    kymo_sink_close(c->sink);
    kymo_writer_close(c->w);
    close(c->fd);
    assert_int_equal(kymo_reader_open(&r, c->path, 0, NULL), KYMO_OK);
    while (kymo_reader_next(r, &b, NULL) == KYMO_OK && b) {
        if (strcmp(kymo_batch_table(b), "syscall") != 0)
            continue;
        for (uint32_t i = 0; i < kymo_batch_rows(b) && n < cap; i++, n++) {
            row[n][0] = kymo_batch_u64(b, KYMO_SYSCALL_TS, i);
            row[n][1] = kymo_batch_u64(b, KYMO_SYSCALL_PID, i);
            row[n][2] = kymo_batch_u64(b, KYMO_SYSCALL_FLAGS, i);
        }
    }
    kymo_reader_close(r);
    unlink(c->path);
    return n;
}

static void rows_come_out_in_order_of_time(void **state)
{
    (void)state;
    static const uint64_t ts[] = {5 * SECOND, 3 * SECOND, 4 * SECOND, 1 * SECOND, 3 * SECOND};
    struct capture c;
    uint64_t row[8][3];
    begin(&c);
    for (size_t i = 0; i < KYMO_COUNT_OF(ts); i++)
        add(&c, ts[i], 7);
    assert_int_equal(end(&c, row, 8), 5);
    for (size_t i = 1; i < 5; i++)
        assert_true(row[i - 1][0] <= row[i][0]);
    assert_int_equal(row[0][2] & KYMO_CALL_LATE, 0);
}

static void a_row_behind_the_seal_is_kept_and_flagged_late(void **state)
{
    (void)state;
    enum { N = 70000 }; /* more than wait for their turn */
    static uint64_t row[N + 1][3];
    struct capture c;
    begin(&c);
    for (uint64_t i = 0; i < N; i++)
        add(&c, 10 * SECOND + i * 1000000, 7);
    add(&c, 1 * SECOND, 7);
    assert_int_equal(kymo_sink_totals(c.sink)->late, 1);
    assert_int_equal(end(&c, row, N + 1), N + 1);
    uint32_t flagged = 0;
    for (uint32_t i = 0; i <= N; i++)
        if (row[i][2] & KYMO_CALL_LATE) {
            assert_int_equal(row[i][0], 1 * SECOND);
            flagged++;
        }
    assert_int_equal(flagged, 1);
}

static void a_thread_is_of_its_process_even_before_its_clone_returned(void **state)
{
    (void)state;
    struct capture c;
    uint64_t row[4][3];
    begin(&c);
    add(&c, 2 * SECOND, 71);
    assert_int_equal(kymo_sink_thread(c.sink, 71, 70, NULL), KYMO_OK);
    add(&c, 3 * SECOND, 72);
    assert_int_equal(kymo_sink_pid(c.sink, 71), 70);
    assert_int_equal(end(&c, row, 4), 2);
    assert_int_equal(row[0][1], 70);
    assert_int_equal(row[1][1], 72);
}

static void entries_wait_for_their_exits_and_no_others(void **state)
{
    (void)state;
    struct capture c;
    struct kymo_pairs *p;
    uint64_t row[300][3];
    int found;
    begin(&c);
    assert_int_equal(kymo_pairs_open(&p, c.sink, NULL), KYMO_OK);
    for (uint32_t tid = 1; tid <= 200; tid++) {
        const struct kymo_import_call in = {
            .ts_ns = tid, .tid = tid, .arch = KYMO_ARCH_X86_64, .nr = 2, .path = {"/x", 2}};
        assert_int_equal(kymo_pairs_enter(p, &in, 2, NULL), KYMO_OK);
    }
    for (uint32_t tid = 1; tid <= 100; tid++) {
        struct kymo_import_call out = {.ts_ns = 1000 + tid, .tid = tid};
        assert_int_equal(kymo_pairs_exit(p, &out, tid % 2 ? 2 : 3, &found, NULL), KYMO_OK);
        assert_int_equal(found, tid % 2);
        if (found) {
            assert_int_equal(out.dur_ns, 1000);
            assert_int_equal(out.nr, 2);
            assert_memory_equal(out.path.p, "/x", 2);
        }
    }
    assert_int_equal(kymo_pairs_finish(p, 2000, NULL), KYMO_OK);
    kymo_pairs_close(p);
    /* 50 whose exit was another call's, 100 still in theirs */
    const uint32_t n = end(&c, row, 300);
    assert_int_equal(n, 150);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(row[i][2], KYMO_CALL_UNFINISHED);
}

static void a_call_is_taken_apart_whatever_stands_in_quotes_and_brackets(void **state)
{
    (void)state;
    struct kymo_strace_call c;
    const char *why;
    assert_true(kymo_strace_split("f(\"a,)\\\"\", {x=[1, 2], y=\"}\"}, 3</tmp/\\76 x>, "
                                  "4<TCP:[1->2]>, 1<<2, 0x7 /* 2, 3 */) = 1 (x)",
                                  &c, &why));
    assert_int_equal(c.n_args, 6);
    assert_memory_equal(c.arg[2].p, "3</tmp/\\76 x>", c.arg[2].n);
    assert_memory_equal(c.result.p, "1 (x)", 5);
    assert_true(kymo_strace_split("getpid() = 3", &c, &why));
    assert_int_equal(c.n_args, 0);
    static const char *const bad[] = {"",     "x",      "x(",      "x(\"",
                                      "x({)", "x(1) 2", "(1) = 2", "x(<a)"};
    for (size_t i = 0; i < KYMO_COUNT_OF(bad); i++)
        assert_false(kymo_strace_split(bad[i], &c, &why));
}

static void numbers_are_told_from_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int is;
        uint64_t v;
    } t[] = {
        {"0", 1, 0},
        {"12", 1, 12},
        {"-5", 1, (uint64_t)-5},
        {"0x1f", 1, 31},
        {"0644", 1, 0644},
        {"NULL", 1, 0},
        {"3</etc/x>", 1, 3},
        {"0</dev/null>", 1, 0},
        {"AT_FDCWD", 1, (uint64_t)-100},
        {"0x7 /* 2 vars */", 1, 7},
        {"10*1024", 0, 0},
        {"1<<3", 0, 0},
        {"O_RDONLY", 0, 0},
        {"", 0, 0},
        {"18446744073709551616", 0, 0},
        {"{1}", 0, 0},
        {"AT_FDCWD</x>", 1, (uint64_t)-100},
    };
    for (size_t i = 0; i < KYMO_COUNT_OF(t); i++) {
        uint64_t v = 0;
        assert_int_equal(
            kymo_strace_number((struct kymo_text){t[i].text, strlen(t[i].text)}, &v), t[i].is);
        if (t[i].is)
            assert_true(v == t[i].v);
    }
}

static void times_are_read_exactly_and_nonsense_is_refused(void **state)
{
    (void)state;
    uint64_t ns;
    assert_non_null(kymo_import_seconds("12.000345", &ns));
    assert_int_equal(ns, 12 * SECOND + 345000);
    assert_non_null(kymo_import_daytime("23:59:59.5", &ns));
    assert_int_equal(ns, (86399 * SECOND) + SECOND / 2);
    assert_null(kymo_import_daytime("24:00:00", &ns));
    assert_true(kymo_import_rfc3339("2024-02-29T12:00:00.25Z", &ns));
    assert_true(ns == 1709208000ull * SECOND + SECOND / 4);
    assert_true(kymo_import_rfc3339("2000-01-01T01:00:00+01:00", &ns));
    assert_true(ns == 946684800ull * SECOND);
    static const char *const bad[] = {"", "2024", "2024-13-01T00:00:00Z",
                                      "2024-01-01T00:00:00"};
    for (size_t i = 0; i < KYMO_COUNT_OF(bad); i++)
        assert_false(kymo_import_rfc3339(bad[i], &ns));
    assert_int_equal(kymo_import_error("ENOENT", 6), -2);
    assert_int_equal(kymo_import_error("ERNO", 4), 0);
    assert_int_equal(kymo_import_signal("SIGKILL", 7), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_out_in_order_of_time),
        cmocka_unit_test(a_row_behind_the_seal_is_kept_and_flagged_late),
        cmocka_unit_test(a_thread_is_of_its_process_even_before_its_clone_returned),
        cmocka_unit_test(entries_wait_for_their_exits_and_no_others),
        cmocka_unit_test(a_call_is_taken_apart_whatever_stands_in_quotes_and_brackets),
        cmocka_unit_test(numbers_are_told_from_words),
        cmocka_unit_test(times_are_read_exactly_and_nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
