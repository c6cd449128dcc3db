/* SPDX-License-Identifier: Apache-2.0
 * proto.h: Protocol Buffers on the wire, written. A message within a message is begun, filled and
 * ended; its length, which stands before it, is put there at the end.
 */
#ifndef KYMO_EXPORT_PROTO_H
#define KYMO_EXPORT_PROTO_H

#include <string.h>

#include "format/base/bytes.h"

static inline void kymo_proto_u64(struct kymo_buf *out, uint32_t field, uint64_t v)
{
    kymo_buf_varint(out, (uint64_t)field << 3);
    kymo_buf_varint(out, v);
}

static inline void kymo_proto_bytes(struct kymo_buf *out, uint32_t field, const void *p,
                                    size_t n)
{
    kymo_buf_varint(out, (uint64_t)field << 3 | 2);
    kymo_buf_varint(out, n);
    kymo_buf_put(out, p, n);
}

/* A string field: what is not UTF-8 becomes U+FFFD, byte by byte. */
void kymo_proto_text(struct kymo_buf *out, uint32_t field, const char *s, size_t n);

static inline void kymo_proto_word(struct kymo_buf *out, uint32_t field, const char *s)
{
    kymo_proto_bytes(out, field, s, strlen(s));
}

/* Begin a message field; what is returned goes to _end. */
size_t kymo_proto_begin(struct kymo_buf *out, uint32_t field);
void kymo_proto_end(struct kymo_buf *out, size_t begun);

#endif
