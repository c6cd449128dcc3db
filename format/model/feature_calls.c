/* SPDX-License-Identifier: Apache-2.0
 * feature_calls.c: rows of calls into the accumulators of their entities.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/model/call_sums.h"
#include "format/model/fdcall.h"
#include "format/model/feature_run.h"

/* Bounds of what a capture can make us hold. */
#define THREADS_MAX (1u << 20) /* sequence states; past it all are forgotten */

static uint32_t *find_thread(struct kymo_thread_state *t, uint32_t slots, uint64_t key,
                             uint32_t *at)
{
    *at = (uint32_t)key & (slots - 1);
    while (t[*at].used && t[*at].key != key)
        *at = (*at + 1) & (slots - 1);
    return at;
}

static kymo_status grow_threads(struct kymo_feature_run *r, struct kymo_err *err)
{
    if (r->thread_n >= THREADS_MAX / 2) {
        memset(r->thread, 0, r->thread_slots * sizeof(*r->thread));
        r->thread_n = 0;
        return KYMO_OK;
    }
    const uint32_t slots = r->thread_slots ? r->thread_slots * 2 : 1024;
    struct kymo_thread_state *t = calloc(slots, sizeof(*t));
    if (!t)
        return kymo_feature_no_memory(err);
    for (uint32_t i = 0; i < r->thread_slots; i++) {
        uint32_t at;
        if (r->thread[i].used)
            t[*find_thread(t, slots, r->thread[i].key, &at)] = r->thread[i];
    }
    free(r->thread);
    r->thread = t;
    r->thread_slots = slots;
    return KYMO_OK;
}

/* Give every task of the chunk the slot of its thread. Room for all is made first, so that no slot
 * moves while the chunk is at work. */
static kymo_status find_threads(struct kymo_feature_run *r, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    while ((uint64_t)r->thread_n + b->n_tasks >= (uint64_t)r->thread_slots / 2)
        KYMO_TRY(grow_threads(r, err));
    for (uint32_t t = 0; t < b->n_tasks; t++) {
        const uint64_t tid = kymo_cell(b, KYMO_SYSCALL_TID, NULL, t);
        const uint64_t start = kymo_cell(b, KYMO_SYSCALL_START, NULL, t);
        const uint64_t key = kymo_mix64(kymo_mix64(tid + 1) ^ start);
        uint32_t at;
        find_thread(r->thread, r->thread_slots, key, &at);
        if (!r->thread[at].used) {
            memset(&r->thread[at], 0, sizeof(r->thread[at]));
            r->thread[at].used = 1;
            r->thread[at].key = key;
            r->thread_n++;
        }
        r->task_thread[t] = at;
    }
    return KYMO_OK;
}

/* Descriptors that a call's success makes or gives back. */
static void know_descriptors(struct kymo_call_kind *kind, const char *name)
{
    const struct kymo_fd_callinfo *f = kymo_fd_callinfo(name);
    if (!f)
        return;
    switch (f->op) {
    case KYMO_FD_OPENS:
    case KYMO_FD_MAKES:
    case KYMO_FD_ACCEPTS:
    case KYMO_FD_DUPS:
        kind->opens = 1;
        break;
    case KYMO_FD_PIPES:
        kind->opens = 2;
        break;
    case KYMO_FD_CLOSES:
    case KYMO_FD_CLOSES_RANGE:
        kind->closes = 1;
        break;
    default:
        break;
    }
}

void kymo_know_call(struct kymo_call_kind *kind, uint32_t arch, uint32_t nr)
{
    const struct kymo_sysinfo *info = kymo_sysinfo(arch, nr);
    char unknown[32];
    if (!info)
        snprintf(unknown, sizeof(unknown), "%x.%u", arch, nr);
    const char *name = info ? info->name : unknown;
    memset(kind, 0, sizeof(*kind));
    kind->cls = info ? info->cls : KYMO_CLASS_OTHER;
    kind->family = kymo_call_family(name);
    kind->hash = (uint32_t)XXH3_64bits(name, strlen(name));
    kind->moves = kind->cls == KYMO_CLASS_READ    ? KYMO_MOVES_IN
                  : kind->cls == KYMO_CLASS_WRITE ? KYMO_MOVES_OUT
                                                  : KYMO_MOVES_NOTHING;
    know_descriptors(kind, name);
}

static void know_calls(struct kymo_feature_run *r, const struct kymo_batch *b)
{
    for (uint32_t k = 0; k < b->n_keys; k++)
        kymo_know_call(&r->kind[k], (uint32_t)kymo_cell(b, KYMO_SYSCALL_ARCH, NULL, k),
                       (uint32_t)kymo_cell(b, KYMO_SYSCALL_NR, NULL, k));
}

