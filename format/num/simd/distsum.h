/* SPDX-License-Identifier: Apache-2.0
 * distsum.h: sums of Euclidean distances by group, of all rows to all rows.
 *
 * Rows lie in panels of eight, feature-major, and all rows of a panel are of one group; places
 * without a row have weight 0. A distance is the root of a sum of squared differences, so nothing
 * cancels; what is added up is double. On another SIMD level a sum differs by no more than
 * (d + n) 2^-52 of itself.
 */
#ifndef KYMO_NUM_DISTSUM_H
#define KYMO_NUM_DISTSUM_H

#include <stddef.h>
#include <stdint.h>

#define KYMO_DISTSUM_LANES 8u

struct kymo_distsum {
    size_t d;
    const double *panel;   /* [n_panels, d, 8] finite */
    const double *weight;  /* [n_panels * 8] */
    const uint32_t *group; /* [n_panels] ascending */
};

/*
 * Distances between the rows of panel i and those of panels lo..hi-1.
 *
 * rows    rows[g * stride + r] gains what row r of panel i has to rows of group g: the sum of weight *
 *         distance, r = 0..7
 * others  others[s] gains what place s (8 a panel, panel 0 first) has to the rows of panel i; NULL: not
 *         wanted
 */
void kymo_distsum_add(const struct kymo_distsum *p, size_t i, size_t lo, size_t hi,
                      double *rows, size_t stride, double *others);

#endif
