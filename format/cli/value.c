/* SPDX-License-Identifier: Apache-2.0
 * Values as people write them: read, and written back.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/bytes.h"
#include "format/base/size.h"
#include "format/cli/cli.h"

struct unit {
    const char *name;
    uint64_t factor;
};

bool kymo_parse_u64(const char *s, uint64_t *v)
{
    if (!isdigit((unsigned char)*s))
        return false;
    char *end;
    errno = 0;
    const uintmax_t n = strtoumax(s, &end, 10);
    if (errno || *end || n > UINT64_MAX)
        return false;
    *v = (uint64_t)n;
    return true;
}

bool kymo_parse_f64(const char *s, double *v)
{
    if (!*s || isspace((unsigned char)*s))
        return false;
    char *end;
    const double n = strtod(s, &end);
    if (end == s || *end || !isfinite(n))
        return false;
    *v = n;
    return true;
}

/* Whole numbers stay exact; with a fraction the product is rounded to the nearest unit. */
static bool scale(const char *number, size_t n, uint64_t factor, uint64_t *out)
{
    char text[40];
    if (n == 0 || n >= sizeof(text))
        return false;
    memcpy(text, number, n);
    text[n] = '\0';
    if (!memchr(text, '.', n)) {
        uint64_t whole;
        uint64_t product;
        if (!kymo_parse_u64(text, &whole) || __builtin_mul_overflow(whole, factor, &product))
            return false;
        *out = product;
        return true;
    }
    double v;
    if (!isdigit((unsigned char)text[0]) || !isdigit((unsigned char)text[n - 1]) ||
        !kymo_parse_f64(text, &v))
        return false;
    v = round(v * (double)factor);
    if (v >= 0x1p64)
        return false;
    *out = (uint64_t)v;
    return true;
}

static bool parse_with_unit(const char *s, const struct unit *unit, size_t n_unit,
                            uint64_t *out)
{
    const size_t digits = strspn(s, "0123456789.");
    for (size_t i = 0; i < n_unit; i++)
        if (strcmp(s + digits, unit[i].name) == 0)
            return scale(s, digits, unit[i].factor, out);
    return false;
}

bool kymo_parse_time_ns(const char *s, uint64_t *ns)
{
    static const struct unit unit[] = {
        {"", 1000000000u},
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000000},
        {"s", 1000000000u},
        {"m", 60u * 1000000000ull},
        {"min", 60u * 1000000000ull},
        {"h", 3600u * 1000000000ull},
        {"d", 86400u * 1000000000ull},
    };
    return parse_with_unit(s, unit, KYMO_COUNT_OF(unit), ns);
}

bool kymo_parse_bytes(const char *s, uint64_t *bytes)
{
    static const struct unit unit[] = {
        {"", 1},           {"B", 1},          {"K", 1u << 10},     {"k", 1u << 10},
        {"KiB", 1u << 10}, {"M", 1u << 20},   {"MiB", 1u << 20},   {"G", 1u << 30},
        {"GiB", 1u << 30}, {"T", 1ull << 40}, {"TiB", 1ull << 40},
    };
    return parse_with_unit(s, unit, KYMO_COUNT_OF(unit), bytes);
}

const char *kymo_human_bytes(char *buf, size_t n, uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    size_t u = 0;
    /* 1023.95 would print as 1024.0 of the smaller unit */
    while (v >= (u ? 1023.95 : 1024.0) && u + 1 < KYMO_COUNT_OF(unit)) {
        v /= 1024;
        u++;
    }
    (void)snprintf(buf, n, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
    return buf;
}

const char *kymo_human_ns(char *buf, size_t n, uint64_t ns)
{
    static const struct {
        const char *name;
        double ns;
        double below; /* of the unit: the next one starts here */
    } unit[] = {
        {"ns", 1, 1000},          {"us", 1e3, 999.95},   {"ms", 1e6, 999.95},
        {"s", 1e9, 119.95},       {"min", 60e9, 119.95}, {"h", 3600e9, 47.95},
        {"d", 86400e9, INFINITY},
    };
    size_t u = 0;
    while ((double)ns / unit[u].ns >= unit[u].below)
        u++;
    (void)snprintf(buf, n, u ? "%.1f %s" : "%.0f %s", (double)ns / unit[u].ns, unit[u].name);
    return buf;
}

const char *kymo_human_count(char *buf, size_t n, uint64_t count)
{
    char digits[24];
    const int len = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    size_t at = 0;
    for (int i = 0; i < len && at + 2 < n; i++) {
        if (i && (len - i) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = digits[i];
    }
    if (n)
        buf[at] = '\0';
    return buf;
}

static uint32_t code_point(const char *s, size_t n)
{
    static const uint8_t mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (uint8_t)s[0] & mask[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((uint8_t)s[i] & 0x3fu);
    return c;
}

/* What turns the reading direction or breaks the line without being an ASCII control. */
static bool obeyed_by_terminals(uint32_t c)
{
    return (c >= 0x80 && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

void kymo_print_safe(FILE *f, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t len = kymo_utf8_bytes(s + i, n - i);
        const uint32_t c = len ? code_point(s + i, len) : (uint8_t)s[i];
        if (!len || c < 0x20 || c == 0x7f)
            fprintf(f, "\\x%02X", (unsigned)c);
        else if (obeyed_by_terminals(c))
            fprintf(f, "\\u{%04X}", (unsigned)c);
        else if (c == '\\')
            fputs("\\\\", f);
        else
            fwrite(s + i, 1, len, f);
        i += len ? len : 1;
    }
}
