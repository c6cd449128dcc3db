/* SPDX-License-Identifier: Apache-2.0
 * toc.c: the table of contents, written and read in one place. Nothing that it says is believed
 * before it is checked: counts against the header and against the bytes left, sums against the
 * rows, entries against the schema.
 */
#include "format/trace/toc.h"

#include <string.h>

#define ENTRY_BYTES_MIN 2u
#define RUN_BYTES_MIN 3u

/* Everything that has a column also has what `values` has. */
static int of_column(enum kymo_stream_what what)
{
    return what == KYMO_STREAM_VALUES || what == KYMO_STREAM_PRESENT ||
           what == KYMO_STREAM_RELATIVE;
}

/* -------- writing -------- */

static void put_index(const struct kymo_toc *t, struct kymo_buf *out)
{
    uint32_t key = 0, next_task = 0;
    kymo_buf_varint(out, t->n_runs);
    for (uint32_t i = 0; i < t->n_runs; i++) {
        const struct kymo_run *run = &t->run[i];
        if (run->key != key)
            next_task = 0;
        kymo_buf_varint(out, run->key - key);
        kymo_buf_varint(out, run->task - next_task);
        kymo_buf_varint(out, run->n - 1);
        key = run->key;
        next_task = run->task + 1;
    }
}

void kymo_toc_put_head(const struct kymo_toc *t, struct kymo_buf *out)
{
    kymo_buf_varint(out, t->n_tasks);
    kymo_buf_varint(out, t->n_keys);
    kymo_buf_varint(out, t->n_strings);
    if (t->n_tasks)
        put_index(t, out);
    kymo_buf_varint(out, t->n_entries);
}

void kymo_toc_put_entry(const struct kymo_entry *e, const struct kymo_schema *schema,
                        struct kymo_buf *out)
{
    kymo_buf_u8(out, (uint8_t)((unsigned)e->what | (unsigned)e->s.codec << 3 |
                               (e->s.is_zstd ? 64u : 0) | (e->has_zone ? 128u : 0)));
    if (of_column(e->what)) {
        kymo_buf_varint(out, e->column);
        if (kymo_order_splits(schema->column[e->column].order))
            kymo_buf_varint(out, e->key);
    }
    if (e->what == KYMO_STREAM_RELATIVE)
        kymo_buf_varint(out, e->base_column);
    kymo_buf_varint(out, e->s.encoded_bytes);
    if (e->s.is_zstd)
        kymo_buf_varint(out, e->s.stored_bytes);
    if (!e->has_zone)
        return;
    const int is_signed = schema->column[e->column].type == KYMO_T_I64;
    kymo_buf_varint(out, is_signed ? kymo_zigzag((int64_t)e->zone_min) : e->zone_min);
    kymo_buf_varint(out, e->zone_range);
}

/* -------- reading -------- */

/* A table of contents being read. */
struct take {
    struct kymo_toc *t;
    const struct kymo_schema *schema;
    uint32_t n_rows;
    struct kymo_bytes in, streams;
};

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

/* before: the run before this one, NULL for the first. */
static kymo_status take_run(struct take *w, const struct kymo_run *before, struct kymo_run *run,
                            uint32_t rows_left, struct kymo_err *err)
{
    const uint32_t key = before ? before->key : 0;
    uint32_t gap, task, n;
    KYMO_TRY(take_u32(&w->in, w->t->n_keys - 1 - key, "key of a run", &gap, err));
    const uint32_t from = before && !gap ? before->task + 1 : 0;
    const uint64_t at = w->in.at_bytes;
    if (from >= w->t->n_tasks || !rows_left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: more runs than rows or tasks");
    KYMO_TRY(take_u32(&w->in, w->t->n_tasks - 1 - from, "task of a run", &task, err));
    KYMO_TRY(take_u32(&w->in, rows_left - 1, "rows of a run less 1", &n, err));
    *run = (struct kymo_run){.task = from + task, .key = (uint16_t)(key + gap), .n = n + 1};
    return KYMO_OK;
}

static kymo_status take_index(struct take *w, struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_toc *t = w->t;
    const uint64_t at = w->in.at_bytes;
    const uint64_t most = w->in.left / RUN_BYTES_MIN;
    KYMO_TRY(take_u32(&w->in, most < w->n_rows ? most : w->n_rows, "number of runs", &t->n_runs,
                      err));
    if (!t->n_runs)
        return KYMO_OK;
    struct kymo_run *run = KYMO_NEW(arena, struct kymo_run, t->n_runs);
    if (!run)
        return KYMO_FAIL(err, KYMO_ELIMIT, at, "chunk: %u runs pass the memory budget",
                         t->n_runs);
    uint32_t left = w->n_rows;
    for (uint32_t i = 0; i < t->n_runs; i++) {
        KYMO_TRY(take_run(w, i ? &run[i - 1] : NULL, &run[i], left, err));
        left -= run[i].n;
    }
    t->run = run;
    if (left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: its runs leave out %u rows", left);
    return KYMO_OK;
}

static kymo_status take_head(struct take *w, struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_toc *t = w->t;
    const int grouped = kymo_schema_is_grouped(w->schema);
    KYMO_TRY(take_u32(&w->in, grouped ? KYMO_CHUNK_TASKS_MAX : 0, "number of tasks",
                      &t->n_tasks, err));
    KYMO_TRY(
        take_u32(&w->in, grouped ? KYMO_CHUNK_KEYS_MAX : 0, "number of keys", &t->n_keys, err));
    if (grouped && (!t->n_tasks || !t->n_keys))
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->in.at_bytes,
                         "chunk: rows without a task or a key");
    KYMO_TRY(take_u32(&w->in, KYMO_CHUNK_STRINGS_MAX, "number of strings", &t->n_strings, err));
    if (!t->n_strings)
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->in.at_bytes,
                         "chunk: not even the empty string");
    if (grouped)
        KYMO_TRY(take_index(w, arena, err));
    return take_u32(&w->in, w->in.left / ENTRY_BYTES_MIN, "number of streams", &t->n_entries,
                    err);
}

