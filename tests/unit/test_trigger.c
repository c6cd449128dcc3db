/* SPDX-License-Identifier: Apache-2.0
 * test_trigger.c: the language of triggers, and when they fire.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/model/model.h"
#include "record/judge.h"
#include "record/trigger.h"

#define S 1000000000ull

static char pressure[] = "/tmp/kymo-psi-XXXXXX";

static void set_pressure(const char *name, double some, double full)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", pressure, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "some avg10=%.2f avg60=0.00 avg300=0.00 total=1\n", some);
    fprintf(f, "full avg10=%.2f avg60=0.00 avg300=0.00 total=1\n", full);
    fclose(f);
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(pressure))
        return -1;
    set_pressure("cpu", 0, 0);
    set_pressure("io", 0, 0);
    return 0;
}

static int teardown(void **state)
{
    char path[128];
    (void)state;
    static const char *const made[] = {"cpu", "io", "model.json"};
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", pressure, made[i]);
        unlink(path);
    }
    return rmdir(pressure);
}

static kymo_status parse(struct triggers **t, const char *text, struct kymo_err *err)
{
    const char *const texts[] = {text};
    const struct triggers_opts o = {
        .text = texts, .n = 1, .pressure = pressure, .disk = AT_FDCWD};
    return triggers_open(t, &o, err);
}

static void what_the_manual_shows_is_taken(void **state)
{
    static const char *const good[] = {
        "process: kind == exit && code != 0",
        "  syscall :dur > 1s ",
        "rate(syscall: ret < 0) > 1000",
        "rate( syscall : errno == ENOENT || (errno == EACCES) ) >= 2.5 for 10s",
        "share(syscall: errno of syscall == connect) > 10%",
        "share(syscall: comm == \"of ) :\" of comm == 'a of b') <= .5e0",
        "share(process: code) > 0.25 for 1m",
        "psi.io.full > 20",
        "psi.cpu.some >= 20.5% for 30s",
        "disk.free < 5%",
        "syscall: path ~ \"/etc/*\" && comm != 'it\\'s'",
        "count: errors > 100",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct triggers *t;
        struct kymo_err err = {0};
        const kymo_status s = parse(&t, good[i], &err);
        if (i == 5) { /* a number begins with a digit, as everywhere */
            assert_int_equal(s, KYMO_EUSAGE);
            continue;
        }
        if (s)
            fail_msg("%s: %s", good[i], err.text);
        triggers_close(t);
    }
}

static void what_makes_no_sense_is_refused_with_its_place(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        ":",
        "process",
        "process:",
        "proces: code",
        "sysname: nr == 1",
        "process: colour == red",
        "process: code ==",
        "process: pid ~ \"1\"",
        "rate(",
        "rate()",
        "rate() > 1",
        "rate(process: code",
        "rate(process: code)",
        "rate(process: code) 5",
        "rate(process: code) == 5",
        "rate(process: code) > ",
        "rate(process: code) > x",
        "rate(process: code) > 0x10",
        "rate(process: code) > nan",
        "rate(process: code) > 1e99",
        "rate(process: code) > -1",
        "rate(process: code) > 5%",
        "rate(process: code) > 5 for",
        "rate(process: code) > 5 for 0s",
        "rate(process: code) > 5 for 2h",
        "rate(process: code) > 5 for 5 s x",
        "rate(process: code) > 5 x",
        "rate(process: code of pid) > 1",
        "share(process: code) > 1.5",
        "share(process: code) > 101%",
        "share(process: of code) > 1%",
        "share(process: code of ) > 1%",
        "share(process: \"code) > 1%",
        "psi",
        "psi.",
        "psi.disk.some > 1",
        "psi.cpu > 1",
        "psi.cpu.most > 1",
        "psi.cpu.some",
        "psi.cpu.some > 5 for ever",
        "disk.free",
        "disk.free < 5 ",
        "score:",
        "score: 'model.json",
        "score: no.json bad > 5%",
        "score: no.json bad>5% for 3s",
        "score: no.json awful>5%",
        "score: no.json bad<5%",
        "process: ((((code)",
        "process: code for 5s",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct triggers *t = NULL;
        struct kymo_err err = {0};
        if (parse(&t, bad[i], &err) != KYMO_EUSAGE)
            fail_msg("'%s' was taken: %s", bad[i], err.text);
        assert_null(t);
        assert_true(err.text[0]);
    }
    char *long_one = malloc(TRIGGER_BYTES_MAX + 1);
    memset(long_one, '(', TRIGGER_BYTES_MAX);
    long_one[TRIGGER_BYTES_MAX] = 0;
    struct triggers *t = NULL;
    assert_int_equal(parse(&t, long_one, NULL), KYMO_EUSAGE);
    free(long_one);
}

