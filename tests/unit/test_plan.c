/* SPDX-License-Identifier: Apache-2.0
 * The compiler of plans: what a few calls by hand become.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "replay/plan/compile.h"
#include "replay/plan/lower_table.h"
#include "tests/lib/tracebuild.h"

#define NOBODY UINT32_MAX
#define ARGS(...) ((const uint64_t[6]){__VA_ARGS__})
#define AT_CWD ((uint64_t)(int64_t)AT_FDCWD)

/* ---- a plan under test ---- */

struct plan {
    struct tracebuild *b;
    struct kymo_plan *p;
    const struct kymo_image *h;
};

static uint32_t one_process(struct plan *t)
{
    t->b = trace_new();
    return trace_thread(t->b, trace_process(t->b, 100, NOBODY), 100);
}

static void compile(struct plan *t)
{
    const struct kymo_plan_opts o = {0};
    struct kymo_err err = {0};
    if (kymo_plan_compile(&t->p, trace_done(t->b), &o, &err))
        fail_msg("%s", err.text);
    if (kymo_image_check(t->p->image.p, t->p->image.n, &err))
        fail_msg("%s", err.text);
    t->h = (const struct kymo_image *)(const void *)t->p->image.p;
}

static void done(struct plan *t)
{
    kymo_plan_free(t->p);
    trace_release(t->b);
}

/* Call i of a thread: actors follow the threads of these traces, the environment is 0. */
static const struct kymo_icall *call_of(const struct plan *t, uint32_t thread, uint32_t i)
{
    const struct kymo_iactor *a = kymo_image_at(t->h, t->h->actor);
    const struct kymo_icall *c = kymo_image_at(t->h, t->h->call);
    for (uint32_t k = 1; k < t->h->actor.n; k++)
        if (a[k].tid == t->b->thread[thread].tid) {
            assert_true(i < a[k].n_calls);
            return &c[a[k].call + i];
        }
    fail_msg("thread %u has no actor", thread);
    return NULL;
}

static const char *blob_at(const struct plan *t, uint64_t at)
{
    return (const char *)kymo_image_at(t->h, t->h->blob) + at;
}

static const struct kymo_inode *node_of(const struct plan *t, const char *path)
{
    const struct kymo_inode *n = kymo_image_at(t->h, t->h->node);
    for (uint32_t i = 0; i < t->h->n_first_nodes; i++)
        if (!strcmp(blob_at(t, n[i].path), path))
            return &n[i];
    return NULL;
}

static const struct kymo_iact *act_at(const struct plan *t, uint32_t i)
{
    assert_true(i < t->h->act.n);
    return (const struct kymo_iact *)kymo_image_at(t->h, t->h->act) + i;
}

/* Does a call wait for another, or for act `i` (thread NOBODY)? 2: until it is begun. */
static int waits_for(const struct plan *t, const struct kymo_dep *d, uint32_t n,
                     uint32_t thread, uint32_t i)
{
    const struct kymo_iactor *a = kymo_image_at(t->h, t->h->actor);
    for (uint32_t k = 0; k < n; k++) {
        const int same = thread == NOBODY
                             ? d[k].actor == 0
                             : d[k].actor && a[d[k].actor].tid == t->b->thread[thread].tid;
        if (same && (d[k].index & ~KYMO_DEP_BEGUN) == i)
            return d[k].index & KYMO_DEP_BEGUN ? 2 : 1;
    }
    return 0;
}

static int call_waits(const struct plan *t, const struct kymo_icall *c, uint32_t thread,
                      uint32_t i)
{
    return waits_for(t, (const struct kymo_dep *)kymo_image_at(t->h, t->h->dep) + c->dep,
                     c->n_deps, thread, i);
}

static int act_waits(const struct plan *t, const struct kymo_iact *a, uint32_t thread,
                     uint32_t i)
{
    return waits_for(t, (const struct kymo_dep *)kymo_image_at(t->h, t->h->dep) + a->dep,
                     a->n_deps, thread, i);
}

static void took(struct tracebuild *b, struct kymo_trace_call *c, uint64_t ns)
{
    c->exit_ns = c->enter_ns + ns;
    if (b->now_ns < c->exit_ns)
        b->now_ns = c->exit_ns;
}

/* ---- descriptors ---- */

static void descriptors_go_through_the_map_and_results_into_it(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "openat", 3, ARGS(AT_CWD, 1, 0)), "/f");
    trace_call(t.b, a, "dup2", 7, ARGS(3, 7));
    trace_call(t.b, a, "close", 0, ARGS(3));
    trace_call(t.b, a, "read", 0, ARGS(7, 0x1000, 10));
    compile(&t);
    assert_int_equal(call_of(&t, a, 0)->out, KYMO_OUT_FD);
    assert_int_equal(call_of(&t, a, 0)->other, 3);
    assert_int_equal(call_of(&t, a, 0)->kind[0], KYMO_ARG_IMM);
    assert_string_equal(blob_at(&t, call_of(&t, a, 0)->arg[1]), "/f");
    assert_int_equal(call_of(&t, a, 1)->kind[0], KYMO_ARG_FD);
    assert_int_equal(call_of(&t, a, 1)->kind[1], KYMO_ARG_FD_NEW);
    assert_int_equal(call_of(&t, a, 2)->out, KYMO_OUT_CLOSE);
    assert_int_equal(call_of(&t, a, 3)->kind[0], KYMO_ARG_FD);
    assert_int_equal(call_of(&t, a, 3)->kind[1], KYMO_ARG_SINK);
    done(&t);
}

