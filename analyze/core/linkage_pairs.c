/* SPDX-License-Identifier: Apache-2.0
 * Average and complete linkage without a matrix of all distances.
 *
 * A cluster of several rows keeps its distances to all other clusters as a row of doubles; a single row
 * keeps none, since they follow from the data. So at most half as many rows as there are data are
 * kept, and they get narrower as clusters merge:
 *
 *     slot        0   1   2   3   4   5          1, 4: clusters, 0, 2, 3, 5: single rows
 *     row of 1    x   -   x   x   x   x          distance of 0 and 2: from the data
 *     row of 4    x   x   x   x   -   x          distance of 0 and 1: in the row of 1
 *
 * With c clusters of at least two rows there are no more than n - c slots: c (n - c) <= n^2 / 4 doubles.
 * A join makes the rows of the pairs that hold a single row from the data and from columns of the
 * other rows, then those of pairs of clusters in the place of one of the two; each part is wide
 * work that writes to its own rows only. All other rows hear of a merge through a log, when they are
 * looked at next or when the slots are packed. A column of a single row is the same before and after, so
 * it can be read from any row at any time.
 *
 * Complete linkage works on squared distances, so that its heights are roots taken once.
 */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "analyze/core/linkage_own.h"
#include "analyze/core/pagerows.h"
#include "format/num/parallel.h"
#include "format/num/simd/distrow.h"

#define LANES KYMO_DISTROW_LANES
#define FAR                                                                                    \
    0x1p1000 /* to itself and to slots without a cluster; finite, so that joining keeps it */
/* Columns of the clusters' rows that are brought together at once: n / COLUMNS_SHARE and a few. */
#define COLUMNS_SHARE 64u
#define COLUMNS_MIN 16u
#define COLUMN_ROWS 8u /* rows read side by side: a cache line of what is written */
#define STRIP_AHEAD 4u /* columns asked for before they are read */
#define WORKERS_MAX 64u
#define SEARCH_BLOCK 64u /* slots that one thread searches for at least */

enum kind { DEAD, SINGLE, CLUSTER };

/* Tasks whose single rows are compared with all others together: the first task and single row. */
struct group {
    uint32_t task, single;
};

/* A merge that rows may not know of yet; share is the dropped cluster's of the weight. */
struct logged {
    uint32_t keep, drop;
    double share;
};

struct store {
    int complete;
    size_t slots, d;
    const double *X;    /* [n,d] */
    double *w;          /* [slots] */
    uint32_t *row;      /* [slots] of X, of a single one */
    uint8_t *kind;      /* [slots] */
    uint8_t *joins;     /* [slots] scratch, 0 between uses */
    struct logged *log; /* [log_n] merges since slots were packed */
    size_t log_n;
    uint32_t *seen; /* [slots] merges of the log that a row knows of */
    uint32_t
        *single; /* [n_singles] slots of single rows when slots were packed last, ascending */
    size_t n_singles;
    uint32_t *place; /* [slots] of a single row in single[] and panel */
    double *panel;   /* [n_singles / 8, d, 8]; what is single no more stays until packing */
    uint32_t *used;  /* [n_singles / 8] single rows in a panel */
    struct kymo_page_rows rows; /* of slots; from `fresh` on those a join makes */
    size_t fresh;
    double *mean;              /* [slots,d] of clusters */
    struct kymo_near_set near; /* single rows, and clusters by their means */
    uint32_t *cluster;         /* [n_clusters] their slots, ascending */
    size_t n_clusters;
    uint32_t *dead; /* [n_dead] slots without a cluster, until packing */
    size_t n_dead;
    double *column;      /* scratch: columns of single rows, [singles, n_clusters] */
    size_t column_cells; /* room in it */
    size_t n_workers;
    double **temp;           /* [n_workers] each [8, width]: four rows, and scratch for them */
    double **query;          /* [n_workers] each [d,4] */
    size_t width;            /* slots at first, padded */
    struct group *group;     /* [slots / 2 + 2] scratch */
    uint32_t *list;          /* [2 slots] scratch */
    struct kymo_near *found; /* [slots] scratch */
    unsigned n_threads;
};

