/* SPDX-License-Identifier: Apache-2.0
 * Keys by (arch, number), and numbers for names that no table has.
 */
#include <stdlib.h>
#include <string.h>

#include "format/import/sink.h"
#include "format/trace/sysname.h"

#define SLOTS (2 * KYMO_IMPORT_KEYS_MAX)
#define NAME_BYTES_MAX 64u

struct slot {
    uint32_t arch, nr, chunk;
    uint16_t key;
    uint8_t used;
};

struct kymo_keys {
    struct slot slot[SLOTS];
    uint32_t n, chunk;
    char (*name)[NAME_BYTES_MAX]; /* [n_names] of KYMO_IMPORT_ARCH_NAMED */
    uint32_t n_names, cap_names;
    uint32_t by_name[SLOTS]; /* number + 1; 0 free */
};

kymo_status kymo_keys_open(struct kymo_keys **out, struct kymo_err *err)
{
    struct kymo_keys *k = calloc(1, sizeof(*k));
    if (!k)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    k->chunk = 1;
    *out = k;
    return KYMO_OK;
}

void kymo_keys_close(struct kymo_keys *k)
{
    if (k)
        free(k->name);
    free(k);
}

void kymo_keys_next_chunk(struct kymo_keys *k)
{
    k->chunk++;
}

static struct slot *slot_of(struct kymo_keys *k, uint32_t arch, uint32_t nr)
{
    uint32_t i =
        (uint32_t)((((uint64_t)arch << 32 | nr) * 0x9E3779B97F4A7C15ull) >> 40) % SLOTS;
    while (k->slot[i].used && (k->slot[i].arch != arch || k->slot[i].nr != nr))
        i = (i + 1) % SLOTS;
    return &k->slot[i];
}

kymo_status kymo_keys_find(struct kymo_keys *k, uint32_t arch, uint32_t nr, uint16_t *key,
                           int *in_chunk, int *is_new, struct kymo_err *err)
{
    struct slot *s = slot_of(k, arch, nr);
    *is_new = !s->used;
    if (!s->used) {
        if (k->n == KYMO_IMPORT_KEYS_MAX)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                             "more than %u different system calls", KYMO_IMPORT_KEYS_MAX);
        k->n++;
        *s = (struct slot){.arch = arch, .nr = nr, .used = 1};
    }
    *in_chunk = s->chunk == k->chunk;
    *key = s->key;
    return KYMO_OK;
}

void kymo_keys_set(struct kymo_keys *k, uint32_t arch, uint32_t nr, uint16_t key)
{
    struct slot *s = slot_of(k, arch, nr);
    s->key = key;
    s->chunk = k->chunk;
}

static uint32_t hash_name(const char *s)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619u;
    return h ^ h >> 15;
}

/* The number of a name of our own, a fresh one when it has none. */
static kymo_status own_number(struct kymo_keys *k, const char *name, uint32_t *nr,
                              struct kymo_err *err)
{
    uint32_t i = hash_name(name) % SLOTS;
    while (k->by_name[i] && strcmp(k->name[k->by_name[i] - 1], name) != 0)
        i = (i + 1) % SLOTS;
    if (k->by_name[i]) {
        *nr = k->by_name[i] - 1;
        return KYMO_OK;
    }
    if (k->n_names == KYMO_IMPORT_KEYS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "more than %u different names that are no system calls",
                         KYMO_IMPORT_KEYS_MAX);
    if (k->n_names == k->cap_names) {
        const uint32_t cap = k->cap_names ? 2 * k->cap_names : 64;
        void *grown = realloc(k->name, cap * sizeof(*k->name));
        if (!grown)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
        k->name = grown;
        k->cap_names = cap;
    }
    memcpy(k->name[k->n_names], name, strlen(name) + 1);
    *nr = k->n_names++;
    k->by_name[i] = *nr + 1;
    return KYMO_OK;
}

kymo_status kymo_keys_by_name(struct kymo_keys *k, uint32_t arch, const char *name, size_t n,
                              uint32_t *arch_out, uint32_t *nr, struct kymo_err *err)
{
    char word[NAME_BYTES_MAX];
    if (n >= sizeof(word))
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE, "a name of %zu bytes is no call's",
                         n);
    memcpy(word, name, n);
    word[n] = '\0';
    const int known = kymo_sysnr(arch, word);
    *arch_out = known >= 0 ? arch : KYMO_IMPORT_ARCH_NAMED;
    if (known < 0)
        return own_number(k, word, nr, err);
    *nr = (uint32_t)known;
    return KYMO_OK;
}

const char *kymo_keys_name(const struct kymo_keys *k, uint32_t arch, uint32_t nr)
{
    if (arch == KYMO_IMPORT_ARCH_NAMED)
        return nr < k->n_names ? k->name[nr] : NULL;
    const struct kymo_sysinfo *info = kymo_sysinfo(arch, nr);
    return info ? info->name : NULL;
}
