/* SPDX-License-Identifier: Apache-2.0
 * test_record.c: the recorder's small parts: addresses and arguments as text, choices of calls.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/trace/sysname.h"
#include "record/addr.h"
#include "record/callset.h"
#include "record/host.h"
#include "record/redact.h"

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

static uint64_t hits_told(struct redact *r, const char *rule)
{
    uint64_t hits = 0;
    struct kymo_rows *rows;
    assert_int_equal(kymo_rows_open(&rows, &KYMO_TABLE_REDACT, REDACT_RULES, NULL), KYMO_OK);
    for (unsigned i = 0; i < REDACT_RULES; i++)
        redact_row(r, i, rows, 1);
    const struct kymo_batch b = kymo_rows_view(rows);
    for (uint32_t i = 0; i < b.n_rows; i++) {
        uint32_t n;
        const char *name = kymo_batch_str(&b, KYMO_REDACT_RULE, i, &n);
        if (n == strlen(rule) && !memcmp(name, rule, n))
            hits += kymo_batch_u64(&b, KYMO_REDACT_HITS, i);
    }
    kymo_rows_close(rows);
    return hits;
}

static void what_was_hidden_is_told_once(void **state)
{
    (void)state;
    static const char argv[] = "app\0--password\0hunter2";
    char path[] = "/tmp/kymo-key-XXXXXX";
    struct redact *r;
    assert_non_null(mkdtemp(path));
    char key[64];
    (void)snprintf(key, sizeof(key), "%s/key", path);
    assert_int_equal(redact_open(&r, key, NULL), KYMO_OK);
    assert_null(redact_warning(r));
    assert_int_equal(hits_told(r, "option"), 0);
    (void)redact_argv(r, argv, sizeof(argv), false);
    (void)redact_argv(r, argv, sizeof(argv), false);
    assert_int_equal(hits_told(r, "option"), 2);
    assert_int_equal(hits_told(r, "option"), 0);
    (void)redact_argv(r, argv, sizeof(argv), false);
    assert_int_equal(hits_told(r, "option"), 1);
    redact_close(r);
    unlink(key);
    rmdir(path);
}

static void only_the_names_of_local_sockets_are_looked_at(void **state)
{
    (void)state;
    static const char inet[] = "inet:127.0.0.1:6379", local[] = "unix:/run/token=hunter2",
                      plain[] = "unix:/run/x";
    char path[] = "/tmp/kymo-key-XXXXXX", key[64];
    struct redact *r;
    assert_non_null(mkdtemp(path));
    (void)snprintf(key, sizeof(key), "%s/key", path);
    assert_int_equal(redact_open(&r, key, NULL), KYMO_OK);
    assert_ptr_equal(redact_addr(r, inet, sizeof(inet) - 1).s, inet);
    assert_ptr_equal(redact_addr(r, plain, sizeof(plain) - 1).s, plain);
    const struct kymo_scrubbed safe = redact_addr(r, local, sizeof(local) - 1);
    assert_memory_equal(safe.s, "unix:/run/token=k", 17);
    assert_null(memmem(safe.s, safe.n, "hunter2", 7));
    /* without a redact, all is as it is */
    assert_ptr_equal(redact_addr(NULL, local, sizeof(local) - 1).s, local);
    redact_close(r);
    unlink(key);
    rmdir(path);
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
        cmocka_unit_test(what_was_hidden_is_told_once),
        cmocka_unit_test(only_the_names_of_local_sockets_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
