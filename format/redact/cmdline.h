/* SPDX-License-Identifier: Apache-2.0
 * cmdline.h: what known programs take where.
 */
#ifndef KYMO_REDACT_CMDLINE_H
#define KYMO_REDACT_CMDLINE_H

#include <stddef.h>

/* What the value of an option is. */
enum take {
    TAKE_NOTHING,
    TAKE_SECRET,
    TAKE_NAMED,       /* the option's own name says it is secret */
    TAKE_NAMEDPATH,   /* or the name of a file that holds it */
    TAKE_USERPASS,    /* user:X */
    TAKE_USERCOMMA,   /* user,X */
    TAKE_USERPERCENT, /* user%X */
    TAKE_LITERAL,     /* name=X */
    TAKE_PASSSOURCE,  /* pass:X, and env:NAME and file:PATH, which are no secrets */
    TAKE_SQL,
    TAKE_STRICTSQL, /* where "..." are names */
    TAKE_SCRIPT,    /* for a shell */
};

enum trait {
    IS_LAUNCHER = 1, /* an argument of it is a program with its own */
    HAS_SQL_ARGUMENTS = 2,
    HAS_SETTINGS = 4,    /* config set NAME X */
    HAS_AUTH = 8,        /* AUTH X */
    HAS_LOGIN = 16,      /* login -p X */
    IS_INTERPRETER = 32, /* its first operand is a script, and may be one of these programs */
};

struct program; /* borrowed, for ever */

/* The program of this name, without its folder; NULL when it is none we know. */
const struct program *program_of(const char *name, size_t n);
unsigned program_traits(const struct program *p);
/*
 * What the option s[n] of p takes: the whole word, as "-p" or "--user".
 * attached   out: so many bytes are the option, what is behind them in the word is the value; n when
 *            the value is the next word
 */
enum take program_takes(const struct program *p, const char *s, size_t n, size_t *attached);

#endif
