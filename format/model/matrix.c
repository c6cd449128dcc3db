/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/matrix.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/bytes.h"
#include "format/base/size.h"
#include "format/trace/reader.h"
#include "format/trace/writer.h"

#define MATRIX_CHUNK_ROWS 2048u
#define MATRIX_ZSTD_LEVEL 3
#define ENTITIES_MAX (1u << 20)

const char *const kymo_matrix_tables[] = {"features", "span", "capture"};
const size_t kymo_matrix_tables_n = KYMO_COUNT_OF(kymo_matrix_tables);

/* Columns of a features table before those of the spec. */
enum { F_TS, F_DUR, F_REAL, F_CAPTURE, F_ENTITY, F_EVENTS, F_LOST, F_FIRST };
static const struct kymo_column_def row_columns[F_FIRST] = {
    {"ts", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"dur", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"real", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"capture", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"entity", "", KYMO_T_STR, KYMO_ORDER_ROW, 0},
    {"events", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"lost", "share", KYMO_T_F64, KYMO_ORDER_ROW, 0},
};

enum { S_TS, S_DUR, S_CAPTURE, S_NAME, S_COLUMNS };
static const struct kymo_column_def span_columns[S_COLUMNS] = {
    {"ts", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"dur", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"capture", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"name", "", KYMO_T_STR, KYMO_ORDER_ROW, 0},
};

enum {
    C_TS,
    C_FIRST,
    C_CAPTURE,
    C_NAME,
    C_XXH3,
    C_ROWS,
    C_LATE,
    C_STORED,
    C_DROPPED,
    C_WINDOWS,
    C_TORN,
    C_FROM,
    C_COLUMNS
};
static const struct kymo_column_def capture_columns[C_COLUMNS] = {
    {"ts", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"first", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"capture", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"name", "", KYMO_T_STR, KYMO_ORDER_ROW, 0},
    {"xxh3", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"rows", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"late", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"stored", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"dropped", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"windows", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"torn", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"from", "", KYMO_T_U64, KYMO_ORDER_ROW, 0}, /* bits, enum kymo_feature_from */
};

void kymo_matrix_init(struct kymo_matrix *m, size_t cap_bytes)
{
    memset(m, 0, sizeof(*m));
    kymo_arena_init(&m->arena, cap_bytes ? cap_bytes : KYMO_MATRIX_BYTES_MAX);
}

void kymo_matrix_release(struct kymo_matrix *m)
{
    kymo_arena_release(&m->arena);
    kymo_buf_release(&m->values);
    kymo_buf_release(&m->rows);
    free(m->entity);
    free(m->entity_slot);
    free(m->span);
    free(m->capture);
    free(m->conduct);
    memset(m, 0, sizeof(*m));
}

static kymo_status too_large(const struct kymo_matrix *m, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the matrix passes the memory budget of %zu MiB",
                     m->arena.cap_bytes >> 20);
}

kymo_status kymo_matrix_set_spec(struct kymo_matrix *m, const struct kymo_feature_spec *spec,
                                 struct kymo_err *err)
{
    m->spec = KYMO_NEW(&m->arena, struct kymo_feature_spec, 1);
    m->column = KYMO_NEW(&m->arena, struct kymo_matrix_column, spec->d);
    if (!m->spec || !m->column)
        return too_large(m, err);
    *m->spec = *spec;
    m->has_spec = m->has_names = 1;
    m->d = spec->d;
    for (size_t j = 0; j < m->d; j++)
        m->column[j] =
            (struct kymo_matrix_column){m->spec->column[j].name, m->spec->column[j].unit};
    return KYMO_OK;
}

static void point_at_values(struct kymo_matrix *m)
{
    m->X = m->is_f32 ? NULL : (double *)(void *)m->values.p;
    m->X32 = m->is_f32 ? (float *)(void *)m->values.p : NULL;
}

