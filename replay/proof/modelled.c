/* SPDX-License-Identifier: Apache-2.0
 * modelled.c: windows of the original in a table by their place and entity, where those of the other capture
 * look themselves up. A process is the same one if its name and pid are: its start is another one each time.
 */
#include "replay/proof/modelled.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/io/load.h"
#include "format/model/score.h"

/* A window that was judged. */
struct judged {
    int64_t place;   /* which window of its capture, on the original's count */
    uint64_t entity; /* hash of its name */
    uint64_t begin_ns, end_ns;
    size_t state;
    int is_bad, is_lost;
};

struct side {
    struct kymo_matrix m;
    struct judged *v; /* owned, [m.n] */
};

struct job {
    struct kymo_model model;
    struct kymo_scorer *scorer;
    struct side original, again;
    double *wide; /* owned */
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory to judge windows");
}

static uint64_t entity_of(const struct kymo_model *m, const char *name)
{
    size_t n = strlen(name);
    if (m->spec->by == KYMO_BY_PROCESS) { /* "comm pid.start.execseq" */
        const char *space = strrchr(name, ' ');
        const char *dot = space ? strchr(space, '.') : NULL;
        n = dot ? (size_t)(dot - name) : n;
    }
    return XXH3_64bits(name, n);
}

static int by_place(const void *a, const void *b)
{
    const struct judged *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    if (x->entity != y->entity)
        return x->entity < y->entity ? -1 : 1;
    return (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

/* first_ns: of the capture's first call; a window's place is how many steps it begins behind that. */
static kymo_status judge(struct job *j, struct side *s, const char *path, uint64_t first_ns,
                         struct kymo_err *err)
{
    int is_matrix;
    KYMO_TRY(kymo_matrix_load_any(&s->m, path, j->model.spec, &is_matrix, err));
    if (is_matrix || !s->m.row)
        return s->m.n ? KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s is no capture", path)
                      : KYMO_OK;
    s->v = calloc(s->m.n + 1, sizeof(*s->v));
    if (!s->v)
        return no_memory(err);
    const double step = (double)j->model.spec->step_ns;
    for (size_t i = 0; i < s->m.n; i++) {
        const struct kymo_matrix_row *r = &s->m.row[i];
        struct kymo_score score;
        KYMO_TRY(kymo_score_row(j->scorer, kymo_matrix_row(&s->m, i, j->wide), r->lost, i,
                                &score, err));
        s->v[i] =
            (struct judged){.place = llround(((double)r->start_ns - (double)first_ns) / step),
                            .entity = entity_of(&j->model, r->entity),
                            .begin_ns = r->start_ns,
                            .end_ns = r->start_ns + r->dur_ns,
                            .state = score.state,
                            .is_bad = j->model.state[score.state].verdict == KYMO_BAD,
                            .is_lost = score.outcome == KYMO_OUT_INCONCLUSIVE};
    }
    qsort(s->v, s->m.n, sizeof(*s->v), by_place);
    return KYMO_OK;
}

static void count(struct kymo_modelled *out, const struct judged *wanted, int is_same)
{
    out->windows++;
    out->same += (size_t)is_same;
    out->bad_windows += (size_t)wanted->is_bad;
    out->bad_same += (size_t)(wanted->is_bad && is_same);
}

/* Both sides are in the same order. A window that has no counterpart is not in the same state. */
static void match(struct kymo_modelled *out, const struct job *j,
                  const struct kymo_modelled_opts *o)
{
    const struct side *a = &j->original, *b = &j->again;
    for (size_t i = 0, k = 0; i < a->m.n; i++) {
        const struct judged *w = &a->v[i];
        const int is_outside =
            w->end_ns <= o->original_first_ns || w->begin_ns >= o->original_last_ns;
        while (k < b->m.n && (b->v[k].place < w->place ||
                              (b->v[k].place == w->place && b->v[k].entity < w->entity)))
            k++;
        const int is_there =
            k < b->m.n && b->v[k].place == w->place && b->v[k].entity == w->entity;
        if (!is_outside && !w->is_lost && !(is_there && b->v[k].is_lost))
            count(out, w, is_there && b->v[k].state == w->state);
        k += (size_t)is_there;
    }
}

static kymo_status match_state(struct kymo_modelled *out, const struct job *j, const char *word,
                               struct kymo_err *err)
{
    const size_t state = kymo_model_find(&j->model, word);
    if (state == j->model.k)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "the model has no state '%s'", word);
    const struct judged wanted = {.state = state,
                                  .is_bad = j->model.state[state].verdict == KYMO_BAD};
    for (size_t i = 0; i < j->again.m.n; i++)
        if (!j->again.v[i].is_lost)
            count(out, &wanted, j->again.v[i].state == state);
    return KYMO_OK;
}

/* How many states there were to tell apart, and was one of them bad? */
static kymo_status count_states(struct kymo_modelled *out, const struct job *j,
                                const char *state, struct kymo_err *err)
{
    uint8_t *met = calloc(j->model.k, 1);
    int has_bad = 0;
    if (!met)
        return no_memory(err);
    for (size_t i = 0; i < j->original.m.n; i++)
        met[j->original.v[i].state] = 1;
    for (size_t c = 0; c < j->model.k; c++) {
        const int is_met =
            met[c] || state; /* a state alone is told from all that the model has */
        out->states += (size_t)is_met;
        has_bad |= is_met && j->model.state[c].verdict == KYMO_BAD;
    }
    free(met);
    if (out->states < KYMO_MODELLED_STATES_MIN)
        out->why_not = "it meets fewer than four states";
    else if (!has_bad)
        out->why_not = "none of its states is bad";
    return KYMO_OK;
}

static kymo_status run(struct job *j, struct kymo_modelled *out,
                       const struct kymo_modelled_opts *o, struct kymo_err *err)
{
    struct kymo_modelled r = {0};
    KYMO_TRY(kymo_model_read(&j->model, o->model, err));
    if (!j->model.spec)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%s has no features of its own to make from a capture", o->model);
    j->wide = calloc(j->model.d + 1, sizeof(*j->wide));
    if (!j->wide)
        return no_memory(err);
    KYMO_TRY(kymo_scorer_open(&j->scorer, &j->model, KYMO_ALPHA, err));
    KYMO_TRY(judge(j, &j->original, o->original, o->original_first_ns, err));
    KYMO_TRY(judge(j, &j->again, o->again, o->again_first_ns, err));
    if (o->state)
        KYMO_TRY(match_state(&r, j, o->state, err));
    else
        match(&r, j, o);
    KYMO_TRY(count_states(&r, j, o->state, err));
    r.agreement = r.windows ? (double)r.same / (double)r.windows : NAN;
    r.bad_agreement = r.bad_windows ? (double)r.bad_same / (double)r.bad_windows : NAN;
    *out = r;
    return KYMO_OK;
}

kymo_status kymo_modelled_compare(struct kymo_modelled *out, const struct kymo_modelled_opts *o,
                                  struct kymo_err *err)
{
    struct job j = {0};
    kymo_model_init(&j.model);
    kymo_matrix_init(&j.original.m, 0);
    kymo_matrix_init(&j.again.m, 0);
    const kymo_status s = run(&j, out, o, err);
    free(j.wide);
    free(j.original.v);
    free(j.again.v);
    kymo_scorer_close(j.scorer);
    kymo_matrix_release(&j.original.m);
    kymo_matrix_release(&j.again.m);
    kymo_model_release(&j.model);
    return s;
}
