/* SPDX-License-Identifier: Apache-2.0
 * people.h: who the processes are, as far as a capture has told, for a slice that begins later or
 * shows only some. A process of which the slice has no row yet gets one, of the kind `snapshot`, when
 * it first appears: what a recorder that began then would have written.
 */
#ifndef KYMO_FILE_PEOPLE_H
#define KYMO_FILE_PEOPLE_H

#include "format/file/gather.h"

struct kymo_people; /* owned: _open, _close */

/* Snapshots, with what is held of their descriptors, and cgroups go to g, borrowed. */
KYMO_MUST_USE kymo_status kymo_people_open(struct kymo_people **out, struct kymo_gather *g,
                                           struct kymo_err *err);
void kymo_people_close(struct kymo_people *p);

/* A row of the process table, whether it is kept or not. */
KYMO_MUST_USE kymo_status kymo_people_learn(struct kymo_people *p, const struct kymo_batch *b,
                                            uint32_t row, struct kymo_err *err);
/* Rows of the cgroup table. */
KYMO_MUST_USE kymo_status kymo_people_learn_cgroups(struct kymo_people *p,
                                                    const struct kymo_batch *b,
                                                    struct kymo_err *err);
/* A row of the fd table that is older than the slice, or of a process that has not appeared. */
void kymo_people_hold_fd(struct kymo_people *p, const struct kymo_batch *b, uint32_t row);
/* The path of a cgroup, NULL while nobody told. Borrowed. */
const char *kymo_people_cgroup(const struct kymo_people *p, uint64_t id);

/* A process appears at ts: it, its ancestors and its cgroup get their rows, unless they have them.
 * start_ns 0: whichever has the pid now. */
KYMO_MUST_USE kymo_status kymo_people_need(struct kymo_people *p, uint64_t pid,
                                           uint64_t start_ns, uint64_t ts_ns,
                                           struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_people_need_cgroup(struct kymo_people *p, uint64_t id,
                                                  uint64_t ts_ns, struct kymo_err *err);
/* Has the process appeared? */
int kymo_people_is_needed(const struct kymo_people *p, uint64_t pid, uint64_t start_ns);
/* Is it known what it runs? */
int kymo_people_knows_exe(const struct kymo_people *p, uint64_t pid, uint64_t start_ns);
/* The slice holds a row of its own that says who it is. */
void kymo_people_written(struct kymo_people *p, uint64_t pid, uint64_t start_ns);

#endif
