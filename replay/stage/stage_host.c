/* SPDX-License-Identifier: Apache-2.0
 * stage_host.c: the caller's side of a replay: make the sandbox, hold its end in hand, and take what it says.
 *
 * Everything that is made lies in namespaces of the sandbox's first process: when that is gone, by whatever cause,
 * so is the rest. It dies with its parent, which is us.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"
#include "replay/stage/stage_target.h"

#define NOBODY 65534u
#define SETUP_NS_MIN                                                                           \
    5000000000u /* that an honest plan may take to be set up, whatever its budget */
#define MS_MAX 1000000000
#define AFTER_NS_MAX 3000000000u /* past its time budget: then it is ended from here */

struct host {
    const struct kymo_image *image;
    struct kymo_stage_opts o;
    int socket, way_out, signals, control_fd;
    struct stage_target target;
    pid_t leader;
    uid_t uid_out, uid_in;
    gid_t gid_out, gid_in;
    sigset_t signals_before;
    struct inside_message last;
    size_t control_bytes;
    int has_begun, is_stopped;
    uint64_t until_ns;
};

/* ---- who the actors are ---------------------------------------------------------------------- */

/* The ids that the recording saw, so that what asks for them gets the same answer. */
static void ids_inside(struct host *h)
{
    const struct kymo_icall *c = (const void *)((const char *)h->image + h->image->call.at);

    for (uint64_t i = 0; i < h->image->call.n; i++) {
        if (c[i].ret < 0 || c[i].ret > INT32_MAX)
            continue;
        if (!h->uid_in && (c[i].nr == SYS_getuid || c[i].nr == SYS_geteuid))
            h->uid_in = (uid_t)c[i].ret;
        if (!h->gid_in && (c[i].nr == SYS_getgid || c[i].nr == SYS_getegid))
            h->gid_in = (gid_t)c[i].ret;
    }
}

/* Ours; as root nobody's, or whose the root directory is. */
static void ids_outside(struct host *h)
{
    struct stat st;

    h->uid_out = geteuid();
    h->gid_out = getegid();
    if (h->uid_out)
        return;
    h->uid_out = NOBODY;
    h->gid_out = NOBODY;
    if (h->o.root && !stat(h->o.root, &st)) {
        h->uid_out = st.st_uid;
        h->gid_out = st.st_gid;
    }
}

static int write_map(pid_t pid, const char *name, const char *text)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

static int write_ids(const struct host *h, uid_t uid, gid_t gid)
{
    char text[64];

    snprintf(text, sizeof(text), "%u %u 1\n", h->uid_in, uid);
    if (write_map(h->leader, "uid_map", text))
        return -1;
    snprintf(text, sizeof(text), "%u %u 1\n", h->gid_in, gid);
    return write_map(h->leader, "gid_map", text);
}

static kymo_status map_ids(struct host *h, struct kymo_err *err)
{
    /* Without it an ordinary user may not map a group. Root drops its groups instead. */
    if (geteuid() && write_map(h->leader, "setgroups", "deny"))
        return inside_fail(err, "cannot write", "/proc/PID/setgroups");
    if (!write_ids(h, h->uid_out, h->gid_out))
        return KYMO_OK;
    /* Root without CAP_SETUID: all it may map is itself. */
    write_map(h->leader, "setgroups", "deny");
    if (write_ids(h, geteuid(), getegid()))
        return inside_fail(err, "cannot write", "/proc/PID/uid_map");
    return KYMO_OK;
}

/* ---- making it ------------------------------------------------------------------------------- */

static long read_setting(const char *path)
{
    char text[32] = "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    return n > 0 ? strtol(text, NULL, 10) : -1;
}

