/* SPDX-License-Identifier: Apache-2.0
 * stage.h: where a plan is played: namespaces, a root of its own, actors, their environment, a supervisor.
 */
#ifndef KYMO_STAGE_STAGE_H
#define KYMO_STAGE_STAGE_H

#include <sys/types.h>

#include "format/base/err.h"
#include "replay/plan/image.h"

struct kymo_stage_opts {
    const char *
        root; /* a directory that becomes the actors' root, and keeps what they write; NULL: a tmpfs */
    double pace;      /* 1 as recorded, 2 half as fast, 0 as fast as possible */
    uint64_t time_ns; /* budgets; 0: 60 s, */
    uint64_t cpu_ns;  /* unbounded, */
    uint64_t memory_bytes, disk_bytes; /* 2 GiB, 1 GiB, */
    uint32_t processes_max;            /* 4096 */
    const char *target; /* "host:port" that connections may leave the sandbox for; NULL: none */
    /* Called in the caller's process when all actors are ready and none has begun: `leader` is the sandbox's
     * first process in the caller's pid namespace (its whole tree is the replay). Not KYMO_OK: nothing is played. */
    kymo_status (*ready)(void *arg, pid_t leader, struct kymo_err *err);
    void *ready_arg;
};

/* Why it ended. */
enum kymo_stage_end {
    KYMO_END_DONE,
    KYMO_END_TIME,
    KYMO_END_CPU,
    KYMO_END_MEMORY,
    KYMO_END_DISK,
    KYMO_END_STUCK,
    KYMO_END_STOPPED,
    KYMO_END_BROKEN
};

struct kymo_stage_result {
    enum kymo_stage_end end;
    struct kymo_outcome *outcome; /* [n_calls] owned: free() */
    uint64_t begin_ns,
        end_ns;     /* CLOCK_MONOTONIC of the plan's moment 0, and of the last actor's end */
    uint64_t freed; /* calls that waited for what did not come and were interrupted */
    uint64_t cpu_ns;
    uint64_t drift_ns_p99; /* how late calls began after their moment */
    char why[256];         /* of any end but DONE */
};

/*
 * Play a plan that kymo_image_check() passed. Returns when every process of the sandbox is gone. Whatever ends
 * the caller, kill -9 included, leaves no process, mount, namespace or file outside opts.root.
 *
 * errors  EHOST: no namespaces or no seccomp here, with what to try; EINPUT: the root; ESTOPPED: a signal
 */
KYMO_MUST_USE kymo_status kymo_stage_run(const struct kymo_image *image,
                                         const struct kymo_stage_opts *o,
                                         struct kymo_stage_result *out, struct kymo_err *err);

#endif
