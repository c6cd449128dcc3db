/* SPDX-License-Identifier: Apache-2.0
 * mix.h: how far apart two behaviours are, whatever they are of.
 */
#ifndef KYMO_PROOF_MIX_H
#define KYMO_PROOF_MIX_H

#include "replay/proof/strands.h"

/*
 * Jensen-Shannon divergence of call x result class, and of three calls in a row along strands.
 *
 * out     bits, 0..1; 0 where neither side has any, 1 where only one has
 * errors  ELIMIT
 * cost    O(n)
 * source  Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37(1), 1991
 */
KYMO_MUST_USE kymo_status kymo_mix_calls(double *out, const struct kymo_strands *a,
                                         const struct kymo_strands *b, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_mix_grams(double *out, const struct kymo_strands *a,
                                         const struct kymo_strands *b, struct kymo_err *err);

/*
 * Kolmogorov-Smirnov distance of the times between beginnings of calls along strands: the most by which, at
 * any time x, the share of a's gaps up to x passes that of b's up to x + resolution_ns, or the other way.
 *
 * scale   a's gaps are multiplied by it
 * out     0..1; NaN where a side has none
 * errors  ELIMIT
 * cost    O(n log n)
 */
KYMO_MUST_USE kymo_status kymo_mix_gaps(double *out, const struct kymo_strands *a,
                                        const struct kymo_strands *b, double scale,
                                        uint64_t resolution_ns, struct kymo_err *err);

/* The same of two sorted samples. */
double kymo_ks_sorted(const uint64_t *a, size_t n, const uint64_t *b, size_t m,
                      uint64_t resolution);

/* First beginning and last end of all calls; returns 0 when there are none. */
int kymo_strands_span(const struct kymo_strands *l, uint64_t *first_ns, uint64_t *last_ns);

#endif
