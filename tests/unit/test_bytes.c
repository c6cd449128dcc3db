/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/bytes.h"

static void numbers_come_back_as_they_were_put(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    kymo_buf_u8(&b, 0xfe);
    kymo_buf_u16(&b, 0xfedc);
    kymo_buf_u32(&b, 0xfedcba98u);
    kymo_buf_u64(&b, 0xfedcba9876543210u);
    struct kymo_bytes in = kymo_bytes_view(b.p, b.n, 100);
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;
    assert_int_equal(kymo_bytes_u8(&in, &v8, NULL), KYMO_OK);
    assert_int_equal(kymo_bytes_u16(&in, &v16, NULL), KYMO_OK);
    assert_int_equal(kymo_bytes_u32(&in, &v32, NULL), KYMO_OK);
    assert_int_equal(kymo_bytes_u64(&in, &v64, NULL), KYMO_OK);
    assert_int_equal(v8, 0xfe);
    assert_int_equal(v16, 0xfedc);
    assert_int_equal(v32, 0xfedcba98u);
    assert_true(v64 == 0xfedcba9876543210u);
    assert_int_equal(in.left, 0);
    assert_int_equal(in.at_bytes, 115);
    kymo_buf_release(&b);
}

static void numbers_are_little_endian(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    kymo_buf_u32(&b, 0x04030201u);
    assert_memory_equal(b.p, "\1\2\3\4", 4);
    kymo_buf_release(&b);
}

static void a_read_that_does_not_fit_moves_nothing(void **state)
{
    (void)state;
    const uint8_t three[3] = {1, 2, 3};
    struct kymo_bytes in = kymo_bytes_view(three, 3, 7);
    uint32_t v32 = 42;
    uint64_t v64 = 43;
    struct kymo_bytes out = {NULL, 44, 45};
    struct kymo_err err = {0};
    assert_int_equal(kymo_bytes_u32(&in, &v32, &err), KYMO_ECORRUPT);
    assert_int_equal(err.at_bytes, 7);
    assert_int_equal(kymo_bytes_u64(&in, &v64, &err), KYMO_ECORRUPT);
    assert_int_equal(kymo_bytes_take(&in, 4, &out, &err), KYMO_ECORRUPT);
    assert_int_equal(kymo_bytes_take(&in, SIZE_MAX, &out, &err), KYMO_ECORRUPT);
    assert_int_equal(v32, 42);
    assert_true(v64 == 43);
    assert_int_equal(out.left, 44);
    assert_ptr_equal(in.p, three);
    assert_int_equal(in.left, 3);
    assert_int_equal(in.at_bytes, 7);
}

static void take_gives_a_view_that_knows_its_place(void **state)
{
    (void)state;
    const uint8_t five[5] = {1, 2, 3, 4, 5};
    struct kymo_bytes in = kymo_bytes_view(five, 5, 10);
    struct kymo_bytes out;
    assert_int_equal(kymo_bytes_take(&in, 2, &out, NULL), KYMO_OK);
    assert_int_equal(kymo_bytes_take(&in, 3, &out, NULL), KYMO_OK);
    assert_ptr_equal(out.p, five + 2);
    assert_int_equal(out.left, 3);
    assert_int_equal(out.at_bytes, 12);
    assert_int_equal(in.left, 0);
}

static void a_varint_comes_back_whatever_its_length(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t want = (uint64_t)1 << bit | (bit ? (uint64_t)1 << (bit / 2) : 0);
        struct kymo_buf b = {0};
        kymo_buf_varint(&b, want);
        assert_int_equal(b.n, bit / 7 + 1);
        struct kymo_bytes in = kymo_bytes_view(b.p, b.n, 0);
        uint64_t got = 0;
        assert_int_equal(kymo_bytes_varint(&in, &got, NULL), KYMO_OK);
        assert_true(got == want);
        assert_int_equal(in.left, 0);
        kymo_buf_release(&b);
    }
}

static void a_varint_cut_short_is_refused_and_moves_nothing(void **state)
{
    (void)state;
    const uint8_t cut[3] = {0x80, 0x80, 0x80};
    struct kymo_bytes in = kymo_bytes_view(cut, 3, 0);
    uint64_t v = 9;
    assert_int_equal(kymo_bytes_varint(&in, &v, NULL), KYMO_ECORRUPT);
    assert_true(v == 9);
    assert_int_equal(in.left, 3);
}

