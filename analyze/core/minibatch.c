/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/minibatch.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "analyze/core/lloyd.h"
#include "analyze/core/seeding.h"
#include "format/base/size.h"
#include "format/num/parallel.h"

#define START_BATCHES 4u
#define START_ROWS_A_CENTRE 128u
/* Few centres may start badly, and cost little to start again; of many, some always start well. */
#define STARTS 3u
#define STARTS_K_MOST 31u
#define START_PASSES 6u
#define LOOK_STEPS 8u /* steps between two looks at the probe */
#define GAIN_LEAST 1e-3
#define QUIET_LOOKS 2u
#define FORGET 0.5
#define BLOCK_ROWS 256u
/* Products of a step below which starting threads costs more than they save. */
#define THREAD_WORK (16u << 20)

/* What one block of a batch gives back; summed in block order. */
struct part {
    double *sum, *mass; /* [k,d], [k] */
    double inertia;
    struct kymo_assign_scratch scratch;
};

/* Rows that are assigned and what comes of it: the batch of the matrix, or the probe. */
struct round {
    struct kymo_rows32 rows;
    struct kymo_assigner a;
    size_t n_rows, n_blocks;
    const uint32_t *row; /* [n_rows] */
    uint32_t *label;     /* [n_rows], NULL: sums are wanted instead */
    double *dist2;       /* [n_rows] with label */
    const double *C;
    struct part *part;
};

struct mini {
    const struct kymo_minibatch_in *in;
    struct kymo_rng rng;
    struct kymo_dense T; /* rows for the first centres */
    struct kymo_dense P; /* the probe */
    struct round batch, look;
    uint32_t *drawn;
    double *C, *best, *mass, *sum; /* [k,d], [k,d], [k], [k,d] */
    double p_mass;                 /* of the probe */
};

static void assign_block(void *ctx, size_t block)
{
    struct round *r = ctx;
    struct part *p = &r->part[block];
    const struct kymo_dense *X = r->rows.x;
    const size_t d = X->d, k = r->a.k, lo = block * BLOCK_ROWS;
    const size_t hi = lo + BLOCK_ROWS < r->n_rows ? lo + BLOCK_ROWS : r->n_rows;
    memset(p->sum, 0, k * d * sizeof(*p->sum));
    memset(p->mass, 0, k * sizeof(*p->mass));
    p->inertia = 0;
    for (size_t i = lo; i < hi; i++)
        kymo_rows32_fetch(&r->rows, r->row[i]);
    for (size_t i = lo; i < hi; i += KYMO_TILE_ROWS) {
        const size_t n_rows = hi - i < KYMO_TILE_ROWS ? hi - i : KYMO_TILE_ROWS;
        struct kymo_nearest_tile t;
        kymo_assign_tile(&r->a, r->row + i, n_rows, NULL, &p->scratch, &t);
        for (size_t s = 0; s < n_rows; s++) {
            const size_t row = r->row[i + s], c = t.label[s];
            const double w = kymo_dense_weight(X, row);
            p->mass[c] += w;
            if (!r->label) {
                kymo_row_add(r->a.ops, X, row, w, p->sum + c * d);
                continue;
            }
            r->label[i + s] = (uint32_t)c;
            r->dist2[i + s] = kymo_row_sqdist(r->a.ops, X, row, r->C + c * d);
            p->inertia += w * r->dist2[i + s];
        }
    }
}

static void run_round(const struct mini *m, struct round *r)
{
    const size_t work = r->n_rows * r->a.k * r->rows.x->d;
    r->C = m->C;
    kymo_assigner_set(&r->a, m->C);
    kymo_parallel(r->n_blocks, work < THREAD_WORK ? 1 : m->in->n_threads, assign_block, r);
}

