/* SPDX-License-Identifier: Apache-2.0
 * search.h: -k N, or -k auto: which numbers of states are tried, what they come to, and which is taken.
 */
#ifndef KYMO_FIT_SEARCH_H
#define KYMO_FIT_SEARCH_H

#include "analyze/core/select.h"
#include "analyze/fit/fit.h"

#define KYMO_K_MAX_AUTO 24u /* default end of the search */
#define KYMO_SAMPLE_ROWS                                                                       \
    4096u /* silhouettes of more rows are taken on a seeded sample of so many */

struct kymo_search {
    struct kymo_fit *f;
    size_t n, chosen;
    struct kymo_tried *tried; /* [n] arena, ascending k */
    struct kymo_dense sample; /* rows for silhouettes: all, or a seeded sample in row order */
    size_t *row;              /* [sample.n] which they are, or NULL: all */
};

/* -k of a command line: 0 for auto. Returns as kymo_cli_parse(). */
int kymo_parse_k(const char *tool, const char *text, uint64_t *k);

/* k, or with 0 all from `least` up to k_max and what the rows can bear. errors EUSAGE: more states than rows */
KYMO_MUST_USE kymo_status kymo_search_open(struct kymo_search *s, struct kymo_fit *f,
                                           uint64_t k, size_t least, uint64_t k_max,
                                           struct kymo_err *err);
/* Silhouettes of tried[0..n), label[i] being [n_train] in 0..tried[i].k-1. */
KYMO_MUST_USE kymo_status kymo_search_silhouettes(struct kymo_search *s, size_t n,
                                                  const uint32_t *const *label,
                                                  struct kymo_err *err);
/* Take the best of tried[0..n). */
void kymo_search_choose(struct kymo_search *s, size_t n);

/* What was tried, for the model's "fit" and for people. */
json_t *kymo_search_json(const struct kymo_search *s);
void kymo_search_print(const struct kymo_search *s, FILE *to);

/* A number as JSON, null where it is none. */
json_t *kymo_real_or_null(double v);

#endif
