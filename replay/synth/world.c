/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/synth/world.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PID 1000u
#define PID_MAX (1u << 22)
#define NAMES_MAX (1u << 24)
#define ZOMBIES_MAX 4096u
#define FIRST_MAP 0x7f0000000000u
#define FIRST_BREAK 0x560000000000u
#define PICK_STEPS 64

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

kymo_status world_init(struct world *w, uint32_t n_roles, struct kymo_err *err)
{
    memset(w, 0, sizeof(*w));
    w->next_pid = FIRST_PID;
    w->n_roles = n_roles;
    w->pool = calloc(n_roles + 1, sizeof(*w->pool));
    return w->pool ? KYMO_OK : no_memory(err);
}

void world_release(struct world *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        free(w->process[i].fd);
        free(w->process[i].zombie);
    }
    for (uint32_t i = 0; w->pool && i < w->n_roles; i++)
        for (int k = 0; k < NAME_SORTS; k++)
            free(w->pool[i][k].all);
    free(w->process);
    free(w->pool);
    free(w->name);
    memset(w, 0, sizeof(*w));
}

/* -- processes -------------------------------------------------------------------------------- */

uint32_t world_pid(struct world *w)
{
    const uint32_t pid = w->next_pid;
    w->next_pid = pid + 1 < PID_MAX ? pid + 1 : FIRST_PID;
    return pid;
}

static uint32_t free_process(struct world *w)
{
    while (w->free_hint < w->n && w->process[w->free_hint].is_used)
        w->free_hint++;
    if (w->free_hint < w->n)
        return w->free_hint;
    if (w->n == w->cap) {
        const uint32_t cap = w->cap ? w->cap * 2 : 64;
        struct world_process *p =
            cap <= WORLD_PROCESSES_MAX ? realloc(w->process, cap * sizeof(*p)) : NULL;
        if (!p)
            return WORLD_NONE;
        memset(p + w->cap, 0, (cap - w->cap) * sizeof(*p));
        w->process = p;
        w->cap = cap;
    }
    return w->n++;
}

uint32_t world_begin(struct world *w, uint32_t parent, uint64_t now_ns)
{
    const uint32_t i = free_process(w);
    if (i == WORLD_NONE)
        return i;
    struct world_process *p = &w->process[i];
    memset(p, 0, sizeof(*p));
    *p = (struct world_process){.pid = world_pid(w),
                                .ppid = parent == WORLD_NONE ? 1 : w->process[parent].pid,
                                .parent = parent,
                                .start_ns = now_ns,
                                .comm = "",
                                .is_used = 1,
                                .waiter = WORLD_NONE,
                                .next_map = FIRST_MAP,
                                .brk = FIRST_BREAK};
    for (int on = 0; on < KYMO_ON_FDS; on++)
        p->newest[on] = p->oldest[on] = -1;
    if (parent != WORLD_NONE)
        w->process[parent].children++;
    return i;
}

uint32_t world_fork(struct world *w, uint32_t parent, uint64_t now_ns)
{
    const uint32_t i = world_begin(w, parent, now_ns);
    if (i == WORLD_NONE)
        return i;
    struct world_process *p = &w->process[i];
    const struct world_process *from = &w->process[parent];
    p->fd = malloc(((size_t)from->n_fds + 1) * sizeof(*p->fd));
    if (!p->fd) {
        world_end(w, i);
        return WORLD_NONE;
    }
    if (from->n_fds)
        memcpy(p->fd, from->fd, (size_t)from->n_fds * sizeof(*p->fd));
    p->n_fds = from->n_fds;
    p->lowest = from->lowest;
    memcpy(p->newest, from->newest, sizeof(p->newest));
    memcpy(p->oldest, from->oldest, sizeof(p->oldest));
    memcpy(p->count, from->count, sizeof(p->count));
    memcpy(p->low, from->low, sizeof(p->low));
    memcpy(p->map, from->map, sizeof(p->map));
    memcpy(p->map_bytes, from->map_bytes, sizeof(p->map_bytes));
    p->n_watched = from->n_watched;
    p->n_unwatched = from->n_unwatched;
    p->n_maps = from->n_maps;
    p->next_map = from->next_map;
    p->brk = from->brk;
    p->execseq = from->execseq;
    p->comm = from->comm;
    for (int32_t fd = 0; fd < p->n_fds; fd++)
        p->fd[fd].since_ns = p->fd[fd].last_ns = 0;
    return i;
}

static void leave_zombie(struct world_process *parent, uint32_t pid)
{
    parent->children--;
    if (parent->zombies == ZOMBIES_MAX)
        return; /* nobody waits for them */
    if (parent->zombies == parent->cap_zombies) {
        const uint32_t cap = parent->cap_zombies ? parent->cap_zombies * 2 : 4;
        uint32_t *more = realloc(parent->zombie, cap * sizeof(*more));
        if (!more)
            return;
        parent->zombie = more;
        parent->cap_zombies = cap;
    }
    parent->zombie[parent->zombies++] = pid;
}

