/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/byfield.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/trace/filter.h"
#include "format/trace/sysname.h"

#define VALUES_MAX (1u << 24)

void kymo_by_init(struct kymo_by *f, const char *name, size_t text_bytes_max)
{
    memset(f, 0, sizeof(*f));
    f->name = name;
    kymo_idset_init(&f->numbers, 2);
    kymo_texts_init(&f->texts, text_bytes_max);
}

void kymo_by_release(struct kymo_by *f)
{
    kymo_idset_release(&f->numbers);
    kymo_texts_release(&f->texts);
    free(f->id);
    f->id = NULL;
}

/* -------- against a schema -------- */

static kymo_status no_field(const struct kymo_by *f, const struct kymo_schema *s,
                            struct kymo_err *err)
{
    char list[320];
    const char *derived[4];
    size_t n = 0;
    const size_t n_derived = kymo_filter_derived(s, derived, 4);
    list[0] = '\0';
    for (size_t i = 0; i < s->n_columns + n_derived && n + 8 < sizeof(list); i++) {
        const char *name = i < n_derived ? derived[i] : s->column[i - n_derived].name;
        if (strcmp(name, "time") != 0) {
            const int m = snprintf(list + n, sizeof(list) - n, "%s%s", n ? " " : "", name);
            n += m > 0 ? (size_t)m : 0;
        }
    }
    return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "table %s has no field '%s'; it has %s%s",
                     s->table, f->name, list,
                     kymo_schema_column(s, "execseq") >= 0 ? " file" : "");
}

static enum kymo_by_place place_of(const struct kymo_schema *s, uint32_t column)
{
    switch (s->column[column].order) {
    case KYMO_ORDER_TASK:
        return KYMO_BY_TASK;
    case KYMO_ORDER_KEY:
        return KYMO_BY_KEY;
    default:
        return KYMO_BY_ROW;
    }
}

/* The words that mean more than a column of that name does. 0: no such word here. */
static int resolve_word(struct kymo_by *f, const struct kymo_schema *s)
{
    static const struct {
        const char *word, *column, *column2;
        enum kymo_by_source source;
    } words[] = {
        {"syscall", "arch", "nr", KYMO_BY_SYSCALL}, {"errno", "ret", "ret", KYMO_BY_ERRNO},
        {"file", "path", "arg0", KYMO_BY_FILE},     {"path", "path", "arg0", KYMO_BY_FILE},
        {"addr", "addr", "arg0", KYMO_BY_ADDR},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const int c = kymo_schema_column(s, words[i].column);
        const int c2 = kymo_schema_column(s, words[i].column2);
        if (strcmp(words[i].word, f->name) != 0 || c < 0 || c2 < 0)
            continue;
        if (words[i].source == KYMO_BY_SYSCALL && (place_of(s, (uint32_t)c) != KYMO_BY_KEY ||
                                                   place_of(s, (uint32_t)c2) != KYMO_BY_KEY))
            continue;
        f->source = words[i].source;
        f->column = (uint32_t)c;
        f->column2 = (uint32_t)c2;
        f->type = KYMO_T_STR;
        f->place = f->source == KYMO_BY_SYSCALL ? KYMO_BY_KEY : KYMO_BY_ROW;
        return 1;
    }
    return 0;
}

kymo_status kymo_by_resolve(struct kymo_by *f, const struct kymo_schema *s,
                            struct kymo_err *err)
{
    const enum kymo_type before = f->type;
    const int c = kymo_schema_column(s, f->name);
    if (!resolve_word(f, s)) {
        if (c < 0)
            return no_field(f, s, err);
        f->source = KYMO_BY_COLUMN;
        f->column = f->column2 = (uint32_t)c;
        f->type = (enum kymo_type)s->column[c].type;
        f->place = place_of(s, f->column);
    }
    if (before && before != f->type)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "field '%s' of table %s changes its type from file to file", f->name,
                         s->table);
    return KYMO_OK;
}

void kymo_by_need(const struct kymo_by *f, uint8_t *want)
{
    want[f->column] = 1;
    if (f->source != KYMO_BY_FILE && f->source != KYMO_BY_ADDR)
        want[f->column2] = 1;
}

/* -------- a batch -------- */

kymo_status kymo_by_room(struct kymo_by *f, size_t n, struct kymo_err *err)
{
    if (n <= f->id_cap)
        return KYMO_OK;
    free(f->id);
    f->id_cap = 0;
    f->id = malloc(n * sizeof(*f->id));
    if (!f->id)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %zu rows", n);
    f->id_cap = n;
    return KYMO_OK;
}

kymo_status kymo_by_text(struct kymo_by *f, const char *s, size_t n, uint32_t *id,
                         struct kymo_err *err)
{
    uint32_t at;
    KYMO_TRY(kymo_texts_put(&f->texts, s, (uint32_t)n, &at, err));
    *id = at + 1;
    return KYMO_OK;
}

static kymo_status number_id(struct kymo_by *f, uint64_t lane, uint32_t *id,
                             struct kymo_err *err)
{
    const uint32_t words[2] = {(uint32_t)lane, (uint32_t)(lane >> 32)};
    uint32_t at;
    KYMO_TRY(kymo_idset_put(&f->numbers, words, VALUES_MAX, &at, err));
    *id = at + 1;
    return KYMO_OK;
}

/* Strings come round again: each string of the chunk is looked up once, in a table behind the
 * numbers of the rows. */
