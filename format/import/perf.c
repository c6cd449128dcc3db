/* SPDX-License-Identifier: Apache-2.0
 * What `perf script` and `perf trace` print.
 *
 *   # captured on: ...
 *         sh  5505 [001] 13227.305545: raw_syscalls:sys_enter: NR 257 (ffffff9c, 7fd3d28840b1, 80000, 0, 0, 0)
 *         sh  5505/5506 [001] 13227.305550: syscalls:sys_exit_openat: 0x3
 *         sh  5505 [001] 13227.305560:   10101 cycles:          (a sample: in no table)
 *                  ffffffff8103d0ca native_write_msr ([kernel])  (and its stack)
 *
 *      0.554 ( 0.024 ms): ls/5465 openat(dfd: CWD, filename: 0x2ae3e0b1, flags: RDONLY) = 4
 *          ? (         ): ls/5465  ... [continued]: execve()) = 0
 */
#include "format/import/perf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"

static void close_perf(void *ctx)
{
    struct kymo_perf *p = ctx;
    kymo_pairs_close(p->pairs);
    kymo_buf_release(&p->path);
    free(p);
}

static kymo_status open_perf(void **ctx, struct kymo_input *in,
                             const struct kymo_import_opts *o, struct kymo_sink *sink,
                             struct kymo_err *err)
{
    struct kymo_perf *p = calloc(1, sizeof(*p));
    if (!p)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    const kymo_status s = kymo_pairs_open(&p->pairs, sink, err);
    if (s) {
        free(p);
        return s;
    }
    p->in = in;
    p->sink = sink;
    p->arch = o->arch ? o->arch : KYMO_ARCH_X86_64;
    *ctx = p;
    KYMO_TRY(kymo_sink_fact(sink, "times",
                            "perf's clock (script), or since the trace began (trace)", err));
    return kymo_sink_fact(
        sink, "unknown",
        "the wall clock, cgroup, credentials, paths behind pointers, events that perf "
        "was not told to record",
        err);
}

/* ---- perf script ------------------------------------------------------------------------------------------ */

