/* SPDX-License-Identifier: Apache-2.0
 * compile_own.h: what the parts of the compiler share.
 *
 *     trace ─► lineage ─► walk ──────────────────────► flows, ready ─► lower ─► depend ─► image
 *              who makes  at each call's beginning     who released     calls    edges
 *              whom       and end, in time: descriptors, whom           lowered
 *                         tree, memory, words
 *
 * A call has two points in time, `begin` and `done`, between its recorded beginning and end: of a call that
 * waited for others they are those themselves; of a short one they are one and the same moment, its beginning
 * where it gives (write, close, wake), its end where it takes. A dependency is an edge from a point to a
 * call's begin, and only ever forward in time (before()): so there is no cycle, whatever the capture claims.
 */
#ifndef KYMO_PLAN_COMPILE_OWN_H
#define KYMO_PLAN_COMPILE_OWN_H

#include "format/base/bytes.h"
#include "replay/plan/compile.h"
#include "replay/plan/lower_table.h"

#define NONE KYMO_NONE
#define SIZE_AS_IS UINT64_MAX
#define CUT_SIGNAL 2 /* in note.cut: a signal of the slice reached it */
#define NOBODY_PID 0x3ffffff0u
#define START_FDS_MAX                                                                          \
    16384u /* numbers that any host lets a process have: others are not opened ahead */
#define WAITS_NS 20000u /* a call that may wait and took that long has waited */

/* A growing array in memory of the compiler's own, counted against its cap. */
struct list {
    void *p;
    size_t n, cap;
};

/* u64 -> u32, open addressing. */
struct hash64 {
    uint64_t *key; /* 0: free */
    uint32_t *value;
    size_t n, slots;
};

/* What is found out about a call before it is lowered. */
struct note {
    uint64_t begin, done; /* ns since the origin; see above */
    uint64_t size;        /* what it is to ask for; SIZE_AS_IS: what it asked for */
    uint64_t at;          /* by op: offset in the file before it, address in a region, value */
    uint32_t object, object2;
    uint32_t link;  /* by op: other thread, process, inode, region, futex */
    uint32_t extra; /* by op: index into a list of its own; blob */
    uint32_t wait;  /* read, accept: the poll that had seen it, NONE */
    uint8_t how, why;
    uint8_t blocks, cut;
    uint8_t nonblock; /* its object could not wait then */
};

/* ---- objects: what descriptors are open on ---- */

enum object_kind {
    O_FILE = 1,
    O_PIPE,
    O_SOCKET, /* not yet connected, and not listening */
    O_LISTEN,
    O_STREAM,
    O_DGRAM,
    O_EPOLL,
    O_EVENT,
    O_TIMER,
    O_SIGNAL,
    O_INOTIFY,
    O_OTHER,
};

struct object {
    uint8_t kind, is_start, is_env;
    uint8_t nonblock, is_broken; /* broken: bytes came from where the slice has nobody */
    uint8_t is_relayed;          /* its peer is a real one (--target): nobody speaks for it */
    uint8_t is_substitute, side; /* pipe: SIDE_*, once it is known */
    uint16_t family;
    uint32_t same_as; /* another object that it turned out to be, NONE */
    uint32_t type;    /* SOCK_* */
    uint32_t flags;
    uint32_t pair;    /* the other end */
    uint32_t in, out; /* flows: what is read from it, what is written to it */
    uint32_t inode;
    uint32_t local, peer; /* texts */
    uint32_t refs;        /* descriptors of the slice on it */
    uint32_t closed_by;   /* the call that dropped the last, or shut its writing side; NONE */
    uint32_t made_by;     /* call; NONE */
    uint32_t resource;
    uint32_t watches; /* epoll: its list; others: watches on them; index into watch, NONE */
    uint64_t offset;
    uint64_t seen;      /* thread << 32 | serial of the wait that its last use followed */
    uint32_t pending;   /* bytes written to the environment and not yet taken */
    uint32_t act;       /* the last act on it, NONE */
    uint32_t last_call; /* that used it */
    uint32_t listens;   /* listener, NONE */
    uint32_t index;     /* in the image, NONE: not in it */
    uint32_t ident;     /* text "pipe:[7]" by which snapshots name it */
};

