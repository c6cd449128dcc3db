/* SPDX-License-Identifier: Apache-2.0
 * rewrite.h: a chunk's rows with pseudonyms in the place of what they tell.
 */
#ifndef KYMO_ANONYMIZE_REWRITE_H
#define KYMO_ANONYMIZE_REWRITE_H

#include "format/anonymize/mask.h"
#include "format/trace/batch.h"
#include "format/trace/names.h"

/* The row of the context table that says by which key. */
#define KYMO_ANONYMIZED_KEY "anonymized.key"

struct kymo_rewrite; /* owned: _open, _close */

/* keep[n_keep]: "column" or "table.column" that is left as it is; borrowed. mask and names too. */
KYMO_MUST_USE kymo_status kymo_rewrite_open(struct kymo_rewrite **out, struct kymo_mask *mask,
                                            const struct kymo_names *names,
                                            const char *const *keep, size_t n_keep,
                                            struct kymo_err *err);
void kymo_rewrite_close(struct kymo_rewrite *w);
/* out: valid until the next call and while b is. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_rewrite_batch(struct kymo_rewrite *w, const struct kymo_batch *b,
                                             struct kymo_batch *out, struct kymo_err *err);
/* The schema that rows of s get: the same, without the free text that its owner may have put in. */
KYMO_MUST_USE kymo_status kymo_rewrite_schema(struct kymo_rewrite *w,
                                              const struct kymo_schema *s,
                                              const struct kymo_schema **out,
                                              struct kymo_err *err);
/* Was the i-th field of keep met in some table? */
int kymo_rewrite_kept(const struct kymo_rewrite *w, size_t i);
/* The first value of a key in a context batch; NULL when there is none. n out. */
const char *kymo_context_value(const struct kymo_batch *b, const char *key, const char *value,
                               uint32_t *n);

#endif
