/* SPDX-License-Identifier: Apache-2.0
 * test_damage.c: every cut and every flipped byte of a small capture through salvage, slice and merge;
 * and captures made to lie, whose checksums are right. Rows that come out are rows that went in,
 * nothing crashes, and memory stays within its cap.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <cmocka.h>

#include "format/base/file.h"
#include "format/file/merge.h"
#include "format/file/salvage.h"
#include "format/file/slice.h"
#include "format/trace/reader.h"
#include "tests/unit/sweep.h"
#include "tests/unit/tracegen.h"

#define CHUNKS 4u
#define ROWS 30u
#define CAP_BYTES ((size_t)32 << 20)

static struct {
    struct kymo_buf bytes;
    size_t chunk_at[32], n_chunks; /* where each begins, then the end */
    uint64_t row[CHUNKS * ROWS];   /* a hash of each system call */
} small;
static char folder[64], input[96], output[96];

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    return XXH3_64bits_withSeed(p, n, h);
}

static uint64_t hash_row(const struct kymo_batch *b, uint32_t row)
{
    uint64_t h = 1;
    for (uint32_t c = 0; c < b->schema->n_columns; c++) {
        uint32_t n = 0;
        const int present = kymo_batch_present(b, c, row);
        h = mix(h, &present, sizeof(present));
        if (present && b->schema->column[c].type == KYMO_T_STR) {
            const char *s = kymo_batch_str(b, c, row, &n);
            h = mix(h, s, n);
        } else if (present) {
            const uint64_t lane = kymo_batch_lane(b, c, row);
            h = mix(h, &lane, sizeof(lane));
        }
    }
    return h;
}

static void write_input(const void *p, size_t n)
{
    const int fd = open(input, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(kymo_file_write(fd, p, n, input, NULL), KYMO_OK);
    close(fd);
}

static struct kymo_writer *open_output(const char *path, int *fd)
{
    struct kymo_writer *w;
    *fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(*fd >= 0);
    assert_int_equal(kymo_writer_open(&w, *fd, path, 1, NULL), KYMO_OK);
    return w;
}

static void close_output(struct kymo_writer *w, int fd)
{
    kymo_writer_close(w);
    close(fd);
}

static void index_chunks(void)
{
    for (size_t at = KYMO_FILE_HEADER_BYTES; at < small.bytes.n; small.n_chunks++) {
        small.chunk_at[small.n_chunks] = at;
        at += KYMO_CHUNK_HEADER_BYTES + kymo_load_u32(small.bytes.p + at + 16);
    }
    small.chunk_at[small.n_chunks] = small.bytes.n;
}

static int make_small(void **state)
{
    (void)state;
    struct kymo_rows *rows;
    struct tracegen g;
    int fd;
    strcpy(folder, access("/dev/shm", W_OK) ? "/tmp/kymo-damage-XXXXXX"
                                            : "/dev/shm/kymo-damage-XXXXXX");
    if (!mkdtemp(folder) || kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, ROWS, NULL))
        return -1;
    snprintf(input, sizeof(input), "%s/in.kymo", folder);
    snprintf(output, sizeof(output), "%s/out.kymo", folder);
    struct kymo_writer *w = open_output(input, &fd);
    tracegen_init(&g, 6);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        tracegen_begin(rows);
        while (!kymo_rows_full(rows))
            tracegen_row(&g, rows);
        const struct kymo_batch b = kymo_rows_view(rows);
        for (uint32_t k = 0; k < ROWS; k++)
            small.row[i * ROWS + k] = hash_row(&b, k);
        assert_int_equal(kymo_writer_put(w, &b, KYMO_CHUNK_SEAL, NULL), KYMO_OK);
    }
    assert_int_equal(kymo_writer_declare(w, &KYMO_TABLE_MARK, NULL), KYMO_OK);
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    close_output(w, fd);
    kymo_rows_close(rows);
    if (kymo_file_read(&small.bytes, input, 1 << 20, NULL))
        return -1;
    index_chunks();
    return 0;
}

static int drop_small(void **state)
{
    (void)state;
    kymo_buf_release(&small.bytes);
    unlink(input);
    unlink(output);
    rmdir(folder);
    return 0;
}

