/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/fit/transform.h"

#include <math.h>
#include <string.h>

#include "format/num/stats.h"

/* Quartiles of a Gaussian lie so many standard deviations apart. */
#define IQR_OF_SD 1.3489795003921634

/*
 * Let each group of features spread as far as its factor says, whatever number of its columns move
 * in this matrix: of fifty calls a service uses five, and those have to speak for the group. A
 * group of which less than one column's worth moves is left at that: noise is not blown up.
 *
 * moved   [d] spread of each column in its scales, 0..1
 * source  Escofier, Pages, Multiple factor analysis, Comput. Stat. Data Anal. 18, 1994 (the idea)
 */
static void balance_groups(struct kymo_fit *f, const double *moved)
{
    const struct kymo_feature_spec *spec = f->m.spec;
    for (size_t a = 0, b; a < spec->d; a = b) {
        double sum = 0;
        for (b = a; b < spec->d && strcmp(spec->column[b].group, spec->column[a].group) == 0;
             b++)
            sum += moved[b] * moved[b];
        const double columns = (double)(b - a);
        for (size_t c = a; c < b; c++)
            f->model.column[c].weight =
                spec->column[c].weight * sqrt(columns / (sum > 1 ? sum : 1));
    }
}

static enum kymo_bend bend_of(const struct kymo_fit *f, size_t c)
{
    if (strcmp(f->transform, "spec") == 0)
        return f->m.spec->column[c].bend;
    if (strcmp(f->transform, "none") == 0)
        return KYMO_BEND_NONE;
    return strcmp(f->transform, "log1p") == 0 ? KYMO_BEND_LOG1P : KYMO_BEND_STANDARD;
}

/* The bent values of a column's training rows. */
static kymo_status bend_column(const struct kymo_fit *f, size_t c, double *bent,
                               struct kymo_err *err)
{
    const struct kymo_model_column *to = &f->model.column[c];
    for (size_t i = 0; i < f->split.n_train; i++) {
        const size_t row = f->split.train[i];
        const double x = kymo_matrix_at(&f->m, row, c);
        bent[i] = kymo_bend(to->bend, x);
        if (!isfinite(bent[i]))
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                             "%s: column '%.80s' of row %zu is %g, which %s does not take",
                             f->o->in, to->name, row + 1, x, kymo_bend_name(to->bend));
    }
    return KYMO_OK;
}

static double quantile(const double *sorted, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

static void scale_robustly(size_t n, double *bent, struct kymo_model_column *to)
{
    kymo_sort_f64(n, bent);
    const double iqr = quantile(bent, n, 0.75) - quantile(bent, n, 0.25);
    to->mean = quantile(bent, n, 0.5);
    if (iqr > 0)
        to->scale = iqr / IQR_OF_SD;
}

/* Over the training rows of all processes. */
static kymo_status mean_sd(struct kymo_fit *f, const double *bent, double *mean, double *sd,
                           struct kymo_err *err)
{
    double var, total;
    const struct kymo_dense column = {.n = f->split.n_train, .d = 1, .f64 = bent};
    if (!f->ranks) {
        kymo_mean_sd(column.n, bent, 1, mean, sd);
        return KYMO_OK;
    }
    KYMO_TRY(kymo_ranks_moments(f->ranks, &column, 1, mean, &var, &total, &f->arena, err));
    *sd = sqrt(var);
    return KYMO_OK;
}

kymo_status kymo_fit_columns(struct kymo_fit *f, struct kymo_err *err)
{
    const size_t n = f->split.n_train;
    const bool by_spec = strcmp(f->transform, "spec") == 0,
               none = strcmp(f->transform, "none") == 0,
               robust = strcmp(f->transform, "robust") == 0;
    double *bent = KYMO_NEW_RAW(&f->arena, double, n);
    double *moved = KYMO_NEW(&f->arena, double, f->m.d);
    uint8_t *mute = KYMO_NEW(&f->arena, uint8_t, f->m.d);
    if (!bent || !moved || !mute)
        return kymo_fit_no_memory(err);
    for (size_t c = 0; c < f->m.d; c++) {
        struct kymo_model_column *to = &f->model.column[c];
        *to = (struct kymo_model_column){.name = f->m.column[c].name,
                                         .unit = f->m.column[c].unit,
                                         .bend = bend_of(f, c),
                                         .scale = 1,
                                         .weight = 1};
        if (none && !(f->o->variance_min > 0))
            continue;
        KYMO_TRY(bend_column(f, c, bent, err));
        KYMO_TRY(mean_sd(f, bent, &to->mean, &to->scale, err));
        const double sd = to->scale, floor = by_spec ? f->m.spec->column[c].floor : 0;
        if (robust)
            scale_robustly(n, bent, to);
        to->scale = to->scale > floor ? to->scale : floor;
        to->scale = to->scale > 0 ? to->scale : 1;
        moved[c] = sd / to->scale;
        if (none) {
            to->mean = 0;
            to->scale = 1;
        }
        mute[c] = f->o->variance_min > 0 && sd * sd <= f->o->variance_min;
        moved[c] = mute[c] ? 0 : moved[c];
    }
    if (by_spec)
        balance_groups(f, moved);
    for (size_t c = 0; c < f->m.d; c++) {
        f->n_muted += mute[c];
        f->model.column[c].weight *= mute[c] ? 0 : 1;
    }
    if (f->n_muted == f->m.d)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: no column has a variance over %g",
                         f->o->in, f->o->variance_min);
    return KYMO_OK;
}
