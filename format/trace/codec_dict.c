/* SPDX-License-Identifier: Apache-2.0
 * codec_dict.c: the distinct values in rising order, then each value's place among them.
 *
 *   varint k | varint first | k-1 varints, gap to the next value minus one | planes of n ids
 */
#include <stdlib.h>

#include "format/trace/codec.h"

#define SLOTS 16384u /* four times the values: probes stay short */
_Static_assert(SLOTS >= 4 * KYMO_DICT_VALUES_MAX, "a full dictionary needs room to probe");

struct dict {
    uint64_t value[SLOTS];
    uint16_t id[SLOTS]; /* 0: free; else place in `order` + 1, later rank + 1 */
    uint16_t slot[KYMO_DICT_VALUES_MAX];
    uint32_t k;
};

static uint32_t slot_of(const struct dict *d, uint64_t v)
{
    uint32_t h = (uint32_t)(v * 0x9e3779b97f4a7c15u >> 50);
    while (d->id[h] && d->value[h] != v)
        h = (h + 1) & (SLOTS - 1);
    return h;
}

static int gather(struct dict *d, const uint64_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i && v[i] == v[i - 1])
            continue;
        const uint32_t h = slot_of(d, v[i]);
        if (d->id[h])
            continue;
        if (d->k == KYMO_DICT_VALUES_MAX)
            return 0;
        d->value[h] = v[i];
        d->slot[d->k] = (uint16_t)h;
        d->id[h] = (uint16_t)++d->k;
    }
    return 1;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void put_table(struct dict *d, struct kymo_buf *out)
{
    uint64_t sorted[KYMO_DICT_VALUES_MAX];
    sorted[0] = d->value[d->slot[0]];
    for (uint32_t i = 1; i < d->k; i++)
        sorted[i] = d->value[d->slot[i]];
    qsort(sorted, d->k, sizeof(sorted[0]), by_value);
    kymo_buf_varint(out, d->k);
    kymo_buf_varint(out, sorted[0]);
    for (uint32_t i = 1; i < d->k; i++)
        kymo_buf_varint(out, sorted[i] - sorted[i - 1] - 1);
    for (uint32_t i = 0; i < d->k; i++)
        d->id[slot_of(d, sorted[i])] = (uint16_t)(i + 1);
}

static void put_ids(const struct dict *d, const uint64_t *v, size_t n, struct kymo_buf *out)
{
    const unsigned width = d->k > 256 ? 2 : d->k > 1 ? 1 : 0;
    kymo_buf_u8(out, (uint8_t)width);
    kymo_buf_varint(out, 0);
    uint8_t *p = kymo_buf_reserve(out, n * width);
    if (!p || !width)
        return;
    uint32_t id = 0;
    for (size_t i = 0; i < n; i++) {
        if (!i || v[i] != v[i - 1])
            id = d->id[slot_of(d, v[i])] - 1u;
        p[i] = (uint8_t)id;
        if (width == 2)
            p[n + i] = (uint8_t)(id >> 8);
    }
    out->n += n * width;
}

int kymo_codec_dict_encode(const uint64_t *v, size_t n, struct kymo_buf *out)
{
    static _Thread_local struct dict d; /* too large for a stack, too hot for the heap */
    for (uint32_t i = 0; i < d.k; i++)
        d.id[d.slot[i]] = 0;
    d.k = 0;
    if (!n || !gather(&d, v, n))
        return 0;
    put_table(&d, out);
    put_ids(&d, v, n, out);
    return 1;
}

kymo_status kymo_codec_dict_decode(struct kymo_bytes in, uint64_t *v, size_t n,
                                   struct kymo_arena *scratch, struct kymo_err *err)
{
    const uint64_t at = in.at_bytes;
    uint64_t k;
    KYMO_TRY(kymo_bytes_varint(&in, &k, err));
    if (!k || k > KYMO_DICT_VALUES_MAX || k > in.left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "dict: %llu values cannot lie in %zu bytes",
                         (unsigned long long)k, in.left);
    uint64_t *table = KYMO_NEW_RAW(scratch, uint64_t, (size_t)k);
    if (!table)
        return KYMO_FAIL(err, KYMO_ELIMIT, at, "dict: %llu values pass the memory budget",
                         (unsigned long long)k);
    KYMO_TRY(kymo_bytes_varint(&in, &table[0], err));
    for (uint64_t i = 1; i < k; i++) {
        const uint64_t gap_at = in.at_bytes;
        uint64_t gap;
        KYMO_TRY(kymo_bytes_varint(&in, &gap, err));
        if (gap >= UINT64_MAX - table[i - 1])
            return KYMO_FAIL(err, KYMO_ECORRUPT, gap_at, "dict: value %llu passes 2^64",
                             (unsigned long long)i);
        table[i] = table[i - 1] + gap + 1;
    }
    const uint64_t ids_at = in.at_bytes;
    KYMO_TRY(kymo_planes_take(&in, v, n, err));
    KYMO_TRY(kymo_codec_end(&in, err));
    for (size_t i = 0; i < n; i++) {
        if (v[i] >= k)
            return KYMO_FAIL(err, KYMO_ECORRUPT, ids_at,
                             "dict: id %llu of value %zu, there are %llu",
                             (unsigned long long)v[i], i, (unsigned long long)k);
        v[i] = table[v[i]];
    }
    return KYMO_OK;
}
