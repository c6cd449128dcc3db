/* SPDX-License-Identifier: Apache-2.0
 * kymo-export: rows of captures and matrices for other programs: JSON Lines, CSV, Parquet, and
 * Perfetto's traces.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/export/lines.h"
#include "format/export/perfetto.h"
#include "format/export/tabular.h"

#define TOOL "kymo-export"

struct opts {
    struct kymo_opt_list in, tables;
    const char *to, *filter, *columns, *out;
    bool force;
    uint64_t since_ns, until_ns, group_rows;
};

/* What is written and by whom; one of the three is open. */
struct export
{
    const struct opts *o;
    struct kymo_out out;
    const char *column[KYMO_EXPORT_COLUMNS_MAX];
    size_t n_columns;
    struct kymo_lines lines;
    struct kymo_tabular *tabular;
    struct kymo_perfetto *perfetto;
    struct kymo_export_sink sink;
};

static volatile sig_atomic_t stop;

static void on_signal(int n)
{
    (void)n;
    stop = 1;
}

static int is_to(const struct opts *o, const char *format)
{
    return strcmp(o->to, format) == 0;
}

static int usage_check(const struct opts *o)
{
    const int is_binary = o->to && (is_to(o, "parquet") || is_to(o, "perfetto"));
    if (!o->to)
        return kymo_cli_usage(TOOL, "no --to FORMAT: jsonl, csv, parquet or perfetto");
    if (!o->in.n)
        return kymo_cli_usage(TOOL, "which file?");
    if (o->until_ns < o->since_ns)
        return kymo_cli_usage(TOOL, "--until lies before --since");
    if ((is_to(o, "parquet") || is_to(o, "csv")) && o->tables.n > 1)
        return kymo_cli_usage(TOOL, "%s holds one table; give one -t", o->to);
    if (is_to(o, "perfetto") && (o->tables.n || o->columns))
        return kymo_cli_usage(
            TOOL, "a perfetto trace has its own tables and columns; no -t, no --columns");
    if (is_binary && strcmp(o->out, "-") == 0 && isatty(STDOUT_FILENO))
        return kymo_cli_usage(TOOL, "%s is nothing for a terminal; give -w FILE", o->to);
    return KYMO_CLI_GO_ON;
}

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt opt[] = {
        {KYMO_OPT_CHOICE, 0, "to", "jsonl|csv|parquet|perfetto", "write this", &o->to, 0, 0},
        {KYMO_OPT_STR, 'w', "write", "FILE", "write to this file (- for stdout, the default)",
         &o->out, 0, 0},
        {KYMO_OPT_LIST, 'r', "read", "FILE",
         "read this file, as a bare one; may be given again", &o->in, 0, 0},
        {KYMO_OPT_LIST, 't', "table", "TABLE",
         "export this table; jsonl takes several (jsonl: all but the recorder's books; csv, "
         "parquet: syscall or features)",
         &o->tables, 0, 0},
        {KYMO_OPT_STR, 'f', "filter", "EXPR", "export only rows for which this holds",
         &o->filter, 0, 0},
        {KYMO_OPT_STR, 0, "columns", "A,B,...",
         "export these columns, in this order (all, with the names derived from them)",
         &o->columns, 0, 0},
        {KYMO_OPT_TIME, 0, "since", "TIME",
         "skip rows before this time since the start of the capture", &o->since_ns, 0, 0},
        {KYMO_OPT_TIME, 0, "until", "TIME",
         "skip rows after this time since the start of the capture", &o->until_ns, 0, 0},
        {KYMO_OPT_U64, 0, "group-rows", "N", "parquet: rows of a row group at most (1048576)",
         &o->group_rows, 1, 1 << 24},
        {KYMO_OPT_FLAG, 0, "force", NULL, "replace an existing FILE", &o->force, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary =
            "turn captures and matrices into JSON Lines, CSV, Parquet or a Perfetto trace",
        .positional = "FILE...",
        .positional_max = SIZE_MAX,
        .examples =
            "  kymo export --to parquet -w prod.parquet prod.kymo\n"
            "  kymo export --to parquet -t process -w processes.parquet prod.kymo\n"
            "  kymo export --to perfetto --until 10s -w prod.pftrace prod.kymo\n"
            "  kymo export --to jsonl -f 'dur > 100ms' prod.kymo | jq .path\n"
            "  kymo export --to csv --columns wall,comm,syscall,ret prod.kymo > calls.csv\n",
        .opt = opt,
        .n_opt = KYMO_COUNT_OF(opt),
    };
    int first;
    int status = kymo_cli_parse(&cli, argc, argv, &first);
    if (status == KYMO_CLI_GO_ON)
        status = kymo_cli_inputs(TOOL, argc, argv, first, &o->in);
    return status == KYMO_CLI_GO_ON ? usage_check(o) : status;
}

