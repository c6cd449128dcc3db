/* SPDX-License-Identifier: Apache-2.0 */
#include "record/control.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define RECORDERS_MAX 32u
#define ANSWER_WAIT_S 2

/* Another recorder, at the end of a connection. */
struct peer {
    int fd; /* -1: free; a client that turned out to be a recorder moves here */
    pid_t pid, keeper;
};

struct control {
    int fd;
    int client[CONTROL_CLIENTS_MAX]; /* -1: free */
    struct peer peer[CONTROL_PEERS_MAX];
    pid_t keeper;
    control_recorder told; /* NULL: nobody wants to know */
    void *told_ctx;
    struct sockaddr_un at;
};

static int folder(char *buf, size_t cap, int which)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (which == 0)
        return snprintf(buf, cap, "/run/kymo") > 0;
    return runtime && *runtime && snprintf(buf, cap, "%s/kymo", runtime) < (int)cap;
}

/* ---- the recorder's side -------------------------------------------------------------------- */

static int bind_in(struct control *c, const char *dir)
{
    if (mkdir(dir, 0755) && errno != EEXIST)
        return -1;
    c->at.sun_family = AF_UNIX;
    const int n =
        snprintf(c->at.sun_path, sizeof(c->at.sun_path), "%s/record-%d.sock", dir, getpid());
    if (n < 0 || (size_t)n >= sizeof(c->at.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    unlink(c->at.sun_path); /* a dead recorder's that had our pid */
    const mode_t before = umask(0117);
    const int e = bind(c->fd, (const struct sockaddr *)&c->at, sizeof(c->at));
    umask(before);
    return e;
}

static struct control *make(void)
{
    struct control *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->fd = -1;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        c->client[i] = -1;
    for (size_t i = 0; i < CONTROL_PEERS_MAX; i++)
        c->peer[i].fd = -1;
    return c;
}

kymo_status control_open(struct control **out, struct kymo_err *err)
{
    struct control *c = *out ? *out : make();
    char dir[80];
    int bound = -1;

    if (!c)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    *out = c;
    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    for (int i = 0; c->fd >= 0 && bound && i < 2; i++)
        if (folder(dir, sizeof(dir), i))
            bound = bind_in(c, dir);
    if (!bound && !listen(c->fd, CONTROL_CLIENTS_MAX))
        return KYMO_OK;
    const int e = errno;
    c->at.sun_path[0] = 0;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                     "no control socket in /run/kymo or $XDG_RUNTIME_DIR: %s", strerror(e));
}

void control_close(struct control *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->client[i] >= 0)
            close(c->client[i]);
    for (size_t i = 0; i < CONTROL_PEERS_MAX; i++)
        if (c->peer[i].fd >= 0)
            close(c->peer[i].fd);
    if (c->at.sun_path[0])
        unlink(c->at.sun_path);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

void control_remove(pid_t recorder)
{
    char path[512], dir[400];
    struct stat st;

    for (int i = 0; i < 2; i++) {
        if (!folder(dir, sizeof(dir), i))
            continue;
        snprintf(path, sizeof(path), "%s/record-%d.sock", dir, recorder);
        if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
            unlink(path);
    }
}

nfds_t control_pollfds(const struct control *c, struct pollfd fds[CONTROL_POLLFDS_MAX])
{
    nfds_t n = 0;

    fds[n++] = (struct pollfd){.fd = c->fd, .events = POLLIN};
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->client[i] >= 0)
            fds[n++] = (struct pollfd){.fd = c->client[i], .events = POLLIN};
    for (size_t i = 0; i < CONTROL_PEERS_MAX; i++)
        if (c->peer[i].fd >= 0)
            fds[n++] = (struct pollfd){.fd = c->peer[i].fd, .events = POLLIN};
    return n;
}

/* ---- other recorders ------------------------------------------------------------------------ */

static void tell(const struct control *c, pid_t pid, bool there)
{
    if (c->told && pid > 0)
        c->told(c->told_ctx, pid, there);
}

