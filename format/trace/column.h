/* SPDX-License-Identifier: Apache-2.0
 * column.h: one stream of 64-bit lanes to bytes and back. Each stream takes the codec that is
 * cheapest on a sample of it; zstd last. codec_NAME.c is a row of the table each.
 */
#ifndef KYMO_TRACE_COLUMN_H
#define KYMO_TRACE_COLUMN_H

#include "format/base/arena.h"
#include "format/base/bytes.h"

enum kymo_codec_id {
    KYMO_CODEC_PLANES =
        0, /* byte planes of width 0..8: all low bytes, then all second bytes, ... */
    KYMO_CODEC_DELTA = 1, /* zigzag differences to the previous value, as byte planes */
    KYMO_CODEC_DICT = 2,  /* distinct values, then ids as planes */
    KYMO_CODEC_MISS = 3,  /* bitmap "same as the last value", then the misses */
    KYMO_CODEC_RUNS = 4,  /* run values and run lengths */
    KYMO_CODEC_COUNT
};

/* Longer streams do not exist: rows, tasks, keys and strings of a chunk are bounded below this. */
#define KYMO_STREAM_VALUES_MAX (1u << 22)
/* Streams shorter than this are not worth a zstd frame. */
#define KYMO_STREAM_ZSTD_BYTES_MIN 64u

struct kymo_codec {
    const char *name;
    /* Append the encoding of v[n] to out; returns 0 when this codec does not fit the values. */
    int (*encode)(const uint64_t *v, size_t n, struct kymo_buf *out);
    /* Decode exactly n values from all of `in`; scratch is for tables inside. */
    kymo_status (*decode)(struct kymo_bytes in, uint64_t *v, size_t n,
                          struct kymo_arena *scratch, struct kymo_err *err);
};
extern const struct kymo_codec kymo_codecs[KYMO_CODEC_COUNT];

/* What some values have in common. */
struct kymo_range {
    uint64_t umin, umax; /* as unsigned numbers */
    int64_t smin, smax;  /* as signed ones */
    uint64_t differ;     /* bits in which any differs from the first */
};
void kymo_range_of(const uint64_t *v, size_t n, struct kymo_range *r);

/* Values as base + (x << shift), x being `width` bytes. */
struct kymo_planes {
    unsigned width, shift;
    uint64_t base;
};
struct kymo_planes kymo_planes_fit(const struct kymo_range *r);

/* The part that all codecs share: the shape, then width planes of n bytes.
 * take reads one and leaves `in` behind it. */
void kymo_planes_put(const uint64_t *v, size_t n, struct kymo_buf *out);
KYMO_MUST_USE kymo_status kymo_planes_take(struct kymo_bytes *in, uint64_t *v, size_t n,
                                           struct kymo_err *err);

/* What the table of contents says about one stream. */
struct kymo_stream {
    enum kymo_codec_id codec;
    int is_zstd;
    uint32_t encoded_bytes;  /* before zstd */
    uint32_t stored_bytes;   /* as it lies in the body */
    struct kymo_range range; /* of the values, set by kymo_column_encode */
};

/* Chooses a codec, encodes and compresses; scratch and zstd context are reused. Owned. */
struct kymo_column_encoder;
KYMO_MUST_USE kymo_status kymo_column_encoder_open(struct kymo_column_encoder **out,
                                                   int zstd_level, struct kymo_err *err);
void kymo_column_encoder_close(struct kymo_column_encoder *e);
/* on: keep zstd away from the streams that follow; whoever holds them compresses them together. */
void kymo_column_encoder_plain(struct kymo_column_encoder *e, int on);
/* About how many bits v[n] takes with the codec that it would get, by a sample of it. */
double kymo_column_bits(struct kymo_column_encoder *e, const uint64_t *v, size_t n);
/* Append v[n] to body, n >= 1. */
KYMO_MUST_USE kymo_status kymo_column_encode(struct kymo_column_encoder *e, const uint64_t *v,
                                             size_t n, struct kymo_stream *s,
                                             struct kymo_buf *body, struct kymo_err *err);
/* Append bytes as they are, through zstd where that is smaller. */
KYMO_MUST_USE kymo_status kymo_column_encode_bytes(struct kymo_column_encoder *e, const void *p,
                                                   size_t n, struct kymo_stream *s,
                                                   struct kymo_buf *body, struct kymo_err *err);

struct kymo_column_decoder; /* a zstd context, owned */
KYMO_MUST_USE kymo_status kymo_column_decoder_open(struct kymo_column_decoder **out,
                                                   struct kymo_err *err);
void kymo_column_decoder_close(struct kymo_column_decoder *d);
/* stored[s->stored_bytes] to n values; scratch holds what lies between, for this call only. */
KYMO_MUST_USE kymo_status kymo_column_decode(struct kymo_column_decoder *d,
                                             const struct kymo_stream *s,
                                             struct kymo_bytes stored, uint64_t *v, size_t n,
                                             struct kymo_arena *scratch, struct kymo_err *err);
/* The bytes before zstd: a view of `stored`, or of memory in the arena. */
KYMO_MUST_USE kymo_status kymo_column_decode_bytes(
    struct kymo_column_decoder *d, const struct kymo_stream *s, struct kymo_bytes stored,
    struct kymo_arena *arena, struct kymo_bytes *out, struct kymo_err *err);
/* The most bytes that an encoding of n values may take: what a claim is checked against. */
size_t kymo_column_bytes_max(size_t n);

#endif
