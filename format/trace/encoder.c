/* SPDX-License-Identifier: Apache-2.0
 * encoder.c: the rows of a chunk to a body: table of contents (toc.h), then streams. Grouped tables
 * are written in two orders that cost no bytes (order.h).
 */
#include <stdlib.h>
#include <string.h>

#include "format/trace/chunk.h"
#include "format/trace/column.h"
#include "format/trace/order.h"
#include "format/trace/toc.h"

/* A chunk of fewer rows goes through zstd as a whole: its streams are too short to be worth frames
 * of their own, and like each other. */
#define WHOLE_ROWS_MAX 4096u
/* With fewer rows a key than this, a column is one stream for all keys: a stream costs bytes too. */
#define SPLIT_ROWS_MIN 32u
/* An index pays where a run has at least so many rows. */
#define INDEX_ROWS_MIN 8u

struct kymo_encoder {
    struct kymo_column_encoder *column;
    struct kymo_buf toc, streams;
    uint32_t n_streams;
    int is_whole;      /* streams are kept as they are: zstd takes them all at once */
    uint64_t *value;   /* [rows] the stream being made */
    uint64_t *flag;    /* [rows] its presence */
    uint64_t *other;   /* [rows] links of a CHAIN column; a column less its base */
    uint32_t *by_task; /* [rows] */
    uint32_t *by_call; /* [rows] */
    struct kymo_run *run;
    uint32_t task_at[KYMO_CHUNK_TASKS_MAX + 1];
    uint32_t key_at[KYMO_CHUNK_KEYS_MAX + 1]; /* where each key begins in by_call */
};

kymo_status kymo_encoder_open(struct kymo_encoder **out, int level, struct kymo_err *err)
{
    struct kymo_encoder *e = calloc(1, sizeof(*e));
    if (!e)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for an encoder");
    e->value = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->value));
    e->flag = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->flag));
    e->other = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->other));
    e->by_task = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->by_task));
    e->by_call = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*e->by_call));
    e->run = malloc(KYMO_CHUNK_ROWS_MAX / INDEX_ROWS_MIN * sizeof(*e->run));
    kymo_status s = KYMO_OK;
    if (!e->value || !e->flag || !e->other || !e->by_task || !e->by_call || !e->run)
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
    free(e->other);
    free(e->by_task);
    free(e->by_call);
    free(e->run);
    free(e);
}

/* -------- streams -------- */

static void put_entry(struct kymo_encoder *e, const struct kymo_batch *b,
                      const struct kymo_entry *entry)
{
    kymo_toc_put_entry(entry, b->schema, &e->toc);
    e->n_streams++;
}

/* v[n] as the stream that `entry` describes so far; none of a column, so it has no zone. */
static kymo_status put_stream(struct kymo_encoder *e, const struct kymo_batch *b,
                              struct kymo_entry entry, const uint64_t *v, size_t n,
                              struct kymo_err *err)
{
    KYMO_TRY(kymo_column_encode(e->column, v, n, &entry.s, &e->streams, err));
    put_entry(e, b, &entry);
    return KYMO_OK;
}

/* Zones are of a column's whole numbers; those of times lie in the chunk's header. */
static void set_zone(const struct kymo_batch *b, struct kymo_entry *entry,
                     const struct kymo_range *r, size_t n)
{
    const struct kymo_column_def *c = &b->schema->column[entry->column];
    if (n < KYMO_ZONE_VALUES_MIN || c->order == KYMO_ORDER_CHAIN || !r->differ ||
        (c->type != KYMO_T_U64 && c->type != KYMO_T_I64))
        return;
    const int is_signed = c->type == KYMO_T_I64;
    entry->has_zone = 1;
    entry->zone_min = is_signed ? (uint64_t)r->smin : r->umin;
    entry->zone_range = is_signed ? (uint64_t)r->smax - (uint64_t)r->smin : r->umax - r->umin;
}

