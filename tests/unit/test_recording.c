/* SPDX-License-Identifier: Apache-2.0
 * test_recording.c: a process tree is recorded from the moment that beginning returns to the one that ending
 * is asked for, by the recorder as it is built; where it cannot be, the reason is told.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/trace/reader.h"
#include "format/trace/sysname.h"
#include "replay/proof/proof.h"
#include "tests/unit/proofgen.h"

#if defined(__x86_64__)
#define ARCH KYMO_ARCH_X86_64
#else
#define ARCH KYMO_ARCH_AARCH64
#endif

#define CALLS 20000u

static int can_record;
static char before[4096];

/* The recorder lies beside the tools, which the tests do not. */
static int find_recorder(void **state)
{
    (void)state;
    char path[8192], why[256] = "";
    const char *bin = getenv("KYMO_BIN");
    snprintf(before, sizeof(before), "%s", getenv("PATH"));
    snprintf(path, sizeof(path), "%s:%s", bin ? bin : "build/release/bin", before);
    setenv("PATH", path, 1);
    FILE *f = popen("timeout -k 5 30 kymo-doctor 2>&1 | grep -m1 '^no'", "r");
    assert_non_null(f);
    can_record = !fgets(why, sizeof(why), f);
    pclose(f);
    if (!can_record)
        print_message("# this host cannot be recorded: %s", why);
    return 0;
}