/* One join, as its workers see it. */
struct joining {
    struct store *s;
    const struct kymo_slot_pair *pair;
    size_t n_pairs;
    const uint32_t *from; /* or NULL: slots stay */
    size_t n_new;
    const struct logged *log; /* [n_pairs] the pairs in the store's log */
    uint32_t *task;           /* pairs with a single row; then rows to bring up to date */
    size_t log_before;        /* merges in the log before this join's */
    size_t n_tasks;
    size_t batch_lo, batch_hi; /* tasks whose columns are at hand */
    struct group *group;       /* [n_groups + 1] */
    size_t n_groups;
    uint32_t *single; /* [n_singles] single rows of the batch */
    size_t n_singles;
    atomic_size_t next;
};

/* Squared distance of a single row and a cluster, which may be a single row too. */
static double value(const void *ctx, uint32_t q, uint32_t t)
{
    const struct store *s = ctx;
    if (s->kind[t] == SINGLE)
        return kymo_dist2_pair(s->d, s->X + s->row[q] * s->d, s->X + s->row[t] * s->d);
    const double v = *kymo_page_cell(&s->rows, t, q);
    return s->complete ? v : v * v;
}

static double height(const void *store, double v)
{
    const struct store *s = store;
    return s->complete ? sqrt(v) : v;
}

/* The distance to a and b joined, share = w_b / (w_a + w_b). */
static inline double joined(int complete, double share, double a, double b)
{
    if (complete)
        return a > b ? a : b;
    return a + share * (b - a); /* equal ones stay what they are */
}

static double share_of(const struct store *s, struct kymo_slot_pair p)
{
    return s->w[p.drop] / (s->w[p.keep] + s->w[p.drop]);
}

/* into = into and other, joined. */
static void join_rows(const struct store *s, double share, size_t n, double *restrict into,
                      const double *restrict other)
{
    if (s->complete)
        for (size_t i = 0; i < n; i++)
            into[i] = into[i] > other[i] ? into[i] : other[i];
    else
        for (size_t i = 0; i < n; i++)
            into[i] += share * (other[i] - into[i]);
}

/* Distances of up to four single rows to all slots: to[4]. */
static void rows_of_singles(const struct store *s, size_t n, const uint32_t *slot,
                            const double *column, double *query, double *const to[4])
{
    for (size_t q = 0; q < KYMO_DISTROW_QUERIES; q++) {
        const double *x = s->X + s->row[slot[q < n ? q : 0]] * s->d;
        for (size_t j = 0; j < s->d; j++)
            query[j * KYMO_DISTROW_QUERIES + q] = x[j];
    }
    double *const raw[4] = {to[3] + s->width, to[3] + 2 * s->width, to[3] + 3 * s->width,
                            to[3] + 4 * s->width};
    kymo_dist_panels((s->n_singles + LANES - 1) / LANES, s->d, s->panel, s->used, query,
                     !s->complete, raw);
    for (size_t q = 0; q < n; q++) {
        for (size_t p = 0; p < s->n_singles; p++)
            to[q][s->single[p]] = raw[q][p];
        for (size_t t = 0; t < s->n_dead; t++)
            to[q][s->dead[t]] = FAR;
        for (size_t c = 0; c < s->n_clusters; c++)
            to[q][s->cluster[c]] = column[q * s->n_clusters + c];
    }
}

/* The same page of some clusters' rows side by side. */
struct strip {
    size_t page, n;
    const double *at[COLUMN_ROWS];
};

/* Have the page of a column at hand, of the rows of clusters lo and on, and its cells of a column to
 * come on their way; returns the place in the page. */
static inline size_t strip_cell(const struct store *s, struct strip *strip, size_t lo,
                                size_t column, size_t next)
{
    const size_t page = column / KYMO_PAGE_DOUBLES;
    if (page != strip->page) {
        strip->page = page;
        strip->n = s->n_clusters - lo < COLUMN_ROWS ? s->n_clusters - lo : COLUMN_ROWS;
        for (size_t t = 0; t < strip->n; t++)
            strip->at[t] = kymo_page(&s->rows, s->cluster[lo + t], page);
    }
    if (next / KYMO_PAGE_DOUBLES == page)
        for (size_t t = 0; t < strip->n; t++)
            __builtin_prefetch(strip->at[t] + next % KYMO_PAGE_DOUBLES);
    return column % KYMO_PAGE_DOUBLES;
}

