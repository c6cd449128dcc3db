/* SPDX-License-Identifier: Apache-2.0
 * test_reader.c: what a reader does with captures that are cut, flipped, hostile or odd: rows are
 * right or they are not there.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <cmocka.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/trace/reader.h"
#include "format/trace/toc.h"
#include "format/trace/writer.h"
#include "tests/unit/tracegen.h"

#define CHUNKS 3
#define CHUNK_ROWS 40u

struct small {
    struct kymo_buf bytes; /* a capture of CHUNKS chunks of syscalls and a mark */
    size_t chunk_at[16];   /* where each chunk begins, then the end */
    size_t n_chunks;
};

static int temp_file(char *path)
{
    /* thousands of small files: in memory where there is such a place */
    strcpy(path,
           access("/dev/shm", W_OK) ? "/tmp/kymo-test-XXXXXX" : "/dev/shm/kymo-test-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    return fd;
}

static void write_file(const char *path, const void *p, size_t n)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(kymo_file_write(fd, p, n, path, NULL), KYMO_OK);
    close(fd);
}

static void fill(struct tracegen *g, struct kymo_rows *rows, uint32_t n)
{
    tracegen_begin(rows);
    for (uint32_t k = 0; k < n; k++)
        tracegen_row(g, rows);
}

static void put_mark(struct kymo_writer *w)
{
    struct kymo_rows *r;
    assert_int_equal(kymo_rows_open(&r, &KYMO_TABLE_MARK, 4, NULL), KYMO_OK);
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_MARK_TS, row, 1000000500u);
    kymo_rows_set_str(r, KYMO_MARK_KIND, row, "point", 5);
    kymo_rows_set_str(r, KYMO_MARK_NAME, row, "deploy", 6);
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_writer_put(w, &b, 0, NULL), KYMO_OK);
    kymo_rows_close(r);
}

static int make_small(void **state)
{
    struct small *s = calloc(1, sizeof(*s));
    char path[40];
    const int fd = temp_file(path);
    struct kymo_writer *w;
    struct kymo_rows *rows;
    struct tracegen g;
    if (!s || kymo_writer_open(&w, fd, path, 1, NULL) ||
        kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, CHUNK_ROWS, NULL))
        return -1;
    tracegen_init(&g, 5);
    for (int i = 0; i < CHUNKS; i++) {
        fill(&g, rows, CHUNK_ROWS);
        const struct kymo_batch b = kymo_rows_view(rows);
        if (kymo_writer_put(w, &b, 0, NULL))
            return -1;
    }
    put_mark(w);
    if (kymo_writer_finish(w, NULL))
        return -1;
    kymo_writer_close(w);
    kymo_rows_close(rows);
    close(fd);
    if (kymo_file_read(&s->bytes, path, 1 << 20, NULL))
        return -1;
    unlink(path);
    for (size_t at = KYMO_FILE_HEADER_BYTES; at < s->bytes.n; s->n_chunks++) {
        s->chunk_at[s->n_chunks] = at;
        at += KYMO_CHUNK_HEADER_BYTES + kymo_load_u32(s->bytes.p + at + 16);
    }
    s->chunk_at[s->n_chunks] = s->bytes.n;
    *state = s;
    return 0;
}

static int drop_small(void **state)
{
    struct small *s = *state;
    kymo_buf_release(&s->bytes);
    free(s);
    return 0;
}

/* Are these the rows that the generator makes next? */
static int are_right(struct tracegen *g, struct kymo_rows *rows, const struct kymo_batch *b)
{
    if (strcmp(b->schema->table, "syscall") != 0)
        return b->n_rows == 1 && b->schema->n_columns == KYMO_MARK_COLUMNS;
    fill(g, rows, CHUNK_ROWS);
    const struct kymo_batch want = kymo_rows_view(rows);
    if (b->n_rows != want.n_rows || b->schema->n_columns != want.schema->n_columns)
        return 0;
    for (uint32_t c = 0; c < want.schema->n_columns; c++)
        for (uint32_t i = 0; i < want.n_rows; i++) {
            if (kymo_batch_present(&want, c, i) != kymo_batch_present(b, c, i))
                return 0;
            if (!kymo_batch_present(b, c, i))
                continue;
            uint32_t n, m;
            if (want.schema->column[c].type != KYMO_T_STR) {
                if (kymo_batch_lane(&want, c, i) != kymo_batch_lane(b, c, i))
                    return 0;
                continue;
            }
            const char *s = kymo_batch_str(&want, c, i, &n), *t = kymo_batch_str(b, c, i, &m);
            if (n != m || memcmp(s, t, n) != 0)
                return 0;
        }
    return 1;
}

