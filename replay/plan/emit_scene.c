/* SPDX-License-Identifier: Apache-2.0
 * emit_scene.c: the tree, what was open at the start, and what the environment does, as C.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "replay/plan/emit_own.h"

/* ---- files ---- */

static void put_node(struct emit *e, struct kymo_buf *out, const struct kymo_inode *n)
{
    static const char *const how[] = {
        [KYMO_NODE_DIR] = "tree_dir",       [KYMO_NODE_FILE] = "tree_file",
        [KYMO_NODE_LINK] = "tree_link",     [KYMO_NODE_FIFO] = "tree_fifo",
        [KYMO_NODE_SOCKET] = "tree_socket", [KYMO_NODE_DEVICE] = "tree_device"};
    if (n->kind < KYMO_NODE_DIR || n->kind > KYMO_NODE_DEVICE)
        return;
    const char *base = strrchr(emit_blob_text(e, n->path), '/');
    kymo_buf_printf(out, "%s(", how[n->kind]);
    emit_text(e, out, n->path);
    if (n->kind == KYMO_NODE_FILE)
        kymo_buf_printf(out, ", 0%" PRIo32 ", %" PRIu64, n->mode & 07777,
                        n->size_bytes < INT64_MAX ? n->size_bytes : INT64_MAX);
    if (n->kind == KYMO_NODE_LINK || n->kind == KYMO_NODE_DEVICE)
        kymo_buf_printf(out, ", ");
    if (n->kind == KYMO_NODE_LINK)
        emit_text(e, out, n->target);
    if (n->kind == KYMO_NODE_DEVICE)
        emit_string(out, base ? base + 1 : "null", strlen(base ? base + 1 : "null"));
    kymo_buf_printf(out, ");");
    if (n->n_fill && n->kind == KYMO_NODE_DIR) {
        kymo_buf_printf(out, " tree_fill(");
        emit_text(e, out, n->path);
        kymo_buf_printf(out, ", %" PRIu32 ", %" PRIu32 ");", n->n_fill,
                        n->fill_bytes < 255 ? n->fill_bytes : 255);
    }
}

static void put_mode(struct emit *e, struct kymo_buf *out, const struct kymo_inode *n)
{
    kymo_buf_printf(out, "tree_mode(");
    emit_text(e, out, n->path);
    kymo_buf_printf(out, ", 0%" PRIo32 ");", n->mode & 07777);
}

#define FUNCTION_LINES_MAX 400u

/* The tree; modes of folders last, so that what is below them can be made. */
static void put_tree(struct emit *e)
{
    struct kymo_buf *out = &e->body;
    const uint32_t n = e->image->n_first_nodes;
    uint32_t part = 0;
    for (uint32_t i = 0; i < n && i < e->image->node.n; i++) {
        if (i % FUNCTION_LINES_MAX == 0) {
            kymo_buf_printf(out, "%sstatic void makes_files_%" PRIu32 "(void)\n{\n",
                            part ? "}\n\n" : "", part + 1);
            part++;
        }
        kymo_buf_printf(out, "    ");
        put_node(e, out, &e->node[i]);
        kymo_buf_printf(out, "\n");
    }
    kymo_buf_printf(out, "%sstatic void makes_files(void)\n{\n", part ? "}\n\n" : "");
    for (uint32_t i = 1; i <= part; i++)
        kymo_buf_printf(out, "    makes_files_%" PRIu32 "();\n", i);
    for (uint32_t i = 0; i < n && i < e->image->node.n; i++)
        if (e->node[i].kind == KYMO_NODE_DIR && (e->node[i].mode & 07777) != 0755) {
            kymo_buf_printf(out, "    ");
            put_mode(e, out, &e->node[i]);
            kymo_buf_printf(out, "\n");
        }
    kymo_buf_printf(out, "}\n\n");
}

/* ---- what is open ---- */

/* An address of an object: a length, then the address. */
static void put_address(struct emit *e, struct kymo_buf *out, kymo_blob at)
{
    uint32_t n;
    if (!at || at >= e->n_blob || e->n_blob - at < sizeof(n)) {
        kymo_buf_printf(out, "NULL");
        return;
    }
    memcpy(&n, e->blob + at, sizeof(n));
    if (emit_addr(e, out, at + (kymo_blob)sizeof(n), n))
        return;
    const size_t most = e->n_blob - at - sizeof(n);
    e->parts |= PART_SOCKETS;
    kymo_buf_printf(out, "hidden(");
    if (n > 3 && n <= most)
        emit_string(out, e->blob + at + sizeof(n) + 3,
                    strnlen(e->blob + at + sizeof(n) + 3, n - 3));
    else
        kymo_buf_printf(out, "\"\"");
    kymo_buf_printf(out, ")");
}

