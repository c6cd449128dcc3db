/* SPDX-License-Identifier: Apache-2.0 */
#include "record/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "record/addr.h"
#include "record/host.h"
#include "record/processes.h"
#include "record/redact.h"

#define NS_PER_S 1000000000u
#define LIST_BYTES 65536u /* the kernel gives half as much at once */
#define WAITING_MAX 4u    /* batches that wait for the drainer */
/* Whole seconds are sealed; rows of the second before are on their way by then. */
#define SEAL_AHEAD_NS 50000000u
#define SEAL_BEHIND_NS 1000000u
/* At most a fifth of a CPU, but for the first. */
#define REST_PER_WORK 4u
#define REST_NS_MAX 50000000u
#define ROOM_WAITS_MAX 1000u /* milliseconds that a busy writer is waited for */

#define MAGIC_PIPE 0x50495045u
#define MAGIC_ANON 0x09041934u
#define MAGIC_NS 0x6e736673u
#define MAGIC_PID 0x50494446u

struct batch {
    struct kymo_rows *rows;
    uint64_t ts_ns;
};

struct snapshot {
    struct snapshot_opts o;
    pthread_t thread;
    bool is_started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;
    struct batch waiting[WAITING_MAX];
    uint32_t head, tail; /* tail - head wait */
    struct snapshot_totals totals;
    /* the thread's own */
    struct batch open; /* being filled; rows NULL: none */
    uint64_t n_rows;   /* of this snapshot */
    bool is_first, is_cut;
    uint64_t list[LIST_BYTES / sizeof(uint64_t)];
};

/* ---- a row ---------------------------------------------------------------------------------- */

static size_t target_text(const struct kymo_event_fd *e, char *out, size_t cap)
{
    char path[PROCESSES_PATH_MAX];
    size_t n = 0;

    if (S_ISSOCK(e->mode))
        return (size_t)snprintf(out, cap, "socket:[%" PRIu64 "]", e->ino);
    if (S_ISFIFO(e->mode) && e->magic == MAGIC_PIPE)
        return (size_t)snprintf(out, cap, "pipe:[%" PRIu64 "]", e->ino);
    if (e->magic == MAGIC_NS)
        return (size_t)snprintf(out, cap, "ns:[%" PRIu64 "]", e->ino);
    if (e->magic == MAGIC_PID)
        return (size_t)snprintf(out, cap, "anon_inode:[pidfd]");
    if (e->has_target)
        n = processes_path(e->text, e->target_bytes, path, sizeof(path));
    if (n && e->magic == MAGIC_ANON)
        return (size_t)snprintf(out, cap, "anon_inode:%s", path + 1);
    if (n)
        return (size_t)snprintf(out, cap, "%s%s", path, e->is_deleted ? " (deleted)" : "");
    (void)snprintf(path, sizeof(path), "fd/%u", e->fd);
    return host_link(e->pid, path, out, cap);
}

static void set_addr(struct redact *redact, struct kymo_rows *r, uint32_t column, uint32_t row,
                     const char *raw, size_t n)
{
    char text[ADDR_TEXT_MAX];

    if (!n)
        return;
    const struct kymo_scrubbed safe =
        redact_addr(redact, text, addr_text((const uint8_t *)raw, n, text));
    kymo_rows_set_str(r, column, row, safe.s, safe.n);
}

void snapshot_fill_fd(struct redact *redact, struct kymo_rows *r, uint32_t row, uint64_t ts_ns,
                      const struct kymo_event_fd *e)
{
    char target[PROCESSES_PATH_MAX + 16];
    const size_t n = target_text(e, target, sizeof(target));

    kymo_rows_set(r, KYMO_FD_TS, row, ts_ns);
    kymo_rows_set(r, KYMO_FD_PID, row, e->pid);
    kymo_rows_set(r, KYMO_FD_START, row, e->start_ns);
    kymo_rows_set(r, KYMO_FD_FD, row, e->fd);
    const struct kymo_scrubbed safe = redact_path(redact, target, n, PROCESSES_PATH_MAX - 1);
    kymo_rows_set_str(r, KYMO_FD_TARGET, row, safe.s, safe.n);
    set_addr(redact, r, KYMO_FD_LOCAL, row, e->text + e->target_bytes, e->local_bytes);
    set_addr(redact, r, KYMO_FD_PEER, row, e->text + e->target_bytes + e->local_bytes,
             e->peer_bytes);
}

