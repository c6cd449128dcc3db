/* SPDX-License-Identifier: Apache-2.0
 * tree_emit.c: the tree into the image: what was there at the start, parents before children, and behind that
 * what acts bring about.
 */
#include <string.h>

#include "replay/plan/compile_own.h"

#define PATH_BYTES_MAX 4095u
#define HINT_BYTES_MAX ((uint64_t)1 << 30)
#define FILLS_MAX 100000u
#define FILLS_ALL_MAX 400000u
#define SPARSE_BYTES 0x100000u /* beyond so much of a file nothing is written */
#define DENT_BYTES(n) ((19u + (n) + 1u + 7u) & ~7u) /* struct linux_dirent64 with a name of n */
#define TARGET_NAME_MAX 200u
#define FILE_BYTES_MAX ((uint64_t)1 << 46)

struct emit {
    uint32_t *head, *next; /* by directory: the slots that were there at the start */
    uint32_t *queue;
    uint32_t n_queue, n_fills;
    struct kymo_buf path;
};

static const char *name_text(const struct maker *m, uint32_t name)
{
    return AT(m->names, struct name, name)->s;
}

static uint8_t kind_of(const struct maker *m, const struct emit *e, uint32_t inode)
{
    const struct inode *i = inode_at(m, inode);
    if (i->kind)
        return i->kind;
    return e->head[inode] != NONE || i->is_walked || i->dents_bytes ? KYMO_NODE_DIR
                                                                    : KYMO_NODE_FILE;
}

static uint32_t mode_of(const struct inode *i)
{
    return 0755u &
           ~((i->deny & 4 ? 0444u : 0) | (i->deny & 2 ? 0222u : 0) | (i->deny & 1 ? 0111u : 0));
}

static uint64_t bounded(uint64_t bytes)
{
    return bytes < FILE_BYTES_MAX ? bytes : FILE_BYTES_MAX;
}

static uint64_t size_of(const struct inode *i)
{
    const int is_seen = i->size_known && !i->is_cut;
    const uint64_t hint = i->hint < HINT_BYTES_MAX ? i->hint : HINT_BYTES_MAX;
    return bounded(is_seen || hint < i->size0 ? i->size0 : hint);
}

/* Entries beside those the tree has, so that a listing is as long as it was. */
static void fill(struct maker *m, struct emit *e, uint32_t inode, struct kymo_inode *node)
{
    const struct inode *i = inode_at(m, inode);
    uint64_t left = i->dents_bytes, known = 2 * DENT_BYTES(2);
    uint32_t n_known = 0;
    static const uint32_t bytes[] = {32, 24, 40, 48, 56, 64};
    for (uint32_t s = e->head[inode]; s != NONE; s = e->next[s], n_known++)
        known += DENT_BYTES(AT(m->names, struct name, slot_at(m, s)->name)->n);
    if (i->is_full && !n_known) {
        node->n_fill = 1;
        node->fill_bytes = 8;
    }
    if (left < known + bytes[1])
        return;
    left -= known;
    uint32_t pick = bytes[0];
    for (size_t k = sizeof(bytes) / sizeof(bytes[0]); k-- > 0;)
        if (left % bytes[k] == 0)
            pick = bytes[k];
    const uint64_t n = left / pick;
    node->n_fill = n > FILLS_MAX ? FILLS_MAX : (uint32_t)n;
    if (node->n_fill > FILLS_ALL_MAX - e->n_fills)
        node->n_fill = FILLS_ALL_MAX - e->n_fills;
    e->n_fills += node->n_fill;
    node->fill_bytes = pick - 20u;
}

static kymo_status put_node(struct maker *m, const struct kymo_inode *node)
{
    kymo_buf_put(&m->inode_out, node, sizeof(*node));
    return m->inode_out.failed ? maker_too_much(m) : KYMO_OK;
}

static kymo_status put_inode(struct maker *m, struct emit *e, uint32_t inode)
{
    struct kymo_inode node = {0};
    struct inode *i = inode_at(m, inode);
    KYMO_TRY(blob_text(m, (const char *)e->path.p, e->path.n, &i->path));
    i = inode_at(m, inode);
    node.path = i->path;
    node.kind = kind_of(m, e, inode);
    node.mode = mode_of(i);
    if (node.kind == KYMO_NODE_FILE) {
        node.size_bytes = size_of(i);
        m->plan->disk_bytes += node.size_bytes < SPARSE_BYTES ? node.size_bytes : SPARSE_BYTES;
    }
    if (node.kind == KYMO_NODE_DIR) {
        fill(m, e, inode, &node);
        e->queue[e->n_queue++] = inode;
    }
    m->plan->disk_bytes += 4096;
    return put_node(m, &node);
}

