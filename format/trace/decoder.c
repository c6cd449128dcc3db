/* SPDX-License-Identifier: Apache-2.0
 * decoder.c: the body of a chunk to rows. Nothing that it says is believed before it is checked:
 * counts against the header and against bytes left, ids against their tables, sums against the
 * body. encoder.c has the picture of the orders.
 */
#include <stdlib.h>
#include <string.h>

#include "format/trace/chunk.h"
#include "format/trace/column.h"

#define SCRATCH_BYTES ((size_t)64 << 20)
#define ENTRY_BYTES_MIN 2u

struct kymo_decoder {
    struct kymo_column_decoder *column;
    struct kymo_arena scratch; /* reset for each stream */
};

/* One stream, as the table of contents has it. */
struct entry {
    struct kymo_stream s;
    enum kymo_stream_what what;
    uint32_t column, key;
    uint64_t rank; /* place in the one right order */
    uint8_t has_zone;
    uint64_t zone_min, zone_range;
    struct kymo_bytes stored;
};

/* A chunk on its way to a batch. */
struct work {
    struct kymo_decoder *d;
    const struct kymo_schema *schema;
    const struct kymo_chunk_header *h;
    struct kymo_arena *arena;
    struct kymo_batch *b;
    struct entry *entry;
    uint32_t n_entries, next;
    uint64_t at_bytes;
    uint32_t *task, *by_call, *key_at; /* key_at[n_keys+1] */
    uint64_t **lane;
    uint8_t **present;
    uint64_t *value; /* [n_rows] a stream before it is put into row order */
};

kymo_status kymo_decoder_open(struct kymo_decoder **out, struct kymo_err *err)
{
    struct kymo_decoder *d = calloc(1, sizeof(*d));
    if (!d)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a decoder");
    const kymo_status s = kymo_column_decoder_open(&d->column, err);
    if (s) {
        free(d);
        return s;
    }
    kymo_arena_init(&d->scratch, SCRATCH_BYTES);
    *out = d;
    return KYMO_OK;
}

void kymo_decoder_close(struct kymo_decoder *d)
{
    if (!d)
        return;
    kymo_column_decoder_close(d->column);
    kymo_arena_release(&d->scratch);
    free(d);
}

struct kymo_arena *kymo_decoder_scratch(struct kymo_decoder *d)
{
    return &d->scratch;
}

static kymo_status over_budget(const struct work *w, const char *what, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, w->at_bytes,
                     "table %s: %s of a chunk of %u rows pass the memory budget",
                     w->schema->table, what, w->h->n_rows);
}

/* -------- table of contents -------- */

static kymo_status take_u32(struct kymo_bytes *in, uint64_t max, const char *what,
                            uint32_t *out, struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    uint64_t v;
    KYMO_TRY(kymo_bytes_varint(in, &v, err));
    if (v > max)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: %s %llu, at most %llu is possible",
                         what, (unsigned long long)v, (unsigned long long)max);
    *out = (uint32_t)v;
    return KYMO_OK;
}

static kymo_status take_zone(struct kymo_bytes *in, struct entry *e, enum kymo_type type,
                             struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    uint64_t min;
    KYMO_TRY(kymo_bytes_varint(in, &min, err));
    KYMO_TRY(kymo_bytes_varint(in, &e->zone_range, err));
    const int is_signed = type == KYMO_T_I64;
    e->zone_min = is_signed ? (uint64_t)kymo_unzigzag(min) : min;
    const uint64_t room = (is_signed ? (uint64_t)INT64_MAX : UINT64_MAX) - e->zone_min;
    if (e->what != KYMO_STREAM_VALUES || (type != KYMO_T_U64 && !is_signed) ||
        e->zone_range > room)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "chunk: least and greatest value of a stream make no sense");
    return KYMO_OK;
}

