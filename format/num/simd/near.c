/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/near.h"

#include <float.h>
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "format/num/parallel.h"
#include "format/num/simd/distrow.h"
#include "format/num/simd/simd.h"

#define LANES KYMO_NEAR_LANES
#define QUERIES KYMO_NEAR_QUERIES
#define TILE_SLOTS (2 * LANES)
#define CHUNK_COLUMNS 8u    /* of a tile, between two looks whether any pair is left */
#define BLOCK_GROUPS 8u     /* groups of queries that share panels in the cache */
#define STRIP_BYTES 393216u /* of panels that a block goes through before its next group */

/* e of the header, doubled in LIMIT_GAIN for what float sums of up to 2^13 columns lose; more
 * columns widen it (see gain_of). */
#define LIMIT_E 0x1p-10
#define UNIT_ROUND 0x1p-24
#define SLACK_MIN 1e-30f
#define LIMIT_MAX 1e30f

/* Rows to a sample of the neighbourhoods, and samples at most. */
#define SAMPLE_ROWS 256u
#define SAMPLES_MAX 128u
/* So few queries are searched for as they come. */
#define SORTED_QUERIES_MIN 32u

/* Two panels against four queries. */
struct tile {
    size_t d;
    const float *query;               /* [d,4] */
    const float *panel;               /* [2,d,16] */
    const float *scale, *slack;       /* [32] */
    float value[QUERIES];             /* best so far, in the set's unit, widened */
    float base[QUERIES];              /* value * scale + slack of the query */
    float dist2[QUERIES][TILE_SLOTS]; /* out where hit is not 0 */
    uint32_t hit[QUERIES];            /* out: the slots that could be nearer */
};

/* Returns whether there is a hit. */
typedef int (*tile_fn)(struct tile *t);

static inline __attribute__((always_inline)) int tile_body(struct tile *t)
{
    const size_t d = t->d;
    float limit[QUERIES][TILE_SLOTS];
    for (size_t q = 0; q < QUERIES; q++)
        for (size_t l = 0; l < TILE_SLOTS; l++) {
            limit[q][l] = t->value[q] * t->scale[l] + t->slack[l] + t->base[q];
            t->dist2[q][l] = 0;
        }
    for (size_t from = 0; from < d; from += CHUNK_COLUMNS) {
        const size_t to = from + CHUNK_COLUMNS < d ? from + CHUNK_COLUMNS : d;
        int left = 0;
        for (size_t p = 0; p < 2; p++)
            for (size_t q = 0; q < QUERIES; q++) {
                float sum[LANES];
                memcpy(sum, t->dist2[q] + p * LANES, sizeof(sum));
                for (size_t j = from; j < to; j++) {
                    const float x = t->query[j * QUERIES + q];
                    const float *y = t->panel + (p * d + j) * LANES;
                    for (size_t l = 0; l < LANES; l++) {
                        const float v = x - y[l];
                        sum[l] += v * v;
                    }
                }
                memcpy(t->dist2[q] + p * LANES, sum, sizeof(sum));
                for (size_t l = 0; l < LANES; l++)
                    left |= sum[l] <= limit[q][p * LANES + l];
            }
        if (!left)
            return 0;
    }
    for (size_t q = 0; q < QUERIES; q++) {
        t->hit[q] = 0;
        for (size_t l = 0; l < TILE_SLOTS; l++)
            t->hit[q] |= (uint32_t)(t->dist2[q][l] <= limit[q][l]) << l;
    }
    return 1;
}

static int tile_plain(struct tile *t)
{
    return tile_body(t);
}

#if defined(__x86_64__)
#define HALF 8u /* floats of a register */

