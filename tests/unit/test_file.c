/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/file.h"

static char folder[] = "/tmp/kymo-test-file-XXXXXX";
static char path[sizeof(folder) + 8];

static int with_folder(void **state)
{
    (void)state;
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/out", folder);
    return 0;
}

static int without_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if a temporary file was left behind */
}

static void put(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void holds(const char *want)
{
    struct kymo_buf b = {0};
    assert_int_equal(kymo_file_read(&b, path, 1000, NULL), KYMO_OK);
    assert_int_equal(b.n, strlen(want));
    assert_memory_equal(b.p, want, b.n);
    kymo_buf_release(&b);
}

static void a_missing_file_and_a_folder_are_unreadable_input(void **state)
{
    (void)state;
    int fd = 42;
    struct kymo_err err = {0};
    assert_int_equal(kymo_file_open(&fd, path, &err), KYMO_EINPUT);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(kymo_file_open(&fd, folder, &err), KYMO_EINPUT);
    assert_non_null(strstr(err.text, "directory"));
    assert_int_equal(fd, 42);
}

static void a_file_of_just_the_limit_is_read_and_one_byte_more_is_not(void **state)
{
    (void)state;
    put("12345678");
    struct kymo_buf b = {0};
    assert_int_equal(kymo_file_read(&b, path, 7, NULL), KYMO_ELIMIT);
    assert_int_equal(b.n, 0);
    assert_int_equal(kymo_file_read(&b, path, 8, NULL), KYMO_OK);
    assert_int_equal(b.n, 8);
    kymo_buf_release(&b);
}

static void an_output_appears_whole_at_commit_and_not_before(void **state)
{
    (void)state;
    struct kymo_out o;
    assert_int_equal(kymo_out_open(&o, path, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_file_write(o.fd, "new", 3, path, NULL), KYMO_OK);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(kymo_out_commit(&o, NULL), KYMO_OK);
    holds("new");
    kymo_out_abort(&o);
    holds("new");
}

static void an_output_is_readable_as_the_umask_allows(void **state)
{
    (void)state;
    const mode_t was = umask(027);
    struct kymo_out o;
    assert_int_equal(kymo_out_open(&o, path, 0, NULL), KYMO_OK);
    assert_int_equal(kymo_out_commit(&o, NULL), KYMO_OK);
    umask(was);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void an_existing_file_is_kept_without_force(void **state)
{
    (void)state;
    put("old");
    struct kymo_out o;
    struct kymo_err err = {0};
    assert_int_equal(kymo_out_open(&o, path, 0, &err), KYMO_EUSAGE);
    assert_non_null(strstr(err.text, "--force"));
    holds("old");
}

static void abort_leaves_the_old_file_as_it_was(void **state)
{
    (void)state;
    put("old");
    struct kymo_out o;
    assert_int_equal(kymo_out_open(&o, path, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_file_write(o.fd, "half", 4, path, NULL), KYMO_OK);
    kymo_out_abort(&o);
    holds("old");
}

static void force_replaces_the_old_file(void **state)
{
    (void)state;
    put("something old and longer");
    struct kymo_out o;
    assert_int_equal(kymo_out_open(&o, path, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_file_write(o.fd, "new", 3, path, NULL), KYMO_OK);
    assert_int_equal(kymo_out_commit(&o, NULL), KYMO_OK);
    holds("new");
}

/* Where the system has files without a name; elsewhere the temporary name is all that may be there. */
static void an_output_that_is_given_up_leaves_nothing_behind(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (!child) {
        struct kymo_out o;
        if (kymo_out_open(&o, path, 0, NULL) || write(o.fd, "half", 4) != 4)
            _exit(1);
        _exit(o.is_unnamed ? 0 : 77);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        assert_true(e->d_name[0] == '.' || !strstr(e->d_name, "tmp"));
    closedir(d);
}

static void an_output_in_a_folder_that_is_not_there_is_refused(void **state)
{
    (void)state;
    char missing[sizeof(path) + 8];
    (void)snprintf(missing, sizeof(missing), "%s/no/out", folder);
    struct kymo_out o;
    assert_int_equal(kymo_out_open(&o, missing, 0, NULL), KYMO_EOUTPUT);
    assert_int_equal(kymo_out_open(&o, folder, 1, NULL), KYMO_EOUTPUT);
}

static void a_full_disk_is_a_failed_output(void **state)
{
    (void)state;
    const int fd = open("/dev/full", O_WRONLY);
    if (fd < 0) {
        print_message("no /dev/full here\n");
        skip();
    }
    struct kymo_err err = {0};
    assert_int_equal(kymo_file_write(fd, "x", 1, "full.kymo", &err), KYMO_EOUTPUT);
    assert_non_null(strstr(err.text, "full.kymo"));
    close(fd);
}

static void a_reader_that_left_is_told_apart(void **state)
{
    (void)state;
    int end[2];
    assert_int_equal(pipe(end), 0);
    close(end[0]);
    void (*was)(int) = signal(SIGPIPE, SIG_IGN);
    assert_int_equal(kymo_file_write(end[1], "x", 1, "-", NULL), KYMO_EPIPE);
    signal(SIGPIPE, was);
    close(end[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_folder, without_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_missing_file_and_a_folder_are_unreadable_input),
        TEST(a_file_of_just_the_limit_is_read_and_one_byte_more_is_not),
        TEST(an_output_appears_whole_at_commit_and_not_before),
        TEST(an_output_is_readable_as_the_umask_allows),
        TEST(an_existing_file_is_kept_without_force),
        TEST(abort_leaves_the_old_file_as_it_was),
        TEST(force_replaces_the_old_file),
        TEST(an_output_that_is_given_up_leaves_nothing_behind),
        TEST(an_output_in_a_folder_that_is_not_there_is_refused),
        TEST(a_full_disk_is_a_failed_output),
        TEST(a_reader_that_left_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
