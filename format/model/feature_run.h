/* SPDX-License-Identifier: Apache-2.0
 * feature_run.h: one run over a capture, as its parts share it: feature_run.c leads, feature_calls.c takes
 * rows of calls in, feature_rows.c those of the other tables, feature_entity.c knows whose they are,
 * feature_pane.c keeps panes and lets windows out. For those alone.
 */
#ifndef KYMO_MODEL_FEATURE_RUN_H
#define KYMO_MODEL_FEATURE_RUN_H

#include <xxhash.h>

#include "format/base/arena.h"
#include "format/model/feature_group.h"
#include "format/model/sequence_learn.h"

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

/* What is known of a process; of a name only its hash, but for the executable. */
struct known_process {
    uint64_t key; /* 0: free */
    uint64_t start_ns, execseq, cgroup, comm_hash;
    uint32_t exe; /* index of its path, 0: not known */
};

/* Two generations of processes: when the young one is full it becomes the old one, and what was not met
 * since then is forgotten. */
struct process_map {
    struct known_process *slot[2]; /* [PROCESS_SLOTS] owned, or NULL */
    uint32_t n;                    /* in the young one */
};

struct cgroup_name {
    uint64_t id, container, pod; /* hashes of their names */
    char *path;                  /* owned; NULL: free */
};

struct cgroup_map {
    struct cgroup_name *slot; /* owned, open addressing by id */
    uint32_t n, slots;
};

/* Texts, each once; index 0 is "". */
struct text_set {
    char **text;    /* [n] owned */
    uint32_t *slot; /* [slots] index, 0 free */
    uint64_t *hash; /* [n] */
    uint32_t n, cap, slots;
};

/* Descriptors of an entity at a snapshot. */
struct opened {
    uint64_t key;
    uint64_t n[KYMO_OPEN_KINDS];
};

struct open_snapshot {
    uint64_t ts_ns;
    struct opened *of; /* owned, [n] by key once sorted */
    size_t n, cap;
    int is_sorted;
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

    struct process_map process;
    struct text_set exe;
    struct cgroup_map cgroup;
    struct open_snapshot *snapshot;            /* owned, [snapshot_n] in the order of time */
    size_t snapshot_n, snapshot_cap, opened_n; /* entities of all snapshots */
    struct kymo_vocabulary_fit *fit;           /* borrowed; NULL: nothing is learned */
    struct kymo_sequence_learner *sequence;    /* borrowed; NULL: no sequences are learned */

    struct kymo_span *span; /* arena-backed names; array owned */
    size_t span_n, span_cap;
    struct open_mark *begun;
    size_t begun_n, begun_cap;

    int has_clock;
    uint64_t clock_ns, clock_real_ns;
    uint64_t count_dur_ns;     /* of the last row of table count */
    uint64_t counted_until_ns; /* the last end of one */
    uint64_t
        hold_ns; /* calls after it were counted, and their rows have yet to come; 0: none */
    XXH3_state_t *hash;
    struct kymo_capture_facts facts;

    /* scratch, a chunk long */
    uint8_t **row_acc;
    uint32_t *task_thread, *task_pane_gen;
    uint32_t *row_stretch, *task_stretch; /* where sequences are learned, else NULL */
    struct entity_ref {
        uint64_t key;
        uint32_t entity; /* in the current pane */
    } * task_entity;
    struct kymo_call_kind *kind;
    struct kymo_text_hash *text; /* [text_cap] */
    size_t text_cap;
    uint32_t gen;
};

/* Whose row it is, and under which name; the name is only made where the entity is new. */
struct who {
    uint64_t key;
    uint64_t pid, start_ns, execseq, cgroup;
    const char *comm;
    size_t comm_bytes;
    uint32_t exe; /* index of its path, 0: not known */
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
void kymo_entity_key(struct kymo_feature_run *r, struct who *w);
#define KYMO_ENTITY_NAME_MAX 384u
void kymo_entity_name(const struct kymo_feature_run *r, const struct who *w,
                      char out[KYMO_ENTITY_NAME_MAX]);
void kymo_entities_release(struct kymo_feature_run *r);
/* Remember a process, its pid's last one; exe NULL: as it was. What finds no memory is not known. */
void kymo_entity_learn(struct kymo_feature_run *r, const struct who *w, const char *exe,
                       size_t exe_bytes);
/* A child runs what its parent runs. */
void kymo_entity_fork(struct kymo_feature_run *r, const struct who *w, uint64_t ppid);
/* Fill in what is known of w->pid, or of the pid that started at w->start_ns: its last exec sequence,
 * cgroup, executable; the key by which its windows go. 0: not known. */
int kymo_entity_recall(struct kymo_feature_run *r, struct who *w);
KYMO_MUST_USE kymo_status kymo_entity_cgroup(struct kymo_feature_run *r, uint64_t id,
                                             const char *path, size_t n, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_entity_get(struct kymo_feature_run *r, struct pane *p,
                                          const struct who *w, uint32_t *index,
                                          struct kymo_err *err);
/* Close every window that ends at or before ts. */
KYMO_MUST_USE kymo_status kymo_pane_close_until(struct kymo_feature_run *r, uint64_t ts,
                                                uint64_t at_bytes, struct kymo_err *err);
/* Emit the window that begins with this pane; a host has one even when nothing happened. */
KYMO_MUST_USE kymo_status kymo_pane_emit(struct kymo_feature_run *r, uint64_t first,
                                         uint64_t dur_ns, struct kymo_err *err);

/* Rows of the other tables. */
KYMO_MUST_USE kymo_status kymo_take_calls(struct kymo_feature_run *r,
                                          const struct kymo_batch *b, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_take_processes(struct kymo_feature_run *r,
                                              const struct kymo_batch *b, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_take_counts(struct kymo_feature_run *r,
                                           const struct kymo_batch *b, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_take_count_errors(struct kymo_feature_run *r,
                                                 const struct kymo_batch *b,
                                                 struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_take_opens(struct kymo_feature_run *r,
                                          const struct kymo_batch *b, struct kymo_err *err);
/* What entity key had open before end_ns. */
void kymo_opens_of(struct kymo_feature_run *r, uint64_t key, uint64_t end_ns,
                   uint64_t n[KYMO_OPEN_KINDS]);
/* Snapshots that no window from ts on needs. */
void kymo_opens_forget(struct kymo_feature_run *r, uint64_t ts_ns);
void kymo_opens_forget_all(struct kymo_feature_run *r);

/* A cell, 0 where its column is not there; index maps a row to a task or key, or is NULL. */
static inline uint64_t kymo_cell(const struct kymo_batch *b, uint32_t column,
                                 const uint32_t *index, uint32_t i)
{
    const uint64_t *lane = column < b->schema->n_columns ? b->lane[column] : NULL;
    return lane ? lane[index ? index[i] : i] : 0;
}
/* Is the cell of a nullable column there? */
static inline int kymo_has_cell(const struct kymo_batch *b, uint32_t column, uint32_t i)
{
    return column < b->schema->n_columns && b->lane[column] &&
           (!b->present[column] || b->present[column][i]);
}
static inline const char *kymo_cell_text(const struct kymo_batch *b, uint64_t id, size_t *n)
{
    const int there = b->str.bytes && id < b->str.n;
    *n = there ? b->str.at[id + 1] - b->str.at[id] : 0;
    return there ? b->str.bytes + b->str.at[id] : "";
}
int kymo_is_text(const struct kymo_batch *b, uint64_t id, const char *word);
void kymo_know_call(struct kymo_call_kind *kind, uint32_t arch, uint32_t nr);

#endif
