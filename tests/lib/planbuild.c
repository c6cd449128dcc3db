/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/planbuild.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/trace/sysname.h"

/* A growing array of one kind of thing. */
struct list {
    char *at;
    size_t n, item, room;
};

struct script {
    struct list calls, deps; /* deps: pairs with the call's index before */
};
struct waits {
    uint32_t call;
    struct kymo_dep dep;
};

struct planbuild {
    struct list process, actor, object, start, node, act, act_dep, blob;
    struct list script; /* struct script an actor */
    char *image;
};

static void *add(struct list *l, const void *item)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        l->at = realloc(l->at, l->room * l->item);
        if (!l->at)
            abort();
    }
    memcpy(l->at + l->n * l->item, item, l->item);
    return l->at + l->n++ * l->item;
}

static struct script *script_of(const struct planbuild *b, uint32_t actor)
{
    return (struct script *)(void *)b->script.at + actor;
}

static uint32_t add_actor(struct planbuild *b, struct kymo_iactor a)
{
    const struct script s = {.calls = {.item = sizeof(struct kymo_icall)},
                             .deps = {.item = sizeof(struct waits)}};

    add(&b->actor, &a);
    add(&b->script, &s);
    return (uint32_t)b->actor.n - 1;
}

struct planbuild *planbuild_new(void)
{
    struct planbuild *b = calloc(1, sizeof(*b));

    if (!b)
        abort();
    b->process.item = sizeof(struct kymo_iprocess);
    b->actor.item = sizeof(struct kymo_iactor);
    b->object.item = sizeof(struct kymo_iobject);
    b->start.item = sizeof(struct kymo_istart) + 4;
    b->node.item = sizeof(struct kymo_inode);
    b->act.item = sizeof(struct kymo_iact);
    b->act_dep.item = sizeof(struct kymo_dep);
    b->script.item = sizeof(struct script);
    b->blob.item = 1;
    add(&b->blob, "");
    add_actor(b, (struct kymo_iactor){.process = KYMO_NONE, .maker = KYMO_NONE});
    return b;
}

void planbuild_free(struct planbuild *b)
{
    for (uint32_t a = 0; a < b->actor.n; a++) {
        free(script_of(b, a)->calls.at);
        free(script_of(b, a)->deps.at);
    }
    struct list *all[] = {&b->process, &b->actor,   &b->object, &b->start, &b->node,
                          &b->act,     &b->act_dep, &b->blob,   &b->script};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        free(all[i]->at);
    free(b->image);
    free(b);
}

uint32_t planbuild_blob(struct planbuild *b, const void *bytes, size_t n)
{
    while (b->blob.n % 8)
        add(&b->blob, "");
    const uint32_t at = (uint32_t)b->blob.n;
    for (size_t i = 0; i < n; i++)
        add(&b->blob, (const char *)bytes + i);
    return at;
}

uint32_t planbuild_text(struct planbuild *b, const char *text)
{
    return planbuild_blob(b, text, strlen(text) + 1);
}

uint32_t planbuild_address(struct planbuild *b, const void *address, uint32_t n)
{
    const uint32_t at = planbuild_blob(b, &n, sizeof(n));

    for (uint32_t i = 0; i < n; i++)
        add(&b->blob, (const char *)address + i);
    return at;
}

uint32_t planbuild_process(struct planbuild *b, uint32_t parent, int at_start)
{
    const uint32_t index = (uint32_t)b->process.n;
    struct kymo_iprocess p = {.parent = parent,
                              .pid = 1000 + index,
                              .at_start = (uint32_t)at_start,
                              .n_lanes = 1,
                              .nofile = 256,
                              .umask = 022};

    p.leader = add_actor(b, (struct kymo_iactor){.process = index,
                                                 .tid = 1000 + index,
                                                 .at_start = (uint32_t)at_start,
                                                 .maker = KYMO_NONE,
                                                 .comm = planbuild_text(b, "actor")});
    add(&b->process, &p);
    return index;
}

struct kymo_iprocess *planbuild_process_at(struct planbuild *b, uint32_t process)
{
    return (struct kymo_iprocess *)(void *)b->process.at + process;
}

struct kymo_iactor *planbuild_actor_at(struct planbuild *b, uint32_t actor)
{
    return (struct kymo_iactor *)(void *)b->actor.at + actor;
}

uint32_t planbuild_leader(struct planbuild *b, uint32_t process)
{
    return planbuild_process_at(b, process)->leader;
}

uint32_t planbuild_thread(struct planbuild *b, uint32_t process, int at_start)
{
    const uint32_t lane = planbuild_process_at(b, process)->n_lanes++;

    return add_actor(b, (struct kymo_iactor){.process = process,
                                             .tid = 5000 + lane,
                                             .lane = lane,
                                             .at_start = (uint32_t)at_start,
                                             .maker = KYMO_NONE,
                                             .comm = planbuild_text(b, "thread")});
}

struct kymo_icall *planbuild_call_n(struct planbuild *b, uint32_t actor, long nr, int64_t ret,
                                    const struct planbuild_arg *arg, size_t n)
{
    struct script *s = script_of(b, actor);
    struct kymo_icall c = {.nr = (uint16_t)nr, .ret = ret};

    for (size_t i = 0; i < n && i < 6; i++) {
        c.arg[i] = arg[i].v;
        c.kind[i] = arg[i].kind;
    }
    c.enter_ns = s->calls.n * 1000;
    c.dur_ns = 500;
    return add(&s->calls, &c);
}

uint32_t planbuild_calls(struct planbuild *b, uint32_t actor)
{
    return (uint32_t)script_of(b, actor)->calls.n;
}

