/* SPDX-License-Identifier: Apache-2.0
 * The tree's edges, shortest first, join rows into ever larger parts. A part is a row (0..n-1) or what an
 * edge joined (n..2n-2), so a part's number is above those of its own parts. Clusters come from walking
 * the parts from the largest down.
 */
#include "analyze/core/hdbscan.h"

#include <assert.h>
#include <math.h>

#include "analyze/core/kdtree.h"
#include "analyze/core/mutual.h"

#define NO_CLUSTER UINT32_MAX

/* What an edge joined. */
struct join {
    uint32_t side[2];
    double dist2, weight;
};

/* A candidate; its parent's number is below its own, and 0 is the whole. */
struct cluster {
    uint32_t parent;
    double born;      /* density at which it appears */
    double stability; /* excess of mass */
    double inside;    /* that of the best choice among the clusters inside */
    double densest;   /* the highest density that any of its rows reaches */
    int chosen;
    uint32_t owner; /* the chosen cluster that it belongs to, itself included */
    uint32_t name;
};

struct task {
    uint32_t part, cluster;
};

struct hierarchy {
    const struct kymo_hdbscan_in *in;
    size_t n;
    double *reach2;                /* [n] by row */
    struct kymo_mutual_edge *edge; /* [n - 1] */
    struct join *join;             /* [n - 1] part n + i */
    struct cluster *cluster;       /* [n_clusters], grows */
    size_t n_clusters;
    uint32_t *left;  /* [n] the cluster that a row left last */
    double *density; /* [n] at which it did */
    double zero;     /* the distance that 0 counts as */
    struct task *todo;
    uint32_t *walk; /* [n] parts to walk into */
    uint32_t *part; /* [n] what one part falls into */
};

static double density_of(const struct hierarchy *h, double dist2)
{
    const double dist = sqrt(dist2);
    return 1 / (dist > 0 ? dist : h->zero);
}

static int is_row(const struct hierarchy *h, uint32_t part)
{
    return part < h->n;
}

static const struct join *join_of(const struct hierarchy *h, uint32_t part)
{
    return &h->join[part - h->n];
}

static double weight_of(const struct hierarchy *h, uint32_t part)
{
    return is_row(h, part) ? kymo_dense_weight(h->in->x, part) : join_of(h, part)->weight;
}

/* -- parts ----------------------------------------------------------------------------------------- */

/* The part that a row belongs to by now; of[] holds, for each part, the one above. */
static uint32_t whole_of(uint32_t *of, uint32_t part)
{
    while (of[part] != part)
        part = of[part] = of[of[part]];
    return part;
}

/* of [2n - 1] scratch */
static void join_parts(struct hierarchy *h, uint32_t *of)
{
    for (uint32_t i = 0; i < 2 * h->n - 1; i++)
        of[i] = i;
    for (size_t i = 0; i + 1 < h->n; i++) {
        const uint32_t a = whole_of(of, h->edge[i].a), b = whole_of(of, h->edge[i].b);
        h->join[i] = (struct join){{a, b}, h->edge[i].dist2, weight_of(h, a) + weight_of(h, b)};
        of[a] = of[b] = (uint32_t)(h->n + i);
    }
}

/* Half the least distance above 0 of all that count; 1 where there is none. */
static double find_zero(const struct hierarchy *h)
{
    double least = INFINITY;
    for (size_t i = 0; i < h->n; i++)
        least = h->reach2[i] > 0 && h->reach2[i] < least ? h->reach2[i] : least;
    for (size_t i = 0; i + 1 < h->n; i++)
        least = h->edge[i].dist2 > 0 && h->edge[i].dist2 < least ? h->edge[i].dist2 : least;
    return least < INFINITY ? sqrt(least) / 2 : 1;
}

/* What a part falls into just above its own density: parts that hold together longer. */
static size_t take_apart(struct hierarchy *h, uint32_t part)
{
    const double dist2 = join_of(h, part)->dist2;
    size_t n = 0, n_walk = 0;
    h->walk[n_walk++] = part;
    while (n_walk) {
        const uint32_t p = h->walk[--n_walk];
        for (int s = 1; s >= 0; s--) {
            const uint32_t side = join_of(h, p)->side[s];
            if (is_row(h, side) || join_of(h, side)->dist2 < dist2)
                h->part[n++] = side;
            else
                h->walk[n_walk++] = side;
        }
    }
    return n;
}

/* -- clusters -------------------------------------------------------------------------------------- */

