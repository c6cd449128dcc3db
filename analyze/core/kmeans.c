/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/kmeans.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "format/base/rng.h"
#include "format/base/size.h"
#include "format/num/assign.h"
#include "format/num/parallel.h"

/* What one block of rows gives back; summed in block order. */
struct part {
    double *sum;  /* [k,d] of the block's rows by label */
    size_t *size; /* [k] */
    double inertia;
    size_t changed;
    double *dist; /* [k] scratch */
};

struct pass {
    const struct kymo_kmeans_in *in;
    size_t block_rows, n_blocks;
    double *packed;  /* [d,k] */
    double *C;       /* [k,d] */
    uint32_t *label; /* [n] */
    double *dist2;   /* [n] to the own centre */
    size_t *size;    /* [k] */
    struct part *part;
};

/* Seeding: the distance of every row to the nearest centre so far, and block sums of it. */
struct seeding {
    const struct kymo_kmeans_in *in;
    size_t block_rows, n_blocks;
    const double *centre; /* the candidate */
    const double *near;   /* [n] */
    double *trial;        /* [n] min(near, distance to the candidate) */
    double *sum;          /* [n_blocks] */
};

static size_t block_end(size_t block, size_t block_rows, size_t n)
{
    const size_t hi = (block + 1) * block_rows;
    return hi < n ? hi : n;
}

static void assign_block(void *ctx, size_t block)
{
    struct pass *p = ctx;
    struct part *part = &p->part[block];
    const size_t d = p->in->d, k = p->in->k;
    memset(part->sum, 0, k * d * sizeof(double));
    memset(part->size, 0, k * sizeof(size_t));
    part->inertia = 0;
    part->changed = 0;
    const size_t hi = block_end(block, p->block_rows, p->in->n);
    for (size_t i = block * p->block_rows; i < hi; i++) {
        const double *x = p->in->X + i * d;
        kymo_sqdist_all(k, d, x, p->packed, part->dist);
        const size_t c = kymo_argmin(k, part->dist);
        part->changed += p->label[i] != c;
        p->label[i] = (uint32_t)c;
        p->dist2[i] = part->dist[c];
        part->inertia += part->dist[c];
        part->size[c]++;
        double *sum = part->sum + c * d;
        for (size_t j = 0; j < d; j++)
            sum[j] += x[j];
    }
}

/* One assignment pass over all rows; returns how many labels changed. */
static size_t assign_all(struct pass *p, double *inertia)
{
    kymo_pack_centres(p->in->k, p->in->d, p->C, p->packed);
    kymo_parallel(p->n_blocks, p->in->n_threads, assign_block, p);
    size_t changed = 0;
    double total = 0;
    for (size_t b = 0; b < p->n_blocks; b++) {
        changed += p->part[b].changed;
        total += p->part[b].inertia;
    }
    *inertia = total;
    return changed;
}

/* Sums and sizes of all blocks into those of block 0, in block order. */
static void reduce_sums(struct pass *p)
{
    const size_t k = p->in->k, kd = k * p->in->d;
    struct part *into = &p->part[0];
    for (size_t b = 1; b < p->n_blocks; b++) {
        for (size_t i = 0; i < kd; i++)
            into->sum[i] += p->part[b].sum[i];
        for (size_t c = 0; c < k; c++)
            into->size[c] += p->part[b].size[c];
    }
    memcpy(p->size, into->size, k * sizeof(size_t));
}

/* The row farthest from its own centre, of a cluster with rows to spare; SIZE_MAX: none. */
static size_t farthest_row(const struct pass *p)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < p->in->n; i++)
        if (p->dist2[i] > 0 && p->size[p->label[i]] > 1 &&
            (best == SIZE_MAX || p->dist2[i] > p->dist2[best]))
            best = i;
    return best;
}

static void fill_empty(struct pass *p)
{
    const size_t d = p->in->d;
    double *sum = p->part[0].sum;
    for (size_t c = 0; c < p->in->k; c++) {
        if (p->size[c])
            continue;
        const size_t row = farthest_row(p);
        if (row == SIZE_MAX)
            return;
        const double *x = p->in->X + row * d;
        const size_t from = p->label[row];
        for (size_t j = 0; j < d; j++) {
            sum[from * d + j] -= x[j];
            sum[c * d + j] = x[j];
        }
        p->size[from]--;
        p->size[c] = 1;
        p->label[row] = (uint32_t)c;
        p->dist2[row] = 0;
    }
}

/* After reduce_sums(). */
static void move_centres(struct pass *p)
{
    fill_empty(p);
    const size_t d = p->in->d;
    const double *sum = p->part[0].sum;
    for (size_t c = 0; c < p->in->k; c++)
        for (size_t j = 0; j < d && p->size[c]; j++)
            p->C[c * d + j] = sum[c * d + j] / (double)p->size[c];
}

static void seed_block(void *ctx, size_t block)
{
    struct seeding *s = ctx;
    const size_t d = s->in->d, hi = block_end(block, s->block_rows, s->in->n);
    double sum = 0;
    for (size_t i = block * s->block_rows; i < hi; i++) {
        const double dist = kymo_sqdist(d, s->in->X + i * d, s->centre);
        s->trial[i] = dist < s->near[i] ? dist : s->near[i];
        sum += s->trial[i];
    }
    s->sum[block] = sum;
}

