/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/lloyd.h"

#include <math.h>
#include <string.h>

#include "format/base/size.h"
#include "format/num/parallel.h"

/* Sums of all blocks should stay in the caches: at most so many bytes, and no fewer blocks than that. */
#define SUM_BYTES_MAX (4u << 20)
#define BLOCKS_MIN 32u
#define SHRUNK 16u
/* Share of the rows' second moment below which the quick inertia may lack digits (1e-16 / this). */
#define QUICK_SHARE 1e-3

static size_t block_end(const struct kymo_lloyd *l, size_t block)
{
    const size_t hi = (block + 1) * l->block_rows;
    return hi < l->X->n ? hi : l->X->n;
}

static void choose_blocks(struct kymo_lloyd *l, size_t kd)
{
    const size_t n = l->X->n;
    size_t blocks = SUM_BYTES_MAX / sizeof(double) / kd;
    blocks = blocks < BLOCKS_MIN ? BLOCKS_MIN : blocks;
    const size_t rows = (n + blocks - 1) / blocks;
    l->block_rows = kymo_block_rows(n) > rows ? kymo_block_rows(n) : rows;
    l->n_blocks = (n + l->block_rows - 1) / l->block_rows;
}

static kymo_status part_init(struct kymo_lloyd_part *p, size_t k, size_t d,
                             struct kymo_arena *a, struct kymo_err *err)
{
    p->sum = KYMO_NEW_RAW(a, double, k *d);
    p->mass = KYMO_NEW_RAW(a, double, k);
    p->size = KYMO_NEW_RAW(a, ptrdiff_t, k);
    p->touched = KYMO_NEW_RAW(a, unsigned char, k);
    if (!p->sum || !p->mass || !p->size || !p->touched)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "sums of %zu clusters pass the memory budget", k);
    return kymo_assign_scratch_init(&p->scratch, k, d, a, err);
}

/* Few columns keep one slack a row for longer: scores are cheap there, slacks by group are not. 200,000 rows
 * (100,000 of 16 columns), 60 passes (40), seconds with groups and with one slack: 8 columns, k = 128, 0.35
 * and 0.18 (blobs), 0.73 and 0.38 (uniform), 0.43 and 0.20 (random walk); k = 512, 0.63 and 0.57, 1.12 and
 * 0.96, 0.33 and 0.44; 16 columns, k = 256, 0.13 and 0.10, 0.49 and 0.36, 0.14 and 0.15. */
#define FEW_COLUMNS 16u
#define FEW_COLUMNS_K_LEAST 512u

static int groups_pay(const struct kymo_lloyd *l)
{
    return l->k >= (l->X->d <= FEW_COLUMNS ? FEW_COLUMNS_K_LEAST : KYMO_GROUPS_K_LEAST);
}

/* Balls around the own centre pay where they reach most rows: in few columns, and in some more when there are
 * many centres to be spared. 200,000 rows, 60 passes, seconds with the better of one slack and slacks by group,
 * and with balls, on blobs, uniform rows and a random walk:
 *      2 columns, k = 128  0.15 0.10   0.12 0.08   0.21 0.14     k = 512  0.61 0.33   0.52 0.30   0.52 0.34
 *      4 columns, k = 128  0.14 0.11   0.17 0.17   0.16 0.12     k = 256  0.30 0.19   0.34 0.24   0.32 0.17
 *      8 columns, k = 256  0.25 0.19   0.56 0.61   0.34 0.25     k = 512  0.52 0.33   0.92 1.03   0.35 0.19
 * Finding who is near costs k^2 d: with 128 rows a cluster it ate what it spared, with 256 it does not. */
#define EXPONION_D_MOST 16u
#define EXPONION_K_LEAST 256u
#define EXPONION_D_LOW 4u
#define EXPONION_D_LOW_K_LEAST 128u
#define EXPONION_ROWS_A_CLUSTER 256u

static int exponion_pays(const struct kymo_lloyd *l, enum kymo_simd level)
{
    const size_t k = l->k, d = l->X->d, rows = l->X->n / k;
    return kymo_ball_at(level) && d <= EXPONION_D_MOST &&
           k >= (d <= EXPONION_D_LOW ? EXPONION_D_LOW_K_LEAST : EXPONION_K_LEAST) &&
           rows >= EXPONION_ROWS_A_CLUSTER && rows >= k / 4;
}

