/* SPDX-License-Identifier: Apache-2.0
 * storm.c: makes processes and counts them, for tests that compare a recording with the truth.
 *
 * storm forks N       N children, one after another, that end at once
 * storm bomb SECONDS  children that make children as fast as they can; prints how many were born, and how many were
 *                     refused (by a limit of their cgroup, which is to be set)
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "forks"))
        return forks(strtoul(argv[2], NULL, 10));
    if (argc == 3 && !strcmp(argv[1], "bomb"))
        return bomb(atof(argv[2]));
    return 2;
}
