/* SPDX-License-Identifier: Apache-2.0
 * tree_calls.c: what the result of each call says of the tree, and what it does to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "replay/plan/tree_own.h"

#define TMPFILE_BITS 020200000u
#define REMOVEDIR_BIT 0x200u
#define EXCHANGE_BIT 2u
#define NOFOLLOW_BIT 0x100u

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
    KYMO_TRY(tree_cwd_of(m, proc_of_call(m, v->call), &dir));
    if (is_at && dir_object != NONE && path[0] != '/') {
        const uint32_t inode = object_at(m, dir_object)->inode;
        dir = inode == NONE ? m->root : inode;
        if (found && inode != NONE)
            tree_be_kind(m, inode, KYMO_NODE_DIR);
    }
    return tree_walk_path(m, &p, dir, path, &v->way);
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
        KYMO_TRY(tree_walk_path(m, &p, i->parent, text_of(m, i->target), &w));
        if (w.is_lost) {
            *inode = NONE;
            break;
        }
        if (w.slot != NONE && slot_at(m, w.slot)->now == IS_UNKNOWN)
            KYMO_TRY(tree_be_there(m, v->call, w.slot));
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
        KYMO_TRY(tree_be_there(m, v->call, s));
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
                return up == NONE || slot_at(m, up)->now != IS_UNKNOWN
                           ? KYMO_OK
                           : tree_be_absent(m, NONE, up);
            }
        }
        inode_at(m, w.dir)->n_missed++;
        if (inode_at(m, w.dir)->deny & 1)
            m->note[v->call].how = KYMO_HOW_INJECT; /* whom the directory let in is not known */
        if (w.slot == NONE)
            return KYMO_OK;
        KYMO_TRY(tree_slot_use(m, v->call, w.slot, 0));
        return tree_be_absent(m, v->call, w.slot);
    case EACCES:
        if (w.slot != NONE && slot_at(m, w.slot)->now == IS_UNKNOWN &&
            (m->row[v->call]->op == OP_OPEN || strstr(m->row[v->call]->name, "access") ||
             m->row[v->call]->op == OP_EXEC))
            KYMO_TRY(tree_be_there(m, v->call, w.slot));
        return deny(m, v);
    case ENOTDIR:
        if (w.slot != NONE &&
            (w.wants_dir || m->row[v->call]->op == OP_OPEN || m->row[v->call]->op == OP_CHDIR ||
             m->row[v->call]->op == OP_REMOVE)) {
            KYMO_TRY(tree_be_there(m, v->call, w.slot));
            tree_be_kind(m, slot_at(m, w.slot)->inode, KYMO_NODE_FILE);
        } else if (w.slot != NONE) {
            const uint32_t up = inode_at(m, w.dir)->slot;
            if (up != NONE && slot_at(m, up)->now == IS_UNKNOWN) {
                KYMO_TRY(tree_be_there(m, v->call, up));
                tree_be_kind(m, w.dir, KYMO_NODE_FILE);
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
        return tree_be_there(m, v->call, slot);
    case EISDIR:
        KYMO_TRY(tree_be_there(m, v->call, slot));
        tree_be_kind(m, slot_at(m, slot)->inode, KYMO_NODE_DIR);
        return KYMO_OK;
    case ENOTEMPTY:
        KYMO_TRY(tree_be_there(m, v->call, slot));
        tree_be_kind(m, slot_at(m, slot)->inode, KYMO_NODE_DIR);
        inode_at(m, slot_at(m, slot)->inode)->is_full = 1;
        return KYMO_OK;
    case ENXIO:
    case ECONNREFUSED:
        KYMO_TRY(tree_be_there(m, v->call, slot));
        tree_be_kind(m, slot_at(m, slot)->inode,
                     op == OP_OPEN && (v->c->arg[m->row[v->call]->flags & ROW_AT ? 2 : 1] &
                                       (O_ACCMODE | O_NONBLOCK)) == (O_WRONLY | O_NONBLOCK)
                         ? KYMO_NODE_FIFO
                         : KYMO_NODE_SOCKET);
        return KYMO_OK;
    case ELOOP:
        KYMO_TRY(tree_be_there(m, v->call, slot));
        return tree_be_link(m, slot, 1);
    case EINVAL:
        return op == OP_READLINK ? tree_be_there(m, v->call, slot) : KYMO_OK;
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
            KYMO_TRY(tree_make_it(m, v->call, slot, KYMO_NODE_FILE, &inode));
            m->note[v->call].link = inode;
            return KYMO_OK;
        }
    }
    if (slot != NONE)
        KYMO_TRY(tree_be_there(m, v->call, slot));
    KYMO_TRY(lead_to(m, v, flags & O_NOFOLLOW && !(flags & O_PATH), &inode));
    m->note[v->call].link = inode;
    if (inode == NONE)
        return KYMO_OK;
    if (flags & O_DIRECTORY || v->way.wants_dir)
        tree_be_kind(m, inode, KYMO_NODE_DIR);
    else if ((flags & O_ACCMODE) != O_RDONLY)
        tree_be_kind(m, inode, KYMO_NODE_FILE);
    if (flags & O_TRUNC)
        KYMO_TRY(tree_resize(m, v->call, inode, 0));
    return slot == NONE ? KYMO_OK : tree_slot_use(m, v->call, slot, 0);
}

