/* SPDX-License-Identifier: Apache-2.0 */
#include "format/io/csv.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/file.h"
#include "format/base/size.h"

static const char *const row_facts[] = {"ts",     "dur",    "real", "capture",
                                        "entity", "events", "lost"};
#define ROW_FACTS KYMO_COUNT_OF(row_facts)
#define WRITE_AT_BYTES ((size_t)1 << 20)

void kymo_csv_open(struct kymo_csv *c, char *text, size_t n, struct kymo_arena *arena)
{
    memset(c, 0, sizeof(*c));
    c->p = text;
    c->end = text + n;
    c->arena = arena;
    c->next_line = 1;
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        c->p += 3;
    const char *eol = memchr(c->p, '\n', (size_t)(c->end - c->p));
    const size_t first = (size_t)((eol ? eol : c->end) - c->p);
    c->separator = memchr(c->p, '\t', first) ? '\t' : ',';
    if (c->separator == ',' && !memchr(c->p, ',', first) && memchr(c->p, ';', first))
        c->separator = ';';
}

static kymo_status add_field(struct kymo_csv *c, char *s, const char *name,
                             struct kymo_err *err)
{
    if (c->n == c->cap) {
        const size_t cap = c->cap ? c->cap * 2 : 64;
        char **p = cap > 2 * KYMO_CSV_FIELDS_MAX ? NULL : KYMO_NEW(c->arena, char *, cap);
        if (!p)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                             "%s: line %zu has more than %u cells", name, c->line,
                             KYMO_CSV_FIELDS_MAX);
        if (c->n)
            memcpy(p, c->field, c->n * sizeof(*p));
        c->field = p;
        c->cap = cap;
    }
    c->field[c->n++] = s;
    return KYMO_OK;
}

/* Take one field off the text; *last says that its record ends with it. */
static kymo_status take_field(struct kymo_csv *c, int *last, size_t *newlines, const char *name,
                              struct kymo_err *err)
{
    char *start = c->p, *to = c->p;
    int quoted = 0;
    while (c->p < c->end && *c->p == ' ' && c->separator != ' ')
        c->p++;
    if (c->p < c->end && *c->p == '"') {
        quoted = 1;
        for (c->p++;; c->p++) {
            if (c->p >= c->end)
                return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                                 "%s: a quote in line %zu never closes", name, c->line);
            if (*c->p == '"') {
                c->p++;
                if (c->p >= c->end || *c->p != '"')
                    break;
            }
            *newlines += *c->p == '\n';
            *to++ = *c->p;
        }
    } else {
        start = to = c->p;
    }
    while (c->p < c->end && *c->p != c->separator && *c->p != '\n') {
        if (!quoted)
            to++;
        c->p++;
    }
    *last = c->p >= c->end || *c->p == '\n';
    *newlines += c->p < c->end && *c->p == '\n';
    if (c->p < c->end)
        c->p++;
    while (!quoted && to > start && (to[-1] == '\r' || to[-1] == ' '))
        to--;
    *to = 0;
    return add_field(c, start, name, err);
}

kymo_status kymo_csv_next(struct kymo_csv *c, int *more, const char *name, struct kymo_err *err)
{
    do {
        c->n = 0;
        c->line = c->next_line;
        *more = c->p < c->end;
        if (!*more)
            return KYMO_OK;
        for (int last = 0; !last;)
            KYMO_TRY(take_field(c, &last, &c->next_line, name, err));
    } while (c->n == 1 && !c->field[0][0]);
    return KYMO_OK;
}

static kymo_status take_header(struct kymo_matrix *m, const struct kymo_csv *c,
                               const char *name, struct kymo_err *err)
{
    size_t facts = 0;
    while (facts < ROW_FACTS && facts < c->n && strcmp(c->field[facts], row_facts[facts]) == 0)
        facts++;
    facts = facts == ROW_FACTS ? facts : 0;
    m->d = c->n - facts;
    if (m->d == 0 || m->d > KYMO_MATRIX_COLUMNS_MAX)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has %zu columns, 1 to %u can be",
                         name, m->d, KYMO_MATRIX_COLUMNS_MAX);
    m->column = KYMO_NEW(&m->arena, struct kymo_matrix_column, m->d);
    if (!m->column)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%s: columns pass the memory budget",
                         name);
    size_t numbers = 0;
    for (size_t j = 0; j < m->d; j++) {
        double v;
        char *end;
        m->column[j] = (struct kymo_matrix_column){c->field[facts + j], ""};
        v = strtod(c->field[facts + j], &end);
        numbers += end != c->field[facts + j] && *end == 0 && isfinite(v);
    }
    if (numbers == m->d)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: its first line holds numbers; give the columns a header line",
                         name);
    m->has_names = 1;
    return KYMO_OK;
}

