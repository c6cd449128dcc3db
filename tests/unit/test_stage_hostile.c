/* SPDX-License-Identifier: Apache-2.0
 * test_stage_hostile.c: plans that nobody recorded. Budgets hold, nothing gets out, nobody stays behind, whatever
 * ends whom.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/rng.h"
#include "format/base/size.h"
#include "replay/stage/stage.h"
#include "tests/lib/planbuild.h"

#define MIB 1048576u

struct scene {
    struct planbuild *b;
    uint32_t p, a;
    struct kymo_stage_opts o;
    struct kymo_stage_result r;
    char mounts[65536]; /* before */
};

static int no_sandbox;
static char no_sandbox_why[512], mark[64];

static void read_mounts(char *to, size_t n)
{
    const int fd = open("/proc/self/mountinfo", O_RDONLY);
    size_t at = 0;
    ssize_t got;

    while (at < n - 1 && (got = read(fd, to + at, n - 1 - at)) > 0)
        at += (size_t)got;
    to[at] = 0;
    close(fd);
}

static int set_scene(void **state)
{
    struct scene *t = calloc(1, sizeof(*t));

    t->b = planbuild_new();
    t->p = planbuild_process(t->b, KYMO_NONE, 1);
    t->a = planbuild_leader(t->b, t->p);
    t->o.time_ns = 20000000000u;
    read_mounts(t->mounts, sizeof(t->mounts));
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

/* No child of ours lives, and nothing is mounted that was not. */
static void nothing_is_left(struct scene *t)
{
    static char now[sizeof(t->mounts)];

    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    read_mounts(now, sizeof(now));
    assert_string_equal(now, t->mounts);
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
    nothing_is_left(t);
}

static const struct kymo_outcome *at(const struct scene *t, uint32_t actor, uint32_t call)
{
    return &t->r.outcome[planbuild_index(t->b, actor, call)];
}

static void sleeps(struct scene *t, uint32_t actor, uint64_t ns)
{
    planbuild_call(t->b, actor, SYS_nanosleep, 0, ARG(WAIT, ns), IMM(0))->dur_ns = ns;
}

static uint32_t forks(struct scene *t, uint32_t p, uint32_t actor)
{
    const uint32_t child = planbuild_process(t->b, p, 0);
    struct kymo_icall *c = planbuild_call(t->b, actor, SYS_clone, 1234, IMM(SIGCHLD));

    c->how = KYMO_HOW_FORK;
    c->other = child;
    return planbuild_leader(t->b, child);
}

/* ---- budgets --------------------------------------------------------------------------------- */

static void the_time_ends_it(void **state)
{
    struct scene *t = *state;

    sleeps(t, t->a, 100000000000u);
    t->o.pace = 1;
    t->o.time_ns = 300000000;
    play(t);
    assert_int_equal(t->r.end, KYMO_END_TIME);
    assert_true(at(t, t->a, 0)->enter_ns > 0);
    assert_true(at(t, t->a, 0)->exit_ns == 0);
}

static void the_memory_ends_it(void **state)
{
    struct scene *t = *state;

    for (int i = 0; i < 4; i++) {
        const uint32_t child = forks(t, t->p, t->a);
        planbuild_call(t->b, child, SYS_mmap, 1, IMM(0), IMM(40 * MIB),
                       IMM(PROT_READ | PROT_WRITE),
                       IMM(MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE), IMM(-1), IMM(0));
        sleeps(t, child, 10000000000u);
    }
    sleeps(t, t->a, 10000000000u);
    t->o.pace = 1;
    t->o.memory_bytes = 100 * MIB;
    play(t);
    assert_int_equal(t->r.end, KYMO_END_MEMORY);
}

static void one_process_alone_cannot_take_more_memory(void **state)
{
    struct scene *t = *state;

    planbuild_call(t->b, t->a, SYS_mmap, -ENOMEM, IMM(0), IMM(400 * MIB),
                   IMM(PROT_READ | PROT_WRITE), IMM(MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE),
                   IMM(-1), IMM(0));
    t->o.memory_bytes = 100 * MIB;
    play(t);
    assert_int_equal(at(t, t->a, 0)->ret, -ENOMEM);
    assert_int_equal(t->r.end, KYMO_END_DONE);
}

static void memory_files_count(void **state)
{
    struct scene *t = *state;

    for (uint32_t i = 0; i < 4; i++) {
        struct kymo_icall *c =
            planbuild_call(t->b, t->a, SYS_memfd_create, i, TEXT(t->b, "x"), IMM(0));
        c->out = KYMO_OUT_FD;
        c->other = i;
        planbuild_call(t->b, t->a, SYS_fallocate, 0, FD(i), IMM(0), IMM(0), IMM(60 * MIB));
    }
    sleeps(t, t->a, 5000000000u);
    t->o.pace = 1;
    t->o.memory_bytes = 100 * MIB;
    t->o.disk_bytes = MIB;
    play(t);
    assert_int_equal(t->r.end, KYMO_END_MEMORY);
}

static void the_disk_ends_it(void **state)
{
    struct scene *t = *state;

    planbuild_call(t->b, t->a, SYS_openat, 0, IMM(AT_FDCWD), TEXT(t->b, "/x"),
                   IMM(O_RDWR | O_CREAT), IMM(0600));
    for (int i = 0; i < 6; i++)
        planbuild_call(t->b, t->a, SYS_write, MIB, FD(0), PATTERN(0), IMM(MIB));
    sleeps(t, t->a, 10000000000u);
    t->o.pace = 1;
    t->o.disk_bytes = 4 * MIB;
    play(t);
    assert_int_equal(at(t, t->a, 6)->ret, -ENOSPC);
    assert_int_equal(t->r.end, KYMO_END_DISK);
}

static void the_processor_ends_it(void **state)
{
    struct scene *t = *state;

    planbuild_node(t->b, (struct kymo_inode){.path = planbuild_text(t->b, "/hole"),
                                             .kind = KYMO_NODE_FILE,
                                             .mode = 0644,
                                             .size_bytes = 64 * MIB});
    planbuild_call(t->b, t->a, SYS_openat, 0, IMM(AT_FDCWD), TEXT(t->b, "/hole"), IMM(O_RDONLY),
                   IMM(0));
    for (int i = 0; i < 3000; i++)
        planbuild_call(t->b, t->a, SYS_pread64, 0, FD(0), SINK(0), IMM(32 * MIB), IMM(0));
    t->o.cpu_ns = 200000000;
    play(t);
    assert_int_equal(t->r.end, KYMO_END_CPU);
    assert_true(t->r.cpu_ns > 100000000);
}

static void a_plan_of_too_many_is_refused(void **state)
{
    struct scene *t = *state;
    struct kymo_err err = {0};

    for (int i = 0; i < 10; i++)
        planbuild_process(t->b, KYMO_NONE, 1);
    t->o.processes_max = 5;
    assert_int_equal(kymo_stage_run(planbuild_image(t->b), &t->o, &t->r, &err), KYMO_ELIMIT);
    assert_non_null(strstr(err.text, "11 processes"));
    assert_null(t->r.outcome);
}

static void a_call_that_would_last_forever_is_let_go(void **state)
{
    struct scene *t = *state;
    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_pipe2, 0, ARG(PAIR, 0), IMM(0));

    c->out = KYMO_OUT_PAIR;
    c->other2 = 1;
    planbuild_call(t->b, t->a, SYS_read, 10, FD(0), SINK(0), IMM(10));
    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_int_equal(t->r.freed, 1);
    assert_int_equal(at(t, t->a, 1)->ret, -EINTR);
    assert_true(at(t, t->a, 2)->ret > 0);
}