/* All rows of a part leave a cluster. */
static void leave(struct hierarchy *h, uint32_t part, uint32_t cluster, double density)
{
    struct cluster *c = &h->cluster[cluster];
    size_t n_walk = 0;
    h->walk[n_walk++] = part;
    while (n_walk) {
        const uint32_t p = h->walk[--n_walk];
        if (is_row(h, p)) {
            h->left[p] = cluster;
            h->density[p] = density;
            continue;
        }
        h->walk[n_walk++] = join_of(h, p)->side[1];
        h->walk[n_walk++] = join_of(h, p)->side[0];
    }
    c->stability += weight_of(h, part) * (density - c->born);
    c->densest = density > c->densest ? density : c->densest;
}

static uint32_t add_cluster(struct hierarchy *h, uint32_t parent, double born)
{
    h->cluster[h->n_clusters] =
        (struct cluster){.parent = parent, .born = born, .densest = born, .owner = NO_CLUSTER};
    return (uint32_t)h->n_clusters++;
}

/* One step up in density; returns how many tasks stand then. */
static size_t follow(struct hierarchy *h, struct task t, size_t n_todo)
{
    if (is_row(h, t.part)) { /* heavy enough alone: it holds as long as it has its neighbours */
        leave(h, t.part, t.cluster, density_of(h, h->reach2[t.part]));
        return n_todo;
    }
    const double density = density_of(h, join_of(h, t.part)->dist2);
    const size_t n = take_apart(h, t.part);
    size_t n_large = 0;
    for (size_t i = 0; i < n; i++)
        n_large += weight_of(h, h->part[i]) >= h->in->min_cluster_weight;
    for (size_t i = 0; i < n; i++) {
        const uint32_t p = h->part[i];
        if (weight_of(h, p) < h->in->min_cluster_weight) {
            leave(h, p, t.cluster, density);
        } else if (n_large == 1) {
            h->todo[n_todo++] = (struct task){p, t.cluster};
        } else {
            struct cluster *c = &h->cluster[t.cluster];
            c->stability += weight_of(h, p) * (density - c->born);
            h->todo[n_todo++] = (struct task){p, add_cluster(h, t.cluster, density)};
        }
    }
    return n_todo;
}

static void condense(struct hierarchy *h)
{
    size_t n_todo = 0;
    add_cluster(h, NO_CLUSTER, 0);
    h->todo[n_todo++] = (struct task){(uint32_t)(2 * h->n - 2), 0};
    while (n_todo) {
        const struct task t = h->todo[--n_todo];
        n_todo = follow(h, t, n_todo);
    }
}

/* Those whose excess of mass is not less than that of the best choice inside. */
static void choose(struct hierarchy *h)
{
    for (size_t i = h->n_clusters; i-- > 1;) {
        struct cluster *c = &h->cluster[i], *up = &h->cluster[c->parent];
        c->chosen = c->stability >= c->inside;
        up->inside += c->chosen ? c->stability : c->inside;
        up->densest = c->densest > up->densest ? c->densest : up->densest;
    }
    for (size_t i = 1; i < h->n_clusters; i++) {
        struct cluster *c = &h->cluster[i];
        const uint32_t above = h->cluster[c->parent].owner;
        c->owner = above != NO_CLUSTER ? above : c->chosen ? (uint32_t)i : NO_CLUSTER;
        c->name = KYMO_NOISE;
    }
}

/* stability: [n_clusters] room */
static void label_rows(const struct hierarchy *h, struct kymo_hdbscan_out *out)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct cluster *last = &h->cluster[h->left[i]];
        out->outlier[i] = last->densest > 0 ? 1 - h->density[i] / last->densest : 0;
        out->label[i] = KYMO_NOISE;
        out->member[i] = 0;
        if (last->owner == NO_CLUSTER) {
            out->n_noise++;
            continue;
        }
        struct cluster *c = &h->cluster[last->owner];
        if (c->name == KYMO_NOISE) {
            out->stability[out->k] = c->stability;
            c->name = (uint32_t)out->k++;
        }
        out->label[i] = c->name;
        out->member[i] = h->density[i] / c->densest;
    }
}

/* -- the whole ------------------------------------------------------------------------------------- */

static int is_stopped(const struct kymo_hdbscan_in *in)
{
    return in->stop && *in->stop;
}

static void tick(const struct kymo_hdbscan_in *in, enum kymo_hdbscan_stage stage)
{
    if (in->tick)
        in->tick(in->tick_ctx, stage);
}

static kymo_status too_large(const struct hierarchy *h, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "a hierarchy of %zu rows passes the memory budget", h->n);
}

