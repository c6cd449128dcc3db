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
