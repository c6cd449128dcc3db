/* SPDX-License-Identifier: Apache-2.0
 * Sequences of system calls, one process a line, names or numbers, spaces or commas between them. There
 * are no times: a call is a microsecond, one line's behind the other's.
 *
 *   # a remark
 *   read write write exit
 *   6 6 63 6 42
 *   normal<TAB>12<TAB>6 6 63 6 42      fields before the last are no calls
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/import/import.h"
#include "format/trace/sysname.h"

#define CALL_NS 1000u

struct sequences {
    struct kymo_input *in;  /* borrowed */
    struct kymo_sink *sink; /* borrowed */
    uint32_t arch;
    uint64_t now_ns;
    uint32_t pid;
};

static kymo_status open_sequences(void **ctx, struct kymo_input *in,
                                  const struct kymo_import_opts *o, struct kymo_sink *sink,
                                  struct kymo_err *err)
{
    struct sequences *s = calloc(1, sizeof(*s));
    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    s->in = in;
    s->sink = sink;
    s->arch = o->arch;
    *ctx = s;
    KYMO_TRY(
        kymo_sink_fact(sink, "times", "none: made of the place in the file, 1 us a call", err));
    return kymo_sink_fact(
        sink, "unknown",
        "times, durations, results, arguments, threads, who the processes were", err);
}

static bool is_gap(char c)
{
    return c == ' ' || c == '\t' || c == ',' || c == ';';
}

static bool is_name(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || p[i] == '_' ||
              (p[i] >= '0' && p[i] <= '9')))
            return false;
    return n > 0;
}

static kymo_status take_word(struct sequences *s, const char *p, size_t n, struct kymo_err *err)
{
    struct kymo_import_call c = {.tid = s->pid, .pid = s->pid, .dur_ns = KYMO_IMPORT_UNKNOWN};
    uint64_t nr;
    const char *end = kymo_import_digits(p, 65535, &nr);
    if (end == p + n) {
        if (!s->arch)
            return kymo_input_bad_line(s->in, err,
                                       "%llu is a number; --arch says of which machine",
                                       (unsigned long long)nr);
        c.arch = s->arch;
        c.nr = (uint32_t)nr;
    } else if (!is_name(p, n) || (*p >= '0' && *p <= '9')) {
        return kymo_input_bad_line(s->in, err, "'%.*s' is neither a call's name nor its number",
                                   (int)(n < 40 ? n : 40), p);
    } else {
        const uint32_t arch = s->arch ? s->arch : KYMO_ARCH_X86_64;
        KYMO_TRY(kymo_sink_name(s->sink, arch, p, n, &c.arch, &c.nr, err));
    }
    s->now_ns += CALL_NS;
    c.ts_ns = s->now_ns;
    return kymo_sink_call(s->sink, &c, err);
}

static kymo_status tell(struct sequences *s, enum kymo_import_kind kind, struct kymo_text label,
                        struct kymo_err *err)
{
    s->now_ns += CALL_NS;
    const struct kymo_import_process p = {.ts_ns = s->now_ns,
                                          .kind = kind,
                                          .pid = s->pid,
                                          .tid = s->pid,
                                          .start_ns = kind == KYMO_IMPORT_FORK ? s->now_ns : 0,
                                          .comm = label};
    return kymo_sink_process(s->sink, &p, err);
}

/* Fields before the last tab label the line; the first of them that is no number names the process. */
static struct kymo_text label_of(const char *line, const char *calls)
{
    uint64_t number;
    for (const char *p = line; p < calls;) {
        const char *end = memchr(p, '\t', (size_t)(calls - p));
        if (!end)
            break;
        if (end > p && kymo_import_digits(p, UINT64_MAX, &number) != end)
            return kymo_text_of(p, (size_t)(end - p));
        p = end + 1;
    }
    return kymo_text_of(NULL, 0);
}

static kymo_status take_line(struct sequences *s, const char *line, struct kymo_err *err)
{
    const char *tab = strrchr(line, '\t');
    const char *p = tab ? tab + 1 : line;
    while (is_gap(*p))
        p++;
    if (!*p || *p == '#')
        return KYMO_OK;
    s->pid = kymo_sink_fresh_pid(s->sink);
    KYMO_TRY(tell(s, KYMO_IMPORT_FORK, label_of(line, p), err));
    while (*p) {
        size_t n = 0;
        while (p[n] && !is_gap(p[n]))
            n++;
        KYMO_TRY(take_word(s, p, n, err));
        for (p += n; is_gap(*p); p++)
            ;
    }
    return tell(s, KYMO_IMPORT_EXIT, kymo_text_of(NULL, 0), err);
}

static kymo_status step_sequences(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct sequences *s = ctx;
    char *line;
    size_t n;
    KYMO_TRY(kymo_input_line(s->in, &line, &n, err));
    *more = line != NULL;
    if (line)
        KYMO_TRY(take_line(s, line, err));
    *now_ns = s->now_ns;
    return KYMO_OK;
}

static void close_sequences(void *ctx)
{
    free(ctx);
}

const struct kymo_importer kymo_import_sequences = {
    .name = "sequences", /* any text might be: it has to be said */
    .open = open_sequences,
    .step = step_sequences,
    .close = close_sequences,
};
