/* SPDX-License-Identifier: Apache-2.0
 * hostile.c: captures made to hurt who plays them back: seeded, small, and each a mix of several attacks.
 *
 * hostile FOLDER SEED N         FOLDER/hostile-SEED.kymo and the N - 1 that follow
 * hostile watch MS COMMAND...   runs the command, kills it after MS ms (0: does not), and takes over what it leaves:
 *                               99 if that is not gone within 2 s, else its status, or 0 where it was killed
 *
 * A capture is what a stranger says that a host did. Nothing here has to be possible: numbers are at the ends of
 * their ranges, times go backwards, processes are their own parents, paths lead out of every root. What a replay
 * makes of it must stay in its sandbox, within its budgets.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/base/rng.h"
#include "format/base/size.h"
#include "format/trace/chunk.h"
#include "format/trace/sysname.h"
#include "format/trace/writer.h"

#define SECOND 1000000000ull
#define START_NS (1000 * SECOND)
#define CALLS_MAX 300u
#define BOMB_CALLS 100000u
#define TASKS 12u
#define KEYS_MAX 400u
#if defined(__aarch64__)
#define HERE KYMO_ARCH_AARCH64
#else
#define HERE KYMO_ARCH_X86_64
#endif

struct hostile {
    struct kymo_writer *w;
    struct kymo_rows *syscall, *process, *fd;
    struct kymo_rng rng;
    uint32_t task[TASKS];
    uint64_t pid[TASKS], tid[TASKS];
    uint16_t key[KEYS_MAX]; /* + 1, by number */
    uint64_t now_ns;
    uint32_t n;
    int times; /* how absurd they are */
    int is_modest;
};

static uint64_t below(struct hostile *h, uint64_t n)
{
    return kymo_rng_below(&h->rng, n);
}

static int chance(struct hostile *h, unsigned one_in)
{
    return below(h, one_in) == 0;
}

#define PICK(h, array) ((array)[below((h), KYMO_COUNT_OF(array))])

/* ---- words and numbers that hurt ------------------------------------------------------------- */

static uint64_t wild(struct hostile *h)
{
    static const uint64_t ends[] = {0,
                                    1,
                                    7,
                                    4096,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x100000000,
                                    0x2b00000000,
                                    0x2b00800000,
                                    0x2c00000000,
                                    0x3000000000,
                                    0x3401000000,
                                    0x3500000000,
                                    0x3600000000,
                                    0x3800000000,
                                    0x7000000000,
                                    0x7fffffffffff,
                                    1ull << 40,
                                    1ull << 62,
                                    1ull << 63,
                                    (1ull << 63) - 1,
                                    UINT64_MAX,
                                    UINT64_MAX - 4095,
                                    (uint64_t)-100};
    return chance(h, 6) ? kymo_rng_u64(&h->rng) : PICK(h, ends);
}

static uint64_t some_fd(struct hostile *h)
{
    static const uint64_t odd[] = {1023,       1024,       4095,       65535,
                                   65536,      1000000,    0x7fffffff, 0x80000000,
                                   UINT64_MAX, UINT32_MAX, 1ull << 63, (uint64_t)-100};
    const uint64_t fd = chance(h, 4) ? PICK(h, odd) : below(h, 12);
    /* Most captures ask for no more than any host has: it is not that for which they are to be refused. */
    return h->is_modest && fd > 1000 && fd <= 1000000 ? fd % 500 : fd;
}

static const char *some_path(struct hostile *h, char *room, size_t bytes)
{
    static const char *const paths[] = {
        "/etc/passwd",
        "../../../../../../../../../../etc/shadow",
        "/../../../../tmp/kymo-hostile-escaped",
        "/proc/self/root/etc/shadow",
        "/proc/1/root/tmp/kymo-hostile-escaped",
        "/proc/self/fd/0",
        "/proc/self/exe",
        "/proc/self/mem",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/.kymo",
        "/.kymo/stage",
        "/.kymo/control",
        "/.kymo/../etc/x",
        "/dev/mem",
        "/dev/sda",
        "/dev/../dev/null",
        "/dev/null",
        "/dev/full",
        "/dev/tty",
        "/dev/shm/x",
        "/tmp/kymo-hostile-canary/file",
        "/",
        "//",
        "/.",
        "/..",
        ".",
        "..",
        "",
        " ",
        "/a",
        "/a/b/c",
        "/loop",
        "/loop/x",
        "/link/etc/shadow",
        "/a\nb",
        "/a\x01\x02\x7f",
        "/\xff\xfe\xc0\xaf",
        "/%s%n%x",
        "/\"; reboot; \"",
        "pipe:[1]",
        "socket:[1]",
        "anon_inode:[eventfd]",
        "/memfd:x (deleted)",
        "/x (deleted)",
    };
    const uint64_t how = below(h, 12);
    if (how > 2)
        return PICK(h, paths);
    if (how == 2) { /* deep */
        size_t n = 0;
        for (uint64_t i = below(h, 200); i-- && n + 8 < bytes;)
            n += (size_t)snprintf(room + n, bytes - n, "/%s", chance(h, 4) ? ".." : "d");
        room[n] = 0;
        return n ? room : "/";
    }
    const size_t n = how ? bytes - 1 : (size_t)below(h, 5000) % bytes; /* long */
    memset(room, 'n', bytes);
    room[0] = '/';
    room[n] = 0;
    return room;
}

