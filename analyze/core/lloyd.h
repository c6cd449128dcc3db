/* SPDX-License-Identifier: Apache-2.0
 * lloyd.h: passes of Lloyd's algorithm over rows that mostly stay where they are.
 *
 * Two things make a late pass cheap, and neither changes what it finds:
 *
 * Slack   A row is looked at again only when it could have another centre. With u >= d(x, own) and
 *         l <= d(x, every other), the centres' moves since then widen u by move[own] and shrink l by
 *         the largest move of the others; while u < l the label stands. Both drifts depend on the label
 *         alone, so one float a row is kept, and nothing is written while it holds:
 *
 *             slack[i] = l - u + drift[label]      the label stands while  slack[i] > drift[label] now
 *
 *         All of it rounded to the safe side (Hamerly 2010, in one number). Many centres are cut in
 *         groups of near ones, with a slack and a drift for each: a row then meets only the groups that
 *         may hold a nearer centre (Ding et al., Yinyang k-means, ICML 2015). With few columns it meets
 *         the centres around its own instead (exponion.h), by one slack.
 * Sums    Only rows that change their label touch the sums by cluster: minus here, plus there, by block
 *         of rows, then added in block order. A cluster that shrank to a sixteenth is summed afresh, so
 *         that what large sums lost in rounding does not stay with small ones.
 */
#ifndef KYMO_CORE_LLOYD_H
#define KYMO_CORE_LLOYD_H

#include "analyze/core/exponion.h"
#include "analyze/core/ranks.h"
#include "format/num/assign.h"
#include "format/num/simd/openrows.h"

/* What one block of rows gives back; summed in block order. */
struct kymo_lloyd_part {
    double *sum;  /* [k,d] changes of the sums; only of touched clusters */
    double *mass; /* [k] */
    ptrdiff_t *size;
    unsigned char *touched; /* [k] */
    double moment, inertia;
    size_t changed, visited;
    unsigned idle[KYMO_BALLS]; /* passes for which a ball of exponion.h is left out */
    struct kymo_assign_scratch scratch;
};

struct kymo_lloyd {
    const struct kymo_dense *X;
    size_t k, block_rows, n_blocks;
    unsigned n_threads;
    int slack_off;                  /* look at every row in every pass: for tests */
    const struct kymo_ranks *ranks; /* NULL: all rows are here. Set before kymo_lloyd_begin() */
    struct kymo_rows32 rows;
    struct kymo_assigner a;
    int has_groups;            /* a slack a row and group */
    struct kymo_exponion near; /* without `meet`: not used */
    kymo_openrows_fn *open_rows;
    double *C;       /* [k,d] */
    uint32_t *label; /* [n] */
    size_t *size;    /* [k] rows */
    double *mass;    /* [k] their weights */
    double
        inertia; /* of the last pass: labels and C as they are; over ranks only once settled */
    size_t visited; /* rows that the last pass looked at */
    /* inner */
    size_t *peak; /* [k] largest size since the sum was made */
    double *sum;  /* [k,d] */
    double *before, *dist2, *move;
    double
        *change;   /* [k (d + 2)] of sums, masses and sizes, of this pass here and everywhere */
    double *drift; /* [k,groups] */
    float *drift_up; /* the same, rounded up */
    float *slack;    /* [n,groups] */
    float *norm2;    /* [n] */
    unsigned char *afresh;
    double moment; /* sum of weight * |x - pivot|^2 */
    int has_norms; /* norm2 and moment are known */
    int first;     /* no pass made yet */
    struct kymo_lloyd_part *part;
};

/*
 * X       n < 2^32, borrowed              memory  the arena's
 * errors  ELIMIT: the arena's cap
 */
KYMO_MUST_USE kymo_status kymo_lloyd_init(struct kymo_lloyd *l, const struct kymo_dense *X,
                                          size_t k, unsigned n_threads, enum kymo_simd level,
                                          struct kymo_arena *arena, struct kymo_err *err);

/* Meet the centres around the own from now on, whatever d and k, where the level has it: kymo_lloyd_init() does
 * where it pays. Before kymo_lloyd_begin(). */
KYMO_MUST_USE kymo_status kymo_lloyd_exponion(struct kymo_lloyd *l, enum kymo_simd level,
                                              struct kymo_arena *arena, struct kymo_err *err);

/* Begin from the centres now in l->C. */
void kymo_lloyd_begin(struct kymo_lloyd *l);

/* Give every row its nearest centre; returns how many labels changed. inertia follows. */
size_t kymo_lloyd_assign(struct kymo_lloyd *l);

/* Move every centre to the mean of its rows, the empty ones by kmeans.h's rule; returns the sum of
 * squared moves. */
double kymo_lloyd_move(struct kymo_lloyd *l);

/* Mean over columns of the population variance; after the first pass. */
double kymo_lloyd_variance(const struct kymo_lloyd *l);

/* The inertia by differences where the quick one may have lost digits; settles l->inertia. */
void kymo_lloyd_settle(struct kymo_lloyd *l);

/* Slack and drift are told in f32; this covers their rounding. */
#define KYMO_LLOYD_ROUND 0x1p-22

/* Count a row to cluster c (sign 1) or out of it (-1), in the block's part. */
void kymo_lloyd_put(const struct kymo_lloyd *l, struct kymo_lloyd_part *p, size_t row, size_t c,
                    int sign);

/* One block of a pass. */
void kymo_lloyd_visit(struct kymo_lloyd *l, struct kymo_lloyd_part *p, size_t lo, size_t hi);

#endif
