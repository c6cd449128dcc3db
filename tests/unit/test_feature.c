/* SPDX-License-Identifier: Apache-2.0
 * Features of windows that were worked out by hand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/arena.h"
#include "format/model/feature_group.h"
#include "format/trace/chunk.h"
#include "format/trace/sysname.h"

#define S 1000000000ull
#define T0 (50 * S)
#define WINDOWS_MAX 64

struct window {
    uint64_t start_ns, dur_ns, events;
    double lost;
    char entity[64];
    double x[KYMO_FEATURES_MAX];
};

static struct kymo_feature_spec spec;
static struct window window[WINDOWS_MAX];
static size_t n_windows;

struct bench {
    struct kymo_arena arena;
    struct kymo_feature_run *run;
    struct kymo_rows *calls, *loss, *mark;
};

static kymo_status keep(void *ctx, const struct kymo_window *w, struct kymo_err *err)
{
    (void)ctx;
    (void)err;
    assert_true(n_windows < WINDOWS_MAX);
    struct window *to = &window[n_windows++];
    *to = (struct window){
        .start_ns = w->start_ns, .dur_ns = w->dur_ns, .events = w->events, .lost = w->lost};
    snprintf(to->entity, sizeof(to->entity), "%s", w->entity);
    memcpy(to->x, w->x, spec.d * sizeof(double));
    return KYMO_OK;
}

static double feature(size_t w, const char *name)
{
    for (size_t j = 0; j < spec.d; j++)
        if (strcmp(spec.column[j].name, name) == 0)
            return window[w].x[j];
    fail_msg("no feature %s", name);
    return NAN;
}

static void open_bench(struct bench *b, uint64_t window_ns, uint64_t step_ns, enum kymo_by by)
{
    memset(b, 0, sizeof(*b));
    n_windows = 0;
    kymo_arena_init(&b->arena, SIZE_MAX);
    assert_int_equal(kymo_feature_spec_init(&spec, window_ns, step_ns, by, NULL), KYMO_OK);
    assert_int_equal(kymo_feature_open(&b->run, &spec, 0, &b->arena, keep, NULL, NULL),
                     KYMO_OK);
    assert_int_equal(kymo_rows_open(&b->calls, &KYMO_TABLE_SYSCALL, 1000, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&b->loss, &KYMO_TABLE_LOSS, 10, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&b->mark, &KYMO_TABLE_MARK, 10, NULL), KYMO_OK);
}

static void close_bench(struct bench *b)
{
    kymo_feature_close(b->run);
    kymo_rows_close(b->calls);
    kymo_rows_close(b->loss);
    kymo_rows_close(b->mark);
    kymo_arena_release(&b->arena);
}

static kymo_status feed(struct bench *b, struct kymo_rows *rows, uint32_t flags)
{
    const struct kymo_batch batch = kymo_rows_view(rows);
    const kymo_status s = kymo_feature_chunk(b->run, &batch, flags, 1, NULL);
    kymo_rows_clear(rows);
    return s;
}

/* A call of thread tid (its own comm "c<tid>"), in the chunk being gathered. */
static uint32_t add_call(struct bench *b, uint64_t ts, uint64_t tid, const char *name,
                         uint64_t dur, int64_t ret)
{
    struct kymo_rows *r = b->calls;
    uint32_t task = 0;
    while (task < r->n_tasks && r->lane[KYMO_SYSCALL_TID][task] != tid)
        task++;
    if (task == r->n_tasks) {
        char comm[16];
        const int n = snprintf(comm, sizeof(comm), "c%u", (unsigned)tid);
        task = kymo_rows_add_task(r);
        r->lane[KYMO_SYSCALL_PID][task] = tid;
        r->lane[KYMO_SYSCALL_TID][task] = tid;
        r->lane[KYMO_SYSCALL_COMM][task] = kymo_rows_intern(r, comm, (size_t)n);
    }
    const uint64_t nr = (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, name);
    uint16_t key = 0;
    while (key < r->n_keys && r->lane[KYMO_SYSCALL_NR][key] != nr)
        key++;
    if (key == r->n_keys) {
        key = kymo_rows_add_key(r);
        r->lane[KYMO_SYSCALL_ARCH][key] = KYMO_ARCH_X86_64;
        r->lane[KYMO_SYSCALL_NR][key] = nr;
    }
    const uint32_t i = kymo_rows_add(r);
    r->task[i] = task;
    r->key[i] = key;
    kymo_rows_set(r, KYMO_SYSCALL_TS, i, ts);
    if (dur)
        kymo_rows_set(r, KYMO_SYSCALL_DUR, i, dur);
    kymo_rows_set(r, KYMO_SYSCALL_RET, i, (uint64_t)ret);
    return i;
}

