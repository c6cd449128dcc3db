/* SPDX-License-Identifier: Apache-2.0
 * test_emit.c: plans by hand as C programs, compiled by both compilers without a warning, and run: with a root and
 * a network of their own, and without.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
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
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "replay/plan/emit_c.h"
#include "tests/lib/planbuild.h"

struct scene {
    struct planbuild *b;
    uint32_t p, a; /* a process that is there, and its leader */
    struct kymo_buf text;
    char folder[64];
};

static int set_scene(void **state)
{
    struct scene *t = calloc(1, sizeof(*t));

    t->b = planbuild_new();
    t->p = planbuild_process(t->b, KYMO_NONE, 1);
    t->a = planbuild_leader(t->b, t->p);
    snprintf(t->folder, sizeof(t->folder), "/tmp/emit-XXXXXX");
    assert_non_null(mkdtemp(t->folder));
    *state = t;
    return 0;
}

static int run(struct scene *t, const char *format, ...)
{
    char line[1024];
    int n = snprintf(line, sizeof(line), "cd %s && ", t->folder);
    va_list v;

    va_start(v, format);
    vsnprintf(line + n, sizeof(line) - (size_t)n, format, v);
    va_end(v);
    const int status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int clear_scene(void **state)
{
    struct scene *t = *state;

    (void)run(t, "rm -rf %s", t->folder);
    planbuild_free(t->b);
    kymo_buf_release(&t->text);
    free(t);
    return 0;
}

static void keep_text(struct scene *t)
{
    const char *to = getenv("KYMO_EMIT_KEEP");
    if (to)
        (void)run(t, "cp played.c %s/$(ls %s | wc -l).c", to, to);
}

static void show(struct scene *t, const char *file)
{
    (void)run(t, "head -n 30 %s | cut -c-200 | sed 's/^/# /'", file);
}

/* The program's text, which compiles. */
static const char *emits(struct scene *t, const char *title)
{
    struct kymo_err err = {0};
    char path[128];

    assert_int_equal(kymo_plan_emit_c(planbuild_image(t->b), title, &t->text, &err), KYMO_OK);
    kymo_buf_u8(&t->text, 0);
    assert_false(t->text.failed);
    assert_int_equal(strlen((const char *)t->text.p), t->text.n - 1);
    snprintf(path, sizeof(path), "%s/played.c", t->folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(t->text.p, 1, t->text.n - 1, f), t->text.n - 1);
    assert_int_equal(fclose(f), 0);
    const char *flags = "-std=gnu11 -O1 -Wall -Wextra -pedantic -Werror -pthread";
    int bad = run(t, "timeout -k 5 60 gcc %s -o played played.c >log 2>&1", flags);
    if (!bad && run(t, "command -v clang >/dev/null") == 0)
        bad = run(t, "timeout -k 5 60 clang %s -o played2 played.c >log 2>&1", flags);
    keep_text(t);
    if (bad)
        show(t, "log");
    assert_int_equal(bad, 0);
    return (const char *)t->text.p;
}

static int plays(struct scene *t, const char *environment)
{
    const int status = run(
        t, "mkdir -p in && TMPDIR=$PWD/in %s timeout -k 5 40 ./played >log 2>&1", environment);

    if (status)
        show(t, "log");
    assert_int_equal(run(t, "rmdir in"), 0); /* nothing is left behind */
    return status;
}

/* It compiles, and what comes of its calls is what the plan says, wherever it runs. */
static const char *as_planned(struct scene *t)
{
    const char *text = emits(t, "a plan by hand");

    assert_int_equal(plays(t, ""), 0);
    assert_int_equal(plays(t, "NO_NAMESPACES=1"), 0);
    return text;
}

static int has(struct scene *t, const char *word)
{
    return strstr((const char *)t->text.p, word) != NULL;
}

/* ---- calls that plans are made of ------------------------------------------------------------ */

static struct kymo_icall *gives_fd(struct kymo_icall *c)
{
    c->out = KYMO_OUT_FD;
    c->other = (uint32_t)c->ret;
    return c;
}

static void opens(struct scene *t, uint32_t actor, const char *path, int flags, int64_t ret)
{
    gives_fd(planbuild_call(t->b, actor, SYS_openat, ret, IMM(AT_FDCWD), TEXT(t->b, path),
                            IMM(flags), IMM(0644)));
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

static uint32_t forks(struct scene *t, uint32_t p, uint32_t actor)
{
    const uint32_t child = planbuild_process(t->b, p, 0);
    struct kymo_icall *c = planbuild_call(t->b, actor, SYS_clone, 1234, IMM(SIGCHLD));

    c->how = KYMO_HOW_FORK;
    c->other = child;
    return planbuild_leader(t->b, child);
}

static uint32_t threads(struct scene *t, uint32_t p, uint32_t actor)
{
    const uint32_t thread = planbuild_thread(t->b, p, 0);
    struct kymo_icall *c = planbuild_call(t->b, actor, SYS_clone, 1235, IMM(0));

    c->how = KYMO_HOW_THREAD;
    c->other = thread;
    return thread;
}

static void waits(struct scene *t, uint32_t actor, uint64_t flags, int64_t ret)
{
    planbuild_call(t->b, actor, SYS_wait4, ret, IMM(-1), SINK(0), IMM(flags), IMM(0));
}

static void node(struct scene *t, const char *path, uint32_t kind, uint32_t mode,
                 uint64_t bytes)
{
    planbuild_node(t->b, (struct kymo_inode){.path = planbuild_text(t->b, path),
                                             .kind = kind,
                                             .mode = mode,
                                             .size_bytes = bytes});
}

static struct sockaddr_in place(const char *ip, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    unsigned q[4];

    assert_int_equal(sscanf(ip, "%u.%u.%u.%u", &q[0], &q[1], &q[2], &q[3]), 4);
    a.sin_addr.s_addr = htonl(q[0] << 24 | q[1] << 16 | q[2] << 8 | q[3]);
    return a;
}

/* ---- what is played -------------------------------------------------------------------------- */

static void files_are_there_and_calls_are_a_line_each(void **state)
{
    struct scene *t = *state;

    node(t, "/etc", KYMO_NODE_DIR, 0755, 0);
    node(t, "/etc/motd", KYMO_NODE_FILE, 0644, 1000);
    node(t, "/locked", KYMO_NODE_DIR, 0000, 0);
    node(t, "/locked/in", KYMO_NODE_FILE, 0600, 10);
    node(t, "/dev", KYMO_NODE_DIR, 0755, 0);
    node(t, "/dev/null", KYMO_NODE_DEVICE, 0666, 0);
    node(t, "/big", KYMO_NODE_FILE, 0644, 1ull << 40);
    node(t, "/fifo", KYMO_NODE_FIFO, 0644, 0);
    planbuild_node(t->b, (struct kymo_inode){.path = planbuild_text(t->b, "/etc/link"),
                                             .target = planbuild_text(t->b, "/etc/motd"),
                                             .kind = KYMO_NODE_LINK});
    planbuild_process_at(t->b, t->p)->cwd = planbuild_text(t->b, "/etc");
    opens(t, t->a, "/etc/motd", O_RDWR | O_CLOEXEC, 0);
    reads(t, t->a, 0, 4096, 1000);
    reads(t, t->a, 0, 4096, 0);
    writes(t, t->a, 0, 300, 300);
    planbuild_call(t->b, t->a, SYS_lseek, 1100, FD(0), IMM(1100), IMM(SEEK_SET));
    closes(t, t->a, 0);
    reads(t, t->a, 0, 4096, -EBADF);
    opens(t, t->a, "/etc/none", O_RDONLY, -ENOENT);
    opens(t, t->a, "link", O_RDONLY, 0);
    reads(t, t->a, 0, 10, 10);
    opens(t, t->a, "../../../../../etc/motd", O_RDONLY, 1);
    opens(t, t->a, "/../etc/motd", O_RDONLY, 2);
    opens(t, t->a, "/dev/null", O_RDWR, 3);
    reads(t, t->a, 3, 10, 0);
    planbuild_call(t->b, t->a, SYS_mkdirat, 0, IMM(AT_FDCWD), TEXT(t->b, "/new"), IMM(0755));
    planbuild_call(t->b, t->a, SYS_renameat2, 0, IMM(AT_FDCWD), TEXT(t->b, "/etc/motd"),
                   IMM(AT_FDCWD), TEXT(t->b, "/new/motd"), IMM(0));
    planbuild_call(t->b, t->a, SYS_unlinkat, -EISDIR, IMM(AT_FDCWD), TEXT(t->b, "/new"),
                   IMM(0));
    planbuild_call(t->b, t->a, SYS_chdir, 0, TEXT(t->b, "/new"));
    opens(t, t->a, "motd", O_RDONLY, 4);
    exits(t, t->a, 0);
    as_planned(t);
    assert_true(has(t, "fd[0] = (int)expect(0, sys(openat, AT_FDCWD, in(\"/etc/motd\"), O_RDWR "
                       "| O_CLOEXEC));"));
    assert_true(has(t, "expect(1000, sys(read, fd[0], sink, 4096));"));
    assert_true(has(t, "expect(-ENOENT, sys(openat, AT_FDCWD, in(\"/etc/none\"), O_RDONLY));"));
}

static void a_wrong_result_is_told(void **state)
{
    struct scene *t = *state;

    opens(t, t->a, "/etc/none", O_RDONLY, 3);
    reads(t, t->a, 3, 4096, 100);
    exits(t, t->a, 0);
    emits(t, "planted");
    assert_int_equal(plays(t, ""), 1);
    assert_int_equal(run(t, "grep -q 'openat: -2 (No such file or directory), recorded 3' log"),
                     0);
    assert_int_equal(run(t, "grep -q '3 calls, 2 different, 0 skipped' log"), 0);
}

static void what_never_comes_ends_it(void **state)
{
    struct scene *t = *state;
    const uint32_t pair =
        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_PIPE, .pair = 1});

    planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_PIPE,
                                                 .pair = pair,
                                                 .flags = O_WRONLY,
                                                 .is_environment = 1});
    planbuild_start(t->b, t->p, 5, pair);
    reads(t, t->a, 5, 10, 10);
    exits(t, t->a, 0);
    emits(t, "nobody writes");
    assert_int_equal(plays(t, ""), 1);
    assert_int_equal(run(t, "grep -q 'read: -4 (Interrupted system call), recorded 10' log"),
                     0);
}

