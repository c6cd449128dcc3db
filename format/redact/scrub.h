/* SPDX-License-Identifier: Apache-2.0
 * scrub.h: secrets in command lines, paths and other texts become keyed pseudonyms, and all
 * around them stays as it is.
 *
 * What is a secret is told by what stands around it, or by its own shape:
 *
 *   option      --password X, --token=X: an option whose name says so
 *   assignment  DB_PASSWORD=X, "token": "X": a name that says so, and its value
 *   header      Authorization: Bearer X, Cookie: X, X-Api-Key: X
 *   url         scheme://user:X@host
 *   query       ?access_token=X, &sig=X
 *   token       AKIA..., ghp_..., eyJ...: shapes that are keys and nothing else
 *   program     mysql -pX, curl -u user:X: what a known program takes there
 *   sql         literals of statements
 *
 * The same secret has the same pseudonym under one key (format/anonymize/mask.h), whichever rule
 * found it, and is not hidden once more under that key. Where it is not clear
 * how far a secret goes, too much is hidden and not too little. Any bytes may come in.
 */
#ifndef KYMO_REDACT_SCRUB_H
#define KYMO_REDACT_SCRUB_H

#include "format/base/bytes.h"
#include "format/base/siphash.h"

/* What the rules below say, in a capture; another set of rules has another number. */
#define KYMO_SCRUB_POLICY "default/1"

enum kymo_scrub_rule {
    KYMO_SCRUB_OPTION,
    KYMO_SCRUB_ASSIGNMENT,
    KYMO_SCRUB_HEADER,
    KYMO_SCRUB_URL,
    KYMO_SCRUB_QUERY,
    KYMO_SCRUB_TOKEN,
    KYMO_SCRUB_PROGRAM,
    KYMO_SCRUB_SQL,
    KYMO_SCRUB_RULES
};

struct kymo_scrub; /* owned: _open, _close */

KYMO_MUST_USE kymo_status kymo_scrub_open(struct kymo_scrub **out,
                                          const uint8_t key[KYMO_SIPHASH_KEY_BYTES],
                                          struct kymo_err *err);
void kymo_scrub_close(struct kymo_scrub *x);

/* What may be told of the key, and how often each rule found something. */
uint64_t kymo_scrub_key_id(const struct kymo_scrub *x);
uint64_t kymo_scrub_hits(const struct kymo_scrub *x, enum kymo_scrub_rule rule);
const char *kymo_scrub_rule_name(enum kymo_scrub_rule rule);

struct kymo_scrubbed {
    const char *s; /* what came in, or memory of the scrub: valid until its next call */
    size_t n;
};

/* The arguments of a program, each ended by a NUL, as the kernel keeps them. is_cut: the last one
 * is not whole, so that a secret may end where the text does. */
struct kymo_scrubbed kymo_scrub_argv(struct kymo_scrub *x, const char *s, size_t n, int is_cut);
/* Text of no kind: a mark's name, a message. */
struct kymo_scrubbed kymo_scrub_text(struct kymo_scrub *x, const char *s, size_t n, int is_cut);

/* Can this path hold a secret at all? Quick: it has to have = or :, or a name as long as a token. */
int kymo_scrub_suspects(const char *s, size_t n);
/* A path: of a file or of a local socket. */
struct kymo_scrubbed kymo_scrub_path(struct kymo_scrub *x, const char *s, size_t n, int is_cut);

#endif
