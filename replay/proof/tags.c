/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proof/tags.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/schema.h"
#include "replay/plan/compile.h"

#define TAGS_BYTES_MAX ((size_t)1 << 30)

/* A process: its pid in the re-recording, and which of the plan it is. */
struct process {
    uint64_t pid, start_ns;
    uint32_t index;
};

struct kymo_tags {
    const struct kymo_image *image;
    struct kymo_arena arena;
    struct kymo_tagged *
        *slot; /* owned, open addressing by pid, start, tid; at most half full */
    size_t slots, n;
    struct process
        *process; /* owned, [n_processes] in the order in which their scripts begin */
    size_t n_processes, cap_processes;
    uint64_t n_tags;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the threads of a re-recording pass the memory budget");
}

kymo_status kymo_tags_open(struct kymo_tags **out, const struct kymo_image *image,
                           struct kymo_err *err)
{
    struct kymo_tags *t = calloc(1, sizeof(*t));
    if (!t)
        return no_memory(err);
    t->image = image;
    kymo_arena_init(&t->arena, TAGS_BYTES_MAX);
    *out = t;
    return KYMO_OK;
}

void kymo_tags_close(struct kymo_tags *t)
{
    if (!t)
        return;
    kymo_arena_release(&t->arena);
    free(t->slot);
    free(t->process);
    free(t);
}

/* -------- threads -------- */

static struct kymo_tagged **slot_of(struct kymo_tagged **slot, size_t slots, uint64_t pid,
                                    uint64_t start_ns, uint64_t tid)
{
    uint64_t h = (pid * 0x9e3779b97f4a7c15u) ^ (tid * 0xc2b2ae3d27d4eb4fu) ^
                 (start_ns * 0x165667b19e3779f9u);
    h ^= h >> 29;
    size_t at = (size_t)h & (slots - 1);
    while (slot[at] &&
           (slot[at]->tid != tid || slot[at]->pid != pid || slot[at]->start_ns != start_ns))
        at = (at + 1) & (slots - 1);
    return &slot[at];
}

static kymo_status grow(struct kymo_tags *t, struct kymo_err *err)
{
    const size_t slots = t->slots ? 2 * t->slots : 256;
    struct kymo_tagged **slot = calloc(slots, sizeof(struct kymo_tagged *));
    if (!slot)
        return no_memory(err);
    for (size_t i = 0; i < t->slots; i++)
        if (t->slot[i])
            *slot_of(slot, slots, t->slot[i]->pid, t->slot[i]->start_ns, t->slot[i]->tid) =
                t->slot[i];
    free(t->slot);
    t->slot = slot;
    t->slots = slots;
    return KYMO_OK;
}

struct kymo_tagged *kymo_tags_find(struct kymo_tags *t, uint64_t pid, uint64_t start_ns,
                                   uint64_t tid)
{
    return t->slots ? *slot_of(t->slot, t->slots, pid, start_ns, tid) : NULL;
}

kymo_status kymo_tags_thread(struct kymo_tags *t, uint64_t pid, uint64_t start_ns, uint64_t tid,
                             struct kymo_tagged **out, struct kymo_err *err)
{
    if (2 * t->n >= t->slots)
        KYMO_TRY(grow(t, err));
    struct kymo_tagged **slot = slot_of(t->slot, t->slots, pid, start_ns, tid);
    if (!*slot) {
        *slot = KYMO_NEW(&t->arena, struct kymo_tagged, 1);
        if (!*slot)
            return no_memory(err);
        **slot = (struct kymo_tagged){.pid = pid,
                                      .start_ns = start_ns,
                                      .tid = tid,
                                      .first = KYMO_NONE,
                                      .actor = KYMO_NONE};
        t->n++;
    }
    *out = *slot;
    return KYMO_OK;
}

/* -------- rows -------- */

static int is_tag(const struct kymo_tag_row *r)
{
    return r->arg[0] == KYMO_STAGE_TAG && !strcmp(r->call, "prctl");
}

/* Waiting and pacing of the stage's own: its words and times lie in control memory. */
static int is_of_stage(const struct kymo_tag_row *r)
{
    static const char *const own[] = {"futex", "clock_nanosleep", "clock_gettime"};
    size_t i = 0;
    while (i < KYMO_COUNT_OF(own) && strcmp(r->call, own[i]) != 0)
        i++;
    for (int k = 0; i < KYMO_COUNT_OF(own) && k < 6; k++)
        if (r->arg[k] >= KYMO_CONTROL_BASE &&
            r->arg[k] - KYMO_CONTROL_BASE < KYMO_CONTROL_BYTES_MAX)
            return 1;
    return 0;
}

/* What a row says about the thread; 1: it is a tag. */
static int follow(struct kymo_tagged *th, const struct kymo_tag_row *r)
{
    if (!is_tag(r))
        return 0;
    th->is_inside = (uint8_t)(r->arg[1] == KYMO_TAG_BEGIN);
    if (th->is_inside) {
        th->actor = (uint32_t)r->arg[2];
        th->is_execed = 0;
    }
    return 1;
}

