/* SPDX-License-Identifier: Apache-2.0
 * proofgen.h: traces and plans in memory, call by call, for what compares them. Include after cmocka.h.
 */
#ifndef KYMO_TESTS_PROOFGEN_H
#define KYMO_TESTS_PROOFGEN_H

#include <stdlib.h>
#include <string.h>

#include "format/trace/schema.h"
#include "replay/plan/compile.h"
#include "replay/plan/trace.h"

#define GEN_TEXTS_MAX 64u

struct proofgen {
    struct kymo_trace t;
    size_t cap;
};

static inline uint32_t proofgen_text(struct proofgen *g, const char *s)
{
    struct kymo_trace *t = &g->t;
    for (uint32_t i = 0; i < t->n_texts; i++)
        if (!strcmp(t->text[i], s))
            return i;
    assert_true(t->n_texts < GEN_TEXTS_MAX);
    t->text_bytes[t->n_texts] = (uint32_t)strlen(s);
    t->text[t->n_texts] = s;
    return (uint32_t)t->n_texts++;
}

/* A trace of n_threads threads: thread i is tid 100 + i, two threads a process. */
static inline void proofgen_init(struct proofgen *g, uint32_t n_threads, size_t cap)
{
    *g = (struct proofgen){.cap = cap};
    struct kymo_trace *t = &g->t;
    kymo_arena_init(&t->arena, (size_t)1 << 30);
    t->call = KYMO_NEW(&t->arena, struct kymo_trace_call, cap);
    t->order = KYMO_NEW(&t->arena, uint32_t, cap);
    t->text = KYMO_NEW(&t->arena, const char *, GEN_TEXTS_MAX);
    t->text_bytes = KYMO_NEW(&t->arena, uint32_t, GEN_TEXTS_MAX);
    t->n_threads = n_threads;
    t->thread = KYMO_NEW(&t->arena, struct kymo_trace_thread, n_threads);
    t->n_processes = (n_threads + 1) / 2;
    t->process = KYMO_NEW(&t->arena, struct kymo_trace_process, t->n_processes);
    assert_non_null(t->process);
    (void)proofgen_text(g, "");
    for (uint32_t i = 0; i < n_threads; i++) {
        t->thread[i].process = i / 2;
        t->thread[i].tid = 100 + i;
        t->process[i / 2].pid = 100 + i / 2 * 2;
    }
}

static inline struct kymo_trace_call *proofgen_call(struct proofgen *g, uint32_t thread,
                                                    const char *name, uint64_t enter_ns,
                                                    uint64_t dur_ns, int64_t ret)
{
    assert_true(g->t.n_calls < g->cap);
    struct kymo_trace_call *c = &g->t.call[g->t.n_calls++];
    *c = (struct kymo_trace_call){.enter_ns = enter_ns,
                                  .exit_ns = enter_ns + dur_ns,
                                  .ret = ret,
                                  .thread = thread,
                                  .name = proofgen_text(g, name),
                                  .has = KYMO_TRACE_HAS_RET | KYMO_TRACE_HAS_DUR};
    return c;
}

static inline int proofgen_by_exit(const void *a, const void *b)
{
    const struct kymo_trace_call *x = a, *y = b;
    return x->exit_ns != y->exit_ns ? (x->exit_ns > y->exit_ns) - (x->exit_ns < y->exit_ns)
                                    : (x->thread > y->thread) - (x->thread < y->thread);
}

/* All calls are there: put them in the order of a loaded trace. */
static inline void proofgen_finish(struct proofgen *g)
{
    struct kymo_trace *t = &g->t;
    uint32_t at = 0;
    qsort(t->call, t->n_calls, sizeof(*t->call), proofgen_by_exit);
    t->first_ns = UINT64_MAX;
    t->last_ns = 0;
    for (uint32_t i = 0; i < t->n_threads; i++) {
        t->thread[i].first = at;
        for (uint32_t k = 0; k < t->n_calls; k++)
            if (t->call[k].thread == i)
                t->order[at++] = k;
        t->thread[i].n = at - t->thread[i].first;
    }
    for (uint32_t k = 0; k < t->n_calls; k++) {
        t->first_ns = t->call[k].enter_ns < t->first_ns ? t->call[k].enter_ns : t->first_ns;
        t->last_ns = t->call[k].exit_ns > t->last_ns ? t->call[k].exit_ns : t->last_ns;
    }
}

