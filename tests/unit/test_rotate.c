/* SPDX-License-Identifier: Apache-2.0
 * test_rotate.c: the names and bounds of parts, and outputs that fail: the linker wraps write and fdatasync.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/rng.h"
#include "format/trace/reader.h"
#include "record/outbox.h"

/* ---- the wrapped calls ---- */

static struct {
    unsigned long writes, fail_at; /* 0: never */
    int with;
    int sync_fails;
    unsigned long syncs;
} disk;

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fdatasync(int fd);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fdatasync(int fd);

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (++disk.writes != disk.fail_at)
        return __real_write(fd, p, n);
    errno = disk.with;
    return -1;
}

int __wrap_fdatasync(int fd)
{
    __atomic_fetch_add(&disk.syncs, 1, __ATOMIC_RELAXED);
    if (!disk.sync_fails)
        return __real_fdatasync(fd);
    errno = EIO;
    return -1;
}

/* ---- a folder ---- */

static char folder[64], path[96];

static int setup(void **state)
{
    (void)state;
    memset(&disk, 0, sizeof(disk));
    strcpy(folder, "/tmp/kymo-rotate-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/cap.kymo", folder);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char full[400];
    snprintf(full, sizeof(full), "%s/%s", folder, name);
    return full;
}

static void each_file(void (*f)(const char *name, void *ctx), void *ctx)
{
    const struct dirent *e;
    DIR *d = opendir(folder);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            f(e->d_name, ctx);
    closedir(d);
}

static void remove_one(const char *name, void *ctx)
{
    (void)ctx;
    unlink(in_folder(name));
}

static void add_size(const char *name, void *sum)
{
    struct stat st;
    assert_int_equal(stat(in_folder(name), &st), 0);
    *(uint64_t *)sum += (uint64_t)st.st_size;
}

static int teardown(void **state)
{
    (void)state;
    each_file(remove_one, NULL);
    return rmdir(folder);
}

static bool there(const char *name)
{
    return !access(in_folder(name), F_OK);
}

/* ---- names ---- */

static void a_name_is_split_into_folder_stem_and_ending(void **state)
{
    struct rotate_name n;
    (void)state;
    assert_int_equal(rotate_name_split(&n, "/var/log/cap.kymo", NULL), KYMO_OK);
    assert_string_equal(n.dir, "/var/log");
    assert_string_equal(n.stem, "cap");
    assert_string_equal(n.suffix, ".kymo");
    assert_int_equal(rotate_name_split(&n, "cap", NULL), KYMO_OK);
    assert_string_equal(n.dir, ".");
    assert_string_equal(n.suffix, "");
    assert_int_equal(rotate_name_split(&n, "/a.b.kymo", NULL), KYMO_OK);
    assert_string_equal(n.dir, "/");
    assert_string_equal(n.stem, "a.b");
    assert_int_equal(rotate_name_split(&n, "folder/", NULL), KYMO_EUSAGE);
    assert_int_equal(rotate_name_split(&n, "", NULL), KYMO_EUSAGE);
}

static void only_names_that_we_would_write_have_a_number(void **state)
{
    static const struct {
        const char *file;
        uint64_t number;
    } names[] = {
        {"cap.000001.kymo", 1},
        {"cap.999999.kymo", 999999},
        {"cap.1000000.kymo", 1000000},
        {"cap.0000001.kymo", 0},
        {"cap.00001.kymo", 0},
        {"cap.000000.kymo", 0},
        {"cap.000001.kymo.gz", 0},
        {"cap.000001", 0},
        {"cap.00000a.kymo", 0},
        {"capt.000001.kymo", 0},
        {"cap.kymo", 0},
        {"cap.", 0},
        {"cap.-00001.kymo", 0},
        {".000001.kymo", 0},
        {"", 0},
        {"cap.9999999999999999999.kymo", 0},
    };
    struct rotate_name n;
    (void)state;
    assert_int_equal(rotate_name_split(&n, "cap.kymo", NULL), KYMO_OK);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(rotate_name_number(&n, names[i].file), names[i].number);
}

/* ---- recordings ---- */

static struct kymo_rng rng;

