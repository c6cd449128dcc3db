/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/distrow.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "format/num/simd/simd.h"

#define LANES KYMO_DISTROW_LANES
#define QUERIES KYMO_DISTROW_QUERIES
#define PANELS 4u

double kymo_dist2_pair(size_t d, const double *a, const double *b)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++) {
        const double v = a[j] - b[j];
        sum += v * v;
    }
    return sum;
}

static inline __attribute__((always_inline)) void
panels_body(size_t n_panels, size_t d, const double *panel, const uint32_t *used,
            const double *query, int root, double *const out[4])
{
    for (size_t p = 0; p < n_panels; p++) {
        if (!used[p])
            continue;
        double sum[QUERIES][LANES];
        memset(sum, 0, sizeof(sum));
        for (size_t j = 0; j < d; j++) {
            const double *y = panel + (p * d + j) * LANES;
            for (size_t q = 0; q < QUERIES; q++)
                for (size_t l = 0; l < LANES; l++) {
                    const double v = query[j * QUERIES + q] - y[l];
                    sum[q][l] += v * v;
                }
        }
        for (size_t q = 0; q < QUERIES; q++)
            for (size_t l = 0; l < LANES; l++)
                out[q][p * LANES + l] = root ? sqrt(sum[q][l]) : sum[q][l];
    }
}

/* One query: four panels at a time, whether used or not, so that sums do not wait for each other. */
static inline __attribute__((always_inline)) void one_body(size_t n_panels, size_t d,
                                                           const double *panel,
                                                           const double *query, int root,
                                                           double *out)
{
    for (size_t p = 0; p < n_panels; p += PANELS) {
        double sum[PANELS][LANES];
        memset(sum, 0, sizeof(sum));
        const size_t n = n_panels - p < PANELS ? n_panels - p : PANELS;
        for (size_t j = 0; j < d; j++)
            for (size_t k = 0; k < n; k++) {
                const double *y = panel + ((p + k) * d + j) * LANES;
                for (size_t l = 0; l < LANES; l++) {
                    const double v = query[j * QUERIES] - y[l];
                    sum[k][l] += v * v;
                }
            }
        for (size_t k = 0; k < n; k++)
            for (size_t l = 0; l < LANES; l++)
                out[(p + k) * LANES + l] = root ? sqrt(sum[k][l]) : sum[k][l];
    }
}

static void panels_plain(size_t n_panels, size_t d, const double *panel, const uint32_t *used,
                         const double *query, int root, double *const out[4])
{
    panels_body(n_panels, d, panel, used, query, root, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
panels_avx2(size_t n_panels, size_t d, const double *panel, const uint32_t *used,
            const double *query, int root, double *const out[4])
{
    panels_body(n_panels, d, panel, used, query, root, out);
}

#define AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")))

AVX512 static void panels_avx512(size_t n_panels, size_t d, const double *panel,
                                 const uint32_t *used, const double *query, int root,
                                 double *const out[4])
{
    for (size_t p = 0; p < n_panels; p++) {
        if (!used[p])
            continue;

        __m512d sum[QUERIES];
#pragma GCC unroll 4
        for (size_t q = 0; q < QUERIES; q++)
            sum[q] = _mm512_setzero_pd();
        const double *y = panel + p * d * LANES;
        const __m512d one = _mm512_set1_pd(1);
        for (size_t j = 0; j < d; j++) {
            const __m512d v = _mm512_loadu_pd(y + j * LANES);
#pragma GCC unroll 4
            for (size_t q = 0; q < QUERIES; q++) {
                /* Subtraction keeps the adder busy, 1 * x - v the multiplier, to the same bits. */
                const __m512d x = _mm512_set1_pd(query[j * QUERIES + q]);
                const __m512d t = q % 2 ? _mm512_sub_pd(v, x) : _mm512_fmsub_pd(one, x, v);
                sum[q] = _mm512_add_pd(sum[q], _mm512_mul_pd(t, t));
            }
        }
#pragma GCC unroll 4
        for (size_t q = 0; q < QUERIES; q++)
            _mm512_storeu_pd(out[q] + p * LANES, root ? _mm512_sqrt_pd(sum[q]) : sum[q]);
    }
}

AVX512 static void one_avx512(size_t n_panels, size_t d, const double *panel,
                              const double *query, int root, double *out)
{
    const size_t whole = n_panels / PANELS * PANELS;
    for (size_t p = 0; p < whole; p += PANELS) {
        const double *y = panel + p * d * LANES;
        __m512d sum[PANELS];
#pragma GCC unroll 4
        for (size_t k = 0; k < PANELS; k++)
            sum[k] = _mm512_setzero_pd();
        for (size_t j = 0; j < d; j++) {
            const __m512d x = _mm512_set1_pd(query[j * QUERIES]);
#pragma GCC unroll 4
            for (size_t k = 0; k < PANELS; k++) {
                const __m512d t = _mm512_sub_pd(x, _mm512_loadu_pd(y + (k * d + j) * LANES));
                sum[k] = _mm512_add_pd(sum[k], _mm512_mul_pd(t, t));
            }
        }
#pragma GCC unroll 4
        for (size_t k = 0; k < PANELS; k++)
            _mm512_storeu_pd(out + (p + k) * LANES, root ? _mm512_sqrt_pd(sum[k]) : sum[k]);
    }
    one_body(n_panels - whole, d, panel + whole * d * LANES, query, root, out + whole * LANES);
}

AVX512 static double min_avx512(size_t n, const double *x, size_t *where)
{
    const size_t whole = n / LANES * LANES;
    __m512d least = _mm512_set1_pd(INFINITY);
    for (size_t i = 0; i < whole; i += LANES)
        least = _mm512_min_pd(least, _mm512_loadu_pd(x + i));
    double min = _mm512_reduce_min_pd(least);
    for (size_t i = whole; i < n; i++)
        min = x[i] < min ? x[i] : min;
    const __m512d v = _mm512_set1_pd(min);
    size_t i = 0;
    for (; i < whole; i += LANES) {
        const __mmask8 hit = _mm512_cmp_pd_mask(_mm512_loadu_pd(x + i), v, _CMP_EQ_OQ);
        if (hit) {
            *where = i + (size_t)__builtin_ctz(hit);
            return min;
        }
    }
    while (x[i] != min)
        i++;
    *where = i;
    return min;
}
#endif

void kymo_dist_panels(size_t n_panels, size_t d, const double *panel, const uint32_t *used,
                      const double *query, int root, double *const out[4])
{
#if defined(__x86_64__)
    switch (kymo_simd_level()) {
    case KYMO_SIMD_AVX512:
        panels_avx512(n_panels, d, panel, used, query, root, out);
        return;
    case KYMO_SIMD_AVX2:
        panels_avx2(n_panels, d, panel, used, query, root, out);
        return;
    default:
        break;
    }
#endif
    panels_plain(n_panels, d, panel, used, query, root, out);
}

void kymo_dist_panels_one(size_t n_panels, size_t d, const double *panel, const double *query,
                          int root, double *out)
{
#if defined(__x86_64__)
    if (kymo_simd_level() == KYMO_SIMD_AVX512) {
        one_avx512(n_panels, d, panel, query, root, out);
        return;
    }
#endif
    one_body(n_panels, d, panel, query, root, out);
}

double kymo_row_min(size_t n, const double *x, size_t *where)
{
#if defined(__x86_64__)
    if (kymo_simd_level() == KYMO_SIMD_AVX512)
        return min_avx512(n, x, where);
#endif
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] < x[best])
            best = i;
    *where = best;
    return x[best];
}
