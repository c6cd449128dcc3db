/* SPDX-License-Identifier: Apache-2.0
 * kymo-recover: every whole chunk of a torn or damaged capture, and what was lost.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "format/base/file.h"
#include "format/cli/cli.h"
#include "format/file/salvage.h"

#define TOOL "kymo-recover"
#define LEVEL_DEFAULT 3u

struct opts {
    const char *in, *out;
    uint64_t memory_bytes, level;
    bool force, quiet;
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'w', "write", "FILE", "write what is whole here (-: standard output)",
         &o->out, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite an output that exists", &o->force, 0, 0},
        {KYMO_OPT_U64, 0, "level", "N", "zstd level of the chunks (3)", &o->level, 1, 19},
        {KYMO_OPT_BYTES, 0, "memory-bytes", "SIZE",
         "call a chunk that needs more memory than this lost (256M)", &o->memory_bytes, 1 << 20,
         1e12},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "say nothing where nothing was lost", &o->quiet, 0,
         0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "salvage every whole chunk of a torn or damaged capture",
        .positional = "FILE",
        .positional_max = 1,
        .examples = "  kymo recover -w whole.kymo torn.kymo\n"
                    "  kymo check prod.kymo || kymo recover -w whole.kymo prod.kymo\n",
        .opt = table,
        .n_opt = sizeof(table) / sizeof(table[0]),
    };
    int first;
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (first == argc)
        return kymo_cli_usage(TOOL, "which file?");
    o->in = argv[first];
    return o->out ? KYMO_CLI_GO_ON : kymo_cli_usage(TOOL, "no -w FILE to write to");
}

/* -------- report: on stdout, unless the capture goes there -------- */

static FILE *report_to(const struct opts *o)
{
    return strcmp(o->out, "-") ? stdout : stderr;
}

static void say_lost(void *ctx, const struct kymo_lost *l)
{
    const struct opts *o = ctx;
    FILE *f = report_to(o);
    char rows[32];
    kymo_print_safe(f, o->in, strlen(o->in));
    fprintf(f, ": lost: bytes %" PRIu64 " to %" PRIu64, l->from, l->to - 1);
    if (l->rows)
        fprintf(f, ", at least %s rows", kymo_human_count(rows, sizeof(rows), l->rows));
    fputs(": ", f);
    kymo_print_safe(f, l->why, strlen(l->why));
    fputc('\n', f);
}

static int report(const struct opts *o, const struct kymo_salvage_result *r)
{
    FILE *f = report_to(o);
    char rows[32], lost[32], bytes[32];
    const int is_whole = !r->ranges && !r->missing_rows;
    if (is_whole && o->quiet)
        return KYMO_EXIT_OK;
    kymo_print_safe(f, o->in, strlen(o->in));
    fprintf(f, ": kept: %s rows in %" PRIu64 " chunks",
            kymo_human_count(rows, sizeof(rows), r->rows), r->chunks);
    if (r->ranges)
        fprintf(
            f, "; lost: %s in %" PRIu64 " places, at least %s rows",
            kymo_human_bytes(bytes, sizeof(bytes), r->lost_bytes), r->ranges,
            kymo_human_count(lost, sizeof(lost),
                             r->lost_rows > r->missing_rows ? r->lost_rows : r->missing_rows));
    if (r->missing_rows)
        fprintf(f, "; by its writer's count %s rows are missing",
                kymo_human_count(lost, sizeof(lost), r->missing_rows));
    fputs(is_whole ? (r->is_finished ? "; all is whole\n"
                                     : "; all is whole, but its writer did not finish\n")
                   : "\n",
          f);
    return is_whole ? KYMO_EXIT_OK : KYMO_EXIT_FINDING;
}

/* -------- run -------- */

static kymo_status write_whole(struct opts *o, int in, int out, const char **at,
                               struct kymo_salvage_result *r, struct kymo_err *err)
{
    const struct kymo_salvage_opts how = {
        .memory_bytes = (size_t)o->memory_bytes, .lost = say_lost, .ctx = o};
    struct kymo_writer *w;
    KYMO_TRY(kymo_writer_open(&w, out, o->out, (int)o->level, err));
    *at = o->in;
    const kymo_status s = kymo_salvage(in, &how, w, r, err);
    if (s == KYMO_EOUTPUT || s == KYMO_EPIPE)
        *at = o->out;
    kymo_writer_close(w);
    return s;
}

static kymo_status run(struct opts *o, const char **at, struct kymo_salvage_result *r,
                       struct kymo_err *err)
{
    struct kymo_out out;
    int in;
    *at = o->in;
    KYMO_TRY(kymo_file_open(&in, o->in, err));
    *at = o->out;
    kymo_status s = kymo_out_open(&out, o->out, o->force, err);
    if (!s) {
        s = write_whole(o, in, out.fd, at, r, err);
        if (s)
            kymo_out_abort(&out);
        else
            *at = o->out;
        s = s ? s : kymo_out_commit(&out, err);
    }
    if (in > 0)
        close(in);
    return s;
}

int main(int argc, char **argv)
{
    struct opts o = {.level = LEVEL_DEFAULT};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    struct kymo_salvage_result r = {0};
    const char *at = NULL;
    const kymo_status s = run(&o, &at, &r, &err);
    const int finding = s ? 0 : report(&o, &r);
    return kymo_cli_finish(TOOL, at, s, &err, finding);
}
