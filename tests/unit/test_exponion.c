/* SPDX-License-Identifier: Apache-2.0
 * Rows that meet the centres around their own against rows that meet all, for every shape of centres.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/core/kmeans.h"
#include "analyze/core/lloyd.h"
#include "format/base/rng.h"

#define N_MAX 3000
#define D_MAX 20

static double x64[N_MAX * D_MAX], weight[N_MAX];
static float x32[N_MAX * D_MAX], many[33000 * 2];

enum shape { CLOUDS, GRID, LINE, TWICE, FAR_AWAY, TINY, SHAPES };

static double value(struct kymo_rng *r, enum shape shape, size_t cloud, size_t j)
{
    const double v = kymo_rng_unit(r) * 3 + (double)((cloud * 7 + j * 3) % 11);
    switch (shape) {
    case GRID: /* rows that are equal, and rows between two centres */
        return floor(v / 3);
    case LINE: /* all that is near lies in two directions */
        return j ? 0 : v * (double)cloud;
    case FAR_AWAY:
        return 1e6 + v;
    case TINY:
        return v * 1e-20;
    default:
        return v;
    }
}

static void fill(struct kymo_rng *r, size_t n, size_t d, size_t clouds, enum shape shape)
{
    for (size_t i = 0; i < n; i++) {
        const size_t cloud = (size_t)kymo_rng_below(r, clouds);
        weight[i] = 0.5 + kymo_rng_unit(r);
        for (size_t j = 0; j < d; j++) {
            x32[i * d + j] = (float)value(r, shape, cloud, j);
            if (shape == TWICE && i % 2)
                x32[i * d + j] = x32[(i - 1) * d + j];
            x64[i * d + j] = (double)x32[i * d + j];
        }
    }
}

/* From some of the rows; or from a tenth of them many times, so that clusters are empty and get a row. */
static void begin(struct kymo_lloyd *l, int crowded)
{
    const size_t k = l->k, n = l->X->n, few = crowded ? (k + 9) / 10 : k;
    for (size_t c = 0; c < k; c++)
        kymo_dense_row(l->X, n / k * (c % few), l->C + c * l->X->d);
    kymo_lloyd_begin(l);
}

static void init_near(struct kymo_lloyd *l, const struct kymo_dense *X, size_t k,
                      unsigned threads, struct kymo_arena *a)
{
    const enum kymo_simd level = kymo_simd_level();
    assert_int_equal(kymo_lloyd_init(l, X, k, threads, level, a, NULL), KYMO_OK);
    assert_int_equal(kymo_lloyd_exponion(l, level, a, NULL), KYMO_OK);
}

/* The centres as they are: whoever is not in a ball is beyond its reach. */
static void assert_balls(const struct kymo_exponion *e, const double *C)
{
    static unsigned char in[KYMO_BALLS][400];
    for (size_t c = 0; c < e->k; c++) {
        const uint32_t *near = e->near + c * KYMO_BALL_MOST;
        assert_int_equal(near[0], c);
        for (size_t b = 0; b < KYMO_BALLS; b++) {
            memset(in[b], 0, sizeof(in[b]));
            for (size_t p = 0; p < kymo_ball_size(b) && p < e->k; p++)
                in[b][near[p]]++;
            for (size_t o = 0; o < e->k; o++) {
                const double dist = sqrt(kymo_sqdist(e->d, C + c * e->d, C + o * e->d));
                const float reach = e->reach[c * KYMO_BALLS + b];
                assert_true(in[b][o] <= 1);
                assert_true(in[b][o] || dist * e->a->rows->scale >= (double)reach);
            }
        }
    }
}

