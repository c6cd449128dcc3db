/* SPDX-License-Identifier: Apache-2.0
 * compile.c: the order of the work (see compile_own.h), the walk over the calls in time, coverage, memory.
 */
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/schema.h"
#include "replay/plan/compile_own.h"

#define CAP_DEFAULT ((size_t)2 << 30)
#define DISK_DEFAULT ((uint64_t)1 << 30)
#define ACTORS_DEFAULT 4096u
#define BLOCKED_NS 50000u /* time in a call from which on it counts as blocked */

/* ---- memory ---- */

kymo_status maker_too_much(struct maker *m)
{
    return KYMO_FAIL(m->err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the plan needs more than %zu MiB of memory; cut a smaller slice",
                     m->cap_bytes >> 20);
}

static kymo_status pay(struct maker *m, size_t bytes)
{
    if (bytes > m->cap_bytes - m->used_bytes)
        return maker_too_much(m);
    m->used_bytes += bytes;
    return KYMO_OK;
}

kymo_status list_add(struct maker *m, struct list *l, size_t item, void *out)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 8;
        size_t bytes;
        if (l->n >= NONE / 2 || !kymo_size_mul(cap, item, &bytes))
            return maker_too_much(m);
        KYMO_TRY(pay(m, bytes - l->cap * item));
        void *p = realloc(l->p, bytes);
        if (!p)
            return maker_too_much(m);
        l->p = p;
        l->cap = cap;
    }
    char *const place = (char *)l->p + l->n++ * item;
    memset(place, 0, item);
    *(void **)out = place;
    return KYMO_OK;
}

void list_release(struct maker *m, struct list *l, size_t item)
{
    m->used_bytes -= l->cap * item;
    free(l->p);
    *l = (struct list){0};
}

kymo_status maker_words(struct maker *m, uint32_t **out, size_t n, uint32_t fill)
{
    *out = KYMO_NEW_RAW(&m->arena, uint32_t, n ? n : 1);
    if (!*out)
        return maker_too_much(m);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = fill;
    return KYMO_OK;
}

uint64_t hash64_mix(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    h ^= h >> 29;
    h = (h + b) * 0x94d049bb133111ebu;
    h ^= h >> 32;
    return h ? h : 1;
}

static size_t place_of(const struct hash64 *h, uint64_t key)
{
    size_t at = hash64_mix(key, 0) & (h->slots - 1);
    while (h->key[at] && h->key[at] != key)
        at = (at + 1) & (h->slots - 1);
    return at;
}

static kymo_status hash64_widen(struct maker *m, struct hash64 *h)
{
    struct hash64 wide = {.n = h->n, .slots = h->slots ? 2 * h->slots : 256};
    KYMO_TRY(pay(m, (wide.slots - h->slots) * 12));
    wide.key = calloc(wide.slots, sizeof(*wide.key));
    wide.value = calloc(wide.slots, sizeof(*wide.value));
    if (!wide.key || !wide.value) {
        free(wide.key);
        free(wide.value);
        return maker_too_much(m);
    }
    for (size_t i = 0; i < h->slots; i++) {
        if (!h->key[i])
            continue;
        const size_t at = place_of(&wide, h->key[i]);
        wide.key[at] = h->key[i];
        wide.value[at] = h->value[i];
    }
    free(h->key);
    free(h->value);
    *h = wide;
    return KYMO_OK;
}

kymo_status hash64_at(struct maker *m, struct hash64 *h, uint64_t key, uint32_t **value)
{
    key = key ? key : UINT64_MAX;
    if (2 * (h->n + 1) > h->slots)
        KYMO_TRY(hash64_widen(m, h));
    const size_t at = place_of(h, key);
    if (!h->key[at]) {
        h->key[at] = key;
        h->value[at] = NONE;
        h->n++;
    }
    *value = &h->value[at];
    return KYMO_OK;
}

uint32_t hash64_get(const struct hash64 *h, uint64_t key)
{
    key = key ? key : UINT64_MAX;
    if (!h->slots)
        return NONE;
    const size_t at = place_of(h, key);
    return h->key[at] ? h->value[at] : NONE;
}

/* ---- before the walk ---- */

/* Where a call is in time as long as nothing else is known: who gives acts when the call begins, who takes has
 * acted when it ends. */
