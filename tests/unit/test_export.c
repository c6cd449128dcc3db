/* SPDX-License-Identifier: Apache-2.0
 * The bytes of the exports: Parquet's hybrid of runs and packed bits read back, Thrift's and
 * Protocol Buffers' wire forms, the wall clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "format/base/rng.h"
#include "format/base/size.h"
#include "format/export/hybrid.h"
#include "format/export/proto.h"
#include "format/export/thrift.h"
#include "format/io/walltime.h"

#define VALUES_MAX 600u

/* A reader of the hybrid, written from Parquet's page on encodings. */
static void read_hybrid(struct kymo_bytes in, unsigned width, uint32_t *value, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint64_t head;
        assert_int_equal(kymo_bytes_varint(&in, &head, NULL), KYMO_OK);
        if (head & 1) {
            const size_t count = (size_t)(head >> 1) * 8;
            struct kymo_bytes bits;
            assert_int_equal(kymo_bytes_take(&in, count * width / 8, &bits, NULL), KYMO_OK);
            assert_true(i + count <= n || i + count < n + 8);
            for (size_t k = 0; k < count; k++) {
                uint32_t v = 0;
                for (unsigned b = 0; b < width; b++) {
                    const size_t at = k * width + b;
                    v |= (uint32_t)(bits.p[at / 8] >> at % 8 & 1) << b;
                }
                if (i < n)
                    value[i++] = v;
                else
                    assert_int_equal(v, 0);
            }
        } else {
            uint32_t v = 0;
            for (unsigned b = 0; b < width; b += 8) {
                uint8_t byte;
                assert_int_equal(kymo_bytes_u8(&in, &byte, NULL), KYMO_OK);
                v |= (uint32_t)byte << b;
            }
            assert_true(head >> 1 <= n - i);
            for (uint64_t k = 0; k < head >> 1; k++)
                value[i++] = v;
        }
    }
    assert_int_equal(in.left, 0);
}

static void hybrids_read_back_whatever_the_width_and_the_runs(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 7);
    for (unsigned round = 0; round < 2000; round++) {
        const unsigned width = 1 + (unsigned)kymo_rng_below(&rng, 32);
        const size_t n = kymo_rng_below(&rng, VALUES_MAX + 1);
        const uint64_t run_max = 1 + kymo_rng_below(&rng, 40);
        uint32_t value[VALUES_MAX], got[VALUES_MAX];
        for (size_t i = 0; i < n;) {
            const uint32_t v = (uint32_t)(kymo_rng_u64(&rng) & (UINT64_MAX >> (64 - width)));
            for (uint64_t k = 1 + kymo_rng_below(&rng, run_max); k && i < n; k--)
                value[i++] = v;
        }
        struct kymo_buf out = {0};
        kymo_hybrid_put(&out, value, n, width);
        read_hybrid(kymo_bytes_view(out.p, out.n, 0), width, got, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(got[i], value[i]);
        kymo_buf_release(&out);
    }
}

static void one_value_however_often_is_one_run(void **state)
{
    (void)state;
    uint32_t value[VALUES_MAX] = {0};
    struct kymo_buf out = {0};
    kymo_hybrid_put(&out, value, VALUES_MAX, 1);
    const uint8_t expected[3] = {0xb0, 0x09, 0}; /* 600 << 1, then the value */
    assert_int_equal(out.n, 3);
    assert_memory_equal(out.p, expected, 3);
    kymo_buf_release(&out);
}

static void widths_hold_their_greatest_number(void **state)
{
    (void)state;
    const struct {
        uint32_t max;
        unsigned width;
    } t[] = {{0, 1}, {1, 1}, {2, 2}, {3, 2}, {4, 3}, {255, 8}, {256, 9}, {UINT32_MAX, 32}};
    for (size_t i = 0; i < KYMO_COUNT_OF(t); i++)
        assert_int_equal(kymo_hybrid_width(t[i].max), t[i].width);
}

static void thrift_writes_short_fields_long_fields_lists_and_structs(void **state)
{
    (void)state;
    struct kymo_buf out = {0};
    struct kymo_thrift t = kymo_thrift_on(&out);
    kymo_thrift_begin(&t);
    kymo_thrift_i32(&t, 1, -1);
    kymo_thrift_bool(&t, 2, 1);
    kymo_thrift_bool(&t, 3, 0);
    kymo_thrift_struct(&t, 4);
    kymo_thrift_byte(&t, 1, 64);
    kymo_thrift_end(&t);
    kymo_thrift_i64(&t, 30, 300);
    kymo_thrift_text(&t, 31, "ab");
    kymo_thrift_list(&t, 32, KYMO_THRIFT_I32, 2);
    kymo_thrift_item_i32(&t, 1);
    kymo_thrift_item_i32(&t, -2);
    kymo_thrift_list(&t, 33, KYMO_THRIFT_STRUCT, 20);
    kymo_thrift_end(&t);
    const uint8_t expected[] = {0x15, 0x01, 0x11, 0x12, 0x1c, 0x13, 64,  0x00,
                                0x06, 0x3c, 0xd8, 0x04, 0x18, 2,    'a', 'b',
                                0x19, 0x25, 0x02, 0x03, 0x19, 0xfc, 20,  0x00};
    assert_int_equal(out.n, sizeof(expected));
    assert_memory_equal(out.p, expected, sizeof(expected));
    kymo_buf_release(&out);
}

