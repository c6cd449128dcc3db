/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/dendrogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "analyze/core/metrics.h"

static kymo_status no_memory(size_t n, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for a tree of %zu rows", n);
}

/* Highest merge below and at merge i; the merges of a tree come after their parts. */
static double height_of(const double *top, size_t n, double cluster)
{
    const size_t c = (size_t)cluster;
    return c < n ? -INFINITY : top[c - n];
}

/* -- cuts ------------------------------------------------------------------------------------- */

/* Labels of what is left when only merges with keep[i] were made; a merge kept has its parts kept.
 * under: [2n] scratch. Returns the number of clusters. */
static size_t label_parts(size_t n, const struct kymo_merge *Z, const uint8_t *keep,
                          uint32_t *under, uint32_t *label)
{
    for (size_t i = 0; i < 2 * n - 1; i++)
        under[i] = (uint32_t)i;
    for (size_t i = n - 1; i > 0; i--)
        if (keep[i - 1]) {
            under[(size_t)Z[i - 1].a] = under[n + i - 1];
            under[(size_t)Z[i - 1].b] = under[n + i - 1];
        }
    memcpy(label, under, n * sizeof(*label));
    uint32_t *seen = under; /* the number of a cluster */
    memset(seen, 0xff, (2 * n - 1) * sizeof(*seen));
    uint32_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (seen[label[i]] == UINT32_MAX)
            seen[label[i]] = k++;
        label[i] = seen[label[i]];
    }
    return k;
}

struct cutter {
    uint8_t *keep;   /* [n] */
    uint32_t *under; /* [2n] */
    struct kymo_arena arena;
};

static kymo_status cutter_init(struct cutter *c, size_t n, struct kymo_err *err)
{
    kymo_arena_init(&c->arena, SIZE_MAX);
    c->keep = KYMO_NEW(&c->arena, uint8_t, n);
    c->under = KYMO_NEW_RAW(&c->arena, uint32_t, 2 * n);
    if (c->keep && c->under)
        return KYMO_OK;
    kymo_arena_release(&c->arena);
    return no_memory(n, err);
}

kymo_status kymo_dendrogram_cut(size_t n, const struct kymo_merge *Z, size_t k, uint32_t *label,
                                struct kymo_err *err)
{
    assert(k >= 1 && k <= n);
    struct cutter c;
    KYMO_TRY(cutter_init(&c, n, err));
    memset(c.keep, 1, n - k);
    (void)label_parts(n, Z, c.keep, c.under, label);
    kymo_arena_release(&c.arena);
    return KYMO_OK;
}

kymo_status kymo_dendrogram_cut_height(size_t n, const struct kymo_merge *Z, double height,
                                       uint32_t *label, size_t *k, struct kymo_err *err)
{
    struct cutter c;
    KYMO_TRY(cutter_init(&c, n, err));
    double *top = KYMO_NEW_RAW(&c.arena, double, n);
    if (!top) {
        kymo_arena_release(&c.arena);
        return no_memory(n, err);
    }
    for (size_t i = 0; i + 1 < n; i++) {
        top[i] = fmax(Z[i].height, fmax(height_of(top, n, Z[i].a), height_of(top, n, Z[i].b)));
        c.keep[i] = top[i] <= height;
    }
    *k = label_parts(n, Z, c.keep, c.under, label);
    kymo_arena_release(&c.arena);
    return KYMO_OK;
}

static kymo_status judge_cut(const struct kymo_dense *x, enum kymo_cut_index index,
                             const uint32_t *label, size_t k, unsigned n_threads, double *score,
                             struct kymo_err *err)
{
    if (index == KYMO_CUT_CALINSKI) {
        struct kymo_spread s;
        KYMO_TRY(kymo_spread(x, label, k, n_threads, &s, err));
        *score = s.calinski_harabasz;
        return KYMO_OK;
    }
    struct kymo_labelling l = {label, k, 0};
    KYMO_TRY(kymo_silhouette_dense(x, &l, 1, n_threads, NULL, err));
    *score = l.silhouette;
    return KYMO_OK;
}

kymo_status kymo_dendrogram_best(const struct kymo_dense *x, const struct kymo_merge *Z,
                                 enum kymo_cut_index index, size_t k_min, size_t k_max,
                                 unsigned n_threads, double *score, size_t *k, uint32_t *label,
                                 struct kymo_err *err)
{
    assert(k_min >= 2 && k_min <= k_max && k_max < x->n);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    uint32_t *cut = KYMO_NEW_RAW(&a, uint32_t, x->n);
    kymo_status s = cut ? KYMO_OK : no_memory(x->n, err);
    size_t best_k = k_min;
    double best = -INFINITY;
    for (size_t c = k_min; !s && c <= k_max; c++) {
        double v = 0;
        s = kymo_dendrogram_cut(x->n, Z, c, cut, err);
        if (!s)
            s = judge_cut(x, index, cut, c, n_threads, &v, err);
        if (s)
            break;
        if (score)
            score[c - k_min] = v;
        if (v > best) {
            best = v;
            best_k = c;
        }
    }
    if (!s)
        s = kymo_dendrogram_cut(x->n, Z, best_k, label, err);
    if (!s)
        *k = best_k;
    kymo_arena_release(&a);
    return s;
}

