/* SPDX-License-Identifier: Apache-2.0
 * feature_syscall.c: what the calls were, how they ended and what they moved. One pass over the rows
 * fills the sums of this file, of feature_latency.c, of feature_mix.c and of feature_opens.c.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "format/base/size.h"
#include "format/model/call_sums.h"

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
_Static_assert(KYMO_COUNT_OF(families) + 1 == KYMO_FAMILIES, "a family has no column");

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
    return (uint16_t)(KYMO_FAMILIES - 1);
}

const char *kymo_family_name(size_t i)
{
    return i < KYMO_COUNT_OF(families) ? families[i].name : "other";
}

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
_Static_assert(KYMO_COUNT_OF(errors) + 1 == KYMO_ERRORS, "an error has no column");

static size_t error_index(int64_t e)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(errors); i++)
        if (errors[i].value[0] == e || errors[i].value[1] == e)
            return i;
    return KYMO_COUNT_OF(errors);
}

const char *kymo_error_word(size_t i)
{
    return i < KYMO_COUNT_OF(errors) ? errors[i].name : "other";
}

uint64_t kymo_sum(const uint64_t *v, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

/* -- the pass --------------------------------------------------------------------------------- */

/* The kernel's own restarts are no errors. */
static void add_result(struct kymo_call_sums *s, const struct kymo_call_kind *k, int64_t ret)
{
    if (ret < 0) {
        const int64_t e = -ret;
        if (e > ERRNO_MAX || (e >= ERESTART_FIRST && e <= ERESTART_LAST))
            return;
        s->error[error_index(e)]++;
        s->failed[k->cls]++;
        return;
    }
    s->opened += k->opens;
    s->closed += k->closes;
    if (ret > 0 && k->moves) {
        s->bytes[k->moves] += (uint64_t)ret;
        s->moves[k->moves]++;
    }
}

static void add_duration(struct kymo_call_sums *s, unsigned cls, uint64_t ns, uint64_t pane_ns)
{
    s->timed[cls]++;
    uint32_t *bucket = &s->latency[cls][kymo_latency_bucket(ns)];
    *bucket += *bucket < UINT32_MAX;
    s->time_ns[cls] += ns < pane_ns ? ns : pane_ns;
}

static void add_rows(size_t at, const struct kymo_call_rows *c)
{
    const struct kymo_batch *b = c->b;
    const uint64_t *ret = b->lane[KYMO_SYSCALL_RET], *dur = b->lane[KYMO_SYSCALL_DUR];
    const uint8_t *has_ret = b->present[KYMO_SYSCALL_RET];
    const uint8_t *has_dur = b->present[KYMO_SYSCALL_DUR];
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const struct kymo_call_kind *k = &c->kind[b->key[i]];
        struct kymo_call_sums *s = (struct kymo_call_sums *)(void *)(c->acc[i] + at);
        s->family[k->family]++;
        s->cls[k->cls]++;
        if (ret && (!has_ret || has_ret[i]))
            add_result(s, k, (int64_t)ret[i]);
        if (dur && (!has_dur || has_dur[i]))
            add_duration(s, k->cls, dur[i], c->pane_ns);
    }
}

static uint32_t add_most(uint32_t a, uint64_t b)
{
    return b < UINT32_MAX - a ? a + (uint32_t)b : UINT32_MAX;
}

/* The octave of lat[i] begins at 2^(i+7) ns; a bucket of it has a quarter. */
static void add_histogram(uint32_t *bucket, const uint64_t *lat)
{
    for (unsigned i = 0; i < KYMO_COUNT_BUCKETS; i++)
        for (unsigned q = 0; q < 4; q++) {
            uint32_t *to = bucket + kymo_latency_bucket(UINT64_C(1) << (i + 7)) + q;
            *to = add_most(*to, lat[i] / 4 + (q < lat[i] % 4));
        }
}

/* The share of a count in all calls of which a part was timed. */
static uint64_t scale_up(uint64_t v, uint64_t calls, uint64_t timed)
{
    const double all = (double)v * ((double)calls / (double)timed);
    return all < 0x1p63 ? (uint64_t)all : UINT64_C(1) << 63;
}

static void add_count(uint8_t *acc, const struct kymo_count_row *r)
{
    struct kymo_call_sums *s = (struct kymo_call_sums *)(void *)acc;
    const struct kymo_call_kind *k = &r->kind;
    const uint64_t good = r->calls > r->errors ? r->calls - r->errors : 0;
    s->family[k->family] += r->calls;
    s->cls[k->cls] += r->calls;
    s->failed[k->cls] += r->errors;
    s->opened += k->opens * good;
    s->closed += k->closes * good;
    s->bytes[k->moves] += k->moves ? r->bytes : 0;
    s->moves[k->moves] += k->moves && r->bytes ? good : 0;
    if (!r->timed)
        return;
    uint64_t time_ns = scale_up(r->time_ns, r->calls, r->timed);
    if (time_ns / r->pane_ns >= r->calls)
        time_ns = r->calls * r->pane_ns;
    s->time_ns[k->cls] += time_ns;
    s->timed[k->cls] += r->timed;
    add_histogram(s->latency[k->cls], r->lat);
}

