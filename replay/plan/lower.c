/* SPDX-License-Identifier: Apache-2.0
 * lower.c: calls into the form in which they are issued: whether at all, and what each argument becomes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "format/trace/schema.h"
#include "replay/plan/compile_own.h"

#define ZEROS_BYTES 256u
#define BAD_POINTER 8u
#define LENGTH_OF_ADDRESS 128u

/* ---- whether ---- */

static int is_sleep(uint8_t op)
{
    return op == OP_EPOLL_WAIT || op == OP_POLL || op == OP_SELECT || op == OP_SLEEP ||
           op == OP_FUTEX || op == OP_READ || op == OP_ACCEPT || op == OP_WAIT ||
           op == OP_SIGWAIT;
}

static void set_how(struct kymo_icall *c, uint8_t how, uint8_t why)
{
    c->how = how;
    c->why = why;
}

/* Calls that are not made for what they are. */
static int is_decided(const struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct lower_row *row = m->row[call];
    if (t->foreign)
        set_how(c, KYMO_HOW_SKIP, KYMO_WHY_FOREIGN);
    else if (!row || t->here < 0)
        set_how(c, KYMO_HOW_SKIP, KYMO_WHY_UNKNOWN);
    else if (t->flags & KYMO_CALL_CHILD || row->op == OP_FOLLOWS)
        set_how(c, KYMO_HOW_SKIP, KYMO_WHY_FOLLOWS);
    else if (row->op == OP_POWER)
        set_how(c, KYMO_HOW_SKIP, KYMO_WHY_POWER);
    else if (is_unfinished(t) && (!is_sleep(row->op) || m->note[call].object == m->null_object))
        set_how(c, KYMO_HOW_SKIP, KYMO_WHY_UNFINISHED);
    else if (row->op == OP_SIMULATED)
        set_how(c, KYMO_HOW_INJECT, KYMO_WHY_SIMULATED);
    else if (row->op == OP_RESULT)
        set_how(c, KYMO_HOW_INJECT, t->ret < 0 ? KYMO_WHY_ERROR : KYMO_WHY_RESULT);
    else
        return 0;
    return 1;
}

/* What makes a task or leaves a program is made so, or not at all. */
static int is_structural(const struct lower_row *row, const struct kymo_trace_call *t)
{
    return row->op == OP_FORK || row->op == OP_EXIT || row->op == OP_FOLLOWS ||
           (row->op == OP_EXEC && (t->ret >= 0 || t->ret < -4095));
}

static void decide(const struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct note *n = &m->note[call];
    const struct lower_row *row = m->row[call];
    if (is_decided(m, call, c))
        return;
    set_how(c, KYMO_HOW_ISSUE, n->why);
    if (is_unfinished(t)) {
        c->why = KYMO_WHY_UNFINISHED;
    } else if (row->op == OP_EXIT) {
        c->how = KYMO_HOW_EXIT;
    } else if (!has_ret(t)) {
        set_how(c, KYMO_HOW_SKIP, KYMO_WHY_UNFINISHED);
    } else if (row->op == OP_FORK && t->ret > 0) {
        c->how = n->how;
    } else if (row->op == OP_EXEC && t->ret == 0) {
        c->how = KYMO_HOW_EXEC;
    } else if (t->ret < 0 && t->ret >= -4095) {
        if (n->how == KYMO_HOW_INJECT || !lower_fails_alone(m, call))
            set_how(c, KYMO_HOW_INJECT, KYMO_WHY_ERROR);
    } else if (n->how == KYMO_HOW_INJECT || !lower_works_alone(m, call)) {
        set_how(c, KYMO_HOW_INJECT, KYMO_WHY_RESULT);
    }
    if (c->why == KYMO_WHY_RESULT && row->how[0] == 'F' && n->object == NONE &&
        (uint32_t)t->arg[0] >= START_FDS_MAX)
        c->why = KYMO_WHY_BOUND;
    if (c->how == KYMO_HOW_ISSUE && is_structural(row, t))
        set_how(c, KYMO_HOW_INJECT, t->ret < 0 ? KYMO_WHY_ERROR : KYMO_WHY_RESULT);
}

/* ---- arguments ---- */

