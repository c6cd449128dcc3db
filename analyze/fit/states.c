/* SPDX-License-Identifier: Apache-2.0
 * states.c: from the states that a core found to a model that can be scored with.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/fit/fit.h"
#include "analyze/fit/fit_ranks.h"
#include "format/base/size.h"
#include "format/model/feature_group.h"
#include "format/num/parallel.h"
#include "format/num/simd/simd.h"
#include "format/num/stats.h"

/* Least spread of a state for novelty: in mean spreads of the states, and in that of all windows, so
 * that a state of three like windows does not call the fourth one new. */
#define SPREAD_FLOOR_STATES 0.5
#define SPREAD_FLOOR_ALL 0.1

/* -- where the states lie --------------------------------------------------------------------- */

/* Mean of each state's rows in the transformed columns. */
static kymo_status fill_centres(struct kymo_fit *f, const uint32_t *label, struct kymo_err *err)
{
    struct kymo_model *m = &f->model;
    const size_t n = f->split.n_train, d = m->d;
    double *z = KYMO_NEW(&f->arena, double, d), *mass = KYMO_NEW(&f->arena, double, m->k);
    double *size = KYMO_NEW(&f->arena, double, m->k);
    size_t cells = 0;
    double *sum = kymo_size_mul(m->k, d, &cells) ? KYMO_NEW(&f->arena, double, cells) : NULL;
    if (!z || !mass || !size || !sum)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const double w = kymo_dense_weight(&f->X, i);
        const size_t row = f->split.train[i], c = label[i];
        KYMO_TRY(kymo_model_transform(m, kymo_matrix_row(&f->m, row, z), z, row, err));
        for (size_t j = 0; j < d; j++)
            sum[c * d + j] += w * z[j];
        mass[c] += w;
        size[c]++;
    }
    kymo_ranks_sum(f->ranks, sum, cells);
    kymo_ranks_sum(f->ranks, mass, m->k);
    kymo_ranks_sum(f->ranks, size, m->k);
    double total = 0;
    for (size_t c = 0; c < m->k; c++)
        total += mass[c];
    for (size_t c = 0; c < m->k; c++) {
        m->state[c].size = (uint64_t)size[c];
        m->state[c].weight = mass[c] / total;
        for (size_t j = 0; j < d; j++)
            m->state[c].centre[j] = mass[c] > 0 ? sum[c * d + j] / mass[c] : 0;
    }
    return KYMO_OK;
}

/* The same in the space of the states, where that is another one. */
static void fill_points(struct kymo_fit *f, const uint32_t *label)
{
    struct kymo_model *m = &f->model;
    double mass;
    for (size_t c = 0; c < m->k; c++) {
        mass = 0;
        for (size_t i = 0; i < f->X.n; i++) {
            if (label[i] != c)
                continue;
            const double w = kymo_dense_weight(&f->X, i);
            mass += w;
            for (size_t j = 0; j < m->p; j++)
                m->state[c].point[j] += w * kymo_dense_at(&f->X, i, j);
        }
        for (size_t j = 0; j < m->p && mass > 0; j++)
            m->state[c].point[j] /= mass;
    }
}

kymo_status kymo_fit_states(struct kymo_fit *f, const char *family, size_t k, size_t noise,
                            const uint32_t *label, const double *points, struct kymo_err *err)
{
    struct kymo_model *m = &f->model;
    const struct kymo_model old = *m;
    if (k > KYMO_STATES_MAX)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%zu states; a model holds %u at most",
                         k, KYMO_STATES_MAX);
    KYMO_TRY(kymo_model_shape(m, old.d, k, err));
    m->column = old.column;
    if (old.projection) {
        KYMO_TRY(kymo_model_project(m, old.p, err));
        m->projection_mean = old.projection_mean;
        m->projection = old.projection;
    }
    m->noise = noise;
    snprintf(m->family, sizeof(m->family), "%s", family);
    m->seed = f->o->seed;
    m->has_names = f->m.has_names;
    m->spec = f->m.spec;
    m->holdout_share = f->holdout;
    KYMO_TRY(fill_centres(f, label, err));
    if (points)
        for (size_t c = 0; c < k; c++)
            memcpy(m->state[c].point, points + c * m->p, m->p * sizeof(double));
    else if (m->projection)
        fill_points(f, label);
    return KYMO_OK;
}

/* -- every row's state, and how far it is ----------------------------------------------------- */

