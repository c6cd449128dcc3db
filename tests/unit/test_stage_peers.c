/* SPDX-License-Identifier: Apache-2.0
 * test_stage_peers.c: plans in which somebody outside of the slice takes part: peers, files that come and go,
 * signals; and the one peer that is real.
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

static void an_environment_that_waits_in_vain_is_let_go(void **state)
{
    struct scene *t = *state;

    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    planbuild_after(t->b, t->a, 0, 1);
    planbuild_call(t->b, t->a, SYS_getpid, 1, IMM(0));
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_WAKE, .n = 1}, t->a, 1);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_WAKE, .n = 1}, KYMO_NONE, 0);
    play(t);
    assert_int_equal(t->r.end, KYMO_END_DONE);
    assert_true(t->r.freed >= 1);
    assert_true(got(t, t->a, 0) > 0 && got(t, t->a, 1) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        PLAYED(an_environment_that_waits_in_vain_is_let_go),
    };

    return cmocka_run_group_tests(tests, look_for_sandbox, NULL);
}
