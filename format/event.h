/* SPDX-License-Identifier: Apache-2.0
 *
 * event.h: the records that the kernel side hands to the recorder. Fixed widths, no implicit
 * padding, every offset asserted, because two compilers (gcc, clang -target bpf) must agree.
 *
 * A syscall ring holds two kinds of record, each a multiple of 8 bytes:
 *
 *   TASK   who a thread is; written once, before its first call, and again after anything in it
 *          changed (exec, rename, credentials, cgroup). All later calls carry the tid alone.
 *   CALL   one system call: fixed part, then n_args arguments, then its strings, each padded to 8
 *
 *     0        8        16       24       32          40             40+8n
 *     | head   | ts_ns  | dur_ns | ret    | nr ..     | arg[n_args]  | path | path2 |
 */
#ifndef KYMO_EVENT_H
#define KYMO_EVENT_H

#ifndef __bpf__
#include <stdint.h>
#define KYMO_U8 uint8_t
#define KYMO_U16 uint16_t
#define KYMO_U32 uint32_t
#define KYMO_U64 uint64_t
#define KYMO_I64 int64_t
#else
#define KYMO_U8 __u8
#define KYMO_U16 __u16
#define KYMO_U32 __u32
#define KYMO_U64 __u64
#define KYMO_I64 __s64
#endif

/* A ring is a run of slices, each a value of one array map: a value is at most 4 MiB everywhere.
 * A record may run past its slice's end into the slack, never past it. */
#define KYMO_SLICE_BITS 21u
#define KYMO_SLICE_BYTES (1u << KYMO_SLICE_BITS)
#define KYMO_SLACK_BYTES 16384u
#define KYMO_STR_MAX 4096u /* PATH_MAX: with its NUL, a path is never cut */
#define KYMO_ADDR_MAX 128u /* sizeof(struct sockaddr_storage) */
#define KYMO_COMM_BYTES 16u
#define KYMO_ARGV_MAX 2048u
#define KYMO_WALK_MAX 1280u /* of a path, walked from its end to the root */

enum kymo_event_kind {
    KYMO_EVENT_CALL = 1,
    KYMO_EVENT_TASK = 2,
    KYMO_EVENT_FORK = 3,
    KYMO_EVENT_EXEC = 4,
    KYMO_EVENT_EXIT = 5,
    KYMO_EVENT_SNAPSHOT = 6, /* of a task that is there, from the iterator */
    KYMO_EVENT_CGROUP = 7,   /* a cgroup was made: its id and its path */
};

#define KYMO_DUR_UNKNOWN (~(KYMO_U64)0)

struct kymo_event_head {
    KYMO_U16 bytes; /* of the whole record */
    KYMO_U8 kind;   /* enum kymo_event_kind */
    KYMO_U8 n_args; /* CALL: 0..6 */
    KYMO_U32 tid;
    KYMO_U64 ts_ns; /* CLOCK_MONOTONIC */
};

struct kymo_event_call {
    struct kymo_event_head head;
    KYMO_U64 dur_ns; /* KYMO_DUR_UNKNOWN: the entry was not seen */
    KYMO_I64 ret;
    KYMO_U16 nr;
    KYMO_U8 flags;       /* KYMO_CALL_* (format/trace/schema.h) */
    KYMO_U8 has_addr;    /* the first string is a struct sockaddr */
    KYMO_U16 path_bytes; /* of the first string without its NUL; 0: none */
    KYMO_U16 path2_bytes;
    KYMO_U64 arg[6]; /* n_args of them count; strings follow those */
};
#define KYMO_EVENT_CALL_FIXED 40u

