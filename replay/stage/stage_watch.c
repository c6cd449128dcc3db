/* SPDX-License-Identifier: Apache-2.0
 * stage_watch.c: until it is over. Who waits for what does not come is let go; who takes more than its budget ends
 * it for all.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"

#define NOBODY UINT32_MAX
#define TICK_NS 100000000u
#define STILL_NS 500000000u /* nothing moves: for so long */
#define STUCK_NS 5000000000u
#define SPARE_NS 2000000000u
#define SPARE_AFAP_NS 1000000000u

struct watch {
    struct inside *s;
    struct inside_end *end;
    uint64_t budget_ns, begin_ns, tick_ns, moved_ns, moves;
    uint32_t
        n_free; /* how many are let go at once: twice as many each time that it did not help */
    uint64_t disk_free_first, shared_first;
    long page_bytes, ticks_s;
    bool *gone; /* [n_processes] that were there and are no more */
};

static int ends(struct watch *w, enum kymo_stage_end end, const char *why)
{
    w->end->end = end;
    snprintf(w->end->why, sizeof(w->end->why), "%s", why);
    return 1;
}

/* ---- who is still there ---------------------------------------------------------------------- */

bool inside_is_dead(uint32_t pid)
{
    struct pollfd p = {.events = POLLIN};

    p.fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (p.fd < 0)
        return errno == ESRCH;
    const int gone = poll(&p, 1, 0) == 1;
    close(p.fd);
    return gone;
}

/* Actors that ended without a word: killed, or never made. */
static void look_for_dead(struct watch *w)
{
    struct inside *s = w->s;

    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    for (uint32_t p = 0; p < s->n_processes; p++)
        if (!w->gone[p] && s->pid[p])
            w->gone[p] = inside_is_dead(s->pid[p]);
    for (uint32_t a = 1; a < s->n_actors; a++) {
        struct kymo_progress *p = &s->progress[a];
        const struct inside_maker *m = &s->maker[a];
        const bool dead = w->gone[s->actor[a].process] || !s->pid[s->actor[a].process];
        const uint32_t state = __atomic_load_n(&p->state, __ATOMIC_ACQUIRE);
        if (state == KYMO_ACTOR_ENDED)
            continue;
        if (state != KYMO_ACTOR_ABSENT || m->actor == KYMO_NONE) {
            if (dead)
                kymo_ended(p, s->more);
            continue;
        }
        const struct kymo_progress *maker = &s->progress[m->actor];
        if (__atomic_load_n(&maker->done, __ATOMIC_ACQUIRE) > m->call
                ? dead
                : __atomic_load_n(&maker->state, __ATOMIC_ACQUIRE) == KYMO_ACTOR_ENDED)
            kymo_ended(p, s->more);
    }
}

/* In a call that had not returned when the recording ended: nothing more is expected of it. */
static int is_last_wait(const struct inside *s, uint32_t a)
{
    const struct kymo_iactor *actor = &s->actor[a];
    const uint32_t begun = __atomic_load_n(&s->progress[a].begun, __ATOMIC_ACQUIRE);

    return begun && begun == actor->n_calls &&
           __atomic_load_n(&s->progress[a].done, __ATOMIC_ACQUIRE) == begun - 1 &&
           s->call[actor->call + begun - 1].why == KYMO_WHY_UNFINISHED;
}

static int all_over(const struct inside *s)
{
    for (uint32_t a = 1; a < s->n_actors; a++)
        if (__atomic_load_n(&s->progress[a].state, __ATOMIC_ACQUIRE) != KYMO_ACTOR_ENDED &&
            !is_last_wait(s, a))
            return 0;
    return 1;
}

/* ---- who is stuck ---------------------------------------------------------------------------- */

static const struct kymo_icall *current(const struct inside *s, uint32_t a)
{
    const uint32_t done = __atomic_load_n(&s->progress[a].done, __ATOMIC_ACQUIRE);

    return done < s->actor[a].n_calls ? &s->call[s->actor[a].call + done] : NULL;
}

static int is_overdue(const struct watch *w, uint32_t a, uint64_t now)
{
    const struct kymo_icall *c = current(w->s, a);
    const uint64_t since = __atomic_load_n(&w->s->progress[a].begun_ns, __ATOMIC_RELAXED);
    const double pace = w->s->pace;
    const double allowed = c && pace > 0 ? (double)c->dur_ns * pace + SPARE_NS : SPARE_AFAP_NS;

    return c && !is_last_wait(w->s, a) && now > since && (double)(now - since) > allowed;
}

static void let_go(struct watch *w, uint32_t a)
{
    struct inside *s = w->s;
    struct kymo_progress *p = &s->progress[a];
    const uint32_t tid = __atomic_load_n(&p->tid, __ATOMIC_ACQUIRE);

    __atomic_store_n(&p->scratch[KYMO_PASS], 1, __ATOMIC_SEQ_CST);
    if (a && tid && s->pid[s->actor[a].process])
        syscall(SYS_tgkill, s->pid[s->actor[a].process], tid, KYMO_STAGE_SIGNAL);
    s->freed++;
}

