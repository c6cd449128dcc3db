/* SPDX-License-Identifier: Apache-2.0
 * kmeans.h: k-means, arrays in, arrays out.
 */
#ifndef KYMO_CORE_KMEANS_H
#define KYMO_CORE_KMEANS_H

#include <signal.h>

#include "format/base/arena.h"
#include "format/base/err.h"

/* Why a fit ended. */
enum kymo_kmeans_stop {
    KYMO_KMEANS_FIXED_POINT, /* a pass changed no label */
    KYMO_KMEANS_MAX_ITER,
    KYMO_KMEANS_STOPPED, /* *in->stop became nonzero: the best so far */
};

struct kymo_kmeans_tick {
    size_t restart, n_init, iteration;
    double inertia; /* of the pass just made */
};

struct kymo_kmeans_in {
    size_t n, d, k;     /* rows, columns, clusters; 1 <= k <= n */
    const double *X;    /* [n,d] finite, borrowed */
    const double *init; /* [k,d] first centres, borrowed; NULL: k-means++ */
    size_t n_init;      /* restarts, >= 1; with init there is one */
    size_t max_iter;    /* updates of the centres a restart, >= 1 */
    uint64_t seed;
    unsigned n_threads;
    const volatile sig_atomic_t *stop;                         /* may be NULL */
    void (*tick)(void *ctx, const struct kymo_kmeans_tick *t); /* may be NULL */
    void *tick_ctx;
};

struct kymo_kmeans_out {
    double *C;         /* [k,d] arena: each is the mean of its rows */
    uint32_t *label;   /* [n] arena: nearest of C */
    size_t *size;      /* [k] arena */
    double inertia;    /* sum of squared distances of the rows to their centres */
    size_t iterations; /* assignment passes of the restart kept, the last, quiet one included */
    size_t restarts;   /* restarts finished */
    enum kymo_kmeans_stop why;
};

/*
 * Partition the rows of X around k means.
 *
 * Seeding   greedy k-means++: each new centre is the best of 2 + floor(ln k) rows drawn with
 *           probability proportional to their squared distance to the centres so far.
 * Passes    Lloyd: assign every row to its nearest centre (ties to the lowest index), move every
 *           centre to the mean of its rows, until a pass changes no label. The best restart by
 *           inertia is kept, the earliest of equals.
 * Empty     a centre without rows moves to the row that is farthest from its own centre (ties to
 *           the lowest row) and takes it over, lowest centre first; with no row off its centre
 *           left, it stays where it was, with size 0.
 * Threads   rows are cut in blocks that depend on n alone, sums run in block order: the same
 *           bytes for every n_threads.
 * cost      O(passes n k d) time, O(n + k d blocks) memory
 * errors    ELIMIT: the arena's cap
 * source    Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28(2), 1982;
 *           Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007
 */
KYMO_MUST_USE kymo_status kymo_kmeans(const struct kymo_kmeans_in *in, struct kymo_arena *arena,
                                      struct kymo_kmeans_out *out, struct kymo_err *err);

/*
 * Label each row of X with its nearest centre.
 *
 * X       [n,d] finite, borrowed          C  [k,d] finite, borrowed, k >= 1
 * label   [n] out, in 0..k-1; ties go to the lowest index
 * dist2   [n] out, squared distance to it; may be NULL
 * inertia out, the sum of dist2, in row-block order; may be NULL
 * errors  ELIMIT: no memory for the packed centres
 */
KYMO_MUST_USE kymo_status kymo_kmeans_assign(size_t n, size_t d, size_t k, const double *X,
                                             const double *C, unsigned n_threads,
                                             uint32_t *label, double *dist2, double *inertia,
                                             struct kymo_err *err);

const char *kymo_kmeans_stop_name(enum kymo_kmeans_stop why);

#endif
