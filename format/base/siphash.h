/* SPDX-License-Identifier: Apache-2.0
 * siphash.h: SipHash-2-4, a pseudorandom function of 128 bits of key: without the key nobody can
 * tell what its values stand for, nor make them.
 *
 * source  Aumasson, Bernstein: SipHash: a fast short-input PRF, INDOCRYPT 2012
 */
#ifndef KYMO_BASE_SIPHASH_H
#define KYMO_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define KYMO_SIPHASH_KEY_BYTES 16

struct kymo_siphash_key {
    uint64_t k0, k1;
};

struct kymo_siphash_key kymo_siphash_key(const uint8_t bytes[KYMO_SIPHASH_KEY_BYTES]);
uint64_t kymo_siphash(struct kymo_siphash_key key, const void *p, size_t n);
/* A key of its own for each use of one key, by the use's name. */
struct kymo_siphash_key kymo_siphash_derive(struct kymo_siphash_key key, const char *use);

#endif
