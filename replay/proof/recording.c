/* SPDX-License-Identifier: Apache-2.0
 * recording.c: kymo-record as a child, its capture through a pipe into a file without a name.
 *
 *     kymo-record -w - ── pipe ─► pump thread ─► unnamed file ◄─ /proc/self/fd/N
 *          └─ stderr ─── pipe ─► what it said, for messages
 *
 * Whatever ends this program closes the pipe, and a recorder that cannot write leaves: nothing has to be
 * cleaned up. That it records is told by its control socket, which it opens behind its programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replay/proof/proof.h"

#define BEGIN_NS                                                                               \
    30000000000u /* slow verifiers; a recorder that is alive but not ready after that is not */
#define END_NS 60000000000u
#define LOOK_NS 2000000
#define PIPE_BYTES (1 << 20)
#define SAID_MAX 4096u

extern char **environ;

struct kymo_recording {
    pid_t pid; /* 0: it is gone, and reaped */
    int status, is_status_known;
    int out, say; /* our ends of its pipes */
    int file;
    pthread_t pump;
    int has_pump;
    int write_errno; /* of the pump, read when it has ended */
    pthread_mutex_t lock;
    char said[SAID_MAX]; /* under the lock */
    size_t said_n;
    char path[64];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pause_ns(long ns)
{
    const struct timespec t = {.tv_nsec = ns};
    (void)nanosleep(&t, NULL);
}

/* -------- the recorder -------- */

/* Beside the running program, else the first on PATH. 0: nowhere. */
static int find_recorder(char path[PATH_MAX])
{
    char self[PATH_MAX];
    const char *list = getenv("PATH");
    if (realpath("/proc/self/exe", self)) {
        char *slash = strrchr(self, '/');
        *slash = 0;
        if (snprintf(path, PATH_MAX, "%s/kymo-record", self) < PATH_MAX && !access(path, X_OK))
            return 1;
    }
    while (list && *list) {
        const size_t n = strcspn(list, ":");
        if (n && snprintf(path, PATH_MAX, "%.*s/kymo-record", (int)n, list) < PATH_MAX &&
            !access(path, X_OK))
            return 1;
        list += n + (list[n] == ':');
    }
    return 0;
}

static kymo_status open_file(int *fd, struct kymo_err *err)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder)
        folder = "/tmp";
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0)
        return KYMO_OK;
    char name[PATH_MAX];
    const int why = errno;
    if (snprintf(name, sizeof(name), "%s/kymo-XXXXXX", folder) < (int)sizeof(name) &&
        (*fd = mkostemp(name, O_CLOEXEC)) >= 0) {
        (void)unlink(name);
        return KYMO_OK;
    }
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "no room for a recording in %s: %s", folder,
                     strerror(why));
}

static kymo_status open_pipes(int out[2], int say[2], struct kymo_err *err)
{
    if (pipe2(out, O_CLOEXEC)) {
        out[0] = out[1] = -1;
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "no pipe: %s", strerror(errno));
    }
    if (pipe2(say, O_CLOEXEC)) {
        say[0] = say[1] = -1;
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "no pipe: %s", strerror(errno));
    }
    (void)fcntl(out[0], F_SETPIPE_SZ, PIPE_BYTES);
    return KYMO_OK;
}

/* In a group of its own, so that a signal typed at the terminal does not end it before us. */
static int start(pid_t *pid, const char *path, char *const *argv, int out, int say)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;
    int e = posix_spawn_file_actions_init(&files);
    if (e)
        return e;
    if ((e = posix_spawnattr_init(&how))) {
        (void)posix_spawn_file_actions_destroy(&files);
        return e;
    }
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGTERM);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGCHLD);
    (void)posix_spawnattr_setsigmask(&how, &none);
    (void)posix_spawnattr_setsigdefault(&how, &usual);
    (void)posix_spawnattr_setpgroup(&how, 0);
    (void)posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP);
    e = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    e = e ? e : posix_spawn_file_actions_adddup2(&files, out, 1);
    e = e ? e : posix_spawn_file_actions_adddup2(&files, say, 2);
    e = e ? e : posix_spawn(pid, path, &files, &how, argv, environ);
    (void)posix_spawnattr_destroy(&how);
    (void)posix_spawn_file_actions_destroy(&files);
    return e;
}

/* -------- the pump -------- */

