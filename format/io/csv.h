/* SPDX-License-Identifier: Apache-2.0
 * csv.h: tables of numbers as text, with a header line; comma, semicolon or tab, by the header.
 * source: RFC 4180
 */
#ifndef KYMO_IO_CSV_H
#define KYMO_IO_CSV_H

#include "format/model/matrix.h"

/* A record: fields as views into the text, quotes taken off in place. */
#define KYMO_CSV_FIELDS_MAX (KYMO_MATRIX_COLUMNS_MAX + 16u)
struct kymo_csv {
    char *p, *end; /* the text yet to read, writable, p..end */
    char separator;
    size_t line, next_line; /* of the record last read, and of the next, from 1 */
    size_t n;
    char **field; /* [n] NUL-terminated */
    size_t cap;
    struct kymo_arena *arena;
};
/* text[n] is borrowed and changed; text[n] is NUL. Finds the separator in the first line. */
void kymo_csv_open(struct kymo_csv *c, char *text, size_t n, struct kymo_arena *arena);
/* The next record that is no empty line; *more 0 at the end. errors ECORRUPT: an open quote; ELIMIT */
KYMO_MUST_USE kymo_status kymo_csv_next(struct kymo_csv *c, int *more, const char *name,
                                        struct kymo_err *err);

/*
 * Text into an initialised matrix. The columns that featurize writes before its features (ts, dur,
 * real, capture, entity, events, lost), where all stand first, are facts of the row and no features.
 *
 * text    [bytes] and a NUL after, borrowed and changed
 * errors  EINPUT: no header, a cell that is no finite number, naming column and row;
 *         ECORRUPT: a row with more or fewer cells than the header
 */
KYMO_MUST_USE kymo_status kymo_csv_parse(struct kymo_matrix *m, char *text, size_t bytes,
                                         const char *name, struct kymo_err *err);
/* With the facts of the rows before the features, where the matrix has them. */
KYMO_MUST_USE kymo_status kymo_csv_write(int fd, const struct kymo_matrix *m, const char *name,
                                         struct kymo_err *err);

#endif
