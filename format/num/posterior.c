/* SPDX-License-Identifier: Apache-2.0
 * The densities of mixture.h, a tile of rows at a time.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "format/base/size.h"
#include "format/num/mixture.h"
#include "format/num/parallel.h"
#include "format/num/simd/softmax.h"
#include "format/num/simd/strips.h"
#include "format/num/slots.h"

/* Doubles of rows in a tile: with as much again for densities they stay in a second-level cache. */
#define TILE_DOUBLES 24576u
#define TILE_ROWS_MIN 48u
#define TILE_ROWS_MAX 384u

/* Components that kymo_quad_diag() is given in one go: as many as it takes at once. */
#define COMPS_AT_ONCE 4u

#define CACHE_LINE_BYTES 64u

#define LOG_2PI 1.8378770664093454836

/* Shares nearer than this, relative to the larger log density, are compared anew in plain double:
 * else which is the larger could depend on the vector instructions. Far above any rounding. */
#define NEAR_TIE 0x1p-30

static size_t tile_rows_of(size_t d)
{
    const size_t rows = TILE_DOUBLES / (d ? d : 1) / KYMO_STRIP_ROWS * KYMO_STRIP_ROWS;
    return rows < TILE_ROWS_MIN ? TILE_ROWS_MIN : rows > TILE_ROWS_MAX ? TILE_ROWS_MAX : rows;
}

static size_t matrices_of(enum kymo_cov type, size_t k)
{
    return type == KYMO_COV_FULL ? k : type == KYMO_COV_TIED ? 1 : 0;
}

kymo_status kymo_mixture_plan_new(struct kymo_mixture_plan *p, enum kymo_cov type, size_t k,
                                  size_t d, enum kymo_simd level, struct kymo_arena *arena,
                                  struct kymo_err *err)
{
    struct kymo_mixture_plan got = {.type = type, .level = level, .k = k, .d = d};
    got.tile_rows = tile_rows_of(d);
    const size_t padded = kymo_size_round_up(d, KYMO_FACTOR_ROWS);
    got.scratch_size = got.tile_rows * d + 2 * padded * KYMO_STRIP_ROWS;
    const size_t matrices = matrices_of(type, k);
    size_t kd, packed;
    bool ok =
        kymo_size_mul(k, 2 * d, &kd) && kymo_size_mul(matrices, kymo_factor_packed(d), &packed);
    if (ok) {
        got.constant = KYMO_NEW_RAW(arena, double, k);
        got.mean = KYMO_NEW_RAW(arena, double, kd / 2);
        got.packed = KYMO_NEW_RAW(arena, double, packed);
        ok = got.constant && got.mean && got.packed;
    }
    if (ok && type != KYMO_COV_FULL)
        ok = (got.pairs = KYMO_NEW_RAW(arena, double, kd)) != NULL;
    if (!ok)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "densities of %zu components of %zu columns pass the memory budget", k,
                         d);
    *p = got;
    return KYMO_OK;
}

static double log_det_lower(size_t d, const double *P)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += log(P[j * d + j]);
    return sum;
}

/* Sum of log(1 / sd), of component c or of all alike. */
static double log_det(const struct kymo_mixture *m, size_t c)
{
    const size_t d = m->d;
    double sum = 0;
    switch (m->type) {
    case KYMO_COV_FULL:
        return log_det_lower(d, m->factor + c * d * d);
    case KYMO_COV_TIED:
        return log_det_lower(d, m->factor);
    case KYMO_COV_DIAG:
        for (size_t j = 0; j < d; j++)
            sum += log(m->factor[c * d + j]);
        return sum;
    case KYMO_COV_SPHERICAL:
        return (double)d * log(m->factor[c]);
    }
    return sum;
}

static void set_pairs(struct kymo_mixture_plan *p, const struct kymo_mixture *m)
{
    for (size_t c = 0; c < p->k; c++)
        for (size_t j = 0; j < p->d; j++) {
            double *pair = p->pairs + (c * p->d + j) * 2;
            pair[0] = m->factor[m->type == KYMO_COV_DIAG ? c * p->d + j : c];
            pair[1] = m->mean[c * p->d + j] * pair[0];
        }
}

/* Rows are turned by P around the mixture's mean once; there all components are round. */
static void set_tied(struct kymo_mixture_plan *p, const struct kymo_mixture *m)
{
    const size_t k = p->k, d = p->d;
    memset(p->mean, 0, d * sizeof(double));
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++)
            p->mean[j] += m->weight[c] * m->mean[c * d + j];
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++) {
            double turned = 0;
            for (size_t i = 0; i <= j; i++)
                turned += m->factor[j * d + i] * (m->mean[c * d + i] - p->mean[i]);
            double *pair = p->pairs + (c * d + j) * 2;
            pair[0] = 1;
            pair[1] = turned;
        }
    kymo_factor_pack(d, m->factor, p->packed);
}

