/* SPDX-License-Identifier: Apache-2.0
 * sequence.c: conducts as sums, and how they are made to fit.
 */
#include "format/model/sequence.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/size.h"

/* A line of text that a gram and a symbol take, about. */
#define GRAM_TEXT_BYTES 26u
#define SYMBOL_TEXT_BYTES 180u
#define GRAMS_MAX (1u << 22)

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for sequences of calls");
}

/* -- spreads ---------------------------------------------------------------------------------- */

int kymo_spread_add(struct kymo_spread *s, uint64_t ns, uint32_t bucket, uint32_t n)
{
    uint32_t i = s->used;
    while (i > 0 && s->bucket[i - 1].at > bucket)
        i--;
    s->n += n;
    s->sum_ns = s->sum_ns < UINT64_MAX - ns ? s->sum_ns + ns : UINT64_MAX;
    if (i > 0 && s->bucket[i - 1].at == bucket) {
        uint32_t *to = &s->bucket[i - 1].n;
        *to = *to < UINT32_MAX - n ? *to + n : UINT32_MAX;
        return 1;
    }
    if (s->used == s->cap) {
        const uint32_t cap = s->cap ? s->cap * 2 : 4;
        struct kymo_spread_bucket *p = realloc(s->bucket, cap * sizeof(*p));
        if (!p)
            return 0;
        s->bucket = p;
        s->cap = cap;
    }
    memmove(s->bucket + i + 1, s->bucket + i, (s->used - i) * sizeof(*s->bucket));
    s->bucket[i] = (struct kymo_spread_bucket){bucket, n};
    s->used++;
    return 1;
}

static uint64_t times(uint64_t v, uint32_t weight)
{
    return v <= UINT64_MAX / weight ? v * weight : UINT64_MAX;
}

static void raise(uint64_t *to, uint64_t by)
{
    *to = *to < UINT64_MAX - by ? *to + by : UINT64_MAX;
}

static int add_spread(struct kymo_spread *to, const struct kymo_spread *from, uint32_t weight)
{
    int ok = 1;
    raise(&to->sum_ns, times(from->sum_ns, weight));
    for (uint32_t i = 0; i < from->used && ok; i++) {
        const uint64_t n = times(from->bucket[i].n, weight);
        ok = kymo_spread_add(to, 0, from->bucket[i].at,
                             (uint32_t)(n < UINT32_MAX ? n : UINT32_MAX));
    }
    return ok;
}

/* -- conducts --------------------------------------------------------------------------------- */

static void conduct_close(struct kymo_conduct *c)
{
    for (uint32_t i = 0; i < c->n_symbols; i++) {
        free(c->symbol[i].gap.bucket);
        free(c->symbol[i].dur.bucket);
    }
    free(c->symbol);
    free(c->symbol_slot);
    free(c->gram);
    free(c);
}

void kymo_behaviour_release(struct kymo_behaviour *b)
{
    for (size_t i = 0; i < b->n; i++)
        conduct_close(b->conduct[i]);
    free(b->conduct);
    memset(b, 0, sizeof(*b));
}

struct kymo_conduct *kymo_behaviour_of(struct kymo_behaviour *b, uint32_t role)
{
    size_t i = 0;
    while (i < b->n && b->conduct[i]->role < role)
        i++;
    if (i < b->n && b->conduct[i]->role == role)
        return b->conduct[i];
    if (b->n == KYMO_ROLES_MAX)
        return NULL;
    if (b->n == b->cap) {
        const size_t cap = b->cap ? b->cap * 2 : 4;
        struct kymo_conduct **p = realloc(b->conduct, cap * sizeof(struct kymo_conduct *));
        if (!p)
            return NULL;
        b->conduct = p;
        b->cap = cap;
    }
    struct kymo_conduct *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->role = role;
    memmove(b->conduct + i + 1, b->conduct + i, (b->n - i) * sizeof(struct kymo_conduct *));
    b->conduct[i] = c;
    b->n++;
    return c;
}

static uint32_t *symbol_at(const struct kymo_conduct *c, uint16_t id)
{
    uint32_t at = (id * 2654435761u) & (c->symbol_slots - 1);
    while (c->symbol_slot[at] && c->symbol[c->symbol_slot[at] - 1].id != id)
        at = (at + 1) & (c->symbol_slots - 1);
    return &c->symbol_slot[at];
}

