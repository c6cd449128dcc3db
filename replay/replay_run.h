/* SPDX-License-Identifier: Apache-2.0
 * replay_run.h: what kymo-replay was asked to do, and the half of it that acts.
 */
#ifndef KYMO_REPLAY_RUN_H
#define KYMO_REPLAY_RUN_H

#include <stdbool.h>

#include "replay/plan/compile.h"

struct replay_opts {
    const char *in; /* a capture or a plan */
    const char *plan_out, *root, *again_out, *model, *report, *target, *timing;
    double pace; /* of `timing`: 1 as recorded, 0 as fast as possible */
    uint64_t time_ns, cpu_ns, memory_bytes, disk_bytes, processes_max;
    bool run, dry_run, verify, no_verify, json, jsonl, junit, calls, force, quiet, verbose;
};

/* A plan, with the capture that it was made of where there is one. */
struct replay_input {
    const struct replay_opts *o;
    const struct kymo_image *image;
    const struct kymo_plan *plan;    /* NULL: the image came from a file */
    const struct kymo_trace *trace;  /* NULL: likewise */
    const char *original_path;       /* where the slice can be read as a capture; NULL: nowhere */
};

/*
 * Play it, prove it and tell. *finding is the exit status that goes with KYMO_OK.
 *
 * errors  those of the stage and of the proof
 */
KYMO_MUST_USE kymo_status replay_run(const struct replay_input *in, int *finding,
                                     struct kymo_err *err);

#endif
