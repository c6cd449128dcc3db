/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/openrows.h"

#include "format/num/simd/fold.h"

static size_t open_plain(size_t lo, size_t hi, const float *slack, const uint32_t *label,
                         size_t k, const float *drift, uint32_t *open)
{
    (void)k;
    size_t n = 0;
    for (size_t i = lo; i < hi; i++) {
        open[n] = (uint32_t)i;
        n += !(slack[i] > drift[label[i]]);
    }
    return n;
}

#if defined(__x86_64__)
#define LANES 16u

/* Up to 32 drifts are looked up in two registers, more in memory. */
KYMO_AVX512 static size_t open_avx512(size_t lo, size_t hi, const float *slack,
                                      const uint32_t *label, size_t k, const float *drift,
                                      uint32_t *open)
{
    const int few = k <= 2 * LANES;
    const __m512 low = _mm512_maskz_loadu_ps(kymo_lanes_512(k), drift);
    const __m512 high =
        k > LANES ? _mm512_maskz_loadu_ps(kymo_lanes_512(k - LANES), drift + LANES) : low;
    __m512i row = _mm512_add_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32((int)lo));
    size_t n = 0;
    for (size_t i = lo; i < hi; i += LANES) {
        const __mmask16 some = kymo_lanes_512(hi - i);
        const __m512i at = _mm512_maskz_loadu_epi32(some, label + i);
        const __m512 s = _mm512_maskz_loadu_ps(some, slack + i);
        const __m512 used =
            few ? _mm512_permutex2var_ps(low, at, high) : _mm512_i32gather_ps(at, drift, 4);
        const __mmask16 out = _mm512_mask_cmp_ps_mask(some, s, used, _CMP_NGT_UQ);
        if (out) {
            _mm512_storeu_si512(open + n, _mm512_maskz_compress_epi32(out, row));
            n += (size_t)__builtin_popcount(out);
        }
        row = _mm512_add_epi32(row, _mm512_set1_epi32(LANES));
    }
    return n;
}
#endif

kymo_openrows_fn *kymo_openrows_at(enum kymo_simd level)
{
#if defined(__x86_64__)
    if (level == KYMO_SIMD_AVX512)
        return open_avx512;
#endif
    (void)level;
    return open_plain;
}
