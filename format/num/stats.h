/* SPDX-License-Identifier: Apache-2.0
 * stats.h: sums in a fixed order, in double.
 */
#ifndef KYMO_NUM_STATS_H
#define KYMO_NUM_STATS_H

#include <stddef.h>

/*
 * Mean and population standard deviation of a column, in two passes.
 *
 * x       first value; the next lies `stride` doubles on; n >= 1 finite values
 * mean, sd  out, in the column's own unit
 */
void kymo_mean_sd(size_t n, const double *x, size_t stride, double *mean, double *sd);

/* Sort ascending, in place. */
void kymo_sort_f64(size_t n, double *v);

/* How many of sorted[n] are >= x. */
size_t kymo_count_at_least(size_t n, const double *sorted, double x);

#endif
