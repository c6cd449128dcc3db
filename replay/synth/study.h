/* SPDX-License-Identifier: Apache-2.0
 * study.h: the behaviour of a capture, or of a part of it.
 */
#ifndef KYMO_SYNTH_STUDY_H
#define KYMO_SYNTH_STUDY_H

#include "format/model/sequence_learn.h"

struct kymo_study_opts {
    uint64_t since_ns, until_ns; /* from the start of the capture; until 0: to its end */
    const char *mark;            /* within the spans of this name alone, or NULL */
};

/*
 * Read a capture.
 *
 * learner  out, owned: kymo_sequence_close() it; it has the symbols
 * is       out: what it did; kymo_behaviour_release() it
 * errors   those of a reader; EINPUT: no calls there, or no such mark
 */
KYMO_MUST_USE kymo_status kymo_study(const char *path, const struct kymo_study_opts *o,
                                     struct kymo_sequence_learner **learner,
                                     struct kymo_behaviour *is, struct kymo_err *err);

#endif