/* Rows of the output: each has to be one that went in, and they rise. */
static uint64_t right_rows(const char *path, int *wrong)
{
    kymo_reader *r;
    const struct kymo_batch *b;
    uint64_t rows = 0;
    size_t at = 0;
    *wrong = 0;
    assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
    for (;;) {
        assert_int_equal(kymo_reader_next(r, &b, NULL), KYMO_OK);
        if (!b)
            break;
        if (strcmp(b->schema->table, "syscall") != 0)
            continue;
        for (uint32_t i = 0; i < b->n_rows; i++, rows++) {
            const uint64_t h = hash_row(b, i);
            while (at < CHUNKS * ROWS && small.row[at] != h)
                at++;
            *wrong |= at == CHUNKS * ROWS;
        }
    }
    assert_true(kymo_reader_complete(r));
    kymo_reader_close(r);
    return rows;
}

static kymo_status salvage(struct kymo_salvage_result *result)
{
    const struct kymo_salvage_opts o = {.memory_bytes = CAP_BYTES};
    int fd;
    const int in = open(input, O_RDONLY);
    struct kymo_writer *w = open_output(output, &fd);
    memset(result, 0, sizeof(*result));
    const kymo_status s = kymo_salvage(in, &o, w, result, NULL);
    close_output(w, fd);
    close(in);
    return s;
}

static kymo_status slice(void)
{
    const struct kymo_slice_opts o = {
        .until_ns = UINT64_MAX, .filter = "pid > 0", .archive = 1};
    struct kymo_slice_result result;
    int fd;
    struct kymo_writer *w = open_output(output, &fd);
    const kymo_status s = kymo_slice(input, &o, w, &result, NULL);
    close_output(w, fd);
    return s;
}

static kymo_status merge(void)
{
    const struct kymo_merge_opts o = {.parts = 1};
    const char *const path[] = {input, input};
    struct kymo_merge_result result;
    const char *at;
    int fd;
    struct kymo_writer *w = open_output(output, &fd);
    const kymo_status s = kymo_merge(path, 1, &o, w, &result, &at, NULL);
    close_output(w, fd);
    return s;
}

/* -------- every byte -------- */

static size_t whole_chunks(size_t cut)
{
    size_t n = 0;
    while (n < small.n_chunks && small.chunk_at[n + 1] <= cut)
        n++;
    return n;
}

/* chunk 0 is the schema, 1..4 rows, 5 the schema of marks, 6 the end */
static uint64_t rows_of_chunks(size_t n)
{
    return (n < 1 ? 0 : n > CHUNKS ? CHUNKS : n - 1) * ROWS;
}

static void every_cut_salvages_the_whole_chunks_before_it(void **state)
{
    (void)state;
    struct kymo_salvage_result r;
    int wrong;
    for (size_t cut = 0; cut < small.bytes.n; cut++) {
        if (!sweep_takes(cut))
            continue;
        write_input(small.bytes.p, cut);
        const kymo_status s = salvage(&r);
        const size_t n = whole_chunks(cut);
        assert_int_equal(s, n ? KYMO_OK : KYMO_ECORRUPT);
        if (s)
            continue;
        assert_int_equal(right_rows(output, &wrong), rows_of_chunks(n));
        assert_false(wrong);
        assert_int_equal(r.lost_bytes, cut - small.chunk_at[n]);
    }
}

static void every_cut_slices_and_merges_to_what_is_before_it_or_says_no(void **state)
{
    (void)state;
    kymo_status (*const tool[])(void) = {slice, merge};
    int wrong;
    for (size_t cut = 0; cut < small.bytes.n; cut++)
        for (size_t t = 0; t < 2; t++) {
            if (!sweep_takes(cut * 2 + t))
                continue;
            write_input(small.bytes.p, cut);
            const kymo_status s = tool[t]();
            if (cut < KYMO_FILE_HEADER_BYTES)
                assert_int_equal(s, KYMO_ECORRUPT);
            /* a filter about no table, where not even the schema is there, is nothing wrong */
            if (s)
                continue;
            assert_int_equal(right_rows(output, &wrong), rows_of_chunks(whole_chunks(cut)));
            assert_false(wrong);
        }
}

