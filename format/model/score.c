/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/num/stats.h"

struct kymo_scorer {
    const struct kymo_model *m;
    double alpha, far; /* far: novelty past which a window is novel without calibration */
    int has_good;
    double *z, *place, *dist, *pull; /* [d] [p] [k] [d] */
    uint8_t *mute;                   /* [d] columns that are not given as reasons */
};

static const char *const outcome_names[KYMO_OUTCOMES] = {"unknown", "good", "bad",
                                                         "inconclusive"};

const char *kymo_outcome_name(enum kymo_outcome o)
{
    return outcome_names[o];
}

double kymo_conformal_p(size_t n, const double *sorted, double v)
{
    return (1 + (double)kymo_count_at_least(n, sorted, v)) / ((double)n + 1);
}

kymo_status kymo_scorer_open(struct kymo_scorer **out, const struct kymo_model *m, double alpha,
                             struct kymo_err *err)
{
    struct kymo_scorer *s = calloc(1, sizeof(*s));
    if (s) {
        s->m = m;
        s->alpha = alpha;
        s->z = calloc(m->d, sizeof(double));
        s->place = calloc(m->p, sizeof(double));
        s->dist = calloc(m->k, sizeof(double));
        s->pull = calloc(m->d, sizeof(double));
        s->mute = calloc(m->d, 1);
    }
    if (!s || !s->z || !s->place || !s->dist || !s->pull || !s->mute) {
        kymo_scorer_close(s);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory to score");
    }
    const double farthest = m->n_holdout ? m->holdout[m->n_holdout - 1] : 0;
    s->far = KYMO_FAR_FACTOR * (farthest > KYMO_FAR_SPREADS ? farthest : KYMO_FAR_SPREADS);
    for (size_t c = 0; c < m->k; c++)
        s->has_good |= m->state[c].verdict == KYMO_GOOD;
    for (size_t j = 0; j < m->d; j++)
        s->mute[j] = (uint8_t)kymo_model_is_mute(m, j);
    *out = s;
    return KYMO_OK;
}

void kymo_scorer_close(struct kymo_scorer *s)
{
    if (!s)
        return;
    free(s->z);
    free(s->place);
    free(s->dist);
    free(s->pull);
    free(s->mute);
    free(s);
}

int kymo_scorer_is_calibrated(const struct kymo_scorer *s)
{
    return s->m->n_holdout >= KYMO_HOLDOUT_MIN;
}

/* The nearest good state, k when there is none: what a window is compared with. */
static size_t nearest_good(const struct kymo_scorer *s)
{
    size_t best = s->m->k;
    for (size_t c = 0; c < s->m->k; c++)
        if (s->m->state[c].verdict == KYMO_GOOD &&
            (best == s->m->k || s->dist[c] < s->dist[best]))
            best = c;
    return best;
}

static double confidence_of(const struct kymo_scorer *s, size_t state)
{
    double other = INFINITY;
    for (size_t c = 0; c < s->m->k; c++)
        if (s->m->state[c].verdict != s->m->state[state].verdict && s->dist[c] < other)
            other = s->dist[c];
    if (isinf(other))
        return 1;
    const double sum = other + s->dist[state];
    return sum > 0 ? other / sum : 0.5;
}

/* The columns that make up most of the distance to the reference, largest first. */
static void find_reasons(struct kymo_scorer *s, const double *x, struct kymo_score *out)
{
    const struct kymo_model *m = s->m;
    const size_t good = nearest_good(s);
    double total = 0;
    for (size_t j = 0; j < m->d; j++) {
        const double t = s->z[j] - (good < m->k ? m->state[good].centre[j] : 0);
        s->pull[j] = t * t;
        total += s->pull[j];
    }
    out->n_reasons = 0;
    while (out->n_reasons < KYMO_REASONS && total > 0) {
        size_t best = m->d;
        for (size_t j = 0; j < m->d; j++)
            if (!s->mute[j] && s->pull[j] > 0 && (best == m->d || s->pull[j] > s->pull[best]))
                best = j;
        if (best == m->d)
            return;
        out->reason[out->n_reasons++] = (struct kymo_reason){
            .column = best,
            .value = x[best],
            .usual = kymo_model_raw(m, best, good < m->k ? m->state[good].centre[best] : 0),
            .share = s->pull[best] / total,
        };
        s->pull[best] = 0;
    }
}

