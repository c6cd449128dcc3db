/* SPDX-License-Identifier: Apache-2.0
 * kymo-score: the verdict on a capture, by a labelled model.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/bytes.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/io/load.h"
#include "format/model/labels.h"
#include "format/model/score.h"
#include "format/model/words.h"

#define TOOL "kymo-score"
#define FAIL_ON "bad>5%,unknown>20%"

struct opts {
    const char *model, *fail_on, *verdict;
    struct kymo_opt_list in;
    double alpha;
    bool jsonl, json, evaluate, quiet;
};

/* How well the verdicts agree with the marks of a capture. */
struct phase {
    uint64_t windows, right;
};

struct job {
    const struct opts *o;
    struct kymo_model model;
    struct kymo_matrix m;
    struct kymo_scorer *scorer;
    struct kymo_rules rules;
    struct kymo_labels *labels;
    struct kymo_score *score; /* [n] */
    uint64_t count[KYMO_OUTCOMES];
    uint64_t *by_state; /* [k] */
    double *wide;       /* [d] a row of float, widened */
    struct phase phase[KYMO_LABELS_MAX];
    struct phase of[KYMO_VERDICTS];
    int exit;
    char reason[256];
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'm', "model", "FILE", "the labelled model to judge by", &o->model, 0, 0},
        {KYMO_OPT_LIST, 'r', "read", "FILE", "a capture or matrix, like a bare FILE", &o->in, 0,
         0},
        {KYMO_OPT_STR, 0, "fail-on", "RULES",
         "what fails the run: shares or numbers of good, bad, unknown, inconclusive windows "
         "(" FAIL_ON ")",
         &o->fail_on, 0, 0},
        {KYMO_OPT_F64, 0, "alpha", "P",
         "windows with a p-value of at most this are novel, so unknown (0.01)", &o->alpha, 0,
         1},
        {KYMO_OPT_FLAG, 0, "jsonl", NULL, "print one JSON object a window, and one of the run",
         &o->jsonl, 0, 0},
        {KYMO_OPT_FLAG, 0, "json", NULL, "print one JSON object of the run", &o->json, 0, 0},
        {KYMO_OPT_FLAG, 0, "evaluate", NULL,
         "compare the verdicts with the capture's marks; wants --verdict", &o->evaluate, 0, 0},
        {KYMO_OPT_STR, 0, "verdict", "NAME=VERDICT,...",
         "what each mark's name means, for --evaluate", &o->verdict, 0, 0},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "print the last line alone", &o->quiet, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "judge captures by a labelled model",
        .positional = "[CAPTURE|MATRIX...]",
        .positional_max = SIZE_MAX,
        .examples =
            "kymo score -m prod.model.json test.kymo\n"
            "kymo record -d 60s -w - | kymo score -m prod.model.json -\n"
            "kymo score -m prod.model.json --fail-on 'bad>=3,unknown>10%' --jsonl test.kymo\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    int first;
    int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage == KYMO_CLI_GO_ON)
        usage = kymo_cli_inputs(TOOL, argc, argv, first, &o->in);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (!o->model)
        return kymo_cli_usage(TOOL, "no -m MODEL to judge by");
    if (!o->in.n)
        return kymo_cli_usage(TOOL, "nothing to judge");
    if (o->json && o->jsonl)
        return kymo_cli_usage(TOOL, "--json or --jsonl, not both");
    if (o->evaluate != (o->verdict != NULL))
        return kymo_cli_usage(TOOL, "--evaluate and --verdict go together");
    return KYMO_CLI_GO_ON;
}

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

/* -- judging ---------------------------------------------------------------------------------- */

static kymo_status load(struct job *j, const char **at, struct kymo_err *err)
{
    *at = j->o->in.v[0];
    int is_matrix;
    KYMO_TRY(kymo_matrix_load_any(&j->m, j->o->in.v[0], j->model.spec, &is_matrix, err));
    for (size_t i = 1; i < j->o->in.n; i++) {
        *at = j->o->in.v[i];
        if (is_matrix)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "several inputs have to be captures, and %s is a "
                             "matrix",
                             j->o->in.v[0]);
        KYMO_TRY(kymo_matrix_load_capture(&j->m, j->o->in.v[i], (uint32_t)i, 1, err));
    }
    *at = j->o->in.v[0];
    return is_matrix ? kymo_model_accepts(&j->model, &j->m, j->o->in.v[0], err) : KYMO_OK;
}

