/* SPDX-License-Identifier: Apache-2.0
 * feature_place.c: where the calls went: how many different paths and peers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/model/feature_group.h"

#define FLOOR_LOG 0.5

struct places {
    struct kymo_distinct path, peer;
};

static void grow(struct kymo_distinct *s)
{
    const uint32_t slots = s->slots ? s->slots * 2 : 64;
    uint64_t *slot = calloc(slots, sizeof(*slot));
    if (!slot)
        return;
    for (uint32_t i = 0; i < s->slots; i++) {
        if (!s->slot[i])
            continue;
        uint32_t at = (uint32_t)s->slot[i] & (slots - 1);
        while (slot[at])
            at = (at + 1) & (slots - 1);
        slot[at] = s->slot[i];
    }
    free(s->slot);
    s->slot = slot;
    s->slots = slots;
}

void kymo_distinct_add(struct kymo_distinct *s, uint64_t hash)
{
    hash += !hash;
    if (s->n >= s->slots - s->slots / 4 && s->n < KYMO_DISTINCT_MAX)
        grow(s);
    if (!s->slots)
        return;
    uint32_t at = (uint32_t)hash & (s->slots - 1);
    while (s->slot[at]) {
        if (s->slot[at] == hash)
            return;
        at = (at + 1) & (s->slots - 1);
    }
    if (s->n >= s->slots - s->slots / 4)
        return;
    s->slot[at] = hash;
    s->n++;
}

void kymo_distinct_merge(struct kymo_distinct *into, const struct kymo_distinct *from)
{
    for (uint32_t i = 0; i < from->slots; i++)
        if (from->slot[i])
            kymo_distinct_add(into, from->slot[i]);
}

void kymo_distinct_release(struct kymo_distinct *s)
{
    free(s->slot);
    memset(s, 0, sizeof(*s));
}

static void places_column(size_t i, struct kymo_feature_column *out)
{
    static const char *const name[] = {"distinct.paths", "distinct.peers"};
    snprintf(out->name, sizeof(out->name), "%s", name[i]);
    out->bend = KYMO_BEND_LOG1P;
    out->floor = FLOOR_LOG;
}

static uint64_t string_hash(const struct kymo_batch *b, uint64_t id)
{
    if (id == 0 || id >= b->str.n)
        return 0;
    return XXH3_64bits(b->str.bytes + b->str.at[id], b->str.at[id + 1] - b->str.at[id]);
}

/* The port of a client is new with every connection: a peer is its address without it. */
static uint64_t peer_hash(const struct kymo_batch *b, uint64_t id)
{
    if (id == 0 || id >= b->str.n)
        return 0;
    const char *s = b->str.bytes + b->str.at[id];
    size_t n = b->str.at[id + 1] - b->str.at[id];
    if (n > 4 && memcmp(s, "inet", 4) == 0)
        for (size_t i = n; i-- > 0;)
            if (s[i] == ':') {
                n = i;
                break;
            }
    return XXH3_64bits(s, n);
}

static void places_rows(size_t at, const struct kymo_call_rows *c)
{
    const uint64_t *path = c->b->lane[KYMO_SYSCALL_PATH];
    const uint64_t *addr = c->b->lane[KYMO_SYSCALL_ADDR];
    const uint8_t *path_there = path ? c->b->present[KYMO_SYSCALL_PATH] : NULL;
    const uint8_t *addr_there = addr ? c->b->present[KYMO_SYSCALL_ADDR] : NULL;
    for (uint32_t i = 0; path && i < c->b->n_rows; i++) {
        if (!path[i] || (path_there && !path_there[i]))
            continue;
        struct places *p = (struct places *)(void *)(c->acc[i] + at);
        kymo_distinct_add(&p->path, string_hash(c->b, path[i]));
    }
    for (uint32_t i = 0; addr && i < c->b->n_rows; i++) {
        if (!addr[i] || (addr_there && !addr_there[i]))
            continue;
        struct places *p = (struct places *)(void *)(c->acc[i] + at);
        kymo_distinct_add(&p->peer, peer_hash(c->b, addr[i]));
    }
}

static void places_merge(uint8_t *into, const uint8_t *from)
{
    struct places *a = (struct places *)(void *)into;
    const struct places *b = (const struct places *)(const void *)from;
    kymo_distinct_merge(&a->path, &b->path);
    kymo_distinct_merge(&a->peer, &b->peer);
}

static void places_finish(const uint8_t *acc, double seconds, double *x)
{
    (void)seconds;
    const struct places *p = (const struct places *)(const void *)acc;
    x[0] = p->path.n;
    x[1] = p->peer.n;
}

static void places_release(uint8_t *acc)
{
    struct places *p = (struct places *)(void *)acc;
    kymo_distinct_release(&p->path);
    kymo_distinct_release(&p->peer);
}

const struct kymo_feature_group kymo_group_places = {
    .name = "places",
    .factor = 0.5,
    .n_columns = 2,
    .acc_bytes = sizeof(struct places),
    .column = places_column,
    .calls = places_rows,
    .merge = places_merge,
    .finish = places_finish,
    .release = places_release,
};
