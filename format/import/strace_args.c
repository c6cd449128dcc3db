/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "format/base/size.h"
#include "format/import/strace.h"

/* Behind the closing quote of the string that begins at s, NULL when it is open. */
static const char *skip_string(const char *s)
{
    for (s++; *s && *s != '"'; s++)
        if (*s == '\\' && s[1])
            s++;
    return *s ? s + 1 : NULL;
}

/* Behind "<...>" that says what an fd is, at s. Paths in it have their own < and > escaped, so that
 * these nest; "->" is an arrow. */
static const char *skip_annotation(const char *s)
{
    size_t depth = 0;
    for (; *s; s++) {
        if (*s == '"') {
            s = skip_string(s);
            if (!s)
                return NULL;
            s--;
        } else if (*s == '<') {
            depth++;
        } else if (*s == '>' && s[-1] != '-' && --depth == 0) {
            return s + 1;
        }
    }
    return NULL;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c == '_';
}

/* One step forward: over a string, a comment, an annotation or a byte; NULL when it is open. */
static const char *step_over(const char *s, const char *start)
{
    if (*s == '"')
        return skip_string(s);
    if (*s == '/' && s[1] == '*') {
        const char *end = strstr(s + 2, "*/");
        return end ? end + 2 : NULL;
    }
    if (*s == '<' && s[1] == '<')
        return s + 2;
    if (*s == '<' && s > start && is_word(s[-1]))
        return skip_annotation(s);
    return s + 1;
}

const char *kymo_strace_arg_end(const char *s)
{
    const char *const start = s;
    size_t depth = 0;
    while (*s) {
        if (!depth && (*s == ',' || *s == ')'))
            return s;
        if (*s == '(' || *s == '[' || *s == '{')
            depth++;
        else if ((*s == ')' || *s == ']' || *s == '}') && depth)
            depth--;
        s = step_over(s, start);
        if (!s)
            return NULL;
    }
    return depth ? NULL : s;
}

static struct kymo_text trim(const char *from, const char *to)
{
    while (from < to && *from == ' ')
        from++;
    while (to > from && to[-1] == ' ')
        to--;
    return kymo_text_of(from, (size_t)(to - from));
}

bool kymo_strace_split(const char *text, struct kymo_strace_call *c, const char **why)
{
    const char *p = text;
    while (is_word(*p) || *p == '?')
        p++;
    *why = "no call: a name and a bracket are wanted";
    if (p == text || *p != '(')
        return false;
    c->name = kymo_text_of(text, (size_t)(p - text));
    c->n_args = 0;
    do {
        const char *end = kymo_strace_arg_end(++p);
        *why = "a quote or a bracket is open at the end";
        if (!end || !*end)
            return false;
        const struct kymo_text arg = trim(p, end);
        if (c->n_args < KYMO_STRACE_ARGS_MAX && (arg.n || *end == ',' || c->n_args))
            c->arg[c->n_args++] = arg;
        p = end;
    } while (*p == ',');
    p++;
    while (*p == ' ')
        p++;
    *why = "no '=' and result behind the call";
    if (*p != '=')
        return false;
    p++;
    c->result = trim(p, p + strlen(p));
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Digits of a base at s, before end; the place behind them, NULL: none, or past 64 bits. */
static const char *digits(const char *s, const char *end, uint64_t base, uint64_t *v)
{
    const char *const start = s;
    uint64_t n = 0;
    for (; s < end; s++) {
        const int d = hex_digit(*s);
        if (d < 0 || (uint64_t)d >= base)
            break;
        if (n > (UINT64_MAX - (uint64_t)d) / base)
            return NULL;
        n = n * base + (uint64_t)d;
    }
    *v = n;
    return s > start ? s : NULL;
}

static bool begins(struct kymo_text t, const char *word)
{
    const size_t n = strlen(word);
    return t.n >= n && memcmp(t.p, word, n) == 0;
}

bool kymo_strace_number(struct kymo_text arg, uint64_t *v)
{
    const char *s = arg.p, *const end = arg.p + arg.n;
    if (begins(arg, "NULL") && arg.n == 4) {
        *v = 0;
        return true;
    }
    if (begins(arg, "AT_FDCWD") && (arg.n == 8 || s[8] == '<')) {
        *v = (uint64_t)-100;
        return true;
    }
    const bool minus = s < end && *s == '-';
    s += minus;
    if (end - s > 2 && s[0] == '0' && s[1] == 'x')
        s = digits(s + 2, end, 16, v);
    else if (end - s > 1 && s[0] == '0' && hex_digit(s[1]) >= 0)
        s = digits(s + 1, end, 8, v);
    else
        s = digits(s, end, 10, v);
    if (!s || (s < end && *s != '<' && *s != ' '))
        return false;
    if (s < end && *s == ' ' && strncmp(s, " /*", 3) != 0)
        return false;
    if (s + 1 < end && s[0] == '<' && s[1] == '<')
        return false;
    *v = minus ? 0 - *v : *v;
    return true;
}

/* One escape behind a backslash at s; the place behind it. */
static const char *unescape(const char *s, const char *end, struct kymo_buf *out)
{
    static const char from[] = "ntrvfabe", to[] = "\n\t\r\v\f\a\b\033";
    uint64_t v = 0;
    const char *known = *s ? strchr(from, *s) : NULL;
    if (known) {
        kymo_buf_u8(out, (uint8_t)to[known - from]);
        return s + 1;
    }
    if (*s == 'x') {
        const char *to_here = digits(s + 1, s + 3 < end ? s + 3 : end, 16, &v);
        kymo_buf_u8(out, (uint8_t)v);
        return to_here ? to_here : s + 1;
    }
    if (*s >= '0' && *s <= '7') {
        const char *to_here = digits(s, s + 3 < end ? s + 3 : end, 8, &v);
        kymo_buf_u8(out, (uint8_t)v);
        return to_here;
    }
    kymo_buf_u8(out, (uint8_t)*s);
    return s + 1;
}

bool kymo_strace_string(struct kymo_text arg, struct kymo_buf *out, bool *cut)
{
    const char *s = arg.p, *const end = arg.p + arg.n;
    if (s == end || *s != '"')
        return false;
    for (s++; s < end && *s != '"';) {
        if (*s == '\\' && s + 1 < end)
            s = unescape(s + 1, end, out);
        else
            kymo_buf_u8(out, (uint8_t)*s++);
    }
    *cut = end - s >= 4 && memcmp(s, "\"...", 4) == 0;
    return s < end;
}

/* ---- addresses ------------------------------------------------------------------------------------ */

/* What follows a word inside the argument, NULL where it is not there. */
static const char *after(struct kymo_text arg, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= arg.n; i++)
        if (memcmp(arg.p + i, word, n) == 0)
            return arg.p + i + n;
    return NULL;
}

