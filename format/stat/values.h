/* SPDX-License-Identifier: Apache-2.0
 * values.h: many values and the exact ones at given ranks. Values are kept as they come, in blocks,
 * narrow where they fit 16 bits, as most durations do; very many narrow ones are counted instead, one
 * count for each value there can be. What passes a budget is poured into log-linear buckets, each at
 * most 1/64 of its values wide; a further pass over the same values then refines the one bucket
 * that a rank falls into, again and again until it is a single value wide.
 *
 *     rank of q among n   the least r with r >= q n, at least 1: the nearest rank
 *     buckets             0 1 2 .. 63 | 64 65 .. 127 | 128 130 .. 254 | 256 260 .. 508 | ...
 */
#ifndef KYMO_STAT_VALUES_H
#define KYMO_STAT_VALUES_H

#include "format/base/err.h"

#define KYMO_BUCKET_BITS 6u
#define KYMO_BUCKETS ((64u - KYMO_BUCKET_BITS + 1u) << KYMO_BUCKET_BITS)
/* A quantile is so many of a hundred million: p99.9 is 99900000, exact where a double is not. */
#define KYMO_QUANTILE_ONE 100000000u
#define KYMO_REFINE_BITS 10u

struct kymo_block;

struct kymo_values {
    uint64_t n;
    uint64_t n_narrow;         /* kept ones below 2^16, in `narrow`; the others in `wide` */
    struct kymo_block *narrow; /* owned, newest first */
    struct kymo_block *wide;
    uint64_t *
        each; /* [65536] owned: how often each narrow value came, in place of `narrow`; or NULL */
    uint64_t *bucket; /* [KYMO_BUCKETS] owned: all values are here and none is kept; or NULL */
    size_t kept_bytes;
};

void kymo_values_release(struct kymo_values *v);
/* Add x[n], those of present[n] that are not 0 where it is not NULL. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_values_add(struct kymo_values *v, const uint64_t *x,
                                          const uint8_t *present, uint32_t n,
                                          struct kymo_err *err);
/* Pour what is kept into buckets; later values go there too. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_values_spill(struct kymo_values *v, struct kymo_err *err);
/* How many values fall into each bucket. */
void kymo_values_buckets(const struct kymo_values *v, uint64_t count[KYMO_BUCKETS]);

/* Greatest value of a bucket of width 2^bits that begins at low. */
uint64_t kymo_bucket_low(unsigned bucket, unsigned *bits);
unsigned kymo_bucket_of(uint64_t value);

/* "p99.9" to 99900000; 0 where it is none (0 <= p <= 100, at most six decimals). */
int kymo_quantile_parse(const char *text, uint32_t *q);
/* The nearest rank of q among n >= 1 values, from 1. */
uint64_t kymo_quantile_rank(uint32_t q, uint64_t n);

/* The search for one rank: the value lies in [low, low + 2^bits). */
struct kymo_refine {
    uint64_t low;
    unsigned bits;   /* 0: low is the value */
    uint64_t rank;   /* within that range, from 1 */
    uint64_t *count; /* [1 << KYMO_REFINE_BITS] owned, between begin and end */
};
/* Where a rank falls, by the buckets. rank <= their sum. */
void kymo_refine_locate(struct kymo_refine *r, const uint64_t count[KYMO_BUCKETS],
                        uint64_t rank);
/* One pass: begin, add all the values again, end. Then bits is less by KYMO_REFINE_BITS. */
KYMO_MUST_USE kymo_status kymo_refine_begin(struct kymo_refine *r, struct kymo_err *err);
void kymo_refine_add(struct kymo_refine *r, const uint64_t *x, const uint8_t *present,
                     uint32_t n);
/* errors EINPUT: the values were not the same ones */
KYMO_MUST_USE kymo_status kymo_refine_end(struct kymo_refine *r, struct kymo_err *err);
void kymo_refine_release(struct kymo_refine *r);

/*
 * The values at the quantiles q[n_q], of values that are kept (not spilled), n >= 1.
 * count  scratch
 */
KYMO_MUST_USE kymo_status kymo_values_select(const struct kymo_values *v, const uint32_t *q,
                                             size_t n_q, uint64_t count[KYMO_BUCKETS],
                                             uint64_t *out, struct kymo_err *err);

#endif
