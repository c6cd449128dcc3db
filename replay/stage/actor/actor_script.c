/* SPDX-License-Identifier: Apache-2.0
 * actor_script.c: an actor's calls, one after the other: each when those it depends on are done and its moment
 * has come.
 *
 * Between its tags an actor makes no call but those of the script and two of its own, futex and clock_nanosleep,
 * whose pointers lie in control memory.
 */
#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "replay/stage/actor/actor.h"

#define ERESTARTSYS 512 /* raw, as a recording has it; to 516 */
/* A call that was begun so long ago sleeps, if it ever does; whom to ask does not take longer to answer. */
#define SETTLED_NS 200000000u
#define ASKED_NS_MAX 200000000
#define LOOK_AGAIN_NS 1000000000

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

long kymo_stage_futex(uint32_t *word, int op, uint32_t value, const int64_t *timeout)
{
    return own_call(__NR_futex, address(word), (uint64_t)op, value, address(timeout), 0, 0);
}

static void tag(const struct self *s, unsigned what, uint32_t i)
{
    own_call(__NR_prctl, KYMO_STAGE_TAG, what, s->index, i, 0, 0);
}

/* ---- before a call --------------------------------------------------------------------------- */

/* Was it let go by the watch? */
static int passed(struct self *s)
{
    return __atomic_exchange_n(&s->progress->scratch[KYMO_PASS], 0, __ATOMIC_SEQ_CST) != 0;
}

static void wait_long(struct self *s, struct kymo_progress *p, uint32_t index)
{
    __atomic_store_n(&s->progress->state, KYMO_ACTOR_HELD, __ATOMIC_RELEASE);
    __atomic_fetch_add(&p->waiters, 1, __ATOMIC_SEQ_CST);
    do {
        s->progress->wait[0] = LOOK_AGAIN_NS / 1000000000;
        s->progress->wait[1] = LOOK_AGAIN_NS % 1000000000;
    } while (!kymo_nap(p, index, s->progress->wait) && !passed(s));
    __atomic_fetch_sub(&p->waiters, 1, __ATOMIC_SEQ_CST);
}

/* Does what this call returns depend on whether somebody sleeps already? */
static int disturbs(const struct kymo_icall *c)
{
    switch (c->nr) {
    case __NR_futex:
    case __NR_kill:
    case __NR_tkill:
    case __NR_tgkill:
    case __NR_rt_sigqueueinfo:
    case __NR_rt_tgsigqueueinfo:
    case __NR_pidfd_send_signal:
    case __NR_exit_group: /* the parent is told */
        return 1;
    default:
        return 0;
    }
}

/* An actor cannot see whether another, which was about to make its call, is asleep in it: init can. */
static void wait_asleep(struct self *s, uint32_t actor, uint32_t index)
{
    struct kymo_progress *p = &PROGRESS[actor];
    uint32_t *ask = &s->progress->scratch[KYMO_ASK];
    const uint64_t since = clock_ns(s) - __atomic_load_n(&p->begun_ns, __ATOMIC_RELAXED);

    if (since >= SETTLED_NS && since < INT64_MAX)
        return;
    __atomic_store_n(ask, actor + 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&MORE->asks, 1, __ATOMIC_SEQ_CST);
    kymo_stage_futex(&MORE->asks, KYMO_FUTEX_WAKE, 1, 0);
    s->progress->wait[0] = 0;
    s->progress->wait[1] = ASKED_NS_MAX;
    if (!kymo_reached(p, index))
        kymo_stage_futex(ask, KYMO_FUTEX_WAIT, actor + 1, s->progress->wait);
    __atomic_store_n(ask, 0, __ATOMIC_SEQ_CST);
}

static void wait_for(struct self *s, const struct kymo_icall *c, const struct kymo_dep *d)
{
    struct kymo_progress *p = &PROGRESS[d->actor];
    const uint32_t over = d->index & ~KYMO_DEP_BEGUN;

    if (!kymo_reached(p, d->index))
        wait_long(s, p, d->index);
    if (d->index & KYMO_DEP_BEGUN && disturbs(c) && !kymo_reached(p, over))
        wait_asleep(s, d->actor, over);
}

/* Wait for the call's moment; the time then. */
uint64_t moment_of(struct self *s, const struct kymo_icall *c)
{
    uint64_t now = clock_ns(s);

    if (s->pace <= 0)
        return now;
    const uint64_t due = s->zero_ns + (uint64_t)((double)c->enter_ns * s->pace);
    if (now < due && due - now > s->spin_ns) {
        int64_t *ts = s->progress->wait;
        const uint64_t wake = due - s->spin_ns;
        __atomic_store_n(&s->progress->state, KYMO_ACTOR_PACED, __ATOMIC_RELEASE);
        do {
            ts[0] = (int64_t)(wake / 1000000000u);
            ts[1] = (int64_t)(wake % 1000000000u);
            own_call(__NR_clock_nanosleep, 1, 1, address(ts), 0, 0, 0);
            now = clock_ns(s);
        } while (now < wake && !passed(s));
    }
    for (; now < due; now = clock_ns(s))
        pause_cpu();
    return now;
}

void outcome_begin(struct self *s, uint32_t i, uint64_t now_ns)
{
    s->outcome[i].enter_ns = now_ns > s->zero_ns ? now_ns - s->zero_ns : 1;
    s->progress->begun_ns = now_ns;
    __atomic_store_n(&s->progress->state, KYMO_ACTOR_CALLING, __ATOMIC_RELEASE);
    kymo_begun(s->progress, i, s->call[i].flags & KYMO_ICALL_BLOCKS);
}

