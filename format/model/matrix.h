/* SPDX-License-Identifier: Apache-2.0
 * matrix.h: a dense matrix with named columns, and what is known of its rows. Values stay in the precision
 * they came in, float or double, row-major.
 */
#ifndef KYMO_MODEL_MATRIX_H
#define KYMO_MODEL_MATRIX_H

#include "format/base/arena.h"
#include "format/base/bytes.h"
#include "format/model/feature.h"
#include "format/num/dense.h"
#include "format/trace/schema.h"

#define KYMO_MATRIX_COLUMNS_MAX 16384u
#define KYMO_MATRIX_BYTES_MAX ((size_t)16 << 30)
/* Windows that lost more than this share are left out of training and are scored inconclusive. */
#define KYMO_LOST_MAX 0.01

struct kymo_matrix_column {
    const char *name; /* arena */
    const char *unit; /* arena */
};

/* What a row is about; matrices from .npy and CSV have none. */
struct kymo_matrix_row {
    uint64_t start_ns, dur_ns, real_ns, events;
    double lost;
    uint32_t capture;
    const char *entity; /* arena, equal names are one pointer */
};

/* How the threads of a role acted in a step of time of an entity: a row of table sequence, see sequence.h. */
struct kymo_matrix_conduct {
    uint64_t start_ns, dur_ns, every; /* of so many steps one has rows */
    uint32_t capture;
    const char *entity, *role, *text; /* arena */
    size_t text_bytes;
};

struct kymo_sequence_learner;
struct kymo_matrix {
    struct kymo_arena arena;
    size_t n, d;
    struct kymo_matrix_column *column; /* [d] */
    int has_names;                     /* columns have names of their own (not of .npy) */
    int is_f32;                        /* rows are of float; set before the first is added */
    double *X;                         /* [n,d] borrowed from values; or */
    float *X32;                        /* the same of float */
    struct kymo_buf values;
    struct kymo_matrix_row *row; /* [n] or NULL */
    struct kymo_buf rows;
    int has_spec;
    struct kymo_feature_spec *spec; /* arena, or NULL */
    uint64_t spec_schema;           /* hash of the schema that it was read from last */
    struct kymo_span *span;         /* [n_spans] */
    size_t n_spans;
    struct kymo_capture_facts *capture; /* [n_captures] */
    size_t n_captures;
    int wants_sequence; /* read table sequence, write it; set before */
    struct kymo_sequence_learner
        *learner; /* borrowed: captures that are loaded teach it; or NULL */
    struct kymo_matrix_conduct *conduct; /* [n_conducts] owned, steps together */
    size_t n_conducts, cap_conducts;
    char **entity; /* names met, owned array of arena strings */
    size_t n_entities, cap_entities;
    uint32_t *
        entity_slot; /* owned, open addressing by name: index + 1, 0 free; twice cap_entities */
};

/* On the caller's storage; cap on all it may hold, 0 for the default. */
void kymo_matrix_init(struct kymo_matrix *m, size_t cap_bytes);
void kymo_matrix_release(struct kymo_matrix *m);

/* Give it the columns of a spec, whose vocabulary stays borrowed. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_matrix_set_spec(struct kymo_matrix *m,
                                               const struct kymo_feature_spec *spec,
                                               struct kymo_err *err);
/* Append one window; ctx is a struct kymo_matrix * with a spec: a kymo_window_fn. */
KYMO_MUST_USE kymo_status kymo_matrix_window(void *ctx, const struct kymo_window *w,
                                             struct kymo_err *err);
/* Append one row of d values without facts. */
KYMO_MUST_USE kymo_status kymo_matrix_add(struct kymo_matrix *m, const double *x,
                                          struct kymo_err *err);
/* Make room for n rows at once (from a header that was checked against the input's size). */
KYMO_MUST_USE kymo_status kymo_matrix_reserve(struct kymo_matrix *m, size_t n,
                                              struct kymo_err *err);
