/* SPDX-License-Identifier: Apache-2.0
 * deed.c: a call is done: which descriptor, which arguments, which result, and what it changes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "replay/synth/play.h"

#define EBADF_NR 9
#define ENOENT_NR 2
#define ECHILD_NR 10
#define EEXIST_NR 17
#define AT_CWD 0xffffff9cu
#define WAIT_LOOKS 1u /* WNOHANG */
#define LOOKING_NS 1500u
#define ANY_CHILD 0xffffffffu
#define CREATE_BIT 0100u
#define EXCLUSIVE_BIT 0200u
#define DIRECTORY_BIT 0x10000u
#define DIRECTORY_BIT_ARM 0x4000u
#define WATCH_ADD 1u
#define WATCH_DELETE 2u
#define NO_DESCRIPTOR 100000u
#define STACK_AT 0x7ff000000000u
#define WORDS_AT 0x7e0000000000u
#define PAGE 4096u
#define THREAD_FLAGS 0x3d0f00u
#define FORK_FLAGS 0x1200011u

/* Chance may breed threads without an end. More of them than so many times those recorded, or a longer line of parents
 * than that, and what is made ends at once. */
#define CROWD_FACTOR 8
#define CROWD_LEAST 64
#define DEEP_FACTOR 2
#define DEEP_LEAST 6

struct doing {
    struct play *p;
    struct actor *a;
    const struct script_symbol *s;
    struct world_process *w;
    const struct script_role *r;
    int32_t fd; /* that it is given, -1 none */
    struct synthout_call c;
    char path[48], path2[48], addr[64];
    int32_t watched;    /* what epoll_ctl was about, -1 */
    enum kymo_on turns; /* the descriptor is that sort from now on; NONE: it stays */
};

static int fails(const struct script_symbol *s)
{
    return s->is.result == KYMO_RESULT_ERROR;
}

static int is_named(const struct script_symbol *s, const char *name)
{
    return strcmp(s->name, name) == 0;
}

/* -- names ------------------------------------------------------------------------------------ */

static uint32_t draw_bucket(struct play *p, const uint64_t *n, uint64_t all)
{
    uint64_t at = all ? kymo_rng_below(&p->rng, all) : 0;
    uint32_t b = 0;
    if (!all)
        return KYMO_RECENCY_NEW;
    while (b + 1 < KYMO_RECENCY && at >= n[b])
        at -= n[b++];
    return b;
}

/* What has to be under the name, so that the call ends as it does. */
static enum world_name wanted_name(const struct doing *d)
{
    const struct script_symbol *s = d->s;
    const uint64_t flags = s->info && s->info->op == KYMO_FD_OPENS && s->info->flags >= 0
                               ? d->c.arg[s->info->flags]
                               : 0;
    if (fails(s))
        return s->is.error == ENOENT_NR ? NAME_MISSING : NAME_FILE;
    if (is_named(s, "mkdir") || is_named(s, "mkdirat") || is_named(s, "symlink") ||
        is_named(s, "symlinkat") || is_named(s, "mknod") || is_named(s, "mknodat") ||
        (flags & CREATE_BIT && flags & EXCLUSIVE_BIT))
        return NAME_MISSING;
    if (s->is.on == KYMO_ON_DIR || is_named(s, "rmdir") || is_named(s, "chdir"))
        return NAME_DIR;
    return NAME_FILE;
}

/* What is under it afterwards. */
static void change_names(struct doing *d, uint32_t id, uint32_t id2)
{
    struct world *w = &d->p->world;
    const uint32_t role = d->a->role;
    const struct script_symbol *s = d->s;
    if (fails(s) || id == UINT32_MAX)
        return;
    if (is_named(s, "mkdir") || is_named(s, "mkdirat"))
        world_rename(w, role, id, NAME_DIR);
    else if (is_named(s, "unlink") || is_named(s, "unlinkat") || is_named(s, "rmdir"))
        world_rename(w, role, id, NAME_MISSING);
    else if (w->name[id] == NAME_MISSING)
        world_rename(w, role, id, NAME_FILE);
    if (id2 == UINT32_MAX)
        return;
    if (strncmp(s->name, "rename", 6) == 0)
        world_rename(w, role, id, NAME_MISSING);
    world_rename(w, role, id2, NAME_FILE);
}

