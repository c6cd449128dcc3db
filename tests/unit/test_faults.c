/* SPDX-License-Identifier: Apache-2.0
 * test_faults.c: the k-th allocation fails, or the k-th call to the disk, for every k: nothing crashes,
 * nothing leaks (the asan flavour looks), what comes back as good is right, and what was sealed before
 * stays readable. The linker wraps the calls (see the Makefile).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/file.h"
#include "format/file/merge.h"
#include "format/file/salvage.h"
#include "format/file/slice.h"
#include "format/trace/copy.h"
#include "format/trace/filter.h"
#include "format/trace/reader.h"
#include "tests/unit/sweep.h"
#include "tests/unit/tracegen.h"

/* -------- the wrapped calls -------- */

static struct {
    int on;
    unsigned long calls, fail_at; /* 0: count only */
} memory;

static int memory_fails(void)
{
    if (!memory.on || ++memory.calls != memory.fail_at)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t n)
{
    return memory_fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t each)
{
    return memory_fails() ? NULL : __real_calloc(n, each);
}

void *__wrap_realloc(void *p, size_t n)
{
    return memory_fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return memory_fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return memory_fails() ? NULL : __real_strndup(s, n);
}

enum disk_fault { DISK_FULL, DISK_BROKEN, DISK_SHORT, DISK_INTERRUPTED, DISK_FAULTS };

static struct {
    int on;
    unsigned long calls, fail_at;
    enum disk_fault with;
} disk;

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

static int disk_fails(void)
{
    return disk.on && ++disk.calls == disk.fail_at;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (!disk_fails())
        return __real_write(fd, p, n);
    switch (disk.with) {
    case DISK_FULL: /* takes what still fits, then nothing */
        if (n > 10)
            (void)!__real_write(fd, p, n / 2);
        errno = ENOSPC;
        return -1;
    case DISK_BROKEN:
        errno = EIO;
        return -1;
    case DISK_SHORT:
        return __real_write(fd, p, n > 3 ? n / 3 : n);
    default:
        errno = EINTR;
        return -1;
    }
}

int __wrap_fsync(int fd)
{
    if (!disk_fails() || disk.with >= DISK_SHORT)
        return __real_fsync(fd);
    errno = disk.with == DISK_FULL ? ENOSPC : EIO;
    return -1;
}

int __wrap_rename(const char *from, const char *to)
{
    if (!disk_fails() || disk.with >= DISK_SHORT)
        return __real_rename(from, to);
    errno = disk.with == DISK_FULL ? ENOSPC : EIO;
    return -1;
}

/* -------- captures -------- */

#define CHUNKS 4u
#define ROWS 60u
#define LINE_MAX_BYTES 64

static char folder[64], capture[96], second[96], output[96];

static void fill(struct tracegen *g, struct kymo_rows *r)
{
    tracegen_begin(r);
    for (uint32_t i = 0; i < ROWS; i++)
        tracegen_row(g, r);
}

static kymo_status put_loss(struct kymo_writer *w, uint64_t ts, uint64_t stored)
{
    struct kymo_rows *r;
    KYMO_TRY(kymo_rows_open(&r, &KYMO_TABLE_LOSS, 4, NULL));
    const uint32_t row = kymo_rows_add(r);
    const uint32_t source = kymo_rows_intern(r, "syscall", 7);
    kymo_rows_set(r, KYMO_LOSS_TS, row, ts);
    kymo_rows_set(r, KYMO_LOSS_SOURCE, row, source);
    kymo_rows_set(r, KYMO_LOSS_SEEN, row, stored);
    kymo_rows_set(r, KYMO_LOSS_STORED, row, stored);
    const struct kymo_batch b = kymo_rows_view(r);
    const kymo_status s = source ? kymo_writer_put(w, &b, KYMO_CHUNK_SEAL, NULL) : KYMO_ELIMIT;
    kymo_rows_close(r);
    return s;
}

/* A table of each small kind, so that their code is met too. */
static kymo_status put_book(struct kymo_writer *w, const struct kymo_schema *schema,
                            uint64_t ts)
{
    static const char *const text[] = {"begin", "storm", "hostname"};
    struct kymo_rows *r;
    KYMO_TRY(kymo_rows_open(&r, schema, 4, NULL));
    const uint32_t row = kymo_rows_add(r);
    kymo_status s = KYMO_OK;
    for (uint32_t c = 0; c < schema->n_columns; c++) {
        uint64_t lane = c ? 4001 + c : ts;
        if (schema->column[c].type == KYMO_T_STR) {
            const char *t =
                !strcmp(schema->column[c].name, "kind") && !strcmp(schema->table, "process")
                    ? "exec"
                    : text[c % 3];
            lane = kymo_rows_intern(r, t, strlen(t));
            s = lane ? s : KYMO_ELIMIT;
        }
        kymo_rows_set(r, c, row, lane);
    }
    const struct kymo_batch b = kymo_rows_view(r);
    if (!s)
        s = kymo_writer_put(w, &b, 0, NULL);
    kymo_rows_close(r);
    return s;
}

