/* SPDX-License-Identifier: Apache-2.0
 * filter.c: bind, evaluate. Names and texts are compared once a string of the chunk, not once a row.
 */
#include "format/trace/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/trace/filter_own.h"
#include "format/trace/sysname.h"

kymo_status kymo_filter_open(struct kymo_filter **out, const char *text, struct kymo_err *err)
{
    struct kymo_filter *f = calloc(1, sizeof(*f));
    if (!f)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "filter: out of memory");
    kymo_arena_init(&f->arena, (size_t)1 << 20);
    const kymo_status s = kymo_filter_parse(f, text, err);
    if (s) {
        kymo_filter_close(f);
        return s;
    }
    *out = f;
    return KYMO_OK;
}

void kymo_filter_close(struct kymo_filter *f)
{
    if (!f)
        return;
    for (uint16_t i = 0; i < f->n_nodes; i++)
        free(f->node[i].memo);
    kymo_arena_release(&f->arena);
    free(f);
}

/* -------- bind -------- */

size_t kymo_filter_derived(const struct kymo_schema *s, const char **names, size_t max)
{
    size_t n = 0;
    const int ret = kymo_schema_column(s, "ret");
    if (n < max && kymo_schema_column(s, "arch") >= 0 && kymo_schema_column(s, "nr") >= 0 &&
        kymo_schema_column(s, "syscall") < 0)
        names[n++] = "syscall";
    if (n < max && ret >= 0 && s->column[ret].type == KYMO_T_I64 &&
        kymo_schema_column(s, "errno") < 0)
        names[n++] = "errno";
    if (n < max && kymo_schema_ts(s) >= 0 && kymo_schema_column(s, "time") < 0)
        names[n++] = "time";
    return n;
}

static kymo_status no_field(const struct kymo_filter *f, const struct node *node,
                            struct kymo_err *err)
{
    char list[320];
    size_t n = 0;
    const char *derived[4];
    const size_t n_derived = kymo_filter_derived(f->schema, derived, 4);
    list[0] = '\0';
    for (size_t i = 0; i < f->schema->n_columns + n_derived && n + 8 < sizeof(list); i++) {
        const char *name = i < n_derived ? derived[i] : f->schema->column[i - n_derived].name;
        const int m = snprintf(list + n, sizeof(list) - n, "%s%s", i ? " " : "", name);
        n += m > 0 ? (size_t)m : 0;
    }
    return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                     "filter: table %s has no field '%s' (character %u); it has %s",
                     f->schema->table, node->field, node->at + 1, list);
}

static int is_derived(const struct kymo_filter *f, const char *name)
{
    const char *derived[4];
    const size_t n = kymo_filter_derived(f->schema, derived, 4);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(derived[i], name))
            return 1;
    return 0;
}

static kymo_status bind_field(struct kymo_filter *f, struct node *node, const char **unit,
                              struct kymo_err *err)
{
    const int c = kymo_schema_column(f->schema, node->field);
    *unit = "";
    if (c >= 0) {
        node->source = FROM_COLUMN;
        node->column = (uint32_t)c;
        node->type = (enum kymo_type)f->schema->column[c].type;
        *unit = f->schema->column[c].unit;
        return KYMO_OK;
    }
    if (!is_derived(f, node->field))
        return no_field(f, node, err);
    if (!strcmp(node->field, "syscall")) {
        node->source = FROM_SYSCALL;
        node->column = (uint32_t)kymo_schema_column(f->schema, "arch");
        node->column2 = (uint32_t)kymo_schema_column(f->schema, "nr");
        node->type = KYMO_T_STR;
    } else if (!strcmp(node->field, "errno")) {
        node->source = FROM_ERRNO;
        node->column = (uint32_t)kymo_schema_column(f->schema, "ret");
        node->type = KYMO_T_U64;
    } else {
        node->source = FROM_TIME;
        node->column = (uint32_t)kymo_schema_ts(f->schema);
        node->type = KYMO_T_I64;
        *unit = "ns";
    }
    return KYMO_OK;
}

