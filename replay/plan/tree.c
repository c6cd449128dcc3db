/* SPDX-License-Identifier: Apache-2.0
 * tree.c: the files that a trace implies. A name is first met by a call, whose result says whether it was there;
 * from then on the calls of the slice change it, and where a result contradicts what they made, somebody outside
 * of the slice did something: an act.
 *
 * A slot is a name in a directory, an inode what it leads to, so that renaming a directory takes along what lies
 * in it. Of a path whose last name is missing, those before are taken for directories (assumed): they come
 * into the tree only if something is found in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "replay/plan/compile_own.h"

#define LINKS_MAX 40u /* as the kernel's */
#define NAME_BYTES_MAX 255u
#define STEPS_MAX 4096u
#define TMPFILE_BITS 020200000u
#define REMOVEDIR_BIT 0x200u
#define EXCHANGE_BIT 2u
#define EMPTY_PATH_BIT 0x1000u
#define NOFOLLOW_BIT 0x100u

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

static kymo_status name_it(struct maker *m, uint32_t slot, uint32_t inode)
{
    struct slot *s = slot_at(m, slot);
    s->inode = inode;
    inode_at(m, inode)->slot = slot;
    inode_at(m, inode)->parent = s->dir;
    return KYMO_OK;
}

static kymo_status slot_use(struct maker *m, uint32_t who, uint32_t slot, int writes)
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
static kymo_status dir_use(struct maker *m, uint32_t call, uint32_t dir, int writes)
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
        strcmp(AT(m->names, struct name, slot_at(m, dir->slot)->name)->s, "dev"))
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
    KYMO_TRY(act_new(m, KYMO_ACT_TREE, NONE, call_at(m, call)->enter_ns - m->origin, &act));
    struct act *a = act_at(m, act);
    a->a.n = what;
    a->a.other = slot;
    a->inode = inode;
    a->node.size_bytes = inode_at(m, inode)->size;
    KYMO_TRY(edge_add(m, call, act | IS_ACT, 0));
    if (what < 2)
        return slot_use(m, act | IS_ACT, slot, 1);
    KYMO_TRY(tree_resource(m, inode, &resource));
    inode_at(m, inode)->is_read = 1;
    return use_add(m, act | IS_ACT, resource, 1);
}

