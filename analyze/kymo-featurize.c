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
#include "format/model/sequence_learn.h"

#define TOOL "kymo-featurize"
#define SEQUENCE_BYTES_MAX ((size_t)256 << 20)

struct opts {
    const char *out, *by, *format;
    struct kymo_opt_list in, fit_on;
    uint64_t window_ns, step_ns, threads;
    bool list, json, force, quiet, sequence;
};

static const char *format_of(const struct opts *o)
{
    if (o->format)
        return o->format;
    const char *dot = strrchr(o->out, '.');
    if (dot && (strcmp(dot, ".csv") == 0 || strcmp(dot, ".npy") == 0))
        return dot + 1;
    return "kymo";
}

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
        {KYMO_OPT_CHOICE, 0, "by", KYMO_BY_WORDS, "what a window is about (host)", &o->by, 0,
         0},
        {KYMO_OPT_LIST, 0, "fit-on", "FILE",
         "learn from this capture of good hours what is usual: how rare n-grams are, and which "
         "paths, peers, executables and sequences are known; may be given again",
         &o->fit_on, 0, 0},
        {KYMO_OPT_FLAG, 0, "sequence", NULL,
         "write down too in which order threads make their calls, which a model needs for kymo "
         "synth",
         &o->sequence, 0, 0},
        {KYMO_OPT_CHOICE, 0, "format", "kymo|csv|npy",
         "form of the output (by the end of its name, else kymo)", &o->format, 0, 0},
        {KYMO_OPT_U64, 'j', "jobs", "N", "threads that decode; the same bytes for any (1)",
         &o->threads, 1, 256},
        {KYMO_OPT_FLAG, 0, "list", NULL, "print what every feature is, and leave", &o->list, 0,
         0},
        {KYMO_OPT_FLAG, 0, "json", NULL, "print the list as JSON", &o->json, 0, 0},
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
                    "kymo featurize --fit-on good.kymo prod.kymo -w prod.features.kymo\n"
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
    if (o->json && !o->list)
        return kymo_cli_usage(TOOL, "--json is of --list");
    if (o->list)
        return KYMO_CLI_GO_ON;
    if (o->sequence && o->out && strcmp(format_of(o), "kymo") != 0)
        return kymo_cli_usage(TOOL, "--sequence goes into a .kymo matrix, not into %s",
                              format_of(o));
    if (!o->in.n)
        return kymo_cli_usage(TOOL, "no capture to read");
    if (!o->out)
        return kymo_cli_usage(TOOL, "no -w FILE to write the matrix to");
    return KYMO_CLI_GO_ON;
}

static void print_list(const struct kymo_feature_spec *spec)
{
    char about[KYMO_ABOUT_BYTES], from[KYMO_ABOUT_BYTES];
    printf("%-22s %-6s %-15s %-9s %8s  %-5s  %-19s %s\n", "feature", "unit", "transform",
           "group", "weight", "floor", "table", "what it is");
    for (size_t j = 0; j < spec->d; j++) {
        const struct kymo_feature_column *c = &spec->column[j];
        printf("%-22s %-6s %-15s %-9s %8.4f  %-5g  %-19s %s\n", c->name,
               *c->unit ? c->unit : "-", kymo_bend_name(c->bend), c->group, c->weight, c->floor,
               kymo_feature_from_text(c->from, from), kymo_feature_about(j, about));
    }
}

