/* SPDX-License-Identifier: Apache-2.0
 * descriptors.c: which descriptor of which process is open on what, from call to call.
 *
 * A number that a process uses without having opened it was open before: it is put to the start of the process
 * at the root of its line of forks, on what the first snapshot says, else on what the use tells. The two ends of
 * a pipe lie in memory that captures do not hold: they are the lowest numbers that seem free, as the kernel
 * chooses them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "replay/plan/compile_own.h"

#define NEVER (NONE - 1) /* a number that was free at the start */
#define FILL_MAX 1024u   /* descriptors below one that was opened, which must have been open */
#define FIONBIO_NR 0x5421u
#define FIOCLEX_NR 0x5451u
#define EXECED_ROW 32 /* KYMO_CALL_EXECED */
#define DUPFD_CLOEXEC 1030

/* ---- objects ---- */

uint32_t resource_new(struct maker *m)
{
    return m->n_resources++;
}

kymo_status object_new(struct maker *m, enum object_kind kind, uint32_t call, uint32_t *out)
{
    struct object *o;
    *out = (uint32_t)m->objects.n;
    KYMO_TRY(list_add(m, &m->objects, sizeof(*o), &o));
    *o = (struct object){.kind = (uint8_t)kind,
                         .same_as = NONE,
                         .pair = NONE,
                         .in = NONE,
                         .out = NONE,
                         .inode = NONE,
                         .closed_by = NONE,
                         .made_by = call,
                         .watches = NONE,
                         .act = NONE,
                         .last_call = NONE,
                         .listens = NONE,
                         .index = NONE,
                         .seen = UINT64_MAX,
                         .resource = resource_new(m)};
    return call == NONE ? KYMO_OK : use_add(m, call, o->resource, 1);
}

kymo_status flow_new(struct maker *m, uint32_t from, uint32_t to, uint32_t *out)
{
    struct flow *f;
    *out = (uint32_t)m->flows.n;
    KYMO_TRY(list_add(m, &m->flows, sizeof(*f), &f));
    f->from = from;
    f->to = to;
    return KYMO_OK;
}

static kymo_status flow_between(struct maker *m, uint32_t from, uint32_t to)
{
    struct object *a = object_at(m, from), *b = object_at(m, to);
    uint32_t flow = a->out != NONE ? a->out : b->in;
    if (flow == NONE)
        KYMO_TRY(flow_new(m, from, to, &flow));
    a->out = b->in = flow;
    flow_at(m, flow)->from = from;
    flow_at(m, flow)->to = to;
    return KYMO_OK;
}

kymo_status object_pair(struct maker *m, uint32_t a, uint32_t b)
{
    object_at(m, a)->pair = b;
    object_at(m, b)->pair = a;
    KYMO_TRY(flow_between(m, a, b));
    return flow_between(m, b, a);
}

/* Which end of its pipe it is, as the first read or write shows; ends of one name belong together. */
static kymo_status take_side(struct maker *m, uint32_t *object, uint8_t side)
{
    struct object *o = object_at(m, *object);
    uint32_t *other, flow;
    if (o->kind != O_PIPE || o->side || !o->is_start)
        return KYMO_OK;
    uint32_t *same;
    o->side = side;
    o->flags = side == SIDE_WRITE ? O_WRONLY : O_RDONLY;
    const uint64_t name = o->ident ? (uint64_t)o->ident << 2 : (uint64_t)*object << 32 | 3;
    KYMO_TRY(hash64_at(m, &m->pipe_of, name + side, &same));
    if (*same != NONE) {
        o->same_as = *same;
        *object = *same;
        return KYMO_OK;
    }
    *same = *object;
    KYMO_TRY(hash64_at(m, &m->pipe_of, name, &other));
    if (*other == NONE) {
        KYMO_TRY(flow_new(m, NONE, NONE, &flow));
        KYMO_TRY(hash64_at(m, &m->pipe_of, name, &other));
        *other = flow;
    }
    flow = *other;
    const uint32_t end =
        hash64_get(&m->pipe_of, name + (side == SIDE_READ ? SIDE_WRITE : SIDE_READ));
    if (side == SIDE_READ) {
        o->in = flow;
        flow_at(m, flow)->to = *object;
    } else {
        o->out = flow;
        flow_at(m, flow)->from = *object;
    }
    if (end != NONE) {
        o->pair = end;
        object_at(m, end)->pair = *object;
    }
    return KYMO_OK;
}

