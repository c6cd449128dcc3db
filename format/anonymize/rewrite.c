/* SPDX-License-Identifier: Apache-2.0
 * rewrite.c: the lanes that change are copied, the others are borrowed. A text is masked once for
 * each string of the chunk and each way to mask it, not once a row.
 */
#include "format/anonymize/rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/anonymize/callmask.h"
#include "format/anonymize/policy.h"
#include "format/base/size.h"
#include "format/trace/sysname.h"

#define ARENA_BYTES ((size_t)512 << 20)
#define SCHEMAS_MAX 1024u
#define KEEP_MAX 256u
#define UNKNOWN UINT32_MAX

struct known_schema {
    const struct kymo_schema *from;
    struct kymo_schema to;
    const enum kymo_treat *treat; /* [n_columns] */
};

struct kymo_rewrite {
    struct kymo_mask *mask;
    const struct kymo_names *names;
    const char *const *keep;
    size_t n_keep;
    uint8_t kept[KEEP_MAX];
    struct kymo_arena schemas;
    struct known_schema known[SCHEMAS_MAX];
    size_t n_known;
    /* of the batch at hand */
    struct kymo_arena arena;
    struct kymo_rows *texts; /* its dictionary alone is used */
    struct kymo_buf line;
    uint32_t *id_of[KYMO_TREAT_TEXTS]; /* [strings] the new number, or UNKNOWN */
    const struct kymo_batch *b;
    const struct known_schema *s;
    struct call *by_key; /* [n_keys], or NULL */
};

kymo_status kymo_rewrite_open(struct kymo_rewrite **out, struct kymo_mask *mask,
                              const struct kymo_names *names, const char *const *keep,
                              size_t n_keep, struct kymo_err *err)
{
    if (n_keep > KEEP_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "more than %u fields to keep",
                         KEEP_MAX);
    struct kymo_rewrite *w = calloc(1, sizeof(*w));
    if (!w)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    w->mask = mask;
    w->names = names;
    w->keep = keep;
    w->n_keep = n_keep;
    kymo_arena_init(&w->arena, ARENA_BYTES);
    kymo_arena_init(&w->schemas, ARENA_BYTES);
    const kymo_status s = kymo_rows_open(&w->texts, &KYMO_TABLE_CONTEXT, 1, err);
    if (s) {
        kymo_rewrite_close(w);
        return s;
    }
    *out = w;
    return KYMO_OK;
}

void kymo_rewrite_close(struct kymo_rewrite *w)
{
    if (!w)
        return;
    kymo_rows_close(w->texts);
    kymo_buf_release(&w->line);
    kymo_arena_release(&w->arena);
    kymo_arena_release(&w->schemas);
    free(w);
}

int kymo_rewrite_kept(const struct kymo_rewrite *w, size_t i)
{
    return w->kept[i];
}

/* -------- schemas -------- */

static int is_kept(struct kymo_rewrite *w, const char *table, const char *column)
{
    int kept = 0;
    for (size_t i = 0; i < w->n_keep; i++) {
        const char *field = w->keep[i];
        const size_t n = strlen(table);
        if (!strncmp(field, table, n) && field[n] == '.')
            field += n + 1;
        if (!strcmp(field, column))
            kept = w->kept[i] = 1;
    }
    return kept;
}

static kymo_status know_schema(struct kymo_rewrite *w, const struct kymo_schema *s,
                               const struct known_schema **out, struct kymo_err *err)
{
    for (size_t i = 0; i < w->n_known; i++) {
        if (w->known[i].from != s)
            continue;
        *out = &w->known[i];
        return KYMO_OK;
    }
    enum kymo_treat *treat =
        w->n_known < SCHEMAS_MAX ? KYMO_NEW(&w->schemas, enum kymo_treat, s->n_columns) : NULL;
    if (!treat)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "too many schemas");
    for (uint32_t c = 0; c < s->n_columns; c++)
        treat[c] = is_kept(w, s->table, s->column[c].name)
                       ? KYMO_TREAT_KEEP
                       : kymo_treat_of(s->table, &s->column[c], w->mask->hides_all);
    struct known_schema *k = &w->known[w->n_known++];
    *k = (struct known_schema){.from = s, .to = *s, .treat = treat};
    k->to.meta = "";
    k->to.hash = 0;
    *out = k;
    return KYMO_OK;
}

