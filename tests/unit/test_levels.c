/* SPDX-License-Identifier: Apache-2.0
 * test_levels.c: who is recorded how: filters to steps, cells to windows, a budget to levels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/budget.h"
#include "record/counts.h"
#include "record/host.h"
#include "record/rules.h"

/* ---- rules: the steps, walked as the kernel side walks them -------------------------------- */

static uint64_t number_of(const struct kymo_event_task *t, uint8_t field)
{
    switch (field) {
    case KYMO_RULE_PID:
        return t->pid;
    case KYMO_RULE_TID:
        return t->head.tid;
    case KYMO_RULE_PPID:
        return t->ppid;
    case KYMO_RULE_UID:
        return t->uid;
    default:
        return t->gid;
    }
}

static int test_holds(const struct kymo_rule_step *s, const struct kymo_event_task *t)
{
    uint64_t comm[2];

    memcpy(comm, t->comm, sizeof(comm));
    if (s->field == KYMO_RULE_COMM)
        return (comm[0] & s->mask[0]) == s->value[0] && (comm[1] & s->mask[1]) == s->value[1];
    if (s->op == KYMO_RULE_LT)
        return number_of(t, s->field) < s->value[0];
    return number_of(t, s->field) == s->value[0];
}

static int holds(const struct kymo_rule *r, const struct kymo_event_task *t)
{
    int stack[KYMO_RULE_STEPS_MAX + 1] = {1}, n = 1;

    for (uint32_t i = 0; i < r->n; i++)
        switch (r->step[i].kind) {
        case KYMO_RULE_TEST:
            stack[n++] = test_holds(&r->step[i], t);
            break;
        case KYMO_RULE_NOT:
            stack[n - 1] = !stack[n - 1];
            break;
        case KYMO_RULE_AND:
            n--;
            stack[n - 1] = stack[n - 1] && stack[n];
            break;
        default:
            n--;
            stack[n - 1] = stack[n - 1] || stack[n];
        }
    return stack[n - 1];
}

static int chosen(const char *filter, uint32_t pid, uint32_t uid, const char *comm)
{
    struct kymo_rule r = {0};
    struct kymo_event_task t = {.head = {.tid = pid}, .pid = pid, .uid = uid};

    strncpy(t.comm, comm, sizeof(t.comm) - 1);
    assert_int_equal(rules_filter(&r, filter, NULL), KYMO_OK);
    return holds(&r, &t);
}

static void a_filter_means_in_the_kernel_what_it_means_in_a_capture(void **state)
{
    (void)state;
    assert_true(chosen("comm == redis", 1, 0, "redis"));
    assert_false(chosen("comm == redis", 1, 0, "redis-server"));
    assert_true(chosen("comm ~ \"redis*\"", 1, 0, "redis-server"));
    assert_false(chosen("comm !~ \"redis*\"", 1, 0, "redis"));
    assert_true(chosen("comm == abcdefghijklmno", 1, 0, "abcdefghijklmno"));
    assert_true(chosen("pid < 5 && uid >= 1000", 4, 1000, ""));
    assert_false(chosen("pid < 5 && uid >= 1000", 5, 1000, ""));
    assert_true(chosen("pid <= 5", 5, 0, ""));
    assert_false(chosen("pid > 5", 5, 0, ""));
    assert_true(chosen("!(pid == 5) || uid != 0", 5, 7, ""));
    assert_false(chosen("!(pid == 5) || uid != 0", 5, 0, ""));
    assert_true(chosen("pid == 1 && uid == 2 || comm == x", 9, 9, "x"));
}

static void what_the_kernel_side_cannot_answer_is_refused_by_name(void **state)
{
    static const char *const refused[] = {"path == \"/etc\"", "comm",
                                          "comm ~ \"a*b\"",   "pid == 1.5",
                                          "pid < 1ms",        "uid == \"root\"",
                                          "pid == -1",        "ret < 0",
                                          "comm < x",         "cgroup == \"/no/such/cgroup\"",
                                          "cgroup < 5",       "pid == 4294967296"};
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct kymo_rule r = {0};
        struct kymo_err err = {0};
        assert_int_equal(rules_filter(&r, refused[i], &err), KYMO_EUSAGE);
        assert_true(err.text[0]);
    }
}

