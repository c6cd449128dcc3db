/* SPDX-License-Identifier: Apache-2.0
 * tree.c: the files that a trace implies. A name is first met by a call, whose result says whether it was there;
 * from then on the calls of the slice change it, and where a result contradicts what they made, somebody outside
 * of the slice did something: an act.
 *
 * A slot is a name in a directory, an inode what it leads to, so that renaming a directory takes along what lies
 * in it. Of a path whose last name is missing, those before are taken for directories (assumed): they come
 * into the tree only if something is found in them.
 */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "replay/plan/tree_own.h"

#define NAME_BYTES_MAX 255u
#define STEPS_MAX 4096u

/* ---- names, slots, inodes ---- */

static kymo_status name_of(struct maker *m, const char *s, size_t n, uint32_t *out)
{
    struct name *name;
    uint32_t *at;
    for (uint64_t key = XXH3_64bits(s, n);; key++) {
        KYMO_TRY(hash64_at(m, &m->name_of, key, &at));
        if (*at == NONE)
            break;
        name = AT(m->names, struct name, *at);
        if (name->n == n && !memcmp(name->s, s, n)) {
            *out = *at;
            return KYMO_OK;
        }
    }
    *out = *at = (uint32_t)m->names.n;
    KYMO_TRY(list_add(m, &m->names, sizeof(*name), &name));
    name->s = kymo_arena_str(&m->arena, s, n);
    name->n = (uint32_t)n;
    return name->s ? KYMO_OK : maker_too_much(m);
}

kymo_status inode_new(struct maker *m, uint8_t kind, int is_start, uint32_t *out)
{
    struct inode *i;
    *out = (uint32_t)m->inodes.n;
    KYMO_TRY(list_add(m, &m->inodes, sizeof(*i), &i));
    *i = (struct inode){.slot = NONE,
                        .parent = m->root,
                        .kind = kind,
                        .is_start = is_start != 0,
                        .size_known = !is_start,
                        .follow = NONE,
                        .resource = NONE,
                        .path = NONE};
    return KYMO_OK;
}

static kymo_status slot_of(struct maker *m, uint32_t dir, uint32_t name, uint32_t *out)
{
    uint32_t *at;
    struct slot *s;
    KYMO_TRY(hash64_at(m, &m->slot_of, (uint64_t)dir << 32 | name, &at));
    if (*at == NONE) {
        *at = (uint32_t)m->slots.n;
        KYMO_TRY(list_add(m, &m->slots, sizeof(*s), &s));
        *s = (struct slot){
            .dir = dir, .name = name, .inode0 = NONE, .inode = NONE, .resource = NONE};
    }
    *out = *at;
    return KYMO_OK;
}

kymo_status tree_name_it(struct maker *m, uint32_t slot, uint32_t inode)
{
    struct slot *s = slot_at(m, slot);
    s->inode = inode;
    inode_at(m, inode)->slot = slot;
    inode_at(m, inode)->parent = s->dir;
    return KYMO_OK;
}

kymo_status tree_slot_use(struct maker *m, uint32_t who, uint32_t slot, int writes)
{
    struct slot *s = slot_at(m, slot);
    if (s->resource == NONE)
        s->resource = resource_new(m);
    if (writes)
        s->is_written = 1;
    return use_add(m, who, s->resource, writes);
}

kymo_status tree_resource(struct maker *m, uint32_t inode, uint32_t *out)
{
    struct inode *i = inode_at(m, inode);
    if (i->resource == NONE)
        i->resource = resource_new(m);
    *out = i->resource;
    return KYMO_OK;
}

/* What a directory lists changed, or was read. */
kymo_status tree_dir_use(struct maker *m, uint32_t call, uint32_t dir, int writes)
{
    uint32_t resource;
    KYMO_TRY(tree_resource(m, dir, &resource));
    return use_add(m, call, resource, writes);
}

