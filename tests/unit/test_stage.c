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

#include "format/base/size.h"
#include "replay/stage/stage.h"
#include "tests/lib/planbuild.h"

#define AS_RECORDED UINT64_MAX

struct scene {
    struct planbuild *b;
    uint32_t p, a; /* a process that is there, and its leader */
    struct kymo_stage_opts o;
    struct kymo_stage_result r;
};

static int no_sandbox;
static char no_sandbox_why[512];

static int set_scene(void **state)
{
    struct scene *t = calloc(1, sizeof(*t));

    t->b = planbuild_new();
    t->p = planbuild_process(t->b, KYMO_NONE, 1);
    t->a = planbuild_leader(t->b, t->p);
    t->o.time_ns = 20000000000u;
    *state = t;
    return 0;
}

static int clear_scene(void **state)
{
    struct scene *t = *state;

    planbuild_free(t->b);
    free(t->r.outcome);
    free(t);
    return 0;
}

static void play(struct scene *t)
{
    struct kymo_err err = {0};

    if (no_sandbox) {
        print_message("# %s\n", no_sandbox_why);
        skip();
    }
    const kymo_status e = kymo_stage_run(planbuild_image(t->b), &t->o, &t->r, &err);
    if (e)
        print_message("# %s\n", err.text);
    assert_int_equal(e, KYMO_OK);
}

static int64_t got(const struct scene *t, uint32_t actor, uint32_t call)
{
    return t->r.outcome[planbuild_index(t->b, actor, call)].ret;
}

static int class_of(int64_t ret)
{
    return ret < 0 && ret > -4096 ? (int)ret : ret > 0;
}

/* Every call ended, in the way that the plan says. */
static void as_planned(struct scene *t)
{
    const struct kymo_image *h = planbuild_image(t->b);
    const struct kymo_icall *c = (const void *)((const char *)h + h->call.at);
    int wrong = 0;

    play(t);
    for (uint64_t i = 0; i < h->call.n; i++) {
        if (t->r.outcome[i].exit_ns && class_of(t->r.outcome[i].ret) == class_of(c[i].ret) &&
            (!(c[i].flags & KYMO_ICALL_BYTES) || t->r.outcome[i].ret == c[i].ret))
            continue;
        print_message("# call %d (nr %d): wanted %lld, got %lld%s\n", (int)i, c[i].nr,
                      (long long)c[i].ret, (long long)t->r.outcome[i].ret,
                      t->r.outcome[i].exit_ns ? "" : ", not over");
        wrong++;
    }
    if (t->r.end != KYMO_END_DONE || t->r.freed)
        print_message("# end %d %s, freed %d\n", t->r.end, t->r.why, (int)t->r.freed);
    assert_int_equal(wrong, 0);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_int_equal(t->r.freed, 0);
}

/* ---- calls that plans are made of ------------------------------------------------------------ */

static void opens(struct scene *t, uint32_t actor, const char *path, int flags, int64_t ret)
{
    struct kymo_icall *c = planbuild_call(t->b, actor, SYS_openat, ret, IMM(AT_FDCWD),
                                          TEXT(t->b, path), IMM(flags), IMM(0644));
    c->out = KYMO_OUT_FD;
    c->other = ret >= 0 ? (uint32_t)ret : 0;
}

static void closes(struct scene *t, uint32_t actor, uint32_t fd)
{
    struct kymo_icall *c = planbuild_call(t->b, actor, SYS_close, 0, FD(fd));
    c->out = KYMO_OUT_CLOSE;
    c->other = fd;
}

static void reads(struct scene *t, uint32_t actor, uint32_t fd, uint32_t n, int64_t ret)
{
    planbuild_call(t->b, actor, SYS_read, ret, FD(fd), SINK(0), IMM(n))->flags =
        ret >= 0 ? KYMO_ICALL_BYTES : 0;
}

