/* SPDX-License-Identifier: Apache-2.0
 * Features of tables other than calls, and whose they are, worked out by hand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/arena.h"
#include "format/base/rng.h"
#include "format/model/feature_group.h"
#include "format/trace/chunk.h"
#include "format/trace/sysname.h"

#define S 1000000000ull
#define T0 (50 * S)
#define WINDOWS_MAX 64
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct window {
    uint64_t start_ns, events;
    double lost;
    char entity[128];
    double x[KYMO_FEATURES_MAX];
};

static struct kymo_feature_spec spec;
static struct window window[WINDOWS_MAX];
static size_t n_windows;
static struct kymo_arena arena;
static struct kymo_feature_run *run;
static struct kymo_capture_facts facts;

static kymo_status keep(void *ctx, const struct kymo_window *w, struct kymo_err *err)
{
    (void)ctx;
    (void)err;
    assert_true(n_windows < WINDOWS_MAX);
    struct window *to = &window[n_windows++];
    *to = (struct window){.start_ns = w->start_ns, .events = w->events, .lost = w->lost};
    snprintf(to->entity, sizeof(to->entity), "%s", w->entity);
    memcpy(to->x, w->x, spec.d * sizeof(double));
    return KYMO_OK;
}

static size_t column(const char *name)
{
    for (size_t j = 0; j < spec.d; j++)
        if (strcmp(spec.column[j].name, name) == 0)
            return j;
    fail_msg("no feature %s", name);
    return 0;
}

static double feature(size_t w, const char *name)
{
    assert_true(w < n_windows);
    return window[w].x[column(name)];
}

static size_t window_of(const char *entity)
{
    for (size_t i = 0; i < n_windows; i++)
        if (strcmp(window[i].entity, entity) == 0)
            return i;
    fail_msg("no window of %s", entity);
    return 0;
}

static void begin_by(uint64_t window_ns, uint64_t step_ns, enum kymo_by by,
                     const struct kymo_vocabulary *known)
{
    n_windows = 0;
    assert_int_equal(kymo_feature_spec_init(&spec, window_ns, step_ns, by, NULL), KYMO_OK);
    spec.vocabulary = known;
    assert_int_equal(kymo_feature_open(&run, &spec, 0, &arena, keep, NULL, NULL), KYMO_OK);
}

static void begin(enum kymo_by by)
{
    begin_by(S, S, by, NULL);
}

static void end(void)
{
    struct kymo_span *span;
    size_t n;
    assert_int_equal(kymo_feature_finish(run, &facts, &span, &n, NULL), KYMO_OK);
    kymo_feature_close(run);
}

static struct kymo_rows *rows_of(const struct kymo_schema *schema)
{
    struct kymo_rows *r;
    assert_int_equal(kymo_rows_open(&r, schema, 1000, NULL), KYMO_OK);
    return r;
}

static void feed(struct kymo_rows *r, uint32_t flags)
{
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_feature_chunk(run, &b, flags, 1, NULL), KYMO_OK);
    kymo_rows_close(r);
}

static void put_text(struct kymo_rows *r, uint32_t c, uint32_t i, const char *s)
{
    kymo_rows_set_str(r, c, i, s, strlen(s));
}

/* -- rows ------------------------------------------------------------------------------------- */

struct proc {
    uint64_t pid, ppid, start_ns, execseq, cgroup;
    const char *exe;
};

static uint32_t add_process(struct kymo_rows *r, uint64_t ts, const char *kind,
                            const struct proc *p)
{
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_PROCESS_TS, i, ts);
    put_text(r, KYMO_PROCESS_KIND, i, kind);
    kymo_rows_set(r, KYMO_PROCESS_PID, i, p->pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, i, p->pid);
    kymo_rows_set(r, KYMO_PROCESS_PPID, i, p->ppid);
    kymo_rows_set(r, KYMO_PROCESS_START, i, p->start_ns);
    kymo_rows_set(r, KYMO_PROCESS_EXECSEQ, i, p->execseq);
    kymo_rows_set(r, KYMO_PROCESS_CGROUP, i, p->cgroup);
    put_text(r, KYMO_PROCESS_EXE, i, p->exe ? p->exe : "");
    return i;
}