static void what_was_never_opened_was_open_at_the_start(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_fd(t.b, 0, 5, "/var/log/x", "", "");
    trace_call(t.b, a, "write", 10, ARGS(5, 0x1000, 10));
    trace_call(t.b, a, "close", 0, ARGS(5));
    trace_call(t.b, a, "write", -EBADF, ARGS(5, 0x1000, 10));
    compile(&t);
    const struct kymo_iprocess *p = kymo_image_at(t.h, t.h->process);
    const struct kymo_istart *s = kymo_image_at(t.h, t.h->start);
    const struct kymo_iobject *o = kymo_image_at(t.h, t.h->object);
    assert_int_equal(p[0].n_starts, 1);
    assert_int_equal(s[0].fd, 5);
    assert_int_equal(o[s[0].object].kind, KYMO_OBJECT_FILE);
    assert_string_equal(blob_at(&t, o[s[0].object].path), "/var/log/x");
    assert_int_equal(call_of(&t, a, 2)->how, KYMO_HOW_ISSUE);
    done(&t);
}

static void a_child_inherits_what_its_parent_had_and_an_exec_closes_what_it_should(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "openat", 3, ARGS(AT_CWD, 1, O_CLOEXEC)), "/f");
    trace_call(t.b, a, "clone", 101, ARGS(17));
    const uint32_t c = trace_thread(t.b, trace_process(t.b, 101, 0), 101);
    trace_call(t.b, c, "read", 0, ARGS(3, 0x1000, 10));
    trace_call(t.b, c, "execve", 0, ARGS(0))->flags = 32;
    trace_call(t.b, c, "read", -EBADF, ARGS(3, 0x1000, 10));
    trace_call(t.b, c, "exit_group", 0, ARGS(3))->has = 0;
    struct kymo_trace_call *w = trace_call(t.b, a, "wait4", 101, ARGS(UINT64_MAX, 0x1000, 0));
    compile(&t);
    assert_int_equal(call_of(&t, a, 1)->how, KYMO_HOW_FORK);
    assert_int_equal(call_of(&t, a, 1)->other, 1);
    assert_int_equal(call_of(&t, c, 1)->how, KYMO_HOW_EXEC);
    assert_int_equal(call_of(&t, c, 2)->how, KYMO_HOW_ISSUE);
    assert_int_equal(call_of(&t, c, 3)->how, KYMO_HOW_EXIT);
    assert_int_equal(call_of(&t, a, 2)->kind[0], KYMO_ARG_PID);
    assert_int_equal(call_waits(&t, call_of(&t, a, 2), c, 3), 1);
    assert_int_equal(w->ret, 101);
    done(&t);
}

/* ---- the tree ---- */

static void files_are_there_as_the_first_look_found_them(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "access", -ENOENT, ARGS(1, 4)), "/etc/none");
    trace_path(t.b, trace_call(t.b, a, "access", 0, ARGS(1, 4)), "/etc/some");
    trace_path(t.b, trace_call(t.b, a, "openat", 3, ARGS(AT_CWD, 1, O_RDONLY | O_DIRECTORY)),
               "/srv/d");
    trace_path(t.b, trace_call(t.b, a, "mkdir", 0, ARGS(1, 0755)), "/srv/new");
    trace_path(t.b, trace_call(t.b, a, "openat", 4, ARGS(AT_CWD, 1, O_RDONLY)), "/srv/data");
    trace_call(t.b, a, "read", 100, ARGS(4, 0x1000, 100));
    trace_call(t.b, a, "read", 23, ARGS(4, 0x1000, 100));
    compile(&t);
    assert_null(node_of(&t, "/etc/none"));
    assert_non_null(node_of(&t, "/etc/some"));
    assert_int_equal(node_of(&t, "/srv/d")->kind, KYMO_NODE_DIR);
    assert_int_equal(node_of(&t, "/etc")->kind, KYMO_NODE_DIR);
    assert_null(node_of(&t, "/srv/new"));
    assert_int_equal(node_of(&t, "/srv/data")->kind, KYMO_NODE_FILE);
    assert_int_equal(node_of(&t, "/srv/data")->size_bytes, 123);
    assert_int_equal(t.h->act.n, 0);
    done(&t);
}

static void a_link_that_was_read_leads_to_what_was_found_through_it(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "readlink", 7, ARGS(1, 0x1000, 100)), "/lib");
    trace_path(t.b, trace_call(t.b, a, "openat", 3, ARGS(AT_CWD, 1, 0)), "/lib/libc.so");
    compile(&t);
    const struct kymo_inode *link = node_of(&t, "/lib");
    assert_int_equal(link->kind, KYMO_NODE_LINK);
    assert_int_equal(strlen(blob_at(&t, link->target)), 7);
    char path[64];
    snprintf(path, sizeof(path), "/%s/libc.so", blob_at(&t, link->target));
    assert_int_equal(node_of(&t, path)->kind, KYMO_NODE_FILE);
    done(&t);
}

