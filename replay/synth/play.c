/* SPDX-License-Identifier: Apache-2.0
 * play.c: threads through time. Whose call ends first is next: it is done, its row goes out, and the thread
 * chooses what comes then. Rows so come in the order of their ends, as in a recording.
 */
#include "replay/synth/play.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX UINT64_C(1000000000)
#define SNAPSHOT_NS UINT64_C(10000000000)
#define IDLE_NS 20000000u /* a thread that cannot do anything looks again */
#define IDLE_LOOKS 500u
#define BECOMES_MAX 8 /* roles that a thread goes through between two calls */
#define OWN_GAP_NS 2000u
#define OWN_DUR_NS 5000u
#define GAP_LEAST_NS 20u    /* time goes on, whatever was drawn */
#define CHILD_GAP_NS 30000u /* from a fork's return to the child's own */
#define LOOK_NS 1500u       /* a wait for a child that has ended already */
#define FORK_SHARE 0.9      /* of its call, when what a fork makes is there */
#define VFORK_SHARE 0.1     /* where it returns after the child has begun its program */
#define VFORK_BIT 0x4000u
#define PACE_NS 50000000u /* between looks at how much was done */
#define PACE_S 0.75 /* so far ahead of what was recorded, all goes slower by a factor of e */
#define PACE_MOST 3.0
#define WOKEN_NS 20000u /* from a child's end to the return of who waited */

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

/* -- moments ---------------------------------------------------------------------------------- */

static int is_before(const struct moment *a, const struct moment *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->no < b->no;
}

static kymo_status push_moment(struct play *p, uint32_t actor, uint64_t at_ns,
                               struct kymo_err *err)
{
    if (p->n_heap == p->cap_heap) {
        const size_t cap = p->cap_heap ? p->cap_heap * 2 : 256;
        struct moment *more = realloc(p->heap, cap * sizeof(*more));
        if (!more)
            return no_memory(err);
        p->heap = more;
        p->cap_heap = cap;
    }
    const struct moment m = {at_ns, p->no++, actor, ++p->actor[actor].generation};
    size_t i = p->n_heap++;
    for (; i > 0 && is_before(&m, &p->heap[(i - 1) / 2]); i = (i - 1) / 2)
        p->heap[i] = p->heap[(i - 1) / 2];
    p->heap[i] = m;
    return KYMO_OK;
}

static struct moment pop_moment(struct play *p)
{
    const struct moment first = p->heap[0], last = p->heap[--p->n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < p->n_heap; i = k) {
        k += k + 1 < p->n_heap && is_before(&p->heap[k + 1], &p->heap[k]);
        if (!is_before(&p->heap[k], &last))
            break;
        p->heap[i] = p->heap[k];
    }
    if (p->n_heap)
        p->heap[i] = last;
    return first;
}

/* -- threads ---------------------------------------------------------------------------------- */

uint32_t play_actor(struct play *p, uint32_t process, uint32_t tid, uint32_t role,
                    uint64_t now_ns)
{
    while (p->free_hint < p->n && p->actor[p->free_hint].is_used)
        p->free_hint++;
    uint32_t i = p->free_hint;
    if (i == p->n) {
        if (p->n == p->cap) {
            const uint32_t cap = p->cap ? p->cap * 2 : 64;
            struct actor *more =
                cap <= ACTORS_MAX ? realloc(p->actor, cap * sizeof(*more)) : NULL;
            if (!more)
                return WORLD_NONE;
            memset(more + p->cap, 0, (cap - p->cap) * sizeof(*more));
            p->actor = more;
            p->cap = cap;
        }
        p->n++;
    }
    struct actor *a = &p->actor[i];
    const uint32_t generation = a->generation;
    *a = (struct actor){.process = process,
                        .tid = tid,
                        .role = role,
                        .symbol = SCRIPT_NONE,
                        .last_ns = now_ns,
                        .born_ns = now_ns,
                        .last_fd = -1,
                        .fate = KYMO_FATE_OPEN,
                        .generation = generation,
                        .is_used = 1};
    for (unsigned k = 0; k < KYMO_GRAM - 1; k++)
        a->context[k] = KYMO_SYMBOL_NONE;
    if (role != SCRIPT_NONE && p->script.role[role].begin != SCRIPT_NONE)
        a->context[KYMO_GRAM - 2] = (uint16_t)p->script.role[role].begin;
    p->world.process[process].threads++;
    p->n_live++;
    return i;
}