static void a_varint_past_64_bits_is_refused(void **state)
{
    (void)state;
    uint8_t raw[11];
    memset(raw, 0xff, sizeof(raw));
    raw[9] = 0x02;
    struct kymo_bytes in = kymo_bytes_view(raw, sizeof(raw), 0);
    uint64_t v = 9;
    assert_int_equal(kymo_bytes_varint(&in, &v, NULL), KYMO_ECORRUPT);
    raw[9] = 0x81;
    assert_int_equal(kymo_bytes_varint(&in, &v, NULL), KYMO_ECORRUPT);
    raw[9] = 0x01;
    assert_int_equal(kymo_bytes_varint(&in, &v, NULL), KYMO_OK);
    assert_true(v == UINT64_MAX);
}

static void zigzag_goes_there_and_back_at_the_edges(void **state)
{
    (void)state;
    const int64_t edge[] = {0, -1, 1, INT64_MIN, INT64_MAX, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof(edge) / sizeof(edge[0]); i++)
        assert_true(kymo_unzigzag(kymo_zigzag(edge[i])) == edge[i]);
    assert_true(kymo_zigzag(0) == 0 && kymo_zigzag(-1) == 1 && kymo_zigzag(1) == 2);
}

static void a_buffer_grows_and_keeps_what_it_holds(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    for (uint32_t i = 0; i < 50000; i++)
        kymo_buf_u32(&b, i * 2654435761u);
    assert_int_equal(b.failed, 0);
    assert_int_equal(b.n, 200000);
    for (uint32_t i = 0; i < 50000; i++)
        assert_int_equal(kymo_load_u32(b.p + 4 * i), i * 2654435761u);
    kymo_buf_clear(&b);
    assert_int_equal(b.n, 0);
    kymo_buf_printf(&b, "%s %d", "seven", 7);
    assert_memory_equal(b.p, "seven 7", 7);
    assert_int_equal(b.n, 7);
    kymo_buf_release(&b);
}

static void a_buffer_that_could_not_grow_says_so_and_writes_no_more(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    kymo_buf_u8(&b, 1);
    assert_null(kymo_buf_reserve(&b, SIZE_MAX));
    assert_int_equal(b.failed, 1);
    kymo_buf_u8(&b, 2);
    assert_int_equal(b.n, 1);
    kymo_buf_release(&b);
}

static void only_well_formed_utf8_has_a_length(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t n, want;
    } t[] = {
        {"a", 1, 1},
        {"\xc3\xa9", 2, 2},
        {"\xe2\x82\xac", 3, 3},
        {"\xf0\x9f\x99\x82", 4, 4},
        {"\xc3", 1, 0},             /* cut short */
        {"\xc3\x28", 2, 0},         /* no continuation */
        {"\x80", 1, 0},             /* a continuation alone */
        {"\xc0\xaf", 2, 0},         /* overlong */
        {"\xe0\x80\xaf", 3, 0},     /* overlong */
        {"\xf0\x80\x80\xaf", 4, 0}, /* overlong */
        {"\xed\xa0\x80", 3, 0},     /* a surrogate */
        {"\xf4\x90\x80\x80", 4, 0}, /* past U+10FFFF */
        {"\xff", 1, 0},
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        assert_int_equal(kymo_utf8_bytes(t[i].s, t[i].n), t[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back_as_they_were_put),
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(a_read_that_does_not_fit_moves_nothing),
        cmocka_unit_test(take_gives_a_view_that_knows_its_place),
        cmocka_unit_test(a_varint_comes_back_whatever_its_length),
        cmocka_unit_test(a_varint_cut_short_is_refused_and_moves_nothing),
        cmocka_unit_test(a_varint_past_64_bits_is_refused),
        cmocka_unit_test(zigzag_goes_there_and_back_at_the_edges),
        cmocka_unit_test(a_buffer_grows_and_keeps_what_it_holds),
        cmocka_unit_test(a_buffer_that_could_not_grow_says_so_and_writes_no_more),
        cmocka_unit_test(only_well_formed_utf8_has_a_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
