/* SPDX-License-Identifier: Apache-2.0
 * gather.c: a set of rows a table, and the order in which they are written.
 */
#include "format/file/gather.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/chunk.h"
#include "format/trace/copy.h"

/* Rows of one table; a table of very many columns gets fewer, so that none asks for gigabytes. */
#define TABLE_BYTES ((size_t)64 << 20)
#define TABLES_BYTES_MAX ((size_t)1 << 30)
#define TABLE_ROWS_MIN 64u
#define TABLE_ROWS_SMALL 16384u
#define SCHEMAS_BYTES ((size_t)64 << 20)
/* Readers hold the windows of what a seal has not closed yet: an archive keeps that to a minute. */
#define IN_FLIGHT_NS 60000000000u

struct table {
    uint64_t of; /* hash of the schema that rows come with */
    const struct kymo_schema *schema;
    struct kymo_rows *rows;
    struct kymo_copy *copy;
    int host; /* column that was added, or -1 */
    int ts;
    int rank; /* place in a flush */
};

struct kymo_gather {
    struct kymo_writer *w;
    struct kymo_gather_opts o;
    struct kymo_arena schemas;
    struct table *table;
    size_t n_tables;
    size_t table_bytes;
    char *host;
    uint32_t *all; /* 0, 1, 2, ... */
    uint64_t count;
    uint64_t sealed_ns;  /* what the source promised last */
    uint64_t flushed_ns; /* the promise at the last flush */
    int is_begun;        /* a chunk with times was written */
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory to gather rows");
}

static const char *const books[] = {"process", "fd",    "mark",    "cgroup",
                                    "cost",    "clock", "context", "loss"};

int kymo_is_event_table(const char *table)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(books); i++)
        if (!strcmp(table, books[i]))
            return 0;
    return strcmp(table, "sysname") != 0;
}

static int rank_of(const char *table)
{
    if (!strcmp(table, "sysname"))
        return 0;
    for (size_t i = 0; i < KYMO_COUNT_OF(books); i++)
        if (!strcmp(table, books[i]))
            return 2 + (int)i;
    return 1;
}

kymo_status kymo_gather_open(struct kymo_gather **out, struct kymo_writer *w,
                             const struct kymo_gather_opts *o, struct kymo_err *err)
{
    struct kymo_gather *g = calloc(1, sizeof(*g));
    if (!g)
        return no_memory(err);
    g->w = w;
    g->o = *o;
    kymo_arena_init(&g->schemas, SCHEMAS_BYTES);
    g->all = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*g->all));
    if (!g->all) {
        kymo_gather_close(g);
        return no_memory(err);
    }
    for (uint32_t i = 0; i < KYMO_CHUNK_ROWS_MAX; i++)
        g->all[i] = i;
    *out = g;
    return KYMO_OK;
}

void kymo_gather_close(struct kymo_gather *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_tables; i++) {
        kymo_copy_close(g->table[i].copy);
        kymo_rows_close(g->table[i].rows);
    }
    free(g->table);
    free(g->all);
    free(g->host);
    kymo_arena_release(&g->schemas);
    free(g);
}

kymo_status kymo_gather_host(struct kymo_gather *g, const char *host, struct kymo_err *err)
{
    char *copy = strdup(host);
    if (!copy)
        return no_memory(err);
    free(g->host);
    g->host = copy;
    for (size_t i = 0; i < g->n_tables; i++)
        if (g->table[i].host >= 0 && g->table[i].copy)
            KYMO_TRY(
                kymo_copy_constant(g->table[i].copy, (uint32_t)g->table[i].host, host, err));
    return KYMO_OK;
}

/* -------- tables -------- */

/* Our own copy of a schema, as its reader may be closed before we are; with one more column. */
static kymo_status own_schema(struct kymo_gather *g, const struct kymo_schema *s, int with_host,
                              const struct kymo_schema **out, struct kymo_err *err)
{
    struct kymo_buf encoded = {0};
    struct kymo_schema wider = *s, *own = NULL;
    struct kymo_column_def *column = NULL;
    if (with_host) {
        column = malloc(((size_t)s->n_columns + 1) * sizeof(*column));
        if (!column)
            return no_memory(err);
        memcpy(column, s->column, s->n_columns * sizeof(*column));
        column[s->n_columns] = (struct kymo_column_def){
            "host", "", KYMO_T_STR,
            kymo_schema_is_grouped(s) ? KYMO_ORDER_TASK : KYMO_ORDER_ROW, 0};
        wider.column = column;
        wider.n_columns++;
    }
    kymo_schema_encode(&wider, &encoded);
    const kymo_status status =
        encoded.failed
            ? no_memory(err)
            : kymo_schema_decode(&own, kymo_bytes_view(encoded.p, encoded.n, KYMO_NOWHERE),
                                 &g->schemas, err);
    kymo_buf_release(&encoded);
    free(column);
    *out = own;
    return status;
}

