/* SPDX-License-Identifier: Apache-2.0
 * pairing.h: which call of a re-recording is which call of the plan.
 */
#ifndef KYMO_PROOF_PAIRING_H
#define KYMO_PROOF_PAIRING_H

#include "replay/plan/compile.h"
#include "replay/proof/align.h"
#include "replay/proof/strands.h"

struct kymo_pairing {
    const struct kymo_image *image;
    const struct kymo_icall *call; /* [n_calls] of the image */
    size_t n_calls;
    const struct kymo_trace *original, *again;
    uint32_t *got;   /* [n_calls] call of the re-recording, KYMO_UNPAIRED */
    uint8_t *wanted; /* [n_calls] 1: it is to be seen again */
    uint32_t *extra; /* [n_extra] calls of the re-recording that nobody planned */
    size_t n_extra;
    struct kymo_strands planned, played; /* what is to be seen, what was: a strand an actor */
    uint64_t n_wanted, n_injected;
    uint64_t edits;   /* calls too few and too many, by their names */
    size_t n_strayed; /* actors with any */
};

/*
 * Actors find their threads by pid and tid, several of one tid in the order of time. To be seen again are
 * calls that are issued or injected and had returned when the original ended; one that had not may be there
 * or not.
 *
 * errors  ECORRUPT: a plan that is not of the original; ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_pairing_make(struct kymo_pairing *out,
                                            const struct kymo_image *image,
                                            const struct kymo_trace *original,
                                            const struct kymo_trace *again,
                                            struct kymo_arena *arena, struct kymo_err *err);

/* Is the call there, with a result of the same class? */
static inline int kymo_pairing_holds(const struct kymo_pairing *p, size_t i)
{
    return p->got[i] != KYMO_UNPAIRED &&
           kymo_result_class(&p->original->call[p->call[i].row]) ==
               kymo_result_class(&p->again->call[p->got[i]]);
}

#endif