kymo_status kymo_lloyd_exponion(struct kymo_lloyd *l, enum kymo_simd level,
                                struct kymo_arena *arena, struct kymo_err *err)
{
    kymo_ball_fn *meet = kymo_ball_at(level);
    return meet ? kymo_exponion_init(&l->near, meet, &l->a, l->n_threads, arena, err) : KYMO_OK;
}

kymo_status kymo_lloyd_init(struct kymo_lloyd *l, const struct kymo_dense *X, size_t k,
                            unsigned n_threads, enum kymo_simd level, struct kymo_arena *arena,
                            struct kymo_err *err)
{
    const size_t n = X->n, d = X->d;
    size_t kd;
    if (!kymo_size_mul(k, d, &kd) || n > UINT32_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "%zu clusters of %zu columns and %zu rows are too many", k, d, n);
    *l = (struct kymo_lloyd){.X = X, .k = k, .n_threads = n_threads};
    l->open_rows = kymo_openrows_at(level);
    choose_blocks(l, kd);
    const int near = exponion_pays(l, level);
    l->has_groups = !near && groups_pay(l);
    const size_t groups = l->has_groups ? KYMO_GROUPS_MAX : 1; /* at most */
    double *pivot = KYMO_NEW_RAW(arena, double, d);
    l->C = KYMO_NEW_RAW(arena, double, kd);
    l->before = KYMO_NEW_RAW(arena, double, kd);
    l->sum = KYMO_NEW_RAW(arena, double, kd);
    l->mass = KYMO_NEW_RAW(arena, double, k);
    l->move = KYMO_NEW_RAW(arena, double, k);
    l->change = KYMO_NEW_RAW(arena, double, k *(d + 2));
    l->drift = KYMO_NEW_RAW(arena, double, k *groups);
    l->drift_up = KYMO_NEW_RAW(arena, float, k *groups);
    l->size = KYMO_NEW_RAW(arena, size_t, k);
    l->peak = KYMO_NEW_RAW(arena, size_t, k);
    l->afresh = KYMO_NEW_RAW(arena, unsigned char, k);
    l->label = KYMO_NEW_RAW(arena, uint32_t, n);
    l->norm2 = KYMO_NEW_RAW(arena, float, n);
    l->slack = KYMO_NEW_RAW(arena, float, n *groups);
    l->dist2 = KYMO_NEW_RAW(arena, double, n); /* touched by fill_empty() alone */
    l->part = KYMO_NEW(arena, struct kymo_lloyd_part, l->n_blocks);
    if (!pivot || !l->C || !l->before || !l->change || !l->sum || !l->mass || !l->move ||
        !l->drift || !l->drift_up || !l->size || !l->peak || !l->afresh || !l->label ||
        !l->norm2 || !l->slack || !l->dist2 || !l->part)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "k-means of %zu rows by %zu columns with k = %zu passes the memory "
                         "budget",
                         n, d, k);
    kymo_rows32_init(&l->rows, X, pivot);
    KYMO_TRY(kymo_assigner_init(&l->a, &l->rows, k, level, arena, err));
    if (near)
        KYMO_TRY(kymo_lloyd_exponion(l, level, arena, err));
    for (size_t b = 0; b < l->n_blocks; b++)
        KYMO_TRY(part_init(&l->part[b], k, d, arena, err));
    return KYMO_OK;
}

void kymo_lloyd_begin(struct kymo_lloyd *l)
{
    const size_t k = l->k;
    if (l->near.meet)
        kymo_exponion_forget(&l->near);
    else if (l->has_groups)
        kymo_assigner_group(&l->a, l->C);
    for (size_t b = 0; b < l->n_blocks; b++)
        memset(l->part[b].idle, 0, sizeof(l->part[b].idle));
    memset(l->label, 0xff, l->X->n * sizeof(*l->label)); /* no centre's index: all change */
    memset(l->sum, 0, k * l->X->d * sizeof(*l->sum));
    memset(l->mass, 0, k * sizeof(*l->mass));
    memset(l->drift, 0, k * l->a.n_groups * sizeof(*l->drift));
    memset(l->drift_up, 0, k * l->a.n_groups * sizeof(*l->drift_up));
    memset(l->size, 0, k * sizeof(*l->size));
    memset(l->peak, 0, k * sizeof(*l->peak));
    l->first = 1;
}