/* Columns that a capture does not tell, and that were not 0 all through the training. */
static size_t columns_missing(const struct job *j, const struct kymo_capture_facts *f)
{
    size_t n = 0;
    for (size_t c = 0; j->model.spec && c < j->model.d; c++) {
        const struct kymo_feature_column *column = &j->model.spec->column[c];
        n += j->model.column[c].weight > 0 && j->model.column[c].mean > 0 &&
             !kymo_feature_is_there(column, f->from);
    }
    return n;
}

static void warn(const struct job *j)
{
    for (size_t i = 0; i < j->m.n_captures; i++) {
        const size_t missing = columns_missing(j, &j->m.capture[i]);
        if (missing && !j->o->quiet)
            kymo_cli_say(TOOL,
                         "warning: %s does not tell %zu of the model's %zu features, which are "
                         "taken for 0; was it recorded at another level?",
                         j->m.capture[i].name, missing, j->model.d);
        if (j->m.capture[i].torn)
            kymo_cli_say(TOOL, "warning: %s ends in mid-chunk; what came before is judged",
                         j->m.capture[i].name);
        if (j->m.capture[i].late)
            kymo_cli_say(TOOL,
                         "warning: %s: %" PRIu64 " rows came after their window had closed",
                         j->m.capture[i].name, j->m.capture[i].late);
    }
    if (!j->model.finished)
        kymo_cli_say(TOOL, "warning: %s is the model of an unfinished fit", j->o->model);
    size_t named = 0;
    for (size_t c = 0; c < j->model.k; c++)
        named += j->model.state[c].verdict != KYMO_UNKNOWN;
    if (!named)
        kymo_cli_say(
            TOOL,
            "warning: no state of %s is labelled, so every window is unknown; see kymo label",
            j->o->model);
    if (!kymo_scorer_is_calibrated(j->scorer) && !j->o->quiet)
        kymo_cli_say(TOOL,
                     "%zu windows were held out, fewer than %u: no p-values, windows are "
                     "judged by state "
                     "and distance",
                     j->model.n_holdout, KYMO_HOLDOUT_MIN);
}

static kymo_status judge(struct job *j, struct kymo_err *err)
{
    const struct kymo_matrix *m = &j->m;
    j->score = calloc(m->n + 1, sizeof(*j->score));
    j->by_state = calloc(j->model.k, sizeof(*j->by_state));
    j->wide = calloc(m->d, sizeof(*j->wide));
    if (!j->score || !j->by_state || !j->wide)
        return no_memory(err);
    for (size_t i = 0; i < m->n; i++) {
        KYMO_TRY(kymo_score_row(j->scorer, kymo_matrix_row(m, i, j->wide),
                                m->row ? m->row[i].lost : 0, i, &j->score[i], err));
        j->count[j->score[i].outcome]++;
        j->by_state[j->score[i].state]++;
    }
    return KYMO_OK;
}

static uint64_t conclusive(const struct job *j)
{
    return j->count[KYMO_OUT_GOOD] + j->count[KYMO_OUT_BAD] + j->count[KYMO_OUT_UNKNOWN];
}

static void conclude(struct job *j)
{
    const uint64_t n = conclusive(j);
    const struct kymo_rule *broken = kymo_rules_broken(&j->rules, j->count);
    if (broken) {
        const char *word = kymo_outcome_name(broken->outcome);
        const double share = (double)j->count[broken->outcome] /
                             (double)(broken->outcome == KYMO_OUT_INCONCLUSIVE ? j->m.n : n);
        j->exit = KYMO_EXIT_FINDING;
        if (broken->is_share)
            snprintf(j->reason, sizeof(j->reason), "%s %.1f%% %s %g%%", word, 100 * share,
                     broken->or_equal ? "reaches" : "passes", 100 * broken->limit);
        else
            snprintf(j->reason, sizeof(j->reason), "%" PRIu64 " %s %s %g",
                     j->count[broken->outcome], word, broken->or_equal ? "reach" : "pass",
                     broken->limit);
    } else if (n == 0) {
        j->exit = KYMO_EXIT_INCONCLUSIVE;
        snprintf(j->reason, sizeof(j->reason), "%s",
                 j->m.n ? "every window lost too many events" : "there is no window to judge");
    } else {
        j->exit = KYMO_EXIT_OK;
        snprintf(j->reason, sizeof(j->reason), "no rule of '%s' is broken", j->o->fail_on);
    }
}

