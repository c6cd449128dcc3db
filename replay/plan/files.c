/* SPDX-License-Identifier: Apache-2.0
 * files.c: how long files are, and where in them a descriptor stands, as reads and writes show it.
 *
 * A read that got less than it asked for has seen the end. As long as nobody of the slice gave the file a size,
 * that is where it ended at the start; where it contradicts what is known, somebody else changed it meanwhile.
 */
#include <fcntl.h>
#include <unistd.h>

#include "replay/plan/compile_own.h"

#define FILE_BYTES_MAX ((uint64_t)1 << 46)

static int has_size(const struct maker *m, uint32_t inode)
{
    const uint8_t kind = inode == NONE ? KYMO_NODE_DEVICE : inode_at(m, inode)->kind;
    return kind == 0 || kind == KYMO_NODE_FILE;
}

static kymo_status file_use(struct maker *m, uint32_t call, uint32_t inode, int writes)
{
    uint32_t resource;
    KYMO_TRY(tree_resource(m, inode, &resource));
    if (!writes)
        inode_at(m, inode)->is_read = 1;
    return use_add(m, call, resource, writes);
}

/* It is so long now, which the slice did not do. */
static kymo_status changed(struct maker *m, uint32_t call, uint32_t inode, uint64_t bytes)
{
    struct inode *i = inode_at(m, inode);
    i->size = bytes;
    i->size_known = i->is_cut = 1;
    return tree_change(m, call, inode, i->slot, 2);
}

kymo_status tree_read(struct maker *m, uint32_t call, uint32_t inode, uint64_t at,
                      uint64_t want, uint64_t got)
{
    struct inode *i = inode_at(m, inode);
    if (!has_size(m, inode) || at > FILE_BYTES_MAX || got > FILE_BYTES_MAX)
        return KYMO_OK;
    const uint64_t end = at + got;
    const int is_end = got < want;
    if (got)
        i->kind = i->kind ? i->kind : KYMO_NODE_FILE;
    if (i->size_known) {
        const int fits = is_end ? end == i->size || (!got && at >= i->size) : end <= i->size;
        return fits ? KYMO_OK : changed(m, call, inode, end);
    }
    if (is_end && end < i->size)
        return changed(m, call, inode, end);
    if (end > i->size && (got || !is_end)) {
        i->size = end;
        if (!i->is_cut && end > i->size0)
            i->size0 = end;
    }
    if (is_end)
        i->size_known = 1;
    return KYMO_OK;
}

kymo_status tree_write(struct maker *m, uint32_t inode, uint64_t at, uint64_t got)
{
    struct inode *i = inode_at(m, inode);
    if (!has_size(m, inode) || at > FILE_BYTES_MAX || got > FILE_BYTES_MAX)
        return KYMO_OK;
    i->kind = KYMO_NODE_FILE;
    if (at + got > i->size)
        i->size = at + got;
    return KYMO_OK;
}

kymo_status tree_resize(struct maker *m, uint32_t call, uint32_t inode, uint64_t bytes)
{
    struct inode *i = inode_at(m, inode);
    if (!has_size(m, inode) || bytes > FILE_BYTES_MAX)
        return KYMO_OK;
    i->kind = KYMO_NODE_FILE;
    i->size = bytes;
    i->size_known = i->is_cut = i->is_read = 1;
    return file_use(m, call, inode, 1);
}

static kymo_status takes(struct maker *m, uint32_t call, uint32_t object, uint64_t want)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct object *o = object_at(m, object);
    const int is_placed = (m->row[call]->flags & ROW_PLACED) && (int64_t)c->arg[3] != -1;
    const uint64_t at = is_placed ? c->arg[3] : o->offset, got = (uint64_t)c->ret;
    if (!is_placed)
        o->offset += got;
    KYMO_TRY(file_use(m, call, o->inode, 0));
    return tree_read(m, call, o->inode, at, want, got);
}

