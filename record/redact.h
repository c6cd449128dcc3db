/* SPDX-License-Identifier: Apache-2.0
 * redact.h: what the recorder does about secrets: by which key they are hidden, and what the capture
 * says of it. The rules are format/redact's.
 */
#ifndef KYMO_RECORD_REDACT_H
#define KYMO_RECORD_REDACT_H

#include <stdbool.h>

#include "format/redact/scrub.h"
#include "format/trace/batch.h"

struct redact; /* owned; NULL: nothing is hidden, and that is said */

/*
 * The key of this installation: /var/lib/kymo/key for root, else $XDG_STATE_HOME/kymo/key or
 * ~/.local/state/kymo/key; made when it is first wanted. Where there is no place for one, a key of
 * this capture alone, and a warning.
 *
 * key_path  --key: this file, and no other
 * errors    of a key_path that was given: EINPUT, EOUTPUT
 */
KYMO_MUST_USE kymo_status redact_open(struct redact **out, const char *key_path,
                                      struct kymo_err *err);
void redact_close(struct redact *r); /* NULL is fine */

/* What the user has to know, NULL when there is nothing. Of a NULL redact, that nothing is hidden. */
const char *redact_warning(const struct redact *r);

/* The facts of the context table: redact_policy, redact_key_id. */
typedef void (*redact_fact)(void *ctx, const char *key, const char *value);
void redact_facts(const struct redact *r, redact_fact take, void *ctx);
/* A row for a rule: its hits since its last row. */
#define REDACT_RULES KYMO_SCRUB_RULES
void redact_row(struct redact *r, unsigned rule, struct kymo_rows *rows, uint64_t ts_ns);

/*
 * Each gives what may be written: s itself, or memory that is valid until the next call.
 *
 * path   of a file or a descriptor; n_max: what is that long was cut; quick where there is nothing
 * addr   of a socket, as text (record/addr.h)
 * argv   arguments, a NUL behind each; is_cut: they go on beyond the n bytes we have
 * text   of no kind
 */
struct kymo_scrubbed redact_path(struct redact *r, const char *s, size_t n, size_t n_max);
struct kymo_scrubbed redact_addr(struct redact *r, const char *s, size_t n);
struct kymo_scrubbed redact_argv(struct redact *r, const char *s, size_t n, bool is_cut);
struct kymo_scrubbed redact_text(struct redact *r, const char *s, size_t n);

#endif
