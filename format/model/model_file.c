/* SPDX-License-Identifier: Apache-2.0
 * model_file.c: a model as JSON. What no fit gives is refused.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/model/matrix.h"
#include "format/model/model.h"

static kymo_status too_large(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the model passes the memory budget of %zu MiB",
                     KYMO_MODEL_BYTES_MAX >> 20);
}

/* -- reading ---------------------------------------------------------------------------------- */

#define CORRUPT(...) KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE, __VA_ARGS__)

/* A finite number at least min. */
static kymo_status get_number(const json_t *obj, const char *key, double min, const char *name,
                              double *out, struct kymo_err *err)
{
    double v;
    KYMO_TRY(kymo_json_get_f64(obj, key, name, &v, err));
    if (!isfinite(v) || v < min)
        return CORRUPT("%s: '%s' is %g, which no fit gives", name, key, v);
    *out = v;
    return KYMO_OK;
}

static kymo_status read_column(struct kymo_model *m, size_t j, const json_t *obj,
                               const char *name, struct kymo_err *err)
{
    struct kymo_model_column *c = &m->column[j];
    const char *word, *unit, *bend;
    KYMO_TRY(kymo_json_get_str(obj, "name", name, &word, err));
    KYMO_TRY(kymo_json_get_str(obj, "unit", name, &unit, err));
    KYMO_TRY(kymo_json_get_str(obj, "transform", name, &bend, err));
    c->bend = kymo_bend_value(bend);
    if (c->bend == KYMO_BEND_COUNT)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: unknown transform '%.40s'", name,
                         bend);
    KYMO_TRY(get_number(obj, "mean", -INFINITY, name, &c->mean, err));
    KYMO_TRY(get_number(obj, "scale", 0, name, &c->scale, err));
    KYMO_TRY(get_number(obj, "weight", 0, name, &c->weight, err));
    if (!(c->scale > 0))
        return CORRUPT("%s: column '%.80s' has scale 0", name, word);
    c->name = kymo_arena_str(&m->arena, word, strlen(word));
    c->unit = kymo_arena_str(&m->arena, unit, strlen(unit));
    return c->name && c->unit ? KYMO_OK : too_large(err);
}

static kymo_status read_text(char *to, size_t room, const json_t *obj, const char *key,
                             const char *name, struct kymo_err *err)
{
    const char *s;
    KYMO_TRY(kymo_json_get_str(obj, key, name, &s, err));
    if (strlen(s) >= room)
        return CORRUPT("%s: '%s' is longer than %zu bytes", name, key, room - 1);
    memcpy(to, s, strlen(s) + 1);
    return KYMO_OK;
}

static kymo_status read_reals(double *to, size_t n, const json_t *list, const char *what,
                              const char *name, struct kymo_err *err)
{
    if (json_array_size(list) != n)
        return CORRUPT("%s: %s has %zu values where %zu belong", name, what,
                       json_array_size(list), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        to[i] = json_number_value(v);
        if (!json_is_number(v) || !isfinite(to[i]))
            return CORRUPT("%s: value %zu of %s is no finite number", name, i, what);
    }
    return KYMO_OK;
}