static void seal(struct bench *b, uint64_t ts, uint64_t stored, uint64_t dropped)
{
    const uint32_t i = kymo_rows_add(b->loss);
    kymo_rows_set(b->loss, KYMO_LOSS_TS, i, ts);
    kymo_rows_set(b->loss, KYMO_LOSS_SEEN, i, stored + dropped);
    kymo_rows_set(b->loss, KYMO_LOSS_STORED, i, stored);
    kymo_rows_set(b->loss, KYMO_LOSS_DROPPED_RING, i, dropped);
    assert_int_equal(feed(b, b->loss, KYMO_CHUNK_SEAL), KYMO_OK);
}

static struct kymo_capture_facts finish(struct bench *b, struct kymo_span **span,
                                        size_t *n_spans)
{
    struct kymo_capture_facts facts;
    assert_int_equal(kymo_feature_finish(b->run, &facts, span, n_spans, NULL), KYMO_OK);
    return facts;
}

static void a_window_has_the_rates_errors_and_bytes_of_its_rows(void **state)
{
    (void)state;
    struct bench b;
    struct kymo_span *span;
    size_t n;
    open_bench(&b, 2 * S, 2 * S, KYMO_BY_HOST);
    add_call(&b, T0, 1, "read", 1000, 100);
    add_call(&b, T0 + 1, 1, "read", 1000, 300);
    add_call(&b, T0 + 2, 1, "write", 2000, -28);
    add_call(&b, T0 + 3, 1, "openat", 3000, -2);
    add_call(&b, T0 + 4, 1, "read", 1000, -512); /* the kernel's own restart is no error */
    assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
    assert_int_equal(n_windows, 0);
    seal(&b, T0 + 2 * S, 5, 0);
    assert_int_equal(n_windows, 1);
    assert_int_equal(window[0].events, 5);
    assert_true(feature(0, "call.read") == 1.5);
    assert_true(feature(0, "call.open") == 0.5);
    assert_true(feature(0, "class.write") == 0.5);
    assert_true(feature(0, "error.ENOSPC") == 0.5);
    assert_true(feature(0, "error.ENOENT") == 0.5);
    assert_true(feature(0, "error.other") == 0);
    assert_true(feature(0, "bytes.read") == 200);
    assert_true(feature(0, "bytes.read.size") == 200);
    assert_true(feature(0, "bytes.written") == 0);
    assert_true(feature(0, "distinct.threads") == 1);
    assert_true(fabs(feature(0, "time.write") - 1e-6) < 1e-15);
    finish(&b, &span, &n);
    close_bench(&b);
}

static void latency_quantiles_are_within_an_eighth(void **state)
{
    (void)state;
    struct bench b;
    struct kymo_span *span;
    size_t n;
    open_bench(&b, S, S, KYMO_BY_HOST);
    for (uint64_t i = 1; i <= 100; i++)
        add_call(&b, T0 + i, 1, "read", i * 10007, 1);
    add_call(&b, T0 + 200, 1, "read", 0, 1); /* no duration: in no quantile */
    for (uint64_t i = 0; i < 8; i++)
        add_call(&b, T0 + 201 + i, 1, "epoll_wait", 900000000, 0);
    for (uint64_t i = 0; i < 7; i++)
        add_call(&b, T0 + 220 + i, 1, "futex", 1000, 0); /* too few for a quantile */
    assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
    seal(&b, T0 + S + 1, 102, 0);
    const double want[] = {50 * 10007, 90 * 10007, 99 * 10007};
    const char *const name[] = {"latency.read.p50", "latency.read.p90", "latency.read.p99"};
    for (int q = 0; q < 3; q++)
        assert_true(fabs(feature(0, name[q]) / want[q] - 1) <= 0.125);
    assert_true(fabs(feature(0, "latency.poll.p50") / 9e8 - 1) <= 0.125);
    assert_true(feature(0, "latency.sync.p50") == 0);
    finish(&b, &span, &n);
    close_bench(&b);
}

