/* SPDX-License-Identifier: Apache-2.0 */
#include "format/export/parquet_chunk.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/size.h"
#include "format/export/hybrid.h"

#define LEVEL 3
#define DICT_NUMBERS_MAX 32768u
#define DICT_TEXTS_MAX 131072u
/* A dictionary of numbers pays when a number comes four times or oftener. */
#define DICT_SHARE 4u
#define SLOTS_FIRST 1024u
#define TEXT_BYTES_MAX UINT32_MAX

int kymo_parquet_type(enum kymo_parquet_kind kind)
{
    switch (kind) {
    case KYMO_PARQUET_F64:
        return KYMO_PARQUET_DOUBLE;
    case KYMO_PARQUET_F32:
        return KYMO_PARQUET_FLOAT;
    case KYMO_PARQUET_TEXT:
        return KYMO_PARQUET_BYTE_ARRAY;
    default:
        return KYMO_PARQUET_INT64;
    }
}

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a row group");
}

void kymo_parquet_chunk_clear(struct kymo_parquet_chunk *c)
{
    const uint32_t zero = 0;
    kymo_buf_clear(&c->pages);
    kymo_buf_clear(&c->number);
    kymo_buf_clear(&c->text);
    kymo_buf_clear(&c->text_at);
    if (c->kind == KYMO_PARQUET_TEXT)
        kymo_buf_put(&c->text_at, &zero, sizeof(zero));
    if (c->slot)
        memset(c->slot, 0, c->n_slots * sizeof(*c->slot));
    c->n_rows = c->n_values = c->n_dict = 0;
    const int is_real = c->kind == KYMO_PARQUET_F64 || c->kind == KYMO_PARQUET_F32;
    c->dict = is_real                        ? KYMO_DICT_POOR
              : c->kind == KYMO_PARQUET_TEXT ? KYMO_DICT_PAYS
                                             : KYMO_DICT_TRIED;
    c->first_data_bytes = c->raw_bytes = c->n_cells = c->n_null = c->n_nan = 0;
    c->pages_plain = c->pages_dict = 0;
    c->has_range = 0;
    c->min = c->max = 0;
}

kymo_status kymo_parquet_chunk_init(struct kymo_parquet_chunk *c,
                                    const struct kymo_parquet_column *column,
                                    uint32_t page_rows, struct kymo_err *err)
{
    *c = (struct kymo_parquet_chunk){
        .kind = column->kind, .nullable = column->nullable, .page_rows = page_rows};
    c->value = malloc(page_rows * sizeof(*c->value));
    c->present = malloc(page_rows);
    c->n_slots = SLOTS_FIRST;
    c->slot = calloc(c->n_slots, sizeof(*c->slot));
    if (!c->value || !c->present || !c->slot || !kymo_buf_reserve(&c->text, 64))
        return no_memory(err);
    kymo_parquet_chunk_clear(c);
    return KYMO_OK;
}

void kymo_parquet_chunk_release(struct kymo_parquet_chunk *c)
{
    free(c->value);
    free(c->present);
    free(c->slot);
    kymo_buf_release(&c->number);
    kymo_buf_release(&c->text);
    kymo_buf_release(&c->text_at);
    kymo_buf_release(&c->pages);
}

size_t kymo_parquet_chunk_bytes(const struct kymo_parquet_chunk *c)
{
    return c->pages.n + c->number.n + c->text.n + c->text_at.n;
}

/* -------- dictionary -------- */

static const uint64_t *numbers(const struct kymo_parquet_chunk *c)
{
    return (const uint64_t *)(const void *)c->number.p;
}

static uint32_t number_hash(uint64_t v)
{
    return (uint32_t)(v * 0x9e3779b97f4a7c15u >> 32);
}

static uint32_t entry_hash(const struct kymo_parquet_chunk *c, uint32_t id)
{
    if (c->kind != KYMO_PARQUET_TEXT)
        return number_hash(numbers(c)[id]);
    const uint32_t *at = kymo_parquet_chunk_texts(c);
    return (uint32_t)XXH3_64bits(c->text.p + at[id], at[id + 1] - at[id]);
}