static void who_stops_it_leaves_nothing(void **state)
{
    struct scene *t = *state;

    node(t, "/locked", KYMO_NODE_DIR, 0000, 0);
    node(t, "/locked/in", KYMO_NODE_FILE, 0600, 10);
    forks(t, t->p, t->a);
    planbuild_call(t->b, t->a, SYS_nanosleep, 0, ARG(WAIT, 30000000000), IMM(0));
    exits(t, t->a, 0);
    emits(t, "it sleeps");
    assert_int_equal(
        run(t, "mkdir in; TMPDIR=$PWD/in timeout -k 5 1 ./played --pace >log 2>&1"), 124);
    assert_int_equal(run(t, "rmdir in"), 0);
}

static void processes_are_made_and_waited_for(void **state)
{
    struct scene *t = *state;
    const uint32_t pair[2] = {0, 0};

    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_pipe2, 0, ARG(PAIR, 0), IMM(0));
    c->out = KYMO_OUT_PAIR;
    c->other = pair[0];
    c->other2 = 1;
    const uint32_t child = forks(t, t->p, t->a);
    closes(t, t->a, 1);
    reads(t, t->a, 0, 100, 40);
    reads(t, t->a, 0, 100, 0);
    planbuild_after(t->b, t->a, child, 5);
    waits(t, t->a, WNOHANG, 1234);
    waits(t, t->a, 0, -ECHILD);
    exits(t, t->a, 0);
    closes(t, child, 0);
    planbuild_call(t->b, child, SYS_dup3, 7, FD(1), ARG(FD_NEW, 7), IMM(O_CLOEXEC));
    gives_fd(planbuild_call(t->b, child, SYS_dup3, 7, FD(1), ARG(FD_NEW, 7), IMM(O_CLOEXEC)));
    writes(t, child, 7, 40, 40);
    struct kymo_icall *exec =
        planbuild_call(t->b, child, SYS_execve, 0, TEXT(t->b, "/bin/x"), IMM(0), IMM(0));
    exec->how = KYMO_HOW_EXEC;
    exec->text = planbuild_text(t->b, "other");
    exits(t, child, 3);
    as_planned(t);
    assert_true(has(t, "gone(actor_1001);"));
    assert_true(has(t, "becomes(\"other\");"));
}

