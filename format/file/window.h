/* SPDX-License-Identifier: Apache-2.0
 * window.h: a stretch of a file or a pipe in memory that moves on, and chunks looked for in it.
 */
#ifndef KYMO_FILE_WINDOW_H
#define KYMO_FILE_WINDOW_H

#include "format/trace/chunk.h"

struct kymo_window {
    int fd, can_seek;
    uint64_t at;   /* offset of the cursor in the input */
    uint8_t *p;    /* owned */
    size_t n, cap; /* bytes held, and room */
    size_t cursor; /* of p */
    int is_at_end; /* the input has no more */
};

/* A view of fd from its offset at on; fd is borrowed. A pipe begins where it is. */
void kymo_window_open(struct kymo_window *w, int fd, uint64_t at);
void kymo_window_close(struct kymo_window *w);
/* Have n bytes from the cursor on, fewer only at the end of the input. Memory grows with what is
 * there, not with what is asked for. have out: how many there are. */
KYMO_MUST_USE kymo_status kymo_window_need(struct kymo_window *w, size_t n, size_t *have,
                                           struct kymo_err *err);
const uint8_t *kymo_window_bytes(const struct kymo_window *w);
/* Go on by n bytes, which were needed before, or by any number in a file. */
void kymo_window_skip(struct kymo_window *w, uint64_t n);
/* Go on to the next place where the magic of a chunk stands, at the cursor or later; or to the end. */
KYMO_MUST_USE kymo_status kymo_window_find(struct kymo_window *w, struct kymo_err *err);
/* Is there a whole and right chunk header at the cursor? */
KYMO_MUST_USE kymo_status kymo_window_header(struct kymo_window *w, struct kymo_chunk_header *h,
                                             int *found, struct kymo_err *err);

#endif
