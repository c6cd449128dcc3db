/* SPDX-License-Identifier: Apache-2.0
 * openrows.h: which rows have used up their slack. The same rows at every level.
 */
#ifndef KYMO_NUM_SIMD_OPENROWS_H
#define KYMO_NUM_SIMD_OPENROWS_H

#include <stddef.h>
#include <stdint.h>

#include "format/num/simd/simd.h"

#define KYMO_OPEN_SPARE 16u /* places past the last one that may be written to */

/*
 * The rows i in lo..hi-1 for which slack[i] > drift[label[i]] does not hold, in order.
 *
 * k       labels are below it            drift  [k]
 * open    [hi - lo + KYMO_OPEN_SPARE] out
 * returns how many there are
 */
typedef size_t kymo_openrows_fn(size_t lo, size_t hi, const float *slack, const uint32_t *label,
                                size_t k, const float *drift, uint32_t *open);
kymo_openrows_fn *kymo_openrows_at(enum kymo_simd level);

#endif
