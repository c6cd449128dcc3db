/* SPDX-License-Identifier: Apache-2.0
 * mutual.h: the shortest tree that connects all rows, where two rows are as far apart as they lie, or as
 * either of them has to look for enough neighbours, whichever is most.
 */
#ifndef KYMO_CORE_MUTUAL_H
#define KYMO_CORE_MUTUAL_H

#include "analyze/core/kdtree.h"

/* Two rows and the square of their mutual reachability distance; a < b. */
struct kymo_mutual_edge {
    double dist2;
    uint32_t a, b;
};

/*
 * Connect all rows by n - 1 edges, ascending by (dist2, a, b). Edges are compared in that order
 * throughout, so there is one such tree, whatever the threads.
 *
 * Rounds    each set of connected rows looks for its nearest row outside, then all the edges found are
 *           taken at once. What a row found is kept while it lies outside, and a row looks again only
 *           where it might undercut what its set knows already.
 * reach2    [n_leaves,KYMO_BUCKET_ROWS] squared reach by slot, of kymo_kdtree_reach(), borrowed
 * stop      may be NULL; nonzero: sets that are not yet connected get edges of INFINITY
 * edge      [n - 1] out
 * errors    ELIMIT: no memory under cap_bytes
 * cost      about O(n log^2 n) where columns are few, O(n^2 log n) at worst; 40 bytes a row
 * source    Campello, Moulavi, Sander, Density-based clustering based on hierarchical density estimates,
 *           PAKDD 2013; Boruvka, O jistem problemu minimalnim, 1926; March, Ram, Gray, Fast Euclidean
 *           minimum spanning tree, KDD 2010
 */
KYMO_MUST_USE kymo_status kymo_mutual_tree(const struct kymo_kdtree *t, const double *reach2,
                                           unsigned n_threads,
                                           const volatile sig_atomic_t *stop, size_t cap_bytes,
                                           struct kymo_mutual_edge *edge, struct kymo_err *err);

#endif
