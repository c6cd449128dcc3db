/* SPDX-License-Identifier: Apache-2.0 */
#include "format/export/walk.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/filter.h"
#include "format/trace/reader.h"

#define ARENA_BYTES ((size_t)16 << 20)
#define TABLES_MAX 256u

struct kymo_walk {
    const struct kymo_export_ask *ask;
    const struct kymo_export_sink *sink;
    struct kymo_filter *filter;
    struct kymo_names *names;
    struct kymo_arena arena; /* fields of the schema at hand */
    uint64_t n_rows;
    /* of the file at hand */
    kymo_reader *reader;
    int is_pipe;
    struct kymo_walltime wall;
    struct kymo_export_rows rows;
    uint8_t *want; /* [n_columns] of the schema at hand */
    int ts, is_passed, n_bound, n_begun;
    struct kymo_err misfit;
    uint32_t pick[KYMO_CHUNK_ROWS_MAX];
};

kymo_status kymo_walk_open(struct kymo_walk **out, const struct kymo_export_ask *ask,
                           const struct kymo_export_sink *sink, struct kymo_err *err)
{
    struct kymo_walk *w = calloc(1, sizeof(*w));
    if (!w)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for an export");
    w->ask = ask;
    w->sink = sink;
    kymo_arena_init(&w->arena, ARENA_BYTES);
    kymo_status s = kymo_names_open(&w->names, err);
    if (!s && ask->filter)
        s = kymo_filter_open(&w->filter, ask->filter, err);
    if (s) {
        kymo_walk_close(w);
        return s;
    }
    *out = w;
    return KYMO_OK;
}

void kymo_walk_close(struct kymo_walk *w)
{
    if (!w)
        return;
    kymo_filter_close(w->filter);
    kymo_names_close(w->names);
    kymo_arena_release(&w->arena);
    free(w);
}

uint64_t kymo_walk_rows(const struct kymo_walk *w)
{
    return w->n_rows;
}

static int is_asked(const struct kymo_walk *w, const char *table)
{
    for (size_t i = 0; i < w->ask->n_tables; i++)
        if (!strcmp(w->ask->table[i], table))
            return 1;
    return !w->ask->n_tables && w->sink->takes(w->sink->self, table);
}

/* -------- what a schema needs -------- */

/* As kymo cat: a filter about no table is a mistake; one that is not about every table passes the
 * others by, unless they were asked for. */
static kymo_status bind_filter(struct kymo_walk *w, const struct kymo_schema *s,
                               struct kymo_err *err)
{
    w->is_passed = 0;
    if (!w->filter)
        return KYMO_OK;
    const kymo_status status =
        kymo_filter_bind(w->filter, s, w->names, w->rows.fields.start_ns, &w->misfit);
    w->n_bound += !status;
    if (status == KYMO_EUSAGE && !w->ask->n_tables) {
        w->is_passed = 1;
        return KYMO_OK;
    }
    if (status && err)
        *err = w->misfit;
    return status;
}

/* The names that the sink gets: those that were asked for, or all, and `wall` where it wants it. */
static kymo_status resolve_fields(struct kymo_walk *w, const struct kymo_schema *s,
                                  struct kymo_err *err)
{
    struct kymo_fields *f = &w->rows.fields;
    KYMO_TRY(kymo_fields_resolve(f, s, w->ask->column, w->ask->n_columns, &w->arena, err));
    if (w->ask->n_columns || !w->sink->wants_wall || !w->wall.n || kymo_schema_ts(s) < 0 ||
        kymo_schema_column(s, "wall") >= 0)
        return KYMO_OK;
    struct kymo_field *field = KYMO_NEW(&w->arena, struct kymo_field, f->n + 1);
    if (!field)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "too many columns for the memory budget");
    memcpy(field, f->field, f->n * sizeof(*field));
    field[f->n] = (struct kymo_field){
        .name = "wall", .source = KYMO_FIELD_WALL, .column = (uint32_t)kymo_schema_ts(s)};
    f->field = field;
    f->n++;
    return KYMO_OK;
}

/* Chunks outside of these times need not be read. A pipe brings its clock among them, and has no
 * seek to save. */
static void ask_time(const struct kymo_walk *w)
{
    const uint64_t start = w->rows.fields.start_ns, room = UINT64_MAX - start;
    kymo_reader_time(w->reader, start + (w->ask->since_ns < room ? w->ask->since_ns : room),
                     start + (w->ask->until_ns < room ? w->ask->until_ns : room));
}