/* -- one pass ---------------------------------------------------------------------------------- */

static void touch(struct kymo_lloyd_part *p, size_t c, size_t d)
{
    if (p->touched[c])
        return;
    p->touched[c] = 1;
    p->mass[c] = 0;
    p->size[c] = 0;
    memset(p->sum + c * d, 0, d * sizeof(*p->sum));
}

void kymo_lloyd_put(const struct kymo_lloyd *l, struct kymo_lloyd_part *p, size_t row, size_t c,
                    int sign)
{
    const double w = sign * kymo_dense_weight(l->X, row);
    touch(p, c, l->X->d);
    kymo_row_add(l->a.ops, l->X, row, w, p->sum + c * l->X->d);
    p->mass[c] += w;
    p->size[c] += sign;
}

static void assign_block(void *ctx, size_t block)
{
    struct kymo_lloyd *l = ctx;
    struct kymo_lloyd_part *p = &l->part[block];
    memset(p->touched, 0, l->k);
    p->moment = 0;
    p->changed = p->visited = 0;
    kymo_lloyd_visit(l, p, block * l->block_rows, block_end(l, block));
}

/* The same over processes: changes are gathered apart, since sums are everybody's already. */
static void reduce_ranks(struct kymo_lloyd *l)
{
    const size_t d = l->X->d, k = l->k;
    double *sum = l->change, *mass = sum + k * d, *size = mass + k;
    memset(l->change, 0, k * (d + 2) * sizeof(double));
    for (size_t b = 0; b < l->n_blocks; b++) {
        const struct kymo_lloyd_part *p = &l->part[b];
        for (size_t c = 0; c < k; c++) {
            if (!p->touched[c])
                continue;
            l->a.ops->add_f64(d, 1, p->sum + c * d, sum + c * d);
            mass[c] += p->mass[c];
            size[c] += (double)p->size[c];
        }
    }
    l->ranks->sum(l->change, k * (d + 2));
    for (size_t c = 0; c < k; c++) {
        l->a.ops->add_f64(d, 1, sum + c * d, l->sum + c * d);
        l->mass[c] += mass[c];
        l->size[c] = (size_t)((double)l->size[c] + size[c]);
    }
}

/* The blocks' changes into the sums, in block order. */
static void reduce(struct kymo_lloyd *l)
{
    const size_t d = l->X->d;
    if (l->ranks) {
        reduce_ranks(l);
        return;
    }
    for (size_t b = 0; b < l->n_blocks; b++) {
        const struct kymo_lloyd_part *p = &l->part[b];
        for (size_t c = 0; c < l->k; c++) {
            if (!p->touched[c])
                continue;
            l->a.ops->add_f64(d, 1, p->sum + c * d, l->sum + c * d);
            l->mass[c] += p->mass[c];
            l->size[c] = (size_t)((ptrdiff_t)l->size[c] + p->size[c]);
        }
    }
}

static void afresh_block(void *ctx, size_t block)
{
    struct kymo_lloyd *l = ctx;
    struct kymo_lloyd_part *p = &l->part[block];
    memset(p->touched, 0, l->k);
    for (size_t i = block * l->block_rows, hi = block_end(l, block); i < hi; i++)
        if (l->afresh[l->label[i]])
            kymo_lloyd_put(l, p, i, l->label[i], 1);
}

/* Sum clusters that shrank from their rows; empty ones are plain zeros. */
static void sum_afresh(struct kymo_lloyd *l)
{
    const size_t d = l->X->d;
    size_t wanted = 0;
    for (size_t c = 0; c < l->k; c++) {
        l->peak[c] = l->size[c] > l->peak[c] ? l->size[c] : l->peak[c];
        l->afresh[c] = l->size[c] ? l->size[c] < l->peak[c] / SHRUNK : l->peak[c] > 0;
        if (!l->afresh[c])
            continue;
        wanted += l->size[c] > 0;
        l->peak[c] = l->size[c];
        l->size[c] = 0;
        l->mass[c] = 0;
        memset(l->sum + c * d, 0, d * sizeof(*l->sum));
    }
    if (!wanted)
        return;
    kymo_parallel(l->n_blocks, l->n_threads, afresh_block, l);
    reduce(l);
}

