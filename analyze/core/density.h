/* SPDX-License-Identifier: Apache-2.0
 * density.h: clusters as regions where rows lie close together (DBSCAN), arrays in, arrays out.
 */
#ifndef KYMO_CORE_DENSITY_H
#define KYMO_CORE_DENSITY_H

#include <signal.h>

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"

/* The label of a row that belongs to no cluster. */
#define KYMO_NOISE UINT32_MAX

enum kymo_density_stage {
    KYMO_DENSITY_TREE,    /* sorting rows into a tree */
    KYMO_DENSITY_CORE,    /* finding core rows */
    KYMO_DENSITY_CONNECT, /* joining core rows that are neighbours */
    KYMO_DENSITY_BORDER,  /* giving the other rows to clusters */
};

struct kymo_density_in {
    /* 1 <= n < UINT32_MAX, borrowed; its weights count towards min_weight */
    const struct kymo_dense *x;
    double eps;        /* radius of a neighbourhood, >= 0, in the unit of the rows */
    double min_weight; /* rows, itself included, that make a row a core row; > 0 */
    unsigned n_threads;
    const volatile sig_atomic_t *stop;                          /* may be NULL */
    void (*tick)(void *ctx, enum kymo_density_stage beginning); /* may be NULL */
    void *tick_ctx;
};

struct kymo_density_out {
    uint32_t *label; /* [n] arena: 0..k-1, or KYMO_NOISE */
    uint8_t *core;   /* [n] arena: 1 for core rows */
    size_t k, n_core, n_noise;
    int stopped; /* *in->stop became nonzero: rows that were not reached are no core rows, and
                    clusters that were not yet seen to touch are apart */
};

/*
 * Cluster the rows by density.
 *
 * Neighbours  rows whose squared distance (kymo_sqdist) is at most eps * eps
 * Core row    one whose neighbours, itself among them, weigh min_weight or more together. Weights that
 *             are whole numbers are added exactly; others in an order of the tree's.
 * Cluster     core rows that a chain of neighbours connects, and the border rows: neighbours of a core
 *             row that are none themselves. A border row that two clusters touch goes to the cluster
 *             whose lowest core row comes first. What is left is noise.
 * Labels      in order of first appearance over the rows
 * Threads     the same bytes for every n_threads, and for every level of vector instructions
 * cost        about O(n log n) where eps is small against the whole and columns are few; O(n^2 d) time
 *             at worst; O(n d) memory
 * errors      ELIMIT: the arena's cap
 * source      Ester, Kriegel, Sander, Xu, A density-based algorithm for discovering clusters in large
 *             spatial databases with noise, KDD 1996
 */
KYMO_MUST_USE kymo_status kymo_density(const struct kymo_density_in *in,
                                       struct kymo_arena *arena, struct kymo_density_out *out,
                                       struct kymo_err *err);

/*
 * How far each row has to look until its neighbours, itself included, weigh min_weight together: the
 * curve whose bend suggests eps.
 *
 * sorted  out, [n] arena, ascending, in the unit of the rows; INFINITY where all rows weigh less
 * errors  ELIMIT: the arena's cap          cost  as kymo_density
 */
KYMO_MUST_USE kymo_status kymo_density_curve(const struct kymo_dense *x, double min_weight,
                                             unsigned n_threads, struct kymo_arena *arena,
                                             double **sorted, struct kymo_err *err);

/*
 * The bend of such a curve: its value where it lies farthest below the chord from its first to its last
 * point, the first of equals. Rows above it are the ones in thin regions.
 *
 * sorted  [n], n >= 1, ascending, borrowed
 * source  Satopaa, Albrecht, Irwin, Raghavan, Finding a "kneedle" in a haystack, ICDCS Workshops 2011
 */
double kymo_density_suggest_eps(size_t n, const double *sorted);

#endif
