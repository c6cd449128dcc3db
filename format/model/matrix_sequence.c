/* SPDX-License-Identifier: Apache-2.0
 * matrix_sequence.c: table sequence of a matrix: how each role acted in each step of time. What it says is read
 * by who needs it; here it is text.
 */
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/model/matrix.h"
#include "format/model/sequence_learn.h"
#include "format/trace/writer.h"

#define CHUNK_TEXT_BYTES ((size_t)8 << 20)
#define CONDUCTS_MAX ((size_t)1 << 24)

enum { Q_TS, Q_DUR, Q_EVERY, Q_CAPTURE, Q_ENTITY, Q_ROLE, Q_TEXT };
const struct kymo_column_def kymo_conduct_columns[KYMO_CONDUCT_COLUMNS] = {
    {"ts", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"dur", "ns", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"every", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"capture", "", KYMO_T_U64, KYMO_ORDER_ROW, 0},
    {"entity", "", KYMO_T_STR, KYMO_ORDER_ROW, 0},
    {"role", "", KYMO_T_STR, KYMO_ORDER_ROW, 0},
    {"conduct", "", KYMO_T_STR, KYMO_ORDER_ROW, 0},
};

static kymo_status too_large(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the matrix's sequences pass the memory budget");
}

/* A copy of what q says, texts too, for capture q->capture + captures. */
static kymo_status add_conduct(struct kymo_matrix *m, const struct kymo_matrix_conduct *q,
                               size_t entity_bytes, size_t role_bytes, uint32_t captures,
                               struct kymo_err *err)
{
    if (m->n_conducts == m->cap_conducts) {
        const size_t cap = m->cap_conducts ? m->cap_conducts * 2 : 64;
        struct kymo_matrix_conduct *more =
            cap <= CONDUCTS_MAX ? realloc(m->conduct, cap * sizeof(*more)) : NULL;
        if (!more)
            return too_large(err);
        m->conduct = more;
        m->cap_conducts = cap;
    }
    struct kymo_matrix_conduct *to = &m->conduct[m->n_conducts];
    *to = *q;
    to->capture += captures;
    to->entity = kymo_matrix_entity(m, q->entity, entity_bytes);
    to->role = kymo_arena_str(&m->arena, q->role, role_bytes);
    to->text = kymo_arena_str(&m->arena, q->text, q->text_bytes);
    if (!to->entity || !to->role || !to->text)
        return too_large(err);
    m->n_conducts++;
    return KYMO_OK;
}

static const char *text_at(const struct kymo_batch *b, uint32_t column, uint32_t row, size_t *n)
{
    const uint64_t id = b->lane[column][row];
    const int there = b->str.bytes && id < b->str.n;
    *n = there ? b->str.at[id + 1] - b->str.at[id] : 0;
    return there ? b->str.bytes + b->str.at[id] : "";
}

kymo_status kymo_matrix_take_conducts(struct kymo_matrix *m, const struct kymo_batch *b,
                                      const char *name, struct kymo_err *err)
{
    if (!m->wants_sequence)
        return KYMO_OK;
    for (uint32_t c = 0; c < KYMO_CONDUCT_COLUMNS; c++)
        if (c >= b->schema->n_columns ||
            strcmp(b->schema->column[c].name, kymo_conduct_columns[c].name) != 0 ||
            b->schema->column[c].type != kymo_conduct_columns[c].type ||
            b->schema->column[c].order != KYMO_ORDER_ROW || !b->lane[c])
            return KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes,
                             "%s: table 'sequence' has other columns", name);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        size_t entity, role;
        struct kymo_matrix_conduct q = {.dur_ns = b->lane[Q_DUR][i],
                                        .every = b->lane[Q_EVERY][i],
                                        .capture = (uint32_t)b->lane[Q_CAPTURE][i]};
        if (q.dur_ns > b->lane[Q_TS][i] || !q.every)
            return KYMO_FAIL(err, KYMO_ECORRUPT, b->at_bytes,
                             "%s: a step of table 'sequence' begins before time", name);
        q.start_ns = b->lane[Q_TS][i] - q.dur_ns;
        q.entity = text_at(b, Q_ENTITY, i, &entity);
        q.role = text_at(b, Q_ROLE, i, &role);
        q.text = text_at(b, Q_TEXT, i, &q.text_bytes);
        KYMO_TRY(add_conduct(m, &q, entity, role, 0, err));
    }
    return KYMO_OK;
}

kymo_status kymo_matrix_append_conducts(struct kymo_matrix *m, const struct kymo_matrix *more,
                                        uint32_t captures, struct kymo_err *err)
{
    for (size_t i = 0; i < more->n_conducts; i++) {
        const struct kymo_matrix_conduct *q = &more->conduct[i];
        KYMO_TRY(add_conduct(m, q, strlen(q->entity), strlen(q->role), captures, err));
    }
    return KYMO_OK;
}

kymo_status kymo_matrix_add_sequence(struct kymo_matrix *m, struct kymo_sequence_learner *l,
                                     struct kymo_err *err)
{
    size_t n;
    struct kymo_stretch *s = kymo_sequence_stretches(l, &n);
    const struct kymo_symbols *symbols = kymo_sequence_symbols(l);
    kymo_status status = KYMO_OK;
    struct kymo_buf text = {0};
    for (size_t i = 0; i < n && !status; i++) {
        status = kymo_behaviour_cut(&s[i].is, KYMO_STEP_BYTES, err);
        for (size_t k = 0; k < s[i].is.n && !status; k++) {
            kymo_buf_clear(&text);
            kymo_conduct_text(s[i].is.conduct[k], symbols, &text);
            const char *role = symbols->word[s[i].is.conduct[k]->role];
            const struct kymo_matrix_conduct q = {.start_ns = s[i].start_ns,
                                                  .dur_ns = s[i].dur_ns,
                                                  .every = kymo_sequence_every(l),
                                                  .capture = s[i].capture,
                                                  .entity = s[i].entity,
                                                  .role = role,
                                                  .text = (const char *)text.p,
                                                  .text_bytes = text.n};
            status = text.failed ? too_large(err)
                                 : add_conduct(m, &q, strlen(q.entity), strlen(role), 0, err);
        }
    }
    kymo_buf_release(&text);
    return status;
}

kymo_status kymo_matrix_put_conducts(const struct kymo_matrix *m, struct kymo_writer *w,
                                     struct kymo_rows *rows, struct kymo_err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_conducts; i++) {
        const struct kymo_matrix_conduct *q = &m->conduct[i];
        const uint32_t at = kymo_rows_add(rows);
        kymo_rows_set(rows, Q_TS, at, q->start_ns + q->dur_ns);
        kymo_rows_set(rows, Q_DUR, at, q->dur_ns);
        kymo_rows_set(rows, Q_EVERY, at, q->every);
        kymo_rows_set(rows, Q_CAPTURE, at, q->capture);
        kymo_rows_set_str(rows, Q_ENTITY, at, q->entity, strlen(q->entity));
        kymo_rows_set_str(rows, Q_ROLE, at, q->role, strlen(q->role));
        kymo_rows_set_str(rows, Q_TEXT, at, q->text, q->text_bytes);
        bytes += q->text_bytes;
        if (!kymo_rows_full(rows) && bytes < CHUNK_TEXT_BYTES && i + 1 < m->n_conducts)
            continue;
        const struct kymo_batch b = kymo_rows_view(rows);
        KYMO_TRY(kymo_writer_put(w, &b, 0, err));
        kymo_rows_clear(rows);
        bytes = 0;
    }
    return KYMO_OK;
}