/* Distances as if this row were the next centre; returns their sum. */
static double try_centre(struct seeding *s, size_t row, const double *near, double *trial)
{
    s->centre = s->in->X + row * s->in->d;
    s->near = near;
    s->trial = trial;
    kymo_parallel(s->n_blocks, s->in->n_threads, seed_block, s);
    double total = 0;
    for (size_t b = 0; b < s->n_blocks; b++)
        total += s->sum[b];
    return total;
}

/* A row drawn with probability near[i] / total; with total 0 all rows are alike. */
static size_t draw_row(const struct kymo_kmeans_in *in, const double *near, double total,
                       struct kymo_rng *rng)
{
    if (!(total > 0))
        return (size_t)kymo_rng_below(rng, in->n);
    double left = kymo_rng_unit(rng) * total;
    size_t last = 0;
    for (size_t i = 0; i < in->n; i++) {
        if (near[i] > 0)
            last = i;
        left -= near[i];
        if (left < 0)
            return i;
    }
    return last;
}

/* Greedy k-means++ into C. a, b, c: [n] scratch. */
static void seed_centres(const struct kymo_kmeans_in *in, struct seeding *s,
                         struct kymo_rng *rng, double *C, double *buffer[3])
{
    const size_t trials = 2 + (size_t)log((double)in->k);
    double *near = buffer[0], *best = buffer[1], *trial = buffer[2];
    for (size_t i = 0; i < in->n; i++)
        near[i] = INFINITY;
    size_t row = (size_t)kymo_rng_below(rng, in->n);
    double total = try_centre(s, row, near, trial);
    for (size_t c = 0;; c++) {
        memcpy(C + c * in->d, in->X + row * in->d, in->d * sizeof(double));
        double *t = near;
        near = trial;
        trial = t;
        if (c + 1 == in->k)
            return;
        double best_total = INFINITY;
        for (size_t i = 0; i < trials; i++) {
            const size_t candidate = draw_row(in, near, total, rng);
            const double sum = try_centre(s, candidate, near, trial);
            if (sum < best_total) {
                best_total = sum;
                row = candidate;
                t = best;
                best = trial;
                trial = t;
            }
        }
        total = best_total;
        t = trial;
        trial = best;
        best = t;
    }
}

static int is_stopped(const struct kymo_kmeans_in *in)
{
    return in->stop && *in->stop;
}

/* Lloyd from the centres in p->C. */
static enum kymo_kmeans_stop lloyd(struct pass *p, size_t restart, double *inertia,
                                   size_t *iterations)
{
    const struct kymo_kmeans_in *in = p->in;
    memset(p->label, 0xff,
           in->n * sizeof(*p->label)); /* no centre's index: all change at first */
    for (size_t pass = 1;; pass++) {
        const size_t changed = assign_all(p, inertia);
        *iterations = pass;
        if (in->tick) {
            const struct kymo_kmeans_tick t = {restart, in->init ? 1 : in->n_init, pass,
                                               *inertia};
            in->tick(in->tick_ctx, &t);
        }
        reduce_sums(p);
        if (!changed)
            return KYMO_KMEANS_FIXED_POINT;
        if (pass > in->max_iter)
            return KYMO_KMEANS_MAX_ITER;
        if (is_stopped(in))
            return KYMO_KMEANS_STOPPED;
        move_centres(p);
    }
}

static kymo_status pass_init(struct pass *p, const struct kymo_kmeans_in *in,
                             struct kymo_arena *a, struct kymo_err *err)
{
    const size_t n = in->n, d = in->d, k = in->k;
    size_t kd;
    if (!kymo_size_mul(k, d, &kd))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "%zu clusters of %zu columns are too many", k, d);
    p->in = in;
    p->block_rows = kymo_block_rows(n);
    p->n_blocks = (n + p->block_rows - 1) / p->block_rows;
    p->packed = KYMO_NEW_RAW(a, double, kd);
    p->C = KYMO_NEW_RAW(a, double, kd);
    p->label = KYMO_NEW_RAW(a, uint32_t, n);
    p->dist2 = KYMO_NEW_RAW(a, double, n);
    p->size = KYMO_NEW(a, size_t, k);
    p->part = KYMO_NEW(a, struct part, p->n_blocks);
    int ok = p->packed && p->C && p->label && p->dist2 && p->size && p->part;
    for (size_t b = 0; ok && b < p->n_blocks; b++) {
        p->part[b].sum = KYMO_NEW_RAW(a, double, kd);
        p->part[b].size = KYMO_NEW_RAW(a, size_t, k);
        p->part[b].dist = KYMO_NEW_RAW(a, double, k);
        ok = p->part[b].sum && p->part[b].size && p->part[b].dist;
    }
    if (!ok)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "k-means of %zu rows by %zu columns with k = %zu "
                         "passes the memory budget",
                         n, d, k);
    return KYMO_OK;
}