static void add_exit(struct kymo_rows *r, uint64_t ts, const struct proc *p, uint64_t code,
                     uint64_t utime_ns)
{
    const uint32_t i = add_process(r, ts, "exit", p);
    kymo_rows_set(r, KYMO_PROCESS_CODE, i, code);
    kymo_rows_set(r, KYMO_PROCESS_LIFETIME, i, 4 * S);
    kymo_rows_set(r, KYMO_PROCESS_UTIME, i, utime_ns);
    kymo_rows_set(r, KYMO_PROCESS_STIME, i, S / 2);
    kymo_rows_set(r, KYMO_PROCESS_MAXRSS, i, 1000 * p->pid);
    kymo_rows_set(r, KYMO_PROCESS_MINFLT, i, 10);
    kymo_rows_set(r, KYMO_PROCESS_MAJFLT, i, 1);
}

static void add_call_of(struct kymo_rows *r, uint64_t ts, const struct proc *p,
                        const char *name, int64_t ret, const char *path, const char *addr)
{
    const uint32_t task = kymo_rows_add_task(r);
    const uint16_t key = kymo_rows_add_key(r);
    const uint32_t i = kymo_rows_add(r);
    r->lane[KYMO_SYSCALL_PID][task] = p->pid;
    r->lane[KYMO_SYSCALL_TID][task] = p->pid;
    r->lane[KYMO_SYSCALL_START][task] = p->start_ns;
    r->lane[KYMO_SYSCALL_EXECSEQ][task] = p->execseq;
    r->lane[KYMO_SYSCALL_CGROUP][task] = p->cgroup;
    r->lane[KYMO_SYSCALL_COMM][task] = kymo_rows_intern(r, "c", 1);
    r->lane[KYMO_SYSCALL_ARCH][key] = KYMO_ARCH_X86_64;
    r->lane[KYMO_SYSCALL_NR][key] = (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, name);
    r->task[i] = task;
    r->key[i] = key;
    kymo_rows_set(r, KYMO_SYSCALL_TS, i, ts);
    kymo_rows_set(r, KYMO_SYSCALL_DUR, i, 1000);
    kymo_rows_set(r, KYMO_SYSCALL_RET, i, (uint64_t)ret);
    if (path)
        put_text(r, KYMO_SYSCALL_PATH, i, path);
    if (addr)
        put_text(r, KYMO_SYSCALL_ADDR, i, addr);
}

struct loss {
    uint64_t stored, aggregated, sampled;
};

static void seal(uint64_t ts, struct loss l)
{
    struct kymo_rows *r = rows_of(&KYMO_TABLE_LOSS);
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_LOSS_TS, i, ts);
    put_text(r, KYMO_LOSS_SOURCE, i, "syscall");
    kymo_rows_set(r, KYMO_LOSS_SEEN, i, l.stored + l.aggregated + l.sampled);
    kymo_rows_set(r, KYMO_LOSS_STORED, i, l.stored);
    kymo_rows_set(r, KYMO_LOSS_AGGREGATED, i, l.aggregated);
    kymo_rows_set(r, KYMO_LOSS_SAMPLED, i, l.sampled);
    feed(r, KYMO_CHUNK_SEAL);
}

struct counted {
    uint64_t pid, calls, errors, bytes, timed, time_ns;
};

/* lat: all timed calls are of the octave that begins at 2^(7 + lat) ns. */
static void add_count(struct kymo_rows *r, uint64_t ts, uint64_t dur, const char *name,
                      struct counted c, uint32_t lat)
{
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_COUNT_TS, i, ts);
    kymo_rows_set(r, KYMO_COUNT_DUR, i, dur);
    kymo_rows_set(r, KYMO_COUNT_PID, i, c.pid);
    kymo_rows_set(r, KYMO_COUNT_START, i, c.pid);
    put_text(r, KYMO_COUNT_COMM, i, c.pid == 1 ? "one" : "two");
    kymo_rows_set(r, KYMO_COUNT_ARCH, i, KYMO_ARCH_X86_64);
    kymo_rows_set(r, KYMO_COUNT_NR, i, (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, name));
    kymo_rows_set(r, KYMO_COUNT_CALLS, i, c.calls);
    kymo_rows_set(r, KYMO_COUNT_ERRORS, i, c.errors);
    kymo_rows_set(r, KYMO_COUNT_BYTES, i, c.bytes);
    kymo_rows_set(r, KYMO_COUNT_TIMED, i, c.timed);
    kymo_rows_set(r, KYMO_COUNT_TIME, i, c.time_ns);
    kymo_rows_set(r, KYMO_COUNT_LAT + lat, i, c.timed);
}

static void add_count_error(struct kymo_rows *r, uint64_t ts, uint64_t pid, uint64_t no,
                            uint64_t calls)
{
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_COUNT_ERROR_TS, i, ts);
    kymo_rows_set(r, KYMO_COUNT_ERROR_PID, i, pid);
    kymo_rows_set(r, KYMO_COUNT_ERROR_START, i, pid);
    kymo_rows_set(r, KYMO_COUNT_ERROR_ARCH, i, KYMO_ARCH_X86_64);
    kymo_rows_set(r, KYMO_COUNT_ERROR_NR, i, (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, "openat"));
    kymo_rows_set(r, KYMO_COUNT_ERROR_ERRNO, i, no);
    kymo_rows_set(r, KYMO_COUNT_ERROR_CALLS, i, calls);
}

