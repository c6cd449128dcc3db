/* SPDX-License-Identifier: Apache-2.0
 * exponion.h: for every centre the centres around it, for rows that leave it.
 *
 * A row at most u from its centre a, and a centre at least R from a, are at least R - u apart. So a row
 * that may have another centre meets the few around its own, and more only where what lies beyond them
 * may be nearer (Newling and Fleuret, Fast k-means with accurate bounds, ICML 2016). Balls grow by whole
 * vectors, since sixteen centres cost a row no more than one:
 *
 *      ball 0   a and the 15 nearest to it      reach[0]: no centre outside is nearer to a than this
 *      ball 1   a and the 47 nearest            reach[1]
 *
 * Who is in a ball is not found anew in every pass: the moves of a and of the fastest centre take from
 * the reach, and a centre looks around again once they may have taken a share of it.
 *
 * With many columns a ball reaches nobody: distances are much alike there. A block of rows that finds a
 * ball to reach few leaves it out for some passes.
 */
#ifndef KYMO_CORE_EXPONION_H
#define KYMO_CORE_EXPONION_H

#include "format/num/assign.h"

#define KYMO_BALLS 2u
#define KYMO_BALL_MOST 48u /* centres of the largest */

/* Centres of a ball. */
static inline size_t kymo_ball_size(size_t ball)
{
    return ball ? KYMO_BALL_MOST : 16;
}

struct kymo_exponion_part;
struct kymo_ball_tile;
struct kymo_exponion;

/* Rows x of nearest.h's tile meet ball `ball` of their centres. */
typedef void kymo_ball_fn(const struct kymo_exponion *e, size_t ball, const float *x,
                          size_t stride, struct kymo_ball_tile *t);
/* NULL where a level has none. */
kymo_ball_fn *kymo_ball_at(enum kymo_simd level);

struct kymo_exponion {
    const struct kymo_assigner *a; /* borrowed; without groups */
    const double *C;               /* [k,d] of this pass, borrowed */
    kymo_ball_fn *meet;
    size_t k, d;
    unsigned n_threads;
    uint32_t *near; /* [k, most] centres by ball, the own first */
    float *packed;  /* [k, most / 16, d, 16] the same as the f32 rows */
    float *bias;    /* [k, most] as of nearest.h; infinite where there is no centre */
    float *reach;   /* [k, balls] rounded down, in the units of the f32 rows */
    double *found;  /* [k, balls] the reach when `near` was found, in the units of C */
    double *spent;  /* [k] how much of it moves may have taken since */
    struct kymo_exponion_part *part;
};

struct kymo_ball_tile {
    uint32_t own[KYMO_TILE_ROWS];   /* in: the rows' centres */
    float norm2[KYMO_TILE_ROWS];    /* in: the rows' squared norms */
    uint32_t place[KYMO_TILE_ROWS]; /* of the nearest, in its ball */
    /* Distances to the nearest, at most `upper`, and to every other there is, at least `lower`. */
    float upper[KYMO_TILE_ROWS], lower[KYMO_TILE_ROWS];
    unsigned reached; /* a bit for every row to whom no centre outside is as near */
    unsigned clear;   /* a bit for every row whose nearest is so beyond rounding */
};

/*
 * meet    of kymo_ball_at()              a  borrowed; memory is the arena's
 * errors  ELIMIT: the arena's cap
 */
KYMO_MUST_USE kymo_status kymo_exponion_init(struct kymo_exponion *e, kymo_ball_fn *meet,
                                             const struct kymo_assigner *a, unsigned n_threads,
                                             struct kymo_arena *arena, struct kymo_err *err);

/* Other centres come: nothing is known of who is near. */
void kymo_exponion_forget(struct kymo_exponion *e);

/* The centres are C, each moved by move[k] at most since the last call. After kymo_assigner_set().
 * cost    O(k^2 d) where all look around, O(k d) where none does */
void kymo_exponion_set(struct kymo_exponion *e, const double *C, const double *move);

#endif