/* Reach and tree; the tree of buckets is let go afterwards. */
static kymo_status connect(struct hierarchy *h, size_t cap_bytes, struct kymo_err *err)
{
    const struct kymo_hdbscan_in *in = h->in;
    struct kymo_arena scratch;
    struct kymo_kdtree t;
    kymo_arena_init(&scratch, cap_bytes);
    tick(in, KYMO_HDBSCAN_REACH);
    kymo_status s = kymo_kdtree_build(in->x, in->n_threads, &scratch, &t, err);
    if (s)
        goto out;
    double *reach2 = KYMO_NEW_RAW(&scratch, double, t.n_leaves *KYMO_BUCKET_ROWS);
    if (!reach2) {
        s = too_large(h, err);
        goto out;
    }
    s = kymo_kdtree_reach(&t, in->min_weight, in->n_threads, in->stop, cap_bytes, reach2, err);
    if (s)
        goto out;
    tick(in, KYMO_HDBSCAN_TREE);
    s = kymo_mutual_tree(&t, reach2, in->n_threads, in->stop, cap_bytes, h->edge, err);
    for (size_t i = 0; i < t.n; i++)
        h->reach2[t.row[i]] = reach2[i];
out:
    kymo_arena_release(&scratch);
    return s;
}

/* Clusters that do not fall apart share no row, and each of the others falls into two or more. */
static size_t clusters_max(const struct hierarchy *h)
{
    double weight = 0;
    for (size_t i = 0; i < h->n; i++)
        weight += kymo_dense_weight(h->in->x, i);
    const double most = 2 * weight / h->in->min_cluster_weight * (1 + 1e-9) + 2;
    return most < 2 * (double)h->n ? (size_t)most : 2 * h->n;
}

static kymo_status reserve(struct hierarchy *h, struct kymo_arena *scratch,
                           struct kymo_err *err)
{
    h->reach2 = KYMO_NEW_RAW(scratch, double, h->n);
    h->edge = KYMO_NEW_RAW(scratch, struct kymo_mutual_edge, h->n - 1);
    h->join = KYMO_NEW_RAW(scratch, struct join, h->n - 1);
    h->cluster = KYMO_NEW_RAW(scratch, struct cluster, clusters_max(h));
    h->left = KYMO_NEW_RAW(scratch, uint32_t, h->n);
    h->density = KYMO_NEW_RAW(scratch, double, h->n);
    h->todo = KYMO_NEW_RAW(scratch, struct task, h->n);
    h->walk = KYMO_NEW_RAW(scratch, uint32_t, 2 * h->n);
    h->part = KYMO_NEW_RAW(scratch, uint32_t, h->n);
    return h->reach2 && h->edge && h->join && h->cluster && h->left && h->density && h->todo &&
                   h->walk && h->part
               ? KYMO_OK
               : too_large(h, err);
}

static kymo_status fit(const struct kymo_hdbscan_in *in, struct kymo_arena *arena,
                       struct kymo_arena *scratch, struct kymo_hdbscan_out *out,
                       struct kymo_err *err)
{
    struct hierarchy h = {.in = in, .n = in->x->n};
    KYMO_TRY(reserve(&h, scratch, err));
    KYMO_TRY(connect(&h, scratch->cap_bytes, err));
    tick(in, KYMO_HDBSCAN_CHOOSE);
    h.zero = find_zero(&h);
    join_parts(&h, h.walk);
    condense(&h);
    choose(&h);
    out->stability = KYMO_NEW_RAW(arena, double, h.n_clusters);
    if (!out->stability)
        return too_large(&h, err);
    label_rows(&h, out);
    out->stopped = is_stopped(in);
    return KYMO_OK;
}

kymo_status kymo_hdbscan(const struct kymo_hdbscan_in *in, struct kymo_arena *arena,
                         struct kymo_hdbscan_out *out, struct kymo_err *err)
{
    const size_t n = in->x->n;
    assert(n >= 1 && in->min_weight > 0 && in->min_cluster_weight > 0);
    struct kymo_hdbscan_out got = {0};
    got.label = KYMO_NEW_RAW(arena, uint32_t, n);
    got.member = KYMO_NEW_RAW(arena, double, n);
    got.outlier = KYMO_NEW_RAW(arena, double, n);
    if (!got.label || !got.member || !got.outlier)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "labels of %zu rows pass the memory budget", n);
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes);
    const kymo_status s = fit(in, arena, &scratch, &got, err);
    kymo_arena_release(&scratch);
    if (!s)
        *out = got;
    return s;
}
