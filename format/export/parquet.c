/* SPDX-License-Identifier: Apache-2.0
 * parquet.c: the file around the column chunks.
 *
 *   PAR1 | row group: column chunk: dictionary page, data pages | ... | FileMetaData | its length | PAR1
 */
#include "format/export/parquet.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/file.h"
#include "format/export/parquet_chunk.h"

#define PAGE_ROWS_MAX 65536u
#define PAGE_ROWS_MIN 256u
#define PAGES_BYTES ((size_t)64 << 20)  /* what all open pages together may take */
#define GROUP_BYTES ((size_t)128 << 20) /* a row group that holds more is ended early */
#define GROUPS_MAX 1000000u
#define MAGIC "PAR1"

struct kymo_parquet {
    int fd;
    char *name;
    size_t n;
    struct kymo_parquet_column *column;
    struct kymo_parquet_chunk *chunk;
    struct kymo_parquet_bench bench;
    uint32_t group_rows, n_rows; /* of the row group at hand */
    uint64_t at_bytes, total_rows;
    struct kymo_buf out, groups, notes;
    uint32_t n_groups, n_notes;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a Parquet file");
}

static kymo_status flush(struct kymo_parquet *p, struct kymo_err *err)
{
    if (p->out.failed)
        return no_memory(err);
    KYMO_TRY(kymo_file_write(p->fd, p->out.p, p->out.n, p->name, err));
    p->at_bytes += p->out.n;
    kymo_buf_clear(&p->out);
    return KYMO_OK;
}

static kymo_status open_chunks(struct kymo_parquet *p, struct kymo_err *err)
{
    size_t page_rows = PAGES_BYTES / (p->n * (sizeof(uint64_t) + 1));
    page_rows = page_rows > PAGE_ROWS_MAX ? PAGE_ROWS_MAX : page_rows;
    page_rows = page_rows < PAGE_ROWS_MIN ? PAGE_ROWS_MIN : page_rows;
    p->bench.zstd = ZSTD_createCCtx();
    p->bench.id = malloc(page_rows * sizeof(*p->bench.id));
    if (!p->bench.zstd || !p->bench.id)
        return no_memory(err);
    for (size_t i = 0; i < p->n; i++)
        KYMO_TRY(
            kymo_parquet_chunk_init(&p->chunk[i], &p->column[i], (uint32_t)page_rows, err));
    return KYMO_OK;
}

kymo_status kymo_parquet_open(struct kymo_parquet **out, int fd, const char *name,
                              const struct kymo_parquet_column *column, size_t n,
                              uint32_t group_rows, struct kymo_err *err)
{
    struct kymo_parquet *p = calloc(1, sizeof(*p));
    if (!p)
        return no_memory(err);
    p->fd = fd;
    p->n = n;
    p->group_rows = group_rows;
    p->name = strdup(name);
    p->column = calloc(n, sizeof(*p->column));
    p->chunk = calloc(n, sizeof(*p->chunk));
    kymo_status s = p->name && p->column && p->chunk ? KYMO_OK : no_memory(err);
    if (!s) {
        memcpy(p->column, column, n * sizeof(*column));
        s = open_chunks(p, err);
    }
    kymo_buf_put(&p->out, MAGIC, 4);
    if (!s)
        s = flush(p, err);
    if (s) {
        kymo_parquet_close(p);
        return s;
    }
    *out = p;
    return KYMO_OK;
}

void kymo_parquet_close(struct kymo_parquet *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->chunk && i < p->n; i++)
        kymo_parquet_chunk_release(&p->chunk[i]);
    ZSTD_freeCCtx(p->bench.zstd);
    kymo_buf_release(&p->bench.raw);
    kymo_buf_release(&p->bench.packed);
    kymo_buf_release(&p->bench.header);
    free(p->bench.id);
    kymo_buf_release(&p->out);
    kymo_buf_release(&p->groups);
    kymo_buf_release(&p->notes);
    free(p->chunk);
    free(p->column);
    free(p->name);
    free(p);
}

void kymo_parquet_note(struct kymo_parquet *p, const char *key, const char *value)
{
    struct kymo_thrift t = kymo_thrift_on(&p->notes);
    kymo_thrift_begin(&t);
    kymo_thrift_text(&t, 1, key);
    kymo_thrift_text(&t, 2, value);
    kymo_thrift_end(&t);
    p->n_notes++;
}

uint32_t kymo_parquet_room(const struct kymo_parquet *p)
{
    return p->group_rows - p->n_rows;
}

uint32_t kymo_parquet_intern(struct kymo_parquet *p, size_t column, const char *s, size_t n)
{
    return kymo_parquet_chunk_intern(&p->chunk[column], s, n);
}