static kymo_status put_path(struct maker *m, struct kymo_icall *c, int i, uint32_t text,
                            int is_there)
{
    uint32_t at;
    if (!is_there) {
        arg_set(c, i, KYMO_ARG_IMM, c->ret == -EFAULT ? BAD_POINTER : 0);
        return KYMO_OK;
    }
    KYMO_TRY(blob_text(m, text_of(m, text), m->t->text_bytes[text], &at));
    /* the empty text lies at 0, too */
    arg_set(c, i, KYMO_ARG_BLOB, at);
    return KYMO_OK;
}

static kymo_status put_address(struct maker *m, struct kymo_icall *c, int i, uint32_t text)
{
    struct kymo_buf b = {0};
    uint32_t at = 0;
    sockaddr_of_text(text_of(m, text), &b);
    if (!b.n) {
        arg_set(c, i, KYMO_ARG_IMM, 0);
        arg_set(c, i + 1, KYMO_ARG_IMM, 0);
        return KYMO_OK;
    }
    const size_t bytes = b.n;
    const kymo_status s = b.failed ? maker_too_much(m) : blob_put(m, b.p, b.n, 8, &at);
    kymo_buf_release(&b);
    KYMO_TRY(s);
    arg_set(c, i, KYMO_ARG_BLOB, at);
    arg_set(c, i + 1, KYMO_ARG_IMM, bytes);
    return KYMO_OK;
}

static void put_size(const struct maker *m, uint32_t call, struct kymo_icall *c, int i)
{
    const struct note *n = &m->note[call];
    uint64_t size = n->size == SIZE_AS_IS ? call_at(m, call)->arg[i] : n->size;
    if (size > BUFFER_BYTES_MAX && size <= INT64_MAX) {
        size = BUFFER_BYTES_MAX;
        c->flags |= KYMO_ICALL_LONGER;
    }
    arg_set(c, i, KYMO_ARG_IMM, size);
}

static void put_pointer(struct kymo_icall *c, int i, uint64_t recorded, uint8_t kind,
                        uint64_t at)
{
    if (!recorded)
        arg_set(c, i, KYMO_ARG_IMM, 0);
    else if (c->ret == -EFAULT)
        arg_set(c, i, KYMO_ARG_IMM, BAD_POINTER);
    else
        arg_set(c, i, kind, at);
}

static kymo_status put_length(struct maker *m, struct kymo_icall *c, int i, uint64_t recorded)
{
    const uint32_t length = LENGTH_OF_ADDRESS;
    uint32_t at;
    KYMO_TRY(blob_put(m, &length, sizeof(length), 4, &at));
    put_pointer(c, i, recorded, KYMO_ARG_COPY, (uint64_t)at << 16 | sizeof(length));
    return KYMO_OK;
}

static void put_who(const struct maker *m, uint32_t call, struct kymo_icall *c, int i,
                    int is_tid)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint64_t id = t->arg[i] & UINT32_MAX;
    const uint32_t who = is_tid ? family_tid(m, id, t->exit_ns) : family_pid(m, id, t->exit_ns);
    if (!id || (int32_t)id < 0)
        arg_set(c, i, KYMO_ARG_IMM, (uint64_t)(int64_t)(int32_t)id);
    else if (who != NONE)
        arg_set(c, i, is_tid ? KYMO_ARG_TID : KYMO_ARG_PID, who);
    else
        arg_set(c, i, KYMO_ARG_IMM, NOBODY_PID);
}

static kymo_status put_argument(struct maker *m, uint32_t call, struct kymo_icall *c, int i,
                                char letter)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint64_t v = t->arg[i];
    switch (letter) {
    case 'F':
    case 'D':
        arg_fd(c, i, v, KYMO_ARG_FD);
        return KYMO_OK;
    case 'N':
        arg_fd(c, i, v, KYMO_ARG_FD_NEW);
        return KYMO_OK;
    case 'P':
        return put_path(m, c, i, t->path, t->has & KYMO_TRACE_HAS_PATH);
    case 'Q':
        return put_path(m, c, i, t->path2, t->has & KYMO_TRACE_HAS_PATH2);
    case 'A':
        return t->addr ? put_address(m, c, i, t->addr) : KYMO_OK;
    case 'o':
    case 'b':
        put_pointer(c, i, v, KYMO_ARG_SINK, 0);
        return KYMO_OK;
    case 'w':
        put_pointer(c, i, v, KYMO_ARG_PATTERN, 0);
        return KYMO_OK;
    case 'r':
        put_pointer(c, i, v, KYMO_ARG_BLOB, m->zeros);
        return KYMO_OK;
    case 'c':
        put_pointer(c, i, v, KYMO_ARG_COPY, (uint64_t)m->zeros << 16 | ZEROS_BYTES);
        return KYMO_OK;
    case 'z':
        put_size(m, call, c, i);
        return KYMO_OK;
    case 'L':
        return put_length(m, c, i, v);
    case 'p':
    case 't':
        put_who(m, call, c, i, letter == 't');
        return KYMO_OK;
    case 'T':
        arg_set(c, i, KYMO_ARG_WAIT, v ? dur_of(t) : UINT64_MAX);
        return KYMO_OK;
    case 'i':
        arg_set(c, i, KYMO_ARG_IMM, v);
        return KYMO_OK;
    default: /* nought, or what lower_special() makes of it */
        return KYMO_OK;
    }
}

