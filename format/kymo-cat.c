/* SPDX-License-Identifier: Apache-2.0
 * kymo-cat: the rows of captures and matrices as text, JSON Lines or CSV.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/cli/cli.h"
#include "format/io/rows.h"
#include "format/trace/filter.h"
#include "format/trace/reader.h"
#include "format/trace/sysname.h"

#define TOOL "kymo-cat"
#define OUT_BYTES ((size_t)1 << 20)
#define COLUMNS_MAX 256u
#define HEX_FROM 65536u

struct opts {
    struct kymo_opt_list tables;
    const char *filter, *columns;
    bool jsonl, csv, fields;
    uint64_t since_ns, until_ns, rows_max;
};

/* Without -t: what happened. The recorder's own books are asked for by name. */
static const char *const books[] = {"cgroup", "loss", "cost", "clock", "context", "sysname"};

struct cat {
    const struct opts *o;
    const char *column[COLUMNS_MAX];
    size_t n_columns;
    struct kymo_filter *filter;
    struct kymo_names *names;
    struct kymo_buf line;
    uint64_t rows;
    char csv_table[KYMO_NAME_BYTES_MAX + 1];
    /* of the file at hand */
    kymo_reader *reader;
    const struct kymo_schema *schema; /* what is resolved below */
    struct kymo_arena arena;
    struct kymo_fields fields;
    uint8_t *want; /* [n_columns] */
    int ts;        /* column, or -1 */
    int host;      /* the same, of a capture of several hosts */
    int is_passed; /* the filter is not about this table */
    int n_bound;   /* tables that the filter is about */
    struct kymo_err misfit;
};

static int usage_check(struct opts *o)
{
    if (o->jsonl && o->csv)
        return kymo_cli_usage(TOOL, "--jsonl and --csv exclude each other");
    if (o->columns && !o->jsonl && !o->csv)
        return kymo_cli_usage(TOOL, "--columns is for --jsonl and --csv");
    if (o->until_ns < o->since_ns)
        return kymo_cli_usage(TOOL, "--until lies before --since");
    return KYMO_CLI_GO_ON;
}

static int parse_args(int argc, char **argv, struct opts *o, int *first)
{
    const struct kymo_opt opt[] = {
        {.kind = KYMO_OPT_LIST,
         .short_name = 't',
         .long_name = "table",
         .arg = "TABLE",
         .help = "print the rows of this table; may be given again (syscall, process, mark and "
                 "what else is no bookkeeping)",
         .to = &o->tables},
        {.kind = KYMO_OPT_STR,
         .short_name = 'f',
         .long_name = "filter",
         .arg = "EXPR",
         .help = "print only rows for which this holds",
         .to = &o->filter},
        {.kind = KYMO_OPT_FLAG,
         .long_name = "jsonl",
         .help = "print one JSON object a row, exact",
         .to = &o->jsonl},
        {.kind = KYMO_OPT_FLAG,
         .long_name = "csv",
         .help = "print comma-separated values of one table under a header, exact",
         .to = &o->csv},
        {.kind = KYMO_OPT_STR,
         .long_name = "columns",
         .arg = "A,B,...",
         .help = "print these columns, in this order (all, with the names derived from them)",
         .to = &o->columns},
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
        {.kind = KYMO_OPT_U64,
         .short_name = 'n',
         .long_name = "rows",
         .arg = "N",
         .help = "stop after this many rows (no limit)",
         .to = &o->rows_max},
        {.kind = KYMO_OPT_FLAG,
         .long_name = "fields",
         .help = "list the tables and fields of the input instead of its rows",
         .to = &o->fields},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "print the rows of a capture or a matrix",
        .positional = "FILE...",
        .positional_max = SIZE_MAX,
        .examples = "  kymo cat prod.kymo | less\n"
                    "  kymo cat -f 'syscall == openat && errno' prod.kymo\n"
                    "  kymo cat -t process --csv prod.kymo > processes.csv\n"
                    "  kymo cat --jsonl --columns time,comm,syscall,dur prod.kymo\n",
        .opt = opt,
        .n_opt = sizeof(opt) / sizeof(opt[0]),
    };
    const int status = kymo_cli_parse(&cli, argc, argv, first);
    if (status != KYMO_CLI_GO_ON)
        return status;
    if (*first == argc)
        return kymo_cli_usage(TOOL, "which file?");
    return usage_check(o);
}

