/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/plan_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/json.h"
#include "format/base/size.h"
#include "format/trace/sysname.h"
#include "replay/plan/machine.h"

#define BLOCKED_NS 50000u
#define LINES_MAX 40u

static const char *const how_name[KYMO_HOW_COUNT] = {"issue",  "inject", "skip", "fork",
                                                     "thread", "exec",   "exit"};
static const char *const why_name[KYMO_WHY_COUNT] = {
    "natural", "scratch",   "environment", "substitute", "error",
    "result",  "simulated", "signal",      "power",      "ioctl",
    "foreign", "unknown",   "unfinished",  "follows",    "bound"};
/* What a why means where a call is not issued. */
static const char *const why_text[KYMO_WHY_COUNT] = {
    [KYMO_WHY_ERROR] = "an error whose cause cannot be made here",
    [KYMO_WHY_RESULT] = "a result whose cause cannot be made here",
    [KYMO_WHY_SIMULATED] = "work that calls do not show",
    [KYMO_WHY_SIGNAL] = "a signal to somebody outside of the slice",
    [KYMO_WHY_POWER] = "takes or gives power over the host",
    [KYMO_WHY_IOCTL] = "not on the list of harmless requests",
    [KYMO_WHY_FOREIGN] = "another architecture's call",
    [KYMO_WHY_UNKNOWN] = "a call that is not known",
    [KYMO_WHY_UNFINISHED] = "had not returned when the slice ended",
    [KYMO_WHY_FOLLOWS] = "comes by itself with another call",
    [KYMO_WHY_BOUND] = "passes a bound",
};

const char *kymo_how_name(uint8_t how)
{
    return how < KYMO_HOW_COUNT ? how_name[how] : "?";
}

const char *kymo_why_name(uint8_t why)
{
    return why < KYMO_WHY_COUNT ? why_name[why] : "?";
}

static const char *number_name(uint32_t nr)
{
    const struct kymo_sysinfo *s = kymo_sysinfo(KYMO_ARCH_HERE, nr);
    return s ? s->name : "?";
}

static const char *cover_name(const struct kymo_plan_view *v, const struct kymo_cover *l)
{
    return v->trace ? kymo_trace_text(v->trace, l->name) : number_name(l->name);
}

/* Words of a capture, so that a terminal obeys nothing in them. */
static void print_word(const char *s, FILE *out)
{
    for (size_t n = 0; *s && n < 200; s++, n++)
        fputc(*s < ' ' || *s > '~' ? '?' : *s, out);
}

/* ---- coverage from an image ---- */

static int same_line(const struct kymo_cover *a, const struct kymo_cover *b)
{
    return a->name == b->name && a->how == b->how && a->why == b->why;
}

static int by_calls(const void *a, const void *b)
{
    const struct kymo_cover *x = a, *y = b;
    return x->calls != y->calls ? (x->calls > y->calls ? -1 : 1)
           : x->name != y->name ? (x->name < y->name ? -1 : 1)
           : x->how != y->how   ? x->how - y->how
                                : x->why - y->why;
}

static void add_call(struct kymo_coverage *c, const struct kymo_icall *x)
{
    const struct kymo_cover like = {.name = x->nr,
                                    .how = x->how,
                                    .why = x->why,
                                    .is_memory = (x->flags & KYMO_ICALL_MEMORY) != 0};
    size_t i = 0;
    while (i < c->n && !same_line(&c->line[i], &like))
        i++;
    if (i == c->n)
        c->line[c->n++] = like;
    c->line[i].calls++;
    c->line[i].bytes += x->flags & KYMO_ICALL_BYTES && x->ret > 0 ? (uint64_t)x->ret : 0;
    c->line[i].blocked_ns += x->dur_ns >= BLOCKED_NS ? x->dur_ns : 0;
}

static int is_issued(uint8_t how)
{
    return how != KYMO_HOW_INJECT && how != KYMO_HOW_SKIP;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 1;
}

