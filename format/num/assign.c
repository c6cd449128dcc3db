/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/assign.h"

#include <assert.h>
#include <math.h>

#include "format/base/size.h"
#include "format/num/parallel.h"

/* Independent sums that a compiler may keep in vector registers; the order of additions is fixed. */
#define SQDIST_LANES 8u

double kymo_sqdist(size_t d, const double *a, const double *b)
{
    double lane[SQDIST_LANES] = {0};
    size_t j = 0;
    for (; j + SQDIST_LANES <= d; j += SQDIST_LANES)
        for (size_t l = 0; l < SQDIST_LANES; l++) {
            const double t = a[j + l] - b[j + l];
            lane[l] += t * t;
        }
    for (size_t l = 0; j < d; j++, l++) {
        const double t = a[j] - b[j];
        lane[l] += t * t;
    }
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

void kymo_pack_centres(size_t k, size_t d, const double *C, double *out)
{
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++)
            out[j * k + c] = C[c * d + j];
}

void kymo_sqdist_all(size_t k, size_t d, const double *x, const double *packed, double *dist)
{
    kymo_rowops_at(kymo_simd_level())->sqdist_all(k, d, x, packed, dist);
}

size_t kymo_argmin(size_t k, const double *dist)
{
    size_t best = 0;
    for (size_t c = 1; c < k; c++)
        if (dist[c] < dist[best])
            best = c;
    return best;
}

kymo_status kymo_assigner_init(struct kymo_assigner *a, const struct kymo_rows32 *rows,
                               size_t k, enum kymo_simd level, struct kymo_arena *arena,
                               struct kymo_err *err)
{
    const size_t d = rows->x->d, pad = KYMO_NEAREST_PAD(k);
    size_t cells;
    if (!kymo_size_mul(pad, d, &cells))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "%zu clusters of %zu columns are too many", k, d);
    *a = (struct kymo_assigner){
        .rows = rows, .ops = kymo_rowops_at(level), .fn = kymo_nearest_at(level), .k = k};
    a->plain = KYMO_NEW_RAW(arena, double, cells);
    a->moved = KYMO_NEW_RAW(arena, double, cells);
    a->packed = KYMO_NEW_RAW(arena, float, cells);
    a->bias = KYMO_NEW_RAW(arena, float, pad);
    a->order = KYMO_NEW(arena, uint32_t, pad);
    a->place = KYMO_NEW(arena, uint32_t, k);
    a->narrow = KYMO_NEW_RAW(arena, float, cells);
    if (!a->plain || !a->moved || !a->packed || !a->bias || !a->order || !a->place ||
        !a->narrow)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory to pack %zu centres", k);
    for (size_t c = 0; c < k; c++)
        a->order[c] = a->place[c] = (uint32_t)c;
    a->n_groups = 1;
    a->group_vectors = kymo_group_vectors(k);
    a->groups = kymo_groups_at(level);
    return KYMO_OK;
}

void kymo_assigner_group(struct kymo_assigner *a, const double *C)
{
    const size_t k = a->k, d = a->rows->x->d, wide = 16 * a->group_vectors;
    if (!a->groups || k < KYMO_GROUPS_K_LEAST)
        return;
    a->n_groups = (k + wide - 1) / wide;
    /* A group is the first centre left and those nearest to it; `moved` lends its memory for distances. */
    double *dist2 = a->moved;
    for (size_t c = 0; c < k; c++)
        a->order[c] = (uint32_t)c;
    for (size_t first = 0; first < k; first += wide) {
        for (size_t p = first; p < k; p++)
            dist2[p] = kymo_sqdist(d, C + a->order[first] * d, C + a->order[p] * d);
        for (size_t p = first + 1; p < k && p < first + wide; p++) {
            size_t best = p;
            for (size_t q = p + 1; q < k; q++)
                best = dist2[q] < dist2[best] ? q : best;
            const uint32_t centre = a->order[p];
            const double far = dist2[p];
            a->order[p] = a->order[best];
            dist2[p] = dist2[best];
            a->order[best] = centre;
            dist2[best] = far;
        }
    }
    for (size_t p = 0; p < k; p++)
        a->place[a->order[p]] = (uint32_t)p;
}