static struct kymo_text rest(struct kymo_text arg, const char *from)
{
    return kymo_text_of(from, (size_t)(arg.p + arg.n - from));
}

static bool put_inet(struct kymo_text arg, const char *family, const char *port_word,
                     const char *host_word, struct kymo_buf *out)
{
    const char *port = after(arg, port_word), *host = after(arg, host_word);
    uint64_t n;
    bool cut;
    if (!port || !host || !digits(port, arg.p + arg.n, 10, &n))
        return false;
    const bool six = family[4] == '6';
    kymo_buf_printf(out, "%s:%s", family, six ? "[" : "");
    if (!kymo_strace_string(rest(arg, host), out, &cut))
        return false;
    kymo_buf_printf(out, "%s:%llu", six ? "]" : "", (unsigned long long)n);
    return true;
}

static bool put_unix(struct kymo_text arg, struct kymo_buf *out)
{
    const char *path = after(arg, "path=");
    bool cut;
    kymo_buf_printf(out, "unix:");
    if (!path)
        return true; /* unnamed */
    if (path < arg.p + arg.n && *path == '@') {
        kymo_buf_u8(out, '@');
        path++;
    }
    return kymo_strace_string(rest(arg, path), out, &cut);
}

bool kymo_strace_addr(struct kymo_text arg, struct kymo_buf *out)
{
    const char *family = after(arg, "sa_family=");
    if (!arg.n || arg.p[0] != '{' || !family)
        return false;
    const struct kymo_text f = rest(arg, family);
    if (begins(f, "AF_INET6"))
        return put_inet(arg, "inet6", "sin6_port=htons(", "inet_pton(AF_INET6, ", out);
    if (begins(f, "AF_INET"))
        return put_inet(arg, "inet", "sin_port=htons(", "inet_addr(", out);
    if (begins(f, "AF_UNIX") || begins(f, "AF_LOCAL") || begins(f, "AF_FILE"))
        return put_unix(arg, out);
    const char *pid = begins(f, "AF_NETLINK") ? after(arg, "pid=") : NULL;
    uint64_t n;
    if (pid && digits(pid, arg.p + arg.n, 10, &n)) {
        kymo_buf_printf(out, "netlink:%llu", (unsigned long long)n);
        return true;
    }
    size_t len = 0;
    while (len < f.n && is_word(f.p[len]))
        len++;
    kymo_buf_printf(out, "family:%.*s", (int)len, f.p);
    return true;
}
