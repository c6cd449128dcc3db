/* SPDX-License-Identifier: Apache-2.0
 * actor_argument.c: what a call is given, by the kind of each argument, and which descriptor is which.
 */
#include <linux/poll.h>
#include <linux/time_types.h>

#include "replay/stage/actor/actor.h"

#define NS_PER_S 1000000000u
/* A wait that something ended before its time gets so much longer, lest a hair's breadth makes it a timeout. */
#define WAIT_SPARE_NS 100000000u

/* ---- descriptors ----------------------------------------------------------------------------- */

static int is_odd(int32_t by)
{
    return by != 0 && by != FD_CLOSED;
}

static void put(struct fdmap *m, uint32_t recorded, int32_t by)
{
    const int32_t old = __atomic_exchange_n(&m->by[recorded], by, __ATOMIC_RELAXED);

    if (is_odd(by) != is_odd(old))
        __atomic_fetch_add(&m->n_odd, is_odd(by) ? 1u : UINT32_MAX, __ATOMIC_RELAXED);
    if (by && recorded >= m->high)
        m->high = recorded + 1;
}

void fd_set_to(struct fdmap *m, uint32_t recorded, int64_t actual)
{
    if (recorded < KYMO_FDS_MAX && m->by[recorded] != (int32_t)(actual - recorded))
        put(m, recorded, (int32_t)(actual - recorded));
}

/* Before the close itself: a thread that gets the number meanwhile is not undone. As long as all numbers are the
 * recorded ones, what is closed is closed by itself. */
void fd_closing(struct fdmap *m, uint32_t recorded)
{
    if (recorded < KYMO_FDS_MAX && m->n_odd)
        put(m, recorded, FD_CLOSED);
}

/* Does another recorded descriptor lie at this actual number? */
static int is_taken(const struct fdmap *m, uint32_t actual, uint32_t except)
{
    for (uint32_t r = 0; r < m->high; r++)
        if (r != except && is_odd(m->by[r]) && (int64_t)r + m->by[r] == actual)
            return 1;
    return 0;
}

/* The number that a recorded one is to get: where it is now, or its own, or, if another has that, one from the top
 * of what this process may have. */
static uint64_t fd_new(const struct self *s, uint64_t recorded)
{
    const struct fdmap *m = s->fd;

    if (recorded >= KYMO_FDS_MAX || !m->n_odd)
        return recorded;
    if (is_odd(m->by[recorded]))
        return (uint64_t)((int64_t)recorded + m->by[recorded]);
    if (!is_taken(m, (uint32_t)recorded, (uint32_t)recorded))
        return recorded;
    uint32_t top = SECTION(kymo_iprocess, process)[s->process].nofile;
    for (uint32_t n = 0; top > 1 && n < 64; n++)
        if (!is_taken(m, --top, (uint32_t)recorded))
            return top;
    return recorded;
}

/* ---- memory of one call ---------------------------------------------------------------------- */

static void *room(struct self *s, uint32_t bytes)
{
    const uint32_t at = s->used;

    if (bytes > KYMO_LANE_GUEST - KYMO_LANE_SCRATCH - at)
        return 0;
    s->used += (bytes + 15) & ~15u;
    return s->lane + KYMO_LANE_SCRATCH + at;
}

static void copy_bytes(char *to, const char *from, uint32_t n)
{
    for (; n >= 8; n -= 8, to += 8, from += 8)
        __builtin_memcpy(to, from, 8);
    while (n--)
        *to++ = *from++;
}

static uint64_t copied(struct self *s, uint64_t offset, uint32_t n)
{
    char *to = room(s, n);

    if (!to || offset > IMAGE->blob.n || n > IMAGE->blob.n - offset)
        return 0;
    copy_bytes(to, BLOB + offset, n);
    return address(to);
}

static uint64_t polled(struct self *s, uint64_t offset, uint32_t n)
{
    struct pollfd *p = (struct pollfd *)place(copied(s, offset, n * (uint32_t)sizeof(*p)));

    for (uint32_t i = 0; p && i < n; i++)
        p[i].fd = (int)fd_of(s->fd, (uint64_t)(int64_t)p[i].fd);
    return address(p);
}

/* As many words as the kernel looks at, which the first argument of select says. */
static uint64_t fd_bits(struct self *s, const struct kymo_icall *c, uint64_t offset, uint32_t n)
{
    const uint64_t n_fds = c->arg[0] < KYMO_FDS_MAX ? c->arg[0] : KYMO_FDS_MAX;
    const uint32_t words = (uint32_t)(n_fds / 64 + 1);
    const uint32_t *fd = (const uint32_t *)(const void *)(BLOB + offset);
    uint64_t *bits = room(s, words * 8);

    if (!bits || offset % 4 || offset > IMAGE->blob.n || n > (IMAGE->blob.n - offset) / 4)
        return 0;
    for (uint32_t i = 0; i < words; i++)
        bits[i] = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t at = (uint64_t)fd_of(s->fd, fd[i]);
        if (at / 64 < words)
            bits[at / 64] |= 1ull << at % 64;
    }
    return address(bits);
}

static uint64_t action(struct self *s, uint64_t value)
{
    /* the kernel's struct sigaction: handler, flags, [restorer,] mask */
    uint64_t *a = room(s, 32);

    if (!a)
        return 0;
    a[0] = value == 2 ? (uint64_t)(uintptr_t)kymo_handler : value;
    a[3] = 0;
#if defined(__x86_64__)
    a[1] = 0x04000000; /* SA_RESTORER */
    a[2] = (uint64_t)(uintptr_t)kymo_restorer;
#else
    a[1] = a[2] = 0;
#endif
    return address(a);
}

/* ---- waits ----------------------------------------------------------------------------------- */