static kymo_status begin_schema(struct kymo_walk *w, const struct kymo_schema *s,
                                struct kymo_err *err)
{
    kymo_arena_reset(&w->arena);
    w->rows.schema = s;
    w->rows.fields = (struct kymo_fields){
        .names = w->names, .wall = &w->wall, .start_ns = kymo_reader_start_ns(w->reader)};
    w->ts = kymo_schema_ts(s);
    w->want = KYMO_NEW(&w->arena, uint8_t, s->n_columns);
    if (!w->want)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a schema");
    if (!w->is_pipe && w->rows.fields.start_ns)
        ask_time(w);
    KYMO_TRY(bind_filter(w, s, err));
    if (w->is_passed)
        return KYMO_OK;
    KYMO_TRY(resolve_fields(w, s, err));
    w->n_begun++;
    return w->sink->begin ? w->sink->begin(w->sink->self, &w->rows, err) : KYMO_OK;
}

/* -------- rows -------- */

static int cuts_time(const struct kymo_walk *w)
{
    return w->ask->since_ns || w->ask->until_ns != UINT64_MAX;
}

static int in_time(const struct kymo_walk *w, const struct kymo_batch *b, uint32_t row)
{
    const uint64_t start = w->rows.fields.start_ns;
    const uint64_t ts = kymo_batch_u64(b, (uint32_t)w->ts, row);
    const uint64_t since = ts < start ? 0 : ts - start;
    return since >= w->ask->since_ns && since <= w->ask->until_ns;
}

/* Tasks and keys are few: they are asked first. */
static void keep_few(const struct kymo_schema *s, uint8_t *want)
{
    for (uint32_t i = 0; i < s->n_columns; i++)
        if (s->column[i].order != KYMO_ORDER_TASK && s->column[i].order != KYMO_ORDER_KEY)
            want[i] = 0;
}

/* What the filter looks at, first of tasks and keys, then of rows. any out: 0: no row passes. */
static kymo_status ask_filter(struct kymo_walk *w, const struct kymo_batch *b, int *any,
                              struct kymo_err *err)
{
    for (int few = 1; few >= 0 && *any; few--) {
        memset(w->want, 0, b->schema->n_columns);
        kymo_filter_need(w->filter, w->want);
        if (few)
            keep_few(b->schema, w->want);
        KYMO_TRY(kymo_reader_more(w->reader, w->want, err));
        KYMO_TRY(kymo_filter_begin(w->filter, b, err));
        *any = kymo_filter_may_match(w->filter);
    }
    return KYMO_OK;
}

/* Rows of the batch that are wanted into pick. */
static kymo_status pick_rows(struct kymo_walk *w, const struct kymo_batch *b, uint32_t *n,
                             struct kymo_err *err)
{
    const int by_time = w->ts >= 0 && cuts_time(w);
    int any = 1;
    *n = 0;
    if (w->filter)
        KYMO_TRY(ask_filter(w, b, &any, err));
    if (!any)
        return KYMO_OK;
    memset(w->want, 0, b->schema->n_columns);
    if (by_time) {
        w->want[w->ts] = 1;
        KYMO_TRY(kymo_reader_more(w->reader, w->want, err));
    }
    for (uint32_t i = 0; i < b->n_rows; i++) {
        w->pick[*n] = i;
        *n += (!by_time || in_time(w, b, i)) && (!w->filter || kymo_filter_match(w->filter, i));
    }
    return KYMO_OK;
}

static kymo_status put_batch(struct kymo_walk *w, const struct kymo_batch *b,
                             struct kymo_err *err)
{
    uint32_t n;
    KYMO_TRY(pick_rows(w, b, &n, err));
    if (!n)
        return KYMO_OK;
    memset(w->want, 0, b->schema->n_columns);
    kymo_fields_need(&w->rows.fields, w->want);
    KYMO_TRY(kymo_reader_more(w->reader, w->want, err));
    w->n_rows += n;
    return w->sink->put(w->sink->self, &w->rows, b, w->pick, n, err);
}

/* -------- files -------- */

