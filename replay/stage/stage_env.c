/* SPDX-License-Identifier: Apache-2.0
 * stage_env.c: the environment plays its acts: in order, each when what it depends on is done and its moment has
 * come. What cannot be had at once (a connection that is to be accepted, a buffer that is full) waits in a queue
 * of its object, so that one slow peer does not hold up the rest; the acts of one object keep their order.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"

#define BUFFER_BYTES 0x40000u
#define RETRY_NS 1000000u /* a peer that does not listen yet */
#define RETRIES_NS_MAX 3000000000u
#define WAKE_NS_MAX 20000000u /* a sleeper that is on its way to its word */
#define NAP_NS 200000u        /* between looks at both queues and dependencies */
#define SETTLE_NS                                                                              \
    1000000u /* that an act may take to take effect before it is said to be done */
#define LONG_NAP_NS 50000000u
#define POLLED_MAX 1024u
#define SLEEP_LOOKS 200

/* One act under way. */
struct task {
    uint32_t act, next; /* of the same object; index into tasks, 0: none */
    uint64_t left;      /* bytes to be sent */
    uint64_t since_ns;
};

struct peer {
    uint32_t head, tail;
    uint64_t taken, wanted; /* bytes received, and that acts up to now asked for */
    uint64_t retry_ns;
    int is_listed;
    short events; /* what it waits for; 0: for time */
};

struct env {
    struct inside *s;
    struct task *task; /* [n_acts + 1] */
    struct peer *peer; /* [n_objects] */
    uint32_t *active;  /* [n_objects] objects with a queue */
    uint32_t n_active;
    char *out, *in;
};

static int *fd_at(struct env *v, uint32_t object)
{
    return &v->s->object_fd[object];
}

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- one task: 1 over, 0 not yet ------------------------------------------------------------- */

