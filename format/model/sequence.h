/* SPDX-License-Identifier: Apache-2.0
 * sequence.h: in which order, at what distances and with what outcomes threads make their calls, as counts that
 * can be added up: what `kymo synth` generates from.
 *
 * Threads are taken together by role: their name, and how they came to live: the first thread of a program
 * ("main"), of a process that was forked and has not begun a program ("fork"; "fork2" where its parent had not
 * either, and so on), or another one ("thread"); with a "+" once it has made processes or threads itself. A role's conduct is a variable-order n-gram over symbols
 * (symbol.h): every call is counted once, behind as many symbols as are known, six at most. What follows a
 * shorter context is the sum of what follows the longer ones that end in it.
 *
 * A behaviour is the conduct of all roles over some time: of a window's step (in a matrix), of a state (in a
 * model), of a slice of a capture.
 *
 * What a model so holds: names of threads and calls, sizes, times, errors, and arguments that were the same
 * small number in most calls of a symbol. No path, no address, nothing that was read or written.
 */
#ifndef KYMO_MODEL_SEQUENCE_H
#define KYMO_MODEL_SEQUENCE_H

#include "format/base/bytes.h"
#include "format/base/json.h"
#include "format/model/call_sums.h"
#include "format/model/symbol.h"

#define KYMO_GRAM 7u /* six symbols of context and the next one */
/* Room for a state in a model, as text; what is rare is shortened to shorter contexts to fit. */
#define KYMO_BEHAVIOUR_BYTES ((size_t)256 << 10)
#define KYMO_STEP_BYTES ((size_t)2 << 20) /* for a step of time in a matrix */
#define KYMO_ROLES_MAX 512u
#define KYMO_SEQUENCE_VERSION 1u
/* How far back a name was used last: 0, 1, 2-3, ... 32-63 other names since; longer ago; never before. */
#define KYMO_RECENCY 9u
#define KYMO_RECENCY_LIST 64u
#define KYMO_RECENCY_OLD 7u
#define KYMO_RECENCY_NEW 8u
/* An argument that is a pointer, or any large number. */
#define KYMO_ARG_LARGE UINT64_MAX
#define KYMO_ARG_SMALL_MAX UINT32_MAX

/* Times, in the buckets of kymo_latency_bucket(), four an octave. */
struct kymo_spread {
    uint64_t n, sum_ns;
    struct kymo_spread_bucket {
        uint32_t at;
        uint32_t n;
    } * bucket; /* [used] ascending, owned */
    uint32_t used, cap;
};

enum kymo_addr_kind { /* of addresses */
                      KYMO_ADDR_NONE,
                      KYMO_ADDR_INET,
                      KYMO_ADDR_INET6,
                      KYMO_ADDR_UNIX,
                      KYMO_ADDR_OTHER,
                      KYMO_ADDR_KINDS
};

/* What is known of a symbol in a role. */
struct kymo_symbol_sums {
    uint16_t id;
    uint64_t n;
    struct kymo_spread gap; /* from the end of the thread's call before */
    struct kymo_spread dur;
    int64_t ret_sum, ret_min, ret_max; /* of results above 0 that are sizes or numbers */
    uint64_t arg[6];                   /* what most calls had: a vote, see kymo_vote() */
    uint32_t arg_votes[6];
    uint64_t family;
    uint32_t family_votes;
    uint64_t paths[KYMO_RECENCY], peers[KYMO_RECENCY];
};

struct kymo_gram {
    uint16_t s[KYMO_GRAM]; /* the next one last; KYMO_SYMBOL_NONE before the context begins */
    uint64_t n;
};

/* What processes had used when they ended. */
struct kymo_ends {
    uint64_t n, utime_ns, stime_ns, minflt, majflt, maxrss_bytes, failed, killed;
};

