/* SPDX-License-Identifier: Apache-2.0
 * image_build.c: the sections of an image, from what the other parts found: bytes of the blob as they are asked for,
 * all else at the end.
 */
#include <fcntl.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "replay/plan/compile_own.h"
#include "replay/plan/machine.h"

#define BLOB_BYTES_MAX ((size_t)1 << 31)
#define STAGE_WORD ".kymo"
#define NOFILE_MIN 256u
#define CHECKED_FROM offsetof(struct kymo_image, machine)

/* ---- the blob ---- */

/* What is the stage's own has no name in the slice: the one word that is kept from actors. */
static void hide(uint8_t *p, size_t n)
{
    for (size_t i = 0; i + sizeof(STAGE_WORD) - 1 <= n; i++)
        if (p[i] == '.' && !memcmp(p + i, STAGE_WORD, sizeof(STAGE_WORD) - 1))
            p[i] = '_';
}

static kymo_status blob_begin(struct maker *m)
{
    if (!m->blob.n)
        kymo_buf_put(&m->blob, "", 1); /* 0 is the empty text */
    return m->blob.failed ? maker_too_much(m) : KYMO_OK;
}

kymo_status blob_put(struct maker *m, const void *p, size_t n, size_t align, uint32_t *at)
{
    static const uint8_t none[16];
    uint32_t *same;
    KYMO_TRY(blob_begin(m));
    *at = 0;
    if (!n)
        return KYMO_OK;
    for (uint64_t key = XXH3_64bits(p, n) ^ align << 60 ^ 1;; key++) {
        KYMO_TRY(hash64_at(m, &m->blob_of, key, &same));
        if (*same == NONE)
            break;
        if (*same + n <= m->blob.n && *same % align == 0 && !memcmp(m->blob.p + *same, p, n)) {
            *at = *same;
            return KYMO_OK;
        }
    }
    kymo_buf_put(&m->blob, none, (align - m->blob.n % align) % align);
    if (m->blob.n + n > BLOB_BYTES_MAX || m->blob.n + n > m->cap_bytes)
        return maker_too_much(m);
    *at = *same = (uint32_t)m->blob.n;
    kymo_buf_put(&m->blob, p, n);
    if (!m->blob.failed)
        hide(m->blob.p + *at, n);
    return m->blob.failed ? maker_too_much(m) : KYMO_OK;
}

/* Texts end at their first NUL, whatever the capture says. */
kymo_status blob_text(struct maker *m, const char *s, size_t n, uint32_t *at)
{
    static char text[8192];
    n = strnlen(s, n);
    KYMO_TRY(blob_begin(m));
    if (!n) {
        *at = 0;
        return KYMO_OK;
    }
    if (n >= sizeof(text))
        n = sizeof(text) - 1;
    memcpy(text, s, n);
    text[n] = '\0';
    hide((uint8_t *)text, n);
    return blob_put(m, text, n + 1, 1, at);
}

kymo_status blob_reloc(struct maker *m, uint32_t at, uint32_t to)
{
    struct reloc *r;
    KYMO_TRY(list_add(m, &m->relocs, sizeof(*r), &r));
    *r = (struct reloc){at, to};
    return KYMO_OK;
}

/* ---- sections ---- */

static kymo_status address_blob(struct maker *m, uint32_t text, uint32_t *at)
{
    struct kymo_buf b = {0};
    uint8_t head[4];
    *at = 0;
    kymo_buf_u32(&b, 0);
    sockaddr_of_text(text_of(m, text), &b);
    if (b.failed)
        return maker_too_much(m);
    const uint32_t n = (uint32_t)b.n - 4;
    memcpy(head, &n, sizeof(n));
    memcpy(b.p, head, sizeof(head));
    const kymo_status s = n ? blob_put(m, b.p, b.n, 4, at) : KYMO_OK;
    kymo_buf_release(&b);
    return s;
}

static uint8_t image_kind(const struct object *o)
{
    static const uint8_t kind[] = {
        [O_FILE] = KYMO_OBJECT_FILE,       [O_PIPE] = KYMO_OBJECT_PIPE,
        [O_SOCKET] = KYMO_OBJECT_DGRAM,    [O_LISTEN] = KYMO_OBJECT_LISTEN,
        [O_STREAM] = KYMO_OBJECT_STREAM,   [O_DGRAM] = KYMO_OBJECT_DGRAM,
        [O_EPOLL] = KYMO_OBJECT_EPOLL,     [O_EVENT] = KYMO_OBJECT_EVENT,
        [O_TIMER] = KYMO_OBJECT_TIMER,     [O_SIGNAL] = KYMO_OBJECT_SIGNAL,
        [O_INOTIFY] = KYMO_OBJECT_INOTIFY, [O_OTHER] = KYMO_OBJECT_OTHER};
    return kind[o->kind];
}

