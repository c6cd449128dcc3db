/* SPDX-License-Identifier: Apache-2.0
 * lives.c: processes that are born, change and die in every way, and the truth about them as wait(2)
 * and their own counts tell it: one line of JSON each.
 *
 *   lives burn            a child that uses CPU and memory and exits 7
 *   lives kill            a child that is killed
 *   lives storm N         N children that live as short as can be
 *   lives threads N       N processes of four threads, all of which leave at the same moment
 *   lives threadexec PROG another thread than the first executes PROG
 *   lives leaderfirst     the first thread leaves 100 ms before the others
 *   lives reuse N         N processes, one after the other, with one and the same pid
 *   lives bomb            forks without end, until it is refused 1000 times
 *   lives cred            a process that becomes somebody else, and another after that
 *   lives unshare         a process that takes a network of its own
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void nap(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* What wait4 says of a child. */
static void tell(pid_t pid, double born)
{
    struct rusage u;
    int status;
    while (wait4(pid, &status, 0, &u) < 0 && errno == EINTR)
        ;
    printf("{\"pid\":%d,\"status\":%d,\"cpu\":%.6f,\"maxrss\":%ld,\"minflt\":%ld,"
           "\"majflt\":%ld,\"life\":%.6f}\n",
           pid, status, seconds(u.ru_utime) + seconds(u.ru_stime), u.ru_maxrss * 1024,
           u.ru_minflt, u.ru_majflt, now() - born);
}

static void burn(void)
{
    const double born = now();
    const pid_t pid = fork();
    if (!pid) {
        const size_t n = 48u << 20;
        volatile char *p = malloc(n);
        for (size_t i = 0; i < n; i += 4096)
            p[i] = 1;
        struct timespec t;
        do
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        while (t.tv_sec == 0 && t.tv_nsec < 300000000);
        _exit(7);
    }
    tell(pid, born);
}

static void kill_one(void)
{
    const double born = now();
    const pid_t pid = fork();
    if (!pid)
        for (;;)
            pause();
    nap(20);
    kill(pid, SIGKILL);
    tell(pid, born);
}

static void storm(int n)
{
    int made = 0;
    for (int i = 0; i < n; i++) {
        const pid_t pid = fork();
        if (!pid)
            _exit(i & 127);
        if (pid < 0)
            break;
        made++;
        if (i % 8 == 7) /* eight at a time */
            while (waitpid(-1, NULL, 0) > 0)
                ;
    }
    while (waitpid(-1, NULL, 0) > 0)
        ;
    printf("{\"pid\":%d,\"made\":%d}\n", getpid(), made);
}

static pthread_barrier_t gate;

static void *leave(void *arg)
{
    pthread_barrier_wait(&gate);
    syscall(SYS_exit, 0); /* this thread alone */
    return arg;
}

static void threads(int n)
{
    for (int i = 0; i < n; i++) {
        const pid_t pid = fork();
        if (!pid) {
            pthread_t t;
            pthread_barrier_init(&gate, NULL, 4);
            for (int k = 0; k < 3; k++)
                pthread_create(&t, NULL, leave, NULL);
            leave(NULL);
        }
        waitpid(pid, NULL, 0);
    }
    printf("{\"pid\":%d,\"made\":%d}\n", getpid(), n);
}

static void *exec_it(void *prog)
{
    char *argv[] = {prog, "from a thread", NULL};
    execv(prog, argv);
    _exit(127);
}

static void thread_exec(char *prog)
{
    const double born = now();
    const pid_t pid = fork();
    if (!pid) {
        pthread_t t;
        pthread_create(&t, NULL, exec_it, prog);
        for (;;)
            pause();
    }
    tell(pid, born);
}

static void *outlive(void *arg)
{
    char c;
    const int fd = *(int *)arg;
    nap(100);
    if (read(fd, &c, 1) != 1)
        _exit(1);
    exit(5);
}

static void leader_first(void)
{
    const double born = now();
    const pid_t pid = fork();
    if (!pid) {
        static int fd;
        pthread_t t;
        fd = open("/etc/passwd", O_RDONLY);
        pthread_create(&t, NULL, outlive, &fd);
        syscall(SYS_exit, 9);
    }
    tell(pid, born);
}

static void reuse(int n)
{
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    waitpid(pid, NULL, 0);
    int made = 0;
    for (int i = 0; i < n; i++) {
        struct clone_args a = {
            .exit_signal = SIGCHLD, .set_tid = (__u64)(uintptr_t)&pid, .set_tid_size = 1};
        const long child = syscall(SYS_clone3, &a, sizeof(a));
        if (!child) {
            if (i % 2)
                execl("/bin/true", "true", NULL);
            _exit(0);
        }
        if (child != pid) {
            fprintf(stderr, "clone3: %s\n", strerror(errno));
            exit(77);
        }
        waitpid(pid, NULL, 0);
        made++;
    }
    printf("{\"pid\":%d,\"made\":%d}\n", pid, made);
}

static struct shared {
    unsigned long made, refused;
} * shared;

static void explode(void)
{
    while (__atomic_load_n(&shared->refused, __ATOMIC_SEQ_CST) < 1000) {
        const pid_t pid = fork();
        if (pid > 0)
            __atomic_add_fetch(&shared->made, 1, __ATOMIC_SEQ_CST);
        else if (pid < 0)
            __atomic_add_fetch(&shared->refused, 1, __ATOMIC_SEQ_CST);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static void bomb(void)
{
    const pid_t mine = getpid();
    shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    explode();
    if (getpid() != mine)
        _exit(0);
    printf("{\"pid\":%d,\"made\":%lu,\"refused\":%lu}\n", getpid(), shared->made,
           shared->refused);
}

static void cred(void)
{
    const pid_t pid = fork();
    if (!pid) {
        if (setresgid(70, 71, 72) || setresuid(80, 0, 0))
            _exit(1);
        getppid();
        if (setresuid(82, 82, 82))
            _exit(2);
        getppid();
        _exit(0);
    }
    tell(pid, now());
}

static void own_network(void)
{
    struct stat st;
    const pid_t pid = fork();
    if (!pid) {
        if (unshare(CLONE_NEWNET))
            _exit(77);
        getppid();
        if (!stat("/proc/self/ns/net", &st)) {
            printf("{\"pid\":%d,\"netns\":%lu}\n", getpid(), (unsigned long)st.st_ino);
            fflush(stdout);
        }
        _exit(0);
    }
    tell(pid, now());
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(what, "burn"))
        burn();
    else if (!strcmp(what, "kill"))
        kill_one();
    else if (!strcmp(what, "storm"))
        storm(atoi(argv[2]));
    else if (!strcmp(what, "threads"))
        threads(atoi(argv[2]));
    else if (!strcmp(what, "threadexec"))
        thread_exec(argv[2]);
    else if (!strcmp(what, "leaderfirst"))
        leader_first();
    else if (!strcmp(what, "reuse"))
        reuse(atoi(argv[2]));
    else if (!strcmp(what, "bomb"))
        bomb();
    else if (!strcmp(what, "cred"))
        cred();
    else if (!strcmp(what, "unshare"))
        own_network();
    else
        return 2;
    return 0;
}