static void hear(struct kymo_recording *r, const char *s, size_t n)
{
    (void)pthread_mutex_lock(&r->lock);
    const size_t room = sizeof(r->said) - 1 - r->said_n;
    const size_t kept = n < room ? n : room;
    memcpy(r->said + r->said_n, s, kept);
    r->said_n += kept;
    r->said[r->said_n] = 0;
    (void)pthread_mutex_unlock(&r->lock);
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        const ssize_t k = write(fd, p, n);
        if (k < 0 && errno != EINTR)
            return errno;
        p += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
    }
    return 0;
}

/* One piece from a pipe; closes it at its end. */
static void pump_out(struct kymo_recording *r, char *buf)
{
    const ssize_t n = read(r->out, buf, PIPE_BYTES);
    if (n < 0 && errno == EINTR)
        return;
    if (n > 0 && !(r->write_errno = write_all(r->file, buf, (size_t)n)))
        return; /* else: a recorder that nobody reads leaves */
    (void)close(r->out);
    r->out = -1;
}

static void pump_say(struct kymo_recording *r, char *buf)
{
    const ssize_t n = read(r->say, buf, PIPE_BYTES);
    if (n > 0)
        hear(r, buf, (size_t)n);
    if (n > 0 || (n < 0 && errno == EINTR))
        return;
    (void)close(r->say);
    r->say = -1;
}

static void *pump(void *arg)
{
    struct kymo_recording *r = arg;
    char *buf = malloc(PIPE_BYTES);
    if (!buf)
        r->write_errno = ENOMEM;
    if (!buf) {
        (void)close(r->out);
        (void)close(r->say);
        r->out = r->say = -1;
    }
    while (r->out >= 0 || r->say >= 0) {
        struct pollfd p[2] = {{.fd = r->out, .events = POLLIN},
                              {.fd = r->say, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[0].revents)
            pump_out(r, buf);
        if (p[1].revents)
            pump_say(r, buf);
    }
    free(buf);
    return NULL;
}

/* Signals are for the threads that know of them. */
static kymo_status start_pump(struct kymo_recording *r, struct kymo_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int e = pthread_create(&r->pump, NULL, pump, r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->has_pump = !e;
    return e ? KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no thread for a recording: %s",
                         strerror(e))
             : KYMO_OK;
}

/* -------- is it there? -------- */

/* Has it ended? Another part of this program may have taken its status; then it is not known. */
static int has_ended(struct kymo_recording *r)
{
    int status = 0;
    if (!r->pid)
        return 1;
    const pid_t e = waitpid(r->pid, &status, WNOHANG);
    if (e == r->pid) {
        r->status = status;
        r->is_status_known = 1;
    }
    if (e == 0 || (e < 0 && errno != ECHILD))
        return 0;
    r->pid = 0;
    return 1;
}

/* A socket of a recorder that is gone, with this pid by chance, does not answer. */
static int serves(pid_t pid, const char *folder, const char *below)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (!folder || !*folder ||
        snprintf(at.sun_path, sizeof(at.sun_path), "%s%s/record-%d.sock", folder, below, pid) >=
            (int)sizeof(at.sun_path))
        return 0;
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    const int e = connect(fd, (const struct sockaddr *)&at, sizeof(at)) ? errno : 0;
    (void)close(fd);
    return e == 0 || e == EACCES || e == EPERM || e == EAGAIN;
}

/* Where it can have no socket, it says so at that place. */
static int is_deaf(struct kymo_recording *r)
{
    (void)pthread_mutex_lock(&r->lock);
    const int deaf = strstr(r->said, "marks are off") != NULL;
    (void)pthread_mutex_unlock(&r->lock);
    return deaf;
}