static uint32_t rows_for(const struct kymo_gather *g, const struct kymo_schema *s)
{
    const size_t fit = TABLE_BYTES / ((size_t)s->n_columns * 9 + 8);
    const size_t most =
        kymo_schema_is_grouped(s) || g->o.archive ? KYMO_CHUNK_ROWS_MAX : TABLE_ROWS_SMALL;
    return (uint32_t)(fit < TABLE_ROWS_MIN ? TABLE_ROWS_MIN : fit < most ? fit : most);
}

static kymo_status open_table(struct kymo_gather *g, struct table *t,
                              const struct kymo_schema *s, struct kymo_err *err)
{
    const int with_host = g->o.with_host && kymo_schema_column(s, "host") < 0;
    KYMO_TRY(own_schema(g, s, with_host, &t->schema, err));
    t->host = with_host ? (int)t->schema->n_columns - 1 : -1;
    t->ts = kymo_schema_ts(t->schema);
    t->rank = rank_of(t->schema->table);
    return KYMO_OK;
}

/* Memory for rows, when there are any: chunks that pass as they are need none. */
static kymo_status open_rows(struct kymo_gather *g, struct table *t, struct kymo_err *err)
{
    const uint32_t cap = rows_for(g, t->schema);
    const size_t bytes = (size_t)cap * (t->schema->n_columns * 9 + 8);
    if (t->copy)
        return KYMO_OK;
    if (bytes > TABLES_BYTES_MAX - g->table_bytes)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "%zu tables at once pass the memory budget", g->n_tables);
    if (!t->rows)
        KYMO_TRY(kymo_rows_open(&t->rows, t->schema, cap, err));
    KYMO_TRY(kymo_copy_open(&t->copy, t->rows, err));
    g->table_bytes += bytes;
    return t->host >= 0 && g->host
               ? kymo_copy_constant(t->copy, (uint32_t)t->host, g->host, err)
               : KYMO_OK;
}

static kymo_status find_table(struct kymo_gather *g, const struct kymo_schema *s,
                              struct table **out, struct kymo_err *err)
{
    const uint64_t hash = s->hash ? s->hash : kymo_schema_hash(s);
    if (!hash)
        return no_memory(err);
    for (size_t i = 0; i < g->n_tables; i++)
        if (g->table[i].of == hash) {
            *out = &g->table[i];
            return KYMO_OK;
        }
    struct table *table = realloc(g->table, (g->n_tables + 1) * sizeof(*table));
    if (!table)
        return no_memory(err);
    g->table = table;
    struct table *t = &g->table[g->n_tables++];
    *t = (struct table){.of = hash};
    *out = t;
    const kymo_status status = open_table(g, t, s, err);
    g->n_tables -= status != KYMO_OK;
    return status;
}

/* -------- writing -------- */

/* The rows of a table by time, those of one time as they came: a place each, then a pass a column. */
struct place {
    uint64_t ts;
    uint32_t row;
};

static int by_time(const void *a, const void *b)
{
    const struct place *p = a, *q = b;
    return p->ts != q->ts ? (p->ts > q->ts) - (p->ts < q->ts)
                          : (p->row > q->row) - (p->row < q->row);
}

static void move_lanes(struct kymo_rows *r, const struct place *place, void *scratch)
{
    const uint32_t n = r->n_rows;
    uint64_t *lane = scratch;
    uint32_t *task = scratch;
    uint16_t *key = scratch;
    uint8_t *present = scratch;
    for (uint32_t c = 0; c < r->schema->n_columns; c++) {
        const uint8_t order = r->schema->column[c].order;
        if (order == KYMO_ORDER_TASK || order == KYMO_ORDER_KEY)
            continue;
        for (uint32_t i = 0; i < n; i++)
            lane[i] = r->lane[c][place[i].row];
        memcpy(r->lane[c], lane, n * sizeof(*lane));
        for (uint32_t i = 0; r->present[c] && i < n; i++)
            present[i] = r->present[c][place[i].row];
        if (r->present[c])
            memcpy(r->present[c], present, n);
    }
    if (!r->task)
        return;
    for (uint32_t i = 0; i < n; i++)
        task[i] = r->task[place[i].row];
    memcpy(r->task, task, n * sizeof(*task));
    for (uint32_t i = 0; i < n; i++)
        key[i] = r->key[place[i].row];
    memcpy(r->key, key, n * sizeof(*key));
}

static kymo_status sort_rows(const struct kymo_gather *g, struct table *t, struct kymo_err *err)
{
    const uint32_t n = t->rows->n_rows;
    uint32_t falls = 0;
    if (!g->o.sort || t->ts < 0)
        return KYMO_OK;
    const uint64_t *ts = t->rows->lane[t->ts];
    for (uint32_t i = 1; i < n && !falls; i++)
        falls = ts[i] < ts[i - 1];
    if (!falls)
        return KYMO_OK;
    struct place *place = malloc(n * sizeof(*place));
    void *scratch = malloc(n * sizeof(uint64_t));
    for (uint32_t i = 0; place && i < n; i++)
        place[i] = (struct place){ts[i], i};
    if (place && scratch) {
        qsort(place, n, sizeof(*place), by_time);
        move_lanes(t->rows, place, scratch);
    }
    const int sorted = place && scratch;
    free(place);
    free(scratch);
    return sorted ? KYMO_OK : no_memory(err);
}