static void every_flipped_byte_costs_its_chunk_and_no_row_is_wrong(void **state)
{
    (void)state;
    struct kymo_salvage_result r;
    int wrong;
    for (size_t i = 0; i < small.bytes.n; i++) {
        if (!sweep_takes(i))
            continue;
        const uint8_t was = small.bytes.p[i];
        small.bytes.p[i] = (uint8_t)(was ^ (i % 3 ? 1u << i % 8 : 0xff));
        write_input(small.bytes.p, small.bytes.n);
        small.bytes.p[i] = was;
        assert_int_equal(salvage(&r), KYMO_OK);
        const uint64_t rows = right_rows(output, &wrong);
        assert_false(wrong);
        const int in_rows = i >= small.chunk_at[1] && i < small.chunk_at[CHUNKS + 1];
        assert_int_equal(rows, (CHUNKS - (unsigned)in_rows) * ROWS);
        /* the schema of system calls is known without the file: its rows are all there */
        assert_int_equal(r.ranges, 1);
        assert_int_equal(r.missing_rows, i < small.chunk_at[6] ? (uint64_t)in_rows * ROWS : 0);
        assert_int_equal(slice(), KYMO_ECORRUPT);
        assert_int_equal(merge(), KYMO_ECORRUPT);
    }
}

/* -------- captures that lie -------- */

/* Read it by all there is, slice and merge now and then: they read as the reader does. Whatever it says, it says so in time and in memory. */
static void survive(const struct kymo_buf *b)
{
    struct kymo_salvage_result r;
    kymo_reader *reader;
    const struct kymo_batch *batch;
    static unsigned calls;
    write_input(b->p, b->n);
    if (!kymo_reader_open(&reader, input, CAP_BYTES, NULL)) {
        while (!kymo_reader_next(reader, &batch, NULL) && batch)
            for (uint32_t i = 0; i < batch->n_rows; i++)
                (void)hash_row(batch, i); /* ids out of range would be read here */
        kymo_reader_close(reader);
    }
    kymo_status s = salvage(&r);
    assert_true(s == KYMO_OK || s == KYMO_ECORRUPT || s == KYMO_ELIMIT || s == KYMO_EUSAGE);
    if (calls++ % 8 && b->n < 1 << 20)
        return;
    s = slice();
    assert_true(s == KYMO_OK || s == KYMO_ECORRUPT || s == KYMO_ELIMIT || s == KYMO_EUSAGE);
    s = merge();
    assert_true(s == KYMO_OK || s == KYMO_ECORRUPT || s == KYMO_ELIMIT || s == KYMO_EUSAGE);
}

/* The small capture with this header and body in the place of a chunk; checksums are made right. */
static void put_lie(struct kymo_buf *b, size_t chunk, struct kymo_chunk_header h,
                    const uint8_t *body, size_t n, int keep_length)
{
    uint8_t header[KYMO_CHUNK_HEADER_BYTES];
    h.body_xxh3 = XXH3_64bits(body, n);
    if (!keep_length)
        h.body_bytes = (uint32_t)n;
    if (h.kind == KYMO_CHUNK_SCHEMA)
        h.schema_hash = h.body_xxh3;
    kymo_chunk_header_encode(&h, header);
    kymo_buf_clear(b);
    kymo_buf_put(b, small.bytes.p, small.chunk_at[chunk]);
    kymo_buf_put(b, header, sizeof(header));
    kymo_buf_put(b, body, n);
    kymo_buf_put(b, small.bytes.p + small.chunk_at[chunk + 1],
                 small.bytes.n - small.chunk_at[chunk + 1]);
}

static struct kymo_chunk_header header_of(size_t chunk)
{
    struct kymo_chunk_header h;
    assert_int_equal(
        kymo_chunk_header_decode(&h, small.bytes.p + small.chunk_at[chunk], 0, NULL), KYMO_OK);
    return h;
}

static const uint8_t *body_of(size_t chunk, size_t *n)
{
    *n = small.chunk_at[chunk + 1] - small.chunk_at[chunk] - KYMO_CHUNK_HEADER_BYTES;
    return small.bytes.p + small.chunk_at[chunk] + KYMO_CHUNK_HEADER_BYTES;
}

/* Every byte of every body becomes others, and the checksums agree: counts, ids, codecs, lengths,
 * zstd's own frames, schemas and the end. */
static void bodies_that_lie_under_right_checksums_are_survived(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    uint64_t tried = 0;
    for (size_t chunk = 0; chunk < small.n_chunks; chunk++) {
        size_t n;
        const uint8_t *whole = body_of(chunk, &n);
        uint8_t *body = malloc(n + 1);
        for (size_t i = 0; i < n; i++) {
            const uint8_t other[] = {
                0x00, 0xff, 0x7f, 0x80, (uint8_t)(whole[i] + 1), whole[i] ^ 0x40u};
            for (size_t k = 0; k < sizeof(other); k++) {
                if (other[k] == whole[i] || !sweep_takes(tried++))
                    continue;
                memcpy(body, whole, n);
                body[i] = other[k];
                put_lie(&b, chunk, header_of(chunk), body, n, 0);
                survive(&b);
            }
        }
        free(body);
    }
    kymo_buf_release(&b);
}

