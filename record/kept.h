/* SPDX-License-Identifier: Apache-2.0
 * kept.h: rows that are told once in a recording and that each of its files has to hold: facts of the host,
 * names of calls, paths of cgroups. Kept as they pass by, each once, and written at the start of a file.
 */
#ifndef KYMO_RECORD_KEPT_H
#define KYMO_RECORD_KEPT_H

#include "record/rotate.h"

struct kept; /* owned */

KYMO_MUST_USE kymo_status kept_open(struct kept **out, struct kymo_err *err);
void kept_close(struct kept *k); /* NULL is fine */
/* Rows on their way; other tables are passed over. */
KYMO_MUST_USE kymo_status kept_see(struct kept *k, const struct kymo_batch *b,
                                   struct kymo_err *err);
/* All of them to the file that was just begun. taken as in rotate_put(). */
KYMO_MUST_USE kymo_status kept_write(const struct kept *k, struct kymo_writer *w,
                                     struct rotate *r, bool *taken, struct kymo_err *err);

#endif