kymo_status kymo_matrix_reserve(struct kymo_matrix *m, size_t n, struct kymo_err *err)
{
    size_t rows, bytes;
    const size_t cell = m->is_f32 ? sizeof(float) : sizeof(double);
    if (!kymo_size_add(m->n, n, &rows) || !kymo_size_mul(rows, m->d * cell, &bytes) ||
        bytes > m->arena.cap_bytes || !kymo_buf_reserve(&m->values, n * m->d * cell))
        return too_large(m, err);
    point_at_values(m);
    return KYMO_OK;
}

kymo_status kymo_matrix_add(struct kymo_matrix *m, const double *x, struct kymo_err *err)
{
    KYMO_TRY(kymo_matrix_reserve(m, 1, err));
    if (!m->is_f32) {
        kymo_buf_put(&m->values, x, m->d * sizeof(double));
    } else {
        float *to = m->X32 + m->n * m->d;
        for (size_t j = 0; j < m->d; j++)
            to[j] = (float)x[j];
        m->values.n += m->d * sizeof(float);
    }
    m->n++;
    return KYMO_OK;
}

/* Where a name is or goes. */
static uint32_t *entity_slot(const struct kymo_matrix *m, const char *s, size_t n)
{
    size_t at = (size_t)XXH3_64bits(s, n) & (2 * m->cap_entities - 1);
    while (m->entity_slot[at]) {
        const char *known = m->entity[m->entity_slot[at] - 1];
        if (strlen(known) == n && memcmp(known, s, n) == 0)
            break;
        at = (at + 1) & (2 * m->cap_entities - 1);
    }
    return &m->entity_slot[at];
}

static int grow_entities(struct kymo_matrix *m)
{
    const size_t cap = m->cap_entities ? m->cap_entities * 2 : 16;
    if (cap > ENTITIES_MAX)
        return 0;
    char **p = realloc(m->entity, cap * sizeof(*p));
    if (p)
        m->entity = p;
    uint32_t *slot = p ? calloc(2 * cap, sizeof(*slot)) : NULL;
    if (!slot)
        return 0;
    free(m->entity_slot);
    m->entity_slot = slot;
    m->cap_entities = cap;
    for (size_t i = 0; i < m->n_entities; i++)
        *entity_slot(m, m->entity[i], strlen(m->entity[i])) = (uint32_t)i + 1;
    return 1;
}

/* One pointer a name; NULL: too many. */
const char *kymo_matrix_entity(struct kymo_matrix *m, const char *s, size_t n)
{
    if (m->cap_entities && *entity_slot(m, s, n))
        return m->entity[*entity_slot(m, s, n) - 1];
    if (m->n_entities == m->cap_entities && !grow_entities(m))
        return NULL;
    char *name = kymo_arena_str(&m->arena, s, n);
    if (!name)
        return NULL;
    m->entity[m->n_entities++] = name;
    *entity_slot(m, name, n) = (uint32_t)m->n_entities;
    return name;
}

static kymo_status add_row(struct kymo_matrix *m, const struct kymo_matrix_row *r,
                           struct kymo_err *err)
{
    kymo_buf_put(&m->rows, r, sizeof(*r));
    if (m->rows.failed)
        return too_large(m, err);
    m->row = (struct kymo_matrix_row *)(void *)m->rows.p;
    return KYMO_OK;
}

kymo_status kymo_matrix_window(void *ctx, const struct kymo_window *w, struct kymo_err *err)
{
    struct kymo_matrix *m = ctx;
    const char *entity = kymo_matrix_entity(m, w->entity, strlen(w->entity));
    if (!entity)
        return too_large(m, err);
    const struct kymo_matrix_row r = {w->start_ns, w->dur_ns,  w->real_ns, w->events,
                                      w->lost,     w->capture, entity};
    KYMO_TRY(add_row(m, &r, err));
    return kymo_matrix_add(m, w->x, err);
}

