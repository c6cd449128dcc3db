/* SPDX-License-Identifier: Apache-2.0
 * test_cleaning.c: of a re-recording stays what scripts did, under recorded names, and its account holds.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/trace/reader.h"
#include "format/trace/sysname.h"
#include "format/trace/writer.h"
#include "replay/proof/proof.h"
#include "tests/unit/proofgen.h"

#define S 1000000000ull

/* -------- a re-recording, row by row -------- */

struct tape {
    struct kymo_rows *call, *process, *fd, *loss;
    uint64_t ts_ns;
    uint64_t stored;
};

static void tape_open(struct tape *t)
{
    *t = (struct tape){.ts_ns = 100 * S};
    assert_int_equal(kymo_rows_open(&t->call, &KYMO_TABLE_SYSCALL, 1000, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&t->process, &KYMO_TABLE_PROCESS, 100, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&t->fd, &KYMO_TABLE_FD, 100, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&t->loss, &KYMO_TABLE_LOSS, 100, NULL), KYMO_OK);
}

static uint32_t task_of(struct kymo_rows *r, uint64_t pid, uint64_t tid, const char *comm,
                        uint64_t execseq)
{
    const uint64_t id = kymo_rows_intern(r, comm, strlen(comm));
    for (uint32_t i = 0; i < r->n_tasks; i++)
        if (r->lane[KYMO_SYSCALL_TID][i] == tid && r->lane[KYMO_SYSCALL_COMM][i] == id &&
            r->lane[KYMO_SYSCALL_EXECSEQ][i] == execseq)
            return i;
    const uint32_t i = kymo_rows_add_task(r);
    r->lane[KYMO_SYSCALL_PID][i] = pid;
    r->lane[KYMO_SYSCALL_TID][i] = tid;
    r->lane[KYMO_SYSCALL_COMM][i] = id;
    r->lane[KYMO_SYSCALL_START][i] = pid * 10;
    r->lane[KYMO_SYSCALL_EXECSEQ][i] = execseq;
    return i;
}

static uint16_t key_of(struct kymo_rows *r, const char *name)
{
    const uint64_t nr = (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, name);
    for (uint16_t i = 0; i < r->n_keys; i++)
        if (r->lane[KYMO_SYSCALL_NR][i] == nr)
            return i;
    const uint16_t i = kymo_rows_add_key(r);
    r->lane[KYMO_SYSCALL_ARCH][i] = KYMO_ARCH_X86_64;
    r->lane[KYMO_SYSCALL_NR][i] = nr;
    return i;
}

struct who {
    uint64_t pid, tid;
    const char *comm;
    uint64_t execseq;
};

static void call(struct tape *t, const struct who *w, const char *name, uint64_t flags,
                 int64_t ret, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
    const uint64_t arg[4] = {a0, a1, a2, a3};
    struct kymo_rows *r = t->call;
    const uint32_t i = kymo_rows_add(r);
    r->task[i] = task_of(r, w->pid, w->tid, w->comm, w->execseq);
    r->key[i] = key_of(r, name);
    kymo_rows_set(r, KYMO_SYSCALL_TS, i, t->ts_ns += 1000);
    kymo_rows_set(r, KYMO_SYSCALL_CPU, i, w->tid & 1);
    kymo_rows_set(r, KYMO_SYSCALL_FLAGS, i, flags);
    if (!(flags & (KYMO_CALL_UNFINISHED | KYMO_CALL_AT_ENTRY)))
        kymo_rows_set(r, KYMO_SYSCALL_RET, i, (uint64_t)ret);
    if (!(flags & KYMO_CALL_AT_ENTRY))
        kymo_rows_set(r, KYMO_SYSCALL_DUR, i, 300);
    for (uint32_t k = 0; k < 4 && !(flags & (KYMO_CALL_EXECED | KYMO_CALL_CHILD)); k++)
        kymo_rows_set(r, KYMO_SYSCALL_ARG0 + k, i, arg[k]);
    t->stored++;
}

static void tag(struct tape *t, const struct who *w, uint64_t what, uint64_t actor,
                uint64_t index)
{
    call(t, w, "prctl", 0, -22, KYMO_STAGE_TAG, what, actor, index);
}

static void process(struct tape *t, const struct who *w, const char *kind, uint64_t ppid)
{
    struct kymo_rows *r = t->process;
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_PROCESS_TS, i, t->ts_ns += 10);
    kymo_rows_set_str(r, KYMO_PROCESS_KIND, i, kind, strlen(kind));
    kymo_rows_set(r, KYMO_PROCESS_PID, i, w->pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, i, w->tid);
    kymo_rows_set(r, KYMO_PROCESS_PPID, i, ppid);
    kymo_rows_set(r, KYMO_PROCESS_START, i, w->pid * 10);
    kymo_rows_set_str(r, KYMO_PROCESS_COMM, i, w->comm, strlen(w->comm));
    kymo_rows_set_str(r, KYMO_PROCESS_EXE, i, "/.kymo/stage", 12);
    kymo_rows_set_str(r, KYMO_PROCESS_ARGV, i, "stage 1 2", 9);
}

