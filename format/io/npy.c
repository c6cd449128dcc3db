/* SPDX-License-Identifier: Apache-2.0 */
#include "format/io/npy.h"

#include <stdio.h>
#include <string.h>

#include "format/base/file.h"
#include "format/base/size.h"

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
#define NPY_HEADER_BYTES_MAX 65536u
#define NPY_ALIGN 64u

struct shape {
    size_t n, d;
    size_t item_bytes; /* 4 or 8 */
};

/* What stands after 'key': in the header's dictionary; NULL when the key is not there. */
static const char *find_value(const char *header, const char *key)
{
    const char *p = strstr(header, key);
    if (!p)
        return NULL;
    p += strlen(key);
    while (*p == ' ')
        p++;
    if (*p++ != ':')
        return NULL;
    while (*p == ' ')
        p++;
    return p;
}

static int read_number(const char **p, size_t *out)
{
    size_t v = 0;
    if (**p < '0' || **p > '9')
        return 0;
    while (**p >= '0' && **p <= '9') {
        if (!kymo_size_mul(v, 10, &v) || !kymo_size_add(v, (size_t)(**p - '0'), &v))
            return 0;
        (*p)++;
    }
    while (**p == ' ' || **p == ',')
        (*p)++;
    *out = v;
    return 1;
}

static kymo_status parse_shape(const char *p, struct shape *s, const char *name,
                               struct kymo_err *err)
{
    if (*p++ != '(')
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                         "%s: the shape in its header is no tuple", name);
    size_t dim[2] = {0, 1}, dims = 0;
    while (*p != ')') {
        if (dims == 2)
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has more than two dimensions",
                             name);
        if (!read_number(&p, &dim[dims++]))
            return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                             "%s: the shape in its header is damaged", name);
    }
    if (dims == 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s is a single number, not a matrix",
                         name);
    s->n = dim[0];
    s->d = dim[1];
    return KYMO_OK;
}

static kymo_status parse_header(const char *header, struct shape *s, const char *name,
                                struct kymo_err *err)
{
    const char *descr = find_value(header, "'descr'"),
               *order = find_value(header, "'fortran_order'");
    const char *shape = find_value(header, "'shape'");
    if (!descr || !order || !shape)
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                         "%s: its header lacks descr, fortran_order or shape", name);
    if (strncmp(descr, "'<f8'", 5) == 0)
        s->item_bytes = 8;
    else if (strncmp(descr, "'<f4'", 5) == 0)
        s->item_bytes = 4;
    else
        return KYMO_FAIL(
            err, KYMO_EINPUT, KYMO_NOWHERE,
            "%s holds %.12s, only '<f4' and '<f8' are read; save it with .astype('<f8')", name,
            descr);
    if (strncmp(order, "False", 5) != 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s is in Fortran order; save it with numpy.ascontiguousarray", name);
    return parse_shape(shape, s, name, err);
}

static kymo_status name_columns(struct kymo_matrix *m, struct kymo_err *err)
{
    m->column = KYMO_NEW(&m->arena, struct kymo_matrix_column, m->d);
    for (size_t j = 0; m->column && j < m->d; j++) {
        char word[24];
        const int n = snprintf(word, sizeof(word), "x%zu", j);
        m->column[j].unit = "";
        m->column[j].name = kymo_arena_str(&m->arena, word, (size_t)n);
        if (!m->column[j].name)
            m->column = NULL;
    }
    return m->column ? KYMO_OK
                     : KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                                 "column names pass the memory budget");
}

static kymo_status read_values(struct kymo_matrix *m, const struct shape *s, const uint8_t *p,
                               struct kymo_err *err)
{
    m->is_f32 = s->item_bytes == 4;
    KYMO_TRY(kymo_matrix_reserve(m, s->n, err));
    for (size_t i = 0; i < s->n * s->d; i++) {
        if (m->is_f32) {
            const uint32_t bits = kymo_load_u32(p + 4 * i);
            memcpy(&m->X32[i], &bits, sizeof(bits));
        } else {
            const uint64_t bits = kymo_load_u64(p + 8 * i);
            memcpy(&m->X[i], &bits, sizeof(bits));
        }
    }
    m->values.n = s->n * s->d * s->item_bytes;
    m->n = s->n;
    return KYMO_OK;
}

