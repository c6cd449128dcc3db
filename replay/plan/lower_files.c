/* SPDX-License-Identifier: Apache-2.0
 * lower_files.c: files, descriptors, what is waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "replay/plan/lower_own.h"

/* ---- files ---- */

kymo_status lower_open(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    const uint64_t how[3] = {O_RDONLY, 0, 0};
    arg_set(c, 3, KYMO_ARG_IMM, sizeof(how));
    return lower_blob(m, c, 2, how, sizeof(how));
}

kymo_status lower_close_range(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    arg_set(c, 0, KYMO_ARG_IMM, call_at(m, call)->arg[0] & UINT32_MAX);
    arg_set(c, 1, KYMO_ARG_IMM, call_at(m, call)->arg[1] & UINT32_MAX);
    return KYMO_OK;
}

kymo_status lower_fcntl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    static const struct flock any = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    switch (t->arg[1]) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        arg_set(c, 2, KYMO_ARG_IMM, t->arg[2]);
        return KYMO_OK;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return lower_copy(m, c, 2, &any, sizeof(any));
    case F_SETOWN:
        arg_set(c, 2, KYMO_ARG_IMM, 0);
        return KYMO_OK;
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_GETOWN:
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
    case F_GETSIG:
    case F_ADD_SEALS:
    case F_GET_SEALS:
        arg_set(c, 2, KYMO_ARG_IMM, t->arg[2]);
        return KYMO_OK;
    default:
        return lower_inject(c);
    }
}

kymo_status lower_pair(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const int i = m->row[call]->op == OP_PAIR ? 3 : 0;
    arg_set(c, i, KYMO_ARG_PAIR, 0);
    return KYMO_OK;
}

kymo_status lower_memfd(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    return lower_blob(m, c, 0, "kymo", 5);
}

kymo_status lower_seek(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    arg_set(c, 1, KYMO_ARG_IMM, call_at(m, call)->arg[1]);
    return KYMO_OK;
}

kymo_status lower_own_ids(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    for (int i = 1; i < 4; i++)
        if (m->row[call]->how[i] == 'S')
            arg_set(c, i, KYMO_ARG_IMM, UINT32_MAX); /* as it is */
    return KYMO_OK;
}

kymo_status lower_xattr(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const char *const how = m->row[call]->how, *const s = strchr(how, 'S');
    const char *const name = c->ret == -EOPNOTSUPP ? "kymo" : "user.kymo";
    return s ? lower_blob(m, c, (int)(s - how), name, strlen(name) + 1) : KYMO_OK;
}

kymo_status lower_mknod(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const int i = m->row[call]->arg;
    const uint64_t mode = call_at(m, call)->arg[i];
    if (S_ISCHR(mode) || S_ISBLK(mode))
        how_set(c, KYMO_HOW_SKIP, KYMO_WHY_POWER);
    arg_set(c, i, KYMO_ARG_IMM, mode);
    return KYMO_OK;
}

kymo_status lower_move(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    for (int i = 0; i < 6; i++) /* offsets in memory are not known: where they stand */
        if (m->row[call]->how[i] == '\0')
            break;
        else if (m->row[call]->how[i] == 'S')
            arg_set(c, i, KYMO_ARG_IMM, 0);
    return KYMO_OK;
}

kymo_status lower_ioctl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint32_t asks[] = {0x541b, 0x5421, 0x5451, 0x5450, 0x5401,
                                    0x5413, 0x540f, 0x5429, 0x5411, 0x802c542a};
    const uint32_t request = (uint32_t)call_at(m, call)->arg[1];
    static const int one = 1;
    size_t k = 0;
    while (k < sizeof(asks) / sizeof(asks[0]) && asks[k] != request)
        k++;
    if (k == sizeof(asks) / sizeof(asks[0])) {
        how_set(c, KYMO_HOW_SKIP, KYMO_WHY_IOCTL);
        return KYMO_OK;
    }
    if (request == 0x5421)
        return lower_blob(m, c, 2, &one, sizeof(one));
    arg_set(c, 2, KYMO_ARG_SINK, 0);
    return KYMO_OK;
}

/* ---- events ---- */

kymo_status lower_signalfd(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint64_t mask = proc_at(m, proc_of_call(m, call))->signals;
    arg_fd(c, 0, call_at(m, call)->arg[0], KYMO_ARG_FD);
    arg_set(c, 2, KYMO_ARG_IMM, sizeof(mask));
    return lower_blob(m, c, 1, &mask, sizeof(mask));
}