static void add_fd(struct kymo_rows *r, uint64_t ts, const struct proc *p, const char *target)
{
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_FD_TS, i, ts);
    kymo_rows_set(r, KYMO_FD_PID, i, p->pid);
    kymo_rows_set(r, KYMO_FD_START, i, p->start_ns);
    put_text(r, KYMO_FD_TARGET, i, target);
}

static void put_cgroup(uint64_t ts, uint64_t id, const char *path)
{
    struct kymo_rows *r = rows_of(&KYMO_TABLE_CGROUP);
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_CGROUP_TS, i, ts);
    kymo_rows_set(r, KYMO_CGROUP_ID, i, id);
    put_text(r, KYMO_CGROUP_PATH, i, path);
    feed(r, 0);
}

/* -- processes -------------------------------------------------------------------------------- */

static void what_ended_processes_had_used_counts_where_they_end(void **state)
{
    (void)state;
    const struct proc a = {.pid = 5}, b = {.pid = 7}, c = {.pid = 9, .exe = "/bin/c"};
    struct kymo_rows *r = rows_of(&KYMO_TABLE_PROCESS);
    begin(KYMO_BY_HOST);
    seal(T0, (struct loss){0});
    add_exit(r, T0, &a, 0, S);
    add_exit(r, T0 + 1, &b, 3 << 8, S);
    add_exit(r, T0 + 2, &c, 9, 2 * S);
    kymo_rows_set(r, KYMO_PROCESS_CODE, add_process(r, T0 + 3, "exit", &b),
                  9); /* of a thread */
    add_process(r, T0 + 4, "exec", &c);
    add_process(r, T0 + 5, "exec", &c);
    add_process(r, T0 + 6, "cred", &c);
    feed(r, 0);
    seal(T0 + S, (struct loss){0});
    end();
    assert_true(feature(0, "process.exit") == 4 && feature(0, "process.exec") == 2);
    assert_true(feature(0, "process.failed") == 1 && feature(0, "process.killed") == 1);
    assert_true(feature(0, "process.cred") == 1 && feature(0, "distinct.executables") == 1);
    assert_true(feature(0, "process.lifetime") == 4e9);
    assert_true(feature(0, "cpu.user") == 4 && feature(0, "cpu.system") == 1.5);
    assert_true(fabs(feature(0, "cpu.busy") - 5.5 / 12) < 1e-15);
    assert_true(feature(0, "memory.max") == 9000);
    assert_true(feature(0, "faults.minor") == 30 && feature(0, "faults.major") == 3);
}

/* -- entities --------------------------------------------------------------------------------- */

/* Two programs in a pod's container, one on the host that nothing is known of, and the child of one. */
static void run_entities(enum kymo_by by)
{
    static const struct proc before = {.pid = 1, .start_ns = 10, .execseq = 1, .cgroup = 70};
    static const struct proc after = {
        .pid = 1, .start_ns = 10, .execseq = 2, .cgroup = 70, .exe = "/bin/two"};
    static const struct proc one = {
        .pid = 1, .start_ns = 10, .execseq = 1, .cgroup = 70, .exe = "/bin/one"};
    static const struct proc child = {
        .pid = 3, .ppid = 1, .start_ns = 20, .execseq = 2, .cgroup = 70};
    static const struct proc again = {.pid = 1, .start_ns = 99, .execseq = 1, .cgroup = 8};
    struct kymo_rows *p = rows_of(&KYMO_TABLE_PROCESS);
    struct kymo_rows *c = rows_of(&KYMO_TABLE_SYSCALL);
    begin(by);
    seal(T0, (struct loss){0});
    put_cgroup(T0, 70, "/kubepods/besteffort/pod1b4e28ba-2fa1-11d2-883f-0016d3cca427/" ID);
    add_process(p, T0, "snapshot", &one);
    add_process(p, T0 + 2, "exec", &after);
    add_process(p, T0 + 3, "fork", &child);
    feed(p, 0);
    add_call_of(c, T0 + 1, &before, "read", 1, NULL, NULL);
    add_call_of(c, T0 + 3, &after, "write", 1, NULL, NULL);
    add_call_of(c, T0 + 4, &child, "close", 0, NULL, NULL);
    add_call_of(c, T0 + 5, &again, "fsync", 0, NULL, NULL);
    feed(c, 0);
    seal(T0 + S, (struct loss){.stored = 4});
    end();
}