static kymo_status read_state(struct kymo_model *m, size_t c, const json_t *obj,
                              const char *name, struct kymo_err *err)
{
    struct kymo_state *s = &m->state[c];
    const char *verdict;
    json_t *centre, *point, *evidence;
    KYMO_TRY(read_text(s->label, sizeof(s->label), obj, "label", name, err));
    KYMO_TRY(kymo_json_get_str(obj, "verdict", name, &verdict, err));
    s->verdict = kymo_verdict_value(verdict);
    if (s->verdict == KYMO_VERDICTS)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: the verdict of state %zu is '%.40s', not good, bad or unknown",
                         name, c, verdict);
    KYMO_TRY(kymo_json_get_u64(obj, "size", name, &s->size, err));
    KYMO_TRY(get_number(obj, "weight", 0, name, &s->weight, err));
    KYMO_TRY(get_number(obj, "spread", 0, name, &s->spread, err));
    KYMO_TRY(get_number(obj, "reach", 0, name, &s->reach, err));
    KYMO_TRY(kymo_json_get(obj, "centre", JSON_ARRAY, name, &centre, err));
    KYMO_TRY(read_reals(s->centre, m->d, centre, "a centre", name, err));
    if (m->projection) {
        KYMO_TRY(kymo_json_get(obj, "point", JSON_ARRAY, name, &point, err));
        KYMO_TRY(read_reals(s->point, m->p, point, "a point", name, err));
    }
    KYMO_TRY(kymo_json_get(obj, "evidence", JSON_OBJECT, name, &evidence, err));
    KYMO_TRY(kymo_json_get_u64(evidence, "windows", name, &s->evidence, err));
    KYMO_TRY(get_number(evidence, "purity", 0, name, &s->purity, err));
    KYMO_TRY(read_text(s->by, sizeof(s->by), evidence, "by", name, err));
    return s->purity <= 1 ? KYMO_OK : CORRUPT("%s: state %zu is purer than 1", name, c);
}

static kymo_status read_projection(struct kymo_model *m, const json_t *doc, const char *name,
                                   struct kymo_err *err)
{
    const json_t *obj = json_object_get(doc, "projection");
    json_t *mean, *axes;
    if (!obj || json_is_null(obj))
        return KYMO_OK;
    KYMO_TRY(kymo_json_get(obj, "mean", JSON_ARRAY, name, &mean, err));
    KYMO_TRY(kymo_json_get(obj, "components", JSON_ARRAY, name, &axes, err));
    const size_t p = json_array_size(axes);
    if (p < 1 || p > m->d)
        return CORRUPT("%s: a projection to %zu columns of %zu", name, p, m->d);
    KYMO_TRY(kymo_model_project(m, p, err));
    KYMO_TRY(read_reals(m->projection_mean, m->d, mean, "the projection's mean", name, err));
    for (size_t i = 0; i < p; i++)
        KYMO_TRY(read_reals(m->projection + i * m->d, m->d, json_array_get(axes, i),
                            "a component", name, err));
    return KYMO_OK;
}

static const char *const cov_names[] = {"full", "tied", "diag", "spherical"};

static kymo_status read_mixture(struct kymo_model *m, const json_t *doc, const char *name,
                                struct kymo_err *err)
{
    const json_t *obj = json_object_get(doc, "mixture");
    const char *word;
    json_t *list;
    size_t type = 0, cells;
    double sum = 0;
    if (!obj || json_is_null(obj))
        return KYMO_OK;
    KYMO_TRY(kymo_json_get_str(obj, "covariance", name, &word, err));
    while (type < KYMO_COUNT_OF(cov_names) && strcmp(cov_names[type], word) != 0)
        type++;
    if (type == KYMO_COUNT_OF(cov_names))
        return CORRUPT("%s: a covariance is not '%.20s'", name, word);
    KYMO_TRY(kymo_model_mix(m, (enum kymo_cov)type, err));
    KYMO_TRY(kymo_json_get(obj, "weights", JSON_ARRAY, name, &list, err));
    KYMO_TRY(read_reals(m->mix->weight, m->k, list, "the weights", name, err));
    for (size_t c = 0; c < m->k; c++) {
        if (m->mix->weight[c] < 0)
            return CORRUPT("%s: the weight of component %zu is negative", name, c);
        sum += m->mix->weight[c];
    }
    if (!(fabs(sum - 1) < 1e-6))
        return CORRUPT("%s: the weights of a mixture sum to %g", name, sum);
    KYMO_TRY(kymo_json_get(obj, "covariances", JSON_ARRAY, name, &list, err));
    if (!kymo_mixture_cov_size(m->mix->type, m->k, m->p, &cells))
        return too_large(err);
    return read_reals(m->mix->cov, cells, list, "the covariances", name, err);
}

