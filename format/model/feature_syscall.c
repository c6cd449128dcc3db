/* SPDX-License-Identifier: Apache-2.0
 * feature_syscall.c: what the calls were, how they ended, how long they took, what they moved.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/base/size.h"
#include "format/model/feature_group.h"
#include "format/trace/sysname.h"

/* Calls that do the same under several names (and names that one architecture lacks) are one
 * family, so that a model trained on one machine reads another. */
static const struct {
    const char *name;
    const char *calls; /* separated by a space */
} families[] = {
    {"read", "read"},
    {"write", "write"},
    {"readv", "readv preadv preadv2"},
    {"writev", "writev pwritev pwritev2"},
    {"pread", "pread64"},
    {"pwrite", "pwrite64"},
    {"recvfrom", "recvfrom recv"},
    {"sendto", "sendto send"},
    {"recvmsg", "recvmsg recvmmsg"},
    {"sendmsg", "sendmsg sendmmsg"},
    {"sendfile", "sendfile sendfile64 splice tee vmsplice copy_file_range"},
    {"open", "open openat openat2 creat"},
    {"close", "close close_range"},
    {"stat", "stat lstat fstat newfstatat fstatat64 stat64 lstat64 fstat64 statx"},
    {"access", "access faccessat faccessat2"},
    {"lseek", "lseek _llseek"},
    {"getdents", "getdents getdents64"},
    {"readlink", "readlink readlinkat"},
    {"unlink", "unlink unlinkat rmdir"},
    {"rename", "rename renameat renameat2"},
    {"mkdir", "mkdir mkdirat"},
    {"fcntl", "fcntl fcntl64"},
    {"ioctl", "ioctl"},
    {"dup", "dup dup2 dup3"},
    {"pipe", "pipe pipe2"},
    {"fsync", "fsync sync syncfs"},
    {"fdatasync", "fdatasync sync_file_range"},
    {"truncate", "truncate ftruncate fallocate"},
    {"mmap", "mmap mmap2"},
    {"munmap", "munmap"},
    {"mprotect", "mprotect"},
    {"madvise", "madvise"},
    {"brk", "brk mremap"},
    {"socket", "socket socketpair"},
    {"connect", "connect"},
    {"accept", "accept accept4"},
    {"bind", "bind listen"},
    {"shutdown", "shutdown"},
    {"sockopt", "getsockopt setsockopt"},
    {"sockname", "getsockname getpeername"},
    {"epoll_wait", "epoll_wait epoll_pwait epoll_pwait2"},
    {"epoll_ctl", "epoll_ctl epoll_create epoll_create1"},
    {"poll", "poll ppoll select pselect6 _newselect"},
    {"futex", "futex futex_waitv"},
    {"nanosleep", "nanosleep clock_nanosleep"},
    {"clock", "clock_gettime gettimeofday time"},
    {"sched_yield", "sched_yield"},
    {"fork", "fork vfork clone clone3"},
    {"exec", "execve execveat"},
    {"exit", "exit exit_group"},
    {"wait", "wait4 waitid waitpid"},
    {"kill", "kill tkill tgkill pidfd_send_signal"},
    {"sigaction", "rt_sigaction rt_sigprocmask"},
    {"sigreturn", "rt_sigreturn"},
    {"getpid", "getpid getppid gettid getuid geteuid getgid getegid"},
    {"prctl", "prctl arch_prctl"},
    {"getrandom", "getrandom"},
};
#define FAMILIES (KYMO_COUNT_OF(families) + 1) /* and other */

uint16_t kymo_call_family(const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i < KYMO_COUNT_OF(families); i++) {
        for (const char *p = families[i].calls; *p;) {
            const size_t word = strcspn(p, " ");
            if (word == n && memcmp(p, name, n) == 0)
                return (uint16_t)i;
            p += word + (p[word] == ' ');
        }
    }
    return (uint16_t)(FAMILIES - 1);
}

static void name_column(struct kymo_feature_column *out, const char *prefix, const char *name,
                        const char *suffix, const char *unit, enum kymo_bend bend, double floor)
{
    snprintf(out->name, sizeof(out->name), "%s%s%s", prefix, name, suffix);
    snprintf(out->unit, sizeof(out->unit), "%s", unit);
    out->bend = bend;
    out->floor = floor;
}

/* Least spreads that count, in bent units: a factor of e^0.5 for what is logged, a twentieth for
 * square roots of shares. */
#define FLOOR_LOG 0.5
#define FLOOR_SQRT 0.05

static void add_counts(uint8_t *into, const uint8_t *from, size_t n)
{
    uint64_t *a = (uint64_t *)(void *)into;
    const uint64_t *b = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < n; i++)
        a[i] += b[i];
}

