/* SPDX-License-Identifier: Apache-2.0
 * hybrid.c: a value that comes eight times or more in a row is a run (varint count << 1, the
 * value in whole bytes); what lies between runs is packed, eight values a group, low bits first
 * (varint groups << 1 | 1). Only the last group may be filled up.
 */
#include "format/export/hybrid.h"

#define RUN_MIN 8u
#define GROUP 8u

unsigned kymo_hybrid_width(uint32_t max)
{
    unsigned width = 1;
    while (width < 32 && max >> width)
        width++;
    return width;
}

static void put_run(struct kymo_buf *out, uint32_t value, size_t n, unsigned width)
{
    kymo_buf_varint(out, (uint64_t)n << 1);
    for (unsigned at = 0; at < width; at += 8)
        kymo_buf_u8(out, (uint8_t)(value >> at));
}

static void put_packed(struct kymo_buf *out, const uint32_t *value, size_t n, unsigned width)
{
    const size_t groups = (n + GROUP - 1) / GROUP;
    if (!n)
        return;
    kymo_buf_varint(out, (uint64_t)groups << 1 | 1);
    uint8_t *to = kymo_buf_reserve(out, groups * width);
    if (!to)
        return;
    uint64_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < groups * GROUP; i++) {
        bits |= (uint64_t)(i < n ? value[i] : 0) << held;
        for (held += width; held >= 8; held -= 8) {
            *to++ = (uint8_t)bits;
            bits >>= 8;
        }
    }
    out->n += groups * width;
}

static size_t run_length(const uint32_t *value, size_t n)
{
    size_t k = 1;
    while (k < n && value[k] == value[0])
        k++;
    return k;
}

void kymo_hybrid_put(struct kymo_buf *out, const uint32_t *value, size_t n, unsigned width)
{
    size_t packed = 0; /* from here on values wait to be packed */
    for (size_t i = 0; i < n;) {
        const size_t run = run_length(value + i, n - i);
        const size_t odd = (i - packed) % GROUP;
        const size_t fill = odd ? GROUP - odd : 0; /* a group is filled before a run begins */
        if (run < RUN_MIN + fill) {
            i += run;
            continue;
        }
        i += fill;
        put_packed(out, value + packed, i - packed, width);
        put_run(out, value[i], run - fill, width);
        i += run - fill;
        packed = i;
    }
    put_packed(out, value + packed, n - packed, width);
}
