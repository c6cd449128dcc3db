/* SPDX-License-Identifier: Apache-2.0
 * Core rows are found leaf by leaf: first in the leaf's own bucket, where most rows of a dense region
 * meet enough neighbours, then in a walk over the tree that ends when all rows of the leaf have enough.
 *
 * They are connected by joining the two sides of each node, from the leaves up. A node knows whether
 * its core rows are all connected already; two such nodes need one pair of neighbours and no more, and
 * none if they are connected through others. Which pair is found first does not matter: which rows hang
 * together in the end is the same.
 */
#include "analyze/core/density.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "analyze/core/kdtree.h"
#include "format/num/parallel.h"
#include "format/num/stats.h"

#define ROWS KYMO_BUCKET_ROWS
#define NO_SLOT UINT32_MAX

/* Neighbours that are kept of a row while it is not known to be a core row: a row that turns out to be
 * none has fewer than min_weight. One that has more than this many is looked around again. */
#define KEPT_MAX 16u
#define TOO_MANY UINT8_MAX

/* Core rows below a node. */
struct summary {
    uint32_t slot;  /* one of them; NO_SLOT: there are none */
    uint32_t first; /* the lowest row of the clusters of all of them */
    int is_one;     /* all are known to be connected */
};

struct density {
    const struct kymo_density_in *in;
    struct kymo_kdtree t;
    double r2;
    uint64_t *core;  /* [n_leaves] a bit a slot */
    uint32_t *kept;  /* [n_leaves,ROWS,kept_max] slots of neighbours */
    uint8_t *n_kept; /* [n_leaves,ROWS] or TOO_MANY */
    size_t kept_max;
    uint32_t *parent;          /* [n_leaves,ROWS] of core slots: the union-find forest */
    uint32_t *first;           /* [n_leaves,ROWS] of its roots: the lowest row of the tree */
    struct summary *sum;       /* [n_nodes] */
    struct kymo_kdnode *inner; /* [n_leaves - 1] nodes with sides, level by level */
    size_t level_at;           /* where the level in work begins */
    uint32_t *label;           /* [n] */
};

static int is_stopped(const struct density *f)
{
    return f->in->stop && *f->in->stop;
}

static size_t lowest(uint64_t bits)
{
    return (size_t)__builtin_ctzll(bits);
}

/* Rows of `leaf` within the radius of a row of another leaf. */
static uint64_t near_in(const struct density *f, size_t leaf, size_t slot)
{
    return kymo_kdtree_near(&f->t, slot, leaf, f->r2, NULL);
}

/* Rows of `leaf` that may have neighbours in a box. */
static uint64_t near_box(const struct density *f, size_t leaf, const double *box)
{
    return kymo_bucket_near_box(f->t.d, box, kymo_kdtree_bucket(&f->t, leaf), f->r2);
}

/* -- core rows ----------------------------------------------------------------------------------- */

/* One leaf's rows whose neighbours are being weighed. */
struct weighing {
    const struct density *f;
    size_t leaf;
    const double *box;
    uint64_t open; /* rows that may or may not be core rows */
    double weight[ROWS];
};

static void add_weight(struct weighing *w, size_t row, double weight)
{
    w->weight[row] += weight;
    if (w->weight[row] >= w->f->in->min_weight)
        w->open &= ~(UINT64_C(1) << row);
}

static void keep(const struct density *f, size_t slot, size_t leaf, uint64_t near)
{
    const size_t n = f->n_kept[slot];
    if (n + (size_t)__builtin_popcountll(near) > f->kept_max) {
        f->n_kept[slot] = TOO_MANY;
        return;
    }
    for (; near; near &= near - 1)
        f->kept[slot * f->kept_max + f->n_kept[slot]++] =
            (uint32_t)(leaf * ROWS + lowest(near));
}

static void weigh_leaf(struct weighing *w, size_t leaf, uint64_t rows)
{
    for (; rows; rows &= rows - 1) {
        const size_t r = lowest(rows), slot = w->leaf * ROWS + r;
        const uint64_t near = near_in(w->f, leaf, slot);
        keep(w->f, slot, leaf, near);
        add_weight(w, r, kymo_kdtree_weigh(&w->f->t, leaf, near));
    }
}

