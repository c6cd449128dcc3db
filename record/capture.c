/* SPDX-License-Identifier: Apache-2.0 */
#include "record/capture.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/trace/chunk.h"
#include "record/budget.h"
#include "record/control.h"
#include "record/host.h"
#include "record/keeper.h"
#include "record/redact.h"
#include "record/snapshot.h"
#include "record/spawn.h"

#define NS_PER_S 1000000000u
/* How long to sleep between polls: so that a ring is about a tenth full, within bounds. Nothing wakes
 * us: a wake-up per record would cost the recorded host more than the record itself. */
#define SLEEP_NS_MIN 1000000u
/* Nothing fills a ring faster than this: calls that do nothing, one behind the other, 64 bytes each. */
#define RING_BYTES_PER_NS 0.16
#define SLEEP_NS_AWAITING 20000000u /* something that is to start: its first calls are wanted */
#define SEAL_AFTER_NS 1000000u      /* a second is sealed so soon after it is over */
#define FILL_WANTED 0.1
#define PROGRESS_EVERY_NS 500000000u
#define COUNTS_EVERY_NS 100000000u
#define FOLLOW_EVERY_NS 20000000u
/* The flight recorder forgets its first seconds: who the processes are is told again. */
#define CONTEXT_EVERY_NS 10000000000u
#define HOOK_WAIT_MS 10000

struct capture {
    const struct capture_opts *o;
    struct session *session;
    struct outbox *outbox;
    struct drain *drain;
    struct control *control;
    struct keeper *keeper;
    bool keeper_missed; /* it was said */
    struct snapshot *snapshot;
    uint64_t late_snapshots;
    struct budget budget;
    uint32_t level_max; /* KYMO_LEVEL_* that was asked for */
    struct spawn spawn;
    int signals;
    sigset_t signals_before;
    bool cmd_running, ending;
    enum capture_end end;
    int cmd_status;
    uint64_t cgroups_made, followed_ns, counted_ns;
    uint64_t begun_ns; /* the earliest that a program of ours may have run */
    uint64_t started_ns, sleep_ns, context_ns, shown_ns, taken_since_shown;
    double fill_since_shown;
};

/* ---- start ---------------------------------------------------------------------------------- */

static struct kymo_cell *source_cells(void *session, uint32_t cpu, uint32_t *n)
{
    return session_cells(session, cpu, n);
}

static kymo_status take_signals(struct capture *c, struct kymo_err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &c->signals_before);
    signal(SIGPIPE, SIG_IGN);
    c->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (c->signals < 0)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot take signals: %s",
                         strerror(errno));
    return KYMO_OK;
}

struct member_ctx {
    struct session *session;
    kymo_status status;
    struct kymo_err *err;
};

static void add_member(void *ctx, uint32_t tid)
{
    struct member_ctx *m = ctx;

    if (!m->status)
        m->status = session_add_member(m->session, tid, m->err);
}

/* The trees as they stand; children born from now on inherit, so those born while we looked are
 * found by looking again. */
static kymo_status choose_trees(struct capture *c, struct kymo_err *err)
{
    struct member_ctx m = {c->session, KYMO_OK, err};

    for (int again = 0; again < 2; again++)
        for (size_t i = 0; i < c->o->n_tree; i++)
            if (!host_tree(c->o->tree[i], add_member, &m) && !again)
                return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "-p %u: no such process",
                                 c->o->tree[i]);
    if (c->cmd_running)
        add_member(&m, (uint32_t)c->spawn.pid);
    return m.status;
}

static void take_fact(void *drain, const char *key, const char *value)
{
    drain_fact(drain, key, value);
}

static void take_snapshot(void *drain, const struct kymo_event_process *e)
{
    drain_snapshot(drain, e);
}

static kymo_status list(void *session, enum session_list which, int *fd, struct kymo_err *err)
{
    return session_list(session, which, fd, err);
}

/* Another recorder's process: no recorder records another, or each row of one would be rows of the
 * other's. Which ones were left out is in the file. */
static void skip_process(void *ctx, pid_t pid, bool there)
{
    struct capture *c = ctx;
    struct kymo_live *live = session_live(c->session);
    char text[16];

    for (size_t i = 2; i < KYMO_SKIP_MAX; i++) {
        if (live->skip[i] != (there ? 0 : (uint32_t)pid))
            continue;
        live->skip[i] = there ? (uint32_t)pid : 0;
        session_judge_again(c->session);
        snprintf(text, sizeof(text), "%d", pid);
        if (c->drain)
            drain_fact(c->drain, there ? "skipped_recorder" : "skipped_recorder_left", text);
        return;
    }
}

