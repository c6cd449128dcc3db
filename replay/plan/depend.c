/* SPDX-License-Identifier: Apache-2.0
 * depend.c: the partial order. What calls do to a resource (an open file, a file, a name, a descriptor table, a
 * word) is listed as they do it; here each resource's list is gone through in time, and whoever reads waits for
 * the last who wrote, whoever writes for all since.
 *
 * An edge goes forward in time or is not made (before()), so there is no cycle. Of edges into a call only those
 * are kept that an earlier call of the same actor has not waited for already.
 */
#include <stdlib.h>

#include "replay/plan/compile_own.h"

#define SHARERS_MAX 64u   /* actors that are remembered of a resource */
#define DEPS_MAX 60000u   /* edges into one call */
#define EARLIER_NS 15000u /* what a woken thread needs to leave the kernel */

/* ---- points ---- */

static int is_act(uint32_t who)
{
    return (who & IS_ACT) != 0;
}

static uint64_t begin_of(const struct maker *m, uint32_t who)
{
    return is_act(who) ? act_at(m, who & ~IS_ACT)->point : m->note[who].begin;
}

static uint64_t done_of(const struct maker *m, uint32_t who)
{
    return is_act(who) ? act_at(m, who & ~IS_ACT)->point : m->note[who].done;
}

/* Of the same moment acts come first, then calls, each by their number. */
static int before(uint64_t x, uint32_t a, uint64_t y, uint32_t b)
{
    if (x != y)
        return x < y;
    return is_act(a) != is_act(b) ? is_act(a) : a < b;
}

static uint32_t actor_of_who(const struct maker *m, uint32_t who)
{
    return is_act(who) ? 0 : actor_of_call(m, who);
}

/* ---- lists ---- */

kymo_status act_new(struct maker *m, enum kymo_act_kind kind, uint32_t object, uint64_t point,
                    uint32_t *out)
{
    struct act *a;
    *out = (uint32_t)m->acts.n;
    KYMO_TRY(list_add(m, &m->acts, sizeof(*a), &a));
    a->a.kind = kind;
    a->a.object = object;
    a->a.other = NONE;
    a->a.enter_ns = a->point = point;
    a->inode = NONE;
    return KYMO_OK;
}

kymo_status use_add(struct maker *m, uint32_t who, uint32_t resource, int writes)
{
    struct use *u;
    KYMO_TRY(list_add(m, &m->uses, sizeof(*u), &u));
    *u = (struct use){who, resource, writes != 0};
    return KYMO_OK;
}

kymo_status edge_add(struct maker *m, uint32_t to, uint32_t from, int begun)
{
    struct edge *e;
    if (actor_of_who(m, to) == actor_of_who(m, from) ||
        !before(begun ? begin_of(m, from) : done_of(m, from), from, begin_of(m, to), to))
        return KYMO_OK;
    KYMO_TRY(list_add(m, &m->edges, sizeof(*e), &e));
    *e = (struct edge){to, from, begun != 0};
    return KYMO_OK;
}

/* ---- who lets whom go on ---- */

static uint64_t just_before(uint64_t begin, uint64_t done)
{
    return done > begin + EARLIER_NS ? done - EARLIER_NS : begin + (done > begin);
}

kymo_status act_release(struct maker *m, enum kymo_act_kind kind, uint32_t call, uint32_t taker,
                        uint32_t object, uint32_t *out)
{
    const struct note *n = &m->note[call], *w = n->wait == NONE ? NULL : &m->note[n->wait];
    uint64_t point = point_ahead(m, call);
    if (n->blocks)
        point = just_before(n->begin, n->done);
    else if (w)
        point = w->blocks ? just_before(w->begin, w->done) : point_ahead(m, n->wait);
    const uint32_t last = taker == NONE ? NONE : object_at(m, taker)->last_call;
    const uint32_t earlier = object_at(m, object)->act;
    if (earlier != NONE && act_at(m, earlier)->point > point)
        point = act_at(m, earlier)->point;
    KYMO_TRY(act_new(m, kind, object, point, out));
    object_at(m, object)->act = *out;
    if (last != NONE)
        KYMO_TRY(edge_add(m, *out | IS_ACT, last, 0));
    if (n->blocks)
        return edge_add(m, *out | IS_ACT, call, 1);
    KYMO_TRY(edge_add(m, call, *out | IS_ACT, 0));
    if (!w)
        return KYMO_OK;
    return w->blocks ? edge_add(m, *out | IS_ACT, n->wait, 1)
                     : edge_add(m, n->wait, *out | IS_ACT, 0);
}

kymo_status edge_release(struct maker *m, uint32_t call, uint32_t giver)
{
    const struct note *n = &m->note[call];
    for (int i = 0; i < 2; i++) {
        const uint32_t who = i ? n->wait : call;
        if (who == NONE)
            continue;
        if (m->note[who].blocks && before(m->note[who].begin, who, m->note[giver].begin, giver))
            KYMO_TRY(edge_add(m, giver, who, 1));
        else if (before(m->note[giver].done, giver, m->note[who].begin, who))
            KYMO_TRY(edge_add(m, who, giver, 0));
        else
            KYMO_TRY(edge_add(m, who, giver, 1));
    }
    return KYMO_OK;
}

