/* SPDX-License-Identifier: Apache-2.0
 * futexes.c: futexes. All words of the stage are 0 for ever: who slept waits for 0, and whoever was refused
 * because the word was another waits for something else, so that no two threads ever race for a value.
 *
 * Who woke whom: a wake took the longest sleepers that came out of their sleep with 0. Sleepers that nobody of
 * the slice woke are woken by the environment, on a word that it shares.
 */
#include <errno.h>
#include <linux/futex.h>

#include "replay/plan/compile_own.h"

#define LOOK_MAX 1024u

static int command(const struct kymo_trace_call *c)
{
    return (int)c->arg[1] & FUTEX_CMD_MASK;
}

static int is_sleep(int cmd)
{
    return cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET;
}

static kymo_status word_at_address(struct maker *m, uint32_t call, uint64_t address, int is_own,
                                   uint32_t *out)
{
    const uint32_t proc = proc_of_call(m, call);
    uint32_t *at;
    struct word *w;
    KYMO_TRY(hash64_at(m, &m->word_of, hash64_mix(address, is_own ? proc + 1u : 0), &at));
    if (*at == NONE) {
        *at = (uint32_t)m->words.n;
        KYMO_TRY(list_add(m, &m->words, sizeof(*w), &w));
        *w = (struct word){.proc = is_own ? proc : NONE,
                           .address = address,
                           .index = NONE,
                           .is_shared = !is_own,
                           .resource = resource_new(m)};
    }
    *out = *at;
    return KYMO_OK;
}

kymo_status words_enter(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    uint32_t word, *waiter;
    if (m->row[call]->op != OP_FUTEX)
        return KYMO_OK;
    KYMO_TRY(word_at_address(m, call, c->arg[0], (c->arg[1] & FUTEX_PRIVATE_FLAG) != 0, &word));
    m->note[call].extra = word;
    if (!is_sleep(command(c)) || (has_ret(c) && c->ret == -EAGAIN))
        return KYMO_OK;
    struct note *n = &m->note[call];
    n->begin = c->enter_ns - m->origin;
    n->done = c->exit_ns - m->origin;
    n->blocks = 1;
    KYMO_TRY(use_add(m, call, word_at(m, word)->resource, 0));
    if (!has_ret(c) || c->ret)
        return KYMO_OK;
    /* the kernel wakes who came first: who came later lies down when that one sleeps */
    const struct list *before = &word_at(m, word)->waiters;
    if (before->n) {
        const uint32_t last = ((const uint32_t *)before->p)[before->n - 1];
        if (call_at(m, last)->exit_ns > c->enter_ns && call_at(m, last)->thread != c->thread)
            KYMO_TRY(edge_add(m, call, last, 1));
    }
    KYMO_TRY(list_add(m, &word_at(m, word)->waiters, sizeof(*waiter), &waiter));
    *waiter = call;
    return KYMO_OK;
}

static kymo_status wakes(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct word *w = word_at(m, m->note[call].extra);
    uint32_t *const waiter = w->waiters.p;
    int64_t left = c->ret;
    size_t kept = 0;
    for (size_t i = 0; i < w->waiters.n; i++) {
        const uint32_t sleeper = waiter[i];
        const struct kymo_trace_call *s = call_at(m, sleeper);
        if (s->exit_ns < c->enter_ns)
            continue; /* woken before, by somebody unseen */
        if (left > 0 && i < LOOK_MAX && s->enter_ns <= c->exit_ns && s->thread != c->thread) {
            left--;
            m->note[sleeper].link = call;
            KYMO_TRY(edge_add(m, call, sleeper, 1));
            continue;
        }
        waiter[kept++] = sleeper;
    }
    w->waiters.n = kept;
    if (left == c->ret && left > 0) /* whom it woke is not in the slice */
        m->note[call].how = KYMO_HOW_INJECT;
    return KYMO_OK;
}

kymo_status words_exit(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    if (m->row[call]->op != OP_FUTEX || is_sleep(command(c)) || !is_ok(c))
        return KYMO_OK;
    switch (command(c)) {
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
    case FUTEX_WAKE_OP:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        KYMO_TRY(use_add(m, call, word_at(m, m->note[call].extra)->resource, 1));
        return wakes(m, call);
    default:
        return KYMO_OK;
    }
}

/* A thread that is gone wakes who waits for its id; nobody else is seen to. */
static kymo_status wake(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct note *n = &m->note[call];
    uint32_t act;
    word_at(m, n->extra)->is_shared = 1;
    KYMO_TRY(act_release(m, KYMO_ACT_WAKE, call, NONE, m->null_object, &act));
    object_at(m, m->null_object)->act = NONE;
    act_at(m, act)->a.object = NONE;
    act_at(m, act)->a.other = n->extra;
    act_at(m, act)->a.n = 1;
    const uint32_t gone = family_tid(m, c->arg[2], c->exit_ns);
    if (gone == NONE || !actor_at(m, gone)->n)
        return KYMO_OK;
    const struct actor *a = actor_at(m, gone);
    return edge_add(m, act | IS_ACT, m->t->order[a->first + a->n - 1], 0);
}

kymo_status words_finish(struct maker *m)
{
    for (uint32_t i = 0; i < m->t->n_calls; i++) {
        const struct kymo_trace_call *c = call_at(m, i);
        if (m->row[i] && m->row[i]->op == OP_FUTEX && is_sleep(command(c)) && has_ret(c) &&
            c->ret == 0 && m->note[i].link == NONE && m->note[i].extra != NONE)
            KYMO_TRY(wake(m, i));
    }
    /* numbers, now that it is known who is shared */
    for (uint32_t i = 0; i < m->words.n; i++) {
        struct word *w = word_at(m, i);
        uint32_t *const next = w->is_shared ? &m->n_shared_words : &m->n_own_words;
        /* the one behind it is there, too: who moves sleepers moves them to that */
        w->index = *next < KYMO_WORDS_MAX - 2 ? (*next)++ : KYMO_WORDS_MAX - 2;
    }
    for (uint32_t i = 0; i < m->acts.n; i++)
        if (act_at(m, i)->a.kind == KYMO_ACT_WAKE)
            act_at(m, i)->a.other = word_at(m, act_at(m, i)->a.other)->index;
    return KYMO_OK;
}