static void sum_up(struct kymo_coverage *c)
{
    uint64_t all[3] = {0}, done[3] = {0}, injected = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct kymo_cover *l = &c->line[i];
        if (l->why == KYMO_WHY_POWER || l->why == KYMO_WHY_SIGNAL) {
            c->n_never += l->calls;
            continue;
        }
        if (l->is_memory) {
            c->n_memory += l->calls;
            continue;
        }
        if (l->why == KYMO_WHY_FOLLOWS)
            continue;
        const uint64_t part[3] = {l->calls, l->bytes, l->blocked_ns};
        for (int k = 0; k < 3; k++) {
            all[k] += part[k];
            done[k] += is_issued(l->how) ? part[k] : 0;
        }
        injected += l->how == KYMO_HOW_INJECT ? l->calls : 0;
    }
    c->calls = share(done[0], all[0]);
    c->bytes = share(done[1], all[1]);
    c->blocked = share(done[2], all[2]);
    c->injected = all[0] ? share(injected, all[0]) : 0;
}

kymo_status kymo_cover_image(const struct kymo_image *image, struct kymo_coverage *out,
                             struct kymo_err *err)
{
    const struct kymo_icall *call = kymo_image_at(image, image->call);
    /* a line a number, how and why: few of them ever meet, but all may */
    const size_t most = image->call.n < 65536 ? (size_t)image->call.n : 65536;
    struct kymo_coverage c = {.n_calls = image->call.n};
    c.line = calloc(most + 1, sizeof(*c.line));
    if (!c.line)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    for (uint64_t i = 0; i < image->call.n && c.n < most + 1; i++)
        add_call(&c, &call[i]);
    sum_up(&c);
    qsort(c.line, c.n, sizeof(*c.line), by_calls);
    *out = c;
    return KYMO_OK;
}

/* ---- counts ---- */

struct counts {
    uint64_t threads, dirs, files, links, others, tree_bytes, fills;
    uint64_t start[KYMO_OBJECT_OTHER + 1], strangers[KYMO_OBJECT_OTHER + 1];
    uint64_t act[KYMO_ACT_TREE + 1];
    uint64_t longer, blocks, real_calls;
};

static void count(const struct kymo_image *h, struct counts *n)
{
    const struct kymo_inode *node = kymo_image_at(h, h->node);
    const struct kymo_iobject *object = kymo_image_at(h, h->object);
    const struct kymo_iact *act = kymo_image_at(h, h->act);
    const struct kymo_icall *call = kymo_image_at(h, h->call);
    static uint8_t seen[65536];
    memset(seen, 0, sizeof(seen));
    *n = (struct counts){.threads = h->actor.n - 1};
    for (uint32_t i = 0; i < h->n_first_nodes; i++) {
        n->dirs += node[i].kind == KYMO_NODE_DIR;
        n->files += node[i].kind == KYMO_NODE_FILE;
        n->links += node[i].kind == KYMO_NODE_LINK;
        n->tree_bytes += node[i].size_bytes;
        n->fills += node[i].n_fill;
    }
    n->others = h->n_first_nodes - n->dirs - n->files - n->links;
    for (uint64_t i = 0; i < h->object.n; i++)
        (object[i].is_environment ? n->strangers : n->start)[object[i].kind]++;
    for (uint64_t i = 0; i < h->act.n; i++)
        n->act[act[i].kind]++;
    for (uint64_t i = 0; i < h->call.n; i++) {
        n->longer += (call[i].flags & KYMO_ICALL_LONGER) != 0;
        n->blocks += (call[i].flags & KYMO_ICALL_BLOCKS) != 0;
        if (is_issued(call[i].how) && !seen[call[i].nr]) {
            seen[call[i].nr] = 1;
            n->real_calls++;
        }
    }
}

/* ---- for people ---- */

static const char *ms(char buf[32], uint64_t ns)
{
    if (ns >= 10000000000u)
        snprintf(buf, 32, "%.1f s", (double)ns / 1e9);
    else
        snprintf(buf, 32, "%.1f ms", (double)ns / 1e6);
    return buf;
}

static const char *size(char buf[32], uint64_t bytes)
{
    if (bytes >= 1u << 20)
        snprintf(buf, 32, "%.1f MiB", (double)bytes / 1048576.0);
    else
        snprintf(buf, 32, "%.1f KiB", (double)bytes / 1024.0);
    return buf;
}