static void windows_by_exe_know_execs_and_what_a_child_runs(void **state)
{
    (void)state;
    run_entities(KYMO_BY_EXE);
    assert_int_equal(n_windows, 3);
    assert_int_equal(window[window_of("/bin/one")].events, 1);
    assert_int_equal(window[window_of("/bin/two")].events, 2);
    assert_true(feature(window_of("unknown"), "call.fsync") == 1);
}

static void windows_by_container_and_pod_go_by_cgroup_paths(void **state)
{
    (void)state;
    run_entities(KYMO_BY_CONTAINER);
    assert_int_equal(n_windows, 2);
    assert_int_equal(window[window_of("0123456789ab")].events, 3);
    assert_int_equal(window[window_of("unknown")].events, 1);
    run_entities(KYMO_BY_POD);
    assert_int_equal(window[window_of("1b4e28ba-2fa1-11d2-883f-0016d3cca427")].events, 3);
    assert_int_equal(window[window_of("unknown")].events, 1);
}

static void a_process_is_its_pid_start_and_execs(void **state)
{
    (void)state;
    run_entities(KYMO_BY_PROCESS);
    assert_int_equal(n_windows, 4); /* of pid 1 three: an exec, and another start */
    run_entities(KYMO_BY_CGROUP);
    assert_int_equal(n_windows, 2);
    assert_int_equal(window[window_of("cgroup 8")].events, 1);
}

/* -- counts ----------------------------------------------------------------------------------- */

static void counts_give_the_features_of_calls_that_they_tell(void **state)
{
    (void)state;
    struct kymo_rows *c = rows_of(&KYMO_TABLE_COUNT), *e = rows_of(&KYMO_TABLE_COUNT_ERROR);
    begin(KYMO_BY_HOST);
    seal(T0, (struct loss){.aggregated = 1});
    add_count(c, T0 + S, S, "read", (struct counted){1, 100, 20, 8000, 50, 50 * 1500}, 3);
    add_count(c, T0 + S, S, "openat", (struct counted){2, 10, 4, 0, 0, 0}, 0);
    feed(c, 0);
    add_count_error(e, T0 + S, 2, 2, 3);
    add_count_error(e, T0 + S, 2, 0, 1);
    feed(e, 0);
    seal(T0 + S, (struct loss){.aggregated = 110});
    end();
    assert_int_equal(n_windows, 1);
    assert_int_equal(window[0].events, 110);
    assert_true(feature(0, "call.read") == 100 && feature(0, "class.file") == 10);
    assert_true(feature(0, "error.ENOENT") == 3 && feature(0, "error.other") == 1);
    /* as if sixteen more calls had gone well */
    assert_true(fabs(feature(0, "failed.file") - 4 / 26.0) < 1e-15);
    assert_true(fabs(feature(0, "failed.read") - 20 / 116.0) < 1e-15);
    assert_true(feature(0, "bytes.read") == 8000 && feature(0, "bytes.read.size") == 100);
    /* all of [1024, 2048) ns */
    assert_true(fabs(feature(0, "latency.read.p50") / 1536 - 1) < 0.34);
    assert_true(fabs(feature(0, "time.read") - 100 * 1500e-9) < 1e-12); /* half were timed */
    assert_true(feature(0, "latency.file.p50") == 0);
    assert_true(feature(0, "distinct.processes") == 2 && feature(0, "distinct.threads") == 0);
    assert_true(feature(0, "fd.opened") == 6);
    assert_true(fabs(feature(0, "share.read") - 100 / 110.0) < 1e-15);
    assert_int_equal(facts.calls, 110);
    assert_int_equal(facts.rows, 0);
}

static void counts_of_a_long_window_are_spread_and_awaited(void **state)
{
    (void)state;
    struct kymo_rows *c = rows_of(&KYMO_TABLE_COUNT);
    begin(KYMO_BY_HOST);
    seal(T0, (struct loss){0}); /* windows begin here */
    for (uint64_t s = 1; s <= 3; s++)
        seal(T0 + s * S, (struct loss){.aggregated = 5});
    assert_int_equal(n_windows, 0); /* their calls have yet to come */
    add_count(c, T0 + 4 * S, 4 * S, "read", (struct counted){1, 22, 3, 0, 0, 0}, 0);
    feed(c, 0);
    seal(T0 + 4 * S, (struct loss){.aggregated = 7});
    assert_int_equal(n_windows, 4);
    seal(T0 + 5 * S, (struct loss){.stored = 7}); /* nothing is counted: nothing is awaited */
    assert_int_equal(n_windows, 5);
    end();
    uint64_t sum = 0;
    for (size_t w = 0; w < 4; w++) {
        assert_in_range(window[w].events, 5, 6);
        sum += window[w].events;
    }
    assert_int_equal(sum, 22);
    assert_int_equal(window[4].events, 0);
}

