/* SPDX-License-Identifier: Apache-2.0
 * schema.h: what a table is. Names, types, units and the place of each column in a chunk.
 */
#ifndef KYMO_TRACE_SCHEMA_H
#define KYMO_TRACE_SCHEMA_H

#include "format/base/arena.h"
#include "format/base/bytes.h"

#define KYMO_COLUMNS_MAX 4096u
#define KYMO_SCHEMA_BYTES_MAX (4u << 20)
#define KYMO_NAME_BYTES_MAX 255u

/*
 * Where a column's values lie in a chunk. Reordering costs no bytes: two counting sorts over the
 * task index and the key rebuild row order.
 *
 *   ROW    one value a row, in row (time) order
 *   TASK   one value a task of the chunk; a row points at its task
 *   KEY    one value a key of the chunk (a key is one system call of one architecture)
 *   CALL   one value a row, in (key, task, row) order: like stands next to like
 *   SPLIT  as CALL, but a key may have a stream of its own, or none: then its rows are null
 *   CHAIN  a time that goes on from that of the same task's row before and the row's own `dur`: what
 *          is kept, as in SPLIT, is how long the task was busy between its calls
 */
enum kymo_order {
    KYMO_ORDER_ROW = 0,
    KYMO_ORDER_TASK = 1,
    KYMO_ORDER_KEY = 2,
    KYMO_ORDER_CALL = 3,
    KYMO_ORDER_SPLIT = 4,
    KYMO_ORDER_CHAIN = 5,
    KYMO_ORDER_COUNT
};

struct kymo_column_def {
    const char *name;
    const char *unit; /* "ns", "bytes", "1/s", "" */
    uint8_t type;     /* enum kymo_type */
    uint8_t order;    /* enum kymo_order */
    uint8_t nullable; /* cells may be null (SPLIT columns always may) */
};

struct kymo_schema {
    const char *table;
    uint32_t version;
    uint32_t n_columns;
    const struct kymo_column_def *column;
    const char *meta; /* free text of the table's owner, JSON by custom; "" when none */
    /* XXH3-64 of the encoded schema: its name in data chunks. Filled by decode; 0 in the tables
     * of this program, which kymo_schema_hash() works out. */
    uint64_t hash;
};

/* Encode (SPEC.md, schema chunk body). */
void kymo_schema_encode(const struct kymo_schema *s, struct kymo_buf *out);
/* Decode into the arena; refuses duplicate names, unknown types and orders, control bytes in names. */
KYMO_MUST_USE kymo_status kymo_schema_decode(struct kymo_schema **out, struct kymo_bytes in,
                                             struct kymo_arena *arena, struct kymo_err *err);
/* The hash of a schema's encoding; 0 when out of memory. */
uint64_t kymo_schema_hash(const struct kymo_schema *s);
/* Index by name, or -1. */
int kymo_schema_column(const struct kymo_schema *s, const char *name);
/* The column that gives a chunk its time range: "ts", u64, ns, ROW or CHAIN, never null; or -1. */
int kymo_schema_ts(const struct kymo_schema *s);
/* The column that CHAIN columns go on from: "dur", u64, ns, CALL or SPLIT; or -1. */
int kymo_schema_dur(const struct kymo_schema *s);
/* Does any column have an order other than ROW? */
int kymo_schema_is_grouped(const struct kymo_schema *s);

/* The tables the recorder writes, version 1 (tables.c). Column indexes below are theirs. */
extern const struct kymo_schema KYMO_TABLE_SYSCALL, KYMO_TABLE_PROCESS, KYMO_TABLE_CGROUP,
    KYMO_TABLE_MARK, KYMO_TABLE_LOSS, KYMO_TABLE_COST, KYMO_TABLE_CLOCK, KYMO_TABLE_CONTEXT,
    KYMO_TABLE_SYSNAME, KYMO_TABLE_PACKET, KYMO_TABLE_COUNT, KYMO_TABLE_COUNT_ERROR,
    KYMO_TABLE_FD, KYMO_TABLE_LEVEL, KYMO_TABLE_REDACT;
/* All of them. */
extern const struct kymo_schema *const KYMO_TABLES_OWN[];
extern const size_t KYMO_TABLES_OWN_N;

