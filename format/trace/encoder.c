/* SPDX-License-Identifier: Apache-2.0
 * encoder.c: the rows of a chunk to a body.
 *
 *   u8 form | varint toc bytes | (form 1: varint toc bytes stored) | toc | streams
 *
 * A grouped table is written in two orders that cost no bytes, because the reader rebuilds them:
 *
 *   rows      a0 b0 a1 a2 b1      the task of each row, in row order:          a b a a b
 *   by task   a0 a1 a2 | b0 b1    the key of each row, in task order:          k l k | k k
 *   by call   k: a0 a2 b0 b1 | l: a1      CALL and SPLIT columns, in this order
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "format/trace/chunk.h"
#include "format/trace/column.h"

struct kymo_encoder {
    struct kymo_column_encoder *column;
    struct kymo_buf toc, streams;
    uint32_t n_streams;
    uint64_t *value;   /* [rows] the stream being made */
    uint64_t *flag;    /* [rows] its presence */
    uint32_t *by_task; /* [rows] */
    uint32_t *by_call; /* [rows] */
    uint32_t task_at[KYMO_CHUNK_TASKS_MAX + 1];
    uint32_t key_at[KYMO_CHUNK_KEYS_MAX + 1];  /* where each key begins in by_call */
    uint32_t key_present[KYMO_CHUNK_KEYS_MAX]; /* of the column at hand */
};

kymo_status kymo_encoder_open(struct kymo_encoder **out, int level, struct kymo_err *err)
{
    struct kymo_encoder *e = calloc(1, sizeof(*e));
    if (!e)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for an encoder");
    e->value = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->value));
    e->flag = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->flag));
    e->by_task = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->by_task));
    e->by_call = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->by_call));
    kymo_status s = KYMO_OK;
    if (!e->value || !e->flag || !e->by_task || !e->by_call)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for an encoder");
    else
        s = kymo_column_encoder_open(&e->column, level, err);
    if (s) {
        kymo_encoder_close(e);
        return s;
    }
    *out = e;
    return KYMO_OK;
}

void kymo_encoder_close(struct kymo_encoder *e)
{
    if (!e)
        return;
    kymo_column_encoder_close(e->column);
    kymo_buf_release(&e->toc);
    kymo_buf_release(&e->streams);
    free(e->value);
    free(e->flag);
    free(e->by_task);
    free(e->by_call);
    free(e);
}

/* -------- table of contents -------- */

struct place {
    enum kymo_stream_what what;
    uint32_t column, key;
    uint8_t has_column, has_key;
};

static void put_entry(struct kymo_encoder *e, const struct place *p,
                      const struct kymo_stream *s, int zone)
{
    kymo_buf_u8(&e->toc, (uint8_t)((unsigned)p->what | (unsigned)s->codec << 3 |
                                   (s->is_zstd ? 64u : 0) | (zone ? 128u : 0)));
    if (p->has_column)
        kymo_buf_varint(&e->toc, p->column);
    if (p->has_key)
        kymo_buf_varint(&e->toc, p->key);
    kymo_buf_varint(&e->toc, s->encoded_bytes);
    if (s->is_zstd)
        kymo_buf_varint(&e->toc, s->stored_bytes);
    e->n_streams++;
}

static kymo_status put_stream(struct kymo_encoder *e, const struct place *p, const uint64_t *v,
                              size_t n, enum kymo_type type, struct kymo_err *err)
{
    struct kymo_stream s;
    KYMO_TRY(kymo_column_encode(e->column, v, n, &s, &e->streams, err));
    const int zone = p->what == KYMO_STREAM_VALUES && n >= KYMO_ZONE_VALUES_MIN &&
                     s.umin != s.umax && (type == KYMO_T_U64 || type == KYMO_T_I64);
    put_entry(e, p, &s, zone);
    if (zone && type == KYMO_T_I64) {
        kymo_buf_varint(&e->toc, kymo_zigzag(s.smin));
        kymo_buf_varint(&e->toc, (uint64_t)s.smax - (uint64_t)s.smin);
    } else if (zone) {
        kymo_buf_varint(&e->toc, s.umin);
        kymo_buf_varint(&e->toc, s.umax - s.umin);
    }
    return KYMO_OK;
}

/* -------- order -------- */