static void read_row(const struct store *s, size_t slot, double *to)
{
    for (size_t at = 0, p = 0; at < s->slots; at += KYMO_PAGE_DOUBLES, p++) {
        const size_t left = s->slots - at;
        memcpy(to + at, kymo_page(&s->rows, slot, p),
               (left < KYMO_PAGE_DOUBLES ? left : KYMO_PAGE_DOUBLES) * sizeof(double));
    }
}

/* Merges lo..hi-1 of the log into a row, but for what is its own slot. */
static void apply_log(const struct store *s, size_t lo, size_t hi, size_t own, double *row)
{
    for (const struct logged *e = s->log + lo; e < s->log + hi; e++) {
        if (e->keep != own)
            row[e->keep] = joined(s->complete, e->share, row[e->keep], row[e->drop]);
        row[e->drop] = FAR;
    }
}

/* Bring a row up to merge hi of the log, in its place. */
static void catch_up(const struct store *s, size_t slot, size_t hi)
{
    for (const struct logged *e = s->log + s->seen[slot]; e < s->log + hi; e++) {
        double *a = kymo_page_cell(&s->rows, slot, e->keep);
        double *b = kymo_page_cell(&s->rows, slot, e->drop);
        *a = joined(s->complete, e->share, *a, *b);
        *b = FAR;
    }
    s->seen[slot] = (uint32_t)hi;
}

/* A row that knows of merges before `seen` into its place. own: its slot, if one of this join's pairs
 * is its own, or SIZE_MAX. */
static void write_row(const struct joining *g, double *row, size_t seen, size_t own,
                      size_t place)
{
    const struct store *s = g->s;
    apply_log(s, seen, s->log_n, own, row);
    if (own != SIZE_MAX)
        row[own] = FAR;
    const size_t n = g->from ? g->n_new : s->slots;
    for (size_t at = 0, p = 0; at < n; at += KYMO_PAGE_DOUBLES, p++) {
        double *to = kymo_page(&s->rows, place, p);
        const size_t left = n - at < KYMO_PAGE_DOUBLES ? n - at : KYMO_PAGE_DOUBLES;
        if (g->from)
            for (size_t i = 0; i < left; i++)
                to[i] = row[g->from[at + i]];
        else
            memcpy(to, row + at, left * sizeof(double));
    }
}

/* Columns of the batch's single rows out of some clusters' rows. Row after row, since one page of a
 * row holds many of the columns, while a column would touch every page of all rows. */
static void column_block(void *ctx, size_t block)
{
    const struct joining *g = ctx;
    const struct store *s = g->s;
    const size_t lo = block * COLUMN_ROWS;
    struct strip strip = {SIZE_MAX, 0, {NULL}};
    for (size_t i = 0; i < g->n_singles; i++) {
        const size_t next = i + STRIP_AHEAD < g->n_singles ? i + STRIP_AHEAD : i;
        const size_t c = strip_cell(s, &strip, lo, g->single[i], g->single[next]);
        double *to = s->column + i * s->n_clusters + lo;
        for (size_t t = 0; t < strip.n; t++)
            to[t] = strip.at[t][c];
    }
}

/* Pairs that hold a single row: rows made anew. */
static void make_group(struct joining *g, size_t group, double *temp, double *query)
{
    struct store *s = g->s;
    double *const to[4] = {temp, temp + s->width, temp + 2 * s->width, temp + 3 * s->width};
    const size_t lo = g->group[group].task, hi = g->group[group + 1].task;
    const size_t first = g->group[group].single;
    rows_of_singles(s, g->group[group + 1].single - first, g->single + first,
                    s->column + first * s->n_clusters, query, to);
    size_t at = 0;
    for (size_t i = lo; i < hi; i++) {
        const struct kymo_slot_pair *e = &g->pair[g->task[i]];
        double share = g->log[g->task[i]].share;
        assert(at < 4);
        double *into = to[at];
        if (s->kind[e->keep] == SINGLE && s->kind[e->drop] == SINGLE) {
            assert(at + 1 < 4);
            join_rows(s, share, s->slots, into, to[++at]);
        } else {
            const int keeps = s->kind[e->keep] == SINGLE;
            const size_t other = keeps ? e->drop : e->keep;
            if (!keeps)
                share = 1 - share;
            catch_up(s, other, g->log_before);
            for (size_t c = 0, p = 0; c < s->slots; c += KYMO_PAGE_DOUBLES, p++) {
                const size_t left = s->slots - c;
                join_rows(s, share, left < KYMO_PAGE_DOUBLES ? left : KYMO_PAGE_DOUBLES,
                          into + c, kymo_page(&s->rows, other, p));
            }
        }
        at++;
        write_row(g, into, g->log_before, e->keep, s->fresh + i);
    }
}