static kymo_status take_entry(struct work *w, struct kymo_bytes *in, struct entry *e,
                              struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    uint8_t how;
    KYMO_TRY(kymo_bytes_u8(in, &how, err));
    const unsigned what = how & 7u, codec = how >> 3 & 7u;
    if (what >= KYMO_STREAM_WHAT_COUNT || codec >= KYMO_CODEC_COUNT)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: unknown kind of stream 0x%02x", how);
    e->what = (enum kymo_stream_what)what;
    e->s.codec = (enum kymo_codec_id)codec;
    e->s.is_zstd = how >> 6 & 1;
    e->has_zone = how >> 7;
    e->rank = what >= KYMO_STREAM_TASKS ? what - KYMO_STREAM_TASKS : 0;
    enum kymo_type type = KYMO_T_U64;
    if (what < KYMO_STREAM_TASKS) {
        KYMO_TRY(take_u32(in, w->schema->n_columns - 1, "column", &e->column, err));
        const struct kymo_column_def *c = &w->schema->column[e->column];
        type = (enum kymo_type)c->type;
        if (c->order == KYMO_ORDER_SPLIT)
            KYMO_TRY(take_u32(in, w->b->n_keys ? w->b->n_keys - 1 : 0, "key", &e->key, err));
        if (what == KYMO_STREAM_PRESENT && !c->nullable && c->order != KYMO_ORDER_SPLIT)
            return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                             "chunk: column '%s' cannot have null cells", c->name);
        e->rank = 4 + (((uint64_t)e->column * KYMO_CHUNK_KEYS_MAX + e->key) * 2 +
                       (what == KYMO_STREAM_VALUES));
    }
    KYMO_TRY(take_u32(in, UINT32_MAX, "stream bytes", &e->s.encoded_bytes, err));
    e->s.stored_bytes = e->s.encoded_bytes;
    if (e->s.is_zstd)
        KYMO_TRY(take_u32(in, e->s.encoded_bytes, "stored bytes", &e->s.stored_bytes, err));
    return e->has_zone ? take_zone(in, e, type, err) : KYMO_OK;
}

/* Bytes of the table of contents, out of zstd. */
static kymo_status open_toc(struct work *w, struct kymo_bytes *body, struct kymo_bytes *toc,
                            struct kymo_err *err)
{
    const uint64_t at = body->at_bytes;
    uint8_t form;
    struct kymo_stream s = {0};
    KYMO_TRY(kymo_bytes_u8(body, &form, err));
    if (form > 1)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "chunk: unknown form %u of its table of contents", form);
    KYMO_TRY(
        take_u32(body, KYMO_TOC_BYTES_MAX, "table of contents bytes", &s.encoded_bytes, err));
    s.is_zstd = form;
    s.stored_bytes = s.encoded_bytes;
    if (s.is_zstd)
        KYMO_TRY(
            take_u32(body, s.encoded_bytes, "table of contents bytes", &s.stored_bytes, err));
    struct kymo_bytes stored;
    KYMO_TRY(kymo_bytes_take(body, s.stored_bytes, &stored, err));
    return kymo_column_decode_bytes(w->d->column, &s, stored, w->arena, toc, err);
}

