/* SPDX-License-Identifier: Apache-2.0
 * test_stage.c: plans by hand, played for real: what the kernel answers there is what the plan says.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/stage_scene.h"

/* ---- files ----------------------------------------------------------------------------------- */

static void files_are_what_the_plan_says(void **state)
{
    struct scene *t = *state;

    file(t, "/etc", KYMO_NODE_DIR, 0755, 0);
    file(t, "/etc/motd", KYMO_NODE_FILE, 0644, 1000);
    file(t, "/etc/shadow", KYMO_NODE_FILE, 0000, 10);
    file(t, "/dev", KYMO_NODE_DIR, 0755, 0);
    file(t, "/dev/null", KYMO_NODE_DEVICE, 0666, 0);
    file(t, "/big", KYMO_NODE_FILE, 0644, 1ull << 40);
    opens(t, t->a, "/etc/motd", O_RDWR, 0);
    reads(t, t->a, 0, 4096, 1000);
    reads(t, t->a, 0, 4096, 0);
    writes(t, t->a, 0, 300, 300);
    planbuild_call(t->b, t->a, SYS_lseek, 1100, FD(0), IMM(1100), IMM(SEEK_SET));
    reads(t, t->a, 0, 4096, 200);
    closes(t, t->a, 0);
    reads(t, t->a, 0, 4096, -EBADF);
    opens(t, t->a, "/etc/none", O_RDONLY, -ENOENT);
    opens(t, t->a, "/etc/shadow", O_RDONLY, -EACCES);
    opens(t, t->a, "/dev/null", O_RDWR, 0);
    reads(t, t->a, 0, 10, 0);
    opens(t, t->a, "/big", O_RDONLY, 1);
    planbuild_call(t->b, t->a, SYS_lseek, 1ll << 40, FD(1), IMM(0), IMM(SEEK_END));
    planbuild_call(t->b, t->a, SYS_mkdirat, 0, IMM(AT_FDCWD), TEXT(t->b, "/new"), IMM(0755));
    planbuild_call(t->b, t->a, SYS_mkdirat, -EEXIST, IMM(AT_FDCWD), TEXT(t->b, "/new"),
                   IMM(0755));
    planbuild_call(t->b, t->a, SYS_renameat2, 0, IMM(AT_FDCWD), TEXT(t->b, "/etc/motd"),
                   IMM(AT_FDCWD), TEXT(t->b, "/new/motd"), IMM(0));
    planbuild_call(t->b, t->a, SYS_unlinkat, -EISDIR, IMM(AT_FDCWD), TEXT(t->b, "/new"),
                   IMM(0));
    as_planned(t);
}

static void the_stages_own_folder_cannot_be_written(void **state)
{
    struct scene *t = *state;

    opens(t, t->a, "/.kymo/stage", O_RDWR, -EACCES);
    opens(t, t->a, "/.kymo/plan", O_RDONLY | O_TRUNC, -EROFS);
    planbuild_call(t->b, t->a, SYS_fchmodat, -EROFS, IMM(AT_FDCWD), TEXT(t->b, "/.kymo/plan"),
                   IMM(0666));
    opens(t, t->a, "/.kymo/x", O_RDWR | O_CREAT, -EROFS);
    planbuild_call(t->b, t->a, SYS_unlinkat, -EROFS, IMM(AT_FDCWD),
                   TEXT(t->b, "/.kymo/control"), IMM(0));
    as_planned(t);
}