kymo_status kymo_rewrite_schema(struct kymo_rewrite *w, const struct kymo_schema *s,
                                const struct kymo_schema **out, struct kymo_err *err)
{
    const struct known_schema *k;
    KYMO_TRY(know_schema(w, s, &k, err));
    *out = &k->to;
    return KYMO_OK;
}

/* -------- texts -------- */

/* A kernel's numbers are everybody's, what a house hangs on to them is its own. */
static void mask_version(struct kymo_rewrite *w, const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && ((s[i] >= '0' && s[i] <= '9') || s[i] == '.'))
        i++;
    kymo_buf_put(&w->line, s, i);
    kymo_buf_put(&w->line, "-", i && i < n);
    kymo_mask_word(w->mask, &w->line, s + i, n - i);
}

static void mask_text(struct kymo_rewrite *w, enum kymo_treat treat, const char *s, size_t n)
{
    struct kymo_buf *out = &w->line;
    char name[64];
    kymo_buf_clear(out);
    switch (treat) {
    case KYMO_TREAT_KEEP:
        kymo_buf_put(out, s, n);
        break;
    case KYMO_TREAT_PATH:
        kymo_mask_path(w->mask, out, s, n);
        break;
    case KYMO_TREAT_TEXT:
        kymo_mask_text(w->mask, out, s, n);
        break;
    case KYMO_TREAT_ADDRESS:
        kymo_mask_address(w->mask, out, s, n);
        break;
    case KYMO_TREAT_HOST:
        kymo_mask_host(w->mask, out, s, n);
        break;
    case KYMO_TREAT_TERM:
        if (kymo_is_term(s, n))
            kymo_buf_put(out, s, n);
        else
            kymo_mask_word(w->mask, out, s, n);
        break;
    case KYMO_TREAT_CALL:
        (void)snprintf(name, sizeof(name), "%.*s", (int)(n < 63 ? n : 63), s);
        if (strlen(name) == n && kymo_sysinfo_by_name(name))
            kymo_buf_put(out, s, n);
        else
            kymo_mask_word(w->mask, out, s, n);
        break;
    case KYMO_TREAT_VERSION:
        mask_version(w, s, n);
        break;
    default:
        kymo_mask_word(w->mask, out, s, n);
    }
}

static kymo_status new_text(struct kymo_rewrite *w, enum kymo_treat treat, uint64_t old,
                            uint64_t *out, struct kymo_err *err)
{
    const struct kymo_strings *str = &w->b->str;
    if (!w->id_of[treat]) {
        w->id_of[treat] = KYMO_NEW_RAW(&w->arena, uint32_t, str->n);
        if (!w->id_of[treat])
            return KYMO_FAIL(err, KYMO_ELIMIT, w->b->at_bytes,
                             "%u strings pass the memory budget", str->n);
        memset(w->id_of[treat], 0xff, str->n * sizeof(uint32_t));
    }
    uint32_t *id = &w->id_of[treat][old];
    if (*id == UNKNOWN) {
        mask_text(w, treat, str->bytes + str->at[old], str->at[old + 1] - str->at[old]);
        *id = kymo_rows_intern(w->texts, (const char *)w->line.p, w->line.n);
        if (w->line.failed || (!*id && w->line.n))
            return KYMO_FAIL(err, KYMO_ELIMIT, w->b->at_bytes,
                             "the pseudonyms of a chunk of table %s pass what a chunk holds",
                             w->b->schema->table);
    }
    *out = *id;
    return KYMO_OK;
}

static enum kymo_treat treat_of_fact(const struct kymo_rewrite *w, uint32_t row)
{
    const int key = kymo_schema_column(w->b->schema, "key");
    uint32_t n;
    if (key < 0 || w->b->schema->column[key].type != KYMO_T_STR ||
        !kymo_batch_present(w->b, (uint32_t)key, row))
        return KYMO_TREAT_TEXT;
    const char *s = kymo_batch_str(w->b, (uint32_t)key, row, &n);
    return kymo_treat_of_fact(s, n);
}

