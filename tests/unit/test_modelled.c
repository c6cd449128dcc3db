/* SPDX-License-Identifier: Apache-2.0
 * test_modelled.c: windows of two captures meet by their place and entity, and are held against the states
 * of a model that the tools made.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/trace/reader.h"
#include "format/trace/writer.h"
#include "replay/proof/modelled.h"

#define S 1000000000ull
#define FIRST (1000 * S) /* where synth begins */

static char folder[] = "/tmp/kymo-test-XXXXXX";

/* Captures of five phases, five seconds each: idle reads writes storm diskfull; the last two are bad. */
static const char script[] =
    "set -e\n"
    "build=${KYMO_BUILD:-$PWD/build/release}; PATH=${KYMO_BIN:-$build/bin}:$PATH\n"
    "synth=$build/datasets/synth; cd \"$1\"\n"
    "$synth -w train.kymo --seconds 20\n"
    "for by in host process; do\n"
    "  kymo-featurize -q --by $by train.kymo -w $by.kymo\n"
    "  kymo-kmeans -q -k 5 $by.kymo -w $by.json\n"
    "done\n"
    "kymo-label -q host.json --marks host.kymo --verdict "
    "idle=good,reads=good,writes=good,storm=bad,diskfull=bad\n"
    "$synth -w a.kymo --seed 5 --seconds 5 --phases idle,reads,writes,storm,diskfull\n"
    "$synth -w b.kymo --seed 6 --seconds 5 --phases idle,reads,writes,storm,diskfull\n"
    "$synth -w other.kymo --seed 7 --seconds 5 --phases idle,reads,writes,idle,diskfull\n"
    "$synth -w quiet.kymo --seed 8 --seconds 5 --phases idle,reads\n"
    "$synth -w lossy.kymo --seed 6 --seconds 5 --phases idle,reads,writes,storm,diskfull "
    "--lose storm\n"
    "kymo-slice -q --since 5s b.kymo -w late.kymo\n";

static int make(void **state)
{
    (void)state;
    char command[4096];
    assert_non_null(mkdtemp(folder));
    FILE *f;
    snprintf(command, sizeof(command), "timeout -k 5 100 bash -s %s", folder);
    f = popen(command, "w");
    assert_non_null(f);
    fputs(script, f);
    assert_int_equal(pclose(f), 0);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof(command), "timeout -k 5 20 rm -r %s", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[4][128];
    static unsigned at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof(path[at]), "%s/%s", folder, name);
    return path[at];
}

static struct kymo_modelled compare(const char *model, const char *a, const char *b,
                                    uint64_t a_ns, uint64_t b_ns, const char *word)
{
    struct kymo_modelled m = {0};
    struct kymo_err err = {0};
    const struct kymo_modelled_opts o = {.model = in_folder(model),
                                         .original = in_folder(a),
                                         .again = in_folder(b),
                                         .original_first_ns = a_ns,
                                         .original_last_ns = FIRST + 25 * S,
                                         .again_first_ns = b_ns,
                                         .state = word};
    if (kymo_modelled_compare(&m, &o, &err))
        fail_msg("%s", err.text);
    return m;
}

static void the_same_behaviour_is_in_the_same_states(void **state)
{
    (void)state;
    const struct kymo_modelled m = compare("host.json", "a.kymo", "b.kymo", FIRST, FIRST, NULL);
    assert_int_equal(m.windows, 25);
    assert_int_equal(m.same, 25);
    assert_int_equal(m.bad_windows, 10);
    assert_int_equal(m.bad_same, 10);
    assert_int_equal(m.states, 5);
    assert_null(m.why_not);
}

static void a_bad_phase_that_did_not_come_is_seen(void **state)
{
    (void)state;
    const struct kymo_modelled m =
        compare("host.json", "a.kymo", "other.kymo", FIRST, FIRST, NULL);
    assert_int_equal(m.windows, 25);
    assert_int_equal(m.same, 20);
    assert_int_equal(m.bad_same, 5);
    assert_true(m.agreement == .8 && m.bad_agreement == .5);
}

