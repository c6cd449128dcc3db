/* SPDX-License-Identifier: Apache-2.0
 * lineage.c: processes and threads: who is there at the start, and which call makes whom.
 *
 * A call that returned a number made the thread of that number whose first call ends next after it began. Calls
 * that overlap may so claim to have made each other: a ring is opened before anyone walks along it.
 */
#include <string.h>

#include "replay/plan/compile_own.h"

#define LOOK_MAX 64u
#define CHILD_ROW 2 /* KYMO_CALL_CHILD */
#define CLONE_PARENT_BIT 0x8000u

static uint32_t first_call(const struct maker *m, uint32_t thread)
{
    const struct kymo_trace_thread *th = &m->t->thread[thread];
    return th->n ? m->t->order[th->first] : NONE;
}

static int is_fork(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    return m->row[call] && m->row[call]->op == OP_FORK && has_ret(c) && c->ret > 0 &&
           !(c->flags & CHILD_ROW) && !is_unfinished(c) && c->here >= 0;
}

/* Is b, the first call of a thread, later than call a? */
static int comes_after(const struct maker *m, uint32_t b, uint32_t a)
{
    const uint64_t x = call_at(m, a)->enter_ns, y = call_at(m, b)->exit_ns;
    return y != x ? y > x : b > a;
}

static kymo_status index_threads(struct maker *m)
{
    const struct kymo_trace *t = m->t;
    KYMO_TRY(maker_words(m, &m->thread_next, t->n_threads, NONE));
    KYMO_TRY(maker_words(m, &m->process_next, t->n_processes, NONE));
    KYMO_TRY(maker_words(m, &m->actor_of, t->n_threads, NONE));
    KYMO_TRY(maker_words(m, &m->proc_of, t->n_processes, NONE));
    for (uint32_t i = 0; i < t->n_threads; i++) {
        uint32_t *head;
        KYMO_TRY(hash64_at(m, &m->by_tid, t->thread[i].tid, &head));
        m->thread_next[i] = *head;
        *head = i;
    }
    for (uint32_t i = 0; i < t->n_processes; i++) {
        uint32_t *head;
        KYMO_TRY(hash64_at(m, &m->by_pid, t->process[i].pid, &head));
        m->process_next[i] = *head;
        *head = i;
    }
    return KYMO_OK;
}

/* The thread that a call made, NONE. maker: [threads] the calls that made them so far. */
static uint32_t made_by(const struct maker *m, uint32_t call, const uint32_t *maker)
{
    const uint64_t tid = (uint64_t)call_at(m, call)->ret;
    uint32_t best = NONE, tries = 0;
    if (tid > UINT32_MAX)
        return NONE;
    for (uint32_t i = hash64_get(&m->by_tid, tid); i != NONE && tries < 64;
         i = m->thread_next[i], tries++) {
        const uint32_t first = first_call(m, i);
        if (maker[i] != NONE || i == call_at(m, call)->thread)
            continue;
        if (first == NONE
                ? best == NONE
                : comes_after(m, first, call) &&
                      (best == NONE || first_call(m, best) == NONE ||
                       call_at(m, first)->exit_ns < call_at(m, first_call(m, best))->exit_ns))
            best = i;
    }
    return best;
}

static kymo_status add_proc(struct maker *m, uint32_t of, uint32_t *out)
{
    struct proc *p;
    *out = (uint32_t)m->procs.n;
    KYMO_TRY(list_add(m, &m->procs, sizeof(*p), &p));
    *p = (struct proc){.of = of,
                       .parent = NONE,
                       .root = *out,
                       .leader = NONE,
                       .at_start = 1,
                       .forked_by = NONE,
                       .first_child = NONE,
                       .next_child = NONE,
                       .left_by = NONE,
                       .signal_by = NONE,
                       .cwd = NONE,
                       .start_cwd = NONE,
                       .umask = 022,
                       .resource = resource_new(m),
                       .table_resource = resource_new(m)};
    if (of != NONE)
        m->proc_of[of] = *out;
    return KYMO_OK;
}

