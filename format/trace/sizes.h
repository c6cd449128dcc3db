/* SPDX-License-Identifier: Apache-2.0
 * sizes.h: where the bytes of a capture go, by table and column.
 */
#ifndef KYMO_TRACE_SIZES_H
#define KYMO_TRACE_SIZES_H

#include "format/trace/batch.h"
#include "format/trace/column.h"
#include "format/trace/toc.h"

/* One column of a table, or what its chunks have beside columns. Bytes are those in the file; of a chunk
 * that is one zstd frame each column has its share by what went in. */
struct kymo_size {
    const char *table; /* of the schema, which has to live as long */
    const char *name;  /* a column, or "(order)", "(strings)", "(contents)" */
    double bytes, codec_bytes[KYMO_CODEC_COUNT];
    uint64_t rows, streams;
};

struct kymo_sizes { /* on the caller's storage, zeroed at first; kymo_sizes_release() */
    struct kymo_size *size;
    size_t n, cap;
};

/* Add a chunk: its table of contents, and how many bytes it takes, header included. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_sizes_add(struct kymo_sizes *s, const struct kymo_schema *schema,
                                         const struct kymo_toc *toc, uint32_t n_rows,
                                         uint64_t chunk_bytes, struct kymo_err *err);
void kymo_sizes_release(struct kymo_sizes *s);

#endif
