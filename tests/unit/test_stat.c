/* SPDX-License-Identifier: Apache-2.0
 * test_stat.c: counts, quantiles and windows against the plainest way to work them out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/stat/tally.h"
#include "format/trace/reader.h"
#include "format/trace/writer.h"
#include "tests/unit/tracegen.h"

/* -------- values -------- */

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The smallest value with at least q n values at or below it, by looking at all of them. */
static uint64_t brute_quantile(const uint64_t *sorted, uint64_t n, uint32_t q)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t below = i + 1;
        while (below < n && sorted[below] == sorted[i])
            below++;
        if ((__extension__(unsigned __int128) below) * KYMO_QUANTILE_ONE >=
            (__extension__(unsigned __int128) n) * q)
            return sorted[i];
    }
    return sorted[n - 1];
}

static uint64_t draw(struct kymo_rng *rng, unsigned kind)
{
    static uint64_t last;
    const uint64_t r = kymo_rng_u64(rng);
    switch (kind) {
    case 0:
        return r % 7; /* ties */
    case 1:
        return 300 + r % 100000;
    case 2:
        return r >> (r & 63); /* all sizes */
    case 3:
        return (uint64_t)UINT32_MAX - 2 + r % 5; /* around the width of what is kept */
    case 4:
        return 12345;
    case 5:
        return r % 100 ? 500 + r % 3 : r >> 40; /* nearly all alike */
    default:
        return last += 1 + r % 3; /* rising, so that a sample is as skew as can be */
    }
}

static const uint32_t quantiles[] = {0,        1,        1000000,  33333333, 50000000,
                                     90000000, 99000000, 99900000, 99999999, 100000000};
#define QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static void quantiles_are_those_of_brute_force(void **state)
{
    static const uint64_t sizes[] = {1, 2, 3, 10, 100, 127, 128, 129, 1000, 4099, 100000};
    static uint64_t x[100000], count[KYMO_BUCKETS];
    static uint8_t present[100000];
    struct kymo_rng rng;
    (void)state;
    kymo_rng_init(&rng, 7);
    for (unsigned kind = 0; kind < 7; kind++)
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            struct kymo_values v = {0};
            uint64_t out[QUANTILES];
            const uint64_t n = sizes[s];
            uint64_t m = 0;
            for (uint64_t i = 0; i < n; i++) {
                x[i] = draw(&rng, kind);
                present[i] = i == 0 || kymo_rng_u64(&rng) % 4 != 0;
            }
            assert_int_equal(kymo_values_add(&v, x, present, (uint32_t)n, NULL), KYMO_OK);
            for (uint64_t i = 0; i < n; i++)
                if (present[i])
                    x[m++] = x[i];
            assert_int_equal(v.n, m);
            qsort(x, m, sizeof(*x), by_value);
            assert_int_equal(kymo_values_select(&v, quantiles, QUANTILES, count, out, NULL),
                             KYMO_OK);
            for (size_t q = 0; q < QUANTILES; q++)
                assert_int_equal(out[q], brute_quantile(x, m, quantiles[q]));
            kymo_values_release(&v);
        }
}