/* As in a slice that begins in the middle of a count's window. */
static void what_was_counted_before_the_first_window_is_in_none(void **state)
{
    (void)state;
    struct kymo_rows *c = rows_of(&KYMO_TABLE_COUNT);
    begin(KYMO_BY_HOST);
    seal(T0, (struct loss){0});
    add_count(c, T0 + 2 * S, 10 * S, "read", (struct counted){1, 1000, 0, 0, 0, 0}, 0);
    feed(c, 0);
    seal(T0 + 2 * S, (struct loss){0});
    end();
    assert_int_equal(n_windows, 2);
    assert_true(feature(0, "call.read") == 100 && feature(1, "call.read") == 100);
    /* and where counts come first, windows begin where they do */
    c = rows_of(&KYMO_TABLE_COUNT);
    begin(KYMO_BY_HOST);
    add_count(c, T0 + 2 * S, 2 * S, "read", (struct counted){1, 20, 0, 0, 0, 0}, 0);
    feed(c, 0);
    seal(T0 + 2 * S, (struct loss){0});
    end();
    assert_int_equal(n_windows, 2);
    assert_true(window[0].start_ns == T0 && feature(0, "call.read") == 10);
}

static void a_count_of_more_steps_than_can_be_held_is_refused(void **state)
{
    (void)state;
    struct kymo_rows *c = rows_of(&KYMO_TABLE_COUNT);
    begin_by(KYMO_WINDOW_NS_MIN, KYMO_WINDOW_NS_MIN, KYMO_BY_HOST, NULL);
    add_count(c, T0 + 10 * S, 10 * S, "read", (struct counted){1, 20, 0, 0, 0, 0}, 0);
    const struct kymo_batch b = kymo_rows_view(c);
    assert_int_equal(kymo_feature_chunk(run, &b, 0, 1, NULL), KYMO_ELIMIT);
    kymo_rows_close(c);
    kymo_feature_close(run);
}

static void counts_of_an_entity_are_its_own(void **state)
{
    (void)state;
    struct kymo_rows *c = rows_of(&KYMO_TABLE_COUNT), *e = rows_of(&KYMO_TABLE_COUNT_ERROR);
    begin(KYMO_BY_COMM);
    seal(T0, (struct loss){.aggregated = 1});
    add_count(c, T0 + S, S, "read", (struct counted){1, 10, 0, 0, 0, 0}, 0);
    add_count(c, T0 + S, S, "openat", (struct counted){2, 20, 6, 0, 0, 0}, 0);
    feed(c, 0);
    add_count_error(e, T0 + S, 2, 2, 6);
    feed(e, 0);
    seal(T0 + S, (struct loss){.aggregated = 30});
    end();
    assert_int_equal(n_windows, 2);
    assert_true(feature(window_of("one"), "error.ENOENT") == 0);
    assert_true(feature(window_of("two"), "error.ENOENT") == 6);
}

static void what_counts_do_not_tell_is_said_to_be_absent(void **state)
{
    (void)state;
    begin(KYMO_BY_HOST);
    const struct kymo_feature_column *const c = spec.column;
    const uint32_t full = KYMO_FROM_CALLS | KYMO_FROM_PROCESSES | KYMO_FROM_OPENS;
    const uint32_t counts = full | KYMO_FROM_COUNTS;
    assert_true(kymo_feature_is_there(&c[column("call.read")], full));
    assert_true(kymo_feature_is_there(&c[column("call.read")], counts));
    assert_true(kymo_feature_is_there(&c[column("pair.00")], full));
    assert_false(kymo_feature_is_there(&c[column("pair.00")], counts));
    assert_false(kymo_feature_is_there(&c[column("entropy.paths")], counts));
    assert_true(kymo_feature_is_there(&c[column("cpu.user")], counts));
    assert_false(kymo_feature_is_there(&c[column("open.files")], KYMO_FROM_CALLS));
    assert_false(kymo_feature_is_there(&c[column("new.paths")], full));
    assert_true(kymo_feature_is_there(&c[column("new.paths")], full | KYMO_FROM_KNOWN));
    assert_false(kymo_feature_is_there(&c[column("new.paths")], counts | KYMO_FROM_KNOWN));
    seal(T0, (struct loss){.aggregated = 1});
    end();
    assert_int_equal(facts.from, KYMO_FROM_CALLS | KYMO_FROM_COUNTS);
    begin(KYMO_BY_HOST);
    seal(T0, (struct loss){.stored = 1});
    end();
    assert_int_equal(facts.from, KYMO_FROM_CALLS);
}