static void pairs_and_triples_are_shares_of_each_threads_own_order(void **state)
{
    (void)state;
    struct bench b;
    struct kymo_span *span;
    size_t n;
    open_bench(&b, S, S, KYMO_BY_HOST);
    /* Two threads interleaved: each has read, write, read, write by itself. */
    for (uint64_t i = 0; i < 8; i++)
        add_call(&b, T0 + i, 1 + i % 2, i / 2 % 2 ? "write" : "read", 10, 1);
    assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
    seal(&b, T0 + S, 8, 0);
    double pairs = 0, triples = 0;
    size_t used = 0;
    for (size_t j = 0; j < spec.d; j++) {
        if (strncmp(spec.column[j].name, "pair.", 5) == 0) {
            pairs += window[0].x[j];
            used += window[0].x[j] > 0;
            /* read-write four times of six, write-read twice */
            if (window[0].x[j] > 0 && window[0].x[j] < 1)
                assert_true(fabs(window[0].x[j] - 4 / 6.0) < 1e-15 ||
                            fabs(window[0].x[j] - 2 / 6.0) < 1e-15);
        }
        if (strncmp(spec.column[j].name, "triple.", 7) == 0)
            triples += window[0].x[j];
    }
    assert_true(fabs(pairs - 1) < 1e-12 && fabs(triples - 1) < 1e-12);
    assert_true(used >= 1 && used <= 2);
    finish(&b, &span, &n);
    close_bench(&b);
}

static void windows_overlap_when_the_step_is_shorter(void **state)
{
    (void)state;
    struct bench b;
    struct kymo_span *span;
    size_t n;
    open_bench(&b, 2 * S, S, KYMO_BY_HOST);
    for (uint64_t s = 0; s < 4; s++) {
        for (uint64_t i = 0; i <= s; i++)
            add_call(&b, T0 + s * S + i, 1, "read", 10, 1);
        assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
        seal(&b, T0 + (s + 1) * S, s + 1, 0);
    }
    finish(&b, &span, &n);
    assert_int_equal(n_windows, 3);
    for (size_t w = 0; w < 3; w++) {
        assert_true(window[w].start_ns == T0 + w * S);
        assert_int_equal(window[w].events, 2 * w + 3);
        assert_true(feature(w, "call.read") == (double)(2 * w + 3) / 2);
    }
    close_bench(&b);
}

static void an_idle_host_has_windows_and_an_idle_process_has_none(void **state)
{
    (void)state;
    for (int by = KYMO_BY_HOST; by <= KYMO_BY_COMM; by += KYMO_BY_COMM - KYMO_BY_HOST) {
        struct bench b;
        struct kymo_span *span;
        size_t n;
        open_bench(&b, S, S, (enum kymo_by)by);
        add_call(&b, T0, 1, "read", 10, 1);
        add_call(&b, T0 + 1, 2, "write", 10, 1);
        assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
        seal(&b, T0 + 3 * S, 2, 0);
        finish(&b, &span, &n);
        if (by == KYMO_BY_HOST) {
            assert_int_equal(n_windows, 3);
            assert_int_equal(window[2].events, 0);
        } else {
            assert_int_equal(n_windows, 2);
            assert_string_equal(window[0].entity, "c1");
            assert_string_equal(window[1].entity, "c2");
            assert_true(feature(1, "call.write") == 1 && feature(1, "call.read") == 0);
        }
        close_bench(&b);
    }
}

