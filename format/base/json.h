/* SPDX-License-Identifier: Apache-2.0
 * json.h: JSON through jansson, which this file alone includes for the tree. Size and depth are
 * capped before parsing; 64-bit ids and hashes travel as strings.
 */
#ifndef KYMO_BASE_JSON_H
#define KYMO_BASE_JSON_H

#include <jansson.h>

#include "format/base/err.h"

#define KYMO_JSON_BYTES_MAX ((size_t)256 << 20)
#define KYMO_JSON_DEPTH_MAX 64

/* Parse text of n bytes; duplicate keys, NaN and trailing bytes are refused.
 * out owned: json_decref(). name is the file's, for messages. */
KYMO_MUST_USE kymo_status kymo_json_parse(json_t **out, const char *text, size_t n,
                                          const char *name, struct kymo_err *err);
/* Read and parse a file ("-": stdin). */
KYMO_MUST_USE kymo_status kymo_json_read(json_t **out, const char *path, struct kymo_err *err);
/* Write text: indent 1, reals as %.17g, keys in insertion order; through file.h's
 * write-sync-rename (or to stdout for "-"). */
KYMO_MUST_USE kymo_status kymo_json_write(const json_t *j, const char *path, int force,
                                          struct kymo_err *err);

/* Append s[n] to a text buffer as a JSON string with quotes; bytes that are not UTF-8 become
 * U+FFFD, control characters are escaped. */
struct kymo_buf;
void kymo_json_quote(struct kymo_buf *out, const char *s, size_t n);

/* Typed member access: refuse (EINPUT, naming file and key) what is missing or of another type. */
KYMO_MUST_USE kymo_status kymo_json_get(const json_t *obj, const char *key, json_type type,
                                        const char *name, json_t **out, struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_json_get_f64(const json_t *obj, const char *key,
                                            const char *name, double *out,
                                            struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_json_get_u64(const json_t *obj, const char *key,
                                            const char *name, uint64_t *out,
                                            struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_json_get_str(const json_t *obj, const char *key,
                                            const char *name, const char **out,
                                            struct kymo_err *err);

#endif