static kymo_status add_actor(struct maker *m, uint32_t of, uint32_t proc, uint32_t *out)
{
    struct actor *a;
    if (m->actors.n > m->o->processes_max)
        return KYMO_FAIL(m->err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "more than %u processes and threads; see --max-processes",
                         m->o->processes_max);
    *out = (uint32_t)m->actors.n;
    KYMO_TRY(list_add(m, &m->actors, sizeof(*a), &a));
    *a = (struct actor){.of = of,
                        .proc = proc,
                        .lane = proc_at(m, proc)->n_actors++,
                        .maker = NONE,
                        .maker_call = NONE,
                        .at_start = 1,
                        .last_wait = NONE};
    if (of != NONE) {
        m->actor_of[of] = *out;
        a->first = m->t->thread[of].first;
        a->n = m->t->thread[of].n;
    }
    return KYMO_OK;
}

/* Leaders first, whose lane is 0. */
static kymo_status add_threads(struct maker *m, const uint32_t *maker)
{
    const struct kymo_trace *t = m->t;
    uint32_t proc, actor;
    for (uint32_t i = 0; i < t->n_threads; i++) {
        const uint32_t process = t->thread[i].process;
        if ((!t->thread[i].n && maker[i] == NONE) || m->proc_of[process] != NONE)
            continue;
        KYMO_TRY(add_proc(m, process, &proc));
        KYMO_TRY(add_actor(m, t->process[process].leader, proc, &actor));
        proc_at(m, proc)->leader = actor;
    }
    for (uint32_t i = 0; i < t->n_threads; i++)
        if ((t->thread[i].n || maker[i] != NONE) && m->actor_of[i] == NONE)
            KYMO_TRY(add_actor(m, i, m->proc_of[t->thread[i].process], &actor));
    return KYMO_OK;
}

static void made(struct maker *m, uint32_t call, uint32_t actor)
{
    struct actor *a = actor_at(m, actor);
    struct proc *p = proc_at(m, a->proc);
    a->maker = m->actor_of[call_at(m, call)->thread];
    a->maker_call = call;
    a->at_start = 0;
    m->note[call].link = actor;
    if (a->proc == actor_at(m, a->maker)->proc) {
        m->note[call].how = KYMO_HOW_THREAD;
        return;
    }
    m->note[call].how = KYMO_HOW_FORK;
    p->at_start = 0;
    p->forked_by = call;
    p->parent = actor_at(m, a->maker)->proc;
}

/* A child of which the slice has nothing: one that does nothing. */
static kymo_status make_up(struct maker *m, uint32_t call)
{
    uint32_t proc, actor;
    KYMO_TRY(add_proc(m, NONE, &proc));
    KYMO_TRY(add_actor(m, NONE, proc, &actor));
    proc_at(m, proc)->leader = actor;
    made(m, call, actor);
    return KYMO_OK;
}

/* The thread without which this one would not be, NONE. */
static uint32_t ahead_of(const struct maker *m, const uint32_t *maker, uint32_t thread)
{
    const uint32_t leader = m->t->process[m->t->thread[thread].process].leader;
    if (maker[thread] != NONE)
        return call_at(m, maker[thread])->thread;
    return leader == thread ? NONE : leader;
}

/* Who comes from himself comes from nobody. All that a walk has passed leads to where it is: to come to one of
 * them again is to be in a ring, of whom one at least has a maker. */
static kymo_status open_rings(struct maker *m, uint32_t *maker)
{
    uint32_t *walk; /* by which each was passed */
    KYMO_TRY(maker_words(m, &walk, m->t->n_threads, 0));
    for (uint32_t i = 0; i < m->t->n_threads; i++)
        for (uint32_t at = i; at != NONE && (!walk[at] || walk[at] == i + 1);
             at = ahead_of(m, maker, at)) {
            if (walk[at] && maker[at] == NONE)
                at = ahead_of(m, maker, at);
            if (walk[at])
                maker[at] = NONE;
            walk[at] = i + 1;
        }
    return KYMO_OK;
}