static kymo_status add_name(struct kymo_tags *t, struct kymo_tagged *th, const char *comm,
                            size_t bytes, struct kymo_err *err)
{
    struct kymo_exec_name *n = KYMO_NEW(&t->arena, struct kymo_exec_name, 1);
    if (!n)
        return no_memory(err);
    n->comm = kymo_arena_str(&t->arena, comm, bytes);
    if (!n->comm)
        return no_memory(err);
    if (th->last)
        th->last->next = n;
    else
        th->name = n;
    th->last = n;
    return KYMO_OK;
}

static kymo_status add_process(struct kymo_tags *t, const struct kymo_tagged *th,
                               uint32_t index, struct kymo_err *err)
{
    for (size_t i = t->n_processes; i-- > 0;)
        if (t->process[i].pid == th->pid && t->process[i].start_ns == th->start_ns)
            return KYMO_OK;
    if (t->n_processes == t->cap_processes) {
        const size_t cap = t->cap_processes ? 2 * t->cap_processes : 64;
        struct process *p = realloc(t->process, cap * sizeof(*p));
        if (!p)
            return no_memory(err);
        t->process = p;
        t->cap_processes = cap;
    }
    t->process[t->n_processes++] = (struct process){th->pid, th->start_ns, index};
    return KYMO_OK;
}

kymo_status kymo_tags_learn(struct kymo_tags *t, struct kymo_tagged *th,
                            const struct kymo_tag_row *r, struct kymo_err *err)
{
    const struct kymo_iactor *actor = kymo_image_at(t->image, t->image->actor);
    const int was_execed = th->is_execed;
    if (th->is_inside && r->flags & KYMO_CALL_EXECED) {
        th->is_execed = 1;
        th->is_inside = 0;
        return KYMO_OK;
    }
    if (!is_tag(r))
        return KYMO_OK;
    if (r->arg[1] == KYMO_TAG_BEGIN && (!r->arg[2] || r->arg[2] >= t->image->actor.n))
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                         "the re-recording is of another plan: it has no actor %llu",
                         (unsigned long long)r->arg[2]);
    (void)follow(th, r);
    if (!th->is_inside)
        return KYMO_OK;
    t->n_tags++;
    th->is_known = 1;
    th->first = th->first == KYMO_NONE ? th->actor : th->first;
    if (was_execed)
        KYMO_TRY(add_name(t, th, r->comm, r->comm_bytes, err));
    return add_process(t, th, actor[th->actor].process, err);
}

kymo_status kymo_tags_again(struct kymo_tags *t, struct kymo_err *err)
{
    if (!t->n_tags)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "there is no replay in this recording: nobody began a script");
    for (size_t i = 0; i < t->slots; i++) {
        struct kymo_tagged *th = t->slot[i];
        if (!th)
            continue;
        th->is_inside = th->is_execed = 0;
        th->actor = KYMO_NONE;
        th->exec_row = th->name;
    }
    return KYMO_OK;
}

int kymo_tags_keep(struct kymo_tags *t, struct kymo_tagged *th, const struct kymo_tag_row *r,
                   const char **comm)
{
    (void)t;
    *comm = NULL;
    if (!th->is_known || follow(th, r))
        return 0;
    if (th->is_inside && r->flags & KYMO_CALL_EXECED) {
        th->is_inside = 0;
        th->is_execed = 1;
        *comm = th->name ? th->name->comm : NULL;
        th->name = th->name ? th->name->next : NULL;
        return 1;
    }
    if (r->flags & KYMO_CALL_CHILD)
        return th->is_inside || th->actor == KYMO_NONE;
    return th->is_inside && !is_of_stage(r);
}

/* -------- names -------- */

int kymo_tags_process(struct kymo_tags *t, uint64_t pid, uint64_t start_ns, uint64_t *recorded)
{
    const struct kymo_iprocess *process = kymo_image_at(t->image, t->image->process);
    for (size_t i = t->n_processes; i-- > 0;) {
        const struct process *p = &t->process[i];
        if (p->pid != pid || (start_ns && p->start_ns != start_ns))
            continue;
        *recorded = p->index < t->image->process.n ? process[p->index].pid : pid;
        return 1;
    }
    return 0;
}

uint64_t kymo_tags_tid(const struct kymo_tags *t, const struct kymo_tagged *th)
{
    const struct kymo_iactor *actor = kymo_image_at(t->image, t->image->actor);
    const uint32_t who = th->actor == KYMO_NONE ? th->first : th->actor;
    return who < t->image->actor.n ? actor[who].tid : th->tid;
}

const char *kymo_tags_exec_row(struct kymo_tagged *th)
{
    const struct kymo_exec_name *n = th->exec_row;
    th->exec_row = n ? n->next : NULL;
    return n ? n->comm : NULL;
}
