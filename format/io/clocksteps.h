/* SPDX-License-Identifier: Apache-2.0
 * clocksteps.h: when the wall clock of a capture was set and when its host slept, from the anchors of
 * its table `clock`. While a host sleeps the monotonic clock stands, and those of boot and wall go on.
 */
#ifndef KYMO_IO_CLOCKSTEPS_H
#define KYMO_IO_CLOCKSTEPS_H

#include "format/trace/batch.h"

#define KYMO_CLOCKSTEPS_MAX 256u
/* Besides a thousandth of the time between two anchors, which NTP may have bent. */
#define KYMO_CLOCKSTEPS_NS_MIN 10000000u

struct kymo_clockstep {
    uint64_t from_ns, ts_ns; /* of the capture's clock: it happened in between */
    int64_t set_ns;          /* the wall clock was set forward, or back; 0: it was not */
    uint64_t slept_ns;       /* 0: it did not */
};

struct kymo_clocksteps {
    uint32_t n, n_all; /* the first KYMO_CLOCKSTEPS_MAX are kept */
    struct kymo_clockstep step[KYMO_CLOCKSTEPS_MAX];
    int has_last;
    uint64_t ts_ns, boot_ns, real_ns; /* of the last anchor */
};

/* Take in the rows of a `clock` table; other tables are passed over. */
void kymo_clocksteps_learn(struct kymo_clocksteps *c, const struct kymo_batch *b);

#endif
