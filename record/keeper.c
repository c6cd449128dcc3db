/* SPDX-License-Identifier: Apache-2.0 */
#include "record/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "record/keeper_serve.h"

/* So long is an answer waited for: the rings must not fill meanwhile. Files take longer, and are
 * asked for by who can wait. So many answers in a row that do not come are the end. */
#define WAIT_MS 200u
#define WAIT_FILE_MS 10000u
#define WAIT_START_MS 10000u
#define MISSES_MAX 3u
#define STOP_TRY_NS 1000000
#define STOP_TRIES 2000

struct keeper {
    int fd; /* -1: lost */
    pid_t pid;
    uint64_t cpu_ns;
    pthread_mutex_t lock;
    /* Under the lock: */
    uint32_t sequence, misses;
    struct keeper_answer answer;
};

/* One packet into a; the descriptor that came with it, if any, into *fd. */
static bool take_packet(int socket, struct keeper_answer *a, int *fd)
{
    struct iovec part = {a, sizeof(*a)};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n;

    *fd = -1;
    do
        n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    const struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(c), sizeof(*fd));
    if (n < 0)
        return false;
    errno = EPROTO; /* also when it left */
    return n >= (ssize_t)KEEPER_ANSWER_FIXED &&
           a->text_bytes == (size_t)n - KEEPER_ANSWER_FIXED;
}

static void wait_at_most(struct keeper *k, uint32_t ms)
{
    const struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

static kymo_status wait_until_ready(struct keeper *k, struct kymo_err *err)
{
    int fd;

    wait_at_most(k, WAIT_START_MS);
    if (!take_packet(k->fd, &k->answer, &fd))
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "the keeper process did not start");
    if (k->answer.error)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "the keeper process: %.*s",
                         (int)k->answer.text_bytes, (const char *)k->answer.text);
    wait_at_most(k, WAIT_MS);
    return KYMO_OK;
}

kymo_status keeper_start(struct keeper **out, const struct keeper_opts *o, struct kymo_err *err)
{
    struct keeper *k = calloc(1, sizeof(*k));
    const pid_t recorder = getpid();
    int pair[2];

    if (!k)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    pthread_mutex_init(&k->lock, NULL);
    k->fd = -1;
    const bool paired = !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
    k->pid = paired ? fork() : -1;
    const int e = errno;
    if (k->pid == 0) {
        close(pair[0]);
        keeper_serve(pair[1], recorder, o);
    }
    if (paired) {
        k->fd = pair[0];
        close(pair[1]);
    }
    kymo_status status;
    if (k->pid < 0)
        status = KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start the keeper process: %s",
                           strerror(e));
    else
        status = wait_until_ready(k, err);
    if (status) {
        keeper_stop(k);
        return status;
    }
    *out = k;
    return KYMO_OK;
}

static void lose(struct keeper *k)
{
    if (k->fd >= 0)
        close(k->fd);
    k->fd = -1;
}

void keeper_stop(struct keeper *k)
{
    if (!k)
        return;
    lose(k);
    /* One that was stopped leaves once it is continued, and nobody waits for that. */
    for (int i = 0; k->pid > 0 && i < STOP_TRIES && waitpid(k->pid, NULL, WNOHANG) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = STOP_TRY_NS}, NULL);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

pid_t keeper_pid(const struct keeper *k)
{
    return k->pid;
}

int keeper_socket(const struct keeper *k)
{
    return k->fd;
}

bool keeper_lost(const struct keeper *k)
{
    return k->fd < 0;
}

uint64_t keeper_cpu_ns(const struct keeper *k)
{
    return k->cpu_ns;
}

/* The answer to request number sequence; older ones, whose time was up, are thrown away. */
static bool take_answer(struct keeper *k, uint32_t sequence, struct keeper_answer *a, int *fd)
{
    while (take_packet(k->fd, a, fd)) {
        if (a->sequence == sequence)
            return true;
        if (*fd >= 0)
            close(*fd);
    }
    *fd = -1;
    return false;
}