static void a_rank_is_exact_where_a_double_is_not(void **state)
{
    uint32_t q;
    (void)state;
    assert_true(kymo_quantile_parse("p7", &q));
    assert_int_equal(kymo_quantile_rank(q, 100), 7); /* 0.07 * 100 is more than 7 in doubles */
    assert_true(kymo_quantile_parse("p99.9", &q));
    assert_int_equal(kymo_quantile_rank(q, 1000), 999);
    assert_int_equal(kymo_quantile_rank(q, 1001), 1000);
    assert_int_equal(kymo_quantile_rank(q, UINT64_C(10000000000000000000)),
                     UINT64_C(9990000000000000000));
    assert_int_equal(kymo_quantile_rank(0, 5), 1);
    assert_int_equal(kymo_quantile_rank(KYMO_QUANTILE_ONE, 5), 5);
    static const char *const bad[] = {"",    "p",   "50",  "p101",      "p100.1",
                                      "p5x", "p-1", "p1.", "p1.1234567"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(kymo_quantile_parse(bad[i], &q));
}

static void every_value_lies_in_its_bucket(void **state)
{
    struct kymo_rng rng;
    (void)state;
    kymo_rng_init(&rng, 3);
    for (int i = 0; i < 100000; i++) {
        const uint64_t v = i ? draw(&rng, 2) : UINT64_MAX;
        unsigned bits;
        const unsigned b = kymo_bucket_of(v);
        assert_true(b < KYMO_BUCKETS);
        const uint64_t low = kymo_bucket_low(b, &bits);
        assert_true(v >= low && (v - low) >> bits == 0);
        assert_true(!bits || low >> bits == 64 + (b & 63)); /* a 64th of its values wide */
    }
}

static void what_was_spilled_is_refined_to_the_same(void **state)
{
    static uint64_t x[20000], count[KYMO_BUCKETS];
    struct kymo_rng rng;
    (void)state;
    kymo_rng_init(&rng, 11);
    for (unsigned kind = 0; kind < 7; kind++) {
        struct kymo_values v = {0};
        for (int i = 0; i < 20000; i++)
            x[i] = draw(&rng, kind);
        assert_int_equal(kymo_values_add(&v, x, NULL, 10000, NULL), KYMO_OK);
        assert_int_equal(kymo_values_spill(&v, NULL), KYMO_OK);
        assert_int_equal(v.kept_bytes, 0);
        assert_int_equal(kymo_values_add(&v, x + 10000, NULL, 10000, NULL), KYMO_OK);
        kymo_values_buckets(&v, count);
        for (size_t q = 0; q < QUANTILES; q++) {
            struct kymo_refine r = {0};
            int passes = 0;
            kymo_refine_locate(&r, count, kymo_quantile_rank(quantiles[q], v.n));
            while (r.bits) {
                assert_int_equal(kymo_refine_begin(&r, NULL), KYMO_OK);
                kymo_refine_add(&r, x, NULL, 20000);
                assert_int_equal(kymo_refine_end(&r, NULL), KYMO_OK);
                assert_true(++passes <= 6);
            }
            kymo_refine_release(&r);
            static uint64_t sorted[20000];
            memcpy(sorted, x, sizeof(sorted));
            qsort(sorted, 20000, sizeof(*sorted), by_value);
            assert_int_equal(r.low, brute_quantile(sorted, 20000, quantiles[q]));
        }
        kymo_values_release(&v);
    }
}

/* -------- tallies -------- */

#define ROWS 3000u
#define CHUNKS 3u

struct made {
    struct kymo_rows *rows[CHUNKS];
    struct kymo_names *names;
};

static int make_rows(void **state)
{
    static struct made m;
    struct tracegen g;
    tracegen_init(&g, 5);
    if (kymo_names_open(&m.names, NULL))
        return -1;
    for (size_t i = 0; i < CHUNKS; i++) {
        if (kymo_rows_open(&m.rows[i], &KYMO_TABLE_SYSCALL, ROWS, NULL))
            return -1;
        tracegen_begin(m.rows[i]);
        while (!kymo_rows_full(m.rows[i]))
            tracegen_row(&g, m.rows[i]);
    }
    *state = &m;
    return 0;
}

static int drop_rows(void **state)
{
    struct made *m = *state;
    for (size_t i = 0; i < CHUNKS; i++)
        kymo_rows_close(m->rows[i]);
    kymo_names_close(m->names);
    return 0;
}

static uint64_t first_ts(const struct made *m)
{
    return m->rows[0]->lane[KYMO_SYSCALL_TS][0];
}

/* Give all rows, again and again while they are asked for; how often. */
static int count_all(struct kymo_tally *t, const struct made *m)
{
    int again = 1, passes = 0;
    for (; again; passes++) {
        for (size_t i = 0; i < CHUNKS; i++) {
            const struct kymo_batch b = kymo_rows_view(m->rows[i]);
            if (!passes)
                assert_int_equal(kymo_tally_bind(t, b.schema, m->names, first_ts(m), NULL),
                                 KYMO_OK);
            assert_int_equal(kymo_tally_take(t, &b, NULL), KYMO_OK);
        }
        assert_int_equal(kymo_tally_again(t, &again, NULL), KYMO_OK);
    }
    return passes;
}

static struct kymo_tally_ask ask_of(const char *const *by, size_t n_by,
                                    const char *const *measure, size_t n)
{
    struct kymo_tally_ask a = {.by = by,
                               .n_by = n_by,
                               .n_measures = n,
                               .until_ns = UINT64_MAX,
                               .memory_bytes = 1 << 28};
    for (size_t i = 0; i < n; i++)
        assert_true(kymo_measure_parse(measure[i], &a.measure[i]));
    assert_true(kymo_measure_parse("count", &a.sort));
    return a;
}

/* What a group must be, by looking at each row: pid, syscall by number and cpu, in a window. */
struct want {
    uint64_t count, errors, read, written, time, min, max, p99;
};
static struct want brute_group(const struct made *m, uint64_t pid, uint64_t nr, int64_t cpu,
                               uint64_t from, uint64_t to)
{
    static uint64_t dur[CHUNKS * ROWS];
    struct want w = {.min = UINT64_MAX};
    uint64_t n = 0;
    for (size_t c = 0; c < CHUNKS; c++)
        for (uint32_t i = 0; i < ROWS; i++) {
            const struct kymo_rows *r = m->rows[c];
            const uint64_t ts = r->lane[KYMO_SYSCALL_TS][i];
            const int64_t ret = (int64_t)r->lane[KYMO_SYSCALL_RET][i];
            if (r->lane[KYMO_SYSCALL_PID][r->task[i]] != pid ||
                r->lane[KYMO_SYSCALL_NR][r->key[i]] != nr || ts < from || ts >= to ||
                (cpu >= 0 && r->lane[KYMO_SYSCALL_CPU][i] != (uint64_t)cpu))
                continue;
            w.count++;
            const int has = r->present[KYMO_SYSCALL_RET][i];
            w.errors += has && ret < 0 && ret >= -4095;
            w.read += has && nr == 0 && ret > 0 ? (uint64_t)ret : 0;
            w.written += has && nr == 1 && ret > 0 ? (uint64_t)ret : 0;
            if (!r->present[KYMO_SYSCALL_DUR][i])
                continue;
            const uint64_t d = r->lane[KYMO_SYSCALL_DUR][i];
            dur[n++] = d;
            w.time += d;
            w.min = d < w.min ? d : w.min;
            w.max = d > w.max ? d : w.max;
        }
    qsort(dur, n, sizeof(*dur), by_value);
    w.p99 = n ? brute_quantile(dur, n, 99000000) : 0;
    return w;
}

static uint64_t nr_of(const struct kymo_cell *name)
{
    static const struct {
        const char *name;
        uint64_t nr;
    } known[] = {{"epoll_wait", 232}, {"read", 0},         {"write", 1},    {"openat", 257},
                 {"close", 3},        {"newfstatat", 262}, {"connect", 42}, {"exit", 60}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i].name) == name->text.n &&
            !memcmp(known[i].name, name->text.p, name->text.n))
            return known[i].nr;
    fail_msg("no such call");
    return 0;
}

