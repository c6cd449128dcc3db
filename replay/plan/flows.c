/* SPDX-License-Identifier: Apache-2.0
 * flows.c: bytes on their way. Where both ends are in the slice, a read needs the writes up to its last byte,
 * and one that found nothing comes before the next write; where the other end is the environment's, it sends
 * just what the reads took, when they saw it, and takes what was written.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "replay/plan/compile_own.h"

#define RECV_BYTES 32768u /* what may lie unread at the environment's end */
#define WRITERS_MAX 8u    /* actors whose writes one read is made of */
#define ROOM_BYTES 32768u /* what always finds room */
#define DONTWAIT 0x40u
#define PEEK 2u

static int is_flow(const struct object *o)
{
    return o->kind == O_PIPE || o->kind == O_STREAM || o->kind == O_DGRAM || o->kind == O_EVENT;
}

/* Who is at the other end: nobody of the slice? */
static int is_strange(const struct maker *m, const struct object *o)
{
    if (o->kind == O_EVENT)
        return 0;
    if (o->pair != NONE)
        return object_at(m, o->pair)->is_env;
    return o->is_start || o->kind == O_DGRAM;
}

static kymo_status event(struct maker *m, uint32_t flow, int writes, uint32_t call,
                         uint8_t kind, uint64_t bytes)
{
    struct flow *f = flow_at(m, flow);
    struct flow_event *e;
    const uint64_t units = f->by_message && bytes ? 1 : bytes;
    if (f->by_message == 2 && !writes && bytes) /* an eventfd gives all there is */
        f->taken = f->written ? f->written - 1 : 0;
    if (writes)
        f->written += units;
    else
        f->taken += units;
    const uint64_t end = writes ? f->written : f->taken;
    KYMO_TRY(list_add(m, writes ? &f->write : &f->read, sizeof(*e), &e));
    *e = (struct flow_event){call, kind, end};
    return KYMO_OK;
}

/* ---- the environment's end ---- */

/* The environment's object at the other end of one of the start; made when it is first needed. */
static kymo_status stranger_of(struct maker *m, uint32_t object, uint32_t *out)
{
    struct object *o = object_at(m, object);
    *out = o->pair;
    if (*out != NONE)
        return KYMO_OK;
    const struct object like = *o;
    KYMO_TRY(object_new(m, (enum object_kind)like.kind, NONE, out));
    struct object *e = object_at(m, *out);
    e->is_env = 1;
    e->is_start = like.is_start;
    e->family = like.family;
    e->type = like.type;
    e->pair = object;
    e->local = like.peer;
    e->peer = like.local;
    e->side = like.side == SIDE_READ ? SIDE_WRITE : SIDE_READ;
    object_at(m, object)->pair = *out;
    return KYMO_OK;
}

static kymo_status strange_read(struct maker *m, uint32_t call, uint32_t object)
{
    const struct kymo_trace_call *c = call_at(m, call);
    uint32_t end, act;
    if (object_at(m, object)->is_relayed || c->ret == -EAGAIN || c->ret < -4095 ||
        c->ret == -EINTR)
        return KYMO_OK;
    KYMO_TRY(stranger_of(m, object, &end));
    if (c->ret > 0) {
        KYMO_TRY(act_release(m, KYMO_ACT_SEND, call, object, end, &act));
        act_at(m, act)->a.n =
            (uint64_t)c->ret < BUFFER_BYTES_MAX ? (uint64_t)c->ret : BUFFER_BYTES_MAX;
        return KYMO_OK;
    }
    if (c->ret == 0 && !object_at(m, end)->is_broken && object_at(m, object)->kind != O_DGRAM) {
        object_at(m, end)->is_broken = 1; /* it says so once */
        return act_release(m, KYMO_ACT_SHUT, call, object, end, &act);
    }
    if (c->ret == -ECONNRESET && object_at(m, end)->is_broken < 2) {
        object_at(m, end)->is_broken = 2;
        return act_release(m, KYMO_ACT_RESET, call, object, end, &act);
    }
    return KYMO_OK;
}

static kymo_status strange_write(struct maker *m, uint32_t call, uint32_t object)
{
    const struct kymo_trace_call *c = call_at(m, call);
    uint32_t end, act;
    if (object_at(m, object)->is_relayed)
        return KYMO_OK;
    KYMO_TRY(stranger_of(m, object, &end));
    if ((c->ret == -EPIPE || c->ret == -ECONNRESET) && object_at(m, end)->is_broken < 2) {
        object_at(m, end)->is_broken = 2;
        m->note[call].wait = NONE;
        return act_release(m, KYMO_ACT_RESET, call, object, end, &act);
    }
    if (c->ret <= 0)
        return KYMO_OK;
    object_at(m, object)->pending +=
        c->ret < UINT32_MAX / 2 ? (uint32_t)c->ret : UINT32_MAX / 2;
    const uint32_t pending = object_at(m, object)->pending;
    if (pending < RECV_BYTES && object_at(m, object)->kind != O_DGRAM)
        return KYMO_OK;
    object_at(m, object)->pending = 0;
    KYMO_TRY(act_new(m, KYMO_ACT_RECV, end, m->note[call].begin, &act));
    struct act *a = act_at(m, act);
    const uint32_t earlier = object_at(m, end)->act;
    if (earlier != NONE && act_at(m, earlier)->point > a->point)
        a->point = a->a.enter_ns = act_at(m, earlier)->point;
    if (a->point <= m->note[call].begin)
        a->point = m->note[call].begin + 1; /* it takes while the call gives */
    a->a.n = pending;
    object_at(m, end)->act = act;
    return edge_add(m, act | IS_ACT, call, 1);
}