enum { SIDE_UNKNOWN = 0, SIDE_READ, SIDE_WRITE };

struct fd_slot {
    uint32_t object;
    uint8_t state; /* FD_* */
    uint8_t cloexec;
};
enum { FD_UNKNOWN = 0, FD_OPEN, FD_CLOSED };

struct start_fd {
    uint32_t fd, object;
    uint8_t cloexec;
};

/* A stretch of a mapping that a call of the process made. */
struct piece {
    uint64_t start, bytes;
    uint32_t region;
    uint64_t offset; /* of start in the region */
};

struct proc {
    uint32_t of;     /* trace process; NONE: made up for a child that the slice does not have */
    uint32_t parent; /* proc that forked it in the slice or had done before, NONE */
    uint32_t root;   /* the proc at whose start a descriptor of its must have been open */
    uint32_t leader; /* actor */
    uint32_t n_actors;
    uint8_t at_start, has_handlers, has_left, is_waited;
    uint32_t forked_by;               /* call, NONE */
    uint32_t first_child, next_child; /* that nobody has waited for yet, as far as is known */
    uint32_t left_by;                 /* the call with which it ended, NONE */
    struct fd_slot *fd;
    uint32_t n_fds, cap_fds;
    uint32_t low[2];    /* no number below is free for an end of a pipe, of a socket pair */
    struct list starts; /* struct start_fd, of a root */
    uint32_t snapshot, n_snapshot; /* the first of its snapshots, in trace.fd */
    uint64_t snapshot_ns;
    uint32_t cwd; /* inode */
    uint32_t start_cwd;
    struct list pieces; /* struct piece, by address */
    uint32_t n_regions;
    uint64_t brk; /* of this image, 0: not seen */
    uint32_t
        signal_by; /* call that sent it the last signal, and nobody has seen to that; NONE */
    uint8_t suspends;
    uint64_t signals; /* those that its signalfd is for, as a mask */
    uint32_t umask;
    uint32_t resource, table_resource;
};

struct actor {
    uint32_t of; /* trace thread; NONE: made up */
    uint32_t proc, lane, maker, maker_call;
    uint8_t at_start;
    uint32_t last_wait,
        serial;         /* its last poll that found something, and how many there were */
    uint32_t wait_left; /* objects that the poll may still account for */
    uint32_t first, n;  /* of order, NONE made up: 0 calls */
    uint32_t fds_until;
};

/* ---- the tree ---- */

struct slot { /* a name in a directory */
    uint32_t dir, name;
    uint32_t inode0, inode; /* at the start, and now; NONE */
    uint8_t first, now;     /* IS_*; first: what it was before anyone of the slice changed it */
    uint8_t is_written;
    uint32_t resource;
};
enum { IS_UNKNOWN = 0, IS_ABSENT, IS_THERE };

struct inode {
    uint32_t slot;   /* the first name it had, NONE: the root */
    uint32_t parent; /* directory */
    uint8_t kind;    /* KYMO_NODE_*, 0: not known yet */
    uint8_t is_start;
    uint8_t is_exact;   /* size0 is what it was, else at least that */
    uint8_t size_known; /* size is what it is now */
    uint8_t deny;       /* permission bits that were denied: 4 2 1 */
    uint8_t is_cut;     /* the slice gave it a size: what it is now says nothing of the start */
    uint8_t is_full;    /* something lies in it that no path of the slice names */
    uint8_t is_used;    /* a link: it was followed */
    uint8_t is_walked;  /* paths lead through it */
    uint8_t is_read; /* somebody looks at what is in it: who writes has to wait for his turn */
    uint32_t follow; /* link: what it leads to */
    uint32_t target; /* link made in the slice: text */
    uint32_t link_bytes;
    uint64_t size0, size;       /* at the start, and now */
    uint64_t hint;              /* mapped that far */
    uint64_t dents_bytes;       /* listed at once */
    uint32_t n_found, n_missed; /* names that were found in it, and that were not */
    uint32_t resource;
    uint32_t path; /* blob, once it is in the image; NONE */
};

