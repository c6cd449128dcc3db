/* SPDX-License-Identifier: Apache-2.0
 * Tetragon's export: JSON objects one behind the other, a line each or indented. Execs and exits become rows of
 * `process`; connect, accept, listen and close, and kprobes on system calls, rows of `syscall`.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/json.h"
#include "format/base/size.h"
#include "format/import/import.h"
#include "format/trace/sysname.h"

#define NAME_BYTES_MAX 64u

struct tetragon {
    struct kymo_input *in;  /* borrowed */
    struct kymo_sink *sink; /* borrowed */
    uint32_t arch;
    uint64_t now_ns, at_bytes, events, other;
    struct kymo_buf argv;
};

/* An event: its object, and what every event has. */
struct event {
    const json_t *body, *process, *parent;
    uint64_t ts_ns;
    uint32_t pid, tid;
};

static void close_tetragon(void *ctx)
{
    struct tetragon *t = ctx;
    kymo_buf_release(&t->argv);
    free(t);
}

static kymo_status open_tetragon(void **ctx, struct kymo_input *in,
                                 const struct kymo_import_opts *o, struct kymo_sink *sink,
                                 struct kymo_err *err)
{
    struct tetragon *t = calloc(1, sizeof(*t));
    if (!t)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    t->in = in;
    t->sink = sink;
    t->arch = o->arch ? o->arch : KYMO_ARCH_X86_64;
    *ctx = t;
    kymo_sink_real_time(sink);
    KYMO_TRY(kymo_sink_fact(sink, "times", "real time", err));
    return kymo_sink_fact(
        sink, "unknown",
        "durations, results and numeric arguments of calls, all that its policies do "
        "not export",
        err);
}

/* ---- values ------------------------------------------------------------------------------------------- */

/* A whole number, which is also written as a string; 0 where there is none. */
static uint64_t number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    uint64_t n = 0;
    if (json_is_integer(v))
        return json_integer_value(v) < 0 ? 0 : (uint64_t)json_integer_value(v);
    if (json_is_string(v) && !kymo_import_digits(json_string_value(v), UINT64_MAX, &n))
        return 0;
    return n;
}

static struct kymo_text text(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? kymo_text_of(json_string_value(v), json_string_length(v))
                             : kymo_text_of(NULL, 0);
}

static bool time_of(const json_t *object, const char *key, uint64_t *ns)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) && kymo_import_rfc3339(json_string_value(v), ns);
}

/* ---- events --------------------------------------------------------------------------------------------- */

static kymo_status tell_exec(struct tetragon *t, const struct event *e, struct kymo_err *err)
{
    const struct kymo_text exe = text(e->process, "binary"),
                           args = text(e->process, "arguments");
    struct kymo_import_process p = {
        .ts_ns = e->ts_ns,
        .kind = KYMO_IMPORT_EXEC,
        .pid = e->pid,
        .tid = e->tid,
        .ppid = (uint32_t)number(e->parent, "pid"),
        .has_ids = json_object_get(e->process, "uid") != NULL,
        .uid = (uint32_t)number(e->process, "uid"),
        .comm = kymo_import_comm_of(exe),
        .exe = exe,
    };
    (void)time_of(e->process, "start_time", &p.start_ns);
    kymo_buf_clear(&t->argv);
    if (exe.p)
        kymo_import_quote(&t->argv, exe.p, exe.n);
    if (args.n) { /* joined and quoted already */
        kymo_buf_u8(&t->argv, ' ');
        kymo_buf_put(&t->argv, args.p, args.n);
    }
    p.argv = kymo_text_of((const char *)t->argv.p, t->argv.n);
    return kymo_sink_process(t->sink, &p, err);
}

static kymo_status tell_exit(struct tetragon *t, const struct event *e, struct kymo_err *err)
{
    const struct kymo_text exe = text(e->process, "binary"), signal = text(e->body, "signal");
    const uint32_t killed = signal.p ? kymo_import_signal(signal.p, signal.n) : 0;
    const struct kymo_import_process p = {
        .ts_ns = e->ts_ns,
        .kind = KYMO_IMPORT_EXIT,
        .pid = e->pid,
        .tid = e->tid,
        .ppid = (uint32_t)number(e->parent, "pid"),
        .has_code = 1,
        .code = killed ? killed : (uint32_t)(number(e->body, "status") & 0xff) << 8,
        .comm = kymo_import_comm_of(exe),
        .exe = exe,
    };
    return kymo_sink_process(t->sink, &p, err);
}

