/* SPDX-License-Identifier: Apache-2.0
 * decoder.c: the body of a chunk to rows. Columns are decoded when they are asked for; nothing
 * that the body says is believed before it is checked: ids against their tables, sums against
 * what they are of. order.h has the picture of the orders.
 */
#include <stdlib.h>
#include <string.h>

#include "format/trace/chunk.h"
#include "format/trace/column.h"
#include "format/trace/order.h"
#include "format/trace/toc.h"

#define SCRATCH_BYTES ((size_t)64 << 20)

/* The chunk at hand. */
struct work {
    const struct kymo_schema *schema;
    const struct kymo_chunk_header *h;
    struct kymo_arena *arena;
    struct kymo_batch *b;
    struct kymo_toc toc;
    uint64_t at_bytes;
    int in_call_order;
    int is_checked; /* all columns were asked for: what is said of them is held against them */
    int ts, dur;    /* columns of these names, or -1 */
    uint32_t *task; /* [n_rows] in row order */
    uint16_t *key;  /* [n_rows] in row order */
    uint32_t *by_call, *key_at, *task_now; /* [n_rows], [n_keys+1], [n_tasks+1] */
    struct kymo_run *run;
    uint32_t n_runs;
    uint64_t **lane;
    uint8_t **present;
    uint8_t *done; /* [n_columns] */
    struct kymo_zone *zone;
    uint64_t *value;   /* [most] a stream before it is put into its place */
    uint64_t *nothing; /* [n_rows] zeros, the lane of columns that are all null */
};

struct kymo_decoder {
    struct kymo_column_decoder *column;
    struct kymo_arena scratch; /* reset for each stream */
    int call_order;
    struct work w;
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

void kymo_decoder_call_order(struct kymo_decoder *d, int on)
{
    d->call_order = on;
}

const struct kymo_toc *kymo_decoder_toc(const struct kymo_decoder *d)
{
    return &d->w.toc;
}

static kymo_status over_budget(const struct work *w, const char *what, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, w->at_bytes,
                     "table %s: %s of a chunk of %u rows pass the memory budget",
                     w->schema->table, what, w->h->n_rows);
}

/* -------- body -------- */

static kymo_status take_bytes(struct kymo_bytes *in, uint64_t max, uint32_t *n,
                              struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    uint64_t v;
    KYMO_TRY(kymo_bytes_varint(in, &v, err));
    if (v > max)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: %llu bytes where at most %llu may be",
                         (unsigned long long)v, (unsigned long long)max);
    *n = (uint32_t)v;
    return KYMO_OK;
}

/* Table of contents and streams, out of zstd where they are in it. */
static kymo_status open_body(struct kymo_decoder *d, struct kymo_bytes body,
                             struct kymo_bytes *toc, struct kymo_bytes *streams,
                             struct kymo_err *err)
{
    struct work *w = &d->w;
    const uint64_t at = body.at_bytes;
    uint8_t form;
    struct kymo_stream s = {0};
    KYMO_TRY(kymo_bytes_u8(&body, &form, err));
    if (form > KYMO_BODY_WHOLE_ZSTD)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "chunk: a body of unknown form %u", form);
    uint32_t toc_bytes;
    KYMO_TRY(take_bytes(&body, KYMO_TOC_BYTES_MAX, &toc_bytes, err));
    s.encoded_bytes = s.stored_bytes = toc_bytes;
    s.is_zstd = form != KYMO_BODY_PLAIN;
    if (form == KYMO_BODY_TOC_ZSTD)
        KYMO_TRY(take_bytes(&body, toc_bytes, &s.stored_bytes, err));
    if (form == KYMO_BODY_WHOLE_ZSTD) {
        KYMO_TRY(take_bytes(&body, KYMO_BODY_WHOLE_BYTES_MAX, &s.encoded_bytes, err));
        s.stored_bytes = (uint32_t)body.left;
        if (s.encoded_bytes < toc_bytes)
            return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                             "chunk: a body shorter than its table of contents");
    }
    struct kymo_bytes stored;
    KYMO_TRY(kymo_bytes_take(&body, s.stored_bytes, &stored, err));
    KYMO_TRY(kymo_column_decode_bytes(d->column, &s, stored, w->arena, toc, err));
    *streams = body;
    if (form == KYMO_BODY_WHOLE_ZSTD) {
        struct kymo_bytes whole = *toc;
        KYMO_TRY(kymo_bytes_take(&whole, toc_bytes, toc, err));
        *streams = whole;
    }
    return KYMO_OK;
}