/* ---- resources ---- */

struct sharer { /* what an actor last did to a resource */
    uint32_t actor;
    uint32_t write[2], read[2]; /* the last and the one before, NONE */
};

struct sharers {
    struct sharer by[SHARERS_MAX];
    uint32_t n, oldest;
};

static struct sharer *sharer_of(struct sharers *s, uint32_t actor)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->by[i].actor == actor)
            return &s->by[i];
    struct sharer *x = &s->by[s->n < SHARERS_MAX ? s->n++ : s->oldest++ % SHARERS_MAX];
    *x = (struct sharer){actor, {NONE, NONE}, {NONE, NONE}};
    return x;
}

/* An edge from the later of the two that ended before `to` began; 0: there is none such, though there are some. */
static kymo_status edge_from(struct maker *m, uint32_t to, const uint32_t last[2], int *all)
{
    for (int i = 0; i < 2; i++) {
        if (last[i] == NONE)
            return KYMO_OK;
        if (before(done_of(m, last[i]), last[i], begin_of(m, to), to))
            return edge_add(m, to, last[i], 0);
        *all = 0;
    }
    return KYMO_OK;
}

static kymo_status use_one(struct maker *m, struct sharers *s, const struct use *u)
{
    const uint32_t actor = actor_of_who(m, u->who);
    int all = 1;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct sharer x = s->by[i];
        if (x.actor == actor)
            continue;
        KYMO_TRY(edge_from(m, u->who, x.write, &all));
        if (u->writes)
            KYMO_TRY(edge_from(m, u->who, x.read, &all));
    }
    if (u->writes && all)
        s->n = s->oldest = 0; /* who waits for this one waits for all before it */
    struct sharer *mine = sharer_of(s, actor);
    uint32_t *const list = u->writes ? mine->write : mine->read;
    if (list[0] != u->who) {
        list[1] = list[0];
        list[0] = u->who;
    }
    return KYMO_OK;
}

static int by_resource(const void *a, const void *b, void *arg)
{
    const struct maker *m = arg;
    const struct use *x = a, *y = b;
    if (x->resource != y->resource)
        return x->resource < y->resource ? -1 : 1;
    if (x->who == y->who)
        return (int)y->writes - (int)x->writes;
    return before(begin_of(m, x->who), x->who, begin_of(m, y->who), y->who) ? -1 : 1;
}

static kymo_status use_all(struct maker *m)
{
    struct use *const u = m->uses.p;
    struct sharers s = {.n = 0};
    uint8_t *const idle = KYMO_NEW(&m->arena, uint8_t, m->n_resources);
    if (!idle)
        return maker_too_much(m);
    for (uint32_t i = 0; i < m->inodes.n; i++) /* logs: all write, none reads */
        if (inode_at(m, i)->resource != NONE && !inode_at(m, i)->is_read)
            idle[inode_at(m, i)->resource] = 1;
    if (m->uses.n)
        qsort_r(u, m->uses.n, sizeof(*u), by_resource, m);
    for (size_t i = 0; i < m->uses.n; i++) {
        if (i && u[i].resource != u[i - 1].resource)
            s.n = s.oldest = 0;
        if (idle[u[i].resource])
            continue;
        if (i && u[i].resource == u[i - 1].resource && u[i].who == u[i - 1].who)
            continue; /* it writes, too */
        KYMO_TRY(use_one(m, &s, &u[i]));
    }
    list_release(m, &m->uses, sizeof(struct use));
    return KYMO_OK;
}

/* ---- edges into dependencies ---- */