static void losses_reach_back_to_the_seal_before(void **state)
{
    (void)state;
    struct bench b;
    struct kymo_span *span;
    size_t n;
    open_bench(&b, S, S, KYMO_BY_HOST);
    add_call(&b, T0, 1, "read", 10, 1);
    assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
    seal(&b, T0 + S - 1, 90, 0);
    seal(&b, T0 + 2 * S - 1, 90, 10);
    seal(&b, T0 + 3 * S - 1, 100, 0);
    seal(&b, T0 + 4 * S - 1, 100, 0);
    const struct kymo_capture_facts f = finish(&b, &span, &n);
    assert_true(window[0].lost > 0.09); /* the seal came before the window's end */
    assert_true(fabs(window[1].lost - 0.1) < 1e-12);
    assert_true(window[2].lost == 0);
    assert_int_equal(f.dropped, 10);
    close_bench(&b);
}

static void a_row_older_than_a_seal_is_late_and_in_no_window(void **state)
{
    (void)state;
    struct bench b;
    struct kymo_span *span;
    size_t n;
    open_bench(&b, S, S, KYMO_BY_HOST);
    add_call(&b, T0, 1, "read", 10, 1);
    assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
    seal(&b, T0 + S, 1, 0);
    add_call(&b, T0 + 5, 1, "read", 10, 1);
    add_call(&b, T0 + S + 5, 1, "write", 10, 1);
    assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
    seal(&b, T0 + 2 * S, 2, 0);
    const struct kymo_capture_facts f = finish(&b, &span, &n);
    assert_int_equal(f.late, 1);
    assert_int_equal(n_windows, 2);
    assert_int_equal(window[1].events, 1);
    close_bench(&b);
}

static void the_last_window_stays_when_nine_tenths_are_there(void **state)
{
    (void)state;
    for (uint64_t tenths = 8; tenths <= 9; tenths++) {
        struct bench b;
        struct kymo_span *span;
        size_t n;
        open_bench(&b, S, S, KYMO_BY_HOST);
        add_call(&b, T0, 1, "read", 10, 1);
        assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
        seal(&b, T0 + S + tenths * S / 10, 1, 0);
        finish(&b, &span, &n);
        assert_int_equal(n_windows, tenths == 9 ? 2 : 1);
        if (tenths == 9)
            assert_true(window[1].dur_ns == 9 * S / 10);
        close_bench(&b);
    }
}

static void a_capture_shorter_than_a_window_still_has_one(void **state)
{
    (void)state;
    struct bench b;
    struct kymo_span *span;
    size_t n;
    open_bench(&b, S, S, KYMO_BY_HOST);
    add_call(&b, T0, 1, "read", 10, 1);
    add_call(&b, T0 + S / 2, 1, "read", 10, 1);
    assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
    finish(&b, &span, &n);
    assert_int_equal(n_windows, 1);
    assert_true(feature(0, "call.read") == 4);
    close_bench(&b);
}

static void add_mark(struct bench *b, uint64_t ts, const char *kind, const char *name,
                     uint64_t dur)
{
    const uint32_t i = kymo_rows_add(b->mark);
    kymo_rows_set(b->mark, KYMO_MARK_TS, i, ts);
    kymo_rows_set_str(b->mark, KYMO_MARK_KIND, i, kind, strlen(kind));
    kymo_rows_set_str(b->mark, KYMO_MARK_NAME, i, name, strlen(name));
    if (dur)
        kymo_rows_set(b->mark, KYMO_MARK_DUR, i, dur);
}

static void marks_become_spans(void **state)
{
    (void)state;
    struct bench b;
    struct kymo_span *span;
    size_t n;
    open_bench(&b, S, S, KYMO_BY_HOST);
    add_call(&b, T0, 1, "read", 10, 1);
    assert_int_equal(feed(&b, b.calls, 0), KYMO_OK);
    add_mark(&b, T0 + 1, "point", "moment", 0);
    add_mark(&b, T0 + 2, "point", "long", 7);
    add_mark(&b, T0 + 3, "begin", "pair", 0);
    add_mark(&b, T0 + 4, "begin", "open", 0);
    add_mark(&b, T0 + 5, "end", "pair", 0);
    add_mark(&b, T0 + 6, "end", "never begun", 0);
    add_mark(&b, T0 + 7, "point", "ended moment", 0);
    add_mark(&b, T0 + 8, "end", "ended moment", 0);
    assert_int_equal(feed(&b, b.mark, 0), KYMO_OK);
    seal(&b, T0 + S, 1, 0);
    finish(&b, &span, &n);
    assert_int_equal(n, 4);
    assert_string_equal(span[0].name, "long");
    assert_true(span[0].end_ns == T0 + 9);
    assert_string_equal(span[1].name, "pair");
    assert_true(span[1].start_ns == T0 + 3 && span[1].end_ns == T0 + 5);
    assert_string_equal(span[2].name, "ended moment");
    assert_true(span[2].start_ns == T0 + 7 && span[2].end_ns == T0 + 8);
    assert_string_equal(span[3].name, "open");
    assert_true(span[3].end_ns == T0 + S);
    close_bench(&b);
}

