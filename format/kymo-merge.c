/* SPDX-License-Identifier: Apache-2.0
 * kymo-merge: rotated parts of one host, or captures of several, as one.
 */
#include <string.h>

#include "format/base/file.h"
#include "format/cli/cli.h"
#include "format/file/merge.h"

#define TOOL "kymo-merge"
#define LEVEL_DEFAULT 3u

struct opts {
    struct kymo_opt_list in;
    const char *out;
    uint64_t level;
    bool parts, force, quiet;
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'w', "write", "FILE",
         "write the merged capture here (-: standard output)", &o->out, 0, 0},
        {KYMO_OPT_LIST, 'r', "read", "FILE", "a capture to merge, like a bare FILE", &o->in, 0,
         0},
        {KYMO_OPT_FLAG, 0, "parts", NULL,
         "take all as parts of one host, whatever boot they say they are of", &o->parts, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite an output that exists", &o->force, 0, 0},
        {KYMO_OPT_U64, 0, "level", "N", "zstd level of the chunks (3)", &o->level, 1, 19},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no summary and no warnings", &o->quiet, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "join parts of one capture, or captures of several hosts, by time",
        .positional = "FILE...",
        .positional_max = SIZE_MAX,
        .examples = "  kymo merge -w day.kymo night.kymo morning.kymo\n"
                    "  kymo merge -w both.kymo web.kymo db.kymo\n"
                    "  kymo cat -f 'host == \"db\" && errno' both.kymo\n",
        .opt = table,
        .n_opt = sizeof(table) / sizeof(table[0]),
    };
    int first;
    int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage == KYMO_CLI_GO_ON)
        usage = kymo_cli_inputs(TOOL, argc, argv, first, &o->in);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (!o->in.n)
        return kymo_cli_usage(TOOL, "which files?");
    return o->out ? KYMO_CLI_GO_ON : kymo_cli_usage(TOOL, "no -w FILE to write to");
}

static void warn(void *ctx, const char *path, const char *text)
{
    const struct opts *o = ctx;
    if (!o->quiet)
        kymo_cli_say(TOOL, "warning: %s: %s", path, text);
}

static void say(const struct opts *o, const struct kymo_merge_result *r, uint64_t bytes)
{
    char rows[32], all[32], size[32];
    if (o->quiet)
        return;
    kymo_cli_say(TOOL, "%s: %s rows of %s in %zu files of %zu host%s, %s", o->out,
                 kymo_human_count(rows, sizeof(rows), r->rows),
                 kymo_human_count(all, sizeof(all), r->rows_in), o->in.n, r->hosts,
                 r->hosts == 1 ? "" : "s", kymo_human_bytes(size, sizeof(size), bytes));
}

static kymo_status write_merged(struct opts *o, int fd, const char **at, struct kymo_err *err)
{
    const struct kymo_merge_opts how = {.parts = o->parts, .warn = warn, .ctx = o};
    struct kymo_merge_result r = {0};
    struct kymo_writer *w;
    KYMO_TRY(kymo_writer_open(&w, fd, o->out, (int)o->level, err));
    const kymo_status s = kymo_merge(o->in.v, o->in.n, &how, w, &r, at, err);
    if (!*at || s == KYMO_EOUTPUT || s == KYMO_EPIPE)
        *at = o->out;
    if (!s)
        say(o, &r, kymo_writer_bytes(w));
    kymo_writer_close(w);
    return s;
}

static kymo_status run(struct opts *o, const char **at, struct kymo_err *err)
{
    struct kymo_out out;
    *at = o->out;
    KYMO_TRY(kymo_out_open(&out, o->out, o->force, err));
    const kymo_status s = write_merged(o, out.fd, at, err);
    if (s) {
        kymo_out_abort(&out);
        return s;
    }
    *at = o->out;
    return kymo_out_commit(&out, err);
}

int main(int argc, char **argv)
{
    static struct opts o = {.level = LEVEL_DEFAULT};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    const char *at = NULL;
    const kymo_status s = run(&o, &at, &err);
    return kymo_cli_finish(TOOL, at, s, &err, KYMO_EXIT_OK);
}
