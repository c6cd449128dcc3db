/* SPDX-License-Identifier: Apache-2.0
 * schema.c: a table's description to bytes and back. The hash of the bytes is the schema's name.
 */
#include "format/trace/schema.h"

#include <string.h>
#include <xxhash.h>

/* name, unit, type, order, nullable: two lengths and three bytes at least, a name of one byte */
#define COLUMN_BYTES_MIN 6u

static void put_str(struct kymo_buf *out, const char *s)
{
    const size_t n = s ? strlen(s) : 0;
    kymo_buf_varint(out, n);
    kymo_buf_put(out, s, n);
}

void kymo_schema_encode(const struct kymo_schema *s, struct kymo_buf *out)
{
    kymo_buf_varint(out, s->version);
    put_str(out, s->table);
    kymo_buf_varint(out, s->n_columns);
    for (uint32_t i = 0; i < s->n_columns; i++) {
        const struct kymo_column_def *c = &s->column[i];
        put_str(out, c->name);
        put_str(out, c->unit);
        kymo_buf_u8(out, c->type);
        kymo_buf_u8(out, c->order);
        kymo_buf_u8(out, c->nullable ? 1 : 0);
    }
    put_str(out, s->meta);
}

uint64_t kymo_schema_hash(const struct kymo_schema *s)
{
    struct kymo_buf b = {0};
    kymo_schema_encode(s, &b);
    const uint64_t hash = b.failed ? 0 : XXH3_64bits(b.p, b.n);
    kymo_buf_release(&b);
    return hash;
}

/* A text of at most max bytes; names may hold no control bytes, other texts no NUL. */
static kymo_status take_text(struct kymo_bytes *in, size_t max, int is_name,
                             struct kymo_arena *arena, const char **out, struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    uint64_t n;
    KYMO_TRY(kymo_bytes_varint(in, &n, err));
    if (n > max)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "schema: a text of %llu bytes, at most %zu are allowed",
                         (unsigned long long)n, max);
    struct kymo_bytes text;
    KYMO_TRY(kymo_bytes_take(in, (size_t)n, &text, err));
    for (size_t i = 0; i < n; i++)
        if (!text.p[i] || (is_name && (text.p[i] < 0x20 || text.p[i] == 0x7f)))
            return KYMO_FAIL(err, KYMO_ECORRUPT, text.at_bytes + i,
                             "schema: control byte 0x%02x in a text", text.p[i]);
    char *copy = kymo_arena_str(arena, (const char *)text.p, (size_t)n);
    if (!copy)
        return KYMO_FAIL(err, KYMO_ELIMIT, at,
                         "schema: a text of %llu bytes passes the memory budget",
                         (unsigned long long)n);
    *out = copy;
    return KYMO_OK;
}

static kymo_status take_column(struct kymo_bytes *in, struct kymo_arena *arena,
                               struct kymo_column_def *c, struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    KYMO_TRY(take_text(in, KYMO_NAME_BYTES_MAX, 1, arena, &c->name, err));
    if (!c->name[0])
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "schema: a column without a name");
    KYMO_TRY(take_text(in, KYMO_NAME_BYTES_MAX, 1, arena, &c->unit, err));
    const uint64_t type_at = in->at_bytes;
    KYMO_TRY(kymo_bytes_u8(in, &c->type, err));
    KYMO_TRY(kymo_bytes_u8(in, &c->order, err));
    KYMO_TRY(kymo_bytes_u8(in, &c->nullable, err));
    if (c->type < KYMO_T_U64 || c->type > KYMO_T_STR)
        return KYMO_FAIL(err, KYMO_ECORRUPT, type_at, "schema: column '%s' has unknown type %u",
                         c->name, c->type);
    if (c->order >= KYMO_ORDER_COUNT)
        return KYMO_FAIL(err, KYMO_ECORRUPT, type_at + 1,
                         "schema: column '%s' has unknown order %u", c->name, c->order);
    if (c->nullable > 1)
        return KYMO_FAIL(err, KYMO_ECORRUPT, type_at + 2,
                         "schema: column '%s' has nullable %u, not 0 or 1", c->name,
                         c->nullable);
    if (c->nullable && (c->order == KYMO_ORDER_TASK || c->order == KYMO_ORDER_KEY))
        return KYMO_FAIL(err, KYMO_ECORRUPT, type_at + 2,
                         "schema: column '%s' of tasks or keys cannot be nullable", c->name);
    if (c->order == KYMO_ORDER_CHAIN && (c->nullable || c->type != KYMO_T_U64))
        return KYMO_FAIL(err, KYMO_ECORRUPT, type_at + 1,
                         "schema: column '%s' is no time that could go on from another",
                         c->name);
    return KYMO_OK;
}

