/* SPDX-License-Identifier: Apache-2.0
 * kymo-replay: make a recorded slice happen again, in a sandbox; without --run, say what that would be.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/file/slice.h"
#include "replay/perform.h"
#include "replay/plan/emit_c.h"
#include "replay/plan/plan_print.h"

#define TOOL "kymo-replay"
#define SLICE_LEVEL 1
#define CAP_BYTES ((size_t)2 << 30)

struct replay_opts {
    const char *in; /* a capture or a plan */
    const char *plan_out, *emit_c, *control, *root, *again_out, *model, *report, *target,
        *timing;
    double pace; /* of `timing`: 1 as recorded, 0 as fast as possible */
    uint64_t time_ns, cpu_ns, memory_bytes, disk_bytes, processes_max;
    bool run, dry_run, verify, no_verify, json, jsonl, junit, calls, force, quiet, verbose;
};

struct opts {
    struct replay_opts r;
    struct kymo_slice_opts slice;
    struct kymo_opt_list in, pid, comm, cgroup;
};

static int pace_of(struct replay_opts *r)
{
    if (!r->timing || !strcmp(r->timing, "original"))
        r->pace = 1;
    else if (!strcmp(r->timing, "afap"))
        r->pace = 0;
    else if (strncmp(r->timing, "scale=", 6) != 0 || !kymo_parse_f64(r->timing + 6, &r->pace) ||
             r->pace <= 0 || r->pace > 1e6)
        return kymo_cli_usage(TOOL, "--timing is original, afap or scale=X with X above 0");
    return KYMO_CLI_GO_ON;
}

static void words(struct kymo_words *to, const struct kymo_opt_list *from)
{
    to->n = from->n < KYMO_SLICE_LIST_MAX ? from->n : KYMO_SLICE_LIST_MAX;
    memcpy(to->v, from->v, to->n * sizeof(to->v[0]));
}

static int usage_check(struct opts *o)
{
    struct replay_opts *r = &o->r;
    if (!o->in.n)
        return kymo_cli_usage(TOOL, "which capture, or which plan?");
    if (o->in.n > 1)
        return kymo_cli_usage(TOOL, "one capture at a time; kymo merge joins several");
    if (r->run && r->dry_run)
        return kymo_cli_usage(TOOL, "--run or --dry-run, not both");
    if (r->verify && r->no_verify)
        return kymo_cli_usage(TOOL, "--verify or --no-verify, not both");
    if (!r->run && (r->verify || r->again_out || r->report || r->model || r->control ||
                    r->jsonl || r->junit))
        return kymo_cli_usage(TOOL,
                              "--verify, -w, -m, --report, --jsonl and --junit go with --run");
    if (r->json + r->jsonl + r->junit > 1)
        return kymo_cli_usage(TOOL, "--json, --jsonl or --junit, one of them");
    if (o->slice.until_ns < o->slice.since_ns)
        return kymo_cli_usage(TOOL, "--until lies before --since");
    if (r->target && !strrchr(r->target, ':'))
        return kymo_cli_usage(TOOL, "--target is HOST:PORT");
    words(&o->slice.pid, &o->pid);
    words(&o->slice.comm, &o->comm);
    words(&o->slice.cgroup, &o->cgroup);
    r->in = o->in.v[0];
    return pace_of(r);
}

static int parse_table(int argc, char **argv, struct opts *o, const struct kymo_opt *table,
                       size_t n)
{
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "make a recorded slice happen again",
        .positional = "FILE",
        .positional_max = 1,
        .examples = "kymo replay prod.kymo\n"
                    "kymo replay --since 10s --until 12s --run prod.kymo\n"
                    "kymo replay --comm 'redis*' --plan-out redis.plan prod.kymo\n"
                    "kymo replay --timing afap --run redis.plan\n",
        .opt = table,
        .n_opt = n,
    };
    int first;
    int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage == KYMO_CLI_GO_ON)
        usage = kymo_cli_inputs(TOOL, argc, argv, first, &o->in);
    return usage == KYMO_CLI_GO_ON ? usage_check(o) : usage;
}