static kymo_status put_table(struct kymo_gather *g, struct table *t, uint64_t sealed_ns,
                             struct kymo_err *err)
{
    if (!t->rows || !t->rows->n_rows)
        return KYMO_OK;
    KYMO_TRY(sort_rows(g, t, err));
    const struct kymo_batch b = kymo_rows_view(t->rows);
    const int seals = sealed_ns && t->ts >= 0 && b.ts_max_ns <= sealed_ns;
    KYMO_TRY(kymo_writer_put(g->w, &b, seals ? KYMO_CHUNK_SEAL : 0, err));
    g->is_begun |= t->ts >= 0;
    kymo_copy_clear(t->copy);
    return KYMO_OK;
}

/* How far the table of the last rank with rows lies: that chunk carries the seal. */
static int last_rank(const struct kymo_gather *g)
{
    int last = -1;
    for (size_t i = 0; i < g->n_tables; i++)
        if (g->table[i].rows && g->table[i].rows->n_rows && g->table[i].rank > last)
            last = g->table[i].rank;
    return last;
}

static kymo_status put_rank(struct kymo_gather *g, int rank, uint64_t sealed_ns,
                            struct kymo_err *err)
{
    for (size_t i = 0; i < g->n_tables; i++)
        if (g->table[i].rank == rank)
            KYMO_TRY(put_table(g, &g->table[i], sealed_ns, err));
    return KYMO_OK;
}

static kymo_status put_all(struct kymo_gather *g, uint64_t sealed_ns, struct kymo_err *err)
{
    enum { LOSS = 2 + (int)KYMO_COUNT_OF(books) - 1 };
    KYMO_TRY(put_rank(g, 0, 0, err));
    KYMO_TRY(put_rank(g, 1, last_rank(g) == 1 ? sealed_ns : 0, err));
    /* Nothing happened yet: the losses begin the capture, unsealed, as older books follow them. */
    if (!g->is_begun)
        KYMO_TRY(put_rank(g, LOSS, 0, err));
    const int last = last_rank(g);
    for (int rank = 2; rank <= last; rank++)
        KYMO_TRY(put_rank(g, rank, rank == last ? sealed_ns : 0, err));
    return KYMO_OK;
}

kymo_status kymo_gather_flush(struct kymo_gather *g, uint64_t sealed_ns, int force,
                              struct kymo_err *err)
{
    if (sealed_ns > g->sealed_ns)
        g->sealed_ns = sealed_ns;
    if (!g->flushed_ns)
        g->flushed_ns = g->sealed_ns;
    /* The first flush is not put off, so that an archive starts with what its source does. */
    if (g->o.archive && g->is_begun && !force && g->sealed_ns - g->flushed_ns < IN_FLIGHT_NS)
        return KYMO_OK;
    g->flushed_ns = g->sealed_ns;
    return put_all(g, sealed_ns, err);
}

/* -------- rows -------- */

static void map_times(struct table *t, uint32_t from, struct kymo_clockmap *map)
{
    for (uint32_t i = from; map && t->ts >= 0 && i < t->rows->n_rows; i++)
        t->rows->lane[t->ts][i] = kymo_clockmap_apply(map, t->rows->lane[t->ts][i]);
}

kymo_status kymo_gather_rows(struct kymo_gather *g, const struct kymo_batch *b,
                             const uint32_t *row, uint32_t n, struct kymo_clockmap *map,
                             struct kymo_err *err)
{
    struct table *t;
    const uint32_t *list = row ? row : g->all;
    if (!n)
        return KYMO_OK;
    KYMO_TRY(find_table(g, b->schema, &t, err));
    KYMO_TRY(open_rows(g, t, err));
    KYMO_TRY(kymo_copy_begin(t->copy, b, err));
    for (uint32_t at = 0, k; at < n; at += k) {
        const uint32_t from = t->rows->n_rows;
        KYMO_TRY(kymo_copy_rows(t->copy, list + at, n - at, &k, err));
        map_times(t, from, map);
        if (at + k == n)
            break;
        KYMO_TRY(put_table(g, t, 0, err));
    }
    g->count += n;
    return KYMO_OK;
}

kymo_status kymo_gather_declare(struct kymo_gather *g, const struct kymo_schema *s,
                                struct kymo_err *err)
{
    struct table *t;
    KYMO_TRY(find_table(g, s, &t, err));
    return kymo_writer_declare(g->w, t->schema, err);
}

int kymo_gather_can_pass(const struct kymo_gather *g)
{
    return !g->o.archive && !g->o.with_host;
}

kymo_status kymo_gather_pass(struct kymo_gather *g, const struct kymo_batch *b,
                             struct kymo_err *err)
{
    struct table *t;
    KYMO_TRY(find_table(g, b->schema, &t, err));
    KYMO_TRY(put_table(g, t, 0, err));
    KYMO_TRY(kymo_writer_put(g->w, b, 0, err));
    g->is_begun |= t->ts >= 0;
    g->count += b->n_rows;
    return KYMO_OK;
}

uint64_t kymo_gather_count(const struct kymo_gather *g)
{
    return g->count;
}
