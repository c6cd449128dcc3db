/* SPDX-License-Identifier: Apache-2.0
 * test_fdtable.c: what a call was about, after open, dup, close, fork, exec and the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/model/fdtable.h"
#include "format/trace/sysname.h"

#define CWD ((uint64_t)-100)
#define CLOEXEC 02000000u

struct world {
    struct kymo_rows *calls, *births, *fds;
    struct kymo_names *names;
    struct kymo_fdtable *table;
    uint64_t ts;
};

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    *state = w;
    w->ts = 1000;
    return kymo_rows_open(&w->calls, &KYMO_TABLE_SYSCALL, 4096, NULL) ||
           kymo_rows_open(&w->births, &KYMO_TABLE_PROCESS, 4096, NULL) ||
           kymo_rows_open(&w->fds, &KYMO_TABLE_FD, 4096, NULL) ||
           kymo_names_open(&w->names, NULL) ||
           kymo_fdtable_open(&w->table, (size_t)1 << 20, NULL);
}

static int drop_world(void **state)
{
    struct world *w = *state;
    kymo_rows_close(w->calls);
    kymo_rows_close(w->births);
    kymo_rows_close(w->fds);
    kymo_names_close(w->names);
    kymo_fdtable_close(w->table);
    free(w);
    return 0;
}

/* One call, in a chunk of its own: what it was about. path and addr may be NULL. */
static const char *say(struct world *w, uint64_t pid, const char *name, int64_t ret,
                       const char *path, uint64_t a0, uint64_t a1, uint64_t a2)
{
    static char text[9000];
    struct kymo_rows *r = w->calls;
    struct kymo_fd_about about;
    const int is_addr = path && strchr(path, ':') != NULL;
    kymo_rows_clear(r);
    const uint32_t task = kymo_rows_add_task(r);
    const uint16_t key = kymo_rows_add_key(r);
    r->lane[KYMO_SYSCALL_PID][task] = r->lane[KYMO_SYSCALL_TID][task] = pid;
    r->lane[KYMO_SYSCALL_COMM][task] = 0;
    r->lane[KYMO_SYSCALL_START][task] = pid * 10;
    r->lane[KYMO_SYSCALL_CGROUP][task] = r->lane[KYMO_SYSCALL_EXECSEQ][task] = 0;
    r->lane[KYMO_SYSCALL_ARCH][key] = KYMO_ARCH_X86_64;
    r->lane[KYMO_SYSCALL_NR][key] = (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, name);
    const uint32_t row = kymo_rows_add(r);
    r->task[row] = task;
    r->key[row] = key;
    kymo_rows_set(r, KYMO_SYSCALL_TS, row, w->ts += 10);
    kymo_rows_set(r, KYMO_SYSCALL_RET, row, (uint64_t)ret);
    kymo_rows_set(r, KYMO_SYSCALL_ARG0, row, a0);
    kymo_rows_set(r, KYMO_SYSCALL_ARG1, row, a1);
    kymo_rows_set(r, KYMO_SYSCALL_ARG2, row, a2);
    kymo_rows_set(r, KYMO_SYSCALL_ARG3, row, 0);
    if (path)
        kymo_rows_set_str(r, is_addr ? KYMO_SYSCALL_ADDR : KYMO_SYSCALL_PATH, row, path,
                          strlen(path));
    const struct kymo_batch b = kymo_rows_view(r);
    kymo_fdtable_begin(w->table, &b, w->names);
    kymo_fdtable_row(w->table, row, &about, NULL);
    if (!about.is_about)
        return "-";
    memcpy(text, about.text, about.n);
    text[about.n] = '\0';
    return text;
}

static void birth(struct world *w, const char *kind, uint64_t pid, uint64_t ppid)
{
    struct kymo_rows *r = w->births;
    kymo_rows_clear(r);
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_PROCESS_TS, row, w->ts + 5);
    kymo_rows_set_str(r, KYMO_PROCESS_KIND, row, kind, 4);
    kymo_rows_set(r, KYMO_PROCESS_PID, row, pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, row, pid);
    kymo_rows_set(r, KYMO_PROCESS_PPID, row, ppid);
    kymo_rows_set(r, KYMO_PROCESS_START, row, pid * 10);
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_fdtable_learn(w->table, &b, NULL), KYMO_OK);
}

