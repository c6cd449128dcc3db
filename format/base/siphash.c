/* SPDX-License-Identifier: Apache-2.0 */
#include "format/base/siphash.h"

#include <string.h>

#include "format/base/bytes.h"

static inline uint64_t rotate(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static inline void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

struct kymo_siphash_key kymo_siphash_key(const uint8_t bytes[KYMO_SIPHASH_KEY_BYTES])
{
    const struct kymo_siphash_key key = {kymo_load_u64(bytes), kymo_load_u64(bytes + 8)};
    return key;
}

static inline void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v);
    mix(v);
    v[0] ^= word;
}

uint64_t kymo_siphash(struct kymo_siphash_key key, const void *p, size_t n)
{
    const uint8_t *at = p;
    uint64_t v[4] = {key.k0 ^ 0x736f6d6570736575u, key.k1 ^ 0x646f72616e646f6du,
                     key.k0 ^ 0x6c7967656e657261u, key.k1 ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; n -= 8, at += 8)
        take(v, kymo_load_u64(at));
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)at[i] << 8 * i;
    take(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct kymo_siphash_key kymo_siphash_derive(struct kymo_siphash_key key, const char *use)
{
    char text[64] = {0};
    const size_t n = strnlen(use, sizeof(text) - 1);
    memcpy(text + 1, use, n);
    struct kymo_siphash_key own;
    own.k0 = kymo_siphash(key, text, n + 1);
    text[0] = 1;
    own.k1 = kymo_siphash(key, text, n + 1);
    return own;
}
