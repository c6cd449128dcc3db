/* SPDX-License-Identifier: Apache-2.0
 * stage_start.c: the processes that are there when the slice begins. A thread of init gives up all power, installs
 * the call filter on itself, and forks them from there, so that what init may do is never theirs; each forks its
 * own children, takes its descriptors, and becomes the stage.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"

#define NOFILE_SPARE 16u /* what the stage opens for a moment after an exec */

struct starter {
    struct inside *s;
    struct kymo_err *err;
    kymo_status status;
};

/* ---- giving up power ------------------------------------------------------------------------- */

static int drop_power(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    const int bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                     SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0))
            return -1;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
        prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return (int)syscall(SYS_capset, &head, none);
}

static void limit(int what, rlim_t n)
{
    struct rlimit now;

    if (getrlimit(what, &now))
        return;
    if (now.rlim_max == RLIM_INFINITY || n < now.rlim_max)
        now.rlim_max = n;
    now.rlim_cur = now.rlim_max;
    setrlimit(what, &now);
}

static void limits(const struct inside *s, const struct kymo_iprocess *p)
{
    const rlim_t own = KYMO_SINK_BYTES + (rlim_t)p->n_lanes * KYMO_LANE_BYTES +
                       (rlim_t)s->more->n_regions * 8 + 0x1000000;
    struct rlimit files;

    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        /* It may raise it itself, as far as this host lets it. */
        const rlim_t wanted = (rlim_t)(p->nofile < 64 ? 64 : p->nofile) + NOFILE_SPARE;
        files.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_DATA, s->o->memory_bytes + own);
    if (!s->is_unlimited)
        limit(RLIMIT_NPROC, (rlim_t)s->n_actors + 64);
    if (s->o->root)
        limit(RLIMIT_FSIZE, s->o->disk_bytes);
}

/* ---- one process ----------------------------------------------------------------------------- */

static _Noreturn void fail(const struct inside *s, uint32_t process)
{
    s->more->failure = errno;
    __atomic_store_n(&s->more->failed, s->process[process].leader + 1, __ATOMIC_RELEASE);
    kymo_stage_futex(&s->more->ready, KYMO_FUTEX_WAKE, INT32_MAX, NULL);
    _exit(111);
}

static void take_descriptors(const struct inside *s, uint32_t process)
{
    const struct kymo_iprocess *p = &s->process[process];
    const struct kymo_istart *start = s->start + p->start;
    int lowest = -1;

    for (uint32_t i = 0; i < s->n_objects; i++)
        if (s->object_fd[i] >= 0 && (lowest < 0 || s->object_fd[i] < lowest))
            lowest = s->object_fd[i];
    if (syscall(SYS_close_range, 0u, lowest < 0 ? ~0u : (unsigned)lowest - 1, 0))
        fail(s, process);
    for (uint32_t i = 0; i < p->n_starts; i++)
        if (dup2(s->object_fd[start[i].object], (int)start[i].fd) < 0)
            fail(s, process);
    inside_watch_add(s, process);
}

static void fork_one(const struct inside *s, uint32_t process);

static _Noreturn void become(const struct inside *s, uint32_t process)
{
    const struct kymo_iprocess *p = &s->process[process];
    char actor[16];
    char *argv[] = {"kymo-stage", "start", actor, NULL}, *envp[] = {NULL};

    for (uint32_t i = 0; i < s->n_processes; i++)
        if (s->process[i].at_start && s->process[i].parent == process && i != process)
            fork_one(s, i);
    take_descriptors(s, process);
    umask(p->umask & 0777);
    /* A folder that is not there is one that was removed while it was somebody's. */
    if (chdir(p->cwd ? inside_text(s, p->cwd) : "/") && chdir("/"))
        fail(s, process);
    limits(s, p);
    snprintf(actor, sizeof(actor), "%x", p->leader);
    execve(KYMO_STAGE_ELF, argv, envp);
    fail(s, process);
}

static void fork_one(const struct inside *s, uint32_t process)
{
    const pid_t pid = fork();

    if (pid == 0)
        become(s, process);
    if (pid < 0)
        fail(s, process);
    __atomic_store_n(&s->pid[process], (uint32_t)pid, __ATOMIC_RELEASE);
}

/* Several that came from outside are no group: a signal to one's group is not for the others. One alone is left
 * what it may have been, no leader. */
static int has_company(const struct inside *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n_processes; i++)
        n += s->process[i].at_start && s->process[i].parent == KYMO_NONE;
    return n > 1;
}

static void fork_first(struct inside *s, uint32_t process)
{
    const pid_t pid = fork();

    if (pid == 0) {
        if (has_company(s))
            setpgid(0, 0);
        become(s, process);
    }
    if (pid < 0) {
        s->more->failure = errno;
        s->more->failed = s->process[process].leader + 1;
        return;
    }
    __atomic_store_n(&s->pid[process], (uint32_t)pid, __ATOMIC_RELEASE);
}