/* Four queries, eight slots and some columns at a time; sums wait in memory meanwhile. */
__attribute__((target("avx2,fma"))) static int add_columns(struct tile *t, size_t part,
                                                           size_t from, size_t to,
                                                           float limit[QUERIES][TILE_SLOTS])
{
    const float *y = t->panel + part / 2 * t->d * LANES + part % 2 * HALF;
    __m256 sum[QUERIES];
#pragma GCC unroll 4
    for (size_t q = 0; q < QUERIES; q++)
        sum[q] = _mm256_loadu_ps(t->dist2[q] + part * HALF);
    for (size_t j = from; j < to; j++) {
        const __m256 v = _mm256_loadu_ps(y + j * LANES);
#pragma GCC unroll 4
        for (size_t q = 0; q < QUERIES; q++) {
            const __m256 x = _mm256_sub_ps(_mm256_set1_ps(t->query[j * QUERIES + q]), v);
            sum[q] = _mm256_fmadd_ps(x, x, sum[q]);
        }
    }
    int left = 0;
#pragma GCC unroll 4
    for (size_t q = 0; q < QUERIES; q++) {
        _mm256_storeu_ps(t->dist2[q] + part * HALF, sum[q]);
        const __m256 most = _mm256_loadu_ps(limit[q] + part * HALF);
        const int hit = _mm256_movemask_ps(_mm256_cmp_ps(sum[q], most, _CMP_LE_OQ));
        t->hit[q] |= (uint32_t)hit << part * HALF;
        left |= hit;
    }
    return left;
}

__attribute__((target("avx2,fma"))) static int tile_avx2(struct tile *t)
{
    float limit[QUERIES][TILE_SLOTS];
    for (size_t q = 0; q < QUERIES; q++)
        for (size_t l = 0; l < TILE_SLOTS; l++) {
            limit[q][l] = t->value[q] * t->scale[l] + t->slack[l] + t->base[q];
            t->dist2[q][l] = 0;
        }
    for (size_t from = 0; from < t->d; from += CHUNK_COLUMNS) {
        const size_t to = from + CHUNK_COLUMNS < t->d ? from + CHUNK_COLUMNS : t->d;
        int left = 0;
        memset(t->hit, 0, sizeof(t->hit));
        for (size_t part = 0; part < TILE_SLOTS / HALF; part++)
            left |= add_columns(t, part, from, to, limit);
        if (!left)
            return 0;
    }
    return 1;
}

__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"))) static int
tile_avx512(struct tile *t)
{
    const size_t d = t->d;
    __m512 sum[QUERIES][2], limit[QUERIES][2];
#pragma GCC unroll 2
    for (size_t p = 0; p < 2; p++) {
        const __m512 scale = _mm512_loadu_ps(t->scale + p * LANES);
        const __m512 slack = _mm512_loadu_ps(t->slack + p * LANES);
#pragma GCC unroll 4
        for (size_t q = 0; q < QUERIES; q++) {
            limit[q][p] = _mm512_fmadd_ps(_mm512_set1_ps(t->value[q]), scale,
                                          _mm512_add_ps(slack, _mm512_set1_ps(t->base[q])));
            sum[q][p] = _mm512_setzero_ps();
        }
    }
    const float *query = t->query, *a = t->panel, *b = t->panel + d * LANES;
    for (size_t from = 0; from < d; from += CHUNK_COLUMNS) {
        const size_t to = from + CHUNK_COLUMNS < d ? from + CHUNK_COLUMNS : d;
        for (size_t j = from; j < to; j++) {
            const __m512 ya = _mm512_loadu_ps(a + j * LANES);
            const __m512 yb = _mm512_loadu_ps(b + j * LANES);
#pragma GCC unroll 4
            for (size_t q = 0; q < QUERIES; q++) {
                const __m512 x = _mm512_set1_ps(query[j * QUERIES + q]);
                const __m512 va = _mm512_sub_ps(ya, x), vb = _mm512_sub_ps(yb, x);
                sum[q][0] = _mm512_fmadd_ps(va, va, sum[q][0]);
                sum[q][1] = _mm512_fmadd_ps(vb, vb, sum[q][1]);
            }
        }
        uint32_t left = 0;
#pragma GCC unroll 4
        for (size_t q = 0; q < QUERIES; q++) {
            left |= _mm512_cmp_ps_mask(sum[q][0], limit[q][0], _CMP_LE_OQ);
            left |= _mm512_cmp_ps_mask(sum[q][1], limit[q][1], _CMP_LE_OQ);
        }
        if (!left)
            return 0;
    }
#pragma GCC unroll 4
    for (size_t q = 0; q < QUERIES; q++) {
        const uint32_t lo = _mm512_cmp_ps_mask(sum[q][0], limit[q][0], _CMP_LE_OQ);
        const uint32_t hi = _mm512_cmp_ps_mask(sum[q][1], limit[q][1], _CMP_LE_OQ);
        t->hit[q] = lo | hi << LANES;
        _mm512_storeu_ps(t->dist2[q], sum[q][0]);
        _mm512_storeu_ps(t->dist2[q] + LANES, sum[q][1]);
    }
    return 1;
}
#endif

