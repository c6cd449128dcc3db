/* SPDX-License-Identifier: Apache-2.0
 * columns.h: weighted mean and spread of every column of many rows.
 */
#ifndef KYMO_NUM_COLUMNS_H
#define KYMO_NUM_COLUMNS_H

#include "format/base/err.h"
#include "format/num/dense.h"

/*
 * Column means and population variances; a row of weight 2 counts as two rows.
 *
 * x       n >= 1 rows, borrowed
 * mean    [d] out
 * var     [d] out, >= 0, of a column of equal values exactly 0; may be NULL
 * total   out, the sum of the weights; may be NULL
 *
 * Sums are taken around the first row, and again around the means where that row lies so far out
 * that what cancels would show.
 * errors  ELIMIT: no memory for the sums of the blocks
 */
KYMO_MUST_USE kymo_status kymo_column_moments(const struct kymo_dense *x, unsigned n_threads,
                                              double *mean, double *var, double *total,
                                              struct kymo_err *err);

#endif