static const char *family_name(uint16_t family)
{
    return family == AF_UNIX ? "AF_UNIX" : family == AF_INET6 ? "AF_INET6" : "AF_INET";
}

static int is_before(const struct emit *e, uint32_t pair, uint32_t i)
{
    return pair < e->image->object.n && pair < i && e->object[pair].pair == i;
}

/* Both ends of something, by the one that comes first. */
static void put_ends(struct emit *e, struct kymo_buf *out, uint32_t i)
{
    const struct kymo_iobject *o = &e->object[i];
    const int64_t pair = o->pair < e->image->object.n ? (int64_t)o->pair : -1;
    if (o->kind == KYMO_OBJECT_STREAM) {
        e->parts |= PART_PEERS | PART_SOCKETS;
        kymo_buf_printf(out, "connected(%" PRIu32 ", %" PRId64 ", %s, %s);", i, pair,
                        family_name(o->family), o->flags & O_NONBLOCK ? "O_NONBLOCK" : "0");
        return;
    }
    const int is_writer = (o->flags & O_ACCMODE) == O_WRONLY;
    kymo_buf_printf(out, "piped(%" PRId64 ", %" PRId64 ", %s);", is_writer ? pair : (int64_t)i,
                    is_writer ? (int64_t)i : pair, o->flags & O_NONBLOCK ? "O_NONBLOCK" : "0");
}

static void put_socket(struct emit *e, struct kymo_buf *out, uint32_t i)
{
    const struct kymo_iobject *o = &e->object[i];
    e->parts |= PART_PEERS | PART_SOCKETS;
    if (o->kind == KYMO_OBJECT_LISTEN) {
        kymo_buf_printf(out, "listened(%" PRIu32 ", ", i);
        if (o->local)
            put_address(e, out, o->local);
        else
            kymo_buf_printf(out, "in4(\"127.0.0.1\", 0)");
        kymo_buf_printf(out, ", %s);", o->flags & O_NONBLOCK ? "O_NONBLOCK" : "0");
        return;
    }
    kymo_buf_printf(out, "datagrams(%" PRIu32 ", %s, ", i, family_name(o->family));
    put_address(e, out, o->local);
    kymo_buf_printf(out, ", ");
    put_address(e, out, o->peer);
    kymo_buf_printf(out, ");");
}

static void put_object(struct emit *e, struct kymo_buf *out, uint32_t i)
{
    const struct kymo_iobject *o = &e->object[i];
    const char *flags = o->flags & O_NONBLOCK ? "O_NONBLOCK" : "0";
    switch (o->kind) {
    case KYMO_OBJECT_FILE:
        kymo_buf_printf(out, "opened(%" PRIu32 ", ", i);
        emit_text(e, out, o->path);
        kymo_buf_printf(out, ", ");
        if (!emit_flags(out, "openat", 2, (const uint64_t[6]){0, 0, o->flags}))
            kymo_buf_printf(out, "O_RDONLY");
        kymo_buf_printf(out, ", %" PRIu64 ");", o->at < INT64_MAX ? o->at : 0);
        break;
    case KYMO_OBJECT_PIPE:
    case KYMO_OBJECT_STREAM:
        put_ends(e, out, i);
        break;
    case KYMO_OBJECT_LISTEN:
    case KYMO_OBJECT_DGRAM:
        put_socket(e, out, i);
        break;
    case KYMO_OBJECT_EPOLL:
        kymo_buf_printf(out, "keep(%" PRIu32 ", epoll_create1(0));", i);
        break;
    case KYMO_OBJECT_TIMER:
        kymo_buf_printf(out, "evented(%" PRIu32 ", timerfd_create(CLOCK_MONOTONIC, 0), %s);", i,
                        flags);
        break;
    case KYMO_OBJECT_SIGNAL:
        kymo_buf_printf(out, "signalled(%" PRIu32 ", %s);", i, flags);
        break;
    case KYMO_OBJECT_INOTIFY:
        kymo_buf_printf(out, "evented(%" PRIu32 ", inotify_init1(0), %s);", i, flags);
        break;
    default:
        kymo_buf_printf(out, "evented(%" PRIu32 ", eventfd(0, 0), %s);", i, flags);
        break;
    }
}

/* Objects that an act of the environment makes are not there at the start. */
static uint8_t *made_later(struct emit *e)
{
    uint8_t *later = KYMO_NEW(&e->arena, uint8_t, e->image->object.n);
    for (uint64_t i = 0; later && i < e->image->act.n; i++) {
        const uint32_t kind = e->act[i].kind;
        if ((kind == KYMO_ACT_LISTEN || kind == KYMO_ACT_CONNECT || kind == KYMO_ACT_ACCEPT) &&
            e->act[i].object < e->image->object.n)
            later[e->act[i].object] = 1;
    }
    return later;
}