static const char *const all_measures[] = {"count", "errors", "read", "written",
                                           "time",  "min",    "max",  "p99"};

static void assert_same(struct kymo_tally *t, const struct kymo_tally_ask *ask,
                        const struct kymo_tally_row *row, const struct want *w)
{
    const uint64_t want[] = {w->count, w->errors, w->read, w->written,
                             w->time,  w->min,    w->max,  w->p99};
    for (size_t i = 0; i < ask->n_measures; i++) {
        struct kymo_cell cell;
        assert_int_equal(kymo_tally_cell(t, row, &ask->measure[i], &cell, NULL), KYMO_OK);
        if (cell.kind == KYMO_CELL_NULL)
            assert_int_equal(w->time, 0);
        else
            assert_int_equal(cell.u64, want[i]);
    }
}

/* by pid, syscall and maybe cpu, in windows of every_ns; compares every group. */
static int compare_all(const struct made *m, struct kymo_tally_ask *ask)
{
    struct kymo_tally *t;
    struct kymo_tally_row *row;
    size_t n;
    uint64_t hidden, rows = 0;
    assert_int_equal(kymo_tally_open(&t, ask, NULL), KYMO_OK);
    const int passes = count_all(t, m);
    assert_int_equal(kymo_tally_vague(t), 0);
    assert_int_equal(kymo_tally_rows(t, &row, &n, &hidden, NULL), KYMO_OK);
    assert_int_equal(hidden, 0);
    for (size_t i = 0; i < n; i++) {
        struct kymo_cell pid, name, cpu = {.kind = KYMO_CELL_NULL};
        kymo_tally_by_cell(t, &row[i], 0, &pid);
        kymo_tally_by_cell(t, &row[i], 1, &name);
        if (ask->n_by > 2)
            kymo_tally_by_cell(t, &row[i], 2, &cpu);
        const uint64_t origin = ask->from_start || !ask->every_ns
                                    ? first_ts(m)
                                    : first_ts(m) - first_ts(m) % ask->every_ns;
        const uint64_t from = origin + (uint64_t)row[i].window * ask->every_ns;
        const struct want w =
            brute_group(m, pid.u64, nr_of(&name), cpu.kind ? (int64_t)cpu.u64 : -1, from,
                        ask->every_ns ? from + ask->every_ns : UINT64_MAX);
        assert_same(t, ask, &row[i], &w);
        rows += w.count;
        if (i && row[i].window == row[i - 1].window)
            assert_true(row[i].key <= row[i - 1].key);
    }
    assert_int_equal(rows, CHUNKS * ROWS);
    free(row);
    kymo_tally_close(t);
    return passes;
}

