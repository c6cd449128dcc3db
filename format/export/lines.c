/* SPDX-License-Identifier: Apache-2.0 */
#include "format/export/lines.h"

#include <stdio.h>
#include <string.h>

#include "format/base/file.h"
#include "format/export/choice.h"

#define OUT_BYTES ((size_t)1 << 20)

static kymo_status flush(struct kymo_lines *l, struct kymo_err *err)
{
    if (l->line.failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a line");
    KYMO_TRY(kymo_file_write(l->fd, l->line.p, l->line.n, l->name, err));
    kymo_buf_clear(&l->line);
    return KYMO_OK;
}

static int takes(void *self, const char *table)
{
    const struct kymo_lines *l = self;
    return l->is_csv ? kymo_table_is_main(table) : !kymo_table_is_book(table);
}

/* One header: what comes later has to have the same columns. */
static kymo_status begin(void *self, const struct kymo_export_rows *r, struct kymo_err *err)
{
    struct kymo_lines *l = self;
    if (!l->is_csv)
        return KYMO_OK;
    const size_t from = l->line.n;
    kymo_row_csv_head(&l->line, &r->fields);
    if (l->line.failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a line");
    const size_t n = l->line.n - from;
    if (!l->table[0]) {
        kymo_buf_put(&l->head, l->line.p + from, n);
        (void)snprintf(l->table, sizeof(l->table), "%s", r->schema->table);
        return KYMO_OK;
    }
    l->line.n = from;
    return kymo_table_same(l->table, r,
                           l->head.n == n && !memcmp(l->head.p, l->line.p + from, n), err);
}

static kymo_status put(void *self, const struct kymo_export_rows *r, const struct kymo_batch *b,
                       const uint32_t *row, uint32_t n, struct kymo_err *err)
{
    struct kymo_lines *l = self;
    const char *table = l->names_table ? r->schema->table : NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (l->is_csv)
            kymo_row_csv(&l->line, &r->fields, b, row[i]);
        else
            kymo_row_jsonl(&l->line, &r->fields, b, row[i], table);
        if (l->line.n >= OUT_BYTES)
            KYMO_TRY(flush(l, err));
    }
    return flush(l, err);
}

struct kymo_export_sink kymo_lines_sink(struct kymo_lines *l)
{
    return (struct kymo_export_sink){.self = l, .takes = takes, .begin = begin, .put = put};
}

kymo_status kymo_lines_finish(struct kymo_lines *l, struct kymo_err *err)
{
    return flush(l, err);
}

void kymo_lines_release(struct kymo_lines *l)
{
    kymo_buf_release(&l->line);
    kymo_buf_release(&l->head);
}