static void what_sampling_left_out_is_lost(void **state)
{
    (void)state;
    begin(KYMO_BY_HOST);
    seal(T0, (struct loss){0});
    seal(T0 + S, (struct loss){.stored = 25, .sampled = 75});
    end();
    assert_true(window[0].lost == 0.75);
    assert_int_equal(facts.dropped, 0);
}

/* -- descriptors ------------------------------------------------------------------------------ */

static void a_window_has_what_was_open_at_the_snapshot_before_its_end(void **state)
{
    (void)state;
    static const struct proc a = {.pid = 1, .start_ns = 10}, b = {.pid = 2, .start_ns = 20};
    struct kymo_rows *f = rows_of(&KYMO_TABLE_FD);
    begin(KYMO_BY_HOST);
    seal(T0, (struct loss){0});
    add_fd(f, T0 + S + 5, &a, "/dev/null");
    add_fd(f, T0 + S + 5, &a, "socket:[7]");
    add_fd(f, T0 + S + 5, &b, "/etc/hosts");
    add_fd(f, T0 + S + 5, &b, "pipe:[8]");
    add_fd(f, T0 + S + 5, &b, "anon_inode:[eventfd]");
    add_fd(f, T0 + 3 * S + 5, &a, "/dev/null");
    feed(f, 0); /* snapshots ahead of their time, as an archive has them */
    for (uint64_t s = 1; s <= 5; s++)
        seal(T0 + s * S, (struct loss){0});
    end();
    static const double files[5] = {0, 2, 2, 1, 1}, sockets[5] = {0, 1, 1, 0, 0};
    for (size_t w = 0; w < 5; w++) {
        assert_true(feature(w, "open.files") == files[w]);
        assert_true(feature(w, "open.sockets") == sockets[w]);
        assert_true(feature(w, "open.others") == sockets[w]);
        assert_true(feature(w, "open.pipes") == sockets[w]);
    }
    assert_true(facts.from & KYMO_FROM_OPENS);
}

static void descriptors_are_made_and_given_back_by_calls_that_succeed(void **state)
{
    (void)state;
    static const struct proc p = {.pid = 1};
    struct kymo_rows *c = rows_of(&KYMO_TABLE_SYSCALL);
    begin(KYMO_BY_HOST);
    add_call_of(c, T0, &p, "openat", 3, "/etc/hosts", NULL);
    add_call_of(c, T0 + 1, &p, "openat", -2, "/etc/none", NULL);
    add_call_of(c, T0 + 2, &p, "pipe2", 0, NULL, NULL);
    add_call_of(c, T0 + 3, &p, "socket", 6, NULL, NULL);
    add_call_of(c, T0 + 4, &p, "close", 0, NULL, NULL);
    add_call_of(c, T0 + 5, &p, "close", -9, NULL, NULL);
    feed(c, 0);
    seal(T0 + S, (struct loss){.stored = 6});
    end();
    assert_true(feature(0, "fd.opened") == 4 && feature(0, "fd.closed") == 1);
    assert_true(feature(0, "errno.ENOENT") == 1 / 22.0);
    assert_true(feature(0, "failed.file") == 2 / 21.0);
    assert_true(feature(0, "place.paths") == 2 && feature(0, "entropy.paths") == 1);
}

/* -- what is new ------------------------------------------------------------------------------ */

static void feed_places(int also_new)
{
    static const struct proc p = {.pid = 1};
    static const struct proc x = {.pid = 2, .execseq = 1, .exe = "/bin/new"};
    struct kymo_rows *c = rows_of(&KYMO_TABLE_SYSCALL), *e = rows_of(&KYMO_TABLE_PROCESS);
    for (uint64_t i = 0; i < 4; i++)
        add_call_of(c, T0 + i, &p, "openat", 3, i % 2 ? "/etc/hosts" : "/proc/12/stat", NULL);
    add_call_of(c, T0 + 5, &p, "connect", 0, NULL, "inet:10.0.0.1:5000");
    if (also_new) {
        add_call_of(c, T0 + 6, &p, "openat", 3, "/proc/1344/stat", NULL); /* another number */
        add_call_of(c, T0 + 7, &p, "openat", 3, "/root/.ssh/id", NULL);
        add_call_of(c, T0 + 8, &p, "connect", 0, NULL, "inet:10.0.0.1:77"); /* another port */
        add_call_of(c, T0 + 9, &p, "connect", 0, NULL, "inet:10.6.6.6:77");
        add_process(e, T0, "exec", &x);
    }
    feed(c, 0);
    feed(e, 0);
    seal(T0 + S, (struct loss){.stored = 1});
}

