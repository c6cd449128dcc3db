/* SPDX-License-Identifier: Apache-2.0
 * kymo-record: write down what a host does.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/trace/chunk.h"
#include "record/callset.h"
#include "record/capture.h"
#include "record/host.h"

#define TOOL "kymo-record"
#define RING_BYTES_DEFAULT (16u << 20)
#define MAX_BYTES_DEFAULT (1ull << 30)
#define MIN_FREE_DEFAULT 0.05
#define ZSTD_LEVEL_DEFAULT 3

struct opts {
    const char *path, *syscalls;
    uint64_t duration_ns, max_bytes, ring_bytes, zstd_level, unit_ns;
    double min_free, max_loss;
    struct kymo_opt_list pids, users, cgroups, comms;
    bool everything, force, pass_status, quiet, no_progress;
    char *const *cmd;
    char default_path[160];
};

#define OPTIONS(o)                                                                               \
    {                                                                                            \
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Output", NULL, 0, 0},                                   \
            {KYMO_OPT_STR,                                                                       \
             'w',                                                                                \
             "write",                                                                            \
             "FILE",                                                                             \
             "write the capture here, - for stdout (default: a new kymo-HOST-TIME.kymo, at "     \
             "most 1G)",                                                                         \
             &(o)->path,                                                                         \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_FLAG, 0, "force", NULL, "replace an existing file", &(o)->force, 0, 0},    \
            {KYMO_OPT_BYTES,                                                                     \
             0,                                                                                  \
             "max-disk",                                                                         \
             "SIZE",                                                                             \
             "stop when the file is this long (default: 1G without -w)",                         \
             &(o)->max_bytes,                                                                    \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_SHARE,                                                                     \
             0,                                                                                  \
             "min-free",                                                                         \
             "SHARE",                                                                            \
             "stop when the disk has less free than this (default: 5%)",                         \
             &(o)->min_free,                                                                     \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_U64,                                                                       \
             0,                                                                                  \
             "compression",                                                                      \
             "N",                                                                                \
             "zstd level of the chunks (default: 3)",                                            \
             &(o)->zstd_level,                                                                   \
             1,                                                                                  \
             19},                                                                                \
            {KYMO_OPT_TIME,                                                                      \
             0,                                                                                  \
             "time-unit",                                                                        \
             "TIME",                                                                             \
             "round times to multiples of this, 64ns for files a third smaller (default: "       \
             "1ns)",                                                                             \
             &(o)->unit_ns,                                                                      \
             1,                                                                                  \
             1e6},                                                                               \
            {KYMO_OPT_GROUP, 0, NULL, NULL, "How long", NULL, 0, 0},                             \
            {KYMO_OPT_TIME,                                                                      \
             'd',                                                                                \
             "duration",                                                                         \
             "TIME",                                                                             \
             "stop after this time (default: at SIGINT or SIGTERM)",                             \
             &(o)->duration_ns,                                                                  \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_GROUP,                                                                     \
             0,                                                                                  \
             NULL,                                                                               \
             NULL,                                                                               \
             "Whom (all kinds given must match; within a kind any)",                             \
             NULL,                                                                               \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_FLAG,                                                                      \
             'a',                                                                                \
             "all",                                                                              \
             NULL,                                                                               \
             "everything on this host but the recorder (default)",                               \
             &(o)->everything,                                                                   \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_LIST,                                                                      \
             'p',                                                                                \
             "pid",                                                                              \
             "PID",                                                                              \
             "this process, its threads and all its children, now and later",                    \
             &(o)->pids,                                                                         \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_LIST, 'u', "user", "USER", "tasks of this user, a name or a number",       \
             &(o)->users,   0,   0},                                                             \
            {KYMO_OPT_LIST, 0, "cgroup", "PATH", "tasks in this cgroup or below it",             \
             &(o)->cgroups, 0, 0},                                                               \
            {KYMO_OPT_LIST,                                                                      \
             0,                                                                                  \
             "comm",                                                                             \
             "NAME",                                                                             \
             "tasks of this name; a trailing * matches any rest",                                \
             &(o)->comms,                                                                        \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_STR,                                                                       \
             0,                                                                                  \
             "syscalls",                                                                         \
             "SET",                                                                              \
             "these calls only: names and @classes; !SET: all but these",                        \
             &(o)->syscalls,                                                                     \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_GROUP, 0, NULL, NULL, "Behaviour", NULL, 0, 0},                            \
            {KYMO_OPT_FLAG,                                                                      \
             0,                                                                                  \
             "pass-status",                                                                      \
             NULL,                                                                               \
             "exit with the status of the command after --",                                     \
             &(o)->pass_status,                                                                  \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_SHARE,                                                                     \
             0,                                                                                  \
             "max-loss",                                                                         \
             "SHARE",                                                                            \
             "exit 5 when a larger share of the events was lost (default: 100%)",                \
             &(o)->max_loss,                                                                     \
             0,                                                                                  \
             0},                                                                                 \
            {KYMO_OPT_BYTES,                                                                     \
             0,                                                                                  \
             "kernel-ring",                                                                      \
             "SIZE",                                                                             \
             "kernel ring of each CPU, 2M to 128M (default: 16M)",                               \
             &(o)->ring_bytes,                                                                   \
             2u << 20,                                                                           \
             128u << 20},                                                                        \
            {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no first line, no summary", &(o)->quiet, 0, 0}, \
            {KYMO_OPT_FLAG,                                                                      \
             0,                                                                                  \
             "no-progress",                                                                      \
             NULL,                                                                               \
             "no progress line on a terminal",                                                   \
             &(o)->no_progress,                                                                  \
             0,                                                                                  \
             0},                                                                                 \
    }

static const char EXAMPLES[] =
    "  kymo record                                  everything, into a bounded file of its own "
    "name\n"
    "  kymo record -w deploy.kymo -d 5m             five minutes of the whole host\n"
    "  kymo record -w redis.kymo --comm 'redis*'    one service by name\n"
    "  kymo record -w build.kymo -- make -j4        one command and its children\n"
    "  kymo record -w - | kymo score -m prod.model.json -\n";

/* ---- options to what the kernel side understands ---------------------------------------------- */

