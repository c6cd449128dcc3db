/* SPDX-License-Identifier: Apache-2.0
 * feature_run.h: one run over a capture, as its two halves share it: feature_run.c takes rows in,
 * feature_pane.c keeps panes and lets windows out. For those two alone.
 */
#ifndef KYMO_MODEL_FEATURE_RUN_H
#define KYMO_MODEL_FEATURE_RUN_H

#include <xxhash.h>

#include "format/base/arena.h"
#include "format/model/feature_group.h"

struct entity {
    uint64_t key;
    char *name; /* owned */
    uint64_t events;
    uint8_t *acc; /* owned, acc_bytes of the run */
};

/* What a capture can make us hold, where nobody bounds it otherwise. */
#define KYMO_FEATURE_BYTES_MAX ((size_t)2 << 30)

/* The entities of one step of time. */
struct pane {
    struct entity *entity; /* [n] in order of appearance */
    uint32_t n, cap;
    uint32_t *slot; /* open addressing: index + 1 into entity, 0 free */
    uint32_t slots;
    uint64_t seen, dropped; /* by the loss rows that reach into it */
};

struct cgroup_name {
    uint64_t id;
    char *path; /* owned */
};

struct open_mark {
    char *name; /* arena */
    uint64_t start_ns;
    int is_span; /* was begun as one: without an end it lasts as long as the capture */
};

struct kymo_feature_run {
    const struct kymo_feature_spec *spec;
    uint32_t capture;
    struct kymo_arena *arena;
    kymo_window_fn fn;
    void *ctx;

    size_t n_groups, acc_bytes;
    const struct kymo_feature_group *group[32];
    size_t at[32];  /* of the group's memory in an accumulator */
    uint8_t *trash; /* accumulator of rows that belong to no open window */
    uint8_t *merged;
    double *x;

    uint64_t step_ns;
    uint32_t window_panes;
    int has_origin;
    uint64_t origin_ns, end_ns, seal_ns;
    struct pane *pane; /* ring of panes first..first+n-1 */
    uint32_t pane_cap, pane_n;
    uint64_t pane_first;
    size_t in_flight_bytes, bytes_max; /* of all accumulators */

    struct kymo_thread_state *thread; /* open addressing by key */
    uint32_t thread_slots, thread_n;

    struct cgroup_name *cgroup;
    size_t cgroup_n, cgroup_cap;

    struct kymo_span *span; /* arena-backed names; array owned */
    size_t span_n, span_cap;
    struct open_mark *begun;
    size_t begun_n, begun_cap;

    int has_clock;
    uint64_t clock_ns, clock_real_ns;
    XXH3_state_t *hash;
    struct kymo_capture_facts facts;

    /* scratch, a chunk long */
    uint8_t **row_acc;
    uint32_t *task_thread, *task_pane_gen;
    struct entity_ref {
        uint64_t key;
        uint32_t entity; /* in the current pane */
    } * task_entity;
    struct kymo_call_kind *kind;
    uint32_t gen;
};

/* Whose row it is, and under which name; the name is only made where the entity is new. */
struct who {
    uint64_t key;
    uint64_t pid, start_ns, execseq, cgroup;
    const char *comm;
    size_t comm_bytes;
};

/* Say that memory is short. */
kymo_status kymo_feature_no_memory(struct kymo_err *err);
/* Grow an owned array so that one more fits; 0 when there is no memory. */
int kymo_feature_room(void **p, size_t *cap, size_t n, size_t item_bytes);

void kymo_acc_release(struct kymo_feature_run *r, uint8_t *acc);
void kymo_pane_release(struct kymo_feature_run *r, struct pane *p);

/* The first row of the capture sets where windows begin. */
void kymo_pane_origin(struct kymo_feature_run *r, uint64_t ts);
uint64_t kymo_pane_of(const struct kymo_feature_run *r, uint64_t ts);
/* The pane of this index, opened with all before it; NULL in *out: it has closed already. */
KYMO_MUST_USE kymo_status kymo_pane_get(struct kymo_feature_run *r, uint64_t index,
                                        uint64_t at_bytes, struct pane **out,
                                        struct kymo_err *err);
/* Work out w->key by the spec's entity, and find or make that entity in a pane. */
void kymo_entity_key(const struct kymo_feature_run *r, struct who *w);
KYMO_MUST_USE kymo_status kymo_entity_get(struct kymo_feature_run *r, struct pane *p,
                                          const struct who *w, uint32_t *index,
                                          struct kymo_err *err);
/* Close every window that ends at or before ts. */
KYMO_MUST_USE kymo_status kymo_pane_close_until(struct kymo_feature_run *r, uint64_t ts,
                                                uint64_t at_bytes, struct kymo_err *err);
/* Emit the window that begins with this pane; a host has one even when nothing happened. */
KYMO_MUST_USE kymo_status kymo_pane_emit(struct kymo_feature_run *r, uint64_t first,
                                         uint64_t dur_ns, struct kymo_err *err);

#endif
