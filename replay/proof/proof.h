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

/* A kymo-record, found beside this program or on PATH, on one process tree. Owned: _begin, _close. */
struct kymo_recording;

/*
 * Record the tree of `leader` into an unnamed file of $TMPDIR; returns once the recorder records, so that
 * whatever the tree does from then on is in the capture. What is recorded runs on if the recorder fails.
 *
 * errors  EHOST: recording is not possible here (no kymo-record, no permission), with why
 */
KYMO_MUST_USE kymo_status kymo_recording_begin(struct kymo_recording **out, pid_t leader,
                                               struct kymo_err *err);
/* Stop; *path is where the capture can be read until _close (/proc/self/fd/N), borrowed. What the recorder
 * lost is in the capture's own account. errors EHOST: the recorder failed meanwhile; EOUTPUT: no room */
KYMO_MUST_USE kymo_status kymo_recording_end(struct kymo_recording *r, const char **path,
                                             struct kymo_err *err);
void kymo_recording_close(struct kymo_recording *r);

/*
 * Keep what the actors of a plan did between their tags, without what is the stage's own (image.h), as a
 * capture of the same shape as the original: processes and threads under their recorded pids and tids. Where
 * the stage stood in for a program, exec rows have the program's recorded name and no path. Times stay as
 * they are; the account of losses holds (what is left out was filtered).
 *
 * image   that kymo_image_check() passed
 * out_fd  borrowed, as of kymo_writer_open()
 * errors  EUSAGE: no tag in it; ETORN: it ends in mid-chunk; those of reader and writer
 * cost    two passes; memory for one chunk, and about 100 bytes a thread
 */
KYMO_MUST_USE kymo_status kymo_recording_clean(const char *path, const struct kymo_image *image,
                                               int out_fd, struct kymo_err *err);

/* ---- comparing ---- */

/*
 * A measure with its gate.
 *
 *     recording  lost             rows that the recorder lost: with any, nothing is proven
 *     outcome    match            calls with the same result class: errno, 0, or positive
 *                natural          of all calls, those that match without an injected result
 *                injected         calls whose result was given by the supervisor
 *                unexplained      calls that do not match for no reason known here
 *                bytes            calls that move bytes and moved as many (no gate)
 *     order      violated         dependencies that the re-recording's times contradict
 *                not_waiting      calls that came before the one they were to wake (no gate)
 *                edit_distance    calls too few and too many, summed over threads
 *     mix        jsd_call         Jensen-Shannon divergence of call x result class
 *                jsd_gram         of three calls in a row, along threads
 *     time       makespan_error   of the time from the first call to the last one's end
 *                drift            how much later, a second, calls came at the end than at the beginning
 *                ks_gap           Kolmogorov-Smirnov distance of the times between beginnings of calls
 *                rate_error       of calls a second (synthesis)
 *     model      state_agreement  windows of the same state
 *                bad_agreement    of those of a bad state
 *     control    factor           how many times farther the control is from the original
 *
 * "Calls" of outcome are those that the plan issues or injects. What a plan skips was never to be seen again
 * and is left out of the original's side everywhere; its share is the coverage of the plan.
 */
struct kymo_measure {
    const char *layer, *name, *unit; /* unit: "share", "bits", "calls", "rows", "" */
    double value, gate;              /* NaN: not measured; no gate */
    int at_least;                    /* 1: value >= gate passes; 0: value <= gate */
    int verdict;                     /* 1 passed, 0 failed, -1 could not be measured */
    char note[160];
};
#define KYMO_MEASURES_MAX 32u

#define KYMO_NO_RESULT INT64_MIN /* no such call, or it did not return */
struct kymo_mismatch {
    uint32_t
        call; /* of the original trace, the first of its group; UINT32_MAX: there is none */
    int64_t wanted, got;
    const char *why; /* static */
    uint64_t n;      /* calls alike: the same name, result classes and why */
    char name[32];   /* the call's, cut */
};

struct kymo_proof_opts {
    const struct kymo_image *image;         /* NULL: a synthesis, nothing is call by call */
    const struct kymo_outcome *outcome;     /* the stage's own account; NULL: none */
    const char *model;                      /* for the model's layer; NULL: none */
    const char *original_path, *again_path; /* captures, for the model's layer */
    double pace;
    /* What the original differs from itself when recorded again; 0: not known. A value past its gate but
     * not past the noise is inconclusive. */
    double noise_jsd_call, noise_jsd_gram, noise_ks;
    const struct kymo_trace *control; /* another state, for the negative control; NULL: none */
    double rate; /* synthesis: how many times as many calls a second were asked for; 0: 1 */
    const char
        *state; /* synthesis: the state that every window is to have; NULL: as the original */
};

struct kymo_proof {
    struct kymo_measure measure[KYMO_MEASURES_MAX];
    size_t n;
    struct kymo_mismatch *mismatch; /* [n_mismatches] most first; owned */
    size_t n_mismatches;
    /* 1 faithful, 0 deviated, -1 inconclusive: rows were lost, or a gated measure could not be taken */
    int verdict;
};

/*
 * Hold a replay against what it replays. `again` is a re-recording after kymo_recording_clean().
 *
 * out     release it; untouched on an error
 * errors  ECORRUPT: a plan that is not of this trace; ELIMIT; those of reading captures and the model
 * cost    O(n log n) for n calls, and edits times calls where threads differ (bounded); 100 bytes a call
 */
KYMO_MUST_USE kymo_status kymo_proof_compare(struct kymo_proof *out,
                                             const struct kymo_trace *original,
                                             const struct kymo_trace *again,
                                             const struct kymo_proof_opts *o,
                                             struct kymo_err *err);
void kymo_proof_release(struct kymo_proof *p);

/* Distances between two traces, whatever they are of: for noise floors and negative controls too. */
struct kymo_distance {
    double jsd_call; /* Jensen-Shannon divergence in bits of call x result class, 0..1 */
    double jsd_gram; /* of 3-grams of calls along threads */
    double
        ks_gap; /* Kolmogorov-Smirnov distance of the gaps between beginnings of a thread's calls, to
                      the resolution of KYMO_GAP_RESOLUTION_NS; NaN: there are none */
    double rate_ratio; /* calls a second of b by those of a; NaN: a has no extent */
};
/* Gaps that differ by less are alike: that much it costs to be recorded, to enter a call and to look at the
 * clock, which differs between a program and whoever plays it. */
#define KYMO_GAP_RESOLUTION_NS 1000u
KYMO_MUST_USE kymo_status kymo_distance(struct kymo_distance *out, const struct kymo_trace *a,
                                        const struct kymo_trace *b, struct kymo_err *err);

enum kymo_proof_form { KYMO_PROOF_TEXT, KYMO_PROOF_JSONL, KYMO_PROOF_JUNIT };
/* original is borrowed, and may be NULL. Whether it could be written, ferror(out) tells. */
void kymo_proof_print(const struct kymo_proof *p, const struct kymo_trace *original,
                      enum kymo_proof_form form, FILE *out);

#endif
