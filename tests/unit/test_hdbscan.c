/* SPDX-License-Identifier: Apache-2.0
 * HDBSCAN and its spanning tree against their definitions, on the full matrix of distances.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/hdbscan.h"
#include "analyze/core/kdtree.h"
#include "analyze/core/mutual.h"
#include "format/base/json.h"
#include "format/num/assign.h"
#include "format/num/stats.h"
#include "tests/unit/cloud_rows.h"

/* -- the definition -------------------------------------------------------------------------------- */

/* Clusters found by taking sets of rows apart, distance by distance. */
struct plain {
    size_t n;
    double enough, large;
    double *reach2; /* [n] */
    double *dist2;  /* [n,n] mutual reachability */
    double *weight; /* [n] */
    double zero;
    size_t k;
    struct {
        size_t parent;
        double born, stability, inside, densest;
        int chosen;
    } c[1000];
    size_t *left;    /* [n] */
    double *density; /* [n] */
    int has_tie;     /* some choice is between sums that rounding might order either way */
};

static double density_of(const struct plain *p, double dist2)
{
    return 1 / (dist2 > 0 ? sqrt(dist2) : p->zero);
}

/* The least distance at which the rows of in[] are connected: the longest edge of Prim's tree. */
static double bottleneck(const struct plain *p, const unsigned char *in)
{
    double near[256], longest = 0;
    unsigned char done[256] = {0};
    size_t at = 0;
    while (!in[at])
        at++;
    for (size_t i = 0; i < p->n; i++)
        near[i] = INFINITY;
    for (;;) {
        done[at] = 1;
        size_t next = p->n;
        for (size_t i = 0; i < p->n; i++) {
            if (!in[i] || done[i])
                continue;
            near[i] = fmin(near[i], p->dist2[at * p->n + i]);
            if (next == p->n || near[i] < near[next])
                next = i;
        }
        if (next == p->n)
            return longest;
        longest = fmax(longest, near[next]);
        at = next;
    }
}

static double weigh(const struct plain *p, const unsigned char *in)
{
    double weight = 0;
    for (size_t i = 0; i < p->n; i++)
        weight += in[i] ? p->weight[i] : 0;
    return weight;
}

/* Rows of in[] that hang together with `from` below dist2. */
static void spread(const struct plain *p, const unsigned char *in, size_t from, double dist2,
                   unsigned char *out)
{
    size_t queue[256], n = 0;
    memset(out, 0, p->n);
    out[from] = 1;
    queue[n++] = from;
    for (size_t at = 0; at < n; at++)
        for (size_t q = 0; q < p->n; q++)
            if (in[q] && !out[q] && p->dist2[queue[at] * p->n + q] < dist2) {
                out[q] = 1;
                queue[n++] = q;
            }
}

static void take_apart(struct plain *p, const unsigned char *in, size_t c)
{
    size_t rows = 0, last = 0;
    for (size_t i = 0; i < p->n; i++)
        if (in[i])
            rows++, last = i;
    const double dist2 = rows > 1 ? bottleneck(p, in) : p->reach2[last];
    const double density = density_of(p, dist2);
    unsigned char part[256], seen[256] = {0};
    size_t n_large = 0;
    for (int pass = 0; pass < 2; pass++) {
        memset(seen, 0, p->n);
        for (size_t i = 0; i < p->n; i++) {
            if (!in[i] || seen[i])
                continue;
            spread(p, in, i, rows > 1 ? dist2 : 0, part);
            const double weight = weigh(p, part);
            const int is_large = rows > 1 && weight >= p->large;
            for (size_t q = 0; q < p->n; q++)
                seen[q] |= part[q];
            if (pass == 0) {
                n_large += (size_t)is_large;
                continue;
            }
            if (!is_large || n_large > 1)
                p->c[c].stability += weight * (density - p->c[c].born);
            for (size_t q = 0; q < p->n && !is_large; q++)
                if (part[q]) {
                    p->left[q] = c;
                    p->density[q] = density;
                    p->c[c].densest = fmax(p->c[c].densest, density);
                }
            if (is_large && n_large > 1) {
                p->c[p->k].parent = c;
                p->c[p->k].born = p->c[p->k].densest = density;
                take_apart(p, part, p->k++);
            } else if (is_large) {
                take_apart(p, part, c);
            }
        }
    }
}

static void choose(struct plain *p)
{
    for (size_t i = p->k; i-- > 1;) {
        const size_t up = p->c[i].parent;
        const double own = p->c[i].stability, inside = p->c[i].inside;
        p->has_tie |= fabs(own - inside) <= 1e-9 * (own + inside);
        p->c[i].chosen = own >= inside;
        p->c[up].inside += fmax(own, inside);
        p->c[up].densest = fmax(p->c[up].densest, p->c[i].densest);
    }
}

