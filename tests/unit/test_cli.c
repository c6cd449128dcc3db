/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/cli/text.h"

/* What the toy tool of these tests was told. */
static struct {
    bool quiet;
    const char *out;
    struct kymo_opt_list comm;
    uint64_t k, bytes, ns;
    double tol, share;
    const char *color;
} told;

static const struct kymo_opt rows[] = {
    {KYMO_OPT_GROUP, 0, NULL, NULL, "What", NULL, 0, 0},
    {KYMO_OPT_FLAG, 'q', "quiet", NULL, "say less", &told.quiet, 0, 0},
    {KYMO_OPT_STR, 'w', NULL, "FILE", "write here", &told.out, 0, 0},
    {KYMO_OPT_LIST, 0, "comm", "NAME", "only these", &told.comm, 0, 0},
    {KYMO_OPT_U64, 'k', "clusters", "N", "number of states (8)", &told.k, 1, 1000},
    {KYMO_OPT_F64, 0, "tol", "X", "when to stop", &told.tol, -1, 1},
    {KYMO_OPT_BYTES, 0, "memory-bytes", "SIZE", "budget", &told.bytes, 1024, 1e12},
    {KYMO_OPT_TIME, 'd', "duration", "TIME", "how long", &told.ns, 0, 0},
    {KYMO_OPT_SHARE, 0, "holdout", "SHARE", "kept back", &told.share, 0, 0},
    {KYMO_OPT_CHOICE, 0, "color", "auto|always|never", "colours", &told.color, 0, 0},
};

static const struct kymo_cli cli = {
    .tool = "kymo-toy",
    .summary = "try the parser",
    .positional = "[FILE...]",
    .positional_max = 2,
    .examples = "  kymo-toy x\n",
    .opt = rows,
    .n_opt = KYMO_COUNT_OF(rows),
};

#define WORDS_MAX 600
static char *argv_[WORDS_MAX + 2];
static int first;
static char *message; /* what went to stderr */

/* stderr is caught in a file while the parser runs. */
static int parse_words(char **word, int n)
{
    static char tool[] = "kymo-toy";
    argv_[0] = tool;
    for (int i = 0; i < n; i++)
        argv_[i + 1] = word[i];
    argv_[n + 1] = NULL;
    fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    FILE *caught = tmpfile();
    assert_non_null(caught);
    dup2(fileno(caught), STDERR_FILENO);
    const int status = kymo_cli_parse(&cli, n + 1, argv_, &first);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    static char text[4096];
    rewind(caught);
    text[fread(text, 1, sizeof(text) - 1, caught)] = '\0';
    fclose(caught);
    message = text;
    return status;
}

/* "-k 3 a": split at spaces. */
static int parse(const char *line)
{
    static char copy[1000];
    char *word[32];
    int n = 0;
    memset(&told, 0, sizeof(told));
    told.k = 8;
    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
        word[n++] = w;
    return parse_words(word, n);
}

static void refuses(const char *line, const char *why)
{
    assert_int_equal(parse(line), KYMO_EXIT_USAGE);
    if (!strstr(message, why))
        fail_msg("\"%s\" does not say \"%s\"", message, why);
    assert_non_null(strstr(message, "kymo-toy --help\n"));
    assert_ptr_equal(strchr(message, '\n'), message + strlen(message) - 1); /* one line */
}

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    assert_int_equal(parse("-q -w out --comm a --comm=b -k 12 --tol -0.5 --memory-bytes 2K "
                           "-d 1.5ms --holdout 5% --color never"),
                     KYMO_CLI_GO_ON);
    assert_true(told.quiet);
    assert_string_equal(told.out, "out");
    assert_int_equal(told.comm.n, 2);
    assert_string_equal(told.comm.v[1], "b");
    assert_true(told.k == 12 && told.tol == -0.5 && told.bytes == 2048 && told.ns == 1500000);
    assert_true(told.share == 0.05);
    assert_string_equal(told.color, "never");
}

static void what_is_not_given_keeps_its_default(void **state)
{
    (void)state;
    assert_int_equal(parse(""), KYMO_CLI_GO_ON);
    assert_true(told.k == 8 && !told.quiet && !told.color);
    assert_int_equal(first, 1);
}

static void options_may_follow_positionals(void **state)
{
    (void)state;
    assert_int_equal(parse("a -k 3 b"), KYMO_CLI_GO_ON);
    assert_true(told.k == 3);
    assert_string_equal(argv_[first], "a");
    assert_string_equal(argv_[first + 1], "b");
}

