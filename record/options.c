/* SPDX-License-Identifier: Apache-2.0 */
#include "record/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "format/base/bytes.h"
#include "format/base/size.h"
#include "record/flight.h"
#include "record/host.h"
#include "record/rules.h"

#define RING_BYTES_DEFAULT (16u << 20)
#define MAX_BYTES_DEFAULT (1ull << 30)
#define MIN_FREE_DEFAULT 0.05
#define ZSTD_LEVEL_DEFAULT 3
#define SNAPSHOT_NS_DEFAULT 10000000000u
#define WINDOW_NS_DEFAULT 10000000000u
#define NS_PER_S ((uint64_t)1000000000)

static const char EXAMPLES[] =
    "  kymo record                                  everything, into a bounded file of its own "
    "name\n"
    "  kymo record -w deploy.kymo -d 5m             five minutes of the whole host\n"
    "  kymo record -w redis.kymo --comm 'redis*'    one service by name\n"
    "  kymo record -w build.kymo -- make -j4        one command and its children\n"
    "  kymo record -w week.kymo -C 64M --max-disk 2G\n"
    "                                               for ever: the newest 2 GiB, in parts\n"
    "  kymo record -w odd.kymo --ring 256M --trigger 'process: kind == exit && code'\n"
    "                                               only what surrounds an exit that failed\n"
    "  kymo record -w - | kymo score -m prod.model.json -\n";

/* ---- options to what the kernel side understands ---------------------------------------------- */

static int parse_pids(struct options *o)
{
    uint64_t v;

    for (size_t i = 0; i < o->pids.n; i++) {
        if (!kymo_parse_u64(o->pids.v[i], &v) || !v || v > INT32_MAX)
            return kymo_cli_usage(TOOL, "-p %s: not a process id", o->pids.v[i]);
        o->tree[i] = (uint32_t)v;
    }
    return KYMO_CLI_GO_ON;
}

static kymo_status add_user(struct kymo_rule *r, const char *name, struct kymo_err *err)
{
    struct user u;

    if (!user_find(name, &u))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "%s: no such user", name);
    return rules_number(r, KYMO_RULE_UID, u.uid, err);
}

/* One option's values, any of which will do, and all of that with what the options before chose. */
static int add_kind(struct kymo_rule *r, const struct kymo_opt_list *list, const char *option,
                    kymo_status (*put)(struct kymo_rule *, const char *, struct kymo_err *))
{
    const uint32_t before = r->n;
    struct kymo_err err = {0};
    kymo_status s = KYMO_OK;

    for (size_t i = 0; i < list->n && !s; i++) {
        s = put(r, list->v[i], &err);
        if (!s && i)
            s = rules_combine(r, KYMO_RULE_OR, &err);
    }
    if (!s && before && list->n)
        s = rules_combine(r, KYMO_RULE_AND, &err);
    return s ? kymo_cli_usage(TOOL, "%s %s", option, err.text) : KYMO_CLI_GO_ON;
}

/* Cgroups and containers are told by numbers that they get when they are made: the kernel side asks
 * a list that follows them. */
static kymo_status add_followed(struct kymo_rule *r, const char *none, struct kymo_err *err)
{
    (void)none;
    return rules_number(r, KYMO_RULE_FOLLOWED, 0, err);
}

static int add_cgroups(struct options *o, struct kymo_rule *r)
{
    static const struct kymo_opt_list one = {{""}, 1};
    struct kymo_err err = {0};

    o->follow = (struct follow_opts){.cgroups = o->cgroups.v,
                                     .n_cgroups = o->cgroups.n,
                                     .containers = o->containers.v,
                                     .n_containers = o->containers.n,
                                     .wait = o->wait};
    if (!follow_anything(&o->follow))
        return o->wait ? kymo_cli_usage(TOOL, "--wait is for --cgroup and --container")
                       : KYMO_CLI_GO_ON;
    if (follow_check(&o->follow, &err))
        return kymo_cli_usage(TOOL, "%s", err.text);
    return add_kind(r, &one, "--cgroup", add_followed);
}

/* Who the recorder becomes, and its command. */
static int parse_power(struct options *o)
{
    struct kymo_err err = {0};

    if (o->as_name && !o->cmd)
        return kymo_cli_usage(TOOL, "--as says who runs the command after --");
    if (o->as_name && !user_find(o->as_name, &o->as))
        return kymo_cli_usage(TOOL, "--as %s: no such user", o->as_name);
    return power_plan_drop(&o->power, o->drop_to, &err) ? kymo_cli_usage(TOOL, "%s", err.text)
                                                        : KYMO_CLI_GO_ON;
}

