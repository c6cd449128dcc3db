/* SPDX-License-Identifier: Apache-2.0 */
#include "format/base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/file.h"

/* jansson recurses by depth; count it before parsing, outside strings. */
static kymo_status check_depth(const char *text, size_t n, const char *name,
                               struct kymo_err *err)
{
    int depth = 0;
    int in_string = 0;
    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = 0;
        } else if (c == '"') {
            in_string = 1;
        } else if (c == '[' || c == '{') {
            if (++depth > KYMO_JSON_DEPTH_MAX)
                return KYMO_FAIL(err, KYMO_ELIMIT, i, "%s: nested deeper than %d", name,
                                 KYMO_JSON_DEPTH_MAX);
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return KYMO_OK;
}

kymo_status kymo_json_parse(json_t **out, const char *text, size_t n, const char *name,
                            struct kymo_err *err)
{
    if (n > KYMO_JSON_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%s: longer than %zu bytes", name,
                         KYMO_JSON_BYTES_MAX);
    KYMO_TRY(check_depth(text, n, name, err));
    json_error_t where;
    json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    if (!j)
        return KYMO_FAIL(err, KYMO_EINPUT, (uint64_t)where.position,
                         "%s: not JSON: line %d: %s", name, where.line, where.text);
    *out = j;
    return KYMO_OK;
}

kymo_status kymo_json_read(json_t **out, const char *path, struct kymo_err *err)
{
    struct kymo_buf text = {0};
    KYMO_TRY(kymo_file_read(&text, path, KYMO_JSON_BYTES_MAX, err));
    const kymo_status s = kymo_json_parse(out, (const char *)text.p, text.n, path, err);
    kymo_buf_release(&text);
    return s;
}

static void put_indent(struct kymo_buf *b, int depth)
{
    kymo_buf_u8(b, '\n');
    for (int i = 0; i < depth; i++)
        kymo_buf_u8(b, ' ');
}

static void put_real(struct kymo_buf *b, double v)
{
    char s[40];
    (void)snprintf(s, sizeof(s), "%.17g", v);
    kymo_buf_put(b, s, strlen(s));
    /* A reader tells reals from integers by their look. */
    if (!strpbrk(s, ".eE"))
        kymo_buf_put(b, ".0", 2);
}

/* A matrix row reads best on one line. */
static int all_numbers(const json_t *j)
{
    size_t i;
    json_t *v;
    json_array_foreach (j, i, v) {
        if (!json_is_number(v))
            return 0;
    }
    return 1;
}

static void put_value(struct kymo_buf *b, const json_t *j, int depth);

static void put_array(struct kymo_buf *b, const json_t *j, int depth)
{
    const int one_line = all_numbers(j);
    kymo_buf_u8(b, '[');
    size_t i;
    json_t *v;
    json_array_foreach (j, i, v) {
        if (i)
            kymo_buf_put(b, ", ", one_line ? 2 : 1);
        if (!one_line)
            put_indent(b, depth + 1);
        put_value(b, v, depth + 1);
    }
    if (!one_line)
        put_indent(b, depth);
    kymo_buf_u8(b, ']');
}

static void put_object(struct kymo_buf *b, const json_t *j, int depth)
{
    kymo_buf_u8(b, '{');
    int first = 1;
    /* jansson's iterator takes no const, and changes nothing. */
    json_t *obj = (json_t *)j;
    for (void *it = json_object_iter(obj); it; it = json_object_iter_next(obj, it)) {
        if (!first)
            kymo_buf_u8(b, ',');
        first = 0;
        put_indent(b, depth + 1);
        const char *key = json_object_iter_key(it);
        kymo_json_quote(b, key, strlen(key));
        kymo_buf_put(b, ": ", 2);
        put_value(b, json_object_iter_value(it), depth + 1);
    }
    if (!first)
        put_indent(b, depth);
    kymo_buf_u8(b, '}');
}

static void put_value(struct kymo_buf *b, const json_t *j, int depth)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        put_object(b, j, depth);
        break;
    case JSON_ARRAY:
        put_array(b, j, depth);
        break;
    case JSON_STRING:
        kymo_json_quote(b, json_string_value(j), json_string_length(j));
        break;
    case JSON_INTEGER:
        kymo_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
        break;
    case JSON_REAL:
        put_real(b, json_real_value(j));
        break;
    case JSON_TRUE:
        kymo_buf_put(b, "true", 4);
        break;
    case JSON_FALSE:
        kymo_buf_put(b, "false", 5);
        break;
    case JSON_NULL:
        kymo_buf_put(b, "null", 4);
        break;
    }
}