kymo_status kymo_parquet_put(struct kymo_parquet *p, size_t column, const uint64_t *value,
                             const uint8_t *present, uint32_t n, struct kymo_err *err)
{
    return kymo_parquet_chunk_put(&p->chunk[column], &p->bench, value, present, n, err);
}

/* -------- row groups -------- */

static void put_encodings(const struct kymo_parquet_chunk *c, struct kymo_thrift *t)
{
    kymo_thrift_list(t, 2, KYMO_THRIFT_I32, c->pages_dict ? 3 : 2);
    kymo_thrift_item_i32(t, KYMO_PARQUET_PLAIN);
    kymo_thrift_item_i32(t, KYMO_PARQUET_RLE);
    if (c->pages_dict)
        kymo_thrift_item_i32(t, KYMO_PARQUET_RLE_DICTIONARY);
}

static void put_encoding_stats(const struct kymo_parquet_chunk *c, struct kymo_thrift *t)
{
    const int32_t stats[3][3] = {{2, KYMO_PARQUET_PLAIN, c->pages_dict != 0},
                                 {0, KYMO_PARQUET_RLE_DICTIONARY, (int32_t)c->pages_dict},
                                 {0, KYMO_PARQUET_PLAIN, (int32_t)c->pages_plain}};
    size_t n = 0;
    for (size_t i = 0; i < 3; i++)
        n += stats[i][2] != 0;
    kymo_thrift_list(t, 13, KYMO_THRIFT_STRUCT, n);
    for (size_t i = 0; i < 3; i++) {
        if (!stats[i][2])
            continue;
        kymo_thrift_begin(t);
        for (int16_t f = 0; f < 3; f++)
            kymo_thrift_i32(t, (int16_t)(f + 1), stats[i][f]);
        kymo_thrift_end(t);
    }
}

/* ColumnChunk with its ColumnMetaData; the chunk lies at at_bytes and takes bytes. */
static void put_column(const struct kymo_parquet *p, size_t column, uint64_t at_bytes,
                       uint64_t bytes, struct kymo_thrift *t)
{
    const struct kymo_parquet_chunk *c = &p->chunk[column];
    kymo_thrift_begin(t);
    kymo_thrift_i64(t, 2, 0);
    kymo_thrift_struct(t, 3);
    kymo_thrift_i32(t, 1, kymo_parquet_type(c->kind));
    put_encodings(c, t);
    kymo_thrift_list(t, 3, KYMO_THRIFT_BINARY, 1);
    kymo_thrift_item_text(t, p->column[column].name);
    kymo_thrift_i32(t, 4, KYMO_PARQUET_ZSTD);
    kymo_thrift_i64(t, 5, (int64_t)c->n_cells);
    kymo_thrift_i64(t, 6, (int64_t)c->raw_bytes);
    kymo_thrift_i64(t, 7, (int64_t)bytes);
    kymo_thrift_i64(t, 9, (int64_t)(at_bytes + c->first_data_bytes));
    if (c->pages_dict)
        kymo_thrift_i64(t, 11, (int64_t)at_bytes);
    kymo_parquet_chunk_statistics(c, t, 12);
    put_encoding_stats(c, t);
    kymo_thrift_end(t);
    kymo_thrift_end(t);
}

static kymo_status end_group(struct kymo_parquet *p, struct kymo_err *err)
{
    const uint64_t group_at = p->at_bytes;
    uint64_t raw_bytes = 0;
    if (!p->n_rows)
        return KYMO_OK;
    if (p->n_groups == GROUPS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%s: more than %u row groups", p->name,
                         GROUPS_MAX);
    struct kymo_thrift t = kymo_thrift_on(&p->groups);
    kymo_thrift_begin(&t);
    kymo_thrift_list(&t, 1, KYMO_THRIFT_STRUCT, p->n);
    for (size_t i = 0; i < p->n; i++) {
        struct kymo_parquet_chunk *c = &p->chunk[i];
        const uint64_t at = p->at_bytes;
        KYMO_TRY(kymo_parquet_chunk_end(c, &p->bench, &p->out, err));
        KYMO_TRY(flush(p, err));
        KYMO_TRY(kymo_file_write(p->fd, c->pages.p, c->pages.n, p->name, err));
        p->at_bytes += c->pages.n;
        put_column(p, i, at, p->at_bytes - at, &t);
        raw_bytes += c->raw_bytes;
        kymo_parquet_chunk_clear(c);
    }
    kymo_thrift_i64(&t, 2, (int64_t)raw_bytes);
    kymo_thrift_i64(&t, 3, p->n_rows);
    kymo_thrift_i64(&t, 5, (int64_t)group_at);
    kymo_thrift_i64(&t, 6, (int64_t)(p->at_bytes - group_at));
    kymo_thrift_end(&t);
    p->n_groups++;
    p->total_rows += p->n_rows;
    p->n_rows = 0;
    return p->groups.failed ? no_memory(err) : KYMO_OK;
}

