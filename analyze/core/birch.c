/* SPDX-License-Identifier: Apache-2.0
 * A node is a bucket of up to KYMO_BUCKET_ROWS centroids, so that one call finds the nearest. In a leaf
 * they are those of groups, above it those of all groups below. A full node splits about its two
 * farthest centroids, each half keeping at least a quarter of the places filled.
 *
 * A group is known by a row of it, its name. Rows, and groups that join another, keep the name of what
 * they joined, so label[] is a forest until the end; no row is looked at twice while the tree grows.
 */
#include "analyze/core/birch.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "format/num/simd/bucket.h"
#include "format/num/stats.h"

#define PLACES KYMO_BUCKET_ROWS
#define PLACES_MIN (PLACES / 4)
/* Every node but the root holds PLACES_MIN: more levels would be more groups than rows can have. */
#define LEVELS_MAX 16u
/* The least growth of what a join may add, so that a tree that stays too large comes to an end. */
#define RISE_GROWTH 1.25
#define TICK_ROWS 65536u

struct node {
    size_t n;
    int is_leaf;
    double *bucket;
    double weight[PLACES];
    union {
        struct node *node;
        uint32_t name;
    } below[PLACES];
};

/* A place's content, outside a node. */
struct entry {
    const double *centroid; /* [d] */
    double weight;
    struct node *node; /* NULL: a group */
    uint32_t name;
};

struct growing {
    const struct kymo_birch_in *in;
    size_t d, m;
    double rise_max; /* what a join may add to the spread */
    struct kymo_arena nodes;
    struct node *root;
    uint32_t *label;     /* [n] */
    double *row;         /* [d] scratch */
    struct entry *group; /* [m_max + 1] between trees */
    double *centroid;    /* [m_max + 1,d] theirs */
    double *joined;      /* [m_max + 1] what each would add with its neighbour */
    double *spare;       /* [PLACES + 1,d] of a node that splits */
    double *summary;     /* [LEVELS_MAX,2,d] of the halves of one, level by level */
};

static double *place(const struct growing *g, const struct node *v, size_t i)
{
    return v->bucket + kymo_bucket_at(g->d, i);
}

static void read_centroid(const struct growing *g, const struct node *v, size_t i, double *out)
{
    const double *from = place(g, v, i);
    for (size_t j = 0; j < g->d; j++)
        out[j] = from[j * KYMO_BUCKET_LANES];
}

static void put(const struct growing *g, struct node *v, size_t i, const struct entry *e)
{
    double *to = place(g, v, i);
    for (size_t j = 0; j < g->d; j++)
        to[j * KYMO_BUCKET_LANES] = e->centroid[j];
    v->weight[i] = e->weight;
    if (e->node)
        v->below[i].node = e->node;
    else
        v->below[i].name = e->name;
}

static void clear(const struct growing *g, struct node *v)
{
    for (size_t i = 0; i < PLACES * g->d; i++)
        v->bucket[i] = INFINITY;
    v->n = 0;
}

static struct node *new_node(struct growing *g, int is_leaf)
{
    struct node *v = KYMO_NEW(&g->nodes, struct node, 1);
    if (!v || !(v->bucket = kymo_arena_alloc_raw(&g->nodes, PLACES * g->d, sizeof(double))))
        return NULL;
    v->is_leaf = is_leaf;
    clear(g, v);
    return v;
}

/* The place whose centroid is nearest, the first of equals; v holds one at least. */
static size_t nearest(const struct growing *g, const struct node *v, const double *x,
                      double *dist2)
{
    double all[PLACES];
    uint64_t near = kymo_bucket_near(g->d, x, 1, v->bucket, KYMO_BUCKET_ALL, DBL_MAX, all);
    size_t best = 0;
    *dist2 = INFINITY;
    for (; near; near &= near - 1) {
        const size_t i = (size_t)__builtin_ctzll(near);
        if (all[i] < *dist2) {
            *dist2 = all[i];
            best = i;
        }
    }
    return best;
}

/* By how much two groups spread more together than apart; dist2: between their centroids. */
static double rise_of(double w1, double w2, double dist2)
{
    return w1 * (w2 / (w1 + w2)) * dist2;
}

/* A place's centroid takes in what lies at x. */
static void take_in(const struct growing *g, struct node *v, size_t i, const double *x,
                    double weight)
{
    double *c = place(g, v, i);
    const double share = weight / (v->weight[i] += weight);
    for (size_t j = 0; j < g->d; j++)
        c[j * KYMO_BUCKET_LANES] += share * (x[j] - c[j * KYMO_BUCKET_LANES]);
}