static void threads_wait_for_each_other(void **state)
{
    struct scene *t = *state;
    const uint32_t other = threads(t, t->p, t->a);

    struct kymo_icall *c =
        planbuild_call(t->b, other, SYS_futex, 0, ARG(OWN_WORD, 3),
                       IMM(FUTEX_WAIT | FUTEX_PRIVATE_FLAG), IMM(2), ARG(WAIT, UINT64_MAX));
    c->flags = KYMO_ICALL_BLOCKS | KYMO_ICALL_SET_WORD;
    c->word_value = 2;
    planbuild_call(t->b, other, SYS_futex, -ETIMEDOUT, ARG(OWN_WORD, 3),
                   IMM(FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG), IMM(2), ARG(UNTIL, 50000000),
                   IMM(0), IMM(UINT32_MAX));
    planbuild_call(t->b, other, SYS_exit, 0, IMM(0))->how = KYMO_HOW_EXIT;
    planbuild_call(t->b, t->a, SYS_futex, 1, ARG(OWN_WORD, 3),
                   IMM(FUTEX_WAKE | FUTEX_PRIVATE_FLAG), IMM(1));
    planbuild_after(t->b, t->a, other, 0 | KYMO_DEP_BEGUN);
    planbuild_call(t->b, t->a, SYS_tgkill, -ESRCH, ARG(PID, t->p), ARG(TID, other),
                   IMM(SIGUSR1));
    planbuild_after(t->b, t->a, other, 2);
    planbuild_call(t->b, t->a, SYS_set_robust_list, 0, SINK(0), IMM(24));
    c = planbuild_call(t->b, t->a, SYS_mmap, 0x7f1200000000, IMM(0), IMM(8192),
                       IMM(PROT_READ | PROT_WRITE), IMM(MAP_PRIVATE | MAP_ANONYMOUS), FD(-1),
                       IMM(0));
    c->out = KYMO_OUT_REGION;
    c->other = 4;
    planbuild_call(t->b, t->a, SYS_mprotect, 0, ARG(REGION, 4ull << 40 | 4096), IMM(4096),
                   IMM(PROT_READ));
    planbuild_call(t->b, t->a, SYS_brk, 0x55550000, ARG(BREAK, 4096));
    exits(t, t->a, 0);
    as_planned(t);
    assert_true(has(t, "own[3] = 2;"));
    assert_true(has(t, "inside(thread_5001, 1);"));
    assert_true(has(t, "FUTEX_WAIT | FUTEX_PRIVATE_FLAG"));
}

