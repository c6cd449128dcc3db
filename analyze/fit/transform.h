/* SPDX-License-Identifier: Apache-2.0
 * transform.h: how each column gets into the space of the states.
 */
#ifndef KYMO_FIT_TRANSFORM_H
#define KYMO_FIT_TRANSFORM_H

#include "analyze/fit/fit.h"

/*
 * Bend, centre and scale of each column, from the training rows; f->transform says how:
 *
 *   spec      as the matrix's feature spec declares, groups balanced against one another
 *   standard  (x - mean) / sd                   log1p   the same of ln(1 + x), for x >= 0
 *   robust    (x - median) / (IQR / 1.349), which is the sd of a Gaussian; the sd where the IQR is 0
 *   none      x
 *
 * A column that does not move is scaled by 1, one at or under f->o->variance_min weighs 0.
 *
 * errors  EINPUT: a value that the bend does not take, naming column and row; ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_fit_columns(struct kymo_fit *f, struct kymo_err *err);

#endif