static void weigh_node(struct weighing *w, struct kymo_kdnode v)
{
    const struct kymo_kdtree *t = &w->f->t;
    const double *box = kymo_kdtree_box(t, v.i);
    if (!w->open || kymo_box_nearest(t->d, w->box, box) > w->f->r2)
        return;
    const int is_outside = w->leaf < v.lo || w->leaf >= v.hi;
    if (is_outside && kymo_box_farthest(t->d, w->box, box) <= w->f->r2) {
        for (uint64_t rows = w->open; rows; rows &= rows - 1) {
            w->f->n_kept[w->leaf * ROWS + lowest(rows)] = TOO_MANY;
            add_weight(w, lowest(rows), t->weight[v.i]);
        }
    } else if (!kymo_kdnode_is_leaf(v)) {
        /* The side where the leaf lies holds its neighbours sooner. */
        const int is_right = w->leaf >= kymo_kdtree_mid(v.lo, v.hi);
        weigh_node(w, is_right ? kymo_kdnode_right(v) : kymo_kdnode_left(v));
        weigh_node(w, is_right ? kymo_kdnode_left(v) : kymo_kdnode_right(v));
    } else if (is_outside) {
        weigh_leaf(w, v.lo, w->open & near_box(w->f, w->leaf, box));
    }
}

static void find_core(void *ctx, size_t leaf)
{
    struct density *f = ctx;
    const uint64_t rows = kymo_kdtree_rows(&f->t, leaf);
    f->core[leaf] = 0;
    memset(f->n_kept + leaf * ROWS, 0, ROWS);
    if (is_stopped(f))
        return;
    struct weighing w = {.f = f, .leaf = leaf, .open = rows};
    const size_t node = kymo_kdtree_leaf(&f->t, leaf).i;
    w.box = kymo_kdtree_box(&f->t, node);
    if (f->t.weight[node] >= f->in->min_weight &&
        kymo_box_farthest(f->t.d, w.box, w.box) <= f->r2)
        w.open = 0;
    weigh_leaf(&w, leaf, w.open);
    weigh_node(&w, kymo_kdtree_root(&f->t));
    f->core[leaf] = rows & ~w.open;
}

/* -- connecting ---------------------------------------------------------------------------------- */

static uint32_t find_root(uint32_t *parent, uint32_t slot)
{
    while (parent[slot] != slot)
        slot = parent[slot] = parent[parent[slot]];
    return slot;
}

static void unite(uint32_t *parent, uint32_t a, uint32_t b)
{
    const uint32_t x = find_root(parent, a), y = find_root(parent, b);
    if (x < y)
        parent[y] = x;
    else
        parent[x] = y;
}

static int is_connected(const struct density *f, const struct summary *a,
                        const struct summary *b)
{
    return a->is_one && b->is_one &&
           find_root(f->parent, a->slot) == find_root(f->parent, b->slot);
}

/* A node's summary from those of its sides. */
static void sum_up(struct density *f, struct kymo_kdnode v)
{
    const struct summary *l = &f->sum[kymo_kdnode_left(v).i];
    const struct summary *r = &f->sum[kymo_kdnode_right(v).i];
    struct summary *s = &f->sum[v.i];
    if (s->is_one) /* perhaps by way of what lies outside the sides */
        return;
    s->slot = l->slot != NO_SLOT ? l->slot : r->slot;
    if (l->slot == NO_SLOT || r->slot == NO_SLOT)
        s->is_one = l->is_one && r->is_one;
    else
        s->is_one = is_connected(f, l, r);
}

/* All core rows below a node are known to be connected. */
static void make_one(struct density *f, struct kymo_kdnode v)
{
    struct summary *s = &f->sum[v.i];
    for (size_t leaf = v.lo; leaf < v.hi && !s->is_one; leaf++)
        for (uint64_t core = f->core[leaf]; core; core &= core - 1)
            unite(f->parent, s->slot, (uint32_t)(leaf * ROWS + lowest(core)));
    s->is_one = 1;
}