/* -------- lanes -------- */

static uint32_t lane_items(const struct kymo_batch *b, uint8_t order)
{
    return order == KYMO_ORDER_TASK  ? b->n_tasks
           : order == KYMO_ORDER_KEY ? b->n_keys
                                     : b->n_rows;
}

static int is_null(const struct kymo_batch *b, uint32_t c, uint32_t item)
{
    return b->present[c] && !b->present[c][item];
}

static kymo_status rewrite_texts(struct kymo_rewrite *w, uint32_t c, uint64_t *lane, uint32_t n,
                                 struct kymo_err *err)
{
    const uint8_t order = w->b->schema->column[c].order;
    const int has_rows = order != KYMO_ORDER_TASK && order != KYMO_ORDER_KEY;
    for (uint32_t i = 0; i < n; i++) {
        enum kymo_treat treat = w->s->treat[c];
        if (treat == KYMO_TREAT_FACT)
            treat = has_rows ? treat_of_fact(w, i) : KYMO_TREAT_TEXT;
        if (!is_null(w->b, c, i))
            KYMO_TRY(new_text(w, treat, lane[i], &lane[i], err));
    }
    return KYMO_OK;
}

static void rewrite_ids(const struct kymo_rewrite *w, uint32_t c, uint64_t *lane, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!is_null(w->b, c, i))
            lane[i] = kymo_mask_id(w->mask, lane[i]);
}

/* What call a row is: known for each key where the schema has keys, else remembered while it
 * stays the same. */
struct call {
    uint64_t arch, nr;
    const struct kymo_call_numbers *numbers;
};

static int is_by_key(const struct kymo_batch *b, int arch, int nr)
{
    return arch >= 0 && nr >= 0 && b->schema->column[arch].order == KYMO_ORDER_KEY &&
           b->schema->column[nr].order == KYMO_ORDER_KEY;
}

static kymo_status look_up_keys(struct kymo_rewrite *w, struct kymo_err *err)
{
    const struct kymo_batch *b = w->b;
    const int arch = kymo_schema_column(b->schema, "arch");
    const int nr = kymo_schema_column(b->schema, "nr");
    w->by_key = NULL;
    if (!is_by_key(b, arch, nr))
        return KYMO_OK;
    w->by_key = KYMO_NEW(&w->arena, struct call, b->n_keys);
    if (!w->by_key)
        return KYMO_FAIL(err, KYMO_ELIMIT, b->at_bytes, "%u keys pass the memory budget",
                         b->n_keys);
    for (uint32_t k = 0; k < b->n_keys; k++) {
        const uint64_t a = b->lane[arch][k], v = b->lane[nr][k];
        w->by_key[k] = (struct call){a, v, kymo_call_numbers(kymo_names_call(w->names, a, v))};
    }
    return KYMO_OK;
}

static struct call look_up_row(const struct kymo_rewrite *w, uint32_t row,
                               const struct call *last)
{
    const int arch = kymo_schema_column(w->b->schema, "arch");
    const int nr = kymo_schema_column(w->b->schema, "nr");
    struct call c = {0};
    c.arch = arch < 0 ? 0 : kymo_batch_lane(w->b, (uint32_t)arch, row);
    c.nr = nr < 0 ? 0 : kymo_batch_lane(w->b, (uint32_t)nr, row);
    if (last->numbers && last->arch == c.arch && last->nr == c.nr)
        return *last;
    c.numbers = kymo_call_numbers(nr < 0 ? NULL : kymo_names_call(w->names, c.arch, c.nr));
    return c;
}

