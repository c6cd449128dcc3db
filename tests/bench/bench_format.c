/* SPDX-License-Identifier: Apache-2.0
 * bench_format CAPTURE: how fast ring records become chunks and chunks become rows, on one core.
 * The capture's system calls are held in memory as records and as chunks; medians of the runs.
 *
 *     bench_format --raw OUT CAPTURE        as records of fixed width, which is what peers are given
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "format/base/bytes.h"
#include "format/trace/reader.h"
#include "format/trace/writer.h"
#include "record/callrows.h"

#define RUNS 5u
#define TIDS (1u << 22)

static const char *const syscall_table = "syscall";

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

/* A chunk of the capture, in memory. */
struct chunk {
    struct kymo_chunk_header h;
    uint8_t *body;
};

struct bench {
    struct kymo_schema *schema;
    struct kymo_arena keep, arena;
    struct chunk *chunk;
    size_t n_chunks, cap_chunks;
    uint64_t n_rows;
    struct kymo_buf record; /* TASK and CALL records, in time order */
    uint8_t *announced;     /* [TIDS] */
    uint64_t sum;           /* of what was read, so that nothing is left out */
};

/* -------- what is measured -------- */

static kymo_status decode_all(struct bench *b, struct kymo_err *err)
{
    struct kymo_decoder *d;
    KYMO_TRY(kymo_decoder_open(&d, err));
    kymo_status s = KYMO_OK;
    for (size_t i = 0; i < b->n_chunks && !s; i++) {
        struct kymo_batch out;
        const struct chunk *c = &b->chunk[i];
        kymo_arena_reset(&b->arena);
        s = kymo_chunk_decode(d, b->schema, &c->h, kymo_bytes_view(c->body, c->h.body_bytes, 0),
                              NULL, &b->arena, &out, err);
        b->sum += s ? 0 : out.lane[KYMO_SYSCALL_TS][out.n_rows - 1];
    }
    kymo_decoder_close(d);
    return s;
}

/* Which process spent how long in which call: three columns, rows in call order. */
static kymo_status scan_all(struct bench *b, struct kymo_err *err)
{
    struct kymo_decoder *d;
    uint8_t want[KYMO_SYSCALL_COLUMNS] = {0};
    want[KYMO_SYSCALL_PID] = want[KYMO_SYSCALL_NR] = want[KYMO_SYSCALL_DUR] = 1;
    KYMO_TRY(kymo_decoder_open(&d, err));
    kymo_decoder_call_order(d, 1);
    kymo_status s = KYMO_OK;
    for (size_t i = 0; i < b->n_chunks && !s; i++) {
        struct kymo_batch out;
        const struct chunk *c = &b->chunk[i];
        kymo_arena_reset(&b->arena);
        s = kymo_chunk_decode(d, b->schema, &c->h, kymo_bytes_view(c->body, c->h.body_bytes, 0),
                              want, &b->arena, &out, err);
        const uint64_t *dur = s ? NULL : out.lane[KYMO_SYSCALL_DUR];
        for (uint32_t r = 0, row = 0; !s && r < out.n_runs; r++) {
            uint64_t took = 0;
            for (const uint32_t end = row + out.run[r].n; row < end; row++)
                took += dur[row];
            b->sum += took * out.lane[KYMO_SYSCALL_PID][out.run[r].task] +
                      out.lane[KYMO_SYSCALL_NR][out.run[r].key];
        }
    }
    kymo_decoder_close(d);
    return s;
}

static kymo_status cut(struct kymo_writer *w, struct callrows *c, struct kymo_rows *rows,
                       struct kymo_err *err)
{
    const struct kymo_batch b = kymo_rows_view(rows);
    KYMO_TRY(kymo_writer_put(w, &b, 0, err));
    kymo_rows_clear(rows);
    callrows_next_chunk(c);
    return KYMO_OK;
}