static const char *some_addr(struct hostile *h)
{
    static const char *const addrs[] = {"inet:8.8.8.8:53",
                                        "inet:127.0.0.1:22",
                                        "inet:169.254.169.254:80",
                                        "inet:255.255.255.255:9",
                                        "inet:224.0.0.1:5353",
                                        "inet:0.0.0.0:0",
                                        "inet:10.0.0.1:99999",
                                        "inet:1.2.3:1",
                                        "inet6:[::1]:22",
                                        "inet6:[2001:db8::1]:443",
                                        "inet6:[ff02::1%9]:1",
                                        "unix:/run/docker.sock",
                                        "unix:/../../run/x",
                                        "unix:@abstract",
                                        "unix:@/org/freedesktop/systemd1",
                                        "unix:",
                                        "netlink:0:0",
                                        "packet:0",
                                        "family:40",
                                        "",
                                        "inet:",
                                        "nonsense"};
    return PICK(h, addrs);
}

static int64_t some_ret(struct hostile *h)
{
    static const int64_t rets[] = {
        0,      1,         3,         7,          100,     4096,         -ENOENT,       -EACCES,
        -EBADF, -EINTR,    -EAGAIN,   -ENOSPC,    -EMFILE, -512,         -516,          -4095,
        -4096,  INT64_MAX, INT64_MIN, 0x7fffffff, 1 << 20, -EINPROGRESS, -ECONNREFUSED, -EIO,
        -EPERM};
    return PICK(h, rets);
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct call {
    const char *name;
    int64_t ret;
    uint64_t arg[6];
    const char *path, *path2, *addr;
    uint64_t flags, dur_ns;
    int is_unreturned;
};

static uint16_t key_of(struct hostile *h, const char *name)
{
    const int nr = kymo_sysnr(HERE, name);
    const uint32_t slot = nr < 0 || nr >= (int)KEYS_MAX ? KEYS_MAX - 1 : (uint32_t)nr;
    if (!h->key[slot]) {
        const uint16_t key = kymo_rows_add_key(h->syscall);
        h->syscall->lane[KYMO_SYSCALL_ARCH][key] = HERE;
        h->syscall->lane[KYMO_SYSCALL_NR][key] = nr < 0 ? 4000 : (uint64_t)nr;
        h->key[slot] = (uint16_t)(key + 1);
    }
    return (uint16_t)(h->key[slot] - 1);
}

/* When a call ended, and how long it took: as a recorder would say, or absurd. */
static uint64_t when(struct hostile *h, uint64_t *dur_ns)
{
    switch (h->times) {
    case 1: /* all at once */
        return START_NS;
    case 2: /* it began before time did */
        *dur_ns = chance(h, 3) ? UINT64_MAX : *dur_ns + START_NS;
        return h->now_ns += below(h, 1000);
    case 3: /* at the end of time */
        return chance(h, 2) ? UINT64_MAX : h->now_ns++;
    case 4: /* everything within everything else */
        *dur_ns = below(h, SECOND);
        return h->now_ns += below(h, 100000);
    case 5: /* one that takes for years */
        *dur_ns = chance(h, 20) ? 1ull << 60 : *dur_ns;
        return h->now_ns += chance(h, 50) ? 1ull << 50 : 1000;
    default:
        return h->now_ns += 1000 + below(h, 200000);
    }
}

static void put(struct hostile *h, uint64_t task, const struct call *c)
{
    if (kymo_rows_full(h->syscall))
        return;
    struct kymo_rows *r = h->syscall;
    uint64_t dur = c->dur_ns ? c->dur_ns : 500 + below(h, 5000);
    const uint16_t key = key_of(h, c->name);
    const uint32_t i = kymo_rows_add(r);
    r->task[i] = h->task[task % TASKS];
    r->key[i] = key;
    kymo_rows_set(r, KYMO_SYSCALL_TS, i, when(h, &dur));
    kymo_rows_set(r, KYMO_SYSCALL_CPU, i, 0);
    kymo_rows_set(r, KYMO_SYSCALL_FLAGS, i, c->flags);
    if (!chance(h, 30))
        kymo_rows_set(r, KYMO_SYSCALL_DUR, i, dur);
    if (!c->is_unreturned)
        kymo_rows_set(r, KYMO_SYSCALL_RET, i, (uint64_t)c->ret);
    for (uint32_t k = 0; k < 6; k++)
        kymo_rows_set(r, KYMO_SYSCALL_ARG0 + k, i, c->arg[k]);
    if (c->path)
        kymo_rows_set_str(r, KYMO_SYSCALL_PATH, i, c->path, strlen(c->path));
    if (c->path2)
        kymo_rows_set_str(r, KYMO_SYSCALL_PATH2, i, c->path2, strlen(c->path2));
    if (c->addr)
        kymo_rows_set_str(r, KYMO_SYSCALL_ADDR, i, c->addr, strlen(c->addr));
    h->n++;
}

#define PUT(h, task, ...) put((h), (task), &(const struct call){__VA_ARGS__})

/* ---- attacks --------------------------------------------------------------------------------- */

static void breed(struct hostile *h)
{
    static const char *const how[] = {"clone", "fork", "vfork", "clone3"};
    const uint64_t n = 1 + below(h, 60), t = below(h, TASKS);
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t parent = chance(h, 3) ? t : below(h, TASKS), child = below(h, TASKS);
        const uint64_t flags = chance(h, 3) ? CLONE_VM | CLONE_THREAD | CLONE_SIGHAND
                               : chance(h, 3)
                                   ? CLONE_NEWUSER | CLONE_NEWPID | CLONE_PARENT | SIGCHLD
                                   : SIGCHLD;
        const char *name = PICK(h, how);
        PUT(h, parent, .name = name,
            .ret = chance(h, 4) ? 100000 + (int64_t)i : (int64_t)h->tid[child],
            .arg = {flags, wild(h)});
        if (chance(h, 2))
            PUT(h, child, .name = name, .ret = 0, .flags = KYMO_CALL_CHILD);
    }
}

