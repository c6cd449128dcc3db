/* SPDX-License-Identifier: Apache-2.0
 * kymo-import: other tools' recordings into a capture.
 *
 * needs: libpcap
 * needs: zlib
 * needs: babeltrace2
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/import/import.h"
#include "format/trace/sysname.h"

#define TOOL "kymo-import"
#define ZSTD_LEVEL 3

struct opts {
    const char *from, *out, *arch;
    struct kymo_opt_list in;
    bool force, quiet;
};

struct work {
    struct kymo_input *in[KYMO_OPT_LIST_MAX];
    const struct kymo_importer *importer;
    struct kymo_out out;
    struct kymo_writer *writer;
    struct kymo_sink *sink;
    const char *at; /* which file an error is about */
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_CHOICE, 0, "from", "strace|sequences|pcap|scap|perf|sysdig|tetragon|ctf",
         "what the files are (guessed from their first bytes where that is safe)", &o->from, 0,
         0},
        {KYMO_OPT_STR, 'w', "write", "FILE",
         "the capture to write (the first FILE's name and .kymo; -: standard output)", &o->out,
         0, 0},
        {KYMO_OPT_CHOICE, 0, "arch", "x86_64|i386|aarch64",
         "whose numbers, or names, the calls of the files are (x86_64)", &o->arch, 0, 0},
        {KYMO_OPT_LIST, 'r', "read", "FILE", "a file to read, like a bare FILE", &o->in, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite an output that exists", &o->force, 0, 0},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no summary and no warnings", &o->quiet, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "turn other tools' recordings into a capture",
        .positional = "FILE...",
        .positional_max = SIZE_MAX,
        .examples = "  strace -f -ttt -T -o ls.strace ls && kymo import ls.strace -w ls.kymo\n"
                    "  strace -ff -ttt -T -o log make && kymo import log.* -w make.kymo\n"
                    "  kymo import --from sequences --arch i386 traces.txt\n"
                    "  tcpdump -w - | kymo import --from pcap - -w packets.kymo\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    int first;
    int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage == KYMO_CLI_GO_ON)
        usage = kymo_cli_inputs(TOOL, argc, argv, first, &o->in);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (!o->in.n)
        return kymo_cli_usage(TOOL, "which file?");
    if (!o->out && strcmp(o->in.v[0], "-") == 0)
        return kymo_cli_usage(TOOL, "no -w FILE to write the capture to");
    return KYMO_CLI_GO_ON;
}

static uint32_t arch_of(const char *name)
{
    static const uint32_t all[] = {KYMO_ARCH_X86_64, KYMO_ARCH_I386, KYMO_ARCH_AARCH64};
    for (size_t i = 0; name && i < KYMO_COUNT_OF(all); i++)
        if (strcmp(kymo_arch_name(all[i]), name) == 0)
            return all[i];
    return 0;
}

/* A folder that describes its streams. */
static bool is_ctf(const char *path)
{
    struct kymo_buf name = {0};
    kymo_buf_printf(&name, "%s/metadata", path);
    kymo_buf_u8(&name, 0);
    const bool is = !name.failed && access((const char *)name.p, R_OK) == 0;
    kymo_buf_release(&name);
    return is;
}

/* All of the files are of one format, the first one's. */
static kymo_status choose(const struct opts *o, struct work *w, struct kymo_err *err)
{
    const uint8_t *p;
    size_t n;
    if (w->importer)
        return KYMO_OK;
    w->at = o->in.v[0];
    KYMO_TRY(kymo_input_peek(w->in[0], KYMO_IMPORT_GUESS_BYTES, &p, &n, err));
    w->importer = kymo_importer_guess(p, n);
    return w->importer ? KYMO_OK
                       : KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                                   "%s: what it is cannot be told from its first bytes; say "
                                   "--from",
                                   o->in.v[0]);
}

