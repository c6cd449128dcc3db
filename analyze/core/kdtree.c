/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/kdtree.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#include "format/base/rng.h"
#include "format/num/parallel.h"

#define ROWS KYMO_BUCKET_ROWS
#define LANES KYMO_BUCKET_LANES

/* Rows by which a node chooses the feature to split: enough for a spread within a tenth. */
#define SAMPLE_ROWS 256u
/* Features from which a sieve costs less than it saves. */
#define SIEVE_D_MIN 16u
#define SIEVE_SLACK 0x1p-9
/* Few enough that their heaps stay small, enough that no thread waits long for another. */
#define BLOCKS_PER_THREAD 32u

uint64_t kymo_kdtree_rows(const struct kymo_kdtree *t, size_t leaf)
{
    const size_t left = t->n - leaf * ROWS;
    return left >= ROWS ? UINT64_MAX >> (64 - ROWS) : (UINT64_C(1) << left) - 1;
}

double kymo_kdtree_weigh(const struct kymo_kdtree *t, size_t leaf, uint64_t slots)
{
    if (!t->slot_weight)
        return (double)__builtin_popcountll(slots);
    double sum = 0;
    for (; slots; slots &= slots - 1)
        sum += t->slot_weight[leaf * ROWS + (size_t)__builtin_ctzll(slots)];
    return sum;
}

uint64_t kymo_kdtree_near(const struct kymo_kdtree *t, size_t slot, size_t leaf, double r2,
                          double *dist2)
{
    uint64_t among = KYMO_BUCKET_ALL;
    const double sieve = t->sieve_share * r2 + t->sieve_rest;
    if (t->narrow && sieve < (double)FLT_MAX / 2) {
        const float *x =
            t->narrow + slot / ROWS * ROWS * t->d + kymo_narrow_at(t->d, slot % ROWS);
        among = kymo_narrow_near(t->d, x, t->narrow + leaf * ROWS * t->d, (float)sieve);
        if (!among)
            return 0;
    }
    return kymo_bucket_near(t->d, kymo_kdtree_at(t, slot), LANES, kymo_kdtree_bucket(t, leaf),
                            among, r2, dist2);
}

struct kymo_kdnode kymo_kdtree_leaf(const struct kymo_kdtree *t, size_t leaf)
{
    struct kymo_kdnode v = kymo_kdtree_root(t);
    while (!kymo_kdnode_is_leaf(v))
        v = leaf < kymo_kdtree_mid(v.lo, v.hi) ? kymo_kdnode_left(v) : kymo_kdnode_right(v);
    return v;
}

/* -- building ------------------------------------------------------------------------------------ */

struct keyed {
    double key;
    uint32_t row;
};

struct building {
    const struct kymo_dense *x;
    struct kymo_kdtree *t;
    struct keyed *item;        /* [n] */
    struct kymo_kdnode *level; /* [n_leaves] the nodes to split now */
    size_t n_level;
};

static int is_less(struct keyed a, struct keyed b)
{
    return a.key < b.key || (a.key == b.key && a.row < b.row);
}

/* The feature in which evenly spaced rows of v[n] vary most; ties to the lowest. */
static size_t widest(const struct kymo_dense *x, size_t n, const struct keyed *v)
{
    const size_t m = n < SAMPLE_ROWS ? n : SAMPLE_ROWS;
    size_t best = 0;
    double best_var = -1;
    for (size_t j = 0; j < x->d; j++) {
        const double origin = kymo_dense_at(x, v[0].row, j);
        double sum = 0, square = 0;
        for (size_t s = 0; s < m; s++) {
            const double u = kymo_dense_at(x, v[s * n / m].row, j) - origin;
            sum += u;
            square += u * u;
        }
        const double var = square - sum * sum / (double)m;
        if (var > best_var) {
            best_var = var;
            best = j;
        }
    }
    return best;
}

/* Reorder v[n] so that its k smallest come first, in any order. Pivots are drawn, so that no order of
 * rows that a file may hold is a slow one. */
