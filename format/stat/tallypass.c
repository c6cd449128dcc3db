/* SPDX-License-Identifier: Apache-2.0
 * tallypass.c: durations beyond the memory: into buckets, and further passes over the rows for what the
 * buckets leave open.
 */
#include <stdlib.h>

#include "format/stat/tally_own.h"

static int by_kept(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    return (x->values.kept_bytes < y->values.kept_bytes) -
           (x->values.kept_bytes > y->values.kept_bytes);
}

/* Durations pass their memory: the groups with the most of them go over to buckets, until what is
 * kept takes half of it. */
kymo_status kymo_tally_spill(struct kymo_tally *t, struct kymo_err *err)
{
    const size_t bucket_bytes = KYMO_BUCKETS * sizeof(uint64_t);
    struct group **list = malloc((t->groups.n + (size_t)1) * sizeof(struct group *));
    kymo_status s = KYMO_OK;
    uint32_t n = 0;
    if (!list)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    for (uint32_t g = 0; g < t->groups.n; g++)
        if (t->group[g].values.kept_bytes > bucket_bytes)
            list[n++] = &t->group[g];
    qsort(list, n, sizeof(struct group *), by_kept);
    for (uint32_t i = 0; i < n && !s && t->kept_bytes > t->ask->memory_bytes / 2; i++) {
        t->kept_bytes -= list[i]->values.kept_bytes - bucket_bytes;
        s = kymo_values_spill(&list[i]->values, err);
    }
    free(list);
    if (!s && t->kept_bytes > t->ask->memory_bytes)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the durations of %u groups pass the memory: raise --memory, ask for "
                         "fewer groups or for no quantiles",
                         t->groups.n);
    return s;
}

static kymo_status begin_refine(struct kymo_tally *t, size_t n_spilled, struct kymo_err *err)
{
    t->refine = calloc(n_spilled * t->n_quantiles, sizeof(*t->refine));
    if (!t->refine)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for quantiles");
    for (uint32_t g = 0; g < t->groups.n; g++) {
        struct group *group = &t->group[g];
        if (!group->values.bucket)
            continue;
        group->refine = (uint32_t)t->n_refine;
        for (size_t q = 0; q < t->n_quantiles; q++)
            kymo_refine_locate(&t->refine[t->n_refine++], group->values.bucket,
                               kymo_quantile_rank(t->quantile[q], group->values.n));
    }
    return KYMO_OK;
}

kymo_status kymo_tally_again(struct kymo_tally *t, int *again, struct kymo_err *err)
{
    size_t n_spilled = 0;
    *again = 0;
    if (t->pass == 1) {
        for (uint32_t g = 0; g < t->groups.n; g++)
            n_spilled += t->group[g].values.bucket != NULL;
        if (!n_spilled || !t->n_quantiles)
            return KYMO_OK;
        KYMO_TRY(begin_refine(t, n_spilled, err));
    } else {
        for (size_t i = 0; i < t->n_refine; i++)
            if (t->refine[i].bits)
                KYMO_TRY(kymo_refine_end(&t->refine[i], err));
    }
    for (size_t i = 0; i < t->n_refine; i++) {
        if (!t->refine[i].bits)
            continue;
        KYMO_TRY(kymo_refine_begin(&t->refine[i], err));
        *again = 1;
    }
    t->pass++;
    return KYMO_OK;
}

size_t kymo_tally_vague(const struct kymo_tally *t)
{
    size_t n = 0;
    for (uint32_t g = 0; g < t->groups.n; g++) {
        int vague = 0;
        for (size_t q = 0; q < t->n_quantiles && t->group[g].refine != NO_REFINE; q++)
            vague |= t->refine[t->group[g].refine + q].bits != 0;
        n += (size_t)vague;
    }
    return n;
}