/* As the recorder does: a chunk of 131,072 rows, or a second. */
static kymo_status encode_records(struct bench *b, struct kymo_writer *w, struct callrows *c,
                                  struct kymo_rows *rows, struct kymo_err *err)
{
    uint64_t second = 0;
    for (size_t at = 0; at < b->record.n;) {
        const struct kymo_event_head *head =
            (const struct kymo_event_head *)(const void *)(b->record.p + at);
        at += head->bytes;
        if (head->kind == KYMO_EVENT_TASK) {
            (void)callrows_learn(c, (const struct kymo_event_task *)(const void *)head);
            continue;
        }
        const uint64_t now = head->ts_ns / 1000000000u;
        if (rows->n_rows && (now != second || rows->n_rows == rows->cap_rows))
            KYMO_TRY(cut(w, c, rows, err));
        second = now;
        const struct kymo_event_call *e = (const struct kymo_event_call *)(const void *)head;
        if (!callrows_add(c, rows, e, head->bytes, 0, 0)) {
            KYMO_TRY(cut(w, c, rows, err));
            (void)callrows_add(c, rows, e, head->bytes, 0, 0);
        }
    }
    return cut(w, c, rows, err);
}

static kymo_status encode_all(struct bench *b, struct kymo_err *err)
{
    struct kymo_writer *w = NULL;
    struct callrows *c = NULL;
    struct kymo_rows *rows = NULL;
    const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    kymo_status s = kymo_writer_open(&w, fd, "/dev/null", 3, err);
    if (!s)
        s = callrows_open(&c, TIDS, err);
    if (!s)
        s = kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, KYMO_CHUNK_ROWS_MAX, err);
    if (!s)
        s = encode_records(b, w, c, rows, err);
    kymo_writer_close(w);
    callrows_close(c);
    kymo_rows_close(rows);
    close(fd);
    return s;
}

/* -------- the capture in memory -------- */

static void put_task(struct bench *b, const struct kymo_batch *in, uint32_t task, uint64_t ts)
{
    struct kymo_event_task e = {.head = {sizeof(e), KYMO_EVENT_TASK, 0, 0, ts}};
    const uint32_t id = (uint32_t)in->lane[KYMO_SYSCALL_COMM][task];
    const uint32_t n = in->str.at[id + 1] - in->str.at[id];
    e.head.tid = (uint32_t)in->lane[KYMO_SYSCALL_TID][task];
    e.pid = (uint32_t)in->lane[KYMO_SYSCALL_PID][task];
    e.start_ns = in->lane[KYMO_SYSCALL_START][task];
    e.exec_seq = in->lane[KYMO_SYSCALL_EXECSEQ][task];
    e.cgroup_id = in->lane[KYMO_SYSCALL_CGROUP][task];
    memcpy(e.comm, in->str.bytes + in->str.at[id], n < 15 ? n : 15);
    kymo_buf_put(&b->record, &e, sizeof(e));
}

static uint16_t text_of(const struct kymo_batch *in, uint32_t c, uint32_t row, const char **s)
{
    uint32_t n = 0;
    if (kymo_batch_present(in, c, row))
        *s = kymo_batch_str(in, c, row, &n);
    return (uint16_t)n;
}

/* Strings lie behind the arguments, each with its NUL, padded to 8. */
static void put_text(struct kymo_event_call *e, size_t *at, const char *s, uint16_t n)
{
    if (!n)
        return;
    memcpy((char *)e + *at, s, n);
    *at += (n + 8u) / 8 * 8;
}

static void put_call(struct bench *b, const struct kymo_batch *in, uint32_t row)
{
    static union {
        struct kymo_event_call e;
        char bytes[sizeof(struct kymo_event_call) + 2 * (KYMO_STR_MAX + 8)];
    } u;
    const char *path = "", *path2 = "";
    memset(&u, 0, sizeof(u.e) + 512);
    u.e.head = (struct kymo_event_head){
        .kind = KYMO_EVENT_CALL,
        .tid = (uint32_t)in->lane[KYMO_SYSCALL_TID][in->task[row]],
        .ts_ns = in->lane[KYMO_SYSCALL_TS][row],
    };
    u.e.dur_ns = kymo_batch_present(in, KYMO_SYSCALL_DUR, row) ? in->lane[KYMO_SYSCALL_DUR][row]
                                                               : KYMO_DUR_UNKNOWN;
    u.e.ret = (int64_t)in->lane[KYMO_SYSCALL_RET][row];
    u.e.nr = (uint16_t)in->lane[KYMO_SYSCALL_NR][in->key[row]];
    u.e.flags = (uint8_t)in->lane[KYMO_SYSCALL_FLAGS][row];
    while (u.e.head.n_args < 6 &&
           kymo_batch_present(in, KYMO_SYSCALL_ARG0 + u.e.head.n_args, row)) {
        u.e.arg[u.e.head.n_args] = in->lane[KYMO_SYSCALL_ARG0 + u.e.head.n_args][row];
        u.e.head.n_args++;
    }
    u.e.path_bytes = text_of(in, KYMO_SYSCALL_PATH, row, &path);
    u.e.path2_bytes = text_of(in, KYMO_SYSCALL_PATH2, row, &path2);
    size_t at = KYMO_EVENT_CALL_FIXED + 8u * u.e.head.n_args;
    put_text(&u.e, &at, path, u.e.path_bytes);
    put_text(&u.e, &at, path2, u.e.path2_bytes);
    u.e.head.bytes = (uint16_t)at;
    kymo_buf_put(&b->record, &u, at);
}