/* A table, and long: NOLINTNEXTLINE(readability-function-size) */
static int parse_args(int argc, char **argv, struct opts *o)
{
    struct replay_opts *r = &o->r;
    const struct kymo_opt table[] = {
        {KYMO_OPT_LIST, 'r', "read", "FILE", "the capture or plan, like a bare FILE", &o->in, 0,
         0},
        {KYMO_OPT_FLAG, 0, "run", NULL, "play it; without, say what would be played", &r->run,
         0, 0},
        {KYMO_OPT_FLAG, 0, "dry-run", NULL, "say what would be played (the default)",
         &r->dry_run, 0, 0},
        {KYMO_OPT_STR, 0, "plan-out", "FILE", "keep the plan here", &r->plan_out, 0, 0},
        {KYMO_OPT_STR, 0, "emit-c", "FILE",
         "keep the plan here as one C program that needs nothing else, for a bug report",
         &r->emit_c, 0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite outputs that exist", &r->force, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Which slice", NULL, 0, 0},
        {KYMO_OPT_TIME, 0, "since", "TIME",
         "leave out what came before this time since the start of the capture",
         &o->slice.since_ns, 0, 0},
        {KYMO_OPT_TIME, 0, "until", "TIME",
         "leave out what came after this time since the start of the capture",
         &o->slice.until_ns, 0, 0},
        {KYMO_OPT_STR, 0, "mark", "NAME", "only the spans that this mark names", &o->slice.mark,
         0, 0},
        {KYMO_OPT_LIST, 'p', "pid", "PID", "only this process; may be given again", &o->pid, 0,
         0},
        {KYMO_OPT_LIST, 0, "comm", "GLOB", "only tasks of this name; may be given again",
         &o->comm, 0, 0},
        {KYMO_OPT_LIST, 0, "cgroup", "GLOB",
         "only tasks whose cgroup has this path; may be given again", &o->cgroup, 0, 0},
        {KYMO_OPT_STR, 'f', "filter", "EXPR", "only calls for which this holds",
         &o->slice.filter, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "How it is played", NULL, 0, 0},
        {KYMO_OPT_STR, 0, "timing", "HOW",
         "original, scale=X (X times as long), or afap: as fast as possible (original)",
         &r->timing, 0, 0},
        {KYMO_OPT_STR, 0, "root", "DIR",
         "a directory that is the root of what is played, and keeps its files (a file system "
         "in "
         "memory)",
         &r->root, 0, 0},
        {KYMO_OPT_STR, 0, "target", "HOST:PORT",
         "let connections go to this real peer, in place of a scripted one", &r->target, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Budgets", NULL, 0, 0},
        {KYMO_OPT_TIME, 0, "max-time", "TIME", "of the whole replay (60s)", &r->time_ns, 0, 0},
        {KYMO_OPT_TIME, 0, "max-cpu", "TIME", "of all its processes (no limit)", &r->cpu_ns, 0,
         0},
        {KYMO_OPT_BYTES, 0, "max-memory", "SIZE", "(2G)", &r->memory_bytes, 0, 0},
        {KYMO_OPT_BYTES, 0, "max-disk", "SIZE", "for the files it finds and makes (1G)",
         &r->disk_bytes, 0, 0},
        {KYMO_OPT_U64, 0, "max-processes", "N", "processes and threads (4096)",
         &r->processes_max, 1, 4096},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "Proof", NULL, 0, 0},
        {KYMO_OPT_FLAG, 0, "verify", NULL,
         "record the replay, compare, and fail where that cannot be", &r->verify, 0, 0},
        {KYMO_OPT_FLAG, 0, "no-verify", NULL, "do not record the replay", &r->no_verify, 0, 0},
        {KYMO_OPT_STR, 'w', "write", "FILE", "keep the recording of the replay", &r->again_out,
         0, 0},
        {KYMO_OPT_STR, 'm', "model", "FILE", "compare the states that this model finds, too",
         &r->model, 0, 0},
        {KYMO_OPT_STR, 0, "control", "FILE",
         "a capture of another state, from which the replay must differ three times as much",
         &r->control, 0, 0},
        {KYMO_OPT_STR, 0, "report", "FILE", "write the proof here, not to standard output",
         &r->report, 0, 0},
        {KYMO_OPT_GROUP, 0, NULL, NULL, "What is printed", NULL, 0, 0},
        {KYMO_OPT_FLAG, 0, "calls", NULL, "every call, with what it waits for", &r->calls, 0,
         0},
        {KYMO_OPT_FLAG, 0, "json", NULL, "one JSON object", &r->json, 0, 0},
        {KYMO_OPT_FLAG, 0, "jsonl", NULL, "the proof as one JSON object a line", &r->jsonl, 0,
         0},
        {KYMO_OPT_FLAG, 0, "junit", NULL, "the proof as JUnit's XML", &r->junit, 0, 0},
        {KYMO_OPT_FLAG, 'v', "verbose", NULL, "like --calls", &r->verbose, 0, 0},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no warnings", &r->quiet, 0, 0},
    };
    return parse_table(argc, argv, o, table, KYMO_COUNT_OF(table));
}

