/* SPDX-License-Identifier: Apache-2.0
 * mix.c: two histograms over one set of keys, and two sorted samples.
 */
#include "replay/proof/mix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/proof/proof.h"

/* Keys with a count on either side: open addressing, at most half full, grows with what is different. */
struct cell {
    uint64_t key; /* of side + 1, 0: free */
    uint64_t n[2];
};
struct table {
    struct cell *cell; /* owned */
    size_t slots, used;
    uint64_t total[2];
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for the mix of calls");
}

static size_t slot_of(const struct table *t, uint64_t key)
{
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (t->slots - 1);
    while (t->cell[at].key && t->cell[at].key != key)
        at = (at + 1) & (t->slots - 1);
    return at;
}

static kymo_status grow(struct table *t, struct kymo_err *err)
{
    struct table wider = {.slots = t->slots ? 2 * t->slots : 1024};
    wider.cell = calloc(wider.slots, sizeof(*wider.cell));
    if (!wider.cell)
        return no_memory(err);
    for (size_t i = 0; i < t->slots; i++)
        if (t->cell[i].key)
            wider.cell[slot_of(&wider, t->cell[i].key)] = t->cell[i];
    free(t->cell);
    t->cell = wider.cell;
    t->slots = wider.slots;
    return KYMO_OK;
}

static kymo_status count(struct table *t, uint64_t key, int side, struct kymo_err *err)
{
    if (2 * t->used >= t->slots)
        KYMO_TRY(grow(t, err));
    struct cell *c = &t->cell[slot_of(t, key + 1)];
    t->used += !c->key;
    c->key = key + 1;
    c->n[side]++;
    t->total[side]++;
    return KYMO_OK;
}

static double divergence(const struct table *t)
{
    double sum = 0;
    if (!t->total[0] || !t->total[1])
        return t->total[0] || t->total[1] ? 1 : 0;
    for (size_t i = 0; i < t->slots; i++) {
        const double p = (double)t->cell[i].n[0] / (double)t->total[0];
        const double q = (double)t->cell[i].n[1] / (double)t->total[1];
        const double m = (p + q) / 2;
        sum += p > 0 ? p / 2 * log2(p / m) : 0;
        sum += q > 0 ? q / 2 * log2(q / m) : 0;
    }
    return sum < 0 ? 0 : sum > 1 ? 1 : sum; /* by rounding */
}

static kymo_status count_calls(struct table *t, const struct kymo_strands *l, int side,
                               struct kymo_err *err)
{
    for (size_t i = 0; i < l->n; i++)
        for (uint32_t k = 0; k < l->strand[i].n; k++) {
            const struct kymo_trace_call *c = &l->t->call[l->strand[i].call[k]];
            KYMO_TRY(
                count(t, (uint64_t)l->word[c->name] << 16 | kymo_result_class(c), side, err));
        }
    return KYMO_OK;
}

static kymo_status count_grams(struct table *t, const struct kymo_strands *l, int side,
                               struct kymo_err *err)
{
    for (size_t i = 0; i < l->n; i++) {
        uint64_t gram = 0;
        for (uint32_t k = 0; k < l->strand[i].n; k++) {
            gram =
                (gram << 16 | l->word[l->t->call[l->strand[i].call[k]].name]) & 0xffffffffffffu;
            if (k >= 2)
                KYMO_TRY(count(t, gram, side, err));
        }
    }
    return KYMO_OK;
}

typedef kymo_status (*count_fn)(struct table *, const struct kymo_strands *, int,
                                struct kymo_err *);

static kymo_status compare(double *out, const struct kymo_strands *a,
                           const struct kymo_strands *b, count_fn fn, struct kymo_err *err)
{
    struct table t = {0};
    kymo_status s = fn(&t, a, 0, err);
    if (!s)
        s = fn(&t, b, 1, err);
    if (!s)
        *out = divergence(&t);
    free(t.cell);
    return s;
}

kymo_status kymo_mix_calls(double *out, const struct kymo_strands *a,
                           const struct kymo_strands *b, struct kymo_err *err)
{
    return compare(out, a, b, count_calls, err);
}

kymo_status kymo_mix_grams(double *out, const struct kymo_strands *a,
                           const struct kymo_strands *b, struct kymo_err *err)
{
    return compare(out, a, b, count_grams, err);
}

