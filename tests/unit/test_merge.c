/* SPDX-License-Identifier: Apache-2.0
 * test_merge.c: clocks are put on one axis, hosts are told apart, seals hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/file/clockmap.h"
#include "format/file/merge.h"
#include "format/trace/reader.h"
#include "tests/unit/tracegen.h"

#define SECOND 1000000000ull

/* -------- the map -------- */

static void between_anchors_lines_are_straight_and_outside_they_go_on(void **state)
{
    (void)state;
    struct kymo_clockmap m = {0};
    assert_int_equal(kymo_clockmap_add(&m, 10 * SECOND, 110 * SECOND, NULL), KYMO_OK);
    assert_int_equal(kymo_clockmap_add(&m, 20 * SECOND, 120 * SECOND + 1000000, NULL), KYMO_OK);
    assert_int_equal(kymo_clockmap_apply(&m, 10 * SECOND), 110 * SECOND);
    assert_int_equal(kymo_clockmap_apply(&m, 15 * SECOND), 115 * SECOND + 500000);
    assert_int_equal(kymo_clockmap_apply(&m, 20 * SECOND), 120 * SECOND + 1000000);
    assert_int_equal(kymo_clockmap_apply(&m, 25 * SECOND), 125 * SECOND + 1000000);
    assert_int_equal(kymo_clockmap_apply(&m, 4 * SECOND), 104 * SECOND);
    assert_int_equal(kymo_clockmap_apply(&m, UINT64_MAX), UINT64_MAX);
    uint64_t last = 0;
    for (uint64_t t = 9 * SECOND; t < 21 * SECOND; t += 999983) {
        const uint64_t now = kymo_clockmap_apply(&m, t);
        assert_true(now >= last);
        last = now;
    }
    kymo_clockmap_release(&m);
}

static void a_clock_that_was_set_is_left_out(void **state)
{
    (void)state;
    struct kymo_clockmap m = {0};
    assert_int_equal(kymo_clockmap_add(&m, 10 * SECOND, 110 * SECOND, NULL), KYMO_OK);
    assert_int_equal(kymo_clockmap_add(&m, 20 * SECOND, 90 * SECOND, NULL), KYMO_OK);
    assert_int_equal(kymo_clockmap_add(&m, 30 * SECOND, 3730 * SECOND, NULL), KYMO_OK);
    assert_int_equal(kymo_clockmap_add(&m, 40 * SECOND, 140 * SECOND, NULL), KYMO_OK);
    assert_int_equal(m.n, 2);
    assert_int_equal(kymo_clockmap_apply(&m, 30 * SECOND), 130 * SECOND);
    kymo_clockmap_release(&m);
}

static void two_maps_to_the_wall_clock_make_one_between_hosts(void **state)
{
    (void)state;
    struct kymo_clockmap a = {0}, b = {0}, both;
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(
            kymo_clockmap_add(&a, (1000 + 10 * i) * SECOND, (50000 + 10 * i) * SECOND, NULL),
            KYMO_OK);
        assert_int_equal(
            kymo_clockmap_add(&b, (7 + 10 * i) * SECOND, (50003 + 10 * i) * SECOND, NULL),
            KYMO_OK);
    }
    assert_int_equal(kymo_clockmap_join(&both, &b, &a, NULL), KYMO_OK);
    for (uint64_t t = 1; t < 100; t++)
        assert_int_equal(kymo_clockmap_apply(&both, t * SECOND), (t + 996) * SECOND);
    kymo_clockmap_release(&both);
    const struct kymo_clockmap none = {0};
    assert_int_equal(kymo_clockmap_join(&both, &none, &a, NULL), KYMO_EINPUT);
    kymo_clockmap_release(&a);
    kymo_clockmap_release(&b);
}

/* -------- captures of two hosts -------- */

struct host {
    const char *name, *boot;
    uint64_t mono_ns, real_ns; /* of the same moment */
    uint64_t every_ns, phase_ns;
};

static void put(struct kymo_writer *w, struct kymo_rows *r, uint32_t flags)
{
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_writer_put(w, &b, flags, NULL), KYMO_OK);
    kymo_rows_close(r);
}

static struct kymo_rows *rows_of(const struct kymo_schema *s)
{
    struct kymo_rows *r;
    assert_int_equal(kymo_rows_open(&r, s, 5000, NULL), KYMO_OK);
    return r;
}

