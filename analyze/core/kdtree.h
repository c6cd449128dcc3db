/* SPDX-License-Identifier: Apache-2.0
 * kdtree.h: rows sorted into buckets of neighbours, and boxes over the buckets.
 *
 * The tree has no pointers. Its leaves are buckets of KYMO_BUCKET_ROWS rows, all full but the last. A
 * node stands for the leaves [lo, hi); one with more than one leaf splits them at kymo_kdtree_mid().
 * Nodes are numbered parent, left side, right side, so that the children of node i are i + 1 and
 * i + 2 (mid - lo), and a walk carries (node, lo, hi):
 *
 *     node 0 [0,5)
 *     |- 1 [0,3)               leaves  0  1  2  3  4
 *     |  |- 2 [0,2)            nodes   3  4  5  7  8
 *     |  |  |- 3 [0,1)
 *     |  |  `- 4 [1,2)
 *     |  `- 5 [2,3)
 *     `- 6 [3,5)
 *        |- 7 [3,4)
 *        `- 8 [4,5)
 *
 * A slot is a place in a bucket: leaf * KYMO_BUCKET_ROWS + row of the bucket.
 */
#ifndef KYMO_CORE_KDTREE_H
#define KYMO_CORE_KDTREE_H

#include <signal.h>

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/num/dense.h"
#include "format/num/simd/bucket.h"

#define KYMO_NO_ROW UINT32_MAX

struct kymo_kdtree {
    size_t n, d;
    size_t n_leaves, n_nodes; /* n_nodes = 2 n_leaves - 1 */
    size_t box_stride;        /* doubles a box */
    uint32_t *row;  /* [n_leaves,KYMO_BUCKET_ROWS] row of x, ascending in a leaf; KYMO_NO_ROW */
    double *bucket; /* [n_leaves] buckets, as simd/bucket.h says */
    float *narrow;  /* [n_leaves] narrow buckets, less the middle; NULL where d is small */
    double sieve_share; /* what is within r2 passes them at sieve_share * r2 + sieve_rest */
    double sieve_rest;
    double *box;         /* [n_nodes] the smallest box around a node's rows */
    double *slot_weight; /* [n_leaves,KYMO_BUCKET_ROWS] of each slot; NULL: one each */
    double *weight;      /* [n_nodes] of a node's rows together */
};

/* One node in a walk. */
struct kymo_kdnode {
    size_t i, lo, hi;
};

static inline size_t kymo_kdtree_mid(size_t lo, size_t hi)
{
    return lo + (hi - lo + 1) / 2;
}

static inline struct kymo_kdnode kymo_kdtree_root(const struct kymo_kdtree *t)
{
    return (struct kymo_kdnode){0, 0, t->n_leaves};
}

static inline int kymo_kdnode_is_leaf(struct kymo_kdnode v)
{
    return v.hi - v.lo == 1;
}

static inline struct kymo_kdnode kymo_kdnode_left(struct kymo_kdnode v)
{
    return (struct kymo_kdnode){v.i + 1, v.lo, kymo_kdtree_mid(v.lo, v.hi)};
}

static inline struct kymo_kdnode kymo_kdnode_right(struct kymo_kdnode v)
{
    const size_t mid = kymo_kdtree_mid(v.lo, v.hi);
    return (struct kymo_kdnode){v.i + 2 * (mid - v.lo), mid, v.hi};
}

static inline const double *kymo_kdtree_box(const struct kymo_kdtree *t, size_t node)
{
    return t->box + node * t->box_stride;
}

static inline const double *kymo_kdtree_bucket(const struct kymo_kdtree *t, size_t leaf)
{
    return t->bucket + leaf * KYMO_BUCKET_ROWS * t->d;
}

/* Feature 0 of a slot; the next is KYMO_BUCKET_LANES further. */
static inline const double *kymo_kdtree_at(const struct kymo_kdtree *t, size_t slot)
{
    return kymo_kdtree_bucket(t, slot / KYMO_BUCKET_ROWS) +
           kymo_bucket_at(t->d, slot % KYMO_BUCKET_ROWS);
}

/* The slots of a leaf that hold rows, a bit each. */
uint64_t kymo_kdtree_rows(const struct kymo_kdtree *t, size_t leaf);

/* The node that is a leaf. */
struct kymo_kdnode kymo_kdtree_leaf(const struct kymo_kdtree *t, size_t leaf);

/* Rows of a leaf, a bit each, within a radius of the row of a slot of any leaf; r2, dist2 as for
 * kymo_bucket_near(), and exactly its answer: where features are many, a sieve in single precision goes
 * before. */
uint64_t kymo_kdtree_near(const struct kymo_kdtree *t, size_t slot, size_t leaf, double r2,
                          double *dist2);

/* Weight of the slots of a leaf whose bits are set, added from the lowest. */
double kymo_kdtree_weigh(const struct kymo_kdtree *t, size_t leaf, uint64_t slots);

/*
 * Sort rows into a tree: each node splits, at the median of its leaves, the feature in which a sample
 * of its rows varies most, equal values by row.
 *
 * x       1 <= n < KYMO_NO_ROW, borrowed for the call alone
 * t       out; its arrays are the arena's
 * threads the same bytes for every n_threads
 * errors  ELIMIT: the arena's cap
 * cost    O(n (d + log n)) time; 8 n d bytes, half as much again where there is a sieve, and little more
 * source  Friedman, Bentley, Finkel, An algorithm for finding best matches in logarithmic expected
 *         time, ACM Trans. Math. Softw. 3(3), 1977
 */
KYMO_MUST_USE kymo_status kymo_kdtree_build(const struct kymo_dense *x, unsigned n_threads,
                                            struct kymo_arena *arena, struct kymo_kdtree *t,
                                            struct kymo_err *err);

/*
 * Squared distance from each row to the neighbour with which the weight of the rows up to there, the
 * row's own included, reaches `weight`: with weights of one, to its weight-th nearest, itself the first.
 * INFINITY where all rows together weigh less.
 *
 * reach2  [n_leaves,KYMO_BUCKET_ROWS] out, by slot; 0 where a slot has no row
 * stop    may be NULL; nonzero: what is not yet done is INFINITY
 * threads the same bytes for every n_threads
 * errors  ELIMIT: no memory under cap_bytes
 * cost    O(n log n) distances where rows have few neighbours, O(n^2) where features are many
 */
KYMO_MUST_USE kymo_status kymo_kdtree_reach(const struct kymo_kdtree *t, double weight,
                                            unsigned n_threads,
                                            const volatile sig_atomic_t *stop, size_t cap_bytes,
                                            double *reach2, struct kymo_err *err);

#endif