static kymo_status tell_call(struct tetragon *t, const struct event *e, uint32_t arch,
                             struct kymo_text name, struct kymo_text path,
                             struct kymo_text addr, struct kymo_err *err)
{
    struct kymo_import_call c = {
        .ts_ns = e->ts_ns,
        .dur_ns = KYMO_IMPORT_UNKNOWN,
        .pid = e->pid,
        .tid = e->tid,
        .addr = addr,
        .comm = kymo_import_comm_of(text(e->process, "binary")),
    };
    KYMO_TRY(kymo_sink_name(t->sink, arch, name.p, name.n, &c.arch, &c.nr, err));
    const struct kymo_sysinfo *info = kymo_sysinfo(c.arch, c.nr);
    if (info && info->path >= 0)
        c.path = path;
    return kymo_sink_call(t->sink, &c, err);
}

/* connect, accept, listen, close: what the socket is of. */
static kymo_status tell_socket(struct tetragon *t, const struct event *e, const char *name,
                               struct kymo_err *err)
{
    const bool here = strcmp(name, "listen") == 0;
    const struct kymo_text host =
        text(e->body,
             here ? (json_object_get(e->body, "ip") ? "ip" : "source_ip") : "destination_ip");
    const uint64_t port =
        number(e->body, here ? (json_object_get(e->body, "port") ? "port" : "source_port")
                             : "destination_port");
    char addr[96] = "";
    if (host.p && host.n < 64)
        (void)snprintf(addr, sizeof(addr),
                       memchr(host.p, ':', host.n) ? "inet6:[%.*s]:%u" : "inet:%.*s:%u",
                       (int)host.n, host.p, (unsigned)(port & 0xffff));
    return tell_call(t, e, t->arch, kymo_text_of(name, strlen(name)), kymo_text_of(NULL, 0),
                     kymo_text_of(*addr ? addr : NULL, strlen(addr)), err);
}

/* The first argument that is a path or a string. */
static struct kymo_text path_of(const json_t *args)
{
    static const char *const kind[] = {"file_arg", "path_arg", "linux_binprm_arg", "fd_arg"};
    for (size_t i = 0; i < json_array_size(args); i++) {
        const json_t *arg = json_array_get(args, i);
        if (text(arg, "string_arg").p)
            return text(arg, "string_arg");
        for (size_t k = 0; k < KYMO_COUNT_OF(kind); k++)
            if (text(json_object_get(arg, kind[k]), "path").p)
                return text(json_object_get(arg, kind[k]), "path");
    }
    return kymo_text_of(NULL, 0);
}

/* "__x64_sys_write" is a call; other functions are none. */
static kymo_status tell_kprobe(struct tetragon *t, const struct event *e, struct kymo_err *err)
{
    static const struct {
        const char *prefix;
        uint32_t arch;
    } entry[] = {{"__x64_sys_", KYMO_ARCH_X86_64},
                 {"__arm64_sys_", KYMO_ARCH_AARCH64},
                 {"__ia32_sys_", KYMO_ARCH_I386},
                 {"__ia32_compat_sys_", KYMO_ARCH_I386},
                 {"sys_", 0}};
    const struct kymo_text function = text(e->body, "function_name");
    for (size_t i = 0; function.p && i < KYMO_COUNT_OF(entry); i++) {
        const size_t n = strlen(entry[i].prefix);
        if (function.n <= n || function.n - n >= NAME_BYTES_MAX ||
            memcmp(function.p, entry[i].prefix, n) != 0)
            continue;
        return tell_call(t, e, entry[i].arch ? entry[i].arch : t->arch,
                         kymo_text_of(function.p + n, function.n - n),
                         path_of(json_object_get(e->body, "args")), kymo_text_of(NULL, 0), err);
    }
    t->other++;
    return KYMO_OK;
}

static kymo_status dispatch(struct tetragon *t, const char *kind, const struct event *e,
                            struct kymo_err *err)
{
    static const char *const socket[][2] = {{"process_connect", "connect"},
                                            {"process_accept", "accept"},
                                            {"process_listen", "listen"},
                                            {"process_close", "close"}};
    if (strcmp(kind, "process_exec") == 0)
        return tell_exec(t, e, err);
    if (strcmp(kind, "process_exit") == 0)
        return tell_exit(t, e, err);
    if (strcmp(kind, "process_kprobe") == 0)
        return tell_kprobe(t, e, err);
    for (size_t i = 0; i < KYMO_COUNT_OF(socket); i++)
        if (strcmp(kind, socket[i][0]) == 0)
            return tell_socket(t, e, socket[i][1], err);
    t->other++;
    return KYMO_OK;
}

static kymo_status bad(const struct tetragon *t, struct kymo_err *err, const char *why)
{
    return KYMO_FAIL(err, KYMO_ECORRUPT, t->at_bytes, "event %" PRIu64 ": %s", t->events + 1,
                     why);
}