/* A recorder at the other end of fd; false when there is no room for it. */
static bool add_peer(struct control *c, int fd)
{
    struct ucred who;
    socklen_t n = sizeof(who);

    for (size_t i = 0; i < CONTROL_PEERS_MAX; i++) {
        if (c->peer[i].fd >= 0)
            continue;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) || who.pid == getpid())
            return false;
        c->peer[i] = (struct peer){.fd = fd, .pid = who.pid};
        tell(c, who.pid, true);
        return true;
    }
    return false;
}

static bool parse_greeting(const char *packet, pid_t *keeper)
{
    char end;

    return sscanf(packet, "recorder\n%d%c", keeper, &end) == 1 && *keeper > 0;
}

static void greet(const struct control *c, int fd)
{
    char text[48];

    snprintf(text, sizeof(text), "recorder\n%d", c->keeper);
    if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return; /* it just left, which the next look at its connection says */
}

static void learn_keeper(const struct control *c, struct peer *p, pid_t keeper)
{
    if (p->keeper || p->pid == keeper)
        return;
    p->keeper = keeper;
    tell(c, keeper, true);
}

/* What a peer said: who its keeper is, or, by closing, that it is gone. */
static void serve_peer(struct control *c, struct peer *p)
{
    char packet[CONTROL_PACKET_MAX + 1];
    pid_t keeper;
    const ssize_t n = recv(p->fd, packet, CONTROL_PACKET_MAX, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        packet[n] = 0;
        if (parse_greeting(packet, &keeper))
            learn_keeper(c, p, keeper);
        return;
    }
    close(p->fd);
    p->fd = -1;
    tell(c, p->pid, false);
    tell(c, p->keeper, false);
}

/* A client that is a recorder: its connection becomes a peer's. */
static bool take_recorder(struct control *c, size_t client, const char *packet)
{
    pid_t keeper;

    if (!parse_greeting(packet, &keeper) || !add_peer(c, c->client[client]))
        return false;
    for (size_t i = 0; i < CONTROL_PEERS_MAX; i++)
        if (c->peer[i].fd == c->client[client])
            learn_keeper(c, &c->peer[i], keeper);
    greet(c, c->client[client]);
    c->client[client] = -1;
    return true;
}

static int parse_mark(char *packet, struct control_mark *m)
{
    char *save = NULL;
    const char *verb = strtok_r(packet, "\n", &save);
    const char *ts, *dur;

    m->kind = strtok_r(NULL, "\n", &save);
    ts = strtok_r(NULL, "\n", &save);
    dur = strtok_r(NULL, "\n", &save);
    m->name = save;
    if (!verb || strcmp(verb, "mark") != 0 || !m->kind || !ts || !dur || !m->name || !*m->name)
        return -1;
    if (strcmp(m->kind, "point") != 0 && strcmp(m->kind, "begin") != 0 &&
        strcmp(m->kind, "end") != 0 && strcmp(m->kind, "trigger") != 0)
        return -1;
    m->ts_ns = strtoull(ts, NULL, 10);
    m->dur_ns = *dur == '-' ? CONTROL_DUR_NONE : strtoull(dur, NULL, 10);
    return 0;
}

static void answer(int fd, char *packet, control_take take, void *ctx)
{
    struct control_mark m;
    struct ucred who = {0};
    socklen_t n = sizeof(who);
    char text[CONTROL_PACKET_MAX];
    const char *why = "not a request this recorder knows";

    if (!parse_mark(packet, &m)) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n))
            who.uid = (uid_t)-1;
        m.uid = who.uid;
        m.pid = (uint32_t)who.pid;
        why = strlen(m.name) > CONTROL_NAME_MAX ? "the name is too long" : take(ctx, &m);
    }
    snprintf(text, sizeof(text), why ? "error: %s" : "ok", why);
    if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return; /* the sender left: the mark stands all the same */
}

void control_serve(struct control *c, control_take take, void *ctx)
{
    char packet[CONTROL_PACKET_MAX + 1];

    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (c->client[i] < 0)
            c->client[i] = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (c->client[i] < 0)
            continue;
        const ssize_t n = recv(c->client[i], packet, CONTROL_PACKET_MAX, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n > 0) {
            packet[n] = 0;
            if (!take_recorder(c, i, packet))
                answer(c->client[i], packet, take, ctx);
        } else {
            close(c->client[i]);
            c->client[i] = -1;
        }
    }
    for (size_t i = 0; i < CONTROL_PEERS_MAX; i++)
        if (c->peer[i].fd >= 0)
            serve_peer(c, &c->peer[i]);
}