/* May this call have made that thread? A process is made with its leader, and a leader with its process. */
static int may_make(const struct maker *m, uint32_t call, uint32_t child)
{
    const uint32_t process = m->t->thread[child].process;
    const int is_own = process == m->t->thread[call_at(m, call)->thread].process;
    return is_own == (m->t->process[process].leader != child);
}

/* A process that has a thread which nobody made was there before: threads begin with their process, or are made. */
static void keep_together(const struct maker *m, uint32_t *maker)
{
    for (uint32_t i = 0; i < m->t->n_threads; i++) {
        const struct kymo_trace_thread *th = &m->t->thread[i];
        const uint32_t leader = m->t->process[th->process].leader;
        if (th->n && maker[i] == NONE && leader != NONE)
            maker[leader] = NONE;
    }
}

static kymo_status find_makers(struct maker *m)
{
    uint32_t *maker;
    KYMO_TRY(maker_words(m, &maker, m->t->n_threads, NONE));
    for (uint32_t i = 0; i < m->t->n_calls; i++) {
        const uint32_t child = is_fork(m, i) ? made_by(m, i, maker) : NONE;
        if (child != NONE && may_make(m, i, child))
            maker[child] = i;
    }
    KYMO_TRY(open_rings(m, maker));
    keep_together(m, maker);
    KYMO_TRY(add_threads(m, maker));
    for (uint32_t i = 0; i < m->t->n_threads; i++)
        if (maker[i] != NONE)
            made(m, maker[i], m->actor_of[i]);
    for (uint32_t i = 0; i < m->t->n_calls; i++)
        if (is_fork(m, i) && m->note[i].link == NONE)
            KYMO_TRY(make_up(m, i));
    return KYMO_OK;
}

/* Who is at whose start: the root of a line of forks. */
static void find_roots(struct maker *m)
{
    for (uint32_t i = 0; i < m->procs.n; i++) {
        uint32_t root = i;
        while (!proc_at(m, root)->at_start)
            root = proc_at(m, root)->parent;
        for (uint32_t p = i; p != root;) {
            const uint32_t up = proc_at(m, p)->parent;
            proc_at(m, p)->root = root;
            /* a step of many is made once */
            if (proc_at(m, up)->root == root && up != root)
                break;
            p = up;
        }
    }
    for (uint32_t i = 0; i < m->procs.n; i++) {
        struct proc *p = proc_at(m, i);
        const uint32_t up = p->at_start && p->of != NONE ? m->t->process[p->of].parent : NONE;
        if (up == NONE || m->proc_of[up] == NONE)
            continue;
        const struct proc *q = proc_at(m, m->proc_of[up]);
        /* older first, lest two be each other's parent */
        if (q->at_start && m->t->process[up].start_ns < m->t->process[p->of].start_ns)
            p->parent = m->proc_of[up];
    }
}

kymo_status family_find(struct maker *m)
{
    struct actor *environment;
    KYMO_TRY(list_add(m, &m->actors, sizeof(*environment), &environment));
    *environment = (struct actor){.of = NONE, .proc = NONE, .maker = NONE, .maker_call = NONE};
    KYMO_TRY(index_threads(m));
    KYMO_TRY(find_makers(m));
    find_roots(m);
    for (uint32_t a = 1; a < m->actors.n; a++) {
        const struct actor *x = actor_at(m, a);
        for (uint32_t i = 0; i < x->n; i++)
            m->index_of[m->t->order[x->first + i]] = i;
    }
    return KYMO_OK;
}

/* ---- by number ---- */

uint32_t family_pid(const struct maker *m, uint64_t pid, uint64_t ns)
{
    uint32_t best = NONE, tries = 0;
    if (!pid || pid > UINT32_MAX)
        return NONE;
    for (uint32_t i = hash64_get(&m->by_pid, pid); i != NONE && tries < 64;
         i = m->process_next[i], tries++) {
        const struct kymo_trace_process *p = &m->t->process[i];
        if (m->proc_of[i] != NONE && p->born_ns <= ns &&
            (best == NONE || p->start_ns > m->t->process[best].start_ns))
            best = i;
    }
    return best == NONE ? NONE : m->proc_of[best];
}