static void peers_of_sockets_play_along(void **state)
{
    struct scene *t = *state;
    const struct sockaddr_in server = place("10.1.2.3", 80), out = place("192.0.2.7", 6379);
    const struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x.sock"};
    const uint32_t client = planbuild_object(
                       t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_STREAM,
                                                   .is_environment = 1,
                                                   .family = AF_INET,
                                                   .pair = KYMO_NONE,
                                                   .peer = planbuild_address(t->b, &server,
                                                                             sizeof(server))}),
                   listener = planbuild_object(
                       t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_LISTEN,
                                                   .is_environment = 1,
                                                   .family = AF_INET,
                                                   .pair = KYMO_NONE,
                                                   .local = planbuild_address(t->b, &out,
                                                                              sizeof(out))}),
                   taken =
                       planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_STREAM,
                                                                    .is_environment = 1,
                                                                    .family = AF_INET,
                                                                    .pair = KYMO_NONE});
    const struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 3};
    const struct iovec vector[2] = {{(void *)KYMO_PATTERN_BASE, 60},
                                    {(void *)(KYMO_PATTERN_BASE + 100), 40}};

    for (uint32_t i = 0; i < 3; i++)
        planbuild_start(t->b, t->p, i,
                        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_EVENT,
                                                                     .pair = KYMO_NONE}));
    node(t, "/run", KYMO_NODE_DIR, 0755, 0);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_LISTEN, .object = listener},
                  KYMO_NONE, 0);
    gives_fd(planbuild_call(t->b, t->a, SYS_socket, 3, IMM(AF_INET),
                            IMM(SOCK_STREAM | SOCK_CLOEXEC), IMM(0)));
    planbuild_call(t->b, t->a, SYS_setsockopt, 0, FD(3), IMM(SOL_SOCKET), IMM(SO_REUSEADDR),
                   ARG(BLOB, planbuild_blob(t->b, &(int){1}, sizeof(int))), IMM(4));
    planbuild_call(t->b, t->a, SYS_bind, 0, FD(3),
                   ARG(BLOB, planbuild_blob(t->b, &server, sizeof(server))), IMM(16));
    planbuild_call(t->b, t->a, SYS_listen, 0, FD(3), IMM(128));
    gives_fd(planbuild_call(t->b, t->a, SYS_epoll_create1, 4, IMM(EPOLL_CLOEXEC)));
    planbuild_call(t->b, t->a, SYS_epoll_ctl, 0, FD(4), IMM(EPOLL_CTL_ADD), FD(3),
                   ARG(BLOB, planbuild_blob(t->b, &event, sizeof(event))));
    planbuild_call(t->b, t->a, SYS_epoll_wait, 0, FD(4), SINK(0), IMM(8), ARG(WAIT_MS, 20));
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_CONNECT, .object = client}, t->a,
                  6);
    planbuild_call(t->b, t->a, SYS_epoll_wait, 1, FD(4), SINK(0), IMM(8), ARG(WAIT_MS, 20));
    gives_fd(
        planbuild_call(t->b, t->a, SYS_accept4, 5, FD(3), IMM(0), IMM(0), IMM(SOCK_NONBLOCK)));
    reads(t, t->a, 5, 100, -EAGAIN);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_SEND, .object = client, .n = 50},
                  t->a, 9);
    const struct pollfd polled = {5, POLLIN, 0};
    planbuild_call(t->b, t->a, SYS_poll, 1,
                   ARG(POLL, (uint64_t)planbuild_blob(t->b, &polled, sizeof(polled)) << 16 | 1),
                   IMM(1), ARG(WAIT_MS, UINT64_MAX));
    reads(t, t->a, 5, 100, 50);
    planbuild_call(t->b, t->a, SYS_writev, 100, FD(5),
                   ARG(BLOB, planbuild_blob(t->b, vector, sizeof(vector))), IMM(2));
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_RECV, .object = client, .n = 100},
                  t->a, 12);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_RESET, .object = client}, KYMO_NONE,
                  0);
    reads(t, t->a, 5, 100, -ECONNRESET);
    planbuild_after(t->b, t->a, 0, 4);
    gives_fd(planbuild_call(t->b, t->a, SYS_socket, 6, IMM(AF_INET), IMM(SOCK_STREAM), IMM(0)));
    planbuild_call(t->b, t->a, SYS_connect, 0, FD(6),
                   ARG(BLOB, planbuild_blob(t->b, &out, sizeof(out))), IMM(16));
    planbuild_after(t->b, t->a, 0, 0);
    planbuild_act(
        t->b, (struct kymo_iact){.kind = KYMO_ACT_ACCEPT, .object = taken, .other = listener},
        t->a, 15);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_SHUT, .object = taken}, KYMO_NONE,
                  0);
    reads(t, t->a, 6, 100, 0);
    gives_fd(planbuild_call(t->b, t->a, SYS_socket, 7, IMM(AF_UNIX), IMM(SOCK_STREAM), IMM(0)));
    planbuild_call(t->b, t->a, SYS_bind, 0, FD(7),
                   ARG(BLOB, planbuild_blob(t->b, &un, sizeof(un))), IMM(14));
    exits(t, t->a, 0);
    as_planned(t);
    assert_true(has(t, "in4(\"10.1.2.3\", 80)"));
    assert_true(has(t, "local(\"/run/x.sock\")"));
    assert_true(has(t, "((struct iovec[]){{pattern, 60}, {pattern + 100, 40}})"));
    assert_true(
        has(t, "((struct epoll_event[]){{EPOLLIN | (unsigned)EPOLLET, {.u64 = 0x3}}})"));
}

