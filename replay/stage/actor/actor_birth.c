/* SPDX-License-Identifier: Apache-2.0
 * actor_birth.c: processes and threads that are made, become another program, and end: by the same calls as
 * recorded, with flags of which no harm comes.
 *
 * A child that borrows its parent's memory (vfork, and clone with CLONE_VM | CLONE_VFORK, as posix_spawn does) is
 * a guest in its parent's lane: the parent sleeps, and only its stack must stay as it is.
 */
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "replay/stage/actor/actor.h"

#define FOR_THREADS                                                                            \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define OF_PROCESSES (CSIGNAL | CLONE_VFORK | CLONE_PARENT | CLONE_IO)
#define ENOSYS_NR 38

static uint32_t lanes_mapped;

char *lane_of(uint32_t lane)
{
    return place(KYMO_LANE_BASE + (uint64_t)lane * KYMO_LANE_BYTES);
}

void lanes_map(uint32_t n)
{
    if (n > KYMO_LANES_MAX)
        n = KYMO_LANES_MAX;
    if (n <= lanes_mapped)
        return;
    /* PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE */
    own_call(__NR_mmap, address(lane_of(lanes_mapped)),
             (uint64_t)(n - lanes_mapped) * KYMO_LANE_BYTES, 3, 0x4032, (uint64_t)-1, 0);
    lanes_mapped = n;
}

void self_init(struct self *s, uint32_t actor, struct fdmap *m, char *lane)
{
    const struct kymo_iactor *a = SECTION(kymo_iactor, actor) + actor;

    *s = (struct self){
        .index = actor,
        .process = a->process,
        .call = SECTION(kymo_icall, call) + a->call,
        .n_calls = a->n_calls,
        .outcome = OUTCOME + a->call,
        .progress = PROGRESS + actor,
        .fd = m,
        .lane = lane,
        .pace = CONTROL->pace,
        .zero_ns = CONTROL->zero_ns,
        .spin_ns = CONTROL->spin_ns,
    };
}

void name_set(kymo_blob name)
{
    if (name)
        own_call(__NR_prctl, PR_SET_NAME, address(BLOB + name), 0, 0, 0, 0);
}

static uint32_t my_tid(void)
{
    return (uint32_t)own_call(__NR_gettid, 0, 0, 0, 0, 0, 0);
}

void appear(const struct self *s, uint32_t tid)
{
    __atomic_store_n(&s->progress->tid, tid, __ATOMIC_RELEASE);
    __atomic_store_n(&s->progress->state, KYMO_ACTOR_READY, __ATOMIC_RELEASE);
    name_set(SECTION(kymo_iactor, actor)[s->index].comm);
}

/* ---- processes ------------------------------------------------------------------------------- */

static void map_copy(struct fdmap *to, const struct fdmap *from)
{
    const uint32_t high = to->high > from->high ? to->high : from->high;

    for (uint32_t i = 0; i < high; i++)
        if (to->by[i] != from->by[i])
            to->by[i] = from->by[i];
    to->n_odd = from->n_odd;
    to->high = from->high;
}

/* On the lane that is the leader's own. */
static void leader_plays(void *actor)
{
    const uint32_t index = (uint32_t)(uintptr_t)actor;
    struct self s;

    self_init(&s, index, &process_fd, lane_of(SECTION(kymo_iactor, actor)[index].lane));
    appear(&s, PID[s.process]);
    script_play(&s, 0);
}

/* In a child, on the guest's stack of its parent's lane, which is a copy unless the child is a guest. */
static void child_begins(void *of_parent)
{
    const struct self *parent = of_parent;
    const uint32_t process = parent->birth->other, tid = my_tid();
    const struct kymo_iprocess *p = SECTION(kymo_iprocess, process) + process;

    __atomic_store_n(&PID[process], tid, __ATOMIC_RELEASE);
    if (parent->birth_shares) {
        struct fdmap *m = (struct fdmap *)(void *)parent->lane;
        struct self s;
        map_copy(m, parent->fd);
        self_init(&s, p->leader, m, parent->lane);
        s.is_guest = 1;
        appear(&s, tid);
        script_play(&s, 0);
    }
    if (parent->fd != &process_fd)
        map_copy(&process_fd, parent->fd);
    lanes_map(p->n_lanes);
    kymo_switch(lane_of(SECTION(kymo_iactor, actor)[p->leader].lane) + KYMO_LANE_BYTES,
                leader_plays, place(p->leader));
}

