/* SPDX-License-Identifier: Apache-2.0
 * choice.h: which tables an export takes when none is named.
 */
#ifndef KYMO_EXPORT_CHOICE_H
#define KYMO_EXPORT_CHOICE_H

#include "format/export/walk.h"

/* The recorder's own books: cgroup, loss, cost, clock, context, sysname. */
int kymo_table_is_book(const char *table);
/* What a file is about, for formats that hold one table: syscall in a capture, features in a matrix. */
int kymo_table_is_main(const char *table);
/* errors EUSAGE: an output of one table has begun with `first`, and now comes another, or one of
 * that name with other columns (same 0). */
KYMO_MUST_USE kymo_status kymo_table_same(const char *first, const struct kymo_export_rows *r,
                                          int same, struct kymo_err *err);

#endif