static void run_beside(struct kymo_lloyd *near, struct kymo_lloyd *full)
{
    const size_t n = near->X->n, kd = near->k * near->X->d;
    full->slack_off = 1;
    for (size_t pass = 0; pass < 40; pass++) {
        const size_t changed = kymo_lloyd_assign(near);
        assert_int_equal(kymo_lloyd_assign(full), changed);
        if (near->near.meet && pass % 5 == 4)
            assert_balls(&near->near, near->C);
        assert_memory_equal(near->label, full->label, n * sizeof(uint32_t));
        assert_memory_equal(&near->inertia, &full->inertia, sizeof(double));
        if (!changed)
            break;
        kymo_lloyd_move(near);
        kymo_lloyd_move(full);
        assert_memory_equal(near->C, full->C, kd * sizeof(double));
        assert_memory_equal(near->size, full->size, near->k * sizeof(size_t));
    }
}

static void the_centres_around_are_enough(void **state)
{
    (void)state;
    static const size_t ks[] = {1, 2, 3, 15, 16, 17, 47, 48, 49, 64, 130, 200, 333};
    struct kymo_rng rng;
    kymo_rng_init(&rng, 21);
    for (size_t round = 0; round < 13 * SHAPES * 2; round++) {
        const size_t k = ks[round % (sizeof(ks) / sizeof(ks[0]))];
        const size_t n = round % 7 ? k + (size_t)kymo_rng_below(&rng, N_MAX - k) : k;
        const size_t d = round % 3 ? 1 + round % 5 : 1 + (size_t)kymo_rng_below(&rng, D_MAX);
        const enum shape shape = (enum shape)(round / 13 % SHAPES);
        fill(&rng, n, d, 1 + (size_t)kymo_rng_below(&rng, 2 * k), shape);
        struct kymo_dense X = {.n = n, .d = d};
        X.f32 = round % 2 ? x32 : NULL;
        X.f64 = round % 2 ? NULL : x64;
        X.weight = round % 3 ? NULL : weight;
        struct kymo_arena a;
        kymo_arena_init(&a, SIZE_MAX);
        struct kymo_lloyd near, full;
        const enum kymo_simd level =
            (enum kymo_simd)(round % ((size_t)kymo_simd_level() + 1)); /* of the other */
        init_near(&near, &X, k, 1 + round % 2, &a);
        assert_int_equal(kymo_lloyd_init(&full, &X, k, 1, level, &a, NULL), KYMO_OK);
        for (int crowded = 0; crowded < 2; crowded++) { /* the second: begun anew */
            begin(&near, crowded);
            begin(&full, crowded);
            run_beside(&near, &full);
        }
        kymo_arena_release(&a);
    }
}

/* What k-means gives of rows for which the rule chooses the centres around. */
static void fit(size_t n, unsigned threads, struct kymo_arena *a, struct kymo_kmeans_out *out)
{
    const struct kymo_kmeans_in in = {.X = {.n = n, .d = 2, .f32 = many},
                                      .k = 128,
                                      .n_init = 2,
                                      .max_iter = 30,
                                      .seed = 5,
                                      .n_threads = threads};
    assert_int_equal(kymo_kmeans(&in, a, out, NULL), KYMO_OK);
}

static void threads_change_no_byte(void **state)
{
    (void)state;
    enum { N = sizeof(many) / sizeof(many[0]) / 2 };
    struct kymo_rng rng;
    kymo_rng_init(&rng, 22);
    for (size_t i = 0; i < 2 * (size_t)N; i++)
        many[i] = (float)kymo_rng_unit(&rng);
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    const struct kymo_dense X = {.n = N, .d = 2, .f32 = many};
    struct kymo_lloyd l;
    const enum kymo_simd level = kymo_simd_level();
    assert_int_equal(kymo_lloyd_init(&l, &X, 128, 1, level, &a, NULL), KYMO_OK);
    assert_ptr_equal(l.near.meet, kymo_ball_at(level));
    struct kymo_kmeans_out one, more;
    fit(N, 1, &a, &one);
    for (unsigned threads = 2; threads < 5; threads++) {
        fit(N, threads, &a, &more);
        assert_int_equal(more.iterations, one.iterations);
        assert_memory_equal(more.label, one.label, N * sizeof(uint32_t));
        assert_memory_equal(more.C, one.C, 128 * 2 * sizeof(double));
        assert_memory_equal(&more.inertia, &one.inertia, sizeof(double));
    }
    kymo_arena_release(&a);
}