static void headers_that_lie_are_survived(void **state)
{
    (void)state;
    static const uint32_t rows[] = {0, 1, ROWS - 1, ROWS + 1, 131072, 131073, UINT32_MAX};
    static const uint32_t lengths[] = {0,         1, 127u << 20, 128u << 20, (128u << 20) + 1,
                                       UINT32_MAX};
    struct kymo_buf b = {0};
    for (size_t chunk = 0; chunk < small.n_chunks; chunk++) {
        size_t n;
        const uint8_t *body = body_of(chunk, &n);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct kymo_chunk_header h = header_of(chunk);
            h.n_rows = rows[i];
            put_lie(&b, chunk, h, body, n, 0);
            survive(&b);
        }
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            struct kymo_chunk_header h = header_of(chunk);
            h.body_bytes = lengths[i];
            put_lie(&b, chunk, h, body, n, 1);
            survive(&b);
        }
        for (uint32_t kind = 0; kind < 6; kind++) {
            struct kymo_chunk_header h = header_of(chunk);
            h.kind = kind == 5 ? UINT32_MAX : kind;
            put_lie(&b, chunk, h, body, n, 0);
            survive(&b);
            put_lie(&b, chunk, h, body, 0, 0);
            survive(&b);
        }
        struct kymo_chunk_header h = header_of(chunk);
        h.ts_min_ns = UINT64_MAX;
        h.ts_max_ns = 1;
        put_lie(&b, chunk, h, body, n, 0);
        survive(&b);
        h.ts_min_ns = 0;
        h.ts_max_ns = UINT64_MAX;
        put_lie(&b, chunk, h, body, n, 0);
        survive(&b);
    }
    kymo_buf_release(&b);
}

static void put_varint_body(struct kymo_buf *body, uint8_t form, const uint64_t *v, size_t n)
{
    kymo_buf_clear(body);
    kymo_buf_u8(body, form);
    for (size_t i = 0; i < n; i++)
        kymo_buf_varint(body, v[i]);
}

/* A hundred megabytes of zeros are a few kilobytes of zstd, and little more when a frame says less than it holds. */
static void a_zstd_bomb_in_any_form_is_refused_within_the_cap(void **state)
{
    (void)state;
    const size_t n = (size_t)96 << 20, bound = ZSTD_compressBound(n);
    uint8_t *zeros = calloc(1, n), *packed = malloc(bound);
    ZSTD_CCtx *quiet = ZSTD_createCCtx();
    struct kymo_buf body = {0}, b = {0};
    struct rusage before, after;
    for (int says_size = 0; says_size < 2; says_size++) {
        ZSTD_CCtx_setParameter(quiet, ZSTD_c_contentSizeFlag, says_size);
        const size_t m = ZSTD_compress2(quiet, packed, bound, zeros, n);
        assert_false(ZSTD_isError(m));
        const uint64_t claim[][3] = {{n, m, 0},        {4u << 20, m, 0},   {1000, m, 0},
                                     {100, n, 0},      {100, 4u << 20, 0}, {m, m, 0},
                                     {1u << 31, m, 0}, {UINT64_MAX, m, 0}};
        getrusage(RUSAGE_SELF, &before);
        for (size_t i = 0; i < sizeof(claim) / sizeof(claim[0]); i++)
            for (uint8_t form = 0; form < 4; form++) {
                put_varint_body(&body, form, claim[i], form ? 2 : 1);
                kymo_buf_put(&body, packed, m);
                put_lie(&b, 2, header_of(2), body.p, body.n, 0);
                survive(&b);
            }
        getrusage(RUSAGE_SELF, &after);
        /* not a copy of what the frame holds, beside the zeros of this test */
        assert_true(after.ru_maxrss - before.ru_maxrss < 90 << 10);
    }
    ZSTD_freeCCtx(quiet);
    kymo_buf_release(&body);
    kymo_buf_release(&b);
    free(zeros);
    free(packed);
}

