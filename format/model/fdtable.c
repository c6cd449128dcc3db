/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/fdtable.h"

#include <stdlib.h>
#include <string.h>

#include "format/model/births.h"
#include "format/model/fdcall.h"
#include "format/model/opens.h"

#define AT_CWD (-100)
#define DUP_FD 0
#define SET_FD 2
#define DUP_FD_CLOEXEC 1030
#define FD_CLOEXEC_BIT 1u
#define RANGE_UNSHARE 2u
#define RANGE_CLOEXEC 4u
#define CLONE_FILES_BIT 0x400u
#define CLONE_THREAD_BIT 0x10000u
#define MAP_ANONYMOUS_BIT 0x20u
#define EINPROGRESS_NR 115
#define EBADF_NR 9
#define ARGS 5u
#define JOIN_BYTES (2 * KYMO_FD_TEXT_MAX + 2)

enum column {
    C_TS,
    C_PID,
    C_START,
    C_ARCH,
    C_NR,
    C_FLAGS,
    C_RET,
    C_PATH,
    C_ADDR,
    C_ARG0,
    C_COUNT = C_ARG0 + ARGS
};
static const char *const column_name[C_COUNT] = {
    "ts",   "pid",  "start", "arch", "nr",   "flags", "ret",
    "path", "addr", "arg0",  "arg1", "arg2", "arg3",  "arg4",
};

struct kymo_fdtable {
    struct kymo_fdset *set;
    size_t cap_bytes;
    struct kymo_births births;
    struct kymo_opens opens;
    /* of the batch at hand */
    const struct kymo_batch *b;
    int column[C_COUNT];
    const struct kymo_fd_callinfo *call[KYMO_CHUNK_KEYS_MAX];
    /* of the row at hand */
    struct kymo_fdname *held; /* what `about` points into */
    char join[JOIN_BYTES];
};

kymo_status kymo_fdtable_open(struct kymo_fdtable **out, size_t cap_bytes, struct kymo_err *err)
{
    struct kymo_fdtable *t = calloc(1, sizeof(*t));
    if (!t)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for descriptors");
    t->cap_bytes = cap_bytes;
    kymo_status s = kymo_opens_init(&t->opens, err);
    if (!s)
        s = kymo_fdset_open(&t->set, cap_bytes, err);
    if (s) {
        kymo_fdtable_close(t);
        return s;
    }
    *out = t;
    return KYMO_OK;
}

void kymo_fdtable_close(struct kymo_fdtable *t)
{
    if (!t)
        return;
    if (t->set)
        kymo_fdname_drop(t->set, t->held);
    kymo_fdset_close(t->set);
    kymo_births_release(&t->births);
    kymo_opens_release(&t->opens);
    free(t);
}

kymo_status kymo_fdtable_rewind(struct kymo_fdtable *t, struct kymo_err *err)
{
    struct kymo_fdset *fresh;
    KYMO_TRY(kymo_fdset_open(&fresh, t->cap_bytes, err));
    kymo_fdname_drop(t->set, t->held);
    t->held = NULL;
    kymo_fdset_close(t->set);
    t->set = fresh;
    t->births.at = 0;
    t->opens.at = 0;
    return KYMO_OK;
}

uint64_t kymo_fdtable_forgotten(const struct kymo_fdtable *t)
{
    return kymo_fdset_forgotten(t->set);
}

kymo_status kymo_fdtable_learn(struct kymo_fdtable *t, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    kymo_opens_learn(&t->opens, b);
    return kymo_births_learn(&t->births, b, err);
}

/* What snapshots say up to a time. */
static void apply_opens(struct kymo_fdtable *t, uint64_t until_ns)
{
    for (const struct kymo_open *e; (e = kymo_opens_next(&t->opens, until_ns)) != NULL;) {
        struct kymo_fdproc *p = kymo_fdset_process(t->set, e->pid, e->start_ns);
        struct kymo_fdname *name =
            p ? kymo_fdset_name(t->set, e->what->kind, e->what->text, e->what->n) : NULL;
        if (!name)
            continue;
        if (e->fd == KYMO_OPENS_CWD)
            kymo_fdset_chdir(t->set, p, name);
        else
            kymo_fdset_tell(t->set, p, e->fd, name);
        kymo_fdname_drop(t->set, name);
    }
}

