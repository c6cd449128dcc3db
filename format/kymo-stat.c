/* SPDX-License-Identifier: Apache-2.0
 * kymo-stat: how many, how often, how many failed, what they moved and how long they took: by any
 * fields, in windows of time, exact.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/stat/statrun.h"
#include "format/stat/tally.h"
#include "format/stat/tallyprint.h"

#define TOOL "kymo-stat"
#define MEMORY_BYTES ((uint64_t)256 << 20)
#define OPTIONS_MAX 32u
#define OUT_BYTES ((size_t)1 << 20)

struct opts {
    struct kymo_opt_list input;
    const char *table, *by, *show, *quantile, *filter, *sort, *align;
    bool histogram, jsonl, csv;
    uint64_t every_ns, since_ns, until_ns, top, memory_bytes, threads;
};

struct stat {
    const struct opts *o;
    struct kymo_tally_ask ask;
    const char *by[KYMO_BY_MAX];
    char *words; /* what by, show and quantile point into */
    struct kymo_tally *tally;
};

/* -------- options -------- */

/* The table of options, a part of it each; how many rows. */
static size_t what_options(struct opts *o, struct kymo_opt *out)
{
    const struct kymo_opt own[] = {
        {.kind = KYMO_OPT_STR,
         .short_name = 'b',
         .long_name = "by",
         .arg = "A,B,...",
         .help = "one line for each combination of these: columns, syscall, errno, file "
                 "(syscall)",
         .to = &o->by},
        {.kind = KYMO_OPT_TIME,
         .short_name = 'e',
         .long_name = "every",
         .arg = "TIME",
         .help = "windows so long (one for all)",
         .to = &o->every_ns,
         .min = 1,
         .max = 9e18},
        {.kind = KYMO_OPT_CHOICE,
         .long_name = "align",
         .arg = "clock|start",
         .help =
             "windows begin at multiples of their length on the clock of the capture, as its "
             "chunks do, or at its start (clock)",
         .to = &o->align},
        {.kind = KYMO_OPT_STR,
         .long_name = "show",
         .arg = "A,B,...",
         .help = "count, rate, share, errors, read, written, bytes, time, min, mean, max, p50, "
                 "p99.9 (with --every count,rate, else all that the table has)",
         .to = &o->show},
        {.kind = KYMO_OPT_STR,
         .long_name = "quantile",
         .arg = "P,P,...",
         .help = "durations at these quantiles (p50,p99)",
         .to = &o->quantile},
        {.kind = KYMO_OPT_FLAG,
         .long_name = "histogram",
         .help = "durations of each line in steps of two",
         .to = &o->histogram},
        {.kind = KYMO_OPT_STR,
         .long_name = "sort",
         .arg = "A",
         .help = "what is largest comes first: anything that can be shown (count)",
         .to = &o->sort},
        {.kind = KYMO_OPT_U64,
         .long_name = "top",
         .arg = "N",
         .help = "so many lines, of each window (all)",
         .to = &o->top},
    };
    memcpy(out, own, sizeof(own));
    return KYMO_COUNT_OF(own);
}

static size_t rows_options(struct opts *o, struct kymo_opt *out)
{
    const struct kymo_opt own[] = {
        {.kind = KYMO_OPT_GROUP, .help = "Which rows"},
        {.kind = KYMO_OPT_STR,
         .short_name = 't',
         .long_name = "table",
         .arg = "TABLE",
         .help = "count the rows of this table (syscall)",
         .to = &o->table},
        {.kind = KYMO_OPT_STR,
         .short_name = 'f',
         .long_name = "filter",
         .arg = "EXPR",
         .help = "count only rows for which this holds",
         .to = &o->filter},
        {.kind = KYMO_OPT_TIME,
         .long_name = "since",
         .arg = "TIME",
         .help = "skip rows before this time since the start of the capture",
         .to = &o->since_ns},
        {.kind = KYMO_OPT_TIME,
         .long_name = "until",
         .arg = "TIME",
         .help = "skip rows after this time since the start of the capture",
         .to = &o->until_ns},
    };
    memcpy(out, own, sizeof(own));
    return KYMO_COUNT_OF(own);
}