static void name_skipped(struct capture *c)
{
    const struct kymo_live *live = session_live(c->session);
    char text[16];

    for (size_t i = 2; i < KYMO_SKIP_MAX; i++) {
        snprintf(text, sizeof(text), "%u", live->skip[i]);
        if (live->skip[i])
            drain_fact(c->drain, "skipped_recorder", text);
    }
}

/* Its arguments are a command's, too, behind --. */
static void write_command(struct capture *c)
{
    char line[4 * KYMO_ARGV_MAX];
    const struct kymo_scrubbed safe =
        redact_argv(c->o->redact, c->o->what, c->o->what_bytes, false);

    host_join_argv(safe.s, safe.n, line, sizeof(line));
    drain_fact(c->drain, "command", line);
}

static kymo_status write_context(struct capture *c, struct kymo_err *err)
{
    char buf[32];

    /* The first row of the file: readers count its times from here. */
    drain_fact_at(c->drain, c->begun_ns, "recorder", "kymo " KYMO_VERSION);
    drain_clock(c->drain);
    host_facts(take_fact, c->drain);
    write_command(c);
    redact_facts(c->o->redact, take_fact, c->drain);
    drain_fact(c->drain, "sources", "syscall process");
    snprintf(buf, sizeof(buf), "%" PRIu64, c->o->snapshot_ns);
    drain_fact(c->drain, "snapshot_ns", buf);
    drain_fact(c->drain, "level",
               !c->o->session.whom.counts  ? "full"
               : c->o->session.whom.full.n ? "counts, full for some"
                                           : "counts");
    snprintf(buf, sizeof(buf), "%" PRIu64, session_ring_bytes(c->session));
    drain_fact(c->drain, "ring_bytes", buf);
    name_skipped(c);
    if (session_has_lists(c->session))
        return session_snapshot(c->session, take_snapshot, c->drain, err);
    drain_fact(
        c->drain, "snapshots",
        "none: this kernel does not show its own type information, by which it lists tasks");
    return KYMO_OK;
}

/* A file, or a folder of them, not a pipe or a device: others may be put beside it. */
static bool is_file(const struct capture_opts *o)
{
    const struct rotate_opts *f = &o->out.files;
    struct stat st;

    return f->parts || (strcmp(f->path, "-") != 0 && !fstat(f->fd, &st) && S_ISREG(st.st_mode));
}

/* The processes of a recording, each with its own power. None is recorded but the command. */
static kymo_status start_processes(struct capture *c, struct kymo_err *err)
{
    const struct rotate_opts *f = &c->o->out.files;
    struct keeper_opts k = {.output = is_file(c->o) ? f->path : NULL, .output_fd = f->fd};

    KYMO_TRY(session_power(c->session, &k, err));
    KYMO_TRY(keeper_start(&c->keeper, &k, err));
    session_live(c->session)->skip[1] = (uint32_t)keeper_pid(c->keeper);
    if (!c->o->cmd)
        return KYMO_OK;
    const struct spawn_opts s = {c->o->cmd, c->o->as, f->fd == STDOUT_FILENO};
    KYMO_TRY(spawn_prepare(&c->spawn, &s, err));
    c->cmd_running = true;
    return KYMO_OK;
}

/* Everything that needs power is open. No thread was started yet: what is given up here is given up
 * in all of them. */
static kymo_status drop_power(struct capture *c, struct kymo_err *err)
{
    const char *why;

    KYMO_TRY(power_drop(&c->o->power, c->spawn.pid, &why, err));
    if (why)
        c->o->warn(why);
    host_use_keeper(c->keeper);
    session_use_keeper(c->session, c->keeper);
    return KYMO_OK;
}

static kymo_status attach(struct capture *c, struct kymo_err *err)
{
    KYMO_TRY(choose_trees(c, err));
    follow_look(&c->o->follow, session_live(c->session));
    KYMO_TRY(session_attach(c->session, err));
    return c->o->n_tree ? choose_trees(c, err) : KYMO_OK;
}

/* What a file has to say that does not hold the start of the recording; facts, and the names of calls and
 * cgroups, the outbox keeps by itself. */
