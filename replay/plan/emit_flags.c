/* SPDX-License-Identifier: Apache-2.0
 * emit_flags.c: words for the arguments that people know by words.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/base/size.h"
#include "replay/plan/emit_own.h"

struct word {
    uint64_t value;
    const char *name;
};
/* A set: one of `one`, by the bits of `mask` (0: none of that kind), and any of `any`. */
struct words {
    const struct word *one;
    uint64_t mask;
    const struct word *any;
};
#define W(name)                                                                                \
    {                                                                                          \
        (uint64_t)(name), #name                                                                \
    }
#define END                                                                                    \
    {                                                                                          \
        0, NULL                                                                                \
    }
#define ALL UINT64_MAX

static const struct word o_mode[] = {W(O_RDONLY), W(O_WRONLY), W(O_RDWR), END};
static const struct word o_any[] = {W(O_CREAT),   W(O_EXCL),     W(O_NOCTTY),    W(O_TRUNC),
                                    W(O_APPEND),  W(O_NONBLOCK), W(O_SYNC),      W(O_DSYNC),
                                    W(O_DIRECT),  W(O_TMPFILE),  W(O_DIRECTORY), W(O_NOFOLLOW),
                                    W(O_NOATIME), W(O_CLOEXEC),  W(O_PATH),      W(O_ASYNC),
                                    END};
static const struct word at_any[] = {W(AT_SYMLINK_NOFOLLOW), W(AT_SYMLINK_FOLLOW),
                                     W(AT_NO_AUTOMOUNT), W(AT_EMPTY_PATH), END};
static const struct word unlink_any[] = {W(AT_REMOVEDIR), END};
static const struct word access_any[] = {W(R_OK), W(W_OK), W(X_OK), END};
static const struct word family[] = {W(AF_UNSPEC),  W(AF_UNIX),   W(AF_INET), W(AF_INET6),
                                     W(AF_NETLINK), W(AF_PACKET), END};
static const struct word sock_type[] = {W(SOCK_STREAM), W(SOCK_DGRAM), W(SOCK_RAW),
                                        W(SOCK_SEQPACKET), END};
static const struct word sock_any[] = {W(SOCK_NONBLOCK), W(SOCK_CLOEXEC), END};
static const struct word msg_any[] = {
    W(MSG_OOB),   W(MSG_PEEK),     W(MSG_DONTWAIT), W(MSG_WAITALL),      W(MSG_NOSIGNAL),
    W(MSG_TRUNC), W(MSG_ERRQUEUE), W(MSG_MORE),     W(MSG_CMSG_CLOEXEC), END};
static const struct word shut_how[] = {W(SHUT_RD), W(SHUT_WR), W(SHUT_RDWR), END};
static const struct word level[] = {
    W(SOL_SOCKET), {6, "IPPROTO_TCP"}, {0, "IPPROTO_IP"}, {41, "IPPROTO_IPV6"}, END};
static const struct word so_name[] = {W(SO_DEBUG),
                                      W(SO_REUSEADDR),
                                      W(SO_TYPE),
                                      W(SO_ERROR),
                                      W(SO_DONTROUTE),
                                      W(SO_BROADCAST),
                                      W(SO_SNDBUF),
                                      W(SO_RCVBUF),
                                      W(SO_KEEPALIVE),
                                      W(SO_LINGER),
                                      W(SO_REUSEPORT),
                                      W(SO_PASSCRED),
                                      W(SO_PEERCRED),
                                      W(SO_RCVTIMEO),
                                      W(SO_SNDTIMEO),
                                      W(SO_ACCEPTCONN),
                                      W(SO_PROTOCOL),
                                      W(SO_DOMAIN),
                                      END};
static const struct word prot_any[] = {W(PROT_READ), W(PROT_WRITE), W(PROT_EXEC), END};
static const struct word map_one[] = {
    W(MAP_SHARED), W(MAP_PRIVATE), {3, "MAP_SHARED_VALIDATE"}, END};
static const struct word map_any[] = {W(MAP_FIXED),
                                      W(MAP_ANONYMOUS),
                                      W(MAP_GROWSDOWN),
                                      W(MAP_DENYWRITE),
                                      W(MAP_LOCKED),
                                      W(MAP_NORESERVE),
                                      W(MAP_POPULATE),
                                      W(MAP_NONBLOCK),
                                      W(MAP_STACK),
                                      W(MAP_HUGETLB),
                                      END};
static const struct word advice[] = {W(MADV_NORMAL),
                                     W(MADV_RANDOM),
                                     W(MADV_SEQUENTIAL),
                                     W(MADV_WILLNEED),
                                     W(MADV_DONTNEED),
                                     W(MADV_FREE),
                                     W(MADV_HUGEPAGE),
                                     W(MADV_NOHUGEPAGE),
                                     W(MADV_DONTFORK),
                                     W(MADV_DONTDUMP),
                                     END};