/* A row of a snapshot at a time; the sockets' addresses may be NULL. */
static void snapshot(struct world *w, uint64_t ts, uint64_t pid, uint64_t fd,
                     const char *target, const char *local, const char *peer)
{
    struct kymo_rows *r = w->fds;
    kymo_rows_clear(r);
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_FD_TS, row, ts);
    kymo_rows_set(r, KYMO_FD_PID, row, pid);
    kymo_rows_set(r, KYMO_FD_START, row, pid * 10);
    kymo_rows_set(r, KYMO_FD_FD, row, fd);
    kymo_rows_set_str(r, KYMO_FD_TARGET, row, target, strlen(target));
    if (local)
        kymo_rows_set_str(r, KYMO_FD_LOCAL, row, local, strlen(local));
    if (peer)
        kymo_rows_set_str(r, KYMO_FD_PEER, row, peer, strlen(peer));
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_fdtable_learn(w->table, &b, NULL), KYMO_OK);
}

/* An exit, of the last thread or of the first. */
static void leaves(struct world *w, uint64_t pid, uint64_t tid, int is_last)
{
    struct kymo_rows *r = w->births;
    kymo_rows_clear(r);
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_PROCESS_TS, row, w->ts + 5);
    kymo_rows_set_str(r, KYMO_PROCESS_KIND, row, "exit", 4);
    kymo_rows_set(r, KYMO_PROCESS_PID, row, pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, row, tid);
    kymo_rows_set(r, KYMO_PROCESS_START, row, pid * 10);
    if (is_last)
        kymo_rows_set(r, KYMO_PROCESS_LIFETIME, row, 1);
    const struct kymo_batch b = kymo_rows_view(r);
    assert_int_equal(kymo_fdtable_learn(w->table, &b, NULL), KYMO_OK);
}

static const char *opens(struct world *w, uint64_t pid, int64_t fd, const char *path,
                         uint64_t flags)
{
    return say(w, pid, "openat", fd, path, CWD, 0, flags);
}

static const char *reads(struct world *w, uint64_t pid, uint64_t fd)
{
    return say(w, pid, "read", 1, NULL, fd, 0, 1);
}

#define IS(what, text) assert_string_equal(what, text)

static void a_descriptor_is_what_was_opened_until_it_is_closed(void **state)
{
    struct world *w = *state;
    IS(reads(w, 1, 3), "?");
    IS(opens(w, 1, 3, "/etc/hosts", 0), "/etc/hosts");
    IS(reads(w, 1, 3), "/etc/hosts");
    IS(reads(w, 2, 3), "?"); /* another process */
    IS(opens(w, 1, -2, "/nonexistent", 0), "/nonexistent");
    IS(say(w, 1, "close", 0, NULL, 3, 0, 0), "/etc/hosts");
    IS(reads(w, 1, 3), "?");
    IS(say(w, 1, "read", -9, NULL, 77, 0, 1), "-"); /* EBADF: about nothing */
    IS(say(w, 1, "getpid", 1, NULL, 0, 0, 0), "-");
    IS(say(w, 1, "read", 1, NULL, UINT32_MAX, 0, 1), "-");
}

static void copies_share_what_they_are_copies_of(void **state)
{
    struct world *w = *state;
    opens(w, 1, 3, "/a", 0);
    opens(w, 1, 4, "/b", 0);
    say(w, 1, "dup", 5, NULL, 3, 0, 0);
    say(w, 1, "dup2", 9, NULL, 4, 9, 0);
    say(w, 1, "dup2", 3, NULL, 4, 3, 0);
    say(w, 1, "dup2", 4, NULL, 4, 4, 0);
    say(w, 1, "fcntl", 20, NULL, 9, 1030, 20);
    IS(reads(w, 1, 5), "/a");
    IS(reads(w, 1, 9), "/b");
    IS(reads(w, 1, 3), "/b");
    IS(reads(w, 1, 4), "/b");
    IS(reads(w, 1, 20), "/b");
    say(w, 1, "close_range", 0, NULL, 4, 10, 0);
    IS(reads(w, 1, 3), "/b");
    IS(reads(w, 1, 4), "?");
    IS(reads(w, 1, 9), "?");
    IS(reads(w, 1, 20), "/b");
}

