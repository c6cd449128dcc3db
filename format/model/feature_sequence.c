/* SPDX-License-Identifier: Apache-2.0
 * feature_sequence.c: in which order a thread makes its calls: pairs and triples of names, hashed
 * into buckets, as shares of all pairs and triples of the window.
 */
#include <stdio.h>

#include "format/model/feature_group.h"

#define BUCKET_BITS 5
#define BUCKETS (1u << BUCKET_BITS)
#define FLOOR_SHARE 0.05 /* of the square root of a share */

static void gram_column(size_t i, const char *kind, struct kymo_feature_column *out)
{
    snprintf(out->name, sizeof(out->name), "%s.%02u", kind, (unsigned)i);
    out->bend = KYMO_BEND_SQRT;
    out->floor = FLOOR_SHARE;
}

static void pairs_column(size_t i, struct kymo_feature_column *out)
{
    gram_column(i, "pair", out);
}

static void triples_column(size_t i, struct kymo_feature_column *out)
{
    gram_column(i, "triple", out);
}

static unsigned bucket_of(uint64_t h)
{
    return (unsigned)(kymo_mix64(h) >> (64 - BUCKET_BITS));
}

static void pairs_rows(size_t at, const struct kymo_call_rows *c)
{
    for (uint32_t i = 0; i < c->b->n_rows; i++) {
        struct kymo_thread_state *t = &c->state[c->thread[c->b->task[i]]];
        const uint32_t call = c->kind[c->b->key[i]].hash;
        if (t->pair_known)
            ((uint64_t *)(void *)(c->acc[i] +
                                  at))[bucket_of((uint64_t)t->pair_last << 32 | call)]++;
        t->pair_last = call;
        t->pair_known = 1;
    }
}

static void triples_rows(size_t at, const struct kymo_call_rows *c)
{
    for (uint32_t i = 0; i < c->b->n_rows; i++) {
        struct kymo_thread_state *t = &c->state[c->thread[c->b->task[i]]];
        const uint32_t call = c->kind[c->b->key[i]].hash;
        if (t->triple_known == 2) {
            const uint64_t two =
                kymo_mix64((uint64_t)t->triple_last[1] << 32 | t->triple_last[0]);
            ((uint64_t *)(void *)(c->acc[i] + at))[bucket_of(two ^ call)]++;
        }
        t->triple_last[1] = t->triple_last[0];
        t->triple_last[0] = call;
        if (t->triple_known < 2)
            t->triple_known++;
    }
}

static void gram_merge(uint8_t *into, const uint8_t *from)
{
    uint64_t *a = (uint64_t *)(void *)into;
    const uint64_t *b = (const uint64_t *)(const void *)from;
    for (unsigned i = 0; i < BUCKETS; i++)
        a[i] += b[i];
}

static void gram_finish(const uint8_t *acc, double seconds, double *x)
{
    (void)seconds;
    const uint64_t *count = (const uint64_t *)(const void *)acc;
    uint64_t total = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        total += count[i];
    for (unsigned i = 0; i < BUCKETS; i++)
        x[i] = total ? (double)count[i] / (double)total : 0;
}

const struct kymo_feature_group kymo_group_pairs = {
    .name = "pairs",
    .factor = 0.7,
    .n_columns = BUCKETS,
    .acc_bytes = BUCKETS * sizeof(uint64_t),
    .column = pairs_column,
    .calls = pairs_rows,
    .merge = gram_merge,
    .finish = gram_finish,
};

const struct kymo_feature_group kymo_group_triples = {
    .name = "triples",
    .factor = 0.7,
    .n_columns = BUCKETS,
    .acc_bytes = BUCKETS * sizeof(uint64_t),
    .column = triples_column,
    .calls = triples_rows,
    .merge = gram_merge,
    .finish = gram_finish,
};