enum {
    KYMO_SYSCALL_TS,      /* CHAIN ns, CLOCK_MONOTONIC at exit */
    KYMO_SYSCALL_CPU,     /* CALL */
    KYMO_SYSCALL_PID,     /* TASK process id (tgid) in the initial namespace */
    KYMO_SYSCALL_TID,     /* TASK */
    KYMO_SYSCALL_COMM,    /* TASK */
    KYMO_SYSCALL_CGROUP,  /* TASK cgroup id */
    KYMO_SYSCALL_START,   /* TASK ns since boot when the process (leader) started */
    KYMO_SYSCALL_EXECSEQ, /* TASK how many execs the process had seen since the capture began */
    KYMO_SYSCALL_ARCH,    /* KEY  AUDIT_ARCH_* */
    KYMO_SYSCALL_NR,      /* KEY */
    KYMO_SYSCALL_FLAGS,   /* CALL KYMO_CALL_* */
    KYMO_SYSCALL_DUR,     /* SPLIT ns, null: the entry was not seen */
    KYMO_SYSCALL_RET,     /* SPLIT i64 raw result; null for rows made at entry */
    KYMO_SYSCALL_ARG0,    /* SPLIT u64 ... */
    KYMO_SYSCALL_ARG1,
    KYMO_SYSCALL_ARG2,
    KYMO_SYSCALL_ARG3,
    KYMO_SYSCALL_ARG4,
    KYMO_SYSCALL_ARG5,
    KYMO_SYSCALL_PATH,  /* SPLIT str first path argument */
    KYMO_SYSCALL_PATH2, /* SPLIT str second path argument (rename, link, symlink) */
    KYMO_SYSCALL_ADDR, /* SPLIT str socket address: "inet:127.0.0.1:6379", "unix:/run/x", ... */
    KYMO_SYSCALL_COLUMNS
};

/* flags of a syscall row */
enum {
    KYMO_CALL_AT_ENTRY = 1,   /* made at entry (exit, exit_group, rt_sigreturn): no result */
    KYMO_CALL_CHILD = 2,      /* the child's return from clone, fork, vfork */
    KYMO_CALL_UNFINISHED = 4, /* still blocked when the capture ended */
    KYMO_CALL_UNREAD = 8,     /* a string or address could not be read (fault) */
    KYMO_CALL_LATE = 16,      /* older than a seal already written */
    KYMO_CALL_EXECED =
        32, /* a successful exec: arguments were those of the old image, not kept */
    KYMO_CALL_COMPAT = 64, /* made through the 32-bit entry */
};

enum {
    KYMO_PROCESS_TS,
    KYMO_PROCESS_KIND, /* str: snapshot fork exec exit cred (other ids, capabilities or namespaces) */
    KYMO_PROCESS_PID,
    KYMO_PROCESS_TID,
    KYMO_PROCESS_PPID,
    KYMO_PROCESS_START, /* ns since boot */
    KYMO_PROCESS_EXECSEQ,
    KYMO_PROCESS_UID,
    KYMO_PROCESS_GID,
    KYMO_PROCESS_CGROUP,
    KYMO_PROCESS_COMM,
    KYMO_PROCESS_EXE,  /* str: the file that runs, as /proc/PID/exe: no links, no scripts */
    KYMO_PROCESS_ARGV, /* str, arguments joined by one space, quoted where needed */
    KYMO_PROCESS_CODE, /* exit: wait status, of the process if it is the last thread's; else null */
    KYMO_PROCESS_CWD,  /* str: snapshot and exec; "" unknown */
    KYMO_PROCESS_EUID, /* effective ids and capabilities; null: not known */
    KYMO_PROCESS_EGID,
    KYMO_PROCESS_CAPEFF,
    KYMO_PROCESS_NSPID, /* the pid in the process's own pid namespace */
    KYMO_PROCESS_PIDNS, /* inode numbers of its namespaces; null: not known */
    KYMO_PROCESS_MNTNS,
    KYMO_PROCESS_NETNS,
    KYMO_PROCESS_USERNS,
    KYMO_PROCESS_LIFETIME, /* exit of a process's last thread, and below: ns since its start */
    KYMO_PROCESS_UTIME,    /* ns of CPU, all threads; the last tick of each may be missing */
    KYMO_PROCESS_STIME,
    KYMO_PROCESS_MAXRSS, /* bytes */
    KYMO_PROCESS_MINFLT,
    KYMO_PROCESS_MAJFLT,
    KYMO_PROCESS_COLUMNS
};