static kymo_status bind_value(struct kymo_filter *f, struct node *node, const char *unit,
                              struct kymo_err *err)
{
    const int is_glob = node->op == OP_GLOB || node->op == OP_NOT_GLOB;
    if (node->op == OP_TRUTH)
        return KYMO_OK;
    if (node->type == KYMO_T_STR)
        return KYMO_OK;
    if (is_glob)
        return kymo_filter_mistake(f, node->at, "'~' is for texts, and this field is a number,",
                                   err);
    node->scaled = node->number;
    if (!node->is_number && node->source == FROM_ERRNO) {
        const int e = kymo_errno_value(node->text);
        if (e < 0)
            return kymo_filter_mistake(f, node->at, "no errno has this name", err);
        node->scaled = (struct number){.whole = (uint64_t)e, .real = e, .is_whole = 1};
        return KYMO_OK;
    }
    if (!node->is_number)
        return kymo_filter_mistake(f, node->at, "this field is a number and its value is not",
                                   err);
    const int is_time = !strcmp(unit, "ns");
    if (node->number.unit == UNIT_TIME && !is_time)
        return kymo_filter_mistake(f, node->at, "this field is no time, its value is", err);
    if (node->number.unit == UNIT_SIZE && is_time)
        return kymo_filter_mistake(f, node->at, "this field is a time, its value is a size",
                                   err);
    if (node->number.unit == UNIT_NONE && is_time)
        kymo_filter_scale(&node->scaled, 1000000000u);
    return KYMO_OK;
}

kymo_status kymo_filter_bind(struct kymo_filter *f, const struct kymo_schema *s,
                             const struct kymo_names *names, uint64_t start_ns,
                             struct kymo_err *err)
{
    f->schema = s;
    f->names = names;
    f->start_ns = start_ns;
    f->batch = NULL;
    for (uint16_t i = 0; i < f->n_nodes; i++) {
        const char *unit;
        if (f->node[i].kind != NODE_COMPARE)
            continue;
        KYMO_TRY(bind_field(f, &f->node[i], &unit, err));
        KYMO_TRY(bind_value(f, &f->node[i], unit, err));
    }
    return KYMO_OK;
}

void kymo_filter_need(const struct kymo_filter *f, uint8_t *want)
{
    for (uint16_t i = 0; i < f->n_nodes; i++) {
        if (f->node[i].kind != NODE_COMPARE)
            continue;
        want[f->node[i].column] = 1;
        if (f->node[i].source == FROM_SYSCALL)
            want[f->node[i].column2] = 1;
    }
}

/* -------- evaluate -------- */

int kymo_glob(const char *pattern, size_t pattern_bytes, const char *s, size_t n)
{
    size_t p = 0, i = 0, star = SIZE_MAX, star_at = 0;
    while (i < n) {
        const int is_escape = p + 1 < pattern_bytes && pattern[p] == '\\';
        if (p < pattern_bytes && pattern[p] == '*') {
            star = ++p;
            star_at = i;
        } else if (p < pattern_bytes && (is_escape ? pattern[p + 1] == s[i]
                                                   : pattern[p] == '?' || pattern[p] == s[i])) {
            p += is_escape ? 2 : 1;
            i++;
        } else if (star != SIZE_MAX) {
            p = star;
            i = ++star_at;
        } else {
            return 0;
        }
    }
    while (p < pattern_bytes && pattern[p] == '*')
        p++;
    return p == pattern_bytes;
}

