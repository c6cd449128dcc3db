/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/strips.h"

#include <string.h>

#include "format/base/size.h"
#include "format/num/simd/pick.h"

#if defined(__x86_64__)
#define LANES 256
#include "format/num/simd/strips_lanes.h"
#undef LANES
#define LANES 512
#include "format/num/simd/strips_lanes.h"
#undef LANES
#elif defined(__aarch64__)
#define LANES 128
#include "format/num/simd/strips_lanes.h"
#undef LANES
#endif

#define CACHE_LINE_BYTES 64u

static void strip_plain(const struct kymo_dense *x, size_t lo, size_t n_rows, double *out)
{
    for (size_t j = 0; j < x->d; j++)
        for (size_t r = 0; r < KYMO_STRIP_ROWS; r++)
            out[j * KYMO_STRIP_ROWS + r] = r < n_rows ? kymo_dense_at(x, lo + r, j) : 0;
}

static void strip_f64(enum kymo_simd level, const struct kymo_dense *x, size_t lo, double *out)
{
    KYMO_TRY_LANES(level, strip_f64, x->d, x->f64 + lo * x->d, out);
    strip_plain(x, lo, KYMO_STRIP_ROWS, out);
}

static void strip_f32(enum kymo_simd level, const struct kymo_dense *x, size_t lo, double *out)
{
    KYMO_TRY_LANES(level, strip_f32, x->d, x->f32 + lo * x->d, out);
    strip_plain(x, lo, KYMO_STRIP_ROWS, out);
}

/* Memory hands rows out fastest in the order in which they lie, which its prefetching follows; the
 * kernels take eight rows side by side, which it does not. So one number of every cache line is
 * read first, in order. */
static void touch(const void *rows, size_t size_bytes)
{
    const volatile unsigned char *p = rows;
    for (size_t at = 0; at < size_bytes; at += CACHE_LINE_BYTES)
        (void)p[at];
}

static void touch_strip(const struct kymo_dense *x, size_t lo)
{
    const size_t size = KYMO_STRIP_ROWS * x->d;
    if (x->f32)
        touch(x->f32 + lo * x->d, size * sizeof(float));
    else
        touch(x->f64 + lo * x->d, size * sizeof(double));
}

void kymo_strips(enum kymo_simd level, const struct kymo_dense *x, size_t lo, size_t n_rows,
                 double *out)
{
    size_t r = 0;
    for (; r + KYMO_STRIP_ROWS <= n_rows; r += KYMO_STRIP_ROWS, out += x->d * KYMO_STRIP_ROWS) {
        touch_strip(x, lo + r);
        if (x->f32)
            strip_f32(level, x, lo + r, out);
        else
            strip_f64(level, x, lo + r, out);
    }
    if (r < n_rows)
        strip_plain(x, lo + r, n_rows - r, out);
}

size_t kymo_factor_packed(size_t d)
{
    const size_t blocks = kymo_size_round_up(d, KYMO_FACTOR_ROWS) / KYMO_FACTOR_ROWS;
    return blocks * (blocks + 1) / 2 * KYMO_FACTOR_ROWS * KYMO_FACTOR_ROWS;
}

void kymo_factor_pack(size_t d, const double *P, double *out)
{
    for (size_t j0 = 0; j0 < d; j0 += KYMO_FACTOR_ROWS)
        for (size_t i = 0; i < j0 + KYMO_FACTOR_ROWS; i++)
            for (size_t j = j0; j < j0 + KYMO_FACTOR_ROWS; j++)
                *out++ = j < d && i <= j ? P[j * d + i] : 0;
}

static double at_most(double q)
{
    return q < KYMO_QUAD_MAX ? q : KYMO_QUAD_MAX;
}

