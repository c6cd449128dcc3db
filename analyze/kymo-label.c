/* SPDX-License-Identifier: Apache-2.0
 * kymo-label: names and verdicts for the states of a model.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/io/labelfile.h"
#include "format/io/load.h"
#include "format/model/labels.h"
#include "format/model/words.h"

#define TOOL "kymo-label"
#define LABELS_BYTES_MAX ((size_t)64 << 20)

struct opts {
    const char *model, *out, *marks, *labels, *matrix, *verdict, *good, *bad;
    char *const *edit; /* STATE=NAME:VERDICT words */
    size_t n_edits;
    bool quiet, json;
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 0, "marks", "MATRIX", "let the windows inside this matrix's marks vote",
         &o->marks, 0, 0},
        {KYMO_OPT_STR, 0, "verdict", "NAME=VERDICT,...",
         "what each mark's name means: good, bad or unknown", &o->verdict, 0, 0},
        {KYMO_OPT_STR, 0, "good", "NAME,...", "names of marks that are good", &o->good, 0, 0},
        {KYMO_OPT_STR, 0, "bad", "NAME,...", "names of marks that are bad", &o->bad, 0, 0},
        {KYMO_OPT_STR, 0, "labels", "FILE",
         "CSV of start,end,entity,label,verdict; wants --matrix", &o->labels, 0, 0},
        {KYMO_OPT_STR, 0, "matrix", "MATRIX", "the windows that --labels is about", &o->matrix,
         0, 0},
        {KYMO_OPT_STR, 'w', "write", "FILE", "write the model here instead of over itself",
         &o->out, 0, 0},
        {KYMO_OPT_FLAG, 0, "json", NULL, "print the states as JSON", &o->json, 0, 0},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "do not print the table of states", &o->quiet, 0,
         0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "name the states of a model good or bad, or show them",
        .positional = "MODEL [STATE=NAME:VERDICT...]",
        .positional_max = SIZE_MAX,
        .examples = "kymo label prod.model.json\n"
                    "kymo label prod.model.json --marks prod.features.kymo --verdict "
                    "'idle=good,storm=bad'\n"
                    "kymo label prod.model.json s3=deploy:good 5=disk-full:bad\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    int first;
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (first == argc)
        return kymo_cli_usage(TOOL, "no model to label");
    o->model = argv[first];
    o->edit = argv + first + 1;
    o->n_edits = (size_t)(argc - first - 1);
    if ((o->labels != NULL) != (o->matrix != NULL))
        return kymo_cli_usage(TOOL, "--labels and --matrix go together");
    if (o->marks && !o->verdict && !o->good && !o->bad)
        return kymo_cli_usage(
            TOOL, "--marks wants --verdict, --good or --bad to say what the marks mean");
    if (!o->marks && (o->verdict || o->good || o->bad))
        return kymo_cli_usage(TOOL, "--verdict, --good and --bad want --marks MATRIX");
    return KYMO_CLI_GO_ON;
}

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

/* The nearest state of every row that was not lost; *row_label of lost ones is taken back. */
static kymo_status assign_rows(const struct kymo_model *m, const struct kymo_matrix *x,
                               uint32_t *state, uint32_t *row_label, struct kymo_err *err)
{
    double *z = calloc(m->d, sizeof(*z)), *dist = calloc(m->k, sizeof(*dist));
    double *place = calloc(m->p, sizeof(*place));
    kymo_status s = z && dist && place ? KYMO_OK : no_memory(err);
    for (size_t i = 0; i < x->n && !s; i++) {
        s = kymo_model_transform(m, kymo_matrix_row(x, i, z), z, i, err);
        if (!s)
            state[i] = (uint32_t)kymo_model_nearest(m, kymo_model_place(m, z, place), dist);
        if (x->row && x->row[i].lost > KYMO_LOST_MAX)
            row_label[i] = UINT32_MAX;
    }
    free(z);
    free(dist);
    free(place);
    return s;
}

