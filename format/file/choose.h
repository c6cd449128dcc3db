/* SPDX-License-Identifier: Apache-2.0
 * choose.h: which rows of a batch a slice asks for.
 */
#ifndef KYMO_FILE_CHOOSE_H
#define KYMO_FILE_CHOOSE_H

#include "format/file/ledger.h"
#include "format/file/people.h"
#include "format/file/plan.h"
#include "format/file/slice.h"

struct kymo_filter;

struct kymo_choose {
    const struct kymo_slice_opts *o;
    struct kymo_filter *filter; /* NULL: none */
    const struct kymo_names *names;
    const struct kymo_people *people;
    struct kymo_ledger *ledger;
    const struct kymo_time_span *span; /* rising, apart */
    size_t n_spans;
    uint64_t start_ns;
    int is_filtered; /* by anything but time */
    int is_cut;      /* by anything */
    int n_bound;     /* tables that the filter is about */
    struct kymo_err misfit;
    uint64_t pid[KYMO_SLICE_LIST_MAX];
    uint32_t *row; /* [KYMO_CHUNK_ROWS_MAX] what was chosen */
    uint8_t *task; /* [KYMO_CHUNK_TASKS_MAX] 1 + (its entity is asked for), 0: not looked yet */
};

/* errors EUSAGE: a pid that is no number, a filter that does not parse. */
KYMO_MUST_USE kymo_status kymo_choose_open(struct kymo_choose *c,
                                           const struct kymo_slice_opts *o,
                                           const struct kymo_people *people,
                                           struct kymo_ledger *ledger, struct kymo_err *err);
void kymo_choose_close(struct kymo_choose *c);

/* The span that holds ts, or NULL. */
const struct kymo_time_span *kymo_choose_span(const struct kymo_choose *c, uint64_t ts);
/* Does a span meet [min, max]? Lies all of it in one? */
int kymo_choose_meets(const struct kymo_choose *c, uint64_t min_ns, uint64_t max_ns);
int kymo_choose_holds(const struct kymo_choose *c, uint64_t min_ns, uint64_t max_ns);
/* Why a row of this time is not there. */
enum kymo_cut kymo_choose_why(const struct kymo_choose *c, uint64_t ts);
/* Is the table one whose rows are asked for (-t)? */
int kymo_choose_table(const struct kymo_choose *c, const char *table);

/* c->row[n]: the rows asked for; what is left out of an event table goes to the ledger. */
KYMO_MUST_USE kymo_status kymo_choose_rows(struct kymo_choose *c, const struct kymo_batch *b,
                                           uint32_t *n, struct kymo_err *err);
/* Rows of a process table: asked[n_rows] 1 where a row is; no account. */
KYMO_MUST_USE kymo_status kymo_choose_processes(struct kymo_choose *c,
                                                const struct kymo_batch *b, uint8_t *asked,
                                                struct kymo_err *err);

#endif
