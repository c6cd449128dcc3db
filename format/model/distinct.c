/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/distinct.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64u

static uint32_t find(const struct kymo_distinct_item *slot, uint32_t slots, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (slots - 1);
    while (slot[at].n && slot[at].hash != hash)
        at = (at + 1) & (slots - 1);
    return at;
}

static void grow(struct kymo_distinct *s)
{
    const uint32_t slots = s->slots ? s->slots * 2 : SLOTS_MIN;
    struct kymo_distinct_item *slot = calloc(slots, sizeof(*slot));
    if (!slot)
        return;
    for (uint32_t i = 0; i < s->slots; i++)
        if (s->slot[i].n)
            slot[find(slot, slots, s->slot[i].hash)] = s->slot[i];
    free(s->slot);
    s->slot = slot;
    s->slots = slots;
}

void kymo_distinct_add(struct kymo_distinct *s, uint64_t hash, uint64_t n)
{
    if (s->n >= s->slots - s->slots / 4 && s->n < KYMO_DISTINCT_MAX)
        grow(s);
    if (!s->slots || !n)
        return;
    const uint32_t at = find(s->slot, s->slots, hash);
    if (!s->slot[at].n && s->n >= s->slots - s->slots / 4)
        return;
    s->n += !s->slot[at].n;
    s->slot[at].hash = hash;
    s->slot[at].n += n;
}

void kymo_distinct_merge(struct kymo_distinct *into, const struct kymo_distinct *from)
{
    for (uint32_t i = 0; i < from->slots; i++)
        kymo_distinct_add(into, from->slot[i].hash, from->slot[i].n);
}

void kymo_distinct_release(struct kymo_distinct *s)
{
    free(s->slot);
    memset(s, 0, sizeof(*s));
}

#define FIXED_ONE 1048576.0 /* 2^20 a bit; 2^37 calls still fit */

double kymo_distinct_entropy(const struct kymo_distinct *s)
{
    uint64_t total = 0, sum = 0;
    for (uint32_t i = 0; i < s->slots; i++) {
        const double n = (double)s->slot[i].n;
        total += s->slot[i].n;
        sum += n > 1 ? (uint64_t)llround(n * log2(n) * FIXED_ONE) : 0;
    }
    if (total == 0)
        return 0;
    const double bits = log2((double)total) - (double)sum / FIXED_ONE / (double)total;
    return bits > 0 ? bits : 0;
}
