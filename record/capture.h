/* SPDX-License-Identifier: Apache-2.0
 * capture.h: one recording, from the opened output to the END chunk.
 */
#ifndef KYMO_RECORD_CAPTURE_H
#define KYMO_RECORD_CAPTURE_H

#include <stdbool.h>

#include "record/drain.h"
#include "record/follow.h"
#include "record/power.h"
#include "record/session.h"
#include "record/users.h"

/* How it goes, since the last time this was told. */
struct capture_progress {
    uint64_t elapsed_ns;  /* since the start */
    uint64_t interval_ns; /* since the last telling */
    uint64_t taken;       /* records in that interval */
    uint64_t dropped;     /* since the start */
    uint64_t written_bytes;
    double ring_fill; /* highest in that interval, 0..1 */
    bool last;        /* the recording is over */
};

struct capture_opts {
    struct session_opts session;
    struct outbox_opts out;
    uint64_t duration_ns; /* 0: until stopped */
    const uint32_t *tree; /* pids whose trees are recorded */
    size_t n_tree;
    struct follow_opts follow;
    char *const *cmd;      /* argv of the command to run; NULL: none */
    const struct user *as; /* whom it runs as; NULL: the caller */
    struct power_plan power;
    const char
        *what; /* the recorder's own arguments, a NUL behind each, for the context table */
    size_t what_bytes;
    struct redact *redact;           /* borrowed; NULL: secrets are written as they are */
    struct redact *redact_snapshots; /* by the same key, for the thread that takes them */
    /* Told twice a second; NULL: nobody wants to know. */
    void (*progress)(const struct capture_progress *p);
    /* Something works less well than it could. */
    void (*warn)(const char *text);
    uint64_t snapshot_ns;      /* between two snapshots; 0: one, at the start */
    uint64_t window_ns;        /* of the counts */
    double max_cpu;            /* CPU of the recorder, 1 is one CPU; 0: no bound */
    uint64_t max_memory_bytes; /* resident memory of the recorder; 0: no bound */
};

enum capture_end {
    CAPTURE_STOPPED,  /* a signal asked */
    CAPTURE_DURATION, /* -d was over */
    CAPTURE_COMMAND,  /* the command ended */
    CAPTURE_BOUND,    /* --max-disk or --min-free */
};

struct capture_result {
    enum capture_end end;
    struct drain_totals totals;
    uint64_t elapsed_ns, cpu_ns, rss_bytes;
    struct outbox_totals out; /* its texts are gone */
    char last[512];           /* name of the last file, "" when there was none */
    int cmd_status;           /* as a shell would show it */
};

/* Record. The file is complete when KYMO_OK comes back, and readable whatever comes back. */
KYMO_MUST_USE kymo_status capture_run(const struct capture_opts *o, struct capture_result *r,
                                      struct kymo_err *err);

#endif
