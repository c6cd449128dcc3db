/* SPDX-License-Identifier: Apache-2.0
 * fdset.c: processes by pid, in the order of their last call, so that the oldest is forgotten when
 * memory runs out. Names are counted by reference: dup and fork copy a pointer.
 */
#include "format/model/fdset.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 4096u
#define FDS_MIN 16

enum fd_state {
    FD_UNSEEN, /* nothing was heard of it */
    FD_FREE,
    FD_OPEN, /* on its name, or on something unknown */
};

struct fd {
    struct kymo_fdname *name;
    uint8_t state, cloexec;
    uint8_t told; /* by a snapshot, not by a call */
};

struct files {
    uint32_t refs; /* processes that share it */
    int n;
    int full;      /* all below are open */
    struct fd *fd; /* [n], those above are unseen */
};

struct kymo_fdproc {
    uint64_t pid, start_ns;
    struct files *files;
    struct kymo_fdname *cwd;
    struct kymo_fdproc *next;          /* of the slot */
    struct kymo_fdproc *older, *newer; /* by last use */
};

struct kymo_fdset {
    size_t bytes, cap_bytes;
    uint64_t serial, forgotten;
    struct kymo_fdproc *slot[SLOTS];
    struct kymo_fdproc *oldest, *newest;
};

/* -------- memory -------- */

static void *take(struct kymo_fdset *s, size_t bytes)
{
    void *p = calloc(1, bytes);
    s->bytes += p ? bytes : 0;
    return p;
}

static void give(struct kymo_fdset *s, void *p, size_t bytes)
{
    s->bytes -= p ? bytes : 0;
    free(p);
}

void kymo_fdname_drop(struct kymo_fdset *s, struct kymo_fdname *name)
{
    if (name && !--name->refs)
        give(s, name, sizeof(*name) + name->n + 1);
}

static struct kymo_fdname *hold(struct kymo_fdname *name)
{
    if (name)
        name->refs++;
    return name;
}

struct kymo_fdname *kymo_fdset_name(struct kymo_fdset *s, enum kymo_fd_kind kind,
                                    const char *text, size_t n)
{
    struct kymo_fdname *name = n <= KYMO_FD_TEXT_MAX ? take(s, sizeof(*name) + n + 1) : NULL;
    if (!name)
        return NULL;
    name->refs = 1;
    name->n = (uint32_t)n;
    name->serial = ++s->serial;
    name->kind = kind;
    memcpy(name->text, text, n);
    return name;
}

static void drop_files(struct kymo_fdset *s, struct files *f)
{
    if (!f || --f->refs)
        return;
    for (int i = 0; i < f->n; i++)
        kymo_fdname_drop(s, f->fd[i].name);
    give(s, f->fd, (size_t)f->n * sizeof(*f->fd));
    give(s, f, sizeof(*f));
}

static struct files *new_files(struct kymo_fdset *s)
{
    struct files *f = take(s, sizeof(*f));
    if (f)
        f->refs = 1;
    return f;
}

static struct files *copy_files(struct kymo_fdset *s, const struct files *from)
{
    struct files *f = new_files(s);
    if (!f || !from->n)
        return f;
    f->fd = take(s, (size_t)from->n * sizeof(*f->fd));
    if (!f->fd)
        return f;
    f->n = from->n;
    f->full = from->full;
    memcpy(f->fd, from->fd, (size_t)f->n * sizeof(*f->fd));
    for (int i = 0; i < f->n; i++)
        hold(f->fd[i].name);
    return f;
}

/* -------- processes -------- */

kymo_status kymo_fdset_open(struct kymo_fdset **out, size_t cap_bytes, struct kymo_err *err)
{
    struct kymo_fdset *s = calloc(1, sizeof(*s));
    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for descriptors");
    s->cap_bytes = cap_bytes;
    *out = s;
    return KYMO_OK;
}

static struct kymo_fdproc **place(struct kymo_fdset *s, uint64_t pid)
{
    struct kymo_fdproc **at = &s->slot[(pid ^ pid >> 12) % SLOTS];
    while (*at && (*at)->pid != pid)
        at = &(*at)->next;
    return at;
}

static void unlink_age(struct kymo_fdset *s, struct kymo_fdproc *p)
{
    *(p->older ? &p->older->newer : &s->oldest) = p->newer;
    *(p->newer ? &p->newer->older : &s->newest) = p->older;
    p->older = p->newer = NULL;
}

