/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/tallyprint.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "format/base/json.h"

/* Whole numbers are most of what is printed: by hand, several times as fast as by printf. */
static void put_u64(struct kymo_buf *out, uint64_t v, size_t digits_min)
{
    uint8_t text[20];
    size_t n = 0;
    do {
        text[sizeof(text) - ++n] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v || n < digits_min);
    kymo_buf_put(out, text + sizeof(text) - n, n);
}

/* As %.17g has it, which takes long for what is whole. */
static void put_f64(struct kymo_buf *out, double v)
{
    if (v >= 0 && v < 1e15 && v == (double)(uint64_t)v && !signbit(v))
        put_u64(out, (uint64_t)v, 1);
    else
        kymo_buf_printf(out, "%.17g", v);
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

typedef void (*put_text)(struct kymo_buf *, const char *, size_t);

static void put_cell(struct kymo_buf *out, const struct kymo_cell *cell, put_text text)
{
    switch (cell->kind) {
    case KYMO_CELL_U64:
        put_u64(out, cell->u64, 1);
        break;
    case KYMO_CELL_I64:
        kymo_buf_printf(out, "%" PRId64, cell->i64);
        break;
    case KYMO_CELL_F64:
        put_f64(out, cell->f64);
        break;
    default:
        text(out, cell->text.p, cell->text.n);
    }
}

static void put_window(struct kymo_buf *out, int64_t ns)
{
    const uint64_t magnitude = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    if (ns < 0)
        kymo_buf_u8(out, '-');
    put_u64(out, magnitude / 1000000000u, 1);
    kymo_buf_u8(out, '.');
    put_u64(out, magnitude % 1000000000u, 9);
}

/* The least value of a step. */
static uint64_t step_low(unsigned i)
{
    return i ? UINT64_C(1) << (i - 1) : 0;
}

static void put_steps(struct kymo_buf *out, struct kymo_tally *t,
                      const struct kymo_tally_row *row, char between)
{
    uint64_t count[KYMO_LOG2_BUCKETS];
    int n = 0;
    kymo_tally_histogram(t, row, count);
    for (unsigned i = 0; i < KYMO_LOG2_BUCKETS; i++) {
        if (!count[i])
            continue;
        if (n++)
            kymo_buf_u8(out, (uint8_t)between);
        if (between == ',')
            kymo_buf_printf(out, "[%" PRIu64 ",%" PRIu64 "]", step_low(i), count[i]);
        else
            kymo_buf_printf(out, "%" PRIu64 ":%" PRIu64, step_low(i), count[i]);
    }
}

/* -------- JSON -------- */

static void put_key(struct kymo_buf *out, const char *name, int *first)
{
    kymo_buf_u8(out, *first ? '{' : ',');
    *first = 0;
    kymo_json_quote(out, name, strlen(name));
    kymo_buf_u8(out, ':');
}

static int is_shown(const struct kymo_cell *cell)
{
    return cell->kind != KYMO_CELL_NULL && (cell->kind != KYMO_CELL_F64 || isfinite(cell->f64));
}

kymo_status kymo_tally_jsonl(struct kymo_buf *out, struct kymo_tally *t,
                             const struct kymo_tally_ask *ask, const struct kymo_tally_row *row,
                             struct kymo_err *err)
{
    struct kymo_cell cell;
    int first = 1;
    if (ask->every_ns) {
        put_key(out, "window", &first);
        put_window(out, kymo_tally_window_ns(t, row->window));
    }
    for (size_t i = 0; i < ask->n_by; i++) {
        kymo_tally_by_cell(t, row, i, &cell);
        if (!is_shown(&cell))
            continue;
        put_key(out, ask->by[i], &first);
        put_cell(out, &cell, kymo_json_quote);
    }
    for (size_t i = 0; i < ask->n_measures; i++) {
        const struct kymo_measure *m = &ask->measure[i];
        KYMO_TRY(kymo_tally_cell(t, row, m, &cell, err));
        if (m->kind == KYMO_MEASURE_HISTOGRAM) {
            put_key(out, m->name, &first);
            kymo_buf_u8(out, '[');
            put_steps(out, t, row, ',');
            kymo_buf_u8(out, ']');
        } else if (is_shown(&cell)) {
            put_key(out, m->name, &first);
            put_cell(out, &cell, kymo_json_quote);
        }
    }
    kymo_buf_put(out, first ? "{}\n" : "}\n", first ? 3 : 2);
    return KYMO_OK;
}

/* -------- CSV -------- */

static void put_comma(struct kymo_buf *out, int *first)
{
    if (!*first)
        kymo_buf_u8(out, ',');
    *first = 0;
}

void kymo_tally_csv_head(struct kymo_buf *out, const struct kymo_tally_ask *ask)
{
    int first = 1;
    if (ask->every_ns) {
        put_comma(out, &first);
        kymo_buf_printf(out, "window");
    }
    for (size_t i = 0; i < ask->n_by + ask->n_measures; i++) {
        const char *name = i < ask->n_by ? ask->by[i] : ask->measure[i - ask->n_by].name;
        put_comma(out, &first);
        if (strpbrk(name, "\",\r\n "))
            put_csv_text(out, name, strlen(name));
        else
            kymo_buf_put(out, name, strlen(name));
    }
    kymo_buf_u8(out, '\n');
}

kymo_status kymo_tally_csv(struct kymo_buf *out, struct kymo_tally *t,
                           const struct kymo_tally_ask *ask, const struct kymo_tally_row *row,
                           struct kymo_err *err)
{
    struct kymo_cell cell;
    int first = 1;
    if (ask->every_ns) {
        put_comma(out, &first);
        put_window(out, kymo_tally_window_ns(t, row->window));
    }
    for (size_t i = 0; i < ask->n_by + ask->n_measures; i++) {
        const struct kymo_measure *m = i < ask->n_by ? NULL : &ask->measure[i - ask->n_by];
        put_comma(out, &first);
        if (m && m->kind == KYMO_MEASURE_HISTOGRAM) {
            kymo_buf_u8(out, '"');
            put_steps(out, t, row, ' ');
            kymo_buf_u8(out, '"');
            continue;
        }
        if (m)
            KYMO_TRY(kymo_tally_cell(t, row, m, &cell, err));
        else
            kymo_tally_by_cell(t, row, i, &cell);
        if (cell.kind != KYMO_CELL_NULL)
            put_cell(out, &cell, put_csv_text);
    }
    kymo_buf_u8(out, '\n');
    return KYMO_OK;
}
