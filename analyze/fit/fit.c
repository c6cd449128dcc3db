/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/fit/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/core/reduce.h"
#include "analyze/fit/fit_ranks.h"
#include "analyze/fit/transform.h"
#include "format/base/size.h"
#include "format/io/load.h"
#include "format/num/parallel.h"

void kymo_fit_open(struct kymo_fit *f, const struct kymo_fit_opts *o, const char *tool)
{
    memset(f, 0, sizeof(*f));
    f->o = o;
    f->at = o->in;
    f->tool = tool;
    kymo_arena_init(&f->arena, KYMO_MATRIX_BYTES_MAX);
    kymo_matrix_init(&f->m, 0);
    f->m.wants_sequence = 1;
    kymo_model_init(&f->model);
}

void kymo_fit_close(struct kymo_fit *f)
{
    kymo_model_release(&f->model);
    kymo_matrix_release(&f->m);
    kymo_buf_release(&f->hashes);
    kymo_buf_release(&f->ends);
    kymo_arena_release(&f->arena);
}

kymo_status kymo_fit_no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

/* -- rows to the space of the states ---------------------------------------------------------- */

/* Blocks of rows that are put through the model's columns at once. */
struct moving {
    const struct kymo_fit *f;
    const size_t *row; /* [n] rows of the matrix */
    size_t n, block_rows;
    double *out64; /* [n,d]; or */
    float *out32;
    double *scratch; /* [n_blocks, 2 d] */
    kymo_status *status;
    struct kymo_err *err;
};

static void move_block(void *ctx, size_t block)
{
    struct moving *v = ctx;
    const size_t d = v->f->m.d, lo = block * v->block_rows;
    const size_t hi = lo + v->block_rows < v->n ? lo + v->block_rows : v->n;
    double *wide = v->scratch + 2 * d * block, *z = wide + d;
    for (size_t i = lo; i < hi && !v->status[block]; i++) {
        double *to = v->out64 ? v->out64 + i * d : z;
        v->status[block] =
            kymo_model_transform(&v->f->model, kymo_matrix_row(&v->f->m, v->row[i], wide), to,
                                 v->row[i], &v->err[block]);
        for (size_t j = 0; v->out32 && j < d; j++)
            v->out32[i * d + j] = (float)z[j];
    }
}

/* Rows of the matrix, bent and scaled, in the matrix's own precision. */
static kymo_status move_rows(struct kymo_fit *f, const size_t *row, size_t n,
                             struct kymo_dense *out, struct kymo_err *err)
{
    size_t cells;
    struct moving v = {.f = f, .row = row, .n = n, .block_rows = kymo_block_rows(n)};
    const size_t n_blocks = n ? (n + v.block_rows - 1) / v.block_rows : 0;
    if (!kymo_size_mul(n, f->m.d, &cells))
        return kymo_fit_no_memory(err);
    if (f->m.is_f32)
        v.out32 = KYMO_NEW_RAW(&f->arena, float, cells);
    else
        v.out64 = KYMO_NEW_RAW(&f->arena, double, cells);
    v.scratch = KYMO_NEW_RAW(&f->arena, double, 2 * f->m.d * n_blocks);
    v.status = KYMO_NEW(&f->arena, kymo_status, n_blocks);
    v.err = KYMO_NEW(&f->arena, struct kymo_err, n_blocks);
    if ((!v.out32 && !v.out64) || !v.scratch || !v.status || !v.err)
        return kymo_fit_no_memory(err);
    kymo_parallel(n_blocks, (unsigned)f->o->threads, move_block, &v);
    for (size_t b = 0; b < n_blocks; b++)
        if (v.status[b]) {
            if (err)
                *err = v.err[b];
            return v.status[b];
        }
    *out = (struct kymo_dense){.n = n, .d = f->m.d, .f32 = v.out32, .f64 = v.out64};
    return KYMO_OK;
}

/* Does every row of the matrix lie in the space as it is? Then nothing is copied. */
static bool is_as_read(const struct kymo_fit *f)
{
    return f->split.n_train == f->m.n && strcmp(f->transform, "none") == 0 && !f->n_muted;
}

static kymo_status project_rows(struct kymo_fit *f, const struct kymo_dense *z, double **out,
                                struct kymo_err *err)
{
    size_t cells;
    const struct kymo_pca p = {.d = f->m.d,
                               .m = f->model.p,
                               .mean = f->model.projection_mean,
                               .component = f->model.projection};
    *out =
        kymo_size_mul(z->n, f->model.p, &cells) ? KYMO_NEW_RAW(&f->arena, double, cells) : NULL;
    return *out ? kymo_pca_project(&p, z, (unsigned)f->o->threads, *out, err)
                : kymo_fit_no_memory(err);
}

