/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/held.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/trace/copy.h"

#define SEEN_MAX 65536u /* texts of the context that are told apart; a power of two */
#define SAID_MAX 64u

/* Rows copied out of a reader's batch; of one schema, whose own copy lies in the arena. */
struct rows {
    struct kymo_arena schemas;
    uint64_t of;
    struct kymo_rows *rows;
    struct kymo_copy *copy;
};

struct kymo_held {
    struct rows clock, loss, mark;
    uint8_t is_closed[KYMO_HELD_MARKS_MAX]; /* a mark that came to its end */
    int is_clock_written, is_mark_written;
    uint64_t *seen; /* [SEEN_MAX] hashes, 0 free */
    uint32_t n_seen;
    unsigned generation; /* of slices before this one */
    struct kymo_rows *said;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "out of memory for the context of a slice");
}

static void close_rows(struct rows *r)
{
    kymo_copy_close(r->copy);
    kymo_rows_close(r->rows);
    kymo_arena_release(&r->schemas);
    r->copy = NULL;
    r->rows = NULL;
}

kymo_status kymo_held_open(struct kymo_held **out, struct kymo_err *err)
{
    struct kymo_held *h = calloc(1, sizeof(*h));
    if (!h)
        return no_memory(err);
    kymo_arena_init(&h->clock.schemas, KYMO_SCHEMA_BYTES_MAX * 4);
    kymo_arena_init(&h->loss.schemas, KYMO_SCHEMA_BYTES_MAX * 4);
    kymo_arena_init(&h->mark.schemas, KYMO_SCHEMA_BYTES_MAX * 4);
    h->seen = calloc(SEEN_MAX, sizeof(*h->seen));
    kymo_status s =
        h->seen ? kymo_rows_open(&h->said, &KYMO_TABLE_CONTEXT, SAID_MAX, err) : no_memory(err);
    if (s) {
        kymo_held_close(h);
        return s;
    }
    *out = h;
    return KYMO_OK;
}

void kymo_held_close(struct kymo_held *h)
{
    if (!h)
        return;
    close_rows(&h->clock);
    close_rows(&h->loss);
    close_rows(&h->mark);
    kymo_rows_close(h->said);
    free(h->seen);
    free(h);
}

/* -------- rows of a reader's -------- */

static kymo_status own_schema(struct rows *r, const struct kymo_schema *s,
                              struct kymo_schema **out, struct kymo_err *err)
{
    struct kymo_buf encoded = {0};
    kymo_arena_reset(&r->schemas);
    kymo_schema_encode(s, &encoded);
    const kymo_status status =
        encoded.failed
            ? no_memory(err)
            : kymo_schema_decode(out, kymo_bytes_view(encoded.p, encoded.n, KYMO_NOWHERE),
                                 &r->schemas, err);
    kymo_buf_release(&encoded);
    return status;
}

/* Rows for batches of this schema; those of another schema are forgotten. */
static kymo_status ready(struct rows *r, const struct kymo_batch *b, uint32_t cap,
                         struct kymo_err *err)
{
    struct kymo_schema *own;
    const uint64_t hash = kymo_schema_hash(b->schema);
    if (!hash)
        return no_memory(err);
    if (!r->rows || r->of != hash || r->rows->cap_rows < cap) {
        kymo_copy_close(r->copy);
        kymo_rows_close(r->rows);
        r->copy = NULL;
        r->rows = NULL;
        KYMO_TRY(own_schema(r, b->schema, &own, err));
        KYMO_TRY(kymo_rows_open(&r->rows, own, cap, err));
        KYMO_TRY(kymo_copy_open(&r->copy, r->rows, err));
        r->of = hash;
    }
    return kymo_copy_begin(r->copy, b, err);
}

static kymo_status copy_row(struct rows *r, uint32_t row, struct kymo_err *err)
{
    uint32_t n;
    KYMO_TRY(kymo_copy_rows(r->copy, &row, 1, &n, err));
    return n ? KYMO_OK : no_memory(err);
}