static void what_nobody_of_the_slice_made_an_act_makes(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "access", -ENOENT, ARGS(1, 4)), "/run/x.pid");
    trace_path(t.b, trace_call(t.b, a, "access", 0, ARGS(1, 4)), "/run/x.pid");
    compile(&t);
    assert_null(node_of(&t, "/run/x.pid"));
    assert_int_equal(act_at(&t, 0)->kind, KYMO_ACT_TREE);
    assert_int_equal(act_at(&t, 0)->n, 0);
    assert_int_equal(act_waits(&t, act_at(&t, 0), a, 0), 1);
    assert_int_equal(call_waits(&t, call_of(&t, a, 1), NOBODY, 0), 1);
    done(&t);
}

static void a_file_that_is_longer_than_it_was_was_made_so_by_an_act(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "openat", 3, ARGS(AT_CWD, 1, 0)), "/var/log/m");
    trace_call(t.b, a, "read", 10, ARGS(3, 0x1000, 100));
    trace_call(t.b, a, "read", 0, ARGS(3, 0x1000, 100));
    trace_call(t.b, a, "read", 5, ARGS(3, 0x1000, 100));
    compile(&t);
    assert_int_equal(node_of(&t, "/var/log/m")->size_bytes, 10);
    assert_int_equal(act_at(&t, 0)->n, 2);
    const struct kymo_inode *n = kymo_image_at(t.h, t.h->node);
    assert_int_equal(n[act_at(&t, 0)->other].size_bytes, 15);
    done(&t);
}

static void the_stages_own_folder_has_no_name_in_a_plan(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "openat", 3, ARGS(AT_CWD, 1, O_RDWR | O_TRUNC)),
               "/.kymo/control");
    struct kymo_trace_call *c =
        trace_path(t.b, trace_call(t.b, a, "symlink", 0, ARGS(1, 2)), "/a/../.kymo");
    c->path2 = trace_text(t.b, "/.kymo");
    c->has |= KYMO_TRACE_HAS_PATH2;
    compile(&t);
    assert_string_equal(blob_at(&t, call_of(&t, a, 0)->arg[1]), "/_kymo/control");
    assert_null(memmem(blob_at(&t, 0), t.h->blob.n, ".kymo", 5));
    done(&t);
}

/* ---- bytes ---- */

static void a_read_waits_for_the_write_that_gave_its_last_byte(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "pipe2", 0, ARGS(0x1000, 0));
    trace_call(t.b, a, "clone", 101, ARGS(17));
    const uint32_t c = trace_thread(t.b, trace_process(t.b, 101, 0), 101);
    trace_call(t.b, c, "write", 10, ARGS(4, 0x1000, 10));
    trace_call(t.b, c, "write", 20, ARGS(4, 0x1000, 20));
    trace_call(t.b, a, "read", 30, ARGS(3, 0x1000, 100));
    trace_call(t.b, a, "close", 0, ARGS(4));
    trace_call(t.b, c, "exit_group", 0, ARGS(0))->has = 0;
    trace_call(t.b, a, "read", 0, ARGS(3, 0x1000, 100));
    compile(&t);
    assert_int_equal(call_of(&t, a, 0)->out, KYMO_OUT_PAIR);
    assert_int_equal(call_of(&t, a, 0)->other, 3);
    assert_int_equal(call_of(&t, a, 0)->other2, 4);
    assert_int_equal(call_waits(&t, call_of(&t, a, 2), c, 1), 1);
    /* and the end comes with the last who could write */
    assert_int_equal(call_waits(&t, call_of(&t, a, 4), c, 2), 1);
    assert_int_equal(t.h->act.n, 0);
    done(&t);
}

static void who_writes_waits_until_the_reader_sleeps(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "pipe2", 0, ARGS(0x1000, 0));
    trace_call(t.b, a, "clone", 101, ARGS(17));
    const uint32_t c = trace_thread(t.b, trace_process(t.b, 101, 0), 101);
    struct kymo_trace_call *r = trace_call(t.b, a, "read", 5, ARGS(3, 0x1000, 100));
    t.b->now_ns += 900000;
    trace_call(t.b, c, "write", 5, ARGS(4, 0x1000, 5));
    took(t.b, r, t.b->now_ns + 500 - r->enter_ns);
    compile(&t);
    assert_int_equal(call_waits(&t, call_of(&t, c, 0), a, 2), 2);
    assert_int_equal(call_of(&t, a, 2)->flags & KYMO_ICALL_BLOCKS, KYMO_ICALL_BLOCKS);
    done(&t);
}

static void a_read_that_found_nothing_comes_before_the_next_write(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "pipe2", 0, ARGS(0x1000, O_NONBLOCK));
    trace_call(t.b, a, "clone", 101, ARGS(17));
    const uint32_t c = trace_thread(t.b, trace_process(t.b, 101, 0), 101);
    trace_call(t.b, a, "read", -EAGAIN, ARGS(3, 0x1000, 100));
    trace_call(t.b, c, "write", 5, ARGS(4, 0x1000, 5));
    trace_call(t.b, a, "read", 5, ARGS(3, 0x1000, 100));
    compile(&t);
    assert_int_equal(call_of(&t, a, 2)->how, KYMO_HOW_ISSUE);
    assert_int_equal(call_waits(&t, call_of(&t, c, 0), a, 2), 1);
    assert_int_equal(call_waits(&t, call_of(&t, a, 3), c, 0), 1);
    done(&t);
}

