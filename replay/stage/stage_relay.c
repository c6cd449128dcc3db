/* SPDX-License-Identifier: Apache-2.0
 * stage_relay.c: the one way out. Connections to an object that the plan marks (KYMO_OBJECT_TO_TARGET) are relayed to
 * the peer that the caller named. The sandbox cannot connect there itself: for each connection init asks the
 * caller for a socket, and the caller knows no other peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"

#define RELAYS_MAX 1024u
#define PART_BYTES 65536u

/* One way of a connection: what came in and has not gone out. */
struct way {
    uint32_t at, end;
    int is_over; /* nothing more comes; 2: and the other side has been told */
    char part[PART_BYTES];
};

struct relay {
    int fd[2];         /* the actor's side, the target's */
    struct way way[2]; /* from fd[i] to fd[!i] */
};

struct relays {
    struct inside *s;
    struct relay *relay[RELAYS_MAX];
    uint32_t n;
};

/* A socket on its way to the target; -1: there is none. */
static int ask_socket(const struct inside *s)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } u;
    char c = 0;
    struct iovec part = {&c, 1};
    struct msghdr h = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = u.room,
                       .msg_controllen = sizeof(u.room)};
    int fd = -1;

    memset(&u, 0, sizeof(u));
    if (send(s->way_out, "c", 1, MSG_NOSIGNAL) != 1 ||
        recvmsg(s->way_out, &h, MSG_CMSG_CLOEXEC) != 1)
        return -1;
    const struct cmsghdr *m = CMSG_FIRSTHDR(&h);
    if (m && m->cmsg_type == SCM_RIGHTS && m->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(m), sizeof(fd));
    return fd;
}

static void take_connection(struct relays *v, int listener)
{
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct relay *r;

    if (fd < 0)
        return;
    const int out = v->n < RELAYS_MAX ? ask_socket(v->s) : -1;
    r = out < 0 ? NULL : calloc(1, sizeof(*r));
    if (!r) {
        const struct linger now = {.l_onoff = 1};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd);
        if (out >= 0)
            close(out);
        return;
    }
    r->fd[0] = fd;
    r->fd[1] = out;
    v->relay[v->n++] = r;
}

/* 1: the connection is over. */
static int is_broken(ssize_t n)
{
    return n < 0 && errno != EAGAIN && errno != EINTR;
}

static int carry(struct way *w, int from, int to)
{
    if (w->at == w->end && !w->is_over) {
        const ssize_t n = recv(from, w->part, sizeof(w->part), MSG_DONTWAIT);
        if (is_broken(n))
            return 1;
        w->is_over = n == 0;
        w->at = 0;
        w->end = n > 0 ? (uint32_t)n : 0;
    }
    if (w->at < w->end) {
        const ssize_t n =
            send(to, w->part + w->at, w->end - w->at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (is_broken(n))
            return 1;
        w->at += n > 0 ? (uint32_t)n : 0;
    }
    if (w->at == w->end && w->is_over == 1) {
        shutdown(to, SHUT_WR);
        w->is_over = 2;
    }
    return 0;
}

static short events_of(const struct relay *r, int side)
{
    const struct way *in = &r->way[side], *out = &r->way[!side];

    return (short)((in->at == in->end && !in->is_over ? POLLIN : 0) |
                   (out->at < out->end ? POLLOUT : 0));
}

static void drop(struct relays *v, uint32_t i)
{
    close(v->relay[i]->fd[0]);
    close(v->relay[i]->fd[1]);
    free(v->relay[i]);
    v->relay[i] = v->relay[--v->n];
}

static void serve(struct relays *v, const struct pollfd *p, uint32_t n)
{
    for (uint32_t i = n; i-- > 0;) {
        struct relay *r = v->relay[i];
        const int stir = (p[2 * i].revents | p[2 * i + 1].revents) != 0;
        if (stir &&
            (carry(&r->way[0], r->fd[0], r->fd[1]) || carry(&r->way[1], r->fd[1], r->fd[0]) ||
             (r->way[0].is_over == 2 && r->way[1].is_over == 2)))
            drop(v, i);
    }
}

static int leads_out(const struct inside *s, uint32_t i)
{
    return s->object[i].kind == KYMO_OBJECT_LISTEN && s->object[i].is_environment &&
           s->object[i].flags & KYMO_OBJECT_TO_TARGET && s->object_fd[i] >= 0;
}

static void *relay(void *arg)
{
    struct relays *v = arg;
    struct pollfd *p = calloc(2 * RELAYS_MAX + v->s->n_objects, sizeof(*p));

    while (p) {
        nfds_t n = 0;
        const uint32_t n_relays = v->n;
        for (uint32_t i = 0; i < n_relays; i++)
            for (int side = 0; side < 2; side++)
                p[n++] = (struct pollfd){.fd = v->relay[i]->fd[side],
                                         .events = events_of(v->relay[i], side)};
        for (uint32_t i = 0; i < v->s->n_objects; i++)
            if (leads_out(v->s, i))
                p[n++] = (struct pollfd){.fd = v->s->object_fd[i], .events = POLLIN};
        if (poll(p, n, -1) < 0 && errno != EINTR)
            break;
        serve(v, p, n_relays);
        for (nfds_t i = 2 * n_relays; i < n; i++)
            if (p[i].revents & POLLIN)
                take_connection(v, p[i].fd);
    }
    free(p);
    return NULL;
}

kymo_status inside_relay(struct inside *s, struct kymo_err *err)
{
    pthread_t thread;
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n_objects; i++)
        if (leads_out(s, i)) {
            fcntl(s->object_fd[i], F_SETFL, O_NONBLOCK);
            n++;
        }
    if (!n)
        return KYMO_OK;
    struct relays *v = calloc(1, sizeof(*v));
    if (!v)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for the way to the target");
    v->s = s;
    const int e = pthread_create(&thread, NULL, relay, v);
    if (e)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot make a thread: %s",
                         strerror(e));
    pthread_detach(thread);
    return KYMO_OK;
}
