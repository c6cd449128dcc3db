/* SPDX-License-Identifier: Apache-2.0
 * walk.h: the rows that an export is about, batch by batch, to whoever writes them.
 */
#ifndef KYMO_EXPORT_WALK_H
#define KYMO_EXPORT_WALK_H

#include <signal.h>

#include "format/io/rows.h"

#define KYMO_EXPORT_COLUMNS_MAX 256u

/* Which rows and columns; all borrowed. */
struct kymo_export_ask {
    const char *const *table; /* none: what the sink says of a table */
    size_t n_tables;
    const char *const *column; /* none: all, with the names derived from them */
    size_t n_columns;
    const char *filter; /* or NULL */
    uint64_t since_ns, until_ns;
};

/* Rows of one schema: what stays the same from batch to batch. */
struct kymo_export_rows {
    const struct kymo_schema *schema;
    struct kymo_fields fields;
    const char *path;
};

/* Whoever writes. A function that is NULL is not called. */
struct kymo_export_sink {
    void *self;
    int wants_wall; /* `wall` is a column of its own accord */
    /* is a table taken that was not asked for by name? */
    int (*takes)(void *self, const char *table);
    kymo_status (*file)(void *self, const char *path, struct kymo_err *err);
    /* before the rows of a schema, and once for a table that is announced but has none */
    kymo_status (*begin)(void *self, const struct kymo_export_rows *r, struct kymo_err *err);
    /* rows row[n] of the batch, rising */
    kymo_status (*put)(void *self, const struct kymo_export_rows *r, const struct kymo_batch *b,
                       const uint32_t *row, uint32_t n, struct kymo_err *err);
};

struct kymo_walk; /* owned: _open, _close */

KYMO_MUST_USE kymo_status kymo_walk_open(struct kymo_walk **out,
                                         const struct kymo_export_ask *ask,
                                         const struct kymo_export_sink *sink,
                                         struct kymo_err *err);
void kymo_walk_close(struct kymo_walk *w);
/* errors ETORN: as the reader's; what came before has been passed on; ESTOPPED: *stop was set */
KYMO_MUST_USE kymo_status kymo_walk_file(struct kymo_walk *w, const char *path,
                                         const volatile sig_atomic_t *stop,
                                         struct kymo_err *err);
/* How many rows were passed on. */
uint64_t kymo_walk_rows(const struct kymo_walk *w);

#endif
