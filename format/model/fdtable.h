/* SPDX-License-Identifier: Apache-2.0
 * fdtable.h: what each call of a capture was about: its path, or the file, socket or other thing that
 * its descriptor was open on. Follows open, dup, fcntl, close, pipe, socket, connect, accept, bind,
 * chdir, clone, exec and exit as the rows tell them.
 *
 * What a process had open before the capture began is known where a snapshot told of it (table `fd`),
 * else not: "?". What it got without a call of its own, as through a socket, is known from the next
 * snapshot on. The two ends
 * of a pipe are not in the rows either, since the kernel writes them into memory: they are taken for
 * the two lowest descriptors that seem free, as the kernel chooses them. Paths are joined to their
 * directory where that is known, "." and ".." by their text; links are not followed.
 */
#ifndef KYMO_MODEL_FDTABLE_H
#define KYMO_MODEL_FDTABLE_H

#include "format/model/fdset.h"
#include "format/trace/batch.h"
#include "format/trace/names.h"

/* What a call was about. text is borrowed until the next row. */
struct kymo_fd_about {
    int is_about; /* 0: it has neither path nor descriptor */
    enum kymo_fd_kind kind;
    const char *text; /* "?" when not known */
    uint32_t n;
    uint64_t serial; /* the same as of a row before: the same text; 0: says nothing */
};

struct kymo_fdtable; /* owned: _open, _close */

/* cap_bytes  for what is open; beyond it the processes that were quiet longest are forgotten */
KYMO_MUST_USE kymo_status kymo_fdtable_open(struct kymo_fdtable **out, size_t cap_bytes,
                                            struct kymo_err *err);
void kymo_fdtable_close(struct kymo_fdtable *t);
/* Forget everything but what was learned: for another pass over the same rows. */
KYMO_MUST_USE kymo_status kymo_fdtable_rewind(struct kymo_fdtable *t, struct kymo_err *err);

/* Take in the rows of a `process` table, who was forked from whom, and of an `fd` table. All of them before the first call,
 * where that can be had; else children of which nothing was learned begin with nothing known. Other
 * tables are passed over. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_fdtable_learn(struct kymo_fdtable *t, const struct kymo_batch *b,
                                             struct kymo_err *err);

/* Can the rows of this schema be followed? */
int kymo_fdtable_fits(const struct kymo_schema *s);
/* Set want[c] = 1 for the columns it looks at. */
void kymo_fdtable_need(const struct kymo_schema *s, uint8_t *want);
/* Before the rows of a batch, which are in the order of time. names may be NULL. */
void kymo_fdtable_begin(struct kymo_fdtable *t, const struct kymo_batch *b,
                        const struct kymo_names *names);
/* The rows of the batch, each once, one after the other. addr may be NULL: the address of the
 * socket a call was about, or not about any. */
void kymo_fdtable_row(struct kymo_fdtable *t, uint32_t row, struct kymo_fd_about *file,
                      struct kymo_fd_about *addr);
/* Processes that were forgotten to stay within the cap. */
uint64_t kymo_fdtable_forgotten(const struct kymo_fdtable *t);

#endif
