/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/exponion.h"

#include <math.h>
#include <string.h>

#include "format/num/parallel.h"

#define LANES 16u
#define MOST KYMO_BALL_MOST
#define BLOCK_CENTRES 32u
/* Share of the smallest reach that moves may take before a centre looks around again: 0.1 and 0.3 were no
 * better by more than a tenth at any d and k. */
#define SPENT_SHARE 0.15
/* Covers the rounding of a reach and of the scale it is told in. */
#define ROUND 0x1p-22

struct kymo_exponion_part {
    double *dist2;   /* [k] */
    uint32_t *order; /* [k] */
};

kymo_status kymo_exponion_init(struct kymo_exponion *e, kymo_ball_fn *meet,
                               const struct kymo_assigner *a, unsigned n_threads,
                               struct kymo_arena *arena, struct kymo_err *err)
{
    const size_t k = a->k, d = a->rows->x->d;
    const size_t blocks = (k + BLOCK_CENTRES - 1) / BLOCK_CENTRES;
    *e = (struct kymo_exponion){.a = a, .meet = meet, .k = k, .d = d, .n_threads = n_threads};
    e->near = KYMO_NEW_RAW(arena, uint32_t, k * MOST);
    e->packed = KYMO_NEW_RAW(arena, float, k *MOST *d);
    e->bias = KYMO_NEW_RAW(arena, float, k *MOST);
    e->reach = KYMO_NEW_RAW(arena, float, k *KYMO_BALLS);
    e->found = KYMO_NEW_RAW(arena, double, k *KYMO_BALLS);
    e->spent = KYMO_NEW_RAW(arena, double, k);
    e->part = KYMO_NEW(arena, struct kymo_exponion_part, blocks);
    int is_full =
        !e->near || !e->packed || !e->bias || !e->reach || !e->found || !e->spent || !e->part;
    for (size_t b = 0; b < blocks && !is_full; b++) {
        e->part[b].dist2 = KYMO_NEW_RAW(arena, double, k);
        e->part[b].order = KYMO_NEW_RAW(arena, uint32_t, k);
        is_full = !e->part[b].dist2 || !e->part[b].order;
    }
    if (is_full)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "neighbours of %zu clusters pass the memory budget", k);
    kymo_exponion_forget(e);
    return KYMO_OK;
}

void kymo_exponion_forget(struct kymo_exponion *e)
{
    for (size_t c = 0; c < e->k; c++)
        e->spent[c] = NAN; /* more than any share */
}

/* Turn order[lo..hi-1] so that none before place `at` is farther than any from there on. */
static void split_at(const double *dist2, uint32_t *order, size_t lo, size_t hi, size_t at)
{
    while (hi > lo + 1) {
        const double pivot = dist2[order[lo + (hi - lo) / 2]];
        size_t less = lo, i = lo, more = hi; /* [lo, less) below the pivot, [more, hi) above */
        while (i < more) {
            const uint32_t o = order[i];
            if (dist2[o] < pivot) {
                order[i++] = order[less];
                order[less++] = o;
            } else if (dist2[o] > pivot) {
                order[i] = order[--more];
                order[more] = o;
            } else {
                i++;
            }
        }
        if (at < less)
            hi = less;
        else if (at >= more)
            lo = more;
        else
            return;
    }
}

static void look_around(struct kymo_exponion *e, size_t c, struct kymo_exponion_part *p)
{
    const size_t k = e->k;
    uint32_t *order = p->order;
    e->a->ops->sqdist_all(k, e->d, e->C + c * e->d, e->a->plain, p->dist2);
    for (size_t i = 0; i < k; i++)
        order[i] = (uint32_t)i;
    order[c] = 0;
    order[0] = (uint32_t)c; /* first whoever else lies there */
    size_t hi = k;
    for (size_t b = KYMO_BALLS; b-- > 0;) {
        double least = INFINITY;
        if (kymo_ball_size(b) < k) {
            split_at(p->dist2, order, 1, hi, kymo_ball_size(b));
            for (size_t i = kymo_ball_size(b); i < hi; i++)
                least = p->dist2[order[i]] < least ? p->dist2[order[i]] : least;
            hi = kymo_ball_size(b);
        }
        e->found[c * KYMO_BALLS + b] = sqrt(least);
    }
    memcpy(e->near + c * MOST, order, (k < MOST ? k : MOST) * sizeof(*order));
    e->spent[c] = 0;
}