kymo_status kymo_matrix_add_capture(struct kymo_matrix *m,
                                    const struct kymo_capture_facts *facts,
                                    const struct kymo_span *span, size_t n_spans,
                                    struct kymo_err *err)
{
    struct kymo_capture_facts *c = realloc(m->capture, (m->n_captures + 1) * sizeof(*c));
    if (!c)
        return too_large(m, err);
    m->capture = c;
    struct kymo_span *s = realloc(m->span, (m->n_spans + n_spans + 1) * sizeof(*s));
    if (!s)
        return too_large(m, err);
    m->span = s;
    m->capture[m->n_captures] = *facts;
    m->capture[m->n_captures++].name =
        kymo_arena_str(&m->arena, facts->name, strlen(facts->name));
    for (size_t i = 0; i < n_spans; i++) {
        m->span[m->n_spans] = span[i];
        m->span[m->n_spans++].name =
            kymo_arena_str(&m->arena, span[i].name, strlen(span[i].name));
        if (!m->span[m->n_spans - 1].name)
            return too_large(m, err);
    }
    return m->capture[m->n_captures - 1].name ? KYMO_OK : too_large(m, err);
}

static kymo_status check_alike(const struct kymo_matrix *m, const struct kymo_matrix *more,
                               const char *name, struct kymo_err *err)
{
    if (m->spec && more->spec)
        KYMO_TRY(kymo_feature_spec_match(m->spec, more->spec, name, err));
    if (m->d != more->d || m->is_f32 != more->is_f32 || !m->spec != !more->spec ||
        !m->row != !more->row)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s is no matrix like the first: other columns, precision or kind of "
                         "file",
                         name);
    for (size_t j = 0; j < m->d; j++)
        if (strcmp(m->column[j].name, more->column[j].name) != 0)
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                             "%s: column %zu is '%.80s', in the first matrix '%.80s'", name,
                             j + 1, more->column[j].name, m->column[j].name);
    return KYMO_OK;
}

kymo_status kymo_matrix_append(struct kymo_matrix *m, const struct kymo_matrix *more,
                               const char *name, struct kymo_err *err)
{
    const uint32_t captures = (uint32_t)m->n_captures;
    KYMO_TRY(check_alike(m, more, name, err));
    KYMO_TRY(kymo_matrix_reserve(m, more->n, err));
    kymo_buf_put(&m->values, more->values.p, more->values.n);
    for (size_t i = 0; more->row && i < more->n; i++) {
        struct kymo_matrix_row r = more->row[i];
        r.capture += captures;
        r.entity = kymo_matrix_entity(m, r.entity, strlen(r.entity));
        if (!r.entity)
            return too_large(m, err);
        KYMO_TRY(add_row(m, &r, err));
    }
    m->n += more->n;
    for (size_t c = 0; c < more->n_captures; c++) {
        size_t first = 0, n = 0;
        while (first < more->n_spans && more->span[first].capture != c)
            first++;
        while (first + n < more->n_spans && more->span[first + n].capture == c)
            n++;
        KYMO_TRY(kymo_matrix_add_capture(m, &more->capture[c], more->span + first, n, err));
        for (size_t i = m->n_spans - n; i < m->n_spans; i++)
            m->span[i].capture += captures;
    }
    return kymo_matrix_append_conducts(m, more, captures, err);
}

kymo_status kymo_matrix_check(const struct kymo_matrix *m, const char *name,
                              struct kymo_err *err)
{
    for (size_t i = 0; i < m->n; i++)
        for (size_t j = 0; j < m->d; j++)
            if (!isfinite(kymo_matrix_at(m, i, j)))
                return KYMO_FAIL(
                    err, KYMO_EINPUT, KYMO_NOWHERE,
                    "%s: column '%.80s' of row %zu is %s, which no distance can hold", name,
                    m->column[j].name, i + 1,
                    isnan(kymo_matrix_at(m, i, j)) ? "NaN" : "infinite");
    return KYMO_OK;
}

