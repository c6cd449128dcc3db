/* SPDX-License-Identifier: Apache-2.0
 * image.h: a plan in the form in which it is executed: the calls of a slice, lowered so far that who issues
 * them needs to know nothing of what they mean. What compile.h makes, what a plan file holds (`--plan-out`),
 * and what every actor maps, read-only, at KYMO_IMAGE_BASE.
 *
 *     header | process | actor | call | dep | object | start | node | act | blob
 *
 * Each section is an array of one struct at an offset that is a multiple of 8; `blob` is bytes: texts with
 * their NUL, socket addresses, vectors, structures. An offset into it is a KYMO_BLOB: 0 is the empty text.
 *
 * A process is one of the slice, an actor one of its threads. An actor issues its calls in order, each when
 * the calls it depends on are done and, at a pace, when its moment has come. The environment (actor 0) is
 * everything the slice knows only from outside: peers of sockets and pipes, other programs that made or
 * removed files, senders of signals; its acts have an order, moments and dependencies as calls have them.
 *
 * The stage is freestanding: this header uses fixed-width types alone. Native byte order: a plan is for the
 * machine that made it (header.machine). Who reads a file of it checks it first (kymo_image_check()).
 */
#ifndef KYMO_PLAN_IMAGE_H
#define KYMO_PLAN_IMAGE_H

#include <stdint.h>

/* ---- the address space of an actor: everything of the stage's lies in one place, far from where the kernel
 * puts mappings, and below 2^39, which is what arm64 has at least ---- */
#define KYMO_STAGE_LOW 0x2b00000000u /* text and data of the stage, linked to lie there */
#define KYMO_STAGE_INJECT                                                                      \
    0x2b00800000u /* the one page whose calls are answered by the supervisor */
#define KYMO_IMAGE_BASE 0x2c00000000u /* the image, read-only, shared */
#define KYMO_IMAGE_BYTES_MAX 0x400000000u
#define KYMO_CONTROL_BASE 0x3000000000u /* struct kymo_control and what follows it, shared */
#define KYMO_CONTROL_BYTES_MAX 0x400000000u
#define KYMO_WORDS_BASE                                                                        \
    0x3400000000u /* futex words shared between processes: uint32_t, shared */
#define KYMO_WORDS_MAX 65536u
#define KYMO_OWN_WORDS_BASE 0x3401000000u /* futex words of one process, private */
#define KYMO_SINK_BASE 0x3500000000u /* where results are written; private, never looked at */
#define KYMO_SINK_BYTES 0x4000000u
#define KYMO_PATTERN_BASE 0x3600000000u /* what is sent and written; private, read-only */
#define KYMO_PATTERN_BYTES KYMO_SINK_BYTES
#define KYMO_LANE_BASE 0x3800000000u /* a lane a thread of the process: its stack and scratch */
#define KYMO_LANE_BYTES 0x100000u
#define KYMO_LANES_MAX 4096u
#define KYMO_STAGE_HIGH 0x7000000000u
/* A call of an actor whose pointer lies in control memory is the stage's own (waiting, pacing), and no call
 * of the slice: who records a replay again tells them apart by that alone. */
#define KYMO_FDS_MAX 65536u /* recorded descriptors above are not followed */

/* prctl(KYMO_STAGE_TAG, KYMO_TAG_*, actor, call, 0) = EINVAL marks, in a recording, where the script of an
 * actor begins and ends in a thread: calls outside are the stage's own. After an exec it begins anew. */
#define KYMO_STAGE_TAG 0x6b796d6fu
enum { KYMO_TAG_BEGIN = 1, KYMO_TAG_END = 2 };

typedef uint32_t kymo_blob; /* offset into the blob section */

#define KYMO_IMAGE_MAGIC 0x314e4c504f4d594bull /* "KYMOPLN1" */
#define KYMO_NONE UINT32_MAX

struct kymo_section {
    uint64_t at; /* bytes from the image's start */
    uint64_t n;  /* items; blob: bytes */
};

struct kymo_image {
    uint64_t magic;
    uint64_t bytes;         /* of the whole image */
    uint64_t checksum;      /* XXH3-64 of everything behind this field */
    uint32_t machine;       /* KYMO_ARCH_* */
    uint32_t n_first_nodes; /* nodes of the tree at the start; those behind are made by acts */
    uint64_t span_ns;       /* from the first call's start to the last one's end */
    uint64_t origin_ns;     /* of the capture's clock: what 0 of the plan is there */
    struct kymo_section process, actor, call, dep, object, start, node, act, blob;
};