/* -------- streams -------- */

static kymo_status decode(struct kymo_decoder *d, const struct kymo_entry *e, uint64_t *v,
                          size_t n, struct kymo_err *err)
{
    kymo_arena_reset(&d->scratch);
    return kymo_column_decode(d->column, &e->s, e->stored, v, n, &d->scratch, err);
}

static kymo_status refuse_above(const struct kymo_entry *e, const uint64_t *v, size_t n,
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

static kymo_status check_zone(const struct kymo_entry *e, const uint64_t *v, size_t n,
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

/* One of the chunk's own streams, which stand before the columns'. */
static kymo_status own_stream(const struct work *w, enum kymo_stream_what what,
                              const char *name, const struct kymo_entry **out,
                              struct kymo_err *err)
{
    for (uint32_t i = 0; i < w->toc.first[0]; i++)
        if (w->toc.entry[i].what == what) {
            *out = &w->toc.entry[i];
            return KYMO_OK;
        }
    return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes, "chunk: the stream of %s is missing",
                     name);
}

/* -------- order -------- */

/* Is what the index says what the rows are? Rows in call order rise by key and task, so that a run is
 * right when its first and its last row are. */
static kymo_status check_index(struct work *w, struct kymo_err *err)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < w->toc.n_runs; i++) {
        const struct kymo_run *run = &w->toc.run[i];
        const uint32_t first = w->by_call[at], last = w->by_call[at + run->n - 1];
        if (w->task[first] != run->task || w->key[first] != run->key ||
            w->task[last] != run->task || w->key[last] != run->key)
            return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes,
                             "chunk: its index is not that of its rows");
        at += run->n; /* they add up to n_rows */
    }
    return KYMO_OK;
}

/* Task and key of each row, in row order, and the way there from call order. */
static kymo_status take_order(struct kymo_decoder *d, struct kymo_err *err)
{
    struct work *w = &d->w;
    const uint32_t n = w->h->n_rows;
    const struct kymo_entry *tasks, *keys;
    if (w->by_call)
        return KYMO_OK;
    uint32_t *task = KYMO_NEW_RAW(w->arena, uint32_t, n);
    uint16_t *key = KYMO_NEW_RAW(w->arena, uint16_t, n);
    uint32_t *by_call = KYMO_NEW_RAW(w->arena, uint32_t, n);
    uint32_t *by_task = KYMO_NEW_RAW(w->arena, uint32_t, n);
    w->task_now = KYMO_NEW_RAW(w->arena, uint32_t, (size_t)w->toc.n_tasks + 1);
    w->key_at = KYMO_NEW_RAW(w->arena, uint32_t, (size_t)w->toc.n_keys + 1);
    if (!task || !key || !by_call || !by_task || !w->task_now || !w->key_at)
        return over_budget(w, "the tasks and keys", err);
    KYMO_TRY(own_stream(w, KYMO_STREAM_TASKS, "tasks", &tasks, err));
    KYMO_TRY(decode(d, tasks, w->value, n, err));
    KYMO_TRY(refuse_above(tasks, w->value, n, w->toc.n_tasks, "task", err));
    for (uint32_t i = 0; i < n; i++)
        task[i] = (uint32_t)w->value[i];
    kymo_order_by_task(task, n, w->toc.n_tasks, w->task_now, by_task);
    KYMO_TRY(own_stream(w, KYMO_STREAM_KEYS, "keys", &keys, err));
    KYMO_TRY(decode(d, keys, w->value, n, err));
    KYMO_TRY(refuse_above(keys, w->value, n, w->toc.n_keys, "key", err));
    for (uint32_t i = 0; i < n; i++)
        key[by_task[i]] = (uint16_t)w->value[i];
    kymo_order_by_call(key, by_task, n, w->toc.n_keys, w->key_at, by_call);
    w->task = task;
    w->key = key;
    w->by_call = by_call;
    return w->in_call_order ? check_index(w, err) : KYMO_OK;
}

