/* SPDX-License-Identifier: Apache-2.0
 * fuzz_reader: any bytes as a capture through the whole reader, with checksums made right first,
 * so that the fuzzer gets behind them. Every cell that comes out is looked at.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/trace/reader.h"
#include "tests/fuzz/mend.h"

#define INPUT_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t look(const struct kymo_batch *b)
{
    uint64_t sum = 0;
    for (uint32_t c = 0; c < b->schema->n_columns; c++)
        for (uint32_t i = 0; i < b->n_rows; i++) {
            if (!kymo_batch_present(b, c, i))
                continue;
            uint32_t bytes = 0;
            const char *s = "";
            if (b->schema->column[c].type == KYMO_T_STR)
                s = kymo_batch_str(b, c, i, &bytes);
            sum += kymo_batch_lane(b, c, i) + (bytes ? (uint8_t)s[bytes - 1] : 0);
        }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static volatile uint64_t sink;
    char path[] = "/tmp/kymo-fuzz-XXXXXX";
    if (n > INPUT_BYTES_MAX)
        return 0;
    uint8_t *p = malloc(n + 1);
    if (!p)
        return 0;
    memcpy(p, data, n);
    mend(p, n);
    const int fd = mkstemp(path);
    const int whole = fd >= 0 && write(fd, p, n) == (ssize_t)n;
    kymo_reader *r = NULL;
    if (whole && !kymo_reader_open(&r, path, (size_t)64 << 20, NULL)) {
        const struct kymo_batch *b = NULL;
        while (!kymo_reader_next(r, &b, NULL) && b)
            sink += look(b);
        kymo_reader_close(r);
    }
    if (fd >= 0)
        close(fd);
    unlink(path);
    free(p);
    return 0;
}
