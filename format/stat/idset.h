/* SPDX-License-Identifier: Apache-2.0
 * idset.h: numbers 0, 1, 2 ... for what is met, in the order of meeting: tuples of 32-bit words,
 * and texts. Both have a cap, since what they hold is of a file's making.
 */
#ifndef KYMO_STAT_IDSET_H
#define KYMO_STAT_IDSET_H

#include "format/base/arena.h"
#include "format/base/err.h"

#define KYMO_IDSET_WORDS_MAX 32u

struct kymo_idset {
    uint32_t words; /* a tuple's */
    uint32_t n, cap, n_slots;
    uint32_t *tuple; /* [cap * words] owned */
    uint32_t *slot;  /* id + 1, or 0 */
};

static inline const uint32_t *kymo_idset_tuple(const struct kymo_idset *s, uint32_t id)
{
    return s->tuple + (size_t)id * s->words;
}
void kymo_idset_init(struct kymo_idset *s, uint32_t words);
void kymo_idset_release(struct kymo_idset *s);
/* errors ELIMIT: more than max of them, or no memory */
KYMO_MUST_USE kymo_status kymo_idset_put(struct kymo_idset *s, const uint32_t *tuple,
                                         uint32_t max, uint32_t *id, struct kymo_err *err);

struct kymo_text {
    const char *p; /* arena, with a NUL behind it */
    uint32_t n;
};

struct kymo_texts {
    struct kymo_arena arena;
    uint32_t n, cap, n_slots;
    struct kymo_text *text; /* [cap] owned */
    uint32_t *slot;
};

void kymo_texts_init(struct kymo_texts *t, size_t cap_bytes);
void kymo_texts_release(struct kymo_texts *t);
/* errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_texts_put(struct kymo_texts *t, const char *s, uint32_t n,
                                         uint32_t *id, struct kymo_err *err);

#endif
