/* SPDX-License-Identifier: Apache-2.0
 * test_sequence.c: symbols, conducts as text, how they are made to fit, and what is learned of a shell and a server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/size.h"
#include "replay/synth/study.h"
#include "tests/unit/shellrows.h"

/* -- symbols ---------------------------------------------------------------------------------- */

static void a_symbol_comes_back_from_its_text(void **state)
{
    (void)state;
    static const char *const text[] = {"read:+:5:stream*:0",   "openat:!2:0:-:524288",
                                       "~clone:0:0:process:0", "=execve:0:0:-:0",
                                       "exit_group:.:0:-:0",   "^",
                                       ">redis-server/main+"};
    struct kymo_symbols s;
    assert_int_equal(kymo_symbols_init(&s, NULL), KYMO_OK);
    for (size_t i = 0; i < KYMO_COUNT_OF(text); i++) {
        uint16_t id, again;
        char buf[KYMO_SYMBOL_TEXT];
        assert_int_equal(kymo_symbols_parse(&s, text[i], strlen(text[i]), &id, NULL), KYMO_OK);
        assert_int_equal(id, i);
        assert_string_equal(kymo_symbol_text(&s, id, buf), text[i]);
        assert_int_equal(kymo_symbols_parse(&s, text[i], strlen(text[i]), &again, NULL),
                         KYMO_OK);
        assert_int_equal(again, id);
    }
    kymo_symbols_release(&s);
}

static void what_is_no_symbol_is_refused(void **state)
{
    (void)state;
    static const char *const text[] = {
        "",
        "read",
        "read:+:5:stream",
        "read:+:5:stream:0:1",
        "read:?:5:stream:0",
        "read:!0:5:stream:0",
        "read:!5000:5:stream:0",
        "read:+:65:stream:0",
        "read:+:5:lake:0",
        "read:+:5:*:0",
        "read:+:5:stream:4294967296",
        ":+:5:stream:0",
        "re ad:+:5:stream:0",
        ">",
        "^x",
    };
    struct kymo_symbols s;
    assert_int_equal(kymo_symbols_init(&s, NULL), KYMO_OK);
    for (size_t i = 0; i < KYMO_COUNT_OF(text); i++) {
        uint16_t id = 77;
        struct kymo_err err = {0};
        assert_int_equal(kymo_symbols_parse(&s, text[i], strlen(text[i]), &id, &err),
                         KYMO_ECORRUPT);
        assert_int_equal(id, 77);
        assert_int_equal(s.n, 0);
        assert_non_null(strstr(err.text, "no symbol"));
    }
    kymo_symbols_release(&s);
}

static void thousands_of_symbols_keep_their_ids(void **state)
{
    (void)state;
    struct kymo_symbols s;
    assert_int_equal(kymo_symbols_init(&s, NULL), KYMO_OK);
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < KYMO_SYMBOLS_MAX; i++) {
            const struct kymo_symbol v = {.word = i % 7, .variant = i};
            assert_int_equal(kymo_symbols_add(&s, &v), i);
        }
    const struct kymo_symbol more = {.variant = KYMO_SYMBOLS_MAX};
    assert_int_equal(kymo_symbols_add(&s, &more), KYMO_SYMBOL_NONE);
    kymo_symbols_release(&s);
}

/* -- conducts --------------------------------------------------------------------------------- */

static const char good[] =
    "t 9000000000 3 2 1000000\n"
    "l sh 4\n"
    "e 2 80000 40000 180 0 2097152 1 0\n"
    "o 4 12 0 0 8 0 4 0 4 0 0 0\n"
    "s ^ 3 - - 0/0/0 0*0,0*0,0*0,0*0,0*0,0*0 0*0 - -\n"
    "s read:+:5:stream*:0 10 5000/29:4,33:6 70/10:10 200/16/24 "
    "5*10,p*10,4096*10,0*0,0*0,0*0 0*0 - -\n"
    "s connect:!111:0:socket:0 5 50/3:5 - 0/0/0 3*5,p*5,16*5,0*5,0*5,0*5 "
    "1*5 - 4,0,0,0,0,0,0,0,1\n"
    "g - - - - - 0 1 3\n"
    "g - - - - 0 1 2 2\n"
    "g - - - 0 1 1 1 7\n"
    "g - - - - - 2 1 3\n";

