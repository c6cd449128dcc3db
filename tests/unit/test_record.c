/* SPDX-License-Identifier: Apache-2.0
 * test_record.c: the recorder's small parts: addresses and arguments as text, choices of calls.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "format/trace/sysname.h"
#include "record/addr.h"
#include "record/callset.h"
#include "record/host.h"

static char text[ADDR_TEXT_MAX];

static void internet_addresses_are_host_and_port(void **state)
{
    (void)state;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(6379), .sin_addr = {htonl(0x7f000001)}};
    struct sockaddr_in6 b = {
        .sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    addr_text((const uint8_t *)&a, sizeof(a), text);
    assert_string_equal(text, "inet:127.0.0.1:6379");
    addr_text((const uint8_t *)&b, sizeof(b), text);
    assert_string_equal(text, "inet6:[::1]:80");
}

static void local_addresses_are_paths_or_names(void **state)
{
    (void)state;
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    addr_text((const uint8_t *)&a, sizeof(a), text);
    assert_string_equal(text, "unix:/run/x");
    memcpy(a.sun_path, "\0name", 5);
    addr_text((const uint8_t *)&a, offsetof(struct sockaddr_un, sun_path) + 5, text);
    assert_string_equal(text, "unix:@name");
    memcpy(a.sun_path, "\0a\0b\0\0", 6);
    addr_text((const uint8_t *)&a, offsetof(struct sockaddr_un, sun_path) + 6, text);
    assert_string_equal(text, "unix:@a@b");
    addr_text((const uint8_t *)&a, sizeof(a.sun_family), text);
    assert_string_equal(text, "unix:");
}

static void an_address_cut_short_is_said_to_be(void **state)
{
    (void)state;
    const uint16_t inet = AF_INET;
    addr_text((const uint8_t *)&inet, 2, text);
    assert_string_equal(text, "inet:?");
    addr_text((const uint8_t *)&inet, 1, text);
    assert_string_equal(text, "family:?");
    addr_text((const uint8_t *)&inet, 0, text);
    assert_string_equal(text, "family:?");
}

static void arguments_are_joined_so_that_a_shell_would_split_them_again(void **state)
{
    (void)state;
    char out[64];
    host_join_argv("ls\0-l\0a b\0\0it's\0", 16, out, sizeof(out));
    assert_string_equal(out, "ls -l 'a b' '' 'it'\\''s'");
    assert_int_equal(host_join_argv("", 0, out, sizeof(out)), 0);
}

static void long_arguments_are_cut_to_the_room_there_is(void **state)
{
    (void)state;
    char many[4096], out[32];
    memset(many, '\'', sizeof(many));
    assert_true(host_join_argv(many, sizeof(many), out, sizeof(out)) < sizeof(out));
    memset(many, 'a', sizeof(many));
    assert_true(host_join_argv(many, sizeof(many), out, sizeof(out)) < sizeof(out));
}

static void calls_are_chosen_by_name_and_class(void **state)
{
    (void)state;
    struct callset s;
    assert_int_equal(callset_parse(&s, "openat,@net", NULL), KYMO_OK);
    assert_true(s.native[kymo_sysnr(host_arch(), "openat")]);
    assert_true(s.native[kymo_sysnr(host_arch(), "connect")]);
    assert_true(s.compat[kymo_sysnr(host_arch_compat(), "connect")]);
    assert_false(s.native[kymo_sysnr(host_arch(), "read")]);
    assert_int_equal(callset_parse(&s, "!read", NULL), KYMO_OK);
    assert_false(s.native[kymo_sysnr(host_arch(), "read")]);
    assert_true(s.native[KYMO_CALLS_MAX - 1]);
    assert_int_equal(callset_parse(&s, NULL, NULL), KYMO_OK);
    assert_true(s.native[0]);
}

static void a_word_that_is_no_call_is_named_and_nothing_moves(void **state)
{
    (void)state;
    struct callset s = {.native = {42}};
    struct kymo_err err = {0};
    assert_int_equal(callset_parse(&s, "read,frobnicate", &err), KYMO_EUSAGE);
    assert_non_null(strstr(err.text, "frobnicate"));
    assert_int_equal(s.native[0], 42);
    assert_int_equal(callset_parse(&s, "@nothing", &err), KYMO_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(internet_addresses_are_host_and_port),
        cmocka_unit_test(local_addresses_are_paths_or_names),
        cmocka_unit_test(an_address_cut_short_is_said_to_be),
        cmocka_unit_test(arguments_are_joined_so_that_a_shell_would_split_them_again),
        cmocka_unit_test(long_arguments_are_cut_to_the_room_there_is),
        cmocka_unit_test(calls_are_chosen_by_name_and_class),
        cmocka_unit_test(a_word_that_is_no_call_is_named_and_nothing_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
