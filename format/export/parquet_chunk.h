/* SPDX-License-Identifier: Apache-2.0
 * parquet_chunk.h: one column of one row group on its way to pages (for parquet.c).
 *
 *   cells -> a page's worth of values -> numbers of a dictionary, where it pays, else as they are
 *         -> zstd -> pages, which wait for the end of the row group, as the dictionary comes first
 */
#ifndef KYMO_EXPORT_PARQUET_CHUNK_H
#define KYMO_EXPORT_PARQUET_CHUNK_H

#include <zstd.h>

#include "format/export/parquet.h"
#include "format/export/thrift.h"

enum { /* Parquet's own numbers */
       KYMO_PARQUET_INT64 = 2,
       KYMO_PARQUET_FLOAT = 4,
       KYMO_PARQUET_DOUBLE = 5,
       KYMO_PARQUET_BYTE_ARRAY = 6,
       KYMO_PARQUET_PLAIN = 0,
       KYMO_PARQUET_RLE = 3,
       KYMO_PARQUET_RLE_DICTIONARY = 8,
       KYMO_PARQUET_ZSTD = 6,
};

/* Work space that the columns of a file share. */
struct kymo_parquet_bench {
    ZSTD_CCtx *zstd;
    struct kymo_buf raw, packed, header;
    uint32_t *id; /* [page_rows] */
};

enum kymo_parquet_dict { KYMO_DICT_TRIED, KYMO_DICT_PAYS, KYMO_DICT_FULL, KYMO_DICT_POOR };

struct kymo_parquet_chunk {
    enum kymo_parquet_kind kind;
    int nullable;
    uint32_t page_rows;
    /* the page at hand */
    uint64_t *value; /* [page_rows] the cells that have one */
    uint8_t *present;
    uint32_t n_rows, n_values;
    /* the dictionary: numbers as they came, or all texts of the row group */
    enum kymo_parquet_dict dict;
    struct kymo_buf number;          /* u64, native order */
    struct kymo_buf text_at, text;   /* u32 offsets (n_dict + 1), native order; bytes */
    uint32_t n_dict, *slot, n_slots; /* open addressing, number of the entry + 1 */
    int failed;                      /* out of memory since the last check */
    /* what is done */
    struct kymo_buf pages;
    uint64_t first_data_bytes; /* size of the dictionary page, when there is one */
    uint64_t raw_bytes, n_cells, n_null, n_nan;
    uint32_t pages_plain, pages_dict;
    int has_range;
    uint64_t min, max; /* lanes */
};

KYMO_MUST_USE kymo_status kymo_parquet_chunk_init(struct kymo_parquet_chunk *c,
                                                  const struct kymo_parquet_column *column,
                                                  uint32_t page_rows, struct kymo_err *err);
void kymo_parquet_chunk_release(struct kymo_parquet_chunk *c);
/* A new row group: forget pages, dictionary and statistics; keep the memory. */
void kymo_parquet_chunk_clear(struct kymo_parquet_chunk *c);
uint32_t kymo_parquet_chunk_intern(struct kymo_parquet_chunk *c, const char *s, size_t n);
KYMO_MUST_USE kymo_status kymo_parquet_chunk_put(struct kymo_parquet_chunk *c,
                                                 struct kymo_parquet_bench *b,
                                                 const uint64_t *value, const uint8_t *present,
                                                 uint32_t n, struct kymo_err *err);
/* The end of the row group: the page at hand, then the dictionary page into dict (empty when no
 * page uses it). */
KYMO_MUST_USE kymo_status kymo_parquet_chunk_end(struct kymo_parquet_chunk *c,
                                                 struct kymo_parquet_bench *b,
                                                 struct kymo_buf *dict, struct kymo_err *err);
/* Memory that the row group holds so far. */
size_t kymo_parquet_chunk_bytes(const struct kymo_parquet_chunk *c);
/* Offsets of the texts of the dictionary into its bytes, n_dict + 1. */
static inline const uint32_t *kymo_parquet_chunk_texts(const struct kymo_parquet_chunk *c)
{
    return (const uint32_t *)(const void *)c->text_at.p;
}

/* Take the values of the page at hand, or at the end the texts of all, into the range. */
void kymo_parquet_chunk_widen(struct kymo_parquet_chunk *c);
void kymo_parquet_chunk_widen_texts(struct kymo_parquet_chunk *c);
/* The Statistics struct as a field. */
void kymo_parquet_chunk_statistics(const struct kymo_parquet_chunk *c, struct kymo_thrift *t,
                                   int16_t field);
int kymo_parquet_type(enum kymo_parquet_kind kind);

#endif