struct kymo_iprocess {
    uint32_t parent;          /* process, KYMO_NONE: of none in the slice */
    uint32_t leader;          /* actor */
    uint32_t pid;             /* as recorded; for people */
    uint32_t at_start;        /* 1: there when the slice begins; 0: a call makes it */
    uint32_t start, n_starts; /* its descriptors when it begins, where at_start */
    kymo_blob cwd;            /* at the start: an absolute path, inside the root */
    uint32_t n_lanes;         /* threads that live at once at most */
    uint32_t nofile;          /* the descriptors it may need: RLIMIT_NOFILE at least */
    uint32_t umask;
    uint32_t
        handles; /* 1: signals that reach it from the start on find a handler, which does nothing */
    uint32_t pad;
};

struct kymo_iactor {
    uint32_t process;
    uint32_t tid;           /* as recorded; for people, and for who compares */
    uint32_t lane;          /* of its process */
    uint32_t at_start;      /* 1: there when the slice begins */
    uint32_t maker;         /* the actor whose call makes it, KYMO_NONE */
    kymo_blob comm;         /* its name when it begins */
    uint32_t call, n_calls; /* its calls lie together, in their order */
};

/* How a call is brought about. */
enum kymo_how {
    KYMO_HOW_ISSUE = 0, /* the call itself */
    KYMO_HOW_INJECT, /* issued, and its result given by the supervisor: the cause cannot be made here */
    KYMO_HOW_SKIP, /* not issued: on the never-list, or nothing that could be; `why` says it */
    KYMO_HOW_FORK, /* makes process `other` */
    KYMO_HOW_THREAD, /* makes actor `other` */
    KYMO_HOW_EXEC, /* a successful exec: of the stage, which goes on with the script; `text`: the new name */
    KYMO_HOW_EXIT, /* exit, exit_group: does not return */
    KYMO_HOW_COUNT
};

/* Why a call is not issued, or is injected, or what brings its result about. */
enum kymo_why {
    KYMO_WHY_NATURAL = 0, /* the kernel's own answer to the same situation */
    KYMO_WHY_SCRATCH,     /* natural, on memory of the stage's own: address space, structures */
    KYMO_WHY_ENVIRONMENT, /* natural, after an act of the environment: a peer, a file, a signal */
    KYMO_WHY_SUBSTITUTE, /* natural, on something like it: a device by a file, a netlink socket by a pair */
    KYMO_WHY_ERROR,     /* inject: an error whose cause cannot be made here */
    KYMO_WHY_RESULT,    /* inject: a result whose cause cannot be made here */
    KYMO_WHY_SIMULATED, /* inject: io_uring and its like */
    KYMO_WHY_SIGNAL,    /* skip, here and below: a signal to someone outside the slice */
    KYMO_WHY_POWER,     /* reboot, mount, modules, bpf, ptrace, namespaces, keys, raw devices */
    KYMO_WHY_IOCTL,     /* outside the allow list */
    KYMO_WHY_FOREIGN,   /* another architecture's call */
    KYMO_WHY_UNKNOWN,   /* a call that this program does not know */
    KYMO_WHY_UNFINISHED, /* it had not returned when the slice ended; issued last where that is harmless */
    KYMO_WHY_FOLLOWS, /* comes by itself: rt_sigreturn, a child's return from fork, restart_syscall */
    KYMO_WHY_BOUND, /* a bound of this program: descriptor, size, number */
    KYMO_WHY_COUNT
};

/* What an argument is; `arg` has its value. */
enum kymo_arg_kind {
    KYMO_ARG_IMM = 0, /* as it is */
    KYMO_ARG_FD, /* recorded descriptor -> this process's; AT_FDCWD and negatives as they are */
    KYMO_ARG_FD_NEW, /* a number to be given to a descriptor: dup2, dup3, F_DUPFD's least */
    KYMO_ARG_BLOB,   /* pointer to bytes of the image: the kernel only reads them */
    KYMO_ARG_COPY, /* offset << 16 | bytes (at most KYMO_COPY_MAX): a copy of blob bytes in the lane, writable */
    KYMO_ARG_SINK,    /* pointer KYMO_SINK_BASE + value: the kernel writes there */
    KYMO_ARG_PATTERN, /* pointer KYMO_PATTERN_BASE + value: the kernel reads there */
    KYMO_ARG_PID,  /* process index -> its pid now; what is not there: a pid that nobody has */
    KYMO_ARG_PGID, /* the same, negative: its group */
    KYMO_ARG_TID,  /* actor index -> its tid now */
    KYMO_ARG_REGION, /* region << 40 | offset: an address inside a mapping that an earlier call made */
    KYMO_ARG_WORD,     /* index of a futex word shared between processes */
    KYMO_ARG_OWN_WORD, /* index of a futex word of this process */
    KYMO_ARG_PAIR,     /* pointer to room for two descriptors, for KYMO_OUT_PAIR */
    KYMO_ARG_WAIT, /* pointer to a timespec: ns from now, scaled with the pace; UINT64_MAX: NULL */
    KYMO_ARG_WAIT_US, /* the same as a timeval */
    KYMO_ARG_UNTIL,   /* pointer to a timespec: moment of the plan in ns, on CLOCK_MONOTONIC */
    KYMO_ARG_UNTIL_REAL, /* the same on CLOCK_REALTIME */
    KYMO_ARG_WAIT_MS, /* milliseconds from now, scaled, by value (poll, epoll_wait); negative: forever */
    KYMO_ARG_POLL, /* pointer to a copy of a blob of struct pollfd (offset << 16 | n), descriptors mapped */
    KYMO_ARG_FDSET, /* pointer to an fd_set of a blob of uint32_t descriptors (offset << 16 | n), mapped */
    KYMO_ARG_ACTION, /* pointer to a struct sigaction whose handler does nothing; value: 0 default, 1 ignore, 2 handler */
    KYMO_ARG_BREAK, /* the program break at the start of this image of the process, plus value */
    KYMO_ARG_COUNT
};
#define KYMO_COPY_MAX 8192u

