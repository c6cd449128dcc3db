/* SPDX-License-Identifier: Apache-2.0
 * lower_special.c: arguments that a letter cannot say: by name of the call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "replay/plan/compile_own.h"

#define FREE_ADDRESS 0x6f0000000000u /* where nothing is ever mapped */
#define LIVE_BYTES_MAX ((uint64_t)256 << 20)
#define RSEQ_AT (SINK_OWN + 0x1000u) /* 64 bytes a lane */
#define FAR_S 3600

/* How long a wait was meant to be: what ended it before its time shows that it was longer. */
static uint64_t meant_ns(const struct kymo_trace_call *t)
{
    return dur_of(t) + (t->ret < 0 ? (uint64_t)FAR_S * 1000000000u : 0);
}

static uint64_t meant_ms(const struct kymo_trace_call *t, uint64_t recorded)
{
    const int32_t ms = (int32_t)recorded;
    return (uint64_t)(int64_t)(t->ret < 0 && ms > 0 ? -1 : ms);
}

typedef kymo_status special(struct maker *m, uint32_t call, struct kymo_icall *c);

static const struct kymo_trace_call *traced(const struct maker *m, uint32_t call)
{
    return call_at(m, call);
}

static void how_set(struct kymo_icall *c, uint8_t how, uint8_t why)
{
    c->how = how;
    c->why = why;
}

static kymo_status inject(struct kymo_icall *c)
{
    if (c->how == KYMO_HOW_ISSUE)
        how_set(c, KYMO_HOW_INJECT, c->ret < 0 ? KYMO_WHY_ERROR : KYMO_WHY_RESULT);
    return KYMO_OK;
}

static kymo_status put_blob(struct maker *m, struct kymo_icall *c, int i, const void *p,
                            size_t n)
{
    uint32_t at;
    KYMO_TRY(blob_put(m, p, n, 8, &at));
    arg_set(c, i, KYMO_ARG_BLOB, at);
    return KYMO_OK;
}

static kymo_status put_copy(struct maker *m, struct kymo_icall *c, int i, const void *p,
                            size_t n)
{
    uint32_t at;
    KYMO_TRY(blob_put(m, p, n, 8, &at));
    arg_set(c, i, KYMO_ARG_COPY, (uint64_t)at << 16 | n);
    return KYMO_OK;
}

/* ---- files ---- */

static kymo_status do_open(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    const uint64_t how[3] = {O_RDONLY, 0, 0};
    arg_set(c, 3, KYMO_ARG_IMM, sizeof(how));
    return put_blob(m, c, 2, how, sizeof(how));
}

static kymo_status do_close_range(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    arg_set(c, 0, KYMO_ARG_IMM, traced(m, call)->arg[0] & UINT32_MAX);
    arg_set(c, 1, KYMO_ARG_IMM, traced(m, call)->arg[1] & UINT32_MAX);
    return KYMO_OK;
}

static kymo_status do_fcntl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
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
        return put_copy(m, c, 2, &any, sizeof(any));
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
        return inject(c);
    }
}

static kymo_status do_pair(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const int i = m->row[call]->op == OP_PAIR ? 3 : 0;
    arg_set(c, i, KYMO_ARG_PAIR, 0);
    return KYMO_OK;
}

static kymo_status do_memfd(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    return put_blob(m, c, 0, "kymo", 5);
}

static kymo_status do_seek(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    arg_set(c, 1, KYMO_ARG_IMM, traced(m, call)->arg[1]);
    return KYMO_OK;
}

static kymo_status do_own_ids(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    for (int i = 1; i < 4; i++)
        if (m->row[call]->how[i] == 'S')
            arg_set(c, i, KYMO_ARG_IMM, UINT32_MAX); /* as it is */
    return KYMO_OK;
}

static kymo_status do_xattr(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const char *const how = m->row[call]->how, *const s = strchr(how, 'S');
    const char *const name = c->ret == -EOPNOTSUPP ? "kymo" : "user.kymo";
    return s ? put_blob(m, c, (int)(s - how), name, strlen(name) + 1) : KYMO_OK;
}

static kymo_status do_mknod(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const int i = m->row[call]->arg;
    const uint64_t mode = traced(m, call)->arg[i];
    if (S_ISCHR(mode) || S_ISBLK(mode))
        how_set(c, KYMO_HOW_SKIP, KYMO_WHY_POWER);
    arg_set(c, i, KYMO_ARG_IMM, mode);
    return KYMO_OK;
}