/* -- two processes, as threads ----------------------------------------------------------------- */

static pthread_barrier_t gate;
static double *said[2];

static void exchange(int rank, double *v, size_t n, int greatest)
{
    said[rank] = v;
    pthread_barrier_wait(&gate);
    double *got = malloc(n * sizeof(*got));
    for (size_t i = 0; got && i < n; i++)
        got[i] = greatest ? fmax(said[0][i], said[1][i]) : said[0][i] + said[1][i];
    pthread_barrier_wait(&gate);
    for (size_t i = 0; got && i < n; i++)
        v[i] = got[i];
    free(got);
    pthread_barrier_wait(&gate);
}

static _Thread_local int this_rank;

static void sum_of_two(double *v, size_t n)
{
    exchange(this_rank, v, n, 0);
}

static void max_of_two(double *v, size_t n)
{
    exchange(this_rank, v, n, 1);
}

static void share_with_two(void *bytes, size_t n, int from)
{
    static void *source;
    if (this_rank == from)
        source = bytes;
    pthread_barrier_wait(&gate);
    if (this_rank != from)
        memcpy(bytes, source, n);
    pthread_barrier_wait(&gate);
}

struct process {
    struct kymo_ranks ranks;
    struct kymo_dense X;
    struct kymo_lloyd l;
    const double *first;
    struct kymo_arena a;
};

static void *run_process(void *ctx)
{
    struct process *p = ctx;
    this_rank = p->ranks.rank;
    memcpy(p->l.C, p->first, p->l.k * p->X.d * sizeof(double));
    kymo_lloyd_begin(&p->l);
    for (size_t pass = 0; pass < 30 && kymo_lloyd_assign(&p->l); pass++)
        kymo_lloyd_move(&p->l);
    return NULL;
}

static void run_two(struct process p[2])
{
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, run_process, &p[1]), 0);
    run_process(&p[0]);
    assert_int_equal(pthread_join(other, NULL), 0);
}

static void processes_agree(void **state)
{
    (void)state;
    enum { N = 2800, HERE = 1700, D = 3, K = 150 };
    struct kymo_rng rng;
    kymo_rng_init(&rng, 23);
    fill(&rng, N, D, 90, CLOUDS);
    static double first[K * D];
    for (size_t i = 0; i < (size_t)K * D; i++)
        first[i] = x64[i % (100 * D)]; /* fifty are empty */
    assert_int_equal(pthread_barrier_init(&gate, NULL, 2), 0);
    static struct process run[2][2]; /* all centres; those around */
    for (int near = 0; near < 2; near++) {
        for (int r = 0; r < 2; r++) {
            struct process *p = &run[near][r];
            const size_t lo = r ? HERE : 0;
            p->ranks = (struct kymo_ranks){.rank = r,
                                           .size = 2,
                                           .sum = sum_of_two,
                                           .max = max_of_two,
                                           .share = share_with_two};
            p->X = (struct kymo_dense){.n = r ? N - HERE : HERE, .d = D, .f64 = x64 + lo * D};
            p->first = first;
            kymo_arena_init(&p->a, SIZE_MAX);
            init_near(&p->l, &p->X, K, 1, &p->a);
            p->l.slack_off = !near;
            p->l.ranks = &p->ranks;
        }
        run_two(run[near]);
    }
    for (int r = 0; r < 2; r++) {
        const struct kymo_lloyd *all = &run[0][r].l, *near = &run[1][r].l;
        assert_memory_equal(near->label, all->label, near->X->n * sizeof(uint32_t));
        assert_memory_equal(near->C, all->C, sizeof(first));
        assert_memory_equal(near->C, run[1][0].l.C, sizeof(first));
    }
    for (int i = 0; i < 4; i++)
        kymo_arena_release(&run[i / 2][i % 2].a);
    pthread_barrier_destroy(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_centres_around_are_enough),
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(processes_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
