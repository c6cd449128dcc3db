/* SPDX-License-Identifier: Apache-2.0
 * fileby.h: the fields file and addr: by row, through the descriptors of the processes.
 */
#ifndef KYMO_STAT_FILEBY_H
#define KYMO_STAT_FILEBY_H

#include "format/model/fdtable.h"
#include "format/stat/byfield.h"

struct kymo_fileby; /* owned: _open, _close */

KYMO_MUST_USE kymo_status kymo_fileby_open(struct kymo_fileby **out, struct kymo_err *err);
void kymo_fileby_close(struct kymo_fileby *f);
struct kymo_fdtable *kymo_fileby_table(struct kymo_fileby *f);
/* The numbers of the rows of a batch, into file and addr; either may be NULL. Rows come in the order of
 * time, and none is left out. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_fileby_take(struct kymo_fileby *f, const struct kymo_batch *b,
                                           const struct kymo_names *names, struct kymo_by *file,
                                           struct kymo_by *addr, struct kymo_err *err);

#endif
