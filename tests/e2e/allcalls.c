/* SPDX-License-Identifier: Apache-2.0
 * allcalls.c: many different system calls, each with arguments that are known, some of them to fail, in
 * an empty folder that is its working directory. What an observer says of them is compared with what
 * another says (truth.py). Nothing of the host is changed: what could, is asked for in a way that is refused.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define C(name, ...) ((void)syscall(SYS_##name, ##__VA_ARGS__))
#define ABSENT "/nonexistent/kymo"
#define LONG 0x1122334455667788l

static char buf[4096];
static struct timespec ts = {0, 1000};

static void noop(int signal)
{
    (void)signal;
}

static void files(void)
{
    struct stat st;
    struct statfs fs;
    struct iovec iov[2] = {{buf, 8}, {buf + 8, 8}};
    char statx_buf[256];
    uint64_t how[3] = {O_RDONLY, 0, 0};
    const struct timespec times[2] = {{1, 2}, {3, 4}};
    loff_t off = 0;
    const int dir = (int)syscall(SYS_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0);
    const int fd = (int)syscall(SYS_openat, dir, "file", O_RDWR | O_CREAT, 0640);

    C(openat, AT_FDCWD, ABSENT "-openat", O_RDONLY, 0);
    C(openat, -1, "no-folder", O_RDONLY, 0);
    C(openat2, AT_FDCWD, "file", how, sizeof(how));
    C(openat2, AT_FDCWD, ABSENT "-openat2", how, sizeof(how));
    C(write, fd, "0123456789abcdef", 16);
    C(pwrite64, fd, "xyz", 3, 5);
    C(pread64, fd, buf, 10, 2);
    C(lseek, fd, 4, SEEK_SET);
    C(lseek, fd, LONG, SEEK_END);
    C(read, fd, buf, 6);
    C(read, -1, buf, 6);
    C(read, fd, (void *)8, 6);
    C(readv, fd, iov, 2);
    C(writev, fd, iov, 2);
    C(preadv, fd, iov, 2, 1, 0);
    C(pwritev, fd, iov, 2, 1, 0);
    C(preadv2, fd, iov, 2, 1, 0, 0);
    C(pwritev2, fd, iov, 2, 1, 0, 0);
    C(ftruncate, fd, 100);
    C(truncate, "file", 90);
    C(truncate, ABSENT "-truncate", 90);
    C(fallocate, fd, 0, 0, 200);
    C(fadvise64, fd, 0, 100, POSIX_FADV_NORMAL);
    C(readahead, fd, 0, 100);
    C(fsync, fd);
    C(fdatasync, fd);
    C(syncfs, -1);
    C(sync_file_range, fd, 0, 10, 2);
    C(flock, fd, 8);
    C(fstat, fd, &st);
    C(newfstatat, dir, "file", &st, 0);
    C(newfstatat, AT_FDCWD, ABSENT "-newfstatat", &st, AT_SYMLINK_NOFOLLOW);
    C(statx, AT_FDCWD, "file", 0, 0x7ff, statx_buf);
    C(statx, AT_FDCWD, ABSENT "-statx", 0, 0x7ff, statx_buf);
    C(statfs, ".", &fs);
    C(fstatfs, fd, &fs);
    C(faccessat, dir, "file", R_OK);
    C(faccessat2, dir, ABSENT "-faccessat2", R_OK, 0);
    C(fchmod, fd, 0600);
    C(fchmodat, dir, "file", 0644);
    C(fchown, fd, -1, -1);
    C(fchownat, dir, "file", -1, -1, 0);
    C(fchownat, dir, ABSENT "-fchownat", 1, 2, 0);
    C(utimensat, dir, "file", times, 0);
    C(mkdirat, dir, "folder", 0755);
    C(mkdirat, dir, "folder", 0755);
    C(mknodat, dir, "fifo", S_IFIFO | 0600, 0);
    C(linkat, dir, "file", dir, "hard", 0);
    C(linkat, AT_FDCWD, ABSENT "-linkat", dir, "hard2", 0);
    C(symlinkat, "target of it", dir, "soft");
    C(readlinkat, dir, "soft", buf, 100);
    C(readlinkat, dir, "file", buf, 100);
    C(renameat, dir, "hard", dir, "hard3");
    C(renameat2, dir, "hard3", dir, "hard4", 1);
    C(renameat2, dir, ABSENT "-renameat2", -1, "to", 0);
    C(name_to_handle_at, dir, ABSENT "-handle", buf, buf, 0);
    C(open_by_handle_at, -1, buf, 0);
    C(setxattr, "file", "user.kymo", "value", 5, 0);
    C(getxattr, "file", "user.none", buf, 100);
    C(lsetxattr, ABSENT "-lsetxattr", "user.kymo", "value", 5, 0);
    C(lgetxattr, ABSENT "-lgetxattr", "user.kymo", buf, 5);
    C(fsetxattr, -1, "user.kymo", "value", 5, 0);
    C(fgetxattr, fd, "user.none", buf, 100);
    C(listxattr, "file", buf, 100);
    C(llistxattr, ABSENT "-llistxattr", buf, 100);
    C(flistxattr, fd, buf, 100);
    C(removexattr, ABSENT "-removexattr", "user.none");
    C(lremovexattr, ABSENT "-lremovexattr", "user.none");
    C(fremovexattr, fd, "user.none");
    C(getdents64, dir, buf, sizeof(buf));
    C(getcwd, buf, sizeof(buf));
    C(chdir, ABSENT "-chdir");
    C(chdir, "folder");
    C(fchdir, dir);
    C(chroot, ABSENT "-chroot");
    C(umask, 022);
    C(copy_file_range, fd, &off, fd, NULL, 0, 0);
    C(sendfile, -1, fd, NULL, 8);
    C(unlinkat, dir, "hard4", 0);
    C(unlinkat, dir, "folder", AT_REMOVEDIR);
    C(unlinkat, dir, "", 0);
    C(openat, AT_FDCWD, "\303\244 blank\ttab\033", O_RDONLY, 0);
    C(openat, AT_FDCWD, (void *)8, O_RDONLY, 0);
    C(openat, AT_FDCWD, NULL, O_RDONLY, 0);
    C(close_range, 900, 901, 0);
    C(close, fd);
    C(close, fd);
    C(close, dir);
}

/* The calls that newer architectures left out. */
static void old_files(void)
{
#ifdef SYS_open
    struct stat st;
    struct timeval tv[2] = {{1, 2}, {3, 4}};
    int p[2];

    C(open, "file", O_RDONLY, 0);
    C(open, ABSENT "-open", O_RDONLY, 0);
    C(creat, ABSENT "-creat", 0600);
    C(stat, "file", &st);
    C(lstat, ABSENT "-lstat", &st);
    C(access, "file", R_OK);
    C(chmod, "file", 0600);
    C(chown, ABSENT "-chown", 3, 4);
    C(lchown, ABSENT "-lchown", 5, 6);
    C(mkdir, ABSENT "-mkdir", 0700);
    C(rmdir, ABSENT "-rmdir");
    C(rename, ABSENT "-from", ABSENT "-to");
    C(link, ABSENT "-old", ABSENT "-new");
    C(symlink, ABSENT "-content", ABSENT "-name");
    C(readlink, "soft", buf, 64);
    C(unlink, "soft");
    C(mknod, ABSENT "-mknod", S_IFIFO | 0600, 0);
    C(utime, ABSENT "-utime", NULL);
    C(utimes, ABSENT "-utimes", tv);
    C(futimesat, AT_FDCWD, "file", tv);
    C(pipe, p);
    C(dup2, p[0], 700);
    C(poll, NULL, 0, 0);
    C(select, 0, NULL, NULL, NULL, tv);
    C(epoll_create, 1);
    C(eventfd, 3);
    C(inotify_init);
    C(getpgrp);
    C(time, NULL);
    C(alarm, 0);
#endif
}