static void two_that_wait_for_each_other_are_let_go(void **state)
{
    struct scene *t = *state;
    const uint32_t b = planbuild_leader(t->b, planbuild_process(t->b, KYMO_NONE, 1));

    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    planbuild_after(t->b, t->a, b, 0);
    planbuild_call(t->b, b, SYS_getpid, 1, IMM(0));
    planbuild_after(t->b, b, t->a, 0);
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_true(t->r.freed >= 1);
    assert_true(at(t, t->a, 0)->ret > 0 && at(t, b, 0)->ret > 0);
}

static void a_process_that_never_comes_holds_nobody_up(void **state)
{
    struct scene *t = *state;
    const uint32_t child = planbuild_process(t->b, t->p, 0);

    /* Nobody makes it. */
    planbuild_call(t->b, planbuild_leader(t->b, child), SYS_getpid, 1, IMM(0));
    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    planbuild_after(t->b, t->a, planbuild_leader(t->b, child), 0);
    play(t);
    assert_true(at(t, t->a, 0)->ret > 0);
    assert_int_equal(at(t, planbuild_leader(t->b, child), 0)->enter_ns, 0);
}

static void a_thread_of_a_process_that_is_not_there_holds_nobody_up(void **state)
{
    struct scene *t = *state;
    const uint32_t child = forks(t, t->p, t->a);
    const uint32_t lone = planbuild_process(t->b, t->p, 0);
    /* There at the start, they say, of processes that are made later or never. */
    const uint32_t early = planbuild_thread(t->b, planbuild_actor_at(t->b, child)->process, 1);
    const uint32_t never = planbuild_thread(t->b, lone, 1);

    planbuild_call(t->b, child, SYS_getpid, 1, IMM(0));
    planbuild_call(t->b, early, SYS_getpid, 1, IMM(0));
    planbuild_call(t->b, never, SYS_getpid, 1, IMM(0));
    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    planbuild_after(t->b, t->a, early, 0);
    t->o.time_ns = 4000000000u;
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_int_equal(t->r.freed, 0);
    assert_true(at(t, child, 0)->ret > 0 && at(t, t->a, 1)->ret > 0);
    assert_int_equal(at(t, early, 0)->enter_ns, 0);
    assert_int_equal(at(t, never, 0)->enter_ns, 0);
}