static void select_first(size_t n, struct keyed *v, size_t k)
{
    struct kymo_rng rng;
    kymo_rng_init(&rng, n);
    size_t lo = 0, hi = n;
    while (hi - lo > 1) {
        const struct keyed pivot = v[lo + (size_t)kymo_rng_below(&rng, hi - lo)];
        size_t i = lo, j = hi - 1;
        for (;;) {
            while (is_less(v[i], pivot))
                i++;
            while (is_less(pivot, v[j]))
                j--;
            if (i >= j)
                break;
            const struct keyed swap = v[i];
            v[i++] = v[j];
            v[j--] = swap;
        }
        /* Nothing in [lo, i) is above anything in [i, hi); where i met j, it is at the pivot. */
        if (k <= i)
            hi = i;
        else
            lo = i + (i == j);
        if (k == lo || k == hi)
            return;
    }
}

static void split_node(void *ctx, size_t index)
{
    struct building *b = ctx;
    const struct kymo_kdnode v = b->level[index];
    const size_t at = v.lo * ROWS;
    const size_t end = v.hi * ROWS < b->t->n ? v.hi * ROWS : b->t->n;
    struct keyed *item = b->item + at;
    const size_t j = widest(b->x, end - at, item);
    for (size_t i = 0; i < end - at; i++)
        item[i].key = kymo_dense_at(b->x, item[i].row, j);
    select_first(end - at, item, (kymo_kdtree_mid(v.lo, v.hi) - v.lo) * ROWS);
}

/* The nodes a level down that have leaves to split; all of them stand within level[n_leaves]. */
static void next_level(struct building *b, struct kymo_kdnode *spare)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n_level; i++) {
        const struct kymo_kdnode child[] = {kymo_kdnode_left(b->level[i]),
                                            kymo_kdnode_right(b->level[i])};
        for (int c = 0; c < 2; c++)
            if (!kymo_kdnode_is_leaf(child[c]))
                spare[n++] = child[c];
    }
    for (size_t i = 0; i < n; i++)
        b->level[i] = spare[i];
    b->n_level = n;
}