static void hdbscan_plain(struct plain *p, const struct kymo_dense *x, struct kymo_arena *a)
{
    const size_t n = p->n = x->n;
    p->reach2 = KYMO_NEW(a, double, n);
    p->dist2 = KYMO_NEW(a, double, n *n);
    p->weight = KYMO_NEW(a, double, n);
    p->left = KYMO_NEW(a, size_t, n);
    p->density = KYMO_NEW(a, double, n);
    double least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        double sorted[1024];
        size_t m = 0;
        for (size_t q = 0; q < n; q++) {
            p->dist2[i * n + q] = kymo_sqdist(x->d, x->f64 + i * x->d, x->f64 + q * x->d);
            for (size_t copy = (size_t)kymo_dense_weight(x, q); copy > 0; copy--)
                sorted[m++] = p->dist2[i * n + q];
        }
        kymo_sort_f64(m, sorted);
        p->weight[i] = kymo_dense_weight(x, i);
        p->reach2[i] = p->enough <= (double)m ? sorted[(size_t)p->enough - 1] : INFINITY;
        least = p->reach2[i] > 0 ? fmin(least, p->reach2[i]) : least;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t q = 0; q < n; q++) {
            double *dist2 = &p->dist2[i * n + q];
            *dist2 = fmax(*dist2, fmax(p->reach2[i], p->reach2[q]));
            least = i != q && *dist2 > 0 ? fmin(least, *dist2) : least;
        }
    p->zero = isfinite(least) ? sqrt(least) / 2 : 1;
    unsigned char all[256];
    memset(all, 1, n);
    p->k = 1;
    take_apart(p, all, 0);
    choose(p);
}

static uint32_t owner(const struct plain *p, size_t c)
{
    uint32_t chosen = KYMO_NOISE;
    for (; c > 0; c = p->c[c].parent)
        chosen = p->c[c].chosen ? (uint32_t)c : chosen;
    return chosen;
}

/* -- tests ----------------------------------------------------------------------------------------- */

static struct kymo_hdbscan_out fit(struct kymo_arena *a, const struct kymo_dense *x,
                                   double min_weight, double min_cluster, unsigned threads)
{
    const struct kymo_hdbscan_in in = {.x = x,
                                       .min_weight = min_weight,
                                       .min_cluster_weight = min_cluster,
                                       .n_threads = threads};
    struct kymo_hdbscan_out out = {0};
    struct kymo_err err = {0};
    if (kymo_hdbscan(&in, a, &out, &err))
        fail_msg("%s", err.text);
    return out;
}

static void check_same(const struct plain *p, const struct kymo_hdbscan_out *got, size_t c)
{
    uint32_t name[1000], k = 0;
    memset(name, 0xff, sizeof(name));
    for (size_t i = 0; i < p->n; i++) {
        const uint32_t own = owner(p, p->left[i]);
        const double densest = p->c[p->left[i]].densest;
        const double outlier = densest > 0 ? 1 - p->density[i] / densest : 0;
        assert_true(fabs(got->outlier[i] - outlier) <= 1e-9);
        if (own == KYMO_NOISE) {
            if (got->label[i] != KYMO_NOISE)
                fail_msg("case %zu, row %zu: %u, not noise", c, i, got->label[i]);
            assert_true(got->member[i] == 0);
            continue;
        }
        if (name[own] == KYMO_NOISE)
            name[own] = k++;
        if (got->label[i] != name[own])
            fail_msg("case %zu, row %zu: %u, not %u", c, i, got->label[i], name[own]);
        assert_true(fabs(got->member[i] - p->density[i] / p->c[own].densest) <= 1e-9);
        assert_true(fabs(got->stability[name[own]] / p->c[own].stability - 1) <= 1e-9);
    }
    assert_int_equal(got->k, k);
}

static void clusters_are_those_of_the_definition(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 2, 3, 9};
    size_t compared = 0, clusters = 0;
    for (size_t c = 0; c < 120; c++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        const size_t n = c % 10 == 0 ? 1 + c / 10 % 4 : 60 + c, d = widths[c % 4];
        struct kymo_dense x = {
            .n = n,
            .d = d,
            .f64 = rows_make(&a, (enum rows_kind)(c / 4 % ROWS_KINDS), n, d, c)};
        double *weight = KYMO_NEW(&a, double, n);
        for (size_t i = 0; i < n; i++)
            weight[i] = (double)(1 + (i * 5 + c) % 4);
        x.weight = c % 3 == 2 ? weight : NULL;
        struct plain *p = KYMO_NEW(&a, struct plain, 1);
        p->enough = (double)(1 + c % 9);
        p->large = (double)(2 + c / 2 % 11);
        hdbscan_plain(p, &x, &a);
        if (!p->has_tie) {
            const struct kymo_hdbscan_out got =
                fit(&a, &x, p->enough, p->large, 1 + (unsigned)c % 3);
            check_same(p, &got, c);
            clusters += got.k;
            compared++;
        }
        kymo_arena_release(&a);
    }
    assert_true(compared > 80 && clusters > 200);
}

