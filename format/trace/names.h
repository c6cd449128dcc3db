/* SPDX-License-Identifier: Apache-2.0
 * names.h: names of calls as the capture tells them, else as this program knows them.
 */
#ifndef KYMO_TRACE_NAMES_H
#define KYMO_TRACE_NAMES_H

#include "format/trace/batch.h"

#define KYMO_NAMES_MAX 16384u

struct kymo_names; /* owned: _open, _close */

KYMO_MUST_USE kymo_status kymo_names_open(struct kymo_names **out, struct kymo_err *err);
void kymo_names_close(struct kymo_names *n);
/* Take in the rows of a `sysname` table; other tables are passed over. */
KYMO_MUST_USE kymo_status kymo_names_learn(struct kymo_names *n, const struct kymo_batch *b,
                                           struct kymo_err *err);
/* The name of a call, or NULL. Borrowed until _close. */
const char *kymo_names_call(const struct kymo_names *n, uint64_t arch, uint64_t nr);

#endif
