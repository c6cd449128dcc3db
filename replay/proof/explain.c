/* SPDX-License-Identifier: Apache-2.0
 * explain.c: one pass over the plan in the order in which its calls ended. A call that did not match leaves
 * its mark on what it was about: the descriptors that it took or made, its path. A later mismatch on such a
 * one, or of a call that waited for a marked one, follows from it.
 */
#include "replay/proof/explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"

enum why {
    WHY_UNEXPLAINED,
    WHY_NEVER_BEGUN,
    WHY_NOT_OVER,
    WHY_NOT_RECORDED,
    WHY_FOLLOWS,
    WHY_INTERRUPTED,
    WHY_REFUSED,
    WHY_READINESS,
    WHY_NOT_INJECTED,
    WHY_CUT,
    WHY_EXTRA,
    WHY_MANY,
    WHY_COUNT
};

static const char *const words[WHY_COUNT] = {
    [WHY_UNEXPLAINED] = "unexplained",
    [WHY_NEVER_BEGUN] = "never begun: its actor had ended, or the replay was over",
    [WHY_NOT_OVER] = "it had not returned when the replay ended",
    [WHY_NOT_RECORDED] = "made, but not in the recording",
    [WHY_FOLLOWS] = "follows from an earlier mismatch",
    [WHY_INTERRUPTED] = "interrupted: what it waited for did not come",
    [WHY_REFUSED] = "refused by the sandbox",
    [WHY_READINESS] = "a race: what it asked for was there earlier or later",
    [WHY_NOT_INJECTED] = "its result was to be given, and was not",
    [WHY_CUT] = "its size was cut to what the stage has room for",
    [WHY_EXTRA] = "not in the plan",
    [WHY_MANY] = "of more kinds than are told apart",
};

/* What mismatches were about: descriptors and paths; open addressing, at most half full. Of very many, the
 * first are enough to explain the rest by. */
#define MARKS_MAX 1048576u
struct marks {
    uint64_t *key; /* arena */
    size_t slots, used;
};

struct group {
    uint64_t key;
    struct kymo_mismatch m;
};

struct explain {
    const struct kymo_pairing *p;
    const struct kymo_outcome *outcome;
    struct marks marks;
    struct group *group;                    /* [KYMO_MISMATCHES_MAX] and one more */
    uint16_t slot[4 * KYMO_MISMATCHES_MAX]; /* open addressing by key: index + 1, 0 free */
    size_t n;
    uint64_t unexplained;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "explaining mismatches passes the memory budget");
}

/* -------- marks -------- */

static uint64_t of_fd(uint32_t process, uint64_t fd)
{
    return (uint64_t)process << 32 | (uint32_t)fd | 1ull << 63;
}

static uint64_t of_path(uint32_t text)
{
    return text;
}

static uint64_t *mark_at(const struct marks *m, uint64_t key)
{
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (m->slots - 1);
    while (m->key[at] && m->key[at] != key)
        at = (at + 1) & (m->slots - 1);
    return &m->key[at];
}

static uint32_t process_of(const struct kymo_pairing *p, size_t i)
{
    const struct kymo_trace_call *c = &p->original->call[p->call[i].row];
    return c->thread < p->original->n_threads ? p->original->thread[c->thread].process : 0;
}

/* What a call is about, at most MARKS_A_CALL of them. */
#define MARKS_A_CALL 10
static int abouts(const struct kymo_pairing *p, size_t i, uint64_t about[MARKS_A_CALL])
{
    const struct kymo_icall *c = &p->call[i];
    const struct kymo_trace_call *o = &p->original->call[c->row];
    const uint32_t process = process_of(p, i);
    int n = 0;
    for (int k = 0; k < 6; k++)
        if ((c->kind[k] == KYMO_ARG_FD || c->kind[k] == KYMO_ARG_FD_NEW) &&
            c->arg[k] < KYMO_FDS_MAX)
            about[n++] = of_fd(process, c->arg[k]);
    if (c->out == KYMO_OUT_FD || c->out == KYMO_OUT_PAIR)
        about[n++] = of_fd(process, c->other);
    if (c->out == KYMO_OUT_PAIR)
        about[n++] = of_fd(process, c->other2);
    if (o->has & KYMO_TRACE_HAS_PATH && o->path)
        about[n++] = of_path(o->path);
    if (o->has & KYMO_TRACE_HAS_PATH2 && o->path2)
        about[n++] = of_path(o->path2);
    return n;
}

static int is_marked(const struct explain *e, size_t i)
{
    uint64_t about[MARKS_A_CALL];
    const int n = abouts(e->p, i, about);
    for (int k = 0; k < n; k++)
        if (*mark_at(&e->marks, about[k]) == about[k])
            return 1;
    return 0;
}