static void fd(struct tape *t, uint64_t pid, uint64_t number)
{
    const uint32_t i = kymo_rows_add(t->fd);
    kymo_rows_set(t->fd, KYMO_FD_TS, i, t->ts_ns);
    kymo_rows_set(t->fd, KYMO_FD_PID, i, pid);
    kymo_rows_set(t->fd, KYMO_FD_START, i, pid * 10);
    kymo_rows_set(t->fd, KYMO_FD_FD, i, number);
    kymo_rows_set_str(t->fd, KYMO_FD_TARGET, i, "/data", 5);
}

static void losses(struct tape *t)
{
    uint64_t on[2] = {0, 0}, made = 0;
    for (uint32_t i = 0; i < t->call->n_rows; i++)
        on[t->call->lane[KYMO_SYSCALL_CPU][i]]++;
    for (uint32_t i = 0; i < t->process->n_rows; i++) {
        const struct kymo_batch b = kymo_rows_view(t->process);
        uint32_t n;
        const char *kind = kymo_batch_str(&b, KYMO_PROCESS_KIND, i, &n);
        made += strncmp(kind, "snapshot", n) != 0;
    }
    for (uint64_t ring = 0; ring < 3; ring++) {
        const uint32_t i = kymo_rows_add(t->loss);
        const uint64_t n = ring < 2 ? on[ring] : made;
        kymo_rows_set(t->loss, KYMO_LOSS_TS, i, t->ts_ns + 100);
        kymo_rows_set_str(t->loss, KYMO_LOSS_SOURCE, i, ring < 2 ? "syscall" : "process", 7);
        kymo_rows_set(t->loss, KYMO_LOSS_RING, i, ring < 2 ? ring : 0);
        kymo_rows_set(t->loss, KYMO_LOSS_SEEN, i, n + 7);
        kymo_rows_set(t->loss, KYMO_LOSS_STORED, i, n);
        kymo_rows_set(t->loss, KYMO_LOSS_FILTERED, i, 7);
    }
}

static int memory_file(void)
{
    const int f = memfd_create("tape", MFD_CLOEXEC);
    assert_true(f >= 0);
    return f;
}

/* Write it all as one second; the descriptor. */
static int tape_write(struct tape *t)
{
    const int f = memory_file();
    struct kymo_writer *w;
    losses(t);
    assert_int_equal(kymo_writer_open(&w, f, "tape", 1, NULL), KYMO_OK);
    struct kymo_rows *const all[] = {t->call, t->process, t->fd, t->loss};
    for (size_t i = 0; i < 4; i++) {
        const struct kymo_batch b = kymo_rows_view(all[i]);
        assert_int_equal(kymo_writer_put(w, &b, i == 3 ? KYMO_CHUNK_SEAL : 0, NULL), KYMO_OK);
        kymo_rows_close(all[i]);
    }
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    kymo_writer_close(w);
    return f;
}

/* -------- what came out, as text -------- */

static void say(char *out, size_t cap, const char *fmt, ...) KYMO_PRINTF(3, 4);
static void say(char *out, size_t cap, const char *fmt, ...)
{
    va_list ap;
    const size_t n = strlen(out);
    va_start(ap, fmt);
    assert_true(vsnprintf(out + n, cap - n, fmt, ap) < (int)(cap - n));
    va_end(ap);
}

static const char *text(const struct kymo_batch *b, uint32_t c, uint32_t i)
{
    static char s[4][64];
    static unsigned at;
    uint32_t n;
    const char *p = kymo_batch_str(b, c, i, &n);
    at = (at + 1) % 4;
    snprintf(s[at], sizeof(s[at]), "%.*s", (int)n, p);
    return s[at];
}

struct seen {
    char calls[4000], processes[2000], fds[400];
    uint64_t loss_seen, loss_stored, loss_filtered;
    int is_complete, is_told;
};