static kymo_status print_list_json(const struct kymo_feature_spec *spec, struct kymo_err *err)
{
    json_t *doc = kymo_feature_spec_json(spec);
    json_t *columns = doc ? json_object_get(doc, "columns") : NULL;
    for (size_t j = 0; j < json_array_size(columns); j++) {
        char about[KYMO_ABOUT_BYTES];
        json_object_set_new(json_array_get(columns, j), "about",
                            json_string(kymo_feature_about(j, about)));
    }
    kymo_status s = KYMO_OK;
    if (columns)
        s = kymo_json_write(doc, "-", 0, err);
    else
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    json_decref(doc);
    return s;
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

/* What a capture of calls that were only counted does not tell. */
static void say_missing(const char *path, const struct kymo_feature_spec *spec,
                        const struct kymo_capture_facts *f)
{
    size_t n = 0;
    for (size_t j = 0; j < spec->d; j++)
        n += (spec->column[j].from & KYMO_FROM_CALLS) &&
             !kymo_feature_is_there(&spec->column[j], f->from) &&
             !(spec->column[j].from & KYMO_FROM_KNOWN);
    if (n)
        kymo_cli_say(TOOL,
                     "warning: %s has no row for each call: %zu features are 0 and say nothing",
                     path, n);
}

static void say_capture(const struct opts *o, const char *path,
                        const struct kymo_feature_spec *spec,
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
    say_missing(path, spec, f);
    char count[32];
    kymo_cli_say(TOOL, "%s: %s events, %.1f s, %" PRIu64 " windows", path,
                 kymo_human_count(count, sizeof(count), f->rows + f->calls),
                 (double)(f->last_ns - f->first_ns) / 1e9, f->windows);
}

static kymo_status load_all(const struct opts *o, struct kymo_matrix *m, const char **at,
                            struct kymo_err *err)
{
    for (size_t i = 0; i < o->in.n; i++) {
        *at = o->in.v[i];
        KYMO_TRY(
            kymo_matrix_load_capture(m, o->in.v[i], (uint32_t)i, (unsigned)o->threads, err));
        say_capture(o, o->in.v[i], m->spec, &m->capture[i]);
    }
    return KYMO_OK;
}

/* Captures with their sequences: what they teach goes into a table of the matrix. */
static kymo_status load_all_sequences(const struct opts *o, struct kymo_matrix *m,
                                      const char **at, struct kymo_err *err)
{
    m->wants_sequence = o->sequence;
    if (!o->sequence)
        return load_all(o, m, at, err);
    KYMO_TRY(kymo_sequence_open(&m->learner, SEQUENCE_BYTES_MAX, err));
    kymo_status s = load_all(o, m, at, err);
    if (!s)
        s = kymo_matrix_add_sequence(m, m->learner, err);
    if (!s && !o->quiet && kymo_sequence_every(m->learner) > 1)
        kymo_cli_say(TOOL,
                     "sequences of one step in %" PRIu64 " are kept: all would pass %u MiB",
                     kymo_sequence_every(m->learner), (unsigned)(SEQUENCE_BYTES_MAX >> 20));
    kymo_sequence_close(m->learner);
    m->learner = NULL;
    return s;
}

static void say_vocabulary(const struct opts *o, const struct kymo_vocabulary *v)
{
    for (int k = 0; !o->quiet && k < KYMO_KNOWN_KINDS; k++)
        if (v->known[k].met > v->known[k].n)
            kymo_cli_say(TOOL,
                         "warning: of %" PRIu64 " %s the %" PRIu32
                         " most frequent are known; the others will be new",
                         v->known[k].met, kymo_known_name((enum kymo_known)k), v->known[k].n);
}

/* Freeze into the spec what the captures of --fit-on tell. */
static kymo_status fit(const struct opts *o, struct kymo_feature_spec *spec,
                       struct kymo_arena *arena, const char **at, struct kymo_err *err)
{
    static struct kymo_vocabulary_fit learned;
    struct kymo_vocabulary *v = NULL;
    kymo_status s = KYMO_OK;
    for (size_t i = 0; i < o->fit_on.n && !s; i++) {
        *at = o->fit_on.v[i];
        s = kymo_vocabulary_load(&learned, spec, *at, (unsigned)o->threads, err);
    }
    if (o->fit_on.n && !s)
        s = kymo_vocabulary_freeze(&v, &learned, arena, err);
    kymo_vocabulary_release(&learned);
    if (s || !v)
        return s;
    say_vocabulary(o, v);
    spec->vocabulary = v;
    return KYMO_OK;
}

static kymo_status make_matrix(const struct opts *o, struct kymo_matrix *m,
                               struct kymo_feature_spec *spec, int fd, const char **at,
                               struct kymo_err *err)
{
    KYMO_TRY(fit(o, spec, &m->arena, at, err));
    KYMO_TRY(kymo_matrix_set_spec(m, spec, err));
    KYMO_TRY(load_all_sequences(o, m, at, err));
    *at = o->out;
    KYMO_TRY(write_matrix(o, m, fd, err));
    if (m->n == 0 && !o->quiet)
        kymo_cli_say(
            TOOL,
            "warning: no window came out; captures without rows, or shorter than a window?");
    return KYMO_OK;
}

static kymo_status run(const struct opts *o, struct kymo_feature_spec *spec, const char **at,
                       struct kymo_err *err)
{
    KYMO_TRY(kymo_feature_spec_init(spec, o->window_ns, o->step_ns, kymo_by_value(o->by), err));
    if (o->list && o->json)
        return print_list_json(spec, err);
    if (o->list) {
        print_list(spec);
        return KYMO_OK;
    }
    struct kymo_out out;
    *at = o->out;
    KYMO_TRY(kymo_out_open(&out, o->out, o->force, err));
    struct kymo_matrix m;
    kymo_matrix_init(&m, 0);
    const kymo_status s = make_matrix(o, &m, spec, out.fd, at, err);
    kymo_matrix_release(&m);
    if (!s)
        return kymo_out_commit(&out, err);
    kymo_out_abort(&out);
    return s;
}

int main(int argc, char **argv)
{
    static struct kymo_feature_spec spec;
    struct opts o = {.window_ns = 1000000000, .threads = 1, .by = "host"};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    const char *at = NULL;
    const kymo_status s = run(&o, &spec, &at, &err);
    return kymo_cli_finish(TOOL, at, s, &err, KYMO_EXIT_OK);
}