/* The runs, from the index where there is one. */
static kymo_status take_runs(struct kymo_decoder *d, struct kymo_err *err)
{
    struct work *w = &d->w;
    w->run = w->toc.run;
    w->n_runs = w->toc.n_runs;
    if (w->n_runs)
        return KYMO_OK;
    KYMO_TRY(take_order(d, err));
    w->run = KYMO_NEW_RAW(w->arena, struct kymo_run, w->h->n_rows);
    if (!w->run)
        return over_budget(w, "the runs", err);
    w->n_runs =
        kymo_order_runs(w->task, w->key, w->by_call, w->h->n_rows, w->run, w->h->n_rows);
    return KYMO_OK;
}

/* Task and key of each row in call order, and where each key begins. */
static kymo_status spread_runs(struct work *w, struct kymo_err *err)
{
    const uint32_t n = w->h->n_rows;
    uint32_t *task = KYMO_NEW_RAW(w->arena, uint32_t, n);
    uint16_t *key = KYMO_NEW_RAW(w->arena, uint16_t, n);
    if (!w->key_at)
        w->key_at = KYMO_NEW_RAW(w->arena, uint32_t, (size_t)w->toc.n_keys + 1);
    if (!task || !key || !w->key_at)
        return over_budget(w, "the tasks and keys", err);
    uint32_t row = 0, next_key = 0;
    for (uint32_t i = 0; i < w->n_runs; i++) {
        const struct kymo_run *run = &w->run[i];
        while (next_key <= run->key)
            w->key_at[next_key++] = row;
        for (const uint32_t end = row + run->n; row < end; row++) {
            task[row] = run->task;
            key[row] = run->key;
        }
    }
    while (next_key <= w->toc.n_keys)
        w->key_at[next_key++] = row;
    w->b->task = task;
    w->b->key = key;
    w->b->run = w->run;
    w->b->n_runs = w->n_runs;
    return KYMO_OK;
}

static kymo_status open_order(struct kymo_decoder *d, struct kymo_err *err)
{
    struct work *w = &d->w;
    if (w->in_call_order) {
        KYMO_TRY(take_runs(d, err));
        return spread_runs(w, err);
    }
    KYMO_TRY(take_order(d, err));
    w->b->task = w->task;
    w->b->key = w->key;
    return KYMO_OK;
}

/* -------- strings -------- */

static kymo_status take_strings(struct kymo_decoder *d, struct kymo_err *err)
{
    struct work *w = &d->w;
    const uint32_t n = w->toc.n_strings;
    const struct kymo_entry *lengths, *strings;
    if (w->b->str.at)
        return KYMO_OK;
    uint32_t *at = KYMO_NEW_RAW(w->arena, uint32_t, (size_t)n + 1);
    if (!at)
        return over_budget(w, "the strings", err);
    at[0] = at[1] = 0;
    w->b->str.bytes = "";
    if (n > 1) {
        KYMO_TRY(own_stream(w, KYMO_STREAM_LENGTHS, "string lengths", &lengths, err));
        KYMO_TRY(own_stream(w, KYMO_STREAM_STRINGS, "string bytes", &strings, err));
        uint64_t *length =
            n - 1 <= w->h->n_rows ? w->value : KYMO_NEW_RAW(w->arena, uint64_t, n - 1);
        if (!length)
            return over_budget(w, "the strings", err);
        KYMO_TRY(decode(d, lengths, length, n - 1, err));
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
        KYMO_TRY(kymo_column_decode_bytes(d->column, &strings->s, strings->stored, w->arena,
                                          &bytes, err));
        w->b->str.bytes = (const char *)bytes.p;
    }
    w->b->str.at = at;
    return KYMO_OK;
}

/* -------- columns -------- */

/* Where some cells of a column go: the rows order[0..n), or from..from+n when order is NULL. */
struct cells {
    uint32_t column;
    const uint32_t *order;
    uint32_t from, n;
};

/* The presence of a column, all null until said otherwise. */
static kymo_status need_present(struct work *w, uint32_t c, struct kymo_err *err)
{
    if (w->present[c])
        return KYMO_OK;
    w->present[c] = KYMO_NEW(w->arena, uint8_t, w->h->n_rows);
    return w->present[c] ? KYMO_OK : over_budget(w, "the null cells", err);
}

/* m values of an entry, whole: relative ones have their base added, and what their type allows is
 * held against them. base[m] is what they are relative to. */