/* ---- flows: bytes on their way from one end to another ---- */

struct flow_event {
    uint32_t call;
    uint8_t kind; /* FLOW_* */
    uint64_t end; /* bytes up to and with this one */
};
enum { FLOW_WRITE, FLOW_READ, FLOW_EMPTY, FLOW_END, FLOW_SHORT };

struct flow {
    struct list write, read; /* struct flow_event */
    uint64_t written, taken;
    uint32_t from, to; /* objects */
    uint8_t by_message;
};

/* ---- acts of the environment, and edges ---- */

struct act {
    struct kymo_iact
        a; /* object, other: of this compiler's; put right when the image is built */
    uint64_t point;
    uint32_t inode; /* KYMO_ACT_TREE: whose, and how it is then */
    struct kymo_inode node;
    uint32_t order; /* its place among the acts, once they are sorted */
};
#define IS_ACT 0x80000000u

struct use {
    uint32_t who; /* call, or act | IS_ACT */
    uint32_t resource;
    uint32_t writes;
};

struct edge {
    uint32_t to, from; /* call, or act | IS_ACT */
    uint32_t begun;    /* 1: until it is begun */
};

struct watch { /* what an epoll instance was told of */
    uint32_t epoll, object, proc, fd;
    uint32_t call;   /* its epoll_ctl, NONE: before the start */
    uint32_t events; /* seen to be waited for */
    uint32_t next_of_epoll, next_of_object;
    uint8_t is_live;
    uint8_t is_start; /* registered when the slice begins, whatever becomes of it */
};

struct word {      /* a futex */
    uint32_t proc; /* NONE: shared */
    uint64_t address;
    uint32_t index; /* of its kind */
    uint8_t is_shared;
    uint32_t resource;
    struct list waiters; /* calls */
};

struct pending { /* a connection */
    uint32_t call, object;
    uint8_t is_taken;
};

struct listener {      /* a port or path that is, or was, listened on */
    uint32_t n_live;   /* sockets of the slice that listen there */
    uint32_t object;   /* the last of them, NONE */
    uint32_t stranger; /* the environment's own, NONE */
    struct list queue; /* struct pending */
    uint32_t taken;
};

struct reloc { /* a pointer inside the blob, to another place in it */
    uint32_t at, to;
};

struct maker {
    const struct kymo_trace *t;
    const struct kymo_plan_opts *o;
    struct kymo_err *err;
    struct kymo_plan *plan;
    struct kymo_arena arena; /* scratch: until the image is built */
    size_t cap_bytes, used_bytes;

    struct note *note;            /* [n_calls] */
    const struct lower_row **row; /* [n_calls]; NULL: not known */
    struct list procs, actors, objects, slots, inodes, flows, acts, uses, edges, watches, words,
        listeners, regions;
    uint32_t *actor_of; /* [trace threads] */
    uint32_t *proc_of;  /* [trace processes] */
    uint32_t *index_of; /* [n_calls] its place in its actor */
    uint32_t
        *thread_next; /* [trace threads] of the same tid, and the process's of the same pid */
    uint32_t *process_next;
    struct hash64 by_tid, by_pid, slot_of, name_of, blob_of, word_of, pipe_of, stream_of,
        port_of, watch_of, known_by;
    struct list names; /* struct name: components of paths */
    uint32_t n_shared_words, n_own_words, n_resources, root, n_regions;
    uint32_t null_object, n_first_nodes, zeros;
    uint32_t full_fd, full_object; /* of the device that is always full; NONE: not needed */
    int64_t own_uid, own_gid;      /* what the process that plays it will be */
    struct kymo_buf blob, icall, idep, iobject, inode_out, iact, istart;
    struct list relocs;
    uint64_t origin;
    uint32_t *act_order; /* place -> act, once they are sorted */
};

struct name {
    const char *s;
    uint32_t n;
};

