/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/gmm_step.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "format/base/size.h"
#include "format/num/columns.h"
#include "format/num/simd/moments.h"
#include "format/num/simd/softmax.h"
#include "format/num/simd/strips.h"
#include "format/num/slots.h"

/* Blocks: few enough that their sums stay below a 24th of x, enough for many threads. */
#define SUMS_SHARE 24u
#define BLOCKS_MIN 32u
#define BLOCKS_MAX 256u

/* Rows gathered for one go of the scatter kernel: they stay in a first-level cache. */
#define ROWS_AT_ONCE 64u

static bool is_matrix(enum kymo_cov type)
{
    return type == KYMO_COV_FULL || type == KYMO_COV_TIED;
}

static bool second_size(const struct kymo_gmm_in *in, size_t *size)
{
    const size_t d = in->x->d, tiles = kymo_tiles_size(d);
    if (in->type == KYMO_COV_TIED) {
        *size = tiles;
        return true;
    }
    return kymo_size_mul(in->k, in->type == KYMO_COV_FULL ? tiles : d, size);
}

static void choose_blocks(struct kymo_gmm_pass *p)
{
    const size_t n = p->in->x->n, d = p->in->x->d, k = p->in->k;
    const size_t sums = k + k * d + p->second_size;
    size_t want = n / SUMS_SHARE * d / (p->in->x->f32 ? 2 * sums : sums);
    want = want < BLOCKS_MIN ? BLOCKS_MIN : want > BLOCKS_MAX ? BLOCKS_MAX : want;
    p->block_rows = kymo_size_round_up((n + want - 1) / want, 8);
    /* Tiles of about one size, the largest that the plan takes. */
    const size_t tiles = (p->block_rows + p->plan.tile_rows - 1) / p->plan.tile_rows;
    p->tile_rows = (p->block_rows + tiles - 1) / tiles;
    p->tile_rows += KYMO_STRIP_ROWS - 1;
    p->tile_rows -= p->tile_rows % KYMO_STRIP_ROWS;
    p->block_rows = tiles * p->tile_rows;
    p->n_blocks = (n + p->block_rows - 1) / p->block_rows;
}

static bool sums_new(struct kymo_gmm_sums *s, const struct kymo_gmm_pass *p,
                     struct kymo_arena *a)
{
    s->mass = KYMO_NEW(a, double, p->in->k);
    s->first = KYMO_NEW(a, double, p->in->k * p->in->x->d);
    s->second = KYMO_NEW(a, double, p->second_size);
    return s->mass && s->first && s->second;
}

static bool slot_new(struct kymo_gmm_slot *s, const struct kymo_gmm_pass *p,
                     struct kymo_arena *a)
{
    const size_t rows = p->plan.tile_rows;
    s->tile = KYMO_NEW_RAW(a, double, p->plan.scratch_size);
    s->lp = KYMO_NEW_RAW(a, double, rows * p->in->k);
    s->log_sum = KYMO_NEW_RAW(a, double, rows);
    s->entropy = KYMO_NEW_RAW(a, double, rows);
    s->weight = KYMO_NEW_RAW(a, double, rows + KYMO_RESP_SLACK);
    s->gathered = KYMO_NEW_RAW(a, double, kymo_tile_cols(p->in->x->d) * ROWS_AT_ONCE);
    s->row = KYMO_NEW_RAW(a, size_t, rows + KYMO_RESP_SLACK);
    return s->tile && s->lp && s->log_sum && s->entropy && s->weight && s->gathered && s->row;
}

/* Least variances, from the columns' own, which p->var holds. */
static void set_floors(struct kymo_gmm_pass *p, const double *mean)
{
    for (size_t j = 0; j < p->in->x->d; j++) {
        const double square = mean[j] * mean[j];
        const double scale = p->var[j] > 0 ? p->var[j] : square > 1 ? square : 1;
        p->floor[j] = scale * KYMO_GMM_FLOOR;
    }
}