static void a_task_is_made_as_a_task_or_not_at_all(void **state)
{
    struct scene *t = *state;
    struct kymo_err err = {0};

    planbuild_call(t->b, t->a, SYS_clone, 1234, IMM(SIGCHLD));
    if (no_sandbox)
        skip();
    assert_int_equal(kymo_stage_run(planbuild_image(t->b), &t->o, &t->r, &err), KYMO_EINPUT);
    assert_non_null(strstr(err.text, "makes or ends a task"));
    nothing_is_left(t);
}

/* ---- the outside ----------------------------------------------------------------------------- */

static void creates(struct scene *t, const char *path)
{
    planbuild_call(t->b, t->a, SYS_openat, 0, IMM(AT_FDCWD), TEXT(t->b, path),
                   IMM(O_RDWR | O_CREAT), IMM(0644));
}

static void has_node(struct scene *t, const char *path, uint32_t kind, const char *target)
{
    planbuild_node(t->b,
                   (struct kymo_inode){.path = planbuild_text(t->b, path),
                                       .target = target ? planbuild_text(t->b, target) : 0,
                                       .kind = kind,
                                       .mode = 0777,
                                       .size_bytes = 10});
}

static int is_outside(const char *folder)
{
    char path[512];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", folder, mark);
    return lstat(path, &st) == 0;
}

static void paths_lead_nowhere_else(void **state)
{
    struct scene *t = *state;
    static const char *const escapes[] = {"/..", "/../..", "/../../../../../..",
                                          "/./../tmp/../..", "/d/../../.."};
    char path[512], longest[8192];

    has_node(t, "/d", KYMO_NODE_DIR, NULL);
    has_node(t, "/up", KYMO_NODE_LINK, "../../../../../..");
    has_node(t, "/top", KYMO_NODE_LINK, "/");
    has_node(t, "/loop", KYMO_NODE_LINK, "/loop");
    has_node(t, "/proc1", KYMO_NODE_LINK, "/proc/1/root");
    for (size_t i = 0; i < KYMO_COUNT_OF(escapes); i++) {
        snprintf(path, sizeof(path), "%s/tmp/%s", escapes[i], mark);
        has_node(t, path, KYMO_NODE_FILE, NULL);
        creates(t, path);
        snprintf(path, sizeof(path), "%s/%s", escapes[i], mark);
        has_node(t, path, KYMO_NODE_FILE, NULL);
        creates(t, path);
    }
    for (const char *const *p = (const char *const[]){"/up", "/top", "/loop", "/proc1", NULL};
         *p; p++) {
        snprintf(path, sizeof(path), "%s/tmp/%s", *p, mark);
        has_node(t, path, KYMO_NODE_FILE, NULL);
        creates(t, path);
    }
    memset(longest, 'x', sizeof(longest) - 1);
    longest[0] = '/';
    longest[sizeof(longest) - 1] = 0;
    has_node(t, longest, KYMO_NODE_FILE, NULL);
    has_node(t, "", KYMO_NODE_FILE, NULL);
    has_node(t, "/", KYMO_NODE_FILE, NULL);
    has_node(t, "relative", KYMO_NODE_FILE, NULL);
    has_node(t, "/.kymo/control", KYMO_NODE_FILE, NULL);
    has_node(t, "/d/..", KYMO_NODE_DIR, NULL);
    creates(t, longest);
    creates(t, "");
    planbuild_call(t->b, t->a, SYS_chdir, 0, TEXT(t->b, "../../.."));
    creates(t, mark);
    planbuild_call(t->b, t->a, SYS_chroot, 0, TEXT(t->b, "/d"));
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_false(is_outside("/tmp"));
    assert_false(is_outside("/"));
    assert_false(is_outside("."));
    assert_int_equal(at(t, t->a, 0)->ret, -ENOENT); /* no /tmp in there */
    assert_true(at(t, t->a, 1)->ret >= 0);
}

