/* SPDX-License-Identifier: Apache-2.0
 * select.h: how many states there are.
 */
#ifndef KYMO_CORE_SELECT_H
#define KYMO_CORE_SELECT_H

#include "format/base/err.h"

/* One k that was tried. */
struct kymo_tried {
    size_t k;
    double inertia, silhouette, bic;
};

/* A k is in reach when its silhouette is at least this share of the best one. */
#define KYMO_SILHOUETTE_REACH 0.7

/*
 * The index of the k to take: the lowest BIC among those whose silhouette is within reach of the
 * best; the smallest k of equals. BIC alone splits without end where clusters are not spherical,
 * silhouette alone joins what is close together; a state too many costs a label, a state too few
 * mixes good with bad.
 *
 * tried  [n], n >= 1, ascending k
 */
size_t kymo_select_k(size_t n, const struct kymo_tried *tried);

#endif