static void paths_are_joined_where_their_directory_is_known(void **state)
{
    struct world *w = *state;
    IS(opens(w, 1, 3, "rel", 0), "rel");
    IS(reads(w, 1, 3), "rel");
    IS(say(w, 1, "chdir", 0, "/usr/./share//doc/", 0, 0, 0), "/usr/share/doc");
    IS(opens(w, 1, 4, "../man/man1", 0), "/usr/share/man/man1");
    IS(opens(w, 1, 5, "../../../../..", 0), "/");
    IS(say(w, 1, "openat", 6, "x", 4, 0, 0), "/usr/share/man/man1/x");
    IS(say(w, 1, "openat", 7, "etc", 5, 0, 0), "/etc");
    IS(say(w, 1, "fchdir", 0, NULL, 7, 0, 0), "/etc");
    IS(opens(w, 1, 8, "./passwd", 0), "/etc/passwd");
    IS(say(w, 1, "newfstatat", 0, "passwd", CWD, 0, 0), "/etc/passwd");
    IS(say(w, 1, "newfstatat", 0, "", 8, 0, 0), "/etc/passwd"); /* of the descriptor itself */
    IS(say(w, 1, "openat", 9, "y", 40, 0, 0), "y");
    IS(say(w, 1, "chdir", 0, "..", 0, 0, 0), "/");
    IS(opens(w, 1, 10, ".", 0), "/");
}

static void children_have_what_their_parents_had(void **state)
{
    struct world *w = *state;
    opens(w, 1, 3, "/kept", 0);
    opens(w, 1, 4, "/closed", CLOEXEC);
    say(w, 1, "chdir", 0, "/home", 0, 0, 0);
    birth(w, "fork", 2, 1);
    w->ts += 10;
    opens(w, 1, 5, "/later", 0);
    IS(reads(w, 2, 3), "/kept");
    IS(reads(w, 2, 4), "/closed");
    IS(reads(w, 2, 5), "?");
    IS(opens(w, 2, 6, "x", 0), "/home/x");
    say(w, 2, "close", 0, NULL, 3, 0, 0);
    IS(reads(w, 1, 3), "/kept");
    birth(w, "exec", 2, 1);
    w->ts += 10;
    IS(reads(w, 2, 4), "?");
    IS(reads(w, 1, 4), "/closed");
    birth(w, "exit", 2, 1);
    w->ts += 10;
    IS(reads(w, 2, 6), "?");
}

static void without_births_the_parents_return_has_to_do(void **state)
{
    struct world *w = *state;
    opens(w, 1, 3, "/a", 0);
    say(w, 1, "fork", 2, NULL, 0, 0, 0);
    IS(reads(w, 2, 3), "/a");
    say(w, 1, "clone", 3, NULL, 0x400, 0, 0); /* CLONE_FILES */
    opens(w, 3, 4, "/b", 0);
    IS(reads(w, 1, 4), "/b");
    say(w, 3, "unshare", 0, NULL, 0x400, 0, 0);
    say(w, 3, "close", 0, NULL, 4, 0, 0);
    IS(reads(w, 1, 4), "/b");
    IS(reads(w, 3, 4), "?");
}

static void a_pid_that_comes_again_begins_anew(void **state)
{
    struct world *w = *state;
    opens(w, 1, 3, "/a", 0);
    birth(w, "exit", 1, 0);
    w->ts += 10;
    IS(reads(w, 1, 3), "?");
}

