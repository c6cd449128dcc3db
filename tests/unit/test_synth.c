/* SPDX-License-Identifier: Apache-2.0
 * test_synth.c: what is generated is legal, like what it was made from, and the same every time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "replay/synth/study.h"
#include "replay/synth/synth.h"
#include "tests/unit/legal.h"
#include "tests/unit/shellrows.h"

#define SECONDS 20

struct fixture {
    struct kymo_sequence_learner *l;
    struct kymo_behaviour b;
    char source[64], out[64];
};

static int make(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    const struct kymo_study_opts o = {0};
    *state = x;
    if (!x)
        return 1;
    snprintf(x->source, sizeof(x->source), "/tmp/test_synth.%d.in.kymo", (int)getpid());
    snprintf(x->out, sizeof(x->out), "/tmp/test_synth.%d.out.kymo", (int)getpid());
    return !shell_write(x->source, 10) || kymo_study(x->source, &o, &x->l, &x->b, NULL);
}

static int drop(void **state)
{
    struct fixture *x = *state;
    kymo_behaviour_release(&x->b);
    kymo_sequence_close(x->l);
    unlink(x->source);
    unlink(x->out);
    free(x);
    return 0;
}

static struct kymo_synth_stats generate(const struct fixture *x, struct kymo_synth_opts o)
{
    struct kymo_synth_stats t = {0};
    const int fd = open(x->out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    o.duration_ns = o.duration_ns ? o.duration_ns : SECONDS * SHELL_SECOND;
    o.arch = KYMO_ARCH_X86_64;
    assert_true(fd >= 0);
    assert_int_equal(kymo_synth(&x->b, kymo_sequence_symbols(x->l), &o, fd, x->out, &t, NULL),
                     KYMO_OK);
    close(fd);
    return t;
}

static void every_call_is_legal(void **state)
{
    const struct fixture *x = *state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        const struct kymo_synth_stats t = generate(x, (struct kymo_synth_opts){.seed = seed});
        struct legal *l = legal_walk(x->out);
        assert_non_null(l);
        if (l->illegal)
            print_message("seed %d: %s\n", (int)seed, l->first);
        assert_int_equal(l->illegal, 0);
        assert_int_equal(l->order, 0);
        assert_int_equal(l->calls, t.calls);
        assert_true(l->waited > SECONDS * SHELL_LOOPS / 2);
        legal_release(l);
    }
}

static void as_much_is_done_in_a_second(void **state)
{
    const struct fixture *x = *state;
    const struct kymo_synth_stats t = generate(x, (struct kymo_synth_opts){.seed = 1});
    const double per_s = (double)t.calls / SECONDS;
    assert_true(t.aim_per_s > 400 && t.aim_per_s < 480);
    assert_true(per_s > 0.9 * t.aim_per_s && per_s < 1.1 * t.aim_per_s);
}

static void three_times_the_rate_is_three_times_as_much(void **state)
{
    const struct fixture *x = *state;
    const struct kymo_synth_stats one = generate(x, (struct kymo_synth_opts){.seed = 1}),
                                  three = generate(
                                      x, (struct kymo_synth_opts){.seed = 1, .rate = 3});
    const double ratio = (double)three.calls / (double)one.calls;
    assert_true(ratio > 2.7 && ratio < 3.3);
    struct legal *l = legal_walk(x->out);
    assert_int_equal(l->illegal, 0);
    legal_release(l);
}

static void more_threads_do_more(void **state)
{
    const struct fixture *x = *state;
    const struct kymo_synth_stats two = generate(x, (struct kymo_synth_opts){.seed = 1}),
                                  ten = generate(
                                      x, (struct kymo_synth_opts){.seed = 1, .threads = 10});
    assert_true(ten.calls > 4 * two.calls && ten.calls < 6 * two.calls);
    struct legal *l = legal_walk(x->out);
    assert_int_equal(l->illegal, 0);
    legal_release(l);
}

static void read_all(const char *path, struct kymo_buf *to)
{
    kymo_buf_clear(to);
    assert_int_equal(kymo_file_read(to, path, (size_t)1 << 30, NULL), KYMO_OK);
}

static void a_seed_gives_its_bytes(void **state)
{
    const struct fixture *x = *state;
    struct kymo_buf a = {0}, b = {0};
    generate(x, (struct kymo_synth_opts){.seed = 7});
    read_all(x->out, &a);
    generate(x, (struct kymo_synth_opts){.seed = 7});
    read_all(x->out, &b);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
    generate(x, (struct kymo_synth_opts){.seed = 8});
    read_all(x->out, &b);
    assert_true(a.n != b.n || memcmp(a.p, b.p, a.n) != 0);
    kymo_buf_release(&a);
    kymo_buf_release(&b);
}

/* Shares of calls, of both captures: their Jensen-Shannon divergence in bits is next to nothing. */
static void count_calls(const char *path, double *n)
{
    kymo_reader *r = NULL;
    const struct kymo_batch *b;
    double all = 0;
    memset(n, 0, 512 * sizeof(*n));
    assert_int_equal(kymo_reader_open(&r, path, 0, NULL), KYMO_OK);
    while (kymo_reader_next(r, &b, NULL) == KYMO_OK && b)
        if (strcmp(b->schema->table, "syscall") == 0)
            for (uint32_t i = 0; i < b->n_rows; i++)
                n[b->lane[KYMO_SYSCALL_NR][b->key[i]]]++;
    kymo_reader_close(r);
    for (int i = 0; i < 512; i++)
        all += n[i];
    for (int i = 0; i < 512; i++)
        n[i] /= all;
}

static void the_mix_is_that_of_the_source(void **state)
{
    const struct fixture *x = *state;
    static double p[512], q[512];
    double apart = 0;
    generate(x, (struct kymo_synth_opts){.seed = 3});
    count_calls(x->source, p);
    count_calls(x->out, q);
    for (int i = 0; i < 512; i++)
        apart += p[i] > q[i] ? p[i] - q[i] : q[i] - p[i];
    if (apart / 2 >= 0.02)
        print_message("mixes are %.3f apart\n", apart / 2);
    assert_true(apart / 2 < 0.02);
}

static void it_stops_at_so_many_calls(void **state)
{
    const struct fixture *x = *state;
    const struct kymo_synth_stats t =
        generate(x, (struct kymo_synth_opts){.seed = 1, .calls_max = 1000});
    assert_int_equal(t.calls, 1000);
    assert_true(t.is_cut);
}

static void nothing_comes_of_a_behaviour_without_calls(void **state)
{
    const struct fixture *x = *state;
    struct kymo_behaviour none = {.seconds = 1};
    struct kymo_synth_stats t;
    struct kymo_err err = {0};
    const struct kymo_synth_opts o = {.duration_ns = SHELL_SECOND, .seed = 1};
    const int fd = open(x->out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(kymo_synth(&none, kymo_sequence_symbols(x->l), &o, fd, x->out, &t, &err),
                     KYMO_EINPUT);
    assert_non_null(strstr(err.text, "nothing to generate"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_legal),
        cmocka_unit_test(as_much_is_done_in_a_second),
        cmocka_unit_test(three_times_the_rate_is_three_times_as_much),
        cmocka_unit_test(more_threads_do_more),
        cmocka_unit_test(a_seed_gives_its_bytes),
        cmocka_unit_test(the_mix_is_that_of_the_source),
        cmocka_unit_test(it_stops_at_so_many_calls),
        cmocka_unit_test(nothing_comes_of_a_behaviour_without_calls),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
