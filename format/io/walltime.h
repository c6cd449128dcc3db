/* SPDX-License-Identifier: Apache-2.0
 * walltime.h: what a wall clock said at a time of a capture, from the anchors of its table `clock`.
 *
 * CLOCK_MONOTONIC and CLOCK_REALTIME run at one pace; what lies between them changes only when
 * somebody sets the clock or the host sleeps. So an anchor is remembered when it says something
 * new, and the noise of reading two clocks one after the other is not taken for a step.
 */
#ifndef KYMO_IO_WALLTIME_H
#define KYMO_IO_WALLTIME_H

#include "format/trace/batch.h"

#define KYMO_WALLTIME_STEPS_MAX 4096u
#define KYMO_WALLTIME_STEP_NS_MIN 1000000u
#define KYMO_WALLTIME_TEXT_BYTES 40u

struct kymo_walltime_step {
    uint64_t from_ns;  /* of the capture's clock */
    uint64_t ahead_ns; /* real less ts, modulo 2^64 */
    uint64_t boot_ns;  /* CLOCK_BOOTTIME then; 0: not told */
};

struct kymo_walltime {
    uint32_t n; /* 0: no anchor was met */
    struct kymo_walltime_step step[KYMO_WALLTIME_STEPS_MAX];
};

/* Take in the rows of a `clock` table; other tables are passed over. errors ELIMIT: a clock that
 * was set oftener than any is. */
KYMO_MUST_USE kymo_status kymo_walltime_learn(struct kymo_walltime *w,
                                              const struct kymo_batch *b, struct kymo_err *err);
/* ns since 1970 UTC at ts: by the last anchor before it, else by the first there is. n > 0. */
uint64_t kymo_walltime_real(const struct kymo_walltime *w, uint64_t ts_ns);
/* "2026-11-22T04:54:09.250508146Z" */
const char *kymo_walltime_text(char text[KYMO_WALLTIME_TEXT_BYTES], uint64_t real_ns);

#endif