static void link_newest(struct kymo_fdset *s, struct kymo_fdproc *p)
{
    p->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = p;
    s->newest = p;
}

static void forget(struct kymo_fdset *s, struct kymo_fdproc *p)
{
    *place(s, p->pid) = p->next;
    unlink_age(s, p);
    drop_files(s, p->files);
    kymo_fdname_drop(s, p->cwd);
    give(s, p, sizeof(*p));
}

void kymo_fdset_close(struct kymo_fdset *s)
{
    if (!s)
        return;
    while (s->oldest)
        forget(s, s->oldest);
    free(s);
}

uint64_t kymo_fdset_forgotten(const struct kymo_fdset *s)
{
    return s->forgotten;
}

struct kymo_fdproc *kymo_fdset_known(struct kymo_fdset *s, uint64_t pid)
{
    return *place(s, pid);
}

static struct kymo_fdproc *add_process(struct kymo_fdset *s, uint64_t pid, uint64_t start_ns,
                                       struct files *files)
{
    struct kymo_fdproc *p = files ? take(s, sizeof(*p)) : NULL;
    if (!p) {
        drop_files(s, files);
        return NULL;
    }
    p->pid = pid;
    p->start_ns = start_ns;
    p->files = files;
    *place(s, pid) = p;
    link_newest(s, p);
    return p;
}

/* The newest stays, whatever it takes. */
static void keep_cap(struct kymo_fdset *s)
{
    while (s->bytes > s->cap_bytes && s->oldest != s->newest) {
        forget(s, s->oldest);
        s->forgotten++;
    }
    if (s->bytes > s->cap_bytes && s->newest) {
        struct files *fresh = new_files(s);
        if (!fresh)
            return;
        drop_files(s, s->newest->files);
        s->newest->files = fresh;
        s->forgotten++;
    }
}

struct kymo_fdproc *kymo_fdset_process(struct kymo_fdset *s, uint64_t pid, uint64_t start_ns)
{
    struct kymo_fdproc *p = kymo_fdset_known(s, pid);
    if (p && p->start_ns == KYMO_FD_ANY_START)
        p->start_ns = start_ns;
    if (p && p->start_ns == start_ns) {
        if (p != s->newest) {
            unlink_age(s, p);
            link_newest(s, p);
        }
        keep_cap(s);
        return p;
    }
    if (p)
        forget(s, p);
    p = add_process(s, pid, start_ns, new_files(s));
    keep_cap(s);
    return p;
}

void kymo_fdset_fork(struct kymo_fdset *s, uint64_t parent_pid, uint64_t pid, uint64_t start_ns)
{
    const struct kymo_fdproc *parent = kymo_fdset_known(s, parent_pid);
    struct kymo_fdproc *child = kymo_fdset_known(s, pid);
    if (!parent || parent_pid == pid)
        return;
    if (child)
        forget(s, child);
    child = add_process(s, pid, start_ns, copy_files(s, parent->files));
    if (child)
        child->cwd = hold(parent->cwd);
    keep_cap(s);
}

void kymo_fdset_share(struct kymo_fdset *s, uint64_t parent_pid, uint64_t pid)
{
    const struct kymo_fdproc *parent = kymo_fdset_known(s, parent_pid);
    struct kymo_fdproc *child = kymo_fdset_known(s, pid);
    if (!parent || !child || parent->files == child->files)
        return;
    drop_files(s, child->files);
    child->files = parent->files;
    child->files->refs++;
}

void kymo_fdset_exit(struct kymo_fdset *s, uint64_t pid, uint64_t start_ns)
{
    struct kymo_fdproc *p = kymo_fdset_known(s, pid);
    if (p && p->start_ns == start_ns)
        forget(s, p);
}

void kymo_fdset_unshare(struct kymo_fdset *s, struct kymo_fdproc *p)
{
    if (p->files->refs == 1)
        return;
    struct files *own = copy_files(s, p->files);
    if (!own)
        return;
    drop_files(s, p->files);
    p->files = own;
}

/* -------- descriptors -------- */

static void set_fd(struct kymo_fdset *s, struct fd *fd, enum fd_state state,
                   struct kymo_fdname *name, int cloexec)
{
    struct kymo_fdname *const before = fd->name;
    fd->name = hold(name);
    fd->state = (uint8_t)state;
    fd->cloexec = cloexec != 0;
    fd->told = 0;
    kymo_fdname_drop(s, before);
}