/* -- splitting ------------------------------------------------------------------------------------- */

/* The weighted mean of a node's centroids, as one entry. */
static struct entry sum_up(const struct growing *g, struct node *v, double *centroid)
{
    double weight = 0;
    for (size_t i = 0; i < v->n; i++)
        weight += v->weight[i];
    for (size_t j = 0; j < g->d; j++) {
        double sum = 0;
        for (size_t i = 0; i < v->n; i++)
            sum += v->weight[i] / weight * place(g, v, i)[j * KYMO_BUCKET_LANES];
        centroid[j] = sum;
    }
    return (struct entry){.centroid = centroid, .weight = weight, .node = v};
}

/* The two of a full node and one more that are farthest apart; the first of equals. */
static void farthest_pair(const struct growing *g, const struct node *v, const struct entry *e,
                          size_t pair[2])
{
    double most = -1, dist2[PLACES];
    for (size_t i = 0; i <= PLACES; i++) {
        kymo_bucket_near(g->d, e[i].centroid, 1, v->bucket, KYMO_BUCKET_ALL, DBL_MAX, dist2);
        for (size_t q = 0; q < PLACES && q < i; q++)
            if (dist2[q] > most) {
                most = dist2[q];
                pair[0] = q;
                pair[1] = i;
            }
    }
}

struct leaning {
    double by; /* below 0: nearer to the first of the pair */
    size_t i;
};

/* Entries from those nearest to the first of a pair to those nearest to the second; ties keep order. */
static void sort_between(const struct growing *g, const struct entry *e, const size_t pair[2],
                         struct leaning *order)
{
    for (size_t i = 0; i <= PLACES; i++) {
        order[i] = (struct leaning){0, i};
        for (size_t j = 0; j < g->d; j++) {
            const double a = e[i].centroid[j] - e[pair[0]].centroid[j];
            const double b = e[i].centroid[j] - e[pair[1]].centroid[j];
            order[i].by += a * a - b * b;
        }
    }
    for (size_t i = 1; i <= PLACES; i++) {
        const struct leaning x = order[i];
        size_t at = i;
        for (; at > 0 && order[at - 1].by > x.by; at--)
            order[at] = order[at - 1];
        order[at] = x;
    }
}

/* Split a full node and one more entry in two; v keeps one half, u gets the other. */
static void split(struct growing *g, struct node *v, const struct entry *more, struct node *u)
{
    struct entry e[PLACES + 1];
    struct leaning order[PLACES + 1];
    for (size_t i = 0; i < PLACES; i++) {
        read_centroid(g, v, i, g->spare + i * g->d);
        e[i] = (struct entry){.centroid = g->spare + i * g->d, .weight = v->weight[i]};
        if (v->is_leaf)
            e[i].name = v->below[i].name;
        else
            e[i].node = v->below[i].node;
    }
    e[PLACES] = *more;
    size_t pair[2] = {0, 1};
    farthest_pair(g, v, e, pair);
    sort_between(g, e, pair, order);
    size_t half = PLACES_MIN;
    while (half < PLACES + 1 - PLACES_MIN && order[half].by <= 0)
        half++;
    clear(g, v);
    for (size_t i = 0; i <= PLACES; i++) {
        struct node *to = i < half ? v : u;
        put(g, to, to->n++, &e[order[i].i]);
    }
}

/* -- growing --------------------------------------------------------------------------------------- */

static kymo_status too_large(const struct growing *g, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "a tree of %zu groups with %zu columns passes the memory budget",
                     g->in->m_max, g->d);
}

/* Put an entry into the last node of a path; nodes that are full split, upwards. at[l]: the place that
 * leads from path[l] to path[l + 1]. */
static kymo_status insert(struct growing *g, struct node **path, const size_t *at, size_t level,
                          struct entry e, struct kymo_err *err)
{
    for (;;) {
        struct node *v = path[level];
        if (v->n < PLACES) {
            put(g, v, v->n++, &e);
            return KYMO_OK;
        }
        struct node *u = new_node(g, v->is_leaf);
        struct node *root = level ? NULL : new_node(g, 0);
        if (!u || (!level && !root))
            return too_large(g, err);
        split(g, v, &e, u);
        double *summary = g->summary + level * 2 * g->d;
        const struct entry a = sum_up(g, v, summary);
        e = sum_up(g, u, summary + g->d);
        if (!level) {
            put(g, root, 0, &a);
            put(g, root, 1, &e);
            root->n = 2;
            g->root = root;
            return KYMO_OK;
        }
        level--;
        put(g, path[level], at[level], &a);
    }
}

