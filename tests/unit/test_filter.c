/* SPDX-License-Identifier: Apache-2.0
 * test_filter.c: what the filter language lets pass, and what it refuses, with the place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "format/trace/chunk.h"
#include "format/trace/filter.h"
#include "tests/unit/tracegen.h"

#define START_NS 1000000000u

/* Row 0: openat by redis-server fails with ENOENT after 1.5 ms, 2 s after the start.
 * Row 1: read by find, 4096 bytes in 800 ns, 3 s after the start, no path. */
static int make_rows(void **state)
{
    struct kymo_rows *r;
    if (kymo_rows_open(&r, &KYMO_TABLE_SYSCALL, 64, NULL))
        return -1;
    tracegen_begin(r);
    uint32_t row = kymo_rows_add(r);
    r->task[row] = 0;
    r->key[row] = GEN_OPENAT;
    kymo_rows_set(r, KYMO_SYSCALL_TS, row, START_NS + 2000000000u);
    kymo_rows_set(r, KYMO_SYSCALL_DUR, row, 1500000);
    kymo_rows_set(r, KYMO_SYSCALL_RET, row, (uint64_t)-2);
    kymo_rows_set(r, KYMO_SYSCALL_ARG0, row, (uint64_t)-100);
    kymo_rows_set_str(r, KYMO_SYSCALL_PATH, row, "/etc/red*is \"x\"", 15);
    row = kymo_rows_add(r);
    r->task[row] = 8;
    r->key[row] = GEN_READ;
    kymo_rows_set(r, KYMO_SYSCALL_TS, row, START_NS + 3000000000u);
    kymo_rows_set(r, KYMO_SYSCALL_DUR, row, 800);
    kymo_rows_set(r, KYMO_SYSCALL_RET, row, 4096);
    kymo_rows_set(r, KYMO_SYSCALL_ARG0, row, 18446744073709551615u);
    *state = r;
    return 0;
}

static int drop_rows(void **state)
{
    kymo_rows_close(*state);
    return 0;
}

/* Bit i: row i passes. -1: refused, why in err. */
static int passes(struct kymo_rows *r, const char *text, struct kymo_err *err)
{
    struct kymo_filter *f;
    const struct kymo_batch b = kymo_rows_view(r);
    int bits = 0;
    if (kymo_filter_open(&f, text, err))
        return -1;
    if (kymo_filter_bind(f, b.schema, NULL, START_NS, err)) {
        kymo_filter_close(f);
        return -1;
    }
    assert_int_equal(kymo_filter_begin(f, &b, err), KYMO_OK);
    for (uint32_t i = 0; i < b.n_rows; i++)
        bits |= kymo_filter_match(f, i) << i;
    for (uint32_t i = 0; i < b.n_rows; i++) /* and the same from memory */
        assert_int_equal(kymo_filter_match(f, i), bits >> i & 1);
    kymo_filter_close(f);
    return bits;
}

static void comparisons_mean_what_they_say(void **state)
{
    static const struct {
        const char *text;
        int rows;
    } good[] = {
        {"syscall == openat", 1},
        {"syscall == openat && ret < 0 && comm ~ \"redis*\"", 1},
        {"syscall != openat", 2},
        {"syscall ~ \"*e*\"", 3},
        {"ret < 0", 1},
        {"ret == -2", 1},
        {"ret >= 4K", 2},
        {"ret > 4096", 0},
        {"ret == 0x1000", 2},
        {"errno", 1},
        {"!errno", 2},
        {"errno == ENOENT", 1},
        {"errno == 2", 1},
        {"errno != EPERM", 1},
        {"dur > 1ms", 1},
        {"dur == 1.5ms", 1},
        {"dur <= 800ns", 2},
        {"dur > 0.001", 1},
        {"dur < 1us || time < 2.5s", 3},
        {"time >= 3s", 2},
        {"time == 2", 1},
        {"path", 1},
        {"path == '/etc/red*is \"x\"'", 1},
        {"path ~ '/etc/*'", 1},
        {"path ~ '/etc/red\\*is ?x?'", 1},
        {"path !~ \"/etc/*\"", 0},
        {"path != nothing", 1},
        {"!(path ~ \"/etc/*\")", 2},
        {"arg0 == 18446744073709551615", 2},
        {"arg0 < 0", 0},
        {"arg1", 0},
        {"pid == 4000 || pid == 4008 && ret < 0", 1},
        {"(pid == 4000 || pid == 4008) && ret < 0", 1},
        {"(pid == 4000 || pid == 4008) && ret", 3},
        {"!!ret", 3},
        {"comm >= g", 1},
        {"'comm' == find", 2},
        {" ( ( ret>0 ) ) ", 2},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct kymo_err err = {0};
        const int rows = passes(*state, good[i].text, &err);
        if (rows != good[i].rows)
            print_error("%s: %d, not %d %s\n", good[i].text, rows, good[i].rows, err.text);
        assert_int_equal(rows, good[i].rows);
    }
}

