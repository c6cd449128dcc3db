/* SPDX-License-Identifier: Apache-2.0
 * feature_group.h: what a group of features is to the extractor. A group is one file that defines
 * one or more of these, and a line in the registry of feature.c.
 *
 * Groups of one file share what one pass over the rows fills: one of them owns the memory and the pass,
 * the others have none of their own and finish from it (kymo_group_memory).
 */
#ifndef KYMO_MODEL_FEATURE_GROUP_H
#define KYMO_MODEL_FEATURE_GROUP_H

#include "format/model/feature.h"
#include "format/trace/batch.h"

/* A call as features see it: worked out once a chunk for each key. */
struct kymo_call_kind {
    uint16_t family; /* index into the fixed list of calls */
    uint8_t cls;     /* enum kymo_class */
    uint8_t opens;   /* descriptors that a success makes */
    uint8_t closes;  /* or gives back */
    uint8_t moves;   /* its result is bytes: 1 read, 2 written */
    uint32_t hash;   /* of its name, equal on every architecture */
};

/* A string of the chunk that stands in column path or addr. */
struct kymo_text_hash {
    uint64_t exact; /* of the path, or of the peer without its port; 0: not worked out yet */
    uint64_t shape; /* of the same with each run of digits as one: what "known" goes by */
    uint8_t is_new; /* outside of the vocabulary */
};

/* A chunk of syscall rows, each with the accumulator it belongs to. */
struct kymo_call_rows {
    const struct kymo_batch *b;
    const struct kymo_call_kind *kind; /* [n_keys] */
    uint8_t *const *acc;               /* [n_rows] */
    const uint32_t *thread;            /* [n_tasks] slot of the thread's sequence state */
    struct kymo_thread_state *state;   /* by slot */
    struct kymo_text_hash *text;       /* [b->str.n] zeroed scratch */
    const struct kymo_vocabulary *vocabulary; /* NULL: none */
    struct kymo_vocabulary_fit *fit;          /* NULL: nothing is learned */
    uint64_t pane_ns;
};

/* The last calls of a thread, for sequences; lives as long as the run. */
struct kymo_thread_state {
    uint64_t key;
    uint64_t two;     /* of the two calls before the last one */
    uint32_t last[2]; /* hashes of names, newest first */
    uint8_t known;    /* how many calls of it were seen, 3 at most */
    uint8_t used;
};

enum kymo_process_kind {
    KYMO_PROCESS_IS_FORK,
    KYMO_PROCESS_IS_EXEC,
    KYMO_PROCESS_IS_EXIT,
    KYMO_PROCESS_IS_CRED,
    KYMO_PROCESS_KINDS
};

/* A row of table process. */
struct kymo_process_row {
    enum kymo_process_kind kind;
    uint64_t exe;   /* hash of its path, 0: not known */
    int exe_is_new; /* outside of the vocabulary */
    int is_end; /* the process is gone, not a thread of it alone, and code is its wait status */
    int has_usage; /* and what it used is known */
    uint64_t code, lifetime_ns, utime_ns, stime_ns, maxrss_bytes, minflt, majflt;
};

/* What was counted of one call of a process, in one pane. */
struct kymo_count_row {
    struct kymo_call_kind kind;
    uint64_t calls, errors, bytes;
    uint64_t timed, time_ns; /* of a random share of the calls */
    uint64_t lat[KYMO_COUNT_BUCKETS];
    uint64_t pane_ns;
};

enum kymo_open_kind {
    KYMO_OPEN_FILES,
    KYMO_OPEN_SOCKETS,
    KYMO_OPEN_PIPES,
    KYMO_OPEN_OTHERS,
    KYMO_OPEN_KINDS
};

/* What a window is besides its accumulator. */
struct kymo_finish {
    const uint8_t *acc; /* of all groups */
    double seconds;
    const struct kymo_vocabulary *vocabulary; /* NULL: none */
    uint64_t open[KYMO_OPEN_KINDS];           /* descriptors at the last snapshot */
};

struct kymo_feature_group {
    const char *name;
    double factor; /* what the whole group weighs beside the others */
    size_t n_columns;
    size_t acc_bytes; /* zeroed memory an accumulator; a multiple of 8 */
    void (*column)(size_t i, struct kymo_feature_column *out);
    void (*about)(size_t i, char buf[KYMO_ABOUT_BYTES]);
    /* x [n_columns] out, finite; acc: the group's own memory */
    void (*finish)(const uint8_t *acc, const struct kymo_finish *f, double *x);
    /* The rest may be NULL. at: where the group's memory begins in an accumulator. */
    void (*calls)(size_t at, const struct kymo_call_rows *c);
    void (*counts)(uint8_t *acc, const struct kymo_count_row *row);
    void (*count_error)(uint8_t *acc, const struct kymo_call_kind *kind, uint64_t no,
                        uint64_t n);
    void (*process)(uint8_t *acc, const struct kymo_process_row *row);
    void (*task)(uint8_t *acc, uint64_t pid,
                 uint64_t tid); /* first call of a task in a chunk and pane; tid 0: counted */
    void (*merge)(uint8_t *into, const uint8_t *from);
    void (*release)(
        uint8_t *acc); /* free what the accumulator owns; the memory is zeroed after */
};

extern const struct kymo_feature_group kymo_group_calls, kymo_group_classes, kymo_group_errors,
    kymo_group_latency, kymo_group_time, kymo_group_bytes, kymo_group_pairs, kymo_group_triples,
    kymo_group_places, kymo_group_process, kymo_group_mix, kymo_group_failures,
    kymo_group_grams, kymo_group_opens, kymo_group_new;

/* The groups in the order of their columns; NULL past the last. */
const struct kymo_feature_group *kymo_feature_group_at(size_t i);
/* Where a group's memory begins in an accumulator. */
size_t kymo_group_at(const struct kymo_feature_group *g);
/* The memory of another group of the window that is being finished. */
static inline const void *kymo_group_memory(const struct kymo_finish *f,
                                            const struct kymo_feature_group *g)
{
    return f->acc + kymo_group_at(g);
}

/* Index in the fixed list of a call's name; the last index is every other call. */
uint16_t kymo_call_family(const char *name);

/* Name, unit, bend and floor of a column at once; the floors are least spreads that count. */
void kymo_column_set(struct kymo_feature_column *out, const char *prefix, const char *name,
                     const char *suffix, const char *unit, enum kymo_bend bend, uint32_t from);

#endif