static void power_is_refused(void **state)
{
    struct scene *t = *state;

    planbuild_call(t->b, t->a, SYS_mount, -ENOSYS, IMM(0), IMM(0), IMM(0), IMM(0), IMM(0));
    planbuild_call(t->b, t->a, SYS_ptrace, -ENOSYS, IMM(0), IMM(0), IMM(0), IMM(0));
    planbuild_call(t->b, t->a, SYS_unshare, -ENOSYS, IMM(CLONE_NEWUSER));
    planbuild_call(t->b, t->a, SYS_bpf, -ENOSYS, IMM(0), IMM(0), IMM(0));
    planbuild_call(t->b, t->a, SYS_io_uring_setup, -ENOSYS, IMM(8), SINK(0));
    planbuild_call(t->b, t->a, SYS_setns, -ENOSYS, IMM(0), IMM(0));
    planbuild_call(t->b, t->a, SYS_reboot, -ENOSYS, IMM(0), IMM(0), IMM(0), IMM(0));
    /* init itself */
    planbuild_call(t->b, t->a, SYS_kill, 0, IMM(1), IMM(SIGKILL));
    planbuild_call(t->b, t->a, SYS_prctl, 0, IMM(38 /* PR_SET_NO_NEW_PRIVS */), IMM(1), IMM(0),
                   IMM(0), IMM(0));
    planbuild_call(t->b, t->a, SYS_mknodat, -EPERM, IMM(AT_FDCWD), TEXT(t->b, "/dev0"),
                   IMM(S_IFBLK | 0600), IMM(0x800));
    as_planned(t);
}

static void a_user_is_who_was_recorded(void **state)
{
    struct scene *t = *state;

    planbuild_call(t->b, t->a, SYS_getuid, 1003, IMM(0))->flags = KYMO_ICALL_BYTES;
    planbuild_call(t->b, t->a, SYS_getegid, 77, IMM(0))->flags = KYMO_ICALL_BYTES;
    as_planned(t);
}

/* ---- processes ------------------------------------------------------------------------------- */

static void a_child_ends_and_is_waited_for(void **state)
{
    struct scene *t = *state;
    const uint32_t child = forks(t, t->p, t->a, SYS_clone, SIGCHLD);

    opens(t, child, "/made", O_RDWR | O_CREAT, 0);
    writes(t, child, 0, 10, 10);
    exits(t, child, 3);
    waits(t, t->a, 0, 1234);
    waits(t, t->a, 0, -ECHILD);
    opens(t, t->a, "/made", O_RDONLY, 0);
    reads(t, t->a, 0, 100, 10);
    exits(t, t->a, 0);
    as_planned(t);
}

static void a_wait_that_found_a_child_finds_it(void **state)
{
    struct scene *t = *state;
    const uint32_t child = forks(t, t->p, t->a, SYS_clone, SIGCHLD);

    exits(t, child, 0);
    waits(t, t->a, WNOHANG, 1234);
    planbuild_after(t->b, t->a, child, 0);
    waits(t, t->a, WNOHANG, -ECHILD);
    as_planned(t);
}

static void runs_a_program(struct scene *t, long nr, uint64_t flags)
{
    file(t, "/f", KYMO_NODE_FILE, 0644, 100);
    opens(t, t->a, "/f", O_RDONLY | O_CLOEXEC, 0);
    opens(t, t->a, "/f", O_RDONLY, 1);
    const uint32_t child = forks(t, t->p, t->a, nr, flags);
    reads(t, child, 0, 10, 10);
    /* Its own descriptors: what it closes stays open in its parent. */
    closes(t, child, 1);
    opens(t, child, "/f", O_RDONLY, 1);
    execs(t, child, "other");
    reads(t, child, 0, 10, -EBADF);
    reads(t, child, 1, 10, 10);
    planbuild_call(t->b, child, SYS_dup3, -EBADF, FD(0), ARG(FD_NEW, 9), IMM(0));
    exits(t, child, 0);
    waits(t, t->a, 0, 1234);
    reads(t, t->a, 0, 10, 10);
    reads(t, t->a, 1, 200, 100);
    as_planned(t);
}

static void a_fork_execs(void **state)
{
    runs_a_program(*state, SYS_clone, SIGCHLD);
}

static void a_vfork_execs(void **state)
{
#ifdef SYS_vfork
    runs_a_program(*state, SYS_vfork, 0);
#else
    (void)state;
    skip();
#endif
}

static void a_spawn_execs(void **state)
{
    runs_a_program(*state, SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD);
}

static void a_spawn_by_clone3_execs(void **state)
{
    runs_a_program(*state, SYS_clone3, CLONE_VM | CLONE_VFORK | SIGCHLD);
}