/* The moment of what actor `a` is at, if that is `state`: of its end where it is inside; UINT64_MAX: of nothing. */
static uint64_t moment_of(const struct inside *s, uint32_t a, uint32_t state)
{
    const uint32_t done = __atomic_load_n(&s->progress[a].done, __ATOMIC_ACQUIRE);

    if (__atomic_load_n(&s->progress[a].state, __ATOMIC_ACQUIRE) != state)
        return UINT64_MAX;
    if (a == 0)
        return done < s->n_acts ? s->act[done].enter_ns : UINT64_MAX;
    const struct kymo_icall *c = current(s, a);
    return !c ? UINT64_MAX : c->enter_ns + (state == KYMO_ACTOR_CALLING ? c->dur_ns : 0);
}

/* Of those in `state`, the one whose call was over (or begun) first in the recording, behind `after`; NOBODY to
 * begin with, and where there is none. */
static uint32_t next_stuck(const struct watch *w, uint32_t state, uint64_t now, uint32_t after)
{
    const struct inside *s = w->s;
    const uint64_t beyond = after == NOBODY ? 0 : moment_of(s, after, state);
    uint64_t least = UINT64_MAX;
    uint32_t found = NOBODY;

    for (uint32_t a = 0; a < s->n_actors; a++) {
        const uint64_t at = moment_of(s, a, state);
        if (at == UINT64_MAX || (state == KYMO_ACTOR_CALLING && !is_overdue(w, a, now)))
            continue;
        const int is_behind = after == NOBODY || at > beyond || (at == beyond && a > after);
        if (is_behind && at < least) {
            least = at;
            found = a;
        }
    }
    return found;
}

static int any_in(const struct inside *s, uint32_t state)
{
    for (uint32_t a = 0; a < s->n_actors; a++)
        if (__atomic_load_n(&s->progress[a].state, __ATOMIC_ACQUIRE) == state)
            return 1;
    return 0;
}

static uint32_t let_go_some(struct watch *w, uint32_t state, uint64_t now, uint32_t n)
{
    uint32_t freed = 0;

    for (uint32_t a = NOBODY; freed < n && (a = next_stuck(w, state, now, a)) != NOBODY;
         freed++)
        let_go(w, a);
    return freed;
}

static void free_stuck(struct watch *w, uint64_t now)
{
    uint64_t moves = 0;
    uint32_t freed = 0;

    for (uint32_t a = 0; a < w->s->n_actors; a++)
        moves += __atomic_load_n(&w->s->progress[a].done, __ATOMIC_RELAXED);
    if (moves != w->moves) {
        w->moves = moves;
        w->moved_ns = now;
        w->n_free = 1;
        return;
    }
    if (now - w->moved_ns < STILL_NS)
        return;
    freed = let_go_some(w, KYMO_ACTOR_CALLING, now, w->n_free);
    /* Then those that wait for others, if nobody is there who will go on by itself. */
    if (freed < w->n_free && !any_in(w->s, KYMO_ACTOR_PACED) &&
        now - w->moved_ns >= SPARE_AFAP_NS)
        freed += let_go_some(w, KYMO_ACTOR_HELD, now, w->n_free - freed);
    if (freed && w->n_free < 1u << 20)
        w->n_free *= 2;
}

/* ---- budgets --------------------------------------------------------------------------------- */