static void new_is_what_the_vocabulary_does_not_have(void **state)
{
    (void)state;
    struct kymo_vocabulary_fit fit = {0};
    struct kymo_vocabulary *known;
    begin(KYMO_BY_HOST);
    kymo_feature_learn(run, &fit);
    feed_places(0);
    kymo_feature_learn_window(&fit, &spec, window[0].x);
    end();
    assert_int_equal(kymo_vocabulary_freeze(&known, &fit, &arena, NULL), KYMO_OK);
    kymo_vocabulary_release(&fit);

    begin_by(S, S, KYMO_BY_HOST, known);
    feed_places(0);
    end();
    static const char *const zero[] = {"new.paths",      "new.peers",      "new.executables",
                                       "new.path.calls", "new.peer.calls", "new.sequences"};
    for (size_t i = 0; i < 6; i++)
        assert_true(feature(0, zero[i]) == 0);
    assert_true(facts.from & KYMO_FROM_KNOWN);

    begin_by(S, S, KYMO_BY_HOST, known);
    feed_places(1);
    end();
    assert_true(feature(0, "new.paths") == 1 && feature(0, "new.peers") == 1);
    assert_true(feature(0, "new.executables") == 1);
    assert_true(fabs(feature(0, "new.path.calls") - 1 / 6.0) < 1e-15);
    assert_true(fabs(feature(0, "new.peer.calls") - 1 / 3.0) < 1e-15);
    /* seven triples, of which open-connect-open, connect-open-open and open-connect-connect are new */
    assert_true(fabs(feature(0, "new.sequences") - 3 / 7.0) < 1e-15);

    begin(KYMO_BY_HOST); /* without a vocabulary nothing is new */
    feed_places(1);
    end();
    for (size_t i = 0; i < 6; i++)
        assert_true(feature(0, zero[i]) == 0);
}

static void a_vocabulary_travels_with_its_spec_and_another_is_refused(void **state)
{
    (void)state;
    static struct kymo_feature_spec back;
    struct kymo_vocabulary_fit fit = {0};
    struct kymo_vocabulary *known;
    struct kymo_err err = {0};
    const double share[KYMO_GRAMS] = {1};
    kymo_vocabulary_window(&fit, share);
    kymo_vocabulary_learn(&fit, KYMO_KNOWN_PATHS, 77);
    assert_int_equal(kymo_vocabulary_freeze(&known, &fit, &arena, NULL), KYMO_OK);
    kymo_vocabulary_release(&fit);
    assert_int_equal(kymo_feature_spec_init(&spec, S, S, KYMO_BY_HOST, NULL), KYMO_OK);
    spec.vocabulary = known;
    json_t *j = kymo_feature_spec_json(&spec);
    assert_int_equal(kymo_feature_spec_parse(&back, j, &arena, "x", NULL), KYMO_OK);
    assert_true(back.vocabulary && back.vocabulary->xxh3 == known->xxh3);
    assert_int_equal(kymo_feature_spec_match(&spec, &back, "x", NULL), KYMO_OK);
    back.vocabulary = NULL;
    assert_int_equal(kymo_feature_spec_match(&spec, &back, "x", &err), KYMO_EINPUT);
    assert_non_null(strstr(err.text, "--fit-on"));
    json_array_set_new(json_object_get(json_object_get(j, "vocabulary"), "idf"), 0,
                       json_real(-1));
    assert_int_equal(kymo_feature_spec_parse(&back, j, &arena, "x", NULL), KYMO_ECORRUPT);
    json_decref(j);
}

static void the_largest_vocabulary_fits_into_a_schema(void **state)
{
    (void)state;
    struct kymo_vocabulary_fit fit = {0};
    struct kymo_vocabulary *known;
    const double share[KYMO_GRAMS] = {1};
    kymo_vocabulary_window(&fit, share);
    for (int k = 0; k < KYMO_KNOWN_KINDS; k++)
        for (uint32_t i = 0; i < kymo_known_max[k]; i++)
            kymo_vocabulary_learn(&fit, (enum kymo_known)k, kymo_mix64(i + 1));
    assert_int_equal(kymo_vocabulary_freeze(&known, &fit, &arena, NULL), KYMO_OK);
    kymo_vocabulary_release(&fit);
    assert_int_equal(kymo_feature_spec_init(&spec, S, S, KYMO_BY_HOST, NULL), KYMO_OK);
    spec.vocabulary = known;
    json_t *j = kymo_feature_spec_json(&spec);
    char *meta = json_dumps(j, JSON_COMPACT);
    assert_true(strlen(meta) < KYMO_SCHEMA_BYTES_MAX / 2);
    free(meta);
    json_decref(j);
}

