/* SPDX-License-Identifier: Apache-2.0
 * ahead.h: chunks decoded by several threads, ahead of the one who reads them, and handed over in
 * order. Each thread's chunk has memory of its own, so the cap holds for each.
 */
#ifndef KYMO_TRACE_AHEAD_H
#define KYMO_TRACE_AHEAD_H

#include "format/trace/chunk.h"

#define KYMO_AHEAD_THREADS_MAX 256u

/* A chunk on its way from bytes to rows. */
struct kymo_slot {
    struct kymo_arena arena; /* body and rows */
    struct kymo_decoder *decoder;
    struct kymo_chunk_header h;
    struct kymo_bytes body;
    const struct kymo_schema *schema;
    const uint8_t *want;
    struct kymo_batch batch;
    kymo_status status;
    struct kymo_err err;
    int is_done;
};

/* Memory for one chunk: cap_bytes at most, of which a part is the decoder's scratch. */
KYMO_MUST_USE kymo_status kymo_slot_open(struct kymo_slot *s, size_t cap_bytes,
                                         struct kymo_err *err);
void kymo_slot_close(struct kymo_slot *s);
/* The rows of its body; status and err say how it went. */
void kymo_slot_decode(struct kymo_slot *s);

struct kymo_ahead; /* owned; one thread reads */

KYMO_MUST_USE kymo_status kymo_ahead_open(struct kymo_ahead **out, unsigned n_threads,
                                          size_t cap_bytes, struct kymo_err *err);
/* Waits for what is being decoded. */
void kymo_ahead_close(struct kymo_ahead *a);
/* For the slots that are filled from now on. */
void kymo_ahead_call_order(struct kymo_ahead *a, int on);
/* A slot to fill, or NULL when all are in use; kymo_ahead_submit() hands it to a thread. */
struct kymo_slot *kymo_ahead_free(struct kymo_ahead *a);
void kymo_ahead_submit(struct kymo_ahead *a);
/* The next slot in the order of submission, decoded; NULL when none is left. The one taken before
 * is free again. */
struct kymo_slot *kymo_ahead_take(struct kymo_ahead *a);

#endif