/* Tables of 4096 columns, dozens of them: schemas are paid from a budget too. */
static void many_tables_of_very_many_columns_end_in_a_limit(void **state)
{
    (void)state;
    enum { COLUMNS = 4096, TABLES = 18 };
    static struct kymo_column_def column[COLUMNS];
    static char name[COLUMNS][12];
    struct kymo_buf b = {0}, read = {0};
    struct kymo_rows *rows;
    char table[24];
    int fd;
    for (uint32_t c = 0; c < COLUMNS; c++) {
        snprintf(name[c], sizeof(name[c]), "column%u", c);
        column[c] = (struct kymo_column_def){name[c], "", KYMO_T_U64, KYMO_ORDER_ROW, 0};
    }
    struct kymo_schema schema = {
        .table = table, .n_columns = COLUMNS, .column = column, .meta = ""};
    struct kymo_writer *w = open_output(input, &fd);
    assert_int_equal(kymo_rows_open(&rows, &schema, 1, NULL), KYMO_OK);
    kymo_rows_add(rows);
    for (uint32_t i = 0; i < TABLES; i++) {
        snprintf(table, sizeof(table), "table%u", i);
        const struct kymo_batch batch = kymo_rows_view(rows);
        assert_int_equal(kymo_writer_put(w, &batch, 0, NULL), KYMO_OK);
    }
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    close_output(w, fd);
    kymo_rows_close(rows);
    assert_int_equal(kymo_file_read(&read, input, 64 << 20, NULL), KYMO_OK);
    kymo_buf_put(&b, read.p, read.n);
    survive(&b);
    kymo_buf_release(&read);
    kymo_buf_release(&b);
}

/* Thousands of chunk headers, each right and each promising a body that is not there. */
static void headers_that_promise_bodies_in_vain_do_not_cost_the_square(void **state)
{
    (void)state;
    struct kymo_buf b = {0};
    uint8_t header[KYMO_CHUNK_HEADER_BYTES];
    struct kymo_chunk_header h = header_of(1);
    struct kymo_salvage_result r;
    kymo_buf_put(&b, small.bytes.p, small.chunk_at[2]);
    h.body_bytes = 1 << 20;
    kymo_chunk_header_encode(&h, header);
    for (int i = 0; i < 100000; i++)
        kymo_buf_put(&b, header, sizeof(header));
    write_input(b.p, b.n);
    assert_int_equal(salvage(&r), KYMO_OK);
    assert_int_equal(r.rows, ROWS);
    assert_int_equal(r.lost_bytes, b.n - small.chunk_at[2]);
    kymo_buf_release(&b);
}

/* A chunk within a chunk, a capture within a capture, and a file that is only its own header again. */
static void what_is_nested_or_repeated_ends(void **state)
{
    (void)state;
    struct kymo_buf b = {0}, body = {0};
    kymo_buf_put(&body, small.bytes.p, small.bytes.n);
    put_lie(&b, 2, header_of(2), body.p, body.n, 0);
    survive(&b);
    kymo_buf_clear(&b);
    for (int i = 0; i < 50; i++)
        kymo_buf_put(&b, small.bytes.p, KYMO_FILE_HEADER_BYTES);
    survive(&b);
    kymo_buf_clear(&b);
    kymo_buf_put(&b, small.bytes.p, small.chunk_at[small.n_chunks - 1]);
    for (int i = 0; i < 50; i++)
        kymo_buf_put(&b, small.bytes.p + small.chunk_at[0],
                     small.chunk_at[small.n_chunks - 1] - small.chunk_at[0]);
    survive(&b);
    kymo_buf_release(&b);
    kymo_buf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_salvages_the_whole_chunks_before_it),
        cmocka_unit_test(every_cut_slices_and_merges_to_what_is_before_it_or_says_no),
        cmocka_unit_test(every_flipped_byte_costs_its_chunk_and_no_row_is_wrong),
        cmocka_unit_test(bodies_that_lie_under_right_checksums_are_survived),
        cmocka_unit_test(headers_that_lie_are_survived),
        cmocka_unit_test(a_zstd_bomb_in_any_form_is_refused_within_the_cap),
        cmocka_unit_test(many_tables_of_very_many_columns_end_in_a_limit),
        cmocka_unit_test(headers_that_promise_bodies_in_vain_do_not_cost_the_square),
        cmocka_unit_test(what_is_nested_or_repeated_ends),
    };
    return cmocka_run_group_tests_name("damage", tests, make_small, drop_small);
}
