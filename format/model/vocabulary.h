/* SPDX-License-Identifier: Apache-2.0
 * vocabulary.h: what was usual when a spec was made, frozen into it: how rare each bucket of n-grams
 * was, and which files, peers, executables and sequences were known. "New" means outside of it.
 *
 * Known things are 64-bit hashes of their names, so that a model does not list the files of a host;
 * whoever guesses a name can still test whether it was among them.
 */
#ifndef KYMO_MODEL_VOCABULARY_H
#define KYMO_MODEL_VOCABULARY_H

#include "format/base/arena.h"
#include "format/base/json.h"
#include "format/model/distinct.h"

#define KYMO_GRAM_BITS 5
#define KYMO_GRAMS (1u << KYMO_GRAM_BITS) /* buckets of n-grams that have an idf */

enum kymo_known {
    KYMO_KNOWN_PATHS,
    KYMO_KNOWN_PEERS,
    KYMO_KNOWN_EXES,
    KYMO_KNOWN_SEQUENCES,
    KYMO_KNOWN_KINDS
};
const char *kymo_known_name(enum kymo_known k);
/* Most of a kind that is kept; all four in base64 are below 1.3 MiB, well within a schema's bound. */
extern const uint32_t kymo_known_max[KYMO_KNOWN_KINDS];

struct kymo_known_set {
    const uint64_t *hash; /* [n] ascending, none 0 */
    uint32_t n;
    uint64_t met;         /* different ones that were met; beyond n the rarest were left out */
    const uint64_t *slot; /* [slots] the same for look-up: open addressing, 0 free */
    uint32_t slots;       /* a power of two, at least twice n */
};

struct kymo_vocabulary {
    uint64_t windows;       /* that it was learned from, >= 1 */
    double idf[KYMO_GRAMS]; /* ln((1 + windows) / (1 + windows with the bucket)) + 1 */
    struct kymo_known_set known[KYMO_KNOWN_KINDS];
    uint64_t xxh3; /* of all of the above: equal vocabularies give equal features */
};

static inline int kymo_is_known(const struct kymo_vocabulary *v, enum kymo_known kind,
                                uint64_t hash)
{
    const struct kymo_known_set *s = &v->known[kind];
    hash += !hash;
    uint32_t at = (uint32_t)hash & (s->slots - 1);
    while (s->slot[at] && s->slot[at] != hash)
        at = (at + 1) & (s->slots - 1);
    return s->slot[at] != 0;
}

/* out owned: json_decref(). NULL when out of memory. */
json_t *kymo_vocabulary_json(const struct kymo_vocabulary *v);
/*
 * Read one; its memory is of the arena.
 *
 * errors  EINPUT: not of that form; ECORRUPT: an idf that no count gives, hashes out of order, more
 *         than are kept; ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_vocabulary_parse(struct kymo_vocabulary **out, const json_t *j,
                                                struct kymo_arena *arena, const char *name,
                                                struct kymo_err *err);

/* A vocabulary being learned; zeroed is the beginning, _release ends it. */
struct kymo_vocabulary_fit {
    struct kymo_distinct known[KYMO_KNOWN_KINDS];
    uint64_t windows, with_bucket[KYMO_GRAMS];
};
static inline void kymo_vocabulary_learn(struct kymo_vocabulary_fit *f, enum kymo_known kind,
                                         uint64_t hash)
{
    kymo_distinct_add(&f->known[kind], hash + !hash, 1);
}
/* Shares of a window's n-grams by bucket. */
void kymo_vocabulary_window(struct kymo_vocabulary_fit *f, const double share[KYMO_GRAMS]);
/* Freeze it, in the arena. errors EINPUT: it saw no window; ELIMIT */
KYMO_MUST_USE kymo_status kymo_vocabulary_freeze(struct kymo_vocabulary **out,
                                                 const struct kymo_vocabulary_fit *f,
                                                 struct kymo_arena *arena,
                                                 struct kymo_err *err);
void kymo_vocabulary_release(struct kymo_vocabulary_fit *f);

#endif
