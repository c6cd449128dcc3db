/* SPDX-License-Identifier: Apache-2.0
 * distrow.h: distances of a few rows to very many, and the least of a row of distances, in double.
 *
 * Every distance is a sum over the columns from the first to the last, without fused steps: the
 * same bits on every SIMD level, and those of kymo_dist2_pair().
 */
#ifndef KYMO_NUM_DISTROW_H
#define KYMO_NUM_DISTROW_H

#include <stddef.h>
#include <stdint.h>

#define KYMO_DISTROW_LANES 8u   /* rows of a panel */
#define KYMO_DISTROW_QUERIES 4u /* rows compared at once */

/*
 * Distances of four rows to the rows of panels.
 *
 * panel   [n_panels, d, 8] finite, borrowed       used  [n_panels] panels with 0 are passed over
 * query   [d, 4] finite, borrowed
 * root    take roots, else squared distances
 * out     [4][n_panels * 8] each
 */
void kymo_dist_panels(size_t n_panels, size_t d, const double *panel, const uint32_t *used,
                      const double *query, int root, double *const out[4]);

/* The same of the first query alone, to all panels: out [n_panels * 8]. */
void kymo_dist_panels_one(size_t n_panels, size_t d, const double *panel, const double *query,
                          int root, double *out);

/* Squared distance of two rows of d. */
double kymo_dist2_pair(size_t d, const double *a, const double *b);

/* The least of x[n], n >= 1, none of them NaN; where: its index, the lowest of equals. */
double kymo_row_min(size_t n, const double *x, size_t *where);

#endif