static void groups_are_those_of_brute_force(void **state)
{
    const char *const by[] = {"pid", "syscall", "cpu"};
    struct kymo_tally_ask ask = ask_of(by, 2, all_measures, 8);
    assert_int_equal(compare_all(*state, &ask), 1);
    ask.n_by = 3; /* by row */
    assert_int_equal(compare_all(*state, &ask), 1);
}

static void windows_are_those_of_brute_force(void **state)
{
    const char *const by[] = {"pid", "syscall", "cpu"};
    static const uint64_t every[] = {1000, 777777, 5000000, 1000000000};
    for (size_t i = 0; i < 4; i++)
        for (int from_start = 0; from_start < 2; from_start++) {
            struct kymo_tally_ask ask = ask_of(by, 2 + i % 2, all_measures, 8);
            ask.every_ns = every[i];
            ask.from_start = from_start;
            compare_all(*state, &ask);
        }
}

static void beyond_the_memory_further_passes_give_the_same(void **state)
{
    const char *const by[] = {"pid", "syscall"};
    struct kymo_tally_ask ask = ask_of(by, 2, all_measures, 8);
    struct made *m = *state;
    ask.memory_bytes = 1 << 16;
    for (size_t c = 0; c < CHUNKS; c++) /* one call of one process has nearly all */
        for (uint32_t i = 0; i < ROWS; i++)
            if (m->rows[c]->task[i] < 8) {
                m->rows[c]->task[i] = 1;
                m->rows[c]->key[i] = GEN_READ;
                m->rows[c]->lane[KYMO_SYSCALL_DUR][i] *= i * 131071;
            }
    for (size_t c = 0; c < CHUNKS; c++)
        m->rows[c]->lane[KYMO_SYSCALL_DUR][c] = UINT64_MAX / 5;
    assert_true(compare_all(m, &ask) >= 2);
    drop_rows(state);
    make_rows(state);
}

static void call_order_and_row_order_count_the_same(void **state)
{
    const char *const by[] = {"comm", "syscall", "errno"};
    struct made *m = *state;
    char path[] = "/tmp/kymo-stat-XXXXXX";
    const int fd = mkstemp(path);
    struct kymo_writer *w;
    assert_int_equal(kymo_writer_open(&w, fd, path, 3, NULL), KYMO_OK);
    for (size_t i = 0; i < CHUNKS; i++) {
        const struct kymo_batch b = kymo_rows_view(m->rows[i]);
        assert_int_equal(kymo_writer_put(w, &b, 0, NULL), KYMO_OK);
    }
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    kymo_writer_close(w);
    close(fd);
    struct kymo_tally_row *row[2];
    struct kymo_tally *t[2];
    size_t n[2];
    struct kymo_tally_ask ask = ask_of(by, 3, all_measures, 8);
    ask.every_ns = 3000000;
    for (int order = 0; order < 2; order++) {
        const struct kymo_batch *b;
        kymo_reader *r;
        uint64_t hidden;
        assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
        kymo_reader_call_order(r, order);
        assert_int_equal(kymo_tally_open(&t[order], &ask, NULL), KYMO_OK);
        while (!kymo_reader_next(r, &b, NULL) && b) {
            assert_int_equal(kymo_tally_bind(t[order], b->schema, m->names, first_ts(m), NULL),
                             KYMO_OK);
            assert_int_equal(kymo_tally_take(t[order], b, NULL), KYMO_OK);
        }
        kymo_reader_close(r);
        assert_int_equal(kymo_tally_rows(t[order], &row[order], &n[order], &hidden, NULL),
                         KYMO_OK);
    }
    unlink(path);
    assert_int_equal(n[0], n[1]);
    for (size_t i = 0; i < n[0]; i++)
        for (size_t f = 0; f < 3 + 8; f++) {
            struct kymo_cell x, y;
            if (f < 3) {
                kymo_tally_by_cell(t[0], &row[0][i], f, &x);
                kymo_tally_by_cell(t[1], &row[1][i], f, &y);
            } else {
                assert_int_equal(
                    kymo_tally_cell(t[0], &row[0][i], &ask.measure[f - 3], &x, NULL), KYMO_OK);
                assert_int_equal(
                    kymo_tally_cell(t[1], &row[1][i], &ask.measure[f - 3], &y, NULL), KYMO_OK);
            }
            assert_int_equal(kymo_cell_order(&x, &y), 0);
        }
    for (int order = 0; order < 2; order++) {
        free(row[order]);
        kymo_tally_close(t[order]);
    }
}