/* ---- tables ---- */

static kymo_status slot_at_fd(struct maker *m, struct proc *p, uint32_t fd,
                              struct fd_slot **out)
{
    if (fd >= p->cap_fds) {
        uint32_t cap = p->cap_fds ? p->cap_fds : 16;
        while (cap <= fd)
            cap *= 2;
        const size_t more = (cap - p->cap_fds) * sizeof(*p->fd);
        if (more > m->cap_bytes - m->used_bytes)
            return maker_too_much(m);
        void *q = realloc(p->fd, cap * sizeof(*p->fd));
        if (!q)
            return maker_too_much(m);
        m->used_bytes += more;
        p->fd = q;
        memset(p->fd + p->cap_fds, 0, more);
        p->cap_fds = cap;
    }
    if (fd >= p->n_fds)
        p->n_fds = fd + 1;
    *out = &p->fd[fd];
    return KYMO_OK;
}

static void closed(struct maker *m, uint32_t call, uint32_t object)
{
    struct object *o = object_at(m, object);
    if (o->refs && --o->refs == 0) {
        o->closed_by = call;
        if (o->listens != NONE)
            AT(m->listeners, struct listener, o->listens)->n_live--;
        for (uint32_t w = o->kind == O_EPOLL ? NONE : o->watches; w != NONE;
             w = watch_at(m, w)->next_of_object)
            watch_at(m, w)->is_live = 0;
    }
}

static void freed(struct proc *p, uint32_t fd)
{
    for (int i = 0; i < 2; i++)
        if (fd < p->low[i])
            p->low[i] = fd;
}

static kymo_status shut(struct maker *m, uint32_t call, struct proc *p, uint32_t fd)
{
    if (fd >= p->n_fds)
        return KYMO_OK;
    struct fd_slot *s = &p->fd[fd];
    if (s->state == FD_OPEN) {
        const uint32_t object = object_real(m, s->object);
        if (p->n_actors > 1)
            KYMO_TRY(use_add(m, call, p->table_resource, 1));
        closed(m, call, object);
        KYMO_TRY(
            use_add(m, call, object_at(m, object)->resource, object_at(m, object)->refs == 0));
    }
    *s = (struct fd_slot){.state = FD_CLOSED};
    freed(p, fd);
    return KYMO_OK;
}

static kymo_status put(struct maker *m, uint32_t proc, uint32_t call, uint32_t fd,
                       uint32_t object, int cloexec)
{
    struct proc *p = proc_at(m, proc);
    struct fd_slot *s = NULL;
    uint32_t *known;
    if (fd >= KYMO_FDS_MAX)
        return KYMO_OK;
    KYMO_TRY(slot_at_fd(m, p, fd, &s));
    if (s->state == FD_OPEN)
        closed(m, call, object_real(m, s->object));
    if (s->state == FD_UNKNOWN) {
        KYMO_TRY(hash64_at(m, &m->known_by, (uint64_t)p->root << 32 | fd, &known));
        if (*known == NONE)
            *known = NEVER;
    }
    *s = (struct fd_slot){.object = object, .state = FD_OPEN, .cloexec = cloexec != 0};
    object_at(m, object)->refs++;
    if (p->n_actors > 1 && call != NONE)
        return use_add(m, call, p->table_resource, 1);
    return KYMO_OK;
}

/* ---- what was open at the start ---- */

