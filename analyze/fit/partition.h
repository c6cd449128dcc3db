/* SPDX-License-Identifier: Apache-2.0
 * partition.h: how good a given partition is.
 */
#ifndef KYMO_FIT_PARTITION_H
#define KYMO_FIT_PARTITION_H

#include "analyze/fit/fit.h"

/*
 * Read labels of the training rows of a prepared fit, and print the indices of the partition, for people or as
 * JSON; with another file also how much both agree.
 *
 * labels, against  .npy or CSV of one whole number a row, any; the same number is the same state
 * errors  EINPUT: another number of rows, or what is no whole number; ELIMIT; what printing meets
 */
KYMO_MUST_USE kymo_status kymo_judge_partition(struct kymo_fit *f, const char *labels,
                                               const char *against, struct kymo_err *err);

#endif