static kymo_status looks(struct maker *m, struct visit *v)
{
    const struct lower_row *row = m->row[v->call];
    const int flags = row->arg && row->op == OP_LOOK ? (int)v->c->arg[row->arg] : 0;
    uint32_t inode;
    if (v->way.is_lost)
        return KYMO_OK;
    if (v->way.slot != NONE) {
        KYMO_TRY(tree_be_there(m, v->call, v->way.slot));
        KYMO_TRY(tree_slot_use(m, v->call, v->way.slot, 0));
    }
    KYMO_TRY(lead_to(m, v, row->flags & ROW_NOFOLLOW || flags & (int)NOFOLLOW_BIT, &inode));
    m->note[v->call].link = inode;
    if (inode == NONE)
        return KYMO_OK;
    if (v->way.wants_dir)
        tree_be_kind(m, inode, KYMO_NODE_DIR);
    if (row->op == OP_CHDIR) {
        tree_be_kind(m, inode, KYMO_NODE_DIR);
        proc_at(m, proc_of_call(m, v->call))->cwd = inode;
    }
    if (row->op == OP_TRUNCATE) {
        tree_be_kind(m, inode, KYMO_NODE_FILE);
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
    KYMO_TRY(tree_be_there(m, v->call, slot));
    tree_be_kind(m, slot_at(m, slot)->inode, is_dir ? KYMO_NODE_DIR : KYMO_NODE_FILE);
    if (is_dir)
        inode_at(m, slot_at(m, slot)->inode)->dents_bytes = 0;
    struct slot *s = slot_at(m, slot);
    s->now = IS_ABSENT;
    s->inode = NONE;
    KYMO_TRY(tree_dir_use(m, v->call, s->dir, 1));
    return tree_slot_use(m, v->call, slot, 1);
}

static kymo_status reads_link(struct maker *m, struct visit *v)
{
    const uint32_t slot = v->way.slot;
    if (v->way.is_lost || slot == NONE)
        return KYMO_OK;
    KYMO_TRY(tree_be_there(m, v->call, slot));
    KYMO_TRY(tree_slot_use(m, v->call, slot, 0));
    return tree_be_link(m, slot, (uint32_t)v->c->ret);
}

/* Names that a second path gives: of, and to, what lies at the first. */
static kymo_status renames(struct maker *m, struct visit *from, struct visit *to)
{
    const uint32_t a = from->way.slot, b = to->way.slot;
    const struct lower_row *row = m->row[from->call];
    if (from->way.is_lost || to->way.is_lost || a == NONE || b == NONE)
        return KYMO_OK;
    KYMO_TRY(tree_be_there(m, from->call, a));
    const uint32_t inode = slot_at(m, a)->inode;
    if (row->op == OP_RENAME && row->arg && from->c->arg[row->arg] & EXCHANGE_BIT) {
        KYMO_TRY(tree_be_there(m, from->call, b));
        const uint32_t other = slot_at(m, b)->inode;
        KYMO_TRY(tree_name_it(m, b, inode));
        KYMO_TRY(tree_name_it(m, a, other));
    } else if (a != b) {
        struct slot *s = slot_at(m, b);
        if (s->first == IS_UNKNOWN)
            s->first = IS_ABSENT;
        KYMO_TRY(tree_name_it(m, b, inode));
        slot_at(m, b)->now = IS_THERE;
        inode_at(m, slot_at(m, b)->dir)->n_found++;
        if (row->op == OP_RENAME) {
            slot_at(m, a)->now = IS_ABSENT;
            slot_at(m, a)->inode = NONE;
        }
    }
    KYMO_TRY(tree_dir_use(m, from->call, slot_at(m, a)->dir, 1));
    KYMO_TRY(tree_dir_use(m, from->call, slot_at(m, b)->dir, 1));
    KYMO_TRY(tree_slot_use(m, from->call, a, 1));
    return tree_slot_use(m, from->call, b, 1);
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
            KYMO_TRY(tree_be_there(m, call, from.way.slot));
        return tree_be_there(m, call, to.way.slot);
    }
    if (c->ret == -ENOENT && !from.way.is_lost && from.way.slot != NONE &&
        slot_at(m, from.way.slot)->now != IS_THERE)
        return tree_be_absent(m, call, from.way.slot);
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
    KYMO_TRY(tree_make_it(m, call, v.way.slot, KYMO_NODE_LINK, &inode));
    inode_at(m, inode)->target = c->path;
    return KYMO_OK;
}

static kymo_status makes(struct maker *m, struct visit *v, uint8_t kind)
{
    uint32_t inode;
    return v->way.is_lost || v->way.slot == NONE
               ? KYMO_OK
               : tree_make_it(m, v->call, v->way.slot, kind, &inode);
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
    struct visit v = {.call = call,
                      .c = c,
                      .ok = c->ret >= 0,
                      .error = c->ret < 0 && c->ret >= -4095 ? (int)-c->ret : 0};
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
        KYMO_TRY(tree_name_it(m, v.way.slot, inode));
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
        tree_be_kind(m, inode, KYMO_NODE_DIR);
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
