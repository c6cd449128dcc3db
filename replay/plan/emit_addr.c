/* SPDX-License-Identifier: Apache-2.0
 * emit_addr.c: socket addresses, vectors and small structures of a plan, as C.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#include "format/trace/sysname.h"
#include "replay/plan/emit_own.h"

#define VECTOR_MAX 8u /* longer ones are arrays of words */

/* The program's table of addresses has each once. */
static void note_place(struct emit *e, const char *family, const char *ip, unsigned port)
{
    struct kymo_buf line = {0};
    kymo_buf_printf(&line, "    {%s, \"%s\", %u, 0},\n", family, ip, port);
    kymo_buf_u8(&line, 0);
    kymo_buf_u8(&e->place, 0);
    if (port && !line.failed && !e->place.failed &&
        !strstr((const char *)e->place.p, (const char *)line.p)) {
        e->place.n--;
        kymo_buf_put(&e->place, line.p, line.n);
    }
    e->place.n--;
    kymo_buf_release(&line);
}

static int put_ip(struct emit *e, struct kymo_buf *out, const char *how, const char *family,
                  const char *ip, uint16_t port)
{
    note_place(e, family, ip, ntohs(port));
    kymo_buf_printf(out, "%s(\"%s\", %u)", how, ip, ntohs(port));
    return 1;
}

static int put_local(struct emit *e, struct kymo_buf *out, kymo_blob at, size_t n)
{
    const char *path = e->blob + at + offsetof(struct sockaddr_un, sun_path);
    const size_t room = n - offsetof(struct sockaddr_un, sun_path);
    const size_t bytes = strnlen(path, room);
    if (!bytes) /* in the abstract, or without a name */
        return 0;
    kymo_buf_printf(out, "local(");
    emit_string(out, path, bytes);
    kymo_buf_printf(out, ")");
    return 1;
}

int emit_addr(struct emit *e, struct kymo_buf *out, kymo_blob at, size_t n)
{
    char ip[INET6_ADDRSTRLEN];
    uint16_t family;
    if (at >= e->n_blob || n > e->n_blob - at || n < sizeof(family) + 1)
        return 0;
    memcpy(&family, e->blob + at, sizeof(family));
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    e->parts |= PART_SOCKETS;
    if (family == AF_INET && n >= sizeof(in4)) {
        memcpy(&in4, e->blob + at, sizeof(in4));
        inet_ntop(AF_INET, &in4.sin_addr, ip, sizeof(ip));
        return put_ip(e, out, "in4", "AF_INET", ip, in4.sin_port);
    }
    if (family == AF_INET6 && n >= sizeof(in6)) {
        memcpy(&in6, e->blob + at, sizeof(in6));
        inet_ntop(AF_INET6, &in6.sin6_addr, ip, sizeof(ip));
        return put_ip(e, out, "in6", "AF_INET6", ip, in6.sin6_port);
    }
    return family == AF_UNIX && put_local(e, out, at, n);
}

/* Where a word of a structure points to. */
static void put_pointer(struct emit *e, struct kymo_buf *out, uint64_t v)
{
    const uint64_t blob = KYMO_IMAGE_BASE + e->image->blob.at;
    if (!v)
        kymo_buf_printf(out, "NULL");
    else if (v == KYMO_SINK_BASE || v == KYMO_PATTERN_BASE)
        kymo_buf_printf(out, v == KYMO_SINK_BASE ? "sink" : "pattern");
    else if (v - KYMO_SINK_BASE < KYMO_SINK_BYTES)
        kymo_buf_printf(out, "sink + %" PRIu64, v - KYMO_SINK_BASE);
    else if (v - KYMO_PATTERN_BASE < KYMO_PATTERN_BYTES)
        kymo_buf_printf(out, "pattern + %" PRIu64, v - KYMO_PATTERN_BASE);
    else if (v > blob && v - blob < e->n_blob) {
        kymo_buf_printf(out, "(void *)");
        emit_bytes(e, out, (kymo_blob)(v - blob), 1);
    } else
        kymo_buf_printf(out, "(void *)0x%" PRIx64, v);
}

static int put_vector(struct emit *e, struct kymo_buf *out, uint64_t at, uint64_t n)
{
    struct iovec v[VECTOR_MAX];
    if (!n || n > VECTOR_MAX || at >= e->n_blob || n * sizeof(*v) > e->n_blob - at)
        return 0;
    memcpy(v, e->blob + at, n * sizeof(*v));
    kymo_buf_printf(out, "((struct iovec[]){");
    for (uint64_t i = 0; i < n; i++) {
        kymo_buf_printf(out, "%s{", i ? ", " : "");
        put_pointer(e, out, (uint64_t)(uintptr_t)v[i].iov_base);
        kymo_buf_printf(out, ", ");
        emit_hole(e, out, HOLE_NUMBER, (int64_t)v[i].iov_len);
        kymo_buf_printf(out, "}");
    }
    kymo_buf_printf(out, "})");
    return 1;
}