struct looking {
    struct kymo_fit *f;
    size_t block_rows;
    const uint32_t *known; /* [m.n] state a row was learned in; UINT32_MAX: it was not */
    double *dist;          /* [m.n] to its state */
    uint8_t *agrees;       /* [m.n] the nearest state is the one it was learned in */
    double *scratch;       /* [n_blocks, d + p + k] */
    kymo_status *status;
    struct kymo_err *err;
};

static void look_block(void *ctx, size_t block)
{
    struct looking *l = ctx;
    const struct kymo_model *m = &l->f->model;
    const size_t n = l->f->m.n, lo = block * l->block_rows;
    const size_t hi = lo + l->block_rows < n ? lo + l->block_rows : n;
    double *z = l->scratch + block * (m->d + m->p + m->k), *place = z + m->d;
    double *dist = place + m->p;
    for (size_t i = lo; i < hi; i++) {
        l->status[block] =
            kymo_model_transform(m, kymo_matrix_row(&l->f->m, i, z), z, i, &l->err[block]);
        if (l->status[block])
            return;
        const size_t near = kymo_model_nearest(m, kymo_model_place(m, z, place), dist);
        const size_t own = l->known[i] == UINT32_MAX ? near : l->known[i];
        l->f->label[i] = (uint32_t)own;
        l->agrees[i] = near == own;
        l->dist[i] = isfinite(dist[own]) ? dist[own] : dist[near];
    }
}

static kymo_status look_at_rows(struct kymo_fit *f, const uint32_t *label, double **dist,
                                struct kymo_err *err)
{
    struct kymo_model *m = &f->model;
    struct looking l = {.f = f, .block_rows = kymo_block_rows(f->m.n)};
    const size_t n_blocks = (f->m.n + l.block_rows - 1) / l.block_rows;
    uint32_t *known = KYMO_NEW_RAW(&f->arena, uint32_t, f->m.n);
    f->label = KYMO_NEW_RAW(&f->arena, uint32_t, f->m.n);
    l.dist = KYMO_NEW_RAW(&f->arena, double, f->m.n);
    l.agrees = KYMO_NEW(&f->arena, uint8_t, f->m.n);
    l.scratch = KYMO_NEW_RAW(&f->arena, double, n_blocks *(m->d + m->p + m->k));
    l.status = KYMO_NEW(&f->arena, kymo_status, n_blocks);
    l.err = KYMO_NEW(&f->arena, struct kymo_err, n_blocks);
    if (!known || !f->label || !l.dist || !l.agrees || !l.scratch || !l.status || !l.err)
        return kymo_fit_no_memory(err);
    memset(known, 0xff, f->m.n * sizeof(*known));
    for (size_t i = 0; i < f->split.n_train; i++)
        known[f->split.train[i]] = label[i];
    l.known = known;
    /* Until the reach of states is known, nothing is out of it. */
    for (size_t c = 0; c < m->k; c++)
        m->state[c].reach = m->state[c].reach > 0 ? m->state[c].reach : INFINITY;
    kymo_parallel(n_blocks, (unsigned)f->o->threads, look_block, &l);
    for (size_t b = 0; b < n_blocks; b++)
        if (l.status[b]) {
            if (err)
                *err = l.err[b];
            return l.status[b];
        }
    double agreed = 0;
    for (size_t i = 0; i < f->split.n_train; i++)
        agreed += l.agrees[f->split.train[i]];
    kymo_ranks_sum(f->ranks, &agreed, 1);
    f->agreed = (uint64_t)agreed;
    *dist = l.dist;
    return KYMO_OK;
}

/* -- spreads and calibration ------------------------------------------------------------------ */

/* Root mean square distance of the training rows to their common mean. */
static kymo_status total_spread(struct kymo_fit *f, double *spread, struct kymo_err *err)
{
    const size_t p = f->X.d;
    struct kymo_dense rows = f->X; /* every row counts once here, whatever it weighs */
    double *mean = KYMO_NEW(&f->arena, double, p), *var = KYMO_NEW(&f->arena, double, p);
    double total, sum = 0;
    if (!mean || !var)
        return kymo_fit_no_memory(err);
    rows.weight = NULL;
    KYMO_TRY(kymo_ranks_moments(f->ranks, &rows, (unsigned)f->o->threads, mean, var, &total,
                                &f->arena, err));
    for (size_t j = 0; j < p; j++)
        sum += var[j];
    *spread = sqrt(sum);
    return KYMO_OK;
}

