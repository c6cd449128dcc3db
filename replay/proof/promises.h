/* SPDX-License-Identifier: Apache-2.0
 * promises.h: did calls wait for what the plan says they wait for?
 */
#ifndef KYMO_PROOF_PROMISES_H
#define KYMO_PROOF_PROMISES_H

#include "replay/proof/pairing.h"

struct kymo_promises {
    uint64_t kept, broken;
    uint64_t untold; /* a call of them is not there, was not timed, or is the environment's */
    uint64_t awake;  /* calls that were to find another one waiting, and came before it */
    size_t call,
        before; /* of the image: the first that was broken, and what it did not wait for */
};

/*
 * Hold every dependency against the times of the re-recording: a call begins when what it waits for has
 * ended. With KYMO_DEP_BEGUN the other one is to be inside its call, so that it is woken and does not merely
 * find what it wants; that orders nothing, and is told apart. Of a call that does not return (exit), or that goes on in another image
 * (exec), the end is not seen from outside: there the one that waited must not have ended before it began.
 */
struct kymo_promises kymo_promises_check(const struct kymo_pairing *p);

#endif