/* Whether the core rows of a leaf are connected by now. */
static void sum_up_leaf(struct density *f, struct kymo_kdnode v)
{
    struct summary *s = &f->sum[v.i];
    if (s->is_one)
        return;
    const uint32_t root = find_root(f->parent, s->slot);
    uint64_t core = f->core[v.lo];
    while (core && find_root(f->parent, (uint32_t)(v.lo * ROWS + lowest(core))) == root)
        core &= core - 1;
    s->is_one = core == 0;
}

static void connect_leaves(struct density *f, struct kymo_kdnode a, struct kymo_kdnode b)
{
    const int both_one = f->sum[a.i].is_one && f->sum[b.i].is_one;
    uint64_t rows = f->core[a.lo] & near_box(f, a.lo, kymo_kdtree_box(&f->t, b.i));
    for (; rows; rows &= rows - 1) {
        const uint32_t slot = (uint32_t)(a.lo * ROWS + lowest(rows));
        uint64_t near = f->core[b.lo] & near_in(f, b.lo, slot);
        for (; near; near &= near - 1) {
            unite(f->parent, slot, (uint32_t)(b.lo * ROWS + lowest(near)));
            if (both_one)
                return;
        }
    }
    sum_up_leaf(f, a);
    sum_up_leaf(f, b);
}

static void connect_nodes(struct density *f, struct kymo_kdnode a, struct kymo_kdnode b)
{
    struct summary *s = &f->sum[a.i], *u = &f->sum[b.i];
    const double *box_a = kymo_kdtree_box(&f->t, a.i), *box_b = kymo_kdtree_box(&f->t, b.i);
    if (s->slot == NO_SLOT || u->slot == NO_SLOT || is_connected(f, s, u) ||
        kymo_box_nearest(f->t.d, box_a, box_b) > f->r2)
        return;
    if (kymo_box_farthest(f->t.d, box_a, box_b) <= f->r2) {
        make_one(f, a);
        make_one(f, b);
        unite(f->parent, s->slot, u->slot);
    } else if (kymo_kdnode_is_leaf(a) && kymo_kdnode_is_leaf(b)) {
        connect_leaves(f, a, b);
    } else if (a.hi - a.lo >= b.hi - b.lo) {
        connect_nodes(f, kymo_kdnode_left(a), b);
        connect_nodes(f, kymo_kdnode_right(a), b);
        sum_up(f, a);
    } else {
        connect_nodes(f, a, kymo_kdnode_left(b));
        connect_nodes(f, a, kymo_kdnode_right(b));
        sum_up(f, b);
    }
}

static void connect_leaf(void *ctx, size_t leaf)
{
    struct density *f = ctx;
    const struct kymo_kdnode v = kymo_kdtree_leaf(&f->t, leaf);
    struct summary *s = &f->sum[v.i];
    for (uint32_t r = 0; r < ROWS; r++)
        f->parent[leaf * ROWS + r] = (uint32_t)(leaf * ROWS) + r;
    const uint64_t core = f->core[leaf];
    s->slot = core ? (uint32_t)(leaf * ROWS + lowest(core)) : NO_SLOT;
    s->is_one = !(core & (core - 1));
    for (uint64_t rows = core; rows && !is_stopped(f); rows &= rows - 1) {
        const uint32_t slot = (uint32_t)(leaf * ROWS + lowest(rows));
        uint64_t near = core & near_in(f, leaf, slot);
        for (; near; near &= near - 1)
            unite(f->parent, slot, (uint32_t)(leaf * ROWS + lowest(near)));
        sum_up_leaf(f, v);
        if (s->is_one)
            return;
    }
}

static void connect_sides(void *ctx, size_t index)
{
    struct density *f = ctx;
    const struct kymo_kdnode v = f->inner[f->level_at + index];
    f->sum[v.i].is_one = 0;
    if (!is_stopped(f))
        connect_nodes(f, kymo_kdnode_left(v), kymo_kdnode_right(v));
    sum_up(f, v);
}