kymo_status kymo_json_write(const json_t *j, const char *path, int force, struct kymo_err *err)
{
    struct kymo_buf text = {0};
    put_value(&text, j, 0);
    kymo_buf_u8(&text, '\n');
    kymo_status s = KYMO_OK;
    if (text.failed)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory to write %s", path);
    struct kymo_out out = {.fd = -1};
    if (!s)
        s = kymo_out_open(&out, path, force, err);
    if (!s) {
        s = kymo_file_write(out.fd, text.p, text.n, path, err);
        if (!s)
            s = kymo_out_commit(&out, err);
        else
            kymo_out_abort(&out);
    }
    kymo_buf_release(&text);
    return s;
}

void kymo_json_quote(struct kymo_buf *out, const char *s, size_t n)
{
    kymo_buf_u8(out, '"');
    for (size_t i = 0; i < n;) {
        const unsigned char c = (unsigned char)s[i];
        const size_t len = kymo_utf8_bytes(s + i, n - i);
        if (c == '"' || c == '\\') {
            const char pair[2] = {'\\', (char)c};
            kymo_buf_put(out, pair, 2);
        } else if (c < 0x20 || c == 0x7f) {
            kymo_buf_printf(out, "\\u%04x", c);
        } else if (len == 0) {
            kymo_buf_put(out, "\xef\xbf\xbd", 3);
        } else {
            kymo_buf_put(out, s + i, len);
        }
        i += len ? len : 1;
    }
    kymo_buf_u8(out, '"');
}

static const char *type_name(json_type t)
{
    static const char *const name[] = {
        [JSON_OBJECT] = "an object",    [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",     [JSON_INTEGER] = "a whole number",
        [JSON_REAL] = "a number",       [JSON_TRUE] = "a truth value",
        [JSON_FALSE] = "a truth value", [JSON_NULL] = "null",
    };
    return name[t];
}

/* A truth value is asked for as JSON_TRUE, and either is given. */
static int same_type(json_type have, json_type want)
{
    return have == want || (want == JSON_TRUE && have == JSON_FALSE);
}

kymo_status kymo_json_get(const json_t *obj, const char *key, json_type type, const char *name,
                          json_t **out, struct kymo_err *err)
{
    if (!json_is_object(obj))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: \"%s\" looked for outside an object", name, key);
    json_t *v = json_object_get(obj, key);
    if (!v)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: \"%s\" is missing", name, key);
    if (!same_type(json_typeof(v), type))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: \"%s\" is %s, not %s", name, key,
                         type_name(json_typeof(v)), type_name(type));
    *out = v;
    return KYMO_OK;
}

kymo_status kymo_json_get_f64(const json_t *obj, const char *key, const char *name, double *out,
                              struct kymo_err *err)
{
    const json_t *v = json_object_get(obj, key);
    if (v && json_is_integer(v)) {
        *out = (double)json_integer_value(v);
        return KYMO_OK;
    }
    json_t *real;
    KYMO_TRY(kymo_json_get(obj, key, JSON_REAL, name, &real, err));
    if (!isfinite(json_real_value(real)))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: \"%s\" is not finite", name, key);
    *out = json_real_value(real);
    return KYMO_OK;
}

/* Decimal digits alone, no sign, no overflow. */
static int parse_digits(const char *s, uint64_t *out)
{
    if (*s < '0' || *s > '9')
        return 0;
    char *end;
    errno = 0;
    const uintmax_t v = strtoumax(s, &end, 10);
    if (errno || *end || v > UINT64_MAX)
        return 0;
    *out = (uint64_t)v;
    return 1;
}

kymo_status kymo_json_get_u64(const json_t *obj, const char *key, const char *name,
                              uint64_t *out, struct kymo_err *err)
{
    const json_t *v = json_object_get(obj, key);
    if (v && json_is_string(v)) {
        if (!parse_digits(json_string_value(v), out))
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: \"%s\" is no 64-bit number",
                             name, key);
        return KYMO_OK;
    }
    json_t *whole;
    KYMO_TRY(kymo_json_get(obj, key, JSON_INTEGER, name, &whole, err));
    if (json_integer_value(whole) < 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: \"%s\" is negative", name, key);
    *out = (uint64_t)json_integer_value(whole);
    return KYMO_OK;
}

kymo_status kymo_json_get_str(const json_t *obj, const char *key, const char *name,
                              const char **out, struct kymo_err *err)
{
    json_t *v;
    KYMO_TRY(kymo_json_get(obj, key, JSON_STRING, name, &v, err));
    *out = json_string_value(v);
    return KYMO_OK;
}
