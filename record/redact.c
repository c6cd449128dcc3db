/* SPDX-License-Identifier: Apache-2.0 */
#include "record/redact.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "format/anonymize/keyfile.h"

#define ROOTS_KEY "/var/lib/kymo/key"

struct redact {
    struct kymo_scrub *scrub;
    uint64_t told[REDACT_RULES]; /* hits that have a row */
    char warning[KYMO_ERR_BYTES_MAX + 160];
};

/* ---- the key -------------------------------------------------------------------------------- */

static bool default_path(char path[KYMO_KEYFILE_PATH_MAX])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = -1;

    if (!geteuid())
        n = snprintf(path, KYMO_KEYFILE_PATH_MAX, "%s", ROOTS_KEY);
    else if (state && state[0] == '/')
        n = snprintf(path, KYMO_KEYFILE_PATH_MAX, "%s/kymo/key", state);
    else if (home && home[0] == '/')
        n = snprintf(path, KYMO_KEYFILE_PATH_MAX, "%s/.local/state/kymo/key", home);
    return n > 0 && (size_t)n < KYMO_KEYFILE_PATH_MAX;
}

static kymo_status key_of_this_capture(struct redact *r, uint8_t key[KYMO_SIPHASH_KEY_BYTES],
                                       const char *why, struct kymo_err *err)
{
    if (getrandom(key, KYMO_SIPHASH_KEY_BYTES, 0) != KYMO_SIPHASH_KEY_BYTES)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "no random bytes for a key");
    snprintf(
        r->warning, sizeof(r->warning),
        "secrets are hidden under a key of this capture alone, as no key can be kept (%s); "
        "see --key",
        why);
    return KYMO_OK;
}

static kymo_status take_key(struct redact *r, const char *key_path,
                            uint8_t key[KYMO_SIPHASH_KEY_BYTES], struct kymo_err *err)
{
    char path[KYMO_KEYFILE_PATH_MAX];
    struct kymo_err why = {0};
    int is_new, is_shared;

    if (!key_path && !default_path(path))
        return key_of_this_capture(r, key, "HOME is not set", err);
    const char *from = key_path ? key_path : path;
    const kymo_status s = kymo_keyfile_read(from, key, &is_new, &is_shared, &why);
    if (s && key_path) {
        if (err)
            *err = why;
        return s;
    }
    if (s)
        return key_of_this_capture(r, key, why.text, err);
    if (is_shared)
        snprintf(r->warning, sizeof(r->warning),
                 "others than its owner may read the key %.200s", from);
    return KYMO_OK;
}

kymo_status redact_open(struct redact **out, const char *key_path, struct kymo_err *err)
{
    uint8_t key[KYMO_SIPHASH_KEY_BYTES];
    struct redact *r = calloc(1, sizeof(*r));

    if (!r)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    kymo_status s = take_key(r, key_path, key, err);
    if (!s)
        s = kymo_scrub_open(&r->scrub, key, err);
    explicit_bzero(key, sizeof(key));
    if (s) {
        redact_close(r);
        return s;
    }
    *out = r;
    return KYMO_OK;
}

void redact_close(struct redact *r)
{
    if (!r)
        return;
    kymo_scrub_close(r->scrub);
    free(r);
}

/* ---- what is told of it --------------------------------------------------------------------- */

const char *redact_warning(const struct redact *r)
{
    if (!r)
        return "WARNING: --redact none: passwords, keys and tokens in arguments and paths are "
               "written as they are";
    return r->warning[0] ? r->warning : NULL;
}

void redact_facts(const struct redact *r, redact_fact take, void *ctx)
{
    char id[32];

    take(ctx, "redact_policy", r ? KYMO_SCRUB_POLICY : "none");
    if (!r)
        return;
    snprintf(id, sizeof(id), "%016" PRIx64, kymo_scrub_key_id(r->scrub));
    take(ctx, "redact_key_id", id);
}

void redact_row(struct redact *r, unsigned rule, struct kymo_rows *rows, uint64_t ts_ns)
{
    const char *name = kymo_scrub_rule_name((enum kymo_scrub_rule)rule);
    const uint64_t hits = kymo_scrub_hits(r->scrub, (enum kymo_scrub_rule)rule);
    const uint32_t i = kymo_rows_add(rows);

    kymo_rows_set(rows, KYMO_REDACT_TS, i, ts_ns);
    kymo_rows_set_str(rows, KYMO_REDACT_RULE, i, name, strlen(name));
    kymo_rows_set(rows, KYMO_REDACT_HITS, i, hits - r->told[rule]);
    r->told[rule] = hits;
}

/* ---- texts ---------------------------------------------------------------------------------- */

struct kymo_scrubbed redact_path(struct redact *r, const char *s, size_t n, size_t n_max)
{
    return r ? kymo_scrub_path(r->scrub, s, n, n >= n_max) : (struct kymo_scrubbed){s, n};
}

/* Only a local socket has a name that somebody chose; the colon of its family is no sign. */
struct kymo_scrubbed redact_addr(struct redact *r, const char *s, size_t n)
{
    static const char local[] = "unix:";
    const size_t head = sizeof(local) - 1;

    if (!r || n <= head || memcmp(s, local, head) != 0 ||
        !kymo_scrub_suspects(s + head, n - head))
        return (struct kymo_scrubbed){s, n};
    return kymo_scrub_text(r->scrub, s, n, 0);
}

struct kymo_scrubbed redact_argv(struct redact *r, const char *s, size_t n, bool is_cut)
{
    return r ? kymo_scrub_argv(r->scrub, s, n, is_cut) : (struct kymo_scrubbed){s, n};
}

struct kymo_scrubbed redact_text(struct redact *r, const char *s, size_t n)
{
    return r ? kymo_scrub_text(r->scrub, s, n, 0) : (struct kymo_scrubbed){s, n};
}
