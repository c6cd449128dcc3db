/* SPDX-License-Identifier: Apache-2.0
 * Centroid linkage on means. A merge may bring clusters nearer, so neighbours that are each other's
 * nearest need not stay so: the two nearest of all are merged, one pair after the other. Each cluster
 * keeps a neighbour and a bound below which none of its distances lies; a bound is made true only
 * when it is the least of all.
 */
#include <math.h>
#include <string.h>

#include "analyze/core/linkage_own.h"
#include "format/num/parallel.h"
#include "format/num/simd/distrow.h"

#define LANES KYMO_DISTROW_LANES
#define QUERIES KYMO_DISTROW_QUERIES
#define DEAD UINT32_MAX
#define FIRST_ROWS 64u /* of a block of first neighbours */

struct means {
    size_t n, d, n_panels;
    double *C, *w;   /* [n,d], [n] */
    double *panel;   /* [n_panels, d, 8] */
    uint32_t *used;  /* [n_panels] */
    uint32_t *birth; /* [n] merge that made the cluster; DEAD */
    double *bound;   /* [n] */
    uint32_t *nn;    /* [n] */
    uint32_t *nn_birth;
    double *out;   /* [desks, 4, n_panels * 8] */
    double *query; /* [desks, d, 4] */
};

static void put(struct means *m, size_t i)
{
    for (size_t j = 0; j < m->d; j++)
        m->panel[(i / LANES * m->d + j) * LANES + i % LANES] = m->C[i * m->d + j];
}

/* Where distances() puts what it finds, and its query, for one of the blocks that run at once. */
struct desk {
    double *out[4];
    double *query;
};

static struct desk desk_of(const struct means *m, size_t i)
{
    const size_t width = m->n_panels * LANES;
    double *o = m->out + i * QUERIES * width;
    return (struct desk){{o, o + width, o + 2 * width, o + 3 * width},
                         m->query + i * QUERIES * m->d};
}

/* Distances of n <= 4 clusters to all; INFINITY to themselves and to what is no cluster. */
static void distances(const struct means *m, size_t n, const size_t *of,
                      const struct desk *desk)
{
    for (size_t q = 0; q < QUERIES; q++)
        for (size_t j = 0; j < m->d; j++)
            desk->query[j * QUERIES + q] = m->C[of[q < n ? q : 0] * m->d + j];
    if (n == 1)
        kymo_dist_panels_one(m->n_panels, m->d, m->panel, desk->query, 0, desk->out[0]);
    else
        kymo_dist_panels(m->n_panels, m->d, m->panel, m->used, desk->query, 0, desk->out);
    for (size_t q = 0; q < n; q++) {
        for (size_t i = 0; i < m->n; i++)
            if (m->birth[i] == DEAD)
                desk->out[q][i] = INFINITY;
        desk->out[q][of[q]] = INFINITY;
    }
}

static void set_neighbour(struct means *m, size_t i, const double *out)
{
    size_t where;
    m->bound[i] = kymo_row_min(m->n, out, &where);
    m->nn[i] = (uint32_t)where;
    m->nn_birth[i] = m->birth[where];
}

/* First neighbours, so many blocks at a time as there are desks. */
struct first {
    struct means *m;
    size_t at;
};

static void first_block(void *ctx, size_t i)
{
    const struct first *f = ctx;
    struct means *m = f->m;
    const struct desk desk = desk_of(m, i);
    const size_t lo = (f->at + i) * FIRST_ROWS;
    const size_t hi = lo + FIRST_ROWS < m->n ? lo + FIRST_ROWS : m->n;
    for (size_t r = lo; r < hi; r += QUERIES) {
        const size_t n = hi - r < QUERIES ? hi - r : QUERIES;
        const size_t of[4] = {r, r + 1, r + 2, r + 3};
        distances(m, n, of, &desk);
        for (size_t q = 0; q < n; q++)
            set_neighbour(m, r + q, desk.out[q]);
    }
}