static void bytes_that_nobody_of_the_slice_wrote_are_injected(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "pipe2", 0, ARGS(0x1000, 0));
    trace_call(t.b, a, "read", 5, ARGS(3, 0x1000, 100));
    compile(&t);
    assert_int_equal(call_of(&t, a, 1)->how, KYMO_HOW_INJECT);
    assert_int_equal(call_of(&t, a, 1)->why, KYMO_WHY_RESULT);
    done(&t);
}

/* ---- peers ---- */

static void a_stranger_connects_and_sends_what_was_read(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "socket", 3, ARGS(AF_INET, SOCK_STREAM, 0));
    struct kymo_trace_call *c = trace_call(t.b, a, "bind", 0, ARGS(3, 0x1000, 16));
    c->addr = trace_text(t.b, "inet:127.0.0.1:80");
    trace_call(t.b, a, "listen", 0, ARGS(3, 5));
    c = trace_call(t.b, a, "accept4", 4, ARGS(3, 0x1000, 0x1000, SOCK_NONBLOCK));
    c->addr = trace_text(t.b, "inet:127.0.0.1:4000");
    trace_call(t.b, a, "read", -EAGAIN, ARGS(4, 0x1000, 100));
    trace_call(t.b, a, "read", 40, ARGS(4, 0x1000, 100));
    trace_call(t.b, a, "read", 0, ARGS(4, 0x1000, 100));
    compile(&t);
    assert_int_equal(t.h->act.n, 3);
    assert_int_equal(act_at(&t, 0)->kind, KYMO_ACT_CONNECT);
    assert_int_equal(call_waits(&t, call_of(&t, a, 3), NOBODY, 0), 1);
    assert_int_equal(act_at(&t, 1)->kind, KYMO_ACT_SEND);
    assert_int_equal(act_at(&t, 1)->n, 40);
    assert_int_equal(act_waits(&t, act_at(&t, 1), a, 4), 1);
    assert_int_equal(call_waits(&t, call_of(&t, a, 5), NOBODY, 1), 1);
    assert_int_equal(act_at(&t, 2)->kind, KYMO_ACT_SHUT);
    const struct kymo_iobject *o = kymo_image_at(t.h, t.h->object);
    assert_true(o[act_at(&t, 0)->object].is_environment);
    done(&t);
}

static void connections_inside_the_slice_go_to_the_next_accept(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "socket", 3, ARGS(AF_INET, SOCK_STREAM, 0));
    struct kymo_trace_call *c = trace_call(t.b, a, "bind", 0, ARGS(3, 0x1000, 16));
    c->addr = trace_text(t.b, "inet:0.0.0.0:80");
    trace_call(t.b, a, "listen", 0, ARGS(3, 5));
    trace_call(t.b, a, "clone", 101, ARGS(17));
    const uint32_t k = trace_thread(t.b, trace_process(t.b, 101, 0), 101);
    trace_call(t.b, k, "socket", 4, ARGS(AF_INET, SOCK_STREAM, 0));
    c = trace_call(t.b, k, "connect", 0, ARGS(4, 0x1000, 16));
    c->addr = trace_text(t.b, "inet:127.0.0.1:80");
    trace_call(t.b, k, "write", 7, ARGS(4, 0x1000, 7));
    c = trace_call(t.b, a, "accept", 4, ARGS(3, 0x1000, 0x1000));
    c->addr = trace_text(t.b, "inet:127.0.0.1:4000");
    trace_call(t.b, a, "read", 7, ARGS(4, 0x1000, 100));
    compile(&t);
    assert_int_equal(t.h->act.n, 0);
    assert_true(call_waits(&t, call_of(&t, a, 4), k, 1));
    assert_true(call_waits(&t, call_of(&t, a, 5), k, 2));
    done(&t);
}

static void a_server_outside_listens_before_the_slice_connects(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "socket", 3, ARGS(AF_INET, SOCK_STREAM, 0));
    struct kymo_trace_call *c = trace_call(t.b, a, "connect", 0, ARGS(3, 0x1000, 16));
    c->addr = trace_text(t.b, "inet:10.1.2.3:5432");
    trace_call(t.b, a, "write", 70000, ARGS(3, 0x1000, 70000));
    compile(&t);
    assert_int_equal(act_at(&t, 0)->kind, KYMO_ACT_LISTEN);
    assert_int_equal(call_waits(&t, call_of(&t, a, 1), NOBODY, 0), 1);
    assert_int_equal(act_at(&t, 1)->kind, KYMO_ACT_ACCEPT);
    assert_int_equal(act_at(&t, 2)->kind, KYMO_ACT_RECV);
    assert_int_equal(act_at(&t, 2)->n, 70000);
    assert_int_equal(act_waits(&t, act_at(&t, 2), a, 2), 2);
    done(&t);
}

