/* SPDX-License-Identifier: Apache-2.0
 * Ward's method on means: the distance of two clusters is a function of their means and weights,
 * so nothing but those is kept.
 */
#include <math.h>
#include <string.h>

#include "analyze/core/linkage_own.h"
#include "format/num/assign.h"

struct means {
    size_t n, d;
    double *C; /* [n,d] */
    double *w; /* [n] in units of `unit` */
    double unit;
    struct kymo_near_set near;
    unsigned n_threads;
};

/* Half the squared height. */
static double value(const void *ctx, uint32_t a, uint32_t b)
{
    const struct means *m = ctx;
    const double wa = m->w[a], wb = m->w[b];
    return wa * wb / (wa + wb) * kymo_sqdist(m->d, m->C + a * m->d, m->C + b * m->d);
}

static double height(const void *store, double v)
{
    const struct means *m = store;
    return sqrt(2 * m->unit * v);
}

static void put(struct means *m, size_t i)
{
    kymo_near_put(&m->near, i, m->C + i * m->d, 1 / m->w[i], (uint32_t)i);
}

static void search(void *store, size_t n_q, const uint32_t *q, struct kymo_near *best)
{
    struct means *m = store;
    for (size_t i = 0; i < n_q; i++)
        if (isnan(best[i].value))
            best[i].value = value(m, q[i], best[i].slot);
    kymo_near_search(&m->near, n_q, q, best, value, m, m->n_threads);
}

static kymo_status join(void *store, size_t n_pairs, const struct kymo_slot_pair *pair,
                        size_t n_new, const uint32_t *from, struct kymo_err *err)
{
    (void)err;
    struct means *m = store;
    for (size_t p = 0; p < n_pairs; p++) {
        double *a = m->C + pair[p].keep * m->d;
        const double *b = m->C + pair[p].drop * m->d;
        const double w = m->w[pair[p].keep] + m->w[pair[p].drop];
        const double share = m->w[pair[p].drop] / w;
        for (size_t j = 0; j < m->d; j++)
            a[j] += share * (b[j] - a[j]); /* equal means stay what they are */
        m->w[pair[p].keep] = w;
        put(m, pair[p].keep);
        kymo_near_drop(&m->near, pair[p].drop);
    }
    if (!from)
        return KYMO_OK;
    kymo_near_compact(&m->near, n_new, from);
    for (size_t i = 0; i < n_new; i++) {
        if (from[i] != i)
            memcpy(m->C + i * m->d, m->C + from[i] * m->d, m->d * sizeof(double));
        m->w[i] = m->w[from[i]];
        kymo_near_regroup(&m->near, i, (uint32_t)i);
    }
    m->n = n_new;
    return KYMO_OK;
}

kymo_status kymo_linkage_ward(struct kymo_linkage_job *j, struct kymo_err *err)
{
    static const struct kymo_slots_ops ops = {search, join, height};
    const struct kymo_dense *x = j->in->rows;
    struct means m = {.n = j->n, .d = x->d, .unit = 1, .n_threads = j->in->n_threads};
    m.C = kymo_arena_alloc_raw(j->scratch, j->n, x->d * sizeof(double));
    m.w = KYMO_NEW_RAW(j->scratch, double, j->n);
    if (!m.C || !m.w)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the means of %zu rows by %zu columns pass the memory budget", j->n,
                         x->d);
    KYMO_TRY(kymo_near_init(&m.near, x, j->scratch, err));
    double heaviest = 0;
    for (size_t i = 0; i < j->n; i++)
        heaviest = fmax(heaviest, kymo_linkage_weight(j, i));
    int exponent;
    (void)frexp(heaviest, &exponent);
    m.unit = ldexp(1, exponent - 1); /* a power of two: dividing by it is exact */
    for (size_t i = 0; i < j->n; i++) {
        kymo_dense_row(x, i, m.C + i * x->d);
        m.w[i] = kymo_linkage_weight(j, i) / m.unit;
        put(&m, i);
    }
    return kymo_reciprocal(j, &ops, &m, err);
}