/* The flags of the recorded call, as clone's. clone3 keeps them in memory, which a recording does not show:
 * who makes the image puts them into the first argument, else it is a plain child. */
static uint64_t recorded_flags(const struct kymo_icall *c)
{
#ifdef __NR_fork
    if (c->nr == __NR_fork)
        return SIGCHLD;
    if (c->nr == __NR_vfork)
        return CLONE_VM | CLONE_VFORK | SIGCHLD;
#endif
    if (c->kind[0] != KYMO_ARG_IMM || c->arg[0] >> 34)
        return SIGCHLD;
    return c->arg[0];
}

/* clone's arguments, or those of clone3 in `room`. */
static void clone_args(const struct kymo_icall *c, uint64_t flags, char *stack, uint64_t *room,
                       uint64_t arg[6])
{
    for (unsigned i = 0; i < 6; i++)
        arg[i] = 0;
    for (unsigned i = 0; i < 8; i++)
        room[i] = 0;
    if (c->nr == __NR_clone3) {
        room[0] = flags & ~(uint64_t)CSIGNAL;
        room[4] = flags & CSIGNAL;
        if (stack) {
            room[5] = address(stack) - 4096;
            room[6] = 4096; /* where it lies; it grows as it likes */
        }
        arg[0] = address(room);
        arg[1] = 64;
    } else if (c->nr == __NR_clone) {
        arg[0] = flags;
        arg[1] = address(stack);
    }
}

