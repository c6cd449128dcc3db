/* SPDX-License-Identifier: Apache-2.0
 * proof.h: did it really happen? A replay, recorded again, against what it replays.
 */
#ifndef KYMO_PROOF_PROOF_H
#define KYMO_PROOF_PROOF_H

#include <stdio.h>
#include <sys/types.h>

#include "replay/plan/compile.h"
#include "replay/plan/trace.h"

/* ---- recording ---- */

struct
    kymo_recording; /* owned: _begin, _end. A kymo-record beside this program, on one process tree. */

/*
 * Record the tree of `leader` into an unnamed file; returns once the recorder records.
 * errors EHOST: recording is not possible here (no kymo-record, no permission), with why
 */
KYMO_MUST_USE kymo_status kymo_recording_begin(struct kymo_recording **out, pid_t leader,
                                               struct kymo_err *err);
/* Stop; *path is where the capture can be read until _close (/proc/self/fd/N). */
KYMO_MUST_USE kymo_status kymo_recording_end(struct kymo_recording *r, const char **path,
                                             struct kymo_err *err);
void kymo_recording_close(struct kymo_recording *r);

/*
 * Keep what the actors of a plan did between their tags, without what is the stage's own (image.h), as a
 * capture of the same shape as the original: processes and threads under their recorded pids and tids.
 * errors EUSAGE: no tag in it
 */
KYMO_MUST_USE kymo_status kymo_recording_clean(const char *path, const struct kymo_image *image,
                                               int out_fd, struct kymo_err *err);

/* ---- comparing ---- */

/* A measure with its gate. */
struct kymo_measure {
    const char *layer, *name, *unit;
    double value, gate; /* NaN: no gate */
    int at_least;       /* 1: value >= gate passes; 0: value <= gate */
    int verdict;        /* 1 passed, 0 failed, -1 could not be measured */
    char note[160];
};
#define KYMO_MEASURES_MAX 32u

struct kymo_mismatch {
    uint32_t call; /* of the original trace, UINT32_MAX: there is none */
    int64_t wanted, got;
    const char *why;
    uint64_t n; /* calls alike: the same name, results and why */
};

struct kymo_proof_opts {
    const struct kymo_image *image;         /* NULL: a synthesis, nothing is call by call */
    const struct kymo_outcome *outcome;     /* the stage's own account; NULL: none */
    const char *model;                      /* for the model's layer; NULL: none */
    const char *original_path, *again_path; /* captures, for the model's layer */
    double pace;
    double noise_jsd_call, noise_jsd_gram,
        noise_ks; /* what the original differs from itself; 0: not known */
};

struct kymo_proof {
    struct kymo_measure measure[KYMO_MEASURES_MAX];
    size_t n;
    struct kymo_mismatch *mismatch; /* [n_mismatches] most first; owned */
    size_t n_mismatches;
    int verdict; /* 1 faithful, 0 deviated, -1 inconclusive */
};

KYMO_MUST_USE kymo_status kymo_proof_compare(struct kymo_proof *out,
                                             const struct kymo_trace *original,
                                             const struct kymo_trace *again,
                                             const struct kymo_proof_opts *o,
                                             struct kymo_err *err);
void kymo_proof_release(struct kymo_proof *p);

/* Distances between two traces, whatever they are of: for noise floors and negative controls too. */
struct kymo_distance {
    double jsd_call; /* Jensen-Shannon divergence in bits of call x outcome class, 0..1 */
    double jsd_gram; /* of 3-grams of calls along threads */
    double ks_gap;   /* Kolmogorov-Smirnov distance of the gaps between a thread's calls */
    double rate_ratio;
};
KYMO_MUST_USE kymo_status kymo_distance(struct kymo_distance *out, const struct kymo_trace *a,
                                        const struct kymo_trace *b, struct kymo_err *err);

enum kymo_proof_form { KYMO_PROOF_TEXT, KYMO_PROOF_JSONL, KYMO_PROOF_JUNIT };
void kymo_proof_print(const struct kymo_proof *p, const struct kymo_trace *original,
                      enum kymo_proof_form form, FILE *out);

#endif