void world_end(struct world *w, uint32_t process)
{
    struct world_process *p = &w->process[process];
    if (p->parent != WORLD_NONE)
        leave_zombie(&w->process[p->parent], p->pid);
    for (uint32_t i = 0; i < w->n && p->children; i++)
        if (w->process[i].is_used && w->process[i].parent == process) {
            w->process[i].parent = WORLD_NONE;
            w->process[i].ppid = 1;
            p->children--;
        }
    free(p->fd);
    free(p->zombie);
    memset(p, 0, sizeof(*p));
    if (process < w->free_hint)
        w->free_hint = process;
}

void world_exec(struct world_process *p)
{
    for (int32_t fd = 0; fd < p->n_fds; fd++)
        if (p->fd[fd].is_open && p->fd[fd].is_cloexec && fd >= WORLD_STANDARD)
            world_close(p, fd);
    p->execseq++;
    p->n_maps = 0;
    p->next_map = FIRST_MAP;
    p->brk = FIRST_BREAK;
}

/* -- descriptors ------------------------------------------------------------------------------ */

/* Sorts that epoll takes. */
static int is_watchable(uint8_t on)
{
    return on == KYMO_ON_STREAM || on == KYMO_ON_LISTEN || on == KYMO_ON_DGRAM ||
           on == KYMO_ON_PIPE || on == KYMO_ON_EVENT || on == KYMO_ON_TIMER ||
           on == KYMO_ON_SOCKET;
}

static void count_watch(struct world_process *p, const struct world_fd *f, uint32_t by)
{
    if (!is_watchable(f->on))
        return;
    if (f->is_watched)
        p->n_watched += by;
    else
        p->n_unwatched += by;
}

static void unlist(struct world_process *p, int32_t fd)
{
    struct world_fd *f = &p->fd[fd];
    count_watch(p, f, UINT32_MAX);
    p->count[f->on]--;
    p->low[f->on] -= fd < WORLD_STANDARD;
    if (f->newer >= 0)
        p->fd[f->newer].older = f->older;
    else
        p->newest[f->on] = f->older;
    if (f->older >= 0)
        p->fd[f->older].newer = f->newer;
    else
        p->oldest[f->on] = f->newer;
}

static void list_newest(struct world_process *p, int32_t fd)
{
    struct world_fd *f = &p->fd[fd];
    count_watch(p, f, 1);
    p->count[f->on]++;
    p->low[f->on] += fd < WORLD_STANDARD;
    f->newer = -1;
    f->older = p->newest[f->on];
    if (f->older >= 0)
        p->fd[f->older].newer = fd;
    else
        p->oldest[f->on] = fd;
    p->newest[f->on] = fd;
}

static int grow_fds(struct world_process *p, int32_t fd)
{
    int32_t n = p->n_fds ? p->n_fds : 16;
    while (n <= fd)
        n *= 2;
    if (n == p->n_fds)
        return 1;
    struct world_fd *more = realloc(p->fd, (size_t)n * sizeof(*more));
    if (!more)
        return 0;
    memset(more + p->n_fds, 0, (size_t)(n - p->n_fds) * sizeof(*more));
    p->fd = more;
    p->n_fds = n;
    return 1;
}

int32_t world_open(struct world_process *p, enum kymo_on on, int32_t at_least, uint64_t now_ns,
                   uint32_t id, int is_cloexec)
{
    int32_t fd = at_least > p->lowest ? at_least : p->lowest;
    while (world_has(p, fd))
        fd++;
    if (fd >= WORLD_FDS_MAX || !grow_fds(p, fd))
        return -1;
    if (at_least <= p->lowest)
        p->lowest = fd + 1;
    p->fd[fd] = (struct world_fd){.on = (uint8_t)on,
                                  .is_open = 1,
                                  .is_cloexec = is_cloexec != 0,
                                  .since_ns = now_ns,
                                  .last_ns = now_ns,
                                  .id = id};
    list_newest(p, fd);
    return fd;
}

void world_close(struct world_process *p, int32_t fd)
{
    unlist(p, fd);
    p->fd[fd].is_open = 0;
    if (fd < p->lowest)
        p->lowest = fd;
}

void world_turn(struct world_process *p, int32_t fd, enum kymo_on on)
{
    unlist(p, fd);
    p->fd[fd].on = (uint8_t)on;
    list_newest(p, fd);
}

int32_t world_pick(const struct world_process *p, enum kymo_on on, int32_t least,
                   uint64_t since_ns)
{
    int32_t any = -1, fd = p->oldest[on];
    for (int i = 0; fd >= 0 && (i < PICK_STEPS || any < 0); i++, fd = p->fd[fd].newer) {
        if (fd < least)
            continue;
        if (p->fd[fd].since_ns <= since_ns)
            return fd;
        any = any < 0 ? fd : any;
    }
    return any;
}