static tile_fn choose_tile(void)
{
#if defined(__x86_64__)
    switch (kymo_simd_level()) {
    case KYMO_SIMD_AVX512:
        return tile_avx512;
    case KYMO_SIMD_AVX2:
        return tile_avx2;
    default:
        break;
    }
#endif
    return tile_plain;
}

/* -- the set -------------------------------------------------------------------------------- */

/* What a limit is multiplied with, so that float sums cannot lose a neighbour. */
static double gain_of(size_t d)
{
    return (1 + LIMIT_E) * (1 + 2 * (double)(d + 8) * UNIT_ROUND) * (1 + 8 * UNIT_ROUND);
}

static void measure_box(struct kymo_near_set *s, const struct kymo_dense *x)
{
    memset(s->centre, 0, s->d * sizeof(double));
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < s->d; j++)
            s->centre[j] += kymo_dense_at(x, i, j) / (double)x->n;
    double far = 0;
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < s->d; j++)
            far = fmax(far, fabs(kymo_dense_at(x, i, j) - s->centre[j]));
    int exponent = 0;
    (void)frexp(far, &exponent);
    s->unit = far > 0 && isfinite(far) ? ldexp(1, exponent > 1000 ? -1000 : -exponent) : 1;
}

static size_t samples_of(size_t n)
{
    const size_t samples = n / SAMPLE_ROWS + 1;
    return samples < SAMPLES_MAX ? samples : SAMPLES_MAX;
}

/* The nearest of some sampled rows for each row: near[n]. room: (samples + 16) d doubles. */
static void find_samples(const struct kymo_dense *x, double *room, uint32_t *near)
{
    const size_t samples = samples_of(x->n), apart = x->n / samples;
    const size_t panels = (samples + KYMO_DISTROW_LANES - 1) / KYMO_DISTROW_LANES;
    double *panel = room, *query = panel + panels * x->d * KYMO_DISTROW_LANES;
    double dist[KYMO_DISTROW_QUERIES][SAMPLES_MAX];
    double *const out[] = {dist[0], dist[1], dist[2], dist[3]};
    uint32_t used[SAMPLES_MAX / KYMO_DISTROW_LANES];
    for (size_t p = 0; p < panels; p++)
        used[p] = 1;
    for (size_t i = 0; i < panels * KYMO_DISTROW_LANES; i++)
        for (size_t j = 0; j < x->d; j++)
            panel[(i / KYMO_DISTROW_LANES * x->d + j) * KYMO_DISTROW_LANES +
                  i % KYMO_DISTROW_LANES] = kymo_dense_at(x, (i < samples ? i : 0) * apart, j);
    for (size_t i = 0; i < x->n; i += KYMO_DISTROW_QUERIES) {
        const size_t n = x->n - i < KYMO_DISTROW_QUERIES ? x->n - i : KYMO_DISTROW_QUERIES;
        for (size_t q = 0; q < KYMO_DISTROW_QUERIES; q++)
            for (size_t j = 0; j < x->d; j++)
                query[j * KYMO_DISTROW_QUERIES + q] = kymo_dense_at(x, i + (q < n ? q : 0), j);
        kymo_dist_panels(panels, x->d, panel, used, query, 0, out);
        for (size_t q = 0; q < n; q++) {
            size_t where;
            (void)kymo_row_min(samples, dist[q], &where);
            near[i + q] = (uint32_t)where;
        }
    }
}

/* Places for the slots: rows by their nearest sample, then by number. */
static kymo_status choose_places(struct kymo_near_set *s, const struct kymo_dense *x,
                                 struct kymo_err *err)
{
    const size_t samples = samples_of(x->n);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    double *room =
        kymo_arena_alloc_raw(&a, samples + 2 * KYMO_DISTROW_LANES, x->d * sizeof(double));
    if (!room)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "no memory for %zu rows of %zu columns", samples, x->d);
    find_samples(x, room, s->turn);
    kymo_arena_release(&a);
    size_t first[SAMPLES_MAX + 1] = {0};
    for (size_t i = 0; i < x->n; i++)
        first[s->turn[i] + 1]++;
    for (size_t k = 0; k < samples; k++)
        first[k + 1] += first[k];
    for (size_t i = 0; i < s->cap; i++) {
        s->place[i] = (uint32_t)(i < x->n ? first[s->turn[i]]++ : i);
        s->slot[s->place[i]] = (uint32_t)i;
    }
    return KYMO_OK;
}

