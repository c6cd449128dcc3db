/* SPDX-License-Identifier: Apache-2.0
 * batch.c: gathering rows for a chunk, interning their strings, and looking at rows.
 */
#include "format/trace/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define STR_SLOTS_FIRST 256u

static size_t lane_items(const struct kymo_rows *r, uint32_t c)
{
    switch (r->schema->column[c].order) {
    case KYMO_ORDER_TASK:
        return r->cap_tasks;
    case KYMO_ORDER_KEY:
        return r->cap_keys;
    default:
        return r->cap_rows;
    }
}

static int may_be_null(const struct kymo_column_def *c)
{
    return c->nullable || c->order == KYMO_ORDER_SPLIT;
}

static int open_strings(struct kymo_rows *r)
{
    r->str_slots = STR_SLOTS_FIRST;
    r->str_slot = calloc(r->str_slots, sizeof(*r->str_slot));
    if (!r->str_slot || !kymo_buf_reserve(&r->str_bytes, 4096) ||
        !kymo_buf_reserve(&r->str_at, 512 * sizeof(uint32_t)))
        return 0;
    kymo_rows_clear(r);
    return 1;
}

static int open_lanes(struct kymo_rows *r)
{
    const uint32_t d = r->schema->n_columns;
    r->lane = calloc(d, sizeof(*r->lane));
    r->present = calloc(d, sizeof(*r->present));
    if (!r->lane || !r->present)
        return 0;
    for (uint32_t c = 0; c < d; c++) {
        r->lane[c] = calloc(lane_items(r, c), sizeof(uint64_t));
        if (!r->lane[c])
            return 0;
        if (may_be_null(&r->schema->column[c])) {
            r->present[c] = calloc(r->cap_rows, 1);
            if (!r->present[c])
                return 0;
        }
    }
    if (!r->cap_tasks)
        return 1;
    r->task = calloc(r->cap_rows, sizeof(*r->task));
    r->key = calloc(r->cap_rows, sizeof(*r->key));
    return r->task && r->key;
}

kymo_status kymo_rows_open(struct kymo_rows **out, const struct kymo_schema *schema,
                           uint32_t cap_rows, struct kymo_err *err)
{
    if (!cap_rows || cap_rows > KYMO_CHUNK_ROWS_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "a chunk holds 1 to %u rows, not %u",
                         KYMO_CHUNK_ROWS_MAX, cap_rows);
    struct kymo_rows *r = calloc(1, sizeof(*r));
    if (r) {
        r->schema = schema;
        r->cap_rows = cap_rows;
        if (kymo_schema_is_grouped(schema)) {
            r->cap_tasks = cap_rows < KYMO_CHUNK_TASKS_MAX ? cap_rows : KYMO_CHUNK_TASKS_MAX;
            r->cap_keys = KYMO_CHUNK_KEYS_MAX;
        }
    }
    if (!r || !open_lanes(r) || !open_strings(r)) {
        kymo_rows_close(r);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "out of memory for %u rows of table %s", cap_rows, schema->table);
    }
    *out = r;
    return KYMO_OK;
}

void kymo_rows_close(struct kymo_rows *r)
{
    if (!r)
        return;
    for (uint32_t c = 0; c < r->schema->n_columns; c++) {
        if (r->lane)
            free(r->lane[c]);
        if (r->present)
            free(r->present[c]);
    }
    free(r->lane);
    free(r->present);
    free(r->task);
    free(r->key);
    free(r->str_slot);
    kymo_buf_release(&r->str_bytes);
    kymo_buf_release(&r->str_at);
    free(r);
}

