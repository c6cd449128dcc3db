/* SPDX-License-Identifier: Apache-2.0
 * trigger.h: what makes the flight recorder write. A small language over the filter language:
 *
 *     TABLE: FILTER                            a row passes         process: kind == exit && code
 *     rate(TABLE: FILTER) OP NUMBER            rows a second        rate(syscall: errno) > 1000
 *     share(TABLE: FILTER [of FILTER]) OP N    of the rows          share(syscall: errno of syscall == read) > 5%
 *     psi.cpu|memory|io.some|full OP PERCENT   pressure, avg10      psi.io.full > 20
 *     disk.free OP SHARE                       of the output's disk disk.free < 5%
 *     score: MODEL [RULES]                     a model's verdicts   score: prod.model.json bad>5%
 *
 * OP is > >= < <=. All but the first are looked at each second, and may end in "for TIME": held so long,
 * but the last, whose rules are over a minute (judge.h). A share needs SHARE_ROWS_MIN rows to be one.
 *
 * Rows are seen on the writer's thread before they are encoded, and whole chunks are passed over by the
 * least and the greatest value of the columns that a filter looks at.
 */
#ifndef KYMO_RECORD_TRIGGER_H
#define KYMO_RECORD_TRIGGER_H

#include <stdbool.h>

#include "format/trace/batch.h"

#define TRIGGER_BYTES_MAX 2048u
#define TRIGGER_MAX 64u
#define TRIGGER_SHARE_ROWS_MIN 100u

struct triggers; /* owned */

struct triggers_opts {
    const char *const *text;
    size_t n;
    const char *pressure; /* the folder of cpu, memory, io; NULL: /proc/pressure */
    int disk;             /* a descriptor on the output's disk, borrowed; -1: unknown */
    uint64_t start_ns;    /* what `time` counts from */
    bool counts_only;     /* no rows of calls will pass: what needs them is refused */
    void (*say)(const char *text); /* NULL: nobody listens */
};

/* One that fired. */
struct trigger_hit {
    uint64_t ts_ns;
    uint64_t pid; /* of the row; 0: none */
    const char
        *text; /* as it was given, or what a model says; borrowed until the next second */
};

/*
 * Parse and bind all.
 *
 * errors  EUSAGE, with the trigger and the place; EHOST: this kernel does not tell its pressure; as
 *         judge_open: a model cannot judge
 */
KYMO_MUST_USE kymo_status triggers_open(struct triggers **out, const struct triggers_opts *o,
                                        struct kymo_err *err);
void triggers_close(struct triggers *t); /* NULL is fine */
/* Rows that pass by. hit[TRIGGER_MAX] out; each trigger fires once a second at most.
 * returns  how many fired; errors in *status: ELIMIT */
size_t triggers_look(struct triggers *t, const struct kymo_batch *b, struct trigger_hit *hit,
                     kymo_status *status, struct kymo_err *err);
/* A second is over: rates, shares, pressure. Returns how many fired. */
size_t triggers_second(struct triggers *t, uint64_t ts_ns, struct trigger_hit *hit);

#endif