/* A chunk of calls of ring 0 and 1, in turns. */
static void put_calls(struct outbox *o, uint64_t ts, uint32_t n)
{
    struct kymo_rows *r;
    const struct timespec wait = {.tv_nsec = 1000000};
    while (!(r = outbox_take(o, &KYMO_TABLE_SYSCALL)))
        nanosleep(&wait, NULL);
    kymo_rows_add_task(r);
    kymo_rows_add_key(r);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, KYMO_SYSCALL_TS, row, ts + i);
        kymo_rows_set(r, KYMO_SYSCALL_CPU, row, i % 2);
        kymo_rows_set(r, KYMO_SYSCALL_DUR, row, 1);
        kymo_rows_set(r, KYMO_SYSCALL_RET, row, kymo_rng_below(&rng, UINT32_MAX));
    }
    outbox_put(o, r, 0);
}

static void put_seal(struct outbox *o, uint64_t ts, uint64_t n)
{
    struct kymo_rows *r = outbox_take(o, &KYMO_TABLE_LOSS);
    for (uint64_t ring = 0; ring < 2; ring++) {
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, KYMO_LOSS_TS, row, ts);
        kymo_rows_set_str(r, KYMO_LOSS_SOURCE, row, "syscall", 7);
        kymo_rows_set(r, KYMO_LOSS_RING, row, ring);
        kymo_rows_set(r, KYMO_LOSS_SEEN, row, n / 2);
        kymo_rows_set(r, KYMO_LOSS_STORED, row, n / 2);
    }
    outbox_put(o, r, KYMO_CHUNK_SEAL);
}

struct seen {
    uint64_t calls[2], stored[2], dropped[2];
    int complete;
};

static void read_file(const char *name, struct seen *s)
{
    const struct kymo_batch *b;
    kymo_reader *r;
    assert_int_equal(kymo_reader_open(&r, in_folder(name), 0, NULL), KYMO_OK);
    while (!kymo_reader_next(r, &b, NULL) && b)
        for (uint32_t i = 0; i < b->n_rows; i++) {
            if (!strcmp(b->schema->table, "syscall"))
                s->calls[kymo_batch_u64(b, KYMO_SYSCALL_CPU, i)]++;
            if (!strcmp(b->schema->table, "loss")) {
                const uint64_t ring = kymo_batch_u64(b, KYMO_LOSS_RING, i);
                s->stored[ring] += kymo_batch_u64(b, KYMO_LOSS_STORED, i);
                s->dropped[ring] += kymo_batch_u64(b, KYMO_LOSS_DROPPED_QUEUE, i);
            }
        }
    s->complete = kymo_reader_complete(r);
    kymo_reader_close(r);
}

static struct outbox *opened(uint64_t max_bytes, uint64_t n_parts, uint64_t sync_ns)
{
    const struct outbox_opts opts = {
        .files = {.path = path,
                  .fd = -1,
                  .parts = true,
                  .max_bytes = max_bytes,
                  .n_parts = n_parts,
                  .may_delete = true,
                  .sync_ns = sync_ns},
        .zstd_level = 1,
    };
    struct outbox *o;
    struct kymo_err err = {0};
    if (outbox_open_to(&o, &opts, &err) || outbox_start(o, &err))
        fail_msg("%s", err.text);
    kymo_rng_init(&rng, 3);
    return o;
}

static void numbers_go_on_and_old_parts_go(void **state)
{
    (void)state;
    for (int run = 0; run < 2; run++) {
        struct outbox *o = opened(0, 3, 0);
        for (uint64_t s = 1; s <= 4; s++) {
            put_calls(o, s, 100);
            put_seal(o, s * 1000, 100);
            if (s < 4)
                outbox_part(o, s * 1000);
        }
        struct outbox_totals t;
        assert_int_equal(outbox_finish(o, NULL), KYMO_OK);
        outbox_totals(o, &t);
        assert_int_equal(t.files, 4);
        assert_int_equal(t.deleted, run ? 4 : 1);
        outbox_close(o);
    }
    assert_false(there("cap.000005.kymo"));
    for (int i = 6; i <= 8; i++) {
        struct seen seen = {0};
        char name[32];
        snprintf(name, sizeof(name), "cap.%06d.kymo", i);
        read_file(name, &seen);
        assert_true(seen.complete);
        assert_int_equal(seen.calls[0] + seen.calls[1], 100);
        assert_int_equal(seen.stored[0], 50);
    }
}