static int gives(uint8_t op)
{
    switch (op) {
    case OP_WRITE:
    case OP_MOVE:
    case OP_CLOSE:
    case OP_CLOSE_RANGE:
    case OP_SHUTDOWN:
    case OP_CONNECT:
    case OP_FUTEX:
    case OP_FORK:
    case OP_EXEC: /* who lent its memory for a child goes on in the middle of it */
    case OP_EXIT:
    case OP_KILL:
        return 1;
    default:
        return 0;
    }
}

static int sleeps(uint8_t op)
{
    return op == OP_EPOLL_WAIT || op == OP_POLL || op == OP_SELECT || op == OP_SLEEP ||
           op == OP_WAIT || op == OP_SIGWAIT;
}

static void note_call(struct maker *m, uint32_t i, const struct lower_row *row)
{
    const struct kymo_trace_call *c = call_at(m, i);
    struct note *n = &m->note[i];
    *n = (struct note){.size = SIZE_AS_IS,
                       .object = NONE,
                       .object2 = NONE,
                       .link = NONE,
                       .extra = NONE,
                       .wait = NONE};
    m->row[i] = row;
    n->begin = n->done = c->exit_ns - m->origin;
    if (!row)
        return;
    if (gives(row->op))
        n->begin = n->done = c->enter_ns - m->origin;
    if (sleeps(row->op) && dur_of(c) >= WAITS_NS) {
        n->begin = c->enter_ns - m->origin;
        n->blocks = 1;
    }
}

static kymo_status prepare(struct maker *m)
{
    const size_t n = m->t->n_calls;
    m->note = KYMO_NEW_RAW(&m->arena, struct note, n);
    m->row = KYMO_NEW_RAW(&m->arena, const struct lower_row *, n);
    if (!m->note || !m->row)
        return maker_too_much(m);
    const struct lower_row **known; /* by text, so that each name is looked up once */
    known = KYMO_NEW(&m->arena, const struct lower_row *, m->t->n_texts);
    uint8_t *const asked = KYMO_NEW(&m->arena, uint8_t, m->t->n_texts);
    if (!known || !asked)
        return maker_too_much(m);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t name = call_at(m, i)->name;
        if (!asked[name])
            known[name] = lower_row_of(text_of(m, name));
        asked[name] = 1;
        note_call(m, i, call_at(m, i)->foreign ? NULL : known[name]);
    }
    return maker_words(m, &m->index_of, n, 0);
}

/* ---- the walk ---- */

static kymo_status enter(struct maker *m, uint32_t call)
{
    if (!m->row[call])
        return KYMO_OK;
    KYMO_TRY(fds_enter(m, call));
    KYMO_TRY(connect_enter(m, call));
    KYMO_TRY(words_enter(m, call));
    return signals_enter(m, call);
}

static kymo_status leave(struct maker *m, uint32_t call)
{
    if (!m->row[call])
        return KYMO_OK;
    KYMO_TRY(tree_exit(m, call));
    KYMO_TRY(fds_exit(m, call));
    KYMO_TRY(connect_exit(m, call));
    KYMO_TRY(flows_use(m, call));
    KYMO_TRY(memory_exit(m, call));
    KYMO_TRY(words_exit(m, call));
    KYMO_TRY(ready_exit(m, call));
    KYMO_TRY(signals_exit(m, call));
    return family_exit(m, call);
}