static void escape(struct hostile *h)
{
    static char a[5000], b[5000];
    const uint64_t t = below(h, TASKS);
    const char *path = some_path(h, a, sizeof(a)), *path2 = some_path(h, b, sizeof(b));
    switch (below(h, 11)) {
    case 0:
    case 1:
        PUT(h, t, .name = "openat", .ret = (int64_t)some_fd(h),
            .arg = {(uint64_t)-100, 1, O_RDWR | O_CREAT | O_TRUNC, 06777}, .path = path);
        break;
    case 2:
        PUT(h, t, .name = "openat", .ret = some_ret(h),
            .arg = {some_fd(h), 1, wild(h), wild(h)}, .path = path);
        break;
    case 3:
        PUT(h, t, .name = "symlink", .ret = 0, .path = "/", .path2 = "/link");
        PUT(h, t, .name = "symlinkat", .ret = 0, .arg = {1, (uint64_t)-100, 1},
            .path = "/proc/self/root", .path2 = path2);
        PUT(h, t, .name = "openat", .ret = 5,
            .arg = {(uint64_t)-100, 1, O_RDWR | O_CREAT, 0666},
            .path = "/link/tmp/kymo-hostile-escaped");
        break;
    case 4:
        PUT(h, t, .name = "symlink", .ret = 0, .path = "/loop", .path2 = "/loop");
        PUT(h, t, .name = "openat", .ret = -ELOOP, .arg = {(uint64_t)-100}, .path = "/loop/x");
        break;
    case 5:
        PUT(h, t, .name = "renameat2", .ret = some_ret(h) > 0, .path = path, .path2 = path2,
            .arg = {(uint64_t)-100, 0, (uint64_t)-100, 0, below(h, 8)});
        break;
    case 6:
        PUT(h, t, .name = "linkat", .ret = 0, .path = path, .path2 = path2,
            .arg = {(uint64_t)-100, 0, (uint64_t)-100, 0, 0x400});
        break;
    case 7:
        PUT(h, t, .name = chance(h, 2) ? "unlinkat" : "rmdir", .ret = 0, .path = path,
            .arg = {(uint64_t)-100, 0, 0x200});
        break;
    case 8:
        PUT(h, t, .name = "mknodat", .ret = 0, .path = path,
            .arg = {(uint64_t)-100, 0, 060666, 0x800});
        break;
    case 9:
        PUT(h, t, .name = chance(h, 2) ? "chdir" : "chroot", .ret = 0, .path = path);
        PUT(h, t, .name = "openat", .ret = 6,
            .arg = {(uint64_t)-100, 0, O_RDWR | O_CREAT, 0644},
            .path = "../../../../kymo-hostile-escaped");
        break;
    default:
        PUT(h, t, .name = "truncate", .ret = 0, .path = path, .arg = {0, wild(h)});
        PUT(h, t, .name = "chmod", .ret = 0, .path = path, .arg = {0, 07777});
        PUT(h, t, .name = "setxattr", .ret = 0, .path = path, .arg = {0, 0, 0, wild(h)});
    }
}

