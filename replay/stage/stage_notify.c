/* SPDX-License-Identifier: Apache-2.0
 * stage_notify.c: the supervisor. A call whose cause cannot be made here comes from a page of its own, and the
 * kernel asks us what it returns: what was recorded, after as long as was recorded.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"

#define PENDING_MAX 4096u
#define TIDS 4096u

struct pending {
    uint64_t id, due_ns;
    const struct kymo_icall *call;
};

struct supervisor {
    struct inside *s;
    uint32_t by_tid[TIDS]; /* a guess: the actor that had this tid last */
    struct pending pending[PENDING_MAX];
    uint32_t n_pending;
};

static uint32_t actor_of(struct supervisor *v, uint32_t tid)
{
    uint32_t *guess = &v->by_tid[tid % TIDS];

    if (*guess && __atomic_load_n(&v->s->progress[*guess].tid, __ATOMIC_RELAXED) == tid &&
        v->s->progress[*guess].state != KYMO_ACTOR_ENDED)
        return *guess;
    for (uint32_t a = 1; a < v->s->n_actors; a++)
        if (__atomic_load_n(&v->s->progress[a].tid, __ATOMIC_RELAXED) == tid &&
            v->s->progress[a].state != KYMO_ACTOR_ENDED)
            return *guess = a;
    return 0;
}

/* The call that this thread is in, by its own account. */
static const struct kymo_icall *call_of(struct supervisor *v, uint32_t tid)
{
    const uint32_t a = actor_of(v, tid);
    const uint32_t begun = a ? __atomic_load_n(&v->s->progress[a].begun, __ATOMIC_ACQUIRE) : 0;

    if (!begun || begun > v->s->actor[a].n_calls)
        return NULL;
    return v->s->call + v->s->actor[a].call + begun - 1;
}

static void answer(struct supervisor *v, uint64_t id, const struct kymo_icall *c)
{
    struct seccomp_notif_resp r = {.id = id};

    if (c && c->out == KYMO_OUT_FD && c->ret >= 0) {
        struct seccomp_notif_addfd add = {.id = id, .flags = SECCOMP_ADDFD_FLAG_SEND};
        const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        add.srcfd = (uint32_t)fd;
        const int got = fd < 0 ? -1 : ioctl(v->s->notify_fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
        if (fd >= 0)
            close(fd);
        if (got >= 0)
            return;
        r.error = -EMFILE;
    } else if (!c) {
        r.error = -ENOSYS;
    } else if (c->ret < 0 && c->ret > -4096) {
        r.error = (int)c->ret;
    } else {
        r.val = c->ret;
    }
    /* Who asked may be gone: then nobody waits for the answer. */
    if (ioctl(v->s->notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &r))
        errno = 0;
}

static void answer_due(struct supervisor *v)
{
    const uint64_t now = inside_now_ns();

    for (uint32_t i = 0; i < v->n_pending;) {
        if (v->pending[i].due_ns > now) {
            i++;
            continue;
        }
        answer(v, v->pending[i].id, v->pending[i].call);
        v->pending[i] = v->pending[--v->n_pending];
    }
}

static void take_question(struct supervisor *v, struct seccomp_notif *q, size_t bytes)
{
    memset(q, 0, bytes);
    if (ioctl(v->s->notify_fd, SECCOMP_IOCTL_NOTIF_RECV, q))
        return;
    const struct kymo_icall *c = call_of(v, q->pid);
    const double wait = c ? (double)c->dur_ns * v->s->pace : 0;
    const uint64_t due = inside_now_ns() + (wait > 0 && wait < 9e18 ? (uint64_t)wait : 0);

    if (wait < 20000 || v->n_pending == PENDING_MAX) {
        answer(v, q->id, c);
        return;
    }
    v->pending[v->n_pending++] = (struct pending){q->id, due, c};
}

static void wait_next(struct supervisor *v, struct pollfd *p)
{
    uint64_t first = UINT64_MAX;
    struct timespec ts;

    for (uint32_t i = 0; i < v->n_pending; i++)
        first = v->pending[i].due_ns < first ? v->pending[i].due_ns : first;
    const uint64_t now = inside_now_ns(), left = first > now ? first - now : 0;
    ts.tv_sec = (time_t)(left / 1000000000u);
    ts.tv_nsec = (long)(left % 1000000000u);
    p->revents = 0;
    ppoll(p, 1, v->n_pending ? &ts : NULL, NULL);
}

static void *supervise(void *arg)
{
    struct supervisor *v = arg;
    struct seccomp_notif_sizes sizes = {0};
    struct pollfd p = {.fd = v->s->notify_fd, .events = POLLIN};

    syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes);
    const size_t bytes = sizes.seccomp_notif > sizeof(struct seccomp_notif)
                             ? sizes.seccomp_notif
                             : sizeof(struct seccomp_notif);
    struct seccomp_notif *q = malloc(bytes);
    while (q) {
        wait_next(v, &p);
        if (p.revents & POLLIN)
            take_question(v, q, bytes);
        else if (p.revents)
            break; /* nobody is left who could ask */
        answer_due(v);
    }
    free(q);
    return NULL;
}

kymo_status inside_notify(struct inside *s, struct kymo_err *err)
{
    struct supervisor *v;
    pthread_t thread;

    if (s->notify_fd < 0)
        return KYMO_OK;
    v = calloc(1, sizeof(*v));
    if (!v)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for the supervisor");
    v->s = s;
    const int e = pthread_create(&thread, NULL, supervise, v);
    if (e)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot make a thread: %s",
                         strerror(e));
    pthread_detach(thread);
    return KYMO_OK;
}