struct outcome {
    kymo_status status;
    uint64_t rows;
    int wrong, complete;
    struct kymo_err err;
};

static unsigned threads; /* that read_all() reads with */

/* Read a file whole; rows have to be those of the generator from its start. */
static struct outcome read_all(const char *path, size_t memory_bytes)
{
    struct outcome o = {0};
    kymo_reader *r;
    const struct kymo_batch *b = NULL;
    struct tracegen g;
    struct kymo_rows *rows;
    assert_int_equal(kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, CHUNK_ROWS, NULL), KYMO_OK);
    tracegen_init(&g, 5);
    o.status = kymo_reader_open(&r, path, memory_bytes, &o.err);
    if (!o.status) {
        assert_int_equal(kymo_reader_threads(r, threads, NULL), KYMO_OK);
        while (!(o.status = kymo_reader_next(r, &b, &o.err)) && b) {
            o.wrong |= !are_right(&g, rows, b);
            o.rows += b->n_rows;
        }
        o.complete = kymo_reader_complete(r);
        kymo_reader_close(r);
    }
    kymo_rows_close(rows);
    return o;
}

static size_t whole_chunks(const struct small *s, size_t cut)
{
    size_t n = 0;
    while (n < s->n_chunks && s->chunk_at[n + 1] <= cut)
        n++;
    return n;
}

static void every_truncation_gives_whole_chunks_and_says_torn(void **state)
{
    struct small *s = *state;
    char path[40];
    close(temp_file(path));
    for (size_t cut = 0; cut < s->bytes.n; cut++) {
        write_file(path, s->bytes.p, cut);
        const struct outcome o = read_all(path, 0);
        const size_t n = whole_chunks(s, cut);
        assert_false(o.wrong);
        assert_false(o.complete);
        if (cut < KYMO_FILE_HEADER_BYTES) {
            assert_int_equal(o.status, KYMO_ECORRUPT);
        } else {
            assert_int_equal(o.status, cut == s->chunk_at[n] ? KYMO_OK : KYMO_ETORN);
            /* chunk 0 is the schema, 1..3 rows, 4 a schema, 5 the mark */
            assert_int_equal(o.rows, (n > 1 ? (n > 4 ? 3 : n - 1) : 0) * CHUNK_ROWS + (n > 5));
        }
        if (o.status == KYMO_ETORN)
            assert_int_equal(o.err.at_bytes, s->chunk_at[n]);
    }
    unlink(path);
}

static void every_flipped_byte_is_noticed_and_no_row_is_wrong(void **state)
{
    struct small *s = *state;
    char path[40];
    close(temp_file(path));
    for (size_t i = 0; i < s->bytes.n; i++) {
        const uint8_t was = s->bytes.p[i];
        s->bytes.p[i] = (uint8_t)(was ^ (i % 3 ? 1u << i % 8 : 0xff));
        write_file(path, s->bytes.p, s->bytes.n);
        s->bytes.p[i] = was;
        const struct outcome o = read_all(path, 0);
        assert_false(o.wrong);
        assert_int_equal(o.status, KYMO_ECORRUPT);
        assert_true(o.err.text[0]);
    }
    unlink(path);
}

static void a_tail_of_zeros_is_torn_and_zeros_in_the_middle_are_corrupt(void **state)
{
    struct small *s = *state;
    char path[40];
    close(temp_file(path));
    uint8_t *p = calloc(1, s->bytes.n + 4096);
    for (size_t n = 1; n <= s->n_chunks; n++) {
        memcpy(p, s->bytes.p, s->chunk_at[n - 1]);
        memset(p + s->chunk_at[n - 1], 0, 4096);
        write_file(path, p, s->chunk_at[n - 1] + 4096);
        const struct outcome o = read_all(path, 0);
        assert_int_equal(o.status, KYMO_ETORN);
        assert_false(o.wrong);
    }
    memcpy(p, s->bytes.p, s->bytes.n);
    memset(p + s->chunk_at[2], 0, s->chunk_at[3] - s->chunk_at[2]);
    write_file(path, p, s->bytes.n);
    assert_int_equal(read_all(path, 0).status, KYMO_ECORRUPT);
    free(p);
    unlink(path);
}