static kymo_status do_move(struct maker *m, uint32_t call, struct kymo_icall *c)
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

static kymo_status do_ioctl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint32_t asks[] = {0x541b, 0x5421, 0x5451, 0x5450, 0x5401,
                                    0x5413, 0x540f, 0x5429, 0x5411, 0x802c542a};
    const uint32_t request = (uint32_t)traced(m, call)->arg[1];
    static const int one = 1;
    size_t k = 0;
    while (k < sizeof(asks) / sizeof(asks[0]) && asks[k] != request)
        k++;
    if (k == sizeof(asks) / sizeof(asks[0])) {
        how_set(c, KYMO_HOW_SKIP, KYMO_WHY_IOCTL);
        return KYMO_OK;
    }
    if (request == 0x5421)
        return put_blob(m, c, 2, &one, sizeof(one));
    arg_set(c, 2, KYMO_ARG_SINK, 0);
    return KYMO_OK;
}

/* ---- events ---- */

static kymo_status do_signalfd(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint64_t mask = proc_at(m, proc_of_call(m, call))->signals;
    const int32_t fd = (int32_t)traced(m, call)->arg[0];
    arg_set(c, 0, fd < 0 ? KYMO_ARG_IMM : KYMO_ARG_FD, fd < 0 ? UINT64_MAX : (uint64_t)fd);
    arg_set(c, 2, KYMO_ARG_IMM, sizeof(mask));
    return put_blob(m, c, 1, &mask, sizeof(mask));
}

/* It goes off when it is next read, as far as that can be seen. */
static kymo_status do_timerfd(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
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
    return put_blob(m, c, 2, spec, sizeof(spec));
}

struct epoll_item {
    uint32_t events;
    uint64_t data;
}
#if defined(__x86_64__)
__attribute__((packed))
#endif
;

static kymo_status do_epoll_ctl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct epoll_item item = {m->note[call].at ? (uint32_t)m->note[call].at : 1,
                                    t->arg[2] & UINT32_MAX};
    return t->arg[3] ? put_blob(m, c, 3, &item, sizeof(item)) : KYMO_OK;
}

static kymo_status do_epoll_wait(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    uint64_t max = t->arg[2];
    if (t->ret > 0 && max > (uint64_t)t->ret)
        max = (uint64_t)t->ret;
    if (max > 65536 && max <= INT32_MAX)
        max = 65536;
    arg_set(c, 2, KYMO_ARG_IMM, max);
    if (!strcmp(m->row[call]->name, "epoll_pwait2"))
        arg_set(c, 3, KYMO_ARG_WAIT, t->arg[3] ? meant_ns(t) : UINT64_MAX);
    else
        arg_set(c, 3, KYMO_ARG_WAIT_MS, meant_ms(t, t->arg[3]));
    return KYMO_OK;
}

static kymo_status do_poll(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct note *n = &m->note[call];
    if (n->extra == NONE)
        return inject(c);
    arg_set(c, 0, t->arg[0] ? KYMO_ARG_POLL : KYMO_ARG_IMM,
            t->arg[0] ? (uint64_t)n->extra << 16 | n->at : 0);
    arg_set(c, 1, KYMO_ARG_IMM, t->arg[0] ? n->at : t->arg[1]);
    if (n->at < t->arg[1])
        c->flags |= KYMO_ICALL_LONGER;
    if (!strcmp(m->row[call]->name, "ppoll"))
        arg_set(c, 2, KYMO_ARG_WAIT, t->arg[2] ? meant_ns(t) : UINT64_MAX);
    else
        arg_set(c, 2, KYMO_ARG_WAIT_MS, meant_ms(t, t->arg[2]));
    return KYMO_OK;
}

static kymo_status do_select(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct note *n = &m->note[call];
    const uint32_t reading = (uint32_t)(n->at >> 32), writing = (uint32_t)n->at;
    if (n->extra == NONE)
        return inject(c);
    /* a set that was there holds what the thread used next; the others none */
    if (t->arg[1] || reading)
        arg_set(c, 1, KYMO_ARG_FDSET, (uint64_t)n->extra << 16 | reading);
    if (t->arg[2] || writing)
        arg_set(c, 2, KYMO_ARG_FDSET, ((uint64_t)n->extra + reading * 4u) << 16 | writing);
    if (t->arg[3])
        arg_set(c, 3, KYMO_ARG_FDSET, (uint64_t)n->extra << 16);
    const int is_select = !strcmp(m->row[call]->name, "select");
    arg_set(c, 4, is_select ? KYMO_ARG_WAIT_US : KYMO_ARG_WAIT,
            t->arg[4] ? meant_ns(t) : UINT64_MAX);
    return KYMO_OK;
}

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

