/* SPDX-License-Identifier: Apache-2.0 */
#include "record/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct hook {
    int fd;
    pid_t pid;
    unsigned missed; /* files that were never handed over; atomic */
};

/* ---- the helper's side ---------------------------------------------------------------------- */

/* Root without a capability is a user like any other whose number is 0. */
static void give_up_power(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}, {0}};

    for (int cap = 0; cap < 64; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    if (geteuid() != getuid() &&
        (setresgid(getgid(), getgid(), getgid()) || setresuid(getuid(), getuid(), getuid())))
        _exit(126);
    if (syscall(SYS_capset, &head, none) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _exit(126);
}

static void close_from(int first)
{
#ifdef SYS_close_range
    if (!syscall(SYS_close_range, first, ~0u, 0))
        return;
#endif
    const long max = sysconf(_SC_OPEN_MAX);
    for (int fd = first; fd < (max > 0 && max < 65536 ? max : 65536); fd++)
        close(fd);
}

static void run_command(char *const *word)
{
    sigset_t none;

    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_from(3);
    execvp(word[0], word);
    _exit(127);
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static void serve_one(int fd, char **word, size_t n_words, char *path)
{
    char text[HOOK_TEXT_MAX];
    int n = 0;

    word[n_words] = path;
    const pid_t pid = fork();
    if (!pid)
        run_command(word);
    const int status = pid < 0 ? -1 : wait_for(pid);
    if (!status)
        return;
    if (status < 0)
        n = snprintf(text, sizeof(text), "cannot run %s on %s", word[0], path);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        n = snprintf(text, sizeof(text), "%s cannot be run (on %s)", word[0], path);
    else if (WIFEXITED(status))
        n = snprintf(text, sizeof(text), "%s %s ended with status %d", word[0], path,
                     WEXITSTATUS(status));
    else
        n = snprintf(text, sizeof(text), "%s %s was ended by signal %d", word[0], path,
                     WTERMSIG(status));
    n = n < (int)sizeof(text) ? n : (int)sizeof(text) - 1;
    (void)!send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Until the recorder is gone, and what it had asked for is done. */
static void serve(int fd, char **word, size_t n_words)
{
    char path[PATH_MAX];
    ssize_t n;
    const int null = open("/dev/null", O_RDWR);

    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout may carry a capture */
    }
    if (fd != 3) {
        dup2(fd, 3);
        fd = 3;
    }
    close_from(4);
    signal(SIGINT,
           SIG_IGN); /* typed at a terminal it is meant for the recorder, whose end is ours */
    while ((n = recv(fd, path, sizeof(path) - 1, 0)) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0)
            continue;
        path[n] = 0;
        serve_one(fd, word, n_words, path);
    }
    _exit(0);
}

/* ---- the recorder's side -------------------------------------------------------------------- */

/* At blanks, in place; 0 when there are none or too many. */
static size_t split(char *s, char **word)
{
    size_t n = 0;
    char *save = NULL;

    for (char *w = strtok_r(s, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save)) {
        if (n == HOOK_WORDS_MAX)
            return 0;
        word[n++] = w;
    }
    return n;
}

kymo_status hook_open(struct hook **out, const char *command, struct kymo_err *err)
{
    char *word[HOOK_WORDS_MAX + 2] = {NULL};
    int pair[2];
    struct hook *h = calloc(1, sizeof(*h));
    char *words = strdup(command);
    const size_t n = words ? split(words, word) : 0;
    kymo_status s = KYMO_OK;

    if (!h || !words)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    else if (!n)
        s = KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                      "the command for parts has no words, or more than %u", HOOK_WORDS_MAX);
    else if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        s = KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot make a socket: %s",
                      strerror(errno));
    if (!s && !(h->pid = fork())) {
        give_up_power();
        serve(pair[1], word, n);
    }
    free(words);
    if (s) {
        free(h);
        return s;
    }
    close(pair[1]);
    h->fd = pair[0];
    if (h->pid < 0) {
        hook_close(h);
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start a process: %s",
                         strerror(errno));
    }
    *out = h;
    return KYMO_OK;
}

void hook_run(struct hook *h, const char *path)
{
    if (send(h->fd, path, strlen(path), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        __atomic_fetch_add(&h->missed, 1, __ATOMIC_RELAXED);
}

bool hook_failure(struct hook *h, char text[HOOK_TEXT_MAX])
{
    const unsigned missed = __atomic_exchange_n(&h->missed, 0, __ATOMIC_RELAXED);

    if (missed) {
        snprintf(text, HOOK_TEXT_MAX, "not run on %u finished files: it is too slow, or gone",
                 missed);
        return true;
    }
    const ssize_t n = recv(h->fd, text, HOOK_TEXT_MAX - 1, MSG_DONTWAIT);
    if (n <= 0)
        return false;
    text[n] = 0;
    return true;
}

bool hook_finish(struct hook *h, int wait_ms)
{
    struct pollfd p = {.fd = h->fd, .events = 0};

    shutdown(h->fd, SHUT_WR);
    while (wait_ms > 0 && !(p.revents & POLLHUP)) {
        const int step = wait_ms < 50 ? wait_ms : 50;
        (void)poll(&p, 1, step);
        wait_ms -= step;
    }
    return p.revents & POLLHUP;
}

void hook_close(struct hook *h)
{
    if (!h)
        return;
    close(h->fd);
    if (h->pid > 0)
        (void)waitpid(h->pid, NULL, WNOHANG);
    free(h);
}
