/* SPDX-License-Identifier: Apache-2.0
 * calls.c: makes a known number of known calls, for tests that compare a recording with the truth.
 *
 * calls count N      N times getppid, read of 8 bytes from /dev/zero, write of 8 bytes to /dev/null
 * calls loop SECONDS the same for so long; prints how many of each
 * calls odd          one of each odd case: paths, addresses, errors, fork, threads, exec
 * calls block        waits in pause until it is killed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void triple(int zero, int null)
{
    char b[8];

    syscall(SYS_getppid);
    if (read(zero, b, sizeof(b)) != 8 || write(null, b, sizeof(b)) != 8)
        abort();
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *thread_main(void *arg)
{
    prctl(PR_SET_NAME, "named-thread");
    syscall(SYS_getppid);
    return arg;
}

/* getpid by the 32-bit entry, where there is one. */
static void compat_call(void)
{
#if defined(__x86_64__)
    long ret = 20;
    __asm__ volatile("int $0x80" : "+a"(ret) : : "r8", "r9", "r10", "r11", "memory");
#endif
}

static void odd(const char *self)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/kymo.sock"};
    struct stat st;
    pthread_t t;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    connect(fd, (struct sockaddr *)&in, sizeof(in)); /* ECONNREFUSED */
    close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(fd, (struct sockaddr *)&un, sizeof(un)); /* ENOENT */
    close(fd);
    stat("/nonexistent/kymo-stat", &st);
    rename("/nonexistent/kymo-from", "/nonexistent/kymo-to");
    unlink("/nonexistent/\033[31mkymo");
    syscall(SYS_openat, AT_FDCWD, (const char *)8, O_RDONLY); /* EFAULT */
    compat_call();
    pthread_create(&t, NULL, thread_main, NULL);
    pthread_join(t, NULL);
    const pid_t child = fork();
    if (!child) {
        execl(self, self, "count", "1", "with blank", (char *)NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
    execl("/nonexistent/kymo-exec", "x", (char *)NULL);
}

int main(int argc, char **argv)
{
    const int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
    const char *verb = argc > 1 ? argv[1] : "";
    unsigned long n = 0;

    if (!strcmp(verb, "count")) {
        for (const unsigned long want = strtoul(argv[2], NULL, 10); n < want; n++)
            triple(zero, null);
    } else if (!strcmp(verb, "loop")) {
        for (const double end = now_s() + atof(argv[2]); now_s() < end;)
            for (int i = 0; i < 1000; i++, n++)
                triple(zero, null);
        printf("%lu\n", n);
    } else if (!strcmp(verb, "odd")) {
        odd(argv[0]);
    } else if (!strcmp(verb, "block")) {
        pause();
    } else {
        return 2;
    }
    return 0;
}
