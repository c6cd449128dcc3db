/* SPDX-License-Identifier: Apache-2.0
 * fuzz_chunk: any bytes as the body of a chunk of syscalls, and as a stream of each codec. What
 * decodes must encode and decode again to the same values, whatever the order and however many
 * columns are asked for at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "format/trace/chunk.h"
#include "format/trace/codec.h"

#define VALUES_MAX 4096u
#define HEAD_BYTES 6u

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

static void must(int holds)
{
    if (!holds)
        abort();
}

static void must_be_same(const struct kymo_batch *a, const struct kymo_batch *b)
{
    for (uint32_t c = 0; c < a->schema->n_columns; c++)
        for (uint32_t i = 0; i < a->n_rows; i++) {
            const int there = kymo_batch_present(a, c, i);
            must(there == kymo_batch_present(b, c, i));
            must(!there || kymo_batch_lane(a, c, i) == kymo_batch_lane(b, c, i));
        }
}

/* The rows of the chunk, all columns at once, through the encoder and back. */
static void round_trip(struct kymo_decoder *d, const struct kymo_batch *in)
{
    static struct kymo_encoder *e;
    struct kymo_arena arena;
    struct kymo_buf body = {0};
    struct kymo_batch out;
    const struct kymo_chunk_header h = {.kind = KYMO_CHUNK_DATA,
                                        .n_rows = in->n_rows,
                                        .ts_min_ns = in->ts_min_ns,
                                        .ts_max_ns = in->ts_max_ns};
    if (!e && kymo_encoder_open(&e, 1, NULL))
        return;
    kymo_arena_init(&arena, (size_t)64 << 20);
    must(!kymo_chunk_encode(e, in, &body, NULL));
    must(!kymo_chunk_decode(d, in->schema, &h, kymo_bytes_view(body.p, body.n, 0), NULL, &arena,
                            &out, NULL));
    must_be_same(in, &out);
    kymo_buf_release(&body);
    kymo_arena_release(&arena);
}

/* One column after the other, times last, because their sum is rarely what a header says. */
static void by_columns(struct kymo_decoder *d, const uint8_t *data, struct kymo_batch *b)
{
    uint8_t want[KYMO_SYSCALL_COLUMNS] = {0};
    static volatile uint64_t sink;
    for (uint32_t k = 0; k < KYMO_SYSCALL_COLUMNS; k++) {
        const uint32_t c = KYMO_SYSCALL_COLUMNS - 1 - (k + data[5]) % KYMO_SYSCALL_COLUMNS;
        want[c] = 1;
        if (c != KYMO_SYSCALL_TS && kymo_chunk_more(d, want, b, NULL))
            return;
        want[c] = 0;
        for (uint32_t i = 0; b->lane[c] && i < b->n_rows; i++)
            sink += kymo_batch_present(b, c, i) ? kymo_batch_lane(b, c, i) : 0;
    }
    uint32_t rows = 0;
    for (uint32_t i = 0; i < b->n_runs; i++)
        rows += b->run[i].n;
    must(!b->run || rows == b->n_rows);
}

static void chunk(const uint8_t *data, size_t n, struct kymo_arena *arena)
{
    static struct kymo_decoder *d;
    const uint8_t none[KYMO_SYSCALL_COLUMNS] = {0};
    struct kymo_batch b;
    const struct kymo_chunk_header h = {
        .kind = KYMO_CHUNK_DATA,
        .n_rows = 1 + (data[0] | (uint32_t)data[1] << 8) % VALUES_MAX,
        .ts_min_ns = 1000000000u,
        .ts_max_ns =
            1000000000u + (data[2] | (uint64_t)data[3] << 8 | (uint64_t)data[4] << 16)};
    const struct kymo_bytes body = kymo_bytes_view(data + HEAD_BYTES, n - HEAD_BYTES, 0);
    if (!d && kymo_decoder_open(&d, NULL))
        return;
    kymo_decoder_call_order(d, data[5] & 1);
    if (!kymo_chunk_decode(d, &KYMO_TABLE_SYSCALL, &h, body, none, arena, &b, NULL))
        by_columns(d, data, &b);
    kymo_decoder_call_order(d, 0);
    kymo_arena_reset(arena);
    if (!kymo_chunk_decode(d, &KYMO_TABLE_SYSCALL, &h, body, NULL, arena, &b, NULL)) {
        must(b.n_rows == h.n_rows);
        round_trip(d, &b);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct kymo_arena arena;
    if (n < HEAD_BYTES + 1)
        return 0;
    kymo_arena_init(&arena, (size_t)64 << 20);
    if (data[0] & 1)
        codec(data + 1, n - 1, &arena);
    else
        chunk(data + 1, n - 1, &arena);
    kymo_arena_release(&arena);
    return 0;
}
