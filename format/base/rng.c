/* SPDX-License-Identifier: Apache-2.0
 * source: Blackman, Vigna, Scrambled linear pseudorandom number generators, 2018 (xoshiro256**);
 *         Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014 (splitmix64, the seed).
 */
#include "format/base/rng.h"

#include <assert.h>

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void kymo_rng_init(struct kymo_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix64(&seed);
}

uint64_t kymo_rng_u64(struct kymo_rng *r)
{
    uint64_t *const s = r->s;
    const uint64_t out = rotl(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t kymo_rng_below(struct kymo_rng *r, uint64_t n)
{
    assert(n >= 1);
    /* The lowest 2^64 mod n values would make some remainders likelier than others: draw again. */
    const uint64_t reject_below = (0 - n) % n;
    for (;;) {
        const uint64_t v = kymo_rng_u64(r);
        if (v >= reject_below)
            return v % n;
    }
}

double kymo_rng_unit(struct kymo_rng *r)
{
    return (double)(kymo_rng_u64(r) >> 11) * 0x1p-53;
}