static void sort_rows(size_t n, struct keyed *v)
{
    for (size_t i = 1; i < n; i++) {
        const struct keyed x = v[i];
        size_t j = i;
        for (; j > 0 && v[j - 1].row > x.row; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

static void fill_leaf(void *ctx, size_t leaf)
{
    const struct building *b = ctx;
    const struct kymo_kdtree *t = b->t;
    const size_t d = t->d, n = t->n - leaf * ROWS < ROWS ? t->n - leaf * ROWS : ROWS;
    struct keyed *item = b->item + leaf * ROWS;
    double *bucket = t->bucket + leaf * ROWS * d;
    sort_rows(n, item);
    for (size_t r = 0; r < ROWS; r++) {
        double *to = bucket + kymo_bucket_at(d, r);
        t->row[leaf * ROWS + r] = r < n ? item[r].row : KYMO_NO_ROW;
        for (size_t j = 0; j < d; j++)
            to[j * LANES] = r < n ? kymo_dense_at(b->x, item[r].row, j) : INFINITY;
        if (t->slot_weight)
            t->slot_weight[leaf * ROWS + r] = r < n ? kymo_dense_weight(b->x, item[r].row) : 0;
    }
}

static void box_leaf(const struct kymo_kdtree *t, size_t leaf, double *box)
{
    const size_t d = t->d, half = kymo_box_half(d);
    const uint64_t rows = kymo_kdtree_rows(t, leaf);
    for (size_t j = 0; j < d; j++) {
        double lo = INFINITY, hi = -INFINITY;
        for (uint64_t left = rows; left; left &= left - 1) {
            const size_t r = (size_t)__builtin_ctzll(left);
            const double v = kymo_kdtree_bucket(t, leaf)[kymo_bucket_at(d, r) + j * LANES];
            lo = v < lo ? v : lo;
            hi = v > hi ? v : hi;
        }
        box[j] = lo;
        box[half + j] = hi;
    }
}

/* The sieve holds rows less the middle of all, rounded once to single precision: each feature by 2^-24
 * of half the width w of all rows at most, so a distance by E = 2^-24 |w| from both its ends. With
 * roundings of double precision and of the sieve's own sums, dist2 <= r2 gives
 *
 *     sieve <= (r + E)^2 (1 + g) <= ((1 + s) r2 + (1 + 1/s) E^2) (1 + g),   g = (d + 8) 2^-23
 *
 * for every s > 0; s is SIEVE_SLACK. E is doubled below for good measure; FLT_MIN is for what is lost to
 * numbers below it. */
static void set_sieve(struct kymo_kdtree *t)
{
    const double *box = kymo_kdtree_box(t, 0), *high = box + kymo_box_half(t->d);
    double error2 = 0, far = 0;
    for (size_t j = 0; j < t->d; j++) {
        const double e = ldexp(high[j] - box[j], -23);
        far = fmax(far, fmax(fabs(box[j]), fabs(high[j])));
        error2 += e * e;
    }
    /* The middle is taken off in double precision, which loses where rows lie far from zero. */
    error2 += (double)t->d * ldexp(far, -50) * ldexp(far, -50);
    const double sums = 1 + ((double)t->d + 8) * 0x1p-23;
    t->sieve_share = (1 + SIEVE_SLACK) * sums;
    t->sieve_rest = 2 * (1 + 1 / SIEVE_SLACK) * error2 * sums + (double)t->d * (double)FLT_MIN;
}

static void narrow_leaf(void *ctx, size_t leaf)
{
    const struct building *b = ctx;
    const struct kymo_kdtree *t = b->t;
    const double *box = kymo_kdtree_box(t, 0), *high = box + kymo_box_half(t->d);
    float *narrow = t->narrow + leaf * ROWS * t->d;
    for (size_t r = 0; r < ROWS; r++) {
        const double *from = kymo_kdtree_at(t, leaf * ROWS + r);
        float *to = narrow + kymo_narrow_at(t->d, r);
        for (size_t j = 0; j < t->d; j++)
            to[j * KYMO_NARROW_LANES] = (float)(from[j * LANES] - (box[j] / 2 + high[j] / 2));
    }
}

/* Boxes and weights, children first. */
static void close_node(struct kymo_kdtree *t, struct kymo_kdnode v)
{
    double *box = t->box + v.i * t->box_stride;
    if (kymo_kdnode_is_leaf(v)) {
        box_leaf(t, v.lo, box);
        t->weight[v.i] = kymo_kdtree_weigh(t, v.lo, kymo_kdtree_rows(t, v.lo));
        return;
    }
    const struct kymo_kdnode l = kymo_kdnode_left(v), r = kymo_kdnode_right(v);
    close_node(t, l);
    close_node(t, r);
    const double *a = kymo_kdtree_box(t, l.i), *b = kymo_kdtree_box(t, r.i);
    const size_t half = kymo_box_half(t->d);
    for (size_t j = 0; j < t->d; j++) {
        box[j] = a[j] < b[j] ? a[j] : b[j];
        box[half + j] = a[half + j] > b[half + j] ? a[half + j] : b[half + j];
    }
    t->weight[v.i] = t->weight[l.i] + t->weight[r.i];
}

static kymo_status reserve(const struct kymo_dense *x, struct kymo_arena *arena,
                           struct kymo_kdtree *t, struct kymo_err *err)
{
    t->n = x->n;
    t->d = x->d;
    t->n_leaves = (x->n + ROWS - 1) / ROWS;
    t->n_nodes = 2 * t->n_leaves - 1;
    t->box_stride = 2 * kymo_box_half(x->d);
    t->row = KYMO_NEW_RAW(arena, uint32_t, t->n_leaves * ROWS);
    t->bucket = kymo_arena_alloc_raw(arena, t->n_leaves * ROWS, x->d * sizeof(double));
    if (x->d >= SIEVE_D_MIN)
        t->narrow = kymo_arena_alloc_raw(arena, t->n_leaves * ROWS, x->d * sizeof(float));
    t->box = kymo_arena_alloc(arena, t->n_nodes, t->box_stride * sizeof(double));
    t->weight = KYMO_NEW_RAW(arena, double, t->n_nodes);
    t->slot_weight = x->weight ? KYMO_NEW_RAW(arena, double, t->n_leaves *ROWS) : NULL;
    if (!t->row || !t->bucket || !t->box || !t->weight || (x->weight && !t->slot_weight) ||
        (x->d >= SIEVE_D_MIN && !t->narrow))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a tree of %zu rows with %zu columns passes the memory budget", x->n,
                         x->d);
    return KYMO_OK;
}

kymo_status kymo_kdtree_build(const struct kymo_dense *x, unsigned n_threads,
                              struct kymo_arena *arena, struct kymo_kdtree *t,
                              struct kymo_err *err)
{
    assert(x->n >= 1 && x->n < KYMO_NO_ROW && x->d >= 1);
    struct kymo_kdtree got = {0};
    KYMO_TRY(reserve(x, arena, &got, err));
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes);
    struct building b = {.x = x, .t = &got, .n_level = got.n_leaves > 1};
    b.item = KYMO_NEW_RAW(&scratch, struct keyed, x->n);
    b.level = KYMO_NEW_RAW(&scratch, struct kymo_kdnode, got.n_leaves);
    struct kymo_kdnode *spare = KYMO_NEW_RAW(&scratch, struct kymo_kdnode, got.n_leaves);
    if (!b.item || !b.level || !spare) {
        kymo_arena_release(&scratch);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "sorting %zu rows into a tree passes the memory budget", x->n);
    }
    for (size_t i = 0; i < x->n; i++)
        b.item[i] = (struct keyed){0, (uint32_t)i};
    for (b.level[0] = kymo_kdtree_root(&got); b.n_level; next_level(&b, spare))
        kymo_parallel(b.n_level, n_threads, split_node, &b);
    kymo_parallel(got.n_leaves, n_threads, fill_leaf, &b);
    close_node(&got, kymo_kdtree_root(&got));
    if (got.narrow) {
        set_sieve(&got);
        kymo_parallel(got.n_leaves, n_threads, narrow_leaf, &b);
    }
    kymo_arena_release(&scratch);
    *t = got;
    return KYMO_OK;
}

