/* SPDX-License-Identifier: Apache-2.0
 * linkage.h: hierarchical clustering, arrays in, a tree out.
 */
#ifndef KYMO_CORE_LINKAGE_H
#define KYMO_CORE_LINKAGE_H

#include <signal.h>

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"

/* What the distance of two clusters is. */
enum kymo_linkage_method {
    KYMO_LINKAGE_WARD, /* sqrt(2 w_a w_b / (w_a + w_b)) times that of the means ("ward.D2") */
    KYMO_LINKAGE_AVERAGE,  /* the mean over all pairs of rows */
    KYMO_LINKAGE_COMPLETE, /* that of the farthest pair */
    KYMO_LINKAGE_SINGLE,   /* that of the nearest pair */
    KYMO_LINKAGE_CENTROID, /* that of the means; a merge may be lower than one of its parts */
};

/* How a given distance matrix lies in memory. */
enum kymo_distances_form {
    KYMO_DISTANCES_CONDENSED, /* (0,1) (0,2) .. (0,n-1) (1,2) .., n (n - 1) / 2 of them */
    KYMO_DISTANCES_SQUARE,    /* [n,n]; the part above the diagonal is read */
};

struct kymo_distances {
    size_t n;
    enum kymo_distances_form form;
    const double *at;     /* finite, >= 0, borrowed */
    const double *weight; /* [n] > 0, or NULL: one each */
};

struct kymo_linkage_tick {
    size_t merges, merges_all;
};

struct kymo_linkage_in {
    enum kymo_linkage_method method;
    const struct kymo_dense *rows;          /* n >= 1, d >= 1; or NULL and: */
    const struct kymo_distances *distances; /* n >= 1 */
    unsigned n_threads;
    const volatile sig_atomic_t *stop;                          /* may be NULL */
    void (*tick)(void *ctx, const struct kymo_linkage_tick *t); /* may be NULL */
    void *tick_ctx;
};

/* One merge, a row of SciPy's Z: clusters 0..n-1 are the rows, n + i is what row i of Z makes. */
struct kymo_merge {
    double a, b; /* a < b */
    double height;
    double size; /* sum of the weights; the count of rows where there are none */
};

struct kymo_linkage_out {
    struct kymo_merge *Z; /* [n_merges] arena */
    size_t n_merges;      /* n - 1, or fewer when stopped: then Z is a forest */
    int stopped;          /* *in->stop became nonzero */
};

/*
 * Merge the two nearest clusters until one is left.
 *
 * Rows       Euclidean distances, in double whatever the rows are; no matrix of distances is made.
 * Distances  ward and centroid take them for Euclidean ones and work on their squares.
 * Weights    count in ward, average and centroid, and in the size; so clusters of rows made
 *            beforehand can be fed by their means and numbers.
 * Order      by height, equal heights in the order in which they were found, a part before what
 *            it becomes a part of; centroid: in order of merging, so heights may go down.
 * Ties       by the lowest slot, where a cluster keeps the lowest of its rows' places; where several
 *            trees are right, it is always the same one: for every n_threads and every SIMD level.
 * Heights    ward, complete, single and centroid from the rows to the last bits of double; average
 *            by the recurrence in double. A merge is never lower than its parts (but for centroid).
 *
 * cost    d: columns; rows: ward O(n^2 d) time, O(n d) memory; single O(n^2 d log n) at worst, O(n d)
 *         memory; average, complete O(n^2 d) time, at most n^2 / 4 doubles and a quarter more;
 *         centroid O(n^2 d) in practice, O(n d) memory.
 *         distances: O(n^2) in practice, O(n^3) at worst; n (n - 1) / 2 doubles
 * errors  ELIMIT: the arena's cap, which bounds scratch memory too; or n past 2^31
 * source  Murtagh, A survey of recent advances in hierarchical clustering algorithms, Computer J. 26,
 *         1983 (reciprocal nearest neighbours); Boruvka's minimum spanning tree; Müllner, Modern
 *         hierarchical, agglomerative clustering algorithms, 2011 (generic algorithm)
 */
KYMO_MUST_USE kymo_status kymo_linkage(const struct kymo_linkage_in *in,
                                       struct kymo_arena *arena, struct kymo_linkage_out *out,
                                       struct kymo_err *err);

const char *kymo_linkage_name(enum kymo_linkage_method method);

#endif
