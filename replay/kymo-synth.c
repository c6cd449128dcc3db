/* SPDX-License-Identifier: Apache-2.0
 * kymo-synth: a capture of what a state is like, which nobody recorded.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/base/file.h"
#include "format/base/json.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/model/model.h"
#include "replay/perform.h"
#include "replay/synth/study.h"
#include "replay/synth/synth.h"

#define TOOL "kymo-synth"

struct opts {
    const char *in, *model, *state, *out, *rate;
    struct kymo_study_opts part;
    uint64_t duration_ns, seed, threads, calls_max;
    double times;
    uint64_t time_ns;
    bool force, quiet, json, run, no_verify;
};

/* What is generated from, of whichever source. */
struct source {
    struct kymo_symbols own; /* of a model's */
    struct kymo_sequence_learner *learner;
    struct kymo_behaviour is;
    char note[256];
};

/* "x3", or "3". */
static int parse_rate(struct opts *o)
{
    const char *s = o->rate[0] == 'x' ? o->rate + 1 : o->rate;
    if (!kymo_parse_f64(s, &o->times) || !(o->times >= 0.001 && o->times <= 1000))
        return kymo_cli_usage(TOOL, "--rate wants x0.001 to x1000, not '%s'", o->rate);
    return KYMO_CLI_GO_ON;
}

/* A table, and long: NOLINTNEXTLINE(readability-function-size) */
static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'm', "model", "MODEL",
         "generate from this model, of windows that were featurized with --sequence", &o->model,
         0, 0},
        {KYMO_OPT_STR, 0, "state", "STATE",
         "what a state of the model is like: s3, 3, or a label, whose states are taken "
         "together",
         &o->state, 0, 0},
        {KYMO_OPT_STR, 'w', "write", "FILE", "the capture to make (-: standard output)",
         &o->out, 0, 0},
        {KYMO_OPT_FLAG, 0, "run", NULL,
         "play it in a sandbox, record that, and hold it against what was generated", &o->run,
         0, 0},
        {KYMO_OPT_FLAG, 0, "no-verify", NULL, "do not record what is played", &o->no_verify, 0,
         0},
        {KYMO_OPT_TIME, 0, "max-time", "TIME", "of playing (the duration and 60s)", &o->time_ns,
         0, 0},
        {KYMO_OPT_TIME, 'd', "duration", "TIME", "how long it lasts (60s)", &o->duration_ns,
         1e6, 86400e9},
        {KYMO_OPT_U64, 0, "seed", "N", "the same seed gives the same bytes (1)", &o->seed, 0,
         0},
        {KYMO_OPT_STR, 0, "rate", "xN", "calls a second, times what was recorded (x1)",
         &o->rate, 0, 0},
        {KYMO_OPT_U64, 0, "threads", "N",
         "threads that are there at the start, shared out as recorded (as recorded)",
         &o->threads, 1, 4096},
        {KYMO_OPT_U64, 0, "max-calls", "N", "stop after so many calls (1000000000)",
         &o->calls_max, 1, 1e12},
        {KYMO_OPT_TIME, 0, "since", "TIME",
         "learn from CAPTURE from this time since its start on", &o->part.since_ns, 0, 1e18},
        {KYMO_OPT_TIME, 0, "until", "TIME", "and up to this time since its start",
         &o->part.until_ns, 1, 1e18},
        {KYMO_OPT_STR, 0, "mark", "NAME", "and within the spans of this mark alone",
         &o->part.mark, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite an output that exists", &o->force, 0, 0},
        {KYMO_OPT_FLAG, 0, "json", NULL, "print what was made as JSON", &o->json, 0, 0},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no summary and no warnings", &o->quiet, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary =
            "generate a capture that is like a state of a model, or like another capture",
        .positional = "[CAPTURE]",
        .positional_max = 1,
        .examples =
            "kymo synth -m prod.model.json --state incident-3 -d 60s --seed 7 -w out.kymo\n"
            "kymo synth -m prod.model.json --state incident-3 -d 20s --run\n"
            "kymo synth prod.kymo --mark storm --rate x2 -w storm2.kymo\n"
            "kymo synth -m prod.model.json --state s3 -w - | kymo score -m "
            "prod.model.json -\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    int first;
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    o->in = first < argc ? argv[first] : NULL;
    if (!o->in == !o->model)
        return kymo_cli_usage(TOOL, "-m MODEL or a CAPTURE, to generate from");
    if (!o->model != !o->state)
        return kymo_cli_usage(TOOL, "-m MODEL and --state STATE go together");
    if (o->model && (o->part.since_ns || o->part.until_ns || o->part.mark))
        return kymo_cli_usage(TOOL, "--since, --until and --mark are parts of a CAPTURE");
    if (o->part.until_ns && o->part.until_ns <= o->part.since_ns)
        return kymo_cli_usage(TOOL, "--until is not after --since");
    if (!o->out && !o->run)
        return kymo_cli_usage(TOOL, "no -w FILE to write the capture to, nor --run to play it");
    if (!o->run && (o->no_verify || o->time_ns))
        return kymo_cli_usage(TOOL, "--no-verify and --max-time go with --run");
    if (o->run && o->out && !strcmp(o->out, "-"))
        return kymo_cli_usage(TOOL, "--run reads again what is written: -w FILE, or none");
    return parse_rate(o);
}