/* --pca: "12" components, or "0.95" or "95%" of the variance. */
static kymo_status parse_pca(const struct kymo_fit *f, struct kymo_pca_in *in,
                             struct kymo_err *err)
{
    char *end;
    const double v = strtod(f->o->pca, &end);
    const bool percent = *end == '%' && !end[1];
    if (end != f->o->pca && (percent || !*end) && v > 0) {
        in->share = percent ? v / 100 : v < 1 ? v : 0;
        in->count = !percent && v >= 1 && v == floor(v) && v <= (double)f->m.d ? (size_t)v : 0;
        if (in->count || (in->share > 0 && in->share <= 1))
            return KYMO_OK;
    }
    return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                     "--pca wants a share of the variance like 0.95, or 1 to %zu components; "
                     "not '%.40s'",
                     f->m.d, f->o->pca);
}

static kymo_status fit_projection(struct kymo_fit *f, struct kymo_err *err)
{
    struct kymo_pca_in in = {.x = &f->X, .n_threads = (unsigned)f->o->threads};
    struct kymo_pca p;
    double *y;
    if (!f->o->pca)
        return KYMO_OK;
    KYMO_TRY(parse_pca(f, &in, err));
    KYMO_TRY(kymo_pca(&in, &f->arena, &p, err));
    KYMO_TRY(kymo_model_project(&f->model, p.m, err));
    memcpy(f->model.projection_mean, p.mean, p.d * sizeof(double));
    memcpy(f->model.projection, p.component, p.m * p.d * sizeof(double));
    f->pca_kept = p.kept;
    f->pca_variance = p.variance;
    KYMO_TRY(project_rows(f, &f->X, &y, err));
    f->X = (struct kymo_dense){.n = f->X.n, .d = f->model.p, .f64 = y, .weight = f->X.weight};
    return KYMO_OK;
}

static kymo_status load_weights(struct kymo_fit *f, struct kymo_err *err)
{
    if (!f->o->weights)
        return KYMO_OK;
    struct kymo_matrix w;
    kymo_matrix_init(&w, 0);
    double *weight = KYMO_NEW_RAW(&f->arena, double, f->split.n_train);
    kymo_status s = weight ? kymo_matrix_load(&w, f->o->weights, err) : kymo_fit_no_memory(err);
    if (!s && (w.n != f->m.n || w.d != 1))
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                      "%s is %zu by %zu, and %zu rows want one weight each", f->o->weights, w.n,
                      w.d, f->m.n);
    for (size_t i = 0; !s && i < f->split.n_train; i++) {
        weight[i] = kymo_matrix_at(&w, f->split.train[i], 0);
        if (!(weight[i] > 0))
            s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                          "%s: the weight of row %zu is %g, and has to be above 0",
                          f->o->weights, f->split.train[i] + 1, weight[i]);
    }
    kymo_matrix_release(&w);
    f->X.weight = weight;
    return s;
}

/* -- parts ------------------------------------------------------------------------------------ */

/* Blocks of time are held out of each part by itself, so that it does not matter who has which. */
static kymo_status split_part(struct kymo_fit *f, const struct kymo_matrix *part, size_t before,
                              struct kymo_err *err)
{
    struct kymo_split s, *to = &f->split;
    KYMO_TRY(kymo_split_rows(part, f->holdout, f->o->marked, &f->arena, &s, err));
    size_t *train = KYMO_NEW_RAW(&f->arena, size_t, to->n_train + s.n_train);
    size_t *hold = KYMO_NEW_RAW(&f->arena, size_t, to->n_hold + s.n_hold);
    if (!train || !hold)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < to->n_train; i++)
        train[i] = to->train[i];
    for (size_t i = 0; i < to->n_hold; i++)
        hold[i] = to->hold[i];
    for (size_t i = 0; i < s.n_train; i++)
        train[to->n_train + i] = before + s.train[i];
    for (size_t i = 0; i < s.n_hold; i++)
        hold[to->n_hold + i] = before + s.hold[i];
    *to = (struct kymo_split){.n_train = to->n_train + s.n_train,
                              .n_hold = to->n_hold + s.n_hold,
                              .n_lost = to->n_lost + s.n_lost,
                              .n_unmarked = to->n_unmarked + s.n_unmarked,
                              .train = train,
                              .hold = hold};
    const size_t end = before + part->n;
    kymo_buf_u64(&f->hashes, kymo_matrix_xxh3(part));
    kymo_buf_put(&f->ends, &end, sizeof(end));
    return f->hashes.failed || f->ends.failed ? kymo_fit_no_memory(err) : KYMO_OK;
}

/* What the first part of all decides, alike in every process. */
static kymo_status choose_by_first(struct kymo_fit *f, struct kymo_err *err)
{
    const struct kymo_fit_opts *o = f->o;
    f->transform = o->transform ? o->transform : f->m.has_spec ? "spec" : "none";
    f->holdout = o->holdout >= 0 ? o->holdout : f->m.has_spec ? 0.2 : 0;
    if (strcmp(f->transform, "spec") == 0 && !f->m.has_spec)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%s has no feature spec: --transform standard, robust, log1p or none",
                         o->in);
    return KYMO_OK;
}