static void put_books(struct kymo_writer *w, const struct host *h)
{
    const char *const fact[2][2] = {{"hostname", h->name}, {"boot_id", h->boot}};
    struct kymo_rows *r = rows_of(&KYMO_TABLE_CONTEXT);
    for (int i = 0; i < 2; i++) {
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, KYMO_CONTEXT_TS, row, h->mono_ns);
        kymo_rows_set_str(r, KYMO_CONTEXT_KEY, row, fact[i][0], strlen(fact[i][0]));
        kymo_rows_set_str(r, KYMO_CONTEXT_VALUE, row, fact[i][1], strlen(fact[i][1]));
    }
    put(w, r, 0);
    r = rows_of(&KYMO_TABLE_CLOCK);
    for (uint64_t i = 0; i < 2; i++) {
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, KYMO_CLOCK_TS, row, h->mono_ns + i * SECOND);
        kymo_rows_set(r, KYMO_CLOCK_REAL, row, h->real_ns + i * SECOND);
    }
    put(w, r, 0);
}

/* One call of one task, its first argument counting up; one seal a second. */
static void put_second(struct kymo_writer *w, const struct host *h, uint64_t second,
                       uint64_t *number)
{
    struct kymo_rows *r = rows_of(&KYMO_TABLE_SYSCALL);
    const uint64_t from = h->mono_ns + second * SECOND;
    (void)kymo_rows_add_task(r);
    (void)kymo_rows_add_key(r);
    r->lane[KYMO_SYSCALL_PID][0] = 100;
    r->lane[KYMO_SYSCALL_ARCH][0] = GEN_ARCH;
    r->lane[KYMO_SYSCALL_NR][0] = 1;
    for (uint64_t ts = from + h->phase_ns; ts < from + SECOND; ts += h->every_ns) {
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, KYMO_SYSCALL_TS, row, ts);
        kymo_rows_set(r, KYMO_SYSCALL_ARG0, row, (*number)++);
    }
    const uint32_t n = r->n_rows;
    put(w, r, 0);
    r = rows_of(&KYMO_TABLE_LOSS);
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_LOSS_TS, row, from + SECOND);
    kymo_rows_set_str(r, KYMO_LOSS_SOURCE, row, "syscall", 7);
    kymo_rows_set(r, KYMO_LOSS_SEEN, row, n);
    kymo_rows_set(r, KYMO_LOSS_STORED, row, n);
    put(w, r, KYMO_CHUNK_SEAL);
}

static void make_host(char *path, const struct host *h, uint64_t seconds, uint64_t *number)
{
    struct kymo_writer *w;
    strcpy(path, "/tmp/kymo-test-XXXXXX");
    const int fd = mkstemp(path);
    assert_int_equal(kymo_writer_open(&w, fd, path, 1, NULL), KYMO_OK);
    for (uint64_t s = 0; s < seconds; s++) {
        if (!s)
            put_books(w, h);
        put_second(w, h, s, number);
    }
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    kymo_writer_close(w);
    close(fd);
}

static struct kymo_merge_result merge(char *out, const char *const *path, size_t n)
{
    const struct kymo_merge_opts o = {0};
    struct kymo_merge_result result;
    struct kymo_writer *w;
    const char *at;
    strcpy(out, "/tmp/kymo-test-XXXXXX");
    const int fd = mkstemp(out);
    assert_int_equal(kymo_writer_open(&w, fd, out, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_merge(path, n, &o, w, &result, &at, NULL), KYMO_OK);
    kymo_writer_close(w);
    close(fd);
    return result;
}

/* Nothing older than a seal may follow it; rows of a chunk rise; each host's numbers count up. */
static void assert_in_order(const char *path, size_t hosts, uint64_t *rows, unsigned *seals)
{
    kymo_reader *r;
    const struct kymo_batch *b;
    uint64_t sealed = 0, next[3] = {0};
    *rows = 0;
    *seals = 0;
    assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b) {
        const int ts = kymo_schema_ts(b->schema), host = kymo_batch_column(b, "host");
        assert_int_equal(host >= 0, hosts > 1);
        if (kymo_schema_ts(b->schema) >= 0)
            assert_true(b->ts_min_ns >= sealed);
        for (uint32_t i = 1; ts >= 0 && i < b->n_rows; i++)
            assert_true(b->lane[ts][i] >= b->lane[ts][i - 1]);
        if (kymo_reader_chunk(r)->flags & KYMO_CHUNK_SEAL) {
            sealed = b->ts_max_ns;
            ++*seals;
        }
        if (strcmp(b->schema->table, "syscall") != 0)
            continue;
        *rows += b->n_rows;
        for (uint32_t i = 0; i < b->n_rows; i++) {
            uint32_t n = 0;
            const char *name = host < 0 ? "a" : kymo_batch_str(b, (uint32_t)host, i, &n);
            uint64_t *want = &next[name[0] - 'a'];
            assert_int_equal(kymo_batch_u64(b, KYMO_SYSCALL_ARG0, i), *want);
            ++*want;
        }
    }
    assert_true(kymo_reader_complete(r));
    kymo_reader_close(r);
}