uint64_t kymo_matrix_xxh3(const struct kymo_matrix *m)
{
    XXH3_state_t *s = XXH3_createState();
    if (!s)
        return 0;
    uint8_t raw[16];
    kymo_store_u64(raw, m->n);
    kymo_store_u64(raw + 8, m->d);
    XXH3_64bits_reset(s);
    XXH3_64bits_update(s, raw, sizeof(raw));
    for (size_t j = 0; j < m->d; j++)
        XXH3_64bits_update(s, m->column[j].name, strlen(m->column[j].name) + 1);
    for (size_t i = 0; i < m->n * m->d; i++) {
        const double v = m->is_f32 ? (double)m->X32[i] : m->X[i];
        uint64_t bits;
        memcpy(&bits, &v, sizeof(bits));
        kymo_store_u64(raw, bits);
        XXH3_64bits_update(s, raw, 8);
    }
    const uint64_t h = XXH3_64bits_digest(s);
    XXH3_freeState(s);
    return h;
}

/* -- .kymo in --------------------------------------------------------------------------------- */

static int columns_match(const struct kymo_batch *b, const struct kymo_column_def *want,
                         size_t n)
{
    if (b->schema->n_columns < n)
        return 0;
    for (size_t c = 0; c < n; c++)
        if (strcmp(b->schema->column[c].name, want[c].name) != 0 ||
            b->schema->column[c].type != want[c].type ||
            b->schema->column[c].order != KYMO_ORDER_ROW || !b->lane[c])
            return 0;
    return 1;
}

static const char *lane_str(const struct kymo_batch *b, uint32_t column, uint32_t row,
                            size_t *n)
{
    const uint64_t id = b->lane[column][row];
    const int there = id < b->str.n;
    *n = there ? b->str.at[id + 1] - b->str.at[id] : 0;
    return there ? b->str.bytes + b->str.at[id] : "";
}

static kymo_status take_spec(struct kymo_matrix *m, const struct kymo_schema *schema,
                             const char *name, struct kymo_err *err)
{
    json_t *j = NULL;
    if (m->has_spec && schema->hash && schema->hash == m->spec_schema) /* every chunk has it */
        return KYMO_OK;
    KYMO_TRY(kymo_json_parse(&j, schema->meta, strlen(schema->meta), name, err));
    struct kymo_feature_spec *spec = malloc(sizeof(*spec));
    kymo_status s =
        spec ? kymo_feature_spec_parse(spec, j, &m->arena, name, err) : too_large(m, err);
    json_decref(j);
    if (!s && m->has_spec)
        s = kymo_feature_spec_match(m->spec, spec, name, err);
    else if (!s)
        s = kymo_matrix_set_spec(m, spec, err);
    if (!s)
        m->spec_schema = schema->hash;
    free(spec);
    return s;
}

static kymo_status check_feature_columns(const struct kymo_matrix *m,
                                         const struct kymo_batch *b, const char *name,
                                         struct kymo_err *err)
{
    if (!columns_match(b, row_columns, F_FIRST) || b->schema->n_columns != F_FIRST + m->d)
        return KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes,
                         "%s: its table 'features' has not the columns of "
                         "its own spec",
                         name);
    for (size_t j = 0; j < m->d; j++) {
        const struct kymo_column_def *c = &b->schema->column[F_FIRST + j];
        if (strcmp(c->name, m->column[j].name) != 0 || c->type != KYMO_T_F64 ||
            c->order != KYMO_ORDER_ROW || !b->lane[F_FIRST + j])
            return KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes,
                             "%s: column '%.80s' stands where its spec has "
                             "'%s'",
                             name, c->name, m->column[j].name);
    }
    return KYMO_OK;
}

