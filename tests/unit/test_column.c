/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/rng.h"
#include "format/trace/codec.h"

#define N_MAX 5000u

/* Shapes of streams: what recorders see, and what breaks arithmetic. */
enum { CONSTANT, RISING, NOISE, FEW, RUNS, SIGNED, EXTREMES, STEPS, SHAPES };

static void make(int shape, uint64_t *v, size_t n, struct kymo_rng *r)
{
    uint64_t t = 1000000007u;
    for (size_t i = 0; i < n; i++) {
        const uint64_t dice = kymo_rng_u64(r);
        t += dice % 900;
        v[i] = shape == CONSTANT ? 0x7fff12345678u
               : shape == RISING ? t
               : shape == NOISE  ? dice
               : shape == FEW    ? (dice % 5) * 0x7f0000001001u
               : shape == RUNS   ? (i / 97 + 1) * 0x9e3779b97f4a7c15u >> 24
               : shape == SIGNED ? (uint64_t)((int64_t)(dice % 200) - 100)
               : shape == STEPS  ? (i % 9 ? 7 : dice % 3000)
               : dice & 1        ? UINT64_MAX
               : dice & 2        ? 0
               : dice & 4        ? (uint64_t)INT64_MIN
                                 : (uint64_t)INT64_MAX;
    }
}

static const size_t lengths[] = {1, 2, 7, 8, 9, 31, 32, 63, 64, 257, 1023, 1025, N_MAX};

static void every_codec_gives_back_what_it_took(void **state)
{
    (void)state;
    static uint64_t v[N_MAX], w[N_MAX];
    struct kymo_arena scratch;
    struct kymo_buf b = {0};
    struct kymo_rng r;
    size_t done[KYMO_CODEC_COUNT] = {0};
    kymo_rng_init(&r, 9);
    kymo_arena_init(&scratch, 1 << 20);
    for (int shape = 0; shape < SHAPES; shape++)
        for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
            for (int c = 0; c < KYMO_CODEC_COUNT; c++) {
                const size_t n = lengths[l];
                make(shape, v, n, &r);
                kymo_buf_clear(&b);
                kymo_arena_reset(&scratch);
                if (!kymo_codecs[c].encode(v, n, &b))
                    continue;
                assert_true(b.n <= kymo_column_bytes_max(n));
                assert_int_equal(
                    kymo_codecs[c].decode(kymo_bytes_view(b.p, b.n, 0), w, n, &scratch, NULL),
                    KYMO_OK);
                assert_memory_equal(v, w, n * sizeof(*v));
                done[c]++;
            }
    for (int c = 0; c < KYMO_CODEC_COUNT; c++)
        assert_true(done[c] >= SHAPES * 12);
    kymo_buf_release(&b);
    kymo_arena_release(&scratch);
}

static void a_stream_cut_anywhere_or_with_a_byte_more_is_corrupt(void **state)
{
    (void)state;
    static uint64_t v[300], w[300];
    struct kymo_arena scratch;
    struct kymo_rng r;
    kymo_rng_init(&r, 2);
    kymo_arena_init(&scratch, 1 << 20);
    for (int shape = 0; shape < SHAPES; shape++)
        for (int c = 0; c < KYMO_CODEC_COUNT; c++) {
            struct kymo_buf b = {0};
            make(shape, v, 300, &r);
            assert_true(kymo_codecs[c].encode(v, 300, &b));
            kymo_buf_u8(&b, 0);
            for (size_t n = 0; n <= b.n; n += n + 40 < b.n ? 13 : 1) {
                kymo_arena_reset(&scratch);
                const kymo_status s =
                    kymo_codecs[c].decode(kymo_bytes_view(b.p, n, 0), w, 300, &scratch, NULL);
                assert_int_equal(s, n == b.n - 1 ? KYMO_OK : KYMO_ECORRUPT);
            }
            kymo_buf_release(&b);
        }
    kymo_arena_release(&scratch);
}

/* Encode through the choice and zstd, decode, and tell how it went. */
static struct kymo_stream trip(const uint64_t *v, size_t n)
{
    static uint64_t w[N_MAX];
    struct kymo_column_encoder *e;
    struct kymo_column_decoder *d;
    struct kymo_buf body = {0};
    struct kymo_stream s = {0};
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, 1 << 20);
    assert_int_equal(kymo_column_encoder_open(&e, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_column_decoder_open(&d, NULL), KYMO_OK);
    assert_int_equal(kymo_column_encode(e, v, n, &s, &body, NULL), KYMO_OK);
    assert_int_equal(body.n, s.stored_bytes);
    assert_int_equal(
        kymo_column_decode(d, &s, kymo_bytes_view(body.p, body.n, 0), w, n, &scratch, NULL),
        KYMO_OK);
    assert_memory_equal(v, w, n * sizeof(*v));
    kymo_column_encoder_close(e);
    kymo_column_decoder_close(d);
    kymo_buf_release(&body);
    kymo_arena_release(&scratch);
    return s;
}