static void a_spawn_from_a_spawned_child_is_a_fork(void **state)
{
    struct scene *t = *state;
    const uint32_t child = forks(t, t->p, t->a, SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD);
    const uint32_t process = planbuild_actor_at(t->b, child)->process;
    const uint32_t grandchild =
        forks(t, process, child, SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD);

    exits(t, grandchild, 1);
    waits(t, child, 0, 1234);
    exits(t, child, 2);
    waits(t, t->a, 0, 1234);
    as_planned(t);
}

static void those_at_the_start_have_their_parents(void **state)
{
    struct scene *t = *state;
    const uint32_t child = planbuild_process(t->b, t->p, 1), c = planbuild_leader(t->b, child);
    const uint32_t other = planbuild_process(t->b, child, 1);

    exits(t, planbuild_leader(t->b, other), 1);
    waits(t, c, 0, 1234);
    exits(t, c, 0);
    waits(t, t->a, 0, 1234);
    waits(t, t->a, 0, -ECHILD);
    as_planned(t);
}

static void a_signal_reaches_whom_it_was_for(void **state)
{
    struct scene *t = *state;
    const uint32_t child = forks(t, t->p, t->a, SYS_clone, SIGCHLD);
    const uint32_t process = planbuild_actor_at(t->b, child)->process;

    /* The child waits in a call until it is killed. */
    planbuild_call(t->b, child, SYS_rt_sigaction, 0, IMM(SIGUSR1), ARG(ACTION, 2), SINK(0),
                   IMM(8));
    struct kymo_icall *c = planbuild_call(t->b, child, SYS_ppoll, -EINTR, IMM(0), IMM(0),
                                          ARG(WAIT, UINT64_MAX), IMM(0), IMM(8));
    c->flags = KYMO_ICALL_BLOCKS;
    exits(t, child, 0);
    planbuild_call(t->b, t->a, SYS_kill, 0, ARG(PID, process), IMM(SIGUSR1));
    planbuild_after(t->b, t->a, child, 1 | KYMO_DEP_BEGUN);
    waits(t, t->a, 0, 1234);
    planbuild_call(t->b, t->a, SYS_kill, -ESRCH, ARG(PID, process), IMM(SIGUSR1));
    as_planned(t);
}

