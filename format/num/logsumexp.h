/* SPDX-License-Identifier: Apache-2.0
 * logsumexp.h: sums of densities that are held as logs.
 */
#ifndef KYMO_NUM_LOGSUMEXP_H
#define KYMO_NUM_LOGSUMEXP_H

#include <stddef.h>

/* log of the sum of exp(v[0..k-1]), k >= 1, each less than +inf; -inf where all are. */
double kymo_logsumexp(size_t k, const double *v);

#endif