static const struct word msync_any[] = {W(MS_ASYNC), W(MS_INVALIDATE), W(MS_SYNC), END};
static const struct word mremap_any[] = {W(MREMAP_MAYMOVE), W(MREMAP_FIXED), END};
static const struct word fcntl_cmd[] = {W(F_DUPFD),      W(F_GETFD),         W(F_SETFD),
                                        W(F_GETFL),      W(F_SETFL),         W(F_GETLK),
                                        W(F_SETLK),      W(F_SETLKW),        W(F_SETOWN),
                                        W(F_GETOWN),     W(F_DUPFD_CLOEXEC), W(F_SETPIPE_SZ),
                                        W(F_GETPIPE_SZ), W(F_ADD_SEALS),     W(F_GET_SEALS),
                                        W(F_SETLEASE),   W(F_NOTIFY),        END};
static const struct word fd_any[] = {W(FD_CLOEXEC), END};
static const struct word epoll_op[] = {W(EPOLL_CTL_ADD), W(EPOLL_CTL_DEL), W(EPOLL_CTL_MOD),
                                       END};
static const struct word epoll_any[] = {W(EPOLL_CLOEXEC), END};
static const struct word event_any[] = {W(EFD_CLOEXEC), W(EFD_NONBLOCK), W(EFD_SEMAPHORE), END};
static const struct word tfd_any[] = {W(TFD_CLOEXEC), W(TFD_NONBLOCK), END};
static const struct word tfd_set_any[] = {W(TFD_TIMER_ABSTIME), END};
static const struct word sfd_any[] = {W(SFD_CLOEXEC), W(SFD_NONBLOCK), END};
static const struct word in_any[] = {W(IN_CLOEXEC), W(IN_NONBLOCK), END};
static const struct word mfd_any[] = {W(MFD_CLOEXEC), W(MFD_ALLOW_SEALING), END};
static const struct word futex_one[] = {W(FUTEX_WAIT),
                                        W(FUTEX_WAKE),
                                        W(FUTEX_REQUEUE),
                                        W(FUTEX_CMP_REQUEUE),
                                        W(FUTEX_WAKE_OP),
                                        W(FUTEX_LOCK_PI),
                                        W(FUTEX_UNLOCK_PI),
                                        W(FUTEX_TRYLOCK_PI),
                                        W(FUTEX_WAIT_BITSET),
                                        W(FUTEX_WAKE_BITSET),
                                        END};
static const struct word futex_any[] = {W(FUTEX_PRIVATE_FLAG), W(FUTEX_CLOCK_REALTIME), END};
static const struct word futex_all[] = {{0xffffffff, "FUTEX_BITSET_MATCH_ANY"}, END};
static const struct word clock_id[] = {
    W(CLOCK_REALTIME),          W(CLOCK_MONOTONIC),     W(CLOCK_PROCESS_CPUTIME_ID),
    W(CLOCK_THREAD_CPUTIME_ID), W(CLOCK_MONOTONIC_RAW), W(CLOCK_REALTIME_COARSE),
    W(CLOCK_MONOTONIC_COARSE),  W(CLOCK_BOOTTIME),      END};
static const struct word timer_any[] = {W(TIMER_ABSTIME), END};
static const struct word wait_any[] = {W(WNOHANG), W(WUNTRACED), W(WCONTINUED),
                                       W(WEXITED), W(WNOWAIT),   END};
static const struct word sig_how[] = {W(SIG_BLOCK), W(SIG_UNBLOCK), W(SIG_SETMASK), END};
static const struct word whence[] = {W(SEEK_SET),  W(SEEK_CUR),  W(SEEK_END),
                                     W(SEEK_DATA), W(SEEK_HOLE), END};
static const struct word lock_any[] = {W(LOCK_SH), W(LOCK_EX), W(LOCK_NB), W(LOCK_UN), END};
static const struct word falloc_any[] = {W(FALLOC_FL_KEEP_SIZE), W(FALLOC_FL_PUNCH_HOLE), END};
static const struct word fadvice[] = {W(POSIX_FADV_NORMAL),
                                      W(POSIX_FADV_RANDOM),
                                      W(POSIX_FADV_SEQUENTIAL),
                                      W(POSIX_FADV_WILLNEED),
                                      W(POSIX_FADV_DONTNEED),
                                      W(POSIX_FADV_NOREUSE),
                                      END};
static const struct word rlimit[] = {
    W(RLIMIT_CPU),    W(RLIMIT_FSIZE), W(RLIMIT_DATA),  W(RLIMIT_STACK),   W(RLIMIT_CORE),
    W(RLIMIT_NOFILE), W(RLIMIT_AS),    W(RLIMIT_NPROC), W(RLIMIT_MEMLOCK), END};
