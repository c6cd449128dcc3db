/* SPDX-License-Identifier: Apache-2.0
 * lanes.h: one spelling for vectors of double. A kernel that is the same text for every level is a
 * NAME_lanes.h, included once a level by its NAME.c, with LANES set to the width in bits; this file
 * is included by it and so has no guard.
 *
 *   vec_t, LANES_N          the vector and how many doubles it holds
 *   LANES_FN(name)          the name of this level's function
 *   LANES_TARGET            its attribute; LANES_INLINE for parts that must become part of it
 */
#include "format/num/simd/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#undef LANES_FN
#undef LANES_TARGET
#undef LANES_INLINE
#undef LANES_N
#undef vec_t
#undef bits_t
#undef v_load
#undef v_load_f32
#undef v_store
#undef v_set
#undef v_fma
#undef v_fms
#undef v_min
#undef v_max
#undef v_zero_below

#ifndef KYMO_LANES_BITS
#define KYMO_LANES_BITS
typedef long long kymo_bits512 __attribute__((vector_size(64)));
typedef long long kymo_bits256 __attribute__((vector_size(32)));
typedef long long kymo_bits128 __attribute__((vector_size(16)));
#endif

/* v_fma: a * b + c; v_fms: a * b - c; one rounding each. v_min(a, b) is b where a is NaN.
 * v_zero_below(a, least): a, and 0 where it is below least. */
#if LANES == 512
#define LANES_FN(name) name##_avx512
#define LANES_TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")))
#define LANES_N 8
#define vec_t __m512d
#define bits_t kymo_bits512
#define v_load(p) _mm512_loadu_pd(p)
#define v_load_f32(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define v_store(p, a) _mm512_storeu_pd(p, a)
#define v_set(a) _mm512_set1_pd(a)
#define v_fma(a, b, c) _mm512_fmadd_pd(a, b, c)
#define v_fms(a, b, c) _mm512_fmsub_pd(a, b, c)
#define v_min(a, b) _mm512_min_pd(a, b)
#define v_max(a, b) _mm512_max_pd(a, b)
#define v_zero_below(a, least) _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(a, least, _CMP_GE_OQ), a)
#elif LANES == 256
#define LANES_FN(name) name##_avx2
#define LANES_TARGET __attribute__((target("avx2,fma")))
#define LANES_N 4
#define vec_t __m256d
#define bits_t kymo_bits256
#define v_load(p) _mm256_loadu_pd(p)
#define v_load_f32(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#define v_store(p, a) _mm256_storeu_pd(p, a)
#define v_set(a) _mm256_set1_pd(a)
#define v_fma(a, b, c) _mm256_fmadd_pd(a, b, c)
#define v_fms(a, b, c) _mm256_fmsub_pd(a, b, c)
#define v_min(a, b) _mm256_min_pd(a, b)
#define v_max(a, b) _mm256_max_pd(a, b)
#define v_zero_below(a, least) _mm256_and_pd(a, _mm256_cmp_pd(a, least, _CMP_GE_OQ))
#elif LANES == 128
#define LANES_FN(name) name##_neon
#define LANES_TARGET
#define LANES_N 2
#define vec_t float64x2_t
#define bits_t kymo_bits128
#define v_load(p) vld1q_f64(p)
#define v_load_f32(p) vcvt_f64_f32(vld1_f32(p))
#define v_store(p, a) vst1q_f64(p, a)
#define v_set(a) vdupq_n_f64(a)
#define v_fma(a, b, c) vfmaq_f64(c, a, b)
#define v_fms(a, b, c) vnegq_f64(vfmsq_f64(c, a, b))
#define v_min(a, b) vminnmq_f64(a, b)
#define v_max(a, b) vmaxnmq_f64(a, b)
#define v_zero_below(a, least)                                                                 \
    vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(a), vcgeq_f64(a, least)))
#else
#error "LANES is 512, 256 or 128"
#endif

#define LANES_INLINE LANES_TARGET __attribute__((always_inline)) static inline