static void mistakes_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "a field is missing at character 1"},
        {"ret <", "a value is missing at character 6"},
        {"ret = 1", "'==' is"},
        {"ret == 1 ret", "at character 10"},
        {"(ret == 1", "a ')' is missing"},
        {"ret == 1)", "at character 9"},
        {"ret == 1 && ", "a field is missing"},
        {"foo == 1", "no field 'foo' (character 1); it has syscall"},
        {"path ~ \"x", "a quote that does not end at character 8"},
        {"ret == abc", "this field is a number"},
        {"ret ~ 1", "'~' is for texts"},
        {"ret > 1ms", "this field is no time"},
        {"dur > 4K", "is a size"},
        {"errno == ENOSUCH", "no errno has this name"},
        {"ret == 1x", "this field is a number"},
        {"ret == 0x", "this field is a number"},
        {"&& ret", "a field is missing"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct kymo_err err = {0};
        assert_int_equal(passes(*state, bad[i].text, &err), -1);
        assert_int_equal(err.code, KYMO_EUSAGE);
        if (!strstr(err.text, bad[i].says))
            print_error("%s: %s\n", bad[i].text, err.text);
        assert_non_null(strstr(err.text, bad[i].says));
    }
}

static void size_and_depth_are_bounded(void **state)
{
    struct kymo_err err = {0};
    char text[2 * KYMO_FILTER_BYTES_MAX];
    memset(text, '(', sizeof(text));
    text[100] = '\0';
    assert_int_equal(passes(*state, text, &err), -1);
    assert_non_null(strstr(err.text, "too deeply nested"));
    memset(text, '!', 100);
    assert_int_equal(passes(*state, text, &err), -1);
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(passes(*state, text, &err), -1);
    assert_non_null(strstr(err.text, "characters"));
    size_t n = 0;
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%sret", i ? "||" : "");
    assert_int_equal(passes(*state, text, &err), -1);
    assert_non_null(strstr(err.text, "too many terms"));
}

static void the_columns_that_are_needed_are_told(void **state)
{
    (void)state;
    struct kymo_filter *f;
    uint8_t want[KYMO_SYSCALL_COLUMNS] = {0}, expect[KYMO_SYSCALL_COLUMNS] = {0};
    assert_int_equal(kymo_filter_open(&f, "syscall == read && errno || dur > 1s", NULL),
                     KYMO_OK);
    assert_int_equal(kymo_filter_bind(f, &KYMO_TABLE_SYSCALL, NULL, 0, NULL), KYMO_OK);
    kymo_filter_need(f, want);
    expect[KYMO_SYSCALL_ARCH] = expect[KYMO_SYSCALL_NR] = 1;
    expect[KYMO_SYSCALL_RET] = expect[KYMO_SYSCALL_DUR] = 1;
    assert_memory_equal(want, expect, sizeof(want));
    kymo_filter_close(f);
}

/* Whatever is known of a chunk, it is passed over only when no row of it passes; and these say which
 * are passed over without a look at rows. */