static kymo_status no_namespaces(int e, struct kymo_err *err)
{
    const char *advice = "a container's seccomp profile may forbid it";

    if (read_setting("/proc/sys/user/max_user_namespaces") == 0)
        advice = "as root: sysctl user.max_user_namespaces=10000";
    else if (read_setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        advice = "as root: sysctl kernel.unprivileged_userns_clone=1";
    else if (read_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        advice = "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0";
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                     "no sandbox here, and nothing is played without one: cannot make "
                     "namespaces: %s; %s",
                     strerror(e), advice);
}

/* Like fork(2), into namespaces: with a library's fork the parent's process would have to go there first. */
static pid_t fork_into_namespaces(void)
{
    struct clone_args a = {.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                    CLONE_NEWIPC | CLONE_NEWUTS,
                           .exit_signal = SIGCHLD};

    return (pid_t)syscall(SYS_clone3, &a, sizeof(a));
}

static kymo_status make(struct host *h, struct kymo_err *err)
{
    int end[2], out[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end))
        return inside_fail(err, "cannot make", "a socket pair");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out)) {
        close(end[0]);
        close(end[1]);
        return inside_fail(err, "cannot make", "a socket pair");
    }
    h->leader = fork_into_namespaces();
    if (h->leader == 0) {
        struct inside s = {.image = h->image, .o = &h->o, .host = end[1], .way_out = out[1]};
        close(end[0]);
        close(out[0]);
        close(h->signals);
        _exit(inside_main(&s, h->uid_in, h->gid_in));
    }
    const int e = errno;
    close(end[1]);
    close(out[1]);
    if (h->leader < 0) {
        close(end[0]);
        close(out[0]);
        return no_namespaces(e, err);
    }
    h->socket = end[0];
    h->way_out = out[0];
    return KYMO_OK;
}

/* ---- listening ------------------------------------------------------------------------------- */

static void say(const struct host *h, char c)
{
    /* If nobody hears it, the end of the process says so. */
    if (send(h->socket, &c, 1, MSG_NOSIGNAL) < 0)
        errno = 0;
}

/* The next message: 1; 0: the sandbox is gone, or a signal or the time made us end it. */
static int next(struct host *h, struct inside_message *m)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } u;
    struct iovec part = {m, sizeof(*m)};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = u.room,
                          .msg_controllen = sizeof(u.room)};

    memset(&u, 0, sizeof(u));
    if (recvmsg(h->socket, &head, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*m))
        return 0;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&head);
    if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
        if (h->control_fd >= 0)
            close(h->control_fd);
        memcpy(&h->control_fd, CMSG_DATA(c), sizeof(int));
    }
    return 1;
}

static int wait_message(struct host *h, struct inside_message *m)
{
    for (;;) {
        struct pollfd p[3] = {{.fd = h->socket, .events = POLLIN},
                              {.fd = h->signals, .events = POLLIN},
                              {.fd = h->way_out, .events = POLLIN}};
        const uint64_t now = inside_now_ns();
        const uint64_t left = now >= h->until_ns ? 0 : (h->until_ns - now) / 1000000u + 1;
        const int ms = left < MS_MAX ? (int)left : MS_MAX;
        const int n = poll(p, 3, ms);
        if (n < 0 && errno != EINTR)
            return 0;
        if (n == 0 && ms < MS_MAX)
            return 0;
        if (p[1].revents & POLLIN) {
            struct signalfd_siginfo info;
            if (read(h->signals, &info, sizeof(info)) == (ssize_t)sizeof(info) &&
                !h->is_stopped) {
                h->is_stopped = (int)info.ssi_signo;
                h->until_ns = inside_now_ns() + 2000000000u;
                say(h, INSIDE_STOP);
                /* Who is not ready yet does not listen, and has no account to give. */
                if (!h->has_begun)
                    return 0;
            }
        }
        if (p[2].revents & POLLIN)
            stage_target_answer(&h->target, h->way_out);
        if (p[0].revents)
            return next(h, m);
    }
}