static void descriptors(void)
{
    int p[2];
    struct epoll_event e = {.events = EPOLLIN};
    struct pollfd pfd = {.fd = -1};

    C(pipe2, p, O_CLOEXEC | O_NONBLOCK);
    C(dup, p[0]);
    C(dup, -1);
    C(dup3, p[0], 701, O_CLOEXEC);
    C(fcntl, p[0], F_GETFD, 0);
    C(fcntl, p[0], F_SETFD, FD_CLOEXEC);
    C(ioctl, p[0], 0x5413, buf);
    C(read, p[0], buf, 1);
    C(tee, p[0], p[1], 1, 2);
    C(splice, p[0], NULL, p[1], NULL, 1, 2);
    C(vmsplice, p[0], NULL, 0, 2);
    const int ep = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
    C(epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &e);
    C(epoll_ctl, ep, EPOLL_CTL_ADD, 999, &e);
    C(epoll_pwait, ep, &e, 1, 0, NULL, 8);
    C(ppoll, &pfd, 1, &ts, NULL, 8);
    C(pselect6, 0, NULL, NULL, NULL, &ts, NULL);
    C(eventfd2, 7, 0x800);
    const int in = (int)syscall(SYS_inotify_init1, 0x800);
    C(inotify_add_watch, in, ".", 0x2);
    C(inotify_add_watch, in, ABSENT "-watch", 0x2);
    C(inotify_rm_watch, in, 55);
    const int timer = (int)syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0x800);
    C(timerfd_settime, timer, 0, buf + 64, NULL);
    C(timerfd_gettime, timer, buf);
    C(signalfd4, -1, buf + 64, 8, 0x800);
    C(memfd_create, "kymo-memfd", 1);
    C(userfaultfd, 0xffff);
    C(fanotify_mark, -1, 1, 2, AT_FDCWD, ABSENT "-fanotify");
    C(mq_open, "kymo-absent", O_RDONLY, 0, NULL);
    C(mq_unlink, "kymo-absent");
}

