/* SPDX-License-Identifier: Apache-2.0
 * tally_own.h: the inside of a tally, for tally.c, tallypass.c and tallyout.c alone.
 */
#ifndef KYMO_STAT_TALLY_OWN_H
#define KYMO_STAT_TALLY_OWN_H

#include "format/stat/tally.h"

#define GROUPS_MAX (1u << 24)
#define NO_REFINE UINT32_MAX
#define GROUP_WORDS 5u /* window as two words, then a part of each place */

struct group {
    uint64_t count, errors, read_bytes, written_bytes;
    uint64_t n_dur, time_ns, min_ns, max_ns;
    struct kymo_values values;
    uint32_t refine; /* of the first quantile, or NO_REFINE */
};

struct kymo_tally {
    const struct kymo_tally_ask *ask;
    struct kymo_by by[KYMO_BY_MAX];
    struct kymo_idset part[KYMO_BY_PLACES]; /* tuples of the fields of a place */
    struct kymo_idset groups;
    struct group *group; /* [cap_groups] */
    uint32_t cap_groups;
    struct kymo_filter *filter;
    struct kymo_callorder *callorder;
    uint32_t quantile[KYMO_QUANTILES_MAX];
    size_t n_quantiles;
    int needs_ret, needs_dur, needs_sums, needs_values; /* by the measures */
    /* of the bound schema */
    const struct kymo_schema *schema;
    const struct kymo_names *names;
    int ts, dur, ret, arch, nr;
    int filter_by_row;
    uint64_t start_ns, origin_ns; /* window 0 begins at origin */
    int has_start;
    uint64_t ts_min_ns, ts_max_ns; /* seen */
    int has_ts;
    /* of the batch at hand */
    uint32_t *id[KYMO_BY_PLACES]; /* part of each task, key, row */
    size_t id_cap[KYMO_BY_PLACES];
    int n_of[KYMO_BY_PLACES]; /* fields of each place */
    uint8_t key_class[KYMO_CHUNK_KEYS_MAX];
    struct kymo_batch view;
    /* a search for each quantile of each group that was spilled */
    struct kymo_refine *refine;
    size_t n_refine;
    int pass; /* 1: counting; then refining */
    uint64_t kept_bytes;
    /* scratch for one group's quantiles */
    uint64_t bucket[KYMO_BUCKETS];
    uint64_t value[KYMO_QUANTILES_MAX];
    uint32_t value_of;    /* group, or UINT32_MAX */
    int64_t share_window; /* the window that share_count is the count of, when it is not 0 */
    uint64_t share_count;
};

/* What is kept passes the memory: pour out the largest groups. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_tally_spill(struct kymo_tally *t, struct kymo_err *err);

#endif