static void a_real_peer_is_spoken_for_by_nobody(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "socket", 3, ARGS(AF_INET, SOCK_STREAM, 0));
    struct kymo_trace_call *c = trace_call(t.b, a, "connect", 0, ARGS(3, 0x1000, 16));
    c->addr = trace_text(t.b, "inet:10.1.2.3:5432");
    trace_call(t.b, a, "write", 70000, ARGS(3, 0x1000, 70000));
    trace_call(t.b, a, "read", 10, ARGS(3, 0x1000, 100));
    const struct kymo_plan_opts o = {.target_to = "127.0.0.1:9"};
    struct kymo_err err = {0};
    if (kymo_plan_compile(&t.p, trace_done(t.b), &o, &err) ||
        kymo_image_check(t.p->image.p, t.p->image.n, &err))
        fail_msg("%s", err.text);
    t.h = (const struct kymo_image *)(const void *)t.p->image.p;
    assert_int_equal(t.h->act.n, 1);
    assert_int_equal(act_at(&t, 0)->kind, KYMO_ACT_LISTEN);
    const struct kymo_iobject *x = kymo_image_at(t.h, t.h->object);
    assert_true(x[act_at(&t, 0)->object].flags & KYMO_OBJECT_TO_TARGET);
    done(&t);
}

/* ---- polls ---- */

static void a_poll_asks_for_what_the_thread_did_next(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "pipe2", 0, ARGS(0x1000, 0));
    trace_call(t.b, a, "write", 3, ARGS(4, 0x1000, 3));
    trace_call(t.b, a, "poll", 1, ARGS(0x1000, 3, 1000));
    trace_call(t.b, a, "read", 3, ARGS(3, 0x1000, 100));
    trace_call(t.b, a, "poll", 0, ARGS(0x1000, 2, 5));
    compile(&t);
    const struct kymo_icall *c = call_of(&t, a, 2);
    const int32_t *fd = (const int32_t *)(const void *)blob_at(&t, c->arg[0] >> 16);
    assert_int_equal(c->kind[0], KYMO_ARG_POLL);
    assert_int_equal(c->arg[0] & 0xffff, 3);
    assert_int_equal(fd[0], 3);
    assert_int_equal(fd[2], -1);
    assert_int_equal(
        ((const int32_t *)(const void *)blob_at(&t, call_of(&t, a, 4)->arg[0] >> 16))[0], -1);
    assert_int_equal(call_of(&t, a, 4)->kind[2], KYMO_ARG_WAIT_MS);
    done(&t);
}

static uint32_t events_of(const struct plan *t, const struct kymo_icall *c)
{
    uint32_t events;
    assert_int_equal(c->kind[3], KYMO_ARG_BLOB);
    memcpy(&events, blob_at(t, c->arg[3]), sizeof(events));
    return events;
}

static void epoll_is_told_of_what_was_waited_for(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "epoll_create1", 3, ARGS(0));
    trace_call(t.b, a, "socketpair", 0, ARGS(AF_UNIX, SOCK_STREAM, 0, 0x1000));
    trace_call(t.b, a, "epoll_ctl", 0, ARGS(3, 1, 4, 0x1000));
    trace_call(t.b, a, "epoll_wait", 1, ARGS(3, 0x1000, 64, 100));
    trace_call(t.b, a, "write", 3, ARGS(4, 0x1000, 3));
    trace_call(t.b, a, "epoll_ctl", 0, ARGS(3, 1, 5, 0x1000));
    trace_call(t.b, a, "epoll_ctl", 0, ARGS(3, 2, 4, 0x1000));
    trace_call(t.b, a, "epoll_wait", 1, ARGS(3, 0x1000, 64, 100));
    trace_call(t.b, a, "read", 3, ARGS(5, 0x1000, 100));
    compile(&t);
    assert_int_equal(events_of(&t, call_of(&t, a, 2)), 4); /* EPOLLOUT */
    assert_int_equal(events_of(&t, call_of(&t, a, 5)), 1); /* EPOLLIN */
    assert_int_equal(call_of(&t, a, 3)->arg[2], 1);
    done(&t);
}

/* ---- threads, memory, words ---- */

static void who_slept_on_a_word_is_woken_by_who_woke_him(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "clone3", 101, ARGS(0x1000, 88));
    const uint32_t c = trace_thread(t.b, 0, 101);
    struct kymo_trace_call *w = trace_call(t.b, c, "futex", 0, ARGS(0x7000, 128, 2));
    t.b->now_ns += 500000;
    trace_call(t.b, a, "futex", 1, ARGS(0x7000, 129, 1));
    took(t.b, w, t.b->now_ns - w->enter_ns);
    trace_call(t.b, a, "futex", -EAGAIN, ARGS(0x7000, 128, 7));
    struct kymo_trace_call *s = trace_call(t.b, c, "futex", 0, ARGS(0x8000, 128, 2));
    took(t.b, s, 300000);
    compile(&t);
    assert_int_equal(call_of(&t, a, 0)->how, KYMO_HOW_THREAD);
    assert_int_equal(call_waits(&t, call_of(&t, a, 1), c, 0), 2);
    assert_int_equal(call_of(&t, c, 0)->kind[0], KYMO_ARG_OWN_WORD);
    assert_int_equal(call_of(&t, c, 0)->arg[2], 0);
    assert_int_equal(call_of(&t, a, 2)->arg[2], 7); /* not 0, which all words are */
    /* nobody of the slice woke the second: the environment does, on a word that it shares */
    assert_int_equal(call_of(&t, c, 1)->kind[0], KYMO_ARG_WORD);
    assert_int_equal(call_of(&t, c, 1)->arg[1], 0);
    assert_int_equal(act_at(&t, 0)->kind, KYMO_ACT_WAKE);
    assert_int_equal(act_waits(&t, act_at(&t, 0), c, 1), 2);
    done(&t);
}