static void memory(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = (char *)syscall(SYS_mmap, NULL, 4 * page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

    C(mmap, NULL, 0L, PROT_READ, MAP_PRIVATE, -1, 0L);
    C(mprotect, p, page, PROT_READ);
    C(mprotect, p + 1, page, PROT_READ);
    C(madvise, p, page, MADV_NORMAL);
    C(mincore, p, page, buf);
    C(msync, p, page, MS_ASYNC);
    C(mlock, p, page);
    C(mlock2, p, page, 1);
    C(munlock, p, page);
    C(munlockall);
    C(mremap, p, 4 * page, 2 * page, 0, 0L);
    C(munmap, p, 2 * page);
    C(brk, 0L);
    C(pkey_free, 99);
    C(membarrier, 0, 0, 0);
    C(shmget, 0x6b796d6f, 1L, 0);
    C(shmat, -1, NULL, 0);
    C(shmdt, p);
    C(get_mempolicy, NULL, NULL, 0L, NULL, 0L);
    C(process_vm_readv, 1 << 22, NULL, 0L, NULL, 0L, 0L);
    C(process_vm_writev, 1 << 22, NULL, 0L, NULL, 0L, 0L);
}

static void addresses(void)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(0), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(2), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "socket"}, other;
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0kymo\0abstract"};
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    socklen_t n = sizeof(in);
    int option = 1, pair[2];

    const int udp = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);
    C(bind, udp, &in, sizeof(in));
    C(getsockname, udp, &in, &n);
    C(sendto, udp, "ping", 4, 0, &in, sizeof(in));
    C(recvfrom, udp, buf, 64, 0, &in, &n);
    C(sendto, udp, "ping", 4, 0, NULL, 0);
    C(recvfrom, udp, buf, 64, MSG_DONTWAIT, NULL, NULL);
    C(recvfrom, udp, buf, 64, MSG_DONTWAIT, &in, &n);
    C(getpeername, udp, &in, &n);
    in.sin_port = htons(1);
    C(connect, udp, &in, sizeof(in));
    C(connect, udp, &none, sizeof(none));
    const int tcp = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    C(connect, tcp, &in, sizeof(in));
    C(connect, -1, &in, sizeof(in));
    C(connect, tcp, &in, 3);
    C(listen, tcp, 5);
    in.sin_port = 0;
    n = sizeof(in);
    C(getsockname, tcp, &in, &n);
    const int six = (int)syscall(SYS_socket, AF_INET6, SOCK_DGRAM, 0);
    C(connect, six, &in6, sizeof(in6));
    const int local = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    C(bind, local, &un, sizeof(un));
    C(listen, local, 1);
    C(accept4, local, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC | 0x80);
    const int caller = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    C(bind, caller, &name, offsetof(struct sockaddr_un, sun_path) + 14);
    C(connect, caller, &un, sizeof(un));
    n = sizeof(other);
    C(accept, local, &other, &n);
    n = sizeof(other);
    C(getpeername, caller, &other, &n);
    n = sizeof(other);
    C(getsockname, caller, &other, &n);
    const int kernel = (int)syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 0);
    C(bind, kernel, &nl, sizeof(nl));
    n = sizeof(nl);
    C(getsockname, kernel, &nl, &n);
    C(socket, 99, 98, 97);
    C(socketpair, AF_UNIX, SOCK_STREAM, 0, pair);
    C(setsockopt, tcp, SOL_SOCKET, SO_REUSEADDR, &option, sizeof(option));
    n = sizeof(option);
    C(getsockopt, tcp, SOL_SOCKET, SO_REUSEADDR, &option, &n);
    C(sendmsg, -1, NULL, 0);
    C(recvmsg, -1, NULL, 0);
    C(sendmmsg, -1, NULL, 0, 0);
    C(recvmmsg, -1, NULL, 0, 0, NULL);
    C(shutdown, pair[0], SHUT_RDWR);
}