static void writes(struct scene *t, uint32_t actor, uint32_t fd, uint32_t n, int64_t ret)
{
    planbuild_call(t->b, actor, SYS_write, ret, FD(fd), PATTERN(0), IMM(n))->flags =
        ret >= 0 ? KYMO_ICALL_BYTES : 0;
}

static void exits(struct scene *t, uint32_t actor, int code)
{
    planbuild_call(t->b, actor, SYS_exit_group, 0, IMM(code))->how = KYMO_HOW_EXIT;
}

/* nr makes a process, a child of p; its leader. */
static uint32_t forks(struct scene *t, uint32_t p, uint32_t actor, long nr, uint64_t flags)
{
    const uint32_t child = planbuild_process(t->b, p, 0);
    struct kymo_icall *c = planbuild_call(t->b, actor, nr, 1234, IMM(flags));

    c->how = KYMO_HOW_FORK;
    c->other = child;
    return planbuild_leader(t->b, child);
}

static uint32_t threads(struct scene *t, uint32_t p, uint32_t actor, long nr)
{
    const uint32_t thread = planbuild_thread(t->b, p, 0);
    struct kymo_icall *c = planbuild_call(t->b, actor, nr, 1234, IMM(0));

    c->how = KYMO_HOW_THREAD;
    c->other = thread;
    return thread;
}

static void execs(struct scene *t, uint32_t actor, const char *name)
{
    struct kymo_icall *c =
        planbuild_call(t->b, actor, SYS_execve, 0, TEXT(t->b, "/bin/x"), IMM(0), IMM(0));
    c->how = KYMO_HOW_EXEC;
    c->text = planbuild_text(t->b, name);
}

static void waits(struct scene *t, uint32_t actor, uint64_t flags, int64_t ret)
{
    planbuild_call(t->b, actor, SYS_wait4, ret, IMM(-1), SINK(0), IMM(flags), IMM(0));
}

static void file(struct scene *t, const char *path, uint32_t kind, uint32_t mode,
                 uint64_t bytes)
{
    planbuild_node(t->b, (struct kymo_inode){.path = planbuild_text(t->b, path),
                                             .kind = kind,
                                             .mode = mode,
                                             .size_bytes = bytes});
}

static uint32_t address(struct scene *t, const char *ip, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    unsigned q[4];

    assert_int_equal(sscanf(ip, "%u.%u.%u.%u", &q[0], &q[1], &q[2], &q[3]), 4);
    a.sin_addr.s_addr = htonl(q[0] << 24 | q[1] << 16 | q[2] << 8 | q[3]);
    return planbuild_address(t->b, &a, sizeof(a));
}

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

/* ---- pipes and sockets ----------------------------------------------------------------------- */

static void a_pipe_of_the_start_joins_two_processes(void **state)
{
    struct scene *t = *state;
    const uint32_t q = planbuild_process(t->b, KYMO_NONE, 1), b = planbuild_leader(t->b, q);
    const uint32_t in =
        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_PIPE, .pair = 1});
    const uint32_t out = planbuild_object(
        t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_PIPE, .pair = 0, .flags = O_WRONLY});

    planbuild_start(t->b, t->p, 0, in);
    planbuild_start(t->b, q, 1, out);
    reads(t, t->a, 0, 100, 50);
    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    writes(t, b, 1, 50, 50);
    planbuild_after(t->b, b, t->a, 0 | KYMO_DEP_BEGUN);
    closes(t, b, 1);
    reads(t, t->a, 0, 100, 0);
    as_planned(t);
}

static void a_reader_that_does_not_wait_is_told_so(void **state)
{
    struct scene *t = *state;
    struct kymo_icall *c =
        planbuild_call(t->b, t->a, SYS_pipe2, 0, ARG(PAIR, 0), IMM(O_NONBLOCK));

    c->out = KYMO_OUT_PAIR;
    c->other = 0;
    c->other2 = 1;
    reads(t, t->a, 0, 10, -EAGAIN);
    writes(t, t->a, 1, 10, 10);
    reads(t, t->a, 0, 10, 10);
    closes(t, t->a, 0);
    /* the writer lives: what the recorded program did with SIGPIPE before is not known */
    writes(t, t->a, 1, 10, -EPIPE);
    closes(t, t->a, 1);
    as_planned(t);
}