kymo_status kymo_held_losses(struct kymo_held *h, const struct kymo_batch *b,
                             struct kymo_rows **out, struct kymo_err *err)
{
    uint32_t cap = 1024;
    while (cap < b->n_rows)
        cap *= 2;
    KYMO_TRY(ready(&h->loss, b, cap, err));
    kymo_copy_clear(h->loss.copy);
    for (uint32_t i = 0; i < b->n_rows; i++)
        KYMO_TRY(copy_row(&h->loss, i, err));
    *out = h->loss.rows;
    return KYMO_OK;
}

/* -------- marks and the clock -------- */

static int is_text(const struct kymo_batch *b, const char *column, uint32_t row, const char *s,
                   uint32_t n)
{
    const int c = kymo_batch_column(b, column);
    uint32_t m;
    if (c < 0 || kymo_batch_column_type(b, (uint32_t)c) != KYMO_T_STR ||
        !kymo_batch_present(b, (uint32_t)c, row))
        return 0;
    const char *t = kymo_batch_str(b, (uint32_t)c, row, &m);
    return n == m && !memcmp(s, t, n);
}

/* The newest open mark of the name has come to its end. */
static void close_mark(struct kymo_held *h, const struct kymo_batch *b, uint32_t row)
{
    const int c = kymo_batch_column(b, "name");
    uint32_t n;
    if (!h->mark.rows || c < 0 || kymo_batch_column_type(b, (uint32_t)c) != KYMO_T_STR ||
        !kymo_batch_present(b, (uint32_t)c, row))
        return;
    const char *name = kymo_batch_str(b, (uint32_t)c, row, &n);
    const struct kymo_batch held = kymo_rows_view(h->mark.rows);
    for (uint32_t i = held.n_rows; i-- > 0;)
        if (!h->is_closed[i] && is_text(&held, "name", i, name, n)) {
            h->is_closed[i] = 1;
            return;
        }
}

/* A host that marks all day long: only what was begun last is kept. */
static void forget_marks(struct kymo_held *h)
{
    kymo_copy_clear(h->mark.copy);
    memset(h->is_closed, 0, sizeof(h->is_closed));
}

static kymo_status take_mark(struct kymo_held *h, const struct kymo_batch *b, uint32_t row,
                             uint64_t since_ns, struct kymo_err *err)
{
    const int dur = kymo_batch_column(b, "dur");
    const uint64_t ts = b->lane[kymo_schema_ts(b->schema)][row];
    const uint64_t ns = dur >= 0 && kymo_batch_column_type(b, (uint32_t)dur) == KYMO_T_U64 &&
                                kymo_batch_present(b, (uint32_t)dur, row)
                            ? kymo_batch_u64(b, (uint32_t)dur, row)
                            : 0;
    if (is_text(b, "kind", row, "end", 3)) {
        close_mark(h, b, row);
        return KYMO_OK;
    }
    if (!ns && !is_text(b, "kind", row, "begin", 5))
        return KYMO_OK;
    if (ns && since_ns - ts >= ns)
        return KYMO_OK;
    if (kymo_rows_full(h->mark.rows))
        forget_marks(h);
    const uint32_t at = h->mark.rows->n_rows;
    KYMO_TRY(copy_row(&h->mark, row, err));
    h->is_closed[at] = 0;
    return KYMO_OK;
}

kymo_status kymo_held_take(struct kymo_held *h, const struct kymo_batch *b, uint64_t since_ns,
                           struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema);
    const int is_clock = !strcmp(b->schema->table, "clock");
    struct rows *r = is_clock ? &h->clock : &h->mark;
    if (ts < 0)
        return KYMO_OK;
    KYMO_TRY(ready(r, b, is_clock ? 1 : KYMO_HELD_MARKS_MAX, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (b->lane[ts][i] >= since_ns)
            continue;
        if (!is_clock) {
            KYMO_TRY(take_mark(h, b, i, since_ns, err));
            continue;
        }
        kymo_copy_clear(r->copy);
        KYMO_TRY(copy_row(r, i, err));
    }
    return KYMO_OK;
}

/* -------- context -------- */