static void after_two_dashes_all_is_positional(void **state)
{
    (void)state;
    assert_int_equal(parse("-k 3 -- -k --quiet"), KYMO_CLI_GO_ON);
    assert_true(told.k == 3 && !told.quiet);
    assert_string_equal(argv_[first], "-k");
}

static void a_mistake_is_one_line_that_says_what_is_wanted(void **state)
{
    (void)state;
    refuses("-k", "-k wants N");
    refuses("--clusters", "--clusters wants N");
    refuses("-k x", "wants a whole number, not \"x\"");
    refuses("-k -3", "wants a whole number");
    refuses("-k 99999999999999999999", "wants a whole number");
    refuses("-k 0", "outside 1 to 1000");
    refuses("-k 1001", "outside 1 to 1000");
    refuses("--tol nan", "wants a number");
    refuses("--tol 1.01", "outside -1 to 1");
    refuses("--memory-bytes 12X", "a size such as");
    refuses("--memory-bytes 1000", "outside 1.0 KiB to");
    refuses("-d 5y", "a time such as");
    refuses("--holdout 101%", "wants a share");
    refuses("--holdout -0.1", "wants a share");
    refuses("--color aut", "one of auto|always|never");
    refuses("--color auto|always", "one of auto|always|never");
    refuses("--quiet=1", "takes no value");
    refuses("-Z", "unknown option -Z");
    refuses("a b c", "unexpected argument \"c\"");
    refuses("--co x", "could mean several");
    refuses("--help=xml", "not \"xml\"");
}

static void a_refused_value_leaves_the_old_one(void **state)
{
    (void)state;
    refuses("-k 0", "outside");
    assert_true(told.k == 8);
}

static void a_slip_in_an_option_names_the_nearest(void **state)
{
    (void)state;
    refuses("--clutsers 3", "did you mean --clusters?");
    refuses("--verison", "did you mean --version?");
    assert_int_equal(parse("--frobnicate"), KYMO_EXIT_USAGE);
    assert_null(strstr(message, "did you mean"));
}

static void what_a_message_quotes_cannot_command_the_terminal(void **state)
{
    (void)state;
    refuses("-k \033[31m", "\\x1B[31m");
}

static void a_list_has_an_end(void **state)
{
    (void)state;
    static char option[] = "--comm=x";
    static char *word[KYMO_OPT_LIST_MAX + 1];
    for (size_t i = 0; i < KYMO_COUNT_OF(word); i++)
        word[i] = option;
    memset(&told, 0, sizeof(told));
    assert_int_equal(parse_words(word, KYMO_OPT_LIST_MAX), KYMO_CLI_GO_ON);
    assert_int_equal(told.comm.n, KYMO_OPT_LIST_MAX);
    memset(&told, 0, sizeof(told));
    assert_int_equal(parse_words(word, KYMO_OPT_LIST_MAX + 1), KYMO_EXIT_USAGE);
    assert_int_equal(told.comm.n, KYMO_OPT_LIST_MAX);
}

static void times_take_units_and_bare_numbers_are_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        uint64_t ns;
    } good[] = {
        {"0", 0},
        {"2", 2000000000u},
        {"3ns", 3},
        {"4us", 4000},
        {"5ms", 5000000},
        {"6s", 6000000000u},
        {"0.25s", 250000000},
        {"1m", 60000000000u},
        {"1min", 60000000000u},
        {"2h", 7200000000000u},
        {"1d", 86400000000000u},
        {"18446744073709551615ns", UINT64_MAX},
    };
    static const char *const bad[] = {
        "",         "s",      "-1", "+1",    " 1",  "1 s",  "1x",
        "1e3",      "1.s",    ".5", "1..5s", "nan", "0x10", "18446744073709551616ns",
        "300000d9", "213504d"};
    uint64_t v;
    for (size_t i = 0; i < KYMO_COUNT_OF(good); i++) {
        assert_true(kymo_parse_time_ns(good[i].s, &v));
        assert_true(v == good[i].ns);
    }
    v = 42;
    for (size_t i = 0; i < KYMO_COUNT_OF(bad); i++)
        if (kymo_parse_time_ns(bad[i], &v))
            fail_msg("\"%s\" passes for a time", bad[i]);
    assert_true(v == 42);
}

