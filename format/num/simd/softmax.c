/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/softmax.h"

#include <math.h>

#include "format/num/simd/pick.h"

/* No row's exp(lp - max) is taken below exp of this: far below KYMO_RESP_MIN, far above what
 * exponents can hold. */
#define SOFTMAX_LEAST (-700.0)

#if defined(__x86_64__)
#define LANES 256
#include "format/num/simd/softmax_lanes.h"
#undef LANES
#define LANES 512
#include "format/num/simd/softmax_lanes.h"
#undef LANES
#elif defined(__aarch64__)
#define LANES 128
#include "format/num/simd/softmax_lanes.h"
#undef LANES
#endif

void kymo_softmax(enum kymo_simd level, size_t k, size_t n_rows, size_t stride,
                  const double *lp, double *resp, double *log_sum, double *entropy)
{
    KYMO_TRY_LANES(level, softmax, k, n_rows, stride, lp, resp, log_sum, entropy);
    for (size_t r = 0; r < n_rows; r++) {
        double top = lp[r];
        for (size_t c = 1; c < k; c++)
            top = lp[c * stride + r] > top ? lp[c * stride + r] : top;
        double sum = 0, moment = 0;
        for (size_t c = 0; c < k; c++) {
            double t = lp[c * stride + r] - top;
            t = t > SOFTMAX_LEAST ? t : SOFTMAX_LEAST;
            const double e = exp(t);
            sum += e;
            moment += e * t;
            resp[c * stride + r] = e;
        }
        for (size_t c = 0; c < k; c++) {
            const double p = resp[c * stride + r] / sum;
            resp[c * stride + r] = p >= KYMO_RESP_MIN ? p : 0;
        }
        /* cppcheck-suppress invalidFunctionArg; the largest lp adds 1 */
        const double log_of = log(sum), h = log_of - moment / sum;
        log_sum[r] = top + log_of;
        entropy[r] = h > 0 ? h : 0;
    }
}

/* The rows, eight at a time; returns how many were looked at, and in *n how many found. */
#if defined(__x86_64__)
__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw"))) static size_t
rows_avx512(size_t n_rows, const double *resp, size_t lo, size_t *row, double *share, size_t *n)
{
    _Static_assert(sizeof(size_t) == sizeof(long long), "a lane holds an index");
    const __m512i eight = _mm512_set1_epi64(8);
    __m512i index = _mm512_add_epi64(_mm512_set1_epi64((long long)lo),
                                     _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    size_t r = 0, found = 0;
    for (; r + 8 <= n_rows; r += 8) {
        const __m512d v = _mm512_loadu_pd(resp + r);
        const __mmask8 some = _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_GT_OQ);
        _mm512_storeu_pd(share + found, _mm512_maskz_compress_pd(some, v));
        _mm512_storeu_si512(row + found, _mm512_maskz_compress_epi64(some, index));
        found += (size_t)__builtin_popcount(some);
        index = _mm512_add_epi64(index, eight);
    }
    *n = found;
    return r;
}
#endif

size_t kymo_softmax_rows(enum kymo_simd level, size_t n_rows, const double *resp, size_t lo,
                         size_t *row, double *share)
{
    size_t r = 0, n = 0;
#if defined(__x86_64__)
    if (level == KYMO_SIMD_AVX512)
        r = rows_avx512(n_rows, resp, lo, row, share, &n);
#else
    (void)level;
#endif
    for (; r < n_rows; r++) {
        row[n] = lo + r;
        share[n] = resp[r];
        n += resp[r] > 0; /* no branch: which rows do is as good as random */
    }
    return n;
}
