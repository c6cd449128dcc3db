/* SPDX-License-Identifier: Apache-2.0
 * minibatch.h: k-means from samples, for when the rows are many and a per mille of inertia is not.
 */
#ifndef KYMO_CORE_MINIBATCH_H
#define KYMO_CORE_MINIBATCH_H

#include <signal.h>

#include "analyze/core/kmeans.h"
#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"

#define KYMO_MINIBATCH_ROWS 2048u /* the default batch */

struct kymo_minibatch_in {
    struct kymo_dense X; /* 1 <= k <= n < 2^32 finite rows, borrowed */
    size_t k;
    const double *init; /* [k,d] first centres, borrowed; NULL: see Start */
    size_t batch;       /* rows a step; 0: KYMO_MINIBATCH_ROWS */
    size_t max_steps;   /* 0: no limit but that of the stopping rule */
    uint64_t seed;
    unsigned n_threads;
    const volatile sig_atomic_t *stop; /* may be NULL */
    /* After each look at the probe: iteration counts steps, inertia is scaled to all rows. */
    void (*tick)(void *ctx, const struct kymo_kmeans_tick *t); /* may be NULL */
    void *tick_ctx;
};

struct kymo_minibatch_out {
    double *C;      /* [k,d] arena */
    double inertia; /* of the probe, scaled to all rows */
    size_t steps;
    enum kymo_kmeans_stop why; /* TOLERANCE: no gain any more */
};

/*
 * Centres from small random batches of rows.
 *
 * Start     seeds by greedy k-means++ among some thousand rows drawn at random, and a few of Lloyd's passes
 *           over these; where k is small, three times, of which the probe takes the best.
 * Probe     another random sample, drawn once; every few steps the centres are judged by it. Always the
 *           same rows, so that two looks differ by the centres and not by the luck of a batch.
 * Steps     a batch is drawn with replacement, each row goes to its nearest centre, each centre moves
 *           to the weighted mean of itself and its new rows, its own weight being that of all rows it
 *           has met. While looks still find a gain, old rows are forgotten by half at each, so that
 *           where a centre was does not hold back where it goes. A centre that is nearest to no row of
 *           the probe moves to one drawn by its squared distance.
 * Stop      after two looks in a row that gain less than one in 1000; the best centres seen are kept.
 * cost      O((start ln k + steps batch) d k), whatever n
 * errors    ELIMIT: the arena's cap
 * source    Sculley, Web-scale k-means clustering, WWW 2010
 */
KYMO_MUST_USE kymo_status kymo_minibatch(const struct kymo_minibatch_in *in,
                                         struct kymo_arena *arena,
                                         struct kymo_minibatch_out *out, struct kymo_err *err);

#endif
