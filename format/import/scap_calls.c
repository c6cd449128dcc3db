/* SPDX-License-Identifier: Apache-2.0
 * What the events of scap files mean: calls, and the lives of processes.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "format/import/scap.h"

#define ADDR_BYTES 128u

static bool number(const struct kymo_scap_param *p, uint64_t *v)
{
    switch (p->n) {
    case 1:
        *v = p->p[0];
        return true;
    case 2:
        *v = kymo_load_u16(p->p);
        return true;
    case 4:
        *v = kymo_load_u32(p->p);
        return true;
    case 8:
        *v = kymo_load_u64(p->p);
        return true;
    default:
        return false;
    }
}

static uint64_t number_or_0(const struct kymo_scap_record *e, uint32_t i)
{
    uint64_t v = 0;
    return i < e->n && number(&e->param[i], &v) ? v : 0;
}

/* A string with its zero; none where it is empty or stands for one that could not be read. */
static struct kymo_text string(const struct kymo_scap_record *e, uint32_t i)
{
    if (i >= e->n || !e->param[i].n)
        return kymo_text_of(NULL, 0);
    const struct kymo_scap_param *p = &e->param[i];
    const size_t n = strnlen((const char *)p->p, p->n);
    if ((n == 4 && memcmp(p->p, "<NA>", 4) == 0) || (n == 6 && memcmp(p->p, "(NULL)", 6) == 0))
        return kymo_text_of(NULL, 0);
    return kymo_text_of((const char *)p->p, n);
}

static size_t put_inet(char *out, int family, const uint8_t *host, const uint8_t *port)
{
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(family, host, text, sizeof(text)))
        return 0;
    const int n = snprintf(out, ADDR_BYTES, family == AF_INET ? "inet:%s:%u" : "inet6:[%s]:%u",
                           text, kymo_load_u16(port));
    return n > 0 ? (size_t)n : 0;
}

/* An address (a), or the destination (t) or source (s) of a connection, as the recorder writes it. */
static struct kymo_text address(const struct kymo_scap_param *p, char what,
                                char out[ADDR_BYTES])
{
    enum { UNIX = 1, INET = 2, INET6 = 10 }; /* Linux's, whoever reads */
    const uint32_t each = p->n && p->p[0] == INET ? 6 : 18;
    const uint32_t at = what == 't' ? 1 + each : 1;
    size_t n = 0;
    if (!p->n)
        return kymo_text_of(NULL, 0);
    if (p->p[0] == UNIX) {
        const uint32_t path = what == 'a' ? 1 : 17;
        if (p->n < path)
            return kymo_text_of(NULL, 0);
        const size_t len = strnlen((const char *)p->p + path, p->n - path);
        const int put = snprintf(out, ADDR_BYTES, "unix:%.*s", (int)len, p->p + path);
        n = put > 0 && (size_t)put < ADDR_BYTES ? (size_t)put : ADDR_BYTES - 1;
    } else if ((p->p[0] == INET || p->p[0] == INET6) && p->n >= at + each) {
        n = put_inet(out, p->p[0] == INET ? AF_INET : AF_INET6, p->p + at,
                     p->p + at + each - 2);
    }
    return kymo_text_of(n ? out : NULL, n);
}

/* What the letters say of the event's parameters, into the call; addr is room for an address. */
static void take_params(const struct kymo_scap_record *e, const char *letters,
                        struct kymo_import_call *c, char addr[ADDR_BYTES])
{
    for (uint32_t i = 0; i < e->n && letters[i]; i++) {
        const char what = letters[i];
        uint64_t v;
        if (what == 'r' && number(&e->param[i], &v)) {
            c->has_ret = 1;
            c->ret = (int64_t)v;
        } else if (what >= '0' && what <= '5' && number(&e->param[i], &v)) {
            c->arg[what - '0'] = v;
            c->has_arg |= (uint8_t)(1u << (what - '0'));
        } else if (what == 'p' || what == 'q') {
            const struct kymo_text t = string(e, i);
            if (t.p && what == 'p')
                c->path = t;
            else if (t.p)
                c->path2 = t;
        } else if (what == 'a' || what == 't' || what == 's') {
            const struct kymo_text t = address(&e->param[i], what, addr);
            c->addr = t.p ? t : c->addr;
        }
    }
}

/* ---- calls ---------------------------------------------------------------------------------------------- */

static kymo_status name_call(struct kymo_scap *s, const struct kymo_scap_event *t, uint32_t nr,
                             struct kymo_import_call *c, struct kymo_err *err)
{
    if (t->cls == KYMO_SCAP_GENERIC && nr != UINT16_MAX) {
        c->arch = s->arch;
        c->nr = nr;
        return KYMO_OK;
    }
    return kymo_sink_name(s->sink, s->arch, t->name, strlen(t->name), &c->arch, &c->nr, err);
}

kymo_status kymo_scap_take_enter(struct kymo_scap *s, const struct kymo_scap_record *e,
                                 const struct kymo_scap_event *t, struct kymo_err *err)
{
    struct kymo_import_call c = {.ts_ns = e->ts_ns, .tid = e->tid, .cpu = e->cpu};
    char addr[ADDR_BYTES];
    take_params(e, t->enter, &c, addr);
    const uint32_t nr =
        t->cls == KYMO_SCAP_GENERIC && e->n > 1 ? (uint32_t)number_or_0(e, 1) : UINT16_MAX;
    KYMO_TRY(name_call(s, t, nr, &c, err));
    return kymo_pairs_enter(s->pairs, &c, e->type, err);
}