static void a_killed_process_holds_nobody_up(void **state)
{
    struct scene *t = *state;
    const uint32_t child = forks(t, t->p, t->a, SYS_clone, SIGCHLD);
    const uint32_t process = planbuild_actor_at(t->b, child)->process;

    struct kymo_icall *c = planbuild_call(t->b, child, SYS_ppoll, 0, IMM(0), IMM(0),
                                          ARG(WAIT, UINT64_MAX), IMM(0), IMM(8));
    c->flags = KYMO_ICALL_BLOCKS;
    c->why = KYMO_WHY_UNFINISHED;
    planbuild_call(t->b, t->a, SYS_kill, 0, ARG(PID, process), IMM(SIGKILL));
    planbuild_after(t->b, t->a, child, 0 | KYMO_DEP_BEGUN);
    waits(t, t->a, 0, 1234);
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_true(got(t, t->a, 2) > 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void sleeps_and_wakes(struct scene *t, uint32_t waker, uint32_t sleeper)
{
    struct kymo_icall *c =
        planbuild_call(t->b, sleeper, SYS_futex, 0, ARG(OWN_WORD, 5), IMM(FUTEX_WAIT_PRIVATE),
                       IMM(2), ARG(WAIT, UINT64_MAX));
    c->flags = KYMO_ICALL_BLOCKS | KYMO_ICALL_SET_WORD;
    c->word_value = 2;
    planbuild_call(t->b, sleeper, SYS_futex, -EAGAIN, ARG(OWN_WORD, 5), IMM(FUTEX_WAIT_PRIVATE),
                   IMM(3), ARG(WAIT, UINT64_MAX));
    planbuild_call(t->b, waker, SYS_futex, 1, ARG(OWN_WORD, 5), IMM(FUTEX_WAKE_PRIVATE),
                   IMM(1));
    planbuild_after(t->b, waker, sleeper,
                    (planbuild_calls(t->b, sleeper) - 2) | KYMO_DEP_BEGUN);
}

static void a_thread_sleeps_until_another_wakes_it(void **state)
{
    struct scene *t = *state;
    const uint32_t thread = threads(t, t->p, t->a, SYS_clone);

    sleeps_and_wakes(t, t->a, thread);
    planbuild_call(t->b, thread, SYS_exit, 0, IMM(0))->how = KYMO_HOW_EXIT;
    exits(t, t->a, 0);
    planbuild_after(t->b, t->a, thread, 2);
    as_planned(t);
}

static void a_thread_by_clone3_and_one_of_the_start_share_descriptors(void **state)
{
    struct scene *t = *state;
    const uint32_t early = planbuild_thread(t->b, t->p, 1);
    const uint32_t late = threads(t, t->p, t->a, SYS_clone3);

    opens(t, early, "/x", O_RDWR | O_CREAT, 0);
    writes(t, late, 0, 5, 5);
    planbuild_after(t->b, late, early, 0);
    sleeps_and_wakes(t, t->a, late);
    closes(t, t->a, 0);
    planbuild_after(t->b, t->a, late, 2);
    reads(t, early, 0, 5, -EBADF);
    planbuild_after(t->b, early, t->a, planbuild_calls(t->b, t->a) - 1);
    as_planned(t);
}

static void an_exec_ends_the_other_threads(void **state)
{
    struct scene *t = *state;
    const uint32_t thread = threads(t, t->p, t->a, SYS_clone);

    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_ppoll, 0, IMM(0), IMM(0),
                                          ARG(WAIT, UINT64_MAX), IMM(0), IMM(8));
    c->flags = KYMO_ICALL_BLOCKS;
    c->why = KYMO_WHY_UNFINISHED;
    opens(t, thread, "/x", O_RDWR | O_CREAT, 0);
    execs(t, thread, "other");
    writes(t, thread, 0, 5, 5);
    exits(t, thread, 0);
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_int_equal(t->r.freed, 0);
    assert_int_equal(got(t, thread, 2), 5);
}

static void the_environment_wakes_a_sleeper(void **state)
{
    struct scene *t = *state;
    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_futex, 0, ARG(WORD, 7),
                                          IMM(FUTEX_WAIT), IMM(9), ARG(WAIT, UINT64_MAX));

    c->flags = KYMO_ICALL_BLOCKS | KYMO_ICALL_SET_WORD;
    c->word_value = 9;
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_WAKE, .other = 7, .n = 1}, t->a,
                  0 | KYMO_DEP_BEGUN);
    as_planned(t);
}

/* ---- results that are given ------------------------------------------------------------------ */

static void results_are_given_where_their_cause_cannot_be_made(void **state)
{
    struct scene *t = *state;

    opens(t, t->a, "/x", O_RDWR | O_CREAT, 0);
    planbuild_call(t->b, t->a, SYS_write, -ENOSPC, FD(0), PATTERN(0), IMM(10))->how =
        KYMO_HOW_INJECT;
    planbuild_call(t->b, t->a, SYS_write, 10, FD(0), PATTERN(0), IMM(10));
    /* what the filter refuses can be given too */
    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_io_uring_setup, 1, IMM(8), SINK(0));
    c->how = KYMO_HOW_INJECT;
    c->out = KYMO_OUT_FD;
    c->other = 1;
    planbuild_call(t->b, t->a, SYS_io_uring_enter, 4096, FD(1), IMM(1), IMM(1), IMM(0))->how =
        KYMO_HOW_INJECT;
    c = planbuild_call(t->b, t->a, SYS_close, 0, FD(1));
    as_planned(t);
    assert_int_equal(got(t, t->a, 4), 4096);
}

static void a_given_result_takes_as_long_as_recorded(void **state)
{
    struct scene *t = *state;
    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_fsync, -EIO, IMM(-1));

    c->how = KYMO_HOW_INJECT;
    c->dur_ns = 50000000;
    t->o.pace = 1;
    as_planned(t);
    const struct kymo_outcome *o = &t->r.outcome[0];
    assert_true(o->exit_ns - o->enter_ns >= 50000000);
}