/* Identity and surroundings of a task. */
struct kymo_event_task {
    struct kymo_event_head head;
    KYMO_U32 pid, ppid;
    KYMO_U64 start_ns; /* since boot, of the process's leader */
    KYMO_U64 exec_seq;
    KYMO_U64 cgroup_id;
    KYMO_U32 uid, gid;
    char comm[KYMO_COMM_BYTES];
    KYMO_U32 entity; /* of this process in the cells that count its calls; 0: none */
    KYMO_U32 choice; /* KYMO_SLOT_FULL or KYMO_SLOT_COUNTED */
    KYMO_U32 euid, egid;
    KYMO_U64 capeff;
    KYMO_U32 nspid;                       /* in its own pid namespace */
    KYMO_U32 pidns, mntns, netns, userns; /* inode numbers; 0: it has left them already */
    KYMO_U32 pad;
};

/* What a process used up, all of its threads. */
struct kymo_event_usage {
    KYMO_U64 lifetime_ns;        /* 0: there are no numbers */
    KYMO_U64 utime_ns, stime_ns; /* as the ticks sampled it */
    KYMO_U64 runtime_ns;         /* exactly, without telling user from system time */
    KYMO_U64 maxrss_pages, minflt, majflt;
};

/* fork, exec, exit: on the process ring; snapshot: out of the iterator. Strings are of exec and
 * snapshot alone, and only so many bytes are sent as are filled.
 *
 * A walked path is its names from the last to the first, each with a NUL: "b\0a\0" is /a/b. */
struct kymo_event_process {
    struct kymo_event_task task;
    struct kymo_event_usage usage; /* exit of a process's last thread */
    KYMO_U32 code;                 /* exit: wait status */
    KYMO_U16 exe_bytes, argv_bytes, cwd_bytes;
    KYMO_U8 has_exe, has_cwd; /* the walk came to the root */
    KYMO_U32 pad;
    char text[2 * KYMO_WALK_MAX + KYMO_ARGV_MAX]; /* exe, argv with its NULs, cwd */
};
#define KYMO_EVENT_PROCESS_FIXED 192u

/* A cgroup was made. */
struct kymo_event_cgroup {
    struct kymo_event_head head;
    KYMO_U64 id;
    char path[KYMO_WALK_MAX]; /* below its hierarchy's root, with a NUL */
};
#define KYMO_EVENT_CGROUP_FIXED 24u

/* A descriptor that is open, from the iterator. */
struct kymo_event_fd {
    KYMO_U16 bytes; /* of the whole record, a multiple of 8 */
    KYMO_U16 target_bytes, local_bytes, peer_bytes;
    KYMO_U32 pid, fd;
    KYMO_U64 start_ns, ino;
    KYMO_U32 magic; /* of its file system */
    KYMO_U16 mode;
    KYMO_U8 has_target; /* the walk came to the root */
    KYMO_U8 is_deleted;
    char text[KYMO_WALK_MAX + 2 * KYMO_ADDR_MAX]; /* walked path, then struct sockaddrs */
};
#define KYMO_EVENT_FD_FIXED 40u

/* One per CPU, mapped by both sides. The producer owns the first part, the consumer the second;
 * they lie 192 bytes apart so that neither slows the other. What every call touches fits the first
 * cache line. */
struct kymo_ring_ctl {
    KYMO_U64 head; /* bytes ever produced */
    KYMO_U64 busy; /* a producer is inside: a nested one must drop */
    KYMO_U64
    seen; /* calls that reached the program: stored + filtered + aggregated + sampled + dropped */
    KYMO_U64 stored;
    KYMO_U32
    generation; /* << 8; bumped when tasks move between cgroups: all answers are stale then */
    KYMO_U32 ceiling; /* KYMO_LEVEL_*, set by the recorder: nobody is recorded in more detail */
    KYMO_U64 rng;
    KYMO_U64 pad2[2];

    KYMO_U64 aggregated; /* counted in a cell */
    KYMO_U64 filtered;
    KYMO_U64 dropped_ring;
    KYMO_U64 dropped_nested;
    KYMO_U64 dropped_quota;
    KYMO_U64 sampled;
    KYMO_U64 tasks; /* TASK records stored: they are no calls */
    KYMO_U64 unread;

