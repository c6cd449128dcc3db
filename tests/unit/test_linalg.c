/* SPDX-License-Identifier: Apache-2.0
 * Small matrices, and the vector kernels beside their plain twins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/eigen.h"
#include "format/base/size.h"
#include "format/num/columns.h"
#include "format/num/linalg.h"
#include "format/num/logsumexp.h"
#include "format/num/simd/moments.h"
#include "format/num/simd/softmax.h"
#include "format/num/simd/strips.h"
#include "format/num/slots.h"
#include "tests/unit/testrows.h"

#define D_MAX 40

static void random_matrix(struct kymo_rng *r, size_t d, double *A)
{
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++)
            A[i * d + j] = A[j * d + i] = rows_normal(r);
}

static void random_lower(struct kymo_rng *r, size_t d, double *L)
{
    memset(L, 0, d * d * sizeof(double));
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j < i; j++)
            L[i * d + j] = rows_normal(r);
        L[i * d + i] = 1 + kymo_rng_unit(r);
    }
}

static double dot(size_t n, const double *a, size_t a_step, const double *b, size_t b_step)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i * a_step] * b[i * b_step];
    return sum;
}

static void a_factor_times_itself_is_the_matrix(void **state)
{
    (void)state;
    static double L[D_MAX * D_MAX], A[D_MAX * D_MAX], got[D_MAX * D_MAX], P[D_MAX * D_MAX];
    struct kymo_rng r;
    kymo_rng_init(&r, 1);
    for (size_t d = 1; d <= D_MAX; d++) {
        random_lower(&r, d, L);
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                A[i * d + j] = dot(d, L + i * d, 1, L + j * d, 1);
        assert_true(kymo_cholesky(d, A, got));
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) {
                rows_near(dot(d, got + i * d, 1, got + j * d, 1), A[i * d + j], 1e-12, 1e-11);
                assert_true(j <= i || got[i * d + j] == 0);
            }
        random_lower(&r, d, L);
        for (size_t i = 0; i < d; i++) /* far from singular, or the inverse is all rounding */
            for (size_t j = 0; j < i; j++)
                L[i * d + j] *= 0.2;
        kymo_lower_inverse(d, L, P);
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                rows_near(dot(d, P + i * d, 1, L + j, d), i == j, 0, 1e-10);
        /* in place too */
        assert_true(kymo_cholesky(d, A, A));
        assert_memory_equal(A, got, d * d * sizeof(double));
    }
}

static void what_is_not_positive_definite_has_no_factor(void **state)
{
    (void)state;
    double L[9];
    const double negative[] = {-1}, zero[] = {0};
    const double flat[] = {4, 2, 2, 1}, saddle[] = {1, 2, 2, 1};
    assert_false(kymo_cholesky(1, negative, L));
    assert_false(kymo_cholesky(1, zero, L));
    assert_false(kymo_cholesky(2, flat, L));
    assert_false(kymo_cholesky(2, saddle, L));
}

static void eigenvectors_give_the_matrix_back(void **state)
{
    (void)state;
    static double A[D_MAX * D_MAX], V[D_MAX * D_MAX], value[D_MAX];
    struct kymo_rng r;
    kymo_rng_init(&r, 2);
    for (size_t d = 1; d <= D_MAX; d++) {
        random_matrix(&r, d, A);
        memcpy(V, A, d * d * sizeof(double));
        assert_true(kymo_eigen_sym(d, V, value));
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) {
                double sum = 0;
                for (size_t a = 0; a < d; a++)
                    sum += V[a * d + i] * value[a] * V[a * d + j];
                rows_near(sum, A[i * d + j], 0, 1e-12);
            }
        for (size_t i = 1; i < d; i++)
            assert_true(value[i] >= value[i - 1]);
    }
}

static void logs_of_sums_do_not_overflow(void **state)
{
    (void)state;
    const double large[] = {1000, 1000}, small[] = {-1000, -INFINITY, -1000};
    const double none[] = {-INFINITY, -INFINITY}, one[] = {3.5};
    rows_near(kymo_logsumexp(2, large), 1000 + log(2), 1e-15, 0);
    rows_near(kymo_logsumexp(3, small), -1000 + log(2), 1e-15, 0);
    assert_true(kymo_logsumexp(2, none) == -INFINITY);
    assert_true(kymo_logsumexp(1, one) == 3.5);
}

/* The levels that this CPU has, the plain one first. */
static size_t levels(enum kymo_simd out[4])
{
    size_t n = 0;
    out[n++] = KYMO_SIMD_PLAIN;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out[n++] = KYMO_SIMD_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        out[n++] = KYMO_SIMD_AVX512;
#elif defined(__aarch64__)
    out[n++] = KYMO_SIMD_NEON;
#endif
    return n;
}