static void put_path(char *to, size_t room, uint32_t id)
{
    snprintf(to, room, "/synth/d%" PRIu32 "/f%" PRIu32, id % 64, id);
}

/* The id of the path; UINT32_MAX: it has none. */
static uint32_t give_names(struct doing *d)
{
    const struct script_symbol *s = d->s;
    const uint32_t bucket =
        s->sums ? draw_bucket(d->p, s->sums->paths, s->paths_n) : KYMO_RECENCY_NEW;
    if (!s->names)
        return UINT32_MAX;
    const uint32_t id =
        world_name(&d->p->world, d->a->role, wanted_name(d), bucket, &d->p->rng);
    if (id == UINT32_MAX)
        return id;
    put_path(d->path, sizeof(d->path), id);
    d->c.path = d->path;
    if (s->info && s->info->dir >= 0)
        d->c.arg[s->info->dir] = AT_CWD;
    uint32_t id2 = UINT32_MAX;
    if (s->names > 1) {
        id2 = world_name(&d->p->world, d->a->role, NAME_MISSING, KYMO_RECENCY_NEW, &d->p->rng);
        if (id2 != UINT32_MAX) {
            put_path(d->path2, sizeof(d->path2), id2);
            d->c.path2 = d->path2;
        }
    }
    change_names(d, id, id2);
    return id;
}

static void give_addr(struct doing *d)
{
    struct play *p = d->p;
    const struct script_symbol *s = d->s;
    const uint64_t family = s->sums ? s->sums->family : KYMO_ADDR_INET;
    uint32_t port = 7000;
    if (s->sums && !(kymo_rng_unit(&p->rng) < s->addr_share))
        return;
    if (!s->sums && s->does != DOES_CONNECT)
        return;
    const uint32_t bucket = s->sums ? draw_bucket(p, s->sums->peers, s->peers_n) : 0;
    const uint32_t id = world_name(&p->world, d->a->role, NAME_PEER, bucket, &p->rng);
    if (id == UINT32_MAX)
        return;
    if (s->does == DOES_ACCEPT) /* a client's port is another one each time */
        port = 30000 + p->world.next_id % 30000;
    if (family == KYMO_ADDR_INET6)
        snprintf(d->addr, sizeof(d->addr), "inet6:[fd00::%" PRIx32 "]:%" PRIu32, id + 1, port);
    else if (family == KYMO_ADDR_UNIX)
        snprintf(d->addr, sizeof(d->addr), "unix:/synth/s%" PRIu32, id);
    else if (family == KYMO_ADDR_OTHER)
        snprintf(d->addr, sizeof(d->addr), "netlink:0");
    else
        snprintf(d->addr, sizeof(d->addr),
                 "inet:127.%" PRIu32 ".%" PRIu32 ".%" PRIu32 ":%" PRIu32, id / 62500 % 250,
                 id / 250 % 250, 1 + id % 250, port);
    d->c.addr = d->addr;
}

/* -- arguments -------------------------------------------------------------------------------- */

/* What most of its calls had; a large number is a pointer into the thread's own stack. */
static void give_usual(struct doing *d)
{
    const struct kymo_symbol_sums *m = d->s->sums;
    d->c.n_args = d->s->sys ? d->s->sys->n_args : 6;
    for (int i = 0; i < 6 && m && m->n; i++) {
        if (!m->arg_votes[i])
            continue;
        d->c.arg[i] = m->arg[i] <= KYMO_ARG_SMALL_MAX
                          ? m->arg[i]
                          : STACK_AT + (uint64_t)d->a->tid * 16 * PAGE + (uint64_t)i * PAGE;
    }
    if (d->s->info && d->s->info->op == KYMO_FD_FORKS && !d->c.arg[0] &&
        is_named(d->s, "clone"))
        d->c.arg[0] = d->s->is.on == KYMO_ON_THREAD ? THREAD_FLAGS : FORK_FLAGS;
    const int selector = kymo_symbol_selector(d->s->name);
    if (selector >= 0)
        d->c.arg[selector] = d->s->is.variant;
}

