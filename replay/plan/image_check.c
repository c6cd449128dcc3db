/* SPDX-License-Identifier: Apache-2.0
 * image_check.c: may a stage be given this? A plan file is a stranger's bytes: every offset, index and kind is held
 * against what there is, and the plan is run dry, call after call, to see that no call waits for ever.
 */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "format/base/bytes.h"
#include "replay/plan/compile.h"
#include "replay/plan/machine.h"

#define STAGE_WORD ".kymo"
#define CHECKED_FROM offsetof(struct kymo_image, machine)
#define NS_MAX ((uint64_t)1 << 62)
#define FILE_BYTES_MAX ((uint64_t)1 << 46)
#define FILLS_ALL_MAX 1000000u
#define ADDRESS_BYTES_MAX 128u
#define NOFILE_MAX (1u << 20)
#define SEND_BYTES_MAX ((uint64_t)1 << 40)
#define REGIONS_MAX (1u << 24)

_Static_assert(KYMO_SINK_BYTES == KYMO_PATTERN_BYTES, "one check is for both");

struct check {
    const struct kymo_image *h;
    const uint8_t *base;
    const struct kymo_iprocess *process;
    const struct kymo_iactor *actor;
    const struct kymo_icall *call;
    const struct kymo_dep *dep;
    const struct kymo_iobject *object;
    const struct kymo_istart *start;
    const struct kymo_inode *node;
    const struct kymo_iact *act;
    const char *blob;
    struct kymo_err *err;
    uint64_t n_fills;
};

#define REFUSE(c, at, ...) KYMO_FAIL((c)->err, KYMO_ECORRUPT, (uint64_t)(at), __VA_ARGS__)
#define PLACE(c, item) ((const uint8_t *)(item) - (c)->base)

/* ---- sections ---- */

static kymo_status check_section(const struct check *c, const char *name, struct kymo_section s,
                                 size_t item, uint64_t *end)
{
    if (s.at % 8 || s.at < *end || s.at > c->h->bytes || s.n > (c->h->bytes - s.at) / item)
        return REFUSE(c, s.at, "section %s lies outside of the plan, or over another", name);
    if (s.n >= KYMO_NONE)
        return REFUSE(c, s.at, "section %s has too many items", name);
    *end = s.at + s.n * item;
    return KYMO_OK;
}

static kymo_status check_sections(struct check *c)
{
    const struct kymo_image *h = c->h;
    uint64_t end = sizeof(*h);
    KYMO_TRY(check_section(c, "process", h->process, sizeof(*c->process), &end));
    KYMO_TRY(check_section(c, "actor", h->actor, sizeof(*c->actor), &end));
    KYMO_TRY(check_section(c, "call", h->call, sizeof(*c->call), &end));
    KYMO_TRY(check_section(c, "dep", h->dep, sizeof(*c->dep), &end));
    KYMO_TRY(check_section(c, "object", h->object, sizeof(*c->object), &end));
    KYMO_TRY(check_section(c, "start", h->start, sizeof(*c->start), &end));
    KYMO_TRY(check_section(c, "node", h->node, sizeof(*c->node), &end));
    KYMO_TRY(check_section(c, "act", h->act, sizeof(*c->act), &end));
    KYMO_TRY(check_section(c, "blob", h->blob, 1, &end));
    c->process = kymo_image_at(h, h->process);
    c->actor = kymo_image_at(h, h->actor);
    c->call = kymo_image_at(h, h->call);
    c->dep = kymo_image_at(h, h->dep);
    c->object = kymo_image_at(h, h->object);
    c->start = kymo_image_at(h, h->start);
    c->node = kymo_image_at(h, h->node);
    c->act = kymo_image_at(h, h->act);
    c->blob = kymo_image_at(h, h->blob);
    if (!h->blob.n || c->blob[0] || c->blob[h->blob.n - 1])
        return REFUSE(c, h->blob.at, "the blob does not begin and end with a NUL");
    if (memmem(c->blob, h->blob.n, STAGE_WORD, sizeof(STAGE_WORD) - 1))
        return REFUSE(c, h->blob.at, "a text of the plan names what is the stage's own");
    return KYMO_OK;
}

