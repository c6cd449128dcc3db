/* SPDX-License-Identifier: Apache-2.0
 * test_processes.c: events of processes to rows, without a kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "record/processes.h"
#include "record/snapshot.h"

static struct kymo_rows *process, *cgroup, *fds;
static struct processes *p;

static struct kymo_rows *rows_for(void *ctx, const struct kymo_schema *schema)
{
    (void)ctx;
    return schema == &KYMO_TABLE_PROCESS ? process : schema == &KYMO_TABLE_FD ? fds : cgroup;
}

static int setup(void **state)
{
    (void)state;
    return kymo_rows_open(&process, &KYMO_TABLE_PROCESS, 64, NULL) ||
           kymo_rows_open(&cgroup, &KYMO_TABLE_CGROUP, PROCESSES_CGROUPS_MAX + 64, NULL) ||
           kymo_rows_open(&fds, &KYMO_TABLE_FD, 64, NULL) ||
           processes_open(&p, 1000, rows_for, NULL, NULL);
}

static int teardown(void **state)
{
    (void)state;
    processes_close(p);
    kymo_rows_close(process);
    kymo_rows_close(cgroup);
    kymo_rows_close(fds);
    return 0;
}

static const char *text(const struct kymo_rows *r, uint32_t column, uint32_t row)
{
    static char out[8][PROCESSES_PATH_MAX];
    static unsigned turn;
    const struct kymo_batch b = kymo_rows_view(r);
    uint32_t n;
    const char *s = kymo_batch_str(&b, column, row, &n);
    char *to = out[turn++ % 8];
    memcpy(to, s, n);
    to[n] = 0;
    return to;
}

static uint64_t number(const struct kymo_rows *r, uint32_t column, uint32_t row)
{
    const struct kymo_batch b = kymo_rows_view(r);
    return kymo_batch_u64(&b, column, row);
}

static bool has(const struct kymo_rows *r, uint32_t column, uint32_t row)
{
    const struct kymo_batch b = kymo_rows_view(r);
    return kymo_batch_present(&b, column, row);
}

static struct kymo_event_task task(uint8_t kind, uint64_t ts, uint32_t pid, uint32_t uid)
{
    return (struct kymo_event_task){.head = {sizeof(struct kymo_event_task), kind, 0, pid, ts},
                                    .pid = pid,
                                    .start_ns = pid * 10,
                                    .cgroup_id = 7,
                                    .uid = uid,
                                    .euid = uid,
                                    .comm = "t"};
}

static void event(uint8_t kind, uint64_t ts, uint32_t pid, uint32_t uid)
{
    struct kymo_event_process e = {.task = task(kind, ts, pid, uid)};
    assert_true(processes_event(p, &e, KYMO_EVENT_PROCESS_FIXED));
}

static void describe(uint64_t ts, uint32_t pid, uint32_t uid)
{
    const struct kymo_event_task t = task(KYMO_EVENT_TASK, ts, pid, uid);
    processes_task(p, &t);
}

static void a_walk_is_turned_round(void **state)
{
    char out[32];
    (void)state;
    assert_int_equal(processes_path("b\0a\0", 4, out, sizeof(out)), 4);
    assert_string_equal(out, "/a/b");
    assert_int_equal(processes_path("", 0, out, sizeof(out)), 1);
    assert_string_equal(out, "/");
    assert_int_equal(processes_path("usr\0", 4, out, 5), 4);
    assert_string_equal(out, "/usr");
    assert_int_equal(processes_path("usr\0", 4, out, 4), 0);        /* no room */
    assert_int_equal(processes_path("ab", 2, out, sizeof(out)), 0); /* cut in a name */
    assert_int_equal(processes_path("a\0", 2, out, 0), 0);
}

