/* SPDX-License-Identifier: Apache-2.0 */
#include "record/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/nocore.h"

/* Whoever it is, with that user's groups. */
static int take_user(const struct user *as)
{
    gid_t groups[USER_GROUPS_MAX];

    if (!as)
        return geteuid() == getuid() ? 0
                                     : setresgid(getgid(), getgid(), getgid()) ||
                                           setresuid(getuid(), getuid(), getuid());
    if (setgroups(user_groups(as, groups), groups) || setresgid(as->gid, as->gid, as->gid) ||
        setresuid(as->uid, as->uid, as->uid))
        return -1;
    if (*as->name)
        return setenv("USER", as->name, 1) || setenv("LOGNAME", as->name, 1) ||
               setenv("HOME", as->home, 1);
    return 0;
}

/* Capabilities that reach a command through its exec: what a caller who is not root gave us was for
 * recording. Root has its own, as in any other command of root's. */
static int leave_capabilities(void)
{
    cap_t none = getuid() == 0 ? cap_get_proc() : cap_init();
    int e = none ? cap_clear_flag(none, CAP_INHERITABLE) : -1;

    cap_reset_ambient();
    if (!e)
        e = cap_set_proc(none);
    cap_free(none);
    return e;
}

/* The pipe that tells of a failed exec moves to 3, and everything else is closed. */
static int keep_only(int failed)
{
    if (failed != 3 && dup3(failed, 3, O_CLOEXEC) < 0)
        return -1;
    return close_range(4, ~0u, 0);
}

/* Signals as a shell would hand them over, the caller's own ids, then the command. */
static _Noreturn void become(int go, int failed, const struct spawn_opts *o)
{
    sigset_t none;
    char c;
    ssize_t n;

    while ((n = read(go, &c, 1)) < 0 && errno == EINTR)
        ;
    if (n != 1)
        _exit(126); /* the recorder is gone: nobody would see the command */
    nocore_end();
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if ((!o->stdout_is_taken || dup2(STDERR_FILENO, STDOUT_FILENO) >= 0) && !take_user(o->as) &&
        !leave_capabilities() && !keep_only(failed)) {
        failed = 3;
        execvp(o->argv[0], o->argv);
    }
    const int e = errno;
    if (write(failed, &e, sizeof(e)) != (ssize_t)sizeof(e))
        _exit(126);
    _exit(127);
}

kymo_status spawn_prepare(struct spawn *s, const struct spawn_opts *o, struct kymo_err *err)
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
        become(go[0], failed[1], o);
    }
    const int e = errno;
    close(go[0]);
    close(failed[1]);
    s->go = go[1];
    s->failed = failed[0];
    if (s->pid > 0)
        return KYMO_OK;
    close(s->go), close(s->failed);
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start %s: %s", o->argv[0],
                     strerror(e));
}

kymo_status spawn_go(struct spawn *s, const char *name, struct kymo_err *err)
{
    const char go = 1;
    int e;

    if (write(s->go, &go, 1) != 1)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start %s: %s", name,
                         strerror(errno));
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
