/* SPDX-License-Identifier: Apache-2.0
 * split.h: which rows of a matrix are learned from and which are held out, and who follows whom.
 */
#ifndef KYMO_CORE_SPLIT_H
#define KYMO_CORE_SPLIT_H

#include "format/model/matrix.h"

struct kymo_split {
    size_t n_train, n_hold, n_lost, n_unmarked;
    size_t *train, *hold; /* rows, ascending; arena */
};

/*
 * Hold out blocks of time: in each capture and entity, runs of consecutive windows of a two
 * hundredth of the whole (2 to 60, and at least two windows' length), every 1/share-th of them.
 * Windows that lost more than KYMO_LOST_MAX are in neither part. Rows without facts count as one
 * run.
 *
 * share   0..0.5; 0 holds out nothing
 * marked  nonzero: rows that are not wholly inside a span are in neither part
 * errors  ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_split_rows(const struct kymo_matrix *m, double share, int marked,
                                          struct kymo_arena *arena, struct kymo_split *out,
                                          struct kymo_err *err);

/*
 * Count how often a window of state a is followed at once by one of state b, same capture and
 * entity.
 *
 * label   [n] state of each row          count  [k,k] added to
 * errors  ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_count_transitions(const struct kymo_matrix *m,
                                                 const uint32_t *label, size_t k,
                                                 uint64_t *count, struct kymo_err *err);

#endif
