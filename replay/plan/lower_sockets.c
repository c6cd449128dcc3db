/* SPDX-License-Identifier: Apache-2.0
 * lower_sockets.c: sockets: addresses, options, and what stands in for families that a sandbox has no use for.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "replay/plan/lower_own.h"

/* ---- sockets ---- */

static int has_family(uint64_t family)
{
    return family == AF_UNIX || family == AF_INET || family == AF_INET6;
}

static int is_stand_in(const struct maker *m, uint32_t call)
{
    const uint32_t object = m->note[call].object;
    return object != NONE && object_at(m, object)->made_by != NONE &&
           !has_family(object_at(m, object)->family) && object_at(m, object)->family;
}

kymo_status lower_socket(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    for (int i = 0; i < 3; i++)
        arg_set(c, i, KYMO_ARG_IMM, t->arg[i]);
    const uint64_t type = t->arg[1] & 15;
    if (t->ret < 0 || (has_family(t->arg[0]) && type != SOCK_RAW))
        return KYMO_OK;
    arg_set(c, 0, KYMO_ARG_IMM, AF_UNIX);
    arg_set(c, 1, KYMO_ARG_IMM, (t->arg[1] & ~(uint64_t)15) | SOCK_DGRAM);
    arg_set(c, 2, KYMO_ARG_IMM, 0);
    if (c->how == KYMO_HOW_ISSUE)
        c->why = KYMO_WHY_SUBSTITUTE;
    return KYMO_OK;
}

kymo_status lower_bind(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint16_t any = AF_UNIX;
    const struct kymo_trace_call *t = call_at(m, call);
    if (is_stand_in(m, call) && t->ret == 0) {
        c->why = KYMO_WHY_SUBSTITUTE;
        arg_set(c, 2, KYMO_ARG_IMM, sizeof(any));
        return lower_blob(m, c, 1, &any, sizeof(any));
    }
    /* an address that is not known, or was not given: what a call like it says */
    return c->kind[1] == KYMO_ARG_BLOB || t->ret < 0 ? KYMO_OK : lower_inject(c);
}

kymo_status lower_connect(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    if (is_stand_in(m, call))
        return lower_inject(c);
    return c->kind[1] == KYMO_ARG_BLOB ? KYMO_OK : lower_inject(c);
}

kymo_status lower_accept(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint32_t length = 128;
    const struct kymo_trace_call *t = call_at(m, call);
    if (!t->arg[1])
        return KYMO_OK;
    arg_set(c, 1, KYMO_ARG_SINK, 0);
    return lower_copy(m, c, 2, &length, sizeof(length));
}

kymo_status lower_send(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const char *const name = m->row[call]->name;
    const int flags = !strcmp(name, "sendto") ? 3 : !strcmp(name, "sendmsg") ? 2 : -1;
    if (flags >= 0)
        arg_set(c, flags, KYMO_ARG_IMM, call_at(m, call)->arg[flags]);
    return is_stand_in(m, call) ? lower_inject(c) : KYMO_OK;
}

kymo_status lower_getsockopt(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint32_t length = 16;
    if (is_stand_in(m, call))
        return lower_inject(c);
    return call_at(m, call)->arg[4] ? lower_copy(m, c, 4, &length, sizeof(length)) : KYMO_OK;
}

/* What the option was set to is not known: what most set it to, and nothing that makes calls wait otherwise. */
static int usual_value(uint64_t level, uint64_t option)
{
    static const struct {
        int level, option, value;
    } usual[] = {{SOL_SOCKET, SO_SNDBUF, 212992},    {SOL_SOCKET, SO_RCVBUF, 212992},
                 {SOL_SOCKET, SO_LINGER, 0},         {SOL_SOCKET, SO_RCVTIMEO, 0},
                 {SOL_SOCKET, SO_SNDTIMEO, 0},       {SOL_SOCKET, SO_OOBINLINE, 0},
                 {IPPROTO_TCP, TCP_CORK, 0},         {IPPROTO_TCP, TCP_KEEPIDLE, 300},
                 {IPPROTO_TCP, TCP_KEEPINTVL, 100},  {IPPROTO_TCP, TCP_KEEPCNT, 3},
                 {IPPROTO_TCP, TCP_DEFER_ACCEPT, 0}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 0},
                 {IPPROTO_TCP, TCP_FASTOPEN, 0},     {IPPROTO_TCP, TCP_LINGER2, 0},
                 {IPPROTO_TCP, TCP_MAXSEG, 536}};
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        if (level == (uint64_t)usual[i].level && option == (uint64_t)usual[i].option)
            return usual[i].value;
    return 1;
}

kymo_status lower_setsockopt(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint64_t level = t->arg[1], option = t->arg[2];
    const int plain = level == SOL_SOCKET || level == IPPROTO_TCP || level == IPPROTO_IPV6 ||
                      level == IPPROTO_IP;
    int value[4] = {usual_value(level, option), 0, 0, 0};
    if (is_stand_in(m, call) || !plain ||
        (level == SOL_SOCKET &&
         (option == SO_ATTACH_FILTER || option == SO_BINDTODEVICE || option == SO_MARK ||
          option == SO_RCVBUFFORCE || option == SO_SNDBUFFORCE)))
        return lower_inject(c);
    const uint64_t bytes = t->arg[4] < sizeof(value) ? t->arg[4] : sizeof(value);
    arg_set(c, 4, KYMO_ARG_IMM, bytes);
    return t->arg[3] ? lower_blob(m, c, 3, value, sizeof(value)) : KYMO_OK;
}