/* A tree that, when told to, tags itself in a thread's script, calls, forks, and calls again. */
static pid_t start_tree(int *go)
{
    int p[2];
    char c;
    assert_int_equal(pipe(p), 0);
    const pid_t leader = fork();
    assert_true(leader >= 0);
    if (leader) {
        close(p[0]);
        *go = p[1];
        return leader;
    }
    close(p[1]);
    if (read(p[0], &c, 1) != 1)
        _exit(3);
    prctl(KYMO_STAGE_TAG, KYMO_TAG_BEGIN, 1, 0, 0);
    for (unsigned i = 0; i < CALLS; i++)
        (void)getppid();
    const pid_t child = fork();
    if (!child) {
        prctl(KYMO_STAGE_TAG, KYMO_TAG_BEGIN, 3, 0, 0);
        for (unsigned i = 0; i < CALLS; i++)
            (void)getppid();
        prctl(KYMO_STAGE_TAG, KYMO_TAG_END, 3, 0, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    prctl(KYMO_STAGE_TAG, KYMO_TAG_END, 1, 0, 0);
    _exit(0);
}

static void let_go(pid_t leader, int go)
{
    int status;
    assert_int_equal(write(go, "x", 1), 1);
    close(go);
    assert_int_equal(waitpid(leader, &status, 0), leader);
    assert_int_equal(status, 0);
}

struct count {
    uint64_t calls, of_child, dropped, other;
    int is_complete;
};

static void count_batch(struct count *c, const struct kymo_batch *b)
{
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (!strcmp(kymo_batch_table(b), "syscall")) {
            const struct kymo_sysinfo *info =
                kymo_sysinfo(ARCH, (uint32_t)kymo_batch_lane(b, KYMO_SYSCALL_NR, i));
            const uint64_t pid = kymo_batch_lane(b, KYMO_SYSCALL_PID, i);
            if (info && !strcmp(info->name, "getppid"))
                *(pid == 102 ? &c->of_child : &c->calls) += 1;
            c->other += pid != 100 && pid != 102;
        } else if (!strcmp(kymo_batch_table(b), "loss")) {
            c->dropped += kymo_batch_u64(b, KYMO_LOSS_DROPPED_RING, i) +
                          kymo_batch_u64(b, KYMO_LOSS_DROPPED_NESTED, i) +
                          kymo_batch_u64(b, KYMO_LOSS_DROPPED_QUEUE, i);
            assert_int_equal(kymo_batch_u64(b, KYMO_LOSS_SEEN, i),
                             kymo_batch_u64(b, KYMO_LOSS_STORED, i) +
                                 kymo_batch_u64(b, KYMO_LOSS_FILTERED, i) +
                                 kymo_batch_u64(b, KYMO_LOSS_DROPPED_RING, i));
        }
}

static struct count count(const char *path)
{
    struct count c = {0};
    struct kymo_err err = {0};
    kymo_reader *r;
    const struct kymo_batch *b;
    assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
    do {
        if (kymo_reader_next(r, &b, &err))
            fail_msg("%s", err.text);
        if (b)
            count_batch(&c, b);
    } while (b);
    c.is_complete = kymo_reader_complete(r);
    kymo_reader_close(r);
    return c;
}

static struct kymo_image *plan(void)
{
    struct proofgen g;
    proofgen_init(&g, 3, 3);
    for (uint32_t i = 0; i < 3; i++)
        (void)proofgen_call(&g, i, "getppid", i, 1, 1);
    proofgen_finish(&g);
    struct kymo_image *h = proofgen_plan(&g.t, 0);
    proofgen_release(&g);
    return h;
}

static void a_tree_is_recorded_from_begin_to_end_and_cleaned(void **state)
{
    (void)state;
    struct kymo_recording *r;
    struct kymo_err err = {0};
    const char *path;
    char cleaned[64];
    int go;
    if (!can_record)
        skip();
    const pid_t leader = start_tree(&go);
    if (kymo_recording_begin(&r, leader, &err))
        fail_msg("%s", err.text);
    let_go(leader, go);
    if (kymo_recording_end(r, &path, &err))
        fail_msg("%s", err.text);
    struct count c = count(path);
    assert_true(c.is_complete);
    assert_int_equal(c.dropped, 0);
    assert_int_equal(c.calls, 2 * CALLS);
    struct kymo_image *h = plan();
    const int out = memfd_create("cleaned", MFD_CLOEXEC);
    assert_true(out >= 0);
    if (kymo_recording_clean(path, h, out, &err))
        fail_msg("%s", err.text);
    snprintf(cleaned, sizeof(cleaned), "/proc/self/fd/%d", out);
    c = count(cleaned);
    assert_true(c.is_complete);
    assert_int_equal(c.calls, CALLS);
    assert_int_equal(c.of_child, CALLS);
    assert_int_equal(c.other, 0);
    char command[200];
    snprintf(command, sizeof(command),
             "timeout -k 5 20 kymo-check /proc/%d/fd/%d | grep -q complete && "
             "timeout -k 5 20 kymo-stat /proc/%d/fd/%d | grep -q getppid",
             getpid(), out, getpid(), out);
    assert_int_equal(system(command), 0);
    close(out);
    free(h);
    kymo_recording_close(r);
}

static void a_recording_that_is_closed_leaves_no_process(void **state)
{
    (void)state;
    struct kymo_recording *r;
    int go;
    if (!can_record)
        skip();
    const pid_t leader = start_tree(&go);
    assert_int_equal(kymo_recording_begin(&r, leader, NULL), KYMO_OK);
    kymo_recording_close(r);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* the tree alone */
    let_go(leader, go);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void the_recorder_leaves_when_who_asked_is_gone(void **state)
{
    (void)state;
    int go, status, left = 0;
    pid_t one = 0;
    if (!can_record)
        skip();
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); /* its orphans are ours */
    const pid_t leader = start_tree(&go);
    const pid_t who = fork();
    assert_true(who >= 0);
    if (!who) {
        struct kymo_recording *r;
        if (kymo_recording_begin(&r, leader, NULL))
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(who, &status, 0), who);
    assert_true(WIFSIGNALED(status));
    let_go(leader, go);
    for (int i = 0; i < 2000 && (one = waitpid(-1, NULL, WNOHANG)) >= 0; i++) {
        left += one > 0;
        usleep(10000);
    }
    assert_int_equal(one, -1);
    assert_true(left >= 1); /* the recorder, at least */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

static void where_there_is_no_recorder_that_is_said(void **state)
{
    (void)state;
    struct kymo_recording *r;
    struct kymo_err err = {0};
    char with[8192];
    snprintf(with, sizeof(with), "%s", getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    assert_int_equal(kymo_recording_begin(&r, getpid(), &err), KYMO_EHOST);
    assert_non_null(strstr(err.text, "no kymo-record"));
    setenv("PATH", with, 1);
}

static void a_recorder_that_refuses_is_quoted(void **state)
{
    (void)state;
    struct kymo_recording *r;
    struct kymo_err err = {0};
    char folder[] = "/tmp/kymo-test-XXXXXX", file[64], with[8192];
    snprintf(with, sizeof(with), "%s", getenv("PATH"));
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/kymo-record", folder);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs("#!/bin/sh\necho 'kymo-record: WARNING: beware' >&2\n"
          "echo 'kymo-record: this needs more power' >&2\nexit 4\n",
          f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(file, 0755), 0);
    setenv("PATH", folder, 1);
    assert_int_equal(kymo_recording_begin(&r, getpid(), &err), KYMO_EHOST);
    assert_string_equal(err.text, "cannot record here: this needs more power");
    setenv("PATH", with, 1);
    setenv("TMPDIR", "/nowhere", 1);
    assert_int_equal(kymo_recording_begin(&r, getpid(), &err), KYMO_EHOST);
    assert_non_null(strstr(err.text, "/nowhere"));
    unsetenv("TMPDIR");
    unlink(file);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_is_recorded_from_begin_to_end_and_cleaned),
        cmocka_unit_test(a_recording_that_is_closed_leaves_no_process),
        cmocka_unit_test(the_recorder_leaves_when_who_asked_is_gone),
        cmocka_unit_test(where_there_is_no_recorder_that_is_said),
        cmocka_unit_test(a_recorder_that_refuses_is_quoted),
    };
    return cmocka_run_group_tests(tests, find_recorder, NULL);
}
