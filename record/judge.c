/* SPDX-License-Identifier: Apache-2.0 */
#include "record/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/model/score.h"
#include "format/model/words.h"
#include "record/host.h"

#define NS_PER_S 1000000000u
/* More of a second than this is worth a word: the writer has to encode in the rest. */
#define SLOW_NS (NS_PER_S / 2)

/* The verdicts of one second. */
struct second {
    uint64_t number; /* since the boot of the host */
    uint64_t count[KYMO_OUTCOMES];
};

struct judge {
    struct kymo_model model;
    struct kymo_scorer *scorer;
    struct kymo_rules rules;
    struct kymo_arena arena;      /* of marks, which are not fed: stays empty */
    struct kymo_feature_run *run; /* NULL: begins with the next rows */
    char *path;
    void (*say)(const char *text);
    struct second minute[JUDGE_MINUTE_S];
    uint64_t closed[KYMO_OUTCOMES];         /* in this second */
    struct kymo_score worst[KYMO_OUTCOMES]; /* of these, the most novel */
    uint64_t spent_ns;
    bool said_slow, said_broken;
    char text[JUDGE_TEXT_BYTES];
};

static void say(const struct judge *j, const char *what)
{
    char text[KYMO_ERR_BYTES_MAX + 320];

    snprintf(text, sizeof(text), "score: %.200s: %s", j->path, what);
    if (j->say)
        j->say(text);
}

/* ---- windows -------------------------------------------------------------------------------- */

static kymo_status judge_window(void *ctx, const struct kymo_window *w, struct kymo_err *err)
{
    struct judge *j = ctx;
    struct kymo_score s;

    KYMO_TRY(kymo_score_row(j->scorer, w->x, w->lost, 0, &s, err));
    if (!j->closed[s.outcome]++ || s.novelty > j->worst[s.outcome].novelty)
        j->worst[s.outcome] = s;
    return KYMO_OK;
}

/* What it holds is lost: windows in flight, of some seconds. */
static void begin_anew(struct judge *j, const struct kymo_err *why)
{
    char text[KYMO_ERR_BYTES_MAX + 64];

    kymo_feature_close(j->run);
    j->run = NULL;
    snprintf(text, sizeof(text), "%s; windows are lost, and it begins anew", why->text);
    if (!j->said_broken)
        say(j, text);
    j->said_broken = true;
}

static kymo_status begin(struct judge *j, struct kymo_err *err)
{
    KYMO_TRY(kymo_feature_open(&j->run, j->model.spec, 0, &j->arena, judge_window, j, err));
    kymo_feature_bound(j->run, JUDGE_BYTES_MAX);
    return KYMO_OK;
}

/* Of the tables that features are made of, marks would grow for ever, and no verdict depends on them. */
static bool is_judged(const struct kymo_schema *s)
{
    return s != &KYMO_TABLE_MARK;
}

void judge_look(struct judge *j, const struct kymo_batch *b)
{
    struct kymo_err err = {0};
    kymo_status s = KYMO_OK;

    if (!b->n_rows || !is_judged(b->schema))
        return;
    const uint64_t from_ns = host_mono_ns();
    if (!j->run)
        s = begin(j, &err);
    if (!s)
        s = kymo_feature_chunk(j->run, b, 0, 0, &err);
    if (s)
        begin_anew(j, &err);
    j->spent_ns += host_mono_ns() - from_ns;
}

/* ---- seconds -------------------------------------------------------------------------------- */

/* Add what was closed now; count is out, all of the last minute. */
static void count_minute(struct judge *j, uint64_t number, uint64_t count[KYMO_OUTCOMES])
{
    struct second *slot = &j->minute[number % JUDGE_MINUTE_S];

    if (slot->number != number)
        *slot = (struct second){.number = number};
    for (unsigned o = 0; o < KYMO_OUTCOMES; o++)
        slot->count[o] += j->closed[o];
    for (unsigned i = 0; i < JUDGE_MINUTE_S; i++)
        for (unsigned o = 0; j->minute[i].number + JUDGE_MINUTE_S > number && o < KYMO_OUTCOMES;
             o++)
            count[o] += j->minute[i].count[o];
}

/* A rule that is broken, by a window that was closed now among others. */
static const struct kymo_rule *find_broken(const struct judge *j,
                                           const uint64_t count[KYMO_OUTCOMES])
{
    for (size_t i = 0; i < j->rules.n; i++) {
        const struct kymo_rules one = {.rule = {j->rules.rule[i]}, .n = 1};
        if (j->closed[j->rules.rule[i].outcome] && kymo_rules_broken(&one, count))
            return &j->rules.rule[i];
    }
    return NULL;
}