static void a_chunk_cut_out_of_the_middle_is_missed_at_the_end(void **state)
{
    struct small *s = *state;
    char path[40];
    close(temp_file(path));
    struct kymo_buf b = {0};
    kymo_buf_put(&b, s->bytes.p, s->chunk_at[3]);
    kymo_buf_put(&b, s->bytes.p + s->chunk_at[4], s->bytes.n - s->chunk_at[4]);
    write_file(path, b.p, b.n);
    const struct outcome o = read_all(path, 0);
    assert_int_equal(o.status, KYMO_ECORRUPT);
    assert_non_null(strstr(o.err.text, "the writer wrote 120 rows in 3 chunks"));
    kymo_buf_release(&b);
    unlink(path);
}

static void bytes_behind_the_end_are_corrupt(void **state)
{
    struct small *s = *state;
    char path[40];
    close(temp_file(path));
    struct kymo_buf b = {0};
    kymo_buf_put(&b, s->bytes.p, s->bytes.n);
    kymo_buf_u8(&b, 0);
    write_file(path, b.p, b.n);
    assert_int_equal(read_all(path, 0).status, KYMO_ECORRUPT);
    kymo_buf_release(&b);
    unlink(path);
}

static void a_pipe_reads_the_same_as_a_file(void **state)
{
    struct small *s = *state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    const pid_t pid = fork();
    if (!pid) {
        close(fd[0]);
        for (size_t i = 0; i < s->bytes.n; i += 7)
            if (write(fd[1], s->bytes.p + i, s->bytes.n - i < 7 ? s->bytes.n - i : 7) < 0)
                _exit(1);
        _exit(0);
    }
    close(fd[1]);
    const int keep = dup(0);
    assert_int_equal(dup2(fd[0], 0), 0);
    close(fd[0]);
    const struct outcome o = read_all("-", 0);
    assert_int_equal(dup2(keep, 0), 0);
    close(keep);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(o.status, KYMO_OK);
    assert_false(o.wrong);
    assert_int_equal(o.rows, CHUNKS * CHUNK_ROWS + 1);
    assert_true(o.complete);
}

static void what_is_no_capture_is_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } odd[] = {
        {"", 0, "empty"},
        {"hello, this is text, not a capture\n", 35, "not a kymo capture"},
        {"\x8bKYM\n\x1a\n\x01\0\0\0\0\0\0\0\0", 16, "binary mode"},
        {"\x8bKYM\r\n\x1a\n\x09\0\0\0\0\0\0\0", 16, "version 9"},
        {"\x8bKYM\r\n\x1a\n\x01\0\0\0\x01\0\0\0", 16, "reserved"},
        {"\x8bKYM\r\n", 6, "first 16 bytes"},
    };
    char path[40];
    close(temp_file(path));
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        write_file(path, odd[i].bytes, odd[i].n);
        const struct outcome o = read_all(path, 0);
        assert_int_equal(o.status, KYMO_ECORRUPT);
        assert_non_null(strstr(o.err.text, odd[i].says));
    }
    unlink(path);
    assert_int_equal(read_all(path, 0).status, KYMO_EINPUT);
    assert_int_equal(read_all("/tmp", 0).status, KYMO_EINPUT);
}

/* -------- selection -------- */

static kymo_reader *open_small(const struct small *s, char *path)
{
    kymo_reader *r;
    close(temp_file(path));
    write_file(path, s->bytes.p, s->bytes.n);
    assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
    unlink(path);
    return r;
}