/* -------- gaps -------- */

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorted, owned by the caller; NULL: no memory. */
static uint64_t *gaps(const struct kymo_strands *l, double scale, size_t *n)
{
    uint64_t *v = malloc((l->n_calls + 1) * sizeof(*v));
    *n = 0;
    for (size_t i = 0; v && i < l->n; i++)
        for (uint32_t k = 1; k < l->strand[i].n; k++) {
            const uint64_t from = l->t->call[l->strand[i].call[k - 1]].enter_ns;
            const uint64_t to = l->t->call[l->strand[i].call[k]].enter_ns;
            v[(*n)++] = (uint64_t)((double)(to > from ? to - from : 0) * scale + .5);
        }
    if (v)
        qsort(v, *n, sizeof(*v), by_value);
    return v;
}

/* The most by which a's share up to x passes b's share up to x + resolution. */
static double passes(const uint64_t *a, size_t n, const uint64_t *b, size_t m,
                     uint64_t resolution)
{
    double most = 0;
    for (size_t i = 0, j = 0; i < n; i++) {
        if (i + 1 < n && a[i + 1] == a[i])
            continue;
        while (j < m && (b[j] <= a[i] || b[j] - a[i] <= resolution))
            j++;
        const double d = (double)(i + 1) / (double)n - (double)j / (double)m;
        most = d > most ? d : most;
    }
    return most;
}

double kymo_ks_sorted(const uint64_t *a, size_t n, const uint64_t *b, size_t m,
                      uint64_t resolution)
{
    if (!n || !m)
        return NAN;
    return fmax(passes(a, n, b, m, resolution), passes(b, m, a, n, resolution));
}

kymo_status kymo_mix_gaps(double *out, const struct kymo_strands *a,
                          const struct kymo_strands *b, double scale, uint64_t resolution_ns,
                          struct kymo_err *err)
{
    size_t n, m;
    uint64_t *x = gaps(a, scale, &n), *y = gaps(b, 1, &m);
    const int has_memory = x && y;
    if (has_memory)
        *out = kymo_ks_sorted(x, n, y, m, resolution_ns);
    free(x);
    free(y);
    return has_memory ? KYMO_OK : no_memory(err);
}

int kymo_strands_span(const struct kymo_strands *l, uint64_t *first_ns, uint64_t *last_ns)
{
    *first_ns = UINT64_MAX;
    *last_ns = 0;
    for (size_t i = 0; i < l->n; i++)
        for (uint32_t k = 0; k < l->strand[i].n; k++) {
            const struct kymo_trace_call *c = &l->t->call[l->strand[i].call[k]];
            *first_ns = c->enter_ns < *first_ns ? c->enter_ns : *first_ns;
            *last_ns = c->exit_ns > *last_ns ? c->exit_ns : *last_ns;
        }
    return *last_ns >= *first_ns;
}

/* -------- two traces -------- */

static double rate_ratio(const struct kymo_strands *a, const struct kymo_strands *b)
{
    uint64_t a0, a1, b0, b1;
    if (!kymo_strands_span(a, &a0, &a1) || !kymo_strands_span(b, &b0, &b1) || a1 == a0 ||
        b1 == b0)
        return NAN;
    return ((double)b->n_calls / (double)(b1 - b0)) / ((double)a->n_calls / (double)(a1 - a0));
}

static kymo_status distance(struct kymo_distance *out, const struct kymo_trace *a,
                            const struct kymo_trace *b, struct kymo_arena *arena,
                            struct kymo_err *err)
{
    struct kymo_distance d;
    struct kymo_strands la, lb;
    uint32_t *wa, *wb;
    KYMO_TRY(kymo_strands_words(a, b, &wa, &wb, arena, err));
    KYMO_TRY(kymo_strands_all(&la, a, wa, arena, err));
    KYMO_TRY(kymo_strands_all(&lb, b, wb, arena, err));
    KYMO_TRY(kymo_mix_calls(&d.jsd_call, &la, &lb, err));
    KYMO_TRY(kymo_mix_grams(&d.jsd_gram, &la, &lb, err));
    KYMO_TRY(kymo_mix_gaps(&d.ks_gap, &la, &lb, 1, KYMO_GAP_RESOLUTION_NS, err));
    d.rate_ratio = rate_ratio(&la, &lb);
    *out = d;
    return KYMO_OK;
}

kymo_status kymo_distance(struct kymo_distance *out, const struct kymo_trace *a,
                          const struct kymo_trace *b, struct kymo_err *err)
{
    struct kymo_arena arena;
    kymo_arena_init(&arena, (size_t)2 << 30);
    const kymo_status s = distance(out, a, b, &arena, err);
    kymo_arena_release(&arena);
    return s;
}