kymo_status kymo_gmm_pass_new(struct kymo_gmm_pass *p, const struct kymo_gmm_in *in,
                              struct kymo_arena *a, struct kymo_err *err)
{
    const size_t d = in->x->d, k = in->k;
    size_t kd;
    *p = (struct kymo_gmm_pass){.in = in};
    KYMO_TRY(kymo_mixture_plan_new(&p->plan, in->type, k, d, kymo_simd_level(), a, err));
    bool ok = kymo_size_mul(k, d, &kd) && second_size(in, &p->second_size);
    if (ok) {
        choose_blocks(p);
        p->shift = KYMO_NEW_RAW(a, double, kd);
        p->var = KYMO_NEW_RAW(a, double, d);
        p->floor = KYMO_NEW_RAW(a, double, d);
        p->part = KYMO_NEW(a, struct kymo_gmm_sums, p->n_blocks);
        const size_t n_slots = kymo_slots(p->n_blocks, in->n_threads);
        p->slot = KYMO_NEW(a, struct kymo_gmm_slot, n_slots);
        ok = p->shift && p->var && p->floor && p->part && p->slot && sums_new(&p->all, p, a);
        for (size_t b = 0; ok && b < p->n_blocks; b++)
            ok = sums_new(&p->part[b], p, a);
        for (size_t s = 0; ok && s < n_slots; s++)
            ok = slot_new(&p->slot[s], p, a);
    }
    if (!ok)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a mixture of %zu components of %zu columns passes the memory budget",
                         k, d);
    KYMO_TRY(kymo_ranks_moments(in->ranks, in->x, in->n_threads, p->shift, p->var, &p->total, a,
                                err));
    for (size_t c = 1; c < k; c++)
        memcpy(p->shift + c * d, p->shift, d * sizeof(double));
    set_floors(p, p->shift);
    return KYMO_OK;
}

static void sums_clear(const struct kymo_gmm_pass *p, struct kymo_gmm_sums *s)
{
    s->loglik = s->entropy = 0;
    if (!p->with_sums)
        return;
    memset(s->mass, 0, p->in->k * sizeof(double));
    memset(s->first, 0, p->in->k * p->in->x->d * sizeof(double));
    memset(s->second, 0, p->second_size * sizeof(double));
}

/* Responsibilities as the start gives them. */
static void resp_given(const struct kymo_gmm_pass *p, size_t lo, size_t n_rows, double *resp)
{
    const size_t k = p->in->k, stride = p->plan.tile_rows;
    for (size_t c = 0; c < k; c++)
        for (size_t r = 0; r < n_rows; r++)
            resp[c * stride + r] =
                p->in->label ? p->in->label[lo + r] == c : p->in->resp[(lo + r) * k + c];
}

/* x ends with the block. */
static void resp_of(const struct kymo_gmm_pass *p, const struct kymo_dense *x, size_t lo,
                    size_t n_rows, const struct kymo_gmm_slot *slot, struct kymo_gmm_sums *sums)
{
    kymo_mixture_tile(&p->plan, x, lo, n_rows, slot->tile, slot->lp);
    kymo_softmax(p->plan.level, p->in->k, kymo_strips_of(n_rows) * KYMO_STRIP_ROWS,
                 p->plan.tile_rows, slot->lp, slot->lp, slot->log_sum, slot->entropy);
    for (size_t r = 0; r < n_rows; r++) {
        const double w = kymo_dense_weight(x, lo + r);
        sums->loglik += w * slot->log_sum[r];
        sums->entropy += w * slot->entropy[r];
    }
}