static void sockets_are_their_addresses(void **state)
{
    struct world *w = *state;
    IS(say(w, 1, "socket", 3, NULL, 2, 1, 0), "[socket]");
    IS(say(w, 1, "connect", -115, "inet:10.0.0.1:80", 3, 0, 16), "inet:10.0.0.1:80");
    IS(say(w, 1, "sendto", 5, NULL, 3, 0, 5), "inet:10.0.0.1:80");
    say(w, 1, "socket", 4, NULL, 2, 1, 0);
    IS(say(w, 1, "bind", 0, "unix:/run/x", 4, 0, 0), "unix:/run/x");
    IS(say(w, 1, "accept4", 5, "inet:10.0.0.2:4000", 4, 0, 0), "unix:/run/x");
    IS(reads(w, 1, 5), "inet:10.0.0.2:4000");
    say(w, 1, "accept", 6, "unix:", 4, 0, 0); /* a peer without a name: of that socket */
    IS(reads(w, 1, 6), "unix:/run/x");
    IS(say(w, 1, "connect", -111, "inet:10.0.0.3:80", 6, 0, 16), "unix:/run/x");
}

static void what_has_no_path_is_named_in_brackets(void **state)
{
    struct world *w = *state;
    opens(w, 1, 3, "/a", 0);
    say(w, 1, "pipe2", 0, NULL, 0, 0, 0);
    IS(reads(w, 1, 4), "[pipe]");
    IS(reads(w, 1, 5), "[pipe]");
    say(w, 1, "close", 0, NULL, 3, 0, 0);
    say(w, 1, "pipe", 0, NULL, 0, 0, 0);
    IS(reads(w, 1, 3), "[pipe]"); /* the lowest that is free */
    IS(reads(w, 1, 6), "[pipe]");
    IS(say(w, 1, "epoll_create1", 7, NULL, 0, 0, 0), "[epoll]");
    IS(say(w, 1, "eventfd2", 8, NULL, 0, 0, 0), "[eventfd]");
    IS(reads(w, 1, 8), "[eventfd]");
    IS(say(w, 1, "memfd_create", 9, NULL, 0, 0, 0), "[memfd]");
}

static void memory_is_bounded_and_what_is_forgotten_is_counted(void **state)
{
    struct world *w = *state;
    char path[4096];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    for (uint64_t pid = 1; pid <= 1000; pid++) {
        opens(w, pid, 3, path, 0);
        assert_string_equal(reads(w, pid, 3), path);
    }
    assert_true(kymo_fdtable_forgotten(w->table) > 700);
    assert_true(kymo_fdtable_forgotten(w->table) < 1000);
    IS(reads(w, 1, 3), "?");
    for (int64_t fd = 3; fd < 1000; fd++)
        opens(w, 1000, fd, path, 0);
    opens(w, 1000, KYMO_FD_MAX + 1, path, 0);
    IS(reads(w, 1000, KYMO_FD_MAX + 1), "?");
}

static void another_pass_gives_the_same(void **state)
{
    struct world *w = *state;
    for (int pass = 0; pass < 2; pass++) {
        const uint64_t begin = w->ts;
        opens(w, 1, 3, "/a", 0);
        if (!pass)
            birth(w, "fork", 2, 1);
        w->ts += 10;
        IS(reads(w, 2, 3), "/a");
        assert_int_equal(kymo_fdtable_rewind(w->table, NULL), KYMO_OK);
        w->ts = begin;
    }
}

#define SECOND 1000000000ull