static int by_place(const void *a, const void *b, void *arg)
{
    const struct maker *m = arg;
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const uint64_t x = act_at(m, i)->point, y = act_at(m, j)->point;
    if (x != y)
        return x < y ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* The order in which the environment does what it does; order[place] = act. */
static kymo_status sort_acts(struct maker *m, uint32_t **order)
{
    const size_t n = m->acts.n;
    KYMO_TRY(maker_words(m, order, n, 0));
    for (uint32_t i = 0; i < n; i++)
        (*order)[i] = i;
    if (n)
        qsort_r(*order, n, sizeof(**order), by_place, m);
    for (uint32_t i = 0; i < n; i++)
        act_at(m, (*order)[i])->order = i;
    return KYMO_OK;
}

static uint32_t place_in_actor(const struct maker *m, uint32_t who)
{
    return is_act(who) ? act_at(m, who & ~IS_ACT)->order : m->index_of[who];
}

static int by_target(const void *a, const void *b, void *arg)
{
    const struct maker *m = arg;
    const struct edge *x = a, *y = b;
    const uint32_t s = actor_of_who(m, x->to), t = actor_of_who(m, y->to);
    if (s != t)
        return s < t ? -1 : 1;
    const uint32_t i = place_in_actor(m, x->to), j = place_in_actor(m, y->to);
    if (i != j)
        return i < j ? -1 : 1;
    const uint32_t u = actor_of_who(m, x->from), v = actor_of_who(m, y->from);
    if (u != v)
        return u < v ? -1 : 1;
    const uint32_t k = place_in_actor(m, x->from), l = place_in_actor(m, y->from);
    if (k != l)
        return k > l ? -1 : 1; /* the last first: it stands for those before */
    return (int)x->begun - (int)y->begun;
}

/* What an actor has waited for of each other: 2 x place + 2 when done, + 1 when begun. */
struct waits {
    uint32_t actor; /* whose they are */
    uint32_t *until, *stamp;
};

static int is_news(const struct maker *m, struct waits *w, const struct edge *e)
{
    const uint32_t to = actor_of_who(m, e->to), from = actor_of_who(m, e->from);
    const uint32_t k = place_in_actor(m, e->from);
    const uint32_t reach = e->begun ? 2 * k + 1 : 2 * k + 2;
    if (w->stamp[from] != to + 1) {
        w->stamp[from] = to + 1;
        w->until[from] = 0;
    }
    /* That somebody is inside a call says that he was, not that he still is: it is asked each time. */
    if (w->until[from] >= reach && !(e->begun && w->until[from] == reach))
        return 0;
    w->until[from] = reach;
    return 1;
}

/* When an actor is there at the earliest, whatever its calls claim: nobody waits for one of them with what has to
 * come about before. */
static kymo_status find_births(struct maker *m, uint64_t **out)
{
    uint32_t *line, n = 0;
    KYMO_TRY(maker_words(m, &line, m->actors.n, 0));
    uint64_t *const born = KYMO_NEW(&m->arena, uint64_t, m->actors.n);
    if (!born)
        return maker_too_much(m);
    for (uint32_t i = 1; i < m->actors.n; i++) {
        for (uint32_t a = i; actor_at(m, a)->maker_call != NONE && !born[a];
             a = actor_at(m, a)->maker)
            line[n++] = a;
        while (n) {
            const struct actor *a = actor_at(m, line[--n]);
            const uint64_t made = done_of(m, a->maker_call), before = born[a->maker];
            born[line[n]] = (made > before ? made : before) + 1;
        }
    }
    *out = born;
    return KYMO_OK;
}

/* Points may have moved since it was made. */
static int is_forward(const struct maker *m, const uint64_t *born, const struct edge *e)
{
    const uint64_t point = e->begun ? begin_of(m, e->from) : done_of(m, e->from);
    const uint64_t birth = born[actor_of_who(m, e->from)];
    return before(point > birth ? point : birth, e->from, begin_of(m, e->to), e->to);
}

static kymo_status deps_of(struct maker *m)
{
    struct waits w;
    uint64_t *born = NULL;
    KYMO_TRY(find_births(m, &born));
    KYMO_TRY(maker_words(m, &w.until, m->actors.n, 0));
    KYMO_TRY(maker_words(m, &w.stamp, m->actors.n, 0));
    struct kymo_icall *const call = (struct kymo_icall *)(void *)m->icall.p;
    const struct edge *const e = m->edges.p;
    for (size_t i = 0; i < m->edges.n; i++) {
        if (i && e[i].to == e[i - 1].to && e[i].from == e[i - 1].from &&
            e[i].begun == e[i - 1].begun)
            continue;
        if (!is_forward(m, born, &e[i]))
            continue;
        const struct kymo_dep d = {actor_of_who(m, e[i].from),
                                   place_in_actor(m, e[i].from) |
                                       (e[i].begun ? KYMO_DEP_BEGUN : 0)};
        const uint32_t at = (uint32_t)(m->idep.n / sizeof(d));
        if (!is_news(m, &w, &e[i]))
            continue;
        if (is_act(e[i].to)) {
            struct kymo_iact *a = &act_at(m, e[i].to & ~IS_ACT)->a;
            a->dep = a->n_deps++ ? a->dep : at;
        } else {
            struct kymo_icall *c = &call[e[i].to];
            if (c->n_deps >= DEPS_MAX)
                continue;
            c->dep = c->n_deps++ ? c->dep : at;
        }
        if (e[i].begun && !is_act(e[i].from))
            call[e[i].from].flags |= KYMO_ICALL_BLOCKS;
        kymo_buf_put(&m->idep, &d, sizeof(d));
    }
    return m->idep.failed ? maker_too_much(m) : KYMO_OK;
}

kymo_status depend_find(struct maker *m)
{
    KYMO_TRY(use_all(m));
    KYMO_TRY(sort_acts(m, &m->act_order));
    if (m->edges.n)
        qsort_r(m->edges.p, m->edges.n, sizeof(struct edge), by_target, m);
    return deps_of(m);
}
