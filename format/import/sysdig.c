/* SPDX-License-Identifier: Apache-2.0
 * What sysdig prints, an event a line, and the same with bars between:
 *
 *   12 09:30:01.000000123 0 cat (77) < open fd=3(<f>/etc/passwd) name=/etc/passwd flags=1(O_RDONLY) mode=0
 *   1602667846491622507 | 299 | 11981 | < | epoll_wait | res=1 | 1
 *
 * The second form has real time in ns, and the newest line may come first: then all of it is read, and
 * taken from its end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/import/pairs.h"
#include "format/import/scap_events.h"
#include "format/trace/sysname.h"

#define SECOND 1000000000ull
#define DAY (86400 * SECOND)
#define HELD_BYTES_MAX ((size_t)1 << 30)

struct line {
    uint64_t ts_ns;
    uint32_t tid, cpu;
    bool exits;
    struct kymo_text name, info, comm;
};

struct held {
    size_t at;
    uint64_t line, at_bytes;
};

struct sysdig {
    struct kymo_input *in;  /* borrowed */
    struct kymo_sink *sink; /* borrowed */
    struct kymo_pairs *pairs;
    uint32_t arch;
    uint64_t now_ns, day_ns, kernel, lines;
    bool begun, real_time;
    struct kymo_buf text, held; /* lines of an input that goes back in time, and their places */
    size_t n_held;              /* yet to be taken */
};

/* ---- life ------------------------------------------------------------------------------------------- */

static void close_sysdig(void *ctx)
{
    struct sysdig *s = ctx;
    kymo_pairs_close(s->pairs);
    kymo_buf_release(&s->text);
    kymo_buf_release(&s->held);
    free(s);
}

static kymo_status open_sysdig(void **ctx, struct kymo_input *in,
                               const struct kymo_import_opts *o, struct kymo_sink *sink,
                               struct kymo_err *err)
{
    struct sysdig *s = calloc(1, sizeof(*s));
    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    const kymo_status status = kymo_pairs_open(&s->pairs, sink, err);
    if (status) {
        free(s);
        return status;
    }
    s->in = in;
    s->sink = sink;
    s->arch = o->arch ? o->arch : KYMO_ARCH_X86_64;
    *ctx = s;
    return kymo_sink_fact(
        sink, "unknown",
        "processes of threads, cgroup, credentials, what the filter of sysdig left "
        "out, results and arguments that were not printed",
        err);
}

/* ---- the two forms of a line ---------------------------------------------------------------------------- */

static struct kymo_text trim(const char *from, const char *to)
{
    while (from < to && *from == ' ')
        from++;
    while (to > from && to[-1] == ' ')
        to--;
    return kymo_text_of(from, (size_t)(to - from));
}

/* "time | latency | tid | dir | call | info | place"; info may hold bars. */
static bool parse_bars(const char *p, struct line *l)
{
    uint64_t v;
    const char *field[6], *end = p + strlen(p);
    for (int i = 0; i < 6; i++) {
        field[i] = p;
        p = strchr(p, '|');
        if (!p)
            return false;
        p++;
    }
    const char *last = strrchr(field[5], '|');
    p = kymo_import_digits(field[0], UINT64_MAX, &l->ts_ns);
    if (!p || *p != ' ' || !kymo_import_digits(field[2] + (*field[2] == ' '), UINT32_MAX, &v))
        return false;
    l->tid = (uint32_t)v;
    const struct kymo_text direction = trim(field[3], field[4] - 1);
    l->exits = direction.n == 1 && direction.p[0] == '<';
    l->name = trim(field[4], field[5] - 1);
    l->info = trim(field[5], last ? last : end);
    return direction.n == 1 && (direction.p[0] == '<' || direction.p[0] == '>') && l->name.n;
}

/* Time of day, or seconds (-t a is of day, -t r and D are seconds). */
static const char *parse_time(struct sysdig *s, const char *p, uint64_t *ts_ns)
{
    uint64_t ns;
    const char *end = kymo_import_daytime(p, &ns);
    if (end) {
        if (s->day_ns + ns + DAY / 2 < s->now_ns)
            s->day_ns += DAY;
        *ts_ns = s->day_ns + ns;
        return end;
    }
    return kymo_import_seconds(p, ts_ns);
}

