/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/nearest.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "format/num/simd/fold.h"

#define W 16u /* centres of one vector of a panel, whatever the level */
#define EPS_F32 0x1p-24f

void kymo_nearest_pack(size_t k, size_t d, const double *C, float *packed, float *bias,
                       struct kymo_nearest *out)
{
    const size_t pad = KYMO_NEAREST_PAD(k);
    double most = 0;
    for (size_t c = 0; c < pad; c++) {
        const size_t first = c / KYMO_PANEL_MAX * KYMO_PANEL_MAX;
        const size_t wide = pad - first < KYMO_PANEL_MAX ? pad - first : KYMO_PANEL_MAX;
        float *p = packed + first * d + (c - first);
        double norm2 = 0;
        for (size_t j = 0; j < d; j++) {
            const double v = c < k ? C[c * d + j] : 0;
            norm2 += v * v;
            p[j * wide] = (float)v;
        }
        bias[c] = c < k ? (float)(norm2 / 2) : INFINITY;
        most = norm2 > most ? norm2 : most;
    }
    *out = (struct kymo_nearest){.d = d,
                                 .k = k,
                                 .packed = packed,
                                 .bias = bias,
                                 .norm_max = (float)sqrt(most) * (1 + 4 * EPS_F32),
                                 .bias_max = (float)(most / 2) * (1 + 4 * EPS_F32)};
}

/* How far a score may be off, per |x| |c| + |c|^2 / 2: d products and sums in f32, both factors rounded
 * to f32, the start value rounded, the norms themselves rounded; 16 more than d covers the rest. */
static inline float score_error(size_t d)
{
    return ((float)d + 24) * EPS_F32 * 1.02f;
}
/* Products below this may have lost bits to underflow. */
#define SCORE_TINY (FLT_MIN * 64)
static inline float norm_error(size_t d)
{
    return ((float)d / 8 + 32) * EPS_F32;
}

struct kymo_nearest_error kymo_nearest_error(const struct kymo_nearest *c, float norm2)
{
    const float size = sqrtf(norm2) * c->norm_max + c->bias_max;
    const float score2 = size * 2 * score_error(c->d) + SCORE_TINY;
    return (struct kymo_nearest_error){norm2, score2, norm2 * norm_error(c->d) + score2};
}

static unsigned tile_plain(const struct kymo_nearest *c, const float *x, size_t stride,
                           const float *norm2, struct kymo_nearest_tile *out)
{
    (void)c, (void)x, (void)stride, (void)norm2, (void)out;
    return (1u << KYMO_TILE_ROWS) - 1;
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline))

/* Scores of rows r0..r0+R-1 with one panel of V vectors, to S [V][16][16]. */
#define SCORES_512(V, R)                                                                       \
    KYMO_AVX512 static void scores_512_##V(size_t d, const float *x, size_t stride,            \
                                           const float *packed, size_t wide,                   \
                                           const float *bias, float *S)                        \
    {                                                                                          \
        for (size_t r0 = 0; r0 < KYMO_TILE_ROWS; r0 += (R)) {                                  \
            __m512 acc[R][V];                                                                  \
            _Pragma("GCC unroll 16") for (unsigned r = 0; r < (R); r++)                        \
                _Pragma("GCC unroll 4") for (unsigned v = 0; v < (V); v++) acc[r][v] =         \
                    _mm512_loadu_ps(bias + v * W);                                             \
            const float *row = x + r0 * stride, *c = packed;                                   \
            for (size_t j = 0; j < d; j++, row++, c += wide) {                                 \
                __m512 col[V];                                                                 \
                _Pragma("GCC unroll 4") for (unsigned v = 0; v < (V); v++) col[v] =            \
                    _mm512_loadu_ps(c + v * W);                                                \
                _Pragma("GCC unroll 16") for (unsigned r = 0; r < (R); r++)                    \
                {                                                                              \
                    const __m512 b = _mm512_set1_ps(row[r * stride]);                          \
                    _Pragma("GCC unroll 4") for (unsigned v = 0; v < (V); v++) acc[r][v] =     \
                        _mm512_fnmadd_ps(b, col[v], acc[r][v]);                                \
                }                                                                              \
            }                                                                                  \
            _Pragma("GCC unroll 16") for (unsigned r = 0; r < (R); r++)                        \
                _Pragma("GCC unroll 4") for (unsigned v = 0; v < (V); v++)                     \
                    _mm512_store_ps(S + (v * W + r0 + r) * W, acc[r][v]);                      \
        }                                                                                      \
    }