static uint8_t kind_of_name(const struct maker *m, const struct slot *s)
{
    static const char *const device[] = {"null", "zero", "full", "random", "urandom"};
    const struct inode *dir = inode_at(m, s->dir);
    const char *const name = AT(m->names, struct name, s->name)->s;
    if (dir->slot == NONE || dir->parent != m->root ||
        strcmp(AT(m->names, struct name, slot_at(m, dir->slot)->name)->s, "dev") != 0)
        return 0;
    for (size_t i = 0; i < sizeof(device) / sizeof(device[0]); i++)
        if (!strcmp(name, device[i]))
            return KYMO_NODE_DEVICE;
    return 0;
}

/* ---- what must have been so ---- */

/* Somebody outside of the slice did something, before this call. what: as KYMO_ACT_TREE has it. */
kymo_status tree_change(struct maker *m, uint32_t call, uint32_t inode, uint32_t slot,
                        uint32_t what)
{
    uint32_t act, resource;
    KYMO_TRY(act_new(m, KYMO_ACT_TREE, NONE, point_ahead(m, call), &act));
    struct act *a = act_at(m, act);
    a->a.n = what;
    a->a.other = slot;
    a->inode = inode;
    a->node.size_bytes = inode_at(m, inode)->size;
    KYMO_TRY(edge_add(m, call, act | IS_ACT, 0));
    if (what < 2)
        return tree_slot_use(m, act | IS_ACT, slot, 1);
    KYMO_TRY(tree_resource(m, inode, &resource));
    inode_at(m, inode)->is_read = 1;
    return use_add(m, act | IS_ACT, resource, 1);
}

kymo_status tree_be_there(struct maker *m, uint32_t call, uint32_t slot)
{
    struct slot *s = slot_at(m, slot);
    uint32_t inode = s->inode;
    if (s->now == IS_THERE)
        return KYMO_OK;
    const int at_start = s->first == IS_UNKNOWN;
    if (inode == NONE || !at_start) {
        KYMO_TRY(inode_new(m, kind_of_name(m, s), at_start, &inode));
        KYMO_TRY(tree_name_it(m, slot, inode));
        inode_at(m, inode)->size_known = 0; /* how long it is its reads will tell */
        s = slot_at(m, slot);
    }
    inode_at(m, s->dir)->n_found++;
    s->now = IS_THERE;
    if (at_start) {
        s->first = IS_THERE;
        s->inode0 = inode;
        inode_at(m, inode)->is_start = 1;
        return KYMO_OK;
    }
    return call == NONE ? KYMO_OK : tree_change(m, call, inode, slot, 0);
}

kymo_status tree_be_absent(struct maker *m, uint32_t call, uint32_t slot)
{
    struct slot *s = slot_at(m, slot);
    if (s->now == IS_THERE && call != NONE)
        KYMO_TRY(tree_change(m, call, s->inode, slot, 1));
    s = slot_at(m, slot);
    if (s->first == IS_UNKNOWN)
        s->first = IS_ABSENT;
    s->now = IS_ABSENT;
    s->inode = NONE;
    return KYMO_OK;
}

kymo_status tree_make_it(struct maker *m, uint32_t call, uint32_t slot, uint8_t kind,
                         uint32_t *inode)
{
    KYMO_TRY(tree_be_absent(m, call, slot));
    KYMO_TRY(inode_new(m, kind, 0, inode));
    KYMO_TRY(tree_name_it(m, slot, *inode));
    slot_at(m, slot)->now = IS_THERE;
    inode_at(m, slot_at(m, slot)->dir)->n_found++;
    KYMO_TRY(tree_dir_use(m, call, slot_at(m, slot)->dir, 1));
    return tree_slot_use(m, call, slot, 1);
}

void tree_be_kind(struct maker *m, uint32_t inode, uint8_t kind)
{
    struct inode *i = inode_at(m, inode);
    if (!i->kind)
        i->kind = kind;
}

