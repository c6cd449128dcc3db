/* SPDX-License-Identifier: Apache-2.0 */
#include "format/cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/base/size.h"
#include "format/cli/text.h"

#define OPT_ROWS_MAX 96
#define WORD_BYTES_MAX 64
#define MESSAGE_BYTES_MAX 2048

/* getopt_long's value for a long option: past every char, and telling the row. */
#define LONG_BASE 256
#define LONG_HELP (LONG_BASE + OPT_ROWS_MAX)
#define LONG_VERSION (LONG_HELP + 1)

/* -- messages ----------------------------------------------------------------------------- */

/* One line on stderr in one write, so that lines of several processes do not mix. */
static void say_line(const char *tool, const char *fmt, va_list ap, const char *more)
{
    char text[MESSAGE_BYTES_MAX];
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    char *line = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&line, &n);
    if (!f)
        return;
    fprintf(f, "%s: ", tool);
    kymo_print_safe(f, text, strlen(text));
    fprintf(f, "%s\n", more);
    if (fclose(f) == 0)
        fwrite(line, 1, n, stderr);
    free(line);
}

void kymo_cli_say(const char *tool, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_line(tool, fmt, ap, "");
    va_end(ap);
}

int kymo_cli_usage(const char *tool, const char *fmt, ...)
{
    char more[WORD_BYTES_MAX + 16];
    (void)snprintf(more, sizeof(more), "; see %s --help", tool);
    va_list ap;
    va_start(ap, fmt);
    say_line(tool, fmt, ap, more);
    va_end(ap);
    return KYMO_EXIT_USAGE;
}

/* -- did you mean ------------------------------------------------------------------------- */