void kymo_mixture_plan_set(struct kymo_mixture_plan *p, const struct kymo_mixture *m)
{
    assert(p->type == m->type && p->k == m->k && p->d == m->d);
    const size_t d = p->d;
    for (size_t c = 0; c < p->k; c++)
        p->constant[c] = log(m->weight[c]) + log_det(m, c) - (double)d / 2 * LOG_2PI;
    if (m->type == KYMO_COV_FULL) {
        memcpy(p->mean, m->mean, p->k * d * sizeof(double));
        for (size_t c = 0; c < p->k; c++)
            kymo_factor_pack(d, m->factor + c * d * d, p->packed + c * kymo_factor_packed(d));
    } else if (m->type == KYMO_COV_TIED) {
        set_tied(p, m);
    } else {
        set_pairs(p, m);
    }
}

/* The rows behind a tile, which are fetched while it is worked on: a few lines before each kernel,
 * as many as memory can have under way. */
struct ahead {
    const char *at, *end;
    size_t step_bytes;
};

static struct ahead look_ahead(const struct kymo_dense *x, size_t lo, size_t n_rows,
                               size_t n_kernels)
{
    const size_t rows = x->n - lo < n_rows ? x->n - lo : n_rows;
    const size_t row_bytes = x->d * (x->f32 ? sizeof(float) : sizeof(double));
    const char *at = x->f32 ? (const char *)x->f32 : (const char *)x->f64;
    at += lo * row_bytes;
    const size_t lines = (rows * row_bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES;
    return (struct ahead){at, at + rows * row_bytes,
                          (lines + n_kernels - 1) / n_kernels * CACHE_LINE_BYTES};
}

static void fetch(struct ahead *a)
{
    const size_t left = (size_t)(a->end - a->at);
    const size_t size = left < a->step_bytes ? left : a->step_bytes;
    for (size_t i = 0; i < size; i += CACHE_LINE_BYTES)
        __builtin_prefetch(a->at + i, 0, 2);
    a->at += size;
}

static void tile_full(const struct kymo_mixture_plan *p, size_t n_strips, const double *strips,
                      double *diff, struct ahead *ahead, double *lp)
{
    const size_t d = p->d;
    for (size_t c = 0; c < p->k; c++)
        for (size_t s = 0; s < n_strips; s++) {
            fetch(ahead);
            kymo_quad_factor(p->level, d, strips + s * d * KYMO_STRIP_ROWS, p->mean + c * d,
                             p->packed + c * kymo_factor_packed(d), diff, NULL,
                             lp + c * p->tile_rows + s * KYMO_STRIP_ROWS);
        }
}

static void tile_diag(const struct kymo_mixture_plan *p, size_t n_strips, const double *strips,
                      double *diff, struct ahead *ahead, double *lp)
{
    const size_t d = p->d, k = p->k, stride = p->tile_rows;
    double *turned = diff + kymo_size_round_up(d, KYMO_FACTOR_ROWS) * KYMO_STRIP_ROWS;
    for (size_t s = 0; s < n_strips; s++) {
        const double *strip = strips + s * d * KYMO_STRIP_ROWS;
        if (p->type == KYMO_COV_TIED) {
            double all[KYMO_STRIP_ROWS];
            kymo_quad_factor(p->level, d, strip, p->mean, p->packed, diff, turned, all);
            strip = turned;
        }
        for (size_t c = 0; c < k; c += COMPS_AT_ONCE) {
            const size_t n = k - c < COMPS_AT_ONCE ? k - c : COMPS_AT_ONCE;
            fetch(ahead);
            kymo_quad_diag(p->level, d, n, strip, p->pairs + c * d * 2, stride,
                           lp + c * stride + s * KYMO_STRIP_ROWS);
        }
    }
}

void kymo_mixture_tile(const struct kymo_mixture_plan *p, const struct kymo_dense *x, size_t lo,
                       size_t n_rows, double *scratch, double *lp)
{
    assert(n_rows >= 1 && n_rows <= p->tile_rows);
    const size_t k = p->k, stride = p->tile_rows, n_strips = kymo_strips_of(n_rows);
    const bool full = p->type == KYMO_COV_FULL;
    double *diff = scratch + stride * p->d;
    const size_t kernels = full ? k : (k + COMPS_AT_ONCE - 1) / COMPS_AT_ONCE;
    struct ahead ahead = look_ahead(x, lo + n_rows, n_rows, n_strips * kernels);
    kymo_strips(p->level, x, lo, n_rows, scratch);
    (full ? tile_full : tile_diag)(p, n_strips, scratch, diff, &ahead, lp);
    for (size_t c = 0; c < k; c++) {
        double *restrict row = lp + c * stride;
        const double constant = p->constant[c];
        for (size_t r = 0; r < n_strips * KYMO_STRIP_ROWS; r++)
            row[r] = constant - row[r] / 2;
    }
}

struct job {
    const struct kymo_mixture *m;
    const struct kymo_mixture_plan *plan;
    const struct kymo_dense *x;
    const struct kymo_posterior *out;
    double *scratch;  /* [slots, slot_size] */
    size_t slot_size; /* a tile's scratch, lp, resp, log_sum, entropy */
};

/* log(weight N(x)) of one row and component, in plain double and one order. */
static double log_density_plain(const struct job *j, size_t i, size_t c)
{
    const struct kymo_mixture *m = j->m;
    const size_t d = m->d;
    const double *mean = m->mean + c * d;
    double q = 0;
    for (size_t a = 0; a < d; a++) {
        double t = 0;
        if (m->type == KYMO_COV_DIAG || m->type == KYMO_COV_SPHERICAL) {
            t = (kymo_dense_at(j->x, i, a) - mean[a]) *
                m->factor[m->type == KYMO_COV_DIAG ? c * d + a : c];
        } else {
            const double *P = m->factor + (m->type == KYMO_COV_FULL ? c * d * d : 0) + a * d;
            for (size_t b = 0; b <= a; b++)
                t += P[b] * (kymo_dense_at(j->x, i, b) - mean[b]);
        }
        q += t * t;
    }
    return j->plan->constant[c] - (q < KYMO_QUAD_MAX ? q : KYMO_QUAD_MAX) / 2;
}

static uint32_t label_of(const struct job *j, size_t i, const double *lp)
{
    const size_t stride = j->plan->tile_rows, k = j->plan->k;
    size_t best = 0;
    for (size_t c = 1; c < k; c++)
        if (lp[c * stride] > lp[best * stride])
            best = c;
    const double top = lp[best * stride], near = top - NEAR_TIE * (1 + fabs(top));
    size_t n_near = 0;
    for (size_t c = 0; c < k; c++)
        n_near += lp[c * stride] >= near;
    if (n_near == 1)
        return (uint32_t)best;
    double most = -INFINITY;
    for (size_t c = 0; c < k; c++) {
        const double exact = lp[c * stride] >= near ? log_density_plain(j, i, c) : -INFINITY;
        if (exact > most) {
            most = exact;
            best = c;
        }
    }
    return (uint32_t)best;
}

static void posterior_block(void *ctx, size_t block, size_t slot)
{
    const struct job *j = ctx;
    const struct kymo_mixture_plan *p = j->plan;
    const size_t stride = p->tile_rows, k = p->k, lo = block * stride;
    const size_t n_rows = j->x->n - lo < stride ? j->x->n - lo : stride;
    double *scratch = j->scratch + slot * j->slot_size;
    double *lp = scratch + p->scratch_size, *resp = lp + k * stride;
    double *log_sum = resp + k * stride, *entropy = log_sum + stride;
    kymo_mixture_tile(p, j->x, lo, n_rows, scratch, lp);
    if (j->out->log_resp || j->out->log_density)
        kymo_softmax(p->level, k, kymo_strips_of(n_rows) * KYMO_STRIP_ROWS, stride, lp, resp,
                     log_sum, entropy);
    for (size_t r = 0; r < n_rows; r++) {
        const size_t i = lo + r;
        if (j->out->log_density)
            j->out->log_density[i] = log_sum[r];
        if (j->out->label)
            j->out->label[i] = label_of(j, i, lp + r);
        for (size_t c = 0; j->out->log_resp && c < k; c++)
            j->out->log_resp[i * k + c] = lp[c * stride + r] - log_sum[r];
    }
}

kymo_status kymo_mixture_posterior(const struct kymo_mixture *m, const struct kymo_dense *x,
                                   unsigned n_threads, const struct kymo_posterior *out,
                                   struct kymo_err *err)
{
    assert(x->d == m->d);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct kymo_mixture_plan plan;
    kymo_status s =
        kymo_mixture_plan_new(&plan, m->type, m->k, m->d, kymo_simd_level(), &a, err);
    if (s)
        goto out;
    kymo_mixture_plan_set(&plan, m);
    struct job j = {.m = m, .plan = &plan, .x = x, .out = out};
    j.slot_size = plan.scratch_size + 2 * (m->k + 1) * plan.tile_rows;
    const size_t n_blocks = (x->n + plan.tile_rows - 1) / plan.tile_rows;
    size_t scratch_size;
    if (kymo_size_mul(kymo_slots(n_blocks, n_threads), j.slot_size, &scratch_size))
        j.scratch = KYMO_NEW_RAW(&a, double, scratch_size);
    if (j.scratch)
        kymo_parallel_slots(n_blocks, n_threads, posterior_block, &j);
    else
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for a tile of %zu components",
                      m->k);
out:
    kymo_arena_release(&a);
    return s;
}