static void an_actor_talks_to_a_peer(void **state)
{
    struct scene *t = *state;
    const uint32_t peer = address(t, "93.184.216.34", 80);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct kymo_icall *c;

    to.sin_addr.s_addr = htonl(0x5db8d822);
    const uint32_t server =
        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_LISTEN,
                                                     .is_environment = 1,
                                                     .family = AF_INET,
                                                     .pair = KYMO_NONE,
                                                     .local = peer});
    const uint32_t served =
        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_STREAM,
                                                     .is_environment = 1,
                                                     .family = AF_INET,
                                                     .pair = KYMO_NONE});
    c = planbuild_call(t->b, t->a, SYS_socket, 0, IMM(AF_INET), IMM(SOCK_STREAM), IMM(0));
    c->out = KYMO_OUT_FD;
    planbuild_call(t->b, t->a, SYS_connect, 0, FD(0),
                   ARG(BLOB, planbuild_blob(t->b, &to, sizeof(to))), IMM(sizeof(to)));
    planbuild_act(
        t->b, (struct kymo_iact){.kind = KYMO_ACT_ACCEPT, .object = served, .other = server},
        t->a, 1);
    planbuild_call(t->b, t->a, SYS_sendto, 1000, FD(0), PATTERN(0), IMM(1000), IMM(0), IMM(0),
                   IMM(0));
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_RECV, .object = served, .n = 1000},
                  t->a, 2);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_SEND, .object = served, .n = 500},
                  KYMO_NONE, 0);
    reads(t, t->a, 0, 4096, 500);
    planbuild_after(t->b, t->a, 0, 2);
    /* more than buffers hold: it goes out as the actor reads */
    planbuild_act(t->b,
                  (struct kymo_iact){.kind = KYMO_ACT_SEND, .object = served, .n = 30000000},
                  t->a, 3);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_CLOSE, .object = served}, KYMO_NONE,
                  0);
    planbuild_call(t->b, t->a, SYS_recvfrom, 30000000, FD(0), SINK(0), IMM(30000000),
                   IMM(MSG_WAITALL), IMM(0), IMM(0))
        ->flags = KYMO_ICALL_BYTES;
    reads(t, t->a, 0, 4096, 0);
    as_planned(t);
}

/* What a listener on this host gets, it sends back; its port. */
static uint16_t echoes(pid_t *pid)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof(a);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char part[4096];
    ssize_t got;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    *pid = fork();
    if (*pid == 0) {
        alarm(30);
        const int fd = accept(listener, NULL, NULL);
        while ((got = read(fd, part, sizeof(part))) > 0)
            if (write(fd, part, (size_t)got) != got)
                break;
        _exit(0);
    }
    close(listener);
    return ntohs(a.sin_port);
}

static void connects_out(struct scene *t)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct kymo_icall *c;

    to.sin_addr.s_addr = htonl(0x5db8d822);
    planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_LISTEN,
                                                 .is_environment = 1,
                                                 .family = AF_INET,
                                                 .flags = KYMO_OBJECT_TO_TARGET,
                                                 .pair = KYMO_NONE,
                                                 .local = address(t, "93.184.216.34", 80)});
    c = planbuild_call(t->b, t->a, SYS_socket, 0, IMM(AF_INET), IMM(SOCK_STREAM), IMM(0));
    c->out = KYMO_OUT_FD;
    planbuild_call(t->b, t->a, SYS_connect, 0, FD(0),
                   ARG(BLOB, planbuild_blob(t->b, &to, sizeof(to))), IMM(sizeof(to)));
}

