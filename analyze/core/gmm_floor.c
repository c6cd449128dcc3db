/* SPDX-License-Identifier: Apache-2.0
 * The M step of gmm_step.h: sums into parameters, and parameters held to the floor.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "analyze/core/eigen.h"
#include "analyze/core/gmm_step.h"
#include "format/base/size.h"
#include "format/num/linalg.h"
#include "format/num/simd/moments.h"

/* The square of a shift may be so many variances: what cancels then costs 20 of 52 bits. */
#define SHIFT_VARIANCES_MAX 0x1p20

/* P with P^T P = M^T M, lower-triangular: M = Q P by modified Gram-Schmidt from the last column
 * on. columns [d,d]: M's columns, one a row; used up. */
static void lower_of(size_t d, double *columns, double *P)
{
    memset(P, 0, d * d * sizeof(double));
    for (size_t j = d; j-- > 0;) {
        double *q = columns + j * d, square = 0;
        for (size_t i = 0; i < d; i++)
            square += q[i] * q[i];
        P[j * d + j] = sqrt(square);
        for (size_t i = 0; i < d; i++)
            q[i] /= P[j * d + j];
        for (size_t l = 0; l < j; l++) {
            double *m = columns + l * d, dot = 0;
            for (size_t i = 0; i < d; i++)
                dot += q[i] * m[i];
            P[j * d + l] = dot;
            for (size_t i = 0; i < d; i++)
                m[i] -= dot * q[i];
        }
    }
}

/*
 * Raise a covariance to the floor in every direction: with columns scaled so that the floor is 1,
 * eigenvalues below 1 become 1. Of all covariances not below the floor that is the likeliest. The
 * factor comes from the eigenvectors and not from the raised covariance, whose small eigenvalues
 * rounding would blur.
 *
 * scaled  [d,d] cov with columns and rows divided by unit; used up
 * work    [d,d] and value [d] scratch
 * returns how many directions were raised; SIZE_MAX where no eigenvalues are found
 */
static size_t raise_cov(size_t d, const double *unit, double *scaled, double *work,
                        double *value, double *cov, double *factor)
{
    if (!kymo_eigen_sym(d, scaled, value))
        return SIZE_MAX;
    size_t raised = 0;
    while (raised < d && value[raised] < 1)
        value[raised++] = 1;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t a = 0; a < d; a++)
                sum += scaled[a * d + i] * value[a] * scaled[a * d + j];
            cov[i * d + j] = cov[j * d + i] = sum * unit[i] * unit[j];
        }
    for (size_t i = 0; i < d; i++)
        for (size_t a = 0; a < d; a++)
            work[i * d + a] = scaled[a * d + i] / sqrt(value[a]) / unit[i];
    lower_of(d, work, factor);
    return raised;
}

struct hold {
    double *unit, *scaled, *work, *value; /* [d], [d,d], [d,d], [d] */
};

/* One covariance matrix held to the floor, and its factor. */
static kymo_status hold_matrix(size_t d, const struct hold *h, double *cov, double *factor,
                               struct kymo_gmm_floors *floors, struct kymo_err *err)
{
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            h->scaled[i * d + j] = cov[i * d + j] / h->unit[i] / h->unit[j] - (i == j);
    /* Definite without the floor means above it: then there is nothing to do. */
    if (kymo_cholesky(d, h->scaled, h->work) && kymo_cholesky(d, cov, h->work)) {
        kymo_lower_inverse(d, h->work, factor);
        return KYMO_OK;
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            h->scaled[i * d + j] = cov[i * d + j] / h->unit[i] / h->unit[j];
    const size_t raised = raise_cov(d, h->unit, h->scaled, h->work, h->value, cov, factor);
    if (raised == SIZE_MAX)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "the eigenvalues of a covariance of %zu columns cannot be found", d);
    floors->axes += raised;
    floors->components += raised > 0;
    return KYMO_OK;
}

static void hold_variances(size_t n, const double *least, double *var, double *factor,
                           struct kymo_gmm_floors *floors)
{
    size_t raised = 0;
    for (size_t j = 0; j < n; j++) {
        if (!(var[j] >= least[j])) {
            var[j] = least[j];
            raised++;
        }
        factor[j] = 1 / sqrt(var[j]);
    }
    floors->axes += raised;
    floors->components += raised > 0;
}

kymo_status kymo_gmm_hold(const double *floor, struct kymo_mixture *m,
                          struct kymo_gmm_floors *floors, struct kymo_arena *a,
                          struct kymo_err *err)
{
    const size_t d = m->d, k = m->k;
    if (m->type == KYMO_COV_DIAG) {
        for (size_t c = 0; c < k; c++)
            hold_variances(d, floor, m->cov + c * d, m->factor + c * d, floors);
        return KYMO_OK;
    }
    if (m->type == KYMO_COV_SPHERICAL) {
        double least = 0;
        for (size_t j = 0; j < d; j++)
            least += floor[j] / (double)d;
        for (size_t c = 0; c < k; c++)
            hold_variances(1, &least, m->cov + c, m->factor + c, floors);
        return KYMO_OK;
    }
    const struct hold h = {KYMO_NEW_RAW(a, double, d), KYMO_NEW_RAW(a, double, d *d),
                           KYMO_NEW_RAW(a, double, d *d), KYMO_NEW_RAW(a, double, d)};
    if (!h.unit || !h.scaled || !h.work || !h.value)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the floor of %zu columns passes the memory budget", d);
    for (size_t j = 0; j < d; j++)
        h.unit[j] = sqrt(floor[j]);
    const size_t n = m->type == KYMO_COV_FULL ? k : 1;
    for (size_t c = 0; c < n; c++)
        KYMO_TRY(hold_matrix(d, &h, m->cov + c * d * d, m->factor + c * d * d, floors, err));
    return KYMO_OK;
}

