/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/model/feature_group.h"
#include "format/model/matrix.h"
#include "format/num/assign.h"

static const char *const verdict_names[KYMO_VERDICTS] = {"unknown", "good", "bad"};

const char *kymo_verdict_name(enum kymo_verdict v)
{
    return verdict_names[v];
}

enum kymo_verdict kymo_verdict_value(const char *word)
{
    int v = 0;
    while (v < KYMO_VERDICTS && strcmp(verdict_names[v], word) != 0)
        v++;
    return (enum kymo_verdict)v;
}

void kymo_model_init(struct kymo_model *m)
{
    memset(m, 0, sizeof(*m));
    kymo_arena_init(&m->arena, KYMO_MODEL_BYTES_MAX);
}

void kymo_model_release(struct kymo_model *m)
{
    json_decref(m->fit);
    json_decref(m->provenance);
    json_decref(m->sequence);
    kymo_arena_release(&m->arena);
    memset(m, 0, sizeof(*m));
}

static kymo_status too_large(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the model passes the memory budget of %zu MiB",
                     KYMO_MODEL_BYTES_MAX >> 20);
}

kymo_status kymo_model_shape(struct kymo_model *m, size_t d, size_t k, struct kymo_err *err)
{
    size_t cells;
    if (!kymo_size_mul(d, k, &cells))
        return too_large(err);
    m->d = m->p = d;
    m->k = m->noise = k;
    m->column = KYMO_NEW(&m->arena, struct kymo_model_column, d);
    m->state = KYMO_NEW(&m->arena, struct kymo_state, k);
    m->transition = KYMO_NEW(&m->arena, uint64_t, k * k);
    double *centres = KYMO_NEW(&m->arena, double, cells);
    if (!m->column || !m->state || !m->transition || !centres)
        return too_large(err);
    for (size_t c = 0; c < k; c++)
        m->state[c].centre = m->state[c].point = centres + c * d;
    return KYMO_OK;
}

kymo_status kymo_model_project(struct kymo_model *m, size_t p, struct kymo_err *err)
{
    size_t cells, points;
    if (!kymo_size_mul(p, m->d, &cells) || !kymo_size_mul(m->k, p, &points))
        return too_large(err);
    m->projection_mean = KYMO_NEW(&m->arena, double, m->d);
    m->projection = KYMO_NEW(&m->arena, double, cells);
    double *point = KYMO_NEW(&m->arena, double, points);
    if (!m->projection_mean || !m->projection || !point)
        return too_large(err);
    m->p = p;
    for (size_t c = 0; c < m->k; c++)
        m->state[c].point = point + c * p;
    return KYMO_OK;
}

kymo_status kymo_model_mix(struct kymo_model *m, enum kymo_cov type, struct kymo_err *err)
{
    m->mix = KYMO_NEW(&m->arena, struct kymo_mixture, 1);
    m->mix_less = KYMO_NEW(&m->arena, double, m->k);
    return m->mix && m->mix_less ? kymo_mixture_new(m->mix, type, m->k, m->p, &m->arena, err)
                                 : too_large(err);
}

/* log weight + log det P of a component; -inf without mass. */
static double mix_constant(const struct kymo_mixture *x, size_t c)
{
    const double *f = x->factor;
    double sum = log(x->weight[c]);
    for (size_t j = 0; j < x->d; j++)
        switch (x->type) {
        case KYMO_COV_FULL:
            sum += log(f[c * x->d * x->d + j * x->d + j]);
            break;
        case KYMO_COV_TIED:
            sum += log(f[j * x->d + j]);
            break;
        case KYMO_COV_DIAG:
            sum += log(f[c * x->d + j]);
            break;
        case KYMO_COV_SPHERICAL:
            sum += log(f[c]);
            break;
        }
    return sum;
}

kymo_status kymo_model_ready(struct kymo_model *m, struct kymo_err *err)
{
    if (!m->mix)
        return KYMO_OK;
    for (size_t c = 0; c < m->k; c++)
        memcpy(m->mix->mean + c * m->p, m->state[c].point, m->p * sizeof(double));
    KYMO_TRY(kymo_mixture_factorize(m->mix, err));
    double top = -INFINITY;
    for (size_t c = 0; c < m->k; c++) {
        m->mix_less[c] = mix_constant(m->mix, c);
        top = fmax(top, m->mix_less[c]);
    }
    for (size_t c = 0; c < m->k; c++)
        m->mix_less[c] = 2 * (top - m->mix_less[c]);
    return KYMO_OK;
}

/* -- meaning ---------------------------------------------------------------------------------- */

kymo_status kymo_model_transform(const struct kymo_model *m, const double *x, double *z,
                                 size_t row, struct kymo_err *err)
{
    for (size_t j = 0; j < m->d; j++) {
        const struct kymo_model_column *c = &m->column[j];
        const double bent = kymo_bend(c->bend, x[j]);
        z[j] = c->weight * (bent - c->mean) / c->scale;
        if (!isfinite(z[j]))
            return KYMO_FAIL(
                err, KYMO_EINPUT, KYMO_NOWHERE,
                "column '%.80s' of row %zu is %.17g, which its transform %s does not take",
                c->name, row + 1, x[j], kymo_bend_name(c->bend));
    }
    return KYMO_OK;
}

