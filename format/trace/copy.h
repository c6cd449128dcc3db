/* SPDX-License-Identifier: Apache-2.0
 * copy.h: rows of decoded batches into rows being gathered for another chunk. Tasks, keys and
 * strings get the numbers of the chunk to be: what is equal is one task, one key, one string there,
 * from however many batches it came.
 *
 *     kymo_copy_begin(c, batch, err);
 *     for (uint32_t at = 0, n; at < n_rows; at += n) {
 *         kymo_copy_rows(c, row + at, n_rows - at, &n, err);
 *         if (at + n < n_rows)
 *             write kymo_rows_view(rows), then kymo_copy_clear(c);
 *     }
 */
#ifndef KYMO_TRACE_COPY_H
#define KYMO_TRACE_COPY_H

#include "format/trace/batch.h"

struct kymo_copy; /* owned: _open, _close */

/* to is borrowed, empty, and cleared by kymo_copy_clear() alone while the copy is open. */
KYMO_MUST_USE kymo_status kymo_copy_open(struct kymo_copy **out, struct kymo_rows *to,
                                         struct kymo_err *err);
void kymo_copy_close(struct kymo_copy *c);

/* A column of the target that has this text in every row from now on, whatever the batches say. */
KYMO_MUST_USE kymo_status kymo_copy_constant(struct kymo_copy *c, uint32_t column,
                                             const char *text, struct kymo_err *err);

/*
 * The batch that rows are copied from, borrowed by kymo_copy_rows(). Columns are matched by name;
 * what the batch has not (or has not decoded) is null or 0, what the target has not is left out.
 *
 * errors  EUSAGE: a column of the same name with another type, or with an order or null cells that
 *         the target's column cannot hold; ELIMIT: out of memory
 */
KYMO_MUST_USE kymo_status kymo_copy_begin(struct kymo_copy *c, const struct kymo_batch *from,
                                          struct kymo_err *err);
/*
 * Append row[n] of the batch.
 *
 * copied  out: fewer than n when the rows, tasks, keys or strings of the target are full; of the rows
 *         from there on nothing is left behind
 * errors  ELIMIT: out of memory, or a row that not even an empty target can hold
 */
KYMO_MUST_USE kymo_status kymo_copy_rows(struct kymo_copy *c, const uint32_t *row, uint32_t n,
                                         uint32_t *copied, struct kymo_err *err);
/* Forget the rows of the target and what was known of them; the batch goes on. */
void kymo_copy_clear(struct kymo_copy *c);

#endif