static kymo_status evaluate(struct job *j, struct kymo_err *err)
{
    if (!j->o->evaluate)
        return KYMO_OK;
    uint32_t *row_label = calloc(j->m.n + 1, sizeof(*row_label));
    if (!row_label)
        return no_memory(err);
    kymo_labels_from_marks(j->labels, &j->m, row_label);
    for (size_t i = 0; i < j->m.n; i++) {
        if (row_label[i] == UINT32_MAX)
            continue;
        const enum kymo_verdict want = j->labels->label[row_label[i]].verdict;
        const int right = j->score[i].outcome == (enum kymo_outcome)want;
        j->phase[row_label[i]].windows++;
        j->phase[row_label[i]].right += (uint64_t)right;
        j->of[want].windows++;
        j->of[want].right += (uint64_t)right;
    }
    free(row_label);
    return KYMO_OK;
}

/* Mean of the recall over good and over bad windows, of those that there are; NaN: none. */
static double balanced_accuracy(const struct job *j)
{
    double sum = 0;
    int n = 0;
    for (int v = KYMO_GOOD; v <= KYMO_BAD; v++) {
        if (!j->of[v].windows)
            continue;
        sum += (double)j->of[v].right / (double)j->of[v].windows;
        n++;
    }
    return n ? sum / n : NAN;
}

/* -- telling ---------------------------------------------------------------------------------- */

static double seconds_in(const struct job *j, size_t row)
{
    const struct kymo_matrix_row *r = &j->m.row[row];
    const uint64_t zero =
        r->capture < j->m.n_captures ? j->m.capture[r->capture].first_ns : j->m.row[0].start_ns;
    return ((double)r->start_ns - (double)zero) / 1e9;
}

/* Rows that are told as one: neighbours of one capture, entity, state and outcome. */
static int same_run(const struct job *j, size_t a, size_t b)
{
    if (j->score[a].state != j->score[b].state || j->score[a].outcome != j->score[b].outcome)
        return 0;
    return !j->m.row || (j->m.row[a].capture == j->m.row[b].capture &&
                         strcmp(j->m.row[a].entity, j->m.row[b].entity) == 0);
}

static void print_reasons(const struct job *j, const struct kymo_score *s)
{
    for (size_t i = 0; i < s->n_reasons; i++) {
        const struct kymo_model_column *c = &j->model.column[s->reason[i].column];
        char value[KYMO_VALUE_BYTES], usual[KYMO_VALUE_BYTES];
        printf("%s", i ? "; " : "");
        kymo_print_safe(stdout, c->name, strlen(c->name));
        printf(" %s, usually %s", kymo_value_text(value, s->reason[i].value, c->unit),
               kymo_value_text(usual, s->reason[i].usual, c->unit));
    }
}

static void print_run(const struct job *j, size_t first, size_t end)
{
    size_t worst = first;
    for (size_t i = first; i < end; i++)
        if (j->score[i].novelty > j->score[worst].novelty)
            worst = i;
    const struct kymo_score *s = &j->score[worst];
    const struct kymo_state *state = &j->model.state[s->state];
    if (j->m.row) {
        const double from = seconds_in(j, first);
        printf("%8.1f %8.1f  ", from,
               seconds_in(j, end - 1) + (double)j->m.row[end - 1].dur_ns / 1e9);
        if (j->model.spec && j->model.spec->by != KYMO_BY_HOST) {
            kymo_print_safe(stdout, j->m.row[first].entity, strlen(j->m.row[first].entity));
            printf("  ");
        }
    } else {
        printf("%8zu %8zu  ", first + 1, end);
    }
    printf("%-12s s%zu ", kymo_outcome_name(s->outcome), s->state);
    kymo_print_safe(stdout, state->label, strlen(state->label));
    if (isfinite(s->p))
        printf(" (p %.3f)", s->p);
    if (s->outcome == KYMO_OUT_BAD || s->outcome == KYMO_OUT_UNKNOWN) {
        printf("  ");
        print_reasons(j, s);
    }
    putchar('\n');
}

