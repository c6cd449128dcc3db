/* SPDX-License-Identifier: Apache-2.0
 * callrows.h: one record of a ring to one row of the syscall table. Tasks, keys and paths are
 * interned here, while the event is hot.
 */
#ifndef KYMO_RECORD_CALLROWS_H
#define KYMO_RECORD_CALLROWS_H

#include <stdbool.h>

#include "format/event.h"
#include "format/trace/batch.h"

/* What is known of a thread, and where it stands in the chunk that is being filled. */
struct task {
    uint64_t start_ns, exec_seq, cgroup_id;
    uint32_t pid, tid, ppid, uid, gid;
    bool known;
    char comm[KYMO_COMM_BYTES];
    uint32_t chunk; /* serial of the chunk that `row` is of */
    uint32_t row;
};

struct callrows; /* owned */
struct redact;

KYMO_MUST_USE kymo_status callrows_open(struct callrows **out, uint32_t n_tids,
                                        struct kymo_err *err);
void callrows_close(struct callrows *c);

/* A fresh chunk begins: nothing is interned in it. */
void callrows_next_chunk(struct callrows *c);
/* Secrets in paths are hidden from now on. r is borrowed; NULL: they are not. */
void callrows_redact(struct callrows *c, struct redact *r);
/* A TASK record: remember the thread. Unknown or out-of-range tids give NULL. */
struct task *callrows_learn(struct callrows *c, const struct kymo_event_task *t);
struct task *callrows_task(const struct callrows *c, uint32_t tid);
/* tids learned so far. */
size_t callrows_known(const struct callrows *c, const uint32_t **tids);

/*
 * Append a call. bytes is the record's length, already checked against the ring; flags are added.
 * returns  false when the chunk's tasks, keys or strings are full: cut it and call again
 */
bool callrows_add(struct callrows *c, struct kymo_rows *rows, const struct kymo_event_call *e,
                  size_t bytes, uint32_t cpu, uint32_t flags);

/* Called at the first use of each (arch, nr) in the capture. */
typedef void (*callrows_new_key)(void *ctx, uint32_t arch, uint32_t nr);
void callrows_on_new_key(struct callrows *c, callrows_new_key f, void *ctx);

#endif
