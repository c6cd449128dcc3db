/* SPDX-License-Identifier: Apache-2.0
 * test_flight.c: the ring in memory: what it forgets, what a dump holds, and that an account in a dump is that
 * of the dump's rows.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/rng.h"
#include "format/trace/reader.h"
#include "record/flight.h"

#define S 1000000000ull
#define T0 (1000 * S)
#define MIB (1ull << 20)

struct bench {
    char folder[64], path[96];
    struct kymo_writer *w;
    struct rotate *files;
    struct kept *kept;
    struct flight *f;
    struct kymo_rng rng;
    struct kymo_rows *process, *loss, *context, *mark;
    uint64_t second;
};

static char said[4096];

static void listen_to(const char *text)
{
    strncat(said, text, sizeof(said) - strlen(said) - 1);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    strcpy(b->folder, "/tmp/kymo-flight-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->path, sizeof(b->path), "%s/f.kymo", b->folder);
    kymo_rng_init(&b->rng, 5);
    said[0] = 0;
    assert_int_equal(kymo_writer_open_idle(&b->w, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&b->process, &KYMO_TABLE_PROCESS, 2048, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&b->loss, &KYMO_TABLE_LOSS, 4, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&b->context, &KYMO_TABLE_CONTEXT, 4, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&b->mark, &KYMO_TABLE_MARK, 4, NULL), KYMO_OK);
    *state = b;
    return 0;
}

static void open_flight(struct bench *b, uint64_t ring_bytes, uint64_t ring_ns,
                        uint64_t post_ns, uint64_t max_bytes)
{
    const struct rotate_opts files = {
        .path = b->path, .fd = -1, .parts = true, .max_bytes = max_bytes};
    const struct flight_opts o = {
        .ring_bytes = ring_bytes,
        .ring_ns = ring_ns,
        .post_ns = post_ns,
        .every_ns = 60 * S,
        .triggers = {.text = (const char *const[]){"process: code == 7"}, .n = 1, .disk = -1},
        .say = listen_to};
    assert_int_equal(rotate_open(&b->files, &files, b->w, NULL), KYMO_OK);
    assert_int_equal(kept_open(&b->kept, NULL), KYMO_OK);
    assert_int_equal(flight_open(&b->f, &o, b->w, b->files, b->kept, NULL), KYMO_OK);
}

static const char *file(const struct bench *b, unsigned n, char path[128])
{
    snprintf(path, 128, "%s/f.%06u.kymo", b->folder, n);
    return path;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    char path[128];
    flight_close(b->f);
    kept_close(b->kept);
    rotate_close(b->files);
    kymo_writer_close(b->w);
    kymo_rows_close(b->process);
    kymo_rows_close(b->loss);
    kymo_rows_close(b->context);
    kymo_rows_close(b->mark);
    for (unsigned i = 1; i < 10; i++)
        unlink(file(b, i, path));
    rmdir(b->folder);
    free(b);
    return 0;
}

static void keep(struct bench *b, struct kymo_rows *r, uint32_t flags)
{
    struct kymo_encoded c;
    const struct kymo_batch batch = kymo_rows_view(r);
    assert_int_equal(flight_look(b->f, &batch, NULL), KYMO_OK);
    assert_int_equal(kept_see(b->kept, &batch, NULL), KYMO_OK);
    assert_int_equal(kymo_writer_encode(b->w, &batch, flags, &c, NULL), KYMO_OK);
    assert_int_equal(flight_keep(b->f, &c, NULL), KYMO_OK);
    assert_int_equal(flight_work(b->f, NULL), KYMO_OK);
    kymo_rows_clear(r);
}

/* n rows that compress badly, about 60 bytes each. */
static void processes(struct bench *b, uint32_t n, const char *kind, uint64_t code)
{
    char name[64];
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = kymo_rows_add(b->process);
        for (size_t k = 0; k + 1 < sizeof(name); k++)
            name[k] = (char)('!' + kymo_rng_below(&b->rng, 90));
        kymo_rows_set(b->process, KYMO_PROCESS_TS, row, T0 + b->second * S + i);
        kymo_rows_set_str(b->process, KYMO_PROCESS_KIND, row, kind, strlen(kind));
        kymo_rows_set(b->process, KYMO_PROCESS_PID, row, 100 + i);
        kymo_rows_set_str(b->process, KYMO_PROCESS_ARGV, row, name, sizeof(name) - 1);
        if (code)
            kymo_rows_set(b->process, KYMO_PROCESS_CODE, row, code);
    }
    keep(b, b->process, 0);
}

