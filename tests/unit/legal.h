/* SPDX-License-Identifier: Apache-2.0
 * legal.h: walks a generated capture with books of its own on who has what open, and counts the calls that could
 * not have been made: on a descriptor that is not there or of another sort, for a child that there is not, by a
 * thread that is gone.
 */
#ifndef KYMO_TESTS_LEGAL_H
#define KYMO_TESTS_LEGAL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/model/fdcall.h"
#include "format/trace/reader.h"
#include "format/trace/sysname.h"

#define LEGAL_PIDS 65536u
#define LEGAL_FDS 4200
enum {
    L_FREE = 0,
    L_FILE = 'f',
    L_SOCKET = 's',
    L_LINE = 'c',
    L_LISTEN = 'l',
    L_EPOLL = 'e',
    L_OTHER = 'o'
};

struct legal_process {
    int lives, was;
    uint64_t pid, ppid;
    char fd[LEGAL_FDS], watched[LEGAL_FDS], cloexec[LEGAL_FDS];
};
struct legal_thread {
    uint64_t tid, last_ns;
    int is_gone;
};
struct legal_event {
    uint64_t ts, no, pid, tid, ppid;
    char kind; /* f e x s(napshot) o(pen) */
    int64_t fd;
    char sort;
};

struct legal {
    struct legal_process *process[LEGAL_PIDS];
    struct legal_thread thread[LEGAL_PIDS];
    struct legal_event *event;
    size_t n_events, cap_events, at;
    uint64_t calls, illegal, order, waited;
    int begun; /* later snapshots repeat what is known */
    char first[200];
};

static inline void legal_fail(struct legal *l, const char *name, uint64_t tid, const char *why,
                              int64_t fd)
{
    if (!l->illegal++)
        snprintf(l->first, sizeof(l->first), "call %llu: %s of %llu: %s (%lld)",
                 (unsigned long long)l->calls, name, (unsigned long long)tid, why,
                 (long long)fd);
}

static inline struct legal_process *legal_of(struct legal *l, uint64_t pid)
{
    struct legal_process **p = &l->process[pid % LEGAL_PIDS];
    if (!*p)
        *p = calloc(1, sizeof(**p));
    if ((*p)->pid != pid) {
        memset(*p, 0, sizeof(**p));
        (*p)->pid = pid;
    }
    return *p;
}

static inline uint64_t legal_cell(const struct kymo_batch *b, int c, uint32_t i)
{
    return kymo_batch_present(b, (uint32_t)c, i) ? kymo_batch_u64(b, (uint32_t)c, i) : 0;
}

static inline void legal_push(struct legal *l, struct legal_event e)
{
    if (l->n_events == l->cap_events) {
        l->cap_events = l->cap_events ? l->cap_events * 2 : 256;
        l->event = realloc(l->event, l->cap_events * sizeof(*l->event));
    }
    e.no = l->n_events;
    l->event[l->n_events++] = e;
}

static inline char legal_sort(const char *target, uint32_t n, int peer, int local)
{
    if (n && target[0] == '/')
        return L_FILE;
    if (n > 7 && memcmp(target, "socket:", 7) == 0)
        return peer ? L_LINE : local ? L_LISTEN : L_SOCKET;
    return n >= 22 && memcmp(target, "anon_inode:[eventpoll]", 22) == 0 ? L_EPOLL : L_OTHER;
}

