/* SPDX-License-Identifier: Apache-2.0
 * softmax.h: responsibilities of a tile of rows, with the rows side by side in vector lanes.
 */
#ifndef KYMO_NUM_SIMD_SOFTMAX_H
#define KYMO_NUM_SIMD_SOFTMAX_H

#include <stddef.h>

#include "format/num/simd/simd.h"

/* A responsibility below this counts as none: it would change no sum of like numbers in its last
 * bit, and a row that belongs to one component then costs as much as one component. */
#define KYMO_RESP_MIN 0x1p-60

/*
 * resp[c] = exp(lp[c] - log_sum) for n_rows rows.
 *
 * lp      [k] rows `stride` doubles apart, [c][row]: log of weight times density, each less than
 *         +inf, one a row at least more than -inf; borrowed
 * resp    as lp, out, in 0..1, exactly 0 below KYMO_RESP_MIN; may be lp itself
 * log_sum [n_rows] out: log of the sum of exp(lp)
 * entropy [n_rows] out: -sum of resp log resp, nats, >= 0
 *
 * n_rows is a multiple of 8, and so many are read and written. Levels differ within 4 * 2^-52
 * relative in resp, and absolute in log_sum - max(lp) and entropy / (1 + entropy).
 * cost    O(n_rows k)
 */
void kymo_softmax(enum kymo_simd level, size_t k, size_t n_rows, size_t stride,
                  const double *lp, double *resp, double *log_sum, double *entropy);

/* Slack that kymo_softmax_rows() needs past the rows it can find. */
#define KYMO_RESP_SLACK 8u

/*
 * The rows that one component has a part in.
 *
 * resp    [n_rows] of this component, >= 0      lo      index of the first of them
 * row     [n_rows + KYMO_RESP_SLACK] out: lo + r where resp[r] > 0, ascending
 * share   [n_rows + KYMO_RESP_SLACK] out: those resp[r]
 * returns how many; what lies behind them is overwritten
 */
size_t kymo_softmax_rows(enum kymo_simd level, size_t n_rows, const double *resp, size_t lo,
                         size_t *row, double *share);

#endif
