/* SPDX-License-Identifier: Apache-2.0 */
#include "record/power.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "format/base/size.h"
#include "record/users.h"

#define UID_NOBODY 65534u

/* ---- users and capabilities ------------------------------------------------------------------ */

kymo_status power_plan_drop(struct power_plan *p, const char *user, struct kymo_err *err)
{
    struct user u = {.uid = UID_NOBODY, .gid = UID_NOBODY};

    *p = (struct power_plan){.asked = user};
    if (user && !user_find(user, &u))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "-Z %s: no such user", user);
    if (!user && geteuid() != 0)
        return KYMO_OK;
    if (!user && !user_find("kymo", &u) && !user_find("nobody", &u))
        u = (struct user){.uid = UID_NOBODY, .gid = UID_NOBODY};
    p->becomes = true;
    p->uid = u.uid;
    p->gid = u.gid;
    return KYMO_OK;
}

bool power_holds(cap_value_t cap)
{
    cap_flag_value_t has = CAP_CLEAR;
    cap_t caps = cap_get_proc();

    if (caps) {
        cap_get_flag(caps, cap, CAP_PERMITTED, &has);
        cap_free(caps);
    }
    return has == CAP_SET;
}

/* What a later exec could bring back. Without CAP_SETPCAP the bounding set stays, which matters
 * little: no new privileges come from an exec, and there is no exec. */
static void drop_bounding(const cap_value_t *keep, size_t n)
{
    for (cap_value_t c = 0; cap_get_bound(c) >= 0; c++) {
        bool kept = false;
        for (size_t i = 0; i < n; i++)
            kept |= keep[i] == c;
        if (!kept)
            cap_drop_bound(c);
    }
    cap_reset_ambient();
}

kymo_status power_keep(const cap_value_t *caps, size_t n, struct kymo_err *err)
{
    cap_t set = cap_init();
    int e = set ? 0 : -1;

    drop_bounding(caps, n);
    for (size_t i = 0; i < n && !e; i++)
        if (power_holds(caps[i]))
            e = cap_set_flag(set, CAP_PERMITTED, 1, &caps[i], CAP_SET) ||
                cap_set_flag(set, CAP_EFFECTIVE, 1, &caps[i], CAP_SET);
    if (!e)
        e = cap_set_proc(set);
    cap_free(set);
    if (e || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot give up capabilities: %s",
                         strerror(errno));
    /* Neither a debugger of the same user nor a core file gets at what was recorded. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return KYMO_OK;
}

static int become(const struct power_plan *p)
{
    return p->uid == geteuid() && p->uid == getuid()
               ? 0
               : setgroups(0, NULL) || setresgid(p->gid, p->gid, p->gid) ||
                     setresuid(p->uid, p->uid, p->uid);
}

kymo_status power_drop(const struct power_plan *p, pid_t command, const char **why,
                       struct kymo_err *err)
{
    *why = NULL;
    /* While CAP_SETPCAP is there: a new user takes it away. */
    drop_bounding(NULL, 0);
    if (p->becomes && become(p)) {
        if (p->asked)
            return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                             "cannot become the user of -Z (uid %u): %s; it takes CAP_SETUID "
                             "and CAP_SETGID",
                             p->uid, strerror(errno));
        *why = "recording without capabilities, but as root: without CAP_SETUID and "
               "CAP_SETGID there is no other user to become";
    }
    KYMO_TRY(power_keep(NULL, 0, err));
    return power_confine_recorder(command, err);
}

/* ---- system calls ---------------------------------------------------------------------------- */

/*
 * What is not listed fails as on a kernel that does not know it (ENOSYS), so that a newer C
 * library falls back to older calls and a recording goes on. What only an intruder would try ends
 * the process. To allow another call, add its name, with the narrowest condition that serves.
 */
