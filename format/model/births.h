/* SPDX-License-Identifier: Apache-2.0
 * births.h: births, execs and deaths of processes as a `process` table tells them, in the order of time,
 * so that the rows of another table can be followed beside them.
 */
#ifndef KYMO_MODEL_BIRTHS_H
#define KYMO_MODEL_BIRTHS_H

#include "format/trace/batch.h"

enum kymo_birth_kind { KYMO_BIRTH_FORK, KYMO_BIRTH_EXEC, KYMO_BIRTH_EXIT };

struct kymo_birth {
    uint64_t ts_ns, pid, start_ns, ppid;
    enum kymo_birth_kind kind;
    int is_thread; /* an exit that may be of the first thread alone */
};

struct kymo_births {
    struct kymo_birth *birth; /* [cap] owned */
    size_t n, cap, at;        /* those before `at` were told */
    int is_sorted;
    int knows_last; /* the rows tell which exit was a process's last */
};

void kymo_births_release(struct kymo_births *s);
/* Take in the rows of a `process` table, but not of threads; other tables are passed over. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_births_learn(struct kymo_births *s, const struct kymo_batch *b,
                                            struct kymo_err *err);
/* After the last that was learned, before the next is asked for. */
void kymo_births_sort(struct kymo_births *s);
/* The next one up to a time, NULL none; borrowed until something is learned. */
const struct kymo_birth *kymo_births_next(struct kymo_births *s, uint64_t until_ns);

#endif
