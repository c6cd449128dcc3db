/* SPDX-License-Identifier: Apache-2.0
 * judge.h: a labelled model judges a recording while it is made, as `kymo score` does afterwards.
 *
 *     rows --> features of the windows in flight --seal--> verdicts --> the last minute's, by outcome
 *                                                                        `--> a rule is broken: it fires
 *
 * It fires in a second in which a window with the outcome of a broken rule was closed, so a rule that stays
 * broken by windows of the past is silent. Rules are those of `kymo score --fail-on`.
 *
 * All but _open runs on the writer's thread, about 100 ns a row. What it must not do there is end the recording:
 * where it fails, it says so and begins anew with the next rows.
 */
#ifndef KYMO_RECORD_JUDGE_H
#define KYMO_RECORD_JUDGE_H

#include <stdbool.h>

#include "format/trace/batch.h"

#define JUDGE_RULES "bad>0"
#define JUDGE_MINUTE_S 60u
#define JUDGE_TEXT_BYTES 240u
/* Accumulators of windows in flight. One is about 10 KiB, an entity and a step. */
#define JUDGE_BYTES_MAX ((size_t)64 << 20)

struct judge; /* owned */

struct judge_opts {
    const char *model;             /* path */
    const char *rules;             /* NULL: JUDGE_RULES */
    void (*say)(const char *text); /* NULL: nobody listens */
};

/*
 * Read the model and check that it can judge a recording by these rules.
 *
 * errors  EUSAGE: no such rule; EINPUT: the model cannot be read, is not of captures, or no state of it has the
 *         verdict that a rule asks for; ECORRUPT, ELIMIT as kymo_model_read
 */
KYMO_MUST_USE kymo_status judge_open(struct judge **out, const struct judge_opts *o,
                                     struct kymo_err *err);
void judge_close(struct judge *j); /* NULL is fine */
/* Rows of any table, in the order in which they are written. */
void judge_look(struct judge *j, const struct kymo_batch *b);
/*
 * Nothing older than ts_ns follows: judge the windows that end by then.
 *
 * returns  why it fires, until the next call; NULL: it does not
 */
const char *judge_second(struct judge *j, uint64_t ts_ns);

#endif