/* Join what lies on the two sides of each node, lower levels first: nodes of a level have no row in
 * common, so threads do not meet. */
static void connect_all(struct density *f)
{
    size_t level[66], n_levels = 0,
                      n = 0; /* where each begins: as many as a size has bits, at most */
    kymo_parallel(f->t.n_leaves, f->in->n_threads, connect_leaf, f);
    if (f->t.n_leaves > 1)
        f->inner[n++] = kymo_kdtree_root(&f->t);
    for (size_t at = 0; at < n;) {
        level[n_levels++] = at;
        for (const size_t end = n; at < end; at++) {
            const struct kymo_kdnode l = kymo_kdnode_left(f->inner[at]);
            const struct kymo_kdnode r = kymo_kdnode_right(f->inner[at]);
            if (!kymo_kdnode_is_leaf(l))
                f->inner[n++] = l;
            if (!kymo_kdnode_is_leaf(r))
                f->inner[n++] = r;
        }
    }
    level[n_levels] = n;
    while (n_levels-- > 0) {
        f->level_at = level[n_levels];
        kymo_parallel(level[n_levels + 1] - level[n_levels], f->in->n_threads, connect_sides,
                      f);
    }
}

/* -- border rows --------------------------------------------------------------------------------- */

/* One leaf's rows that are no core rows, and the first cluster that each touches. */
struct touching {
    const struct density *f;
    size_t leaf;
    const double *box;
    uint64_t rows;
    uint32_t last; /* the highest of first[] */
    uint32_t first[ROWS];
};

static void touch_leaf(struct touching *w, size_t leaf, uint64_t rows)
{
    const struct density *f = w->f;
    for (; rows; rows &= rows - 1) {
        const size_t r = lowest(rows);
        uint64_t near = f->core[leaf] & near_in(f, leaf, w->leaf * ROWS + r);
        for (; near; near &= near - 1) {
            const uint32_t first = f->first[f->parent[leaf * ROWS + lowest(near)]];
            w->first[r] = first < w->first[r] ? first : w->first[r];
        }
    }
    w->last = 0;
    for (rows = w->rows; rows; rows &= rows - 1)
        w->last = w->first[lowest(rows)] > w->last ? w->first[lowest(rows)] : w->last;
}

static void touch_node(struct touching *w, struct kymo_kdnode v)
{
    const struct density *f = w->f;
    const double *box = kymo_kdtree_box(&f->t, v.i);
    if (f->sum[v.i].first >= w->last || kymo_box_nearest(f->t.d, w->box, box) > f->r2)
        return;
    if (kymo_kdnode_is_leaf(v)) {
        touch_leaf(w, v.lo, w->rows & near_box(f, w->leaf, box));
        return;
    }
    touch_node(w, kymo_kdnode_left(v));
    touch_node(w, kymo_kdnode_right(v));
}

/* The first cluster of the neighbours that were kept. */
static uint32_t touch_kept(const struct density *f, size_t slot)
{
    uint32_t first = KYMO_NOISE;
    for (size_t i = 0; i < f->n_kept[slot]; i++) {
        const uint32_t s = f->kept[slot * f->kept_max + i];
        if (f->core[s / ROWS] >> s % ROWS & 1 && f->first[f->parent[s]] < first)
            first = f->first[f->parent[s]];
    }
    return first;
}