/* Twice the slots when they are half full. */
static int grow_slots(struct kymo_parquet_chunk *c)
{
    if (c->n_dict < c->n_slots / 2)
        return 1;
    const uint32_t n = c->n_slots * 2;
    uint32_t *slot = n > c->n_slots ? calloc(n, sizeof(*slot)) : NULL;
    if (!slot)
        return 0;
    for (uint32_t id = 0; id < c->n_dict; id++) {
        uint32_t h = entry_hash(c, id) & (n - 1);
        while (slot[h])
            h = (h + 1) & (n - 1);
        slot[h] = id + 1;
    }
    free(c->slot);
    c->slot = slot;
    c->n_slots = n;
    return 1;
}

static uint32_t number_id(struct kymo_parquet_chunk *c, uint64_t v)
{
    const uint32_t mask = c->n_slots - 1;
    uint32_t h = number_hash(v) & mask;
    for (; c->slot[h]; h = (h + 1) & mask)
        if (numbers(c)[c->slot[h] - 1] == v)
            return c->slot[h] - 1;
    if (c->n_dict == DICT_NUMBERS_MAX || !kymo_buf_reserve(&c->number, sizeof(v)))
        return KYMO_PARQUET_NULL;
    kymo_buf_put(&c->number, &v, sizeof(v));
    c->slot[h] = ++c->n_dict;
    const uint32_t id = c->n_dict - 1;
    return grow_slots(c) ? id : KYMO_PARQUET_NULL;
}

static void put_utf8(struct kymo_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t len = kymo_utf8_bytes(s + i, n - i);
        kymo_buf_put(out, len ? s + i : "\xef\xbf\xbd", len ? len : 3);
        i += len ? len : 1;
    }
}

uint32_t kymo_parquet_chunk_intern(struct kymo_parquet_chunk *c, const char *s, size_t n)
{
    const size_t from = c->text.n;
    put_utf8(&c->text, s, n);
    const size_t bytes = c->text.n - from;
    if (c->text.failed || c->text.n > TEXT_BYTES_MAX) {
        c->failed = 1;
        c->text.n = from;
        return KYMO_PARQUET_NULL;
    }
    const uint32_t mask = c->n_slots - 1, *at = kymo_parquet_chunk_texts(c);
    uint32_t h = (uint32_t)XXH3_64bits(c->text.p + from, bytes) & mask;
    for (; c->slot[h]; h = (h + 1) & mask) {
        const uint32_t id = c->slot[h] - 1;
        if (at[id + 1] - at[id] != bytes ||
            memcmp(c->text.p + at[id], c->text.p + from, bytes) != 0)
            continue;
        c->text.n = from;
        return id;
    }
    const uint32_t end = (uint32_t)c->text.n;
    kymo_buf_put(&c->text_at, &end, sizeof(end));
    c->slot[h] = ++c->n_dict;
    const uint32_t id = c->n_dict - 1;
    if (c->text_at.failed || !grow_slots(c))
        c->failed = 1;
    return id;
}

/* Numbers of the page's values into b->id; 0 when the page has to be plain. */
static int look_up_numbers(struct kymo_parquet_chunk *c, struct kymo_parquet_bench *b)
{
    if (c->dict == KYMO_DICT_POOR || c->dict == KYMO_DICT_FULL)
        return 0;
    uint64_t last = 0;
    uint32_t last_id = KYMO_PARQUET_NULL;
    for (uint32_t i = 0; i < c->n_values; i++) {
        if (last_id == KYMO_PARQUET_NULL || c->value[i] != last) {
            last = c->value[i];
            last_id = number_id(c, last);
        }
        if (last_id == KYMO_PARQUET_NULL) {
            c->dict = KYMO_DICT_FULL;
            break;
        }
        b->id[i] = last_id;
    }
    if (!c->pages_dict && (c->dict == KYMO_DICT_FULL || c->n_dict > c->n_values / DICT_SHARE)) {
        c->dict = KYMO_DICT_POOR;
        c->n_dict = 0;
    }
    if (c->dict == KYMO_DICT_TRIED)
        c->dict = KYMO_DICT_PAYS;
    return c->dict == KYMO_DICT_PAYS;
}

