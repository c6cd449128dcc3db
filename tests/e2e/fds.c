/* SPDX-License-Identifier: Apache-2.0
 * fds.c: reads and writes through descriptors that came about in every way, each with a number of bytes of
 * its own, for tests that compare whose bytes they were with what strace -y says: fds FOLDER, which is
 * empty. It uses nothing that it did not open itself.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char bytes[8192];
extern char **environ;

static int good(int fd)
{
    if (fd < 0)
        abort();
    return fd;
}

static void put(int fd, size_t n)
{
    if (write(fd, bytes, n) != (ssize_t)n)
        abort();
}

static void get(int fd, size_t n)
{
    if (read(fd, bytes, n) != (ssize_t)n)
        abort();
}

static int make(const char *path)
{
    return good(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
}

static void paths(void)
{
    good(mkdir("dir", 0700));
    good(mkdir("dir/below", 0700));
    const int dir = good(open("dir", O_RDONLY | O_DIRECTORY));
    const int at = good(openat(dir, "below/./../at", O_RDWR | O_CREAT, 0600));
    put(at, 101);
    good(chdir("dir/below"));
    const int below = make("file");
    put(below, 102);
    const int up = make("../up");
    put(up, 103);
    good(fchdir(dir));
    const int back = make("back");
    put(back, 104);
    good(chdir(".."));
    struct iovec v[2] = {{bytes, 50}, {bytes, 55}};
    if (writev(back, v, 2) != 105 || pwrite(at, bytes, 106, 7) != 106 ||
        pread(at, bytes, 107, 0) != 107)
        abort();
    close(dir);
    close(at);
    close(below);
    close(up);
    close(back);
}

static void copies(void)
{
    const int a = make("a"), b = make("b");
    const int c = good(dup(a)), d = good(dup2(b, 40)), e = good(dup3(a, 41, O_CLOEXEC));
    const int f = good(fcntl(b, F_DUPFD, 50)), g = good(fcntl(a, F_DUPFD_CLOEXEC, 50));
    put(c, 201);
    put(d, 202);
    put(e, 203);
    close(a); /* its copies live on */
    put(f, 204);
    put(g, 205);
    const int h = make("h"); /* takes the number of a */
    put(h, 206);
    put(good(dup2(h, d)), 207); /* what was b's is h's now */
    close(c);
    syscall(SYS_close_range, 40, 60, 0);
    const int i = make("i");
    put(good(dup2(i, 45)), 208);
    close(45);
    close(b);
    close(h);
    close(i);
}

static void pipes(void)
{
    int p[2], q[2], s[2];
    good(pipe(p));
    good(pipe2(q, O_CLOEXEC));
    put(p[1], 301);
    get(p[0], 301);
    put(q[1], 302);
    get(q[0], 302);
    good(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    put(s[0], 303);
    get(s[1], 303);
    close(p[0]);
    close(q[1]);
    const int f = make("after-pipes");
    put(f, 304);
    close(f);
    close(p[1]);
    close(q[0]);
    close(s[0]);
    close(s[1]);
}

static void sockets(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "socket"};
    socklen_t n = sizeof(in);
    const int tcp = good(socket(AF_INET, SOCK_STREAM, 0));
    good(bind(tcp, (struct sockaddr *)&in, n));
    good(listen(tcp, 1));
    good(getsockname(tcp, (struct sockaddr *)&in, &n));
    const int near = good(socket(AF_INET, SOCK_STREAM, 0));
    good(connect(near, (struct sockaddr *)&in, n));
    const int far = good(accept(tcp, (struct sockaddr *)&in, &n));
    put(near, 401);
    get(far, 401);
    if (send(far, bytes, 402, 0) != 402 || recv(near, bytes, 402, MSG_WAITALL) != 402)
        abort();
    const int local = good(socket(AF_UNIX, SOCK_STREAM, 0));
    good(bind(local, (struct sockaddr *)&un, sizeof(un)));
    good(listen(local, 1));
    const int one = good(socket(AF_UNIX, SOCK_STREAM, 0));
    good(connect(one, (struct sockaddr *)&un, sizeof(un)));
    const int other = good(accept4(local, NULL, NULL, SOCK_CLOEXEC));
    put(one, 403);
    get(other, 403);
    const int all[] = {tcp, near, far, local, one, other};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        close(all[i]);
}

static void others(void)
{
    const int event = good(eventfd(0, 0)), poll = good(epoll_create1(0));
    const int memory = good((int)syscall(SYS_memfd_create, "kymo", 0)), file = make("sent");
    struct epoll_event e = {.events = EPOLLIN};
    good(epoll_ctl(poll, EPOLL_CTL_ADD, event, &e));
    memset(bytes, 1, 8);
    put(event, 8);
    get(event, 8);
    put(memory, 501);
    off_t at = 0;
    if (sendfile(file, memory, &at, 500) != 500)
        abort();
    close(event);
    close(poll);
    close(memory);
    close(file);
}

static void *thread_main(void *arg)
{
    put(*(int *)arg, 601);
    const int f = make("by-thread");
    put(f, 602);
    close(f);
    return NULL;
}

static void threads_and_children(const char *self)
{
    pthread_t t;
    int shared = make("shared"), own = make("own");
    pthread_create(&t, NULL, thread_main, &shared);
    pthread_join(t, NULL);
    for (int i = 0; i < 3; i++) {
        const pid_t child = fork();
        if (!child) {
            put(shared, 610);
            close(own);
            const int f = make("by-child"); /* takes its number, here alone */
            put(f, 611);
            _exit(0);
        }
        put(own, 612);
        waitpid(child, NULL, 0);
    }
    good(fcntl(own, F_SETFD, FD_CLOEXEC));
    char number[16];
    char *const argv[] = {(char *)self, "exec", number, NULL};
    pid_t child;
    snprintf(number, sizeof(number), "%d", shared);
    if (posix_spawn(&child, self, NULL, NULL, argv, environ))
        abort();
    waitpid(child, NULL, 0);
    put(own, 613);
    execv(self, argv);
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "exec")) {
        put(atoi(argv[2]), 701);
        const int f = make("after-exec"); /* takes the number of what was closed by it */
        put(f, 702);
        return 0;
    }
    if (argc != 2)
        return 2;
    good((int)syscall(SYS_close_range, 3, ~0u, 0)); /* what the caller left open */
    good(chdir(argv[1]));
    paths();
    copies();
    pipes();
    sockets();
    others();
    threads_and_children(argv[0]);
    return 1;
}