static kymo_status take_features(struct kymo_matrix *m, const struct kymo_batch *b,
                                 const char *name, struct kymo_err *err)
{
    KYMO_TRY(take_spec(m, b->schema, name, err));
    KYMO_TRY(check_feature_columns(m, b, name, err));
    KYMO_TRY(kymo_matrix_reserve(m, b->n_rows, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        size_t bytes;
        const char *s = lane_str(b, F_ENTITY, i, &bytes);
        struct kymo_matrix_row r = {
            .dur_ns = b->lane[F_DUR][i],
            .real_ns = b->lane[F_REAL][i],
            .events = b->lane[F_EVENTS][i],
            .capture = (uint32_t)b->lane[F_CAPTURE][i],
            .entity = kymo_matrix_entity(m, s, bytes),
        };
        if (!r.entity)
            return too_large(m, err);
        if (r.dur_ns > b->lane[F_TS][i])
            return KYMO_FAIL(err, KYMO_ECORRUPT, b->at_bytes,
                             "%s: window %zu begins before time", name, m->n + 1);
        r.start_ns = b->lane[F_TS][i] - r.dur_ns;
        memcpy(&r.lost, &b->lane[F_LOST][i], sizeof(r.lost));
        if (!(r.lost >= 0 && r.lost <= 1))
            return KYMO_FAIL(err, KYMO_ECORRUPT, b->at_bytes,
                             "%s: window %zu lost more than all", name, m->n + 1);
        KYMO_TRY(add_row(m, &r, err));
        double *x = (double *)(void *)kymo_buf_reserve(&m->values, m->d * sizeof(double));
        if (!x)
            return too_large(m, err);
        for (size_t j = 0; j < m->d; j++)
            memcpy(&x[j], &b->lane[F_FIRST + j][i], sizeof(double));
        m->values.n += m->d * sizeof(double);
        m->n++;
    }
    point_at_values(m);
    return KYMO_OK;
}

static kymo_status take_spans(struct kymo_matrix *m, const struct kymo_batch *b,
                              const char *name, struct kymo_err *err)
{
    if (!columns_match(b, span_columns, S_COLUMNS))
        return KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes, "%s: table 'span' has other columns",
                         name);
    struct kymo_span *s = realloc(m->span, (m->n_spans + b->n_rows) * sizeof(*s));
    if (!s)
        return too_large(m, err);
    m->span = s;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        size_t bytes;
        const char *word = lane_str(b, S_NAME, i, &bytes);
        const uint64_t end_ns = b->lane[S_TS][i], dur_ns = b->lane[S_DUR][i];
        struct kymo_span *to = &m->span[m->n_spans];
        *to = (struct kymo_span){kymo_arena_str(&m->arena, word, bytes),
                                 end_ns > dur_ns ? end_ns - dur_ns : 0, end_ns,
                                 (uint32_t)b->lane[S_CAPTURE][i]};
        if (!to->name)
            return too_large(m, err);
        m->n_spans++;
    }
    return KYMO_OK;
}

static kymo_status take_captures(struct kymo_matrix *m, const struct kymo_batch *b,
                                 const char *name, struct kymo_err *err)
{
    if (!columns_match(b, capture_columns, C_COLUMNS))
        return KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes, "%s: table 'capture' has other columns",
                         name);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        size_t bytes;
        const char *word = lane_str(b, C_NAME, i, &bytes);
        struct kymo_capture_facts f = {
            .name = kymo_arena_str(&m->arena, word, bytes),
            .xxh3 = b->lane[C_XXH3][i],
            .rows = b->lane[C_ROWS][i],
            .late = b->lane[C_LATE][i],
            .stored = b->lane[C_STORED][i],
            .dropped = b->lane[C_DROPPED][i],
            .windows = b->lane[C_WINDOWS][i],
            .first_ns = b->lane[C_FIRST][i],
            .last_ns = b->lane[C_TS][i],
            .torn = b->lane[C_TORN][i] != 0,
            .from = (uint32_t)b->lane[C_FROM][i],
        };
        if (!f.name)
            return too_large(m, err);
        KYMO_TRY(kymo_matrix_add_capture(m, &f, NULL, 0, err));
    }
    return KYMO_OK;
}

