/* SPDX-License-Identifier: Apache-2.0
 * strips_lanes.h: the kernels of strips.h for one vector width; see lanes.h.
 */
#ifndef LANES
#error "LANES says which level this is"
#endif
#include "format/num/simd/lanes.h"

#undef V_ROWS
#undef F_ROWS
#undef D_COMPS
#define V_ROWS 3 /* vectors of rows side by side */
#if LANES == 256
#define F_ROWS 4  /* 12 sums, 3 of rows, 1 coefficient: all sixteen registers */
#define D_COMPS 2 /* 6 sums, 3 of rows, 4 coefficients */
#else
#define F_ROWS 8  /* 24 sums, 3 of rows, 1 coefficient: of thirty-two */
#define D_COMPS 4 /* 12 sums, 3 of rows, 8 coefficients */
#endif

#if LANES == 512
LANES_INLINE void LANES_FN(turn)(vec_t r[LANES_N])
{
    vec_t t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    for (int odd = 0; odd < 2; odd++) {
        const vec_t a = _mm512_shuffle_f64x2(t[odd], t[odd + 2], 0x88);
        const vec_t b = _mm512_shuffle_f64x2(t[odd + 4], t[odd + 6], 0x88);
        const vec_t c = _mm512_shuffle_f64x2(t[odd], t[odd + 2], 0xdd);
        const vec_t e = _mm512_shuffle_f64x2(t[odd + 4], t[odd + 6], 0xdd);
        r[odd] = _mm512_shuffle_f64x2(a, b, 0x88);
        r[odd + 4] = _mm512_shuffle_f64x2(a, b, 0xdd);
        r[odd + 2] = _mm512_shuffle_f64x2(c, e, 0x88);
        r[odd + 6] = _mm512_shuffle_f64x2(c, e, 0xdd);
    }
}
#elif LANES == 256
LANES_INLINE void LANES_FN(turn)(vec_t r[LANES_N])
{
    const vec_t a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    const vec_t c = _mm256_unpacklo_pd(r[2], r[3]), e = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, e, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, e, 0x31);
}
#else
LANES_INLINE void LANES_FN(turn)(vec_t r[LANES_N])
{
    const vec_t a = r[0];
    r[0] = vtrn1q_f64(a, r[1]);
    r[1] = vtrn2q_f64(a, r[1]);
}
#endif

/* One full strip of rows that lie d apart; is_f32 is constant where this is expanded. */
LANES_INLINE void LANES_FN(strip_of)(size_t d, const void *x, int is_f32, double *out)
{
    const float *f = x;
    const double *g = x;
    for (size_t r0 = 0; r0 < KYMO_STRIP_ROWS; r0 += LANES_N) {
        size_t j = 0;
        for (; j + LANES_N <= d; j += LANES_N) {
            vec_t v[LANES_N];
            for (size_t r = 0; r < LANES_N; r++)
                v[r] = is_f32 ? v_load_f32(f + (r0 + r) * d + j) : v_load(g + (r0 + r) * d + j);
            LANES_FN(turn)(v);
            for (size_t r = 0; r < LANES_N; r++)
                v_store(out + (j + r) * KYMO_STRIP_ROWS + r0, v[r]);
        }
        for (; j < d; j++)
            for (size_t r = r0; r < r0 + LANES_N; r++)
                out[j * KYMO_STRIP_ROWS + r] = is_f32 ? (double)f[r * d + j] : g[r * d + j];
    }
}

LANES_TARGET static void LANES_FN(strip_f64)(size_t d, const double *x, double *out)
{
    LANES_FN(strip_of)(d, x, 0, out);
}

LANES_TARGET static void LANES_FN(strip_f32)(size_t d, const float *x, double *out)
{
    LANES_FN(strip_of)(d, x, 1, out);
}

/* Rows j0 .. j0 + jn - 1 of P on V_ROWS vectors of rows; jn is constant where this is expanded.
 * P points at row j0 in column 0 of its packed block. */
