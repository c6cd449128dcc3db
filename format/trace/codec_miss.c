/* SPDX-License-Identifier: Apache-2.0
 * codec_miss.c: a bit a value, 1 where it equals the one before (before the first: 0), then the
 * values that do not, as planes.
 *
 *   bitmap, ceil(n/8) bytes, low bit first, spare bits 0 | planes of the misses
 */
#include "format/trace/codec.h"

#define BLOCK 1024u

/* Misses are gathered a block at a time on the stack: once for the width, once for the bytes. */
static size_t gather(const uint64_t *v, size_t from, size_t to, uint64_t *miss)
{
    size_t m = 0;
    uint64_t last = from ? v[from - 1] : 0;
    for (size_t i = from; i < to; i++) {
        miss[m] = v[i];
        m += v[i] != last;
        last = v[i];
    }
    return m;
}

static void put_bitmap(const uint64_t *v, size_t n, struct kymo_buf *out)
{
    uint8_t *p = kymo_buf_reserve(out, (n + 7) / 8);
    if (!p)
        return;
    uint64_t last = 0;
    for (size_t i = 0; i < n; i += 8) {
        const size_t m = n - i < 8 ? n - i : 8;
        unsigned byte = 0;
        for (size_t j = 0; j < m; j++) {
            byte |= (unsigned)(v[i + j] == last) << j;
            last = v[i + j];
        }
        p[i / 8] = (uint8_t)byte;
    }
    out->n += (n + 7) / 8;
}

int kymo_codec_miss_encode(const uint64_t *v, size_t n, struct kymo_buf *out)
{
    uint64_t miss[BLOCK], first = 0;
    struct kymo_range r;
    size_t n_miss = 0;
    kymo_range_begin(&r);
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = gather(v, i, n - i < BLOCK ? n : i + BLOCK, miss);
        if (!n_miss && m)
            first = miss[0];
        n_miss += m;
        kymo_range_add(&r, miss, m, first);
    }
    const struct kymo_planes shape = n_miss ? kymo_planes_fit(&r) : (struct kymo_planes){0};
    put_bitmap(v, n, out);
    kymo_planes_put_head(&shape, out);
    uint8_t *p = kymo_buf_reserve(out, n_miss * shape.width);
    if (!p)
        return 1;
    size_t done = 0;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = gather(v, i, n - i < BLOCK ? n : i + BLOCK, miss);
        for (unsigned k = 0; k < shape.width; k++)
            for (size_t j = 0; j < m; j++)
                p[k * n_miss + done + j] =
                    (uint8_t)((miss[j] - shape.base) >> (8 * k + shape.shift));
        done += m;
    }
    out->n += n_miss * shape.width;
    return 1;
}

kymo_status kymo_codec_miss_decode(struct kymo_bytes in, uint64_t *v, size_t n,
                                   struct kymo_arena *scratch, struct kymo_err *err)
{
    struct kymo_bytes map;
    KYMO_TRY(kymo_bytes_take(&in, (n + 7) / 8, &map, err));
    if (n % 8 && map.p[n / 8] >> n % 8)
        return KYMO_FAIL(err, KYMO_ECORRUPT, map.at_bytes + n / 8, "miss: spare bits are set");
    size_t n_miss = n;
    for (size_t i = 0; i < (n + 7) / 8; i++)
        n_miss -= (size_t)__builtin_popcount(map.p[i]);
    uint64_t *miss = KYMO_NEW_RAW(scratch, uint64_t, n_miss);
    if (!miss)
        return KYMO_FAIL(err, KYMO_ELIMIT, in.at_bytes,
                         "miss: %zu values pass the memory budget", n_miss);
    KYMO_TRY(kymo_planes_take(&in, miss, n_miss, err));
    KYMO_TRY(kymo_codec_end(&in, err));
    uint64_t last = 0;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(map.p[i / 8] >> i % 8 & 1))
            last = miss[m++];
        v[i] = last;
    }
    return KYMO_OK;
}
