/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/reduce.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "analyze/core/eigen.h"
#include "format/base/size.h"
#include "format/num/columns.h"
#include "format/num/simd/moments.h"
#include "format/num/simd/strips.h"
#include "format/num/slots.h"

/* Blocks: few enough that their sums stay below a 24th of x in doubles, enough for many threads. */
#define SUMS_SHARE 24u
#define BLOCKS_MIN 32u
#define BLOCKS_MAX 256u

/* Rows at once: with a row's components they stay in a first-level cache. */
#define ROWS_AT_ONCE 64u

struct scatter {
    const struct kymo_dense *x;
    enum kymo_simd level;
    const double *mean; /* [d] */
    size_t block_rows, n_blocks, part_size;
    double *part;     /* [n_blocks, part_size]: sum of x - mean, tiles of its square */
    double *gathered; /* [slots, ROWS_AT_ONCE, d in tiles] */
};

static void scatter_block(void *ctx, size_t block, size_t slot)
{
    const struct scatter *s = ctx;
    const size_t d = s->x->d, end = (block + 1) * s->block_rows;
    const size_t hi = end < s->x->n ? end : s->x->n;
    double *first = s->part + block * s->part_size, *tiles = first + d;
    double *gathered = s->gathered + slot * ROWS_AT_ONCE * kymo_tile_cols(d);
    memset(first, 0, s->part_size * sizeof(double));
    size_t row[ROWS_AT_ONCE];
    double root[ROWS_AT_ONCE];
    for (size_t i = block * s->block_rows; i < hi;) {
        size_t n = 0;
        for (; n < ROWS_AT_ONCE && i < hi; n++, i++) {
            row[n] = i;
            root[n] = sqrt(kymo_dense_weight(s->x, i));
        }
        kymo_gather(s->level, s->x, n, row, root, s->mean, gathered, first);
        kymo_scatter(s->level, n, d, gathered, tiles);
    }
}

/* cov [d,d] around mean, sums divided by divisor. */
static kymo_status covariance(const struct kymo_pca_in *in, const double *mean, double total,
                              double *cov, struct kymo_arena *a, struct kymo_err *err)
{
    const size_t n = in->x->n, d = in->x->d;
    struct scatter s = {.x = in->x, .level = kymo_simd_level(), .mean = mean};
    s.part_size = d + kymo_tiles_size(d);
    size_t want = n / SUMS_SHARE * d / s.part_size;
    want = want < BLOCKS_MIN ? BLOCKS_MIN : want > BLOCKS_MAX ? BLOCKS_MAX : want;
    s.block_rows = kymo_size_round_up((n + want - 1) / want, ROWS_AT_ONCE);
    s.n_blocks = (n + s.block_rows - 1) / s.block_rows;
    const size_t n_slots = kymo_slots(s.n_blocks, in->n_threads);
    size_t size;
    if (kymo_size_mul(s.n_blocks, s.part_size, &size))
        s.part = KYMO_NEW_RAW(a, double, size);
    s.gathered = KYMO_NEW_RAW(a, double, n_slots *ROWS_AT_ONCE *kymo_tile_cols(d));
    if (!s.part || !s.gathered)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the covariance of %zu columns passes the memory budget", d);
    kymo_parallel_slots(s.n_blocks, in->n_threads, scatter_block, &s);
    for (size_t b = 1; b < s.n_blocks; b++)
        for (size_t i = 0; i < s.part_size; i++)
            s.part[i] += s.part[b * s.part_size + i];
    kymo_tiles_unpack(d, s.part + d, cov);
    bool finite = true;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            /* What rounding left in the mean is taken out again. */
            cov[i * d + j] -= s.part[i] / total * s.part[j];
            cov[i * d + j] /= total - 1;
            finite = finite && isfinite(cov[i * d + j]);
        }
    if (!finite)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "the columns are so large that their squares overflow: scale them");
    return KYMO_OK;
}

/* How many components to keep, and the share of variance in them. */
static void choose(const struct kymo_pca_in *in, struct kymo_pca *p)
{
    p->total = 0;
    for (size_t i = 0; i < p->d; i++)
        p->total += p->variance[i];
    double sum = 0;
    for (p->m = 0; p->m < p->d;) {
        sum += p->variance[p->m++];
        if (in->count ? p->m == in->count : sum >= in->share * p->total)
            break;
    }
    p->kept = p->total > 0 ? sum / p->total : 1;
}