static void apply_birth(struct kymo_fdtable *t, const struct kymo_birth *e)
{
    struct kymo_fdproc *p = kymo_fdset_known(t->set, e->pid);
    if (e->kind == KYMO_BIRTH_FORK)
        kymo_fdset_fork(t->set, e->ppid, e->pid, e->start_ns);
    else if (e->kind == KYMO_BIRTH_EXIT)
        kymo_fdset_exit(t->set, e->pid, e->start_ns);
    else if (p)
        kymo_fdset_exec(t->set, p);
}

/* What happened beside the calls, in the order of time. */
static void apply_beside(struct kymo_fdtable *t, uint64_t until_ns)
{
    for (const struct kymo_birth *e; (e = kymo_births_next(&t->births, until_ns)) != NULL;) {
        apply_opens(t, e->ts_ns - (e->ts_ns > 0));
        apply_birth(t, e);
    }
    apply_opens(t, until_ns);
}

/* -------- a batch -------- */

static int is_number(const struct kymo_schema *s, int column)
{
    return column >= 0 && s->column[column].type == KYMO_T_U64 && !s->column[column].nullable;
}

int kymo_fdtable_fits(const struct kymo_schema *s)
{
    for (int i = C_PID; i <= C_NR; i++)
        if (!is_number(s, kymo_schema_column(s, column_name[i])))
            return 0;
    for (int i = C_ARCH; i <= C_NR; i++)
        if (s->column[kymo_schema_column(s, column_name[i])].order != KYMO_ORDER_KEY)
            return 0;
    const int path = kymo_schema_column(s, "path"), ret = kymo_schema_column(s, "ret");
    const int arg0 = kymo_schema_column(s, "arg0"), addr = kymo_schema_column(s, "addr");
    return kymo_schema_ts(s) >= 0 && path >= 0 && s->column[path].type == KYMO_T_STR &&
           addr >= 0 && s->column[addr].type == KYMO_T_STR && ret >= 0 &&
           s->column[ret].type == KYMO_T_I64 && arg0 >= 0 && s->column[arg0].type == KYMO_T_U64;
}

void kymo_fdtable_need(const struct kymo_schema *s, uint8_t *want)
{
    for (int i = 0; i < C_COUNT; i++) {
        const int c = kymo_schema_column(s, column_name[i]);
        if (c >= 0)
            want[c] = 1;
    }
}

static const char *name_of_key(const struct kymo_fdtable *t, const struct kymo_names *names,
                               uint32_t key)
{
    const uint64_t *arch = t->b->lane[t->column[C_ARCH]], *nr = t->b->lane[t->column[C_NR]];
    return arch && nr ? kymo_names_call(names, arch[key], nr[key]) : NULL;
}

void kymo_fdtable_begin(struct kymo_fdtable *t, const struct kymo_batch *b,
                        const struct kymo_names *names)
{
    t->b = b;
    kymo_births_sort(&t->births);
    kymo_opens_sort(&t->opens);
    for (int i = 0; i < C_COUNT; i++)
        t->column[i] = kymo_schema_column(b->schema, column_name[i]);
    for (uint32_t k = 0; k < b->n_keys; k++) {
        const char *name = name_of_key(t, names, k);
        t->call[k] = name ? kymo_fd_callinfo(name) : NULL;
    }
}

/* -------- a row -------- */

/* One call, out of its columns. */
struct call {
    const struct kymo_fd_callinfo *info; /* NULL: nothing special */
    struct kymo_fdproc *p;
    uint64_t arg[ARGS], flags;
    int64_t ret;
    int has_ret, ok;
    const char *path, *addr; /* NULL: none */
    uint32_t path_bytes, addr_bytes;
};

static int present(const struct kymo_fdtable *t, enum column c, uint32_t row)
{
    return t->column[c] >= 0 && kymo_batch_present(t->b, (uint32_t)t->column[c], row);
}

static uint64_t lane(const struct kymo_fdtable *t, enum column c, uint32_t row)
{
    return present(t, c, row) ? kymo_batch_u64(t->b, (uint32_t)t->column[c], row) : 0;
}

static const char *text(const struct kymo_fdtable *t, enum column c, uint32_t row, uint32_t *n)
{
    if (!present(t, c, row))
        return NULL;
    const char *s = kymo_batch_str(t->b, (uint32_t)t->column[c], row, n);
    return *n ? s : NULL;
}

