/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/mixture.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "format/base/size.h"
#include "format/num/linalg.h"

bool kymo_mixture_cov_size(enum kymo_cov type, size_t k, size_t d, size_t *size)
{
    size_t square, kd;
    if (!kymo_size_mul(d, d, &square) || !kymo_size_mul(k, d, &kd))
        return false;
    switch (type) {
    case KYMO_COV_FULL:
        return kymo_size_mul(k, square, size);
    case KYMO_COV_TIED:
        *size = square;
        return true;
    case KYMO_COV_DIAG:
        *size = kd;
        return true;
    case KYMO_COV_SPHERICAL:
        *size = k;
        return true;
    }
    return false;
}

double kymo_mixture_n_params(enum kymo_cov type, size_t k, size_t d)
{
    const double components = (double)k, cols = (double)d;
    const double free = components - 1 + components * cols;
    switch (type) {
    case KYMO_COV_FULL:
        return free + components * cols * (cols + 1) / 2;
    case KYMO_COV_TIED:
        return free + cols * (cols + 1) / 2;
    case KYMO_COV_DIAG:
        return free + components * cols;
    case KYMO_COV_SPHERICAL:
        return free + components;
    }
    return free;
}

kymo_status kymo_mixture_new(struct kymo_mixture *m, enum kymo_cov type, size_t k, size_t d,
                             struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_mixture got = {.type = type, .k = k, .d = d};
    size_t kd, cov_size;
    if (kymo_size_mul(k, d, &kd) && kymo_mixture_cov_size(type, k, d, &cov_size)) {
        got.weight = KYMO_NEW(arena, double, k);
        got.mean = KYMO_NEW(arena, double, kd);
        got.cov = KYMO_NEW(arena, double, cov_size);
        got.factor = KYMO_NEW(arena, double, cov_size);
    }
    if (!got.weight || !got.mean || !got.cov || !got.factor)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a mixture of %zu components of %zu columns passes the memory budget",
                         k, d);
    *m = got;
    return KYMO_OK;
}

void kymo_mixture_copy(struct kymo_mixture *m, const struct kymo_mixture *from)
{
    assert(m->type == from->type && m->k == from->k && m->d == from->d);
    size_t size = 0;
    kymo_mixture_cov_size(m->type, m->k, m->d, &size);
    memcpy(m->weight, from->weight, m->k * sizeof(double));
    memcpy(m->mean, from->mean, m->k * m->d * sizeof(double));
    memcpy(m->cov, from->cov, size * sizeof(double));
    memcpy(m->factor, from->factor, size * sizeof(double));
}

/* P of A [d,d]; A is gone to its Cholesky factor in the end. */
static bool factorize_matrix(size_t d, const double *A, double *L, double *P)
{
    if (!kymo_cholesky(d, A, L))
        return false;
    kymo_lower_inverse(d, L, P);
    return true;
}

kymo_status kymo_mixture_factorize(struct kymo_mixture *m, struct kymo_err *err)
{
    size_t size = 0;
    kymo_mixture_cov_size(m->type, m->k, m->d, &size);
    if (m->type == KYMO_COV_DIAG || m->type == KYMO_COV_SPHERICAL) {
        for (size_t i = 0; i < size; i++) {
            if (!(m->cov[i] > 0))
                return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                                 "variance %zu of the mixture is not above 0", i);
            m->factor[i] = 1 / sqrt(m->cov[i]);
        }
        return KYMO_OK;
    }
    const size_t square = m->d * m->d;
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, SIZE_MAX);
    kymo_status s = KYMO_OK;
    double *L = KYMO_NEW_RAW(&scratch, double, square);
    if (!L)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for a factor of %zu columns",
                      m->d);
    for (size_t at = 0; !s && at < size; at += square)
        if (!factorize_matrix(m->d, m->cov + at, L, m->factor + at))
            s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                          "covariance %zu of the mixture is not positive definite",
                          at / square);
    kymo_arena_release(&scratch);
    return s;
}

static void restrict_matrix(size_t d, const double *A, size_t n_cols, const size_t *col,
                            double *out)
{
    for (size_t i = 0; i < n_cols; i++)
        for (size_t j = 0; j < n_cols; j++)
            out[i * n_cols + j] = A[col[i] * d + col[j]];
}

kymo_status kymo_mixture_restrict(const struct kymo_mixture *m, size_t n_cols,
                                  const size_t *col, struct kymo_arena *arena,
                                  struct kymo_mixture *out, struct kymo_err *err)
{
    assert(n_cols >= 1 && n_cols <= m->d);
    const size_t k = m->k, d = m->d;
    struct kymo_mixture got;
    KYMO_TRY(kymo_mixture_new(&got, m->type, k, n_cols, arena, err));
    memcpy(got.weight, m->weight, k * sizeof(double));
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < n_cols; j++)
            got.mean[c * n_cols + j] = m->mean[c * d + col[j]];
    switch (m->type) {
    case KYMO_COV_FULL:
        for (size_t c = 0; c < k; c++)
            restrict_matrix(d, m->cov + c * d * d, n_cols, col, got.cov + c * n_cols * n_cols);
        break;
    case KYMO_COV_TIED:
        restrict_matrix(d, m->cov, n_cols, col, got.cov);
        break;
    case KYMO_COV_DIAG:
        for (size_t c = 0; c < k; c++)
            for (size_t j = 0; j < n_cols; j++)
                got.cov[c * n_cols + j] = m->cov[c * d + col[j]];
        break;
    case KYMO_COV_SPHERICAL:
        memcpy(got.cov, m->cov, k * sizeof(double));
        break;
    }
    KYMO_TRY(kymo_mixture_factorize(&got, err));
    *out = got;
    return KYMO_OK;
}
