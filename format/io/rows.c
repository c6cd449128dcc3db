/* SPDX-License-Identifier: Apache-2.0 */
#include "format/io/rows.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "format/base/json.h"
#include "format/trace/filter.h"
#include "format/trace/sysname.h"

#define NUMBER_BYTES_MAX 40u

/* -------- fields -------- */

static int resolve(struct kymo_field *f, const struct kymo_schema *s, const char *name,
                   const struct kymo_walltime *wall)
{
    const int c = kymo_schema_column(s, name);
    *f = (struct kymo_field){.name = name, .source = KYMO_FIELD_COLUMN};
    if (c >= 0) {
        f->name = s->column[c].name;
        f->column = (uint32_t)c;
        f->type = (enum kymo_type)s->column[c].type;
        return 1;
    }
    const char *derived[4];
    const size_t n = kymo_filter_derived(s, derived, 4);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(derived[i], name) != 0)
            continue;
        f->name = derived[i];
        if (!strcmp(name, "syscall")) {
            f->source = KYMO_FIELD_SYSCALL;
            f->column = (uint32_t)kymo_schema_column(s, "arch");
            f->column2 = (uint32_t)kymo_schema_column(s, "nr");
        } else if (!strcmp(name, "errno")) {
            f->source = KYMO_FIELD_ERRNO;
            f->column = (uint32_t)kymo_schema_column(s, "ret");
        } else {
            f->source = KYMO_FIELD_TIME;
            f->column = (uint32_t)kymo_schema_ts(s);
        }
        return 1;
    }
    if (strcmp(name, "wall") == 0 && wall && wall->n && kymo_schema_ts(s) >= 0) {
        f->name = "wall";
        f->source = KYMO_FIELD_WALL;
        f->column = (uint32_t)kymo_schema_ts(s);
        return 1;
    }
    return 0;
}

static void resolve_all(struct kymo_fields *out, const struct kymo_schema *s)
{
    for (uint32_t c = 0; c < s->n_columns; c++)
        (void)resolve(&out->field[out->n++], s, s->column[c].name, NULL);
    const char *derived[4];
    const size_t n = kymo_filter_derived(s, derived, 4);
    for (size_t i = 0; i < n; i++)
        if (strcmp(derived[i], "time") != 0)
            (void)resolve(&out->field[out->n++], s, derived[i], NULL);
}

kymo_status kymo_fields_resolve(struct kymo_fields *out, const struct kymo_schema *s,
                                const char *const *names, size_t n, struct kymo_arena *arena,
                                struct kymo_err *err)
{
    struct kymo_fields f = *out;
    f.n = 0;
    f.field = KYMO_NEW(arena, struct kymo_field, n ? n : s->n_columns + (size_t)4);
    if (!f.field)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "too many columns for the memory budget");
    if (!n)
        resolve_all(&f, s);
    for (size_t i = 0; i < n; i++)
        if (!resolve(&f.field[f.n++], s, names[i], f.wall))
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "table %s has no column '%s'; kymo cat --fields lists them",
                             s->table, names[i]);
    *out = f;
    return KYMO_OK;
}

/* -------- values -------- */

static void put_u64(struct kymo_buf *out, uint64_t v)
{
    char text[20];
    size_t at = sizeof(text);
    do
        text[--at] = (char)('0' + v % 10);
    while (v /= 10);
    kymo_buf_put(out, text + at, sizeof(text) - at);
}