static void windows_meet_by_their_time_since_the_first_call(void **state)
{
    (void)state;
    struct kymo_modelled m =
        compare("host.json", "a.kymo", "late.kymo", FIRST + 5 * S, FIRST + 5 * S, NULL);
    assert_int_equal(m.windows, 20);
    assert_int_equal(m.same, 20);
    /* As if all had come five seconds earlier: no phase meets its own. */
    m = compare("host.json", "a.kymo", "late.kymo", FIRST, FIRST + 5 * S, NULL);
    assert_int_equal(m.windows, 25);
    assert_int_equal(m.same, 0);
}

/* A capture whose processes started at another time. */
static void restart(const char *from, const char *to)
{
    kymo_reader *r;
    struct kymo_writer *w;
    const struct kymo_batch *b;
    const int f = open(in_folder(to), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(f >= 0);
    assert_int_equal(kymo_reader_open(&r, in_folder(from), 0, NULL), KYMO_OK);
    assert_int_equal(kymo_writer_open(&w, f, to, 1, NULL), KYMO_OK);
    for (;;) {
        assert_int_equal(kymo_reader_next(r, &b, NULL), KYMO_OK);
        if (!b)
            break;
        for (uint32_t i = 0; !strcmp(kymo_batch_table(b), "syscall") && i < b->n_tasks; i++)
            b->lane[KYMO_SYSCALL_START][i] += 4711;
        assert_int_equal(
            kymo_writer_put(w, b, kymo_reader_chunk(r)->flags & KYMO_CHUNK_SEAL, NULL),
            KYMO_OK);
    }
    assert_int_equal(kymo_writer_finish(w, NULL), KYMO_OK);
    kymo_writer_close(w);
    kymo_reader_close(r);
    close(f);
}

static void processes_meet_by_name_and_pid(void **state)
{
    (void)state;
    restart("b.kymo", "restarted.kymo");
    const struct kymo_modelled m =
        compare("process.json", "a.kymo", "restarted.kymo", FIRST, FIRST, NULL);
    assert_int_equal(m.windows, 25);
    assert_int_equal(m.same, 25);
    assert_string_equal(m.why_not, "none of its states is bad");
}

static void few_states_have_no_gate(void **state)
{
    (void)state;
    const struct kymo_modelled m =
        compare("host.json", "quiet.kymo", "a.kymo", FIRST, FIRST, NULL);
    assert_int_equal(m.states, 2);
    assert_string_equal(m.why_not, "it meets fewer than four states");
}

static void windows_that_lost_too_much_say_nothing(void **state)
{
    (void)state;
    const struct kymo_modelled m =
        compare("host.json", "a.kymo", "lossy.kymo", FIRST, FIRST, NULL);
    assert_int_equal(m.windows, 20);
    assert_int_equal(m.bad_windows, 5);
}

static void every_window_can_be_asked_for_one_state(void **state)
{
    (void)state;
    const struct kymo_modelled m =
        compare("host.json", "a.kymo", "quiet.kymo", FIRST, FIRST, "reads");
    assert_int_equal(m.windows, 10);
    assert_int_equal(m.same, 5);
    assert_int_equal(m.bad_windows, 0);
    assert_null(m.why_not); /* told from all five of the model */
    struct kymo_modelled none = {.windows = 77};
    struct kymo_err err = {0};
    const struct kymo_modelled_opts o = {.model = in_folder("host.json"),
                                         .original = in_folder("a.kymo"),
                                         .again = in_folder("b.kymo"),
                                         .state = "nosuch"};
    assert_int_equal(kymo_modelled_compare(&none, &o, &err), KYMO_EUSAGE);
    assert_int_equal(none.windows, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_behaviour_is_in_the_same_states),
        cmocka_unit_test(a_bad_phase_that_did_not_come_is_seen),
        cmocka_unit_test(windows_meet_by_their_time_since_the_first_call),
        cmocka_unit_test(processes_meet_by_name_and_pid),
        cmocka_unit_test(few_states_have_no_gate),
        cmocka_unit_test(windows_that_lost_too_much_say_nothing),
        cmocka_unit_test(every_window_can_be_asked_for_one_state),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