static kymo_status labels_of_marks(const struct opts *o, const struct kymo_matrix *x,
                                   struct kymo_labels *l, uint32_t *row_label,
                                   struct kymo_err *err)
{
    if (o->verdict)
        KYMO_TRY(kymo_labels_parse(l, o->verdict, err));
    if (o->good)
        KYMO_TRY(kymo_labels_add(l, o->good, KYMO_GOOD, err));
    if (o->bad)
        KYMO_TRY(kymo_labels_add(l, o->bad, KYMO_BAD, err));
    uint64_t inside[KYMO_LABELS_MAX];
    kymo_labels_cover(l, x, inside);
    for (size_t i = 0; i < l->n; i++)
        if (!inside[i])
            return KYMO_FAIL(
                err, KYMO_EINPUT, KYMO_NOWHERE,
                "%s has no window wholly inside a mark '%s', so nothing shows that it is %s",
                o->marks, l->label[i].name, kymo_verdict_name(l->label[i].verdict));
    kymo_labels_from_marks(l, x, row_label);
    return KYMO_OK;
}

static kymo_status labels_of_file(const struct opts *o, const struct kymo_matrix *x,
                                  struct kymo_labels *l, uint32_t *row_label,
                                  struct kymo_err *err)
{
    struct kymo_buf text = {0};
    if (!x->row)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s does not say when its rows were",
                         o->matrix);
    kymo_status s = kymo_file_read(&text, o->labels, LABELS_BYTES_MAX, err);
    kymo_buf_u8(&text, 0);
    if (!s && text.failed)
        s = no_memory(err);
    if (!s)
        s = kymo_labels_read(l, x, (char *)text.p, text.n - 1, o->labels, row_label, err);
    kymo_buf_release(&text);
    return s;
}

static kymo_status
vote(const struct opts *o, struct kymo_model *m, const char *path, const char *by,
     kymo_status (*labels)(const struct opts *, const struct kymo_matrix *,
                           struct kymo_labels *, uint32_t *, struct kymo_err *),
     struct kymo_err *err)
{
    struct kymo_matrix x;
    struct kymo_labels *l = calloc(1, sizeof(*l));
    kymo_matrix_init(&x, 0);
    kymo_status s = l ? kymo_matrix_load(&x, path, err) : no_memory(err);
    if (!s)
        s = kymo_model_accepts(m, &x, path, err);
    uint32_t *state = calloc(x.n + 1, sizeof(*state)),
             *row_label = calloc(x.n + 1, sizeof(*row_label));
    if (!s && (!state || !row_label))
        s = no_memory(err);
    if (!s)
        s = labels(o, &x, l, row_label, err);
    if (!s)
        s = assign_rows(m, &x, state, row_label, err);
    if (!s)
        s = kymo_labels_vote(m, l, x.n, state, row_label, by, err);
    free(state);
    free(row_label);
    free(l);
    kymo_matrix_release(&x);
    return s;
}

/* "s3=disk-full:bad"; the name or the verdict may be left out. */
static kymo_status edit_state(struct kymo_model *m, const char *word, struct kymo_err *err)
{
    const char *eq = strchr(word, '=');
    char state[KYMO_LABEL_BYTES_MAX] = "";
    if (!eq || (size_t)(eq - word) >= sizeof(state))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "'%s' is not like s3=disk-full:bad",
                         word);
    memcpy(state, word, (size_t)(eq - word));
    const size_t c = kymo_model_find(m, state);
    if (c == m->k)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "no state, or more than one, is '%s'; the model has s0 to s%zu", state,
                         m->k - 1);
    struct kymo_state *s = &m->state[c];
    const char *colon = strrchr(eq + 1, ':');
    const size_t name = colon ? (size_t)(colon - eq - 1) : strlen(eq + 1);
    if (name >= sizeof(s->label))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "a label has at most %zu bytes",
                         sizeof(s->label) - 1);
    const enum kymo_verdict v = colon ? kymo_verdict_value(colon + 1) : s->verdict;
    if (v == KYMO_VERDICTS)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "'%s' is not good, bad or unknown",
                         colon + 1);
    if (v == KYMO_GOOD && s->size == 0)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "state %zu has no windows: nothing shows that it is good", c);
    if (name) {
        memset(s->label, 0, sizeof(s->label));
        memcpy(s->label, eq + 1, name);
    }
    if (colon) {
        s->verdict = v;
        s->evidence = 0;
        s->purity = 0;
        memset(s->by, 0, sizeof(s->by));
        memcpy(s->by, "hand", 4);
    }
    return KYMO_OK;
}

