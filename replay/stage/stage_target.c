/* SPDX-License-Identifier: Apache-2.0
 * stage_target.c: the caller's side of the way out: sockets to one peer, and to no other.
 */
#include "replay/stage/stage_target.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

kymo_status stage_target_find(struct stage_target *t, const char *text, struct kymo_err *err)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[256];
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;

    t->bytes = 0;
    if (!colon || !n || n >= sizeof(host) || !colon[1])
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "--target %s: HOST:PORT is wanted",
                         text);
    memcpy(host, text, n);
    host[n] = 0;
    /* [::1]:80 */
    const int is_bracketed = host[0] == '[' && host[n - 1] == ']';
    if (is_bracketed)
        host[n - 1] = 0;
    const int e = getaddrinfo(host + is_bracketed, colon + 1, &wanted, &found);
    if (e)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "--target %s: %s", text,
                         gai_strerror(e));
    if (found->ai_addrlen <= sizeof(t->address)) {
        memcpy(&t->address, found->ai_addr, found->ai_addrlen);
        t->bytes = found->ai_addrlen;
    }
    freeaddrinfo(found);
    return KYMO_OK;
}

static int open_socket(const struct stage_target *t)
{
    const int fd =
        t->bytes ? socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
                 : -1;

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&t->address, t->bytes) &&
        errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

void stage_target_answer(const struct stage_target *t, int way_out)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } u;
    char c;
    struct iovec part = {&c, 1};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};

    if (recv(way_out, &c, 1, MSG_DONTWAIT) != 1)
        return;
    const int fd = open_socket(t);
    if (fd >= 0) {
        memset(&u, 0, sizeof(u));
        h.msg_control = u.room;
        h.msg_controllen = sizeof(u.room);
        u.head.cmsg_level = SOL_SOCKET;
        u.head.cmsg_type = SCM_RIGHTS;
        u.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&u.head), &fd, sizeof(fd));
    }
    if (sendmsg(way_out, &h, MSG_NOSIGNAL) < 0)
        errno = 0; /* who asked is gone */
    if (fd >= 0)
        close(fd);
}
