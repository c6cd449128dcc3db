/* SPDX-License-Identifier: Apache-2.0 */
#include "format/export/proto.h"

void kymo_proto_text(struct kymo_buf *out, uint32_t field, const char *s, size_t n)
{
    const size_t begun = kymo_proto_begin(out, field);
    for (size_t i = 0; i < n;) {
        const size_t len = kymo_utf8_bytes(s + i, n - i);
        kymo_buf_put(out, len ? s + i : "\xef\xbf\xbd", len ? len : 3);
        i += len ? len : 1;
    }
    kymo_proto_end(out, begun);
}

/* One byte is kept for the length, which is enough for nearly all; longer ones are moved up. */
size_t kymo_proto_begin(struct kymo_buf *out, uint32_t field)
{
    kymo_buf_varint(out, (uint64_t)field << 3 | 2);
    kymo_buf_u8(out, 0);
    return out->n;
}

void kymo_proto_end(struct kymo_buf *out, size_t begun)
{
    if (out->failed)
        return;
    const size_t n = out->n - begun;
    uint8_t length[10];
    size_t width = 0;
    for (size_t v = n; width == 0 || v; v >>= 7)
        length[width++] = (uint8_t)((v & 0x7f) | (v >> 7 ? 0x80 : 0));
    if (!kymo_buf_reserve(out, width - 1))
        return;
    memmove(out->p + begun + width - 1, out->p + begun, n);
    memcpy(out->p + begun - 1, length, width);
    out->n += width - 1;
}