kymo_status kymo_near_init(struct kymo_near_set *s, const struct kymo_dense *x,
                           struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_near_set made = {.d = x->d, .n = 0};
    made.n_panels = 2 * ((x->n + TILE_SLOTS - 1) / TILE_SLOTS);
    made.cap = made.n_panels * LANES;
    made.centre = KYMO_NEW(arena, double, x->d);
    made.x = kymo_arena_alloc(arena, made.cap, x->d * sizeof(float));
    made.query = kymo_arena_alloc_raw(arena, made.cap, x->d * sizeof(float));
    made.scale = KYMO_NEW(arena, float, made.cap);
    made.slack = KYMO_NEW(arena, float, made.cap);
    made.group = KYMO_NEW(arena, uint32_t, made.cap);
    made.tile_group = KYMO_NEW_RAW(arena, uint32_t, made.cap / TILE_SLOTS);
    made.slot = KYMO_NEW_RAW(arena, uint32_t, made.cap);
    made.place = KYMO_NEW_RAW(arena, uint32_t, made.cap);
    made.turn = KYMO_NEW_RAW(arena, uint32_t, made.cap);
    made.mark = KYMO_NEW(arena, uint32_t, made.cap);
    if (!made.tile_group || !made.slot || !made.place || !made.turn || !made.mark ||
        !made.centre || !made.x || !made.query || !made.scale || !made.slack || !made.group)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the search over %zu rows by %zu columns passes the memory budget",
                         x->n, x->d);
    KYMO_TRY(choose_places(&made, x, err));
    measure_box(&made, x);
    for (size_t i = 0; i < made.cap; i++)
        made.slack[i] = -INFINITY;
    *s = made;
    return KYMO_OK;
}

static float *row_at(const struct kymo_near_set *s, size_t place)
{
    return s->x + place / LANES * s->d * LANES + place % LANES;
}

void kymo_near_put(struct kymo_near_set *s, size_t slot, const double *x, double scale,
                   uint32_t group)
{
    const size_t place = s->place[slot];
    float *to = row_at(s, place);
    double norm2 = 0;
    for (size_t j = 0; j < s->d; j++) {
        const double v = (x[j] - s->centre[j]) * s->unit;
        to[j * LANES] = (float)v;
        norm2 += v * v;
    }
    const double h = 2 * (1 + 1 / LIMIT_E) * UNIT_ROUND * UNIT_ROUND;
    s->scale[place] = (float)scale;
    s->slack[place] = (float)(2 * h * norm2 * gain_of(s->d)) + SLACK_MIN;
    s->group[place] = group;
    s->n = slot < s->n ? s->n : slot + 1;
}

void kymo_near_drop(struct kymo_near_set *s, size_t slot)
{
    s->slack[s->place[slot]] = -INFINITY;
}

void kymo_near_regroup(struct kymo_near_set *s, size_t slot, uint32_t group)
{
    s->group[s->place[slot]] = group;
}

void kymo_near_compact(struct kymo_near_set *s, size_t n, const uint32_t *from)
{
    for (size_t i = 0; i < n; i++)
        s->mark[from[i]] = (uint32_t)i + 1;
    size_t to = 0;
    for (size_t p = 0; p < s->cap && to < n; p++) {
        const uint32_t old = s->slot[p], slot = s->mark[old];
        if (!slot)
            continue;
        s->mark[old] = 0;
        const float *x = row_at(s, p);
        float *y = row_at(s, to);
        for (size_t j = 0; j < s->d && p != to; j++)
            y[j * LANES] = x[j * LANES];
        s->scale[to] = s->scale[p];
        s->slack[to] = s->slack[p];
        s->group[to] = s->group[p];
        s->slot[to] = slot - 1;
        s->place[slot - 1] = (uint32_t)to++;
    }
    for (size_t p = n; p < s->n_panels * LANES; p++)
        s->slack[p] = -INFINITY;
    for (size_t i = n; i < s->cap; i++) {
        s->slot[i] = (uint32_t)i;
        s->place[i] = (uint32_t)i;
    }
    s->n = n;
    s->n_panels = 2 * ((n + TILE_SLOTS - 1) / TILE_SLOTS);
}

