/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "format/io/npy.h"

#define MEMORY_BYTES ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kymo_matrix m;
    kymo_matrix_init(&m, MEMORY_BYTES);
    if (kymo_npy_parse(&m, kymo_bytes_view(data, size, 0), "fuzz", NULL) == KYMO_OK)
        (void)kymo_matrix_xxh3(&m);
    kymo_matrix_release(&m);
    return 0;
}
