/* SPDX-License-Identifier: Apache-2.0
 * Pseudonyms: SipHash's own vectors; the same for the same, another for another; shapes stay.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/anonymize/callmask.h"
#include "format/anonymize/mask.h"
#include "format/anonymize/policy.h"
#include "format/base/rng.h"
#include "format/base/size.h"
#include "format/trace/sysname.h"

static struct kymo_mask mask, other, all;

static int open_masks(void **state)
{
    uint8_t key[KYMO_SIPHASH_KEY_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 7);
    kymo_mask_init(&mask, key, 0);
    kymo_mask_init(&all, key, 1);
    key[15] ^= 1;
    kymo_mask_init(&other, key, 0);
    return 0;
}

typedef void put_fn(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n);

static char *masked_bytes(const struct kymo_mask *m, put_fn *put, const char *s, size_t n)
{
    struct kymo_buf out = {0};
    put(m, &out, s, n);
    kymo_buf_u8(&out, 0);
    assert_false(out.failed);
    return (char *)out.p;
}

static char *masked(put_fn *put, const char *s)
{
    return masked_bytes(&mask, put, s, strlen(s));
}

static void expect(put_fn *put, const char *s, const char *expected)
{
    char *got = masked(put, s);
    assert_string_equal(got, expected);
    free(got);
}

/* The vectors that the authors publish with the reference implementation. */
static void siphash_gives_the_published_values(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t value;
    } vector[] = {{0, 0x726fdb47dd0e0e31},  {1, 0x74f839c593dc67fd}, {2, 0x0d6c8009d9a94f5a},
                  {3, 0x85676696d7fb7e2d},  {7, 0xab0200f58b01d137}, {8, 0x93f5f5799a932462},
                  {15, 0xa129ca6149be45e5}, {63, 0x958a324ceb064572}};
    uint8_t key[16], in[64];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    for (size_t i = 0; i < KYMO_COUNT_OF(vector); i++)
        assert_int_equal(kymo_siphash(kymo_siphash_key(key), in, vector[i].n), vector[i].value);
}

static void a_word_is_the_same_under_one_key_and_another_under_another(void **state)
{
    (void)state;
    char *a = masked(kymo_mask_word, "redis-server"),
         *b = masked(kymo_mask_word, "redis-server");
    char *c = masked_bytes(&other, kymo_mask_word, "redis-server", 12);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    assert_int_equal(strlen(a), 13);
    assert_int_equal(strspn(a, "abcdefghijklmnopqrstuvwxyz234567"), 13);
    expect(kymo_mask_word, "", "");
    free(a);
    free(b);
    free(c);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void no_two_of_a_hundred_thousand_words_are_alike(void **state)
{
    enum { N = 100000 };
    (void)state;
    char **got = calloc(N, sizeof(*got)), word[32];
    assert_non_null(got);
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(word, sizeof(word), "file-%zu", i);
        got[i] = masked(kymo_mask_word, word);
    }
    qsort(got, N, sizeof(*got), by_text);
    for (size_t i = 1; i < N; i++)
        assert_string_not_equal(got[i - 1], got[i]);
    for (size_t i = 0; i < N; i++)
        free(got[i]);
    free(got);
}

static void known_names_are_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; kymo_mask_known(i); i++) {
        assert_true(!i || strcmp(kymo_mask_known(i - 1), kymo_mask_known(i)) < 0);
        assert_true(kymo_mask_is_known(kymo_mask_known(i), strlen(kymo_mask_known(i))));
    }
    assert_false(kymo_mask_is_known("redis-server", 12));
    assert_false(kymo_mask_is_known("li", 2));
    assert_false(kymo_mask_is_known("libs", 4));
    assert_false(kymo_mask_is_known("lib\0", 4));
}

static void well_known_paths_stay(void **state)
{
    (void)state;
    static const char *const path[] = {"",
                                       "/",
                                       "/proc/self/stat",
                                       "/proc/1234/task/1235/stat",
                                       "/dev/pts/7",
                                       "/etc/hosts",
                                       "/dev/null",
                                       ".",
                                       "..",
                                       "../..",
                                       "/lib/x86_64-linux-gnu/libc.so.6",
                                       "//usr//lib/"};
    for (size_t i = 0; i < KYMO_COUNT_OF(path); i++)
        expect(kymo_mask_path, path[i], path[i]);
    char *got = masked_bytes(&all, kymo_mask_path, "/etc/../hosts", 13);
    assert_int_equal(strlen(got), 1 + 13 + 1 + 2 + 1 + 13);
    free(got);
}