static void rewrite_numbers(const struct kymo_rewrite *w, uint32_t c, uint64_t *lane,
                            uint32_t n)
{
    const struct kymo_column_def *def = &w->b->schema->column[c];
    const int is_ret = w->s->treat[c] == KYMO_TREAT_RET;
    const unsigned arg = is_ret ? 0 : (unsigned)(def->name[3] - '0');
    const int has_rows = def->order != KYMO_ORDER_TASK && def->order != KYMO_ORDER_KEY;
    struct call call = {.numbers = has_rows ? NULL : kymo_call_numbers(NULL)};
    for (uint32_t i = 0; i < n; i++) {
        if (is_null(w->b, c, i))
            continue;
        if (has_rows)
            call = w->by_key ? w->by_key[w->b->key[i]] : look_up_row(w, i, &call);
        lane[i] = is_ret ? kymo_mask_ret(w->mask, call.numbers, call.arch, lane[i])
                         : kymo_mask_arg(w->mask, call.numbers, arg, call.arch, lane[i]);
    }
}

static kymo_status rewrite_lane(struct kymo_rewrite *w, uint32_t c, uint64_t **lane,
                                struct kymo_err *err)
{
    const struct kymo_column_def *def = &w->b->schema->column[c];
    const uint32_t n = lane_items(w->b, def->order);
    const enum kymo_treat treat = w->s->treat[c];
    *lane = w->b->lane[c];
    if (!*lane || (treat == KYMO_TREAT_KEEP && def->type != KYMO_T_STR))
        return KYMO_OK;
    *lane = KYMO_NEW_RAW(&w->arena, uint64_t, n);
    if (!*lane)
        return KYMO_FAIL(err, KYMO_ELIMIT, w->b->at_bytes,
                         "a chunk of %u rows passes the memory budget", w->b->n_rows);
    memcpy(*lane, w->b->lane[c], n * sizeof(**lane));
    if (def->type == KYMO_T_STR)
        return rewrite_texts(w, c, *lane, n, err);
    if (treat == KYMO_TREAT_ID)
        rewrite_ids(w, c, *lane, n);
    else
        rewrite_numbers(w, c, *lane, n);
    return KYMO_OK;
}

kymo_status kymo_rewrite_batch(struct kymo_rewrite *w, const struct kymo_batch *b,
                               struct kymo_batch *out, struct kymo_err *err)
{
    kymo_arena_reset(&w->arena);
    kymo_rows_clear(w->texts);
    memset(w->id_of, 0, sizeof(w->id_of));
    w->b = b;
    KYMO_TRY(know_schema(w, b->schema, &w->s, err));
    KYMO_TRY(look_up_keys(w, err));
    uint64_t **lane = KYMO_NEW(&w->arena, uint64_t *, b->schema->n_columns);
    if (!lane)
        return KYMO_FAIL(err, KYMO_ELIMIT, b->at_bytes,
                         "too many columns for the memory budget");
    for (uint32_t c = 0; c < b->schema->n_columns; c++)
        KYMO_TRY(rewrite_lane(w, c, &lane[c], err));
    *out = *b;
    out->schema = &w->s->to;
    out->lane = lane;
    out->str = kymo_rows_view(w->texts).str;
    return KYMO_OK;
}

/* -------- context -------- */

const char *kymo_context_value(const struct kymo_batch *b, const char *key, const char *value,
                               uint32_t *n)
{
    const int k = kymo_schema_column(b->schema, "key");
    const int v = kymo_schema_column(b->schema, "value");
    if (strcmp(b->schema->table, KYMO_TABLE_CONTEXT.table) != 0 || k < 0 || v < 0 ||
        b->schema->column[k].type != KYMO_T_STR || b->schema->column[v].type != KYMO_T_STR)
        return NULL;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        uint32_t n_key;
        if (!kymo_batch_present(b, (uint32_t)k, i) || !kymo_batch_present(b, (uint32_t)v, i))
            continue;
        const char *s = kymo_batch_str(b, (uint32_t)k, i, &n_key);
        if (n_key != strlen(key) || memcmp(s, key, n_key) != 0)
            continue;
        s = kymo_batch_str(b, (uint32_t)v, i, n);
        if (!value || (*n == strlen(value) && !memcmp(s, value, *n)))
            return s;
    }
    return NULL;
}