    KYMO_U64 entities; /* numbers given to processes that this CPU announced */
    KYMO_U64 pad0[7];

    KYMO_U64 tail; /* bytes ever consumed */
    KYMO_U64 pad1[7];
};

/* How much is recorded of a task, and of all. */
enum {
    KYMO_LEVEL_OFF = 0,
    KYMO_LEVEL_SAMPLED = 1, /* one call in KYMO_SAMPLE_EVERY is counted */
    KYMO_LEVEL_COUNTS = 2,  /* every call is counted, one in KYMO_TIME_EVERY timed */
    KYMO_LEVEL_FULL = 3,    /* every call is a row */
};
#define KYMO_SAMPLE_EVERY 16u
#define KYMO_TIME_EVERY 8u

/* State of one thread, indexed by tid. */
struct kymo_slot {
    KYMO_U64 entered_ns; /* 0: not in a call, or not timed */
    KYMO_U32 choice;     /* generation << 8 | KYMO_SLOT_* */
    KYMO_U32 entity;
};
enum {
    KYMO_SLOT_FULL = 1,     /* its TASK record was stored: each of its calls is a row */
    KYMO_SLOT_REJECTED = 2, /* no filter selects it */
    KYMO_SLOT_MEMBER = 4,   /* belongs to the chosen process trees; outlives generations */
    KYMO_SLOT_COUNTED = 8,  /* its TASK record was stored: its calls are counted */
};

#define KYMO_GENERATION 0x100u
#define KYMO_CPUS_MAX 1024u

/* What one process did of one call on one CPU since the capture began: level counts. The recorder
 * reads while the kernel counts on, and tells windows apart by differences. Open addressing by key. */
#define KYMO_CELL_ERRNOS 4u
#define KYMO_CELL_BUCKETS 30u /* of [2^(i+7), 2^(i+8)) ns */
#define KYMO_CELL_PROBES 8u
#define KYMO_CELL_SPARE                                                                        \
    2048u /* a CPU: one a call, native and 32-bit, for entities without room */
struct kymo_cell {
    KYMO_U64 key; /* entity << 32 | compat << 16 | nr + 1; 0: free */
    KYMO_U64 bytes;
    KYMO_U64 time_ns;
    KYMO_U32 calls, errors, timed;
    KYMO_U32 errno_other; /* errors beyond those told apart */
    struct {
        KYMO_U32 no, n;
    } err[KYMO_CELL_ERRNOS];
    KYMO_U32 lat[KYMO_CELL_BUCKETS];
};

#define KYMO_CALL_CAST 0x6b796d6f /* no helper's number: see bpf/known.bpf.h */

/* What the kernel side is told of a call, packed: see kymo_call_info(). */
#define KYMO_CALLS_MAX 1024u
#define KYMO_INFO_WANTED (1u << 3)
#define KYMO_INFO_N_ARGS(i) ((i)&7u)
#define KYMO_INFO_PATH(i) ((i) >> 4 & 7u) /* argument index + 1, 0 none */
#define KYMO_INFO_PATH2(i) ((i) >> 7 & 7u)
#define KYMO_INFO_ADDR(i) ((i) >> 10 & 7u)
#define KYMO_INFO_ADDRLEN(i) ((i) >> 13 & 7u)
#define KYMO_INFO_LEN_POINTER (1u << 16)
#define KYMO_INFO_STRINGS (0x1ff0u)   /* any of path, path2, addr */
#define KYMO_INFO_AT_ENTRY (1u << 17) /* exit, exit_group, rt_sigreturn */
#define KYMO_INFO_FORKS (1u << 18)    /* clone, clone3, fork, vfork */
#define KYMO_INFO_EXECS (1u << 19)
#define KYMO_INFO_CREDS                                                                        \
    (1u << 20) /* setuid, capset, setns and the like: the thread must be told anew */