static int grow_symbols(struct kymo_conduct *c)
{
    const uint32_t cap = c->cap_symbols ? c->cap_symbols * 2 : 8;
    struct kymo_symbol_sums *p = realloc(c->symbol, cap * sizeof(*p));
    if (p)
        c->symbol = p;
    uint32_t *slot = p ? calloc((size_t)cap * 2, sizeof(*slot)) : NULL;
    if (!slot)
        return 0;
    free(c->symbol_slot);
    c->symbol_slot = slot;
    c->symbol_slots = cap * 2;
    c->cap_symbols = cap;
    for (uint32_t i = 0; i < c->n_symbols; i++)
        *symbol_at(c, c->symbol[i].id) = i + 1;
    return 1;
}

struct kymo_symbol_sums *kymo_conduct_symbol(struct kymo_conduct *c, uint16_t id)
{
    if (c->symbol_slots && *symbol_at(c, id))
        return &c->symbol[*symbol_at(c, id) - 1];
    if (c->n_symbols == c->cap_symbols && !grow_symbols(c))
        return NULL;
    struct kymo_symbol_sums *s = &c->symbol[c->n_symbols];
    memset(s, 0, sizeof(*s));
    s->id = id;
    *symbol_at(c, id) = ++c->n_symbols;
    return s;
}

static struct kymo_gram *gram_at(struct kymo_gram *gram, uint32_t slots,
                                 const uint16_t s[KYMO_GRAM])
{
    uint32_t at = (uint32_t)XXH3_64bits(s, KYMO_GRAM * sizeof(*s)) & (slots - 1);
    while (gram[at].n && memcmp(gram[at].s, s, sizeof(gram[at].s)) != 0)
        at = (at + 1) & (slots - 1);
    return &gram[at];
}

static int grow_grams(struct kymo_conduct *c)
{
    const uint32_t slots = c->gram_slots ? c->gram_slots * 2 : 16;
    struct kymo_gram *gram = slots <= GRAMS_MAX ? calloc(slots, sizeof(*gram)) : NULL;
    if (!gram)
        return 0;
    for (uint32_t i = 0; i < c->gram_slots; i++)
        if (c->gram[i].n)
            *gram_at(gram, slots, c->gram[i].s) = c->gram[i];
    free(c->gram);
    c->gram = gram;
    c->gram_slots = slots;
    return 1;
}

int kymo_conduct_gram(struct kymo_conduct *c, const uint16_t s[KYMO_GRAM], uint64_t n)
{
    if (!n)
        return 1;
    if (c->n_grams >= c->gram_slots / 4 * 3 && !grow_grams(c))
        return 0;
    struct kymo_gram *g = gram_at(c->gram, c->gram_slots, s);
    if (!g->n) {
        memcpy(g->s, s, sizeof(g->s));
        c->n_grams++;
    }
    raise(&g->n, n);
    return 1;
}

/* -- sums of sums ----------------------------------------------------------------------------- */

static int add_symbol(struct kymo_conduct *to, const struct kymo_symbol_sums *from,
                      uint32_t weight)
{
    struct kymo_symbol_sums *s = kymo_conduct_symbol(to, from->id);
    if (!s)
        return 0;
    const int first = s->n == 0;
    raise(&s->n, times(from->n, weight));
    if (!add_spread(&s->gap, &from->gap, weight) || !add_spread(&s->dur, &from->dur, weight))
        return 0;
    int64_t sum;
    if (__builtin_mul_overflow(from->ret_sum, (int64_t)weight, &sum) ||
        __builtin_add_overflow(s->ret_sum, sum, &s->ret_sum))
        s->ret_sum = INT64_MAX;
    if (first || from->ret_min < s->ret_min)
        s->ret_min = from->ret_min;
    if (first || from->ret_max > s->ret_max)
        s->ret_max = from->ret_max;
    for (int i = 0; i < 6; i++)
        kymo_vote(&s->arg[i], &s->arg_votes[i], from->arg[i], from->arg_votes[i]);
    kymo_vote(&s->family, &s->family_votes, from->family, from->family_votes);
    for (unsigned i = 0; i < KYMO_RECENCY; i++) {
        raise(&s->paths[i], times(from->paths[i], weight));
        raise(&s->peers[i], times(from->peers[i], weight));
    }
    return 1;
}

static void add_ends(struct kymo_ends *to, const struct kymo_ends *from, uint32_t weight)
{
    raise(&to->n, times(from->n, weight));
    raise(&to->utime_ns, times(from->utime_ns, weight));
    raise(&to->stime_ns, times(from->stime_ns, weight));
    raise(&to->minflt, times(from->minflt, weight));
    raise(&to->majflt, times(from->majflt, weight));
    raise(&to->maxrss_bytes, times(from->maxrss_bytes, weight));
    raise(&to->failed, times(from->failed, weight));
    raise(&to->killed, times(from->killed, weight));
}

