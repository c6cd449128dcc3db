/* SPDX-License-Identifier: Apache-2.0
 * hdbscan.h: clusters of different densities, without a radius to choose (HDBSCAN), arrays in, arrays
 * out.
 */
#ifndef KYMO_CORE_HDBSCAN_H
#define KYMO_CORE_HDBSCAN_H

#include <signal.h>

#include "analyze/core/density.h"
#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"

enum kymo_hdbscan_stage {
    KYMO_HDBSCAN_REACH, /* how far each row looks for enough neighbours */
    KYMO_HDBSCAN_TREE,  /* the shortest tree that connects all rows */
    KYMO_HDBSCAN_CHOOSE,
};

struct kymo_hdbscan_in {
    const struct kymo_dense *x; /* 1 <= n < UINT32_MAX, borrowed */
    double min_weight;          /* rows, itself included, within a row's reach; > 0 */
    double min_cluster_weight;  /* rows that make a cluster; > 1 where rows weigh 1 each */
    unsigned n_threads;
    const volatile sig_atomic_t *stop;                          /* may be NULL */
    void (*tick)(void *ctx, enum kymo_hdbscan_stage beginning); /* may be NULL */
    void *tick_ctx;
};

struct kymo_hdbscan_out {
    uint32_t *label; /* [n] arena: 0..k-1 in order of first appearance, or KYMO_NOISE */
    double *member;  /* [n] arena: 0..1, how deep in its cluster a row lies; 0 for noise */
    /* [n] arena: 0..1, GLOSH, how thin a row's place is beside the densest part of the cluster that it
     * left last */
    double *outlier;
    /* [k] arena: excess of mass of each cluster, in weight per unit of distance */
    double *stability;
    size_t k, n_noise;
    int stopped; /* *in->stop became nonzero: what was not yet connected is apart */
};

/*
 * Cluster rows by how long they hold together as the density that is asked of them rises.
 *
 * Distance   mutual reachability: the largest of the distance of two rows and the reach of each, where
 *            a row's reach takes in neighbours of min_weight
 * Hierarchy  rows apart by h or less hang together at density 1/h. As the density rises a cluster loses
 *            rows, until it falls into two or more parts of min_cluster_weight each, which are clusters
 *            of their own, or into none. All that parts at one h parts at once, so ties do not matter:
 *            a row that alone connects two clusters at that h belongs to neither.
 * Choice     of clusters that contain one another, those with the greatest excess of mass: the sum over
 *            their rows of the density at which a row leaves, less that at which the cluster appears.
 *            Equal sums go to the larger cluster. All rows together are never a cluster.
 * Zero       h = 0 (equal rows) counts as half the least other distance, which keeps sums finite.
 * member     density at which the row leaves, as a share of the highest in its cluster
 * Threads    the same bytes for every n_threads, and for every level of vector instructions
 * cost       as kymo_kdtree_reach() and kymo_mutual_tree(), and O(n log n)
 * errors     ELIMIT: the arena's cap
 * source     Campello, Moulavi, Sander, Density-based clustering based on hierarchical density
 *            estimates, PAKDD 2013; Campello, Moulavi, Zimek, Sander, Hierarchical density estimates
 *            for data clustering, visualization, and outlier detection, ACM TKDD 10(1), 2015
 */
KYMO_MUST_USE kymo_status kymo_hdbscan(const struct kymo_hdbscan_in *in,
                                       struct kymo_arena *arena, struct kymo_hdbscan_out *out,
                                       struct kymo_err *err);

#endif