static const struct kymo_trace_fd *in_snapshot(const struct maker *m, const struct proc *p,
                                               uint32_t fd)
{
    uint32_t low = 0, high = p->n_snapshot;
    while (low < high) {
        const uint32_t mid = (low + high) / 2;
        const struct kymo_trace_fd *f = &m->t->fd[p->snapshot + mid];
        if (f->fd == fd)
            return f;
        if (f->fd < fd)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* What is it for, by the call that uses it first? */
static enum object_kind kind_by_use(const struct maker *m, uint32_t call)
{
    const struct lower_row *row = call == NONE ? NULL : m->row[call];
    if (!row)
        return O_FILE;
    switch (row->op) {
    case OP_ACCEPT:
        return O_LISTEN;
    case OP_CONNECT:
    case OP_BIND:
    case OP_LISTEN:
        return O_SOCKET;
    case OP_SHUTDOWN:
        return O_STREAM;
    case OP_EPOLL_WAIT:
    case OP_EPOLL_CTL:
        return O_EPOLL;
    default:
        break;
    }
    if (!strncmp(row->name, "recv", 4) || !strncmp(row->name, "send", 4))
        return strcmp(row->name, "sendfile") ? O_STREAM : O_FILE;
    if (strstr(row->name, "sock") || !strcmp(row->name, "getpeername"))
        return O_STREAM;
    if (!strncmp(row->name, "timerfd", 7))
        return O_TIMER;
    if (!strncmp(row->name, "inotify", 7))
        return O_INOTIFY;
    /* bytes of which nothing else is known came through a pipe */
    return row->op == OP_READ && !(row->flags & ROW_PLACED) && call_at(m, call)->ret > 0
               ? O_PIPE
               : O_FILE;
}

static enum object_kind anon_kind(const char *word)
{
    static const struct {
        const char *word;
        enum object_kind kind;
    } kinds[] = {{"eventpoll", O_EPOLL},
                 {"eventfd", O_EVENT},
                 {"timerfd", O_TIMER},
                 {"signalfd", O_SIGNAL},
                 {"inotify", O_INOTIFY}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strstr(word, kinds[i].word))
            return kinds[i].kind;
    return O_OTHER;
}

static kymo_status start_socket(struct maker *m, uint32_t object, const struct kymo_trace_fd *f,
                                enum object_kind by_use)
{
    struct object *o = object_at(m, object);
    const char *const local = text_of(m, f->local), *const peer = text_of(m, f->peer);
    o->local = f->local;
    o->peer = f->peer;
    o->family = !strncmp(local, "inet6:", 6) || !strncmp(peer, "inet6:", 6) ? AF_INET6
                : !strncmp(local, "inet:", 5) || !strncmp(peer, "inet:", 5) ? AF_INET
                                                                            : AF_UNIX;
    o->type = SOCK_STREAM;
    if (by_use == O_SOCKET || by_use == O_LISTEN)
        o->kind = (uint8_t)by_use;
    else
        o->kind = f->peer || (!f->local && by_use != O_LISTEN) ? O_STREAM : O_LISTEN;
    return connect_start(m, object);
}

static kymo_status start_object(struct maker *m, uint32_t call, const struct kymo_trace_fd *f,
                                uint32_t *out)
{
    const enum object_kind by_use = kind_by_use(m, call);
    const char *const target = f ? text_of(m, f->target) : "";
    KYMO_TRY(object_new(m, by_use, NONE, out));
    struct object *o = object_at(m, *out);
    o->is_start = 1;
    if (!strncmp(target, "pipe:", 5)) {
        o->kind = O_PIPE;
        o->ident = f->target;
    } else if (!strncmp(target, "socket:", 7)) {
        return start_socket(m, *out, f, by_use);
    } else if (!strncmp(target, "anon_inode:", 11)) {
        /* which signals one from before the slice is for is not known: the environment writes what it told */
        o->kind = anon_kind(target) == O_SIGNAL ? O_PIPE : (uint8_t)anon_kind(target);
    } else if (target[0] == '/') {
        o->kind = O_FILE;
        o->flags = O_RDWR;
        return tree_start_file(m, *out, target);
    } else if (o->kind == O_FILE) {
        o->flags = O_RDWR;
        return tree_start_file(m, *out, NULL);
    } else if (o->kind == O_STREAM || o->kind == O_LISTEN || o->kind == O_SOCKET) {
        o->family = AF_UNIX;
        o->type = SOCK_STREAM;
    }
    return KYMO_OK;
}

/* A socket that several processes had, a listener among its workers, is one socket: its name says so. */
static kymo_status start_shared(struct maker *m, uint32_t call, const struct kymo_trace_fd *f,
                                uint32_t *object)
{
    const int is_named = f && !strncmp(text_of(m, f->target), "socket:[", 8);
    const uint64_t key = (uint64_t)UINT32_MAX << 32 | (is_named ? f->target : 0);
    uint32_t *known;
    if (is_named && hash64_get(&m->known_by, key) != NONE) {
        *object = object_real(m, hash64_get(&m->known_by, key));
        return KYMO_OK;
    }
    KYMO_TRY(start_object(m, call, f, object));
    if (!is_named)
        return KYMO_OK;
    KYMO_TRY(hash64_at(m, &m->known_by, key, &known));
    *known = *object;
    return KYMO_OK;
}

static kymo_status start_fd(struct maker *m, struct proc *p, uint32_t call, uint32_t fd,
                            uint32_t *object)
{
    uint32_t *known;
    struct start_fd *s;
    struct proc *root = proc_at(m, p->root);
    const struct kymo_trace_fd *f = in_snapshot(m, p, fd);
    if (!f)
        f = in_snapshot(m, root, fd);
    KYMO_TRY(start_shared(m, call, f, object));
    KYMO_TRY(hash64_at(m, &m->known_by, (uint64_t)p->root << 32 | fd, &known));
    *known = *object;
    KYMO_TRY(list_add(m, &root->starts, sizeof(*s), &s));
    *s = (struct start_fd){.fd = fd, .object = *object};
    object_at(m, *object)->refs++; /* the root's own; further tables count theirs */
    return KYMO_OK;
}

kymo_status fds_get(struct maker *m, uint32_t proc, uint32_t call, uint64_t number,
                    uint32_t *object)
{
    struct proc *p = proc_at(m, proc);
    const uint32_t fd = (uint32_t)number;
    struct fd_slot *s = NULL;
    *object = NONE;
    if (fd >= KYMO_FDS_MAX)
        return KYMO_OK;
    if (fd < p->n_fds && p->fd[fd].state == FD_OPEN)
        *object = object_real(m, p->fd[fd].object);
    if (*object != NONE || (fd < p->n_fds && p->fd[fd].state == FD_CLOSED) ||
        (call != NONE && call_at(m, call)->ret == -9))
        return KYMO_OK;
    const uint32_t known = hash64_get(&m->known_by, (uint64_t)p->root << 32 | fd);
    if (known == NEVER)
        return KYMO_OK;
    if (known != NONE)
        *object = object_real(m, known);
    else if (fd < START_FDS_MAX)
        KYMO_TRY(start_fd(m, p, call, fd, object));
    else
        return KYMO_OK;
    KYMO_TRY(slot_at_fd(m, p, fd, &s));
    *s = (struct fd_slot){.object = *object, .state = FD_OPEN};
    if (proc != p->root)
        object_at(m, *object)->refs++;
    return KYMO_OK;
}

/* The kernel chose fd as the lowest that was free: what lies below was open. */
static kymo_status settle_below(struct maker *m, uint32_t proc, uint32_t fd)
{
    uint32_t object, filled = 0;
    for (uint32_t i = 0; i < fd && i < FILL_MAX && filled < 64; i++) {
        const struct proc *p = proc_at(m, proc);
        if (i < p->n_fds && p->fd[i].state != FD_UNKNOWN)
            continue;
        KYMO_TRY(fds_get(m, proc, NONE, i, &object));
        filled++;
    }
    return KYMO_OK;
}

static int seems_free(const struct maker *m, uint32_t proc, uint32_t fd, uint64_t ns,
                      const char *word)
{
    const struct proc *p = proc_at(m, proc), *root = proc_at(m, p->root);
    if (fd < p->n_fds && p->fd[fd].state != FD_UNKNOWN)
        return p->fd[fd].state == FD_CLOSED;
    const uint32_t known = hash64_get(&m->known_by, (uint64_t)p->root << 32 | fd);
    if (known != NONE && known != NEVER)
        return 0;
    const struct kymo_trace_fd *f = in_snapshot(m, root, fd);
    if (f)
        return f->ts_ns > ns && !strncmp(text_of(m, f->target), word, strlen(word));
    return root->n_snapshot || fd > 2;
}

static kymo_status put_pair(struct maker *m, uint32_t call, uint32_t a, uint32_t b, int cloexec)
{
    const uint32_t proc = proc_of_call(m, call);
    const char *const word = m->row[call]->op == OP_PIPE ? "pipe:" : "socket:";
    uint32_t *const low = &proc_at(m, proc)->low[m->row[call]->op == OP_PIPE];
    uint32_t fd[2] = {0}, n = 0;
    for (uint32_t i = *low; i < KYMO_FDS_MAX && n < 2; i++)
        if (seems_free(m, proc, i, call_at(m, call)->exit_ns, word))
            fd[n++] = i;
    *low = n ? fd[0] : KYMO_FDS_MAX;
    if (n < 2)
        return KYMO_OK;
    m->note[call].at = (uint64_t)fd[0] * ((uint64_t)1 << 32) + fd[1];
    KYMO_TRY(put(m, proc, call, fd[0], a, cloexec));
    return put(m, proc, call, fd[1], b, cloexec);
}

/* ---- what calls do ---- */

static uint64_t flags_of(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const char *const name = m->row[call]->name;
    static const struct {
        const char *name;
        int arg;
    } where[] = {{"open", 1},      {"openat", 2},        {"socket", 1},
                 {"accept4", 3},   {"pipe2", 1},         {"socketpair", 1},
                 {"dup3", 2},      {"eventfd2", 1},      {"timerfd_create", 1},
                 {"signalfd4", 3}, {"inotify_init1", 0}, {"epoll_create1", 0}};
    for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++)
        if (!strcmp(name, where[i].name))
            return c->arg[where[i].arg];
    if (!strcmp(name, "memfd_create"))
        return c->arg[1] & 1 ? O_CLOEXEC : 0;
    return !strcmp(name, "pidfd_open") ? O_CLOEXEC : 0;
}

static kymo_status made_fd(struct maker *m, uint32_t call, uint32_t object)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint64_t flags = flags_of(m, call);
    const uint32_t proc = proc_of_call(m, call);
    object_at(m, object)->nonblock = (flags & O_NONBLOCK) != 0;
    if (c->ret >= KYMO_FDS_MAX)
        return KYMO_OK;
    KYMO_TRY(settle_below(m, proc, (uint32_t)c->ret));
    if (m->row[call]->op != OP_ACCEPT)
        m->note[call].object = object;
    return put(m, proc, call, (uint32_t)c->ret, object, (flags & O_CLOEXEC) != 0);
}

