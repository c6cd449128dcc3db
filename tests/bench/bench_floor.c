/* SPDX-License-Identifier: Apache-2.0
 * bench_floor.c: what the recorder's cost a call is measured with, and against.
 *
 * bench_floor hold             attach to the entry and the exit of every system call a program that
 *                              reads the clock and does nothing else; print "ready", hold until stdin
 *                              ends. Less than this no recorder of durations can cost.
 * bench_floor loop CALLS CPU CHUNKS N
 *                              CALLS is micro (getppid, read, write) or paths (stat, openat of a
 *                              missing file). On that CPU, CHUNKS times N rounds of them; print the
 *                              median chunk's CPU time in ns a call, and how many rounds were made
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHUNKS_MAX 1000

/* ---- two clock reads ------------------------------------------------------------------------ */

static int attach_clock_read(const char *tracepoint)
{
    /* ktime_get_ns(); return 0; */
    const struct bpf_insn body[] = {
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    const int id = libbpf_find_vmlinux_btf_id(tracepoint, BPF_TRACE_RAW_TP);
    LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = BPF_TRACE_RAW_TP,
                .attach_btf_id = id > 0 ? (uint32_t)id : 0);

    if (id < 0)
        return id;
    const int program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "clock_read", "GPL", body,
                                      sizeof(body) / sizeof(body[0]), &o);
    return program < 0 ? program : bpf_raw_tracepoint_open(NULL, program);
}

static int hold(void)
{
    char c;

    if (attach_clock_read("sys_enter") < 0 || attach_clock_read("sys_exit") < 0) {
        fprintf(stderr, "bench_floor: cannot attach: %s\n", strerror(errno));
        return 4;
    }
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return 0;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static char there[64], missing[80];
static int zero_fd, null_fd;

static bool micro(void)
{
    char c = 0;

    syscall(SYS_getppid);
    return read(zero_fd, &c, 1) == 1 && write(null_fd, &c, 1) == 1;
}

static bool paths(void)
{
    struct stat st;

    return !stat(there, &st) && open(missing, O_RDONLY) < 0;
}

static double thread_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static bool prepare(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    zero_fd = open("/dev/zero", O_RDONLY);
    null_fd = open("/dev/null", O_WRONLY);
    snprintf(there, sizeof(there), "/tmp/bench-floor.XXXXXX");
    const int fd = mkstemp(there);
    snprintf(missing, sizeof(missing), "%s.missing", there);
    return !sched_setaffinity(0, sizeof(set), &set) && zero_fd >= 0 && null_fd >= 0 && fd >= 0;
}

static int loop(const char *calls, int cpu, int chunks, long n)
{
    static double ns[CHUNKS_MAX];
    bool (*const round)(void) = !strcmp(calls, "paths") ? paths : micro;
    const double calls_a_round = round == paths ? 2 : 3;
    bool ok = prepare(cpu) && chunks > 0 && chunks <= CHUNKS_MAX && n > 0;

    for (int c = 0; ok && c < chunks; c++) {
        const double from = thread_cpu_ns();
        for (long i = 0; ok && i < n; i++)
            ok = round();
        ns[c] = (thread_cpu_ns() - from) / (calls_a_round * (double)n);
    }
    unlink(there);
    if (!ok) {
        fprintf(stderr, "bench_floor: the loop went wrong\n");
        return 1;
    }
    qsort(ns, (size_t)chunks, sizeof(ns[0]), by_value);
    printf("%.2f %ld\n", ns[chunks / 2], chunks * n);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "hold"))
        return hold();
    if (argc == 6 && !strcmp(argv[1], "loop"))
        return loop(argv[2], atoi(argv[3]), atoi(argv[4]), atol(argv[5]));
    fprintf(stderr, "usage: bench_floor hold | loop micro|paths CPU CHUNKS N\n");
    return 2;
}