static kymo_status take_texts(struct kymo_by *f, const struct kymo_batch *b, uint32_t n,
                              struct kymo_err *err)
{
    KYMO_TRY(kymo_by_room(f, (size_t)n + b->str.n, err));
    uint32_t *known = f->id + n;
    const uint64_t *lane = b->lane[f->column];
    const uint8_t *present = b->present[f->column];
    memset(known, 0, b->str.n * sizeof(*known));
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t s = lane[i];
        f->id[i] = 0;
        if (present && !present[i])
            continue;
        if (!known[s])
            KYMO_TRY(kymo_by_text(f, b->str.bytes + b->str.at[s],
                                  b->str.at[s + 1] - b->str.at[s], &known[s], err));
        f->id[i] = known[s];
    }
    return KYMO_OK;
}

static kymo_status take_numbers(struct kymo_by *f, const struct kymo_batch *b, uint32_t n,
                                struct kymo_err *err)
{
    const uint64_t *lane = b->lane[f->column];
    const uint8_t *present = b->present[f->column];
    uint64_t last = 0;
    uint32_t last_id = 0;
    for (uint32_t i = 0; i < n; i++) {
        f->id[i] = 0;
        if (present && !present[i])
            continue;
        if (!last_id || lane[i] != last)
            KYMO_TRY(number_id(f, lane[i], &last_id, err));
        last = lane[i];
        f->id[i] = last_id;
    }
    return KYMO_OK;
}

/* "ENOENT"; a number that has no name stays one. */
static kymo_status errno_id(struct kymo_by *f, int e, uint32_t *id, struct kymo_err *err)
{
    char number[16];
    const char *name = kymo_errno_name(e);
    if (!name) {
        (void)snprintf(number, sizeof(number), "%d", e);
        name = number;
    }
    return kymo_by_text(f, name, strlen(name), id, err);
}

static kymo_status take_errnos(struct kymo_by *f, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    const uint64_t *lane = b->lane[f->column];
    const uint8_t *present = b->present[f->column];
    int last = 0;
    uint32_t last_id = 0;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const int64_t ret = (int64_t)lane[i];
        f->id[i] = 0;
        if (ret >= 0 || ret < -4095 || (present && !present[i]))
            continue;
        if (-ret != last)
            KYMO_TRY(errno_id(f, (int)-ret, &last_id, err));
        last = (int)-ret;
        f->id[i] = last_id;
    }
    return KYMO_OK;
}

static kymo_status take_calls(struct kymo_by *f, const struct kymo_batch *b, uint32_t n,
                              const struct kymo_names *names, struct kymo_err *err)
{
    char number[24];
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t nr = b->lane[f->column2][i];
        const char *name = kymo_names_call(names, b->lane[f->column][i], nr);
        if (!name) {
            (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)nr);
            name = number;
        }
        KYMO_TRY(kymo_by_text(f, name, strlen(name), &f->id[i], err));
    }
    return KYMO_OK;
}

kymo_status kymo_by_take(struct kymo_by *f, const struct kymo_batch *b,
                         const struct kymo_names *names, struct kymo_err *err)
{
    const uint32_t n = f->place == KYMO_BY_TASK  ? b->n_tasks
                       : f->place == KYMO_BY_KEY ? b->n_keys
                                                 : b->n_rows;
    if (f->source == KYMO_BY_FILE || f->source == KYMO_BY_ADDR)
        return KYMO_OK;
    KYMO_TRY(kymo_by_room(f, n, err));
    if (!b->lane[f->column] || !b->lane[f->column2]) {
        memset(f->id, 0, n * sizeof(*f->id));
        return KYMO_OK;
    }
    if (f->source == KYMO_BY_SYSCALL)
        return take_calls(f, b, n, names, err);
    if (f->source == KYMO_BY_ERRNO)
        return take_errnos(f, b, err);
    if (f->type == KYMO_T_STR)
        return take_texts(f, b, n, err);
    return take_numbers(f, b, n, err);
}

/* -------- cells -------- */

void kymo_by_cell(const struct kymo_by *f, uint32_t id, struct kymo_cell *out)
{
    *out = (struct kymo_cell){.kind = KYMO_CELL_NULL};
    if (!id)
        return;
    if (f->type == KYMO_T_STR) {
        out->kind = KYMO_CELL_TEXT;
        out->text = f->texts.text[id - 1];
        return;
    }
    const uint32_t *words = kymo_idset_tuple(&f->numbers, id - 1);
    const uint64_t lane = words[0] | (uint64_t)words[1] << 32;
    out->kind = f->type == KYMO_T_U64   ? KYMO_CELL_U64
                : f->type == KYMO_T_I64 ? KYMO_CELL_I64
                                        : KYMO_CELL_F64;
    out->u64 = lane;
    out->i64 = (int64_t)lane;
    out->f64 = kymo_lane_f64(f->type, lane);
}

static int order_texts(struct kymo_text a, struct kymo_text b)
{
    const uint32_t n = a.n < b.n ? a.n : b.n;
    const int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

int kymo_cell_order(const struct kymo_cell *a, const struct kymo_cell *b)
{
    if (a->kind != b->kind)
        return (a->kind > b->kind) - (a->kind < b->kind);
    switch (a->kind) {
    case KYMO_CELL_NULL:
        return 0;
    case KYMO_CELL_U64:
        return (a->u64 > b->u64) - (a->u64 < b->u64);
    case KYMO_CELL_I64:
        return (a->i64 > b->i64) - (a->i64 < b->i64);
    case KYMO_CELL_F64:
        return (a->f64 > b->f64) - (a->f64 < b->f64);
    default:
        return order_texts(a->text, b->text);
    }
}
