/* SPDX-License-Identifier: Apache-2.0
 * world.h: what the generated calls act on, as far as it decides which calls are legal: processes with their
 * descriptors and children, and the names of files and peers.
 */
#ifndef KYMO_SYNTH_WORLD_H
#define KYMO_SYNTH_WORLD_H

#include "format/base/arena.h"
#include "format/base/rng.h"
#include "format/model/sequence.h"

#define WORLD_NONE UINT32_MAX
#define WORLD_FDS_MAX 4096 /* of a process: beyond them, nothing is opened */
#define WORLD_PROCESSES_MAX 65536u
#define WORLD_MAPS 16u
#define WORLD_STANDARD 3 /* descriptors below stay open: nothing new gets their numbers */

struct world_fd {
    uint8_t on, is_open, is_cloexec, is_watched;
    int32_t newer, older; /* of the same sort, by last use; -1 none */
    uint64_t since_ns, last_ns;
    uint32_t id; /* a file's name, a connection's number */
};

struct world_process {
    uint32_t pid, ppid, parent; /* parent: index, WORLD_NONE */
    uint32_t role;              /* that its first thread has now */
    uint64_t start_ns, execseq;
    const char *comm; /* borrowed */
    int is_used;
    struct world_fd *fd;   /* [n_fds] owned */
    int32_t n_fds, lowest; /* below it all are open */
    int32_t newest[KYMO_ON_FDS], oldest[KYMO_ON_FDS];
    uint32_t count[KYMO_ON_FDS], low[KYMO_ON_FDS]; /* low: of them below WORLD_STANDARD */
    uint32_t n_watched, n_unwatched;               /* of those that epoll takes */
    uint32_t children, zombies; /* living ones; those that wait to be waited for */
    uint32_t *zombie;           /* [zombies] pids, owned */
    uint32_t cap_zombies;
    uint32_t threads;
    uint32_t waiter; /* thread that waits for a child, WORLD_NONE */
    uint64_t map_ns, map[WORLD_MAPS], map_bytes[WORLD_MAPS];
    uint64_t next_map, brk;
    uint32_t n_maps;
};

/* Names of one sort and role: lists of ids, the newest first, and all. */
struct world_pool {
    uint32_t recent[KYMO_RECENCY_LIST];
    uint32_t n, n_all, cap;
    uint32_t *all; /* owned */
};
enum world_name { NAME_FILE, NAME_DIR, NAME_MISSING, NAME_PEER, NAME_SORTS };

struct world {
    struct world_process *process; /* [n] owned */
    uint32_t n, cap, free_hint, next_pid;
    struct world_pool (*pool)[NAME_SORTS]; /* [n_roles] owned */
    uint32_t n_roles;
    uint8_t *name; /* [n_names] enum world_name: what each is now, owned */
    uint32_t n_names, cap_names;
    uint32_t next_id; /* of connections, pipes and the like */
};

KYMO_MUST_USE kymo_status world_init(struct world *w, uint32_t n_roles, struct kymo_err *err);
void world_release(struct world *w);

/* A process without descriptors; WORLD_NONE: no memory, or too many. Pointers to processes end here. */
uint32_t world_begin(struct world *w, uint32_t parent, uint64_t now_ns);
/* One with its parent's descriptors. */
uint32_t world_fork(struct world *w, uint32_t parent, uint64_t now_ns);
/* It has no thread any more: its parent may wait for it. */
void world_end(struct world *w, uint32_t process);
void world_exec(struct world_process *p);
uint32_t world_pid(struct world *w);

/* The lowest free number from at_least on; -1: no more. */
int32_t world_open(struct world_process *p, enum kymo_on on, int32_t at_least, uint64_t now_ns,
                   uint32_t id, int is_cloexec);
void world_close(struct world_process *p, int32_t fd);
/* It is another sort from now on. */
void world_turn(struct world_process *p, int32_t fd, enum kymo_on on);
/* One of the sort, from `least` on, that was there at since_ns: that which was used longest ago; -1 none. */
int32_t world_pick(const struct world_process *p, enum kymo_on on, int32_t least,
                   uint64_t since_ns);
/* Could epoll watch it? */
int world_is_watchable(const struct world_process *p, int64_t fd);
/* One that epoll watches, used longest ago, or could watch and does not, the newest; -1 none. */
int32_t world_pick_watched(const struct world_process *p, int is_watched, uint64_t since_ns);
void world_watch(struct world_process *p, int32_t fd, int is_watched);
void world_touch(struct world_process *p, int32_t fd, uint64_t now_ns);
static inline int world_has(const struct world_process *p, int64_t fd)
{
    return fd >= 0 && fd < p->n_fds && p->fd[fd].is_open;
}

/* A name of the sort, as long ago as the bucket says; UINT32_MAX: no memory. */
uint32_t world_name(struct world *w, uint32_t role, enum world_name sort, uint32_t bucket,
                    struct kymo_rng *rng);
/* It is a file, a directory, or nothing, from now on. */
void world_rename(struct world *w, uint32_t role, uint32_t id, enum world_name sort);

#endif