static void mark(struct explain *e, size_t i)
{
    uint64_t about[MARKS_A_CALL];
    const int n = abouts(e->p, i, about);
    for (int k = 0; k < n && 2 * e->marks.used < e->marks.slots; k++) {
        uint64_t *at = mark_at(&e->marks, about[k]);
        e->marks.used += !*at;
        *at = about[k];
    }
}

/* -------- reasons -------- */

/* Did it wait for a call that did not match? */
static int waited_for_mismatch(const struct kymo_pairing *p, size_t i)
{
    const struct kymo_image *h = p->image;
    const struct kymo_iactor *actor = kymo_image_at(h, h->actor);
    const struct kymo_dep *dep = kymo_image_at(h, h->dep);
    const struct kymo_icall *c = &p->call[i];
    for (uint32_t k = c->dep; k < c->dep + c->n_deps && k < h->dep.n; k++) {
        const uint32_t index = dep[k].index & ~KYMO_DEP_BEGUN;
        if (!dep[k].actor || dep[k].actor >= h->actor.n || index >= actor[dep[k].actor].n_calls)
            continue;
        const size_t at = actor[dep[k].actor].call + (size_t)index;
        if (at < p->n_calls && p->wanted[at] && !kymo_pairing_holds(p, at))
            return 1;
    }
    return 0;
}

/* A matter of who came first: something was there to be taken, or not yet. */
static int is_readiness(const char *name, uint32_t wanted, uint32_t got)
{
    const struct kymo_sysinfo *info = kymo_sysinfo_by_name(name);
    const int waits = info && (info->cls == KYMO_CLASS_POLL || info->cls == KYMO_CLASS_SYNC);
    if (wanted == EAGAIN || got == EAGAIN || wanted == EINPROGRESS || got == EINPROGRESS)
        return wanted == KYMO_RESULT_ZERO || wanted == KYMO_RESULT_POSITIVE ||
               got == KYMO_RESULT_ZERO || got == KYMO_RESULT_POSITIVE;
    if (wanted == ETIMEDOUT || got == ETIMEDOUT)
        return waits;
    return info && info->cls == KYMO_CLASS_POLL && wanted != got &&
           (wanted == KYMO_RESULT_ZERO || wanted == KYMO_RESULT_POSITIVE) &&
           (got == KYMO_RESULT_ZERO || got == KYMO_RESULT_POSITIVE);
}

static enum why why_missing(const struct explain *e, size_t i)
{
    if (!e->outcome)
        return is_marked(e, i) || waited_for_mismatch(e->p, i) ? WHY_FOLLOWS : WHY_UNEXPLAINED;
    if (!e->outcome[i].enter_ns)
        return WHY_NEVER_BEGUN;
    return e->outcome[i].exit_ns ? WHY_NOT_RECORDED : WHY_NOT_OVER;
}

static enum why why_other(const struct explain *e, size_t i)
{
    const struct kymo_pairing *p = e->p;
    const struct kymo_icall *c = &p->call[i];
    const struct kymo_trace_call *o = &p->original->call[c->row];
    const uint32_t wanted = kymo_result_class(o);
    const uint32_t got = kymo_result_class(&p->again->call[p->got[i]]);
    if (got == KYMO_RESULT_NONE)
        return WHY_NOT_OVER;
    if (got == KYMO_RESULT_RESTART || got == EINTR)
        return WHY_INTERRUPTED;
    if (is_marked(e, i) || waited_for_mismatch(p, i))
        return WHY_FOLLOWS;
    if (c->how == KYMO_HOW_INJECT)
        return WHY_NOT_INJECTED;
    if (got == ENOSYS || got == EPERM || got == EACCES)
        return WHY_REFUSED;
    if (is_readiness(p->original->text[o->name], wanted, got))
        return WHY_READINESS;
    return c->flags & KYMO_ICALL_LONGER ? WHY_CUT : WHY_UNEXPLAINED;
}

/* -------- groups -------- */

static int64_t result_of(const struct kymo_trace *t, uint32_t call)
{
    return call != KYMO_UNPAIRED && t->call[call].has & KYMO_TRACE_HAS_RET ? t->call[call].ret
                                                                           : KYMO_NO_RESULT;
}

static uint32_t class_of(const struct kymo_trace *t, uint32_t call)
{
    return call == KYMO_UNPAIRED ? 0x10000u : kymo_result_class(&t->call[call]);
}

/* The group of a key, a new one where there is room, else the last, which takes the rest. */
static struct group *group_of(struct explain *e, uint64_t key, int *is_new)
{
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) % KYMO_COUNT_OF(e->slot);
    for (; e->slot[at]; at = (at + 1) % KYMO_COUNT_OF(e->slot))
        if (e->group[e->slot[at] - 1].key == key) {
            *is_new = 0;
            return &e->group[e->slot[at] - 1];
        }
    *is_new = e->n < KYMO_MISMATCHES_MAX;
    if (*is_new)
        e->slot[at] = (uint16_t)(e->n + 1);
    struct group *rest = &e->group[KYMO_MISMATCHES_MAX];
    if (!*is_new && !rest->m.n)
        rest->m = (struct kymo_mismatch){.call = KYMO_UNPAIRED,
                                         .wanted = KYMO_NO_RESULT,
                                         .got = KYMO_NO_RESULT,
                                         .why = words[WHY_MANY]};
    return *is_new ? &e->group[e->n++] : rest;
}