/* ---- the account ----------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void drift(const struct host *h, struct kymo_stage_result *out)
{
    const struct kymo_icall *c = (const void *)((const char *)h->image + h->image->call.at);
    const uint64_t n = h->image->call.n;
    uint64_t *late = h->o.pace > 0 ? malloc((n + 1) * sizeof(*late)) : NULL;
    size_t k = 0;

    for (uint64_t i = 0; late && i < n; i++) {
        const uint64_t due = (uint64_t)((double)c[i].enter_ns * h->o.pace);
        const uint64_t at = out->outcome[i].enter_ns;
        if (at)
            late[k++] = at > due ? at - due : 0;
    }
    if (k) {
        qsort(late, k, sizeof(*late), by_value);
        out->drift_ns_p99 = late[(k - 1) * 99 / 100];
    }
    free(late);
}

static int read_all(int fd, void *to, size_t n, uint64_t at)
{
    char *p = to;

    while (n) {
        const ssize_t got = pread(fd, p, n, (off_t)at);
        if (got <= 0)
            return -1;
        p += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

/* Everybody who could write there is gone. It is read and not mapped: a file may have been cut short. */
static kymo_status take_account(const struct host *h, struct kymo_stage_result *out,
                                struct kymo_err *err)
{
    const size_t bytes = h->image->call.n * sizeof(*out->outcome);
    const uint64_t at =
        KYMO_WORDS_BYTES + KYMO_PROGRESS_AT + h->image->actor.n * sizeof(struct kymo_progress);
    struct kymo_control c;

    out->outcome = calloc(h->image->call.n + 1, sizeof(*out->outcome));
    if (!out->outcome)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "no memory for the account of %llu calls",
                         (unsigned long long)h->image->call.n);
    if (!h->has_begun)
        return KYMO_OK;
    if (h->control_fd < 0 || read_all(h->control_fd, &c, sizeof(c), KYMO_WORDS_BYTES) ||
        read_all(h->control_fd, out->outcome, bytes, at)) {
        memset(out->outcome, 0, bytes);
        out->end = KYMO_END_BROKEN;
        snprintf(out->why, sizeof(out->why), "an actor destroyed the account");
        return KYMO_OK;
    }
    out->begin_ns = c.zero_ns;
    for (uint64_t i = 0; i < h->image->call.n; i++) {
        const struct kymo_outcome *o = &out->outcome[i];
        const uint64_t last = o->exit_ns > o->enter_ns ? o->exit_ns : o->enter_ns;
        if (c.zero_ns + last > out->end_ns && last < INT64_MAX)
            out->end_ns = c.zero_ns + last;
    }
    drift(h, out);
    return KYMO_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static kymo_status conduct(struct host *h, struct kymo_stage_result *out, struct kymo_err *err)
{
    struct inside_message m;

    h->until_ns = inside_now_ns() + (h->o.time_ns > SETUP_NS_MIN ? h->o.time_ns : SETUP_NS_MIN);
    KYMO_TRY(map_ids(h, err));
    say(h, INSIDE_GO);
    while (wait_message(h, &m)) {
        if (m.news == INSIDE_FAILED) {
            m.err.text[sizeof(m.err.text) - 1] = 0;
            return KYMO_FAIL(err, h->is_stopped ? KYMO_ESTOPPED : m.err.code, KYMO_NOWHERE,
                             "%s", m.err.text);
        }
        if (m.news == INSIDE_READY) {
            if (h->o.ready)
                KYMO_TRY(h->o.ready(h->o.ready_arg, h->leader, err));
            h->has_begun = 1;
            if (!h->is_stopped)
                h->until_ns = inside_now_ns() + h->o.time_ns + AFTER_NS_MAX;
            say(h, INSIDE_GO);
        } else if (m.news == INSIDE_END) {
            out->end = m.end.end;
            m.end.why[sizeof(m.end.why) - 1] = 0;
            memcpy(out->why, m.end.why, sizeof(out->why));
            out->freed = m.freed;
            return KYMO_OK;
        }
    }
    const int is_late = !h->is_stopped && inside_now_ns() >= h->until_ns;
    if (!h->has_begun && !is_late)
        return KYMO_FAIL(err, h->is_stopped ? KYMO_ESTOPPED : KYMO_EHOST, KYMO_NOWHERE, "%s",
                         h->is_stopped ? "stopped by a signal"
                                       : "the sandbox ended before anything was played");
    out->end = h->is_stopped ? KYMO_END_STOPPED : is_late ? KYMO_END_TIME : KYMO_END_BROKEN;
    snprintf(out->why, sizeof(out->why), "%s",
             out->end == KYMO_END_TIME && !h->has_begun
                 ? "the time budget was used up before the actors were ready"
             : out->end == KYMO_END_TIME   ? "the time budget is used up"
             : out->end == KYMO_END_BROKEN ? "the sandbox's first process ended"
                                           : "stopped");
    return KYMO_OK;
}