struct conduct {
    struct kymo_symbols s;
    struct kymo_behaviour b;
    struct kymo_conduct *c;
};

static void begin(struct conduct *x)
{
    memset(x, 0, sizeof(*x));
    assert_int_equal(kymo_symbols_init(&x->s, NULL), KYMO_OK);
    x->c = kymo_behaviour_of(&x->b, kymo_symbols_word(&x->s, "sh/main", 7));
    assert_non_null(x->c);
}

static void end(struct conduct *x)
{
    kymo_behaviour_release(&x->b);
    kymo_symbols_release(&x->s);
}

static void a_conduct_comes_back_from_its_text(void **state)
{
    (void)state;
    struct conduct x;
    struct kymo_buf out = {0};
    begin(&x);
    assert_int_equal(kymo_conduct_parse(x.c, &x.s, good, strlen(good), NULL), KYMO_OK);
    assert_int_equal(x.c->n_symbols, 3);
    assert_int_equal(x.c->n_grams, 4);
    assert_int_equal(x.c->symbol[1].gap.sum_ns, 5000);
    assert_int_equal(x.c->symbol[1].gap.n, 10);
    assert_int_equal(x.c->symbol[1].arg[1], KYMO_ARG_LARGE);
    assert_int_equal(x.c->ends.failed, 1);
    kymo_conduct_text(x.c, &x.s, &out);
    kymo_buf_u8(&out, 0);
    assert_int_equal(strlen((const char *)out.p), strlen(good));
    kymo_buf_release(&out);
    end(&x);
}

static void lines_that_no_recording_gives_are_refused_and_nothing_moves(void **state)
{
    (void)state;
#define S "s read:+:5:stream:0 10 5000/29:4 - 0/0/0 0*0,0*0,0*0,0*0,0*0,0*0 0*0 - -\n"
    static const char *const text[] = {
        "x 1\n",
        "t 1 2 3\n",
        "t 1 2 3 4 5\n",
        "t 18446744073709551616 0 0 0\n",
        "s read:+:5:stream:0 0 - - 0/0/0 0*0,0*0,0*0,0*0,0*0,0*0 0*0 - -\n",
        "s read:+:5:stream:0 1 5/160:1 - 0/0/0 0*0,0*0,0*0,0*0,0*0,0*0 0*0 - -\n",
        "s read:+:5:stream:0 1 5/1:0 - 0/0/0 0*0,0*0,0*0,0*0,0*0,0*0 0*0 - -\n",
        "s read:+:5:stream:0 1 - - 0/5/4 0*0,0*0,0*0,0*0,0*0,0*0 0*0 - -\n",
        "s read:+:5:stream:0 1 - - 0/0/0 0*0,0*0,0*0,0*0,0*0 0*0 - -\n",
        "s read:+:5:stream:0 1 - - 0/0/0 0*0,0*0,0*0,0*0,0*0,0*0 9*0 - -\n",
        "s read:+:5:stream:0 1 - - 0/0/0 0*0,0*0,0*0,0*0,0*0,0*0 0*0 1,2 -\n",
        S S,
        S "g - - - - - - 1 1\n",
        S "g - - - - 0 - 0 1\n",
        S "g - - - - - - - 1\n",
        S "g - - - - - - 0 0\n",
        S "g - - - - - - 0\n",
    };
#undef S
    for (size_t i = 0; i < KYMO_COUNT_OF(text); i++) {
        struct conduct x;
        begin(&x);
        assert_int_equal(kymo_conduct_parse(x.c, &x.s, text[i], strlen(text[i]), NULL),
                         KYMO_ECORRUPT);
        assert_int_equal(x.c->n_symbols + x.c->n_grams, 0);
        assert_int_equal(x.c->alive_ns, 0);
        end(&x);
    }
}