static size_t output_options(struct opts *o, struct kymo_opt *out)
{
    const struct kymo_opt own[] = {
        {.kind = KYMO_OPT_GROUP, .help = "Output"},
        {.kind = KYMO_OPT_FLAG,
         .long_name = "jsonl",
         .help = "print one JSON object a line, exact: times in ns, sizes in bytes",
         .to = &o->jsonl},
        {.kind = KYMO_OPT_FLAG,
         .long_name = "csv",
         .help = "print comma-separated values under a header, exact",
         .to = &o->csv},
        {.kind = KYMO_OPT_BYTES,
         .long_name = "memory",
         .arg = "SIZE",
         .help = "keep so much of durations; what is more is read again (256M)",
         .to = &o->memory_bytes,
         .min = 65536,
         .max = 1e18},
        {.kind = KYMO_OPT_U64,
         .short_name = 'j',
         .long_name = "threads",
         .arg = "N",
         .help = "threads that decode; the result is the same for every number (1)",
         .to = &o->threads,
         .min = 1,
         .max = 256},
        {.kind = KYMO_OPT_LIST,
         .short_name = 'r',
         .long_name = "read",
         .arg = "FILE",
         .help = "another way to name an input",
         .to = &o->input},
    };
    memcpy(out, own, sizeof(own));
    return KYMO_COUNT_OF(own);
}

static int parse_args(int argc, char **argv, struct opts *o)
{
    struct kymo_opt opt[OPTIONS_MAX];
    int first;
    size_t n = what_options(o, opt);
    n += rows_options(o, opt + n);
    n += output_options(o, opt + n);
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "count the rows of captures by call, process, file and time",
        .positional = "FILE...",
        .positional_max = SIZE_MAX,
        .examples = "  kymo stat prod.kymo\n"
                    "  kymo stat --by comm,errno -f errno prod.kymo\n"
                    "  kymo stat --by file --sort bytes --top 10 prod.kymo\n"
                    "  kymo stat --by pid,syscall --every 1s --csv prod.kymo > rates.csv\n"
                    "  kymo stat --show count,p99 --quantile p50,p99,p99.9 --jsonl prod.kymo\n"
                    "  kymo stat --histogram -f 'syscall == fdatasync' prod.kymo\n"
                    "  kymo stat -t process --by kind prod.kymo\n",
        .opt = opt,
        .n_opt = n,
    };
    int status = kymo_cli_parse(&cli, argc, argv, &first);
    if (status == KYMO_CLI_GO_ON)
        status = kymo_cli_inputs(TOOL, argc, argv, first, &o->input);
    if (status != KYMO_CLI_GO_ON)
        return status;
    if (!o->input.n)
        return kymo_cli_usage(TOOL, "which file?");
    if (o->jsonl && o->csv)
        return kymo_cli_usage(TOOL, "--jsonl and --csv exclude each other");
    if (o->until_ns < o->since_ns)
        return kymo_cli_usage(TOOL, "--until lies before --since");
    return KYMO_CLI_GO_ON;
}

static int is_syscall(const struct opts *o)
{
    return !strcmp(o->table, KYMO_TABLE_SYSCALL.table);
}

static int add_measure(struct stat *s, const char *word, const char *option)
{
    struct kymo_measure m;
    if (!kymo_measure_parse(word, &m))
        return kymo_cli_usage(TOOL, "--%s: '%s' is nothing that can be shown", option, word);
    if (s->ask.n_measures == KYMO_MEASURES_MAX)
        return kymo_cli_usage(TOOL, "--%s: more than %u things to show", option,
                              KYMO_MEASURES_MAX);
    for (size_t i = 0; i < s->ask.n_measures; i++)
        if (!strcmp(s->ask.measure[i].name, word))
            return KYMO_CLI_GO_ON;
    s->ask.measure[s->ask.n_measures++] = m;
    return KYMO_CLI_GO_ON;
}