static kymo_status check_head(const void *image, size_t bytes, struct check *c)
{
    const struct kymo_image *h = image;
    if (bytes < sizeof(*h) || (uintptr_t)image % 8)
        return REFUSE(c, 0, "%zu bytes are too few for a plan", bytes);
    if (h->magic != KYMO_IMAGE_MAGIC)
        return REFUSE(c, 0, "this is no plan");
    if (h->bytes != bytes || bytes > KYMO_IMAGE_BYTES_MAX)
        return REFUSE(c, 8, "the plan is not as long as it says");
    if (h->checksum != XXH3_64bits((const uint8_t *)image + CHECKED_FROM, bytes - CHECKED_FROM))
        return REFUSE(c, 16, "the checksum is wrong");
    if (h->machine != KYMO_ARCH_HERE)
        return REFUSE(c, CHECKED_FROM, "the plan is for another machine (%s)",
                      kymo_arch_name(h->machine) ? kymo_arch_name(h->machine) : "unknown");
    if (h->span_ns > NS_MAX)
        return REFUSE(c, CHECKED_FROM, "the plan takes too long");
    c->h = h;
    c->base = image;
    return KYMO_OK;
}

/* ---- bytes of the blob ---- */

static int is_within(const struct check *c, uint64_t at, uint64_t bytes)
{
    return at <= c->h->blob.n && bytes <= c->h->blob.n - at;
}

static int is_text(const struct check *c, kymo_blob at)
{
    return at < c->h->blob.n;
}

/* A path beneath the root, whose names are names. */
static int is_path(const struct check *c, kymo_blob at)
{
    if (!is_text(c, at) || c->blob[at] != '/')
        return 0;
    for (const char *s = c->blob + at; *s;) {
        s += strspn(s, "/");
        const size_t n = strcspn(s, "/");
        if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.') || n > 255)
            return 0;
        s += n;
    }
    return strlen(c->blob + at) < 4096;
}

static int is_address(const struct check *c, kymo_blob at)
{
    uint32_t n;
    if (!at)
        return 1;
    if (at % 4 || !is_within(c, at, sizeof(n)))
        return 0;
    memcpy(&n, c->blob + at, sizeof(n));
    return n >= 2 && n <= ADDRESS_BYTES_MAX && is_within(c, (uint64_t)at + sizeof(n), n);
}

/* ---- items ---- */

static kymo_status check_deps(const struct check *c, const void *item, uint32_t first,
                              uint32_t n)
{
    if (first > c->h->dep.n || n > c->h->dep.n - first)
        return REFUSE(c, PLACE(c, item), "dependencies %u to %u are not there", first,
                      first + n);
    for (uint32_t i = first; i < first + n; i++) {
        const struct kymo_dep *d = &c->dep[i];
        const uint64_t has = d->actor == 0              ? c->h->act.n
                             : d->actor < c->h->actor.n ? c->actor[d->actor].n_calls
                                                        : 0;
        if ((d->index & ~KYMO_DEP_BEGUN) >= has)
            return REFUSE(c, PLACE(c, d),
                          "dependency %u is on call %u of actor %u, which is not there", i,
                          d->index & ~KYMO_DEP_BEGUN, d->actor);
    }
    return KYMO_OK;
}

