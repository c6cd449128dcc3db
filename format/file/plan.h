/* SPDX-License-Identifier: Apache-2.0
 * plan.h: a first look at a file that is to be sliced: which chunks are of which time, where its
 * marks lie, and what is told late but asked for early (names of calls and of cgroups). Only headers
 * and small tables are read.
 */
#ifndef KYMO_FILE_PLAN_H
#define KYMO_FILE_PLAN_H

#include "format/file/people.h"
#include "format/trace/names.h"
#include "format/trace/reader.h"

#define KYMO_SPANS_MAX 65536u

struct kymo_time_span {
    uint64_t since_ns, until_ns; /* inclusive */
};

struct kymo_chunk_time {
    uint64_t min_ns, max_ns;
};

struct kymo_plan {
    uint64_t start_ns;
    struct kymo_time_span *span; /* those of the mark; owned */
    size_t n_spans;
    int has_moment;                /* the mark is there, but without an extent */
    struct kymo_chunk_time *chunk; /* [n_chunks] in file order; owned */
    size_t n_chunks;
    int is_whole; /* chunk[] has all; in a file of too many chunks it ends before */
};

/* Can the input be read twice? */
int kymo_plan_can(const char *path);
/* mark NULL: none is asked for. names and people learn. A torn tail ends the look. */
KYMO_MUST_USE kymo_status kymo_plan_make(struct kymo_plan *p, const char *path,
                                         const char *mark, struct kymo_names *names,
                                         struct kymo_people *people, struct kymo_err *err);
void kymo_plan_release(struct kymo_plan *p);

#endif