static int put_message(struct emit *e, struct kymo_buf *out, uint64_t at)
{
    struct msghdr m;
    const uint64_t blob = KYMO_IMAGE_BASE + e->image->blob.at;
    if (at >= e->n_blob || sizeof(m) > e->n_blob - at)
        return 0;
    memcpy(&m, e->blob + at, sizeof(m));
    const uint64_t vector = (uint64_t)(uintptr_t)m.msg_iov - blob,
                   name = (uint64_t)(uintptr_t)m.msg_name - blob;
    if (vector >= e->n_blob || !m.msg_iovlen || m.msg_iovlen > VECTOR_MAX ||
        m.msg_iovlen * sizeof(struct iovec) > e->n_blob - vector)
        return 0;
    kymo_buf_printf(out, "((struct msghdr[]){{");
    if (!m.msg_namelen || name >= e->n_blob ||
        !emit_addr(e, out, (kymo_blob)name, m.msg_namelen))
        put_pointer(e, out, (uint64_t)(uintptr_t)m.msg_name);
    kymo_buf_printf(out, ", %" PRIu32 ", ", m.msg_namelen);
    put_vector(e, out, vector, m.msg_iovlen);
    kymo_buf_printf(out, ", %zu, ", m.msg_iovlen);
    put_pointer(e, out, (uint64_t)(uintptr_t)m.msg_control);
    kymo_buf_printf(out, ", %zu, 0}})", m.msg_controllen);
    return 1;
}

static void put_epoll(struct kymo_buf *out, const struct epoll_event *v)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{EPOLLIN, "EPOLLIN"},           {EPOLLOUT, "EPOLLOUT"},
                 {EPOLLRDHUP, "EPOLLRDHUP"},     {EPOLLPRI, "EPOLLPRI"},
                 {EPOLLONESHOT, "EPOLLONESHOT"}, {EPOLLET, "(unsigned)EPOLLET"}};
    uint32_t left = v->events;
    int n = 0;
    kymo_buf_printf(out, "((struct epoll_event[]){{");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (left & names[i].bit) {
            kymo_buf_printf(out, "%s%s", n++ ? " | " : "", names[i].name);
            left &= ~names[i].bit;
        }
    if (left || !n)
        kymo_buf_printf(out, "%s0x%" PRIx32, n ? " | " : "", left);
    kymo_buf_printf(out, ", {.u64 = 0x%" PRIx64 "}}})", v->data.u64);
}

/* A structure of a fixed size, taken from the blob. */
static int take(const struct emit *e, uint64_t at, void *to, size_t n)
{
    if (at >= e->n_blob || n > e->n_blob - at)
        return 0;
    memcpy(to, e->blob + at, n);
    return 1;
}

static int put_int(struct emit *e, struct kymo_buf *out, uint64_t at)
{
    int32_t v;
    if (!take(e, at, &v, sizeof(v)))
        return 0;
    kymo_buf_printf(out, "((int[]){%" PRId32 "})", v);
    return 1;
}

static int put_timer(struct emit *e, struct kymo_buf *out, uint64_t at)
{
    struct itimerspec t;
    if (!take(e, at, &t, sizeof(t)))
        return 0;
    kymo_buf_printf(out, "((struct itimerspec[]){{{%lld, %ld}, {%lld, %ld}}})",
                    (long long)t.it_interval.tv_sec, t.it_interval.tv_nsec,
                    (long long)t.it_value.tv_sec, t.it_value.tv_nsec);
    return 1;
}

int emit_struct(struct emit *e, struct kymo_buf *out, const char *name, int k,
                const struct kymo_icall *c)
{
    const struct kymo_sysinfo *info = kymo_sysinfo_by_name(name);
    const uint64_t at = c->kind[k] == KYMO_ARG_COPY ? c->arg[k] >> 16 : c->arg[k];
    struct epoll_event event;
    if (info && info->addr == k && !info->addrlen_is_pointer && info->addrlen >= 0 &&
        info->addrlen < 6 && c->kind[info->addrlen] == KYMO_ARG_IMM && at <= UINT32_MAX)
        return emit_addr(e, out, (kymo_blob)at, (size_t)(c->arg[info->addrlen] & UINT32_MAX));
    if (k == 3 && strcmp(name, "epoll_ctl") == 0 && take(e, at, &event, sizeof(event))) {
        put_epoll(out, &event);
        return 1;
    }
    if (k == 3 && strcmp(name, "setsockopt") == 0 && c->arg[4] == sizeof(int))
        return put_int(e, out, at);
    if (k == 2 && strcmp(name, "ioctl") == 0 && c->arg[1] == FIONBIO)
        return put_int(e, out, at);
    if (k == 2 && strcmp(name, "timerfd_settime") == 0)
        return put_timer(e, out, at);
    if (k == 1 && (strcmp(name, "sendmsg") == 0 || strcmp(name, "recvmsg") == 0))
        return put_message(e, out, at);
    const size_t n = strlen(name);
    if (k == 1 && (strcmp(name + (n > 5 ? n - 5 : 0), "readv") == 0 ||
                   strcmp(name + (n > 6 ? n - 6 : 0), "writev") == 0 ||
                   strcmp(name, "preadv2") == 0 || strcmp(name, "pwritev2") == 0))
        return put_vector(e, out, at, c->arg[2]);
    return 0;
}
