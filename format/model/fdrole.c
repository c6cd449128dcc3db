/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/fdrole.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/schema.h"

#define CAP_BYTES ((size_t)64 << 20)
#define COUNTED_FDS 1000
/* As the kernel has them on every machine that is known here. */
#define EBADF_NR 9
#define EINPROGRESS_NR 115
#define AT_CWD (-100)
#define DUP_FD 0u
#define DUP_FD_CLOEXEC 1030u
#define SET_FD 2u
#define FD_CLOEXEC_BIT 1u
#define DIRECTORY_BIT 0x10000u
#define DIRECTORY_BIT_ARM 0x4000u
#define MAP_ANONYMOUS_BIT 0x20u
#define CLONE_FILES_BIT 0x400u
#define CLONE_THREAD_BIT 0x10000u
#define RANGE_UNSHARE 2u
#define RANGE_CLOEXEC 4u
#define SOCK_TYPE_MASK 0xfu
#define SOCK_DGRAM_TYPE 2u
#define SOCK_RAW_TYPE 3u

struct kymo_fdroles {
    struct kymo_fdset *set;
    struct kymo_fdname *name[KYMO_ON_FDS]; /* one a sort; [0] is NULL */
};

static const char *const words[KYMO_ON_COUNT] = {
    "-",    "file",  "dir",   "socket", "stream", "dgram",   "listen",
    "pipe", "epoll", "event", "timer",  "other",  "process", "thread",
};

const char *kymo_on_name(enum kymo_on on)
{
    return words[on];
}

enum kymo_on kymo_on_value(const char *word, size_t n)
{
    int on = 0;
    while (on < KYMO_ON_COUNT && (strlen(words[on]) != n || memcmp(words[on], word, n) != 0))
        on++;
    return (enum kymo_on)on;
}

static int begins(const char *s, size_t n, const char *with)
{
    return n >= strlen(with) && memcmp(s, with, strlen(with)) == 0;
}

enum kymo_on kymo_on_target(const char *target, size_t n, int has_local, int has_peer)
{
    if (begins(target, n, "/"))
        return KYMO_ON_FILE;
    if (begins(target, n, "pipe:"))
        return KYMO_ON_PIPE;
    if (begins(target, n, "socket:"))
        return has_peer ? KYMO_ON_STREAM : has_local ? KYMO_ON_LISTEN : KYMO_ON_SOCKET;
    if (begins(target, n, "anon_inode:[eventpoll]"))
        return KYMO_ON_EPOLL;
    if (begins(target, n, "anon_inode:[eventfd]"))
        return KYMO_ON_EVENT;
    return begins(target, n, "anon_inode:[timerfd]") ? KYMO_ON_TIMER : KYMO_ON_OTHER;
}

kymo_status kymo_fdroles_open(struct kymo_fdroles **out, struct kymo_err *err)
{
    struct kymo_fdroles *r = calloc(1, sizeof(*r));
    if (!r)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    kymo_status s = kymo_fdset_open(&r->set, CAP_BYTES, err);
    for (int on = 1; !s && on < KYMO_ON_FDS; on++) {
        const char text = (char)on;
        r->name[on] = kymo_fdset_name(r->set, KYMO_FD_OTHER, &text, 1);
        if (!r->name[on])
            s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    }
    if (s) {
        kymo_fdroles_close(r);
        return s;
    }
    *out = r;
    return KYMO_OK;
}

void kymo_fdroles_close(struct kymo_fdroles *r)
{
    if (!r)
        return;
    for (int on = 1; on < KYMO_ON_FDS; on++)
        if (r->name[on])
            kymo_fdname_drop(r->set, r->name[on]);
    kymo_fdset_close(r->set);
    free(r);
}

void kymo_fdroles_fork(struct kymo_fdroles *r, uint64_t ppid, uint64_t pid, uint64_t start_ns)
{
    kymo_fdset_fork(r->set, ppid, pid, start_ns);
}

