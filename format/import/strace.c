/* SPDX-License-Identifier: Apache-2.0
 * strace -f -ttt -T, and every shorter form of it: without times, with times of day, -y, -yy, -o and a file
 * a process.
 *
 *   [pid ]time name(args) = result <duration>
 *   [pid ]time name(args <unfinished ...>     the two halves of a call that another thread's line parted
 *   [pid ]time <... name resumed>args) = result <duration>
 *   [pid ]time --- SIGNAL {...} ---
 *   [pid ]time +++ exited with N +++          or killed by SIGNAL
 *   [ Process PID=n runs in 32 bit mode. ]
 */
#include "format/import/strace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"

#define SECOND 1000000000ull
#define DAY (86400 * SECOND)
#define LINE_NS 1000u         /* from one line to the next where there are no times */
#define EPOCH_MIN_S 10000000u /* seconds since 1970 and not since the line before */
#define HALVES_MAX 65536u
#define HALVES_BYTES_MAX ((size_t)64 << 20)
#define SLOTS (2 * HALVES_MAX)

enum times { TIMES_UNKNOWN, TIMES_NONE, TIMES_DAY, TIMES_EPOCH, TIMES_RELATIVE };

/* What is remembered of a thread of the log. */
struct half {
    uint32_t tid, arch;
    char *text; /* owned: "name(args", until it is resumed; NULL: none */
    size_t bytes;
    uint64_t ts_ns;
    bool used, gone; /* gone: its exit was told */
};

struct strace {
    struct kymo_input *in;  /* borrowed */
    struct kymo_sink *sink; /* borrowed */
    uint32_t arch, own_tid;
    enum times times;
    uint64_t now_ns, day_ns;
    struct half *half; /* [SLOTS] */
    size_t n_halves, n_texts, half_bytes;
    struct kymo_buf whole, path, path2, addr, argv, exe;
};

/* A line's head. */
struct head {
    uint32_t tid;
    uint64_t ts_ns;
    struct kymo_text comm;
    char *rest;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

/* ---- life ------------------------------------------------------------------------------------------- */

static void close_strace(void *ctx)
{
    struct strace *s = ctx;
    for (size_t i = 0; s->n_texts && i < SLOTS; i++)
        free(s->half[i].text);
    free(s->half);
    kymo_buf_release(&s->whole);
    kymo_buf_release(&s->path);
    kymo_buf_release(&s->path2);
    kymo_buf_release(&s->addr);
    kymo_buf_release(&s->argv);
    kymo_buf_release(&s->exe);
    free(s);
}

/* The pid of a log of one process: strace -ff names the file NAME.PID. */
static uint32_t pid_of_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    uint64_t pid;
    const char *end = dot ? kymo_import_digits(dot + 1, INT32_MAX, &pid) : NULL;
    return end && !*end && pid ? (uint32_t)pid : 1;
}