static void finish_rates(const uint8_t *acc, size_t n, double seconds, double *x)
{
    const uint64_t *count = (const uint64_t *)(const void *)acc;
    for (size_t i = 0; i < n; i++)
        x[i] = (double)count[i] / seconds;
}

/* calls: rate of each family */

static void calls_column(size_t i, struct kymo_feature_column *out)
{
    name_column(out, "call.", i < KYMO_COUNT_OF(families) ? families[i].name : "other", "",
                "1/s", KYMO_BEND_LOG1P, FLOOR_LOG);
}

static void calls_rows(size_t at, const struct kymo_call_rows *c)
{
    for (uint32_t i = 0; i < c->b->n_rows; i++)
        ((uint64_t *)(void *)(c->acc[i] + at))[c->kind[c->b->key[i]].family]++;
}

static void calls_merge(uint8_t *into, const uint8_t *from)
{
    add_counts(into, from, FAMILIES);
}

static void calls_finish(const uint8_t *acc, double seconds, double *x)
{
    finish_rates(acc, FAMILIES, seconds, x);
}

const struct kymo_feature_group kymo_group_calls = {
    .name = "calls",
    .factor = 1,
    .n_columns = FAMILIES,
    .acc_bytes = FAMILIES * sizeof(uint64_t),
    .column = calls_column,
    .calls = calls_rows,
    .merge = calls_merge,
    .finish = calls_finish,
};

/* classes: rate of each class */

static void classes_column(size_t i, struct kymo_feature_column *out)
{
    name_column(out, "class.", kymo_class_name((enum kymo_class)i), "", "1/s", KYMO_BEND_LOG1P,
                FLOOR_LOG);
}

static void classes_rows(size_t at, const struct kymo_call_rows *c)
{
    for (uint32_t i = 0; i < c->b->n_rows; i++)
        ((uint64_t *)(void *)(c->acc[i] + at))[c->kind[c->b->key[i]].cls]++;
}

static void classes_merge(uint8_t *into, const uint8_t *from)
{
    add_counts(into, from, KYMO_CLASS_COUNT);
}

static void classes_finish(const uint8_t *acc, double seconds, double *x)
{
    finish_rates(acc, KYMO_CLASS_COUNT, seconds, x);
}

const struct kymo_feature_group kymo_group_classes = {
    .name = "classes",
    .factor = 1,
    .n_columns = KYMO_CLASS_COUNT,
    .acc_bytes = KYMO_CLASS_COUNT * sizeof(uint64_t),
    .column = classes_column,
    .calls = classes_rows,
    .merge = classes_merge,
    .finish = classes_finish,
};

/* errors: rate of each errno, the kernel's internal restarts left out */

#define ERRNO_MAX 4095
#define ERESTART_FIRST 512
#define ERESTART_LAST 516

/* Values of Linux on x86 and arm64; a capture is always Linux, its reader need not be. */
static const struct {
    const char *name;
    uint8_t value[2];
} errors[] = {
    {"ENOENT", {2, 2}},
    {"EAGAIN", {11, 11}},
    {"EINTR", {4, 4}},
    {"EACCES", {13, 1}},
    {"ECONNREFUSED", {111, 111}},
    {"ECONNRESET", {104, 104}},
    {"EPIPE", {32, 32}},
    {"ETIMEDOUT", {110, 110}},
    {"ENOSPC", {28, 28}},
    {"EIO", {5, 5}},
    {"EBADF", {9, 9}},
    {"ENOMEM", {12, 12}},
    {"EMFILE", {24, 23}},
    {"EEXIST", {17, 17}},
    {"EINPROGRESS", {115, 115}},
};
#define ERRORS (KYMO_COUNT_OF(errors) + 1)

static void errors_column(size_t i, struct kymo_feature_column *out)
{
    name_column(out, "error.", i < KYMO_COUNT_OF(errors) ? errors[i].name : "other", "", "1/s",
                KYMO_BEND_LOG1P, FLOOR_LOG);
}

static size_t error_index(int64_t e)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(errors); i++)
        if (errors[i].value[0] == e || errors[i].value[1] == e)
            return i;
    return KYMO_COUNT_OF(errors);
}