static int argument_fits(const struct check *c, uint8_t kind, uint64_t v)
{
    switch (kind) {
    case KYMO_ARG_FD:
    case KYMO_ARG_FD_NEW:
        return v < KYMO_FDS_MAX;
    case KYMO_ARG_BLOB:
        return v < c->h->blob.n;
    case KYMO_ARG_COPY:
        return (v & 0xffff) <= KYMO_COPY_MAX && is_within(c, v >> 16, v & 0xffff);
    case KYMO_ARG_SINK: /* and the pattern is as long */
    case KYMO_ARG_PATTERN:
        return v < KYMO_SINK_BYTES;
    case KYMO_ARG_PID:
    case KYMO_ARG_PGID:
        return v < c->h->process.n;
    case KYMO_ARG_TID:
        return v < c->h->actor.n;
    case KYMO_ARG_REGION:
        return v >> 40 < REGIONS_MAX;
    case KYMO_ARG_WORD:
    case KYMO_ARG_OWN_WORD:
        return v < KYMO_WORDS_MAX;
    case KYMO_ARG_POLL:
        return is_within(c, v >> 16, (v & 0xffff) * 8);
    case KYMO_ARG_FDSET:
        return (v >> 16) % 4 == 0 && is_within(c, v >> 16, (v & 0xffff) * 4);
    case KYMO_ARG_ACTION:
        return v <= 2;
    case KYMO_ARG_BREAK:
        return v < (uint64_t)1 << 40;
    default:
        return kind < KYMO_ARG_COUNT;
    }
}

static int result_fits(const struct kymo_icall *x)
{
    switch (x->out) {
    case KYMO_OUT_NONE:
        return 1;
    case KYMO_OUT_FD:
    case KYMO_OUT_CLOSE:
        return x->other < KYMO_FDS_MAX;
    case KYMO_OUT_PAIR:
        return x->other < KYMO_FDS_MAX && x->other2 < KYMO_FDS_MAX;
    case KYMO_OUT_REGION:
        return x->other < REGIONS_MAX;
    default:
        return 0;
    }
}

static int child_fits(const struct check *c, uint32_t actor, const struct kymo_icall *x)
{
    if (x->how == KYMO_HOW_FORK)
        return x->other < c->h->process.n && !c->process[x->other].at_start &&
               x->other != c->actor[actor].process;
    if (x->how == KYMO_HOW_THREAD)
        return x->other < c->h->actor.n && x->other && !c->actor[x->other].at_start &&
               c->actor[x->other].process == c->actor[actor].process;
    return 1;
}

static kymo_status check_call(const struct check *c, uint32_t actor, const struct kymo_icall *x)
{
    if (x->how >= KYMO_HOW_COUNT || x->why >= KYMO_WHY_COUNT || x->enter_ns > NS_MAX ||
        x->dur_ns > NS_MAX || !is_text(c, x->text))
        return REFUSE(c, PLACE(c, x), "a call of actor %u is none that there is", actor);
    for (int i = 0; i < 6; i++)
        if (!argument_fits(c, x->kind[i], x->arg[i]))
            return REFUSE(c, PLACE(c, x), "argument %d of a call of actor %u points nowhere", i,
                          actor);
    if (!result_fits(x) || !child_fits(c, actor, x))
        return REFUSE(c, PLACE(c, x), "a call of actor %u makes what is not there", actor);
    return check_deps(c, x, x->dep, x->n_deps);
}

static kymo_status check_actors(const struct check *c)
{
    uint64_t calls = 0;
    if (!c->h->actor.n)
        return REFUSE(c, c->h->actor.at, "a plan without an environment");
    for (uint32_t a = 0; a < c->h->actor.n; a++) {
        const struct kymo_iactor *x = &c->actor[a];
        if (x->call != calls || x->n_calls > c->h->call.n - calls)
            return REFUSE(c, PLACE(c, x), "the calls of actor %u do not follow those before",
                          a);
        calls += x->n_calls;
        if (!is_text(c, x->comm) || (a == 0 && x->n_calls))
            return REFUSE(c, PLACE(c, x), "actor %u is none that there is", a);
        if (a && (x->process >= c->h->process.n || x->lane >= c->process[x->process].n_lanes))
            return REFUSE(c, PLACE(c, x), "actor %u is of no process, or has no lane in it", a);
        if (a && x->at_start > c->process[x->process].at_start)
            return REFUSE(c, PLACE(c, x), "actor %u is there before its process", a);
        for (uint32_t i = 0; i < x->n_calls; i++)
            KYMO_TRY(check_call(c, a, &c->call[x->call + i]));
    }
    if (calls != c->h->call.n)
        return REFUSE(c, c->h->call.at, "there are calls of no actor");
    return KYMO_OK;
}

