/* SPDX-License-Identifier: Apache-2.0
 * chunk.h: the unit of a capture. A 64-byte header with its own checksum, then a body with a
 * checksum in the header: table of contents and streams (SPEC.md has the bytes).
 */
#ifndef KYMO_TRACE_CHUNK_H
#define KYMO_TRACE_CHUNK_H

#include "format/trace/batch.h"

#define KYMO_FORMAT_VERSION 1u
#define KYMO_FILE_HEADER_BYTES 16u
#define KYMO_CHUNK_HEADER_BYTES 64u
#define KYMO_CHUNK_BODY_BYTES_MAX (128u << 20)
#define KYMO_FILE_SCHEMAS_MAX 1024u

enum kymo_chunk_kind {
    KYMO_CHUNK_SCHEMA = 1,
    KYMO_CHUNK_DATA = 2,
    KYMO_CHUNK_END = 3, /* the writer closed the file: totals, nothing follows */
};

#define KYMO_CHUNK_SEAL 1u /* flag: no row older than ts_max follows in any table */

struct kymo_chunk_header {
    uint32_t kind;
    uint32_t flags;
    uint32_t n_rows;
    uint32_t body_bytes;
    uint64_t schema_hash;
    uint64_t ts_min_ns, ts_max_ns;
    uint64_t body_xxh3;
};

/* The 16 bytes every capture begins with. */
void kymo_file_header_encode(uint8_t out[KYMO_FILE_HEADER_BYTES]);
KYMO_MUST_USE kymo_status kymo_file_header_decode(const uint8_t in[KYMO_FILE_HEADER_BYTES],
                                                  struct kymo_err *err);

void kymo_chunk_header_encode(const struct kymo_chunk_header *h,
                              uint8_t out[KYMO_CHUNK_HEADER_BYTES]);
KYMO_MUST_USE kymo_status kymo_chunk_header_decode(struct kymo_chunk_header *h,
                                                   const uint8_t in[KYMO_CHUNK_HEADER_BYTES],
                                                   uint64_t at_bytes, struct kymo_err *err);

/* Batch to body. One encoder a writing thread, owned. level is zstd's. */
struct kymo_encoder;
KYMO_MUST_USE kymo_status kymo_encoder_open(struct kymo_encoder **out, int level,
                                            struct kymo_err *err);
void kymo_encoder_close(struct kymo_encoder *e);
KYMO_MUST_USE kymo_status kymo_chunk_encode(struct kymo_encoder *e, const struct kymo_batch *b,
                                            struct kymo_buf *body, struct kymo_err *err);

/* Body to batch. One decoder a reading thread, owned. */
struct kymo_decoder;
KYMO_MUST_USE kymo_status kymo_decoder_open(struct kymo_decoder **out, struct kymo_err *err);
void kymo_decoder_close(struct kymo_decoder *d);
/* What lies between, reset for each stream; its cap may be set (64 MiB at first). */
struct kymo_arena *kymo_decoder_scratch(struct kymo_decoder *d);
/* Leave the rows of grouped tables in call order from the next chunk on: cheaper, where the order
 * does not matter, by all that sorting them back would cost. */
void kymo_decoder_call_order(struct kymo_decoder *d, int on);

/*
 * Decode a chunk into the arena.
 *
 * schema, h  borrowed, as body and arena are, until the next call of kymo_chunk_decode()
 * want       [n_columns]: nonzero columns are decoded; NULL: all, and the index and the zones are held
 *            against the rows. CHAIN columns bring `dur` along.
 * out        borrowed from the arena
 * errors     ECORRUPT with the byte, ELIMIT when the arena is spent
 */
KYMO_MUST_USE kymo_status kymo_chunk_decode(struct kymo_decoder *d,
                                            const struct kymo_schema *schema,
                                            const struct kymo_chunk_header *h,
                                            struct kymo_bytes body, const uint8_t *want,
                                            struct kymo_arena *arena, struct kymo_batch *out,
                                            struct kymo_err *err);
/* Decode further columns of the same chunk; b is what kymo_chunk_decode() gave. */
KYMO_MUST_USE kymo_status kymo_chunk_more(struct kymo_decoder *d, const uint8_t *want,
                                          struct kymo_batch *b, struct kymo_err *err);
/* The table of contents of the chunk at hand: sizes and codecs of its streams. */
struct kymo_toc;
const struct kymo_toc *kymo_decoder_toc(const struct kymo_decoder *d);

#endif