static int add_conduct(struct kymo_conduct *to, const struct kymo_conduct *from,
                       uint32_t weight)
{
    for (uint32_t i = 0; i < from->n_symbols; i++)
        if (!add_symbol(to, &from->symbol[i], weight))
            return 0;
    for (uint32_t i = 0; i < from->gram_slots; i++)
        if (!kymo_conduct_gram(to, from->gram[i].s, times(from->gram[i].n, weight)))
            return 0;
    raise(&to->alive_ns, times(from->alive_ns, weight));
    raise(&to->births, times(from->births, weight));
    raise(&to->ended, times(from->ended, weight));
    raise(&to->ended_ns, times(from->ended_ns, weight));
    raise(&to->opens_n, times(from->opens_n, weight));
    for (int on = 0; on < KYMO_ON_FDS; on++)
        raise(&to->opens[on], times(from->opens[on], weight));
    add_ends(&to->ends, &from->ends, weight);
    kymo_vote(&to->leader, &to->leader_votes, from->leader, from->leader_votes);
    return 1;
}

kymo_status kymo_behaviour_add(struct kymo_behaviour *b, const struct kymo_behaviour *more,
                               uint32_t weight, struct kymo_err *err)
{
    if (!weight)
        return KYMO_OK;
    b->seconds += more->seconds * weight;
    for (size_t i = 0; i < more->n; i++) {
        struct kymo_conduct *c = kymo_behaviour_of(b, more->conduct[i]->role);
        if (!c || !add_conduct(c, more->conduct[i], weight))
            return no_memory(err);
    }
    return KYMO_OK;
}

size_t kymo_behaviour_bytes(const struct kymo_behaviour *b)
{
    size_t bytes = sizeof(*b);
    for (size_t i = 0; i < b->n; i++) {
        const struct kymo_conduct *c = b->conduct[i];
        bytes += sizeof(*c) + c->cap_symbols * sizeof(*c->symbol) +
                 c->symbol_slots * sizeof(*c->symbol_slot) + c->gram_slots * sizeof(*c->gram);
        for (uint32_t k = 0; k < c->n_symbols; k++)
            bytes += (c->symbol[k].gap.cap + c->symbol[k].dur.cap) *
                     sizeof(struct kymo_spread_bucket);
    }
    return bytes;
}

/* -- making it fit ---------------------------------------------------------------------------- */

static size_t text_bytes(const struct kymo_behaviour *b)
{
    size_t bytes = 0;
    for (size_t i = 0; i < b->n; i++)
        bytes += b->conduct[i]->n_symbols * SYMBOL_TEXT_BYTES +
                 b->conduct[i]->n_grams * GRAM_TEXT_BYTES;
    return bytes;
}

static unsigned context_of(const struct kymo_gram *g)
{
    unsigned n = 0;
    while (n < KYMO_GRAM - 1 && g->s[KYMO_GRAM - 2 - n] != KYMO_SYMBOL_NONE)
        n++;
    return n;
}

/* The gram with a context of n symbols. */
static struct kymo_gram cut(const struct kymo_gram *g, unsigned n)
{
    struct kymo_gram short_one = *g;
    for (unsigned i = 0; i < KYMO_GRAM - 1 - n; i++)
        short_one.s[i] = KYMO_SYMBOL_NONE;
    return short_one;
}

/* Rewrite the grams: those for which keep says 0 lose the oldest symbol of their context. */
static int shorten(struct kymo_conduct *c, int (*keep)(const struct kymo_gram *, const void *),
                   const void *ctx)
{
    struct kymo_conduct fresh = {0};
    int ok = 1;
    for (uint32_t i = 0; i < c->gram_slots && ok; i++) {
        const struct kymo_gram *g = &c->gram[i];
        if (!g->n)
            continue;
        const unsigned n = context_of(g);
        const struct kymo_gram to = n && !keep(g, ctx) ? cut(g, n - 1) : *g;
        ok = kymo_conduct_gram(&fresh, to.s, g->n);
    }
    if (!ok) {
        free(fresh.gram);
        return 0;
    }
    free(c->gram);
    c->gram = fresh.gram;
    c->gram_slots = fresh.gram_slots;
    c->n_grams = fresh.n_grams;
    return 1;
}