/* ---- the client's side ---------------------------------------------------------------------- */

/* Connect to one recorder's socket; -1 when nobody listens there any more. */
static int reach(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const struct timeval wait = {.tv_sec = ANSWER_WAIT_S};

    if (fd < 0)
        return -1;
    if (strlen(path) >= sizeof(at.sun_path)) {
        close(fd);
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait))) {
        const int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

struct found {
    size_t n;
    int fd[RECORDERS_MAX];
    pid_t pid[RECORDERS_MAX];
    int denied; /* a socket that we may not speak to */
};

static void find_in(struct found *f, const char *dir, pid_t wanted)
{
    const struct dirent *e;
    char path[400 + 256];
    int pid;
    DIR *d = opendir(dir);

    if (!d)
        return;
    while ((e = readdir(d)) && f->n < RECORDERS_MAX) {
        if (sscanf(e->d_name, "record-%d.sock", &pid) != 1 || (wanted && pid != wanted))
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        const int fd = reach(path);
        if (fd < 0) {
            f->denied |= errno == EACCES || errno == EPERM;
            if (errno == ECONNREFUSED)
                unlink(path); /* its recorder was killed */
            continue;
        }
        f->fd[f->n] = fd;
        f->pid[f->n++] = pid;
    }
    closedir(d);
}

static kymo_status ask(int fd, const struct control_mark *m, struct kymo_err *err)
{
    char packet[CONTROL_PACKET_MAX], dur[24] = "-";

    if (m->dur_ns != CONTROL_DUR_NONE)
        snprintf(dur, sizeof(dur), "%" PRIu64, m->dur_ns);
    const int n = snprintf(packet, sizeof(packet), "mark\n%s\n%" PRIu64 "\n%s\n%s", m->kind,
                           m->ts_ns, dur, m->name);
    if (n < 0 || (size_t)n >= sizeof(packet))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "the name is too long");
    if (send(fd, packet, (size_t)n, MSG_NOSIGNAL) < 0)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "the recorder went away: %s",
                         strerror(errno));
    const ssize_t got = recv(fd, packet, sizeof(packet) - 1, 0);
    if (got <= 0)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "the recorder did not answer within %d s", ANSWER_WAIT_S);
    packet[got] = 0;
    if (strcmp(packet, "ok") != 0)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "the recorder refused: %s", packet);
    return KYMO_OK;
}

static kymo_status several(const struct found *f, struct kymo_err *err)
{
    char pids[256] = "";

    for (size_t i = 0, at = 0; i < f->n && at < sizeof(pids) - 16; i++)
        at += (size_t)snprintf(pids + at, sizeof(pids) - at, " %d", f->pid[i]);
    return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                     "several recorders run; choose one with --to:%s", pids);
}

kymo_status control_send_mark(const struct control_mark *m, pid_t pid, struct kymo_err *err)
{
    struct found f = {0};
    char dir[400];
    kymo_status s;

    for (int i = 0; i < 2; i++)
        if (folder(dir, sizeof(dir), i))
            find_in(&f, dir, pid);
    if (f.n == 1)
        s = ask(f.fd[0], m, err);
    else if (f.n)
        s = several(&f, err);
    else
        s = KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "%s",
                      f.denied ? "a recorder runs, but its socket is not open to this user"
                               : "no recorder runs here; start one with kymo record");
    for (size_t i = 0; i < f.n; i++)
        close(f.fd[i]);
    return s;
}

/* ---- meeting the others ----------------------------------------------------------------------- */

void control_meet(struct control **out, pid_t keeper, control_recorder told, void *ctx)
{
    struct control *c = *out ? *out : make();
    struct found f = {0};
    char dir[400];

    *out = c;
    if (!c)
        return;
    c->keeper = keeper;
    c->told = told;
    c->told_ctx = ctx;
    for (int i = 0; i < 2; i++)
        if (folder(dir, sizeof(dir), i))
            find_in(&f, dir, 0);
    for (size_t i = 0; i < f.n; i++) {
        if (add_peer(c, f.fd[i]))
            greet(c, f.fd[i]);
        else
            close(f.fd[i]); /* ourselves, or one too many */
    }
}