static kymo_status read_noise(struct kymo_model *m, const json_t *doc, const char *name,
                              struct kymo_err *err)
{
    const json_t *v = json_object_get(doc, "noise");
    if (!v || json_is_null(v))
        return KYMO_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        (json_int_t)m->k <= json_integer_value(v))
        return CORRUPT("%s: 'noise' is no state", name);
    m->noise = (size_t)json_integer_value(v);
    return KYMO_OK;
}

static kymo_status read_transitions(struct kymo_model *m, const json_t *rows, const char *name,
                                    struct kymo_err *err)
{
    if (json_array_size(rows) != m->k)
        return CORRUPT("%s: transitions of %zu states, the model has %zu", name,
                       json_array_size(rows), m->k);
    for (size_t a = 0; a < m->k; a++) {
        const json_t *row = json_array_get(rows, a);
        if (json_array_size(row) != m->k)
            return CORRUPT("%s: row %zu of transitions has not %zu values", name, a, m->k);
        for (size_t b = 0; b < m->k; b++) {
            const json_t *v = json_array_get(row, b);
            if (!json_is_integer(v) || json_integer_value(v) < 0)
                return CORRUPT("%s: a transition from %zu to %zu is no count", name, a, b);
            m->transition[a * m->k + b] = (uint64_t)json_integer_value(v);
        }
    }
    return KYMO_OK;
}

static kymo_status read_holdout(struct kymo_model *m, const json_t *obj, const char *name,
                                struct kymo_err *err)
{
    json_t *list;
    KYMO_TRY(get_number(obj, "share", 0, name, &m->holdout_share, err));
    KYMO_TRY(get_number(obj, "spread_floor", 0, name, &m->spread_floor, err));
    KYMO_TRY(kymo_json_get(obj, "distances", JSON_ARRAY, name, &list, err));
    m->n_holdout = json_array_size(list);
    m->holdout = KYMO_NEW(&m->arena, double, m->n_holdout);
    if (!m->holdout)
        return too_large(err);
    KYMO_TRY(read_reals(m->holdout, m->n_holdout, list, "the held-out distances", name, err));
    for (size_t i = 0; i < m->n_holdout; i++)
        if (m->holdout[i] < 0 || (i && m->holdout[i] < m->holdout[i - 1]))
            return CORRUPT("%s: held-out distances are not in ascending order from 0", name);
    return KYMO_OK;
}

static kymo_status read_spec(struct kymo_model *m, const json_t *doc, const char *name,
                             struct kymo_err *err)
{
    const json_t *j = json_object_get(doc, "features");
    if (!j || json_is_null(j))
        return KYMO_OK;
    struct kymo_feature_spec *spec = KYMO_NEW(&m->arena, struct kymo_feature_spec, 1);
    if (!spec)
        return too_large(err);
    KYMO_TRY(kymo_feature_spec_parse(spec, j, &m->arena, name, err));
    m->spec = spec;
    return KYMO_OK;
}

/* With a spec, the columns are its columns. */
static kymo_status check_columns(const struct kymo_model *m, const char *name,
                                 struct kymo_err *err)
{
    if (!m->spec)
        return KYMO_OK;
    if (m->spec->d != m->d)
        return CORRUPT("%s has %zu columns, its feature spec has %zu", name, m->d, m->spec->d);
    for (size_t j = 0; j < m->d; j++)
        if (strcmp(m->column[j].name, m->spec->column[j].name) != 0)
            return CORRUPT("%s: column %zu is '%.60s', its feature spec has '%s'", name, j,
                           m->column[j].name, m->spec->column[j].name);
    return KYMO_OK;
}