/* Texts have their numbers; those past the dictionary's end make a page plain. */
static int look_up_texts(const struct kymo_parquet_chunk *c, struct kymo_parquet_bench *b)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < c->n_values; i++) {
        b->id[i] = (uint32_t)c->value[i];
        all |= c->value[i] >= DICT_TEXTS_MAX;
    }
    return !all;
}

static uint32_t dict_entries(const struct kymo_parquet_chunk *c)
{
    return c->kind == KYMO_PARQUET_TEXT && c->n_dict > DICT_TEXTS_MAX ? DICT_TEXTS_MAX
                                                                      : c->n_dict;
}

/* -------- pages -------- */

static void put_levels(struct kymo_parquet_chunk *c, struct kymo_parquet_bench *b)
{
    const size_t from = b->raw.n;
    kymo_buf_u32(&b->raw, 0);
    for (uint32_t i = 0; i < c->n_rows; i++)
        b->id[i] = c->present[i] != 0;
    kymo_hybrid_put(&b->raw, b->id, c->n_rows, 1);
    if (!b->raw.failed)
        kymo_store_u32(b->raw.p + from, (uint32_t)(b->raw.n - from - 4));
}

static void put_plain_texts(struct kymo_buf *out, const struct kymo_parquet_chunk *c,
                            const uint64_t *id, uint32_t n)
{
    const uint32_t *at = kymo_parquet_chunk_texts(c);
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t k = id ? id[i] : i;
        kymo_buf_u32(out, at[k + 1] - at[k]);
        kymo_buf_put(out, c->text.p + at[k], at[k + 1] - at[k]);
    }
}

/* Known to the compiler, which then keeps one of two ways. */
static int is_little_endian(void)
{
    const uint16_t one = 1;
    uint8_t low;
    memcpy(&low, &one, 1);
    return low;
}

static void put_plain(struct kymo_buf *out, enum kymo_parquet_kind kind, const uint64_t *value,
                      uint32_t n)
{
    const size_t width = kind == KYMO_PARQUET_F32 ? 4 : 8;
    uint8_t *to = kymo_buf_reserve(out, n * width);
    if (!to)
        return;
    if (width == 8 && is_little_endian()) {
        memcpy(to, value, n * width);
        out->n += n * width;
        return;
    }
    for (uint32_t i = 0; i < n; i++, to += width)
        if (width == 4)
            kymo_store_u32(to, (uint32_t)value[i]);
        else
            kymo_store_u64(to, value[i]);
    out->n += n * width;
}

/* Header and compressed body of what lies in b->raw. */
static kymo_status put_page(struct kymo_parquet_chunk *c, struct kymo_parquet_bench *b,
                            struct kymo_buf *out, uint32_t n, int encoding, int is_dict,
                            struct kymo_err *err)
{
    const size_t bound = ZSTD_compressBound(b->raw.n);
    kymo_buf_clear(&b->packed);
    kymo_buf_clear(&b->header);
    if (b->raw.failed || b->raw.n > INT32_MAX || !kymo_buf_reserve(&b->packed, bound))
        return no_memory(err);
    const size_t packed =
        ZSTD_compressCCtx(b->zstd, b->packed.p, bound, b->raw.p, b->raw.n, LEVEL);
    if (ZSTD_isError(packed))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "zstd: %s", ZSTD_getErrorName(packed));
    struct kymo_thrift t = kymo_thrift_on(&b->header);
    kymo_thrift_begin(&t);
    kymo_thrift_i32(&t, 1, is_dict ? 2 : 0);
    kymo_thrift_i32(&t, 2, (int32_t)b->raw.n);
    kymo_thrift_i32(&t, 3, (int32_t)packed);
    kymo_thrift_struct(&t, is_dict ? 7 : 5);
    kymo_thrift_i32(&t, 1, (int32_t)n);
    kymo_thrift_i32(&t, 2, encoding);
    if (!is_dict) {
        kymo_thrift_i32(&t, 3, KYMO_PARQUET_RLE);
        kymo_thrift_i32(&t, 4, KYMO_PARQUET_RLE);
    }
    kymo_thrift_end(&t);
    kymo_thrift_end(&t);
    kymo_buf_put(out, b->header.p, b->header.n);
    kymo_buf_put(out, b->packed.p, packed);
    c->raw_bytes += b->header.n + b->raw.n;
    return out->failed || b->header.failed ? no_memory(err) : KYMO_OK;
}

