/* SPDX-License-Identifier: Apache-2.0
 * tabular.h: rows of one table to a Parquet file.
 */
#ifndef KYMO_EXPORT_TABULAR_H
#define KYMO_EXPORT_TABULAR_H

#include "format/export/parquet.h"
#include "format/export/walk.h"

struct kymo_tabular; /* owned: _open, _close */

/* fd borrowed; name for messages; group_rows as kymo_parquet_open has it. */
KYMO_MUST_USE kymo_status kymo_tabular_open(struct kymo_tabular **out, int fd, const char *name,
                                            uint32_t group_rows, struct kymo_err *err);
void kymo_tabular_close(struct kymo_tabular *t);
struct kymo_export_sink kymo_tabular_sink(struct kymo_tabular *t);
/* errors EUSAGE: no table came, so there are no columns to write */
KYMO_MUST_USE kymo_status kymo_tabular_finish(struct kymo_tabular *t, struct kymo_err *err);

#endif