static kymo_status read_head(struct kymo_model *m, const json_t *doc, const char *name,
                             struct kymo_err *err)
{
    const char *seed;
    uint64_t version;
    json_t *flag;
    const json_t *mark = json_object_get(doc, "schema");
    if (!json_is_object(doc) || !json_is_string(mark) ||
        strcmp(json_string_value(mark), KYMO_MODEL_SCHEMA) != 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s is no kymo model; kymo kmeans writes one", name);
    KYMO_TRY(kymo_json_get_u64(doc, "version", name, &version, err));
    if (version != KYMO_MODEL_VERSION)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s is a model of version %" PRIu64 ", this build reads %u", name,
                         version, KYMO_MODEL_VERSION);
    KYMO_TRY(read_text(m->family, sizeof(m->family), doc, "family", name, err));
    KYMO_TRY(kymo_json_get_str(doc, "seed", name, &seed, err));
    m->seed = strtoull(seed, NULL, 10);
    flag = json_object_get(doc, "finished");
    if (!json_is_boolean(flag))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s lacks 'finished'", name);
    m->finished = json_is_true(flag);
    flag = json_object_get(doc, "named_columns");
    m->has_names = json_is_true(flag);
    return KYMO_OK;
}

static kymo_status read_doc(struct kymo_model *m, const json_t *doc, const char *name,
                            struct kymo_err *err)
{
    json_t *columns, *states, *part;
    KYMO_TRY(read_head(m, doc, name, err));
    KYMO_TRY(read_spec(m, doc, name, err));
    KYMO_TRY(kymo_json_get(doc, "columns", JSON_ARRAY, name, &columns, err));
    KYMO_TRY(kymo_json_get(doc, "states", JSON_ARRAY, name, &states, err));
    const size_t d = json_array_size(columns), k = json_array_size(states);
    if (d < 1 || d > KYMO_MATRIX_COLUMNS_MAX || k < 1 || k > KYMO_STATES_MAX)
        return CORRUPT("%s has %zu columns and %zu states; 1 to %u and 1 to %u can be", name, d,
                       k, KYMO_MATRIX_COLUMNS_MAX, KYMO_STATES_MAX);
    KYMO_TRY(kymo_model_shape(m, d, k, err));
    for (size_t j = 0; j < d; j++)
        KYMO_TRY(read_column(m, j, json_array_get(columns, j), name, err));
    KYMO_TRY(check_columns(m, name, err));
    KYMO_TRY(read_projection(m, doc, name, err));
    for (size_t c = 0; c < k; c++)
        KYMO_TRY(read_state(m, c, json_array_get(states, c), name, err));
    KYMO_TRY(read_mixture(m, doc, name, err));
    KYMO_TRY(read_noise(m, doc, name, err));
    KYMO_TRY(kymo_model_ready(m, err));
    KYMO_TRY(kymo_json_get(doc, "transitions", JSON_ARRAY, name, &part, err));
    KYMO_TRY(read_transitions(m, part, name, err));
    KYMO_TRY(kymo_json_get(doc, "holdout", JSON_OBJECT, name, &part, err));
    KYMO_TRY(read_holdout(m, part, name, err));
    KYMO_TRY(kymo_json_get(doc, "fit", JSON_OBJECT, name, &part, err));
    m->fit = json_incref(part);
    KYMO_TRY(kymo_json_get(doc, "provenance", JSON_OBJECT, name, &part, err));
    m->provenance = json_incref(part);
    const json_t *sequence = json_object_get(doc, "sequence");
    m->sequence = json_is_object(sequence) ? json_incref((json_t *)sequence) : NULL;
    return KYMO_OK;
}

kymo_status kymo_model_parse(struct kymo_model *m, const char *text, size_t bytes,
                             const char *name, struct kymo_err *err)
{
    json_t *doc = NULL;
    KYMO_TRY(kymo_json_parse(&doc, text, bytes, name, err));
    const kymo_status s = read_doc(m, doc, name, err);
    json_decref(doc);
    return s;
}

kymo_status kymo_model_read(struct kymo_model *m, const char *path, struct kymo_err *err)
{
    json_t *doc = NULL;
    KYMO_TRY(kymo_json_read(&doc, path, err));
    const kymo_status s = read_doc(m, doc, path, err);
    json_decref(doc);
    return s;
}

/* -- writing ---------------------------------------------------------------------------------- */

static json_t *reals_json(const double *v, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, json_real(v[i]));
    return list;
}