/* Edits (insert, drop, change, swap of neighbours) between two words of at most WORD_BYTES_MAX.
 * source: Damerau, A technique for computer detection and correction of spelling errors, 1964 */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t d[3][WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = d[i % 3];
        const size_t *last = d[(i + 2) % 3];
        const size_t *before = d[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return d[n % 3][m];
}

const char *kymo_cli_nearest(const char *word, const char *const *list, size_t n)
{
    const size_t len = strlen(word);
    if (len == 0 || len > WORD_BYTES_MAX)
        return NULL;
    const char *best = NULL;
    size_t best_edits = len < 5 ? 2 : 3; /* fewer edits than this are a slip */
    for (size_t i = 0; i < n; i++) {
        const size_t list_len = strlen(list[i]);
        if (list_len > WORD_BYTES_MAX)
            continue;
        const size_t edits = distance(word, len, list[i], list_len);
        if (edits < best_edits) {
            best = list[i];
            best_edits = edits;
        }
    }
    return best;
}

/* -- values ------------------------------------------------------------------------------- */

static const char *option_name(const struct kymo_opt *o, char *buf, size_t n)
{
    if (o->long_name)
        (void)snprintf(buf, n, "--%s", o->long_name);
    else
        (void)snprintf(buf, n, "-%c", o->short_name);
    return buf;
}

static bool in_range(const struct kymo_opt *o, double v)
{
    return (o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max);
}

static bool is_choice(const char *choices, const char *word)
{
    const size_t n = strlen(word);
    for (const char *c = choices;; c++) {
        const size_t len = strcspn(c, "|");
        if (len == n && memcmp(c, word, n) == 0)
            return n > 0;
        c += len;
        if (!*c)
            return false;
    }
}

static bool parse_share(const char *s, double *v)
{
    char text[40];
    const size_t n = strlen(s);
    double share;
    if (n > 1 && n < sizeof(text) && s[n - 1] == '%') {
        memcpy(text, s, n - 1);
        text[n - 1] = '\0';
        if (!kymo_parse_f64(text, &share))
            return false;
        share /= 100;
    } else if (!kymo_parse_f64(s, &share)) {
        return false;
    }
    if (share < 0 || share > 1)
        return false;
    *v = share;
    return true;
}

typedef bool parse_u64_fn(const char *s, uint64_t *v);

/* How a limit of the row is written in its own unit. */
static const char *show_limit(const struct kymo_opt *o, double v, char *buf, size_t n)
{
    if (o->kind == KYMO_OPT_BYTES)
        return kymo_human_bytes(buf, n, (uint64_t)v);
    if (o->kind == KYMO_OPT_TIME)
        return kymo_human_ns(buf, n, (uint64_t)v);
    (void)snprintf(buf, n, "%.15g", v);
    return buf;
}

static int refuse_range(const struct kymo_cli *cli, const struct kymo_opt *o, const char *name,
                        const char *arg)
{
    char low[32];
    char high[32];
    return kymo_cli_usage(cli->tool, "%s %s is outside %s to %s", name, arg,
                          show_limit(o, o->min, low, sizeof(low)),
                          show_limit(o, o->max, high, sizeof(high)));
}

static int set_u64(const struct kymo_cli *cli, const struct kymo_opt *o, const char *name,
                   const char *arg, parse_u64_fn *parse, const char *wants)
{
    uint64_t v;
    if (!parse(arg, &v))
        return kymo_cli_usage(cli->tool, "%s wants %s, not \"%s\"", name, wants, arg);
    if (!in_range(o, (double)v))
        return refuse_range(cli, o, name, arg);
    *(uint64_t *)o->to = v;
    return KYMO_CLI_GO_ON;
}

static int set_f64(const struct kymo_cli *cli, const struct kymo_opt *o, const char *name,
                   const char *arg)
{
    double v;
    if (!kymo_parse_f64(arg, &v))
        return kymo_cli_usage(cli->tool, "%s wants a number, not \"%s\"", name, arg);
    if (!in_range(o, v))
        return refuse_range(cli, o, name, arg);
    *(double *)o->to = v;
    return KYMO_CLI_GO_ON;
}

static int set_list(const struct kymo_cli *cli, const struct kymo_opt *o, const char *name,
                    const char *arg)
{
    struct kymo_opt_list *list = o->to;
    if (list->n == KYMO_OPT_LIST_MAX)
        return kymo_cli_usage(cli->tool, "%s is given more than %d times", name,
                              KYMO_OPT_LIST_MAX);
    list->v[list->n++] = arg;
    return KYMO_CLI_GO_ON;
}

static int set_value(const struct kymo_cli *cli, const struct kymo_opt *o, const char *arg)
{
    char name[WORD_BYTES_MAX];
    option_name(o, name, sizeof(name));
    switch (o->kind) {
    case KYMO_OPT_FLAG:
        *(bool *)o->to = true;
        return KYMO_CLI_GO_ON;
    case KYMO_OPT_STR:
        *(const char **)o->to = arg;
        return KYMO_CLI_GO_ON;
    case KYMO_OPT_LIST:
        return set_list(cli, o, name, arg);
    case KYMO_OPT_U64:
        return set_u64(cli, o, name, arg, kymo_parse_u64, "a whole number");
    case KYMO_OPT_F64:
        return set_f64(cli, o, name, arg);
    case KYMO_OPT_BYTES:
        return set_u64(cli, o, name, arg, kymo_parse_bytes, "a size such as 64K, 10M or 1G");
    case KYMO_OPT_TIME:
        return set_u64(cli, o, name, arg, kymo_parse_time_ns,
                       "a time such as 200ms, 30s or 5m");
    case KYMO_OPT_SHARE:
        if (parse_share(arg, o->to))
            return KYMO_CLI_GO_ON;
        return kymo_cli_usage(cli->tool, "%s wants a share such as 5%% or 0.05, not \"%s\"",
                              name, arg);
    case KYMO_OPT_CHOICE:
        if (!is_choice(o->arg, arg))
            return kymo_cli_usage(cli->tool, "%s is one of %s, not \"%s\"", name, o->arg, arg);
        *(const char **)o->to = arg;
        return KYMO_CLI_GO_ON;
    case KYMO_OPT_GROUP:
        break;
    }
    assert(!"a heading has no value");
    return KYMO_EXIT_USAGE;
}

/* -- parsing ------------------------------------------------------------------------------ */

/* The table in getopt_long's words. */
struct words {
    char shorts[3 + 2 * OPT_ROWS_MAX];
    struct option longs[OPT_ROWS_MAX + 3];
};

static void make_words(const struct kymo_cli *cli, struct words *w)
{
    assert(cli->n_opt <= OPT_ROWS_MAX);
    memset(w, 0, sizeof(*w));
    size_t s = 0;
    size_t l = 0;
    w->shorts[s++] = ':'; /* tell a missing argument from an unknown option */
    w->shorts[s++] = 'h';
    for (size_t i = 0; i < cli->n_opt; i++) {
        const struct kymo_opt *o = &cli->opt[i];
        const bool takes = o->kind != KYMO_OPT_FLAG;
        if (o->kind == KYMO_OPT_GROUP)
            continue;
        if (o->short_name) {
            assert(!strchr(w->shorts, o->short_name));
            w->shorts[s++] = o->short_name;
            if (takes)
                w->shorts[s++] = ':';
        }
        if (o->long_name)
            w->longs[l++] =
                (struct option){o->long_name, takes ? required_argument : no_argument, NULL,
                                LONG_BASE + (int)i};
    }
    w->longs[l++] = (struct option){"help", optional_argument, NULL, LONG_HELP};
    w->longs[l++] = (struct option){"version", no_argument, NULL, LONG_VERSION};
}

static const struct kymo_opt *row_of(const struct kymo_cli *cli, int c)
{
    if (c >= LONG_HELP)
        return &kymo_cli_own[c - LONG_HELP];
    if (c >= LONG_BASE)
        return &cli->opt[c - LONG_BASE];
    for (size_t i = 0; i < cli->n_opt; i++)
        if (cli->opt[i].kind != KYMO_OPT_GROUP && cli->opt[i].short_name == (char)c)
            return &cli->opt[i];
    return NULL;
}

static int refuse_long(const struct kymo_cli *cli, const char *word)
{
    char typed[WORD_BYTES_MAX];
    (void)snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *name[OPT_ROWS_MAX + KYMO_CLI_OWN_ROWS];
    size_t n = 0;
    size_t starts = 0;
    for (size_t i = 0; i < cli->n_opt; i++) {
        const struct kymo_opt *o = &cli->opt[i];
        if (o->kind == KYMO_OPT_GROUP || !o->long_name)
            continue;
        name[n++] = o->long_name;
        starts += strncmp(o->long_name, typed, strlen(typed)) == 0;
    }
    for (size_t i = 0; i < KYMO_CLI_OWN_ROWS; i++)
        name[n++] = kymo_cli_own[i].long_name;
    if (starts > 1)
        return kymo_cli_usage(cli->tool, "option --%s could mean several", typed);
    const char *near = kymo_cli_nearest(typed, name, n);
    if (near)
        return kymo_cli_usage(cli->tool, "unknown option --%s, did you mean --%s?", typed,
                              near);
    return kymo_cli_usage(cli->tool, "unknown option --%s", typed);
}

/* c is getopt_long's '?' or ':'; word is the argument it stopped at. */
static int refuse_option(const struct kymo_cli *cli, int c, const char *word)
{
    char name[WORD_BYTES_MAX];
    if (c == ':' && optopt) {
        const struct kymo_opt *o = row_of(cli, optopt);
        (void)snprintf(name, sizeof(name), "-%c", optopt);
        return kymo_cli_usage(cli->tool, "option %s wants %s",
                              o && optopt >= LONG_BASE ? option_name(o, name, sizeof(name))
                                                       : name,
                              o && o->arg ? o->arg : "a value");
    }
    if (optopt >= LONG_BASE)
        return kymo_cli_usage(cli->tool, "option %s takes no value",
                              option_name(row_of(cli, optopt), name, sizeof(name)));
    if (optopt)
        return kymo_cli_usage(cli->tool, "unknown option -%c", optopt);
    return refuse_long(cli, word);
}

static int show(const struct kymo_cli *cli, int c, const char *form)
{
    if (c == LONG_VERSION)
        printf("%s %s\n", cli->tool, KYMO_VERSION);
    else if (!form)
        kymo_cli_print_help(cli, stdout);
    else if (strcmp(form, "mdoc") == 0)
        kymo_cli_print_mdoc(cli, stdout);
    else if (strcmp(form, "words") == 0)
        kymo_cli_print_words(cli, stdout);
    else
        return kymo_cli_usage(
            cli->tool,
            "--help is for people, --help=mdoc and --help=words for programs; not \"%s\"",
            form);
    return kymo_cli_finish(cli->tool, NULL, KYMO_OK, NULL, KYMO_EXIT_OK);
}

static void restart_getopt(void)
{
    opterr = 0;
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
    optind = 1;
    optreset = 1;
#else
    optind = 0;
#endif
}

int kymo_cli_parse(const struct kymo_cli *cli, int argc, char **argv, int *first_positional)
{
    struct words w;
    make_words(cli, &w);
    restart_getopt();
    for (;;) {
        const int c = getopt_long(argc, argv, w.shorts, w.longs, NULL);
        if (c == -1)
            break;
        if (c == '?' || c == ':')
            return refuse_option(cli, c, argv[optind - 1]);
        if (c == 'h' || c == LONG_HELP || c == LONG_VERSION)
            return show(cli, c, c == LONG_HELP ? optarg : NULL);
        const int usage = set_value(cli, row_of(cli, c), optarg);
        if (usage != KYMO_CLI_GO_ON)
            return usage;
    }
    const size_t n = (size_t)(argc - optind);
    if (n > cli->positional_max)
        return kymo_cli_usage(cli->tool, "unexpected argument \"%s\"",
                              argv[optind + (int)cli->positional_max]);
    *first_positional = optind;
    return KYMO_CLI_GO_ON;
}

int kymo_cli_inputs(const char *tool, int argc, char **argv, int first,
                    struct kymo_opt_list *list)
{
    for (int i = first; i < argc; i++) {
        if (list->n == KYMO_OPT_LIST_MAX)
            return kymo_cli_usage(tool, "more than %d inputs", KYMO_OPT_LIST_MAX);
        list->v[list->n++] = argv[i];
    }
    return KYMO_CLI_GO_ON;
}

/* -- the end ------------------------------------------------------------------------------ */

int kymo_cli_exit(kymo_status s)
{
    switch (s) {
    case KYMO_OK:
        return KYMO_EXIT_OK;
    case KYMO_EUSAGE:
        return KYMO_EXIT_USAGE;
    case KYMO_EINPUT:
    case KYMO_ECORRUPT:
    case KYMO_ETORN:
    case KYMO_ELIMIT:
        return KYMO_EXIT_INPUT;
    case KYMO_EHOST:
        return KYMO_EXIT_HOST;
    case KYMO_EOUTPUT:
        return KYMO_EXIT_OUTPUT;
    case KYMO_EPIPE:
        return KYMO_EXIT_PIPE;
    case KYMO_ESTOPPED:
        return 128 + SIGINT;
    }
    return KYMO_EXIT_INPUT;
}

static void say_failure(const char *tool, const char *path, kymo_status s,
                        const struct kymo_err *err)
{
    const char *text = err && err->text[0] ? err->text : kymo_status_name(s);
    /* Who opened the file has often named it already. */
    const bool named = !path || strstr(text, path);
    char where[48] = "";
    if (err && err->text[0] && err->at_bytes != KYMO_NOWHERE && s != KYMO_EUSAGE)
        (void)snprintf(where, sizeof(where), " (at byte %" PRIu64 ")", err->at_bytes);
    kymo_cli_say(tool, "%s%s%s%s", named ? "" : path, named ? "" : ": ", text, where);
}

int kymo_cli_finish(const char *tool, const char *path, kymo_status s,
                    const struct kymo_err *err, int finding)
{
    errno = 0;
    const bool stdout_failed = fflush(stdout) != 0 || ferror(stdout);
    const int why = errno;
    if (s == KYMO_EPIPE || (stdout_failed && why == EPIPE))
        return KYMO_EXIT_PIPE;
    if (s) {
        say_failure(tool, path, s, err);
        return kymo_cli_exit(s);
    }
    if (stdout_failed) {
        kymo_cli_say(tool, "cannot write standard output%s%s", why ? ": " : "",
                     why ? strerror(why) : "");
        return KYMO_EXIT_OUTPUT;
    }
    return finding;
}