static void write_context_again(struct capture *c)
{
    struct kymo_err err = {0};

    outbox_context(c->outbox, true);
    drain_clock(c->drain);
    if (session_has_lists(c->session) &&
        session_snapshot(c->session, take_snapshot, c->drain, &err))
        c->o->warn(err.text);
    drain_flush(c->drain);
    outbox_context(c->outbox, false);
}

/* Between two seconds: the place where a part ends and the next begins. */
static void second_over(void *ctx, uint64_t ts_ns)
{
    struct capture *c = ctx;

    outbox_second(c->outbox, ts_ns);
    const bool part = outbox_part_due(c->outbox, ts_ns);
    if (part)
        outbox_part(c->outbox, ts_ns);
    if (!part && (!c->o->out.flight || ts_ns < c->context_ns + CONTEXT_EVERY_NS))
        return;
    c->context_ns = ts_ns;
    write_context_again(c);
}

static void warn_of(const struct capture *c, const char *what, const struct kymo_err *err)
{
    char text[KYMO_ERR_BYTES_MAX + 64];

    snprintf(text, sizeof(text), "%s%s", what, err->text);
    c->o->warn(text);
}

static kymo_status open_drain(struct capture *c, struct kymo_err *err)
{
    KYMO_TRY(outbox_start(c->outbox, err));
    const struct counts_source counts = {c->session, session_cpus(c->session), source_cells};
    const struct source source = {
        .n_rings = session_cpus(c->session),
        .ring_bytes = session_ring_bytes(c->session),
        .rings_bytes = session_rings_bytes(c->session),
        .n_tids = session_slots(c->session),
        .counts = c->o->session.cells ? &counts : NULL,
        .window_ns = c->o->window_ns,
        .ctl = session_ctl(c->session, 0),
        .data = session_rings(c->session),
    };
    KYMO_TRY(drain_open(&c->drain, &source, c->outbox, c->begun_ns, err));
    drain_redact(c->drain, c->o->redact);
    if (redact_warning(c->o->redact))
        c->o->warn(redact_warning(c->o->redact));
    return KYMO_OK;
}

static void set_level(struct capture *c)
{
    c->level_max = c->o->session.whom.counts && !c->o->session.whom.full.n ? KYMO_LEVEL_COUNTS
                                                                           : KYMO_LEVEL_FULL;
    budget_init(&c->budget, c->o->max_cpu, c->o->max_memory_bytes, c->level_max);
    session_ceiling(c->session, c->level_max);
}

/* What explains the calls, and then what goes on beside them. */
static kymo_status open_context(struct capture *c, struct kymo_err *err)
{
    const struct snapshot_opts snapshot = {.every_ns = c->o->snapshot_ns,
                                           .outbox = c->outbox,
                                           .list = list,
                                           .ctx = c->session,
                                           .redact = c->o->redact_snapshots};

    outbox_context(c->outbox, true);
    KYMO_TRY(write_context(c, err));
    if (session_has_lists(c->session))
        KYMO_TRY(snapshot_open(&c->snapshot, &snapshot, err));
    if (c->o->out.flight) /* else a start that fails yet has written nothing */
        drain_flush(c->drain);
    outbox_context(c->outbox, false);
    drain_on_seal(c->drain, second_over, c);
    return KYMO_OK;
}

static kymo_status start(struct capture *c, struct kymo_err *err)
{
    struct kymo_err deaf = {0};

    KYMO_TRY(session_open(&c->session, &c->o->session, err));
    KYMO_TRY(take_signals(c, err));
    KYMO_TRY(outbox_open_to(&c->outbox, &c->o->out, err));
    KYMO_TRY(start_processes(c, err));
    c->begun_ns = host_mono_ns();
    control_meet(&c->control, keeper_pid(c->keeper), skip_process, c);
    set_level(c);
    KYMO_TRY(attach(c, err));
    /* Only now: who sees the socket may rely on being recorded. Without one there are no marks, and
     * that is all: an empty container has no /run. */
    if (control_open(&c->control, &deaf))
        warn_of(c, "marks are off: ", &deaf);
    KYMO_TRY(drop_power(c, err));
    KYMO_TRY(open_drain(c, err));
    KYMO_TRY(open_context(c, err));
    c->started_ns = c->context_ns = c->shown_ns = host_mono_ns();
    c->sleep_ns = SLEEP_NS_MIN;
    const kymo_status s = c->cmd_running ? spawn_go(&c->spawn, c->o->cmd[0], err) : KYMO_OK;
    c->cmd_running =
        c->cmd_running && !s; /* else it is reaped, and has no pid to be ended by */
    return s;
}