/* ---- lists (compile.c) ---- */
KYMO_MUST_USE kymo_status maker_too_much(struct maker *m);
KYMO_MUST_USE kymo_status list_add(struct maker *m, struct list *l, size_t item, void *out);
void list_release(struct maker *m, struct list *l, size_t item);
#define AT(list, type, i) (&((type *)(list).p)[i])
KYMO_MUST_USE kymo_status maker_words(struct maker *m, uint32_t **out, size_t n, uint32_t fill);
/* *value: where the value of key is, NONE in it where it is new. Valid until the next call. */
KYMO_MUST_USE kymo_status hash64_at(struct maker *m, struct hash64 *h, uint64_t key,
                                    uint32_t **value);
uint32_t hash64_get(const struct hash64 *h, uint64_t key); /* NONE: not there */
uint64_t hash64_mix(uint64_t a, uint64_t b);

static inline struct object *object_at(const struct maker *m, uint32_t i)
{
    return AT(m->objects, struct object, i);
}
/* What it turned out to be. */
static inline uint32_t object_real(const struct maker *m, uint32_t i)
{
    while (i != NONE && object_at(m, i)->same_as != NONE)
        i = object_at(m, i)->same_as;
    return i;
}
static inline struct proc *proc_at(const struct maker *m, uint32_t i)
{
    return AT(m->procs, struct proc, i);
}
static inline struct actor *actor_at(const struct maker *m, uint32_t i)
{
    return AT(m->actors, struct actor, i);
}
static inline struct inode *inode_at(const struct maker *m, uint32_t i)
{
    return AT(m->inodes, struct inode, i);
}
static inline struct slot *slot_at(const struct maker *m, uint32_t i)
{
    return AT(m->slots, struct slot, i);
}
static inline struct flow *flow_at(const struct maker *m, uint32_t i)
{
    return AT(m->flows, struct flow, i);
}
static inline struct act *act_at(const struct maker *m, uint32_t i)
{
    return AT(m->acts, struct act, i);
}
static inline struct watch *watch_at(const struct maker *m, uint32_t i)
{
    return AT(m->watches, struct watch, i);
}
static inline struct word *word_at(const struct maker *m, uint32_t i)
{
    return AT(m->words, struct word, i);
}
static inline const struct kymo_trace_call *call_at(const struct maker *m, uint32_t i)
{
    return &m->t->call[i];
}
static inline const char *text_of(const struct maker *m, uint32_t id)
{
    return m->t->text[id];
}
static inline uint32_t proc_of_call(const struct maker *m, uint32_t call)
{
    return actor_at(m, m->actor_of[m->t->call[call].thread])->proc;
}
static inline uint32_t actor_of_call(const struct maker *m, uint32_t call)
{
    return m->actor_of[m->t->call[call].thread];
}
static inline uint64_t dur_of(const struct kymo_trace_call *c)
{
    return c->exit_ns - c->enter_ns;
}
static inline int has_ret(const struct kymo_trace_call *c)
{
    return (c->has & KYMO_TRACE_HAS_RET) != 0;
}
static inline int is_ok(const struct kymo_trace_call *c)
{
    return has_ret(c) && (c->ret >= 0 || c->ret < -4095);
}
static inline int is_unfinished(const struct kymo_trace_call *c)
{
    return (c->flags & 4) != 0;
}

/* ---- lineage.c: who is there, and who makes whom ---- */
KYMO_MUST_USE kymo_status family_find(struct maker *m);
KYMO_MUST_USE kymo_status family_exit(struct maker *m, uint32_t call); /* exit, wait, kill */
KYMO_MUST_USE kymo_status family_finish(struct maker *m);
/* The proc of a pid at a moment, NONE; the actor of a tid. */
uint32_t family_pid(const struct maker *m, uint64_t pid, uint64_t ns);
uint32_t family_tid(const struct maker *m, uint64_t tid, uint64_t ns);

/* ---- descriptors.c ---- */
KYMO_MUST_USE kymo_status fds_begin(struct maker *m);
/* What fd is open on; made up where it must have been open at the start. NONE: closed. */
KYMO_MUST_USE kymo_status fds_get(struct maker *m, uint32_t proc, uint32_t call, uint64_t fd,
                                  uint32_t *object);
KYMO_MUST_USE kymo_status fds_enter(struct maker *m, uint32_t call);
KYMO_MUST_USE kymo_status fds_exit(struct maker *m, uint32_t call);
KYMO_MUST_USE kymo_status object_new(struct maker *m, enum object_kind kind, uint32_t call,
                                     uint32_t *out);
