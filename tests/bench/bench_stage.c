/* SPDX-License-Identifier: Apache-2.0
 * bench_stage.c: the stage by itself.
 *
 *     bench_stage PLAN [afap|original|PACE]   play a plan file; each call whose result differs is a line
 *     bench_stage [mix [CALLS]]               how many calls a second a file mix makes, as RESULT lines
 *     bench_stage fork|vfork                  what starting a program costs
 *     bench_stage turns                       what it costs that one waits for the other
 *     bench_stage pace                        how late calls begin that are due every 200 us
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "replay/stage/stage.h"
#include "tests/lib/planbuild.h"

#define SHOWN_MAX 200u

static const char *const ENDS[] = {"done", "time",  "cpu",     "memory",
                                   "disk", "stuck", "stopped", "broken"};

static int run(const struct kymo_image *image, double pace, struct kymo_stage_result *r)
{
    const struct kymo_stage_opts o = {.pace = pace, .root = getenv("KYMO_STAGE_ROOT")};
    struct kymo_err err = {0};

    if (kymo_stage_run(image, &o, r, &err)) {
        fprintf(stderr, "bench_stage: %s\n", err.text);
        return 1;
    }
    return 0;
}

static int class_of(int64_t ret)
{
    /* Interrupted: what the kernel says inside, and what a program sees of it. */
    if (ret <= -512 && ret >= -516)
        return -EINTR;
    return ret < 0 && ret > -4096 ? (int)ret : ret > 0;
}

/* Lateness over time: `late MS COUNT` for each 20 ms of the plan, where KYMO_STAGE_LATE is set. */
static void print_late(const struct kymo_image *h, const struct kymo_stage_result *r)
{
    const struct kymo_icall *c = (const void *)((const char *)h + h->call.at);
    uint64_t most[500] = {0}, n[500] = {0};

    for (uint64_t i = 0; i < h->call.n; i++) {
        const uint64_t k = c[i].enter_ns / 20000000;
        if (k >= 500 || !r->outcome[i].enter_ns)
            continue;
        const uint64_t late =
            r->outcome[i].enter_ns > c[i].enter_ns ? r->outcome[i].enter_ns - c[i].enter_ns : 0;
        most[k] = late > most[k] ? late : most[k];
        n[k] += late > 1000000;
    }
    for (uint32_t k = 0; k < 500; k++)
        if (n[k])
            printf("late at %u ms: most %.1f us, %llu calls by 1 ms\n", k * 20,
                   (double)most[k] / 1e3, (unsigned long long)n[k]);
}

static int play(const char *path, double pace)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    struct kymo_stage_result r;

    if (fd < 0 || fstat(fd, &st)) {
        fprintf(stderr, "bench_stage: %s: %s\n", path, strerror(errno));
        return 3;
    }
    const struct kymo_image *h = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (h == MAP_FAILED || h->magic != KYMO_IMAGE_MAGIC || h->bytes != (uint64_t)st.st_size) {
        fprintf(stderr, "bench_stage: %s is no plan\n", path);
        return 3;
    }
    if (run(h, pace, &r))
        return 4;
    const struct kymo_icall *c = (const void *)((const char *)h + h->call.at);
    const struct kymo_iactor *a = (const void *)((const char *)h + h->actor.at);
    uint64_t differ = 0, issued = 0, never = 0;
    for (uint32_t k = 1; k < h->actor.n; k++)
        for (uint32_t i = a[k].call; i < a[k].call + a[k].n_calls; i++) {
            if (c[i].how == KYMO_HOW_SKIP)
                continue;
            issued++;
            never += r.outcome[i].enter_ns == 0;
            if (r.outcome[i].exit_ns && class_of(r.outcome[i].ret) == class_of(c[i].ret))
                continue;
            if (differ++ < SHOWN_MAX)
                printf("actor %u call %u row %u nr %u how %u why %u: wanted %lld, got %lld%s\n",
                       k, i - a[k].call, c[i].row, c[i].nr, c[i].how, c[i].why,
                       (long long)c[i].ret, (long long)r.outcome[i].ret,
                       r.outcome[i].exit_ns    ? ""
                       : r.outcome[i].enter_ns ? " (not over)"
                                               : " (never begun)");
        }
    if (getenv("KYMO_STAGE_LATE"))
        print_late(h, &r);
    printf(
        "end %s%s%s, %llu issued, %llu differ, %llu never begun, %llu freed, %.3f s of %.3f s, "
        "cpu %.3f s, drift p99 %.1f us\n",
        ENDS[r.end], r.why[0] ? ": " : "", r.why, (unsigned long long)issued,
        (unsigned long long)differ, (unsigned long long)never, (unsigned long long)r.freed,
        (double)(r.end_ns - r.begin_ns) / 1e9, (double)h->span_ns / 1e9, (double)r.cpu_ns / 1e9,
        (double)r.drift_ns_p99 / 1e3);
    free(r.outcome);
    return 0;
}