static void only_the_tables_and_columns_asked_for_are_decoded(void **state)
{
    char path[40];
    kymo_reader *r = open_small(*state, path);
    const char *const table = "mark", *const column[] = {"name", "no_such"};
    const struct kymo_batch *b;
    uint32_t n;
    assert_int_equal(kymo_reader_select(r, &table, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_reader_columns(r, "mark", column, 2, NULL), KYMO_OK);
    assert_int_equal(kymo_reader_next(r, &b, NULL), KYMO_OK);
    assert_non_null(b);
    assert_string_equal(kymo_batch_table(b), "mark");
    assert_memory_equal(kymo_batch_str(b, KYMO_MARK_NAME, 0, &n), "deploy", 6);
    assert_int_equal(n, 6);
    assert_null(b->lane[KYMO_MARK_UID]);
    assert_false(kymo_batch_present(b, KYMO_MARK_UID, 0));
    assert_int_equal(kymo_reader_next(r, &b, NULL), KYMO_OK);
    assert_null(b);
    assert_true(kymo_reader_complete(r));
    kymo_reader_close(r);
}

static void chunks_outside_of_the_time_asked_for_are_passed_over(void **state)
{
    struct small *s = *state;
    char path[40];
    kymo_reader *r = open_small(s, path);
    const uint64_t second = kymo_load_u64(s->bytes.p + s->chunk_at[2] + 32);
    const struct kymo_batch *b;
    kymo_reader_time(r, second, second);
    assert_int_equal(kymo_reader_next(r, &b, NULL), KYMO_OK);
    assert_non_null(b);
    assert_int_equal(b->ts_min_ns, second);
    assert_int_equal(kymo_reader_next(r, &b, NULL), KYMO_OK);
    assert_null(b);
    kymo_reader_close(r);
}

static void skimming_counts_without_decoding_and_verifies_when_told(void **state)
{
    for (int verify = 0; verify < 2; verify++) {
        char path[40];
        kymo_reader *r = open_small(*state, path);
        struct kymo_chunk_header h;
        const char *table;
        int done = 0;
        uint64_t rows = 0, chunks = 0;
        for (;;) {
            assert_int_equal(kymo_reader_skim(r, &h, &table, verify, &done, NULL), KYMO_OK);
            if (done)
                break;
            assert_int_equal(!kymo_reader_batch(r), !verify || h.kind != KYMO_CHUNK_DATA);
            rows += h.n_rows;
            chunks++;
        }
        assert_int_equal(rows, CHUNKS * CHUNK_ROWS + 1);
        assert_int_equal(chunks, CHUNKS + 4);
        assert_int_equal(kymo_reader_schemas(r), 2);
        assert_true(kymo_reader_complete(r));
        kymo_reader_close(r);
    }
}

/* -------- hostile -------- */

/* The small capture's schema, then one data chunk with this body and these rows. */
static struct outcome read_body(const struct small *s, const struct kymo_buf *body,
                                uint32_t rows)
{
    struct kymo_chunk_header h = {
        .kind = KYMO_CHUNK_DATA, .n_rows = rows, .body_bytes = (uint32_t)body->n};
    struct kymo_buf b = {0};
    uint8_t header[KYMO_CHUNK_HEADER_BYTES];
    char path[40];
    close(temp_file(path));
    h.schema_hash = kymo_load_u64(s->bytes.p + s->chunk_at[0] + 24);
    h.body_xxh3 = XXH3_64bits(body->p, body->n);
    kymo_chunk_header_encode(&h, header);
    kymo_buf_put(&b, s->bytes.p, s->chunk_at[1]);
    kymo_buf_put(&b, header, sizeof(header));
    kymo_buf_put(&b, body->p, body->n);
    write_file(path, b.p, b.n);
    const struct outcome o = read_all(path, (size_t)32 << 20);
    kymo_buf_release(&b);
    unlink(path);
    return o;
}

static void put_numbers(struct kymo_buf *b, const uint64_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kymo_buf_varint(b, v[i]);
}

static void claims_that_the_bytes_cannot_pay_are_corrupt(void **state)
{
    static const struct {
        uint64_t number[13]; /* tasks keys strings runs (key task rows)... streams */
        size_t n;
    } toc[] = {
        {{0, 0, 1, 0, 0}, 5},                          /* grouped, without tasks */
        {{UINT32_MAX, 1, 1, 0, 0}, 5},                 /* tasks */
        {{1, 513, 1, 0, 0}, 5},                        /* keys */
        {{1, 1, 0, 0, 0}, 5},                          /* strings */
        {{1, 1, UINT64_MAX, 0, 0}, 5},                 /* strings */
        {{1, 1, 1, UINT64_MAX, 0}, 5},                 /* runs */
        {{1, 1, 1, 11, 0}, 5},                         /* more runs than rows */
        {{1, 1, 1, 1, 1, 0, 9, 0}, 8},                 /* a run of a key that is not there */
        {{1, 1, 1, 1, 0, 1, 9, 0}, 8},                 /* of a task that is not there */
        {{1, 1, 1, 1, 0, 0, 8, 0}, 8},                 /* a row that is in no run */
        {{1, 1, 1, 1, 0, 0, 10, 0}, 8},                /* more rows than there are */
        {{2, 1, 1, 3, 0, 0, 4, 0, 0, 4, 0, 0, 0}, 13}, /* a third task of two */
        {{1, 1, 1, 0, UINT64_MAX}, 5},                 /* streams */
        {{1, 1, 1, 0, 1u << 30}, 5},                   /* streams */
        {{1, 1, 1, 0, 0}, 5},                          /* no streams at all */
        {{1, 1, 1, 0, 0, 7}, 6},                       /* a byte too many */
        {{1, 1}, 2},                                   /* too short */
    };
    for (size_t i = 0; i < sizeof(toc) / sizeof(toc[0]); i++) {
        struct kymo_buf numbers = {0}, body = {0};
        put_numbers(&numbers, toc[i].number, toc[i].n);
        kymo_buf_u8(&body, 0);
        kymo_buf_varint(&body, numbers.n);
        kymo_buf_put(&body, numbers.p, numbers.n);
        const struct outcome o = read_body(*state, &body, 10);
        assert_int_equal(o.status, KYMO_ECORRUPT);
        assert_int_equal(o.rows, 0);
        kymo_buf_release(&numbers);
        kymo_buf_release(&body);
    }
}

static void strings_that_are_said_to_be_in_a_codec_are_corrupt(void **state)
{
    /* no tasks, one key too few: the entry is judged before */
    for (unsigned codec = 0; codec < 8; codec++) {
        struct kymo_buf numbers = {0}, body = {0};
        struct kymo_err err = {0};
        const uint64_t toc[] = {1, 1, 2, 0, 1, KYMO_STREAM_STRINGS | codec << 3, 3};
        put_numbers(&numbers, toc, KYMO_COUNT_OF(toc));
        kymo_buf_u8(&body, 0);
        kymo_buf_varint(&body, numbers.n);
        kymo_buf_put(&body, numbers.p, numbers.n);
        kymo_buf_put(&body, "abc", 3);
        const struct outcome o = read_body(*state, &body, 10);
        assert_int_equal(o.status, KYMO_ECORRUPT);
        err = o.err;
        assert_true(!codec == !strstr(err.text, codec < KYMO_CODEC_COUNT ? "codec" : "kind"));
        kymo_buf_release(&numbers);
        kymo_buf_release(&body);
    }
}

/* A column may lean on one behind it: so none can lean on itself, nor two on each other. */
static void columns_that_would_lean_on_each_other_are_corrupt(void **state)
{
    static const uint64_t pair[][2] = {
        {KYMO_SYSCALL_RET, KYMO_SYSCALL_RET},     {KYMO_SYSCALL_ARG2, KYMO_SYSCALL_RET},
        {KYMO_SYSCALL_RET, KYMO_SYSCALL_PATH},    {KYMO_SYSCALL_TS, KYMO_SYSCALL_DUR},
        {KYMO_SYSCALL_RET, KYMO_SYSCALL_COLUMNS},
    };
    for (size_t i = 0; i < KYMO_COUNT_OF(pair); i++) {
        struct kymo_buf numbers = {0}, body = {0};
        const uint64_t toc[] = {1,          1, 1,          0, 1, KYMO_STREAM_RELATIVE,
                                pair[i][0], 0, pair[i][1], 0};
        put_numbers(&numbers, toc, KYMO_COUNT_OF(toc));
        kymo_buf_u8(&body, 0);
        kymo_buf_varint(&body, numbers.n);
        kymo_buf_put(&body, numbers.p, numbers.n);
        const struct outcome o = read_body(*state, &body, 10);
        assert_int_equal(o.status, KYMO_ECORRUPT);
        assert_true(strstr(o.err.text, "relative") || strstr(o.err.text, "base column"));
        kymo_buf_release(&numbers);
        kymo_buf_release(&body);
    }
}

/* The end chunk names the first schema twice, and as many as there are. */
static void an_end_that_leaves_a_table_out_is_corrupt(void **state)
{
    struct small *s = *state;
    char path[40];
    close(temp_file(path));
    struct kymo_buf b = {0};
    kymo_buf_put(&b, s->bytes.p, s->bytes.n);
    const size_t at = s->chunk_at[s->n_chunks - 1], body = at + KYMO_CHUNK_HEADER_BYTES;
    struct kymo_bytes in = kymo_bytes_view(b.p + body + 1 + 8, 16, 0);
    uint64_t rows, chunks;
    assert_int_equal(kymo_bytes_varint(&in, &rows, NULL), KYMO_OK);
    assert_int_equal(kymo_bytes_varint(&in, &chunks, NULL), KYMO_OK);
    b.n = body + 1;
    for (int i = 0; i < 2; i++) {
        kymo_buf_u64(&b, kymo_load_u64(s->bytes.p + body + 1));
        kymo_buf_varint(&b, rows);
        kymo_buf_varint(&b, chunks);
    }
    const struct kymo_chunk_header h = {.kind = KYMO_CHUNK_END,
                                        .body_bytes = (uint32_t)(b.n - body),
                                        .body_xxh3 = XXH3_64bits(b.p + body, b.n - body)};
    kymo_chunk_header_encode(&h, b.p + at);
    write_file(path, b.p, b.n);
    const struct outcome o = read_all(path, 0);
    assert_int_equal(o.status, KYMO_ECORRUPT);
    assert_non_null(strstr(o.err.text, "twice"));
    kymo_buf_release(&b);
    unlink(path);
}

/* 64 MiB of zeros are a few kilobytes of zstd; as a table of contents and as a stream. */
static void a_zstd_bomb_is_refused_before_it_is_unpacked(void **state)
{
    const size_t n = (size_t)64 << 20, bound = ZSTD_compressBound(n);
    uint8_t *zeros = calloc(1, n), *packed = malloc(bound);
    const size_t m = ZSTD_compress(packed, bound, zeros, n, 3);
    struct kymo_buf body = {0}, toc = {0};
    kymo_buf_u8(&body, 1);
    kymo_buf_varint(&body, n);
    kymo_buf_varint(&body, m);
    kymo_buf_put(&body, packed, m);
    assert_int_equal(read_body(*state, &body, 10).status, KYMO_ECORRUPT);

    kymo_buf_clear(&body);
    put_numbers(&toc, (const uint64_t[]){1, 1, 1, 0, 1, KYMO_STREAM_TASKS | 64, n, m}, 8);
    kymo_buf_u8(&body, 0);
    kymo_buf_varint(&body, toc.n);
    kymo_buf_put(&body, toc.p, toc.n);
    kymo_buf_put(&body, packed, m);
    assert_int_equal(read_body(*state, &body, 10).status, KYMO_ECORRUPT);

    kymo_buf_clear(&body);
    kymo_buf_u8(&body, KYMO_BODY_WHOLE_ZSTD);
    kymo_buf_varint(&body, 10);
    kymo_buf_varint(&body, n);
    kymo_buf_put(&body, packed, m);
    assert_int_equal(read_body(*state, &body, 10).status, KYMO_ECORRUPT);
    kymo_buf_release(&body);
    kymo_buf_release(&toc);
    free(zeros);
    free(packed);
}

static void a_chunk_past_the_memory_budget_is_a_limit_and_not_a_crash(void **state)
{
    struct small *s = *state;
    char path[40];
    close(temp_file(path));
    write_file(path, s->bytes.p, s->bytes.n);
    int limits = 0;
    for (size_t cap = 1000; cap < 4000000; cap = cap * 3 / 2) {
        const struct outcome o = read_all(path, cap);
        assert_false(o.wrong);
        assert_true(o.status == KYMO_OK || o.status == KYMO_ELIMIT);
        limits += o.status == KYMO_ELIMIT;
    }
    assert_true(limits > 3);
    assert_int_equal(read_all(path, 4000000).status, KYMO_OK);
    unlink(path);
}

static void
rows_of_an_unknown_schema_are_corrupt_and_unknown_kinds_are_passed_over(void **state)
{
    struct small *s = *state;
    char path[40];
    uint8_t header[KYMO_CHUNK_HEADER_BYTES];
    close(temp_file(path));
    struct kymo_buf b = {0};
    kymo_buf_put(&b, s->bytes.p, KYMO_FILE_HEADER_BYTES);
    kymo_buf_put(&b, s->bytes.p + s->chunk_at[1], s->bytes.n - s->chunk_at[1]);
    write_file(path, b.p, b.n);
    assert_int_equal(read_all(path, 0).status, KYMO_ECORRUPT);

    kymo_buf_clear(&b);
    const struct kymo_chunk_header later = {.kind = 77,
                                            .flags = 12345,
                                            .n_rows = UINT32_MAX,
                                            .body_bytes = 5,
                                            .body_xxh3 = XXH3_64bits("later", 5)};
    kymo_chunk_header_encode(&later, header);
    kymo_buf_put(&b, s->bytes.p, s->chunk_at[2]);
    kymo_buf_put(&b, header, sizeof(header));
    kymo_buf_put(&b, "later", 5);
    kymo_buf_put(&b, s->bytes.p + s->chunk_at[2], s->bytes.n - s->chunk_at[2]);
    write_file(path, b.p, b.n);
    const struct outcome o = read_all(path, 0);
    assert_int_equal(o.status, KYMO_OK);
    assert_int_equal(o.rows, CHUNKS * CHUNK_ROWS + 1);
    assert_false(o.wrong);
    kymo_buf_release(&b);
    unlink(path);
}

/* Everything above once more, by threads: the same answers in the same order. */
static void threads_change_nothing_but_the_speed(void **state)
{
    threads = 3;
    every_truncation_gives_whole_chunks_and_says_torn(state);
    every_flipped_byte_is_noticed_and_no_row_is_wrong(state);
    a_tail_of_zeros_is_torn_and_zeros_in_the_middle_are_corrupt(state);
    a_chunk_cut_out_of_the_middle_is_missed_at_the_end(state);
    bytes_behind_the_end_are_corrupt(state);
    a_pipe_reads_the_same_as_a_file(state);
    threads = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_gives_whole_chunks_and_says_torn),
        cmocka_unit_test(every_flipped_byte_is_noticed_and_no_row_is_wrong),
        cmocka_unit_test(a_tail_of_zeros_is_torn_and_zeros_in_the_middle_are_corrupt),
        cmocka_unit_test(a_chunk_cut_out_of_the_middle_is_missed_at_the_end),
        cmocka_unit_test(bytes_behind_the_end_are_corrupt),
        cmocka_unit_test(a_pipe_reads_the_same_as_a_file),
        cmocka_unit_test(threads_change_nothing_but_the_speed),
        cmocka_unit_test(what_is_no_capture_is_refused_in_words),
        cmocka_unit_test(only_the_tables_and_columns_asked_for_are_decoded),
        cmocka_unit_test(chunks_outside_of_the_time_asked_for_are_passed_over),
        cmocka_unit_test(skimming_counts_without_decoding_and_verifies_when_told),
        cmocka_unit_test(claims_that_the_bytes_cannot_pay_are_corrupt),
        cmocka_unit_test(strings_that_are_said_to_be_in_a_codec_are_corrupt),
        cmocka_unit_test(columns_that_would_lean_on_each_other_are_corrupt),
        cmocka_unit_test(an_end_that_leaves_a_table_out_is_corrupt),
        cmocka_unit_test(a_zstd_bomb_is_refused_before_it_is_unpacked),
        cmocka_unit_test(a_chunk_past_the_memory_budget_is_a_limit_and_not_a_crash),
        cmocka_unit_test(
            rows_of_an_unknown_schema_are_corrupt_and_unknown_kinds_are_passed_over),
    };
    return cmocka_run_group_tests_name("reader", tests, make_small, drop_small);
}