/* ---- calls ---- */

static int cannot_wait(const struct maker *m, uint32_t call, const struct object *o)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const char *const name = m->row[call]->name;
    const int flags = !strcmp(name, "recvfrom") || !strcmp(name, "recvmmsg") ? 3
                      : !strcmp(name, "recvmsg")                             ? 2
                                                                             : -1;
    return o->nonblock || (flags >= 0 && c->arg[flags] & DONTWAIT);
}

static int only_looks(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const char *const name = m->row[call]->name;
    return (!strcmp(name, "recvfrom") && c->arg[3] & PEEK) ||
           (!strcmp(name, "recvmsg") && c->arg[2] & PEEK) || !strcmp(name, "tee");
}

static kymo_status reads(struct maker *m, uint32_t call, uint32_t object)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct note *n = &m->note[call];
    struct object *o = object_at(m, object);
    if (!cannot_wait(m, call, o) && dur_of(c) >= WAITS_NS && c->ret != -EAGAIN) {
        n->begin = c->enter_ns - m->origin;
        n->blocks = 1;
    }
    if (c->ret == -EAGAIN) /* there was nothing when it looked */
        n->begin = n->done = c->enter_ns - m->origin;
    ready_used(m, call, object, 0);
    if (is_strange(m, o)) {
        if (only_looks(m, call) && c->ret > 0)
            n->how = KYMO_HOW_INJECT;
        else
            KYMO_TRY(strange_read(m, call, object));
    } else if (o->in != NONE && !only_looks(m, call)) {
        const uint8_t kind = c->ret > 0 ? (uint64_t)c->ret < c->arg[2] ? FLOW_SHORT : FLOW_READ
                             : c->ret == 0 ? FLOW_END
                                           : FLOW_EMPTY;
        KYMO_TRY(event(m, o->in, 0, call, kind, c->ret > 0 ? (uint64_t)c->ret : 0));
    }
    object_at(m, object)->last_call = call;
    return KYMO_OK;
}

static kymo_status writes(struct maker *m, uint32_t call, uint32_t object)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct note *n = &m->note[call];
    struct object *o = object_at(m, object);
    if (!o->nonblock && dur_of(c) >= 10 * WAITS_NS) {
        n->done = c->exit_ns - m->origin;
        n->blocks = 1;
    }
    ready_used(m, call, object, 1);
    if (is_strange(m, o))
        KYMO_TRY(strange_write(m, call, object));
    else if (o->out != NONE && c->ret > 0)
        KYMO_TRY(event(m, o->out, 1, call, FLOW_WRITE, (uint64_t)c->ret));
    object_at(m, object)->last_call = call;
    return KYMO_OK;
}

kymo_status flows_use(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct note *n = &m->note[call];
    const uint8_t op = m->row[call]->op;
    if (!has_ret(c))
        return KYMO_OK;
    KYMO_TRY(files_use(m, call));
    const int to_first = op == OP_MOVE && m->row[call]->arg == 1;
    const uint32_t in = op == OP_READ   ? n->object
                        : op == OP_MOVE ? to_first ? n->object2 : n->object
                                        : NONE;
    const uint32_t out = op == OP_WRITE  ? n->object
                         : op == OP_MOVE ? to_first ? n->object : n->object2
                                         : NONE;
    if (in != NONE && is_flow(object_at(m, in)))
        KYMO_TRY(reads(m, call, in));
    if (out != NONE && is_flow(object_at(m, out)))
        KYMO_TRY(writes(m, call, out));
    if (op != OP_READ && op != OP_WRITE && op != OP_MOVE && n->object != NONE)
        object_at(m, n->object)->last_call = call;
    return KYMO_OK;
}

kymo_status flows_empty(struct maker *m, uint32_t call, uint32_t object)
{
    const struct object *o = object_at(m, object);
    if (!is_flow(o) || is_strange(m, o) || o->in == NONE)
        return KYMO_OK;
    return event(m, o->in, 0, call, FLOW_EMPTY, 0);
}

/* ---- both ends in the slice ---- */