static int parse_pids(const struct opts *o, uint32_t *pid)
{
    uint64_t v;

    for (size_t i = 0; i < o->pids.n; i++) {
        if (!kymo_parse_u64(o->pids.v[i], &v) || !v || v > INT32_MAX)
            return kymo_cli_usage(TOOL, "-p %s: not a process id", o->pids.v[i]);
        pid[i] = (uint32_t)v;
    }
    return KYMO_CLI_GO_ON;
}

static int parse_users(const struct opts *o, struct kymo_whom *w)
{
    uint64_t uid;

    for (size_t i = 0; i < o->users.n; i++) {
        const struct passwd *p = getpwnam(o->users.v[i]);
        if (p)
            uid = p->pw_uid;
        else if (!kymo_parse_u64(o->users.v[i], &uid) || uid > UINT32_MAX)
            return kymo_cli_usage(TOOL, "-u %s: no such user", o->users.v[i]);
        w->uid[w->n_uids++] = (uint32_t)uid;
    }
    return KYMO_CLI_GO_ON;
}

static int parse_cgroups(const struct opts *o, struct kymo_whom *w)
{
    for (size_t i = 0; i < o->cgroups.n; i++) {
        const uint64_t id = host_cgroup_id(o->cgroups.v[i]);
        if (!id)
            return kymo_cli_usage(TOOL, "--cgroup %s: no such cgroup", o->cgroups.v[i]);
        w->cgroup[w->n_cgroups++] = id;
    }
    return KYMO_CLI_GO_ON;
}

static int parse_comms(const struct opts *o, struct kymo_whom *w)
{
    for (size_t i = 0; i < o->comms.n; i++) {
        const char *s = o->comms.v[i];
        const size_t star = strcspn(s, "*?[");
        const size_t n = star < KYMO_COMM_BYTES - 1 ? star : KYMO_COMM_BYTES - 1;
        if (!*s || (s[star] && strcmp(s + star, "*") != 0))
            return kymo_cli_usage(
                TOOL, "--comm '%s': the kernel side knows whole names and a trailing * only",
                s);
        memcpy(w->comm[w->n_comms], s, n);
        w->comm_bytes[w->n_comms++] = s[star] ? (uint32_t)n : KYMO_COMM_BYTES;
    }
    return KYMO_CLI_GO_ON;
}