/* Of a call of our own. */
static void give_own(struct doing *d)
{
    const uint32_t directory =
        d->p->o->arch == KYMO_ARCH_AARCH64 ? DIRECTORY_BIT_ARM : DIRECTORY_BIT;
    uint64_t *arg = d->c.arg;
    d->c.n_args = d->s->sys ? d->s->sys->n_args : 0;
    if (d->s->info && d->s->info->flags >= 0)
        arg[d->s->info->flags] = d->s->info->cloexec;
    if (is_named(d->s, "openat"))
        arg[2] |= d->s->is.on == KYMO_ON_DIR ? directory : 2;
    else if (is_named(d->s, "socket")) {
        arg[0] = 2;
        arg[1] |= d->s->is.on == KYMO_ON_DGRAM ? 2 : 1;
    } else if (is_named(d->s, "listen"))
        arg[1] = 128;
    else if (is_named(d->s, "connect"))
        arg[2] = 16;
    else if (is_named(d->s, "timerfd_create"))
        arg[0] = 1;
    else if (is_named(d->s, "pipe2"))
        arg[0] = STACK_AT;
}

/* The argument that says how much; -1 none. */
static int count_arg(const char *name)
{
    static const struct {
        const char *name;
        int arg;
    } at[] = {{"read", 2},      {"write", 2},      {"pread64", 2},  {"pwrite64", 2},
              {"recvfrom", 2},  {"sendto", 2},     {"recv", 2},     {"send", 2},
              {"getdents", 2},  {"getdents64", 2}, {"readlink", 2}, {"readlinkat", 3},
              {"getrandom", 1}, {"sendfile", 3},   {"splice", 4},   {"copy_file_range", 4}};
    for (size_t i = 0; i < KYMO_COUNT_OF(at); i++)
        if (strcmp(at[i].name, name) == 0)
            return at[i].arg;
    return -1;
}

static void give_count(struct doing *d)
{
    const int at = count_arg(d->s->name);
    const uint64_t got = d->c.ret > 0 ? (uint64_t)d->c.ret : 0;
    if (at < 0)
        return;
    const int writes = d->s->sys && d->s->sys->cls == KYMO_CLASS_WRITE && got;
    if (writes || d->c.arg[at] < got || d->c.arg[at] > KYMO_ARG_SMALL_MAX)
        d->c.arg[at] = got;
}

/* A signal to whom it may be sent: itself, and none that does anything. */
static void give_target(struct doing *d)
{
    uint64_t *arg = d->c.arg;
    if (is_named(d->s, "kill"))
        arg[0] = d->w->pid, arg[1] = 0;
    else if (is_named(d->s, "tkill"))
        arg[0] = d->a->tid, arg[1] = 0;
    else if (is_named(d->s, "tgkill"))
        arg[0] = d->w->pid, arg[1] = d->a->tid, arg[2] = 0;
    else if (is_named(d->s, "futex"))
        arg[0] = WORDS_AT + (uint64_t)d->a->tid * 64;
    else if (is_named(d->s, "wait4"))
        arg[0] = ANY_CHILD;
}

/* -- memory ----------------------------------------------------------------------------------- */

static uint64_t pages(uint64_t bytes)
{
    if (bytes > (UINT64_C(1) << 32))
        bytes = 0;
    return bytes ? (bytes + PAGE - 1) / PAGE * PAGE : PAGE;
}