static void take_call(struct kymo_fdtable *t, uint32_t row, struct call *c)
{
    c->info = t->b->key ? t->call[t->b->key[row]] : NULL;
    c->p = kymo_fdset_process(t->set, lane(t, C_PID, row), lane(t, C_START, row));
    for (unsigned i = 0; i < ARGS; i++)
        c->arg[i] = lane(t, (enum column)(C_ARG0 + i), row);
    c->flags = lane(t, C_FLAGS, row);
    c->has_ret = present(t, C_RET, row);
    c->ret = (int64_t)lane(t, C_RET, row);
    c->ok = c->has_ret && (c->ret >= 0 || c->ret < -4095);
    c->path = text(t, C_PATH, row, &c->path_bytes);
    c->addr = text(t, C_ADDR, row, &c->addr_bytes);
}

static int64_t fd_arg(const struct call *c, int arg)
{
    return arg >= 0 ? (int64_t)(int32_t)(uint32_t)c->arg[arg] : -1;
}

/* Append path[n] to the directory out[at]. In one that begins with '/', or in none and a path that
 * does, "." and ".." are resolved by their text; what is relative to a directory that is not known keeps
 * its "..". */
static size_t append(char *out, size_t at, const char *path, size_t n)
{
    const int absolute = (at ? out[0] : path[0]) == '/';
    at = at == 1 && absolute ? 0 : at;
    for (size_t i = 0, len; i < n; i += len + 1) {
        for (len = 0; i + len < n && path[i + len] != '/';)
            len++;
        if (absolute && len == 2 && path[i] == '.' && path[i + 1] == '.') {
            while (at && out[--at] != '/')
                ;
        } else if (len && !(len == 1 && path[i] == '.')) {
            if (absolute || at)
                out[at++] = '/';
            memcpy(out + at, path + i, len);
            at += len;
        }
    }
    if (!at)
        out[at++] = absolute ? '/' : '.';
    return at;
}

/* The path of a call, joined to its directory where that is known; into t->join. 0: no path. */
static size_t join(struct kymo_fdtable *t, const struct call *c)
{
    const struct kymo_fdname *dir = NULL;
    const int arg = c->info ? c->info->dir : -1;
    if (!c->path || c->path_bytes > KYMO_FD_TEXT_MAX)
        return 0;
    if (c->p && c->path[0] != '/')
        dir = arg < 0 || fd_arg(c, arg) == AT_CWD ? kymo_fdset_cwd(c->p)
                                                  : kymo_fdset_get(c->p, fd_arg(c, arg));
    if (!dir || dir->kind != KYMO_FD_FILE)
        return append(t->join, 0, c->path, c->path_bytes);
    memcpy(t->join, dir->text, dir->n);
    return append(t->join, dir->n, c->path, c->path_bytes);
}

static void hold(struct kymo_fdtable *t, struct kymo_fdname *name)
{
    if (name)
        name->refs++;
    kymo_fdname_drop(t->set, t->held);
    t->held = name;
}

static void about_name(struct kymo_fdtable *t, struct kymo_fdname *name,
                       struct kymo_fd_about *out)
{
    hold(t, name);
    *out = (struct kymo_fd_about){.is_about = 1, .kind = KYMO_FD_UNKNOWN, .text = "?", .n = 1};
    if (!name)
        return;
    out->kind = name->kind;
    out->text = name->text;
    out->n = name->n;
    out->serial = name->serial;
}

static struct kymo_fdname *make_name(struct kymo_fdtable *t, enum kymo_fd_kind kind,
                                     const char *s, size_t n)
{
    return s && n ? kymo_fdset_name(t->set, kind, s, n) : NULL;
}

static struct kymo_fdname *made_name(struct kymo_fdtable *t, const char *word)
{
    return make_name(t, word && !strcmp(word, "[socket]") ? KYMO_FD_SOCKET : KYMO_FD_OTHER,
                     word, word ? strlen(word) : 0);
}

static int is_cloexec(const struct call *c)
{
    return c->info->flags >= 0 && (c->arg[c->info->flags] & c->info->cloexec);
}

/* fd is new and open on name, of which this takes the reference. */
static void opened(struct kymo_fdtable *t, const struct call *c, int64_t fd,
                   struct kymo_fdname *name, int cloexec)
{
    kymo_fdset_chosen(t->set, c->p, fd);
    kymo_fdset_put(t->set, c->p, fd, name, cloexec);
    kymo_fdname_drop(t->set, name);
}

/* The same descriptor is on something else now. */
static void renamed(struct kymo_fdtable *t, const struct call *c, struct kymo_fdname *name)
{
    if (name)
        kymo_fdset_rename(t->set, c->p, fd_arg(c, 0), name);
    kymo_fdname_drop(t->set, name);
}

