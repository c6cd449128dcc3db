/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/split.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_ROWS_MIN 2u
#define BLOCK_ROWS_MAX 60u
#define BLOCKS_WANTED 200u

struct ref {
    const struct kymo_matrix_row *row; /* NULL: the matrix has no facts */
    size_t i;
};

static int by_series(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;
    if (x->row && y->row) {
        if (x->row->capture != y->row->capture)
            return x->row->capture < y->row->capture ? -1 : 1;
        const int c = strcmp(x->row->entity, y->row->entity);
        if (c)
            return c;
        if (x->row->start_ns != y->row->start_ns)
            return x->row->start_ns < y->row->start_ns ? -1 : 1;
    }
    return (x->i > y->i) - (x->i < y->i);
}

/* Rows by capture, entity, time; owned. */
static struct ref *sort_rows(const struct kymo_matrix *m)
{
    struct ref *r = calloc(m->n + 1, sizeof(*r));
    for (size_t i = 0; r && i < m->n; i++)
        r[i] = (struct ref){m->row ? &m->row[i] : NULL, i};
    if (r)
        qsort(r, m->n, sizeof(*r), by_series);
    return r;
}

static int same_series(const struct ref *a, const struct ref *b)
{
    return !a->row ||
           (a->row->capture == b->row->capture && strcmp(a->row->entity, b->row->entity) == 0);
}

static void mark_held(const struct kymo_matrix *m, const struct ref *r, double share,
                      uint8_t *held)
{
    /* Windows that overlap tell of each other: a block is at least two whole windows long. */
    const size_t least = m->spec
                             ? BLOCK_ROWS_MIN * (size_t)(m->spec->window_ns / m->spec->step_ns)
                             : BLOCK_ROWS_MIN;
    size_t block = m->n / BLOCKS_WANTED;
    block = block > BLOCK_ROWS_MAX ? BLOCK_ROWS_MAX : block;
    block = block < least ? least : block;
    const size_t every = (size_t)(1 / share + 0.5);
    size_t begin = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (i && !same_series(&r[i - 1], &r[i]))
            begin = i;
        held[r[i].i] = (i - begin) / block % every == every - 1;
    }
}

static int is_marked(const struct kymo_matrix *m, size_t i)
{
    for (size_t s = 0; s < m->n_spans && m->row; s++)
        if (kymo_row_inside(&m->row[i], &m->span[s]))
            return 1;
    return 0;
}

kymo_status kymo_split_rows(const struct kymo_matrix *m, double share, int marked,
                            struct kymo_arena *arena, struct kymo_split *out,
                            struct kymo_err *err)
{
    struct kymo_split s = {0};
    s.train = KYMO_NEW_RAW(arena, size_t, m->n);
    s.hold = KYMO_NEW_RAW(arena, size_t, m->n);
    uint8_t *held = KYMO_NEW(arena, uint8_t, m->n);
    struct ref *r = sort_rows(m);
    if (!s.train || !s.hold || !held || !r) {
        free(r);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory to split %zu rows",
                         m->n);
    }
    if (share > 0)
        mark_held(m, r, share, held);
    free(r);
    for (size_t i = 0; i < m->n; i++) {
        if (m->row && m->row[i].lost > KYMO_LOST_MAX)
            s.n_lost++;
        else if (marked && !is_marked(m, i))
            s.n_unmarked++;
        else if (held[i])
            s.hold[s.n_hold++] = i;
        else
            s.train[s.n_train++] = i;
    }
    *out = s;
    return KYMO_OK;
}

kymo_status kymo_count_transitions(const struct kymo_matrix *m, const uint32_t *label, size_t k,
                                   uint64_t *count, struct kymo_err *err)
{
    struct ref *r = sort_rows(m);
    if (!r)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory to order %zu rows",
                         m->n);
    for (size_t i = 1; i < m->n; i++) {
        if (!same_series(&r[i - 1], &r[i]))
            continue;
        /* The next window begins at most one window after this one: a gap is no transition. */
        if (r[i].row && r[i - 1].row &&
            r[i].row->start_ns > r[i - 1].row->start_ns + r[i - 1].row->dur_ns)
            continue;
        count[label[r[i - 1].i] * k + label[r[i].i]]++;
    }
    free(r);
    return KYMO_OK;
}