static kymo_status take_zone(struct take *w, struct kymo_entry *e, struct kymo_err *err)
{
    const uint64_t at = w->in.at_bytes;
    uint64_t min;
    KYMO_TRY(kymo_bytes_varint(&w->in, &min, err));
    KYMO_TRY(kymo_bytes_varint(&w->in, &e->zone_range, err));
    const int has_values = e->what == KYMO_STREAM_VALUES || e->what == KYMO_STREAM_RELATIVE;
    const struct kymo_column_def *c = has_values ? &w->schema->column[e->column] : NULL;
    const int is_signed = c && c->type == KYMO_T_I64;
    e->zone_min = is_signed ? (uint64_t)kymo_unzigzag(min) : min;
    const uint64_t room = (is_signed ? (uint64_t)INT64_MAX : UINT64_MAX) - e->zone_min;
    if (!c || (c->type != KYMO_T_U64 && !is_signed) || c->order == KYMO_ORDER_CHAIN ||
        e->zone_range > room)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "chunk: least and greatest value of a stream make no sense");
    return KYMO_OK;
}

/* A column whose values are whole numbers, and whose rows are those of another. */
static int may_be_base(const struct kymo_column_def *c)
{
    return c->order == KYMO_ORDER_SPLIT && (c->type == KYMO_T_U64 || c->type == KYMO_T_I64);
}

static kymo_status take_column(struct take *w, struct kymo_entry *e, struct kymo_err *err)
{
    const uint64_t at = w->in.at_bytes;
    const uint32_t last = w->schema->n_columns - 1;
    KYMO_TRY(take_u32(&w->in, last, "column", &e->column, err));
    const struct kymo_column_def *c = &w->schema->column[e->column];
    if (kymo_order_splits(c->order))
        KYMO_TRY(take_u32(&w->in, w->t->n_keys, "key", &e->key, err));
    if (e->what == KYMO_STREAM_PRESENT && !c->nullable && c->order != KYMO_ORDER_SPLIT)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: column '%s' cannot have null cells",
                         c->name);
    if (e->what != KYMO_STREAM_RELATIVE)
        return KYMO_OK;
    const uint64_t base_at = w->in.at_bytes;
    KYMO_TRY(take_u32(&w->in, last, "base column", &e->base_column, err));
    if (e->base_column <= e->column || !may_be_base(c) ||
        !may_be_base(&w->schema->column[e->base_column]))
        return KYMO_FAIL(err, KYMO_ECORRUPT, base_at,
                         "chunk: column '%s' cannot be relative to column %u", c->name,
                         e->base_column);
    return KYMO_OK;
}

static kymo_status take_entry(struct take *w, struct kymo_entry *e, struct kymo_err *err)
{
    const uint64_t at = w->in.at_bytes;
    uint8_t how;
    KYMO_TRY(kymo_bytes_u8(&w->in, &how, err));
    const unsigned what = how & 7u, codec = how >> 3 & 7u;
    if (what >= KYMO_STREAM_WHAT_COUNT || codec >= KYMO_CODEC_COUNT)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: unknown kind of stream 0x%02x", how);
    e->what = (enum kymo_stream_what)what;
    e->s.codec = (enum kymo_codec_id)codec;
    e->s.is_zstd = how >> 6 & 1;
    e->has_zone = how >> 7;
    if (e->what == KYMO_STREAM_STRINGS && codec)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: strings in codec %u, they have none",
                         codec);
    if (of_column(e->what))
        KYMO_TRY(take_column(w, e, err));
    KYMO_TRY(take_u32(&w->in, UINT32_MAX, "stream bytes", &e->s.encoded_bytes, err));
    e->s.stored_bytes = e->s.encoded_bytes;
    if (e->s.is_zstd)
        KYMO_TRY(take_u32(&w->in, e->s.encoded_bytes, "stored bytes", &e->s.stored_bytes, err));
    if (e->has_zone)
        KYMO_TRY(take_zone(w, e, err));
    return kymo_bytes_take(&w->streams, e->s.stored_bytes, &e->stored, err);
}