/* Those around c where they are now, and what is left of the reach. */
static void pack(struct kymo_exponion *e, size_t c)
{
    const size_t d = e->d;
    const uint32_t *near = e->near + c * MOST;
    for (size_t p = 0; p < MOST; p++) {
        float *packed = e->packed + (c * MOST + p / LANES * LANES) * d + p % LANES;
        const double *from = p < e->k ? e->a->moved + near[p] * d : NULL;
        for (size_t j = 0; j < d; j++)
            packed[j * LANES] = from ? (float)from[j] : 0;
        e->bias[c * MOST + p] = from ? e->a->bias[near[p]] : INFINITY;
    }
    for (size_t b = 0; b < KYMO_BALLS; b++) {
        const double found = e->found[c * KYMO_BALLS + b];
        e->reach[c * KYMO_BALLS + b] =
            (float)((found * (1 - ROUND) - e->spent[c]) * e->a->rows->scale);
    }
}

static void set_block(void *ctx, size_t block)
{
    struct kymo_exponion *e = ctx;
    for (size_t c = block * BLOCK_CENTRES; c < (block + 1) * BLOCK_CENTRES && c < e->k; c++) {
        if (!(e->spent[c] <= e->found[c * KYMO_BALLS] * SPENT_SHARE))
            look_around(e, c, &e->part[block]);
        pack(e, c);
    }
}

void kymo_exponion_set(struct kymo_exponion *e, const double *C, const double *move)
{
    double most = 0;
    for (size_t c = 0; c < e->k; c++)
        most = move[c] > most ? move[c] : most;
    for (size_t c = 0; c < e->k; c++)
        e->spent[c] += (move[c] + most) * (1 + ROUND);
    e->C = C;
    kymo_parallel((e->k + BLOCK_CENTRES - 1) / BLOCK_CENTRES, e->n_threads, set_block, e);
}

/* -- rows meet a ball -------------------------------------------------------------------------- */

#if defined(__x86_64__)
#include "format/num/simd/fold.h"

#define INLINE KYMO_AVX512 static inline __attribute__((always_inline))
#define HALF 8u /* rows whose sums are in registers together */

/* Lane r of the result is the least lane of a[r]: pairs are laid side by side, as in fold.h. */
INLINE __m512 fold_least(const __m512 a[LANES])
{
    __m512 b[8], c[4], s[2];
    _Pragma("GCC unroll 8") for (unsigned i = 0; i < 8; i++) b[i] = _mm512_min_ps(
        _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]), _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]));
    _Pragma("GCC unroll 4") for (unsigned i = 0; i < 4; i++)
    {
        const __m512d lo = _mm512_castps_pd(b[2 * i]), hi = _mm512_castps_pd(b[2 * i + 1]);
        c[i] = _mm512_min_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi)));
    }
    _Pragma("GCC unroll 2") for (unsigned i = 0; i < 2; i++) s[i] =
        _mm512_min_ps(_mm512_shuffle_f32x4(c[2 * i], c[2 * i + 1], 0x88),
                      _mm512_shuffle_f32x4(c[2 * i], c[2 * i + 1], 0xdd));
    return _mm512_min_ps(_mm512_shuffle_f32x4(s[0], s[1], 0x88),
                         _mm512_shuffle_f32x4(s[0], s[1], 0xdd));
}

/* Scores of the rows with sixteen places of each one's ball, from `first` on. */
INLINE void find_scores(const struct kymo_exponion *e, size_t first, const float *x,
                        size_t stride, const uint32_t *own, __m512 s[LANES])
{
    for (size_t r0 = 0; r0 < LANES; r0 += HALF) {
        __m512 acc[HALF];
        const float *c[HALF], *row = x + r0 * stride;
        _Pragma("GCC unroll 8") for (unsigned r = 0; r < HALF; r++)
        {
            const size_t at = own[r0 + r] * (size_t)MOST + first;
            acc[r] = _mm512_loadu_ps(e->bias + at);
            c[r] = e->packed + at * e->d;
        }
        for (size_t j = 0; j < e->d; j++, row++)
            _Pragma("GCC unroll 8") for (unsigned r = 0; r < HALF; r++) acc[r] =
                _mm512_fnmadd_ps(_mm512_set1_ps(row[r * stride]),
                                 _mm512_loadu_ps(c[r] + j * LANES), acc[r]);
        _Pragma("GCC unroll 8") for (unsigned r = 0; r < HALF; r++) s[r0 + r] = acc[r];
    }
}