/* What becomes of a result. */
enum kymo_result_to {
    KYMO_OUT_NONE = 0,
    KYMO_OUT_FD,   /* >= 0: recorded descriptor `other` is this one */
    KYMO_OUT_PAIR, /* 0: recorded descriptors `other` and `other2` are the two of KYMO_ARG_PAIR */
    KYMO_OUT_REGION, /* no error: region `other` begins here */
    KYMO_OUT_CLOSE,  /* recorded descriptor `other` is no longer mapped */
};

struct kymo_icall {
    uint64_t enter_ns; /* moment of the plan */
    uint64_t dur_ns;   /* as recorded; 0 where not known */
    int64_t ret;       /* as recorded */
    uint64_t arg[6];
    uint8_t kind[6]; /* enum kymo_arg_kind */
    uint16_t nr;     /* of this machine */
    uint8_t how, why, out;
    uint8_t flags; /* KYMO_ICALL_* */
    uint16_t n_deps;
    uint32_t dep;           /* first of its dependencies */
    uint32_t other, other2; /* by `how` and `out` */
    kymo_blob text;         /* exec: the name from here on; else 0 */
    uint32_t word_value;    /* futex wait: what the word holds when it begins */
    uint32_t row;           /* of the trace: which call this is */
};
enum {
    KYMO_ICALL_BLOCKS =
        1, /* it was in the kernel for long: others may have to wait until it is there */
    KYMO_ICALL_SET_WORD = 2, /* futex: store word_value first */
    KYMO_ICALL_BYTES = 4,    /* its result is a number of bytes */
    KYMO_ICALL_MEMORY = 8,   /* on the actor's own address space: not counted in coverage */
    KYMO_ICALL_LONGER = 16,  /* a size or number was cut to what the stage has room for */
};

/* Wait until actor `actor` (0: the environment) has done its call (act) number `index`, counted from 0 in its
 * own order; with KYMO_DEP_BEGUN until it is inside it. */
struct kymo_dep {
    uint32_t actor, index;
};
#define KYMO_DEP_BEGUN 0x80000000u /* in index */

/* What descriptors are open on when the slice begins, and what peers there are. */
enum kymo_object_kind {
    KYMO_OBJECT_FILE = 1, /* path, flags (O_*), at (offset) */
    KYMO_OBJECT_PIPE, /* `pair`: the other end's object; flags: O_WRONLY for the writing end, O_NONBLOCK */
    KYMO_OBJECT_LISTEN, /* local */
    KYMO_OBJECT_STREAM, /* connected; local, peer; `pair`: the object at the other end, which may be an actor's or the environment's */
    KYMO_OBJECT_DGRAM,  /* local, peer; unconnected where there is no peer */
    KYMO_OBJECT_EPOLL, /* `watch`: blob of uint32_t n, then n of {uint32_t process, fd, events}: what is registered */
    KYMO_OBJECT_EVENT, /* eventfd */
    KYMO_OBJECT_TIMER,
    KYMO_OBJECT_SIGNAL,
    KYMO_OBJECT_INOTIFY,
    KYMO_OBJECT_OTHER, /* substituted by an eventfd */
};
/* In flags of an environment's KYMO_OBJECT_LISTEN: what connects to it is relayed to the target that the stage is
 * given, and no act speaks for that peer. */