static uint64_t grams_of(const struct kymo_conduct *c)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < c->gram_slots; i++)
        n += c->gram[i].n;
    return n;
}

static void a_behaviour_added_twice_is_twice_as_much(void **state)
{
    (void)state;
    struct conduct x;
    struct kymo_behaviour sum = {0};
    begin(&x);
    x.b.seconds = 3;
    assert_int_equal(kymo_conduct_parse(x.c, &x.s, good, strlen(good), NULL), KYMO_OK);
    assert_int_equal(kymo_behaviour_add(&sum, &x.b, 1, NULL), KYMO_OK);
    assert_int_equal(kymo_behaviour_add(&sum, &x.b, 2, NULL), KYMO_OK);
    assert_true(sum.seconds == 9);
    assert_int_equal(sum.n, 1);
    assert_int_equal(grams_of(sum.conduct[0]), 3 * grams_of(x.c));
    assert_int_equal(sum.conduct[0]->symbol[1].n, 30);
    assert_int_equal(sum.conduct[0]->symbol[1].ret_sum, 600);
    assert_int_equal(sum.conduct[0]->symbol[1].ret_min, 16);
    assert_int_equal(sum.conduct[0]->opens[KYMO_ON_STREAM], 24);
    kymo_behaviour_release(&sum);
    end(&x);
}

/* A walk of symbols a, b: after "a a" always b, else by turns. */
static void walk(struct kymo_conduct *c, unsigned steps, unsigned kinds)
{
    uint16_t s[KYMO_GRAM];
    memset(s, 0xff, sizeof(s));
    uint32_t seed = 12345;
    for (unsigned i = 0; i < steps; i++) {
        seed = seed * 1664525u + 1013904223u;
        memmove(s, s + 1, sizeof(s) - sizeof(*s));
        s[KYMO_GRAM - 1] = (uint16_t)((seed >> 16) % kinds);
        assert_true(kymo_conduct_gram(c, s, 1));
        struct kymo_symbol_sums *m = kymo_conduct_symbol(c, s[KYMO_GRAM - 1]);
        assert_non_null(m);
        m->n++;
    }
}

static void pruning_keeps_every_call_and_fits(void **state)
{
    (void)state;
    struct conduct x;
    begin(&x);
    walk(x.c, 60000, 9);
    const uint64_t calls = grams_of(x.c);
    assert_int_equal(calls, 60000);
    assert_true(x.c->n_grams > 20000);
    assert_int_equal(kymo_behaviour_prune(&x.b, 64 << 10, NULL), KYMO_OK);
    assert_int_equal(grams_of(x.c), calls);
    assert_true(x.c->n_grams * 26 <= 64 << 10);
    assert_true(x.c->n_grams > 9);
    end(&x);
}

static void a_context_that_tells_nothing_more_is_dropped(void **state)
{
    (void)state;
    struct conduct x;
    uint16_t s[KYMO_GRAM] = {0};
    begin(&x);
    for (uint16_t i = 0; i < 40; i++) { /* 0 1 2 3 0 1 2 3: the last symbol tells the next */
        memmove(s, s + 1, sizeof(s) - sizeof(*s));
        s[KYMO_GRAM - 1] = i % 4;
        if (i >= KYMO_GRAM)
            assert_true(kymo_conduct_gram(x.c, s, 1));
    }
    assert_int_equal(kymo_behaviour_prune(&x.b, 1 << 20, NULL), KYMO_OK);
    assert_int_equal(x.c->n_grams, 4);
    for (uint32_t i = 0; i < x.c->gram_slots; i++)
        if (x.c->gram[i].n)
            assert_int_equal(x.c->gram[i].s[KYMO_GRAM - 3], KYMO_SYMBOL_NONE);
    end(&x);
}

