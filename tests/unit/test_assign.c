/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/rng.h"
#include "format/num/assign.h"
#include "format/num/simd/trials.h"

/* Shapes that leave rests of tiles, vectors and panels. */
static const struct shape {
    size_t n, d, k;
} shapes[] = {{1, 1, 1},    {15, 3, 2},    {16, 16, 16},  {100, 7, 17}, {257, 33, 5},
              {64, 64, 64}, {90, 5, 65},   {700, 12, 31}, {50, 130, 9}, {333, 2, 150},
              {40, 1, 40},  {1500, 8, 48}, {40, 600, 64}};

enum kind { CLOUDS, GRID, FAR_OFF, TINY, HUGE, ZEROS, N_KINDS };

/* Rows and centres of a kind; some centres are rows, and some are each other. */
static void fill(enum kind kind, const struct shape *s, struct kymo_rng *r, double *X,
                 double *C)
{
    static const double scale[N_KINDS] = {1, 1, 1, 1e-30, 1e30, 1};
    for (size_t i = 0; i < s->n * s->d; i++) {
        double v = kymo_rng_unit(r) * 8 - 4;
        if (kind == GRID)
            v = floor(v / 2);
        if (kind == FAR_OFF)
            v += 1e6;
        if (kind == ZEROS)
            v = v < 3 ? 0 : v;
        X[i] = (double)(float)(v * scale[kind]);
    }
    for (size_t c = 0; c < s->k; c++) {
        const double *from = kymo_rng_below(r, 3) == 0 && c ? C : X;
        const size_t row = (size_t)kymo_rng_below(r, from == C ? c : s->n);
        for (size_t j = 0; j < s->d; j++) {
            C[c * s->d + j] = from[row * s->d + j];
            if (from == X && c % 3)
                C[c * s->d + j] += (kymo_rng_unit(r) - 0.5) * scale[kind];
        }
    }
}

/* Labels, and the bounds of one tile's rows, against plain double arithmetic. */
static void check_tiles(const struct kymo_dense *X, size_t k, const double *C,
                        enum kymo_simd level)
{
    struct kymo_arena arena;
    kymo_arena_init(&arena, SIZE_MAX);
    const size_t d = X->d;
    double *pivot = KYMO_NEW(&arena, double, d), *row = KYMO_NEW(&arena, double, d);
    double *packed = KYMO_NEW(&arena, double, k *d), *dist = KYMO_NEW(&arena, double, k);
    struct kymo_rows32 rows;
    struct kymo_assigner a;
    struct kymo_assign_scratch scratch;
    kymo_rows32_init(&rows, X, pivot);
    assert_int_equal(kymo_assigner_init(&a, &rows, k, level, &arena, NULL), KYMO_OK);
    assert_int_equal(kymo_assign_scratch_init(&scratch, k, d, &arena, NULL), KYMO_OK);
    kymo_assigner_set(&a, C);
    kymo_pack_centres(k, d, C, packed);
    for (size_t i = 0; i < X->n; i += KYMO_TILE_ROWS) {
        uint32_t index[KYMO_TILE_ROWS];
        struct kymo_nearest_tile t;
        const size_t m = X->n - i < KYMO_TILE_ROWS ? X->n - i : KYMO_TILE_ROWS;
        for (size_t r = 0; r < m; r++)
            index[r] = (uint32_t)(i + r);
        kymo_assign_tile(&a, index, m, NULL, &scratch, &t);
        for (size_t r = 0; r < m; r++) {
            kymo_dense_row(X, i + r, row);
            kymo_sqdist_all(k, d, row, packed, dist);
            const size_t best = kymo_argmin(k, dist);
            assert_int_equal(t.label[r], best);
            assert_true(sqrt(dist[best]) * rows.scale <= (double)t.upper[r]);
            for (size_t c = 0; c < k; c++)
                assert_true(c == best || sqrt(dist[c]) * rows.scale >= (double)t.lower[r]);
        }
    }
    kymo_arena_release(&arena);
}

static void every_level_labels_as_plain_double_does(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 3);
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int kind = 0; kind < N_KINDS; kind++) {
            const struct shape *p = &shapes[s];
            double *X = calloc(p->n * p->d, sizeof(*X)), *C = calloc(p->k * p->d, sizeof(*C));
            float *x = calloc(p->n * p->d, sizeof(*x));
            assert_true(X && C && x);
            fill((enum kind)kind, p, &rng, X, C);
            for (size_t i = 0; i < p->n * p->d; i++)
                x[i] = (float)X[i];
            const struct kymo_dense f64 = {.n = p->n, .d = p->d, .f64 = X};
            const struct kymo_dense f32 = {.n = p->n, .d = p->d, .f32 = x};
            for (int level = 0; level <= (int)kymo_simd_level(); level++) {
                check_tiles(&f64, p->k, C, (enum kymo_simd)level);
                check_tiles(&f32, p->k, C, (enum kymo_simd)level);
            }
            free(X);
            free(C);
            free(x);
        }
}

