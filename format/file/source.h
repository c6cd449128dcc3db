/* SPDX-License-Identifier: Apache-2.0
 * source.h: one input of a merge. What it is, by a first look; then its chunks, one at a time.
 */
#ifndef KYMO_FILE_SOURCE_H
#define KYMO_FILE_SOURCE_H

#include "format/file/clockmap.h"
#include "format/trace/reader.h"

#define KYMO_HOST_BYTES_MAX 128u

struct kymo_source {
    const char *path; /* borrowed */
    char host[KYMO_HOST_BYTES_MAX], boot[KYMO_HOST_BYTES_MAX];
    struct kymo_clockmap real; /* monotonic to wall clock */
    struct kymo_clockmap map;  /* to the axis of the merge; empty: it is on it */
    int is_mapped;
    size_t host_index;
    uint64_t start_ns; /* on the axis of the merge: its first time */
    /* while it is read */
    kymo_reader *r;
    const struct kymo_batch *b; /* what happened, taken up to `row`; NULL: none at hand */
    uint32_t row;
    uint64_t key_ns;    /* where it is: the next row, or the seal it stands at */
    uint64_t sealed_ns; /* it has nothing older any more */
    int is_done, is_torn;
};

/* Learn host, boot, clock and start; the input is closed again. EUSAGE: it cannot be read twice. */
KYMO_MUST_USE kymo_status kymo_source_look(struct kymo_source *s, const char *path,
                                           struct kymo_err *err);
void kymo_source_release(struct kymo_source *s);
/* A time on the axis of the merge. */
uint64_t kymo_source_time(struct kymo_source *s, uint64_t ns);
struct kymo_clockmap *kymo_source_map(struct kymo_source *s);
/* The next chunk; batch out, NULL at the end (a torn tail is one). */
KYMO_MUST_USE kymo_status kymo_source_next(struct kymo_source *s,
                                           const struct kymo_batch **batch,
                                           struct kymo_err *err);

#endif