void birth_process(struct self *s, uint32_t i)
{
    const struct kymo_icall *c = &s->call[i];
    const uint64_t recorded = recorded_flags(c);
    const uint32_t leader = SECTION(kymo_iprocess, process)[c->other].leader;
    char *stack = s->lane + KYMO_LANE_STACK;
    uint64_t arg[6], room[8], flags = recorded & OF_PROCESSES;
    long nr = c->nr;

    s->birth_shares = recorded & CLONE_VM && recorded & CLONE_VFORK && !s->is_guest;
    if (s->birth_shares)
        flags |= CLONE_VM;
    clone_args(c, flags, s->birth_shares ? stack : 0, room, arg);
#ifdef __NR_vfork
    if (nr == __NR_vfork && !s->birth_shares) {
        nr = __NR_clone;
        arg[0] = flags;
    }
#endif
    s->birth = c;
    outcome_begin(s, i, moment_of(s, c));
    const long ret = kymo_spawn(nr, arg, stack, child_begins, s);
    outcome_end(s, i, ret);
    if (ret > 0)
        __atomic_store_n(&PID[c->other], (uint32_t)ret, __ATOMIC_RELEASE);
    else
        actor_lost(leader);
    kymo_done(s->progress, i);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void thread_plays(void *actor)
{
    const uint32_t index = (uint32_t)(uintptr_t)actor;
    struct self s;

    self_init(&s, index, &process_fd, lane_of(SECTION(kymo_iactor, actor)[index].lane));
    appear(&s, my_tid());
    script_play(&s, 0);
}

void start_wait(void)
{
    __atomic_fetch_add(&MORE->ready, 1, __ATOMIC_SEQ_CST);
    kymo_stage_futex(&MORE->ready, KYMO_FUTEX_WAKE, INT32_MAX, 0);
    while (!__atomic_load_n(&CONTROL->go, __ATOMIC_ACQUIRE))
        kymo_stage_futex(&CONTROL->go, KYMO_FUTEX_WAIT, 0, 0);
    if (CONTROL->go != 1)
        own_call(__NR_exit_group, 0, 0, 0, 0, 0, 0);
}

static void thread_waits(void *actor)
{
    const uint32_t index = (uint32_t)(uintptr_t)actor;
    struct self s;

    self_init(&s, index, &process_fd, lane_of(SECTION(kymo_iactor, actor)[index].lane));
    appear(&s, my_tid());
    start_wait();
    self_init(&s, index, &process_fd, s.lane);
    script_play(&s, 0);
}

static char *stack_of(uint32_t actor)
{
    const uint32_t lane = SECTION(kymo_iactor, actor)[actor].lane;

    return lane < lanes_mapped ? lane_of(lane) + KYMO_LANE_BYTES : 0;
}

void thread_start(uint32_t actor)
{
    uint64_t arg[6] = {FOR_THREADS, address(stack_of(actor))};
    const long ret =
        arg[1] ? kymo_spawn(__NR_clone, arg, stack_of(actor), thread_waits, place(actor))
               : -ENOSYS_NR;

    if (ret < 0)
        actor_fail(actor, ret);
}

void birth_thread(struct self *s, uint32_t i)
{
    const struct kymo_icall *c = &s->call[i];
    char *stack = stack_of(c->other);
    uint64_t arg[6], room[8];

    clone_args(c, FOR_THREADS, stack, room, arg);
    outcome_begin(s, i, moment_of(s, c));
    const long ret = stack && !s->is_guest
                         ? kymo_spawn(c->nr, arg, stack, thread_plays, place(c->other))
                         : -ENOSYS_NR;
    outcome_end(s, i, ret);
    if (ret > 0)
        __atomic_store_n(&PROGRESS[c->other].tid, (uint32_t)ret, __ATOMIC_RELEASE);
    else
        actor_lost(c->other);
    kymo_done(s->progress, i);
}

/* ---- another program, and the end ------------------------------------------------------------ */

static char *hex(char *at, uint64_t v)
{
    int shift = 60;

    while (shift && !(v >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[v >> shift & 15];
    return at;
}

/* What the new image has to know of descriptors: those whose numbers differ, as text. */
static char *odd_fds(const struct fdmap *m, char *at, const char *end)
{
    for (uint32_t r = 0; r < m->high && at + 20 < end; r++) {
        if (!m->by[r])
            continue;
        at = hex(at, r);
        *at++ = ':';
        at = hex(at, (uint32_t)m->by[r]);
        *at++ = ',';
    }
    *at++ = 0;
    return at;
}

void birth_exec(struct self *s, uint32_t i)
{
    const struct kymo_icall *c = &s->call[i];
    char *room = s->lane + KYMO_LANE_SCRATCH, *at = room;
    const char *argv[6] = {"kymo-stage", "exec", 0, 0, 0, 0}, *envp[1] = {0};

    argv[2] = at;
    at = hex(at, s->index);
    *at++ = 0;
    argv[3] = at;
    at = hex(at, i);
    *at++ = 0;
    argv[4] = at;
    odd_fds(s->fd, at, room + 0x1f000); /* one argument: at most 128 KiB */
    const uint64_t path = address(KYMO_STAGE_ELF);
    const uint64_t list = address(argv), none = address(envp);
    outcome_begin(s, i, moment_of(s, c));
    const long ret = c->nr == __NR_execveat
                         ? own_call(__NR_execveat, (uint64_t)AT_FDCWD, path, list, none, 0, 0)
                         : own_call(__NR_execve, path, list, none, 0, 0, 0);
    outcome_end(s, i, ret);
    kymo_done(s->progress, i);
}

void others_end(const struct self *s)
{
    const struct kymo_iactor *a = SECTION(kymo_iactor, actor);

    for (uint32_t k = 1; k < IMAGE->actor.n; k++)
        if (a[k].process == s->process && k != s->index &&
            __atomic_load_n(&PROGRESS[k].state, __ATOMIC_ACQUIRE) != KYMO_ACTOR_ABSENT)
            kymo_ended(&PROGRESS[k], MORE);
}

void death(struct self *s, uint32_t i)
{
    const struct kymo_icall *c = &s->call[i];

    outcome_begin(s, i, moment_of(s, c));
    outcome_end(s, i, 0);
    kymo_done(s->progress, i);
    if (c->nr == __NR_exit_group)
        others_end(s);
    kymo_ended(s->progress, MORE);
    for (;;)
        own_call(c->nr == __NR_exit ? __NR_exit : __NR_exit_group, c->arg[0], 0, 0, 0, 0, 0);
}
