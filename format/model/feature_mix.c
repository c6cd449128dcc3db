/* SPDX-License-Identifier: Apache-2.0
 * feature_mix.c: what the calls were and how they ended as shares, which do not move with the load.
 */
#include <stdio.h>

#include "format/model/call_sums.h"

static double share(uint64_t part, uint64_t all)
{
    return all ? (double)part / (double)all : 0;
}

/* mix: share of each family in all calls */

static void mix_column(size_t i, struct kymo_feature_column *out)
{
    kymo_column_set(out, "share.", kymo_family_name(i), "", "share", KYMO_BEND_SQRT,
                    KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
}

static void mix_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES, "call.%s as a share of all calls; 0: there were none",
             kymo_family_name(i));
}

static void mix_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    const struct kymo_call_sums *s = kymo_call_sums(f);
    const uint64_t all = kymo_sum(s->family, KYMO_FAMILIES);
    for (size_t i = 0; i < KYMO_FAMILIES; i++)
        x[i] = share(s->family[i], all);
}

const struct kymo_feature_group kymo_group_mix = {
    .name = "mix",
    .factor = 0.2, /* these repeat the calls */
    .n_columns = KYMO_FAMILIES,
    .column = mix_column,
    .about = mix_about,
    .finish = mix_finish,
};

/*
 * failures: share of all calls that ended in each error, and of each class's calls that failed. Of a
 * handful of calls one that fails is a large share, and says little: it is taken as if CALLS_ADDED more
 * had gone well.
 *
 * source  Good, The Estimation of Probabilities, MIT Press, 1965 (adding to counts)
 */
#define CALLS_ADDED 16u
#define FLOOR_FAILED 0.05 /* least spread of a share that counts */
#define FAILURES (KYMO_ERRORS + KYMO_CLASS_COUNT)

static double damped(uint64_t part, uint64_t all)
{
    return (double)part / ((double)all + CALLS_ADDED);
}

static void failures_column(size_t i, struct kymo_feature_column *out)
{
    if (i < KYMO_ERRORS)
        kymo_column_set(out, "errno.", kymo_error_word(i), "", "share", KYMO_BEND_STANDARD,
                        KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
    else
        kymo_column_set(out, "failed.", kymo_class_name((enum kymo_class)(i - KYMO_ERRORS)), "",
                        "share", KYMO_BEND_STANDARD, KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
    out->floor = FLOOR_FAILED;
}

static void failures_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    if (i < KYMO_ERRORS)
        snprintf(buf, KYMO_ABOUT_BYTES,
                 "error.%s as a share of all calls, as if %u more had gone well",
                 kymo_error_word(i), CALLS_ADDED);
    else
        snprintf(buf, KYMO_ABOUT_BYTES,
                 "share of the calls of class %s that failed, as if %u more had gone well",
                 kymo_class_name((enum kymo_class)(i - KYMO_ERRORS)), CALLS_ADDED);
}

static void failures_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    const struct kymo_call_sums *s = kymo_call_sums(f);
    const uint64_t all = kymo_sum(s->family, KYMO_FAMILIES);
    for (size_t i = 0; i < KYMO_ERRORS; i++)
        x[i] = damped(s->error[i], all);
    for (size_t i = 0; i < KYMO_CLASS_COUNT; i++)
        x[KYMO_ERRORS + i] = damped(s->failed[i], s->cls[i]);
}

const struct kymo_feature_group kymo_group_failures = {
    .name = "failures",
    .factor = 0.3, /* errors have their rates, too */
    .n_columns = FAILURES,
    .column = failures_column,
    .about = failures_about,
    .finish = failures_finish,
};