/* What a process has open, at a snapshot: one row a descriptor, upwards. */
enum {
    KYMO_FD_TS, /* it was looked at a few milliseconds later at most */
    KYMO_FD_PID,
    KYMO_FD_START,  /* with pid: whose, as in process */
    KYMO_FD_FD,     /* the number */
    KYMO_FD_TARGET, /* str: a path, or "pipe:[7]", "socket:[7]", "anon_inode:[eventfd]" */
    KYMO_FD_LOCAL,  /* str: of a socket, as in syscall.addr; "" unknown */
    KYMO_FD_PEER,
    KYMO_FD_COLUMNS
};

/* Level counts: how often a process made a call in a window, instead of a row a call. */
#define KYMO_COUNT_BUCKETS 30u
enum {
    KYMO_COUNT_TS,  /* ns, the window's end */
    KYMO_COUNT_DUR, /* ns, its length */
    KYMO_COUNT_PID,
    KYMO_COUNT_START,
    KYMO_COUNT_EXECSEQ,
    KYMO_COUNT_COMM, /* of the process's leader */
    KYMO_COUNT_CGROUP,
    KYMO_COUNT_ARCH,
    KYMO_COUNT_NR,
    KYMO_COUNT_CALLS,
    KYMO_COUNT_ERRORS, /* of them returned -1..-4095, without the restarts -512..-516 */
    KYMO_COUNT_BYTES,  /* sum of the results of calls that return a number of bytes */
    KYMO_COUNT_TIMED,  /* of the calls had their duration taken: a random share */
    KYMO_COUNT_TIME,   /* ns, sum of the durations that were taken */
    KYMO_COUNT_LAT,    /* + i: timed calls of [2^(i+7), 2^(i+8)) ns; the first holds the shorter
                          ones too, the last the longer ones */
    KYMO_COUNT_COLUMNS = KYMO_COUNT_LAT + KYMO_COUNT_BUCKETS
};
/* The errors among them. */
enum {
    KYMO_COUNT_ERROR_TS, /* as the count row's */
    KYMO_COUNT_ERROR_PID,
    KYMO_COUNT_ERROR_START,
    KYMO_COUNT_ERROR_EXECSEQ,
    KYMO_COUNT_ERROR_ARCH,
    KYMO_COUNT_ERROR_NR,
    KYMO_COUNT_ERROR_ERRNO, /* 0: others, beyond the kinds that are told apart */
    KYMO_COUNT_ERROR_CALLS,
    KYMO_COUNT_ERROR_COLUMNS
};

/* Each change of what is recorded that the recorder, or a person, made while it ran. */
enum {
    KYMO_LEVEL_TS,
    KYMO_LEVEL_FROM, /* str: full counts sampled off */
    KYMO_LEVEL_TO,
    KYMO_LEVEL_WHY,   /* str: start cpu memory disk calm request */
    KYMO_LEVEL_VALUE, /* f64: what was measured, in the unit of `why` */
    KYMO_LEVEL_COLUMNS
};

/* Secrets that did not reach the file: how many a rule replaced since its last row. */
enum { KYMO_REDACT_TS, KYMO_REDACT_RULE, KYMO_REDACT_HITS, KYMO_REDACT_COLUMNS };

enum { KYMO_CGROUP_TS, KYMO_CGROUP_ID, KYMO_CGROUP_PATH, KYMO_CGROUP_COLUMNS };

enum {
    KYMO_MARK_TS,   /* ns, the mark's own moment (start of its span) */
    KYMO_MARK_KIND, /* str: point begin end trigger */
    KYMO_MARK_NAME,
    KYMO_MARK_DUR, /* ns, mark --for; null otherwise */
    KYMO_MARK_UID,
    KYMO_MARK_PID,
    KYMO_MARK_COLUMNS
};