static void addresses_are_found_again_in_the_mappings_that_calls_made(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "mmap", 0x7f0000000000, ARGS(0, 0x4000, 3, 34, UINT32_MAX, 0));
    trace_call(t.b, a, "mprotect", 0, ARGS(0x7f0000001000, 0x1000, 1));
    trace_call(t.b, a, "munmap", 0, ARGS(0x7f0000000000, 0x2000));
    trace_call(t.b, a, "mprotect", 0, ARGS(0x7f0000000000, 0x1000, 1));
    trace_call(t.b, a, "madvise", 0, ARGS(0x7f0000003000, 0x1000, 4));
    trace_call(t.b, a, "munmap", 0, ARGS(0x1234000, 0x1000));
    compile(&t);
    assert_int_equal(call_of(&t, a, 0)->out, KYMO_OUT_REGION);
    assert_int_equal(call_of(&t, a, 1)->kind[0], KYMO_ARG_REGION);
    assert_int_equal(call_of(&t, a, 1)->arg[0], 0x1000);
    assert_int_equal(call_of(&t, a, 3)->kind[0], KYMO_ARG_PATTERN); /* it is gone */
    assert_int_equal(call_of(&t, a, 3)->why, KYMO_WHY_SCRATCH);
    assert_int_equal(call_of(&t, a, 4)->arg[0], 0x3000);
    assert_int_equal(call_of(&t, a, 5)->why, KYMO_WHY_SCRATCH);
    assert_true(call_of(&t, a, 5)->flags & KYMO_ICALL_MEMORY);
    done(&t);
}

/* ---- what is not issued ---- */

static void what_has_power_is_never_issued(void **state)
{
    (void)state;
    static const char *const never[] = {
        "reboot",  "mount",      "ptrace", "bpf",         "init_module",     "setns",
        "unshare", "kexec_load", "keyctl", "userfaultfd", "perf_event_open", "chroot"};
    struct plan t;
    const uint32_t a = one_process(&t);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        trace_call(t.b, a, never[i], 0, ARGS(1, 2, 3));
    compile(&t);
    for (uint32_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        assert_int_equal(call_of(&t, a, i)->how, KYMO_HOW_SKIP);
        assert_int_equal(call_of(&t, a, i)->why, KYMO_WHY_POWER);
    }
    assert_int_equal(t.p->coverage.n_never, sizeof(never) / sizeof(never[0]));
    done(&t);
}

static void signals_go_to_processes_of_the_slice_alone(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "clone", 101, ARGS(17));
    const uint32_t c = trace_thread(t.b, trace_process(t.b, 101, 0), 101);
    trace_call(t.b, c, "getpid", 101, ARGS(0));
    trace_call(t.b, a, "kill", 0, ARGS(101, 10));
    trace_call(t.b, a, "kill", 0, ARGS((uint64_t)-1, 9));
    trace_call(t.b, a, "kill", 0, ARGS(0, 15));
    trace_call(t.b, a, "kill", 0, ARGS(4711, 15));
    trace_call(t.b, a, "kill", -ESRCH, ARGS(4711, 15));
    compile(&t);
    assert_int_equal(call_of(&t, a, 1)->how, KYMO_HOW_ISSUE);
    assert_int_equal(call_of(&t, a, 1)->kind[0], KYMO_ARG_PID);
    for (uint32_t i = 2; i < 5; i++) {
        assert_int_equal(call_of(&t, a, i)->how, KYMO_HOW_SKIP);
        assert_int_equal(call_of(&t, a, i)->why, KYMO_WHY_SIGNAL);
    }
    assert_int_equal(call_of(&t, a, 5)->how, KYMO_HOW_ISSUE);
    done(&t);
}

static void requests_that_only_ask_are_issued_and_others_skipped(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "openat", 3, ARGS(AT_CWD, 1, 0)), "/f");
    trace_call(t.b, a, "ioctl", -ENOTTY, ARGS(3, 0x5401, 0x1000));
    trace_call(t.b, a, "ioctl", 0, ARGS(3, 0x5412, 0x1000)); /* TIOCSTI */
    trace_call(t.b, a, "io_uring_setup", 4, ARGS(8, 0x1000));
    compile(&t);
    assert_int_equal(call_of(&t, a, 1)->how, KYMO_HOW_ISSUE);
    assert_int_equal(call_of(&t, a, 2)->how, KYMO_HOW_SKIP);
    assert_int_equal(call_of(&t, a, 2)->why, KYMO_WHY_IOCTL);
    assert_int_equal(call_of(&t, a, 3)->why, KYMO_WHY_SIMULATED);
    done(&t);
}

static void a_hundred_and_more_calls_are_issued_for_real(void **state)
{
    (void)state;
    uint32_t n, real = 0;
    const struct lower_row *row = lower_rows(&n);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(strlen(row[i].how) <= 6);
        const int issued = row[i].op != OP_POWER && row[i].op != OP_RESULT &&
                           row[i].op != OP_SIMULATED && row[i].op != OP_FOLLOWS;
        real += issued && kymo_sysnr(KYMO_ARCH_HERE, row[i].name) >= 0;
        for (uint32_t k = 0; k < i; k++)
            assert_string_not_equal(row[i].name, row[k].name);
    }
    assert_true(real >= 200);
}

/* ---- hostile ---- */

