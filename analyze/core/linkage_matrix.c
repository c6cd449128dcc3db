/* SPDX-License-Identifier: Apache-2.0
 * All methods on given distances, by recurrences (Lance, Williams) and Müllner's generic algorithm:
 * every cluster keeps its nearest among those of higher slots, with a bound that is made true only
 * when it is the least of all. Of a pair the higher slot keeps the cluster.
 */
#include <math.h>
#include <string.h>

#include "analyze/core/linkage_own.h"
#include "format/base/size.h"
#include "format/num/simd/distrow.h"

struct matrix {
    enum kymo_linkage_method method;
    size_t n;
    double *D;        /* condensed; squares for ward and centroid */
    double *w;        /* [n] */
    double *top;      /* [n] height of a cluster */
    double *bound;    /* [n] to the nearest of higher slots; INFINITY: none, or no cluster */
    uint32_t *nn;     /* [n] */
    uint8_t *is_live; /* [n] */
};

static size_t row_start(size_t n, size_t i)
{
    return i * (2 * n - i - 1) / 2;
}

static double *cell(const struct matrix *m, size_t a, size_t b)
{
    const size_t i = a < b ? a : b, j = a < b ? b : a;
    return m->D + row_start(m->n, i) + (j - i - 1);
}

static void find_neighbour(struct matrix *m, size_t i)
{
    m->bound[i] = INFINITY;
    m->nn[i] = KYMO_NEAR_NONE;
    const double *row = m->D + row_start(m->n, i);
    for (size_t j = i + 1; j < m->n; j++)
        if (m->is_live[j] && (row[j - i - 1] < m->bound[i] || m->nn[i] == KYMO_NEAR_NONE)) {
            m->bound[i] = row[j - i - 1];
            m->nn[i] = (uint32_t)j;
        }
}

/* Distance of k to a and b joined. */
static double recur(const struct matrix *m, size_t k, size_t a, size_t b, double ab)
{
    const double ka = *cell(m, k, a), kb = *cell(m, k, b);
    const double wa = m->w[a], wb = m->w[b], wk = m->w[k], share = wb / (wa + wb);
    switch (m->method) {
    case KYMO_LINKAGE_WARD:
        return fmax(0, ((wa + wk) * ka + (wb + wk) * kb - wk * ab) / (wa + wb + wk));
    case KYMO_LINKAGE_AVERAGE:
        return ka + share * (kb - ka);
    case KYMO_LINKAGE_COMPLETE:
        return ka > kb ? ka : kb;
    case KYMO_LINKAGE_SINGLE:
        return ka < kb ? ka : kb;
    case KYMO_LINKAGE_CENTROID:
        break;
    }
    return fmax(0, ka + share * (kb - ka) - share * (1 - share) * ab);
}

static int is_squared(enum kymo_linkage_method method)
{
    return method == KYMO_LINKAGE_WARD || method == KYMO_LINKAGE_CENTROID;
}

static size_t find_nearest(struct matrix *m)
{
    for (;;) {
        size_t i;
        const double bound = kymo_row_min(m->n, m->bound, &i);
        if (m->nn[i] != KYMO_NEAR_NONE && m->is_live[m->nn[i]] &&
            *cell(m, i, m->nn[i]) == bound)
            return i;
        find_neighbour(m, i);
    }
}

static void merge(struct matrix *m, size_t a, size_t b)
{
    const double ab = *cell(m, a, b);
    for (size_t k = 0; k < m->n; k++) {
        if (!m->is_live[k] || k == a || k == b)
            continue;
        const double v = recur(m, k, a, b, ab);
        *cell(m, k, b) = v;
        if (k >= b)
            continue;
        if (v < m->bound[k] || m->nn[k] == a) {
            m->bound[k] = fmin(v, m->bound[k]);
            m->nn[k] = (uint32_t)b;
        }
    }
    m->is_live[a] = 0;
    m->bound[a] = INFINITY;
    m->nn[a] = KYMO_NEAR_NONE;
    m->w[b] += m->w[a];
    find_neighbour(m, b);
}

static void fill(struct matrix *m, const struct kymo_distances *x)
{
    double *to = m->D;
    const double *from = x->at;
    for (size_t i = 0; i < m->n; i++)
        for (size_t j = i + 1; j < m->n; j++) {
            double v = x->form == KYMO_DISTANCES_SQUARE ? x->at[i * m->n + j] : *from++;
            if (is_squared(m->method))
                v *= v;
            if (m->method == KYMO_LINKAGE_WARD)
                v *= 2 * m->w[i] * m->w[j] / (m->w[i] + m->w[j]);
            *to++ = v;
        }
}

kymo_status kymo_linkage_matrix(struct kymo_linkage_job *j, struct kymo_err *err)
{
    struct kymo_arena *a = j->scratch;
    struct matrix m = {.method = j->in->method, .n = j->n};
    size_t cells;
    if (kymo_size_mul(j->n, j->n - 1, &cells))
        m.D = KYMO_NEW_RAW(a, double, cells / 2);
    m.w = KYMO_NEW_RAW(a, double, j->n);
    m.top = KYMO_NEW(a, double, j->n);
    m.bound = KYMO_NEW_RAW(a, double, j->n);
    m.nn = KYMO_NEW_RAW(a, uint32_t, j->n);
    m.is_live = KYMO_NEW_RAW(a, uint8_t, j->n);
    if (!m.D || !m.w || !m.top || !m.bound || !m.nn || !m.is_live)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the distances of %zu rows pass the memory budget", j->n);
    for (size_t i = 0; i < j->n; i++) {
        m.w[i] = kymo_linkage_weight(j, i);
        m.is_live[i] = 1;
    }
    fill(&m, j->in->distances);
    for (size_t i = 0; i < j->n; i++)
        find_neighbour(&m, i);
    while (j->n_found + 1 < j->n && !kymo_linkage_stopped(j)) {
        const size_t lo = find_nearest(&m), hi = m.nn[lo];
        double h = is_squared(m.method) ? sqrt(m.bound[lo]) : m.bound[lo];
        if (m.method != KYMO_LINKAGE_CENTROID)
            h = fmax(h, fmax(m.top[lo], m.top[hi]));
        m.top[hi] = h;
        kymo_linkage_note(j, (uint32_t)lo, (uint32_t)hi, h);
        merge(&m, lo, hi);
    }
    return KYMO_OK;
}
