/* SPDX-License-Identifier: Apache-2.0
 * tabular.c: cells go to Parquet column by column, in tiles that stay in the cache. A text is
 * looked up once for each string of the chunk and not once a row: at[] remembers its number.
 */
#include "format/export/tabular.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/export/choice.h"
#include "format/trace/sysname.h"

#define TILE 4096u
#define ERRNO_MAX 4095u

struct kymo_tabular {
    int fd;
    const char *name;
    uint32_t group_rows;
    struct kymo_parquet *parquet; /* NULL until the columns are known */
    struct kymo_parquet_column *column;
    struct kymo_arena arena; /* names of columns, for good */
    size_t n;
    char table[KYMO_NAME_BYTES_MAX + 1];
    /* numbers that texts have in a column, reset for each piece of a batch */
    uint32_t *at;
    size_t n_at;
    uint32_t errno_at[ERRNO_MAX + 1];
    uint64_t value[TILE];
    uint8_t present[TILE];
};

/* One column of a piece of a batch. */
struct piece {
    struct kymo_tabular *t;
    const struct kymo_fields *all;
    const struct kymo_field *field;
    size_t column;
    const struct kymo_batch *b;
    const uint32_t *row;
    uint32_t n;
};

kymo_status kymo_tabular_open(struct kymo_tabular **out, int fd, const char *name,
                              uint32_t group_rows, struct kymo_err *err)
{
    struct kymo_tabular *t = calloc(1, sizeof(*t));
    if (!t)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for an export");
    t->fd = fd;
    t->name = name;
    t->group_rows = group_rows;
    kymo_arena_init(&t->arena, (size_t)16 << 20);
    *out = t;
    return KYMO_OK;
}

void kymo_tabular_close(struct kymo_tabular *t)
{
    if (!t)
        return;
    kymo_parquet_close(t->parquet);
    kymo_arena_release(&t->arena);
    free(t->at);
    free(t);
}

/* -------- columns -------- */

static enum kymo_parquet_kind kind_of(const struct kymo_schema *s, const struct kymo_field *f)
{
    switch (f->source) {
    case KYMO_FIELD_SYSCALL:
    case KYMO_FIELD_ERRNO:
        return KYMO_PARQUET_TEXT;
    case KYMO_FIELD_TIME:
        return KYMO_PARQUET_F64;
    case KYMO_FIELD_WALL:
        return KYMO_PARQUET_WALL;
    case KYMO_FIELD_COLUMN:
        break;
    }
    switch (f->type) {
    case KYMO_T_STR:
        return KYMO_PARQUET_TEXT;
    case KYMO_T_F64:
        return KYMO_PARQUET_F64;
    case KYMO_T_F32:
        return KYMO_PARQUET_F32;
    case KYMO_T_I64:
        return KYMO_PARQUET_I64;
    default:
        /* times and durations as signed numbers, which every reader can subtract */
        return strcmp(s->column[f->column].unit, "ns") ? KYMO_PARQUET_U64 : KYMO_PARQUET_I64;
    }
}

static int may_be_null(const struct kymo_schema *s, const struct kymo_field *f)
{
    const struct kymo_column_def *d = &s->column[f->column];
    const int first = d->nullable || d->order == KYMO_ORDER_SPLIT;
    if (f->source == KYMO_FIELD_ERRNO)
        return 1;
    if (f->source != KYMO_FIELD_SYSCALL)
        return first;
    const struct kymo_column_def *d2 = &s->column[f->column2];
    return first || d2->nullable || d2->order == KYMO_ORDER_SPLIT;
}