static void skipped_calls_are_no_calls(void **state)
{
    struct scene *t = *state;

    planbuild_call(t->b, t->a, SYS_reboot, 0, IMM(0))->how = KYMO_HOW_SKIP;
    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_int_equal(t->r.outcome[0].enter_ns, 0);
    assert_true(t->r.outcome[1].exit_ns > 0);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void descriptors_are_known_by_their_recorded_numbers(void **state)
{
    struct scene *t = *state;

    /* Recorded as 7 and 9, here 1 and 2. */
    planbuild_start(t->b, t->p, 0,
                    planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_EVENT,
                                                                 .pair = KYMO_NONE}));
    file(t, "/a", KYMO_NODE_FILE, 0644, 10);
    file(t, "/b", KYMO_NODE_FILE, 0644, 20);
    opens(t, t->a, "/a", O_RDONLY, 7);
    opens(t, t->a, "/b", O_RDONLY, 9);
    reads(t, t->a, 7, 100, 10);
    reads(t, t->a, 9, 100, 20);
    /* What is 7's number here was no descriptor in the recording. */
    closes(t, t->a, 9);
    reads(t, t->a, 9, 100, -EBADF);
    /* Onto the recorded number 1, which another has here. */
    struct kymo_icall *c =
        planbuild_call(t->b, t->a, SYS_dup3, 1, FD(7), ARG(FD_NEW, 1), IMM(0));
    c->out = KYMO_OUT_FD;
    c->other = 1;
    planbuild_call(t->b, t->a, SYS_lseek, 0, FD(1), IMM(0), IMM(SEEK_SET));
    reads(t, t->a, 7, 4, 4);
    reads(t, t->a, 1, 100, 6);
    const uint32_t child = forks(t, t->p, t->a, SYS_clone, SIGCHLD);
    planbuild_call(t->b, child, SYS_lseek, 0, FD(7), IMM(0), IMM(SEEK_SET));
    execs(t, child, "other");
    reads(t, child, 7, 100, 10);
    exits(t, child, 0);
    waits(t, t->a, 0, 1234);
    as_planned(t);
}

static void polled_descriptors_are_translated(void **state)
{
    struct scene *t = *state;
    const struct {
        int fd;
        short events, revents;
    } polled[2] = {{21, 4, 0}, {20, 1, 0}};
    const uint32_t selected[1] = {21};
    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_pipe2, 0, ARG(PAIR, 0), IMM(0));

    c->out = KYMO_OUT_PAIR;
    c->other = 20;
    c->other2 = 21;
    planbuild_call(t->b, t->a, SYS_ppoll, 1,
                   ARG(POLL, (uint64_t)planbuild_blob(t->b, polled, sizeof(polled)) << 16 | 2),
                   IMM(2), ARG(WAIT, 0), IMM(0), IMM(8));
    c = planbuild_call(t->b, t->a, SYS_pselect6, 1, IMM(22), IMM(0),
                       ARG(FDSET, (uint64_t)planbuild_blob(t->b, selected, 4) << 16 | 1),
                       IMM(0), ARG(WAIT, 0), IMM(0));
    as_planned(t);
}

static void mappings_are_found_where_they_are(void **state)
{
    struct scene *t = *state;
    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_mmap, 0x7f0000000000, IMM(0),
                                          IMM(65536), IMM(PROT_READ | PROT_WRITE),
                                          IMM(MAP_PRIVATE | MAP_ANONYMOUS), IMM(-1), IMM(0));

    c->out = KYMO_OUT_REGION;
    c->other = 3;
    planbuild_call(t->b, t->a, SYS_madvise, 0, ARG(REGION, (3ull << 40) + 4096), IMM(4096),
                   IMM(MADV_DONTNEED));
    planbuild_call(t->b, t->a, SYS_munmap, 0, ARG(REGION, 3ull << 40), IMM(65536));
    planbuild_call(t->b, t->a, SYS_madvise, -ENOMEM, ARG(REGION, 3ull << 40), IMM(4096),
                   IMM(MADV_DONTNEED));
    planbuild_call(t->b, t->a, SYS_brk, 1, ARG(BREAK, 0x21000));
    as_planned(t);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void calls_begin_at_their_moments(void **state)
{
    struct scene *t = *state;

    for (uint32_t i = 0; i < 100; i++)
        planbuild_call(t->b, t->a, SYS_getppid, 0, IMM(0))->enter_ns = i * 3000000ull;
    t->o.pace = 0.5;
    play(t);
    for (uint32_t i = 0; i < 100; i++)
        assert_true(t->r.outcome[i].enter_ns >= i * 1500000ull);
    /* Others use this machine too: within a twentieth of the whole. */
    assert_true(t->r.outcome[99].enter_ns < 99 * 1500000ull + 7500000);
    assert_true(t->r.drift_ns_p99 < 100000000);
    assert_true(t->r.end_ns - t->r.begin_ns >= 99 * 1500000ull);
}

