/* SPDX-License-Identifier: Apache-2.0
 * heldfds.h: what processes had open at their last snapshot, held for a slice that begins later, or
 * that a process enters later. Written when the process is.
 */
#ifndef KYMO_FILE_HELDFDS_H
#define KYMO_FILE_HELDFDS_H

#include "format/file/gather.h"

struct kymo_heldfds; /* owned: _open, _close */

KYMO_MUST_USE kymo_status kymo_heldfds_open(struct kymo_heldfds **out, struct kymo_err *err);
void kymo_heldfds_close(struct kymo_heldfds *h);

/* A row of the fd table: with the first of a snapshot what was held of its process is dropped. Beyond
 * the memory for it nothing is held. */
void kymo_heldfds_learn(struct kymo_heldfds *h, const struct kymo_batch *b, uint32_t row);
/* What is held of a process, into g as of ts_ns, once. */
KYMO_MUST_USE kymo_status kymo_heldfds_write(struct kymo_heldfds *h, uint64_t pid,
                                             uint64_t start_ns, uint64_t ts_ns,
                                             struct kymo_gather *g, struct kymo_err *err);
/* The process is gone. */
void kymo_heldfds_forget(struct kymo_heldfds *h, uint64_t pid, uint64_t start_ns);

#endif
