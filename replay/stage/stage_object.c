/* SPDX-License-Identifier: Apache-2.0
 * stage_object.c: what is open when the slice begins. Each object becomes a descriptor of init, above all recorded
 * numbers; processes that are there at the start take theirs from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"

/* ---- addresses ------------------------------------------------------------------------------- */

const void *inside_address(const struct inside *s, kymo_blob at, uint32_t *bytes)
{
    *bytes = 0;
    if (!at)
        return NULL;
    memcpy(bytes, s->blob + at, sizeof(*bytes));
    if (*bytes < sizeof(sa_family_t) || *bytes > sizeof(struct sockaddr_storage))
        return NULL;
    return s->blob + at + sizeof(*bytes);
}

int inside_socket(const struct inside *s, const struct kymo_iobject *o, int type)
{
    const int fd = socket(o->family, type | SOCK_CLOEXEC, 0);
    const int one = 1;

    (void)s;
    if (fd >= 0 && (o->family == AF_INET || o->family == AF_INET6)) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (type == SOCK_STREAM)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return fd;
}

int inside_bind(const struct inside *s, int fd, kymo_blob address)
{
    uint32_t bytes;
    const struct sockaddr *a = inside_address(s, address, &bytes);
    struct sockaddr_un un;

    if (!a)
        return 0;
    if (a->sa_family == AF_UNIX && bytes <= sizeof(un)) {
        memset(&un, 0, sizeof(un));
        memcpy(&un, a, bytes);
        /* A socket file that the tree has already is the one to be bound. */
        if (un.sun_path[0])
            unlink(un.sun_path);
    }
    return bind(fd, a, bytes);
}

/* ---- one object ------------------------------------------------------------------------------ */

static int open_file(const struct inside *s, const struct kymo_iobject *o)
{
    const char *path = inside_text(s, o->path);
    const int flags = (int)(o->flags & ~(uint32_t)(O_EXCL | O_TRUNC)) | O_NONBLOCK | O_NOCTTY;
    int fd = open(path, flags | O_CLOEXEC, 0644);

    if (fd < 0 && errno == ENOENT)
        fd = open(path, flags | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EISDIR)
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!(o->flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    if (o->at)
        lseek(fd, (off_t)o->at, SEEK_SET);
    return fd;
}

static int pair_of(const struct inside *s, uint32_t i)
{
    const uint32_t p = s->object[i].pair;

    return p < s->n_objects && p != i && s->object_fd[p] < 0 ? (int)p : -1;
}

static void set_flags(int fd, uint32_t flags)
{
    fcntl(fd, F_SETFL, (int)flags & (O_NONBLOCK | O_APPEND));
}

/* Two ends: `i` and, where the plan has it, its pair; else init keeps the other one open. */
static int put_ends(struct inside *s, uint32_t i, int mine, int other)
{
    const int p = pair_of(s, i);

    s->object_fd[i] = mine;
    set_flags(mine, s->object[i].flags);
    if (p >= 0) {
        s->object_fd[p] = other;
        set_flags(other, s->object[p].flags);
    }
    return 0;
}

static int open_pipe(struct inside *s, uint32_t i)
{
    const int writes = (s->object[i].flags & O_ACCMODE) == O_WRONLY;
    int end[2];

    if (pipe2(end, O_CLOEXEC))
        return -1;
    return put_ends(s, i, end[writes], end[!writes]);
}

/* A connection between two addresses: one side listens for a moment. */
static int connect_pair(const struct inside *s, const struct kymo_iobject *o, int end[2])
{
    uint32_t bytes;
    const struct sockaddr *peer = inside_address(s, o->peer, &bytes);
    const int listener = inside_socket(s, o, SOCK_STREAM);
    int e = -1;

    end[0] = inside_socket(s, o, SOCK_STREAM);
    end[1] = -1;
    if (listener >= 0 && end[0] >= 0 && peer && !bind(listener, peer, bytes) &&
        !listen(listener, 1) && !inside_bind(s, end[0], o->local) &&
        !connect(end[0], peer, bytes)) {
        end[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        e = end[1] < 0 ? -1 : 0;
    }
    if (listener >= 0)
        close(listener);
    if (e && end[0] >= 0)
        close(end[0]);
    return e;
}

static int open_stream(struct inside *s, uint32_t i)
{
    const struct kymo_iobject *o = &s->object[i];
    int end[2];

    if ((o->family != AF_INET && o->family != AF_INET6) || connect_pair(s, o, end))
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end))
            return -1;
    return put_ends(s, i, end[0], end[1]);
}