/* Values of a column, or of one key's part of it. */
static kymo_status put_values(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c,
                              uint32_t key, const uint64_t *v, size_t n, struct kymo_err *err)
{
    struct kymo_entry entry = {.what = KYMO_STREAM_VALUES, .column = c, .key = key};
    KYMO_TRY(kymo_column_encode(e->column, v, n, &entry.s, &e->streams, err));
    set_zone(b, &entry, &entry.s.range, n);
    put_entry(e, b, &entry);
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
    for (uint32_t i = 0; i < n; i++)
        if (b->task[i] >= b->n_tasks || b->key[i] >= b->n_keys)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "row %u of %s has no such task or key", i, b->schema->table);
    kymo_order_by_task(b->task, n, b->n_tasks, e->task_at, e->by_task);
    kymo_order_by_call(b->key, e->by_task, n, b->n_keys, e->key_at, e->by_call);
    return KYMO_OK;
}

static kymo_status put_order(struct kymo_encoder *e, const struct kymo_batch *b,
                             struct kymo_err *err)
{
    KYMO_TRY(sort_rows(e, b, err));
    for (uint32_t i = 0; i < b->n_rows; i++)
        e->value[i] = b->task[i];
    const struct kymo_entry tasks = {.what = KYMO_STREAM_TASKS};
    KYMO_TRY(put_stream(e, b, tasks, e->value, b->n_rows, err));
    for (uint32_t i = 0; i < b->n_rows; i++)
        e->value[i] = b->key[e->by_task[i]];
    const struct kymo_entry keys = {.what = KYMO_STREAM_KEYS};
    return put_stream(e, b, keys, e->value, b->n_rows, err);
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
    const struct kymo_entry lengths = {.what = KYMO_STREAM_LENGTHS};
    const kymo_status status = put_stream(e, b, lengths, length, n - 1, err);
    free(more);
    if (status)
        return status;
    struct kymo_entry bytes = {.what = KYMO_STREAM_STRINGS, .s.codec = KYMO_CODEC_PLANES};
    KYMO_TRY(kymo_column_encode_bytes(e->column, b->str.bytes, b->str.at[n], &bytes.s,
                                      &e->streams, err));
    put_entry(e, b, &bytes);
    return KYMO_OK;
}

/* -------- columns -------- */

/* The cells order[0..n) of a column (order NULL: 0..n) as a presence stream, when some are null,
 * and a value stream, when some are not. */
static kymo_status put_cells(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c,
                             uint32_t key, const uint64_t *lane, const uint32_t *order,
                             uint32_t n, struct kymo_err *err)
{
    const uint8_t *present = b->present ? b->present[c] : NULL;
    uint32_t m = 0;
    if (!present) {
        if (!order)
            return put_values(e, b, c, key, lane, n, err);
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
        const struct kymo_entry flags = {.what = KYMO_STREAM_PRESENT, .column = c, .key = key};
        KYMO_TRY(put_stream(e, b, flags, e->flag, n, err));
    }
    return put_values(e, b, c, key, e->value, m, err);
}

static int is_whole_number(const struct kymo_column_def *c)
{
    return c->order == KYMO_ORDER_SPLIT && (c->type == KYMO_T_U64 || c->type == KYMO_T_I64);
}

#define RELATIVE_SAMPLE 64u

/* How many of a sample of v[n] equal what their rows hold in column c. */
static uint32_t count_equal(const struct kymo_batch *b, uint32_t c, const uint32_t *order,
                            const uint64_t *v, uint32_t n)
{
    const uint8_t *present = b->present ? b->present[c] : NULL;
    const uint32_t step = n > RELATIVE_SAMPLE ? n / RELATIVE_SAMPLE : 1;
    uint32_t equal = 0;
    for (uint32_t i = 0; i < n; i += step)
        equal += v[i] && v[i] == b->lane[c][order[i]] && (!present || present[order[i]]);
    return equal;
}

/* The column behind c whose values those of c repeat, as a write's result repeats its length;
 * 0 for none (no column lies before column 0). */