static void a_start_that_fails_leaves_no_part(void **state)
{
    (void)state;
    outbox_close(opened(0, 0, 0));
    assert_false(there("cap.000001.kymo"));
}

static void no_byte_passes_the_bound_and_the_account_is_right_to_the_row(void **state)
{
    const uint64_t max = 200000;
    uint64_t bytes = 0;
    struct seen seen = {0};
    struct outbox *o = opened(max, 0, 0);
    (void)state;
    for (uint64_t s = 1; s <= 30; s++) {
        for (uint64_t k = 0; k < 3; k++)
            put_calls(o, s * 1000000 + k * 10000, 2000);
        put_seal(o, s * 1000000 + 900000, 6000);
    }
    assert_int_equal(outbox_finish(o, NULL), KYMO_OK);
    assert_true(outbox_bound(o));
    struct outbox_totals t;
    outbox_totals(o, &t);
    outbox_close(o);
    each_file(add_size, &bytes);
    assert_true(bytes <= max && bytes > max / 2);
    read_file("cap.000001.kymo", &seen);
    assert_true(seen.complete);
    for (int ring = 0; ring < 2; ring++) {
        assert_int_equal(seen.calls[ring], seen.stored[ring]);
        assert_int_equal(seen.stored[ring] + seen.dropped[ring], 90000);
    }
    assert_int_equal(t.refused, seen.dropped[0] + seen.dropped[1]);
    assert_true(t.refused > 0);
}

static void the_bound_holds_over_all_parts_and_the_oldest_go(void **state)
{
    struct outbox *o = opened(300000, 0, 0);
    uint64_t bytes = 0;
    (void)state;
    for (uint64_t s = 1; s <= 30; s++) {
        put_calls(o, s * 1000000, 6000);
        put_seal(o, s * 1000000 + 900000, 6000);
        if (s % 3 == 0)
            outbox_part(o, s * 1000000);
    }
    assert_int_equal(outbox_finish(o, NULL), KYMO_OK);
    assert_false(outbox_bound(o));
    struct outbox_totals t;
    outbox_totals(o, &t);
    outbox_close(o);
    each_file(add_size, &bytes);
    assert_true(bytes <= 300000);
    assert_true(t.deleted > 3 && t.refused == 0);
    assert_false(there("cap.000001.kymo"));
    assert_true(there("cap.000011.kymo"));
}

static void a_write_that_fails_is_told_and_what_was_written_reads(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EROFS};
    (void)state;
    for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++)
        for (unsigned long at = 2; at < 12; at += 3) {
            struct kymo_err err = {0};
            struct seen seen = {0};
            char name[32];
            struct outbox *o = opened(0, 1, 0);
            disk.with = errors[e];
            disk.writes = 0;
            disk.fail_at = at;
            for (uint64_t s = 1; s <= 9; s++) {
                put_calls(o, s * 1000000, 200);
                put_seal(o, s * 1000000 + 900000, 200);
            }
            assert_int_equal(outbox_finish(o, &err), KYMO_EOUTPUT);
            assert_non_null(strstr(err.text, strerror(errors[e])));
            disk.fail_at = 0;
            struct outbox_totals t;
            outbox_totals(o, &t);
            snprintf(name, sizeof(name), "%s", strrchr(t.last, '/') + 1);
            outbox_close(o);
            read_file(name, &seen);
            assert_false(seen.complete);
            assert_true(seen.calls[0] + seen.calls[1] < 1800);
            assert_true(seen.stored[0] <= seen.calls[0]);
        }
}

static void a_disk_that_cannot_sync_is_told(void **state)
{
    struct kymo_err err = {0};
    struct outbox *o = opened(0, 0, 10000000);
    (void)state;
    put_calls(o, 1, 10);
    disk.sync_fails = 1;
    const struct timespec wait = {.tv_nsec = 5000000};
    for (int i = 0; i < 1000 && !outbox_status(o, &err); i++)
        nanosleep(&wait, NULL);
    assert_int_equal(outbox_status(o, &err), KYMO_EOUTPUT);
    assert_non_null(strstr(err.text, "sync"));
    assert_int_equal(outbox_finish(o, &err), KYMO_EOUTPUT);
    outbox_close(o);
}