/* The name leads to a link of so many bytes; what was taken for it until now is what the link leads to. */
kymo_status tree_be_link(struct maker *m, uint32_t slot, uint32_t bytes)
{
    uint32_t link;
    const uint32_t inode = slot_at(m, slot)->inode;
    if (inode_at(m, inode)->kind == KYMO_NODE_LINK)
        return KYMO_OK;
    if (!inode_at(m, inode)->is_start)
        return KYMO_OK; /* the slice made it, and not as a link: rows are missing */
    KYMO_TRY(inode_new(m, KYMO_NODE_LINK, 1, &link));
    struct slot *s = slot_at(m, slot);
    struct inode *l = inode_at(m, link);
    l->follow = inode;
    l->link_bytes = bytes;
    l->slot = slot;
    l->parent = s->dir;
    l->is_used = inode_at(m, inode)->kind != 0 || inode_at(m, inode)->is_walked;
    if (s->inode0 == inode)
        s->inode0 = link;
    s->inode = link;
    return KYMO_OK;
}

/* ---- walking ---- */

/* Through a name in the middle of a path: the directory behind it, NONE: lost. */
static kymo_status step_into(struct maker *m, struct pace *p, uint32_t slot, uint32_t *dir)
{
    uint32_t inode;
    if (p->found)
        KYMO_TRY(tree_be_there(m, p->call, slot));
    struct slot *const s = slot_at(m, slot);
    *dir = NONE;
    if (s->now == IS_ABSENT)
        return KYMO_OK;
    if (s->inode == NONE) {
        KYMO_TRY(inode_new(m, 0, 1, &inode));
        KYMO_TRY(tree_name_it(m, slot, inode));
    }
    if (s->is_written && m->actors.n > 2 && p->call != NONE)
        KYMO_TRY(tree_slot_use(m, p->call, slot, 0));
    inode = slot_at(m, slot)->inode;
    struct inode *i = inode_at(m, inode);
    if (i->kind == KYMO_NODE_LINK && i->target) {
        struct way w = {0};
        if (p->links++ >= LINKS_MAX)
            return KYMO_OK;
        KYMO_TRY(tree_walk_path(m, p, i->parent, text_of(m, i->target), &w));
        if (w.is_lost)
            return KYMO_OK;
        if (w.slot == NONE) {
            *dir = w.dir;
            return KYMO_OK;
        }
        return step_into(m, p, w.slot, dir);
    }
    if (i->kind == KYMO_NODE_LINK) {
        i->is_used = 1;
        inode = i->follow;
    }
    if (p->found)
        tree_be_kind(m, inode, KYMO_NODE_DIR);
    inode_at(m, inode)->is_walked = 1;
    if (inode_at(m, inode)->kind == 0 || inode_at(m, inode)->kind == KYMO_NODE_DIR)
        *dir = inode;
    return KYMO_OK;
}

kymo_status tree_walk_path(struct maker *m, struct pace *p, uint32_t dir, const char *path,
                           struct way *w)
{
    uint32_t name, slot;
    *w = (struct way){.slot = NONE, .dir = path[0] == '/' ? m->root : dir};
    for (const char *s = path; *s;) {
        const size_t n = strcspn(s, "/");
        const char *const next = s + n + strspn(s + n, "/");
        if (!n || (n == 1 && s[0] == '.')) {
            s = next;
            continue;
        }
        if (w->slot != NONE) {
            KYMO_TRY(step_into(m, p, w->slot, &w->dir));
            w->slot = NONE;
        }
        if (w->dir == NONE || n > NAME_BYTES_MAX || p->steps++ > STEPS_MAX) {
            w->is_lost = 1;
            return KYMO_OK;
        }
        if (n == 2 && s[0] == '.' && s[1] == '.') {
            w->dir = inode_at(m, w->dir)->parent;
        } else {
            KYMO_TRY(name_of(m, s, n, &name));
            KYMO_TRY(slot_of(m, w->dir, name, &slot));
            w->slot = slot;
        }
        w->wants_dir = s[n] == '/' && !*next;
        s = next;
    }
    return KYMO_OK;
}

