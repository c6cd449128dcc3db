/* SPDX-License-Identifier: Apache-2.0
 * parquet_range.c: the least and the greatest value of a column chunk, by which readers skip it.
 */
#include <math.h>
#include <string.h>

#include "format/export/parquet_chunk.h"

/* Longer texts are left out of the statistics rather than cut. */
#define RANGE_BYTES_MAX 4096u

static void widen_u64(struct kymo_parquet_chunk *c)
{
    uint64_t min = c->has_range ? c->min : c->value[0], max = c->has_range ? c->max : min;
    for (uint32_t i = 0; i < c->n_values; i++) {
        min = c->value[i] < min ? c->value[i] : min;
        max = c->value[i] > max ? c->value[i] : max;
    }
    c->min = min;
    c->max = max;
    c->has_range = 1;
}

/* Signed numbers compare as unsigned ones do when the sign bit is turned over. */
static void widen_i64(struct kymo_parquet_chunk *c)
{
    const uint64_t sign = (uint64_t)1 << 63;
    uint64_t min = (c->has_range ? c->min : c->value[0]) ^ sign;
    uint64_t max = (c->has_range ? c->max : c->value[0]) ^ sign;
    for (uint32_t i = 0; i < c->n_values; i++) {
        const uint64_t v = c->value[i] ^ sign;
        min = v < min ? v : min;
        max = v > max ? v : max;
    }
    c->min = min ^ sign;
    c->max = max ^ sign;
    c->has_range = 1;
}

static double real_of(enum kymo_parquet_kind kind, uint64_t lane)
{
    double d;
    float f;
    const uint32_t low = (uint32_t)lane;
    memcpy(&d, &lane, sizeof(d));
    memcpy(&f, &low, sizeof(f));
    return kind == KYMO_PARQUET_F64 ? d : (double)f;
}

static void widen_real(struct kymo_parquet_chunk *c)
{
    for (uint32_t i = 0; i < c->n_values; i++) {
        const double v = real_of(c->kind, c->value[i]);
        if (isnan(v)) {
            c->n_nan++;
            continue;
        }
        if (!c->has_range || v < real_of(c->kind, c->min))
            c->min = c->value[i];
        if (!c->has_range || v > real_of(c->kind, c->max))
            c->max = c->value[i];
        c->has_range = 1;
    }
}

void kymo_parquet_chunk_widen(struct kymo_parquet_chunk *c)
{
    if (!c->n_values || c->kind == KYMO_PARQUET_TEXT)
        return;
    if (c->kind == KYMO_PARQUET_U64)
        widen_u64(c);
    else if (c->kind == KYMO_PARQUET_I64 || c->kind == KYMO_PARQUET_WALL)
        widen_i64(c);
    else
        widen_real(c);
}

static int text_less(const struct kymo_parquet_chunk *c, uint32_t a, uint32_t b)
{
    const uint32_t *at = kymo_parquet_chunk_texts(c);
    const uint32_t na = at[a + 1] - at[a], nb = at[b + 1] - at[b];
    const int order = memcmp(c->text.p + at[a], c->text.p + at[b], na < nb ? na : nb);
    return order ? order < 0 : na < nb;
}

/* All texts of the dictionary are in the row group. */
void kymo_parquet_chunk_widen_texts(struct kymo_parquet_chunk *c)
{
    for (uint32_t id = 0; c->kind == KYMO_PARQUET_TEXT && id < c->n_dict; id++) {
        if (!id || text_less(c, id, (uint32_t)c->min))
            c->min = id;
        if (!id || text_less(c, (uint32_t)c->max, id))
            c->max = id;
        c->has_range = 1;
    }
}

static size_t range_bytes(const struct kymo_parquet_chunk *c, uint64_t lane, int is_max,
                          uint8_t raw[8], const uint8_t **p)
{
    *p = raw;
    if (c->kind == KYMO_PARQUET_TEXT) {
        const uint32_t *at = kymo_parquet_chunk_texts(c);
        *p = c->text.p + at[lane];
        return at[lane + 1] - at[lane];
    }
    /* a zero among reals is -0 as the least and +0 as the greatest */
    const int is_real = c->kind == KYMO_PARQUET_F64 || c->kind == KYMO_PARQUET_F32;
    const unsigned sign_bit = c->kind == KYMO_PARQUET_F32 ? 31 : 63;
    if (is_real && real_of(c->kind, lane) == 0)
        lane = is_max ? 0 : (uint64_t)1 << sign_bit;
    kymo_store_u64(raw, lane);
    return c->kind == KYMO_PARQUET_F32 ? 4 : 8;
}

void kymo_parquet_chunk_statistics(const struct kymo_parquet_chunk *c, struct kymo_thrift *t,
                                   int16_t field)
{
    uint8_t low[8], high[8];
    const uint8_t *min = low, *max = high;
    const size_t n_min = c->has_range ? range_bytes(c, c->min, 0, low, &min) : 0;
    const size_t n_max = c->has_range ? range_bytes(c, c->max, 1, high, &max) : 0;
    kymo_thrift_struct(t, field);
    kymo_thrift_i64(t, 3, (int64_t)c->n_null);
    if (c->has_range && n_min <= RANGE_BYTES_MAX && n_max <= RANGE_BYTES_MAX) {
        kymo_thrift_binary(t, 5, max, n_max);
        kymo_thrift_binary(t, 6, min, n_min);
        kymo_thrift_bool(t, 7, 1);
        kymo_thrift_bool(t, 8, 1);
    }
    if (c->kind == KYMO_PARQUET_F64 || c->kind == KYMO_PARQUET_F32)
        kymo_thrift_i64(t, 9, (int64_t)c->n_nan);
    kymo_thrift_end(t);
}