static int by_order(enum op op, int order)
{
    switch (op) {
    case OP_EQ:
        return order == 0;
    case OP_NE:
        return order != 0;
    case OP_LT:
        return order < 0;
    case OP_LE:
        return order <= 0;
    case OP_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static int match_text(const struct node *node, const char *s, size_t n)
{
    if (node->op == OP_TRUTH)
        return n > 0;
    if (node->op == OP_GLOB || node->op == OP_NOT_GLOB)
        return kymo_glob(node->text, node->text_bytes, s, n) == (node->op == OP_GLOB);
    const size_t m = n < node->text_bytes ? n : node->text_bytes;
    const int order = m ? memcmp(s, node->text, m) : 0;
    return by_order(node->op, order ? order : (n > node->text_bytes) - (n < node->text_bytes));
}

static int order_u64(uint64_t a, const struct number *v)
{
    if (v->is_negative && v->whole)
        return 1;
    return (a > v->whole) - (a < v->whole);
}

static int order_i64(int64_t a, const struct number *v)
{
    if (a >= 0)
        return order_u64((uint64_t)a, v);
    if (!v->is_negative)
        return -1;
    const uint64_t magnitude = -(uint64_t)a;
    return (magnitude < v->whole) - (magnitude > v->whole);
}

static int match_number(const struct node *node, enum kymo_type type, uint64_t lane)
{
    const struct number *v = &node->scaled;
    const double real = kymo_lane_f64(type, lane);
    if (node->op == OP_TRUTH)
        return real < 0 || real > 0;
    if (v->is_whole && type == KYMO_T_U64)
        return by_order(node->op, order_u64(lane, v));
    if (v->is_whole && type == KYMO_T_I64)
        return by_order(node->op, order_i64((int64_t)lane, v));
    if (real != real)
        return node->op == OP_NE;
    return by_order(node->op, (real > v->real) - (real < v->real));
}

static int match_call(const struct kymo_filter *f, const struct node *node, uint64_t arch,
                      uint64_t nr)
{
    char number[24];
    const char *name = kymo_names_call(f->names, arch, nr);
    if (!name) {
        (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)nr);
        name = number;
    }
    return match_text(node, name, strlen(name));
}

static int match_syscall(const struct kymo_filter *f, const struct node *node, uint32_t row)
{
    return match_call(f, node, kymo_batch_u64(f->batch, node->column, row),
                      kymo_batch_u64(f->batch, node->column2, row));
}

/* The memo cell of a row, where texts come round again; NULL where they need not. */
static uint8_t *memo_cell(const struct kymo_filter *f, const struct node *node, uint32_t row)
{
    if (!node->memo)
        return NULL;
    if (node->source == FROM_SYSCALL)
        return f->batch->key ? &node->memo[f->batch->key[row]] : NULL;
    return &node->memo[kymo_batch_lane(f->batch, node->column, row)];
}

static int match_cell(const struct kymo_filter *f, const struct node *node, uint32_t row)
{
    const struct kymo_batch *b = f->batch;
    uint32_t n;
    if (node->source == FROM_SYSCALL)
        return match_syscall(f, node, row);
    const char *s = kymo_batch_str(b, node->column, row, &n);
    return match_text(node, s, n);
}

static int match_compare(const struct kymo_filter *f, const struct node *node, uint32_t row)
{
    const struct kymo_batch *b = f->batch;
    if (!kymo_batch_present(b, node->column, row))
        return 0;
    if (node->type == KYMO_T_STR) {
        uint8_t *memo = memo_cell(f, node, row);
        if (memo && *memo)
            return *memo == 2;
        const int yes = match_cell(f, node, row);
        if (memo)
            *memo = yes ? 2 : 1;
        return yes;
    }
    const uint64_t lane = kymo_batch_lane(b, node->column, row);
    if (node->source == FROM_ERRNO) {
        const int64_t ret = (int64_t)lane;
        return ret < 0 && ret >= -4095 && match_number(node, KYMO_T_U64, (uint64_t)-ret);
    }
    if (node->source == FROM_TIME)
        return match_number(node, KYMO_T_I64, lane - f->start_ns);
    return match_number(node, node->type, lane);
}

kymo_status kymo_filter_begin(struct kymo_filter *f, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    f->batch = b;
    for (uint16_t i = 0; i < f->n_nodes; i++) {
        struct node *node = &f->node[i];
        if (node->kind != NODE_COMPARE || node->type != KYMO_T_STR)
            continue;
        const size_t n = node->source == FROM_SYSCALL ? KYMO_CHUNK_KEYS_MAX : b->str.n;
        if (n > node->memo_cap) {
            free(node->memo);
            node->memo_cap = 0;
            node->memo = malloc(n);
            if (!node->memo)
                return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "filter: out of memory");
            node->memo_cap = n;
        }
        memset(node->memo, 0, n);
    }
    return KYMO_OK;
}

/* -------- whole chunks -------- */

/* A lane of a column that has few of them. */
static int few_match(const struct kymo_filter *f, const struct node *node, uint32_t n)
{
    const struct kymo_batch *b = f->batch;
    const uint64_t *lane = b->lane[node->column];
    for (uint32_t i = 0; lane && i < n; i++) {
        if (node->type != KYMO_T_STR) {
            if (match_number(node, node->type, lane[i]))
                return 1;
            continue;
        }
        if (!b->str.at)
            return 1;
        const uint32_t at = b->str.at[lane[i]];
        if (match_text(node, b->str.bytes + at, b->str.at[lane[i] + 1] - at))
            return 1;
    }
    return !lane;
}

static int any_key_matches(const struct kymo_filter *f, const struct node *node)
{
    const struct kymo_batch *b = f->batch;
    if (!b->key || !b->lane[node->column] || !b->lane[node->column2])
        return 1;
    for (uint32_t k = 0; k < b->n_keys; k++)
        if (match_call(f, node, b->lane[node->column][k], b->lane[node->column2][k]))
            return 1;
    return 0;
}