static void a_known_name_behind_an_unknown_one_is_hidden(void **state)
{
    (void)state;
    char *word = masked(kymo_mask_word, "alice"), *etc = masked(kymo_mask_word, "etc"),
         path[64];
    (void)snprintf(path, sizeof(path), "/home/%s/%s", word, etc);
    expect(kymo_mask_path, "/home/alice/etc", path);
    expect(kymo_mask_path, "etc", etc); /* relative to who knows what */
    char *number = masked(kymo_mask_word, "1234");
    (void)snprintf(path, sizeof(path), "/var/%s", number);
    expect(kymo_mask_path, "/var/1234", path);
    free(word);
    free(etc);
    free(number);
}

static size_t count(const char *s, char c)
{
    size_t n = 0;
    for (; *s; s++)
        n += *s == c;
    return n;
}

/* A path's pseudonym begins with that of its folder, so that the tree stays a tree. */
static void paths_keep_the_shape_of_their_tree(void **state)
{
    (void)state;
    static const char *const part[] = {"usr", "acme", "..", "", "secret plan", "lib", "9", "x"};
    struct kymo_rng rng;
    kymo_rng_init(&rng, 3);
    for (int round = 0; round < 5000; round++) {
        char path[256] = "";
        size_t folder = 0;
        for (uint64_t k = 1 + kymo_rng_below(&rng, 7); k; k--) {
            folder = strlen(path) + 1;
            strcat(path, "/");
            strcat(path, part[kymo_rng_below(&rng, KYMO_COUNT_OF(part))]);
        }
        char *whole = masked(kymo_mask_path, path);
        char *above = masked_bytes(&mask, kymo_mask_path, path, folder);
        assert_int_equal(count(whole, '/'), count(path, '/'));
        assert_memory_equal(whole, above, strlen(above));
        assert_null(strstr(whole, "acme"));
        assert_null(strstr(whole, "secret"));
        free(whole);
        free(above);
    }
}

static void texts_lose_words_and_keep_what_parts_them(void **state)
{
    (void)state;
    char *a = masked(kymo_mask_word, "server"), *b = masked(kymo_mask_word, "password");
    char *c = masked(kymo_mask_word, "hunter2"), expected[256];
    (void)snprintf(expected, sizeof(expected),
                   "/usr/bin/%s --%s=%s '%s 127.0.0.1:80' /dev/null -", a, b, c, c);
    expect(kymo_mask_text,
           "/usr/bin/server --password=hunter2 'hunter2 127.0.0.1:80' /dev/null -", expected);
    (void)snprintf(expected, sizeof(expected), "--%s=\"%s\",%s;(%s)", b, c, c, a);
    expect(kymo_mask_text, "--password=\"hunter2\",hunter2;(server)", expected);
    free(a);
    free(b);
    free(c);
}

static unsigned common_bits(uint32_t a, uint32_t b)
{
    unsigned n = 0;
    while (n < 32 && !((a ^ b) >> (31 - n)))
        n++;
    return n;
}

static void addresses_with_a_common_prefix_keep_it_to_the_bit(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 5);
    unsigned moved = 0;
    for (int round = 0; round < 20000; round++) {
        const uint32_t a = (uint32_t)kymo_rng_u64(&rng);
        const uint32_t b = a ^ (uint32_t)(kymo_rng_u64(&rng) >> 32 >> kymo_rng_below(&rng, 32));
        assert_int_equal(common_bits(kymo_mask_ip4(&mask, a), kymo_mask_ip4(&mask, b)),
                         common_bits(a, b));
        moved += kymo_mask_ip4(&mask, a) != a && a < 0xe0000000u;
    }
    assert_true(moved > 15000);
}