/* -------- text -------- */

static void print_time(uint64_t ts, uint64_t start_ns)
{
    const uint64_t ns = ts < start_ns ? start_ns - ts : ts - start_ns;
    printf("%s%3" PRIu64 ".%06" PRIu64, ts < start_ns ? "-" : "", ns / 1000000000u,
           ns % 1000000000u / 1000u);
}

static void print_short(uint64_t ns)
{
    if (ns < 10000)
        printf(" <%" PRIu64 "ns>", ns);
    else if (ns < 10000000)
        printf(" <%" PRIu64 "us>", ns / 1000);
    else
        printf(" <%" PRIu64 "ms>", ns / 1000000);
}

static void print_text(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    uint32_t n;
    const char *s = kymo_batch_str(b, column, row, &n);
    kymo_print_safe(stdout, s, n);
}

static void print_quoted(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    putchar('"');
    print_text(b, column, row);
    putchar('"');
}

/* -100 reads better than 18446744073709551516, and a pointer better in hexadecimal. */
static void print_arg(uint64_t v)
{
    const int64_t s = (int64_t)v;
    if (s < 0 && s > -(int64_t)HEX_FROM)
        printf("%" PRId64, s);
    else if (v < HEX_FROM)
        printf("%" PRIu64, v);
    else
        printf("0x%" PRIx64, v);
}

static void print_args(const struct kymo_batch *b, uint32_t row,
                       const struct kymo_sysinfo *info)
{
    int n = 0;
    for (int i = 0; i < 6; i++) {
        const uint32_t c = KYMO_SYSCALL_ARG0 + (uint32_t)i;
        const int text = !info ? -1
                         : i == info->path && kymo_batch_present(b, KYMO_SYSCALL_PATH, row)
                             ? KYMO_SYSCALL_PATH
                         : i == info->path2 && kymo_batch_present(b, KYMO_SYSCALL_PATH2, row)
                             ? KYMO_SYSCALL_PATH2
                         : i == info->addr && kymo_batch_present(b, KYMO_SYSCALL_ADDR, row)
                             ? KYMO_SYSCALL_ADDR
                             : -1;
        if (text < 0 && !kymo_batch_present(b, c, row))
            continue;
        fputs(n++ ? ", " : "", stdout);
        if (text >= 0)
            print_quoted(b, (uint32_t)text, row);
        else
            print_arg(kymo_batch_u64(b, c, row));
    }
}