static void a_chunk_is_passed_over_only_when_no_row_of_it_passes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int at_first, with_texts; /* may it match, before rows and texts are there, and then? */
    } try[] = {
        {"syscall == read", 1, 1},
        {"syscall == renameat2", 0, 0},
        {"syscall ~ 'open*' && ret < 0", 1, 1},
        {"comm == nobody", 0, 0},
        {"comm ~ 'redis*'", 1, 1},
        {"pid == 4000000000", 0, 0},
        {"pid < 1000000", 1, 1},
        {"dur > 1h", 0, 0},
        {"dur >= 150ns && dur < 1173ns", 1, 1},
        {"dur < 150ns", 0, 0},
        {"ret > 1000000", 0, 0},
        {"errno == ENOENT", 1, 1},
        {"errno == EXDEV", 1, 1}, /* 18 lies between 2 and 111 */
        {"errno > 111", 0, 0},
        {"errno", 1, 1},
        {"path == /nowhere", 1, 0},
        {"path ~ '/usr/*'", 1, 1},
        {"addr", 1, 1},
        {"time > 1h", 0, 0},
        {"time >= 0", 1, 1},
        {"nr == 99999", 0, 0},
        {"!(nr == 0)", 1, 1},
        {"dur > 1h || syscall == read", 1, 1},
        {"dur > 1h || syscall == renameat2", 0, 0},
        {"arg2 > 1000000", 1, 1},
        {"cpu > 1", 0, 0},
        {"cpu != 0", 1, 1},
    };
    struct tracegen g;
    struct kymo_rows *rows;
    struct kymo_encoder *e;
    struct kymo_decoder *d;
    struct kymo_buf body = {0};
    assert_int_equal(kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, 9000, NULL), KYMO_OK);
    assert_int_equal(kymo_encoder_open(&e, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_decoder_open(&d, NULL), KYMO_OK);
    tracegen_init(&g, 8);
    tracegen_begin(rows);
    while (rows->n_rows < rows->cap_rows)
        tracegen_row(&g, rows);
    const struct kymo_batch in = kymo_rows_view(rows);
    assert_int_equal(kymo_chunk_encode(e, &in, &body, NULL), KYMO_OK);
    const struct kymo_chunk_header h = {
        .n_rows = in.n_rows, .ts_min_ns = in.ts_min_ns, .ts_max_ns = in.ts_max_ns};
    for (size_t i = 0; i < sizeof(try) / sizeof(try[0]); i++) {
        struct kymo_filter *f;
        struct kymo_arena arena;
        struct kymo_batch b;
        uint8_t want[KYMO_SYSCALL_COLUMNS] = {0};
        kymo_arena_init(&arena, (size_t)64 << 20);
        assert_int_equal(kymo_filter_open(&f, try[i].text, NULL), KYMO_OK);
        assert_int_equal(kymo_filter_bind(f, in.schema, NULL, in.ts_min_ns, NULL), KYMO_OK);
        for (uint32_t c = KYMO_SYSCALL_PID; c <= KYMO_SYSCALL_NR; c++)
            want[c] = c != KYMO_SYSCALL_COMM || !strncmp(try[i].text, "comm", 4);
        assert_int_equal(kymo_chunk_decode(d, in.schema, &h, kymo_bytes_view(body.p, body.n, 0),
                                           want, &arena, &b, NULL),
                         KYMO_OK);
        assert_int_equal(kymo_filter_begin(f, &b, NULL), KYMO_OK);
        if (kymo_filter_may_match(f) != try[i].at_first)
            fail_msg("%s: %d at first", try[i].text, !try[i].at_first);
        assert_int_equal(kymo_chunk_more(d, NULL, &b, NULL), KYMO_OK);
        assert_int_equal(kymo_filter_begin(f, &b, NULL), KYMO_OK);
        const int may = kymo_filter_may_match(f);
        int any = 0;
        for (uint32_t row = 0; row < b.n_rows; row++)
            any |= kymo_filter_match(f, row);
        if (may != try[i].with_texts || any > may)
            fail_msg("%s: %d with texts, %d by row", try[i].text, may, any);
        kymo_filter_close(f);
        kymo_arena_release(&arena);
    }
    kymo_buf_release(&body);
    kymo_rows_close(rows);
    kymo_encoder_close(e);
    kymo_decoder_close(d);
}

static void a_filter_binds_to_one_table_after_another(void **state)
{
    (void)state;
    struct kymo_filter *f;
    struct kymo_err err = {0};
    assert_int_equal(kymo_filter_open(&f, "comm == sh", NULL), KYMO_OK);
    assert_int_equal(kymo_filter_bind(f, &KYMO_TABLE_SYSCALL, NULL, 0, &err), KYMO_OK);
    assert_int_equal(kymo_filter_bind(f, &KYMO_TABLE_PROCESS, NULL, 0, &err), KYMO_OK);
    assert_int_equal(kymo_filter_bind(f, &KYMO_TABLE_MARK, NULL, 0, &err), KYMO_EUSAGE);
    kymo_filter_close(f);
}

static void globs_match_as_shells_do(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        int yes;
    } g[] = {{"", "", 1},           {"*", "", 1},          {"?", "", 0},
             {"a*b*c", "aXbYc", 1}, {"a*b*c", "aXbY", 0},  {"**a", "bba", 1},
             {"\\*", "*", 1},       {"\\*", "a", 0},       {"a?c", "abc", 1},
             {"*.so", "x.so", 1},   {"*.so", "x.so.1", 0}, {"\\", "\\", 1}};
    for (size_t i = 0; i < sizeof(g) / sizeof(g[0]); i++)
        assert_int_equal(
            kymo_glob(g[i].pattern, strlen(g[i].pattern), g[i].text, strlen(g[i].text)),
            g[i].yes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons_mean_what_they_say),
        cmocka_unit_test(mistakes_are_refused_with_their_place),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(the_columns_that_are_needed_are_told),
        cmocka_unit_test(a_chunk_is_passed_over_only_when_no_row_of_it_passes),
        cmocka_unit_test(a_filter_binds_to_one_table_after_another),
        cmocka_unit_test(globs_match_as_shells_do),
    };
    return cmocka_run_group_tests_name("filter", tests, make_rows, drop_rows);
}
