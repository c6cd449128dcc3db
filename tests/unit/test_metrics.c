/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analyze/core/metrics.h"
#include "tests/unit/golden_rows.h"

static void close_to(double got, double want, double rel, const char *what)
{
    if (!(fabs(got - want) <= rel * fabs(want) + 1e-15))
        fail_msg("%s: %.17g, not %.17g", what, got, want);
}

/* -- golden fixtures -------------------------------------------------------------------------- */

static void check_agreement(const json_t *fixture, const uint32_t *label, size_t k, size_t n)
{
    const json_t *list = json_object_get(fixture, "truth");
    if (!list)
        return;
    size_t k_truth;
    uint32_t *truth = golden_labels(list, &k_truth);
    struct kymo_agreement got;
    assert_int_equal(kymo_agree(n, truth, k_truth, label, k, &got, NULL), KYMO_OK);
    const struct {
        const char *key;
        double got;
    } want[] = {{"ari", got.adjusted_rand},
                {"rand", got.rand},
                {"fowlkes_mallows", got.fowlkes_mallows},
                {"mutual_info_nats", got.mutual_info},
                {"nmi_arithmetic", got.nmi_arithmetic},
                {"nmi_geometric", got.nmi_geometric},
                {"ami", got.adjusted_mutual_info},
                {"homogeneity", got.homogeneity},
                {"completeness", got.completeness}};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        close_to(want[i].got, golden_number(fixture, want[i].key), 1e-9, want[i].key);
    free(truth);
}

static void check_fixture(const char *name)
{
    char file[64];
    snprintf(file, sizeof(file), "metrics_%s", name);
    json_t *fixture = golden_json(file);
    double *values;
    const struct kymo_dense x = golden_rows(fixture, &values);
    size_t k;
    uint32_t *label = golden_labels(json_object_get(fixture, "labels"), &k);
    double *sample = malloc(x.n * sizeof(double));
    assert_non_null(sample);
    struct kymo_labelling l = {label, k, 0};
    assert_int_equal(kymo_silhouette_dense(&x, &l, 1, 2, sample, NULL), KYMO_OK);
    close_to(l.silhouette, golden_number(fixture, "silhouette"), 1e-9, "silhouette");
    const json_t *samples = json_object_get(fixture, "silhouette_samples");
    for (size_t i = 0; i < x.n; i++)
        close_to(sample[i], json_number_value(json_array_get(samples, i)), 1e-9, "sample");
    struct kymo_spread s;
    assert_int_equal(kymo_spread(&x, label, k, 2, &s, NULL), KYMO_OK);
    close_to(s.calinski_harabasz, golden_number(fixture, "calinski_harabasz"), 1e-9,
             "Calinski-Harabasz");
    close_to(s.davies_bouldin, golden_number(fixture, "davies_bouldin"), 1e-9,
             "Davies-Bouldin");
    check_agreement(fixture, label, k, x.n);
    free(sample);
    free(label);
    free(values);
    json_decref(fixture);
}