struct kymo_conduct {
    uint32_t role;                   /* word of the symbols: "redis-server/main" */
    struct kymo_symbol_sums *symbol; /* [n_symbols] owned */
    uint32_t n_symbols, cap_symbols;
    uint32_t *symbol_slot; /* owned: index + 1 */
    uint32_t symbol_slots;
    struct kymo_gram *gram; /* [gram_slots] owned, open addressing; n 0: free */
    uint32_t n_grams, gram_slots;
    uint64_t alive_ns; /* of all its threads */
    uint64_t births;   /* threads that began as it */
    uint64_t ended,
        ended_ns; /* threads that ended, or went on as something else, and their lives */
    struct kymo_ends ends;
    uint64_t leader; /* of a role of threads: the word of its process's name, by vote */
    uint32_t leader_votes;
    uint64_t opens_n, opens[KYMO_ON_FDS]; /* descriptors at so many looks */
};

struct kymo_behaviour {
    double seconds;
    struct kymo_conduct **conduct; /* [n] owned, by word of the role */
    size_t n, cap;
};

void kymo_behaviour_release(struct kymo_behaviour *b);
/* The conduct of a role, made where there is none; NULL: no memory, or too many roles. */
struct kymo_conduct *kymo_behaviour_of(struct kymo_behaviour *b, uint32_t role);
/* Add weight times the other. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_behaviour_add(struct kymo_behaviour *b,
                                             const struct kymo_behaviour *more, uint32_t weight,
                                             struct kymo_err *err);
/* Bytes that it holds. */
size_t kymo_behaviour_bytes(const struct kymo_behaviour *b);
/* Shorten the rarest contexts until its text takes at most cap_bytes. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_behaviour_cut(struct kymo_behaviour *b, size_t cap_bytes,
                                             struct kymo_err *err);
/*
 * The same, and before it all contexts that tell nothing more than a shorter one: not of what is to be added up, where
 * others may know what follows that one too. errors ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_behaviour_prune(struct kymo_behaviour *b, size_t cap_bytes,
                                               struct kymo_err *err);

/* 0: no memory. */
int kymo_conduct_gram(struct kymo_conduct *c, const uint16_t s[KYMO_GRAM], uint64_t n);
/* NULL: no memory. */
struct kymo_symbol_sums *kymo_conduct_symbol(struct kymo_conduct *c, uint16_t id);
int kymo_spread_add(struct kymo_spread *s, uint64_t ns, uint32_t bucket, uint32_t n);
/* Boyer-Moore: the value of more than half of the votes, where there is one. */
static inline void kymo_vote(uint64_t *value, uint32_t *votes, uint64_t v, uint32_t n)
{
    if (*value == v)
        *votes = *votes < UINT32_MAX - n ? *votes + n : UINT32_MAX;
    else if (*votes >= n)
        *votes -= n;
    else {
        *value = v;
        *votes = n - *votes;
    }
}
static inline uint32_t kymo_recency_bucket(uint32_t others)
{
    return others < 2 ? others : 32 - (uint32_t)__builtin_clz(others);
}

/* -- as text: a line a fact, see sequence_text.c ---------------------------------------------- */

/* failed of the buffer: no memory. */
void kymo_conduct_text(const struct kymo_conduct *c, const struct kymo_symbols *s,
                       struct kymo_buf *out);
/*
 * Add what a text says to a conduct. It is NUL-terminated at text[n].
 *
 * errors  ECORRUPT: what no recording gives; ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_conduct_parse(struct kymo_conduct *c, struct kymo_symbols *s,
                                             const char *text, size_t n, struct kymo_err *err);

/* A model's section: [n] behaviours, one a state. NULL: no memory. */
json_t *kymo_sequence_json(const struct kymo_behaviour *state, size_t n,
                           const struct kymo_symbols *s);
/* The behaviour of a state. errors EINPUT: another version, or nothing of that state; ECORRUPT; ELIMIT */
KYMO_MUST_USE kymo_status kymo_sequence_parse(struct kymo_behaviour *out,
                                              struct kymo_symbols *s, const json_t *section,
                                              size_t state, const char *name,
                                              struct kymo_err *err);

#endif