static void push_context(struct actor *a, uint32_t symbol)
{
    memmove(a->context, a->context + 1, (KYMO_GRAM - 2) * sizeof(*a->context));
    a->context[KYMO_GRAM - 2] = (uint16_t)symbol;
}

/* The thread goes on as the role that its symbol names. */
static void become(struct play *p, struct actor *a, uint32_t role)
{
    const struct script_role *r = &p->script.role[role];
    if (!r->is_fork && !r->is_thread)
        a->fate = KYMO_FATE_OPEN;
    a->role = role;
    a->born_ns = a->last_ns;
    for (unsigned k = 0; k < KYMO_GRAM - 1; k++)
        a->context[k] = KYMO_SYMBOL_NONE;
    if (r->begin != SCRIPT_NONE)
        a->context[KYMO_GRAM - 2] = (uint16_t)r->begin;
}

/* A child whose program was chosen when it was made begins that one, wherever its ways have led it. */
static uint32_t fated(const struct play *p, const struct actor *a,
                      const struct script_symbol *s)
{
    const int ends = s->does == DOES_EXIT || s->does == DOES_EXIT_ALL;
    const int begins = s->is.kind == KYMO_SYMBOL_BECOME &&
                       (s->becomes == SCRIPT_NONE || !p->script.role[s->becomes].is_fork);
    if (!p->script.role[a->role].is_fork || !a->fate || a->fate == KYMO_FATE_OPEN ||
        !(ends || begins))
        return SCRIPT_NONE;
    for (uint32_t i = 0; i < p->script.n; i++)
        if (p->script.role[i].fate == a->fate && !p->script.role[i].is_spawner)
            return i;
    return SCRIPT_NONE;
}

static uint64_t capped(double ns, double cap_ns)
{
    return (uint64_t)fmin(ns, cap_ns);
}

/* When the call that was chosen begins and ends. */
static void set_times(struct play *p, struct actor *a)
{
    const struct script_role *r = &p->script.role[a->role];
    const struct script_symbol *s = play_symbol(p, a);
    double gap_ns, dur_ns;
    if (a->own) {
        gap_ns = OWN_GAP_NS;
        dur_ns = OWN_DUR_NS;
    } else {
        gap_ns = (double)script_time(&s->gap, &p->rng) * r->gap_factor;
        dur_ns = (double)script_time(&s->dur, &p->rng);
        if (s->is.kind == KYMO_SYMBOL_CHILD ||
            (!s->gap.spread->used && a->last_ns == a->born_ns))
            gap_ns = CHILD_GAP_NS * (0.5 + kymo_rng_unit(&p->rng));
    }
    if (s->does == DOES_WAIT && s->is.result == KYMO_RESULT_MORE)
        dur_ns = LOOK_NS; /* it returns when a child ends, at once if one has */
    a->enter_ns = a->last_ns + GAP_LEAST_NS + capped(gap_ns * p->dilation, 1e15);
    a->exit_ns = a->enter_ns;
    if (s->is.result != KYMO_RESULT_NEVER && s->is.kind != KYMO_SYMBOL_CHILD)
        a->exit_ns += capped(fmin(dur_ns, r->dur_cap_ns) * p->dilation, 1e15);
}

static int makes(const struct script_symbol *s)
{
    return s->does == DOES_FORK || s->does == DOES_THREAD;
}

