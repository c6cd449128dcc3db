/* SPDX-License-Identifier: Apache-2.0
 * behave.c: how threads acted, from steps of time to states. A step is in one or more windows, each of which was
 * put in a state: the step counts in a state as often as it is in windows of it, and so do its seconds.
 */
#include <stdlib.h>
#include <string.h>

#include "analyze/fit/fit.h"
#include "format/model/sequence.h"

/* The windows that count, by capture, entity and time. */
struct window {
    const struct kymo_matrix_row *row;
    uint32_t state;
};

struct folding {
    const struct kymo_fit *f;
    struct window *window; /* [n] */
    size_t n;
    uint64_t window_ns; /* of the longest */
    struct kymo_symbols symbols;
    struct kymo_behaviour *state; /* [k] */
    uint32_t *weight;             /* [k] of the step at hand */
};

static int by_place(const struct kymo_matrix_row *x, uint32_t capture, const char *entity,
                    uint64_t start_ns)
{
    if (x->capture != capture)
        return x->capture < capture ? -1 : 1;
    const int order = x->entity == entity ? 0 : strcmp(x->entity, entity);
    if (order)
        return order;
    return x->start_ns < start_ns ? -1 : x->start_ns > start_ns;
}

static int by_window(const void *a, const void *b)
{
    const struct window *x = a, *y = b;
    return by_place(x->row, y->row->capture, y->row->entity, y->row->start_ns);
}

/* Of so many steps of the capture one has rows. */
static uint64_t every_of(const struct kymo_fit *f, uint32_t capture)
{
    for (size_t i = 0; i < f->m.n_conducts; i++)
        if (f->m.conduct[i].capture == capture)
            return f->m.conduct[i].every;
    return 0;
}

static void add_window(struct folding *w, size_t i)
{
    const struct kymo_matrix_row *r = &w->f->m.row[i];
    const uint64_t every = every_of(w->f, r->capture);
    if (!every)
        return;
    w->window[w->n++] = (struct window){r, w->f->label[i]};
    w->state[w->f->label[i]].seconds += (double)r->dur_ns / 1e9 / (double)every;
    if (r->dur_ns > w->window_ns)
        w->window_ns = r->dur_ns;
}

static void list_windows(struct folding *w)
{
    const struct kymo_split *s = &w->f->split;
    for (size_t i = 0; i < s->n_train; i++)
        add_window(w, s->train[i]);
    for (size_t i = 0; i < s->n_hold; i++)
        add_window(w, s->hold[i]);
    if (w->n)
        qsort(w->window, w->n, sizeof(*w->window), by_window);
}

/* How often the step is in windows of each state; returns in how many at all. */
static size_t weigh(struct folding *w, const struct kymo_matrix_conduct *q)
{
    const uint64_t from_ns = q->start_ns > w->window_ns ? q->start_ns - w->window_ns : 0;
    size_t lo = 0, hi = w->n, found = 0;
    memset(w->weight, 0, w->f->model.k * sizeof(*w->weight));
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (by_place(w->window[mid].row, q->capture, q->entity, from_ns) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < w->n; lo++) {
        const struct kymo_matrix_row *r = w->window[lo].row;
        if (by_place(r, q->capture, q->entity, q->start_ns) > 0)
            break;
        if (r->start_ns + r->dur_ns < q->start_ns + q->dur_ns)
            continue;
        w->weight[w->window[lo].state]++;
        found++;
    }
    return found;
}

static kymo_status fold(struct folding *w, const struct kymo_matrix_conduct *q,
                        struct kymo_err *err)
{
    struct kymo_behaviour one = {0};
    const uint32_t role = kymo_symbols_word(&w->symbols, q->role, strlen(q->role));
    struct kymo_conduct *c = role ? kymo_behaviour_of(&one, role) : NULL;
    kymo_status s;
    if (c)
        s = kymo_conduct_parse(c, &w->symbols, q->text, q->text_bytes, err);
    else
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "too many roles in table 'sequence'");
    for (size_t k = 0; k < w->f->model.k && !s; k++)
        s = kymo_behaviour_add(&w->state[k], &one, w->weight[k], err);
    kymo_behaviour_release(&one);
    return s;
}

static kymo_status fold_all(struct folding *w, struct kymo_err *err)
{
    const struct kymo_matrix *m = &w->f->m;
    list_windows(w);
    for (size_t i = 0; i < m->n_conducts; i++)
        if (weigh(w, &m->conduct[i]))
            KYMO_TRY(fold(w, &m->conduct[i], err));
    for (size_t k = 0; k < w->f->model.k; k++)
        KYMO_TRY(kymo_behaviour_prune(&w->state[k], KYMO_BEHAVIOUR_BYTES, err));
    return KYMO_OK;
}

kymo_status kymo_fit_sequences(struct kymo_fit *f, struct kymo_err *err)
{
    const size_t k = f->model.k;
    struct folding w = {.f = f};
    /* The processes of one fit would have to add up what they know; they do not, as yet. */
    if (!f->m.n_conducts || !f->m.row || f->ranks)
        return KYMO_OK;
    KYMO_TRY(kymo_symbols_init(&w.symbols, err));
    w.window = calloc(f->split.n_train + f->split.n_hold + 1, sizeof(*w.window));
    w.state = calloc(k, sizeof(*w.state));
    w.weight = calloc(k, sizeof(*w.weight));
    kymo_status s =
        w.window && w.state && w.weight ? fold_all(&w, err) : kymo_fit_no_memory(err);
    if (!s && !(f->model.sequence = kymo_sequence_json(w.state, k, &w.symbols)))
        s = kymo_fit_no_memory(err);
    for (size_t i = 0; w.state && i < k; i++)
        kymo_behaviour_release(&w.state[i]);
    free(w.state);
    free(w.window);
    free(w.weight);
    kymo_symbols_release(&w.symbols);
    return s;
}
