/* SPDX-License-Identifier: Apache-2.0 */
#include "format/export/thrift.h"

#include <assert.h>
#include <string.h>

/* The number of a field costs nothing when it is at most 15 above the one before. */
static void put_field(struct kymo_thrift *t, int16_t field, unsigned type)
{
    const int step = field - t->last[t->depth];
    assert(step > 0);
    if (step <= 15) {
        kymo_buf_u8(t->out, (uint8_t)((unsigned)step << 4 | type));
    } else {
        kymo_buf_u8(t->out, (uint8_t)type);
        kymo_buf_varint(t->out, kymo_zigzag(field));
    }
    t->last[t->depth] = field;
}

void kymo_thrift_begin(struct kymo_thrift *t)
{
    t->depth++;
    assert(t->depth < KYMO_THRIFT_DEPTH_MAX);
    t->last[t->depth] = 0;
}

void kymo_thrift_struct(struct kymo_thrift *t, int16_t field)
{
    put_field(t, field, KYMO_THRIFT_STRUCT);
    kymo_thrift_begin(t);
}

void kymo_thrift_end(struct kymo_thrift *t)
{
    assert(t->depth >= 0);
    kymo_buf_u8(t->out, 0);
    t->depth--;
}

void kymo_thrift_bool(struct kymo_thrift *t, int16_t field, int v)
{
    put_field(t, field, v ? KYMO_THRIFT_TRUE : KYMO_THRIFT_FALSE);
}

void kymo_thrift_byte(struct kymo_thrift *t, int16_t field, int8_t v)
{
    put_field(t, field, KYMO_THRIFT_BYTE);
    kymo_buf_u8(t->out, (uint8_t)v);
}

void kymo_thrift_i32(struct kymo_thrift *t, int16_t field, int32_t v)
{
    put_field(t, field, KYMO_THRIFT_I32);
    kymo_buf_varint(t->out, kymo_zigzag(v));
}

void kymo_thrift_i64(struct kymo_thrift *t, int16_t field, int64_t v)
{
    put_field(t, field, KYMO_THRIFT_I64);
    kymo_buf_varint(t->out, kymo_zigzag(v));
}

void kymo_thrift_binary(struct kymo_thrift *t, int16_t field, const void *p, size_t n)
{
    put_field(t, field, KYMO_THRIFT_BINARY);
    kymo_buf_varint(t->out, n);
    kymo_buf_put(t->out, p, n);
}

void kymo_thrift_text(struct kymo_thrift *t, int16_t field, const char *s)
{
    kymo_thrift_binary(t, field, s, strlen(s));
}

void kymo_thrift_list(struct kymo_thrift *t, int16_t field, enum kymo_thrift_type type,
                      size_t n)
{
    put_field(t, field, KYMO_THRIFT_LIST);
    if (n < 15) {
        kymo_buf_u8(t->out, (uint8_t)(n << 4 | type));
        return;
    }
    kymo_buf_u8(t->out, (uint8_t)(0xf0u | type));
    kymo_buf_varint(t->out, n);
}

void kymo_thrift_item_i32(struct kymo_thrift *t, int32_t v)
{
    kymo_buf_varint(t->out, kymo_zigzag(v));
}

void kymo_thrift_item_text(struct kymo_thrift *t, const char *s)
{
    const size_t n = strlen(s);
    kymo_buf_varint(t->out, n);
    kymo_buf_put(t->out, s, n);
}