static kymo_status open_strace(void **ctx, struct kymo_input *in,
                               const struct kymo_import_opts *o, struct kymo_sink *sink,
                               struct kymo_err *err)
{
    struct strace *s = calloc(1, sizeof(*s));
    if (!s)
        return no_memory(err);
    s->in = in;
    s->sink = sink;
    s->arch = o->arch ? o->arch : KYMO_ARCH_X86_64;
    s->own_tid = pid_of_name(kymo_input_name(in));
    s->half = calloc(SLOTS, sizeof(*s->half));
    if (!s->half) {
        close_strace(s);
        return no_memory(err);
    }
    *ctx = s;
    return kymo_sink_fact(sink, "unknown",
                          "cpu, cgroup, credentials, threads and processes older than the log, "
                          "calls that strace was told to leave out, what flags and structures "
                          "stand for as numbers",
                          err);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

static uint32_t slot_of(const struct half *half, uint32_t tid)
{
    uint32_t i = (uint32_t)((tid * 0x9E3779B97F4A7C15ull) >> 40) % SLOTS;
    while (half[i].used && half[i].tid != tid)
        i = (i + 1) % SLOTS;
    return i;
}

/* Forget the dead. */
static kymo_status sweep(struct strace *s, struct kymo_err *err)
{
    struct half *living = calloc(SLOTS, sizeof(*living));
    if (!living)
        return no_memory(err);
    s->n_halves = 0;
    for (size_t i = 0; i < SLOTS; i++)
        if (s->half[i].used && !s->half[i].gone) {
            living[slot_of(living, s->half[i].tid)] = s->half[i];
            s->n_halves++;
        }
    free(s->half);
    s->half = living;
    return KYMO_OK;
}

static kymo_status half_of(struct strace *s, uint32_t tid, struct half **out,
                           struct kymo_err *err)
{
    uint32_t i = slot_of(s->half, tid);
    if (!s->half[i].used) {
        if (s->n_halves == HALVES_MAX) {
            KYMO_TRY(sweep(s, err));
            i = slot_of(s->half, tid);
        }
        if (s->n_halves == HALVES_MAX)
            return KYMO_FAIL(err, KYMO_ELIMIT, kymo_input_at(s->in),
                             "line %llu: more than %u threads in one log",
                             (unsigned long long)kymo_input_lines(s->in), HALVES_MAX);
        s->n_halves++;
        s->half[i] = (struct half){.tid = tid, .arch = s->arch, .used = true};
    }
    *out = &s->half[i];
    return KYMO_OK;
}

static void drop_half(struct strace *s, struct half *h)
{
    if (!h->text)
        return;
    s->half_bytes -= h->bytes;
    s->n_texts--;
    free(h->text);
    h->text = NULL;
}

static kymo_status keep_half(struct strace *s, struct half *h, const char *text, size_t n,
                             uint64_t ts_ns, struct kymo_err *err)
{
    drop_half(s, h);
    if (s->half_bytes + n > HALVES_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, kymo_input_at(s->in),
                         "unfinished calls of more than %zu bytes", HALVES_BYTES_MAX);
    h->text = malloc(n + 1);
    if (!h->text)
        return no_memory(err);
    memcpy(h->text, text, n);
    h->text[n] = '\0';
    h->bytes = n;
    s->n_texts++;
    h->ts_ns = ts_ns;
    s->half_bytes += n;
    return KYMO_OK;
}

/* ---- the head of a line ------------------------------------------------------------------------------- */

static char *skip_spaces(char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* "[pid 12] ", "12 " or "12<name> " before the time. */
static char *take_pid(struct strace *s, char *p, struct head *h)
{
    uint64_t pid;
    char *q = skip_spaces(p);
    const bool bracket = strncmp(q, "[pid", 4) == 0;
    if (bracket)
        q = skip_spaces(q + 4);
    char *end = (char *)kymo_import_digits(q, EPOCH_MIN_S - 1, &pid);
    h->tid = s->own_tid;
    if (!end || !pid)
        return p;
    if (*end == '<') {
        char *close = strchr(end, '>');
        if (!close)
            return p;
        h->comm = kymo_text_of(end + 1, (size_t)(close - end - 1));
        end = close + 1;
    }
    if (bracket ? *end != ']' : (*end != ' ' && *end != '\t'))
        return p;
    h->tid = (uint32_t)pid;
    return skip_spaces(end + bracket);
}

/* The end of a call's line is told by its times, so an hour that goes back is another day's. */
static void set_day_time(struct strace *s, uint64_t ns)
{
    if (s->times == TIMES_DAY && s->day_ns + ns + DAY / 2 < s->now_ns)
        s->day_ns += DAY;
    s->times = TIMES_DAY;
    s->now_ns = s->day_ns + ns;
}

static char *take_time(struct strace *s, char *p, struct head *h)
{
    uint64_t ns;
    const char *end = kymo_import_daytime(p, &ns);
    if (end && (*end == ' ' || *end == '\t')) {
        set_day_time(s, ns);
    } else if ((end = kymo_import_seconds(p, &ns)) && (*end == ' ' || *end == '\t')) {
        const bool epoch = ns / SECOND >= EPOCH_MIN_S;
        s->now_ns = epoch ? ns : s->now_ns < UINT64_MAX / 2 ? s->now_ns + ns : s->now_ns;
        if (epoch && s->times != TIMES_EPOCH)
            kymo_sink_real_time(s->sink);
        s->times = epoch ? TIMES_EPOCH : TIMES_RELATIVE;
    } else {
        end = p;
        s->times = s->times == TIMES_UNKNOWN ? TIMES_NONE : s->times;
        s->now_ns += s->times == TIMES_NONE ? LINE_NS : 0;
    }
    h->ts_ns = s->now_ns;
    return skip_spaces((char *)end);
}

/* What -i, -n and --secontext put before the call, and -r beside a time. */
static char *skip_extras(char *p)
{
    while (*p == '[' || strncmp(p, "(+", 2) == 0) {
        char *end = strchr(p, *p == '[' ? ']' : ')');
        if (!end || strstr(p, "Process PID=") == p + 2)
            return p;
        p = skip_spaces(end + 1);
    }
    return p;
}

/* ---- the call ----------------------------------------------------------------------------------------- */

/* "-1 ENOENT (...)", "3</etc>", "? ERESTARTSYS (...)", "?", "0x7f (flags ...)" and a duration behind. */
static kymo_status take_result(struct strace *s, struct kymo_text text,
                               struct kymo_import_call *c, struct kymo_err *err)
{
    const char *p = text.p, *const end = text.p + text.n;
    uint64_t v = 0;
    size_t n = 0;
    while (p + n < end && p[n] != ' ')
        n += p[n] == '<' ? (size_t)(end - p) - n : 1;
    if (n == 0)
        return kymo_input_bad_line(s->in, err, "no result behind the '='");
    const bool unknown = n == 1 && *p == '?';
    if (!unknown && !kymo_strace_number(kymo_text_of(p, n), &v))
        return kymo_input_bad_line(s->in, err, "the result '%.*s' is no number",
                                   (int)(n < 40 ? n : 40), p);
    c->has_ret = !unknown;
    c->ret = unknown ? 0 : (int64_t)v;
    const char *word = p + n + (p + n < end);
    size_t len = 0;
    while (word + len < end && word[len] != ' ')
        len++;
    if (!unknown && c->ret == -1 && strncmp(word, "(errno ", 7) == 0 &&
        kymo_import_digits(word + 7, 4095, &v))
        c->ret = -(int64_t)v;
    if (word[0] != 'E' || (!unknown && c->ret != -1))
        return KYMO_OK;
    c->ret = kymo_import_error(word, len);
    c->has_ret = 1;
    if (!c->ret)
        return kymo_input_bad_line(s->in, err, "no error is called '%.*s'",
                                   (int)(len < 40 ? len : 40), word);
    return KYMO_OK;
}

/* Cut "<0.000012>" off the end of the result. */
static uint64_t take_duration(struct kymo_text *result)
{
    uint64_t ns;
    const char *end = result->p + result->n;
    if (!result->n || end[-1] != '>')
        return KYMO_IMPORT_UNKNOWN;
    const char *open = end - 1;
    while (open > result->p && *open != '<')
        open--;
    const char *to = *open == '<' ? kymo_import_seconds(open + 1, &ns) : NULL;
    if (to != end - 1 || (open > result->p && open[-1] != ' '))
        return KYMO_IMPORT_UNKNOWN;
    result->n = (size_t)(open - result->p);
    while (result->n && result->p[result->n - 1] == ' ')
        result->n--;
    return ns;
}

static struct kymo_text text_of(struct kymo_buf *b, bool has)
{
    return kymo_text_of(has ? (b->p ? (const char *)b->p : "") : NULL, b->n);
}

static struct kymo_text take_string(struct kymo_strace_call *t, int at, struct kymo_buf *b,
                                    uint32_t *flags)
{
    bool cut = false;
    kymo_buf_clear(b);
    if (at < 0 || (uint32_t)at >= t->n_args)
        return kymo_text_of(NULL, 0);
    const bool has = kymo_strace_string(t->arg[at], b, &cut);
    *flags |= cut ? KYMO_CALL_UNREAD : 0;
    return text_of(b, has);
}

/* "name=value" is not in the order of the call: clone, and what strace says of results. */
static bool is_positional(const struct kymo_strace_call *t)
{
    for (uint32_t i = 0; i < t->n_args; i++)
        for (size_t k = 0; k < t->arg[i].n; k++) {
            const char c = t->arg[i].p[k];
            if (c == '=')
                return false;
            if (c == '{' || c == '[' || c == '"' || c == '<')
                break;
        }
    return true;
}

static void take_args(struct strace *s, struct kymo_strace_call *t, struct kymo_import_call *c)
{
    const struct kymo_sysinfo *info = kymo_sysinfo(c->arch, c->nr);
    const uint32_t max = info && info->n_args < 6 ? info->n_args : 6;
    if (!is_positional(t))
        return;
    for (uint32_t i = 0; i < max && i < t->n_args; i++)
        if (kymo_strace_number(t->arg[i], &c->arg[i]))
            c->has_arg |= (uint8_t)(1u << i);
    if (!info)
        return;
    c->path = take_string(t, info->path, &s->path, &c->flags);
    c->path2 = take_string(t, info->path2, &s->path2, &c->flags);
    kymo_buf_clear(&s->addr);
    if (info->addr >= 0 && (uint32_t)info->addr < t->n_args)
        c->addr = text_of(&s->addr, kymo_strace_addr(t->arg[info->addr], &s->addr));
}

static bool is_called(const struct kymo_strace_call *t, const char *name)
{
    return t->name.n == strlen(name) && memcmp(t->name.p, name, t->name.n) == 0;
}

/* Names that strace had, or has, for calls that the kernel calls otherwise. */
static struct kymo_text kernel_name(struct kymo_text name)
{
    static const char *const other[][2] = {
        {"_exit", "exit"},
        {"pread", "pread64"},
        {"pwrite", "pwrite64"},
        {"umount", "umount2"},
    };
    for (size_t i = 0; i < KYMO_COUNT_OF(other) - 1; i++)
        if (name.n == strlen(other[i][0]) && memcmp(name.p, other[i][0], name.n) == 0)
            return kymo_text_of(other[i][1], strlen(other[i][1]));
    return name;
}

/* "syscall_0x1c3" is a number that this strace had no name for. */
static kymo_status take_name(struct strace *s, const struct kymo_strace_call *t, uint32_t arch,
                             struct kymo_import_call *c, struct kymo_err *err)
{
    uint64_t nr;
    if (t->name.n > 10 && memcmp(t->name.p, "syscall_0x", 10) == 0 &&
        kymo_strace_number(kymo_text_of(t->name.p + 8, t->name.n - 8), &nr) && nr < 65536) {
        c->arch = arch;
        c->nr = (uint32_t)nr;
        return KYMO_OK;
    }
    const struct kymo_text name = kernel_name(t->name);
    return kymo_sink_name(s->sink, arch, name.p, name.n, &c->arch, &c->nr, err);
}

/* ---- births, execs, deaths ------------------------------------------------------------------------------ */

static bool has_word(const struct kymo_strace_call *t, const char *word)
{
    const size_t n = strlen(word);
    for (uint32_t i = 0; i < t->n_args; i++)
        for (size_t k = 0; k + n <= t->arg[i].n; k++)
            if (memcmp(t->arg[i].p + k, word, n) == 0)
                return true;
    return false;
}

static kymo_status tell_fork(struct strace *s, const struct kymo_strace_call *t,
                             const struct kymo_import_call *c, struct kymo_err *err)
{
    if (!is_called(t, "clone") && !is_called(t, "clone3") && !is_called(t, "fork") &&
        !is_called(t, "vfork") && !is_called(t, "clone2"))
        return KYMO_OK;
    if (!c->has_ret || c->ret <= 0 || c->ret > INT32_MAX)
        return KYMO_OK;
    const uint32_t child = (uint32_t)c->ret, parent = kymo_sink_pid(s->sink, c->tid);
    const uint32_t pid = has_word(t, "CLONE_THREAD") ? parent : child;
    struct half *h;
    KYMO_TRY(half_of(s, child, &h, err));
    h->gone = false;
    KYMO_TRY(kymo_sink_thread(s->sink, child, pid, err));
    /* A child may run before its parent knows of it: it was born when the call began. */
    const uint64_t start = c->dur_ns == KYMO_IMPORT_UNKNOWN ? c->ts_ns : c->ts_ns - c->dur_ns;
    return kymo_sink_process(s->sink,
                             &(struct kymo_import_process){.ts_ns = start,
                                                           .kind = KYMO_IMPORT_FORK,
                                                           .pid = pid,
                                                           .tid = child,
                                                           .ppid = parent,
                                                           .start_ns = start},
                             err);
}

/* The strings of ["ls", "-l", ...] as one line. */
static void join_argv(struct strace *s, struct kymo_text list)
{
    struct kymo_buf *line = &s->argv, *word = &s->path2;
    kymo_buf_clear(line);
    const char *p = list.p + 1, *const end = list.p + list.n;
    bool cut;
    while (list.n && list.p[0] == '[' && p < end && *p == '"') {
        kymo_buf_clear(word);
        const char *to = kymo_strace_arg_end(p);
        if (!to || to > end ||
            !kymo_strace_string(kymo_text_of(p, (size_t)(end - p)), word, &cut))
            return;
        kymo_import_quote(line, word->p ? (const char *)word->p : "", word->n);
        for (p++; p < end && *p != '"'; p++)
            p += *p == '\\';
        for (p++; p < end && (*p == ',' || *p == ' ' || *p == '.'); p++)
            ;
    }
}

static kymo_status tell_exec(struct strace *s, struct kymo_strace_call *t,
                             struct kymo_import_call *c, struct kymo_err *err)
{
    const int at = is_called(t, "execve") ? 0 : is_called(t, "execveat") ? 1 : -1;
    if (at < 0 || !c->has_ret || c->ret != 0)
        return KYMO_OK;
    const struct kymo_text exe = take_string(t, at, &s->exe, &c->flags);
    if ((uint32_t)at + 1 < t->n_args)
        join_argv(s, t->arg[at + 1]);
    c->flags |= KYMO_CALL_EXECED;
    c->has_arg = 0;
    c->path = kymo_text_of(NULL, 0);
    return kymo_sink_process(
        s->sink,
        &(struct kymo_import_process){.ts_ns = c->ts_ns,
                                      .kind = KYMO_IMPORT_EXEC,
                                      .pid = kymo_sink_pid(s->sink, c->tid),
                                      .tid = c->tid,
                                      .comm = kymo_import_comm_of(exe),
                                      .exe = exe,
                                      .argv = text_of(&s->argv, s->argv.n > 0)},
        err);
}

static kymo_status tell_exit(struct strace *s, uint32_t tid, uint64_t ts_ns, uint32_t code,
                             struct kymo_err *err)
{
    struct half *h;
    KYMO_TRY(half_of(s, tid, &h, err));
    if (h->gone)
        return KYMO_OK;
    drop_half(s, h);
    h->gone = true;
    return kymo_sink_process(
        s->sink,
        &(struct kymo_import_process){
            .ts_ns = ts_ns, .kind = KYMO_IMPORT_EXIT, .tid = tid, .has_code = 1, .code = code},
        err);
}

static const char *const at_entry[] = {"exit", "_exit", "exit_group", "rt_sigreturn",
                                       "sigreturn"};

/* Calls that do not come back: as the recorder has them, without a result. */
static void mark_at_entry(const struct kymo_strace_call *t, struct kymo_import_call *c)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(at_entry); i++)
        if (is_called(t, at_entry[i])) {
            c->flags |= KYMO_CALL_AT_ENTRY;
            c->has_ret = 0;
            c->dur_ns = KYMO_IMPORT_UNKNOWN;
        }
    if (!c->has_ret && !(c->flags & KYMO_CALL_AT_ENTRY))
        c->flags |= KYMO_CALL_UNFINISHED;
}