LANES_INLINE void LANES_FN(factor_rows)(size_t j0, size_t jn, const double *diff,
                                        const double *P, double *y, vec_t q[V_ROWS])
{
    vec_t sum[F_ROWS][V_ROWS];
    for (size_t j = 0; j < jn; j++)
        for (size_t v = 0; v < V_ROWS; v++)
            sum[j][v] = v_set(0);
    for (size_t i = 0; i < j0; i++) {
        vec_t x[V_ROWS];
        for (size_t v = 0; v < V_ROWS; v++)
            x[v] = v_load(diff + i * KYMO_STRIP_ROWS + v * LANES_N);
        for (size_t j = 0; j < jn; j++) {
            const vec_t p = v_set(P[i * KYMO_FACTOR_ROWS + j]);
            for (size_t v = 0; v < V_ROWS; v++)
                sum[j][v] = v_fma(p, x[v], sum[j][v]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < jn; i++) {
        vec_t x[V_ROWS];
        for (size_t v = 0; v < V_ROWS; v++)
            x[v] = v_load(diff + (j0 + i) * KYMO_STRIP_ROWS + v * LANES_N);
        for (size_t j = i; j < jn; j++) {
            const vec_t p = v_set(P[(j0 + i) * KYMO_FACTOR_ROWS + j]);
            for (size_t v = 0; v < V_ROWS; v++)
                sum[j][v] = v_fma(p, x[v], sum[j][v]);
        }
    }
    for (size_t j = 0; j < jn; j++)
        for (size_t v = 0; v < V_ROWS; v++) {
            if (y)
                v_store(y + (j0 + j) * KYMO_STRIP_ROWS + v * LANES_N, sum[j][v]);
            q[v] = v_fma(sum[j][v], sum[j][v], q[v]);
        }
}

LANES_TARGET static void LANES_FN(quad_factor)(size_t d, const double *packed,
                                               const double *diff, double *y, double *q)
{
    for (size_t r0 = 0; r0 < KYMO_STRIP_ROWS; r0 += V_ROWS * LANES_N) {
        const double *P = packed;
        double *const out = y ? y + r0 : NULL;
        vec_t sum[V_ROWS];
        for (size_t v = 0; v < V_ROWS; v++)
            sum[v] = v_set(0);
        for (size_t j = 0; j < d; j += KYMO_FACTOR_ROWS) {
            size_t sub = 0;
            for (; sub + F_ROWS <= KYMO_FACTOR_ROWS && j + sub + F_ROWS / 2 < d; sub += F_ROWS)
                LANES_FN(factor_rows)(j + sub, F_ROWS, diff + r0, P + sub, out, sum);
            if (sub < KYMO_FACTOR_ROWS && j + sub < d)
                LANES_FN(factor_rows)(j + sub, F_ROWS / 2, diff + r0, P + sub, out, sum);
            P += (j + KYMO_FACTOR_ROWS) * KYMO_FACTOR_ROWS;
        }
        for (size_t v = 0; v < V_ROWS; v++)
            v_store(q + r0 + v * LANES_N, v_min(sum[v], v_set(KYMO_QUAD_MAX)));
    }
}

LANES_TARGET static void LANES_FN(centre_strip)(size_t d, const double *strip,
                                                const double *mean, double *diff)
{
    for (size_t j = 0; j < d; j++)
        for (size_t r = 0; r < KYMO_STRIP_ROWS; r += LANES_N)
            v_store(diff + j * KYMO_STRIP_ROWS + r,
                    v_load(strip + j * KYMO_STRIP_ROWS + r) - v_set(mean[j]));
}

/* kn components on V_ROWS vectors of rows; kn is constant where this is expanded. */
LANES_INLINE void LANES_FN(diag_comps)(size_t d, size_t kn, const double *strip,
                                       const double *pairs, size_t stride, double *q)
{
    vec_t sum[D_COMPS][V_ROWS];
    for (size_t c = 0; c < kn; c++)
        for (size_t v = 0; v < V_ROWS; v++)
            sum[c][v] = v_set(0);
    for (size_t j = 0; j < d; j++) {
        vec_t x[V_ROWS];
        for (size_t v = 0; v < V_ROWS; v++)
            x[v] = v_load(strip + j * KYMO_STRIP_ROWS + v * LANES_N);
        for (size_t c = 0; c < kn; c++) {
            const vec_t scale = v_set(pairs[(c * d + j) * 2]);
            const vec_t offset = v_set(pairs[(c * d + j) * 2 + 1]);
            for (size_t v = 0; v < V_ROWS; v++) {
                const vec_t t = v_fms(x[v], scale, offset);
                sum[c][v] = v_fma(t, t, sum[c][v]);
            }
        }
    }
    for (size_t c = 0; c < kn; c++)
        for (size_t v = 0; v < V_ROWS; v++)
            v_store(q + c * stride + v * LANES_N, v_min(sum[c][v], v_set(KYMO_QUAD_MAX)));
}

LANES_TARGET static void LANES_FN(quad_diag)(size_t d, size_t k, const double *strip,
                                             const double *pairs, size_t stride, double *q)
{
    for (size_t r0 = 0; r0 < KYMO_STRIP_ROWS; r0 += V_ROWS * LANES_N) {
        size_t c = 0;
        for (; c + D_COMPS <= k; c += D_COMPS)
            LANES_FN(diag_comps)
        (d, D_COMPS, strip + r0, pairs + c * d * 2, stride, q + c * stride + r0);
        for (; c < k; c++)
            LANES_FN(diag_comps)
        (d, 1, strip + r0, pairs + c * d * 2, stride, q + c * stride + r0);
    }
}

/* mn rows of C on V_ROWS vectors of rows; mn is constant where this is expanded. */
LANES_INLINE void LANES_FN(dot_rows)(size_t d, size_t mn, const double *diff, const double *C,
                                     double *y)
{
    vec_t sum[D_COMPS][V_ROWS];
    for (size_t c = 0; c < mn; c++)
        for (size_t v = 0; v < V_ROWS; v++)
            sum[c][v] = v_set(0);
    for (size_t j = 0; j < d; j++) {
        vec_t x[V_ROWS];
        for (size_t v = 0; v < V_ROWS; v++)
            x[v] = v_load(diff + j * KYMO_STRIP_ROWS + v * LANES_N);
        for (size_t c = 0; c < mn; c++) {
            const vec_t along = v_set(C[c * d + j]);
            for (size_t v = 0; v < V_ROWS; v++)
                sum[c][v] = v_fma(along, x[v], sum[c][v]);
        }
    }
    for (size_t c = 0; c < mn; c++)
        for (size_t v = 0; v < V_ROWS; v++)
            v_store(y + c * KYMO_STRIP_ROWS + v * LANES_N, sum[c][v]);
}

LANES_TARGET static void LANES_FN(dot_strip)(size_t d, size_t m, const double *diff,
                                             const double *C, double *y)
{
    for (size_t r0 = 0; r0 < KYMO_STRIP_ROWS; r0 += V_ROWS * LANES_N) {
        size_t c = 0;
        for (; c + D_COMPS <= m; c += D_COMPS)
            LANES_FN(dot_rows)(d, D_COMPS, diff + r0, C + c * d, y + c * KYMO_STRIP_ROWS + r0);
        for (; c < m; c++)
            LANES_FN(dot_rows)(d, 1, diff + r0, C + c * d, y + c * KYMO_STRIP_ROWS + r0);
    }
}
