/* SPDX-License-Identifier: Apache-2.0
 * synth: seeded captures whose states are known, for tests.
 *
 * Each phase is a mix of calls at a rate, with its own latencies, errors and bytes; a mark spans it,
 * so the truth is in the capture. One chunk of syscalls and one seal a second.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/base/rng.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/trace/chunk.h"
#include "format/trace/sysname.h"
#include "format/trace/writer.h"

#define TOOL "synth"
#define SECOND 1000000000ull
#define START_NS (1000 * SECOND)
#define START_REAL_NS (1700000000 * SECOND)
#define CALLS_MAX 6
#define THREADS 3
#define RATE_MAX 100000

struct call {
    const char *name;
    double share;      /* of the phase's calls */
    double latency_ns; /* median; the spread is a factor of e^0.4 */
    int64_t ret;       /* a result, or -errno */
    double fails;      /* share of calls that end with fail_ret instead */
    int64_t fail_ret;
    const char *path, *addr;
};

struct phase {
    const char *name;
    double rate_hz;
    struct call call[CALLS_MAX];
};

static const struct phase phases[] = {
    {"idle",
     40,
     {{"epoll_wait", 0.7, 9e7, 0, 0, 0, NULL, NULL},
      {"clock_nanosleep", 0.2, 1e8, 0, 0, 0, NULL, NULL},
      {"read", 0.1, 2000, 16, 0, 0, NULL, NULL}}},
    {"reads",
     3000,
     {{"epoll_wait", 0.34, 30000, 1, 0, 0, NULL, NULL},
      {"read", 0.33, 1500, 60, 0.02, -11, NULL, NULL},
      {"write", 0.33, 4000, 1200, 0, 0, NULL, NULL}}},
    {"writes",
     2000,
     {{"epoll_wait", 0.25, 30000, 1, 0, 0, NULL, NULL},
      {"read", 0.3, 1800, 4096, 0.01, -11, NULL, NULL},
      {"pwrite64", 0.3, 15000, 4096, 0, 0, NULL, NULL},
      {"fdatasync", 0.15, 900000, 0, 0, 0, NULL, NULL}}},
    {"storm",
     4000,
     {{"socket", 0.25, 3000, 9, 0, 0, NULL, NULL},
      {"connect", 0.25, 40000, 0, 0.8, -111, NULL, "inet:10.0.0.7:6379"},
      {"close", 0.3, 1500, 0, 0.1, -9, NULL, NULL},
      {"openat", 0.2, 6000, 4, 0.7, -2, "/etc/hosts", NULL}}},
    {"diskfull",
     1500,
     {{"epoll_wait", 0.3, 30000, 1, 0, 0, NULL, NULL},
      {"read", 0.35, 1800, 4096, 0.01, -11, NULL, NULL},
      {"pwrite64", 0.35, 60000, 4096, 0.9, -28, NULL, NULL}}},
};

struct opts {
    const char *out, *phases;
    uint64_t seed, seconds;
    const char *lose;
    double rate;
};

struct writing {
    struct kymo_writer *w;
    struct kymo_rows *syscall, *mark, *loss, *clock;
    struct kymo_rng rng;
    uint64_t now_ns;
};

