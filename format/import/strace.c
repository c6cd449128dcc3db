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

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

/* ---- life ------------------------------------------------------------------------------------------- */

static void close_strace(void *ctx)
{
    struct kymo_strace *s = ctx;
    kymo_strace_threads_release(&s->threads);
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
    struct kymo_strace *s = calloc(1, sizeof(*s));
    if (!s)
        return no_memory(err);
    s->in = in;
    s->sink = sink;
    s->arch = o->arch ? o->arch : KYMO_ARCH_X86_64;
    s->own_tid = pid_of_name(kymo_input_name(in));
    s->threads.arch = s->arch;
    *ctx = s;
    return kymo_sink_fact(sink, "unknown",
                          "cpu, cgroup, credentials, threads and processes older than the log, "
                          "calls that strace was told to leave out, what flags and structures "
                          "stand for as numbers",
                          err);
}

/* ---- the head of a line ------------------------------------------------------------------------------- */

static char *skip_spaces(char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* "[pid 12] ", "12 " or "12<name> " before the time. */
static char *take_pid(struct kymo_strace *s, char *p, struct kymo_strace_head *h)
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
static void set_day_time(struct kymo_strace *s, uint64_t ns)
{
    if (s->times == TIMES_DAY && s->day_ns + ns + DAY / 2 < s->now_ns)
        s->day_ns += DAY;
    s->times = TIMES_DAY;
    s->now_ns = s->day_ns + ns;
}

static char *take_time(struct kymo_strace *s, char *p, struct kymo_strace_head *h)
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

/* ---- lines -------------------------------------------------------------------------------------------- */

/* A call that never came back: the recorder has those too. */
static kymo_status give_up(struct kymo_strace *s, struct kymo_strace_thread *half,
                           uint64_t ts_ns, struct kymo_err *err)
{
    const struct kymo_strace_head h = {.tid = half->tid, .ts_ns = ts_ns};
    if (!half->text)
        return KYMO_OK;
    kymo_buf_clear(&s->whole);
    kymo_buf_put(&s->whole, half->text, half->bytes);
    kymo_buf_put(&s->whole, ") = ?", 6);
    if (s->whole.failed)
        return no_memory(err);
    kymo_strace_thread_drop(&s->threads, half);
    return kymo_strace_take_call(s, &h, (const char *)s->whole.p, ts_ns, false, err);
}

/* "name(args <unfinished ...>": keep it; with ") = ?" behind, the thread died in it. */
static kymo_status take_unfinished(struct kymo_strace *s, const struct kymo_strace_head *h,
                                   char *mark, struct kymo_err *err)
{
    struct kymo_strace_thread *half;
    *mark = '\0';
    size_t n = (size_t)(mark - h->rest);
    while (n && h->rest[n - 1] == ' ')
        h->rest[--n] = '\0';
    KYMO_TRY(kymo_strace_thread_find(&s->threads, h->tid, &half, err));
    KYMO_TRY(give_up(s, half, h->ts_ns, err));
    KYMO_TRY(kymo_strace_thread_find(&s->threads, h->tid, &half, err)); /* it may have moved */
    if (!strchr(h->rest, '('))
        return kymo_input_bad_line(s->in, err, "an unfinished call without a bracket");
    if (mark[1] == '\0' || !strstr(mark + 1, ") = ?"))
        return kymo_strace_thread_keep(&s->threads, half, h->rest, n, h->ts_ns, err);
    kymo_buf_clear(&s->whole);
    kymo_buf_printf(&s->whole, "%s) = ?", h->rest);
    kymo_buf_u8(&s->whole, 0);
    if (s->whole.failed)
        return no_memory(err);
    return kymo_strace_take_call(s, h, (const char *)s->whole.p, h->ts_ns, false, err);
}

/* "<... name resumed>args) = result": put behind the first half, whose name has to be the same. */
static kymo_status take_resumed(struct kymo_strace *s, const struct kymo_strace_head *h,
                                struct kymo_err *err)
{
    char *name = h->rest + strlen("<... "), *end = strstr(name, " resumed");
    char *tail = end ? strchr(end, '>') : NULL;
    struct kymo_strace_thread *half;
    if (!tail)
        return kymo_input_bad_line(s->in, err, "a resumed call without a name");
    KYMO_TRY(kymo_strace_thread_find(&s->threads, h->tid, &half, err));
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
    kymo_strace_thread_drop(&s->threads, half);
    return kymo_strace_take_call(s, h, (const char *)s->whole.p, start_ns, known, err);
}

/* "+++ exited with 3 +++", "+++ killed by SIGKILL (core dumped) +++" */
static kymo_status take_end(struct kymo_strace *s, const struct kymo_strace_head *h,
                            struct kymo_err *err)
{
    struct kymo_strace_thread *half;
    KYMO_TRY(kymo_strace_thread_find(&s->threads, h->tid, &half, err));
    KYMO_TRY(give_up(s, half, h->ts_ns, err));
    const char *exited = strstr(h->rest, "exited with "),
               *killed = strstr(h->rest, "killed by SIG");
    uint64_t code = 0;
    if (exited && kymo_import_digits(exited + 12, 255, &code))
        return kymo_strace_tell_exit(s, h->tid, h->ts_ns, (uint32_t)code << 8, err);
    if (!killed)
        return strstr(h->rest, "superseded by execve")
                   ? KYMO_OK
                   : kymo_input_bad_line(s->in, err, "neither exited nor killed");
    killed += strlen("killed by ");
    code = kymo_import_signal(killed, strcspn(killed, " "));
    return kymo_strace_tell_exit(
        s, h->tid, h->ts_ns, (uint32_t)code | (strstr(killed, "core dumped") ? 0x80 : 0), err);
}

/* "[ Process PID=12 runs in 32 bit mode. ]" */
static kymo_status take_mode(struct kymo_strace *s, const char *line, struct kymo_err *err)
{
    uint64_t pid;
    struct kymo_strace_thread *h;
    const char *at = strstr(line, "PID="),
               *end = at ? kymo_import_digits(at + 4, INT32_MAX, &pid) : NULL;
    if (!end)
        return kymo_input_bad_line(s->in, err, "no process is named");
    KYMO_TRY(kymo_strace_thread_find(&s->threads, (uint32_t)pid, &h, err));
    h->arch = strstr(end, "32 bit") ? KYMO_ARCH_I386 : s->arch;
    return KYMO_OK;
}

/* What strace says of itself, and stacks (-k). */
static bool is_remark(const char *line)
{
    return !*line || strncmp(line, "strace: ", 8) == 0 || strncmp(line, " > ", 3) == 0 ||
           (strncmp(line, "Process ", 8) == 0 && line[8] >= '0' && line[8] <= '9');
}

static kymo_status tell_times(struct kymo_strace *s, struct kymo_err *err)
{
    static const char *const word[] = {
        [TIMES_NONE] = "none: made of the line's number, 1 us a line",
        [TIMES_DAY] = "time of day, of a day that the log does not say",
        [TIMES_EPOCH] = "real time",
        [TIMES_RELATIVE] = "since the log began",
    };
    return kymo_sink_fact(s->sink, "times", word[s->times], err);
}

static kymo_status take_line(struct kymo_strace *s, char *line, struct kymo_err *err)
{
    struct kymo_strace_head h = {0};
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
    return kymo_strace_take_call(s, &h, h.rest, h.ts_ns, false, err);
}

static kymo_status flush_halves(struct kymo_strace *s, struct kymo_err *err)
{
    for (uint32_t i = 0; s->threads.n_texts; i = (i + 1) & (s->threads.slots - 1))
        KYMO_TRY(give_up(s, &s->threads.slot[i], s->now_ns, err));
    return KYMO_OK;
}

static kymo_status step_strace(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct kymo_strace *s = ctx;
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