SCORES_512(1, 16)
SCORES_512(2, 8)
SCORES_512(3, 8)
SCORES_512(4, 4)

#define SPARSE_COLUMNS 512u /* whose places are listed at a time */

/* Places of the nonzero values of row[0..d-1], d <= SPARSE_COLUMNS, to at; returns how many. */
KYMO_AVX512 INLINE size_t list_nonzero_512(size_t d, const float *row, uint32_t *at)
{
    const __m512i iota =
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    size_t n = 0;
    for (size_t j = 0; j < d; j += W) {
        const __mmask16 some = kymo_lanes_512(d - j);
        const __m512 v = _mm512_maskz_loadu_ps(some, row + j);
        const __mmask16 full = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
        const __m512i place = _mm512_add_epi32(iota, _mm512_set1_epi32((int)j));
        _mm512_storeu_si512(at + n, _mm512_maskz_compress_epi32(full, place));
        n += (size_t)__builtin_popcount(full);
    }
    return n;
}

/* The same scores from the nonzero values alone. One row keeps no more than V sums going, and a sum
 * takes an instruction's time of four: fewer vectors would wait for themselves. */
#define SPARSE_512(V)                                                                          \
    KYMO_AVX512 static void sparse_512_##V(size_t d, const float *x, size_t stride,            \
                                           const float *packed, const float *bias, float *S)   \
    {                                                                                          \
        uint32_t at[SPARSE_COLUMNS + W];                                                       \
        for (size_t r = 0; r < KYMO_TILE_ROWS; r++) {                                          \
            __m512 acc[V];                                                                     \
            _Pragma("GCC unroll 4") for (unsigned v = 0; v < (V); v++) acc[v] =                \
                _mm512_loadu_ps(bias + v * W);                                                 \
            for (size_t j = 0; j < d; j += SPARSE_COLUMNS) {                                   \
                const float *row = x + r * stride + j, *c = packed + j * (V)*W;                \
                const size_t n = list_nonzero_512(                                             \
                    d - j < SPARSE_COLUMNS ? d - j : SPARSE_COLUMNS, row, at);                 \
                for (size_t i = 0; i < n; i++) {                                               \
                    const __m512 b = _mm512_set1_ps(row[at[i]]);                               \
                    const float *col = c + (size_t)at[i] * (V)*W;                              \
                    _Pragma("GCC unroll 4") for (unsigned v = 0; v < (V); v++) acc[v] =        \
                        _mm512_fnmadd_ps(b, _mm512_loadu_ps(col + v * W), acc[v]);             \
                }                                                                              \
            }                                                                                  \
            _Pragma("GCC unroll 4") for (unsigned v = 0; v < (V); v++)                         \
                _mm512_store_ps(S + (v * W + r) * W, acc[v]);                                  \
        }                                                                                      \
    }
SPARSE_512(3)
SPARSE_512(4)

/* t[i] lane j = S[j][i]: rows of scores to vectors over rows. */
KYMO_AVX512 INLINE void transpose_512(const float *S, __m512 t[W])
{
    __m512 a[W], b[W];
    _Pragma("GCC unroll 16") for (unsigned i = 0; i < W; i++) a[i] = _mm512_load_ps(S + i * W);
    _Pragma("GCC unroll 8") for (unsigned i = 0; i < W; i += 2)
    {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    _Pragma("GCC unroll 4") for (unsigned i = 0; i < W; i += 4)
        _Pragma("GCC unroll 2") for (unsigned h = 0; h < 2; h++)
    {
        const __m512d lo = _mm512_castps_pd(b[i + h]), hi = _mm512_castps_pd(b[i + 2 + h]);
        a[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi));
        a[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi));
    }
    _Pragma("GCC unroll 2") for (unsigned i = 0; i < W; i += 8)
        _Pragma("GCC unroll 4") for (unsigned h = 0; h < 4; h++)
    {
        b[i + h] = _mm512_shuffle_f32x4(a[i + h], a[i + 4 + h], 0x88);
        b[i + 4 + h] = _mm512_shuffle_f32x4(a[i + h], a[i + 4 + h], 0xdd);
    }
    _Pragma("GCC unroll 4") for (unsigned h = 0; h < 4; h++)
    {
        t[h] = _mm512_shuffle_f32x4(b[h], b[8 + h], 0x88);
        t[8 + h] = _mm512_shuffle_f32x4(b[h], b[8 + h], 0xdd);
        t[4 + h] = _mm512_shuffle_f32x4(b[4 + h], b[12 + h], 0x88);
        t[12 + h] = _mm512_shuffle_f32x4(b[4 + h], b[12 + h], 0xdd);
    }
}