void outcome_end(struct self *s, uint32_t i, long ret)
{
    const uint64_t now = clock_ns(s);

    s->outcome[i].ret = ret;
    s->outcome[i].exit_ns = now > s->zero_ns ? now - s->zero_ns : 1;
}

/* ---- a call ---------------------------------------------------------------------------------- */

static int is_error(long ret)
{
    return (unsigned long)ret > -4096ul;
}

static void keep_result(struct self *s, const struct kymo_icall *c, long ret)
{
    switch (c->out) {
    case KYMO_OUT_FD:
        if (ret >= 0)
            fd_set_to(s->fd, c->other, ret);
        break;
    case KYMO_OUT_PAIR:
        if (ret == 0 && s->pair) {
            fd_set_to(s->fd, c->other, s->pair[0]);
            fd_set_to(s->fd, c->other2, s->pair[1]);
        }
        break;
    case KYMO_OUT_REGION:
        if (!is_error(ret) && c->other < MORE->n_regions)
            REGION[c->other] = (uint64_t)ret;
        break;
    default:
        break;
    }
}

static void set_word(const struct kymo_icall *c, uint64_t at)
{
    const uint64_t base = c->kind[0] == KYMO_ARG_WORD ? KYMO_WORDS_BASE : KYMO_OWN_WORDS_BASE;

    if (at >= base && at < base + KYMO_WORDS_BYTES)
        __atomic_store_n((uint32_t *)place(at), c->word_value, __ATOMIC_SEQ_CST);
}

/* A signal that the recording has elsewhere interrupts a call that it did not interrupt there: the call is made
 * again, as SA_RESTART would. Unless it was the watch's signal. */
static long call_again(struct self *s, const struct kymo_icall *c, const uint64_t arg[6])
{
    const int is_interrupted = c->ret == -EINTR || (c->ret <= -ERESTARTSYS && c->ret >= -516);
    long ret = kymo_call(c->nr, arg);

    while (ret == -EINTR && !is_interrupted && !passed(s))
        ret = kymo_call(c->nr, arg);
    return ret;
}

static void issue(struct self *s, uint32_t i)
{
    const struct kymo_icall *c = &s->call[i];
    uint64_t arg[6];

    s->used = 0;
    s->pair = 0;
    for (unsigned k = 0; k < 6; k++)
        arg[k] = c->kind[k] == KYMO_ARG_IMM ? c->arg[k] : argument_of(s, c, k);
    /* A child that was found dead is waited for: it is dead but for a moment that no order covers. */
    if (c->nr == __NR_wait4 && c->ret > 0)
        arg[2] &= ~(uint64_t)WNOHANG;
    outcome_begin(s, i, moment_of(s, c));
    if (c->out == KYMO_OUT_CLOSE)
        fd_closing(s->fd, c->other);
    if (c->flags & KYMO_ICALL_SET_WORD)
        set_word(c, arg[0]);
    const long ret =
        c->how == KYMO_HOW_INJECT ? kymo_inject(c->nr, arg) : call_again(s, c, arg);
    outcome_end(s, i, ret);
    keep_result(s, c, ret);
    kymo_done(s->progress, i);
}

static void step(struct self *s, uint32_t i)
{
    const struct kymo_icall *c = &s->call[i];
    const struct kymo_dep *dep = SECTION(kymo_dep, dep) + c->dep;

    for (unsigned k = 0; k < c->n_deps; k++)
        wait_for(s, c, &dep[k]);
    switch (c->how) {
    case KYMO_HOW_ISSUE:
        issue(s, i);
        return;
    case KYMO_HOW_INJECT:
        if (CONTROL->inject) {
            issue(s, i);
            return;
        }
        break;
    case KYMO_HOW_FORK:
        birth_process(s, i);
        return;
    case KYMO_HOW_THREAD:
        birth_thread(s, i);
        return;
    case KYMO_HOW_EXEC:
        birth_exec(s, i);
        return;
    case KYMO_HOW_EXIT:
        death(s, i);
    default:
        break;
    }
    moment_of(s, c);
    kymo_begun(s->progress, i, 0);
    kymo_done(s->progress, i);
}

/* ---- the whole ------------------------------------------------------------------------------- */

void actor_lost(uint32_t actor)
{
    kymo_ended(&PROGRESS[actor], MORE);
}

static _Noreturn void leave(struct self *s)
{
    /* Who last wrote where nobody reads any more died of that. */
    if (s->n_calls && s->call[s->n_calls - 1].ret == -EPIPE) {
        own_call(__NR_rt_sigaction, SIGPIPE, address(ARGS(0)), 0, 8, 0, 0);
        own_call(__NR_tkill, s->progress->tid, SIGPIPE, 0, 0, 0, 0);
    }
    while (!__atomic_load_n(&CONTROL->stop, __ATOMIC_ACQUIRE))
        kymo_stage_futex(&CONTROL->stop, KYMO_FUTEX_WAIT, 0, 0);
    for (;;)
        own_call(__NR_exit_group, 0, 0, 0, 0, 0, 0);
}

void script_play(struct self *s, uint32_t from)
{
    tag(s, KYMO_TAG_BEGIN, from);
    for (uint32_t i = from; i < s->n_calls; i++)
        step(s, i);
    tag(s, KYMO_TAG_END, s->n_calls);
    kymo_ended(s->progress, MORE);
    leave(s);
}