static kymo_status take_values(struct kymo_decoder *d, const struct kymo_entry *e, uint64_t *v,
                               const uint64_t *base, size_t m, struct kymo_err *err)
{
    const struct work *w = &d->w;
    KYMO_TRY(decode(d, e, v, m, err));
    if (base)
        for (size_t i = 0; i < m; i++)
            v[i] += base[i];
    if (w->schema->column[e->column].type == KYMO_T_STR)
        return refuse_above(e, v, m, w->toc.n_strings, "string", err);
    return w->is_checked ? check_zone(e, v, m, err) : KYMO_OK;
}

/* What the present ones of these cells hold in the base column; 0 where that is null. */
static const uint64_t *gather_base(struct kymo_decoder *d, const struct kymo_entry *e,
                                   const struct cells *at, size_t m, struct kymo_err *err)
{
    struct work *w = &d->w;
    uint64_t *base = KYMO_NEW_RAW(w->arena, uint64_t, m);
    if (!base) {
        (void)over_budget(w, "the columns", err);
        return NULL;
    }
    const uint64_t *lane = w->lane[e->base_column];
    const uint8_t *has = w->present[e->base_column], *present = w->present[at->column];
    size_t j = 0;
    for (uint32_t i = 0; i < at->n && j < m; i++) {
        const uint32_t row = at->order ? at->order[i] : at->from + i;
        if (m == at->n || present[row])
            base[j++] = !has || has[row] ? lane[row] : 0;
    }
    return base;
}

/* All of these cells have a value. */
static kymo_status put_whole(struct kymo_decoder *d, const struct kymo_entry *e,
                             const struct cells *at, struct kymo_err *err)
{
    struct work *w = &d->w;
    const uint32_t n = at->n;
    uint64_t *lane = w->lane[at->column];
    uint64_t *v = at->order ? w->value : lane + at->from;
    const uint64_t *base = NULL;
    if (e->what == KYMO_STREAM_RELATIVE && !(base = gather_base(d, e, at, n, err)))
        return KYMO_ELIMIT;
    KYMO_TRY(take_values(d, e, v, base, n, err));
    uint8_t *present = w->present[at->column];
    if (!at->order) {
        if (present)
            memset(present + at->from, 1, n);
        return KYMO_OK;
    }
    for (uint32_t i = 0; i < n; i++)
        lane[at->order[i]] = v[i];
    if (present)
        for (uint32_t i = 0; i < n; i++)
            present[at->order[i]] = 1;
    return KYMO_OK;
}

/* Some of them have one. */
static kymo_status put_some(struct kymo_decoder *d, const struct kymo_entry *present,
                            const struct kymo_entry *values, const struct cells *at,
                            struct kymo_err *err)
{
    struct work *w = &d->w;
    uint64_t *lane = w->lane[at->column];
    KYMO_TRY(need_present(w, at->column, err));
    uint8_t *has = w->present[at->column];
    KYMO_TRY(decode(d, present, w->value, at->n, err));
    KYMO_TRY(refuse_above(present, w->value, at->n, 2, "presence", err));
    uint32_t m = 0;
    for (uint32_t i = 0; i < at->n; i++) {
        has[at->order ? at->order[i] : at->from + i] = (uint8_t)w->value[i];
        m += (uint32_t)w->value[i];
    }
    if (!m || m == at->n)
        return KYMO_FAIL(err, KYMO_ECORRUPT, present->stored.at_bytes,
                         "chunk: column '%s' has a presence stream that says nothing",
                         w->schema->column[at->column].name);
    const uint64_t *base = NULL;
    if (values->what == KYMO_STREAM_RELATIVE && !(base = gather_base(d, values, at, m, err)))
        return KYMO_ELIMIT;
    KYMO_TRY(take_values(d, values, w->value, base, m, err));
    for (uint32_t i = 0, j = 0; i < at->n; i++) {
        const uint32_t row = at->order ? at->order[i] : at->from + i;
        lane[row] = has[row] ? w->value[j++] : 0;
    }
    return KYMO_OK;
}

static kymo_status put_cells(struct kymo_decoder *d, const struct kymo_entry *present,
                             const struct kymo_entry *values, const struct cells *at,
                             struct kymo_err *err)
{
    const struct work *w = &d->w;
    if (!at->n)
        return KYMO_FAIL(err, KYMO_ECORRUPT, values->stored.at_bytes,
                         "chunk: column '%s' has values of no row",
                         w->schema->column[at->column].name);
    return present ? put_some(d, present, values, at, err) : put_whole(d, values, at, err);
}