/* The last thing that it said, without its name and warnings, for a message. */
static void last_word(struct kymo_recording *r, char *out, size_t n)
{
    char said[SAID_MAX], *save = NULL;
    (void)pthread_mutex_lock(&r->lock);
    memcpy(said, r->said, r->said_n + 1);
    (void)pthread_mutex_unlock(&r->lock);
    (void)snprintf(out, n, "it said nothing");
    for (char *line = strtok_r(said, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *text = strncmp(line, "kymo-record: ", 13) ? line : line + 13;
        if (strncmp(text, "WARNING", 7) != 0 && strncmp(text, "warning", 7) != 0)
            (void)snprintf(out, n, "%s", text);
    }
}

static void join_pump(struct kymo_recording *r)
{
    if (r->has_pump)
        (void)pthread_join(r->pump, NULL);
    r->has_pump = 0;
}

static kymo_status wait_ready(struct kymo_recording *r, struct kymo_err *err)
{
    char why[KYMO_ERR_BYTES_MAX - 64];
    const uint64_t until = now_ns() + BEGIN_NS;
    while (now_ns() < until) {
        if (has_ended(r)) {
            join_pump(r);
            last_word(r, why, sizeof(why));
            return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot record here: %s", why);
        }
        if (serves(r->pid, "/run/kymo", "") ||
            serves(r->pid, getenv("XDG_RUNTIME_DIR"), "/kymo") || is_deaf(r))
            return KYMO_OK;
        pause_ns(LOOK_NS);
    }
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "kymo-record does not begin to record");
}

/* -------- begin, end -------- */

static kymo_status spawn(struct kymo_recording *r, pid_t leader, struct kymo_err *err)
{
    char path[PATH_MAX], pid[16];
    int out[2] = {-1, -1}, say[2] = {-1, -1};
    char *argv[] = {"kymo-record", "-q",    "--no-progress",
                    "--redact",    "none",  "--compression",
                    "1",           "--pid", pid,
                    "-w",          "-",     NULL};
    if (!find_recorder(path))
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "there is no kymo-record beside this program, nor on PATH");
    (void)snprintf(pid, sizeof(pid), "%d", leader);
    kymo_status s = open_pipes(out, say, err);
    if (!s) {
        const int e = start(&r->pid, path, argv, out[1], say[1]);
        if (e) {
            r->pid = 0;
            s = KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot run %.300s: %s", path,
                          strerror(e));
        }
    }
    if (out[1] >= 0)
        (void)close(out[1]);
    if (say[1] >= 0)
        (void)close(say[1]);
    r->out = out[0];
    r->say = say[0];
    return s ? s : start_pump(r, err);
}

kymo_status kymo_recording_begin(struct kymo_recording **out, pid_t leader,
                                 struct kymo_err *err)
{
    struct kymo_recording *r = calloc(1, sizeof(*r));
    if (!r)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    r->out = r->say = r->file = -1;
    (void)pthread_mutex_init(&r->lock, NULL);
    kymo_status s = open_file(&r->file, err);
    if (!s)
        s = spawn(r, leader, err);
    if (!s)
        s = wait_ready(r, err);
    if (s) {
        kymo_recording_close(r);
        return s;
    }
    (void)snprintf(r->path, sizeof(r->path), "/proc/self/fd/%d", r->file);
    *out = r;
    return KYMO_OK;
}

/* Ask, then insist. 0: it had to be killed. */
static int stop(struct kymo_recording *r)
{
    const uint64_t until = now_ns() + END_NS;
    if (r->pid)
        (void)kill(r->pid, SIGINT);
    while (!has_ended(r) && now_ns() < until)
        pause_ns(LOOK_NS);
    if (!r->pid)
        return 1;
    (void)kill(r->pid, SIGKILL);
    while (!has_ended(r))
        pause_ns(LOOK_NS);
    return 0;
}

kymo_status kymo_recording_end(struct kymo_recording *r, const char **path,
                               struct kymo_err *err)
{
    char why[KYMO_ERR_BYTES_MAX - 64];
    const int was_there = !has_ended(r);
    const int left = stop(r);
    join_pump(r);
    if (r->write_errno)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot keep the recording: %s",
                         strerror(r->write_errno));
    if (!left)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "kymo-record did not end");
    const int is_good =
        !r->is_status_known || (WIFEXITED(r->status) && !WEXITSTATUS(r->status));
    if (!is_good) {
        last_word(r, why, sizeof(why));
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "kymo-record failed: %s", why);
    }
    if (!was_there)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "kymo-record ended before what it recorded");
    *path = r->path;
    return KYMO_OK;
}

void kymo_recording_close(struct kymo_recording *r)
{
    if (!r)
        return;
    if (!r->has_pump) { /* what nobody reads would hold it up */
        if (r->out >= 0)
            (void)close(r->out);
        if (r->say >= 0)
            (void)close(r->say);
    }
    if (r->pid)
        (void)stop(r);
    join_pump(r); /* which closes them */
    if (r->file >= 0)
        (void)close(r->file);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}
