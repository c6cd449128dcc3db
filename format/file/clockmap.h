/* SPDX-License-Identifier: Apache-2.0
 * clockmap.h: times of one clock on the axis of another, through anchors: pairs of the same moment on
 * both. Between anchors straight lines, before and after them at the same pace.
 */
#ifndef KYMO_FILE_CLOCKMAP_H
#define KYMO_FILE_CLOCKMAP_H

#include "format/base/err.h"

#define KYMO_ANCHORS_MAX ((size_t)1 << 20)

struct kymo_anchor {
    uint64_t from_ns, to_ns;
};

/* Zeroed to begin with; the anchors are owned. */
struct kymo_clockmap {
    struct kymo_anchor *anchor; /* both sides rising */
    size_t n;
    size_t at; /* where the last time lay */
};

/*
 * One more anchor, later than those before. One that would bend the line by more than a thousandth is
 * a clock that was set, and is left out: rows must not jump.
 */
KYMO_MUST_USE kymo_status kymo_clockmap_add(struct kymo_clockmap *m, uint64_t from_ns,
                                            uint64_t to_ns, struct kymo_err *err);
/* ns on the other axis. Not falling where ns is not; n >= 1. */
uint64_t kymo_clockmap_apply(struct kymo_clockmap *m, uint64_t ns);
/* out: from a's `from` to b's `from`, where both have the same `to`. errors EINPUT: an empty one. */
KYMO_MUST_USE kymo_status kymo_clockmap_join(struct kymo_clockmap *out,
                                             const struct kymo_clockmap *a,
                                             const struct kymo_clockmap *b,
                                             struct kymo_err *err);
void kymo_clockmap_release(struct kymo_clockmap *m);

#endif