kymo_status kymo_npy_parse(struct kymo_matrix *m, struct kymo_bytes in, const char *name,
                           struct kymo_err *err)
{
    struct kymo_bytes head;
    KYMO_TRY(kymo_bytes_take(&in, sizeof(magic), &head, err));
    if (memcmp(head.p, magic, sizeof(magic)) != 0)
        return KYMO_FAIL(err, KYMO_EINPUT, 0, "%s is no .npy file", name);
    uint8_t major, minor;
    uint32_t bytes;
    uint16_t bytes16;
    KYMO_TRY(kymo_bytes_u8(&in, &major, err));
    KYMO_TRY(kymo_bytes_u8(&in, &minor, err));
    if (major < 1 || major > 3)
        return KYMO_FAIL(err, KYMO_EINPUT, 6, "%s is .npy version %u, only 1 to 3 are known",
                         name, major);
    if (major == 1) {
        KYMO_TRY(kymo_bytes_u16(&in, &bytes16, err));
        bytes = bytes16;
    } else {
        KYMO_TRY(kymo_bytes_u32(&in, &bytes, err));
    }
    if (bytes > NPY_HEADER_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ECORRUPT, 8, "%s: a header of %u bytes", name, bytes);
    KYMO_TRY(kymo_bytes_take(&in, bytes, &head, err));
    char *text = kymo_arena_str(&m->arena, (const char *)head.p, head.left);
    if (!text)
        return KYMO_FAIL(err, KYMO_ELIMIT, 8, "the header passes the memory budget");
    struct shape s;
    size_t cells, want;
    KYMO_TRY(parse_header(text, &s, name, err));
    if (!kymo_size_mul(s.n, s.d, &cells) || !kymo_size_mul(cells, s.item_bytes, &want) ||
        want != in.left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, in.at_bytes,
                         "%s: %zu rows of %zu do not make its %zu bytes", name, s.n, s.d,
                         in.left);
    if (s.d == 0 || s.d > KYMO_MATRIX_COLUMNS_MAX)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has %zu columns, 1 to %u can be",
                         name, s.d, KYMO_MATRIX_COLUMNS_MAX);
    m->d = s.d;
    KYMO_TRY(name_columns(m, err));
    KYMO_TRY(read_values(m, &s, in.p, err));
    return kymo_matrix_check(m, name, err);
}

static kymo_status write_header(int fd, const char *descr, const char *shape, const char *name,
                                struct kymo_err *err)
{
    char text[256];
    memcpy(text, magic, sizeof(magic));
    text[6] = 1;
    text[7] = 0;
    int n = snprintf(text + 10, sizeof(text) - 10,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
    size_t end = 10 + (size_t)n;
    while ((end + 1) % NPY_ALIGN)
        text[end++] = ' ';
    text[end++] = '\n';
    kymo_store_u16((uint8_t *)text + 8, (uint16_t)(end - 10));
    return kymo_file_write(fd, text, end, name, err);
}

kymo_status kymo_npy_write(int fd, size_t n, size_t d, const double *X, const char *name,
                           struct kymo_err *err)
{
    char shape[64];
    snprintf(shape, sizeof(shape), "%zu, %zu", n, d);
    KYMO_TRY(write_header(fd, "<f8", shape, name, err));
    struct kymo_buf row = {0};
    for (size_t i = 0; i < n; i++) {
        kymo_buf_clear(&row);
        for (size_t j = 0; j < d; j++) {
            uint64_t bits;
            memcpy(&bits, &X[i * d + j], sizeof(bits));
            kymo_buf_u64(&row, bits);
        }
        kymo_status s = KYMO_OK;
        if (row.failed)
            s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %s", name);
        else
            s = kymo_file_write(fd, row.p, row.n, name, err);
        if (s) {
            kymo_buf_release(&row);
            return s;
        }
    }
    kymo_buf_release(&row);
    return KYMO_OK;
}

kymo_status kymo_npy_write_labels(int fd, size_t n, const uint32_t *label, const char *name,
                                  struct kymo_err *err)
{
    char shape[64];
    snprintf(shape, sizeof(shape), "%zu,", n);
    KYMO_TRY(write_header(fd, "<i4", shape, name, err));
    struct kymo_buf out = {0};
    for (size_t i = 0; i < n; i++)
        kymo_buf_u32(&out, label[i]);
    kymo_status s = KYMO_OK;
    if (out.failed)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %s", name);
    else
        s = kymo_file_write(fd, out.p, out.n, name, err);
    kymo_buf_release(&out);
    return s;
}