/* The thread's next moment: its call's end, or when it makes what it makes. */
static kymo_status schedule(struct play *p, uint32_t actor, struct kymo_err *err)
{
    struct actor *a = &p->actor[actor];
    const struct script_symbol *s = play_symbol(p, a);
    if (!makes(s))
        return push_moment(p, actor, a->exit_ns, err);
    const int is_early = strcmp(s->name, "vfork") == 0 || strcmp(s->name, "clone3") == 0 ||
                         (s->sums && s->sums->arg[0] & VFORK_BIT);
    const double part = is_early && s->does == DOES_FORK ? VFORK_SHARE : FORK_SHARE;
    const uint64_t dur_ns = a->exit_ns - a->enter_ns;
    uint64_t at_ns = a->enter_ns + (uint64_t)(part * (double)dur_ns);
    at_ns = at_ns > a->last_ns ? at_ns : a->last_ns;
    at_ns = at_ns < SYNTH_START_NS ? SYNTH_START_NS : at_ns;
    return push_moment(p, actor, at_ns < a->exit_ns ? at_ns : a->exit_ns, err);
}

static kymo_status end_actor(struct play *p, uint32_t actor, struct kymo_err *err);

/* Choose what is next, and when. */
static kymo_status go_on(struct play *p, uint32_t actor, struct kymo_err *err)
{
    struct actor *a = &p->actor[actor];
    int there = a->role != SCRIPT_NONE;
    for (int i = 0; there && i < BECOMES_MAX; i++) {
        there = play_choose(p, a);
        const struct script_symbol *s = there ? play_symbol(p, a) : NULL;
        const uint32_t program = there ? fated(p, a, s) : SCRIPT_NONE;
        if (program == SCRIPT_NONE && (!there || s->is.kind != KYMO_SYMBOL_BECOME))
            break;
        if (program == SCRIPT_NONE && s->becomes == SCRIPT_NONE)
            return end_actor(p, actor, err);
        become(p, a, program == SCRIPT_NONE ? s->becomes : program);
        there = i + 1 < BECOMES_MAX;
    }
    if (a->role == SCRIPT_NONE)
        return end_actor(p, actor, err);
    if (there) {
        set_times(p, a);
        a->is_idle = 0;
        return schedule(p, actor, err);
    }
    p->stats.idle++;
    if (!a->is_resident && a->is_idle++ >= BECOMES_MAX)
        return end_actor(p, actor, err);
    a->is_idle |= 0x80;
    a->last_ns += IDLE_NS;
    return push_moment(p, actor, a->last_ns, err);
}

/* -- ends ------------------------------------------------------------------------------------- */

static kymo_status tell_exit(struct play *p, const struct actor *a, int is_last,
                             struct kymo_err *err)
{
    const uint32_t role = a->role;
    struct synthout_process row = {.kind = "exit",
                                   .process = play_process(p, a),
                                   .tid = a->tid,
                                   .comm = role == SCRIPT_NONE ? play_process(p, a)->comm
                                                               : p->script.role[role].comm,
                                   .ts_ns = a->last_ns,
                                   .is_last = is_last};
    if (role != SCRIPT_NONE && p->script.role[role].conduct->ends.n) {
        const struct kymo_ends *e = &p->script.role[role].conduct->ends;
        row.ends = (struct kymo_ends){.utime_ns = e->utime_ns / e->n,
                                      .stime_ns = e->stime_ns / e->n,
                                      .maxrss_bytes = e->maxrss_bytes / e->n,
                                      .minflt = e->minflt / e->n,
                                      .majflt = e->majflt / e->n};
        row.code = kymo_rng_unit(&p->rng) * (double)e->n < (double)e->failed ? 256 : 0;
    }
    return synthout_process(&p->out, &row, err);
}

/* Who waits for a child of the process has one now. */
static kymo_status wake_waiter(struct play *p, uint32_t process, uint64_t now_ns,
                               struct kymo_err *err)
{
    struct world_process *w = &p->world.process[process];
    const uint32_t waiter = w->waiter;
    if (waiter == WORLD_NONE)
        return KYMO_OK;
    w->waiter = WORLD_NONE;
    struct actor *a = &p->actor[waiter];
    a->is_waiting = 0;
    a->exit_ns = now_ns + (uint64_t)(p->dilation * WOKEN_NS * (0.5 + kymo_rng_unit(&p->rng)));
    return push_moment(p, waiter, a->exit_ns, err);
}