/* ---- lines -------------------------------------------------------------------------------------------- */

/* A whole call. start: when its line, or its first half's, was written; resumed: this is its second. */
static kymo_status take_call(struct strace *s, const struct head *h, const char *text,
                             uint64_t start_ns, bool resumed, struct kymo_err *err)
{
    struct kymo_strace_call t;
    struct half *half;
    const char *why;
    if (!kymo_strace_split(text, &t, &why))
        return kymo_input_bad_line(s->in, err, "%s", why);
    KYMO_TRY(half_of(s, h->tid, &half, err));
    struct kymo_import_call c = {.tid = h->tid, .comm = h->comm};
    c.dur_ns = take_duration(&t.result);
    if (resumed && c.dur_ns == KYMO_IMPORT_UNKNOWN && s->times != TIMES_NONE &&
        h->ts_ns >= start_ns)
        c.dur_ns = h->ts_ns - start_ns;
    c.ts_ns = start_ns;
    if (c.dur_ns != KYMO_IMPORT_UNKNOWN && start_ns < UINT64_MAX - c.dur_ns)
        c.ts_ns += c.dur_ns;
    else if (resumed)
        c.ts_ns = h->ts_ns;
    KYMO_TRY(take_name(s, &t, half->arch, &c, err));
    c.flags |= half->arch == KYMO_ARCH_I386 && s->arch != half->arch ? KYMO_CALL_COMPAT : 0;
    KYMO_TRY(take_result(s, t.result, &c, err));
    take_args(s, &t, &c);
    mark_at_entry(&t, &c);
    KYMO_TRY(tell_fork(s, &t, &c, err));
    KYMO_TRY(tell_exec(s, &t, &c, err));
    KYMO_TRY(kymo_sink_call(s->sink, &c, err));
    if (!is_called(&t, "exit") && !is_called(&t, "_exit") && !is_called(&t, "exit_group"))
        return KYMO_OK;
    return tell_exit(s, h->tid, c.ts_ns, c.has_arg & 1 ? (uint32_t)(c.arg[0] & 0xff) << 8 : 0,
                     err);
}

