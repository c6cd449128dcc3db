/* SPDX-License-Identifier: Apache-2.0
 * Single linkage is a minimum spanning tree. Boruvka's rounds: every component finds its shortest way
 * out, all of them are edges of the tree. A row's neighbour outside its component stays its neighbour
 * until both come together, and its distance is a lower bound after that; so a row is searched
 * for again only when its bound could beat the best way out that its component knows. The
 * largest component never looks: the others find their edges without it.
 */
#include <math.h>

#include "analyze/core/linkage_own.h"
#include "format/num/assign.h"

struct forest {
    const struct kymo_dense *x;
    const double *rows; /* [n,d] double */
    size_t n;
    uint32_t *component; /* [n] number of a row's component, its lowest row */
    size_t *size;        /* [n] rows of component c */
    struct kymo_near
        *nn; /* [n] nearest row outside; once that is inside, or with none, a bound */
    struct kymo_near *best; /* [n] scratch of a search */
    struct edge {
        double value;
        uint32_t a, b; /* a < b */
    } * way;           /* [n] shortest known way out of component c; value INFINITY: none */
    uint32_t *q;
    struct kymo_near_set near;
};

static double value(const void *ctx, uint32_t a, uint32_t b)
{
    const struct forest *f = ctx;
    return kymo_sqdist(f->x->d, f->rows + a * f->x->d, f->rows + b * f->x->d);
}

/* One order of all edges, so that equal ones close no circle. */
static int is_shorter(const struct edge *e, const struct edge *than)
{
    if (e->value != than->value)
        return e->value < than->value;
    return e->a != than->a ? e->a < than->a : e->b < than->b;
}

static int is_outside(const struct forest *f, size_t i)
{
    return f->nn[i].slot != KYMO_NEAR_NONE && f->component[f->nn[i].slot] != f->component[i];
}

static void offer(struct forest *f, size_t i)
{
    const uint32_t j = f->nn[i].slot, r = (uint32_t)i;
    const struct edge e = {f->nn[i].value, r < j ? r : j, r < j ? j : r};
    struct edge *way = &f->way[f->component[i]];
    if (is_shorter(&e, way))
        *way = e;
}

/* Shortest ways out of all components but the largest. */
static void find_ways(struct forest *f, unsigned n_threads)
{
    size_t largest = 0;
    for (size_t i = 0; i < f->n; i++) {
        f->way[i] = (struct edge){INFINITY, UINT32_MAX, UINT32_MAX};
        if (f->size[i] > f->size[largest])
            largest = i;
    }
    const int spare = f->size[largest] > 1;
    for (size_t i = 0; i < f->n; i++)
        if (is_outside(f, i))
            offer(f, i);
    size_t n_q = 0;
    for (size_t i = 0; i < f->n; i++) {
        const uint32_t c = f->component[i];
        if ((spare && c == largest) || is_outside(f, i))
            continue;
        if (f->nn[i].value <= f->way[c].value) {
            f->q[n_q] = (uint32_t)i;
            /* What is farther than the way known already is of no interest: a bound will do. */
            f->best[n_q++] = (struct kymo_near){f->way[c].value, KYMO_NEAR_NONE};
        }
    }
    kymo_near_search(&f->near, n_q, f->q, f->best, value, f, n_threads);
    for (size_t i = 0; i < n_q; i++) {
        f->nn[f->q[i]] = f->best[i];
        if (f->best[i].slot != KYMO_NEAR_NONE)
            offer(f, f->q[i]);
    }
    if (spare) /* it has not looked: a way it knows need not be its shortest */
        f->way[largest].value = INFINITY;
}

static uint32_t root_of(const struct forest *f, uint32_t c)
{
    while (f->component[c] != c)
        c = f->component[c];
    return c;
}

/* Join along the ways; the root of a component is its lowest row. Returns merges made. */
static size_t join_along(struct kymo_linkage_job *j, struct forest *f)
{
    size_t merges = 0;
    for (size_t c = 0; c < f->n; c++) {
        const struct edge *e = &f->way[c];
        if (e->value == INFINITY)
            continue;
        uint32_t a = root_of(f, e->a), b = root_of(f, e->b);
        if (a == b)
            continue;
        if (a > b) {
            const uint32_t t = a;
            a = b;
            b = t;
        }
        kymo_linkage_note(j, e->a, e->b, sqrt(e->value));
        f->component[b] = a;
        f->size[a] += f->size[b];
        f->size[b] = 0;
        merges++;
    }
    for (size_t i = 0; i < f->n; i++)
        f->component[i] = f->component[f->component[i]];
    return merges;
}

static kymo_status forest_init(struct forest *f, struct kymo_linkage_job *j,
                               struct kymo_err *err)
{
    const size_t n = j->n, d = f->x->d;
    double *rows = NULL;
    if (f->x->f32)
        rows = kymo_arena_alloc_raw(j->scratch, n, d * sizeof(double));
    f->component = KYMO_NEW_RAW(j->scratch, uint32_t, n);
    f->size = KYMO_NEW_RAW(j->scratch, size_t, n);
    f->nn = KYMO_NEW_RAW(j->scratch, struct kymo_near, n);
    f->best = KYMO_NEW_RAW(j->scratch, struct kymo_near, n);
    f->way = KYMO_NEW_RAW(j->scratch, struct edge, n);
    f->q = KYMO_NEW_RAW(j->scratch, uint32_t, n);
    if ((f->x->f32 && !rows) || !f->component || !f->size || !f->nn || !f->best || !f->way ||
        !f->q)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a spanning tree of %zu rows passes the memory budget", n);
    KYMO_TRY(kymo_near_init(&f->near, f->x, j->scratch, err));
    for (size_t i = 0; rows && i < n; i++)
        kymo_dense_row(f->x, i, rows + i * d);
    f->rows = f->x->f32 ? rows : f->x->f64;
    for (size_t i = 0; i < n; i++) {
        f->component[i] = (uint32_t)i;
        f->size[i] = 1;
        f->nn[i] = (struct kymo_near){0, KYMO_NEAR_NONE};
        kymo_near_put(&f->near, i, f->rows + i * d, 0.5, (uint32_t)i);
    }
    return KYMO_OK;
}

kymo_status kymo_linkage_single(struct kymo_linkage_job *j, struct kymo_err *err)
{
    struct forest f = {.x = j->in->rows, .n = j->n};
    KYMO_TRY(forest_init(&f, j, err));
    for (size_t merges = 0; merges + 1 < j->n && !kymo_linkage_stopped(j);) {
        find_ways(&f, j->in->n_threads);
        merges += join_along(j, &f);
        for (size_t i = 0; i < j->n; i++)
            kymo_near_regroup(&f.near, i, f.component[i]);
    }
    return KYMO_OK;
}
