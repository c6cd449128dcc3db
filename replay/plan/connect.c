/* SPDX-License-Identifier: Apache-2.0
 * connect.c: who is at the other end of a socket. A connection to an address that the slice listens on goes to
 * its next accept, first come first served; all others are with the environment, which listens before the
 * slice connects and connects before the slice accepts.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "replay/plan/compile_own.h"

#define LOOK_MAX 64u /* connections that are looked at for one accept */
#define EARLY_NS 50000000u

static uint64_t key_of(const struct maker *m, uint32_t addr)
{
    const uint32_t port = sockaddr_port(text_of(m, addr));
    if (port)
        return (uint64_t)1 << 40 | port;
    return !strncmp(text_of(m, addr), "unix:", 5) && text_of(m, addr)[5]
               ? (uint64_t)2 << 40 | addr
               : 0;
}

static kymo_status listener_of(struct maker *m, uint32_t addr, uint32_t *out)
{
    uint32_t *at;
    struct listener *l;
    const uint64_t key = addr ? key_of(m, addr) : 0;
    *out = NONE;
    if (!key)
        return KYMO_OK;
    KYMO_TRY(hash64_at(m, &m->port_of, key, &at));
    if (*at == NONE) {
        *at = (uint32_t)m->listeners.n;
        KYMO_TRY(list_add(m, &m->listeners, sizeof(*l), &l));
        l->object = l->stranger = NONE;
    }
    *out = *at;
    return KYMO_OK;
}

static kymo_status listens(struct maker *m, uint32_t object)
{
    uint32_t l;
    KYMO_TRY(listener_of(m, object_at(m, object)->local, &l));
    if (l == NONE || object_at(m, object)->listens != NONE)
        return KYMO_OK;
    AT(m->listeners, struct listener, l)->n_live++;
    AT(m->listeners, struct listener, l)->object = object;
    object_at(m, object)->listens = l;
    return KYMO_OK;
}

/* ---- the environment's ends ---- */

static kymo_status stranger_new(struct maker *m, enum object_kind kind,
                                const struct object *like, uint32_t local, uint32_t peer,
                                uint32_t *out)
{
    const uint16_t family = like->family;
    const uint32_t type = like->type;
    KYMO_TRY(object_new(m, kind, NONE, out));
    struct object *e = object_at(m, *out);
    e->is_env = 1;
    e->family = family;
    e->type = type;
    e->local = local;
    e->peer = peer;
    return KYMO_OK;
}

static kymo_status stranger_listens(struct maker *m, uint32_t call, uint32_t addr,
                                    enum object_kind kind, uint32_t *out)
{
    uint32_t l, act;
    KYMO_TRY(listener_of(m, addr, &l));
    if (l == NONE || AT(m->listeners, struct listener, l)->stranger != NONE) {
        *out = l == NONE ? NONE : AT(m->listeners, struct listener, l)->stranger;
        return KYMO_OK;
    }
    const struct object like = *object_at(m, m->note[call].object);
    KYMO_TRY(stranger_new(m, kind, &like, addr, 0, out));
    AT(m->listeners, struct listener, l)->stranger = *out;
    KYMO_TRY(act_new(m, KYMO_ACT_LISTEN, *out, call_at(m, call)->enter_ns - m->origin, &act));
    object_at(m, *out)->act = act;
    return edge_add(m, call, act | IS_ACT, 0);
}

/* Is this a connection that a real peer is to have? */
static int is_target(const struct maker *m, uint32_t addr)
{
    const char *const from = m->o->target_from, *const text = text_of(m, addr);
    if (!m->o->target_to || !sockaddr_port(text))
        return 0;
    return !from || !strcmp(strchr(text, ':') + 1, from);
}

static kymo_status connect_out(struct maker *m, uint32_t call)
{
    const uint32_t addr = call_at(m, call)->addr, mine = m->note[call].object;
    uint32_t listener, end, act;
    KYMO_TRY(stranger_listens(m, call, addr, O_LISTEN, &listener));
    if (listener == NONE)
        return KYMO_OK;
    const struct object like = *object_at(m, mine);
    KYMO_TRY(stranger_new(m, O_STREAM, &like, addr, 0, &end));
    KYMO_TRY(object_pair(m, mine, end));
    if (is_target(m, addr)) {
        object_at(m, listener)->is_relayed = object_at(m, mine)->is_relayed = 1;
        return KYMO_OK;
    }
    KYMO_TRY(act_new(m, KYMO_ACT_ACCEPT, end, call_at(m, call)->exit_ns - m->origin, &act));
    act_at(m, act)->a.other = listener;
    object_at(m, end)->act = act;
    return edge_add(m, act | IS_ACT, call, m->note[call].blocks);
}

static kymo_status connect_in(struct maker *m, uint32_t call, uint32_t mine)
{
    const uint32_t listener = m->note[call].object;
    uint32_t end, act;
    const struct object like = *object_at(m, listener);
    KYMO_TRY(stranger_new(m, O_STREAM, &like, call_at(m, call)->addr, like.local, &end));
    KYMO_TRY(object_pair(m, mine, end));
    KYMO_TRY(act_release(m, KYMO_ACT_CONNECT, call, listener, end, &act));
    if (object_at(m, listener)->made_by != NONE)
        return edge_add(m, act | IS_ACT, object_at(m, listener)->made_by, 0);
    return KYMO_OK;
}