static kymo_status take_toc(struct work *w, struct kymo_bytes body, struct kymo_err *err)
{
    const int grouped = kymo_schema_is_grouped(w->schema);
    struct kymo_bytes toc;
    KYMO_TRY(open_toc(w, &body, &toc, err));
    KYMO_TRY(take_u32(&toc, grouped ? KYMO_CHUNK_TASKS_MAX : 0, "number of tasks",
                      &w->b->n_tasks, err));
    KYMO_TRY(take_u32(&toc, grouped ? KYMO_CHUNK_KEYS_MAX : 0, "number of keys", &w->b->n_keys,
                      err));
    if (grouped && (!w->b->n_tasks || !w->b->n_keys))
        return KYMO_FAIL(err, KYMO_ECORRUPT, toc.at_bytes,
                         "chunk: rows without a task or a key");
    KYMO_TRY(take_u32(&toc, KYMO_CHUNK_STRINGS_MAX, "number of strings", &w->b->str.n, err));
    if (!w->b->str.n)
        return KYMO_FAIL(err, KYMO_ECORRUPT, toc.at_bytes, "chunk: not even the empty string");
    KYMO_TRY(
        take_u32(&toc, toc.left / ENTRY_BYTES_MIN, "number of streams", &w->n_entries, err));
    w->entry = KYMO_NEW(w->arena, struct entry, w->n_entries);
    if (!w->entry)
        return over_budget(w, "the streams", err);
    for (uint32_t i = 0; i < w->n_entries; i++) {
        struct entry *e = &w->entry[i];
        const uint64_t at = toc.at_bytes;
        KYMO_TRY(take_entry(w, &toc, e, err));
        if (i && e->rank <= w->entry[i - 1].rank)
            return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                             "chunk: stream %u is twice there or out of order", i);
        KYMO_TRY(kymo_bytes_take(&body, e->s.stored_bytes, &e->stored, err));
    }
    if (toc.left || body.left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, body.at_bytes,
                         "chunk: %zu bytes that no stream owns", toc.left + body.left);
    return KYMO_OK;
}

/* -------- streams -------- */

/* The next entry when it is this one. */
static const struct entry *take_if(struct work *w, enum kymo_stream_what what, uint32_t column,
                                   uint32_t key)
{
    if (w->next == w->n_entries)
        return NULL;
    const struct entry *e = &w->entry[w->next];
    if (e->what != what || e->column != column || e->key != key)
        return NULL;
    w->next++;
    return e;
}

static kymo_status must_take(struct work *w, enum kymo_stream_what what, const char *name,
                             const struct entry **e, struct kymo_err *err)
{
    *e = take_if(w, what, 0, 0);
    if (!*e)
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes, "chunk: the stream of %s is missing",
                         name);
    return KYMO_OK;
}

static kymo_status decode(struct work *w, const struct entry *e, uint64_t *v, size_t n,
                          struct kymo_err *err)
{
    kymo_arena_reset(&w->d->scratch);
    return kymo_column_decode(w->d->column, &e->s, e->stored, v, n, &w->d->scratch, err);
}

static kymo_status refuse_above(const struct entry *e, const uint64_t *v, size_t n,
                                uint64_t count, const char *what, struct kymo_err *err)
{
    uint64_t max = 0;
    for (size_t i = 0; i < n; i++)
        max = v[i] > max ? v[i] : max;
    if (max >= count)
        return KYMO_FAIL(err, KYMO_ECORRUPT, e->stored.at_bytes,
                         "chunk: %s %llu, there are %llu", what, (unsigned long long)max,
                         (unsigned long long)count);
    return KYMO_OK;
}

static kymo_status check_zone(const struct entry *e, const uint64_t *v, size_t n,
                              struct kymo_err *err)
{
    uint64_t least = UINT64_MAX, most = 0;
    if (!e->has_zone)
        return KYMO_OK;
    for (size_t i = 0; i < n; i++) {
        const uint64_t x = v[i] - e->zone_min;
        least = x < least ? x : least;
        most = x > most ? x : most;
    }
    if (least || most != e->zone_range)
        return KYMO_FAIL(err, KYMO_ECORRUPT, e->stored.at_bytes,
                         "chunk: values pass the least or greatest that is said of them");
    return KYMO_OK;
}

/* Values of a column, checked against what their type allows. */
static kymo_status decode_values(struct work *w, const struct entry *e, uint64_t *v, size_t n,
                                 struct kymo_err *err)
{
    KYMO_TRY(decode(w, e, v, n, err));
    if (w->schema->column[e->column].type == KYMO_T_STR)
        return refuse_above(e, v, n, w->b->str.n, "string", err);
    return check_zone(e, v, n, err);
}

