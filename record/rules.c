/* SPDX-License-Identifier: Apache-2.0 */
#include "record/rules.h"

#include <stdbool.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/filter_own.h"
#include "record/host.h"

static kymo_status add(struct kymo_rule *r, struct kymo_rule_step step, struct kymo_err *err)
{
    if (r->n == KYMO_RULE_STEPS_MAX)
        return KYMO_FAIL(
            err, KYMO_EUSAGE, KYMO_NOWHERE,
            "the filters have more than %u parts, which is what the kernel side holds",
            KYMO_RULE_STEPS_MAX);
    r->step[r->n++] = step;
    return KYMO_OK;
}

static kymo_status compare(struct kymo_rule *r, uint8_t field, uint8_t op, uint64_t value,
                           struct kymo_err *err)
{
    return add(r,
               (struct kymo_rule_step){
                   .kind = KYMO_RULE_TEST, .field = field, .op = op, .value = {value}},
               err);
}

kymo_status rules_number(struct kymo_rule *r, uint8_t field, uint64_t value,
                         struct kymo_err *err)
{
    return compare(r, field, KYMO_RULE_EQ, value, err);
}

kymo_status rules_combine(struct kymo_rule *r, uint8_t kind, struct kymo_err *err)
{
    return add(r, (struct kymo_rule_step){.kind = kind}, err);
}

/* The kernel compares sixteen bytes under a mask: a whole name with its NUL, or a prefix of one. */
kymo_status rules_comm(struct kymo_rule *r, const char *pattern, struct kymo_err *err)
{
    struct kymo_rule_step step = {.kind = KYMO_RULE_TEST, .field = KYMO_RULE_COMM};
    const size_t star = strcspn(pattern, "*?[\\");
    const size_t n = star < KYMO_COMM_BYTES - 1 ? star : KYMO_COMM_BYTES - 1;

    if (!*pattern || (pattern[star] && strcmp(pattern + star, "*") != 0))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "'%s': the kernel side knows whole names and a trailing * only",
                         pattern);
    memcpy(step.value, pattern, n);
    memset(step.mask, 0xff, pattern[star] ? n : n + 1);
    return add(r, step, err);
}

kymo_status rules_cgroup(struct kymo_rule *r, const char *path, struct kymo_err *err)
{
    const uint64_t id = host_cgroup_id(path);

    if (!id)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "%s: no such cgroup", path);
    return rules_number(r, KYMO_RULE_CGROUP, id, err);
}

/* ---- filters -------------------------------------------------------------------------------- */

static uint8_t number_field(const char *name)
{
    static const struct {
        const char *name;
        uint8_t field;
    } fields[] = {{"pid", KYMO_RULE_PID},
                  {"tid", KYMO_RULE_TID},
                  {"ppid", KYMO_RULE_PPID},
                  {"uid", KYMO_RULE_UID},
                  {"gid", KYMO_RULE_GID}};

    for (size_t i = 0; i < KYMO_COUNT_OF(fields); i++)
        if (!strcmp(fields[i].name, name))
            return fields[i].field;
    return 0;
}

/* Only < and == are steps; the others are made of them: a <= b is not b < a, for whole numbers a < b + 1. */
static kymo_status put_number(struct kymo_rule *r, const struct kymo_filter *f,
                              const struct node *n, uint8_t field, struct kymo_err *err)
{
    const struct number *v = &n->number;

    if (!n->is_number || !v->is_whole || v->is_negative || v->unit != UNIT_NONE ||
        v->whole > UINT32_MAX)
        return kymo_filter_mistake(f, n->at, "the kernel side compares this with a number",
                                   err);
    switch (n->op) {
    case OP_EQ:
        return compare(r, field, KYMO_RULE_EQ, v->whole, err);
    case OP_NE:
        KYMO_TRY(compare(r, field, KYMO_RULE_EQ, v->whole, err));
        return rules_combine(r, KYMO_RULE_NOT, err);
    case OP_LT:
        return compare(r, field, KYMO_RULE_LT, v->whole, err);
    case OP_LE:
        return compare(r, field, KYMO_RULE_LT, v->whole + 1, err);
    case OP_GE:
        KYMO_TRY(compare(r, field, KYMO_RULE_LT, v->whole, err));
        return rules_combine(r, KYMO_RULE_NOT, err);
    case OP_GT:
        KYMO_TRY(compare(r, field, KYMO_RULE_LT, v->whole + 1, err));
        return rules_combine(r, KYMO_RULE_NOT, err);
    default:
        return kymo_filter_mistake(f, n->at, "a number is compared with == != < <= > >=", err);
    }
}

static kymo_status put_text(struct kymo_rule *r, const struct kymo_filter *f,
                            const struct node *n, struct kymo_err *err)
{
    const bool is_comm = !strcmp(n->field, "comm");
    const bool is_glob = n->op == OP_GLOB || n->op == OP_NOT_GLOB;
    char text[4096];

    if (n->op != OP_EQ && n->op != OP_NE && !(is_comm && is_glob))
        return kymo_filter_mistake(f, n->at,
                                   is_comm ? "a name is compared with == != ~ !~"
                                           : "a cgroup is compared with == !=",
                                   err);
    if (n->text_bytes >= sizeof(text) || memchr(n->text, 0, n->text_bytes) ||
        (is_comm && !is_glob && memchr(n->text, '*', n->text_bytes)))
        return kymo_filter_mistake(f, n->at, "the kernel side cannot compare with this", err);
    memcpy(text, n->text, n->text_bytes);
    text[n->text_bytes] = 0;
    if (is_comm)
        KYMO_TRY(rules_comm(r, text, err));
    else if (n->is_number && n->number.is_whole)
        KYMO_TRY(rules_number(r, KYMO_RULE_CGROUP, n->number.whole, err));
    else
        KYMO_TRY(rules_cgroup(r, text, err));
    return n->op == OP_NE || n->op == OP_NOT_GLOB ? rules_combine(r, KYMO_RULE_NOT, err)
                                                  : KYMO_OK;
}

/* Depth is bounded by the parser. */
static kymo_status put_node(struct kymo_rule *r, const struct kymo_filter *f, uint16_t at,
                            struct kymo_err *err)
{
    const struct node *n = &f->node[at];

    if (n->kind == NODE_COMPARE) {
        const uint8_t field = number_field(n->field);
        if (field)
            return put_number(r, f, n, field, err);
        if (!strcmp(n->field, "comm") || !strcmp(n->field, "cgroup"))
            return put_text(r, f, n, err);
        return kymo_filter_mistake(f, n->at,
                                   "while recording, tasks are told apart by pid, tid, ppid, "
                                   "uid, gid, comm and cgroup",
                                   err);
    }
    KYMO_TRY(put_node(r, f, n->left, err));
    if (n->kind == NODE_NOT)
        return rules_combine(r, KYMO_RULE_NOT, err);
    KYMO_TRY(put_node(r, f, n->right, err));
    return rules_combine(r, n->kind == NODE_AND ? KYMO_RULE_AND : KYMO_RULE_OR, err);
}

kymo_status rules_filter(struct kymo_rule *r, const char *text, struct kymo_err *err)
{
    struct kymo_filter *f;

    KYMO_TRY(kymo_filter_open(&f, text, err));
    const kymo_status s = put_node(r, f, f->root, err);
    kymo_filter_close(f);
    return s;
}