static kymo_status decode_column(struct kymo_decoder *d, uint32_t c, struct kymo_err *err);

/* What the column's streams are relative to. It lies behind this one, so this ends. */
static kymo_status decode_bases(struct kymo_decoder *d, uint32_t c, struct kymo_err *err)
{
    const struct kymo_toc *t = &d->w.toc;
    for (uint32_t i = t->first[c]; i < t->first[c + 1]; i++)
        if (t->entry[i].what == KYMO_STREAM_RELATIVE)
            KYMO_TRY(decode_column(d, t->entry[i].base_column, err));
    return KYMO_OK;
}

/* Do the streams of column c give every row a value? */
static int is_whole(const struct work *w, uint32_t c)
{
    const struct kymo_toc *t = &w->toc;
    uint32_t rows = 0;
    for (uint32_t i = t->first[c]; i < t->first[c + 1]; i++) {
        const struct kymo_entry *e = &t->entry[i];
        if (e->what == KYMO_STREAM_PRESENT)
            return 0;
        if (e->key == t->n_keys || !kymo_order_splits(w->schema->column[c].order))
            return 1;
        rows += w->key_at[e->key + 1] - w->key_at[e->key];
    }
    return rows == w->h->n_rows;
}

/* The streams of a column, key by key where it is stored so. */
static kymo_status take_streams(struct kymo_decoder *d, uint32_t c, uint32_t n,
                                const uint32_t *order, struct kymo_err *err)
{
    struct work *w = &d->w;
    const struct kymo_toc *t = &w->toc;
    const int splits = kymo_order_splits(w->schema->column[c].order);
    for (uint32_t i = t->first[c]; i < t->first[c + 1]; i++) {
        const struct kymo_entry *present =
            t->entry[i].what == KYMO_STREAM_PRESENT ? &t->entry[i++] : NULL;
        const struct kymo_entry *values = &t->entry[i]; /* behind presence there are values */
        struct cells at = {.column = c, .order = order, .n = n};
        if (splits && values->key < t->n_keys) {
            at.from = w->key_at[values->key];
            at.n = w->key_at[values->key + 1] - at.from;
            at.order = order ? order + at.from : NULL;
        }
        KYMO_TRY(put_cells(d, present, values, &at, err));
    }
    return KYMO_OK;
}

/* Of the links to times, in row order: each goes on from its task's row before. */
static kymo_status follow_chain(struct kymo_decoder *d, uint32_t c, struct kymo_err *err)
{
    struct work *w = &d->w;
    const uint32_t n = w->h->n_rows;
    const int dur = w->dur;
    uint64_t *last = KYMO_NEW_RAW(w->arena, uint64_t, w->toc.n_tasks);
    uint8_t *seen = KYMO_NEW(w->arena, uint8_t, w->toc.n_tasks);
    if (!last || !seen)
        return over_budget(w, "the columns", err);
    uint64_t *lane = w->lane[c];
    const uint64_t *took = dur < 0 ? NULL : w->lane[dur];
    const uint8_t *has = dur < 0 ? NULL : w->present[dur];
    /* In call order the times are worked out at their rows all the same. */
    const uint32_t *place = NULL;
    if (w->in_call_order) {
        uint32_t *at = KYMO_NEW_RAW(w->arena, uint32_t, n);
        if (!at)
            return over_budget(w, "the columns", err);
        for (uint32_t i = 0; i < n; i++)
            at[w->by_call[i]] = i;
        place = at;
    }
    for (uint32_t t = 0; t < w->toc.n_tasks; t++)
        last[t] = w->h->ts_min_ns;
    for (uint32_t row = 0; row < n; row++) {
        const uint32_t i = place ? place[row] : row;
        const uint32_t t = w->task[row];
        const uint64_t busy = seen[t] && took && (!has || has[i]) ? took[i] : 0;
        seen[t] = 1;
        last[t] += lane[i] + busy;
        lane[i] = last[t];
    }
    return KYMO_OK;
}

/* A column in row order, taken over into call order. */
static kymo_status turn_to_calls(struct work *w, uint32_t c, struct kymo_err *err)
{
    const uint32_t n = w->h->n_rows;
    uint64_t *lane = KYMO_NEW_RAW(w->arena, uint64_t, n);
    uint8_t *present = w->present[c] ? KYMO_NEW_RAW(w->arena, uint8_t, n) : NULL;
    if (!lane || (w->present[c] && !present))
        return over_budget(w, "the columns", err);
    for (uint32_t i = 0; i < n; i++)
        lane[i] = w->lane[c][w->by_call[i]];
    for (uint32_t i = 0; present && i < n; i++)
        present[i] = w->present[c][w->by_call[i]];
    w->lane[c] = lane;
    if (present)
        w->present[c] = present;
    return KYMO_OK;
}

