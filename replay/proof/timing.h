/* SPDX-License-Identifier: Apache-2.0
 * timing.h: did calls come at their moments?
 */
#ifndef KYMO_PROOF_TIMING_H
#define KYMO_PROOF_TIMING_H

#include <stddef.h>
#include <stdint.h>

/* A call that was to begin at due_ns and began at came_ns, both since the first call. */
struct kymo_moment {
    uint64_t due_ns, came_ns;
};

/* What waking up at a moment costs, or may cost on a host with something else to do. */
#define KYMO_WAKE_NS 50000.0

/*
 * How calls fell behind: the median lateness of the last fifth of the calls less that of the first fifth.
 *
 * m        [n] sorted in place by due_ns
 * late_ns  out: that difference        returns it as a share of the time between the two fifths' medians,
 *                                      never negative; NaN where there is no such time
 */
double kymo_timing_drift(struct kymo_moment *m, size_t n, double *late_ns);

#endif