/* A call that never came back: the recorder has those too. */
static kymo_status give_up(struct strace *s, struct half *half, uint64_t ts_ns,
                           struct kymo_err *err)
{
    const struct head h = {.tid = half->tid, .ts_ns = ts_ns};
    if (!half->text)
        return KYMO_OK;
    kymo_buf_clear(&s->whole);
    kymo_buf_put(&s->whole, half->text, half->bytes);
    kymo_buf_put(&s->whole, ") = ?", 6);
    if (s->whole.failed)
        return no_memory(err);
    drop_half(s, half);
    return take_call(s, &h, (const char *)s->whole.p, ts_ns, false, err);
}

/* "name(args <unfinished ...>": keep it; with ") = ?" behind, the thread died in it. */
static kymo_status take_unfinished(struct strace *s, const struct head *h, char *mark,
                                   struct kymo_err *err)
{
    struct half *half;
    *mark = '\0';
    size_t n = (size_t)(mark - h->rest);
    while (n && h->rest[n - 1] == ' ')
        h->rest[--n] = '\0';
    KYMO_TRY(half_of(s, h->tid, &half, err));
    KYMO_TRY(give_up(s, half, h->ts_ns, err));
    if (!strchr(h->rest, '('))
        return kymo_input_bad_line(s->in, err, "an unfinished call without a bracket");
    if (mark[1] == '\0' || !strstr(mark + 1, ") = ?"))
        return keep_half(s, half, h->rest, n, h->ts_ns, err);
    kymo_buf_clear(&s->whole);
    kymo_buf_printf(&s->whole, "%s) = ?", h->rest);
    kymo_buf_u8(&s->whole, 0);
    if (s->whole.failed)
        return no_memory(err);
    return take_call(s, h, (const char *)s->whole.p, h->ts_ns, false, err);
}

