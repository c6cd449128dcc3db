/* SPDX-License-Identifier: Apache-2.0
 * One call of an strace log: its key, result, arguments, and what it tells of processes.
 */
#include <string.h>

#include "format/base/size.h"
#include "format/import/strace.h"
#include "format/trace/sysname.h"

/* "-1 ENOENT (...)", "3</etc>", "? ERESTARTSYS (...)", "?", "0x7f (flags ...)" and a duration behind. */
static kymo_status take_result(struct kymo_strace *s, struct kymo_text text,
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

static void take_args(struct kymo_strace *s, struct kymo_strace_call *t,
                      struct kymo_import_call *c)
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
static kymo_status take_name(struct kymo_strace *s, const struct kymo_strace_call *t,
                             uint32_t arch, struct kymo_import_call *c, struct kymo_err *err)
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

static kymo_status tell_fork(struct kymo_strace *s, const struct kymo_strace_call *t,
                             const struct kymo_import_call *c, struct kymo_err *err)
{
    if (!is_called(t, "clone") && !is_called(t, "clone3") && !is_called(t, "fork") &&
        !is_called(t, "vfork") && !is_called(t, "clone2"))
        return KYMO_OK;
    if (!c->has_ret || c->ret <= 0 || c->ret > INT32_MAX)
        return KYMO_OK;
    const uint32_t child = (uint32_t)c->ret, parent = kymo_sink_pid(s->sink, c->tid);
    const uint32_t pid = has_word(t, "CLONE_THREAD") ? parent : child;
    struct kymo_strace_thread *h;
    KYMO_TRY(kymo_strace_thread_find(&s->threads, child, &h, err));
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
static void join_argv(struct kymo_strace *s, struct kymo_text list)
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

static kymo_status tell_exec(struct kymo_strace *s, struct kymo_strace_call *t,
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

kymo_status kymo_strace_tell_exit(struct kymo_strace *s, uint32_t tid, uint64_t ts_ns,
                                  uint32_t code, struct kymo_err *err)
{
    struct kymo_strace_thread *h;
    KYMO_TRY(kymo_strace_thread_find(&s->threads, tid, &h, err));
    if (h->gone)
        return KYMO_OK;
    kymo_strace_thread_drop(&s->threads, h);
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

kymo_status kymo_strace_take_call(struct kymo_strace *s, const struct kymo_strace_head *h,
                                  const char *text, uint64_t start_ns, bool resumed,
                                  struct kymo_err *err)
{
    struct kymo_strace_call t;
    struct kymo_strace_thread *half;
    const char *why;
    if (!kymo_strace_split(text, &t, &why))
        return kymo_input_bad_line(s->in, err, "%s", why);
    KYMO_TRY(kymo_strace_thread_find(&s->threads, h->tid, &half, err));
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
    return kymo_strace_tell_exit(s, h->tid, c.ts_ns,
                                 c.has_arg & 1 ? (uint32_t)(c.arg[0] & 0xff) << 8 : 0, err);
}