static void a_section_of_a_model_comes_back(void **state)
{
    (void)state;
    struct conduct x;
    struct kymo_behaviour two[2] = {{0}}, back = {0};
    begin(&x);
    assert_int_equal(kymo_conduct_parse(x.c, &x.s, good, strlen(good), NULL), KYMO_OK);
    x.b.seconds = 4;
    two[1] = x.b;
    json_t *j = kymo_sequence_json(two, 2, &x.s);
    assert_non_null(j);
    assert_int_equal(kymo_sequence_parse(&back, &x.s, j, 0, "m", NULL), KYMO_EINPUT);
    assert_int_equal(kymo_sequence_parse(&back, &x.s, j, 1, "m", NULL), KYMO_OK);
    assert_int_equal(kymo_sequence_parse(&back, &x.s, j, 2, "m", NULL), KYMO_EINPUT);
    assert_int_equal(grams_of(back.conduct[0]), grams_of(x.c));
    json_object_set_new(j, "version", json_integer(2));
    assert_int_equal(kymo_sequence_parse(&back, &x.s, j, 1, "m", NULL), KYMO_EINPUT);
    assert_int_equal(kymo_sequence_parse(&back, &x.s, NULL, 1, "m", NULL), KYMO_EINPUT);
    json_decref(j);
    kymo_behaviour_release(&back);
    end(&x);
}

/* -- learning --------------------------------------------------------------------------------- */

struct learned {
    struct kymo_sequence_learner *l;
    struct kymo_behaviour b;
    char path[64];
};

static int learn(void **state)
{
    struct learned *x = calloc(1, sizeof(*x));
    const struct kymo_study_opts o = {0};
    *state = x;
    snprintf(x->path, sizeof(x->path), "/tmp/test_sequence.%d.kymo", (int)getpid());
    return !x || !shell_write(x->path, 5) || kymo_study(x->path, &o, &x->l, &x->b, NULL);
}

static int forget(void **state)
{
    struct learned *x = *state;
    kymo_behaviour_release(&x->b);
    kymo_sequence_close(x->l);
    unlink(x->path);
    free(x);
    return 0;
}

static const struct kymo_conduct *conduct_of(const struct learned *x, const char *role)
{
    for (size_t i = 0; i < x->b.n; i++)
        if (strcmp(kymo_sequence_symbols(x->l)->word[x->b.conduct[i]->role], role) == 0)
            return x->b.conduct[i];
    return NULL;
}

static const struct kymo_symbol_sums *sums_of(const struct learned *x, const char *role,
                                              const char *symbol)
{
    const struct kymo_conduct *c = conduct_of(x, role);
    for (uint32_t i = 0; c && i < c->n_symbols; i++) {
        char text[KYMO_SYMBOL_TEXT];
        kymo_symbol_text(kymo_sequence_symbols(x->l), c->symbol[i].id, text);
        if (strncmp(text, symbol, strlen(symbol)) == 0)
            return &c->symbol[i];
    }
    return NULL;
}

static void roles_are_told_by_name_and_life(void **state)
{
    const struct learned *x = *state;
    assert_non_null(conduct_of(x, "sh/main"));  /* until its first fork */
    assert_non_null(conduct_of(x, "sh/main+")); /* from then on */
    assert_int_equal(conduct_of(x, "sh/fork")->births, 100);
    assert_int_equal(conduct_of(x, "sh/fork")->ended, 100);
    assert_int_equal(conduct_of(x, "cat/main")->births, 100);
    assert_int_equal(conduct_of(x, "cat/main")->ends.n, 100);
    assert_int_equal(conduct_of(x, "server/main")->births, 0);
    assert_true(conduct_of(x, "server/main")->alive_ns > 47 * SHELL_SECOND / 10);
}