/* row: of the original, again: of the re-recording; one of them may be KYMO_UNPAIRED. */
static void tell(struct explain *e, uint32_t row, uint32_t again, enum why why)
{
    const struct kymo_pairing *p = e->p;
    const struct kymo_trace *t = row != KYMO_UNPAIRED ? p->original : p->again;
    const uint32_t text = t->call[row != KYMO_UNPAIRED ? row : again].name;
    const uint32_t word = (t == p->original ? p->planned.word : p->played.word)[text];
    const uint64_t key = (uint64_t)word << 40 | (uint64_t)class_of(p->original, row) << 22 |
                         (uint64_t)class_of(p->again, again) << 4 | (uint64_t)why;
    int is_new;
    struct group *g = group_of(e, key, &is_new);
    if (is_new) {
        *g = (struct group){.key = key,
                            .m = {.call = row,
                                  .wanted = result_of(p->original, row),
                                  .got = result_of(p->again, again),
                                  .why = words[why]}};
        (void)snprintf(g->m.name, sizeof(g->m.name), "%s", t->text[text]);
    }
    g->m.n++;
    e->unexplained += why == WHY_UNEXPLAINED;
}

static int by_number(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    if (x->m.n != y->m.n)
        return x->m.n > y->m.n ? -1 : 1;
    return (x->key > y->key) - (x->key < y->key);
}

/* -------- all of it -------- */

/* Calls of the plan by their rows, which is the order of their ends: list[n] out, of those wanted. */
static kymo_status by_row(const struct kymo_pairing *p, uint32_t **list, size_t *n,
                          struct kymo_arena *arena, struct kymo_err *err)
{
    uint32_t *at = KYMO_NEW_RAW(arena, uint32_t, p->original->n_calls);
    if (!at)
        return no_memory(err);
    memset(at, 0xff, p->original->n_calls * sizeof(*at));
    for (uint32_t i = 0; i < p->n_calls; i++)
        if (p->wanted[i])
            at[p->call[i].row] = i;
    *n = 0;
    for (size_t i = 0; i < p->original->n_calls; i++)
        if (at[i] != KYMO_UNPAIRED)
            at[(*n)++] = at[i];
    *list = at;
    return KYMO_OK;
}

static kymo_status open_explain(struct explain *e, uint64_t bad, struct kymo_arena *arena,
                                struct kymo_err *err)
{
    e->group = KYMO_NEW(arena, struct group, KYMO_MISMATCHES_MAX + 1);
    e->marks.slots = 64;
    while (e->marks.slots < 2 * MARKS_A_CALL * bad && e->marks.slots < 2 * MARKS_MAX)
        e->marks.slots *= 2;
    e->marks.key = KYMO_NEW(arena, uint64_t, e->marks.slots);
    return e->group && e->marks.key ? KYMO_OK : no_memory(err);
}

static kymo_status give(struct kymo_proof *out, struct explain *e, struct kymo_err *err)
{
    const size_t n = e->n + (e->group[KYMO_MISMATCHES_MAX].m.n != 0);
    qsort(e->group, e->n, sizeof(*e->group), by_number);
    struct kymo_mismatch *m = malloc((n + 1) * sizeof(*m));
    if (!m)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        m[i] = (i < e->n ? &e->group[i] : &e->group[KYMO_MISMATCHES_MAX])->m;
    out->mismatch = m;
    out->n_mismatches = n;
    return KYMO_OK;
}

kymo_status kymo_explain(struct kymo_proof *out, const struct kymo_pairing *p,
                         const struct kymo_outcome *outcome, uint64_t *unexplained,
                         struct kymo_arena *arena, struct kymo_err *err)
{
    struct explain e = {.p = p, .outcome = outcome};
    uint64_t bad = 0;
    uint32_t *list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < p->n_calls; i++)
        bad += p->wanted[i] && !kymo_pairing_holds(p, i);
    KYMO_TRY(open_explain(&e, bad, arena, err));
    if (bad)
        KYMO_TRY(by_row(p, &list, &n, arena, err));
    for (size_t k = 0; k < n; k++) {
        const size_t i = list[k];
        if (kymo_pairing_holds(p, i))
            continue;
        tell(&e, p->call[i].row, p->got[i],
             p->got[i] == KYMO_UNPAIRED ? why_missing(&e, i) : why_other(&e, i));
        mark(&e, i);
    }
    for (size_t i = 0; i < p->n_extra; i++)
        tell(&e, KYMO_UNPAIRED, p->extra[i], WHY_EXTRA);
    *unexplained = e.unexplained;
    return give(out, &e, err);
}