static kymo_status make_columns(struct kymo_tabular *t, const struct kymo_export_rows *r,
                                struct kymo_err *err)
{
    t->n = r->fields.n;
    t->column = KYMO_NEW(&t->arena, struct kymo_parquet_column, t->n);
    for (size_t i = 0; t->column && i < t->n; i++) {
        const struct kymo_field *f = &r->fields.field[i];
        const char *name = kymo_arena_str(&t->arena, f->name, strlen(f->name));
        if (!name)
            t->column = NULL;
        else
            t->column[i] = (struct kymo_parquet_column){name, kind_of(r->schema, f),
                                                        may_be_null(r->schema, f)};
    }
    if (!t->column)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "too many columns to export");
    return KYMO_OK;
}

/* The footer says the table and the units, "ts=ns dur=ns": a reader's types know no units. */
static void put_notes(struct kymo_tabular *t, const struct kymo_export_rows *r)
{
    struct kymo_buf units = {0};
    for (size_t i = 0; i < r->fields.n; i++) {
        const struct kymo_field *f = &r->fields.field[i];
        const char *unit = f->source == KYMO_FIELD_COLUMN ? r->schema->column[f->column].unit
                           : f->source == KYMO_FIELD_TIME ? "s"
                                                          : "";
        if (*unit)
            kymo_buf_printf(&units, "%s%s=%s", units.n ? " " : "", f->name, unit);
    }
    kymo_buf_u8(&units, 0);
    kymo_parquet_note(t->parquet, "kymo.table", r->schema->table);
    if (!units.failed)
        kymo_parquet_note(t->parquet, "kymo.units", (const char *)units.p);
    kymo_buf_release(&units);
}

static int same_columns(const struct kymo_tabular *t, const struct kymo_export_rows *r)
{
    if (t->n != r->fields.n)
        return 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct kymo_field *f = &r->fields.field[i];
        if (strcmp(f->name, t->column[i].name) != 0 ||
            kind_of(r->schema, f) != t->column[i].kind ||
            may_be_null(r->schema, f) > t->column[i].nullable)
            return 0;
    }
    return 1;
}

static int takes(void *self, const char *table)
{
    (void)self;
    return kymo_table_is_main(table);
}

static kymo_status begin(void *self, const struct kymo_export_rows *r, struct kymo_err *err)
{
    struct kymo_tabular *t = self;
    if (t->parquet)
        return kymo_table_same(t->table, r, same_columns(t, r), err);
    (void)snprintf(t->table, sizeof(t->table), "%s", r->schema->table);
    KYMO_TRY(make_columns(t, r, err));
    KYMO_TRY(
        kymo_parquet_open(&t->parquet, t->fd, t->name, t->column, t->n, t->group_rows, err));
    put_notes(t, r);
    return KYMO_OK;
}

/* -------- cells -------- */

static uint32_t place_of(const struct piece *p, uint8_t order, uint32_t row)
{
    return order == KYMO_ORDER_TASK  ? p->b->task[row]
           : order == KYMO_ORDER_KEY ? p->b->key[row]
                                     : row;
}

static void gather(const struct piece *p, uint32_t column, const uint32_t *row, uint32_t n,
                   uint64_t *value)
{
    const uint64_t *lane = p->b->lane[column];
    switch (p->b->schema->column[column].order) {
    case KYMO_ORDER_TASK:
        for (uint32_t i = 0; i < n; i++)
            value[i] = lane[p->b->task[row[i]]];
        break;
    case KYMO_ORDER_KEY:
        for (uint32_t i = 0; i < n; i++)
            value[i] = lane[p->b->key[row[i]]];
        break;
    default:
        for (uint32_t i = 0; i < n; i++)
            value[i] = lane[row[i]];
    }
}

static int gather_present(const struct piece *p, uint32_t column, const uint32_t *row,
                          uint32_t n, uint8_t *present)
{
    const uint8_t *is = p->b->present[column];
    if (!p->b->lane[column]) {
        memset(present, 0, n);
        return 0;
    }
    for (uint32_t i = 0; i < n; i++)
        present[i] = is ? is[row[i]] : 1;
    return 1;
}

