/* SPDX-License-Identifier: Apache-2.0 */
#include "format/trace/names.h"

#include <stdlib.h>
#include <string.h>

#include "format/trace/sysname.h"

#define SLOTS (2 * KYMO_NAMES_MAX)
#define NAMES_BYTES_MAX ((size_t)4 << 20)

struct name {
    uint64_t arch, nr;
    const char *text; /* NULL: a free slot */
};

struct kymo_names {
    struct kymo_arena arena;
    uint32_t n;
    struct name slot[SLOTS];
};

kymo_status kymo_names_open(struct kymo_names **out, struct kymo_err *err)
{
    struct kymo_names *n = calloc(1, sizeof(*n));
    if (!n)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for names");
    kymo_arena_init(&n->arena, NAMES_BYTES_MAX);
    *out = n;
    return KYMO_OK;
}

void kymo_names_close(struct kymo_names *n)
{
    if (!n)
        return;
    kymo_arena_release(&n->arena);
    free(n);
}

static size_t find_slot(const struct kymo_names *n, uint64_t arch, uint64_t nr)
{
    size_t h = (size_t)((arch * 31 + nr) * 0x9e3779b97f4a7c15u >> 40) % SLOTS;
    while (n->slot[h].text && (n->slot[h].arch != arch || n->slot[h].nr != nr))
        h = (h + 1) % SLOTS;
    return h;
}

static kymo_status learn_row(struct kymo_names *n, uint64_t arch, uint64_t nr, const char *text,
                             uint32_t bytes, struct kymo_err *err)
{
    const size_t h = find_slot(n, arch, nr);
    if (n->slot[h].text || !bytes)
        return KYMO_OK;
    char *copy = n->n < KYMO_NAMES_MAX ? kymo_arena_str(&n->arena, text, bytes) : NULL;
    if (!copy)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "more than %u names of calls, or too long ones", KYMO_NAMES_MAX);
    n->slot[h] = (struct name){arch, nr, copy};
    n->n++;
    return KYMO_OK;
}

kymo_status kymo_names_learn(struct kymo_names *n, const struct kymo_batch *b,
                             struct kymo_err *err)
{
    if (strcmp(b->schema->table, KYMO_TABLE_SYSNAME.table) != 0)
        return KYMO_OK;
    const int arch = kymo_batch_column(b, "arch"), nr = kymo_batch_column(b, "nr");
    const int name = kymo_batch_column(b, "name");
    if (arch < 0 || nr < 0 || name < 0 ||
        kymo_batch_column_type(b, (uint32_t)name) != KYMO_T_STR)
        return KYMO_OK;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        uint32_t bytes;
        if (!kymo_batch_present(b, (uint32_t)name, i) ||
            !kymo_batch_present(b, (uint32_t)arch, i) ||
            !kymo_batch_present(b, (uint32_t)nr, i))
            continue;
        const char *text = kymo_batch_str(b, (uint32_t)name, i, &bytes);
        KYMO_TRY(learn_row(n, kymo_batch_u64(b, (uint32_t)arch, i),
                           kymo_batch_u64(b, (uint32_t)nr, i), text, bytes, err));
    }
    return KYMO_OK;
}

const char *kymo_names_call(const struct kymo_names *n, uint64_t arch, uint64_t nr)
{
    const char *text = n ? n->slot[find_slot(n, arch, nr)].text : NULL;
    if (text || arch > UINT32_MAX || nr > UINT32_MAX)
        return text;
    const struct kymo_sysinfo *info = kymo_sysinfo((uint32_t)arch, (uint32_t)nr);
    return info ? info->name : NULL;
}