static void two_hosts_interleave_on_the_clock_of_the_first_and_seals_hold(void **state)
{
    (void)state;
    /* b's clock shows 3 s where a's shows 500 s; b begins 2 s later */
    const struct host a = {"a", "boot-a", 500 * SECOND, 9000 * SECOND, 700000, 11};
    const struct host b = {"b", "boot-b", 3 * SECOND, 9002 * SECOND, 900000, 400000017};
    char path_a[32], path_b[32], out[32];
    uint64_t na = 0, nb = 0, rows;
    unsigned seals;
    make_host(path_a, &a, 6, &na);
    make_host(path_b, &b, 6, &nb);
    const char *const path[] = {path_a, path_b};
    const struct kymo_merge_result r = merge(out, path, 2);
    assert_int_equal(r.hosts, 2);
    assert_in_order(out, 2, &rows, &seals);
    assert_int_equal(rows, na + nb);
    assert_true(seals >= 5);

    kymo_reader *reader;
    const struct kymo_batch *batch;
    uint64_t first_b = 0, last = 0;
    assert_int_equal(kymo_reader_open(&reader, out, 0, NULL), KYMO_OK);
    while (!kymo_reader_next(reader, &batch, NULL) && batch) {
        if (strcmp(batch->schema->table, "syscall") != 0)
            continue;
        for (uint32_t i = 0; i < batch->n_rows; i++) {
            uint32_t n;
            const char *name = kymo_batch_str(batch, KYMO_SYSCALL_COLUMNS, i, &n);
            const uint64_t ts = batch->lane[KYMO_SYSCALL_TS][i];
            first_b = !first_b && name[0] == 'b' ? ts : first_b;
            assert_true(ts >= last); /* also from chunk to chunk: these two know no late rows */
            last = ts;
        }
    }
    assert_int_equal(first_b, 502 * SECOND + b.phase_ns);
    kymo_reader_close(reader);
    unlink(path_a);
    unlink(path_b);
    unlink(out);
}

static void parts_of_a_boot_join_without_a_host_and_one_after_the_other(void **state)
{
    (void)state;
    struct host a = {"a", "boot-a", 500 * SECOND, 9000 * SECOND, 700000, 11};
    char part[3][32], out[32];
    uint64_t number = 0, rows;
    unsigned seals;
    for (int i = 0; i < 3; i++) {
        make_host(part[i], &a, 3, &number);
        a.mono_ns += 3 * SECOND;
        a.real_ns += 3 * SECOND;
    }
    const char *const path[] = {part[1], part[2], part[0]};
    const struct kymo_merge_result r = merge(out, path, 3);
    assert_int_equal(r.hosts, 1);
    assert_in_order(out, 1, &rows, &seals);
    assert_int_equal(rows, number);
    assert_true(seals >= 9);
    for (int i = 0; i < 3; i++)
        unlink(part[i]);
    unlink(out);
}

static void two_hosts_of_one_name_are_told_apart(void **state)
{
    (void)state;
    const struct host a = {"a", "0123456789", 500 * SECOND, 9000 * SECOND, 700000, 11};
    const struct host b = {"a", "abcdefghij", 3 * SECOND, 9002 * SECOND, 900000, 17};
    char path_a[32], path_b[32], out[32];
    uint64_t n = 0;
    kymo_reader *r;
    const struct kymo_batch *batch;
    int plain = 0, longer = 0;
    make_host(path_a, &a, 1, &n);
    make_host(path_b, &b, 1, &n);
    const char *const path[] = {path_a, path_b};
    assert_int_equal(merge(out, path, 2).hosts, 2);
    assert_int_equal(kymo_reader_open(&r, out, 0, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &batch, NULL) && batch) {
        const int host = kymo_batch_column(batch, "host");
        for (uint32_t i = 0; i < batch->n_rows; i++) {
            uint32_t m;
            const char *name = kymo_batch_str(batch, (uint32_t)host, i, &m);
            plain += m == 1 && name[0] == 'a';
            longer += m == 10 && !memcmp(name, "a/abcdefgh", 10);
        }
    }
    assert_true(plain > 1000 && longer > 1000);
    kymo_reader_close(r);
    unlink(path_a);
    unlink(path_b);
    unlink(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(between_anchors_lines_are_straight_and_outside_they_go_on),
        cmocka_unit_test(a_clock_that_was_set_is_left_out),
        cmocka_unit_test(two_maps_to_the_wall_clock_make_one_between_hosts),
        cmocka_unit_test(two_hosts_interleave_on_the_clock_of_the_first_and_seals_hold),
        cmocka_unit_test(parts_of_a_boot_join_without_a_host_and_one_after_the_other),
        cmocka_unit_test(two_hosts_of_one_name_are_told_apart),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
