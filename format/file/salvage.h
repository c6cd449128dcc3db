/* SPDX-License-Identifier: Apache-2.0
 * salvage.h: every whole chunk of a file of which some bytes are wrong, missing or too many.
 *
 * A chunk is whole when the checksums of its header and of its body are right and its rows decode.
 * Between whole chunks, the next one is found by its magic and its header's checksum. A schema serves
 * rows wherever it lies in the file; tables of this program's own need none.
 */
#ifndef KYMO_FILE_SALVAGE_H
#define KYMO_FILE_SALVAGE_H

#include "format/trace/writer.h"

/* A stretch of the input of which nothing could be kept. */
struct kymo_lost {
    uint64_t from, to; /* bytes, `to` not included */
    uint64_t rows;     /* that chunk headers within tell of: at least so many */
    const char *why;   /* of its first chunk */
};

struct kymo_salvage_opts {
    size_t memory_bytes;                                /* 0: 256 MiB for a chunk decoded */
    void (*lost)(void *ctx, const struct kymo_lost *l); /* told of each stretch; may be NULL */
    void *ctx;
};

struct kymo_salvage_result {
    uint64_t chunks, rows; /* kept; chunks of rows */
    uint64_t ranges, lost_bytes, lost_rows;
    uint64_t
        missing_rows; /* by the count that the writer left at the end; 0 when there is none */
    int is_finished;  /* an END chunk was there */
};

/*
 * Read all of fd and write what is whole; w is finished when KYMO_OK comes back. Bounded memory: one
 * chunk. A pipe will do, but then a schema has to come before its rows.
 *
 * errors  ECORRUPT: not one whole chunk; EINPUT: cannot read; those of the writer
 */
KYMO_MUST_USE kymo_status kymo_salvage(int fd, const struct kymo_salvage_opts *o,
                                       struct kymo_writer *w, struct kymo_salvage_result *out,
                                       struct kymo_err *err);

#endif