static int parse_whom(const struct opts *o, struct kymo_whom *w)
{
    const struct kymo_opt_list *lists[] = {&o->pids, &o->users, &o->cgroups, &o->comms};
    static const char *const names[] = {"-p", "-u", "--cgroup", "--comm"};
    int e;

    for (size_t i = 0; i < KYMO_COUNT_OF(lists); i++) {
        if (lists[i]->n > KYMO_LIST_MAX)
            return kymo_cli_usage(TOOL, "%s: at most %u", names[i], KYMO_LIST_MAX);
        if (lists[i]->n && o->everything)
            return kymo_cli_usage(TOOL, "-a and %s contradict each other", names[i]);
    }
    if (o->cmd && (o->everything || o->pids.n))
        return kymo_cli_usage(TOOL, "a command after -- is what is recorded; leave out %s",
                              o->pids.n ? "-p" : "-a");
    w->self_pid = (uint32_t)getpid();
    w->tree = o->cmd || o->pids.n;
    if ((e = parse_users(o, w)) != KYMO_CLI_GO_ON ||
        (e = parse_cgroups(o, w)) != KYMO_CLI_GO_ON)
        return e;
    return parse_comms(o, w);
}

/* ---- output ----------------------------------------------------------------------------------- */

static void name_by_default(struct opts *o)
{
    char host[65] = "host", when[32];
    const time_t now = time(NULL);
    struct tm tm;

    gethostname(host, sizeof(host) - 1);
    for (char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(".-_", *p))
            *p = '_';
    gmtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
    snprintf(o->default_path, sizeof(o->default_path), "kymo-%s-%s.kymo", host, when);
    o->path = o->default_path;
}

/* A fresh private file; a pipe or a device is written to as it stands. */
static kymo_status open_output(int *fd, const struct opts *o, struct kymo_err *err)
{
    struct stat st;

    if (!strcmp(o->path, "-")) {
        if (isatty(STDOUT_FILENO))
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "a capture is no text for a terminal; use -w FILE or a pipe");
        *fd = STDOUT_FILENO;
        return KYMO_OK;
    }
    const bool there = !stat(o->path, &st);
    if (there && S_ISREG(st.st_mode) && !o->force)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%s exists; choose another name or use --force", o->path);
    const int how = there && !S_ISREG(st.st_mode) ? 0 : there ? O_TRUNC : O_CREAT | O_EXCL;
    *fd = open(o->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | how, 0600);
    if (*fd < 0)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write %s: %s", o->path,
                         strerror(errno));
    return KYMO_OK;
}

/* One line that is written over; the summary takes its place. */
static void show_progress(const struct capture_progress *p)
{
    char bytes[32], rate[32];
    const double s = (double)p->interval_ns / 1e9;

    fprintf(stderr, "\r\033[K");
    if (!p->last)
        fprintf(stderr, "%6.1f s  %s events/s  %" PRIu64 " lost  %s  ring %2.0f %%",
                (double)p->elapsed_ns / 1e9,
                kymo_human_count(rate, sizeof(rate),
                                 (uint64_t)((double)p->taken / (s > 0 ? s : 1))),
                p->dropped, kymo_human_bytes(bytes, sizeof(bytes), p->written_bytes),
                100 * p->ring_fill);
    fflush(stderr);
}

static void warn(const char *text)
{
    kymo_cli_say(TOOL, "marks are off: %s", text);
}

/* A start that failed leaves no empty file behind. */
static void remove_empty(const char *path)
{
    struct stat st;

    if (!stat(path, &st) && S_ISREG(st.st_mode) && st.st_size <= (off_t)KYMO_FILE_HEADER_BYTES)
        unlink(path);
}

static void summarize(const struct opts *o, const struct capture_result *r)
{
    static const char *const why[] = {"stopped", "time is over", "the command ended",
                                      "its disk bound was reached"};
    const double s = (double)r->elapsed_ns / 1e9;
    const uint64_t events = r->totals.stored;
    char count[32], lost[32], bytes[32], rss[32];

    if (o->quiet)
        return;
    kymo_cli_say(TOOL,
                 "%s events in %.1f s, %s lost, %s (%.2f bytes/event), recorder %.1f %% of a "
                 "CPU, %s: %s; %s",
                 kymo_human_count(count, sizeof(count), events), s,
                 kymo_human_count(lost, sizeof(lost), r->totals.dropped),
                 kymo_human_bytes(bytes, sizeof(bytes), r->bytes),
                 events ? (double)r->bytes / (double)events : 0,
                 100 * (double)r->cpu_ns / (double)r->elapsed_ns,
                 kymo_human_bytes(rss, sizeof(rss), r->rss_bytes), why[r->end], o->path);
}