static kymo_status take_order(struct work *w, struct kymo_err *err)
{
    const uint32_t n = w->h->n_rows, n_tasks = w->b->n_tasks, n_keys = w->b->n_keys;
    const struct entry *tasks, *keys;
    w->task = KYMO_NEW_RAW(w->arena, uint32_t, n);
    uint16_t *key = KYMO_NEW_RAW(w->arena, uint16_t, n);
    w->by_call = KYMO_NEW_RAW(w->arena, uint32_t, n);
    uint32_t *by_task = KYMO_NEW_RAW(w->arena, uint32_t, n);
    uint32_t *next =
        KYMO_NEW(w->arena, uint32_t, (size_t)(n_tasks > n_keys ? n_tasks : n_keys) + 1);
    w->key_at = KYMO_NEW(w->arena, uint32_t, (size_t)n_keys + 1);
    if (!w->task || !key || !w->by_call || !by_task || !next || !w->key_at)
        return over_budget(w, "the tasks and keys", err);
    KYMO_TRY(must_take(w, KYMO_STREAM_TASKS, "tasks", &tasks, err));
    KYMO_TRY(decode(w, tasks, w->value, n, err));
    KYMO_TRY(refuse_above(tasks, w->value, n, n_tasks, "task", err));
    for (uint32_t i = 0; i < n; i++) {
        w->task[i] = (uint32_t)w->value[i];
        next[w->value[i] + 1]++;
    }
    for (uint32_t t = 0; t < n_tasks; t++)
        next[t + 1] += next[t];
    for (uint32_t i = 0; i < n; i++)
        by_task[next[w->task[i]]++] = i;
    KYMO_TRY(must_take(w, KYMO_STREAM_KEYS, "keys", &keys, err));
    KYMO_TRY(decode(w, keys, w->value, n, err));
    KYMO_TRY(refuse_above(keys, w->value, n, n_keys, "key", err));
    for (uint32_t i = 0; i < n; i++) {
        key[by_task[i]] = (uint16_t)w->value[i];
        w->key_at[w->value[i] + 1]++;
    }
    for (uint32_t k = 0; k < n_keys; k++)
        w->key_at[k + 1] += w->key_at[k];
    memcpy(next, w->key_at, n_keys * sizeof(*next));
    for (uint32_t i = 0; i < n; i++)
        w->by_call[next[w->value[i]]++] = by_task[i];
    w->b->task = w->task;
    w->b->key = key;
    return KYMO_OK;
}

static kymo_status take_strings(struct work *w, struct kymo_err *err)
{
    const uint32_t n = w->b->str.n;
    const struct entry *lengths, *strings;
    uint32_t *at = KYMO_NEW_RAW(w->arena, uint32_t, (size_t)n + 1);
    if (!at)
        return over_budget(w, "the strings", err);
    at[0] = at[1] = 0;
    w->b->str.at = at;
    w->b->str.bytes = "";
    if (n == 1)
        return KYMO_OK;
    KYMO_TRY(must_take(w, KYMO_STREAM_LENGTHS, "string lengths", &lengths, err));
    uint64_t *length =
        n - 1 <= w->h->n_rows ? w->value : KYMO_NEW_RAW(w->arena, uint64_t, n - 1);
    if (!length)
        return over_budget(w, "the strings", err);
    KYMO_TRY(decode(w, lengths, length, n - 1, err));
    KYMO_TRY(must_take(w, KYMO_STREAM_STRINGS, "string bytes", &strings, err));
    const uint32_t total = strings->s.encoded_bytes;
    if (total > KYMO_CHUNK_STR_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ECORRUPT, strings->stored.at_bytes,
                         "chunk: %u bytes of strings, at most %u are allowed", total,
                         KYMO_CHUNK_STR_BYTES_MAX);
    for (uint32_t i = 1; i < n; i++) {
        if (!length[i - 1] || length[i - 1] > total - at[i])
            return KYMO_FAIL(err, KYMO_ECORRUPT, lengths->stored.at_bytes,
                             "chunk: string %u cannot have %llu bytes", i,
                             (unsigned long long)length[i - 1]);
        at[i + 1] = at[i] + (uint32_t)length[i - 1];
    }
    if (at[n] != total)
        return KYMO_FAIL(err, KYMO_ECORRUPT, lengths->stored.at_bytes,
                         "chunk: the strings use %u of %u bytes", at[n], total);
    struct kymo_bytes bytes;
    KYMO_TRY(kymo_column_decode_bytes(w->d->column, &strings->s, strings->stored, w->arena,
                                      &bytes, err));
    w->b->str.bytes = (const char *)bytes.p;
    return KYMO_OK;
}

