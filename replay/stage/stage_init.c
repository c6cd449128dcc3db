/* SPDX-License-Identifier: Apache-2.0
 * stage_init.c: the sandbox's first process, from its birth to its end; with it ends all that came of it.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/base/size.h"
#include "replay/stage/stage_inside.h"

#define LEAD_NS 5000000u /* from `go` to the plan's moment 0 */
#define LEAVE_NS 20000000u
#define KILLED_NS 2000000000u

uint64_t inside_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

kymo_status inside_fail(struct kymo_err *err, const char *what, const char *name)
{
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "sandbox: %s %s: %s", what, name,
                     strerror(errno));
}

long kymo_stage_futex(uint32_t *word, int op, uint32_t value, const int64_t *timeout)
{
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0) < 0 ? -errno : 0;
}

/* ---- the plan as it is needed here ----------------------------------------------------------- */

#define SECTION(type, name) ((const struct type *)(const void *)(base + s->image->name.at))

static void view(struct inside *s)
{
    const char *base = (const char *)s->image;

    s->process = SECTION(kymo_iprocess, process);
    s->actor = SECTION(kymo_iactor, actor);
    s->call = SECTION(kymo_icall, call);
    s->dep = SECTION(kymo_dep, dep);
    s->object = SECTION(kymo_iobject, object);
    s->start = SECTION(kymo_istart, start);
    s->node = SECTION(kymo_inode, node);
    s->act = SECTION(kymo_iact, act);
    s->blob = base + s->image->blob.at;
    s->n_processes = (uint32_t)s->image->process.n;
    s->n_actors = (uint32_t)s->image->actor.n;
    s->n_objects = (uint32_t)s->image->object.n;
    s->n_acts = (uint32_t)s->image->act.n;
}

/* A call that makes a task or leaves a program is one of those that the stage knows how to make: as a plain call
 * it would make a second player of the same script. An exec that failed is a plain call. */
static int is_structural(const struct kymo_icall *c)
{
    static const uint16_t known[] = {
        __NR_clone, __NR_clone3, __NR_exit, __NR_exit_group, __NR_rt_sigreturn,
#ifdef __NR_fork
        __NR_fork,  __NR_vfork,
#endif
    };

    for (size_t i = 0; i < KYMO_COUNT_OF(known); i++)
        if (known[i] == c->nr)
            return 1;
    return (c->nr == __NR_execve || c->nr == __NR_execveat) && c->ret >= 0;
}

static kymo_status look_through(struct inside *s, uint32_t *n_regions, struct kymo_err *err)
{
    s->maker = malloc((s->n_actors + 1) * sizeof(*s->maker));
    if (!s->maker)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for %u actors",
                         s->n_actors);
    for (uint32_t a = 0; a < s->n_actors; a++)
        s->maker[a] = (struct inside_maker){KYMO_NONE, 0};
    *n_regions = 0;
    for (uint32_t a = 1; a < s->n_actors; a++)
        for (uint32_t i = 0; i < s->actor[a].n_calls; i++) {
            const struct kymo_icall *c = &s->call[s->actor[a].call + i];
            if (c->how == KYMO_HOW_FORK)
                s->maker[s->process[c->other].leader] = (struct inside_maker){a, i};
            else if (c->how == KYMO_HOW_THREAD)
                s->maker[c->other] = (struct inside_maker){a, i};
            else if (c->how == KYMO_HOW_ISSUE && is_structural(c))
                return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                                 "call %u of actor %u makes or ends a task, and is to be "
                                 "issued as if it did not",
                                 i, a);
            if (c->out == KYMO_OUT_REGION && c->other >= *n_regions)
                *n_regions = c->other + 1;
        }
    if (*n_regions > KYMO_REGIONS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%u mappings, at most %u", *n_regions,
                         KYMO_REGIONS_MAX);
    return KYMO_OK;
}

/* ---- control memory -------------------------------------------------------------------------- */

static kymo_status control_size(struct inside *s, struct kymo_err *err)
{
    const uint64_t bytes = KYMO_PROGRESS_AT + s->n_actors * sizeof(struct kymo_progress) +
                           (s->image->call.n + s->n_acts) * sizeof(struct kymo_outcome) +
                           s->n_processes * 4ull;

    if (bytes > KYMO_CONTROL_BYTES_MAX || s->image->bytes > KYMO_IMAGE_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a plan of %llu calls is too long for one replay; a shorter slice is "
                         "not",
                         (unsigned long long)s->image->call.n);
    s->control_bytes = KYMO_WORDS_BYTES + kymo_size_round_up((size_t)bytes, 4096);
    return KYMO_OK;
}

static void control_fill(struct inside *s, uint32_t n_regions)
{
    char *at = s->shared + KYMO_WORDS_BYTES;
    struct kymo_control *c = (struct kymo_control *)(void *)at;

    c->bytes = s->control_bytes - KYMO_WORDS_BYTES;
    c->pace = s->pace = s->o->pace;
    c->n_actors = s->n_actors;
    c->n_processes = s->n_processes;
    c->spin_ns = INSIDE_SPIN_NS;
    c->progress_at = KYMO_PROGRESS_AT;
    c->outcome_at = c->progress_at + s->n_actors * sizeof(struct kymo_progress);
    c->act_at = c->outcome_at + s->image->call.n * sizeof(struct kymo_outcome);
    c->pid_at = c->act_at + s->n_acts * sizeof(struct kymo_outcome);
    s->control = c;
    s->more = (struct kymo_more *)(void *)(at + KYMO_MORE_AT);
    s->more->n_regions = n_regions;
    s->progress = (struct kymo_progress *)(void *)(at + c->progress_at);
    s->outcome = (struct kymo_outcome *)(void *)(at + c->outcome_at);
    s->act_outcome = (struct kymo_outcome *)(void *)(at + c->act_at);
    s->pid = (uint32_t *)(void *)(at + c->pid_at);
    for (uint32_t a = 0; a < s->n_actors; a++)
        s->progress[a].spare = KYMO_WANT_NONE;
}