static int any_text_matches(const struct kymo_filter *f, const struct node *node)
{
    const struct kymo_batch *b = f->batch;
    if (!b->str.at)
        return 1;
    for (uint32_t id = 0; id < b->str.n; id++)
        if (match_text(node, b->str.bytes + b->str.at[id], b->str.at[id + 1] - b->str.at[id]))
            return 1;
    return 0;
}

/* How a whole number stands to the value of a comparison: below 0, 0 or above. */
static int order_lane(const struct node *node, enum kymo_type type, uint64_t lane)
{
    const struct number *v = &node->scaled;
    const double real = kymo_lane_f64(type, lane);
    if (!v->is_whole)
        return (real > v->real) - (real < v->real);
    return type == KYMO_T_U64 ? order_u64(lane, v) : order_i64((int64_t)lane, v);
}

/* Can a whole number between these two bounds match? */
static int zone_may_match(const struct node *node, enum kymo_type type, uint64_t min,
                          uint64_t max)
{
    if (node->op == OP_TRUTH)
        return min || max;
    const int low = order_lane(node, type, min), high = order_lane(node, type, max);
    switch (node->op) {
    case OP_EQ:
        return low <= 0 && high >= 0;
    case OP_NE:
        return low || high;
    case OP_LT:
        return low < 0;
    case OP_LE:
        return low <= 0;
    case OP_GT:
        return high > 0;
    default:
        return high >= 0;
    }
}

/* Errors are what lies in -4095..-1 of the results. */
static int errno_may_match(const struct node *node, int64_t min, int64_t max)
{
    if (max < -4095 || min > -1)
        return 0;
    return zone_may_match(node, KYMO_T_U64, max < -1 ? (uint64_t)-max : 1,
                          min > -4095 ? (uint64_t)-min : 4095);
}

static int compare_may_match(const struct kymo_filter *f, const struct node *node)
{
    const struct kymo_batch *b = f->batch;
    const struct kymo_zone *zone = b->zone ? &b->zone[node->column] : NULL;
    if (node->source == FROM_SYSCALL)
        return any_key_matches(f, node);
    if (node->source == FROM_COLUMN && b->schema->column[node->column].order == KYMO_ORDER_TASK)
        return few_match(f, node, b->n_tasks);
    if (node->source == FROM_COLUMN && b->schema->column[node->column].order == KYMO_ORDER_KEY)
        return few_match(f, node, b->n_keys);
    if (node->type == KYMO_T_STR)
        return any_text_matches(f, node);
    if (!zone || !zone->is_known || node->type == KYMO_T_F64 || node->type == KYMO_T_F32)
        return 1;
    if (node->source == FROM_ERRNO)
        return errno_may_match(node, (int64_t)zone->min, (int64_t)zone->max);
    if (node->source == FROM_TIME)
        return zone_may_match(node, KYMO_T_I64, zone->min - f->start_ns,
                              zone->max - f->start_ns);
    return zone_may_match(node, node->type, zone->min, zone->max);
}

static int may_match(const struct kymo_filter *f, uint16_t i)
{
    const struct node *node = &f->node[i];
    switch (node->kind) {
    case NODE_COMPARE:
        return compare_may_match(f, node);
    case NODE_NOT:
        return 1; /* that something may hold does not say that it always does */
    case NODE_AND:
        return may_match(f, node->left) && may_match(f, node->right);
    default:
        return may_match(f, node->left) || may_match(f, node->right);
    }
}

int kymo_filter_may_match(struct kymo_filter *f)
{
    return may_match(f, f->root);
}

/* -------- rows -------- */

/* As deep as there are terms, of which there are at most KYMO_FILTER_NODES_MAX. */
static int match(struct kymo_filter *f, uint16_t i, uint32_t row)
{
    const struct node *node = &f->node[i];
    switch (node->kind) {
    case NODE_COMPARE:
        return match_compare(f, node, row);
    case NODE_NOT:
        return !match(f, node->left, row);
    case NODE_AND:
        return match(f, node->left, row) && match(f, node->right, row);
    default:
        return match(f, node->left, row) || match(f, node->right, row);
    }
}

int kymo_filter_match(struct kymo_filter *f, uint32_t row)
{
    return match(f, f->root, row);
}
