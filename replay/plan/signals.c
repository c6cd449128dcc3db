/* SPDX-License-Identifier: Apache-2.0
 * signals.c: what signals did. Captures hold neither handlers nor masks: a process that ever returned from a
 * handler has handlers, and one that reads signals from a descriptor blocks those that others send it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "replay/plan/compile_own.h"

#define LOOK_AHEAD 8u
#define LOOK_FAR 4096u

static uint32_t target_of(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const int64_t pid = (int32_t)c->arg[0];
    if (m->row[call]->arg == 0)
        return pid > 0 ? family_pid(m, (uint64_t)pid, c->enter_ns) : NONE;
    const uint32_t actor =
        family_tid(m, c->arg[m->row[call]->arg == 1 ? 0 : 1] & UINT32_MAX, c->enter_ns);
    return actor == NONE ? NONE : actor_at(m, actor)->proc;
}

static uint64_t signal_of(const struct maker *m, uint32_t call)
{
    const uint64_t sig = call_at(m, call)->arg[m->row[call]->arg == 2 ? 2 : 1] & UINT32_MAX;
    return sig > 0 && sig <= 64 ? sig : 0;
}

/* Does the process have a descriptor for signals, or will it? */
static kymo_status has_signalfd(const struct maker *m, uint8_t *has)
{
    for (uint32_t i = 0; i < m->t->n_calls; i++)
        if (m->row[i] && m->row[i]->op == OP_MAKE && m->row[i]->arg == O_SIGNAL)
            has[proc_of_call(m, i)] = 1;
    return KYMO_OK;
}

kymo_status signals_find(struct maker *m)
{
    uint8_t *const has = KYMO_NEW(&m->arena, uint8_t, m->procs.n);
    uint32_t count[65] = {0};
    if (!has)
        return maker_too_much(m);
    KYMO_TRY(has_signalfd(m, has));
    for (uint32_t i = 0; i < m->t->n_calls; i++) {
        if (!m->row[i])
            continue;
        if (m->row[i]->op == OP_FOLLOWS)
            proc_at(m, proc_of_call(m, i))->has_handlers = 1;
        if (!strcmp(m->row[i]->name, "rt_sigsuspend"))
            proc_at(m, proc_of_call(m, i))->suspends = 1;
        const uint32_t target =
            m->row[i]->op == OP_KILL && is_ok(call_at(m, i)) ? target_of(m, i) : NONE;
        if (target != NONE && has[target])
            count[signal_of(m, i)]++;
    }
    /* The one that is sent most to those who read signals is what they read. */
    uint32_t most = 0;
    for (uint32_t s = 1; s <= 64; s++)
        if (count[s] > (most ? count[most] : 0))
            most = s;
    for (uint32_t i = 0; i < m->procs.n; i++)
        if (has[i] && most)
            proc_at(m, i)->signals = (uint64_t)1 << (most - 1);
    return KYMO_OK;
}

/* ---- in the walk ---- */

static int was_interrupted(const struct kymo_trace_call *c)
{
    return has_ret(c) && (c->ret == -EINTR || (c->ret <= -512 && c->ret >= -516));
}

/* A signal is on its way: of kill, or of a child's end. */
kymo_status signals_enter(struct maker *m, uint32_t call)
{
    const struct lower_row *row = m->row[call];
    uint32_t target = NONE;
    if (row->op == OP_KILL && is_ok(call_at(m, call)) && signal_of(m, call)) {
        target = target_of(m, call);
        m->note[call].link = target;
    } else if (row->op == OP_EXIT) {
        const struct proc *p = proc_at(m, proc_of_call(m, call));
        if (row->arg || p->n_actors == 1)
            target = p->parent;
    }
    if (target != NONE)
        proc_at(m, target)->signal_by = call;
    return KYMO_OK;
}

/* The end of its process ends the last call of a thread. */
static int died_in_it(const struct maker *m, uint32_t call)
{
    const struct actor *a = actor_at(m, actor_of_call(m, call));
    const struct proc *p = proc_at(m, a->proc);
    return m->index_of[call] + 1 == a->n && p->left_by != NONE &&
           call_at(m, p->left_by)->thread != call_at(m, call)->thread &&
           call_at(m, p->left_by)->enter_ns <= call_at(m, call)->exit_ns;
}

/* The child whose end the thread asks about next, if that was under way: its end came while the call slept. */
static uint32_t child_of_next_wait(const struct maker *m, uint32_t call)
{
    const struct actor *a = actor_at(m, actor_of_call(m, call));
    for (uint32_t i = m->index_of[call] + 1, k = 0; i < a->n && k < LOOK_AHEAD; i++, k++) {
        const uint32_t next = m->t->order[a->first + i];
        if (!m->row[next] || m->row[next]->op != OP_WAIT || m->row[next]->arg)
            continue;
        const struct kymo_trace_call *c = call_at(m, next);
        const uint32_t child =
            is_ok(c) && c->ret > 0 ? family_pid(m, (uint64_t)c->ret, c->exit_ns) : NONE;
        return child != NONE && proc_at(m, child)->has_left && !proc_at(m, child)->is_waited
                   ? child
                   : NONE;
    }
    return NONE;
}

static uint32_t sender_of(struct maker *m, uint32_t call)
{
    struct proc *p = proc_at(m, proc_of_call(m, call));
    if (died_in_it(m, call))
        return p->left_by;
    const uint32_t child = child_of_next_wait(m, call);
    const uint32_t by = child == NONE ? p->signal_by : proc_at(m, child)->left_by;
    p->signal_by = NONE;
    if (child == NONE || by == NONE)
        return by;
    /* its memory took its time to go */
    struct note *end = &m->note[by];
    const uint64_t begin = call_at(m, call)->enter_ns - m->origin;
    if (end->begin <= begin)
        end->begin = end->done = begin + 1;
    return by;
}