#define KYMO_OBJECT_TO_TARGET 0x80000000u
struct kymo_iobject {
    uint8_t kind,
        is_environment; /* 1: the environment holds it, from the start or once an act made it */
    uint16_t family;    /* AF_* of sockets */
    uint32_t flags;
    uint32_t pair;         /* object, KYMO_NONE */
    kymo_blob path;        /* of a file; relative to the root, begins with / */
    kymo_blob local, peer; /* uint32_t length, then struct sockaddr; 0: none */
    kymo_blob watch;
    uint64_t at;
};

/* Descriptor `fd` of a process at the start. */
struct kymo_istart {
    uint32_t fd, object;
    uint32_t cloexec;
    uint32_t pad;
};

/* The tree at the start: parents before children. */
enum kymo_node_kind {
    KYMO_NODE_DIR = 1,
    KYMO_NODE_FILE, /* patterned, size_bytes long, sparse where large */
    KYMO_NODE_LINK, /* symbolic, to `target` */
    KYMO_NODE_FIFO,
    KYMO_NODE_SOCKET, /* a unix socket that nobody listens on */
    KYMO_NODE_DEVICE, /* null, zero, full, random, urandom: the host's own, else a file */
};
struct kymo_inode {
    kymo_blob path, target;
    uint32_t kind, mode; /* permission bits */
    uint64_t size_bytes;
    uint32_t n_fill, fill_bytes; /* dir: so many further entries with names of so many bytes */
};

/* What the environment does, in this order. */
enum kymo_act_kind {
    KYMO_ACT_LISTEN = 1, /* object listens on its local address */
    KYMO_ACT_CONNECT, /* object, from its local address where it has one, to its peer address */
    KYMO_ACT_ACCEPT,  /* object takes the next connection of listener `other` */
    KYMO_ACT_SEND,    /* `n` bytes on object (stream, pipe) or one datagram of n bytes */
    KYMO_ACT_RECV,    /* take what is there on object, `n` bytes at least */
    KYMO_ACT_SHUT,    /* no more from our side: the peer reads to its end */
    KYMO_ACT_CLOSE,
    KYMO_ACT_RESET,  /* close, with RST where the family has it */
    KYMO_ACT_SIGNAL, /* signal `n` to actor `other` */
    KYMO_ACT_WAKE,   /* futex wake of `n` on shared word `other` */
    KYMO_ACT_TREE, /* node `other` of section node comes about now: n 0 made, 1 removed, 2 given its size, 3 given its mode */
};
struct kymo_iact {
    uint64_t enter_ns;
    uint64_t n;
    uint32_t kind, object;
    uint32_t other;
    uint32_t dep;
    uint32_t n_deps;
    uint32_t pad;
};

/* ---- what the actors share while a plan runs: at KYMO_CONTROL_BASE; then n_actors of struct
 * kymo_progress, then n_calls of struct kymo_outcome, then n_acts of it ---- */
struct kymo_control {
    uint64_t bytes;
    uint64_t
        zero_ns; /* CLOCK_MONOTONIC of the plan's moment 0; 0: do not begin yet (a futex word: go) */
    uint64_t real_ns; /* CLOCK_REALTIME less CLOCK_MONOTONIC */
    double pace;      /* moments and waits are multiplied by it; 0: as fast as possible */
    uint32_t go;      /* futex: 1 begin, 2 leave */
    uint32_t stop;    /* futex: 1: all is over */
    uint32_t n_actors, n_processes;
    uint32_t spin_ns; /* how long before its moment an actor stays awake */
    uint32_t inject;  /* 1: there is a supervisor; else what is to be injected is skipped */
    uint64_t progress_at, outcome_at, act_at,
        pid_at; /* offsets from KYMO_CONTROL_BASE; pid: uint32_t a process */
};

/* One an actor, a cache line each. */
struct kymo_progress {
    uint32_t done;    /* futex: calls that are over */
    uint32_t begun;   /* futex: calls that were begun: done or done + 1 */
    uint32_t waiters; /* of either */
    uint32_t tid;     /* in the sandbox; 0: not there yet */
    uint32_t state;   /* KYMO_ACTOR_* */
    uint32_t scratch[3];
    uint64_t begun_ns;
    int64_t wait[2]; /* a timespec for its own waiting */
    uint64_t spare;
};
enum {
    KYMO_ACTOR_ABSENT = 0,
    KYMO_ACTOR_READY,
    KYMO_ACTOR_PACED,
    KYMO_ACTOR_HELD,
    KYMO_ACTOR_CALLING,
    KYMO_ACTOR_ENDED
};

struct kymo_outcome {
    uint64_t enter_ns; /* moment of the plan, as measured: not scaled back; 0: never begun */
    uint64_t exit_ns;  /* 0: not over */
    int64_t ret;
};

_Static_assert(sizeof(struct kymo_progress) == 64, "progress");
_Static_assert(sizeof(struct kymo_icall) % 8 == 0, "call");

#endif