static inline void legal_beside(struct legal *l, const struct kymo_batch *b)
{
    const int is_fd = strcmp(b->schema->table, "fd") == 0;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct legal_event e = {.ts = legal_cell(b, 0, i)};
        uint32_t n, local, peer;
        if (is_fd) {
            const char *s = kymo_batch_str(b, KYMO_FD_TARGET, i, &n);
            kymo_batch_str(b, KYMO_FD_LOCAL, i, &local);
            kymo_batch_str(b, KYMO_FD_PEER, i, &peer);
            e.kind = 'o';
            e.pid = legal_cell(b, KYMO_FD_PID, i);
            e.fd = (int64_t)legal_cell(b, KYMO_FD_FD, i);
            e.sort = legal_sort(s, n, peer > 0, local > 0);
        } else {
            const char *s = kymo_batch_str(b, KYMO_PROCESS_KIND, i, &n);
            e.kind = n == 4 && memcmp(s, "exit", 4) == 0   ? 'x'
                     : n == 4 && memcmp(s, "exec", 4) == 0 ? 'e'
                     : n == 4 && memcmp(s, "fork", 4) == 0 ? 'f'
                                                           : 's';
            e.pid = legal_cell(b, KYMO_PROCESS_PID, i);
            e.tid = legal_cell(b, KYMO_PROCESS_TID, i);
            e.ppid = legal_cell(b, KYMO_PROCESS_PPID, i);
        }
        legal_push(l, e);
    }
}

static inline void legal_apply(struct legal *l, const struct legal_event *e)
{
    struct legal_process *p = legal_of(l, e->pid);
    if (e->kind == 'o' && !l->begun) {
        p->fd[e->fd] = e->sort;
        p->watched[e->fd] = '?';
    } else if (e->kind == 's') {
        p->lives = 1;
    } else if (e->kind == 'f' && e->pid != e->tid) {
        l->thread[e->tid % LEGAL_PIDS] = (struct legal_thread){.tid = e->tid};
    } else if (e->kind == 'f') {
        const struct legal_process *from = legal_of(l, e->ppid);
        if (!from->lives)
            legal_fail(l, "fork", e->pid, "the parent is not there", (int64_t)e->ppid);
        *p = *from;
        p->pid = e->pid;
        p->ppid = e->ppid;
        p->lives = 1;
        l->thread[e->pid % LEGAL_PIDS] = (struct legal_thread){.tid = e->pid};
    } else if (e->kind == 'e') {
        for (int fd = 0; fd < LEGAL_FDS; fd++)
            if (p->cloexec[fd])
                p->fd[fd] = p->cloexec[fd] = 0;
    } else if (e->kind == 'x' && e->pid == e->tid) {
        p->lives = 0;
        p->was = 1;
    }
}

/* A call in terms of what it needs. */
struct legal_call {
    const char *name;
    const struct kymo_fd_callinfo *info;
    uint64_t tid, arg[6];
    int64_t ret;
    int has_ret, is_child, has_path;
};

static inline int64_t legal_lowest(const struct legal_process *p)
{
    int64_t fd = 0;
    while (fd < LEGAL_FDS && p->fd[fd])
        fd++;
    return fd;
}

static inline void legal_open(struct legal *l, struct legal_process *p,
                              const struct legal_call *c, int64_t fd, char sort, int cloexec)
{
    if (fd < 0 || fd >= LEGAL_FDS || p->fd[fd]) {
        legal_fail(l, c->name, c->tid, "its result is open already", fd);
        return;
    }
    p->fd[fd] = sort;
    p->watched[fd] = 0;
    p->cloexec[fd] = cloexec != 0;
}

static inline void legal_wait(struct legal *l, struct legal_process *p,
                              const struct legal_call *c)
{
    if (!c->has_ret || c->ret <= 0)
        return;
    struct legal_process *child = legal_of(l, (uint64_t)c->ret);
    if (child->lives || !child->was || child->ppid != p->pid)
        legal_fail(l, c->name, c->tid, "no child of that number has ended", c->ret);
    child->was = 0;
    l->waited++;
}

static inline void legal_watch(struct legal *l, struct legal_process *p,
                               const struct legal_call *c)
{
    const int64_t fd = (int64_t)(int32_t)c->arg[2];
    if (!c->has_ret || c->ret)
        return;
    if (fd < 0 || fd >= LEGAL_FDS || !p->fd[fd]) {
        legal_fail(l, c->name, c->tid, "what it watches is not open", fd);
        return;
    }
    char *w = &p->watched[fd];
    if (*w != '?' && (c->arg[1] == 1) == (*w == 'w'))
        legal_fail(l, c->name, c->tid, "it is watched already, or not", fd);
    *w = c->arg[1] == 2 ? 0 : 'w';
}

