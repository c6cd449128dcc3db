/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/mutual.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "format/num/parallel.h"

#define ROWS KYMO_BUCKET_ROWS
#define NO_SLOT UINT32_MAX
#define MIXED UINT32_MAX

/* What a slot's row knows of the rows outside its set. */
struct found {
    uint32_t slot; /* the nearest; NO_SLOT: it is not known, but is dist2 away or more */
    double dist2;
};

/* Of a node's rows. */
struct summary {
    uint32_t set;  /* the one set that all belong to, or MIXED */
    uint32_t row;  /* the lowest */
    double reach2; /* the least */
};

struct growing {
    const struct kymo_kdtree *t;
    const double *reach2;
    const volatile sig_atomic_t *stop;
    uint32_t *set;       /* [n] by slot: a slot that stands for the set */
    uint32_t *parent;    /* [n] union-find over those */
    struct found *found; /* [n] by slot */
    struct kymo_mutual_edge
        *best;           /* [n] by set, in slots; the least edge out of it that is known */
    struct summary *sum; /* [n_nodes] */
    struct kymo_mutual_edge *edge;
    size_t n_edges;
};

static size_t lowest(uint64_t bits)
{
    return (size_t)__builtin_ctzll(bits);
}

static struct kymo_mutual_edge in_rows(const struct kymo_kdtree *t, struct kymo_mutual_edge e)
{
    const uint32_t a = t->row[e.a], b = t->row[e.b];
    return (struct kymo_mutual_edge){e.dist2, a < b ? a : b, a < b ? b : a};
}

static int by_length(const void *x, const void *y)
{
    const struct kymo_mutual_edge *a = x, *b = y;
    if (a->dist2 < b->dist2 || a->dist2 > b->dist2)
        return a->dist2 < b->dist2 ? -1 : 1;
    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    return (a->b > b->b) - (a->b < b->b);
}

/* Whether one edge comes before another; both in slots. */
static int is_before(const struct kymo_kdtree *t, struct kymo_mutual_edge x,
                     struct kymo_mutual_edge y)
{
    if (x.dist2 < y.dist2 || x.dist2 > y.dist2)
        return x.dist2 < y.dist2;
    if (x.b == NO_SLOT || y.b == NO_SLOT)
        return y.b == NO_SLOT && x.b != NO_SLOT;
    x = in_rows(t, x);
    y = in_rows(t, y);
    return by_length(&x, &y) < 0;
}

static uint32_t find_root(uint32_t *parent, uint32_t slot)
{
    while (parent[slot] != slot)
        slot = parent[slot] = parent[parent[slot]];
    return slot;
}

/* -- looking outside ------------------------------------------------------------------------------- */

/* One leaf's rows that look for a row outside their sets. */
struct looking {
    const struct growing *g;
    size_t leaf;
    const double *box;
    uint32_t set; /* of all that look, or MIXED */
    uint64_t rows;
    double widest;                       /* the longest bound */
    struct kymo_mutual_edge bound[ROWS]; /* in rows: the first edge that the row's set knows */
    struct found found[ROWS];
};

static void tighten(struct looking *w)
{
    w->widest = 0;
    for (uint64_t rows = w->rows; rows; rows &= rows - 1) {
        const size_t r = lowest(rows);
        w->widest = w->bound[r].dist2 > w->widest ? w->bound[r].dist2 : w->widest;
    }
}

/* Row r of the leaf found an edge: its whole set looks for earlier ones only. */
static void share_bound(struct looking *w, size_t r, struct kymo_mutual_edge e)
{
    const uint32_t *set = w->g->set + w->leaf * ROWS;
    for (uint64_t rows = w->rows; rows; rows &= rows - 1) {
        const size_t q = lowest(rows);
        if (set[q] == set[r] && by_length(&e, &w->bound[q]) < 0)
            w->bound[q] = e;
    }
}

static struct kymo_mutual_edge edge_of(double dist2, uint32_t row, uint32_t other)
{
    return (struct kymo_mutual_edge){dist2, row < other ? row : other,
                                     row < other ? other : row};
}

/* Row r of the leaf against those in a bucket that are near: bits, and squared distances. */
static void look_at_rows(struct looking *w, size_t r, size_t leaf, uint64_t near,
                         const double *dist2)
{
    const struct growing *g = w->g;
    const size_t slot = w->leaf * ROWS + r;
    for (; near; near &= near - 1) {
        const size_t q = lowest(near), to = leaf * ROWS + q;
        if (g->set[to] == g->set[slot])
            continue;
        const double reach2 = g->reach2[to] > g->reach2[slot] ? g->reach2[to] : g->reach2[slot];
        const struct kymo_mutual_edge e =
            edge_of(dist2[q] > reach2 ? dist2[q] : reach2, g->t->row[slot], g->t->row[to]);
        if (by_length(&e, &w->bound[r]) < 0) {
            w->found[r] = (struct found){(uint32_t)to, e.dist2};
            share_bound(w, r, e);
        }
    }
}

