/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/rows32.h"

#include <math.h>
#include <string.h>

/* f32 rows are taken as they are while their common offset is at most so many times their spread (in
 * squares), and their spread within these bounds: squares and their sums then keep clear of f32's ends. */
#define OFFSET_MOST 64.0
#define SPREAD_LEAST 1e-9
#define SPREAD_MOST 1e12

void kymo_rows32_init(struct kymo_rows32 *out, const struct kymo_dense *x, double *pivot)
{
    const size_t d = x->d, n = x->n < KYMO_PIVOT_ROWS ? x->n : KYMO_PIVOT_ROWS;
    double offset2 = 0, spread2 = 0, filled = 0;
    for (size_t j = 0; j < d; j++)
        pivot[j] = 0;
    for (size_t s = 0; s < n; s++)
        for (size_t j = 0; j < d; j++)
            pivot[j] += kymo_dense_at(x, x->n / n * s, j) / (double)n;
    for (size_t s = 0; s < n; s++)
        for (size_t j = 0; j < d; j++) {
            const double t = kymo_dense_at(x, x->n / n * s, j) - pivot[j];
            spread2 += t * t / (double)n;
            filled += kymo_dense_at(x, x->n / n * s, j) != 0;
        }
    for (size_t j = 0; j < d; j++)
        offset2 += pivot[j] * pivot[j];
    const double spread = sqrt(spread2);
    *out = (struct kymo_rows32){
        .x = x, .ops = kymo_rowops_at(kymo_simd_level()), .pivot = pivot, .scale = 1};
    out->direct = x->f32 && offset2 <= OFFSET_MOST * spread2 && spread >= SPREAD_LEAST &&
                  spread <= SPREAD_MOST;
    out->filled = out->direct ? filled / ((double)n * (double)d) : 1;
    if (out->direct)
        memset(pivot, 0, d * sizeof(*pivot));
    else if (spread > 0 && isfinite(spread) && (spread < SPREAD_LEAST || spread > SPREAD_MOST))
        out->scale = ldexp(1, -ilogb(spread));
}

void kymo_rows32_centres(const struct kymo_rows32 *r, size_t k, const double *C, double *out)
{
    const size_t d = r->x->d;
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++)
            out[c * d + j] = (C[c * d + j] - r->pivot[j]) * r->scale;
}

static void narrow_row(const struct kymo_rows32 *r, size_t row, float *out)
{
    const size_t d = r->x->d;
    if (r->x->f64)
        r->ops->narrow_f64(d, r->x->f64 + row * d, r->pivot, r->scale, out);
    else
        r->ops->narrow_f32(d, r->x->f32 + row * d, r->pivot, r->scale, out);
}

const float *kymo_rows32_tile(const struct kymo_rows32 *r, const uint32_t *row, size_t n_rows,
                              size_t tile_rows, float *buf, size_t *stride)
{
    const size_t d = r->x->d;
    *stride = d;
    size_t run = 0;
    while (run < n_rows && row[run] == row[0] + run)
        run++;
    if (r->direct && run == tile_rows)
        return r->x->f32 + (size_t)row[0] * d;
    for (size_t i = 0; i < n_rows; i++) {
        if (r->direct)
            memcpy(buf + i * d, r->x->f32 + (size_t)row[i] * d, d * sizeof(*buf));
        else
            narrow_row(r, row[i], buf + i * d);
    }
    memset(buf + n_rows * d, 0, (tile_rows - n_rows) * d * sizeof(*buf));
    return buf;
}
