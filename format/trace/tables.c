/* SPDX-License-Identifier: Apache-2.0
 * tables.c: the tables that the recorder writes, version 1. Columns stand in the order of the
 * enums of schema.h, which the assertions below hold together.
 */
#include "format/base/size.h"
#include "format/trace/schema.h"

#define ROW(name, unit, type)                                                                  \
    {                                                                                          \
        name, unit, KYMO_T_##type, KYMO_ORDER_ROW, 0                                           \
    }
#define MAYBE(name, unit, type)                                                                \
    {                                                                                          \
        name, unit, KYMO_T_##type, KYMO_ORDER_ROW, 1                                           \
    }
#define TASK(name, unit, type)                                                                 \
    {                                                                                          \
        name, unit, KYMO_T_##type, KYMO_ORDER_TASK, 0                                          \
    }
#define KEY(name, unit, type)                                                                  \
    {                                                                                          \
        name, unit, KYMO_T_##type, KYMO_ORDER_KEY, 0                                           \
    }
#define CALL(name, unit, type)                                                                 \
    {                                                                                          \
        name, unit, KYMO_T_##type, KYMO_ORDER_CALL, 0                                          \
    }
#define SPLIT(name, unit, type)                                                                \
    {                                                                                          \
        name, unit, KYMO_T_##type, KYMO_ORDER_SPLIT, 1                                         \
    }

static const struct kymo_column_def syscall_columns[] = {
    [KYMO_SYSCALL_TS] = {"ts", "ns", KYMO_T_U64, KYMO_ORDER_CHAIN, 0},
    [KYMO_SYSCALL_CPU] = CALL("cpu", "", U64),
    [KYMO_SYSCALL_PID] = TASK("pid", "", U64),
    [KYMO_SYSCALL_TID] = TASK("tid", "", U64),
    [KYMO_SYSCALL_COMM] = TASK("comm", "", STR),
    [KYMO_SYSCALL_CGROUP] = TASK("cgroup", "", U64),
    [KYMO_SYSCALL_START] = TASK("start", "ns", U64),
    [KYMO_SYSCALL_EXECSEQ] = TASK("execseq", "", U64),
    [KYMO_SYSCALL_ARCH] = KEY("arch", "", U64),
    [KYMO_SYSCALL_NR] = KEY("nr", "", U64),
    [KYMO_SYSCALL_FLAGS] = CALL("flags", "", U64),
    [KYMO_SYSCALL_DUR] = SPLIT("dur", "ns", U64),
    [KYMO_SYSCALL_RET] = SPLIT("ret", "", I64),
    [KYMO_SYSCALL_ARG0] = SPLIT("arg0", "", U64),
    [KYMO_SYSCALL_ARG1] = SPLIT("arg1", "", U64),
    [KYMO_SYSCALL_ARG2] = SPLIT("arg2", "", U64),
    [KYMO_SYSCALL_ARG3] = SPLIT("arg3", "", U64),
    [KYMO_SYSCALL_ARG4] = SPLIT("arg4", "", U64),
    [KYMO_SYSCALL_ARG5] = SPLIT("arg5", "", U64),
    [KYMO_SYSCALL_PATH] = SPLIT("path", "", STR),
    [KYMO_SYSCALL_PATH2] = SPLIT("path2", "", STR),
    [KYMO_SYSCALL_ADDR] = SPLIT("addr", "", STR),
};

