/* SPDX-License-Identifier: Apache-2.0
 * codec_delta.c: differences to the previous value, as planes. Values that never fall (times in
 * row order) have plain differences; others have them zigzagged, so that -1 is as cheap as 1.
 *
 *   u8 sign: 0 plain, 1 zigzag | zigzag varint first value | planes of n-1 differences
 */
#include "format/trace/codec.h"

/* Differences are made in blocks on the stack, twice: once for the width, once for the bytes. */
#define BLOCK 512u

static void diff_block(const uint64_t *v, size_t n, int is_zigzag, uint64_t *out)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t d = v[i + 1] - v[i];
        out[i] = is_zigzag ? kymo_zigzag((int64_t)d) : d;
    }
}

static void put_blocks(const uint64_t *v, size_t n, int is_zigzag,
                       const struct kymo_planes *shape, uint8_t *out)
{
    uint64_t d[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        diff_block(v + i, m, is_zigzag, d);
        for (unsigned k = 0; k < shape->width; k++)
            for (size_t j = 0; j < m; j++)
                out[k * n + i + j] = (uint8_t)((d[j] - shape->base) >> (8 * k + shape->shift));
    }
}

static int falls(const uint64_t *v, size_t n)
{
    int any = 0;
    for (size_t i = 1; i < n; i++)
        any |= (int64_t)(v[i] - v[i - 1]) < 0;
    return any;
}

int kymo_codec_delta_encode(const uint64_t *v, size_t n, struct kymo_buf *out)
{
    const int is_zigzag = falls(v, n);
    struct kymo_range r;
    kymo_range_begin(&r);
    for (size_t i = 0; i + 1 < n; i += BLOCK) {
        uint64_t d[BLOCK], first;
        const size_t m = n - 1 - i < BLOCK ? n - 1 - i : BLOCK;
        diff_block(v, 1, is_zigzag, &first);
        diff_block(v + i, m, is_zigzag, d);
        kymo_range_add(&r, d, m, first);
    }
    struct kymo_planes shape = {0};
    if (n > 1)
        shape = kymo_planes_fit(&r);
    kymo_buf_u8(out, (uint8_t)is_zigzag);
    kymo_buf_varint(out, kymo_zigzag((int64_t)v[0]));
    kymo_planes_put_head(&shape, out);
    uint8_t *p = kymo_buf_reserve(out, (n - 1) * shape.width);
    if (!p)
        return 1;
    put_blocks(v, n - 1, is_zigzag, &shape, p);
    out->n += (n - 1) * shape.width;
    return 1;
}

kymo_status kymo_codec_delta_decode(struct kymo_bytes in, uint64_t *v, size_t n,
                                    struct kymo_arena *scratch, struct kymo_err *err)
{
    (void)scratch;
    const uint64_t at = in.at_bytes;
    uint8_t sign;
    uint64_t first;
    KYMO_TRY(kymo_bytes_u8(&in, &sign, err));
    if (sign > 1)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "delta: sign %u, only 0 and 1 are known",
                         sign);
    KYMO_TRY(kymo_bytes_varint(&in, &first, err));
    KYMO_TRY(kymo_planes_take(&in, v + 1, n - 1, err));
    KYMO_TRY(kymo_codec_end(&in, err));
    uint64_t x = v[0] = (uint64_t)kymo_unzigzag(first);
    if (sign)
        for (size_t i = 1; i < n; i++)
            v[i] = x += (uint64_t)kymo_unzigzag(v[i]);
    else
        for (size_t i = 1; i < n; i++)
            v[i] = x += v[i];
    return KYMO_OK;
}
