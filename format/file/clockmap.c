/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/clockmap.h"

#include <stdlib.h>
#include <string.h>

/* NTP bends a clock by half a thousandth at most; two readings are this far apart at worst. */
#define BEND_MAX 1000u
#define READING_NS 1000000u

void kymo_clockmap_release(struct kymo_clockmap *m)
{
    free(m->anchor);
    memset(m, 0, sizeof(*m));
}

static int is_straight(const struct kymo_anchor *a, uint64_t from_ns, uint64_t to_ns)
{
    if (from_ns <= a->from_ns || to_ns <= a->to_ns)
        return 0;
    const uint64_t from = from_ns - a->from_ns, to = to_ns - a->to_ns;
    const uint64_t off = from > to ? from - to : to - from;
    return off <= from / BEND_MAX + READING_NS;
}

kymo_status kymo_clockmap_add(struct kymo_clockmap *m, uint64_t from_ns, uint64_t to_ns,
                              struct kymo_err *err)
{
    if (m->n && !is_straight(&m->anchor[m->n - 1], from_ns, to_ns))
        return KYMO_OK;
    if (!(m->n & (m->n - 1))) {
        const size_t cap = m->n ? m->n * 2 : 1;
        struct kymo_anchor *anchor =
            cap <= KYMO_ANCHORS_MAX ? realloc(m->anchor, cap * sizeof(*anchor)) : NULL;
        if (!anchor)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "too many anchors of a clock");
        m->anchor = anchor;
    }
    m->anchor[m->n++] = (struct kymo_anchor){from_ns, to_ns};
    return KYMO_OK;
}

/* The last anchor at or before ns; the first when none is. Times mostly rise. */
static size_t anchor_of(const struct kymo_clockmap *m, uint64_t ns)
{
    size_t lo = 0, hi = m->n;
    if (m->at < m->n && m->anchor[m->at].from_ns <= ns &&
        (m->at + 1 == m->n || m->anchor[m->at + 1].from_ns > ns))
        return m->at;
    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;
        if (m->anchor[mid].from_ns <= ns)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* n * to / from without overflow: n < from, to about from. */
static uint64_t scale(uint64_t n, uint64_t to, uint64_t from)
{
    return (uint64_t)((unsigned __int128)n * to / from);
}

uint64_t kymo_clockmap_apply(struct kymo_clockmap *m, uint64_t ns)
{
    m->at = anchor_of(m, ns);
    const struct kymo_anchor *a = &m->anchor[m->at];
    if (ns < a->from_ns)
        return a->to_ns > a->from_ns - ns ? a->to_ns - (a->from_ns - ns) : 0;
    const uint64_t past = ns - a->from_ns;
    if (m->at + 1 == m->n)
        return past < UINT64_MAX - a->to_ns ? a->to_ns + past : UINT64_MAX;
    return a->to_ns + scale(past, a[1].to_ns - a->to_ns, a[1].from_ns - a->from_ns);
}

kymo_status kymo_clockmap_join(struct kymo_clockmap *out, const struct kymo_clockmap *a,
                               const struct kymo_clockmap *b, struct kymo_err *err)
{
    struct kymo_clockmap back = {0}, joined = {0};
    kymo_status s = KYMO_OK;
    if (!a->n || !b->n)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "it has no anchors of its clock");
    for (size_t i = 0; i < b->n && !s; i++)
        s = kymo_clockmap_add(&back, b->anchor[i].to_ns, b->anchor[i].from_ns, err);
    for (size_t i = 0; i < a->n && !s; i++)
        s = kymo_clockmap_add(&joined, a->anchor[i].from_ns,
                              kymo_clockmap_apply(&back, a->anchor[i].to_ns), err);
    kymo_clockmap_release(&back);
    if (s)
        kymo_clockmap_release(&joined);
    else
        *out = joined;
    return s;
}
