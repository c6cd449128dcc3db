/* SPDX-License-Identifier: Apache-2.0
 * perform.h: play a plan, record it meanwhile, and say whether it really happened.
 */
#ifndef KYMO_REPLAY_PERFORM_H
#define KYMO_REPLAY_PERFORM_H

#include <stdio.h>

#include "replay/proof/proof.h"
#include "replay/stage/stage.h"

enum kymo_verify { KYMO_VERIFY_NEVER, KYMO_VERIFY_WHERE_POSSIBLE, KYMO_VERIFY_MUST };

/* All of it borrowed. */
struct kymo_perform_opts {
    struct kymo_stage_opts stage; /* `ready` is this function's own */
    enum kymo_verify verify;
    const struct kymo_trace *original; /* NULL: a plan alone, which is compared with itself */
    const char *original_path;         /* its capture, for the model's layer; NULL: none */
    int is_synthesis;                  /* nothing is call by call */
    double rate;                       /* synthesis: asked for; 0: 1 */
    const char *state;                 /* synthesis: every window is to have this one */
    const char *model, *control; /* captures' model; another state's capture; NULL: none */
    struct kymo_distance noise;  /* of the original against itself; zeros: not known */
    const char *again;           /* keep the re-recording there; NULL: not */
    int force;
    enum kymo_proof_form form;
};

/* What came of it. */
struct kymo_performance {
    struct kymo_stage_result stage;      /* outcome: owned */
    struct kymo_proof proof;             /* n = 0: nothing was recorded */
    char unverified[KYMO_ERR_BYTES_MAX]; /* why, then */
};

/*
 * image   that kymo_image_check() passed, borrowed
 * errors  those of stage and proof; EHOST: no recording, where it must be
 */
KYMO_MUST_USE kymo_status kymo_perform(struct kymo_performance *out,
                                       const struct kymo_image *image,
                                       const struct kymo_perform_opts *o, struct kymo_err *err);
void kymo_performance_release(struct kymo_performance *p);
/* The report: how it ended, then the proof or why there is none. */
void kymo_performance_print(const struct kymo_performance *p, const struct kymo_image *image,
                            const struct kymo_perform_opts *o, FILE *out);
/* What a tool ends with: DESIGN's table. */
int kymo_performance_exit(const struct kymo_performance *p);

#endif