/* Presence is wiped here, so that a hot loop which appends by hand only ever sets ones. */
void kymo_rows_clear(struct kymo_rows *r)
{
    for (uint32_t c = 0; c < r->schema->n_columns; c++)
        if (r->present[c])
            memset(r->present[c], 0, r->n_rows);
    r->n_rows = r->n_tasks = r->n_keys = 0;
    memset(r->str_slot, 0, r->str_slots * sizeof(*r->str_slot));
    const uint32_t empty[2] = {0, 0};
    kymo_buf_clear(&r->str_bytes);
    kymo_buf_clear(&r->str_at);
    kymo_buf_put(&r->str_at, empty, sizeof(empty));
    r->n_str = 1;
}

uint32_t kymo_rows_add(struct kymo_rows *r)
{
    assert(r->n_rows < r->cap_rows);
    const uint32_t row = r->n_rows++;
    for (uint32_t c = 0; c < r->schema->n_columns; c++) {
        const uint8_t order = r->schema->column[c].order;
        if (order != KYMO_ORDER_TASK && order != KYMO_ORDER_KEY)
            r->lane[c][row] = 0;
        if (r->present[c])
            r->present[c][row] = 0;
    }
    if (r->task) {
        r->task[row] = 0;
        r->key[row] = 0;
    }
    return row;
}

void kymo_rows_set(struct kymo_rows *r, uint32_t column, uint32_t row, uint64_t lane)
{
    r->lane[column][row] = lane;
    if (r->present[column])
        r->present[column][row] = 1;
}

void kymo_rows_set_f64(struct kymo_rows *r, uint32_t column, uint32_t row, double v)
{
    uint64_t bits = 0;
    if (r->schema->column[column].type == KYMO_T_F32) {
        const float f = (float)v;
        uint32_t low;
        memcpy(&low, &f, sizeof(low));
        bits = low;
    } else {
        memcpy(&bits, &v, sizeof(bits));
    }
    kymo_rows_set(r, column, row, bits);
}

void kymo_rows_set_str(struct kymo_rows *r, uint32_t column, uint32_t row, const char *s,
                       size_t n)
{
    kymo_rows_set(r, column, row, kymo_rows_intern(r, s, n));
}

static const uint32_t *str_at(const struct kymo_rows *r)
{
    return (const uint32_t *)(const void *)r->str_at.p;
}

/* Twice the slots; the strings stay where they are. */
static int grow_slots(struct kymo_rows *r)
{
    const uint32_t slots = r->str_slots * 2;
    uint32_t *slot = calloc(slots, sizeof(*slot));
    if (!slot)
        return 0;
    const uint32_t *at = str_at(r);
    for (uint32_t id = 1; id < r->n_str; id++) {
        uint32_t h =
            (uint32_t)XXH3_64bits(r->str_bytes.p + at[id], at[id + 1] - at[id]) & (slots - 1);
        while (slot[h])
            h = (h + 1) & (slots - 1);
        slot[h] = id;
    }
    free(r->str_slot);
    r->str_slot = slot;
    r->str_slots = slots;
    return 1;
}

uint32_t kymo_rows_intern(struct kymo_rows *r, const char *s, size_t n)
{
    if (!n)
        return 0;
    const uint32_t *at = str_at(r);
    const uint32_t mask = r->str_slots - 1;
    uint32_t h = (uint32_t)XXH3_64bits(s, n) & mask;
    for (; r->str_slot[h]; h = (h + 1) & mask) {
        const uint32_t id = r->str_slot[h];
        if (at[id + 1] - at[id] == n && !memcmp(r->str_bytes.p + at[id], s, n))
            return id;
    }
    if (n > KYMO_CHUNK_STR_BYTES_MAX - r->str_bytes.n || r->n_str >= KYMO_CHUNK_STRINGS_MAX)
        return 0;
    /* Past three quarters full, probing slows down; without memory to grow, slow is still right
     * while slots are left. */
    if (r->n_str > r->str_slots / 4 * 3) {
        if (grow_slots(r))
            return kymo_rows_intern(r, s, n);
        if (r->n_str >= r->str_slots - 1)
            return 0;
    }
    if (!kymo_buf_reserve(&r->str_bytes, n) || !kymo_buf_reserve(&r->str_at, sizeof(uint32_t)))
        return 0;
    kymo_buf_put(&r->str_bytes, s, n);
    const uint32_t end = (uint32_t)r->str_bytes.n;
    kymo_buf_put(&r->str_at, &end, sizeof(end));
    r->str_slot[h] = r->n_str;
    return r->n_str++;
}

