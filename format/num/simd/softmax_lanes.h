/* SPDX-License-Identifier: Apache-2.0
 * softmax_lanes.h: the kernel of softmax.h for one vector width; see lanes.h.
 */
#ifndef LANES
#error "LANES says which level this is"
#endif
#include "format/num/simd/lanes.h"

/* exp(x) for x in -700..0: x = n ln 2 + r with |r| <= ln 2 / 2, and the series of exp(r), whose
 * first term left out is below 2^-57. */
LANES_INLINE vec_t LANES_FN(exp_neg)(vec_t x)
{
    static const double term[] = {1.0 / 6227020800,
                                  1.0 / 479001600,
                                  1.0 / 39916800,
                                  1.0 / 3628800,
                                  1.0 / 362880,
                                  1.0 / 40320,
                                  1.0 / 5040,
                                  1.0 / 720,
                                  1.0 / 120,
                                  1.0 / 24,
                                  1.0 / 6,
                                  0.5,
                                  1,
                                  1};
    const vec_t magic = v_set(0x1.8p52); /* an integer added to it lies in its low bits */
    const vec_t shifted = v_fma(x, v_set(0x1.71547652b82fep0), magic);
    const vec_t n = shifted - magic;
    vec_t r = v_fma(n, v_set(-0x1.62e42fefa3800p-1), x);
    r = v_fma(n, v_set(-0x1.ef35793c76730p-45), r);
    vec_t p = v_set(term[0]);
#pragma GCC unroll 16
    for (size_t i = 1; i < sizeof(term) / sizeof(term[0]); i++)
        p = v_fma(p, r, v_set(term[i]));
    return (vec_t)((bits_t)p + ((bits_t)shifted << 52));
}

/* log(x) for x in 1..2^1000: x = 2^n m with m in sqrt(1/2)..sqrt(2), and the series of
 * 2 atanh((m - 1) / (m + 1)), whose first term left out is below 2^-60. */
LANES_INLINE vec_t LANES_FN(log_above_one)(vec_t x)
{
    const bits_t sqrt_half = (bits_t)v_set(0x1.6a09e667f3bcdp-1);
    const bits_t n_bits = ((bits_t)x - sqrt_half) >> 52;
    const vec_t m = (vec_t)((bits_t)x - (n_bits << 52));
    const vec_t magic = v_set(0x1.8p52);
    const vec_t n = (vec_t)((bits_t)magic + n_bits) - magic;
    const vec_t t = (m - v_set(1)) / (m + v_set(1));
    const vec_t square = t * t;
    vec_t p = v_set(1.0 / 21);
#pragma GCC unroll 16
    for (int odd = 19; odd >= 3; odd -= 2)
        p = v_fma(p, square, v_set(1.0 / odd));
    const vec_t twice = t + t;
    const vec_t log_m = v_fma(twice * square, p, twice);
    return v_fma(n, v_set(0x1.62e42fefa3800p-1), v_fma(n, v_set(0x1.ef35793c76730p-45), log_m));
}

LANES_TARGET static void LANES_FN(softmax)(size_t k, size_t n_rows, size_t stride,
                                           const double *lp, double *resp, double *log_sum,
                                           double *entropy)
{
    for (size_t r = 0; r < n_rows; r += LANES_N) {
        vec_t top = v_load(lp + r);
        for (size_t c = 1; c < k; c++)
            top = v_max(top, v_load(lp + c * stride + r));
        vec_t sum = v_set(0), moment = v_set(0);
        for (size_t c = 0; c < k; c++) {
            const vec_t t = v_max(v_load(lp + c * stride + r) - top, v_set(SOFTMAX_LEAST));
            const vec_t e = LANES_FN(exp_neg)(t);
            sum = sum + e;
            moment = v_fma(e, t, moment);
            v_store(resp + c * stride + r, e);
        }
        const vec_t inverse = v_set(1) / sum;
        for (size_t c = 0; c < k; c++)
            v_store(resp + c * stride + r, v_zero_below(v_load(resp + c * stride + r) * inverse,
                                                        v_set(KYMO_RESP_MIN)));
        const vec_t log_of = LANES_FN(log_above_one)(sum);
        v_store(log_sum + r, top + log_of);
        v_store(entropy + r, v_max(log_of - moment * inverse, v_set(0)));
    }
}