static void add_error(uint8_t *acc, const struct kymo_call_kind *kind, uint64_t no, uint64_t n)
{
    (void)kind; /* its count row has them */
    ((struct kymo_call_sums *)(void *)acc)->error[error_index((int64_t)no)] += n;
}

static void merge_sums(uint8_t *into, const uint8_t *from)
{
    uint64_t *a = (uint64_t *)(void *)into;
    const uint64_t *b = (const uint64_t *)(const void *)from;
    struct kymo_call_sums *sa = (struct kymo_call_sums *)(void *)into;
    const struct kymo_call_sums *sb = (const struct kymo_call_sums *)(const void *)from;
    for (size_t i = 0; i < offsetof(struct kymo_call_sums, latency) / sizeof(*a); i++)
        a[i] += b[i];
    for (size_t c = 0; c < KYMO_CLASS_COUNT; c++)
        for (size_t i = 0; sb->timed[c] && i < KYMO_LATENCY_BUCKETS; i++)
            sa->latency[c][i] = add_most(sa->latency[c][i], sb->latency[c][i]);
}

static void rates(const uint64_t *count, size_t n, double seconds, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (double)count[i] / seconds;
}

/* -- calls: rate of each family --------------------------------------------------------------- */

static void calls_column(size_t i, struct kymo_feature_column *out)
{
    kymo_column_set(out, "call.", kymo_family_name(i), "", "1/s", KYMO_BEND_LOG1P,
                    KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
}

static void calls_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    if (i < KYMO_COUNT_OF(families))
        snprintf(buf, KYMO_ABOUT_BYTES, "calls of %s", families[i].calls);
    else
        snprintf(buf, KYMO_ABOUT_BYTES, "calls of no other family");
}

static void calls_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    rates(((const struct kymo_call_sums *)(const void *)acc)->family, KYMO_FAMILIES, f->seconds,
          x);
}

const struct kymo_feature_group kymo_group_calls = {
    .name = "calls",
    .factor = 1,
    .n_columns = KYMO_FAMILIES,
    .acc_bytes = sizeof(struct kymo_call_sums),
    .column = calls_column,
    .about = calls_about,
    .calls = add_rows,
    .counts = add_count,
    .count_error = add_error,
    .merge = merge_sums,
    .finish = calls_finish,
};

/* -- classes: rate of each class -------------------------------------------------------------- */

static void classes_column(size_t i, struct kymo_feature_column *out)
{
    kymo_column_set(out, "class.", kymo_class_name((enum kymo_class)i), "", "1/s",
                    KYMO_BEND_LOG1P, KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
}

static void classes_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES, "calls of class %s", kymo_class_name((enum kymo_class)i));
}

static void classes_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    rates(kymo_call_sums(f)->cls, KYMO_CLASS_COUNT, f->seconds, x);
}

const struct kymo_feature_group kymo_group_classes = {
    .name = "classes",
    .factor = 1,
    .n_columns = KYMO_CLASS_COUNT,
    .column = classes_column,
    .about = classes_about,
    .finish = classes_finish,
};

/* -- errors: rate of each errno --------------------------------------------------------------- */

static void errors_column(size_t i, struct kymo_feature_column *out)
{
    kymo_column_set(out, "error.", kymo_error_word(i), "", "1/s", KYMO_BEND_LOG1P,
                    KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
}

static void errors_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES, "calls that ended in %s; the kernel's restarts are none",
             i < KYMO_COUNT_OF(errors) ? errors[i].name : "another error");
}

static void errors_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    rates(kymo_call_sums(f)->error, KYMO_ERRORS, f->seconds, x);
}

const struct kymo_feature_group kymo_group_errors = {
    .name = "errors",
    .factor = 1.5,
    .n_columns = KYMO_ERRORS,
    .column = errors_column,
    .about = errors_about,
    .finish = errors_finish,
};

/* -- bytes: what reads and writes moved, by their results ------------------------------------- */

#define BYTES_COUNT 4u

static void bytes_column(size_t i, struct kymo_feature_column *out)
{
    static const char *const name[BYTES_COUNT] = {"read", "written", "read.size",
                                                  "written.size"};
    kymo_column_set(out, "bytes.", name[i], "", i < 2 ? "B/s" : "B", KYMO_BEND_LOG1P,
                    KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
}

static void bytes_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES, "bytes %s by the results of calls%s",
             i % 2 ? "written" : "read", i < 2 ? "" : ", a call that moved any; 0: none did");
}

static void bytes_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    const struct kymo_call_sums *s = kymo_call_sums(f);
    for (size_t i = 0; i < 2; i++) {
        const size_t way = KYMO_MOVES_IN + i;
        x[i] = (double)s->bytes[way] / f->seconds;
        x[i + 2] = s->moves[way] ? (double)s->bytes[way] / (double)s->moves[way] : 0;
    }
}

const struct kymo_feature_group kymo_group_bytes = {
    .name = "bytes",
    .factor = 0.7,
    .n_columns = BYTES_COUNT,
    .column = bytes_column,
    .about = bytes_about,
    .finish = bytes_finish,
};