static kymo_status split_columns(struct export *e, char *columns, struct kymo_err *err)
{
    char *rest = NULL;
    for (char *c = columns ? strtok_r(columns, ",", &rest) : NULL; c;
         c = strtok_r(NULL, ",", &rest)) {
        for (size_t i = 0; i < e->n_columns; i++)
            if (!strcmp(e->column[i], c))
                return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "column '%s' is there twice",
                                 c);
        if (e->n_columns == KYMO_EXPORT_COLUMNS_MAX)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "more than %u columns",
                             KYMO_EXPORT_COLUMNS_MAX);
        e->column[e->n_columns++] = c;
    }
    return KYMO_OK;
}

static kymo_status open_sink(struct export *e, struct kymo_err *err)
{
    const struct opts *o = e->o;
    if (is_to(o, "parquet")) {
        KYMO_TRY(
            kymo_tabular_open(&e->tabular, e->out.fd, o->out, (uint32_t)o->group_rows, err));
        e->sink = kymo_tabular_sink(e->tabular);
    } else if (is_to(o, "perfetto")) {
        KYMO_TRY(kymo_perfetto_open(&e->perfetto, e->out.fd, o->out, err));
        e->sink = kymo_perfetto_sink(e->perfetto);
    } else {
        e->lines = (struct kymo_lines){.fd = e->out.fd,
                                       .is_csv = is_to(o, "csv"),
                                       .names_table = o->tables.n != 1,
                                       .name = o->out};
        e->sink = kymo_lines_sink(&e->lines);
    }
    return KYMO_OK;
}

static kymo_status finish_sink(struct export *e, struct kymo_err *err)
{
    if (e->tabular)
        return kymo_tabular_finish(e->tabular, err);
    if (e->perfetto)
        return kymo_perfetto_finish(e->perfetto, err);
    return kymo_lines_finish(&e->lines, err);
}

/* A torn tail is a warning and the next file is read; what is worse ends the run. */
static kymo_status walk_files(struct export *e, const char **at, struct kymo_err *err)
{
    const struct opts *o = e->o;
    const struct kymo_export_ask ask = {.table = o->tables.v,
                                        .n_tables = o->tables.n,
                                        .column = e->column,
                                        .n_columns = e->n_columns,
                                        .filter = o->filter,
                                        .since_ns = o->since_ns,
                                        .until_ns = o->until_ns};
    struct kymo_walk *w;
    KYMO_TRY(kymo_walk_open(&w, &ask, &e->sink, err));
    kymo_status s = KYMO_OK;
    for (size_t i = 0; !s && i < o->in.n; i++) {
        *at = o->in.v[i];
        s = kymo_walk_file(w, *at, &stop, err);
        if (stop) {
            s = KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE, "stopped by a signal");
        } else if (s == KYMO_ETORN) {
            kymo_cli_say(TOOL, "%s: %s", *at, err->text);
            s = KYMO_OK;
        }
    }
    kymo_walk_close(w);
    if (!s) {
        *at = o->out;
        s = finish_sink(e, err);
    }
    return s;
}

static kymo_status run(struct export *e, char *columns, const char **at, struct kymo_err *err)
{
    KYMO_TRY(split_columns(e, columns, err));
    *at = e->o->out;
    KYMO_TRY(kymo_out_open(&e->out, e->o->out, e->o->force, err));
    kymo_status s = open_sink(e, err);
    if (!s)
        s = walk_files(e, at, err);
    kymo_tabular_close(e->tabular);
    kymo_perfetto_close(e->perfetto);
    kymo_lines_release(&e->lines);
    if (!s)
        return kymo_out_commit(&e->out, err);
    kymo_out_abort(&e->out);
    return s;
}

int main(int argc, char **argv)
{
    static struct opts o = {
        .out = "-", .until_ns = UINT64_MAX, .group_rows = KYMO_PARQUET_GROUP_ROWS};
    static struct export e;
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    struct kymo_err err = {0};
    const char *at = NULL;
    char *columns = o.columns ? strdup(o.columns) : NULL;
    e.o = &o;
    const kymo_status s = run(&e, columns, &at, &err);
    free(columns);
    return kymo_cli_finish(TOOL, at, s, &err, KYMO_EXIT_OK);
}