static void an_exec_has_its_paths_and_arguments(void **state)
{
    static const char words[] = "cp\0two words\0";
    struct kymo_event_process e = {.task = task(KYMO_EVENT_EXEC, 100, 5, 0)};
    (void)state;
    memcpy(e.text, "cp\0bin\0", 7);
    memcpy(e.text + 7, words, sizeof(words) - 1);
    memcpy(e.text + 7 + sizeof(words) - 1, "tmp\0", 4);
    e.exe_bytes = 7;
    e.argv_bytes = sizeof(words) - 1;
    e.cwd_bytes = 4;
    e.has_exe = e.has_cwd = 1;
    assert_true(processes_event(p, &e, KYMO_EVENT_PROCESS_FIXED + 7 + sizeof(words) - 1 + 4));
    assert_string_equal(text(process, KYMO_PROCESS_EXE, 0), "/bin/cp");
    assert_string_equal(text(process, KYMO_PROCESS_ARGV, 0), "cp 'two words'");
    assert_string_equal(text(process, KYMO_PROCESS_CWD, 0), "/tmp");
    assert_false(has(process, KYMO_PROCESS_LIFETIME, 0));
    assert_false(has(process, KYMO_PROCESS_CODE, 0));
    assert_false(has(process, KYMO_PROCESS_NETNS, 0));
    /* An event that is shorter than it says keeps what can be trusted. */
    assert_true(processes_event(p, &e, KYMO_EVENT_PROCESS_FIXED + 3));
    assert_string_equal(text(process, KYMO_PROCESS_EXE, 1), "");
}

static void times_are_scaled_as_the_kernel_scales_them(void **state)
{
    struct kymo_event_process e = {.task = task(KYMO_EVENT_EXIT, 100, 5, 0), .code = 1792};
    (void)state;
    e.usage = (struct kymo_event_usage){.lifetime_ns = 1000,
                                        .utime_ns = 30,
                                        .stime_ns = 10,
                                        .runtime_ns = 44,
                                        .maxrss_pages = 2};
    assert_true(processes_event(p, &e, KYMO_EVENT_PROCESS_FIXED));
    assert_int_equal(number(process, KYMO_PROCESS_UTIME, 0), 33);
    assert_int_equal(number(process, KYMO_PROCESS_STIME, 0), 11);
    assert_int_equal(number(process, KYMO_PROCESS_CODE, 0), 1792);
    e.usage.stime_ns = 0;
    assert_true(processes_event(p, &e, KYMO_EVENT_PROCESS_FIXED));
    assert_int_equal(number(process, KYMO_PROCESS_UTIME, 1), 44);
    e.usage.runtime_ns = 0;
    assert_true(processes_event(p, &e, KYMO_EVENT_PROCESS_FIXED));
    assert_int_equal(number(process, KYMO_PROCESS_UTIME, 2), 30);
}

static uint32_t creds(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < process->n_rows; i++)
        n += !strcmp(text(process, KYMO_PROCESS_KIND, i), "cred");
    return n;
}

static void a_thread_with_other_powers_gets_a_row(void **state)
{
    (void)state;
    event(KYMO_EVENT_FORK, 100, 5, 0);
    describe(110, 5, 0); /* a rename, say */
    assert_int_equal(creds(), 0);
    describe(120, 5, 33);
    assert_int_equal(creds(), 1);
    assert_int_equal(number(process, KYMO_PROCESS_UID, process->n_rows - 1), 33);
    describe(130, 5, 33);
    assert_int_equal(creds(), 1);
}

static void who_was_never_heard_of_has_not_changed(void **state)
{
    (void)state;
    describe(120, 6, 33);
    assert_int_equal(creds(), 0);
    describe(120, 5000, 33); /* beyond the table */
    assert_int_equal(creds(), 0);
}

static void another_process_with_the_same_pid_has_not_changed(void **state)
{
    struct kymo_event_task t = task(KYMO_EVENT_TASK, 200, 5, 33);
    (void)state;
    event(KYMO_EVENT_FORK, 100, 5, 0);
    event(KYMO_EVENT_EXIT, 150, 5, 0);
    t.start_ns = 190;
    processes_task(p, &t);
    assert_int_equal(creds(), 0);
}