static void print_counts(const struct kymo_plan_view *v, const struct counts *n, FILE *out)
{
    static const char *const kind[] = {"",           "file",     "pipe",    "listener",
                                       "connection", "datagram", "epoll",   "event",
                                       "timer",      "signal",   "inotify", "other"};
    char a[32], b[32];
    fprintf(out,
            "tree       %" PRIu64 " directories, %" PRIu64 " files of %s, %" PRIu64
            " links, %" PRIu64 " others; %s on disk\n",
            n->dirs, n->files, size(a, n->tree_bytes), n->links, n->others,
            size(b, v->disk_bytes));
    fprintf(out, "open       at the start:");
    for (size_t k = 1; k <= KYMO_OBJECT_OTHER; k++)
        if (n->start[k])
            fprintf(out, " %" PRIu64 " %s%s", n->start[k], kind[k], n->start[k] > 1 ? "s" : "");
    fprintf(out, "%s\n", v->image->start.n ? "" : " nothing");
    fprintf(out, "peers      outside of the slice:");
    for (size_t k = 1; k <= KYMO_OBJECT_OTHER; k++)
        if (n->strangers[k])
            fprintf(out, " %" PRIu64 " %s%s", n->strangers[k], kind[k],
                    n->strangers[k] > 1 ? "s" : "");
    fprintf(out, "%s; %" PRIu64 " acts, %" PRIu64 " of them on files\n",
            v->image->act.n ? "" : " none", (uint64_t)v->image->act.n, n->act[KYMO_ACT_TREE]);
}

static void print_lines(const struct kymo_plan_view *v, const struct kymo_coverage *c,
                        FILE *out)
{
    size_t shown = 0, left = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct kymo_cover *l = &c->line[i];
        if (is_issued(l->how))
            continue;
        if (shown++ >= LINES_MAX) {
            left++;
            continue;
        }
        if (shown == 1)
            fprintf(out,
                    "\n   calls  how     which, and why they are not issued as they are\n");
        fprintf(out, "%8" PRIu64 "  %-6s  ", l->calls, kymo_how_name(l->how));
        print_word(cover_name(v, l), out);
        fprintf(out, " (%s: %s)\n", kymo_why_name(l->why),
                why_text[l->why] ? why_text[l->why] : "");
    }
    if (left)
        fprintf(out, "... and %zu more kinds\n", left);
}

static void print_risks(const struct kymo_plan_view *v, const struct counts *n,
                        const struct kymo_coverage *c, FILE *out)
{
    if (v->trace && v->trace->lost)
        fprintf(out,
                "risk       the capture lost %" PRIu64 " events: what they did is guessed\n",
                v->trace->lost);
    if (v->trace && v->trace->torn)
        fprintf(out, "risk       the capture ends in mid-chunk; what came before is planned\n");
    if (v->trace && v->trace->late)
        fprintf(out, "risk       %" PRIu64 " calls have no beginning\n", v->trace->late);
    if (n->longer)
        fprintf(out, "risk       %" PRIu64 " calls ask for more than there is room for\n",
                n->longer);
    if (c->injected > 0.02)
        fprintf(out, "risk       more than 2 %% of the results are injected\n");
    if (c->calls < 0.95 || c->bytes < 0.9 || c->blocked < 0.9)
        fprintf(out, "risk       coverage is low: 95 %% of calls, 90 %% of bytes and blocked "
                     "time are usual\n");
}

static kymo_status cover_of(const struct kymo_plan_view *v, struct kymo_coverage *own,
                            const struct kymo_coverage **c, struct kymo_err *err)
{
    *own = (struct kymo_coverage){0};
    *c = v->coverage;
    if (*c)
        return KYMO_OK;
    KYMO_TRY(kymo_cover_image(v->image, own, err));
    *c = own;
    return KYMO_OK;
}