/* "<... name resumed>args) = result": put behind the first half, whose name has to be the same. */
static kymo_status take_resumed(struct strace *s, const struct head *h, struct kymo_err *err)
{
    char *name = h->rest + strlen("<... "), *end = strstr(name, " resumed");
    char *tail = end ? strchr(end, '>') : NULL;
    struct half *half;
    if (!tail)
        return kymo_input_bad_line(s->in, err, "a resumed call without a name");
    KYMO_TRY(half_of(s, h->tid, &half, err));
    const size_t n = (size_t)(end - name);
    kymo_buf_clear(&s->whole);
    uint64_t start_ns = h->ts_ns;
    const bool known = half->text != NULL;
    if (known && (strncmp(half->text, name, n) != 0 || half->text[n] != '('))
        return kymo_input_bad_line(s->in, err, "thread %u resumes %.*s, but is in %.*s", h->tid,
                                   (int)(n < 40 ? n : 40), name, (int)strcspn(half->text, "("),
                                   half->text);
    if (known) {
        kymo_buf_put(&s->whole, half->text, half->bytes);
        start_ns = half->ts_ns;
    } else { /* it began before the log did */
        kymo_buf_put(&s->whole, name, n);
        kymo_buf_u8(&s->whole, '(');
    }
    kymo_buf_put(&s->whole, " ", 1);
    kymo_buf_put(&s->whole, tail + 1, strlen(tail + 1) + 1);
    if (s->whole.failed)
        return no_memory(err);
    drop_half(s, half);
    return take_call(s, h, (const char *)s->whole.p, start_ns, known, err);
}