static void print_text(const struct job *j)
{
    printf(j->m.row ? "  from s     to s  verdict      state\n"
                    : "from row   to row  verdict      state\n");
    for (size_t i = 0; i < j->m.n;) {
        size_t end = i + 1;
        while (end < j->m.n && same_run(j, i, end))
            end++;
        print_run(j, i, end);
        i = end;
    }
    for (size_t i = 0; j->o->evaluate && i < j->labels->n; i++) {
        const struct kymo_label *l = &j->labels->label[i];
        if (!j->phase[i].windows)
            continue;
        printf("mark ");
        kymo_print_safe(stdout, l->name, strlen(l->name));
        printf(" (%s): %" PRIu64 " of %" PRIu64 " windows right\n",
               kymo_verdict_name(l->verdict), j->phase[i].right, j->phase[i].windows);
    }
    if (j->o->evaluate)
        printf("balanced window accuracy %.1f%%\n", 100 * balanced_accuracy(j));
}

static void print_last_line(const struct job *j)
{
    static const char *const word[] = {"PASS", "FAIL", "INCONCLUSIVE"};
    const int i = j->exit == KYMO_EXIT_OK ? 0 : j->exit == KYMO_EXIT_FINDING ? 1 : 2;
    printf("%s: %s; %zu windows: %" PRIu64 " good, %" PRIu64 " bad, %" PRIu64
           " unknown, %" PRIu64 " inconclusive\n",
           word[i], j->reason, j->m.n, j->count[KYMO_OUT_GOOD], j->count[KYMO_OUT_BAD],
           j->count[KYMO_OUT_UNKNOWN], j->count[KYMO_OUT_INCONCLUSIVE]);
}

static void put_real(struct kymo_buf *b, const char *key, double v)
{
    if (isfinite(v))
        kymo_buf_printf(b, ",\"%s\":%.17g", key, v);
    else
        kymo_buf_printf(b, ",\"%s\":null", key);
}

static void put_text(struct kymo_buf *b, const char *key, const char *s)
{
    kymo_buf_printf(b, ",\"%s\":", key);
    kymo_json_quote(b, s, strlen(s));
}

static void put_window(struct kymo_buf *b, const struct job *j, size_t i)
{
    const struct kymo_score *s = &j->score[i];
    kymo_buf_printf(b, "{\"type\":\"window\",\"row\":%zu", i);
    if (j->m.row) {
        const struct kymo_matrix_row *r = &j->m.row[i];
        kymo_buf_printf(b,
                        ",\"capture\":%" PRIu32 ",\"start_ns\":%" PRIu64 ",\"dur_ns\":%" PRIu64
                        ",\"end_real_ns\":%" PRIu64 ",\"events\":%" PRIu64,
                        r->capture, r->start_ns, r->dur_ns, r->real_ns, r->events);
        put_real(b, "start_s", seconds_in(j, i));
        put_real(b, "lost", r->lost);
        put_text(b, "entity", r->entity);
    }
    kymo_buf_printf(b, ",\"state\":%zu", s->state);
    put_text(b, "label", j->model.state[s->state].label);
    put_text(b, "verdict", kymo_outcome_name(s->outcome));
    put_real(b, "confidence", s->confidence);
    put_real(b, "distance", s->distance);
    put_real(b, "novelty", s->novelty);
    put_real(b, "p", s->p);
    kymo_buf_printf(b, ",\"novel\":%s,\"reasons\":[", s->is_novel ? "true" : "false");
    for (size_t r = 0; r < s->n_reasons; r++) {
        const struct kymo_model_column *c = &j->model.column[s->reason[r].column];
        kymo_buf_printf(b, "%s{\"feature\":", r ? "," : "");
        kymo_json_quote(b, c->name, strlen(c->name));
        put_text(b, "unit", c->unit);
        put_real(b, "value", s->reason[r].value);
        put_real(b, "usual", s->reason[r].usual);
        put_real(b, "share", s->reason[r].share);
        kymo_buf_printf(b, "}");
    }
    kymo_buf_printf(b, "]}\n");
}

static void put_evaluation(struct kymo_buf *b, const struct job *j)
{
    kymo_buf_printf(b, ",\"evaluation\":{\"windows\":%" PRIu64,
                    j->of[0].windows + j->of[1].windows + j->of[2].windows);
    put_real(b, "balanced_accuracy", balanced_accuracy(j));
    for (int v = KYMO_GOOD; v <= KYMO_BAD; v++)
        put_real(b, v == KYMO_GOOD ? "recall_good" : "recall_bad",
                 j->of[v].windows ? (double)j->of[v].right / (double)j->of[v].windows : NAN);
    kymo_buf_printf(b, ",\"phases\":[");
    for (size_t i = 0, n = 0; i < j->labels->n; i++) {
        if (!j->phase[i].windows)
            continue;
        kymo_buf_printf(b, "%s{\"windows\":%" PRIu64 ",\"right\":%" PRIu64, n++ ? "," : "",
                        j->phase[i].windows, j->phase[i].right);
        put_text(b, "name", j->labels->label[i].name);
        put_text(b, "verdict", kymo_verdict_name(j->labels->label[i].verdict));
        put_real(b, "accuracy", (double)j->phase[i].right / (double)j->phase[i].windows);
        kymo_buf_printf(b, "}");
    }
    kymo_buf_printf(b, "]}");
}