/* ---- vectors and messages ---- */

struct vector { /* struct iovec, and the kernel's struct msghdr */
    uint64_t base, bytes;
};
struct message {
    uint64_t name;
    uint32_t name_bytes, pad;
    uint64_t vector, n;
    uint64_t control, control_bytes;
    uint32_t flags, pad2;
};

/* Bytes that a vector is to have in all, so that the result comes about. */
static uint64_t vector_bytes(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint64_t bytes = t->ret > 0                    ? (uint64_t)t->ret
                           : m->row[call]->op == OP_READ ? 4096
                                                         : 64;
    return bytes < BUFFER_BYTES_MAX ? bytes : BUFFER_BYTES_MAX;
}

static kymo_status vector_blob(struct maker *m, uint64_t base, uint64_t bytes, uint64_t n,
                               uint32_t *at)
{
    struct vector v[64];
    n = n > 64 ? 64 : n;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t part = i + 1 < n ? bytes / n : bytes - bytes / n * (n - 1);
        v[i] = (struct vector){base, part};
    }
    return blob_put(m, v, n * sizeof(v[0]), 8, at);
}

static kymo_status put_vector(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint64_t base = m->row[call]->op == OP_READ ? KYMO_SINK_BASE : KYMO_PATTERN_BASE;
    uint32_t at;
    const uint64_t n = t->arg[2] > 1024 ? t->arg[2] : t->arg[2] > 64 ? 64 : t->arg[2];
    KYMO_TRY(vector_blob(m, base, vector_bytes(m, call), n, &at));
    put_pointer(c, 1, t->arg[1], KYMO_ARG_BLOB, at);
    arg_set(c, 2, KYMO_ARG_IMM, n);
    if (n != t->arg[2])
        c->flags |= KYMO_ICALL_LONGER;
    return KYMO_OK;
}

/* n messages of one vector each; several are followed by their length each (struct mmsghdr). */
static kymo_status put_messages(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const int reads = m->row[call]->op == OP_READ, many = m->row[call]->arg == 1;
    const uint64_t base = reads ? KYMO_SINK_BASE : KYMO_PATTERN_BASE;
    const uint64_t n = !many ? 1 : t->arg[2] < 64 ? t->arg[2] : 64;
    const size_t step = sizeof(struct message) + (many ? 8 : 0);
    uint8_t all[64 * (sizeof(struct message) + 8)] = {0};
    uint32_t vector, at;
    KYMO_TRY(vector_blob(m, base, many ? 512 : vector_bytes(m, call), 1, &vector));
    for (uint64_t i = 0; i < n; i++) {
        const struct message one = {.vector = vector,
                                    .n = 1}; /* the place, for now: no two alike */
        memcpy(all + i * step, &one, sizeof(one));
    }
    KYMO_TRY(blob_put(m, all, n * step, 8, &at));
    for (uint64_t i = 0; i < n; i++)
        KYMO_TRY(blob_reloc(m, at + (uint32_t)(i * step + offsetof(struct message, vector)),
                            vector));
    put_pointer(c, 1, t->arg[1], KYMO_ARG_COPY, (uint64_t)at << 16 | n * step);
    if (many)
        arg_set(c, 2, KYMO_ARG_IMM, n);
    else
        arg_set(c, 2, KYMO_ARG_IMM, t->arg[2]);
    return KYMO_OK;
}

/* ---- results ---- */