static void sizes_take_binary_units(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(kymo_parse_bytes("100", &v) && v == 100);
    assert_true(kymo_parse_bytes("1K", &v) && v == 1024);
    assert_true(kymo_parse_bytes("1.5M", &v) && v == 3u << 19);
    assert_true(kymo_parse_bytes("2GiB", &v) && v == (uint64_t)2 << 30);
    assert_true(kymo_parse_bytes("1T", &v) && v == (uint64_t)1 << 40);
    v = 42;
    assert_false(kymo_parse_bytes("1KB", &v)); /* 1000 or 1024? */
    assert_false(kymo_parse_bytes("99999999T", &v));
    assert_false(kymo_parse_bytes("-1", &v));
    assert_true(v == 42);
}

static void numbers_for_people_stay_short_and_turn_over_where_they_should(void **state)
{
    (void)state;
    char b[32];
    assert_string_equal(kymo_human_bytes(b, sizeof(b), 0), "0 B");
    assert_string_equal(kymo_human_bytes(b, sizeof(b), 1023), "1023 B");
    assert_string_equal(kymo_human_bytes(b, sizeof(b), 1024), "1.0 KiB");
    assert_string_equal(kymo_human_bytes(b, sizeof(b), 1024 * 1024 - 1), "1.0 MiB");
    assert_string_equal(kymo_human_bytes(b, sizeof(b), UINT64_MAX), "16.0 EiB");
    assert_string_equal(kymo_human_ns(b, sizeof(b), 999), "999 ns");
    assert_string_equal(kymo_human_ns(b, sizeof(b), 999999), "1.0 ms");
    assert_string_equal(kymo_human_ns(b, sizeof(b), 3400000000u), "3.4 s");
    assert_string_equal(kymo_human_ns(b, sizeof(b), 150000000000u), "2.5 min");
    assert_string_equal(kymo_human_count(b, sizeof(b), 0), "0");
    assert_string_equal(kymo_human_count(b, sizeof(b), 999), "999");
    assert_string_equal(kymo_human_count(b, sizeof(b), 1234567), "1,234,567");
    assert_string_equal(kymo_human_count(b, sizeof(b), UINT64_MAX),
                        "18,446,744,073,709,551,615");
}

static void print_safe_leaves_nothing_a_terminal_obeys(void **state)
{
    (void)state;
    static const char in[] = "a\033[2J\n\t\\\x7f\xff\xc3\xa9\xc2\x9b\xe2\x80\xae\xe2\x81\xa6z";
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    kymo_print_safe(f, in, sizeof(in) - 1);
    fclose(f);
    assert_string_equal(
        out, "a\\x1B[2J\\x0A\\x09\\\\\\x7F\\xFF\xc3\xa9\\u{009B}\\u{202E}\\u{2066}z");
    free(out);
}

static char *printed(void (*print)(const struct kymo_cli *, FILE *))
{
    static char text[8192];
    FILE *f = fmemopen(text, sizeof(text), "w");
    assert_non_null(f);
    print(&cli, f);
    fclose(f);
    return text;
}

static void help_begins_with_the_summary_and_names_every_row(void **state)
{
    (void)state;
    const char *text = printed(kymo_cli_print_help);
    assert_int_equal(strncmp(text, "kymo-toy - try the parser\n", 26), 0);
    assert_non_null(strstr(text, "usage: kymo-toy [OPTION...] [FILE...]\n"));
    assert_non_null(strstr(text, "\nWhat:\n"));
    assert_non_null(strstr(text, "\nExamples:\n  kymo-toy x\n"));
    for (size_t i = 0; i < KYMO_COUNT_OF(rows); i++)
        assert_non_null(strstr(text, rows[i].help));
    assert_non_null(strstr(text, "--version"));
}

static void words_are_a_line_an_option_with_its_choices(void **state)
{
    (void)state;
    const char *text = printed(kymo_cli_print_words);
    assert_non_null(strstr(text, "\n--color\tauto|always|never\tcolours\n"));
    assert_non_null(strstr(text, "-w\tFILE\twrite here\n"));
    assert_null(strstr(text, "What"));
}

static void mdoc_guards_arguments_that_look_like_macros(void **state)
{
    (void)state;
    const char *text = printed(kymo_cli_print_mdoc);
    assert_int_equal(strncmp(text, ".Sh SYNOPSIS\n.Nm\n", 17), 0);
    assert_non_null(
        strstr(text, ".It Fl k , Fl -clusters Ar \"\\&N\"\nNumber of states (8).\n"));
    assert_non_null(strstr(text, "\n.Op Ar \"\\&FILE\" ...\n"));
    assert_non_null(strstr(text, ".Sh OPTIONS\n.Ss What\n"));
}