static void read_known(const struct joining *g, size_t slot, double *to)
{
    read_row(g->s, slot, to);
    apply_log(g->s, g->s->seen[slot], g->log_before, SIZE_MAX, to);
}

/* Row of a cluster that lives on, or, for a task past the slots, of a pair of clusters. */
static void update_row(struct joining *g, size_t i, double *temp)
{
    struct store *s = g->s;
    const uint32_t t = g->task[i];
    if (t < s->fresh) {
        read_row(s, t, temp);
        write_row(g, temp, s->seen[t], SIZE_MAX, t);
        return;
    }
    const struct logged *e = &g->log[t - s->fresh];
    read_known(g, e->keep, temp);
    read_known(g, e->drop, temp + s->width);
    join_rows(s, e->share, s->slots, temp, temp + s->width);
    write_row(g, temp, g->log_before, e->keep, e->keep);
}

static void make_worker(void *ctx, size_t w)
{
    struct joining *g = ctx;
    for (size_t i;
         (i = atomic_fetch_add_explicit(&g->next, 1, memory_order_relaxed)) < g->n_groups;)
        make_group(g, i, g->s->temp[w], g->s->query[w]);
}

static void update_worker(void *ctx, size_t w)
{
    struct joining *g = ctx;
    for (size_t i;
         (i = atomic_fetch_add_explicit(&g->next, 1, memory_order_relaxed)) < g->n_tasks;)
        update_row(g, i, g->s->temp[w]);
}

static void run_workers(struct joining *g, size_t tasks, void (*fn)(void *, size_t))
{
    atomic_store_explicit(&g->next, 0, memory_order_relaxed);
    kymo_parallel(tasks < g->s->n_workers ? tasks : g->s->n_workers, g->s->n_threads, fn, g);
}

static int holds_single(const struct store *s, struct kymo_slot_pair p)
{
    return s->kind[p.keep] == SINGLE || s->kind[p.drop] == SINGLE;
}

static size_t list_updates(struct joining *g)
{
    const struct store *s = g->s;
    size_t n = 0;
    for (size_t p = 0; p < g->n_pairs; p++)
        if (!holds_single(s, g->pair[p]))
            g->task[n++] = (uint32_t)(s->fresh + p);
    if (!g->from)
        return n; /* others catch up when they are looked at */
    for (size_t p = 0; p < g->n_pairs; p++) {
        s->joins[g->pair[p].keep] = 1;
        s->joins[g->pair[p].drop] = 1;
    }
    for (size_t t = 0; t < s->slots; t++)
        if (s->kind[t] == CLUSTER && !s->joins[t])
            g->task[n++] = (uint32_t)t;
    memset(s->joins, 0, s->slots);
    return n;
}

static void leave_singles(struct store *s, size_t slot)
{
    if (s->kind[slot] == SINGLE)
        s->used[s->place[slot] / LANES]--;
}

/* The mean of a pair, before its weights are added up. */
static void join_means(struct store *s, struct kymo_slot_pair e)
{
    double *a = s->mean + e.keep * s->d;
    const double *b = s->mean + e.drop * s->d, share = share_of(s, e);
    for (size_t j = 0; j < s->d; j++)
        a[j] += share * (b[j] - a[j]);
    kymo_near_put(&s->near, e.keep, a, 0.5, e.keep);
    kymo_near_drop(&s->near, e.drop);
}

/* Rows go to the slots that keep them. fresh rows are numbered as pairs with a single row are met. */
static void settle(struct joining *g)
{
    struct store *s = g->s;
    size_t made = 0;
    for (size_t p = 0; p < g->n_pairs; p++) {
        const struct kymo_slot_pair e = g->pair[p];
        const int anew = holds_single(s, e);
        leave_singles(s, e.keep);
        leave_singles(s, e.drop);
        kymo_page_rows_trim(&s->rows, e.drop, 0);
        if (anew) {
            kymo_page_rows_trim(&s->rows, e.keep, 0);
            kymo_page_rows_move(&s->rows, s->fresh + made++, e.keep);
        }
        join_means(s, e);
        s->w[e.keep] += s->w[e.drop];
        s->kind[e.keep] = CLUSTER;
        s->kind[e.drop] = DEAD;
        s->seen[e.keep] = (uint32_t)s->log_n;
    }
}

