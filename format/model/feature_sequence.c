/* SPDX-License-Identifier: Apache-2.0
 * feature_sequence.c: in which order a thread makes its calls. Pairs, triples and runs of four names
 * are hashed into buckets, as shares of all of the window. One pass over the rows fills all three.
 *
 * grams: the shares of runs of four, each by how rare its bucket was when the spec's vocabulary was
 * learned (tf-idf); without a vocabulary every bucket counts as one that each window had.
 *
 * source  Sparck Jones, A statistical interpretation of term specificity, J. Documentation 28(1), 1972
 */
#include <stdio.h>

#include "format/model/feature_places.h"

#define BUCKET_BITS KYMO_GRAM_BITS
#define BUCKETS KYMO_GRAMS

struct sequences {
    uint64_t pair[BUCKETS], triple[BUCKETS], gram[BUCKETS];
    uint64_t new_triples; /* outside of the vocabulary */
};

static unsigned bucket_of(uint64_t h)
{
    return (unsigned)(kymo_mix64(h) >> (64 - BUCKET_BITS));
}

static void add_rows(size_t at, const struct kymo_call_rows *c)
{
    for (uint32_t i = 0; i < c->b->n_rows; i++) {
        struct kymo_thread_state *t = &c->state[c->thread[c->b->task[i]]];
        struct sequences *s = (struct sequences *)(void *)(c->acc[i] + at);
        const uint32_t call = c->kind[c->b->key[i]].hash;
        const uint64_t pair = (uint64_t)t->last[0] << 32 | call;
        const uint64_t two = kymo_mix64((uint64_t)t->last[1] << 32 | t->last[0]);
        s->pair[bucket_of(pair)] += t->known >= 1;
        s->triple[bucket_of(two ^ call)] += t->known >= 2;
        s->gram[bucket_of(t->two + kymo_mix64(pair))] += t->known >= 3;
        if (t->known >= 2 && c->vocabulary)
            s->new_triples += !kymo_is_known(c->vocabulary, KYMO_KNOWN_SEQUENCES, two ^ call);
        if (t->known >= 2 && c->fit)
            kymo_vocabulary_learn(c->fit, KYMO_KNOWN_SEQUENCES, two ^ call);
        t->two = two;
        t->last[1] = t->last[0];
        t->last[0] = call;
        t->known = (uint8_t)(t->known + (t->known < 3));
    }
}

static void merge(uint8_t *into, const uint8_t *from)
{
    uint64_t *a = (uint64_t *)(void *)into;
    const uint64_t *b = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < sizeof(struct sequences) / sizeof(*a); i++)
        a[i] += b[i];
}

static void gram_column(size_t i, const char *kind, struct kymo_feature_column *out)
{
    char bucket[8];
    snprintf(bucket, sizeof(bucket), "%02u", (unsigned)i % BUCKETS);
    kymo_column_set(out, kind, bucket, "", "", KYMO_BEND_SQRT, KYMO_FROM_CALLS);
}

static uint64_t sum(const uint64_t *count)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        total += count[i];
    return total;
}

static void shares(const uint64_t *count, double *x)
{
    const uint64_t total = sum(count);
    for (unsigned i = 0; i < BUCKETS; i++)
        x[i] = total ? (double)count[i] / (double)total : 0;
}

static const struct sequences *sequences_of(const struct kymo_finish *f)
{
    return kymo_group_memory(f, &kymo_group_pairs);
}

static void pairs_column(size_t i, struct kymo_feature_column *out)
{
    gram_column(i, "pair.", out);
}

static void pairs_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES,
             "share of the pairs of a thread's calls that hash into bucket %zu", i);
}

static void pairs_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    shares(sequences_of(f)->pair, x);
}

const struct kymo_feature_group kymo_group_pairs = {
    .name = "pairs",
    .factor = 0.7,
    .n_columns = BUCKETS,
    .acc_bytes = sizeof(struct sequences),
    .column = pairs_column,
    .about = pairs_about,
    .calls = add_rows,
    .merge = merge,
    .finish = pairs_finish,
};

static void triples_column(size_t i, struct kymo_feature_column *out)
{
    gram_column(i, "triple.", out);
}

static void triples_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES,
             "share of the triples of a thread's calls that hash into bucket %zu", i);
}

static void triples_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    shares(sequences_of(f)->triple, x);
}

const struct kymo_feature_group kymo_group_triples = {
    .name = "triples",
    .factor = 0.7,
    .n_columns = BUCKETS,
    .column = triples_column,
    .about = triples_about,
    .finish = triples_finish,
};

static void grams_column(size_t i, struct kymo_feature_column *out)
{
    gram_column(i, "gram.", out);
}

static void grams_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(
        buf, KYMO_ABOUT_BYTES,
        "share of the runs of four calls of a thread in bucket %zu, times its idf (1 without "
        "--fit-on)",
        i);
}

static void grams_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    shares(sequences_of(f)->gram, x);
    for (unsigned i = 0; i < BUCKETS && f->vocabulary; i++)
        x[i] *= f->vocabulary->idf[i];
}

const struct kymo_feature_group kymo_group_grams = {
    .name = "grams",
    .factor = 0.2, /* these repeat pairs and triples */
    .n_columns = BUCKETS,
    .column = grams_column,
    .about = grams_about,
    .finish = grams_finish,
};

/* Share of the window's triples that the vocabulary does not have; 0: none, or no vocabulary. */
double kymo_new_sequences(const struct kymo_finish *f)
{
    const uint64_t total = sum(sequences_of(f)->triple);
    return total ? (double)sequences_of(f)->new_triples / (double)total : 0;
}
