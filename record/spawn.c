/* SPDX-License-Identifier: Apache-2.0 */
#include "record/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/nocore.h"

/* Signals as a shell would hand them over, the caller's own ids, then the command. */
static void become(int go, int failed, char *const *argv)
{
    sigset_t none;
    char c;
    int e;

    while (read(go, &c, 1) < 0 && errno == EINTR)
        ;
    nocore_end();
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (geteuid() != getuid() &&
        (setresgid(getgid(), getgid(), getgid()) || setresuid(getuid(), getuid(), getuid())))
        goto fail;
    execvp(argv[0], argv);
fail:
    e = errno;
    if (write(failed, &e, sizeof(e)) != (ssize_t)sizeof(e))
        _exit(126);
    _exit(127);
}

kymo_status spawn_prepare(struct spawn *s, char *const *argv, struct kymo_err *err)
{
    int go[2], failed[2];

    if (pipe2(go, O_CLOEXEC))
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot make a pipe: %s",
                         strerror(errno));
    if (pipe2(failed, O_CLOEXEC)) {
        const int e = errno;
        close(go[0]), close(go[1]);
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot make a pipe: %s", strerror(e));
    }
    s->pid = fork();
    if (s->pid == 0) {
        close(go[1]);
        become(go[0], failed[1], argv);
    }
    const int e = errno;
    close(go[0]);
    close(failed[1]);
    s->go = go[1];
    s->failed = failed[0];
    if (s->pid > 0)
        return KYMO_OK;
    close(s->go), close(s->failed);
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start %s: %s", argv[0],
                     strerror(e));
}

kymo_status spawn_go(struct spawn *s, const char *name, struct kymo_err *err)
{
    int e;

    close(s->go);
    const ssize_t n = read(s->failed, &e, sizeof(e));
    close(s->failed);
    if (n != (ssize_t)sizeof(e))
        return KYMO_OK;
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
    return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "cannot run %s: %s", name, strerror(e));
}

int spawn_exit_status(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}
