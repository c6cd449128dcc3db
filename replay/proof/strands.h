/* SPDX-License-Identifier: Apache-2.0
 * strands.h: what of a trace is compared: strands of calls, one a thread, and words for their names.
 */
#ifndef KYMO_PROOF_STRANDS_H
#define KYMO_PROOF_STRANDS_H

#include "replay/plan/trace.h"

/* Calls of one thread by their beginnings: indexes into kymo_trace.call, borrowed. */
struct kymo_strand {
    const uint32_t *call;
    uint32_t n;
};

struct kymo_strands {
    const struct kymo_trace *t;
    struct kymo_strand *strand; /* [n] */
    size_t n;
    const uint32_t
        *word; /* [t->n_texts] number of a call's name, the same in all traces joined */
    uint64_t n_calls;
};

/* Numbers of words fit 16 bits, and so three of them a 64-bit key. */
#define KYMO_WORDS_NAMED_MAX 65535u

/*
 * Number the names of calls of two traces alike, b may be NULL.
 *
 * word_a, word_b  out, arena: [n_texts] each; texts that name no call have 0
 * errors          ELIMIT: memory, more than KYMO_WORDS_NAMED_MAX different names
 */
KYMO_MUST_USE kymo_status kymo_strands_words(const struct kymo_trace *a,
                                             const struct kymo_trace *b, uint32_t **word_a,
                                             uint32_t **word_b, struct kymo_arena *arena,
                                             struct kymo_err *err);

/* All calls of a trace but those that come by themselves. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_strands_all(struct kymo_strands *out, const struct kymo_trace *t,
                                           const uint32_t *word, struct kymo_arena *arena,
                                           struct kymo_err *err);

/* What a result says, whatever its size: an errno, or one of these. */
enum {
    KYMO_RESULT_ZERO = 0,
    KYMO_RESULT_RESTART = 0xfffd, /* the kernel's own -512..-516: interrupted, and no error */
    KYMO_RESULT_NONE = 0xfffe, /* it did not return: exit, or still in the kernel at the end */
    KYMO_RESULT_POSITIVE = 0xffff, /* descriptors, pids, sizes, addresses alike */
};
static inline uint32_t kymo_result_class(const struct kymo_trace_call *c)
{
    if (!(c->has & KYMO_TRACE_HAS_RET))
        return KYMO_RESULT_NONE;
    if (c->ret == 0)
        return KYMO_RESULT_ZERO;
    if (c->ret <= -512 && c->ret >= -516)
        return KYMO_RESULT_RESTART;
    return c->ret < 0 && c->ret >= -4095 ? (uint32_t)-c->ret : KYMO_RESULT_POSITIVE;
}

/* Not called by anybody: a child's return from fork, a handler's return, a restarted call. */
int kymo_call_follows(const struct kymo_trace *t, const struct kymo_trace_call *c);

#endif
