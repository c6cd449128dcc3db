/* SPDX-License-Identifier: Apache-2.0
 * stage_scene.h: a plan with one process that is there, and the calls that tests make it of.
 */
#ifndef KYMO_TESTS_STAGE_SCENE_H
#define KYMO_TESTS_STAGE_SCENE_H

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

struct scene {
    struct planbuild *b;
    uint32_t p, a; /* a process that is there, and its leader */
    struct kymo_stage_opts o;
    struct kymo_stage_result r;
};

static int no_sandbox;
static char no_sandbox_why[512];

static inline int set_scene(void **state)
{
    struct scene *t = calloc(1, sizeof(*t));

    t->b = planbuild_new();
    t->p = planbuild_process(t->b, KYMO_NONE, 1);
    t->a = planbuild_leader(t->b, t->p);
    t->o.time_ns = 20000000000u;
    *state = t;
    return 0;
}

static inline int clear_scene(void **state)
{
    struct scene *t = *state;

    planbuild_free(t->b);
    free(t->r.outcome);
    free(t);
    return 0;
}

static inline void play(struct scene *t)
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

static inline int64_t got(const struct scene *t, uint32_t actor, uint32_t call)
{
    return t->r.outcome[planbuild_index(t->b, actor, call)].ret;
}

static inline int class_of(int64_t ret)
{
    return ret < 0 && ret > -4096 ? (int)ret : ret > 0;
}

/* Every call ended, in the way that the plan says. */
static inline void as_planned(struct scene *t)
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

static inline void opens(struct scene *t, uint32_t actor, const char *path, int flags,
                         int64_t ret)
{
    struct kymo_icall *c = planbuild_call(t->b, actor, SYS_openat, ret, IMM(AT_FDCWD),
                                          TEXT(t->b, path), IMM(flags), IMM(0644));
    c->out = KYMO_OUT_FD;
    c->other = ret >= 0 ? (uint32_t)ret : 0;
}

static inline void closes(struct scene *t, uint32_t actor, uint32_t fd)
{
    struct kymo_icall *c = planbuild_call(t->b, actor, SYS_close, 0, FD(fd));
    c->out = KYMO_OUT_CLOSE;
    c->other = fd;
}

static inline void reads(struct scene *t, uint32_t actor, uint32_t fd, uint32_t n, int64_t ret)
{
    planbuild_call(t->b, actor, SYS_read, ret, FD(fd), SINK(0), IMM(n))->flags =
        ret >= 0 ? KYMO_ICALL_BYTES : 0;
}

static inline void writes(struct scene *t, uint32_t actor, uint32_t fd, uint32_t n, int64_t ret)
{
    planbuild_call(t->b, actor, SYS_write, ret, FD(fd), PATTERN(0), IMM(n))->flags =
        ret >= 0 ? KYMO_ICALL_BYTES : 0;
}

static inline void exits(struct scene *t, uint32_t actor, int code)
{
    planbuild_call(t->b, actor, SYS_exit_group, 0, IMM(code))->how = KYMO_HOW_EXIT;
}

/* nr makes a process, a child of p; its leader. */
static inline uint32_t forks(struct scene *t, uint32_t p, uint32_t actor, long nr,
                             uint64_t flags)
{
    const uint32_t child = planbuild_process(t->b, p, 0);
    struct kymo_icall *c = planbuild_call(t->b, actor, nr, 1234, IMM(flags));

    c->how = KYMO_HOW_FORK;
    c->other = child;
    return planbuild_leader(t->b, child);
}

static inline uint32_t threads(struct scene *t, uint32_t p, uint32_t actor, long nr)
{
    const uint32_t thread = planbuild_thread(t->b, p, 0);
    struct kymo_icall *c = planbuild_call(t->b, actor, nr, 1234, IMM(0));

    c->how = KYMO_HOW_THREAD;
    c->other = thread;
    return thread;
}

static inline void execs(struct scene *t, uint32_t actor, const char *name)
{
    struct kymo_icall *c =
        planbuild_call(t->b, actor, SYS_execve, 0, TEXT(t->b, "/bin/x"), IMM(0), IMM(0));
    c->how = KYMO_HOW_EXEC;
    c->text = planbuild_text(t->b, name);
}

static inline void waits(struct scene *t, uint32_t actor, uint64_t flags, int64_t ret)
{
    planbuild_call(t->b, actor, SYS_wait4, ret, IMM(-1), SINK(0), IMM(flags), IMM(0));
}

static inline void file(struct scene *t, const char *path, uint32_t kind, uint32_t mode,
                        uint64_t bytes)
{
    planbuild_node(t->b, (struct kymo_inode){.path = planbuild_text(t->b, path),
                                             .kind = kind,
                                             .mode = mode,
                                             .size_bytes = bytes});
}

static inline uint32_t address(struct scene *t, const char *ip, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    unsigned q[4];

    assert_int_equal(sscanf(ip, "%u.%u.%u.%u", &q[0], &q[1], &q[2], &q[3]), 4);
    a.sin_addr.s_addr = htonl(q[0] << 24 | q[1] << 16 | q[2] << 8 | q[3]);
    return planbuild_address(t->b, &a, sizeof(a));
}

static inline int look_for_sandbox(void **state)
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

#endif