static int by_enter(const void *a, const void *b, void *arg)
{
    const struct maker *m = arg;
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const uint64_t x = call_at(m, i)->enter_ns, y = call_at(m, j)->enter_ns;
    if (x != y)
        return x < y ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* All beginnings and ends, in time; of the same moment the ends come first, where they can. */
static kymo_status walk(struct maker *m)
{
    const uint32_t n = (uint32_t)m->t->n_calls;
    uint32_t *order;
    KYMO_TRY(maker_words(m, &order, n, 0));
    uint8_t *const is_in = KYMO_NEW(&m->arena, uint8_t, n);
    if (!is_in)
        return maker_too_much(m);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    qsort_r(order, n, sizeof(*order), by_enter, m);
    for (uint32_t in = 0, out = 0; out < n;) {
        if (in < n &&
            !(is_in[out] && call_at(m, out)->exit_ns <= call_at(m, order[in])->enter_ns)) {
            is_in[order[in]] = 1;
            KYMO_TRY(enter(m, order[in++]));
            continue;
        }
        KYMO_TRY(leave(m, out++));
    }
    return KYMO_OK;
}

/* ---- coverage ---- */

static uint64_t bytes_of(const struct maker *m, uint32_t i)
{
    const struct kymo_trace_call *c = call_at(m, i);
    return m->row[i] && m->row[i]->flags & ROW_BYTES && c->ret > 0 && has_ret(c)
               ? (uint64_t)c->ret
               : 0;
}

static int is_issued(uint8_t how)
{
    return how == KYMO_HOW_ISSUE || how == KYMO_HOW_FORK || how == KYMO_HOW_THREAD ||
           how == KYMO_HOW_EXEC || how == KYMO_HOW_EXIT;
}

static int by_calls(const void *a, const void *b)
{
    const struct kymo_cover *x = a, *y = b;
    if (x->calls != y->calls)
        return x->calls > y->calls ? -1 : 1;
    if (x->name != y->name)
        return x->name < y->name ? -1 : 1;
    return x->how != y->how ? x->how - y->how : x->why - y->why;
}

struct sums {
    uint64_t calls, issued, injected, bytes, bytes_issued, blocked, blocked_issued;
};

static void sum(struct sums *s, const struct kymo_cover *l)
{
    const int issued = is_issued(l->how);
    s->calls += l->calls;
    s->bytes += l->bytes;
    s->blocked += l->blocked_ns;
    s->issued += issued ? l->calls : 0;
    s->bytes_issued += issued ? l->bytes : 0;
    s->blocked_issued += issued ? l->blocked_ns : 0;
    s->injected += l->how == KYMO_HOW_INJECT ? l->calls : 0;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 1;
}

/* A return that comes with another call (rt_sigreturn, a child's from fork) is covered by that. */
static kymo_status cover(struct maker *m, struct kymo_coverage *out)
{
    struct list lines = {0};
    struct hash64 at = {0};
    kymo_status s = KYMO_OK;
    for (uint32_t i = 0; i < m->t->n_calls && !s; i++) {
        const struct kymo_trace_call *c = call_at(m, i);
        const struct note *n = &m->note[i];
        const uint8_t is_memory = m->row[i] && m->row[i]->flags & ROW_MEMORY;
        uint32_t *slot;
        struct kymo_cover *l = NULL;
        s = hash64_at(m, &at,
                      (uint64_t)c->name << 32 | (uint32_t)n->how << 16 | (uint32_t)n->why << 8 |
                          1,
                      &slot);
        if (!s && *slot == NONE) {
            *slot = (uint32_t)lines.n;
            s = list_add(m, &lines, sizeof(*l), &l);
            if (!s)
                *l = (struct kymo_cover){
                    .name = c->name, .how = n->how, .why = n->why, .is_memory = is_memory};
        }
        if (s)
            break;
        l = AT(lines, struct kymo_cover, *slot);
        l->calls++;
        l->bytes += bytes_of(m, i);
        l->blocked_ns += dur_of(c) >= BLOCKED_NS ? dur_of(c) : 0;
    }
    struct sums all = {0};
    *out = (struct kymo_coverage){.n = lines.n, .n_calls = m->t->n_calls};
    if (!s) {
        out->line = KYMO_NEW_RAW(&m->plan->arena, struct kymo_cover, lines.n);
        s = out->line ? KYMO_OK : maker_too_much(m);
    }
    if (!s && lines.n)
        memcpy(out->line, lines.p, lines.n * sizeof(*out->line));
    free(lines.p);
    free(at.key);
    free(at.value);
    KYMO_TRY(s);
    qsort(out->line, out->n, sizeof(*out->line), by_calls);
    for (size_t i = 0; i < out->n; i++) {
        const struct kymo_cover *l = &out->line[i];
        if (l->why == KYMO_WHY_POWER || l->why == KYMO_WHY_SIGNAL)
            out->n_never += l->calls;
        else if (l->is_memory)
            out->n_memory += l->calls;
        else if (l->why != KYMO_WHY_FOLLOWS)
            sum(&all, l);
    }
    out->calls = share(all.issued, all.calls);
    out->bytes = share(all.bytes_issued, all.bytes);
    out->blocked = share(all.blocked_issued, all.blocked);
    out->injected = all.calls ? share(all.injected, all.calls) : 0;
    return KYMO_OK;
}

/* ---- all of it ---- */

static kymo_status make(struct maker *m)
{
    m->origin = m->t->first_ns;
    KYMO_TRY(prepare(m));
    KYMO_TRY(family_find(m));
    KYMO_TRY(tree_begin(m));
    KYMO_TRY(fds_begin(m));
    KYMO_TRY(signals_find(m));
    KYMO_TRY(walk(m));
    KYMO_TRY(flows_finish(m));
    KYMO_TRY(ready_finish(m));
    KYMO_TRY(words_finish(m));
    KYMO_TRY(family_finish(m));
    KYMO_TRY(signals_finish(m));
    KYMO_TRY(fulldisk_find(m));
    KYMO_TRY(tree_emit(m));
    KYMO_TRY(lower_calls(m));
    KYMO_TRY(depend_find(m));
    KYMO_TRY(image_build(m));
    return cover(m, &m->plan->coverage);
}

static void release(struct maker *m)
{
    for (uint32_t i = 0; i < m->procs.n; i++) {
        free(proc_at(m, i)->fd);
        free(proc_at(m, i)->starts.p);
        free(proc_at(m, i)->pieces.p);
    }
    for (uint32_t i = 0; i < m->flows.n; i++) {
        free(flow_at(m, i)->write.p);
        free(flow_at(m, i)->read.p);
    }
    for (uint32_t i = 0; i < m->words.n; i++)
        free(word_at(m, i)->waiters.p);
    for (uint32_t i = 0; i < m->listeners.n; i++)
        free(AT(m->listeners, struct listener, i)->queue.p);
    struct list *const list[] = {&m->procs, &m->actors,    &m->objects, &m->slots, &m->inodes,
                                 &m->flows, &m->acts,      &m->uses,    &m->edges, &m->watches,
                                 &m->words, &m->listeners, &m->relocs,  &m->names};
    for (size_t i = 0; i < KYMO_COUNT_OF(list); i++)
        free(list[i]->p);
    struct hash64 *const hash[] = {&m->by_tid,  &m->by_pid,   &m->slot_of, &m->name_of,
                                   &m->blob_of, &m->word_of,  &m->pipe_of, &m->stream_of,
                                   &m->port_of, &m->watch_of, &m->known_by};
    for (size_t i = 0; i < KYMO_COUNT_OF(hash); i++) {
        free(hash[i]->key);
        free(hash[i]->value);
    }
    struct kymo_buf *const buf[] = {&m->blob,      &m->icall, &m->idep,  &m->iobject,
                                    &m->inode_out, &m->iact,  &m->istart};
    for (size_t i = 0; i < KYMO_COUNT_OF(buf); i++)
        kymo_buf_release(buf[i]);
    kymo_arena_release(&m->arena);
}

kymo_status kymo_plan_compile(struct kymo_plan **out, const struct kymo_trace *t,
                              const struct kymo_plan_opts *o, struct kymo_err *err)
{
    if (!t->n_calls)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "no calls to make a plan of");
    struct kymo_plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    struct kymo_plan_opts opts = *o;
    opts.processes_max = opts.processes_max ? opts.processes_max : ACTORS_DEFAULT;
    opts.disk_bytes = opts.disk_bytes ? opts.disk_bytes : DISK_DEFAULT;
    struct maker m = {.t = t, .o = &opts, .err = err, .plan = plan};
    m.cap_bytes = opts.cap_bytes ? opts.cap_bytes : CAP_DEFAULT;
    kymo_arena_init(&m.arena, m.cap_bytes);
    kymo_arena_init(&plan->arena, m.cap_bytes);
    const kymo_status s = make(&m);
    release(&m);
    if (s) {
        kymo_plan_free(plan);
        return s;
    }
    *out = plan;
    return KYMO_OK;
}

void kymo_plan_free(struct kymo_plan *p)
{
    if (!p)
        return;
    kymo_buf_release(&p->image);
    kymo_arena_release(&p->arena);
    free(p);
}