static kymo_status do_open(struct maker *m, uint32_t call)
{
    const uint32_t inode = m->note[call].link;
    uint32_t object, *flow;
    const struct kymo_trace_call *c = call_at(m, call);
    const uint64_t flags = !strcmp(m->row[call]->name, "creat") ? O_WRONLY : flags_of(m, call);
    KYMO_TRY(object_new(m, O_FILE, call, &object));
    struct object *o = object_at(m, object);
    o->inode = inode;
    o->flags = (uint32_t)flags;
    if (inode != NONE && inode_at(m, inode)->kind == KYMO_NODE_FIFO) {
        o->kind = O_PIPE;
        o->side = (flags & O_ACCMODE) == O_WRONLY ? SIDE_WRITE : SIDE_READ;
        KYMO_TRY(hash64_at(m, &m->pipe_of, (uint64_t)inode << 32 | 1u << 31, &flow));
        uint32_t f = *flow;
        if (f == NONE) {
            KYMO_TRY(flow_new(m, NONE, NONE, &f));
            KYMO_TRY(hash64_at(m, &m->pipe_of, (uint64_t)inode << 32 | 1u << 31, &flow));
            *flow = f;
        }
        if (o->side == SIDE_WRITE)
            o->out = f;
        else
            o->in = f;
    }
    return c->ret >= 0 ? made_fd(m, call, object) : KYMO_OK;
}