/* ---- handing over --------------------------------------------------------------------------- */

static bool is_stopping(struct snapshot *s)
{
    pthread_mutex_lock(&s->lock);
    const bool stop = s->is_stopping;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

/* Sleep, but not past the end; true when it came. */
static bool rest(struct snapshot *s, uint64_t ns)
{
    const uint64_t until = host_mono_ns() + ns;
    const struct timespec at = {.tv_sec = (time_t)(until / NS_PER_S),
                                .tv_nsec = (long)(until % NS_PER_S)};
    int e = 0;

    pthread_mutex_lock(&s->lock);
    while (!s->is_stopping && e != ETIMEDOUT)
        e = pthread_cond_timedwait(&s->wake, &s->lock, &at);
    const bool stop = s->is_stopping;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static void hand_over(struct snapshot *s)
{
    if (!s->open.rows)
        return;
    pthread_mutex_lock(&s->lock);
    while (s->tail - s->head == WAITING_MAX && !s->is_stopping)
        pthread_cond_wait(&s->wake, &s->lock);
    const bool is_full = s->tail - s->head == WAITING_MAX;
    if (!is_full)
        s->waiting[s->tail++ % WAITING_MAX] = s->open;
    pthread_mutex_unlock(&s->lock);
    if (is_full) {
        kymo_rows_clear(s->open.rows);
        outbox_put(s->o.outbox, s->open.rows, 0);
        s->is_cut = true;
    }
    s->open.rows = NULL;
}

struct kymo_rows *snapshot_take(struct snapshot *s, uint64_t *ts_ns)
{
    struct kymo_rows *rows = NULL;

    pthread_mutex_lock(&s->lock);
    if (s->head != s->tail) {
        const struct batch *b = &s->waiting[s->head++ % WAITING_MAX];
        rows = b->rows;
        *ts_ns = b->ts_ns;
        pthread_cond_broadcast(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return rows;
}

/* Rows of a table with room. While the writer is busy with what it has, wait: events go first. */
static struct kymo_rows *room(struct snapshot *s, const struct kymo_schema *schema,
                              uint64_t ts_ns)
{
    if (s->open.rows && (s->open.rows->schema != schema || kymo_rows_full(s->open.rows)))
        hand_over(s);
    for (uint32_t i = 0; !s->open.rows && i < ROOM_WAITS_MAX; i++) {
        if (!outbox_is_busy(s->o.outbox))
            s->open = (struct batch){outbox_take(s->o.outbox, schema), ts_ns};
        if (!s->open.rows && rest(s, 1000000))
            break;
    }
    return s->open.rows;
}

/* ---- reading the lists ---------------------------------------------------------------------- */

static size_t take_task(struct snapshot *s, const uint8_t *at, size_t left, uint64_t ts_ns)
{
    const struct kymo_event_process *e = (const void *)at;
    char argv[KYMO_ARGV_MAX];

    if (left < KYMO_EVENT_PROCESS_FIXED || e->task.head.bytes > left ||
        e->task.head.bytes < KYMO_EVENT_PROCESS_FIXED)
        return 0;
    if (e->task.head.tid != e->task.pid)
        return e->task.head.bytes;
    struct kymo_rows *r = room(s, &KYMO_TABLE_PROCESS, ts_ns);
    if (!r) {
        s->is_cut = true;
        return e->task.head.bytes;
    }
    const uint32_t row = kymo_rows_add(r);
    const size_t n = host_argv(e->task.pid, argv, sizeof(argv));
    processes_fill(s->o.redact, r, row, e, e->task.head.bytes, "snapshot", argv, n);
    kymo_rows_set(r, KYMO_PROCESS_TS, row, ts_ns);
    s->n_rows++;
    return e->task.head.bytes;
}

static size_t take_fd(struct snapshot *s, const uint8_t *at, size_t left, uint64_t ts_ns)
{
    const struct kymo_event_fd *e = (const void *)at;

    if (left < KYMO_EVENT_FD_FIXED || e->bytes > left || e->bytes < KYMO_EVENT_FD_FIXED)
        return 0;
    struct kymo_rows *r = room(s, &KYMO_TABLE_FD, ts_ns);
    if (r) {
        snapshot_fill_fd(s->o.redact, r, kymo_rows_add(r), ts_ns, e);
        s->n_rows++;
    }
    s->is_cut |= !r;
    return e->bytes;
}

/* A seal is near: be through with what is older than it. */
static void make_way(struct snapshot *s)
{
    const uint64_t now = host_mono_ns(), left = NS_PER_S - now % NS_PER_S;

    if (left > SEAL_AHEAD_NS)
        return;
    hand_over(s);
    rest(s, left + SEAL_BEHIND_NS);
}

static void read_list(struct snapshot *s, enum session_list which)
{
    uint8_t *buf = (uint8_t *)s->list;
    bool is_whole = false;
    size_t have = 0;
    int fd;

    if (s->o.list(s->o.ctx, which, &fd, NULL)) {
        s->is_cut = true;
        return;
    }
    while (!is_stopping(s) && s->n_rows < SNAPSHOT_ROWS_MAX) {
        make_way(s);
        const uint64_t begun = host_mono_ns();
        const ssize_t n = read(fd, buf + have, LIST_BYTES - have);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        is_whole = !n;
        if (n <= 0)
            break;
        size_t at = 0, took;
        have += (size_t)n;
        while ((took = which == SESSION_TASKS ? take_task(s, buf + at, have - at, begun)
                                              : take_fd(s, buf + at, have - at, begun)))
            at += took;
        have -= at;
        memmove(buf, buf + at, have);
        const uint64_t work = (host_mono_ns() - begun) * REST_PER_WORK;
        if (!s->is_first)
            rest(s, work < REST_NS_MAX ? work : REST_NS_MAX);
    }
    s->is_cut |= !is_whole; /* too long, or the recording ended */
    close(fd);
    hand_over(s);
}

static void take_snapshot(struct snapshot *s)
{
    s->n_rows = 0;
    s->is_cut = false;
    if (!s->is_first) /* the processes of the start are written already */
        read_list(s, SESSION_TASKS);
    const uint64_t processes = s->n_rows;
    read_list(s, SESSION_FDS); /* says so itself when the end came in between */
    pthread_mutex_lock(&s->lock);
    s->totals.processes += processes;
    s->totals.fds += s->n_rows - processes;
    s->totals.cut += s->is_cut;
    pthread_mutex_unlock(&s->lock);
    s->is_first = false;
}

static void *snapshot_main(void *arg)
{
    struct snapshot *s = arg;
    uint64_t next_ns = host_mono_ns();

    do {
        take_snapshot(s);
        const uint64_t now = host_mono_ns();
        for (next_ns += s->o.every_ns; s->o.every_ns && next_ns <= now;)
            next_ns += s->o.every_ns;
        if (s->o.every_ns && rest(s, next_ns - now))
            break;
    } while (s->o.every_ns && !is_stopping(s));
    return NULL;
}

/* ---- open, close ---------------------------------------------------------------------------- */

kymo_status snapshot_open(struct snapshot **out, const struct snapshot_opts *o,
                          struct kymo_err *err)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    pthread_condattr_t attr;
    sigset_t all, before;

    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    s->o = *o;
    s->is_first = true;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all); /* signals are the main thread's business */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->is_started = !pthread_create(&s->thread, NULL, snapshot_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!s->is_started) {
        snapshot_close(s);
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start the snapshot thread");
    }
    *out = s;
    return KYMO_OK;
}

void snapshot_stop(struct snapshot *s)
{
    if (!s || !s->is_started)
        return;
    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->is_started = false;
}

void snapshot_close(struct snapshot *s)
{
    uint64_t ts_ns;

    if (!s)
        return;
    snapshot_stop(s);
    for (struct kymo_rows *r; (r = snapshot_take(s, &ts_ns)) != NULL;)
        kymo_rows_close(r);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    free(s);
}

void snapshot_totals(struct snapshot *s, struct snapshot_totals *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->totals;
    pthread_mutex_unlock(&s->lock);
}
