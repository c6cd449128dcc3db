/* SPDX-License-Identifier: Apache-2.0
 * syncer.h: what was written reaches the disk, by a thread of its own: a disk that takes its time delays
 * neither writing nor draining. A power loss costs what was written since the last time.
 */
#ifndef KYMO_RECORD_SYNCER_H
#define KYMO_RECORD_SYNCER_H

#include "format/base/err.h"

struct syncer; /* owned */

KYMO_MUST_USE kymo_status syncer_open(struct syncer **out, uint64_t every_ns,
                                      struct kymo_err *err);
/* This file from now on (its descriptor is duplicated; -1: none); the one before is synced once more. dirfd
 * (-1: none) is the folder that has a new name in it. */
void syncer_watch(struct syncer *s, int fd, int dirfd);
/* The first failure, KYMO_OK while all is well. */
kymo_status syncer_status(struct syncer *s, struct kymo_err *err);
/* Sync what is left and end the thread. NULL is fine. */
KYMO_MUST_USE kymo_status syncer_close(struct syncer *s, struct kymo_err *err);

#endif