static json_t *columns_json(const struct kymo_model *m)
{
    json_t *list = json_array();
    for (size_t j = 0; list && j < m->d; j++) {
        const struct kymo_model_column *c = &m->column[j];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f}", "name", c->name,
                                              "unit", c->unit, "transform",
                                              kymo_bend_name(c->bend), "mean", c->mean, "scale",
                                              c->scale, "weight", c->weight));
    }
    return list;
}

static json_t *states_json(const struct kymo_model *m)
{
    json_t *list = json_array();
    for (size_t c = 0; list && c < m->k; c++) {
        const struct kymo_state *s = &m->state[c];
        json_t *evidence = json_pack("{s:I, s:f, s:s}", "windows", (json_int_t)s->evidence,
                                     "purity", s->purity, "by", s->by);
        json_t *point = m->projection ? reals_json(s->point, m->p) : NULL;
        json_array_append_new(list,
                              json_pack("{s:I, s:s, s:s, s:I, s:f, s:f, s:f, s:o, s:o, s:o*}",
                                        "id", (json_int_t)c, "label", s->label, "verdict",
                                        kymo_verdict_name(s->verdict), "size",
                                        (json_int_t)s->size, "weight", s->weight, "spread",
                                        s->spread, "reach", s->reach, "evidence", evidence,
                                        "centre", reals_json(s->centre, m->d), "point", point));
    }
    return list;
}

static json_t *projection_json(const struct kymo_model *m)
{
    if (!m->projection)
        return NULL;
    json_t *axes = json_array();
    for (size_t i = 0; axes && i < m->p; i++)
        json_array_append_new(axes, reals_json(m->projection + i * m->d, m->d));
    return json_pack("{s:o, s:o}", "mean", reals_json(m->projection_mean, m->d), "components",
                     axes);
}

static json_t *mixture_json(const struct kymo_model *m)
{
    size_t cells;
    if (!m->mix || !kymo_mixture_cov_size(m->mix->type, m->k, m->p, &cells))
        return NULL;
    return json_pack("{s:s, s:o, s:o}", "covariance", cov_names[m->mix->type], "weights",
                     reals_json(m->mix->weight, m->k), "covariances",
                     reals_json(m->mix->cov, cells));
}

static json_t *transitions_json(const struct kymo_model *m)
{
    json_t *rows = json_array();
    for (size_t a = 0; rows && a < m->k; a++) {
        json_t *row = json_array();
        for (size_t b = 0; row && b < m->k; b++)
            json_array_append_new(row, json_integer((json_int_t)m->transition[a * m->k + b]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *model_json(const struct kymo_model *m)
{
    char seed[24];
    snprintf(seed, sizeof(seed), "%" PRIu64, m->seed);
    json_t *holdout =
        json_pack("{s:f, s:f, s:o}", "share", m->holdout_share, "spread_floor", m->spread_floor,
                  "distances", reals_json(m->holdout, m->n_holdout));
    json_t *noise = m->noise < m->k ? json_integer((json_int_t)m->noise) : NULL;
    return json_pack("{s:s, s:i, s:s, s:b, s:s, s:b, s:o?, s:O, s:o, s:o, s:o, s:o, s:O, s:o*, "
                     "s:o*, s:o*, s:O*}",
                     "schema", KYMO_MODEL_SCHEMA, "version", (int)KYMO_MODEL_VERSION, "family",
                     m->family, "finished", m->finished, "seed", seed, "named_columns",
                     m->has_names, "features", m->spec ? kymo_feature_spec_json(m->spec) : NULL,
                     "fit", m->fit, "states", states_json(m), "columns", columns_json(m),
                     "transitions", transitions_json(m), "holdout", holdout, "provenance",
                     m->provenance, "projection", projection_json(m), "mixture",
                     mixture_json(m), "noise", noise, "sequence", m->sequence);
}

kymo_status kymo_model_write(const struct kymo_model *m, const char *path, int force,
                             struct kymo_err *err)
{
    json_t *doc = model_json(m);
    if (!doc)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "out of memory for the model, or a label that is "
                         "not UTF-8");
    const kymo_status s = kymo_json_write(doc, path, force, err);
    json_decref(doc);
    return s;
}