static kymo_status take_cell(const char *s, double *out)
{
    char *end;
    *out = strtod(s, &end);
    while (*end == ' ')
        end++;
    return end == s || *end ? KYMO_EINPUT : KYMO_OK;
}

static kymo_status take_record(struct kymo_matrix *m, const struct kymo_csv *c, size_t facts,
                               double *x, const char *name, struct kymo_err *err)
{
    if (c->n != facts + m->d)
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                         "%s: line %zu has %zu cells, the header has %zu", name, c->line, c->n,
                         facts + m->d);
    for (size_t j = 0; j < m->d; j++) {
        const char *cell = c->field[facts + j];
        if (take_cell(cell, &x[j]) || !isfinite(x[j]))
            return KYMO_FAIL(
                err, KYMO_EINPUT, KYMO_NOWHERE,
                "%s: column '%.80s' of row %zu (line %zu) is '%.40s', not a finite number",
                name, m->column[j].name, m->n + 1, c->line, cell);
    }
    return kymo_matrix_add(m, x, err);
}

kymo_status kymo_csv_parse(struct kymo_matrix *m, char *text, size_t bytes, const char *name,
                           struct kymo_err *err)
{
    if (memchr(text, 0, bytes))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s is no text: it holds zero bytes",
                         name);
    struct kymo_csv c;
    kymo_csv_open(&c, text, bytes, &m->arena);
    int more;
    KYMO_TRY(kymo_csv_next(&c, &more, name, err));
    if (!more)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s is empty", name);
    const size_t cells = c.n;
    KYMO_TRY(take_header(m, &c, name, err));
    const size_t facts = cells - m->d;
    double *x = KYMO_NEW(&m->arena, double, m->d);
    if (!x)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%s: a row passes the memory budget",
                         name);
    for (;;) {
        KYMO_TRY(kymo_csv_next(&c, &more, name, err));
        if (!more)
            return KYMO_OK;
        KYMO_TRY(take_record(m, &c, facts, x, name, err));
    }
}

static void put_cell(struct kymo_buf *out, const char *s)
{
    if (!strpbrk(s, ",\"\n\r")) {
        kymo_buf_put(out, s, strlen(s));
        return;
    }
    kymo_buf_u8(out, '"');
    for (; *s; s++) {
        if (*s == '"')
            kymo_buf_u8(out, '"');
        kymo_buf_u8(out, (uint8_t)*s);
    }
    kymo_buf_u8(out, '"');
}

static void put_header(struct kymo_buf *out, const struct kymo_matrix *m)
{
    for (size_t i = 0; m->row && i < ROW_FACTS; i++)
        kymo_buf_printf(out, "%s,", row_facts[i]);
    for (size_t j = 0; j < m->d; j++) {
        put_cell(out, m->column[j].name);
        kymo_buf_u8(out, j + 1 < m->d ? ',' : '\n');
    }
}

static void put_record(struct kymo_buf *out, const struct kymo_matrix *m, size_t i)
{
    if (m->row) {
        const struct kymo_matrix_row *r = &m->row[i];
        kymo_buf_printf(out, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu32 ",",
                        r->start_ns + r->dur_ns, r->dur_ns, r->real_ns, r->capture);
        put_cell(out, r->entity);
        kymo_buf_printf(out, ",%" PRIu64 ",%.17g,", r->events, r->lost);
    }
    for (size_t j = 0; j < m->d; j++)
        kymo_buf_printf(out, "%.17g%c", kymo_matrix_at(m, i, j), j + 1 < m->d ? ',' : '\n');
}

kymo_status kymo_csv_write(int fd, const struct kymo_matrix *m, const char *name,
                           struct kymo_err *err)
{
    struct kymo_buf out = {0};
    put_header(&out, m);
    kymo_status s = KYMO_OK;
    for (size_t i = 0; i < m->n && !s; i++) {
        put_record(&out, m, i);
        if (out.n < WRITE_AT_BYTES)
            continue;
        s = kymo_file_write(fd, out.p, out.n, name, err);
        kymo_buf_clear(&out);
    }
    if (!s && out.failed)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %s", name);
    if (!s && out.n)
        s = kymo_file_write(fd, out.p, out.n, name, err);
    kymo_buf_release(&out);
    return s;
}