static void print_padded(const char *s, size_t width)
{
    kymo_print_safe(stdout, s, strlen(s));
    for (size_t n = strlen(s); n < width; n++)
        putchar(' ');
}

static void print_states(const struct kymo_model *m)
{
    printf("%-5s %-20s %-8s %7s %6s %7s %9s  %s\n", "state", "label", "verdict", "windows",
           "share", "purity", "evidence", "typical");
    for (size_t c = 0; c < m->k; c++) {
        const struct kymo_state *s = &m->state[c];
        char id[24], purity[16] = "-", evidence[32] = "-", value[KYMO_VALUE_BYTES];
        snprintf(id, sizeof(id), "s%zu", c);
        if (s->evidence) {
            snprintf(purity, sizeof(purity), "%.0f%%", 100 * s->purity);
            snprintf(evidence, sizeof(evidence), "%" PRIu64, s->evidence);
        } else if (*s->by) {
            snprintf(evidence, sizeof(evidence), "by %s", s->by);
        }
        printf("%-5s ", id);
        print_padded(*s->label ? s->label : "-", 20);
        printf(" %-8s %7" PRIu64 " %5.1f%% %7s %9s  ", kymo_verdict_name(s->verdict), s->size,
               100 * s->weight, purity, evidence);
        size_t column[KYMO_TYPICAL];
        const size_t n = kymo_model_typical(m, c, column);
        for (size_t i = 0; i < n; i++) {
            const double raw = kymo_model_raw(m, column[i], s->centre[column[i]]);
            printf("%s%s %s", i ? ", " : "", m->column[column[i]].name,
                   kymo_value_text(value, raw, m->column[column[i]].unit));
        }
        putchar('\n');
    }
}

static kymo_status print_json(const struct kymo_model *m, struct kymo_err *err)
{
    json_t *list = json_array();
    for (size_t c = 0; list && c < m->k; c++) {
        const struct kymo_state *s = &m->state[c];
        json_array_append_new(
            list, json_pack("{s:I, s:s, s:s, s:I, s:f, s:I, s:s}", "id", (json_int_t)c, "label",
                            s->label, "verdict", kymo_verdict_name(s->verdict), "windows",
                            (json_int_t)s->size, "purity", s->purity, "evidence",
                            (json_int_t)s->evidence, "by", s->by));
    }
    json_t *doc = json_pack("{s:o}", "states", list);
    const kymo_status s = doc ? kymo_json_write(doc, "-", 0, err) : no_memory(err);
    json_decref(doc);
    return s;
}

static kymo_status run(const struct opts *o, struct kymo_model *m, struct kymo_err *err)
{
    KYMO_TRY(kymo_model_read(m, o->model, err));
    if (o->marks)
        KYMO_TRY(vote(o, m, o->marks, "marks", labels_of_marks, err));
    if (o->labels)
        KYMO_TRY(vote(o, m, o->matrix, "labels", labels_of_file, err));
    for (size_t i = 0; i < o->n_edits; i++)
        KYMO_TRY(edit_state(m, o->edit[i], err));
    if (o->marks || o->labels || o->n_edits || o->out)
        KYMO_TRY(kymo_model_write(m, o->out ? o->out : o->model, o->out == NULL, err));
    if (o->json)
        return print_json(m, err);
    if (!o->quiet)
        print_states(m);
    return KYMO_OK;
}

int main(int argc, char **argv)
{
    struct opts o = {0};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    struct kymo_model m;
    kymo_model_init(&m);
    const kymo_status s = run(&o, &m, &err);
    kymo_model_release(&m);
    return kymo_cli_finish(TOOL, o.model, s, &err, KYMO_EXIT_OK);
}
