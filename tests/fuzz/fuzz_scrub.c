/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as arguments, as text and as a path: the output is bounded. A secret put among those
 * arguments in one of the ways people give them is never in it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/redact/scrub.h"

#define CANARY "c4naryT9zQ0w"
#define GROWS_MAX 19u
#define SIZE_MAX_HERE 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct kymo_scrubbed scrub_fn(struct kymo_scrub *x, const char *s, size_t n,
                                      int is_cut);

static const char *const ways[] = {
    "--password=" CANARY,
    "PGPASSWORD=" CANARY,
    "postgres://u:" CANARY "@h/db",
    "https://h/p?a=b&access_token=" CANARY "&c=d",
    "Authorization: Bearer " CANARY,
    "{\"token\":\"" CANARY "\"}",
    "SELECT a FROM t WHERE b = '" CANARY "'",
    "ghp_0123456789abcdefghij" CANARY,
};

/* Hiding it again may hide more of what was odd from the start, and never grows for ever. */
static void stays_bounded(struct kymo_scrub *x, scrub_fn *scrub, const char *s, size_t n,
                          int is_cut)
{
    const struct kymo_scrubbed once = scrub(x, s, n, is_cut);
    if (once.n > 64 + GROWS_MAX * n)
        abort();
    char *copy = malloc(once.n + 1); /* its own block, so that a byte too far is seen */
    if (!copy)
        return;
    if (once.n)
        memcpy(copy, once.s, once.n);
    const size_t copy_n = once.n;
    if (scrub(x, copy, copy_n, is_cut).n > 64 + 2 * GROWS_MAX * n)
        abort();
    free(copy);
}

/* data's own arguments, then the secret, then the others. */
static void with_secret(struct kymo_scrub *x, const uint8_t *data, size_t size, size_t at,
                        const char *way)
{
    const size_t n = strlen(way);
    char *s = malloc(size + n + 2);
    if (!s)
        return;
    if (memmem(data, size, "c4nary", 6)) {
        free(s);
        return;
    }
    memcpy(s, data, at);
    s[at] = 0;
    memcpy(s + at + 1, way, n + 1);
    memcpy(s + at + 1 + n + 1, data + at, size - at);
    const struct kymo_scrubbed r = kymo_scrub_argv(x, s, size + n + 2, 0);
    if (memmem(r.s, r.n, CANARY, sizeof(CANARY) - 1))
        abort();
    free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[KYMO_SIPHASH_KEY_BYTES] = {7};
    struct kymo_scrub *x;
    if (size < 4 || size > SIZE_MAX_HERE || kymo_scrub_open(&x, key, NULL))
        return 0;
    const char *s = (const char *)data + 3;
    const size_t n = size - 3, at = (size_t)(data[0] | data[1] << 8) % (n + 1);
    stays_bounded(x, kymo_scrub_argv, s, n, data[2] & 1);
    stays_bounded(x, kymo_scrub_text, s, n, data[2] & 1);
    stays_bounded(x, kymo_scrub_path, s, n, data[2] & 1);
    with_secret(x, data + 3, n, at, ways[data[2] / 2 % KYMO_COUNT_OF(ways)]);
    kymo_scrub_close(x);
    return 0;
}