kymo_status kymo_plan_print(const struct kymo_plan_view *v, FILE *out, struct kymo_err *err)
{
    const struct kymo_image *h = v->image;
    const struct kymo_coverage *c;
    struct kymo_coverage own;
    struct counts n;
    char a[32];
    KYMO_TRY(cover_of(v, &own, &c, err));
    count(h, &n);
    fprintf(out, "plan       ");
    print_word(v->name, out);
    fprintf(out, ": %" PRIu64 " calls of %" PRIu64 " processes (%" PRIu64 " threads), %s\n",
            (uint64_t)h->call.n, (uint64_t)h->process.n, n.threads, ms(a, h->span_ns));
    fprintf(out,
            "coverage   %.2f %% of calls, %.2f %% of bytes, %.2f %% of blocked time; %.2f %% "
            "injected\n",
            100 * c->calls, 100 * c->bytes, 100 * c->blocked, 100 * c->injected);
    fprintf(out,
            "apart      %" PRIu64 " calls on memory of their own, %" PRIu64 " never replayed\n",
            c->n_memory, c->n_never);
    fprintf(out,
            "issued     %" PRIu64 " different calls; %" PRIu64 " dependencies, %" PRIu64
            " calls that wait\n",
            n.real_calls, (uint64_t)h->dep.n, n.blocks);
    print_counts(v, &n, out);
    print_risks(v, &n, c, out);
    print_lines(v, c, out);
    free(own.line);
    return KYMO_OK;
}

/* ---- for programs ---- */

static void put_text(struct kymo_buf *b, const char *key, const char *s)
{
    kymo_buf_printf(b, "\"%s\":", key);
    kymo_json_quote(b, s, strlen(s));
}

static void put_cover(struct kymo_buf *b, const struct kymo_plan_view *v,
                      const struct kymo_coverage *c)
{
    kymo_buf_printf(b,
                    "\"coverage\":{\"calls\":%.17g,\"bytes\":%.17g,\"blocked\":%.17g,"
                    "\"injected\":%.17g,\"never\":%" PRIu64 ",\"memory\":%" PRIu64
                    "},\"calls\":[",
                    c->calls, c->bytes, c->blocked, c->injected, c->n_never, c->n_memory);
    for (size_t i = 0; i < c->n; i++) {
        const struct kymo_cover *l = &c->line[i];
        kymo_buf_printf(b, "%s{", i ? "," : "");
        put_text(b, "name", cover_name(v, l));
        kymo_buf_printf(b,
                        ",\"how\":\"%s\",\"why\":\"%s\",\"calls\":%" PRIu64
                        ",\"bytes\":%" PRIu64 ",\"blocked_ns\":%" PRIu64 "}",
                        kymo_how_name(l->how), kymo_why_name(l->why), l->calls, l->bytes,
                        l->blocked_ns);
    }
    kymo_buf_printf(b, "]");
}

kymo_status kymo_plan_print_json(const struct kymo_plan_view *v, FILE *out,
                                 struct kymo_err *err)
{
    const struct kymo_image *h = v->image;
    const struct kymo_coverage *c;
    struct kymo_coverage own;
    struct kymo_buf b = {0};
    struct counts n;
    KYMO_TRY(cover_of(v, &own, &c, err));
    count(h, &n);
    kymo_buf_printf(&b, "{");
    put_text(&b, "plan", v->name);
    kymo_buf_printf(&b,
                    ",\"n_calls\":%" PRIu64 ",\"processes\":%" PRIu64 ",\"threads\":%" PRIu64
                    ",\"span_ns\":%" PRIu64 ",\"dependencies\":%" PRIu64 ",\"acts\":%" PRIu64
                    ",\"files\":%u,\"disk_bytes\":%" PRIu64 ",\"different_calls\":%" PRIu64 ",",
                    (uint64_t)h->call.n, (uint64_t)h->process.n, n.threads, h->span_ns,
                    (uint64_t)h->dep.n, (uint64_t)h->act.n, h->n_first_nodes, v->disk_bytes,
                    n.real_calls);
    put_cover(&b, v, c);
    kymo_buf_printf(&b, "}\n");
    free(own.line);
    const int failed = b.failed;
    if (!failed)
        fwrite(b.p, 1, b.n, out);
    kymo_buf_release(&b);
    return failed ? KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory") : KYMO_OK;
}

