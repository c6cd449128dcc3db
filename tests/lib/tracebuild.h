/* SPDX-License-Identifier: Apache-2.0
 * tracebuild.h: traces by hand, for tests of the compiler of plans.
 *
 *     struct tracebuild *b = trace_new();
 *     const uint32_t p = trace_process(b, 100, UINT32_MAX);
 *     trace_call(b, trace_thread(b, p, 100), "openat", 3, (uint64_t[6]){-100, 1, 0})->path = trace_text(b, "/x");
 *     const struct kymo_trace *t = trace_done(b);
 *
 * Each call takes a microsecond and begins where the last one ended, unless it is told otherwise: `now_ns`.
 */
#ifndef KYMO_TESTS_TRACEBUILD_H
#define KYMO_TESTS_TRACEBUILD_H

#include <stdlib.h>
#include <string.h>

#include "format/trace/sysname.h"
#include "replay/plan/machine.h"
#include "replay/plan/trace.h"

#define TRACE_CALLS_MAX 4096u
#define TRACE_TEXTS_MAX 1024u
#define TRACE_TASKS_MAX 64u
#define TRACE_FDS_MAX 64u

struct tracebuild {
    struct kymo_trace t;
    uint64_t now_ns;
    uint32_t comm[TRACE_TASKS_MAX];
    struct kymo_trace_call call[TRACE_CALLS_MAX];
    uint32_t order[TRACE_CALLS_MAX];
    struct kymo_trace_thread thread[TRACE_TASKS_MAX];
    struct kymo_trace_process process[TRACE_TASKS_MAX];
    struct kymo_trace_name name[TRACE_CALLS_MAX];
    struct kymo_trace_fd fd[TRACE_FDS_MAX];
    const char *text[TRACE_TEXTS_MAX];
    uint32_t text_bytes[TRACE_TEXTS_MAX];
};

static inline struct tracebuild *trace_new(void)
{
    struct tracebuild *b = calloc(1, sizeof(*b));
    if (!b)
        abort();
    b->now_ns = 1000000;
    b->text[0] = strdup("");
    b->t.n_texts = 1;
    return b;
}

static inline void trace_release(struct tracebuild *b)
{
    for (size_t i = 0; i < b->t.n_texts; i++)
        free((void *)(uintptr_t)b->text[i]);
    free(b);
}

static inline uint32_t trace_text_n(struct tracebuild *b, const char *s, size_t n)
{
    for (uint32_t i = 0; i < b->t.n_texts; i++)
        if (b->text_bytes[i] == n && !memcmp(b->text[i], s, n))
            return i;
    if (b->t.n_texts == TRACE_TEXTS_MAX)
        return 0;
    char *copy = calloc(1, n + 1);
    if (!copy)
        abort();
    memcpy(copy, s, n);
    b->text[b->t.n_texts] = copy;
    b->text_bytes[b->t.n_texts] = (uint32_t)n;
    return (uint32_t)b->t.n_texts++;
}

static inline uint32_t trace_text(struct tracebuild *b, const char *s)
{
    return trace_text_n(b, s, strlen(s));
}

/* parent: a process, UINT32_MAX: none of the trace */
static inline uint32_t trace_process(struct tracebuild *b, uint32_t pid, uint32_t parent)
{
    const uint32_t i = (uint32_t)b->t.n_processes++;
    b->process[i] =
        (struct kymo_trace_process){.pid = pid,
                                    .ppid = parent == UINT32_MAX ? 1 : b->process[parent].pid,
                                    .parent = parent,
                                    .leader = UINT32_MAX,
                                    .start_ns = b->now_ns,
                                    .born_ns = parent == UINT32_MAX ? 0 : b->now_ns,
                                    .died_ns = UINT64_MAX};
    return i;
}

static inline uint32_t trace_thread(struct tracebuild *b, uint32_t process, uint32_t tid)
{
    const uint32_t i = (uint32_t)b->t.n_threads++;
    b->thread[i] = (struct kymo_trace_thread){
        .process = process, .tid = tid, .comm = trace_text(b, "test")};
    if (tid == b->process[process].pid)
        b->process[process].leader = i;
    return i;
}

/* The next call of a thread. Its path, and how long it took, are set in what comes back. */
static inline struct kymo_trace_call *trace_call(struct tracebuild *b, uint32_t thread,
                                                 const char *name, int64_t ret,
                                                 const uint64_t arg[6])
{
    struct kymo_trace_call *c = &b->call[b->t.n_calls++];
    const int nr = kymo_sysnr(KYMO_ARCH_HERE, name);
    *c = (struct kymo_trace_call){.enter_ns = b->now_ns,
                                  .exit_ns = b->now_ns + 1000,
                                  .ret = ret,
                                  .thread = thread,
                                  .name = trace_text(b, name),
                                  .nr = (uint16_t)nr,
                                  .here = (int16_t)nr,
                                  .n_args = 6,
                                  .has = KYMO_TRACE_HAS_RET | KYMO_TRACE_HAS_DUR};
    memcpy(c->arg, arg, sizeof(c->arg));
    b->now_ns += 1000;
    return c;
}

static inline struct kymo_trace_call *trace_path(struct tracebuild *b,
                                                 struct kymo_trace_call *c, const char *path)
{
    c->path = trace_text(b, path);
    c->has |= KYMO_TRACE_HAS_PATH;
    return c;
}

static inline void trace_fd(struct tracebuild *b, uint32_t process, uint32_t fd,
                            const char *target, const char *local, const char *peer)
{
    b->fd[b->t.n_fds++] = (struct kymo_trace_fd){.ts_ns = 1,
                                                 .process = process,
                                                 .fd = fd,
                                                 .target = trace_text(b, target),
                                                 .local = trace_text(b, local),
                                                 .peer = trace_text(b, peer)};
}

static inline int trace_by_end(const void *a, const void *b)
{
    const struct kymo_trace_call *x = a, *y = b;
    return x->exit_ns < y->exit_ns ? -1 : x->exit_ns > y->exit_ns;
}

/* In order, as a loaded capture is. */
static inline const struct kymo_trace *trace_done(struct tracebuild *b)
{
    struct kymo_trace *t = &b->t;
    uint32_t at = 0;
    qsort(b->call, t->n_calls, sizeof(b->call[0]), trace_by_end);
    for (uint32_t k = 0; k < t->n_threads; k++) {
        uint64_t last = 0;
        b->thread[k].first = at;
        b->thread[k].n = 0;
        for (uint32_t i = 0; i < t->n_calls; i++) {
            if (b->call[i].thread != k)
                continue;
            if (b->call[i].enter_ns < last)
                b->call[i].enter_ns = last;
            last = b->call[i].exit_ns;
            b->order[at++] = i;
            b->thread[k].n++;
        }
    }
    t->first_ns = UINT64_MAX;
    for (uint32_t i = 0; i < t->n_calls; i++) {
        if (b->call[i].enter_ns < t->first_ns)
            t->first_ns = b->call[i].enter_ns;
        t->last_ns = b->call[i].exit_ns;
    }
    t->call = b->call;
    t->order = b->order;
    t->thread = b->thread;
    t->process = b->process;
    t->name = b->name;
    t->fd = b->fd;
    t->text = b->text;
    t->text_bytes = b->text_bytes;
    return t;
}

#endif