static void ranges_that_mean_something_stay_where_they_are(void **state)
{
    (void)state;
    static const uint32_t same[] = {0,          0x7f000001, 0x7fffffff,
                                    0xe0000001, 0xffffffff, 0xeffffffa};
    for (size_t i = 0; i < KYMO_COUNT_OF(same); i++)
        assert_int_equal(kymo_mask_ip4(&mask, same[i]), same[i]);
    struct kymo_rng rng;
    kymo_rng_init(&rng, 6);
    for (int round = 0; round < 2000; round++) {
        const uint32_t low = (uint32_t)kymo_rng_u64(&rng);
        const uint32_t ten = kymo_mask_ip4(&mask, 0x0a000000 | (low & 0xffffff));
        const uint32_t home = kymo_mask_ip4(&mask, 0xc0a80000 | (low & 0xffff));
        const uint32_t public = kymo_mask_ip4(&mask, 0x08000000 | (low & 0xffffff));
        assert_int_equal(ten >> 24, 10);
        assert_int_equal(home >> 16, 0xc0a8);
        assert_int_not_equal(public >> 24, 10);
        assert_int_not_equal(public >> 24, 127);
    }
}

static void addresses_read_as_what_they_are(void **state)
{
    (void)state;
    expect(kymo_mask_address, "inet:127.0.0.1:6379", "inet:127.0.0.1:6379");
    expect(kymo_mask_address, "inet6:[::1]:80", "inet6:[::1]:80");
    expect(kymo_mask_address, "inet6:[::]:0", "inet6:[::]:0");
    expect(kymo_mask_address, "netlink:1234", "netlink:1234");
    expect(kymo_mask_address, "family:17", "family:17");
    expect(kymo_mask_address, "family:?", "family:?");
    expect(kymo_mask_address, "inet:?", "inet:?");
    expect(kymo_mask_address, "unix:", "unix:");
    expect(kymo_mask_address, "unix:/dev/log", "unix:/dev/log");
    char *got = masked(kymo_mask_address, "inet:10.1.2.3:6379");
    assert_int_equal(strncmp(got, "inet:10.", 8), 0);
    assert_string_not_equal(got, "inet:10.1.2.3:6379");
    assert_string_equal(strrchr(got, ':'), ":6379");
    free(got);
    got = masked(kymo_mask_address, "inet6:[::ffff:10.1.2.3]:6379");
    char *four = masked(kymo_mask_address, "inet:10.1.2.3:6379");
    assert_int_equal(strncmp(got, "inet6:[::ffff:10.", 17), 0);
    assert_int_equal(strncmp(got + 14, four + 5, (size_t)(strchr(four + 5, ':') - (four + 5))),
                     0);
    free(four);
    free(got);
    got = masked(kymo_mask_address, "inet6:[2001:db8::1]:443");
    assert_int_equal(strncmp(got, "inet6:[", 7), 0);
    assert_string_equal(strrchr(got, ']'), "]:443");
    assert_null(strstr(got, "db8"));
    free(got);
    static const char *const broken[] = {
        "inet:10.1.2.3",    "inet:10.1.2.3:x", "inet:10.1.2:80", "inet6:[2001:db8::",
        "inet6:2001::1:80", "secret",          "netlink:secret", "inet:",
        "inet6:[]:1"};
    for (size_t i = 0; i < KYMO_COUNT_OF(broken); i++) {
        got = masked(kymo_mask_address, broken[i]);
        char *word = masked(kymo_mask_word, broken[i]);
        assert_string_equal(got, word);
        free(got);
        free(word);
    }
}

static void hosts_stand_without_a_port(void **state)
{
    (void)state;
    char *four = masked(kymo_mask_host, "10.1.2.3"), *five = masked(kymo_mask_host, "10.1.2.4");
    char *bound = masked(kymo_mask_address, "inet:10.1.2.3:80"), expected[64];
    (void)snprintf(expected, sizeof(expected), "inet:%s:80", four);
    assert_string_equal(bound, expected);
    assert_string_not_equal(four, five);
    assert_memory_equal(four, five, (size_t)(strrchr(four, '.') - four));
    expect(kymo_mask_host, "::1", "::1");
    expect(kymo_mask_host, "127.0.0.1", "127.0.0.1");
    expect(kymo_mask_host, "", "");
    char *word = masked(kymo_mask_word, "02:00:5e:00:53:01");
    expect(kymo_mask_host, "02:00:5e:00:53:01", word);
    free(word);
    word = masked(kymo_mask_host, "2001:db8::1");
    (void)snprintf(expected, sizeof(expected), "-%s '%s'", word, four);
    expect(kymo_mask_text, "-2001:db8::1 '10.1.2.3'", expected);
    assert_null(strstr(word, "db8"));
    free(word);
    free(four);
    free(five);
    free(bound);
}

