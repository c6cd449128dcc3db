/* SPDX-License-Identifier: Apache-2.0
 * stage_inside.h: the sandbox's first process (init), and the parts it is made of. It builds the root, opens what
 * is open at the start, makes the processes that are there, plays the environment, answers for calls that cannot
 * be made to happen, and watches. It holds every capability of the sandbox's user namespace, and none outside.
 *
 * Everything in control memory was perhaps written by an actor: it is looked at, and believed within bounds.
 */
#ifndef KYMO_STAGE_INSIDE_H
#define KYMO_STAGE_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "replay/stage/actor/shared.h"
#include "replay/stage/stage.h"

#define INSIDE_SPIN_NS                                                                         \
    40000u /* so long before its moment one stays awake: what waking up takes */

/* How an actor comes to be. */
struct inside_maker {
    uint32_t actor, call; /* whose call number `call` makes it; KYMO_NONE: there at the start */
};

struct inside {
    const struct kymo_image *image;
    const struct kymo_stage_opts *o;
    const struct kymo_iprocess *process;
    const struct kymo_iactor *actor;
    const struct kymo_icall *call;
    const struct kymo_dep *dep;
    const struct kymo_iobject *object;
    const struct kymo_istart *start;
    const struct kymo_inode *node;
    const struct kymo_iact *act;
    const char *blob;
    uint32_t n_processes, n_actors, n_objects, n_acts;

    int host;    /* socket to the caller */
    int way_out; /* another, to ask for sockets to the target */
    int proc_fd; /* a /proc of its own that nobody else sees; -1 */
    int root_fd;
    int given_fd; /* the caller's directory, -1 */
    int control_fd;
    size_t control_bytes;
    char *shared; /* the control file, mapped */
    struct kymo_control *control;
    struct kymo_more *more;
    struct kymo_progress *progress; /* [n_actors] */
    struct kymo_outcome *outcome, *act_outcome;
    uint32_t *pid; /* [n_processes] */

    int *object_fd;             /* [n_objects] -1: not open */
    struct inside_maker *maker; /* [n_actors] */
    int notify_fd;              /* of the supervisor; -1: none */
    bool *starts;               /* [n_actors] is there at the start */
    uint32_t n_starting;        /* how many are */
    uint64_t
        zero_ns; /* the plan's moment 0, and the pace: ours, whatever control memory says by now */
    double pace;
    uint64_t setup_ns; /* what making ready took */
    uint64_t freed;
    int is_unlimited; /* this kernel counts processes by user, not by namespace */
};

static inline const char *inside_text(const struct inside *s, kymo_blob at)
{
    return s->blob + at;
}

uint64_t inside_now_ns(void);
/* errno of the last call, as a status with what failed. */
kymo_status inside_fail(struct kymo_err *err, const char *what, const char *name);

/* stage_root.c: mounts; after it "/" is the actors' root and there is no other */
KYMO_MUST_USE kymo_status inside_root(struct inside *s, struct kymo_err *err);
/* stage_tree.c */
KYMO_MUST_USE kymo_status inside_tree(struct inside *s, struct kymo_err *err);
void inside_node_act(struct inside *s, const struct kymo_inode *node, uint64_t what);
void inside_pattern(char *to, size_t n, uint64_t offset);
/* stage_net.c */
KYMO_MUST_USE kymo_status inside_net(struct inside *s, struct kymo_err *err);
/* stage_object.c */
KYMO_MUST_USE kymo_status inside_objects(struct inside *s, struct kymo_err *err);
int inside_socket(const struct inside *s, const struct kymo_iobject *o, int type);
int inside_bind(const struct inside *s, int fd, kymo_blob address);
const void *inside_address(const struct inside *s, kymo_blob at, uint32_t *bytes);
void inside_watch_add(const struct inside *s, uint32_t process);
/* stage_start.c: a thread without power that forks those who are there at the start */
KYMO_MUST_USE kymo_status inside_start(struct inside *s, struct kymo_err *err);
/* stage_filter.c: for the calling thread and who comes of it; the listener, or -1 */
int inside_filter(int *listener, struct kymo_err *err);
/* stage_notify.c, stage_env.c: threads */
KYMO_MUST_USE kymo_status inside_notify(struct inside *s, struct kymo_err *err);
KYMO_MUST_USE kymo_status inside_environment(struct inside *s, struct kymo_err *err);
/* stage_relay.c: a thread, where the plan has connections that leave */
KYMO_MUST_USE kymo_status inside_relay(struct inside *s, struct kymo_err *err);
/* stage_usher.c: a thread; and whether a task sleeps: 1, 0, -1 where it cannot be seen */
KYMO_MUST_USE kymo_status inside_usher(struct inside *s, struct kymo_err *err);
int inside_sleeps(const struct inside *s, uint32_t tid);
/* stage_watch.c: is that process over; and until all are */
bool inside_is_dead(uint32_t pid);
struct inside_end {
    enum kymo_stage_end end;
    char why[256];
};
void inside_watch(struct inside *s, struct inside_end *out);

/* What init tells the caller. */
enum inside_news { INSIDE_CONTROL = 1, INSIDE_READY, INSIDE_END, INSIDE_FAILED };
struct inside_message {
    enum inside_news news;
    struct inside_end end;
    uint64_t freed, control_bytes;
    struct kymo_err err;
};
/* What the caller tells init: one byte. */
enum { INSIDE_GO = 'g', INSIDE_STOP = 's' };

/* stage_init.c: all of the above; returns the exit status of init */
int inside_main(struct inside *s, uid_t uid, gid_t gid);

#endif