/* The write that gave byte `end` of the flow; n: none did. */
static size_t giver_of(const struct flow *f, uint64_t end)
{
    size_t low = 0, high = f->write.n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (AT(f->write, struct flow_event, mid)->end < end)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static kymo_status match_read(struct maker *m, const struct flow *f, const struct flow_event *r)
{
    const size_t k = giver_of(f, r->end);
    if (k >= f->write.n || call_at(m, AT(f->write, struct flow_event, k)->call)->enter_ns >
                               call_at(m, r->call)->exit_ns) {
        m->note[r->call].how =
            KYMO_HOW_INJECT; /* bytes of somebody whom the slice does not have */
        return KYMO_OK;
    }
    uint32_t actor[WRITERS_MAX];
    size_t n = 0;
    for (size_t i = k + 1; i-- > 0 && k - i < WRITERS_MAX && n < WRITERS_MAX;) {
        const uint32_t giver = AT(f->write, struct flow_event, i)->call;
        size_t j = 0;
        while (j < n && actor[j] != actor_of_call(m, giver))
            j++;
        if (j < n)
            continue;
        actor[n++] = actor_of_call(m, giver);
        KYMO_TRY(edge_release(m, r->call, giver));
    }
    return KYMO_OK;
}

/* What found the flow empty, or took all of it and wanted more, comes before the next write. */
static kymo_status match_empty(struct maker *m, const struct flow *f,
                               const struct flow_event *r)
{
    const size_t k = giver_of(f, r->end + 1);
    if (k >= f->write.n)
        return KYMO_OK;
    const uint32_t next = AT(f->write, struct flow_event, k)->call;
    KYMO_TRY(edge_add(m, next, r->call, 0));
    /* it came while the read was on its way: the read must not get it, too */
    if (r->kind == FLOW_SHORT &&
        call_at(m, next)->enter_ns - m->origin <= m->note[r->call].done)
        m->note[r->call].size = (uint64_t)call_at(m, r->call)->ret;
    return KYMO_OK;
}

static kymo_status match_end(struct maker *m, const struct flow *f, const struct flow_event *r)
{
    const uint32_t closer = f->from == NONE ? NONE : object_at(m, f->from)->closed_by;
    if (closer == NONE)
        return KYMO_OK;
    return edge_release(m, r->call, closer);
}

/* A write that did not wait found room: what had been read before it, has been read before it. */
static kymo_status match_room(struct maker *m, const struct flow *f)
{
    size_t r = 0;
    uint64_t sure = 0; /* bytes of which it is sure that they were taken */
    for (size_t i = 0; i < f->write.n; i++) {
        const struct flow_event *w = AT(f->write, struct flow_event, i);
        if (f->by_message || w->end - sure < ROOM_BYTES)
            continue;
        while (r + 1 < f->read.n && m->note[AT(f->read, struct flow_event, r + 1)->call].done <
                                        m->note[w->call].begin)
            r++;
        const struct flow_event *last =
            r < f->read.n ? AT(f->read, struct flow_event, r) : NULL;
        if (!last || last->end <= sure || m->note[last->call].done >= m->note[w->call].begin)
            continue;
        KYMO_TRY(edge_add(m, w->call, last->call, 0));
        sure = last->end;
    }
    return KYMO_OK;
}

/* A write that was on its way while somebody found nothing yet acted after that. */
static void put_off(const struct maker *m, const struct flow *f)
{
    for (size_t i = 0; i < f->read.n; i++) {
        const struct flow_event *r = AT(f->read, struct flow_event, i);
        const size_t k = r->kind == FLOW_EMPTY || r->kind == FLOW_SHORT
                             ? giver_of(f, r->end + 1)
                             : f->write.n;
        if (k >= f->write.n)
            continue;
        const uint32_t next = AT(f->write, struct flow_event, k)->call;
        struct note *w = &m->note[next];
        const uint64_t seen = m->note[r->call].done,
                       end = call_at(m, next)->exit_ns - m->origin;
        if (w->begin <= seen && end > seen) {
            w->begin = seen + 1;
            w->done = w->blocks ? w->done : w->begin;
        }
    }
}

static kymo_status match(struct maker *m, const struct flow *f)
{
    for (size_t i = 0; i < f->read.n; i++) {
        const struct flow_event *r = AT(f->read, struct flow_event, i);
        if (r->kind == FLOW_END)
            KYMO_TRY(match_end(m, f, r));
        if (r->kind == FLOW_READ || r->kind == FLOW_SHORT)
            KYMO_TRY(match_read(m, f, r));
        if (r->kind == FLOW_SHORT || r->kind == FLOW_EMPTY)
            KYMO_TRY(match_empty(m, f, r));
    }
    return match_room(m, f);
}

/* What is left unread at the environment's end is taken at the last. */
kymo_status flows_finish(struct maker *m)
{
    for (uint32_t i = 0; i < m->flows.n; i++)
        put_off(m, flow_at(m, i));
    for (uint32_t i = 0; i < m->flows.n; i++)
        KYMO_TRY(match(m, flow_at(m, i)));
    return KYMO_OK;
}
