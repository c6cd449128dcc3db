/* SPDX-License-Identifier: Apache-2.0 */
#include "record/kept.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/trace/copy.h"

/* More cgroups than the recorder names, more facts and calls than there are. What comes beyond is written
 * where it stands, and in no later file. */
#define ROWS_MAX 8192u
#define SLOTS (1u << 16)
#define TABLES 3u

struct kept {
    struct kymo_rows *rows[TABLES];
    struct kymo_copy *copy[TABLES];
    uint64_t seen[SLOTS]; /* hashes of rows without their time; 0: free */
    uint32_t n_seen;
};

static const struct kymo_schema *const tables[TABLES] = {
    &KYMO_TABLE_CONTEXT, &KYMO_TABLE_SYSNAME, &KYMO_TABLE_CGROUP};

kymo_status kept_open(struct kept **out, struct kymo_err *err)
{
    struct kept *k = calloc(1, sizeof(*k));
    kymo_status s = KYMO_OK;

    if (!k)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    for (size_t i = 0; i < TABLES && !s; i++) {
        s = kymo_rows_open(&k->rows[i], tables[i], ROWS_MAX, err);
        if (!s)
            s = kymo_copy_open(&k->copy[i], k->rows[i], err);
    }
    if (s) {
        kept_close(k);
        return s;
    }
    *out = k;
    return KYMO_OK;
}

void kept_close(struct kept *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < TABLES; i++) {
        kymo_copy_close(k->copy[i]);
        kymo_rows_close(k->rows[i]);
    }
    free(k);
}

static uint64_t hash_row(const struct kymo_batch *b, uint32_t row, size_t table)
{
    const int ts = kymo_schema_ts(b->schema);
    uint64_t hash = table;

    for (uint32_t c = 0; c < b->schema->n_columns; c++) {
        uint32_t n;
        if ((int)c == ts)
            continue;
        if (b->schema->column[c].type == KYMO_T_STR) {
            const char *s = kymo_batch_str(b, c, row, &n);
            hash = XXH3_64bits_withSeed(s, n, hash);
        } else {
            const uint64_t lane = kymo_batch_lane(b, c, row);
            hash = XXH3_64bits_withSeed(&lane, sizeof(lane), hash);
        }
    }
    return hash ? hash : 1;
}

static bool is_new(struct kept *k, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (SLOTS - 1);

    for (; k->seen[at]; at = (at + 1) & (SLOTS - 1))
        if (k->seen[at] == hash)
            return false;
    if (k->n_seen == SLOTS / 2)
        return false;
    k->seen[at] = hash;
    k->n_seen++;
    return true;
}

kymo_status kept_see(struct kept *k, const struct kymo_batch *b, struct kymo_err *err)
{
    size_t t = 0;

    while (t < TABLES && b->schema != tables[t])
        t++;
    if (t == TABLES || !b->n_rows)
        return KYMO_OK;
    KYMO_TRY(kymo_copy_begin(k->copy[t], b, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        uint32_t copied = 0;
        if (!kymo_rows_full(k->rows[t]) && is_new(k, hash_row(b, i, t)))
            KYMO_TRY(kymo_copy_rows(k->copy[t], &i, 1, &copied, err));
    }
    return KYMO_OK;
}

kymo_status kept_write(const struct kept *k, struct kymo_writer *w, struct rotate *r,
                       bool *taken, struct kymo_err *err)
{
    *taken = true;
    for (size_t i = 0; i < TABLES && *taken; i++) {
        const struct kymo_batch b = kymo_rows_view(k->rows[i]);
        struct kymo_encoded c;
        KYMO_TRY(kymo_writer_encode(w, &b, 0, &c, err));
        KYMO_TRY(rotate_put(r, &c, 0, taken, err));
    }
    return KYMO_OK;
}