static const struct word ioctls[] = {
    W(FIONREAD), W(FIONBIO), W(TIOCGWINSZ), {0x5401, "TCGETS"}, W(FIOCLEX), W(FIONCLEX), END};
static const struct word prctls[] = {W(PR_SET_NAME),         W(PR_GET_NAME),
                                     W(PR_SET_DUMPABLE),     W(PR_GET_DUMPABLE),
                                     W(PR_SET_NO_NEW_PRIVS), W(PR_SET_CHILD_SUBREAPER),
                                     W(PR_CAPBSET_READ),     END};
static const struct word statx_any[] = {
    {0xfff, "STATX_ALL"}, {0x7ff, "STATX_BASIC_STATS"}, END};

static const struct words open_flags = {o_mode, O_ACCMODE, o_any}, at = {NULL, 0, at_any},
                          unlinks = {NULL, 0, unlink_any}, access_mode = {NULL, 0, access_any},
                          families = {family, ALL, NULL}, types = {sock_type, 0xf, sock_any},
                          socks = {NULL, 0, sock_any}, messages = {NULL, 0, msg_any},
                          shuts = {shut_how, ALL, NULL}, levels = {level, ALL, NULL},
                          options = {so_name, ALL, NULL}, prots = {NULL, 0, prot_any},
                          maps = {map_one, 3, map_any}, advices = {advice, ALL, NULL},
                          msyncs = {NULL, 0, msync_any}, mremaps = {NULL, 0, mremap_any},
                          cmds = {fcntl_cmd, ALL, NULL}, fds = {NULL, 0, fd_any},
                          ops = {epoll_op, ALL, NULL}, epolls = {NULL, 0, epoll_any},
                          events = {NULL, 0, event_any}, tfds = {NULL, 0, tfd_any},
                          tfd_sets = {NULL, 0, tfd_set_any}, sfds = {NULL, 0, sfd_any},
                          ins = {NULL, 0, in_any}, mfds = {NULL, 0, mfd_any},
                          futexes = {futex_one, 0x7f, futex_any},
                          bitsets = {futex_all, ALL, NULL}, clocks = {clock_id, ALL, NULL},
                          timers = {NULL, 0, timer_any}, waits = {NULL, 0, wait_any},
                          sig_hows = {sig_how, ALL, NULL}, whences = {whence, ALL, NULL},
                          locks = {NULL, 0, lock_any}, fallocs = {NULL, 0, falloc_any},
                          fadvices = {fadvice, ALL, NULL}, limits = {rlimit, ALL, NULL},
                          controls = {ioctls, ALL, NULL}, prs = {prctls, ALL, NULL},
                          statxs = {statx_any, ALL, NULL}, modes = {NULL, 0, NULL}, /* octal */
    signals_of = {NULL, 1, NULL};

static const struct {
    const char *call;
    int arg;
    const struct words *words;
} known[] = {
    {"open", 1, &open_flags},
    {"open", 2, &modes},
    {"openat", 2, &open_flags},
    {"openat", 3, &modes},
    {"creat", 1, &modes},
    {"pipe2", 1, &open_flags},
    {"dup3", 2, &open_flags},
    {"mkdir", 1, &modes},
    {"mkdirat", 2, &modes},
    {"chmod", 1, &modes},
    {"fchmod", 1, &modes},
    {"fchmodat", 2, &modes},
    {"mknod", 1, &modes},
    {"mknodat", 2, &modes},
    {"umask", 0, &modes},
    {"access", 1, &access_mode},
    {"faccessat", 2, &access_mode},
    {"faccessat2", 2, &access_mode},
    {"faccessat2", 3, &at},
    {"newfstatat", 3, &at},
    {"statx", 2, &at},
    {"statx", 3, &statxs},
    {"fchownat", 4, &at},
    {"utimensat", 3, &at},
    {"linkat", 4, &at},
    {"unlinkat", 2, &unlinks},
    {"socket", 0, &families},
    {"socket", 1, &types},
    {"socketpair", 0, &families},
    {"socketpair", 1, &types},
    {"accept4", 3, &socks},
    {"sendto", 3, &messages},
    {"recvfrom", 3, &messages},
    {"sendmsg", 2, &messages},
    {"recvmsg", 2, &messages},
    {"sendmmsg", 3, &messages},
    {"recvmmsg", 3, &messages},
    {"shutdown", 1, &shuts},
    {"setsockopt", 1, &levels},
    {"getsockopt", 1, &levels},
    {"setsockopt", 2, &options},
    {"getsockopt", 2, &options},
    {"mmap", 2, &prots},
    {"mmap", 3, &maps},
    {"mprotect", 2, &prots},
    {"madvise", 2, &advices},
    {"msync", 2, &msyncs},
    {"mremap", 3, &mremaps},
    {"fcntl", 1, &cmds},
    {"epoll_ctl", 1, &ops},
    {"epoll_create1", 0, &epolls},
    {"eventfd2", 1, &events},
    {"timerfd_create", 0, &clocks},
    {"timerfd_create", 1, &tfds},
    {"timerfd_settime", 1, &tfd_sets},
    {"signalfd4", 3, &sfds},
    {"inotify_init1", 0, &ins},
    {"memfd_create", 1, &mfds},
    {"futex", 1, &futexes},
    {"futex", 5, &bitsets},
    {"clock_gettime", 0, &clocks},
    {"clock_getres", 0, &clocks},
    {"clock_nanosleep", 0, &clocks},
    {"clock_nanosleep", 1, &timers},
    {"wait4", 2, &waits},
    {"waitid", 3, &waits},
    {"rt_sigprocmask", 0, &sig_hows},
    {"lseek", 2, &whences},
    {"flock", 1, &locks},
    {"fallocate", 1, &fallocs},
    {"fadvise64", 3, &fadvices},
    {"getrlimit", 0, &limits},
    {"setrlimit", 0, &limits},
    {"prlimit64", 1, &limits},
    {"ioctl", 1, &controls},
    {"prctl", 0, &prs},
    {"kill", 1, &signals_of},
    {"tgkill", 2, &signals_of},
    {"tkill", 1, &signals_of},
    {"rt_sigaction", 0, &signals_of},
};

