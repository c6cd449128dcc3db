/* SPDX-License-Identifier: Apache-2.0
 * snapshot.h: who is there and what they have open, written again and again, so that a part of the
 * capture stands alone.
 *
 * A thread of its own reads the kernel's lists (session_list), paced, and fills rows; the drainer
 * takes them between two polls and decides whether they are in time for the seals:
 *
 *     thread: list, fill --> [ a few rows ] --snapshot_take--> drain_rows --> outbox
 *
 * Nothing here needs /proc but for command lines, which anybody may read, and for paths that are too
 * deep for the kernel side's walk.
 */
#ifndef KYMO_RECORD_SNAPSHOT_H
#define KYMO_RECORD_SNAPSHOT_H

#include "record/outbox.h"
#include "record/session.h"

/* A snapshot of more rows than this is cut, and says so. */
#define SNAPSHOT_ROWS_MAX (1u << 18)

struct snapshot; /* owned */
struct redact;

struct snapshot_opts {
    uint64_t every_ns; /* 0: once */
    struct outbox *outbox;
    /* As session_list: a descriptor to read a list from. Called on the thread. */
    kymo_status (*list)(void *ctx, enum session_list which, int *fd, struct kymo_err *err);
    void *ctx;
    struct redact *redact; /* the thread's own, borrowed; NULL: nothing is hidden */
};

/* Start: the first one, of descriptors alone, is taken at once. */
KYMO_MUST_USE kymo_status snapshot_open(struct snapshot **out, const struct snapshot_opts *o,
                                        struct kymo_err *err);
/* Wait until the thread is gone; what it filled can still be taken. */
void snapshot_stop(struct snapshot *s);
void snapshot_close(struct snapshot *s);

/* Rows that are filled, the caller's from now on, and the earliest of their times; NULL none. */
struct kymo_rows *snapshot_take(struct snapshot *s, uint64_t *ts_ns);

struct snapshot_totals {
    uint64_t processes, fds; /* rows */
    uint64_t cut;            /* snapshots that are not whole */
};
void snapshot_totals(struct snapshot *s, struct snapshot_totals *out);

/* Fill a fresh row of table fd. */
void snapshot_fill_fd(struct redact *redact, struct kymo_rows *r, uint32_t row, uint64_t ts_ns,
                      const struct kymo_event_fd *e);

#endif