static kymo_status watch_blob(struct maker *m, uint32_t object, uint32_t *at)
{
    struct kymo_buf b = {0};
    uint32_t n = 0;
    *at = 0;
    kymo_buf_put(&b, &n, sizeof(n));
    for (uint32_t w = object_at(m, object)->watches; w != NONE;
         w = watch_at(m, w)->next_of_epoll) {
        const struct watch *x = watch_at(m, w);
        const uint32_t item[3] = {x->proc, x->fd, x->events ? x->events : 1};
        if (!x->is_start || x->fd >= KYMO_FDS_MAX)
            continue;
        kymo_buf_put(&b, item, sizeof(item));
        n++;
    }
    if (b.failed)
        return maker_too_much(m);
    memcpy(b.p, &n, sizeof(n));
    const kymo_status s = n ? blob_put(m, b.p, b.n, 4, at) : KYMO_OK;
    kymo_buf_release(&b);
    return s;
}

static uint32_t image_flags(const struct object *o)
{
    const uint32_t nonblock = o->nonblock ? O_NONBLOCK : 0;
    if (o->kind == O_PIPE)
        return (o->side == SIDE_WRITE ? O_WRONLY : O_RDONLY) | nonblock;
    return (o->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC)) | nonblock;
}

static kymo_status put_object(struct maker *m, uint32_t i)
{
    const struct object *o = object_at(m, i);
    struct kymo_iobject x = {.kind = image_kind(o),
                             .is_environment = o->is_env,
                             .family = o->family,
                             .flags = image_flags(o),
                             .pair = KYMO_NONE,
                             .at = 0};
    if (o->kind == O_LISTEN && o->is_relayed)
        x.flags |= KYMO_OBJECT_TO_TARGET;
    if (o->pair != NONE && object_at(m, o->pair)->index != NONE)
        x.pair = object_at(m, o->pair)->index;
    if (o->kind == O_FILE && o->inode != NONE && inode_at(m, o->inode)->path != NONE)
        x.path = inode_at(m, o->inode)->path;
    else if (o->kind == O_FILE)
        KYMO_TRY(blob_text(m, "/dev/null", 9, &x.path));
    if (o->kind == O_FILE && o->inode != NONE && inode_at(m, o->inode)->kind == KYMO_NODE_DIR)
        x.flags = O_RDONLY | O_DIRECTORY;
    KYMO_TRY(address_blob(m, o->local, &x.local));
    KYMO_TRY(address_blob(m, o->peer, &x.peer));
    if (o->kind == O_EPOLL)
        KYMO_TRY(watch_blob(m, i, &x.watch));
    kymo_buf_put(&m->iobject, &x, sizeof(x));
    return m->iobject.failed ? maker_too_much(m) : KYMO_OK;
}

static kymo_status put_objects(struct maker *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->objects.n; i++) {
        struct object *o = object_at(m, i);
        if ((o->is_start || o->is_env) && o->same_as == NONE)
            o->index = n++;
    }
    for (uint32_t i = 0; i < m->objects.n; i++)
        if (object_at(m, i)->index != NONE)
            KYMO_TRY(put_object(m, i));
    return KYMO_OK;
}

static kymo_status path_blob(struct maker *m, uint32_t inode, uint32_t *at)
{
    if (inode != NONE && inode_at(m, inode)->path != NONE) {
        *at = inode_at(m, inode)->path;
        return KYMO_OK;
    }
    return blob_text(m, "/", 1, at);
}

static uint32_t high_fd(const struct proc *p)
{
    const uint32_t n = p->n_fds + 64u;
    return n < NOFILE_MIN ? NOFILE_MIN : n;
}

static kymo_status put_processes(struct maker *m, struct kymo_buf *out)
{
    for (uint32_t i = 0; i < m->procs.n; i++) {
        const struct proc *p = proc_at(m, i);
        struct kymo_iprocess x = {.parent = p->parent,
                                  .leader = p->leader,
                                  .pid = p->of == NONE ? 0 : m->t->process[p->of].pid,
                                  .at_start = p->at_start,
                                  .start = (uint32_t)(m->istart.n / sizeof(struct kymo_istart)),
                                  .n_lanes = p->n_actors,
                                  .nofile = high_fd(p),
                                  .umask = p->umask,
                                  .handles = p->at_start && p->has_handlers};
        KYMO_TRY(path_blob(m, p->start_cwd, &x.cwd));
        for (size_t k = 0; p->at_start && k < p->starts.n; k++) {
            const struct start_fd *f = AT(p->starts, struct start_fd, k);
            const struct object *o = object_at(m, object_real(m, f->object));
            const struct kymo_istart s = {f->fd, o->index, f->cloexec, 0};
            if (f->fd + 1 > x.nofile)
                x.nofile = f->fd + 1;
            x.n_starts++;
            kymo_buf_put(&m->istart, &s, sizeof(s));
        }
        kymo_buf_put(out, &x, sizeof(x));
    }
    return out->failed || m->istart.failed ? maker_too_much(m) : KYMO_OK;
}

