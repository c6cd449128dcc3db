/* SPDX-License-Identifier: Apache-2.0
 * shared.h: what the actors and the sandbox's first process (init) have in common behind image.h: where things
 * lie in the control file, and how one waits for another's call.
 *
 *     control file   words 256 KiB | struct kymo_control, kymo_more | progress | outcome | acts' outcome | pid
 *     mapped at      KYMO_WORDS_BASE | KYMO_CONTROL_BASE
 *
 * Order. An actor's place is one number: 2 k when k calls are over, 2 k + 1 inside call k. Who waits for a
 * place says so (`waiters`), puts it into `want` if it is the nearest that anybody wants, looks once more, and
 * sleeps on `bell`. Who has moved looks at `waiters` alone, and rings only when the place wanted is reached: a
 * call that nobody waits for costs one exchange.
 */
#ifndef KYMO_ACTOR_SHARED_H
#define KYMO_ACTOR_SHARED_H

#include <stdint.h>

#include "replay/plan/image.h"

#define KYMO_STAGE_DIR "/.kymo" /* in the actors' root; read-only but for the control file */
#define KYMO_STAGE_ELF KYMO_STAGE_DIR "/stage"
#define KYMO_STAGE_PLAN KYMO_STAGE_DIR "/plan"
#define KYMO_STAGE_PATTERN KYMO_STAGE_DIR "/pattern"
#define KYMO_STAGE_CONTROL KYMO_STAGE_DIR "/control"
#define KYMO_STAGE_SIGNAL 63 /* the watch's: interrupts a call, does nothing else */

#define KYMO_WORDS_BYTES (KYMO_WORDS_MAX * 4u)
#define KYMO_MORE_AT 256u /* struct kymo_more, behind KYMO_CONTROL_BASE */
#define KYMO_PROGRESS_AT 4096u
#define KYMO_PATTERN_FILE_BYTES 0x400000u /* mapped again and again over KYMO_PATTERN_BYTES */
#define KYMO_REGIONS_BASE 0x3b00000000u   /* uint64_t a region */
#define KYMO_REGIONS_MAX 0x1000000u

/* A lane: what a child of vfork borrows lies in its parent's. */
#define KYMO_LANE_SCRATCH 0x50000u /* [0, here): descriptors of a vfork's child */
#define KYMO_LANE_GUEST                                                                        \
    0xd0000u /* [scratch, here): of one call; top of the guest's stack at... */
#define KYMO_LANE_STACK 0xd8000u /* ...here, and of the own one at the lane's end */

struct kymo_more {
    uint32_t ready; /* futex: processes' leaders that wait for `go` */
    uint32_t ended; /* futex: actors that are over */
    uint32_t n_regions;
    uint32_t asks;   /* futex: questions to the usher (stage_usher.c) so far */
    uint32_t failed; /* 1 + actor that could not begin */
    int32_t failure; /* its errno */
};

/* Names of progress.scratch and spare. */
#define KYMO_BELL 0
#define KYMO_PASS 1 /* init lets it go: what it waits for does not come */
#define KYMO_ASK                                                                               \
    2 /* futex: 1 + the actor of which it wants to know that it sleeps in its call */
#define KYMO_WANT_NONE UINT64_MAX

/* futex(2) without a timeout (NULL) or with a relative one; 0 or a negative errno. */
long kymo_stage_futex(uint32_t *word, int op, uint32_t value, const int64_t *timeout);
enum { KYMO_FUTEX_WAIT = 0, KYMO_FUTEX_WAKE = 1 };

static inline void kymo_bell(struct kymo_progress *p, uint64_t place)
{
    if (!__atomic_load_n(&p->waiters, __ATOMIC_SEQ_CST) ||
        __atomic_load_n(&p->spare, __ATOMIC_SEQ_CST) > place)
        return;
    __atomic_store_n(&p->spare, KYMO_WANT_NONE, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&p->scratch[KYMO_BELL], 1, __ATOMIC_SEQ_CST);
    kymo_stage_futex(&p->scratch[KYMO_BELL], KYMO_FUTEX_WAKE, INT32_MAX, 0);
}

/* Inside call `index`; `loud` where somebody may wait for that. */
static inline void kymo_begun(struct kymo_progress *p, uint32_t index, int loud)
{
    if (!loud) {
        __atomic_store_n(&p->begun, index + 1, __ATOMIC_RELEASE);
        return;
    }
    __atomic_store_n(&p->begun, index + 1, __ATOMIC_SEQ_CST);
    kymo_bell(p, 2ull * index + 1);
}

static inline void kymo_done(struct kymo_progress *p, uint32_t index)
{
    __atomic_store_n(&p->done, index + 1, __ATOMIC_SEQ_CST);
    kymo_bell(p, 2ull * index + 2);
}

/* Nothing more comes from this actor: nobody waits for it any longer. */
static inline int kymo_ended(struct kymo_progress *p, struct kymo_more *more)
{
    if (__atomic_exchange_n(&p->state, KYMO_ACTOR_ENDED, __ATOMIC_SEQ_CST) == KYMO_ACTOR_ENDED)
        return 0;
    kymo_bell(p, KYMO_WANT_NONE - 1);
    __atomic_fetch_add(&more->ended, 1, __ATOMIC_SEQ_CST);
    kymo_stage_futex(&more->ended, KYMO_FUTEX_WAKE, INT32_MAX, 0);
    return 1;
}

/* Has that actor come as far as `index` of a dependency says? */
static inline int kymo_reached(const struct kymo_progress *p, uint32_t index)
{
    const uint32_t k = index & ~KYMO_DEP_BEGUN;

    if (__atomic_load_n(&p->done, __ATOMIC_ACQUIRE) > k)
        return 1;
    if (index & KYMO_DEP_BEGUN && __atomic_load_n(&p->begun, __ATOMIC_ACQUIRE) > k)
        return 1;
    return __atomic_load_n(&p->state, __ATOMIC_ACQUIRE) == KYMO_ACTOR_ENDED;
}

static inline void kymo_want(struct kymo_progress *p, uint64_t place)
{
    uint64_t now = __atomic_load_n(&p->spare, __ATOMIC_SEQ_CST);

    while (now > place && !__atomic_compare_exchange_n(&p->spare, &now, place, 0,
                                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

/*
 * One nap of waiting for `index` of p: sleep until p comes by there, or the timeout, or a signal.
 * 1: reached.
 */
static inline int kymo_nap(struct kymo_progress *p, uint32_t index, const int64_t *timeout)
{
    const uint64_t k = index & ~KYMO_DEP_BEGUN;
    const uint32_t bell = __atomic_load_n(&p->scratch[KYMO_BELL], __ATOMIC_SEQ_CST);

    kymo_want(p, index & KYMO_DEP_BEGUN ? 2 * k + 1 : 2 * k + 2);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (kymo_reached(p, index))
        return 1;
    kymo_stage_futex(&p->scratch[KYMO_BELL], KYMO_FUTEX_WAIT, bell, timeout);
    return kymo_reached(p, index);
}

#endif
