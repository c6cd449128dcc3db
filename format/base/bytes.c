/* SPDX-License-Identifier: Apache-2.0 */
#include "format/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"

#define VARINT_BYTES_MAX 10

static kymo_status need(const struct kymo_bytes *in, size_t n, struct kymo_err *err)
{
    if (n > in->left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, in->at_bytes, "%zu bytes needed, %zu left", n,
                         in->left);
    return KYMO_OK;
}

static void advance(struct kymo_bytes *in, size_t n)
{
    in->p += n;
    in->left -= n;
    in->at_bytes += n;
}

kymo_status kymo_bytes_u8(struct kymo_bytes *in, uint8_t *v, struct kymo_err *err)
{
    KYMO_TRY(need(in, 1, err));
    *v = in->p[0];
    advance(in, 1);
    return KYMO_OK;
}

kymo_status kymo_bytes_u16(struct kymo_bytes *in, uint16_t *v, struct kymo_err *err)
{
    KYMO_TRY(need(in, 2, err));
    *v = kymo_load_u16(in->p);
    advance(in, 2);
    return KYMO_OK;
}

kymo_status kymo_bytes_u32(struct kymo_bytes *in, uint32_t *v, struct kymo_err *err)
{
    KYMO_TRY(need(in, 4, err));
    *v = kymo_load_u32(in->p);
    advance(in, 4);
    return KYMO_OK;
}

kymo_status kymo_bytes_u64(struct kymo_bytes *in, uint64_t *v, struct kymo_err *err)
{
    KYMO_TRY(need(in, 8, err));
    *v = kymo_load_u64(in->p);
    advance(in, 8);
    return KYMO_OK;
}

kymo_status kymo_bytes_varint(struct kymo_bytes *in, uint64_t *v, struct kymo_err *err)
{
    uint64_t out = 0;
    for (size_t i = 0; i < VARINT_BYTES_MAX; i++) {
        if (i >= in->left)
            return KYMO_FAIL(err, KYMO_ECORRUPT, in->at_bytes,
                             "varint cut short after %zu bytes", i);
        const uint8_t byte = in->p[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            return KYMO_FAIL(err, KYMO_ECORRUPT, in->at_bytes, "varint longer than 64 bits");
        out |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            *v = out;
            advance(in, i + 1);
            return KYMO_OK;
        }
    }
    return KYMO_FAIL(err, KYMO_ECORRUPT, in->at_bytes, "varint longer than 64 bits");
}

kymo_status kymo_bytes_take(struct kymo_bytes *in, size_t n, struct kymo_bytes *out,
                            struct kymo_err *err)
{
    KYMO_TRY(need(in, n, err));
    const struct kymo_bytes taken = kymo_bytes_view(in->p, n, in->at_bytes);
    advance(in, n);
    *out = taken;
    return KYMO_OK;
}

size_t kymo_utf8_bytes(const char *s, size_t n)
{
    static const uint8_t first_min[] = {0x00, 0xc2, 0xe0, 0xf0, 0xf5};
    const uint8_t *u = (const uint8_t *)s;
    if (u[0] < 0x80)
        return 1;
    size_t want = 1;
    while (want < 4 && u[0] >= first_min[want])
        want++;
    if (u[0] < first_min[1] || u[0] >= first_min[4] || want > n)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    const int overlong = (u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xf0 && u[1] < 0x90);
    const int surrogate = u[0] == 0xed && u[1] > 0x9f;
    const int past_end = u[0] == 0xf4 && u[1] > 0x8f;
    return overlong || surrogate || past_end ? 0 : want;
}

void kymo_buf_release(struct kymo_buf *b)
{
    free(b->p);
    memset(b, 0, sizeof(*b));
}

uint8_t *kymo_buf_reserve(struct kymo_buf *b, size_t more)
{
    if (b->failed)
        return NULL;
    if (b->p && more <= b->cap - b->n)
        return b->p + b->n;
    size_t want;
    if (!kymo_size_add(b->n, more, &want)) {
        b->failed = 1;
        return NULL;
    }
    size_t cap = b->cap ? b->cap : 256;
    while (cap < want && cap <= SIZE_MAX / 2)
        cap *= 2;
    if (cap < want)
        cap = want;
    uint8_t *p = realloc(b->p, cap);
    if (!p) {
        b->failed = 1;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    return p + b->n;
}

void kymo_buf_put(struct kymo_buf *b, const void *p, size_t n)
{
    uint8_t *to = kymo_buf_reserve(b, n);
    if (!to || !n)
        return;
    memcpy(to, p, n);
    b->n += n;
}

void kymo_buf_u8(struct kymo_buf *b, uint8_t v)
{
    kymo_buf_put(b, &v, 1);
}

void kymo_buf_u16(struct kymo_buf *b, uint16_t v)
{
    uint8_t raw[2];
    kymo_store_u16(raw, v);
    kymo_buf_put(b, raw, sizeof(raw));
}

void kymo_buf_u32(struct kymo_buf *b, uint32_t v)
{
    uint8_t raw[4];
    kymo_store_u32(raw, v);
    kymo_buf_put(b, raw, sizeof(raw));
}

void kymo_buf_u64(struct kymo_buf *b, uint64_t v)
{
    uint8_t raw[8];
    kymo_store_u64(raw, v);
    kymo_buf_put(b, raw, sizeof(raw));
}

void kymo_buf_varint(struct kymo_buf *b, uint64_t v)
{
    uint8_t *to = kymo_buf_reserve(b, VARINT_BYTES_MAX);
    if (!to)
        return;
    while (v >= 0x80) {
        *to++ = (uint8_t)(v | 0x80);
        v >>= 7;
        b->n++;
    }
    *to = (uint8_t)v;
    b->n++;
}

void kymo_buf_printf(struct kymo_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = 1;
        return;
    }
    uint8_t *to = kymo_buf_reserve(b, (size_t)n + 1);
    if (!to)
        return;
    va_start(ap, fmt);
    (void)vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}