static kymo_status be_there(struct maker *m, uint32_t call, uint32_t slot)
{
    struct slot *s = slot_at(m, slot);
    uint32_t inode = s->inode;
    if (s->now == IS_THERE)
        return KYMO_OK;
    const int at_start = s->first == IS_UNKNOWN;
    if (inode == NONE || !at_start) {
        KYMO_TRY(inode_new(m, kind_of_name(m, s), at_start, &inode));
        KYMO_TRY(name_it(m, slot, inode));
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

static kymo_status be_absent(struct maker *m, uint32_t call, uint32_t slot)
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

static kymo_status make_it(struct maker *m, uint32_t call, uint32_t slot, uint8_t kind,
                           uint32_t *inode)
{
    KYMO_TRY(be_absent(m, call, slot));
    KYMO_TRY(inode_new(m, kind, 0, inode));
    KYMO_TRY(name_it(m, slot, *inode));
    slot_at(m, slot)->now = IS_THERE;
    inode_at(m, slot_at(m, slot)->dir)->n_found++;
    KYMO_TRY(dir_use(m, call, slot_at(m, slot)->dir, 1));
    return slot_use(m, call, slot, 1);
}

static void be_kind(struct maker *m, uint32_t inode, uint8_t kind)
{
    struct inode *i = inode_at(m, inode);
    if (!i->kind)
        i->kind = kind;
}

/* The name leads to a link of so many bytes; what was taken for it until now is what the link leads to. */
static kymo_status be_link(struct maker *m, uint32_t slot, uint32_t bytes)
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

struct way {
    uint32_t
        slot; /* of the last name; NONE: the path ends with a directory itself ("/", "..") */
    uint32_t dir; /* where it lies, or that directory */
    uint8_t
        is_lost; /* it did not get there: a name before is missing, is no directory, or is too long */
    uint8_t wants_dir; /* ends with a slash */
};

struct pace {
    uint32_t call, steps, links;
    uint8_t found; /* the call found all names but the last */
};

static kymo_status walk_path(struct maker *m, struct pace *p, uint32_t dir, const char *path,
                             struct way *w);

/* Through a name in the middle of a path: the directory behind it, NONE: lost. */
static kymo_status step_into(struct maker *m, struct pace *p, uint32_t slot, uint32_t *dir)
{
    struct slot *s = slot_at(m, slot);
    uint32_t inode;
    if (p->found)
        KYMO_TRY(be_there(m, p->call, slot));
    s = slot_at(m, slot);
    *dir = NONE;
    if (s->now == IS_ABSENT)
        return KYMO_OK;
    if (s->inode == NONE) {
        KYMO_TRY(inode_new(m, 0, 1, &inode));
        KYMO_TRY(name_it(m, slot, inode));
    }
    if (s->is_written && m->actors.n > 2 && p->call != NONE)
        KYMO_TRY(slot_use(m, p->call, slot, 0));
    inode = slot_at(m, slot)->inode;
    struct inode *i = inode_at(m, inode);
    if (i->kind == KYMO_NODE_LINK && i->target) {
        struct way w = {0};
        if (p->links++ >= LINKS_MAX)
            return KYMO_OK;
        KYMO_TRY(walk_path(m, p, i->parent, text_of(m, i->target), &w));
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
        be_kind(m, inode, KYMO_NODE_DIR);
    inode_at(m, inode)->is_walked = 1;
    if (inode_at(m, inode)->kind == 0 || inode_at(m, inode)->kind == KYMO_NODE_DIR)
        *dir = inode;
    return KYMO_OK;
}

static kymo_status walk_path(struct maker *m, struct pace *p, uint32_t dir, const char *path,
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
static kymo_status cwd_of(struct maker *m, uint32_t proc, uint32_t *dir)
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
    KYMO_TRY(walk_path(m, &p, m->root, path, &w));
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
    KYMO_TRY(walk_path(m, &p, m->root, path, &w));
    if (w.is_lost)
        return KYMO_OK;
    inode = w.dir;
    if (w.slot != NONE) {
        if (slot_at(m, w.slot)->first == IS_UNKNOWN)
            KYMO_TRY(be_there(m, NONE, w.slot));
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
    KYMO_TRY(walk_path(m, &p, m->root, path, &w));
    if (w.is_lost || w.slot == NONE || slot_at(m, w.slot)->first != IS_UNKNOWN)
        return KYMO_OK;
    KYMO_TRY(inode_new(m, KYMO_NODE_SOCKET, 0, &inode));
    KYMO_TRY(name_it(m, w.slot, inode));
    slot_at(m, w.slot)->first = IS_ABSENT;
    slot_at(m, w.slot)->now = IS_THERE;
    return KYMO_OK;
}

/* ---- calls ---- */

struct visit { /* a call's path */
    uint32_t call;
    const struct kymo_trace_call *c;
    struct way way;
    int ok;
    int error; /* errno, 0 */
};

static kymo_status visit_path(struct maker *m, struct visit *v, const char *path,
                              uint32_t dir_object, int is_at, int found)
{
    struct pace p = {.call = v->call, .found = found != 0};
    uint32_t dir;
    KYMO_TRY(cwd_of(m, proc_of_call(m, v->call), &dir));
    if (is_at && dir_object != NONE && path[0] != '/') {
        const uint32_t inode = object_at(m, dir_object)->inode;
        dir = inode == NONE ? m->root : inode;
        if (found && inode != NONE)
            be_kind(m, inode, KYMO_NODE_DIR);
    }
    return walk_path(m, &p, dir, path, &v->way);
}

/* The inode that the last name leads to, links followed where they are. NONE: nothing there. */
static kymo_status lead_to(struct maker *m, struct visit *v, int nofollow, uint32_t *inode)
{
    struct pace p = {.call = v->call, .found = 1};
    struct way w = v->way;
    *inode = w.slot == NONE ? w.dir : slot_at(m, w.slot)->inode;
    while (!nofollow && *inode != NONE && inode_at(m, *inode)->kind == KYMO_NODE_LINK) {
        struct inode *i = inode_at(m, *inode);
        i->is_used = 1;
        if (!i->target) {
            *inode = i->follow;
            continue;
        }
        if (p.links++ >= LINKS_MAX) {
            *inode = NONE;
            break;
        }
        KYMO_TRY(walk_path(m, &p, i->parent, text_of(m, i->target), &w));
        if (w.is_lost) {
            *inode = NONE;
            break;
        }
        if (w.slot != NONE && slot_at(m, w.slot)->now == IS_UNKNOWN)
            KYMO_TRY(be_there(m, v->call, w.slot));
        *inode = w.slot == NONE ? w.dir : slot_at(m, w.slot)->inode;
    }
    return KYMO_OK;
}

/* The directory may not be searched: unless others could, and found what they looked for, or that it is missing. */
static kymo_status deny_dir(struct maker *m, struct visit *v)
{
    const uint32_t dir = v->way.dir;
    if (v->way.is_lost || dir == NONE || dir == m->root || inode_at(m, dir)->n_found ||
        inode_at(m, dir)->n_missed || !inode_at(m, dir)->is_start) {
        m->note[v->call].how = KYMO_HOW_INJECT;
        return KYMO_OK;
    }
    for (uint32_t s = inode_at(m, dir)->slot; s != NONE && slot_at(m, s)->now == IS_UNKNOWN;
         s = inode_at(m, slot_at(m, s)->dir)->slot)
        KYMO_TRY(be_there(m, v->call, s));
    inode_at(m, dir)->deny |= 1;
    return KYMO_OK;
}

static kymo_status deny(struct maker *m, struct visit *v)
{
    const struct lower_row *row = m->row[v->call];
    const uint32_t slot = v->way.slot;
    uint8_t bits = 0;
    if (row->op == OP_OPEN) {
        const uint64_t flags = v->c->arg[row->flags & ROW_AT ? 2 : 1] & O_ACCMODE;
        bits = flags == O_RDONLY ? 4 : flags == O_WRONLY ? 2 : 6;
    } else if (strstr(row->name, "access")) {
        bits = (uint8_t)(v->c->arg[row->flags & ROW_AT ? 2 : 1] & 7);
    } else if (row->op == OP_EXEC || row->op == OP_CHDIR) {
        bits = 1;
    }
    if (bits && !v->way.is_lost && slot != NONE && slot_at(m, slot)->now != IS_ABSENT) {
        const uint32_t inode = slot_at(m, slot)->inode;
        if (inode != NONE && (inode_at(m, inode)->is_start || !slot_at(m, slot)->first))
            inode_at(m, inode)->deny |= bits;
        return KYMO_OK;
    }
    return deny_dir(m, v);
}

/* What a failure says of the tree. */
static kymo_status failed(struct maker *m, struct visit *v)
{
    const struct way w = v->way;
    if (w.is_lost)
        return KYMO_OK;
    switch (v->error) {
    case ENOENT:
        if (m->row[v->call]->op == OP_OPEN && w.slot != NONE) {
            const uint64_t flags = v->c->arg[m->row[v->call]->flags & ROW_AT ? 2 : 1];
            if (flags & O_CREAT) { /* not the file is missing, but where it would lie */
                const uint32_t up = inode_at(m, w.dir)->slot;
                return up == NONE || slot_at(m, up)->now != IS_UNKNOWN ? KYMO_OK
                                                                       : be_absent(m, NONE, up);
            }
        }
        inode_at(m, w.dir)->n_missed++;
        if (inode_at(m, w.dir)->deny & 1)
            m->note[v->call].how = KYMO_HOW_INJECT; /* whom the directory let in is not known */
        return w.slot == NONE ? KYMO_OK : be_absent(m, v->call, w.slot);
    case EACCES:
        if (w.slot != NONE && slot_at(m, w.slot)->now == IS_UNKNOWN &&
            (m->row[v->call]->op == OP_OPEN || strstr(m->row[v->call]->name, "access") ||
             m->row[v->call]->op == OP_EXEC))
            KYMO_TRY(be_there(m, v->call, w.slot));
        return deny(m, v);
    case ENOTDIR:
        if (w.slot != NONE &&
            (w.wants_dir || m->row[v->call]->op == OP_OPEN || m->row[v->call]->op == OP_CHDIR ||
             m->row[v->call]->op == OP_REMOVE)) {
            KYMO_TRY(be_there(m, v->call, w.slot));
            be_kind(m, slot_at(m, w.slot)->inode, KYMO_NODE_FILE);
        } else if (w.slot != NONE) {
            const uint32_t up = inode_at(m, w.dir)->slot;
            if (up != NONE && slot_at(m, up)->now == IS_UNKNOWN) {
                KYMO_TRY(be_there(m, v->call, up));
                be_kind(m, w.dir, KYMO_NODE_FILE);
            }
        }
        return KYMO_OK;
    default:
        return KYMO_OK;
    }
}

/* Errors that a call has because of something that is there. */
static kymo_status failed_there(struct maker *m, struct visit *v)
{
    const uint32_t slot = v->way.slot;
    const uint8_t op = m->row[v->call]->op;
    if (v->way.is_lost || slot == NONE)
        return KYMO_OK;
    switch (v->error) {
    case EEXIST:
        return be_there(m, v->call, slot);
    case EISDIR:
        KYMO_TRY(be_there(m, v->call, slot));
        be_kind(m, slot_at(m, slot)->inode, KYMO_NODE_DIR);
        return KYMO_OK;
    case ENOTEMPTY:
        KYMO_TRY(be_there(m, v->call, slot));
        be_kind(m, slot_at(m, slot)->inode, KYMO_NODE_DIR);
        inode_at(m, slot_at(m, slot)->inode)->is_full = 1;
        return KYMO_OK;
    case ENXIO:
    case ECONNREFUSED:
        KYMO_TRY(be_there(m, v->call, slot));
        be_kind(m, slot_at(m, slot)->inode,
                op == OP_OPEN && (v->c->arg[m->row[v->call]->flags & ROW_AT ? 2 : 1] &
                                  (O_ACCMODE | O_NONBLOCK)) == (O_WRONLY | O_NONBLOCK)
                    ? KYMO_NODE_FIFO
                    : KYMO_NODE_SOCKET);
        return KYMO_OK;
    case ELOOP:
        KYMO_TRY(be_there(m, v->call, slot));
        return be_link(m, slot, 1);
    case EINVAL:
        return op == OP_READLINK ? be_there(m, v->call, slot) : KYMO_OK;
    default:
        return failed(m, v);
    }
}

static kymo_status opens(struct maker *m, struct visit *v)
{
    const int at = m->row[v->call]->flags & ROW_AT ? 2 : 1;
    const uint64_t flags = !strcmp(m->row[v->call]->name, "creat")
                               ? O_WRONLY | O_CREAT | O_TRUNC
                           : !strcmp(m->row[v->call]->name, "openat2") ? 0
                                                                       : v->c->arg[at];
    uint32_t inode, slot = v->way.slot;
    if (v->way.is_lost)
        return KYMO_OK;
    if ((flags & TMPFILE_BITS) == TMPFILE_BITS) {
        KYMO_TRY(inode_new(m, KYMO_NODE_FILE, 0, &inode));
        m->note[v->call].link = inode;
        return KYMO_OK;
    }
    if (slot != NONE && flags & O_CREAT) {
        const int unknown = slot_at(m, slot)->now == IS_UNKNOWN;
        const int is_new = flags & O_EXCL || slot_at(m, slot)->now == IS_ABSENT ||
                           (unknown && flags & O_TRUNC);
        if (is_new) {
            KYMO_TRY(make_it(m, v->call, slot, KYMO_NODE_FILE, &inode));
            m->note[v->call].link = inode;
            return KYMO_OK;
        }
    }
    if (slot != NONE)
        KYMO_TRY(be_there(m, v->call, slot));
    KYMO_TRY(lead_to(m, v, flags & O_NOFOLLOW && !(flags & O_PATH), &inode));
    m->note[v->call].link = inode;
    if (inode == NONE)
        return KYMO_OK;
    if (flags & O_DIRECTORY || v->way.wants_dir)
        be_kind(m, inode, KYMO_NODE_DIR);
    else if ((flags & O_ACCMODE) != O_RDONLY)
        be_kind(m, inode, KYMO_NODE_FILE);
    if (flags & O_TRUNC)
        KYMO_TRY(tree_resize(m, v->call, inode, 0));
    return slot == NONE ? KYMO_OK : slot_use(m, v->call, slot, 0);
}

static kymo_status looks(struct maker *m, struct visit *v)
{
    const struct lower_row *row = m->row[v->call];
    const int flags = row->arg && row->op == OP_LOOK ? (int)v->c->arg[row->arg] : 0;
    uint32_t inode;
    if (v->way.is_lost)
        return KYMO_OK;
    if (v->way.slot != NONE) {
        KYMO_TRY(be_there(m, v->call, v->way.slot));
        KYMO_TRY(slot_use(m, v->call, v->way.slot, 0));
    }
    KYMO_TRY(lead_to(m, v, row->flags & ROW_NOFOLLOW || flags & (int)NOFOLLOW_BIT, &inode));
    m->note[v->call].link = inode;
    if (inode == NONE)
        return KYMO_OK;
    if (v->way.wants_dir)
        be_kind(m, inode, KYMO_NODE_DIR);
    if (row->op == OP_CHDIR) {
        be_kind(m, inode, KYMO_NODE_DIR);
        proc_at(m, proc_of_call(m, v->call))->cwd = inode;
    }
    if (row->op == OP_TRUNCATE) {
        be_kind(m, inode, KYMO_NODE_FILE);
        return tree_resize(m, v->call, inode, v->c->arg[1]);
    }
    return KYMO_OK;
}

static kymo_status removes(struct maker *m, struct visit *v)
{
    const struct lower_row *row = m->row[v->call];
    const int is_dir = row->arg == 1 || (row->arg == 2 && v->c->arg[2] & REMOVEDIR_BIT);
    const uint32_t slot = v->way.slot;
    if (v->way.is_lost || slot == NONE)
        return KYMO_OK;
    KYMO_TRY(be_there(m, v->call, slot));
    be_kind(m, slot_at(m, slot)->inode, is_dir ? KYMO_NODE_DIR : KYMO_NODE_FILE);
    if (is_dir)
        inode_at(m, slot_at(m, slot)->inode)->dents_bytes = 0;
    struct slot *s = slot_at(m, slot);
    s->now = IS_ABSENT;
    s->inode = NONE;
    KYMO_TRY(dir_use(m, v->call, s->dir, 1));
    return slot_use(m, v->call, slot, 1);
}

static kymo_status reads_link(struct maker *m, struct visit *v)
{
    const uint32_t slot = v->way.slot;
    if (v->way.is_lost || slot == NONE)
        return KYMO_OK;
    KYMO_TRY(be_there(m, v->call, slot));
    KYMO_TRY(slot_use(m, v->call, slot, 0));
    return be_link(m, slot, (uint32_t)v->c->ret);
}

/* Names that a second path gives: of, and to, what lies at the first. */
static kymo_status renames(struct maker *m, struct visit *from, struct visit *to)
{
    const uint32_t a = from->way.slot, b = to->way.slot;
    const struct lower_row *row = m->row[from->call];
    if (from->way.is_lost || to->way.is_lost || a == NONE || b == NONE)
        return KYMO_OK;
    KYMO_TRY(be_there(m, from->call, a));
    const uint32_t inode = slot_at(m, a)->inode;
    if (row->op == OP_RENAME && row->arg && from->c->arg[row->arg] & EXCHANGE_BIT) {
        KYMO_TRY(be_there(m, from->call, b));
        const uint32_t other = slot_at(m, b)->inode;
        KYMO_TRY(name_it(m, b, inode));
        KYMO_TRY(name_it(m, a, other));
    } else if (a != b) {
        struct slot *s = slot_at(m, b);
        if (s->first == IS_UNKNOWN)
            s->first = IS_ABSENT;
        KYMO_TRY(name_it(m, b, inode));
        slot_at(m, b)->now = IS_THERE;
        inode_at(m, slot_at(m, b)->dir)->n_found++;
        if (row->op == OP_RENAME) {
            slot_at(m, a)->now = IS_ABSENT;
            slot_at(m, a)->inode = NONE;
        }
    }
    KYMO_TRY(dir_use(m, from->call, slot_at(m, a)->dir, 1));
    KYMO_TRY(dir_use(m, from->call, slot_at(m, b)->dir, 1));
    KYMO_TRY(slot_use(m, from->call, a, 1));
    return slot_use(m, from->call, b, 1);
}

static kymo_status two_paths(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct note *n = &m->note[call];
    const int is_at = (m->row[call]->flags & ROW_AT) != 0, ok = c->ret >= 0;
    struct visit from = {.call = call, .c = c, .ok = ok, .error = ok ? 0 : (int)-c->ret};
    struct visit to = from;
    KYMO_TRY(
        visit_path(m, &from, text_of(m, c->path), n->object, is_at, ok || c->ret == -EEXIST));
    KYMO_TRY(
        visit_path(m, &to, text_of(m, c->path2), n->object2, is_at, ok || c->ret == -EEXIST));
    if (ok)
        return renames(m, &from, &to);
    if (c->ret == -EEXIST && !to.way.is_lost && to.way.slot != NONE) {
        if (!from.way.is_lost && from.way.slot != NONE)
            KYMO_TRY(be_there(m, call, from.way.slot));
        return be_there(m, call, to.way.slot);
    }
    if (c->ret == -ENOENT && !from.way.is_lost && from.way.slot != NONE &&
        slot_at(m, from.way.slot)->now != IS_THERE)
        return be_absent(m, call, from.way.slot);
    return KYMO_OK;
}

static kymo_status links(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct visit v = {.call = call, .c = c, .ok = c->ret >= 0, .error = (int)-c->ret};
    uint32_t inode;
    KYMO_TRY(visit_path(m, &v, text_of(m, c->path2), m->note[call].object,
                        m->row[call]->arg == 1, v.ok || c->ret == -EEXIST));
    if (!v.ok)
        return failed_there(m, &v);
    if (v.way.is_lost || v.way.slot == NONE)
        return KYMO_OK;
    KYMO_TRY(make_it(m, call, v.way.slot, KYMO_NODE_LINK, &inode));
    inode_at(m, inode)->target = c->path;
    return KYMO_OK;
}

static kymo_status makes(struct maker *m, struct visit *v, uint8_t kind)
{
    uint32_t inode;
    return v->way.is_lost || v->way.slot == NONE
               ? KYMO_OK
               : make_it(m, v->call, v->way.slot, kind, &inode);
}

static uint8_t kind_of_mode(uint64_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return KYMO_NODE_FIFO;
    case S_IFSOCK:
        return KYMO_NODE_SOCKET;
    default:
        return KYMO_NODE_FILE;
    }
}

/* A unix socket's name comes with bind; whom the slice connects to has made his before. */
static kymo_status sockets(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const char *const path = sockaddr_path(text_of(m, c->addr));
    struct visit v = {.call = call, .c = c, .ok = c->ret >= 0, .error = (int)-c->ret};
    if (!path || !has_ret(c))
        return KYMO_OK;
    KYMO_TRY(visit_path(m, &v, path, NONE, 0, v.ok || c->ret == -EADDRINUSE));
    if (m->row[call]->op == OP_BIND) {
        if (c->ret == -EADDRINUSE)
            v.error = EEXIST;
        return v.ok ? makes(m, &v, KYMO_NODE_SOCKET) : failed_there(m, &v);
    }
    if (!v.ok)
        return failed_there(m, &v);
    if (!v.way.is_lost && v.way.slot != NONE && slot_at(m, v.way.slot)->now != IS_THERE) {
        struct slot *s = slot_at(m, v.way.slot);
        uint32_t inode;
        if (s->first == IS_UNKNOWN)
            s->first = IS_ABSENT;
        s->now = IS_THERE;
        KYMO_TRY(inode_new(m, KYMO_NODE_SOCKET, 0, &inode));
        KYMO_TRY(name_it(m, v.way.slot, inode));
    }
    return KYMO_OK;
}

static kymo_status one_path(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct lower_row *row = m->row[call];
    struct visit v = {.call = call, .c = c, .ok = c->ret >= 0, .error = (int)-c->ret};
    const int found = v.ok || c->ret == -EEXIST || c->ret == -EISDIR || c->ret == -ENOTEMPTY ||
                      c->ret == -ENXIO || c->ret == -ELOOP || c->ret == -EINVAL;
    if (!text_of(m, c->path)[0])
        return KYMO_OK;
    KYMO_TRY(visit_path(m, &v, text_of(m, c->path), m->note[call].object,
                        (row->flags & ROW_AT) != 0, found));
    if (!v.ok)
        return failed_there(m, &v);
    switch (row->op) {
    case OP_OPEN:
        return opens(m, &v);
    case OP_MKDIR:
        return makes(m, &v, KYMO_NODE_DIR);
    case OP_MKNOD:
        return makes(m, &v, kind_of_mode(c->arg[row->arg]));
    case OP_REMOVE:
        return removes(m, &v);
    case OP_READLINK:
        return reads_link(m, &v);
    case OP_EXEC:
        return KYMO_OK;
    default:
        return looks(m, &v);
    }
}

kymo_status tree_exit(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct lower_row *row = m->row[call];
    if (row->op == OP_BIND || row->op == OP_CONNECT)
        return sockets(m, call);
    if (row->op == OP_FCHDIR && is_ok(c) && m->note[call].object != NONE &&
        object_at(m, m->note[call].object)->inode != NONE) {
        const uint32_t inode = object_at(m, m->note[call].object)->inode;
        be_kind(m, inode, KYMO_NODE_DIR);
        proc_at(m, proc_of_call(m, call))->cwd = inode;
        return KYMO_OK;
    }
    if (!has_ret(c) || !(c->has & KYMO_TRACE_HAS_PATH) || c->ret < -4095)
        return KYMO_OK;
    switch (row->op) {
    case OP_OPEN:
    case OP_LOOK:
    case OP_MKDIR:
    case OP_MKNOD:
    case OP_REMOVE:
    case OP_READLINK:
    case OP_TRUNCATE:
    case OP_CHDIR:
    case OP_EXEC:
        return one_path(m, call);
    case OP_RENAME:
    case OP_LINK:
        return two_paths(m, call);
    case OP_SYMLINK:
        return links(m, call);
    default:
        return KYMO_OK;
    }
}

kymo_status tree_begin(struct maker *m)
{
    m->root = 0;
    KYMO_TRY(inode_new(m, KYMO_NODE_DIR, 1, &m->root));
    return KYMO_OK;
}
