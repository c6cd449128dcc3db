/* SPDX-License-Identifier: Apache-2.0
 * session.h: our programs in the kernel, from open to detach, and the memory they share with us.
 */
#ifndef KYMO_RECORD_SESSION_H
#define KYMO_RECORD_SESSION_H

#include <stdbool.h>

#include "format/base/err.h"
#include "format/event.h"

struct session; /* owned */

struct session_opts {
    struct kymo_whom whom;
    const char *btf_path; /* type information of this kernel; NULL: the kernel's own */
    uint64_t ring_bytes;  /* a CPU; rounded up to a power of two of slices */
    uint32_t cells;       /* a CPU, to count calls in; rounded up to a power of two */
    const uint8_t *wanted_native,
        *wanted_compat; /* [KYMO_CALLS_MAX] nonzero: record; borrowed for the call */
};

/*
 * Load the programs; nothing runs yet.
 *
 * errors  EHOST, with what is missing and what to try: no BTF, no permission, another pid namespace
 */
KYMO_MUST_USE kymo_status session_open(struct session **out, const struct session_opts *o,
                                       struct kymo_err *err);
/* Attach: from now on calls and process events arrive. */
KYMO_MUST_USE kymo_status session_attach(struct session *s, struct kymo_err *err);
/* Detach and wait until no program runs any more; what lies in the rings stays readable. */
void session_detach(struct session *s);
void session_close(struct session *s);

uint32_t session_cpus(const struct session *s);
uint64_t session_ring_bytes(const struct session *s); /* of one CPU */
/* The control block of one CPU's ring, shared with the kernel; those of the others follow. */
struct kymo_ring_ctl *session_ctl(const struct session *s, uint32_t cpu);
/* The bytes of all rings: ring after ring, each of session_ring_bytes() in slices with their slack. */
const uint8_t *session_rings(const struct session *s);

/* Nobody is recorded in more detail than this KYMO_LEVEL_*. It is off until the first call of this. */
void session_ceiling(struct session *s, uint32_t level);
/* The cells of one CPU, shared with the kernel, which counts on: n of them, the last KYMO_CELL_SPARE for
 * calls of nobody in particular. */
struct kymo_cell *session_cells(const struct session *s, uint32_t cpu, uint32_t *n);

/* What may change while it runs: who is skipped, which cgroups are chosen. After a change that
 * concerns tasks which were judged already, session_judge_again. */
struct kymo_live *session_live(const struct session *s);
void session_judge_again(struct session *s);

/* After power is dropped: reach maps and the iterator through the keeper where the kernel refuses.
 * Borrowed. session_power fills in what the keeper has to know. */
struct keeper;
struct keeper_opts;
KYMO_MUST_USE kymo_status session_power(struct session *s, struct keeper_opts *o,
                                        struct kymo_err *err);
void session_use_keeper(struct session *s, struct keeper *k);

/* Make a thread a member of the chosen trees: it and its children are recorded. */
KYMO_MUST_USE kymo_status session_add_member(struct session *s, uint32_t tid,
                                             struct kymo_err *err);

/* The slot of a thread, for calls that are still running at the end; false when out of range. */
bool session_slot(const struct session *s, uint32_t tid, struct kymo_slot *out);
uint32_t session_slots(const struct session *s);

/* Hand each waiting process event to take(). Returns how many. */
typedef void (*session_take)(void *ctx, const void *event, size_t bytes);
uint32_t session_take_process(struct session *s, session_take take, void *ctx);

struct session_process_counts {
    uint64_t seen, stored, filtered, dropped_ring;
};
void session_process_counts(const struct session *s, struct session_process_counts *out);
/* Kernel memory that the rings take, all CPUs. */
uint64_t session_rings_bytes(const struct session *s);

/* What the kernel lists on demand, a file descriptor to read it from; close it. */
enum session_list {
    SESSION_TASKS, /* every chosen thread: struct kymo_event_process (SNAPSHOT) */
    SESSION_FDS,   /* what chosen processes have open: struct kymo_event_fd */
};
/* Does this kernel list? Iterators need its own type information, a file does not do. */
bool session_has_lists(const struct session *s);
KYMO_MUST_USE kymo_status session_list(const struct session *s, enum session_list which,
                                       int *fd, struct kymo_err *err);

/* Each thread that exists now and is chosen to take(). */
typedef void (*session_task)(void *ctx, const struct kymo_event_process *e);
KYMO_MUST_USE kymo_status session_snapshot(struct session *s, session_task take, void *ctx,
                                           struct kymo_err *err);

#endif