/* -- what to generate from -------------------------------------------------------------------- */

static kymo_status add_state(struct source *from, const struct kymo_model *m, size_t c,
                             const char *name, struct kymo_err *err)
{
    struct kymo_behaviour one = {0};
    kymo_status s = kymo_sequence_parse(&one, &from->own, m->sequence, c, name, err);
    if (!s)
        s = kymo_behaviour_add(&from->is, &one, 1, err);
    kymo_behaviour_release(&one);
    return s;
}

/* One state by its number, or all that bear a label. */
static kymo_status take_states(struct source *from, const struct kymo_model *m,
                               const struct opts *o, struct kymo_err *err)
{
    const size_t one = kymo_model_find(m, o->state);
    size_t found = 0;
    for (size_t c = 0; c < m->k; c++) {
        if (c != one && strcmp(m->state[c].label, o->state) != 0)
            continue;
        KYMO_TRY(add_state(from, m, c, o->model, err));
        found++;
    }
    if (!found)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "no state of %s is '%s'; it has s0 to s%zu: kymo label %s shows them",
                         o->model, o->state, m->k - 1, o->model);
    snprintf(from->note, sizeof(from->note), "state %.60s of a model, seed %" PRIu64, o->state,
             o->seed);
    return KYMO_OK;
}

static kymo_status from_model(struct source *from, const struct opts *o, struct kymo_err *err)
{
    struct kymo_model m;
    kymo_model_init(&m);
    kymo_status s = kymo_symbols_init(&from->own, err);
    if (!s)
        s = kymo_model_read(&m, o->model, err);
    if (!s)
        s = take_states(from, &m, o, err);
    kymo_model_release(&m);
    return s;
}

static kymo_status find_source(struct source *from, const struct opts *o, struct kymo_err *err)
{
    if (o->model)
        return from_model(from, o, err);
    snprintf(from->note, sizeof(from->note), "a capture%s%.60s, seed %" PRIu64,
             o->part.mark ? ", mark " : "", o->part.mark ? o->part.mark : "", o->seed);
    return kymo_study(o->in, &o->part, &from->learner, &from->is, err);
}

static void release_source(struct source *from)
{
    kymo_behaviour_release(&from->is);
    if (from->learner)
        kymo_sequence_close(from->learner);
    else
        kymo_symbols_release(&from->own);
}

/* -- what came of it -------------------------------------------------------------------------- */

static kymo_status print_json(const struct opts *o, const struct kymo_synth_stats *t,
                              struct kymo_err *err)
{
    const double seconds = (double)o->duration_ns / 1e9;
    json_t *doc = json_pack(
        "{s:s, s:f, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:b}", "capture", o->out, "seconds",
        seconds, "calls", (json_int_t)t->calls, "calls_per_s", (double)t->calls / seconds,
        "aim_per_s", t->aim_per_s, "processes", (json_int_t)t->processes, "threads",
        (json_int_t)t->threads, "enabling", (json_int_t)t->enabling, "alternatives",
        (json_int_t)t->alternatives, "idle", (json_int_t)t->idle, "cut", t->is_cut);
    kymo_status s;
    if (doc)
        s = kymo_json_write(doc, "-", 0, err);
    else
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    json_decref(doc);
    return s;
}

static void say(const struct opts *o, const struct kymo_synth_stats *t)
{
    char calls[32];
    const double seconds = (double)o->duration_ns / 1e9;
    if (o->quiet)
        return;
    if (t->is_cut)
        kymo_cli_say(TOOL, "warning: stopped after %" PRIu64 " calls, see --max-calls",
                     t->calls);
    kymo_cli_say(
        TOOL,
        "%s: %s calls in %g s, %.0f/s where %.0f/s are recorded and asked for; %" PRIu64
        " threads of %" PRIu64 " processes; %" PRIu64 " calls were put in to make others "
        "legal, %" PRIu64 " replaced",
        o->out, kymo_human_count(calls, sizeof(calls), t->calls), seconds,
        (double)t->calls / seconds, t->aim_per_s, t->threads, t->processes, t->enabling,
        t->alternatives);
}