static void what_was_open_before_is_told_by_the_first_snapshot(void **state)
{
    struct world *w = *state;
    /* Taken a moment after the calls below. */
    snapshot(w, 500000, 1, 3, "/etc/passwd", NULL, NULL);
    snapshot(w, 500000, 1, 4, "pipe:[77]", NULL, NULL);
    snapshot(w, 500000, 1, 5, "socket:[78]", "inet:10.0.0.1:80", "inet:10.0.0.2:999");
    snapshot(w, 500000, 1, 6, "socket:[79]", "unix:/run/x", "unix:");
    snapshot(w, 500000, 1, 7, "socket:[80]", NULL, NULL);
    snapshot(w, 500000, 1, 8, "anon_inode:[eventpoll]", NULL, NULL);
    snapshot(w, 500000, 1, 9, "/tmp/x (deleted)", NULL, NULL);
    IS(reads(w, 1, 3), "/etc/passwd");
    IS(reads(w, 1, 4), "[pipe]");
    IS(reads(w, 1, 5), "inet:10.0.0.2:999");
    IS(reads(w, 1, 6), "unix:/run/x");
    IS(reads(w, 1, 7), "[socket]");
    IS(reads(w, 1, 8), "[epoll]");
    IS(reads(w, 1, 9), "/tmp/x");
    IS(reads(w, 1, 10), "?");
    IS(reads(w, 2, 3), "?");
    /* From here on the calls tell. */
    say(w, 1, "close", 0, NULL, 3, 0, 0);
    IS(reads(w, 1, 3), "?");
}

static void later_snapshots_tell_what_calls_did_not(void **state)
{
    struct world *w = *state;
    snapshot(w, 500, 1, 3, "/first", NULL, NULL);
    snapshot(w, 10 * SECOND, 1, 3, "/second", NULL, NULL);
    snapshot(w, 10 * SECOND, 1, 4, "/usr/bin/link", NULL, NULL);
    IS(reads(w, 1, 3), "/first");
    opens(w, 1, 4, "/bin/link", 0);
    w->ts = 10 * SECOND + 1;
    IS(reads(w, 1, 3), "/second");   /* it was seen neither closed nor opened */
    IS(reads(w, 1, 4), "/bin/link"); /* in the words of the process */
}

static void children_inherit_what_a_snapshot_told_of_their_parents(void **state)
{
    struct world *w = *state;
    snapshot(w, 500, 1, 3, "/etc/passwd", NULL, NULL);
    birth(w, "fork", 2, 1);
    say(w, 1, "clone", 2, NULL, 0, 0, 0);
    IS(reads(w, 2, 3), "/etc/passwd");
}

static void a_process_outlives_its_first_thread(void **state)
{
    struct world *w = *state;
    opens(w, 1, 3, "/a", 0);
    leaves(w, 1, 1, 0);
    leaves(w, 7, 8, 1); /* so exits are told from ends here */
    IS(reads(w, 1, 3), "/a");
    leaves(w, 1, 2, 1);
    IS(reads(w, 1, 3), "?");
}

static void a_pass_over_snapshots_can_be_repeated(void **state)
{
    struct world *w = *state;
    snapshot(w, 500, 1, 3, "/first", NULL, NULL);
    snapshot(w, 10 * SECOND, 1, 3, "/second", NULL, NULL);
    for (int i = 0; i < 2; i++) {
        w->ts = 1000;
        IS(reads(w, 1, 3), "/first");
        w->ts = 20 * SECOND;
        IS(reads(w, 1, 3), "/second");
        assert_int_equal(kymo_fdtable_rewind(w->table, NULL), KYMO_OK);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, drop_world)
    const struct CMUnitTest tests[] = {
        TEST(a_descriptor_is_what_was_opened_until_it_is_closed),
        TEST(copies_share_what_they_are_copies_of),
        TEST(paths_are_joined_where_their_directory_is_known),
        TEST(children_have_what_their_parents_had),
        TEST(without_births_the_parents_return_has_to_do),
        TEST(a_pid_that_comes_again_begins_anew),
        TEST(sockets_are_their_addresses),
        TEST(what_has_no_path_is_named_in_brackets),
        TEST(memory_is_bounded_and_what_is_forgotten_is_counted),
        TEST(another_pass_gives_the_same),
        TEST(what_was_open_before_is_told_by_the_first_snapshot),
        TEST(later_snapshots_tell_what_calls_did_not),
        TEST(children_inherit_what_a_snapshot_told_of_their_parents),
        TEST(a_process_outlives_its_first_thread),
        TEST(a_pass_over_snapshots_can_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