static void what_was_open_is_open(void **state)
{
    struct scene *t = *state;
    const uint32_t child = planbuild_process(t->b, t->p, 1), c = planbuild_leader(t->b, child);
    const uint32_t watch[4] = {1, 0, 30, EPOLLIN};

    node(t, "/f", KYMO_NODE_FILE, 0644, 100);
    const uint32_t file =
        planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_FILE,
                                                     .path = planbuild_text(t->b, "/f"),
                                                     .pair = KYMO_NONE,
                                                     .at = 90});
    const uint32_t in = planbuild_object(
        t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_STREAM, .family = AF_UNIX, .pair = 2});
    planbuild_object(t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_STREAM,
                                                 .family = AF_UNIX,
                                                 .pair = in,
                                                 .is_environment = 1});
    const uint32_t epoll = planbuild_object(
        t->b, (struct kymo_iobject){.kind = KYMO_OBJECT_EPOLL,
                                    .pair = KYMO_NONE,
                                    .watch = planbuild_blob(t->b, watch, sizeof(watch))});
    planbuild_start(t->b, t->p, 9, file);
    planbuild_start(t->b, t->p, 30, in);
    planbuild_start(t->b, t->p, 31, epoll);
    planbuild_start(t->b, child, 4, file);
    reads(t, t->a, 9, 100, 10);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_SEND, .object = 2, .n = 5}, t->a,
                  0);
    planbuild_call(t->b, t->a, SYS_epoll_wait, 1, FD(31), SINK(0), IMM(8), IMM(-1));
    reads(t, t->a, 30, 100, 5);
    reads(t, c, 4, 100, 0);
    planbuild_after(t->b, c, t->a, 0);
    reads(t, c, 9, 100, -EBADF);
    exits(t, c, 0);
    waits(t, t->a, 0, 1234);
    planbuild_act(t->b, (struct kymo_iact){.kind = KYMO_ACT_CLOSE, .object = 2}, t->a, 3);
    reads(t, t->a, 30, 100, 0);
    planbuild_after(t->b, t->a, 0, 1);
    exits(t, t->a, 0);
    as_planned(t);
}