static void unblock(int fd)
{
    const int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int listens(struct env *v, uint32_t object)
{
    const struct kymo_iobject *o = &v->s->object[object];
    int *fd = fd_at(v, object);

    if (*fd >= 0)
        return 1;
    *fd = inside_socket(v->s, o, o->kind == KYMO_OBJECT_DGRAM ? SOCK_DGRAM : SOCK_STREAM);
    if (*fd < 0)
        return 1;
    unblock(*fd);
    if (inside_bind(v->s, *fd, o->local) ||
        (o->kind != KYMO_OBJECT_DGRAM && listen(*fd, SOMAXCONN)))
        shut(fd);
    return 1;
}

static int connects(struct env *v, uint32_t object, struct task *t, uint64_t now)
{
    const struct kymo_iobject *o = &v->s->object[object];
    struct peer *p = &v->peer[object];
    int *fd = fd_at(v, object), e = 0;
    socklen_t bytes = sizeof(e);
    uint32_t length;
    const struct sockaddr *to = inside_address(v->s, o->peer, &length);

    if (!to || now - t->since_ns > RETRIES_NS_MAX)
        return 1;
    if (*fd >= 0 && p->events) {
        if (getsockopt(*fd, SOL_SOCKET, SO_ERROR, &e, &bytes) == 0 && e == 0)
            return 1;
        shut(fd);
    }
    p->events = 0;
    p->retry_ns = now + RETRY_NS;
    if (*fd < 0) {
        *fd = inside_socket(v->s, o, o->kind == KYMO_OBJECT_DGRAM ? SOCK_DGRAM : SOCK_STREAM);
        if (*fd < 0)
            return 1;
        unblock(*fd);
        /* Where its own address cannot be had, another does. */
        if (inside_bind(v->s, *fd, o->local))
            errno = 0;
    }
    if (connect(*fd, to, length) == 0 || errno == EISCONN)
        return 1;
    if (errno == EINPROGRESS) {
        p->events = POLLOUT;
        return 0;
    }
    shut(fd);
    return 0;
}

static int accepts(struct env *v, uint32_t object, const struct kymo_iact *a)
{
    const int listener = a->other < v->s->n_objects ? *fd_at(v, a->other) : -1;
    int *fd = fd_at(v, object);

    if (listener < 0)
        return 1;
    const int got = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (got < 0) {
        v->peer[object].events = POLLIN;
        return errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
    }
    shut(fd);
    *fd = got;
    return 1;
}

static ssize_t push(struct env *v, uint32_t object, size_t n)
{
    const struct kymo_iobject *o = &v->s->object[object];
    const int fd = *fd_at(v, object);
    uint32_t length;
    const struct sockaddr *to = inside_address(v->s, o->peer, &length);

    if (o->kind == KYMO_OBJECT_PIPE)
        return write(fd, v->out, n);
    ssize_t got = send(fd, v->out, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (got < 0 && errno == EDESTADDRREQ && to)
        got = sendto(fd, v->out, n, MSG_DONTWAIT | MSG_NOSIGNAL, to, length);
    return got;
}

static int sends(struct env *v, uint32_t object, struct task *t)
{
    const int whole = v->s->object[object].kind == KYMO_OBJECT_DGRAM;

    if (whole && *fd_at(v, object) < 0)
        listens(v, object);
    do {
        if (*fd_at(v, object) < 0)
            return 1;
        const size_t n = t->left < BUFFER_BYTES ? (size_t)t->left : BUFFER_BYTES;
        const ssize_t got = push(v, object, n);
        if (got < 0) {
            v->peer[object].events = POLLOUT;
            return errno != EAGAIN && errno != EINTR;
        }
        t->left -= whole ? t->left : (uint64_t)got;
    } while (t->left);
    return 1;
}

/* Take all that is there: what is more than asked for counts for the next that asks. */
static int receives(struct env *v, uint32_t object)
{
    struct peer *p = &v->peer[object];
    const int fd = *fd_at(v, object);

    p->events = POLLIN;
    for (;;) {
        const ssize_t n = fd < 0 ? 0 : read(fd, v->in, BUFFER_BYTES);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return 1;
        if (n < 0)
            return p->taken >= p->wanted;
        p->taken += (uint64_t)n;
    }
}

static void shuts(struct env *v, uint32_t object)
{
    int *fd = fd_at(v, object);

    if (v->s->object[object].kind == KYMO_OBJECT_PIPE)
        shut(fd);
    else if (*fd >= 0)
        shutdown(*fd, SHUT_WR);
}

static void resets(struct env *v, uint32_t object)
{
    const struct linger now = {.l_onoff = 1};
    int *fd = fd_at(v, object);

    if (*fd >= 0)
        setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    shut(fd);
}

static int attempt(struct env *v, uint32_t object, struct task *t, uint64_t now)
{
    const struct kymo_iact *a = &v->s->act[t->act];

    switch (a->kind) {
    case KYMO_ACT_LISTEN:
        return listens(v, object);
    case KYMO_ACT_CONNECT:
        return connects(v, object, t, now);
    case KYMO_ACT_ACCEPT:
        return accepts(v, object, a);
    case KYMO_ACT_SEND:
        return sends(v, object, t);
    case KYMO_ACT_RECV:
        return receives(v, object);
    case KYMO_ACT_SHUT:
        shuts(v, object);
        return 1;
    case KYMO_ACT_CLOSE:
        shut(fd_at(v, object));
        return 1;
    case KYMO_ACT_RESET:
        resets(v, object);
        return 1;
    default:
        return 1;
    }
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void advance(struct env *v, uint32_t object)
{
    struct peer *p = &v->peer[object];

    while (p->head) {
        struct task *t = &v->task[p->head];
        const uint64_t now = inside_now_ns();
        if (!attempt(v, object, t, now))
            return;
        p->events = 0;
        p->head = t->next;
        struct kymo_outcome *o = &v->s->act_outcome[t->act];
        o->exit_ns = now - v->s->zero_ns;
    }
    p->tail = 0;
}

static void enqueue(struct env *v, uint32_t i)
{
    const struct kymo_iact *a = &v->s->act[i];
    struct peer *p = &v->peer[a->object];

    if (a->kind == KYMO_ACT_RECV)
        p->wanted += a->n;
    v->task[i + 1] = (struct task){.act = i, .left = a->n, .since_ns = inside_now_ns()};
    if (p->tail)
        v->task[p->tail].next = i + 1;
    else
        p->head = i + 1;
    p->tail = i + 1;
    /* What is under way as a connection is asked for its end by poll alone. */
    if (p->head == p->tail || v->s->act[v->task[p->head].act].kind != KYMO_ACT_CONNECT)
        advance(v, a->object);
    if (p->head && !p->is_listed) {
        p->is_listed = 1;
        v->active[v->n_active++] = a->object;
    }
}

static int waits_on(const struct env *v, uint32_t object)
{
    const struct task *t = &v->task[v->peer[object].head];
    const struct kymo_iact *a = &v->s->act[t->act];

    return v->s->object_fd[a->kind == KYMO_ACT_ACCEPT ? a->other : object];
}

/* Wait for any queue to go on, at most so long, and let it. */
static void pump(struct env *v, uint64_t ns)
{
    static struct pollfd p[POLLED_MAX];
    static uint32_t of[POLLED_MAX];
    const struct timespec ts = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nfds_t n = 0;

    for (uint32_t i = 0; i < v->n_active && n < POLLED_MAX; i++) {
        of[n] = v->active[i];
        p[n] = (struct pollfd){.fd = waits_on(v, of[n]), .events = v->peer[of[n]].events};
        n++;
    }
    ppoll(p, n, &ts, NULL);
    const uint64_t now = inside_now_ns();
    for (nfds_t i = 0; i < n; i++)
        if (p[i].revents || (!v->peer[of[i]].events && now >= v->peer[of[i]].retry_ns))
            advance(v, of[i]);
    for (uint32_t i = 0; i < v->n_active;) {
        struct peer *q = &v->peer[v->active[i]];
        if (q->head) {
            i++;
            continue;
        }
        q->is_listed = 0;
        v->active[i] = v->active[--v->n_active];
    }
}

/* Over in a moment: a connection whose answer is on its way, bytes that an actor gives just now. */
static int is_soon_over(const struct env *v, const struct peer *p, uint64_t now)
{
    const struct task *t = &v->task[p->head];
    const uint32_t kind = v->s->act[t->act].kind;

    return ((kind == KYMO_ACT_CONNECT && p->events) || kind == KYMO_ACT_RECV) &&
           now < t->since_ns + SETTLE_NS;
}

/* Who depends on an act looks for its effect as soon as it is said to be done. Where the act waits behind another
 * that is soon over, that is waited for, once. */
static void settle(struct env *v, const struct kymo_iact *a)
{
    const struct peer *p = &v->peer[a->object];

    if (a->kind != KYMO_ACT_SEND && a->kind != KYMO_ACT_CONNECT && a->kind != KYMO_ACT_SHUT)
        return;
    while (p->head && is_soon_over(v, p, inside_now_ns()))
        pump(v, NAP_NS);
}

/* ---- acts ------------------------------------------------------------------------------------ */

static void wait_for(struct env *v, const struct kymo_dep *d)
{
    struct kymo_progress *p = &v->s->progress[d->actor];
    const int64_t nap[2] = {0, LONG_NAP_NS};

    if (kymo_reached(p, d->index))
        return;
    __atomic_store_n(&v->s->progress[0].state, KYMO_ACTOR_HELD, __ATOMIC_RELEASE);
    __atomic_fetch_add(&p->waiters, 1, __ATOMIC_SEQ_CST);
    while (!kymo_reached(p, d->index)) {
        if (v->n_active)
            pump(v, NAP_NS);
        else if (kymo_nap(p, d->index, nap))
            break;
        if (__atomic_exchange_n(&v->s->progress[0].scratch[KYMO_PASS], 0, __ATOMIC_SEQ_CST))
            break;
    }
    __atomic_fetch_sub(&p->waiters, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->s->progress[0].state, KYMO_ACTOR_READY, __ATOMIC_RELEASE);
}

static void wait_until(struct env *v, const struct kymo_iact *a)
{
    const struct inside *s = v->s;

    if (s->pace <= 0)
        return;
    const uint64_t due = s->zero_ns + (uint64_t)((double)a->enter_ns * s->pace);
    for (uint64_t now = inside_now_ns(); now < due; now = inside_now_ns()) {
        const uint64_t left = due - now;
        __atomic_store_n(&v->s->progress[0].state, KYMO_ACTOR_PACED, __ATOMIC_RELEASE);
        if (left > INSIDE_SPIN_NS)
            pump(v, left - INSIDE_SPIN_NS);
    }
    __atomic_store_n(&v->s->progress[0].state, KYMO_ACTOR_READY, __ATOMIC_RELEASE);
}

static void signals(const struct env *v, const struct kymo_iact *a)
{
    const uint32_t actor = a->other < v->s->n_actors ? a->other : 0;
    const uint32_t tid = __atomic_load_n(&v->s->progress[actor].tid, __ATOMIC_ACQUIRE);
    const uint32_t pid = v->s->pid[v->s->actor[actor].process];

    if (!actor || !tid || !pid || !a->n || a->n > 64)
        return;
    /* It is to find its actor where the recording found it: in a call, if an act waits for that. */
    for (int i = 0; i < SLEEP_LOOKS && a->n_deps && inside_sleeps(v->s, tid) == 0; i++)
        usleep(50);
    syscall(SYS_tgkill, pid, tid, (int)a->n);
}

static void wakes(const struct env *v, const struct kymo_iact *a)
{
    uint32_t *word = (uint32_t *)(void *)v->s->shared + a->other % KYMO_WORDS_MAX;
    const uint64_t until = inside_now_ns() + WAKE_NS_MAX;
    const long n = a->n > INT32_MAX ? INT32_MAX : (long)a->n;

    while (syscall(SYS_futex, word, KYMO_FUTEX_WAKE, n, NULL, NULL, 0) == 0 &&
           inside_now_ns() < until)
        usleep(50);
}

static void play(struct env *v, uint32_t i)
{
    const struct kymo_iact *a = &v->s->act[i];
    struct kymo_outcome *o = &v->s->act_outcome[i];

    o->enter_ns = inside_now_ns() - v->s->zero_ns;
    switch (a->kind) {
    case KYMO_ACT_SIGNAL:
        signals(v, a);
        break;
    case KYMO_ACT_WAKE:
        wakes(v, a);
        break;
    case KYMO_ACT_TREE:
        if (a->other < v->s->image->node.n)
            inside_node_act(v->s, &v->s->node[a->other], a->n);
        break;
    default:
        if (a->object < v->s->n_objects) {
            enqueue(v, i);
            settle(v, a);
        }
        return;
    }
    o->exit_ns = inside_now_ns() - v->s->zero_ns;
}

static void *environment(void *arg)
{
    struct env *v = arg;
    struct inside *s = v->s;

    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    for (uint32_t i = 0; i < s->n_acts; i++) {
        const struct kymo_iact *a = &s->act[i];
        for (uint32_t k = 0; k < a->n_deps; k++)
            wait_for(v, &s->dep[a->dep + k]);
        wait_until(v, a);
        kymo_begun(&s->progress[0], i, 1);
        play(v, i);
        kymo_done(&s->progress[0], i);
    }
    while (v->n_active)
        pump(v, LONG_NAP_NS);
    __atomic_store_n(&s->progress[0].state, KYMO_ACTOR_ENDED, __ATOMIC_SEQ_CST);
    return NULL;
}

static struct env *env_new(struct inside *s)
{
    struct env *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->s = s;
    v->task = calloc(s->n_acts + 1, sizeof(*v->task));
    v->peer = calloc(s->n_objects + 1, sizeof(*v->peer));
    v->active = calloc(s->n_objects + 1, sizeof(*v->active));
    v->out = malloc(BUFFER_BYTES);
    v->in = malloc(BUFFER_BYTES);
    if (v->task && v->peer && v->active && v->out && v->in)
        return v;
    free(v->task);
    free(v->peer);
    free(v->active);
    free(v->out);
    free(v->in);
    free(v);
    return NULL;
}

kymo_status inside_environment(struct inside *s, struct kymo_err *err)
{
    struct env *v = s->n_acts ? env_new(s) : NULL;
    pthread_t thread;

    if (!s->n_acts)
        return KYMO_OK;
    if (!v)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for the environment");
    inside_pattern(v->out, BUFFER_BYTES, 0);
    for (uint32_t i = 0; i < s->n_objects; i++)
        if (s->object_fd[i] >= 0)
            unblock(s->object_fd[i]);
    signal(SIGPIPE, SIG_IGN);
    /* It lives as long as this process. */
    const int e = pthread_create(&thread, NULL, environment, v);
    if (e)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot make a thread: %s",
                         strerror(e));
    pthread_detach(thread);
    return KYMO_OK;
}