/* inertia = moment + sum over clusters of mass |c'|^2 - 2 c'.s', all from the pivot. */
static double quick_inertia(const struct kymo_lloyd *l)
{
    const size_t d = l->X->d;
    double total = l->moment;
    for (size_t c = 0; c < l->k; c++) {
        const double *C = l->C + c * d, *s = l->sum + c * d;
        double of_c = 0;
        for (size_t j = 0; j < d; j++) {
            const double p = l->rows.pivot[j], t = C[j] - p;
            of_c += t * (l->mass[c] * t - 2 * (s[j] - l->mass[c] * p));
        }
        total += l->size[c] ? of_c : 0;
    }
    return total > 0 ? total : 0;
}

size_t kymo_lloyd_assign(struct kymo_lloyd *l)
{
    kymo_assigner_set(&l->a, l->C);
    if (l->near.meet && !l->first)
        kymo_exponion_set(&l->near, l->C, l->move);
    kymo_parallel(l->n_blocks, l->n_threads, assign_block, l);
    size_t changed = 0;
    double moment = 0;
    l->visited = 0;
    for (size_t b = 0; b < l->n_blocks; b++) {
        changed += l->part[b].changed;
        l->visited += l->part[b].visited;
        moment += l->part[b].moment;
    }
    if (!l->has_norms)
        l->moment = moment;
    l->has_norms = 1;
    l->first = 0;
    double everywhere = (double)changed;
    kymo_ranks_sum(l->ranks, &everywhere, 1);
    if (everywhere > 0) {
        reduce(l);
        sum_afresh(l);
    }
    l->inertia = l->ranks ? NAN : quick_inertia(l); /* its pivot is not everybody's */
    return (size_t)everywhere;
}

/* -- moves ------------------------------------------------------------------------------------- */

static void distance_block(void *ctx, size_t block)
{
    struct kymo_lloyd *l = ctx;
    double inertia = 0;
    for (size_t i = block * l->block_rows, hi = block_end(l, block); i < hi; i++) {
        l->dist2[i] = kymo_row_sqdist(l->a.ops, l->X, i, l->C + l->label[i] * l->X->d);
        inertia += kymo_dense_weight(l->X, i) * l->dist2[i];
    }
    l->part[block].inertia = inertia;
}

/* Distances of all rows to their centres, by differences; returns the inertia. */
static double measure(struct kymo_lloyd *l)
{
    kymo_parallel(l->n_blocks, l->n_threads, distance_block, l);
    double total = 0;
    for (size_t b = 0; b < l->n_blocks; b++)
        total += l->part[b].inertia;
    kymo_ranks_sum(l->ranks, &total, 1);
    return total;
}

/* The row farthest from its own centre, of a cluster with rows to spare; SIZE_MAX: none. */
static size_t farthest_row(const struct kymo_lloyd *l)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < l->X->n; i++)
        if (l->dist2[i] > 0 && l->size[l->label[i]] > 1 &&
            (best == SIZE_MAX || l->dist2[i] > l->dist2[best]))
            best = i;
    return best;
}

/* Which process has the farthest row of all; the lowest of equals. -1: nobody has one. */
static int farthest_rank(const struct kymo_lloyd *l, double dist2)
{
    double most = dist2, rank;
    l->ranks->max(&most, 1);
    if (most < 0)
        return -1;
    rank = dist2 == most ? -(double)l->ranks->rank : -(double)l->ranks->size;
    l->ranks->max(&rank, 1);
    return (int)-rank;
}

/* The row that takes over a cluster: its values [d] to l->change, what it weighs and whose it was behind them.
 * *row: where it is, SIZE_MAX: at another process. Returns 0 where there is none. */