const char *emit_signal(int s)
{
    static const struct word names[] = {
        W(SIGHUP),    W(SIGINT),  W(SIGQUIT),  W(SIGILL),  W(SIGTRAP), W(SIGABRT),
        W(SIGBUS),    W(SIGFPE),  W(SIGKILL),  W(SIGUSR1), W(SIGSEGV), W(SIGUSR2),
        W(SIGPIPE),   W(SIGALRM), W(SIGTERM),  W(SIGCHLD), W(SIGCONT), W(SIGSTOP),
        W(SIGTSTP),   W(SIGTTIN), W(SIGTTOU),  W(SIGURG),  W(SIGXCPU), W(SIGXFSZ),
        W(SIGVTALRM), W(SIGPROF), W(SIGWINCH), W(SIGIO),   W(SIGPWR),  W(SIGSYS)};
    for (size_t i = 0; i < KYMO_COUNT_OF(names); i++)
        if (names[i].value == (uint64_t)s)
            return names[i].name;
    return NULL;
}

/* 32 bits are compared: that is what the kernel reads of flags. */
static int put_words(struct kymo_buf *out, const struct words *w, uint64_t v)
{
    uint64_t left = v & UINT32_MAX;
    int n = 0;
    for (const struct word *o = w->one; o && o->name; o++)
        if ((o->value & UINT32_MAX) == (left & w->mask & UINT32_MAX)) {
            kymo_buf_printf(out, "%s", o->name);
            left &= ~w->mask;
            n = 1;
            break;
        }
    if (w->mask == ALL)
        return n;
    for (const struct word *o = w->any; o && o->name; o++)
        if (o->value && (left & o->value) == o->value) {
            kymo_buf_printf(out, "%s%s", n++ ? " | " : "", o->name);
            left &= ~o->value;
        }
    if (left)
        kymo_buf_printf(out, "%s0x%" PRIx64, n++ ? " | " : "", left);
    if (!n)
        kymo_buf_printf(out, "0");
    return 1;
}

/* What a command's own argument is: fcntl(F_SETFD), fcntl(F_SETFL). */
static const struct words *by_command(const char *call, int k, const uint64_t *arg)
{
    if (k == 2 && strcmp(call, "fcntl") == 0)
        return arg[1] == F_SETFD ? &fds : arg[1] == F_SETFL ? &open_flags : NULL;
    return NULL;
}

int emit_flags(struct kymo_buf *out, const char *call, int k, const uint64_t *arg)
{
    const struct words *w = by_command(call, k, arg);
    for (size_t i = 0; !w && i < KYMO_COUNT_OF(known); i++)
        if (known[i].arg == k && strcmp(known[i].call, call) == 0)
            w = known[i].words;
    if (!w || (w == &options && arg[1] != SOL_SOCKET))
        return 0;
    if (w == &modes) {
        kymo_buf_printf(out, "%s%" PRIo64, arg[k] ? "0" : "", arg[k] & UINT32_MAX);
        return 1;
    }
    if (w == &signals_of) {
        const char *s = arg[k] < 65 ? emit_signal((int)arg[k]) : NULL;
        if (s)
            kymo_buf_printf(out, "%s", s);
        return s != NULL;
    }
    return put_words(out, w, arg[k]);
}