kymo_status kymo_parquet_rows(struct kymo_parquet *p, uint32_t n, struct kymo_err *err)
{
    size_t held = 0;
    p->n_rows += n;
    for (size_t i = 0; i < p->n; i++)
        held += kymo_parquet_chunk_bytes(&p->chunk[i]);
    return p->n_rows == p->group_rows || held > GROUP_BYTES ? end_group(p, err) : KYMO_OK;
}

/* -------- footer -------- */

/* ConvertedType is what readers from before LogicalType know; nanoseconds have none. */
static void put_logical(struct kymo_thrift *t, enum kymo_parquet_kind kind)
{
    enum { UTF8 = 0, UINT_64 = 14, INT_64 = 18 };
    enum { STRING = 1, TIMESTAMP = 8, INTEGER = 10, NANOS = 3 };
    if (kind == KYMO_PARQUET_F64 || kind == KYMO_PARQUET_F32)
        return;
    if (kind != KYMO_PARQUET_WALL)
        kymo_thrift_i32(t, 6,
                        kind == KYMO_PARQUET_TEXT  ? UTF8
                        : kind == KYMO_PARQUET_U64 ? UINT_64
                                                   : INT_64);
    kymo_thrift_struct(t, 10);
    if (kind == KYMO_PARQUET_TEXT) {
        kymo_thrift_struct(t, STRING);
    } else if (kind == KYMO_PARQUET_WALL) {
        kymo_thrift_struct(t, TIMESTAMP);
        kymo_thrift_bool(t, 1, 1);
        kymo_thrift_struct(t, 2);
        kymo_thrift_struct(t, NANOS);
        kymo_thrift_end(t);
        kymo_thrift_end(t);
    } else {
        kymo_thrift_struct(t, INTEGER);
        kymo_thrift_byte(t, 1, 64);
        kymo_thrift_bool(t, 2, kind == KYMO_PARQUET_I64);
    }
    kymo_thrift_end(t);
    kymo_thrift_end(t);
}

static void put_schema(const struct kymo_parquet *p, struct kymo_thrift *t)
{
    kymo_thrift_list(t, 2, KYMO_THRIFT_STRUCT, p->n + 1);
    kymo_thrift_begin(t);
    kymo_thrift_text(t, 4, "kymo");
    kymo_thrift_i32(t, 5, (int32_t)p->n);
    kymo_thrift_end(t);
    for (size_t i = 0; i < p->n; i++) {
        kymo_thrift_begin(t);
        kymo_thrift_i32(t, 1, kymo_parquet_type(p->column[i].kind));
        kymo_thrift_i32(t, 3, p->column[i].nullable ? 1 : 0);
        kymo_thrift_text(t, 4, p->column[i].name);
        put_logical(t, p->column[i].kind);
        kymo_thrift_end(t);
    }
}

kymo_status kymo_parquet_finish(struct kymo_parquet *p, struct kymo_err *err)
{
    KYMO_TRY(end_group(p, err));
    struct kymo_thrift t = kymo_thrift_on(&p->out);
    kymo_thrift_begin(&t);
    kymo_thrift_i32(&t, 1, 2);
    put_schema(p, &t);
    kymo_thrift_i64(&t, 3, (int64_t)p->total_rows);
    kymo_thrift_list(&t, 4, KYMO_THRIFT_STRUCT, p->n_groups);
    kymo_buf_put(&p->out, p->groups.p, p->groups.n);
    if (p->n_notes) {
        kymo_thrift_list(&t, 5, KYMO_THRIFT_STRUCT, p->n_notes);
        kymo_buf_put(&p->out, p->notes.p, p->notes.n);
    }
    kymo_thrift_text(&t, 6, "kymo version " KYMO_VERSION);
    kymo_thrift_list(&t, 7, KYMO_THRIFT_STRUCT, p->n);
    for (size_t i = 0; i < p->n; i++) {
        kymo_thrift_begin(&t);
        kymo_thrift_struct(&t, 1);
        kymo_thrift_end(&t);
        kymo_thrift_end(&t);
    }
    kymo_thrift_end(&t);
    if (p->notes.failed || p->out.n > INT32_MAX)
        return no_memory(err);
    kymo_buf_u32(&p->out, (uint32_t)p->out.n);
    kymo_buf_put(&p->out, MAGIC, 4);
    return flush(p, err);
}