/* ---- what is read ---- */

struct job {
    const struct opts *o;
    struct kymo_trace *trace;
    struct kymo_plan *plan;
    struct kymo_buf file; /* a plan as it was read */
    const struct kymo_image *image;
    int slice_fd;
    char slice_path[64]; /* where the slice can be read */
    const char *capture;
};

static int wants_slice(const struct opts *o)
{
    const struct kymo_slice_opts *s = &o->slice;
    return s->since_ns || s->until_ns != UINT64_MAX || s->filter || s->mark || s->pid.n ||
           s->comm.n || s->cgroup.n;
}

static kymo_status cut(struct job *j, struct kymo_err *err)
{
    struct kymo_writer *w;
    struct kymo_slice_result r = {0};
    j->capture = j->o->r.in;
    if (!wants_slice(j->o))
        return KYMO_OK;
    j->slice_fd = memfd_create("kymo-slice", MFD_CLOEXEC);
    if (j->slice_fd < 0)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "no memory file for the slice");
    KYMO_TRY(kymo_writer_open(&w, j->slice_fd, "the slice", SLICE_LEVEL, err));
    const kymo_status s = kymo_slice(j->o->r.in, &j->o->slice, w, &r, err);
    kymo_writer_close(w);
    if (s)
        return s;
    if (r.torn && !j->o->r.quiet)
        kymo_cli_say(TOOL, "warning: %s ends in mid-chunk; what came before is used",
                     j->o->r.in);
    snprintf(j->slice_path, sizeof(j->slice_path), "/proc/self/fd/%d", j->slice_fd);
    j->capture = j->slice_path;
    return KYMO_OK;
}

/* Does the file begin as a plan does? Pipes are captures: their beginning cannot be read twice. */
static int is_plan(const char *path)
{
    static const char magic[8] = "KYMOPLN1";
    char head[8] = {0};
    FILE *f = strcmp(path, "-") ? fopen(path, "rbe") : NULL;
    const size_t n = f ? fread(head, 1, sizeof(head), f) : 0;
    if (f)
        fclose(f);
    return n == sizeof(head) && !memcmp(head, magic, sizeof(head));
}

static kymo_status take_plan(struct job *j, struct kymo_err *err)
{
    if (j->o->r.verify || j->o->r.model || j->o->r.control)
        return KYMO_FAIL(
            err, KYMO_EUSAGE, KYMO_NOWHERE,
            "a plan has nothing to be compared with; give its capture to --verify, -m and "
            "--control");
    if (wants_slice(j->o))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "a plan is a slice already; cut when you make it");
    KYMO_TRY(kymo_file_read(&j->file, j->o->r.in, CAP_BYTES, err));
    j->image = (const struct kymo_image *)(void *)j->file.p;
    return kymo_image_check(j->file.p, j->file.n, err);
}

static kymo_status make_plan(struct job *j, struct kymo_err *err)
{
    const struct kymo_plan_opts o = {.processes_max = (uint32_t)j->o->r.processes_max,
                                     .disk_bytes = j->o->r.disk_bytes,
                                     .target_to = j->o->r.target};
    KYMO_TRY(cut(j, err));
    KYMO_TRY(kymo_trace_load(&j->trace, j->capture, CAP_BYTES, err));
    if (j->trace->torn && !j->o->r.quiet)
        kymo_cli_say(TOOL, "warning: %s ends in mid-chunk; what came before is used",
                     j->o->r.in);
    KYMO_TRY(kymo_plan_compile(&j->plan, j->trace, &o, err));
    j->image = (const struct kymo_image *)(void *)j->plan->image.p;
    /* what is played has been held against itself, wherever it came from */
    return kymo_image_check(j->plan->image.p, j->plan->image.n, err);
}

/* ---- what comes of it ---- */

static kymo_status keep(const char *path, int force, const void *p, size_t n,
                        struct kymo_err *err)
{
    struct kymo_out out;
    KYMO_TRY(kymo_out_open(&out, path, force, err));
    const kymo_status s = kymo_file_write(out.fd, p, n, path, err);
    if (s) {
        kymo_out_abort(&out);
        return s;
    }
    return kymo_out_commit(&out, err);
}