/* Under the lock. */
static bool ask(struct keeper *k, const struct keeper_request *q, size_t bytes,
                struct keeper_answer *a, int *fd)
{
    *fd = -1;
    if (k->fd < 0)
        return false;
    if (send(k->fd, q, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes &&
        take_answer(k, q->sequence, a, fd)) {
        k->cpu_ns = a->cpu_ns;
        k->misses = 0;
        return true;
    }
    if ((errno != EAGAIN && errno != EWOULDBLOCK) || ++k->misses == MISSES_MAX)
        lose(k);
    return false;
}

bool keeper_ask(struct keeper *k, const struct keeper_request *q, size_t bytes,
                struct keeper_answer *a, int *fd)
{
    pthread_mutex_lock(&k->lock);
    const bool answered = ask(k, q, bytes, a, fd);
    pthread_mutex_unlock(&k->lock);
    return answered;
}

/* Ask, under the lock, for an answer in k->answer. Returns its error, ECONNRESET without one. */
static int request(struct keeper *k, enum keeper_kind kind, uint32_t pid, uint32_t number,
                   const void *text, size_t text_bytes, int *fd)
{
    struct keeper_request q = {.kind = kind, .pid = pid, .number = number};

    *fd = -1;
    if (text_bytes > sizeof(q.text))
        return E2BIG;
    q.sequence = ++k->sequence;
    q.text_bytes = (uint32_t)text_bytes;
    if (text_bytes)
        memcpy(q.text, text, text_bytes);
    if (!ask(k, &q, KEEPER_REQUEST_FIXED + text_bytes, &k->answer, fd))
        return ECONNRESET;
    return (int)k->answer.error;
}

/* Requests whose answer is a descriptor, or nothing. */
static int request_fd(struct keeper *k, enum keeper_kind kind, uint32_t number,
                      const void *text, size_t text_bytes)
{
    int fd;

    pthread_mutex_lock(&k->lock);
    if (kind != KEEPER_LIST)
        wait_at_most(k, WAIT_FILE_MS);
    const int e = request(k, kind, 0, number, text, text_bytes, &fd);
    if (kind != KEEPER_LIST)
        wait_at_most(k, WAIT_MS);
    pthread_mutex_unlock(&k->lock);
    errno = e;
    return e ? -1 : fd;
}

int keeper_list(struct keeper *k, uint32_t which)
{
    return request_fd(k, KEEPER_LIST, which, NULL, 0);
}

int keeper_part_open(struct keeper *k, const char *name)
{
    return request_fd(k, KEEPER_PART_OPEN, 0, name, strlen(name));
}

bool keeper_part_remove(struct keeper *k, const char *name)
{
    request_fd(k, KEEPER_PART_REMOVE, 0, name, strlen(name));
    return errno == 0;
}

size_t keeper_text(struct keeper *k, enum keeper_kind kind, uint32_t pid, uint32_t number,
                   char *buf, size_t cap)
{
    size_t n = 0;
    int fd;

    pthread_mutex_lock(&k->lock);
    if (!request(k, kind, pid, number, NULL, 0, &fd))
        n = k->answer.text_bytes < cap - 1 ? k->answer.text_bytes : cap - 1;
    memcpy(buf, k->answer.text, n);
    pthread_mutex_unlock(&k->lock);
    buf[n] = 0;
    return n;
}

bool keeper_container(struct keeper *k, const char *name, char *id, size_t cap)
{
    int fd;

    pthread_mutex_lock(&k->lock);
    const int e = request(k, KEEPER_CONTAINER, 0, 0, name, strlen(name), &fd);
    if (!e)
        snprintf(id, cap, "%.*s", (int)k->answer.text_bytes, (const char *)k->answer.text);
    pthread_mutex_unlock(&k->lock);
    return !e;
}

bool keeper_map_lookup(struct keeper *k, int map, const void *key, size_t key_bytes,
                       void *value, size_t value_bytes)
{
    int fd;

    pthread_mutex_lock(&k->lock);
    int e = request(k, KEEPER_MAP_LOOKUP, 0, (uint32_t)map, key, key_bytes, &fd);
    if (!e && k->answer.text_bytes != value_bytes)
        e = EINVAL;
    if (!e)
        memcpy(value, k->answer.text, value_bytes);
    pthread_mutex_unlock(&k->lock);
    errno = e;
    return !e;
}

bool keeper_map_update(struct keeper *k, int map, const void *key, size_t key_bytes,
                       const void *value, size_t value_bytes)
{
    uint8_t both[KEEPER_ASK_MAX];
    int fd;

    if (key_bytes > sizeof(both) || value_bytes > sizeof(both) - key_bytes) {
        errno = E2BIG;
        return false;
    }
    memcpy(both, key, key_bytes);
    memcpy(both + key_bytes, value, value_bytes);
    pthread_mutex_lock(&k->lock);
    errno = request(k, KEEPER_MAP_UPDATE, 0, (uint32_t)map, both, key_bytes + value_bytes, &fd);
    const int e = errno;
    pthread_mutex_unlock(&k->lock);
    errno = e;
    return !e;
}
