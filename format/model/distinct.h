/* SPDX-License-Identifier: Apache-2.0
 * distinct.h: how many different things there were, and how often each: a set of hashes with counts.
 */
#ifndef KYMO_MODEL_DISTINCT_H
#define KYMO_MODEL_DISTINCT_H

#include <stdint.h>

#define KYMO_DISTINCT_MAX (1u << 20)

struct kymo_distinct_item {
    uint64_t hash, n; /* n 0: free */
};

/* Zeroed is empty. */
struct kymo_distinct {
    struct kymo_distinct_item *slot; /* owned */
    uint32_t n, slots;
};

/* n more of a thing. Past KYMO_DISTINCT_MAX, or without memory, new things are no longer counted. */
void kymo_distinct_add(struct kymo_distinct *s, uint64_t hash, uint64_t n);
void kymo_distinct_merge(struct kymo_distinct *into, const struct kymo_distinct *from);
void kymo_distinct_release(struct kymo_distinct *s);

/*
 * Shannon entropy of which thing it was, in bits; 0 of nothing.
 *
 * The sum is kept in fixed point, so that it does not depend on the order in which things were met.
 * source  Shannon, A Mathematical Theory of Communication, Bell Syst. Tech. J. 27, 1948
 */
double kymo_distinct_entropy(const struct kymo_distinct *s);

static inline uint64_t kymo_mix64(uint64_t v)
{
    v ^= v >> 32;
    v *= 0x9E3779B97F4A7C15ull;
    v ^= v >> 29;
    v *= 0xBF58476D1CE4E5B9ull;
    return v ^ v >> 32;
}

#endif