/* "+++ exited with 3 +++", "+++ killed by SIGKILL (core dumped) +++" */
static kymo_status take_end(struct strace *s, const struct head *h, struct kymo_err *err)
{
    static const char *const signal[] = {
        "",       "HUP",  "INT",    "QUIT", "ILL",   "TRAP", "ABRT", "BUS",
        "FPE",    "KILL", "USR1",   "SEGV", "USR2",  "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT",   "STOP", "TSTP",  "TTIN", "TTOU", "URG",
        "XCPU",   "XFSZ", "VTALRM", "PROF", "WINCH", "IO",   "PWR",  "SYS"};
    struct half *half;
    KYMO_TRY(half_of(s, h->tid, &half, err));
    KYMO_TRY(give_up(s, half, h->ts_ns, err));
    const char *exited = strstr(h->rest, "exited with "),
               *killed = strstr(h->rest, "killed by SIG");
    uint64_t code = 0;
    if (exited && kymo_import_digits(exited + 12, 255, &code))
        return tell_exit(s, h->tid, h->ts_ns, (uint32_t)code << 8, err);
    if (!killed)
        return strstr(h->rest, "superseded by execve")
                   ? KYMO_OK
                   : kymo_input_bad_line(s->in, err, "neither exited nor killed");
    killed += strlen("killed by SIG");
    for (size_t i = 1; i < KYMO_COUNT_OF(signal); i++)
        if (strcspn(killed, " ") == strlen(signal[i]) &&
            strncmp(killed, signal[i], strlen(signal[i])) == 0)
            code = i;
    return tell_exit(s, h->tid, h->ts_ns,
                     (uint32_t)code | (strstr(killed, "core dumped") ? 0x80 : 0), err);
}