static kymo_status fill_spreads(struct kymo_fit *f, const double *dist, struct kymo_err *err)
{
    struct kymo_model *m = &f->model;
    double *square = KYMO_NEW(&f->arena, double, m->k),
           *mass = KYMO_NEW(&f->arena, double, m->k);
    double *reach = KYMO_NEW(&f->arena, double, m->k);
    double all = 0, all_mass = 0, total = 0;
    if (!square || !mass || !reach)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < f->split.n_train; i++) {
        const size_t row = f->split.train[i], c = f->label[row];
        const double w = kymo_dense_weight(&f->X, i);
        square[c] += w * dist[row] * dist[row];
        mass[c] += w;
        reach[c] = fmax(reach[c], dist[row]);
    }
    kymo_ranks_sum(f->ranks, square, m->k);
    kymo_ranks_sum(f->ranks, mass, m->k);
    if (f->ranks)
        f->ranks->max(reach, m->k);
    for (size_t c = 0; c < m->k; c++) {
        m->state[c].reach = reach[c];
        m->state[c].spread = mass[c] > 0 ? sqrt(square[c] / mass[c]) : 0;
        if (c == m->noise)
            continue;
        all += square[c];
        all_mass += mass[c];
    }
    /* What a mixture calls a distance is in spreads already. */
    if (!m->mix)
        KYMO_TRY(total_spread(f, &total, err));
    const double by_states = all_mass > 0 ? SPREAD_FLOOR_STATES * sqrt(all / all_mass) : 0;
    m->spread_floor = fmax(by_states, SPREAD_FLOOR_ALL * total);
    return KYMO_OK;
}

static kymo_status calibrate(struct kymo_fit *f, const double *dist, struct kymo_err *err)
{
    struct kymo_model *m = &f->model;
    struct kymo_buf all = {0};
    double *own = KYMO_NEW(&f->arena, double, f->split.n_hold);
    m->n_holdout = f->all.hold;
    m->holdout = KYMO_NEW(&m->arena, double, m->n_holdout);
    if (!own || !m->holdout)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < f->split.n_hold; i++) {
        const size_t row = f->split.hold[i];
        own[i] = kymo_model_novelty(m, f->label[row], dist[row]);
    }
    const kymo_status s =
        kymo_processes_gather(f->ranks, own, f->split.n_hold * sizeof(double), &all, err);
    if (!s && m->n_holdout)
        memcpy(m->holdout, all.p, m->n_holdout * sizeof(double));
    kymo_buf_release(&all);
    kymo_sort_f64(m->n_holdout, m->holdout);
    return s;
}

static kymo_status count_transitions(struct kymo_fit *f, struct kymo_err *err)
{
    struct kymo_model *m = &f->model;
    const size_t cells = m->k * m->k;
    KYMO_TRY(kymo_count_transitions(&f->m, f->label, m->k, m->transition, err));
    /* Rows without facts follow one another, but not from one part to the next. */
    const size_t *end = (const size_t *)(const void *)f->ends.p;
    for (size_t i = 0; !f->m.row && i < f->ends.n / sizeof(*end); i++)
        if (end[i] > 0 && end[i] < f->m.n)
            m->transition[f->label[end[i] - 1] * m->k + f->label[end[i]]]--;
    if (!f->ranks)
        return KYMO_OK;
    double *sum = KYMO_NEW(&f->arena, double, cells);
    if (!sum)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < cells; i++)
        sum[i] = (double)m->transition[i];
    f->ranks->sum(sum, cells);
    for (size_t i = 0; i < cells; i++)
        m->transition[i] = (uint64_t)sum[i];
    return KYMO_OK;
}

/* -- the model -------------------------------------------------------------------------------- */

static json_t *captures_json(const struct kymo_fit *f)
{
    char hash[24];
    json_t *list = json_array();
    for (size_t i = 0; list && i < f->m.n_captures; i++) {
        const struct kymo_capture_facts *c = &f->m.capture[i];
        snprintf(hash, sizeof(hash), "%016" PRIx64, c->xxh3);
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", c->name,
                                              "xxh3", hash, "events", (json_int_t)c->rows,
                                              "dropped", (json_int_t)c->dropped, "windows",
                                              (json_int_t)c->windows));
    }
    return list;
}