int world_is_watchable(const struct world_process *p, int64_t fd)
{
    return world_has(p, fd) && is_watchable(p->fd[fd].on);
}

int32_t world_pick_watched(const struct world_process *p, int is_watched, uint64_t since_ns)
{
    static const uint8_t sorts[] = {KYMO_ON_STREAM, KYMO_ON_SOCKET, KYMO_ON_LISTEN,
                                    KYMO_ON_EVENT,  KYMO_ON_PIPE,   KYMO_ON_TIMER,
                                    KYMO_ON_DGRAM};
    for (size_t k = 0; k < sizeof(sorts); k++) {
        int32_t fd = is_watched ? p->oldest[sorts[k]] : p->newest[sorts[k]];
        for (; fd >= 0; fd = is_watched ? p->fd[fd].newer : p->fd[fd].older)
            if (p->fd[fd].is_watched == is_watched && p->fd[fd].since_ns <= since_ns)
                return fd;
    }
    return -1;
}

void world_watch(struct world_process *p, int32_t fd, int is_watched)
{
    count_watch(p, &p->fd[fd], UINT32_MAX);
    p->fd[fd].is_watched = is_watched != 0;
    count_watch(p, &p->fd[fd], 1);
}

void world_touch(struct world_process *p, int32_t fd, uint64_t now_ns)
{
    p->fd[fd].last_ns = now_ns;
    if (p->newest[p->fd[fd].on] == fd)
        return;
    unlist(p, fd);
    list_newest(p, fd);
}

/* -- names ------------------------------------------------------------------------------------ */

static uint32_t new_name(struct world *w, enum world_name sort)
{
    if (w->n_names == w->cap_names) {
        const uint32_t cap = w->cap_names ? w->cap_names * 2 : 1024;
        uint8_t *more = cap <= NAMES_MAX ? realloc(w->name, cap) : NULL;
        if (!more)
            return UINT32_MAX;
        w->name = more;
        w->cap_names = cap;
    }
    w->name[w->n_names] = (uint8_t)sort;
    return w->n_names++;
}

static void push_recent(struct world_pool *p, uint32_t at, uint32_t id)
{
    memmove(p->recent + 1, p->recent, at * sizeof(*p->recent));
    p->recent[0] = id;
}

static int push_all(struct world_pool *p, uint32_t id)
{
    if (p->n_all == p->cap) {
        const uint32_t cap = p->cap ? p->cap * 2 : 64;
        uint32_t *more = realloc(p->all, cap * sizeof(*more));
        if (!more)
            return 0;
        p->all = more;
        p->cap = cap;
    }
    p->all[p->n_all++] = id;
    return 1;
}

/* It was put into another pool meanwhile? */
static int is_stale(const struct world *w, uint32_t id, enum world_name sort)
{
    return w->name[id] != (uint8_t)sort;
}

static uint32_t recent_name(const struct world *w, struct world_pool *p, enum world_name sort,
                            uint32_t at)
{
    while (at < p->n) {
        const uint32_t id = p->recent[at];
        if (!is_stale(w, id, sort)) {
            push_recent(p, at, id);
            return id;
        }
        memmove(p->recent + at, p->recent + at + 1, (--p->n - at) * sizeof(*p->recent));
    }
    return UINT32_MAX;
}

uint32_t world_name(struct world *w, uint32_t role, enum world_name sort, uint32_t bucket,
                    struct kymo_rng *rng)
{
    struct world_pool *p = &w->pool[role][sort];
    uint32_t id = UINT32_MAX;
    if (bucket < KYMO_RECENCY_OLD) {
        const uint32_t low = bucket < 2 ? bucket : 1u << (bucket - 1);
        const uint32_t width = bucket < 2 ? 1 : low;
        id = recent_name(w, p, sort, low + (uint32_t)kymo_rng_below(rng, width));
        if (id != UINT32_MAX)
            return id;
    } else if (bucket == KYMO_RECENCY_OLD && p->n_all > KYMO_RECENCY_LIST) {
        id = p->all[kymo_rng_below(rng, p->n_all)];
        if (is_stale(w, id, sort))
            id = UINT32_MAX;
    }
    if (id == UINT32_MAX) {
        id = new_name(w, sort);
        if (id == UINT32_MAX || !push_all(p, id))
            return UINT32_MAX;
    }
    p->n += p->n < KYMO_RECENCY_LIST;
    push_recent(p, p->n - 1, id);
    return id;
}

void world_rename(struct world *w, uint32_t role, uint32_t id, enum world_name sort)
{
    struct world_pool *p = &w->pool[role][sort];
    if (w->name[id] == (uint8_t)sort)
        return;
    w->name[id] = (uint8_t)sort;
    p->n += p->n < KYMO_RECENCY_LIST;
    push_recent(p, p->n - 1, id);
    (void)push_all(p, id);
}