static const struct kymo_column_def process_columns[] = {
    [KYMO_PROCESS_TS] = ROW("ts", "ns", U64),
    [KYMO_PROCESS_KIND] = ROW("kind", "", STR),
    [KYMO_PROCESS_PID] = ROW("pid", "", U64),
    [KYMO_PROCESS_TID] = ROW("tid", "", U64),
    [KYMO_PROCESS_PPID] = ROW("ppid", "", U64),
    [KYMO_PROCESS_START] = ROW("start", "ns", U64),
    [KYMO_PROCESS_EXECSEQ] = ROW("execseq", "", U64),
    [KYMO_PROCESS_UID] = ROW("uid", "", U64),
    [KYMO_PROCESS_GID] = ROW("gid", "", U64),
    [KYMO_PROCESS_CGROUP] = ROW("cgroup", "", U64),
    [KYMO_PROCESS_COMM] = ROW("comm", "", STR),
    [KYMO_PROCESS_EXE] = ROW("exe", "", STR),
    [KYMO_PROCESS_ARGV] = ROW("argv", "", STR),
    [KYMO_PROCESS_CODE] = MAYBE("code", "", U64),
    [KYMO_PROCESS_CWD] = ROW("cwd", "", STR),
    [KYMO_PROCESS_EUID] = MAYBE("euid", "", U64),
    [KYMO_PROCESS_EGID] = MAYBE("egid", "", U64),
    [KYMO_PROCESS_CAPEFF] = MAYBE("capeff", "", U64),
    [KYMO_PROCESS_NSPID] = MAYBE("nspid", "", U64),
    [KYMO_PROCESS_PIDNS] = MAYBE("pidns", "", U64),
    [KYMO_PROCESS_MNTNS] = MAYBE("mntns", "", U64),
    [KYMO_PROCESS_NETNS] = MAYBE("netns", "", U64),
    [KYMO_PROCESS_USERNS] = MAYBE("userns", "", U64),
    [KYMO_PROCESS_LIFETIME] = MAYBE("lifetime", "ns", U64),
    [KYMO_PROCESS_UTIME] = MAYBE("utime", "ns", U64),
    [KYMO_PROCESS_STIME] = MAYBE("stime", "ns", U64),
    [KYMO_PROCESS_MAXRSS] = MAYBE("maxrss", "bytes", U64),
    [KYMO_PROCESS_MINFLT] = MAYBE("minflt", "", U64),
    [KYMO_PROCESS_MAJFLT] = MAYBE("majflt", "", U64),
};

static const struct kymo_column_def fd_columns[] = {
    [KYMO_FD_TS] = ROW("ts", "ns", U64),       [KYMO_FD_PID] = ROW("pid", "", U64),
    [KYMO_FD_START] = ROW("start", "ns", U64), [KYMO_FD_FD] = ROW("fd", "", U64),
    [KYMO_FD_TARGET] = ROW("target", "", STR), [KYMO_FD_LOCAL] = ROW("local", "", STR),
    [KYMO_FD_PEER] = ROW("peer", "", STR),
};

#define LAT(i, name) [KYMO_COUNT_LAT + (i)] = ROW(name, "calls", U64)
static const struct kymo_column_def count_columns[] = {
    [KYMO_COUNT_TS] = ROW("ts", "ns", U64),
    [KYMO_COUNT_DUR] = ROW("dur", "ns", U64),
    [KYMO_COUNT_PID] = ROW("pid", "", U64),
    [KYMO_COUNT_START] = ROW("start", "ns", U64),
    [KYMO_COUNT_EXECSEQ] = ROW("execseq", "", U64),
    [KYMO_COUNT_COMM] = ROW("comm", "", STR),
    [KYMO_COUNT_CGROUP] = ROW("cgroup", "", U64),
    [KYMO_COUNT_ARCH] = ROW("arch", "", U64),
    [KYMO_COUNT_NR] = ROW("nr", "", U64),
    [KYMO_COUNT_CALLS] = ROW("calls", "calls", U64),
    [KYMO_COUNT_ERRORS] = ROW("errors", "calls", U64),
    [KYMO_COUNT_BYTES] = ROW("bytes", "bytes", U64),
    [KYMO_COUNT_TIMED] = ROW("timed", "calls", U64),
    [KYMO_COUNT_TIME] = ROW("time", "ns", U64),
    LAT(0, "lat07"),
    LAT(1, "lat08"),
    LAT(2, "lat09"),
    LAT(3, "lat10"),
    LAT(4, "lat11"),
    LAT(5, "lat12"),
    LAT(6, "lat13"),
    LAT(7, "lat14"),
    LAT(8, "lat15"),
    LAT(9, "lat16"),
    LAT(10, "lat17"),
    LAT(11, "lat18"),
    LAT(12, "lat19"),
    LAT(13, "lat20"),
    LAT(14, "lat21"),
    LAT(15, "lat22"),
    LAT(16, "lat23"),
    LAT(17, "lat24"),
    LAT(18, "lat25"),
    LAT(19, "lat26"),
    LAT(20, "lat27"),
    LAT(21, "lat28"),
    LAT(22, "lat29"),
    LAT(23, "lat30"),
    LAT(24, "lat31"),
    LAT(25, "lat32"),
    LAT(26, "lat33"),
    LAT(27, "lat34"),
    LAT(28, "lat35"),
    LAT(29, "lat36"),
};