static void a_leap_in_time_is_refused_and_not_filled(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, KYMO_WINDOW_NS_MIN, KYMO_WINDOW_NS_MIN, KYMO_BY_HOST);
    add_call(&b, T0, 1, "read", 10, 1);
    add_call(&b, UINT64_MAX - 1, 1, "read", 10, 1);
    assert_int_equal(feed(&b, b.calls, 0), KYMO_ELIMIT);
    close_bench(&b);
}

static void a_spec_comes_back_from_its_json(void **state)
{
    (void)state;
    static struct kymo_feature_spec a, c;
    struct kymo_arena arena;
    kymo_arena_init(&arena, SIZE_MAX);
    assert_int_equal(kymo_feature_spec_init(&a, 5 * S, S, KYMO_BY_CGROUP, NULL), KYMO_OK);
    json_t *j = kymo_feature_spec_json(&a);
    assert_int_equal(kymo_feature_spec_parse(&c, j, &arena, "x", NULL), KYMO_OK);
    assert_memory_equal(&a, &c, sizeof(a));
    json_object_set_new(j, "version", json_integer(1));
    assert_int_equal(kymo_feature_spec_parse(&c, j, &arena, "x", NULL), KYMO_EINPUT);
    json_decref(j);
    kymo_arena_release(&arena);
    assert_int_equal(kymo_feature_spec_init(&a, 3 * S, 2 * S, KYMO_BY_HOST, NULL), KYMO_EUSAGE);
}

static void groups_weigh_alike_however_many_columns_they_have(void **state)
{
    (void)state;
    assert_int_equal(kymo_feature_spec_init(&spec, S, S, KYMO_BY_HOST, NULL), KYMO_OK);
    for (size_t g = 0; kymo_feature_group_at(g); g++) {
        double sum = 0;
        for (size_t j = 0; j < spec.d; j++)
            if (strcmp(spec.column[j].group, kymo_feature_group_at(g)->name) == 0)
                sum += spec.column[j].weight * spec.column[j].weight;
        assert_true(fabs(sqrt(sum) - kymo_feature_group_at(g)->factor) < 1e-12);
    }
    for (size_t i = 0; i < spec.d; i++)
        for (size_t j = i + 1; j < spec.d; j++)
            assert_string_not_equal(spec.column[i].name, spec.column[j].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_has_the_rates_errors_and_bytes_of_its_rows),
        cmocka_unit_test(latency_quantiles_are_within_an_eighth),
        cmocka_unit_test(pairs_and_triples_are_shares_of_each_threads_own_order),
        cmocka_unit_test(windows_overlap_when_the_step_is_shorter),
        cmocka_unit_test(an_idle_host_has_windows_and_an_idle_process_has_none),
        cmocka_unit_test(losses_reach_back_to_the_seal_before),
        cmocka_unit_test(a_row_older_than_a_seal_is_late_and_in_no_window),
        cmocka_unit_test(the_last_window_stays_when_nine_tenths_are_there),
        cmocka_unit_test(a_capture_shorter_than_a_window_still_has_one),
        cmocka_unit_test(marks_become_spans),
        cmocka_unit_test(a_leap_in_time_is_refused_and_not_filled),
        cmocka_unit_test(a_spec_comes_back_from_its_json),
        cmocka_unit_test(groups_weigh_alike_however_many_columns_they_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
