/* SPDX-License-Identifier: Apache-2.0
 * kmeans.h: k-means, arrays in, arrays out.
 */
#ifndef KYMO_CORE_KMEANS_H
#define KYMO_CORE_KMEANS_H

#include <signal.h>

#include "analyze/core/ranks.h"
#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/assign.h"
#include "format/num/dense.h"

/* Why a fit ended. */
enum kymo_kmeans_stop {
    KYMO_KMEANS_FIXED_POINT, /* a pass changed no label */
    KYMO_KMEANS_TOLERANCE,   /* the centres hardly moved */
    KYMO_KMEANS_MAX_ITER,
    KYMO_KMEANS_STOPPED, /* *in->stop became nonzero: the best so far */
};

/* Where the first centres come from; see seeding.h. */
enum kymo_kmeans_seeding {
    KYMO_KMEANS_SEED_AUTO, /* k-means|| where its passes are the fewer, else k-means++ */
    KYMO_KMEANS_PLUSPLUS,  /* greedy k-means++ */
    KYMO_KMEANS_PARALLEL,  /* k-means|| */
    KYMO_KMEANS_SAMPLE, /* greedy k-means++ on a sample drawn by place, whoever has the rows */
};

struct kymo_kmeans_tick {
    size_t restart, n_init, iteration;
    double inertia; /* of the pass just made */
};

struct kymo_kmeans_in {
    struct kymo_dense X; /* n < 2^32 finite rows, borrowed */
    size_t k;            /* clusters; 1 <= k <= n */
    const double *init;  /* [k,d] first centres, borrowed; NULL: by seeding */
    enum kymo_kmeans_seeding seeding;
    size_t n_init;   /* restarts, >= 1; with init there is one */
    size_t max_iter; /* updates of the centres a restart, >= 1 */
    /* Stop once the squared moves of the centres, summed, are at most tol times the mean variance of
     * the columns. 0: the exact fixed point. */
    double tol;
    uint64_t seed;
    /* X is some of the rows, the others are at other processes; NULL: all of them are here. With ranks
     * first centres are given or drawn from a sample, and the inertia is known at the end alone. */
    const struct kymo_ranks *ranks;
    unsigned n_threads;
    const volatile sig_atomic_t *stop;                         /* may be NULL */
    void (*tick)(void *ctx, const struct kymo_kmeans_tick *t); /* may be NULL */
    void *tick_ctx;
};

struct kymo_kmeans_out {
    double *C;         /* [k,d] arena: each is the mean of its rows */
    uint32_t *label;   /* [n] arena: nearest of C */
    size_t *size;      /* [k] arena: rows, whatever they weigh; with ranks of all processes */
    double *mass;      /* [k] arena: their weights */
    double inertia;    /* sum of weight times squared distance of the rows to their centres */
    size_t iterations; /* assignment passes of the restart kept, the last, quiet one included */
    size_t restarts;   /* restarts finished */
    enum kymo_kmeans_stop why;
};

/*
 * Partition the rows of X around k means.
 *
 * Passes    Lloyd: assign every row to its nearest centre (ties to the lowest index), move every
 *           centre to the weighted mean of its rows, until a pass changes no label or the centres
 *           stop moving by tol. The best restart by inertia is kept, the earliest of equals. Labels
 *           are those of plain double arithmetic, whatever the input's precision and the CPU.
 * Seeding   see seeding.h; drawn from `seed`.
 * Empty     a centre without rows moves to the row that is farthest from its own centre (ties to
 *           the lowest row) and takes it over, lowest centre first; with no row off its centre
 *           left, it stays where it was, with size 0.
 * Threads   rows are cut in blocks that depend on n, d and k alone, sums run in block order: the same
 *           bytes for every n_threads.
 * cost      O(passes n k d) time at most: rows whose label cannot have changed are not looked at (see
 *           lloyd.h); 16 bytes a row and O(k d) a block
 * errors    ELIMIT: the arena's cap
 * source    Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28(2), 1982;
 *           Hamerly, Making k-means even faster, SDM 2010;
 *           Ding et al., Yinyang k-means, ICML 2015;
 *           Newling and Fleuret, Fast k-means with accurate bounds, ICML 2016
 */
KYMO_MUST_USE kymo_status kymo_kmeans(const struct kymo_kmeans_in *in, struct kymo_arena *arena,
                                      struct kymo_kmeans_out *out, struct kymo_err *err);

const char *kymo_kmeans_stop_name(enum kymo_kmeans_stop why);

#endif