static void amounts(struct hostile *h)
{
    static const char *const io[] = {"read",       "write",           "pread64",   "pwrite64",
                                     "readv",      "writev",          "sendfile",  "splice",
                                     "sendto",     "recvfrom",        "sendmsg",   "recvmsg",
                                     "getdents64", "lseek",           "ftruncate", "fallocate",
                                     "preadv2",    "copy_file_range", "vmsplice",  "getrandom"};
    for (uint64_t i = 1 + below(h, 10); i--;)
        PUT(h, below(h, TASKS), .name = PICK(h, io),
            .ret = chance(h, 3) ? (int64_t)wild(h) : some_ret(h),
            .arg = {some_fd(h), wild(h), wild(h), wild(h), wild(h), wild(h)},
            .addr = chance(h, 4) ? some_addr(h) : NULL);
}

static void descriptors(struct hostile *h)
{
    const uint64_t t = below(h, TASKS);
    for (uint64_t i = 0, n = 5 + below(h, 60); i < n; i++)
        switch (below(h, 6)) {
        case 0:
            PUT(h, t, .name = "dup2", .ret = (int64_t)some_fd(h), .arg = {some_fd(h), i});
            break;
        case 1:
            PUT(h, t, .name = "dup3", .ret = (int64_t)some_fd(h),
                .arg = {some_fd(h), some_fd(h), wild(h)});
            break;
        case 2:
            PUT(h, t, .name = "fcntl", .ret = (int64_t)some_fd(h),
                .arg = {some_fd(h), F_DUPFD, wild(h)});
            break;
        case 3:
            PUT(h, t, .name = "close", .ret = 0, .arg = {some_fd(h)});
            break;
        case 4:
            PUT(h, t, .name = "close_range", .ret = 0,
                .arg = {chance(h, 2) ? 0 : some_fd(h), chance(h, 2) ? UINT32_MAX : wild(h),
                        below(h, 8)});
            break;
        default:
            PUT(h, t, .name = chance(h, 2) ? "pipe2" : "socketpair", .ret = 0,
                .arg = {some_fd(h), wild(h), wild(h), wild(h)});
        }
}

/* Each waits for what another will only do once it has what it waits for itself. */
static void circles(struct hostile *h)
{
    const uint64_t a = below(h, TASKS), b = below(h, TASKS);
    const uint64_t word = 0x7f0000001000;
    for (int i = 0; i < 2; i++) {
        const uint64_t me = i ? a : b, other = i ? b : a;
        PUT(h, me, .name = "futex", .ret = 0, .dur_ns = SECOND,
            .arg = {word + 64 * (uint64_t)i, FUTEX_WAIT, 1});
        PUT(h, me, .name = "futex", .ret = 1000,
            .arg = {word + 64 * (uint64_t)!i, FUTEX_WAKE, INT32_MAX});
        PUT(h, me, .name = "wait4", .ret = (int64_t)h->pid[other], .dur_ns = SECOND,
            .arg = {h->pid[other]});
        PUT(h, me, .name = "pipe2", .ret = 0);
        PUT(h, me, .name = "read", .ret = 100, .dur_ns = SECOND,
            .arg = {3 + (uint64_t)i, 0, 100});
        PUT(h, me, .name = "write", .ret = 100, .arg = {4 - (uint64_t)i, 0, 100});
        PUT(h, me, .name = "epoll_ctl", .ret = 0, .arg = {3, 1, 3});
        PUT(h, me, .name = "epoll_wait", .ret = 1, .dur_ns = SECOND,
            .arg = {3, 0, 1, UINT64_MAX});
        PUT(h, me, .name = "poll", .ret = 1, .dur_ns = 10 * SECOND,
            .arg = {0, wild(h), UINT64_MAX});
    }
}