static void strips_hold_the_rows_at_every_level(void **state)
{
    (void)state;
    enum { N = 55 };
    static double rows[N * D_MAX], out[72 * D_MAX];
    static float f32[N * D_MAX];
    for (size_t i = 0; i < N * D_MAX; i++)
        rows[i] = f32[i] = (float)i;
    enum kymo_simd level[4];
    const size_t n_levels = levels(level);
    for (size_t d = 1; d <= D_MAX; d++)
        for (size_t l = 0; l < n_levels; l++)
            for (int is_f32 = 0; is_f32 < 2; is_f32++) {
                const struct kymo_dense x = {N, d, is_f32 ? f32 : NULL, is_f32 ? NULL : rows,
                                             NULL};
                memset(out, 0x5a, sizeof(out));
                kymo_strips(level[l], &x, 2, N - 2, out);
                for (size_t i = 0; i < 72; i++)
                    for (size_t j = 0; j < d; j++) {
                        const double got = out[(i / 24 * d + j) * 24 + i % 24];
                        assert_true(got == (i < N - 2 ? rows[(i + 2) * d + j] : 0));
                    }
            }
}

static void distances_are_what_plain_c_says(void **state)
{
    (void)state;
    static double strip[D_MAX * 24], diff[D_MAX * 24], y[D_MAX * 24], P[D_MAX * D_MAX];
    static double packed[D_MAX * D_MAX * 2], mean[D_MAX], pairs[7 * D_MAX * 2], q[24 * 7];
    struct kymo_rng r;
    kymo_rng_init(&r, 3);
    enum kymo_simd level[4];
    const size_t n_levels = levels(level);
    for (size_t d = 1; d <= D_MAX; d++) {
        for (size_t i = 0; i < d * 24; i++)
            strip[i] = rows_normal(&r);
        for (size_t j = 0; j < d; j++)
            mean[j] = rows_normal(&r);
        for (size_t i = 0; i < 14 * d; i++)
            pairs[i] = rows_normal(&r);
        random_lower(&r, d, P);
        assert_true(kymo_factor_packed(d) <= KYMO_COUNT_OF(packed));
        kymo_factor_pack(d, P, packed);
        for (size_t l = 0; l < n_levels; l++) {
            memset(diff, 0xff, sizeof(diff)); /* NaN: none of it may show */
            kymo_quad_factor(level[l], d, strip, mean, packed, diff, y, q);
            for (size_t i = 0; i < 24; i++) {
                double want = 0;
                for (size_t j = 0; j < d; j++) {
                    double t = 0;
                    for (size_t a = 0; a <= j; a++)
                        t += P[j * d + a] * (strip[a * 24 + i] - mean[a]);
                    rows_near(y[j * 24 + i], t, 0, 1e-12);
                    want += t * t;
                }
                rows_near(q[i], want, 1e-12, 0);
            }
            kymo_dot_strip(level[l], d, 7, strip, mean, pairs, diff, q);
            for (size_t i = 0; i < 24 * 7; i++) {
                double want = 0;
                for (size_t j = 0; j < d; j++)
                    want += pairs[i / 24 * d + j] * (strip[j * 24 + i % 24] - mean[j]);
                rows_near(q[i], want, 0, 1e-12);
            }
            kymo_quad_diag(level[l], d, 7, strip, pairs, 24, q);
            for (size_t i = 0; i < 24 * 7; i++) {
                double want = 0;
                for (size_t j = 0; j < d; j++) {
                    const double *pair = pairs + (i / 24 * d + j) * 2;
                    const double t = strip[j * 24 + i % 24] * pair[0] - pair[1];
                    want += t * t;
                }
                rows_near(q[i], want, 1e-12, 0);
            }
        }
    }
}

static void distances_that_overflow_are_cut_and_never_nan(void **state)
{
    (void)state;
    double strip[48], diff[24 * 8], q[24], packed[64];
    const double P[] = {1e200, 0, -1e200, 1e200}, mean[] = {0, 0};
    const double pairs[] = {1e300, 0, 1e300, 0};
    for (size_t i = 0; i < 48; i++)
        strip[i] = 1e200;
    kymo_factor_pack(2, P, packed);
    enum kymo_simd level[4];
    const size_t n_levels = levels(level);
    for (size_t l = 0; l < n_levels; l++) {
        kymo_quad_factor(level[l], 2, strip, mean, packed, diff, NULL, q);
        for (size_t i = 0; i < 24; i++)
            assert_true(q[i] == KYMO_QUAD_MAX);
        kymo_quad_diag(level[l], 2, 1, strip, pairs, 24, q);
        for (size_t i = 0; i < 24; i++)
            assert_true(q[i] == KYMO_QUAD_MAX);
    }
}

