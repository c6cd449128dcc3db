/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "format/trace/sysname.h"

static const uint32_t arch[3] = {KYMO_ARCH_X86_64, KYMO_ARCH_I386, KYMO_ARCH_AARCH64};

static void a_number_leads_to_a_name_and_the_name_back(void **state)
{
    (void)state;
    size_t calls = 0;
    for (size_t a = 0; a < 3; a++)
        for (uint32_t nr = 0; nr < kymo_sys_count(arch[a]); nr++) {
            const struct kymo_sysinfo *i = kymo_sysinfo(arch[a], nr);
            if (!i)
                continue;
            assert_int_equal(kymo_sysnr(arch[a], i->name), nr);
            assert_string_equal(kymo_sysinfo_by_name(i->name)->name, i->name);
            calls++;
        }
    assert_in_range(calls, 1100, 1300);
}

static void argument_indexes_lie_inside_the_arity(void **state)
{
    (void)state;
    for (size_t a = 0; a < 3; a++)
        for (uint32_t nr = 0; nr < kymo_sys_count(arch[a]); nr++) {
            const struct kymo_sysinfo *i = kymo_sysinfo(arch[a], nr);
            if (!i)
                continue;
            assert_in_range(i->n_args, 0, 6);
            assert_in_range(i->cls, 0, KYMO_CLASS_COUNT - 1);
            assert_true(i->path < i->n_args && i->path2 < i->n_args && i->addr < i->n_args &&
                        i->addrlen < i->n_args);
            assert_true(i->path2 < 0 || i->path2 > i->path);
            assert_true((i->addr < 0) == (i->addrlen < 0));
        }
}

static void is(const char *name, int n_args, int path, int path2, int cls)
{
    const struct kymo_sysinfo *i = kymo_sysinfo_by_name(name);
    assert_non_null(i);
    if (i->n_args != n_args || i->path != path || i->path2 != path2 || i->cls != cls)
        fail_msg("%s: %d arguments, paths %d and %d, class %s", name, i->n_args, i->path,
                 i->path2, kymo_class_name((enum kymo_class)i->cls));
}

static void common_calls_have_the_arguments_of_their_manual_page(void **state)
{
    (void)state;
    is("open", 3, 0, -1, KYMO_CLASS_FILE);
    is("openat", 4, 1, -1, KYMO_CLASS_FILE);
    is("openat2", 4, 1, -1, KYMO_CLASS_FILE);
    is("statx", 5, 1, -1, KYMO_CLASS_FILE);
    is("newfstatat", 4, 1, -1, KYMO_CLASS_FILE);
    is("fstat", 2, -1, -1, KYMO_CLASS_FILE);
    is("faccessat2", 4, 1, -1, KYMO_CLASS_FILE);
    is("unlinkat", 3, 1, -1, KYMO_CLASS_FILE);
    is("rename", 2, 0, 1, KYMO_CLASS_FILE);
    is("renameat2", 5, 1, 3, KYMO_CLASS_FILE);
    is("linkat", 5, 1, 3, KYMO_CLASS_FILE);
    is("symlinkat", 3, 0, 2, KYMO_CLASS_FILE);
    is("readlinkat", 4, 1, -1, KYMO_CLASS_FILE);
    is("fchmodat2", 4, 1, -1, KYMO_CLASS_FILE);
    is("mq_open", 4, 0, -1, KYMO_CLASS_SYNC);
    is("execve", 3, 0, -1, KYMO_CLASS_PROCESS);
    is("execveat", 5, 1, -1, KYMO_CLASS_PROCESS);
    is("mount", 5, 0, 1, KYMO_CLASS_SECURITY);
    is("inotify_add_watch", 3, 1, -1, KYMO_CLASS_FILE);
    is("fanotify_mark", 5, 4, -1, KYMO_CLASS_FILE);
    is("lgetxattr", 4, 0, -1, KYMO_CLASS_FILE);
    is("fgetxattr", 4, -1, -1, KYMO_CLASS_FILE);
    is("read", 3, -1, -1, KYMO_CLASS_READ);
    is("sendfile", 4, -1, -1, KYMO_CLASS_WRITE);
    is("epoll_pwait2", 6, -1, -1, KYMO_CLASS_POLL);
    is("fdatasync", 1, -1, -1, KYMO_CLASS_SYNCFS);
    is("futex", 6, -1, -1, KYMO_CLASS_SYNC);
    is("getpid", 0, -1, -1, KYMO_CLASS_PROCESS);
    is("clone3", 2, -1, -1, KYMO_CLASS_PROCESS);
    is("mmap", 6, -1, -1, KYMO_CLASS_MEMORY);
    is("file_setattr", 5, 1, -1, KYMO_CLASS_FILE);
}

static void has_address(const char *name, int addr, int len, int behind_pointer)
{
    const struct kymo_sysinfo *i = kymo_sysinfo_by_name(name);
    assert_int_equal(i->addr, addr);
    assert_int_equal(i->addrlen, len);
    assert_int_equal(i->addrlen_is_pointer, behind_pointer);
}

