/* SPDX-License-Identifier: Apache-2.0
 * ranks.h: one fit over the rows of several processes. Each has some of the rows; what is summed over rows is
 * summed over processes too, and whatever follows from the sums is worked out by all alike.
 *
 * The functions are those of whoever runs the processes (analyze/mpi/module.c); every process calls the same ones in
 * the same order. NULL in place of the table: one process has all rows.
 */
#ifndef KYMO_CORE_RANKS_H
#define KYMO_CORE_RANKS_H

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/base/rng.h"
#include "format/num/dense.h"

struct kymo_ranks {
    int rank, size;
    /* v[n] of all processes, added, to all of them. */
    void (*sum)(double *v, size_t n);
    /* The same of the greatest. */
    void (*max)(double *v, size_t n);
    /* bytes[n] of one process to all others. */
    void (*share)(void *bytes, size_t n, int from);
    /* All processes end, with this status. */
    void (*leave)(int status);
    /* The end of all calls. */
    void (*end)(void);
};

/* A table of this version is what a module hands over. */
#define KYMO_RANKS_VERSION 1
#define KYMO_RANKS_SYMBOL "kymo_ranks_begin"
typedef const struct kymo_ranks *kymo_ranks_begin_fn(int version);

static inline void kymo_ranks_sum(const struct kymo_ranks *r, double *v, size_t n)
{
    if (r)
        r->sum(v, n);
}

/*
 * Mean and population variance of every column over the rows of all processes; x may have none of them.
 *
 * mean, var  [d] out          total  out, the weight of all rows
 * errors     ELIMIT           source Chan, Golub, LeVeque, Updating formulae and a pairwise algorithm, 1979
 */
KYMO_MUST_USE kymo_status kymo_ranks_moments(const struct kymo_ranks *r,
                                             const struct kymo_dense *x, unsigned n_threads,
                                             double *mean, double *var, double *total,
                                             struct kymo_arena *a, struct kymo_err *err);

/* How many rows there are in all, and how many of them before these n: processes in order. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_ranks_place(const struct kymo_ranks *r, size_t n, size_t *all,
                                           size_t *before, struct kymo_arena *a,
                                           struct kymo_err *err);

/*
 * So many rows of all, drawn by their place: the same ones whichever process has them, in order, with weights.
 *
 * out     arena; fewer rows where there are no more          errors  ELIMIT
 * cost    O(all rows) draws, O(rows d) values over processes
 */
KYMO_MUST_USE kymo_status kymo_ranks_sample(const struct kymo_ranks *r,
                                            const struct kymo_dense *x, size_t rows,
                                            struct kymo_rng *rng, struct kymo_arena *a,
                                            struct kymo_dense *out, struct kymo_err *err);

#endif
