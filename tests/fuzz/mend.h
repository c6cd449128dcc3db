/* SPDX-License-Identifier: Apache-2.0
 * mend.h: checksums made right, so that a fuzzer gets behind them.
 */
#ifndef KYMO_FUZZ_MEND_H
#define KYMO_FUZZ_MEND_H

#include <xxhash.h>

#include "format/base/bytes.h"
#include "format/trace/chunk.h"

/* Walk the chunks as their lengths say and write the right sums into them. */
static inline void mend(uint8_t *p, size_t n)
{
    size_t at = KYMO_FILE_HEADER_BYTES;
    while (n >= at + KYMO_CHUNK_HEADER_BYTES) {
        const uint32_t body = kymo_load_u32(p + at + 16);
        const size_t left = n - at - KYMO_CHUNK_HEADER_BYTES;
        if (body <= left) {
            const uint64_t sum = XXH3_64bits(p + at + KYMO_CHUNK_HEADER_BYTES, body);
            kymo_store_u64(p + at + 48, sum);
            if (kymo_load_u32(p + at + 4) == KYMO_CHUNK_SCHEMA)
                kymo_store_u64(p + at + 24, sum);
        }
        kymo_store_u64(p + at + 56, XXH3_64bits(p + at, 56));
        if (body > left)
            return;
        at += KYMO_CHUNK_HEADER_BYTES + body;
    }
}

#endif