/* -------- columns -------- */

/* The presence of a column, all null until said otherwise. */
static kymo_status need_present(struct work *w, uint32_t c, struct kymo_err *err)
{
    if (w->present[c])
        return KYMO_OK;
    w->present[c] = KYMO_NEW(w->arena, uint8_t, w->h->n_rows);
    return w->present[c] ? KYMO_OK : over_budget(w, "the null cells", err);
}

static size_t rank_row(const uint32_t *order, size_t i)
{
    return order ? order[i] : i;
}

/* The cells order[0..n) of a column: values alone are all of them, with a presence stream some,
 * without either none. */
static kymo_status take_cells(struct work *w, uint32_t c, uint32_t key, const uint32_t *order,
                              uint32_t n, int want, struct kymo_err *err)
{
    const struct entry *present = take_if(w, KYMO_STREAM_PRESENT, c, key);
    const struct entry *values = take_if(w, KYMO_STREAM_VALUES, c, key);
    const struct kymo_column_def *def = &w->schema->column[c];
    if (!values && (present || !(def->nullable || def->order == KYMO_ORDER_SPLIT)))
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes, "chunk: column '%s' has no values",
                         def->name);
    if (values && !n)
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes,
                         "chunk: column '%s' has values of no row", def->name);
    if (!want || !n)
        return KYMO_OK;
    uint64_t *lane = w->lane[c];
    if (!values)
        return need_present(w, c, err);
    if (!present) {
        if (!order)
            return decode_values(w, values, lane, n, err);
        KYMO_TRY(decode_values(w, values, w->value, n, err));
        for (uint32_t i = 0; i < n; i++)
            lane[order[i]] = w->value[i];
        if (w->present[c])
            for (uint32_t i = 0; i < n; i++)
                w->present[c][order[i]] = 1;
        return KYMO_OK;
    }
    KYMO_TRY(need_present(w, c, err));
    KYMO_TRY(decode(w, present, w->value, n, err));
    KYMO_TRY(refuse_above(present, w->value, n, 2, "presence", err));
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++) {
        w->present[c][rank_row(order, i)] = (uint8_t)w->value[i];
        m += (uint32_t)w->value[i];
    }
    if (!m || m == n)
        return KYMO_FAIL(err, KYMO_ECORRUPT, present->stored.at_bytes,
                         "chunk: column '%s' has a presence stream that says nothing",
                         def->name);
    KYMO_TRY(decode_values(w, values, w->value, m, err));
    for (uint32_t i = 0, j = 0; i < n; i++) {
        const size_t row = rank_row(order, i);
        lane[row] = w->present[c][row] ? w->value[j++] : 0;
    }
    return KYMO_OK;
}

