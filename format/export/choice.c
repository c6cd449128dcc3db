/* SPDX-License-Identifier: Apache-2.0 */
#include "format/export/choice.h"

#include <string.h>

#include "format/base/size.h"

static int is_one_of(const char *const *word, size_t n, const char *table)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(word[i], table))
            return 1;
    return 0;
}

int kymo_table_is_book(const char *table)
{
    static const char *const book[] = {"cgroup", "loss", "cost", "clock", "context", "sysname"};
    return is_one_of(book, KYMO_COUNT_OF(book), table);
}

int kymo_table_is_main(const char *table)
{
    static const char *const main_table[] = {"syscall", "features"};
    return is_one_of(main_table, KYMO_COUNT_OF(main_table), table);
}

kymo_status kymo_table_same(const char *first, const struct kymo_export_rows *r, int same,
                            struct kymo_err *err)
{
    if (strcmp(first, r->schema->table) != 0)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "the output holds one table, and there are %s and %s; choose with -t",
                         first, r->schema->table);
    if (!same)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "table %s of %s has other columns than the one before it; choose "
                         "columns that both have with --columns",
                         r->schema->table, r->path);
    return KYMO_OK;
}