/* ---- while it runs -------------------------------------------------------------------------- */

static void stop_for(struct capture *c, enum capture_end why)
{
    if (!c->ending)
        c->end = why;
    c->ending = true;
}

static void reap(struct capture *c)
{
    int status;

    if (!c->cmd_running || waitpid(c->spawn.pid, &status, WNOHANG) != c->spawn.pid)
        return;
    c->cmd_running = false;
    c->cmd_status = spawn_exit_status(status);
    stop_for(c, CAPTURE_COMMAND);
}

static void serve_signals(struct capture *c)
{
    struct signalfd_siginfo s;

    while (read(c->signals, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
        if (s.ssi_signo == SIGCHLD)
            reap(c);
        else if (s.ssi_signo == SIGUSR2 && c->o->out.flight)
            drain_mark(c->drain, host_mono_ns(), "trigger", "SIGUSR2", UINT64_MAX, s.ssi_uid,
                       s.ssi_pid);
        else if (s.ssi_signo == SIGUSR2)
            c->o->warn("SIGUSR2 asks a flight recorder to write, which --ring makes");
        else if (c->cmd_running && s.ssi_signo == SIGINT && s.ssi_code == SI_KERNEL)
            continue; /* typed at the terminal: the command has it too, and its end is ours */
        else
            stop_for(c, CAPTURE_STOPPED);
    }
}

static const char *take_mark(void *ctx, const struct control_mark *m)
{
    struct capture *c = ctx;
    const uint64_t now = host_mono_ns();

    if (m->ts_ns > now || m->ts_ns + 10u * NS_PER_S < now)
        return "its time is not of this host's clock";
    if (!strcmp(m->kind, "trigger") && !c->o->out.flight)
        return "it writes all the time: only a recorder started with --ring has something to "
               "dump";
    drain_mark(c->drain, m->ts_ns, m->kind, m->name, m->dur_ns, m->uid, m->pid);
    return NULL;
}

/* What the command for finished parts had to say. */
static void hear_hook(struct capture *c)
{
    char text[HOOK_TEXT_MAX];

    while (c->o->out.files.hook && hook_failure(c->o->out.files.hook, text))
        c->o->warn(text);
}

/* What the recorder costs, looked at once a second; it steps down and up by itself. */
static void keep_budget(struct capture *c, uint64_t now)
{
    struct budget_step step;

    if ((c->o->max_cpu <= 0 && !c->o->max_memory_bytes) ||
        !budget_look(&c->budget, now, host_own_cpu_ns(), host_own_rss_bytes(), &step))
        return;
    session_ceiling(c->session, step.to);
    drain_level(c->drain, budget_level_name(step.from), budget_level_name(step.to), step.why,
                step.value);
}

static void show_progress(struct capture *c, uint64_t now, bool last)
{
    struct drain_totals t;

    if (!c->o->progress || (!last && now - c->shown_ns < PROGRESS_EVERY_NS))
        return;
    drain_totals(c->drain, &t);
    c->o->progress(&(struct capture_progress){
        .elapsed_ns = now - c->started_ns,
        .interval_ns = now - c->shown_ns,
        .taken = c->taken_since_shown,
        .dropped = t.dropped,
        .written_bytes = outbox_bytes(c->outbox),
        .ring_fill = c->fill_since_shown,
        .last = last,
    });
    c->shown_ns = now;
    c->taken_since_shown = 0;
    c->fill_since_shown = 0;
}

static void take_process(void *drain, const void *e, size_t bytes)
{
    drain_process_event(drain, e, bytes);
}

/* Their counts are for the seals, so they are not asked for each time: it is a system call, and on
 * an old kernel a request to the keeper. */
static void take_process_events(struct capture *c, bool last)
{
    struct session_process_counts n;
    const uint64_t now = host_mono_ns();

    session_take_process(c->session, take_process, c->drain);
    if (!last && now - c->counted_ns < COUNTS_EVERY_NS)
        return;
    c->counted_ns = now;
    session_process_counts(c->session, &n);
    drain_process_counts(c->drain, n.seen, n.filtered, n.dropped_ring);
}

/* Cgroups and containers that are chosen by name and were made meanwhile. */
static void follow(struct capture *c, uint64_t now)
{
    struct kymo_live *live = session_live(c->session);
    const uint64_t made = __atomic_load_n(&live->cgroups_made, __ATOMIC_ACQUIRE);

    if (made == c->cgroups_made || now - c->followed_ns < FOLLOW_EVERY_NS ||
        !follow_anything(&c->o->follow))
        return;
    c->cgroups_made = made;
    c->followed_ns = now;
    if (follow_look(&c->o->follow, live))
        session_judge_again(c->session);
}

static void watch_keeper(struct capture *c)
{
    if (c->keeper_missed || !keeper_lost(c->keeper))
        return;
    c->keeper_missed = true;
    c->o->warn("the keeper process is gone: executables, descriptors and calls of other users' "
               "processes stay unknown from here on");
}

static void take_snapshots(struct capture *c)
{
    uint64_t ts_ns;

    for (struct kymo_rows *r; c->snapshot && (r = snapshot_take(c->snapshot, &ts_ns)) != NULL;)
        c->late_snapshots += !drain_rows(c->drain, r, ts_ns);
}

static void say_count(struct capture *c, const char *key, uint64_t n)
{
    char text[32];

    if (!n)
        return;
    snprintf(text, sizeof(text), "%" PRIu64, n);
    drain_fact(c->drain, key, text);
}

/* What is not whole must not be taken for it. */
static void say_gaps(struct capture *c)
{
    struct snapshot_totals s = {0};
    struct drain_totals d;

    if (c->snapshot)
        snapshot_totals(c->snapshot, &s);
    drain_totals(c->drain, &d);
    say_count(c, "snapshots_cut", s.cut + c->late_snapshots);
    say_count(c, "cgroups_unnamed", d.unnamed_cgroups);
}

/* The longest sleep after which a ring that was empty still has room. */
static double sleep_ns_max(const struct capture *c)
{
    const double ns = (double)session_ring_bytes(c->session) / RING_BYTES_PER_NS;

    return follow_anything(&c->o->follow) && ns > SLEEP_NS_AWAITING ? SLEEP_NS_AWAITING : ns;
}

static void adapt_sleep(struct capture *c, double fill)
{
    const double most = sleep_ns_max(c);
    const double factor = fill > 0 ? FILL_WANTED / fill : 2;
    const double next = (double)c->sleep_ns * (factor < 0.25 ? 0.25 : factor > 2 ? 2 : factor);

    c->sleep_ns = next < SLEEP_NS_MIN ? SLEEP_NS_MIN
                  : next > most       ? (uint64_t)most
                                      : (uint64_t)next;
}

static kymo_status turn(struct capture *c, struct kymo_err *err)
{
    struct drain_totals t;
    uint32_t taken;
    const uint64_t now = host_mono_ns();

    take_process_events(c, false);
    take_snapshots(c);
    follow(c, now);
    watch_keeper(c);
    KYMO_TRY(drain_poll(c->drain, now, &taken, err));
    drain_totals(c->drain, &t);
    c->taken_since_shown += taken;
    c->fill_since_shown = t.ring_fill > c->fill_since_shown ? t.ring_fill : c->fill_since_shown;
    adapt_sleep(c, t.ring_fill);
    if (outbox_bound(c->outbox))
        stop_for(c, CAPTURE_BOUND);
    hear_hook(c);
    keep_budget(c, now);
    show_progress(c, now, false);
    if (c->o->duration_ns && now - c->started_ns >= c->o->duration_ns)
        stop_for(c, CAPTURE_DURATION);
    return outbox_status(c->outbox, err);
}

static kymo_status run(struct capture *c, struct kymo_err *err)
{
    struct pollfd fds[CONTROL_POLLFDS_MAX + 1];

    while (!c->ending) {
        nfds_t n = c->control ? control_pollfds(c->control, fds) : 0;
        fds[n++] = (struct pollfd){.fd = c->signals, .events = POLLIN};
        const uint64_t to_seal = NS_PER_S - host_mono_ns() % NS_PER_S + SEAL_AFTER_NS;
        const struct timespec wait = {
            .tv_nsec = (long)(c->sleep_ns < to_seal ? c->sleep_ns : to_seal)};
        if (ppoll(fds, n, &wait, NULL) > 0) {
            serve_signals(c);
            if (c->control)
                control_serve(c->control, take_mark, c);
        }
        KYMO_TRY(turn(c, err));
    }
    return KYMO_OK;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void write_unfinished(struct capture *c, uint64_t now)
{
    const uint32_t *tids;
    const size_t n = drain_tasks(c->drain, &tids);
    struct kymo_slot slot;
    uint64_t nr, arg[6];

    for (size_t i = 0; i < n; i++) {
        const uint32_t pid = drain_task_pid(c->drain, tids[i]);
        if (pid && session_slot(c->session, tids[i], &slot) && slot.entered_ns &&
            !(slot.choice & (KYMO_SLOT_REJECTED | KYMO_SLOT_COUNTED)) &&
            host_blocked_call(pid, tids[i], &nr, arg) && nr < KYMO_CALLS_MAX &&
            c->o->session.wanted_native[nr])
            drain_unfinished(c->drain, tids[i], slot.entered_ns, now, nr, arg);
    }
}

/* A pipe whose reader does not read takes the rest when it likes: a second signal does not wait for it. */
static void let_go_of_signals(struct capture *c)
{
    struct stat st;
    sigset_t set;

    if (c->o->out.files.parts || fstat(c->o->out.files.fd, &st) || S_ISREG(st.st_mode))
        return;
    signal(SIGINT, SIG_DFL); /* a shell ignores it for what it starts in the background */
    signal(SIGTERM, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static kymo_status finish(struct capture *c, struct kymo_err *err)
{
    if (c->snapshot)
        snapshot_stop(c->snapshot);
    session_detach(c->session);
    let_go_of_signals(c);
    take_process_events(c, true);
    take_snapshots(c);
    KYMO_TRY(drain_rest(c->drain, err));
    say_gaps(c);
    const uint64_t now = host_mono_ns();
    write_unfinished(c, now);
    drain_redactions(c->drain, c->o->redact_snapshots, now);
    drain_finish(c->drain, now);
    show_progress(c, now, true);
    const kymo_status s = outbox_finish(c->outbox, err);
    if (c->o->out.files.hook && !hook_finish(c->o->out.files.hook, HOOK_WAIT_MS))
        c->o->warn("the command for finished parts still runs");
    hear_hook(c);
    return s;
}

/* A start that failed leaves no file. Our own right to remove it may be gone already. */
static void discard_output(struct capture *c)
{
    const struct rotate_opts *f = &c->o->out.files;
    const char *slash = strrchr(f->path, '/');
    struct stat st;

    if (c->keeper && !f->parts && is_file(c->o) && !fstat(f->fd, &st) &&
        st.st_size <= (off_t)KYMO_FILE_HEADER_BYTES)
        keeper_part_remove(c->keeper, slash ? slash + 1 : f->path);
}

static void release(struct capture *c, kymo_status failed)
{
    if (c->spawn.pid > 0 && c->cmd_running &&
        failed) { /* it cannot be recorded, and may still wait for its start */
        kill(c->spawn.pid, SIGKILL);
        waitpid(c->spawn.pid, NULL, 0);
    } else if (c->spawn.pid > 0 && c->cmd_running) {
        kill(c->spawn.pid,
             SIGTERM); /* the recording was stopped first: its command ends with it */
    }
    if (failed == KYMO_EHOST || failed == KYMO_EUSAGE)
        discard_output(c);
    control_close(c->control);
    snapshot_close(c->snapshot);
    drain_close(c->drain);
    outbox_close(c->outbox); /* which may have a part removed */
    host_use_keeper(NULL);
    session_close(c->session);
    keeper_stop(c->keeper); /* it removes the control socket */
    if (c->signals >= 0) {
        close(c->signals);
        sigprocmask(SIG_SETMASK, &c->signals_before, NULL);
    }
}

kymo_status capture_run(const struct capture_opts *o, struct capture_result *r,
                        struct kymo_err *err)
{
    struct capture c = {.o = o, .signals = -1};
    kymo_status s = start(&c, err);

    if (!s)
        s = run(&c, err);
    if (!s)
        s = finish(&c, err);
    if (!s) {
        drain_totals(c.drain, &r->totals);
        r->end = c.end;
        outbox_totals(c.outbox, &r->out);
        r->totals.stored -= r->out.refused; /* the account in the file says the same */
        r->totals.dropped += r->out.refused;
        snprintf(r->last, sizeof(r->last), "%s", r->out.last);
        r->out.last = NULL;
        r->elapsed_ns = host_mono_ns() - c.started_ns;
        r->cpu_ns = host_own_cpu_ns();
        r->rss_bytes = host_own_rss_bytes();
        r->cmd_status = c.cmd_status;
    }
    release(&c, s);
    return s;
}
