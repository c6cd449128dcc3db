/* SPDX-License-Identifier: Apache-2.0
 * sink.h: the sink's two memories, tasks by tid and keys by (arch, number), which both know their place in
 * the chunk that is being filled; and the filling of rows.
 */
#ifndef KYMO_IMPORT_SINK_H
#define KYMO_IMPORT_SINK_H

#include "format/import/import.h"

#define KYMO_IMPORT_TEXT_MAX 4096u
#define KYMO_IMPORT_COMM_BYTES 16u
#define KYMO_IMPORT_TASKS_MAX (1u << 22)
#define KYMO_IMPORT_KEYS_MAX 16384u

struct kymo_task {
    uint64_t start_ns, exec_seq;
    uint32_t tid, pid, ppid, uid, gid;
    uint32_t chunk, row; /* serial of the chunk that `row` is of; 0 never */
    uint8_t used;
    char comm[KYMO_IMPORT_COMM_BYTES]; /* no NUL when it is full */
};

struct kymo_tasks; /* owned */

KYMO_MUST_USE kymo_status kymo_tasks_open(struct kymo_tasks **out, struct kymo_err *err);
void kymo_tasks_close(struct kymo_tasks *t);
void kymo_tasks_next_chunk(struct kymo_tasks *t);
KYMO_MUST_USE kymo_status kymo_tasks_thread(struct kymo_tasks *t, uint32_t tid, uint32_t pid,
                                            struct kymo_err *err);
uint32_t kymo_tasks_pid(const struct kymo_tasks *t, uint32_t tid);
/* What an event of a process says of it; out: the task as it then is. An exit forgets it. */
KYMO_MUST_USE kymo_status kymo_tasks_learn(struct kymo_tasks *t,
                                           const struct kymo_import_process *p,
                                           struct kymo_task *out, struct kymo_err *err);
/* The chunk's row of the call's task, UINT32_MAX when the chunk has no room for it. */
KYMO_MUST_USE kymo_status kymo_tasks_row(struct kymo_tasks *t, struct kymo_rows *r,
                                         const struct kymo_import_call *c, uint32_t *row,
                                         struct kymo_err *err);

struct kymo_keys; /* owned */

KYMO_MUST_USE kymo_status kymo_keys_open(struct kymo_keys **out, struct kymo_err *err);
void kymo_keys_close(struct kymo_keys *k);
void kymo_keys_next_chunk(struct kymo_keys *k);
/* in_chunk: key is its place in this chunk; is_new: never asked for before. */
KYMO_MUST_USE kymo_status kymo_keys_find(struct kymo_keys *k, uint32_t arch, uint32_t nr,
                                         uint16_t *key, int *in_chunk, int *is_new,
                                         struct kymo_err *err);
void kymo_keys_set(struct kymo_keys *k, uint32_t arch, uint32_t nr, uint16_t key);
KYMO_MUST_USE kymo_status kymo_keys_by_name(struct kymo_keys *k, uint32_t arch,
                                            const char *name, size_t n, uint32_t *arch_out,
                                            uint32_t *nr, struct kymo_err *err);
/* NULL: a number nobody has a name for. Borrowed. */
const char *kymo_keys_name(const struct kymo_keys *k, uint32_t arch, uint32_t nr);

/* The cells of row i, which is fresh; task and key are the caller's. */
void kymo_sink_fill_call(struct kymo_rows *r, uint32_t i, const struct kymo_import_call *c);
void kymo_sink_fill_process(struct kymo_rows *r, uint32_t i,
                            const struct kymo_import_process *p, const struct kymo_task *t);
void kymo_sink_fill_packet(struct kymo_rows *r, uint32_t i, const struct kymo_import_packet *p);

#endif