static void limits_and_filters_leave_out_the_others(void **state)
{
    const char *const by[] = {"syscall"};
    const char *const count[] = {"count"};
    const struct made *m = *state;
    static const char *const filters[] = {NULL, "comm == redis-server", "ret < 0 && cpu == 1"};
    for (size_t i = 0; i < 3; i++) {
        struct kymo_tally_ask ask = ask_of(by, 1, count, 1);
        struct kymo_tally *t;
        struct kymo_tally_sum sum;
        uint64_t want = 0;
        ask.since_ns = 700000;
        ask.until_ns = 4000001;
        ask.filter = filters[i];
        assert_int_equal(kymo_tally_open(&t, &ask, NULL), KYMO_OK);
        count_all(t, m);
        kymo_tally_sum(t, &sum);
        for (size_t c = 0; c < CHUNKS; c++)
            for (uint32_t r = 0; r < ROWS; r++) {
                const struct kymo_rows *rows = m->rows[c];
                const uint64_t at = rows->lane[KYMO_SYSCALL_TS][r] - first_ts(m);
                const int negative = rows->present[KYMO_SYSCALL_RET][r] &&
                                     (int64_t)rows->lane[KYMO_SYSCALL_RET][r] < 0;
                want += at >= 700000 && at <= 4000001 &&
                        (i == 0 || (i == 1 && rows->task[r] < 4) ||
                         (i == 2 && negative && rows->lane[KYMO_SYSCALL_CPU][r] == 1));
            }
        assert_true(want > 0);
        assert_int_equal(sum.rows, want);
        assert_int_equal(sum.span_ns, 4000001 - 700000);
        kymo_tally_close(t);
    }
}

static void fields_that_are_not_there_or_twice_are_refused(void **state)
{
    const char *const nosuch[] = {"nosuch"}, *const twice[] = {"path", "file"};
    const char *const count[] = {"count"};
    const struct made *m = *state;
    struct kymo_tally *t;
    struct kymo_err err;
    struct kymo_tally_ask ask = ask_of(nosuch, 1, count, 1);
    assert_int_equal(kymo_tally_open(&t, &ask, &err), KYMO_OK);
    assert_int_equal(kymo_tally_bind(t, &KYMO_TABLE_SYSCALL, m->names, 0, &err), KYMO_EUSAGE);
    assert_non_null(strstr(err.text, "no field 'nosuch'; it has"));
    kymo_tally_close(t);
    ask = ask_of(twice, 2, count, 1);
    assert_int_equal(kymo_tally_open(&t, &ask, &err), KYMO_OK);
    assert_int_equal(kymo_tally_bind(t, &KYMO_TABLE_SYSCALL, m->names, 0, &err), KYMO_EUSAGE);
    kymo_tally_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_brute_force),
        cmocka_unit_test(a_rank_is_exact_where_a_double_is_not),
        cmocka_unit_test(every_value_lies_in_its_bucket),
        cmocka_unit_test(what_was_spilled_is_refined_to_the_same),
        cmocka_unit_test_setup_teardown(groups_are_those_of_brute_force, make_rows, drop_rows),
        cmocka_unit_test_setup_teardown(windows_are_those_of_brute_force, make_rows, drop_rows),
        cmocka_unit_test_setup_teardown(beyond_the_memory_further_passes_give_the_same,
                                        make_rows, drop_rows),
        cmocka_unit_test_setup_teardown(call_order_and_row_order_count_the_same, make_rows,
                                        drop_rows),
        cmocka_unit_test_setup_teardown(limits_and_filters_leave_out_the_others, make_rows,
                                        drop_rows),
        cmocka_unit_test_setup_teardown(fields_that_are_not_there_or_twice_are_refused,
                                        make_rows, drop_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
