/* SPDX-License-Identifier: Apache-2.0
 * source  the numbers and parameters that falcosecurity's libraries (0.1 to 0.20) document for scap 1.0 to
 *         1.2; parameters are only ever added behind those that are there. What flags and modes were turned
 *         into before they were written is not what the call was given, so they are not kept.
 */
#include "format/import/scap_events.h"

#include <string.h>

#include "format/base/size.h"

#define CALL(type, name, enter, exit)                                                          \
    {                                                                                          \
        type, KYMO_SCAP_CALL, name, enter, exit                                                \
    }
#define EXEC(type, enter)                                                                      \
    {                                                                                          \
        type, KYMO_SCAP_EXEC, "execve", enter, "r"                                             \
    }
#define CLONE(type, name)                                                                      \
    {                                                                                          \
        type, KYMO_SCAP_CLONE, name, "", "r"                                                   \
    }
#define KERNEL(type, name)                                                                     \
    {                                                                                          \
        type, KYMO_SCAP_KERNEL, name, "", ""                                                   \
    }
#define INTERNAL(type, name)                                                                   \
    {                                                                                          \
        type, KYMO_SCAP_INTERNAL, name, "", ""                                                 \
    }

/* clang-format off */
static const struct kymo_scap_event event[] = {
    {0, KYMO_SCAP_GENERIC, "syscall", "", ""},
    CALL(2, "open", "p--", "rp----"), CALL(4, "close", "0", "r0"), CALL(6, "read", "02", "r-02"),
    CALL(8, "write", "02", "r-02"), CALL(10, "brk", "-", "r"), EXEC(12, ""), CLONE(14, "clone"),
    {16, KYMO_SCAP_EXIT, "procexit", "", ""},
    CALL(18, "socket", "012", "r012"), CALL(20, "bind", "0", "ra0"), CALL(22, "connect", "0a", "rt0"),
    CALL(24, "listen", "01", "r01"), CALL(26, "accept", "", "rs-"), CALL(28, "send", "02", "r-"),
    CALL(30, "sendto", "02t", "r-02t"), CALL(32, "recv", "02", "r-"), CALL(34, "recvfrom", "02", "r-s02"),
    CALL(36, "shutdown", "0-", "r0-"), CALL(38, "getsockname", "", ""), CALL(40, "getpeername", "", ""),
    CALL(42, "socketpair", "012", "r----012"), CALL(44, "setsockopt", "", "r0---4"),
    CALL(46, "getsockopt", "", "r0----"), CALL(48, "sendmsg", "0-t", "r-0-t"),
    CALL(50, "sendmmsg", "", "r0"), CALL(52, "recvmsg", "0", "r--s-0"), CALL(54, "recvmmsg", "", "r0"),
    CALL(56, "accept4", "-", "rs-"), CALL(58, "creat", "p-", "rp-"), CALL(60, "pipe", "", "r---"),
    CALL(62, "eventfd", "0-", "r0-"), CALL(64, "futex", "0-2", "r0-2"), CALL(66, "stat", "", "rp"),
    CALL(68, "lstat", "", "rp"), CALL(70, "fstat", "0", "r0"), CALL(72, "stat64", "", "rp"),
    CALL(74, "lstat64", "", "rp"), CALL(76, "fstat64", "0", "r0"), CALL(78, "epoll_wait", "2", "r2"),
    CALL(80, "poll", "-2", "r-2"), CALL(82, "select", "", "r"), CALL(84, "select", "", "r"),
    CALL(86, "lseek", "01-", "r01-"), CALL(88, "_llseek", "0--", "r0"), CALL(90, "ioctl", "01", "r"),
    CALL(92, "getcwd", "", "r-"), CALL(94, "chdir", "", "rp"), CALL(96, "fchdir", "0", "r0"),
    CALL(98, "mkdir", "p-", "r"), CALL(100, "rmdir", "p", "r"), CALL(102, "openat", "0p--", "r"),
    CALL(104, "link", "pq", "r"), CALL(106, "linkat", "0p2q", "r"), CALL(108, "unlink", "p", "r"),
    CALL(110, "unlinkat", "0p", "r"), CALL(112, "pread64", "023", "r-023"),
    CALL(114, "pwrite64", "023", "r-023"), CALL(116, "readv", "0", "r--0"),
    CALL(118, "writev", "0-", "r-0-"), CALL(120, "preadv", "03", "r--03"),
    CALL(122, "pwritev", "0-3", "r-0-3"), CALL(124, "dup", "0", "r"), CALL(126, "signalfd", "0--", "r0--"),
    CALL(128, "kill", "01", "r01"), CALL(130, "tkill", "01", "r01"), CALL(132, "tgkill", "012", "r012"),
    CALL(134, "nanosleep", "-", "r-"), CALL(136, "timerfd_create", "0-", "r0-"),
    CALL(138, "inotify_init", "-", "r-"), CALL(140, "getrlimit", "0", "r--0"),
    CALL(142, "setrlimit", "0", "r--0"), CALL(144, "prlimit64", "01", "r----01"),
    KERNEL(146, "switch"), KERNEL(148, "drop"), CALL(150, "fcntl", "0-", "r0-"), KERNEL(152, "switch"),
    EXEC(154, ""), CLONE(156, "clone"), CALL(158, "brk", "0", "r---0"),
    CALL(160, "mmap", "01--45", "r---01--45"), CALL(162, "mmap2", "01--45", "r---01--45"),
    CALL(164, "munmap", "01", "r---01"), CALL(166, "splice", "024-", "r024-"),
    CALL(168, "ptrace", "-1", "r---1"), CALL(170, "ioctl", "012", "r012"), EXEC(172, ""),
    CALL(174, "rename", "", "rpq"), CALL(176, "renameat", "", "r0p2q"), CALL(178, "symlink", "", "rpq"),
    CALL(180, "symlinkat", "", "rp1q"), CLONE(182, "fork"), CLONE(184, "vfork"),
    {186, KYMO_SCAP_EXIT, "procexit", "", ""}, CALL(188, "sendfile", "01-3", "r-01-3"),
    CALL(190, "quotactl", "----", "r"), CALL(192, "setresuid", "012", "r012"),
    CALL(194, "setresgid", "012", "r012"), INTERNAL(196, "scapevent"), CALL(198, "setuid", "0", "r0"),
    CALL(200, "setgid", "0", "r0"), CALL(202, "getuid", "", "r"), CALL(204, "geteuid", "", "r"),
    CALL(206, "getgid", "", "r"), CALL(208, "getegid", "", "r"), CALL(210, "getresuid", "", "r---"),
    CALL(212, "getresgid", "", "r---"), EXEC(214, ""), CLONE(216, "clone"), CLONE(218, "fork"),
    CLONE(220, "vfork"), CLONE(222, "clone"), CLONE(224, "fork"), CLONE(226, "vfork"),
    INTERNAL(228, "container"), EXEC(230, ""), KERNEL(232, "signaldeliver"), INTERNAL(234, "procinfo"),
    CALL(236, "getdents", "0", "r0"), CALL(238, "getdents64", "0", "r0"), CALL(240, "setns", "0-", "r0-"),
    CALL(242, "flock", "0-", "r0-"), KERNEL(244, "cpu_hotplug"), CALL(246, "accept", "", "rs---"),
    CALL(248, "accept4", "-", "rs---"), CALL(250, "semop", "-", "r"), CALL(252, "semctl", "----", "r"),
    CALL(254, "ppoll", "---", "r-"), CALL(256, "mount", "-", "rpq-"), CALL(258, "umount2", "-", "rp"),
    INTERNAL(260, "k8s"), CALL(262, "semget", "-1-", "r"), CALL(264, "access", "-", "rp"),
    CALL(266, "chroot", "", "rp"), KERNEL(268, "tracer"), INTERNAL(270, "mesos"),
    INTERNAL(272, "container"), CALL(274, "setsid", "", "r"), CALL(276, "mkdir", "-", "rp-"),
    CALL(278, "rmdir", "", "rp"), INTERNAL(280, "notification"), EXEC(282, ""),
    CALL(284, "unshare", "-", "r-"), INTERNAL(286, "infra"), EXEC(288, "p"), KERNEL(290, "page_fault"),
    EXEC(292, "p"), CALL(294, "setpgid", "01", "r01"), CALL(296, "bpf", "0", "r"),
    CALL(298, "seccomp", "0-", "r0-"), CALL(300, "unlink", "", "rp"), CALL(302, "unlinkat", "", "r0p-"),
    CALL(304, "mkdirat", "", "r0p-"), CALL(306, "openat", "0p--", "r0p---"), CALL(308, "link", "", "rpq"),
    CALL(310, "linkat", "", "r0p2q-"), CALL(312, "fchmodat", "", "r0p-"), CALL(314, "chmod", "", "rp-"),
    CALL(316, "fchmod", "", "r0-"), CALL(318, "renameat2", "", "r0p2q-"),
    CALL(320, "userfaultfd", "", "r-"), INTERNAL(322, "pluginevent"), INTERNAL(324, "container"),
    CALL(326, "openat2", "0p---", "r0p---"), CALL(328, "mprotect", "01-", "r01-"),
    {330, KYMO_SCAP_EXEC, "execveat", "0p-", "r"}, CALL(332, "copy_file_range", "0-4", "r2-0-4"),
    CLONE(334, "clone3"), CALL(336, "open_by_handle_at", "", "r0-p"),
    CALL(338, "io_uring_setup", "", "r0------"), CALL(340, "io_uring_enter", "", "r012--"),
    CALL(342, "io_uring_register", "", "r0-23"), CALL(344, "mlock", "", "r01"),
    CALL(346, "munlock", "", "r01"), CALL(348, "mlockall", "", "r-"), CALL(350, "munlockall", "", "r"),
    CALL(352, "capset", "", "r---"), INTERNAL(354, "useradded"), INTERNAL(356, "userdeleted"),
    INTERNAL(358, "groupadded"), INTERNAL(360, "groupdeleted"), CALL(362, "dup2", "0", "r01"),
    CALL(364, "dup3", "0", "r01-"), CALL(366, "dup", "0", "r0"), CALL(368, "bpf", "0", "r0"),
    CALL(370, "mlock2", "", "r01-"), CALL(372, "fsconfig", "", "r0-----"),
    CALL(374, "epoll_create", "0", "r0"), CALL(376, "epoll_create1", "-", "r-"),
    CALL(378, "chown", "", "rp12"), CALL(380, "lchown", "", "rp12"), CALL(382, "fchown", "", "r012"),
    CALL(384, "fchownat", "", "r0p23-"), CALL(386, "umount", "", "rp"), CALL(388, "accept4", "-", "rs---"),
    CALL(390, "umount2", "-", "rp-"), CALL(392, "pipe2", "", "r----"),
    CALL(394, "inotify_init1", "", "r-"), CALL(396, "eventfd2", "0", "r-0"),
    CALL(398, "signalfd4", "0-", "r-0-"), CALL(400, "prctl", "", "r---"), INTERNAL(402, "asyncevent"),
    CALL(404, "memfd_create", "", "r--"), CALL(406, "pidfd_getfd", "", "r01-"),
    CALL(408, "pidfd_open", "", "r0-"), CALL(410, "init_module", "", "r-1-"),
    CALL(412, "finit_module", "", "r0--"), CALL(414, "mknod", "", "rp--"),
    CALL(416, "mknodat", "", "r0p--"), CALL(418, "newfstatat", "", "r0p-"),
};
/* clang-format on */

const struct kymo_scap_event *kymo_scap_event(uint16_t type)
{
    size_t low = 0, high = KYMO_COUNT_OF(event);
    const uint16_t enter = type & 0xfffeu;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (event[mid].type == enter)
            return &event[mid];
        if (event[mid].type < enter)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct kymo_scap_event *kymo_scap_event_by_name(const char *name, size_t n)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(event); i++)
        if (strlen(event[i].name) == n && memcmp(event[i].name, name, n) == 0)
            return &event[i];
    return NULL;
}