static const char *const FOR_ALL[] = {
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "close",
    "lseek",
    "fstat",
    "newfstatat",
    "statx",
    "getdents64",
    "readlink",
    "readlinkat",
    "faccessat",
    "faccessat2",
    "access",
    "getcwd",
    "fcntl",
    "dup",
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "futex",
    "sched_yield",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "restart_syscall",
    "exit",
    "exit_group",
    "getpid",
    "gettid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "clock_gettime",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "getrandom",
    "sendmsg",
    "recvmsg",
    "sendto",
    "recvfrom",
    "poll",
    "ppoll",
    "uname",
    "sysinfo",
    "getrusage",
    "membarrier",
    "set_robust_list",
    "rseq",
};
static const char *const FOR_RECORDER[] = {
    "fdatasync",
    "fsync",
    "sync_file_range",
    "ftruncate",
    "fallocate",
    "fadvise64",
    "fstatfs",
    "statfs",
    "pwritev",
    "preadv",
    "copy_file_range",
    "sendfile",
    "splice",
    "vmsplice",
    "pipe2",
    "accept",
    "accept4",
    "getsockopt",
    "setsockopt",
    "shutdown",
    "getsockname",
    "getpeername",
    "wait4",
    "waitid",
    "signalfd4",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    "eventfd2",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "select",
    "pselect6",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_setscheduler",
    "sched_getparam",
    "sched_setattr",
    "setpriority",
    "getpriority",
    "getcpu",
    "memfd_create",
    "clock_getres",
    "times",
    "mlock",
    "munlock",
    "mincore",
    "set_tid_address",
    "get_robust_list",
    "dup3",
};
static const char *const FOR_KEEPER[] = {"openat", "unlink", "unlinkat",
                                         "lstat",  "fchown", "fchownat"};

/* Nothing here is ever made by us. */
static const char *const INTRUDERS[] = {
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "pivot_root",
    "chroot",
    "setns",
    "unshare",
    "reboot",
    "swapon",
    "swapoff",
    "open_by_handle_at",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "add_key",
    "request_key",
    "keyctl",
    "acct",
    "settimeofday",
    "clock_settime",
    "sethostname",
    "iopl",
    "ioperm",
    "setuid",
    "setgid",
    "setresuid",
    "setresgid",
    "setreuid",
    "setregid",
    "setgroups",
    "capset",
    "socket",
    "socketpair",
    "connect",
    "bind",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "mknod",
    "mknodat",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
};

static int add_all(scmp_filter_ctx f, uint32_t action, const char *const *names, size_t n)
{
    int e = 0;

    for (size_t i = 0; i < n && !e; i++) {
        const int nr = seccomp_syscall_resolve_name(names[i]);
        if (nr != __NR_SCMP_ERROR)
            e = seccomp_rule_add(f, action, nr, 0);
        /* A call that this architecture does not have cannot be made either. */
        e = e == -EDOM ? 0 : e;
    }
    return e;
}

static int allow_if(scmp_filter_ctx f, const char *name, struct scmp_arg_cmp condition)
{
    const int nr = seccomp_syscall_resolve_name(name);

    return nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 1, condition);
}

static int allow_values(scmp_filter_ctx f, const char *name, unsigned arg,
                        const unsigned long *values, size_t n)
{
    int e = 0;

    for (size_t i = 0; i < n && !e; i++)
        e = allow_if(f, name, SCMP_CMP(arg, SCMP_CMP_EQ, values[i]));
    return e;
}

/* Memory is never made executable, and a new thread is all that clone may make. clone3, whose
 * flags a filter cannot see, is unknown here. */