static kymo_status end_actor(struct play *p, uint32_t actor, struct kymo_err *err)
{
    struct actor *a = &p->actor[actor];
    const uint32_t process = a->process;
    struct world_process *w = &p->world.process[process];
    const uint32_t parent = w->parent;
    const uint64_t now_ns = a->last_ns;
    w->threads--;
    KYMO_TRY(tell_exit(p, a, w->threads == 0, err));
    a->is_used = 0;
    a->generation++;
    p->n_live--;
    if (actor < p->free_hint)
        p->free_hint = actor;
    if (w->waiter == actor)
        w->waiter = WORLD_NONE;
    if (w->threads)
        return KYMO_OK;
    world_end(&p->world, process);
    return parent == WORLD_NONE ? KYMO_OK : wake_waiter(p, parent, now_ns, err);
}

static kymo_status end_all(struct play *p, uint32_t actor, struct kymo_err *err)
{
    const uint32_t process = p->actor[actor].process;
    const uint64_t now_ns = p->actor[actor].last_ns;
    for (uint32_t i = 0; i < p->n && p->world.process[process].threads > 1; i++) {
        if (i == actor || !p->actor[i].is_used || p->actor[i].process != process)
            continue;
        p->actor[i].last_ns = now_ns;
        KYMO_TRY(end_actor(p, i, err));
    }
    return end_actor(p, actor, err);
}

/* -- a moment --------------------------------------------------------------------------------- */

/* The call was done: the thread goes on. */
static kymo_status after(struct play *p, uint32_t actor, struct kymo_err *err)
{
    struct actor *a = &p->actor[actor];
    if (!a->own) {
        push_context(a, a->symbol);
        return go_on(p, actor, err);
    }
    p->stats.enabling++;
    a->own = NULL;
    if (!play_is_legal(p, a, play_symbol(p, a)))
        return go_on(p, actor, err);
    set_times(p, a);
    return schedule(p, actor, err);
}

static kymo_status act(struct play *p, uint32_t actor, uint64_t at_ns, struct kymo_err *err)
{
    enum deed deed;
    struct actor *a = &p->actor[actor];
    if (a->is_idle & 0x80) {
        a->is_idle &= 0x7f;
        return go_on(p, actor, err);
    }
    if (makes(play_symbol(p, a)) && !a->child && play_is_legal(p, a, play_symbol(p, a))) {
        uint32_t made;
        KYMO_TRY(play_make_child(p, actor, at_ns, &made, err));
        KYMO_TRY(go_on(p, made, err));
        return push_moment(p, actor, p->actor[actor].exit_ns, err);
    }
    KYMO_TRY(play_do(p, actor, &deed, err));
    a = &p->actor[actor];
    if (deed == DEED_WAITS) {
        struct world_process *w = play_process(p, a);
        if (w->waiter != WORLD_NONE) /* another thread does already: look again later */
            return push_moment(p, actor, a->exit_ns += IDLE_NS, err);
        w->waiter = actor;
        a->is_waiting = 1;
        return KYMO_OK;
    }
    a->last_ns = a->exit_ns;
    if (deed == DEED_ENDS)
        return end_actor(p, actor, err);
    if (deed == DEED_ENDS_ALL)
        return end_all(p, actor, err);
    return deed == DEED_REFUSED ? go_on(p, actor, err) : after(p, actor, err);
}

/* -- the start -------------------------------------------------------------------------------- */

static kymo_status open_start(struct play *p, uint32_t process, const struct script_role *r,
                              uint32_t role, struct kymo_err *err)
{
    struct world_process *w = &p->world.process[process];
    for (int on = 1; on < KYMO_ON_FDS; on++) {
        const uint32_t least = on == KYMO_ON_FILE ? WORLD_STANDARD : 0;
        for (uint32_t i = 0; i < (r->fds[on] > least ? r->fds[on] : least); i++) {
            uint32_t id = p->world.next_id++;
            if (on == KYMO_ON_FILE || on == KYMO_ON_DIR)
                id = world_name(&p->world, role, on == KYMO_ON_FILE ? NAME_FILE : NAME_DIR,
                                KYMO_RECENCY_NEW, &p->rng);
            const int32_t fd = world_open(w, (enum kymo_on)on, 0, 0, id, 0);
            if (id == UINT32_MAX || fd < 0)
                return no_memory(err);
            if (on != KYMO_ON_FILE && on != KYMO_ON_DIR && r->fds[KYMO_ON_EPOLL] &&
                on != KYMO_ON_EPOLL && on != KYMO_ON_OTHER && on != KYMO_ON_SOCKET)
                world_watch(w, fd, 1);
        }
    }
    return KYMO_OK;
}