/* The page at hand is done. */
static kymo_status end_page(struct kymo_parquet_chunk *c, struct kymo_parquet_bench *b,
                            struct kymo_err *err)
{
    if (!c->n_rows)
        return KYMO_OK;
    kymo_buf_clear(&b->raw);
    b->raw.failed = 0;
    if (c->nullable)
        put_levels(c, b);
    kymo_parquet_chunk_widen(c);
    const int is_text = c->kind == KYMO_PARQUET_TEXT;
    const int in_dict = is_text ? look_up_texts(c, b) : look_up_numbers(c, b);
    if (in_dict) {
        const unsigned width = kymo_hybrid_width(c->n_dict ? dict_entries(c) - 1 : 0);
        kymo_buf_u8(&b->raw, (uint8_t)width);
        kymo_hybrid_put(&b->raw, b->id, c->n_values, width);
    } else if (is_text) {
        put_plain_texts(&b->raw, c, c->value, c->n_values);
    } else {
        put_plain(&b->raw, c->kind, c->value, c->n_values);
    }
    KYMO_TRY(put_page(c, b, &c->pages, c->n_rows,
                      in_dict ? KYMO_PARQUET_RLE_DICTIONARY : KYMO_PARQUET_PLAIN, 0, err));
    c->pages_dict += (uint32_t)(in_dict != 0);
    c->pages_plain += (uint32_t)(in_dict == 0);
    c->n_cells += c->n_rows;
    c->n_null += c->n_rows - c->n_values;
    c->n_rows = c->n_values = 0;
    return KYMO_OK;
}

static void take_cells(struct kymo_parquet_chunk *c, const uint64_t *value,
                       const uint8_t *present, uint32_t n)
{
    if (!present) {
        memcpy(c->value + c->n_values, value, n * sizeof(*value));
        memset(c->present + c->n_rows, 1, n);
        c->n_values += n;
    } else {
        memcpy(c->present + c->n_rows, present, n);
        for (uint32_t i = 0; i < n; i++) {
            c->value[c->n_values] = value[i];
            c->n_values += present[i] != 0;
        }
    }
    c->n_rows += n;
}

kymo_status kymo_parquet_chunk_put(struct kymo_parquet_chunk *c, struct kymo_parquet_bench *b,
                                   const uint64_t *value, const uint8_t *present, uint32_t n,
                                   struct kymo_err *err)
{
    if (c->failed)
        return no_memory(err);
    while (n) {
        const uint32_t room = c->page_rows - c->n_rows;
        const uint32_t take = n < room ? n : room;
        take_cells(c, value, present, take);
        value += take;
        present = present ? present + take : NULL;
        n -= take;
        if (c->n_rows == c->page_rows)
            KYMO_TRY(end_page(c, b, err));
    }
    return KYMO_OK;
}

kymo_status kymo_parquet_chunk_end(struct kymo_parquet_chunk *c, struct kymo_parquet_bench *b,
                                   struct kymo_buf *dict, struct kymo_err *err)
{
    KYMO_TRY(end_page(c, b, err));
    kymo_parquet_chunk_widen_texts(c);
    if (!c->pages_dict)
        return KYMO_OK;
    const size_t from = dict->n;
    const uint32_t n = dict_entries(c);
    kymo_buf_clear(&b->raw);
    if (c->kind == KYMO_PARQUET_TEXT)
        put_plain_texts(&b->raw, c, NULL, n);
    else
        put_plain(&b->raw, c->kind, numbers(c), n);
    KYMO_TRY(put_page(c, b, dict, n, KYMO_PARQUET_PLAIN, 1, err));
    c->first_data_bytes = dict->n - from;
    return KYMO_OK;
}
