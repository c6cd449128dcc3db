/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/births.h"

#include <stdlib.h>
#include <string.h>

#define BIRTHS_MAX (1u << 24)

void kymo_births_release(struct kymo_births *s)
{
    free(s->birth);
    memset(s, 0, sizeof(*s));
}

static int is_number(const struct kymo_schema *schema, int column)
{
    return column >= 0 && schema->column[column].type == KYMO_T_U64 &&
           !schema->column[column].nullable;
}

static kymo_status add(struct kymo_births *s, const struct kymo_birth *e, struct kymo_err *err)
{
    if (s->n == s->cap) {
        const size_t cap = s->cap ? s->cap * 2 : 256;
        struct kymo_birth *more =
            cap <= BIRTHS_MAX ? realloc(s->birth, cap * sizeof(*more)) : NULL;
        if (!more)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                             "too many processes to follow their descriptors: %zu", s->n);
        s->birth = more;
        s->cap = cap;
    }
    s->birth[s->n++] = *e;
    s->is_sorted = 0;
    return KYMO_OK;
}

static int word_kind(const char *text, uint32_t n, enum kymo_birth_kind *kind)
{
    static const char *const word[] = {"fork", "exec", "exit"};
    for (int i = 0; i < 3; i++)
        if (n == 4 && !memcmp(text, word[i], 4)) {
            *kind = (enum kymo_birth_kind)i;
            return 1;
        }
    return 0;
}

kymo_status kymo_births_learn(struct kymo_births *s, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    static const char *const number[] = {"ts", "pid", "start", "ppid", "tid"};
    int c[5];
    const int lifetime = kymo_schema_column(b->schema, "lifetime");
    const int kind = kymo_schema_column(b->schema, "kind");
    if (strcmp(b->schema->table, KYMO_TABLE_PROCESS.table) != 0 || kind < 0 ||
        b->schema->column[kind].type != KYMO_T_STR || !b->lane[kind])
        return KYMO_OK;
    for (int i = 0; i < 5; i++) {
        c[i] = kymo_schema_column(b->schema, number[i]);
        if (!is_number(b->schema, c[i]) || !b->lane[c[i]])
            return KYMO_OK;
    }
    for (uint32_t row = 0; row < b->n_rows; row++) {
        uint32_t n;
        struct kymo_birth e = {kymo_batch_u64(b, (uint32_t)c[0], row),
                               kymo_batch_u64(b, (uint32_t)c[1], row),
                               kymo_batch_u64(b, (uint32_t)c[2], row),
                               kymo_batch_u64(b, (uint32_t)c[3], row),
                               KYMO_BIRTH_FORK,
                               0};
        if (!kymo_batch_present(b, (uint32_t)kind, row))
            continue;
        const char *text = kymo_batch_str(b, (uint32_t)kind, row, &n);
        if (!word_kind(text, n, &e.kind))
            continue;
        /* The births and deaths of threads change no table; a process may outlive its first. */
        const int is_first = kymo_batch_u64(b, (uint32_t)c[4], row) == e.pid;
        const int is_last = e.kind == KYMO_BIRTH_EXIT && lifetime >= 0 && b->lane[lifetime] &&
                            kymo_batch_present(b, (uint32_t)lifetime, row);
        s->knows_last |= is_last;
        e.is_thread = e.kind == KYMO_BIRTH_EXIT && !is_last;
        if (is_first || is_last)
            KYMO_TRY(add(s, &e, err));
    }
    return KYMO_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct kymo_birth *x = a, *y = b;
    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    return (x->kind > y->kind) - (x->kind < y->kind);
}

void kymo_births_sort(struct kymo_births *s)
{
    if (s->n && !s->is_sorted)
        qsort(s->birth + s->at, s->n - s->at, sizeof(*s->birth), by_time);
    s->is_sorted = 1;
}

const struct kymo_birth *kymo_births_next(struct kymo_births *s, uint64_t until_ns)
{
    while (s->at < s->n && s->knows_last && s->birth[s->at].is_thread &&
           s->birth[s->at].ts_ns <= until_ns)
        s->at++;
    return s->at < s->n && s->birth[s->at].ts_ns <= until_ns ? &s->birth[s->at++] : NULL;
}
