/* SPDX-License-Identifier: Apache-2.0
 * test_drain.c: from rings to rows, without a kernel: the test is the producer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/trace/reader.h"
#include "record/drain.h"

#define RINGS 3u
#define S 1000000000ull
#define T0 (100 * S)

/* Each ring one slice, written as the kernel side writes it. */
struct fake {
    struct kymo_ring_ctl ctl[RINGS];
    uint8_t *bytes[RINGS]; /* of one allocation */
    struct source source;
    struct outbox *outbox;
    struct drain *drain;
    char path[32];
    int fd;
};

static int setup(void **state)
{
    struct fake *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    const size_t stride = KYMO_SLICE_BYTES + KYMO_SLACK_BYTES;
    uint8_t *data = calloc(RINGS, stride);
    assert_non_null(data);
    for (uint32_t i = 0; i < RINGS; i++)
        f->bytes[i] = data + i * stride;
    f->source = (struct source){.n_rings = RINGS,
                                .ring_bytes = KYMO_SLICE_BYTES,
                                .n_tids = 1000,
                                .ctl = f->ctl,
                                .data = data};
    strcpy(f->path, "/tmp/kymo-drain-XXXXXX");
    f->fd = mkstemp(f->path);
    assert_true(f->fd >= 0);
    assert_int_equal(outbox_open(&f->outbox, f->fd, f->path, 1, 1, NULL), KYMO_OK);
    assert_int_equal(drain_open(&f->drain, &f->source, f->outbox, T0, NULL), KYMO_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;
    drain_close(f->drain);
    outbox_close(f->outbox);
    close(f->fd);
    unlink(f->path);
    free(f->bytes[0]);
    free(f);
    return 0;
}

static void produce(struct fake *f, uint32_t ring, const void *record, size_t bytes)
{
    struct kymo_ring_ctl *c = &f->ctl[ring];
    memcpy(f->bytes[ring] + (c->head & (KYMO_SLICE_BYTES - 1)), record, bytes);
    c->head += bytes;
}

static void task(struct fake *f, uint32_t ring, uint64_t ts, uint32_t tid, const char *comm)
{
    struct kymo_event_task t = {
        .head = {sizeof(t), KYMO_EVENT_TASK, 0, tid, ts}, .pid = tid, .start_ns = tid * 10};
    strncpy(t.comm, comm, sizeof(t.comm) - 1);
    produce(f, ring, &t, sizeof(t));
    f->ctl[ring].tasks++;
}

static void call(struct fake *f, uint32_t ring, uint64_t ts, uint32_t tid, uint16_t nr,
                 int64_t ret)
{
    struct kymo_event_call e = {
        .head = {KYMO_EVENT_CALL_FIXED + 8, KYMO_EVENT_CALL, 1, tid, ts},
        .dur_ns = 7,
        .ret = ret,
        .nr = nr,
        .arg = {ts}};
    produce(f, ring, &e, e.head.bytes);
    f->ctl[ring].seen++;
    f->ctl[ring].stored++;
}

static uint32_t poll_at(struct fake *f, uint64_t now)
{
    uint32_t taken = 0;
    assert_int_equal(drain_poll(f->drain, now, &taken, NULL), KYMO_OK);
    return taken;
}

static void finish(struct fake *f, uint64_t now)
{
    assert_int_equal(drain_rest(f->drain, NULL), KYMO_OK);
    drain_finish(f->drain, now);
    assert_int_equal(outbox_finish(f->outbox, NULL), KYMO_OK);
}

/* Sum of a loss column over the rows of the syscall source. */
static uint64_t sum_loss(const struct fake *f, uint32_t column)
{
    const char *const tables[] = {"loss"};
    const struct kymo_batch *b;
    kymo_reader *r;
    uint64_t sum = 0;
    assert_int_equal(kymo_reader_open(&r, f->path, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_reader_select(r, tables, 1, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b)
        for (uint32_t i = 0; i < b->n_rows; i++) {
            uint32_t n;
            const char *source = kymo_batch_str(b, KYMO_LOSS_SOURCE, i, &n);
            if (n == 7 && !memcmp(source, "syscall", 7))
                sum += kymo_batch_u64(b, column, i);
        }
    kymo_reader_close(r);
    return sum;
}

static void rings_are_merged_by_time(void **state)
{
    struct fake *f = *state;
    for (uint32_t i = 0; i < RINGS; i++)
        task(f, i, T0, i + 1, "t");
    for (uint64_t n = 0; n < 9999; n++)
        call(f, (uint32_t)(n * 7 % 5 % RINGS), T0 + n * 1000, (uint32_t)(n * 7 % 5 % RINGS) + 1,
             0, (int64_t)n);
    assert_int_equal(poll_at(f, T0 + S / 10), 9999 + RINGS);
    finish(f, T0 + S / 5);

    const char *const tables[] = {"syscall"};
    const struct kymo_batch *b;
    kymo_reader *r;
    uint64_t next = 0;
    assert_int_equal(kymo_reader_open(&r, f->path, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_reader_select(r, tables, 1, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b)
        for (uint32_t i = 0; i < b->n_rows; i++, next++) {
            assert_int_equal(kymo_batch_u64(b, KYMO_SYSCALL_TS, i), T0 + next * 1000);
            assert_int_equal(kymo_batch_i64(b, KYMO_SYSCALL_RET, i), (int64_t)next);
            assert_int_equal(kymo_batch_u64(b, KYMO_SYSCALL_PID, i), next * 7 % 5 % RINGS + 1);
            assert_int_equal(kymo_batch_u64(b, KYMO_SYSCALL_CPU, i), next * 7 % 5 % RINGS);
            assert_false(kymo_batch_present(b, KYMO_SYSCALL_ARG1, i));
        }
    assert_int_equal(next, 9999);
    kymo_reader_close(r);
}

static void what_is_younger_than_the_watermark_waits(void **state)
{
    struct fake *f = *state;
    task(f, 0, T0, 1, "t");
    call(f, 0, T0 + 1000, 1, 0, 0);
    call(f, 0, T0 + S / 2, 1, 0, 0);
    assert_int_equal(poll_at(f, T0 + S / 2), 2);
    assert_int_equal(f->ctl[0].tail, f->ctl[0].head - KYMO_EVENT_CALL_FIXED - 8);
    assert_int_equal(poll_at(f, T0 + S / 2 + S / 100), 1);
    assert_int_equal(f->ctl[0].tail, f->ctl[0].head);
}

static void each_second_is_sealed_even_when_idle(void **state)
{
    struct fake *f = *state;
    poll_at(f, T0 + 3 * S + S / 2);
    finish(f, T0 + 4 * S - 1);

    const struct kymo_batch *b;
    kymo_reader *r;
    uint64_t seals = 0, last = 0;
    assert_int_equal(kymo_reader_open(&r, f->path, 0, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b)
        if (kymo_reader_chunk(r)->flags & KYMO_CHUNK_SEAL) {
            seals++;
            last = kymo_reader_chunk(r)->ts_max_ns;
        }
    assert_int_equal(seals, 4);
    assert_int_equal(last, T0 + 4 * S - 1);
    assert_true(kymo_reader_complete(r));
    kymo_reader_close(r);
}

static void a_row_older_than_a_seal_is_flagged_and_counted(void **state)
{
    struct fake *f = *state;
    poll_at(f, T0 + S + S / 2);
    call(f, 1, T0 + S - 1, 1, 0, 0);
    poll_at(f, T0 + S + S / 2);
    finish(f, T0 + 2 * S);
    assert_int_equal(sum_loss(f, KYMO_LOSS_LATE), 1);
}

static void the_account_closes_over_all_that_was_seen(void **state)
{
    struct fake *f = *state;
    task(f, 0, T0, 1, "t");
    for (uint64_t n = 0; n < 500; n++)
        call(f, 0, T0 + n * 10000000, 1, 0, 0);
    f->ctl[0].seen += 30 + 4 + 2;
    f->ctl[0].filtered = 30;
    f->ctl[0].dropped_ring = 4;
    f->ctl[0].dropped_nested = 2;
    poll_at(f, T0 + 6 * S);
    finish(f, T0 + 7 * S);
    assert_int_equal(sum_loss(f, KYMO_LOSS_SEEN), 536);
    assert_int_equal(sum_loss(f, KYMO_LOSS_STORED), 500);
    assert_int_equal(sum_loss(f, KYMO_LOSS_FILTERED), 30);
    assert_int_equal(sum_loss(f, KYMO_LOSS_DROPPED_RING), 4);
    assert_int_equal(sum_loss(f, KYMO_LOSS_DROPPED_NESTED), 2);
}

static void a_loss_that_the_kernel_did_not_name_breaks_the_identity(void **state)
{
    struct fake *f = *state;
    call(f, 0, T0, 1, 0, 0);
    f->ctl[0].seen += 5; /* seen, and nowhere to be found */
    poll_at(f, T0 + S);
    finish(f, T0 + 2 * S);
    assert_int_equal(sum_loss(f, KYMO_LOSS_SEEN), 6);
    assert_int_equal(sum_loss(f, KYMO_LOSS_STORED), 1);
}

static void a_record_that_breaks_the_ring_is_refused(void **state)
{
    struct fake *f = *state;
    struct kymo_err err = {0};
    uint32_t taken;
    struct kymo_event_call e = {.head = {.bytes = 20, .kind = KYMO_EVENT_CALL, .ts_ns = T0}};
    produce(f, 2, &e, 24);
    assert_int_equal(drain_poll(f->drain, T0 + S, &taken, &err), KYMO_ECORRUPT);
    assert_non_null(strstr(err.text, "ring 2"));
    assert_int_equal(f->ctl[2].tail, 0);
}

static void an_unknown_kind_of_record_is_refused(void **state)
{
    struct fake *f = *state;
    struct kymo_event_head h = {.bytes = 16, .kind = 99, .ts_ns = T0};
    uint32_t taken;
    produce(f, 0, &h, sizeof(h));
    assert_int_equal(drain_poll(f->drain, T0 + S, &taken, NULL), KYMO_ECORRUPT);
}

static void a_call_unfinished_at_the_end_is_seen_and_stored_alike(void **state)
{
    struct fake *f = *state;
    const uint64_t arg[6] = {1, 2, 3, 4, 5, 6};
    task(f, 0, T0, 9, "sleeper");
    poll_at(f, T0 + S / 2);
    assert_int_equal(drain_task_pid(f->drain, 9), 9);
    drain_unfinished(f->drain, 9, T0, T0 + S / 2, 0, arg);
    finish(f, T0 + S / 2);
    assert_int_equal(sum_loss(f, KYMO_LOSS_SEEN), 1);
    assert_int_equal(sum_loss(f, KYMO_LOSS_STORED), 1);
}

static struct kymo_rows *a_descriptor(struct fake *f, uint64_t ts, uint64_t fd)
{
    struct kymo_rows *r = outbox_take(f->outbox, &KYMO_TABLE_FD);
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_FD_TS, row, ts);
    kymo_rows_set(r, KYMO_FD_FD, row, fd);
    kymo_rows_set(r, KYMO_FD_PID, row, 1);
    kymo_rows_set(r, KYMO_FD_START, row, 1);
    return r;
}

static void rows_older_than_a_seal_are_thrown_away(void **state)
{
    struct fake *f = *state;
    const char *const tables[] = {"fd"};
    const struct kymo_batch *b;
    kymo_reader *r;
    uint64_t seen = 0;
    poll_at(f, T0 + S / 2);
    assert_true(drain_rows(f->drain, a_descriptor(f, T0 + S / 2, 3), T0 + S / 2));
    poll_at(f, T0 + S + S / 2);
    assert_false(drain_rows(f->drain, a_descriptor(f, T0 + S - 1, 4), T0 + S - 1));
    assert_true(drain_rows(f->drain, a_descriptor(f, T0 + S, 5), T0 + S));
    finish(f, T0 + 2 * S);
    assert_int_equal(kymo_reader_open(&r, f->path, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_reader_select(r, tables, 1, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b)
        for (uint32_t i = 0; i < b->n_rows; i++)
            seen = seen * 10 + kymo_batch_u64(b, KYMO_FD_FD, i);
    assert_int_equal(seen, 35);
    kymo_reader_close(r);
}

/* Clocks that a test sets; the monotonic one is the test's own. */
struct hands {
    uint64_t mono, boot, real;
};

static uint64_t mono_of(void *hands)
{
    return ((struct hands *)hands)->mono;
}

static uint64_t boot_of(void *hands)
{
    return ((struct hands *)hands)->boot;
}

static uint64_t real_of(void *hands)
{
    return ((struct hands *)hands)->real;
}

/* Time goes on; real and boot by something of their own on top. */
static void tick(struct fake *f, struct hands *h, uint64_t ns, uint64_t slept, uint64_t set)
{
    h->mono += ns;
    h->boot += ns + slept;
    h->real += ns + slept + set;
    poll_at(f, h->mono);
}

static size_t read_clock_rows(const struct fake *f, struct hands *out, size_t cap)
{
    const char *const tables[] = {"clock"};
    const struct kymo_batch *b;
    kymo_reader *r;
    size_t n = 0;
    assert_int_equal(kymo_reader_open(&r, f->path, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_reader_select(r, tables, 1, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b)
        for (uint32_t i = 0; i < b->n_rows && n < cap; i++)
            out[n++] = (struct hands){kymo_batch_u64(b, KYMO_CLOCK_TS, i),
                                      kymo_batch_u64(b, KYMO_CLOCK_BOOT, i),
                                      kymo_batch_u64(b, KYMO_CLOCK_REAL, i)};
    kymo_reader_close(r);
    return n;
}

static struct hands *wind(struct fake *f)
{
    static struct hands h;
    h = (struct hands){T0 + S / 2, T0 + S, 1700000000 * S};
    drain_clocks_are(f->drain, (struct clocks){&h, mono_of, boot_of, real_of});
    drain_clock(f->drain);
    return &h;
}

static void a_step_of_the_wall_clock_is_told_from_both_sides(void **state)
{
    struct fake *f = *state;
    struct hands *h = wind(f), row[16];
    for (int i = 0; i < 3; i++)
        tick(f, h, S, 0, 0);
    tick(f, h, S, 0, 3600 * S);
    tick(f, h, S, 0, 0);
    tick(f, h, S, 0, 0 - S / 5);
    tick(f, h, S, 0, 0);
    finish(f, h->mono);
    assert_int_equal(read_clock_rows(f, row, 16), 6);
    assert_int_equal(row[1].mono - row[0].mono, 3 * S); /* the last look before the step */
    assert_int_equal(row[1].real - row[0].real, 3 * S);
    assert_int_equal(row[2].mono - row[1].mono, S);
    assert_int_equal(row[2].real - row[1].real, 3601 * S);
    assert_int_equal(row[3].mono - row[2].mono, S);
    assert_int_equal(row[4].real - row[3].real, S - S / 5);
    assert_int_equal(row[5].mono, h->mono);
}

static void a_suspended_host_is_told_by_its_clock_since_boot(void **state)
{
    struct fake *f = *state;
    struct hands *h = wind(f), row[16];
    tick(f, h, S, 0, 0);
    tick(f, h, S, 500 * S, 0);
    finish(f, h->mono);
    assert_int_equal(read_clock_rows(f, row, 16), 4);
    assert_int_equal(row[2].boot - row[1].boot, 501 * S);
    assert_int_equal(row[2].mono - row[1].mono, S);
}

static void a_clock_that_is_bent_gives_no_more_rows_than_are_due(void **state)
{
    struct fake *f = *state;
    struct hands *h = wind(f), row[16];
    for (int i = 0; i < 25; i++)
        tick(f, h, S, 0, S / 2000);
    finish(f, h->mono);
    assert_int_equal(read_clock_rows(f, row, 16), 4); /* start, 10 s, 20 s, end */
}

/* No row is older than a seal that was written before it. */
static void anchors_keep_the_promise_of_the_seals(void **state)
{
    struct fake *f = *state;
    struct hands *h = wind(f);
    const struct kymo_batch *b;
    kymo_reader *r;
    uint64_t sealed = 0, rows = 0;
    for (int i = 0; i < 20; i++)
        tick(f, h, 700000000, i % 3 ? 0 : S, i % 4 ? 0 : 7 * S);
    finish(f, h->mono);
    assert_int_equal(kymo_reader_open(&r, f->path, 0, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b) {
        if (kymo_reader_chunk(r)->flags & KYMO_CHUNK_SEAL)
            sealed = kymo_reader_chunk(r)->ts_max_ns;
        for (uint32_t i = 0; !strcmp(b->schema->table, "clock") && i < b->n_rows; i++, rows++)
            assert_true(kymo_batch_u64(b, KYMO_CLOCK_TS, i) >= sealed);
    }
    assert_true(rows > 10);
    kymo_reader_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rings_are_merged_by_time, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_younger_than_the_watermark_waits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_second_is_sealed_even_when_idle, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_older_than_a_seal_is_flagged_and_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_account_closes_over_all_that_was_seen, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_loss_that_the_kernel_did_not_name_breaks_the_identity,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_that_breaks_the_ring_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_unknown_kind_of_record_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_unfinished_at_the_end_is_seen_and_stored_alike,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(rows_older_than_a_seal_are_thrown_away, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_step_of_the_wall_clock_is_told_from_both_sides, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_suspended_host_is_told_by_its_clock_since_boot, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_is_bent_gives_no_more_rows_than_are_due,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(anchors_keep_the_promise_of_the_seals, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