static void more_steps_than_the_kernel_side_holds_are_refused(void **state)
{
    char text[4096] = "pid == 1";
    struct kymo_rule r = {0};
    (void)state;
    for (int i = 0; i < 40; i++)
        strcat(text, " || pid == 1");
    assert_int_equal(rules_filter(&r, text, NULL), KYMO_EUSAGE);
}

/* ---- counts ---------------------------------------------------------------------------------- */

#define CPUS 2u
#define CELLS 64u

struct fake {
    struct kymo_cell cell[CPUS][CELLS];
    struct counts *counts;
    struct kymo_rows *count, *error;
    uint32_t room; /* rows that may be given out */
    uint32_t n_named;
};

static struct kymo_cell *fake_cells(void *ctx, uint32_t cpu, uint32_t *n)
{
    *n = CELLS;
    return ((struct fake *)ctx)->cell[cpu];
}

static struct kymo_rows *fake_rows(void *ctx, const struct kymo_schema *schema)
{
    struct fake *f = ctx;

    if (schema == &KYMO_TABLE_COUNT_ERROR)
        return f->error;
    return f->room-- ? f->count : NULL;
}

static void fake_name(void *ctx, uint32_t arch, uint32_t nr)
{
    (void)arch, (void)nr;
    ((struct fake *)ctx)->n_named++;
}

static int setup(void **state)
{
    struct fake *f = calloc(1, sizeof(*f));
    const struct counts_source source = {f, CPUS, fake_cells};
    const struct kymo_event_task t = {.head = {.tid = 70},
                                      .pid = 70,
                                      .start_ns = 700,
                                      .cgroup_id = 3,
                                      .comm = "one",
                                      .entity = 5};

    assert_non_null(f);
    f->room = 1000;
    assert_int_equal(counts_open(&f->counts, &source, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&f->count, &KYMO_TABLE_COUNT, 100, NULL), KYMO_OK);
    assert_int_equal(kymo_rows_open(&f->error, &KYMO_TABLE_COUNT_ERROR, 100, NULL), KYMO_OK);
    counts_learn(f->counts, &t);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;

    counts_close(f->counts);
    kymo_rows_close(f->count);
    kymo_rows_close(f->error);
    free(f);
    return 0;
}

static struct kymo_cell *cell(struct fake *f, uint32_t cpu, uint32_t at, uint32_t entity,
                              uint32_t nr)
{
    f->cell[cpu][at].key = (uint64_t)entity << 32 | (nr + 1);
    return &f->cell[cpu][at];
}

static void window(struct fake *f, uint64_t ts)
{
    kymo_rows_clear(f->count);
    kymo_rows_clear(f->error);
    counts_window(f->counts, ts, 10, fake_rows, fake_name, f);
}

static uint64_t got(const struct fake *f, uint32_t column)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < f->count->n_rows; i++)
        sum += f->count->lane[column][i];
    return sum;
}

static void a_window_is_what_was_added_since_the_last_one_over_all_cpus(void **state)
{
    struct fake *f = *state;
    struct kymo_cell *a = cell(f, 0, 3, 5, 0), *b = cell(f, 1, 9, 5, 0);

    a->calls = 10, a->bytes = 100, a->timed = 2, a->time_ns = 50, a->lat[1] = 2;
    b->calls = 5, b->bytes = 1;
    window(f, 1000);
    assert_int_equal(f->count->n_rows, 1);
    assert_int_equal(got(f, KYMO_COUNT_CALLS), 15);
    assert_int_equal(got(f, KYMO_COUNT_BYTES), 101);
    assert_int_equal(got(f, KYMO_COUNT_LAT + 1), 2);
    assert_int_equal(got(f, KYMO_COUNT_PID), 70);
    assert_int_equal(got(f, KYMO_COUNT_TS), 1000);
    window(f, 2000);
    assert_int_equal(f->count->n_rows, 0);
    b->calls += 7;
    window(f, 3000);
    assert_int_equal(got(f, KYMO_COUNT_CALLS), 7);
}