uint32_t family_tid(const struct maker *m, uint64_t tid, uint64_t ns)
{
    uint32_t best = NONE, tries = 0;
    if (!tid || tid > UINT32_MAX)
        return NONE;
    for (uint32_t i = hash64_get(&m->by_tid, tid); i != NONE && tries < 64;
         i = m->thread_next[i], tries++) {
        const uint32_t first = first_call(m, i);
        if (m->actor_of[i] != NONE && (first == NONE || call_at(m, first)->enter_ns <= ns) &&
            (best == NONE || first_call(m, best) == NONE ||
             (first != NONE && first > first_call(m, best))))
            best = i;
    }
    return best == NONE ? NONE : m->actor_of[best];
}

/* ---- ends ---- */

/* A look that found no child dead comes before their ends. */
static kymo_status none_yet(struct maker *m, uint32_t call)
{
    uint32_t n = 0;
    const int is_pid = m->row[call]->arg == 0 && (int32_t)call_at(m, call)->arg[0] > 0;
    for (uint32_t p = proc_at(m, proc_of_call(m, call))->first_child; p != NONE && n < LOOK_MAX;
         p = proc_at(m, p)->next_child, n++) {
        const struct proc *child = proc_at(m, p);
        if (child->is_waited || (is_pid && child->of != NONE &&
                                 m->t->process[child->of].pid != call_at(m, call)->arg[0]))
            continue;
        if (child->has_left && child->left_by != NONE) {
            /* it was leaving, and not yet gone */
            struct note *end = &m->note[child->left_by];
            if (end->begin <= m->note[call].done)
                end->begin = end->done = m->note[call].done + 1;
        }
        KYMO_TRY(use_add(m, call, proc_at(m, p)->resource, 0));
    }
    return KYMO_OK;
}

static kymo_status waited(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct note *n = &m->note[call];
    const int is_id = m->row[call]->arg == 1;
    uint32_t child = NONE;
    if (!is_ok(c))
        return KYMO_OK;
    if (!is_id && c->ret > 0) {
        child = family_pid(m, (uint64_t)c->ret, c->exit_ns);
        if (child == NONE) { /* one that was made up */
            for (uint32_t i = (uint32_t)m->procs.n; i-- > 0 && child == NONE;) {
                const struct proc *p = proc_at(m, i);
                if (p->of != NONE)
                    break;
                if (p->forked_by != NONE && call_at(m, p->forked_by)->ret == c->ret)
                    child = i;
            }
        }
    } else if (is_id && (c->arg[0] == 1) && c->ret == 0) {
        child = family_pid(m, c->arg[1], c->exit_ns);
    }
    n->link = child;
    if (child != NONE)
        proc_at(m, child)->is_waited = 1;
    return c->ret ? KYMO_OK : none_yet(m, call);
}

kymo_status family_exit(struct maker *m, uint32_t call)
{
    const struct lower_row *row = m->row[call];
    const uint32_t proc = proc_of_call(m, call);
    if (row->op == OP_WAIT)
        return waited(m, call);
    if (row->op == OP_EXIT) {
        struct proc *p = proc_at(m, proc);
        if (p->left_by == NONE || row->arg)
            p->left_by = call;
        return use_add(m, call, p->resource, 1);
    }
    return KYMO_OK;
}

/* A wait that found a child comes after what ended it, or, where it slept until then, before. */
kymo_status family_finish(struct maker *m)
{
    for (uint32_t i = 0; i < m->t->n_calls; i++) {
        if (!m->row[i] || m->row[i]->op != OP_WAIT || m->note[i].link == NONE)
            continue;
        const uint32_t end = proc_at(m, m->note[i].link)->left_by;
        if (end == NONE)
            continue;
        if (m->note[i].blocks && m->note[i].begin < m->note[end].begin)
            KYMO_TRY(edge_add(m, end, i, 1));
        else
            KYMO_TRY(edge_add(m, i, end, 0));
    }
    return KYMO_OK;
}
