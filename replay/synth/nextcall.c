/* SPDX-License-Identifier: Apache-2.0
 * nextcall.c: what a thread does next.
 */
#include <string.h>

#include "format/base/size.h"
#include "replay/synth/play.h"

#define EBADF_NR 9
#define WATCH_ADD 1u
/* The shortest context whose other continuations are taken for a fitting alternative. */
#define CONTEXT_FITTING 2u
/* How often a child is led away from a program that it is not to begin. */
#define STRAYS_MAX 16

/* -- what is legal ---------------------------------------------------------------------------- */

/* Is it the end of a child that is to begin a program, or the begin of a program by one that is to begin none? */
static int is_astray(const struct play *p, const struct actor *a, const struct script_symbol *s)
{
    const int begins = s->is.kind == KYMO_SYMBOL_BECOME && s->becomes != SCRIPT_NONE &&
                       !p->script.role[s->becomes].is_fork;
    return p->script.role[a->role].is_fork && a->fate == 0 && begins;
}

static int is_legal_become(const struct play *p, const struct actor *a,
                           const struct script_symbol *s)
{
    const struct script_role *from = &p->script.role[a->role];
    if (s->becomes == SCRIPT_NONE)
        return !a->is_resident;
    return !a->is_resident || strcmp(p->script.role[s->becomes].comm, from->comm) == 0;
}

int play_is_legal(struct play *p, const struct actor *a, const struct script_symbol *s)
{
    const struct world_process *w = play_process(p, a);
    if (s->is.kind == KYMO_SYMBOL_BECOME)
        return is_legal_become(p, a, s);
    if (s->is.kind == KYMO_SYMBOL_BEGIN || s->nr < 0)
        return 0;
    if (s->needs && s->is.error != EBADF_NR && !w->count[s->needs])
        return 0;
    switch (s->does) {
    case DOES_EXIT:
    case DOES_EXIT_ALL:
        return !a->is_resident;
    case DOES_EXEC:
        return w->threads == 1;
    case DOES_CLOSE:
        return w->count[s->needs] > w->low[s->needs];
    case DOES_WATCH:
        return s->is.variant == WATCH_ADD ? w->n_unwatched > 0 : w->n_watched > 0;
    case DOES_FORK:
    case DOES_THREAD:
        return p->n_live < ACTORS_MAX / 4;
    case DOES_OPEN:
    case DOES_PAIR:
    case DOES_ACCEPT:
    case DOES_DUP:
        return w->lowest < WORLD_FDS_MAX - 2;
    default:
        return 1;
    }
}

/* -- what makes it legal ---------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint8_t needs; /* of which it is made */
} enablers[KYMO_ON_FDS] = {
    [KYMO_ON_FILE] = {"openat", KYMO_ON_NONE},
    [KYMO_ON_DIR] = {"openat", KYMO_ON_NONE},
    [KYMO_ON_SOCKET] = {"socket", KYMO_ON_NONE},
    [KYMO_ON_STREAM] = {"connect", KYMO_ON_SOCKET},
    [KYMO_ON_DGRAM] = {"socket", KYMO_ON_NONE},
    [KYMO_ON_LISTEN] = {"listen", KYMO_ON_SOCKET},
    [KYMO_ON_PIPE] = {"pipe2", KYMO_ON_NONE},
    [KYMO_ON_EPOLL] = {"epoll_create1", KYMO_ON_NONE},
    [KYMO_ON_EVENT] = {"eventfd2", KYMO_ON_NONE},
    [KYMO_ON_TIMER] = {"timerfd_create", KYMO_ON_NONE},
    [KYMO_ON_OTHER] = {"inotify_init1", KYMO_ON_NONE},
};

void play_make_enablers(struct play *p)
{
    for (int on = 1; on < KYMO_ON_FDS; on++) {
        struct script_symbol *s = &p->enabler[on];
        memset(s, 0, sizeof(*s));
        s->name = enablers[on].name;
        s->is.on = enablers[on].needs ? enablers[on].needs : (uint8_t)on;
        s->is.result =
            enablers[on].needs || on == KYMO_ON_PIPE ? KYMO_RESULT_ZERO : KYMO_RESULT_MORE;
        script_know(s, p->o->arch);
        s->names = on == KYMO_ON_FILE || on == KYMO_ON_DIR;
        s->becomes = SCRIPT_NONE;
    }
}