static void kills(struct hostile *h)
{
    static const uint64_t whom[] = {0,          1,         2, (uint64_t)-1, (uint64_t)-2,
                                    1ull << 31, UINT32_MAX};
    static const char *const how[] = {"kill", "tgkill", "tkill", "rt_sigqueueinfo",
                                      "pidfd_send_signal"};
    for (uint64_t i = 1 + below(h, 6); i--;) {
        const uint64_t who = chance(h, 2) ? h->pid[below(h, TASKS)] : PICK(h, whom);
        const uint64_t s = chance(h, 2) ? SIGKILL : below(h, 70);
        const char *name = PICK(h, how);
        PUT(h, below(h, TASKS), .name = name, .ret = 0,
            .arg = {who, strcmp(name, "tgkill") == 0 ? who : s, s});
    }
}

static void power(struct hostile *h)
{
    static const char *const calls[] = {"ptrace",
                                        "mount",
                                        "umount2",
                                        "bpf",
                                        "reboot",
                                        "init_module",
                                        "finit_module",
                                        "unshare",
                                        "setns",
                                        "pivot_root",
                                        "io_uring_setup",
                                        "io_uring_enter",
                                        "io_uring_register",
                                        "keyctl",
                                        "add_key",
                                        "userfaultfd",
                                        "sethostname",
                                        "setdomainname",
                                        "setrlimit",
                                        "prlimit64",
                                        "seccomp",
                                        "swapon",
                                        "kexec_load",
                                        "settimeofday",
                                        "clock_settime",
                                        "acct",
                                        "quotactl",
                                        "perf_event_open",
                                        "open_by_handle_at",
                                        "process_vm_writev",
                                        "chroot",
                                        "syslog",
                                        "delete_module",
                                        "setuid",
                                        "setgid",
                                        "setgroups",
                                        "capset",
                                        "personality",
                                        "iopl",
                                        "ioperm",
                                        "fanotify_init",
                                        "move_mount",
                                        "open_tree",
                                        "fsopen",
                                        "nice",
                                        "sched_setscheduler",
                                        "setpriority",
                                        "ioctl",
                                        "mlockall",
                                        "shmget",
                                        "msgget",
                                        "semget",
                                        "mq_open",
                                        "landlock_restrict_self",
                                        "memfd_secret",
                                        "pidfd_getfd",
                                        "vhangup",
                                        "sysfs"};
    static char a[5000];
    for (uint64_t i = 1 + below(h, 8); i--;)
        PUT(h, below(h, TASKS), .name = PICK(h, calls), .ret = chance(h, 2) ? 0 : some_ret(h),
            .arg = {wild(h), wild(h), wild(h), wild(h), wild(h), wild(h)},
            .path = chance(h, 2) ? some_path(h, a, sizeof(a)) : NULL);
}

static void limits(struct hostile *h)
{
    const uint64_t t = below(h, TASKS);
    PUT(h, t, .name = "prctl", .ret = 0,
        .arg = {chance(h, 3)   ? PR_SET_PDEATHSIG
                : chance(h, 2) ? PR_SET_SECCOMP
                               : PR_SET_MM,
                below(h, 10), wild(h), wild(h)});
    PUT(h, t, .name = "setrlimit", .ret = 0, .arg = {below(h, 18), wild(h)});
    PUT(h, t, .name = "rt_sigaction", .ret = 0, .arg = {below(h, 70), wild(h), wild(h), 8});
    PUT(h, t, .name = "rt_sigprocmask", .ret = 0,
        .arg = {below(h, 4), wild(h), wild(h), wild(h)});
    PUT(h, t, .name = "rt_sigreturn", .is_unreturned = 1, .flags = KYMO_CALL_AT_ENTRY);
    PUT(h, t, .name = "sigaltstack", .ret = 0, .arg = {wild(h), wild(h)});
    PUT(h, t, .name = "alarm", .ret = 0, .arg = {below(h, 3)});
    PUT(h, t, .name = "setitimer", .ret = 0, .arg = {below(h, 4), wild(h)});
    PUT(h, t, .name = "set_robust_list", .ret = 0, .arg = {wild(h), wild(h)});
    PUT(h, t, .name = "arch_prctl", .ret = 0, .arg = {0x1002, wild(h)});
    PUT(h, t, .name = "rseq", .ret = 0, .arg = {wild(h), 32, wild(h)});
    PUT(h, t, .name = "umask", .ret = 18, .arg = {wild(h)});
}