/* A thread is announced before its first call; its facts may have changed since the last chunk. */
static void put_records(struct bench *b, const struct kymo_batch *in)
{
    memset(b->announced, 0, TIDS);
    for (uint32_t row = 0; row < in->n_rows; row++) {
        const uint64_t tid = in->lane[KYMO_SYSCALL_TID][in->task[row]];
        if (tid >= TIDS)
            continue;
        if (!b->announced[tid])
            put_task(b, in, in->task[row], in->lane[KYMO_SYSCALL_TS][row]);
        b->announced[tid] = 1;
        put_call(b, in, row);
    }
}

/* The bytes of the chunk that the reader just gave, once more, as they are in the file. */
static kymo_status keep_chunk(struct bench *b, int fd, const struct kymo_chunk_header *h,
                              uint64_t at_bytes, struct kymo_err *err)
{
    if (b->n_chunks == b->cap_chunks) {
        b->cap_chunks = 2 * b->cap_chunks + 64;
        b->chunk = realloc(b->chunk, b->cap_chunks * sizeof(*b->chunk));
    }
    struct chunk c = {.h = *h, .body = malloc(h->body_bytes)};
    if (!b->chunk || !c.body ||
        pread(fd, c.body, h->body_bytes, (off_t)(at_bytes + KYMO_CHUNK_HEADER_BYTES)) !=
            (ssize_t)h->body_bytes)
        return KYMO_FAIL(err, KYMO_EINPUT, at_bytes, "cannot keep a chunk");
    b->chunk[b->n_chunks++] = c;
    b->n_rows += h->n_rows;
    return KYMO_OK;
}

static kymo_status load(struct bench *b, const char *path, struct kymo_err *err)
{
    kymo_reader *r;
    const struct kymo_batch *in;
    kymo_status s;
    kymo_arena_init(&b->keep, (size_t)1 << 20);
    kymo_arena_init(&b->arena, (size_t)1 << 30);
    b->announced = malloc(TIDS);
    if (!b->announced)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    KYMO_TRY(kymo_reader_open(&r, path, 0, err));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    s = kymo_reader_select(r, &syscall_table, 1, err);
    while (!s && !(s = kymo_reader_next(r, &in, err)) && in) {
        put_records(b, in);
        s = keep_chunk(b, fd, kymo_reader_chunk(r), in->at_bytes, err);
    }
    if (!s && b->n_chunks) {
        struct kymo_buf schema = {0};
        kymo_schema_encode(kymo_reader_schema(r, 0), &schema);
        for (size_t i = 0; i < kymo_reader_schemas(r); i++)
            if (!strcmp(kymo_reader_schema(r, i)->table, syscall_table)) {
                kymo_buf_clear(&schema);
                kymo_schema_encode(kymo_reader_schema(r, i), &schema);
            }
        s = kymo_schema_decode(&b->schema, kymo_bytes_view(schema.p, schema.n, 0), &b->keep,
                               err);
        kymo_buf_release(&schema);
    } else if (!s) {
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "no system calls in %s", path);
    }
    close(fd);
    kymo_reader_close(r);
    return s;
}