/* "[ Process PID=12 runs in 32 bit mode. ]" */
static kymo_status take_mode(struct strace *s, const char *line, struct kymo_err *err)
{
    uint64_t pid;
    struct half *h;
    const char *at = strstr(line, "PID="),
               *end = at ? kymo_import_digits(at + 4, INT32_MAX, &pid) : NULL;
    if (!end)
        return kymo_input_bad_line(s->in, err, "no process is named");
    KYMO_TRY(half_of(s, (uint32_t)pid, &h, err));
    h->arch = strstr(end, "32 bit") ? KYMO_ARCH_I386 : s->arch;
    return KYMO_OK;
}

/* What strace says of itself, and stacks (-k). */
static bool is_remark(const char *line)
{
    return !*line || strncmp(line, "strace: ", 8) == 0 || strncmp(line, " > ", 3) == 0 ||
           (strncmp(line, "Process ", 8) == 0 && line[8] >= '0' && line[8] <= '9');
}

static kymo_status tell_times(struct strace *s, struct kymo_err *err)
{
    static const char *const word[] = {
        [TIMES_NONE] = "none: made of the line's number, 1 us a line",
        [TIMES_DAY] = "time of day, of a day that the log does not say",
        [TIMES_EPOCH] = "real time",
        [TIMES_RELATIVE] = "since the log began",
    };
    return kymo_sink_fact(s->sink, "times", word[s->times], err);
}

