/* SPDX-License-Identifier: Apache-2.0
 * parquet.h: a flat table as a Parquet file, written front to back without a seek: pages with
 * plain and dictionary encodings under zstd, least and greatest values a column chunk, row
 * groups of a bounded size. Memory holds the pages of one row group and nothing that grows with
 * the file but some bytes of its footer a row group.
 *
 *     kymo_parquet_open(&p, fd, ...);
 *     kymo_parquet_put(p, column, value, present, n, err) for each column, n <= _room(p);
 *     kymo_parquet_rows(p, n, err);
 *     kymo_parquet_finish(p, err);
 */
#ifndef KYMO_EXPORT_PARQUET_H
#define KYMO_EXPORT_PARQUET_H

#include "format/base/bytes.h"

#define KYMO_PARQUET_GROUP_ROWS (1u << 20)
#define KYMO_PARQUET_NULL UINT32_MAX

/* What the 64-bit lanes of a column are. */
enum kymo_parquet_kind {
    KYMO_PARQUET_U64,  /* unsigned */
    KYMO_PARQUET_I64,  /* signed */
    KYMO_PARQUET_WALL, /* ns since 1970 UTC, signed */
    KYMO_PARQUET_F64,  /* the bits of a double */
    KYMO_PARQUET_F32,  /* the bits of a float in the low half */
    KYMO_PARQUET_TEXT, /* numbers that kymo_parquet_intern() gave */
};

struct kymo_parquet_column {
    const char *name; /* borrowed until _close */
    enum kymo_parquet_kind kind;
    int nullable;
};

struct kymo_parquet; /* owned: _open, _close */

/* fd is borrowed, name is for messages; group_rows is how many rows a group has at most. */
KYMO_MUST_USE kymo_status kymo_parquet_open(struct kymo_parquet **out, int fd, const char *name,
                                            const struct kymo_parquet_column *column, size_t n,
                                            uint32_t group_rows, struct kymo_err *err);
void kymo_parquet_close(struct kymo_parquet *p);
/* A line of the footer's key-value part; copied. */
void kymo_parquet_note(struct kymo_parquet *p, const char *key, const char *value);

/* Rows that this row group still takes, at least 1. */
uint32_t kymo_parquet_room(const struct kymo_parquet *p);
/* The number of a text of a column, until the next kymo_parquet_rows(). What is not UTF-8 becomes
 * U+FFFD, byte by byte. Failures are said by the next _put. */
uint32_t kymo_parquet_intern(struct kymo_parquet *p, size_t column, const char *s, size_t n);
/* Append n cells. present NULL: all are; where it is 0, value is not looked at. */
KYMO_MUST_USE kymo_status kymo_parquet_put(struct kymo_parquet *p, size_t column,
                                           const uint64_t *value, const uint8_t *present,
                                           uint32_t n, struct kymo_err *err);
/* n rows have come in all columns. */
KYMO_MUST_USE kymo_status kymo_parquet_rows(struct kymo_parquet *p, uint32_t n,
                                            struct kymo_err *err);
/* The last row group and the footer. */
KYMO_MUST_USE kymo_status kymo_parquet_finish(struct kymo_parquet *p, struct kymo_err *err);

#endif