static kymo_status sort_rows(struct kymo_encoder *e, const struct kymo_batch *b,
                             struct kymo_err *err)
{
    const uint32_t n = b->n_rows;
    if (!b->n_tasks || b->n_tasks > KYMO_CHUNK_TASKS_MAX || !b->n_keys ||
        b->n_keys > KYMO_CHUNK_KEYS_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%u tasks and %u keys do not fit a chunk of %s", b->n_tasks, b->n_keys,
                         b->schema->table);
    memset(e->task_at, 0, (b->n_tasks + 1) * sizeof(e->task_at[0]));
    memset(e->key_at, 0, (b->n_keys + 1) * sizeof(e->key_at[0]));
    for (uint32_t i = 0; i < n; i++) {
        if (b->task[i] >= b->n_tasks || b->key[i] >= b->n_keys)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "row %u of %s has no such task or key", i, b->schema->table);
        e->task_at[b->task[i] + 1]++;
        e->key_at[b->key[i] + 1]++;
    }
    for (uint32_t t = 0; t < b->n_tasks; t++)
        e->task_at[t + 1] += e->task_at[t];
    for (uint32_t k = 0; k < b->n_keys; k++)
        e->key_at[k + 1] += e->key_at[k];
    for (uint32_t i = 0; i < n; i++)
        e->by_task[e->task_at[b->task[i]]++] = i;
    uint32_t next[KYMO_CHUNK_KEYS_MAX];
    memcpy(next, e->key_at, b->n_keys * sizeof(next[0]));
    for (uint32_t i = 0; i < n; i++)
        e->by_call[next[b->key[e->by_task[i]]]++] = e->by_task[i];
    return KYMO_OK;
}

static kymo_status put_order(struct kymo_encoder *e, const struct kymo_batch *b,
                             struct kymo_err *err)
{
    KYMO_TRY(sort_rows(e, b, err));
    for (uint32_t i = 0; i < b->n_rows; i++)
        e->value[i] = b->task[i];
    const struct place tasks = {.what = KYMO_STREAM_TASKS};
    KYMO_TRY(put_stream(e, &tasks, e->value, b->n_rows, KYMO_T_U64, err));
    for (uint32_t i = 0; i < b->n_rows; i++)
        e->value[i] = b->key[e->by_task[i]];
    const struct place keys = {.what = KYMO_STREAM_KEYS};
    return put_stream(e, &keys, e->value, b->n_rows, KYMO_T_U64, err);
}

/* -------- strings -------- */

static kymo_status put_strings(struct kymo_encoder *e, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    const uint32_t n = b->str.n;
    if (n <= 1)
        return KYMO_OK;
    if (n > KYMO_CHUNK_STRINGS_MAX || b->str.at[n] > KYMO_CHUNK_STR_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "%u strings do not fit a chunk of %s",
                         n, b->schema->table);
    uint64_t *length = e->value;
    uint64_t *more = NULL;
    if (n > KYMO_CHUNK_ROWS_MAX) {
        length = more = malloc(n * sizeof(*more));
        if (!more)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u strings", n);
    }
    for (uint32_t i = 1; i < n; i++)
        length[i - 1] = b->str.at[i + 1] - b->str.at[i];
    const struct place lengths = {.what = KYMO_STREAM_LENGTHS};
    const kymo_status status = put_stream(e, &lengths, length, n - 1, KYMO_T_U64, err);
    free(more);
    if (status)
        return status;
    struct kymo_stream s = {.codec = KYMO_CODEC_PLANES};
    KYMO_TRY(
        kymo_column_encode_bytes(e->column, b->str.bytes, b->str.at[n], &s, &e->streams, err));
    const struct place bytes = {.what = KYMO_STREAM_STRINGS};
    put_entry(e, &bytes, &s, 0);
    return KYMO_OK;
}

/* -------- columns -------- */

/* The cells order[0..n) of a column (order NULL: 0..n) as a presence stream, when some are null,
 * and a value stream, when some are not. */
static kymo_status put_cells(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c,
                             struct place place, const uint32_t *order, uint32_t n,
                             struct kymo_err *err)
{
    const uint64_t *lane = b->lane[c];
    const uint8_t *present = b->present ? b->present[c] : NULL;
    const enum kymo_type type = (enum kymo_type)b->schema->column[c].type;
    uint32_t m = 0;
    if (!present) {
        if (!order) {
            place.what = KYMO_STREAM_VALUES;
            return put_stream(e, &place, lane, n, type, err);
        }
        for (; m < n; m++)
            e->value[m] = lane[order[m]];
    } else {
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t row = order ? order[i] : i;
            e->value[m] = lane[row];
            e->flag[i] = present[row] != 0;
            m += present[row] != 0;
        }
    }
    if (!m)
        return KYMO_OK;
    if (m < n) {
        place.what = KYMO_STREAM_PRESENT;
        KYMO_TRY(put_stream(e, &place, e->flag, n, KYMO_T_U64, err));
    }
    place.what = KYMO_STREAM_VALUES;
    return put_stream(e, &place, e->value, m, type, err);
}

