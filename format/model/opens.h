/* SPDX-License-Identifier: Apache-2.0
 * opens.h: what processes had open, and where they stood, as snapshots tell (table `fd`, and `cwd` of
 * table `process`), in the order of time, so that the calls of another table can be followed beside
 * them. What a snapshot says again is kept once.
 *
 * The first snapshot of a capture is taken within a moment of its start, and stands for that moment.
 */
#ifndef KYMO_MODEL_OPENS_H
#define KYMO_MODEL_OPENS_H

#include "format/base/arena.h"
#include "format/model/fdset.h"
#include "format/trace/batch.h"

#define KYMO_OPENS_CWD (-1)

struct kymo_open_text {
    uint32_t n;
    enum kymo_fd_kind kind;
    char text[];
};

struct kymo_open {
    uint64_t ts_ns, pid, start_ns;
    int64_t fd;                        /* KYMO_OPENS_CWD: the working directory */
    const struct kymo_open_text *what; /* borrowed from the set */
};

struct kymo_opens {
    struct kymo_open *open; /* [cap] owned */
    size_t n, cap, at;      /* those before `at` were told */
    int is_sorted, is_full; /* full: what came later was not kept */
    uint64_t first_ns;      /* of the first row of table fd; 0: none yet */
    uint64_t first_cwd_ns;  /* of the first process of a snapshot */
    struct kymo_arena texts;
    const struct kymo_open_text **text; /* [n_slots] by text */
    uint32_t n_slots, n_texts;
    uint32_t *last; /* [n_last_slots] by process and descriptor: index + 1 of its last entry */
    uint32_t n_last_slots, n_last;
};

KYMO_MUST_USE kymo_status kymo_opens_init(struct kymo_opens *s, struct kymo_err *err);
void kymo_opens_release(struct kymo_opens *s);
/* Take in the rows of tables fd and process; others are passed over. Where memory ends the rest is
 * as little known as without snapshots. */
void kymo_opens_learn(struct kymo_opens *s, const struct kymo_batch *b);
/* After the last that was learned, before the next is asked for. */
void kymo_opens_sort(struct kymo_opens *s);
/* The next one up to a time, NULL none; borrowed until something is learned. */
const struct kymo_open *kymo_opens_next(struct kymo_opens *s, uint64_t until_ns);

#endif
