/* SPDX-License-Identifier: Apache-2.0
 * filter_own.h: what the parser of filters and those who ask them share. The tree is an array of nodes.
 */
#ifndef KYMO_TRACE_FILTER_OWN_H
#define KYMO_TRACE_FILTER_OWN_H

#include "format/trace/filter.h"

enum op { OP_TRUTH, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_GLOB, OP_NOT_GLOB };
enum node_kind { NODE_COMPARE, NODE_NOT, NODE_AND, NODE_OR };
enum source { FROM_COLUMN, FROM_SYSCALL, FROM_ERRNO, FROM_TIME };
enum unit { UNIT_NONE, UNIT_TIME, UNIT_SIZE };

/* A number as it was written: exact where it is whole. */
struct number {
    uint64_t whole; /* magnitude */
    double real;    /* signed */
    int is_whole, is_negative;
    enum unit unit;
};

struct node {
    enum node_kind kind;
    enum op op;
    uint16_t left, right; /* of NOT, AND, OR */
    uint32_t at;          /* in the text, for messages */
    const char *field;    /* arena */
    const char *text;     /* the value as text, arena */
    size_t text_bytes;
    int is_number;
    struct number number;
    /* bound */
    enum source source;
    uint32_t column, column2;
    enum kymo_type type;
    struct number scaled;
    uint8_t *memo; /* [memo_n] 0 unknown, 1 false, 2 true; by string or key of the batch */
    size_t memo_cap;
};

struct kymo_filter {
    struct kymo_arena arena;
    const char *text;
    size_t n_text, at;
    struct node node[KYMO_FILTER_NODES_MAX];
    uint16_t n_nodes, root;
    const struct kymo_schema *schema;
    const struct kymo_names *names;
    uint64_t start_ns;
    const struct kymo_batch *batch;
};

/* The text into nodes. errors EUSAGE, with the place */
KYMO_MUST_USE kymo_status kymo_filter_parse(struct kymo_filter *f, const char *text,
                                            struct kymo_err *err);
/* A mistake at this place of the text: EUSAGE. */
kymo_status kymo_filter_mistake(const struct kymo_filter *f, size_t at, const char *what,
                                struct kymo_err *err);
/* v times factor, exact as long as it fits. */
void kymo_filter_scale(struct number *v, uint64_t factor);

#endif
