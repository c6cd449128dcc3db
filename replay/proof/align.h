/* SPDX-License-Identifier: Apache-2.0
 * align.h: which item of one sequence is which of another.
 */
#ifndef KYMO_PROOF_ALIGN_H
#define KYMO_PROOF_ALIGN_H

#include "format/base/err.h"

#define KYMO_UNPAIRED UINT32_MAX

struct kymo_aligner; /* owned: scratch, of a fixed size */
KYMO_MUST_USE kymo_status kymo_aligner_open(struct kymo_aligner **out, struct kymo_err *err);
void kymo_aligner_close(struct kymo_aligner *al);

/*
 * Pair the items of a[n] with those of b[m], in order, so that as few as possible are left over.
 *
 * pair     [n] out: index in b, or KYMO_UNPAIRED
 * returns  how many are left over on both sides: the edit distance without substitutions. It is exact up to
 *          KYMO_ALIGN_EXACT; where there are more, an upper bound, found stretch by stretch.
 * cost     O(n + m + edits^2), past KYMO_ALIGN_EXACT O((n + m) KYMO_ALIGN_EXACT); allocates nothing
 * source   Myers, An O(ND) difference algorithm and its variations, Algorithmica 1, 1986
 */
#define KYMO_ALIGN_EXACT 256u
uint64_t kymo_align(struct kymo_aligner *al, const uint32_t *a, uint32_t n, const uint32_t *b,
                    uint32_t m, uint32_t *pair);

#endif