/* A key without a stream is null; the presence is needed as soon as one key is not whole. */
static kymo_status take_split(struct work *w, uint32_t c, int want, struct kymo_err *err)
{
    int whole = 1;
    uint32_t at = w->next;
    for (uint32_t k = 0; k < w->b->n_keys && whole; k++) {
        const uint32_t n = w->key_at[k + 1] - w->key_at[k];
        if (!n)
            continue;
        whole = at < w->n_entries && w->entry[at].what == KYMO_STREAM_VALUES &&
                w->entry[at].column == c && w->entry[at].key == k;
        at++;
    }
    if (want && !whole)
        KYMO_TRY(need_present(w, c, err));
    for (uint32_t k = 0; k < w->b->n_keys; k++)
        KYMO_TRY(take_cells(w, c, k, w->by_call + w->key_at[k], w->key_at[k + 1] - w->key_at[k],
                            want, err));
    return KYMO_OK;
}

static kymo_status take_column(struct work *w, uint32_t c, int want, struct kymo_err *err)
{
    const uint8_t order = w->schema->column[c].order;
    const uint32_t n = order == KYMO_ORDER_TASK  ? w->b->n_tasks
                       : order == KYMO_ORDER_KEY ? w->b->n_keys
                                                 : w->h->n_rows;
    if (want) {
        w->lane[c] = KYMO_NEW(w->arena, uint64_t, n);
        if (!w->lane[c])
            return over_budget(w, "the columns", err);
    }
    if (order == KYMO_ORDER_SPLIT)
        return take_split(w, c, want, err);
    return take_cells(w, c, 0, order == KYMO_ORDER_CALL ? w->by_call : NULL, n, want, err);
}

static kymo_status check_times(const struct work *w, struct kymo_err *err)
{
    const int c = kymo_schema_ts(w->schema);
    if (c >= 0 && w->lane[c]) {
        uint64_t min = UINT64_MAX, max = 0;
        for (uint32_t i = 0; i < w->h->n_rows; i++) {
            min = w->lane[c][i] < min ? w->lane[c][i] : min;
            max = w->lane[c][i] > max ? w->lane[c][i] : max;
        }
        if (min != w->h->ts_min_ns || max != w->h->ts_max_ns)
            return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes,
                             "chunk: its rows are not of the time it says");
    }
    if (c < 0 && (w->h->ts_min_ns || w->h->ts_max_ns))
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes, "chunk: a time range, but no times");
    return KYMO_OK;
}

kymo_status kymo_chunk_decode(struct kymo_decoder *d, const struct kymo_schema *schema,
                              const struct kymo_chunk_header *h, struct kymo_bytes body,
                              const uint8_t *want, struct kymo_arena *arena,
                              struct kymo_batch *out, struct kymo_err *err)
{
    struct kymo_batch b = {
        .schema = schema,
        .n_rows = h->n_rows,
        .ts_min_ns = h->ts_min_ns,
        .ts_max_ns = h->ts_max_ns,
    };
    struct work w = {
        .d = d, .schema = schema, .h = h, .arena = arena, .b = &b, .at_bytes = body.at_bytes};
    w.lane = KYMO_NEW(arena, uint64_t *, schema->n_columns);
    w.present = KYMO_NEW(arena, uint8_t *, schema->n_columns);
    if (!w.lane || !w.present)
        return over_budget(&w, "the columns", err);
    KYMO_TRY(take_toc(&w, body, err));
    const uint32_t most = b.n_tasks > h->n_rows ? b.n_tasks : h->n_rows;
    w.value = KYMO_NEW_RAW(arena, uint64_t, most > b.n_keys ? most : b.n_keys);
    if (!w.value)
        return over_budget(&w, "the columns", err);
    if (kymo_schema_is_grouped(schema))
        KYMO_TRY(take_order(&w, err));
    KYMO_TRY(take_strings(&w, err));
    for (uint32_t c = 0; c < schema->n_columns; c++)
        KYMO_TRY(take_column(&w, c, !want || want[c], err));
    if (w.next != w.n_entries)
        return KYMO_FAIL(err, KYMO_ECORRUPT, body.at_bytes,
                         "chunk: a stream of a column or key without rows");
    KYMO_TRY(check_times(&w, err));
    b.lane = w.lane;
    b.present = w.present;
    *out = b;
    return KYMO_OK;
}