static void ip6_keeps_prefixes_and_ranges(void **state)
{
    (void)state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 8);
    for (int round = 0; round < 2000; round++) {
        uint8_t a[16], b[16], x[16], y[16];
        for (size_t i = 0; i < 16; i++)
            a[i] = (uint8_t)kymo_rng_u64(&rng);
        memcpy(b, a, 16);
        const unsigned bit = (unsigned)kymo_rng_below(&rng, 128);
        b[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
        kymo_mask_ip6(&mask, a, x);
        kymo_mask_ip6(&mask, b, y);
        assert_memory_equal(x, y, bit / 8);
        assert_int_equal((x[bit / 8] ^ y[bit / 8]) >> (7 - bit % 8), 1);
        a[0] = 0xfe;
        a[1] = 0x80;
        kymo_mask_ip6(&mask, a, x);
        assert_int_equal(x[0], 0xfe);
        assert_int_equal(x[1] & 0xc0, 0x80);
    }
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void user_ids_change_one_to_one(void **state)
{
    (void)state;
    enum { N = 70000 };
    static uint32_t got[N];
    for (uint32_t id = 0; id < N; id++) {
        const uint64_t v = kymo_mask_id(&mask, id);
        assert_true(v <= UINT32_MAX);
        got[id] = (uint32_t)v;
    }
    qsort(got, N, sizeof(got[0]), by_number);
    for (uint32_t i = 1; i < N; i++)
        assert_int_not_equal(got[i - 1], got[i]);
    assert_int_equal(kymo_mask_id(&mask, 0), 0);
    assert_int_equal(kymo_mask_id(&mask, 65534), 65534);
    assert_int_equal(kymo_mask_id(&mask, UINT32_MAX), UINT32_MAX);
    assert_int_equal(kymo_mask_id(&mask, UINT64_MAX), UINT64_MAX);
    assert_int_not_equal(kymo_mask_id(&mask, 1000), 1000);
}

static void pointers_keep_their_place_in_a_page_that_stands_for_theirs(void **state)
{
    (void)state;
    const uint64_t a = kymo_mask_pointer(&mask, 0x7f1234567123, 64);
    const uint64_t b = kymo_mask_pointer(&mask, 0x7f1234567fff, 64);
    assert_int_equal(a & 0xfff, 0x123);
    assert_int_equal(b & 0xfff, 0xfff);
    assert_int_equal(a >> 12, b >> 12);
    assert_true(a >= (uint64_t)1 << 32 && a < (uint64_t)1 << 47);
    assert_true(a >> 12 != 0x7f1234567123 >> 12);
    assert_true(kymo_mask_pointer(&mask, 0xf7123456, 32) < (uint64_t)1 << 31);
    assert_int_equal(kymo_mask_pointer(&mask, 0, 64), 0);
}

static uint64_t arg(const char *call, unsigned i, uint64_t v)
{
    return kymo_mask_arg(&mask, kymo_call_numbers(call), i, KYMO_ARCH_X86_64, v);
}

static void arguments_change_by_what_they_are(void **state)
{
    (void)state;
    assert_int_equal(arg("read", 0, 5), 5);
    assert_int_equal(arg("read", 2, (uint64_t)1 << 40), (uint64_t)1 << 40);
    assert_int_equal(arg("openat", 0, 0xffffff9c), 0xffffff9c);
    assert_int_equal(arg("openat", 0, 0xffffffffffffff9c), 0xffffffffffffff9c);
    assert_int_not_equal(arg("read", 1, 0x7f1234567000), 0x7f1234567000);
    assert_int_equal(arg("lseek", 1, (uint64_t)1 << 41), (uint64_t)1 << 41);
    assert_int_not_equal(arg("brk", 0, 0x1234000), 0x1234000);
    assert_int_equal(arg("brk", 0, 0), 0);
    assert_int_equal(arg("setuid", 0, 1000), kymo_mask_id(&mask, 1000));
    assert_int_equal(arg("chown", 2, 1000), kymo_mask_id(&mask, 1000));
    assert_int_equal(arg("nosuchcall", 3, 1000), 1000);
    assert_int_equal(arg(NULL, 3, 1000), 1000);
    assert_int_equal(kymo_mask_ret(&mask, kymo_call_numbers("getuid"), 0, 1000),
                     kymo_mask_id(&mask, 1000));
    assert_int_equal(kymo_mask_ret(&mask, kymo_call_numbers("mmap"), 0, (uint64_t)-12),
                     (uint64_t)-12);
    assert_int_equal(kymo_mask_ret(&mask, kymo_call_numbers("mmap"), 0, 0x7f1234567000),
                     kymo_mask_pointer(&mask, 0x7f1234567000, 64));
    assert_int_equal(kymo_mask_ret(&mask, kymo_call_numbers("lseek"), 0, (uint64_t)1 << 41),
                     (uint64_t)1 << 41);
    const struct kymo_call_numbers *write = kymo_call_numbers("write");
    assert_int_equal(kymo_mask_arg(&mask, write, 1, KYMO_ARCH_I386, 0xf7001234) & 0xfff, 0x234);
    assert_int_not_equal(kymo_mask_arg(&mask, write, 1, KYMO_ARCH_I386, 0xf7001234),
                         0xf7001234);
    assert_int_equal(kymo_mask_arg(&mask, write, 1, KYMO_ARCH_I386, 0xffffff9c), 0xffffff9c);
}

static void what_nobody_thought_of_loses_its_texts(void **state)
{
    (void)state;
    const struct kymo_column_def text = {"anything", "", KYMO_T_STR, KYMO_ORDER_ROW, 0};
    const struct kymo_column_def number = {"anything", "", KYMO_T_U64, KYMO_ORDER_ROW, 0};
    const struct kymo_column_def uid = {"uid", "", KYMO_T_U64, KYMO_ORDER_ROW, 0};
    const struct kymo_column_def odd = {"ret", "", KYMO_T_STR, KYMO_ORDER_ROW, 0};
    const struct kymo_column_def name = {"name", "", KYMO_T_STR, KYMO_ORDER_ROW, 0};
    assert_int_equal(kymo_treat_of("nosuch", &text, 0), KYMO_TREAT_TEXT);
    assert_int_equal(kymo_treat_of("syscall", &text, 0), KYMO_TREAT_TEXT);
    assert_int_equal(kymo_treat_of("nosuch", &number, 0), KYMO_TREAT_KEEP);
    assert_int_equal(kymo_treat_of("nosuch", &uid, 0), KYMO_TREAT_ID);
    assert_int_equal(kymo_treat_of("syscall", &odd, 0), KYMO_TREAT_TEXT);
    assert_int_equal(kymo_treat_of("mark", &name, 0), KYMO_TREAT_KEEP);
    assert_int_equal(kymo_treat_of("mark", &name, 1), KYMO_TREAT_WORD);
    assert_int_equal(kymo_treat_of_fact("hostname", 8), KYMO_TREAT_TEXT);
    assert_int_equal(kymo_treat_of_fact("nosuch", 6), KYMO_TREAT_TEXT);
    assert_int_equal(kymo_treat_of_fact("cpus", 4), KYMO_TREAT_KEEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_published_values),
        cmocka_unit_test(a_word_is_the_same_under_one_key_and_another_under_another),
        cmocka_unit_test(no_two_of_a_hundred_thousand_words_are_alike),
        cmocka_unit_test(known_names_are_in_order),
        cmocka_unit_test(well_known_paths_stay),
        cmocka_unit_test(a_known_name_behind_an_unknown_one_is_hidden),
        cmocka_unit_test(paths_keep_the_shape_of_their_tree),
        cmocka_unit_test(texts_lose_words_and_keep_what_parts_them),
        cmocka_unit_test(addresses_with_a_common_prefix_keep_it_to_the_bit),
        cmocka_unit_test(ranges_that_mean_something_stay_where_they_are),
        cmocka_unit_test(addresses_read_as_what_they_are),
        cmocka_unit_test(hosts_stand_without_a_port),
        cmocka_unit_test(ip6_keeps_prefixes_and_ranges),
        cmocka_unit_test(user_ids_change_one_to_one),
        cmocka_unit_test(pointers_keep_their_place_in_a_page_that_stands_for_theirs),
        cmocka_unit_test(arguments_change_by_what_they_are),
        cmocka_unit_test(what_nobody_thought_of_loses_its_texts),
    };
    return cmocka_run_group_tests(tests, open_masks, NULL);
}