static void messages_get_their_length_however_long_they_are(void **state)
{
    (void)state;
    static const size_t length[] = {0, 1, 127, 128, 16383, 16384, 70000};
    for (size_t i = 0; i < KYMO_COUNT_OF(length); i++) {
        struct kymo_buf out = {0};
        const size_t outer = kymo_proto_begin(&out, 1);
        const size_t inner = kymo_proto_begin(&out, 2);
        for (size_t k = 0; k < length[i]; k++)
            kymo_buf_u8(&out, (uint8_t)k);
        kymo_proto_end(&out, inner);
        kymo_proto_u64(&out, 3, 300);
        kymo_proto_end(&out, outer);
        struct kymo_bytes in = kymo_bytes_view(out.p, out.n, 0), message, body;
        uint64_t tag, n;
        assert_int_equal(kymo_bytes_varint(&in, &tag, NULL), KYMO_OK);
        assert_int_equal(tag, 1 << 3 | 2);
        assert_int_equal(kymo_bytes_varint(&in, &n, NULL), KYMO_OK);
        assert_int_equal(n, in.left);
        message = in;
        assert_int_equal(kymo_bytes_varint(&message, &tag, NULL), KYMO_OK);
        assert_int_equal(tag, 2 << 3 | 2);
        assert_int_equal(kymo_bytes_varint(&message, &n, NULL), KYMO_OK);
        assert_int_equal(n, length[i]);
        assert_int_equal(kymo_bytes_take(&message, (size_t)n, &body, NULL), KYMO_OK);
        for (size_t k = 0; k < length[i]; k++)
            assert_int_equal(body.p[k], (uint8_t)k);
        assert_int_equal(message.left, 3);
        assert_int_equal(message.p[0], 3 << 3);
        kymo_buf_release(&out);
    }
}

static void texts_of_a_message_are_utf8(void **state)
{
    (void)state;
    struct kymo_buf out = {0};
    kymo_proto_text(&out, 1, "a\xff\xc3\xa9", 4);
    const uint8_t expected[] = {0x0a, 6, 'a', 0xef, 0xbf, 0xbd, 0xc3, 0xa9};
    assert_int_equal(out.n, sizeof(expected));
    assert_memory_equal(out.p, expected, sizeof(expected));
    kymo_buf_release(&out);
}

static void learn(struct kymo_walltime *w, uint64_t ts, uint64_t real)
{
    struct kymo_rows *rows;
    assert_int_equal(kymo_rows_open(&rows, &KYMO_TABLE_CLOCK, 1, NULL), KYMO_OK);
    const uint32_t i = kymo_rows_add(rows);
    kymo_rows_set(rows, KYMO_CLOCK_TS, i, ts);
    kymo_rows_set(rows, KYMO_CLOCK_BOOT, i, ts + 5);
    kymo_rows_set(rows, KYMO_CLOCK_REAL, i, real);
    const struct kymo_batch b = kymo_rows_view(rows);
    assert_int_equal(kymo_walltime_learn(w, &b, NULL), KYMO_OK);
    kymo_rows_close(rows);
}

static void wall_time_follows_steps_of_the_clock_and_not_its_noise(void **state)
{
    (void)state;
    struct kymo_walltime *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    const uint64_t base = 1700000000000000000u;
    learn(w, 1000, base + 1000);
    learn(w, 5000, base + 5090);                 /* noise */
    learn(w, 9000, base + 9000 + 3600000000000); /* set forward by an hour */
    learn(w, 20000, base + 20000);               /* and back */
    assert_int_equal(w->n, 3);
    assert_int_equal(w->step[0].boot_ns, 1005);
    assert_int_equal(kymo_walltime_real(w, 10), base + 10);
    assert_int_equal(kymo_walltime_real(w, 8999), base + 8999);
    assert_int_equal(kymo_walltime_real(w, 9000), base + 9000 + 3600000000000);
    assert_int_equal(kymo_walltime_real(w, 19999), base + 19999 + 3600000000000);
    assert_int_equal(kymo_walltime_real(w, 50000), base + 50000);
    char text[KYMO_WALLTIME_TEXT_BYTES];
    assert_string_equal(kymo_walltime_text(text, base + 1), "2023-11-14T22:13:20.000000001Z");
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hybrids_read_back_whatever_the_width_and_the_runs),
        cmocka_unit_test(one_value_however_often_is_one_run),
        cmocka_unit_test(widths_hold_their_greatest_number),
        cmocka_unit_test(thrift_writes_short_fields_long_fields_lists_and_structs),
        cmocka_unit_test(messages_get_their_length_however_long_they_are),
        cmocka_unit_test(texts_of_a_message_are_utf8),
        cmocka_unit_test(wall_time_follows_steps_of_the_clock_and_not_its_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