static void metrics_are_those_on_which_libraries_agree(void **state)
{
    (void)state;
    static const char *const names[] = {"iris_k3",     "iris_k8",       "wine_z_k3",
                                        "faithful_k2", "digits600_k10", "breast_cancer_z_k2"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check_fixture(names[i]);
}

/* -- silhouettes against the definition ------------------------------------------------------- */

enum { ROWS = 1100, COLUMNS = 5 };
static double rows[ROWS * COLUMNS];
static uint32_t labels[ROWS];

/* Cluster sizes differ much; some clusters have one row, some none. */
static void fill(size_t n, size_t k, uint64_t seed)
{
    struct kymo_rng r;
    kymo_rng_init(&r, seed);
    for (size_t i = 0; i < n; i++) {
        labels[i] = (uint32_t)(kymo_rng_below(&r, k) * kymo_rng_below(&r, k) / k);
        for (size_t j = 0; j < COLUMNS; j++)
            rows[i * COLUMNS + j] = kymo_rng_unit(&r) + (double)(labels[i] % 7) * 0.3 + 1e4;
    }
}

static double by_definition(size_t n, size_t k, size_t i)
{
    double best = INFINITY, within = 0;
    size_t own = 0;
    for (size_t c = 0; c < k; c++) {
        double sum = 0;
        size_t count = 0;
        for (size_t j = 0; j < n; j++) {
            if (labels[j] != c)
                continue;
            double v = 0;
            for (size_t t = 0; t < COLUMNS; t++)
                v += (rows[i * COLUMNS + t] - rows[j * COLUMNS + t]) *
                     (rows[i * COLUMNS + t] - rows[j * COLUMNS + t]);
            sum += sqrt(v);
            count++;
        }
        if (c == labels[i]) {
            own = count;
            within = sum / (double)(count - 1);
        } else if (count) {
            best = fmin(best, sum / (double)count);
        }
    }
    return own < 2 || isinf(best) ? 0 : (best - within) / fmax(best, within);
}

static void check_silhouettes(size_t n, size_t k)
{
    static double sample[ROWS], again[ROWS];
    struct kymo_labelling l = {labels, k, 0};
    assert_int_equal(kymo_silhouette(n, COLUMNS, rows, &l, 1, 1, sample, NULL), KYMO_OK);
    double mean = 0;
    for (size_t i = 0; i < n; i++) {
        const double want = by_definition(n, k, i);
        close_to(sample[i], want, 1e-9, "sample");
        mean += want / (double)n;
    }
    close_to(l.silhouette, mean, 1e-9, "mean");
    for (unsigned threads = 2; threads <= 3; threads++) {
        struct kymo_labelling m = {labels, k, 0};
        assert_int_equal(kymo_silhouette(n, COLUMNS, rows, &m, 1, threads, again, NULL),
                         KYMO_OK);
        assert_true(m.silhouette == l.silhouette);
        assert_memory_equal(sample, again, n * sizeof(double));
    }
}

static void silhouettes_are_those_of_the_definition(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{2, 2}, {9, 2}, {40, 5}, {333, 12}, {1100, 3}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fill(sizes[i][0], sizes[i][1], i + 1);
        check_silhouettes(sizes[i][0], sizes[i][1]);
    }
}

static void very_many_clusters_are_taken_strip_by_strip(void **state)
{
    (void)state;
    fill(ROWS, 1000, 9);
    check_silhouettes(ROWS, 1000);
}

static void several_partitions_are_judged_at_once(void **state)
{
    (void)state;
    static uint32_t halves[ROWS];
    fill(500, 6, 3);
    for (size_t i = 0; i < 500; i++)
        halves[i] = i % 2;
    struct kymo_labelling both[] = {{labels, 6, 0}, {halves, 2, 0}};
    struct kymo_labelling one = {halves, 2, 0};
    assert_int_equal(kymo_silhouette(500, COLUMNS, rows, both, 2, 2, NULL, NULL), KYMO_OK);
    assert_int_equal(kymo_silhouette(500, COLUMNS, rows, &one, 1, 2, NULL, NULL), KYMO_OK);
    assert_true(both[1].silhouette == one.silhouette);
}

static void one_cluster_has_no_silhouette(void **state)
{
    (void)state;
    fill(20, 1, 1);
    struct kymo_labelling l = {labels, 2, 7};
    assert_int_equal(kymo_silhouette(20, COLUMNS, rows, &l, 1, 1, NULL, NULL), KYMO_OK);
    assert_true(l.silhouette == 0);
}