static void repetitions_become_loops(void **state)
{
    struct scene *t = *state;

    node(t, "/f", KYMO_NODE_FILE, 0644, 1 << 20);
    opens(t, t->a, "/f", O_RDONLY, 0);
    const uint32_t other = threads(t, t->p, t->a);
    for (uint32_t i = 0; i < 500; i++) {
        planbuild_call(t->b, t->a, SYS_pread64, 100 + i % 3, FD(0), SINK(0), IMM(1024),
                       IMM(i * 1024));
        planbuild_call(t->b, t->a, SYS_getppid, 1);
        planbuild_call(t->b, other, SYS_lseek, i ? i * 7 : 0, FD(0), IMM(i ? i * 7 : 0),
                       IMM(SEEK_SET));
        planbuild_after(t->b, other, t->a, 2 + 2 * i);
    }
    planbuild_call(t->b, other, SYS_exit, 0, IMM(0))->how = KYMO_HOW_EXIT;
    planbuild_call(t->b, t->a, SYS_sched_yield, 0);
    planbuild_after(t->b, t->a, other, 500);
    exits(t, t->a, 0);
    as_planned(t);
    assert_true(has(t, "    for (long i = 0; i < 500; i++) {\n"
                       "        expect(SOME, sys(pread64, fd[0], sink, 1024, (1024 * i)));\n"
                       "        expect(1, sys(getppid));\n"
                       "    }\n"));
    assert_true(has(t, "    for (long i = 0; i < 499; i++) {\n"
                       "        after(actor_1000, (5 + 2 * i));\n"
                       "        expect(SOME, sys(lseek, fd[0], (7 + 7 * i), SEEK_SET));\n"
                       "    }\n"));
}

