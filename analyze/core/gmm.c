/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/gmm.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "analyze/core/gmm_step.h"

struct fit {
    const struct kymo_gmm_in *in;
    struct kymo_gmm_pass pass;
    struct kymo_arena work; /* of one M step */
    struct kymo_gmm_floors floors;
};

static void shift_to(struct kymo_gmm_pass *p, const struct kymo_mixture *m)
{
    memcpy(p->shift, m->mean, m->k * m->d * sizeof(double));
}

/* The sums of the pass just made into m; made again around the new means where that is needed. */
static kymo_status step(struct fit *f, struct kymo_mixture *m, struct kymo_err *err)
{
    KYMO_TRY(kymo_gmm_maximize(&f->pass, m, &f->floors, &f->work, err));
    if (!kymo_gmm_moved_far(&f->pass, m))
        return KYMO_OK;
    shift_to(&f->pass, m);
    kymo_gmm_pass_run(&f->pass);
    return kymo_gmm_maximize(&f->pass, m, &f->floors, &f->work, err);
}

/* What a component without a row starts as: like all rows together. */
static void like_all(const struct kymo_gmm_pass *p, struct kymo_mixture *m)
{
    const size_t k = m->k, d = m->d;
    memcpy(m->mean, p->shift, k * d * sizeof(double));
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++)
            switch (m->type) {
            case KYMO_COV_FULL:
                m->cov[(c * d + j) * d + j] = p->var[j];
                break;
            case KYMO_COV_DIAG:
                m->cov[c * d + j] = p->var[j];
                break;
            case KYMO_COV_SPHERICAL:
                m->cov[c] += p->var[j] / (double)d;
                break;
            case KYMO_COV_TIED:
                break;
            }
}

static kymo_status begin(struct fit *f, struct kymo_mixture *m, struct kymo_err *err)
{
    const struct kymo_mixture *start = f->in->start;
    if (!start) {
        like_all(&f->pass, m);
        f->pass.from_start = f->pass.with_sums = true;
        kymo_gmm_pass_run(&f->pass);
        KYMO_TRY(step(f, m, err));
        f->pass.from_start = false;
        return KYMO_OK;
    }
    size_t size = 0;
    kymo_mixture_cov_size(m->type, m->k, m->d, &size);
    memcpy(m->weight, start->weight, m->k * sizeof(double));
    memcpy(m->mean, start->mean, m->k * m->d * sizeof(double));
    memcpy(m->cov, start->cov, size * sizeof(double));
    for (size_t c = 0; c < m->k; c++)
        f->floors.given_up += !(m->weight[c] > 0);
    return kymo_gmm_hold(f->pass.floor, m, &f->floors, &f->work, err);
}

static bool is_stopped(const struct kymo_gmm_in *in)
{
    return in->stop && *in->stop;
}

static kymo_status iterate(struct fit *f, struct kymo_gmm_out *out, struct kymo_err *err)
{
    const struct kymo_gmm_in *in = f->in;
    struct kymo_gmm_pass *p = &f->pass;
    for (size_t i = 0;; i++) {
        kymo_mixture_plan_set(&p->plan, &out->mix);
        shift_to(p, &out->mix);
        p->with_sums = i < in->max_iter;
        kymo_gmm_pass_run(p);
        out->trace[i] = p->all.loglik;
        out->iterations = i;
        if (in->tick) {
            const struct kymo_gmm_tick t = {i, p->all.loglik};
            in->tick(in->tick_ctx, &t);
        }
        if (i > 0 && fabs(out->trace[i] - out->trace[i - 1]) < in->tol * p->total)
            out->why = KYMO_GMM_CONVERGED;
        else if (i == in->max_iter)
            out->why = KYMO_GMM_MAX_ITER;
        else if (is_stopped(in))
            out->why = KYMO_GMM_STOPPED;
        else {
            KYMO_TRY(step(f, &out->mix, err));
            continue;
        }
        return KYMO_OK;
    }
}

static void criteria(const struct fit *f, struct kymo_gmm_out *out)
{
    const struct kymo_mixture *m = &out->mix;
    out->loglik = f->pass.all.loglik;
    out->entropy = f->pass.all.entropy;
    out->n_params = kymo_mixture_n_params(m->type, m->k, m->d);
    out->bic = -2 * out->loglik + out->n_params * log(f->pass.total);
    out->aic = -2 * out->loglik + 2 * out->n_params;
    out->icl = out->bic + 2 * out->entropy;
    out->floored = f->floors.components;
    out->floored_axes = f->floors.axes;
    out->given_up = f->floors.given_up;
}

kymo_status kymo_gmm(const struct kymo_gmm_in *in, struct kymo_arena *arena,
                     struct kymo_gmm_out *out, struct kymo_err *err)
{
    assert(in->k >= 1 && in->x->n >= 1 && in->x->d >= 1 && in->max_iter >= 1);
    assert(in->ranks || in->k <= in->x->n);
    assert(!in->start + !in->label + !in->resp == 2);
    struct kymo_gmm_out got = {0};
    KYMO_TRY(kymo_mixture_new(&got.mix, in->type, in->k, in->x->d, arena, err));
    got.trace = in->max_iter < SIZE_MAX ? KYMO_NEW_RAW(arena, double, in->max_iter + 1) : NULL;
    if (!got.trace)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a trace of %zu steps passes the memory budget", in->max_iter);
    struct fit f = {.in = in};
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes);
    kymo_arena_init(&f.work, arena->cap_bytes);
    kymo_status s = kymo_gmm_pass_new(&f.pass, in, &scratch, err);
    if (!s)
        s = begin(&f, &got.mix, err);
    if (!s)
        s = iterate(&f, &got, err);
    if (!s) {
        criteria(&f, &got);
        *out = got;
    }
    kymo_arena_release(&f.work);
    kymo_arena_release(&scratch);
    return s;
}

const char *kymo_gmm_stop_name(enum kymo_gmm_stop why)
{
    switch (why) {
    case KYMO_GMM_CONVERGED:
        return "log-likelihood unchanged";
    case KYMO_GMM_MAX_ITER:
        return "iteration limit";
    case KYMO_GMM_STOPPED:
        return "stopped by a signal";
    }
    return "unknown";
}