static void a_pressure_that_the_kernel_does_not_tell_is_the_host_s_fault(void **state)
{
    struct triggers *t;
    (void)state;
    assert_int_equal(parse(&t, "psi.memory.some > 1", NULL), KYMO_EHOST);
}

/* ---- rows ---- */

static struct kymo_rows *rows;

static void call(uint64_t ts, uint64_t dur, int64_t ret, uint64_t nr)
{
    if (!rows) {
        assert_int_equal(kymo_rows_open(&rows, &KYMO_TABLE_SYSCALL, 1024, NULL), KYMO_OK);
    }
    if (!rows->n_rows) {
        kymo_rows_add_task(rows);
        rows->lane[KYMO_SYSCALL_PID][0] = 77;
        rows->lane[KYMO_SYSCALL_COMM][0] = kymo_rows_intern(rows, "redis", 5);
        for (uint64_t k = 0; k < 2; k++) {
            const uint16_t key = kymo_rows_add_key(rows);
            rows->lane[KYMO_SYSCALL_ARCH][key] = 0xc000003e;
            rows->lane[KYMO_SYSCALL_NR][key] = k; /* read, write */
        }
    }
    const uint32_t i = kymo_rows_add(rows);
    rows->key[i] = (uint16_t)nr;
    kymo_rows_set(rows, KYMO_SYSCALL_TS, i, ts);
    kymo_rows_set(rows, KYMO_SYSCALL_DUR, i, dur);
    kymo_rows_set(rows, KYMO_SYSCALL_RET, i, (uint64_t)ret);
}

static size_t look(struct triggers *t, struct trigger_hit *hit)
{
    kymo_status s;
    const struct kymo_batch b = kymo_rows_view(rows);
    const size_t n = triggers_look(t, &b, hit, &s, NULL);
    assert_int_equal(s, KYMO_OK);
    return n;
}

static struct triggers *opened(const char *text)
{
    struct triggers *t;
    struct kymo_err err = {0};
    if (parse(&t, text, &err))
        fail_msg("%s: %s", text, err.text);
    return t;
}

static void a_row_fires_once_a_second_and_says_which_it_was(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t = opened("syscall: dur > 1ms && comm ~ \"red*\" && syscall == write");
    (void)state;
    call(10, 5, 0, 1);
    call(11, 2000000, 0, 0);
    assert_int_equal(look(t, hit), 0);
    call(12, 2000000, 0, 1);
    call(13, 3000000, 0, 1);
    assert_int_equal(look(t, hit), 1);
    assert_int_equal(hit[0].ts_ns, 12);
    assert_int_equal(hit[0].pid, 77);
    assert_string_equal(hit[0].text,
                        "syscall: dur > 1ms && comm ~ \"red*\" && syscall == write");
    assert_int_equal(look(t, hit), 0);
    assert_int_equal(triggers_second(t, S, hit), 0);
    assert_int_equal(look(t, hit), 1);
    triggers_close(t);
    kymo_rows_clear(rows);
}

static void negative_results_are_below_zero_in_their_zone(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t = opened("syscall: ret < -1");
    (void)state;
    call(1, 1, 5, 0);
    call(2, 1, -1, 0);
    assert_int_equal(look(t, hit), 0);
    call(3, 1, -2, 0);
    assert_int_equal(look(t, hit), 1);
    assert_int_equal(hit[0].ts_ns, 3);
    triggers_close(t);
    t = opened("syscall: ret > 4");
    assert_int_equal(look(t, hit), 1);
    triggers_close(t);
    t = opened("syscall: !(ret > 4)");
    assert_int_equal(look(t, hit), 1);
    assert_int_equal(hit[0].ts_ns, 2);
    triggers_close(t);
    kymo_rows_clear(rows);
}

static size_t second_with(struct triggers *t, uint64_t second, uint32_t good, uint32_t bad,
                          struct trigger_hit *hit)
{
    for (uint32_t i = 0; i < good + bad; i++)
        call(second * S, 1, i < bad ? -2 : 1, 0);
    assert_int_equal(look(t, hit), 0);
    kymo_rows_clear(rows);
    return triggers_second(t, second * S, hit);
}

