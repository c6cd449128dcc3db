/* SPDX-License-Identifier: Apache-2.0
 * outbox.h: from gathered rows to the capture, on a thread of its own, through a bounded queue.
 *
 *     drainer --take--> empty rows        writer thread: encode; to the file, the next part
 *             --put---> [ queue ] ------->               or the flight recorder's memory;
 *                                                        clear, back to the pool
 *
 * The pool of call buffers is fixed: when a slow disk or pipe holds them all, take gives NULL and
 * the drainer decides what to drop. Memory never grows with a slow reader.
 */
#ifndef KYMO_RECORD_OUTBOX_H
#define KYMO_RECORD_OUTBOX_H

#include <stdbool.h>

#include "format/trace/batch.h"
#include "record/flight.h"
#include "record/rotate.h"

struct outbox; /* owned */

#define OUTBOX_CALL_ROWS 65536u
#define OUTBOX_CALL_BUFFERS 4u
#define OUTBOX_SMALL_ROWS 2048u
#define OUTBOX_SMALL_BUFFERS 64u /* of each small table */

struct outbox_opts {
    struct rotate_opts files;
    uint64_t part_bytes, part_ns;     /* a part is due when it is that long or old; 0: never */
    const struct flight_opts *flight; /* NULL: write at once; borrowed for the call */
    int zstd_level;
    uint64_t unit_ns;
};

KYMO_MUST_USE kymo_status outbox_open_to(struct outbox **out, const struct outbox_opts *opts,
                                         struct kymo_err *err);
/* Begin the first file, and the threads: what power a thread begins with it keeps, so this comes after the
 * recorder gave up its own. */
KYMO_MUST_USE kymo_status outbox_start(struct outbox *o, struct kymo_err *err);
/* One file without bounds. fd is borrowed; name is for messages. */
KYMO_MUST_USE kymo_status outbox_open(struct outbox **out, int fd, const char *name,
                                      int zstd_level, uint64_t unit_ns, struct kymo_err *err);
/* Empty rows of a table, borrowed until put; NULL when all are in the queue or memory is short. */
struct kymo_rows *outbox_take(struct outbox *o, const struct kymo_schema *schema);
/* Give filled rows away, or empty ones back; written in order of put. flags as kymo_writer_put. */
void outbox_put(struct outbox *o, struct kymo_rows *rows, uint32_t flags);
/*
 * Orders, which take their turn behind what was put before them. All rows of the seconds up to ts_ns were
 * put, the seal last: the flight recorder may forget or write whole seconds.
 */
void outbox_second(struct outbox *o, uint64_t ts_ns);
/* Is a part due at the end of this second? Then outbox_part() and, behind it, the context anew. */
bool outbox_part_due(struct outbox *o, uint64_t ts_ns);
void outbox_part(struct outbox *o, uint64_t ts_ns);
/* What is put between these two tells all that a reader has to know beforehand (flight recorder). */
void outbox_context(struct outbox *o, bool begins);

/* Is the writer behind? Rows that can wait should. */
bool outbox_is_busy(struct outbox *o);
/* The first write error, KYMO_OK while all is well. */
kymo_status outbox_status(struct outbox *o, struct kymo_err *err);
/* A bound of the disk refused rows: nothing more fits. */
bool outbox_bound(struct outbox *o);
/* Bytes written so far, to all files. */
uint64_t outbox_bytes(struct outbox *o);

struct outbox_totals {
    uint64_t bytes;
    uint64_t refused; /* rows of calls and processes that a bound of the disk kept out */
    uint64_t files, deleted;
    struct flight_totals flight;
    const char *last; /* name of the last file; borrowed until _close */
};
/* After outbox_finish(). */
void outbox_totals(const struct outbox *o, struct outbox_totals *out);
/* Write all that is queued, then the END chunk; synced when it comes back. */
KYMO_MUST_USE kymo_status outbox_finish(struct outbox *o, struct kymo_err *err);
/* Stop and free; what was not finished stays unfinished. */
void outbox_close(struct outbox *o);

#endif