/* Contexts of one length, with what follows them: one symbol (next), or several. */
struct follow {
    uint16_t s[KYMO_GRAM - 1], next;
    uint8_t used, several;
};
struct follows {
    struct follow *slot;
    uint32_t slots;
    unsigned length;
};

static struct follow *follow_at(const struct follows *f, const struct kymo_gram *g)
{
    const struct kymo_gram of = cut(g, f->length);
    uint32_t at = (uint32_t)XXH3_64bits(of.s, sizeof(f->slot->s)) & (f->slots - 1);
    while (f->slot[at].used && memcmp(f->slot[at].s, of.s, sizeof(f->slot->s)) != 0)
        at = (at + 1) & (f->slots - 1);
    if (!f->slot[at].used) {
        memcpy(f->slot[at].s, of.s, sizeof(f->slot->s));
        f->slot[at].next = KYMO_SYMBOL_NONE;
    }
    return &f->slot[at];
}

/* Is a context one longer of any use? Not where the shorter one has one continuation alone. */
static int is_telling(const struct kymo_gram *g, const void *ctx)
{
    const struct follows *f = ctx;
    return context_of(g) != f->length + 1 || follow_at(f, g)->several;
}

/* Lossless: no longer context that any continuation depends on is given up. */
static int drop_idle(struct kymo_conduct *c, unsigned length)
{
    struct follows f = {.slots = 64, .length = length};
    while (f.slots < c->n_grams * 2)
        f.slots *= 2;
    f.slot = calloc(f.slots, sizeof(*f.slot));
    if (!f.slot)
        return 0;
    for (uint32_t i = 0; i < c->gram_slots; i++) {
        const struct kymo_gram *g = &c->gram[i];
        if (!g->n || context_of(g) < length)
            continue;
        struct follow *at = follow_at(&f, g);
        at->several |= at->used && at->next != g->s[KYMO_GRAM - 1];
        at->next = g->s[KYMO_GRAM - 1];
        at->used = 1;
    }
    const int ok = shorten(c, is_telling, &f);
    free(f.slot);
    return ok;
}

/* How often each context was met. A context goes with all that followed it, or stays with all: were it to lose what
 * was rare, a thread in it would never do that again. */
struct totals {
    struct kymo_gram *slot; /* by context; s[KYMO_GRAM - 1] is none */
    uint32_t slots;
    uint64_t least;
};

static struct kymo_gram context_only(const struct kymo_gram *g)
{
    struct kymo_gram of = *g;
    of.s[KYMO_GRAM - 1] = KYMO_SYMBOL_NONE;
    return of;
}

static int is_frequent(const struct kymo_gram *g, const void *ctx)
{
    const struct totals *t = ctx;
    const struct kymo_gram of = context_only(g);
    return gram_at(t->slot, t->slots, of.s)->n >= t->least;
}

static int drop_rare(struct kymo_conduct *c, uint64_t least)
{
    struct totals t = {.slots = 64, .least = least};
    while (t.slots < c->n_grams * 2)
        t.slots *= 2;
    t.slot = calloc(t.slots, sizeof(*t.slot));
    if (!t.slot)
        return 0;
    for (uint32_t i = 0; i < c->gram_slots; i++) {
        if (!c->gram[i].n)
            continue;
        const struct kymo_gram of = context_only(&c->gram[i]);
        struct kymo_gram *at = gram_at(t.slot, t.slots, of.s);
        memcpy(at->s, of.s, sizeof(at->s));
        raise(&at->n, c->gram[i].n);
    }
    const int ok = shorten(c, is_frequent, &t);
    free(t.slot);
    return ok;
}

kymo_status kymo_behaviour_cut(struct kymo_behaviour *b, size_t cap_bytes, struct kymo_err *err)
{
    for (uint64_t least = 2; text_bytes(b) > cap_bytes && least < UINT64_MAX / 2; least *= 2)
        for (size_t i = 0; i < b->n; i++)
            for (unsigned n = 0; n < KYMO_GRAM - 1; n++)
                if (!drop_rare(b->conduct[i], least))
                    return no_memory(err);
    return KYMO_OK;
}

kymo_status kymo_behaviour_prune(struct kymo_behaviour *b, size_t cap_bytes,
                                 struct kymo_err *err)
{
    for (size_t i = 0; i < b->n; i++)
        for (unsigned length = KYMO_GRAM - 1; length-- > 1;)
            if (!drop_idle(b->conduct[i], length))
                return no_memory(err);
    return kymo_behaviour_cut(b, cap_bytes, err);
}
