/* SPDX-License-Identifier: Apache-2.0
 * seeding.h: the first centres of k-means.
 */
#ifndef KYMO_CORE_SEEDING_H
#define KYMO_CORE_SEEDING_H

#include <signal.h>

#include "analyze/core/ranks.h"
#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/base/rng.h"
#include "format/num/dense.h"
#include "format/num/simd/simd.h"

struct kymo_seeding {
    const struct kymo_dense *X; /* 1 <= k <= n < 2^32, borrowed */
    size_t k;
    unsigned n_threads;
    enum kymo_simd level;
    struct kymo_rng *rng;
    const volatile sig_atomic_t *stop; /* may be NULL; then the centres left are drawn evenly */
};

/*
 * Greedy k-means++: the first centre is a row drawn by weight; each next one is the best of
 * 2 + floor(ln k) rows, drawn with probability proportional to weight times squared distance to the
 * centres so far: the one that leaves the least sum of them. All candidates of a step are measured in
 * one pass over the rows.
 *
 * C       [k,d] out
 * cost    k passes over the rows: O(n d k ln k) time; 4 n (1 + candidates) bytes of scratch
 * errors  ELIMIT: scratch passes the arena's cap
 * source  Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007
 */
KYMO_MUST_USE kymo_status kymo_seed_plusplus(const struct kymo_seeding *in,
                                             struct kymo_arena *scratch, double *C,
                                             struct kymo_err *err);

/* Rounds of k-means||, and rows expected a round, in k. */
#define KYMO_OVERSEED_ROUNDS 5u
#define KYMO_OVERSEED_SHARE 2.0

/*
 * k-means||: in a few rounds every row becomes a candidate by itself, with probability proportional to
 * weight times squared distance to the candidates so far; candidates weigh what lies nearest to them,
 * and greedy k-means++ over them gives the centres. For large k: passes do not grow with k.
 *
 * C       [k,d] out
 * cost    KYMO_OVERSEED_ROUNDS + 1 passes, O(n d k) time; 8 n bytes of scratch and the candidates
 * errors  ELIMIT: scratch passes the arena's cap
 * source  Bahmani, Moseley, Vattani, Kumar, Vassilvitskii, Scalable k-means++, VLDB 2012
 */
KYMO_MUST_USE kymo_status kymo_seed_parallel(const struct kymo_seeding *in,
                                             struct kymo_arena *scratch, double *C,
                                             struct kymo_err *err);

/* Rows that a sample for seeding has. */
#define KYMO_SEED_SAMPLE_ROWS 16384u

/*
 * Greedy k-means++ on a sample of the rows of all processes, drawn by place: the same centres however the rows
 * are shared out, for the same rows in the same order.
 *
 * errors  ELIMIT: the sample passes the arena's cap; EINPUT: more centres than rows in it
 */
KYMO_MUST_USE kymo_status kymo_seed_sample(const struct kymo_seeding *in,
                                           const struct kymo_ranks *ranks,
                                           struct kymo_arena *scratch, double *C,
                                           struct kymo_err *err);

#endif
