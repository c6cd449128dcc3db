/* SPDX-License-Identifier: Apache-2.0
 * strace.h: the text of one call, "name(args) = result", taken apart.
 */
#ifndef KYMO_IMPORT_STRACE_H
#define KYMO_IMPORT_STRACE_H

#include "format/import/import.h"

#define KYMO_STRACE_ARGS_MAX 16u

/* Views into the line. */
struct kymo_strace_call {
    struct kymo_text name;
    struct kymo_text arg[KYMO_STRACE_ARGS_MAX];
    uint32_t n_args;
    struct kymo_text result; /* what follows the '=' */
};

/* Where a text stands in quotes, brackets and comments. */
/* The end of the argument that begins at s: the comma, the bracket or the zero behind it; NULL: a
 * quote or a bracket is open at the end. */
const char *kymo_strace_arg_end(const char *s);
/*
 * Take "name(args) = result" apart; why is set where it is none.
 * returns false: malformed
 */
bool kymo_strace_split(const char *text, struct kymo_strace_call *c, const char **why);
/* A number as strace writes it: decimal, hex, octal, an fd with its annotation, AT_FDCWD, NULL. */
bool kymo_strace_number(struct kymo_text arg, uint64_t *v);
/* The bytes of a quoted string, appended; false where it is no string or was cut. cut: out, "..." */
bool kymo_strace_string(struct kymo_text arg, struct kymo_buf *out, bool *cut);
/* A socket address as the recorder writes it; false where there is none. */
bool kymo_strace_addr(struct kymo_text arg, struct kymo_buf *out);

#endif