static void see_batch(struct seen *s, const struct kymo_batch *b)
{
    const char *table = kymo_batch_table(b);
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (!strcmp(table, "syscall")) {
            const struct kymo_sysinfo *info = kymo_sysinfo(
                KYMO_ARCH_X86_64, (uint32_t)kymo_batch_lane(b, KYMO_SYSCALL_NR, i));
            say(s->calls, sizeof(s->calls), "%s[%" PRIu64 "/%" PRIu64 "] %s\n",
                text(b, KYMO_SYSCALL_COMM, i), kymo_batch_lane(b, KYMO_SYSCALL_PID, i),
                kymo_batch_lane(b, KYMO_SYSCALL_TID, i), info->name);
        } else if (!strcmp(table, "process")) {
            say(s->processes, sizeof(s->processes),
                "%s %s[%" PRIu64 "/%" PRIu64 "] of %" PRIu64 "%s%s\n",
                text(b, KYMO_PROCESS_KIND, i), text(b, KYMO_PROCESS_COMM, i),
                kymo_batch_u64(b, KYMO_PROCESS_PID, i), kymo_batch_u64(b, KYMO_PROCESS_TID, i),
                kymo_batch_u64(b, KYMO_PROCESS_PPID, i), text(b, KYMO_PROCESS_EXE, i),
                text(b, KYMO_PROCESS_ARGV, i));
        } else if (!strcmp(table, "fd")) {
            say(s->fds, sizeof(s->fds), "%" PRIu64 ":%" PRIu64 " %s\n",
                kymo_batch_u64(b, KYMO_FD_PID, i), kymo_batch_u64(b, KYMO_FD_FD, i),
                text(b, KYMO_FD_TARGET, i));
        } else if (!strcmp(table, "loss")) {
            const uint64_t seen = kymo_batch_u64(b, KYMO_LOSS_SEEN, i);
            const uint64_t stored = kymo_batch_u64(b, KYMO_LOSS_STORED, i);
            const uint64_t filtered = kymo_batch_u64(b, KYMO_LOSS_FILTERED, i);
            assert_int_equal(seen, stored + filtered);
            s->loss_seen += seen;
            s->loss_stored += stored;
            s->loss_filtered += filtered;
        } else if (!strcmp(table, "context")) {
            s->is_told |= !strcmp(text(b, KYMO_CONTEXT_KEY, i), "replay");
        }
}

static void see(struct seen *s, int f)
{
    char path[64];
    kymo_reader *r;
    const struct kymo_batch *b;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", f);
    memset(s, 0, sizeof(*s));
    assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
    for (;;) {
        assert_int_equal(kymo_reader_next(r, &b, NULL), KYMO_OK);
        if (!b)
            break;
        see_batch(s, b);
    }
    s->is_complete = kymo_reader_complete(r);
    kymo_reader_close(r);
}

/* Processes 100 (threads 100, 101) and 102 (102): actors 1, 2 and 3. */
static struct kymo_image *plan(void)
{
    struct proofgen g;
    proofgen_init(&g, 3, 3);
    for (uint32_t i = 0; i < 3; i++)
        (void)proofgen_call(&g, i, "getpid", i, 1, 1);
    proofgen_finish(&g);
    struct kymo_image *h = proofgen_plan(&g.t, 0);
    proofgen_release(&g);
    return h;
}

static kymo_status clean(int in, int out, struct kymo_err *err)
{
    char path[64];
    struct kymo_image *h = plan();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
    const kymo_status s = kymo_recording_clean(path, h, out, err);
    free(h);
    return s;
}

/* -------- the tests -------- */