/* A process as its role has them; silent: nothing is known of what its first thread does. */
static uint32_t start_process(struct play *p, const char *comm, uint32_t role)
{
    const uint32_t i = world_begin(&p->world, WORLD_NONE, SYNTH_START_NS - 1000000000u);
    if (i == WORLD_NONE)
        return i;
    p->world.process[i].comm = comm;
    p->world.process[i].role = role;
    return i;
}

/* One that was there before: somewhere in its ways, in the middle of a call. */
static kymo_status start_actor(struct play *p, uint32_t process, uint32_t tid, uint32_t role,
                               struct kymo_err *err)
{
    const uint32_t i = play_actor(p, process, tid, role, SYNTH_START_NS);
    if (i == WORLD_NONE)
        return no_memory(err);
    struct actor *a = &p->actor[i];
    a->is_resident = 1;
    p->stats.threads++;
    script_any_context(&p->script.role[role], &p->rng, a->context);
    if (!play_choose(p, a) || play_symbol(p, a)->is.kind == KYMO_SYMBOL_BECOME)
        return go_on(p, i, err);
    set_times(p, a);
    const uint64_t cycle_ns = a->exit_ns - a->last_ns;
    const uint64_t past_ns = kymo_rng_below(&p->rng, cycle_ns + 1);
    const uint64_t back_ns = past_ns < SYNTH_START_NS / 2 ? past_ns : SYNTH_START_NS / 2;
    a->enter_ns -= back_ns;
    a->exit_ns -= back_ns;
    a->last_ns = a->enter_ns < SYNTH_START_NS ? SYNTH_START_NS : a->last_ns;
    return schedule(p, i, err);
}

static kymo_status start_role(struct play *p, uint32_t role, struct kymo_err *err)
{
    const struct script_role *r = &p->script.role[role];
    for (uint32_t i = 0; i < r->at_start && !r->is_thread; i++) {
        const uint32_t process = start_process(p, r->comm, role);
        if (process == WORLD_NONE)
            return no_memory(err);
        p->stats.processes++;
        KYMO_TRY(open_start(p, process, r, role, err));
        KYMO_TRY(start_actor(p, process, p->world.process[process].pid, role, err));
    }
    return KYMO_OK;
}

/* Threads join the processes of their leader's role in turn; without any, one whose first thread is silent. */
static kymo_status start_threads(struct play *p, uint32_t role, struct kymo_err *err)
{
    const struct script_role *r = &p->script.role[role];
    uint32_t at = 0, host = WORLD_NONE;
    for (uint32_t i = 0; i < r->at_start; i++) {
        uint32_t seen = 0;
        for (uint32_t k = 0; k < p->world.n && r->leader != SCRIPT_NONE; k++) {
            const uint32_t m = (at + k) % p->world.n;
            if (p->world.process[m].is_used && p->world.process[m].role == r->leader) {
                host = m;
                at = m + 1;
                seen = 1;
                break;
            }
        }
        if (!seen && host == WORLD_NONE) {
            host = start_process(p, *r->leader_comm ? r->leader_comm : r->comm, role);
            if (host == WORLD_NONE)
                return no_memory(err);
            p->stats.processes++;
            p->world.process[host].threads = 1;
            KYMO_TRY(open_start(p, host, r, role, err));
        }
        KYMO_TRY(start_actor(p, host, world_pid(&p->world), role, err));
    }
    return KYMO_OK;
}