/* One process: user and system ticks with those of its children that it waited for; pages of its own. */
static void add_process(const struct watch *w, const char *pid, uint64_t *cpu_ticks,
                        uint64_t *own_pages)
{
    char path[64], text[1024];
    unsigned long long t[4] = {0}, resident = 0, shared = 0;

    (void)w;
    snprintf(path, sizeof(path), "%s/stat", pid);
    int fd = openat(w->s->proc_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *rest = strrchr(text, ')');
    if (rest &&
        sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &t[0],
               &t[1], &t[2], &t[3]) == 4)
        *cpu_ticks += t[0] + t[1] + t[2] + t[3];
    snprintf(path, sizeof(path), "%s/statm", pid);
    fd = openat(w->s->proc_fd, path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%*u %llu %llu", &resident, &shared) == 2 && resident > shared)
        *own_pages += resident - shared;
}

/* Memory files belong to nobody's pages, and their file system has no bound: the host's sum tells, by and large. */
static uint64_t shared_bytes(const struct watch *w)
{
    char text[4096];
    const int fd =
        w->s->proc_fd < 0 ? -1 : openat(w->s->proc_fd, "meminfo", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *line = strstr(text, "Shmem:");
    return line ? strtoull(line + 6, NULL, 10) * 1024 : 0;
}

static int over_shared(struct watch *w)
{
    const struct kymo_stage_opts *o = w->s->o;
    const uint64_t now = shared_bytes(w);

    if (now > w->shared_first && now - w->shared_first > o->memory_bytes + o->disk_bytes)
        return ends(
            w, KYMO_END_MEMORY,
            "this host's shared memory grew by more than the budgets of memory and disk");
    return 0;
}

static int over_usage(struct watch *w)
{
    const struct kymo_stage_opts *o = w->s->o;
    uint64_t ticks = 0, pages = 0;
    char pid[16];

    if (w->s->proc_fd < 0)
        return 0;
    for (uint32_t p = 0; p < w->s->n_processes; p++) {
        if (!w->s->pid[p] || w->gone[p])
            continue;
        snprintf(pid, sizeof(pid), "%u", w->s->pid[p]);
        add_process(w, pid, &ticks, &pages);
    }
    struct rusage reaped;
    getrusage(RUSAGE_CHILDREN, &reaped);
    const uint64_t cpu =
        ticks * (1000000000u / (uint64_t)w->ticks_s) +
        ((uint64_t)reaped.ru_utime.tv_sec + (uint64_t)reaped.ru_stime.tv_sec) * 1000000000u +
        ((uint64_t)reaped.ru_utime.tv_usec + (uint64_t)reaped.ru_stime.tv_usec) * 1000u;
    if (o->cpu_ns && cpu > o->cpu_ns)
        return ends(w, KYMO_END_CPU, "the CPU budget is used up");
    if (pages * (uint64_t)w->page_bytes > o->memory_bytes)
        return ends(w, KYMO_END_MEMORY, "the memory budget is used up");
    return 0;
}

static uint64_t disk_free(void)
{
    struct statvfs v;

    return statvfs("/", &v) ? UINT64_MAX : (uint64_t)v.f_bfree * v.f_frsize;
}

static int over_disk(struct watch *w)
{
    const uint64_t left = disk_free();

    if (w->s->o->root
            ? w->disk_free_first > left && w->disk_free_first - left > w->s->o->disk_bytes
            : left == 0)
        return ends(w, KYMO_END_DISK, "the disk budget is used up");
    return 0;
}

/* ---- all together ---------------------------------------------------------------------------- */

static int is_stopped(struct watch *w)
{
    char c;
    const ssize_t n = recv(w->s->host, &c, 1, MSG_DONTWAIT);

    if (n == 0 || (n == 1 && c == INSIDE_STOP))
        return ends(w, KYMO_END_STOPPED, "stopped");
    return 0;
}

static int tick(struct watch *w, uint64_t now)
{
    w->tick_ns = now;
    if (is_stopped(w) || over_disk(w) || over_usage(w) || over_shared(w))
        return 1;
    if (now - w->begin_ns > w->budget_ns)
        return now - w->moved_ns > STUCK_NS
                   ? ends(w, KYMO_END_STUCK, "nothing moved any more, and the time is over")
                   : ends(w, KYMO_END_TIME, "the time budget is used up");
    look_for_dead(w);
    free_stuck(w, now);
    return 0;
}

static void watch(struct watch *w)
{
    struct inside *s = w->s;
    const int64_t nap[2] = {0, TICK_NS / 4};

    for (;;) {
        const uint32_t ended = __atomic_load_n(&s->more->ended, __ATOMIC_SEQ_CST);
        const uint64_t now = inside_now_ns();
        if (all_over(s) || (now - w->tick_ns >= TICK_NS && tick(w, now)))
            return;
        kymo_stage_futex(&s->more->ended, KYMO_FUTEX_WAIT, ended, nap);
    }
}

/* Making ready took its share, but the larger one is for the play. */
static uint64_t time_left(const struct inside *s)
{
    const uint64_t all = s->o->time_ns;

    return all - (s->setup_ns < all / 2 ? s->setup_ns : all / 2);
}

void inside_watch(struct inside *s, struct inside_end *out)
{
    struct watch w = {.s = s, .end = out, .n_free = 1};

    w.page_bytes = sysconf(_SC_PAGESIZE);
    w.ticks_s = sysconf(_SC_CLK_TCK);
    w.disk_free_first = disk_free();
    w.shared_first = shared_bytes(&w);
    w.budget_ns = time_left(s);
    w.begin_ns = w.moved_ns = w.tick_ns = inside_now_ns();
    *out = (struct inside_end){.end = KYMO_END_DONE};
    w.gone = calloc(s->n_processes + 1, sizeof(*w.gone));
    if (w.gone)
        watch(&w);
    else
        ends(&w, KYMO_END_BROKEN, "no memory for the watch");
    free(w.gone);
    __atomic_store_n(&s->control->stop, 1, __ATOMIC_SEQ_CST);
    kymo_stage_futex(&s->control->stop, KYMO_FUTEX_WAKE, INT32_MAX, NULL);
}
