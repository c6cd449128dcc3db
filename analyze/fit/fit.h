/* SPDX-License-Identifier: Apache-2.0
 * fit.h: what every clusterer's tool does around its core. A matrix is read, its rows are split, bent, scaled and
 * perhaps projected; the core finds states; and what it found becomes a model:
 *
 *   kymo_fit_open ─► kymo_fit_prepare ─► (the tool's core on fit.X) ─► kymo_fit_states ─► kymo_fit_finish
 */
#ifndef KYMO_FIT_FIT_H
#define KYMO_FIT_FIT_H

#include "analyze/core/ranks.h"
#include "analyze/core/split.h"
#include "format/model/model.h"
#include "format/num/dense.h"

/* What the tools have in common on their command lines; see fit_options.h. */
struct kymo_fit_opts {
    const char *in, *out;
    const char *const
        *parts; /* [n_parts] all of the matrix, in being the first; NULL: in alone */
    size_t n_parts;
    bool mpi;              /* parts are shared out among processes */
    const char *labels;    /* where the state of every row goes, or NULL */
    const char *transform; /* NULL: spec for a matrix that has one, else none */
    const char *weights;   /* file of one weight a row, or NULL */
    const char *pca;       /* "0.95" or "12", or NULL */
    double holdout;        /* share; < 0: a fifth for a matrix with a spec, else none */
    double variance_min;   /* columns with less, once bent and scaled, are left out */
    uint64_t seed, threads;
    bool marked, force, quiet, no_progress, json;
};

struct kymo_fit {
    const struct kymo_fit_opts *o;
    const char *tool;
    const struct kymo_ranks *ranks; /* NULL: one process */
    struct kymo_arena arena;
    struct kymo_matrix m;
    struct kymo_split split; /* of m, part by part */
    struct kymo_fit_rows {
        size_t windows, train, hold, lost, unmarked;
    } all;                      /* how many rows there are, over all processes */
    const char *at;             /* the part that was read last, for messages */
    struct kymo_buf hashes;     /* u64 a part of this process: kymo_matrix_xxh3() */
    struct kymo_buf ends;       /* size_t a part: rows of m up to its end */
    struct kymo_model model;    /* columns and projection; states from kymo_fit_states on */
    const char *transform;      /* the one used */
    double holdout;             /* the share used */
    struct kymo_dense X;        /* [n_train,p] rows to learn from, where distances are taken */
    size_t n_muted;             /* columns left out for want of variance */
    double pca_kept;            /* share of the variance that the projection keeps */
    const double *pca_variance; /* [d] of all components, or NULL */
    uint32_t *label; /* [m.n] arena, from kymo_fit_finish on: the state of every row */
    uint64_t agreed; /* training rows whose nearest state is the one they were put in */
};

/* On the caller's storage. */
void kymo_fit_open(struct kymo_fit *f, const struct kymo_fit_opts *o, const char *tool);
void kymo_fit_close(struct kymo_fit *f);

/*
 * Read the matrix and make f->X.
 *
 * errors  EUSAGE: options that do not go with this matrix; EINPUT: no row to learn from, values that a
 *         transform does not take; ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_fit_prepare(struct kymo_fit *f, struct kymo_err *err);

/* Rows of another file, with the matrix's columns, in the space of f->X: C [k,p] arena. */
KYMO_MUST_USE kymo_status kymo_fit_place_file(struct kymo_fit *f, const char *path, size_t *k,
                                              double **C, struct kymo_err *err);

/*
 * Give the model its states.
 *
 * k       states, noise among them            noise  the state of what belongs to none; k: no such
 * label   [n_train] state of each training row, borrowed until kymo_fit_finish
 * points  [k,p] where the states lie; NULL: at the mean of their rows
 */
KYMO_MUST_USE kymo_status kymo_fit_states(struct kymo_fit *f, const char *family, size_t k,
                                          size_t noise, const uint32_t *label,
                                          const double *points, struct kymo_err *err);

/*
 * Work out spreads, held-out distances, transitions and provenance, and write what was asked for. Tools that give
 * the model a mixture do so between the two.
 *
 * fit     (s|S)tolen: the object of the model's "fit"
 */
KYMO_MUST_USE kymo_status kymo_fit_finish(struct kymo_fit *f, const uint32_t *label,
                                          bool finished, json_t *fit, struct kymo_err *err);

/*
 * Give the model its section of sequences, where the matrix has the table: the conducts of every step of time
 * to the states of the windows it is in (fit of label, which kymo_fit_finish filled in). errors ELIMIT, ECORRUPT
 */
KYMO_MUST_USE kymo_status kymo_fit_sequences(struct kymo_fit *f, struct kymo_err *err);

/* Is it this process that writes and speaks? */
static inline bool kymo_fit_speaks(const struct kymo_fit *f)
{
    return !f->ranks || f->ranks->rank == 0;
}

/* The model's own object of what was tried and used, for --json. errors OUTPUT */
KYMO_MUST_USE kymo_status kymo_fit_print_json(const struct kymo_fit *f, struct kymo_err *err);
/* "5 states from 80 windows (20 held out, ...)", and what else people should know. */
void kymo_fit_print_states(const struct kymo_fit *f, FILE *to, const char *how);
/* Where a summary for people goes: standard output, or standard error when the model goes there. */
FILE *kymo_fit_summary(const struct kymo_fit *f);

/* One column of text or numbers, one row a row of the matrix: .npy, or CSV. */
KYMO_MUST_USE kymo_status kymo_fit_write_labels(const struct kymo_fit *f, const char *path,
                                                const uint32_t *label, struct kymo_err *err);
/* A table [n,d] of numbers: .npy, or CSV with these column names. */
KYMO_MUST_USE kymo_status kymo_fit_write_table(const struct kymo_fit *f, const char *path,
                                               size_t n, size_t d, const double *v,
                                               const char *const *names, struct kymo_err *err);

KYMO_MUST_USE kymo_status kymo_fit_no_memory(struct kymo_err *err);

#endif