/* Single rows close up in their panels. Before kinds move to their new slots. */
static void pack_singles(struct store *s, size_t n_new, const uint32_t *from)
{
    memset(s->used, 0, ((s->n_singles + LANES - 1) / LANES) * sizeof(*s->used));
    size_t n = 0;
    for (size_t i = 0; i < n_new; i++) {
        if (s->kind[from[i]] != SINGLE)
            continue;
        const size_t f = s->place[from[i]];
        for (size_t j = 0; j < s->d && f != n; j++)
            s->panel[(n / LANES * s->d + j) * LANES + n % LANES] =
                s->panel[(f / LANES * s->d + j) * LANES + f % LANES];
        s->place[i] = (uint32_t)n;
        s->used[n / LANES]++;
        s->single[n++] = (uint32_t)i;
    }
    s->n_singles = n;
}

static void pack(struct store *s, size_t n_new, const uint32_t *from)
{
    pack_singles(s, n_new, from);
    for (size_t i = 0; i < n_new; i++) {
        const size_t f = from[i];
        if (s->kind[f] == CLUSTER)
            kymo_page_rows_trim(&s->rows, f, n_new);
        if (f == i)
            continue;
        if (s->kind[f] == CLUSTER)
            kymo_page_rows_move(&s->rows, f, i);
        memcpy(s->mean + i * s->d, s->mean + f * s->d, s->d * sizeof(double));
        s->w[i] = s->w[f];
        s->row[i] = s->row[f];
        s->kind[i] = s->kind[f];
    }
    kymo_near_compact(&s->near, n_new, from);
    for (size_t i = 0; i < n_new; i++)
        kymo_near_regroup(&s->near, i, (uint32_t)i);
    memset(s->seen, 0, n_new * sizeof(*s->seen));
    s->log_n = 0;
    s->slots = n_new;
}

/* Tasks from batch_lo on in groups of at most four single rows, as many as there is room for the
 * columns of. */
static void plan_batch(struct joining *g, size_t room)
{
    const struct store *s = g->s;
    size_t in_group = KYMO_DISTROW_QUERIES, i = g->batch_lo;
    g->n_singles = g->n_groups = 0;
    for (; i < g->n_tasks && g->n_singles + 2 <= room; i++) {
        const struct kymo_slot_pair *e = &g->pair[g->task[i]];
        const int a = s->kind[e->keep] == SINGLE, b = s->kind[e->drop] == SINGLE;
        if (in_group + (size_t)(a + b) > KYMO_DISTROW_QUERIES) {
            g->group[g->n_groups++] = (struct group){(uint32_t)i, (uint32_t)g->n_singles};
            in_group = 0;
        }
        if (a)
            g->single[g->n_singles++] = e->keep;
        if (b)
            g->single[g->n_singles++] = e->drop;
        in_group += (size_t)(a + b);
    }
    g->group[g->n_groups] = (struct group){(uint32_t)i, (uint32_t)g->n_singles};
    g->batch_hi = i;
}

static void make_rows(struct joining *g)
{
    struct store *s = g->s;
    const size_t room = s->n_clusters ? s->column_cells / s->n_clusters : SIZE_MAX;
    for (g->batch_lo = 0; g->batch_lo < g->n_tasks; g->batch_lo = g->batch_hi) {
        plan_batch(g, room);
        kymo_parallel((s->n_clusters + COLUMN_ROWS - 1) / COLUMN_ROWS, s->n_threads,
                      column_block, g);
        run_workers(g, g->n_groups, make_worker);
    }
}

static void list_clusters(struct store *s)
{
    s->n_clusters = s->n_dead = 0;
    for (size_t t = 0; t < s->slots; t++)
        if (s->kind[t] == CLUSTER)
            s->cluster[s->n_clusters++] = (uint32_t)t;
        else if (s->kind[t] == DEAD)
            s->dead[s->n_dead++] = (uint32_t)t;
}

