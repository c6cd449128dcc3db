/* SPDX-License-Identifier: Apache-2.0
 * fuzz_salvage: any bytes as a capture through salvage, and what was salvaged through slice and merge:
 * it is a capture now. With checksums made right where the first byte is even, so that the fuzzer
 * gets behind them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "format/file/merge.h"
#include "format/file/salvage.h"
#include "format/file/slice.h"
#include "format/trace/chunk.h"

#define INPUT_BYTES_MAX (1u << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Right sums wherever the magic of a chunk stands. */
static void mend(uint8_t *p, size_t n)
{
    for (size_t at = 0; at + KYMO_CHUNK_HEADER_BYTES <= n; at++) {
        if (memcmp(p + at, "KCHK", 4) != 0)
            continue;
        const uint32_t body = kymo_load_u32(p + at + 16);
        const size_t left = n - at - KYMO_CHUNK_HEADER_BYTES;
        if (body <= left) {
            const uint64_t sum = XXH3_64bits(p + at + KYMO_CHUNK_HEADER_BYTES, body);
            kymo_store_u64(p + at + 48, sum);
            if (kymo_load_u32(p + at + 4) == KYMO_CHUNK_SCHEMA)
                kymo_store_u64(p + at + 24, sum);
        }
        kymo_store_u64(p + at + 56, XXH3_64bits(p + at, 56));
    }
}

static kymo_status slice(const char *path, struct kymo_writer *w)
{
    const struct kymo_slice_opts o = {
        .since_ns = 1000, .until_ns = 1000000, .filter = "ts > 0", .time_unit_ns = 64};
    struct kymo_slice_result r;
    return kymo_slice(path, &o, w, &r, NULL);
}

static kymo_status merge(const char *path, struct kymo_writer *w)
{
    const struct kymo_merge_opts o = {.parts = 1};
    const char *const both[] = {path, path};
    struct kymo_merge_result r;
    const char *at;
    return kymo_merge(both, 2, &o, w, &r, &at, NULL);
}

static void use(const char *path)
{
    kymo_status (*const tool[])(const char *, struct kymo_writer *) = {slice, merge};
    for (size_t i = 0; i < 2; i++) {
        struct kymo_writer *w;
        const int fd = open("/dev/null", O_WRONLY);
        if (fd >= 0 && !kymo_writer_open(&w, fd, "null", 1, NULL)) {
            (void)!tool[i](path, w);
            kymo_writer_close(w);
        }
        if (fd >= 0)
            close(fd);
    }
}

static int salvage(int in, const char *path)
{
    const struct kymo_salvage_opts o = {.memory_bytes = (size_t)64 << 20};
    struct kymo_salvage_result r;
    struct kymo_writer *w;
    int good = 0;
    const int fd = open(path, O_WRONLY | O_TRUNC);
    if (fd >= 0 && !kymo_writer_open(&w, fd, path, 1, NULL)) {
        good = !kymo_salvage(in, &o, w, &r, NULL);
        kymo_writer_close(w);
    }
    if (fd >= 0)
        close(fd);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char from[] = "/tmp/kymo-fuzz-XXXXXX", to[] = "/tmp/kymo-fuzz-XXXXXX";
    if (!n || n > INPUT_BYTES_MAX)
        return 0;
    uint8_t *p = malloc(n);
    if (!p)
        return 0;
    memcpy(p, data, n);
    if (!(data[0] & 1))
        mend(p + 1, n - 1);
    const int in = mkstemp(from), out = mkstemp(to);
    if (in >= 0 && out >= 0 && write(in, p + 1, n - 1) == (ssize_t)(n - 1) &&
        !lseek(in, 0, SEEK_SET) && salvage(in, to))
        use(to);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    unlink(from);
    unlink(to);
    free(p);
    return 0;
}
