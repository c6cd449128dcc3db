/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/ranks.h"

#include <string.h>

#include "format/base/size.h"
#include "format/num/columns.h"

static kymo_status no_memory(size_t n, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "%zu values over processes pass the memory budget", n);
}

kymo_status kymo_ranks_moments(const struct kymo_ranks *r, const struct kymo_dense *x,
                               unsigned n_threads, double *mean, double *var, double *total,
                               struct kymo_arena *a, struct kymo_err *err)
{
    const size_t d = x->d;
    double here = 0;
    memset(mean, 0, d * sizeof(*mean));
    memset(var, 0, d * sizeof(*var));
    if (x->n)
        KYMO_TRY(kymo_column_moments(x, n_threads, mean, var, &here, err));
    *total = here;
    if (!r)
        return KYMO_OK;
    double *all = KYMO_NEW(a, double, d + 1);
    if (!all)
        return no_memory(d, err);
    for (size_t j = 0; j < d; j++)
        all[j] = here * mean[j];
    all[d] = here;
    r->sum(all, d + 1);
    *total = all[d];
    for (size_t j = 0; j < d; j++) {
        const double everywhere = all[j] / *total, off = mean[j] - everywhere;
        var[j] = here * (var[j] + off * off);
        mean[j] = everywhere;
    }
    r->sum(var, d);
    for (size_t j = 0; j < d; j++)
        var[j] /= *total;
    return KYMO_OK;
}

kymo_status kymo_ranks_place(const struct kymo_ranks *r, size_t n, size_t *all, size_t *before,
                             struct kymo_arena *a, struct kymo_err *err)
{
    *all = n;
    *before = 0;
    if (!r)
        return KYMO_OK;
    double *of = KYMO_NEW(a, double, (size_t)r->size);
    if (!of)
        return no_memory((size_t)r->size, err);
    of[r->rank] = (double)n;
    r->sum(of, (size_t)r->size);
    double sum = 0;
    for (int i = 0; i < r->size; i++) {
        if (i == r->rank)
            *before = (size_t)sum;
        sum += of[i];
    }
    *all = (size_t)sum;
    return KYMO_OK;
}

kymo_status kymo_ranks_sample(const struct kymo_ranks *r, const struct kymo_dense *x,
                              size_t rows, struct kymo_rng *rng, struct kymo_arena *a,
                              struct kymo_dense *out, struct kymo_err *err)
{
    size_t all, before, cells, kept = 0;
    KYMO_TRY(kymo_ranks_place(r, x->n, &all, &before, a, err));
    rows = rows < all ? rows : all;
    double *row = kymo_size_mul(rows, x->d, &cells) ? KYMO_NEW(a, double, cells) : NULL;
    double *weight = KYMO_NEW(a, double, rows);
    if (!row || !weight)
        return no_memory(rows, err);
    for (size_t i = 0; i < all && kept < rows; i++) {
        if (kymo_rng_below(rng, all - i) >= rows - kept)
            continue;
        if (i >= before && i < before + x->n) {
            kymo_dense_row(x, i - before, row + kept * x->d);
            weight[kept] = kymo_dense_weight(x, i - before);
        }
        kept++;
    }
    /* Only one process has a row: for the others it is zeros. */
    kymo_ranks_sum(r, row, cells);
    kymo_ranks_sum(r, weight, rows);
    *out = (struct kymo_dense){.n = rows, .d = x->d, .f64 = row, .weight = weight};
    return KYMO_OK;
}
