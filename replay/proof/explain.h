/* SPDX-License-Identifier: Apache-2.0
 * explain.h: what did not come out as planned, and why.
 */
#ifndef KYMO_PROOF_EXPLAIN_H
#define KYMO_PROOF_EXPLAIN_H

#include "replay/proof/pairing.h"
#include "replay/proof/proof.h"

/* Kinds of mismatches told apart; what there is beyond is one kind. */
#define KYMO_MISMATCHES_MAX 1024u

/*
 * Group what does not match, most calls first.
 *
 * outcome      [n_calls] the stage's own account; NULL: none
 * out          mismatch and n_mismatches; owned by the proof
 * unexplained  out: calls of the plan among them for which nothing here is a reason
 */
KYMO_MUST_USE kymo_status kymo_explain(struct kymo_proof *out, const struct kymo_pairing *p,
                                       const struct kymo_outcome *outcome,
                                       uint64_t *unexplained, struct kymo_arena *arena,
                                       struct kymo_err *err);

#endif