void emit_opens(struct emit *e)
{
    struct kymo_buf *out = &e->body;
    const uint8_t *later = made_later(e);
    struct kymo_buf lines = {0};
    for (uint32_t i = 0; later && i < e->image->object.n; i++) {
        const struct kymo_iobject *o = &e->object[i];
        const int is_pair = o->kind == KYMO_OBJECT_STREAM || o->kind == KYMO_OBJECT_PIPE;
        if (later[i] || (is_pair && is_before(e, o->pair, i)))
            continue;
        kymo_buf_printf(&lines, "    ");
        put_object(e, &lines, i);
        kymo_buf_printf(&lines, "\n");
    }
    kymo_buf_printf(out, "static void opens_all(void)\n{\n");
    if (e->parts & PART_SOCKETS)
        kymo_buf_printf(out, "    if (!has_own_net)\n        find_places();\n");
    kymo_buf_put(out, lines.p, lines.n);
    kymo_buf_printf(out, "}\n\n");
    out->failed |= lines.failed || !later;
    kymo_buf_release(&lines);
}

/* What an epoll instance was told of before the start, by process p, whose descriptor `epoll` is. */
static void put_watches(struct emit *e, uint32_t p, uint32_t epoll, kymo_blob watch)
{
    uint32_t n, w[3];
    if (!watch || watch >= e->n_blob || e->n_blob - watch < sizeof(n))
        return;
    memcpy(&n, e->blob + watch, sizeof(n));
    const char *s = e->blob + watch + sizeof(n);
    const uint64_t most = (e->n_blob - watch - sizeof(n)) / sizeof(w);
    for (uint32_t i = 0; i < n && i < most; i++) {
        memcpy(w, s + i * sizeof(w), sizeof(w));
        if (w[0] == p && w[1] < KYMO_FDS_MAX)
            kymo_buf_printf(&e->body, "    watches(%" PRIu32 ", %" PRIu32 ", 0x%" PRIx32 ");\n",
                            epoll, w[1], w[2]);
    }
}

static void put_opens(struct emit *e, uint32_t p)
{
    const struct kymo_iprocess *q = &e->process[p];
    const uint64_t end = (uint64_t)q->start + q->n_starts;
    kymo_buf_printf(&e->body, "static void opens_%" PRIu32 "(void) /* %s */\n{\n", p,
                    e->name[q->leader]);
    for (uint64_t i = q->start; i < end && i < e->image->start.n; i++) {
        const struct kymo_istart *s = &e->start[i];
        if (s->fd >= KYMO_FDS_MAX || s->object >= e->image->object.n)
            continue;
        e->n_fd = e->n_fd > s->fd ? e->n_fd : s->fd + 1;
        kymo_buf_printf(&e->body, "    has(%" PRIu32 ", %" PRIu32 ", %s);\n", s->fd, s->object,
                        s->cloexec ? "O_CLOEXEC" : "0");
    }
    for (uint64_t i = q->start; i < end && i < e->image->start.n; i++)
        if (e->start[i].object < e->image->object.n &&
            e->object[e->start[i].object].kind == KYMO_OBJECT_EPOLL)
            put_watches(e, p, e->start[i].fd, e->object[e->start[i].object].watch);
    kymo_buf_printf(&e->body, "    works_in(");
    emit_text(e, &e->body, q->cwd);
    kymo_buf_printf(&e->body, ", 0%" PRIo32 ");\n}\n\n", q->umask & 0777);
}

/* ---- what others did ---- */

static void put_tree_act(struct emit *e, struct kymo_buf *out, const struct kymo_iact *a)
{
    const struct kymo_inode *n = a->other < e->image->node.n ? &e->node[a->other] : NULL;
    kymo_buf_printf(out, "begin(\"a file by the environment\");\n");
    if (n && a->n == 0)
        put_node(e, out, n);
    else if (n && a->n == 1) {
        kymo_buf_printf(out, "tree_remove(");
        emit_text(e, out, n->path);
        kymo_buf_printf(out, ");");
    } else if (n && a->n == 2) {
        kymo_buf_printf(out, "tree_size(");
        emit_text(e, out, n->path);
        kymo_buf_printf(out, ", %" PRIu64 ");",
                        n->size_bytes < INT64_MAX ? n->size_bytes : INT64_MAX);
    } else if (n)
        put_mode(e, out, n);
    kymo_buf_printf(out, "\nacted(1, __LINE__);");
}