static void put_out(const struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct note *n = &m->note[call];
    const uint8_t op = m->row[call]->op;
    const int makes_fd =
        op == OP_OPEN || op == OP_DUP || op == OP_MAKE || op == OP_SOCKET || op == OP_ACCEPT ||
        (op == OP_FCNTL && (t->arg[1] == F_DUPFD || t->arg[1] == F_DUPFD_CLOEXEC));
    if (makes_fd && t->ret >= 0 && t->ret < (int64_t)KYMO_FDS_MAX) {
        c->out = KYMO_OUT_FD;
        c->other = (uint32_t)t->ret;
    } else if ((op == OP_PIPE || op == OP_PAIR) && t->ret == 0) {
        c->out = KYMO_OUT_PAIR;
        c->other = (uint32_t)(n->at >> 32);
        c->other2 = (uint32_t)n->at;
    } else if ((op == OP_MMAP || op == OP_MREMAP) && n->link != NONE) {
        c->out = KYMO_OUT_REGION;
        c->other = n->link;
    } else if (op == OP_CLOSE && t->arg[0] < KYMO_FDS_MAX && t->ret != -EBADF) {
        c->out = KYMO_OUT_CLOSE;
        c->other = (uint32_t)t->arg[0];
    }
}

static kymo_status lower_one(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct lower_row *row = m->row[call];
    *c = (struct kymo_icall){.enter_ns = t->enter_ns - m->origin,
                             .dur_ns = dur_of(t),
                             .ret = t->ret,
                             .nr = t->here < 0 ? 0 : (uint16_t)t->here,
                             .row = call};
    decide(m, call, c);
    if (m->note[call].blocks)
        c->flags |= KYMO_ICALL_BLOCKS;
    if (row && row->flags & ROW_BYTES)
        c->flags |= KYMO_ICALL_BYTES;
    if (row && row->flags & ROW_MEMORY)
        c->flags |= KYMO_ICALL_MEMORY;
    if (!row || c->how == KYMO_HOW_SKIP ||
        (c->how == KYMO_HOW_INJECT && c->why == KYMO_WHY_SIMULATED))
        return KYMO_OK;
    for (int i = 0; i < 6 && row->how[i]; i++)
        KYMO_TRY(put_argument(m, call, c, i, row->how[i]));
    if (c->how == KYMO_HOW_ISSUE && fulldisk_takes(m, call)) {
        arg_set(c, 0, KYMO_ARG_FD, m->full_fd);
        c->why = KYMO_WHY_SUBSTITUTE;
    }
    if (row->flags & ROW_VECTOR)
        KYMO_TRY(put_vector(m, call, c));
    if (row->flags & ROW_MSG)
        KYMO_TRY(put_messages(m, call, c));
    if (c->how != KYMO_HOW_INJECT)
        put_out(m, call, c);
    if (row->flags & ROW_LATER)
        KYMO_TRY(lower_special(m, call, c));
    return KYMO_OK;
}

/* Whose ids the actors will have: those that the first call of the plan which asks is told. */
static void find_ids(struct maker *m)
{
    m->own_uid = m->own_gid = 0;
    int uid = 0, gid = 0;
    for (uint32_t a = 1; a < m->actors.n; a++) {
        const struct actor *x = actor_at(m, a);
        for (uint32_t i = 0; i < x->n && !(uid && gid); i++) {
            const uint32_t call = m->t->order[x->first + i];
            const char *const name = m->row[call] ? m->row[call]->name : "";
            if (!uid && (!strcmp(name, "getuid") || !strcmp(name, "geteuid"))) {
                m->own_uid = call_at(m, call)->ret;
                uid = m->own_uid != 0;
            }
            if (!gid && (!strcmp(name, "getgid") || !strcmp(name, "getegid"))) {
                m->own_gid = call_at(m, call)->ret;
                gid = m->own_gid != 0;
            }
        }
    }
}

kymo_status lower_calls(struct maker *m)
{
    static const uint8_t zeros[ZEROS_BYTES];
    KYMO_TRY(blob_put(m, zeros, sizeof(zeros), 8, &m->zeros));
    find_ids(m);
    for (uint32_t i = 0; i < m->t->n_calls; i++) {
        struct kymo_icall c;
        KYMO_TRY(lower_one(m, i, &c));
        m->note[i].how = c.how;
        m->note[i].why = c.why;
        kymo_buf_put(&m->icall, &c, sizeof(c));
        if (m->icall.failed || m->icall.n > m->cap_bytes)
            return maker_too_much(m);
    }
    return KYMO_OK;
}