static kymo_status load_another(struct kymo_fit *f, const char *path, struct kymo_err *err)
{
    struct kymo_matrix more;
    const size_t before = f->m.n;
    f->at = path;
    kymo_matrix_init(&more, 0);
    more.wants_sequence = 1;
    kymo_status s = kymo_matrix_load(&more, path, err);
    if (!s)
        s = kymo_matrix_append(&f->m, &more, path, err);
    if (!s)
        s = split_part(f, &more, before, err);
    kymo_matrix_release(&more);
    return s;
}

/* The parts of this process: a run of them, as long as the others'. */
static kymo_status load_parts(struct kymo_fit *f, struct kymo_err *err)
{
    const struct kymo_fit_opts *o = f->o;
    const size_t n = o->parts ? o->n_parts : 1;
    const size_t size = f->ranks ? (size_t)f->ranks->size : 1;
    const size_t rank = f->ranks ? (size_t)f->ranks->rank : 0;
    const size_t from = n * rank / size, to = n * (rank + 1) / size;
    if (n < size)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%zu processes want at least as many matrices, and there are %zu",
                         size, n);
    f->at = o->parts ? o->parts[from] : o->in;
    KYMO_TRY(kymo_matrix_load(&f->m, f->at, err));
    KYMO_TRY(choose_by_first(f, err));
    KYMO_TRY(split_part(f, &f->m, 0, err));
    for (size_t i = from + 1; o->parts && i < to; i++)
        KYMO_TRY(load_another(f, o->parts[i], err));
    return KYMO_OK;
}

static void count_all(struct kymo_fit *f)
{
    double n[] = {(double)f->m.n, (double)f->split.n_train, (double)f->split.n_hold,
                  (double)f->split.n_lost, (double)f->split.n_unmarked};
    kymo_ranks_sum(f->ranks, n, 5);
    f->all = (struct kymo_fit_rows){(size_t)n[0], (size_t)n[1], (size_t)n[2], (size_t)n[3],
                                    (size_t)n[4]};
}

static kymo_status load_rows(struct kymo_fit *f, struct kymo_err *err)
{
    const struct kymo_fit_opts *o = f->o;
    KYMO_TRY(load_parts(f, err));
    count_all(f);
    if (f->m.n == 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has no rows to learn from", f->at);
    if (f->split.n_train == 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: of %zu windows, %zu lost too much and %zu lie in no mark: none "
                         "is left to learn from",
                         o->in, f->m.n, f->split.n_lost, f->split.n_unmarked);
    return KYMO_OK;
}

/* What nobody can work out from the rows of one process, and sums do not tell. */
static kymo_status check_ranks(const struct kymo_fit *f, struct kymo_err *err)
{
    const struct kymo_fit_opts *o = f->o;
    const bool robust = o->transform && strcmp(o->transform, "robust") == 0;
    const char *what = o->pca       ? "--pca"
                       : o->weights ? "--weights"
                       : o->labels  ? "-o"
                       : robust     ? "--transform robust"
                                    : NULL;
    return f->ranks && what
               ? KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "%s does not go with --mpi", what)
               : KYMO_OK;
}

kymo_status kymo_fit_prepare(struct kymo_fit *f, struct kymo_err *err)
{
    KYMO_TRY(check_ranks(f, err));
    KYMO_TRY(load_rows(f, err));
    KYMO_TRY(kymo_model_shape(&f->model, f->m.d, 1, err));
    KYMO_TRY(kymo_fit_columns(f, err));
    if (is_as_read(f))
        f->X = kymo_matrix_dense(&f->m);
    else
        KYMO_TRY(move_rows(f, f->split.train, f->split.n_train, &f->X, err));
    KYMO_TRY(load_weights(f, err));
    return fit_projection(f, err);
}

kymo_status kymo_fit_place_file(struct kymo_fit *f, const char *path, size_t *k, double **C,
                                struct kymo_err *err)
{
    struct kymo_matrix c;
    kymo_matrix_init(&c, 0);
    double *z = KYMO_NEW_RAW(&f->arena, double, f->m.d), *out = NULL;
    kymo_status s = z ? kymo_matrix_load(&c, path, err) : kymo_fit_no_memory(err);
    if (!s && c.d != f->m.d)
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has %zu columns, the matrix has %zu",
                      path, c.d, f->m.d);
    if (!s && c.n == 0)
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has no rows", path);
    if (!s && !(out = KYMO_NEW_RAW(&f->arena, double, c.n * f->model.p)))
        s = kymo_fit_no_memory(err);
    for (size_t i = 0; !s && i < c.n; i++) {
        s = kymo_model_transform(&f->model, kymo_matrix_row(&c, i, z), z, i, err);
        double *to = out + i * f->model.p;
        if (!s && kymo_model_place(&f->model, z, to) == z)
            memcpy(to, z, f->model.p * sizeof(double));
    }
    if (!s) {
        *k = c.n;
        *C = out;
    }
    kymo_matrix_release(&c);
    return s;
}
