/* SPDX-License-Identifier: Apache-2.0
 * byfield.h: what rows are grouped by. Each value of a field gets a number once; a batch is then
 * numbers by task, by key or by row, resolved once for each of those.
 */
#ifndef KYMO_STAT_BYFIELD_H
#define KYMO_STAT_BYFIELD_H

#include "format/stat/idset.h"
#include "format/trace/batch.h"
#include "format/trace/names.h"

#define KYMO_BY_MAX 8u

/* Cells of the output: of fields and of what was counted. */
enum kymo_cell_kind {
    KYMO_CELL_NULL,
    KYMO_CELL_U64,
    KYMO_CELL_I64,
    KYMO_CELL_F64,
    KYMO_CELL_TEXT
};
struct kymo_cell {
    enum kymo_cell_kind kind;
    uint64_t u64;
    int64_t i64;
    double f64;
    struct kymo_text text; /* borrowed */
};

enum kymo_by_source {
    KYMO_BY_COLUMN,
    KYMO_BY_SYSCALL, /* the name of (arch, nr), else the number */
    KYMO_BY_ERRNO,   /* the name of -ret where ret is -4095..-1 */
    KYMO_BY_FILE,    /* the path, else that of the descriptor: from outside, by row */
    KYMO_BY_ADDR,    /* the same for addresses */
};
enum kymo_by_place { KYMO_BY_TASK, KYMO_BY_KEY, KYMO_BY_ROW, KYMO_BY_PLACES };

struct kymo_by {
    const char *name; /* borrowed */
    enum kymo_by_source source;
    enum kymo_by_place place;
    uint32_t column, column2;
    enum kymo_type type;
    struct kymo_idset numbers; /* 64-bit lanes, as two words */
    struct kymo_texts texts;
    uint32_t
        *id; /* [id_cap] owned: of the batch at hand, by its place; 0 null, else 1 + number */
    size_t id_cap;
};

void kymo_by_init(struct kymo_by *f, const char *name, size_t text_bytes_max);
void kymo_by_release(struct kymo_by *f);
/* errors EUSAGE: the schema has no such field, or has it with another type than before */
KYMO_MUST_USE kymo_status kymo_by_resolve(struct kymo_by *f, const struct kymo_schema *s,
                                          struct kymo_err *err);
/* Set want[c] = 1 for what it is made of. */
void kymo_by_need(const struct kymo_by *f, uint8_t *want);
/* Room for n numbers of the batch at hand. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_by_room(struct kymo_by *f, size_t n, struct kymo_err *err);
/* The numbers of a batch; a field that comes from outside has them already. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_by_take(struct kymo_by *f, const struct kymo_batch *b,
                                       const struct kymo_names *names, struct kymo_err *err);
/* The number of a text. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_by_text(struct kymo_by *f, const char *s, size_t n, uint32_t *id,
                                       struct kymo_err *err);
void kymo_by_cell(const struct kymo_by *f, uint32_t id, struct kymo_cell *out);
/* Order of two cells of one field, nulls first. */
int kymo_cell_order(const struct kymo_cell *a, const struct kymo_cell *b);

#endif