static void a_given_root_keeps_what_is_written_and_no_more(void **state)
{
    struct scene *t = *state;
    char root[] = "/tmp/kymo-root-XXXXXX", path[64];
    struct stat st;

    assert_non_null(mkdtemp(root));
    assert_int_equal(chmod(root, 0777), 0);
    creates(t, "/made");
    has_node(t, "/node", KYMO_NODE_FILE, NULL);
    t->o.root = root;
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    snprintf(path, sizeof(path), "%s/made", root);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/node", root);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(root), 0);
    free(t->r.outcome);
    t->r.outcome = NULL;
    struct kymo_err err = {0};
    assert_int_equal(kymo_stage_run(planbuild_image(t->b), &t->o, &t->r, &err), KYMO_EINPUT);
}

static void descriptors_end_at_the_limit(void **state)
{
    struct scene *t = *state;
    int64_t most = 0;

    creates(t, "/x");
    for (int i = 0; i < 3000; i++)
        planbuild_call(t->b, t->a, SYS_dup, 1, FD(0));
    planbuild_call(t->b, t->a, SYS_dup3, -EBADF, FD(0), IMM(0x7fffffff), IMM(0));
    planbuild_call(t->b, t->a, SYS_fcntl, -EINVAL, FD(0), IMM(F_DUPFD), IMM(0x7ffffff0));
    planbuild_call(t->b, t->a, SYS_close, -EBADF, FD(~0ull));
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    for (uint32_t i = 1; i <= 3000; i++)
        most = at(t, t->a, i)->ret > most ? at(t, t->a, i)->ret : most;
    assert_true(most < 300);
    assert_int_equal(at(t, t->a, 3000)->ret, -EMFILE);
}

static void sizes_beyond_all_bounds_are_refused(void **state)
{
    struct scene *t = *state;
    static const uint64_t sizes[] = {1ull << 63, UINT64_MAX, (1ull << 63) - 1, 1ull << 47,
                                     1ull << 40};

    creates(t, "/x");
    for (size_t i = 0; i < KYMO_COUNT_OF(sizes); i++) {
        planbuild_call(t->b, t->a, SYS_read, 0, FD(0), SINK(0), IMM(sizes[i]));
        planbuild_call(t->b, t->a, SYS_write, 0, FD(0), PATTERN(0), IMM(sizes[i]));
        planbuild_call(t->b, t->a, SYS_ftruncate, 0, FD(0), IMM(sizes[i]));
        planbuild_call(t->b, t->a, SYS_fallocate, 0, FD(0), IMM(0), IMM(0), IMM(sizes[i]));
        planbuild_call(t->b, t->a, SYS_mmap, 0, IMM(0), IMM(sizes[i]), IMM(3),
                       IMM(MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE), IMM(-1), IMM(0));
        planbuild_call(t->b, t->a, SYS_brk, 0, ARG(BREAK, sizes[i]));
        planbuild_call(t->b, t->a, SYS_ppoll, 0, ARG(POLL, sizes[i]), IMM(sizes[i]),
                       ARG(WAIT, sizes[i] >> 1), IMM(0), IMM(8));
        planbuild_call(t->b, t->a, SYS_writev, 0, FD(0), ARG(COPY, 65535), IMM(1024));
    }
    t->o.disk_bytes = 64 * MIB;
    t->o.memory_bytes = 512 * MIB;
    t->o.time_ns = 3000000000u;
    play(t);
}

