/* SPDX-License-Identifier: Apache-2.0
 * ledger.h: what a slice leaves out, until the losses of its stretch of time come by and say so.
 *
 * A row of losses says of a ring: seen = stored + filtered + dropped. A row that the slice's time
 * does not hold was not seen there; one that its filter left out was seen and filtered. Whatever was
 * dropped stays dropped.
 */
#ifndef KYMO_FILE_LEDGER_H
#define KYMO_FILE_LEDGER_H

#include "format/trace/batch.h"

#define KYMO_LEDGER_SOURCES_MAX 64u
#define KYMO_LEDGER_RINGS_MAX 1024u
/* The ring is not known: whichever stored rows. */
#define KYMO_LEDGER_ANY UINT64_MAX

struct kymo_ledger; /* owned: _open, _close */

KYMO_MUST_USE kymo_status kymo_ledger_open(struct kymo_ledger **out, struct kymo_err *err);
void kymo_ledger_close(struct kymo_ledger *l);

enum kymo_cut {
    KYMO_CUT_BEFORE, /* older than the slice, or between its spans */
    KYMO_CUT_AFTER,
    KYMO_CUT_FILTER,
};

/* n rows of a table were left out. flags are those of the rows (KYMO_CALL_LATE, KYMO_CALL_UNREAD). */
KYMO_MUST_USE kymo_status kymo_ledger_cut(struct kymo_ledger *l, const char *table,
                                          uint64_t ring, uint64_t n, enum kymo_cut why,
                                          uint64_t flags, struct kymo_err *err);
/*
 * Correct rows of losses in place. Columns are found by name; a table without them is left alone.
 *
 * keep  [n_rows] rows that the slice will have: these answer for what the filter left out
 */
void kymo_ledger_settle(struct kymo_ledger *l, struct kymo_rows *loss, const uint8_t *keep);

#endif