static void counters_that_wrap_lose_nothing(void **state)
{
    struct fake *f = *state;
    struct kymo_cell *a = cell(f, 0, 3, 5, 0);

    a->calls = UINT32_MAX - 1;
    window(f, 1000);
    a->calls += 5;
    window(f, 2000);
    assert_int_equal(got(f, KYMO_COUNT_CALLS), 5);
}

static void kinds_of_errors_of_several_cpus_are_joined(void **state)
{
    struct fake *f = *state;
    struct kymo_cell *a = cell(f, 0, 3, 5, 21), *b = cell(f, 1, 3, 5, 21);
    uint64_t sum = 0;

    a->calls = b->calls = 20, a->errors = 3, b->errors = 4;
    a->err[0].no = 2, a->err[0].n = 3;
    b->err[0].no = 13, b->err[0].n = 1, b->err[1].no = 2, b->err[1].n = 2, b->errno_other = 1;
    window(f, 1000);
    assert_int_equal(got(f, KYMO_COUNT_ERRORS), 7);
    assert_int_equal(f->error->n_rows, 3); /* 2, 13 and others */
    for (uint32_t i = 0; i < f->error->n_rows; i++)
        sum += f->error->lane[KYMO_COUNT_ERROR_CALLS][i];
    assert_int_equal(sum, 7);
}

static void a_row_without_a_buffer_is_in_the_next_window(void **state)
{
    struct fake *f = *state;

    cell(f, 0, 1, 5, 0)->calls = 4;
    cell(f, 0, 2, 5, 1)->calls = 6;
    f->room = 1;
    window(f, 1000);
    assert_int_equal(f->count->n_rows, 1);
    const uint64_t first = got(f, KYMO_COUNT_CALLS);
    f->room = 100;
    window(f, 2000);
    assert_int_equal(first + got(f, KYMO_COUNT_CALLS), 10);
}

static void calls_of_nobody_in_particular_say_so(void **state)
{
    struct fake *f = *state;

    cell(f, 0, 1, 0, 0)->calls = 4;  /* no room for its entity */
    cell(f, 0, 2, 99, 0)->calls = 2; /* an entity that was never announced */
    window(f, 1000);
    assert_int_equal(f->count->n_rows, 2);
    assert_int_equal(got(f, KYMO_COUNT_CALLS), 6);
    assert_int_equal(got(f, KYMO_COUNT_PID), 0);
}

static void the_cells_of_an_ended_process_are_given_back_when_they_stand_still(void **state)
{
    struct fake *f = *state;
    struct kymo_cell *a = cell(f, 0, 3, 5, 0);

    a->calls = 10;
    window(f, 1000);
    counts_ended(f->counts, 5);
    a->calls = 12; /* a thread of it goes on */
    window(f, 2000);
    for (uint64_t i = 0; i < 20; i++)
        window(f, 3000 + i);
    assert_int_equal(a->key >> 32, 5); /* it went on, so it is not known to have ended */
    counts_ended(f->counts, 5);
    for (uint64_t i = 0; i < 20; i++)
        window(f, 4000 + i);
    assert_int_equal(a->key, 0);
    assert_int_equal(a->calls, 0);
    cell(f, 0, 3, 5, 0)->calls = 1;
    window(f, 5000);
    assert_int_equal(got(f, KYMO_COUNT_CALLS), 1);
}

/* ---- budget ---------------------------------------------------------------------------------- */

#define S 1000000000ull

/* One second at this share of a CPU; the step, or level 99 when there is none. */
static struct budget_step second(struct budget *b, uint64_t *now, uint64_t *cpu, double share,
                                 uint64_t rss)
{
    struct budget_step step = {.to = 99};

    *now += S;
    *cpu += (uint64_t)(share * 1e9);
    budget_look(b, *now, *cpu, rss, &step);
    return step;
}