/* The end of a second: n rows were stored in it. */
static void seal(struct bench *b, uint64_t n)
{
    const uint64_t ts = T0 + ++b->second * S;
    const uint32_t row = kymo_rows_add(b->loss);
    kymo_rows_set(b->loss, KYMO_LOSS_TS, row, ts);
    kymo_rows_set_str(b->loss, KYMO_LOSS_SOURCE, row, "process", 7);
    kymo_rows_set(b->loss, KYMO_LOSS_SEEN, row, n);
    kymo_rows_set(b->loss, KYMO_LOSS_STORED, row, n);
    keep(b, b->loss, KYMO_CHUNK_SEAL);
    assert_int_equal(flight_second(b->f, ts, NULL), KYMO_OK);
    assert_int_equal(flight_work(b->f, NULL), KYMO_OK);
}

static void second_of(struct bench *b, uint32_t n, uint64_t code)
{
    processes(b, n, "exit", code);
    seal(b, n);
}

struct dump {
    uint64_t forks, stored, snapshots, facts, marks, first_ns, last_ns;
    kymo_status end;
};

static struct dump read_dump(const struct bench *b, unsigned n)
{
    struct dump d = {.first_ns = UINT64_MAX};
    const struct kymo_batch *batch;
    char path[128];
    kymo_reader *r;
    uint32_t bytes;
    assert_int_equal(kymo_reader_open(&r, file(b, n, path), 0, NULL), KYMO_OK);
    while (!(d.end = kymo_reader_next(r, &batch, NULL)) && batch)
        for (uint32_t i = 0; i < batch->n_rows; i++) {
            const char *table = batch->schema->table;
            d.facts += !strcmp(table, "context");
            d.marks += !strcmp(table, "mark");
            if (!strcmp(table, "process")) {
                const char *kind = kymo_batch_str(batch, KYMO_PROCESS_KIND, i, &bytes);
                const int is_snapshot = bytes == 8 && !memcmp(kind, "snapshot", 8);
                d.snapshots += (uint64_t)is_snapshot;
                d.forks += !is_snapshot;
            }
            if (!strcmp(table, "loss")) {
                const uint64_t ts = kymo_batch_u64(batch, KYMO_LOSS_TS, i);
                d.stored += kymo_batch_u64(batch, KYMO_LOSS_STORED, i);
                d.first_ns = ts < d.first_ns ? ts : d.first_ns;
                d.last_ns = ts > d.last_ns ? ts : d.last_ns;
            }
        }
    assert_true(kymo_reader_complete(r));
    kymo_reader_close(r);
    return d;
}

static bool there(const struct bench *b, unsigned n)
{
    char path[128];
    return !access(file(b, n, path), F_OK);
}

static void a_trigger_writes_what_came_before_and_after_and_no_more(void **state)
{
    struct bench *b = *state;
    open_flight(b, 8 * MIB, 0, 2 * S, 0);
    for (int i = 0; i < 5; i++)
        second_of(b, 100, 0);
    assert_false(there(b, 1));
    second_of(b, 100, 7);
    for (int i = 0; i < 6; i++)
        second_of(b, 100, 0);
    const struct dump d = read_dump(b, 1);
    assert_int_equal(d.end, KYMO_OK);
    assert_int_equal(d.forks, d.stored);
    assert_int_equal(d.first_ns, T0 + S);
    /* fired by the first row of the sixth second: the seal two seconds later is that at 7 */
    assert_int_equal(d.last_ns, T0 + 7 * S);
    assert_int_equal(d.marks, 1);
    assert_int_equal(flight_finish(b->f, NULL), KYMO_OK);
    assert_false(there(b, 2));
}

static void the_ring_forgets_whole_seconds_and_never_passes_its_size(void **state)
{
    struct bench *b = *state;
    char path[128];
    struct stat st;
    open_flight(b, 2 * MIB, 0, 0, 0);
    for (int i = 0; i < 200; i++)
        second_of(b, 500 + (uint32_t)kymo_rng_below(&b->rng, 1500), 0);
    second_of(b, 1000, 7);
    second_of(b, 1000, 0);
    const struct dump d = read_dump(b, 1);
    assert_int_equal(d.forks, d.stored);
    assert_int_equal(d.last_ns, T0 + 201 * S);
    assert_true(d.first_ns > T0 + 150 * S && d.first_ns < T0 + 199 * S);
    assert_int_equal(stat(file(b, 1, path), &st), 0);
    assert_true((uint64_t)st.st_size > MIB && (uint64_t)st.st_size <= 2 * MIB);
}

static void old_seconds_go_even_where_there_is_room(void **state)
{
    struct bench *b = *state;
    open_flight(b, 8 * MIB, 3 * S, 0, 0);
    for (int i = 0; i < 20; i++)
        second_of(b, 10, 0);
    second_of(b, 10, 7);
    const struct dump d = read_dump(b, 1);
    assert_int_equal(d.forks, d.stored);
    assert_int_equal(d.last_ns, T0 + 21 * S);
    assert_in_range(d.first_ns, T0 + 17 * S, T0 + 18 * S);
}