/* A row, or a group of an earlier tree, finds its place. */
static kymo_status add(struct growing *g, struct entry e, struct kymo_err *err)
{
    struct node *path[LEVELS_MAX];
    size_t at[LEVELS_MAX], level = 0;
    double dist2 = INFINITY;
    for (path[0] = g->root; !path[level]->is_leaf; level++) {
        assert(level + 1 < LEVELS_MAX);
        at[level] = nearest(g, path[level], e.centroid, &dist2);
        take_in(g, path[level], at[level], e.centroid, e.weight);
        path[level + 1] = path[level]->below[at[level]].node;
    }
    struct node *leaf = path[level];
    if (leaf->n) {
        const size_t i = nearest(g, leaf, e.centroid, &dist2);
        if (rise_of(leaf->weight[i], e.weight, dist2) <= g->rise_max) {
            take_in(g, leaf, i, e.centroid, e.weight);
            g->label[e.name] = leaf->below[i].name;
            return KYMO_OK;
        }
    }
    g->label[e.name] = e.name;
    g->m++;
    return insert(g, path, at, level, e, err);
}

static kymo_status plant(struct growing *g, struct kymo_err *err)
{
    g->m = 0;
    g->root = new_node(g, 1);
    return g->root ? KYMO_OK : too_large(g, err);
}

/* Take all groups out of a tree, and what each would add to the spread with the cheapest in the same
 * leaf, where there is another; returns how many of these there are. */
static size_t harvest(struct growing *g, const struct node *v, size_t n_joined)
{
    for (size_t i = 0; i < v->n && !v->is_leaf; i++)
        n_joined = harvest(g, v->below[i].node, n_joined);
    for (size_t i = 0; i < v->n && v->is_leaf; i++) {
        double *c = g->centroid + g->m * g->d, dist2[PLACES], best = INFINITY;
        read_centroid(g, v, i, c);
        g->group[g->m++] =
            (struct entry){.centroid = c, .weight = v->weight[i], .name = v->below[i].name};
        kymo_bucket_near(g->d, c, 1, v->bucket, KYMO_BUCKET_ALL, DBL_MAX, dist2);
        for (size_t q = 0; q < v->n; q++)
            if (q != i)
                best = fmin(best, rise_of(v->weight[i], v->weight[q], dist2[q]));
        if (v->n > 1)
            g->joined[n_joined++] = best;
    }
    return n_joined;
}

/* Let groups grow until there are few enough. */
static kymo_status regrow(struct growing *g, size_t *n_builds, struct kymo_err *err)
{
    while (g->m > g->in->m_max) {
        g->m = 0;
        const size_t n_joined = harvest(g, g->root, 0), n = g->m;
        double wanted = 0;
        if (n_joined) {
            kymo_sort_f64(n_joined, g->joined);
            wanted = g->joined[n_joined / 4];
        }
        g->rise_max = fmax(fmax(wanted, g->rise_max * RISE_GROWTH), DBL_MIN);
        kymo_arena_reset(&g->nodes);
        KYMO_TRY(plant(g, err));
        for (size_t i = 0; i < n; i++)
            KYMO_TRY(add(g, g->group[i], err));
        ++*n_builds;
    }
    return KYMO_OK;
}

static kymo_status grow(struct growing *g, struct kymo_birch_out *out, struct kymo_err *err)
{
    const struct kymo_birch_in *in = g->in;
    KYMO_TRY(plant(g, err));
    out->n_builds = 1;
    for (size_t i = 0; i < in->x->n; i++) {
        if (i % TICK_ROWS == 0 && in->tick)
            in->tick(in->tick_ctx, i);
        if (in->stop && *in->stop)
            break;
        kymo_dense_row(in->x, i, g->row);
        const struct entry e = {
            .centroid = g->row, .weight = kymo_dense_weight(in->x, i), .name = (uint32_t)i};
        KYMO_TRY(add(g, e, err));
        KYMO_TRY(regrow(g, &out->n_builds, err));
        out->n_done = i + 1;
    }
    return KYMO_OK;
}

/* -- the result ------------------------------------------------------------------------------------ */

