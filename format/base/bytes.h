/* SPDX-License-Identifier: Apache-2.0
 * bytes.h: a bounded cursor over untrusted bytes, and a growing buffer to write them.
 * Little-endian, byte by byte; a read that does not fit moves nothing.
 */
#ifndef KYMO_BASE_BYTES_H
#define KYMO_BASE_BYTES_H

#include "format/base/err.h"

struct kymo_bytes {
    const uint8_t *p;  /* borrowed */
    size_t left;       /* bytes */
    uint64_t at_bytes; /* offset of p in the file, for messages */
};

static inline struct kymo_bytes kymo_bytes_view(const void *p, size_t n, uint64_t at_bytes)
{
    const struct kymo_bytes b = {(const uint8_t *)p, n, at_bytes};
    return b;
}

KYMO_MUST_USE kymo_status kymo_bytes_u8(struct kymo_bytes *in, uint8_t *v,
                                        struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_bytes_u16(struct kymo_bytes *in, uint16_t *v,
                                         struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_bytes_u32(struct kymo_bytes *in, uint32_t *v,
                                         struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_bytes_u64(struct kymo_bytes *in, uint64_t *v,
                                         struct kymo_err *err);
/* LEB128, at most 10 bytes, no overlong tail bits past 64. */
KYMO_MUST_USE kymo_status kymo_bytes_varint(struct kymo_bytes *in, uint64_t *v,
                                            struct kymo_err *err);
/* Take n bytes as a view. */
KYMO_MUST_USE kymo_status kymo_bytes_take(struct kymo_bytes *in, size_t n,
                                          struct kymo_bytes *out, struct kymo_err *err);

static inline uint16_t kymo_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t kymo_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t kymo_load_u64(const uint8_t *p)
{
    return (uint64_t)kymo_load_u32(p) | (uint64_t)kymo_load_u32(p + 4) << 32;
}
static inline void kymo_store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void kymo_store_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}
static inline void kymo_store_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint64_t kymo_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}
static inline int64_t kymo_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Bytes of the well-formed UTF-8 sequence that starts s[n], n >= 1; 0 if none does: overlong forms,
 * surrogates and what lies past U+10FFFF are none. */
size_t kymo_utf8_bytes(const char *s, size_t n);

/* A growing output buffer, owned; memory of our own making, so malloc with one check at the end:
 * once an allocation failed, `failed` is set and further puts do nothing. */
struct kymo_buf {
    uint8_t *p;
    size_t n;
    size_t cap;
    int failed;
};

void kymo_buf_release(struct kymo_buf *b);
static inline void kymo_buf_clear(struct kymo_buf *b)
{
    b->n = 0;
}
/* Make room for more bytes at the end; the place to write, or NULL. Does not move n. */
uint8_t *kymo_buf_reserve(struct kymo_buf *b, size_t more);
void kymo_buf_put(struct kymo_buf *b, const void *p, size_t n);
void kymo_buf_u8(struct kymo_buf *b, uint8_t v);
void kymo_buf_u16(struct kymo_buf *b, uint16_t v);
void kymo_buf_u32(struct kymo_buf *b, uint32_t v);
void kymo_buf_u64(struct kymo_buf *b, uint64_t v);
void kymo_buf_varint(struct kymo_buf *b, uint64_t v);
void kymo_buf_printf(struct kymo_buf *b, const char *fmt, ...) KYMO_PRINTF(2, 3);

#endif