static void do_map(struct doing *d)
{
    struct world_process *w = d->w;
    const uint64_t bytes = pages(d->c.arg[1]);
    d->c.arg[1] = bytes;
    d->c.arg[0] = 0;
    d->c.arg[3] &= ~UINT64_C(0x10); /* where it wants, not at a fixed place */
    d->c.ret = (int64_t)w->next_map;
    if (w->n_maps == WORLD_MAPS) {
        memmove(w->map, w->map + 1, (WORLD_MAPS - 1) * sizeof(*w->map));
        memmove(w->map_bytes, w->map_bytes + 1, (WORLD_MAPS - 1) * sizeof(*w->map_bytes));
        w->n_maps--;
    }
    w->map[w->n_maps] = w->next_map;
    w->map_bytes[w->n_maps++] = bytes;
    w->next_map += bytes + PAGE;
}

/* The mapping that a call is about: the newest. */
static void give_memory(struct doing *d)
{
    struct world_process *w = d->w;
    if (!d->s->sys || d->s->sys->cls != KYMO_CLASS_MEMORY)
        return;
    if (is_named(d->s, "brk")) {
        w->brk += d->c.arg[0] ? 33 * PAGE : 0;
        d->c.arg[0] = d->c.arg[0] ? w->brk : 0;
        d->c.ret = (int64_t)w->brk;
        return;
    }
    if (d->s->does == DOES_MAP) {
        do_map(d);
        return;
    }
    const uint32_t at = w->n_maps ? w->n_maps - 1 : 0;
    d->c.arg[0] = w->n_maps ? w->map[at] : w->next_map;
    if (d->c.arg[1] > KYMO_ARG_SMALL_MAX || (w->n_maps && d->c.arg[1] > w->map_bytes[at]))
        d->c.arg[1] = w->n_maps ? w->map_bytes[at] : PAGE;
    if (d->s->gives == GIVES_ADDRESS)
        d->c.ret = (int64_t)d->c.arg[0];
    if (d->s->does == DOES_UNMAP && w->n_maps) {
        d->c.arg[1] = w->map_bytes[at];
        w->n_maps--;
    }
}

/* -- descriptors ------------------------------------------------------------------------------ */

/* The descriptor of the sort that it needs; 0: there is none. */
static int give_fd(struct doing *d)
{
    const struct script_symbol *s = d->s;
    const struct actor *a = d->a;
    const int32_t least = s->does == DOES_CLOSE ? WORLD_STANDARD : 0;
    d->fd = -1;
    if (!s->info || s->info->fd < 0 || !(s->needs || s->is.error == EBADF_NR))
        return 1;
    if (s->is.error == EBADF_NR) {
        d->c.arg[s->info->fd] = NO_DESCRIPTOR;
        return 1;
    }
    if (s->is.is_same && s->does != DOES_WATCH && world_has(d->w, a->last_fd) &&
        d->w->fd[a->last_fd].on == s->needs && a->last_fd >= least)
        d->fd = (int32_t)a->last_fd;
    if (d->fd < 0)
        d->fd = world_pick(d->w, (enum kymo_on)s->needs, least, d->c.ts_ns - d->c.dur_ns);
    if (d->fd < 0)
        return 0;
    /* It cannot have begun before the descriptor was there. */
    const uint64_t since_ns = d->w->fd[d->fd].since_ns;
    if (d->c.ts_ns - d->c.dur_ns < since_ns)
        d->c.dur_ns = d->c.ts_ns - since_ns;
    d->c.arg[s->info->fd] = (uint64_t)d->fd;
    return 1;
}

static int do_watch(struct doing *d)
{
    const int adds = d->s->is.variant == WATCH_ADD;
    const int64_t last_fd = d->a->last_fd;
    const int is_last = d->s->is.is_same && world_is_watchable(d->w, last_fd) &&
                        d->w->fd[last_fd].is_watched == !adds;
    const int32_t fd = is_last ? (int32_t)last_fd : world_pick_watched(d->w, !adds, d->c.ts_ns);
    if (fd < 0)
        return 0;
    d->watched = fd;
    d->c.arg[2] = (uint64_t)fd;
    if (adds || d->s->is.variant == WATCH_DELETE)
        world_watch(d->w, fd, adds);
    return 1;
}