static kymo_status check_times(const struct work *w, uint32_t c, struct kymo_err *err)
{
    uint64_t min = UINT64_MAX, max = 0;
    for (uint32_t i = 0; i < w->h->n_rows; i++) {
        min = w->lane[c][i] < min ? w->lane[c][i] : min;
        max = w->lane[c][i] > max ? w->lane[c][i] : max;
    }
    if (min != w->h->ts_min_ns || max != w->h->ts_max_ns)
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes,
                         "chunk: its rows are not of the time it says");
    return KYMO_OK;
}

static kymo_status all_null(struct work *w, uint32_t c, uint32_t n, struct kymo_err *err)
{
    if (!w->nothing)
        w->nothing = KYMO_NEW(w->arena, uint64_t, n);
    if (!w->nothing)
        return over_budget(w, "the columns", err);
    w->lane[c] = w->nothing;
    return need_present(w, c, err);
}

static kymo_status decode_column(struct kymo_decoder *d, uint32_t c, struct kymo_err *err)
{
    struct work *w = &d->w;
    const struct kymo_column_def *def = &w->schema->column[c];
    const uint8_t order = def->order;
    const uint32_t n = order == KYMO_ORDER_TASK  ? w->toc.n_tasks
                       : order == KYMO_ORDER_KEY ? w->toc.n_keys
                                                 : w->h->n_rows;
    if (w->done[c])
        return KYMO_OK;
    w->done[c] = 1;
    if (def->type == KYMO_T_STR)
        KYMO_TRY(take_strings(d, err));
    if (w->toc.first[c] == w->toc.first[c + 1])
        return all_null(w, c, n, err);
    KYMO_TRY(decode_bases(d, c, err));
    if (order == KYMO_ORDER_CHAIN) {
        KYMO_TRY(take_order(d, err));
        if (w->dur >= 0)
            KYMO_TRY(decode_column(d, (uint32_t)w->dur, err));
    }
    if (order == KYMO_ORDER_ROW && w->in_call_order)
        KYMO_TRY(take_order(d, err));
    w->lane[c] = KYMO_NEW_RAW(w->arena, uint64_t, n);
    if (!w->lane[c])
        return over_budget(w, "the columns", err);
    const int of_calls = order == KYMO_ORDER_CALL || kymo_order_splits(order);
    if (of_calls && !is_whole(w, c)) {
        memset(w->lane[c], 0, n * sizeof(uint64_t));
        KYMO_TRY(need_present(w, c, err));
    }
    KYMO_TRY(take_streams(d, c, n, of_calls && !w->in_call_order ? w->by_call : NULL, err));
    if (order == KYMO_ORDER_CHAIN) {
        if (!is_whole(w, c))
            return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes,
                             "chunk: column '%s' has null cells", def->name);
        KYMO_TRY(follow_chain(d, c, err));
    }
    if (order == KYMO_ORDER_ROW && w->in_call_order)
        KYMO_TRY(turn_to_calls(w, c, err));
    return (int)c == w->ts ? check_times(w, c, err) : KYMO_OK;
}

/* -------- zones -------- */

/* A stream of one value says its extremes by being what it is: planes of no width. */
static int constant(const struct kymo_entry *e, uint64_t *v)
{
    struct kymo_bytes in = e->stored;
    uint8_t width = 1;
    uint64_t base;
    if (e->s.codec != KYMO_CODEC_PLANES || e->s.is_zstd || kymo_bytes_u8(&in, &width, NULL) ||
        width || kymo_bytes_varint(&in, &base, NULL))
        return 0;
    *v = (uint64_t)kymo_unzigzag(base);
    return 1;
}

static void widen(struct kymo_zone *z, enum kymo_type type, uint64_t min, uint64_t max)
{
    const int is_signed = type == KYMO_T_I64;
    if (is_signed ? (int64_t)min < (int64_t)z->min : min < z->min)
        z->min = min;
    if (is_signed ? (int64_t)max > (int64_t)z->max : max > z->max)
        z->max = max;
}