/* Up from who is there at the start, only as far as nobody has gone before: those are there, too, and none comes
 * from himself. by: [processes] who passed, 0 nobody. */
static kymo_status climb(const struct check *c, uint32_t from, uint32_t *by)
{
    for (uint32_t i = from; i != KYMO_NONE; i = c->process[i].parent) {
        if (by[i] == from + 1)
            return REFUSE(c, PLACE(c, &c->process[i]), "process %u is its own ancestor", i);
        if (!c->process[i].at_start)
            return REFUSE(c, PLACE(c, &c->process[i]), "process %u comes after its child", i);
        if (by[i])
            return KYMO_OK;
        by[i] = from + 1;
    }
    return KYMO_OK;
}

static kymo_status check_lines(const struct check *c)
{
    uint32_t *const by = calloc(c->h->process.n + 1, sizeof(*by));
    if (!by)
        return KYMO_FAIL(c->err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    kymo_status s = KYMO_OK;
    for (uint32_t i = 0; i < c->h->process.n && !s; i++)
        s = c->process[i].at_start ? climb(c, i, by) : KYMO_OK;
    free(by);
    return s;
}

static kymo_status check_processes(const struct check *c)
{
    for (uint32_t i = 0; i < c->h->process.n; i++) {
        const struct kymo_iprocess *p = &c->process[i];
        if ((p->parent != KYMO_NONE && p->parent >= c->h->process.n) || !p->leader ||
            p->leader >= c->h->actor.n || p->n_lanes > KYMO_LANES_MAX ||
            p->nofile > NOFILE_MAX || p->start > c->h->start.n ||
            p->n_starts > c->h->start.n - p->start || !is_path(c, p->cwd) || p->at_start > 1)
            return REFUSE(c, PLACE(c, p), "process %u is none that there is", i);
        if (c->actor[p->leader].at_start != p->at_start)
            return REFUSE(c, PLACE(c, p), "process %u begins without its leader", i);
        if (c->actor[p->leader].process != i)
            return REFUSE(c, PLACE(c, p), "process %u is led by another's thread", i);
    }
    for (uint32_t i = 0; i < c->h->start.n; i++)
        if (c->start[i].fd >= KYMO_FDS_MAX || c->start[i].object >= c->h->object.n)
            return REFUSE(c, PLACE(c, &c->start[i]), "descriptor %u is open on nothing",
                          c->start[i].fd);
    return check_lines(c);
}

static int watch_fits(const struct check *c, kymo_blob at)
{
    uint32_t n, item[3];
    if (!at)
        return 1;
    if (at % 4 || !is_within(c, at, sizeof(n)))
        return 0;
    memcpy(&n, c->blob + at, sizeof(n));
    if (!is_within(c, (uint64_t)at + 4, (uint64_t)n * sizeof(item)))
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(item, c->blob + at + 4 + (size_t)i * sizeof(item), sizeof(item));
        if (item[0] >= c->h->process.n || item[1] >= KYMO_FDS_MAX)
            return 0;
    }
    return 1;
}

static kymo_status check_objects(const struct check *c)
{
    for (uint32_t i = 0; i < c->h->object.n; i++) {
        const struct kymo_iobject *o = &c->object[i];
        if (o->kind < KYMO_OBJECT_FILE || o->kind > KYMO_OBJECT_OTHER ||
            (o->pair != KYMO_NONE && o->pair >= c->h->object.n) ||
            (o->kind == KYMO_OBJECT_FILE && !is_path(c, o->path)) || !is_address(c, o->local) ||
            !is_address(c, o->peer) || !watch_fits(c, o->watch) || o->at > FILE_BYTES_MAX)
            return REFUSE(c, PLACE(c, o), "object %u is none that there is", i);
    }
    return KYMO_OK;
}