static int allow_memory_and_threads(scmp_filter_ctx f)
{
    int e = allow_if(f, "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    if (!e)
        e = allow_if(f, "mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!e)
        e = allow_if(f, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    return e;
}

/* To itself and to its command. */
static int allow_signals(scmp_filter_ctx f, pid_t command)
{
    int e = allow_if(f, "tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));

    if (!e)
        e = allow_if(f, "kill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (!e && command > 0)
        e = allow_if(f, "kill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)command));
    return e;
}

static int allow_recorder(scmp_filter_ctx f, pid_t command)
{
    static const unsigned long ioctls[] = {TCGETS, TIOCGWINSZ, FIONREAD};
    static const unsigned long prctls[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_TIMERSLACK};
    /* Maps that are open already, by descriptor. Nothing can be made or loaded. */
    static const unsigned long bpfs[] = {
        BPF_MAP_LOOKUP_ELEM,   BPF_MAP_UPDATE_ELEM,  BPF_MAP_DELETE_ELEM,
        BPF_MAP_GET_NEXT_KEY,  BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_AND_DELETE_BATCH,
        BPF_MAP_UPDATE_BATCH,  BPF_MAP_DELETE_BATCH, BPF_MAP_LOOKUP_AND_DELETE_ELEM,
        BPF_OBJ_GET_INFO_BY_FD};
    /* Files are opened to be read. What is written comes from the keeper. */
    int e = allow_if(f, "openat",
                     SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));

    if (!e)
        e = add_all(f, SCMP_ACT_ALLOW, FOR_RECORDER, KYMO_COUNT_OF(FOR_RECORDER));
    if (!e)
        e = allow_values(f, "ioctl", 1, ioctls, KYMO_COUNT_OF(ioctls));
    if (!e)
        e = allow_values(f, "prctl", 0, prctls, KYMO_COUNT_OF(prctls));
    if (!e)
        e = allow_values(f, "bpf", 0, bpfs, KYMO_COUNT_OF(bpfs));
    return e ? e : allow_signals(f, command);
}

static int allow_keeper(scmp_filter_ctx f)
{
    static const unsigned long bpfs[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM,
                                         BPF_ITER_CREATE};
    const int e = add_all(f, SCMP_ACT_ALLOW, FOR_KEEPER, KYMO_COUNT_OF(FOR_KEEPER));

    return e ? e : allow_values(f, "bpf", 0, bpfs, KYMO_COUNT_OF(bpfs));
}

static kymo_status confine(int (*allow_rest)(scmp_filter_ctx f, pid_t command), pid_t command,
                           struct kymo_err *err)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int e = f ? add_all(f, SCMP_ACT_ALLOW, FOR_ALL, KYMO_COUNT_OF(FOR_ALL)) : -ENOMEM;

    if (!e)
        e = add_all(f, SCMP_ACT_KILL_PROCESS, INTRUDERS, KYMO_COUNT_OF(INTRUDERS));
    if (!e)
        e = allow_memory_and_threads(f);
    if (!e)
        e = allow_rest(f, command);
    if (!e)
        e = seccomp_load(f);
    seccomp_release(f);
    /* A kernel without filters is no reason not to record: the capabilities are gone all the same. */
    if (e && e != -EINVAL && e != -ENOSYS)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot install the call filter: %s",
                         strerror(-e));
    return KYMO_OK;
}

kymo_status power_confine_recorder(pid_t command, struct kymo_err *err)
{
    return confine(allow_recorder, command, err);
}

static int allow_keeper_rest(scmp_filter_ctx f, pid_t command)
{
    (void)command;
    return allow_keeper(f);
}

kymo_status power_confine_keeper(struct kymo_err *err)
{
    return confine(allow_keeper_rest, 0, err);
}

/* ---- the output ------------------------------------------------------------------------------ */

void power_hold_standard_fds(void)
{
    int fd;

    do
        fd = open("/", O_PATH);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* For a moment, who ran us. setfsuid would do, but says nothing when it fails. */
struct moment {
    uid_t uid;
    gid_t gid, groups[USER_GROUPS_MAX];
    int n_groups;
    bool other; /* we are somebody else now */
};

/* Become the person who ran us, if that is another than who we are. */
static bool be_invoking(struct moment *before)
{
    struct user me;

    user_invoking(&me);
    before->uid = geteuid();
    before->gid = getegid();
    before->n_groups = getgroups(USER_GROUPS_MAX, before->groups);
    before->other = me.uid != before->uid && before->uid == 0 && before->n_groups >= 0;
    return before->other && !setgroups(1, &me.gid) && !setegid(me.gid) && !seteuid(me.uid);
}

static bool be_again(const struct moment *before)
{
    if (!before->other)
        return true;
    if (seteuid(before->uid) || setegid(before->gid))
        return false;
    /* Without CAP_SETGID they were not changed either. */
    return !setgroups((size_t)before->n_groups, before->groups) || errno == EPERM;
}

int power_open_output(const char *path, int flags)
{
    struct moment before;
    int fd = -1, e = EACCES;

    if (be_invoking(&before)) {
        fd = open(path, flags, 0600);
        e = errno;
    }
    if (!be_again(&before)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (fd >= 0 || e != EACCES) {
        errno = e;
        return fd;
    }
    return open(path, flags, 0600);
}

void power_folder_owner(int folder, uid_t *uid, gid_t *gid)
{
    struct moment before;
    struct user me;
    bool theirs = false;

    user_invoking(&me);
    if (be_invoking(&before))
        theirs = !faccessat(folder, ".", W_OK | X_OK, AT_EACCESS);
    if (!be_again(&before) || !theirs)
        return;
    *uid = me.uid;
    *gid = me.gid;
}
