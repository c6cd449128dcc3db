/* SPDX-License-Identifier: Apache-2.0
 * fuzz_chunk: any bytes as the body of a chunk of syscalls, and as a stream of each codec. What
 * decodes must encode and decode again to the same values.
 */
#include <stdlib.h>
#include <string.h>

#include "format/trace/chunk.h"
#include "format/trace/codec.h"

#define VALUES_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void codec(const uint8_t *data, size_t n, struct kymo_arena *arena)
{
    const unsigned id = data[0] % KYMO_CODEC_COUNT;
    const size_t values = 1 + (data[1] | (size_t)data[2] << 8) % VALUES_MAX;
    uint64_t *v = KYMO_NEW_RAW(arena, uint64_t, values),
             *again = KYMO_NEW_RAW(arena, uint64_t, values);
    struct kymo_buf out = {0};
    if (!v || !again ||
        kymo_codecs[id].decode(kymo_bytes_view(data + 3, n - 3, 0), v, values, arena, NULL))
        return;
    if (kymo_codecs[id].encode(v, values, &out) &&
        (kymo_codecs[id].decode(kymo_bytes_view(out.p, out.n, 0), again, values, arena, NULL) ||
         memcmp(v, again, values * sizeof(*v)) != 0))
        abort();
    kymo_buf_release(&out);
}

static void chunk(const uint8_t *data, size_t n, struct kymo_arena *arena)
{
    static struct kymo_decoder *d;
    struct kymo_batch b;
    const struct kymo_chunk_header h = {.kind = KYMO_CHUNK_DATA,
                                        .n_rows =
                                            1 + (data[0] | (uint32_t)data[1] << 8) % VALUES_MAX,
                                        .ts_min_ns = 1000004033u,
                                        .ts_max_ns = 1000094033u};
    if (!d && kymo_decoder_open(&d, NULL))
        return;
    if (!kymo_chunk_decode(d, &KYMO_TABLE_SYSCALL, &h, kymo_bytes_view(data + 2, n - 2, 0),
                           NULL, arena, &b, NULL) &&
        b.n_rows != h.n_rows)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct kymo_arena arena;
    if (n < 4)
        return 0;
    kymo_arena_init(&arena, (size_t)64 << 20);
    if (data[0] & 1)
        codec(data + 1, n - 1, &arena);
    else
        chunk(data + 1, n - 1, &arena);
    kymo_arena_release(&arena);
    return 0;
}