/* The rows of a tile that belong to component c at all; returns how many. */
static size_t choose_rows(enum kymo_simd level, const struct kymo_dense *x, size_t lo,
                          size_t n_rows, const double *resp, const struct kymo_gmm_slot *slot,
                          double *mass)
{
    const size_t n = kymo_softmax_rows(level, n_rows, resp, lo, slot->row, slot->weight);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (x->weight)
            slot->weight[i] *= x->weight[slot->row[i]];
        sum += slot->weight[i];
    }
    *mass += sum;
    return n;
}

static void add_moments(const struct kymo_gmm_pass *p, size_t c, size_t n,
                        const struct kymo_gmm_slot *slot, struct kymo_gmm_sums *sums)
{
    const struct kymo_dense *x = p->in->x;
    const size_t d = x->d;
    const double *shift = p->shift + c * d;
    double *first = sums->first + c * d;
    if (!is_matrix(p->in->type)) {
        kymo_moments(p->plan.level, x, n, slot->row, slot->weight, shift, first,
                     sums->second + c * d);
        return;
    }
    for (size_t i = 0; i < n; i++)
        slot->weight[i] = sqrt(slot->weight[i]);
    double *tiles = sums->second + (p->in->type == KYMO_COV_FULL ? c * kymo_tiles_size(d) : 0);
    for (size_t i = 0; i < n; i += ROWS_AT_ONCE) {
        const size_t rows = n - i < ROWS_AT_ONCE ? n - i : ROWS_AT_ONCE;
        kymo_gather(p->plan.level, x, rows, slot->row + i, slot->weight + i, shift,
                    slot->gathered, first);
        kymo_scatter(p->plan.level, rows, d, slot->gathered, tiles);
    }
}

static void pass_block(void *ctx, size_t block, size_t at)
{
    const struct kymo_gmm_pass *p = ctx;
    const struct kymo_dense *x = p->in->x;
    const struct kymo_gmm_slot *slot = &p->slot[at];
    struct kymo_gmm_sums *sums = &p->part[block];
    sums_clear(p, sums);
    const size_t end = (block + 1) * p->block_rows, hi = end < x->n ? end : x->n;
    struct kymo_dense own = *x;
    own.n = hi;
    for (size_t lo = block * p->block_rows; lo < hi; lo += p->tile_rows) {
        const size_t n_rows = hi - lo < p->tile_rows ? hi - lo : p->tile_rows;
        if (p->from_start)
            resp_given(p, lo, n_rows, slot->lp);
        else
            resp_of(p, &own, lo, n_rows, slot, sums);
        for (size_t c = 0; p->with_sums && c < p->in->k; c++) {
            const size_t n =
                choose_rows(p->plan.level, x, lo, n_rows, slot->lp + c * p->plan.tile_rows,
                            slot, &sums->mass[c]);
            add_moments(p, c, n, slot, sums);
        }
    }
}

static void add(size_t n, const double *restrict from, double *restrict to)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

static void sum_over_ranks(struct kymo_gmm_pass *p)
{
    const struct kymo_ranks *r = p->in->ranks;
    kymo_ranks_sum(r, &p->all.loglik, 1);
    kymo_ranks_sum(r, &p->all.entropy, 1);
    if (!r || !p->with_sums)
        return;
    r->sum(p->all.mass, p->in->k);
    r->sum(p->all.first, p->in->k * p->in->x->d);
    r->sum(p->all.second, p->second_size);
}

void kymo_gmm_pass_run(struct kymo_gmm_pass *p)
{
    kymo_parallel_slots(p->n_blocks, p->in->n_threads, pass_block, p);
    struct kymo_gmm_sums *all = &p->all;
    sums_clear(p, all);
    for (size_t b = 0; b < p->n_blocks; b++) {
        const struct kymo_gmm_sums *part = &p->part[b];
        all->loglik += part->loglik;
        all->entropy += part->entropy;
        if (!p->with_sums)
            continue;
        add(p->in->k, part->mass, all->mass);
        add(p->in->k * p->in->x->d, part->first, all->first);
        add(p->second_size, part->second, all->second);
    }
    sum_over_ranks(p);
}