/* "number time cpu name (tid) direction call info" */
static bool parse_plain(struct sysdig *s, const char *p, struct line *l)
{
    uint64_t v;
    if (!(p = kymo_import_digits(p, UINT64_MAX, &v)) || *p != ' ' ||
        !(p = parse_time(s, p + 1, &l->ts_ns)) || *p != ' ' ||
        !(p = kymo_import_digits(p + 1, UINT16_MAX, &v)) || *p != ' ')
        return false;
    l->cpu = (uint32_t)v;
    const char *const comm = p + 1;
    const char *open = strstr(comm, " (");
    while (open && (!(p = kymo_import_digits(open + 2, UINT32_MAX, &v)) || *p != ')'))
        open = strstr(open + 1, " (");
    if (!open || p[1] != ' ' || (p[2] != '<' && p[2] != '>') || p[3] != ' ')
        return false;
    l->comm = kymo_text_of(comm, (size_t)(open - comm));
    l->tid = (uint32_t)v;
    l->exits = p[2] == '<';
    const size_t n = strcspn(p + 4, " ");
    l->name = kymo_text_of(p + 4, n);
    l->info = trim(p + 4 + n, p + strlen(p));
    return n > 0;
}

static bool parse(struct sysdig *s, const char *text, struct line *l)
{
    memset(l, 0, sizeof(*l));
    return parse_bars(text, l) || parse_plain(s, text, l);
}

/* ---- arguments ---------------------------------------------------------------------------------------- */

/* The value behind "name=", up to the next space; none where it is not there. */
static struct kymo_text value(struct kymo_text info, const char *name)
{
    const size_t len = strlen(name);
    for (size_t i = 0; i + len < info.n; i++) {
        if (memcmp(info.p + i, name, len) != 0 || info.p[i + len] != '=' ||
            (i && info.p[i - 1] != ' '))
            continue;
        const char *from = info.p + i + len + 1, *to = from;
        while (to < info.p + info.n && *to != ' ')
            to++;
        return kymo_text_of(from, (size_t)(to - from));
    }
    return kymo_text_of(NULL, 0);
}

/* "3(<f>/etc/passwd)", "-2(ENOENT)", "4096" */
static bool number(struct kymo_text t, uint64_t *v)
{
    if (!t.p || !t.n)
        return false;
    const bool minus = *t.p == '-';
    const char *end = kymo_import_digits(t.p + minus, INT64_MAX, v);
    if (!end || end > t.p + t.n || (end < t.p + t.n && *end != '('))
        return false;
    *v = minus ? 0 - *v : *v;
    return true;
}

/* A path is printed as it was given, and behind it, in brackets, as it was resolved. */
static struct kymo_text path_of(struct kymo_text t)
{
    const char *open = t.p ? memchr(t.p, '(', t.n) : NULL;
    if (open && open > t.p && t.p[t.n - 1] == ')')
        t.n = (size_t)(open - t.p);
    return t.n ? t : kymo_text_of(NULL, 0);
}

static void take_paths(struct kymo_text info, struct kymo_import_call *c)
{
    static const char *const first[] = {"name", "path", "filename", "oldpath", "target", "dev"};
    static const char *const second[] = {"newpath", "linkpath", "dir"};
    const struct kymo_sysinfo *known = kymo_sysinfo(c->arch, c->nr);
    for (size_t i = 0; known && known->path >= 0 && i < KYMO_COUNT_OF(first) && !c->path.p; i++)
        c->path = path_of(value(info, first[i]));
    for (size_t i = 0; known && known->path2 >= 0 && i < KYMO_COUNT_OF(second) && !c->path2.p;
         i++)
        c->path2 = path_of(value(info, second[i]));
}

static void take_numbers(struct kymo_text info, bool exits, struct kymo_import_call *c)
{
    uint64_t v;
    if (exits && (number(value(info, "res"), &v) || number(value(info, "fd"), &v))) {
        c->has_ret = 1;
        c->ret = (int64_t)v;
    }
    if (!exits && (number(value(info, "fd"), &v) || number(value(info, "dirfd"), &v))) {
        c->has_arg |= 1;
        c->arg[0] = v;
    }
    const int size = exits ? -1 : kymo_import_size_arg(c->arch, c->nr);
    if (size >= 0 && number(value(info, "size"), &v)) {
        c->has_arg |= (uint8_t)(1u << size);
        c->arg[size] = v;
    }
}