/* -- all -------------------------------------------------------------------------------------- */

static void every_column_says_what_it_is(void **state)
{
    (void)state;
    assert_int_equal(kymo_feature_spec_init(&spec, S, S, KYMO_BY_HOST, NULL), KYMO_OK);
    for (size_t j = 0; j < spec.d; j++) {
        char about[KYMO_ABOUT_BYTES], from[KYMO_ABOUT_BYTES];
        assert_true(strlen(kymo_feature_about(j, about)) > 8);
        assert_true(strlen(about) < KYMO_ABOUT_BYTES - 1);
        assert_true(strlen(kymo_feature_from_text(spec.column[j].from, from)) >= 2);
        assert_true(spec.column[j].floor > 0 && spec.column[j].weight > 0);
    }
    char about[KYMO_ABOUT_BYTES];
    assert_string_equal(kymo_feature_about(spec.d, about), "");
    assert_true(spec.d <= KYMO_FEATURES_MAX);
}

/* Whatever numbers rows hold, what comes out is finite. */
static void no_row_makes_a_value_that_is_not_finite(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 7);
    for (int round = 0; round < 200; round++) {
        static const char *const name[] = {"read", "openat", "pipe2", "futex", "exit"};
        struct kymo_rows *c = rows_of(&KYMO_TABLE_COUNT), *p = rows_of(&KYMO_TABLE_PROCESS);
        struct kymo_rows *s = rows_of(&KYMO_TABLE_SYSCALL);
        begin_by(2 * S, S, round % 2 ? KYMO_BY_PROCESS : KYMO_BY_HOST, NULL);
        seal(T0, (struct loss){0});
        for (uint64_t i = 0; i < 8; i++) {
            const struct proc who = {.pid = i % 3};
            const unsigned shift = (unsigned)kymo_rng_u64(&rng) & 63;
            const uint64_t v = kymo_rng_u64(&rng) >> shift;
            add_count(c, T0 + i * S / 4 + 1, v, name[i % 5],
                      (struct counted){i % 3, v, v / 2, v, v / 3, v}, (uint32_t)i);
            add_exit(p, T0 + i, &who, v, v);
            add_call_of(s, T0 + i, &who, name[i % 5], (int64_t)v, "/x", NULL);
            kymo_rows_set(s, KYMO_SYSCALL_DUR, (uint32_t)i, v);
        }
        feed(c, 0);
        feed(p, 0);
        feed(s, 0);
        seal(T0 + 3 * S, (struct loss){.stored = 1});
        end();
        for (size_t w = 0; w < n_windows; w++)
            for (size_t j = 0; j < spec.d; j++)
                assert_true(isfinite(window[w].x[j]) && window[w].x[j] >= 0);
    }
}

static int set_up(void **state)
{
    (void)state;
    kymo_arena_init(&arena, SIZE_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kymo_arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ended_processes_had_used_counts_where_they_end),
        cmocka_unit_test(windows_by_exe_know_execs_and_what_a_child_runs),
        cmocka_unit_test(windows_by_container_and_pod_go_by_cgroup_paths),
        cmocka_unit_test(a_process_is_its_pid_start_and_execs),
        cmocka_unit_test(counts_give_the_features_of_calls_that_they_tell),
        cmocka_unit_test(counts_of_a_long_window_are_spread_and_awaited),
        cmocka_unit_test(what_was_counted_before_the_first_window_is_in_none),
        cmocka_unit_test(a_count_of_more_steps_than_can_be_held_is_refused),
        cmocka_unit_test(counts_of_an_entity_are_its_own),
        cmocka_unit_test(what_counts_do_not_tell_is_said_to_be_absent),
        cmocka_unit_test(what_sampling_left_out_is_lost),
        cmocka_unit_test(a_window_has_what_was_open_at_the_snapshot_before_its_end),
        cmocka_unit_test(descriptors_are_made_and_given_back_by_calls_that_succeed),
        cmocka_unit_test(new_is_what_the_vocabulary_does_not_have),
        cmocka_unit_test(a_vocabulary_travels_with_its_spec_and_another_is_refused),
        cmocka_unit_test(the_largest_vocabulary_fits_into_a_schema),
        cmocka_unit_test(every_column_says_what_it_is),
        cmocka_unit_test(no_row_makes_a_value_that_is_not_finite),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