static uint32_t find_base(const struct kymo_batch *b, uint32_t c, const uint32_t *order,
                          const uint64_t *v, uint32_t n)
{
    uint32_t best = 0;
    uint32_t most = (n < RELATIVE_SAMPLE ? n : RELATIVE_SAMPLE) / 4;
    if (!is_whole_number(&b->schema->column[c]))
        return 0;
    for (uint32_t i = c + 1; i < b->schema->n_columns; i++) {
        if (!is_whole_number(&b->schema->column[i]))
            continue;
        const uint32_t equal = count_equal(b, i, order, v, n);
        if (equal > most) {
            most = equal;
            best = i;
        }
    }
    return best;
}

/* One key's part of a column, all cells present: as it is, or relative to another column. */
static kymo_status put_key(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c,
                           uint32_t key, const uint64_t *lane, struct kymo_err *err)
{
    const uint32_t n = e->key_at[key + 1] - e->key_at[key];
    const uint32_t *order = e->by_call + e->key_at[key];
    for (uint32_t i = 0; i < n; i++)
        e->value[i] = lane[order[i]];
    const uint32_t base = find_base(b, c, order, e->value, n);
    if (!base)
        return put_values(e, b, c, key, e->value, n, err);
    const uint8_t *present = b->present ? b->present[base] : NULL;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = order[i];
        e->other[i] = e->value[i] - (!present || present[row] ? b->lane[base][row] : 0);
    }
    if (kymo_column_bits(e->column, e->other, n) >= kymo_column_bits(e->column, e->value, n))
        return put_values(e, b, c, key, e->value, n, err);
    struct kymo_entry entry = {
        .what = KYMO_STREAM_RELATIVE, .column = c, .key = key, .base_column = base};
    struct kymo_range range;
    kymo_range_of(e->value, n, &range);
    set_zone(b, &entry, &range, n);
    return put_stream(e, b, entry, e->other, n, err);
}

static uint32_t count_present(const uint8_t *present, const uint32_t *order, uint32_t n)
{
    uint32_t m = 0;
    if (!present)
        return n;
    for (uint32_t i = 0; i < n; i++)
        m += present[order[i]];
    return m;
}

static kymo_status put_split(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c,
                             const uint64_t *lane, struct kymo_err *err)
{
    const uint8_t *present = b->present ? b->present[c] : NULL;
    if (present && !memchr(present, 1, b->n_rows))
        return KYMO_OK;
    if (b->n_rows < b->n_keys * SPLIT_ROWS_MIN)
        return put_cells(e, b, c, b->n_keys, lane, e->by_call, b->n_rows, err);
    for (uint32_t k = 0; k < b->n_keys; k++) {
        const uint32_t n = e->key_at[k + 1] - e->key_at[k];
        const uint32_t *order = e->by_call + e->key_at[k];
        const uint32_t m = count_present(present, order, n);
        if (m && m < n)
            KYMO_TRY(put_cells(e, b, c, k, lane, order, n, err));
        else if (m)
            KYMO_TRY(put_key(e, b, c, k, lane, err));
    }
    return KYMO_OK;
}

/* How long each row's task was busy between its row before and this one: time less duration less
 * time before. The first row of a task counts from the chunk's least time. */
static void find_links(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c)
{
    const int dur = kymo_schema_dur(b->schema);
    const uint64_t *took = dur < 0 ? NULL : b->lane[dur];
    const uint8_t *has = dur < 0 || !b->present ? NULL : b->present[dur];
    for (uint32_t t = 0; t < b->n_tasks; t++) {
        uint64_t last = b->ts_min_ns;
        for (uint32_t j = e->task_at[t]; j < e->task_at[t + 1]; j++) {
            const uint32_t i = e->by_task[j];
            const int is_first = j == e->task_at[t];
            const uint64_t busy = !is_first && took && (!has || has[i]) ? took[i] : 0;
            e->other[i] = b->lane[c][i] - busy - last;
            last = b->lane[c][i];
        }
    }
}