static kymo_status gives(struct maker *m, uint32_t call, uint32_t object)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct object *o = object_at(m, object);
    const int is_placed = (m->row[call]->flags & ROW_PLACED) && (int64_t)c->arg[3] != -1;
    const uint64_t got = (uint64_t)c->ret;
    uint64_t at = is_placed ? c->arg[3] : o->offset;
    if (o->flags & O_APPEND)
        at = inode_at(m, o->inode)->size;
    if (!is_placed)
        o->offset = at + got;
    KYMO_TRY(tree_write(m, o->inode, at, got));
    return file_use(m, call, o->inode, 1);
}

/* What the call asked for, where a single argument says so. */
static uint64_t asked(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint8_t flags = m->row[call]->flags;
    if (flags & (ROW_VECTOR | ROW_MSG))
        return (uint64_t)c->ret; /* not known: whether that was the end */
    return c->arg[2];
}

static kymo_status moves(struct maker *m, uint32_t call)
{
    const struct note *n = &m->note[call];
    const struct kymo_trace_call *c = call_at(m, call);
    const int to_first = m->row[call]->arg == 1;
    const uint32_t in = to_first ? n->object2 : n->object,
                   out = to_first ? n->object : n->object2;
    const uint64_t want = to_first ? c->arg[3] : c->arg[4];
    if (in != NONE && object_at(m, in)->kind == O_FILE && object_at(m, in)->inode != NONE)
        KYMO_TRY(takes(m, call, in, want < 0x7ffff000u ? want : (uint64_t)c->ret));
    if (out != NONE && object_at(m, out)->kind == O_FILE && object_at(m, out)->inode != NONE)
        return gives(m, call, out);
    return KYMO_OK;
}

static kymo_status seeks(struct maker *m, uint32_t call, struct object *o)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const uint64_t end = (uint64_t)c->ret - c->arg[1];
    o->offset = (uint64_t)c->ret;
    if (c->arg[2] != SEEK_END || end > FILE_BYTES_MAX)
        return KYMO_OK;
    KYMO_TRY(file_use(m, call, o->inode, 0));
    /* the end is there: as if a read up to it, and one behind it, had found nothing more */
    KYMO_TRY(tree_read(m, call, o->inode, 0, end, end));
    return tree_read(m, call, o->inode, end, 1, 0);
}

static kymo_status lists(struct maker *m, uint32_t call, struct object *o)
{
    struct inode *i = inode_at(m, o->inode);
    i->kind = i->kind ? i->kind : KYMO_NODE_DIR;
    o->offset += (uint64_t)call_at(m, call)->ret;
    if (o->offset > i->dents_bytes && o->offset < FILE_BYTES_MAX)
        i->dents_bytes = o->offset;
    return file_use(m, call, o->inode, 0);
}

kymo_status files_use(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    const struct note *n = &m->note[call];
    const uint8_t op = m->row[call]->op;
    if (!is_ok(c) || c->ret < 0)
        return KYMO_OK;
    if (op == OP_MOVE)
        return moves(m, call);
    struct object *o = n->object == NONE ? NULL : object_at(m, n->object);
    if (!o || o->kind != O_FILE || o->inode == NONE)
        return KYMO_OK;
    switch (op) {
    case OP_READ:
        return takes(m, call, n->object, asked(m, call));
    case OP_WRITE:
        return gives(m, call, n->object);
    case OP_SEEK:
        return seeks(m, call, o);
    case OP_LIST:
        return lists(m, call, o);
    case OP_RESIZE:
        if (!m->row[call]->arg)
            return tree_resize(m, call, o->inode, c->arg[1]);
        if (!(c->arg[1] & 1)) /* fallocate, unless it keeps the size */
            KYMO_TRY(tree_write(m, o->inode, c->arg[2], c->arg[3]));
        return file_use(m, call, o->inode, 1);
    case OP_MMAP:
        if (c->arg[1] < FILE_BYTES_MAX && c->arg[5] < FILE_BYTES_MAX &&
            c->arg[5] + c->arg[1] > inode_at(m, o->inode)->hint)
            inode_at(m, o->inode)->hint = c->arg[5] + c->arg[1];
        return KYMO_OK;
    default:
        return KYMO_OK;
    }
}