static void a_rate_is_of_one_second_and_the_first_does_not_count(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t = opened("rate(syscall: ret < 0) > 50");
    (void)state;
    assert_int_equal(second_with(t, 1, 0, 500, hit), 0);
    assert_int_equal(second_with(t, 2, 500, 50, hit), 0);
    assert_int_equal(second_with(t, 3, 0, 51, hit), 1);
    assert_int_equal(hit[0].ts_ns, 3 * S);
    assert_int_equal(second_with(t, 4, 10, 0, hit), 0);
    assert_int_equal(second_with(t, 6, 0, 90, hit), 0); /* of two seconds */
    triggers_close(t);
}

static void a_share_needs_rows_and_a_hold_needs_seconds(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t = opened("share(syscall: ret < 0 of syscall == read) > 10% for 2s");
    (void)state;
    assert_int_equal(second_with(t, 1, 0, 0, hit), 0);
    assert_int_equal(second_with(t, 2, 0, 99, hit), 0); /* all of too few */
    assert_int_equal(second_with(t, 3, 80, 20, hit), 0);
    assert_int_equal(second_with(t, 4, 80, 20, hit), 1);
    assert_int_equal(second_with(t, 5, 90, 10, hit), 0);
    assert_int_equal(second_with(t, 6, 80, 20, hit), 0);
    triggers_close(t);
}

static void pressure_and_disk_are_read_each_second(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t = opened("psi.io.full > 20%");
    (void)state;
    assert_int_equal(triggers_second(t, 1 * S, hit), 0);
    set_pressure("io", 99, 20);
    assert_int_equal(triggers_second(t, 2 * S, hit), 0);
    set_pressure("io", 99, 20.01);
    assert_int_equal(triggers_second(t, 3 * S, hit), 1);
    triggers_close(t);
    const char *const texts[] = {"disk.free <= 100%", "disk.free < 0%"};
    const int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
    const struct triggers_opts o = {.text = texts, .n = 2, .disk = fd};
    assert_int_equal(triggers_open(&t, &o, NULL), KYMO_OK);
    assert_int_equal(triggers_second(t, 1 * S, hit), 0);
    assert_int_equal(triggers_second(t, 2 * S, hit), 1);
    assert_string_equal(hit[0].text, "disk.free <= 100%");
    triggers_close(t);
    close(fd);
}

/* ---- models ---- */

static char said[512];
static unsigned n_said;

static void listen_to(const char *text)
{
    snprintf(said, sizeof(said), "%s", text);
    n_said++;
}

static char model_path[64];

/* Windows of a second, told apart by their errors ENOENT alone: "calm" is good at 0/s, "storm" is at 1000/s; what is
 * farther than 600/s from both is like neither. by KYMO_BY_COUNT: a model of a matrix without windows. */
static void write_model(enum kymo_by by, enum kymo_verdict storm)
{
    static struct kymo_feature_spec spec;
    struct kymo_model m;
    const bool has_spec = by != KYMO_BY_COUNT;
    snprintf(model_path, sizeof(model_path), "%s/model.json", pressure);
    assert_int_equal(kymo_feature_spec_init(&spec, S, S, has_spec ? by : KYMO_BY_HOST, NULL),
                     KYMO_OK);
    kymo_model_init(&m);
    assert_int_equal(kymo_model_shape(&m, spec.d, 2, NULL), KYMO_OK);
    memcpy(m.family, "kmeans", 7);
    m.finished = m.has_names = 1;
    m.spec = has_spec ? &spec : NULL;
    for (size_t j = 0; j < spec.d; j++) {
        const bool is_it = !strcmp(spec.column[j].name, "error.ENOENT");
        m.column[j] = (struct kymo_model_column){
            spec.column[j].name, spec.column[j].unit, KYMO_BEND_NONE, 0, 1, is_it};
        m.state[1].centre[j] = is_it ? 1000 : 0;
    }
    for (size_t c = 0; c < 2; c++) {
        m.state[c].spread = 100;
        m.state[c].size = 5;
        strcpy(m.state[c].label, c ? "storm" : "calm");
        m.state[c].verdict = c ? storm : KYMO_GOOD;
    }
    m.fit = json_object();
    m.provenance = json_object();
    assert_int_equal(kymo_model_write(&m, model_path, 1, NULL), KYMO_OK);
    kymo_model_release(&m);
}