/* -- the search ----------------------------------------------------------------------------- */

struct search {
    const struct kymo_near_set *s;
    size_t n_q;
    const uint32_t *q;
    const uint32_t *turn; /* [n_q] queries in the order of their places */
    struct kymo_near *best;
    kymo_near_fn value;
    const void *ctx;
    tile_fn tile;
    double gain; /* of a value into the set's unit and float's doubt */
    size_t strip_panels;
};

/* turn: which in c->turn; past the last there is no query, and nothing is near enough. */
static void load_limit(const struct search *c, struct tile *t, size_t lane, size_t turn)
{
    if (turn >= c->n_q) {
        t->value[lane] = 0;
        t->base[lane] = -1;
        return;
    }
    const uint32_t at = c->turn[turn], place = c->s->place[c->q[at]];
    const double v = fmin(c->best[at].value * c->gain, LIMIT_MAX);
    t->value[lane] = (float)v;
    t->base[lane] = t->value[lane] * c->s->scale[place] + c->s->slack[place];
}

/* Of the hits those of another group. */
static uint32_t outside_group(const struct kymo_near_set *s, uint32_t hit, size_t first,
                              uint32_t group)
{
    for (uint32_t rest = hit; rest; rest &= rest - 1) {
        const unsigned l = (unsigned)__builtin_ctz(rest);
        if (s->group[first + l] == group)
            hit &= ~(1u << l);
    }
    return hit;
}

/* The likeliest of the hits. */
static unsigned likeliest(const struct kymo_near_set *s, const float *dist2, uint32_t hit,
                          size_t first, float scale)
{
    unsigned next = (unsigned)__builtin_ctz(hit);
    float least = INFINITY;
    for (uint32_t rest = hit; rest; rest &= rest - 1) {
        const unsigned l = (unsigned)__builtin_ctz(rest);
        const float v = dist2[l] / (s->scale[first + l] + scale);
        if (v < least) {
            least = v;
            next = l;
        }
    }
    return next;
}

/* Look at the hits of one query, the likeliest first: each look narrows what is left. */
static void look(const struct search *c, struct tile *t, size_t lane, size_t turn, size_t first)
{
    const struct kymo_near_set *s = c->s;
    const uint32_t at = c->turn[turn], q = c->q[at], place = s->place[q];
    struct kymo_near *best = &c->best[at];
    const float *dist2 = t->dist2[lane];
    uint32_t hit = outside_group(s, t->hit[lane], first, s->group[place]);
    while (hit) {
        const unsigned next = likeliest(s, dist2, hit, first, s->scale[place]);
        hit &= ~(1u << next);
        const uint32_t slot = s->slot[first + next];
        const double v = c->value(c->ctx, q, slot);
        if (v > best->value || (v == best->value && slot > best->slot))
            continue;
        *best = (struct kymo_near){v, slot};
        load_limit(c, t, lane, turn);
        for (uint32_t rest = hit; rest; rest &= rest - 1) {
            const unsigned l = (unsigned)__builtin_ctz(rest);
            if (dist2[l] > t->value[lane] * t->scale[l] + t->slack[l] + t->base[lane])
                hit &= ~(1u << l);
        }
    }
}

/* The group of all rows in two panels, NONE where there are several. */
static uint32_t group_of_tile(const struct kymo_near_set *s, size_t tile)
{
    uint32_t group = KYMO_NEAR_NONE;
    for (size_t p = tile * TILE_SLOTS; p < (tile + 1) * TILE_SLOTS; p++) {
        if (s->slack[p] < 0) /* empty */
            continue;
        if (group != KYMO_NEAR_NONE && group != s->group[p])
            return KYMO_NEAR_NONE;
        group = s->group[p];
    }
    return group;
}

/* The group of all queries of a tile, NONE where there are several. */
static uint32_t group_of_queries(const struct search *c, size_t group)
{
    const struct kymo_near_set *s = c->s;
    const size_t lo = group * QUERIES;
    const size_t hi = lo + QUERIES < c->n_q ? lo + QUERIES : c->n_q;
    const uint32_t first = s->group[s->place[c->q[c->turn[lo]]]];
    for (size_t i = lo; i < hi; i++)
        if (s->group[s->place[c->q[c->turn[i]]]] != first)
            return KYMO_NEAR_NONE;
    return first;
}

