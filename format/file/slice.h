/* SPDX-License-Identifier: Apache-2.0
 * slice.h: a part of a capture, by time, entity and filter, that can be understood alone.
 */
#ifndef KYMO_FILE_SLICE_H
#define KYMO_FILE_SLICE_H

#include "format/trace/writer.h"

#define KYMO_SLICE_LIST_MAX 256u

struct kymo_words {
    const char *v[KYMO_SLICE_LIST_MAX];
    size_t n;
};

/* What is asked for; all of it borrowed. Nothing asked for is the whole capture. */
struct kymo_slice_opts {
    uint64_t since_ns, until_ns; /* since the capture's start; 0, UINT64_MAX: no bound */
    struct kymo_words pid, comm, cgroup, table;
    const char *filter, *mark; /* NULL: none */
    int archive;
    uint64_t time_unit_ns; /* as kymo_writer_time_unit() has it; 0: exact */
};

struct kymo_slice_result {
    uint64_t rows, rows_in;
    int spans; /* of the mark */
    int torn;  /* the input's tail is missing */
};

/*
 * Read path and write what is asked for; w is finished when KYMO_OK comes back.
 *
 * errors  EUSAGE: a filter about no table, a mark that is not there or is a moment, a mark or a
 *         cgroup asked of an input that can be read only once; those of reader and writer
 */
KYMO_MUST_USE kymo_status kymo_slice(const char *path, const struct kymo_slice_opts *o,
                                     struct kymo_writer *w, struct kymo_slice_result *out,
                                     struct kymo_err *err);

#endif