static void symbols_say_what_calls_were_on(void **state)
{
    const struct learned *x = *state;
    assert_int_equal(sums_of(x, "server/main", "epoll_wait:+:0:epoll")->n, 100);
    assert_int_equal(sums_of(x, "server/main", "recvfrom:+:6:stream:0")->n, 100);
    assert_int_equal(sums_of(x, "server/main", "sendto:+:10:stream*:0")->n, 100);
    assert_int_equal(sums_of(x, "cat/main", "openat:+:0:file:0")->n, 100);
    assert_int_equal(sums_of(x, "cat/main", "openat:+:0:file:0")->paths[0], 99);
    assert_int_equal(sums_of(x, "cat/main", "read:+:9:file*:0")->n, 100);
    assert_int_equal(sums_of(x, "cat/main", "write:+:9:pipe:0")->n, 100);
    assert_int_equal(sums_of(x, "sh/fork", ">cat/main")->n, 100);
    assert_non_null(sums_of(x, "sh/main+", "wait4:+"));
}

static void a_fork_tells_what_the_child_begins(void **state)
{
    const struct learned *x = *state;
    char text[64];
    snprintf(text, sizeof(text), "clone:+:0:process:%u", kymo_symbol_fate("cat", 3));
    assert_int_equal(sums_of(x, "sh/main+", text)->n, 99);
}

static void times_and_sizes_are_kept(void **state)
{
    const struct learned *x = *state;
    const struct kymo_symbol_sums *m = sums_of(x, "server/main", "sendto:+:10:stream*:0");
    assert_int_equal(m->ret_sum, 100000);
    assert_int_equal(m->dur.sum_ns, 100 * 1000);
    assert_int_equal(m->gap.sum_ns, 100 * 9000);
    assert_int_equal(m->arg[2], 1000);
    assert_int_equal(m->arg[1], KYMO_ARG_LARGE);
}

static void a_mark_that_is_not_there_is_said(void **state)
{
    const struct learned *x = *state;
    const struct kymo_study_opts o = {.mark = "storm"};
    struct kymo_sequence_learner *l = NULL;
    struct kymo_behaviour b;
    struct kymo_err err = {0};
    assert_int_equal(kymo_study(x->path, &o, &l, &b, &err), KYMO_EINPUT);
    assert_non_null(strstr(err.text, "storm"));
    assert_null(l);
}

static void part_of_a_capture_is_learned_alone(void **state)
{
    const struct learned *x = *state;
    const struct kymo_study_opts o = {.since_ns = SHELL_SECOND, .until_ns = 3 * SHELL_SECOND};
    struct learned part = {0};
    assert_int_equal(kymo_study(x->path, &o, &part.l, &part.b, NULL), KYMO_OK);
    assert_int_equal(sums_of(&part, "cat/main", "read:+:9:file*:0")->n, 40);
    assert_true(part.b.seconds > 1.99 && part.b.seconds < 2.01);
    kymo_behaviour_release(&part.b);
    kymo_sequence_close(part.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_symbol_comes_back_from_its_text),
        cmocka_unit_test(what_is_no_symbol_is_refused),
        cmocka_unit_test(thousands_of_symbols_keep_their_ids),
        cmocka_unit_test(a_conduct_comes_back_from_its_text),
        cmocka_unit_test(lines_that_no_recording_gives_are_refused_and_nothing_moves),
        cmocka_unit_test(a_behaviour_added_twice_is_twice_as_much),
        cmocka_unit_test(pruning_keeps_every_call_and_fits),
        cmocka_unit_test(a_context_that_tells_nothing_more_is_dropped),
        cmocka_unit_test(a_section_of_a_model_comes_back),
        cmocka_unit_test(roles_are_told_by_name_and_life),
        cmocka_unit_test(symbols_say_what_calls_were_on),
        cmocka_unit_test(a_fork_tells_what_the_child_begins),
        cmocka_unit_test(times_and_sizes_are_kept),
        cmocka_unit_test(a_mark_that_is_not_there_is_said),
        cmocka_unit_test(part_of_a_capture_is_learned_alone),
    };
    return cmocka_run_group_tests(tests, learn, forget);
}
