/* SPDX-License-Identifier: Apache-2.0
 * ready.c: what polls waited for. Captures hold neither the arrays of poll nor the events that epoll was told of:
 * both are read from what the thread did next. Who reads after a poll was waiting to read; who writes at once, or
 * asks how a connection went, was waiting to write.
 */
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "replay/plan/compile_own.h"

#define LOOK_AHEAD 64u
#define LOOK_BACK 64u
#define WATCHES_MAX 64u /* of one instance, that a poll which found nothing is held against */
#define FDS_MAX 1024u   /* of one poll */
#define EVENTS_BOTH (EPOLLIN | EPOLLOUT)

/* ---- epoll's list ---- */

static uint64_t watch_key(uint32_t epoll, uint32_t fd)
{
    return (uint64_t)epoll << 32 | fd;
}

/* What a registration was for is known when it ends. */
static void settle(struct maker *m, struct watch *w)
{
    if (w->call == NONE)
        return;
    const uint32_t events = w->events ? w->events : EPOLLIN;
    /* both at once, and never changed: such a descriptor tells of changes, else it were always ready */
    m->note[w->call].at = events == EVENTS_BOTH ? events | EPOLLET : events;
}

static kymo_status watch_new(struct maker *m, uint32_t epoll, uint32_t object, uint32_t proc,
                             uint32_t fd, uint32_t *out)
{
    struct watch *w;
    *out = (uint32_t)m->watches.n;
    KYMO_TRY(list_add(m, &m->watches, sizeof(*w), &w));
    *w = (struct watch){.epoll = epoll,
                        .object = object,
                        .proc = proc,
                        .fd = fd,
                        .call = NONE,
                        .next_of_epoll = object_at(m, epoll)->watches,
                        .next_of_object = NONE,
                        .is_live = 1};
    object_at(m, epoll)->watches = *out;
    if (object != NONE && object_at(m, object)->kind != O_EPOLL) {
        w->next_of_object = object_at(m, object)->watches;
        object_at(m, object)->watches = *out;
    }
    return KYMO_OK;
}

/* Who changes at once what it waits for has been told of something: of a connection that came about, where
 * nothing was read or written yet. */
static void told(struct maker *m, uint32_t call, uint32_t object)
{
    const struct object *o = object_at(m, object);
    const int is_new = o->kind == O_STREAM && o->made_by != NONE && o->out != NONE &&
                       !flow_at(m, o->out)->written && !flow_at(m, o->out)->taken &&
                       o->in != NONE && !flow_at(m, o->in)->taken;
    ready_used(m, call, object, is_new);
    m->note[call].wait = NONE;
}

static kymo_status controls(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct note *n = &m->note[call];
    const uint32_t fd = (uint32_t)c->arg[2];
    uint32_t *at, watch;
    if (!is_ok(c) || n->object == NONE || object_at(m, n->object)->kind != O_EPOLL)
        return KYMO_OK;
    if (n->object2 != NONE && c->arg[1] != EPOLL_CTL_ADD)
        told(m, call, n->object2);
    KYMO_TRY(hash64_at(m, &m->watch_of, watch_key(n->object, fd), &at));
    watch = *at;
    /* what is changed or taken back and was never given was there when the slice began */
    const int was_there =
        watch == NONE && c->arg[1] != EPOLL_CTL_ADD && object_at(m, n->object)->is_start;
    if (watch == NONE || watch_at(m, watch)->is_start ||
        (c->arg[1] == EPOLL_CTL_ADD && !watch_at(m, watch)->is_live) ||
        watch_at(m, watch)->object != n->object2) {
        const uint32_t old = watch;
        KYMO_TRY(watch_new(m, n->object, n->object2, proc_of_call(m, call), fd, &watch));
        if (was_there) {
            watch_at(m, watch)->is_start = 1;
            watch_at(m, watch)->is_live = 0;
            KYMO_TRY(watch_new(m, n->object, n->object2, proc_of_call(m, call), fd, &watch));
        }
        KYMO_TRY(hash64_at(m, &m->watch_of, watch_key(n->object, fd), &at));
        if (old != NONE) {
            settle(m, watch_at(m, old));
            watch_at(m, old)->is_live = 0;
        }
        *at = watch;
    } else {
        settle(m, watch_at(m, watch));
    }
    struct watch *w = watch_at(m, watch);
    w->call = call;
    w->events = 0;
    w->is_live = c->arg[1] != EPOLL_CTL_DEL;
    if (c->arg[1] == EPOLL_CTL_DEL)
        w->call = NONE;
    return KYMO_OK;
}

