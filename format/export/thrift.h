/* SPDX-License-Identifier: Apache-2.0
 * thrift.h: Thrift's compact protocol, written. Fields of a struct come in rising order of their
 * numbers; a struct or a list that was begun is filled by the caller before the next field.
 *
 *     kymo_thrift_begin(&t);
 *     kymo_thrift_i32(&t, 1, 7);
 *     kymo_thrift_struct(&t, 2);      a struct within
 *     kymo_thrift_end(&t);
 *     kymo_thrift_end(&t);
 */
#ifndef KYMO_EXPORT_THRIFT_H
#define KYMO_EXPORT_THRIFT_H

#include "format/base/bytes.h"

#define KYMO_THRIFT_DEPTH_MAX 12

enum kymo_thrift_type {
    KYMO_THRIFT_TRUE = 1,
    KYMO_THRIFT_FALSE = 2,
    KYMO_THRIFT_BYTE = 3,
    KYMO_THRIFT_I16 = 4,
    KYMO_THRIFT_I32 = 5,
    KYMO_THRIFT_I64 = 6,
    KYMO_THRIFT_BINARY = 8,
    KYMO_THRIFT_LIST = 9,
    KYMO_THRIFT_STRUCT = 12,
};

struct kymo_thrift {
    struct kymo_buf *out; /* borrowed */
    int depth;
    int16_t last[KYMO_THRIFT_DEPTH_MAX]; /* field written last, a level */
};

static inline struct kymo_thrift kymo_thrift_on(struct kymo_buf *out)
{
    const struct kymo_thrift t = {.out = out, .depth = -1};
    return t;
}

/* A struct that is the whole message, or an item of a list. */
void kymo_thrift_begin(struct kymo_thrift *t);
/* A struct that is a field. */
void kymo_thrift_struct(struct kymo_thrift *t, int16_t field);
void kymo_thrift_end(struct kymo_thrift *t);

void kymo_thrift_bool(struct kymo_thrift *t, int16_t field, int v);
void kymo_thrift_byte(struct kymo_thrift *t, int16_t field, int8_t v);
void kymo_thrift_i32(struct kymo_thrift *t, int16_t field, int32_t v);
void kymo_thrift_i64(struct kymo_thrift *t, int16_t field, int64_t v);
void kymo_thrift_binary(struct kymo_thrift *t, int16_t field, const void *p, size_t n);
void kymo_thrift_text(struct kymo_thrift *t, int16_t field, const char *s);
/* The head of a list of n items; they follow: structs by _begin and _end, others by _item_. */
void kymo_thrift_list(struct kymo_thrift *t, int16_t field, enum kymo_thrift_type type,
                      size_t n);
void kymo_thrift_item_i32(struct kymo_thrift *t, int32_t v);
void kymo_thrift_item_text(struct kymo_thrift *t, const char *s);

#endif