static void a_sleep_is_as_long_as_the_pace_says(void **state)
{
    struct scene *t = *state;

    planbuild_call(t->b, t->a, SYS_nanosleep, 0, ARG(WAIT, 40000000), IMM(0));
    planbuild_call(t->b, t->a, SYS_clock_nanosleep, 0, IMM(CLOCK_MONOTONIC), IMM(TIMER_ABSTIME),
                   ARG(UNTIL, 100000000), IMM(0));
    t->o.pace = 2;
    as_planned(t);
    assert_true(t->r.outcome[0].exit_ns - t->r.outcome[0].enter_ns >= 80000000);
    assert_true(t->r.outcome[1].exit_ns >= 200000000);
}

struct told {
    pid_t leader;
    int times;
};

static kymo_status is_told(void *arg, pid_t leader, struct kymo_err *err)
{
    struct told *told = arg;

    (void)err;
    told->leader = leader;
    told->times++;
    return kill(leader, 0) ? KYMO_EHOST : KYMO_OK;
}

static kymo_status says_no(void *arg, pid_t leader, struct kymo_err *err)
{
    (void)arg;
    (void)leader;
    if (err)
        snprintf(err->text, sizeof(err->text), "not today");
    return KYMO_EHOST;
}

static void who_asks_is_told_before_anything_begins(void **state)
{
    struct scene *t = *state;
    struct told told = {0};

    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    t->o.ready = is_told;
    t->o.ready_arg = &told;
    as_planned(t);
    assert_int_equal(told.times, 1);
    assert_int_equal(kill(told.leader, 0), -1);
    t->o.ready = says_no;
    struct kymo_err err = {0};
    struct kymo_stage_result r;
    assert_int_equal(kymo_stage_run(planbuild_image(t->b), &t->o, &r, &err), KYMO_EHOST);
    assert_string_equal(err.text, "not today");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYED(files_are_what_the_plan_says),
        PLAYED(the_stages_own_folder_cannot_be_written),
        PLAYED(power_is_refused),
        PLAYED(a_user_is_who_was_recorded),
        PLAYED(a_child_ends_and_is_waited_for),
        PLAYED(a_wait_that_found_a_child_finds_it),
        PLAYED(a_fork_execs),
        PLAYED(a_vfork_execs),
        PLAYED(a_spawn_execs),
        PLAYED(a_spawn_by_clone3_execs),
        PLAYED(a_spawn_from_a_spawned_child_is_a_fork),
        PLAYED(those_at_the_start_have_their_parents),
        PLAYED(a_signal_reaches_whom_it_was_for),
        PLAYED(a_killed_process_holds_nobody_up),
        PLAYED(a_thread_sleeps_until_another_wakes_it),
        PLAYED(a_thread_by_clone3_and_one_of_the_start_share_descriptors),
        PLAYED(an_exec_ends_the_other_threads),
        PLAYED(the_environment_wakes_a_sleeper),
        PLAYED(results_are_given_where_their_cause_cannot_be_made),
        PLAYED(a_given_result_takes_as_long_as_recorded),
        PLAYED(skipped_calls_are_no_calls),
        PLAYED(descriptors_are_known_by_their_recorded_numbers),
        PLAYED(polled_descriptors_are_translated),
        PLAYED(mappings_are_found_where_they_are),
        PLAYED(calls_begin_at_their_moments),
        PLAYED(a_sleep_is_as_long_as_the_pace_says),
        PLAYED(who_asks_is_told_before_anything_begins),
    };

    return cmocka_run_group_tests(tests, look_for_sandbox, NULL);
}
