/* SPDX-License-Identifier: Apache-2.0 */
#include "format/cli/text.h"

#include <ctype.h>
#include <string.h>

#define HELP_COLUMN 26
#define HELP_WIDTH 96

const struct kymo_opt kymo_cli_own[KYMO_CLI_OWN_ROWS] = {
    {.kind = KYMO_OPT_FLAG,
     .short_name = 'h',
     .long_name = "help",
     .help = "print this help and leave"},
    {.kind = KYMO_OPT_FLAG, .long_name = "version", .help = "print the version and leave"},
};

/* Row i of the table, followed by the parser's own rows. */
static const struct kymo_opt *row(const struct kymo_cli *cli, size_t i)
{
    return i < cli->n_opt ? &cli->opt[i] : &kymo_cli_own[i - cli->n_opt];
}

static size_t row_count(const struct kymo_cli *cli)
{
    return cli->n_opt + KYMO_CLI_OWN_ROWS;
}

static const char *metavar(const struct kymo_opt *o)
{
    if (o->kind == KYMO_OPT_FLAG || o->kind == KYMO_OPT_GROUP)
        return NULL;
    return o->arg ? o->arg : "VALUE";
}

/* text, broken at spaces, its lines after the first starting in column indent */
static void put_wrapped(FILE *f, const char *text, int indent)
{
    int at = indent;
    while (*text) {
        const size_t word = strcspn(text, " ");
        if (at > indent && at + 1 + (int)word > HELP_WIDTH) {
            fprintf(f, "\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', f);
            at++;
        }
        fwrite(text, 1, word, f);
        at += (int)word;
        text += word;
        while (*text == ' ')
            text++;
    }
    fputc('\n', f);
}

static void help_row(const struct kymo_opt *o, FILE *f)
{
    char left[256];
    int n = 0;
    if (o->short_name && o->long_name)
        n = snprintf(left, sizeof(left), "  -%c, --%s", o->short_name, o->long_name);
    else if (o->long_name)
        n = snprintf(left, sizeof(left), "      --%s", o->long_name);
    else
        n = snprintf(left, sizeof(left), "  -%c", o->short_name);
    if (metavar(o) && n > 0 && (size_t)n < sizeof(left))
        n += snprintf(left + n, sizeof(left) - (size_t)n, " %s", metavar(o));
    fputs(left, f);
    if (n + 2 > HELP_COLUMN)
        fprintf(f, "\n%*s", HELP_COLUMN, "");
    else
        fprintf(f, "%*s", HELP_COLUMN - n, "");
    put_wrapped(f, o->help, HELP_COLUMN);
}

void kymo_cli_print_help(const struct kymo_cli *cli, FILE *f)
{
    fprintf(f, "%s - %s\n\nusage: %s [OPTION...]%s%s\n", cli->tool, cli->summary, cli->tool,
            cli->positional ? " " : "", cli->positional ? cli->positional : "");
    if (row(cli, 0)->kind != KYMO_OPT_GROUP)
        fputs("\nOptions:\n", f);
    for (size_t i = 0; i < row_count(cli); i++) {
        if (row(cli, i)->kind == KYMO_OPT_GROUP)
            fprintf(f, "\n%s:\n", row(cli, i)->help);
        else
            help_row(row(cli, i), f);
    }
    if (cli->examples)
        fprintf(f, "\nExamples:\n%s%s", cli->examples,
                cli->examples[0] && cli->examples[strlen(cli->examples) - 1] == '\n' ? ""
                                                                                     : "\n");
}

/* -- mdoc --------------------------------------------------------------------------------- */

/* An argument on a macro line: quoted, and "\&" first so that none is taken for a macro's name. */
static void mdoc_arg(FILE *f, const char *s, size_t n)
{
    fputs(" \"\\&", f);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\')
            fputs("\\e", f);
        else if (s[i] == '"')
            fputs("\\(dq", f);
        else
            fputc(s[i], f);
    }
    fputc('"', f);
}

