/* SPDX-License-Identifier: Apache-2.0
 * model.h: a fitted model as a file, and what it means. Data, no code: a hostile one is refused.
 */
#ifndef KYMO_MODEL_MODEL_H
#define KYMO_MODEL_MODEL_H

#include "format/base/arena.h"
#include "format/base/json.h"
#include "format/model/matrix.h"
#include "format/num/mixture.h"

#define KYMO_MODEL_SCHEMA "kymo-model"
#define KYMO_MODEL_VERSION 2u
#define KYMO_STATES_MAX 4096u
#define KYMO_LABEL_BYTES_MAX 128u
#define KYMO_MODEL_BYTES_MAX ((size_t)1 << 30)
/* Fewer held-out windows than this give no p-values. */
#define KYMO_HOLDOUT_MIN 100u

enum kymo_verdict { KYMO_UNKNOWN, KYMO_GOOD, KYMO_BAD, KYMO_VERDICTS };
const char *kymo_verdict_name(enum kymo_verdict v);
/* KYMO_VERDICTS when the word is none. */
enum kymo_verdict kymo_verdict_value(const char *word);

/* How one column gets into the space of the states: weight * (bend(x) - mean) / scale. */
struct kymo_model_column {
    const char *name, *unit; /* arena */
    enum kymo_bend bend;
    double mean, scale, weight; /* scale > 0, weight >= 0 */
};

struct kymo_state {
    char label[KYMO_LABEL_BYTES_MAX]; /* "" until named */
    enum kymo_verdict verdict;
    uint64_t size;  /* training windows */
    double weight;  /* their share */
    double spread;  /* root mean square distance of them to the state */
    double reach;   /* of the farthest of them */
    double *centre; /* [d] arena, transformed: their mean, column by column */
    double *point; /* [p] arena: where the state lies; the centre itself without a projection */
    uint64_t evidence; /* labelled windows that gave the verdict; 0: named by hand */
    double purity;     /* share of all labelled windows in the state that agree with it */
    char by[24];       /* "marks", "labels", "hand", "" */
};

struct kymo_model {
    struct kymo_arena arena;
    char family[24];
    int finished;
    uint64_t seed;
    struct kymo_feature_spec *spec; /* arena; NULL: fitted on a matrix without */
    int has_names;                  /* columns have names of their own */
    size_t d, k;
    struct kymo_model_column *column; /* [d] arena */
    struct kymo_state *state;         /* [k] arena */
    /* The space in which distances are taken: the transformed columns, or their principal components. */
    size_t p;                /* its columns: d, or what the projection keeps */
    double *projection_mean; /* [d] arena, or NULL: no projection */
    double *projection;      /* [p,d] arena, or NULL: rows of length 1, at right angles */
    struct kymo_mixture
        *mix; /* arena: of p columns, its means those of the states; NULL: distances
                                 are Euclidean */
    double *
        mix_less; /* [k] arena: twice how much less likely each state's point is than the likeliest */
    size_t noise;         /* the state of what belongs to none; k: there is no such */
    uint64_t *transition; /* [k,k] arena: windows of row state followed by column state */
    double spread_floor;  /* least spread used for novelty */
    double holdout_share;
    size_t n_holdout;
    double
        *holdout; /* [n_holdout] arena, ascending: distances of held-out windows in spreads */
    json_t *fit, *provenance; /* owned objects, carried along as they are */
    json_t *sequence;         /* the same; NULL: none. What it says: sequence.h */
};

void kymo_model_init(struct kymo_model *m);
void kymo_model_release(struct kymo_model *m);
/* Room for d columns and k states, all zero. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_model_shape(struct kymo_model *m, size_t d, size_t k,
                                           struct kymo_err *err);

/* errors EINPUT: no model, another version or feature spec; ECORRUPT: values that no fit gives */
KYMO_MUST_USE kymo_status kymo_model_read(struct kymo_model *m, const char *path,
                                          struct kymo_err *err);
/* The same from text, for whoever has it in memory. */
KYMO_MUST_USE kymo_status kymo_model_parse(struct kymo_model *m, const char *text, size_t bytes,
                                           const char *name, struct kymo_err *err);
/* Deterministic bytes; see kymo_json_write. */
KYMO_MUST_USE kymo_status kymo_model_write(const struct kymo_model *m, const char *path,
                                           int force, struct kymo_err *err);

/*
 * Put a row into the space of the states.
 *
 * x       [d] finite raw values, borrowed     z  [d] out
 * errors  EINPUT: a value that the column's transform does not take; row is for the message
 */
KYMO_MUST_USE kymo_status kymo_model_transform(const struct kymo_model *m, const double *x,
                                               double *z, size_t row, struct kymo_err *err);
/* The raw value that stands at z in column j. */
double kymo_model_raw(const struct kymo_model *m, size_t j, double z);

/* Give it a projection of p columns, or a mixture of this type, zeroed. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_model_project(struct kymo_model *m, size_t p,
                                             struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_model_mix(struct kymo_model *m, enum kymo_cov type,
                                         struct kymo_err *err);
/* Once its numbers are there: work out what distances need. errors EINPUT: a covariance is none */
KYMO_MUST_USE kymo_status kymo_model_ready(struct kymo_model *m, struct kymo_err *err);

/* Where z[d] lies in the space of the states: z itself, or the projection, written to place[p]. */
const double *kymo_model_place(const struct kymo_model *m, const double *z, double *place);
/*
 * Nearest state of what lies at place[p].
 *
 * dist    [k] out, distances to all, comparable over states. Of a mixture: the square root of twice how
 *         much less likely it is there, with that component, than at the likeliest point of all;
 *         so the nearest state is the likeliest component, and for equal components it is the
 *         Mahalanobis distance.
 * returns the state; what is out of reach of all that were learned from belongs to noise where the
 *         model has it
 */
size_t kymo_model_nearest(const struct kymo_model *m, const double *place, double *dist);
/* A distance in spreads of its state. */
double kymo_model_novelty(const struct kymo_model *m, size_t state, double dist);

/* Does a matrix fit the model? Same spec, or without one the same columns. */
KYMO_MUST_USE kymo_status kymo_model_accepts(const struct kymo_model *m,
                                             const struct kymo_matrix *x, const char *name,
                                             struct kymo_err *err);

/* Is the column left out where people are told what moved? Hash buckets mean nothing to them, and
 * classes and shares repeat the calls. */
int kymo_model_is_mute(const struct kymo_model *m, size_t j);
#define KYMO_TYPICAL 3u
/* The columns in which a state lies farthest from the mean of all windows; returns how many. */
size_t kymo_model_typical(const struct kymo_model *m, size_t state,
                          size_t column[KYMO_TYPICAL]);

/* The state meant by "3", "s3" or a label that only one state has; k: none. */
size_t kymo_model_find(const struct kymo_model *m, const char *word);

#endif
