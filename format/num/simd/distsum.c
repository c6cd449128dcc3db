/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/distsum.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "format/num/simd/simd.h"

#define LANES KYMO_DISTSUM_LANES

static inline __attribute__((always_inline)) void add_body(const struct kymo_distsum *p,
                                                           size_t i, size_t lo, size_t hi,
                                                           double *rows, size_t stride,
                                                           double *others)
{
    const double *x = p->panel + i * p->d * LANES, *wx = p->weight + i * LANES;
    double sum[LANES][LANES];
    memset(sum, 0, sizeof(sum));
    for (size_t k = lo; k < hi; k++) {
        const double *y = p->panel + k * p->d * LANES, *wy = p->weight + k * LANES;
        double dist[LANES][LANES], column[LANES] = {0};
        memset(dist, 0, sizeof(dist));
        for (size_t j = 0; j < p->d; j++)
            for (size_t q = 0; q < LANES; q++)
                for (size_t l = 0; l < LANES; l++) {
                    const double v = x[j * LANES + q] - y[j * LANES + l];
                    dist[q][l] += v * v;
                }
        for (size_t q = 0; q < LANES; q++)
            for (size_t l = 0; l < LANES; l++) {
                const double r = sqrt(dist[q][l]);
                sum[q][l] += r * wy[l];
                column[l] += r * wx[q];
            }
        for (size_t l = 0; others && l < LANES; l++)
            others[k * LANES + l] += column[l];
        if (k + 1 < hi && p->group[k + 1] == p->group[k])
            continue;
        for (size_t q = 0; q < LANES; q++) {
            const double *s = sum[q];
            rows[p->group[k] * stride + q] +=
                ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
        }
        memset(sum, 0, sizeof(sum));
    }
}

static void add_plain(const struct kymo_distsum *p, size_t i, size_t lo, size_t hi,
                      double *rows, size_t stride, double *others)
{
    add_body(p, i, lo, hi, rows, stride, others);
}

#if defined(__x86_64__)
#define HALF 4u

__attribute__((target("avx2,fma"))) static double sum_of(__m256d a, __m256d b)
{
    double v[HALF];
    _mm256_storeu_pd(v, _mm256_add_pd(a, b));
    return (v[0] + v[2]) + (v[1] + v[3]);
}

/* Half a panel's places at a time, so that eight sums stay in registers. */
__attribute__((target("avx2,fma"))) static void add_avx2(const struct kymo_distsum *p, size_t i,
                                                         size_t lo, size_t hi, double *rows,
                                                         size_t stride, double *others)
{
    const double *x = p->panel + i * p->d * LANES, *wx = p->weight + i * LANES;
    __m256d sum[2][LANES];
    memset(sum, 0, sizeof(sum));
    for (size_t k = lo; k < hi; k++) {
        for (size_t h = 0; h < 2; h++) {
            const double *y = p->panel + k * p->d * LANES + h * HALF;
            const size_t place = k * LANES + h * HALF;
            __m256d dist[LANES], column = _mm256_setzero_pd();
#pragma GCC unroll 8
            for (size_t q = 0; q < LANES; q++)
                dist[q] = _mm256_setzero_pd();
            for (size_t j = 0; j < p->d; j++) {
                const __m256d v = _mm256_loadu_pd(y + j * LANES);
#pragma GCC unroll 8
                for (size_t q = 0; q < LANES; q++) {
                    const __m256d t = _mm256_sub_pd(_mm256_set1_pd(x[j * LANES + q]), v);
                    dist[q] = _mm256_fmadd_pd(t, t, dist[q]);
                }
            }
            const __m256d wy = _mm256_loadu_pd(p->weight + place);
#pragma GCC unroll 8
            for (size_t q = 0; q < LANES; q++) {
                const __m256d r = _mm256_sqrt_pd(dist[q]);
                sum[h][q] = _mm256_fmadd_pd(r, wy, sum[h][q]);
                column = _mm256_fmadd_pd(r, _mm256_set1_pd(wx[q]), column);
            }
            if (others)
                _mm256_storeu_pd(others + place,
                                 _mm256_add_pd(_mm256_loadu_pd(others + place), column));
        }
        if (k + 1 < hi && p->group[k + 1] == p->group[k])
            continue;
        for (size_t q = 0; q < LANES; q++)
            rows[p->group[k] * stride + q] += sum_of(sum[0][q], sum[1][q]);
        memset(sum, 0, sizeof(sum));
    }
}

__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"))) static void
add_avx512(const struct kymo_distsum *p, size_t i, size_t lo, size_t hi, double *rows,
           size_t stride, double *others)
{
    const double *x = p->panel + i * p->d * LANES, *wx = p->weight + i * LANES;
    __m512d sum[LANES];
#pragma GCC unroll 8
    for (size_t q = 0; q < LANES; q++)
        sum[q] = _mm512_setzero_pd();
    for (size_t k = lo; k < hi; k++) {
        const double *y = p->panel + k * p->d * LANES;
        const __m512d wy = _mm512_loadu_pd(p->weight + k * LANES);
        __m512d dist[LANES], column = _mm512_setzero_pd();
#pragma GCC unroll 8
        for (size_t q = 0; q < LANES; q++)
            dist[q] = _mm512_setzero_pd();
        for (size_t j = 0; j < p->d; j++) {
            const __m512d v = _mm512_loadu_pd(y + j * LANES);
#pragma GCC unroll 8
            for (size_t q = 0; q < LANES; q++) {
                const __m512d t = _mm512_sub_pd(v, _mm512_set1_pd(x[j * LANES + q]));
                dist[q] = _mm512_fmadd_pd(t, t, dist[q]);
            }
        }
#pragma GCC unroll 8
        for (size_t q = 0; q < LANES; q++) {
            const __m512d r = _mm512_sqrt_pd(dist[q]);
            sum[q] = _mm512_fmadd_pd(r, wy, sum[q]);
            column = _mm512_fmadd_pd(r, _mm512_set1_pd(wx[q]), column);
        }
        if (others)
            _mm512_storeu_pd(others + k * LANES,
                             _mm512_add_pd(_mm512_loadu_pd(others + k * LANES), column));
        if (k + 1 < hi && p->group[k + 1] == p->group[k])
            continue;
#pragma GCC unroll 8
        for (size_t q = 0; q < LANES; q++) {
            rows[p->group[k] * stride + q] += _mm512_reduce_add_pd(sum[q]);
            sum[q] = _mm512_setzero_pd();
        }
    }
}
#endif

void kymo_distsum_add(const struct kymo_distsum *p, size_t i, size_t lo, size_t hi,
                      double *rows, size_t stride, double *others)
{
#if defined(__x86_64__)
    switch (kymo_simd_level()) {
    case KYMO_SIMD_AVX512:
        add_avx512(p, i, lo, hi, rows, stride, others);
        return;
    case KYMO_SIMD_AVX2:
        add_avx2(p, i, lo, hi, rows, stride, others);
        return;
    default:
        break;
    }
#endif
    add_plain(p, i, lo, hi, rows, stride, others);
}