static void step(struct mini *m)
{
    const size_t k = m->in->k, d = m->in->X.d;
    for (size_t i = 0; i < m->batch.n_rows; i++)
        m->drawn[i] = (uint32_t)kymo_rng_below(&m->rng, m->in->X.n);
    run_round(m, &m->batch);
    for (size_t c = 0; c < k; c++) {
        double mass = 0, *sum = m->sum + c * d;
        memset(sum, 0, d * sizeof(*sum));
        for (size_t b = 0; b < m->batch.n_blocks; b++) {
            const struct part *p = &m->batch.part[b];
            if (!(p->mass[c] > 0))
                continue;
            mass += p->mass[c];
            m->batch.a.ops->add_f64(d, 1, p->sum + c * d, sum);
        }
        if (!(mass > 0))
            continue;
        m->mass[c] += mass;
        for (size_t j = 0; j < d; j++)
            m->C[c * d + j] += (sum[j] - mass * m->C[c * d + j]) / m->mass[c];
    }
}

/* A row of the probe, drawn by weight times squared distance to its centre. */
static size_t draw_far(struct mini *m, double inertia)
{
    double left = kymo_rng_unit(&m->rng) * inertia;
    size_t last = 0;
    for (size_t i = 0; i < m->look.n_rows; i++) {
        const double share = kymo_dense_weight(&m->P, i) * m->look.dist2[i];
        if (share > 0)
            last = i;
        left -= share;
        if (left < 0)
            break;
    }
    return last;
}

/* The inertia of the probe. */
static double look(struct mini *m)
{
    double inertia = 0;
    run_round(m, &m->look);
    for (size_t b = 0; b < m->look.n_blocks; b++)
        inertia += m->look.part[b].inertia;
    return inertia;
}

/* After a look: centres that are nearest to none of the probe go to where one is missed. */
static void refill(struct mini *m, double inertia)
{
    const size_t d = m->in->X.d;
    for (size_t c = 0; c < m->in->k && inertia > 0; c++) {
        double mass = 0;
        for (size_t b = 0; b < m->look.n_blocks; b++)
            mass += m->look.part[b].mass[c];
        if (mass > 0)
            continue;
        kymo_dense_row(&m->P, draw_far(m, inertia), m->C + c * d);
        m->mass[c] = 0;
    }
}

static kymo_status round_init(struct round *r, const struct kymo_dense *X, size_t k,
                              size_t n_rows, struct kymo_arena *a, struct kymo_err *err)
{
    const size_t d = X->d;
    double *pivot = KYMO_NEW_RAW(a, double, d);
    r->n_rows = n_rows;
    r->n_blocks = (n_rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    r->part = KYMO_NEW(a, struct part, r->n_blocks);
    if (!pivot || !r->part || X->n > UINT32_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "mini-batches pass the memory budget");
    kymo_rows32_init(&r->rows, X, pivot);
    KYMO_TRY(kymo_assigner_init(&r->a, &r->rows, k, kymo_simd_level(), a, err));
    for (size_t b = 0; b < r->n_blocks; b++) {
        r->part[b].sum = KYMO_NEW_RAW(a, double, k *d);
        r->part[b].mass = KYMO_NEW_RAW(a, double, k);
        if (!r->part[b].sum || !r->part[b].mass)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                             "sums of %zu clusters pass the memory budget", k);
        KYMO_TRY(kymo_assign_scratch_init(&r->part[b].scratch, k, d, a, err));
    }
    return KYMO_OK;
}