/* exe, then the arguments with their zeros, as one line. */
static void join_argv(struct kymo_scap *s, struct kymo_text exe, const char *args, size_t n)
{
    kymo_buf_clear(&s->argv);
    if (exe.p)
        kymo_import_quote(&s->argv, exe.p, exe.n);
    for (size_t at = 0; at < n;) {
        const size_t len = strnlen(args + at, n - at);
        kymo_import_quote(&s->argv, args + at, len);
        at += len + 1;
    }
}

static struct kymo_text command_line(struct kymo_scap *s, const struct kymo_scap_record *e)
{
    const bool has = e->n > 2;
    join_argv(s, string(e, 1), has ? (const char *)e->param[2].p : NULL,
              has ? e->param[2].n : 0);
    return kymo_text_of((const char *)s->argv.p, s->argv.n);
}

static kymo_status tell_exec(struct kymo_scap *s, const struct kymo_scap_record *e,
                             struct kymo_import_call *c, struct kymo_err *err)
{
    if (!c->has_ret || c->ret != 0)
        return KYMO_OK;
    const struct kymo_text exe = c->path.p ? c->path : string(e, 1);
    const struct kymo_import_process p = {
        .ts_ns = e->ts_ns,
        .kind = KYMO_IMPORT_EXEC,
        .pid = (uint32_t)number_or_0(e, 4),
        .tid = e->tid,
        .ppid = (uint32_t)number_or_0(e, 5),
        .comm = e->n > 14 ? string(e, 13) : kymo_import_comm_of(exe),
        .exe = exe,
        .argv = command_line(s, e),
    };
    c->flags |= KYMO_CALL_EXECED;
    c->has_arg = 0;
    c->path = kymo_text_of(NULL, 0);
    return kymo_sink_process(s->sink, &p, err);
}

/* The child's own return tells who it is. */
static kymo_status tell_fork(struct kymo_scap *s, const struct kymo_scap_record *e,
                             struct kymo_import_call *c, struct kymo_err *err)
{
    if (!c->has_ret || c->ret != 0)
        return KYMO_OK;
    c->flags |= KYMO_CALL_CHILD;
    const uint32_t pid = (uint32_t)number_or_0(e, 4);
    const uint32_t ids = e->n >= 20 ? 16 : e->n == 17 ? 15 : e->n == 16 ? 14 : 9;
    const struct kymo_import_process p = {
        .ts_ns = e->ts_ns,
        .kind = KYMO_IMPORT_FORK,
        .pid = pid,
        .tid = e->tid,
        .ppid = (uint32_t)number_or_0(e, 5),
        .has_ids = 1,
        .uid = (uint32_t)number_or_0(e, ids),
        .gid = (uint32_t)number_or_0(e, ids + 1),
        .start_ns = e->ts_ns,
        .comm = e->n > 16 ? string(e, 13) : kymo_text_of(NULL, 0),
    };
    if (pid)
        KYMO_TRY(kymo_sink_thread(s->sink, e->tid, pid, err));
    return kymo_sink_process(s->sink, &p, err);
}

kymo_status kymo_scap_take_exit(struct kymo_scap *s, const struct kymo_scap_record *e,
                                const struct kymo_scap_event *t, struct kymo_err *err)
{
    struct kymo_import_call c = {
        .ts_ns = e->ts_ns, .dur_ns = KYMO_IMPORT_UNKNOWN, .tid = e->tid, .cpu = e->cpu};
    char addr[ADDR_BYTES];
    int found;
    KYMO_TRY(kymo_pairs_exit(s->pairs, &c, e->type & 0xfffeu, &found, err));
    take_params(e, t->exit, &c, addr);
    if (!found)
        KYMO_TRY(name_call(s, t, UINT16_MAX, &c, err));
    if (t->cls == KYMO_SCAP_EXEC)
        KYMO_TRY(tell_exec(s, e, &c, err));
    if (t->cls == KYMO_SCAP_CLONE)
        KYMO_TRY(tell_fork(s, e, &c, err));
    return kymo_sink_call(s->sink, &c, err);
}

kymo_status kymo_scap_take_death(struct kymo_scap *s, const struct kymo_scap_record *e,
                                 struct kymo_err *err)
{
    KYMO_TRY(kymo_pairs_died(s->pairs, e->tid, err));
    const struct kymo_import_process p = {.ts_ns = e->ts_ns,
                                          .kind = KYMO_IMPORT_EXIT,
                                          .tid = e->tid,
                                          .has_code = e->n > 0,
                                          .code = (uint32_t)number_or_0(e, 0)};
    return kymo_sink_process(s->sink, &p, err);
}

kymo_status kymo_scap_tell_process(struct kymo_scap *s, struct kymo_import_process *p,
                                   struct kymo_err *err)
{
    join_argv(s, p->exe, p->argv.p, p->argv.n);
    p->argv = kymo_text_of((const char *)s->argv.p, s->argv.n);
    if (p->pid && p->pid != p->tid)
        KYMO_TRY(kymo_sink_thread(s->sink, p->tid, p->pid, err));
    return kymo_sink_process(s->sink, p, err);
}
