/* SPDX-License-Identifier: Apache-2.0
 * statrun.h: captures into a tally: only what is needed is decoded, and all is read again where the
 * tally asks for it.
 */
#ifndef KYMO_STAT_STATRUN_H
#define KYMO_STAT_STATRUN_H

#include "format/stat/tally.h"

#define KYMO_STATRUN_FILES_MAX 256u

struct kymo_statrun_in {
    const char *const *path; /* n_paths, borrowed; "-" is stdin */
    size_t n_paths;
    const char *table;
    unsigned threads; /* that decode; 0 or 1: none but the caller's */
    int follow;       /* the fields file and addr are asked for */
    void (*warn)(const char *path, const char *text); /* path NULL: not about one of them */
};

/*
 * Count the rows of the table in all files.
 *
 * at      out: the file that an error is about, NULL none
 * errors  EUSAGE: no rows of that table; else those of the reader and the tally. A torn tail is a warning.
 */
KYMO_MUST_USE kymo_status kymo_statrun(struct kymo_tally *t, const struct kymo_statrun_in *in,
                                       const char **at, struct kymo_err *err);

#endif