static const struct kymo_column_def count_error_columns[] = {
    [KYMO_COUNT_ERROR_TS] = ROW("ts", "ns", U64),
    [KYMO_COUNT_ERROR_PID] = ROW("pid", "", U64),
    [KYMO_COUNT_ERROR_START] = ROW("start", "ns", U64),
    [KYMO_COUNT_ERROR_EXECSEQ] = ROW("execseq", "", U64),
    [KYMO_COUNT_ERROR_ARCH] = ROW("arch", "", U64),
    [KYMO_COUNT_ERROR_NR] = ROW("nr", "", U64),
    [KYMO_COUNT_ERROR_ERRNO] = ROW("errno", "", U64),
    [KYMO_COUNT_ERROR_CALLS] = ROW("calls", "calls", U64),
};

static const struct kymo_column_def level_columns[] = {
    [KYMO_LEVEL_TS] = ROW("ts", "ns", U64),     [KYMO_LEVEL_FROM] = ROW("from", "", STR),
    [KYMO_LEVEL_TO] = ROW("to", "", STR),       [KYMO_LEVEL_WHY] = ROW("why", "", STR),
    [KYMO_LEVEL_VALUE] = ROW("value", "", F64),
};

static const struct kymo_column_def redact_columns[] = {
    [KYMO_REDACT_TS] = ROW("ts", "ns", U64),
    [KYMO_REDACT_RULE] = ROW("rule", "", STR),
    [KYMO_REDACT_HITS] = ROW("hits", "", U64),
};

static const struct kymo_column_def cgroup_columns[] = {
    [KYMO_CGROUP_TS] = ROW("ts", "ns", U64),
    [KYMO_CGROUP_ID] = ROW("id", "", U64),
    [KYMO_CGROUP_PATH] = ROW("path", "", STR),
};

static const struct kymo_column_def mark_columns[] = {
    [KYMO_MARK_TS] = ROW("ts", "ns", U64),   [KYMO_MARK_KIND] = ROW("kind", "", STR),
    [KYMO_MARK_NAME] = ROW("name", "", STR), [KYMO_MARK_DUR] = MAYBE("dur", "ns", U64),
    [KYMO_MARK_UID] = ROW("uid", "", U64),   [KYMO_MARK_PID] = ROW("pid", "", U64),
};

static const struct kymo_column_def loss_columns[] = {
    [KYMO_LOSS_TS] = ROW("ts", "ns", U64),
    [KYMO_LOSS_SOURCE] = ROW("source", "", STR),
    [KYMO_LOSS_RING] = ROW("ring", "", U64),
    [KYMO_LOSS_SEEN] = ROW("seen", "events", U64),
    [KYMO_LOSS_STORED] = ROW("stored", "events", U64),
    [KYMO_LOSS_FILTERED] = ROW("filtered", "events", U64),
    [KYMO_LOSS_DROPPED_RING] = ROW("dropped_ring", "events", U64),
    [KYMO_LOSS_DROPPED_NESTED] = ROW("dropped_nested", "events", U64),
    [KYMO_LOSS_DROPPED_QUEUE] = ROW("dropped_queue", "events", U64),
    [KYMO_LOSS_LATE] = ROW("late", "events", U64),
    [KYMO_LOSS_UNREAD] = ROW("unread", "events", U64),
    [KYMO_LOSS_AGGREGATED] = ROW("aggregated", "events", U64),
    [KYMO_LOSS_SAMPLED] = ROW("sampled", "events", U64),
    [KYMO_LOSS_DROPPED_QUOTA] = ROW("dropped_quota", "events", U64),
};

static const struct kymo_column_def cost_columns[] = {
    [KYMO_COST_TS] = ROW("ts", "ns", U64),
    [KYMO_COST_CPU] = ROW("cpu", "ns", U64),
    [KYMO_COST_RSS] = ROW("rss", "bytes", U64),
    [KYMO_COST_RINGS] = ROW("rings", "bytes", U64),
    [KYMO_COST_FILL] = ROW("fill", "share", F64),
    [KYMO_COST_WRITTEN] = ROW("written", "bytes", U64),
};

static const struct kymo_column_def clock_columns[] = {
    [KYMO_CLOCK_TS] = ROW("ts", "ns", U64),
    [KYMO_CLOCK_BOOT] = ROW("boot", "ns", U64),
    [KYMO_CLOCK_REAL] = ROW("real", "ns", U64),
};

static const struct kymo_column_def context_columns[] = {
    [KYMO_CONTEXT_TS] = ROW("ts", "ns", U64),
    [KYMO_CONTEXT_KEY] = ROW("key", "", STR),
    [KYMO_CONTEXT_VALUE] = ROW("value", "", STR),
};

static const struct kymo_column_def sysname_columns[] = {
    [KYMO_SYSNAME_ARCH] = ROW("arch", "", U64),
    [KYMO_SYSNAME_NR] = ROW("nr", "", U64),
    [KYMO_SYSNAME_NAME] = ROW("name", "", STR),
};