static void shares_are_what_the_c_library_says(void **state)
{
    (void)state;
    enum { N = 240 };
    static double lp[9 * N], resp[9 * N], log_sum[N], entropy[N];
    struct kymo_rng r;
    kymo_rng_init(&r, 4);
    enum kymo_simd level[4];
    const size_t n_levels = levels(level);
    for (size_t k = 1; k <= 9; k++) {
        for (size_t i = 0; i < k * N; i++)
            lp[i] = -300 + pow(10, (double)(i % 5) - 2) * rows_normal(&r);
        if (k > 2)
            for (size_t i = 0; i < N; i++) /* a component without mass, and one out of sight */
                lp[N + i] = i % 2 ? -INFINITY : -0x1p900;
        for (size_t l = 0; l < n_levels; l++) {
            kymo_softmax(level[l], k, N, N, lp, resp, log_sum, entropy);
            for (size_t i = 0; i < N; i++) {
                double row[9], h = 0;
                for (size_t c = 0; c < k; c++)
                    row[c] = lp[c * N + i];
                const double want = kymo_logsumexp(k, row);
                rows_near(log_sum[i], want, 4e-16, 1e-15);
                for (size_t c = 0; c < k; c++) {
                    const double p = exp(row[c] - want);
                    if (p < KYMO_RESP_MIN * 0.99)
                        assert_true(resp[c * N + i] == 0);
                    else if (p > KYMO_RESP_MIN * 1.01)
                        rows_near(resp[c * N + i], p, 2e-13, 0); /* exp() of a rounded sum */
                    h -= p > 0 ? p * (row[c] - want) : 0;
                }
                assert_true(entropy[i] >= 0);
                rows_near(entropy[i], h, 1e-12, 1e-12);
            }
        }
    }
}

static void rows_with_a_share_are_found_in_order(void **state)
{
    (void)state;
    enum { N = 61 };
    double resp[N], share[N + KYMO_RESP_SLACK];
    size_t row[N + KYMO_RESP_SLACK];
    enum kymo_simd level[4];
    const size_t n_levels = levels(level);
    struct kymo_rng r;
    kymo_rng_init(&r, 9);
    for (size_t n = 0; n <= N; n++) {
        for (size_t i = 0; i < n; i++)
            resp[i] = kymo_rng_below(&r, 3) ? kymo_rng_unit(&r) : 0;
        for (size_t l = 0; l < n_levels; l++) {
            const size_t found = kymo_softmax_rows(level[l], n, resp, 100, row, share);
            size_t at = 0;
            for (size_t i = 0; i < n; i++)
                if (resp[i] > 0) {
                    assert_true(at < found && row[at] == 100 + i && share[at] == resp[i]);
                    at++;
                }
            assert_int_equal(at, found);
        }
    }
}

static void shares_differ_between_levels_by_a_few_roundings(void **state)
{
    (void)state;
    enum { N = 4096, K = 3 };
    static double lp[K * N], plain[K * N], resp[K * N], log_plain[N], log_sum[N], h[N];
    struct kymo_rng r;
    kymo_rng_init(&r, 4);
    for (size_t i = 0; i < K * N; i++)
        lp[i] = -60 * kymo_rng_unit(&r);
    enum kymo_simd level[4];
    const size_t n_levels = levels(level);
    kymo_softmax(KYMO_SIMD_PLAIN, K, N, N, lp, plain, log_plain, h);
    for (size_t l = 1; l < n_levels; l++) {
        kymo_softmax(level[l], K, N, N, lp, resp, log_sum, h);
        for (size_t i = 0; i < K * N; i++)
            rows_near(resp[i], plain[i], 4 * 0x1p-52, 0);
        for (size_t i = 0; i < N; i++)
            rows_near(log_sum[i], log_plain[i], 0x1p-52, 4 * 0x1p-52);
    }
}

