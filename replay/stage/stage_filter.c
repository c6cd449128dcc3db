/* SPDX-License-Identifier: Apache-2.0
 * stage_filter.c: which calls an actor may make. The allow list is libseccomp's; before it stands a test of where
 * the call comes from: out of the page KYMO_STAGE_INJECT it is the supervisor's to answer, whatever it is, and
 * never runs. (One program and not two, because of two the stricter verdict counts, and an error is stricter than
 * a question to the supervisor.)
 *
 * What is not listed fails with ENOSYS. No call that gives or takes power is listed.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "format/base/size.h"
#include "replay/stage/stage_inside.h"

#define FILTER_MAX 4096u
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static const char *const ALLOWED =
    /* files */
    "access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 "
    "faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat "
    "fcntl "
    "fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate "
    "futimesat getcwd getdents getdents64 getxattr ioctl lchown lgetxattr link linkat "
    "listxattr llistxattr "
    "lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat name_to_handle_at "
    "newfstatat open "
    "openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice "
    "stat "
    "statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink "
    "unlinkat "
    "utime utimensat utimes ustat vmsplice write writev cachestat "
    /* waiting, events, pipes */
    "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 "
    "inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy "
    "io_getevents io_pgetevents io_setup io_submit memfd_create pipe pipe2 poll ppoll pselect6 "
    "select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime "
    /* sockets */
    "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg "
    "recvmsg sendmmsg sendmsg sendto setsockopt shutdown socket socketpair "
    /* memory */
    "brk madvise mbind membarrier mincore mlock mlock2 mlockall mmap mprotect mremap mseal "
    "msync munlock "
    "munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease "
    "remap_file_pages "
    "get_mempolicy set_mempolicy set_mempolicy_home_node memfd_secret "
    /* processes, threads, signals */
    "alarm arch_prctl capget clone clone3 execve execveat exit exit_group fork futex "
    "futex_wait "
    "futex_waitv futex_wake futex_requeue get_robust_list get_thread_area getcpu getegid "
    "geteuid getgid getgroups "
    "getitimer getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid "
    "getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set kcmp kill pause "
    "personality "
    "pidfd_getfd pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq "
    "rt_sigaction "
    "rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity "
    "sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity "
    "sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list "
    "set_thread_area "
    "set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid "
    "setresgid setresuid setreuid setrlimit setsid setuid sigaltstack sysinfo tgkill time "
    "times tkill uname vfork wait4 "
    "waitid landlock_create_ruleset landlock_add_rule landlock_restrict_self capset "
    /* time, System V, queues */
    "clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep timer_create "
    "timer_delete "
    "timer_getoverrun timer_gettime timer_settime mq_getsetattr mq_notify mq_open "
    "mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop "
    "semtimedop shmat shmctl shmdt shmget ";

static int allow_all(scmp_filter_ctx f)
{
    char name[64];
    int e = 0;

    for (const char *p = ALLOWED; *p && !e;) {
        const size_t n = strcspn(p, " ");
        memcpy(name, p, n);
        name[n] = 0;
        p += n + strspn(p + n, " ");
        const int nr = seccomp_syscall_resolve_name(name);
        /* Names that this library or architecture does not know are not needed here. */
        if (nr >= 0 && strcmp(name, "clone") != 0 && strcmp(name, "ioctl") != 0)
            e = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
    }
    return e;
}

/* clone makes no namespace; ioctl puts nothing into a terminal's input. */
static int allow_partly(scmp_filter_ctx f)
{
    const scmp_datum_t spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    const scmp_datum_t tiocsti = 0x5412;
    int e = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, spaces, 0));

    if (!e)
        e = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1_32(SCMP_CMP_NE, tiocsti));
    return e;
}

/* libseccomp's program, as an array. */
static int allow_program(struct sock_filter *to, size_t max, size_t *n)
{
    const int fd = memfd_create("kymo-filter", MFD_CLOEXEC);
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int e = f && fd >= 0 ? 0 : -ENOMEM;

    if (!e)
        e = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (!e) /* a tree: a dozen comparisons a call and not hundreds */
        e = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!e)
        e = allow_all(f);
    if (!e)
        e = allow_partly(f);
    if (!e)
        e = seccomp_export_bpf(f, fd);
    if (!e) {
        const ssize_t got = pread(fd, to, max * sizeof(*to), 0);
        *n = got > 0 ? (size_t)got / sizeof(*to) : 0;
        e = got <= 0 || *n == max ? -E2BIG : 0;
    }
    if (f)
        seccomp_release(f);
    if (fd >= 0)
        close(fd);
    return e;
}

/* The upper half of the address first: both halves of one page are fixed but for its offset. */
static size_t inject_program(struct sock_filter *to, uint32_t verdict)
{
    const uint32_t at = offsetof(struct seccomp_data, instruction_pointer);
    const struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(KYMO_STAGE_INJECT >> 32), 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfffff000u),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(KYMO_STAGE_INJECT & 0xfffff000u), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, verdict),
    };

    memcpy(to, program, sizeof(program));
    return KYMO_COUNT_OF(program);
}

static int install(const struct sock_filter *filter, size_t n, unsigned long flags)
{
    const struct sock_fprog p = {(unsigned short)n, (struct sock_filter *)filter};

    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}

int inside_filter(int *listener, struct kymo_err *err)
{
    struct sock_filter *filter = calloc(FILTER_MAX, sizeof(*filter));
    size_t n = 0, before;

    *listener = -1;
    if (!filter)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for the call filter");
    before = inject_program(filter, SECCOMP_RET_USER_NOTIF);
    int e = allow_program(filter + before, FILTER_MAX - before, &n);
    if (!e) {
        *listener =
            install(filter, n + before,
                    SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
        if (*listener < 0) /* before Linux 5.19 */
            *listener = install(filter, n + before, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    }
    if (!e && *listener < 0) {
        /* Somebody above us answers calls already: then nothing is injected. */
        inject_program(filter, SECCOMP_RET_ERRNO | ENOSYS);
        e = install(filter, n + before, 0) ? -errno : 0;
    }
    free(filter);
    if (e)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "cannot install the call filter: %s; this kernel needs "
                         "CONFIG_SECCOMP_FILTER",
                         strerror(-e));
    return KYMO_OK;
}
