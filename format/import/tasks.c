/* SPDX-License-Identifier: Apache-2.0
 * Tasks by tid: a hash with linear probing; a task that exited is taken out, so that what is held is what
 * lives.
 */
#include <stdlib.h>
#include <string.h>

#include "format/import/sink.h"

#define SLOTS_MIN 1024u

struct kymo_tasks {
    struct kymo_task *slot; /* [slots] */
    uint32_t slots, n;      /* slots: a power of two */
    uint32_t chunk;
};

static uint32_t home(const struct kymo_tasks *t, uint32_t tid)
{
    return (uint32_t)((tid * 0x9E3779B97F4A7C15ull) >> 32) & (t->slots - 1);
}

/* The slot of a tid: where it is, or where it would go. */
static struct kymo_task *slot_of(const struct kymo_tasks *t, uint32_t tid)
{
    uint32_t i = home(t, tid);
    while (t->slot[i].used && t->slot[i].tid != tid)
        i = (i + 1) & (t->slots - 1);
    return &t->slot[i];
}

kymo_status kymo_tasks_open(struct kymo_tasks **out, struct kymo_err *err)
{
    struct kymo_tasks *t = calloc(1, sizeof(*t));
    struct kymo_task *slot = calloc(SLOTS_MIN, sizeof(*slot));
    if (!t || !slot) {
        free(t);
        free(slot);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    }
    *t = (struct kymo_tasks){.slot = slot, .slots = SLOTS_MIN, .chunk = 1};
    *out = t;
    return KYMO_OK;
}

void kymo_tasks_close(struct kymo_tasks *t)
{
    if (t)
        free(t->slot);
    free(t);
}

void kymo_tasks_next_chunk(struct kymo_tasks *t)
{
    t->chunk++;
}

static kymo_status grow(struct kymo_tasks *t, struct kymo_err *err)
{
    if (t->slots >= 2 * KYMO_IMPORT_TASKS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u tasks live at once",
                         KYMO_IMPORT_TASKS_MAX);
    struct kymo_tasks bigger = *t;
    bigger.slots = 2 * t->slots;
    bigger.slot = calloc(bigger.slots, sizeof(*bigger.slot));
    if (!bigger.slot)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u tasks", t->n);
    for (uint32_t i = 0; i < t->slots; i++)
        if (t->slot[i].used)
            *slot_of(&bigger, t->slot[i].tid) = t->slot[i];
    free(t->slot);
    *t = bigger;
    return KYMO_OK;
}

static kymo_status find_or_add(struct kymo_tasks *t, uint32_t tid, struct kymo_task **out,
                               struct kymo_err *err)
{
    struct kymo_task *task = slot_of(t, tid);
    if (!task->used) {
        if (t->n >= t->slots / 2) {
            KYMO_TRY(grow(t, err));
            task = slot_of(t, tid);
        }
        *task = (struct kymo_task){.tid = tid, .pid = tid, .used = 1};
        t->n++;
    }
    *out = task;
    return KYMO_OK;
}

/* Empty a slot; those behind it that would no longer be found move up. */
static void forget(struct kymo_tasks *t, struct kymo_task *task)
{
    uint32_t hole = (uint32_t)(task - t->slot);
    for (uint32_t i = (hole + 1) & (t->slots - 1); t->slot[i].used;
         i = (i + 1) & (t->slots - 1)) {
        const uint32_t from_home = (i - home(t, t->slot[i].tid)) & (t->slots - 1);
        const uint32_t from_hole = (i - hole) & (t->slots - 1);
        if (from_home < from_hole)
            continue;
        t->slot[hole] = t->slot[i];
        hole = i;
    }
    t->slot[hole].used = 0;
    t->n--;
}

kymo_status kymo_tasks_thread(struct kymo_tasks *t, uint32_t tid, uint32_t pid,
                              struct kymo_err *err)
{
    struct kymo_task *task;
    KYMO_TRY(find_or_add(t, tid, &task, err));
    if (task->pid != pid)
        task->chunk = 0;
    task->pid = pid;
    return KYMO_OK;
}

uint32_t kymo_tasks_pid(const struct kymo_tasks *t, uint32_t tid)
{
    const struct kymo_task *task = slot_of(t, tid);
    return task->used ? task->pid : tid;
}

static void set_comm(struct kymo_task *task, struct kymo_text comm)
{
    char fixed[KYMO_IMPORT_COMM_BYTES] = {0};
    if (!comm.p)
        return;
    memcpy(fixed, comm.p, comm.n < sizeof(fixed) ? comm.n : sizeof(fixed));
    if (memcmp(fixed, task->comm, sizeof(fixed)) == 0)
        return;
    memcpy(task->comm, fixed, sizeof(fixed));
    task->chunk = 0;
}

/* A task begins as its parent is, but for what is its own. */
static void inherit(struct kymo_task *task, const struct kymo_task *parent,
                    const struct kymo_import_process *p)
{
    const int thread = p->pid && p->pid != p->tid;
    memcpy(task->comm, parent->comm, sizeof(task->comm));
    task->uid = parent->uid;
    task->gid = parent->gid;
    task->ppid = thread ? parent->ppid : p->ppid;
    task->start_ns = thread ? parent->start_ns : p->start_ns;
    task->exec_seq = parent->exec_seq;
}

kymo_status kymo_tasks_learn(struct kymo_tasks *t, const struct kymo_import_process *p,
                             struct kymo_task *out, struct kymo_err *err)
{
    struct kymo_task *task;
    KYMO_TRY(find_or_add(t, p->tid, &task, err));
    const struct kymo_task *parent = slot_of(t, p->ppid);
    if (p->kind == KYMO_IMPORT_FORK && parent->used && parent != task)
        inherit(task, parent, p);
    task->chunk = 0;
    task->pid = p->pid ? p->pid : task->pid;
    task->ppid = p->ppid ? p->ppid : task->ppid;
    task->start_ns = p->start_ns ? p->start_ns : task->start_ns;
    if (p->has_ids) {
        task->uid = p->uid;
        task->gid = p->gid;
    }
    task->exec_seq += p->kind == KYMO_IMPORT_EXEC;
    set_comm(task, p->comm);
    *out = *task;
    if (p->kind == KYMO_IMPORT_EXIT)
        forget(t, task);
    return KYMO_OK;
}

kymo_status kymo_tasks_row(struct kymo_tasks *t, struct kymo_rows *r,
                           const struct kymo_import_call *c, uint32_t *row,
                           struct kymo_err *err)
{
    struct kymo_task *task;
    KYMO_TRY(find_or_add(t, c->tid, &task, err));
    if (c->pid && c->pid != task->pid) {
        task->pid = c->pid;
        task->chunk = 0;
    }
    set_comm(task, c->comm);
    *row = task->row;
    if (task->chunk == t->chunk)
        return KYMO_OK;
    *row = kymo_rows_add_task(r);
    if (*row == UINT32_MAX)
        return KYMO_OK;
    r->lane[KYMO_SYSCALL_PID][*row] = task->pid;
    r->lane[KYMO_SYSCALL_TID][*row] = task->tid;
    r->lane[KYMO_SYSCALL_COMM][*row] =
        kymo_rows_intern(r, task->comm, strnlen(task->comm, sizeof(task->comm)));
    r->lane[KYMO_SYSCALL_CGROUP][*row] = 0;
    r->lane[KYMO_SYSCALL_START][*row] = task->start_ns;
    r->lane[KYMO_SYSCALL_EXECSEQ][*row] = task->exec_seq;
    task->chunk = t->chunk;
    task->row = *row;
    return KYMO_OK;
}