static kymo_status put_split(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c,
                             struct kymo_err *err)
{
    const uint8_t *present = b->present ? b->present[c] : NULL;
    if (present && !memchr(present, 1, b->n_rows))
        return KYMO_OK;
    memset(e->key_present, 0, b->n_keys * sizeof(e->key_present[0]));
    for (uint32_t i = 0; i < b->n_rows; i++)
        e->key_present[b->key[i]] += present ? present[i] : 1u;
    for (uint32_t k = 0; k < b->n_keys; k++) {
        const uint32_t n = e->key_at[k + 1] - e->key_at[k];
        if (!e->key_present[k])
            continue;
        const uint32_t *order = e->by_call + e->key_at[k];
        const struct place place = {.column = c, .key = k, .has_column = 1, .has_key = 1};
        if (e->key_present[k] < n) {
            KYMO_TRY(put_cells(e, b, c, place, order, n, err));
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            e->value[i] = b->lane[c][order[i]];
        KYMO_TRY(
            put_stream(e, &place, e->value, n, (enum kymo_type)b->schema->column[c].type, err));
    }
    return KYMO_OK;
}

static kymo_status put_column(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c,
                              struct kymo_err *err)
{
    const struct place place = {.column = c, .has_column = 1};
    const enum kymo_type type = (enum kymo_type)b->schema->column[c].type;
    switch (b->schema->column[c].order) {
    case KYMO_ORDER_TASK:
        return put_stream(e, &place, b->lane[c], b->n_tasks, type, err);
    case KYMO_ORDER_KEY:
        return put_stream(e, &place, b->lane[c], b->n_keys, type, err);
    case KYMO_ORDER_CALL:
        return put_cells(e, b, c, place, e->by_call, b->n_rows, err);
    case KYMO_ORDER_SPLIT:
        return put_split(e, b, c, err);
    default:
        return put_cells(e, b, c, place, NULL, b->n_rows, err);
    }
}

/* The head that says how many there are of what, then the entries, through zstd where that pays. */
static kymo_status put_body(struct kymo_encoder *e, const struct kymo_batch *b,
                            struct kymo_buf *body, struct kymo_err *err)
{
    struct kymo_buf toc = {0}, stored = {0};
    kymo_buf_varint(&toc, b->n_tasks);
    kymo_buf_varint(&toc, b->n_keys);
    kymo_buf_varint(&toc, b->str.n);
    kymo_buf_varint(&toc, e->n_streams);
    kymo_buf_put(&toc, e->toc.p, e->toc.n);
    kymo_status status = KYMO_OK;
    struct kymo_stream s = {0};
    if (toc.failed || e->toc.failed)
        status =
            KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a table of contents");
    else
        status = kymo_column_encode_bytes(e->column, toc.p, toc.n, &s, &stored, err);
    if (!status) {
        kymo_buf_u8(body, (uint8_t)s.is_zstd);
        kymo_buf_varint(body, s.encoded_bytes);
        if (s.is_zstd)
            kymo_buf_varint(body, s.stored_bytes);
        kymo_buf_put(body, stored.p, stored.n);
        kymo_buf_put(body, e->streams.p, e->streams.n);
        if (body->failed)
            status = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a chunk");
    }
    kymo_buf_release(&toc);
    kymo_buf_release(&stored);
    return status;
}

kymo_status kymo_chunk_encode(struct kymo_encoder *e, const struct kymo_batch *b,
                              struct kymo_buf *body, struct kymo_err *err)
{
    if (!b->n_rows || b->n_rows > KYMO_CHUNK_ROWS_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "a chunk holds 1 to %u rows, not %u",
                         KYMO_CHUNK_ROWS_MAX, b->n_rows);
    kymo_buf_clear(&e->toc);
    kymo_buf_clear(&e->streams);
    e->toc.failed = e->streams.failed = 0;
    e->n_streams = 0;
    if (kymo_schema_is_grouped(b->schema))
        KYMO_TRY(put_order(e, b, err));
    KYMO_TRY(put_strings(e, b, err));
    for (uint32_t c = 0; c < b->schema->n_columns; c++)
        KYMO_TRY(put_column(e, b, c, err));
    if (e->streams.n > KYMO_CHUNK_BODY_BYTES_MAX - KYMO_TOC_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a chunk of %zu bytes is too large; write fewer rows a chunk",
                         e->streams.n);
    return put_body(e, b, body, err);
}