/* Room to remember the numbers of n texts, all unknown. */
static kymo_status forget_texts(struct kymo_tabular *t, size_t n, struct kymo_err *err)
{
    if (n > t->n_at) {
        uint32_t *at = realloc(t->at, n * sizeof(*at));
        if (!at)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %zu texts", n);
        t->at = at;
        t->n_at = n;
    }
    memset(t->at, 0xff, n * sizeof(*t->at));
    return KYMO_OK;
}

static uint32_t number_of(const struct piece *p, uint32_t *at, const char *s, size_t n)
{
    if (*at == KYMO_PARQUET_NULL)
        *at = kymo_parquet_intern(p->t->parquet, p->column, s, n);
    return *at;
}

static void fill_texts(const struct piece *p, const uint32_t *row, uint32_t n)
{
    struct kymo_tabular *t = p->t;
    const struct kymo_strings *str = &p->b->str;
    gather(p, p->field->column, row, n, t->value);
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t id = t->value[i];
        if (t->present[i])
            t->value[i] = number_of(p, &t->at[id], str->bytes + str->at[id],
                                    str->at[id + 1] - str->at[id]);
    }
}

static uint32_t call_number(const struct piece *p, uint32_t *at, uint32_t row)
{
    char number[24];
    const uint64_t arch = kymo_batch_lane(p->b, p->field->column, row);
    const uint64_t nr = kymo_batch_lane(p->b, p->field->column2, row);
    if (*at != KYMO_PARQUET_NULL)
        return *at;
    const char *name = kymo_names_call(p->all->names, arch, nr);
    if (!name) {
        (void)snprintf(number, sizeof(number), "%" PRIu64, nr);
        name = number;
    }
    return number_of(p, at, name, strlen(name));
}

/* A call's name is looked up once a key where the schema has keys, else once a row. */
static void fill_calls(const struct piece *p, const uint32_t *row, uint32_t n)
{
    struct kymo_tabular *t = p->t;
    const uint8_t order = p->b->schema->column[p->field->column].order;
    const int by_key = order == KYMO_ORDER_KEY &&
                       p->b->schema->column[p->field->column2].order == KYMO_ORDER_KEY;
    (void)gather_present(p, p->field->column, row, n, t->present);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t fresh = KYMO_PARQUET_NULL;
        t->present[i] = t->present[i] && kymo_batch_present(p->b, p->field->column2, row[i]);
        if (t->present[i])
            t->value[i] =
                call_number(p, by_key ? &t->at[place_of(p, order, row[i])] : &fresh, row[i]);
    }
}

static void fill_errnos(const struct piece *p, const uint32_t *row, uint32_t n)
{
    struct kymo_tabular *t = p->t;
    gather(p, p->field->column, row, n, t->value);
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t e = -t->value[i];
        char number[24];
        t->present[i] = t->present[i] && e >= 1 && e <= ERRNO_MAX;
        if (!t->present[i])
            continue;
        const char *name = kymo_errno_name((int)e);
        if (!name)
            (void)snprintf(number, sizeof(number), "%" PRIu64, e);
        name = name ? name : number;
        t->value[i] = number_of(p, &t->errno_at[e], name, strlen(name));
    }
}

static void fill_times(const struct piece *p, const uint32_t *row, uint32_t n)
{
    struct kymo_tabular *t = p->t;
    const uint64_t start = p->all->start_ns;
    gather(p, p->field->column, row, n, t->value);
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t ts = t->value[i];
        const double s = ts < start ? -(double)(start - ts) / 1e9 : (double)(ts - start) / 1e9;
        memcpy(&t->value[i], &s, sizeof(s));
    }
}

static void fill_walls(const struct piece *p, const uint32_t *row, uint32_t n)
{
    gather(p, p->field->column, row, n, p->t->value);
    for (uint32_t i = 0; i < n; i++)
        p->t->value[i] = kymo_walltime_real(p->all->wall, p->t->value[i]);
}

