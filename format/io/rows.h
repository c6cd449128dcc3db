/* SPDX-License-Identifier: Apache-2.0
 * rows.h: rows of any table as JSON Lines and as CSV, exact: whole numbers as they are, reals
 * with 17 digits, texts quoted.
 */
#ifndef KYMO_IO_ROWS_H
#define KYMO_IO_ROWS_H

#include "format/io/walltime.h"
#include "format/trace/batch.h"
#include "format/trace/names.h"

/* What a field of the output stands for: a column, or what is derived from columns. */
enum kymo_field_source {
    KYMO_FIELD_COLUMN,
    KYMO_FIELD_SYSCALL, /* the name of (arch, nr), else the number */
    KYMO_FIELD_ERRNO,   /* the name of -ret where ret is -4095..-1, else the number */
    KYMO_FIELD_TIME,    /* seconds since the capture's start */
    KYMO_FIELD_WALL,    /* the wall clock at ts */
};

struct kymo_field {
    const char *name;
    enum kymo_field_source source;
    uint32_t column, column2;
    enum kymo_type type;
};

struct kymo_fields {
    struct kymo_field *field; /* arena */
    size_t n;
    const struct kymo_names *names; /* borrowed */
    const struct kymo_walltime
        *wall; /* borrowed; without, or without anchors, none has `wall` */
    uint64_t start_ns;
};

/*
 * Resolve names[n] against a schema, into the arena; n = 0: all columns, then syscall and errno
 * where they can be derived. The caller has set out's names, wall and start_ns.
 * errors EUSAGE: no such field
 */
KYMO_MUST_USE kymo_status kymo_fields_resolve(struct kymo_fields *out,
                                              const struct kymo_schema *s,
                                              const char *const *names, size_t n,
                                              struct kymo_arena *arena, struct kymo_err *err);

/* Set want[c] = 1 for the columns that the fields look at. */
void kymo_fields_need(const struct kymo_fields *f, uint8_t *want);

/* One row and its line end. Null cells are left out; table, where it is not NULL, comes first. */
void kymo_row_jsonl(struct kymo_buf *out, const struct kymo_fields *f,
                    const struct kymo_batch *b, uint32_t row, const char *table);
/* One row and its line end; null cells are empty, as texts are quoted even when empty. */
void kymo_row_csv(struct kymo_buf *out, const struct kymo_fields *f, const struct kymo_batch *b,
                  uint32_t row);
void kymo_row_csv_head(struct kymo_buf *out, const struct kymo_fields *f);

#endif