static void errors_rows(size_t at, const struct kymo_call_rows *c)
{
    const uint64_t *ret = c->b->lane[KYMO_SYSCALL_RET];
    const uint8_t *present = c->b->present[KYMO_SYSCALL_RET];
    if (!ret)
        return;
    for (uint32_t i = 0; i < c->b->n_rows; i++) {
        const int64_t e = -(int64_t)ret[i];
        if (e <= 0 || e > ERRNO_MAX || (present && !present[i]) ||
            (e >= ERESTART_FIRST && e <= ERESTART_LAST))
            continue;
        ((uint64_t *)(void *)(c->acc[i] + at))[error_index(e)]++;
    }
}

static void errors_merge(uint8_t *into, const uint8_t *from)
{
    add_counts(into, from, ERRORS);
}

static void errors_finish(const uint8_t *acc, double seconds, double *x)
{
    finish_rates(acc, ERRORS, seconds, x);
}

const struct kymo_feature_group kymo_group_errors = {
    .name = "errors",
    .factor = 1.5,
    .n_columns = ERRORS,
    .acc_bytes = ERRORS * sizeof(uint64_t),
    .column = errors_column,
    .calls = errors_rows,
    .merge = errors_merge,
    .finish = errors_finish,
};

/*
 * latency: p50, p90, p99 of the durations of each class, by a histogram with four buckets an
 * octave. The middle of a bucket stands for it: at most an eighth off. Calls that wait (poll, futex,
 * sleep) are classes of their own, so blocking does not hide in the latency of I/O. A duration
 * that is not known is left out; a class with fewer than LATENCY_CALLS_MIN calls in the window has 0, since
 * a quantile of a handful of calls jumps about.
 */
#define SUB_BITS 2
#define OCTAVES 40 /* the last holds all from 2^40 ns, 18 minutes */
#define BUCKETS (OCTAVES << SUB_BITS)
#define QUANTILES 3
#define LATENCY_CALLS_MIN 8u
static const double quantile[QUANTILES] = {0.50, 0.90, 0.99};
static const char *const quantile_name[QUANTILES] = {".p50", ".p90", ".p99"};

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 1u << SUB_BITS)
        return (unsigned)ns;
    const unsigned octave = 63u - (unsigned)__builtin_clzll(ns);
    const unsigned sub = (unsigned)(ns >> (octave - SUB_BITS)) & ((1u << SUB_BITS) - 1);
    const unsigned b = ((octave - SUB_BITS + 1) << SUB_BITS) + sub;
    return b < BUCKETS ? b : BUCKETS - 1;
}

static double bucket_middle(unsigned b)
{
    if (b < 1u << SUB_BITS)
        return b;
    const unsigned shift = (b >> SUB_BITS) - 1;
    const uint64_t low = ((uint64_t)((1u << SUB_BITS) + (b & ((1u << SUB_BITS) - 1)))) << shift;
    return (double)low + (double)((UINT64_C(1) << shift) - 1) / 2;
}

struct latency {
    uint64_t n[KYMO_CLASS_COUNT];
    uint32_t count[KYMO_CLASS_COUNT][BUCKETS];
};

static void latency_column(size_t i, struct kymo_feature_column *out)
{
    name_column(out, "latency.", kymo_class_name((enum kymo_class)(i / QUANTILES)),
                quantile_name[i % QUANTILES], "ns", KYMO_BEND_LOG1P, FLOOR_LOG);
}

static void latency_rows(size_t at, const struct kymo_call_rows *c)
{
    const uint64_t *dur = c->b->lane[KYMO_SYSCALL_DUR];
    const uint8_t *present = c->b->present[KYMO_SYSCALL_DUR];
    if (!dur)
        return;
    for (uint32_t i = 0; i < c->b->n_rows; i++) {
        if (present && !present[i])
            continue;
        struct latency *l = (struct latency *)(void *)(c->acc[i] + at);
        const unsigned cls = c->kind[c->b->key[i]].cls;
        l->n[cls]++;
        l->count[cls][bucket_of(dur[i])]++;
    }
}

static void latency_merge(uint8_t *into, const uint8_t *from)
{
    struct latency *a = (struct latency *)(void *)into;
    const struct latency *b = (const struct latency *)(const void *)from;
    for (size_t c = 0; c < KYMO_CLASS_COUNT; c++) {
        a->n[c] += b->n[c];
        for (size_t i = 0; i < BUCKETS; i++)
            a->count[c][i] += b->count[c][i];
    }
}

static double histogram_quantile(const uint32_t *count, uint64_t n, double q)
{
    if (n < LATENCY_CALLS_MIN)
        return 0;
    uint64_t rank = (uint64_t)ceil(q * (double)n), seen = 0;
    rank = rank ? rank : 1;
    for (unsigned b = 0; b < BUCKETS; b++) {
        seen += count[b];
        if (seen >= rank)
            return bucket_middle(b);
    }
    return bucket_middle(BUCKETS - 1);
}