static int do_dup(struct doing *d)
{
    const uint8_t on = d->s->needs;
    int32_t to = -1;
    if (d->fd < 0)
        return 0;
    const uint32_t id = d->w->fd[d->fd].id;
    if (d->s->does == DOES_DUP_AT) {
        const uint64_t want = d->c.arg[1];
        if (want < WORLD_FDS_MAX && want != (uint64_t)d->fd)
            to = (int32_t)want;
        if (to >= 0 && world_has(d->w, to))
            world_close(d->w, to);
        to = world_open(d->w, (enum kymo_on)on, to < 0 ? 0 : to, d->c.ts_ns, id,
                        d->s->is_cloexec);
        d->c.arg[1] = (uint64_t)to;
    } else {
        const int is_fcntl = d->s->info->op == KYMO_FD_FCNTL;
        const uint64_t least = is_fcntl ? d->c.arg[2] : 0;
        to = world_open(d->w, (enum kymo_on)on, least < WORLD_FDS_MAX ? (int32_t)least : 0,
                        d->c.ts_ns, id, is_fcntl && d->s->is.variant != 0);
    }
    d->c.ret = to;
    return to >= 0;
}

/* Opens, and the like; id of what it is open on. */
static int do_open(struct doing *d, enum kymo_on on, uint32_t id)
{
    const int is_cloexec = d->s->sums ? d->s->is_cloexec : 1;
    const int32_t fd = world_open(d->w, on, 0, d->c.ts_ns, id, is_cloexec);
    d->c.ret = fd;
    d->a->last_fd = fd;
    return fd >= 0;
}

static int do_pair(struct doing *d)
{
    const uint32_t id = d->p->world.next_id++;
    const enum kymo_on on = (enum kymo_on)d->s->is.on;
    const int is_cloexec = d->s->sums ? d->s->is_cloexec : 1;
    return world_open(d->w, on, 0, d->c.ts_ns, id, is_cloexec) >= 0 &&
           world_open(d->w, on, 0, d->c.ts_ns, id, is_cloexec) >= 0;
}

/* -- processes -------------------------------------------------------------------------------- */

/* The role that a child of the thread begins as; SCRIPT_NONE: none is known. */
static uint32_t child_role(const struct play *p, const struct actor *a, int is_thread)
{
    const struct script_role *from = &p->script.role[a->role];
    uint32_t found = SCRIPT_NONE;
    int off = 0;
    for (uint32_t i = 0; i < p->script.n; i++) {
        const struct script_role *r = &p->script.role[i];
        if (r->begin == SCRIPT_NONE || (is_thread ? !r->is_thread : !r->is_fork) ||
            strcmp(r->comm, from->comm) != 0)
            continue;
        /* the nearest depth; and one that has not made others yet */
        const int far = is_thread ? 0 : abs(r->is_fork - from->is_fork - 1) * 2;
        if (found == SCRIPT_NONE || far + (r->is_spawner != 0) < off) {
            found = i;
            off = far + (r->is_spawner != 0);
        }
    }
    return found;
}

static kymo_status tell_process(struct play *p, const char *kind, uint32_t process,
                                uint32_t tid, const char *comm, uint64_t ts_ns,
                                struct kymo_err *err)
{
    const struct synthout_process row = {.kind = kind,
                                         .process = &p->world.process[process],
                                         .tid = tid,
                                         .comm = comm,
                                         .ts_ns = ts_ns};
    return synthout_process(&p->out, &row, err);
}

/* Would one more be too many, or too deep in a line of parents that all wait for their children? */
static int is_crowded(const struct play *p, const struct actor *a)
{
    uint32_t deep = 0;
    for (uint32_t at = a->process; at != WORLD_NONE; at = p->world.process[at].parent)
        deep++;
    return deep > DEEP_FACTOR * p->script.alive + DEEP_LEAST ||
           p->n_live > CROWD_FACTOR * p->script.alive + CROWD_LEAST;
}