static int verdict(const struct opts *o, const struct capture_result *r)
{
    const double all = (double)(r->totals.stored + r->totals.dropped);

    if (o->pass_status && r->end == CAPTURE_COMMAND)
        return r->cmd_status;
    if (all > 0 && (double)r->totals.dropped / all > o->max_loss) {
        kymo_cli_say(TOOL, "%.2f %% of the events were lost, more than --max-loss allows",
                     100 * (double)r->totals.dropped / all);
        return KYMO_EXIT_LOSS;
    }
    return r->end == CAPTURE_BOUND ? KYMO_EXIT_GUARD : KYMO_EXIT_OK;
}

/* ---- main ------------------------------------------------------------------------------------- */

static char *joined(int argc, char **argv)
{
    struct kymo_buf b = {0};

    for (int i = 0; i < argc; i++)
        kymo_buf_printf(&b, "%s%s", i ? " " : "", argv[i]);
    kymo_buf_u8(&b, 0);
    return (char *)b.p;
}

static int record(struct opts *o, const char *what)
{
    struct capture_result r = {0};
    struct kymo_err err = {0};
    struct callset calls;
    uint32_t pid[KYMO_LIST_MAX];
    struct capture_opts c = {
        .session = {.ring_bytes = o->ring_bytes,
                    .wanted_native = calls.native,
                    .wanted_compat = calls.compat},
        .path = o->path,
        .duration_ns = o->duration_ns,
        .max_bytes = o->max_bytes,
        .min_free = o->min_free,
        .tree = pid,
        .n_tree = o->pids.n,
        .cmd = o->cmd,
        .what = what,
        .progress =
            isatty(STDERR_FILENO) && !o->no_progress && !o->quiet ? show_progress : NULL,
        .warn = warn,
        .zstd_level = (int)o->zstd_level,
        .unit_ns = o->unit_ns,
    };
    int e = parse_whom(o, &c.session.whom);

    if (e != KYMO_CLI_GO_ON || (e = parse_pids(o, pid)) != KYMO_CLI_GO_ON)
        return e;
    if (1000000000u % o->unit_ns)
        return kymo_cli_usage(TOOL, "--time-unit has to divide a second, as 64ns and 1us do");
    kymo_status s = callset_parse(&calls, o->syscalls, &err);
    if (!s)
        s = open_output(&c.fd, o, &err);
    if (s)
        return kymo_cli_finish(TOOL, NULL, s, &err, 0);
    if (!o->quiet && o->path == o->default_path)
        kymo_cli_say(TOOL,
                     "writing %s, at most %" PRIu64 " MiB, while %.0f %% of the disk stay free",
                     o->path, o->max_bytes >> 20, 100 * o->min_free);
    s = capture_run(&c, &r, &err);
    if (c.fd != STDOUT_FILENO && close(c.fd) && !s)
        s = KYMO_FAIL(&err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write: %s", strerror(errno));
    if (!s)
        summarize(o, &r);
    else if (s == KYMO_EHOST || s == KYMO_EUSAGE)
        remove_empty(o->path);
    return kymo_cli_finish(TOOL, NULL, s, &err, s ? 0 : verdict(o, &r));
}

int main(int argc, char **argv)
{
    struct opts o = {
        .ring_bytes = RING_BYTES_DEFAULT,
        .min_free = MIN_FREE_DEFAULT,
        .max_loss = 1,
        .zstd_level = ZSTD_LEVEL_DEFAULT,
        .unit_ns = 1,
    };
    const struct kymo_opt rows[] = OPTIONS(&o);
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "write down what a host does",
        .positional = "[-- COMMAND [ARGUMENT...]]",
        .positional_max = SIZE_MAX,
        .examples = EXAMPLES,
        .opt = rows,
        .n_opt = KYMO_COUNT_OF(rows),
    };
    int first;
    char *what = joined(argc, argv);
    const int e = kymo_cli_parse(&cli, argc, argv, &first);

    if (e != KYMO_CLI_GO_ON) {
        free(what);
        return e;
    }
    if (first < argc)
        o.cmd = argv + first;
    if (!o.path) {
        name_by_default(&o);
        o.max_bytes = o.max_bytes ? o.max_bytes : MAX_BYTES_DEFAULT;
    }
    const int status = record(&o, what);
    free(what);
    return status;
}