static kymo_status do_socket(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
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

static kymo_status do_bind(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint16_t any = AF_UNIX;
    const struct kymo_trace_call *t = traced(m, call);
    if (is_stand_in(m, call) && t->ret == 0) {
        c->why = KYMO_WHY_SUBSTITUTE;
        arg_set(c, 2, KYMO_ARG_IMM, sizeof(any));
        return put_blob(m, c, 1, &any, sizeof(any));
    }
    /* an address that is not known, or was not given: what a call like it says */
    return c->kind[1] == KYMO_ARG_BLOB || t->ret < 0 ? KYMO_OK : inject(c);
}

static kymo_status do_connect(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    if (is_stand_in(m, call))
        return inject(c);
    return c->kind[1] == KYMO_ARG_BLOB ? KYMO_OK : inject(c);
}

static kymo_status do_accept(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint32_t length = 128;
    const struct kymo_trace_call *t = traced(m, call);
    if (!t->arg[1])
        return KYMO_OK;
    arg_set(c, 1, KYMO_ARG_SINK, 0);
    return put_copy(m, c, 2, &length, sizeof(length));
}

static kymo_status do_send(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const char *const name = m->row[call]->name;
    const int flags = !strcmp(name, "sendto") ? 3 : !strcmp(name, "sendmsg") ? 2 : -1;
    if (flags >= 0)
        arg_set(c, flags, KYMO_ARG_IMM, traced(m, call)->arg[flags]);
    return is_stand_in(m, call) ? inject(c) : KYMO_OK;
}

static kymo_status do_getsockopt(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint32_t length = 16;
    if (is_stand_in(m, call))
        return inject(c);
    return traced(m, call)->arg[4] ? put_copy(m, c, 4, &length, sizeof(length)) : KYMO_OK;
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

static kymo_status do_setsockopt(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const uint64_t level = t->arg[1], option = t->arg[2];
    const int plain = level == SOL_SOCKET || level == IPPROTO_TCP || level == IPPROTO_IPV6 ||
                      level == IPPROTO_IP;
    int value[4] = {usual_value(level, option), 0, 0, 0};
    if (is_stand_in(m, call) || !plain ||
        (level == SOL_SOCKET &&
         (option == SO_ATTACH_FILTER || option == SO_BINDTODEVICE || option == SO_MARK ||
          option == SO_RCVBUFFORCE || option == SO_SNDBUFFORCE)))
        return inject(c);
    const uint64_t bytes = t->arg[4] < sizeof(value) ? t->arg[4] : sizeof(value);
    arg_set(c, 4, KYMO_ARG_IMM, bytes);
    return t->arg[3] ? put_blob(m, c, 3, value, sizeof(value)) : KYMO_OK;
}

/* ---- address space ---- */

static kymo_status do_mmap(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct note *n = &m->note[call];
    uint64_t flags = t->arg[3] & ~(uint64_t)(MAP_HUGETLB | MAP_LOCKED);
    uint64_t prot = t->arg[2];
    if (t->arg[1] > LIVE_BYTES_MAX)
        flags &= ~(uint64_t)MAP_POPULATE;
    if (n->cut)
        arg_set(c, 0, KYMO_ARG_REGION, n->at);
    else
        flags &= ~(uint64_t)(MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (flags & MAP_FIXED_NOREPLACE)
        flags &= ~(uint64_t)(MAP_FIXED | MAP_FIXED_NOREPLACE);
    arg_set(c, 2, KYMO_ARG_IMM, prot);
    arg_set(c, 3, KYMO_ARG_IMM, flags | (t->arg[3] & MAP_ANONYMOUS ? MAP_NORESERVE : 0));
    if (flags & MAP_ANONYMOUS || (int32_t)t->arg[4] < 0)
        arg_set(c, 4, KYMO_ARG_IMM, UINT64_MAX);
    else
        arg_set(c, 4, KYMO_ARG_FD, t->arg[4] & UINT32_MAX);
    if (n->object != NONE && object_at(m, n->object)->kind == O_FILE &&
        (object_at(m, n->object)->flags & O_ACCMODE) == O_WRONLY)
        return inject(c);
    return KYMO_OK;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static kymo_status do_munmap(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct note *n = &m->note[call];
    if (n->cut) {
        arg_set(c, 0, KYMO_ARG_REGION, n->at);
        arg_set(c, 1, KYMO_ARG_IMM, least(t->arg[1], n->size));
        return KYMO_OK;
    }
    arg_set(c, 0, KYMO_ARG_IMM, t->ret < 0 ? t->arg[0] & 4095 : FREE_ADDRESS);
    arg_set(c, 1, KYMO_ARG_IMM, least(t->arg[1], (uint64_t)1 << 30));
    c->why = c->how == KYMO_HOW_ISSUE ? KYMO_WHY_SCRATCH : c->why;
    return KYMO_OK;
}

static kymo_status do_mremap(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    if (!m->note[call].cut)
        return inject(c);
    arg_set(c, 0, KYMO_ARG_REGION, m->note[call].at);
    arg_set(c, 3, KYMO_ARG_IMM, t->arg[3] & MREMAP_MAYMOVE);
    arg_set(c, 4, KYMO_ARG_IMM, 0);
    return KYMO_OK;
}

/* On memory that no call of the slice made: on the sink's own end, in a way of which no harm comes. */
static kymo_status do_region(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct note *n = &m->note[call];
    const uint8_t what = m->row[call]->arg;
    if (what == 1 && (t->arg[2] == 100 || t->arg[2] == 101)) { /* memory is declared broken */
        how_set(c, KYMO_HOW_SKIP, KYMO_WHY_POWER);
        return KYMO_OK;
    }
    if (n->cut) {
        arg_set(c, 0, KYMO_ARG_REGION, n->at);
        arg_set(c, 1, KYMO_ARG_IMM, least(t->arg[1], n->size));
        return KYMO_OK;
    }
    if (c->how == KYMO_HOW_ISSUE)
        c->why = KYMO_WHY_SCRATCH;
    arg_set(c, 1, KYMO_ARG_IMM, least(t->arg[1], 0x10000));
    if (what == 0) { /* mprotect: what the pattern has already */
        arg_set(c, 0, KYMO_ARG_PATTERN, 0);
        arg_set(c, 2, KYMO_ARG_IMM, PROT_READ);
        return KYMO_OK;
    }
    arg_set(c, 0, KYMO_ARG_SINK, SINK_OWN + 0x80000u);
    if (what == 1)
        arg_set(c, 2, KYMO_ARG_IMM, t->arg[2] == MADV_DONTNEED ? MADV_DONTNEED : MADV_NORMAL);
    return KYMO_OK;
}

static kymo_status do_brk(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const uint64_t bytes = m->note[call].at;
    if (!t->arg[0])
        return KYMO_OK;
    arg_set(c, 0, KYMO_ARG_BREAK, least(bytes, LIVE_BYTES_MAX));
    if (bytes > LIVE_BYTES_MAX)
        c->flags |= KYMO_ICALL_LONGER;
    return KYMO_OK;
}

/* ---- one another ---- */

static kymo_status do_futex(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct word *w = m->note[call].extra == NONE ? NULL : word_at(m, m->note[call].extra);
    const int cmd = (int)t->arg[1] & FUTEX_CMD_MASK;
    uint64_t op = t->arg[1];
    if (!w)
        return inject(c);
    if (w->is_shared)
        op &= ~(uint64_t)FUTEX_PRIVATE_FLAG;
    arg_set(c, 0, w->is_shared ? KYMO_ARG_WORD : KYMO_ARG_OWN_WORD, w->index);
    arg_set(c, 1, KYMO_ARG_IMM, op);
    arg_set(c, 2, KYMO_ARG_IMM, t->arg[2]);
    switch (cmd) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        /* words are 0: who slept waits for that, who did not is told that it is another */
        arg_set(c, 2, KYMO_ARG_IMM, t->ret == -EAGAIN ? t->arg[2] ? t->arg[2] : 1 : 0);
        arg_set(c, 5, KYMO_ARG_IMM, cmd == FUTEX_WAIT ? 0 : UINT32_MAX);
        if (!t->arg[3] || (t->ret != -ETIMEDOUT && t->ret != -EAGAIN))
            arg_set(c, 3, KYMO_ARG_IMM, 0);
        else if (cmd == FUTEX_WAIT)
            arg_set(c, 3, KYMO_ARG_WAIT, dur_of(t));
        else
            arg_set(c, 3, op & FUTEX_CLOCK_REALTIME ? KYMO_ARG_UNTIL_REAL : KYMO_ARG_UNTIL,
                    t->exit_ns - m->origin);
        return KYMO_OK;
    case FUTEX_WAKE:
        return KYMO_OK;
    case FUTEX_WAKE_BITSET:
        arg_set(c, 5, KYMO_ARG_IMM, UINT32_MAX);
        return KYMO_OK;
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
        arg_set(c, 3, KYMO_ARG_IMM, t->arg[3]);
        arg_set(c, 4, w->is_shared ? KYMO_ARG_WORD : KYMO_ARG_OWN_WORD, w->index + 1u);
        arg_set(c, 5, KYMO_ARG_IMM, 0); /* the value is 0; set it to 0 if it is 0 */
        return t->ret < 0 && t->ret != -EAGAIN ? inject(c) : KYMO_OK;
    default:
        return inject(c);
    }
}

static kymo_status do_robust_list(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    arg_set(c, 0, KYMO_ARG_BLOB, m->zeros);
    return KYMO_OK;
}

static kymo_status do_own_memory(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint32_t lane = actor_at(m, actor_of_call(m, call))->lane;
    arg_set(c, 0, KYMO_ARG_SINK, RSEQ_AT + (uint64_t)(lane % 4096) * 64);
    return KYMO_OK;
}

/* ---- lives ---- */

/* clone3 has its flags in memory: threads share all, and who waits for its child's exec borrowed its memory out. */
static uint64_t clone_flags(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *t = traced(m, call);
    const uint32_t child = m->note[call].link;
    if (!strcmp(m->row[call]->name, "clone"))
        return t->arg[0];
    if (!strcmp(m->row[call]->name, "fork"))
        return SIGCHLD;
    if (!strcmp(m->row[call]->name, "vfork"))
        return CLONE_VM | CLONE_VFORK | SIGCHLD;
    if (m->note[call].how == KYMO_HOW_THREAD)
        return CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    const struct actor *a = child == NONE ? NULL : actor_at(m, child);
    for (uint32_t i = 0; a && i < a->n; i++) {
        const uint32_t k = m->t->order[a->first + i];
        if (call_at(m, k)->exit_ns > t->exit_ns)
            break;
        if (m->row[k] && (m->row[k]->op == OP_EXEC || m->row[k]->op == OP_EXIT) &&
            call_at(m, k)->ret == 0)
            return CLONE_VM | CLONE_VFORK | SIGCHLD;
    }
    return SIGCHLD;
}

static kymo_status do_fork(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint32_t child = m->note[call].link;
    arg_set(c, 0, KYMO_ARG_IMM, clone_flags(m, call));
    if (c->how == KYMO_HOW_FORK || c->how == KYMO_HOW_THREAD) {
        c->other = c->how == KYMO_HOW_THREAD ? child : actor_at(m, child)->proc;
        for (int i = 1; i < 6; i++)
            arg_set(c, i, KYMO_ARG_IMM, 0);
    }
    return KYMO_OK;
}

static kymo_status do_exec(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint64_t none;
    uint32_t comm, at;
    const int i = m->row[call]->flags & ROW_AT ? 2 : 1;
    if (c->how == KYMO_HOW_EXEC) {
        comm = kymo_trace_comm(m->t, call);
        return blob_text(m, text_of(m, comm), strlen(text_of(m, comm)), &c->text);
    }
    KYMO_TRY(blob_put(m, &none, sizeof(none), 8, &at));
    arg_set(c, i, KYMO_ARG_BLOB, at);
    arg_set(c, i + 1, KYMO_ARG_BLOB, at);
    return KYMO_OK;
}

static kymo_status do_wait(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const int is_id = m->row[call]->arg == 1, i = is_id ? 1 : 0;
    const int64_t who = (int32_t)t->arg[i];
    uint32_t child = m->note[call].link;
    if (is_id && t->arg[0] != P_PID) {
        arg_set(c, i, KYMO_ARG_IMM, 0);
        if (t->arg[0] == P_PGID)
            arg_set(c, 0, KYMO_ARG_IMM, P_ALL);
        return t->arg[0] == P_PIDFD ? inject(c) : KYMO_OK;
    }
    if (child == NONE && who > 0)
        child = family_pid(m, (uint64_t)who, t->exit_ns);
    if (who > 0)
        arg_set(c, i, child == NONE ? KYMO_ARG_IMM : KYMO_ARG_PID,
                child == NONE ? NOBODY_PID : child);
    else if (!is_id && child != NONE && t->ret > 0)
        arg_set(c, i, KYMO_ARG_PID, child); /* of any child, the one it was */
    else
        arg_set(c, i, KYMO_ARG_IMM, UINT64_MAX);
    return KYMO_OK;
}

static kymo_status do_kill(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const uint32_t target = m->note[call].link;
    const int64_t pid = (int32_t)t->arg[0];
    const uint64_t sig = t->arg[m->row[call]->arg == 2 ? 2 : 1];
    if (m->row[call]->arg) {
        if (target == NONE && t->ret == 0 && sig)
            how_set(c, KYMO_HOW_SKIP, KYMO_WHY_SIGNAL);
        return KYMO_OK;
    }
    if (pid < -1) {
        const uint32_t leader = family_pid(m, (uint64_t)-pid, t->exit_ns);
        if (leader != NONE) {
            arg_set(c, 0, KYMO_ARG_PGID, leader);
            return KYMO_OK;
        }
    } else if (pid > 0 && target != NONE) {
        arg_set(c, 0, KYMO_ARG_PID, target);
        return KYMO_OK;
    } else if (pid > 0 && t->ret == -ESRCH) {
        arg_set(c, 0, KYMO_ARG_IMM, NOBODY_PID);
        return KYMO_OK;
    } else if (pid == 0 && !sig) {
        arg_set(c, 0, KYMO_ARG_IMM, 0);
        return KYMO_OK;
    }
    how_set(c, KYMO_HOW_SKIP, KYMO_WHY_SIGNAL);
    return KYMO_OK;
}

/* A handler, where the process was ever in one; SIGCHLD must stay what wait needs. */
static kymo_status do_sigaction(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct proc *p = proc_at(m, proc_of_call(m, call));
    const uint64_t sig = t->arg[0] & 127;
    const uint32_t code = p->of == NONE ? 0 : m->t->process[p->of].code;
    uint64_t what = p->has_handlers ? 2 : 1;
    if (sig == SIGCHLD && !p->has_handlers)
        what = 0;
    if (sig == SIGPIPE)
        what = 1;
    if (sig == (code & 127) && sig)
        what = 0;
    if (t->arg[1])
        arg_set(c, 1, KYMO_ARG_ACTION, what);
    return KYMO_OK;
}

static kymo_status do_sigmask(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const uint64_t mask = signals_mask(m, call);
    return t->arg[1] ? put_blob(m, c, 1, &mask, sizeof(mask)) : KYMO_OK;
}

/* ---- ids and limits ---- */

static kymo_status do_set_ids(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const char *const name = m->row[call]->name;
    const int single = !strcmp(name, "setuid") || !strcmp(name, "setgid") ||
                       !strcmp(name, "setfsuid") || !strcmp(name, "setfsgid");
    const int is_uid = strstr(name, "uid") != NULL;
    if (c->ret < 0 && c->ret != -EPERM)
        return inject(c);
    for (int i = 0; i < (single ? 1 : 3); i++)
        if (m->row[call]->how[i])
            arg_set(c, i, KYMO_ARG_IMM,
                    single ? (uint64_t)(is_uid ? m->own_uid : m->own_gid) : UINT32_MAX);
        else
            break;
    return KYMO_OK;
}

static kymo_status do_caps(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    const struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const int sets = !strcmp(m->row[call]->name, "capset");
    KYMO_TRY(put_copy(m, c, 0, &head, sizeof(head)));
    if (t->arg[1] || sets)
        arg_set(c, 1, sets ? KYMO_ARG_BLOB : KYMO_ARG_SINK, sets ? m->zeros : 0);
    return KYMO_OK;
}

static kymo_status do_prctl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    uint32_t comm;
    switch (t->arg[0]) {
    case PR_SET_NAME: {
        const struct actor *a = actor_at(m, actor_of_call(m, call));
        const uint32_t i = m->index_of[call] + 1;
        comm = kymo_trace_comm(m->t, i < a->n ? m->t->order[a->first + i] : call);
        const char *const name = text_of(m, comm);
        return put_blob(m, c, 1, name, strlen(name) + 1);
    }
    case PR_GET_NAME:
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER:
        arg_set(c, 1, KYMO_ARG_SINK, 0);
        return KYMO_OK;
    case PR_GET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_CAPBSET_READ:
    case PR_GET_SECUREBITS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_TIMERSLACK:
    case PR_SET_TIMERSLACK:
    case PR_GET_THP_DISABLE:
    case PR_SET_THP_DISABLE:
    case PR_GET_SECCOMP:
        for (int i = 1; i < 5; i++)
            arg_set(c, i, KYMO_ARG_IMM, t->arg[i]);
        return t->ret == -EINVAL ? KYMO_OK
               : t->arg[0] == PR_GET_SECCOMP || t->arg[0] == PR_GET_NO_NEW_PRIVS ||
                       t->arg[0] == PR_CAPBSET_READ || t->arg[0] == PR_GET_SECUREBITS
                   ? inject(c) /* the sandbox's answer is another */
                   : KYMO_OK;
    case PR_CAP_AMBIENT:
        for (int i = 1; i < 5; i++)
            arg_set(c, i, KYMO_ARG_IMM, t->arg[i]);
        return t->arg[1] == PR_CAP_AMBIENT_RAISE ? inject(c) : KYMO_OK;
    case PR_SET_SECCOMP:
    case PR_SET_MM:
        how_set(c, KYMO_HOW_SKIP, KYMO_WHY_POWER);
        return KYMO_OK;
    default:
        return inject(c);
    }
}

static kymo_status do_arch_prctl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint64_t code = traced(m, call)->arg[0];
    if (code >= 0x1001 && code <= 0x1004) /* segment bases: the stage has no use for them */
        return do_own_memory(m, call, c), arg_set(c, 1, KYMO_ARG_SINK, c->arg[0]),
               arg_set(c, 0, KYMO_ARG_IMM, code), KYMO_OK;
    return inject(c);
}

static kymo_status do_personality(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    arg_set(c, 0, KYMO_ARG_IMM, UINT32_MAX); /* asks */
    return c->ret ? inject(c) : KYMO_OK;
}

static kymo_status do_setrlimit(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    arg_set(c, 0, KYMO_ARG_IMM, 4); /* RLIMIT_CORE, which is 0 as it is */
    arg_set(c, 1, KYMO_ARG_BLOB, m->zeros);
    if (c->how == KYMO_HOW_ISSUE)
        c->why = KYMO_WHY_SUBSTITUTE;
    return KYMO_OK;
}

static kymo_status do_prlimit(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = traced(m, call);
    if (c->kind[0] == KYMO_ARG_PID && t->arg[0])
        arg_set(c, 0, KYMO_ARG_IMM, 0);
    if (t->arg[2] && c->how == KYMO_HOW_ISSUE)
        c->why = KYMO_WHY_SUBSTITUTE; /* asks, and sets nothing */
    return KYMO_OK;
}

static kymo_status do_who(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    for (int i = 0; i < 2; i++)
        if (c->kind[i] == KYMO_ARG_IMM && c->arg[i] == NOBODY_PID && c->ret != -ESRCH)
            arg_set(c, i, KYMO_ARG_IMM, 0);
    return KYMO_OK;
}

static kymo_status do_setpriority(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    KYMO_TRY(do_who(m, call, c));
    return (int32_t)traced(m, call)->arg[2] < 0 ? inject(c) : KYMO_OK;
}

static kymo_status do_affinity(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint8_t all[128] = {[0 ... 127] = 0xff};
    const struct kymo_trace_call *t = traced(m, call);
    KYMO_TRY(do_who(m, call, c));
    arg_set(c, 1, KYMO_ARG_IMM,
            t->arg[1] > sizeof(all) && t->ret > 0 ? t->arg[1] : least(t->arg[1], sizeof(all)));
    if (!strcmp(m->row[call]->name, "sched_setaffinity"))
        return put_blob(m, c, 2, all, sizeof(all));
    return KYMO_OK;
}

static kymo_status do_scheduler(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint64_t policy = traced(m, call)->arg[1];
    KYMO_TRY(do_who(m, call, c));
    if (strcmp(m->row[call]->name, "sched_setscheduler"))
        return KYMO_OK;
    arg_set(c, 1, KYMO_ARG_IMM, policy);
    return policy == 1 || policy == 2 || policy == 6 ? inject(c) : KYMO_OK;
}

static kymo_status do_clock(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint64_t clock = traced(m, call)->arg[0];
    arg_set(c, 0, KYMO_ARG_IMM, clock <= 11 ? clock : 3); /* a thread's own: this one's */
    return KYMO_OK;
}

static kymo_status do_alarm(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    return c->ret ? inject(c) : KYMO_OK;
}

static kymo_status do_sleep(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    if (!strcmp(m->row[call]->name, "clock_nanosleep")) /* however it was said: for so long */
        arg_set(c, 1, KYMO_ARG_IMM, 0);
    return KYMO_OK;
}

static kymo_status do_membarrier(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    return c->ret < 0 ? inject(c) : KYMO_OK;
}

/* ---- which is whose ---- */

static const struct {
    const char *name;
    special *lower;
} by_name[] = {
    {"openat2", do_open},
    {"close_range", do_close_range},
    {"fcntl", do_fcntl},
    {"pipe", do_pair},
    {"pipe2", do_pair},
    {"socketpair", do_pair},
    {"memfd_create", do_memfd},
    {"lseek", do_seek},
    {"fchown", do_own_ids},
    {"chown", do_own_ids},
    {"lchown", do_own_ids},
    {"fchownat", do_own_ids},
    {"mknod", do_mknod},
    {"mknodat", do_mknod},
    {"sendfile", do_move},
    {"splice", do_move},
    {"copy_file_range", do_move},
    {"ioctl", do_ioctl},
    {"signalfd", do_signalfd},
    {"signalfd4", do_signalfd},
    {"timerfd_settime", do_timerfd},
    {"epoll_ctl", do_epoll_ctl},
    {"epoll_wait", do_epoll_wait},
    {"epoll_pwait", do_epoll_wait},
    {"epoll_pwait2", do_epoll_wait},
    {"poll", do_poll},
    {"ppoll", do_poll},
    {"select", do_select},
    {"pselect6", do_select},
    {"socket", do_socket},
    {"bind", do_bind},
    {"connect", do_connect},
    {"accept", do_accept},
    {"accept4", do_accept},
    {"sendto", do_send},
    {"sendmsg", do_send},
    {"sendmmsg", do_send},
    {"getsockopt", do_getsockopt},
    {"setsockopt", do_setsockopt},
    {"mmap", do_mmap},
    {"munmap", do_munmap},
    {"mremap", do_mremap},
    {"mprotect", do_region},
    {"pkey_mprotect", do_region},
    {"madvise", do_region},
    {"msync", do_region},
    {"mincore", do_region},
    {"mlock", do_region},
    {"mlock2", do_region},
    {"munlock", do_region},
    {"brk", do_brk},
    {"membarrier", do_membarrier},
    {"futex", do_futex},
    {"set_robust_list", do_robust_list},
    {"set_tid_address", do_own_memory},
    {"rseq", do_own_memory},
    {"clone", do_fork},
    {"clone3", do_fork},
    {"fork", do_fork},
    {"vfork", do_fork},
    {"execve", do_exec},
    {"execveat", do_exec},
    {"wait4", do_wait},
    {"waitid", do_wait},
    {"kill", do_kill},
    {"tkill", do_kill},
    {"tgkill", do_kill},
    {"rt_sigaction", do_sigaction},
    {"rt_sigprocmask", do_sigmask},
    {"setuid", do_set_ids},
    {"setgid", do_set_ids},
    {"setreuid", do_set_ids},
    {"setregid", do_set_ids},
    {"setresuid", do_set_ids},
    {"setresgid", do_set_ids},
    {"setfsuid", do_set_ids},
    {"setfsgid", do_set_ids},
    {"capget", do_caps},
    {"capset", do_caps},
    {"prctl", do_prctl},
    {"arch_prctl", do_arch_prctl},
    {"personality", do_personality},
    {"setrlimit", do_setrlimit},
    {"prlimit64", do_prlimit},
    {"getpriority", do_who},
    {"setpriority", do_setpriority},
    {"ioprio_get", do_who},
    {"ioprio_set", do_who},
    {"getpgid", do_who},
    {"getsid", do_who},
    {"sched_getaffinity", do_affinity},
    {"sched_setaffinity", do_affinity},
    {"sched_setscheduler", do_scheduler},
    {"sched_setparam", do_scheduler},
    {"clock_gettime", do_clock},
    {"clock_getres", do_clock},
    {"alarm", do_alarm},
    {"nanosleep", do_sleep},
    {"clock_nanosleep", do_sleep},
};

kymo_status lower_special(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const char *const name = m->row[call]->name;
    if (strstr(name, "xattr"))
        return do_xattr(m, call, c);
    for (size_t i = 0; i < sizeof(by_name) / sizeof(by_name[0]); i++)
        if (!strcmp(by_name[i].name, name))
            return by_name[i].lower(m, call, c);
    return KYMO_OK;
}