static int parse_rules(struct options *o)
{
    const struct kymo_opt_list filter = {{o->filter}, o->filter != NULL};
    const struct kymo_opt_list full = {{o->full}, o->full != NULL};
    struct kymo_rule *chosen = &o->whom.chosen;
    int e;

    if ((e = add_kind(chosen, &o->users, "-u", add_user)) != KYMO_CLI_GO_ON ||
        (e = add_cgroups(o, chosen)) != KYMO_CLI_GO_ON ||
        (e = add_kind(chosen, &o->comms, "--comm", rules_comm)) != KYMO_CLI_GO_ON ||
        (e = add_kind(chosen, &filter, "-f", rules_filter)) != KYMO_CLI_GO_ON)
        return e;
    return add_kind(&o->whom.full, &full, "--full", rules_filter);
}

static int parse_whom(struct options *o)
{
    struct kymo_whom *w = &o->whom;
    const struct kymo_opt_list *lists[] = {&o->pids, &o->users, &o->cgroups, &o->containers,
                                           &o->comms};
    static const char *const names[] = {"-p", "-u", "--cgroup", "--container", "--comm"};

    for (size_t i = 0; i < KYMO_COUNT_OF(lists); i++) {
        if (lists[i]->n > KYMO_LIST_MAX)
            return kymo_cli_usage(TOOL, "%s: at most %u", names[i], KYMO_LIST_MAX);
        if (lists[i]->n && o->everything)
            return kymo_cli_usage(TOOL, "-a and %s contradict each other", names[i]);
    }
    if (o->cmd && (o->everything || o->pids.n))
        return kymo_cli_usage(TOOL, "a command after -- is what is recorded; leave out %s",
                              o->pids.n ? "-p" : "-a");
    if (o->full && strcmp(o->level, "counts") != 0)
        return kymo_cli_usage(TOOL, "--full makes exceptions from --level counts; give both");
    w->tree = o->cmd || o->pids.n;
    w->counts = !strcmp(o->level, "counts");
    return parse_rules(o);
}

static void name_by_default(struct options *o)
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