/* Copy n_rows rows, drawn without replacement and in row order, so that looks read one place. */
static kymo_status sample(struct mini *m, size_t n_rows, struct kymo_arena *a,
                          struct kymo_dense *out, struct kymo_err *err)
{
    const struct kymo_dense *X = &m->in->X;
    const size_t d = X->d;
    size_t cells;
    if (!kymo_size_mul(n_rows, d, &cells))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%zu rows are too many", n_rows);
    float *f32 = X->f32 ? KYMO_NEW_RAW(a, float, cells) : NULL;
    double *f64 = X->f64 ? KYMO_NEW_RAW(a, double, cells) : NULL;
    double *weight = X->weight ? KYMO_NEW_RAW(a, double, n_rows) : NULL;
    if ((X->f32 && !f32) || (X->f64 && !f64) || (X->weight && !weight))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a sample of %zu rows passes the memory budget", n_rows);
    for (size_t s = 0; s < n_rows; s++) {
        /* One row out of each of n_rows runs of about n / n_rows. */
        const size_t lo = (size_t)((double)X->n / (double)n_rows * (double)s);
        const size_t hi = (size_t)((double)X->n / (double)n_rows * (double)(s + 1));
        const size_t i = lo + (size_t)kymo_rng_below(&m->rng, hi > lo ? hi - lo : 1);
        if (f32)
            memcpy(f32 + s * d, X->f32 + i * d, d * sizeof(*f32));
        else if (f64)
            memcpy(f64 + s * d, X->f64 + i * d, d * sizeof(*f64));
        if (weight)
            weight[s] = X->weight[i];
    }
    *out = (struct kymo_dense){.n = n_rows, .d = d, .f32 = f32, .f64 = f64, .weight = weight};
    return KYMO_OK;
}

static kymo_status mini_init(struct mini *m, const struct kymo_minibatch_in *in,
                             struct kymo_arena *a, struct kymo_err *err)
{
    const size_t n = in->X.n, k = in->k, d = in->X.d;
    const size_t batch = in->batch ? in->batch : KYMO_MINIBATCH_ROWS;
    size_t start = START_BATCHES * batch;
    start = start > START_ROWS_A_CENTRE * k ? start : START_ROWS_A_CENTRE * k;
    start = start < n ? start : n;
    const size_t probe = (start + 1) / 2;
    *m = (struct mini){.in = in};
    kymo_rng_init(&m->rng, in->seed);
    KYMO_TRY(sample(m, start, a, &m->T, err));
    KYMO_TRY(sample(m, probe, a, &m->P, err));
    for (size_t i = 0; i < probe; i++)
        m->p_mass += kymo_dense_weight(&m->P, i);
    KYMO_TRY(round_init(&m->batch, &in->X, k, batch, a, err));
    KYMO_TRY(round_init(&m->look, &m->P, k, probe, a, err));
    uint32_t *all = KYMO_NEW_RAW(a, uint32_t, probe);
    m->drawn = KYMO_NEW_RAW(a, uint32_t, batch);
    m->look.label = KYMO_NEW_RAW(a, uint32_t, probe);
    m->look.dist2 = KYMO_NEW_RAW(a, double, probe);
    m->C = KYMO_NEW_RAW(a, double, k *d);
    m->best = KYMO_NEW_RAW(a, double, k *d);
    m->sum = KYMO_NEW_RAW(a, double, k *d);
    m->mass = KYMO_NEW(a, double, k);
    if (!all || !m->drawn || !m->look.label || !m->look.dist2 || !m->C || !m->best || !m->sum ||
        !m->mass)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "mini-batches of %zu rows pass the memory budget", batch);
    for (size_t i = 0; i < probe; i++)
        all[i] = (uint32_t)i;
    m->look.row = all;
    m->batch.row = m->drawn;
    return KYMO_OK;
}