/* It goes off when it is next read, as far as that can be seen. */
kymo_status lower_timerfd(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct actor *a = actor_at(m, actor_of_call(m, call));
    int64_t spec[4] = {0, 0, FAR_S, 0};
    for (uint32_t i = m->index_of[call] + 1, k = 0; i < a->n && k < 256; i++, k++) {
        const uint32_t next = m->t->order[a->first + i];
        if (!m->row[next] || m->note[next].object != m->note[call].object ||
            m->note[call].object == NONE)
            continue;
        if (m->row[next]->op != OP_READ)
            break;
        if (call_at(m, next)->ret <= 0)
            continue;
        const uint64_t ns = call_at(m, next)->exit_ns - t->exit_ns;
        const uint64_t left = ns > 50000 ? ns - 50000 : 1;
        spec[2] = (int64_t)(left / 1000000000u);
        spec[3] = (int64_t)(left % 1000000000u);
        break;
    }
    arg_set(c, 1, KYMO_ARG_IMM, 0); /* from now on */
    return lower_blob(m, c, 2, spec, sizeof(spec));
}

struct epoll_item {
    uint32_t events;
    uint64_t data;
}
#if defined(__x86_64__)
__attribute__((packed))
#endif
;

kymo_status lower_epoll_ctl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct epoll_item item = {m->note[call].at ? (uint32_t)m->note[call].at : 1,
                                    t->arg[2] & UINT32_MAX};
    return t->arg[3] ? lower_blob(m, c, 3, &item, sizeof(item)) : KYMO_OK;
}

kymo_status lower_epoll_wait(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    uint64_t max = t->arg[2];
    if (t->ret > 0 && max > (uint64_t)t->ret)
        max = (uint64_t)t->ret;
    if (max > 65536 && max <= INT32_MAX)
        max = 65536;
    arg_set(c, 2, KYMO_ARG_IMM, max);
    if (!strcmp(m->row[call]->name, "epoll_pwait2"))
        arg_set(c, 3, KYMO_ARG_WAIT, t->arg[3] ? lower_meant_ns(t) : UINT64_MAX);
    else
        arg_set(c, 3, KYMO_ARG_WAIT_MS, lower_meant_ms(t, t->arg[3]));
    return KYMO_OK;
}

kymo_status lower_poll(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct note *n = &m->note[call];
    if (n->extra == NONE)
        return lower_inject(c);
    arg_set(c, 0, t->arg[0] ? KYMO_ARG_POLL : KYMO_ARG_IMM,
            t->arg[0] ? (uint64_t)n->extra << 16 | n->at : 0);
    arg_set(c, 1, KYMO_ARG_IMM, t->arg[0] ? n->at : t->arg[1]);
    if (n->at < t->arg[1])
        c->flags |= KYMO_ICALL_LONGER;
    if (!strcmp(m->row[call]->name, "ppoll"))
        arg_set(c, 2, KYMO_ARG_WAIT, t->arg[2] ? lower_meant_ns(t) : UINT64_MAX);
    else
        arg_set(c, 2, KYMO_ARG_WAIT_MS, lower_meant_ms(t, t->arg[2]));
    return KYMO_OK;
}

kymo_status lower_select(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct note *n = &m->note[call];
    const uint32_t reading = (uint32_t)(n->at >> 32), writing = (uint32_t)n->at;
    if (n->extra == NONE)
        return lower_inject(c);
    /* a set that was there holds what the thread used next; the others none */
    if (t->arg[1] || reading)
        arg_set(c, 1, KYMO_ARG_FDSET, (uint64_t)n->extra << 16 | reading);
    if (t->arg[2] || writing)
        arg_set(c, 2, KYMO_ARG_FDSET, ((uint64_t)n->extra + reading * 4u) << 16 | writing);
    if (t->arg[3])
        arg_set(c, 3, KYMO_ARG_FDSET, (uint64_t)n->extra << 16);
    const int is_select = !strcmp(m->row[call]->name, "select");
    arg_set(c, 4, is_select ? KYMO_ARG_WAIT_US : KYMO_ARG_WAIT,
            t->arg[4] ? lower_meant_ns(t) : UINT64_MAX);
    return KYMO_OK;
}