static void a_connection_that_may_leave_meets_the_target(void **state)
{
    struct scene *t = *state;
    char target[64];
    pid_t pid;

    connects_out(t);
    writes(t, t->a, 0, 1000000, 1000000);
    planbuild_call(t->b, t->a, SYS_recvfrom, 1000000, FD(0), SINK(0), IMM(1000000),
                   IMM(MSG_WAITALL), IMM(0), IMM(0))
        ->flags = KYMO_ICALL_BYTES;
    planbuild_call(t->b, t->a, SYS_shutdown, 0, FD(0), IMM(SHUT_WR));
    reads(t, t->a, 0, 100, 0);
    snprintf(target, sizeof(target), "127.0.0.1:%u", echoes(&pid));
    t->o.target = target;
    if (!no_sandbox)
        as_planned(t);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (no_sandbox)
        skip();
}

static void without_a_target_nothing_leaves(void **state)
{
    struct scene *t = *state;

    connects_out(t);
    reads(t, t->a, 0, 100, -ECONNRESET);
    as_planned(t);
}

static void a_target_is_a_host_and_a_port(void **state)
{
    struct scene *t = *state;
    struct kymo_err err = {0};
    static const char *const wrong[] = {"", "host", ":80", "host:", "127.0.0.1"};

    for (size_t i = 0; i < KYMO_COUNT_OF(wrong); i++) {
        t->o.target = wrong[i];
        assert_int_equal(kymo_stage_run(planbuild_image(t->b), &t->o, &t->r, &err),
                         KYMO_EUSAGE);
    }
}

static void a_peer_talks_to_an_actor(void **state)
{
    struct scene *t = *state;
    const uint32_t server = address(t, "10.1.2.3", 6379);
    const uint32_t listener = planbuild_object(
        t->b,
        (struct kymo_iobject){
            .kind = KYMO_OBJECT_LISTEN, .family = AF_INET, .pair = KYMO_NONE, .local = server});
    const uint32_t client =
        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_STREAM,
                                                     .is_environment = 1,
                                                     .family = AF_INET,
                                                     .pair = KYMO_NONE,
                                                     .local = address(t, "10.9.9.9", 40001),
                                                     .peer = server});
    struct kymo_icall *c;

    planbuild_start(t->b, t->p, 0, listener);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_CONNECT, .object = client},
                  KYMO_NONE, 0);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_SEND, .object = client, .n = 64},
                  KYMO_NONE, 0);
    c = planbuild_call(t->b, t->a, SYS_accept4, 4, FD(0), IMM(0), IMM(0), IMM(0));
    c->out = KYMO_OUT_FD;
    c->other = 4;
    reads(t, t->a, 4, 4096, 64);
    planbuild_after(t->b, t->a, 0, 1);
    writes(t, t->a, 4, 100000, 100000);
    planbuild_act(t->b,
                  (struct kymo_iact){.kind = KYMO_ACT_RECV, .object = client, .n = 100000},
                  t->a, 2);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_RESET, .object = client}, KYMO_NONE,
                  0);
    reads(t, t->a, 4, 4096, -ECONNRESET);
    planbuild_after(t->b, t->a, 0, 3);
    as_planned(t);
}

static void a_connection_of_the_start_is_watched_by_epoll(void **state)
{
    struct scene *t = *state;
    const uint32_t watch[4] = {1, t->p, 5, EPOLLIN};
    const uint32_t stream =
        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_STREAM,
                                                     .family = AF_INET,
                                                     .pair = 1,
                                                     .local = address(t, "10.0.0.1", 5432),
                                                     .peer = address(t, "10.0.0.2", 50000)});
    const uint32_t peer = planbuild_object(
        t->b,
        (struct kymo_iobject){
            .kind = KYMO_OBJECT_STREAM, .is_environment = 1, .family = AF_INET, .pair = 0});
    const uint32_t epoll = planbuild_object(
        t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_EPOLL,
                                    .pair = KYMO_NONE,
                                    .watch = planbuild_blob(t->b, watch, sizeof(watch))});
    const uint32_t listener =
        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_LISTEN,
                                                     .family = AF_INET,
                                                     .pair = KYMO_NONE,
                                                     .local = address(t, "10.0.0.1", 5432)});

    planbuild_start(t->b, t->p, 5, stream);
    planbuild_start(t->b, t->p, 6, epoll);
    planbuild_start(t->b, t->p, 7, listener);
    planbuild_call(t->b, t->a, SYS_epoll_pwait, 0, FD(6), SINK(0), IMM(16), ARG(WAIT_MS, 5),
                   IMM(0), IMM(8));
    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_epoll_pwait, 1, FD(6), SINK(0),
                                          IMM(16), ARG(WAIT_MS, -1), IMM(0), IMM(8));
    c->flags = KYMO_ICALL_BLOCKS;
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_SEND, .object = peer, .n = 7}, t->a,
                  1 | KYMO_DEP_BEGUN);
    reads(t, t->a, 5, 100, 7);
    planbuild_call(t->b, t->a, SYS_epoll_ctl, 0, FD(6), IMM(EPOLL_CTL_DEL), FD(5), IMM(0));
    as_planned(t);
}

