/* SPDX-License-Identifier: Apache-2.0
 *
 * kymo.h: the ground that every part stands on, and the one installed header.
 *
 * Compiles alone, as C11 and as C++. A function that can fail returns kymo_status and takes
 * a struct kymo_err last (NULL allowed); outputs are untouched unless it returns KYMO_OK.
 */
#ifndef KYMO_H
#define KYMO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KYMO_VERSION "0.1.0"

#if defined(__GNUC__)
#define KYMO_MUST_USE __attribute__((warn_unused_result))
#define KYMO_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define KYMO_MUST_USE
#define KYMO_PRINTF(fmt, args)
#endif

typedef enum kymo_status {
    KYMO_OK = 0,
    KYMO_EUSAGE,   /* the caller asked for something that makes no sense */
    KYMO_EINPUT,   /* an input cannot be opened or read, or is of the wrong kind */
    KYMO_ECORRUPT, /* bytes that break the rules of their format */
    KYMO_ETORN,    /* an input that ends in mid-chunk: all before it is good */
    KYMO_ELIMIT,   /* a budget of memory, size or number would be passed */
    KYMO_EHOST,    /* this host cannot: permission, kernel, missing part */
    KYMO_EOUTPUT,  /* an output cannot be written */
    KYMO_EPIPE,    /* the reader of an output left */
    KYMO_ESTOPPED, /* a signal cut the work short */
} kymo_status;

#define KYMO_ERR_BYTES_MAX 512

/* What failed, why and where; written once, by the place that knows. */
struct kymo_err {
    kymo_status code;
    uint64_t at_bytes; /* offset in the input; UINT64_MAX: no place */
    char text[KYMO_ERR_BYTES_MAX];
};

/* One word for a status ("corrupt input"), for programs that print their own messages. */
const char *kymo_status_name(kymo_status s);

/*
 * Reading a capture or a feature matrix: batches of one table at a time, in file order.
 *
 *     kymo_reader *r;
 *     if (kymo_reader_open(&r, "prod.kymo", 0, &err)) ...
 *     const struct kymo_batch *b;
 *     while (!(s = kymo_reader_next(r, &b, &err)) && b)
 *         for (uint32_t i = 0; i < kymo_batch_rows(b); i++)
 *             use(kymo_batch_u64(b, column, i));
 *     kymo_reader_close(r);
 */
typedef struct kymo_reader kymo_reader;
struct kymo_batch;

enum kymo_type {
    KYMO_T_U64 = 1,
    KYMO_T_I64 = 2,
    KYMO_T_F64 = 3,
    KYMO_T_F32 = 4,
    KYMO_T_STR = 5,
};

/*
 * Open a file, or "-" for stdin.
 *
 * memory_bytes_max  cap on what the reader may allocate, 0 for the default (256 MiB)
 * r                 out, owned: kymo_reader_close() it
 * errors            EINPUT: missing, unreadable, a directory; ECORRUPT: no capture
 */
KYMO_MUST_USE kymo_status kymo_reader_open(kymo_reader **r, const char *path,
                                           size_t memory_bytes_max, struct kymo_err *err);
void kymo_reader_close(kymo_reader *r);

/*
 * Decode only these tables (n names) from now on; others are skipped unread where the input
 * can seek. n = 0: all. Names are borrowed for the call.
 */
KYMO_MUST_USE kymo_status kymo_reader_select(kymo_reader *r, const char *const *tables,
                                             size_t n, struct kymo_err *err);

/*
 * The next data chunk, decoded.
 *
 * b       out, borrowed until the next call; NULL at the end of the file
 * errors  ETORN: the file ends in mid-chunk, everything before it was returned;
 *         ECORRUPT: damage, at err->at_bytes; ELIMIT: the chunk would pass the memory cap
 */
KYMO_MUST_USE kymo_status kymo_reader_next(kymo_reader *r, const struct kymo_batch **b,
                                           struct kymo_err *err);

const char *kymo_batch_table(const struct kymo_batch *b);
uint32_t kymo_batch_rows(const struct kymo_batch *b);
uint32_t kymo_batch_columns(const struct kymo_batch *b);
const char *kymo_batch_column_name(const struct kymo_batch *b, uint32_t column);
const char *kymo_batch_column_unit(const struct kymo_batch *b, uint32_t column);
enum kymo_type kymo_batch_column_type(const struct kymo_batch *b, uint32_t column);
/* Column index by name, or -1. */
int kymo_batch_column(const struct kymo_batch *b, const char *name);
/* 0 where the cell is null. */
int kymo_batch_present(const struct kymo_batch *b, uint32_t column, uint32_t row);
uint64_t kymo_batch_u64(const struct kymo_batch *b, uint32_t column, uint32_t row);
int64_t kymo_batch_i64(const struct kymo_batch *b, uint32_t column, uint32_t row);
double kymo_batch_f64(const struct kymo_batch *b, uint32_t column, uint32_t row);
/* Bytes of a string cell, not NUL-terminated; borrowed with the batch. */
const char *kymo_batch_str(const struct kymo_batch *b, uint32_t column, uint32_t row,
                           uint32_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