#define KYMO_INFO_BYTES (1u << 21) /* the result is a number of bytes */

/*
 * A question about a task, as steps over a stack of truths: tests push one, NOT, AND, OR combine.
 * No steps: true. Lives in rodata, so that the kernel's verifier knows it by heart.
 */
#define KYMO_RULE_STEPS_MAX 64u
enum { KYMO_RULE_TEST = 1, KYMO_RULE_NOT, KYMO_RULE_AND, KYMO_RULE_OR };
enum {
    KYMO_RULE_PID = 1,
    KYMO_RULE_TID,
    KYMO_RULE_PPID,
    KYMO_RULE_UID,
    KYMO_RULE_GID,
    KYMO_RULE_COMM,     /* its 16 bytes under mask equal value */
    KYMO_RULE_CGROUP,   /* in the cgroup of this id, or below it */
    KYMO_RULE_FOLLOWED, /* in one of the cgroups that struct kymo_live lists, or below it */
};
enum { KYMO_RULE_EQ = 1, KYMO_RULE_LT };
struct kymo_rule_step {
    KYMO_U8 kind, field, op, pad[5];
    KYMO_U64 value[2], mask[2]; /* numbers: value[0] alone */
};
struct kymo_rule {
    KYMO_U32 n, pad;
    struct kymo_rule_step step[KYMO_RULE_STEPS_MAX];
};

/* Whom to record, and in what detail. Lives in rodata. */
#define KYMO_LIST_MAX 16u /* values of one option */
struct kymo_whom {
    KYMO_U32 tree;   /* only members of the chosen process trees */
    KYMO_U32 counts; /* chosen tasks are counted, and only those that `full` chooses full */
    struct kymo_rule chosen, full;
};

/* What changes while a capture runs. One, mapped by both sides; whoever changes an answer that tasks
 * were given bumps the generations afterwards. */
#define KYMO_SKIP_MAX 64u
#define KYMO_CGROUPS_MAX 16u
struct kymo_live {
    KYMO_U64 cgroups_made; /* since the start: tells when to look for awaited ones */
    KYMO_U32 skip
        [KYMO_SKIP_MAX]; /* processes never recorded: this recorder's, and others; 0: free */
    /* Of KYMO_RULE_FOLLOWED: of either hierarchy, whose numbers overlap; 0: free */
    KYMO_U64 cgroup_v2[KYMO_CGROUPS_MAX];
    KYMO_U64 cgroup_v1[KYMO_CGROUPS_MAX];
};

_Static_assert(sizeof(struct kymo_event_head) == 16, "head");
_Static_assert(sizeof(struct kymo_event_call) == 88, "call");
_Static_assert(__builtin_offsetof(struct kymo_event_call, arg) == KYMO_EVENT_CALL_FIXED,
               "call arg");
_Static_assert(sizeof(struct kymo_event_task) == 120, "task");
_Static_assert(__builtin_offsetof(struct kymo_event_process, text) == KYMO_EVENT_PROCESS_FIXED,
               "process");
_Static_assert(__builtin_offsetof(struct kymo_event_cgroup, path) == KYMO_EVENT_CGROUP_FIXED,
               "cgroup");
_Static_assert(__builtin_offsetof(struct kymo_event_fd, text) == KYMO_EVENT_FD_FIXED, "fd");
_Static_assert(sizeof(struct kymo_event_process) % 8 == 0 &&
                   sizeof(struct kymo_event_fd) % 8 == 0,
               "padding");
_Static_assert(sizeof(struct kymo_ring_ctl) == 256, "ctl");
_Static_assert(__builtin_offsetof(struct kymo_ring_ctl, tail) == 192, "ctl tail");
_Static_assert(__builtin_offsetof(struct kymo_ring_ctl, aggregated) == 64, "ctl first line");
_Static_assert(sizeof(struct kymo_cell) == 192, "cell");

#endif
