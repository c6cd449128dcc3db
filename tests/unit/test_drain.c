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
    uint8_t *bytes[RINGS];
    struct source source;
    struct outbox *outbox;
    struct drain *drain;
    char path[32];
    int fd;
};

static struct kymo_ring_ctl *fake_ctl(void *ctx, uint32_t ring)
{
    return &((struct fake *)ctx)->ctl[ring];
}

static const uint8_t *fake_record(void *ctx, uint32_t ring, uint64_t pos)
{
    return ((struct fake *)ctx)->bytes[ring] + (pos & (KYMO_SLICE_BYTES - 1));
}

static int setup(void **state)
{
    struct fake *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    for (uint32_t i = 0; i < RINGS; i++)
        f->bytes[i] = calloc(1, KYMO_SLICE_BYTES + KYMO_SLACK_BYTES);
    f->source = (struct source){.ctx = f,
                                .n_rings = RINGS,
                                .ring_bytes = KYMO_SLICE_BYTES,
                                .n_tids = 1000,
                                .ctl = fake_ctl,
                                .record = fake_record};
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
    for (uint32_t i = 0; i < RINGS; i++)
        free(f->bytes[i]);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