KYMO_MUST_USE kymo_status flow_new(struct maker *m, uint32_t from, uint32_t to, uint32_t *out);
KYMO_MUST_USE kymo_status object_pair(struct maker *m, uint32_t a, uint32_t b);

/* ---- connect.c ---- */
KYMO_MUST_USE kymo_status connect_begin(struct maker *m);
KYMO_MUST_USE kymo_status connect_enter(struct maker *m, uint32_t call);
KYMO_MUST_USE kymo_status connect_accepts(struct maker *m, uint32_t call); /* object2 */
KYMO_MUST_USE kymo_status connect_exit(struct maker *m, uint32_t call);
KYMO_MUST_USE kymo_status connect_start(struct maker *m, uint32_t object);

/* ---- tree.c ---- */
KYMO_MUST_USE kymo_status tree_begin(struct maker *m);
KYMO_MUST_USE kymo_status tree_exit(struct maker *m, uint32_t call);
/* A unix socket listens there, which makes its name by itself. */
KYMO_MUST_USE kymo_status tree_socket(struct maker *m, const char *path);
KYMO_MUST_USE kymo_status tree_start_file(struct maker *m, uint32_t object, const char *path);
KYMO_MUST_USE kymo_status tree_dir(struct maker *m, const char *path, uint32_t *inode);
KYMO_MUST_USE kymo_status tree_resource(struct maker *m, uint32_t inode, uint32_t *out);
KYMO_MUST_USE kymo_status tree_change(struct maker *m, uint32_t call, uint32_t inode,
                                      uint32_t slot, uint32_t what);
KYMO_MUST_USE kymo_status inode_new(struct maker *m, uint8_t kind, int is_start, uint32_t *out);
/* ---- files.c ---- */
KYMO_MUST_USE kymo_status files_use(struct maker *m, uint32_t call);
/* bytes at offset of an inode were read (wanted so many), or written */
KYMO_MUST_USE kymo_status tree_read(struct maker *m, uint32_t call, uint32_t inode, uint64_t at,
                                    uint64_t want, uint64_t got);
KYMO_MUST_USE kymo_status tree_write(struct maker *m, uint32_t inode, uint64_t at,
                                     uint64_t got);
KYMO_MUST_USE kymo_status tree_resize(struct maker *m, uint32_t call, uint32_t inode,
                                      uint64_t bytes);
KYMO_MUST_USE kymo_status tree_emit(struct maker *m);

/* ---- flows.c ---- */
KYMO_MUST_USE kymo_status flows_use(struct maker *m, uint32_t call);
/* A poll found nothing of this object to read. */
KYMO_MUST_USE kymo_status flows_empty(struct maker *m, uint32_t call, uint32_t object);
KYMO_MUST_USE kymo_status flows_finish(struct maker *m);

/* ---- ready.c: poll, select, epoll ---- */
KYMO_MUST_USE kymo_status ready_exit(struct maker *m, uint32_t call);
/* A call used an object: what was it waiting for? */
void ready_used(struct maker *m, uint32_t call, uint32_t object, int writes);
KYMO_MUST_USE kymo_status ready_finish(struct maker *m);

/* ---- memory.c, futexes.c ---- */
KYMO_MUST_USE kymo_status memory_exit(struct maker *m, uint32_t call);
KYMO_MUST_USE kymo_status memory_fork(struct maker *m, uint32_t parent, uint32_t child);
void memory_exec(struct maker *m, uint32_t proc);
KYMO_MUST_USE kymo_status words_enter(struct maker *m, uint32_t call);
KYMO_MUST_USE kymo_status words_exit(struct maker *m, uint32_t call);
KYMO_MUST_USE kymo_status words_finish(struct maker *m);

/* ---- signals.c ---- */
KYMO_MUST_USE kymo_status signals_find(struct maker *m);
KYMO_MUST_USE kymo_status signals_enter(struct maker *m, uint32_t call);
KYMO_MUST_USE kymo_status signals_exit(struct maker *m, uint32_t call);
uint64_t signals_mask(const struct maker *m, uint32_t call); /* that rt_sigprocmask is to set */
KYMO_MUST_USE kymo_status signals_finish(struct maker *m);