static void sockets(struct hostile *h)
{
    const uint64_t t = below(h, TASKS), family = chance(h, 2) ? below(h, 46) : AF_INET;
    const uint64_t fd = 3 + below(h, 5);
    PUT(h, t, .name = "socket", .ret = (int64_t)fd,
        .arg = {family, chance(h, 3) ? wild(h) : 1 + below(h, 10), chance(h, 2) ? 0 : wild(h)});
    PUT(h, t, .name = chance(h, 2) ? "bind" : "connect", .ret = chance(h, 2) ? 0 : some_ret(h),
        .arg = {fd, 1, chance(h, 3) ? wild(h) : 16}, .addr = some_addr(h));
    PUT(h, t, .name = "listen", .ret = 0, .arg = {fd, wild(h)});
    PUT(h, t, .name = "accept4", .ret = (int64_t)some_fd(h), .dur_ns = SECOND,
        .arg = {fd, wild(h), wild(h), wild(h)}, .addr = some_addr(h));
    PUT(h, t, .name = "sendto", .ret = (int64_t)wild(h),
        .arg = {fd, wild(h), wild(h), wild(h), 1, 16}, .addr = some_addr(h));
    PUT(h, t, .name = "setsockopt", .ret = 0,
        .arg = {fd, below(h, 300), below(h, 80), 1, wild(h)});
    PUT(h, t, .name = "shutdown", .ret = 0, .arg = {fd, wild(h)});
}

static void memory(struct hostile *h)
{
    static const uint64_t at[] = {0,
                                  0x10000,
                                  0x400000,
                                  0x2b00000000,
                                  0x2b00800000,
                                  0x2c00000000,
                                  0x3000000000,
                                  0x3400000000,
                                  0x3500000000,
                                  0x3800000000,
                                  0x6fffff0000,
                                  0x7ffffffde000};
    for (uint64_t i = 1 + below(h, 8); i--;) {
        const uint64_t t = below(h, TASKS), where = PICK(h, at);
        const uint64_t bytes = chance(h, 2) ? wild(h) : 1ull << (12 + below(h, 36));
        switch (below(h, 7)) {
        case 0:
        case 1:
            PUT(h, t, .name = "mmap", .ret = (int64_t)where,
                .arg = {where, bytes, below(h, 8),
                        MAP_FIXED | MAP_PRIVATE | (chance(h, 2) ? MAP_ANONYMOUS : 0u),
                        some_fd(h), wild(h)});
            break;
        case 2:
            PUT(h, t, .name = "munmap", .ret = 0,
                .arg = {chance(h, 2) ? 0 : where, chance(h, 2) ? 1ull << 47 : bytes});
            break;
        case 3:
            PUT(h, t, .name = "mprotect", .ret = 0, .arg = {where, bytes, PROT_NONE});
            break;
        case 4:
            PUT(h, t, .name = "brk", .ret = (int64_t)(1ull << 63), .arg = {1ull << 63});
            break;
        case 5:
            PUT(h, t, .name = "mremap", .ret = (int64_t)where,
                .arg = {where, bytes, wild(h), 3, PICK(h, at)});
            break;
        default:
            PUT(h, t, .name = "madvise", .ret = 0, .arg = {where, bytes, below(h, 120)});
        }
    }
}

static void lives(struct hostile *h)
{
    static char a[5000];
    const uint64_t t = below(h, TASKS);
    if (chance(h, 2))
        PUT(h, t, .name = "execve", .ret = 0, .flags = KYMO_CALL_EXECED,
            .path = some_path(h, a, sizeof(a)));
    else
        PUT(h, t, .name = "execve", .ret = some_ret(h), .path = some_path(h, a, sizeof(a)));
    if (chance(h, 3)) /* and it goes on after its end */
        PUT(h, t, .name = chance(h, 2) ? "exit_group" : "exit", .is_unreturned = 1,
            .flags = KYMO_CALL_AT_ENTRY, .arg = {wild(h)});
    PUT(h, t, .name = "pause", .is_unreturned = 1, .flags = KYMO_CALL_UNFINISHED,
        .dur_ns = SECOND);
    PUT(h, t, .name = "nanosleep", .ret = 0, .dur_ns = 1ull << 50, .arg = {wild(h)});
    PUT(h, t, .name = "setsid", .ret = (int64_t)h->pid[t]);
    PUT(h, t, .name = "setpgid", .ret = 0, .arg = {wild(h), wild(h)});
}

/* Any call with any arguments: those too that do not exist. */
static void anything(struct hostile *h)
{
    static char a[5000], b[5000];
    for (uint64_t i = 1 + below(h, 20); i--;) {
        const struct kymo_sysinfo *info =
            kymo_sysinfo(HERE, (uint32_t)below(h, kymo_sys_count(HERE)));
        PUT(h, below(h, TASKS), .name = info ? info->name : "no such call", .ret = some_ret(h),
            .arg = {wild(h), wild(h), wild(h), wild(h), wild(h), wild(h)},
            .path = chance(h, 3) ? some_path(h, a, sizeof(a)) : NULL,
            .path2 = chance(h, 5) ? some_path(h, b, sizeof(b)) : NULL,
            .addr = chance(h, 5) ? some_addr(h) : NULL,
            .flags = chance(h, 10) ? below(h, 128) : 0);
    }
}

