/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/ledger.h"

#include <stdlib.h>
#include <string.h>

/* Rows left out of one ring that no row of losses has answered for yet. */
struct debt {
    uint64_t before, after, filter, late, unread;
};

struct source {
    char name[KYMO_NAME_BYTES_MAX + 1];
    struct debt any;
    struct debt *ring; /* [KYMO_LEDGER_RINGS_MAX] */
};

struct kymo_ledger {
    struct source *source;
    size_t n;
};

/* Columns of a table of losses; -1 where it has none. */
struct columns {
    int source, ring, seen, stored, filtered, late, unread;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for the account of losses");
}

kymo_status kymo_ledger_open(struct kymo_ledger **out, struct kymo_err *err)
{
    *out = calloc(1, sizeof(**out));
    return *out ? KYMO_OK : no_memory(err);
}

void kymo_ledger_close(struct kymo_ledger *l)
{
    for (size_t i = 0; l && i < l->n; i++)
        free(l->source[i].ring);
    free(l ? l->source : NULL);
    free(l);
}

static struct source *find(struct kymo_ledger *l, const char *name, size_t n)
{
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->source[i].name) == n && !memcmp(l->source[i].name, name, n))
            return &l->source[i];
    return NULL;
}

static kymo_status add(struct kymo_ledger *l, const char *name, struct source **out,
                       struct kymo_err *err)
{
    if (l->n == KYMO_LEDGER_SOURCES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u tables of events",
                         KYMO_LEDGER_SOURCES_MAX);
    struct source *source = realloc(l->source, (l->n + 1) * sizeof(*source));
    if (!source)
        return no_memory(err);
    l->source = source;
    struct source *s = &source[l->n];
    memset(s, 0, sizeof(*s));
    s->ring = calloc(KYMO_LEDGER_RINGS_MAX, sizeof(*s->ring));
    if (!s->ring)
        return no_memory(err);
    memcpy(s->name, name, strlen(name) + 1);
    l->n++;
    *out = s;
    return KYMO_OK;
}

kymo_status kymo_ledger_cut(struct kymo_ledger *l, const char *table, uint64_t ring, uint64_t n,
                            enum kymo_cut why, uint64_t flags, struct kymo_err *err)
{
    struct source *s = find(l, table, strlen(table));
    if (!n)
        return KYMO_OK;
    if (!s)
        KYMO_TRY(add(l, table, &s, err));
    struct debt *d = ring < KYMO_LEDGER_RINGS_MAX ? &s->ring[ring] : &s->any;
    *(why == KYMO_CUT_BEFORE  ? &d->before
      : why == KYMO_CUT_AFTER ? &d->after
                              : &d->filter) += n;
    d->late += flags & KYMO_CALL_LATE ? n : 0;
    d->unread += flags & KYMO_CALL_UNREAD ? n : 0;
    return KYMO_OK;
}

/* -------- settling -------- */

static int number_column(const struct kymo_schema *s, const char *name)
{
    const int c = kymo_schema_column(s, name);
    return c >= 0 && s->column[c].type == KYMO_T_U64 && s->column[c].order == KYMO_ORDER_ROW
               ? c
               : -1;
}

static int find_columns(const struct kymo_schema *s, struct columns *c)
{
    c->source = kymo_schema_column(s, "source");
    c->ring = number_column(s, "ring");
    c->seen = number_column(s, "seen");
    c->stored = number_column(s, "stored");
    c->filtered = number_column(s, "filtered");
    c->late = number_column(s, "late");
    c->unread = number_column(s, "unread");
    return c->source >= 0 && s->column[c->source].type == KYMO_T_STR &&
           s->column[c->source].order == KYMO_ORDER_ROW && c->seen >= 0 && c->stored >= 0 &&
           c->filtered >= 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void pay_flagged(struct kymo_rows *r, int column, uint32_t row, uint64_t *debt)
{
    if (column < 0)
        return;
    const uint64_t n = least(*debt, r->lane[column][row]);
    r->lane[column][row] -= n;
    *debt -= n;
}

/* Not seen in the time of the slice. */
static void pay_time(struct kymo_rows *r, const struct columns *c, uint32_t row, uint64_t *debt)
{
    const uint64_t n = least(*debt, least(r->lane[c->stored][row], r->lane[c->seen][row]));
    r->lane[c->stored][row] -= n;
    r->lane[c->seen][row] -= n;
    *debt -= n;
}

static void pay_filter(struct kymo_rows *r, const struct columns *c, uint32_t row,
                       struct debt *d)
{
    const uint64_t n = least(d->filter, r->lane[c->stored][row]);
    r->lane[c->stored][row] -= n;
    r->lane[c->filtered][row] += n;
    d->filter -= n;
    pay_flagged(r, c->late, row, &d->late);
    pay_flagged(r, c->unread, row, &d->unread);
}

/* What a row of losses is about: its source's debts of one ring, or of no known ring. */
static struct debt *debt_of(struct kymo_ledger *l, const struct kymo_batch *b,
                            const struct columns *c, uint32_t row, int any)
{
    uint32_t n;
    if (!kymo_batch_present(b, (uint32_t)c->source, row))
        return NULL;
    const char *name = kymo_batch_str(b, (uint32_t)c->source, row, &n);
    struct source *s = find(l, name, n);
    const uint64_t ring = c->ring < 0 ? KYMO_LEDGER_ANY : b->lane[c->ring][row];
    if (!s || any)
        return s ? &s->any : NULL;
    return ring < KYMO_LEDGER_RINGS_MAX ? &s->ring[ring] : NULL;
}

/* The oldest rows answer for what was older than the slice, the newest for what was newer. */
static void settle(struct kymo_ledger *l, struct kymo_rows *loss, const struct kymo_batch *b,
                   const struct columns *c, const uint8_t *keep, int any)
{
    struct debt *d;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if ((d = debt_of(l, b, c, i, any)))
            pay_time(loss, c, i, &d->before);
    for (uint32_t i = b->n_rows; i-- > 0;)
        if ((d = debt_of(l, b, c, i, any)))
            pay_time(loss, c, i, &d->after);
    for (int kept = 1; kept >= 0; kept--)
        for (uint32_t i = 0; i < b->n_rows; i++)
            if (keep[i] == kept && (d = debt_of(l, b, c, i, any)))
                pay_filter(loss, c, i, d);
}

/* What a ring could not pay (rows moved between rings, or no ring known), the others do. */
static void pool(struct source *s)
{
    for (uint32_t i = 0; i < KYMO_LEDGER_RINGS_MAX; i++) {
        struct debt *d = &s->ring[i];
        s->any.before += d->before;
        s->any.after += d->after;
        s->any.filter += d->filter;
        s->any.late += d->late;
        s->any.unread += d->unread;
        *d = (struct debt){0};
    }
}

void kymo_ledger_settle(struct kymo_ledger *l, struct kymo_rows *loss, const uint8_t *keep)
{
    struct columns c;
    if (!l->n || !find_columns(loss->schema, &c))
        return;
    const struct kymo_batch b = kymo_rows_view(loss);
    settle(l, loss, &b, &c, keep, 0);
    for (size_t i = 0; i < l->n; i++)
        pool(&l->source[i]);
    settle(l, loss, &b, &c, keep, 1);
}