static void processes(void)
{
    struct rlimit limit;
    struct rusage usage;
    struct utsname name;
    unsigned ids[3];
    const pid_t self = getpid();

    C(getpid), C(gettid), C(getppid), C(getuid), C(geteuid), C(getgid), C(getegid);
    C(getpgid, 0), C(getsid, 0), C(setsid), C(setpgid, 0, 1 << 22);
    C(getresuid, &ids[0], &ids[1], &ids[2]);
    C(getresgid, &ids[0], &ids[1], &ids[2]);
    C(getgroups, 0, NULL);
    C(setgroups, 0x10001, NULL);
    C(setresuid, -1, -1, -1), C(setresgid, -1, -1, -1), C(setreuid, -1, -1),
        C(setregid, -1, -1);
    C(setfsuid, -1), C(setfsgid, -1), C(setuid, -1), C(setgid, -1);
    C(getrlimit, RLIMIT_CORE, &limit);
    C(setrlimit, 99, &limit);
    C(prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
    C(getrusage, RUSAGE_SELF, &usage);
    C(uname, &name);
    C(sysinfo, buf);
    C(times, buf);
    C(getpriority, PRIO_PROCESS, 0);
    C(setpriority, 99, 0, 0);
    C(sched_yield);
    C(sched_getparam, 0, buf), C(sched_setparam, -1, buf);
    C(sched_getscheduler, 0), C(sched_setscheduler, -1, 0, buf);
    C(sched_get_priority_max, SCHED_FIFO), C(sched_get_priority_min, SCHED_RR);
    C(sched_rr_get_interval, 0, buf);
    C(sched_getaffinity, 0, 128, buf), C(sched_setaffinity, -1, 128, buf);
    C(sched_getattr, 0, buf, 48, 0), C(sched_setattr, -1, buf, 0);
    C(ioprio_get, 1, 0), C(ioprio_set, 99, 0, 0);
    C(prctl, 16, buf, 0, 0, 0), C(prctl, -1, 1, 2, 3, 4);
    C(personality, -1);
    C(capget, NULL, NULL), C(capset, NULL, NULL);
    C(getcpu, buf, buf + 8, NULL);
    C(set_tid_address, buf);
    C(get_robust_list, 0, buf, buf + 8), C(set_robust_list, NULL, 0);
    C(kcmp, self, self, 0, 0, 0);
    C(pidfd_open, self, 0), C(pidfd_open, -1, 0), C(pidfd_getfd, -1, 0, 0);
    C(pidfd_send_signal, -1, 0, NULL, 0);
    C(ptrace, 99, self, NULL, NULL);
    C(wait4, -1, NULL, WNOHANG, NULL);
    C(waitid, P_ALL, 0, NULL, WNOHANG | WEXITED, NULL);
    C(unshare, 0), C(setns, -1, 0);
    C(seccomp, 99, 0, NULL);
    C(bpf, 99, NULL, 0), C(perf_event_open, NULL, 0, -1, -1, 0);
    C(io_uring_setup, 0, NULL), C(io_uring_enter, -1, 0, 0, 0, NULL, 0), C(io_setup, 0, NULL);
    C(keyctl, 99, 0, 0, 0, 0);
    C(rseq, NULL, 0, 99, 0);
}

static void signals_and_time(void)
{
    struct sigaction act = {.sa_handler = noop};
    struct itimerval it = {{0, 0}, {0, 0}};
    struct timex tx = {.modes = 0};
    uint64_t set = 0;

    sigaction(SIGUSR1, &act, NULL);
    C(rt_sigaction, 99, NULL, NULL, 8);
    C(rt_sigprocmask, SIG_BLOCK, &set, NULL, 8);
    C(rt_sigpending, buf, 8);
    C(rt_sigtimedwait, &set, NULL, &ts, 8);
    C(rt_sigqueueinfo, 1 << 22, 0, buf), C(rt_tgsigqueueinfo, 1 << 22, 1, 0, buf);
    C(sigaltstack, NULL, buf);
    C(kill, getpid(), SIGUSR1);
    C(kill, 1 << 22, 0);
    C(tkill, 1 << 22, 0), C(tgkill, 1 << 22, 1 << 22, 0);
    C(getitimer, ITIMER_REAL, buf), C(setitimer, ITIMER_VIRTUAL, &it, NULL);
    C(timer_create, 99, NULL, buf), C(timer_settime, 99, 0, buf, NULL), C(timer_delete, 99);
    C(timer_gettime, 99, buf), C(timer_getoverrun, 99);
    C(nanosleep, &ts, NULL);
    C(clock_gettime, CLOCK_REALTIME, buf), C(clock_getres, 99, buf);
    C(clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL), C(clock_settime, 99, buf);
    C(gettimeofday, buf, NULL), C(settimeofday, (void *)8, NULL);
    C(adjtimex, &tx), C(clock_adjtime, CLOCK_REALTIME, &tx);
    C(futex, &set, 1, 1, NULL, NULL, 0), C(futex, &set, 0, 5, &ts, NULL, 0);
    C(semget, 0x6b796d6f, 1, 0), C(semop, -1, NULL, 0), C(semctl, -1, 0, 0, 0);
    C(msgget, 0x6b796d6f, 0), C(msgsnd, -1, NULL, 0, 0), C(msgrcv, -1, NULL, 0, 0, 0);
    C(msgctl, -1, 0, NULL), C(shmctl, -1, 0, NULL);
}

/* Everything is asked of files that are not there, or with numbers that nothing has. */
static void refused(void)
{
    C(mount, ABSENT "-source", ABSENT "-target", "ext4", 0L, NULL);
    C(umount2, ABSENT "-umount", 0);
    C(pivot_root, ABSENT "-root", ABSENT "-put");
    C(swapon, ABSENT "-swapon", 0), C(swapoff, ABSENT "-swapoff");
    C(acct, ABSENT "-acct");
    C(quotactl, 99, ABSENT "-quota", 0, NULL);
    C(open_tree, AT_FDCWD, ABSENT "-tree", 0);
    C(move_mount, AT_FDCWD, ABSENT "-move", AT_FDCWD, ABSENT "-there", 0);
    C(fspick, AT_FDCWD, ABSENT "-pick", 0);
    C(fsopen, "nofs", 0), C(fsconfig, -1, 99, NULL, NULL, 0), C(fsmount, -1, 0, 0);
    C(mount_setattr, AT_FDCWD, ABSENT "-setattr", 0, buf, 32);
    C(sethostname, "x", -1), C(setdomainname, "x", -1);
    C(delete_module, "kymo-absent", 0), C(finit_module, -1, "", 0),
        C(init_module, NULL, 0L, "");
    C(reboot, 1, 2, 3, NULL), C(syslog, 99, NULL, 0);
    C(add_key, "nokind", "name", NULL, 0L, 0), C(request_key, "nokind", "name", NULL, 0);
    C(landlock_create_ruleset, NULL, 0L, 99), C(landlock_add_rule, -1, 0, NULL, 0);
    C(landlock_restrict_self, -1, 0);
    C(lookup_dcookie, 0L, buf, 0L);
    C(getrandom, buf, 8L, 0);
    C(execveat, AT_FDCWD, ABSENT "-execveat", NULL, NULL, 0);
    C(execve, ABSENT "-execve", NULL, NULL);
    syscall(499, 1, 2, 3, 4, 5, 6);
}

static void *thread_main(void *arg)
{
    C(getppid);
    C(openat, AT_FDCWD, ABSENT "-thread", O_RDONLY, 0);
    return arg;
}

/* A thread, a child that becomes this program again, one that is killed. */
static void births(char *self)
{
    pthread_t t;

    pthread_create(&t, NULL, thread_main, NULL);
    pthread_join(t, NULL);
    pid_t child = fork();
    if (!child) {
        char *const argv[] = {self, "child", "with blank", "it's", "", "\303\244", NULL};
        execve("/proc/self/exe", argv, (char *[]){NULL});
        _exit(127);
    }
    waitpid(child, NULL, 0);
    child = fork();
    if (!child) {
        C(kill, getpid(), SIGKILL);
        _exit(126);
    }
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "child")) {
        C(openat, AT_FDCWD, ABSENT "-child", O_RDONLY, 0);
        return 7;
    }
    files();
    old_files();
    descriptors();
    memory();
    addresses();
    processes();
    signals_and_time();
    refused();
    births(argv[0]);
    return 3;
}