static void what_scripts_did_stays_under_recorded_names(void **state)
{
    (void)state;
    const uint64_t word = KYMO_CONTROL_BASE + 4096, theirs = KYMO_WORDS_BASE + 8;
    const struct who init = {7000, 7000, "kymo-replay", 0}, a = {7001, 7001, "redis", 0};
    const struct who b = {7001, 7002, "bio", 0}, c = {7003, 7003, "redis", 0};
    const struct who raw = {7003, 7003, "stage", 1}, sh = {7003, 7003, "sh", 1};
    struct tape t;
    struct seen s;
    tape_open(&t);
    process(&t, &init, "snapshot", 1);
    process(&t, &a, "snapshot", 7000);
    process(&t, &b, "snapshot", 7000);
    fd(&t, 7000, 3);
    fd(&t, 7001, 5);
    call(&t, &init, "wait4", 0, 1, 0, 0, 0, 0);
    call(&t, &a, "futex", 0, 0, word, 0, 0, 0); /* until all begin */
    tag(&t, &a, KYMO_TAG_BEGIN, 1, 0);
    call(&t, &b, "mmap", 0, 0, 0, 0, 0, 0); /* not yet */
    tag(&t, &b, KYMO_TAG_BEGIN, 2, 0);
    call(&t, &a, "clock_nanosleep", 0, 0, 1, 1, word, 0);
    call(&t, &a, "read", 0, 5, 0, KYMO_SINK_BASE, 5, 0);
    call(&t, &b, "futex", 0, 0, theirs, 0, 0, 0); /* of the script */
    call(&t, &b, "futex", 0, 0, word, 1, 0, 0);
    call(&t, &b, "lseek", 0, 1, 3, word, 0, 0); /* a number like any other */
    call(&t, &a, "vfork", 0, 7003, 0, 0, 0, 0);
    process(&t, &c, "fork", 7001);
    call(&t, &c, "vfork", KYMO_CALL_CHILD, 0, 0, 0, 0, 0);
    call(&t, &c, "prctl", 0, 0, 15, 0, 0, 0);
    tag(&t, &c, KYMO_TAG_BEGIN, 3, 0);
    call(&t, &c, "dup2", 0, 1, 4, 1, 0, 0);
    process(&t, &raw, "exec", 7001);
    call(&t, &raw, "execve", KYMO_CALL_EXECED, 0, 0, 0, 0, 0);
    call(&t, &raw, "mmap", 0, 0, 0, 0, 0, 0);
    call(&t, &sh, "prctl", 0, 0, 15, 0, 0, 0);
    tag(&t, &sh, KYMO_TAG_BEGIN, 3, 2);
    call(&t, &sh, "write", 0, 2, 1, KYMO_PATTERN_BASE, 2, 0);
    call(&t, &sh, "exit_group", KYMO_CALL_AT_ENTRY, 0, 0, 0, 0, 0);
    process(&t, &sh, "exit", 7001);
    tag(&t, &b, KYMO_TAG_END, 2, 9);
    call(&t, &b, "exit", KYMO_CALL_AT_ENTRY, 0, 0, 0, 0, 0);
    call(&t, &a, "epoll_wait", KYMO_CALL_UNFINISHED, 0, 3, 0, 0, 0);
    const uint64_t stored = t.stored;
    const int in = tape_write(&t), out = memory_file();
    assert_int_equal(clean(in, out, NULL), KYMO_OK);
    see(&s, out);
    assert_string_equal(s.calls, "redis[100/100] read\n"
                                 "bio[100/101] futex\n"
                                 "bio[100/101] lseek\n"
                                 "redis[100/100] vfork\n"
                                 "redis[102/102] vfork\n"
                                 "redis[102/102] dup2\n"
                                 "sh[102/102] execve\n"
                                 "sh[102/102] write\n"
                                 "sh[102/102] exit_group\n"
                                 "redis[100/100] epoll_wait\n");
    assert_string_equal(s.processes, "snapshot redis[100/100] of 0\n"
                                     "snapshot bio[100/101] of 0\n"
                                     "fork redis[102/102] of 100\n"
                                     "exec sh[102/102] of 100\n"
                                     "exit sh[102/102] of 100\n");
    assert_string_equal(s.fds, "100:5 /data\n");
    assert_true(s.is_complete);
    assert_true(s.is_told);
    assert_int_equal(s.loss_seen, stored + 3 + 21);
    assert_int_equal(s.loss_stored, 10 + 3);
    close(in);
    close(out);
}

static void a_recording_without_tags_is_none_of_a_replay(void **state)
{
    (void)state;
    const struct who a = {7001, 7001, "redis", 0};
    struct tape t;
    struct kymo_err err = {0};
    tape_open(&t);
    call(&t, &a, "read", 0, 5, 0, 0, 5, 0);
    const int in = tape_write(&t), out = memory_file();
    assert_int_equal(clean(in, out, &err), KYMO_EUSAGE);
    assert_non_null(strstr(err.text, "no replay in this recording"));
    close(in);
    close(out);
}

static void an_actor_that_the_plan_has_not_is_refused(void **state)
{
    (void)state;
    const struct who a = {7001, 7001, "redis", 0};
    const uint64_t bad[] = {0, 4, UINT64_MAX, 1ull << 32 | 1};
    for (size_t i = 0; i < 4; i++) {
        struct tape t;
        tape_open(&t);
        tag(&t, &a, KYMO_TAG_BEGIN, bad[i], 0);
        const int in = tape_write(&t), out = memory_file();
        assert_int_equal(clean(in, out, NULL), KYMO_ECORRUPT);
        close(in);
        close(out);
    }
}

static void what_ends_in_mid_chunk_is_torn(void **state)
{
    (void)state;
    const struct who a = {7001, 7001, "redis", 0};
    struct tape t;
    tape_open(&t);
    tag(&t, &a, KYMO_TAG_BEGIN, 1, 0);
    const int in = tape_write(&t), out = memory_file();
    assert_int_equal(ftruncate(in, lseek(in, 0, SEEK_END) - 60), 0);
    assert_int_equal(clean(in, out, NULL), KYMO_ETORN);
    close(in);
    close(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_scripts_did_stays_under_recorded_names),
        cmocka_unit_test(a_recording_without_tags_is_none_of_a_replay),
        cmocka_unit_test(an_actor_that_the_plan_has_not_is_refused),
        cmocka_unit_test(what_ends_in_mid_chunk_is_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
