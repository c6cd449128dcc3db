/* SPDX-License-Identifier: Apache-2.0
 * pairs.h: recordings that tell a call's entry and its exit apart: the entries wait here for their exits.
 */
#ifndef KYMO_IMPORT_PAIRS_H
#define KYMO_IMPORT_PAIRS_H

#include "format/import/import.h"

#define KYMO_PAIRS_MAX 65536u     /* threads that are in a call */
#define KYMO_PAIRS_ANY UINT32_MAX /* an exit that does not say of which call it is */

struct kymo_pairs; /* owned: _open, _close */

/* Calls that never came back go to sink, borrowed. */
KYMO_MUST_USE kymo_status kymo_pairs_open(struct kymo_pairs **out, struct kymo_sink *sink,
                                          struct kymo_err *err);
void kymo_pairs_close(struct kymo_pairs *p);
/*
 * An entry: c has its time, task, key and what is known of its arguments; texts are copied. What its
 * thread was in until now never came back. tag is the importer's own, to know the exit by.
 */
KYMO_MUST_USE kymo_status kymo_pairs_enter(struct kymo_pairs *p,
                                           const struct kymo_import_call *c, uint32_t tag,
                                           struct kymo_err *err);
/*
 * An exit, of which c has time and task: filled in with the entry's key, arguments and the time since.
 * found  out: 0: the entry was not seen; c is as it was
 * texts  are borrowed until the next call
 */
KYMO_MUST_USE kymo_status kymo_pairs_exit(struct kymo_pairs *p, struct kymo_import_call *c,
                                          uint32_t tag, int *found, struct kymo_err *err);
/* The thread died: what it was in never came back. */
KYMO_MUST_USE kymo_status kymo_pairs_died(struct kymo_pairs *p, uint32_t tid,
                                          struct kymo_err *err);
/* The end of the recording, at ts_ns: those that are still in a call. */
KYMO_MUST_USE kymo_status kymo_pairs_finish(struct kymo_pairs *p, uint64_t ts_ns,
                                            struct kymo_err *err);

#endif