static kymo_status check_nodes(struct check *c)
{
    if (c->h->n_first_nodes > c->h->node.n)
        return REFUSE(c, c->h->node.at, "there are fewer files than the plan begins with");
    for (uint32_t i = 0; i < c->h->node.n; i++) {
        const struct kymo_inode *n = &c->node[i];
        c->n_fills += n->n_fill;
        if (!is_path(c, n->path) || !is_text(c, n->target) || n->kind < KYMO_NODE_DIR ||
            n->kind > KYMO_NODE_DEVICE || n->mode > 07777 || n->size_bytes > FILE_BYTES_MAX ||
            n->fill_bytes > 255 || c->n_fills > FILLS_ALL_MAX)
            return REFUSE(c, PLACE(c, n), "file %u is none that can be made", i);
        if (n->kind == KYMO_NODE_LINK &&
            (!c->blob[n->target] || strlen(c->blob + n->target) > 4095))
            return REFUSE(c, PLACE(c, n), "link %u leads to nothing that has a name", i);
    }
    return KYMO_OK;
}

static int act_fits(const struct check *c, const struct kymo_iact *a)
{
    const int has_object = a->object < c->h->object.n && c->object[a->object].is_environment;
    switch (a->kind) {
    case KYMO_ACT_LISTEN:
    case KYMO_ACT_CONNECT:
    case KYMO_ACT_SHUT:
    case KYMO_ACT_CLOSE:
    case KYMO_ACT_RESET:
        return has_object;
    case KYMO_ACT_ACCEPT:
        return has_object && a->other < c->h->object.n;
    case KYMO_ACT_SEND:
    case KYMO_ACT_RECV:
        return has_object && a->n <= SEND_BYTES_MAX;
    case KYMO_ACT_SIGNAL:
        return a->other && a->other < c->h->actor.n && a->n >= 1 && a->n <= 64;
    case KYMO_ACT_WAKE:
        return a->other < KYMO_WORDS_MAX;
    case KYMO_ACT_TREE:
        return a->other < c->h->node.n && a->n <= 3;
    default:
        return 0;
    }
}

static kymo_status check_acts(const struct check *c)
{
    for (uint32_t i = 0; i < c->h->act.n; i++) {
        const struct kymo_iact *a = &c->act[i];
        if (!act_fits(c, a) || a->enter_ns > NS_MAX)
            return REFUSE(c, PLACE(c, a), "act %u is none that can be done", i);
        KYMO_TRY(check_deps(c, a, a->dep, a->n_deps));
    }
    return KYMO_OK;
}

/* ---- the dry run ---- */

struct lane {              /* how far an actor has come */
    uint32_t at;           /* calls done */
    uint32_t k;            /* dependencies of the next that are met */
    uint32_t waits, until; /* for whom, and until he has done so many */
    uint32_t first, next;  /* who waits for this one; the next who waits for the same */
    uint32_t least;        /* the nearest that any of them waits for */
    uint32_t maker, make;  /* the call that makes it */
};

struct run {
    const struct check *c;
    struct lane *lane;
    uint32_t *ready;
    uint32_t n_ready;
};

static void wait_for(struct run *r, uint32_t a, uint32_t whom, uint32_t until)
{
    struct lane *l = &r->lane[a], *w = &r->lane[whom];
    l->waits = whom;
    l->until = until;
    l->next = w->first;
    w->first = a;
    if (until < w->least)
        w->least = until;
}

static void wake(struct run *r, uint32_t a)
{
    struct lane *l = &r->lane[a];
    uint32_t keep = KYMO_NONE;
    if (l->at < l->least)
        return;
    l->least = KYMO_NONE;
    for (uint32_t w = l->first, next; w != KYMO_NONE; w = next) {
        struct lane *x = &r->lane[w];
        next = x->next;
        if (x->until <= l->at) {
            r->ready[r->n_ready++] = w;
            continue;
        }
        x->next = keep;
        keep = w;
        if (x->until < l->least)
            l->least = x->until;
    }
    l->first = keep;
}