static int open_listen(struct inside *s, uint32_t i)
{
    const struct kymo_iobject *o = &s->object[i];
    const int fd = inside_socket(s, o, SOCK_STREAM);

    if (fd < 0)
        return -1;
    if (inside_bind(s, fd, o->local) || listen(fd, SOMAXCONN)) {
        close(fd);
        return -1;
    }
    set_flags(fd, o->flags);
    return s->object_fd[i] = fd;
}

static int open_dgram(struct inside *s, uint32_t i)
{
    const struct kymo_iobject *o = &s->object[i];
    const int fd = inside_socket(s, o, SOCK_DGRAM);
    uint32_t bytes;
    const struct sockaddr *peer = inside_address(s, o->peer, &bytes);

    if (fd < 0)
        return -1;
    /* Where the address cannot be had it is a socket all the same. */
    if (inside_bind(s, fd, o->local) || (peer && connect(fd, peer, bytes)))
        errno = 0;
    set_flags(fd, o->flags);
    return s->object_fd[i] = fd;
}

static int open_simple(const struct inside *s, const struct kymo_iobject *o)
{
    sigset_t none;

    switch (o->kind) {
    case KYMO_OBJECT_FILE:
        return open_file(s, o);
    case KYMO_OBJECT_EPOLL:
        return epoll_create1(EPOLL_CLOEXEC);
    case KYMO_OBJECT_TIMER:
        return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    case KYMO_OBJECT_SIGNAL:
        sigemptyset(&none);
        return signalfd(-1, &none, SFD_CLOEXEC | SFD_NONBLOCK);
    case KYMO_OBJECT_INOTIFY:
        return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    default:
        return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
}

static int open_object(struct inside *s, uint32_t i)
{
    switch (s->object[i].kind) {
    case KYMO_OBJECT_PIPE:
        return open_pipe(s, i);
    case KYMO_OBJECT_STREAM:
        return open_stream(s, i);
    case KYMO_OBJECT_LISTEN:
        return open_listen(s, i);
    case KYMO_OBJECT_DGRAM:
        return open_dgram(s, i);
    default:
        s->object_fd[i] = open_simple(s, &s->object[i]);
        return s->object_fd[i];
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int makes(uint32_t kind)
{
    return kind == KYMO_ACT_LISTEN || kind == KYMO_ACT_CONNECT || kind == KYMO_ACT_ACCEPT;
}

/* Those that a process has at the start, and what the environment has that no act of its makes. The other end of
 * a pair comes with it. */
static void wanted(const struct inside *s, bool *is_wanted)
{
    for (uint32_t i = 0; i < s->n_objects; i++)
        is_wanted[i] =
            s->object[i].is_environment &&
            (s->object[i].kind == KYMO_OBJECT_LISTEN || s->object[i].kind == KYMO_OBJECT_DGRAM);
    for (uint32_t i = 0; i < s->n_acts; i++)
        if (makes(s->act[i].kind) && s->act[i].object < s->n_objects)
            is_wanted[s->act[i].object] = false;
    for (uint32_t p = 0; p < s->n_processes; p++)
        for (uint32_t k = 0; s->process[p].at_start && k < s->process[p].n_starts; k++)
            is_wanted[s->start[s->process[p].start + k].object] = true;
}

/* Room for all above what processes number themselves. */
static kymo_status room(const struct inside *s, uint32_t *base, struct kymo_err *err)
{
    struct rlimit limit;
    uint32_t high = 64;

    for (uint64_t i = 0; i < s->image->start.n; i++)
        high = s->start[i].fd >= high ? s->start[i].fd + 1 : high;
    *base = high;
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t needs = (rlim_t)high + 2 * (rlim_t)s->n_objects + 64;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needs)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "this plan needs %llu descriptors and %llu is the limit; ulimit -Hn "
                         "raises it",
                         (unsigned long long)needs, (unsigned long long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return KYMO_OK;
}

static void lift(int *fd, uint32_t base)
{
    if (*fd < 0 || (uint32_t)*fd >= base)
        return;
    const int up = fcntl(*fd, F_DUPFD_CLOEXEC, (int)base);
    if (up >= 0) {
        close(*fd);
        *fd = up;
    }
}

kymo_status inside_objects(struct inside *s, struct kymo_err *err)
{
    static const uint8_t in_order[] = {
        KYMO_OBJECT_FILE,  KYMO_OBJECT_PIPE,   KYMO_OBJECT_STREAM,  KYMO_OBJECT_DGRAM,
        KYMO_OBJECT_EPOLL, KYMO_OBJECT_EVENT,  KYMO_OBJECT_TIMER,   KYMO_OBJECT_SIGNAL,
        KYMO_OBJECT_OTHER, KYMO_OBJECT_LISTEN, KYMO_OBJECT_INOTIFY,
    };
    bool *is_wanted = calloc(s->n_objects + 1, sizeof(*is_wanted));
    uint32_t base;

    s->object_fd = malloc((s->n_objects + 1) * sizeof(*s->object_fd));
    if (!is_wanted || !s->object_fd) {
        free(is_wanted);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for %u objects",
                         s->n_objects);
    }
    for (uint32_t i = 0; i <= s->n_objects; i++)
        s->object_fd[i] = -1;
    wanted(s, is_wanted);
    kymo_status e = room(s, &base, err);
    /* Connections before those who listen: a port that somebody listens on cannot be bound to. */
    for (size_t k = 0; k < sizeof(in_order) && !e; k++)
        for (uint32_t i = 0; i < s->n_objects && !e; i++) {
            if (!is_wanted[i] || s->object_fd[i] >= 0 || s->object[i].kind != in_order[k])
                continue;
            /* What cannot be had (an address that another has) is a descriptor all the same. */
            if (open_object(s, i) < 0)
                s->object_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            if (s->object_fd[i] < 0)
                e = inside_fail(err, "cannot open",
                                s->object[i].path ? inside_text(s, s->object[i].path)
                                                  : "what is open at the start");
        }
    for (uint32_t i = 0; i < s->n_objects; i++)
        lift(&s->object_fd[i], base);
    free(is_wanted);
    return e;
}

/* What epoll instances watch is keyed by the number that a descriptor has: done by each process for its own. */
void inside_watch_add(const struct inside *s, uint32_t process)
{
    for (uint32_t i = 0; i < s->n_objects; i++) {
        const struct kymo_iobject *o = &s->object[i];
        if (o->kind != KYMO_OBJECT_EPOLL || !o->watch || s->object_fd[i] < 0)
            continue;
        uint32_t n, item[3];
        memcpy(&n, s->blob + o->watch, sizeof(n));
        for (uint32_t k = 0; k < n; k++) {
            memcpy(item, s->blob + o->watch + 4 + (size_t)k * sizeof(item), sizeof(item));
            struct epoll_event event = {.events = item[2], .data.fd = (int)item[1]};
            if (item[0] == process)
                epoll_ctl(s->object_fd[i], EPOLL_CTL_ADD, (int)item[1], &event);
        }
    }
}