/* The live registration of an object with an epoll instance, NONE. */
static uint32_t watch_on(const struct maker *m, uint32_t epoll, uint32_t object)
{
    uint32_t tries = 0;
    if (object_at(m, object)->kind == O_EPOLL)
        return NONE;
    for (uint32_t w = object_at(m, object)->watches; w != NONE && tries < 64;
         w = watch_at(m, w)->next_of_object, tries++)
        if (watch_at(m, w)->epoll == epoll && watch_at(m, w)->is_live)
            return w;
    return NONE;
}

/* ---- what a call had waited for ---- */

void ready_used(struct maker *m, uint32_t call, uint32_t object, int writes)
{
    struct actor *a = actor_at(m, actor_of_call(m, call));
    const uint64_t key = (uint64_t)actor_of_call(m, call) << 32 | a->serial;
    struct object *o = object_at(m, object);
    uint32_t watch = NONE;
    if (a->last_wait == NONE || o->seen == key)
        return;
    const uint32_t epoll =
        m->row[a->last_wait]->op == OP_EPOLL_WAIT ? m->note[a->last_wait].object : NONE;
    if (epoll != NONE) {
        watch = watch_on(m, epoll, object);
        if (watch == NONE && object_at(m, epoll)->is_start && o->is_start && a->wait_left) {
            uint32_t *at;
            const uint32_t fd = (uint32_t)call_at(m, call)->arg[0];
            if (watch_new(m, epoll, object, proc_of_call(m, call), fd, &watch) ||
                hash64_at(m, &m->watch_of, watch_key(epoll, fd), &at))
                return; /* out of memory: the next list says so */
            watch_at(m, watch)->is_start = 1;
            *at = watch;
        }
        if (watch == NONE)
            return;
    }
    o = object_at(m, object);
    o->seen = key;
    if (!a->wait_left)
        return;
    a->wait_left--;
    m->note[call].wait = a->last_wait;
    if (watch != NONE)
        watch_at(m, watch)->events |= writes ? EPOLLOUT : EPOLLIN;
}

static int is_wait(uint8_t op)
{
    return op == OP_EPOLL_WAIT || op == OP_POLL || op == OP_SELECT;
}

static kymo_status found_nothing(struct maker *m, uint32_t call, uint32_t epoll)
{
    uint32_t n = 0;
    for (uint32_t w = object_at(m, epoll)->watches; w != NONE && n < WATCHES_MAX;
         w = watch_at(m, w)->next_of_epoll, n++)
        if (watch_at(m, w)->is_live && watch_at(m, w)->object != NONE)
            KYMO_TRY(flows_empty(m, call, watch_at(m, w)->object));
    return KYMO_OK;
}

kymo_status ready_exit(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct lower_row *row = m->row[call];
    struct actor *a = actor_at(m, actor_of_call(m, call));
    const uint32_t object = m->note[call].object;
    if (row->op == OP_EPOLL_CTL)
        return controls(m, call);
    if (row->op == OP_EPOLL_WAIT && c->ret == 0 && has_ret(c) && object != NONE)
        KYMO_TRY(found_nothing(m, call, object));
    if (is_wait(row->op)) {
        a->last_wait = c->ret > 0 && has_ret(c) ? call : NONE;
        a->serial++;
        a->wait_left = c->ret > 0 && c->ret < UINT16_MAX ? (uint32_t)c->ret : 0;
        return KYMO_OK;
    }
    if (object == NONE)
        return KYMO_OK;
    const uint8_t kind = object_at(m, object)->kind;
    if (row->op == OP_READ && (kind == O_TIMER || kind == O_SIGNAL || kind == O_INOTIFY))
        ready_used(m, call, object, 0);
    if ((!strcmp(row->name, "getsockopt") && c->arg[1] == SOL_SOCKET &&
         c->arg[2] == SO_ERROR) ||
        (row->op == OP_CONNECT && m->note[call].how == 0))
        ready_used(m, call, object, 1);
    return KYMO_OK;
}

/* ---- poll and select ---- */

struct ask {
    int32_t fd;
    int16_t events;
};

static int fd_arg(const struct lower_row *row)
{
    const char *const f = strchr(row->how, 'F');
    return f ? (int)(f - row->how) : -1;
}

static int is_waited_for(const struct maker *m, uint32_t call)
{
    const uint32_t object = m->note[call].object;
    if (object == NONE)
        return 0;
    const uint8_t kind = object_at(m, object)->kind;
    return kind != O_FILE && kind != O_OTHER && kind != O_SOCKET;
}

static int16_t direction(const struct maker *m, uint32_t call)
{
    const struct lower_row *row = m->row[call];
    if (row->op == OP_READ || row->op == OP_ACCEPT)
        return POLLIN;
    if (row->op == OP_WRITE || row->op == OP_CONNECT || !strcmp(row->name, "getsockopt"))
        return POLLOUT;
    return 0;
}