/* Which processes there are, and what they have open. */
static kymo_status take_snapshot(struct play *p, uint64_t now_ns, struct kymo_err *err)
{
    for (uint32_t i = 0; i < p->world.n; i++) {
        const struct world_process *w = &p->world.process[i];
        if (!w->is_used)
            continue;
        const struct synthout_process row = {
            .kind = "snapshot", .process = w, .tid = w->pid, .comm = w->comm, .ts_ns = now_ns};
        KYMO_TRY(synthout_process(&p->out, &row, err));
        for (int32_t fd = 0; fd < w->n_fds; fd++)
            if (w->fd[fd].is_open)
                KYMO_TRY(synthout_open_fd(&p->out, now_ns, w, fd, err));
    }
    return KYMO_OK;
}

/*
 * Chance, and what had to be made legal, change how much is done in a second. Time passes faster or slower for all
 * threads together, which changes none of what they do, so that what was done keeps to the pace that was recorded.
 */
static void keep_pace(struct play *p, uint64_t now_ns)
{
    const double s = (double)(now_ns - SYNTH_START_NS) / 1e9;
    const double ahead_s = (double)p->stats.calls / p->script.calls_per_s - s;
    p->dilation = exp(fmin(fmax(ahead_s / PACE_S, -PACE_MOST), PACE_MOST));
}

static kymo_status run(struct play *p, struct kymo_err *err)
{
    const uint64_t calls_max = p->o->calls_max ? p->o->calls_max : CALLS_MAX;
    uint64_t snapshot_ns = SYNTH_START_NS + SNAPSHOT_NS, pace_ns = SYNTH_START_NS;
    for (uint32_t i = 0; i < p->script.n; i++)
        KYMO_TRY(start_role(p, i, err));
    for (uint32_t i = 0; i < p->script.n; i++)
        if (p->script.role[i].is_thread)
            KYMO_TRY(start_threads(p, i, err));
    KYMO_TRY(synthout_begin(&p->out, p->o->note ? p->o->note : "", err));
    KYMO_TRY(take_snapshot(p, SYNTH_START_NS, err));
    while (p->n_heap && p->stats.calls < calls_max) {
        const struct moment m = pop_moment(p);
        if (m.at_ns >= p->end_ns)
            break;
        if (!p->actor[m.actor].is_used || p->actor[m.actor].generation != m.generation)
            continue;
        if (m.at_ns >= snapshot_ns) {
            KYMO_TRY(take_snapshot(p, snapshot_ns, err));
            snapshot_ns += SNAPSHOT_NS;
        }
        if (m.at_ns >= pace_ns) {
            keep_pace(p, m.at_ns);
            pace_ns = m.at_ns + PACE_NS;
        }
        KYMO_TRY(act(p, m.actor, m.at_ns, err));
    }
    p->stats.is_cut = p->stats.calls >= calls_max;
    return synthout_finish(&p->out, p->end_ns, err);
}

static uint32_t own_arch(void)
{
#if defined(__aarch64__)
    return KYMO_ARCH_AARCH64;
#else
    return KYMO_ARCH_X86_64;
#endif
}

kymo_status kymo_synth(const struct kymo_behaviour *b, const struct kymo_symbols *s,
                       const struct kymo_synth_opts *opts, int fd, const char *name,
                       struct kymo_synth_stats *stats, struct kymo_err *err)
{
    struct kymo_synth_opts o = *opts;
    struct play p = {.o = &o, .end_ns = SYNTH_START_NS + o.duration_ns, .dilation = 1};
    o.arch = o.arch ? o.arch : own_arch();
    o.rate = o.rate > 0 ? o.rate : 1;
    const struct script_opts so = {o.arch, o.rate, o.threads};
    kymo_rng_init(&p.rng, o.seed);
    kymo_status status = script_make(&p.script, b, s, &so, err);
    if (!status)
        status = world_init(&p.world, p.script.n, err);
    if (!status)
        status = synthout_open(&p.out, fd, name, o.arch, err);
    if (!status) {
        play_make_enablers(&p);
        status = run(&p, err);
    }
    p.stats.aim_per_s = p.script.calls_per_s;
    if (!status)
        *stats = p.stats;
    synthout_close(&p.out);
    world_release(&p.world);
    script_release(&p.script);
    free(p.actor);
    free(p.heap);
    return status;
}
