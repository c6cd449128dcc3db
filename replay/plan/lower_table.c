/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/lower_table.h"

#include <string.h>

#include "replay/plan/compile_own.h"

static const struct lower_row rows[] = {
#define CALL(name, op, arg, how, flags) {#name, op, arg, how, flags},
#include "replay/plan/lower_table.def"
#undef CALL
};

const struct lower_row *lower_row_of(const char *name)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

const struct lower_row *lower_rows(uint32_t *n)
{
    *n = sizeof(rows) / sizeof(rows[0]);
    return rows;
}