/* Events are taken ahead of descriptions, which are older then. */
static void descriptions_are_held_against_their_own_time(void **state)
{
    (void)state;
    event(KYMO_EVENT_FORK, 100, 5, 0);
    event(KYMO_EVENT_EXEC, 150, 5, 33); /* of a program that is set to another user */
    event(KYMO_EVENT_EXIT, 190, 5, 44);
    describe(110, 5, 0);
    describe(160, 5, 33);
    assert_int_equal(creds(), 0);
    describe(170, 5, 44);
    assert_int_equal(creds(), 1);
}

static void cgroup_made(uint64_t id, const char *path)
{
    struct kymo_event_cgroup e = {.head = {.kind = KYMO_EVENT_CGROUP}, .id = id};
    strcpy(e.path, path);
    processes_cgroup_made(p, &e, KYMO_EVENT_CGROUP_FIXED + strlen(path) + 1);
}

static void a_cgroup_is_named_when_it_is_met(void **state)
{
    (void)state;
    cgroup_made(70, "/gone/already");
    assert_int_equal(cgroup->n_rows, 0);
    processes_cgroup(p, 70, 999999, 5);
    processes_cgroup(p, 70, 999999, 6);
    assert_int_equal(cgroup->n_rows, 1);
    assert_string_equal(text(cgroup, KYMO_CGROUP_PATH, 0), "/gone/already");
    /* One number in two hierarchies: nobody knows which is meant, and its process is gone. */
    cgroup_made(71, "/memory");
    cgroup_made(71, "/pids");
    cgroup_made(71, "/unified");
    processes_cgroup(p, 71, 999999, 7);
    assert_string_equal(text(cgroup, KYMO_CGROUP_PATH, 1), "");
}

static void cgroups_are_bounded_and_those_beyond_are_counted(void **state)
{
    struct processes_totals t;
    (void)state;
    for (uint32_t i = 0; i < PROCESSES_CGROUPS_MAX + 20; i++) {
        cgroup_made(1000 + i, "/x");
        processes_cgroup(p, 1000 + i, 0, 5);
    }
    processes_totals(p, &t);
    assert_int_equal(cgroup->n_rows, PROCESSES_CGROUPS_MAX);
    assert_int_equal(t.unnamed_cgroups, 20);
}

static const char *target(uint16_t mode, uint32_t magic, const char *walk, size_t n, bool gone)
{
    struct kymo_event_fd e = {.pid = 1,
                              .fd = 3,
                              .ino = 12,
                              .mode = mode,
                              .magic = magic,
                              .has_target = 1,
                              .is_deleted = gone};
    memcpy(e.text, walk, n);
    e.target_bytes = (uint16_t)n;
    const uint32_t row = kymo_rows_add(fds);
    snapshot_fill_fd(NULL, fds, row, 5, &e);
    return text(fds, KYMO_FD_TARGET, row);
}

static void descriptors_are_named_as_proc_names_them(void **state)
{
    (void)state;
    assert_string_equal(target(S_IFREG, 0xef53, "b\0a\0", 4, false), "/a/b");
    assert_string_equal(target(S_IFREG, 0xef53, "b\0a\0", 4, true), "/a/b (deleted)");
    assert_string_equal(target(S_IFSOCK, 0x534f434b, "", 0, false), "socket:[12]");
    assert_string_equal(target(S_IFIFO, 0x50495045, "\0", 1, false), "pipe:[12]");
    assert_string_equal(target(S_IFIFO, 0xef53, "fifo\0", 5, false), "/fifo");
    assert_string_equal(target(0, 0x09041934, "[eventfd]\0", 10, false),
                        "anon_inode:[eventfd]");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_walk_is_turned_round),
        TEST(an_exec_has_its_paths_and_arguments),
        TEST(times_are_scaled_as_the_kernel_scales_them),
        TEST(a_thread_with_other_powers_gets_a_row),
        TEST(who_was_never_heard_of_has_not_changed),
        TEST(another_process_with_the_same_pid_has_not_changed),
        TEST(descriptions_are_held_against_their_own_time),
        TEST(a_cgroup_is_named_when_it_is_met),
        TEST(cgroups_are_bounded_and_those_beyond_are_counted),
        TEST(descriptors_are_named_as_proc_names_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