/* ---- call by call ---- */

static void print_argument(const struct kymo_image *h, const struct kymo_icall *c, int i,
                           FILE *out)
{
    static const char *const kind[KYMO_ARG_COUNT] = {
        "",      "fd",         "newfd",   "blob", "copy",  "sink",   "pattern", "pid",
        "pgid",  "tid",        "region",  "word", "own",   "pair",   "wait",    "wait_us",
        "until", "until_real", "wait_ms", "poll", "fdset", "action", "break"};
    const char *const blob = kymo_image_at(h, h->blob);
    const uint64_t v = c->arg[i];
    if (c->kind[i] == KYMO_ARG_IMM)
        fprintf(out, v < 4096 ? "%" PRIu64 : "0x%" PRIx64, v);
    else if (c->kind[i] == KYMO_ARG_BLOB && blob[v] == '/')
        print_word(blob + v, out);
    else
        fprintf(out, "%s:%" PRIu64, kind[c->kind[i]], v);
}

static void print_call(const struct kymo_image *h, const struct kymo_icall *c, FILE *out)
{
    const struct kymo_dep *dep = kymo_image_at(h, h->dep);
    int n = 6;
    fprintf(out, "%12.6f  %-6s %-11s %s(", (double)c->enter_ns / 1e9, kymo_how_name(c->how),
            kymo_why_name(c->why), number_name(c->nr));
    while (n && c->kind[n - 1] == KYMO_ARG_IMM && !c->arg[n - 1])
        n--;
    for (int i = 0; i < n; i++) {
        fputs(i ? ", " : "", out);
        print_argument(h, c, i, out);
    }
    fprintf(out, ") = %" PRId64 "%s", c->ret, c->flags & KYMO_ICALL_BLOCKS ? " waits" : "");
    for (uint32_t i = 0; i < c->n_deps; i++) {
        const struct kymo_dep *d = &dep[c->dep + i];
        fprintf(out, "%s%u/%u%s", i ? " " : "  after ", d->actor, d->index & ~KYMO_DEP_BEGUN,
                d->index & KYMO_DEP_BEGUN ? "begun" : "");
    }
    fputc('\n', out);
}

static void print_acts(const struct kymo_image *h, FILE *out)
{
    static const char *const kind[] = {"",     "listen", "connect", "accept", "send", "recv",
                                       "shut", "close",  "reset",   "signal", "wake", "tree"};
    const struct kymo_iact *act = kymo_image_at(h, h->act);
    const struct kymo_dep *dep = kymo_image_at(h, h->dep);
    fprintf(out, "environment\n");
    for (uint64_t i = 0; i < h->act.n; i++) {
        fprintf(out, "%12.6f  %-6s object %d other %d n %" PRIu64,
                (double)act[i].enter_ns / 1e9, kind[act[i].kind], (int)act[i].object,
                (int)act[i].other, act[i].n);
        for (uint32_t k = 0; k < act[i].n_deps; k++) {
            const struct kymo_dep *d = &dep[act[i].dep + k];
            fprintf(out, "%s%u/%u%s", k ? " " : "  after ", d->actor,
                    d->index & ~KYMO_DEP_BEGUN, d->index & KYMO_DEP_BEGUN ? "begun" : "");
        }
        fputc('\n', out);
    }
}

void kymo_plan_print_calls(const struct kymo_plan_view *v, FILE *out)
{
    const struct kymo_image *h = v->image;
    const struct kymo_iactor *actor = kymo_image_at(h, h->actor);
    const struct kymo_icall *call = kymo_image_at(h, h->call);
    const char *const blob = kymo_image_at(h, h->blob);
    if (h->act.n)
        print_acts(h, out);
    for (uint64_t a = 1; a < h->actor.n; a++) {
        fprintf(out, "actor %" PRIu64 ": thread %u of process %u, ", a, actor[a].tid,
                actor[a].process);
        print_word(blob + actor[a].comm, out);
        fputc('\n', out);
        for (uint32_t i = 0; i < actor[a].n_calls; i++)
            print_call(h, &call[actor[a].call + i], out);
    }
}
