/* SPDX-License-Identifier: Apache-2.0
 * align.c: the greedy walk over diagonals. After d edits, reach[d][i] is how far along a the walk has come on
 * diagonal k = 2i - d (k = position in a less position in b):
 *
 *          a0 a1 a2          a step right leaves an item of a unpaired,
 *       b0  \                a step down one of b,
 *       b1     \ --          and equal items are passed for nothing.
 *
 * All rows are kept, so that the way back is known. They are KYMO_ALIGN_EXACT at most: where that does not
 * reach the end, the walk commits itself to the farthest point and begins again there.
 */
#include "replay/proof/align.h"

#include <stdlib.h>

struct kymo_aligner {
    int64_t reach[(KYMO_ALIGN_EXACT + 1) * (KYMO_ALIGN_EXACT + 2) / 2];
};

/* A stretch that is being aligned. */
struct stretch {
    const uint32_t *a, *b;
    int64_t n, m;
    uint32_t *pair; /* of a */
    uint32_t at_b;  /* what index 0 of b is to pair */
};

kymo_status kymo_aligner_open(struct kymo_aligner **out, struct kymo_err *err)
{
    struct kymo_aligner *al = malloc(sizeof(*al));
    if (!al)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory to align calls");
    *out = al;
    return KYMO_OK;
}

void kymo_aligner_close(struct kymo_aligner *al)
{
    free(al);
}

static int64_t *row_of(struct kymo_aligner *al, int64_t d)
{
    return al->reach + d * (d + 1) / 2;
}

/* Does the way to diagonal k = 2i - d come down from diagonal k + 1? */
static int comes_down(const int64_t *before, int64_t d, int64_t i)
{
    return i == 0 || (i < d && before[i - 1] < before[i]);
}

/* Row d from row d - 1; returns the diagonal's index that reached the end, or -1. */
static int64_t walk_row(struct kymo_aligner *al, const struct stretch *s, int64_t d)
{
    int64_t *now = row_of(al, d);
    const int64_t *before = d ? row_of(al, d - 1) : NULL;
    for (int64_t i = 0; i <= d; i++) {
        int64_t x = !d ? 0 : comes_down(before, d, i) ? before[i] : before[i - 1] + 1;
        int64_t y = x - (2 * i - d);
        while (x < s->n && y < s->m && s->a[x] == s->b[y]) {
            x++;
            y++;
        }
        now[i] = x;
        if (x == s->n && y == s->m)
            return i;
    }
    return -1;
}

/* Of row d, the diagonal that came farthest inside both sequences. */
static int64_t farthest(struct kymo_aligner *al, const struct stretch *s, int64_t d)
{
    const int64_t *now = row_of(al, d);
    int64_t best = 0, most = -1;
    for (int64_t i = 0; i <= d; i++) {
        const int64_t x = now[i], y = x - (2 * i - d);
        if (x <= s->n && y <= s->m && x + y > most) {
            most = x + y;
            best = i;
        }
    }
    return best;
}

static void way_back(struct kymo_aligner *al, const struct stretch *s, int64_t d, int64_t i)
{
    for (; d >= 0; d--) {
        const int64_t k = 2 * i - d;
        const int64_t *before = d ? row_of(al, d - 1) : NULL;
        const int down = d && comes_down(before, d, i);
        const int64_t from = !d ? 0 : down ? before[i] : before[i - 1] + 1;
        for (int64_t x = row_of(al, d)[i]; x > from; x--)
            s->pair[x - 1] = s->at_b + (uint32_t)(x - 1 - k);
        i -= !down;
    }
}

static void pass(struct stretch *s, int64_t x, int64_t y)
{
    s->a += x;
    s->pair += x;
    s->n -= x;
    s->b += y;
    s->at_b += (uint32_t)y;
    s->m -= y;
}

/* What is equal at both ends needs no walk. */
static void pass_equal(struct stretch *s)
{
    int64_t x = 0;
    while (x < s->n && x < s->m && s->a[x] == s->b[x]) {
        s->pair[x] = s->at_b + (uint32_t)x;
        x++;
    }
    pass(s, x, x);
    while (s->n && s->m && s->a[s->n - 1] == s->b[s->m - 1]) {
        s->n--;
        s->m--;
        s->pair[s->n] = s->at_b + (uint32_t)s->m;
    }
}

uint64_t kymo_align(struct kymo_aligner *al, const uint32_t *a, uint32_t n, const uint32_t *b,
                    uint32_t m, uint32_t *pair)
{
    struct stretch s = {.a = a, .b = b, .n = n, .m = m, .pair = pair};
    uint64_t edits = 0;
    for (uint32_t i = 0; i < n; i++)
        pair[i] = KYMO_UNPAIRED;
    for (;;) {
        pass_equal(&s);
        if (!s.n || !s.m)
            return edits + (uint64_t)(s.n + s.m);
        int64_t d = 0, end;
        while ((end = walk_row(al, &s, d)) < 0 && d < (int64_t)KYMO_ALIGN_EXACT)
            d++;
        const int64_t i = end < 0 ? farthest(al, &s, d) : end;
        way_back(al, &s, d, i);
        edits += (uint64_t)d;
        if (end >= 0)
            return edits;
        const int64_t x = row_of(al, d)[i];
        pass(&s, x, x - (2 * i - d));
    }
}