/* -- the distance at which enough rows are near ----------------------------------------------------- */

struct held {
    double dist2, weight;
};

/* The nearest rows so far of one row: a heap, the farthest on top. */
struct heap {
    struct held *item;
    size_t n;
    double weight; /* of them all */
    double bound;  /* farther rows do not matter */
};

struct reaching {
    const struct kymo_kdtree *t;
    double weight;
    const volatile sig_atomic_t *stop;
    size_t n_blocks, heap_items;
    struct held *item; /* [n_blocks,ROWS,heap_items] */
    double *reach2;
};

/* One leaf's rows, all walked for at once. */
struct reach_walk {
    const struct reaching *all;
    size_t leaf;
    uint64_t rows;
    const double *box;
    double bound; /* the largest of the heaps' */
    struct heap heap[ROWS];
};

static void heap_push(struct heap *h, struct held x)
{
    size_t i = h->n++;
    for (size_t up; i > 0 && h->item[up = (i - 1) / 2].dist2 < x.dist2; i = up)
        h->item[i] = h->item[up];
    h->item[i] = x;
    h->weight += x.weight;
}

static void heap_pop(struct heap *h)
{
    h->weight -= h->item[0].weight;
    const struct held x = h->item[--h->n];
    size_t i = 0;
    for (size_t down; (down = 2 * i + 1) < h->n; i = down) {
        if (down + 1 < h->n && h->item[down + 1].dist2 > h->item[down].dist2)
            down++;
        if (h->item[down].dist2 <= x.dist2)
            break;
        h->item[i] = h->item[down];
    }
    h->item[i] = x;
}

/* Keep the fewest nearest rows that weigh enough together. */
static void heap_offer(struct heap *h, struct held x, double enough)
{
    heap_push(h, x);
    while (h->n > 1 && h->weight - h->item[0].weight >= enough)
        heap_pop(h);
    if (h->weight >= enough)
        h->bound = h->item[0].dist2;
}

static void reach_into_leaf(struct reach_walk *w, size_t leaf, const double *box)
{
    const struct kymo_kdtree *t = w->all->t;
    const double *own = kymo_kdtree_bucket(t, w->leaf);
    double dist2[ROWS];
    uint64_t rows = w->rows & kymo_bucket_near_box(t->d, box, own, w->bound);
    for (; rows; rows &= rows - 1) {
        const size_t r = (size_t)__builtin_ctzll(rows);
        struct heap *h = &w->heap[r];
        uint64_t near = kymo_kdtree_near(t, w->leaf * ROWS + r, leaf, h->bound, dist2);
        for (; near; near &= near - 1) {
            const size_t q = (size_t)__builtin_ctzll(near);
            const double weight = t->slot_weight ? t->slot_weight[leaf * ROWS + q] : 1;
            if (dist2[q] < h->bound || h->weight < w->all->weight)
                heap_offer(h, (struct held){dist2[q], weight}, w->all->weight);
        }
    }
    w->bound = 0;
    for (size_t r = 0; r < ROWS; r++)
        if (w->rows >> r & 1)
            w->bound = w->heap[r].bound > w->bound ? w->heap[r].bound : w->bound;
}

