/* SPDX-License-Identifier: Apache-2.0
 * lower_error.c: does a result come about by itself, by the same call on what the plan has laid out? Else it has to
 * be injected, and the plan says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "replay/plan/compile_own.h"

#define RESTARTS_MIN 512
#define RESTARTS_MAX 516
#define MSG_ERRQUEUE_BIT 0x2000u

static int is_restart(int64_t ret)
{
    return ret <= -RESTARTS_MIN && ret >= -RESTARTS_MAX;
}

static int is_path_op(uint8_t op)
{
    return op == OP_OPEN || (op >= OP_LOOK && op <= OP_FCHDIR) || op == OP_EXEC;
}

static uint8_t kind_of(const struct maker *m, uint32_t call)
{
    const uint32_t object = m->note[call].object;
    return object == NONE ? 0 : object_at(m, object)->kind;
}

static int is_socket(uint8_t kind)
{
    return kind == O_SOCKET || kind == O_STREAM || kind == O_DGRAM || kind == O_LISTEN;
}

/* The other end is gone: an act, or the last close of the slice, has seen to it. */
static int is_peer_gone(const struct maker *m, uint32_t call)
{
    const uint32_t object = m->note[call].object;
    if (object == NONE || object_at(m, object)->pair == NONE)
        return 0;
    const struct object *end = object_at(m, object_at(m, object)->pair);
    return end->is_env ? end->is_broken == 2 : end->closed_by != NONE;
}

/* A signal of the slice came, or the end of the process. */
static int was_due(const struct maker *m, uint32_t call)
{
    return m->note[call].cut == CUT_SIGNAL;
}

static int again(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint8_t op = m->row[call]->op, kind = kind_of(m, call);
    const char *const name = m->row[call]->name;
    if (op == OP_FUTEX)
        return 1;
    if (op == OP_SIGWAIT || kind == 0)
        return op == OP_SIGWAIT;
    const int cannot_wait = m->note[call].nonblock ||
                            (!strcmp(name, "recvfrom") && c->arg[3] & MSG_DONTWAIT) ||
                            (!strcmp(name, "recvmsg") && c->arg[2] & MSG_DONTWAIT);
    return cannot_wait && (op == OP_READ || op == OP_ACCEPT) && kind != O_FILE &&
           kind != O_OTHER && kind != O_INOTIFY;
}

static int invalid(const struct maker *m, uint32_t call)
{
    const char *const name = m->row[call]->name;
    static const char *const by_value[] = {"readlink",
                                           "readlinkat",
                                           "lseek",
                                           "prctl",
                                           "munmap",
                                           "rt_sigaction",
                                           "dup3",
                                           "socket",
                                           "sched_get_priority_max",
                                           "sched_get_priority_min",
                                           "fcntl",
                                           "waitid",
                                           "wait4",
                                           "getpgid",
                                           "epoll_create",
                                           "pipe2",
                                           "eventfd2",
                                           "close_range",
                                           "sched_getaffinity",
                                           "rt_sigprocmask",
                                           "renameat2"};
    for (size_t i = 0; i < sizeof(by_value) / sizeof(by_value[0]); i++)
        if (!strcmp(name, by_value[i]))
            return 1;
    if (strcmp(name, "ioctl") != 0)
        return 0;
    const uint32_t object = m->note[call].object;
    return object != NONE && object_at(m, object)->kind == O_FILE &&
           object_at(m, object)->inode != NONE &&
           inode_at(m, object_at(m, object)->inode)->kind == KYMO_NODE_DEVICE;
}

static int refuses(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint32_t port = sockaddr_port(text_of(m, c->addr));
    if (m->row[call]->op != OP_CONNECT || !c->addr)
        return 0;
    if (!port)
        return sockaddr_path(text_of(m, c->addr)) != NULL;
    const uint32_t l = hash64_get(&m->port_of, (uint64_t)1 << 40 | port);
    return l == NONE || AT(m->listeners, struct listener, l)->stranger == NONE;
}

int lower_fails_alone(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct lower_row *row = m->row[call];
    const uint8_t op = row->op, kind = kind_of(m, call);
    if (is_restart(c->ret))
        return was_due(m, call);
    switch (-c->ret) {
    case EBADF:
        return strpbrk(row->how, "FD") && kind == 0;
    case EFAULT:
        return strpbrk(row->how, "PQowbrc") != NULL;
    case EINTR:
        return was_due(m, call);
    case EAGAIN:
        return again(m, call);
    case ENOENT:
    case EEXIST:
        return is_path_op(op) || op == OP_EPOLL_CTL || op == OP_CONNECT;
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case ELOOP:
    case ENAMETOOLONG:
    case EACCES:
        return is_path_op(op) && (c->ret != -EISDIR || op == OP_OPEN || op == OP_REMOVE);
    case ENXIO:
        return op == OP_OPEN;
    case EINVAL:
        return invalid(m, call);
    case ENOTTY:
        return !strcmp(row->name, "ioctl") && kind != 0 && kind != O_OTHER;
    case ESPIPE:
        return kind != 0 && kind != O_FILE;
    case ENOTCONN:
        return kind == O_SOCKET || kind == O_LISTEN;
    case ENOTSOCK:
        return kind != 0 && !is_socket(kind);
    case ENODATA:
    case EOPNOTSUPP:
        return strstr(row->name, "getxattr") != NULL;
    case ECHILD:
        return op == OP_WAIT;
    case ESRCH:
        return op == OP_KILL || strchr(row->how, 'p') || strchr(row->how, 't');
    case ETIMEDOUT:
        return op == OP_FUTEX;
    case EINPROGRESS:
        return op == OP_CONNECT && kind != 0 && m->note[call].nonblock &&
               object_at(m, m->note[call].object)->kind == O_STREAM;
    case EISCONN:
    case EALREADY:
        return op == OP_CONNECT && kind == O_STREAM;
    case ECONNREFUSED:
        return refuses(m, call);
    case EPIPE:
    case ECONNRESET:
        return (op == OP_WRITE || op == OP_READ) && is_peer_gone(m, call);
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
        return op == OP_SOCKET;
    case ENOPROTOOPT:
        return !strcmp(row->name, "getsockopt");
    case ENOSPC:
        return fulldisk_takes(m, call);
    case ERANGE:
        return !strcmp(row->name, "getcwd");
    default:
        return 0;
    }
}

