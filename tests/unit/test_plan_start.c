/* SPDX-License-Identifier: Apache-2.0
 * The compiler of plans: what was there before the slice began, and what came to it from outside.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "replay/plan/compile.h"
#include "tests/lib/tracebuild.h"

#define NOBODY UINT32_MAX
#define ARGS(...) ((const uint64_t[6]){__VA_ARGS__})

struct scene {
    struct tracebuild *b;
    struct kymo_plan *p;
    const struct kymo_image *h;
};

static uint32_t scene_thread(struct scene *s, uint32_t pid)
{
    return trace_thread(s->b, trace_process(s->b, pid, NOBODY), pid);
}

static void scene_compile(struct scene *s)
{
    const struct kymo_plan_opts o = {0};
    struct kymo_err err = {0};
    if (kymo_plan_compile(&s->p, trace_done(s->b), &o, &err))
        fail_msg("%s", err.text);
    if (kymo_image_check(s->p->image.p, s->p->image.n, &err))
        fail_msg("%s", err.text);
    s->h = (const struct kymo_image *)(const void *)s->p->image.p;
}

static void scene_end(struct scene *s)
{
    kymo_plan_free(s->p);
    trace_release(s->b);
}

static const struct kymo_icall *call_at(const struct scene *s, uint32_t thread, uint32_t i)
{
    const struct kymo_iactor *a = kymo_image_at(s->h, s->h->actor);
    const struct kymo_icall *c = kymo_image_at(s->h, s->h->call);
    for (uint32_t k = 1; k < s->h->actor.n; k++)
        if (a[k].tid == s->b->thread[thread].tid)
            return &c[a[k].call + i];
    fail_msg("no actor for thread %u", thread);
    return NULL;
}

/* The object that a process has open under a number at the start, NOBODY. */
static uint32_t object_under(const struct scene *s, uint32_t pid, uint32_t fd)
{
    const struct kymo_iprocess *p = kymo_image_at(s->h, s->h->process);
    const struct kymo_istart *x = kymo_image_at(s->h, s->h->start);
    for (uint32_t i = 0; i < s->h->process.n; i++)
        for (uint32_t k = 0; p[i].pid == pid && k < p[i].n_starts; k++)
            if (x[p[i].start + k].fd == fd)
                return x[p[i].start + k].object;
    return NOBODY;
}

static const struct kymo_iobject *object_of(const struct scene *s, uint32_t object)
{
    assert_true(object < s->h->object.n);
    return (const struct kymo_iobject *)kymo_image_at(s->h, s->h->object) + object;
}

static const char *text_of(const struct scene *s, kymo_blob at)
{
    return (const char *)kymo_image_at(s->h, s->h->blob) + at;
}

static void epoll_knows_at_the_start_what_is_taken_back_later(void **state)
{
    (void)state;
    struct scene s = {.b = trace_new()};
    const uint32_t a = scene_thread(&s, 100);
    trace_fd(s.b, 0, 5, "anon_inode:[eventpoll]", "", "");
    trace_fd(s.b, 0, 9, "socket:[7]", "inet:127.0.0.1:80", "inet:127.0.0.1:4000");
    trace_call(s.b, a, "epoll_wait", 1, ARGS(5, 0x1000, 64, 100));
    trace_call(s.b, a, "read", 45, ARGS(9, 0x1000, 100));
    trace_call(s.b, a, "epoll_ctl", 0, ARGS(5, 2, 9, 0x1000)); /* EPOLL_CTL_DEL */
    trace_call(s.b, a, "close", 0, ARGS(9));
    scene_compile(&s);
    const struct kymo_iobject *e = object_of(&s, object_under(&s, 100, 5));
    assert_int_equal(e->kind, KYMO_OBJECT_EPOLL);
    uint32_t watch[4];
    memcpy(watch, text_of(&s, e->watch), sizeof(watch));
    assert_int_equal(watch[0], 1);
    assert_int_equal(watch[2], 9);
    assert_int_equal(watch[3], 1); /* EPOLLIN */
    scene_end(&s);
}

static void a_listener_of_two_workers_is_one(void **state)
{
    (void)state;
    struct scene s = {.b = trace_new()};
    const uint32_t a = scene_thread(&s, 100), c = scene_thread(&s, 200);
    for (uint32_t i = 0; i < 2; i++)
        trace_fd(s.b, i, 6, "socket:[9]", "inet:127.0.0.1:80", "");
    trace_call(s.b, a, "accept4", 7, ARGS(6, 0x1000, 0x2000, 0));
    trace_call(s.b, c, "accept4", 7, ARGS(6, 0x1000, 0x2000, 0));
    scene_compile(&s);
    assert_int_not_equal(object_under(&s, 100, 6), NOBODY);
    assert_int_equal(object_under(&s, 100, 6), object_under(&s, 200, 6));
    scene_end(&s);
}