static void mdoc_text(FILE *f, const char *s)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", f);
    fputc(toupper((unsigned char)*s), f);
    for (s += *s != '\0'; *s; s++) {
        if (*s == '\\')
            fputs("\\e", f);
        else if (*s == '-')
            fputs("\\-", f);
        else
            fputc(*s, f);
    }
    fputs(".\n", f);
}

static void mdoc_flag(FILE *f, const struct kymo_opt *o, int long_form)
{
    if (long_form)
        fprintf(f, " Fl -%s", o->long_name);
    else
        fprintf(f, " Fl %c", o->short_name);
}

/* One word of the positionals, n bytes: "--", "CMD" or "FILE...". */
static void mdoc_word(FILE *f, const char *w, size_t n)
{
    const bool dots = n > 3 && memcmp(w + n - 3, "...", 3) == 0;
    if (n == 2 && memcmp(w, "--", 2) == 0) {
        fputs("Fl -", f);
        return;
    }
    fputs("Ar", f);
    mdoc_arg(f, w, n - (dots ? 3 : 0));
    if (dots)
        fputs(" ...", f);
}

/* "FILE" is a line of its own, and so is a bracket with all that it holds: "[-- CMD [ARG...]]"
 * becomes ".Op Fl - Ar CMD Op Ar ARG ...". */
static void mdoc_positional(FILE *f, const char *p)
{
    int depth = 0;
    bool on_line = false;
    while (*p) {
        const size_t n = strcspn(p, " []");
        if (*p == '[' || n) {
            fputc(on_line ? ' ' : '.', f);
            on_line = true;
        }
        if (*p == '[') {
            fputs("Op", f);
            depth++;
        } else if (*p == ']') {
            depth -= depth > 0;
        } else if (n) {
            mdoc_word(f, p, n);
        }
        p += n ? n : 1;
        if (on_line && depth == 0) {
            fputc('\n', f);
            on_line = false;
        }
    }
    if (on_line)
        fputc('\n', f);
}

void kymo_cli_print_mdoc(const struct kymo_cli *cli, FILE *f)
{
    fputs(".Sh SYNOPSIS\n.Nm\n", f);
    for (size_t i = 0; i < row_count(cli); i++) {
        const struct kymo_opt *o = row(cli, i);
        if (o->kind == KYMO_OPT_GROUP)
            continue;
        fputs(".Op", f);
        mdoc_flag(f, o, !o->short_name);
        if (metavar(o)) {
            fputs(" Ar", f);
            mdoc_arg(f, metavar(o), strlen(metavar(o)));
        }
        fputc('\n', f);
    }
    if (cli->positional)
        mdoc_positional(f, cli->positional);
    fputs(".Sh OPTIONS\n", f);
    int open_list = 0;
    for (size_t i = 0; i < row_count(cli); i++) {
        const struct kymo_opt *o = row(cli, i);
        if (o->kind == KYMO_OPT_GROUP) {
            fprintf(f, "%s.Ss %s\n", open_list ? ".El\n" : "", o->help);
            open_list = 0;
            continue;
        }
        if (!open_list)
            fputs(".Bl -tag -width Ds\n", f);
        open_list = 1;
        fputs(".It", f);
        if (o->short_name)
            mdoc_flag(f, o, 0);
        if (o->short_name && o->long_name)
            fputs(" ,", f);
        if (o->long_name)
            mdoc_flag(f, o, 1);
        if (metavar(o)) {
            fputs(" Ar", f);
            mdoc_arg(f, metavar(o), strlen(metavar(o)));
        }
        fputc('\n', f);
        mdoc_text(f, o->help);
    }
    fputs(".El\n", f);
}

void kymo_cli_print_words(const struct kymo_cli *cli, FILE *f)
{
    for (size_t i = 0; i < row_count(cli); i++) {
        const struct kymo_opt *o = row(cli, i);
        if (o->kind == KYMO_OPT_GROUP)
            continue;
        const char *arg = metavar(o) ? metavar(o) : "";
        if (o->long_name)
            fprintf(f, "--%s\t%s\t%s\n", o->long_name, arg, o->help);
        else
            fprintf(f, "-%c\t%s\t%s\n", o->short_name, arg, o->help);
    }
}