void kymo_fdroles_exec(struct kymo_fdroles *r, uint64_t pid)
{
    struct kymo_fdproc *p = kymo_fdset_known(r->set, pid);
    if (p)
        kymo_fdset_exec(r->set, p);
}

void kymo_fdroles_exit(struct kymo_fdroles *r, uint64_t pid, uint64_t start_ns)
{
    kymo_fdset_exit(r->set, pid, start_ns);
}

void kymo_fdroles_tell(struct kymo_fdroles *r, uint64_t pid, uint64_t start_ns, int64_t fd,
                       enum kymo_on on)
{
    struct kymo_fdproc *p = kymo_fdset_process(r->set, pid, start_ns);
    if (p && on > KYMO_ON_NONE && on < KYMO_ON_FDS)
        kymo_fdset_tell(r->set, p, fd, r->name[on]);
}

/* -- one call --------------------------------------------------------------------------------- */

static enum kymo_on on_of(const struct kymo_fdproc *p, int64_t fd)
{
    const struct kymo_fdname *n = p ? kymo_fdset_get(p, fd) : NULL;
    return n ? (enum kymo_on)(unsigned char)n->text[0] : KYMO_ON_NONE;
}

/* What only one sort of descriptor allows; OTHER: it does not tell. */
static enum kymo_on guess(const char *name)
{
    static const struct {
        const char *name;
        enum kymo_on on;
    } tells[] = {
        {"accept", KYMO_ON_LISTEN},
        {"accept4", KYMO_ON_LISTEN},
        {"recvfrom", KYMO_ON_STREAM},
        {"sendto", KYMO_ON_STREAM},
        {"recvmsg", KYMO_ON_STREAM},
        {"sendmsg", KYMO_ON_STREAM},
        {"shutdown", KYMO_ON_STREAM},
        {"getpeername", KYMO_ON_STREAM},
        {"setsockopt", KYMO_ON_STREAM},
        {"getsockopt", KYMO_ON_STREAM},
        {"epoll_ctl", KYMO_ON_EPOLL},
        {"epoll_wait", KYMO_ON_EPOLL},
        {"epoll_pwait", KYMO_ON_EPOLL},
        {"epoll_pwait2", KYMO_ON_EPOLL},
        {"getdents64", KYMO_ON_DIR},
        {"getdents", KYMO_ON_DIR},
        {"pread64", KYMO_ON_FILE},
        {"pwrite64", KYMO_ON_FILE},
        {"lseek", KYMO_ON_FILE},
        {"fsync", KYMO_ON_FILE},
        {"fdatasync", KYMO_ON_FILE},
        {"ftruncate", KYMO_ON_FILE},
        {"fallocate", KYMO_ON_FILE},
        {"mmap", KYMO_ON_FILE},
        {"timerfd_settime", KYMO_ON_TIMER},
    };
    for (size_t i = 0; i < KYMO_COUNT_OF(tells); i++)
        if (strcmp(tells[i].name, name) == 0)
            return tells[i].on;
    return KYMO_ON_OTHER;
}

static int64_t fd_arg(const struct kymo_fdrole_call *c, int i)
{
    return i >= 0 ? (int64_t)(int32_t)(uint32_t)c->arg[i] : -1;
}

/* A path that is not empty is the matter, whatever directory it starts from. */
static int64_t used_fd(const struct kymo_fdrole_call *c)
{
    const struct kymo_fd_callinfo *i = c->info;
    if (i->fd < 0 || (i->op == KYMO_FD_MAPS && (c->arg[3] & MAP_ANONYMOUS_BIT)) ||
        (c->has_path && i->dir >= 0))
        return -1;
    const int64_t fd = fd_arg(c, i->fd);
    return fd == AT_CWD ? -1 : fd;
}

static int has_effect(const struct kymo_fdrole_call *c)
{
    if (!c->has_ret)
        return 0;
    if (c->ret >= 0 || c->ret < -4095)
        return 1;
    return (c->info->op == KYMO_FD_CONNECTS && c->ret == -EINPROGRESS_NR) ||
           (c->info->op == KYMO_FD_CLOSES && c->ret != -EBADF_NR);
}