static void keep_best(const struct pass *p, double inertia, size_t iterations,
                      enum kymo_kmeans_stop why, struct kymo_kmeans_out *out)
{
    const struct kymo_kmeans_in *in = p->in;
    memcpy(out->C, p->C, in->k * in->d * sizeof(double));
    memcpy(out->label, p->label, in->n * sizeof(uint32_t));
    memcpy(out->size, p->size, in->k * sizeof(size_t));
    out->inertia = inertia;
    out->iterations = iterations;
    out->why = why;
}

static kymo_status fit(const struct kymo_kmeans_in *in, struct kymo_arena *scratch,
                       struct kymo_kmeans_out *out, struct kymo_err *err)
{
    struct pass p;
    KYMO_TRY(pass_init(&p, in, scratch, err));
    struct seeding s = {.in = in, .block_rows = p.block_rows, .n_blocks = p.n_blocks};
    double *buffer[3] = {NULL, NULL, NULL};
    s.sum = KYMO_NEW_RAW(scratch, double, p.n_blocks);
    for (int i = 0; i < 3 && !in->init; i++)
        if (!(buffer[i] = KYMO_NEW_RAW(scratch, double, in->n)))
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                             "seeding of %zu rows passes the memory budget", in->n);
    if (!s.sum)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "seeding passes the memory budget");
    struct kymo_rng rng;
    kymo_rng_init(&rng, in->seed);
    const size_t n_init = in->init ? 1 : in->n_init;
    out->restarts = 0;
    for (size_t r = 0; r < n_init; r++) {
        if (in->init)
            memcpy(p.C, in->init, in->k * in->d * sizeof(double));
        else
            seed_centres(in, &s, &rng, p.C, buffer);
        double inertia;
        size_t iterations;
        const enum kymo_kmeans_stop why = lloyd(&p, r, &inertia, &iterations);
        if (r == 0 || inertia < out->inertia)
            keep_best(&p, inertia, iterations, why, out);
        out->restarts = r + 1;
        if (is_stopped(in)) {
            out->why = KYMO_KMEANS_STOPPED;
            break;
        }
    }
    return KYMO_OK;
}

kymo_status kymo_kmeans(const struct kymo_kmeans_in *in, struct kymo_arena *arena,
                        struct kymo_kmeans_out *out, struct kymo_err *err)
{
    assert(in->n >= 1 && in->d >= 1 && in->k >= 1 && in->k <= in->n && in->n_init >= 1);
    struct kymo_kmeans_out got = {0};
    got.C = KYMO_NEW_RAW(arena, double, in->k * in->d);
    got.label = KYMO_NEW_RAW(arena, uint32_t, in->n);
    got.size = KYMO_NEW_RAW(arena, size_t, in->k);
    if (!got.C || !got.label || !got.size)
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

struct labelling {
    size_t n, d, k, block_rows;
    const double *X, *packed;
    uint32_t *label;
    double *dist2, *dist, *sum; /* dist [n_blocks,k], sum [n_blocks] */
};

static void label_block(void *ctx, size_t block)
{
    struct labelling *a = ctx;
    double *dist = a->dist + block * a->k;
    double sum = 0;
    const size_t hi = block_end(block, a->block_rows, a->n);
    for (size_t i = block * a->block_rows; i < hi; i++) {
        kymo_sqdist_all(a->k, a->d, a->X + i * a->d, a->packed, dist);
        const size_t c = kymo_argmin(a->k, dist);
        a->label[i] = (uint32_t)c;
        if (a->dist2)
            a->dist2[i] = dist[c];
        sum += dist[c];
    }
    a->sum[block] = sum;
}

kymo_status kymo_kmeans_assign(size_t n, size_t d, size_t k, const double *X, const double *C,
                               unsigned n_threads, uint32_t *label, double *dist2,
                               double *inertia, struct kymo_err *err)
{
    assert(k >= 1);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct labelling l = {n, d, k, kymo_block_rows(n), X, NULL, label, dist2, NULL, NULL};
    const size_t n_blocks = (n + l.block_rows - 1) / l.block_rows;
    double *packed = KYMO_NEW_RAW(&a, double, k *d);
    l.dist = KYMO_NEW_RAW(&a, double, n_blocks *k);
    l.sum = KYMO_NEW_RAW(&a, double, n_blocks);
    if (!packed || !l.dist || !l.sum) {
        kymo_arena_release(&a);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory to pack %zu centres", k);
    }
    kymo_pack_centres(k, d, C, packed);
    l.packed = packed;
    kymo_parallel(n_blocks, n_threads, label_block, &l);
    double total = 0;
    for (size_t b = 0; b < n_blocks; b++)
        total += l.sum[b];
    if (inertia)
        *inertia = total;
    kymo_arena_release(&a);
    return KYMO_OK;
}

const char *kymo_kmeans_stop_name(enum kymo_kmeans_stop why)
{
    switch (why) {
    case KYMO_KMEANS_FIXED_POINT:
        return "labels unchanged";
    case KYMO_KMEANS_MAX_ITER:
        return "iteration limit";
    case KYMO_KMEANS_STOPPED:
        return "stopped by a signal";
    }
    return "unknown";
}