static void socket_calls_say_where_the_address_is(void **state)
{
    (void)state;
    has_address("connect", 1, 2, 0);
    has_address("bind", 1, 2, 0);
    has_address("accept4", 1, 2, 1);
    has_address("getpeername", 1, 2, 1);
    has_address("sendto", 4, 5, 0);
    has_address("recvfrom", 4, 5, 1);
    has_address("read", -1, -1, 0);
}

static void i386_has_rows_of_its_own_where_arguments_lie_elsewhere(void **state)
{
    (void)state;
    assert_int_equal(kymo_sysinfo(KYMO_ARCH_I386, 90)->n_args, 1); /* mmap of a struct */
    assert_int_equal(kymo_sysinfo(KYMO_ARCH_X86_64, 9)->n_args, 6);
    assert_int_equal(kymo_sysinfo(KYMO_ARCH_I386, 180)->n_args, 5); /* pread64, offset in two */
    assert_int_equal(kymo_sysinfo(KYMO_ARCH_I386, 339)->path, 5);   /* fanotify_mark */
    assert_int_equal(kymo_sysnr(KYMO_ARCH_I386, "mmap"), 90);
    assert_int_equal(kymo_sysnr(KYMO_ARCH_AARCH64, "mmap"), 222);
}

static void the_unknown_is_unknown(void **state)
{
    (void)state;
    assert_null(kymo_sysinfo(KYMO_ARCH_X86_64, 400));
    assert_null(kymo_sysinfo(KYMO_ARCH_X86_64, UINT32_MAX));
    assert_null(kymo_sysinfo(1, 0));
    assert_int_equal(kymo_sysnr(KYMO_ARCH_X86_64, "frobnicate"), -1);
    assert_int_equal(kymo_sysnr(KYMO_ARCH_AARCH64, "open"), -1);
    assert_int_equal(kymo_sysnr(2, "read"), -1);
    assert_null(kymo_sysinfo_by_name(""));
    assert_null(kymo_arch_name(3));
    assert_null(kymo_class_name(KYMO_CLASS_COUNT));
    assert_int_equal(kymo_sys_count(3), 0);
    assert_int_equal(kymo_sys_count(KYMO_ARCH_X86_64), 470);
}

static void classes_and_architectures_have_names_of_their_own(void **state)
{
    (void)state;
    for (int a = 0; a < KYMO_CLASS_COUNT; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(kymo_class_name((enum kymo_class)a),
                                    kymo_class_name((enum kymo_class)b));
    assert_string_equal(kymo_arch_name(KYMO_ARCH_AARCH64), "aarch64");
}

static void errors_have_the_names_of_linux(void **state)
{
    (void)state;
    assert_string_equal(kymo_errno_name(2), "ENOENT");
    assert_string_equal(kymo_errno_name(11), "EAGAIN");
    assert_string_equal(kymo_errno_name(95), "EOPNOTSUPP");
    assert_string_equal(kymo_errno_name(133), "EHWPOISON");
    assert_string_equal(kymo_errno_name(512), "ERESTARTSYS");
    assert_string_equal(kymo_errno_name(516), "ERESTART_RESTARTBLOCK");
    assert_null(kymo_errno_name(0));
    assert_null(kymo_errno_name(4095));
    for (int e = 1; e < 517; e++)
        if (kymo_errno_name(e))
            assert_int_equal(kymo_errno_value(kymo_errno_name(e)), e);
    assert_int_equal(kymo_errno_value("EWOULDBLOCK"), 11);
    assert_int_equal(kymo_errno_value("ENONSENSE"), -1);
}

/* Each "#define __NR_name number" of a header on this machine, where it has one. */
static void header_agrees(const char *path, uint32_t a)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        print_message("no %s here\n", path);
        skip();
    }
    char line[256];
    size_t checked = 0;
    while (fgets(line, sizeof(line), f)) {
        char name[100];
        int nr;
        if (sscanf(line, "#define __NR_%99s %d", name, &nr) != 2)
            continue;
        if (kymo_sysnr(a, name) != nr)
            fail_msg("%s is %d in %s, %d in the table", name, nr, path, kymo_sysnr(a, name));
        checked++;
    }
    fclose(f);
    assert_in_range(checked, 300, 600);
}

static void numbers_are_those_of_the_x86_64_header(void **state)
{
    (void)state;
    header_agrees("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", KYMO_ARCH_X86_64);
}

static void numbers_are_those_of_the_i386_header(void **state)
{
    (void)state;
    header_agrees("/usr/include/x86_64-linux-gnu/asm/unistd_32.h", KYMO_ARCH_I386);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_leads_to_a_name_and_the_name_back),
        cmocka_unit_test(argument_indexes_lie_inside_the_arity),
        cmocka_unit_test(common_calls_have_the_arguments_of_their_manual_page),
        cmocka_unit_test(socket_calls_say_where_the_address_is),
        cmocka_unit_test(i386_has_rows_of_its_own_where_arguments_lie_elsewhere),
        cmocka_unit_test(the_unknown_is_unknown),
        cmocka_unit_test(classes_and_architectures_have_names_of_their_own),
        cmocka_unit_test(errors_have_the_names_of_linux),
        cmocka_unit_test(numbers_are_those_of_the_x86_64_header),
        cmocka_unit_test(numbers_are_those_of_the_i386_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
