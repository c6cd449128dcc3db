/* SPDX-License-Identifier: Apache-2.0
 * tallyprint.h: what a tally counted as JSON Lines and CSV, exact: times in ns, sizes in bytes, reals
 * with 17 digits.
 */
#ifndef KYMO_STAT_TALLYPRINT_H
#define KYMO_STAT_TALLYPRINT_H

#include "format/base/bytes.h"
#include "format/stat/tally.h"

/* One row and its line end; null cells are left out. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_tally_jsonl(struct kymo_buf *out, struct kymo_tally *t,
                                           const struct kymo_tally_ask *ask,
                                           const struct kymo_tally_row *row,
                                           struct kymo_err *err);
/* One row and its line end; null cells are empty, texts are quoted. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_tally_csv(struct kymo_buf *out, struct kymo_tally *t,
                                         const struct kymo_tally_ask *ask,
                                         const struct kymo_tally_row *row,
                                         struct kymo_err *err);
void kymo_tally_csv_head(struct kymo_buf *out, const struct kymo_tally_ask *ask);

#endif