static void *starter(void *arg)
{
    struct starter *t = arg;
    struct inside *s = t->s;

    if (drop_power())
        t->status = inside_fail(t->err, "cannot give up", "capabilities");
    else
        t->status = (kymo_status)inside_filter(&s->notify_fd, t->err);
    for (uint32_t i = 0; i < s->n_processes && !t->status; i++)
        if (s->process[i].at_start && s->process[i].parent == KYMO_NONE)
            fork_first(s, i);
    return NULL;
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Since Linux 5.14 processes are counted by user namespace: before, a limit would be one on all of the user's. */
static int counts_by_user(void)
{
    struct utsname u;
    char *end;

    if (uname(&u))
        return 1;
    const long major = strtol(u.release, &end, 10);
    const long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    return major < 5 || (major == 5 && minor < 14);
}

/* Forked at the start: its ancestors are too, up to one from outside. */
static int is_forked(const struct inside *s, uint32_t process)
{
    for (uint32_t steps = 0; steps <= s->n_processes; steps++) {
        if (!s->process[process].at_start)
            return 0;
        if (s->process[process].parent == KYMO_NONE)
            return 1;
        process = s->process[process].parent;
    }
    return 0;
}

/* A plan may say of a thread that it is there at the start, and of its process that it is not: nobody makes that
 * one, and nobody is to wait for it. */
static void who_starts(struct inside *s)
{
    for (uint32_t a = 1; a < s->n_actors; a++) {
        const uint32_t process = s->actor[a].process;
        s->starts[a] =
            (s->actor[a].at_start || s->process[process].leader == a) && is_forked(s, process);
        s->n_starting += s->starts[a];
        if (!s->starts[a] && s->maker[a].actor == KYMO_NONE)
            kymo_ended(&s->progress[a], s->more);
    }
}

/* Over, or never forked because the one that was to do it is over. */
static bool is_gone(const struct inside *s, uint32_t process)
{
    while (!s->pid[process] && s->process[process].parent != KYMO_NONE)
        process = s->process[process].parent;
    return s->pid[process] && inside_is_dead(s->pid[process]);
}

/* Those of processes that are gone before they could say anything; they are over. */
static uint32_t lost(struct inside *s)
{
    uint32_t n = 0;

    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    for (uint32_t a = 1; a < s->n_actors; a++) {
        const uint32_t state = __atomic_load_n(&s->progress[a].state, __ATOMIC_ACQUIRE);
        if (s->starts[a] && state == KYMO_ACTOR_ABSENT && is_gone(s, s->actor[a].process)) {
            kymo_ended(&s->progress[a], s->more);
            s->starts[a] = false;
            n++;
        }
    }
    return n;
}

static kymo_status wait_ready(struct inside *s, struct kymo_err *err)
{
    const int64_t nap[2] = {0, 20000000};

    for (uint32_t n_lost = 0;;) {
        const uint32_t ready = __atomic_load_n(&s->more->ready, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&s->more->failed, __ATOMIC_ACQUIRE))
            return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "actor %u cannot begin: %s",
                             s->more->failed - 1, strerror(s->more->failure));
        if (n_lost && n_lost == s->n_starting)
            return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                             "none of the %u actors that are there at the start began: their "
                             "processes ended",
                             n_lost);
        if (ready + n_lost >= s->n_starting)
            return KYMO_OK;
        /* How long that may take is the caller's to say: it ends us. */
        if (kymo_stage_futex(&s->more->ready, KYMO_FUTEX_WAIT, ready, nap) == -ETIMEDOUT)
            n_lost += lost(s);
    }
}

/* Ends that are an actor's are its alone: else a pipe would never come to its end. */
static void close_actors_ends(struct inside *s)
{
    for (uint32_t p = 0; p < s->n_processes; p++)
        for (uint32_t k = 0; s->process[p].at_start && k < s->process[p].n_starts; k++) {
            int *fd = &s->object_fd[s->start[s->process[p].start + k].object];
            if (*fd >= 0 &&
                !s->object[s->start[s->process[p].start + k].object].is_environment) {
                close(*fd);
                *fd = -1;
            }
        }
}

kymo_status inside_start(struct inside *s, struct kymo_err *err)
{
    struct starter t = {.s = s, .err = err};
    pthread_t thread;

    s->is_unlimited = counts_by_user();
    s->starts = calloc(s->n_actors + 1, sizeof(*s->starts));
    if (!s->starts)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for %u actors",
                         s->n_actors);
    who_starts(s);
    const int e = pthread_create(&thread, NULL, starter, &t);
    if (e)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot make a thread: %s",
                         strerror(e));
    pthread_join(thread, NULL);
    KYMO_TRY(t.status);
    s->control->inject = s->notify_fd >= 0;
    KYMO_TRY(wait_ready(s, err));
    close_actors_ends(s);
    return KYMO_OK;
}