/* Keep what one capture brought, its spans with it. */
KYMO_MUST_USE kymo_status kymo_matrix_add_capture(struct kymo_matrix *m,
                                                  const struct kymo_capture_facts *facts,
                                                  const struct kymo_span *span, size_t n_spans,
                                                  struct kymo_err *err);

/*
 * Add the rows, spans and captures of another matrix, which stays the caller's.
 *
 * errors  EINPUT: other columns, another spec or precision; ELIMIT. name is the other's, for the message
 */
KYMO_MUST_USE kymo_status kymo_matrix_append(struct kymo_matrix *m,
                                             const struct kymo_matrix *more, const char *name,
                                             struct kymo_err *err);

/* The rows as clusterers take them, borrowed. */
static inline struct kymo_dense kymo_matrix_dense(const struct kymo_matrix *m)
{
    return (struct kymo_dense){.n = m->n, .d = m->d, .f32 = m->X32, .f64 = m->X};
}
static inline double kymo_matrix_at(const struct kymo_matrix *m, size_t i, size_t j)
{
    return m->is_f32 ? (double)m->X32[i * m->d + j] : m->X[i * m->d + j];
}
/* Row i in double: where it lies, or widened into scratch[d]. */
static inline const double *kymo_matrix_row(const struct kymo_matrix *m, size_t i,
                                            double *scratch)
{
    if (!m->is_f32)
        return m->X + i * m->d;
    for (size_t j = 0; j < m->d; j++)
        scratch[j] = (double)m->X32[i * m->d + j];
    return scratch;
}

/* NaN and Inf are refused, naming column and row. name is the input's. errors EINPUT */
KYMO_MUST_USE kymo_status kymo_matrix_check(const struct kymo_matrix *m, const char *name,
                                            struct kymo_err *err);

/* XXH3-64 of size, column names and values: the name of the matrix in a model's provenance. */
uint64_t kymo_matrix_xxh3(const struct kymo_matrix *m);

/*
 * Read on from an open reader that stands before (or, with first, after taking) its first batch:
 * tables features, span and capture. errors EINPUT: no such table, another spec, NaN
 */
KYMO_MUST_USE kymo_status kymo_matrix_read(struct kymo_matrix *m, kymo_reader *reader,
                                           const struct kymo_batch *first, const char *name,
                                           struct kymo_err *err);
extern const char *const kymo_matrix_tables[];
extern const size_t kymo_matrix_tables_n;

/* Write as .kymo to fd: tables features (spec in the schema's meta), span, capture. */
KYMO_MUST_USE kymo_status kymo_matrix_write(const struct kymo_matrix *m, int fd,
                                            const char *name, struct kymo_err *err);

/* Take in table sequence, write its rows; and what a learner has, which is shortened to fit. errors ELIMIT,
 * ECORRUPT */
extern const struct kymo_column_def kymo_conduct_columns[];
#define KYMO_CONDUCT_COLUMNS 7u
KYMO_MUST_USE kymo_status kymo_matrix_take_conducts(struct kymo_matrix *m,
                                                    const struct kymo_batch *b,
                                                    const char *name, struct kymo_err *err);
struct kymo_writer;
struct kymo_rows;
KYMO_MUST_USE kymo_status kymo_matrix_put_conducts(const struct kymo_matrix *m,
                                                   struct kymo_writer *w,
                                                   struct kymo_rows *rows,
                                                   struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_matrix_add_sequence(struct kymo_matrix *m,
                                                   struct kymo_sequence_learner *l,
                                                   struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_matrix_append_conducts(struct kymo_matrix *m,
                                                      const struct kymo_matrix *more,
                                                      uint32_t captures, struct kymo_err *err);
/* One pointer a name of an entity; NULL: too many. */
const char *kymo_matrix_entity(struct kymo_matrix *m, const char *s, size_t n);

/* Is row i wholly inside span s? */
static inline int kymo_row_inside(const struct kymo_matrix_row *r, const struct kymo_span *s)
{
    return r->capture == s->capture && r->start_ns >= s->start_ns &&
           r->start_ns + r->dur_ns <= s->end_ns;
}

#endif