void kymo_fdset_exec(struct kymo_fdset *s, struct kymo_fdproc *p)
{
    kymo_fdset_unshare(s, p);
    p->files->full = 0;
    for (int i = 0; i < p->files->n; i++)
        if (p->files->fd[i].cloexec)
            set_fd(s, &p->files->fd[i], FD_FREE, NULL, 0);
}

/* The entries up to fd; NULL when it is none, or out of memory. */
static struct fd *room(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd)
{
    struct files *f = p->files;
    if (fd < 0 || fd >= KYMO_FD_MAX)
        return NULL;
    if (fd < f->n)
        return &f->fd[fd];
    int n = f->n ? f->n : FDS_MIN;
    while (n <= fd)
        n *= 2;
    struct fd *more = take(s, (size_t)n * sizeof(*more));
    if (!more)
        return NULL;
    if (f->n)
        memcpy(more, f->fd, (size_t)f->n * sizeof(*more));
    give(s, f->fd, (size_t)f->n * sizeof(*more));
    f->fd = more;
    f->n = n;
    return &f->fd[fd];
}

struct kymo_fdname *kymo_fdset_get(const struct kymo_fdproc *p, int64_t fd)
{
    return fd >= 0 && fd < p->files->n ? p->files->fd[fd].name : NULL;
}

void kymo_fdset_put(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd,
                    struct kymo_fdname *name, int cloexec)
{
    struct fd *at = room(s, p, fd);
    if (at)
        set_fd(s, at, FD_OPEN, name, cloexec);
}

void kymo_fdset_tell(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd,
                     struct kymo_fdname *name)
{
    struct fd *at = room(s, p, fd);
    if (!at || (at->state == FD_OPEN && at->name && !at->told))
        return;
    set_fd(s, at, FD_OPEN, name, at->state == FD_OPEN && at->cloexec);
    at->told = 1;
}

void kymo_fdset_used(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd)
{
    struct fd *at = room(s, p, fd);
    if (at && at->state != FD_OPEN)
        set_fd(s, at, FD_OPEN, NULL, 0);
}

void kymo_fdset_rename(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd,
                       struct kymo_fdname *name)
{
    struct fd *at = room(s, p, fd);
    if (at)
        set_fd(s, at, FD_OPEN, name, at->cloexec);
}

void kymo_fdset_chosen(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd)
{
    if (!room(s, p, fd))
        return;
    for (; p->files->full < fd; p->files->full++)
        if (p->files->fd[p->files->full].state != FD_OPEN)
            set_fd(s, &p->files->fd[p->files->full], FD_OPEN, NULL, 0);
}

int64_t kymo_fdset_lowest(const struct kymo_fdproc *p, int64_t from)
{
    from = from < p->files->full ? p->files->full : from;
    for (int64_t fd = from; fd < KYMO_FD_MAX; fd++) {
        if (fd >= p->files->n)
            return fd > 2 ? fd : 3;
        if (p->files->fd[fd].state == FD_FREE ||
            (p->files->fd[fd].state == FD_UNSEEN && fd > 2))
            return fd;
    }
    return -1;
}

void kymo_fdset_shut(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t first, int64_t last)
{
    first = first < 0 ? 0 : first;
    if (first == last && !room(s, p, first))
        return;
    if (first < p->files->full)
        p->files->full = (int)first;
    for (int64_t i = first; i <= last && i < p->files->n; i++)
        set_fd(s, &p->files->fd[i], FD_FREE, NULL, 0);
}

void kymo_fdset_cloexec(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t first,
                        int64_t last, int on)
{
    if (first == last && !room(s, p, first))
        return;
    for (int64_t i = first < 0 ? 0 : first; i <= last && i < p->files->n; i++)
        p->files->fd[i].cloexec = on != 0;
}

struct kymo_fdname *kymo_fdset_cwd(const struct kymo_fdproc *p)
{
    return p->cwd;
}

void kymo_fdset_chdir(struct kymo_fdset *s, struct kymo_fdproc *p, struct kymo_fdname *name)
{
    struct kymo_fdname *const before = p->cwd;
    p->cwd = hold(name);
    kymo_fdname_drop(s, before);
}