void planbuild_after(struct planbuild *b, uint32_t actor, uint32_t on, uint32_t index)
{
    struct script *s = script_of(b, actor);
    const struct waits w = {(uint32_t)s->calls.n - 1, {on, index}};

    add(&s->deps, &w);
}

uint32_t planbuild_object(struct planbuild *b, struct kymo_iobject o)
{
    add(&b->object, &o);
    return (uint32_t)b->object.n - 1;
}

struct start_of {
    struct kymo_istart start;
    uint32_t process;
};

void planbuild_start(struct planbuild *b, uint32_t process, uint32_t fd, uint32_t object)
{
    const struct start_of s = {{.fd = fd, .object = object}, process};

    b->start.item = sizeof(s);
    add(&b->start, &s);
}

uint32_t planbuild_node(struct planbuild *b, struct kymo_inode node)
{
    add(&b->node, &node);
    return (uint32_t)b->node.n - 1;
}

uint32_t planbuild_act(struct planbuild *b, struct kymo_iact act, uint32_t on, uint32_t index)
{
    const struct kymo_dep d = {on, index};

    act.n_deps = on != KYMO_NONE;
    act.dep = (uint32_t)b->act_dep.n;
    if (on != KYMO_NONE)
        add(&b->act_dep, &d);
    add(&b->act, &act);
    return (uint32_t)b->act.n - 1;
}

/* ---- laying it out --------------------------------------------------------------------------- */

static void lay(struct list *image, struct kymo_section *where, const void *from, size_t n,
                size_t item)
{
    while (image->n % 8)
        add(image, "");
    *where = (struct kymo_section){image->n, n};
    for (size_t i = 0; i < n * item; i++)
        add(image, (const char *)from + i);
}

static void lay_calls(struct planbuild *b, struct list *calls, struct list *deps)
{
    for (size_t i = 0; i < b->act_dep.n; i++)
        add(deps, b->act_dep.at + i * sizeof(struct kymo_dep));
    for (uint32_t a = 0; a < b->actor.n; a++) {
        struct script *s = script_of(b, a);
        struct kymo_icall *c = (struct kymo_icall *)(void *)s->calls.at;
        const struct waits *w = (const struct waits *)(void *)s->deps.at;
        planbuild_actor_at(b, a)->call = (uint32_t)calls->n;
        planbuild_actor_at(b, a)->n_calls = (uint32_t)s->calls.n;
        for (size_t i = 0; i < s->calls.n; i++) {
            c[i].dep = (uint32_t)deps->n;
            c[i].row = (uint32_t)calls->n;
            for (size_t k = 0; k < s->deps.n; k++)
                if (w[k].call == i) {
                    add(deps, &w[k].dep);
                    c[i].n_deps++;
                }
            add(calls, &c[i]);
        }
    }
}

static void lay_starts(struct planbuild *b, struct list *starts)
{
    const struct start_of *s = (const struct start_of *)(void *)b->start.at;

    for (uint32_t p = 0; p < b->process.n; p++) {
        struct kymo_iprocess *process = planbuild_process_at(b, p);
        process->start = (uint32_t)starts->n;
        for (size_t i = 0; i < b->start.n; i++)
            if (s[i].process == p)
                add(starts, &s[i].start);
        process->n_starts = (uint32_t)starts->n - process->start;
    }
}

const struct kymo_image *planbuild_image(struct planbuild *b)
{
    struct list image = {.item = 1}, calls = {.item = sizeof(struct kymo_icall)},
                deps = {.item = sizeof(struct kymo_dep)},
                starts = {.item = sizeof(struct kymo_istart)};
    struct kymo_image h = {.magic = KYMO_IMAGE_MAGIC, .n_first_nodes = (uint32_t)b->node.n};

    if (b->image)
        return (const struct kymo_image *)(void *)b->image;
    lay_calls(b, &calls, &deps);
    lay_starts(b, &starts);
    for (size_t i = 0; i < b->act.n; i++) {
        const struct kymo_iact *a = (const struct kymo_iact *)(void *)b->act.at + i;
        if (a->kind == KYMO_ACT_TREE && a->n == 0 && a->other < h.n_first_nodes)
            h.n_first_nodes = a->other;
    }
#if defined(__x86_64__)
    h.machine = KYMO_ARCH_X86_64;
#else
    h.machine = KYMO_ARCH_AARCH64;
#endif
    for (size_t i = 0; i < sizeof(h); i++)
        add(&image, "");
    lay(&image, &h.process, b->process.at, b->process.n, b->process.item);
    lay(&image, &h.actor, b->actor.at, b->actor.n, b->actor.item);
    lay(&image, &h.call, calls.at, calls.n, calls.item);
    lay(&image, &h.dep, deps.at, deps.n, deps.item);
    lay(&image, &h.object, b->object.at, b->object.n, b->object.item);
    lay(&image, &h.start, starts.at, starts.n, starts.item);
    lay(&image, &h.node, b->node.at, b->node.n, b->node.item);
    lay(&image, &h.act, b->act.at, b->act.n, b->act.item);
    lay(&image, &h.blob, b->blob.at, b->blob.n, 1);
    while (image.n % 8)
        add(&image, "");
    h.bytes = image.n;
    memcpy(image.at, &h, sizeof(h));
    const size_t from = offsetof(struct kymo_image, checksum) + sizeof(h.checksum);
    h.checksum = XXH3_64bits(image.at + from, image.n - from);
    memcpy(image.at, &h, sizeof(h));
    free(calls.at);
    free(deps.at);
    free(starts.at);
    b->image = image.at;
    return (const struct kymo_image *)(void *)b->image;
}

size_t planbuild_index(const struct planbuild *b, uint32_t actor, uint32_t call)
{
    return ((const struct kymo_iactor *)(void *)b->actor.at)[actor].call + call;
}