/* A number of ns past 2^63 is 292 years: no time, but nothing to be bent silently either. */
static kymo_status fill_numbers(const struct piece *p, const uint32_t *row, uint32_t n,
                                struct kymo_err *err)
{
    const struct kymo_tabular *t = p->t;
    gather(p, p->field->column, row, n, p->t->value);
    if (p->field->type != KYMO_T_U64 || t->column[p->column].kind != KYMO_PARQUET_I64)
        return KYMO_OK;
    for (uint32_t i = 0; i < n; i++)
        if (t->present[i] && t->value[i] > INT64_MAX)
            return KYMO_FAIL(err, KYMO_EINPUT, p->b->at_bytes,
                             "column %s: %" PRIu64 " ns do not fit into 63 bits",
                             p->field->name, t->value[i]);
    return KYMO_OK;
}

static kymo_status fill(const struct piece *p, const uint32_t *row, uint32_t n,
                        struct kymo_err *err)
{
    if (!gather_present(p, p->field->column, row, n, p->t->present))
        return KYMO_OK;
    switch (p->field->source) {
    case KYMO_FIELD_SYSCALL:
        fill_calls(p, row, n);
        return KYMO_OK;
    case KYMO_FIELD_ERRNO:
        fill_errnos(p, row, n);
        return KYMO_OK;
    case KYMO_FIELD_TIME:
        fill_times(p, row, n);
        return KYMO_OK;
    case KYMO_FIELD_WALL:
        fill_walls(p, row, n);
        return KYMO_OK;
    case KYMO_FIELD_COLUMN:
        break;
    }
    if (p->field->type != KYMO_T_STR)
        return fill_numbers(p, row, n, err);
    fill_texts(p, row, n);
    return KYMO_OK;
}

static kymo_status put_column(const struct piece *p, struct kymo_err *err)
{
    struct kymo_tabular *t = p->t;
    const int nullable = t->column[p->column].nullable;
    if (p->field->source == KYMO_FIELD_COLUMN && p->field->type == KYMO_T_STR)
        KYMO_TRY(forget_texts(t, p->b->str.n, err));
    if (p->field->source == KYMO_FIELD_SYSCALL)
        KYMO_TRY(forget_texts(t, p->b->n_keys, err));
    for (uint32_t from = 0; from < p->n; from += TILE) {
        const uint32_t n = p->n - from < TILE ? p->n - from : TILE;
        KYMO_TRY(fill(p, p->row + from, n, err));
        KYMO_TRY(kymo_parquet_put(t->parquet, p->column, t->value, nullable ? t->present : NULL,
                                  n, err));
    }
    return KYMO_OK;
}

static kymo_status put(void *self, const struct kymo_export_rows *r, const struct kymo_batch *b,
                       const uint32_t *row, uint32_t n, struct kymo_err *err)
{
    struct kymo_tabular *t = self;
    while (n) {
        const uint32_t room = kymo_parquet_room(t->parquet);
        const uint32_t take = n < room ? n : room;
        memset(t->errno_at, 0xff, sizeof(t->errno_at));
        for (size_t c = 0; c < t->n; c++) {
            const struct piece p = {t, &r->fields, &r->fields.field[c], c, b, row, take};
            KYMO_TRY(put_column(&p, err));
        }
        KYMO_TRY(kymo_parquet_rows(t->parquet, take, err));
        row += take;
        n -= take;
    }
    return KYMO_OK;
}

struct kymo_export_sink kymo_tabular_sink(struct kymo_tabular *t)
{
    return (struct kymo_export_sink){
        .self = t, .takes = takes, .begin = begin, .put = put, .wants_wall = 1};
}

kymo_status kymo_tabular_finish(struct kymo_tabular *t, struct kymo_err *err)
{
    if (!t->parquet)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "the input has neither a table syscall nor features; choose a table "
                         "with -t");
    return kymo_parquet_finish(t->parquet, err);
}