static void who_finds_nothing_without_waiting_was_told_never_to_wait(void **state)
{
    (void)state;
    struct scene s = {.b = trace_new()};
    const uint32_t a = scene_thread(&s, 100);
    trace_fd(s.b, 0, 7, "socket:[7]", "inet:127.0.0.1:80", "inet:127.0.0.1:4000");
    trace_call(s.b, a, "recvfrom", -EAGAIN, ARGS(7, 0x1000, 100, 0));
    scene_compile(&s);
    assert_int_equal(call_at(&s, a, 0)->how, KYMO_HOW_ISSUE);
    assert_true(object_of(&s, object_under(&s, 100, 7))->flags & 04000); /* O_NONBLOCK */
    scene_end(&s);
}

static void a_write_without_room_goes_to_a_device_that_is_always_full(void **state)
{
    (void)state;
    struct scene s = {.b = trace_new()};
    const uint32_t a = scene_thread(&s, 100);
    trace_fd(s.b, 0, 5, "/data/log", "", "");
    trace_call(s.b, a, "write", 10, ARGS(5, 0x1000, 10));
    trace_call(s.b, a, "write", -ENOSPC, ARGS(5, 0x1000, 10));
    scene_compile(&s);
    const struct kymo_icall *c = call_at(&s, a, 1);
    assert_int_equal(call_at(&s, a, 0)->arg[0], 5);
    assert_int_equal(c->how, KYMO_HOW_ISSUE);
    assert_int_equal(c->why, KYMO_WHY_SUBSTITUTE);
    assert_int_not_equal(c->arg[0], 5);
    const struct kymo_iobject *o = object_of(&s, object_under(&s, 100, (uint32_t)c->arg[0]));
    assert_string_equal(text_of(&s, o->path), "/dev/full");
    scene_end(&s);
}

static void who_came_second_to_a_word_lies_down_second(void **state)
{
    (void)state;
    struct scene s = {.b = trace_new()};
    const uint32_t a = scene_thread(&s, 100);
    const uint32_t b = trace_thread(s.b, 0, 101), c = trace_thread(s.b, 0, 102);
    struct kymo_trace_call *first = trace_call(s.b, b, "futex", 0, ARGS(0x7000, 128, 2));
    struct kymo_trace_call *second = trace_call(s.b, c, "futex", 0, ARGS(0x7000, 128, 2));
    s.b->now_ns += 500000;
    trace_call(s.b, a, "futex", 2, ARGS(0x7000, 129, 2));
    first->exit_ns = s.b->now_ns;
    second->exit_ns = s.b->now_ns + 1;
    scene_compile(&s);
    const struct kymo_icall *w = call_at(&s, c, 0);
    const struct kymo_dep *d = kymo_image_at(s.h, s.h->dep);
    int waits = 0;
    for (uint32_t i = 0; i < w->n_deps; i++)
        waits += d[w->dep + i].index == KYMO_DEP_BEGUN;
    assert_int_equal(waits, 1); /* until the first is inside its call 0 */
    scene_end(&s);
}

static void a_wake_of_who_is_not_in_the_slice_is_given(void **state)
{
    (void)state;
    struct scene s = {.b = trace_new()};
    const uint32_t a = scene_thread(&s, 100);
    trace_call(s.b, a, "futex", 1, ARGS(0x7000, 129, 1));
    scene_compile(&s);
    assert_int_equal(call_at(&s, a, 0)->how, KYMO_HOW_INJECT);
    scene_end(&s);
}

static void who_was_killed_from_outside_is_killed(void **state)
{
    (void)state;
    struct scene s = {.b = trace_new()};
    const uint32_t a = scene_thread(&s, 100);
    trace_call(s.b, a, "getpid", 100, ARGS(0));
    s.b->process[0].died_ns = s.b->now_ns + 1000000;
    s.b->process[0].code = SIGTERM;
    scene_compile(&s);
    const struct kymo_iact *act = kymo_image_at(s.h, s.h->act);
    assert_int_equal(s.h->act.n, 1);
    assert_int_equal(act[0].kind, KYMO_ACT_SIGNAL);
    assert_int_equal(act[0].n, SIGKILL);
    scene_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epoll_knows_at_the_start_what_is_taken_back_later),
        cmocka_unit_test(a_listener_of_two_workers_is_one),
        cmocka_unit_test(who_finds_nothing_without_waiting_was_told_never_to_wait),
        cmocka_unit_test(a_write_without_room_goes_to_a_device_that_is_always_full),
        cmocka_unit_test(who_came_second_to_a_word_lies_down_second),
        cmocka_unit_test(a_wake_of_who_is_not_in_the_slice_is_given),
        cmocka_unit_test(who_was_killed_from_outside_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