static kymo_status put_all(struct kymo_writer *w, struct kymo_rows *rows, unsigned *sealed)
{
    static const struct kymo_schema *const books[] = {
        &KYMO_TABLE_PROCESS, &KYMO_TABLE_MARK,    &KYMO_TABLE_CLOCK, &KYMO_TABLE_CONTEXT,
        &KYMO_TABLE_CGROUP,  &KYMO_TABLE_SYSNAME, &KYMO_TABLE_COST};
    struct tracegen g;
    tracegen_init(&g, 9);
    for (unsigned i = 0; i < CHUNKS; i++) {
        fill(&g, rows);
        const struct kymo_batch b = kymo_rows_view(rows);
        KYMO_TRY(kymo_writer_put(w, &b, 0, NULL));
        for (size_t k = 0; !i && k < sizeof(books) / sizeof(books[0]); k++)
            KYMO_TRY(put_book(w, books[k], g.ts_ns));
        KYMO_TRY(put_loss(w, g.ts_ns + 1, ROWS));
        if (sealed)
            *sealed = i + 1;
    }
    return kymo_writer_finish(w, NULL);
}

static kymo_status write_to(int fd, struct kymo_rows *rows, unsigned *sealed)
{
    struct kymo_writer *w;
    KYMO_TRY(kymo_writer_open(&w, fd, "capture", 1, NULL));
    const kymo_status s = put_all(w, rows, sealed);
    kymo_writer_close(w);
    return s;
}

static int make_captures(void **state)
{
    (void)state;
    struct kymo_rows *rows;
    char *const path[] = {capture, second};
    strcpy(folder, access("/dev/shm", W_OK) ? "/tmp/kymo-faults-XXXXXX"
                                            : "/dev/shm/kymo-faults-XXXXXX");
    if (!mkdtemp(folder) || kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, ROWS, NULL))
        return -1;
    snprintf(capture, sizeof(capture), "%s/a.kymo", folder);
    snprintf(second, sizeof(second), "%s/b.kymo", folder);
    snprintf(output, sizeof(output), "%s/out.kymo", folder);
    for (int i = 0; i < 2; i++) {
        const int fd = open(path[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || write_to(fd, rows, NULL))
            return -1;
        close(fd);
    }
    kymo_rows_close(rows);
    return 0;
}

static int drop_captures(void **state)
{
    (void)state;
    unlink(capture);
    unlink(second);
    unlink(output);
    rmdir(folder);
    return 0;
}

/* Everything in a capture that can be read: rows counted, and one hash over all cells. */
struct content {
    kymo_status status;
    uint64_t rows, syscalls, hash;
};

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_cells(const struct kymo_batch *b, uint64_t h)
{
    for (uint32_t i = 0; i < b->n_rows; i++)
        for (uint32_t c = 0; c < b->schema->n_columns; c++) {
            uint32_t n = 0;
            const int present = kymo_batch_present(b, c, i);
            h = mix(h, &present, sizeof(present));
            if (present && b->schema->column[c].type == KYMO_T_STR) {
                const char *s = kymo_batch_str(b, c, i, &n);
                h = mix(h, s, n);
            } else if (present) {
                const uint64_t lane = kymo_batch_lane(b, c, i);
                h = mix(h, &lane, sizeof(lane));
            }
        }
    return h;
}

static struct content read_capture(const char *path)
{
    struct content c = {.hash = 0xcbf29ce484222325u};
    kymo_reader *r;
    const struct kymo_batch *b;
    c.status = kymo_reader_open(&r, path, 0, NULL);
    if (c.status)
        return c;
    while (!(c.status = kymo_reader_next(r, &b, NULL)) && b) {
        c.rows += b->n_rows;
        c.syscalls += strcmp(b->schema->table, "syscall") ? 0 : b->n_rows;
        c.hash = hash_cells(b, c.hash);
    }
    kymo_reader_close(r);
    return c;
}

/* -------- what is tried -------- */

static kymo_status try_write(void)
{
    struct kymo_rows *rows;
    const int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    kymo_status s = kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, ROWS, NULL);
    if (!s) {
        s = write_to(fd, rows, NULL);
        kymo_rows_close(rows);
    }
    close(fd);
    return s;
}

static struct content read_content;

static kymo_status try_read(void)
{
    read_content = read_capture(capture);
    return read_content.status;
}

