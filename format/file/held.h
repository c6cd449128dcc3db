/* SPDX-License-Identifier: Apache-2.0
 * held.h: small books of a capture that a slice needs although they are older than it: the clock's
 * last anchor, marks that are still open, the context; and what the slice says of itself.
 */
#ifndef KYMO_FILE_HELD_H
#define KYMO_FILE_HELD_H

#include "format/file/gather.h"

#define KYMO_HELD_MARKS_MAX 4096u

struct kymo_held; /* owned: _open, _close */

KYMO_MUST_USE kymo_status kymo_held_open(struct kymo_held **out, struct kymo_err *err);
void kymo_held_close(struct kymo_held *h);

/* A batch of marks or of the clock: of its rows before since_ns the last anchor and the begun marks
 * are held, in place of those held before. */
KYMO_MUST_USE kymo_status kymo_held_take(struct kymo_held *h, const struct kymo_batch *b,
                                         uint64_t since_ns, struct kymo_err *err);
/* Was no row of these texts seen before? Recorders repeat their context. */
int kymo_held_is_new(struct kymo_held *h, const struct kymo_batch *b, uint32_t row);
/* A row of the context that the slice adds. Where the input is a slice itself, its keys stand, and
 * ours begin with slice2, slice3, ... */
KYMO_MUST_USE kymo_status kymo_held_say(struct kymo_held *h, const char *key, const char *value,
                                        struct kymo_err *err);
/* The clock's anchor or the open marks into g, once: before the first row of their table that is of
 * the slice's own time. */
KYMO_MUST_USE kymo_status kymo_held_write_clock(struct kymo_held *h, struct kymo_gather *g,
                                                struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_held_write_marks(struct kymo_held *h, struct kymo_gather *g,
                                                struct kymo_err *err);
/* All that was not written yet; our own rows at ts_ns. */
KYMO_MUST_USE kymo_status kymo_held_write(struct kymo_held *h, struct kymo_gather *g,
                                          uint64_t ts_ns, struct kymo_err *err);
/* A copy of a batch of losses that may be corrected; borrowed until the next. */
KYMO_MUST_USE kymo_status kymo_held_losses(struct kymo_held *h, const struct kymo_batch *b,
                                           struct kymo_rows **out, struct kymo_err *err);

#endif