static const struct kymo_column_def packet_columns[] = {
    [KYMO_PACKET_TS] = ROW("ts", "ns", U64),
    [KYMO_PACKET_IFACE] = ROW("iface", "", STR),
    [KYMO_PACKET_LINK] = ROW("link", "", U64),
    [KYMO_PACKET_LENGTH] = ROW("length", "bytes", U64),
    [KYMO_PACKET_CAPLEN] = ROW("caplen", "bytes", U64),
    [KYMO_PACKET_FLAGS] = ROW("flags", "", U64),
    [KYMO_PACKET_VLAN] = MAYBE("vlan", "", U64),
    [KYMO_PACKET_L3] = MAYBE("l3", "", U64),
    [KYMO_PACKET_L4] = MAYBE("l4", "", U64),
    [KYMO_PACKET_SRC] = MAYBE("src", "", STR),
    [KYMO_PACKET_DST] = MAYBE("dst", "", STR),
    [KYMO_PACKET_SPORT] = MAYBE("sport", "", U64),
    [KYMO_PACKET_DPORT] = MAYBE("dport", "", U64),
    [KYMO_PACKET_TCPFLAGS] = MAYBE("tcpflags", "", U64),
    [KYMO_PACKET_TTL] = MAYBE("ttl", "", U64),
    [KYMO_PACKET_FRAG] = MAYBE("frag", "bytes", U64),
    [KYMO_PACKET_PAYLOAD] = MAYBE("payload", "bytes", U64),
};

#define TABLE(constant, word, columns, count)                                                  \
    _Static_assert(KYMO_COUNT_OF(columns) == (count), "a column has no definition");           \
    const struct kymo_schema constant = {                                                      \
        .table = (word), .version = 1, .n_columns = (count), .column = (columns), .meta = ""}

TABLE(KYMO_TABLE_SYSCALL, "syscall", syscall_columns, KYMO_SYSCALL_COLUMNS);
TABLE(KYMO_TABLE_PROCESS, "process", process_columns, KYMO_PROCESS_COLUMNS);
TABLE(KYMO_TABLE_CGROUP, "cgroup", cgroup_columns, KYMO_CGROUP_COLUMNS);
TABLE(KYMO_TABLE_MARK, "mark", mark_columns, KYMO_MARK_COLUMNS);
TABLE(KYMO_TABLE_LOSS, "loss", loss_columns, KYMO_LOSS_COLUMNS);
TABLE(KYMO_TABLE_COST, "cost", cost_columns, KYMO_COST_COLUMNS);
TABLE(KYMO_TABLE_CLOCK, "clock", clock_columns, KYMO_CLOCK_COLUMNS);
TABLE(KYMO_TABLE_CONTEXT, "context", context_columns, KYMO_CONTEXT_COLUMNS);
TABLE(KYMO_TABLE_SYSNAME, "sysname", sysname_columns, KYMO_SYSNAME_COLUMNS);
TABLE(KYMO_TABLE_PACKET, "packet", packet_columns, KYMO_PACKET_COLUMNS);
TABLE(KYMO_TABLE_COUNT, "count", count_columns, KYMO_COUNT_COLUMNS);
TABLE(KYMO_TABLE_COUNT_ERROR, "count_error", count_error_columns, KYMO_COUNT_ERROR_COLUMNS);
TABLE(KYMO_TABLE_FD, "fd", fd_columns, KYMO_FD_COLUMNS);
TABLE(KYMO_TABLE_LEVEL, "level", level_columns, KYMO_LEVEL_COLUMNS);
TABLE(KYMO_TABLE_REDACT, "redact", redact_columns, KYMO_REDACT_COLUMNS);

const struct kymo_schema *const KYMO_TABLES_OWN[] = {
    &KYMO_TABLE_SYSCALL, &KYMO_TABLE_PROCESS, &KYMO_TABLE_CGROUP, &KYMO_TABLE_MARK,
    &KYMO_TABLE_LOSS,    &KYMO_TABLE_COST,    &KYMO_TABLE_CLOCK,  &KYMO_TABLE_CONTEXT,
    &KYMO_TABLE_SYSNAME, &KYMO_TABLE_PACKET,  &KYMO_TABLE_COUNT,  &KYMO_TABLE_COUNT_ERROR,
    &KYMO_TABLE_FD,      &KYMO_TABLE_LEVEL,   &KYMO_TABLE_REDACT,
};
const size_t KYMO_TABLES_OWN_N = KYMO_COUNT_OF(KYMO_TABLES_OWN);