static unsigned matched;

static kymo_status filter_rows(struct kymo_filter *f, kymo_reader *r)
{
    const struct kymo_batch *b;
    for (;;) {
        KYMO_TRY(kymo_reader_next(r, &b, NULL));
        if (!b)
            return KYMO_OK;
        if (strcmp(b->schema->table, "syscall") != 0)
            continue;
        KYMO_TRY(kymo_filter_bind(f, b->schema, NULL, 0, NULL));
        KYMO_TRY(kymo_filter_begin(f, b, NULL));
        for (uint32_t i = 0; i < b->n_rows; i++)
            matched += kymo_filter_match(f, i) != 0;
    }
}

static kymo_status try_filter(void)
{
    struct kymo_filter *f;
    kymo_reader *r;
    matched = 0;
    KYMO_TRY(kymo_filter_open(
        &f, "comm ~ \"redis*\" && (dur > 300ns || path ~ \"*file*\") || errno", NULL));
    kymo_status s = kymo_reader_open(&r, capture, 0, NULL);
    if (!s) {
        s = filter_rows(f, r);
        kymo_reader_close(r);
    }
    kymo_filter_close(f);
    return s;
}

static kymo_status slice_to(int fd)
{
    const struct kymo_slice_opts o = {
        .since_ns = 20000, .until_ns = 450000, .filter = "tid != 4003", .archive = 1};
    struct kymo_slice_result result;
    struct kymo_writer *w;
    KYMO_TRY(kymo_writer_open(&w, fd, "slice", 1, NULL));
    const kymo_status s = kymo_slice(capture, &o, w, &result, NULL);
    kymo_writer_close(w);
    return s;
}

static kymo_status merge_to(int fd)
{
    const struct kymo_merge_opts o = {0};
    const char *const path[] = {capture, second};
    struct kymo_merge_result result;
    struct kymo_writer *w;
    const char *at;
    KYMO_TRY(kymo_writer_open(&w, fd, "merge", 1, NULL));
    const kymo_status s = kymo_merge(path, 2, &o, w, &result, &at, NULL);
    kymo_writer_close(w);
    return s;
}

static struct kymo_salvage_result salvaged;

static kymo_status salvage_to(int fd)
{
    const struct kymo_salvage_opts o = {0};
    struct kymo_writer *w;
    const int in = open(capture, O_RDONLY);
    kymo_status s = kymo_writer_open(&w, fd, "salvage", 1, NULL);
    if (!s) {
        memset(&salvaged, 0, sizeof(salvaged));
        s = kymo_salvage(in, &o, w, &salvaged, NULL);
        kymo_writer_close(w);
    }
    close(in);
    return s;
}

/* As the tools do it: beside the output, then in its place. */
static kymo_status into_output(kymo_status (*make)(int fd))
{
    struct kymo_out out;
    KYMO_TRY(kymo_out_open(&out, output, 1, NULL));
    const kymo_status s = make(out.fd);
    if (!s)
        return kymo_out_commit(&out, NULL);
    kymo_out_abort(&out);
    return s;
}

static kymo_status try_slice(void)
{
    return into_output(slice_to);
}

static kymo_status try_merge(void)
{
    return into_output(merge_to);
}

static kymo_status try_salvage(void)
{
    return into_output(salvage_to);
}

/* -------- memory -------- */

static unsigned long count_allocations(kymo_status (*try)(void))
{
    memory.on = 1;
    memory.calls = memory.fail_at = 0;
    assert_int_equal(try(), KYMO_OK);
    memory.on = 0;
    return memory.calls;
}

static void without_memory(kymo_status (*try)(void), int has_output)
{
    const unsigned long n = count_allocations(try);
    const struct content want = has_output ? read_capture(output) : read_content;
    const unsigned want_matched = matched;
    unsigned long failed = 0;
    assert_true(n > 5);
    for (unsigned long k = 1; k <= n; k++) {
        if (n > 30 && !sweep_takes(k))
            continue;
        memory.calls = 0;
        memory.fail_at = k;
        memory.on = 1;
        const kymo_status s = try();
        memory.on = 0;
        failed += s != KYMO_OK;
        /* a tool may do without, as a hash that stays small: then all is as ever */
        assert_true(s == KYMO_OK || s == KYMO_ELIMIT);
        /* a chunk that there was no memory for is lost to a salvage, which says so */
        if (s || (try == try_salvage && salvaged.ranges))
            continue;
        const struct content got = has_output ? read_capture(output) : read_content;
        assert_int_equal(got.rows, want.rows);
        assert_true(got.hash == want.hash);
        assert_int_equal(matched, want_matched);
    }
    assert_true(failed > 0);
}

