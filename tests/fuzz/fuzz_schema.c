/* SPDX-License-Identifier: Apache-2.0
 * fuzz_schema: any bytes as a schema. What is taken encodes to the same bytes' meaning again.
 */
#include <stdlib.h>
#include <string.h>

#include "format/trace/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct kymo_arena arena;
    struct kymo_schema *s, *again;
    struct kymo_buf out = {0};
    kymo_arena_init(&arena, (size_t)8 << 20);
    if (!kymo_schema_decode(&s, kymo_bytes_view(data, n, 0), &arena, NULL)) {
        kymo_schema_encode(s, &out);
        if (out.failed ||
            kymo_schema_decode(&again, kymo_bytes_view(out.p, out.n, 0), &arena, NULL) ||
            again->n_columns != s->n_columns || strcmp(again->table, s->table) != 0)
            abort();
    }
    kymo_buf_release(&out);
    kymo_arena_release(&arena);
    return 0;
}