static double gauss(struct kymo_rng *r)
{
    const double u = 1 - kymo_rng_unit(r), v = kymo_rng_unit(r);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static kymo_status put(struct writing *w, struct kymo_rows *rows, uint32_t flags,
                       struct kymo_err *err)
{
    const struct kymo_batch b = kymo_rows_view(rows);
    KYMO_TRY(kymo_writer_put(w->w, &b, flags, err));
    kymo_rows_clear(rows);
    return KYMO_OK;
}

static void add_tasks(struct kymo_rows *rows)
{
    for (uint64_t t = 0; t < THREADS; t++) {
        const uint32_t task = kymo_rows_add_task(rows);
        rows->lane[KYMO_SYSCALL_PID][task] = 500;
        rows->lane[KYMO_SYSCALL_TID][task] = 500 + t;
        rows->lane[KYMO_SYSCALL_COMM][task] = kymo_rows_intern(rows, "server", 6);
        rows->lane[KYMO_SYSCALL_CGROUP][task] = 77;
        rows->lane[KYMO_SYSCALL_START][task] = 12345;
    }
}

static const struct call *draw_call(const struct phase *p, struct kymo_rng *r)
{
    double left = kymo_rng_unit(r);
    const struct call *c = p->call;
    for (; c + 1 < p->call + CALLS_MAX && c[1].name && left >= c->share; c++)
        left -= c->share;
    return c;
}

static void add_row(struct writing *w, const struct phase *p, uint64_t ts)
{
    struct kymo_rows *rows = w->syscall;
    const struct call *c = draw_call(p, &w->rng);
    const uint32_t i = kymo_rows_add(rows);
    const int fails = kymo_rng_unit(&w->rng) < c->fails;
    rows->task[i] = (uint32_t)kymo_rng_below(&w->rng, THREADS);
    rows->key[i] = (uint16_t)(c - p->call);
    kymo_rows_set(rows, KYMO_SYSCALL_TS, i, ts);
    kymo_rows_set(rows, KYMO_SYSCALL_CPU, i, kymo_rng_below(&w->rng, 2));
    kymo_rows_set(rows, KYMO_SYSCALL_DUR, i,
                  (uint64_t)(c->latency_ns * exp(0.4 * gauss(&w->rng))));
    kymo_rows_set(rows, KYMO_SYSCALL_RET, i, (uint64_t)(fails ? c->fail_ret : c->ret));
    if (c->path)
        kymo_rows_set_str(rows, KYMO_SYSCALL_PATH, i, c->path, strlen(c->path));
    if (c->addr)
        kymo_rows_set_str(rows, KYMO_SYSCALL_ADDR, i, c->addr, strlen(c->addr));
}

static void add_keys(struct kymo_rows *rows, const struct phase *p)
{
    for (size_t c = 0; c < CALLS_MAX && p->call[c].name; c++) {
        const uint16_t key = kymo_rows_add_key(rows);
        rows->lane[KYMO_SYSCALL_ARCH][key] = KYMO_ARCH_X86_64;
        rows->lane[KYMO_SYSCALL_NR][key] =
            (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, p->call[c].name);
    }
}

static kymo_status put_seal(struct writing *w, uint64_t stored, uint64_t dropped,
                            struct kymo_err *err)
{
    const uint32_t i = kymo_rows_add(w->loss);
    kymo_rows_set(w->loss, KYMO_LOSS_TS, i, w->now_ns);
    kymo_rows_set_str(w->loss, KYMO_LOSS_SOURCE, i, "syscall", 7);
    kymo_rows_set(w->loss, KYMO_LOSS_SEEN, i, stored + dropped);
    kymo_rows_set(w->loss, KYMO_LOSS_STORED, i, stored);
    kymo_rows_set(w->loss, KYMO_LOSS_DROPPED_RING, i, dropped);
    return put(w, w->loss, KYMO_CHUNK_SEAL, err);
}

/* One second of a phase: its rows at even distances, so that counts are known, then the seal. */
static kymo_status put_second(struct writing *w, const struct opts *o, const struct phase *p,
                              struct kymo_err *err)
{
    const double wobble = 1 + 0.03 * gauss(&w->rng);
    uint64_t n = (uint64_t)(p->rate_hz * o->rate * (wobble > 0.5 ? wobble : 0.5));
    n = n > RATE_MAX ? RATE_MAX : n;
    add_tasks(w->syscall);
    add_keys(w->syscall, p);
    for (uint64_t i = 0; i < n; i++)
        add_row(w, p, w->now_ns + (i + 1) * SECOND / (n + 1));
    KYMO_TRY(put(w, w->syscall, 0, err));
    w->now_ns += SECOND;
    const int lossy = o->lose && strcmp(o->lose, p->name) == 0;
    return put_seal(w, n, lossy ? n / 10 + 1 : 0, err);
}

static kymo_status put_mark(struct writing *w, const struct phase *p, uint64_t dur_ns,
                            struct kymo_err *err)
{
    const uint32_t i = kymo_rows_add(w->mark);
    kymo_rows_set(w->mark, KYMO_MARK_TS, i, w->now_ns);
    kymo_rows_set_str(w->mark, KYMO_MARK_KIND, i, "point", 5);
    kymo_rows_set_str(w->mark, KYMO_MARK_NAME, i, p->name, strlen(p->name));
    kymo_rows_set(w->mark, KYMO_MARK_DUR, i, dur_ns);
    return put(w, w->mark, 0, err);
}

static kymo_status put_clock(struct writing *w, struct kymo_err *err)
{
    const uint32_t i = kymo_rows_add(w->clock);
    kymo_rows_set(w->clock, KYMO_CLOCK_TS, i, w->now_ns);
    kymo_rows_set(w->clock, KYMO_CLOCK_BOOT, i, w->now_ns);
    kymo_rows_set(w->clock, KYMO_CLOCK_REAL, i, START_REAL_NS);
    return put(w, w->clock, 0, err);
}

static const struct phase *find_phase(const char *word, size_t n)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(phases); i++)
        if (strlen(phases[i].name) == n && memcmp(phases[i].name, word, n) == 0)
            return &phases[i];
    return NULL;
}