/* Anchors come before the rows, so a file that can be read twice is asked for them first. */
static kymo_status learn_clock(struct kymo_walk *w, const char *path, struct kymo_err *err)
{
    static const char *const clock[] = {"clock"};
    const struct kymo_batch *b = NULL;
    kymo_reader *r;
    KYMO_TRY(kymo_reader_open(&r, path, 0, err));
    kymo_status s = kymo_reader_select(r, clock, 1, err);
    while (!s && !(s = kymo_reader_next(r, &b, err)) && b)
        s = kymo_walltime_learn(&w->wall, b, err);
    kymo_reader_close(r);
    /* what is wrong behind the anchors, the rows' own walk says in its place */
    return s == KYMO_ETORN || s == KYMO_ECORRUPT ? KYMO_OK : s;
}

static kymo_status ask_tables(struct kymo_walk *w, struct kymo_err *err)
{
    const char *name[TABLES_MAX + 2];
    size_t n = 0;
    if (!w->ask->n_tables)
        return KYMO_OK;
    for (; n < w->ask->n_tables && n < TABLES_MAX; n++)
        name[n] = w->ask->table[n];
    name[n++] = KYMO_TABLE_SYSNAME.table;
    name[n++] = KYMO_TABLE_CLOCK.table;
    return kymo_reader_select(w->reader, name, n, err);
}

/* Columns are decoded when a chunk's rows are wanted; but for the tables that are learned from. */
static kymo_status ask_columns(struct kymo_walk *w, struct kymo_err *err)
{
    static const char *const name[] = {"arch", "nr", "name"};
    static const char *const clock[] = {"ts", "boot", "real"};
    kymo_reader_lazy(w->reader);
    KYMO_TRY(kymo_reader_columns(w->reader, KYMO_TABLE_SYSNAME.table, name, KYMO_COUNT_OF(name),
                                 err));
    return kymo_reader_columns(w->reader, KYMO_TABLE_CLOCK.table, clock, KYMO_COUNT_OF(clock),
                               err);
}

/* A table that was announced and asked for, but has no rows, is an empty table. */
static kymo_status begin_empty(struct kymo_walk *w, struct kymo_err *err)
{
    const size_t n = kymo_reader_schemas(w->reader);
    int is_there = 0;
    for (size_t i = 0; i < n; i++) {
        const struct kymo_schema *s = kymo_reader_schema(w->reader, i);
        if (!is_asked(w, s->table))
            continue;
        is_there = 1;
        if (!w->n_begun)
            KYMO_TRY(begin_schema(w, s, err));
    }
    if (!is_there && w->ask->n_tables)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "%s has no table %s", w->rows.path,
                         w->ask->table[0]);
    return KYMO_OK;
}

static kymo_status read_rows(struct kymo_walk *w, const volatile sig_atomic_t *stop,
                             struct kymo_err *err)
{
    const struct kymo_batch *b;
    while (!*stop) {
        KYMO_TRY(kymo_reader_next(w->reader, &b, err));
        if (!b)
            return begin_empty(w, err);
        KYMO_TRY(kymo_names_learn(w->names, b, err));
        if (w->is_pipe)
            KYMO_TRY(kymo_walltime_learn(&w->wall, b, err));
        if (!is_asked(w, b->schema->table))
            continue;
        if (w->rows.schema != b->schema)
            KYMO_TRY(begin_schema(w, b->schema, err));
        if (!w->is_passed)
            KYMO_TRY(put_batch(w, b, err));
    }
    return KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE, "stopped by a signal");
}

kymo_status kymo_walk_file(struct kymo_walk *w, const char *path,
                           const volatile sig_atomic_t *stop, struct kymo_err *err)
{
    w->is_pipe = strcmp(path, "-") == 0;
    w->wall.n = 0;
    w->rows = (struct kymo_export_rows){.path = path};
    w->n_bound = w->n_begun = 0;
    w->misfit.code = KYMO_OK;
    if (!w->is_pipe)
        KYMO_TRY(learn_clock(w, path, err));
    KYMO_TRY(kymo_reader_open(&w->reader, path, 0, err));
    kymo_status s = ask_tables(w, err);
    if (!s)
        s = ask_columns(w, err);
    if (!s && w->sink->file)
        s = w->sink->file(w->sink->self, path, err);
    if (!s)
        s = read_rows(w, stop, err);
    if (!s && !w->n_bound && w->misfit.code) {
        if (err)
            *err = w->misfit;
        s = w->misfit.code;
    }
    kymo_reader_close(w->reader);
    return s;
}