static int find_filler(struct kymo_lloyd *l, size_t *row)
{
    const size_t d = l->X->d;
    *row = farthest_row(l);
    int owner = 0;
    if (l->ranks)
        owner = farthest_rank(l, *row == SIZE_MAX ? -1 : l->dist2[*row]);
    else if (*row == SIZE_MAX)
        return 0;
    if (owner < 0)
        return 0;
    if (l->ranks && owner != l->ranks->rank)
        *row = SIZE_MAX;
    if (*row != SIZE_MAX) {
        kymo_dense_row(l->X, *row, l->change);
        l->change[d] = kymo_dense_weight(l->X, *row);
        l->change[d + 1] = (double)l->label[*row];
    }
    if (l->ranks)
        l->ranks->share(l->change, (d + 2) * sizeof(double), owner);
    return 1;
}

static void fill_empty(struct kymo_lloyd *l)
{
    const size_t d = l->X->d;
    int measured = 0;
    for (size_t c = 0; c < l->k; c++) {
        size_t row;
        if (l->size[c])
            continue;
        if (!measured++)
            measure(l);
        if (!find_filler(l, &row))
            return;
        const double w = l->change[d];
        const size_t from = (size_t)l->change[d + 1];
        l->a.ops->add_f64(d, -w, l->change, l->sum + from * d);
        l->a.ops->add_f64(d, w, l->change, l->sum + c * d);
        l->mass[from] -= w;
        l->mass[c] = w;
        l->size[from]--;
        l->size[c] = 1;
        if (row == SIZE_MAX)
            continue;
        l->label[row] = (uint32_t)c;
        l->dist2[row] = 0;
        for (size_t g = 0; g < l->a.n_groups; g++)
            l->slack[row * l->a.n_groups + g] = -INFINITY;
    }
}

/* Widen every drift by the move of the own centre and the largest move of the group's others. */
static void widen_drift(struct kymo_lloyd *l, const double *move)
{
    const size_t k = l->k, groups = l->a.n_groups;
    for (size_t g = 0; g < groups; g++) {
        double most = 0, next = 0;
        size_t fastest = SIZE_MAX;
        for (size_t c = 0; c < k; c++) {
            if (groups > 1 && kymo_assigner_group_of(&l->a, c) != g)
                continue;
            if (move[c] > most) {
                next = most;
                most = move[c];
                fastest = c;
            } else if (move[c] > next) {
                next = move[c];
            }
        }
        for (size_t c = 0; c < k; c++) {
            double *drift = &l->drift[c * groups + g];
            *drift += (move[c] + (c == fastest ? next : most)) * l->rows.scale *
                      (1 + KYMO_LLOYD_ROUND);
            l->drift_up[c * groups + g] = (float)(*drift * (1 + KYMO_LLOYD_ROUND));
        }
    }
}

double kymo_lloyd_move(struct kymo_lloyd *l)
{
    const size_t k = l->k, d = l->X->d;
    fill_empty(l);
    memcpy(l->before, l->C, k * d * sizeof(*l->C));
    double shift2 = 0;
    for (size_t c = 0; c < k; c++) {
        for (size_t j = 0; j < d && l->size[c]; j++)
            l->C[c * d + j] = l->sum[c * d + j] / l->mass[c];
        const double move2 = kymo_sqdist(d, l->C + c * d, l->before + c * d);
        shift2 += move2;
        l->move[c] = sqrt(move2);
    }
    widen_drift(l, l->move);
    return shift2;
}

double kymo_lloyd_variance(const struct kymo_lloyd *l)
{
    const size_t d = l->X->d;
    double mass = 0, off2 = 0;
    for (size_t c = 0; c < l->k; c++)
        mass += l->mass[c];
    for (size_t j = 0; j < d; j++) {
        double s = 0;
        for (size_t c = 0; c < l->k; c++)
            s += l->sum[c * d + j];
        const double t = s / mass - l->rows.pivot[j];
        off2 += t * t;
    }
    const double variance = (l->moment / mass - off2) / (double)d;
    return variance > 0 ? variance : 0;
}

void kymo_lloyd_settle(struct kymo_lloyd *l)
{
    double offset2 = 0, mass = 0;
    for (size_t j = 0; j < l->X->d; j++)
        offset2 += l->rows.pivot[j] * l->rows.pivot[j];
    for (size_t c = 0; c < l->k; c++)
        mass += l->mass[c];
    if (l->ranks || l->inertia < QUICK_SHARE * l->moment ||
        l->inertia < QUICK_SHARE * mass * offset2)
        l->inertia = measure(l);
}