double kymo_model_raw(const struct kymo_model *m, size_t j, double z)
{
    const struct kymo_model_column *c = &m->column[j];
    if (!(c->weight > 0))
        return kymo_unbend(c->bend, c->mean);
    return kymo_unbend(c->bend, z / c->weight * c->scale + c->mean);
}

const double *kymo_model_place(const struct kymo_model *m, const double *z, double *place)
{
    if (!m->projection)
        return z;
    for (size_t i = 0; i < m->p; i++) {
        const double *axis = m->projection + i * m->d;
        double sum = 0;
        for (size_t j = 0; j < m->d; j++)
            sum += axis[j] * (z[j] - m->projection_mean[j]);
        place[i] = sum;
    }
    return place;
}

/* |P (y - mean)|^2 of a component. */
static double mahalanobis2(const struct kymo_mixture *x, size_t c, const double *y)
{
    const size_t d = x->d;
    const double *mean = x->mean + c * d;
    const double *f = x->type == KYMO_COV_FULL ? x->factor + c * d * d : x->factor;
    double sum = 0;
    for (size_t i = 0; i < d; i++) {
        double t = 0;
        if (x->type == KYMO_COV_DIAG)
            t = f[c * d + i] * (y[i] - mean[i]);
        else if (x->type == KYMO_COV_SPHERICAL)
            t = f[c] * (y[i] - mean[i]);
        else
            for (size_t j = 0; j <= i; j++)
                t += f[i * d + j] * (y[j] - mean[j]);
        sum += t * t;
    }
    return sum;
}

size_t kymo_model_nearest(const struct kymo_model *m, const double *place, double *dist)
{
    for (size_t c = 0; c < m->k; c++)
        dist[c] = sqrt(m->mix ? mahalanobis2(m->mix, c, place) + m->mix_less[c]
                              : kymo_sqdist(m->p, place, m->state[c].point));
    if (m->noise == m->k)
        return kymo_argmin(m->k, dist);
    dist[m->noise] = INFINITY;
    const size_t best = kymo_argmin(m->k, dist);
    if (dist[best] <= m->state[best].reach)
        return best;
    dist[m->noise] = dist[best];
    return m->noise;
}

double kymo_model_novelty(const struct kymo_model *m, size_t state, double dist)
{
    const double spread =
        m->state[state].spread > m->spread_floor ? m->state[state].spread : m->spread_floor;
    return spread > 0 ? dist / spread : dist;
}

kymo_status kymo_model_accepts(const struct kymo_model *m, const struct kymo_matrix *x,
                               const char *name, struct kymo_err *err)
{
    if (m->spec && x->has_spec)
        return kymo_feature_spec_match(m->spec, x->spec, name, err);
    if (m->d != x->d)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s has %zu columns, the model has %zu", name, x->d, m->d);
    if (m->spec && !x->has_names)
        return KYMO_FAIL(
            err, KYMO_EINPUT, KYMO_NOWHERE,
            "%s does not name its columns, and the model wants the features of its spec", name);
    for (size_t j = 0; j < m->d && m->has_names && x->has_names; j++)
        if (strcmp(m->column[j].name, x->column[j].name) != 0)
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                             "%s: column %zu is '%.80s', the model has '%.80s'", name, j + 1,
                             x->column[j].name, m->column[j].name);
    return KYMO_OK;
}

int kymo_model_is_mute(const struct kymo_model *m, size_t j)
{
    if (!m->spec)
        return 0;
    const char *g = m->spec->column[j].group;
    return strcmp(g, kymo_group_pairs.name) == 0 || strcmp(g, kymo_group_triples.name) == 0 ||
           strcmp(g, kymo_group_grams.name) == 0 || strcmp(g, kymo_group_mix.name) == 0 ||
           strcmp(g, kymo_group_classes.name) == 0;
}

size_t kymo_model_typical(const struct kymo_model *m, size_t state, size_t column[KYMO_TYPICAL])
{
    const double *c = m->state[state].centre;
    size_t n = 0;
    while (n < KYMO_TYPICAL) {
        size_t best = m->d;
        for (size_t j = 0; j < m->d; j++) {
            int taken = kymo_model_is_mute(m, j) || !(fabs(c[j]) > 0);
            for (size_t i = 0; i < n; i++)
                taken |= column[i] == j;
            if (!taken && (best == m->d || fabs(c[j]) > fabs(c[best])))
                best = j;
        }
        if (best == m->d)
            break;
        column[n++] = best;
    }
    return n;
}

size_t kymo_model_find(const struct kymo_model *m, const char *word)
{
    const char *digits = *word == 's' ? word + 1 : word;
    char *end;
    if (*digits >= '0' && *digits <= '9') {
        const unsigned long v = strtoul(digits, &end, 10);
        if (!*end)
            return v < m->k ? v : m->k;
    }
    size_t found = m->k;
    for (size_t c = 0; c < m->k; c++) {
        if (strcmp(m->state[c].label, word) != 0)
            continue;
        if (found < m->k)
            return m->k;
        found = c;
    }
    return found;
}