static kymo_status put_actors(struct maker *m, struct kymo_buf *out, struct kymo_buf *calls)
{
    const struct kymo_icall *const all = (const struct kymo_icall *)(void *)m->icall.p;
    for (uint32_t a = 0; a < m->actors.n; a++) {
        const struct actor *x = actor_at(m, a);
        struct kymo_iactor y = {.process = x->proc,
                                .tid = x->of == NONE ? 0 : m->t->thread[x->of].tid,
                                .lane = x->lane,
                                .at_start = a && x->at_start,
                                .maker = x->maker,
                                .call = (uint32_t)(calls->n / sizeof(*all)),
                                .n_calls = x->n};
        const uint32_t comm = x->of == NONE ? 0 : m->t->thread[x->of].comm;
        KYMO_TRY(blob_text(m, text_of(m, comm), strlen(text_of(m, comm)), &y.comm));
        for (uint32_t i = 0; i < x->n; i++)
            kymo_buf_put(calls, &all[m->t->order[x->first + i]], sizeof(*all));
        kymo_buf_put(out, &y, sizeof(y));
    }
    return out->failed || calls->failed ? maker_too_much(m) : KYMO_OK;
}

static kymo_status put_acts(struct maker *m)
{
    for (size_t i = 0; i < m->acts.n; i++) {
        struct kymo_iact a = act_at(m, m->act_order[i])->a;
        if (a.kind == KYMO_ACT_ACCEPT)
            a.other = object_at(m, a.other)->index;
        a.object = a.object == NONE ? KYMO_NONE : object_at(m, a.object)->index;
        kymo_buf_put(&m->iact, &a, sizeof(a));
    }
    return m->iact.failed ? maker_too_much(m) : KYMO_OK;
}

/* ---- all of it ---- */

static void section(struct kymo_buf *image, struct kymo_section *s, const struct kymo_buf *from,
                    size_t item)
{
    static const uint8_t none[8];
    kymo_buf_put(image, none, (8 - image->n % 8) % 8);
    s->at = image->n;
    s->n = from->n / item;
    kymo_buf_put(image, from->p, from->n);
}

static kymo_status assemble(struct maker *m, const struct kymo_buf *process,
                            const struct kymo_buf *actor, const struct kymo_buf *call)
{
    struct kymo_buf *image = &m->plan->image;
    struct kymo_image h = {.magic = KYMO_IMAGE_MAGIC,
                           .machine = KYMO_ARCH_HERE,
                           .n_first_nodes = m->n_first_nodes,
                           .span_ns = m->t->last_ns - m->origin,
                           .origin_ns = m->origin};
    kymo_buf_put(image, &h, sizeof(h));
    section(image, &h.process, process, sizeof(struct kymo_iprocess));
    section(image, &h.actor, actor, sizeof(struct kymo_iactor));
    section(image, &h.call, call, sizeof(struct kymo_icall));
    section(image, &h.dep, &m->idep, sizeof(struct kymo_dep));
    section(image, &h.object, &m->iobject, sizeof(struct kymo_iobject));
    section(image, &h.start, &m->istart, sizeof(struct kymo_istart));
    section(image, &h.node, &m->inode_out, sizeof(struct kymo_inode));
    section(image, &h.act, &m->iact, sizeof(struct kymo_iact));
    section(image, &h.blob, &m->blob, 1);
    if (image->failed || image->n > KYMO_IMAGE_BYTES_MAX)
        return maker_too_much(m);
    for (size_t i = 0; i < m->relocs.n; i++) {
        const struct reloc *r = AT(m->relocs, struct reloc, i);
        const uint64_t to = KYMO_IMAGE_BASE + h.blob.at + r->to;
        memcpy(image->p + h.blob.at + r->at, &to, sizeof(to));
    }
    h.bytes = image->n;
    memcpy(image->p, &h, sizeof(h));
    h.checksum = XXH3_64bits(image->p + CHECKED_FROM, image->n - CHECKED_FROM);
    memcpy(image->p, &h, sizeof(h));
    return KYMO_OK;
}

kymo_status image_build(struct maker *m)
{
    struct kymo_buf process = {0}, actor = {0}, call = {0};
    KYMO_TRY(put_objects(m));
    kymo_status s = put_processes(m, &process);
    if (!s)
        s = put_actors(m, &actor, &call);
    if (!s)
        s = put_acts(m);
    kymo_buf_put(&m->blob, "", 1); /* the last text ends, too */
    if (!s)
        s = assemble(m, &process, &actor, &call);
    kymo_buf_release(&process);
    kymo_buf_release(&actor);
    kymo_buf_release(&call);
    return s;
}
