/* SPDX-License-Identifier: Apache-2.0
 * processes.h: rows of the process table: births, execs, deaths, changes of credentials, and who was
 * there already; and the names of the cgroups they live in.
 */
#ifndef KYMO_RECORD_PROCESSES_H
#define KYMO_RECORD_PROCESSES_H

#include <stdbool.h>

#include "format/event.h"
#include "format/trace/batch.h"

#define PROCESSES_PATH_MAX 4096u
/* Cgroups beyond so many stay without a name, and are counted. */
#define PROCESSES_CGROUPS_MAX 8192u

struct processes; /* owned */
struct redact;

/* Open rows of a table with room for one more; NULL when its buffers are all queued. */
typedef struct kymo_rows *(*processes_rows)(void *ctx, const struct kymo_schema *schema);

/* tids are below n_tids. */
KYMO_MUST_USE kymo_status processes_open(struct processes **out, uint32_t n_tids,
                                         processes_rows rows, void *ctx, struct kymo_err *err);
void processes_close(struct processes *p);
/* Secrets are hidden from now on. r is borrowed. */
void processes_redact(struct processes *p, struct redact *r);

/* A row for an event of the process ring (fork, exec, exit); false when there was no room. */
bool processes_event(struct processes *p, const struct kymo_event_process *e, size_t bytes);
/* A thread that is there, out of the iterator: leaders get a row. */
void processes_snapshot(struct processes *p, const struct kymo_event_process *e, size_t bytes);
/* A thread described itself anew. Where it may do more or less than before, or in other namespaces,
 * that is a row: nothing in the kernel tells of such a change by itself. */
void processes_task(struct processes *p, const struct kymo_event_task *t);
/* A cgroup was made: its name is known, and written when it is met. */
void processes_cgroup_made(struct processes *p, const struct kymo_event_cgroup *e,
                           size_t bytes);
/* A cgroup is met: the first time its name is written. */
void processes_cgroup(struct processes *p, uint64_t id, uint32_t pid, uint64_t ts_ns);

struct processes_totals {
    uint64_t rows;
    uint64_t unnamed_cgroups; /* sightings of cgroups beyond PROCESSES_CGROUPS_MAX */
};
void processes_totals(const struct processes *p, struct processes_totals *out);

/*
 * Fill a fresh row from an event. argv (NULs between) is used where the event brings none.
 *
 * redact may be NULL. Owns no state: the thread that takes snapshots calls it too.
 */
void processes_fill(struct redact *redact, struct kymo_rows *r, uint32_t row,
                    const struct kymo_event_process *e, size_t bytes, const char *kind,
                    const char *argv, size_t argv_bytes);
/* A walked path (event.h) the right way round; its length, 0 when it does not fit. */
size_t processes_path(const char *walk, size_t n, char *out, size_t cap);

#endif