static int add_measures(struct stat *s, char *list, const char *option)
{
    char *rest = NULL;
    int status = KYMO_CLI_GO_ON;
    for (char *p = strtok_r(list, ",", &rest); p && status == KYMO_CLI_GO_ON;
         p = strtok_r(NULL, ",", &rest))
        status = add_measure(s, p, option);
    return status;
}

/* What is shown when nothing is asked for: what the table has. In windows, where lines are many,
 * counts alone, which need no look at the rows. */
static int default_measures(struct stat *s, char *quantiles)
{
    static const char *const before[] = {"count",   "rate", "errors", "read",
                                         "written", "time", "mean"};
    const size_t n = is_syscall(s->o) && !(s->o->every_ns && !s->o->quantile) ? 7 : 2;
    int status = KYMO_CLI_GO_ON;
    for (size_t i = 0; i < n && status == KYMO_CLI_GO_ON; i++)
        status = add_measure(s, before[i], "show");
    if (n == 2 && !s->o->quantile)
        return status;
    if (status == KYMO_CLI_GO_ON)
        status = add_measures(s, quantiles, "quantile");
    return status == KYMO_CLI_GO_ON ? add_measure(s, "max", "show") : status;
}

static int ask_fields(struct stat *s, char *list)
{
    char *rest = NULL;
    s->ask.by = s->by;
    for (char *p = strtok_r(list, ",", &rest); p; p = strtok_r(NULL, ",", &rest)) {
        if (s->ask.n_by == KYMO_BY_MAX)
            return kymo_cli_usage(TOOL, "--by: more than %u fields", KYMO_BY_MAX);
        s->by[s->ask.n_by++] = p;
    }
    return KYMO_CLI_GO_ON;
}

static int make_ask(struct stat *s)
{
    const struct opts *o = s->o;
    const char *by = o->by ? o->by : is_syscall(o) ? "syscall" : "";
    const char *show = o->show ? o->show : "",
               *quantile = o->quantile ? o->quantile : "p50,p99";
    const size_t n[] = {strlen(by) + 1, strlen(show) + 1, strlen(quantile) + 1};
    int status = KYMO_CLI_GO_ON;
    s->words = malloc(n[0] + n[1] + n[2]);
    if (!s->words)
        return kymo_cli_usage(TOOL, "out of memory");
    char *shown = memcpy(s->words + n[0], show, n[1]);
    char *quantiles = memcpy(shown + n[1], quantile, n[2]);
    status = ask_fields(s, memcpy(s->words, by, n[0]));
    if (status == KYMO_CLI_GO_ON && *shown)
        status = add_measures(s, shown, "show");
    else if (status == KYMO_CLI_GO_ON)
        status = default_measures(s, quantiles);
    if (status == KYMO_CLI_GO_ON && o->show && o->quantile)
        status = add_measures(s, quantiles, "quantile");
    if (status == KYMO_CLI_GO_ON && o->histogram)
        status = add_measure(s, "histogram", "histogram");
    if (status == KYMO_CLI_GO_ON && !kymo_measure_parse(o->sort, &s->ask.sort))
        status = kymo_cli_usage(TOOL, "--sort: '%s' is nothing that can be shown", o->sort);
    s->ask.every_ns = o->every_ns;
    s->ask.from_start = !strcmp(o->align, "start");
    s->ask.since_ns = o->since_ns;
    s->ask.until_ns = o->until_ns;
    s->ask.filter = o->filter;
    s->ask.top = o->top;
    s->ask.memory_bytes = o->memory_bytes;
    return status;
}

/* -------- output -------- */

