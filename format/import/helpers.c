/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "format/base/size.h"
#include "format/import/import.h"
#include "format/trace/sysname.h"

#define SECOND 1000000000ull

const char *kymo_import_digits(const char *s, uint64_t max, uint64_t *v)
{
    uint64_t n = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9'; p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (n > (max - digit) / 10 && (n > max / 10 || n * 10 > max - digit))
            return NULL;
        n = n * 10 + digit;
    }
    if (p == s)
        return NULL;
    *v = n;
    return p;
}

/* ".000345" at s to ns, or nothing there. */
static const char *fraction(const char *s, uint64_t *ns)
{
    uint64_t unit = SECOND / 10;
    *ns = 0;
    if (*s != '.')
        return s;
    for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
        *ns += (uint64_t)(*s - '0') * unit;
    return s;
}

const char *kymo_import_seconds(const char *s, uint64_t *ns)
{
    uint64_t whole, part;
    const char *p = kymo_import_digits(s, UINT64_MAX / SECOND - 1, &whole);
    if (!p)
        return NULL;
    p = fraction(p, &part);
    *ns = whole * SECOND + part;
    return p;
}

const char *kymo_import_daytime(const char *s, uint64_t *ns)
{
    uint64_t hour, minute, second, part;
    const char *p = kymo_import_digits(s, 23, &hour);
    if (!p || *p != ':' || !(p = kymo_import_digits(p + 1, 59, &minute)) || *p != ':' ||
        !(p = kymo_import_digits(p + 1, 60, &second)))
        return NULL;
    p = fraction(p, &part);
    *ns = ((hour * 60 + minute) * 60 + second) * SECOND + part;
    return p;
}

/* Days since 1970 of a day of the Gregorian calendar, year >= 1970. */
static uint64_t days_of(uint64_t year, uint64_t month, uint64_t day)
{
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const uint64_t leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const uint64_t y = year - 1;
    return (year - 1970) * 365 + (y / 4 - y / 100 + y / 400) -
           (1969 / 4 - 1969 / 100 + 1969 / 400) + before[month - 1] + (month > 2 ? leap : 0) +
           day - 1;
}

bool kymo_import_rfc3339(const char *s, uint64_t *ns)
{
    uint64_t year, month, day, within, hour = 0, minute = 0;
    if (!(s = kymo_import_digits(s, 2400, &year)) || *s != '-' ||
        !(s = kymo_import_digits(s + 1, 12, &month)) || *s != '-' ||
        !(s = kymo_import_digits(s + 1, 31, &day)) || (*s != 'T' && *s != ' ') ||
        !(s = kymo_import_daytime(s + 1, &within)) || year < 1971 || !month || !day)
        return false;
    const char sign = *s;
    if (sign == '+' || sign == '-') {
        if (!(s = kymo_import_digits(s + 1, 23, &hour)) || *s != ':' ||
            !kymo_import_digits(s + 1, 59, &minute))
            return false;
    } else if (sign != 'Z') {
        return false;
    }
    const uint64_t zone = (hour * 60 + minute) * 60 * SECOND;
    *ns = days_of(year, month, day) * 86400 * SECOND + within;
    *ns = sign == '+' ? *ns - zone : *ns + zone;
    return true;
}

uint32_t kymo_import_signal(const char *name, size_t n)
{
    static const char *const signal[] = {
        "",       "HUP",  "INT",    "QUIT", "ILL",   "TRAP", "ABRT", "BUS",
        "FPE",    "KILL", "USR1",   "SEGV", "USR2",  "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT",   "STOP", "TSTP",  "TTIN", "TTOU", "URG",
        "XCPU",   "XFSZ", "VTALRM", "PROF", "WINCH", "IO",   "PWR",  "SYS"};
    if (n > 3 && memcmp(name, "SIG", 3) == 0) {
        name += 3;
        n -= 3;
    }
    for (uint32_t i = 1; i < KYMO_COUNT_OF(signal); i++)
        if (n == strlen(signal[i]) && memcmp(name, signal[i], n) == 0)
            return i;
    return 0;
}

int kymo_import_size_arg(uint32_t arch, uint32_t nr)
{
    static const struct {
        const char *name;
        int arg;
    } sized[] = {
        {"read", 2},      {"write", 2},           {"pread64", 2},  {"pwrite64", 2},
        {"sendto", 2},    {"recvfrom", 2},        {"sendfile", 3}, {"splice", 4},
        {"getrandom", 1}, {"copy_file_range", 4},
    };
    const struct kymo_sysinfo *info = kymo_sysinfo(arch, nr);
    for (size_t i = 0; info && i < KYMO_COUNT_OF(sized); i++)
        if (strcmp(info->name, sized[i].name) == 0)
            return sized[i].arg;
    return -1;
}

void kymo_import_quote(struct kymo_buf *line, const char *s, size_t n)
{
    bool plain = n > 0;
    for (size_t i = 0; i < n; i++)
        if (strchr(" \t\n\v\f\r'\"\\$`", s[i]))
            plain = false;
    if (line->n)
        kymo_buf_u8(line, ' ');
    if (plain) {
        kymo_buf_put(line, s, n);
        return;
    }
    kymo_buf_u8(line, '\'');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\'')
            kymo_buf_put(line, "'\\'", 3);
        kymo_buf_u8(line, (uint8_t)s[i]);
    }
    kymo_buf_u8(line, '\'');
}

struct kymo_text kymo_import_comm_of(struct kymo_text exe)
{
    size_t at = exe.n;
    while (at && exe.p[at - 1] != '/')
        at--;
    const size_t n = exe.n - at;
    return kymo_text_of(exe.p ? exe.p + at : NULL, n < 15 ? n : 15);
}

int64_t kymo_import_error(const char *name, size_t n)
{
    /* The kernel's own, which a tracer sees and a program does not. */
    static const struct {
        const char *name;
        int value;
    } inner[] = {
        {"EPROBE_DEFER", 517}, {"EOPENSTALE", 518},   {"ENOPARAM", 519},
        {"EBADHANDLE", 521},   {"ENOTSYNC", 522},     {"EBADCOOKIE", 523},
        {"ETOOSMALL", 525},    {"ESERVERFAULT", 526}, {"EBADTYPE", 527},
        {"EJUKEBOX", 528},     {"EIOCBQUEUED", 529},  {"ERECALLCONFLICT", 530},
    };
    char word[32];
    if (!n || n >= sizeof(word))
        return 0;
    memcpy(word, name, n);
    word[n] = '\0';
    uint64_t v;
    const char *end;
    if (strncmp(word, "ERRNO_", 6) == 0 && (end = kymo_import_digits(word + 6, 4095, &v)) &&
        !*end)
        return -(int64_t)v;
    for (size_t i = 0; i < KYMO_COUNT_OF(inner); i++)
        if (strcmp(inner[i].name, word) == 0)
            return -inner[i].value;
    const int known = kymo_errno_value(word);
    return known > 0 ? -known : 0;
}