static kymo_status do_make(struct maker *m, uint32_t call)
{
    uint32_t object;
    const struct kymo_trace_call *c = call_at(m, call);
    const enum object_kind kind = (enum object_kind)m->row[call]->arg;
    if (kind == O_SIGNAL && (int32_t)c->arg[0] >= 0)
        return KYMO_OK; /* a new mask for an old one */
    KYMO_TRY(object_new(m, kind, call, &object));
    if (kind == O_FILE) /* memfd */
        KYMO_TRY(tree_start_file(m, object, ""));
    if (kind == O_EVENT) {
        uint32_t flow;
        KYMO_TRY(flow_new(m, object, object, &flow));
        object_at(m, object)->in = object_at(m, object)->out = flow;
        flow_at(m, flow)->by_message = 2;
    }
    return made_fd(m, call, object);
}

static kymo_status do_pipe(struct maker *m, uint32_t call)
{
    uint32_t a, b;
    const uint64_t flags = flags_of(m, call);
    KYMO_TRY(object_new(m, O_PIPE, call, &a));
    KYMO_TRY(object_new(m, O_PIPE, call, &b));
    object_at(m, a)->side = SIDE_READ;
    object_at(m, b)->side = SIDE_WRITE;
    object_at(m, a)->pair = b;
    object_at(m, b)->pair = a;
    object_at(m, a)->nonblock = object_at(m, b)->nonblock = (flags & O_NONBLOCK) != 0;
    KYMO_TRY(flow_between(m, b, a));
    m->note[call].object = a;
    m->note[call].object2 = b;
    return put_pair(m, call, a, b, (flags & O_CLOEXEC) != 0);
}

