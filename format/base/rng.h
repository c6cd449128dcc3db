/* SPDX-License-Identifier: Apache-2.0
 * rng.h: seeded random numbers, the same on every machine.
 * source: Blackman, Vigna, Scrambled linear pseudorandom number generators (xoshiro256**), 2018.
 */
#ifndef KYMO_BASE_RNG_H
#define KYMO_BASE_RNG_H

#include <stdint.h>

struct kymo_rng {
    uint64_t s[4];
};

void kymo_rng_init(struct kymo_rng *r, uint64_t seed);
uint64_t kymo_rng_u64(struct kymo_rng *r);
/* Uniform in 0..n-1 without bias, n >= 1. */
uint64_t kymo_rng_below(struct kymo_rng *r, uint64_t n);
/* Uniform in [0, 1), 53 bits. */
double kymo_rng_unit(struct kymo_rng *r);

#endif