kymo_status kymo_assign_scratch_init(struct kymo_assign_scratch *s, size_t k, size_t d,
                                     struct kymo_arena *arena, struct kymo_err *err)
{
    /* A line more, so that tiles start on one and blocks share none. */
    s->tile = KYMO_NEW_RAW(arena, float, KYMO_TILE_ROWS *d + 16);
    s->row = KYMO_NEW_RAW(arena, double, d);
    s->dist = KYMO_NEW_RAW(arena, double, k);
    if (!s->tile || !s->row || !s->dist)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory to assign rows");
    return KYMO_OK;
}

/* Rows with fewer values than this, in shares, are walked value by value: with k = 64 and 128 columns,
 * a row that is 20 % full took 84 ns against 150 ns, and at 45 % the two meet. */
#define SPARSE_SHARE 0.35

void kymo_assigner_set(struct kymo_assigner *a, const double *C)
{
    const size_t d = a->rows->x->d;
    kymo_pack_centres(a->k, d, C, a->plain);
    for (size_t p = 0; p < a->k; p++)
        kymo_rows32_centres(a->rows, 1, C + a->order[p] * d, a->moved + p * d);
    for (size_t i = 0; i < a->k * d && a->n_groups > 1; i++)
        a->narrow[i] = (float)a->moved[i];
    kymo_nearest_pack(a->k, d, a->moved, a->packed, a->bias, &a->near);
    a->near.sparse = a->rows->filled < SPARSE_SHARE;
}

/* Rounding of a plain distance, and of the pivot and scale that its bounds are told in. */
#define PLAIN_ERROR 0x1p-22

void kymo_assign_exact(const struct kymo_assigner *a, size_t row, struct kymo_assign_scratch *s,
                       size_t r, struct kymo_nearest_tile *out)
{
    kymo_dense_row(a->rows->x, row, s->row);
    a->ops->sqdist_all(a->k, a->rows->x->d, s->row, a->plain, s->dist);
    const size_t c = kymo_argmin(a->k, s->dist);
    double next = INFINITY;
    for (size_t i = 0; i < a->k; i++)
        if (i != c && s->dist[i] < next)
            next = s->dist[i];
    out->label[r] = (uint32_t)c;
    out->upper[r] = (float)(sqrt(s->dist[c]) * a->rows->scale * (1 + PLAIN_ERROR));
    out->lower[r] = (float)(sqrt(next) * a->rows->scale * (1 - PLAIN_ERROR));
}

void kymo_assign_tile(const struct kymo_assigner *a, const uint32_t *row, size_t n_rows,
                      const float *norm2, struct kymo_assign_scratch *s,
                      struct kymo_nearest_tile *out)
{
    size_t stride;
    float n2[KYMO_TILE_ROWS] = {0};
    const float *x = kymo_rows32_tile(a->rows, row, n_rows, KYMO_TILE_ROWS, s->tile, &stride);
    for (size_t r = 0; r < n_rows && norm2; r++)
        n2[r] = norm2[row[r]];
    unsigned open = a->fn(&a->near, x, stride, norm2 ? n2 : NULL, out) & ((1u << n_rows) - 1);
    for (size_t r = 0; r < n_rows; r++)
        if (!(open >> r & 1))
            out->label[r] = a->order[out->label[r]];
    for (; open; open &= open - 1) {
        const size_t r = (size_t)__builtin_ctz(open);
        kymo_assign_exact(a, row[r], s, r, out);
    }
}