/* Does the descriptor's sort allow the call? */
static inline int legal_allows(const struct legal_call *c, char sort)
{
    const int fails = c->has_ret && c->ret < 0 && c->ret >= -4095;
    if (c->info->op == KYMO_FD_ACCEPTS)
        return sort == L_LISTEN;
    if (c->info->op == KYMO_FD_CONNECTS)
        return sort == L_SOCKET || (fails && sort == L_LINE) || sort == L_OTHER;
    if (strncmp(c->name, "epoll_", 6) == 0)
        return sort == L_EPOLL;
    if (strcmp(c->name, "recvfrom") == 0 || strcmp(c->name, "sendto") == 0)
        return fails || sort == L_LINE || sort == L_SOCKET || sort == L_OTHER;
    return 1;
}

static inline void legal_effect(struct legal *l, struct legal_process *p,
                                const struct legal_call *c, int64_t fd)
{
    const int ok = c->has_ret && (c->ret >= 0 || c->ret < -4095);
    const int flags = c->info->flags;
    const int cloexec = flags >= 0 && (c->arg[flags] & c->info->cloexec);
    const char *makes = c->info->makes ? c->info->makes : "";
    if (c->info->op == KYMO_FD_CONNECTS && (ok || c->ret == -115)) {
        p->fd[fd] = p->fd[fd] == L_SOCKET ? L_LINE : p->fd[fd];
    } else if (!ok) {
        return;
    } else if (c->info->op == KYMO_FD_OPENS) {
        legal_open(l, p, c, c->ret, L_FILE, cloexec);
    } else if (c->info->op == KYMO_FD_MAKES) {
        const char sort = strcmp(makes, "[socket]") == 0
                              ? (c->arg[1] & 15) == 1 ? L_SOCKET : L_OTHER
                          : strcmp(makes, "[epoll]") == 0 ? L_EPOLL
                                                          : L_OTHER;
        legal_open(l, p, c, c->ret, sort, cloexec);
    } else if (c->info->op == KYMO_FD_PIPES) {
        for (int end = 0; end < 2; end++)
            legal_open(l, p, c, legal_lowest(p), L_OTHER, cloexec);
    } else if (c->info->op == KYMO_FD_ACCEPTS) {
        legal_open(l, p, c, c->ret, L_LINE, cloexec);
    } else if (c->info->op == KYMO_FD_CLOSES) {
        p->fd[fd] = p->cloexec[fd] = 0;
    } else if (c->info->op == KYMO_FD_DUPS && c->ret != fd) {
        if (strcmp(c->name, "dup") != 0)
            p->fd[c->ret] = 0;
        legal_open(l, p, c, c->ret, p->fd[fd], cloexec);
    } else if (c->info->op == KYMO_FD_FCNTL && (c->arg[1] == 0 || c->arg[1] == 1030)) {
        legal_open(l, p, c, c->ret, p->fd[fd], c->arg[1] == 1030);
    } else if (strcmp(c->name, "listen") == 0) {
        p->fd[fd] = L_LISTEN;
    } else if (strcmp(c->name, "epoll_ctl") == 0) {
        legal_watch(l, p, c);
    }
}

static inline void legal_do(struct legal *l, struct legal_process *p,
                            const struct legal_call *c)
{
    int64_t fd = c->info && c->info->fd >= 0 ? (int64_t)(int32_t)c->arg[c->info->fd] : -1;
    if (c->info && c->has_path && c->info->dir >= 0)
        fd = -1;
    if (c->info && c->info->op == KYMO_FD_MAPS && (c->arg[3] & 0x20))
        fd = -1;
    if (c->has_ret && c->ret == -9) {
        if (fd >= 0 && fd < LEGAL_FDS && p->fd[fd])
            legal_fail(l, c->name, c->tid, "EBADF on what is open", fd);
        return;
    }
    if (fd >= 0 && (fd >= LEGAL_FDS || !p->fd[fd])) {
        legal_fail(l, c->name, c->tid, "on what is not open", fd);
        return;
    }
    if (fd >= 0 && !legal_allows(c, p->fd[fd]))
        legal_fail(l, c->name, c->tid, "on another sort of descriptor", p->fd[fd]);
    if (c->info)
        legal_effect(l, p, c, fd);
    if (strcmp(c->name, "wait4") == 0)
        legal_wait(l, p, c);
}

