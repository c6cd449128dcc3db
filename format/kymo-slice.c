/* SPDX-License-Identifier: Apache-2.0
 * kymo-slice: a part of a capture, by time, entity and filter; or all of it, smaller.
 */
#include <inttypes.h>
#include <string.h>

#include "format/base/file.h"
#include "format/cli/cli.h"
#include "format/file/slice.h"

#define TOOL "kymo-slice"
#define LEVEL_DEFAULT 3u
#define LEVEL_ARCHIVE 19u

struct opts {
    struct kymo_slice_opts slice;
    struct kymo_opt_list pid, comm, cgroup, table;
    const char *out;
    uint64_t level;
    bool archive, force, quiet;
};

static void words(struct kymo_words *to, const struct kymo_opt_list *from)
{
    to->n = from->n < KYMO_SLICE_LIST_MAX ? from->n : KYMO_SLICE_LIST_MAX;
    memcpy(to->v, from->v, to->n * sizeof(to->v[0]));
}

static int usage_check(struct opts *o)
{
    if (!o->out)
        return kymo_cli_usage(TOOL, "no -w FILE to write the slice to");
    if (o->slice.until_ns < o->slice.since_ns)
        return kymo_cli_usage(TOOL, "--until lies before --since");
    if (o->slice.time_unit_ns && 1000000000u % o->slice.time_unit_ns)
        return kymo_cli_usage(TOOL, "--time-unit has to divide a second, as 64ns and 1us do");
    words(&o->slice.pid, &o->pid);
    words(&o->slice.comm, &o->comm);
    words(&o->slice.cgroup, &o->cgroup);
    words(&o->slice.table, &o->table);
    o->slice.archive = o->archive;
    if (!o->level)
        o->level = o->archive ? LEVEL_ARCHIVE : LEVEL_DEFAULT;
    return KYMO_CLI_GO_ON;
}

static int parse_args(int argc, char **argv, struct opts *o, const char **in)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'w', "write", "FILE", "write the slice here (-: standard output)",
         &o->out, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite an output that exists", &o->force, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "What is cut out", NULL, 0, 0},
        {KYMO_OPT_TIME, 0, "since", "TIME",
         "leave out rows before this time since the start of the capture", &o->slice.since_ns,
         0, 0},
        {KYMO_OPT_TIME, 0, "until", "TIME",
         "leave out rows after this time since the start of the capture", &o->slice.until_ns, 0,
         0},
        {KYMO_OPT_STR, 0, "mark", "NAME", "only the spans that this mark names", &o->slice.mark,
         0, 0},
        {KYMO_OPT_LIST, 'p', "pid", "PID", "only this process; may be given again", &o->pid, 0,
         0},
        {KYMO_OPT_LIST, 0, "comm", "GLOB", "only tasks of this name; may be given again",
         &o->comm, 0, 0},
        {KYMO_OPT_LIST, 0, "cgroup", "GLOB",
         "only tasks whose cgroup has this path; may be given again", &o->cgroup, 0, 0},
        {KYMO_OPT_STR, 'f', "filter", "EXPR", "only rows for which this holds",
         &o->slice.filter, 0, 0},
        {KYMO_OPT_LIST, 't', "table", "TABLE",
         "only what happened in this table; may be given again", &o->table, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "How it is written", NULL, 0, 0},
        {KYMO_OPT_FLAG, 0, "archive", NULL,
         "as small as it gets: full chunks, the highest level; slow to write, as fast to read",
         &o->archive, 0, 0},
        {KYMO_OPT_TIME, 0, "time-unit", "TIME",
         "round times of calls down and durations to the nearest multiple of this (1ns)",
         &o->slice.time_unit_ns, 1, 1e6},
        {KYMO_OPT_U64, 0, "level", "N", "zstd level of the chunks (3, 19 with --archive)",
         &o->level, 1, 19},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no summary and no warnings", &o->quiet, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "cut a part out of a capture, or rewrite it smaller",
        .positional = "FILE",
        .positional_max = 1,
        .examples =
            "  kymo slice --since 10s --until 20s -w part.kymo prod.kymo\n"
            "  kymo slice --mark storm -w storm.kymo prod.kymo\n"
            "  kymo slice --comm 'redis*' -f 'errno || dur > 10ms' -w odd.kymo prod.kymo\n"
            "  kymo slice --archive -w small.kymo prod.kymo\n",
        .opt = table,
        .n_opt = sizeof(table) / sizeof(table[0]),
    };
    int first;
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (first == argc)
        return kymo_cli_usage(TOOL, "which file?");
    *in = argv[first];
    return usage_check(o);
}

static void say(const struct opts *o, const char *in, const struct kymo_slice_result *r,
                uint64_t bytes)
{
    char rows[32], all[32], size[32];
    if (o->quiet)
        return;
    if (r->torn)
        kymo_cli_say(TOOL, "warning: %s ends in mid-chunk; what came before is used", in);
    if (o->slice.mark && r->spans > 1)
        kymo_cli_say(TOOL, "warning: '%s' names %d spans; what lies between is cut out",
                     o->slice.mark, r->spans);
    kymo_cli_say(TOOL, "%s: %s rows of %s, %s", o->out,
                 kymo_human_count(rows, sizeof(rows), r->rows),
                 kymo_human_count(all, sizeof(all), r->rows_in),
                 kymo_human_bytes(size, sizeof(size), bytes));
}

static kymo_status write_slice(const struct opts *o, const char *in, int fd, const char **at,
                               struct kymo_err *err)
{
    struct kymo_writer *w;
    struct kymo_slice_result r = {0};
    KYMO_TRY(kymo_writer_open(&w, fd, o->out, (int)o->level, err));
    *at = in;
    const kymo_status s = kymo_slice(in, &o->slice, w, &r, err);
    if (s == KYMO_EOUTPUT || s == KYMO_EPIPE)
        *at = o->out;
    if (!s)
        say(o, in, &r, kymo_writer_bytes(w));
    kymo_writer_close(w);
    return s;
}

static kymo_status run(const struct opts *o, const char *in, const char **at,
                       struct kymo_err *err)
{
    struct kymo_out out;
    *at = o->out;
    KYMO_TRY(kymo_out_open(&out, o->out, o->force, err));
    const kymo_status s = write_slice(o, in, out.fd, at, err);
    if (s) {
        kymo_out_abort(&out);
        return s;
    }
    *at = o->out;
    return kymo_out_commit(&out, err);
}

int main(int argc, char **argv)
{
    static struct opts o = {.slice.until_ns = UINT64_MAX};
    const char *in = NULL, *at = NULL;
    const int usage = parse_args(argc, argv, &o, &in);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    const kymo_status s = run(&o, in, &at, &err);
    return kymo_cli_finish(TOOL, at, s, &err, KYMO_EXIT_OK);
}