static void rows_of_any_order_are_labelled_like_rows_in_line(void **state)
{
    (void)state;
    enum { N = 60, D = 19, K = 21 };
    static float x[N * D];
    static double C[K * D], pivot[D];
    struct kymo_rng rng;
    kymo_rng_init(&rng, 5);
    for (size_t i = 0; i < N * D; i++)
        x[i] = (float)kymo_rng_unit(&rng);
    for (size_t i = 0; i < K * D; i++)
        C[i] = kymo_rng_unit(&rng);
    const struct kymo_dense X = {.n = N, .d = D, .f32 = x};
    uint32_t want[N];
    assert_int_equal(kymo_kmeans_assign(&X, K, C, 1, want, NULL, NULL, NULL), KYMO_OK);
    struct kymo_arena arena;
    kymo_arena_init(&arena, SIZE_MAX);
    struct kymo_rows32 rows;
    struct kymo_assigner a;
    struct kymo_assign_scratch scratch;
    kymo_rows32_init(&rows, &X, pivot);
    assert_int_equal(kymo_assigner_init(&a, &rows, K, kymo_simd_level(), &arena, NULL),
                     KYMO_OK);
    assert_int_equal(kymo_assign_scratch_init(&scratch, K, D, &arena, NULL), KYMO_OK);
    kymo_assigner_set(&a, C);
    for (size_t round = 0; round < 50; round++) {
        uint32_t index[KYMO_TILE_ROWS];
        struct kymo_nearest_tile t;
        const size_t m = 1 + round % KYMO_TILE_ROWS;
        for (size_t r = 0; r < m; r++)
            index[r] = (uint32_t)kymo_rng_below(&rng, N);
        kymo_assign_tile(&a, index, m, NULL, &scratch, &t);
        for (size_t r = 0; r < m; r++)
            assert_int_equal(t.label[r], want[index[r]]);
    }
    kymo_arena_release(&arena);
}

static void threads_and_weights_leave_labels_alone(void **state)
{
    (void)state;
    enum { N = 3000, D = 9, K = 7 };
    static double x[N * D], C[K * D], weight[N], dist2[3][N];
    static uint32_t label[3][N];
    double inertia[3], plain, by_hand = 0;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 6);
    for (size_t i = 0; i < N * D; i++)
        x[i] = kymo_rng_unit(&rng);
    for (size_t i = 0; i < K * D; i++)
        C[i] = kymo_rng_unit(&rng);
    for (size_t i = 0; i < N; i++)
        weight[i] = (double)(1 + i % 3);
    struct kymo_dense X = {.n = N, .d = D, .f64 = x, .weight = weight};
    for (unsigned t = 0; t < 3; t++)
        assert_int_equal(
            kymo_kmeans_assign(&X, K, C, t + 1, label[t], dist2[t], &inertia[t], NULL),
            KYMO_OK);
    for (unsigned t = 1; t < 3; t++) {
        assert_memory_equal(label[0], label[t], sizeof(label[0]));
        assert_memory_equal(dist2[0], dist2[t], sizeof(dist2[0]));
        assert_memory_equal(&inertia[0], &inertia[t], sizeof(double));
    }
    for (size_t i = 0; i < N; i++) {
        const double want = kymo_sqdist(D, x + i * D, C + label[0][i] * D);
        assert_true(fabs(dist2[0][i] - want) <= 1e-14);
        by_hand += weight[i] * want;
    }
    assert_true(fabs(inertia[0] / by_hand - 1) <= 1e-12);
    X.weight = NULL;
    assert_int_equal(kymo_kmeans_assign(&X, K, C, 1, label[1], NULL, &plain, NULL), KYMO_OK);
    assert_memory_equal(label[0], label[1], sizeof(label[0]));
    assert_true(plain < inertia[0]);
}

static void of_equal_centres_the_first_takes_the_rows(void **state)
{
    (void)state;
    enum { N = 200, D = 4, K = 20 };
    double x[N * D], C[K * D], row[K];
    uint32_t label[N];
    struct kymo_rng rng;
    kymo_rng_init(&rng, 7);
    for (size_t i = 0; i < N * D; i++)
        x[i] = kymo_rng_unit(&rng);
    for (size_t c = 0; c < K; c++)
        memcpy(C + c * D, x + c % 6 * D, D * sizeof(double));
    const struct kymo_dense X = {.n = N, .d = D, .f64 = x};
    assert_int_equal(kymo_kmeans_assign(&X, K, C, 1, label, NULL, NULL, NULL), KYMO_OK);
    for (size_t i = 0; i < N; i++) {
        for (size_t c = 0; c < K; c++)
            row[c] = kymo_sqdist(D, x + i * D, C + c * D);
        assert_int_equal(label[i], kymo_argmin(K, row));
        assert_in_range(label[i], 0, 5);
    }
}