static void do_pipes(struct kymo_fdtable *t, const struct call *c)
{
    int64_t fd = -1;
    for (int end = 0; end < 2; end++) {
        fd = kymo_fdset_lowest(c->p, fd + 1);
        if (fd >= 0)
            opened(t, c, fd, made_name(t, c->info->makes), is_cloexec(c));
    }
}

static void do_fcntl(struct kymo_fdtable *t, const struct call *c)
{
    const uint64_t cmd = c->arg[1];
    if (cmd == DUP_FD || cmd == DUP_FD_CLOEXEC)
        kymo_fdset_put(t->set, c->p, c->ret, kymo_fdset_get(c->p, fd_arg(c, 0)),
                       cmd == DUP_FD_CLOEXEC);
    else if (cmd == SET_FD)
        kymo_fdset_cloexec(t->set, c->p, fd_arg(c, 0), fd_arg(c, 0),
                           (c->arg[2] & FD_CLOEXEC_BIT) != 0);
}

static void do_dups(struct kymo_fdtable *t, const struct call *c)
{
    struct kymo_fdname *name = kymo_fdset_get(c->p, fd_arg(c, 0));
    if (c->ret == fd_arg(c, 0))
        return; /* dup2 of itself does nothing */
    if (!strcmp(c->info->name, "dup"))
        kymo_fdset_chosen(t->set, c->p, c->ret);
    kymo_fdset_put(t->set, c->p, c->ret, name, is_cloexec(c));
}

static void do_closes_range(struct kymo_fdtable *t, const struct call *c)
{
    const int64_t first = (int64_t)(uint32_t)c->arg[0], last = (int64_t)(uint32_t)c->arg[1];
    if (c->arg[2] & RANGE_UNSHARE)
        kymo_fdset_unshare(t->set, c->p);
    if (c->arg[2] & RANGE_CLOEXEC)
        kymo_fdset_cloexec(t->set, c->p, first, last, 1);
    else
        kymo_fdset_shut(t->set, c->p, first, last);
}

/* The peer, where it has a name; else what the listening socket is called. */
static void do_accepts(struct kymo_fdtable *t, const struct call *c)
{
    struct kymo_fdname *listening = kymo_fdset_get(c->p, fd_arg(c, 0));
    struct kymo_fdname *name = NULL;
    if (c->addr && c->addr[c->addr_bytes - 1] != ':')
        name = make_name(t, KYMO_FD_SOCKET, c->addr, c->addr_bytes);
    else if (listening)
        name = make_name(t, KYMO_FD_SOCKET, listening->text, listening->n);
    else
        name = made_name(t, "[socket]");
    opened(t, c, c->ret, name, is_cloexec(c));
}

/* Births are told by process rows, ahead of the child's first call. Where there are none, the parent's
 * return has to do; and it alone says that the table is shared. */
static void do_forks(struct kymo_fdtable *t, const struct call *c, uint64_t pid)
{
    const int is_clone = !strcmp(c->info->name, "clone");
    const uint64_t flags = is_clone ? c->arg[0] : 0;
    if (c->ret <= 0 || (c->flags & KYMO_CALL_CHILD) || (flags & CLONE_THREAD_BIT))
        return;
    if (!kymo_fdset_known(t->set, (uint64_t)c->ret))
        kymo_fdset_fork(t->set, pid, (uint64_t)c->ret, KYMO_FD_ANY_START);
    if (flags & CLONE_FILES_BIT)
        kymo_fdset_share(t->set, pid, (uint64_t)c->ret);
}

static void do_chdir(struct kymo_fdtable *t, const struct call *c, size_t joined)
{
    struct kymo_fdname *name = make_name(t, KYMO_FD_FILE, t->join, joined);
    kymo_fdset_chdir(t->set, c->p, name);
    kymo_fdname_drop(t->set, name);
}