/* ---- who there was --------------------------------------------------------------------------- */

static void add_tasks(struct hostile *h)
{
    static const uint64_t odd[] = {0, 1, 2, 0x7fffffff, 0x80000000, UINT32_MAX, UINT64_MAX};
    static const char *const names[] = {"redis-server", "a",       "",   "x\ny",
                                        "\x1b[2J",      "*/",      "%s", "kymo-replay",
                                        "init",         "\xff\xff"};
    for (uint32_t t = 0; t < TASKS; t++) {
        const char *name = PICK(h, names);
        h->pid[t] = chance(h, 8) ? PICK(h, odd) : 500 + t / 3;
        h->tid[t] = chance(h, 8) ? PICK(h, odd) : chance(h, 2) ? h->pid[t] : 500 + t;
        h->task[t] = kymo_rows_add_task(h->syscall);
        h->syscall->lane[KYMO_SYSCALL_PID][h->task[t]] = h->pid[t];
        h->syscall->lane[KYMO_SYSCALL_TID][h->task[t]] = h->tid[t];
        h->syscall->lane[KYMO_SYSCALL_COMM][h->task[t]] =
            kymo_rows_intern(h->syscall, name, strlen(name));
        h->syscall->lane[KYMO_SYSCALL_START][h->task[t]] = chance(h, 6) ? wild(h) : 12345;
        h->syscall->lane[KYMO_SYSCALL_EXECSEQ][h->task[t]] = chance(h, 9) ? wild(h) : 0;
    }
}

static void set_text(struct kymo_rows *r, uint32_t column, uint32_t i, const char *s)
{
    kymo_rows_set_str(r, column, i, s, strlen(s));
}

static void add_processes(struct hostile *h)
{
    static const char *const kinds[] = {"snapshot", "fork", "exec", "exit", "cred", "other"};
    static char a[5000];
    for (uint64_t n = below(h, 40), i = 0; i < n; i++) {
        struct kymo_rows *r = h->process;
        const uint32_t row = kymo_rows_add(r);
        const uint64_t t = below(h, TASKS);
        kymo_rows_set(r, KYMO_PROCESS_TS, row,
                      i < n / 2 ? START_NS - n + i : START_NS + i * 100000);
        set_text(r, KYMO_PROCESS_KIND, row, i < n / 2 ? "snapshot" : PICK(h, kinds));
        kymo_rows_set(r, KYMO_PROCESS_PID, row, h->pid[t]);
        kymo_rows_set(r, KYMO_PROCESS_TID, row, h->tid[t]);
        /* Its own parent now and then, or one of its children's child. */
        kymo_rows_set(r, KYMO_PROCESS_PPID, row,
                      chance(h, 4) ? h->pid[t] : h->pid[below(h, TASKS)]);
        kymo_rows_set(r, KYMO_PROCESS_START, row, chance(h, 6) ? wild(h) : 12345);
        kymo_rows_set(r, KYMO_PROCESS_EXECSEQ, row, 0);
        kymo_rows_set(r, KYMO_PROCESS_UID, row, chance(h, 3) ? wild(h) : 0);
        kymo_rows_set(r, KYMO_PROCESS_GID, row, 0);
        kymo_rows_set(r, KYMO_PROCESS_CGROUP, row, 7);
        set_text(r, KYMO_PROCESS_COMM, row, "evil");
        set_text(r, KYMO_PROCESS_EXE, row, some_path(h, a, sizeof(a)));
        set_text(r, KYMO_PROCESS_ARGV, row, "evil --now");
        set_text(r, KYMO_PROCESS_CWD, row, some_path(h, a, sizeof(a)));
        if (chance(h, 2))
            kymo_rows_set(r, KYMO_PROCESS_CODE, row, wild(h));
    }
}

static void add_fds(struct hostile *h)
{
    static char a[5000];
    for (uint64_t n = below(h, 60), i = 0; i < n; i++) {
        struct kymo_rows *r = h->fd;
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, KYMO_FD_TS, row, START_NS - 1000 + i);
        kymo_rows_set(r, KYMO_FD_PID, row, h->pid[below(h, TASKS)]);
        kymo_rows_set(r, KYMO_FD_START, row, chance(h, 6) ? wild(h) : 12345);
        kymo_rows_set(r, KYMO_FD_FD, row, some_fd(h));
        set_text(r, KYMO_FD_TARGET, row, some_path(h, a, sizeof(a)));
        set_text(r, KYMO_FD_LOCAL, row, chance(h, 2) ? some_addr(h) : "");
        set_text(r, KYMO_FD_PEER, row, chance(h, 3) ? some_addr(h) : "");
    }
}