static inline void proofgen_release(struct proofgen *g)
{
    kymo_arena_release(&g->t.arena);
}

/* The k-th call of a thread. */
static inline struct kymo_trace_call *proofgen_at(struct proofgen *g, uint32_t thread,
                                                  uint32_t k)
{
    return &g->t.call[g->t.order[g->t.thread[thread].first + k]];
}

/* -------- plans -------- */

static inline struct kymo_icall *plan_calls(struct kymo_image *h)
{
    return (struct kymo_icall *)((char *)h + h->call.at);
}
static inline struct kymo_iactor *plan_actors(struct kymo_image *h)
{
    return (struct kymo_iactor *)((char *)h + h->actor.at);
}
static inline struct kymo_dep *plan_deps(struct kymo_image *h)
{
    return (struct kymo_dep *)((char *)h + h->dep.at);
}
/* The k-th call of the actor of a thread. */
static inline struct kymo_icall *plan_at(struct kymo_image *h, uint32_t thread, uint32_t k)
{
    return &plan_calls(h)[plan_actors(h)[thread + 1].call + k];
}

/* A plan that issues every call of a trace, with room for n_deps dependencies; free() it. Thread i is actor
 * i + 1. */
static inline struct kymo_image *proofgen_plan(const struct kymo_trace *t, size_t n_deps)
{
    const size_t process = sizeof(struct kymo_image);
    const size_t actor = process + t->n_processes * sizeof(struct kymo_iprocess);
    const size_t call = (actor + (t->n_threads + 1) * sizeof(struct kymo_iactor) + 7) / 8 * 8;
    const size_t dep = call + t->n_calls * sizeof(struct kymo_icall);
    const size_t bytes = dep + n_deps * sizeof(struct kymo_dep);
    struct kymo_image *h = calloc(1, bytes + 8);
    assert_non_null(h);
    h->bytes = bytes;
    h->process = (struct kymo_section){process, t->n_processes};
    h->actor = (struct kymo_section){actor, t->n_threads + 1};
    h->call = (struct kymo_section){call, t->n_calls};
    h->dep = (struct kymo_section){dep, 0};
    struct kymo_iprocess *p = (struct kymo_iprocess *)((char *)h + process);
    for (size_t i = 0; i < t->n_processes; i++)
        p[i].pid = t->process[i].pid;
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_threads; i++) {
        plan_actors(h)[i + 1] = (struct kymo_iactor){.process = t->thread[i].process,
                                                     .tid = t->thread[i].tid,
                                                     .at_start = 1,
                                                     .call = n,
                                                     .n_calls = t->thread[i].n};
        for (uint32_t k = 0; k < t->thread[i].n; k++, n++) {
            const uint32_t row = t->order[t->thread[i].first + k];
            plan_calls(h)[n] =
                (struct kymo_icall){.enter_ns = t->call[row].enter_ns - t->first_ns,
                                    .ret = t->call[row].ret,
                                    .row = row};
        }
    }
    return h;
}

/* Call k of a thread waits for call k2 of another. Ask for each call once, in the order of the plan. */
static inline void plan_wait(struct kymo_image *h, uint32_t thread, uint32_t k,
                             uint32_t thread2, uint32_t k2, uint32_t begun)
{
    struct kymo_icall *c = plan_at(h, thread, k);
    c->dep = (uint32_t)h->dep.n;
    c->n_deps = 1;
    plan_deps(h)[h->dep.n++] = (struct kymo_dep){thread2 + 1, k2 | begun};
}

#endif
