/* SPDX-License-Identifier: Apache-2.0
 * anchors.h: when a row of table clock is due: which monotonic time was which time since boot and
 * which wall time. Every few seconds; and where the wall clock was set, or the host slept, one from
 * before and one from after, so that a reader knows the moment to a second.
 */
#ifndef KYMO_RECORD_ANCHORS_H
#define KYMO_RECORD_ANCHORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two clocks that part by more than this between two looks, a second apart, were parted: NTP bends
 * a clock by half a millisecond a second at most. */
#define ANCHORS_STEP_NS_MIN 10000000u

/* The host's, or a test's. */
struct clocks {
    void *ctx;
    uint64_t (*mono)(void *ctx);
    uint64_t (*boot)(void *ctx);
    uint64_t (*real)(void *ctx);
};
struct clocks clocks_of_host(void);

struct anchor {
    uint64_t mono_ns, boot_ns, real_ns;
};

struct anchors {
    struct clocks clocks;
    struct anchor seen;
    bool has_seen, is_written; /* of `seen` */
};

/* Look at the clocks. Returns how many anchors, 0 to 2 and in the order of time, are to be written;
 * one at least when is_due. */
size_t anchors_look(struct anchors *a, bool is_due, struct anchor out[2]);

#endif