/* The working directory of a process. */
kymo_status tree_cwd_of(struct maker *m, uint32_t proc, uint32_t *dir)
{
    struct proc *p = proc_at(m, proc);
    if (p->cwd == NONE) {
        const struct proc *root = proc_at(m, p->root);
        const uint32_t text = p->of != NONE && m->t->process[p->of].cwd
                                  ? m->t->process[p->of].cwd
                              : root->of != NONE ? m->t->process[root->of].cwd
                                                 : 0;
        uint32_t inode = m->root;
        if (text_of(m, text)[0] == '/')
            KYMO_TRY(tree_dir(m, text_of(m, text), &inode));
        proc_at(m, proc)->cwd = inode;
        if (proc_at(m, p->root)->start_cwd == NONE)
            proc_at(m, p->root)->start_cwd = inode;
    }
    *dir = proc_at(m, proc)->cwd;
    return KYMO_OK;
}

kymo_status tree_dir(struct maker *m, const char *path, uint32_t *inode)
{
    struct pace p = {.call = NONE, .found = 1};
    struct way w;
    *inode = m->root;
    KYMO_TRY(tree_walk_path(m, &p, m->root, path, &w));
    if (!w.is_lost && w.slot != NONE)
        KYMO_TRY(step_into(m, &p, w.slot, &w.dir));
    if (!w.is_lost && w.dir != NONE)
        *inode = w.dir;
    return KYMO_OK;
}

/* ---- files of the start ---- */

kymo_status tree_start_file(struct maker *m, uint32_t object, const char *path)
{
    struct pace p = {.call = NONE, .found = 1};
    struct way w;
    uint32_t inode;
    if (!path) { /* something that is always there */
        KYMO_TRY(tree_dir(m, "/dev", &inode));
        path = "/dev/null";
    }
    if (path[0] != '/') {
        KYMO_TRY(inode_new(m, KYMO_NODE_FILE, 0, &inode));
        object_at(m, object)->inode = inode;
        return KYMO_OK;
    }
    KYMO_TRY(tree_walk_path(m, &p, m->root, path, &w));
    if (w.is_lost)
        return KYMO_OK;
    inode = w.dir;
    if (w.slot != NONE) {
        if (slot_at(m, w.slot)->first == IS_UNKNOWN)
            KYMO_TRY(tree_be_there(m, NONE, w.slot));
        inode = slot_at(m, w.slot)->inode0;
        if (inode == NONE) /* it was gone, or was made, before it was known that it was open */
            KYMO_TRY(inode_new(m, 0, 0, &inode));
        if (inode_at(m, inode)->kind == KYMO_NODE_LINK && inode_at(m, inode)->follow != NONE)
            inode = inode_at(m, inode)->follow;
    }
    object_at(m, object)->inode = inode;
    return KYMO_OK;
}

kymo_status tree_socket(struct maker *m, const char *path)
{
    struct pace p = {.call = NONE, .found = 1};
    struct way w;
    uint32_t inode;
    KYMO_TRY(tree_walk_path(m, &p, m->root, path, &w));
    if (w.is_lost || w.slot == NONE || slot_at(m, w.slot)->first != IS_UNKNOWN)
        return KYMO_OK;
    KYMO_TRY(inode_new(m, KYMO_NODE_SOCKET, 0, &inode));
    KYMO_TRY(tree_name_it(m, w.slot, inode));
    slot_at(m, w.slot)->first = IS_ABSENT;
    slot_at(m, w.slot)->now = IS_THERE;
    return KYMO_OK;
}

kymo_status tree_begin(struct maker *m)
{
    m->root = 0;
    KYMO_TRY(inode_new(m, KYMO_NODE_DIR, 1, &m->root));
    return KYMO_OK;
}