/* Squared norms of sixteen rows. */
KYMO_AVX512 INLINE __m512 norms_512(size_t d, const float *x, size_t stride)
{
    __m512 acc[W];
    _Pragma("GCC unroll 16") for (unsigned r = 0; r < W; r++) acc[r] = _mm512_setzero_ps();
    for (size_t j = 0; j < d; j += W) {
        const __mmask16 some = kymo_lanes_512(d - j);
        _Pragma("GCC unroll 16") for (unsigned r = 0; r < W; r++)
        {
            const __m512 v = _mm512_maskz_loadu_ps(some, x + r * stride + j);
            acc[r] = _mm512_fmadd_ps(v, v, acc[r]);
        }
    }
    return kymo_fold_512(acc);
}

/* Scores with all of a panel, from centre `first` on, to S; returns its vectors. */
KYMO_AVX512 static size_t panel_512(const struct kymo_nearest *c, size_t first, const float *x,
                                    size_t stride, float *S)
{
    const size_t left = KYMO_NEAREST_PAD(c->k) - first;
    const size_t wide = left < KYMO_PANEL_MAX ? left : KYMO_PANEL_MAX, vectors = wide / W;
    const float *packed = c->packed + first * c->d, *bias = c->bias + first;
    if (c->sparse && vectors == 4)
        sparse_512_4(c->d, x, stride, packed, bias, S);
    else if (c->sparse && vectors == 3)
        sparse_512_3(c->d, x, stride, packed, bias, S);
    else if (vectors == 1)
        scores_512_1(c->d, x, stride, packed, wide, bias, S);
    else if (vectors == 2)
        scores_512_2(c->d, x, stride, packed, wide, bias, S);
    else if (vectors == 3)
        scores_512_3(c->d, x, stride, packed, wide, bias, S);
    else
        scores_512_4(c->d, x, stride, packed, wide, bias, S);
    return vectors;
}

struct least_512 {
    __m512 m1, m2; /* the least and the least of the others */
    __m512i label;
};

/* Take in one vector of centres, from centre `first` on. A NaN ends as a tie. */
KYMO_AVX512 INLINE void fold_scores_512(const float *S, size_t first, struct least_512 *l)
{
    __m512 t[W];
    transpose_512(S, t);
    __m512i index = _mm512_set1_epi32((int)first);
    _Pragma("GCC unroll 16") for (unsigned i = 0; i < W; i++)
    {
        const __mmask16 less = _mm512_cmp_ps_mask(t[i], l->m1, _CMP_LT_OQ);
        l->m2 = _mm512_min_ps(l->m2, _mm512_max_ps(t[i], l->m1));
        l->m1 = _mm512_min_ps(t[i], l->m1);
        l->label = _mm512_mask_mov_epi32(l->label, less, index);
        index = _mm512_add_epi32(index, _mm512_set1_epi32(1));
    }
}

KYMO_AVX512 static void groups_avx512(const struct kymo_nearest *c, unsigned groups,
                                      size_t group_vectors, const float *x, size_t stride,
                                      struct kymo_group_scores *out)
{
    _Alignas(64) float S[KYMO_PANEL_MAX * W];
    const size_t pad = KYMO_NEAREST_PAD(c->k);
    for (size_t first = 0; first < pad; first += KYMO_PANEL_MAX) {
        const size_t wide = pad - first < KYMO_PANEL_MAX ? pad - first : KYMO_PANEL_MAX;
        unsigned wanted = 0;
        for (size_t v = 0; v < wide / W; v++)
            wanted |= (groups >> (first / W + v) / group_vectors & 1) << v;
        const int whole = wanted + 1 == 1u << wide / W || (c->sparse && wide / W >= 3);
        if (wanted && whole)
            panel_512(c, first, x, stride, S);
        for (size_t v = 0; v < wide / W; v++) {
            if (!(wanted >> v & 1))
                continue;
            const size_t at = first + v * W, g = at / W / group_vectors;
            if (!whole)
                scores_512_1(c->d, x, stride, c->packed + first * c->d + v * W, wide,
                             c->bias + at, S + v * W * W);
            struct least_512 l = {_mm512_set1_ps(INFINITY), _mm512_set1_ps(INFINITY),
                                  _mm512_setzero_si512()};
            if (at / W % group_vectors)
                l = (struct least_512){_mm512_loadu_ps(out[g].least),
                                       _mm512_loadu_ps(out[g].next),
                                       _mm512_loadu_si512(out[g].label)};
            fold_scores_512(S + v * W * W, at, &l);
            _mm512_storeu_ps(out[g].least, l.m1);
            _mm512_storeu_ps(out[g].next, l.m2);
            _mm512_storeu_si512(out[g].label, l.label);
        }
    }
}

