/* SPDX-License-Identifier: Apache-2.0
 * writer.h: captures and matrices on their way to a file or a pipe.
 */
#ifndef KYMO_TRACE_WRITER_H
#define KYMO_TRACE_WRITER_H

#include "format/trace/batch.h"
#include "format/trace/chunk.h"

struct kymo_writer; /* owned; one thread at a time */

/* A data chunk in the bytes that a file gets, header and body. */
struct kymo_encoded {
    const struct kymo_schema *schema; /* borrowed: a static table's, or of the writer */
    struct kymo_chunk_header header;
    const uint8_t *p; /* borrowed until the next _encode or _put of the writer */
    size_t n;
};

/*
 * Begin a capture on fd (borrowed: the caller opened it and closes it after _close).
 * Writes the file header. name is for messages.
 */
KYMO_MUST_USE kymo_status kymo_writer_open(struct kymo_writer **out, int fd, const char *name,
                                           int zstd_level, struct kymo_err *err);
/* As _open, without a capture as yet: _encode works, all else after _begin. */
KYMO_MUST_USE kymo_status kymo_writer_open_idle(struct kymo_writer **out, int zstd_level,
                                                struct kymo_err *err);
/* Begin a capture on another fd: its header, none of the schemas and rows of the one before, which is left
 * as it stands (after _finish it is complete). */
KYMO_MUST_USE kymo_status kymo_writer_begin(struct kymo_writer *w, int fd, const char *name,
                                            struct kymo_err *err);
/*
 * Round the times of calls from now on, which makes them smaller: `ts` of tables that have durations
 * down to a multiple of unit_ns, `dur` to the nearest. Their schemas say so: "time_unit_ns" in the meta.
 * The unit divides a second (1, 2, 4 ... 512 ns among others), so that a row stays in its own.
 */
void kymo_writer_time_unit(struct kymo_writer *w, uint64_t unit_ns);
/* Write the rows as one chunk (the schema first, when this file has not seen it or 64 MiB passed since).
 * flags: KYMO_CHUNK_SEAL. The rows are untouched. n_rows = 0 writes nothing. */
KYMO_MUST_USE kymo_status kymo_writer_put(struct kymo_writer *w, const struct kymo_batch *b,
                                          uint32_t flags, struct kymo_err *err);
/* _put in two steps. n_rows = 0 is a chunk of 0 bytes, which _append passes over. What is appended may
 * have been kept meanwhile, also while other captures of this writer came and went. */
KYMO_MUST_USE kymo_status kymo_writer_encode(struct kymo_writer *w, const struct kymo_batch *b,
                                             uint32_t flags, struct kymo_encoded *out,
                                             struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_writer_append(struct kymo_writer *w,
                                             const struct kymo_encoded *c,
                                             struct kymo_err *err);
/* Announce a schema without rows: an empty table is still a table. */
KYMO_MUST_USE kymo_status kymo_writer_declare(struct kymo_writer *w,
                                              const struct kymo_schema *s,
                                              struct kymo_err *err);
/* The END chunk: the file is complete. */
KYMO_MUST_USE kymo_status kymo_writer_finish(struct kymo_writer *w, struct kymo_err *err);
/* Free; writes nothing. */
void kymo_writer_close(struct kymo_writer *w);
/* Of the capture that was begun last. */
uint64_t kymo_writer_bytes(const struct kymo_writer *w);

#endif
