/* SPDX-License-Identifier: Apache-2.0
 * fdcall.c: the table, from section 2 of the Linux manual. Flags have these values on x86-64, i386 and
 * arm64 alike.
 */
#include "format/model/fdcall.h"

#include <stddef.h>
#include <string.h>

#define O_CLOEXEC_BIT 02000000u /* and SOCK_, EPOLL_, EFD_, TFD_, SFD_, IN_CLOEXEC */

#define USES(name, fd)                                                                         \
    {                                                                                          \
        name, KYMO_FD_USES, fd, -1, -1, 0, NULL                                                \
    }
#define AT(name, dir)                                                                          \
    {                                                                                          \
        name, KYMO_FD_USES, dir, dir, -1, 0, NULL                                              \
    }
#define DOES(name, op, fd)                                                                     \
    {                                                                                          \
        name, KYMO_FD_##op, fd, -1, -1, 0, NULL                                                \
    }
#define MAKES(name, flags, bit, what)                                                          \
    {                                                                                          \
        name, KYMO_FD_MAKES, -1, -1, flags, bit, what                                          \
    }

static const struct kymo_fd_callinfo calls[] = {
    {"open", KYMO_FD_OPENS, -1, -1, 1, O_CLOEXEC_BIT, NULL},
    {"creat", KYMO_FD_OPENS, -1, -1, -1, 0, NULL},
    {"openat", KYMO_FD_OPENS, -1, 0, 2, O_CLOEXEC_BIT, NULL},
    {"openat2", KYMO_FD_OPENS, -1, 0, -1, 0, NULL}, /* its flags lie in memory */
    {"open_tree", KYMO_FD_OPENS, -1, 0, 2, O_CLOEXEC_BIT, NULL},
    DOES("close", CLOSES, 0),
    DOES("close_range", CLOSES_RANGE, -1),
    DOES("dup", DUPS, 0),
    DOES("dup2", DUPS, 0),
    {"dup3", KYMO_FD_DUPS, 0, -1, 2, O_CLOEXEC_BIT, NULL},
    DOES("fcntl", FCNTL, 0),
    DOES("fcntl64", FCNTL, 0),
    {"pipe", KYMO_FD_PIPES, -1, -1, -1, 0, "[pipe]"},
    {"pipe2", KYMO_FD_PIPES, -1, -1, 1, O_CLOEXEC_BIT, "[pipe]"},
    {"socketpair", KYMO_FD_PIPES, -1, -1, 1, O_CLOEXEC_BIT, "[socket]"},
    MAKES("socket", 1, O_CLOEXEC_BIT, "[socket]"),
    DOES("connect", CONNECTS, 0),
    DOES("bind", BINDS, 0),
    DOES("accept", ACCEPTS, 0),
    {"accept4", KYMO_FD_ACCEPTS, 0, -1, 3, O_CLOEXEC_BIT, NULL},
    MAKES("epoll_create", -1, 0, "[epoll]"),
    MAKES("epoll_create1", 0, O_CLOEXEC_BIT, "[epoll]"),
    MAKES("eventfd", -1, 0, "[eventfd]"),
    MAKES("eventfd2", 1, O_CLOEXEC_BIT, "[eventfd]"),
    MAKES("timerfd_create", 1, O_CLOEXEC_BIT, "[timerfd]"),
    MAKES("signalfd", -1, 0, "[signalfd]"),
    MAKES("signalfd4", 3, O_CLOEXEC_BIT, "[signalfd]"),
    MAKES("inotify_init", -1, 0, "[inotify]"),
    MAKES("inotify_init1", 0, O_CLOEXEC_BIT, "[inotify]"),
    MAKES("fanotify_init", 0, 1, "[fanotify]"),
    MAKES("memfd_create", 1, 1, "[memfd]"),
    MAKES("memfd_secret", 0, O_CLOEXEC_BIT, "[memfd]"),
    MAKES("userfaultfd", 0, O_CLOEXEC_BIT, "[userfaultfd]"),
    MAKES("perf_event_open", 4, 8, "[perf]"),
    MAKES("pidfd_open", -1, 0, "[pidfd]"),
    MAKES("io_uring_setup", -1, 0, "[io_uring]"),
    MAKES("mq_open", 1, O_CLOEXEC_BIT, "[mqueue]"),
    MAKES("open_by_handle_at", 2, O_CLOEXEC_BIT, NULL),
    MAKES("pidfd_getfd", -1, 0, NULL),
    DOES("chdir", CHDIR, -1),
    DOES("fchdir", FCHDIR, 0),
    DOES("clone", FORKS, -1),
    DOES("clone3", FORKS, -1),
    DOES("fork", FORKS, -1),
    DOES("vfork", FORKS, -1),
    DOES("execve", EXECS, -1),
    {"execveat", KYMO_FD_EXECS, -1, 0, -1, 0, NULL},
    DOES("unshare", UNSHARES, -1),
    DOES("mmap", MAPS, 4),
    DOES("mmap2", MAPS, 4),
    AT("newfstatat", 0),
    AT("fstatat64", 0),
    AT("statx", 0),
    AT("unlinkat", 0),
    AT("mkdirat", 0),
    AT("mknodat", 0),
    AT("faccessat", 0),
    AT("faccessat2", 0),
    AT("readlinkat", 0),
    AT("fchmodat", 0),
    AT("fchmodat2", 0),
    AT("fchownat", 0),
    AT("futimesat", 0),
    AT("utimensat", 0),
    AT("renameat", 0),
    AT("renameat2", 0),
    AT("linkat", 0),
    AT("name_to_handle_at", 0),
    AT("move_mount", 0),
    AT("mount_setattr", 0),
    USES("read", 0),
    USES("write", 0),
    USES("pread64", 0),
    USES("pwrite64", 0),
    USES("readv", 0),
    USES("writev", 0),
    USES("preadv", 0),
    USES("pwritev", 0),
    USES("preadv2", 0),
    USES("pwritev2", 0),
    USES("recvfrom", 0),
    USES("sendto", 0),
    USES("recv", 0),
    USES("send", 0),
    USES("recvmsg", 0),
    USES("sendmsg", 0),
    USES("recvmmsg", 0),
    USES("sendmmsg", 0),
    USES("recvmmsg_time64", 0),
    USES("sendfile", 0), /* what they write to; what they read from is another argument */
    USES("sendfile64", 0),
    USES("splice", 2),
    USES("tee", 1),
    USES("copy_file_range", 2),
    USES("vmsplice", 0),
    USES("lseek", 0),
    USES("_llseek", 0),
    USES("fstat", 0),
    USES("fstat64", 0),
    USES("fstatfs", 0),
    USES("fstatfs64", 0),
    USES("fsync", 0),
    USES("fdatasync", 0),
    USES("syncfs", 0),
    USES("sync_file_range", 0),
    USES("ftruncate", 0),
    USES("ftruncate64", 0),
    USES("fallocate", 0),
    USES("fadvise64", 0),
    USES("fadvise64_64", 0),
    USES("readahead", 0),
    USES("getdents", 0),
    USES("getdents64", 0),
    USES("flock", 0),
    USES("fchmod", 0),
    USES("fchown", 0),
    USES("fchown32", 0),
    USES("fgetxattr", 0),
    USES("fsetxattr", 0),
    USES("flistxattr", 0),
    USES("fremovexattr", 0),
    USES("ioctl", 0),
    USES("listen", 0),
    USES("shutdown", 0),
    USES("getsockname", 0),
    USES("getpeername", 0),
    USES("getsockopt", 0),
    USES("setsockopt", 0),
    USES("epoll_ctl", 0),
    USES("epoll_wait", 0),
    USES("epoll_pwait", 0),
    USES("epoll_pwait2", 0),
    USES("timerfd_settime", 0),
    USES("timerfd_gettime", 0),
    USES("inotify_add_watch", 0),
    USES("inotify_rm_watch", 0),
    USES("mq_timedsend", 0),
    USES("mq_timedreceive", 0),
    USES("mq_notify", 0),
    USES("io_uring_enter", 0),
    USES("io_uring_register", 0),
    USES("finit_module", 0),
};

const struct kymo_fd_callinfo *kymo_fd_callinfo(const char *name)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (!strcmp(calls[i].name, name))
            return &calls[i];
    return NULL;
}