/* label: the lowest core row of the cluster; name_clusters() turns it into a number. */
static void label_leaf(void *ctx, size_t leaf)
{
    struct density *f = ctx;
    const uint64_t rows = kymo_kdtree_rows(&f->t, leaf);
    struct touching w = {.f = f, .leaf = leaf, .last = KYMO_NO_ROW};
    for (uint64_t left = rows; left; left &= left - 1) {
        const size_t r = lowest(left), slot = leaf * ROWS + r;
        w.first[r] = KYMO_NOISE;
        if (f->core[leaf] >> r & 1)
            w.first[r] = f->first[f->parent[slot]];
        else if (f->n_kept[slot] != TOO_MANY)
            w.first[r] = touch_kept(f, slot);
        else
            w.rows |= UINT64_C(1) << r;
    }
    w.box = kymo_kdtree_box(&f->t, kymo_kdtree_leaf(&f->t, leaf).i);
    if (w.rows && !is_stopped(f))
        touch_node(&w, kymo_kdtree_root(&f->t));
    for (uint64_t left = rows; left; left &= left - 1)
        f->label[f->t.row[leaf * ROWS + lowest(left)]] = w.first[lowest(left)];
}

/* The lowest row of each cluster, to its root and to the nodes above. */
static void find_first(struct density *f)
{
    const size_t n = f->t.n;
    for (size_t s = 0; s < n; s++)
        f->first[s] = KYMO_NO_ROW;
    for (size_t s = 0; s < n; s++)
        if (f->core[s / ROWS] >> s % ROWS & 1) {
            const uint32_t root = f->parent[s] = find_root(f->parent, (uint32_t)s);
            if (f->t.row[s] < f->first[root])
                f->first[root] = f->t.row[s];
        }
}

static uint32_t sum_first(struct density *f, struct kymo_kdnode v)
{
    uint32_t first = KYMO_NO_ROW;
    if (kymo_kdnode_is_leaf(v)) {
        for (uint64_t core = f->core[v.lo]; core; core &= core - 1) {
            const uint32_t row = f->first[f->parent[v.lo * ROWS + lowest(core)]];
            first = row < first ? row : first;
        }
    } else {
        const uint32_t l = sum_first(f, kymo_kdnode_left(v));
        const uint32_t r = sum_first(f, kymo_kdnode_right(v));
        first = l < r ? l : r;
    }
    f->sum[v.i].first = first;
    return first;
}

/* -- the whole ----------------------------------------------------------------------------------- */

static kymo_status reserve(struct density *f, struct kymo_arena *scratch, struct kymo_err *err)
{
    KYMO_TRY(kymo_kdtree_build(f->in->x, f->in->n_threads, scratch, &f->t, err));
    const size_t slots = f->t.n_leaves * ROWS;
    f->kept_max = f->in->min_weight < KEPT_MAX ? (size_t)f->in->min_weight : KEPT_MAX;
    f->kept = kymo_arena_alloc_raw(scratch, slots, f->kept_max * sizeof(uint32_t));
    f->n_kept = KYMO_NEW_RAW(scratch, uint8_t, slots);
    f->core = KYMO_NEW_RAW(scratch, uint64_t, f->t.n_leaves);
    f->parent = KYMO_NEW_RAW(scratch, uint32_t, slots);
    f->first = KYMO_NEW_RAW(scratch, uint32_t, slots);
    f->sum = KYMO_NEW_RAW(scratch, struct summary, f->t.n_nodes);
    f->inner = KYMO_NEW_RAW(scratch, struct kymo_kdnode, f->t.n_leaves);
    if (!f->kept || !f->n_kept || !f->core || !f->parent || !f->first || !f->sum || !f->inner)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "connecting %zu rows passes the memory budget", f->t.n);
    return KYMO_OK;
}

static void tick(const struct density *f, enum kymo_density_stage stage)
{
    if (f->in->tick)
        f->in->tick(f->in->tick_ctx, stage);
}

/* From the lowest core row of each cluster to labels in order of first appearance. */
static void name_clusters(struct density *f, struct kymo_density_out *out)
{
    uint32_t *name = f->parent, k = 0; /* by row; the forest has served */
    for (size_t i = 0; i < f->t.n; i++)
        name[i] = KYMO_NOISE;
    for (size_t i = 0; i < f->t.n; i++) {
        const uint32_t first = f->label[i];
        if (first == KYMO_NOISE) {
            out->n_noise++;
            continue;
        }
        if (name[first] == KYMO_NOISE)
            name[first] = k++;
        f->label[i] = name[first];
    }
    out->k = k;
}