/* A matrix without rows has only its schema. */
static kymo_status take_empty(struct kymo_matrix *m, kymo_reader *reader, const char *name,
                              struct kymo_err *err)
{
    for (size_t i = 0; i < kymo_reader_schemas(reader); i++) {
        const struct kymo_schema *s = kymo_reader_schema(reader, i);
        if (strcmp(s->table, "features") == 0)
            return take_spec(m, s, name, err);
    }
    return KYMO_FAIL(
        err, KYMO_EINPUT, KYMO_NOWHERE,
        "%s has no table 'features'; if it is a capture, run first: kymo featurize", name);
}

kymo_status kymo_matrix_read(struct kymo_matrix *m, kymo_reader *reader,
                             const struct kymo_batch *first, const char *name,
                             struct kymo_err *err)
{
    const struct kymo_batch *b = first;
    for (;;) {
        if (b && b->n_rows) {
            const char *table = b->schema->table;
            if (strcmp(table, "features") == 0)
                KYMO_TRY(take_features(m, b, name, err));
            else if (strcmp(table, "span") == 0)
                KYMO_TRY(take_spans(m, b, name, err));
            else if (strcmp(table, "capture") == 0)
                KYMO_TRY(take_captures(m, b, name, err));
            else if (strcmp(table, "sequence") == 0)
                KYMO_TRY(kymo_matrix_take_conducts(m, b, name, err));
        }
        KYMO_TRY(kymo_reader_next(reader, &b, err));
        if (!b)
            break;
    }
    if (!m->has_spec)
        KYMO_TRY(take_empty(m, reader, name, err));
    return kymo_matrix_check(m, name, err);
}

/* -- .kymo out -------------------------------------------------------------------------------- */

static kymo_status flush(struct kymo_writer *w, struct kymo_rows *rows, struct kymo_err *err)
{
    if (rows->n_rows == 0)
        return KYMO_OK;
    const struct kymo_batch b = kymo_rows_view(rows);
    KYMO_TRY(kymo_writer_put(w, &b, 0, err));
    kymo_rows_clear(rows);
    return KYMO_OK;
}

static kymo_status put_features(const struct kymo_matrix *m, struct kymo_writer *w,
                                struct kymo_rows *rows, struct kymo_err *err)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct kymo_matrix_row *r = &m->row[i];
        const uint32_t at = kymo_rows_add(rows);
        kymo_rows_set(rows, F_TS, at, r->start_ns + r->dur_ns);
        kymo_rows_set(rows, F_DUR, at, r->dur_ns);
        kymo_rows_set(rows, F_REAL, at, r->real_ns);
        kymo_rows_set(rows, F_CAPTURE, at, r->capture);
        kymo_rows_set_str(rows, F_ENTITY, at, r->entity, strlen(r->entity));
        kymo_rows_set(rows, F_EVENTS, at, r->events);
        kymo_rows_set_f64(rows, F_LOST, at, r->lost);
        for (size_t j = 0; j < m->d; j++)
            kymo_rows_set_f64(rows, (uint32_t)(F_FIRST + j), at, kymo_matrix_at(m, i, j));
        if (kymo_rows_full(rows))
            KYMO_TRY(flush(w, rows, err));
    }
    return flush(w, rows, err);
}

static kymo_status put_spans(const struct kymo_matrix *m, struct kymo_writer *w,
                             struct kymo_rows *rows, struct kymo_err *err)
{
    for (size_t i = 0; i < m->n_spans; i++) {
        const struct kymo_span *s = &m->span[i];
        const uint32_t at = kymo_rows_add(rows);
        kymo_rows_set(rows, S_TS, at, s->end_ns);
        kymo_rows_set(rows, S_DUR, at, s->end_ns - s->start_ns);
        kymo_rows_set(rows, S_CAPTURE, at, s->capture);
        kymo_rows_set_str(rows, S_NAME, at, s->name, strlen(s->name));
        if (kymo_rows_full(rows))
            KYMO_TRY(flush(w, rows, err));
    }
    return flush(w, rows, err);
}