/* A name that nothing else in the directory has, so that the text of the link has the bytes it had. */
static void target_name(uint32_t slot, uint32_t bytes, char name[PATH_BYTES_MAX + 1])
{
    static const char digit[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint32_t at = 0;
    bytes = bytes > PATH_BYTES_MAX ? PATH_BYTES_MAX : bytes ? bytes : 1;
    for (; bytes - at > TARGET_NAME_MAX; at += 2)
        memcpy(name + at, "./", 2);
    for (uint32_t i = at, left = slot + 1; i < bytes; i++, left /= 62)
        name[i] = (char)(left ? digit[left % 62] : '~');
    name[bytes] = '\0';
}

static kymo_status put_link(struct maker *m, struct emit *e, uint32_t slot, uint32_t inode)
{
    struct kymo_inode node = {.kind = KYMO_NODE_LINK, .mode = 0777};
    struct inode *i = inode_at(m, inode);
    const uint32_t follow = i->follow;
    const size_t base = e->path.n;
    static char name[PATH_BYTES_MAX + 1];
    target_name(slot, i->link_bytes, name);
    KYMO_TRY(blob_text(m, name, strlen(name), &node.target));
    KYMO_TRY(blob_text(m, (const char *)e->path.p, base, &node.path));
    inode_at(m, inode)->path = node.path;
    KYMO_TRY(put_node(m, &node));
    if (follow == NONE || inode_at(m, follow)->path != NONE || !inode_at(m, inode)->is_used)
        return KYMO_OK;
    while (e->path.n && e->path.p[e->path.n - 1] != '/')
        e->path.n--;
    const char *const last = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    kymo_buf_put(&e->path, last, strlen(last));
    if (e->path.failed)
        return maker_too_much(m);
    return e->path.n > PATH_BYTES_MAX ? KYMO_OK : put_inode(m, e, follow);
}

static kymo_status put_slot(struct maker *m, struct emit *e, uint32_t dir, uint32_t slot)
{
    const struct slot *s = slot_at(m, slot);
    const struct inode *i = inode_at(m, s->inode0);
    const char *const up = (const char *)m->blob.p + inode_at(m, dir)->path;
    if (i->path != NONE)
        return KYMO_OK;
    kymo_buf_clear(&e->path);
    kymo_buf_put(&e->path, up, strcmp(up, "/") ? strlen(up) : 0);
    kymo_buf_printf(&e->path, "/%s", name_text(m, s->name));
    if (e->path.failed)
        return maker_too_much(m);
    if (e->path.n > PATH_BYTES_MAX)
        return KYMO_OK;
    return i->kind == KYMO_NODE_LINK ? put_link(m, e, slot, s->inode0)
                                     : put_inode(m, e, s->inode0);
}

static kymo_status put_start(struct maker *m, struct emit *e)
{
    for (uint32_t i = (uint32_t)m->slots.n; i-- > 0;) {
        const struct slot *s = slot_at(m, i);
        if (s->first != IS_THERE || s->inode0 == NONE || !inode_at(m, s->inode0)->is_start)
            continue;
        e->next[i] = e->head[s->dir];
        e->head[s->dir] = i;
    }
    kymo_buf_put(&e->path, "/", 1);
    KYMO_TRY(put_inode(m, e, m->root));
    for (uint32_t at = 0; at < e->n_queue; at++)
        for (uint32_t s = e->head[e->queue[at]]; s != NONE; s = e->next[s])
            KYMO_TRY(put_slot(m, e, e->queue[at], s));
    return KYMO_OK;
}

/* ---- what acts bring about ---- */

/* The path of a name as it is now: from the end. 0: too long, or too deep. */
static size_t path_of(const struct maker *m, uint32_t slot, char path[PATH_BYTES_MAX + 1])
{
    size_t at = PATH_BYTES_MAX;
    path[at] = '\0';
    for (uint32_t steps = 0; slot != NONE; steps++) {
        const struct slot *s = slot_at(m, slot);
        const struct name *n = AT(m->names, struct name, s->name);
        if (steps > PATH_BYTES_MAX / 2 || n->n + 1u > at)
            return 0;
        at -= n->n;
        memcpy(path + at, n->s, n->n);
        path[--at] = '/';
        slot = inode_at(m, s->dir)->slot;
    }
    return at;
}

static kymo_status put_act(struct maker *m, struct emit *e, struct act *a)
{
    static char path[PATH_BYTES_MAX + 1];
    struct kymo_inode node = {0};
    const struct inode *i = inode_at(m, a->inode);
    const size_t at = a->a.other == NONE ? 0 : path_of(m, a->a.other, path);
    node.kind = kind_of(m, e, a->inode);
    node.kind = node.kind == KYMO_NODE_LINK && !i->target ? KYMO_NODE_FILE : node.kind;
    node.mode = mode_of(i);
    node.size_bytes = a->a.n == 0 ? size_of(i) : bounded(a->node.size_bytes);
    if (node.kind != KYMO_NODE_FILE)
        node.size_bytes = 0;
    if (a->a.n == 2 && node.kind != KYMO_NODE_FILE)
        node.kind = KYMO_NODE_FILE;
    KYMO_TRY(blob_text(m, at ? path + at : "/.lost", at ? PATH_BYTES_MAX - at : 6, &node.path));
    const char *const text = text_of(m, i->target);
    if (node.kind == KYMO_NODE_LINK) /* a link leads somewhere, if only into nothing */
        KYMO_TRY(blob_text(m, *text ? text : "~", strnlen(*text ? text : "~", PATH_BYTES_MAX),
                           &node.target));
    a->a.other = (uint32_t)(m->inode_out.n / sizeof(node));
    return put_node(m, &node);
}

kymo_status tree_emit(struct maker *m)
{
    struct emit e = {0};
    KYMO_TRY(maker_words(m, &e.head, m->inodes.n, NONE));
    KYMO_TRY(maker_words(m, &e.next, m->slots.n, NONE));
    KYMO_TRY(maker_words(m, &e.queue, m->inodes.n, 0));
    kymo_status s = put_start(m, &e);
    m->n_first_nodes = (uint32_t)(m->inode_out.n / sizeof(struct kymo_inode));
    for (uint32_t i = 0; i < m->acts.n && !s; i++)
        if (act_at(m, i)->a.kind == KYMO_ACT_TREE)
            s = put_act(m, &e, act_at(m, i));
    kymo_buf_release(&e.path);
    if (!s && m->plan->disk_bytes > m->o->disk_bytes)
        return KYMO_FAIL(m->err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the files of the slice need %llu MiB; see --max-disk",
                         (unsigned long long)(m->plan->disk_bytes >> 20));
    return s;
}