static void a_writer_without_memory_says_so(void **state)
{
    (void)state;
    without_memory(try_write, 1);
}

static void a_reader_without_memory_says_so_or_is_right(void **state)
{
    (void)state;
    without_memory(try_read, 0);
}

static void a_filter_without_memory_says_so_or_is_right(void **state)
{
    (void)state;
    without_memory(try_filter, 0);
}

static void a_slice_without_memory_says_so_or_is_right(void **state)
{
    (void)state;
    without_memory(try_slice, 1);
}

static void a_merge_without_memory_says_so_or_is_right(void **state)
{
    (void)state;
    without_memory(try_merge, 1);
}

static void a_salvage_without_memory_says_so_or_is_right(void **state)
{
    (void)state;
    without_memory(try_salvage, 1);
}

/* -------- disk -------- */

static unsigned long count_disk_calls(kymo_status (*try)(void))
{
    disk.on = 1;
    disk.calls = disk.fail_at = 0;
    assert_int_equal(try(), KYMO_OK);
    disk.on = 0;
    return disk.calls;
}

/* An output that failed leaves the old one; one that did not is right; nothing lies about. */
static void on_a_bad_disk(kymo_status (*try)(void))
{
    const unsigned long n = count_disk_calls(try);
    const struct content want = read_capture(output);
    char junk[128];
    for (int with = 0; with < DISK_FAULTS; with++)
        for (unsigned long k = 1; k <= n; k++) {
            if (n > 30 && !sweep_takes(k * DISK_FAULTS + (unsigned)with))
                continue;
            disk.calls = 0;
            disk.fail_at = k;
            disk.with = (enum disk_fault)with;
            disk.on = 1;
            const kymo_status s = try();
            disk.on = 0;
            /* the last call syncs the folder, which is best effort */
            assert_true(s == (with < DISK_SHORT && k < n ? KYMO_EOUTPUT : KYMO_OK));
            const struct content got = read_capture(output);
            assert_int_equal(got.status, KYMO_OK);
            assert_true(got.hash == want.hash && got.rows == want.rows);
        }
    snprintf(junk, sizeof(junk), "ls %s | grep -q tmp", folder);
    assert_true(system(junk) != 0);
}

static void a_slice_on_a_bad_disk_leaves_the_old_file_or_a_right_one(void **state)
{
    (void)state;
    on_a_bad_disk(try_slice);
}

static void a_merge_on_a_bad_disk_leaves_the_old_file_or_a_right_one(void **state)
{
    (void)state;
    on_a_bad_disk(try_merge);
}

static void a_salvage_on_a_bad_disk_leaves_the_old_file_or_a_right_one(void **state)
{
    (void)state;
    on_a_bad_disk(try_salvage);
}

/* A recorder writes in place: what it had sealed when the disk failed is there. */
static void what_was_sealed_before_a_write_failed_stays_readable(void **state)
{
    (void)state;
    struct kymo_rows *rows;
    assert_int_equal(kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, ROWS, NULL), KYMO_OK);
    for (int with = 0; with < DISK_FAULTS; with++)
        for (unsigned long k = 1;; k++) {
            unsigned sealed = 0;
            const int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
            disk.calls = 0;
            disk.fail_at = k;
            disk.with = (enum disk_fault)with;
            disk.on = 1;
            const kymo_status s = write_to(fd, rows, &sealed);
            disk.on = 0;
            close(fd);
            const struct content got = read_capture(output);
            assert_true(got.syscalls >= sealed * ROWS);
            assert_true(s == KYMO_OK || (s == KYMO_EOUTPUT && with < DISK_SHORT));
            if (s == KYMO_OK)
                assert_int_equal(got.status, KYMO_OK);
            if (disk.calls < k)
                break;
        }
    kymo_rows_close(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_writer_without_memory_says_so),
        cmocka_unit_test(a_reader_without_memory_says_so_or_is_right),
        cmocka_unit_test(a_filter_without_memory_says_so_or_is_right),
        cmocka_unit_test(a_slice_without_memory_says_so_or_is_right),
        cmocka_unit_test(a_merge_without_memory_says_so_or_is_right),
        cmocka_unit_test(a_salvage_without_memory_says_so_or_is_right),
        cmocka_unit_test(a_slice_on_a_bad_disk_leaves_the_old_file_or_a_right_one),
        cmocka_unit_test(a_merge_on_a_bad_disk_leaves_the_old_file_or_a_right_one),
        cmocka_unit_test(a_salvage_on_a_bad_disk_leaves_the_old_file_or_a_right_one),
        cmocka_unit_test(what_was_sealed_before_a_write_failed_stays_readable),
    };
    return cmocka_run_group_tests_name("faults", tests, make_captures, drop_captures);
}