/* By time; of equal times, as they came. */
static inline int legal_before(const void *a, const void *b)
{
    const struct legal_event *x = a, *y = b;
    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    return x->no < y->no ? -1 : 1;
}

static inline void legal_calls(struct legal *l, const struct kymo_batch *b)
{
    if (l->n_events > l->at)
        qsort(l->event + l->at, l->n_events - l->at, sizeof(*l->event), legal_before);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const uint64_t ts = b->lane[0][i], flags = legal_cell(b, KYMO_SYSCALL_FLAGS, i);
        const uint64_t dur = legal_cell(b, KYMO_SYSCALL_DUR, i);
        const struct kymo_sysinfo *info =
            kymo_sysinfo((uint32_t)b->lane[KYMO_SYSCALL_ARCH][b->key[i]],
                         (uint32_t)b->lane[KYMO_SYSCALL_NR][b->key[i]]);
        struct legal_call c = {.name = info ? info->name : "?",
                               .tid = b->lane[KYMO_SYSCALL_TID][b->task[i]],
                               .ret = (int64_t)legal_cell(b, KYMO_SYSCALL_RET, i),
                               .has_ret = kymo_batch_present(b, KYMO_SYSCALL_RET, i),
                               .is_child = (flags & KYMO_CALL_CHILD) != 0,
                               .has_path = legal_cell(b, KYMO_SYSCALL_PATH, i) != 0};
        c.info = kymo_fd_callinfo(c.name);
        for (uint32_t a = 0; a < 6; a++)
            c.arg[a] = legal_cell(b, KYMO_SYSCALL_ARG0 + (int)a, i);
        while (l->at < l->n_events && l->event[l->at].ts <= ts)
            legal_apply(l, &l->event[l->at++]);
        l->begun = 1;
        l->calls++;
        struct legal_process *p = legal_of(l, b->lane[KYMO_SYSCALL_PID][b->task[i]]);
        struct legal_thread *t = &l->thread[c.tid % LEGAL_PIDS];
        if (!p->lives && c.info == NULL && strncmp(c.name, "exit", 4) != 0)
            legal_fail(l, c.name, c.tid, "its process is not there", -1);
        if (t->tid == c.tid && (t->is_gone || ts - dur < t->last_ns))
            legal_fail(l, c.name, c.tid, t->is_gone ? "it has ended" : "it began too early",
                       -1);
        *t = (struct legal_thread){c.tid, ts, strncmp(c.name, "exit", 4) == 0};
        legal_do(l, p, &c);
    }
}

/* NULL: it cannot be read. free() it after legal_release(). */
static inline struct legal *legal_walk(const char *path)
{
    struct legal *l = calloc(1, sizeof(*l));
    const struct kymo_batch *b;
    kymo_reader *r = NULL;
    uint64_t last = 0;
    if (!l || kymo_reader_open(&r, path, 0, NULL))
        return NULL;
    while (kymo_reader_next(r, &b, NULL) == KYMO_OK && b) {
        if (strcmp(b->schema->table, "process") == 0 || strcmp(b->schema->table, "fd") == 0) {
            legal_beside(l, b);
        } else if (strcmp(b->schema->table, "syscall") == 0) {
            for (uint32_t i = 0; i < b->n_rows; i++) {
                l->order += b->lane[0][i] < last;
                last = b->lane[0][i];
            }
            legal_calls(l, b);
        }
    }
    kymo_reader_close(r);
    return l;
}

static inline void legal_release(struct legal *l)
{
    for (size_t i = 0; i < LEGAL_PIDS; i++)
        free(l->process[i]);
    free(l->event);
    free(l);
}

#endif