/* Zeroed room for what is worked out of each string of the chunk. */
static kymo_status clear_texts(struct kymo_feature_run *r, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    if (b->str.n > r->text_cap) {
        free(r->text);
        r->text_cap = 0;
        r->text = calloc(b->str.n, sizeof(*r->text));
        if (!r->text)
            return kymo_feature_no_memory(err);
        r->text_cap = b->str.n;
    } else if (b->str.n) {
        memset(r->text, 0, b->str.n * sizeof(*r->text));
    }
    return KYMO_OK;
}

static void task_who(const struct kymo_batch *b, uint32_t task, struct who *w)
{
    w->pid = kymo_cell(b, KYMO_SYSCALL_PID, NULL, task);
    w->start_ns = kymo_cell(b, KYMO_SYSCALL_START, NULL, task);
    w->execseq = kymo_cell(b, KYMO_SYSCALL_EXECSEQ, NULL, task);
    w->cgroup = kymo_cell(b, KYMO_SYSCALL_CGROUP, NULL, task);
    w->comm = kymo_cell_text(b, kymo_cell(b, KYMO_SYSCALL_COMM, NULL, task), &w->comm_bytes);
}

/* The entity of a task in this pane, looked up at the first row of both in the chunk. */
static kymo_status task_in_pane(struct kymo_feature_run *r, const struct kymo_batch *b,
                                uint32_t task, struct pane *p, uint64_t at,
                                struct kymo_err *err)
{
    struct who w = {0};
    uint32_t index;
    task_who(b, task, &w);
    kymo_entity_key(r, &w);
    KYMO_TRY(kymo_entity_get(r, p, &w, &index, err));
    for (size_t g = 0; g < r->n_groups; g++)
        if (r->group[g]->task)
            r->group[g]->task(p->entity[index].acc + r->at[g], w.pid,
                              kymo_cell(b, KYMO_SYSCALL_TID, NULL, task));
    r->task_entity[task].entity = index;
    r->task_pane_gen[task] = r->gen;
    if (r->sequence)
        return kymo_sequence_stretch(r->sequence, r->origin_ns + at * r->step_ns, r->step_ns,
                                     p->entity[index].name, &r->task_stretch[task], err);
    return KYMO_OK;
}

/* Point every row at its accumulator. */
static kymo_status place_rows(struct kymo_feature_run *r, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    const uint64_t *ts = b->lane[KYMO_SYSCALL_TS];
    uint64_t lo = 1, hi = 0, index = 0; /* bounds of the current pane; none yet */
    struct pane *p = NULL;
    memset(r->task_pane_gen, 0, b->n_tasks * sizeof(*r->task_pane_gen));
    r->gen = 0;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (ts[i] < lo || ts[i] >= hi) {
            index = kymo_pane_of(r, ts[i]);
            KYMO_TRY(kymo_pane_get(r, index, b->at_bytes, &p, err));
            lo = index ? r->origin_ns + index * r->step_ns : 0;
            hi = r->origin_ns + (index + 1) * r->step_ns;
            r->gen++;
        }
        if (!p) {
            r->facts.late++;
            r->row_acc[i] = r->trash;
            if (r->sequence)
                r->row_stretch[i] = KYMO_STRETCH_NONE;
            continue;
        }
        const uint32_t task = b->task[i];
        if (r->task_pane_gen[task] != r->gen)
            KYMO_TRY(task_in_pane(r, b, task, p, index, err));
        struct entity *e = &p->entity[r->task_entity[task].entity];
        e->events++;
        r->row_acc[i] = e->acc;
        if (r->sequence)
            r->row_stretch[i] = r->task_stretch[task];
    }
    return KYMO_OK;
}

kymo_status kymo_take_calls(struct kymo_feature_run *r, const struct kymo_batch *b,
                            struct kymo_err *err)
{
    r->facts.rows += b->n_rows;
    r->facts.from |= KYMO_FROM_CALLS;
    know_calls(r, b);
    KYMO_TRY(clear_texts(r, b, err));
    KYMO_TRY(find_threads(r, b, err));
    KYMO_TRY(place_rows(r, b, err));
    const struct kymo_call_rows rows = {
        .b = b,
        .kind = r->kind,
        .acc = r->row_acc,
        .thread = r->task_thread,
        .state = r->thread,
        .text = r->text,
        .vocabulary = r->spec->vocabulary,
        .fit = r->fit,
        .pane_ns = r->step_ns,
    };
    for (size_t g = 0; g < r->n_groups; g++)
        if (r->group[g]->calls)
            r->group[g]->calls(r->at[g], &rows);
    return r->sequence ? kymo_sequence_chunk(r->sequence, b, r->row_stretch, err) : KYMO_OK;
}
