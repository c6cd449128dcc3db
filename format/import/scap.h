/* SPDX-License-Identifier: Apache-2.0
 * scap.h: the parts of the scap importer: blocks (scap.c), what events mean (scap_calls.c), which events there
 * are (scap_events.c).
 */
#ifndef KYMO_IMPORT_SCAP_H
#define KYMO_IMPORT_SCAP_H

#include "format/import/pairs.h"
#include "format/import/scap_events.h"

#define KYMO_SCAP_PARAMS_MAX 32u

struct kymo_scap_param {
    const uint8_t *p;
    uint32_t n;
};

struct kymo_scap_record {
    uint64_t ts_ns;
    uint32_t tid, cpu;
    uint16_t type;
    uint32_t n;
    struct kymo_scap_param param[KYMO_SCAP_PARAMS_MAX];
};

struct kymo_scap {
    struct kymo_input *in;  /* borrowed */
    struct kymo_sink *sink; /* borrowed */
    uint32_t arch;
    bool begun;
    uint64_t now_ns, block_at;
    struct kymo_pairs *pairs;
    uint64_t events, kernel, internal, unknown;
    uint8_t
        *list; /* owned: the processes at the start, until the first event says when that was */
    size_t list_bytes;
    uint32_t list_form;
    struct kymo_buf argv;
};

KYMO_MUST_USE kymo_status kymo_scap_take_enter(struct kymo_scap *s,
                                               const struct kymo_scap_record *e,
                                               const struct kymo_scap_event *t,
                                               struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_scap_take_exit(struct kymo_scap *s,
                                              const struct kymo_scap_record *e,
                                              const struct kymo_scap_event *t,
                                              struct kymo_err *err);
/* The death of a task. */
KYMO_MUST_USE kymo_status kymo_scap_take_death(struct kymo_scap *s,
                                               const struct kymo_scap_record *e,
                                               struct kymo_err *err);
/* A process that was there; p->argv: its arguments with their zeros. */
KYMO_MUST_USE kymo_status kymo_scap_tell_process(struct kymo_scap *s,
                                                 struct kymo_import_process *p,
                                                 struct kymo_err *err);

#endif