static void keep_arguments(struct options *o, int argc, char **argv)
{
    struct kymo_buf b = {0};

    for (int i = 0; i < argc; i++)
        kymo_buf_put(&b, argv[i], strlen(argv[i]) + 1);
    o->what = (char *)b.p;
    o->what_bytes = b.n;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* A table, and long: NOLINTNEXTLINE(readability-function-size) */
static int parse_table(struct options *o, int argc, char **argv, int *first)
{
    const struct kymo_opt rows[] = {
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Output", NULL, 0, 0},
        {KYMO_OPT_STR, 'w', "write", "FILE",
         "write the capture here, - for stdout (default: a new kymo-HOST-TIME.kymo, at most "
         "1G)",
         &o->path, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "replace an existing file", &o->force, 0, 0},
        {KYMO_OPT_BYTES, 0, "max-disk", "SIZE",
         "never more than this in all files: the oldest part goes, or the recording stops "
         "(default: 1G without -w)",
         &o->max_bytes, 0, 0},
        {KYMO_OPT_SHARE, 0, "min-free", "SHARE",
         "the same when the disk has less free than this (default: 5%)", &o->min_free, 0, 0},
        {KYMO_OPT_TIME, 0, "sync", "TIME",
         "what a power loss may cost; 0: leave it to the kernel (default: 5s)", &o->sync_ns, 0,
         86400e9},
        {KYMO_OPT_U64, 0, "compression", "N", "zstd level of the chunks (default: 3)",
         &o->zstd_level, 1, 19},
        {KYMO_OPT_TIME, 0, "time-unit", "TIME",
         "round times to multiples of this, 64ns for files a third smaller (default: 1ns)",
         &o->unit_ns, 1, 1e6},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Parts (FILE.kymo becomes FILE.000001.kymo and on)",
         NULL, 0, 0},
        {KYMO_OPT_BYTES, 'C', "part-size", "SIZE",
         "go on in a new part when one is this long (default: a quarter of --max-disk)",
         &o->part_bytes, 64u << 10, 0x1p60},
        {KYMO_OPT_TIME, 'G', "part-time", "TIME", "go on in a new part after this time",
         &o->part_ns, 1e9, 365 * 86400e9},
        {KYMO_OPT_U64, 'W', "parts", "N", "keep the newest N parts, delete older ones",
         &o->n_parts, 1, 1e9},
        {KYMO_OPT_STR, 'z', "part-command", "COMMAND",
         "run COMMAND PART on each finished part, without the recorder's power",
         &o->part_command, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL,
         "Flight recorder (write only what surrounds a trigger, a part each)", NULL, 0, 0},
        {KYMO_OPT_BYTES, 0, "ring", "SIZE", "keep the last SIZE of the capture in memory",
         &o->flight_bytes, (double)FLIGHT_RING_BYTES_MIN, 0x1p40},
        {KYMO_OPT_TIME, 0, "ring-time", "TIME", "and of it no more than the last TIME",
         &o->flight_ns, 1e9, 86400e9},
        {KYMO_OPT_LIST, 0, "trigger", "EXPR",
         "write when this happens: see Triggers; SIGUSR2 and kymo mark --dump always do",
         &o->triggers, 0, 0},
        {KYMO_OPT_TIME, 0, "post", "TIME",
         "go on writing so long after a trigger (default: 30s)", &o->post_ns, 0, 86400e9},
        {KYMO_OPT_TIME, 0, "trigger-every", "TIME",
         "hold back a trigger that fires sooner after the last (default: 60s)", &o->every_ns, 0,
         86400e9},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "How long", NULL, 0, 0},
        {KYMO_OPT_TIME, 'd', "duration", "TIME",
         "stop after this time (default: at SIGINT or SIGTERM)", &o->duration_ns, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Whom (all kinds given must match; within a kind any)",
         NULL, 0, 0},
        {KYMO_OPT_FLAG, 'a', "all", NULL, "everything on this host but the recorder (default)",
         &o->everything, 0, 0},
        {KYMO_OPT_LIST, 'p', "pid", "PID",
         "this process, its threads and all its children, now and later", &o->pids, 0, 0},
        {KYMO_OPT_LIST, 'u', "user", "USER", "tasks of this user, a name or a number",
         &o->users, 0, 0},
        {KYMO_OPT_LIST, 0, "cgroup", "PATH", "tasks in it or below it", &o->cgroups, 0, 0},
        {KYMO_OPT_LIST, 0, "container", "ID",
         "tasks in this container: its id, its beginning, or its name", &o->containers, 0, 0},
        {KYMO_OPT_FLAG, 0, "wait", NULL, "of these, also what starts later", &o->wait, 0, 0},
        {KYMO_OPT_LIST, 0, "comm", "NAME", "tasks of this name; a trailing * matches any rest",
         &o->comms, 0, 0},
        {KYMO_OPT_STR, 0, "syscalls", "SET",
         "these calls only: names and @classes; !SET: all but these", &o->syscalls, 0, 0},
        {KYMO_OPT_STR, 'f', "filter", "EXPR",
         "tasks for which this holds: pid, tid, ppid, uid, gid, comm, cgroup", &o->filter, 0,
         0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "In what detail", NULL, 0, 0},
        {KYMO_OPT_CHOICE, 0, "level", "full|counts",
         "a row a call, or counts of each process's calls by window (default: full)", &o->level,
         0, 0},
        {KYMO_OPT_STR, 0, "full", "EXPR",
         "with --level counts: a row a call for the tasks for which this holds", &o->full, 0,
         0},
        {KYMO_OPT_TIME, 0, "window", "TIME", "length of the counts' windows (default: 10s)",
         &o->window_ns, 1e9, 3600e9},
        {KYMO_OPT_TIME, 0, "snapshot", "TIME",
         "write down all processes and what they have open so often; 0: at the start alone "
         "(default: 10s)",
         &o->snapshot_ns, 0, 0},
        {KYMO_OPT_SHARE, 0, "max-cpu", "SHARE",
         "of one CPU; record less, down to nothing, while the recorder needs more", &o->max_cpu,
         0, 0},
        {KYMO_OPT_BYTES, 0, "max-memory", "SIZE",
         "record less while the recorder has more memory than this", &o->max_memory_bytes, 0,
         0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Secrets", NULL, 0, 0},
        {KYMO_OPT_CHOICE, 0, "redact", "default|none",
         "passwords, keys and tokens in arguments, paths and statements become keyed "
         "pseudonyms, "
         "or not (default: default)",
         &o->redact, 0, 0},
        {KYMO_OPT_STR, 0, "key", "FILE",
         "the key of the pseudonyms, made when it is not there (default: one of this host)",
         &o->key, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Power", NULL, 0, 0},
        {KYMO_OPT_STR, 'Z', "drop-to", "USER",
         "record as this user (default, when root: kymo, or else nobody)", &o->drop_to, 0, 0},
        {KYMO_OPT_STR, 0, "as", "USER",
         "run the command after -- as this user (default: who called)", &o->as_name, 0, 0},
        {KYMO_OPT_STR, 0, "btf", "FILE",
         "type information of this kernel (default: the kernel's own)", &o->btf, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Behaviour", NULL, 0, 0},
        {KYMO_OPT_FLAG, 0, "pass-status", NULL, "exit with the status of the command after --",
         &o->pass_status, 0, 0},
        {KYMO_OPT_SHARE, 0, "max-loss", "SHARE",
         "exit 5 when a larger share of the events was lost (default: 100%)", &o->max_loss, 0,
         0},
        {KYMO_OPT_BYTES, 0, "kernel-ring", "SIZE",
         "kernel ring of each CPU, 2M to 128M (default: 16M, or as --max-memory allows)",
         &o->ring_bytes, 2u << 20, 128u << 20},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no first line, no summary", &o->quiet, 0, 0},
        {KYMO_OPT_FLAG, 0, "no-progress", NULL, "no progress line on a terminal",
         &o->no_progress, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "write down what a host does",
        .positional = "[-- COMMAND [ARGUMENT...]]",
        .positional_max = SIZE_MAX,
        .examples = EXAMPLES,
        .opt = rows,
        .n_opt = KYMO_COUNT_OF(rows),
    };

    return kymo_cli_parse(&cli, argc, argv, first);
}

/* Do the options of parts and of the flight recorder fit each other? */
static int check_parts(struct options *o)
{
    const bool rotates = o->part_bytes || o->part_ns || o->n_parts;

    o->parts = rotates || o->flight_bytes;
    if (o->parts && !strcmp(o->path, "-"))
        return kymo_cli_usage(TOOL, "a pipe has no parts: -C, -G, -W and --ring need -w FILE");
    if (o->flight_bytes && (o->part_bytes || o->part_ns))
        return kymo_cli_usage(TOOL,
                              "--ring writes a part for each trigger; leave out -C and -G");
    if (!o->flight_bytes && (o->triggers.n || o->flight_ns))
        return kymo_cli_usage(TOOL, "--trigger and --ring-time are for --ring SIZE");
    if (o->part_command && !o->parts)
        return kymo_cli_usage(TOOL, "-z is for parts: give -C, -G or --ring");
    if (rotates && !o->flight_bytes && !o->part_bytes && !o->part_ns && !o->max_bytes)
        return kymo_cli_usage(TOOL, "-W says how many parts, -C or -G when the next begins");
    if (rotates && !o->flight_bytes && !o->part_bytes)
        o->part_bytes = o->max_bytes / 4;
    if (o->max_bytes && o->part_bytes > o->max_bytes / 2)
        return kymo_cli_usage(TOOL, "--max-disk has to hold two parts of -C at least");
    return KYMO_CLI_GO_ON;
}

/* What the table cannot check by itself. */
static int check(struct options *o)
{
    struct kymo_err err = {0};
    int e;

    if ((e = parse_whom(o)) != KYMO_CLI_GO_ON || (e = parse_pids(o)) != KYMO_CLI_GO_ON ||
        (e = parse_power(o)) != KYMO_CLI_GO_ON)
        return e;
    if (o->key && !strcmp(o->redact, "none"))
        return kymo_cli_usage(TOOL, "--redact none hides nothing that --key could be for");
    if (1000000000u % o->unit_ns)
        return kymo_cli_usage(TOOL, "--time-unit has to divide a second, as 64ns and 1us do");
    if ((e = check_parts(o)) != KYMO_CLI_GO_ON)
        return e;
    if (callset_parse(&o->calls, o->syscalls, &err))
        return kymo_cli_usage(TOOL, "%s", err.text);
    return KYMO_CLI_GO_ON;
}

/* A quarter of the memory that was granted, over all CPUs, in rings; the rest is for rows. */
static uint64_t ring_bytes_under(uint64_t memory_bytes)
{
    const long cpus = sysconf(_SC_NPROCESSORS_CONF);
    uint64_t bytes = RING_BYTES_DEFAULT;

    while (memory_bytes && bytes > KYMO_SLICE_BYTES &&
           bytes * (uint64_t)(cpus > 0 ? cpus : 1) > memory_bytes / 4)
        bytes /= 2;
    return bytes;
}

int options_parse(struct options *o, int argc, char **argv)
{
    int first, e;

    *o = (struct options){
        .min_free = MIN_FREE_DEFAULT,
        .max_loss = 1,
        .zstd_level = ZSTD_LEVEL_DEFAULT,
        .unit_ns = 1,
        .snapshot_ns = SNAPSHOT_NS_DEFAULT,
        .level = "full",
        .window_ns = WINDOW_NS_DEFAULT,
        .redact = "default",
        .sync_ns = 5 * NS_PER_S,
        .post_ns = 30 * NS_PER_S,
        .every_ns = 60 * NS_PER_S,
    };
    keep_arguments(o, argc, argv);
    e = parse_table(o, argc, argv, &first);
    if (e != KYMO_CLI_GO_ON)
        return e;
    if (first < argc)
        o->cmd = argv + first;
    if (!o->path) {
        name_by_default(o);
        o->max_bytes = o->max_bytes ? o->max_bytes : MAX_BYTES_DEFAULT;
    }
    if (!o->ring_bytes)
        o->ring_bytes = ring_bytes_under(o->max_memory_bytes);
    return check(o);
}

void options_release(struct options *o)
{
    free(o->what);
}
