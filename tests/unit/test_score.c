/* SPDX-License-Identifier: Apache-2.0
 * A model in memory, what it lets in, and the verdicts it gives.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/model/score.h"
#include "format/model/words.h"

#define HELD 199

/* Two columns, good state at (0, 0), bad at (10, 0), unnamed at (0, 10), spread 1 each; held-out
 * distances 0, .01, ... 1.98. */
static void make_model(struct kymo_model *m)
{
    kymo_model_init(m);
    assert_int_equal(kymo_model_shape(m, 2, 3, NULL), KYMO_OK);
    memcpy(m->family, "kmeans", 7);
    m->finished = 1;
    static const char *const name[2] = {"alpha", "beta"};
    for (size_t j = 0; j < 2; j++)
        m->column[j] = (struct kymo_model_column){name[j], "1/s", KYMO_BEND_NONE, 0, 1, 1};
    for (size_t c = 0; c < 3; c++) {
        m->state[c].spread = 1;
        m->state[c].size = 5;
    }
    m->state[0].verdict = KYMO_GOOD;
    m->state[1].verdict = KYMO_BAD;
    m->state[1].centre[0] = 10;
    m->state[2].centre[1] = 10;
    m->n_holdout = HELD;
    m->holdout = KYMO_NEW(&m->arena, double, HELD);
    for (size_t i = 0; i < HELD; i++)
        m->holdout[i] = (double)i / 100;
    m->fit = json_object();
    m->provenance = json_object();
}

static struct kymo_score score(const struct kymo_model *m, double x, double y, double lost)
{
    struct kymo_scorer *s;
    struct kymo_score out;
    const double row[2] = {x, y};
    assert_int_equal(kymo_scorer_open(&s, m, 0.01, NULL), KYMO_OK);
    assert_int_equal(kymo_score_row(s, row, lost, 0, &out, NULL), KYMO_OK);
    kymo_scorer_close(s);
    return out;
}

static void a_window_has_the_verdict_of_its_state(void **state)
{
    (void)state;
    struct kymo_model m;
    make_model(&m);
    assert_int_equal(score(&m, 0.5, 0, 0).outcome, KYMO_OUT_GOOD);
    assert_int_equal(score(&m, 9.5, 0, 0).outcome, KYMO_OUT_BAD);
    assert_int_equal(score(&m, 0, 9.5, 0).outcome, KYMO_OUT_UNKNOWN);
    assert_int_equal(score(&m, 0.5, 0, 0.02).outcome, KYMO_OUT_INCONCLUSIVE);
    kymo_model_release(&m);
}

static void a_window_far_from_all_states_is_unknown(void **state)
{
    (void)state;
    struct kymo_model m;
    make_model(&m);
    const struct kymo_score far = score(&m, 0, -5, 0);
    assert_true(far.is_novel);
    assert_int_equal(far.outcome, KYMO_OUT_UNKNOWN);
    assert_true(far.p == 1.0 / (HELD + 1));
    m.n_holdout = 20; /* too few for a p-value: then by distance */
    assert_true(isnan(score(&m, 0, -5, 0).p));
    assert_int_equal(score(&m, 0, -5, 0).outcome, KYMO_OUT_GOOD);
    assert_int_equal(score(&m, 0, -7, 0).outcome, KYMO_OUT_UNKNOWN);
    kymo_model_release(&m);
}

static void p_values_count_the_held_out_and_never_reach_zero(void **state)
{
    (void)state;
    const double held[] = {1, 2, 2, 3};
    assert_true(kymo_conformal_p(4, held, 0) == 1);
    assert_true(kymo_conformal_p(4, held, 2) == 4 / 5.0);
    assert_true(kymo_conformal_p(4, held, 2.5) == 2 / 5.0);
    assert_true(kymo_conformal_p(4, held, 99) == 1 / 5.0);
    assert_true(kymo_conformal_p(0, held, 99) == 1);
}

static void reasons_are_against_the_nearest_good_state(void **state)
{
    (void)state;
    struct kymo_model m;
    make_model(&m);
    const struct kymo_score s = score(&m, 10, 1, 0);
    assert_int_equal(s.n_reasons, 2);
    assert_int_equal(s.reason[0].column, 0);
    assert_true(s.reason[0].value == 10 && s.reason[0].usual == 0);
    assert_true(fabs(s.reason[0].share - 100 / 101.0) < 1e-15);
    assert_int_equal(s.reason[1].column, 1);
    kymo_model_release(&m);
}

static void confidence_is_half_between_two_verdicts(void **state)
{
    (void)state;
    struct kymo_model m;
    make_model(&m);
    assert_true(score(&m, 0, 0, 0).confidence == 1);
    assert_true(fabs(score(&m, 5, 0, 0).confidence - 0.5) < 1e-15);
    kymo_model_release(&m);
}

static void rules_are_on_shares_of_what_is_conclusive(void **state)
{
    (void)state;
    struct kymo_rules r;
    uint64_t count[KYMO_OUTCOMES] = {[KYMO_OUT_GOOD] = 97,
                                     [KYMO_OUT_BAD] = 2,
                                     [KYMO_OUT_UNKNOWN] = 1,
                                     [KYMO_OUT_INCONCLUSIVE] = 100};
    assert_int_equal(kymo_rules_parse(&r, "bad>2%,unknown>10%", NULL), KYMO_OK);
    assert_null(kymo_rules_broken(&r, count));
    count[KYMO_OUT_BAD] = 3;
    assert_ptr_equal(kymo_rules_broken(&r, count), &r.rule[0]);
    assert_int_equal(kymo_rules_parse(&r, "bad>=3", NULL), KYMO_OK);
    assert_non_null(kymo_rules_broken(&r, count));
    assert_int_equal(kymo_rules_parse(&r, "bad>3", NULL), KYMO_OK);
    assert_null(kymo_rules_broken(&r, count));
    assert_int_equal(kymo_rules_parse(&r, "bad>3,fine>2%", NULL), KYMO_EUSAGE);
    assert_int_equal(r.n, 1); /* as it was */
}

