/* SPDX-License-Identifier: Apache-2.0
 * drain.h: from the rings to rows of tables, in time order, with an account of every call.
 *
 * Each poll takes a watermark a little in the past: every record up to it is visible by then, so
 * the rings can be merged by time. At each whole second the open chunks are cut and a seal is
 * written: the loss rows of that second, which promise that no older row follows.
 *
 * The account of a ring is an identity: seen = stored + filtered + dropped. The rows of running
 * seconds take `seen` from its parts, because the kernel counts on while we read; the last row,
 * written after all programs are gone, takes what is left of the kernel's own count. If anything
 * was ever lost unsaid, the identity breaks there.
 */
#ifndef KYMO_RECORD_DRAIN_H
#define KYMO_RECORD_DRAIN_H

#include <stdbool.h>

#include "format/event.h"
#include "record/anchors.h"
#include "record/counts.h"
#include "record/outbox.h"

/* Where records come from: the kernel's rings, or a test's. */
struct source {
    uint32_t n_rings;
    uint64_t ring_bytes;                /* of one */
    uint64_t rings_bytes;               /* memory of all, for the cost table */
    uint32_t n_tids;                    /* tids are below */
    const struct counts_source *counts; /* NULL: nothing is counted; read by drain_open alone */
    uint64_t window_ns;                 /* of the counts */
    struct kymo_ring_ctl *ctl;          /* [n_rings] */
    /* Ring after ring, each ring_bytes / KYMO_SLICE_BYTES slices, each with its slack behind it. */
    const uint8_t *data;
};

struct drain; /* owned */
struct redact;

struct drain_totals {
    uint64_t seen, stored, filtered, aggregated, dropped, late, unread;
    uint64_t processes;       /* process rows */
    uint64_t unnamed_cgroups; /* sightings of cgroups beyond those that get a name */
    double ring_fill;         /* highest since the last poll, 0..1 */
    uint64_t started_ns;      /* the capture's first moment */
};

KYMO_MUST_USE kymo_status drain_open(struct drain **out, const struct source *source,
                                     struct outbox *outbox, uint64_t now_ns,
                                     struct kymo_err *err);
void drain_close(struct drain *d);
/* Called behind each seal but the last: all rows of the seconds before ts_ns were put, none of the next. */
typedef void (*drain_sealed)(void *ctx, uint64_t ts_ns);
void drain_on_seal(struct drain *d, drain_sealed f, void *ctx);
/* Put the small tables as far as they are filled. */
void drain_flush(struct drain *d);

/*
 * Take what the rings hold up to shortly before now, cut and seal what is due.
 * returns  records taken; errors: ECORRUPT when a ring breaks its own rules
 */
KYMO_MUST_USE kymo_status drain_poll(struct drain *d, uint64_t now_ns, uint32_t *taken,
                                     struct kymo_err *err);
/* After the programs are gone: everything that is left. The last seal follows with drain_finish. */
KYMO_MUST_USE kymo_status drain_rest(struct drain *d, struct kymo_err *err);
/* The last seal, its account taken from the kernel's own counts. */
void drain_finish(struct drain *d, uint64_t now_ns);

/* Secrets are hidden from now on, and how many is told in the redact table. r is borrowed. */
void drain_redact(struct drain *d, struct redact *r);
/* How many another thread's has hidden since it was last asked. */
void drain_redactions(struct drain *d, struct redact *from, uint64_t ts_ns);

/* Rows of the small tables. */
/* An event of the process ring: struct kymo_event_process, or of a cgroup. */
void drain_process_event(struct drain *d, const void *event, size_t bytes);
/* A thread that existed at the start: its task is known from now on; leaders give a process row. */
void drain_snapshot(struct drain *d, const struct kymo_event_process *e);
/* Rows that were filled elsewhere, given away; ts_ns is the earliest of their times. False: a seal
 * already promised that nothing so old follows, and they are thrown away. */
bool drain_rows(struct drain *d, struct kymo_rows *rows, uint64_t ts_ns);
void drain_fact(struct drain *d, const char *key, const char *value);
void drain_fact_at(struct drain *d, uint64_t ts_ns, const char *key, const char *value);
void drain_clock(struct drain *d);
/* Other clocks than the host's, for tests that set them. */
void drain_clocks_are(struct drain *d, struct clocks clocks);
/* The recorder changed what it records (table level). */
void drain_level(struct drain *d, const char *from, const char *to, const char *why,
                 double value);
/* kind: point, begin, end, trigger; dur_ns UINT64_MAX: none. */
void drain_mark(struct drain *d, uint64_t ts_ns, const char *kind, const char *name,
                uint64_t dur_ns, uint32_t uid, uint32_t pid);
/* Counts of the process ring, cumulative, for its loss row. */
void drain_process_counts(struct drain *d, uint64_t seen, uint64_t filtered, uint64_t dropped);
/* Threads met so far, and a row for a call that one of them is still in. */
size_t drain_tasks(const struct drain *d, const uint32_t **tids);
uint32_t drain_task_pid(const struct drain *d, uint32_t tid);
void drain_unfinished(struct drain *d, uint32_t tid, uint64_t entered_ns, uint64_t now_ns,
                      uint64_t nr, const uint64_t arg[6]);

void drain_totals(struct drain *d, struct drain_totals *out);

#endif