static int is_cloexec(const struct kymo_fdrole_call *c)
{
    return c->info->flags >= 0 && (c->arg[c->info->flags] & c->info->cloexec);
}

static enum kymo_on of_type(uint64_t type, enum kymo_on connects)
{
    type &= SOCK_TYPE_MASK;
    return type == SOCK_DGRAM_TYPE ? KYMO_ON_DGRAM
           : type == SOCK_RAW_TYPE ? KYMO_ON_OTHER
                                   : connects;
}

/* What the call makes, or would have made. */
static enum kymo_on made(const struct kymo_fdrole_call *c)
{
    const char *what = c->info->makes;
    if (c->info->op == KYMO_FD_OPENS)
        return c->info->flags >= 0 && (c->arg[c->info->flags] &
                                       (c->is_arm ? DIRECTORY_BIT_ARM : DIRECTORY_BIT))
                   ? KYMO_ON_DIR
                   : KYMO_ON_FILE;
    if (c->info->op == KYMO_FD_PIPES)
        return strcmp(what, "[pipe]") == 0 ? KYMO_ON_PIPE : of_type(c->arg[1], KYMO_ON_STREAM);
    if (!what)
        return KYMO_ON_OTHER;
    return strcmp(what, "[socket]") == 0    ? of_type(c->arg[1], KYMO_ON_SOCKET)
           : strcmp(what, "[epoll]") == 0   ? KYMO_ON_EPOLL
           : strcmp(what, "[eventfd]") == 0 ? KYMO_ON_EVENT
           : strcmp(what, "[timerfd]") == 0 ? KYMO_ON_TIMER
           : strcmp(what, "[memfd]") == 0   ? KYMO_ON_FILE
                                            : KYMO_ON_OTHER;
}

static void put(struct kymo_fdroles *r, struct kymo_fdproc *p, const struct kymo_fdrole_call *c,
                int64_t fd, enum kymo_on on)
{
    kymo_fdset_put(r->set, p, fd, r->name[on], is_cloexec(c));
}

static void put_pair(struct kymo_fdroles *r, struct kymo_fdproc *p,
                     const struct kymo_fdrole_call *c)
{
    int64_t fd = -1;
    for (int end = 0; end < 2; end++) {
        fd = kymo_fdset_lowest(p, fd + 1);
        if (fd >= 0)
            put(r, p, c, fd, made(c));
    }
}

static void change_fcntl(struct kymo_fdroles *r, struct kymo_fdproc *p,
                         const struct kymo_fdrole_call *c)
{
    const int64_t fd = fd_arg(c, 0);
    if (c->arg[1] == DUP_FD || c->arg[1] == DUP_FD_CLOEXEC)
        kymo_fdset_put(r->set, p, c->ret, kymo_fdset_get(p, fd), c->arg[1] == DUP_FD_CLOEXEC);
    else if (c->arg[1] == SET_FD)
        kymo_fdset_cloexec(r->set, p, fd, fd, (c->arg[2] & FD_CLOEXEC_BIT) != 0);
}

static void change_range(struct kymo_fdroles *r, struct kymo_fdproc *p,
                         const struct kymo_fdrole_call *c)
{
    const int64_t first = (int64_t)(uint32_t)c->arg[0], last = (int64_t)(uint32_t)c->arg[1];
    if (c->arg[2] & RANGE_UNSHARE)
        kymo_fdset_unshare(r->set, p);
    if (c->arg[2] & RANGE_CLOEXEC)
        kymo_fdset_cloexec(r->set, p, first, last, 1);
    else
        kymo_fdset_shut(r->set, p, first, last);
}