static kymo_status fit(struct density *f, struct kymo_arena *scratch,
                       struct kymo_density_out *out, struct kymo_err *err)
{
    tick(f, KYMO_DENSITY_TREE);
    KYMO_TRY(reserve(f, scratch, err));
    tick(f, KYMO_DENSITY_CORE);
    kymo_parallel(f->t.n_leaves, f->in->n_threads, find_core, f);
    tick(f, KYMO_DENSITY_CONNECT);
    connect_all(f);
    find_first(f);
    sum_first(f, kymo_kdtree_root(&f->t));
    tick(f, KYMO_DENSITY_BORDER);
    kymo_parallel(f->t.n_leaves, f->in->n_threads, label_leaf, f);
    for (size_t s = 0; s < f->t.n; s++) {
        const uint8_t is_core = f->core[s / ROWS] >> s % ROWS & 1;
        out->core[f->t.row[s]] = is_core;
        out->n_core += is_core;
    }
    name_clusters(f, out);
    out->stopped = is_stopped(f);
    return KYMO_OK;
}

/* The square by which distances are judged: finite, so that absent rows stay out. */
static double square(double eps)
{
    const double r2 = eps * eps;
    return r2 <= DBL_MAX ? r2 : DBL_MAX;
}

kymo_status kymo_density(const struct kymo_density_in *in, struct kymo_arena *arena,
                         struct kymo_density_out *out, struct kymo_err *err)
{
    assert(in->eps >= 0 && in->min_weight > 0);
    struct kymo_density_out got = {0};
    got.label = KYMO_NEW_RAW(arena, uint32_t, in->x->n);
    got.core = KYMO_NEW_RAW(arena, uint8_t, in->x->n);
    if (!got.label || !got.core)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "labels of %zu rows pass the memory budget", in->x->n);
    struct density f = {.in = in, .r2 = square(in->eps), .label = got.label};
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes);
    const kymo_status s = fit(&f, &scratch, &got, err);
    kymo_arena_release(&scratch);
    if (!s)
        *out = got;
    return s;
}

/* -- choosing eps -------------------------------------------------------------------------------- */

static kymo_status fill_curve(const struct kymo_dense *x, double min_weight, unsigned n_threads,
                              struct kymo_arena *scratch, double *sorted, struct kymo_err *err)
{
    struct kymo_kdtree t;
    KYMO_TRY(kymo_kdtree_build(x, n_threads, scratch, &t, err));
    double *reach2 = KYMO_NEW_RAW(scratch, double, t.n_leaves *ROWS);
    if (!reach2)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "distances of %zu rows pass the memory budget", x->n);
    KYMO_TRY(
        kymo_kdtree_reach(&t, min_weight, n_threads, NULL, scratch->cap_bytes, reach2, err));
    for (size_t s = 0; s < t.n; s++)
        sorted[s] = sqrt(reach2[s]);
    kymo_sort_f64(t.n, sorted);
    return KYMO_OK;
}

kymo_status kymo_density_curve(const struct kymo_dense *x, double min_weight,
                               unsigned n_threads, struct kymo_arena *arena, double **sorted,
                               struct kymo_err *err)
{
    double *got = KYMO_NEW_RAW(arena, double, x->n);
    if (!got)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a curve of %zu rows passes the memory budget", x->n);
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes);
    const kymo_status s = fill_curve(x, min_weight, n_threads, &scratch, got, err);
    kymo_arena_release(&scratch);
    if (!s)
        *sorted = got;
    return s;
}

double kymo_density_suggest_eps(size_t n, const double *sorted)
{
    assert(n >= 1);
    const double rise = sorted[n - 1] - sorted[0];
    size_t best = 0;
    double best_below = 0;
    for (size_t i = 1; i + 1 < n; i++) {
        const double below = sorted[0] + rise * ((double)i / (double)(n - 1)) - sorted[i];
        if (below > best_below) {
            best_below = below;
            best = i;
        }
    }
    return sorted[best];
}