/* ---- calls ---- */

static int may_connect(const struct kymo_trace_call *c)
{
    return has_ret(c) && (c->ret == 0 || c->ret == -EINPROGRESS);
}

static kymo_status datagrams_to(struct maker *m, uint32_t call, uint32_t addr)
{
    const uint32_t mine = m->note[call].object;
    uint32_t end;
    struct object *o = object_at(m, mine);
    o->kind = O_DGRAM;
    if (o->family != AF_INET && o->family != AF_INET6 && o->family != AF_UNIX)
        return KYMO_OK;
    uint32_t l;
    KYMO_TRY(listener_of(m, addr, &l));
    if (l != NONE && AT(m->listeners, struct listener, l)->n_live) {
        end = AT(m->listeners, struct listener, l)->object;
        if (object_at(m, mine)->pair == NONE && object_at(m, end)->pair == NONE &&
            object_at(m, end)->kind == O_DGRAM)
            KYMO_TRY(object_pair(m, mine, end));
        else
            object_at(m, mine)->pair = end;
        return KYMO_OK;
    }
    KYMO_TRY(stranger_listens(m, call, addr, O_DGRAM, &end));
    if (end != NONE && object_at(m, mine)->pair == NONE) {
        KYMO_TRY(object_pair(m, mine, end));
        flow_at(m, object_at(m, mine)->in)->by_message = 1;
        flow_at(m, object_at(m, mine)->out)->by_message = 1;
    }
    return KYMO_OK;
}

static kymo_status connects(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint32_t mine = m->note[call].object;
    uint32_t l;
    struct pending *p;
    if (mine == NONE || !c->addr || !may_connect(c) || object_at(m, mine)->pair != NONE)
        return KYMO_OK;
    object_at(m, mine)->peer = c->addr;
    if (object_at(m, mine)->type == SOCK_DGRAM)
        return datagrams_to(m, call, c->addr);
    if (object_at(m, mine)->kind == O_STREAM)
        return KYMO_OK; /* once more, to learn how it went */
    object_at(m, mine)->kind = O_STREAM;
    KYMO_TRY(listener_of(m, c->addr, &l));
    if (l == NONE)
        return KYMO_OK;
    if (!AT(m->listeners, struct listener, l)->n_live)
        return connect_out(m, call);
    uint32_t in, out;
    KYMO_TRY(flow_new(m, mine, NONE, &out));
    KYMO_TRY(flow_new(m, NONE, mine, &in));
    object_at(m, mine)->in = in;
    object_at(m, mine)->out = out;
    KYMO_TRY(list_add(m, &AT(m->listeners, struct listener, l)->queue, sizeof(*p), &p));
    *p = (struct pending){.call = call, .object = mine};
    const uint32_t listener = AT(m->listeners, struct listener, l)->object;
    return listener == NONE ? KYMO_OK : use_add(m, call, object_at(m, listener)->resource, 1);
}

/* The connection that this accept takes: the oldest that fits. NULL: one of the environment's. */
static struct pending *next_of(const struct maker *m, uint32_t l, uint32_t listener)
{
    struct listener *const q = AT(m->listeners, struct listener, l);
    struct pending *const p = q->queue.p;
    const uint16_t family = object_at(m, listener)->family;
    while (q->taken < q->queue.n && p[q->taken].is_taken)
        q->taken++;
    for (uint32_t i = q->taken; i < q->queue.n && i < q->taken + LOOK_MAX; i++)
        if (!p[i].is_taken && object_at(m, p[i].object)->family == family)
            return &p[i];
    return q->taken < q->queue.n && !p[q->taken].is_taken ? &p[q->taken] : NULL;
}

static kymo_status join(struct maker *m, uint32_t call, struct pending *p, uint32_t mine)
{
    struct object *a = object_at(m, mine), *x = object_at(m, p->object);
    p->is_taken = 1;
    a->pair = p->object;
    x->pair = mine;
    a->in = x->out;
    a->out = x->in;
    flow_at(m, a->in)->to = mine;
    flow_at(m, a->out)->from = mine;
    return edge_release(m, call, p->call);
}

kymo_status connect_accepts(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct note *n = &m->note[call];
    const uint32_t listener = n->object;
    uint32_t mine, l;
    if (listener == NONE || !is_ok(c) || c->ret < 0)
        return KYMO_OK;
    if (!object_at(m, listener)->nonblock && dur_of(c) >= WAITS_NS) {
        n->begin = c->enter_ns - m->origin;
        n->blocks = 1;
    }
    KYMO_TRY(object_new(m, O_STREAM, call, &mine));
    n = &m->note[call];
    n->object2 = mine;
    object_at(m, mine)->family = object_at(m, listener)->family;
    object_at(m, mine)->type = SOCK_STREAM;
    object_at(m, mine)->nonblock =
        !strcmp(m->row[call]->name, "accept4") && c->arg[3] & SOCK_NONBLOCK;
    ready_used(m, call, listener, 0);
    if (n->blocks && n->wait != NONE) {
        /* A wait had announced the connection: it was there already, however long taking it took. */
        n->begin = n->done;
        n->blocks = 0;
    }
    KYMO_TRY(listener_of(m, object_at(m, listener)->local, &l));
    struct pending *p = l == NONE ? NULL : next_of(m, l, listener);
    return p ? join(m, call, p, mine) : connect_in(m, call, mine);
}