static kymo_status do_socketpair(struct maker *m, uint32_t call)
{
    uint32_t a, b;
    const struct kymo_trace_call *c = call_at(m, call);
    const uint64_t type = c->arg[1];
    KYMO_TRY(object_new(m, O_STREAM, call, &a));
    KYMO_TRY(object_new(m, O_STREAM, call, &b));
    for (int i = 0; i < 2; i++) {
        struct object *o = object_at(m, i ? b : a);
        o->family = AF_UNIX;
        o->type = (uint32_t)type & 15;
        o->nonblock = (type & SOCK_NONBLOCK) != 0;
    }
    KYMO_TRY(object_pair(m, a, b));
    for (int i = 0; i < 2; i++)
        flow_at(m, i ? object_at(m, a)->in : object_at(m, a)->out)->by_message =
            (type & 15) != SOCK_STREAM;
    m->note[call].object = a;
    m->note[call].object2 = b;
    return put_pair(m, call, a, b, (type & SOCK_CLOEXEC) != 0);
}

static kymo_status do_dup(struct maker *m, uint32_t call, uint32_t object, int cloexec)
{
    const struct kymo_trace_call *c = call_at(m, call);
    if (object == NONE || c->ret == (int64_t)(uint32_t)c->arg[0])
        return KYMO_OK;
    if (m->row[call]->op == OP_DUP && !m->row[call]->arg && c->ret < KYMO_FDS_MAX)
        KYMO_TRY(settle_below(m, proc_of_call(m, call), (uint32_t)c->ret));
    return put(m, proc_of_call(m, call), call, (uint32_t)c->ret, object, cloexec);
}

static void set_cloexec(struct maker *m, uint32_t proc, uint32_t first, uint32_t last, int on)
{
    const struct proc *p = proc_at(m, proc);
    for (uint32_t i = first; i <= last && i < p->n_fds; i++)
        p->fd[i].cloexec = on != 0;
}

static kymo_status do_fcntl(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint32_t object = m->note[call].object, fd = (uint32_t)c->arg[0];
    switch (c->arg[1]) {
    case F_DUPFD:
    case DUPFD_CLOEXEC:
        return do_dup(m, call, object, c->arg[1] == DUPFD_CLOEXEC);
    case F_SETFD:
        set_cloexec(m, proc_of_call(m, call), fd, fd, (c->arg[2] & FD_CLOEXEC) != 0);
        return KYMO_OK;
    case F_SETFL:
        if (object != NONE) {
            object_at(m, object)->nonblock = (c->arg[2] & O_NONBLOCK) != 0;
            object_at(m, object)->flags =
                (object_at(m, object)->flags & ~(uint32_t)O_APPEND) | (c->arg[2] & O_APPEND);
        }
        return KYMO_OK;
    default:
        return KYMO_OK;
    }
}

static kymo_status do_close_range(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint32_t proc = proc_of_call(m, call), first = (uint32_t)c->arg[0];
    const uint32_t last = (uint32_t)c->arg[1];
    if (c->arg[2] & 4) {
        set_cloexec(m, proc, first, last, 1);
        return KYMO_OK;
    }
    /* what is not known of and would be closed is not made up later */
    for (uint32_t i = first; i <= last && i < 4096; i++) {
        struct fd_slot *s = NULL;
        KYMO_TRY(slot_at_fd(m, proc_at(m, proc), i, &s));
        if (s->state == FD_UNKNOWN)
            s->state = FD_CLOSED;
    }
    freed(proc_at(m, proc), first);
    for (uint32_t i = first; i <= last && i < proc_at(m, proc)->n_fds; i++)
        KYMO_TRY(shut(m, call, proc_at(m, proc), i));
    return KYMO_OK;
}