static kymo_status open_all(const struct opts *o, struct work *w, const char *out,
                            struct kymo_err *err)
{
    if (o->from)
        w->importer = kymo_importer_by_name(o->from);
    else if (is_ctf(o->in.v[0]))
        w->importer = &kymo_import_ctf;
    for (size_t i = 0; i < o->in.n; i++) {
        w->at = o->in.v[i];
        KYMO_TRY(w->importer && w->importer->by_name
                     ? kymo_input_memory(&w->in[i], "", 0, o->in.v[i], err)
                     : kymo_input_open(&w->in[i], o->in.v[i], err));
    }
    KYMO_TRY(choose(o, w, err));
    w->at = out;
    KYMO_TRY(kymo_out_open(&w->out, out, o->force, err));
    KYMO_TRY(kymo_writer_open(&w->writer, w->out.fd, out, ZSTD_LEVEL, err));
    return kymo_sink_open(&w->sink, w->writer, 0, err);
}

static kymo_status put_facts(const struct opts *o, struct work *w, struct kymo_err *err)
{
    struct kymo_buf names = {0};
    for (size_t i = 0; i < o->in.n; i++)
        kymo_import_quote(&names, o->in.v[i], strlen(o->in.v[i]));
    kymo_buf_u8(&names, 0);
    kymo_status s = KYMO_OK;
    if (names.failed)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    if (!s)
        s = kymo_sink_fact(w->sink, "input", (const char *)names.p, err);
    kymo_buf_release(&names);
    if (!s)
        s = kymo_sink_fact(w->sink, "source", w->importer->name, err);
    if (!s)
        s = kymo_sink_fact(w->sink, "importer", "kymo " KYMO_VERSION, err);
    return s;
}

static kymo_status import(const struct opts *o, struct work *w, const char *out,
                          struct kymo_err *err)
{
    const struct kymo_import_opts how = {.arch = arch_of(o->arch)};
    KYMO_TRY(open_all(o, w, out, err));
    KYMO_TRY(put_facts(o, w, err));
    KYMO_TRY(kymo_import_run(w->importer, w->in, o->in.n, &how, w->sink, &w->at, err));
    w->at = out;
    KYMO_TRY(kymo_sink_finish(w->sink, err));
    KYMO_TRY(kymo_writer_finish(w->writer, err));
    return kymo_out_commit(&w->out, err);
}

static void summarize(const struct work *w, const char *out)
{
    const struct kymo_sink_totals *t = kymo_sink_totals(w->sink);
    char calls[32], processes[32], packets[32], span[32], late[32];
    kymo_human_ns(span, sizeof(span),
                  t->ts_max_ns > t->ts_min_ns ? t->ts_max_ns - t->ts_min_ns : 0);
    kymo_cli_say(TOOL, "%s: %s: %s calls, %s process events, %s packets over %s", out,
                 w->importer->name, kymo_human_count(calls, sizeof(calls), t->calls),
                 kymo_human_count(processes, sizeof(processes), t->processes),
                 kymo_human_count(packets, sizeof(packets), t->packets), span);
    if (t->late)
        kymo_cli_say(TOOL, "warning: %s rows came long after their time and are flagged late",
                     kymo_human_count(late, sizeof(late), t->late));
}

int main(int argc, char **argv)
{
    struct opts o = {0};
    static struct work w;
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    struct kymo_buf name = {0};
    kymo_buf_printf(&name, "%s%s", o.out ? o.out : o.in.v[0], o.out ? "" : ".kymo");
    kymo_buf_u8(&name, 0);
    const char *out = name.failed ? "?" : (const char *)name.p;
    w.out.fd = -1;
    const kymo_status s = import(&o, &w, out, &err);
    if (s)
        kymo_out_abort(&w.out);
    if (!s && !o.quiet)
        summarize(&w, out);
    kymo_sink_close(w.sink);
    kymo_writer_close(w.writer);
    for (size_t i = 0; i < o.in.n; i++)
        kymo_input_close(w.in[i]);
    const int status = kymo_cli_finish(TOOL, w.at, s, &err, KYMO_EXIT_OK);
    kymo_buf_release(&name);
    return status;
}