/* The captures of all processes, in their order. */
static kymo_status gather_captures(const struct kymo_fit *f, json_t **out, struct kymo_err *err)
{
    json_t *own = captures_json(f);
    *out = own;
    if (!own)
        return kymo_fit_no_memory(err);
    if (!f->ranks)
        return KYMO_OK;
    struct kymo_buf all = {0};
    char *text = json_dumps(own, JSON_COMPACT);
    json_decref(own);
    *out = json_array();
    if (!text || !*out) {
        free(text);
        return kymo_fit_no_memory(err);
    }
    /* Each with its NUL. */
    kymo_status s = kymo_processes_gather(f->ranks, text, strlen(text) + 1, &all, err);
    for (size_t at = 0; !s && at < all.n;) {
        const char *p = (const char *)all.p + at;
        json_t *part = NULL;
        s = kymo_json_parse(&part, p, strlen(p), "a process's captures", err);
        json_array_extend(*out, part);
        json_decref(part);
        at += strlen(p) + 1;
    }
    free(text);
    kymo_buf_release(&all);
    return s;
}

/* The matrix's own hash, or of several parts that of theirs, in order. */
static kymo_status matrix_hash(const struct kymo_fit *f, char hash[24], struct kymo_err *err)
{
    struct kymo_buf all = {0};
    const kymo_status s = kymo_processes_gather(f->ranks, f->hashes.p, f->hashes.n, &all, err);
    uint64_t h = 0;
    for (size_t i = 0; !s && i < all.n; i += 8)
        h = (i ? kymo_mix64(h) : 0) ^ kymo_load_u64(all.p + i);
    kymo_buf_release(&all);
    snprintf(hash, 24, "%016" PRIx64, h);
    return s;
}

static kymo_status fill_provenance(struct kymo_fit *f, struct kymo_err *err)
{
    char hash[24];
    json_t *captures = NULL;
    kymo_status s = matrix_hash(f, hash, err);
    if (!s)
        s = gather_captures(f, &captures, err);
    if (s) {
        json_decref(captures);
        return s;
    }
    f->model.provenance =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "matrix_xxh3", hash, "windows",
                  (json_int_t)f->all.windows, "left_out_for_loss", (json_int_t)f->all.lost,
                  "left_out_unmarked", (json_int_t)f->all.unmarked, "held_out",
                  (json_int_t)f->all.hold, "captures", captures);
    return f->model.provenance ? KYMO_OK : kymo_fit_no_memory(err);
}

static void put_projection(const struct kymo_fit *f)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < f->model.d; i++)
        json_array_append_new(list, json_real(f->pca_variance[i]));
    json_object_set_new(f->model.fit, "pca_kept", json_real(f->pca_kept));
    json_object_set_new(f->model.fit, "pca_variance", list);
}

static kymo_status complete(struct kymo_fit *f, const uint32_t *label, json_t *fit,
                            struct kymo_err *err)
{
    struct kymo_model *m = &f->model;
    double *dist = NULL;
    KYMO_TRY(kymo_model_ready(m, err));
    KYMO_TRY(look_at_rows(f, label, &dist, err));
    KYMO_TRY(fill_spreads(f, dist, err));
    for (size_t i = 0; i < f->m.n && m->noise < m->k; i++)
        if (dist[i] > m->state[f->label[i]].reach)
            f->label[i] = (uint32_t)m->noise; /* none that was learned from is */
    KYMO_TRY(calibrate(f, dist, err));
    KYMO_TRY(count_transitions(f, err));
    m->fit = json_incref(fit);
    KYMO_TRY(fill_provenance(f, err));
    json_object_set_new(m->fit, "simd", json_string(kymo_simd_name(kymo_simd_level())));
    json_object_set_new(m->fit, "agreement",
                        json_real((double)f->agreed / (double)f->all.train));
    if (f->model.projection)
        put_projection(f);
    if (f->n_muted)
        json_object_set_new(m->fit, "columns_left_out", json_integer((json_int_t)f->n_muted));
    return KYMO_OK;
}

kymo_status kymo_fit_finish(struct kymo_fit *f, const uint32_t *label, bool finished,
                            json_t *fit, struct kymo_err *err)
{
    f->model.finished = finished;
    kymo_status s = fit ? complete(f, label, fit, err) : kymo_fit_no_memory(err);
    json_decref(fit);
    if (!s)
        s = kymo_fit_sequences(f, err);
    if (!s && f->o->labels)
        s = kymo_fit_write_labels(f, f->o->labels, f->label, err);
    if (s || !kymo_fit_speaks(f))
        return s;
    return kymo_model_write(&f->model, f->o->out, f->o->force, err);
}