/* What a call that did not fail changes. joined: bytes of its path in t->join. */
static void change(struct kymo_fdtable *t, const struct call *c, uint64_t pid, size_t joined)
{
    switch (c->info->op) {
    case KYMO_FD_OPENS:
        opened(t, c, c->ret, make_name(t, KYMO_FD_FILE, t->join, joined), is_cloexec(c));
        break;
    case KYMO_FD_CLOSES:
        kymo_fdset_shut(t->set, c->p, fd_arg(c, 0), fd_arg(c, 0));
        break;
    case KYMO_FD_CLOSES_RANGE:
        do_closes_range(t, c);
        break;
    case KYMO_FD_DUPS:
        do_dups(t, c);
        break;
    case KYMO_FD_FCNTL:
        do_fcntl(t, c);
        break;
    case KYMO_FD_PIPES:
        do_pipes(t, c);
        break;
    case KYMO_FD_MAKES:
        if (!strncmp(c->info->name, "signalfd", 8) && fd_arg(c, 0) >= 0)
            break; /* a new mask for an old one */
        opened(t, c, c->ret, made_name(t, c->info->makes), is_cloexec(c));
        break;
    case KYMO_FD_CONNECTS:
    case KYMO_FD_BINDS:
        renamed(t, c, make_name(t, KYMO_FD_SOCKET, c->addr, c->addr ? c->addr_bytes : 0));
        break;
    case KYMO_FD_ACCEPTS:
        do_accepts(t, c);
        break;
    case KYMO_FD_CHDIR:
        do_chdir(t, c, joined);
        break;
    case KYMO_FD_FCHDIR:
        kymo_fdset_chdir(t->set, c->p, kymo_fdset_get(c->p, fd_arg(c, 0)));
        break;
    case KYMO_FD_FORKS:
        do_forks(t, c, pid);
        break;
    case KYMO_FD_EXECS:
        kymo_fdset_exec(t->set, c->p);
        break;
    case KYMO_FD_UNSHARES:
        if (c->arg[0] & CLONE_FILES_BIT)
            kymo_fdset_unshare(t->set, c->p);
        break;
    default:
        break;
    }
}

static int makes_fd(enum kymo_fd_op op)
{
    return op == KYMO_FD_OPENS || op == KYMO_FD_MAKES || op == KYMO_FD_CONNECTS ||
           op == KYMO_FD_BINDS;
}

/* The descriptor that a call is about before it changes anything; -1 none. */
static int64_t used_fd(const struct call *c)
{
    if (!c->info || c->info->fd < 0 ||
        (c->info->op == KYMO_FD_MAPS && (c->arg[3] & MAP_ANONYMOUS_BIT)))
        return -1;
    const int64_t fd = fd_arg(c, c->info->fd);
    return fd == AT_CWD || (c->has_ret && c->ret == -EBADF_NR) ? -1 : fd;
}

/* A connection may be under way, and a close that was interrupted has closed. */
static int has_effect(const struct call *c)
{
    if (c->ok || !c->has_ret)
        return c->ok;
    return (c->info->op == KYMO_FD_CONNECTS && c->ret == -EINPROGRESS_NR) ||
           (c->info->op == KYMO_FD_CLOSES && c->ret != -EBADF_NR);
}

static void about_addr(const struct call *c, const struct kymo_fd_about *file,
                       struct kymo_fd_about *addr)
{
    *addr = (struct kymo_fd_about){0};
    if (c->addr) {
        *addr = (struct kymo_fd_about){
            .is_about = 1, .kind = KYMO_FD_SOCKET, .text = c->addr, .n = c->addr_bytes};
    } else if (file->is_about && file->kind == KYMO_FD_SOCKET && file->text[0] != '[') {
        *addr = *file;
    }
}

void kymo_fdtable_row(struct kymo_fdtable *t, uint32_t row, struct kymo_fd_about *file,
                      struct kymo_fd_about *addr)
{
    struct call c;
    *file = (struct kymo_fd_about){0};
    apply_beside(t, lane(t, C_TS, row));
    take_call(t, row, &c);
    const size_t joined = join(t, &c);
    const int64_t fd = used_fd(&c);
    if (joined)
        *file = (struct kymo_fd_about){
            .is_about = 1, .kind = KYMO_FD_FILE, .text = t->join, .n = (uint32_t)joined};
    else if (c.path)
        *file = (struct kymo_fd_about){.is_about = 1, .text = c.path, .n = c.path_bytes};
    else if (fd >= 0 && c.p)
        about_name(t, kymo_fdset_get(c.p, fd), file);
    if (c.p && c.info && has_effect(&c)) {
        if (fd >= 0)
            kymo_fdset_used(t->set, c.p, fd);
        change(t, &c, lane(t, C_PID, row), joined);
        if (makes_fd(c.info->op) && !joined)
            about_name(t, kymo_fdset_get(c.p, c.info->fd >= 0 ? fd_arg(&c, c.info->fd) : c.ret),
                       file);
    }
    if (addr)
        about_addr(&c, file, addr);
}
