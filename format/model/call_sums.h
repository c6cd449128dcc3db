/* SPDX-License-Identifier: Apache-2.0
 * call_sums.h: what one pass over the rows of calls adds up, from which several groups of features are
 * made. It lies in the memory of the group `calls`.
 */
#ifndef KYMO_MODEL_CALL_SUMS_H
#define KYMO_MODEL_CALL_SUMS_H

#include "format/model/feature_group.h"
#include "format/trace/sysname.h"

#define KYMO_FAMILIES 58u /* of calls, the last is every other one */
#define KYMO_ERRORS 16u   /* kinds of errors, the last is every other one */

/* Durations in a histogram with four buckets an octave. */
#define KYMO_LATENCY_SUB_BITS 2
#define KYMO_LATENCY_OCTAVES 40 /* the last holds all from 2^40 ns, 18 minutes */
#define KYMO_LATENCY_BUCKETS (KYMO_LATENCY_OCTAVES << KYMO_LATENCY_SUB_BITS)

enum { KYMO_MOVES_NOTHING, KYMO_MOVES_IN, KYMO_MOVES_OUT, KYMO_MOVES_KINDS };

struct kymo_call_sums {
    uint64_t family[KYMO_FAMILIES], cls[KYMO_CLASS_COUNT];
    uint64_t error[KYMO_ERRORS], failed[KYMO_CLASS_COUNT];
    uint64_t bytes[KYMO_MOVES_KINDS], moves[KYMO_MOVES_KINDS]; /* and in how many calls */
    uint64_t opened, closed;                                   /* descriptors */
    uint64_t timed[KYMO_CLASS_COUNT];                          /* calls with a duration */
    uint64_t time_ns[KYMO_CLASS_COUNT]; /* each with a step at most; of all calls */
    uint32_t latency[KYMO_CLASS_COUNT][KYMO_LATENCY_BUCKETS]; /* last; stay at their greatest */
};

static inline const struct kymo_call_sums *kymo_call_sums(const struct kymo_finish *f)
{
    return kymo_group_memory(f, &kymo_group_calls);
}

const char *kymo_family_name(size_t i);
const char *kymo_error_word(size_t i);
uint64_t kymo_sum(const uint64_t *v, size_t n);

/* The bucket of a duration; the shortest have one each. */
static inline unsigned kymo_latency_bucket(uint64_t ns)
{
    if (ns < 1u << KYMO_LATENCY_SUB_BITS)
        return (unsigned)ns;
    const unsigned octave = 63u - (unsigned)__builtin_clzll(ns);
    const unsigned sub = (unsigned)(ns >> (octave - KYMO_LATENCY_SUB_BITS)) &
                         ((1u << KYMO_LATENCY_SUB_BITS) - 1);
    const unsigned b = ((octave - KYMO_LATENCY_SUB_BITS + 1) << KYMO_LATENCY_SUB_BITS) + sub;
    return b < KYMO_LATENCY_BUCKETS ? b : KYMO_LATENCY_BUCKETS - 1;
}

#endif