static void who_kills_all_kills_nobody_outside(void **state)
{
    struct scene *t = *state;

    for (int i = 0; i < 3; i++)
        sleeps(t, forks(t, t->p, t->a), 10000000000u);
    planbuild_call(t->b, t->a, SYS_kill, 0, IMM(-1), IMM(SIGKILL));
    planbuild_call(t->b, t->a, SYS_kill, 0, IMM(0), IMM(SIGKILL));
    t->o.pace = 1;
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_int_equal(at(t, t->a, 3)->ret, 0);
}

static void who_destroys_the_account_harms_itself(void **state)
{
    struct scene *t = *state;

    planbuild_call(t->b, t->a, SYS_truncate, 0, TEXT(t->b, "/.kymo/control"), IMM(0));
    sleeps(t, t->a, 1000000000u);
    t->o.pace = 1;
    play(t);
    assert_int_equal(t->r.end, KYMO_END_BROKEN);
}

/* Any call with anything: addresses of the stage's own memory among it. */
static void random_plan(struct scene *t, struct kymo_rng *rng)
{
    static const uint64_t odd[] = {0,
                                   1,
                                   2,
                                   3,
                                   63,
                                   4096,
                                   0xffffffff,
                                   UINT64_MAX,
                                   1ull << 63,
                                   KYMO_STAGE_LOW,
                                   KYMO_IMAGE_BASE,
                                   KYMO_CONTROL_BASE,
                                   KYMO_WORDS_BASE,
                                   KYMO_SINK_BASE,
                                   KYMO_LANE_BASE + 0xff000,
                                   KYMO_STAGE_INJECT,
                                   KYMO_CONTROL_BASE + 4096,
                                   0x10,
                                   0x3032};
    const int n = 60 + (int)kymo_rng_below(rng, 60);

    for (int i = 0; i < n; i++) {
        long nr = (long)kymo_rng_below(rng, 460);
        struct planbuild_arg arg[6];
        switch (nr) {
        case SYS_clone:
        case SYS_clone3:
        case SYS_execve:
        case SYS_execveat:
        case SYS_exit:
        case SYS_exit_group:
        case SYS_rt_sigreturn:
#ifdef SYS_fork
        case SYS_fork:
        case SYS_vfork:
        case SYS_pause:
#endif
            nr = SYS_getpid;
            break;
        default:
            break;
        }
        for (int k = 0; k < 6; k++) {
            arg[k].kind = (uint8_t)kymo_rng_below(rng, KYMO_ARG_COUNT);
            if (kymo_rng_below(rng, 2))
                arg[k].kind = KYMO_ARG_IMM;
            arg[k].v = odd[kymo_rng_below(rng, KYMO_COUNT_OF(odd))];
        }
        struct kymo_icall *c = planbuild_call_n(t->b, t->a, nr, 0, arg, 6);
        c->how = kymo_rng_below(rng, 8) ? KYMO_HOW_ISSUE : KYMO_HOW_INJECT;
        c->ret = (int64_t)kymo_rng_below(rng, 3) - 1;
        c->out = (uint8_t)kymo_rng_below(rng, 5);
        c->other = (uint32_t)kymo_rng_below(rng, 100);
        c->flags = (uint8_t)kymo_rng_below(rng, 4);
    }
}

static void any_call_with_anything_stays_inside(void **state)
{
    struct scene *t = *state;
    const char *wanted = getenv("KYMO_HOSTILE");
    const int n = wanted ? atoi(wanted) : getenv("KYMO_LONG") ? 1000 : 6;
    struct kymo_rng rng;

    kymo_rng_init(&rng, 1);
    for (int i = 0; i < n; i++) {
        random_plan(t, &rng);
        t->o.time_ns = 500000000;
        t->o.memory_bytes = 256 * MIB;
        t->o.disk_bytes = 16 * MIB;
        play(t);
        planbuild_free(t->b);
        free(t->r.outcome);
        t->r.outcome = NULL;
        t->b = planbuild_new();
        t->p = planbuild_process(t->b, KYMO_NONE, 1);
        t->a = planbuild_leader(t->b, t->p);
    }
}

