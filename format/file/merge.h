/* SPDX-License-Identifier: Apache-2.0
 * merge.h: several captures as one: parts of one host without seams, or several hosts side by side.
 *
 * Captures of the same boot of a host share a clock. Others are put on the clock of the first one,
 * through the anchors that both have to the wall clock, and every table gets a column `host`.
 */
#ifndef KYMO_FILE_MERGE_H
#define KYMO_FILE_MERGE_H

#include "format/trace/writer.h"

#define KYMO_MERGE_INPUTS_MAX 4096u

struct kymo_merge_opts {
    int parts; /* take all as parts of one host */
    void (*warn)(void *ctx, const char *path, const char *text); /* may be NULL */
    void *ctx;
};

struct kymo_merge_result {
    uint64_t rows, rows_in;
    size_t hosts;
};

/*
 * Merge path[n] into w, which is finished when KYMO_OK comes back. at out: the input that an error is
 * about, or NULL. Open at one time are those inputs whose time has come, each with one chunk.
 *
 * errors  EUSAGE: an input that cannot be read twice; EINPUT: several hosts, and one without anchors;
 *         those of reader and writer
 */
KYMO_MUST_USE kymo_status kymo_merge(const char *const *path, size_t n,
                                     const struct kymo_merge_opts *o, struct kymo_writer *w,
                                     struct kymo_merge_result *out, const char **at,
                                     struct kymo_err *err);

#endif