static kymo_status keep_plan(const struct job *j, const char **at, struct kymo_err *err)
{
    const struct replay_opts *r = &j->o->r;
    if (r->plan_out) {
        *at = r->plan_out;
        KYMO_TRY(keep(r->plan_out, r->force, j->image, j->image->bytes, err));
    }
    if (!r->emit_c)
        return KYMO_OK;
    *at = r->emit_c;
    struct kymo_buf text = {0};
    kymo_status s = kymo_plan_emit_c(j->image, r->in, &text, err);
    if (s == KYMO_OK)
        s = keep(r->emit_c, r->force, text.p, text.n, err);
    kymo_buf_release(&text);
    return s;
}

static kymo_status tell(const struct job *j, struct kymo_err *err)
{
    const struct kymo_plan_view v = {.name = j->o->r.in,
                                     .image = j->image,
                                     .trace = j->trace,
                                     .coverage = j->plan ? &j->plan->coverage : NULL,
                                     .disk_bytes = j->plan ? j->plan->disk_bytes : 0};
    if (j->o->r.json)
        return kymo_plan_print_json(&v, stdout, err);
    if (j->o->r.calls || j->o->r.verbose)
        kymo_plan_print_calls(&v, stdout);
    return kymo_plan_print(&v, stdout, err);
}

static kymo_status perform(const struct job *j, int *finding, const char **at,
                           struct kymo_err *err)
{
    const struct replay_opts *r = &j->o->r;
    const struct kymo_perform_opts p = {
        .stage = {.root = r->root,
                  .pace = r->pace,
                  .time_ns = r->time_ns,
                  .cpu_ns = r->cpu_ns,
                  .memory_bytes = r->memory_bytes,
                  .disk_bytes = r->disk_bytes,
                  .processes_max = (uint32_t)r->processes_max,
                  .target = r->target},
        .verify = r->no_verify ? KYMO_VERIFY_NEVER
                  : r->verify  ? KYMO_VERIFY_MUST
                               : KYMO_VERIFY_WHERE_POSSIBLE,
        .original = j->trace,
        .original_path = j->capture,
        .model = r->model,
        .control = r->control,
        .again = r->again_out,
        .force = r->force,
        .form = r->junit              ? KYMO_PROOF_JUNIT
                : r->jsonl || r->json ? KYMO_PROOF_JSONL
                                      : KYMO_PROOF_TEXT,
    };
    struct kymo_performance done;
    KYMO_TRY(kymo_perform(&done, j->image, &p, err));
    *finding = kymo_performance_exit(&done);
    struct kymo_out out;
    kymo_status s = KYMO_OK;
    FILE *to = stdout;
    *at = "standard output";
    if (r->report) {
        *at = r->report;
        s = kymo_out_open(&out, r->report, r->force, err);
        to = s == KYMO_OK ? fdopen(dup(out.fd), "w") : NULL;
    }
    if (to)
        kymo_performance_print(&done, j->image, &p, to);
    if (r->report && s == KYMO_OK) {
        const int failed = !to || fflush(to) || ferror(to);
        if (to)
            fclose(to);
        if (failed) {
            kymo_out_abort(&out);
            s = KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "the report cannot be written");
        } else {
            s = kymo_out_commit(&out, err);
        }
    }
    kymo_performance_release(&done);
    return s;
}

static kymo_status go(struct job *j, int *finding, const char **at, struct kymo_err *err)
{
    *at = j->o->r.in;
    KYMO_TRY(is_plan(j->o->r.in) ? take_plan(j, err) : make_plan(j, err));
    KYMO_TRY(keep_plan(j, at, err));
    *at = "standard output";
    if (!j->o->r.run)
        return tell(j, err);
    *at = j->o->r.in;
    return perform(j, finding, at, err);
}

int main(int argc, char **argv)
{
    static struct opts o = {.slice.until_ns = UINT64_MAX};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct job j = {.o = &o, .slice_fd = -1};
    struct kymo_err err = {0};
    const char *at = NULL;
    int finding = KYMO_EXIT_OK;
    const kymo_status s = go(&j, &finding, &at, &err);
    kymo_plan_free(j.plan);
    kymo_trace_free(j.trace);
    kymo_buf_release(&j.file);
    if (j.slice_fd >= 0)
        close(j.slice_fd);
    return kymo_cli_finish(TOOL, at, s, &err, finding);
}