static kymo_status open_score(struct triggers **t, const char *rules, bool counts_only,
                              struct kymo_err *err)
{
    char text[128];
    const char *const texts[] = {text};
    snprintf(text, sizeof(text), "score: '%s' %s", model_path, rules);
    const struct triggers_opts o = {
        .text = texts, .n = 1, .disk = -1, .counts_only = counts_only, .say = listen_to};
    n_said = 0;
    return triggers_open(t, &o, err);
}

static struct triggers *judging(const char *rules)
{
    struct triggers *t;
    struct kymo_err err = {0};
    write_model(KYMO_BY_HOST, KYMO_BAD);
    if (open_score(&t, rules, false, &err))
        fail_msg("%s", err.text);
    return t;
}

/* A second with so many errors, all in its first half, and its seal. */
static size_t second_of_errors(struct triggers *t, uint64_t second, uint32_t errors,
                               struct trigger_hit *hit)
{
    for (uint32_t i = 0; i <= errors; i++) {
        call(second * S + i * (S / 2 / (errors + 1)), 1, i ? -2 : 1, 0);
        if (kymo_rows_full(rows) || i == errors) {
            assert_int_equal(look(t, hit), 0);
            kymo_rows_clear(rows);
        }
    }
    return triggers_second(t, (second + 1) * S, hit);
}

static void a_model_fires_when_the_seal_closes_a_bad_window_and_says_why(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t = judging("");
    char text[160];
    (void)state;
    assert_int_equal(second_of_errors(t, 1, 10, hit), 0);
    assert_int_equal(second_of_errors(t, 2, 900, hit), 1);
    assert_int_equal(hit[0].ts_ns, 3 * S);
    snprintf(text, sizeof(text),
             "score: %s: 1 bad within a minute, s1 storm; error.ENOENT 900/s, usually 0/s",
             model_path);
    assert_string_equal(hit[0].text, text);
    assert_int_equal(second_of_errors(t, 3, 10, hit), 0); /* bad before, not now */
    assert_int_equal(second_of_errors(t, 4, 1100, hit), 1);
    assert_int_equal(n_said, 0);
    triggers_close(t);
}

static void rules_are_over_the_windows_of_the_last_minute(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t = judging("bad>=3");
    (void)state;
    assert_int_equal(second_of_errors(t, 1, 1000, hit), 0);
    assert_int_equal(second_of_errors(t, 2, 1000, hit), 0);
    assert_int_equal(second_of_errors(t, 3, 0, hit), 0);
    assert_int_equal(second_of_errors(t, 4, 1000, hit), 1);
    for (uint64_t s = 5; s < 62; s++)
        assert_int_equal(second_of_errors(t, s, 0, hit), 0);
    assert_int_equal(second_of_errors(t, 62, 1000, hit), 0); /* the first two are too old */
    assert_int_equal(second_of_errors(t, 63, 1000, hit), 1);
    triggers_close(t);
    t = judging("bad>50%");
    assert_int_equal(second_of_errors(t, 1, 0, hit), 0);
    assert_int_equal(second_of_errors(t, 2, 1000, hit), 0);
    assert_int_equal(second_of_errors(t, 3, 1000, hit), 1);
    triggers_close(t);
}

static void lose(struct triggers *t, uint64_t ts, uint64_t dropped)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct kymo_rows *loss;
    kymo_status s;
    assert_int_equal(kymo_rows_open(&loss, &KYMO_TABLE_LOSS, 1, NULL), KYMO_OK);
    kymo_rows_add(loss);
    kymo_rows_set(loss, KYMO_LOSS_TS, 0, ts);
    kymo_rows_set_str(loss, KYMO_LOSS_SOURCE, 0, "syscall", 7);
    kymo_rows_set(loss, KYMO_LOSS_STORED, 0, 1000);
    kymo_rows_set(loss, KYMO_LOSS_DROPPED_QUEUE, 0, dropped);
    const struct kymo_batch b = kymo_rows_view(loss);
    assert_int_equal(triggers_look(t, &b, hit, &s, NULL), 0);
    assert_int_equal(s, KYMO_OK);
    kymo_rows_close(loss);
}

