/* SPDX-License-Identifier: Apache-2.0
 * feature_place.c: where the calls went: how many different paths and peers, how evenly, and which of
 * them the spec's vocabulary does not have.
 */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "format/model/feature_places.h"

const struct kymo_places *kymo_places(const struct kymo_finish *f)
{
    return kymo_group_memory(f, &kymo_group_places);
}

/* -- names to hashes -------------------------------------------------------------------------- */

#define SHAPE_BYTES_MAX 512u

/* Numbers in names (pids, ports, dates, versions) are new every time: what is known of a name is its
 * text with each run of digits as one. */
static uint64_t shape_hash(const char *s, size_t n)
{
    char text[SHAPE_BYTES_MAX];
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < sizeof(text); i++) {
        const int digit = s[i] >= '0' && s[i] <= '9';
        if (digit && kept && text[kept - 1] == '0')
            continue;
        text[kept++] = s[i];
        if (digit)
            text[kept - 1] = '0';
    }
    return XXH3_64bits(text, kept);
}

/* The port of a client is new with every connection: a peer is its address without it. */
static size_t without_port(const char *s, size_t n)
{
    if (n > 4 && memcmp(s, "inet", 4) == 0)
        for (size_t i = n; i-- > 0;)
            if (s[i] == ':')
                return i;
    return n;
}

static struct kymo_text_hash *hash_of(const struct kymo_call_rows *c, uint64_t id,
                                      enum kymo_known kind)
{
    struct kymo_text_hash *h = &c->text[id];
    if (h->exact)
        return h;
    const char *s = c->b->str.bytes + c->b->str.at[id];
    size_t n = c->b->str.at[id + 1] - c->b->str.at[id];
    if (kind == KYMO_KNOWN_PEERS)
        n = without_port(s, n);
    h->exact = XXH3_64bits(s, n);
    h->exact += !h->exact;
    if (!c->vocabulary && !c->fit)
        return h;
    /* an address is no number that comes and goes */
    h->shape = kind == KYMO_KNOWN_PEERS ? h->exact : shape_hash(s, n);
    h->is_new = c->vocabulary && !kymo_is_known(c->vocabulary, kind, h->shape);
    return h;
}

/* -- the pass --------------------------------------------------------------------------------- */

static void add_column(size_t at, const struct kymo_call_rows *c, uint32_t column,
                       enum kymo_known kind)
{
    const uint64_t *id = c->b->lane[column];
    const uint8_t *there = id ? c->b->present[column] : NULL;
    for (uint32_t i = 0; id && i < c->b->n_rows; i++) {
        if ((there && !there[i]) || !id[i] || id[i] >= c->b->str.n)
            continue;
        const struct kymo_text_hash *h = hash_of(c, id[i], kind);
        struct kymo_place_sums *p = &((struct kymo_places *)(void *)(c->acc[i] + at))->of[kind];
        kymo_distinct_add(&p->met, h->exact, 1);
        p->calls++;
        if (h->is_new) {
            kymo_distinct_add(&p->new_met, h->exact, 1);
            p->new_calls++;
        }
        if (c->fit)
            kymo_vocabulary_learn(c->fit, kind, h->shape);
    }
}

/* A string may be a path in one row and an address in another: its hash is of what it was first. Both
 * are of one chunk alone, and no tool writes an address that looks like a path. */
static void add_rows(size_t at, const struct kymo_call_rows *c)
{
    add_column(at, c, KYMO_SYSCALL_PATH, KYMO_KNOWN_PATHS);
    add_column(at, c, KYMO_SYSCALL_ADDR, KYMO_KNOWN_PEERS);
}

static void merge(uint8_t *into, const uint8_t *from)
{
    struct kymo_places *a = (struct kymo_places *)(void *)into;
    const struct kymo_places *b = (const struct kymo_places *)(const void *)from;
    for (int k = 0; k < KYMO_PLACE_KINDS; k++) {
        kymo_distinct_merge(&a->of[k].met, &b->of[k].met);
        kymo_distinct_merge(&a->of[k].new_met, &b->of[k].new_met);
        a->of[k].calls += b->of[k].calls;
        a->of[k].new_calls += b->of[k].new_calls;
    }
}

static void release(uint8_t *acc)
{
    struct kymo_places *p = (struct kymo_places *)(void *)acc;
    for (int k = 0; k < KYMO_PLACE_KINDS; k++) {
        kymo_distinct_release(&p->of[k].met);
        kymo_distinct_release(&p->of[k].new_met);
    }
}

/* -- columns ---------------------------------------------------------------------------------- */

enum { COL_DISTINCT = 0, COL_ENTROPY = 2, COL_CALLS = 4, COL_COUNT = 6 };

static void places_column(size_t i, struct kymo_feature_column *out)
{
    static const char *const name[COL_COUNT] = {"distinct.paths", "distinct.peers",
                                                "entropy.paths",  "entropy.peers",
                                                "place.paths",    "place.peers"};
    static const char *const unit[COL_COUNT] = {"", "", "bits", "bits", "1/s", "1/s"};
    kymo_column_set(out, "", name[i], "", unit[i],
                    i / 2 == COL_ENTROPY / 2 ? KYMO_BEND_STANDARD : KYMO_BEND_LOG1P,
                    KYMO_FROM_CALLS);
}

static void places_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    static const char *const of[] = {"paths", "peers (addresses without their port)"};
    static const char *const one[] = {"path", "peer"};
    static const char *const a[] = {"a path", "a peer"};
    const char *const word = i < COL_ENTROPY ? of[i % 2]
                             : i < COL_CALLS ? one[i % 2]
                                             : a[i % 2];
    if (i < COL_ENTROPY)
        snprintf(buf, KYMO_ABOUT_BYTES, "different %s that calls named", word);
    else if (i < COL_CALLS)
        snprintf(buf, KYMO_ABOUT_BYTES, "entropy of which %s the calls named; 0: one or none",
                 word);
    else
        snprintf(buf, KYMO_ABOUT_BYTES, "calls that named %s", word);
}

static void places_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    const struct kymo_places *p = (const struct kymo_places *)(const void *)acc;
    for (int k = 0; k < KYMO_PLACE_KINDS; k++) {
        x[COL_DISTINCT + k] = p->of[k].met.n;
        x[COL_ENTROPY + k] = kymo_distinct_entropy(&p->of[k].met);
        x[COL_CALLS + k] = (double)p->of[k].calls / f->seconds;
    }
}

const struct kymo_feature_group kymo_group_places = {
    .name = "places",
    .factor = 0.5,
    .n_columns = COL_COUNT,
    .acc_bytes = sizeof(struct kymo_places),
    .column = places_column,
    .about = places_about,
    .calls = add_rows,
    .merge = merge,
    .finish = places_finish,
    .release = release,
};