/* The descriptors that the thread used between this poll and its next. */
static uint32_t asked_for(const struct maker *m, uint32_t call, struct ask *ask, uint32_t max)
{
    const struct actor *a = actor_at(m, actor_of_call(m, call));
    uint32_t n = 0;
    for (uint32_t i = m->index_of[call] + 1; i < a->n && i <= m->index_of[call] + LOOK_AHEAD;
         i++) {
        const uint32_t next = m->t->order[a->first + i];
        const struct lower_row *row = m->row[next];
        if (!row)
            continue;
        if (is_wait(row->op))
            break;
        int16_t events = 0;
        if (fd_arg(row) == 0 && is_waited_for(m, next) && call_at(m, next)->ret != -11)
            events = (int16_t)direction(m, next);
        const int32_t fd = (int32_t)call_at(m, next)->arg[0];
        uint32_t k = 0;
        while (k < n && ask[k].fd != fd)
            k++;
        if (events && k == n && n < max)
            ask[n++] = (struct ask){fd, events};
    }
    return n;
}

/* Something that is always ready: what the thread wrote to last. */
static uint32_t always(const struct maker *m, uint32_t call, struct ask *ask)
{
    const struct actor *a = actor_at(m, actor_of_call(m, call));
    for (uint32_t i = m->index_of[call], k = 0; i-- > 0 && k < LOOK_BACK; k++) {
        const uint32_t last = m->t->order[a->first + i];
        const struct lower_row *row = m->row[last];
        if (!row || row->op == OP_CLOSE || fd_arg(row) != 0 || m->note[last].object == NONE ||
            object_at(m, m->note[last].object)->refs == 0)
            continue;
        const struct object *o = object_at(m, m->note[last].object);
        if (o->kind != O_STREAM && o->kind != O_FILE &&
            !(o->kind == O_PIPE && o->side == SIDE_WRITE))
            continue;
        *ask = (struct ask){(int32_t)call_at(m, last)->arg[0], POLLOUT};
        return 1;
    }
    return 0;
}

static kymo_status poll_blob(struct maker *m, uint32_t call, const struct ask *ask, uint32_t n)
{
    struct pollfd set[FDS_MAX];
    const uint64_t asked = call_at(m, call)->arg[1];
    const uint32_t room = asked < FDS_MAX ? (uint32_t)asked : FDS_MAX;
    const int64_t ret = call_at(m, call)->ret;
    for (uint32_t i = 0; i < room; i++) {
        const int is_ready = n && (i < n || (int64_t)i < ret);
        set[i] = (struct pollfd){.fd = -1};
        if (is_ready) {
            set[i].fd = ask[i % n].fd;
            set[i].events = ask[i % n].events;
        }
    }
    m->note[call].at = room;
    return blob_put(m, set, room * sizeof(set[0]), 8, &m->note[call].extra);
}

/* reading | writing: two lists of numbers, one behind the other; at: how many of each. */
static kymo_status select_blob(struct maker *m, uint32_t call, const struct ask *ask,
                               uint32_t n)
{
    uint32_t fd[2 * FDS_MAX], k = 0, reading = 0;
    for (int out = 0; out < 2; out++)
        for (uint32_t i = 0; i < n; i++)
            if ((ask[i].events == POLLOUT) == out) {
                fd[k++] = (uint32_t)ask[i].fd;
                reading += !out;
            }
    m->note[call].at = (uint64_t)reading << 32 | (k - reading);
    return blob_put(m, fd, k * sizeof(fd[0]), 8, &m->note[call].extra);
}

static kymo_status lay_out(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct ask ask[FDS_MAX];
    const uint8_t op = m->row[call]->op;
    uint32_t n = 0;
    if (c->ret > 0 && has_ret(c)) {
        const uint32_t max = c->ret < FDS_MAX ? (uint32_t)c->ret : FDS_MAX;
        n = asked_for(m, call, ask, max);
        if (!n && (n = always(m, call, ask)))
            m->note[call].why = KYMO_WHY_SUBSTITUTE;
        if (!n)
            m->note[call].how = KYMO_HOW_INJECT;
    }
    return op == OP_POLL ? poll_blob(m, call, ask, n) : select_blob(m, call, ask, n);
}

kymo_status ready_finish(struct maker *m)
{
    for (uint32_t i = 0; i < m->watches.n; i++)
        if (watch_at(m, i)->is_live || watch_at(m, i)->call != NONE)
            settle(m, watch_at(m, i));
    for (uint32_t i = 0; i < m->t->n_calls; i++)
        if (m->row[i] && (m->row[i]->op == OP_POLL || m->row[i]->op == OP_SELECT))
            KYMO_TRY(lay_out(m, i));
    return KYMO_OK;
}
