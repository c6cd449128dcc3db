/* SPDX-License-Identifier: Apache-2.0
 * fuzz_filter: any text as a filter of syscalls; what is taken is run over rows.
 */
#include <stdlib.h>
#include <string.h>

#include "format/trace/filter.h"
#include "tests/unit/tracegen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct kymo_rows *some_rows(void)
{
    static struct kymo_rows *r;
    struct tracegen g;
    if (r || kymo_rows_open(&r, &KYMO_TABLE_SYSCALL, 64, NULL))
        return r;
    tracegen_init(&g, 1);
    tracegen_begin(r);
    while (!kymo_rows_full(r))
        tracegen_row(&g, r);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char text[KYMO_FILTER_BYTES_MAX + 1];
    struct kymo_filter *f;
    struct kymo_err err;
    struct kymo_rows *r = some_rows();
    if (!r || n > KYMO_FILTER_BYTES_MAX)
        return 0;
    memcpy(text, data, n);
    text[n] = '\0';
    if (kymo_filter_open(&f, text, &err))
        return 0;
    const struct kymo_batch b = kymo_rows_view(r);
    if (!kymo_filter_bind(f, b.schema, NULL, 0, &err) && !kymo_filter_begin(f, &b, &err))
        for (uint32_t i = 0; i < b.n_rows; i++)
            if (kymo_filter_match(f, i) != kymo_filter_match(f, i))
                abort();
    kymo_filter_close(f);
    return 0;
}