static kymo_status join(void *store, size_t n_pairs, const struct kymo_slot_pair *pair,
                        size_t n_new, const uint32_t *from, struct kymo_err *err)
{
    struct store *s = store;
    struct joining g = {.s = s, .pair = pair, .n_pairs = n_pairs, .from = from, .n_new = n_new};
    g.task = s->list;
    g.single = s->list + s->slots; /* a task has at most two, and is done with before updates */
    g.group = s->group;
    g.log = s->log + s->log_n;
    g.log_before = s->log_n;
    for (size_t p = 0; p < n_pairs; p++)
        s->log[s->log_n++] = (struct logged){pair[p].keep, pair[p].drop, share_of(s, pair[p])};
    for (size_t p = 0; p < n_pairs; p++)
        if (holds_single(s, pair[p])) {
            KYMO_TRY(kymo_page_rows_add(&s->rows, s->fresh + g.n_tasks, from ? n_new : s->slots,
                                        err));
            g.task[g.n_tasks++] = (uint32_t)p;
        }
    make_rows(&g);
    g.n_tasks = list_updates(&g);
    run_workers(&g, g.n_tasks, update_worker);
    settle(&g);
    if (from)
        pack(s, n_new, from);
    list_clusters(s);
    return KYMO_OK;
}

/* -- the search ------------------------------------------------------------------------------- */

struct looking {
    struct store *s;
    size_t n_q;
    const uint32_t *q;
    struct kymo_near *best;
};

/* The nearest of clusters of several rows. */
static void look_block(void *ctx, size_t block)
{
    const struct looking *l = ctx;
    const struct store *s = l->s;
    const size_t lo = block * SEARCH_BLOCK;
    const size_t hi = lo + SEARCH_BLOCK < l->n_q ? lo + SEARCH_BLOCK : l->n_q;
    for (size_t i = lo; i < hi; i++) {
        if (s->kind[l->q[i]] == SINGLE)
            continue;
        catch_up(s, l->q[i], s->log_n);
        l->best[i] = (struct kymo_near){INFINITY, KYMO_NEAR_NONE};
        for (size_t at = 0, p = 0; at < s->slots; at += KYMO_PAGE_DOUBLES, p++) {
            const size_t left = s->slots - at;
            size_t where;
            const double v = kymo_row_min(left < KYMO_PAGE_DOUBLES ? left : KYMO_PAGE_DOUBLES,
                                          kymo_page(&s->rows, l->q[i], p), &where);
            if (v < l->best[i].value)
                l->best[i] = (struct kymo_near){v, (uint32_t)(at + where)};
        }
    }
}

/* A single row is no nearer to a cluster, on average or at most, than to its mean: so means tell
 * which clusters' rows to look into. */
static void search(void *store, size_t n_q, const uint32_t *q, struct kymo_near *best)
{
    struct store *s = store;
    size_t n = 0;
    for (size_t i = 0; i < n_q; i++)
        if (s->kind[q[i]] == SINGLE) {
            if (isnan(best[i].value))
                best[i].value = value(s, q[i], best[i].slot);
            s->list[n] = q[i];
            s->found[n++] = best[i];
        }
    kymo_near_search(&s->near, n, s->list, s->found, value, s, s->n_threads);
    n = 0;
    for (size_t i = 0; i < n_q; i++)
        if (s->kind[q[i]] == SINGLE) {
            best[i] = s->found[n++];
            if (!s->complete)
                best[i].value = sqrt(best[i].value); /* of a square: what was squared */
        }
    struct looking l = {s, n_q, q, best};
    kymo_parallel((n_q + SEARCH_BLOCK - 1) / SEARCH_BLOCK, s->n_threads, look_block, &l);
}

/* -- the call --------------------------------------------------------------------------------- */

static kymo_status no_memory(size_t n, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the clusters of %zu rows pass the memory budget", n);
}