static void end_sandbox(struct host *h, struct kymo_stage_result *out)
{
    struct rusage used = {0};

    close(h->socket);
    close(h->way_out);
    /* It has said its last word, or none in time. */
    kill(h->leader, SIGKILL);
    while (wait4(h->leader, NULL, 0, &used) < 0 && errno == EINTR)
        ;
    out->cpu_ns =
        ((uint64_t)used.ru_utime.tv_sec + (uint64_t)used.ru_stime.tv_sec) * 1000000000u +
        ((uint64_t)used.ru_utime.tv_usec + (uint64_t)used.ru_stime.tv_usec) * 1000u;
}

static kymo_status hold_signals(struct host *h, struct kymo_err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    if (sigprocmask(SIG_BLOCK, &set, &h->signals_before))
        return inside_fail(err, "cannot hold", "signals");
    h->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return h->signals < 0 ? inside_fail(err, "cannot hold", "signals") : KYMO_OK;
}

static void fill_in(struct kymo_stage_opts *o)
{
    if (!o->time_ns)
        o->time_ns = 60000000000u;
    if (!o->memory_bytes)
        o->memory_bytes = 0x80000000u;
    if (!o->disk_bytes)
        o->disk_bytes = 0x40000000u;
    if (!o->processes_max)
        o->processes_max = 4096;
}

/* The place that the stage's folder is mounted on stays behind in a directory of the caller's. */
static void clear_root(const struct host *h)
{
    const int fd = h->o.root ? open(h->o.root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    unlinkat(fd, &KYMO_STAGE_DIR[1], AT_REMOVEDIR);
    close(fd);
}

static kymo_status check(const struct host *h, struct kymo_err *err)
{
    struct stat st;

    if (h->image->actor.n > h->o.processes_max)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the plan has %llu processes and threads, and the budget is %u",
                         (unsigned long long)h->image->actor.n - 1, h->o.processes_max);
    if (h->o.root && (stat(h->o.root, &st) || !S_ISDIR(st.st_mode)))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "--root %s: %s", h->o.root,
                         errno ? strerror(errno) : "not a directory");
    return KYMO_OK;
}

kymo_status kymo_stage_run(const struct kymo_image *image, const struct kymo_stage_opts *o,
                           struct kymo_stage_result *out, struct kymo_err *err)
{
    struct host h = {.image = image, .o = *o, .socket = -1, .signals = -1, .control_fd = -1};
    struct kymo_stage_result r = {0};

    fill_in(&h.o);
    errno = 0;
    KYMO_TRY(check(&h, err));
    if (o->target)
        KYMO_TRY(stage_target_find(&h.target, o->target, err));
    ids_inside(&h);
    ids_outside(&h);
    KYMO_TRY(hold_signals(&h, err));
    kymo_status e = make(&h, err);
    if (!e) {
        e = conduct(&h, &r, err);
        end_sandbox(&h, &r);
        clear_root(&h);
    }
    if (!e)
        e = take_account(&h, &r, err);
    if (h.control_fd >= 0)
        close(h.control_fd);
    close(h.signals);
    sigprocmask(SIG_SETMASK, &h.signals_before, NULL);
    if (!e && h.is_stopped)
        e = KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE, "stopped by signal %d", h.is_stopped);
    if (e) {
        free(r.outcome);
        return e;
    }
    *out = r;
    return KYMO_OK;
}
