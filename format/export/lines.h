/* SPDX-License-Identifier: Apache-2.0
 * lines.h: rows as JSON Lines or CSV, the very lines that kymo cat prints.
 */
#ifndef KYMO_EXPORT_LINES_H
#define KYMO_EXPORT_LINES_H

#include "format/export/walk.h"

struct kymo_lines {
    int fd, is_csv, names_table; /* names_table: JSON lines begin with "table" */
    const char *name;            /* of the output, for messages */
    struct kymo_buf line;
    struct kymo_buf head; /* of the CSV, as written */
    char table[KYMO_NAME_BYTES_MAX + 1];
};

/* l is the caller's, zeroed but for fd, is_csv, names_table and name; release it at the end. */
struct kymo_export_sink kymo_lines_sink(struct kymo_lines *l);
/* What has not been written yet. */
KYMO_MUST_USE kymo_status kymo_lines_finish(struct kymo_lines *l, struct kymo_err *err);
void kymo_lines_release(struct kymo_lines *l);

#endif
