/* SPDX-License-Identifier: Apache-2.0
 * fold.h: sixteen sums in sixteen AVX-512 registers, folded into one.
 */
#ifndef KYMO_NUM_SIMD_FOLD_H
#define KYMO_NUM_SIMD_FOLD_H

#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

#define KYMO_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")))

/* The first `left` lanes, or all. */
KYMO_AVX512 static inline __attribute__((always_inline)) __mmask16 kymo_lanes_512(size_t left)
{
    const unsigned bits = left >= 16 ? 0xffffu : (1u << left) - 1;
    return (__mmask16)bits;
}

/* Lane i of the result is the sum of the lanes of a[i]: four times, pairs are laid side by side. */
KYMO_AVX512 static inline __attribute__((always_inline)) __m512
kymo_fold_512(const __m512 a[16])
{
    __m512 b[8], c[4], e[2];
    _Pragma("GCC unroll 8") for (unsigned i = 0; i < 8; i++) b[i] = _mm512_add_ps(
        _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]), _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]));
    _Pragma("GCC unroll 4") for (unsigned i = 0; i < 4; i++)
    {
        const __m512d lo = _mm512_castps_pd(b[2 * i]), hi = _mm512_castps_pd(b[2 * i + 1]);
        c[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi)));
    }
    _Pragma("GCC unroll 2") for (unsigned i = 0; i < 2; i++) e[i] =
        _mm512_add_ps(_mm512_shuffle_f32x4(c[2 * i], c[2 * i + 1], 0x88),
                      _mm512_shuffle_f32x4(c[2 * i], c[2 * i + 1], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(e[0], e[1], 0x88),
                         _mm512_shuffle_f32x4(e[0], e[1], 0xdd));
}

#endif

#endif