static void it_goes_down_step_by_step_and_no_further_than_off(void **state)
{
    struct budget b;
    uint64_t now = S, cpu = 0;
    uint32_t level = KYMO_LEVEL_FULL;
    (void)state;
    budget_init(&b, .02, 0, KYMO_LEVEL_FULL);
    second(&b, &now, &cpu, 0, 0);
    for (int i = 0; i < 20; i++) {
        const struct budget_step step = second(&b, &now, &cpu, .5, 0);
        if (step.to == 99)
            continue;
        assert_int_equal(step.from, level);
        assert_int_equal(step.to, level - 1);
        assert_string_equal(step.why, "cpu");
        level--;
    }
    assert_int_equal(level, KYMO_LEVEL_OFF);
}

static void one_expensive_second_is_forgiven(void **state)
{
    struct budget b;
    uint64_t now = S, cpu = 0;
    (void)state;
    budget_init(&b, .02, 0, KYMO_LEVEL_FULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(second(&b, &now, &cpu, i % 2 ? .5 : .001, 0).to, 99);
}

static void it_comes_back_after_a_calm_time_that_grows_with_each_mistake(void **state)
{
    struct budget b;
    uint64_t now = S, cpu = 0;
    int calm[3] = {0};
    (void)state;
    budget_init(&b, .02, 0, KYMO_LEVEL_FULL);
    second(&b, &now, &cpu, 0, 0);
    for (int round = 0; round < 3; round++) {
        while (second(&b, &now, &cpu, .5, 0).to == 99)
            ;
        assert_int_equal(b.level, KYMO_LEVEL_COUNTS);
        while (second(&b, &now, &cpu, .001, 0).to == 99)
            calm[round]++;
        assert_int_equal(b.level, KYMO_LEVEL_FULL);
    }
    assert_true(calm[0] < calm[1] && calm[1] < calm[2]);
}

static void it_never_records_more_than_was_asked_for(void **state)
{
    struct budget b;
    uint64_t now = S, cpu = 0;
    (void)state;
    budget_init(&b, .02, 0, KYMO_LEVEL_COUNTS);
    for (int i = 0; i < 100; i++)
        assert_int_equal(second(&b, &now, &cpu, .001, 0).to, 99);
    assert_int_equal(b.level, KYMO_LEVEL_COUNTS);
}

static void memory_above_its_bound_is_a_reason_too(void **state)
{
    struct budget b;
    uint64_t now = S, cpu = 0;
    (void)state;
    budget_init(&b, 0, 64 << 20, KYMO_LEVEL_FULL);
    second(&b, &now, &cpu, 0, 0);
    second(&b, &now, &cpu, 0, 65 << 20);
    const struct budget_step step = second(&b, &now, &cpu, 0, 65 << 20);
    assert_int_equal(step.to, KYMO_LEVEL_COUNTS);
    assert_string_equal(step.why, "memory");
    assert_true(step.value == (double)(65 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_means_in_the_kernel_what_it_means_in_a_capture),
        cmocka_unit_test(what_the_kernel_side_cannot_answer_is_refused_by_name),
        cmocka_unit_test(more_steps_than_the_kernel_side_holds_are_refused),
        cmocka_unit_test_setup_teardown(
            a_window_is_what_was_added_since_the_last_one_over_all_cpus, setup, teardown),
        cmocka_unit_test_setup_teardown(counters_that_wrap_lose_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(kinds_of_errors_of_several_cpus_are_joined, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_row_without_a_buffer_is_in_the_next_window, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(calls_of_nobody_in_particular_say_so, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_cells_of_an_ended_process_are_given_back_when_they_stand_still, setup,
            teardown),
        cmocka_unit_test(it_goes_down_step_by_step_and_no_further_than_off),
        cmocka_unit_test(one_expensive_second_is_forgiven),
        cmocka_unit_test(it_comes_back_after_a_calm_time_that_grows_with_each_mistake),
        cmocka_unit_test(it_never_records_more_than_was_asked_for),
        cmocka_unit_test(memory_above_its_bound_is_a_reason_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
