/* SPDX-License-Identifier: Apache-2.0
 * One body an operation, in vectors that the compiler cuts to what the target has; the variants differ
 * in the instructions only.
 */
#include "format/num/simd/rowops.h"

#include <string.h>

#define LANES 8u
#define HALF 4u /* lanes of one vector: wider ones are cut badly where they are not native */
#define INLINE static inline __attribute__((always_inline))

typedef double f64x4 __attribute__((vector_size(32)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef float f32x8 __attribute__((vector_size(32)));

#define LOAD_f64(v, p) memcpy(&(v), (p), sizeof(v))
#define LOAD_f32(v, p)                                                                         \
    do {                                                                                       \
        f32x4 narrow_;                                                                         \
        memcpy(&narrow_, (p), sizeof(narrow_));                                                \
        (v) = __builtin_convertvector(narrow_, f64x4);                                         \
    } while (0)

#define BODIES(T, real)                                                                        \
    INLINE void add_body_##T(size_t d, double w, const real *x, double *sum)                   \
    {                                                                                          \
        size_t j = 0;                                                                          \
        for (; j + HALF <= d; j += HALF) {                                                     \
            f64x4 v, s;                                                                        \
            LOAD_##T(v, x + j);                                                                \
            LOAD_f64(s, sum + j);                                                              \
            s += w * v;                                                                        \
            memcpy(sum + j, &s, sizeof(s));                                                    \
        }                                                                                      \
        for (; j < d; j++)                                                                     \
            sum[j] += w * (double)x[j];                                                        \
    }                                                                                          \
    INLINE double sqdist_body_##T(size_t d, const real *x, const double *c)                    \
    {                                                                                          \
        f64x4 lo = {0}, hi = {0}, v, s;                                                        \
        size_t j = 0;                                                                          \
        for (; j + LANES <= d; j += LANES) {                                                   \
            LOAD_##T(v, x + j);                                                                \
            LOAD_f64(s, c + j);                                                                \
            v -= s;                                                                            \
            lo += v * v;                                                                       \
            LOAD_##T(v, x + j + HALF);                                                         \
            LOAD_f64(s, c + j + HALF);                                                         \
            v -= s;                                                                            \
            hi += v * v;                                                                       \
        }                                                                                      \
        lo += hi;                                                                              \
        double sum = (lo[0] + lo[2]) + (lo[1] + lo[3]);                                        \
        for (; j < d; j++) {                                                                   \
            const double t = (double)x[j] - c[j];                                              \
            sum += t * t;                                                                      \
        }                                                                                      \
        return sum;                                                                            \
    }                                                                                          \
    INLINE void narrow_body_##T(size_t d, const real *x, const double *pivot, double scale,    \
                                float *out)                                                    \
    {                                                                                          \
        size_t j = 0;                                                                          \
        for (; j + HALF <= d; j += HALF) {                                                     \
            f64x4 v, s;                                                                        \
            LOAD_##T(v, x + j);                                                                \
            LOAD_f64(s, pivot + j);                                                            \
            const f32x4 narrow = __builtin_convertvector((v - s) * scale, f32x4);              \
            memcpy(out + j, &narrow, sizeof(narrow));                                          \
        }                                                                                      \
        for (; j < d; j++)                                                                     \
            out[j] = (float)(((double)x[j] - pivot[j]) * scale);                               \
    }
BODIES(f32, float)
BODIES(f64, double)

INLINE float dot_body(size_t d, const float *a, const float *b)
{
    f32x8 lo = {0}, hi = {0}, v, w;
    size_t j = 0;
    for (; j + 16 <= d; j += 16) {
        memcpy(&v, a + j, sizeof(v));
        memcpy(&w, b + j, sizeof(w));
        lo += v * w;
        memcpy(&v, a + j + 8, sizeof(v));
        memcpy(&w, b + j + 8, sizeof(w));
        hi += v * w;
    }
    lo += hi;
    float sum = ((lo[0] + lo[4]) + (lo[2] + lo[6])) + ((lo[1] + lo[5]) + (lo[3] + lo[7]));
    for (; j < d; j++)
        sum += a[j] * b[j];
    return sum;
}

/* Sixteen centres at a time, then four, then one: every sum runs over columns in the same order. */
INLINE void sqdist_all_body(size_t k, size_t d, const double *x, const double *packed,
                            double *dist)
{
    size_t c = 0;
    for (; c + 4 * HALF <= k; c += 4 * HALF) {
        f64x4 sum[4] = {{0}};
        for (size_t j = 0; j < d; j++)
            for (size_t i = 0; i < 4; i++) {
                f64x4 v;
                LOAD_f64(v, packed + j * k + c + i * HALF);
                v = x[j] - v;
                sum[i] += v * v;
            }
        memcpy(dist + c, sum, sizeof(sum));
    }
    for (; c + HALF <= k; c += HALF) {
        f64x4 sum = {0};
        for (size_t j = 0; j < d; j++) {
            f64x4 v;
            LOAD_f64(v, packed + j * k + c);
            v = x[j] - v;
            sum += v * v;
        }
        memcpy(dist + c, &sum, sizeof(sum));
    }
    for (; c < k; c++) {
        dist[c] = 0;
        for (size_t j = 0; j < d; j++)
            dist[c] += (x[j] - packed[j * k + c]) * (x[j] - packed[j * k + c]);
    }
}

/* NOLINTBEGIN(bugprone-macro-parentheses): TARGET is an attribute */
#define VARIANT(level, TARGET)                                                                 \
    TARGET static void add_f32_##level(size_t d, double w, const float *x, double *sum)        \
    {                                                                                          \
        add_body_f32(d, w, x, sum);                                                            \
    }                                                                                          \
    TARGET static void add_f64_##level(size_t d, double w, const double *x, double *sum)       \
    {                                                                                          \
        add_body_f64(d, w, x, sum);                                                            \
    }                                                                                          \
    TARGET static double sqdist_f32_##level(size_t d, const float *x, const double *c)         \
    {                                                                                          \
        return sqdist_body_f32(d, x, c);                                                       \
    }                                                                                          \
    TARGET static double sqdist_f64_##level(size_t d, const double *x, const double *c)        \
    {                                                                                          \
        return sqdist_body_f64(d, x, c);                                                       \
    }                                                                                          \
    TARGET static void sqdist_all_##level(size_t k, size_t d, const double *x,                 \
                                          const double *packed, double *dist)                  \
    {                                                                                          \
        sqdist_all_body(k, d, x, packed, dist);                                                \
    }                                                                                          \
    TARGET static void narrow_f32_##level(size_t d, const float *x, const double *pivot,       \
                                          double scale, float *out)                            \
    {                                                                                          \
        narrow_body_f32(d, x, pivot, scale, out);                                              \
    }                                                                                          \
    TARGET static void narrow_f64_##level(size_t d, const double *x, const double *pivot,      \
                                          double scale, float *out)                            \
    {                                                                                          \
        narrow_body_f64(d, x, pivot, scale, out);                                              \
    }                                                                                          \
    TARGET static float dot_##level(size_t d, const float *a, const float *b)                  \
    {                                                                                          \
        return dot_body(d, a, b);                                                              \
    }                                                                                          \
    static const struct kymo_rowops ops_##level = {                                            \
        add_f32_##level,    add_f64_##level,    sqdist_f32_##level, sqdist_f64_##level,        \
        sqdist_all_##level, narrow_f32_##level, narrow_f64_##level, dot_##level};
/* NOLINTEND(bugprone-macro-parentheses) */

VARIANT(plain, )
#if defined(__x86_64__)
VARIANT(avx2, __attribute__((target("avx2"))))
VARIANT(avx512, __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw"))))
#endif

const struct kymo_rowops *kymo_rowops_at(enum kymo_simd level)
{
#if defined(__x86_64__)
    if (level == KYMO_SIMD_AVX512)
        return &ops_avx512;
    if (level == KYMO_SIMD_AVX2)
        return &ops_avx2;
#endif
    (void)level;
    return &ops_plain;
}