/* Names through a small open-addressing table: 4096 names must not cost 8 million comparisons. */
static kymo_status refuse_duplicates(const struct kymo_column_def *column, uint32_t n,
                                     uint64_t at, struct kymo_arena *arena,
                                     struct kymo_err *err)
{
    uint32_t slots = 4;
    while (slots < 2 * n)
        slots *= 2;
    uint32_t *slot = KYMO_NEW(arena, uint32_t, slots);
    if (!slot)
        return KYMO_FAIL(err, KYMO_ELIMIT, at, "schema: %u columns pass the memory budget", n);
    for (uint32_t i = 0; i < n; i++) {
        const char *name = column[i].name;
        uint32_t h = (uint32_t)XXH3_64bits(name, strlen(name)) & (slots - 1);
        for (; slot[h]; h = (h + 1) & (slots - 1))
            if (!strcmp(column[slot[h] - 1].name, name))
                return KYMO_FAIL(err, KYMO_ECORRUPT, at, "schema: column '%s' is there twice",
                                 name);
        slot[h] = i + 1;
    }
    return KYMO_OK;
}

kymo_status kymo_schema_decode(struct kymo_schema **out, struct kymo_bytes in,
                               struct kymo_arena *arena, struct kymo_err *err)
{
    const uint64_t start = in.at_bytes;
    if (in.left > KYMO_SCHEMA_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ECORRUPT, start, "schema: %zu bytes, at most %u are allowed",
                         in.left, KYMO_SCHEMA_BYTES_MAX);
    const uint64_t hash = XXH3_64bits(in.p, in.left);
    struct kymo_schema *s = KYMO_NEW(arena, struct kymo_schema, 1);
    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, start, "schema: the memory budget is spent");
    uint64_t version, n;
    uint64_t at = in.at_bytes;
    KYMO_TRY(kymo_bytes_varint(&in, &version, err));
    if (version > UINT32_MAX)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "schema: version %llu is out of range",
                         (unsigned long long)version);
    at = in.at_bytes;
    KYMO_TRY(take_text(&in, KYMO_NAME_BYTES_MAX, 1, arena, &s->table, err));
    if (!s->table[0])
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "schema: a table without a name");
    at = in.at_bytes;
    KYMO_TRY(kymo_bytes_varint(&in, &n, err));
    if (!n || n > KYMO_COLUMNS_MAX || n > in.left / COLUMN_BYTES_MIN)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "schema: %llu columns cannot lie in %zu bytes",
                         (unsigned long long)n, in.left);
    struct kymo_column_def *column = KYMO_NEW(arena, struct kymo_column_def, (size_t)n);
    if (!column)
        return KYMO_FAIL(err, KYMO_ELIMIT, at, "schema: %llu columns pass the memory budget",
                         (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++)
        KYMO_TRY(take_column(&in, arena, &column[i], err));
    KYMO_TRY(take_text(&in, KYMO_SCHEMA_BYTES_MAX, 0, arena, &s->meta, err));
    if (in.left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, in.at_bytes, "schema: %zu bytes too many",
                         in.left);
    KYMO_TRY(refuse_duplicates(column, (uint32_t)n, start, arena, err));
    s->version = (uint32_t)version;
    s->n_columns = (uint32_t)n;
    s->column = column;
    s->hash = hash;
    *out = s;
    return KYMO_OK;
}

int kymo_schema_column(const struct kymo_schema *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_columns; i++)
        if (!strcmp(s->column[i].name, name))
            return (int)i;
    return -1;
}

int kymo_schema_is_grouped(const struct kymo_schema *s)
{
    for (uint32_t i = 0; i < s->n_columns; i++)
        if (s->column[i].order != KYMO_ORDER_ROW)
            return 1;
    return 0;
}

int kymo_schema_ts(const struct kymo_schema *s)
{
    for (uint32_t i = 0; i < s->n_columns; i++) {
        const struct kymo_column_def *c = &s->column[i];
        if (c->type == KYMO_T_U64 &&
            (c->order == KYMO_ORDER_ROW || c->order == KYMO_ORDER_CHAIN) && !c->nullable &&
            !strcmp(c->name, "ts") && !strcmp(c->unit, "ns"))
            return (int)i;
    }
    return -1;
}

int kymo_schema_dur(const struct kymo_schema *s)
{
    const int c = kymo_schema_column(s, "dur");
    if (c < 0 || s->column[c].type != KYMO_T_U64 || strcmp(s->column[c].unit, "ns") != 0 ||
        (s->column[c].order != KYMO_ORDER_CALL && s->column[c].order != KYMO_ORDER_SPLIT))
        return -1;
    return c;
}