static void print_result(const struct kymo_batch *b, uint32_t row)
{
    const uint64_t flags = kymo_batch_u64(b, KYMO_SYSCALL_FLAGS, row);
    if (kymo_batch_present(b, KYMO_SYSCALL_RET, row)) {
        const int64_t ret = kymo_batch_i64(b, KYMO_SYSCALL_RET, row);
        const char *name = ret < 0 && ret >= -4095 ? kymo_errno_name((int)-ret) : NULL;
        fputs(" = ", stdout);
        if (name)
            printf("%" PRId64 " %s", ret, name);
        else
            print_arg((uint64_t)ret);
    }
    if (kymo_batch_present(b, KYMO_SYSCALL_DUR, row))
        print_short(kymo_batch_u64(b, KYMO_SYSCALL_DUR, row));
    static const struct {
        uint64_t flag;
        const char *word;
    } words[] = {{KYMO_CALL_CHILD, " (child)"},   {KYMO_CALL_UNFINISHED, " (unfinished)"},
                 {KYMO_CALL_UNREAD, " (unread)"}, {KYMO_CALL_LATE, " (late)"},
                 {KYMO_CALL_EXECED, " (execed)"}, {KYMO_CALL_COMPAT, " (32-bit)"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (flags & words[i].flag)
            fputs(words[i].word, stdout);
}

static void print_syscall(const struct cat *c, const struct kymo_batch *b, uint32_t row)
{
    const uint64_t arch = kymo_batch_u64(b, KYMO_SYSCALL_ARCH, row);
    const uint64_t nr = kymo_batch_u64(b, KYMO_SYSCALL_NR, row);
    const char *name = kymo_names_call(c->names, arch, nr);
    const struct kymo_sysinfo *info = name ? kymo_sysinfo_by_name(name) : NULL;
    print_time(kymo_batch_u64(b, KYMO_SYSCALL_TS, row), c->fields.start_ns);
    putchar(' ');
    if (c->host >= 0) {
        print_text(b, (uint32_t)c->host, row);
        putchar(' ');
    }
    print_text(b, KYMO_SYSCALL_COMM, row);
    printf("[%" PRIu64 "] ", kymo_batch_u64(b, KYMO_SYSCALL_TID, row));
    if (name)
        kymo_print_safe(stdout, name, strlen(name));
    else
        printf("syscall_%" PRIu64, nr);
    putchar('(');
    print_args(b, row, info);
    putchar(')');
    print_result(b, row);
    putchar('\n');
}

static void print_cell(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    const struct kymo_column_def *def = &b->schema->column[column];
    switch (def->type) {
    case KYMO_T_STR:
        print_quoted(b, column, row);
        break;
    case KYMO_T_I64:
        printf("%" PRId64, kymo_batch_i64(b, column, row));
        break;
    case KYMO_T_U64:
        printf("%" PRIu64, kymo_batch_u64(b, column, row));
        if (!strcmp(def->unit, "ns"))
            fputs("ns", stdout);
        break;
    default:
        printf("%.6g", kymo_batch_f64(b, column, row));
    }
}

/* Any other table: its time, its name, then what is neither null nor empty. */
static void print_other(const struct cat *c, const struct kymo_batch *b, uint32_t row)
{
    if (c->ts >= 0)
        print_time(kymo_batch_u64(b, (uint32_t)c->ts, row), c->fields.start_ns);
    fputs(c->ts >= 0 ? " " : "", stdout);
    kymo_print_safe(stdout, b->schema->table, strlen(b->schema->table));
    for (uint32_t i = 0; i < b->schema->n_columns; i++) {
        uint32_t n = 1;
        if ((int)i == c->ts || !kymo_batch_present(b, i, row))
            continue;
        if (b->schema->column[i].type == KYMO_T_STR)
            (void)kymo_batch_str(b, i, row, &n);
        if (!n)
            continue;
        putchar(' ');
        kymo_print_safe(stdout, b->schema->column[i].name, strlen(b->schema->column[i].name));
        putchar('=');
        print_cell(b, i, row);
    }
    putchar('\n');
}

/* A syscall table whose columns stand where this program's do, whatever follows them; others print as
 * any table. */
static int is_own_syscall(const struct kymo_schema *s)
{
    const struct kymo_schema *own = &KYMO_TABLE_SYSCALL;
    if (strcmp(s->table, own->table) != 0 || s->n_columns < own->n_columns)
        return 0;
    for (uint32_t c = 0; c < own->n_columns; c++)
        if (strcmp(s->column[c].name, own->column[c].name) != 0 ||
            s->column[c].type != own->column[c].type ||
            s->column[c].order != own->column[c].order)
            return 0;
    return 1;
}

/* -------- rows -------- */

static int is_book(const char *table)
{
    for (size_t i = 0; i < sizeof(books) / sizeof(books[0]); i++)
        if (!strcmp(books[i], table))
            return 1;
    return 0;
}

static int is_listed(const struct opts *o, const char *table)
{
    for (size_t i = 0; i < o->tables.n; i++)
        if (!strcmp(o->tables.v[i], table))
            return 1;
    return 0;
}

static int is_asked(const struct opts *o, const char *table)
{
    return o->tables.n ? is_listed(o, table) : !is_book(table);
}

/* A filter about no table is a mistake; one that is not about every table passes the others by,
 * unless they were asked for. */
static kymo_status bind_filter(struct cat *c, const struct kymo_schema *s, struct kymo_err *err)
{
    c->is_passed = 0;
    if (!c->filter)
        return KYMO_OK;
    const kymo_status status =
        kymo_filter_bind(c->filter, s, c->names, c->fields.start_ns, &c->misfit);
    c->n_bound += !status;
    if (status == KYMO_EUSAGE && !c->o->tables.n) {
        c->is_passed = 1;
        return KYMO_OK;
    }
    if (status && err)
        *err = c->misfit;
    return status;
}

static kymo_status begin_csv(struct cat *c, const struct kymo_schema *s, struct kymo_err *err)
{
    if (c->csv_table[0] && strcmp(c->csv_table, s->table) != 0)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "CSV holds one table, and there are %s and %s; choose with -t",
                         c->csv_table, s->table);
    if (!c->csv_table[0])
        kymo_row_csv_head(&c->line, &c->fields);
    (void)snprintf(c->csv_table, sizeof(c->csv_table), "%s", s->table);
    return KYMO_OK;
}

/* Chunks outside of these times need not be read. */
static void ask_time(const struct cat *c)
{
    const uint64_t start = c->fields.start_ns, room = UINT64_MAX - start;
    kymo_reader_time(c->reader, start + (c->o->since_ns < room ? c->o->since_ns : room),
                     start + (c->o->until_ns < room ? c->o->until_ns : room));
}

/* What the rows of this schema need; a header line when CSV meets its table. */
static kymo_status resolve(struct cat *c, const struct kymo_schema *s, struct kymo_err *err)
{
    kymo_arena_reset(&c->arena);
    c->schema = s;
    c->fields =
        (struct kymo_fields){.names = c->names, .start_ns = kymo_reader_start_ns(c->reader)};
    c->ts = kymo_schema_ts(s);
    c->want = KYMO_NEW(&c->arena, uint8_t, s->n_columns);
    if (!c->want)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a schema");
    if (c->ts >= 0)
        ask_time(c);
    c->host = kymo_schema_column(s, "host");
    if (c->host >= 0 && s->column[c->host].type != KYMO_T_STR)
        c->host = -1;
    KYMO_TRY(bind_filter(c, s, err));
    if (c->is_passed)
        return KYMO_OK;
    KYMO_TRY(kymo_fields_resolve(&c->fields, s, c->column, c->n_columns, &c->arena, err));
    return c->o->csv ? begin_csv(c, s, err) : KYMO_OK;
}

static int in_time(const struct cat *c, const struct kymo_batch *b, uint32_t row)
{
    if (c->ts < 0 || (!c->o->since_ns && c->o->until_ns == UINT64_MAX))
        return 1;
    const uint64_t ts = kymo_batch_u64(b, (uint32_t)c->ts, row);
    const uint64_t since = ts < c->fields.start_ns ? 0 : ts - c->fields.start_ns;
    return since >= c->o->since_ns && since <= c->o->until_ns;
}

static kymo_status flush(struct cat *c, struct kymo_err *err)
{
    if (c->line.failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a line");
    fwrite(c->line.p, 1, c->line.n, stdout);
    kymo_buf_clear(&c->line);
    if (ferror(stdout))
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write to stdout");
    return KYMO_OK;
}

/* Tasks and keys are few: they are asked first. */
static void keep_few(const struct kymo_schema *s, uint8_t *want)
{
    for (uint32_t i = 0; i < s->n_columns; i++)
        if (s->column[i].order != KYMO_ORDER_TASK && s->column[i].order != KYMO_ORDER_KEY)
            want[i] = 0;
}

/* What of a batch is needed, and no more: what the filter says about tasks, keys and zones spares
 * the rows, what it says about rows the other columns. any out: 0 when no row passes. */
static kymo_status decode_matching(struct cat *c, const struct kymo_batch *b, int *any,
                                   struct kymo_err *err)
{
    uint8_t *want = c->want;
    for (int few = 1; c->filter && few >= 0 && *any; few--) {
        memset(want, 0, b->schema->n_columns);
        kymo_filter_need(c->filter, want);
        if (few)
            keep_few(b->schema, want);
        KYMO_TRY(kymo_reader_more(c->reader, want, err));
        KYMO_TRY(kymo_filter_begin(c->filter, b, err));
        *any = kymo_filter_may_match(c->filter);
    }
    for (uint32_t i = 0; c->filter && *any; i++) {
        if (i == b->n_rows)
            *any = 0;
        else if (kymo_filter_match(c->filter, i))
            break;
    }
    if (!*any)
        return KYMO_OK;
    const int is_text = !c->o->jsonl && !c->o->csv;
    memset(want, is_text, b->schema->n_columns);
    if (!is_text)
        kymo_fields_need(&c->fields, want);
    if (c->ts >= 0)
        want[c->ts] = 1;
    return kymo_reader_more(c->reader, want, err);
}

static kymo_status print_rows(struct cat *c, const struct kymo_batch *b, struct kymo_err *err)
{
    const struct opts *o = c->o;
    const int own = !o->jsonl && !o->csv && is_own_syscall(b->schema);
    const char *table = o->tables.n == 1 ? NULL : b->schema->table;
    if (c->filter)
        KYMO_TRY(kymo_filter_begin(c->filter, b, err));
    for (uint32_t i = 0; i < b->n_rows && c->rows < o->rows_max; i++) {
        if (!in_time(c, b, i) || (c->filter && !kymo_filter_match(c->filter, i)))
            continue;
        c->rows++;
        if (o->jsonl)
            kymo_row_jsonl(&c->line, &c->fields, b, i, table);
        else if (o->csv)
            kymo_row_csv(&c->line, &c->fields, b, i);
        else if (own)
            print_syscall(c, b, i);
        else
            print_other(c, b, i);
        if (c->line.n >= OUT_BYTES)
            KYMO_TRY(flush(c, err));
    }
    return flush(c, err);
}

/* -------- fields -------- */

static void print_schema(const struct kymo_schema *s)
{
    static const char *const type[] = {"", "u64", "i64", "f64", "f32", "str"};
    const char *derived[4];
    const size_t n = kymo_filter_derived(s, derived, 4);
    kymo_print_safe(stdout, s->table, strlen(s->table));
    putchar('\n');
    for (uint32_t i = 0; i < s->n_columns; i++) {
        const struct kymo_column_def *d = &s->column[i];
        fputs("  ", stdout);
        kymo_print_safe(stdout, d->name, strlen(d->name));
        printf(" %s", type[d->type]);
        if (d->unit[0]) {
            putchar(' ');
            kymo_print_safe(stdout, d->unit, strlen(d->unit));
        }
        puts(d->nullable || d->order == KYMO_ORDER_SPLIT ? " nullable" : "");
    }
    for (size_t i = 0; i < n; i++)
        printf("  %s derived\n", derived[i]);
}

static kymo_status print_fields(struct cat *c, struct kymo_err *err)
{
    struct kymo_chunk_header h;
    const char *table;
    int done = 0;
    while (!done)
        KYMO_TRY(kymo_reader_skim(c->reader, &h, &table, 0, &done, err));
    for (size_t i = 0; i < kymo_reader_schemas(c->reader); i++)
        if (!c->o->tables.n || is_listed(c->o, kymo_reader_schema(c->reader, i)->table))
            print_schema(kymo_reader_schema(c->reader, i));
    return KYMO_OK;
}

/* -------- files -------- */

static kymo_status ask_tables(struct cat *c, struct kymo_err *err)
{
    const char *name[KYMO_OPT_LIST_MAX + 1];
    size_t n = 0;
    if (!c->o->tables.n)
        return KYMO_OK;
    for (; n < c->o->tables.n; n++)
        name[n] = c->o->tables.v[n];
    name[n++] = KYMO_TABLE_SYSNAME.table;
    return kymo_reader_select(c->reader, name, n, err);
}

static kymo_status read_rows(struct cat *c, struct kymo_err *err)
{
    const struct kymo_batch *b;
    KYMO_TRY(ask_tables(c, err));
    kymo_reader_lazy(c->reader);
    static const char *const named[] = {"arch", "nr", "name"};
    KYMO_TRY(kymo_reader_columns(c->reader, KYMO_TABLE_SYSNAME.table, named, 3, err));
    while (c->rows < c->o->rows_max) {
        KYMO_TRY(kymo_reader_next(c->reader, &b, err));
        if (!b)
            return KYMO_OK;
        KYMO_TRY(kymo_names_learn(c->names, b, err));
        if (!is_asked(c->o, b->schema->table))
            continue;
        if (c->schema != b->schema)
            KYMO_TRY(resolve(c, b->schema, err));
        int any = !c->is_passed;
        if (any)
            KYMO_TRY(decode_matching(c, b, &any, err));
        if (any)
            KYMO_TRY(print_rows(c, b, err));
    }
    return KYMO_OK;
}

static kymo_status cat_file(struct cat *c, const char *path, struct kymo_err *err)
{
    KYMO_TRY(kymo_reader_open(&c->reader, path, 0, err));
    c->schema = NULL;
    c->n_bound = 0;
    c->misfit.code = KYMO_OK;
    kymo_status s = c->o->fields ? print_fields(c, err) : read_rows(c, err);
    if (!s && !c->n_bound && c->misfit.code) {
        *err = c->misfit;
        s = c->misfit.code;
    }
    kymo_reader_close(c->reader);
    return s;
}

static kymo_status open_cat(struct cat *c, char *columns, struct kymo_err *err)
{
    kymo_arena_init(&c->arena, (size_t)16 << 20);
    setvbuf(stdout, NULL, _IOFBF, OUT_BYTES);
    char *rest = NULL;
    for (char *p = columns ? strtok_r(columns, ",", &rest) : NULL; p;
         p = strtok_r(NULL, ",", &rest)) {
        if (c->n_columns == COLUMNS_MAX)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "more than %u columns",
                             COLUMNS_MAX);
        c->column[c->n_columns++] = p;
    }
    if (c->o->filter)
        KYMO_TRY(kymo_filter_open(&c->filter, c->o->filter, err));
    return kymo_names_open(&c->names, err);
}

static void close_cat(struct cat *c)
{
    kymo_filter_close(c->filter);
    kymo_names_close(c->names);
    kymo_arena_release(&c->arena);
    kymo_buf_release(&c->line);
}

/* A torn tail is a warning and the next file is read; what is worse ends the run. */
static kymo_status cat_files(struct cat *c, char **path, size_t n, const char **at,
                             struct kymo_err *err)
{
    for (size_t i = 0; i < n && c->rows < c->o->rows_max; i++) {
        *at = path[i];
        const kymo_status s = cat_file(c, path[i], err);
        if (s == KYMO_ETORN)
            kymo_cli_say(TOOL, "%s: %s", path[i], err->text);
        else if (s)
            return s;
    }
    return KYMO_OK;
}

int main(int argc, char **argv)
{
    static struct opts o = {.until_ns = UINT64_MAX, .rows_max = UINT64_MAX};
    static struct cat c;
    int first;
    const int usage = parse_args(argc, argv, &o, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct kymo_err err = {0};
    const char *path = NULL;
    char *columns = o.columns ? strdup(o.columns) : NULL;
    c.o = &o;
    kymo_status s = open_cat(&c, columns, &err);
    if (!s)
        s = cat_files(&c, argv + first, (size_t)(argc - first), &path, &err);
    const int status = kymo_cli_finish(TOOL, path, s, &err, KYMO_EXIT_OK);
    close_cat(&c);
    free(columns);
    return status;
}
