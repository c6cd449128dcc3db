/* SPDX-License-Identifier: Apache-2.0
 * callorder.h: a batch as runs of one task and one key each. What is asked of a run as a whole needs
 * no look at its rows, and the values of a run lie side by side in every lane.
 */
#ifndef KYMO_STAT_CALLORDER_H
#define KYMO_STAT_CALLORDER_H

#include "format/trace/batch.h"

struct kymo_callorder; /* owned: memory that is used again */

KYMO_MUST_USE kymo_status kymo_callorder_open(struct kymo_callorder **out,
                                              struct kymo_err *err);
void kymo_callorder_close(struct kymo_callorder *c);

/*
 * The rows of b, sorted by key, task, then as they were, with their runs. A batch in call order is
 * that already; a table that is not grouped is one run, as it is.
 *
 * view   out, borrowed until the next call: all lanes, task and key in that order
 * row    out, borrowed: the row of b that each row of view was; NULL where they are the same
 * errors ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_callorder_take(struct kymo_callorder *c,
                                              const struct kymo_batch *b,
                                              struct kymo_batch *view, const uint32_t **row,
                                              const struct kymo_run **run, uint32_t *n_runs,
                                              struct kymo_err *err);

#endif