kymo_status play_make_child(struct play *p, uint32_t actor, uint64_t now_ns, uint32_t *made,
                            struct kymo_err *err)
{
    const struct actor *a = &p->actor[actor];
    const struct script_symbol *s = play_symbol(p, a);
    const int is_thread = s->does == DOES_THREAD;
    const uint32_t parent = a->process;
    const uint32_t role = is_crowded(p, a) ? SCRIPT_NONE : child_role(p, a, is_thread);
    const uint32_t fate = s->is.variant;
    const char *comm = p->script.role[a->role].comm;
    const uint32_t process = is_thread ? parent : world_fork(&p->world, parent, now_ns);
    if (process == WORLD_NONE)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more processes than can be kept");
    struct world_process *child = &p->world.process[process];
    const uint32_t tid = is_thread ? world_pid(&p->world) : child->pid;
    child->comm = is_thread ? child->comm : comm;
    KYMO_TRY(tell_process(p, "fork", process, tid, comm, now_ns, err));
    *made = play_actor(p, process, tid, role, now_ns);
    if (*made == WORLD_NONE)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more threads than can be kept");
    if (!is_thread)
        p->actor[*made].fate = fate;
    p->actor[actor].child = tid;
    p->stats.threads++;
    p->stats.processes += !is_thread;
    return KYMO_OK;
}

static kymo_status do_exec(struct doing *d, struct kymo_err *err)
{
    world_exec(d->w);
    d->w->comm = d->r->comm;
    d->w->role = d->a->role;
    d->c.flags |= KYMO_CALL_EXECED;
    d->c.n_args = 0;
    return tell_process(d->p, "exec", d->a->process, d->a->tid, d->r->comm, d->c.ts_ns, err);
}

/*
 * How a wait for a child ends is for the world to say, whatever was drawn: with a child that has ended, with none
 * yet, with the error that there is none. 0: it waits on.
 */
static int do_wait(struct doing *d)
{
    struct world_process *w = d->w;
    const int options = is_named(d->s, "waitid") ? 3 : 2;
    if (d->s->is.result == KYMO_RESULT_ERROR && d->s->is.error != ECHILD_NR)
        return 1;
    const int only_looks = (d->c.arg[options] & WAIT_LOOKS) != 0;
    const int looks = only_looks && d->s->is.result != KYMO_RESULT_MORE;
    /* What looks and finds one is called when a child has ended, as from a handler of SIGCHLD. */
    if (only_looks && d->c.dur_ns > LOOKING_NS)
        d->c.dur_ns = LOOKING_NS;
    if (w->zombies) {
        d->c.ret = w->zombie[0];
        memmove(w->zombie, w->zombie + 1, --w->zombies * sizeof(*w->zombie));
        return 1;
    }
    d->c.ret = w->children ? 0 : -ECHILD_NR;
    return looks || !w->children;
}

/* -- all together ----------------------------------------------------------------------------- */

static void give_result(struct doing *d)
{
    const struct script_symbol *s = d->s;
    d->c.has_ret = s->is.result != KYMO_RESULT_NEVER;
    if (s->is.result == KYMO_RESULT_ERROR)
        d->c.ret = -(int64_t)s->is.error;
    if (s->is.result != KYMO_RESULT_MORE)
        return;
    switch (s->gives) {
    case GIVES_PID:
        d->c.ret = d->w->pid;
        break;
    case GIVES_TID:
        d->c.ret = d->a->tid;
        break;
    case GIVES_PPID:
        d->c.ret = d->w->ppid;
        break;
    case GIVES_ADDRESS:
        d->c.ret = (int64_t)d->w->next_map;
        break;
    default:
        d->c.ret = s->sums ? (int64_t)script_number(s, &d->p->rng) : 1;
        break;
    }
}