static void latency_finish(const uint8_t *acc, double seconds, double *x)
{
    (void)seconds;
    const struct latency *l = (const struct latency *)(const void *)acc;
    for (size_t i = 0; i < (size_t)KYMO_CLASS_COUNT * QUANTILES; i++)
        x[i] = histogram_quantile(l->count[i / QUANTILES], l->n[i / QUANTILES],
                                  quantile[i % QUANTILES]);
}

const struct kymo_feature_group kymo_group_latency = {
    .name = "latency",
    .factor = 1,
    .n_columns = (size_t)KYMO_CLASS_COUNT * QUANTILES,
    .acc_bytes = sizeof(struct latency),
    .column = latency_column,
    .calls = latency_rows,
    .merge = latency_merge,
    .finish = latency_finish,
};

/* time: seconds spent in the calls of a class per second of window, over all threads; a call counts
 * where it ends, with at most one step, so that a long wait is not taken for much time now. */

static void time_column(size_t i, struct kymo_feature_column *out)
{
    name_column(out, "time.", kymo_class_name((enum kymo_class)i), "", "s/s", KYMO_BEND_SQRT,
                FLOOR_SQRT);
}

static void time_rows(size_t at, const struct kymo_call_rows *c)
{
    const uint64_t *dur = c->b->lane[KYMO_SYSCALL_DUR];
    const uint8_t *present = c->b->present[KYMO_SYSCALL_DUR];
    if (!dur)
        return;
    for (uint32_t i = 0; i < c->b->n_rows; i++)
        if (!present || present[i])
            ((uint64_t *)(void *)(c->acc[i] + at))[c->kind[c->b->key[i]].cls] +=
                dur[i] < c->pane_ns ? dur[i] : c->pane_ns;
}

static void time_finish(const uint8_t *acc, double seconds, double *x)
{
    finish_rates(acc, KYMO_CLASS_COUNT, seconds * 1e9, x);
}

const struct kymo_feature_group kymo_group_time = {
    .name = "time",
    .factor = 0.7,
    .n_columns = KYMO_CLASS_COUNT,
    .acc_bytes = KYMO_CLASS_COUNT * sizeof(uint64_t),
    .column = time_column,
    .calls = time_rows,
    .merge = classes_merge,
    .finish = time_finish,
};

/* bytes: what reads and writes moved, by their results */

enum { BYTES_READ, BYTES_WRITTEN, CALLS_READ, CALLS_WRITTEN, BYTES_COUNT };

static void bytes_column(size_t i, struct kymo_feature_column *out)
{
    static const char *const name[BYTES_COUNT] = {"read", "written", "read.size",
                                                  "written.size"};
    name_column(out, "bytes.", name[i], "", i < 2 ? "B/s" : "B", KYMO_BEND_LOG1P, FLOOR_LOG);
}

static void bytes_rows(size_t at, const struct kymo_call_rows *c)
{
    const uint64_t *ret = c->b->lane[KYMO_SYSCALL_RET];
    const uint8_t *present = c->b->present[KYMO_SYSCALL_RET];
    if (!ret)
        return;
    for (uint32_t i = 0; i < c->b->n_rows; i++) {
        const unsigned cls = c->kind[c->b->key[i]].cls;
        if ((cls != KYMO_CLASS_READ && cls != KYMO_CLASS_WRITE) || (int64_t)ret[i] <= 0 ||
            (present && !present[i]))
            continue;
        uint64_t *v = (uint64_t *)(void *)(c->acc[i] + at);
        const int write = cls == KYMO_CLASS_WRITE;
        v[write ? BYTES_WRITTEN : BYTES_READ] += ret[i];
        v[write ? CALLS_WRITTEN : CALLS_READ]++;
    }
}

static void bytes_merge(uint8_t *into, const uint8_t *from)
{
    add_counts(into, from, BYTES_COUNT);
}

static void bytes_finish(const uint8_t *acc, double seconds, double *x)
{
    const uint64_t *v = (const uint64_t *)(const void *)acc;
    for (int i = 0; i < 2; i++) {
        x[i] = (double)v[i] / seconds;
        x[i + 2] = v[i + 2] ? (double)v[i] / (double)v[i + 2] : 0;
    }
}

const struct kymo_feature_group kymo_group_bytes = {
    .name = "bytes",
    .factor = 0.7,
    .n_columns = BYTES_COUNT,
    .acc_bytes = BYTES_COUNT * sizeof(uint64_t),
    .column = bytes_column,
    .calls = bytes_rows,
    .merge = bytes_merge,
    .finish = bytes_finish,
};
