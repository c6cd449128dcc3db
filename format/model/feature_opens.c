/* SPDX-License-Identifier: Apache-2.0
 * feature_opens.c: descriptors that were made and given back, and how many were open.
 *
 * A snapshot is taken every few seconds: a window has what the last one before its end said, so that it
 * does not matter whether one fell into it.
 */
#include <stdio.h>

#include "format/model/call_sums.h"

enum { COL_OPENED, COL_CLOSED, COL_OPEN, COL_COUNT = COL_OPEN + KYMO_OPEN_KINDS };
static const char *const name[COL_COUNT] = {"fd.opened",    "fd.closed",  "open.files",
                                            "open.sockets", "open.pipes", "open.others"};

/* What is open at a snapshot holds for ten seconds, and counts whatever short-lived processes there were:
 * only a change by a factor of e^1.5 is one. */
#define FLOOR_OPEN 1.5

static void opens_column(size_t i, struct kymo_feature_column *out)
{
    kymo_column_set(out, "", name[i], "", i < COL_OPEN ? "1/s" : "", KYMO_BEND_LOG1P,
                    i < COL_OPEN ? KYMO_FROM_CALLS | KYMO_FROM_COUNTS : KYMO_FROM_OPENS);
    if (i >= COL_OPEN)
        out->floor = FLOOR_OPEN;
}

static void opens_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    static const char *const what[KYMO_OPEN_KINDS] = {"files", "sockets", "pipes",
                                                      "other things"};
    if (i < COL_OPEN)
        snprintf(buf, KYMO_ABOUT_BYTES, "descriptors that calls %s",
                 i ? "closed, close_range counts as one" : "made");
    else
        snprintf(buf, KYMO_ABOUT_BYTES,
                 "descriptors open on %s at the last snapshot; 0: none yet",
                 what[i - COL_OPEN]);
}

static void opens_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    x[COL_OPENED] = (double)kymo_call_sums(f)->opened / f->seconds;
    x[COL_CLOSED] = (double)kymo_call_sums(f)->closed / f->seconds;
    for (size_t k = 0; k < KYMO_OPEN_KINDS; k++)
        x[COL_OPEN + k] = (double)f->open[k];
}

const struct kymo_feature_group kymo_group_opens = {
    .name = "opens",
    .factor = 0.1,
    .n_columns = COL_COUNT,
    .column = opens_column,
    .about = opens_about,
    .finish = opens_finish,
};
