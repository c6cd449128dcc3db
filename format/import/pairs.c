/* SPDX-License-Identifier: Apache-2.0 */
#include "format/import/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"

#define SLOTS_MIN 64u
#define TEXT_BYTES_MAX 4096u

struct entered {
    struct kymo_import_call call; /* its texts owned */
    uint32_t tag;
    bool used;
};

struct kymo_pairs {
    struct kymo_sink *sink; /* borrowed */
    struct entered *slot;   /* [slots], at most half of them used */
    struct entered left;    /* the one last left: its texts are lent out */
    uint32_t slots, n;      /* slots: a power of two */
};

static void drop_texts(struct entered *e)
{
    free((void *)e->call.path.p);
    free((void *)e->call.path2.p);
    free((void *)e->call.addr.p);
    free((void *)e->call.comm.p);
    memset(e, 0, sizeof(*e));
}

kymo_status kymo_pairs_open(struct kymo_pairs **out, struct kymo_sink *sink,
                            struct kymo_err *err)
{
    struct kymo_pairs *p = calloc(1, sizeof(*p));
    if (p)
        p->slot = calloc(SLOTS_MIN, sizeof(*p->slot));
    if (!p || !p->slot) {
        free(p);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    }
    p->sink = sink;
    p->slots = SLOTS_MIN;
    *out = p;
    return KYMO_OK;
}

void kymo_pairs_close(struct kymo_pairs *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; p->n && i < p->slots; i++)
        if (p->slot[i].used)
            drop_texts(&p->slot[i]);
    drop_texts(&p->left);
    free(p->slot);
    free(p);
}

static uint32_t home(const struct kymo_pairs *p, uint32_t tid)
{
    return (uint32_t)((tid * 0x9E3779B97F4A7C15ull) >> 32) & (p->slots - 1);
}

static struct entered *find(const struct kymo_pairs *p, uint32_t tid)
{
    uint32_t i = home(p, tid);
    while (p->slot[i].used && p->slot[i].call.tid != tid)
        i = (i + 1) & (p->slots - 1);
    return &p->slot[i];
}

static kymo_status grow(struct kymo_pairs *p, struct kymo_err *err)
{
    struct kymo_pairs bigger = *p;
    bigger.slots = 2 * p->slots;
    bigger.slot = calloc(bigger.slots, sizeof(*bigger.slot));
    if (!bigger.slot)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    for (uint32_t i = 0; i < p->slots; i++)
        if (p->slot[i].used)
            *find(&bigger, p->slot[i].call.tid) = p->slot[i];
    free(p->slot);
    *p = bigger;
    return KYMO_OK;
}

/* Move an entry out of the table into p->left; those behind it that would no longer be found move up. */
static void leave(struct kymo_pairs *p, struct entered *e)
{
    uint32_t hole = (uint32_t)(e - p->slot);
    drop_texts(&p->left);
    p->left = *e;
    for (uint32_t i = (hole + 1) & (p->slots - 1); p->slot[i].used;
         i = (i + 1) & (p->slots - 1)) {
        const uint32_t from_home = (i - home(p, p->slot[i].call.tid)) & (p->slots - 1);
        if (from_home < ((i - hole) & (p->slots - 1)))
            continue;
        p->slot[hole] = p->slot[i];
        hole = i;
    }
    memset(&p->slot[hole], 0, sizeof(p->slot[hole]));
    p->n--;
}

/* As the recorder has those that do not come back by nature, and those that still block. */
static kymo_status give_up(struct kymo_pairs *p, struct entered *e, uint64_t ts_ns,
                           struct kymo_err *err)
{
    static const char *const never[] = {"exit", "exit_group", "rt_sigreturn"};
    leave(p, e);
    struct kymo_import_call *c = &p->left.call;
    const struct kymo_sysinfo *info = kymo_sysinfo(c->arch, c->nr);
    c->flags |= KYMO_CALL_UNFINISHED;
    for (size_t i = 0; info && i < KYMO_COUNT_OF(never); i++)
        if (strcmp(info->name, never[i]) == 0)
            c->flags = (c->flags & ~(uint32_t)KYMO_CALL_UNFINISHED) | KYMO_CALL_AT_ENTRY;
    c->ts_ns = c->flags & KYMO_CALL_AT_ENTRY ? c->ts_ns : ts_ns;
    c->dur_ns = KYMO_IMPORT_UNKNOWN;
    c->has_ret = 0;
    return kymo_sink_call(p->sink, c, err);
}

static bool own(struct kymo_text *t)
{
    if (!t->p)
        return true;
    const size_t n = t->n < TEXT_BYTES_MAX ? t->n : TEXT_BYTES_MAX;
    char *copy = malloc(n + 1);
    if (copy && n)
        memcpy(copy, t->p, n);
    *t = kymo_text_of(copy, n);
    return copy != NULL;
}

kymo_status kymo_pairs_enter(struct kymo_pairs *p, const struct kymo_import_call *c,
                             uint32_t tag, struct kymo_err *err)
{
    struct entered *e = find(p, c->tid);
    if (e->used) {
        KYMO_TRY(give_up(p, e, c->ts_ns, err));
        e = find(p, c->tid);
    }
    if (p->n == KYMO_PAIRS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u threads are in a call",
                         KYMO_PAIRS_MAX);
    if (p->n >= p->slots / 2) {
        KYMO_TRY(grow(p, err));
        e = find(p, c->tid);
    }
    *e = (struct entered){.call = *c, .tag = tag, .used = true};
    p->n++;
    const bool path = own(&e->call.path), path2 = own(&e->call.path2);
    const bool addr = own(&e->call.addr), comm = own(&e->call.comm);
    return path && path2 && addr && comm
               ? KYMO_OK
               : KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

kymo_status kymo_pairs_exit(struct kymo_pairs *p, struct kymo_import_call *c, uint32_t tag,
                            int *found, struct kymo_err *err)
{
    struct entered *e = find(p, c->tid);
    *found = e->used && (e->tag == tag || tag == KYMO_PAIRS_ANY);
    if (!e->used)
        return KYMO_OK;
    if (!*found)
        return give_up(p, e, c->ts_ns, err);
    leave(p, e);
    struct kymo_import_call whole = p->left.call;
    whole.ts_ns = c->ts_ns;
    whole.dur_ns =
        c->ts_ns >= p->left.call.ts_ns ? c->ts_ns - p->left.call.ts_ns : KYMO_IMPORT_UNKNOWN;
    whole.cpu = c->cpu;
    whole.comm = c->comm.p ? c->comm : whole.comm;
    whole.pid = c->pid ? c->pid : whole.pid;
    *c = whole;
    return KYMO_OK;
}

kymo_status kymo_pairs_died(struct kymo_pairs *p, uint32_t tid, struct kymo_err *err)
{
    struct entered *e = find(p, tid);
    return e->used ? give_up(p, e, e->call.ts_ns, err) : KYMO_OK;
}

kymo_status kymo_pairs_finish(struct kymo_pairs *p, uint64_t ts_ns, struct kymo_err *err)
{
    for (uint32_t i = 0; p->n && i < p->slots; i++)
        while (p->slot[i].used) /* another may move here */
            KYMO_TRY(give_up(p, &p->slot[i], ts_ns, err));
    return KYMO_OK;
}
