/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/idset.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS_MIN 64u
#define IDS_MAX (1u << 30)

void kymo_idset_init(struct kymo_idset *s, uint32_t words)
{
    memset(s, 0, sizeof(*s));
    s->words = words;
}

void kymo_idset_release(struct kymo_idset *s)
{
    free(s->tuple);
    free(s->slot);
    kymo_idset_init(s, s->words);
}

/* Twice the room once it is two thirds full; 0 when out of memory. */
static int grow_slots(uint32_t **slot, uint32_t *n_slots, uint32_t n)
{
    if (n < *n_slots / 3 * 2)
        return 1;
    const uint32_t more = *n_slots ? *n_slots * 2 : SLOTS_MIN;
    uint32_t *p = calloc(more, sizeof(*p));
    if (!p)
        return 0;
    free(*slot);
    *slot = p;
    *n_slots = more;
    return 2;
}

static int grow_items(void **item, uint32_t *cap, uint32_t n, size_t bytes)
{
    if (n < *cap)
        return 1;
    const uint32_t more = *cap ? *cap * 2 : SLOTS_MIN / 2;
    void *p = realloc(*item, more * bytes);
    if (!p)
        return 0;
    *item = p;
    *cap = more;
    return 1;
}

static uint32_t hash_tuple(const struct kymo_idset *s, const uint32_t *tuple)
{
    return (uint32_t)XXH3_64bits(tuple, s->words * sizeof(*tuple));
}

static uint32_t free_slot(const uint32_t *slot, uint32_t n_slots, uint32_t hash)
{
    uint32_t i = hash & (n_slots - 1);
    while (slot[i])
        i = (i + 1) & (n_slots - 1);
    return i;
}

static int make_room(struct kymo_idset *s)
{
    void *tuple = s->tuple;
    const int items = grow_items(&tuple, &s->cap, s->n, s->words * sizeof(*s->tuple));
    s->tuple = tuple;
    const int slots = items ? grow_slots(&s->slot, &s->n_slots, s->n) : 0;
    if (slots == 2)
        for (uint32_t id = 0; id < s->n; id++)
            s->slot[free_slot(s->slot, s->n_slots, hash_tuple(s, kymo_idset_tuple(s, id)))] =
                id + 1;
    return slots;
}

kymo_status kymo_idset_put(struct kymo_idset *s, const uint32_t *tuple, uint32_t max,
                           uint32_t *id, struct kymo_err *err)
{
    const uint32_t hash = hash_tuple(s, tuple);
    if (s->n_slots) {
        uint32_t i = hash & (s->n_slots - 1);
        for (; s->slot[i]; i = (i + 1) & (s->n_slots - 1))
            if (!memcmp(kymo_idset_tuple(s, s->slot[i] - 1), tuple,
                        s->words * sizeof(*tuple))) {
                *id = s->slot[i] - 1;
                return KYMO_OK;
            }
    }
    if (s->n >= max || s->n >= IDS_MAX)
        return KYMO_FAIL(
            err, KYMO_ELIMIT, KYMO_NOWHERE,
            "more than %u groups: ask for fewer fields, longer windows or a filter", s->n);
    if (!make_room(s))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u groups", s->n);
    memcpy(s->tuple + (size_t)s->n * s->words, tuple, s->words * sizeof(*tuple));
    *id = s->n++;
    s->slot[free_slot(s->slot, s->n_slots, hash)] = s->n;
    return KYMO_OK;
}

void kymo_texts_init(struct kymo_texts *t, size_t cap_bytes)
{
    memset(t, 0, sizeof(*t));
    kymo_arena_init(&t->arena, cap_bytes);
}

void kymo_texts_release(struct kymo_texts *t)
{
    kymo_arena_release(&t->arena);
    free(t->text);
    free(t->slot);
    memset(t, 0, sizeof(*t));
}

static int make_text_room(struct kymo_texts *t)
{
    void *text = t->text;
    const int items = grow_items(&text, &t->cap, t->n, sizeof(*t->text));
    t->text = text;
    const int slots = items ? grow_slots(&t->slot, &t->n_slots, t->n) : 0;
    if (slots == 2)
        for (uint32_t id = 0; id < t->n; id++)
            t->slot[free_slot(t->slot, t->n_slots,
                              (uint32_t)XXH3_64bits(t->text[id].p, t->text[id].n))] = id + 1;
    return slots;
}

kymo_status kymo_texts_put(struct kymo_texts *t, const char *s, uint32_t n, uint32_t *id,
                           struct kymo_err *err)
{
    const uint32_t hash = (uint32_t)XXH3_64bits(s, n);
    if (t->n_slots) {
        uint32_t i = hash & (t->n_slots - 1);
        for (; t->slot[i]; i = (i + 1) & (t->n_slots - 1)) {
            const struct kymo_text *have = &t->text[t->slot[i] - 1];
            if (have->n == n && !memcmp(have->p, s, n)) {
                *id = t->slot[i] - 1;
                return KYMO_OK;
            }
        }
    }
    const char *copy =
        t->n < IDS_MAX && make_text_room(t) ? kymo_arena_str(&t->arena, s, n) : NULL;
    if (!copy)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "%u names pass the memory budget: ask for fewer fields or a filter",
                         t->n);
    t->text[t->n] = (struct kymo_text){copy, n};
    *id = t->n++;
    t->slot[free_slot(t->slot, t->n_slots, hash)] = t->n;
    return KYMO_OK;
}