static void put_summary(struct kymo_buf *b, const struct job *j)
{
    static const char *const word[] = {"pass", "fail", "inconclusive"};
    const int w = j->exit == KYMO_EXIT_OK ? 0 : j->exit == KYMO_EXIT_FINDING ? 1 : 2;
    kymo_buf_printf(b, "{\"type\":\"run\",\"verdict\":\"%s\",\"exit\":%d,\"windows\":%zu",
                    word[w], j->exit, j->m.n);
    for (int o = 0; o < KYMO_OUTCOMES; o++)
        kymo_buf_printf(b, ",\"%s\":%" PRIu64, kymo_outcome_name((enum kymo_outcome)o),
                        j->count[o]);
    put_text(b, "reason", j->reason);
    put_text(b, "rules", j->o->fail_on);
    kymo_buf_printf(b, ",\"calibrated\":%s,\"states\":[",
                    kymo_scorer_is_calibrated(j->scorer) ? "true" : "false");
    for (size_t c = 0, n = 0; c < j->model.k; c++) {
        if (!j->by_state[c])
            continue;
        kymo_buf_printf(b, "%s{\"state\":%zu,\"windows\":%" PRIu64, n++ ? "," : "", c,
                        j->by_state[c]);
        put_text(b, "label", j->model.state[c].label);
        put_text(b, "verdict", kymo_verdict_name(j->model.state[c].verdict));
        kymo_buf_printf(b, "}");
    }
    kymo_buf_printf(b, "]");
    if (j->o->evaluate)
        put_evaluation(b, j);
    kymo_buf_printf(b, "}\n");
}

static kymo_status print_json(const struct job *j, struct kymo_err *err)
{
    struct kymo_buf b = {0};
    for (size_t i = 0; j->o->jsonl && i < j->m.n; i++) {
        put_window(&b, j, i);
        if (b.failed)
            break;
        fwrite(b.p, 1, b.n, stdout);
        kymo_buf_clear(&b);
    }
    put_summary(&b, j);
    const int failed = b.failed;
    if (!failed)
        fwrite(b.p, 1, b.n, stdout);
    kymo_buf_release(&b);
    return failed ? no_memory(err) : KYMO_OK;
}

static kymo_status run(struct job *j, const char **at, struct kymo_err *err)
{
    KYMO_TRY(kymo_rules_parse(&j->rules, j->o->fail_on, err));
    if (j->o->verdict)
        KYMO_TRY(kymo_labels_parse(j->labels, j->o->verdict, err));
    *at = j->o->model;
    KYMO_TRY(kymo_model_read(&j->model, j->o->model, err));
    KYMO_TRY(kymo_scorer_open(&j->scorer, &j->model, j->o->alpha, err));
    KYMO_TRY(load(j, at, err));
    warn(j);
    KYMO_TRY(judge(j, err));
    conclude(j);
    KYMO_TRY(evaluate(j, err));
    if (j->o->json || j->o->jsonl)
        return print_json(j, err);
    if (!j->o->quiet)
        print_text(j);
    print_last_line(j);
    return KYMO_OK;
}

int main(int argc, char **argv)
{
    struct opts o = {.fail_on = FAIL_ON, .alpha = KYMO_ALPHA};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    static struct kymo_labels labels;
    struct job j = {.o = &o, .labels = &labels};
    struct kymo_err err = {0};
    const char *at = NULL;
    kymo_model_init(&j.model);
    kymo_matrix_init(&j.m, 0);
    const kymo_status s = run(&j, &at, &err);
    free(j.score);
    free(j.by_state);
    free(j.wide);
    kymo_scorer_close(j.scorer);
    kymo_matrix_release(&j.m);
    kymo_model_release(&j.model);
    return kymo_cli_finish(TOOL, at, s, &err, j.exit);
}