static void a_weight_counts_as_so_many_equal_rows(void **state)
{
    (void)state;
    enum { FEW = 60 };
    static double more[FEW * 4 * COLUMNS], w[FEW];
    static uint32_t more_labels[FEW * 4];
    fill(FEW, 4, 21);
    size_t n = 0;
    for (size_t i = 0; i < FEW; i++) {
        w[i] = (double)(1 + i % 4);
        for (size_t t = 0; t < 1 + i % 4; t++) {
            more_labels[n] = labels[i];
            memcpy(more + COLUMNS * n++, rows + COLUMNS * i, COLUMNS * sizeof(double));
        }
    }
    const struct kymo_dense a = {.n = FEW, .d = COLUMNS, .f64 = rows, .weight = w};
    const struct kymo_dense b = {.n = n, .d = COLUMNS, .f64 = more};
    struct kymo_labelling la = {labels, 4, 0}, lb = {more_labels, 4, 0};
    assert_int_equal(kymo_silhouette_dense(&a, &la, 1, 1, NULL, NULL), KYMO_OK);
    assert_int_equal(kymo_silhouette_dense(&b, &lb, 1, 1, NULL, NULL), KYMO_OK);
    close_to(la.silhouette, lb.silhouette, 1e-12, "silhouette");
    struct kymo_spread sa, sb;
    assert_int_equal(kymo_spread(&a, labels, 4, 1, &sa, NULL), KYMO_OK);
    assert_int_equal(kymo_spread(&b, more_labels, 4, 1, &sb, NULL), KYMO_OK);
    close_to(sa.within, sb.within, 1e-9, "within");
    close_to(sa.between, sb.between, 1e-9, "between");
    close_to(sa.calinski_harabasz, sb.calinski_harabasz, 1e-9, "Calinski-Harabasz");
    close_to(sa.davies_bouldin, sb.davies_bouldin, 1e-9, "Davies-Bouldin");
}

static void floats_count_with_their_values(void **state)
{
    (void)state;
    static float f[200 * COLUMNS];
    fill(200, 3, 8);
    for (size_t i = 0; i < (size_t)200 * COLUMNS; i++)
        rows[i] = (double)(f[i] = (float)rows[i]);
    const struct kymo_dense a = {.n = 200, .d = COLUMNS, .f32 = f};
    const struct kymo_dense b = {.n = 200, .d = COLUMNS, .f64 = rows};
    struct kymo_labelling la = {labels, 3, 0}, lb = {labels, 3, 0};
    assert_int_equal(kymo_silhouette_dense(&a, &la, 1, 2, NULL, NULL), KYMO_OK);
    assert_int_equal(kymo_silhouette_dense(&b, &lb, 1, 1, NULL, NULL), KYMO_OK);
    assert_true(la.silhouette == lb.silhouette);
    struct kymo_spread sa, sb;
    assert_int_equal(kymo_spread(&a, labels, 3, 2, &sa, NULL), KYMO_OK);
    assert_int_equal(kymo_spread(&b, labels, 3, 1, &sb, NULL), KYMO_OK);
    assert_true(sa.davies_bouldin == sb.davies_bouldin && sa.within == sb.within);
}

/* The value at another level of vector instructions, from a process of its own. */
static const char *self;

static int print_silhouette(void)
{
    fill(ROWS, 9, 4);
    struct kymo_labelling l = {labels, 9, 0};
    if (kymo_silhouette(ROWS, COLUMNS, rows, &l, 1, 1, NULL, NULL))
        return 1;
    printf("%.17g\n", l.silhouette);
    return 0;
}

static double silhouette_at(const char *level)
{
    char command[512];
    snprintf(command, sizeof(command), "KYMO_SIMD=%s '%s' silhouette", level, self);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    double v;
    assert_int_equal(fscanf(f, "%lf", &v), 1);
    assert_int_equal(pclose(f), 0);
    return v;
}

static void levels_of_vector_instructions_agree_within_rounding(void **state)
{
    (void)state;
    const double plain = silhouette_at("plain");
    close_to(silhouette_at("avx2"), plain, 1e-11, "avx2");
    close_to(silhouette_at("best"), plain, 1e-11, "best");
}

/* -- by hand ---------------------------------------------------------------------------------- */