/* As in fdtable.c: births are told by process rows, and sharing by the parent's return alone. */
static void change_fork(struct kymo_fdroles *r, const struct kymo_fdrole_call *c)
{
    const uint64_t flags = strcmp(c->info->name, "clone") == 0 ? c->arg[0] : 0;
    if (c->ret <= 0 || (c->flags & KYMO_CALL_CHILD) || (flags & CLONE_THREAD_BIT))
        return;
    if (!kymo_fdset_known(r->set, (uint64_t)c->ret))
        kymo_fdset_fork(r->set, c->pid, (uint64_t)c->ret, KYMO_FD_ANY_START);
    if (flags & CLONE_FILES_BIT)
        kymo_fdset_share(r->set, c->pid, (uint64_t)c->ret);
}

static void change(struct kymo_fdroles *r, struct kymo_fdproc *p,
                   const struct kymo_fdrole_call *c, int64_t fd, enum kymo_on on)
{
    switch (c->info->op) {
    case KYMO_FD_OPENS:
    case KYMO_FD_MAKES:
        put(r, p, c, c->ret, on);
        break;
    case KYMO_FD_PIPES:
        put_pair(r, p, c);
        break;
    case KYMO_FD_ACCEPTS:
        put(r, p, c, c->ret, KYMO_ON_STREAM);
        break;
    case KYMO_FD_CLOSES:
        kymo_fdset_shut(r->set, p, fd_arg(c, 0), fd_arg(c, 0));
        break;
    case KYMO_FD_CLOSES_RANGE:
        change_range(r, p, c);
        break;
    case KYMO_FD_DUPS:
        if (c->ret != fd_arg(c, 0))
            kymo_fdset_put(r->set, p, c->ret, kymo_fdset_get(p, fd_arg(c, 0)), is_cloexec(c));
        break;
    case KYMO_FD_FCNTL:
        change_fcntl(r, p, c);
        break;
    case KYMO_FD_CONNECTS:
        if (on == KYMO_ON_SOCKET)
            kymo_fdset_rename(r->set, p, fd, r->name[KYMO_ON_STREAM]);
        break;
    case KYMO_FD_FORKS:
        change_fork(r, c);
        break;
    case KYMO_FD_EXECS:
        kymo_fdset_exec(r->set, p);
        break;
    case KYMO_FD_UNSHARES:
        if (c->arg[0] & CLONE_FILES_BIT)
            kymo_fdset_unshare(r->set, p);
        break;
    default:
        if (strcmp(c->info->name, "listen") == 0)
            kymo_fdset_rename(r->set, p, fd, r->name[KYMO_ON_LISTEN]);
        break;
    }
}

enum kymo_on kymo_fdroles_call(struct kymo_fdroles *r, const struct kymo_fdrole_call *c,
                               int64_t *fd)
{
    *fd = -1;
    if (!c->info)
        return KYMO_ON_NONE;
    struct kymo_fdproc *p = kymo_fdset_process(r->set, c->pid, c->start_ns);
    const int makes = c->info->op == KYMO_FD_OPENS || c->info->op == KYMO_FD_MAKES ||
                      c->info->op == KYMO_FD_PIPES;
    enum kymo_on on = makes ? made(c) : KYMO_ON_NONE;
    const int is_bad = c->has_ret && c->ret == -EBADF_NR;
    if (!makes && (*fd = used_fd(c)) >= 0 && !is_bad) {
        on = on_of(p, *fd);
        if (on == KYMO_ON_NONE && (on = guess(c->info->name)) != KYMO_ON_OTHER && p)
            kymo_fdset_put(r->set, p, *fd, r->name[on], 0);
    }
    if (p && has_effect(c))
        change(r, p, c, *fd, on);
    return on;
}

void kymo_fdroles_count(struct kymo_fdroles *r, uint64_t pid, uint64_t start_ns, uint32_t *n)
{
    const struct kymo_fdproc *p = kymo_fdset_process(r->set, pid, start_ns);
    memset(n, 0, KYMO_ON_FDS * sizeof(*n));
    for (int64_t fd = 0; p && fd < COUNTED_FDS; fd++)
        n[on_of(p, fd)]++;
    n[KYMO_ON_NONE] = 0;
}