static void look_into_leaf(struct looking *w, size_t leaf, const struct summary *sum,
                           const double *box)
{
    const struct growing *g = w->g;
    const struct kymo_kdtree *t = g->t;
    const double *own = kymo_kdtree_bucket(t, w->leaf);
    double dist2[ROWS];
    uint64_t rows = w->rows & kymo_bucket_near_box(t->d, box, own, w->widest);
    for (; rows; rows &= rows - 1) {
        const size_t r = lowest(rows), slot = w->leaf * ROWS + r;
        const double bound = w->bound[r].dist2;
        if (sum->set == g->set[slot] || sum->reach2 > bound || g->reach2[slot] > bound)
            continue;
        const uint64_t near = kymo_kdtree_near(t, slot, leaf, bound, dist2);
        look_at_rows(w, r, leaf, near, dist2);
    }
    tighten(w);
}

/* Whether some row might find an earlier edge among rows that are dist2 away or more, from row on:
 * where many are equally far, only those of lower rows are. */
static int may_find(const struct looking *w, double dist2, uint32_t row)
{
    if (dist2 < w->widest)
        return 1;
    for (uint64_t rows = w->rows; rows && dist2 <= w->widest; rows &= rows - 1) {
        const size_t r = lowest(rows);
        const struct kymo_mutual_edge e = edge_of(dist2, w->g->t->row[w->leaf * ROWS + r], row);
        if (by_length(&e, &w->bound[r]) < 0)
            return 1;
    }
    return 0;
}

static void look_into_node(struct looking *w, struct kymo_kdnode v, double gap)
{
    const struct kymo_kdtree *t = w->g->t;
    const struct summary *sum = &w->g->sum[v.i];
    if ((sum->set == w->set && sum->set != MIXED) ||
        !may_find(w, gap > sum->reach2 ? gap : sum->reach2, sum->row))
        return;
    if (kymo_kdnode_is_leaf(v)) {
        if (v.lo != w->leaf)
            look_into_leaf(w, v.lo, sum, kymo_kdtree_box(t, v.i));
        return;
    }
    const struct kymo_kdnode l = kymo_kdnode_left(v), r = kymo_kdnode_right(v);
    const double gap_l = kymo_box_nearest(t->d, w->box, kymo_kdtree_box(t, l.i));
    const double gap_r = kymo_box_nearest(t->d, w->box, kymo_kdtree_box(t, r.i));
    /* Of two that are equally near, the side where the leaf is; else that of the lower rows. */
    int left_first = gap_l < gap_r;
    if (!left_first && !(gap_r < gap_l))
        left_first = w->leaf >= v.lo && w->leaf < v.hi
                         ? w->leaf < l.hi
                         : w->g->sum[l.i].row < w->g->sum[r.i].row;
    if (left_first)
        look_into_node(w, l, gap_l);
    look_into_node(w, r, gap_r);
    if (!left_first)
        look_into_node(w, l, gap_l);
}

/* Which rows of a leaf have to look, and how far. */
static void open_rows(struct looking *w)
{
    const struct growing *g = w->g;
    for (uint64_t rows = kymo_kdtree_rows(g->t, w->leaf); rows; rows &= rows - 1) {
        const size_t r = lowest(rows), slot = w->leaf * ROWS + r;
        const struct found *f = &g->found[slot];
        const struct kymo_mutual_edge *best = &g->best[g->set[slot]];
        if (f->slot != NO_SLOT || f->dist2 > best->dist2)
            continue;
        w->set = !w->rows || w->set == g->set[slot] ? g->set[slot] : MIXED;
        w->rows |= UINT64_C(1) << r;
        w->bound[r] = best->b != NO_SLOT
                          ? in_rows(g->t, *best)
                          : (struct kymo_mutual_edge){DBL_MAX, KYMO_NO_ROW, KYMO_NO_ROW};
        w->found[r] = (struct found){NO_SLOT, INFINITY};
    }
}

static void look_from_leaf(void *ctx, size_t leaf)
{
    struct growing *g = ctx;
    struct looking w = {.g = g, .leaf = leaf, .set = MIXED};
    if (g->stop && *g->stop)
        return;
    open_rows(&w);
    if (!w.rows)
        return;
    tighten(&w);
    const struct kymo_kdnode own = kymo_kdtree_leaf(g->t, leaf);
    w.box = kymo_kdtree_box(g->t, own.i);
    look_into_leaf(&w, leaf, &g->sum[own.i], w.box);
    look_into_node(&w, kymo_kdtree_root(g->t), 0);
    for (; w.rows; w.rows &= w.rows - 1) {
        /* No edge before the bound was overlooked; if the bound is another row's, this row's nearest
         * is not known, but is that far away or more. */
        const size_t r = lowest(w.rows), slot = leaf * ROWS + r;
        struct found f = w.found[r];
        if (f.slot != NO_SLOT) {
            const struct kymo_mutual_edge e =
                edge_of(f.dist2, g->t->row[slot], g->t->row[f.slot]);
            if (by_length(&e, &w.bound[r]) != 0)
                f.slot = NO_SLOT;
        }
        g->found[slot] = f.slot != NO_SLOT ? f : (struct found){NO_SLOT, w.bound[r].dist2};
    }
}