static void spread_of_two_pairs_by_hand(void **state)
{
    (void)state;
    const double v[] = {0, 2, 10, 14};
    const uint32_t label[] = {0, 0, 2, 2}; /* cluster 1 has no rows */
    const struct kymo_dense x = {.n = 4, .d = 1, .f64 = v};
    struct kymo_spread s;
    assert_int_equal(kymo_spread(&x, label, 3, 1, &s, NULL), KYMO_OK);
    assert_true(s.within == 2 + 8);
    close_to(s.between, 2 * 2 * 5.5 * 5.5, 1e-15, "between");
    close_to(s.calinski_harabasz, 121.0 / 1 / (10.0 / 2), 1e-15, "Calinski-Harabasz");
    close_to(s.davies_bouldin, 3.0 / 11, 1e-15, "Davies-Bouldin");
    assert_int_equal(kymo_spread(&x, (const uint32_t[]){0, 0, 0, 0}, 1, 1, &s, NULL), KYMO_OK);
    assert_true(isnan(s.calinski_harabasz) && isnan(s.davies_bouldin));
}

static void equal_partitions_agree_and_one_cluster_says_nothing(void **state)
{
    (void)state;
    const uint32_t a[] = {0, 0, 1, 1, 2}, b[] = {2, 2, 0, 0, 1}, one[] = {0, 0, 0, 0, 0};
    struct kymo_agreement g;
    assert_int_equal(kymo_agree(5, a, 3, b, 3, &g, NULL), KYMO_OK);
    close_to(g.adjusted_rand, 1, 1e-15, "ARI");
    close_to(g.nmi_geometric, 1, 1e-15, "NMI");
    close_to(g.adjusted_mutual_info, 1, 1e-12, "AMI");
    assert_int_equal(kymo_agree(5, a, 3, one, 1, &g, NULL), KYMO_OK);
    assert_true(g.adjusted_rand == 0 && g.mutual_info == 0 && g.nmi_arithmetic == 0);
    assert_int_equal(kymo_agree(5, one, 1, one, 1, &g, NULL), KYMO_OK);
    assert_true(g.adjusted_rand == 1 && g.nmi_arithmetic == 1);
    assert_int_equal(kymo_agree(1, one, 1, one, 1, &g, NULL), KYMO_OK);
    assert_true(g.rand == 1);
}

static void the_gap_is_the_distance_to_the_mean_reference(void **state)
{
    (void)state;
    double error;
    close_to(kymo_gap(1, 4, (const double[]){2, 4, 2, 4}, &error), 2, 1e-15, "gap");
    close_to(error, sqrt(1.25), 1e-15, "error");
    fill(300, 4, 2);
    const struct kymo_dense x = {.n = 300, .d = COLUMNS, .f64 = rows};
    static double ref[300 * COLUMNS], again[300 * COLUMNS];
    struct kymo_rng r;
    kymo_rng_init(&r, 3);
    kymo_gap_reference(&x, &r, ref);
    kymo_rng_init(&r, 3);
    kymo_gap_reference(&x, &r, again);
    assert_memory_equal(ref, again, sizeof(ref));
    for (size_t j = 0; j < COLUMNS; j++) {
        double lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; i < 300; i++) {
            lo = fmin(lo, rows[i * COLUMNS + j]);
            hi = fmax(hi, rows[i * COLUMNS + j]);
        }
        for (size_t i = 0; i < 300; i++)
            assert_true(ref[i * COLUMNS + j] >= lo && ref[i * COLUMNS + j] <= hi);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "silhouette") == 0)
        return print_silhouette();
    self = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_are_those_on_which_libraries_agree),
        cmocka_unit_test(silhouettes_are_those_of_the_definition),
        cmocka_unit_test(very_many_clusters_are_taken_strip_by_strip),
        cmocka_unit_test(several_partitions_are_judged_at_once),
        cmocka_unit_test(one_cluster_has_no_silhouette),
        cmocka_unit_test(a_weight_counts_as_so_many_equal_rows),
        cmocka_unit_test(floats_count_with_their_values),
        cmocka_unit_test(levels_of_vector_instructions_agree_within_rounding),
        cmocka_unit_test(spread_of_two_pairs_by_hand),
        cmocka_unit_test(equal_partitions_agree_and_one_cluster_says_nothing),
        cmocka_unit_test(the_gap_is_the_distance_to_the_mean_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