kymo_status signals_exit(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct proc *p = proc_at(m, proc_of_call(m, call));
    struct note *n = &m->note[call];
    if (m->row[call]->op == OP_FOLLOWS)
        p->signal_by = NONE;
    if (!was_interrupted(c) || m->row[call]->flags & ROW_MEMORY)
        return KYMO_OK; /* of mappings, `cut` says something else */
    const uint32_t by = sender_of(m, call);
    if (by == NONE)
        return KYMO_OK;
    n->cut = CUT_SIGNAL;
    if (dur_of(c) >= WAITS_NS) {
        n->begin = c->enter_ns - m->origin;
        n->done = c->exit_ns - m->origin;
        n->blocks = 1;
    }
    return by == call ? KYMO_OK : edge_release(m, call, by);
}

/* What rt_sigsuspend waits for was blocked before, lest it came too early. */
uint64_t signals_mask(const struct maker *m, uint32_t call)
{
    static const int held[] = {SIGCHLD, SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM,
                               SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGIO};
    const struct actor *a = actor_at(m, actor_of_call(m, call));
    const struct proc *p = proc_at(m, a->proc);
    const int how = (int)call_at(m, call)->arg[0];
    uint64_t mask = p->signals;
    int waits = 0;
    for (uint32_t i = m->index_of[call] + 1, k = 0;
         p->suspends && i < a->n && !waits && k < LOOK_FAR; i++, k++) {
        const uint32_t next = m->t->order[a->first + i];
        if (m->row[next] && m->row[next]->op == OP_SIGMASK && how != SIG_BLOCK)
            break;
        waits = m->row[next] && m->row[next]->op == OP_SIGWAIT;
    }
    for (size_t i = 0; waits && i < sizeof(held) / sizeof(held[0]); i++)
        mask |= (uint64_t)1 << (held[i] - 1);
    return how == SIG_UNBLOCK ? 0 : mask;
}

/* ---- after it ---- */

/* A signal finds its process where it found it: behind the call that was over, within the one that slept, ahead
 * of the next. */
static kymo_status finds(struct maker *m, uint32_t call, uint32_t target)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct actor *a = actor_at(m, proc_at(m, target)->leader);
    uint32_t low = 0, high = a->n; /* the first of its leader's calls that ended behind */
    while (low < high) {
        const uint32_t mid = (low + high) / 2;
        if (call_at(m, m->t->order[a->first + mid])->exit_ns < c->enter_ns)
            low = mid + 1;
        else
            high = mid;
    }
    if (low)
        KYMO_TRY(edge_add(m, call, m->t->order[a->first + low - 1], 0));
    if (low >= a->n)
        return KYMO_OK;
    const uint32_t hit = m->t->order[a->first + low];
    if (call_at(m, hit)->enter_ns > c->enter_ns)
        return edge_add(m, hit, call, 0);
    return m->note[hit].blocks ? edge_add(m, call, hit, 1) : KYMO_OK;
}

/* A process of which no call says that it ended, and that did, was killed from outside: within its last call, where
 * that was cut short. */
static kymo_status killed(struct maker *m, uint32_t proc)
{
    const struct proc *p = proc_at(m, proc);
    const struct kymo_trace_process *t = p->of == NONE ? NULL : &m->t->process[p->of];
    const struct actor *a = p->leader == NONE ? NULL : actor_at(m, p->leader);
    uint32_t act;
    if (!t || !a || !a->n || p->left_by != NONE || t->died_ns == UINT64_MAX ||
        !(t->code & 127) || t->died_ns < m->origin)
        return KYMO_OK;
    const uint32_t last = m->t->order[a->first + a->n - 1];
    const uint64_t point = call_at(m, last)->exit_ns > t->died_ns
                               ? call_at(m, last)->exit_ns - m->origin
                               : t->died_ns - m->origin;
    KYMO_TRY(act_new(m, KYMO_ACT_SIGNAL, m->null_object, point, &act));
    act_at(m, act)->a.object = NONE;
    act_at(m, act)->a.other = p->leader;
    act_at(m, act)->a.n = SIGKILL;
    return edge_add(m, act | IS_ACT, last, 0);
}

kymo_status signals_finish(struct maker *m)
{
    for (uint32_t i = 0; i < m->procs.n; i++)
        KYMO_TRY(killed(m, i));
    for (uint32_t i = 0; i < m->t->n_calls; i++) {
        const uint8_t op = m->row[i] ? m->row[i]->op : OP_PLAIN;
        const struct proc *p = proc_at(m, proc_of_call(m, i));
        if (op == OP_KILL && m->note[i].link != NONE && signal_of(m, i) &&
            is_ok(call_at(m, i)) && m->note[i].link != actor_at(m, actor_of_call(m, i))->proc) {
            KYMO_TRY(finds(m, i, m->note[i].link));
            if (proc_at(m, m->note[i].link)->signals)
                KYMO_TRY(use_add(m, i, proc_at(m, m->note[i].link)->resource, 1));
        } else if (op == OP_EXIT && p->left_by == i && p->parent != NONE &&
                   proc_at(m, p->parent)->has_handlers) {
            KYMO_TRY(finds(m, i, p->parent));
        } else if (op == OP_READ && m->note[i].object != NONE &&
                   object_at(m, m->note[i].object)->kind == O_SIGNAL) {
            KYMO_TRY(use_add(m, i, p->resource, 0));
        }
    }
    return KYMO_OK;
}