KYMO_AVX512 static unsigned tile_avx512(const struct kymo_nearest *c, const float *x,
                                        size_t stride, const float *norm2,
                                        struct kymo_nearest_tile *out)
{
    _Alignas(64) float S[KYMO_PANEL_MAX * W];
    struct least_512 l = {_mm512_set1_ps(INFINITY), _mm512_set1_ps(INFINITY),
                          _mm512_setzero_si512()};
    for (size_t first = 0; first < KYMO_NEAREST_PAD(c->k); first += KYMO_PANEL_MAX) {
        const size_t vectors = panel_512(c, first, x, stride, S);
        for (size_t v = 0; v < vectors; v++)
            fold_scores_512(S + v * W * W, first + v * W, &l);
    }
    const __m512 m1 = l.m1, m2 = l.m2;
    const __m512 n2 = norm2 ? _mm512_loadu_ps(norm2) : norms_512(c->d, x, stride);
    const __m512 size = _mm512_fmadd_ps(_mm512_sqrt_ps(n2), _mm512_set1_ps(c->norm_max),
                                        _mm512_set1_ps(c->bias_max));
    const __m512 off = _mm512_fmadd_ps(size, _mm512_set1_ps(2 * score_error(c->d)),
                                       _mm512_set1_ps(SCORE_TINY));
    const __mmask16 clear = _mm512_cmp_ps_mask(_mm512_sub_ps(m2, m1), off, _CMP_GT_OQ);
    const __m512 off2 = _mm512_fmadd_ps(n2, _mm512_set1_ps(norm_error(c->d)), off);
    const __m512 two = _mm512_set1_ps(2), zero = _mm512_setzero_ps();
    const __m512 near2 = _mm512_add_ps(_mm512_fmadd_ps(two, m1, n2), off2);
    const __m512 next2 = _mm512_sub_ps(_mm512_fmadd_ps(two, m2, n2), off2);
    const __m512 near1 = _mm512_sqrt_ps(_mm512_max_ps(near2, zero));
    const __m512 next1 = _mm512_sqrt_ps(_mm512_max_ps(next2, zero));
    _mm512_storeu_si512(out->label, l.label);
    _mm512_storeu_ps(out->upper, _mm512_mul_ps(near1, _mm512_set1_ps(1 + 8 * EPS_F32)));
    _mm512_storeu_ps(out->lower, _mm512_mul_ps(next1, _mm512_set1_ps(1 - 8 * EPS_F32)));
    return (unsigned)(__mmask16)~clear;
}

/* Four rows with one vector of 16 centres, whose columns lie `wide` floats apart, to S [16][wide]. */
AVX2 INLINE void scores_256(size_t d, const float *x, size_t stride, const float *packed,
                            size_t wide, const float *bias, float *S)
{
    __m256 acc[4][2];
    _Pragma("GCC unroll 4") for (unsigned r = 0; r < 4; r++)
    {
        acc[r][0] = _mm256_loadu_ps(bias);
        acc[r][1] = _mm256_loadu_ps(bias + 8);
    }
    for (size_t j = 0; j < d; j++, packed += wide) {
        const __m256 lo = _mm256_loadu_ps(packed), hi = _mm256_loadu_ps(packed + 8);
        _Pragma("GCC unroll 4") for (unsigned r = 0; r < 4; r++)
        {
            const __m256 b = _mm256_broadcast_ss(x + r * stride + j);
            acc[r][0] = _mm256_fnmadd_ps(b, lo, acc[r][0]);
            acc[r][1] = _mm256_fnmadd_ps(b, hi, acc[r][1]);
        }
    }
    _Pragma("GCC unroll 4") for (unsigned r = 0; r < 4; r++)
    {
        _mm256_storeu_ps(S + r * KYMO_PANEL_MAX, acc[r][0]);
        _mm256_storeu_ps(S + r * KYMO_PANEL_MAX + 8, acc[r][1]);
    }
}

