/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/trials.h"

#include <assert.h>
#include <string.h>

#include "format/num/simd/fold.h"

#define LANES 16u
#define INLINE static inline __attribute__((always_inline))

typedef float f32x8 __attribute__((vector_size(32)));

INLINE void add_up(size_t pad, const float *near, const double *weight, const float *dist2,
                   double *sum)
{
    double total[KYMO_TRIALS_MAX];
    memcpy(total, sum, pad * sizeof(*sum));
    for (size_t r = 0; r < KYMO_TILE_ROWS; r++)
        for (size_t t = 0; t < pad; t++) {
            const float v = dist2[r * pad + t];
            total[t] += weight[r] * (double)(v < near[r] ? v : near[r]);
        }
    memcpy(sum, total, pad * sizeof(*sum));
}

INLINE float sqdist_body(size_t d, const float *a, const float *b)
{
    f32x8 lo = {0}, hi = {0}, v, w;
    size_t j = 0;
    for (; j + LANES <= d; j += LANES) {
        memcpy(&v, a + j, sizeof(v));
        memcpy(&w, b + j, sizeof(w));
        v -= w;
        lo += v * v;
        memcpy(&v, a + j + LANES / 2, sizeof(v));
        memcpy(&w, b + j + LANES / 2, sizeof(w));
        v -= w;
        hi += v * v;
    }
    lo += hi;
    float sum = ((lo[0] + lo[4]) + (lo[2] + lo[6])) + ((lo[1] + lo[5]) + (lo[3] + lo[7]));
    for (; j < d; j++)
        sum += (a[j] - b[j]) * (a[j] - b[j]);
    return sum;
}

INLINE void trials_body(size_t d, size_t n_cand, const float *x, size_t stride,
                        const float *cand, const float *near, const double *weight,
                        float *dist2, double *sum)
{
    const size_t pad = kymo_trials_pad(n_cand);
    memset(dist2, 0, KYMO_TILE_ROWS * pad * sizeof(*dist2));
    for (size_t r = 0; r < KYMO_TILE_ROWS; r++)
        for (size_t t = 0; t < n_cand; t++)
            dist2[r * pad + t] = sqdist_body(d, x + r * stride, cand + t * d);
    add_up(pad, near, weight, dist2, sum);
}

static void trials_plain(size_t d, size_t n_cand, const float *x, size_t stride,
                         const float *cand, const float *near, const double *weight,
                         float *dist2, double *sum)
{
    trials_body(d, n_cand, x, stride, cand, near, weight, dist2, sum);
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))

AVX2 static void trials_avx2(size_t d, size_t n_cand, const float *x, size_t stride,
                             const float *cand, const float *near, const double *weight,
                             float *dist2, double *sum)
{
    trials_body(d, n_cand, x, stride, cand, near, weight, dist2, sum);
}

/* R rows by T candidates in places for PAD, R PAD = 16: sums in registers, folded into one. */
#define TRIALS_512(R, T, PAD)                                                                  \
    KYMO_AVX512 static void trials_512_##T(size_t d, const float *x, size_t stride,            \
                                           const float *cand, float *dist2)                    \
    {                                                                                          \
        for (size_t r0 = 0; r0 < KYMO_TILE_ROWS; r0 += (R), x += (R)*stride) {                 \
            __m512 acc[LANES];                                                                 \
            _Pragma("GCC unroll 16") for (unsigned i = 0; i < LANES; i++) acc[i] =             \
                _mm512_setzero_ps();                                                           \
            for (size_t j = 0; j < d; j += LANES) {                                            \
                const __mmask16 some = kymo_lanes_512(d - j);                                  \
                __m512 row[R];                                                                 \
                _Pragma("GCC unroll 16") for (unsigned r = 0; r < (R); r++) row[r] =           \
                    _mm512_maskz_loadu_ps(some, x + r * stride + j);                           \
                _Pragma("GCC unroll 16") for (unsigned t = 0; t < (T); t++)                    \
                {                                                                              \
                    const __m512 c = _mm512_maskz_loadu_ps(some, cand + t * d + j);            \
                    _Pragma("GCC unroll 16") for (unsigned r = 0; r < (R); r++)                \
                    {                                                                          \
                        const __m512 v = _mm512_sub_ps(row[r], c);                             \
                        acc[r * (PAD) + t] = _mm512_fmadd_ps(v, v, acc[r * (PAD) + t]);        \
                    }                                                                          \
                }                                                                              \
            }                                                                                  \
            _mm512_storeu_ps(dist2 + r0 * (PAD), kymo_fold_512(acc));                          \
        }                                                                                      \
    }
TRIALS_512(4, 4, 4)
TRIALS_512(2, 5, 8)
TRIALS_512(2, 6, 8)
TRIALS_512(2, 8, 8)
TRIALS_512(1, 16, 16)

KYMO_AVX512 static void trials_avx512(size_t d, size_t n_cand, const float *x, size_t stride,
                                      const float *cand, const float *near,
                                      const double *weight, float *dist2, double *sum)
{
    if (n_cand <= 4)
        trials_512_4(d, x, stride, cand, dist2);
    else if (n_cand == 5)
        trials_512_5(d, x, stride, cand, dist2);
    else if (n_cand == 6)
        trials_512_6(d, x, stride, cand, dist2);
    else if (n_cand <= 8)
        trials_512_8(d, x, stride, cand, dist2);
    else
        trials_512_16(d, x, stride, cand, dist2);
    const size_t pad = kymo_trials_pad(n_cand);
    if (pad == 4)
        add_up(4, near, weight, dist2, sum);
    else
        add_up(pad, near, weight, dist2, sum);
}
#endif

kymo_trials_fn *kymo_trials_at(enum kymo_simd level)
{
#if defined(__x86_64__)
    if (level == KYMO_SIMD_AVX512)
        return trials_avx512;
    if (level == KYMO_SIMD_AVX2)
        return trials_avx2;
#endif
    (void)level;
    return trials_plain;
}