static void find_zone(const struct work *w, uint32_t c, struct kymo_zone *z)
{
    const enum kymo_type type = (enum kymo_type)w->schema->column[c].type;
    int is_known = type == KYMO_T_U64 || type == KYMO_T_I64;
    if ((int)c == w->ts) {
        *z = (struct kymo_zone){w->h->ts_min_ns, w->h->ts_max_ns, 1};
        return;
    }
    if (w->schema->column[c].order == KYMO_ORDER_CHAIN)
        return;
    for (uint32_t i = w->toc.first[c], n = 0; is_known && i < w->toc.first[c + 1]; i++) {
        const struct kymo_entry *e = &w->toc.entry[i];
        uint64_t min = e->zone_min, max = e->zone_min + e->zone_range;
        if (e->what == KYMO_STREAM_PRESENT)
            continue;
        if (!e->has_zone) {
            is_known = e->what == KYMO_STREAM_VALUES && constant(e, &min);
            max = min;
        }
        if (!n++)
            *z = (struct kymo_zone){min, max, 1};
        widen(z, type, min, max);
    }
    z->is_known &= is_known;
}

/* -------- chunk -------- */

kymo_status kymo_chunk_more(struct kymo_decoder *d, const uint8_t *want, struct kymo_batch *b,
                            struct kymo_err *err)
{
    struct work *w = &d->w;
    w->b = b;
    for (uint32_t c = 0; c < w->schema->n_columns; c++)
        if (!want || want[c])
            KYMO_TRY(decode_column(d, c, err));
    return KYMO_OK;
}

static kymo_status open_chunk(struct kymo_decoder *d, struct kymo_bytes body,
                              struct kymo_err *err)
{
    struct work *w = &d->w;
    const uint32_t n_columns = w->schema->n_columns;
    struct kymo_bytes toc, streams;
    w->lane = KYMO_NEW(w->arena, uint64_t *, n_columns);
    w->present = KYMO_NEW(w->arena, uint8_t *, n_columns);
    w->done = KYMO_NEW(w->arena, uint8_t, n_columns);
    w->zone = KYMO_NEW(w->arena, struct kymo_zone, n_columns);
    if (!w->lane || !w->present || !w->done || !w->zone)
        return over_budget(w, "the columns", err);
    if (w->ts < 0 && (w->h->ts_min_ns || w->h->ts_max_ns))
        return KYMO_FAIL(err, KYMO_ECORRUPT, w->at_bytes, "chunk: a time range, but no times");
    KYMO_TRY(open_body(d, body, &toc, &streams, err));
    KYMO_TRY(kymo_toc_take(&w->toc, w->schema, w->h->n_rows, toc, streams, w->arena, err));
    for (uint32_t c = 0; c < n_columns; c++)
        find_zone(w, c, &w->zone[c]);
    const uint32_t a = w->h->n_rows, b = w->toc.n_tasks, c = w->toc.n_keys;
    const uint32_t most = a > b ? (a > c ? a : c) : b > c ? b : c;
    w->value = KYMO_NEW_RAW(w->arena, uint64_t, most);
    return w->value ? KYMO_OK : over_budget(w, "the columns", err);
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
    const int grouped = kymo_schema_is_grouped(schema);
    struct work *w = &d->w;
    *w = (struct work){.schema = schema,
                       .h = h,
                       .arena = arena,
                       .b = &b,
                       .at_bytes = body.at_bytes,
                       .is_checked = !want,
                       .ts = kymo_schema_ts(schema),
                       .dur = kymo_schema_dur(schema),
                       .in_call_order = d->call_order && grouped};
    KYMO_TRY(open_chunk(d, body, err));
    b.n_tasks = w->toc.n_tasks;
    b.n_keys = w->toc.n_keys;
    b.str.n = w->toc.n_strings;
    b.lane = w->lane;
    b.present = w->present;
    b.zone = w->zone;
    if (grouped)
        KYMO_TRY(open_order(d, err));
    KYMO_TRY(kymo_chunk_more(d, want, &b, err));
    if (!want) { /* everything is asked for: then everything is checked */
        KYMO_TRY(take_strings(d, err));
        if (grouped) {
            KYMO_TRY(take_order(d, err));
            KYMO_TRY(check_index(w, err));
        }
    }
    *out = b;
    return KYMO_OK;
}