static kymo_status put_captures(const struct kymo_matrix *m, struct kymo_writer *w,
                                struct kymo_rows *rows, struct kymo_err *err)
{
    for (size_t i = 0; i < m->n_captures; i++) {
        const struct kymo_capture_facts *f = &m->capture[i];
        const uint32_t at = kymo_rows_add(rows);
        kymo_rows_set(rows, C_TS, at, f->last_ns);
        kymo_rows_set(rows, C_FIRST, at, f->first_ns);
        kymo_rows_set(rows, C_CAPTURE, at, i);
        kymo_rows_set_str(rows, C_NAME, at, f->name, strlen(f->name));
        kymo_rows_set(rows, C_XXH3, at, f->xxh3);
        kymo_rows_set(rows, C_ROWS, at, f->rows);
        kymo_rows_set(rows, C_LATE, at, f->late);
        kymo_rows_set(rows, C_STORED, at, f->stored);
        kymo_rows_set(rows, C_DROPPED, at, f->dropped);
        kymo_rows_set(rows, C_WINDOWS, at, f->windows);
        kymo_rows_set(rows, C_TORN, at, (uint64_t)(f->torn != 0));
        kymo_rows_set(rows, C_FROM, at, f->from);
        if (kymo_rows_full(rows))
            KYMO_TRY(flush(w, rows, err));
    }
    return flush(w, rows, err);
}

typedef kymo_status (*put_fn)(const struct kymo_matrix *, struct kymo_writer *,
                              struct kymo_rows *, struct kymo_err *);

static kymo_status put_table(const struct kymo_matrix *m, struct kymo_writer *w,
                             const char *table, const struct kymo_column_def *column,
                             size_t n_columns, const char *meta, put_fn put,
                             struct kymo_err *err)
{
    struct kymo_schema schema = {.table = table,
                                 .version = 1,
                                 .n_columns = (uint32_t)n_columns,
                                 .column = column,
                                 .meta = meta};
    schema.hash = kymo_schema_hash(&schema);
    struct kymo_rows *rows = NULL;
    KYMO_TRY(kymo_writer_declare(w, &schema, err));
    KYMO_TRY(kymo_rows_open(&rows, &schema, MATRIX_CHUNK_ROWS, err));
    const kymo_status s = put(m, w, rows, err);
    kymo_rows_close(rows);
    return s;
}

static kymo_status put_all(const struct kymo_matrix *m, struct kymo_writer *w, const char *meta,
                           struct kymo_column_def *column, struct kymo_err *err)
{
    memcpy(column, row_columns, sizeof(row_columns));
    for (size_t j = 0; j < m->d; j++)
        column[F_FIRST + j] = (struct kymo_column_def){m->column[j].name, m->column[j].unit,
                                                       KYMO_T_F64, KYMO_ORDER_ROW, 0};
    KYMO_TRY(put_table(m, w, "features", column, F_FIRST + m->d, meta, put_features, err));
    KYMO_TRY(put_table(m, w, "span", span_columns, S_COLUMNS, "", put_spans, err));
    KYMO_TRY(put_table(m, w, "capture", capture_columns, C_COLUMNS, "", put_captures, err));
    if (m->wants_sequence)
        KYMO_TRY(put_table(m, w, "sequence", kymo_conduct_columns, KYMO_CONDUCT_COLUMNS, "",
                           kymo_matrix_put_conducts, err));
    return kymo_writer_finish(w, err);
}

kymo_status kymo_matrix_write(const struct kymo_matrix *m, int fd, const char *name,
                              struct kymo_err *err)
{
    json_t *spec = kymo_feature_spec_json(m->spec);
    char *meta = spec ? json_dumps(spec, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(spec);
    struct kymo_column_def *column = calloc(F_FIRST + m->d, sizeof(*column));
    struct kymo_writer *w = NULL;
    kymo_status s = meta && column ? kymo_writer_open(&w, fd, name, MATRIX_ZSTD_LEVEL, err)
                                   : too_large(m, err);
    if (!s)
        s = put_all(m, w, meta, column, err);
    kymo_writer_close(w);
    free(column);
    free(meta);
    return s;
}