static void the_environment_makes_and_removes_files(void **state)
{
    struct scene *t = *state;
    file(t, "/d", KYMO_NODE_DIR, 0755, 0);
    const uint32_t node =
        planbuild_node(t->b, (struct kymo_inode){.path = planbuild_text(t->b, "/d/f"),
                                                 .kind = KYMO_NODE_FILE,
                                                 .mode = 0644,
                                                 .size_bytes = 12});

    opens(t, t->a, "/d/f", O_RDONLY, -ENOENT);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_TREE, .other = node, .n = 0}, t->a,
                  0);
    opens(t, t->a, "/d/f", O_RDONLY, 0);
    planbuild_after(t->b, t->a, 0, 0);
    reads(t, t->a, 0, 100, 12);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_TREE, .other = node, .n = 1}, t->a,
                  1);
    opens(t, t->a, "/d/f", O_RDONLY, -ENOENT);
    planbuild_after(t->b, t->a, 0, 1);
    as_planned(t);
}

static void a_signal_from_outside_ends_an_actor(void **state)
{
    struct scene *t = *state;
    const uint32_t child = forks(t, t->p, t->a, SYS_clone, SIGCHLD);
    struct kymo_icall *c = planbuild_call(t->b, child, SYS_ppoll, 0, IMM(0), IMM(0),
                                          ARG(WAIT, UINT64_MAX), IMM(0), IMM(8));
    c->flags = KYMO_ICALL_BLOCKS;
    c->why = KYMO_WHY_UNFINISHED;
    planbuild_act(t->b,
                  (struct kymo_iact){.kind = KYMO_ACT_SIGNAL, .other = child, .n = SIGTERM},
                  child, 0 | KYMO_DEP_BEGUN);
    waits(t, t->a, 0, 1234);
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_true(got(t, t->a, 1) > 0);
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

static int look_for_sandbox(void **state)
{
    struct scene *t;
    struct kymo_err err = {0};

    set_scene((void **)&t);
    const kymo_status e = kymo_stage_run(planbuild_image(t->b), &t->o, &t->r, &err);
    no_sandbox = e == KYMO_EHOST && strstr(err.text, "no sandbox here") != NULL;
    snprintf(no_sandbox_why, sizeof(no_sandbox_why), "%s", err.text);
    clear_scene((void **)&t);
    (void)state;
    return 0;
}

#define PLAYED(f) cmocka_unit_test_setup_teardown(f, set_scene, clear_scene)

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
        PLAYED(a_pipe_of_the_start_joins_two_processes),
        PLAYED(a_reader_that_does_not_wait_is_told_so),
        PLAYED(an_actor_talks_to_a_peer),
        PLAYED(a_connection_that_may_leave_meets_the_target),
        PLAYED(without_a_target_nothing_leaves),
        PLAYED(a_target_is_a_host_and_a_port),
        PLAYED(a_peer_talks_to_an_actor),
        PLAYED(a_connection_of_the_start_is_watched_by_epoll),
        PLAYED(the_environment_makes_and_removes_files),
        PLAYED(a_signal_from_outside_ends_an_actor),
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