/* cov = second / mass - off off^T, for one component; off [d] from the shift to the mean. */
static void cov_full(size_t d, const double *tiles, double mass, const double *off, double *cov)
{
    kymo_tiles_unpack(d, tiles, cov);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            cov[i * d + j] = cov[i * d + j] / mass - off[i] * off[j];
}

static void cov_tied(const struct kymo_gmm_pass *p, double total, double *cov)
{
    const size_t d = p->in->x->d;
    kymo_tiles_unpack(d, p->all.second, cov);
    for (size_t c = 0; c < p->in->k; c++) {
        const double *first = p->all.first + c * d, mass = p->all.mass[c];
        for (size_t i = 0; i < d && mass > 0; i++)
            for (size_t j = 0; j < d; j++)
                cov[i * d + j] -= first[i] / mass * first[j];
    }
    for (size_t i = 0; i < d * d; i++)
        cov[i] /= total;
}

static void add_reg(struct kymo_mixture *m, double reg)
{
    const size_t d = m->d;
    size_t size = 0;
    kymo_mixture_cov_size(m->type, m->k, d, &size);
    const bool is_matrix = m->type == KYMO_COV_FULL || m->type == KYMO_COV_TIED;
    for (size_t i = 0; reg > 0 && i < size; i++)
        if (!is_matrix || i % (d * d) % (d + 1) == 0)
            m->cov[i] += reg;
}

/* One component's mean and, where it has its own, covariance. */
static void maximize_one(const struct kymo_gmm_pass *p, size_t c, double *off,
                         struct kymo_mixture *m)
{
    const size_t d = m->d;
    const double mass = p->all.mass[c];
    double spread = 0;
    for (size_t j = 0; j < d; j++) {
        off[j] = p->all.first[c * d + j] / mass;
        m->mean[c * d + j] = p->shift[c * d + j] + off[j];
    }
    if (m->type == KYMO_COV_FULL) {
        cov_full(d, p->all.second + c * kymo_tiles_size(d), mass, off, m->cov + c * d * d);
        return;
    }
    for (size_t j = 0; j < d && m->type != KYMO_COV_TIED; j++) {
        const double var = p->all.second[c * d + j] / mass - off[j] * off[j];
        if (m->type == KYMO_COV_DIAG)
            m->cov[c * d + j] = var;
        spread += var;
    }
    if (m->type == KYMO_COV_SPHERICAL)
        m->cov[c] = spread / (double)d;
}

static kymo_status check_finite(const struct kymo_mixture *m, struct kymo_err *err)
{
    size_t size = 0;
    kymo_mixture_cov_size(m->type, m->k, m->d, &size);
    bool finite = true;
    for (size_t i = 0; i < m->k * m->d; i++)
        finite = finite && isfinite(m->mean[i]);
    for (size_t i = 0; i < size; i++)
        finite = finite && isfinite(m->cov[i]);
    if (!finite)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "the columns are so large that their squares overflow: scale them");
    return KYMO_OK;
}

kymo_status kymo_gmm_maximize(const struct kymo_gmm_pass *p, struct kymo_mixture *m,
                              struct kymo_gmm_floors *floors, struct kymo_arena *a,
                              struct kymo_err *err)
{
    const size_t k = m->k;
    double total = 0;
    for (size_t c = 0; c < k; c++)
        total += p->all.mass[c];
    *floors = (struct kymo_gmm_floors){0};
    kymo_arena_reset(a);
    double *off = KYMO_NEW_RAW(a, double, m->d);
    if (!off)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for a row");
    for (size_t c = 0; c < k; c++) {
        if (!(p->all.mass[c] > KYMO_GMM_MASS_MIN * total)) {
            m->weight[c] = 0;
            floors->given_up++;
            continue;
        }
        m->weight[c] = p->all.mass[c] / total;
        maximize_one(p, c, off, m);
    }
    if (m->type == KYMO_COV_TIED)
        cov_tied(p, total, m->cov);
    add_reg(m, p->in->reg);
    KYMO_TRY(check_finite(m, err));
    return kymo_gmm_hold(p->floor, m, floors, a, err);
}

bool kymo_gmm_moved_far(const struct kymo_gmm_pass *p, const struct kymo_mixture *m)
{
    const size_t d = m->d;
    for (size_t c = 0; c < m->k; c++) {
        const double *mean = m->mean + c * d, *shift = p->shift + c * d;
        for (size_t j = 0; j < d && m->weight[c] > 0; j++) {
            double t = 0;
            if (m->type == KYMO_COV_DIAG || m->type == KYMO_COV_SPHERICAL) {
                t = fabs(mean[j] - shift[j]) *
                    m->factor[m->type == KYMO_COV_DIAG ? c * d + j : c];
            } else {
                const double *P =
                    m->factor + (m->type == KYMO_COV_FULL ? c * d * d : 0) + j * d;
                for (size_t i = 0; i <= j; i++)
                    t += fabs(P[i] * (mean[i] - shift[i]));
            }
            if (t * t > SHIFT_VARIANCES_MAX)
                return true;
        }
    }
    return false;
}