static kymo_status make_scratch(struct store *s, struct kymo_arena *a, struct kymo_err *err)
{
    s->list = KYMO_NEW_RAW(a, uint32_t, 2 * s->slots + 2);
    s->found = KYMO_NEW_RAW(a, struct kymo_near, s->slots);
    s->group = KYMO_NEW_RAW(a, struct group, s->slots / 2 + 2);
    s->log = KYMO_NEW_RAW(a, struct logged, s->slots);
    s->dead = KYMO_NEW_RAW(a, uint32_t, s->slots);
    s->seen = KYMO_NEW(a, uint32_t, s->slots);
    s->cluster = KYMO_NEW_RAW(a, uint32_t, s->slots / 2 + 1);
    s->column_cells = s->slots * (s->slots / COLUMNS_SHARE + COLUMNS_MIN);
    s->column = KYMO_NEW_RAW(a, double, s->column_cells);
    s->n_workers = s->n_threads < 1 ? 1 : s->n_threads;
    if (s->n_workers > WORKERS_MAX)
        s->n_workers = WORKERS_MAX;
    s->temp = KYMO_NEW(a, double *, s->n_workers);
    s->query = KYMO_NEW(a, double *, s->n_workers);
    if (!s->list || !s->found || !s->log || !s->dead || !s->seen || !s->group || !s->cluster ||
        !s->column || !s->temp || !s->query)
        return no_memory(s->slots, err);
    for (size_t i = 0; i < s->n_workers; i++) {
        s->temp[i] = KYMO_NEW_RAW(a, double, 8 * s->width);
        s->query[i] = KYMO_NEW_RAW(a, double, 4 * s->d);
        if (!s->temp[i] || !s->query[i])
            return no_memory(s->slots, err);
    }
    return KYMO_OK;
}

static kymo_status store_init(struct store *s, struct kymo_linkage_job *j, struct kymo_err *err)
{
    struct kymo_arena *a = j->scratch;
    const struct kymo_dense *x = j->in->rows;
    const size_t n = j->n, d = x->d;
    double *rows = x->f32 ? kymo_arena_alloc_raw(a, n, d * sizeof(double)) : NULL;
    s->width = (n + LANES - 1) / LANES * LANES;
    s->w = KYMO_NEW_RAW(a, double, n);
    s->row = KYMO_NEW_RAW(a, uint32_t, n);
    s->kind = KYMO_NEW_RAW(a, uint8_t, n);
    s->joins = KYMO_NEW(a, uint8_t, n);
    s->mean = kymo_arena_alloc_raw(a, n, d * sizeof(double));
    s->panel = kymo_arena_alloc(a, s->width, d * sizeof(double));
    s->used = KYMO_NEW(a, uint32_t, s->width / LANES);
    s->single = KYMO_NEW_RAW(a, uint32_t, n);
    s->place = KYMO_NEW_RAW(a, uint32_t, n);
    if ((x->f32 && !rows) || !s->w || !s->row || !s->kind || !s->joins || !s->mean ||
        !s->panel || !s->used || !s->single || !s->place)
        return no_memory(n, err);
    KYMO_TRY(make_scratch(s, a, err));
    KYMO_TRY(kymo_near_init(&s->near, x, a, err));
    s->fresh = n;
    s->n_singles = n;
    KYMO_TRY(kymo_page_rows_init(&s->rows, n + n / 2 + 1, n, a, err));
    for (size_t i = 0; rows && i < n; i++)
        kymo_dense_row(x, i, rows + i * d);
    s->X = x->f32 ? rows : x->f64;
    for (size_t i = 0; i < n; i++) {
        s->w[i] = kymo_linkage_weight(j, i);
        s->row[i] = (uint32_t)i;
        s->kind[i] = SINGLE;
        s->used[i / LANES]++;
        s->single[i] = s->place[i] = (uint32_t)i;
        for (size_t c = 0; c < d; c++)
            s->panel[(i / LANES * d + c) * LANES + i % LANES] = s->X[i * d + c];
        memcpy(s->mean + i * d, s->X + i * d, d * sizeof(double));
        kymo_near_put(&s->near, i, s->X + i * d, 0.5, (uint32_t)i);
    }
    return KYMO_OK;
}

kymo_status kymo_linkage_pairs(struct kymo_linkage_job *j, struct kymo_err *err)
{
    static const struct kymo_slots_ops ops = {search, join, height};
    struct store s = {.complete = j->in->method == KYMO_LINKAGE_COMPLETE,
                      .slots = j->n,
                      .d = j->in->rows->d,
                      .n_threads = j->in->n_threads};
    KYMO_TRY(store_init(&s, j, err));
    return kymo_reciprocal(j, &ops, &s, err);
}
