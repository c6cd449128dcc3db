/* SPDX-License-Identifier: Apache-2.0
 * What `perf trace` prints: a call a line, or two where others came in between.
 */
#include <string.h>

#include "format/import/perf.h"
#include "format/import/strace.h"
#include "format/trace/sysname.h"

#define TRACE_START_NS 3600000000000ull /* so that what was before has a time too */

static const char *skip_spaces(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

static bool begins(struct kymo_text t, const char *word)
{
    return t.n >= strlen(word) && memcmp(t.p, word, strlen(word)) == 0;
}

/* Milliseconds since the trace began. What was before that, perf prints as 2^64 ns less so much. */
static const char *take_ms(const char *p, uint64_t *ts_ns)
{
    uint64_t ms, part;
    const char *dot = kymo_import_digits(p, UINT64_MAX / 1000000 + 1, &ms);
    if (!dot || *dot != '.' || !(p = kymo_import_digits(dot + 1, 999, &part)) || p - dot != 4)
        return NULL;
    const uint64_t ns = ms * 1000000 + part * 1000;
    const bool before = ns > (uint64_t)INT64_MAX;
    if (before ? 0 - ns > TRACE_START_NS : ns > INT64_MAX - TRACE_START_NS)
        return NULL;
    *ts_ns = TRACE_START_NS + ns;
    return p;
}

const char *kymo_perf_take_span(const char *line, uint64_t *ts_ns, uint64_t *dur_ns)
{
    const char *p = skip_spaces(line);
    *ts_ns = *dur_ns = KYMO_IMPORT_UNKNOWN;
    if (*p == '?')
        p++;
    else if (!(p = take_ms(p, ts_ns)))
        return NULL;
    if (p[0] != ' ' || p[1] != '(')
        return NULL;
    const char *q = skip_spaces(p + 2);
    if (*q != ')') {
        q = kymo_import_seconds(q, dur_ns);
        if (!q || strncmp(q, " ms)", 4) != 0)
            return NULL;
        *dur_ns /= 1000;
        q += 3;
    }
    return strncmp(q, "): ", 3) == 0 ? q + 3 : NULL;
}

/* "ls/5465 "; what is behind, or NULL. */
static const char *take_task(const char *p, struct kymo_perf_head *h)
{
    uint64_t tid;
    for (const char *slash = p; (slash = strchr(slash, '/')); slash++) {
        const char *end = kymo_import_digits(slash + 1, INT32_MAX, &tid);
        if (!end || *end != ' ')
            continue;
        h->comm = kymo_text_of(p, (size_t)(slash - p));
        h->tid = (uint32_t)tid;
        return skip_spaces(end);
    }
    return NULL;
}

/* "-1 ENOENT (No such file)", "0x7f..", "4", "?" and "" */
static bool take_result(struct kymo_text t, bool *has, int64_t *ret)
{
    uint64_t v = 0;
    size_t n = 0, m;
    while (n < t.n && t.p[n] != ' ')
        n++;
    *has = n && t.p[0] != '?';
    if (*has && !kymo_strace_number(kymo_text_of(t.p, n), &v))
        return false;
    *ret = (int64_t)v;
    const char *word = t.p + n + (n < t.n);
    for (m = 0; word + m < t.p + t.n && word[m] != ' '; m++)
        ;
    const int64_t error = *ret == -1 && m ? kymo_import_error(word, m) : 0;
    *ret = error ? error : *ret;
    return true;
}

/* Zero arguments are left out, so their order tells nothing: those with a name of their own do. */
static void take_trace_args(struct kymo_perf *p, const struct kymo_strace_call *t,
                            struct kymo_import_call *c)
{
    const struct kymo_sysinfo *info = kymo_sysinfo(c->arch, c->nr);
    const int size = kymo_import_size_arg(c->arch, c->nr);
    for (uint32_t i = 0; i < t->n_args; i++) {
        const struct kymo_text a = t->arg[i];
        const char *value = a.n ? memchr(a.p, ' ', a.n) : NULL;
        if (!value)
            continue;
        const struct kymo_text v = kymo_text_of(value + 1, (size_t)(a.p + a.n - value - 1));
        bool cut;
        if (begins(a, "fd: ") && i == 0 && kymo_strace_number(v, &c->arg[0]))
            c->has_arg |= 1;
        else if (begins(a, "count: ") && size >= 0 && kymo_strace_number(v, &c->arg[size]))
            c->has_arg |= (uint8_t)(1u << size);
        kymo_buf_clear(&p->path);
        if (begins(a, "filename: ") && info && info->path >= 0 &&
            kymo_strace_string(v, &p->path, &cut))
            c->path = kymo_text_of((const char *)p->path.p, p->path.n);
    }
}

kymo_status kymo_perf_take_trace(struct kymo_perf *p, char *rest, uint64_t ts_ns,
                                 uint64_t dur_ns, struct kymo_err *err)
{
    static const char continued[] = "... [continued]: ";
    struct kymo_perf_head h = {.ts_ns = ts_ns};
    struct kymo_strace_call t;
    const char *why;
    bool has;
    int64_t ret;
    p->events++;
    rest = (char *)take_task(rest, &h); /* of our own line */
    if (!rest)
        return kymo_input_bad_line(p->in, err, "no task behind the time");
    const bool again = strncmp(rest, continued, sizeof(continued) - 1) == 0;
    rest += again ? sizeof(continued) - 1 : 0;
    const size_t len = strlen(rest);
    if (ts_ns == KYMO_IMPORT_UNKNOWN)
        h.ts_ns = p->now_ns ? p->now_ns : TRACE_START_NS;
    else if (dur_ns != KYMO_IMPORT_UNKNOWN)
        h.ts_ns += dur_ns;
    p->now_ns = h.ts_ns > p->now_ns ? h.ts_ns : p->now_ns;
    struct kymo_import_call c = kymo_perf_call_of(&h);
    c.dur_ns = ts_ns == KYMO_IMPORT_UNKNOWN ? KYMO_IMPORT_UNKNOWN : dur_ns;
    if (len > 4 && strcmp(rest + len - 4, " ...") == 0) { /* its result is on a later line */
        const size_t n = strcspn(rest, "(");
        KYMO_TRY(kymo_sink_name(p->sink, p->arch, rest, n, &c.arch, &c.nr, err));
        return kymo_perf_enter(p, &c, err);
    }
    if (again && len > 2) { /* "execve()) = 0": one bracket too many */
        char *twice = strstr(rest, "))");
        if (twice)
            *twice = ' ';
    }
    if (!kymo_strace_split(rest, &t, &why)) {
        p->other++; /* an event that is no call */
        return strchr(rest, '(') ? KYMO_OK : kymo_input_bad_line(p->in, err, "%s", why);
    }
    if (!take_result(t.result, &has, &ret))
        return kymo_input_bad_line(p->in, err, "a call's result is no number");
    KYMO_TRY(kymo_sink_name(p->sink, p->arch, t.name.p, t.name.n, &c.arch, &c.nr, err));
    if (again)
        return kymo_perf_leave(p, &c, has, ret, err);
    take_trace_args(p, &t, &c);
    c.has_ret = has;
    c.ret = ret;
    const bool exits =
        c.arch != KYMO_IMPORT_ARCH_NAMED && t.name.n >= 4 && begins(t.name, "exit");
    const bool cut = t.result.n && t.result.p[0] == '?';
    c.flags |= exits ? KYMO_CALL_AT_ENTRY : cut ? KYMO_CALL_UNFINISHED : 0;
    return kymo_sink_call(p->sink, &c, err);
}