static void mdoc_writes_positionals_of_any_shape(void **state)
{
    (void)state;
    static const struct {
        const char *positional, *want;
    } t[] = {
        {"FILE", ".Ar \"\\&FILE\"\n.Sh OPTIONS"},
        {"A B...", ".Ar \"\\&A\"\n.Ar \"\\&B\" ...\n.Sh OPTIONS"},
        {"[-- CMD [ARG...]]", ".Op Fl - Ar \"\\&CMD\" Op Ar \"\\&ARG\" ...\n.Sh OPTIONS"},
        {"[A] [B", ".Op Ar \"\\&A\"\n.Op Ar \"\\&B\"\n.Sh OPTIONS"},
        {"]A", ".Ar \"\\&A\"\n.Sh OPTIONS"},
    };
    struct kymo_cli shaped = cli;
    for (size_t i = 0; i < KYMO_COUNT_OF(t); i++) {
        char text[8192];
        FILE *f = fmemopen(text, sizeof(text), "w");
        shaped.positional = t[i].positional;
        kymo_cli_print_mdoc(&shaped, f);
        fclose(f);
        if (!strstr(text, t[i].want))
            fail_msg("%s: no \"%s\" in\n%s", t[i].positional, t[i].want, text);
    }
}

static void each_status_has_its_exit(void **state)
{
    (void)state;
    assert_int_equal(kymo_cli_exit(KYMO_OK), 0);
    assert_int_equal(kymo_cli_exit(KYMO_EUSAGE), 2);
    assert_int_equal(kymo_cli_exit(KYMO_EINPUT), 3);
    assert_int_equal(kymo_cli_exit(KYMO_ECORRUPT), 3);
    assert_int_equal(kymo_cli_exit(KYMO_EHOST), 4);
    assert_int_equal(kymo_cli_exit(KYMO_EOUTPUT), 6);
    assert_int_equal(kymo_cli_exit(KYMO_EPIPE), 141);
    assert_int_equal(kymo_cli_exit(KYMO_ESTOPPED), 128 + SIGINT);
}

static void bare_inputs_follow_those_of_an_option_and_have_an_end(void **state)
{
    (void)state;
    char a[] = "a", b[] = "b";
    char *argv[] = {a, a, b};
    struct kymo_opt_list list = {.v = {"given"}, .n = 1};
    assert_int_equal(kymo_cli_inputs("tool", 3, argv, 1, &list), KYMO_CLI_GO_ON);
    assert_int_equal(list.n, 3);
    assert_string_equal(list.v[0], "given");
    assert_string_equal(list.v[2], "b");
    list.n = KYMO_OPT_LIST_MAX - 1;
    assert_int_equal(kymo_cli_inputs("tool", 3, argv, 1, &list), KYMO_EXIT_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(what_is_not_given_keeps_its_default),
        cmocka_unit_test(options_may_follow_positionals),
        cmocka_unit_test(after_two_dashes_all_is_positional),
        cmocka_unit_test(a_mistake_is_one_line_that_says_what_is_wanted),
        cmocka_unit_test(a_refused_value_leaves_the_old_one),
        cmocka_unit_test(a_slip_in_an_option_names_the_nearest),
        cmocka_unit_test(what_a_message_quotes_cannot_command_the_terminal),
        cmocka_unit_test(a_list_has_an_end),
        cmocka_unit_test(bare_inputs_follow_those_of_an_option_and_have_an_end),
        cmocka_unit_test(times_take_units_and_bare_numbers_are_seconds),
        cmocka_unit_test(sizes_take_binary_units),
        cmocka_unit_test(numbers_for_people_stay_short_and_turn_over_where_they_should),
        cmocka_unit_test(print_safe_leaves_nothing_a_terminal_obeys),
        cmocka_unit_test(help_begins_with_the_summary_and_names_every_row),
        cmocka_unit_test(words_are_a_line_an_option_with_its_choices),
        cmocka_unit_test(mdoc_guards_arguments_that_look_like_macros),
        cmocka_unit_test(mdoc_writes_positionals_of_any_shape),
        cmocka_unit_test(each_status_has_its_exit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
