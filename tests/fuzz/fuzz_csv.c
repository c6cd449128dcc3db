/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/io/csv.h"

#define MEMORY_BYTES ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    struct kymo_matrix m;
    kymo_matrix_init(&m, MEMORY_BYTES);
    if (kymo_csv_parse(&m, text, size, "fuzz", NULL) == KYMO_OK)
        (void)kymo_matrix_xxh3(&m);
    kymo_matrix_release(&m);
    free(text);
    return 0;
}
