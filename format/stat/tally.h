/* SPDX-License-Identifier: Apache-2.0
 * tally.h: rows counted by group and window: how many, how often, how many failed, what they moved
 * and how long they took; exact, in bounded memory.
 *
 * Work goes by runs (callorder.h): where groups are made of a task's and a key's fields and the chunk
 * lies in one window, counting looks at no row. Durations of a run lie side by side and are copied
 * as one.
 */
#ifndef KYMO_STAT_TALLY_H
#define KYMO_STAT_TALLY_H

#include "format/stat/byfield.h"
#include "format/stat/callorder.h"
#include "format/stat/values.h"
#include "format/trace/filter.h"

#define KYMO_QUANTILES_MAX 16u
#define KYMO_MEASURES_MAX 32u
#define KYMO_TALLY_COLUMNS_MAX (1u + KYMO_BY_MAX + KYMO_MEASURES_MAX)
#define KYMO_LOG2_BUCKETS 65u /* 0, then [2^k, 2^(k+1)) at k + 1 */

enum kymo_measure_kind {
    KYMO_MEASURE_COUNT,
    KYMO_MEASURE_RATE,    /* 1/s, over the window or the whole */
    KYMO_MEASURE_SHARE,   /* of the count of the window */
    KYMO_MEASURE_ERRORS,  /* results -4095..-1 without the kernel's restarts */
    KYMO_MEASURE_READ,    /* bytes that calls of class read returned */
    KYMO_MEASURE_WRITTEN, /* and of class write */
    KYMO_MEASURE_BYTES,   /* both */
    KYMO_MEASURE_TIME,    /* sum of durations */
    KYMO_MEASURE_MIN,
    KYMO_MEASURE_MEAN,
    KYMO_MEASURE_MAX,
    KYMO_MEASURE_QUANTILE,
    KYMO_MEASURE_HISTOGRAM,
    KYMO_MEASURE_KINDS
};

struct kymo_measure {
    enum kymo_measure_kind kind;
    const char *name; /* borrowed; "p99" */
    uint32_t q;       /* of a quantile */
    size_t at;        /* its place among the quantiles */
};

struct kymo_tally_ask {
    const char *const *by; /* n_by names, borrowed */
    size_t n_by;
    struct kymo_measure measure[KYMO_MEASURES_MAX];
    size_t n_measures;
    uint64_t every_ns;           /* 0: one window */
    int from_start;              /* windows begin at the start, not at multiples of every_ns */
    uint64_t since_ns, until_ns; /* since the start; UINT64_MAX: to the end */
    const char *filter;          /* borrowed, NULL: none */
    struct kymo_measure sort;    /* largest first */
    uint64_t top;                /* rows a window, 0: all */
    uint64_t memory_bytes;       /* for durations */
};

/* Parse the name of a measure, "p99" among them. 0: there is none such. */
int kymo_measure_parse(const char *name, struct kymo_measure *m);

struct kymo_tally; /* owned: _open, _close */

/* ask borrowed. errors EUSAGE: the filter; ELIMIT. */
KYMO_MUST_USE kymo_status kymo_tally_open(struct kymo_tally **out,
                                          const struct kymo_tally_ask *ask,
                                          struct kymo_err *err);
void kymo_tally_close(struct kymo_tally *t);

/*
 * Bind to the schema of the rows to come.
 *
 * names     borrowed until the next: of calls
 * start_ns  of the capture; what the first one says counts for all; 0 is not known yet
 * errors    EUSAGE: a field, a filter or a measure that the table has nothing for
 */
KYMO_MUST_USE kymo_status kymo_tally_bind(struct kymo_tally *t, const struct kymo_schema *s,
                                          const struct kymo_names *names, uint64_t start_ns,
                                          struct kymo_err *err);
/* Columns that every batch needs, want[n_columns] of the bound schema. */
void kymo_tally_need(const struct kymo_tally *t, uint8_t *want);
/* Does this batch need its times too: because a window or a limit cuts it? */
int kymo_tally_cuts(const struct kymo_tally *t, const struct kymo_batch *b);
/* Are rows of that time counted at all? For chunks that need not be read. */
void kymo_tally_range(const struct kymo_tally *t, uint64_t *since_ns, uint64_t *until_ns);

/* Where fields come from outside: their numbers are put there before kymo_tally_take(), by task or
 * by row of the batch. NULL: no such field is asked for. */
struct kymo_by *kymo_tally_field(struct kymo_tally *t, enum kymo_by_source source);

/* Count the rows of a batch of the bound schema. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_tally_take(struct kymo_tally *t, const struct kymo_batch *b,
                                          struct kymo_err *err);
/* Some time that is not that of a counted row: the capture went on so long. */
void kymo_tally_saw(struct kymo_tally *t, uint64_t ts_ns);

/*
 * After all rows: are they needed once more, for quantiles whose values passed the memory? Then give
 * all of them again and ask again. errors EINPUT: the rows of this pass were not those of the first.
 */
KYMO_MUST_USE kymo_status kymo_tally_again(struct kymo_tally *t, int *again,
                                           struct kymo_err *err);
/* Groups whose quantiles are only known to a bucket, 1/64 wide, as the rows were not given again. */
size_t kymo_tally_vague(const struct kymo_tally *t);

/* -------- what came out (tallyout.c) -------- */

/* Where a row of the output stands. */
struct kymo_tally_row {
    int64_t window;
    uint64_t key; /* sorted by this, largest first */
    uint32_t group;
    const struct kymo_tally *tally;
};

/*
 * The groups by window, then by what they are sorted by, cut to the top ones of each window.
 * out     owned by the caller: free()
 * hidden  out: groups that the cut left out
 */
KYMO_MUST_USE kymo_status kymo_tally_rows(struct kymo_tally *t, struct kymo_tally_row **out,
                                          size_t *n, uint64_t *hidden, struct kymo_err *err);
/* Where the window begins, in ns since the start; the first one where the rows do. */
int64_t kymo_tally_window_ns(const struct kymo_tally *t, int64_t window);
void kymo_tally_by_cell(const struct kymo_tally *t, const struct kymo_tally_row *row, size_t by,
                        struct kymo_cell *out);
/* A measure of a row; a histogram is null here. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_tally_cell(struct kymo_tally *t,
                                          const struct kymo_tally_row *row,
                                          const struct kymo_measure *m, struct kymo_cell *out,
                                          struct kymo_err *err);
/* How many durations lie in 0, [1, 2), [2, 4), ... ns. */
void kymo_tally_histogram(struct kymo_tally *t, const struct kymo_tally_row *row,
                          uint64_t count[KYMO_LOG2_BUCKETS]);
/* Rows counted, groups, and time covered in ns. */
struct kymo_tally_sum {
    uint64_t rows, groups, span_ns;
};
void kymo_tally_sum(const struct kymo_tally *t, struct kymo_tally_sum *out);

#endif