static void put_meeting(struct emit *e, struct kymo_buf *out, const struct kymo_iact *a)
{
    const struct kymo_iobject *o = &e->object[a->object];
    if ((a->kind == KYMO_ACT_LISTEN && !o->local) ||
        (a->kind == KYMO_ACT_CONNECT && !o->peer)) {
        kymo_buf_printf(out, "passes();"); /* nobody knows where */
        return;
    }
    e->parts |= PART_ACTPEERS | PART_PEERS | PART_SOCKETS;
    if (a->kind == KYMO_ACT_LISTEN) {
        kymo_buf_printf(out, "act_listen(%" PRIu32 ", ", a->object);
        put_address(e, out, o->local);
    } else if (a->kind == KYMO_ACT_CONNECT) {
        kymo_buf_printf(out, "act_connect(%" PRIu32 ", %s, ", a->object,
                        o->kind == KYMO_OBJECT_DGRAM ? "SOCK_DGRAM" : "SOCK_STREAM");
        put_address(e, out, o->local);
        kymo_buf_printf(out, ", ");
        put_address(e, out, o->peer);
    } else
        kymo_buf_printf(out, "act_accept(%" PRIu32 ", %" PRIu32, a->object,
                        a->other < e->image->object.n ? a->other : a->object);
    kymo_buf_printf(out, ");");
}

static void put_act(struct emit *e, struct kymo_buf *out, const struct kymo_iact *a)
{
    static const char *const plain[] = {[KYMO_ACT_SEND] = "act_send",
                                        [KYMO_ACT_RECV] = "act_receive",
                                        [KYMO_ACT_SHUT] = "act_shut",
                                        [KYMO_ACT_CLOSE] = "act_close",
                                        [KYMO_ACT_RESET] = "act_reset"};
    const int has_object = a->object < e->image->object.n;
    if (a->kind == KYMO_ACT_TREE)
        put_tree_act(e, out, a);
    else if (a->kind == KYMO_ACT_SIGNAL && a->other && a->other < e->image->actor.n &&
             e->is_there[a->other]) {
        e->parts |= PART_ACTOTHERS | PART_PEOPLE;
        kymo_buf_printf(out, "act_signal(%s, %" PRIu64 ");", e->name[a->other], a->n & 127);
    } else if (a->kind == KYMO_ACT_WAKE) {
        e->parts |= PART_ACTOTHERS | PART_PEOPLE;
        e->n_word = e->n_word > a->other ? e->n_word : a->other + 1;
        kymo_buf_printf(out, "act_wake(%" PRIu32 ", %d);", a->other, (int)(a->n & INT32_MAX));
    } else if (has_object && a->kind >= KYMO_ACT_LISTEN && a->kind <= KYMO_ACT_ACCEPT)
        put_meeting(e, out, a);
    else if (has_object && a->kind >= KYMO_ACT_SEND && a->kind <= KYMO_ACT_RESET) {
        kymo_buf_printf(out, "%s(%" PRIu32, plain[a->kind], a->object);
        if (a->kind <= KYMO_ACT_RECV) {
            kymo_buf_printf(out, ", ");
            emit_hole(e, out, HOLE_NUMBER, (int64_t)(a->n < INT64_MAX ? a->n : INT64_MAX));
        }
        kymo_buf_printf(out, ");");
    } else
        kymo_buf_printf(out, "passes();");
}

static int put_acts(struct emit *e)
{
    for (uint64_t i = 0; i < e->image->act.n; i++) {
        struct piece *p = emit_piece_begin(e);
        if (!p)
            return -1;
        e->parts |= PART_ACTS;
        emit_deps(e, &e->text, e->act[i].dep, e->act[i].n_deps);
        put_act(e, &e->text, &e->act[i]);
        emit_piece_end(e, p);
    }
    return 0;
}

int emit_scene(struct emit *e)
{
    put_tree(e);
    kymo_buf_printf(&e->body, "static MAY void opens_nothing(void)\n{\n}\n\n");
    for (uint32_t p = 0; p < e->image->process.n; p++)
        if (emit_is_root(e, p))
            put_opens(e, p);
    kymo_buf_printf(&e->body, "static void (*const opens[])(void) = {"); /* by process */
    for (uint32_t p = 0; p < e->image->process.n; p++) {
        kymo_buf_printf(&e->body, "%s", p ? ", " : "");
        if (emit_is_root(e, p))
            kymo_buf_printf(&e->body, "opens_%" PRIu32, p);
        else
            kymo_buf_printf(&e->body, "opens_nothing");
    }
    kymo_buf_printf(&e->body, "};\n\n");
    emit_pieces_clear(e);
    if (put_acts(e))
        return -1;
    emit_pieces(e, "environment");
    kymo_buf_printf(&e->body,
                    "static void *play_environment(void *unused)\n{\n    (void)unused;\n"
                    "    me = &all->who[environment];\n    run_environment();\n"
                    "    return NULL;\n}\n\n");
    return e->body.failed ? -1 : 0;
}