static kymo_status do_exec(struct maker *m, uint32_t call)
{
    const uint32_t proc = proc_of_call(m, call);
    memory_exec(m, proc);
    for (uint32_t i = 0; i < proc_at(m, proc)->n_fds; i++)
        if (proc_at(m, proc)->fd[i].state == FD_OPEN && proc_at(m, proc)->fd[i].cloexec)
            KYMO_TRY(shut(m, call, proc_at(m, proc), i));
    return KYMO_OK;
}

static kymo_status do_exit(struct maker *m, uint32_t call)
{
    struct proc *p = proc_at(m, proc_of_call(m, call));
    if ((!m->row[call]->arg && p->n_actors > 1) || p->has_left)
        return KYMO_OK;
    p->has_left = 1;
    for (uint32_t i = 0; i < p->n_fds; i++)
        KYMO_TRY(shut(m, call, p, i));
    return KYMO_OK;
}

static kymo_status do_fork(struct maker *m, uint32_t call)
{
    if (m->note[call].how != KYMO_HOW_FORK)
        return KYMO_OK;
    const uint32_t child = actor_at(m, m->note[call].link)->proc;
    const uint32_t parent = proc_of_call(m, call);
    struct proc *p = proc_at(m, parent), *c = proc_at(m, child);
    struct fd_slot *s = NULL;
    if (p->n_fds) {
        KYMO_TRY(slot_at_fd(m, c, p->n_fds - 1, &s));
        memcpy(c->fd, p->fd, p->n_fds * sizeof(*p->fd));
    }
    for (uint32_t i = 0; i < c->n_fds; i++)
        if (c->fd[i].state == FD_OPEN)
            object_at(m, object_real(m, c->fd[i].object))->refs++;
    c->next_child = p->first_child;
    p->first_child = child;
    memcpy(c->low, p->low, sizeof(c->low));
    c->cwd = p->cwd;
    c->umask = p->umask;
    c->signals = c->signals ? c->signals : p->signals;
    return memory_fork(m, parent, child);
}

/* ---- the walk ---- */

static kymo_status look_up(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct note *n = &m->note[call];
    const char *const how = m->row[call]->how;
    const uint32_t proc = proc_of_call(m, call);
    uint32_t *to = &n->object;
    for (int i = 0; i < 6 && how[i]; i++) {
        if (how[i] != 'F' && how[i] != 'D')
            continue;
        if (how[i] == 'F' || (int32_t)c->arg[i] != AT_FDCWD)
            KYMO_TRY(fds_get(m, proc, call, c->arg[i], to));
        if (to == &n->object2)
            break;
        to = &n->object2;
    }
    if (m->row[call]->op == OP_MMAP && !(c->arg[3] & MAP_ANONYMOUS))
        KYMO_TRY(fds_get(m, proc, call, c->arg[4], &n->object));
    return KYMO_OK;
}

static kymo_status sides(struct maker *m, uint32_t call)
{
    struct note *n = &m->note[call];
    const uint8_t op = m->row[call]->op;
    if (op == OP_READ && n->object != NONE)
        return take_side(m, &n->object, SIDE_READ);
    if (op == OP_WRITE && n->object != NONE)
        return take_side(m, &n->object, SIDE_WRITE);
    if (op == OP_MOVE) {
        const int to_first = m->row[call]->arg == 1;
        if (n->object != NONE)
            KYMO_TRY(take_side(m, &n->object, to_first ? SIDE_WRITE : SIDE_READ));
        if (n->object2 != NONE)
            KYMO_TRY(take_side(m, &n->object2, to_first ? SIDE_READ : SIDE_WRITE));
    }
    return KYMO_OK;
}

/* What was open before the slice and finds nothing without waiting was told never to wait. */
static void learn_nonblock(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct object *o = object_at(m, m->note[call].object);
    const char *const name = m->row[call]->name;
    const uint64_t flags = !strcmp(name, "recvfrom")  ? c->arg[3]
                           : !strcmp(name, "recvmsg") ? c->arg[2]
                                                      : 0;
    if (o->is_start && o->kind != O_FILE && c->ret == -11 && !(flags & MSG_DONTWAIT))
        o->nonblock = 1;
}

