/* SPDX-License-Identifier: Apache-2.0
 * feature_latency.c: how long calls took, and how much time they took up.
 *
 * latency: p50, p90, p99 of the durations of each class. The middle of a histogram's bucket stands for
 * it: at most an eighth off, and half an octave where calls were only counted. Calls that wait (poll,
 * futex, sleep) are classes of their own, so blocking does not hide in the latency of I/O. A duration
 * that is not known is left out; a class with fewer than LATENCY_CALLS_MIN of them in the window has 0,
 * since a quantile of a handful of calls jumps about.
 */
#include <math.h>
#include <stdio.h>

#include "format/model/call_sums.h"

#define QUANTILES 3
#define LATENCY_CALLS_MIN 8u
#define SUB_BITS KYMO_LATENCY_SUB_BITS
static const double quantile[QUANTILES] = {0.50, 0.90, 0.99};
static const char *const quantile_name[QUANTILES] = {".p50", ".p90", ".p99"};

static double bucket_middle(unsigned b)
{
    if (b < 1u << SUB_BITS)
        return b;
    const unsigned shift = (b >> SUB_BITS) - 1;
    const uint64_t low = ((uint64_t)((1u << SUB_BITS) + (b & ((1u << SUB_BITS) - 1)))) << shift;
    return (double)low + (double)((UINT64_C(1) << shift) - 1) / 2;
}

static void latency_column(size_t i, struct kymo_feature_column *out)
{
    kymo_column_set(out, "latency.", kymo_class_name((enum kymo_class)(i / QUANTILES)),
                    quantile_name[i % QUANTILES], "ns", KYMO_BEND_LOG1P,
                    KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
}

static void latency_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES,
             "%g %% of calls of class %s took no longer; 0: fewer than %u calls",
             100 * quantile[i % QUANTILES], kymo_class_name((enum kymo_class)(i / QUANTILES)),
             LATENCY_CALLS_MIN);
}

static double histogram_quantile(const uint32_t *count, double q)
{
    uint64_t n = 0, seen = 0;
    for (unsigned b = 0; b < KYMO_LATENCY_BUCKETS; b++)
        n += count[b];
    if (n < LATENCY_CALLS_MIN)
        return 0;
    uint64_t rank = (uint64_t)ceil(q * (double)n);
    rank = rank ? rank : 1;
    for (unsigned b = 0; b < KYMO_LATENCY_BUCKETS; b++) {
        seen += count[b];
        if (seen >= rank)
            return bucket_middle(b);
    }
    return bucket_middle(KYMO_LATENCY_BUCKETS - 1);
}

static void latency_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    const struct kymo_call_sums *s = kymo_call_sums(f);
    for (size_t i = 0; i < (size_t)KYMO_CLASS_COUNT * QUANTILES; i++)
        x[i] = s->timed[i / QUANTILES]
                   ? histogram_quantile(s->latency[i / QUANTILES], quantile[i % QUANTILES])
                   : 0;
}

const struct kymo_feature_group kymo_group_latency = {
    .name = "latency",
    .factor = 1,
    .n_columns = (size_t)KYMO_CLASS_COUNT * QUANTILES,
    .column = latency_column,
    .about = latency_about,
    .finish = latency_finish,
};

/* time: seconds spent in the calls of a class per second of window, over all threads; a call counts
 * where it ends, with at most one step, so that a long wait is not taken for much time now. */

static void time_column(size_t i, struct kymo_feature_column *out)
{
    kymo_column_set(out, "time.", kymo_class_name((enum kymo_class)i), "", "s/s",
                    KYMO_BEND_SQRT, KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
}

static void time_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES,
             "time in calls of class %s over all threads, each where it ends, a step at most",
             kymo_class_name((enum kymo_class)i));
}

static void time_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    for (size_t i = 0; i < KYMO_CLASS_COUNT; i++)
        x[i] = (double)kymo_call_sums(f)->time_ns[i] / (f->seconds * 1e9);
}

const struct kymo_feature_group kymo_group_time = {
    .name = "time",
    .factor = 0.7,
    .n_columns = KYMO_CLASS_COUNT,
    .column = time_column,
    .about = time_about,
    .finish = time_finish,
};