/* What it changes, and the results that come of it. 0: it cannot be done after all. */
static kymo_status change(struct doing *d, uint32_t path, enum deed *deed, struct kymo_err *err)
{
    int ok = 1;
    *deed = DEED_DONE;
    switch (d->s->does) {
    case DOES_OPEN:
        ok = do_open(d, (enum kymo_on)d->s->is.on,
                     path != UINT32_MAX ? path : d->p->world.next_id++);
        break;
    case DOES_ACCEPT:
        ok = do_open(d, KYMO_ON_STREAM, d->p->world.next_id++);
        break;
    case DOES_PAIR:
        ok = do_pair(d);
        break;
    case DOES_DUP:
    case DOES_DUP_AT:
        ok = do_dup(d);
        break;
    case DOES_CLOSE:
        world_close(d->w, d->fd);
        d->fd = -1;
        break;
    case DOES_CONNECT:
        if (d->s->needs == KYMO_ON_SOCKET)
            d->turns = KYMO_ON_STREAM;
        break;
    case DOES_LISTEN:
        d->turns = KYMO_ON_LISTEN;
        break;
    case DOES_WATCH:
        ok = do_watch(d);
        break;
    case DOES_FORK:
    case DOES_THREAD:
        d->c.ret = d->a->child;
        d->a->child = 0;
        break;
    case DOES_EXEC:
        return do_exec(d, err);
    case DOES_WAIT:
        *deed = do_wait(d) ? DEED_DONE : DEED_WAITS;
        break;
    case DOES_EXIT:
        *deed = DEED_ENDS;
        break;
    case DOES_EXIT_ALL:
        *deed = DEED_ENDS_ALL;
        break;
    default:
        break;
    }
    if (!ok)
        *deed = DEED_REFUSED;
    return KYMO_OK;
}

static void begin_call(struct doing *d, uint32_t actor)
{
    const struct actor *a = d->a;
    d->c = (struct synthout_call){.thread = actor,
                                  .tid = a->tid,
                                  .process = d->w,
                                  .comm = d->r->comm,
                                  .nr = (uint32_t)d->s->nr,
                                  .ts_ns = a->exit_ns,
                                  .dur_ns = a->exit_ns - a->enter_ns};
    if (d->s->is.kind == KYMO_SYMBOL_CHILD)
        d->c.flags = KYMO_CALL_CHILD;
    if (d->s->is.result == KYMO_RESULT_NEVER)
        d->c.flags = KYMO_CALL_AT_ENTRY;
    d->c.has_dur = !d->c.flags;
}

kymo_status play_do(struct play *p, uint32_t actor, enum deed *deed, struct kymo_err *err)
{
    struct doing d = {.p = p, .a = &p->actor[actor], .watched = -1};
    *deed = DEED_REFUSED;
    d.s = play_symbol(p, d.a);
    d.w = play_process(p, d.a);
    d.r = &p->script.role[d.a->role];
    if (!d.a->child && !play_is_legal(p, d.a, d.s))
        return KYMO_OK;
    begin_call(&d, actor);
    if (d.s->sums)
        give_usual(&d);
    else
        give_own(&d);
    give_result(&d);
    if (!give_fd(&d))
        return KYMO_OK;
    const uint32_t path = give_names(&d);
    give_addr(&d);
    give_target(&d);
    give_memory(&d);
    give_count(&d);
    if (d.s->does == DOES_EXIT_ALL && kymo_rng_unit(&p->rng) * (double)d.r->conduct->ends.n <
                                          (double)d.r->conduct->ends.failed)
        d.c.arg[0] = 1;
    KYMO_TRY(change(&d, path, deed, err));
    if (*deed == DEED_WAITS || *deed == DEED_REFUSED)
        return KYMO_OK;
    if (d.fd >= 0) {
        d.a->last_fd = d.s->does == DOES_ACCEPT ? d.a->last_fd
                       : d.watched >= 0         ? d.watched
                                                : d.fd;
        world_touch(d.w, d.fd, d.c.ts_ns);
        if (d.turns)
            world_turn(d.w, d.fd, d.turns);
    }
    p->stats.calls++;
    return synthout_call(&p->out, &d.c, err);
}