/* Connections that were on their way while somebody found none yet came about after that. */
static kymo_status found_nobody(struct maker *m, uint32_t call)
{
    const uint64_t seen = m->note[call].done;
    uint32_t l;
    if (m->note[call].object == NONE)
        return KYMO_OK;
    KYMO_TRY(listener_of(m, object_at(m, m->note[call].object)->local, &l));
    if (l == NONE)
        return KYMO_OK;
    const struct listener *q = AT(m->listeners, struct listener, l);
    const struct pending *p = q->queue.p;
    for (uint32_t i = q->taken; i < q->queue.n && i < q->taken + LOOK_MAX; i++) {
        struct note *n = &m->note[p[i].call];
        if (p[i].is_taken || n->begin > seen ||
            call_at(m, p[i].call)->exit_ns - m->origin <= seen)
            continue;
        n->begin = seen + 1;
        n->done = n->done > n->begin ? n->done : n->begin;
        KYMO_TRY(edge_add(m, p[i].call, call, 0));
    }
    return KYMO_OK;
}

static kymo_status binds(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint32_t mine = m->note[call].object;
    if (mine == NONE || !is_ok(c) || !c->addr)
        return KYMO_OK;
    object_at(m, mine)->local = c->addr;
    if (object_at(m, mine)->type != SOCK_DGRAM)
        return KYMO_OK;
    object_at(m, mine)->kind = O_DGRAM;
    return listens(m, mine);
}

kymo_status connect_enter(struct maker *m, uint32_t call)
{
    struct note *n = &m->note[call];
    const struct kymo_trace_call *c = call_at(m, call);
    if (m->row[call]->op != OP_CONNECT)
        return KYMO_OK;
    if (dur_of(c) >= 10 * WAITS_NS && c->ret == 0) {
        n->done = c->exit_ns - m->origin;
        n->blocks = 1;
    }
    return connects(m, call);
}

kymo_status connect_exit(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint32_t mine = m->note[call].object;
    switch (m->row[call]->op) {
    case OP_ACCEPT:
        return has_ret(c) && c->ret == -EAGAIN ? found_nobody(m, call) : KYMO_OK;
    case OP_BIND:
        return binds(m, call);
    case OP_LISTEN:
        if (mine == NONE || !is_ok(c))
            return KYMO_OK;
        object_at(m, mine)->kind = O_LISTEN;
        return listens(m, mine);
    default:
        return KYMO_OK;
    }
}

/* ---- at the start ---- */

kymo_status connect_start(struct maker *m, uint32_t object)
{
    struct object *o = object_at(m, object);
    uint32_t *at, end;
    if (o->kind == O_LISTEN)
        return listens(m, object);
    if (o->kind != O_STREAM)
        return KYMO_OK;
    if (o->local && o->peer && key_of(m, o->local) && key_of(m, o->peer)) {
        const uint64_t mirror = (uint64_t)o->peer << 32 | o->local;
        end = hash64_get(&m->stream_of, mirror);
        if (end != NONE && object_at(m, end)->pair != NONE && object_at(m, end)->act == NONE &&
            object_at(m, object_at(m, end)->pair)->is_env &&
            object_at(m, end)->last_call == NONE)
            return object_pair(m, object, end);
        KYMO_TRY(hash64_at(m, &m->stream_of, (uint64_t)o->local << 32 | o->peer, &at));
        *at = object;
    }
    const struct object like = *o;
    KYMO_TRY(stranger_new(m, O_STREAM, &like, like.peer, like.local, &end));
    object_at(m, end)->is_start = 1;
    return object_pair(m, object, end);
}

/* Sockets that listened before the slice began: connections of the slice go there. */
kymo_status connect_begin(struct maker *m)
{
    uint32_t object;
    for (uint32_t i = 0; i < m->procs.n; i++) {
        const struct proc *p = proc_at(m, i);
        const struct actor *leader = actor_at(m, p->leader);
        if (!p->n_snapshot || !p->at_start)
            continue;
        const uint64_t first = leader->n ? call_at(m, m->t->order[leader->first])->enter_ns
                                         : UINT64_MAX - EARLY_NS;
        for (uint32_t k = 0; k < proc_at(m, i)->n_snapshot; k++) {
            const struct kymo_trace_fd *f = &m->t->fd[proc_at(m, i)->snapshot + k];
            if (f->peer || !f->local || f->fd >= KYMO_FDS_MAX || f->ts_ns > first + EARLY_NS ||
                !key_of(m, f->local))
                continue;
            KYMO_TRY(fds_get(m, i, NONE, f->fd, &object));
        }
    }
    return KYMO_OK;
}
