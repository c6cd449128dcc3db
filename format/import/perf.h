/* SPDX-License-Identifier: Apache-2.0
 * perf.h: the parts of the perf importer: perf script and lines (perf.c), perf trace (perf_trace.c).
 */
#ifndef KYMO_IMPORT_PERF_H
#define KYMO_IMPORT_PERF_H

#include "format/import/pairs.h"

struct kymo_perf {
    struct kymo_input *in;  /* borrowed */
    struct kymo_sink *sink; /* borrowed */
    struct kymo_pairs *pairs;
    uint32_t arch;
    uint64_t now_ns, events, other;
    bool in_stack;
    struct kymo_buf path;
};

/* The head of an event of perf script. */
struct kymo_perf_head {
    struct kymo_text comm, event;
    uint32_t pid, tid, cpu; /* pid 0: not printed */
    uint64_t ts_ns;
    bool has_time;
    const char *rest;
};

/* A call of this thread at this time; its key and all else is yet to be set. */
struct kymo_import_call kymo_perf_call_of(const struct kymo_perf_head *h);
KYMO_MUST_USE kymo_status kymo_perf_enter(struct kymo_perf *p, struct kymo_import_call *c,
                                          struct kymo_err *err);
/* The exit of a call, whose key c has; c->nr KYMO_PAIRS_ANY: of what the thread is in. */
KYMO_MUST_USE kymo_status kymo_perf_leave(struct kymo_perf *p, struct kymo_import_call *c,
                                          bool has_ret, int64_t ret, struct kymo_err *err);

/* "     0.554 ( 0.024 ms): " or "         ? (         ): "; what is behind, or NULL: this is no line of
 * perf trace. ts_ns, dur_ns: KYMO_IMPORT_UNKNOWN where they are not told. */
const char *kymo_perf_take_span(const char *line, uint64_t *ts_ns, uint64_t *dur_ns);
/* A line of perf trace, behind its times. */
KYMO_MUST_USE kymo_status kymo_perf_take_trace(struct kymo_perf *p, char *rest, uint64_t ts_ns,
                                               uint64_t dur_ns, struct kymo_err *err);

#endif