static void no_rows_have_no_inertia(void **state)
{
    (void)state;
    const double C[] = {1};
    const struct kymo_dense X = {.n = 0, .d = 1, .f64 = C};
    double inertia = 7;
    assert_int_equal(kymo_kmeans_assign(&X, 1, C, 2, NULL, NULL, &inertia, NULL), KYMO_OK);
    assert_true(inertia == 0);
}

static void row_sums_are_the_same_bytes_at_every_level(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 8);
    for (size_t d = 1; d < 70; d++) {
        float f[70];
        double x[70], c[70], packed[70 * 70], want[70], got[70];
        for (size_t j = 0; j < d; j++) {
            f[j] = (float)kymo_rng_unit(&rng);
            x[j] = kymo_rng_unit(&rng);
            c[j] = kymo_rng_unit(&rng);
        }
        for (size_t i = 0; i < d * d; i++)
            packed[i] = kymo_rng_unit(&rng);
        const struct kymo_rowops *plain = kymo_rowops_at(KYMO_SIMD_PLAIN);
        for (int level = 1; level <= (int)kymo_simd_level(); level++) {
            const struct kymo_rowops *ops = kymo_rowops_at((enum kymo_simd)level);
            assert_true(plain->sqdist_f32(d, f, c) == ops->sqdist_f32(d, f, c));
            assert_true(plain->sqdist_f64(d, x, c) == ops->sqdist_f64(d, x, c));
            memcpy(want, c, sizeof(c));
            memcpy(got, c, sizeof(c));
            plain->add_f32(d, 0.3, f, want);
            ops->add_f32(d, 0.3, f, got);
            plain->add_f64(d, -1.7, x, want);
            ops->add_f64(d, -1.7, x, got);
            assert_memory_equal(want, got, d * sizeof(double));
            plain->sqdist_all(d, d, x, packed, want);
            ops->sqdist_all(d, d, x, packed, got);
            assert_memory_equal(want, got, d * sizeof(double));
        }
    }
}

static void trials_agree_within_their_bound_at_every_level(void **state)
{
    (void)state;
    enum { D_MAX = 40, STRIDE = 43 };
    static float x[KYMO_TILE_ROWS * STRIDE], cand[KYMO_TRIALS_MAX * D_MAX];
    struct kymo_rng rng;
    kymo_rng_init(&rng, 9);
    for (size_t i = 0; i < KYMO_TILE_ROWS * STRIDE; i++)
        x[i] = (float)kymo_rng_unit(&rng);
    for (size_t d = 1; d <= D_MAX; d++)
        for (size_t n = 1; n <= KYMO_TRIALS_MAX; n++) {
            const size_t pad = kymo_trials_pad(n);
            float near[KYMO_TILE_ROWS], got[KYMO_TILE_ROWS * KYMO_TRIALS_MAX];
            double weight[KYMO_TILE_ROWS], sum[KYMO_TRIALS_MAX];
            for (size_t t = 0; t < pad; t++)
                memcpy(cand + t * d, x + t * STRIDE, d * sizeof(*cand));
            for (size_t r = 0; r < KYMO_TILE_ROWS; r++) {
                near[r] = (float)d / 8;
                weight[r] = (double)(1 + r % 2);
            }
            for (int level = 0; level <= (int)kymo_simd_level(); level++) {
                memset(sum, 0, sizeof(sum));
                kymo_trials_at((enum kymo_simd)level)(d, n, x, STRIDE, cand, near, weight, got,
                                                      sum);
                for (size_t t = 0; t < n; t++) {
                    double total = 0;
                    for (size_t r = 0; r < KYMO_TILE_ROWS; r++) {
                        double want = 0;
                        for (size_t j = 0; j < d; j++) {
                            const double v =
                                (double)x[r * STRIDE + j] - (double)cand[t * d + j];
                            want += v * v;
                        }
                        const double is = (double)got[r * pad + t];
                        assert_true(fabs(is - want) <= want * ((double)d / 4 + 8) * 0x1p-24);
                        assert_true(r != t || is == 0);
                        total += weight[r] * (is < (double)near[r] ? is : (double)near[r]);
                    }
                    assert_true(fabs(total - sum[t]) <= 1e-12 * total);
                }
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_labels_as_plain_double_does),
        cmocka_unit_test(rows_of_any_order_are_labelled_like_rows_in_line),
        cmocka_unit_test(threads_and_weights_leave_labels_alone),
        cmocka_unit_test(of_equal_centres_the_first_takes_the_rows),
        cmocka_unit_test(no_rows_have_no_inertia),
        cmocka_unit_test(row_sums_are_the_same_bytes_at_every_level),
        cmocka_unit_test(trials_agree_within_their_bound_at_every_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