static void every_part_is_synced_and_nothing_is_when_told_so(void **state)
{
    (void)state;
    for (int on = 1; on >= 0; on--) {
        struct outbox *o = opened(0, 0, on ? 3600000000000u : 0);
        disk.syncs = 0;
        for (uint64_t s = 1; s <= 3; s++) {
            put_calls(o, s * 1000, 10);
            outbox_part(o, s * 1000);
        }
        assert_int_equal(outbox_finish(o, NULL), KYMO_OK);
        outbox_close(o);
        assert_true(on ? disk.syncs >= 4 : disk.syncs == 0);
    }
}

/* ---- the command for parts ---- */

static void wait_for(const char *name)
{
    const struct timespec wait = {.tv_nsec = 5000000};
    for (int i = 0; i < 1000 && !there(name); i++)
        nanosleep(&wait, NULL);
    assert_true(there(name));
}

static void a_command_gets_the_part_as_its_last_word(void **state)
{
    struct hook *h;
    char command[200], text[HOOK_TEXT_MAX];
    (void)state;
    snprintf(command, sizeof(command), "  touch   %s/first ", folder);
    assert_int_equal(hook_open(&h, command, NULL), KYMO_OK);
    hook_run(h, in_folder("a b;c"));
    wait_for("a b;c");
    assert_true(there("first"));
    assert_true(hook_finish(h, 5000));
    assert_false(hook_failure(h, text));
    hook_close(h);
}

static void a_command_that_fails_says_how(void **state)
{
    static const struct {
        const char *command, *says;
    } tries[] = {{"false", "ended with status 1"},
                 {"/nonexistent/x", "cannot be run"},
                 {"sh -c kill$IFS-9$IFS$$", "ended"}};
    char text[HOOK_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct hook *h;
        assert_int_equal(hook_open(&h, tries[i].command, NULL), KYMO_OK);
        hook_run(h, "part");
        assert_true(hook_finish(h, 5000));
        assert_true(hook_failure(h, text));
        assert_non_null(strstr(text, tries[i].says));
        hook_close(h);
    }
    struct hook *h = NULL;
    assert_int_equal(hook_open(&h, " \t", NULL), KYMO_EUSAGE);
    assert_null(h);
}

static void a_command_that_takes_its_time_holds_nobody_up(void **state)
{
    struct hook *h;
    char text[HOOK_TEXT_MAX];
    struct timespec from, to;
    (void)state;
    char command[200];
    /* As long as the test's folder is there: nothing of it outlives the test. */
    snprintf(command, sizeof(command), "sh %s/wait.sh", folder);
    FILE *f = fopen(in_folder("wait.sh"), "w");
    assert_non_null(f);
    fprintf(f, "while [ -e %s/wait.sh ]; do sleep 0.05; done\n", folder);
    fclose(f);
    assert_int_equal(hook_open(&h, command, NULL), KYMO_OK);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 5000; i++)
        hook_run(h, "part");
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec <= 1);
    assert_true(hook_failure(h, text));
    assert_non_null(strstr(text, "not run on"));
    assert_false(hook_finish(h, 10));
    hook_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_split_into_folder_stem_and_ending),
        cmocka_unit_test(only_names_that_we_would_write_have_a_number),
        cmocka_unit_test_setup_teardown(numbers_go_on_and_old_parts_go, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_that_fails_leaves_no_part, setup, teardown),
        cmocka_unit_test_setup_teardown(
            no_byte_passes_the_bound_and_the_account_is_right_to_the_row, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bound_holds_over_all_parts_and_the_oldest_go, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_write_that_fails_is_told_and_what_was_written_reads,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_cannot_sync_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(every_part_is_synced_and_nothing_is_when_told_so, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_command_gets_the_part_as_its_last_word, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_command_that_fails_says_how, setup, teardown),
        cmocka_unit_test_setup_teardown(a_command_that_takes_its_time_holds_nobody_up, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