/* Go on as far as it goes. */
static void go_on(struct run *r, uint32_t a)
{
    const struct check *c = r->c;
    struct lane *l = &r->lane[a];
    const uint64_t n = a ? c->actor[a].n_calls : c->h->act.n;
    if (l->maker != KYMO_NONE && r->lane[l->maker].at <= l->make) {
        wait_for(r, a, l->maker, l->make + 1);
        return;
    }
    for (; l->at < n; l->at++, l->k = 0) {
        const struct kymo_icall *x = a ? &c->call[c->actor[a].call + l->at] : NULL;
        const uint32_t first = x ? x->dep : c->act[l->at].dep;
        const uint32_t n_deps = x ? x->n_deps : c->act[l->at].n_deps;
        for (; l->k < n_deps; l->k++) {
            const struct kymo_dep *d = &c->dep[first + l->k];
            const uint32_t index = d->index & ~KYMO_DEP_BEGUN;
            if (r->lane[d->actor].at > index)
                continue;
            wake(r, a);
            wait_for(r, a, d->actor, index + 1);
            return;
        }
    }
    wake(r, a);
}

static kymo_status find_makers(struct run *r)
{
    const struct check *c = r->c;
    for (uint32_t a = 0; a < c->h->actor.n; a++)
        r->lane[a] = (struct lane){.waits = KYMO_NONE,
                                   .first = KYMO_NONE,
                                   .next = KYMO_NONE,
                                   .least = KYMO_NONE,
                                   .maker = KYMO_NONE};
    for (uint32_t a = 1; a < c->h->actor.n; a++)
        for (uint32_t i = 0; i < c->actor[a].n_calls; i++) {
            const struct kymo_icall *x = &c->call[c->actor[a].call + i];
            if (x->how != KYMO_HOW_FORK && x->how != KYMO_HOW_THREAD)
                continue;
            const uint32_t child =
                x->how == KYMO_HOW_FORK ? c->process[x->other].leader : x->other;
            if (r->lane[child].maker != KYMO_NONE)
                return REFUSE(c, PLACE(c, x), "actor %u is made twice", child);
            r->lane[child].maker = a;
            r->lane[child].make = i;
        }
    for (uint32_t a = 1; a < c->h->actor.n; a++)
        if ((r->lane[a].maker == KYMO_NONE) != (c->actor[a].at_start == 1))
            return REFUSE(c, PLACE(c, &c->actor[a]),
                          "actor %u is made by nobody, or was there before it was made", a);
    return KYMO_OK;
}

static kymo_status dry_run(struct run *r)
{
    const struct check *c = r->c;
    KYMO_TRY(find_makers(r));
    for (uint32_t a = 0; a < c->h->actor.n; a++)
        r->ready[r->n_ready++] = a;
    while (r->n_ready)
        go_on(r, r->ready[--r->n_ready]);
    for (uint32_t a = 0; a < c->h->actor.n; a++) {
        const uint64_t n = a ? c->actor[a].n_calls : c->h->act.n;
        if (r->lane[a].at < n)
            return REFUSE(c, PLACE(c, &c->actor[a]), "actor %u waits for ever before call %u",
                          a, r->lane[a].at);
    }
    return KYMO_OK;
}

static kymo_status check_order(const struct check *c)
{
    struct run r = {.c = c};
    r.lane = calloc(c->h->actor.n, sizeof(*r.lane));
    r.ready = calloc(c->h->actor.n, sizeof(*r.ready));
    kymo_status s = KYMO_ELIMIT;
    if (r.lane && r.ready)
        s = dry_run(&r);
    else
        kymo_err_set(c->err, s, KYMO_NOWHERE, "out of memory");
    free(r.lane);
    free(r.ready);
    return s;
}

kymo_status kymo_image_check(const void *image, size_t bytes, struct kymo_err *err)
{
    struct check c = {.err = err};
    KYMO_TRY(check_head(image, bytes, &c));
    KYMO_TRY(check_sections(&c));
    KYMO_TRY(check_processes(&c));
    KYMO_TRY(check_actors(&c));
    KYMO_TRY(check_objects(&c));
    KYMO_TRY(check_nodes(&c));
    KYMO_TRY(check_acts(&c));
    return check_order(&c);
}
