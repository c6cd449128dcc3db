/* SPDX-License-Identifier: Apache-2.0
 * storm.c: makes processes and counts them, for tests that compare a recording with the truth.
 *
 * storm forks N       N children, one after another, that end at once
 * storm bomb SECONDS  children that make children as fast as they can; prints how many were born, and how many were
 *                     refused (by a limit of their cgroup, which is to be set)
 * storm stacks N      N threads, one after the other, so that they have the same kernel stack; each is moved to the last
 *                     CPU while it is in no call, and says there who it is: tgkill(pid, tid, 0), eight times
 * storm swap          a thread that says so, and then says so again as another image, which has its leader's
 *                     number: the leader has left before
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct counts {
    atomic_ulong born, refused;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int forks(unsigned long n)
{
    for (unsigned long i = 0; i < n; i++) {
        const pid_t child = vfork();
        if (!child)
            _exit(0);
        if (child < 0 || waitpid(child, NULL, 0) != child)
            return 1;
    }
    return 0;
}

static void breed(struct counts *c, double end_s)
{
    while (now_s() < end_s) {
        const pid_t child = fork();
        if (child < 0) {
            atomic_fetch_add(&c->refused, 1);
            usleep(1000);
        } else if (child) {
            atomic_fetch_add(&c->born, 1);
        } else if (now_s() >= end_s) {
            _exit(0);
        }
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static int bomb(double seconds)
{
    struct counts *c =
        mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const pid_t first = getpid();

    if (c == MAP_FAILED)
        return 1;
    breed(c, now_s() + seconds);
    if (getpid() == first)
        printf("%lu %lu\n", atomic_load(&c->born), atomic_load(&c->refused));
    fflush(stdout);
    _exit(0);
}

#define SAYS 8

static int say_who(void)
{
    for (int i = 0; i < SAYS; i++)
        if (syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0))
            return 1;
    return 0;
}

struct moved {
    atomic_int tid, is_there, failed;
};

static void *wait_and_say(void *arg)
{
    struct moved *m = arg;

    atomic_store(&m->tid, (int)syscall(SYS_gettid));
    while (!atomic_load(&m->is_there))
        ;
    atomic_store(&m->failed, say_who());
    return NULL;
}

static int pin(pid_t tid, int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(tid, sizeof(set), &set);
}

static int stacks(unsigned long n)
{
    const int last = (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
    int failed = pin(0, 0);

    for (unsigned long i = 0; i < n && !failed; i++) {
        struct moved m = {0};
        pthread_t t;
        failed = pthread_create(&t, NULL, wait_and_say, &m);
        while (!failed && !atomic_load(&m.tid))
            sched_yield();
        failed |= !failed && pin(atomic_load(&m.tid), last);
        atomic_store(&m.is_there, 1);
        failed |= failed || pthread_join(t, NULL) || atomic_load(&m.failed);
    }
    return failed;
}

static void *become(void *self)
{
    usleep(50000); /* the leader leaves meanwhile */
    if (!say_who())
        execl(self, self, "who", (char *)NULL);
    _exit(1);
}

static int swap(char *self)
{
    pthread_t t;

    if (pthread_create(&t, NULL, become, self))
        return 1;
    pthread_exit(NULL);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "stacks"))
        return stacks(strtoul(argv[2], NULL, 10));
    if (argc == 2 && !strcmp(argv[1], "swap"))
        return swap(argv[0]);
    if (argc == 2 && !strcmp(argv[1], "who"))
        return say_who();
    if (argc == 3 && !strcmp(argv[1], "forks"))
        return forks(strtoul(argv[2], NULL, 10));
    if (argc == 3 && !strcmp(argv[1], "bomb"))
        return bomb(atof(argv[2]));
    return 2;
}