/* -- rounds ---------------------------------------------------------------------------------------- */

static void sum_up(struct growing *g, struct kymo_kdnode v)
{
    struct summary *s = &g->sum[v.i];
    if (!kymo_kdnode_is_leaf(v)) {
        const struct kymo_kdnode l = kymo_kdnode_left(v), r = kymo_kdnode_right(v);
        sum_up(g, l);
        sum_up(g, r);
        const struct summary *a = &g->sum[l.i], *b = &g->sum[r.i];
        s->set = a->set == b->set ? a->set : MIXED;
        s->row = a->row < b->row ? a->row : b->row;
        s->reach2 = a->reach2 < b->reach2 ? a->reach2 : b->reach2;
        return;
    }
    s->set = g->set[v.lo * ROWS];
    s->row = g->t->row[v.lo * ROWS]; /* ascending in a leaf */
    s->reach2 = INFINITY;
    for (size_t slot = v.lo * ROWS; slot < v.hi * ROWS && slot < g->t->n; slot++) {
        s->set = s->set == g->set[slot] ? s->set : MIXED;
        s->reach2 = g->reach2[slot] < s->reach2 ? g->reach2[slot] : s->reach2;
    }
}

/* The best edge out of each set, of those that rows know. */
static void collect_best(struct growing *g)
{
    for (uint32_t s = 0; s < g->t->n; s++)
        g->best[s] = (struct kymo_mutual_edge){INFINITY, NO_SLOT, NO_SLOT};
    for (uint32_t s = 0; s < g->t->n; s++) {
        const struct found *f = &g->found[s];
        const struct kymo_mutual_edge e = {f->dist2, s, f->slot};
        if (f->slot != NO_SLOT && is_before(g->t, e, g->best[g->set[s]]))
            g->best[g->set[s]] = e;
    }
}

/* Forget what is no longer outside. */
static void begin_round(struct growing *g)
{
    for (uint32_t s = 0; s < g->t->n; s++) {
        g->set[s] = find_root(g->parent, s);
    }
    for (uint32_t s = 0; s < g->t->n; s++)
        if (g->found[s].slot != NO_SLOT && g->set[g->found[s].slot] == g->set[s])
            g->found[s].slot = NO_SLOT;
    collect_best(g);
    sum_up(g, kymo_kdtree_root(g->t));
}

static void take_edge(struct growing *g, struct kymo_mutual_edge e)
{
    const uint32_t a = find_root(g->parent, e.a), b = find_root(g->parent, e.b);
    if (a == b)
        return;
    g->parent[a > b ? a : b] = a > b ? b : a;
    g->edge[g->n_edges++] = in_rows(g->t, e);
}

/* Returns whether any edge was taken. */
static int end_round(struct growing *g)
{
    const size_t before = g->n_edges;
    collect_best(g);
    for (uint32_t s = 0; s < g->t->n; s++)
        if (g->best[s].b != NO_SLOT)
            take_edge(g, g->best[s]);
    return g->n_edges > before;
}

static void grow(struct growing *g, unsigned n_threads)
{
    const size_t n = g->t->n;
    for (uint32_t s = 0; s < n; s++) {
        g->parent[s] = s;
        g->found[s] = (struct found){NO_SLOT, g->reach2[s]};
    }
    do {
        begin_round(g);
        kymo_parallel(g->t->n_leaves, n_threads, look_from_leaf, g);
    } while (end_round(g) && g->n_edges + 1 < n && !(g->stop && *g->stop));
    /* Stopped, or too far apart for a distance. */
    for (uint32_t s = 1; s < n && g->n_edges + 1 < n; s++)
        take_edge(g, (struct kymo_mutual_edge){INFINITY, 0, s});
    qsort(g->edge, g->n_edges, sizeof(*g->edge), by_length);
}

kymo_status kymo_mutual_tree(const struct kymo_kdtree *t, const double *reach2,
                             unsigned n_threads, const volatile sig_atomic_t *stop,
                             size_t cap_bytes, struct kymo_mutual_edge *edge,
                             struct kymo_err *err)
{
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, cap_bytes);
    struct growing g = {.t = t, .reach2 = reach2, .stop = stop, .edge = edge};
    g.set = KYMO_NEW_RAW(&scratch, uint32_t, t->n);
    g.parent = KYMO_NEW_RAW(&scratch, uint32_t, t->n);
    g.found = KYMO_NEW_RAW(&scratch, struct found, t->n);
    g.best = KYMO_NEW_RAW(&scratch, struct kymo_mutual_edge, t->n);
    g.sum = KYMO_NEW_RAW(&scratch, struct summary, t->n_nodes);
    if (!g.set || !g.parent || !g.found || !g.best || !g.sum) {
        kymo_arena_release(&scratch);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a spanning tree of %zu rows passes the memory budget", t->n);
    }
    grow(&g, n_threads);
    kymo_arena_release(&scratch);
    return KYMO_OK;
}