static void begin(struct inside *s)
{
    struct timespec real;
    const uint64_t now = inside_now_ns();

    clock_gettime(CLOCK_REALTIME, &real);
    s->control->real_ns =
        (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec - inside_now_ns();
    s->control->zero_ns = s->zero_ns = now + LEAD_NS;
    __atomic_store_n(&s->control->go, 1, __ATOMIC_SEQ_CST);
    kymo_stage_futex(&s->control->go, KYMO_FUTEX_WAKE, INT32_MAX, NULL);
}

/* ---- with the caller ------------------------------------------------------------------------- */

static int tell(const struct inside *s, const struct inside_message *m, int fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } u;
    struct iovec part = {(void *)m, sizeof(*m)};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        h.msg_control = u.room;
        h.msg_controllen = sizeof(u.room);
        memset(&u, 0, sizeof(u));
        u.head.cmsg_level = SOL_SOCKET;
        u.head.cmsg_type = SCM_RIGHTS;
        u.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&u.head), &fd, sizeof(fd));
    }
    return sendmsg(s->host, &h, MSG_NOSIGNAL) == (ssize_t)sizeof(*m) ? 0 : -1;
}

/* 1: go on. */
static int hear_go(const struct inside *s)
{
    char c;

    return recv(s->host, &c, 1, 0) == 1 && c == INSIDE_GO;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Whoever made us ends us with it; no terminal's signal reaches what is in here. */
static kymo_status be_first(uid_t uid, gid_t gid, struct kymo_err *err)
{
    sigset_t none;

    sigemptyset(&none);
    for (int n = 1; n < NSIG; n++)
        signal(n, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setgroups(0, NULL) && errno != EPERM)
        return inside_fail(err, "cannot drop", "groups");
    if (setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
        return inside_fail(err, "cannot become", "its user");
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    prctl(PR_SET_NAME, "kymo-stage", 0, 0, 0);
    setsid();
    return KYMO_OK;
}

static kymo_status prepare(struct inside *s, uid_t uid, gid_t gid, struct kymo_err *err)
{
    uint32_t n_regions;

    /* The host has written our maps when it says so; if it is gone, there is nobody to play for. Nothing that can
     * fail comes before: the host could not write maps of a process that is over, and would report that. */
    if (!hear_go(s))
        return KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE, "stopped");
    view(s);
    KYMO_TRY(look_through(s, &n_regions, err));
    KYMO_TRY(control_size(s, err));
    if (s->o->root)
        s->given_fd = open(s->o->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    KYMO_TRY(be_first(uid, gid, err));
    KYMO_TRY(inside_root(s, err));
    /* Nobody of the same user looks into init. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    KYMO_TRY(inside_net(s, err));
    control_fill(s, n_regions);
    KYMO_TRY(inside_objects(s, err));
    const struct inside_message control = {.news = INSIDE_CONTROL,
                                           .control_bytes = s->control_bytes};
    if (tell(s, &control, s->control_fd))
        return inside_fail(err, "cannot tell", "the caller");
    KYMO_TRY(inside_start(s, err));
    KYMO_TRY(inside_usher(s, err));
    KYMO_TRY(inside_relay(s, err));
    return inside_notify(s, err);
}

static kymo_status play(struct inside *s, struct inside_message *m, struct kymo_err *err)
{
    const struct inside_message ready = {.news = INSIDE_READY};

    if (tell(s, &ready, -1) || !hear_go(s))
        return KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE, "stopped");
    begin(s);
    KYMO_TRY(inside_environment(s, err));
    inside_watch(s, &m->end);
    m->freed = s->freed;
    return KYMO_OK;
}

/* Wait for all that came of us, so that what they used is counted; those that wait for the end leave by themselves. */
static void reap(uint64_t ns)
{
    const uint64_t until = inside_now_ns() + ns;

    for (pid_t pid = 1; pid >= 0 && inside_now_ns() < until;) {
        pid = waitpid(-1, NULL, WNOHANG);
        if (pid == 0)
            usleep(500);
    }
}

int inside_main(struct inside *s, uid_t uid, gid_t gid)
{
    struct inside_message m = {.news = INSIDE_END};
    const uint64_t since = inside_now_ns();

    s->proc_fd = s->given_fd = s->root_fd = s->control_fd = s->notify_fd = -1;
    kymo_status e = prepare(s, uid, gid, &m.err);
    s->setup_ns = inside_now_ns() - since;
    if (!e)
        e = play(s, &m, &m.err);
    if (e)
        m.news = INSIDE_FAILED;
    reap(LEAVE_NS);
    kill(-1, SIGKILL);
    reap(KILLED_NS);
    tell(s, &m, -1);
    return e ? 1 : 0;
}