static void cyclic_times_and_absurd_sizes_make_a_plan_all_the_same(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    const uint32_t c = trace_thread(t.b, trace_process(t.b, 101, 0), 101);
    trace_call(t.b, a, "clone", 101, ARGS(17));
    trace_call(t.b, c, "clone", 100, ARGS(17)); /* each other's child */
    trace_call(t.b, a, "pipe2", 0, ARGS(0x1000, 0));
    for (int i = 0; i < 50; i++) {
        took(t.b, trace_call(t.b, a, "write", INT64_MAX, ARGS(4, 1, UINT64_MAX)), 5000000);
        struct kymo_trace_call *r =
            trace_call(t.b, c, "read", INT64_MAX, ARGS(4, 1, UINT64_MAX));
        r->enter_ns = 0;
        trace_call(t.b, a, "pwrite64", 8, ARGS(4, 1, 8, (uint64_t)1 << 63));
        trace_call(t.b, c, "mmap", 0x1000, ARGS(0, UINT64_MAX, 3, 34, 0, 0));
        trace_call(t.b, a, "dup2", 60000, ARGS(4, 60000));
        trace_call(t.b, c, "futex", 0, ARGS(1, 0, 0));
    }
    compile(&t); /* and the check runs it dry */
    done(&t);
}

static void more_threads_than_allowed_are_refused(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    for (uint32_t i = 0; i < 20; i++)
        trace_call(t.b, a, "fork", 200 + i, ARGS(0));
    const struct kymo_plan_opts o = {.processes_max = 10};
    struct kymo_err err = {0};
    struct kymo_plan *p = NULL;
    assert_int_equal(kymo_plan_compile(&p, trace_done(t.b), &o, &err), KYMO_ELIMIT);
    assert_null(p);
    trace_release(t.b);
}

/* ---- what no kernel did ---- */

static void one_of_two_who_claim_to_have_made_each_other_was_there(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    const uint32_t b = trace_thread(t.b, trace_process(t.b, 200, NOBODY), 200);
    took(t.b, trace_call(t.b, a, "fork", 200, ARGS(0)), 5000);
    took(t.b, trace_call(t.b, b, "fork", 100, ARGS(0)), 1000);
    compile(&t);
    const struct kymo_iactor *const actor = kymo_image_at(t.h, t.h->actor);
    uint32_t at_start = 0;
    for (uint32_t i = 1; i < t.h->actor.n; i++)
        at_start += actor[i].at_start;
    assert_int_equal(at_start, 1); /* one ring, opened at one place */
    assert_int_equal(call_of(&t, a, 0)->how, KYMO_HOW_FORK);
    assert_int_equal(call_of(&t, b, 0)->how, KYMO_HOW_FORK);
    done(&t);
}

static void a_process_with_a_thread_that_nobody_made_was_there(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "fork", 200, ARGS(0));
    const uint32_t child = trace_process(t.b, 200, 0);
    const uint32_t b = trace_thread(t.b, child, 200), c = trace_thread(t.b, child, 201);
    trace_call(t.b, b, "getpid", 200, ARGS(0));
    trace_call(t.b, c, "getpid", 200, ARGS(0));
    compile(&t);
    const struct kymo_iprocess *const p = kymo_image_at(t.h, t.h->process);
    for (uint32_t i = 0; i < t.h->process.n; i++)
        if (p[i].pid == 200)
            assert_int_equal(p[i].at_start, 1);
    done(&t);
}

static void what_makes_or_ends_a_task_is_never_issued_as_a_plain_call(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    const struct {
        const char *name;
        int64_t ret;
    } call[] = {{"clone", 0},   {"clone", -EFAULT}, {"clone", -5000},   {"clone3", -ESRCH},
                {"clone3", 0},  {"execve", 7},      {"execve", -5000},  {"execveat", 7},
                {"clone", -22}, {"clone3", -14},    {"rt_sigreturn", 0}};
    for (size_t i = 0; i < sizeof(call) / sizeof(call[0]); i++)
        trace_path(t.b, trace_call(t.b, a, call[i].name, call[i].ret, ARGS(8, 8, 8)), "/x");
    struct kymo_trace_call *const unfinished = trace_call(t.b, a, "clone", 300, ARGS(0));
    unfinished->flags = 4;
    compile(&t);
    for (uint32_t i = 0; i <= sizeof(call) / sizeof(call[0]); i++)
        assert_true(call_of(&t, a, i)->how == KYMO_HOW_INJECT ||
                    call_of(&t, a, i)->how == KYMO_HOW_SKIP);
    done(&t);
}

static void a_long_link_leads_to_a_file_with_a_name(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_path(t.b, trace_call(t.b, a, "readlink", 900, ARGS(1, 8, 1000)), "/d/link");
    trace_path(t.b, trace_call(t.b, a, "openat", 3, ARGS(AT_CWD, 1, 0)), "/d/link");
    compile(&t);
    assert_non_null(node_of(&t, "/d/link"));
    assert_int_equal(strlen(blob_at(&t, node_of(&t, "/d/link")->target)), 900);
    done(&t);
}

