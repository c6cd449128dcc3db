/* SPDX-License-Identifier: Apache-2.0
 * linkage_own.h: what the parts of linkage share.
 */
#ifndef KYMO_CORE_LINKAGE_OWN_H
#define KYMO_CORE_LINKAGE_OWN_H

#include "analyze/core/linkage.h"
#include "format/num/simd/near.h"

/* A merge as it was found: any row of either side, and the height. */
struct kymo_found {
    uint32_t a, b;
    double height;
};

/* The work of one call. */
struct kymo_linkage_job {
    const struct kymo_linkage_in *in;
    size_t n;
    const double *weight;       /* [n] or NULL */
    struct kymo_arena *scratch; /* released after the call */
    struct kymo_found *found;   /* [n - 1] */
    size_t n_found;
    int stopped;
};

/* Note a merge; tells whoever watches now and then. */
void kymo_linkage_note(struct kymo_linkage_job *j, uint32_t a, uint32_t b, double height);
/* Has a stop been asked for? Remembers it. */
int kymo_linkage_stopped(struct kymo_linkage_job *j);

static inline double kymo_linkage_weight(const struct kymo_linkage_job *j, size_t i)
{
    return j->weight ? j->weight[i] : 1;
}

/* The methods: all merges into j->found. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_linkage_ward(struct kymo_linkage_job *j, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_linkage_pairs(struct kymo_linkage_job *j, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_linkage_single(struct kymo_linkage_job *j, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_linkage_centroid(struct kymo_linkage_job *j,
                                                struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_linkage_matrix(struct kymo_linkage_job *j, struct kymo_err *err);

/*
 * Reciprocal nearest neighbours.
 *
 * Where a merge brings no two clusters nearer to each other than the nearer of its parts was, two
 * clusters that are each other's nearest will be merged with each other whatever happens elsewhere.
 * So a round merges all such pairs at once: wide work for threads and for the cache. A cluster
 * whose neighbour was merged is searched for again only when it is new or the neighbour of one that
 * knows its own, since without that it is in no pair; who is nobody's neighbour can wait. Every way
 * from neighbour to neighbour ends in a pair, so each round finds one. Rounds that search much and
 * merge little give way to a chain of nearest neighbours, which follows one such way at a time and
 * needs fewer than 3 n searches in all.
 *
 * Clusters live in slots 0..n-1 of a store; of a pair the lower slot keeps the cluster.
 */
struct kymo_slot_pair {
    uint32_t keep, drop; /* keep < drop */
};

struct kymo_slots_ops {
    /* The nearest neighbours of slots q[n_q], ascending. best comes in as a cluster near it, of value
     * NAN: still to be found out; or as {INFINITY, KYMO_NEAR_NONE}. */
    void (*search)(void *store, size_t n_q, const uint32_t *q, struct kymo_near *best);
    /* Merge pairs, drop their upper slots; if from is given, slot i is then what from[i] was,
     * for i < n_new. errors ELIMIT */
    kymo_status (*join)(void *store, size_t n_pairs, const struct kymo_slot_pair *pair,
                        size_t n_new, const uint32_t *from, struct kymo_err *err);
    double (*height)(const void *store, double value);
};

KYMO_MUST_USE kymo_status kymo_reciprocal(struct kymo_linkage_job *j,
                                          const struct kymo_slots_ops *ops, void *store,
                                          struct kymo_err *err);

#endif