static void check_fixture(const char *set)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    char path[160];
    struct kymo_dense x = {0};
    snprintf(path, sizeof(path), "tests/golden/clustering/%s.csv", set);
    x.f64 = rows_read_csv(&a, path, &x.n, &x.d);
    json_t *want = NULL;
    snprintf(path, sizeof(path), "tests/golden/clustering/hdbscan_%s.json", set);
    assert_int_equal(kymo_json_read(&want, path, NULL), KYMO_OK);
    const json_t *label = json_object_get(want, "labels");
    const struct kymo_hdbscan_out got =
        fit(&a, &x, json_number_value(json_object_get(want, "min_samples")),
            json_number_value(json_object_get(want, "min_cluster")), 2);
    assert_int_equal(json_array_size(label), x.n);
    for (size_t i = 0; i < x.n; i++) {
        const json_int_t l = json_integer_value(json_array_get(label, i));
        assert_int_equal(got.label[i], l < 0 ? KYMO_NOISE : (uint32_t)l);
    }
    json_decref(want);
    kymo_arena_release(&a);
}

static void clusters_are_those_of_another_library(void **state)
{
    (void)state;
    check_fixture("iris");
    check_fixture("wine_z");
    check_fixture("breast_cancer_z");
}

static void a_row_that_bridges_two_clusters_as_they_part_is_in_neither(void **state)
{
    (void)state;
    const double x[] = {0, 0.1, 0.2, 1.2, 2.2, 2.3, 2.4};
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense rows = {.n = 7, .d = 1, .f64 = x};
    const struct kymo_hdbscan_out got = fit(&a, &rows, 3, 3, 1);
    assert_int_equal(got.k, 2);
    assert_int_equal(got.n_noise, 1);
    assert_int_equal(got.label[3], KYMO_NOISE);
    kymo_arena_release(&a);
}

static void the_tree_is_as_short_as_prims(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 2, 3, 8, 20, 64};
    for (size_t c = 0; c < 36; c++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        const size_t n = 1 + c * 30, d = widths[c % 6];
        const struct kymo_dense x = {
            .n = n,
            .d = d,
            .f64 = rows_make(&a, (enum rows_kind)(c / 2 % ROWS_KINDS), n, d, c)};
        struct kymo_kdtree t;
        assert_int_equal(kymo_kdtree_build(&x, 1, &a, &t, NULL), KYMO_OK);
        double *reach2 = KYMO_NEW(&a, double, t.n_leaves *KYMO_BUCKET_ROWS);
        assert_int_equal(
            kymo_kdtree_reach(&t, 1 + (double)(c % 7), 1, NULL, SIZE_MAX, reach2, NULL),
            KYMO_OK);
        struct kymo_mutual_edge *edge = KYMO_NEW(&a, struct kymo_mutual_edge, n);
        assert_int_equal(
            kymo_mutual_tree(&t, reach2, 1 + (unsigned)c % 3, NULL, SIZE_MAX, edge, NULL),
            KYMO_OK);
        double *near = KYMO_NEW(&a, double, n), *by_row = KYMO_NEW(&a, double, n);
        double *length = KYMO_NEW(&a, double, n);
        for (size_t s = 0; s < n; s++) {
            by_row[t.row[s]] = reach2[s];
            near[s] = INFINITY;
        }
        size_t at = 0, n_edges = 0;
        for (near[0] = -1; n_edges + 1 < n; near[at] = -1) {
            size_t next = n;
            for (size_t i = 0; i < n; i++) {
                if (near[i] < 0)
                    continue;
                const double dist2 = kymo_sqdist(d, x.f64 + at * d, x.f64 + i * d);
                near[i] = fmin(near[i], fmax(dist2, fmax(by_row[at], by_row[i])));
                if (next == n || near[i] < near[next])
                    next = i;
            }
            length[n_edges++] = near[next];
            at = next;
        }
        kymo_sort_f64(n_edges, length);
        for (size_t i = 0; i < n_edges; i++) {
            assert_true(edge[i].dist2 == length[i]);
            assert_true(edge[i].a < edge[i].b && edge[i].b < n);
        }
        kymo_arena_release(&a);
    }
}

static void every_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    for (int kind = ROWS_CLOUDS; kind <= ROWS_GRID; kind++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        const size_t n = 4000;
        const struct kymo_dense x = {
            .n = n, .d = 3, .f64 = rows_make(&a, (enum rows_kind)kind, n, 3, 5)};
        const struct kymo_hdbscan_out one = fit(&a, &x, 6, 20, 1);
        for (unsigned threads = 2; threads <= 4; threads++) {
            const struct kymo_hdbscan_out more = fit(&a, &x, 6, 20, threads);
            assert_memory_equal(one.label, more.label, n * sizeof(uint32_t));
            assert_memory_equal(one.member, more.member, n * sizeof(double));
            assert_memory_equal(one.outlier, more.outlier, n * sizeof(double));
        }
        kymo_arena_release(&a);
    }
}