/* The pair of the least distance; bounds that turn out too low are made true on the way. */
static size_t find_nearest(struct means *m)
{
    const struct desk desk = desk_of(m, 0);
    for (;;) {
        size_t i;
        (void)kymo_row_min(m->n, m->bound, &i);
        const uint32_t s = m->nn[i];
        if (m->birth[s] == m->nn_birth[i])
            return i;
        distances(m, 1, &i, &desk);
        set_neighbour(m, i, desk.out[0]);
    }
}

static void merge(struct means *m, size_t a, size_t b, uint32_t birth)
{
    const struct desk desk = desk_of(m, 0);
    const double w = m->w[a] + m->w[b], share = m->w[b] / w;
    for (size_t j = 0; j < m->d; j++)
        m->C[a * m->d + j] += share * (m->C[b * m->d + j] - m->C[a * m->d + j]);
    m->w[a] = w;
    m->birth[a] = birth;
    m->birth[b] = DEAD;
    m->bound[b] = INFINITY;
    m->used[b / LANES]--;
    put(m, a);
    distances(m, 1, &a, &desk);
    set_neighbour(m, a, desk.out[0]);
    for (size_t i = 0; i < m->n; i++)
        if (desk.out[0][i] < m->bound[i] && m->birth[i] != DEAD) {
            m->bound[i] = desk.out[0][i];
            m->nn[i] = (uint32_t)a;
            m->nn_birth[i] = birth;
        }
}

static kymo_status means_init(struct means *m, struct kymo_linkage_job *j, size_t blocks,
                              struct kymo_err *err)
{
    struct kymo_arena *a = j->scratch;
    const size_t n = m->n, d = m->d;
    m->n_panels = (n + LANES - 1) / LANES;
    m->C = kymo_arena_alloc_raw(a, n, d * sizeof(double));
    m->w = KYMO_NEW_RAW(a, double, n);
    m->panel = kymo_arena_alloc(a, m->n_panels * LANES, d * sizeof(double));
    m->used = KYMO_NEW(a, uint32_t, m->n_panels);
    m->birth = KYMO_NEW(a, uint32_t, n);
    m->bound = KYMO_NEW_RAW(a, double, n);
    m->nn = KYMO_NEW_RAW(a, uint32_t, n);
    m->nn_birth = KYMO_NEW_RAW(a, uint32_t, n);
    m->out = kymo_arena_alloc_raw(a, blocks * QUERIES, m->n_panels * LANES * sizeof(double));
    m->query = kymo_arena_alloc_raw(a, blocks * QUERIES, d * sizeof(double));
    if (!m->C || !m->w || !m->panel || !m->used || !m->birth || !m->bound || !m->nn ||
        !m->nn_birth || !m->out || !m->query)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the means of %zu rows by %zu columns pass the memory budget", n, d);
    for (size_t i = 0; i < n; i++) {
        kymo_dense_row(j->in->rows, i, m->C + i * d);
        m->w[i] = kymo_linkage_weight(j, i);
        m->used[i / LANES]++;
        put(m, i);
    }
    return KYMO_OK;
}

kymo_status kymo_linkage_centroid(struct kymo_linkage_job *j, struct kymo_err *err)
{
    struct means m = {.n = j->n, .d = j->in->rows->d};
    const size_t blocks = (m.n + FIRST_ROWS - 1) / FIRST_ROWS;
    const size_t threads = j->in->n_threads > 1 ? j->in->n_threads : 1;
    const size_t room = blocks < threads ? blocks : threads;
    KYMO_TRY(means_init(&m, j, room, err));
    for (struct first f = {&m, 0}; f.at < blocks; f.at += room)
        kymo_parallel(blocks - f.at < room ? blocks - f.at : room, j->in->n_threads,
                      first_block, &f);
    while (j->n_found + 1 < j->n && !kymo_linkage_stopped(j)) {
        const size_t i = find_nearest(&m);
        const size_t s = m.nn[i], keep = i < s ? i : s, drop = i < s ? s : i;
        kymo_linkage_note(j, (uint32_t)keep, (uint32_t)drop, sqrt(m.bound[i]));
        merge(&m, keep, drop, (uint32_t)j->n_found);
    }
    return KYMO_OK;
}