/* ---- a capture ------------------------------------------------------------------------------- */

static void add_bomb(struct hostile *h)
{
    for (uint32_t i = 0; i < BOMB_CALLS; i++)
        PUT(h, i % 2, .name = "clone", .ret = 10000 + (int64_t)i, .arg = {SIGCHLD});
}

static void add_attacks(struct hostile *h)
{
    static void (*const attacks[])(struct hostile *) = {breed,   escape, amounts, descriptors,
                                                        circles, kills,  power,   limits,
                                                        sockets, memory, lives,   anything};
    /* A few kinds a capture, so that each has room to do what it does. */
    const size_t kinds = 1 + below(h, 4), first = below(h, KYMO_COUNT_OF(attacks));
    while (h->n < CALLS_MAX / 2) {
        const size_t k = chance(h, 8) ? below(h, KYMO_COUNT_OF(attacks))
                                      : (first + 5 * below(h, kinds)) % KYMO_COUNT_OF(attacks);
        attacks[k](h);
        if (chance(h, 40))
            break;
    }
}

static kymo_status put_rows(struct hostile *h, struct kymo_rows *r, struct kymo_err *err)
{
    const struct kymo_batch b = kymo_rows_view(r);
    return kymo_writer_put(h->w, &b, 0, err);
}

static kymo_status put_all(struct hostile *h, struct kymo_err *err)
{
    h->now_ns = START_NS;
    h->times = chance(h, 2) ? 0 : (int)below(h, 6);
    add_tasks(h);
    add_processes(h);
    add_fds(h);
    if (chance(h, 40))
        add_bomb(h);
    add_attacks(h);
    KYMO_TRY(put_rows(h, h->process, err));
    KYMO_TRY(put_rows(h, h->fd, err));
    KYMO_TRY(put_rows(h, h->syscall, err));
    return kymo_writer_finish(h->w, err);
}

static kymo_status make(const char *path, uint64_t seed, struct kymo_err *err)
{
    struct hostile h = {0};
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot create %s", path);
    kymo_rng_init(&h.rng, seed);
    h.is_modest = seed % 4 != 0;
    kymo_status s = kymo_writer_open(&h.w, fd, path, 1, err);
    if (!s)
        s = kymo_rows_open(&h.syscall, &KYMO_TABLE_SYSCALL, KYMO_CHUNK_ROWS_MAX, err);
    if (!s)
        s = kymo_rows_open(&h.process, &KYMO_TABLE_PROCESS, 64, err);
    if (!s)
        s = kymo_rows_open(&h.fd, &KYMO_TABLE_FD, 64, err);
    if (!s)
        s = put_all(&h, err);
    kymo_rows_close(h.syscall);
    kymo_rows_close(h.process);
    kymo_rows_close(h.fd);
    kymo_writer_close(h.w);
    close(fd);
    return s;
}

/* ---- who is left ----------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Every process that loses its parent below us becomes our child: none may stay. */
static int are_all_gone(void)
{
    const int64_t until = now_ms() + 2000;
    while (now_ms() < until) {
        const pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD)
            return 1;
        if (!pid)
            pause_ms(5);
    }
    return 0;
}

static int watch(long ms, char **command)
{
    int status = 0;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const pid_t pid = fork();
    if (!pid) {
        execvp(command[0], command);
        _exit(127);
    }
    if (ms > 0) {
        pause_ms(ms);
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (are_all_gone())
        return WIFEXITED(status) ? WEXITSTATUS(status) : ms > 0 ? 0 : 128 + WTERMSIG(status);
    char path[64], line[256] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    if (f && fgets(line, sizeof(line), f))
        fprintf(stderr, "left behind: %s\n", line);
    for (char *p = line; *p;) { /* once told, they need not stay */
        const long left = strtol(p, &p, 10);
        if (left > 1)
            kill((pid_t)left, SIGKILL);
        p += strspn(p, " \n");
    }
    return 99;
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "watch") == 0)
        return watch(strtol(argv[2], NULL, 10), argv + 3);
    if (argc != 4)
        return fprintf(stderr, "usage: hostile FOLDER SEED N\n"), 2;
    const uint64_t seed = strtoull(argv[2], NULL, 10), n = strtoull(argv[3], NULL, 10);
    for (uint64_t i = seed; i < seed + n; i++) {
        char path[4096];
        struct kymo_err err = {0};
        snprintf(path, sizeof(path), "%s/hostile-%" PRIu64 ".kymo", argv[1], i);
        if (make(path, i, &err))
            return fprintf(stderr, "%s: %s\n", path, err.text), 1;
    }
    return 0;
}