static void clouds_of_different_density_are_found(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 1500, .d = 4, .f64 = rows_make(&a, ROWS_CLOUDS, 1500, 4, 2)};
    const struct kymo_hdbscan_out got = fit(&a, &x, 8, 40, 2);
    assert_int_equal(got.k, 4);
    assert_in_range(got.n_noise, 100, 450);
    kymo_arena_release(&a);
}

static void equal_rows_are_one_whole_and_so_no_cluster(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {.n = 500, .d = 3, .f64 = rows_make(&a, ROWS_EQUAL, 500, 3, 2)};
    const struct kymo_hdbscan_out got = fit(&a, &x, 5, 5, 2);
    assert_int_equal(got.k, 0);
    assert_int_equal(got.n_noise, 500);
    kymo_arena_release(&a);
}

static void a_reach_that_no_row_has_makes_all_noise(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 100, .d = 3, .f64 = rows_make(&a, ROWS_CLOUDS, 100, 3, 2)};
    const struct kymo_hdbscan_out got = fit(&a, &x, 101, 5, 2);
    assert_int_equal(got.n_noise, 100);
    for (size_t i = 0; i < 100; i++)
        assert_true(got.outlier[i] == 0 && got.member[i] == 0);
    kymo_arena_release(&a);
}

static volatile sig_atomic_t stop_now;

static void raise_at(void *ctx, enum kymo_hdbscan_stage stage)
{
    if (stage == *(const enum kymo_hdbscan_stage *)ctx)
        stop_now = 1;
}

static void a_stop_ends_the_work_and_leaves_whole_labels(void **state)
{
    (void)state;
    for (int at = KYMO_HDBSCAN_REACH; at <= KYMO_HDBSCAN_CHOOSE; at++) {
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        const struct kymo_dense x = {
            .n = 800, .d = 3, .f64 = rows_make(&a, ROWS_CLOUDS, 800, 3, 2)};
        enum kymo_hdbscan_stage stage = (enum kymo_hdbscan_stage)at;
        stop_now = 0;
        const struct kymo_hdbscan_in in = {.x = &x,
                                           .min_weight = 5,
                                           .min_cluster_weight = 20,
                                           .n_threads = 2,
                                           .stop = &stop_now,
                                           .tick = raise_at,
                                           .tick_ctx = &stage};
        struct kymo_hdbscan_out out;
        assert_int_equal(kymo_hdbscan(&in, &a, &out, NULL), KYMO_OK);
        assert_true(out.stopped);
        assert_true(at == KYMO_HDBSCAN_CHOOSE || out.n_noise == 800);
        kymo_arena_release(&a);
    }
}

static void a_fit_within_every_budget_is_whole_or_refused(void **state)
{
    (void)state;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense x = {
        .n = 900, .d = 4, .f64 = rows_make(&a, ROWS_CLOUDS, 900, 4, 1)};
    const struct kymo_hdbscan_in in = {
        .x = &x, .min_weight = 5, .min_cluster_weight = 20, .n_threads = 1};
    int refused = 0, done = 0;
    for (size_t cap = 0; cap < 600000; cap += 7000) {
        struct kymo_arena small;
        kymo_arena_init(&small, cap);
        struct kymo_hdbscan_out out = {.k = 77};
        const kymo_status s = kymo_hdbscan(&in, &small, &out, NULL);
        assert_true(s == KYMO_OK || (s == KYMO_ELIMIT && out.k == 77));
        refused += s != KYMO_OK;
        done += s == KYMO_OK;
        kymo_arena_release(&small);
    }
    assert_true(refused > 3 && done > 3);
    kymo_arena_release(&a);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_are_those_of_the_definition),
        cmocka_unit_test(clusters_are_those_of_another_library),
        cmocka_unit_test(a_row_that_bridges_two_clusters_as_they_part_is_in_neither),
        cmocka_unit_test(the_tree_is_as_short_as_prims),
        cmocka_unit_test(every_number_of_threads_gives_the_same_bytes),
        cmocka_unit_test(clouds_of_different_density_are_found),
        cmocka_unit_test(equal_rows_are_one_whole_and_so_no_cluster),
        cmocka_unit_test(a_reach_that_no_row_has_makes_all_noise),
        cmocka_unit_test(a_stop_ends_the_work_and_leaves_whole_labels),
        cmocka_unit_test(a_fit_within_every_budget_is_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return run_at_every_level(run);
}