/* From names to numbers in order of first appearance; number: [n_done] scratch. */
static void number_groups(const struct growing *g, uint32_t *number, struct kymo_birch_out *out)
{
    uint32_t *label = g->label;
    for (size_t i = 0; i < out->n_done; i++) {
        while (label[label[i]] != label[i])
            label[i] = label[label[i]];
        number[i] = KYMO_BIRCH_NONE;
    }
    uint32_t m = 0;
    for (size_t i = 0; i < out->n_done; i++)
        if (number[label[i]] == KYMO_BIRCH_NONE)
            number[label[i]] = m++;
    for (size_t i = 0; i < out->n_done; i++)
        label[i] = number[label[i]];
    for (size_t i = out->n_done; i < g->in->x->n; i++)
        label[i] = KYMO_BIRCH_NONE;
    out->m = m;
}

static void sum_rows(const struct growing *g, struct kymo_birch_out *out)
{
    const struct kymo_dense *x = g->in->x;
    const size_t d = g->d;
    for (size_t i = 0; i < out->n_done; i++) {
        const double weight = kymo_dense_weight(x, i);
        double *sum = out->centroid + out->label[i] * d;
        out->weight[out->label[i]] += weight;
        for (size_t j = 0; j < d; j++)
            sum[j] += weight * kymo_dense_at(x, i, j);
    }
    for (size_t c = 0; c < out->m; c++)
        for (size_t j = 0; j < d; j++)
            out->centroid[c * d + j] /= out->weight[c];
    for (size_t i = 0; i < out->n_done; i++) {
        const double *c = out->centroid + out->label[i] * d;
        double dist2 = 0;
        for (size_t j = 0; j < d; j++) {
            const double t = kymo_dense_at(x, i, j) - c[j];
            dist2 += t * t;
        }
        out->spread[out->label[i]] += kymo_dense_weight(x, i) * dist2;
    }
}

static kymo_status finish(struct growing *g, struct kymo_arena *arena,
                          struct kymo_arena *scratch, struct kymo_birch_out *out,
                          struct kymo_err *err)
{
    uint32_t *number = KYMO_NEW_RAW(scratch, uint32_t, out->n_done);
    if (!number)
        return too_large(g, err);
    number_groups(g, number, out);
    out->weight = KYMO_NEW(arena, double, out->m);
    out->spread = KYMO_NEW(arena, double, out->m);
    out->centroid = kymo_arena_alloc(arena, out->m, g->d * sizeof(double));
    if (!out->weight || !out->spread || !out->centroid)
        return too_large(g, err);
    sum_rows(g, out);
    out->rise_max = g->rise_max;
    return KYMO_OK;
}

static kymo_status reserve(struct growing *g, struct kymo_arena *scratch, struct kymo_err *err)
{
    /* There are never more groups than rows. */
    const size_t n = g->in->x->n, most = g->in->m_max < n ? g->in->m_max + 1 : n;
    const size_t row_bytes = g->d * sizeof(double);
    g->row = KYMO_NEW_RAW(scratch, double, g->d);
    g->group = KYMO_NEW_RAW(scratch, struct entry, most);
    g->joined = KYMO_NEW_RAW(scratch, double, most);
    g->centroid = kymo_arena_alloc_raw(scratch, most, row_bytes);
    g->spare = kymo_arena_alloc_raw(scratch, PLACES + 1, row_bytes);
    g->summary = kymo_arena_alloc_raw(scratch, (size_t)2 * LEVELS_MAX, row_bytes);
    return g->row && g->group && g->joined && g->centroid && g->spare && g->summary
               ? KYMO_OK
               : too_large(g, err);
}

kymo_status kymo_birch(const struct kymo_birch_in *in, struct kymo_arena *arena,
                       struct kymo_birch_out *out, struct kymo_err *err)
{
    assert(in->x->n >= 1 && in->x->n < KYMO_BIRCH_NONE && in->m_max >= 1);
    struct kymo_birch_out got = {0};
    struct growing g = {.in = in, .d = in->x->d};
    got.label = g.label = KYMO_NEW_RAW(arena, uint32_t, in->x->n);
    if (!got.label)
        return too_large(&g, err);
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes);
    kymo_arena_init(&g.nodes, arena->cap_bytes);
    kymo_status s = reserve(&g, &scratch, err);
    if (!s)
        s = grow(&g, &got, err);
    if (!s)
        s = finish(&g, arena, &scratch, &got, err);
    kymo_arena_release(&g.nodes);
    kymo_arena_release(&scratch);
    if (!s)
        *out = got;
    return s;
}