static void explain(struct judge *j, const struct kymo_rule *broken, uint64_t in_minute)
{
    const struct kymo_score *s = &j->worst[broken->outcome];
    const struct kymo_state *state = &j->model.state[s->state];
    char value[KYMO_VALUE_BYTES], usual[KYMO_VALUE_BYTES];
    int n = snprintf(j->text, sizeof(j->text),
                     "score: %.80s: %" PRIu64 " %s within a minute, s%zu %.40s", j->path,
                     in_minute, kymo_outcome_name(broken->outcome), s->state, state->label);

    for (size_t i = 0; i < s->n_reasons && n > 0 && (size_t)n < sizeof(j->text); i++) {
        const struct kymo_model_column *c = &j->model.column[s->reason[i].column];
        n += snprintf(j->text + n, sizeof(j->text) - (size_t)n, "; %s %s, usually %s", c->name,
                      kymo_value_text(value, s->reason[i].value, c->unit),
                      kymo_value_text(usual, s->reason[i].usual, c->unit));
    }
}

static void tell_cost(struct judge *j)
{
    char text[96];

    snprintf(text, sizeof(text), "judging took %" PRIu64 " ms of a second: rows may be lost",
             j->spent_ns / 1000000u);
    if (j->spent_ns > SLOW_NS && !j->said_slow)
        say(j, text);
    j->said_slow |= j->spent_ns > SLOW_NS;
    j->spent_ns = 0;
}

const char *judge_second(struct judge *j, uint64_t ts_ns)
{
    const uint64_t from_ns = host_mono_ns();
    struct kymo_err err = {0};
    uint64_t count[KYMO_OUTCOMES] = {0};

    memset(j->closed, 0, sizeof(j->closed));
    if (j->run && kymo_feature_seal(j->run, ts_ns, &err))
        begin_anew(j, &err);
    count_minute(j, ts_ns / NS_PER_S, count);
    const struct kymo_rule *broken = find_broken(j, count);
    if (broken)
        explain(j, broken, count[broken->outcome]);
    j->spent_ns += host_mono_ns() - from_ns;
    tell_cost(j);
    return broken ? j->text : NULL;
}

/* ---- open, close ---------------------------------------------------------------------------- */

static kymo_status check_rules(const struct judge *j, struct kymo_err *err)
{
    for (size_t i = 0; i < j->rules.n; i++) {
        const enum kymo_outcome o = j->rules.rule[i].outcome;
        bool may_be = o == KYMO_OUT_UNKNOWN || o == KYMO_OUT_INCONCLUSIVE;
        for (size_t c = 0; c < j->model.k; c++)
            may_be |= (enum kymo_outcome)j->model.state[c].verdict == o;
        if (!may_be)
            return KYMO_FAIL(
                err, KYMO_EINPUT, KYMO_NOWHERE,
                "no state of %.200s is labelled %s, so no window can be; see kymo-label(1)",
                j->path, kymo_outcome_name(o));
    }
    return KYMO_OK;
}

static kymo_status open_model(struct judge *j, struct kymo_err *err)
{
    KYMO_TRY(kymo_model_read(&j->model, j->path, err));
    if (!j->model.spec)
        return KYMO_FAIL(
            err, KYMO_EINPUT, KYMO_NOWHERE,
            "%.200s was fitted on a matrix that is not of captures, so no window of "
            "a recording fits it",
            j->path);
    KYMO_TRY(check_rules(j, err));
    KYMO_TRY(kymo_scorer_open(&j->scorer, &j->model, KYMO_ALPHA, err));
    return begin(j, err);
}

static kymo_status open_all(struct judge *j, const struct judge_opts *o, struct kymo_err *err)
{
    struct kymo_err inner = {0};

    j->path = strdup(o->model);
    if (!j->path)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    kymo_status s = kymo_rules_parse(&j->rules, o->rules ? o->rules : JUDGE_RULES, &inner);
    if (!s)
        s = open_model(j, &inner);
    return s ? KYMO_FAIL(err, s, KYMO_NOWHERE, "trigger: score: %s", inner.text) : KYMO_OK;
}

kymo_status judge_open(struct judge **out, const struct judge_opts *o, struct kymo_err *err)
{
    struct judge *j = calloc(1, sizeof(*j));

    if (!j)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    kymo_model_init(&j->model);
    kymo_arena_init(&j->arena, 0);
    j->say = o->say;
    const kymo_status s = open_all(j, o, err);
    if (s) {
        judge_close(j);
        return s;
    }
    *out = j;
    return KYMO_OK;
}

void judge_close(struct judge *j)
{
    if (!j)
        return;
    kymo_feature_close(j->run);
    kymo_scorer_close(j->scorer);
    kymo_model_release(&j->model);
    kymo_arena_release(&j->arena);
    free(j->path);
    free(j);
}
