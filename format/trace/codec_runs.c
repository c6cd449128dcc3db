/* SPDX-License-Identifier: Apache-2.0
 * codec_runs.c: runs of equal values.
 *
 *   varint runs | planes of the runs' values | planes of the runs' lengths minus one
 */
#include "format/trace/codec.h"

static size_t count_runs(const uint64_t *v, size_t n)
{
    size_t runs = n > 0;
    for (size_t i = 1; i < n; i++)
        runs += v[i] != v[i - 1];
    return runs;
}

int kymo_codec_runs_encode(const uint64_t *v, size_t n, struct kymo_buf *out)
{
    const size_t runs = count_runs(v, n);
    if (!runs)
        return 0;
    struct kymo_buf lists = {0};
    uint64_t *value = (uint64_t *)(void *)kymo_buf_reserve(&lists, 2 * runs * sizeof(uint64_t));
    if (!value)
        return 0;
    uint64_t *length = value + runs;
    size_t r = 0, start = 0;
    for (size_t i = 1; i <= n; i++) {
        if (i < n && v[i] == v[i - 1])
            continue;
        value[r] = v[i - 1];
        length[r++] = i - start - 1;
        start = i;
    }
    kymo_buf_varint(out, runs);
    kymo_planes_put(value, runs, out);
    kymo_planes_put(length, runs, out);
    kymo_buf_release(&lists);
    return 1;
}

kymo_status kymo_codec_runs_decode(struct kymo_bytes in, uint64_t *v, size_t n,
                                   struct kymo_arena *scratch, struct kymo_err *err)
{
    const uint64_t at = in.at_bytes;
    uint64_t runs;
    KYMO_TRY(kymo_bytes_varint(&in, &runs, err));
    if (!runs || runs > n)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "runs: %llu runs cannot make %zu values",
                         (unsigned long long)runs, n);
    uint64_t *value = KYMO_NEW_RAW(scratch, uint64_t, 2 * (size_t)runs);
    if (!value)
        return KYMO_FAIL(err, KYMO_ELIMIT, at, "runs: %llu runs pass the memory budget",
                         (unsigned long long)runs);
    uint64_t *length = value + runs;
    KYMO_TRY(kymo_planes_take(&in, value, (size_t)runs, err));
    KYMO_TRY(kymo_planes_take(&in, length, (size_t)runs, err));
    KYMO_TRY(kymo_codec_end(&in, err));
    size_t i = 0;
    for (uint64_t r = 0; r < runs; r++) {
        if (length[r] >= n - i)
            return KYMO_FAIL(err, KYMO_ECORRUPT, at, "runs: the runs pass %zu values", n);
        for (const size_t end = i + (size_t)length[r] + 1; i < end; i++)
            v[i] = value[r];
        if (i == n && r + 1 < runs)
            return KYMO_FAIL(err, KYMO_ECORRUPT, at, "runs: the runs pass %zu values", n);
    }
    if (i != n)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "runs: the runs make %zu of %zu values", i, n);
    return KYMO_OK;
}
