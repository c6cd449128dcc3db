/* SPDX-License-Identifier: Apache-2.0
 * lower_special.c: arguments that a letter cannot say: by name of the call.
 */
#include <string.h>

#include "replay/plan/lower_own.h"

/* How long a wait was meant to be: what ended it before its time shows that it was longer. */
uint64_t lower_meant_ns(const struct kymo_trace_call *t)
{
    return dur_of(t) + (t->ret < 0 ? (uint64_t)FAR_S * 1000000000u : 0);
}

uint64_t lower_meant_ms(const struct kymo_trace_call *t, uint64_t recorded)
{
    const int32_t ms = (int32_t)recorded;
    return (uint64_t)(int64_t)(t->ret < 0 && ms > 0 ? -1 : ms);
}

kymo_status lower_inject(struct kymo_icall *c)
{
    if (c->how == KYMO_HOW_ISSUE)
        how_set(c, KYMO_HOW_INJECT, c->ret < 0 ? KYMO_WHY_ERROR : KYMO_WHY_RESULT);
    return KYMO_OK;
}

kymo_status lower_blob(struct maker *m, struct kymo_icall *c, int i, const void *p, size_t n)
{
    uint32_t at;
    KYMO_TRY(blob_put(m, p, n, 8, &at));
    arg_set(c, i, KYMO_ARG_BLOB, at);
    return KYMO_OK;
}

kymo_status lower_copy(struct maker *m, struct kymo_icall *c, int i, const void *p, size_t n)
{
    uint32_t at;
    KYMO_TRY(blob_put(m, p, n, 8, &at));
    arg_set(c, i, KYMO_ARG_COPY, (uint64_t)at << 16 | n);
    return KYMO_OK;
}

static const struct {
    const char *name;
    lower_by_name *lower;
} by_name[] = {
    {"openat2", lower_open},
    {"close_range", lower_close_range},
    {"fcntl", lower_fcntl},
    {"pipe", lower_pair},
    {"pipe2", lower_pair},
    {"socketpair", lower_pair},
    {"memfd_create", lower_memfd},
    {"lseek", lower_seek},
    {"fchown", lower_own_ids},
    {"chown", lower_own_ids},
    {"lchown", lower_own_ids},
    {"fchownat", lower_own_ids},
    {"mknod", lower_mknod},
    {"mknodat", lower_mknod},
    {"sendfile", lower_move},
    {"splice", lower_move},
    {"copy_file_range", lower_move},
    {"ioctl", lower_ioctl},
    {"signalfd", lower_signalfd},
    {"signalfd4", lower_signalfd},
    {"timerfd_settime", lower_timerfd},
    {"epoll_ctl", lower_epoll_ctl},
    {"epoll_wait", lower_epoll_wait},
    {"epoll_pwait", lower_epoll_wait},
    {"epoll_pwait2", lower_epoll_wait},
    {"poll", lower_poll},
    {"ppoll", lower_poll},
    {"select", lower_select},
    {"pselect6", lower_select},
    {"socket", lower_socket},
    {"bind", lower_bind},
    {"connect", lower_connect},
    {"accept", lower_accept},
    {"accept4", lower_accept},
    {"sendto", lower_send},
    {"sendmsg", lower_send},
    {"sendmmsg", lower_send},
    {"getsockopt", lower_getsockopt},
    {"setsockopt", lower_setsockopt},
    {"mmap", lower_mmap},
    {"munmap", lower_munmap},
    {"mremap", lower_mremap},
    {"mprotect", lower_region},
    {"pkey_mprotect", lower_region},
    {"madvise", lower_region},
    {"msync", lower_region},
    {"mincore", lower_region},
    {"mlock", lower_region},
    {"mlock2", lower_region},
    {"munlock", lower_region},
    {"brk", lower_brk},
    {"membarrier", lower_membarrier},
    {"futex", lower_futex},
    {"set_robust_list", lower_robust_list},
    {"set_tid_address", lower_own_memory},
    {"rseq", lower_own_memory},
    {"clone", lower_fork},
    {"clone3", lower_fork},
    {"fork", lower_fork},
    {"vfork", lower_fork},
    {"execve", lower_exec},
    {"execveat", lower_exec},
    {"wait4", lower_wait},
    {"waitid", lower_wait},
    {"kill", lower_kill},
    {"tkill", lower_kill},
    {"tgkill", lower_kill},
    {"rt_sigaction", lower_sigaction},
    {"rt_sigprocmask", lower_sigmask},
    {"setuid", lower_set_ids},
    {"setgid", lower_set_ids},
    {"setreuid", lower_set_ids},
    {"setregid", lower_set_ids},
    {"setresuid", lower_set_ids},
    {"setresgid", lower_set_ids},
    {"setfsuid", lower_set_ids},
    {"setfsgid", lower_set_ids},
    {"capget", lower_caps},
    {"capset", lower_caps},
    {"prctl", lower_prctl},
    {"arch_prctl", lower_arch_prctl},
    {"personality", lower_personality},
    {"setrlimit", lower_setrlimit},
    {"prlimit64", lower_prlimit},
    {"getpriority", lower_who},
    {"setpriority", lower_setpriority},
    {"ioprio_get", lower_who},
    {"ioprio_set", lower_who},
    {"getpgid", lower_who},
    {"getsid", lower_who},
    {"sched_getaffinity", lower_affinity},
    {"sched_setaffinity", lower_affinity},
    {"sched_setscheduler", lower_scheduler},
    {"sched_setparam", lower_scheduler},
    {"clock_gettime", lower_clock},
    {"clock_getres", lower_clock},
    {"alarm", lower_alarm},
    {"nanosleep", lower_sleep},
    {"clock_nanosleep", lower_sleep},
};

kymo_status lower_special(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const char *const name = m->row[call]->name;
    if (strstr(name, "xattr"))
        return lower_xattr(m, call, c);
    for (size_t i = 0; i < sizeof(by_name) / sizeof(by_name[0]); i++)
        if (!strcmp(by_name[i].name, name))
            return by_name[i].lower(m, call, c);
    return KYMO_OK;
}
