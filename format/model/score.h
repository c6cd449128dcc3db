/* SPDX-License-Identifier: Apache-2.0
 * score.h: judges a window by a labelled model, and a run by rules.
 */
#ifndef KYMO_MODEL_SCORE_H
#define KYMO_MODEL_SCORE_H

#include "format/model/model.h"

/* What a window comes out as. The first three are enum kymo_verdict. */
enum kymo_outcome {
    KYMO_OUT_UNKNOWN, /* its state has no verdict, or it is like no state */
    KYMO_OUT_GOOD,
    KYMO_OUT_BAD,
    KYMO_OUT_INCONCLUSIVE, /* too much of it was lost */
    KYMO_OUTCOMES
};
const char *kymo_outcome_name(enum kymo_outcome o);

#define KYMO_REASONS 3u
struct kymo_reason {
    size_t column;
    double value, usual; /* raw units; usual: at the nearest good state, else at the mean */
    double share;        /* of the squared distance to it, 0..1 */
};

struct kymo_score {
    size_t state;
    enum kymo_outcome outcome;
    int is_novel;    /* far from every state */
    double distance; /* to its state, in the space of the model */
    double novelty;  /* the same in spreads of the state */
    double p;        /* conformal p-value of the novelty; NaN: too few held-out windows */
    double
        confidence; /* .5 .. 1: nearest state of another verdict against nearest of the own */
    size_t n_reasons;
    struct kymo_reason reason[KYMO_REASONS];
};

struct kymo_scorer; /* owned */

/* The alpha of who gives none. */
#define KYMO_ALPHA 0.01

/*
 * Prepare to score with a model (borrowed).
 *
 * alpha   windows with p <= alpha are novel; with fewer than KYMO_HOLDOUT_MIN held-out windows there
 *         is no p, and novel is what is KYMO_FAR_FACTOR times as far as the farthest of them
 * errors  ELIMIT
 */
#define KYMO_FAR_FACTOR 2.0
/* Spreads taken for the farthest when nothing was held out. */
#define KYMO_FAR_SPREADS 3.0
KYMO_MUST_USE kymo_status kymo_scorer_open(struct kymo_scorer **out, const struct kymo_model *m,
                                           double alpha, struct kymo_err *err);
void kymo_scorer_close(struct kymo_scorer *s);
/* Are there enough held-out windows for p-values? */
int kymo_scorer_is_calibrated(const struct kymo_scorer *s);

/* Judge one row of raw values. lost: share of its events that were lost; row is for messages. */
KYMO_MUST_USE kymo_status kymo_score_row(struct kymo_scorer *s, const double *x, double lost,
                                         size_t row, struct kymo_score *out,
                                         struct kymo_err *err);

/* Conformal p-value: (1 + how many of sorted[n] are >= v) / (n + 1), so never below 1 / (n + 1). */
double kymo_conformal_p(size_t n, const double *sorted, double v);

/* One condition of --fail-on: "bad>2%" on the share of conclusive windows, "bad>=3" on their number. */
struct kymo_rule {
    enum kymo_outcome outcome;
    int or_equal, is_share;
    double limit; /* share 0..1, or a number */
};
#define KYMO_RULES_MAX 16u
struct kymo_rules {
    struct kymo_rule rule[KYMO_RULES_MAX];
    size_t n;
};
/* errors EUSAGE, saying which word is wrong */
KYMO_MUST_USE kymo_status kymo_rules_parse(struct kymo_rules *r, const char *text,
                                           struct kymo_err *err);
/* The first rule that count[KYMO_OUTCOMES] breaks, NULL: none. */
const struct kymo_rule *kymo_rules_broken(const struct kymo_rules *r, const uint64_t *count);

#endif