static char *model_text(const struct kymo_model *m, char *path)
{
    static char text[1 << 16];
    assert_int_equal(kymo_model_write(m, path, 1, NULL), KYMO_OK);
    FILE *f = fopen(path, "r");
    const size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

static void a_model_comes_back_as_it_was_written(void **state)
{
    (void)state;
    char path[] = "/tmp/kymo-model-XXXXXX";
    close(mkstemp(path));
    struct kymo_model m, back;
    make_model(&m);
    m.seed = UINT64_MAX;
    m.column[1].mean = 0.1;
    m.transition[5] = 7;
    memcpy(m.state[1].label, "st\xC3\xB6rung", 9);
    static char first[1 << 16];
    strcpy(first, model_text(&m, path));
    kymo_model_init(&back);
    assert_int_equal(kymo_model_read(&back, path, NULL), KYMO_OK);
    assert_true(back.seed == UINT64_MAX && back.column[1].mean == 0.1 &&
                back.transition[5] == 7);
    assert_string_equal(back.state[1].label, m.state[1].label);
    assert_string_equal(model_text(&back, path), first);
    unlink(path);
    kymo_model_release(&m);
    kymo_model_release(&back);
}

/* The model's text with one place changed; what reading it says. */
static kymo_status read_changed(const char *from, const char *to)
{
    char path[] = "/tmp/kymo-model-XXXXXX";
    close(mkstemp(path));
    struct kymo_model m, back;
    make_model(&m);
    const char *text = model_text(&m, path);
    static char changed[1 << 16];
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("the model has no %s", from);
    snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, to,
             at + strlen(from));
    kymo_model_init(&back);
    const kymo_status s = kymo_model_parse(&back, changed, strlen(changed), "x", NULL);
    unlink(path);
    kymo_model_release(&m);
    kymo_model_release(&back);
    return s;
}

static void a_hostile_model_is_refused(void **state)
{
    (void)state;
    assert_int_equal(read_changed("\"spread\": 1.0", "\"spread\": 2.0"), KYMO_OK);
    assert_int_equal(read_changed("\"spread\": 1.0", "\"spread\": -1.0"), KYMO_ECORRUPT);
    assert_int_equal(read_changed("\"scale\": 1.0", "\"scale\": 0.0"), KYMO_ECORRUPT);
    assert_int_equal(read_changed("\"weight\": 1.0", "\"weight\": -1"), KYMO_ECORRUPT);
    assert_int_equal(read_changed("\"purity\": 0.0", "\"purity\": 1.5"), KYMO_ECORRUPT);
    assert_int_equal(read_changed("\"verdict\": \"good\"", "\"verdict\": \"fine\""),
                     KYMO_EINPUT);
    assert_int_equal(read_changed("\"transform\": \"none\"", "\"transform\": \"magic\""),
                     KYMO_EINPUT);
    assert_int_equal(read_changed("\"version\": 2", "\"version\": 3"), KYMO_EINPUT);
    assert_int_equal(read_changed("kymo-model", "other-model"), KYMO_EINPUT);
    assert_int_equal(read_changed("\"distances\": [", "\"distances\": [9.0,"), KYMO_ECORRUPT);
    assert_int_equal(read_changed("\"distances\": [", "\"distances\": [\"far\","),
                     KYMO_ECORRUPT);
    assert_int_equal(read_changed("\"centre\": [", "\"centre\": [0.0,"), KYMO_ECORRUPT);
    assert_int_equal(read_changed("\"transitions\": [", "\"transitions\": [[],"),
                     KYMO_ECORRUPT);
    assert_int_equal(read_changed("\"states\": [", "\"states\": [], \"more\": ["),
                     KYMO_ECORRUPT);
    assert_true(read_changed("\"mean\": 0.0", "\"mean\": NaN") != KYMO_OK);
    assert_true(read_changed("\"mean\": 0.0", "\"mean\": 1e999") != KYMO_OK);
}

static void values_read_as_people_say_them(void **state)
{
    (void)state;
    char b[KYMO_VALUE_BYTES];
    assert_string_equal(kymo_value_text(b, 210, "1/s"), "210/s");
    assert_string_equal(kymo_value_text(b, 12345, "1/s"), "12.3k/s");
    assert_string_equal(kymo_value_text(b, 1500000, "ns"), "1.5 ms");
    assert_string_equal(kymo_value_text(b, 4096, "B"), "4.1k B");
    assert_string_equal(kymo_value_text(b, 1e-9, "1/s"), "0/s");
    assert_string_equal(kymo_value_text(b, 0.25, "s/s"), "0.25 s/s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_has_the_verdict_of_its_state),
        cmocka_unit_test(a_window_far_from_all_states_is_unknown),
        cmocka_unit_test(p_values_count_the_held_out_and_never_reach_zero),
        cmocka_unit_test(reasons_are_against_the_nearest_good_state),
        cmocka_unit_test(confidence_is_half_between_two_verdicts),
        cmocka_unit_test(rules_are_on_shares_of_what_is_conclusive),
        cmocka_unit_test(a_model_comes_back_as_it_was_written),
        cmocka_unit_test(a_hostile_model_is_refused),
        cmocka_unit_test(values_read_as_people_say_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