struct labelling {
    const struct kymo_dense *X;
    struct kymo_rows32 rows;
    struct kymo_assigner a;
    struct kymo_assign_scratch *scratch; /* [n_blocks] */
    size_t block_rows;
    const double *C;
    uint32_t *label;
    double *dist2, *sum; /* sum [n_blocks], NULL when no one asks for distances */
};

#define AHEAD_ROWS 48u /* rows on their way to the caches while a tile is worked on */

static void label_block(void *ctx, size_t block)
{
    struct labelling *l = ctx;
    const size_t lo = block * l->block_rows, d = l->X->d;
    const size_t hi = lo + l->block_rows < l->X->n ? lo + l->block_rows : l->X->n;
    double sum = 0;
    for (size_t i = lo; i < hi; i += KYMO_TILE_ROWS) {
        uint32_t row[KYMO_TILE_ROWS];
        struct kymo_nearest_tile t;
        const size_t n_rows = hi - i < KYMO_TILE_ROWS ? hi - i : KYMO_TILE_ROWS;
        for (size_t r = 0; r < n_rows; r++)
            row[r] = (uint32_t)(i + r);
        for (size_t r = i + AHEAD_ROWS; r < i + AHEAD_ROWS + KYMO_TILE_ROWS && r < hi; r++)
            kymo_rows32_fetch(&l->rows, r);
        kymo_assign_tile(&l->a, row, n_rows, NULL, &l->scratch[block], &t);
        for (size_t r = 0; r < n_rows; r++)
            l->label[i + r] = t.label[r];
        for (size_t r = 0; r < n_rows && l->sum; r++) {
            const double dist2 = kymo_row_sqdist(l->a.ops, l->X, i + r, l->C + t.label[r] * d);
            sum += kymo_dense_weight(l->X, i + r) * dist2;
            if (l->dist2)
                l->dist2[i + r] = dist2;
        }
    }
    if (l->sum)
        l->sum[block] = sum;
}

static kymo_status label_all(struct labelling *l, size_t k, unsigned n_threads,
                             struct kymo_arena *arena, double *inertia, struct kymo_err *err)
{
    const size_t d = l->X->d, n_blocks = (l->X->n + l->block_rows - 1) / l->block_rows;
    double *pivot = KYMO_NEW_RAW(arena, double, d);
    l->scratch = KYMO_NEW(arena, struct kymo_assign_scratch, n_blocks);
    double *sum = KYMO_NEW_RAW(arena, double, n_blocks);
    if (!pivot || !l->scratch || !sum || l->X->n > UINT32_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory to label %zu rows",
                         l->X->n);
    kymo_rows32_init(&l->rows, l->X, pivot);
    KYMO_TRY(kymo_assigner_init(&l->a, &l->rows, k, kymo_simd_level(), arena, err));
    for (size_t b = 0; b < n_blocks; b++)
        KYMO_TRY(kymo_assign_scratch_init(&l->scratch[b], k, d, arena, err));
    kymo_assigner_set(&l->a, l->C);
    l->sum = l->dist2 || inertia ? sum : NULL;
    kymo_parallel(n_blocks, n_threads, label_block, l);
    double total = 0;
    for (size_t b = 0; b < n_blocks && inertia; b++)
        total += sum[b];
    if (inertia)
        *inertia = total;
    return KYMO_OK;
}

kymo_status kymo_kmeans_assign(const struct kymo_dense *X, size_t k, const double *C,
                               unsigned n_threads, uint32_t *label, double *dist2,
                               double *inertia, struct kymo_err *err)
{
    assert(k >= 1);
    struct labelling l = {
        .X = X, .block_rows = kymo_block_rows(X->n), .C = C, .label = label, .dist2 = dist2};
    if (X->n == 0) {
        if (inertia)
            *inertia = 0;
        return KYMO_OK;
    }
    struct kymo_arena arena;
    kymo_arena_init(&arena, SIZE_MAX);
    const kymo_status s = label_all(&l, k, n_threads, &arena, inertia, err);
    kymo_arena_release(&arena);
    return s;
}