/* ---- who is ended ---------------------------------------------------------------------------- */

static kymo_status says_ready(void *arg, pid_t leader, struct kymo_err *err)
{
    (void)err;
    return write(*(int *)arg, &leader, sizeof(leader)) == sizeof(leader) ? KYMO_OK : KYMO_EHOST;
}

static void many_sleepers(struct scene *t)
{
    for (int i = 0; i < 5; i++) {
        const uint32_t child = forks(t, t->p, t->a);
        sleeps(t, forks(t, planbuild_actor_at(t->b, child)->process, child), 20000000000u);
        sleeps(t, child, 20000000000u);
    }
    sleeps(t, t->a, 20000000000u);
    t->o.pace = 1;
}

/* Run it in a child of ours, end that with a signal after a while; the descendants that it leaves are ours then. */
static int end_runner(struct scene *t, int signal_nr, unsigned after_us)
{
    int ready[2], status = 0;

    assert_int_equal(pipe(ready), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct kymo_err err = {0};
        close(ready[0]);
        t->o.ready = says_ready;
        t->o.ready_arg = &ready[1];
        const kymo_status e = kymo_stage_run(planbuild_image(t->b), &t->o, &t->r, &err);
        _exit(e == KYMO_ESTOPPED ? 42 : 1);
    }
    close(ready[1]);
    if (signal_nr != SIGKILL) {
        pid_t leader;
        assert_int_equal(read(ready[0], &leader, sizeof(leader)), sizeof(leader));
    }
    usleep(after_us);
    kill(pid, signal_nr);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (int i = 0; i < 500; i++) {
        if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
            break;
        usleep(10000);
    }
    close(ready[0]);
    nothing_is_left(t);
    return status;
}

static void a_runner_that_is_killed_leaves_nothing(void **state)
{
    struct scene *t = *state;
    const char *wanted = getenv("KYMO_KILLS");
    const int n = wanted ? atoi(wanted) : 6;
    struct kymo_rng rng;

    if (no_sandbox)
        skip();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    many_sleepers(t);
    planbuild_image(t->b);
    kymo_rng_init(&rng, 3);
    for (int i = 0; i < n; i++) {
        const int status = end_runner(t, SIGKILL, (unsigned)kymo_rng_below(&rng, 60000));
        assert_true(WIFSIGNALED(status));
    }
}

static void a_runner_that_is_asked_to_stop_stops(void **state)
{
    struct scene *t = *state;

    if (no_sandbox)
        skip();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    many_sleepers(t);
    planbuild_image(t->b);
    const int status = end_runner(t, SIGINT, 50000);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

static int look_for_sandbox(void **state)
{
    struct scene *t;
    struct kymo_err err = {0};

    snprintf(mark, sizeof(mark), "kymo-escaped-%d", (int)getpid());
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
        PLAYED(the_time_ends_it),
        PLAYED(the_memory_ends_it),
        PLAYED(one_process_alone_cannot_take_more_memory),
        PLAYED(memory_files_count),
        PLAYED(the_disk_ends_it),
        PLAYED(the_processor_ends_it),
        PLAYED(a_plan_of_too_many_is_refused),
        PLAYED(a_call_that_would_last_forever_is_let_go),
        PLAYED(two_that_wait_for_each_other_are_let_go),
        PLAYED(a_process_that_never_comes_holds_nobody_up),
        PLAYED(a_thread_of_a_process_that_is_not_there_holds_nobody_up),
        PLAYED(a_task_is_made_as_a_task_or_not_at_all),
        PLAYED(paths_lead_nowhere_else),
        PLAYED(a_given_root_keeps_what_is_written_and_no_more),
        PLAYED(descriptors_end_at_the_limit),
        PLAYED(sizes_beyond_all_bounds_are_refused),
        PLAYED(who_kills_all_kills_nobody_outside),
        PLAYED(who_destroys_the_account_harms_itself),
        PLAYED(any_call_with_anything_stays_inside),
        PLAYED(a_runner_that_is_killed_leaves_nothing),
        PLAYED(a_runner_that_is_asked_to_stop_stops),
    };

    return cmocka_run_group_tests(tests, look_for_sandbox, NULL);
}
