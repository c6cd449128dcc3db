/* SPDX-License-Identifier: Apache-2.0
 * tags.h: which rows of a re-recording are of a script, and of whose.
 *
 * A thread's rows are read in their order, twice: once to learn who is who, once to keep what is of a script.
 *
 *     clone() = 0 (child)        kept, if a script follows: the original has it too
 *     prctl(TAG, BEGIN, a, 0)    left out, as all tags
 *     ...                        kept, but waiting and pacing of the stage's own
 *     execve() = 0 (execed)      kept, under the name that the thread has at the next BEGIN
 *     mmap(), prctl(NAME) ...    left out: the stage settles in its new image
 *     prctl(TAG, BEGIN, a, 7)
 *     ...
 *     prctl(TAG, END, a, 9)      after it nothing, or a BEGIN
 */
#ifndef KYMO_PROOF_TAGS_H
#define KYMO_PROOF_TAGS_H

#include "format/base/arena.h"
#include "format/base/err.h"
#include "replay/plan/image.h"

/* A thread of the re-recording. */
struct kymo_tagged {
    uint64_t pid, start_ns; /* its process */
    uint64_t tid;
    uint32_t first, actor; /* of its first BEGIN, of its last one; KYMO_NONE: none as yet */
    uint8_t is_inside, is_execed, is_known; /* known: the first reading met a BEGIN */
    struct kymo_exec_name *name, *last, *exec_row;
};

/* What a thread was called after each of its execs, in their order. */
struct kymo_exec_name {
    struct kymo_exec_name *next;
    const char *comm; /* arena */
};

struct kymo_tags; /* owned */
KYMO_MUST_USE kymo_status kymo_tags_open(struct kymo_tags **out, const struct kymo_image *image,
                                         struct kymo_err *err);
void kymo_tags_close(struct kymo_tags *t);
/* The thread, made when it is not there. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_tags_thread(struct kymo_tags *t, uint64_t pid, uint64_t start_ns,
                                           uint64_t tid, struct kymo_tagged **out,
                                           struct kymo_err *err);
/* The same, NULL where it is not there. */
struct kymo_tagged *kymo_tags_find(struct kymo_tags *t, uint64_t pid, uint64_t start_ns,
                                   uint64_t tid);

/* What of a row decides about it. */
struct kymo_tag_row {
    const char *call; /* its name */
    uint64_t flags;   /* KYMO_CALL_* */
    uint64_t arg[6];  /* 0 where it has none */
    const char *comm; /* [comm_bytes] */
    uint32_t comm_bytes;
};
/* First reading. errors ELIMIT; ECORRUPT: a tag of an actor that the plan has not */
KYMO_MUST_USE kymo_status kymo_tags_learn(struct kymo_tags *t, struct kymo_tagged *thread,
                                          const struct kymo_tag_row *row, struct kymo_err *err);
/* Between the readings: forget where the threads are. errors EUSAGE: there was no tag */
KYMO_MUST_USE kymo_status kymo_tags_again(struct kymo_tags *t, struct kymo_err *err);
/* Second reading: is the row kept? comm out: its name to be, NULL: as it is. */
int kymo_tags_keep(struct kymo_tags *t, struct kymo_tagged *thread,
                   const struct kymo_tag_row *row, const char **comm);
/* Has a process a script? Its recorded pid. start_ns 0: whichever has the pid. */
int kymo_tags_process(struct kymo_tags *t, uint64_t pid, uint64_t start_ns, uint64_t *recorded);
/* The recorded tid of a thread that is known. */
uint64_t kymo_tags_tid(const struct kymo_tags *t, const struct kymo_tagged *thread);
/* For the exec rows of the process table: the next name after an exec, NULL: as it is. */
const char *kymo_tags_exec_row(struct kymo_tagged *thread);

#endif