/* ---- events --------------------------------------------------------------------------------------------- */

static struct kymo_text kernel_name(struct kymo_text name)
{
    static const char *const other[][2] = {{"pread", "pread64"},
                                           {"pwrite", "pwrite64"},
                                           {"prlimit", "prlimit64"},
                                           {"llseek", "_llseek"},
                                           {"<unknown>", "unknown"}};
    for (size_t i = 0; i < KYMO_COUNT_OF(other); i++)
        if (name.n == strlen(other[i][0]) && memcmp(name.p, other[i][0], name.n) == 0)
            return kymo_text_of(other[i][1], strlen(other[i][1]));
    return name;
}

static kymo_status tell_exit(struct sysdig *s, const struct line *l, struct kymo_err *err)
{
    uint64_t code = 0;
    const bool has = number(value(l->info, "status"), &code);
    KYMO_TRY(kymo_pairs_died(s->pairs, l->tid, err));
    const struct kymo_import_process p = {.ts_ns = l->ts_ns,
                                          .kind = KYMO_IMPORT_EXIT,
                                          .tid = l->tid,
                                          .has_code = has,
                                          .code = (uint32_t)code,
                                          .comm = l->comm};
    return kymo_sink_process(s->sink, &p, err);
}

static kymo_status tell_exec(struct sysdig *s, const struct line *l, struct kymo_import_call *c,
                             struct kymo_err *err)
{
    if (!l->exits || !c->has_ret || c->ret != 0)
        return KYMO_OK;
    const struct kymo_text exe = value(l->info, "exe");
    uint64_t pid = 0;
    (void)number(value(l->info, "pid"), &pid);
    c->flags |= KYMO_CALL_EXECED;
    c->has_arg = 0;
    c->path = kymo_text_of(NULL, 0);
    const struct kymo_import_process p = {.ts_ns = l->ts_ns,
                                          .kind = KYMO_IMPORT_EXEC,
                                          .pid = (uint32_t)pid,
                                          .tid = l->tid,
                                          .comm =
                                              l->comm.p ? l->comm : kymo_import_comm_of(exe),
                                          .exe = exe};
    return kymo_sink_process(s->sink, &p, err);
}

static kymo_status take_call(struct sysdig *s, const struct line *l, struct kymo_err *err)
{
    struct kymo_import_call c = {.ts_ns = l->ts_ns,
                                 .dur_ns = KYMO_IMPORT_UNKNOWN,
                                 .tid = l->tid,
                                 .cpu = l->cpu,
                                 .comm = l->comm};
    const struct kymo_text name = kernel_name(l->name);
    uint32_t arch, nr;
    int found = 0;
    KYMO_TRY(kymo_sink_name(s->sink, s->arch, name.p, name.n, &arch, &nr, err));
    const uint32_t tag = nr << 1 | (arch == KYMO_IMPORT_ARCH_NAMED);
    if (l->exits)
        KYMO_TRY(kymo_pairs_exit(s->pairs, &c, tag, &found, err));
    c.arch = arch;
    c.nr = nr;
    take_paths(l->info, &c);
    take_numbers(l->info, l->exits, &c);
    if (!l->exits)
        return kymo_pairs_enter(s->pairs, &c, tag, err);
    if (name.n >= 6 && memcmp(name.p, "execve", 6) == 0)
        KYMO_TRY(tell_exec(s, l, &c, err));
    return kymo_sink_call(s->sink, &c, err);
}

static kymo_status take_line(struct sysdig *s, const char *text, struct kymo_err *err)
{
    struct line l;
    if (!*text)
        return KYMO_OK;
    if (!parse(s, text, &l))
        return kymo_input_bad_line(s->in, err, "no event as sysdig prints them");
    s->lines++;
    s->now_ns = l.ts_ns > s->now_ns ? l.ts_ns : s->now_ns;
    const struct kymo_scap_event *t = kymo_scap_event_by_name(l.name.p, l.name.n);
    if (t && t->cls == KYMO_SCAP_EXIT)
        return tell_exit(s, &l, err);
    if (t && (t->cls == KYMO_SCAP_KERNEL || t->cls == KYMO_SCAP_INTERNAL)) {
        s->kernel++;
        return KYMO_OK;
    }
    return take_call(s, &l, err);
}