/* gap: squared distance of the node's box to the leaf's, already known. What is just at the bound does
 * not move it, so equal rows without end are not walked through. */
static void reach_walk_node(struct reach_walk *w, struct kymo_kdnode v, double gap)
{
    const struct kymo_kdtree *t = w->all->t;
    if (gap >= w->bound)
        return;
    if (kymo_kdnode_is_leaf(v)) {
        if (v.lo != w->leaf)
            reach_into_leaf(w, v.lo, kymo_kdtree_box(t, v.i));
        return;
    }
    const struct kymo_kdnode l = kymo_kdnode_left(v), r = kymo_kdnode_right(v);
    const double gap_l = kymo_box_nearest(t->d, w->box, kymo_kdtree_box(t, l.i));
    const double gap_r = kymo_box_nearest(t->d, w->box, kymo_kdtree_box(t, r.i));
    if (gap_l <= gap_r)
        reach_walk_node(w, l, gap_l);
    reach_walk_node(w, r, gap_r);
    if (gap_l > gap_r)
        reach_walk_node(w, l, gap_l);
}

static void reach_of_leaf(const struct reaching *all, size_t leaf, struct held *item)
{
    const struct kymo_kdtree *t = all->t;
    struct reach_walk w = {.all = all, .leaf = leaf, .rows = kymo_kdtree_rows(t, leaf)};
    for (size_t r = 0; r < ROWS; r++)
        w.heap[r] = (struct heap){.item = item + r * all->heap_items, .bound = DBL_MAX};
    const int stopped = all->stop && *all->stop;
    if (!stopped) {
        w.bound = DBL_MAX;
        w.box = kymo_kdtree_box(t, kymo_kdtree_leaf(t, leaf).i);
        reach_into_leaf(&w, leaf, w.box);
        reach_walk_node(&w, kymo_kdtree_root(t), 0);
    }
    for (size_t r = 0; r < ROWS; r++) {
        const int reached = !stopped && w.heap[r].weight >= all->weight;
        all->reach2[leaf * ROWS + r] = !(w.rows >> r & 1) ? 0
                                       : reached          ? w.heap[r].item[0].dist2
                                                          : INFINITY;
    }
}

static void reach_block(void *ctx, size_t block)
{
    const struct reaching *all = ctx;
    const size_t n = all->t->n_leaves;
    struct held *item = all->item + block * ROWS * all->heap_items;
    for (size_t leaf = block * n / all->n_blocks; leaf < (block + 1) * n / all->n_blocks;
         leaf++)
        reach_of_leaf(all, leaf, item);
}

/* The most rows that a heap holds at once: those that weigh less than enough, and two. */
static size_t heap_items(const struct kymo_kdtree *t, double enough)
{
    double least = t->slot_weight ? INFINITY : 1;
    for (size_t leaf = 0; t->slot_weight && leaf < t->n_leaves; leaf++)
        for (uint64_t rows = kymo_kdtree_rows(t, leaf); rows; rows &= rows - 1) {
            const double w = t->slot_weight[leaf * ROWS + (size_t)__builtin_ctzll(rows)];
            least = w < least ? w : least;
        }
    const double items = enough / least * (1 + 1e-9) + 3;
    return items < (double)t->n + 1 ? (size_t)items : t->n + 1;
}

kymo_status kymo_kdtree_reach(const struct kymo_kdtree *t, double weight, unsigned n_threads,
                              const volatile sig_atomic_t *stop, size_t cap_bytes,
                              double *reach2, struct kymo_err *err)
{
    /* Leaves do not depend on one another: blocks may follow the threads. */
    const size_t wanted = (size_t)n_threads * BLOCKS_PER_THREAD;
    struct reaching all = {.t = t, .weight = weight, .stop = stop, .reach2 = reach2};
    all.n_blocks = wanted < 1 ? 1 : wanted < t->n_leaves ? wanted : t->n_leaves;
    all.heap_items = heap_items(t, weight);
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, cap_bytes);
    all.item = kymo_arena_alloc_raw(&scratch, all.n_blocks * ROWS,
                                    all.heap_items * sizeof(struct held));
    if (!all.item) {
        kymo_arena_release(&scratch);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "%zu neighbours of a row pass the memory budget", all.heap_items);
    }
    kymo_parallel(all.n_blocks, n_threads, reach_block, &all);
    kymo_arena_release(&scratch);
    return KYMO_OK;
}