static const char *skip_spaces(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

/* " 5505", " 5505/5506" and " [001]", "13227.305545:", "10101 " behind the name; the place behind, or NULL. */
static const char *take_ids(const char *p, struct kymo_perf_head *h)
{
    uint64_t pid, v;
    const char *q;
    p = kymo_import_digits(skip_spaces(p), INT32_MAX, &pid);
    if (!p || (*p != ' ' && *p != '/'))
        return NULL;
    h->tid = (uint32_t)pid;
    if (*p == '/') {
        h->pid = (uint32_t)pid;
        p = kymo_import_digits(p + 1, INT32_MAX, &v);
        if (!p || *p != ' ')
            return NULL;
        h->tid = (uint32_t)v;
    }
    p = skip_spaces(p);
    if (*p == '[') {
        q = kymo_import_digits(p + 1, UINT16_MAX, &v);
        if (!q || *q != ']')
            return NULL;
        h->cpu = (uint32_t)v;
        p = skip_spaces(q + 1);
    }
    q = kymo_import_seconds(p, &h->ts_ns);
    h->has_time = q && q[0] == ':' && (q[1] == ' ' || !q[1]) && memchr(p, '.', (size_t)(q - p));
    return skip_spaces(h->has_time ? q + 1 : p);
}

/* A period may stand before the event's name, which ends in a colon. */
static bool take_event_name(const char *p, struct kymo_perf_head *h)
{
    uint64_t period;
    const char *q = kymo_import_digits(p, UINT64_MAX, &period);
    if (q && *q == ' ')
        p = skip_spaces(q);
    const size_t n = strcspn(p, " ");
    if (n < 2 || p[n - 1] != ':')
        return false;
    h->event = kymo_text_of(p, n - 1);
    h->rest = skip_spaces(p + n);
    return true;
}

/* A program's name may hold spaces and digits: the first place behind which all else fits is its end. */
static bool parse_head(const char *line, struct kymo_perf_head *h)
{
    const char *const name = skip_spaces(line);
    for (const char *p = name; *p && p - name <= 32; p++) {
        if (*p != ' ' || p == name)
            continue;
        memset(h, 0, sizeof(*h));
        const char *q = take_ids(p, h);
        if (q && take_event_name(q, h)) {
            h->comm = kymo_text_of(name, (size_t)(p - name));
            return true;
        }
    }
    return false;
}

static bool begins(struct kymo_text t, const char *word)
{
    return t.n >= strlen(word) && memcmp(t.p, word, strlen(word)) == 0;
}

static bool is(struct kymo_text t, const char *word)
{
    return t.n == strlen(word) && begins(t, word);
}

/* Behind "0x" or not, hex; the place behind it, or NULL. */
static const char *take_hex(const char *s, uint64_t *v)
{
    s += s[0] == '0' && s[1] == 'x' ? 2 : 0;
    const size_t n = strspn(s, "0123456789abcdef");
    if (!n || n > 16)
        return NULL;
    *v = strtoull(s, NULL, 16);
    return s + n;
}

struct kymo_import_call kymo_perf_call_of(const struct kymo_perf_head *h)
{
    return (struct kymo_import_call){.ts_ns = h->ts_ns,
                                     .dur_ns = KYMO_IMPORT_UNKNOWN,
                                     .pid = h->pid,
                                     .tid = h->tid,
                                     .cpu = h->cpu,
                                     .comm = h->comm};
}

kymo_status kymo_perf_enter(struct kymo_perf *p, struct kymo_import_call *c,
                            struct kymo_err *err)
{
    return kymo_pairs_enter(p->pairs, c, c->nr << 1 | (c->arch == KYMO_IMPORT_ARCH_NAMED), err);
}

kymo_status kymo_perf_leave(struct kymo_perf *p, struct kymo_import_call *c, bool has_ret,
                            int64_t ret, struct kymo_err *err)
{
    const uint32_t arch = c->arch, nr = c->nr;
    const uint32_t tag = nr == KYMO_PAIRS_ANY ? nr : nr << 1 | (arch == KYMO_IMPORT_ARCH_NAMED);
    int found;
    KYMO_TRY(kymo_pairs_exit(p->pairs, c, tag, &found, err));
    if (nr != KYMO_PAIRS_ANY) {
        c->arch = arch;
        c->nr = nr;
    } else if (!found) {
        p->other++;
        return KYMO_OK;
    }
    c->has_ret = has_ret;
    c->ret = ret;
    const struct kymo_sysinfo *info = kymo_sysinfo(c->arch, c->nr);
    if (info && has_ret && !ret &&
        begins(kymo_text_of(info->name, strlen(info->name)), "execve")) {
        c->flags |= KYMO_CALL_EXECED;
        c->has_arg = 0;
    }
    return kymo_sink_call(p->sink, c, err);
}

/* "NR 257 (ffffff9c, 7fd3d28840b1, ...)" and "NR 257 = 3" */
static kymo_status take_raw(struct kymo_perf *p, const struct kymo_perf_head *h, bool exits,
                            struct kymo_err *err)
{
    struct kymo_import_call c = kymo_perf_call_of(h);
    uint64_t nr = KYMO_PAIRS_ANY, v;
    const char *s = NULL;
    if (exits &&
        strncmp(h->rest, "NR -1 = ", 8) == 0) /* the registers were another's by then */
        s = h->rest + 5;
    else if (strncmp(h->rest, "NR ", 3) == 0)
        s = kymo_import_digits(skip_spaces(h->rest + 3), 65535, &nr);
    if (!s || strncmp(s, exits ? " = " : " (", exits ? 3 : 2) != 0)
        return kymo_input_bad_line(p->in, err, "no number of a call behind raw_syscalls");
    c.arch = p->arch;
    c.nr = (uint32_t)nr;
    s += exits ? 3 : 2;
    if (exits) {
        const bool minus = *s == '-';
        if (!kymo_import_digits(s + minus, INT64_MAX, &v))
            return kymo_input_bad_line(p->in, err, "a call's result is no number");
        return kymo_perf_leave(p, &c, true, minus ? -(int64_t)v : (int64_t)v, err);
    }
    const struct kymo_sysinfo *info = kymo_sysinfo(c.arch, c.nr);
    const uint32_t max = info && info->n_args < 6 ? info->n_args : 6;
    for (uint32_t i = 0; i < 6 && (s = take_hex(skip_spaces(s), &v)); i++) {
        c.arg[i] = v;
        c.has_arg |= (uint8_t)((i < max) << i);
        s += *s == ',';
    }
    return kymo_perf_enter(p, &c, err);
}

/* "dfd: 0xffffff9c, filename: 0x7f.." and "0x3"; name is the call's. */
static kymo_status take_named(struct kymo_perf *p, const struct kymo_perf_head *h,
                              struct kymo_text name, bool exits, struct kymo_err *err)
{
    struct kymo_import_call c = kymo_perf_call_of(h);
    uint64_t v;
    KYMO_TRY(kymo_sink_name(p->sink, p->arch, name.p, name.n, &c.arch, &c.nr, err));
    if (exits) {
        if (!take_hex(h->rest, &v))
            return kymo_input_bad_line(p->in, err, "a call's result is no number");
        return kymo_perf_leave(p, &c, true, (int64_t)v, err);
    }
    const char *s = h->rest;
    for (uint32_t i = 0; i < 6 && (s = strstr(s, ": ")); i++) {
        const char *end = take_hex(s + 2, &v);
        if (end) {
            c.arg[i] = v;
            c.has_arg |= (uint8_t)(1u << i);
        }
        s += 2;
    }
    return kymo_perf_enter(p, &c, err);
}

/* The text behind "key=" up to the next space. */
static struct kymo_text field(const char *text, const char *key)
{
    const size_t n = strlen(key);
    for (const char *at = text; (at = strstr(at, key)); at += n)
        if ((at == text || at[-1] == ' ') && at[n] == '=')
            return kymo_text_of(at + n + 1, strcspn(at + n + 1, " "));
    return kymo_text_of(NULL, 0);
}

static uint32_t id_field(const char *text, const char *key)
{
    const struct kymo_text t = field(text, key);
    uint64_t v = 0;
    return t.p && kymo_import_digits(t.p, INT32_MAX, &v) ? (uint32_t)v : 0;
}

static kymo_status take_process(struct kymo_perf *p, const struct kymo_perf_head *h,
                                enum kymo_import_kind kind, struct kymo_err *err)
{
    const bool fork = kind == KYMO_IMPORT_FORK, exec = kind == KYMO_IMPORT_EXEC;
    const struct kymo_text exe = field(h->rest, "filename");
    const uint32_t tid = id_field(h->rest, fork ? "child_pid" : "pid");
    if (!tid)
        return kymo_input_bad_line(p->in, err, "no process in an event of processes");
    if (kind == KYMO_IMPORT_EXIT)
        KYMO_TRY(kymo_pairs_died(p->pairs, tid, err));
    const struct kymo_import_process row = {
        .ts_ns = h->ts_ns,
        .kind = kind,
        .tid = tid,
        .ppid = fork ? id_field(h->rest, "pid") : 0,
        .start_ns = fork ? h->ts_ns : 0,
        .comm = exec ? h->comm : field(h->rest, fork ? "child_comm" : "comm"),
        .exe = exec ? exe : kymo_text_of(NULL, 0),
    };
    return kymo_sink_process(p->sink, &row, err);
}

static kymo_status take_event(struct kymo_perf *p, const struct kymo_perf_head *h,
                              struct kymo_err *err)
{
    static const char enters[] = "syscalls:sys_enter_", leaves[] = "syscalls:sys_exit_";
    p->events++;
    p->now_ns = h->has_time && h->ts_ns > p->now_ns ? h->ts_ns : p->now_ns;
    if (h->has_time && is(h->event, "raw_syscalls:sys_enter"))
        return take_raw(p, h, false, err);
    if (h->has_time && is(h->event, "raw_syscalls:sys_exit"))
        return take_raw(p, h, true, err);
    if (h->has_time && is(h->event, "sched:sched_process_fork"))
        return take_process(p, h, KYMO_IMPORT_FORK, err);
    if (h->has_time && is(h->event, "sched:sched_process_exec"))
        return take_process(p, h, KYMO_IMPORT_EXEC, err);
    if (h->has_time && is(h->event, "sched:sched_process_exit"))
        return take_process(p, h, KYMO_IMPORT_EXIT, err);
    const bool in = begins(h->event, enters);
    const size_t n = in ? sizeof(enters) - 1 : sizeof(leaves) - 1;
    if (h->has_time && (in || begins(h->event, leaves)) && h->event.n > n)
        return take_named(p, h, kymo_text_of(h->event.p + n, h->event.n - n), !in, err);
    p->other++;
    return KYMO_OK;
}

/* ---- lines -------------------------------------------------------------------------------------------------- */

/* "  ffffffff8103d0ca symbol (file)" */
static bool is_frame(const char *line)
{
    const char *p = line + strspn(line, " \t");
    const size_t n = strspn(p, "0123456789abcdef");
    return n > 0 && (p[n] == ' ' || !p[n]);
}

static kymo_status take_line(struct kymo_perf *p, char *line, struct kymo_err *err)
{
    struct kymo_perf_head h;
    uint64_t ts_ns, dur_ns;
    if (!line[strspn(line, " \t")] || *line == '#') {
        p->in_stack = false;
        return KYMO_OK;
    }
    const char *rest = kymo_perf_take_span(line, &ts_ns, &dur_ns);
    if (rest)
        return kymo_perf_take_trace(p, line + (rest - line), ts_ns, dur_ns, err);
    if (!(p->in_stack && is_frame(line)) && *line != '\t' && parse_head(line, &h)) {
        p->in_stack = true;
        return take_event(p, &h, err);
    }
    return p->in_stack && is_frame(line)
               ? KYMO_OK
               : kymo_input_bad_line(p->in, err, "neither an event nor its stack");
}

static kymo_status finish(struct kymo_perf *p, struct kymo_err *err)
{
    char text[96];
    KYMO_TRY(kymo_pairs_finish(p->pairs, p->now_ns, err));
    (void)snprintf(text, sizeof(text), "%" PRIu64 ": %" PRIu64 " in no table", p->events,
                   p->other);
    return kymo_sink_fact(p->sink, "events", text, err);
}

static kymo_status step_perf(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct kymo_perf *p = ctx;
    char *line;
    size_t n;
    KYMO_TRY(kymo_input_line(p->in, &line, &n, err));
    *more = line != NULL;
    KYMO_TRY(line ? take_line(p, line, err) : finish(p, err));
    *now_ns = p->now_ns;
    return KYMO_OK;
}

/* The first line that says something: of perf script's header, an event, or a call of perf trace. */
static bool guess_perf(const uint8_t *p, size_t n)
{
    char line[512];
    struct kymo_perf_head h;
    uint64_t ts_ns, dur_ns;
    while (n && (*p == '\n' || *p == '#')) {
        const uint8_t *end = memchr(p, '\n', n);
        if (n > 14 && memcmp(p, "# captured on:", 14) == 0)
            return true;
        if (!end)
            return false;
        n -= (size_t)(end + 1 - p);
        p = end + 1;
    }
    const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
    const size_t len = end ? (size_t)(end - p) : n;
    if (!len || len >= sizeof(line) || memchr(p, 0, len))
        return false;
    memcpy(line, p, len);
    line[len] = '\0';
    return kymo_perf_take_span(line, &ts_ns, &dur_ns) || parse_head(line, &h);
}

const struct kymo_importer kymo_import_perf = {
    .name = "perf",
    .guess = guess_perf,
    .open = open_perf,
    .step = step_perf,
    .close = close_perf,
};