static void search_strip(const struct search *c, size_t group, size_t lo, size_t hi)
{
    const struct kymo_near_set *s = c->s;
    const uint32_t own = group_of_queries(c, group);
    struct tile t;
    t.d = s->d;
    t.query = s->query + group * s->d * QUERIES;
    for (size_t l = 0; l < QUERIES; l++)
        load_limit(c, &t, l, group * QUERIES + l);
    for (size_t p = lo; p < hi; p += 2) {
        if (own != KYMO_NEAR_NONE && own == s->tile_group[p / 2])
            continue; /* none of these is a neighbour of any of those */
        t.panel = s->x + p * s->d * LANES;
        t.scale = s->scale + p * LANES;
        t.slack = s->slack + p * LANES;
        if (!c->tile(&t))
            continue;
        for (size_t l = 0; l < QUERIES; l++)
            if (t.hit[l] && group * QUERIES + l < c->n_q)
                look(c, &t, l, group * QUERIES + l, p * LANES);
    }
}

static void search_block(void *ctx, size_t block)
{
    const struct search *c = ctx;
    const struct kymo_near_set *s = c->s;
    const size_t groups = (c->n_q + QUERIES - 1) / QUERIES;
    const size_t lo = block * BLOCK_GROUPS;
    const size_t hi = lo + BLOCK_GROUPS < groups ? lo + BLOCK_GROUPS : groups;
    for (size_t g = lo; g < hi; g++) {
        float *to = s->query + g * s->d * QUERIES;
        for (size_t l = 0; l < QUERIES; l++) {
            const size_t turn = g * QUERIES + l < c->n_q ? g * QUERIES + l : c->n_q - 1;
            const float *x = row_at(s, s->place[c->q[c->turn[turn]]]);
            for (size_t j = 0; j < s->d; j++)
                to[j * QUERIES + l] = x[j * LANES];
        }
    }
    /* Around themselves first: a near one found early is a low limit for all that follows. */
    for (size_t g = lo; g < hi; g++) {
        const size_t own = s->place[c->q[c->turn[g * QUERIES]]] / LANES / 2 * 2;
        search_strip(c, g, own, own + 2);
    }
    for (size_t p = 0; p < s->n_panels; p += c->strip_panels) {
        const size_t end =
            p + c->strip_panels < s->n_panels ? p + c->strip_panels : s->n_panels;
        for (size_t g = lo; g < hi; g++)
            search_strip(c, g, p, end);
    }
}

/* Queries in the order of their places, so that four at once are neighbours. */
static void order_queries(struct kymo_near_set *s, size_t n_q, const uint32_t *q)
{
    if (n_q < SORTED_QUERIES_MIN) {
        for (size_t i = 0; i < n_q; i++)
            s->turn[i] = (uint32_t)i;
        return;
    }
    for (size_t i = 0; i < n_q; i++)
        s->mark[s->place[q[i]]] = (uint32_t)i + 1;
    size_t n = 0;
    for (size_t p = 0; p < s->cap && n < n_q; p++)
        if (s->mark[p]) {
            s->turn[n++] = s->mark[p] - 1;
            s->mark[p] = 0;
        }
}

void kymo_near_search(struct kymo_near_set *s, size_t n_q, const uint32_t *q,
                      struct kymo_near *best, kymo_near_fn value, const void *ctx,
                      unsigned n_threads)
{
    struct search c = {.s = s, .n_q = n_q, .q = q, .best = best, .value = value, .ctx = ctx};
    order_queries(s, n_q, q);
    c.turn = s->turn;
    for (size_t i = 0; i < s->n_panels / 2; i++)
        s->tile_group[i] = n_q < SORTED_QUERIES_MIN ? KYMO_NEAR_NONE : group_of_tile(s, i);
    c.tile = choose_tile();
    c.gain = s->unit * s->unit * gain_of(s->d);
    c.strip_panels = 2 + STRIP_BYTES / (LANES * sizeof(float) * s->d) / 2 * 2;
    const size_t per_block = (size_t)BLOCK_GROUPS * QUERIES;
    kymo_parallel((n_q + per_block - 1) / per_block, n_threads, search_block, &c);
}