static kymo_status put_column(struct kymo_encoder *e, const struct kymo_batch *b, uint32_t c,
                              struct kymo_err *err)
{
    switch (b->schema->column[c].order) {
    case KYMO_ORDER_TASK:
        return put_values(e, b, c, 0, b->lane[c], b->n_tasks, err);
    case KYMO_ORDER_KEY:
        return put_values(e, b, c, 0, b->lane[c], b->n_keys, err);
    case KYMO_ORDER_CALL:
        return put_cells(e, b, c, 0, b->lane[c], e->by_call, b->n_rows, err);
    case KYMO_ORDER_SPLIT:
        return put_split(e, b, c, b->lane[c], err);
    case KYMO_ORDER_CHAIN:
        find_links(e, b, c);
        return put_split(e, b, c, e->other, err);
    default:
        return put_cells(e, b, c, 0, b->lane[c], NULL, b->n_rows, err);
    }
}

/* -------- body -------- */

/* What stands before the entries; the index, where tasks make many rows of a key. */
static void put_head(const struct kymo_encoder *e, const struct kymo_batch *b,
                     struct kymo_buf *out)
{
    struct kymo_toc t = {.n_tasks = b->n_tasks,
                         .n_keys = b->n_keys,
                         .n_strings = b->str.n,
                         .n_entries = e->n_streams,
                         .run = e->run};
    if (b->n_tasks) {
        const uint32_t most = b->n_rows / INDEX_ROWS_MIN;
        const uint32_t n_runs =
            kymo_order_runs(b->task, b->key, e->by_call, b->n_rows, e->run, most);
        t.n_runs = n_runs <= most ? n_runs : 0;
    }
    kymo_toc_put_head(&t, out);
    kymo_buf_put(out, e->toc.p, e->toc.n);
}

static kymo_status put_apart(struct kymo_encoder *e, const struct kymo_buf *toc,
                             struct kymo_buf *body, struct kymo_err *err)
{
    struct kymo_buf stored = {0};
    struct kymo_stream s = {0};
    kymo_status status = kymo_column_encode_bytes(e->column, toc->p, toc->n, &s, &stored, err);
    if (!status) {
        kymo_buf_u8(body, s.is_zstd ? KYMO_BODY_TOC_ZSTD : KYMO_BODY_PLAIN);
        kymo_buf_varint(body, s.encoded_bytes);
        if (s.is_zstd)
            kymo_buf_varint(body, s.stored_bytes);
        kymo_buf_put(body, stored.p, stored.n);
        kymo_buf_put(body, e->streams.p, e->streams.n);
    }
    kymo_buf_release(&stored);
    return status;
}

/* Both in one frame; 0 when that is no shorter. */
static int put_whole(struct kymo_encoder *e, struct kymo_buf *toc, struct kymo_buf *body)
{
    struct kymo_buf stored = {0};
    struct kymo_stream s = {0};
    const size_t toc_bytes = toc->n;
    kymo_buf_put(toc, e->streams.p, e->streams.n);
    kymo_column_encoder_plain(e->column, 0);
    const int is_shorter =
        !toc->failed && toc->n <= KYMO_BODY_WHOLE_BYTES_MAX &&
        !kymo_column_encode_bytes(e->column, toc->p, toc->n, &s, &stored, NULL) && s.is_zstd;
    if (is_shorter) {
        kymo_buf_u8(body, KYMO_BODY_WHOLE_ZSTD);
        kymo_buf_varint(body, toc_bytes);
        kymo_buf_varint(body, toc->n);
        kymo_buf_put(body, stored.p, stored.n);
    }
    toc->n = toc_bytes;
    kymo_buf_release(&stored);
    return is_shorter;
}

static kymo_status put_body(struct kymo_encoder *e, const struct kymo_batch *b,
                            struct kymo_buf *body, struct kymo_err *err)
{
    struct kymo_buf toc = {0};
    put_head(e, b, &toc);
    kymo_status status = KYMO_OK;
    if (toc.failed || e->toc.failed)
        status =
            KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a table of contents");
    else if (!e->is_whole || !put_whole(e, &toc, body))
        status = put_apart(e, &toc, body, err);
    if (!status && body->failed)
        status = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a chunk");
    kymo_buf_release(&toc);
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
    e->is_whole = b->n_rows < WHOLE_ROWS_MAX;
    kymo_column_encoder_plain(e->column, e->is_whole);
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