static kymo_status put_all(struct writing *w, const struct opts *o, struct kymo_err *err)
{
    KYMO_TRY(put_clock(w, err));
    for (const char *p = o->phases; *p;) {
        const size_t n = strcspn(p, ",");
        const struct phase *phase = find_phase(p, n);
        if (!phase)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "no phase '%.*s'", (int)n, p);
        KYMO_TRY(put_mark(w, phase, o->seconds * SECOND, err));
        for (uint64_t s = 0; s < o->seconds; s++)
            KYMO_TRY(put_second(w, o, phase, err));
        p += n + (p[n] == ',');
    }
    return kymo_writer_finish(w->w, err);
}

static kymo_status run(const struct opts *o, struct kymo_err *err)
{
    struct writing w = {.now_ns = START_NS};
    const int fd = open(o->out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot create %s", o->out);
    kymo_rng_init(&w.rng, o->seed);
    kymo_status s = kymo_writer_open(&w.w, fd, o->out, 1, err);
    if (!s)
        s = kymo_rows_open(&w.syscall, &KYMO_TABLE_SYSCALL, KYMO_CHUNK_ROWS_MAX, err);
    if (!s)
        s = kymo_rows_open(&w.mark, &KYMO_TABLE_MARK, 16, err);
    if (!s)
        s = kymo_rows_open(&w.loss, &KYMO_TABLE_LOSS, 16, err);
    if (!s)
        s = kymo_rows_open(&w.clock, &KYMO_TABLE_CLOCK, 16, err);
    if (!s)
        s = put_all(&w, o, err);
    kymo_rows_close(w.syscall);
    kymo_rows_close(w.mark);
    kymo_rows_close(w.loss);
    kymo_rows_close(w.clock);
    kymo_writer_close(w.w);
    close(fd);
    return s;
}

int main(int argc, char **argv)
{
    struct opts o = {
        .phases = "idle,reads,writes,storm,diskfull", .seed = 1, .seconds = 20, .rate = 1};
    const struct kymo_opt table[] = {
        {KYMO_OPT_STR, 'w', "write", "FILE", "the capture to make", &o.out, 0, 0},
        {KYMO_OPT_STR, 0, "phases", "NAME,...", "which states, in order (all)", &o.phases, 0,
         0},
        {KYMO_OPT_U64, 0, "seconds", "N", "length of each phase (20)", &o.seconds, 1, 100000},
        {KYMO_OPT_F64, 0, "rate", "F", "factor on the rate of every phase (1)", &o.rate, 0.001,
         1000},
        {KYMO_OPT_STR, 0, "lose", "NAME", "pretend that this phase lost a tenth of its events",
         &o.lose, 0, 0},
        {KYMO_OPT_U64, 0, "seed", "N", "seed (1)", &o.seed, 0, 0},
    };
    const struct kymo_cli cli = {.tool = TOOL,
                                 .summary = "make a capture whose states are known",
                                 .positional_max = 0,
                                 .opt = table,
                                 .n_opt = KYMO_COUNT_OF(table)};
    int first;
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (!o.out)
        return kymo_cli_usage(TOOL, "no -w FILE to write");
    struct kymo_err err = {0};
    const kymo_status s = run(&o, &err);
    return kymo_cli_finish(TOOL, o.out, s, &err, KYMO_EXIT_OK);
}