/* -- playing it ------------------------------------------------------------------------------- */

static kymo_status perform(const struct opts *o, const char *path, const struct kymo_trace *t,
                           const struct kymo_plan *plan, int *finding, struct kymo_err *err)
{
    const struct kymo_image *image = (const struct kymo_image *)(void *)plan->image.p;
    const struct kymo_perform_opts p = {
        .stage = {.pace = 1, .time_ns = o->time_ns ? o->time_ns : o->duration_ns + 60000000000},
        .verify = o->no_verify ? KYMO_VERIFY_NEVER : KYMO_VERIFY_WHERE_POSSIBLE,
        .original = t,
        .original_path = path,
        .is_synthesis = 1,
        .model = o->model,
        .form = o->json ? KYMO_PROOF_JSONL : KYMO_PROOF_TEXT,
    };
    struct kymo_performance done;
    KYMO_TRY(kymo_image_check(image, plan->image.n, err));
    KYMO_TRY(kymo_perform(&done, image, &p, err));
    kymo_performance_print(&done, image, &p, stdout);
    *finding = kymo_performance_exit(&done);
    kymo_performance_release(&done);
    return KYMO_OK;
}

static kymo_status play(const struct opts *o, const char *path, int *finding,
                        struct kymo_err *err)
{
    struct kymo_trace *t = NULL;
    struct kymo_plan *plan = NULL;
    const struct kymo_plan_opts po = {0};
    kymo_status s = kymo_trace_load(&t, path, 0, err);
    if (!s)
        s = kymo_plan_compile(&plan, t, &po, err);
    if (!s)
        s = perform(o, path, t, plan, finding, err);
    kymo_plan_free(plan);
    kymo_trace_free(t);
    return s;
}

static kymo_status generate(const struct opts *o, int fd, const char *name,
                            struct kymo_synth_stats *stats, struct kymo_err *err)
{
    struct source from = {.note = ""};
    kymo_status s = find_source(&from, o, err);
    const struct kymo_synth_opts so = {.duration_ns = o->duration_ns,
                                       .seed = o->seed,
                                       .rate = o->times,
                                       .threads = (uint32_t)o->threads,
                                       .calls_max = o->calls_max,
                                       .note = from.note};
    if (!s)
        s = kymo_synth(&from.is, from.learner ? kymo_sequence_symbols(from.learner) : &from.own,
                       &so, fd, name, stats, err);
    release_source(&from);
    return s;
}

/* Into a file that is there when it is whole. */
static kymo_status write_out(const struct opts *o, struct kymo_synth_stats *stats,
                             struct kymo_err *err)
{
    struct kymo_out out = {.fd = -1};
    KYMO_TRY(kymo_out_open(&out, o->out, o->force, err));
    const kymo_status s = generate(o, out.fd, o->out, stats, err);
    if (!s)
        return kymo_out_commit(&out, err);
    kymo_out_abort(&out);
    return s;
}

static kymo_status play_unwritten(const struct opts *o, struct kymo_synth_stats *stats,
                                  int *finding, struct kymo_err *err)
{
    const int fd = memfd_create("kymo-synth", MFD_CLOEXEC);
    if (fd < 0)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "no memory file for the capture");
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    kymo_status s = generate(o, fd, "the capture", stats, err);
    if (!s)
        s = play(o, path, finding, err);
    close(fd);
    return s;
}

static kymo_status run(const struct opts *o, int *finding, struct kymo_err *err)
{
    struct kymo_synth_stats stats = {0};
    if (!o->out)
        return play_unwritten(o, &stats, finding, err);
    KYMO_TRY(write_out(o, &stats, err));
    say(o, &stats);
    if (o->run)
        return play(o, o->out, finding, err);
    return o->json ? print_json(o, &stats, err) : KYMO_OK;
}

int main(int argc, char **argv)
{
    struct opts o = {.duration_ns = 60000000000, .seed = 1, .rate = "x1", .times = 1};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    int finding = KYMO_EXIT_OK;
    const kymo_status s = run(&o, &finding, &err);
    return kymo_cli_finish(TOOL, o.model ? o.model : o.in, s, &err, finding);
}