struct least {
    __m512 own, least, next; /* scores */
};

/* Take in sixteen scores a row. Two that are equal end as least and next; s is used up. */
INLINE void take_in(__m512 s[LANES], size_t first, struct least *m, uint32_t *place)
{
    float least[LANES];
    uint32_t at[LANES];
    const __m512 low = fold_least(s);
    _mm512_storeu_ps(least, low);
    _Pragma("GCC unroll 16") for (unsigned r = 0; r < LANES; r++)
    {
        const unsigned is = _mm512_cmp_ps_mask(s[r], _mm512_set1_ps(least[r]), _CMP_EQ_OQ);
        at[r] =
            (uint32_t)first + (uint32_t)__builtin_ctz(is | 1u << (LANES - 1)); /* NaN: any */
        s[r] = _mm512_mask_mov_ps(s[r], (__mmask16)(is & -is), _mm512_set1_ps(INFINITY));
    }
    const __m512 others = fold_least(s);
    const __mmask16 less = _mm512_cmp_ps_mask(low, m->least, _CMP_LT_OQ);
    m->next = _mm512_min_ps(_mm512_min_ps(m->next, others), _mm512_max_ps(m->least, low));
    m->least = _mm512_min_ps(m->least, low);
    _mm512_mask_storeu_epi32(place, less, _mm512_loadu_si512(at));
}

/* kymo_nearest_upper() or kymo_nearest_lower() of sixteen rows, by off and round. */
INLINE __m512 bound(__m512 score, __m512 norm2, float off, float round)
{
    const __m512 v =
        _mm512_add_ps(_mm512_fmadd_ps(_mm512_set1_ps(2), score, norm2), _mm512_set1_ps(off));
    return _mm512_mul_ps(_mm512_sqrt_ps(_mm512_max_ps(v, _mm512_setzero_ps())),
                         _mm512_set1_ps(round));
}

INLINE void find_bounds(const struct kymo_exponion *e, size_t ball, const struct least *m,
                        struct kymo_ball_tile *t)
{
    float reach[LANES], most = 0;
    for (size_t r = 0; r < LANES; r++) {
        reach[r] = e->reach[t->own[r] * KYMO_BALLS + ball];
        most = t->norm2[r] > most ? t->norm2[r] : most;
    }
    /* The errors of the longest row, for all. */
    const struct kymo_nearest_error off = kymo_nearest_error(&e->a->near, most);
    const float up = 1 + KYMO_NEAREST_ROUND, down = 1 - KYMO_NEAREST_ROUND;
    const __m512 norm2 = _mm512_loadu_ps(t->norm2);
    const __m512 own = bound(m->own, norm2, off.dist2, up);
    const __m512 upper = bound(m->least, norm2, off.dist2, up);
    const __m512 lower = bound(m->next, norm2, -off.dist2, down);
    const __m512 beyond =
        _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(reach), own), _mm512_set1_ps(down));
    const __m512 apart = _mm512_sub_ps(m->next, m->least);
    t->reached = _mm512_cmp_ps_mask(beyond, upper, _CMP_GT_OQ);
    t->clear = _mm512_cmp_ps_mask(apart, _mm512_set1_ps(off.score2), _CMP_GT_OQ);
    _mm512_storeu_ps(t->upper, upper);
    _mm512_storeu_ps(t->lower, _mm512_min_ps(lower, beyond));
}

KYMO_AVX512 static void meet_avx512(const struct kymo_exponion *e, size_t ball, const float *x,
                                    size_t stride, struct kymo_ball_tile *t)
{
    const __m512 none = _mm512_set1_ps(INFINITY);
    struct least m = {none, none, none};
    for (size_t first = 0; first < kymo_ball_size(ball); first += LANES) {
        __m512 s[LANES];
        float own[LANES];
        find_scores(e, first, x, stride, t->own, s);
        for (size_t r = 0; r < LANES && !first; r++)
            own[r] = _mm512_cvtss_f32(s[r]);
        m.own = first ? m.own : _mm512_loadu_ps(own);
        take_in(s, first, &m, t->place);
    }
    find_bounds(e, ball, &m, t);
}
#endif

kymo_ball_fn *kymo_ball_at(enum kymo_simd level)
{
#if defined(__x86_64__)
    if (level == KYMO_SIMD_AVX512)
        return meet_avx512;
#endif
    (void)level;
    return NULL;
}