static void what_is_not_made_is_told(void **state)
{
    struct scene *t = *state;
    struct kymo_icall *c = planbuild_call(t->b, t->a, SYS_io_uring_setup, 5, IMM(8), IMM(0));

    c->how = KYMO_HOW_INJECT;
    c->why = KYMO_WHY_SIMULATED;
    c = planbuild_call(t->b, t->a, SYS_reboot, 0, IMM(0), IMM(0), IMM(0), IMM(0));
    c->how = KYMO_HOW_SKIP;
    c->why = KYMO_WHY_POWER;
    /* What no compiler of ours lets through. */
    planbuild_call(t->b, t->a, SYS_unshare, 0, IMM(CLONE_NEWNS));
    planbuild_call(t->b, t->a, SYS_kill, 0, IMM(-1), IMM(SIGKILL));
    planbuild_call(t->b, t->a, SYS_kill, 0, IMM(1), IMM(SIGKILL));
    c = planbuild_call(t->b, t->a, SYS_rt_sigreturn, 0);
    c->how = KYMO_HOW_SKIP;
    c->why = KYMO_WHY_FOLLOWS;
    planbuild_call(t->b, t->a, SYS_getppid, 1);
    exits(t, t->a, 0);
    as_planned(t);
    assert_true(has(t, "skipped(); /* io_uring_setup() = 5: simulated */"));
    assert_int_equal(run(t, "grep -q '8 calls, 0 different, 5 skipped' log"), 0);
}

static void names_of_strangers_are_harmless(void **state)
{
    struct scene *t = *state;
    static const char *const names[] = {"/\"); system(\"touch /tmp/emit-was-here\"); (\"",
                                        "/a\nb\\",
                                        "/?\?/x?\?=",
                                        "/*/ int x; /*",
                                        "/%s%n%d",
                                        "/\x01n\x01w",
                                        "/\xff\xfe\x80",
                                        "/tab\there",
                                        "/\x1b[31m\r0123",
                                        "//evil\\\n#include </etc/passwd>"};
    char *deep = malloc(5000);

    memset(deep, 'd', 4999);
    deep[0] = '/';
    deep[4999] = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const uint32_t thread = planbuild_thread(t->b, t->p, 1);
        planbuild_actor_at(t->b, thread)->comm = planbuild_text(t->b, names[i] + 1);
        planbuild_actor_at(t->b, thread)->tid = i % 2 ? 77 : (uint32_t)i;
        opens(t, thread, names[i], O_RDONLY, -ENOENT);
        struct kymo_icall *c = planbuild_call(t->b, thread, SYS_openat, 5, TEXT(t->b, names[i]),
                                              TEXT(t->b, names[i]));
        c->how = KYMO_HOW_SKIP;
        c->why = KYMO_WHY_UNKNOWN;
    }
    opens(t, t->a, deep, O_RDONLY, -ENAMETOOLONG);
    planbuild_actor_at(t->b, t->a)->comm = planbuild_text(t->b, "main");
    /* Absurd, but it has to compile. */
    planbuild_call(t->b, t->a, SYS_read, -EBADF, FD(-2000000000), SINK(0), IMM(UINT64_MAX));
    planbuild_call(t->b, t->a, SYS_lseek, -EBADF, FD(99999999), IMM(1ull << 63), IMM(77));
    planbuild_call(t->b, t->a, 999, -ENOSYS, IMM(1), IMM(2));
    struct kymo_err err = {0};
    assert_int_equal(
        kymo_plan_emit_c(planbuild_image(t->b), "*/ \n#error title ?\?/\n/*", &t->text, &err),
        KYMO_OK);
    kymo_buf_clear(&t->text);
    as_planned(t);
    free(deep);
    assert_int_equal(access("/tmp/emit-was-here", F_OK), -1);
}

static void a_plan_of_another_machine_is_refused(void **state)
{
    struct scene *t = *state;
    struct kymo_err err = {0};

    exits(t, t->a, 0);
    struct kymo_image *h = (struct kymo_image *)(uintptr_t)planbuild_image(t->b);
    h->machine ^= 1;
    kymo_buf_u8(&t->text, 'x');
    assert_int_equal(kymo_plan_emit_c(h, "", &t->text, &err), KYMO_EUSAGE);
    assert_int_equal(t->text.n, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_scene, clear_scene)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_there_and_calls_are_a_line_each),
        TEST(a_wrong_result_is_told),
        TEST(what_never_comes_ends_it),
        TEST(who_stops_it_leaves_nothing),
        TEST(processes_are_made_and_waited_for),
        TEST(threads_wait_for_each_other),
        TEST(peers_of_sockets_play_along),
        TEST(what_was_open_is_open),
        TEST(repetitions_become_loops),
        TEST(what_is_not_made_is_told),
        TEST(names_of_strangers_are_harmless),
        TEST(a_plan_of_another_machine_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