static void each_shape_takes_the_codec_that_is_made_for_it(void **state)
{
    (void)state;
    static const enum kymo_codec_id fit[SHAPES] = {
        [CONSTANT] = KYMO_CODEC_PLANES, [RISING] = KYMO_CODEC_DELTA,
        [NOISE] = KYMO_CODEC_PLANES,    [FEW] = KYMO_CODEC_DICT,
        [RUNS] = KYMO_CODEC_RUNS,       [SIGNED] = KYMO_CODEC_PLANES,
        [EXTREMES] = KYMO_CODEC_DICT,
    };
    static uint64_t v[N_MAX];
    struct kymo_rng r;
    kymo_rng_init(&r, 4);
    for (int shape = 0; shape < SHAPES; shape++) {
        if (shape == STEPS)
            continue; /* several codecs are as good */
        make(shape, v, N_MAX, &r);
        assert_int_equal(trip(v, N_MAX).codec, fit[shape]);
    }
}

static void a_constant_stream_is_a_few_bytes_whatever_its_length(void **state)
{
    (void)state;
    static uint64_t v[N_MAX];
    for (size_t i = 0; i < N_MAX; i++)
        v[i] = 7;
    assert_true(trip(v, N_MAX).stored_bytes <= 3);
    assert_true(trip(v, 1).stored_bytes <= 3);
}

static void a_few_negatives_among_small_numbers_stay_narrow(void **state)
{
    (void)state;
    static uint64_t v[N_MAX];
    struct kymo_range r;
    for (size_t i = 0; i < N_MAX; i++)
        v[i] = i % 50 ? i % 100 : (uint64_t)-11;
    kymo_range_of(v, N_MAX, &r);
    const struct kymo_planes shape = kymo_planes_fit(&r);
    assert_int_equal(shape.width, 1);
    assert_int_equal(shape.shift, 0);
    assert_int_equal(shape.base, (uint64_t)-11);
}

static void low_bits_that_all_values_share_cost_nothing(void **state)
{
    (void)state;
    static uint64_t v[N_MAX];
    struct kymo_rng rng;
    kymo_rng_init(&rng, 6);
    for (unsigned shift = 0; shift < 64; shift++) {
        struct kymo_range r;
        for (size_t i = 0; i < N_MAX; i++)
            v[i] = 5 % ((uint64_t)1 << shift) + (kymo_rng_u64(&rng) % 256 << shift);
        kymo_range_of(v, N_MAX, &r);
        const struct kymo_planes shape = kymo_planes_fit(&r);
        assert_int_equal(shape.width, 1);
        assert_true(!shift || shape.shift == shift || shift + 8 > 64);
        assert_true(trip(v, N_MAX).encoded_bytes <= N_MAX + 16 || shift + 8 > 64);
    }
}

static void sums_that_lie_about_zstd_are_corrupt(void **state)
{
    (void)state;
    static uint64_t v[N_MAX], w[N_MAX];
    struct kymo_column_encoder *e;
    struct kymo_column_decoder *d;
    struct kymo_buf body = {0};
    struct kymo_stream s;
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, 1 << 20);
    assert_int_equal(kymo_column_encoder_open(&e, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_column_decoder_open(&d, NULL), KYMO_OK);
    for (size_t i = 0; i < N_MAX; i++)
        v[i] = i * i % 251;
    assert_int_equal(kymo_column_encode(e, v, N_MAX, &s, &body, NULL), KYMO_OK);
    assert_true(s.is_zstd);
    const struct kymo_bytes whole = kymo_bytes_view(body.p, body.n, 0);
    struct kymo_stream lie = s;
    lie.encoded_bytes++;
    assert_int_equal(kymo_column_decode(d, &lie, whole, w, N_MAX, &scratch, NULL),
                     KYMO_ECORRUPT);
    lie = s;
    lie.encoded_bytes = UINT32_MAX;
    assert_int_equal(kymo_column_decode(d, &lie, whole, w, N_MAX, &scratch, NULL),
                     KYMO_ECORRUPT);
    assert_int_equal(kymo_column_decode(d, &s, kymo_bytes_view(body.p, body.n - 1, 0), w, N_MAX,
                                        &scratch, NULL),
                     KYMO_ECORRUPT);
    assert_int_equal(kymo_column_decode(d, &s, whole, w, 0, &scratch, NULL), KYMO_ECORRUPT);
    for (uint64_t k = 1; k < 3; k++) {
        kymo_arena_reset(&scratch);
        scratch.fail_at = k;
        const kymo_status status = kymo_column_decode(d, &s, whole, w, N_MAX, &scratch, NULL);
        assert_true(status == KYMO_ELIMIT || (k > 1 && !status));
        scratch.fail_at = 0;
    }
    kymo_column_encoder_close(e);
    kymo_column_decoder_close(d);
    kymo_buf_release(&body);
    kymo_arena_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_gives_back_what_it_took),
        cmocka_unit_test(a_stream_cut_anywhere_or_with_a_byte_more_is_corrupt),
        cmocka_unit_test(each_shape_takes_the_codec_that_is_made_for_it),
        cmocka_unit_test(a_constant_stream_is_a_few_bytes_whatever_its_length),
        cmocka_unit_test(a_few_negatives_among_small_numbers_stay_narrow),
        cmocka_unit_test(low_bits_that_all_values_share_cost_nothing),
        cmocka_unit_test(sums_that_lie_about_zstd_are_corrupt),
    };
    return cmocka_run_group_tests_name("column", tests, NULL, NULL);
}