/* ---- acts and edges (depend.c) ---- */
/* A point ahead of a call, and behind those that were over when it began. */
static inline uint64_t point_ahead(const struct maker *m, uint32_t call)
{
    const uint64_t enter = m->t->call[call].enter_ns - m->origin;
    return enter + (m->note[call].begin > enter + 1);
}
KYMO_MUST_USE kymo_status act_new(struct maker *m, enum kymo_act_kind kind, uint32_t object,
                                  uint64_t point, uint32_t *out);
KYMO_MUST_USE kymo_status use_add(struct maker *m, uint32_t who, uint32_t resource, int writes);
/*
 * An act by which the environment lets a call, that took something of object, have its result: while it sleeps,
 * or while the poll before it does, else ahead of both.
 */
KYMO_MUST_USE kymo_status act_release(struct maker *m, enum kymo_act_kind kind, uint32_t call,
                                      uint32_t taker, uint32_t object, uint32_t *out);
/* giver, a call, is what call waited for: the same with a call of the slice. */
KYMO_MUST_USE kymo_status edge_release(struct maker *m, uint32_t call, uint32_t giver);
/* Only where it goes forward in time, else nothing. */
KYMO_MUST_USE kymo_status edge_add(struct maker *m, uint32_t to, uint32_t from, int begun);
uint32_t resource_new(struct maker *m);
KYMO_MUST_USE kymo_status depend_find(struct maker *m);

/* ---- lower.c ---- */
KYMO_MUST_USE kymo_status lower_calls(struct maker *m);
/* ---- lower_special.c, lower_error.c ---- */
KYMO_MUST_USE kymo_status lower_special(struct maker *m, uint32_t call, struct kymo_icall *out);
/* Will the call fail so by itself? */
int lower_fails_alone(const struct maker *m, uint32_t call);
/* Will it, not having failed, have such a result by itself? */
int lower_works_alone(const struct maker *m, uint32_t call);
static inline void arg_set(struct kymo_icall *c, int i, uint8_t kind, uint64_t value)
{
    c->kind[i] = kind;
    c->arg[i] = value;
}
/* A descriptor; what is none is given as it is. */
static inline void arg_fd(struct kymo_icall *c, int i, uint64_t recorded, uint8_t kind)
{
    const int32_t fd = (int32_t)recorded;
    if (fd >= 0 && fd < (int32_t)KYMO_FDS_MAX)
        arg_set(c, i, kind, (uint64_t)fd);
    else
        arg_set(c, i, KYMO_ARG_IMM, (uint64_t)(int64_t)fd);
}
#define BUFFER_BYTES_MAX ((uint64_t)62 << 20)
#define SINK_OWN                                                                               \
    (KYMO_SINK_BYTES - 0x100000u) /* behind it lies what the kernel keeps writing to */

/* ---- blob (image_build.c) ---- */
KYMO_MUST_USE kymo_status blob_put(struct maker *m, const void *p, size_t n, size_t align,
                                   uint32_t *at);
KYMO_MUST_USE kymo_status blob_text(struct maker *m, const char *s, size_t n, uint32_t *at);
KYMO_MUST_USE kymo_status blob_reloc(struct maker *m, uint32_t at, uint32_t to);
KYMO_MUST_USE kymo_status image_build(struct maker *m);

/* ---- sockaddr.c ---- */
/* The struct sockaddr that a text of the recorder's stands for; nothing where there is none. */
void sockaddr_of_text(const char *s, struct kymo_buf *out);
/* The port of an inet or inet6 text, 0: none; the path of a unix one that has one, NULL. */
uint32_t sockaddr_port(const char *s);
const char *sockaddr_path(const char *s);

/* ---- writes that found no room (fulldisk.c) ---- */

/* Before the tree is laid out. */
KYMO_MUST_USE kymo_status fulldisk_find(struct maker *m);
/* Is this a write to be made on m->full_fd? */
int fulldisk_takes(const struct maker *m, uint32_t call);

#endif