kymo_status kymo_score_row(struct kymo_scorer *s, const double *x, double lost, size_t row,
                           struct kymo_score *out, struct kymo_err *err)
{
    const struct kymo_model *m = s->m;
    KYMO_TRY(kymo_model_transform(m, x, s->z, row, err));
    struct kymo_score got = {0};
    got.state = kymo_model_nearest(m, kymo_model_place(m, s->z, s->place), s->dist);
    got.distance = s->dist[got.state];
    got.novelty = kymo_model_novelty(m, got.state, got.distance);
    const int calibrated = kymo_scorer_is_calibrated(s);
    got.p = calibrated ? kymo_conformal_p(m->n_holdout, m->holdout, got.novelty) : NAN;
    got.is_novel = calibrated ? got.p <= s->alpha : got.novelty > s->far;
    got.confidence = confidence_of(s, got.state);
    if (lost > KYMO_LOST_MAX)
        got.outcome = KYMO_OUT_INCONCLUSIVE;
    else if (got.is_novel)
        got.outcome = KYMO_OUT_UNKNOWN;
    else
        got.outcome = (enum kymo_outcome)m->state[got.state].verdict;
    find_reasons(s, x, &got);
    *out = got;
    return KYMO_OK;
}

/* -- rules ------------------------------------------------------------------------------------ */

static kymo_status parse_rule(struct kymo_rule *r, const char *p, size_t n,
                              struct kymo_err *err)
{
    const size_t word = strcspn(p, "<>=, ");
    size_t o = 0;
    while (o < KYMO_OUTCOMES &&
           (strlen(outcome_names[o]) != word || memcmp(p, outcome_names[o], word) != 0))
        o++;
    if (o == KYMO_OUTCOMES || word >= n || p[word] != '>')
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "rule '%.*s' is not like 'bad>2%%', 'unknown>10%%' or 'bad>=3'",
                         (int)n, p);
    r->outcome = (enum kymo_outcome)o;
    r->or_equal = p[word + 1] == '=';
    char *end;
    const char *number = p + word + 1 + r->or_equal;
    r->limit = strtod(number, &end);
    r->is_share = *end == '%';
    if (end == number || !isfinite(r->limit) || r->limit < 0 ||
        (r->is_share && r->limit > 100) || end + r->is_share != p + n)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "rule '%.*s' has no limit like 2%% or 3", (int)n, p);
    if (r->is_share)
        r->limit /= 100;
    return KYMO_OK;
}

kymo_status kymo_rules_parse(struct kymo_rules *r, const char *text, struct kymo_err *err)
{
    struct kymo_rules got = {.n = 0};
    for (const char *p = text; *p;) {
        const size_t n = strcspn(p, ",");
        if (got.n == KYMO_RULES_MAX)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "more than %u rules",
                             KYMO_RULES_MAX);
        KYMO_TRY(parse_rule(&got.rule[got.n], p, n, err));
        got.n++;
        p += n + (p[n] == ',');
    }
    *r = got;
    return KYMO_OK;
}

const struct kymo_rule *kymo_rules_broken(const struct kymo_rules *r, const uint64_t *count)
{
    const uint64_t conclusive =
        count[KYMO_OUT_UNKNOWN] + count[KYMO_OUT_GOOD] + count[KYMO_OUT_BAD];
    for (size_t i = 0; i < r->n; i++) {
        const struct kymo_rule *rule = &r->rule[i];
        const uint64_t of = rule->outcome == KYMO_OUT_INCONCLUSIVE
                                ? conclusive + count[KYMO_OUT_INCONCLUSIVE]
                                : conclusive;
        double v = (double)count[rule->outcome];
        if (rule->is_share)
            v = of ? v / (double)of : 0;
        if (v > rule->limit || (rule->or_equal && v >= rule->limit))
            return rule;
    }
    return NULL;
}