/* Steps and looks until nothing is gained; the best centres by the probe are in m->best. */
static void descend(struct mini *m, struct kymo_minibatch_out *out)
{
    const struct kymo_minibatch_in *in = m->in;
    const size_t kd = in->k * in->X.d;
    double best = INFINITY, mass = 0;
    size_t quiet = 0;
    for (size_t i = 0; i < in->X.n && in->X.weight; i++)
        mass += in->X.weight[i];
    const double scale = (in->X.weight ? mass : (double)in->X.n) / m->p_mass;
    for (out->steps = 0;;) {
        const double now = look(m);
        quiet = now < best * (1 - GAIN_LEAST) ? 0 : quiet + 1;
        if (now < best) {
            best = now;
            memcpy(m->best, m->C, kd * sizeof(*m->C));
        }
        refill(m, now);
        out->inertia = best * scale;
        const struct kymo_kmeans_tick t = {0, 1, out->steps, now * scale};
        if (in->tick)
            in->tick(in->tick_ctx, &t);
        out->why = in->stop && *in->stop                          ? KYMO_KMEANS_STOPPED
                   : quiet >= QUIET_LOOKS || !(best > 0)          ? KYMO_KMEANS_TOLERANCE
                   : in->max_steps && out->steps >= in->max_steps ? KYMO_KMEANS_MAX_ITER
                                                                  : KYMO_KMEANS_FIXED_POINT;
        if (out->why != KYMO_KMEANS_FIXED_POINT)
            return;
        for (size_t c = 0; c < in->k && !quiet; c++)
            m->mass[c] *= FORGET;
        for (size_t s = 0; s < LOOK_STEPS; s++, out->steps++)
            step(m);
    }
}

/* The best by the probe of a few starts: seeds among the rows of T, and a few of Lloyd's passes there. */
static kymo_status start(struct mini *m, struct kymo_arena *a, struct kymo_err *err)
{
    const struct kymo_minibatch_in *in = m->in;
    const size_t kd = in->k * in->X.d;
    struct kymo_lloyd l;
    KYMO_TRY(kymo_lloyd_init(&l, &m->T, in->k, 1, kymo_simd_level(), a, err));
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, a->cap_bytes - a->used_bytes);
    kymo_status s = KYMO_OK;
    const size_t starts = in->k <= STARTS_K_MOST ? STARTS : 1;
    double best = INFINITY;
    for (size_t i = 0; i < starts && !s; i++) {
        const struct kymo_seeding seeding = {.X = &m->T,
                                             .k = in->k,
                                             .n_threads = 1,
                                             .level = kymo_simd_level(),
                                             .rng = &m->rng,
                                             .stop = in->stop};
        kymo_arena_reset(&scratch);
        s = kymo_seed_plusplus(&seeding, &scratch, l.C, err);
        if (s)
            break;
        kymo_lloyd_begin(&l);
        for (size_t pass = 0; pass < START_PASSES && kymo_lloyd_assign(&l); pass++)
            kymo_lloyd_move(&l);
        memcpy(m->C, l.C, kd * sizeof(*m->C));
        const double now = look(m);
        if (now < best) {
            best = now;
            memcpy(m->best, l.C, kd * sizeof(*m->best));
        }
    }
    memcpy(m->C, m->best, kd * sizeof(*m->C));
    kymo_arena_release(&scratch);
    return s;
}

static kymo_status fit(const struct kymo_minibatch_in *in, struct kymo_arena *a,
                       struct kymo_minibatch_out *out, struct kymo_err *err)
{
    struct mini m;
    KYMO_TRY(mini_init(&m, in, a, err));
    if (in->init)
        memcpy(m.C, in->init, in->k * in->X.d * sizeof(*m.C));
    else
        KYMO_TRY(start(&m, a, err));
    descend(&m, out);
    memcpy(out->C, m.best, in->k * in->X.d * sizeof(*out->C));
    return KYMO_OK;
}

kymo_status kymo_minibatch(const struct kymo_minibatch_in *in, struct kymo_arena *arena,
                           struct kymo_minibatch_out *out, struct kymo_err *err)
{
    assert(in->X.n >= 1 && in->X.d >= 1 && in->k >= 1 && in->k <= in->X.n);
    struct kymo_minibatch_out got = {.C = KYMO_NEW_RAW(arena, double, in->k * in->X.d)};
    if (!got.C)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the result of k-means passes the memory budget");
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes);
    const kymo_status s = fit(in, &scratch, &got, err);
    kymo_arena_release(&scratch);
    if (!s)
        *out = got;
    return s;
}
