/* SPDX-License-Identifier: Apache-2.0
 * outbox.h: from gathered rows to the capture, on a thread of its own, through a bounded queue.
 *
 *     drainer --take--> empty rows        writer thread: encode, write,
 *             --put---> [ queue ] ------->               clear, back to the pool
 *
 * The pool of call buffers is fixed: when a slow disk or pipe holds them all, take gives NULL and
 * the drainer decides what to drop. Memory never grows with a slow reader.
 */
#ifndef KYMO_RECORD_OUTBOX_H
#define KYMO_RECORD_OUTBOX_H

#include "format/trace/batch.h"

struct outbox; /* owned */

#define OUTBOX_CALL_ROWS 65536u
#define OUTBOX_CALL_BUFFERS 4u
#define OUTBOX_SMALL_ROWS 2048u
#define OUTBOX_SMALL_BUFFERS 64u /* of each small table */

/* fd is borrowed; name is for messages. */
KYMO_MUST_USE kymo_status outbox_open(struct outbox **out, int fd, const char *name,
                                      int zstd_level, uint64_t unit_ns, struct kymo_err *err);
/* Empty rows of a table, borrowed until put; NULL when all are in the queue or memory is short. */
struct kymo_rows *outbox_take(struct outbox *o, const struct kymo_schema *schema);
/* Give filled rows away; written in order of put. flags as kymo_writer_put. */
void outbox_put(struct outbox *o, struct kymo_rows *rows, uint32_t flags);
/* The first write error, KYMO_OK while all is well. */
kymo_status outbox_status(struct outbox *o, struct kymo_err *err);
/* Bytes written so far. */
uint64_t outbox_bytes(struct outbox *o);
/* Write all that is queued, then the END chunk. */
KYMO_MUST_USE kymo_status outbox_finish(struct outbox *o, struct kymo_err *err);
/* Stop and free; what was not finished stays unfinished. */
void outbox_close(struct outbox *o);

#endif