kymo_status fds_enter(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint8_t op = m->row[call]->op;
    KYMO_TRY(look_up(m, call));
    KYMO_TRY(sides(m, call));
    if (m->note[call].object != NONE)
        learn_nonblock(m, call);
    if (m->note[call].object != NONE)
        m->note[call].nonblock = object_at(m, m->note[call].object)->nonblock;
    if (op == OP_CLOSE && c->ret != -9 && (uint32_t)c->arg[0] < KYMO_FDS_MAX)
        return shut(m, call, proc_at(m, proc_of_call(m, call)), (uint32_t)c->arg[0]);
    if (op == OP_CLOSE_RANGE && is_ok(c))
        return do_close_range(m, call);
    if (op == OP_EXIT)
        return do_exit(m, call);
    return op == OP_FORK && is_ok(c) ? do_fork(m, call) : KYMO_OK;
}

static kymo_status use_objects(struct maker *m, uint32_t call)
{
    const struct note *n = &m->note[call];
    const uint8_t op = m->row[call]->op;
    for (int i = 0; i < 2; i++) {
        const uint32_t object = i ? n->object2 : n->object;
        if (object == NONE || op == OP_CLOSE)
            continue;
        const struct object *o = object_at(m, object);
        if (o->made_by == call)
            continue;
        const int moves = o->kind == O_FILE && !(m->row[call]->flags & ROW_PLACED) &&
                          (op == OP_READ || op == OP_WRITE || op == OP_SEEK || op == OP_LIST ||
                           op == OP_MOVE);
        KYMO_TRY(use_add(m, call, o->resource,
                         moves || (op == OP_ACCEPT && is_ok(call_at(m, call))) ||
                             op == OP_CONNECT || op == OP_BIND || op == OP_LISTEN ||
                             op == OP_SHUTDOWN || op == OP_EPOLL_CTL));
    }
    return KYMO_OK;
}

kymo_status fds_exit(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct lower_row *row = m->row[call];
    KYMO_TRY(use_objects(m, call));
    if (!is_ok(c) || c->ret < 0)
        return KYMO_OK;
    switch (row->op) {
    case OP_OPEN:
        return do_open(m, call);
    case OP_MAKE:
        return do_make(m, call);
    case OP_PIPE:
        return do_pipe(m, call);
    case OP_PAIR:
        return do_socketpair(m, call);
    case OP_DUP:
        return do_dup(m, call, m->note[call].object,
                      !strcmp(row->name, "dup3") && c->arg[2] & O_CLOEXEC);
    case OP_FCNTL:
        return do_fcntl(m, call);
    case OP_EXEC:
        return do_exec(m, call);
    case OP_SOCKET: {
        uint32_t object;
        KYMO_TRY(object_new(m, O_SOCKET, call, &object));
        object_at(m, object)->family = (uint16_t)c->arg[0];
        object_at(m, object)->type = (uint32_t)c->arg[1] & 15;
        return made_fd(m, call, object);
    }
    case OP_ACCEPT:
        KYMO_TRY(connect_accepts(m, call));
        return m->note[call].object2 == NONE ? KYMO_OK
                                             : made_fd(m, call, m->note[call].object2);
    default:
        break;
    }
    if (!strcmp(row->name, "ioctl") && m->note[call].object != NONE) {
        if ((uint32_t)c->arg[1] == FIONBIO_NR)
            object_at(m, m->note[call].object)->nonblock = 1;
        if ((uint32_t)c->arg[1] == FIOCLEX_NR)
            set_cloexec(m, proc_of_call(m, call), (uint32_t)c->arg[0], (uint32_t)c->arg[0], 1);
    }
    return KYMO_OK;
}

kymo_status fds_begin(struct maker *m)
{
    const struct kymo_trace *t = m->t;
    KYMO_TRY(object_new(m, O_OTHER, NONE, &m->null_object));
    for (size_t i = 0; i < t->n_fds;) {
        size_t n = 1;
        while (i + n < t->n_fds && t->fd[i + n].ts_ns == t->fd[i].ts_ns &&
               t->fd[i + n].process == t->fd[i].process)
            n++;
        const uint32_t proc = m->proc_of[t->fd[i].process];
        if (proc != NONE && !proc_at(m, proc)->n_snapshot) {
            proc_at(m, proc)->snapshot = (uint32_t)i;
            proc_at(m, proc)->n_snapshot = (uint32_t)n;
            proc_at(m, proc)->snapshot_ns = t->fd[i].ts_ns;
        }
        i += n;
    }
    return connect_begin(m);
}
