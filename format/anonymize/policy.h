/* SPDX-License-Identifier: Apache-2.0
 * policy.h: what is done to which column. What nobody thought of loses its texts.
 */
#ifndef KYMO_ANONYMIZE_POLICY_H
#define KYMO_ANONYMIZE_POLICY_H

#include "format/trace/schema.h"

enum kymo_treat {
    KYMO_TREAT_KEEP,
    KYMO_TREAT_WORD,
    KYMO_TREAT_PATH,
    KYMO_TREAT_TEXT,
    KYMO_TREAT_ADDRESS, /* with family and port */
    KYMO_TREAT_HOST,    /* without */
    KYMO_TREAT_TERM,    /* the recorder's own vocabulary is kept, all else is a word */
    KYMO_TREAT_CALL,    /* names of system calls that this program knows are kept */
    KYMO_TREAT_VERSION, /* leading digits and dots are kept, what follows is a word */
    KYMO_TREAT_TEXTS,   /* how many of the above there are */
    KYMO_TREAT_FACT = KYMO_TREAT_TEXTS, /* a value of the context table: by its key */
    KYMO_TREAT_ID,
    KYMO_TREAT_ARG,
    KYMO_TREAT_RET,
};

enum kymo_treat kymo_treat_of(const char *table, const struct kymo_column_def *column,
                              int hides_all);
/* Of a value of the context table. */
enum kymo_treat kymo_treat_of_fact(const char *key, size_t n);
int kymo_is_term(const char *s, size_t n);

#endif