/* The place of an entry in the one right order; two of one place cannot be. */
static uint64_t rank(const struct kymo_entry *e)
{
    if (!of_column(e->what))
        return (uint64_t)e->what;
    return ((uint64_t)(e->column + 1) * (KYMO_CHUNK_KEYS_MAX + 1) + e->key) * 16 +
           (e->what == KYMO_STREAM_PRESENT ? 8 : 9);
}

/* Of one column and, where it is stored so, of one key. */
static int are_of_one(const struct kymo_entry *a, const struct kymo_entry *b)
{
    return of_column(a->what) && of_column(b->what) && a->column == b->column &&
           a->key == b->key;
}

static kymo_status no_values(const struct take *w, const struct kymo_entry *present,
                             struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ECORRUPT, present->stored.at_bytes,
                     "chunk: column '%s' has a presence stream and no values",
                     w->schema->column[present->column].name);
}

/* Between two entries that follow each other: presence has values behind it, and a column is
 * stored key by key or all at once, not both. */
static kymo_status check_pair(const struct take *w, const struct kymo_entry *a,
                              const struct kymo_entry *b, uint64_t at, struct kymo_err *err)
{
    if (rank(b) <= rank(a))
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "chunk: a stream is twice there or out of order");
    if (a->what == KYMO_STREAM_PRESENT && !are_of_one(a, b))
        return no_values(w, a, err);
    if (of_column(a->what) && b->column == a->column && a->key != b->key &&
        b->key == w->t->n_keys)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "chunk: column '%s' is stored by key and as a whole",
                         w->schema->column[a->column].name);
    return KYMO_OK;
}

static kymo_status take_entries(struct take *w, struct kymo_err *err)
{
    struct kymo_toc *t = w->t;
    for (uint32_t i = 0; i < t->n_entries; i++) {
        const uint64_t at = w->in.at_bytes;
        KYMO_TRY(take_entry(w, &t->entry[i], err));
        if (i)
            KYMO_TRY(check_pair(w, &t->entry[i - 1], &t->entry[i], at, err));
    }
    if (t->n_entries && t->entry[t->n_entries - 1].what == KYMO_STREAM_PRESENT)
        return no_values(w, &t->entry[t->n_entries - 1], err);
    if (w->in.left || w->streams.left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->streams.at_bytes,
                         "chunk: %zu bytes that no stream owns", w->in.left + w->streams.left);
    return KYMO_OK;
}

static void find_firsts(struct kymo_toc *t, uint32_t n_columns)
{
    uint32_t i = 0;
    while (i < t->n_entries && !of_column(t->entry[i].what))
        i++;
    for (uint32_t c = 0; c <= n_columns; c++) {
        while (i < t->n_entries && t->entry[i].column < c)
            i++;
        t->first[c] = i;
    }
}

/* What is of no use must not be there, and a column that may not be null must. */
static kymo_status check_streams(const struct take *w, struct kymo_err *err)
{
    for (uint32_t i = 0; i < w->t->first[0]; i++) {
        const enum kymo_stream_what what = w->t->entry[i].what;
        const int of_strings = what == KYMO_STREAM_LENGTHS || what == KYMO_STREAM_STRINGS;
        if (of_strings ? w->t->n_strings == 1 : !w->t->n_tasks)
            return KYMO_FAIL(err, KYMO_ECORRUPT, w->t->entry[i].stored.at_bytes,
                             "chunk: a stream of %s, which it has not",
                             of_strings ? "strings" : "tasks or keys");
    }
    for (uint32_t c = 0; c < w->schema->n_columns; c++) {
        const struct kymo_column_def *def = &w->schema->column[c];
        if (!def->nullable && def->order != KYMO_ORDER_SPLIT &&
            w->t->first[c] == w->t->first[c + 1])
            return KYMO_FAIL(err, KYMO_ECORRUPT, w->in.at_bytes,
                             "chunk: column '%s' has no values", def->name);
    }
    return KYMO_OK;
}

kymo_status kymo_toc_take(struct kymo_toc *out, const struct kymo_schema *schema,
                          uint32_t n_rows, struct kymo_bytes toc, struct kymo_bytes streams,
                          struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_toc t = {0};
    struct take w = {
        .t = &t, .schema = schema, .n_rows = n_rows, .in = toc, .streams = streams};
    KYMO_TRY(take_head(&w, arena, err));
    t.entry = KYMO_NEW(arena, struct kymo_entry, t.n_entries);
    t.first = KYMO_NEW(arena, uint32_t, (size_t)schema->n_columns + 1);
    if (!t.entry || !t.first)
        return KYMO_FAIL(err, KYMO_ELIMIT, toc.at_bytes,
                         "chunk: %u streams pass the memory budget", t.n_entries);
    KYMO_TRY(take_entries(&w, err));
    find_firsts(&t, schema->n_columns);
    KYMO_TRY(check_streams(&w, err));
    *out = t;
    return KYMO_OK;
}