/* ---- the order of lines ------------------------------------------------------------------------------------- */

static kymo_status hold(struct sysdig *s, const char *line, size_t n, uint64_t at_bytes,
                        struct kymo_err *err)
{
    const struct held h = {s->text.n, kymo_input_lines(s->in), at_bytes};
    if (s->text.n + n > HELD_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, at_bytes,
                         "a text of more than %zu bytes whose newest line comes first; turn it "
                         "round with tac",
                         HELD_BYTES_MAX);
    kymo_buf_put(&s->text, line, n + 1);
    kymo_buf_put(&s->held, &h, sizeof(h));
    s->n_held++;
    return s->text.failed || s->held.failed
               ? KYMO_FAIL(err, KYMO_ELIMIT, at_bytes, "out of memory")
               : KYMO_OK;
}

/* Hold lines until it is clear which way time goes; all of them when it goes back. */
static kymo_status begin(struct sysdig *s, struct kymo_err *err)
{
    uint64_t first_ns = 0;
    bool back = false;
    s->begun = true;
    for (;;) {
        char *line;
        size_t n;
        struct line l;
        const uint64_t at = kymo_input_at(s->in);
        KYMO_TRY(kymo_input_line(s->in, &line, &n, err));
        if (!line)
            break;
        KYMO_TRY(hold(s, line, n, at, err));
        if (back || !*line)
            continue;
        if (!parse(s, line, &l))
            return kymo_input_bad_line(s->in, err, "no event as sysdig prints them");
        s->real_time |= l.ts_ns > 10000000 * SECOND && !l.comm.p;
        if (first_ns && l.ts_ns > first_ns)
            break;
        back = first_ns && l.ts_ns < first_ns;
        first_ns = first_ns ? first_ns : l.ts_ns;
    }
    if (s->real_time)
        kymo_sink_real_time(s->sink);
    s->now_ns = s->day_ns = 0;
    if (!back) /* taken from the end: turn round what is held */
        for (size_t i = 0; i < s->n_held / 2; i++) {
            struct held *h = (struct held *)(void *)s->held.p, swap = h[i];
            h[i] = h[s->n_held - 1 - i];
            h[s->n_held - 1 - i] = swap;
        }
    return kymo_sink_fact(
        s->sink, "times",
        s->real_time ? "real time" : "time of day, or since the recording began", err);
}

static kymo_status finish(struct sysdig *s, struct kymo_err *err)
{
    char text[120];
    KYMO_TRY(kymo_pairs_finish(s->pairs, s->now_ns, err));
    (void)snprintf(text, sizeof(text), "%" PRIu64 ": %" PRIu64 " of the kernel in no table",
                   s->lines, s->kernel);
    return kymo_sink_fact(s->sink, "events", text, err);
}

static kymo_status step_sysdig(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct sysdig *s = ctx;
    if (!s->begun)
        KYMO_TRY(begin(s, err));
    *more = 1;
    if (s->n_held) {
        const struct held *h = (const struct held *)(const void *)s->held.p + --s->n_held;
        const uint64_t lines = kymo_input_lines(s->in);
        kymo_input_place(s->in, h->line, h->at_bytes);
        KYMO_TRY(take_line(s, (const char *)s->text.p + h->at, err));
        kymo_input_place(s->in, lines, h->at_bytes);
    } else {
        char *line;
        size_t n;
        KYMO_TRY(kymo_input_line(s->in, &line, &n, err));
        *more = line != NULL;
        KYMO_TRY(line ? take_line(s, line, err) : finish(s, err));
    }
    *now_ns = s->now_ns;
    return KYMO_OK;
}

static bool guess_sysdig(const uint8_t *p, size_t n)
{
    char text[1024];
    struct sysdig s = {0};
    struct line l;
    const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
    const size_t len = end ? (size_t)(end - p) : n;
    if (!len || len >= sizeof(text) || memchr(p, 0, len))
        return false;
    memcpy(text, p, len);
    text[len] = '\0';
    return parse(&s, text, &l);
}

const struct kymo_importer kymo_import_sysdig = {
    .name = "sysdig",
    .guess = guess_sysdig,
    .open = open_sysdig,
    .step = step_sysdig,
    .close = close_sysdig,
};