static kymo_status take_line(struct strace *s, char *line, struct kymo_err *err)
{
    struct head h = {0};
    if (is_remark(line))
        return KYMO_OK;
    if (strstr(line, "[ Process PID="))
        return take_mode(s, line, err);
    h.rest = skip_extras(take_time(s, skip_extras(take_pid(s, line, &h)), &h));
    KYMO_TRY(tell_times(s, err));
    if (is_remark(h.rest))
        return KYMO_OK;
    if (strncmp(h.rest, "--- ", 4) == 0)
        return KYMO_OK;
    if (strncmp(h.rest, "+++ ", 4) == 0)
        return take_end(s, &h, err);
    if (strncmp(h.rest, "<... ", 5) == 0)
        return take_resumed(s, &h, err);
    char *unfinished = strstr(h.rest, "<unfinished ...>");
    if (unfinished && !strchr(unfinished, '"'))
        return take_unfinished(s, &h, unfinished, err);
    return take_call(s, &h, h.rest, h.ts_ns, false, err);
}

static kymo_status flush_halves(struct strace *s, struct kymo_err *err)
{
    for (size_t i = 0; s->n_texts && i < SLOTS; i++)
        KYMO_TRY(give_up(s, &s->half[i], s->now_ns, err));
    return KYMO_OK;
}

static kymo_status step_strace(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct strace *s = ctx;
    char *line;
    size_t n;
    KYMO_TRY(kymo_input_line(s->in, &line, &n, err));
    *more = line != NULL;
    if (!line)
        return flush_halves(s, err);
    KYMO_TRY(take_line(s, line, err));
    *now_ns = s->now_ns;
    return KYMO_OK;
}

/* ---- guessing ----------------------------------------------------------------------------------------- */

static bool is_call_line(const char *p, const char *end)
{
    while (p < end && strchr("0123456789 \t:.", *p))
        p++;
    if (end - p > 5 && memcmp(p, "[pid ", 5) == 0)
        p = memchr(p, ']', (size_t)(end - p));
    while (p && p < end && strchr("0123456789 \t:.]", *p))
        p++;
    const char *const name = p;
    while (p && p < end && ((*p >= 'a' && *p <= 'z') || *p == '_' || (*p >= '0' && *p <= '9')))
        p++;
    if (!p || p == name || p == end || *p != '(')
        return false;
    for (; p + 3 < end; p++)
        if ((p[0] == ')' && p[1] == ' ' && (p[2] == '=' || p[2] == ' ')) ||
            memcmp(p, "<unf", 4) == 0)
            return true;
    return false;
}

static bool guess_strace(const uint8_t *p, size_t n)
{
    const char *line = (const char *)p, *const end = line + n;
    for (int i = 0; i < 8 && line < end; i++) {
        const char *to = memchr(line, '\n', (size_t)(end - line));
        if (is_call_line(line, to ? to : end))
            return true;
        line = to ? to + 1 : end;
    }
    return false;
}

const struct kymo_importer kymo_import_strace = {
    .name = "strace",
    .guess = guess_strace,
    .open = open_strace,
    .step = step_strace,
    .close = close_strace,
};