static void what_is_like_no_state_is_unknown_and_what_was_lost_is_inconclusive(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t = judging("bad>0,unknown>0");
    (void)state;
    assert_int_equal(second_of_errors(t, 1, 0, hit), 0);
    assert_int_equal(second_of_errors(t, 2, 1700, hit), 1);
    assert_non_null(strstr(hit[0].text, "1 unknown within a minute"));
    lose(t, 4 * S, 100);
    assert_int_equal(second_of_errors(t, 3, 1000, hit), 0);
    lose(t, 5 * S, 1);
    assert_int_equal(second_of_errors(t, 4, 1000, hit), 1);
    triggers_close(t);
}

static void a_model_that_cannot_judge_is_refused_with_a_sentence(void **state)
{
    struct triggers *t = NULL;
    struct kymo_err err;
    (void)state;
    assert_int_equal(parse(&t, "score: /no/such/model.json", &err), KYMO_EINPUT);
    assert_non_null(strstr(err.text, "/no/such/model.json"));
    assert_int_equal(parse(&t, "score: /dev/null", &err), KYMO_EINPUT);
    write_model(KYMO_BY_COUNT, KYMO_BAD);
    assert_int_equal(open_score(&t, "", false, &err), KYMO_EINPUT);
    assert_non_null(strstr(err.text, "not of captures"));
    write_model(KYMO_BY_HOST, KYMO_UNKNOWN);
    assert_int_equal(open_score(&t, "", false, &err), KYMO_EINPUT);
    assert_non_null(strstr(err.text, "labelled bad"));
    assert_int_equal(open_score(&t, "unknown>20%", true, &err), KYMO_EUSAGE);
    assert_non_null(strstr(err.text, "--level counts"));
    assert_null(t);
    assert_int_equal(open_score(&t, "unknown>20%", false, &err), KYMO_OK);
    triggers_close(t);
}

/* More processes at once than there is memory for, in a model by process. */
static void a_judge_that_fails_says_so_once_and_begins_anew(void **state)
{
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t;
    struct kymo_rows *many;
    kymo_status s;
    (void)state;
    write_model(KYMO_BY_PROCESS, KYMO_BAD);
    assert_int_equal(open_score(&t, "", false, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&many, &KYMO_TABLE_SYSCALL, 8192, NULL), KYMO_OK);
    for (uint32_t i = 0; i < 8192; i++) {
        const uint32_t task = kymo_rows_add_task(many);
        many->lane[KYMO_SYSCALL_PID][task] = many->lane[KYMO_SYSCALL_TID][task] = i + 1;
        if (!i)
            kymo_rows_add_key(many);
        many->task[kymo_rows_add(many)] = task;
        kymo_rows_set(many, KYMO_SYSCALL_TS, i, S);
    }
    const struct kymo_batch b = kymo_rows_view(many);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(triggers_look(t, &b, hit, &s, NULL), 0);
        assert_int_equal(s, KYMO_OK);
    }
    kymo_rows_close(many);
    assert_int_equal(n_said, 1);
    assert_non_null(strstr(said, "64 MiB"));
    assert_int_equal(triggers_second(t, 2 * S, hit), 0);
    assert_int_equal(second_of_errors(t, 2, 10, hit), 0);
    assert_int_equal(second_of_errors(t, 3, 1000, hit), 1);
    triggers_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_manual_shows_is_taken),
        cmocka_unit_test(what_makes_no_sense_is_refused_with_its_place),
        cmocka_unit_test(a_pressure_that_the_kernel_does_not_tell_is_the_host_s_fault),
        cmocka_unit_test(a_row_fires_once_a_second_and_says_which_it_was),
        cmocka_unit_test(negative_results_are_below_zero_in_their_zone),
        cmocka_unit_test(a_rate_is_of_one_second_and_the_first_does_not_count),
        cmocka_unit_test(a_share_needs_rows_and_a_hold_needs_seconds),
        cmocka_unit_test(pressure_and_disk_are_read_each_second),
        cmocka_unit_test(a_model_fires_when_the_seal_closes_a_bad_window_and_says_why),
        cmocka_unit_test(rules_are_over_the_windows_of_the_last_minute),
        cmocka_unit_test(what_is_like_no_state_is_unknown_and_what_was_lost_is_inconclusive),
        cmocka_unit_test(a_model_that_cannot_judge_is_refused_with_a_sentence),
        cmocka_unit_test(a_judge_that_fails_says_so_once_and_begins_anew),
    };
    const int bad = cmocka_run_group_tests(tests, setup, teardown);
    kymo_rows_close(rows);
    return bad;
}