/* Did the call, as recorded, wait until its time was over? */
static int timed_out(const struct kymo_icall *c)
{
    switch (c->nr) {
    case __NR_nanosleep:
    case __NR_clock_nanosleep:
        return 1;
    case __NR_ppoll:
    case __NR_pselect6:
    case __NR_epoll_pwait:
#ifdef __NR_epoll_pwait2
    case __NR_epoll_pwait2:
#endif
#ifdef __NR_poll
    case __NR_poll:
    case __NR_select:
    case __NR_epoll_wait:
#endif
        return c->ret == 0;
    default:
        return c->ret == -110 || c->ret == -11 || c->ret == -62; /* ETIMEDOUT, EAGAIN, ETIME */
    }
}

/* How long to wait where the recording says `ns`: never 0 where it was more, which would mean something else. */
static uint64_t wait_ns(const struct self *s, const struct kymo_icall *c, uint64_t ns)
{
    if (ns > INT64_MAX / 2)
        return INT64_MAX / 2;
    if (timed_out(c)) {
        const double scaled = (double)ns * s->pace;
        return scaled > (double)(INT64_MAX / 2) ? INT64_MAX / 2
                                                : (uint64_t)scaled + (ns && scaled < 1);
    }
    return (uint64_t)((double)ns * (s->pace > 1 ? s->pace : 1)) + WAIT_SPARE_NS;
}

static uint64_t timespec_of(struct self *s, uint64_t ns, uint32_t per_unit)
{
    int64_t *ts = room(s, 16);

    if (ts) {
        ts[0] = (int64_t)(ns / NS_PER_S);
        ts[1] = (int64_t)(ns % NS_PER_S / per_unit);
    }
    return address(ts);
}

/* A moment of the plan on the clock. One that did not come about is later by what a wait is longer. */
static uint64_t until_ns(const struct self *s, const struct kymo_icall *c, uint64_t moment)
{
    double at = (double)(moment > INT64_MAX / 4 ? INT64_MAX / 4 : moment);

    if (timed_out(c))
        return s->zero_ns + (uint64_t)(at * s->pace);
    return s->zero_ns + (uint64_t)(at * (s->pace > 1 ? s->pace : 1)) + WAIT_SPARE_NS;
}

static uint64_t wait_ms(const struct self *s, const struct kymo_icall *c, uint64_t value)
{
    const int32_t ms = (int32_t)value;

    if (ms < 0 || (ms == 0 && c->ret <= 0))
        return value;
    const uint64_t scaled = (wait_ns(s, c, (uint64_t)ms * 1000000u) + 999999) / 1000000u;
    return s->pace <= 0 && timed_out(c) ? 0 : scaled > INT32_MAX ? INT32_MAX : scaled;
}

/* ---- all together ---------------------------------------------------------------------------- */

static uint64_t region(uint64_t value)
{
    const uint64_t id = value >> 40;

    return (id < MORE->n_regions ? REGION[id] : 0) + (value & 0xffffffffffu);
}

static uint64_t whom(const struct kymo_icall *c, unsigned i)
{
    uint32_t id = 0;

    if (c->kind[i] == KYMO_ARG_TID)
        id = c->arg[i] < CONTROL->n_actors ? PROGRESS[c->arg[i]].tid : 0;
    else
        id = c->arg[i] < CONTROL->n_processes ? PID[c->arg[i]] : 0;
    if (!id)
        id = PID_NOBODY;
    return c->kind[i] == KYMO_ARG_PGID ? (uint64_t) - (int64_t)id : id;
}

uint64_t argument_of(struct self *s, const struct kymo_icall *c, unsigned i)
{
    const uint64_t v = c->arg[i];

    switch (c->kind[i]) {
    case KYMO_ARG_FD:
        return (uint64_t)fd_of(s->fd, v);
    case KYMO_ARG_FD_NEW:
        return fd_new(s, v);
    case KYMO_ARG_BLOB:
        return address(BLOB + v);
    case KYMO_ARG_COPY:
        return copied(s, v >> 16, v & 0xffff);
    case KYMO_ARG_SINK:
        return KYMO_SINK_BASE + v;
    case KYMO_ARG_PATTERN:
        return KYMO_PATTERN_BASE + v;
    case KYMO_ARG_PID:
    case KYMO_ARG_PGID:
    case KYMO_ARG_TID:
        return whom(c, i);
    case KYMO_ARG_REGION:
        return region(v);
    case KYMO_ARG_WORD:
        return KYMO_WORDS_BASE + v * 4;
    case KYMO_ARG_OWN_WORD:
        return KYMO_OWN_WORDS_BASE + v * 4;
    case KYMO_ARG_PAIR:
        s->pair = room(s, 8);
        return address(s->pair);
    case KYMO_ARG_WAIT:
        return v == UINT64_MAX ? 0 : timespec_of(s, wait_ns(s, c, v), 1);
    case KYMO_ARG_WAIT_US:
        return v == UINT64_MAX ? 0 : timespec_of(s, wait_ns(s, c, v), 1000);
    case KYMO_ARG_UNTIL:
        return timespec_of(s, until_ns(s, c, v), 1);
    case KYMO_ARG_UNTIL_REAL:
        return timespec_of(s, until_ns(s, c, v) + CONTROL->real_ns, 1);
    case KYMO_ARG_WAIT_MS:
        return wait_ms(s, c, v);
    case KYMO_ARG_POLL:
        return polled(s, v >> 16, v & 0xffff);
    case KYMO_ARG_FDSET:
        return fd_bits(s, c, v >> 16, v & 0xffff);
    case KYMO_ARG_ACTION:
        return action(s, v);
    case KYMO_ARG_BREAK:
        return process_break + v;
    default:
        return v;
    }
}