AVX2 INLINE float norm_256(size_t d, const float *x)
{
    __m256 a = _mm256_setzero_ps();
    size_t j = 0;
    for (; j + 8 <= d; j += 8)
        a = _mm256_fmadd_ps(_mm256_loadu_ps(x + j), _mm256_loadu_ps(x + j), a);
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    float sum = _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
    for (; j < d; j++)
        sum += x[j] * x[j];
    return sum;
}

AVX2 INLINE float least_256(__m256 v)
{
    __m128 m = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_min_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_min_ss(m, _mm_movehdup_ps(m)));
}

/* The least of the panel's scores s[wide], where it first stands, and the least of the others, folded
 * into what the panels before gave. */
AVX2 INLINE void fold_256(const float *s, size_t wide, uint32_t first, float *m1, float *m2,
                          uint32_t *label)
{
    __m256 low = _mm256_loadu_ps(s), next = _mm256_set1_ps(INFINITY);
    for (size_t i = 8; i < wide; i += 8) {
        const __m256 v = _mm256_loadu_ps(s + i);
        next = _mm256_min_ps(next, _mm256_max_ps(v, low));
        low = _mm256_min_ps(low, v);
    }
    const float least = least_256(low);
    const __m256 mine = _mm256_cmp_ps(low, _mm256_set1_ps(least), _CMP_EQ_OQ);
    const unsigned lanes = (unsigned)_mm256_movemask_ps(mine);
    /* Two lanes that hold the least are a tie; NaN holds none: both are left open by next = least. */
    float second = least;
    if (lanes && !(lanes & (lanes - 1)))
        second = least_256(_mm256_blendv_ps(low, next, mine));
    if (least < *m1) {
        *m2 = *m1 < second ? *m1 : second;
        *m1 = least;
        size_t i = 0;
        while (i + 1 < wide && s[i] != least)
            i++;
        *label = first + (uint32_t)i;
    } else {
        *m2 = least < *m2 ? least : *m2;
    }
}

AVX2 static unsigned tile_avx2(const struct kymo_nearest *c, const float *x, size_t stride,
                               const float *norm2, struct kymo_nearest_tile *out)
{
    float S[4 * KYMO_PANEL_MAX], m1[KYMO_TILE_ROWS], m2[KYMO_TILE_ROWS];
    const size_t pad = KYMO_NEAREST_PAD(c->k);
    for (unsigned r = 0; r < KYMO_TILE_ROWS; r++) {
        m1[r] = m2[r] = INFINITY;
        out->label[r] = 0;
    }
    for (size_t first = 0; first < pad; first += KYMO_PANEL_MAX) {
        const size_t wide = pad - first < KYMO_PANEL_MAX ? pad - first : KYMO_PANEL_MAX;
        const float *packed = c->packed + first * c->d, *bias = c->bias + first;
        for (size_t r0 = 0; r0 < KYMO_TILE_ROWS; r0 += 4) {
            for (size_t v = 0; v < wide; v += W)
                scores_256(c->d, x + r0 * stride, stride, packed + v, wide, bias + v, S + v);
            for (size_t r = 0; r < 4; r++)
                fold_256(S + r * KYMO_PANEL_MAX, wide, (uint32_t)first, &m1[r0 + r],
                         &m2[r0 + r], &out->label[r0 + r]);
        }
    }
    unsigned open = 0;
    for (unsigned r = 0; r < KYMO_TILE_ROWS; r++) {
        const float n2 = norm2 ? norm2[r] : norm_256(c->d, x + r * stride);
        const struct kymo_nearest_error e = kymo_nearest_error(c, n2);
        out->upper[r] = kymo_nearest_upper(&e, m1[r]);
        out->lower[r] = kymo_nearest_lower(&e, m2[r]);
        open |= (unsigned)!(m2[r] - m1[r] > e.score2) << r;
    }
    return open;
}
#endif

kymo_nearest_fn *kymo_nearest_at(enum kymo_simd level)
{
#if defined(__x86_64__)
    if (level == KYMO_SIMD_AVX512)
        return tile_avx512;
    if (level == KYMO_SIMD_AVX2)
        return tile_avx2;
#endif
    (void)level;
    return tile_plain;
}

kymo_groups_fn *kymo_groups_at(enum kymo_simd level)
{
#if defined(__x86_64__)
    if (level == KYMO_SIMD_AVX512)
        return groups_avx512;
#endif
    (void)level;
    return NULL;
}
