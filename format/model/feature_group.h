/* SPDX-License-Identifier: Apache-2.0
 * feature_group.h: what a group of features is to the extractor. A group is one file that defines
 * one or more of these, and a line in the registry of feature.c.
 */
#ifndef KYMO_MODEL_FEATURE_GROUP_H
#define KYMO_MODEL_FEATURE_GROUP_H

#include "format/model/feature.h"
#include "format/trace/batch.h"

/* A call as features see it: worked out once a chunk for each key. */
struct kymo_call_kind {
    uint16_t family; /* index into the fixed list of calls */
    uint8_t cls;     /* enum kymo_class */
    uint32_t hash;   /* of its name, equal on every architecture */
};

/* A chunk of syscall rows, each with the accumulator it belongs to. */
struct kymo_call_rows {
    const struct kymo_batch *b;
    const struct kymo_call_kind *kind; /* [n_keys] */
    uint8_t *const *acc;               /* [n_rows] */
    const uint32_t *thread;            /* [n_tasks] slot of the thread's sequence state */
    struct kymo_thread_state *state;   /* by slot */
    uint64_t pane_ns;
};

/* The last calls of a thread, for sequences; lives as long as the run. */
struct kymo_thread_state {
    uint64_t key;
    uint32_t
        pair_last; /* hashes of names; each group keeps its own, as each walks the rows itself */
    uint32_t triple_last[2];          /* newest first */
    uint8_t pair_known, triple_known; /* how many of them there are */
    uint8_t used;
};

enum kymo_process_kind { KYMO_PROCESS_IS_FORK, KYMO_PROCESS_IS_EXEC, KYMO_PROCESS_IS_EXIT };

struct kymo_feature_group {
    const char *name;
    double factor; /* what the whole group weighs beside the others */
    size_t n_columns;
    size_t acc_bytes; /* zeroed memory an accumulator; a multiple of 8 */
    void (*column)(size_t i, struct kymo_feature_column *out);
    /* The rest may be NULL. at: where the group's memory begins in an accumulator. */
    void (*calls)(size_t at, const struct kymo_call_rows *c);
    void (*process)(uint8_t *acc, enum kymo_process_kind kind);
    void (*task)(uint8_t *acc, uint64_t pid,
                 uint64_t tid); /* first call of a task in a chunk and pane */
    void (*merge)(uint8_t *into, const uint8_t *from);
    void (*finish)(const uint8_t *acc, double seconds, double *x);
    void (*release)(
        uint8_t *acc); /* free what the accumulator owns; the memory is zeroed after */
};

extern const struct kymo_feature_group kymo_group_calls, kymo_group_classes, kymo_group_errors,
    kymo_group_latency, kymo_group_time, kymo_group_bytes, kymo_group_pairs, kymo_group_triples,
    kymo_group_places, kymo_group_process;

/* The groups in the order of their columns; NULL past the last. */
const struct kymo_feature_group *kymo_feature_group_at(size_t i);

/* Index in the fixed list of a call's name; the last index is every other call. */
uint16_t kymo_call_family(const char *name);

/* A set of hashes, to count distinct things; zeroed is empty. */
#define KYMO_DISTINCT_MAX (1u << 20)
struct kymo_distinct {
    uint64_t *slot; /* 0: free */
    uint32_t n, slots;
};
/* Past KYMO_DISTINCT_MAX, or without memory, new ones are no longer counted. */
void kymo_distinct_add(struct kymo_distinct *s, uint64_t hash);
void kymo_distinct_merge(struct kymo_distinct *into, const struct kymo_distinct *from);
void kymo_distinct_release(struct kymo_distinct *s);

static inline uint64_t kymo_mix64(uint64_t v)
{
    v ^= v >> 32;
    v *= 0x9E3779B97F4A7C15ull;
    v ^= v >> 29;
    v *= 0xBF58476D1CE4E5B9ull;
    return v ^ v >> 32;
}

#endif
