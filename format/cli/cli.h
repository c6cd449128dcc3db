/* SPDX-License-Identifier: Apache-2.0
 * cli.h: one option table a tool. The table is parsed, printed as --help, printed as the
 * SYNOPSIS and OPTIONS of the man page (--help=mdoc) and as completion words (--help=words).
 */
#ifndef KYMO_CLI_H
#define KYMO_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "format/base/err.h"

/* The exit statuses of every tool; one table, never reused for another meaning. */
enum kymo_exit {
    KYMO_EXIT_OK = 0,
    KYMO_EXIT_FINDING = 1,
    KYMO_EXIT_USAGE = 2,
    KYMO_EXIT_INPUT = 3,
    KYMO_EXIT_HOST = 4,
    KYMO_EXIT_LOSS = 5,
    KYMO_EXIT_OUTPUT = 6,
    KYMO_EXIT_INCONCLUSIVE = 7,
    KYMO_EXIT_GUARD = 8,
    KYMO_EXIT_CLEANUP = 9,
    KYMO_EXIT_PIPE = 141,
};

enum kymo_opt_kind {
    KYMO_OPT_FLAG,  /* bool *: set true */
    KYMO_OPT_STR,   /* const char **: the argument */
    KYMO_OPT_LIST,  /* struct kymo_opt_list *: may be given again */
    KYMO_OPT_U64,   /* uint64_t *: whole number in min..max */
    KYMO_OPT_F64,   /* double *: finite number in min..max */
    KYMO_OPT_BYTES, /* uint64_t *: size with unit, 1K = 1024, bare = bytes; min..max in bytes */
    KYMO_OPT_TIME, /* uint64_t *: duration with unit ns us ms s m h d, bare = s; ns; min..max in ns */
    KYMO_OPT_SHARE,  /* double *: "5%" or "0.05", 0..1 */
    KYMO_OPT_CHOICE, /* const char **: one of the words of `arg` ("a|b|c") */
    KYMO_OPT_GROUP,  /* a heading in --help; only `help` counts */
};

#define KYMO_OPT_LIST_MAX 256
struct kymo_opt_list {
    const char *v[KYMO_OPT_LIST_MAX];
    size_t n;
};

struct kymo_opt {
    enum kymo_opt_kind kind;
    char short_name;       /* 0: none */
    const char *long_name; /* NULL: none */
    const char *arg;       /* metavar, or the choices */
    const char *help;      /* one sentence, no full stop; defaults in parentheses */
    void *to;              /* where the value goes; its default is what lies there before */
    double min, max;       /* ranges for numbers; both 0: none */
};

struct kymo_cli {
    const char *tool;       /* "kymo-kmeans" */
    const char *summary;    /* "find the states of a host by k-means" */
    const char *positional; /* "[FILE...]", "FILE", "[-- CMD ARG...]", NULL: none */
    size_t positional_max;  /* more is a usage error; SIZE_MAX: any number */
    const char *examples;   /* printed at the end of --help, may be NULL */
    const struct kymo_opt
        *opt; /* n_opt rows; -h/--help and --version are added by the parser */
    size_t n_opt;
};

#define KYMO_CLI_GO_ON (-1)

/*
 * Parse argv against the table. Options may follow positionals; everything after "--" is positional.
 *
 * first_positional  out: index in argv (permuted) of the first positional; argc when none
 * returns           KYMO_CLI_GO_ON, or the exit status to leave with: --help and --version print
 *                   to stdout (0), a mistake prints one line to stderr (KYMO_EXIT_USAGE)
 */
int kymo_cli_parse(const struct kymo_cli *cli, int argc, char **argv, int *first_positional);

/* Add the positionals from argv[first] on to a list that an option may have begun (-r is a synonym
 * of a bare input). Returns KYMO_CLI_GO_ON, or KYMO_EXIT_USAGE when they are too many. */
int kymo_cli_inputs(const char *tool, int argc, char **argv, int first,
                    struct kymo_opt_list *list);

/* "kymo-kmeans: " + printf on stderr, one line: warnings and progress of mains. */
void kymo_cli_say(const char *tool, const char *fmt, ...) KYMO_PRINTF(2, 3);

/* One usage mistake found after parsing: says it, points at --help, returns KYMO_EXIT_USAGE. */
int kymo_cli_usage(const char *tool, const char *fmt, ...) KYMO_PRINTF(2, 3);

/* The exit status that a kymo_status stands for. */
int kymo_cli_exit(kymo_status s);

/*
 * The end of every main: flushes stdout and checks it, prints the one message.
 * s = KYMO_OK and a good stdout return `finding` (0, or 1 and friends).
 */
int kymo_cli_finish(const char *tool, const char *path, kymo_status s,
                    const struct kymo_err *err, int finding);

/* The word of list[n] that a slip of the fingers turns into word, NULL when none is near. */
const char *kymo_cli_nearest(const char *word, const char *const *list, size_t n);

/* Text parsers, for values inside other values. false: not such a value. */
bool kymo_parse_time_ns(const char *s, uint64_t *ns);
bool kymo_parse_bytes(const char *s, uint64_t *bytes);
bool kymo_parse_f64(const char *s, double *v);
bool kymo_parse_u64(const char *s, uint64_t *v);

/* "1.2 MiB", "3.4 s", "12,345": for people; into buf, returned. */
const char *kymo_human_bytes(char *buf, size_t n, uint64_t bytes);
const char *kymo_human_ns(char *buf, size_t n, uint64_t ns);
const char *kymo_human_count(char *buf, size_t n, uint64_t count);

/* s[n] to a stream so that a terminal obeys nothing in it: control and non-UTF-8 bytes as \xHH,
 * bidi controls as \u{HHHH}, backslash doubled. */
void kymo_print_safe(FILE *f, const char *s, size_t n);

#endif