static const struct script_symbol *enabler_of(struct play *p, const struct actor *a,
                                              const struct script_symbol *s)
{
    const struct world_process *w = play_process(p, a);
    const uint32_t there = s->needs ? w->count[s->needs] : 1;
    if (there > (s->does == DOES_CLOSE && s->needs ? w->low[s->needs] : 0))
        return NULL;
    const struct script_symbol *e = &p->enabler[s->needs];
    if (e->needs && !w->count[e->needs])
        e = &p->enabler[e->needs];
    return play_is_legal(p, a, e) ? e : NULL;
}

/* -- drawing ---------------------------------------------------------------------------------- */

static uint32_t draw(struct play *p, const struct script_role *r, struct script_span c)
{
    const struct script_next *next = r->next + c.first;
    const uint64_t at = kymo_rng_below(&p->rng, next[c.n - 1].cum);
    uint32_t lo = 0, hi = c.n - 1;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (next[mid].cum > at)
            hi = mid;
        else
            lo = mid + 1;
    }
    return next[lo].symbol;
}

static int is_fitting(struct play *p, const struct actor *a, const struct script_symbol *s)
{
    return play_is_legal(p, a, s) && !is_astray(p, a, s);
}

/* Among what is legal of the context; SCRIPT_NONE: nothing is. */
static uint32_t draw_legal(struct play *p, const struct actor *a, const struct script_role *r,
                           struct script_span c)
{
    const struct script_next *next = r->next + c.first;
    uint64_t all = 0, before = 0;
    for (uint32_t i = 0; i < c.n; i++, before = next[i - 1].cum)
        if (is_fitting(p, a, &r->symbol[next[i].symbol]))
            all += next[i].cum - before;
    if (!all)
        return SCRIPT_NONE;
    uint64_t at = kymo_rng_below(&p->rng, all);
    before = 0;
    for (uint32_t i = 0; i < c.n; i++) {
        const uint64_t n = next[i].cum - before;
        before = next[i].cum;
        if (!is_fitting(p, a, &r->symbol[next[i].symbol]))
            continue;
        if (at < n)
            return next[i].symbol;
        at -= n;
    }
    return SCRIPT_NONE;
}

/* The thread's context, its last n symbols alone. */
static const struct script_context *context_of(const struct script_role *r,
                                               const struct actor *a, unsigned n)
{
    uint16_t s[KYMO_GRAM - 1];
    for (unsigned i = 0; i < KYMO_GRAM - 1; i++)
        s[i] = i < KYMO_GRAM - 1 - n ? KYMO_SYMBOL_NONE : a->context[i];
    return script_find(r, s);
}

static unsigned context_length(const struct actor *a)
{
    unsigned n = 0;
    while (n < KYMO_GRAM - 1 && a->context[KYMO_GRAM - 2 - n] != KYMO_SYMBOL_NONE)
        n++;
    return n;
}

/* Any context that leads on. */
static uint32_t draw_anew(struct play *p, struct actor *a, const struct script_role *r)
{
    script_any_context(r, &p->rng, a->context);
    for (unsigned n = context_length(a) + 1; n-- > 0;) {
        const struct script_context *c = context_of(r, a, n);
        const uint32_t s = c ? draw_legal(p, a, r, c->all) : SCRIPT_NONE;
        if (s != SCRIPT_NONE)
            return s;
    }
    return SCRIPT_NONE;
}

int play_choose(struct play *p, struct actor *a)
{
    const struct script_role *r = &p->script.role[a->role];
    uint32_t first = SCRIPT_NONE;
    a->own = NULL;
    for (unsigned n = context_length(a) + 1; n-- > 0;) {
        const struct script_context *c = context_of(r, a, n);
        if (!c || (first != SCRIPT_NONE && n < CONTEXT_FITTING))
            continue;
        if (first == SCRIPT_NONE) {
            first = a->symbol = draw(p, r, script_span(c));
            if (is_fitting(p, a, &r->symbol[first]) ||
                (a->own = enabler_of(p, a, &r->symbol[first])) != NULL)
                return 1;
        }
        const int strays = is_astray(p, a, &r->symbol[first]) && a->strays++ >= STRAYS_MAX;
        a->symbol = strays ? SCRIPT_NONE : draw_legal(p, a, r, c->all);
        if (a->symbol != SCRIPT_NONE) {
            p->stats.alternatives++;
            return 1;
        }
        if (is_astray(p, a, &r->symbol[first])) { /* its ways lead nowhere else */
            a->symbol = first;
            a->fate = KYMO_FATE_OPEN;
            return 1;
        }
    }
    a->symbol = draw_anew(p, a, r);
    p->stats.alternatives += a->symbol != SCRIPT_NONE;
    return a->symbol != SCRIPT_NONE;
}
