/* SPDX-License-Identifier: Apache-2.0
 * bench_format: how fast syscall rows become chunks and chunks become rows, and how small they
 * are. One core, rows made by tests/unit/tracegen.h, medians of the runs; sizes are whole files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "format/base/bytes.h"
#include "format/trace/chunk.h"
#include "tests/unit/tracegen.h"

#define CHUNKS 16u
#define RUNS 5u

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, RUNS, sizeof(*v), by_value);
    return v[RUNS / 2];
}

struct bench {
    struct kymo_encoder *encoder;
    struct kymo_decoder *decoder;
    struct kymo_arena arena;
    struct kymo_rows *rows[CHUNKS];
    struct kymo_buf body[CHUNKS];
    uint64_t n_rows, bytes;
};

static kymo_status encode_all(struct bench *b, struct kymo_err *err)
{
    b->bytes = 0;
    for (size_t i = 0; i < CHUNKS; i++) {
        const struct kymo_batch batch = kymo_rows_view(b->rows[i]);
        kymo_buf_clear(&b->body[i]);
        KYMO_TRY(kymo_chunk_encode(b->encoder, &batch, &b->body[i], err));
        b->bytes += b->body[i].n + KYMO_CHUNK_HEADER_BYTES;
    }
    return KYMO_OK;
}

static kymo_status decode_all(struct bench *b, const uint8_t *want, struct kymo_err *err)
{
    for (size_t i = 0; i < CHUNKS; i++) {
        const struct kymo_batch in = kymo_rows_view(b->rows[i]);
        const struct kymo_chunk_header h = {.kind = KYMO_CHUNK_DATA,
                                            .n_rows = in.n_rows,
                                            .ts_min_ns = in.ts_min_ns,
                                            .ts_max_ns = in.ts_max_ns};
        struct kymo_batch out;
        kymo_arena_reset(&b->arena);
        KYMO_TRY(kymo_chunk_decode(b->decoder, in.schema, &h,
                                   kymo_bytes_view(b->body[i].p, b->body[i].n, 0), want,
                                   &b->arena, &out, err));
        if (out.n_rows != in.n_rows)
            return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE, "rows were lost");
    }
    return KYMO_OK;
}

static kymo_status run(struct bench *b, double *encode_s, double *decode_s, double *scan_s,
                       struct kymo_err *err)
{
    uint8_t some[KYMO_SYSCALL_COLUMNS] = {0};
    some[KYMO_SYSCALL_TS] = some[KYMO_SYSCALL_NR] = some[KYMO_SYSCALL_DUR] = 1;
    for (size_t i = 0; i < RUNS; i++) {
        double t = now_s();
        KYMO_TRY(encode_all(b, err));
        encode_s[i] = now_s() - t;
        t = now_s();
        KYMO_TRY(decode_all(b, NULL, err));
        decode_s[i] = now_s() - t;
        t = now_s();
        KYMO_TRY(decode_all(b, some, err));
        scan_s[i] = now_s() - t;
    }
    return KYMO_OK;
}

static kymo_status open_bench(struct bench *b, int level, struct kymo_err *err)
{
    struct tracegen g;
    tracegen_init(&g, 1);
    kymo_arena_init(&b->arena, (size_t)1 << 30);
    KYMO_TRY(kymo_encoder_open(&b->encoder, level, err));
    KYMO_TRY(kymo_decoder_open(&b->decoder, err));
    for (size_t i = 0; i < CHUNKS; i++) {
        KYMO_TRY(kymo_rows_open(&b->rows[i], &KYMO_TABLE_SYSCALL, KYMO_CHUNK_ROWS_MAX, err));
        tracegen_begin(b->rows[i]);
        while (!kymo_rows_full(b->rows[i]))
            tracegen_row(&g, b->rows[i]);
        b->n_rows += b->rows[i]->n_rows;
    }
    return KYMO_OK;
}

static void close_bench(struct bench *b)
{
    for (size_t i = 0; i < CHUNKS; i++) {
        kymo_rows_close(b->rows[i]);
        kymo_buf_release(&b->body[i]);
    }
    kymo_encoder_close(b->encoder);
    kymo_decoder_close(b->decoder);
    kymo_arena_release(&b->arena);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct kymo_err err = {0};
    double encode_s[RUNS], decode_s[RUNS], scan_s[RUNS];
    const int level = argc > 1 ? atoi(argv[1]) : 1;
    kymo_status s = open_bench(&b, level, &err);
    if (!s)
        s = run(&b, encode_s, decode_s, scan_s, &err);
    if (s) {
        fprintf(stderr, "bench_format: %s\n", err.text);
        close_bench(&b);
        return 1;
    }
    const double n = (double)b.n_rows;
    printf("%.0f synthetic syscall rows in %u chunks, zstd level %d, one core\n", n, CHUNKS,
           level);
    printf("RESULT format_encode_mevs %.2f M/s %u\n", n / median(encode_s) / 1e6, RUNS);
    printf("RESULT format_decode_mevs %.2f M/s %u\n", n / median(decode_s) / 1e6, RUNS);
    printf("RESULT format_scan_mevs %.2f M/s %u\n", n / median(scan_s) / 1e6, RUNS);
    printf("RESULT format_bytes_per_event %.3f B %u\n", (double)b.bytes / n, RUNS);
    close_bench(&b);
    return 0;
}