/* slice.x, slice2.x: how many slices made this capture? */
static void note_generation(struct kymo_held *h, const char *key, uint32_t n)
{
    unsigned generation = 1;
    uint32_t i = 5;
    if (n < 7 || memcmp(key, "slice", 5) != 0)
        return;
    if (key[i] != '.')
        for (generation = 0; i < n && i < 9 && key[i] >= '0' && key[i] <= '9'; i++)
            generation = generation * 10 + (unsigned)(key[i] - '0');
    if (i < n && key[i] == '.' && generation > h->generation)
        h->generation = generation;
}

int kymo_held_is_new(struct kymo_held *h, const struct kymo_batch *b, uint32_t row)
{
    uint64_t hash = 1;
    for (uint32_t c = 0; c < b->schema->n_columns; c++) {
        uint32_t n;
        if (b->schema->column[c].type != KYMO_T_STR || !kymo_batch_present(b, c, row))
            continue;
        const char *s = kymo_batch_str(b, c, row, &n);
        if (!strcmp(b->schema->column[c].name, "key"))
            note_generation(h, s, n);
        hash = XXH3_64bits_withSeed(s, n, hash);
    }
    hash += !hash;
    uint32_t at = (uint32_t)hash & (SEEN_MAX - 1);
    for (; h->seen[at]; at = (at + 1) & (SEEN_MAX - 1))
        if (h->seen[at] == hash)
            return 0;
    if (h->n_seen < SEEN_MAX / 2) {
        h->seen[at] = hash;
        h->n_seen++;
    }
    return 1;
}

kymo_status kymo_held_say(struct kymo_held *h, const char *key, const char *value,
                          struct kymo_err *err)
{
    char name[64];
    if (h->generation && !strncmp(key, "slice.", 6))
        (void)snprintf(name, sizeof(name), "slice%u.%s", h->generation + 1, key + 6);
    else
        (void)snprintf(name, sizeof(name), "%s", key);
    const uint32_t k = kymo_rows_intern(h->said, name, strlen(name));
    const uint32_t v = kymo_rows_intern(h->said, value, strlen(value));
    if (!k || (!v && value[0]) || kymo_rows_full(h->said))
        return no_memory(err);
    const uint32_t row = kymo_rows_add(h->said);
    kymo_rows_set(h->said, KYMO_CONTEXT_KEY, row, k);
    kymo_rows_set(h->said, KYMO_CONTEXT_VALUE, row, v);
    return KYMO_OK;
}

kymo_status kymo_held_write_clock(struct kymo_held *h, struct kymo_gather *g,
                                  struct kymo_err *err)
{
    if (h->is_clock_written)
        return KYMO_OK;
    h->is_clock_written = 1;
    if (!h->clock.rows)
        return KYMO_OK;
    const struct kymo_batch b = kymo_rows_view(h->clock.rows);
    return kymo_gather_rows(g, &b, NULL, b.n_rows, NULL, err);
}

kymo_status kymo_held_write_marks(struct kymo_held *h, struct kymo_gather *g,
                                  struct kymo_err *err)
{
    if (h->is_mark_written)
        return KYMO_OK;
    h->is_mark_written = 1;
    if (!h->mark.rows)
        return KYMO_OK;
    const struct kymo_batch b = kymo_rows_view(h->mark.rows);
    for (uint32_t i = 0; i < b.n_rows; i++)
        if (!h->is_closed[i])
            KYMO_TRY(kymo_gather_rows(g, &b, &i, 1, NULL, err));
    return KYMO_OK;
}

kymo_status kymo_held_write(struct kymo_held *h, struct kymo_gather *g, uint64_t ts_ns,
                            struct kymo_err *err)
{
    for (uint32_t i = 0; i < h->said->n_rows; i++)
        kymo_rows_set(h->said, KYMO_CONTEXT_TS, i, ts_ns);
    const struct kymo_batch said = kymo_rows_view(h->said);
    KYMO_TRY(kymo_gather_rows(g, &said, NULL, said.n_rows, NULL, err));
    KYMO_TRY(kymo_held_write_clock(h, g, err));
    return kymo_held_write_marks(h, g, err);
}
