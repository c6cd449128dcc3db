/* SPDX-License-Identifier: Apache-2.0
 * emit_c.c: the program as a whole.
 *
 *     first comment | head of played.inc | numbers, who there is | named bytes' and means' parts |
 *     bytes | tree, objects, environment | a function an actor | tables | end of played.inc, with main()
 *
 * What the program is made of lies in played.inc as it is written there, in parts that begin with a line
 * "//@ NAME"; a part that a plan has no use for is left out.
 */
#include "replay/plan/emit_c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/trace/sysname.h"
#include "replay/plan/compile.h"
#include "replay/plan/emit_own.h"

#define MEMORY_BYTES_MAX ((size_t)1 << 30)
#define CALLS_EVERYWHERE 300 /* numbers below are in every libc's headers */

__asm__(".section .rodata\n"
        ".global kymo_played_text\n"
        "kymo_played_text:\n"
        ".incbin \"replay/plan/played.inc\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char kymo_played_text[];

/* ---- who is there ---- */

int emit_is_root(const struct emit *e, uint32_t process)
{
    const struct kymo_iprocess *p = &e->process[process];
    return p->at_start && p->leader && p->leader < e->image->actor.n && e->is_there[p->leader];
}

/* Whom a call makes, 0: nobody. */
static uint32_t made_by(const struct emit *e, const struct kymo_icall *c)
{
    const uint32_t who = c->how == KYMO_HOW_FORK && c->other < e->image->process.n
                             ? e->process[c->other].leader
                         : c->how == KYMO_HOW_THREAD ? c->other
                                                     : 0;
    return who < e->image->actor.n ? who : 0;
}

/* Actors that are there at the start, whom those make, whom these make. */
static int find_there(struct emit *e)
{
    const size_t n = e->image->actor.n;
    uint32_t *todo = KYMO_NEW_RAW(&e->arena, uint32_t, n);
    size_t left = 0;
    e->is_there = KYMO_NEW(&e->arena, uint8_t, n);
    if (!todo || !e->is_there)
        return -1;
    e->is_there[0] = 1;
    for (uint32_t a = 1; a < n; a++)
        if (e->actor[a].at_start && e->actor[a].process < e->image->process.n) {
            e->is_there[a] = 1;
            todo[left++] = a;
        }
    while (left) {
        const struct kymo_iactor *a = &e->actor[todo[--left]];
        for (uint32_t i = 0; i < a->n_calls; i++) {
            const uint32_t who = made_by(e, &e->call[a->call + i]);
            if (who && !e->is_there[who] && e->actor[who].process < e->image->process.n) {
                e->is_there[who] = 1;
                todo[left++] = who;
            }
        }
    }
    return 0;
}

static int is_leader(const struct emit *e, uint32_t a)
{
    return e->process[e->actor[a].process].leader == a;
}

/* ---- the fixed text ---- */

/* The part of that name, to the next. */
static void put_fixed(struct kymo_buf *out, const char *name)
{
    struct kymo_buf mark = {0};
    kymo_buf_printf(&mark, "//@ %s\n", name);
    kymo_buf_u8(&mark, 0);
    const char *from = mark.failed ? NULL : strstr(kymo_played_text, (const char *)mark.p);
    out->failed |= !from;
    if (from) {
        from += mark.n - 1;
        const char *end = strstr(from, "//@ ");
        kymo_buf_put(out, from, end ? (size_t)(end - from) : strlen(from));
    }
    kymo_buf_release(&mark);
}

static void put_means(struct emit *e, struct kymo_buf *out)
{
    static const struct {
        const char *name;
        uint32_t part; /* 0: always */
    } parts[] = {{"body", 0},
                 {"waits", PART_WAITS},
                 {"sets", PART_SETS},
                 {"signals", PART_SIGNALS},
                 {"people", PART_PEOPLE},
                 {"sockets", PART_SOCKETS},
                 {"objects", 0},
                 {"peers", PART_PEERS},
                 {"acts", PART_ACTS},
                 {"actpeers", PART_ACTPEERS},
                 {"actothers", PART_ACTOTHERS},
                 {"tree", 0},
                 {"lives", 0}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (!parts[i].part || e->parts & parts[i].part)
            put_fixed(out, parts[i].name);
}

/* ---- tables ---- */

static void put_intro(struct emit *e, struct kymo_buf *out, const char *title)
{
    uint64_t processes = 0, threads = 0;
    for (uint32_t a = 1; a < e->image->actor.n; a++) {
        threads += e->is_there[a];
        processes += e->is_there[a] && is_leader(e, a);
    }
    kymo_buf_printf(out, "/* ");
    emit_comment(out, title ? title : "");
    kymo_buf_printf(out,
                    "\n *\n * Plays %" PRIu64 " calls of %" PRIu64 " process%s, %" PRIu64
                    " thread%s, as they were recorded over %.6f s; %" PRIu64
                    " more are left out (\"skipped\").\n",
                    e->n_issued, processes, processes == 1 ? "" : "es", threads,
                    threads == 1 ? "" : "s", (double)e->image->span_ns / 1e9, e->n_left_out);
    kymo_buf_printf(
        out,
        " *\n"
        " *     cc -std=gnu11 -O1 -pthread -o played THIS.c && ./played [--pace] [--keep]\n"
        " *\n"
        " * Each line says what came of a call: expect(RECORDED, sys(CALL, ARGUMENTS...)). "
        "after(WHO, N) waits\n"
        " * until that thread's first N calls are over, inside(WHO, N) until it is in its "
        "N-th. Its status is 0\n"
        " * when every result was of the recorded kind: the same error, or zero, or above "
        "zero; 1 when one was\n"
        " * not, and the first that differ are told. It works in a folder of its own, which it "
        "removes (--keep:\n"
        " * which it does not), as fast as it can (--pace: at the recorded moments). */\n");
}

/* Numbers of calls that a libc older than they are does not know. */
static void put_numbers(struct emit *e, struct kymo_buf *out)
{
    uint8_t *seen = KYMO_NEW(&e->arena, uint8_t, UINT16_MAX + 1u);
    out->failed |= !seen;
    for (uint64_t i = 0; seen && i < e->image->call.n; i++) {
        const struct kymo_icall *c = &e->call[i];
        const struct kymo_sysinfo *info = kymo_sysinfo(e->image->machine, c->nr);
        if (c->how != KYMO_HOW_ISSUE || seen[c->nr])
            continue;
        seen[c->nr] = 1;
        if (info && c->nr >= CALLS_EVERYWHERE)
            kymo_buf_printf(out, "#ifndef SYS_%s\n#define SYS_%s %u\n#endif\n", info->name,
                            info->name, c->nr);
        else if (!info)
            kymo_buf_printf(out, "#define SYS_call_%u %u\n", c->nr, c->nr);
    }
}

static void put_who(struct emit *e, struct kymo_buf *out)
{
    kymo_buf_printf(out,
                    "/* Who there is: threads by name and number, as they were. */\nenum {");
    int n = 0;
    for (uint32_t a = 0; a < e->image->actor.n; a++)
        if (e->is_there[a])
            kymo_buf_printf(out, "%s%s",
                            !n++    ? "\n    "
                            : n % 6 ? ", "
                                    : ",\n    ",
                            e->name[a]);
    kymo_buf_printf(out, "\n};\n");
}

struct column {
    const char *head;
    int64_t (*of)(const struct emit *e, uint32_t a);
};

static int64_t process_of(const struct emit *e, uint32_t a)
{
    return a ? e->actor[a].process : 0;
}

static int64_t calls_of(const struct emit *e, uint32_t a)
{
    return a ? e->actor[a].n_calls : (int64_t)e->image->act.n;
}

/* Is it there before anyone made a call? Threads of a process that is not are none. */
static int64_t at_start(const struct emit *e, uint32_t a)
{
    return a && e->actor[a].at_start && emit_is_root(e, e->actor[a].process);
}

static void put_column(struct emit *e, struct kymo_buf *out, const struct column *c)
{
    int n = 0;
    kymo_buf_printf(out, "static const %s[] = {", c->head);
    for (uint32_t a = 0; a < e->image->actor.n; a++)
        if (e->is_there[a])
            kymo_buf_printf(out, "%s%" PRId64,
                            !n++     ? ""
                            : n % 20 ? ", "
                                     : ",\n    ",
                            c->of(e, a));
    kymo_buf_printf(out, "};\n");
}

/* Tables by actor, in the order of the names. */
static void put_actors(struct emit *e, struct kymo_buf *out)
{
    const struct column columns[] = {{"int process_of", process_of},
                                     {"unsigned calls_of", calls_of},
                                     {"char at_start", at_start}};
    for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
        put_column(e, out, &columns[i]);
    uint64_t first = 0;
    int n = 0;
    kymo_buf_printf(out, "static const unsigned first_of[] = {");
    for (uint32_t a = 0; a < e->image->actor.n; a++)
        if (e->is_there[a]) {
            kymo_buf_printf(out, "%s%" PRIu64, !n++ ? "" : n % 20 ? ", " : ",\n    ", first);
            first += (uint64_t)calls_of(e, a);
        }
    kymo_buf_printf(out, "};\nstatic const char *const name_of[] = {\"environment\"");
    for (uint32_t a = 1; a < e->image->actor.n; a++)
        if (e->is_there[a]) {
            kymo_buf_printf(out, ",\n    ");
            emit_text(e, out, e->actor[a].comm);
        }
    kymo_buf_printf(out, "};\n");
}

static void put_processes(struct emit *e, struct kymo_buf *out)
{
    const uint32_t n = (uint32_t)e->image->process.n;
    kymo_buf_printf(out, "static const int parent_of[] = {");
    for (uint32_t p = 0; p < n; p++) {
        const uint32_t parent = e->process[p].parent;
        /* -2: not there at the start */
        const int64_t of = !emit_is_root(e, p)                     ? -2
                           : parent < p && emit_is_root(e, parent) ? (int64_t)parent
                                                                   : -1;
        kymo_buf_printf(out, "%s%" PRId64, !p ? "" : p % 20 ? ", " : ",\n    ", of);
    }
    kymo_buf_printf(out, "};\nstatic const int leader_of[] = {");
    for (uint32_t p = 0; p < n; p++) {
        const uint32_t a = e->process[p].leader;
        kymo_buf_printf(out, "%s%s", p ? ", " : "",
                        a < e->image->actor.n && e->is_there[a] ? e->name[a] : "0");
    }
    kymo_buf_printf(out, "};\n");
}

static uint64_t longest_us(const struct emit *e)
{
    uint64_t most = 0;
    for (uint32_t a = 1; a < e->image->actor.n; a++) {
        uint64_t before = 0;
        for (uint32_t i = 0; i < e->actor[a].n_calls; i++) {
            const struct kymo_icall *c = &e->call[e->actor[a].call + i];
            const uint64_t gap = c->enter_ns > before ? c->enter_ns - before : 0;
            const uint64_t here = gap > c->dur_ns ? gap : c->dur_ns;
            most = here > most ? here : most;
            before = c->enter_ns;
        }
    }
    return most / 1000 < 3600000000u ? most / 1000 : 3600000000u;
}

/* Who made the calls, as far as they asked: -1 not known. */
static int64_t asked(const struct emit *e, const char *name, const char *name2)
{
    for (uint64_t i = 0; i < e->image->call.n; i++) {
        const struct kymo_sysinfo *info = kymo_sysinfo(e->image->machine, e->call[i].nr);
        if (info && e->call[i].ret >= 0 && e->call[i].ret <= INT32_MAX &&
            (strcmp(info->name, name) == 0 || strcmp(info->name, name2) == 0))
            return e->call[i].ret;
    }
    return -1;
}

static void put_sizes(struct emit *e, struct kymo_buf *out)
{
    uint32_t there = 0, begin = 0;
    for (uint32_t a = 0; a < e->image->actor.n; a++) {
        there += e->is_there[a];
        begin += at_start(e, a) != 0;
    }
    kymo_buf_printf(out,
                    "enum {\n    N_WHO = %" PRIu32 ",\n    N_AT_START = %" PRIu32
                    ",\n    N_PROCESSES = %" PRIu64 ",\n    N_OBJECT = %" PRIu64
                    ",\n    N_FD = %" PRIu32 ",\n    N_REGION = %" PRIu32
                    ",\n    N_WORDS = %" PRIu32 ",\n    N_OWN = %" PRIu32 "\n};\n",
                    there, begin, e->image->process.n, e->image->object.n,
                    e->n_fd < 3 ? 3 : e->n_fd, e->n_region + 1, e->n_word + 1, e->n_own + 1);
    kymo_buf_printf(
        out,
        "#define LONGEST_US %" PRIu64 "u\n#define UID %" PRId64 "\n#define GID %" PRId64 "\n",
        longest_us(e), asked(e, "getuid", "geteuid"), asked(e, "getgid", "getegid"));
    kymo_buf_printf(out, "static unsigned long moment_us(unsigned call);\n");
    if (e->parts & PART_SOCKETS) {
        kymo_buf_printf(out, "static struct place {\n    int family;\n    const char *ip;\n"
                             "    int port, here;\n} place[] = {\n");
        kymo_buf_put(out, e->place.p, e->place.n);
        kymo_buf_printf(out, "    {0, NULL, 0, 0}};\n");
    }
}

/* When each call was made, in the order of the actors. */
static void put_moments(struct emit *e, struct kymo_buf *out)
{
    uint64_t n = 0;
    kymo_buf_printf(out, "static void (*const run[])(void) = {run_environment");
    for (uint32_t a = 1; a < e->image->actor.n; a++)
        if (e->is_there[a])
            kymo_buf_printf(out, ",\n    run_%s", e->name[a]);
    kymo_buf_printf(out, "};\n\nstatic const char is_outside[] = {");
    for (uint64_t i = 0; i < e->image->object.n; i++)
        kymo_buf_printf(out, "%d, ", e->object[i].is_environment != 0);
    kymo_buf_printf(out, "1};\n\n/* When each call was made, for --pace. */\n"
                         "static unsigned long moment_us(unsigned call)\n{\n"
                         "    static const unsigned long us[] = {");
    for (uint64_t i = 0; i < e->image->act.n; i++)
        kymo_buf_printf(out, "%s%" PRIu64 ",", n++ % 16 ? " " : "\n        ",
                        e->act[i].enter_ns / 1000);
    for (uint32_t a = 1; a < e->image->actor.n; a++)
        for (uint32_t i = 0; e->is_there[a] && i < e->actor[a].n_calls; i++)
            kymo_buf_printf(out, "%s%" PRIu64 ",", n++ % 16 ? " " : "\n        ",
                            e->call[e->actor[a].call + i].enter_ns / 1000);
    kymo_buf_printf(out, " 0};\n    return us[call];\n}\n\n");
}

/* ---- all of it ---- */

static void see(struct emit *e, const struct kymo_image *image)
{
    *e = (struct emit){.image = image,
                       .process = kymo_image_at(image, image->process),
                       .actor = kymo_image_at(image, image->actor),
                       .call = kymo_image_at(image, image->call),
                       .dep = kymo_image_at(image, image->dep),
                       .object = kymo_image_at(image, image->object),
                       .start = kymo_image_at(image, image->start),
                       .node = kymo_image_at(image, image->node),
                       .act = kymo_image_at(image, image->act),
                       .blob = kymo_image_at(image, image->blob),
                       .n_blob = image->blob.n};
    kymo_arena_init(&e->arena, MEMORY_BYTES_MAX);
}

static int put_all(struct emit *e, const char *title, struct kymo_buf *out)
{
    if (find_there(e) || emit_names(e) || emit_edges(e) || emit_scene(e))
        return -1;
    for (uint32_t a = 1; a < e->image->actor.n; a++)
        if (e->is_there[a]) {
            if (emit_calls(e, a))
                return -1;
            emit_pieces(e, e->name[a]);
        }
    emit_opens(e);
    put_intro(e, out, title);
    put_fixed(out, "head");
    put_numbers(e, out);
    put_who(e, out);
    put_sizes(e, out);
    put_actors(e, out);
    put_processes(e, out);
    put_means(e, out);
    kymo_buf_put(out, e->data.p, e->data.n);
    kymo_buf_printf(out, "\n/* ---- what it plays ---- */\n\n");
    kymo_buf_put(out, e->body.p, e->body.n);
    put_moments(e, out);
    put_fixed(out, "end");
    return e->data.failed || e->body.failed || e->place.failed || out->failed ? -1 : 0;
}

kymo_status kymo_plan_emit_c(const struct kymo_image *image, const char *title,
                             struct kymo_buf *out, struct kymo_err *err)
{
    struct emit e;
#if defined(__aarch64__)
    const uint32_t here = KYMO_ARCH_AARCH64;
#else
    const uint32_t here = KYMO_ARCH_X86_64;
#endif
    if (image->machine != here)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "the plan is for another machine than this (%s)",
                         kymo_arch_name(image->machine));
    if (!image->actor.n || !image->process.n || !image->call.n)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "the plan has no calls");
    const size_t before = out->n;
    see(&e, image);
    const int bad = put_all(&e, title, out);
    kymo_arena_release(&e.arena);
    kymo_buf_release(&e.text);
    kymo_buf_release(&e.value);
    kymo_buf_release(&e.data);
    kymo_buf_release(&e.place);
    kymo_buf_release(&e.body);
    free(e.piece);
    if (bad) {
        out->n = before;
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the program passes the memory budget of %zu MiB",
                         MEMORY_BYTES_MAX >> 20);
    }
    return KYMO_OK;
}
