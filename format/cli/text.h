/* SPDX-License-Identifier: Apache-2.0
 * text.h: the three faces of an option table that are printed: help, mdoc and words.
 */
#ifndef KYMO_CLI_TEXT_H
#define KYMO_CLI_TEXT_H

#include "format/cli/cli.h"

/* --help: for people, its first line "TOOL - summary" is read by the front. */
void kymo_cli_print_help(const struct kymo_cli *cli, FILE *f);
/* --help=mdoc: the SYNOPSIS and OPTIONS sections of the man page. */
void kymo_cli_print_mdoc(const struct kymo_cli *cli, FILE *f);
/* --help=words: a line an option, "--name TAB metavar-or-choices TAB help", for completion. */
void kymo_cli_print_words(const struct kymo_cli *cli, FILE *f);

/* The rows that the parser adds to every table. */
#define KYMO_CLI_OWN_ROWS 2
extern const struct kymo_opt kymo_cli_own[KYMO_CLI_OWN_ROWS];

#endif