static void descriptors_that_a_host_may_refuse_are_not_opened_ahead(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    trace_call(t.b, a, "fstat", 0, ARGS(60000, 8));
    trace_call(t.b, a, "fstat", 0, ARGS(6, 8));
    compile(&t);
    assert_int_equal(call_of(&t, a, 0)->how, KYMO_HOW_INJECT);
    assert_int_equal(call_of(&t, a, 0)->why, KYMO_WHY_BOUND);
    assert_int_equal(call_of(&t, a, 1)->how, KYMO_HOW_ISSUE);
    assert_int_equal(t.h->start.n, 1);
    done(&t);
}

/* A child that wrote before it was made: its parent, who read that earlier, does not wait for it. */
static void nobody_waits_for_who_is_not_there_yet(void **state)
{
    (void)state;
    struct plan t;
    const uint32_t a = one_process(&t);
    const uint32_t child = trace_process(t.b, 200, 0), b = trace_thread(t.b, child, 200);
    trace_fd(t.b, 0, 3, "pipe:[7]", "", "");
    trace_fd(t.b, 0, 4, "pipe:[7]", "", "");
    struct kymo_trace_call *const wrote = trace_call(t.b, b, "write", 10, ARGS(4, 8, 10));
    trace_call(t.b, a, "read", 10, ARGS(3, 8, 10));
    trace_call(t.b, a, "fork", 200, ARGS(0));
    took(t.b, wrote, 100000);
    compile(&t); /* the check plays it dry */
    assert_int_equal(call_of(&t, a, 1)->how, KYMO_HOW_FORK);
    assert_false(call_waits(&t, call_of(&t, a, 0), b, 0));
    done(&t);
}

static void memory_that_runs_out_anywhere_is_an_error_and_nothing_else(void **state)
{
    (void)state;
    for (size_t cap = 1 << 12; cap < 1 << 20; cap += 9973) {
        struct plan t;
        const uint32_t a = one_process(&t);
        for (int i = 0; i < 40; i++) {
            trace_path(t.b, trace_call(t.b, a, "openat", 3 + i, ARGS(AT_CWD, 1, 0)),
                       i & 1 ? "/a/b" : "/c/d/e");
            trace_call(t.b, a, "mmap", 0x7f0000000000 + i * 0x10000,
                       ARGS(0, 0x4000, 3, 34, UINT32_MAX, 0));
        }
        const struct kymo_plan_opts o = {.cap_bytes = cap};
        struct kymo_plan *p = NULL;
        const kymo_status s = kymo_plan_compile(&p, trace_done(t.b), &o, NULL);
        assert_true(s == KYMO_OK || s == KYMO_ELIMIT);
        assert_true((s == KYMO_OK) == (p != NULL));
        kymo_plan_free(p);
        trace_release(t.b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_go_through_the_map_and_results_into_it),
        cmocka_unit_test(what_was_never_opened_was_open_at_the_start),
        cmocka_unit_test(
            a_child_inherits_what_its_parent_had_and_an_exec_closes_what_it_should),
        cmocka_unit_test(files_are_there_as_the_first_look_found_them),
        cmocka_unit_test(a_link_that_was_read_leads_to_what_was_found_through_it),
        cmocka_unit_test(what_nobody_of_the_slice_made_an_act_makes),
        cmocka_unit_test(a_file_that_is_longer_than_it_was_was_made_so_by_an_act),
        cmocka_unit_test(the_stages_own_folder_has_no_name_in_a_plan),
        cmocka_unit_test(a_read_waits_for_the_write_that_gave_its_last_byte),
        cmocka_unit_test(who_writes_waits_until_the_reader_sleeps),
        cmocka_unit_test(a_read_that_found_nothing_comes_before_the_next_write),
        cmocka_unit_test(bytes_that_nobody_of_the_slice_wrote_are_injected),
        cmocka_unit_test(a_stranger_connects_and_sends_what_was_read),
        cmocka_unit_test(connections_inside_the_slice_go_to_the_next_accept),
        cmocka_unit_test(a_server_outside_listens_before_the_slice_connects),
        cmocka_unit_test(a_real_peer_is_spoken_for_by_nobody),
        cmocka_unit_test(a_poll_asks_for_what_the_thread_did_next),
        cmocka_unit_test(epoll_is_told_of_what_was_waited_for),
        cmocka_unit_test(who_slept_on_a_word_is_woken_by_who_woke_him),
        cmocka_unit_test(addresses_are_found_again_in_the_mappings_that_calls_made),
        cmocka_unit_test(what_has_power_is_never_issued),
        cmocka_unit_test(signals_go_to_processes_of_the_slice_alone),
        cmocka_unit_test(requests_that_only_ask_are_issued_and_others_skipped),
        cmocka_unit_test(a_hundred_and_more_calls_are_issued_for_real),
        cmocka_unit_test(cyclic_times_and_absurd_sizes_make_a_plan_all_the_same),
        cmocka_unit_test(more_threads_than_allowed_are_refused),
        cmocka_unit_test(one_of_two_who_claim_to_have_made_each_other_was_there),
        cmocka_unit_test(a_process_with_a_thread_that_nobody_made_was_there),
        cmocka_unit_test(what_makes_or_ends_a_task_is_never_issued_as_a_plain_call),
        cmocka_unit_test(a_long_link_leads_to_a_file_with_a_name),
        cmocka_unit_test(descriptors_that_a_host_may_refuse_are_not_opened_ahead),
        cmocka_unit_test(nobody_waits_for_who_is_not_there_yet),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_an_error_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