/* ---- what did not fail ---- */

static int reads_alone(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const char *const name = m->row[call]->name;
    const struct object *o = object_at(m, m->note[call].object);
    if ((!strcmp(name, "recvmsg") && c->arg[2] & MSG_ERRQUEUE_BIT) ||
        (!strcmp(name, "recvfrom") && c->arg[3] & MSG_ERRQUEUE_BIT))
        return 0;
    switch (o->kind) {
    case O_FILE:
        return o->inode != NONE && inode_at(m, o->inode)->kind != KYMO_NODE_DIR;
    case O_SIGNAL:
        return proc_at(m, proc_of_call(m, call))->signals != 0;
    case O_OTHER:
    case O_INOTIFY:
    case O_SOCKET:
    case O_LISTEN:
    case O_EPOLL:
        return 0;
    default:
        return !o->is_substitute;
    }
}

static int moves_alone(const struct maker *m, uint32_t call)
{
    const uint32_t a = m->note[call].object, b = m->note[call].object2;
    for (int i = 0; i < 2; i++) {
        const struct object *o = (i ? b : a) == NONE ? NULL : object_at(m, i ? b : a);
        if (!o || (o->kind == O_FILE && o->inode == NONE) ||
            (o->kind != O_FILE && o->kind != O_STREAM && o->kind != O_PIPE))
            return 0;
    }
    return 1;
}

/* Ids: what the actors' own are, told of one who had them; zero stays zero. */
static int same_id(int64_t ret, int64_t own)
{
    return (ret == 0) == (own == 0);
}

static int ids_alone(const struct maker *m, uint32_t call, const char *name, int64_t ret)
{
    (void)call;
    if (!strcmp(name, "getuid") || !strcmp(name, "geteuid"))
        return same_id(ret, m->own_uid);
    if (!strcmp(name, "getgid") || !strcmp(name, "getegid"))
        return same_id(ret, m->own_gid);
    if (!strcmp(name, "setfsuid") || !strcmp(name, "setfsgid"))
        return same_id(ret, name[5] == 'u' ? m->own_uid : m->own_gid);
    return 1;
}

static int ioctl_alone(const struct maker *m, uint32_t call)
{
    switch ((uint32_t)call_at(m, call)->arg[1]) {
    case FIONREAD:
    case FIONBIO:
    case FIOCLEX:
    case FIONCLEX:
        return kind_of(m, call) != O_OTHER;
    default: /* only a terminal says yes, and there is none */
        return 0;
    }
}

static int lists_alone(const struct maker *m, uint32_t call)
{
    const uint32_t object = m->note[call].object;
    return object != NONE && object_at(m, object)->kind == O_FILE &&
           object_at(m, object)->inode != NONE &&
           inode_at(m, object_at(m, object)->inode)->kind == KYMO_NODE_DIR;
}

int lower_works_alone(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct lower_row *row = m->row[call];
    const struct note *n = &m->note[call];
    if (row->how[0] == 'F' && n->object == NONE)
        return 0;
    switch (row->op) {
    case OP_OPEN:
        return n->link != NONE || !(c->has & KYMO_TRACE_HAS_PATH);
    case OP_LOOK:
        return n->link != NONE || !text_of(m, c->path)[0] || n->object != NONE;
    case OP_READ:
        return reads_alone(m, call);
    case OP_WRITE:
        return kind_of(m, call) != O_OTHER && kind_of(m, call) != O_SOCKET &&
               !object_at(m, n->object)->is_substitute;
    case OP_MOVE:
        return moves_alone(m, call);
    case OP_LIST:
        return lists_alone(m, call);
    case OP_SEEK:
    case OP_RESIZE:
        return kind_of(m, call) == O_FILE;
    case OP_MMAP:
        return c->arg[3] & 0x20 || (n->object != NONE && kind_of(m, call) == O_FILE &&
                                    object_at(m, n->object)->inode != NONE);
    case OP_WAIT:
        return c->ret <= 0 || n->link != NONE;
    case OP_SIGWAIT:
        return 0;
    default:
        break;
    }
    if (!strcmp(row->name, "ioctl"))
        return ioctl_alone(m, call);
    if (!strncmp(row->name, "inotify_add", 11))
        return c->arg[0] < KYMO_FDS_MAX && kind_of(m, call) == O_INOTIFY;
    if (!strcmp(row->name, "listxattr") || !strcmp(row->name, "llistxattr") ||
        !strcmp(row->name, "flistxattr"))
        return c->ret == 0;
    if (strstr(row->name, "etxattr") || strstr(row->name, "removexattr"))
        return 0;
    if (!strcmp(row->name, "getgroups"))
        return c->ret == 0;
    return ids_alone(m, call, row->name, c->ret);
}