static void context_outlives_its_second_and_the_youngest_stays(void **state)
{
    struct bench *b = *state;
    open_flight(b, 8 * MIB, 3 * S, 0, 0);
    const uint32_t row = kymo_rows_add(b->context);
    kymo_rows_set(b->context, KYMO_CONTEXT_TS, row, T0);
    kymo_rows_set_str(b->context, KYMO_CONTEXT_KEY, row, "hostname", 8);
    kymo_rows_set_str(b->context, KYMO_CONTEXT_VALUE, row, "h", 1);
    keep(b, b->context, 0);
    for (int i = 0; i < 30; i++) {
        if (i % 10 == 0) {
            flight_context(b->f, true);
            processes(b, 40 + (uint32_t)i, "snapshot", 0);
            flight_context(b->f, false);
        }
        second_of(b, 10, 0);
    }
    second_of(b, 10, 7);
    const struct dump d = read_dump(b, 1);
    assert_int_equal(d.snapshots, 60);
    assert_int_equal(d.facts, 1);
    assert_int_equal(d.forks, d.stored);
}

static void a_second_that_is_larger_than_the_ring_is_not_half_told(void **state)
{
    struct bench *b = *state;
    open_flight(b, 1 * MIB, 0, 0, 0);
    second_of(b, 100, 0);
    for (int i = 0; i < 40; i++)
        processes(b, 2000, "exit", i == 39 ? 7 : 0);
    seal(b, 80000);
    for (int i = 0; i < 3; i++)
        second_of(b, 100, 0);
    const struct dump d = read_dump(b, 1);
    assert_int_equal(d.forks, d.stored);
    assert_non_null(strstr(said, "too small"));
    assert_int_equal(flight_finish(b->f, NULL), KYMO_OK);
}

static void a_dump_is_not_overtaken_by_what_comes_meanwhile(void **state)
{
    struct bench *b = *state;
    open_flight(b, 1 * MIB, 0, 100 * S, 0);
    second_of(b, 500, 7);
    uint64_t rows = 500;
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 20; k++, rows += 2000) /* more than the ring holds, in one second */
            processes(b, 2000, "exit", 0);
        seal(b, 40000);
    }
    assert_int_equal(flight_finish(b->f, NULL), KYMO_OK);
    const struct dump d = read_dump(b, 1);
    assert_int_equal(d.forks, rows);
    assert_int_equal(d.stored, rows);
}

static void a_bound_of_the_disk_ends_a_dump_between_seconds(void **state)
{
    struct bench *b = *state;
    char path[128];
    struct stat st;
    open_flight(b, 8 * MIB, 0, 100 * S, 512 << 10);
    for (int i = 0; i < 20; i++)
        second_of(b, 1000, i == 3 ? 7 : 0);
    assert_true(flight_bound(b->f));
    assert_int_equal(flight_finish(b->f, NULL), KYMO_OK);
    assert_int_equal(stat(file(b, 1, path), &st), 0);
    assert_true(st.st_size <= 512 << 10);
    const struct dump d = read_dump(b, 1);
    assert_int_equal(d.forks, d.stored);
    assert_true(d.forks > 1000);
}

static void triggers_are_held_back_and_requests_are_not(void **state)
{
    struct bench *b = *state;
    struct flight_totals t;
    open_flight(b, 8 * MIB, 0, 0, 0);
    for (int i = 0; i < 4; i++)
        second_of(b, 10, 7);
    const uint32_t row = kymo_rows_add(b->mark);
    kymo_rows_set(b->mark, KYMO_MARK_TS, row, T0 + b->second * S);
    kymo_rows_set_str(b->mark, KYMO_MARK_KIND, row, "trigger", 7);
    kymo_rows_set_str(b->mark, KYMO_MARK_NAME, row, "please", 6);
    keep(b, b->mark, 0);
    second_of(b, 10, 0);
    flight_totals(b->f, &t);
    assert_int_equal(t.fired, 2);
    assert_int_equal(t.held_back, 3);
    assert_true(there(b, 2) && !there(b, 3));
    assert_non_null(strstr(said, "please"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_trigger_writes_what_came_before_and_after_and_no_more,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_ring_forgets_whole_seconds_and_never_passes_its_size, setup, teardown),
        cmocka_unit_test_setup_teardown(old_seconds_go_even_where_there_is_room, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(context_outlives_its_second_and_the_youngest_stays,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_that_is_larger_than_the_ring_is_not_half_told,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_dump_is_not_overtaken_by_what_comes_meanwhile, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bound_of_the_disk_ends_a_dump_between_seconds, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(triggers_are_held_back_and_requests_are_not, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
