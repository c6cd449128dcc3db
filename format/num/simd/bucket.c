/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/bucket.h"

#include "format/num/simd/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LANES KYMO_BUCKET_LANES
#define GROUP UINT64_C(0xff)
#define NARROW KYMO_NARROW_LANES

/* The order in which kymo_sqdist() adds its eight partial sums. */
#define FOLD(add, s)                                                                           \
    add(add(add((s)[0], (s)[1]), add((s)[2], (s)[3])),                                         \
        add(add((s)[4], (s)[5]), add((s)[6], (s)[7])))

/* Features after which rows that are all too far already are let go: their sums only grow. */
#define ABANDON 16u

static double add(double a, double b)
{
    return a + b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* -- plain ------------------------------------------------------------------------------------- */

static uint64_t near_plain(size_t d, const double *x, size_t stride, const double *bucket,
                           uint64_t among, double r2, double *dist2)
{
    uint64_t near = 0;
    for (size_t g = 0; g < KYMO_BUCKET_GROUPS; g++) {
        if (!(among >> (g * LANES) & GROUP))
            continue;
        const double *p = bucket + g * d * LANES;
        double sum[LANES][LANES] = {{0}}; /* [j mod 8][row] */
        for (size_t j = 0; j < d; j++)
            for (size_t r = 0; r < LANES; r++) {
                const double t = p[j * LANES + r] - x[j * stride];
                sum[j % LANES][r] += t * t;
            }
        for (size_t r = 0; r < LANES; r++) {
            double s[LANES];
            for (size_t l = 0; l < LANES; l++)
                s[l] = sum[l][r];
            const double dist = FOLD(add, s);
            near |= (uint64_t)(dist <= r2) << (g * LANES + r);
            if (dist2)
                dist2[g * LANES + r] = dist;
        }
    }
    return near & among;
}

static uint64_t near_box_plain(size_t d, const double *box, const double *bucket, double r2)
{
    const double *lo = box, *hi = box + kymo_box_half(d);
    uint64_t near = 0;
    for (size_t g = 0; g < KYMO_BUCKET_GROUPS; g++) {
        const double *p = bucket + g * d * LANES;
        for (size_t r = 0; r < LANES; r++) {
            double s[LANES] = {0};
            for (size_t j = 0; j < d; j++) {
                const double v = p[j * LANES + r];
                const double t = larger(larger(lo[j] - v, v - hi[j]), 0);
                s[j % LANES] += t * t;
            }
            near |= (uint64_t)(FOLD(add, s) <= r2) << (g * LANES + r);
        }
    }
    return near;
}

static uint64_t narrow_plain(size_t d, const float *x, const float *bucket, float r2)
{
    uint64_t near = 0;
    for (size_t h = 0; h < KYMO_BUCKET_ROWS; h += NARROW) {
        const float *p = bucket + h * d;
        float sum[NARROW] = {0};
        for (size_t j = 0; j < d; j++)
            for (size_t r = 0; r < NARROW; r++) {
                const float t = p[j * NARROW + r] - x[j * NARROW];
                sum[r] += t * t;
            }
        for (size_t r = 0; r < NARROW; r++)
            near |= (uint64_t)(sum[r] <= r2) << (h + r);
    }
    return near;
}

static double nearest_plain(size_t half, const double *a, const double *b)
{
    double s[LANES] = {0};
    for (size_t j = 0; j < half; j += LANES)
        for (size_t l = 0; l < LANES; l++) {
            const double under = a[j + l] - b[half + j + l], over = b[j + l] - a[half + j + l];
            const double t = larger(larger(under, over), 0);
            s[l] += t * t;
        }
    return FOLD(add, s);
}

static double farthest_plain(size_t half, const double *a, const double *b)
{
    double s[LANES] = {0};
    for (size_t j = 0; j < half; j += LANES)
        for (size_t l = 0; l < LANES; l++) {
            const double t = larger(a[half + j + l] - b[j + l], b[half + j + l] - a[j + l]);
            s[l] += t * t;
        }
    return FOLD(add, s);
}

#if defined(__x86_64__)
/* -- AVX-512: a group's eight rows in one register, a register a partial sum --------------------- */

#define AVX512 __attribute__((target("avx512f,avx512dq,avx512vl")))

AVX512 static uint64_t near_avx512(size_t d, const double *x, size_t stride,
                                   const double *bucket, uint64_t among, double r2,
                                   double *dist2)
{
    const __m512d radius = _mm512_set1_pd(r2);
    uint64_t near = 0;
    for (size_t g = 0; g < KYMO_BUCKET_GROUPS; g++) {
        if (!(among >> (g * LANES) & GROUP))
            continue;
        const double *p = bucket + g * d * LANES;
        __m512d s[LANES];
#pragma GCC unroll 8
        for (size_t l = 0; l < LANES; l++)
            s[l] = _mm512_setzero_pd();
        for (size_t j = 0; j < d; j += LANES)
#pragma GCC unroll 8
            for (size_t l = 0; l < LANES; l++)
                if (j + l < d) {
                    const __m512d t = _mm512_sub_pd(_mm512_loadu_pd(p + (j + l) * LANES),
                                                    _mm512_set1_pd(x[(j + l) * stride]));
                    s[l] = _mm512_add_pd(s[l], _mm512_mul_pd(t, t));
                }
        const __m512d dist = FOLD(_mm512_add_pd, s);
        near |= (uint64_t)_mm512_cmp_pd_mask(dist, radius, _CMP_LE_OQ) << (g * LANES);
        if (dist2)
            _mm512_storeu_pd(dist2 + g * LANES, dist);
    }
    return near & among;
}

AVX512 static uint64_t near_box_avx512(size_t d, const double *box, const double *bucket,
                                       double r2)
{
    const double *lo = box, *hi = box + kymo_box_half(d);
    const __m512d radius = _mm512_set1_pd(r2), zero = _mm512_setzero_pd();
    uint64_t near = 0;
    for (size_t g = 0; g < KYMO_BUCKET_GROUPS; g++) {
        const double *p = bucket + g * d * LANES;
        __m512d s[LANES];
#pragma GCC unroll 8
        for (size_t l = 0; l < LANES; l++)
            s[l] = zero;
        for (size_t j = 0; j < d; j += LANES)
#pragma GCC unroll 8
            for (size_t l = 0; l < LANES; l++)
                if (j + l < d) {
                    const __m512d v = _mm512_loadu_pd(p + (j + l) * LANES);
                    const __m512d under = _mm512_sub_pd(_mm512_set1_pd(lo[j + l]), v);
                    const __m512d over = _mm512_sub_pd(v, _mm512_set1_pd(hi[j + l]));
                    const __m512d t = _mm512_max_pd(_mm512_max_pd(under, over), zero);
                    s[l] = _mm512_add_pd(s[l], _mm512_mul_pd(t, t));
                }
        const __m512d dist = FOLD(_mm512_add_pd, s);
        near |= (uint64_t)_mm512_cmp_pd_mask(dist, radius, _CMP_LE_OQ) << (g * LANES);
    }
    return near;
}

/* Sums of even and of odd features, so that one addition need not wait for the last. */
AVX512 static uint64_t narrow_avx512(size_t d, const float *x, const float *bucket, float r2)
{
    const __m512 radius = _mm512_set1_ps(r2);
    uint64_t near = 0;
    for (size_t h = 0; h < KYMO_BUCKET_ROWS; h += 2 * NARROW) {
        const float *p = bucket + h * d, *q = p + d * NARROW;
        __m512 s[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                       _mm512_setzero_ps()};
        for (size_t j = 0; j < d; j += 2) {
            if (j && j % ABANDON == 0) {
                const __m512 a = _mm512_add_ps(s[0], s[2]), b = _mm512_add_ps(s[1], s[3]);
                if (!_mm512_cmp_ps_mask(_mm512_min_ps(a, b), radius, _CMP_LE_OQ))
                    break;
            }
            const __m512 v = _mm512_set1_ps(x[j * NARROW]);
            const __m512 t = _mm512_sub_ps(_mm512_loadu_ps(p + j * NARROW), v);
            const __m512 u = _mm512_sub_ps(_mm512_loadu_ps(q + j * NARROW), v);
            s[0] = _mm512_fmadd_ps(t, t, s[0]);
            s[1] = _mm512_fmadd_ps(u, u, s[1]);
            if (j + 1 == d)
                break;
            const __m512 w = _mm512_set1_ps(x[(j + 1) * NARROW]);
            const __m512 y = _mm512_sub_ps(_mm512_loadu_ps(p + (j + 1) * NARROW), w);
            const __m512 z = _mm512_sub_ps(_mm512_loadu_ps(q + (j + 1) * NARROW), w);
            s[2] = _mm512_fmadd_ps(y, y, s[2]);
            s[3] = _mm512_fmadd_ps(z, z, s[3]);
        }
        const __mmask16 a = _mm512_cmp_ps_mask(_mm512_add_ps(s[0], s[2]), radius, _CMP_LE_OQ);
        const __mmask16 b = _mm512_cmp_ps_mask(_mm512_add_ps(s[1], s[3]), radius, _CMP_LE_OQ);
        near |= ((uint64_t)b << NARROW | a) << h;
    }
    return near;
}

/* The eight partial sums lie in one register here. */
AVX512 static double fold_avx512(__m512d sum)
{
    double s[LANES];
    _mm512_storeu_pd(s, sum);
    return FOLD(add, s);
}

AVX512 static double nearest_avx512(size_t half, const double *a, const double *b)
{
    __m512d sum = _mm512_setzero_pd();
    for (size_t j = 0; j < half; j += LANES) {
        const __m512d under =
            _mm512_sub_pd(_mm512_loadu_pd(a + j), _mm512_loadu_pd(b + half + j));
        const __m512d over =
            _mm512_sub_pd(_mm512_loadu_pd(b + j), _mm512_loadu_pd(a + half + j));
        const __m512d t = _mm512_max_pd(_mm512_max_pd(under, over), _mm512_setzero_pd());
        sum = _mm512_add_pd(sum, _mm512_mul_pd(t, t));
    }
    return fold_avx512(sum);
}

/* -- AVX2: half a group in a register ------------------------------------------------------------ */

#define HALF 4u
#define HALF_GROUP UINT64_C(0xf)
#define AVX2 __attribute__((target("avx2")))
#define AVX2_FMA __attribute__((target("avx2,fma")))

AVX2 static uint64_t near_avx2(size_t d, const double *x, size_t stride, const double *bucket,
                               uint64_t among, double r2, double *dist2)
{
    const __m256d radius = _mm256_set1_pd(r2);
    uint64_t near = 0;
    for (size_t h = 0; h < KYMO_BUCKET_ROWS; h += HALF) {
        if (!(among >> h & HALF_GROUP))
            continue;
        const double *p = bucket + kymo_bucket_at(d, h);
        __m256d s[LANES];
#pragma GCC unroll 8
        for (size_t l = 0; l < LANES; l++)
            s[l] = _mm256_setzero_pd();
        for (size_t j = 0; j < d; j += LANES)
#pragma GCC unroll 8
            for (size_t l = 0; l < LANES; l++)
                if (j + l < d) {
                    const __m256d t = _mm256_sub_pd(_mm256_loadu_pd(p + (j + l) * LANES),
                                                    _mm256_set1_pd(x[(j + l) * stride]));
                    s[l] = _mm256_add_pd(s[l], _mm256_mul_pd(t, t));
                }
        const __m256d dist = FOLD(_mm256_add_pd, s);
        const int bits = _mm256_movemask_pd(_mm256_cmp_pd(dist, radius, _CMP_LE_OQ));
        near |= (uint64_t)(unsigned)bits << h;
        if (dist2)
            _mm256_storeu_pd(dist2 + h, dist);
    }
    return near & among;
}

AVX2 static uint64_t near_box_avx2(size_t d, const double *box, const double *bucket, double r2)
{
    const double *lo = box, *hi = box + kymo_box_half(d);
    const __m256d radius = _mm256_set1_pd(r2), zero = _mm256_setzero_pd();
    uint64_t near = 0;
    for (size_t h = 0; h < KYMO_BUCKET_ROWS; h += HALF) {
        const double *p = bucket + kymo_bucket_at(d, h);
        __m256d s[LANES];
#pragma GCC unroll 8
        for (size_t l = 0; l < LANES; l++)
            s[l] = zero;
        for (size_t j = 0; j < d; j += LANES)
#pragma GCC unroll 8
            for (size_t l = 0; l < LANES; l++)
                if (j + l < d) {
                    const __m256d v = _mm256_loadu_pd(p + (j + l) * LANES);
                    const __m256d under = _mm256_sub_pd(_mm256_set1_pd(lo[j + l]), v);
                    const __m256d over = _mm256_sub_pd(v, _mm256_set1_pd(hi[j + l]));
                    const __m256d t = _mm256_max_pd(_mm256_max_pd(under, over), zero);
                    s[l] = _mm256_add_pd(s[l], _mm256_mul_pd(t, t));
                }
        const __m256d dist = FOLD(_mm256_add_pd, s);
        const int bits = _mm256_movemask_pd(_mm256_cmp_pd(dist, radius, _CMP_LE_OQ));
        near |= (uint64_t)(unsigned)bits << h;
    }
    return near;
}

AVX2_FMA static uint64_t narrow_avx2(size_t d, const float *x, const float *bucket, float r2)
{
    const __m256 radius = _mm256_set1_ps(r2);
    uint64_t near = 0;
    for (size_t h = 0; h < KYMO_BUCKET_ROWS; h += NARROW) {
        const float *p = bucket + h * d;
        __m256 a = _mm256_setzero_ps(), b = _mm256_setzero_ps();
        for (size_t j = 0; j < d; j++) {
            const __m256 v = _mm256_set1_ps(x[j * NARROW]);
            const __m256 t = _mm256_sub_ps(_mm256_loadu_ps(p + j * NARROW), v);
            const __m256 u = _mm256_sub_ps(_mm256_loadu_ps(p + j * NARROW + NARROW / 2), v);
            a = _mm256_fmadd_ps(t, t, a);
            b = _mm256_fmadd_ps(u, u, b);
        }
        const int lo = _mm256_movemask_ps(_mm256_cmp_ps(a, radius, _CMP_LE_OQ));
        const int hi = _mm256_movemask_ps(_mm256_cmp_ps(b, radius, _CMP_LE_OQ));
        near |= (uint64_t)((unsigned)hi << (NARROW / 2) | (unsigned)lo) << h;
    }
    return near;
}
#endif

/* -- the choice ---------------------------------------------------------------------------------- */

uint64_t kymo_bucket_near(size_t d, const double *x, size_t stride, const double *bucket,
                          uint64_t among, double r2, double *dist2)
{
#if defined(__x86_64__)
    const enum kymo_simd level = kymo_simd_level();
    if (level == KYMO_SIMD_AVX512)
        return near_avx512(d, x, stride, bucket, among, r2, dist2);
    if (level == KYMO_SIMD_AVX2)
        return near_avx2(d, x, stride, bucket, among, r2, dist2);
#endif
    return near_plain(d, x, stride, bucket, among, r2, dist2);
}

uint64_t kymo_bucket_near_box(size_t d, const double *box, const double *bucket, double r2)
{
#if defined(__x86_64__)
    const enum kymo_simd level = kymo_simd_level();
    if (level == KYMO_SIMD_AVX512)
        return near_box_avx512(d, box, bucket, r2);
    if (level == KYMO_SIMD_AVX2)
        return near_box_avx2(d, box, bucket, r2);
#endif
    return near_box_plain(d, box, bucket, r2);
}

uint64_t kymo_narrow_near(size_t d, const float *x, const float *bucket, float r2)
{
#if defined(__x86_64__)
    const enum kymo_simd level = kymo_simd_level();
    if (level == KYMO_SIMD_AVX512)
        return narrow_avx512(d, x, bucket, r2);
    if (level == KYMO_SIMD_AVX2)
        return narrow_avx2(d, x, bucket, r2);
#endif
    return narrow_plain(d, x, bucket, r2);
}

double kymo_box_nearest(size_t d, const double *a, const double *b)
{
    const size_t half = kymo_box_half(d);
#if defined(__x86_64__)
    if (kymo_simd_level() == KYMO_SIMD_AVX512)
        return nearest_avx512(half, a, b);
#endif
    return nearest_plain(half, a, b);
}

double kymo_box_farthest(size_t d, const double *a, const double *b)
{
    return farthest_plain(kymo_box_half(d), a, b);
}
