/* SPDX-License-Identifier: Apache-2.0
 * kymo-featurize: captures into one feature matrix.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/io/csv.h"
#include "format/io/load.h"
#include "format/io/npy.h"

#define TOOL "kymo-featurize"

struct opts {
    const char *out, *by, *format;
    struct kymo_opt_list in;
    uint64_t window_ns, step_ns;
    bool list, force, quiet;
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'w', "write", "FILE", "write the matrix here (-: standard output)",
         &o->out, 0, 0},
        {KYMO_OPT_LIST, 'r', "read", "FILE", "a capture to read, like a bare FILE", &o->in, 0,
         0},
        {KYMO_OPT_TIME, 0, "window", "TIME", "length of a window (1s)", &o->window_ns,
         (double)KYMO_WINDOW_NS_MIN, (double)KYMO_WINDOW_NS_MAX},
        {KYMO_OPT_TIME, 0, "step", "TIME", "from one window's start to the next (as --window)",
         &o->step_ns, (double)KYMO_WINDOW_NS_MIN, (double)KYMO_WINDOW_NS_MAX},
        {KYMO_OPT_CHOICE, 0, "by", "host|cgroup|comm|process", "what a window is about (host)",
         &o->by, 0, 0},
        {KYMO_OPT_CHOICE, 0, "format", "kymo|csv|npy",
         "form of the output (by the end of its name, else kymo)", &o->format, 0, 0},
        {KYMO_OPT_FLAG, 0, "list", NULL,
         "print every feature with its unit, transform and weight, and leave", &o->list, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite an output that exists", &o->force, 0, 0},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no summary and no warnings", &o->quiet, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "turn captures into a matrix of windows by features",
        .positional = "[CAPTURE...]",
        .positional_max = SIZE_MAX,
        .examples = "kymo featurize prod.kymo -w prod.features.kymo\n"
                    "kymo featurize --by comm --window 5s --step 1s a.kymo b.kymo -w both.csv\n"
                    "kymo featurize --list\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    int first;
    int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage == KYMO_CLI_GO_ON)
        usage = kymo_cli_inputs(TOOL, argc, argv, first, &o->in);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (!o->step_ns)
        o->step_ns = o->window_ns;
    if (o->list)
        return KYMO_CLI_GO_ON;
    if (!o->in.n)
        return kymo_cli_usage(TOOL, "no capture to read");
    if (!o->out)
        return kymo_cli_usage(TOOL, "no -w FILE to write the matrix to");
    return KYMO_CLI_GO_ON;
}

static void print_list(const struct kymo_feature_spec *spec)
{
    printf("%-22s %-6s %-15s %-9s %8s  %s\n", "feature", "unit", "transform", "group", "weight",
           "floor");
    for (size_t j = 0; j < spec->d; j++) {
        const struct kymo_feature_column *c = &spec->column[j];
        printf("%-22s %-6s %-15s %-9s %8.4f  %g\n", c->name, *c->unit ? c->unit : "-",
               kymo_bend_name(c->bend), c->group, c->weight, c->floor);
    }
}

static const char *format_of(const struct opts *o)
{
    if (o->format)
        return o->format;
    const char *dot = strrchr(o->out, '.');
    if (dot && (strcmp(dot, ".csv") == 0 || strcmp(dot, ".npy") == 0))
        return dot + 1;
    return "kymo";
}

static kymo_status write_matrix(const struct opts *o, const struct kymo_matrix *m, int fd,
                                struct kymo_err *err)
{
    const char *format = format_of(o);
    if (strcmp(format, "csv") == 0)
        return kymo_csv_write(fd, m, o->out, err);
    if (strcmp(format, "npy") == 0)
        return kymo_npy_write(fd, m->n, m->d, m->X, o->out, err);
    return kymo_matrix_write(m, fd, o->out, err);
}

static void say_capture(const struct opts *o, const char *path,
                        const struct kymo_capture_facts *f)
{
    if (o->quiet)
        return;
    if (f->torn)
        kymo_cli_say(TOOL, "warning: %s ends in mid-chunk; what came before is used", path);
    if (f->late)
        kymo_cli_say(TOOL, "warning: %s: %" PRIu64 " rows came after their window had closed",
                     path, f->late);
    if (f->dropped)
        kymo_cli_say(TOOL, "warning: %s: %" PRIu64 " events were lost of %" PRIu64, path,
                     f->dropped, f->stored + f->dropped);
    char count[32];
    kymo_cli_say(TOOL, "%s: %s events, %.1f s, %" PRIu64 " windows", path,
                 kymo_human_count(count, sizeof(count), f->rows),
                 (double)(f->last_ns - f->first_ns) / 1e9, f->windows);
}

static kymo_status load_all(const struct opts *o, struct kymo_matrix *m, const char **at,
                            struct kymo_err *err)
{
    for (size_t i = 0; i < o->in.n; i++) {
        *at = o->in.v[i];
        KYMO_TRY(kymo_matrix_load_capture(m, o->in.v[i], (uint32_t)i, err));
        say_capture(o, o->in.v[i], &m->capture[i]);
    }
    return KYMO_OK;
}

static kymo_status run(const struct opts *o, struct kymo_feature_spec *spec, const char **at,
                       struct kymo_err *err)
{
    KYMO_TRY(kymo_feature_spec_init(spec, o->window_ns, o->step_ns, kymo_by_value(o->by), err));
    if (o->list) {
        print_list(spec);
        return KYMO_OK;
    }
    struct kymo_out out;
    *at = o->out;
    KYMO_TRY(kymo_out_open(&out, o->out, o->force, err));
    struct kymo_matrix m;
    kymo_matrix_init(&m, 0);
    kymo_status s = kymo_matrix_set_spec(&m, spec, err);
    if (!s)
        s = load_all(o, &m, at, err);
    if (!s) {
        *at = o->out;
        s = write_matrix(o, &m, out.fd, err);
    }
    if (!s && m.n == 0 && !o->quiet)
        kymo_cli_say(
            TOOL,
            "warning: no window came out; captures without rows, or shorter than a window?");
    kymo_matrix_release(&m);
    if (!s)
        return kymo_out_commit(&out, err);
    kymo_out_abort(&out);
    return s;
}

int main(int argc, char **argv)
{
    static struct kymo_feature_spec spec;
    struct opts o = {.window_ns = 1000000000, .by = "host"};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    const char *at = NULL;
    const kymo_status s = run(&o, &spec, &at, &err);
    return kymo_cli_finish(TOOL, at, s, &err, KYMO_EXIT_OK);
}