static void quad_factor(enum kymo_simd level, size_t d, const double *packed,
                        const double *diff, double *y, double *q)
{
    KYMO_TRY_LANES(level, quad_factor, d, packed, diff, y, q);
    double sum[KYMO_STRIP_ROWS] = {0};
    const double *block = packed;
    for (size_t j0 = 0; j0 < d; j0 += KYMO_FACTOR_ROWS) {
        for (size_t j = j0; j < d && j < j0 + KYMO_FACTOR_ROWS; j++) {
            double t[KYMO_STRIP_ROWS] = {0};
            for (size_t i = 0; i <= j; i++)
                for (size_t r = 0; r < KYMO_STRIP_ROWS; r++)
                    t[r] +=
                        block[i * KYMO_FACTOR_ROWS + j - j0] * diff[i * KYMO_STRIP_ROWS + r];
            for (size_t r = 0; r < KYMO_STRIP_ROWS; r++)
                sum[r] += t[r] * t[r];
            if (y)
                memcpy(y + j * KYMO_STRIP_ROWS, t, sizeof(t));
        }
        block += (j0 + KYMO_FACTOR_ROWS) * KYMO_FACTOR_ROWS;
    }
    for (size_t r = 0; r < KYMO_STRIP_ROWS; r++)
        q[r] = at_most(sum[r]);
}

static void centre_strip(enum kymo_simd level, size_t d, const double *strip,
                         const double *mean, double *diff)
{
    KYMO_TRY_LANES(level, centre_strip, d, strip, mean, diff);
    for (size_t j = 0; j < d; j++)
        for (size_t r = 0; r < KYMO_STRIP_ROWS; r++)
            diff[j * KYMO_STRIP_ROWS + r] = strip[j * KYMO_STRIP_ROWS + r] - mean[j];
}

void kymo_quad_factor(enum kymo_simd level, size_t d, const double *strip, const double *mean,
                      const double *packed, double *diff, double *y, double *q)
{
    centre_strip(level, d, strip, mean, diff);
    /* The factor's last block may reach past d; its coefficients there are 0, and so must these
     * be, which scratch need not be. */
    const size_t past = kymo_size_round_up(d, KYMO_FACTOR_ROWS) - d;
    memset(diff + d * KYMO_STRIP_ROWS, 0, past * KYMO_STRIP_ROWS * sizeof(double));
    quad_factor(level, d, packed, diff, y, q);
}

void kymo_quad_diag(enum kymo_simd level, size_t d, size_t k, const double *strip,
                    const double *pairs, size_t stride, double *q)
{
    KYMO_TRY_LANES(level, quad_diag, d, k, strip, pairs, stride, q);
    for (size_t c = 0; c < k; c++) {
        double sum[KYMO_STRIP_ROWS] = {0};
        for (size_t j = 0; j < d; j++)
            for (size_t r = 0; r < KYMO_STRIP_ROWS; r++) {
                const double *pair = pairs + (c * d + j) * 2;
                const double t = strip[j * KYMO_STRIP_ROWS + r] * pair[0] - pair[1];
                sum[r] += t * t;
            }
        for (size_t r = 0; r < KYMO_STRIP_ROWS; r++)
            q[c * stride + r] = at_most(sum[r]);
    }
}

static void dot_strip(enum kymo_simd level, size_t d, size_t m, const double *diff,
                      const double *C, double *y)
{
    KYMO_TRY_LANES(level, dot_strip, d, m, diff, C, y);
    for (size_t c = 0; c < m; c++)
        for (size_t r = 0; r < KYMO_STRIP_ROWS; r++) {
            double sum = 0;
            for (size_t j = 0; j < d; j++)
                sum += C[c * d + j] * diff[j * KYMO_STRIP_ROWS + r];
            y[c * KYMO_STRIP_ROWS + r] = sum;
        }
}

void kymo_dot_strip(enum kymo_simd level, size_t d, size_t m, const double *strip,
                    const double *mean, const double *C, double *diff, double *y)
{
    centre_strip(level, d, strip, mean, diff);
    dot_strip(level, d, m, diff, C, y);
}
