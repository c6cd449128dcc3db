/* SPDX-License-Identifier: Apache-2.0 */
#include "format/io/labelfile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/io/csv.h"

#define WALL_CLOCK_FROM_S 1e9

static kymo_status read_time(const char *cell, const struct kymo_csv *c, const char *name,
                             double *out, struct kymo_err *err)
{
    char *end;
    *out = strtod(cell, &end);
    if (end == cell || *end || !isfinite(*out) || *out < 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: '%.40s' in line %zu is no time in seconds", name, cell, c->line);
    return KYMO_OK;
}

/* Is the row wholly inside start..end (seconds), by wall clock or from the first capture's start? */
static int inside_seconds(const struct kymo_matrix *m, const struct kymo_matrix_row *r,
                          double start, double end)
{
    double to, from;
    if (start >= WALL_CLOCK_FROM_S) {
        if (!r->real_ns)
            return 0;
        to = (double)r->real_ns / 1e9;
    } else {
        const uint64_t zero = m->n_captures ? m->capture[0].first_ns : m->row[0].start_ns;
        if (r->capture != 0 || r->start_ns < zero)
            return 0;
        to = (double)(r->start_ns + r->dur_ns - zero) / 1e9;
    }
    from = to - (double)r->dur_ns / 1e9;
    /* A nanosecond of slack for times that were printed with few digits. */
    return from >= start - 1e-9 && to <= end + 1e-9;
}

static kymo_status take_line(struct kymo_labels *l, const struct kymo_matrix *m,
                             const struct kymo_csv *c, const char *name, uint32_t *row_label,
                             struct kymo_err *err)
{
    if (c->n != 5)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: line %zu has %zu cells, not the five of "
                         "start,end,entity,label,verdict",
                         name, c->line, c->n);
    double start, end;
    KYMO_TRY(read_time(c->field[0], c, name, &start, err));
    KYMO_TRY(read_time(c->field[1], c, name, &end, err));
    const enum kymo_verdict v = kymo_verdict_value(c->field[4]);
    if (v == KYMO_VERDICTS || end < start)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: line %zu has no verdict good, bad or unknown, or "
                         "ends before it starts",
                         name, c->line);
    KYMO_TRY(kymo_labels_add_one(l, c->field[3], strlen(c->field[3]), v, err));
    const uint32_t at = (uint32_t)kymo_labels_find(l, c->field[3]);
    for (size_t i = 0; i < m->n; i++)
        if ((!c->field[2][0] || strcmp(c->field[2], m->row[i].entity) == 0) &&
            inside_seconds(m, &m->row[i], start, end))
            row_label[i] = at;
    return KYMO_OK;
}

kymo_status kymo_labels_read(struct kymo_labels *l, const struct kymo_matrix *m, char *text,
                             size_t bytes, const char *name, uint32_t *row_label,
                             struct kymo_err *err)
{
    static const char *const header[5] = {"start", "end", "entity", "label", "verdict"};
    struct kymo_arena a;
    kymo_arena_init(&a, KYMO_MATRIX_BYTES_MAX);
    struct kymo_csv c;
    kymo_csv_open(&c, text, bytes, &a);
    memset(row_label, 0xff, m->n * sizeof(*row_label));
    int more;
    kymo_status s = kymo_csv_next(&c, &more, name, err);
    int good = !s && more && c.n == 5;
    for (size_t i = 0; i < 5 && good; i++)
        good = strcmp(c.field[i], header[i]) == 0;
    if (!s && !good)
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                      "%s does not begin with the line start,end,entity,label,verdict", name);
    while (!s && more) {
        s = kymo_csv_next(&c, &more, name, err);
        if (!s && more)
            s = take_line(l, m, &c, name, row_label, err);
    }
    kymo_arena_release(&a);
    return s;
}