static void moments_are_what_plain_c_says(void **state)
{
    (void)state;
    enum { N = 70 };
    static double rows[N * D_MAX], B[N * D_MAX], tiles[D_MAX * D_MAX * 2], S[D_MAX * D_MAX];
    static float f32[N * D_MAX];
    struct kymo_rng r;
    kymo_rng_init(&r, 6);
    double shift[D_MAX], weight[N], root[N];
    size_t row[N];
    for (size_t i = 0; i < N * D_MAX; i++)
        rows[i] = f32[i] = (float)rows_normal(&r);
    for (size_t i = 0; i < N; i++) {
        row[i] = (i * 37) % N;
        weight[i] = kymo_rng_unit(&r);
        root[i] = sqrt(weight[i]);
    }
    enum kymo_simd level[4];
    const size_t n_levels = levels(level);
    for (size_t d = 1; d <= D_MAX; d++)
        for (size_t l = 0; l < n_levels * 2; l++) {
            const struct kymo_dense x = {N, d, l % 2 ? f32 : NULL, l % 2 ? NULL : rows, NULL};
            double sum[D_MAX] = {0}, square[D_MAX] = {0}, first[D_MAX] = {0};
            for (size_t j = 0; j < d; j++)
                shift[j] = (double)j / 8;
            memset(tiles, 0, sizeof(tiles));
            memset(B, 0xff, sizeof(B));
            kymo_moments(level[l / 2], &x, N, row, weight, shift, sum, square);
            kymo_gather(level[l / 2], &x, N, row, root, shift, B, first);
            kymo_scatter(level[l / 2], N, d, B, tiles);
            assert_true(kymo_tiles_size(d) <= KYMO_COUNT_OF(tiles));
            kymo_tiles_unpack(d, tiles, S);
            for (size_t a = 0; a < d; a++) {
                double want = 0;
                for (size_t i = 0; i < N; i++)
                    want += weight[i] * (rows[row[i] * d + a] - shift[a]);
                rows_near(sum[a], want, 0, 1e-12);
                rows_near(first[a], want, 0, 1e-12);
                rows_near(square[a], S[a * d + a], 1e-12, 0);
                for (size_t b = 0; b < d; b++) {
                    want = 0;
                    for (size_t i = 0; i < N; i++)
                        want += weight[i] * (rows[row[i] * d + a] - shift[a]) *
                                (rows[row[i] * d + b] - shift[b]);
                    rows_near(S[a * d + b], want, 0, 1e-12);
                }
            }
        }
}

static void columns_far_out_keep_their_spread(void **state)
{
    (void)state;
    enum { N = 5000 };
    static double rows[N * 3];
    for (size_t i = 0; i < N; i++) {
        rows[i * 3] = 1e8 + (double)(i % 2);
        rows[i * 3 + 1] = 0.1;
        rows[i * 3 + 2] = i ? (double)(i % 2) : 1e9; /* the first row is no measure */
    }
    const struct kymo_dense x = {.n = N, .d = 3, .f64 = rows};
    double mean[3], var[3], total;
    assert_int_equal(kymo_column_moments(&x, 2, mean, var, &total, NULL), KYMO_OK);
    assert_true(total == N && mean[0] == 1e8 + 0.5 && mean[1] == 0.1 && var[1] == 0);
    rows_near(var[0], 0.25, 1e-14, 0);
    const double m = (1e9 + 2500) / N;
    rows_near(mean[2], m, 1e-14, 0);
    rows_near(var[2], (1e18 + 2500) / N - m * m, 1e-10, 0);
}

struct seen {
    size_t n_slots, block[64], slot[64];
};

static void note(void *ctx, size_t block, size_t slot)
{
    struct seen *s = ctx;
    s->block[block]++; /* each block is one thread's */
    s->slot[block] = slot;
}

static void every_block_runs_once_in_a_slot_there_is(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads <= 5; threads++)
        for (size_t n = 0; n <= 64; n += 9) {
            struct seen s = {.n_slots = kymo_slots(n, threads)};
            assert_true(s.n_slots >= 1 && s.n_slots <= 5);
            kymo_parallel_slots(n, threads, note, &s);
            for (size_t b = 0; b < 64; b++) {
                assert_int_equal(s.block[b], b < n);
                assert_true(s.slot[b] < s.n_slots);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_factor_times_itself_is_the_matrix),
        cmocka_unit_test(what_is_not_positive_definite_has_no_factor),
        cmocka_unit_test(eigenvectors_give_the_matrix_back),
        cmocka_unit_test(logs_of_sums_do_not_overflow),
        cmocka_unit_test(strips_hold_the_rows_at_every_level),
        cmocka_unit_test(distances_are_what_plain_c_says),
        cmocka_unit_test(distances_that_overflow_are_cut_and_never_nan),
        cmocka_unit_test(shares_are_what_the_c_library_says),
        cmocka_unit_test(rows_with_a_share_are_found_in_order),
        cmocka_unit_test(shares_differ_between_levels_by_a_few_roundings),
        cmocka_unit_test(moments_are_what_plain_c_says),
        cmocka_unit_test(columns_far_out_keep_their_spread),
        cmocka_unit_test(every_block_runs_once_in_a_slot_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