uint32_t kymo_rows_add_task(struct kymo_rows *r)
{
    return r->n_tasks < r->cap_tasks ? r->n_tasks++ : UINT32_MAX;
}

uint16_t kymo_rows_add_key(struct kymo_rows *r)
{
    return r->n_keys < r->cap_keys ? (uint16_t)r->n_keys++ : UINT16_MAX;
}

struct kymo_batch kymo_rows_view(const struct kymo_rows *r)
{
    struct kymo_batch b = {
        .schema = r->schema,
        .n_rows = r->n_rows,
        .n_tasks = r->n_tasks,
        .n_keys = r->n_keys,
        .task = r->task,
        .key = r->key,
        .lane = r->lane,
        .present = r->present,
        .str = {r->n_str, str_at(r), (const char *)r->str_bytes.p},
        .at_bytes = KYMO_NOWHERE,
    };
    const int ts = kymo_schema_ts(r->schema);
    if (ts >= 0 && r->n_rows) {
        b.ts_min_ns = UINT64_MAX;
        for (uint32_t i = 0; i < r->n_rows; i++) {
            const uint64_t t = r->lane[ts][i];
            b.ts_min_ns = t < b.ts_min_ns ? t : b.ts_min_ns;
            b.ts_max_ns = t > b.ts_max_ns ? t : b.ts_max_ns;
        }
    }
    return b;
}

const char *kymo_batch_table(const struct kymo_batch *b)
{
    return b->schema->table;
}

uint32_t kymo_batch_rows(const struct kymo_batch *b)
{
    return b->n_rows;
}

uint32_t kymo_batch_columns(const struct kymo_batch *b)
{
    return b->schema->n_columns;
}

const char *kymo_batch_column_name(const struct kymo_batch *b, uint32_t column)
{
    return b->schema->column[column].name;
}

const char *kymo_batch_column_unit(const struct kymo_batch *b, uint32_t column)
{
    return b->schema->column[column].unit;
}

enum kymo_type kymo_batch_column_type(const struct kymo_batch *b, uint32_t column)
{
    return (enum kymo_type)b->schema->column[column].type;
}

int kymo_batch_column(const struct kymo_batch *b, const char *name)
{
    return kymo_schema_column(b->schema, name);
}

int kymo_batch_present(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    return b->lane[column] && (!b->present[column] || b->present[column][row]);
}

uint64_t kymo_batch_u64(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    return kymo_batch_lane(b, column, row);
}

int64_t kymo_batch_i64(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    return (int64_t)kymo_batch_lane(b, column, row);
}

double kymo_lane_f64(enum kymo_type type, uint64_t lane)
{
    double d;
    float f;
    const uint32_t low = (uint32_t)lane;
    switch (type) {
    case KYMO_T_F64:
        memcpy(&d, &lane, sizeof(d));
        return d;
    case KYMO_T_F32:
        memcpy(&f, &low, sizeof(f));
        return (double)f;
    case KYMO_T_I64:
        return (double)(int64_t)lane;
    default:
        return (double)lane;
    }
}

double kymo_batch_f64(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    return kymo_lane_f64(kymo_batch_column_type(b, column), kymo_batch_lane(b, column, row));
}

const char *kymo_batch_str(const struct kymo_batch *b, uint32_t column, uint32_t row,
                           uint32_t *bytes)
{
    const uint64_t id = kymo_batch_lane(b, column, row);
    assert(id < b->str.n);
    *bytes = b->str.at[id + 1] - b->str.at[id];
    return b->str.bytes + b->str.at[id];
}