/* openat, fstat, read, write, close of one file, again and again. */
static int mix(uint32_t calls)
{
    struct planbuild *b = planbuild_new();
    const uint32_t a = planbuild_leader(b, planbuild_process(b, KYMO_NONE, 1));
    const uint32_t path = planbuild_text(b, "/file");
    struct kymo_stage_result r;

    planbuild_node(b,
                   (struct kymo_inode){
                       .path = path, .kind = KYMO_NODE_FILE, .mode = 0644, .size_bytes = 8192});
    for (uint32_t i = 0; i < calls / 5; i++) {
        struct kymo_icall *c = planbuild_call(b, a, SYS_openat, 0, IMM(AT_FDCWD),
                                              ARG(BLOB, path), IMM(O_RDWR), IMM(0));
        c->out = KYMO_OUT_FD;
        c->other = 0;
        planbuild_call(b, a, SYS_newfstatat, 0, FD(0), ARG(BLOB, 0), SINK(0),
                       IMM(AT_EMPTY_PATH));
        planbuild_call(b, a, SYS_read, 4096, FD(0), SINK(0), IMM(4096));
        planbuild_call(b, a, SYS_write, 4096, FD(0), PATTERN(0), IMM(4096));
        c = planbuild_call(b, a, SYS_close, 0, FD(0));
        c->out = KYMO_OUT_CLOSE;
        c->other = 0;
    }
    const struct kymo_image *image = planbuild_image(b);
    const struct kymo_icall *c = (const void *)((const char *)image + image->call.at);
    double best = 0;
    uint64_t wrong = 0;
    for (int k = 0; k < 3; k++) {
        if (run(image, 0, &r))
            return 4;
        const double s = (double)(r.end_ns - r.begin_ns - r.outcome[0].enter_ns) / 1e9;
        for (uint64_t i = 0; i < image->call.n; i++)
            if (r.outcome[i].ret != c[i].ret && wrong++ < 3)
                fprintf(stderr, "call %llu: wanted %lld, got %lld\n", (unsigned long long)i,
                        (long long)c[i].ret, (long long)r.outcome[i].ret);
        best = s > 0 && (double)image->call.n / s > best ? (double)image->call.n / s : best;
        free(r.outcome);
    }
    printf("RESULT stage_afap_calls_per_s %.0f calls/s 3\n", best);
    if (wrong)
        fprintf(stderr, "bench_stage: %llu results differ\n", (unsigned long long)wrong);
    planbuild_free(b);
    return wrong != 0;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static int pace(void)
{
    struct planbuild *b = planbuild_new();
    const uint32_t a = planbuild_leader(b, planbuild_process(b, KYMO_NONE, 1));
    struct kymo_stage_result r;
    static uint64_t late[10000];

    for (uint32_t i = 0; i < 10000; i++)
        planbuild_call(b, a, SYS_getppid, 0, IMM(0))->enter_ns = 1000000 + i * 200000ull;
    const struct kymo_image *image = planbuild_image(b);
    if (run(image, 1, &r))
        return 4;
    for (uint32_t i = 0; i < 10000; i++)
        late[i] = r.outcome[i].enter_ns - (1000000 + i * 200000ull);
    qsort(late, 10000, sizeof(*late), by_value);
    printf("late: p50 %.1f us, p90 %.1f us, p99 %.1f us, most %.1f us; cpu %.2f s of %.2f s\n",
           (double)late[5000] / 1e3, (double)late[9000] / 1e3, (double)late[9900] / 1e3,
           (double)late[9999] / 1e3, (double)r.cpu_ns / 1e9,
           (double)(r.end_ns - r.begin_ns) / 1e9);
    printf("RESULT stage_drift_p99_us %.2f us 1\n", (double)r.drift_ns_p99 / 1e3);
    free(r.outcome);
    planbuild_free(b);
    return 0;
}

/* Programs started one after the other, as a shell does it. */
static int programs(long nr)
{
    enum { N = 1000 };
    struct planbuild *b = planbuild_new();
    const uint32_t p = planbuild_process(b, KYMO_NONE, 1), a = planbuild_leader(b, p);
    struct kymo_stage_result r;

    for (uint32_t i = 0; i < N; i++) {
        const uint32_t child = planbuild_process(b, p, 0), c = planbuild_leader(b, child);
        struct kymo_icall *call = planbuild_call(b, a, nr, 1234, IMM(SIGCHLD));
        call->how = KYMO_HOW_FORK;
        call->other = child;
        call = planbuild_call(b, c, SYS_execve, 0, IMM(0));
        call->how = KYMO_HOW_EXEC;
        call->text = planbuild_text(b, "program");
        planbuild_call(b, c, SYS_getpid, 1, IMM(0));
        planbuild_call(b, c, SYS_exit_group, 0, IMM(0))->how = KYMO_HOW_EXIT;
        planbuild_call(b, a, SYS_wait4, 1234, IMM(-1), SINK(0), IMM(0), IMM(0));
    }
    if (run(planbuild_image(b), 0, &r))
        return 4;
    const double ns = (double)(r.end_ns - r.begin_ns);
    double made = 0, became = 0;
    for (uint32_t i = 0; i < N; i++) {
        const struct kymo_outcome *o = &r.outcome[planbuild_index(b, a, 2 * i)];
        made += (double)(o->exit_ns - o->enter_ns);
        o = &r.outcome[planbuild_index(b, a + 1 + i, 0)];
        became += (double)(o->exit_ns - o->enter_ns);
    }
    printf("made in %.1f us, became another program in %.1f us\n", made / 1e3 / N,
           became / 1e3 / N);
    printf("RESULT stage_program_us %.1f us 1\n", ns / 1e3 / N);
    planbuild_free(b);
    free(r.outcome);
    return 0;
}

/* Two processes that write to each other in turn, through pipes. */
static int turns(void)
{
    enum { N = 20000 };
    struct planbuild *b = planbuild_new();
    uint32_t a[2];
    struct kymo_stage_result r;

    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t p = planbuild_process(b, KYMO_NONE, 1);
        a[i] = planbuild_leader(b, p);
        planbuild_start(b, p, i ? 0 : 1, 0);
        planbuild_start(b, p, i ? 1 : 0, 2);
    }
    for (uint32_t i = 0; i < 2; i++) {
        planbuild_object(b, (struct kymo_iobject){.kind = KYMO_OBJECT_PIPE,
                                                  .pair = 2 * i + 1,
                                                  .flags = O_WRONLY});
        planbuild_object(b, (struct kymo_iobject){.kind = KYMO_OBJECT_PIPE, .pair = 2 * i});
    }
    for (uint32_t i = 0; i < 2; i++) {
        planbuild_start(b, i, i ? 3 : 4, 1);
        planbuild_start(b, i, i ? 4 : 3, 3);
    }
    for (uint32_t i = 0; i < N; i++) {
        planbuild_call(b, a[0], SYS_write, 1, FD(1), PATTERN(0), IMM(1));
        planbuild_call(b, a[1], SYS_read, 1, FD(3), SINK(0), IMM(1))->flags = KYMO_ICALL_BLOCKS;
        planbuild_after(b, a[1], a[0], 2 * i);
        planbuild_call(b, a[1], SYS_write, 1, FD(1), PATTERN(0), IMM(1));
        planbuild_call(b, a[0], SYS_read, 1, FD(3), SINK(0), IMM(1))->flags = KYMO_ICALL_BLOCKS;
        planbuild_after(b, a[0], a[1], 2 * i + 1);
    }
    if (run(planbuild_image(b), 0, &r))
        return 4;
    printf("RESULT stage_turn_us %.2f us 1\n", (double)(r.end_ns - r.begin_ns) / 1e3 / (2 * N));
    planbuild_free(b);
    free(r.outcome);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "mix";

    if (!strcmp(what, "mix"))
        return mix(argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 500000);
    if (!strcmp(what, "pace"))
        return pace();
    if (!strcmp(what, "fork"))
        return programs(SYS_clone);
#ifdef SYS_vfork
    if (!strcmp(what, "vfork"))
        return programs(SYS_vfork);
#endif
    if (!strcmp(what, "turns"))
        return turns();
    const char *how = argc > 2 ? argv[2] : "afap";
    return play(what, !strcmp(how, "afap")       ? 0
                      : !strcmp(how, "original") ? 1
                                                 : strtod(how, NULL));
}