kymo_status kymo_dendrogram_cophenetic(size_t n, const struct kymo_merge *Z, double *sum,
                                       double *sum_of_squares, struct kymo_err *err)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    double *rows = KYMO_NEW_RAW(&a, double, n);
    if (!rows) {
        kymo_arena_release(&a);
        return no_memory(n, err);
    }
    double h1 = 0, h2 = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        const size_t p = (size_t)Z[i].a, q = (size_t)Z[i].b;
        const double of_p = p < n ? 1 : rows[p - n], of_q = q < n ? 1 : rows[q - n];
        rows[i] = of_p + of_q;
        h1 += of_p * of_q * Z[i].height;
        h2 += of_p * of_q * Z[i].height * Z[i].height;
    }
    *sum = h1;
    *sum_of_squares = h2;
    kymo_arena_release(&a);
    return KYMO_OK;
}

/* -- text ------------------------------------------------------------------------------------- */

static int is_plain(const char *s)
{
    if (!*s)
        return 0;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
              (*s >= '0' && *s <= '9') || strchr(".+-", *s)))
            return 0;
    return 1;
}

static void put_name(struct kymo_buf *out, const char *s)
{
    if (is_plain(s)) {
        kymo_buf_put(out, s, strlen(s));
        return;
    }
    kymo_buf_u8(out, '\'');
    for (; *s; s++) {
        const uint8_t c = (uint8_t)*s;
        kymo_buf_u8(out, c < 0x20 || c == 0x7f ? ' ' : c);
        if (c == '\'')
            kymo_buf_u8(out, '\'');
    }
    kymo_buf_u8(out, '\'');
}

/* A walk through the tree without recursion: a chain can be as deep as there are rows. */
struct step {
    size_t cluster;
    uint8_t parts; /* already walked */
};

static double own_height(size_t n, const struct kymo_merge *Z, size_t cluster)
{
    return cluster < n ? 0 : Z[cluster - n].height;
}

static void leave(size_t n, const struct kymo_merge *Z, const struct step *stack, size_t depth,
                  struct kymo_buf *out)
{
    if (depth < 2)
        return;
    const double length =
        own_height(n, Z, stack[depth - 2].cluster) - own_height(n, Z, stack[depth - 1].cluster);
    kymo_buf_printf(out, ":%.17g", length > 0 ? length : 0);
}

kymo_status kymo_dendrogram_newick(size_t n, const struct kymo_merge *Z,
                                   const char *const *name, struct kymo_buf *out,
                                   struct kymo_err *err)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct step *stack = KYMO_NEW_RAW(&a, struct step, n);
    if (!stack) {
        kymo_arena_release(&a);
        return no_memory(n, err);
    }
    size_t depth = 1;
    stack[0] = (struct step){2 * n - 2, 0};
    while (depth) {
        struct step *at = &stack[depth - 1];
        if (at->cluster < n) {
            if (name && name[at->cluster])
                put_name(out, name[at->cluster]);
            else
                kymo_buf_printf(out, "%zu", at->cluster);
        } else if (at->parts < 2) {
            const struct kymo_merge *m = &Z[at->cluster - n];
            kymo_buf_u8(out, at->parts ? ',' : '(');
            stack[depth++] = (struct step){(size_t)(at->parts++ ? m->b : m->a), 0};
            continue;
        } else {
            kymo_buf_u8(out, ')');
        }
        leave(n, Z, stack, depth, out);
        depth--;
    }
    kymo_buf_put(out, ";\n", 2);
    kymo_arena_release(&a);
    return KYMO_OK;
}

/* Places of rows from left to right; first: [2n] scratch, rows left of a cluster. */
static void place_rows(size_t n, const struct kymo_merge *Z, uint32_t *first, uint32_t *rows,
                       uint32_t *order)
{
    for (size_t i = 0; i < 2 * n - 1; i++)
        rows[i] = i < n ? 1 : rows[(size_t)Z[i - n].a] + rows[(size_t)Z[i - n].b];
    first[2 * n - 2] = 0;
    for (size_t i = n - 1; i > 0; i--) {
        const size_t p = (size_t)Z[i - 1].a, q = (size_t)Z[i - 1].b;
        first[p] = first[n + i - 1];
        first[q] = first[p] + rows[p];
    }
    for (size_t i = 0; i < n; i++)
        order[first[i]] = (uint32_t)i;
}

kymo_status kymo_dendrogram_order(size_t n, const struct kymo_merge *Z, uint32_t *order,
                                  struct kymo_err *err)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    uint32_t *first = KYMO_NEW_RAW(&a, uint32_t, 2 * n);
    uint32_t *rows = KYMO_NEW_RAW(&a, uint32_t, 2 * n);
    const int ok = first && rows;
    if (ok)
        place_rows(n, Z, first, rows, order);
    kymo_arena_release(&a);
    return ok ? KYMO_OK : no_memory(n, err);
}

kymo_status kymo_dendrogram_gnuplot(size_t n, const struct kymo_merge *Z, struct kymo_buf *out,
                                    struct kymo_err *err)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    uint32_t *order = KYMO_NEW_RAW(&a, uint32_t, n);
    double *x = KYMO_NEW_RAW(&a, double, 2 * n);
    kymo_status s = order && x ? kymo_dendrogram_order(n, Z, order, err) : no_memory(n, err);
    for (size_t i = 0; !s && i < n; i++) {
        kymo_buf_printf(out, "# %zu %u\n", i, order[i]);
        x[order[i]] = (double)i;
    }
    for (size_t i = 0; !s && i + 1 < n; i++) {
        const size_t p = (size_t)Z[i].a, q = (size_t)Z[i].b;
        x[n + i] = (x[p] + x[q]) / 2;
        kymo_buf_printf(out, "%.17g %.17g\n%.17g %.17g\n%.17g %.17g\n%.17g %.17g\n\n", x[p],
                        own_height(n, Z, p), x[p], Z[i].height, x[q], Z[i].height, x[q],
                        own_height(n, Z, q));
    }
    kymo_arena_release(&a);
    return s;
}