static kymo_status take_object(struct tetragon *t, json_t *root, struct kymo_err *err)
{
    struct event e = {0};
    const char *kind = NULL, *key;
    json_t *value;
    json_object_foreach (root, key, value)
        if (strncmp(key, "process_", 8) == 0 && json_is_object(value)) {
            kind = key;
            e.body = value;
        }
    if (!kind) {
        t->other++;
        t->events++;
        return KYMO_OK; /* tests, rate limits: about nobody */
    }
    e.process = json_object_get(e.body, "process");
    e.parent = json_object_get(e.body, "parent");
    if (!time_of(root, "time", &e.ts_ns) && !time_of(e.process, "start_time", &e.ts_ns))
        return bad(t, err, "no time");
    e.pid = (uint32_t)number(e.process, "pid");
    e.tid = (uint32_t)number(e.process, "tid");
    e.tid = e.tid ? e.tid : e.pid;
    if (!e.pid)
        return bad(t, err, "no process");
    t->now_ns = e.ts_ns > t->now_ns ? e.ts_ns : t->now_ns;
    KYMO_TRY(dispatch(t, kind, &e, err));
    t->events++;
    return KYMO_OK;
}

/* ---- objects one behind the other ----------------------------------------------------------------------- */

/* The bytes of the object that begins at the input's place. */
static kymo_status measure(struct tetragon *t, const uint8_t **p, size_t *bytes,
                           struct kymo_err *err)
{
    size_t have = 0, want = 4096, i = 0, depth = 0;
    bool quoted = false;
    for (;;) {
        const size_t had = have;
        KYMO_TRY(kymo_input_peek(t->in, want, p, &have, err));
        for (; i < have; i++) {
            const uint8_t c = (*p)[i];
            if (quoted && c == '\\')
                i++;
            else if (c == '"')
                quoted = !quoted;
            else if (!quoted && (c == '{' || c == '['))
                depth++;
            else if (!quoted && (c == '}' || c == ']') && --depth == 0) {
                *bytes = i + 1;
                return KYMO_OK;
            }
        }
        if (have < want || have == had)
            return bad(t, err, "the file ends in its middle");
        want = have * 2 < KYMO_IMPORT_LINE_MAX ? have * 2 : KYMO_IMPORT_LINE_MAX;
        if (have >= KYMO_IMPORT_LINE_MAX)
            return KYMO_FAIL(err, KYMO_ELIMIT, t->at_bytes, "an event of more than %zu bytes",
                             KYMO_IMPORT_LINE_MAX);
    }
}

static kymo_status finish(struct tetragon *t, struct kymo_err *err)
{
    char events[96];
    (void)snprintf(events, sizeof(events), "%" PRIu64 ": %" PRIu64 " in no table", t->events,
                   t->other);
    return kymo_sink_fact(t->sink, "events", events, err);
}

static kymo_status step_tetragon(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct tetragon *t = ctx;
    const uint8_t *p;
    size_t have, bytes = 0;
    for (;;) { /* what stands between objects */
        t->at_bytes = kymo_input_at(t->in);
        KYMO_TRY(kymo_input_peek(t->in, 1, &p, &have, err));
        if (!have || !strchr(" \t\r\n", *p) || !*p)
            break;
        kymo_input_skip(t->in, 1);
    }
    *more = have > 0;
    if (!*more)
        return finish(t, err);
    if (*p != '{')
        return bad(t, err, "no JSON object begins here");
    KYMO_TRY(measure(t, &p, &bytes, err));
    json_t *root = NULL;
    struct kymo_err why = {0};
    if (kymo_json_parse(&root, (const char *)p, bytes, kymo_input_name(t->in), &why))
        return bad(t, err, why.text);
    const kymo_status s = take_object(t, root, err);
    json_decref(root);
    KYMO_TRY(s);
    kymo_input_skip(t->in, bytes);
    *now_ns = t->now_ns;
    return KYMO_OK;
}

static bool guess_tetragon(const uint8_t *p, size_t n)
{
    static const char word[] = "\"process_";
    size_t i = 0;
    while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t'))
        i++;
    if (i == n || p[i] != '{')
        return false;
    for (i++; i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t'); i++)
        ;
    return n - i > sizeof(word) && memcmp(p + i, word, sizeof(word) - 1) == 0;
}

const struct kymo_importer kymo_import_tetragon = {
    .name = "tetragon",
    .guess = guess_tetragon,
    .open = open_tetragon,
    .step = step_tetragon,
    .close = close_tetragon,
};