static void put_i64(struct kymo_buf *out, int64_t v)
{
    if (v < 0)
        kymo_buf_u8(out, '-');
    put_u64(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static void put_real(struct kymo_buf *out, double v)
{
    kymo_buf_printf(out, "%.17g", v);
}

static void put_seconds(struct kymo_buf *out, uint64_t ts, uint64_t start_ns)
{
    const uint64_t ns = ts < start_ns ? start_ns - ts : ts - start_ns;
    kymo_buf_printf(out, "%s%" PRIu64 ".%09" PRIu64, ts < start_ns ? "-" : "", ns / 1000000000u,
                    ns % 1000000000u);
}

static void put_csv_text(struct kymo_buf *out, const char *s, size_t n)
{
    kymo_buf_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"')
            kymo_buf_u8(out, '"');
        kymo_buf_u8(out, (uint8_t)s[i]);
    }
    kymo_buf_u8(out, '"');
}

typedef void put_text_fn(struct kymo_buf *out, const char *s, size_t n);

static void put_wall(struct kymo_buf *out, const struct kymo_walltime *wall, uint64_t ts,
                     put_text_fn *put_text)
{
    char text[KYMO_WALLTIME_TEXT_BYTES];
    (void)kymo_walltime_text(text, kymo_walltime_real(wall, ts));
    put_text(out, text, strlen(text));
}

static void put_column(struct kymo_buf *out, const struct kymo_field *f,
                       const struct kymo_batch *b, uint32_t row, put_text_fn *put_text)
{
    const uint64_t lane = kymo_batch_lane(b, f->column, row);
    uint32_t n;
    switch (f->type) {
    case KYMO_T_U64:
        put_u64(out, lane);
        break;
    case KYMO_T_I64:
        put_i64(out, (int64_t)lane);
        break;
    case KYMO_T_STR: {
        const char *s = kymo_batch_str(b, f->column, row, &n);
        put_text(out, s, n);
        break;
    }
    default:
        put_real(out, kymo_lane_f64(f->type, lane));
    }
}

static void put_name(struct kymo_buf *out, const char *name, uint64_t number,
                     put_text_fn *put_text)
{
    char text[NUMBER_BYTES_MAX];
    if (!name) {
        (void)snprintf(text, sizeof(text), "%" PRIu64, number);
        name = text;
    }
    put_text(out, name, strlen(name));
}

static void put_value(struct kymo_buf *out, const struct kymo_fields *all,
                      const struct kymo_field *f, const struct kymo_batch *b, uint32_t row,
                      put_text_fn *put_text)
{
    const uint64_t lane =
        f->source == KYMO_FIELD_COLUMN ? 0 : kymo_batch_lane(b, f->column, row);
    switch (f->source) {
    case KYMO_FIELD_COLUMN:
        put_column(out, f, b, row, put_text);
        break;
    case KYMO_FIELD_SYSCALL: {
        const uint64_t nr = kymo_batch_lane(b, f->column2, row);
        put_name(out, kymo_names_call(all->names, lane, nr), nr, put_text);
        break;
    }
    case KYMO_FIELD_ERRNO:
        put_name(out, kymo_errno_name((int)-(int64_t)lane), -lane, put_text);
        break;
    case KYMO_FIELD_TIME:
        put_seconds(out, lane, all->start_ns);
        break;
    case KYMO_FIELD_WALL:
        put_wall(out, all->wall, lane, put_text);
    }
}

static int is_null(const struct kymo_field *f, const struct kymo_batch *b, uint32_t row)
{
    if (!kymo_batch_present(b, f->column, row))
        return 1;
    if (f->source == KYMO_FIELD_ERRNO) {
        const int64_t ret = kymo_batch_i64(b, f->column, row);
        return ret >= 0 || ret < -4095;
    }
    return f->source == KYMO_FIELD_SYSCALL && !kymo_batch_present(b, f->column2, row);
}

/* JSON has no word for what is not finite. */
static int is_not_finite(const struct kymo_field *f, const struct kymo_batch *b, uint32_t row)
{
    return f->source == KYMO_FIELD_COLUMN && (f->type == KYMO_T_F64 || f->type == KYMO_T_F32) &&
           !isfinite(kymo_batch_f64(b, f->column, row));
}

/* -------- rows -------- */

static void put_key(struct kymo_buf *out, const char *name, int *first)
{
    kymo_buf_u8(out, *first ? '{' : ',');
    *first = 0;
    kymo_json_quote(out, name, strlen(name));
    kymo_buf_u8(out, ':');
}

void kymo_fields_need(const struct kymo_fields *f, uint8_t *want)
{
    for (size_t i = 0; i < f->n; i++) {
        want[f->field[i].column] = 1;
        if (f->field[i].source == KYMO_FIELD_SYSCALL)
            want[f->field[i].column2] = 1;
    }
}

void kymo_row_jsonl(struct kymo_buf *out, const struct kymo_fields *f,
                    const struct kymo_batch *b, uint32_t row, const char *table)
{
    int first = 1;
    if (table) {
        put_key(out, "table", &first);
        kymo_json_quote(out, table, strlen(table));
    }
    for (size_t i = 0; i < f->n; i++) {
        if (is_null(&f->field[i], b, row))
            continue;
        put_key(out, f->field[i].name, &first);
        if (is_not_finite(&f->field[i], b, row))
            kymo_buf_put(out, "null", 4);
        else
            put_value(out, f, &f->field[i], b, row, kymo_json_quote);
    }
    kymo_buf_put(out, first ? "{}\n" : "}\n", first ? 3 : 2);
}

void kymo_row_csv(struct kymo_buf *out, const struct kymo_fields *f, const struct kymo_batch *b,
                  uint32_t row)
{
    for (size_t i = 0; i < f->n; i++) {
        if (i)
            kymo_buf_u8(out, ',');
        if (!is_null(&f->field[i], b, row))
            put_value(out, f, &f->field[i], b, row, put_csv_text);
    }
    kymo_buf_u8(out, '\n');
}

static int is_plain(const char *name)
{
    return !strpbrk(name, "\",\r\n ");
}

void kymo_row_csv_head(struct kymo_buf *out, const struct kymo_fields *f)
{
    for (size_t i = 0; i < f->n; i++) {
        const char *name = f->field[i].name;
        if (i)
            kymo_buf_u8(out, ',');
        if (is_plain(name))
            kymo_buf_put(out, name, strlen(name));
        else
            put_csv_text(out, name, strlen(name));
    }
    kymo_buf_u8(out, '\n');
}