static kymo_status measure(struct bench *b, struct kymo_err *err)
{
    double encode_s[RUNS], decode_s[RUNS], scan_s[RUNS];
    for (size_t i = 0; i < RUNS; i++) {
        double t = now_s();
        KYMO_TRY(encode_all(b, err));
        encode_s[i] = now_s() - t;
        t = now_s();
        KYMO_TRY(decode_all(b, err));
        decode_s[i] = now_s() - t;
        t = now_s();
        KYMO_TRY(scan_all(b, err));
        scan_s[i] = now_s() - t;
    }
    const double n = (double)b->n_rows;
    printf("%.0f system calls in %zu chunks, one core (%016" PRIx64 ")\n", n, b->n_chunks,
           b->sum);
    printf("RESULT format_encode_mevs %.2f M/s %u\n", n / median(encode_s) / 1e6, RUNS);
    printf("RESULT format_decode_mevs %.2f M/s %u\n", n / median(decode_s) / 1e6, RUNS);
    printf("RESULT format_scan_mevs %.2f M/s %u\n", n / median(scan_s) / 1e6, RUNS);
    return KYMO_OK;
}

/* -------- other forms of the same rows -------- */

/* What the peers' scripts read: little-endian, 112 bytes and the path. */
static void put_raw(FILE *f, const struct kymo_batch *in, uint32_t row)
{
    uint8_t p[112] = {0};
    const char *path = "", *comm;
    uint32_t n;
    const uint16_t path_bytes = text_of(in, KYMO_SYSCALL_PATH, row, &path);
    kymo_store_u64(p, in->lane[KYMO_SYSCALL_TS][row]);
    kymo_store_u64(p + 8, kymo_batch_present(in, KYMO_SYSCALL_DUR, row)
                              ? in->lane[KYMO_SYSCALL_DUR][row]
                              : 0);
    kymo_store_u64(p + 16, kymo_batch_u64(in, KYMO_SYSCALL_CGROUP, row));
    for (uint32_t i = 0; i < 6; i++)
        if (kymo_batch_present(in, KYMO_SYSCALL_ARG0 + i, row))
            kymo_store_u64(p + 24 + 8 * i, in->lane[KYMO_SYSCALL_ARG0 + i][row]);
    if (kymo_batch_present(in, KYMO_SYSCALL_RET, row))
        kymo_store_u64(p + 72, in->lane[KYMO_SYSCALL_RET][row]);
    kymo_store_u32(p + 80, (uint32_t)kymo_batch_u64(in, KYMO_SYSCALL_PID, row));
    kymo_store_u32(p + 84, (uint32_t)kymo_batch_u64(in, KYMO_SYSCALL_TID, row));
    kymo_store_u16(p + 88, (uint16_t)kymo_batch_u64(in, KYMO_SYSCALL_NR, row));
    kymo_store_u16(p + 90, (uint16_t)in->lane[KYMO_SYSCALL_CPU][row]);
    kymo_store_u16(p + 92, path_bytes);
    kymo_store_u16(p + 94, (uint16_t)in->lane[KYMO_SYSCALL_FLAGS][row]);
    comm = kymo_batch_str(in, KYMO_SYSCALL_COMM, row, &n);
    memcpy(p + 96, comm, n < 16 ? n : 16);
    fwrite(p, 1, sizeof(p), f);
    fwrite(path, 1, path_bytes, f);
}

static kymo_status write_raw(const char *out, const char *path, struct kymo_err *err)
{
    kymo_reader *r;
    const struct kymo_batch *in;
    FILE *f = fopen(out, "wb");
    if (!f)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "%s: cannot be written", out);
    kymo_status s = kymo_reader_open(&r, path, 0, err);
    if (!s)
        s = kymo_reader_select(r, &syscall_table, 1, err);
    while (!s && !(s = kymo_reader_next(r, &in, err)) && in)
        for (uint32_t row = 0; row < in->n_rows; row++)
            put_raw(f, in, row);
    if (fclose(f) && !s)
        s = KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "%s: cannot be written", out);
    kymo_reader_close(r);
    return s;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct kymo_err err = {0};
    kymo_status s;
    if (argc == 4 && !strcmp(argv[1], "--raw")) {
        s = write_raw(argv[2], argv[3], &err);
    } else if (argc == 2) {
        s = load(&b, argv[1], &err);
        if (!s)
            s = measure(&b, &err);
    } else {
        fprintf(stderr, "usage: bench_format [--raw OUT] CAPTURE\n");
        return 2;
    }
    if (s)
        fprintf(stderr, "bench_format: %s\n", err.text);
    for (size_t i = 0; i < b.n_chunks; i++)
        free(b.chunk[i].body);
    free(b.chunk);
    free(b.announced);
    kymo_buf_release(&b.record);
    kymo_arena_release(&b.keep);
    kymo_arena_release(&b.arena);
    return s ? 1 : 0;
}