/* One row a packet, from its headers; the payload is never kept. Counts of packets by window, when a
 * source has them, are a table of their own. What a header did not say, or was not captured, is null. */
enum {
    KYMO_PACKET_TS,
    KYMO_PACKET_IFACE,  /* str: the interface, "" unknown */
    KYMO_PACKET_LINK,   /* LINKTYPE_* of the link layer (1: Ethernet) */
    KYMO_PACKET_LENGTH, /* bytes on the wire */
    KYMO_PACKET_CAPLEN, /* bytes that were captured */
    KYMO_PACKET_FLAGS,  /* KYMO_PACKET_CUT and friends */
    KYMO_PACKET_VLAN,   /* outermost VLAN id */
    KYMO_PACKET_L3,  /* ethertype behind all VLAN tags: 0x0800 IPv4, 0x86dd IPv6, 0x0806 ARP */
    KYMO_PACKET_L4,  /* IP protocol behind all IPv6 extension headers: 6 TCP, 17 UDP */
    KYMO_PACKET_SRC, /* str: the IP (or ARP) address as text */
    KYMO_PACKET_DST,
    KYMO_PACKET_SPORT, /* TCP, UDP, SCTP */
    KYMO_PACKET_DPORT,
    KYMO_PACKET_TCPFLAGS, /* as in the header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ... */
    KYMO_PACKET_TTL,      /* or hop limit */
    KYMO_PACKET_FRAG,     /* bytes; offset in the whole, of fragments alone */
    KYMO_PACKET_PAYLOAD,  /* bytes behind the last header, as the IP header counts them */
    KYMO_PACKET_COLUMNS
};

/* flags of a packet row */
enum {
    KYMO_PACKET_CUT = 1,       /* a header went on past what was captured */
    KYMO_PACKET_MALFORMED = 2, /* a header contradicts itself or the packet's length */
    KYMO_PACKET_MORE = 4,      /* a fragment with others behind it */
};

enum {
    KYMO_LOSS_TS,     /* ns: the seal's moment; no older row follows in any table */
    KYMO_LOSS_SOURCE, /* str: syscall, process, packet */
    KYMO_LOSS_RING,   /* u64: cpu, or 0 for a shared ring */
    KYMO_LOSS_SEEN, /* all counters are per interval since the previous row of the same ring: */
    KYMO_LOSS_STORED, /* seen = stored + filtered + aggregated + sampled + dropped_* */
    KYMO_LOSS_FILTERED,
    KYMO_LOSS_DROPPED_RING,
    KYMO_LOSS_DROPPED_NESTED,
    KYMO_LOSS_DROPPED_QUEUE,
    KYMO_LOSS_LATE,          /* stored, but flagged */
    KYMO_LOSS_UNREAD,        /* stored, but a string could not be read */
    KYMO_LOSS_AGGREGATED,    /* in the count table instead */
    KYMO_LOSS_SAMPLED,       /* left out by sampling, at level sampled */
    KYMO_LOSS_DROPPED_QUOTA, /* its cgroup used up more than its share of a filling ring */
    KYMO_LOSS_COLUMNS
};

enum {
    KYMO_COST_TS,
    KYMO_COST_CPU,     /* ns of CPU used by the recorder since it began */
    KYMO_COST_RSS,     /* bytes */
    KYMO_COST_RINGS,   /* bytes of kernel rings */
    KYMO_COST_FILL,    /* highest ring fill since the last row, 0..1 (f64) */
    KYMO_COST_WRITTEN, /* bytes written so far */
    KYMO_COST_COLUMNS
};

enum { KYMO_CLOCK_TS, KYMO_CLOCK_BOOT, KYMO_CLOCK_REAL, KYMO_CLOCK_COLUMNS };
enum { KYMO_CONTEXT_TS, KYMO_CONTEXT_KEY, KYMO_CONTEXT_VALUE, KYMO_CONTEXT_COLUMNS };
enum { KYMO_SYSNAME_ARCH, KYMO_SYSNAME_NR, KYMO_SYSNAME_NAME, KYMO_SYSNAME_COLUMNS };

#endif