static kymo_status fit(const struct kymo_pca_in *in, struct kymo_arena *scratch,
                       struct kymo_pca *p, struct kymo_err *err)
{
    const size_t d = p->d;
    size_t square;
    double weight, *V = NULL;
    double *value = KYMO_NEW_RAW(scratch, double, d);
    if (kymo_size_mul(d, d, &square))
        V = KYMO_NEW_RAW(scratch, double, square);
    if (!V || !value)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the covariance of %zu columns passes the memory budget", d);
    KYMO_TRY(kymo_column_moments(in->x, in->n_threads, p->mean, NULL, &weight, err));
    if (!(weight > 1))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "a variance needs two rows; these weigh %.17g", weight);
    KYMO_TRY(covariance(in, p->mean, weight, V, scratch, err));
    if (!kymo_eigen_sym(d, V, value))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "the eigenvalues of %zu columns cannot be found", d);
    for (size_t i = 0; i < d; i++)
        p->variance[i] = value[d - 1 - i] > 0 ? value[d - 1 - i] : 0;
    choose(in, p);
    for (size_t i = 0; i < p->m; i++)
        memcpy(p->component + i * d, V + (d - 1 - i) * d, d * sizeof(double));
    return KYMO_OK;
}

kymo_status kymo_pca(const struct kymo_pca_in *in, struct kymo_arena *arena,
                     struct kymo_pca *out, struct kymo_err *err)
{
    const size_t d = in->x->d;
    assert(in->x->n >= 1 && d >= 1 && in->count <= d);
    assert(in->count || (in->share > 0 && in->share <= 1));
    struct kymo_pca got = {.d = d};
    size_t size;
    got.mean = KYMO_NEW_RAW(arena, double, d);
    got.variance = KYMO_NEW_RAW(arena, double, d);
    if (kymo_size_mul(in->count ? in->count : d, d, &size))
        got.component = KYMO_NEW_RAW(arena, double, size);
    if (!got.mean || !got.variance || !got.component)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "components of %zu columns pass the memory budget", d);
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes);
    const kymo_status s = fit(in, &scratch, &got, err);
    kymo_arena_release(&scratch);
    if (!s)
        *out = got;
    return s;
}

struct projection {
    const struct kymo_pca *p;
    const struct kymo_dense *x;
    enum kymo_simd level;
    double *scratch; /* [slots, (2 d + m) strip rows] */
    double *out;
};

static void project_strip(void *ctx, size_t block, size_t slot)
{
    const struct projection *t = ctx;
    const size_t d = t->p->d, m = t->p->m, lo = block * KYMO_STRIP_ROWS;
    const size_t n = t->x->n - lo < KYMO_STRIP_ROWS ? t->x->n - lo : KYMO_STRIP_ROWS;
    double *strip = t->scratch + slot * (2 * d + m) * KYMO_STRIP_ROWS;
    double *diff = strip + d * KYMO_STRIP_ROWS, *place = diff + d * KYMO_STRIP_ROWS;
    kymo_strips(t->level, t->x, lo, n, strip);
    kymo_dot_strip(t->level, d, m, strip, t->p->mean, t->p->component, diff, place);
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < m; c++)
            t->out[(lo + r) * m + c] = place[c * KYMO_STRIP_ROWS + r];
}

kymo_status kymo_pca_project(const struct kymo_pca *p, const struct kymo_dense *x,
                             unsigned n_threads, double *out, struct kymo_err *err)
{
    assert(x->d == p->d);
    const size_t n_strips = kymo_strips_of(x->n), n_slots = kymo_slots(n_strips, n_threads);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct projection t = {.p = p, .x = x, .level = kymo_simd_level(), .out = out};
    t.scratch = KYMO_NEW_RAW(&a, double, n_slots *(2 * p->d + p->m) * KYMO_STRIP_ROWS);
    const bool ok = t.scratch != NULL;
    if (ok)
        kymo_parallel_slots(n_strips, n_threads, project_strip, &t);
    kymo_arena_release(&a);
    if (!ok)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for %zu components", p->m);
    return KYMO_OK;
}