static kymo_status flush(struct kymo_buf *out, struct kymo_err *err)
{
    if (out->failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a line");
    fwrite(out->p, 1, out->n, stdout);
    kymo_buf_clear(out);
    return ferror(stdout) ? KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write to stdout")
                          : KYMO_OK;
}

static kymo_status print_exact(struct stat *s, const struct kymo_tally_row *row, size_t n,
                               struct kymo_err *err)
{
    struct kymo_buf out = {0};
    kymo_status status = KYMO_OK;
    if (s->o->csv)
        kymo_tally_csv_head(&out, &s->ask);
    for (size_t i = 0; i < n && !status; i++) {
        status = s->o->csv ? kymo_tally_csv(&out, s->tally, &s->ask, &row[i], err)
                           : kymo_tally_jsonl(&out, s->tally, &s->ask, &row[i], err);
        if (!status && out.n >= OUT_BYTES)
            status = flush(&out, err);
    }
    if (!status)
        status = flush(&out, err);
    kymo_buf_release(&out);
    return status;
}

static void print_histogram(struct stat *s, const struct kymo_tally_row *row)
{
    static const char bar[] = "########################################";
    uint64_t count[KYMO_LOG2_BUCKETS], most = 0;
    char from[32], to[32], n[32];
    kymo_tally_histogram(s->tally, row, count);
    for (unsigned i = 0; i < KYMO_LOG2_BUCKETS; i++)
        most = count[i] > most ? count[i] : most;
    for (unsigned i = 0; i < KYMO_LOG2_BUCKETS; i++) {
        if (!count[i])
            continue;
        const uint64_t low = i ? UINT64_C(1) << (i - 1) : 0;
        printf("%14s to %-9s %14s %.*s\n", kymo_human_ns(from, sizeof(from), low),
               kymo_human_ns(to, sizeof(to), i ? low + (low - 1) : 0),
               kymo_human_count(n, sizeof(n), count[i]),
               (int)((double)count[i] / (double)most * (sizeof(bar) - 1) + 0.5), bar);
    }
}

/* A cell for people. */
static void put_cell(struct kymo_buf *out, const struct kymo_cell *cell,
                     const struct kymo_measure *m)
{
    char text[40];
    const enum kymo_measure_kind kind = m ? m->kind : KYMO_MEASURE_KINDS;
    const uint64_t whole = cell->kind == KYMO_CELL_F64 ? (uint64_t)cell->f64 : cell->u64;
    if (cell->kind == KYMO_CELL_NULL)
        kymo_buf_printf(out, "-");
    else if (kind == KYMO_MEASURE_SHARE)
        kymo_buf_printf(out, "%.1f %%", 100 * cell->f64);
    else if (kind == KYMO_MEASURE_RATE && cell->f64 < 99.95)
        kymo_buf_printf(out, "%.*f/s", cell->f64 < 9.995 ? 2 : 1, cell->f64);
    else if (kind == KYMO_MEASURE_RATE)
        kymo_buf_printf(out, "%s/s",
                        kymo_human_count(text, sizeof(text), (uint64_t)(cell->f64 + 0.5)));
    else if (kind == KYMO_MEASURE_COUNT || kind == KYMO_MEASURE_ERRORS)
        kymo_buf_printf(out, "%s", kymo_human_count(text, sizeof(text), whole));
    else if (kind >= KYMO_MEASURE_READ && kind <= KYMO_MEASURE_BYTES)
        kymo_buf_printf(out, "%s", whole ? kymo_human_bytes(text, sizeof(text), whole) : "-");
    else if (kind < KYMO_MEASURE_KINDS)
        kymo_buf_printf(out, "%s", kymo_human_ns(text, sizeof(text), whole));
    else if (cell->kind == KYMO_CELL_U64)
        kymo_buf_printf(out, "%" PRIu64, cell->u64);
    else if (cell->kind == KYMO_CELL_I64)
        kymo_buf_printf(out, "%" PRId64, cell->i64);
    else
        kymo_buf_printf(out, "%.6g", cell->f64);
}

#define COLUMN_BYTES_MAX 60
struct grid {
    size_t n_columns;
    int width[KYMO_TALLY_COLUMNS_MAX];
};

/* Characters that a text takes on a terminal; escapes of print_safe() come out wider, which bends a line
 * and nothing else. */
static int text_width(const char *s, size_t n)
{
    int w = 0;
    for (size_t i = 0; i < n; i++)
        w += ((unsigned char)s[i] & 0xc0) != 0x80;
    return w;
}

static void print_text(const char *s, size_t n, int width, int right)
{
    const int pad = width - text_width(s, n);
    printf("%*s", right && pad > 0 ? pad : 0, "");
    kymo_print_safe(stdout, s, n);
    printf("%*s", !right && pad > 0 ? pad : 0, "");
}

/* A long path keeps its end, which tells more. */
static struct kymo_text shorten(struct kymo_text t)
{
    if (t.n <= COLUMN_BYTES_MAX)
        return t;
    t.p += t.n - COLUMN_BYTES_MAX;
    t.n = COLUMN_BYTES_MAX;
    while (t.n && ((unsigned char)*t.p & 0xc0) == 0x80) {
        t.p++;
        t.n--;
    }
    return t;
}

static const char *column_name(const struct stat *s, size_t c, int *right)
{
    const size_t first = s->ask.every_ns ? 1 : 0;
    *right = 1;
    if (c < first)
        return "window";
    if (c - first >= s->ask.n_by)
        return s->ask.measure[c - first - s->ask.n_by].name;
    *right = 0;
    return s->ask.by[c - first];
}

/* The text of one cell, in scratch or where it is kept. */
static kymo_status cell_text(struct stat *s, const struct kymo_tally_row *row, size_t c,
                             struct kymo_buf *scratch, struct kymo_text *out,
                             struct kymo_err *err)
{
    const size_t first = s->ask.every_ns ? 1 : 0;
    struct kymo_cell cell;
    const struct kymo_measure *m = NULL;
    kymo_buf_clear(scratch);
    if (c < first) {
        kymo_buf_printf(scratch, "%.6g s",
                        (double)kymo_tally_window_ns(s->tally, row->window) * 1e-9);
    } else {
        if (c - first < s->ask.n_by) {
            kymo_tally_by_cell(s->tally, row, c - first, &cell);
        } else {
            m = &s->ask.measure[c - first - s->ask.n_by];
            KYMO_TRY(kymo_tally_cell(s->tally, row, m, &cell, err));
        }
        if (cell.kind == KYMO_CELL_TEXT) {
            *out = shorten(cell.text);
            return KYMO_OK;
        }
        put_cell(scratch, &cell, m);
    }
    if (scratch->failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a line");
    *out = (struct kymo_text){(const char *)scratch->p, (uint32_t)scratch->n};
    return KYMO_OK;
}

static size_t shown_columns(const struct stat *s)
{
    size_t n = (s->ask.every_ns ? 1u : 0u) + s->ask.n_by + s->ask.n_measures;
    return n - (s->o->histogram ? 1 : 0); /* which comes last, and below */
}

static kymo_status print_line(struct stat *s, const struct grid *grid,
                              const struct kymo_tally_row *row, struct kymo_buf *scratch,
                              struct kymo_err *err)
{
    for (size_t c = 0; c < grid->n_columns; c++) {
        struct kymo_text text;
        int right;
        const char *name = column_name(s, c, &right);
        if (row)
            KYMO_TRY(cell_text(s, row, c, scratch, &text, err));
        else
            text = (struct kymo_text){name, (uint32_t)strlen(name)};
        if (c)
            fputs("  ", stdout);
        print_text(text.p, text.n, c + 1 < grid->n_columns || right ? grid->width[c] : 0,
                   right);
    }
    putchar('\n');
    if (row && s->o->histogram)
        print_histogram(s, row);
    return ferror(stdout) ? KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write to stdout")
                          : KYMO_OK;
}

static kymo_status measure_grid(struct stat *s, const struct kymo_tally_row *row, size_t n,
                                struct grid *grid, struct kymo_buf *scratch,
                                struct kymo_err *err)
{
    grid->n_columns = shown_columns(s);
    for (size_t c = 0; c < grid->n_columns; c++) {
        int right;
        const char *name = column_name(s, c, &right);
        grid->width[c] = text_width(name, strlen(name));
    }
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < grid->n_columns; c++) {
            struct kymo_text text;
            KYMO_TRY(cell_text(s, &row[i], c, scratch, &text, err));
            const int w = text_width(text.p, text.n);
            grid->width[c] = w > grid->width[c] ? w : grid->width[c];
        }
    return KYMO_OK;
}

static kymo_status print_table(struct stat *s, const struct kymo_tally_row *row, size_t n,
                               uint64_t hidden, struct kymo_err *err)
{
    struct grid grid = {0};
    struct kymo_buf scratch = {0};
    struct kymo_tally_sum sum;
    char rows[32], groups[32], span[32];
    kymo_tally_sum(s->tally, &sum);
    kymo_status status = measure_grid(s, row, n, &grid, &scratch, err);
    if (!status)
        status = print_line(s, &grid, NULL, &scratch, err);
    for (size_t i = 0; i < n && !status; i++) {
        if (i && row[i].window != row[i - 1].window && s->ask.n_by)
            putchar('\n');
        status = print_line(s, &grid, &row[i], &scratch, err);
    }
    kymo_buf_release(&scratch);
    if (status)
        return status;
    printf("\n%s rows of %s in %s, %s groups", kymo_human_count(rows, sizeof(rows), sum.rows),
           s->o->table, kymo_human_ns(span, sizeof(span), sum.span_ns),
           kymo_human_count(groups, sizeof(groups), sum.groups));
    if (hidden)
        printf(", %s of them not shown", kymo_human_count(groups, sizeof(groups), hidden));
    putchar('\n');
    return KYMO_OK;
}

static kymo_status print_all(struct stat *s, struct kymo_err *err)
{
    struct kymo_tally_row *row;
    size_t n;
    uint64_t hidden;
    KYMO_TRY(kymo_tally_rows(s->tally, &row, &n, &hidden, err));
    const kymo_status status = s->o->jsonl || s->o->csv ? print_exact(s, row, n, err)
                                                        : print_table(s, row, n, hidden, err);
    free(row);
    return status;
}

/* -------- main -------- */

static void warn(const char *path, const char *text)
{
    kymo_cli_say(TOOL, "%s%s%s", path ? path : "", path ? ": " : "", text);
}

static kymo_status count(struct stat *s, const char **path, struct kymo_err *err)
{
    struct kymo_statrun_in in = {.path = s->o->input.v,
                                 .n_paths = s->o->input.n,
                                 .table = s->o->table,
                                 .threads = (unsigned)s->o->threads,
                                 .warn = warn};
    for (size_t i = 0; i < s->ask.n_by; i++)
        in.follow |=
            !strcmp(s->by[i], "file") || !strcmp(s->by[i], "path") || !strcmp(s->by[i], "addr");
    KYMO_TRY(kymo_tally_open(&s->tally, &s->ask, err));
    return kymo_statrun(s->tally, &in, path, err);
}

int main(int argc, char **argv)
{
    static struct opts o = {.until_ns = UINT64_MAX,
                            .memory_bytes = MEMORY_BYTES,
                            .table = "syscall",
                            .sort = "count",
                            .align = "clock",
                            .threads = 1};
    static struct stat s = {.o = &o};
    struct kymo_err err = {0};
    const char *path = NULL;
    int status = parse_args(argc, argv, &o);
    if (status == KYMO_CLI_GO_ON)
        status = make_ask(&s);
    if (status == KYMO_CLI_GO_ON) {
        setvbuf(stdout, NULL, _IOFBF, OUT_BYTES);
        kymo_status done = count(&s, &path, &err);
        if (!done)
            done = print_all(&s, &err);
        status = kymo_cli_finish(TOOL, path, done, &err, KYMO_EXIT_OK);
    }
    kymo_tally_close(s.tally);
    free(s.words);
    return status;
}
