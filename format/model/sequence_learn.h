/* SPDX-License-Identifier: Apache-2.0
 * sequence_learn.h: behaviours out of the rows of a capture, each of a stretch of time that the caller names.
 */
#ifndef KYMO_MODEL_SEQUENCE_LEARN_H
#define KYMO_MODEL_SEQUENCE_LEARN_H

#include "format/model/sequence.h"
#include "format/trace/batch.h"

/* The rows of a step of time and an entity; see feature.h. */
struct kymo_stretch {
    uint64_t start_ns, dur_ns;
    uint32_t capture;
    const char *entity; /* arena */
    struct kymo_behaviour is;
};
#define KYMO_STRETCH_NONE UINT32_MAX

struct kymo_sequence_learner; /* owned */

/*
 * cap_bytes  what the stretches may take. Past it every second one is forgotten, and from then on every second
 *            one is not learned: what is left is a sample of the capture.
 */
KYMO_MUST_USE kymo_status kymo_sequence_open(struct kymo_sequence_learner **out,
                                             size_t cap_bytes, struct kymo_err *err);
void kymo_sequence_close(struct kymo_sequence_learner *l);
/* Another capture begins: its threads are others. */
KYMO_MUST_USE kymo_status kymo_sequence_begin(struct kymo_sequence_learner *l, uint32_t capture,
                                              struct kymo_err *err);

/* The stretch of an entity that begins at start_ns; KYMO_STRETCH_NONE: it is not learned. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_sequence_stretch(struct kymo_sequence_learner *l,
                                                uint64_t start_ns, uint64_t dur_ns,
                                                const char *entity, uint32_t *out,
                                                struct kymo_err *err);
/* Columns of table syscall that are looked at. */
extern const char *const kymo_sequence_columns[];
extern const size_t kymo_sequence_columns_n;
/*
 * Take in a chunk, in the order of the file: of syscall, in the order of time, with the stretch of every row
 * (KYMO_STRETCH_NONE: followed, but not counted); of process and fd, stretch NULL; others are passed over.
 */
KYMO_MUST_USE kymo_status kymo_sequence_chunk(struct kymo_sequence_learner *l,
                                              const struct kymo_batch *b,
                                              const uint32_t *stretch, struct kymo_err *err);

/* What was learned, in order of capture, time, entity; it stays the learner's. */
struct kymo_stretch *kymo_sequence_stretches(struct kymo_sequence_learner *l, size_t *n);
/* Of so many stretches one was learned. */
uint64_t kymo_sequence_every(const struct kymo_sequence_learner *l);
struct kymo_symbols *kymo_sequence_symbols(struct kymo_sequence_learner *l);

#endif
