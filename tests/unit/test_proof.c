/* SPDX-License-Identifier: Apache-2.0
 * test_proof.c: what was done the same passes everywhere with exact values; each thing done otherwise fails
 * its own measure and no other.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/json.h"
#include "replay/proof/mix.h"
#include "replay/proof/proof.h"
#include "tests/unit/proofgen.h"

#define MS 1000000ull
#define US 1000ull
#define ROUNDS 250u

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12))
        fail_msg("%.17g, not %.17g", got, want);
}

/* Four threads that wait, read and write in rounds; every eighth read finds nothing. From is when it all
 * begins. */
static void make(struct proofgen *g, uint64_t from)
{
    proofgen_init(g, 4, 4 * 4 * ROUNDS);
    for (uint32_t t = 0; t < 4; t++)
        for (uint64_t i = 0; i < ROUNDS; i++) {
            const uint64_t at = from + t * 37 * US + i * 4 * MS;
            (void)proofgen_call(g, t, "epoll_wait", at, 2 * MS, 1);
            (void)proofgen_call(g, t, "read", at + 2100 * US, 20 * US, i % 8 ? 512 : -11);
            (void)proofgen_call(g, t, "write", at + 2500 * US, 30 * US, 64);
            (void)proofgen_call(g, t, "close", at + 3000 * US, 5 * US, 0);
        }
}

struct pair {
    struct proofgen a, b;
    struct kymo_image *plan;
    struct kymo_proof proof;
    struct kymo_proof_opts o;
};

static void begin(struct pair *p)
{
    *p = (struct pair){.o = {.pace = 1}};
    make(&p->a, 5000 * MS);
    proofgen_finish(&p->a);
    make(&p->b, 91000 * MS);
    proofgen_finish(&p->b);
    p->plan = proofgen_plan(&p->a.t, 4);
    p->o.image = p->plan;
}

static void compare(struct pair *p)
{
    struct kymo_err err = {0};
    if (kymo_proof_compare(&p->proof, &p->a.t, &p->b.t, &p->o, &err))
        fail_msg("%s", err.text);
}

static void end(struct pair *p)
{
    kymo_proof_release(&p->proof);
    proofgen_release(&p->a);
    proofgen_release(&p->b);
    free(p->plan);
}

static const struct kymo_measure *measure(const struct kymo_proof *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->measure[i].name, name))
            return &p->measure[i];
    fail_msg("no measure %s", name);
    return NULL;
}

/* Those named, comma by comma, fail; no other does. */
static void only_fails(const struct kymo_proof *p, const char *names)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct kymo_measure *m = &p->measure[i];
        const int wanted = strstr(names, m->name) != NULL;
        if ((m->verdict == 0) != wanted)
            fail_msg("%s is %g (%s), verdict %d", m->name, m->value, m->note, m->verdict);
    }
    assert_int_equal(p->verdict, *names ? 0 : 1);
}

/* Without a call: the k-th of a thread. */
static void drop(struct proofgen *g, uint32_t thread, uint32_t k)
{
    const size_t at = (size_t)(proofgen_at(g, thread, k) - g->t.call);
    memmove(&g->t.call[at], &g->t.call[at + 1],
            (g->t.n_calls - at - 1) * sizeof(struct kymo_trace_call));
    g->t.n_calls--;
    proofgen_finish(g);
}

/* -------- the same -------- */

static void what_is_the_same_passes_everywhere(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    plan_wait(p.plan, 1, 5, 0, 5, 0);
    compare(&p);
    only_fails(&p.proof, "");
    near(measure(&p.proof, "match")->value, 1);
    near(measure(&p.proof, "natural")->value, 1);
    near(measure(&p.proof, "injected")->value, 0);
    near(measure(&p.proof, "unexplained")->value, 0);
    near(measure(&p.proof, "violated")->value, 0);
    near(measure(&p.proof, "edit_distance")->value, 0);
    near(measure(&p.proof, "jsd_call")->value, 0);
    near(measure(&p.proof, "jsd_gram")->value, 0);
    near(measure(&p.proof, "makespan_error")->value, 0);
    near(measure(&p.proof, "drift")->value, 0);
    near(measure(&p.proof, "ks_gap")->value, 0);
    assert_int_equal(p.proof.n_mismatches, 0);
    end(&p);
}

static void a_pace_is_no_error(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    for (size_t i = 0; i < p.b.t.n_calls; i++) {
        p.b.t.call[i].enter_ns = 91000 * MS + (p.b.t.call[i].enter_ns - 91000 * MS) * 2;
        p.b.t.call[i].exit_ns = 91000 * MS + (p.b.t.call[i].exit_ns - 91000 * MS) * 2;
    }
    p.o.pace = 2;
    compare(&p);
    only_fails(&p.proof, "");
    near(measure(&p.proof, "makespan_error")->value, 0);
    kymo_proof_release(&p.proof);
    p.o.pace = 1;
    compare(&p);
    only_fails(&p.proof, "makespan_error,drift,ks_gap");
    kymo_proof_release(&p.proof);
    p.o.pace = 0; /* as fast as possible has no time layer */
    compare(&p);
    only_fails(&p.proof, "");
    for (size_t i = 0; i < p.proof.n; i++)
        assert_string_not_equal(p.proof.measure[i].layer, "time");
    end(&p);
}

/* -------- each thing otherwise -------- */

static void errors_flipped_fail_the_outcome(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    for (uint32_t k = 0; k < 30; k++) /* writes, 30 of 4000: .75 % */
        proofgen_at(&p.b, 2, 2 + 4 * k)->ret = -28;
    compare(&p);
    only_fails(&p.proof, "match,unexplained");
    near(measure(&p.proof, "match")->value, 1 - 30.0 / 4000);
    near(measure(&p.proof, "unexplained")->value, 30);
    assert_int_equal(p.proof.n_mismatches, 1);
    const struct kymo_mismatch *m = p.proof.mismatch;
    assert_string_equal(m->name, "write");
    assert_string_equal(m->why, "unexplained");
    assert_int_equal(m->n, 30);
    assert_int_equal(m->wanted, 64);
    assert_int_equal(m->got, -28);
    assert_int_equal(m->call, proofgen_at(&p.a, 2, 2) - p.a.t.call);
    end(&p);
}

static void a_race_is_a_reason_and_few_of_them_pass(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    for (uint32_t k = 1; k < 8; k++)
        proofgen_at(&p.b, 3, 1 + 4 * k)->ret = -11;
    compare(&p);
    only_fails(&p.proof, "");
    near(measure(&p.proof, "match")->value, 1 - 7.0 / 4000);
    assert_int_equal(p.proof.n_mismatches, 1);
    assert_non_null(strstr(p.proof.mismatch[0].why, "race"));
    end(&p);
}

static void a_size_is_no_outcome_but_is_told(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    for (uint32_t t = 0; t < 4; t++)
        for (uint32_t i = 0; i < ROUNDS; i++) {
            plan_at(p.plan, t, 4 * i + 1)->flags = KYMO_ICALL_BYTES;
            plan_at(p.plan, t, 4 * i + 2)->flags = KYMO_ICALL_BYTES;
        }
    proofgen_at(&p.b, 0, 2)->ret = 63;
    compare(&p);
    only_fails(&p.proof, "");
    const double calls = 4 * ROUNDS * 2 - 4 * 32; /* without the reads that found nothing */
    near(measure(&p.proof, "bytes")->value, 1 - 1 / calls);
    assert_true(isnan(measure(&p.proof, "bytes")->gate));
    end(&p);
}

static void a_call_too_few_fails_the_order(void **state)
{
    (void)state;
    struct pair p;
    struct kymo_outcome *outcome = calloc(4 * 4 * ROUNDS, sizeof(*outcome));
    assert_non_null(outcome);
    begin(&p);
    for (size_t i = 0; i < p.plan->call.n; i++)
        outcome[i] = (struct kymo_outcome){1, 2, 0};
    outcome[plan_at(p.plan, 1, 402) - plan_calls(p.plan)].exit_ns = 0;
    p.o.outcome = outcome;
    drop(&p.b, 1, 402); /* a write, amid many */
    compare(&p);
    only_fails(&p.proof, "edit_distance");
    near(measure(&p.proof, "edit_distance")->value, 1);
    near(measure(&p.proof, "match")->value, 1 - 1.0 / 4000);
    assert_int_equal(p.proof.n_mismatches, 1);
    assert_int_equal(p.proof.mismatch[0].got, KYMO_NO_RESULT);
    assert_string_equal(p.proof.mismatch[0].why, "it had not returned when the replay ended");
    end(&p);
    free(outcome);
}

static void the_one_of_many_alike_that_is_missing_is_found_by_its_result(void **state)
{
    (void)state;
    struct pair p = {.o = {.pace = 0}};
    proofgen_init(&p.a, 1, 200);
    proofgen_init(&p.b, 1, 200);
    for (uint64_t i = 0; i < 200; i++) {
        (void)proofgen_call(&p.a, 0, "read", i * MS, 1, i % 2 ? -11 : 5);
        if (i != 60)
            (void)proofgen_call(&p.b, 0, "read", i * MS, 1, i % 2 ? -11 : 5);
    }
    proofgen_finish(&p.a);
    proofgen_finish(&p.b);
    p.plan = proofgen_plan(&p.a.t, 0);
    p.o.image = p.plan;
    compare(&p);
    near(measure(&p.proof, "match")->value, 1 - 1.0 / 200);
    near(measure(&p.proof, "edit_distance")->value, 1);
    end(&p);
}

static void a_call_too_many_is_told(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    proofgen_release(&p.b);
    proofgen_init(&p.b, 4, 4 * 4 * ROUNDS + 1);
    p.b.t.n_calls = 0;
    struct proofgen more;
    make(&more, 91000 * MS);
    proofgen_finish(&more);
    for (size_t i = 0; i < more.t.n_calls; i++) {
        const struct kymo_trace_call *c = &more.t.call[i];
        (void)proofgen_call(&p.b, c->thread, more.t.text[c->name], c->enter_ns,
                            c->exit_ns - c->enter_ns, c->ret);
    }
    (void)proofgen_call(&p.b, 1, "mmap", 91000 * MS + 3500 * US, US, 4096);
    proofgen_finish(&p.b);
    proofgen_release(&more);
    compare(&p);
    only_fails(&p.proof, "edit_distance");
    assert_int_equal(p.proof.n_mismatches, 1);
    assert_string_equal(p.proof.mismatch[0].name, "mmap");
    assert_string_equal(p.proof.mismatch[0].why, "not in the plan");
    assert_int_equal(p.proof.mismatch[0].call, UINT32_MAX);
    end(&p);
}

static void a_promise_broken_fails_the_order(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    plan_wait(p.plan, 0, 8, 3, 4, KYMO_DEP_BEGUN);
    plan_wait(p.plan, 1, 4, 0, 3, 0);
    compare(&p);
    only_fails(&p.proof, "");
    kymo_proof_release(&p.proof);
    /* What thread 1 waited for now ends one nanosecond after that began. */
    proofgen_at(&p.b, 0, 3)->exit_ns = proofgen_at(&p.b, 1, 4)->enter_ns + 1;
    compare(&p);
    only_fails(&p.proof, "violated");
    near(measure(&p.proof, "violated")->value, 1);
    assert_non_null(strstr(measure(&p.proof, "violated")->note, "epoll_wait before close"));
    kymo_proof_release(&p.proof);
    /* Nor was thread 3 asleep when thread 0 came to wake it, which breaks no order. */
    proofgen_at(&p.b, 3, 4)->enter_ns = proofgen_at(&p.b, 0, 8)->enter_ns + 1;
    compare(&p);
    near(measure(&p.proof, "violated")->value, 1);
    near(measure(&p.proof, "not_waiting")->value, 1);
    end(&p);
}

static void an_exit_only_has_to_begin(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    plan_wait(p.plan, 1, 4, 0, 3, 0);
    plan_at(p.plan, 0, 3)->how = KYMO_HOW_EXIT;
    proofgen_at(&p.b, 0, 3)->exit_ns = proofgen_at(&p.b, 1, 4)->exit_ns + 1;
    compare(&p);
    near(measure(&p.proof, "violated")->value, 0);
    end(&p);
}

static void other_calls_fail_the_mix(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    const uint32_t other = proofgen_text(&p.b, "pread64");
    for (uint32_t t = 0; t < 4; t++)
        for (uint32_t i = 0; i < ROUNDS; i += 2)
            proofgen_at(&p.b, t, 4 * i + 1)->name = other;
    compare(&p);
    only_fails(&p.proof, "match,natural,unexplained,edit_distance,jsd_call,jsd_gram");
    end(&p);
}

static void longer_gaps_fail_the_time(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    /* From the middle on everything comes 3 % of the whole later, but the end is where it was. */
    const uint64_t middle = p.b.t.first_ns + ROUNDS / 2 * 4 * MS;
    for (size_t i = 0; i < p.b.t.n_calls; i++) {
        struct kymo_trace_call *c = &p.b.t.call[i];
        const uint64_t late = c->enter_ns >= middle ? 30 * MS : 0;
        c->enter_ns += late;
        c->exit_ns += late;
    }
    compare(&p);
    only_fails(&p.proof, "drift");
    near(measure(&p.proof, "drift")->value, 30.0 / (800 - 0)); /* medians lie 800 ms apart */
    end(&p);
    begin(&p);
    for (size_t i = 0; i < p.b.t.n_calls;
         i++) /* a read comes when it is due, a write 300 us later */
        if (!strcmp(p.b.t.text[p.b.t.call[i].name], "write")) {
            p.b.t.call[i].enter_ns += 300 * US;
            p.b.t.call[i].exit_ns += 300 * US;
        }
    compare(&p);
    only_fails(&p.proof, "ks_gap");
    /* Gaps before and behind writes are others: half of all. */
    assert_true(measure(&p.proof, "ks_gap")->value > .2);
    end(&p);
}

static void less_than_a_wake_up_is_no_drift(void **state)
{
    (void)state;
    struct pair p = {.o = {.pace = 1}};
    proofgen_init(&p.a, 1, 100);
    proofgen_init(&p.b, 1, 100);
    for (uint64_t i = 0; i < 100; i++) {
        (void)proofgen_call(&p.a, 0, "getpid", i * 10 * US, 200, 7);
        (void)proofgen_call(&p.b, 0, "getpid", i * 10 * US + i * 300, 200, 7);
    }
    proofgen_finish(&p.a);
    proofgen_finish(&p.b);
    p.plan = proofgen_plan(&p.a.t, 0);
    p.o.image = p.plan;
    compare(&p);
    assert_true(measure(&p.proof, "drift")->value > .001);
    assert_int_equal(measure(&p.proof, "drift")->verdict, 1);
    assert_int_equal(p.proof.verdict, 1);
    end(&p);
}

/* -------- what is not to be seen again, or not told -------- */

static void what_the_plan_skips_is_not_missed(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    for (uint32_t t = 0; t < 4; t++)
        for (uint32_t i = 0; i < ROUNDS; i++)
            plan_at(p.plan, t, 4 * i + 3)->how = KYMO_HOW_SKIP;
    size_t n = 0;
    for (size_t i = 0; i < p.b.t.n_calls; i++)
        if (strcmp(p.b.t.text[p.b.t.call[i].name], "close") != 0)
            p.b.t.call[n++] = p.b.t.call[i];
    p.b.t.n_calls = n;
    proofgen_finish(&p.b);
    compare(&p);
    only_fails(&p.proof, "");
    near(measure(&p.proof, "match")->value, 1);
    near(measure(&p.proof, "jsd_call")->value, 0);
    end(&p);
}

static void what_is_injected_counts_against_it(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    for (uint32_t k = 0; k < 100; k++)
        plan_at(p.plan, 0, 4 * k + 1)->how = KYMO_HOW_INJECT;
    compare(&p);
    only_fails(&p.proof, "injected");
    near(measure(&p.proof, "injected")->value, 100.0 / 4000);
    near(measure(&p.proof, "natural")->value, 1 - 100.0 / 4000);
    near(measure(&p.proof, "match")->value, 1);
    end(&p);
}

static void a_call_that_had_not_returned_may_be_there_or_not(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    struct kymo_trace_call *last = proofgen_at(&p.a, 3, 4 * ROUNDS - 1);
    last->has = 0;
    last->flags = KYMO_CALL_UNFINISHED;
    compare(&p);
    only_fails(&p.proof, "");
    kymo_proof_release(&p.proof);
    drop(&p.b, 3, 4 * ROUNDS - 1);
    compare(&p);
    only_fails(&p.proof, "");
    near(measure(&p.proof, "match")->value, 1);
    end(&p);
}

static void what_comes_by_itself_is_not_compared(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    proofgen_at(&p.b, 2, 0)->name = proofgen_text(&p.b, "restart_syscall");
    plan_at(p.plan, 2, 0)->how = KYMO_HOW_SKIP;
    proofgen_at(&p.b, 1, 0)->flags = KYMO_CALL_CHILD;
    plan_at(p.plan, 1, 0)->how = KYMO_HOW_SKIP;
    compare(&p);
    only_fails(&p.proof, "");
    end(&p);
}

static void follows_from_an_earlier_mismatch_is_a_reason(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    /* A close of descriptor 9 that fails, and a read of it later that finds none. */
    plan_at(p.plan, 0, 3)->arg[0] = 9;
    plan_at(p.plan, 0, 3)->kind[0] = KYMO_ARG_FD;
    proofgen_at(&p.b, 0, 3)->ret = -5;
    plan_at(p.plan, 0, 5)->arg[0] = 9;
    plan_at(p.plan, 0, 5)->kind[0] = KYMO_ARG_FD;
    proofgen_at(&p.b, 0, 5)->ret = -9;
    plan_wait(p.plan, 1, 10, 0, 5, 0);
    proofgen_at(&p.b, 1, 10)->ret = -32;
    compare(&p);
    near(measure(&p.proof, "unexplained")->value, 1);
    assert_int_equal(p.proof.n_mismatches, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(p.proof.mismatch[i].why,
                            strcmp(p.proof.mismatch[i].name, "close") != 0
                                ? "follows from an earlier mismatch"
                                : "unexplained");
    end(&p);
}

static void lost_rows_prove_nothing(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    p.b.t.lost = 3;
    for (uint32_t k = 0; k < 100; k++)
        proofgen_at(&p.b, 2, 2 + 4 * k)->ret = -28;
    compare(&p);
    assert_int_equal(p.proof.verdict, -1);
    assert_int_equal(measure(&p.proof, "lost")->verdict, -1);
    end(&p);
}

static void threads_of_one_tid_are_told_by_time(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    for (int side = 0; side < 2; side++) { /* thread 2 ended before thread 3 got its tid */
        struct proofgen *g = side ? &p.b : &p.a;
        g->t.thread[2].tid = 103;
        for (uint32_t i = 0; i < 4 * ROUNDS; i++) {
            proofgen_at(g, 3, i)->enter_ns += 2000 * MS;
            proofgen_at(g, 3, i)->exit_ns += 2000 * MS;
            proofgen_at(g, 3, i)->ret = 0;
        }
        proofgen_finish(g);
    }
    free(p.plan);
    p.o.image = p.plan = proofgen_plan(&p.a.t, 0);
    compare(&p);
    only_fails(&p.proof, "");
    near(measure(&p.proof, "match")->value, 1);
    end(&p);
}

static void a_thread_that_is_not_there_is_all_edits(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    p.b.t.thread[3].tid = 77;
    compare(&p);
    near(measure(&p.proof, "match")->value, .75);
    near(measure(&p.proof, "edit_distance")->value, 2 * 4 * ROUNDS);
    end(&p);
}

static void a_plan_of_another_trace_is_refused(void **state)
{
    (void)state;
    struct pair p;
    struct kymo_err err = {0};
    begin(&p);
    plan_at(p.plan, 1, 1)->row = (uint32_t)p.a.t.n_calls;
    assert_int_equal(kymo_proof_compare(&p.proof, &p.a.t, &p.b.t, &p.o, &err), KYMO_ECORRUPT);
    assert_int_equal(p.proof.n, 0);
    end(&p);
}

/* -------- noise, control, synthesis -------- */

static void what_is_within_the_noise_is_inconclusive(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    for (size_t i = 0; i < p.b.t.n_calls; i++)
        if (!strcmp(p.b.t.text[p.b.t.call[i].name], "write")) {
            p.b.t.call[i].enter_ns += 300 * US;
            p.b.t.call[i].exit_ns += 300 * US;
        }
    p.o.noise_ks = .9;
    compare(&p);
    assert_int_equal(measure(&p.proof, "ks_gap")->verdict, -1);
    assert_non_null(strstr(measure(&p.proof, "ks_gap")->note, "noise floor 0.9"));
    assert_int_equal(p.proof.verdict, -1);
    kymo_proof_release(&p.proof);
    p.o.noise_ks = .15; /* less than what it is */
    compare(&p);
    only_fails(&p.proof, "ks_gap");
    end(&p);
}

static void a_control_has_to_be_farther(void **state)
{
    (void)state;
    struct pair p;
    struct proofgen other;
    begin(&p);
    proofgen_init(&other, 2, 400);
    for (uint64_t i = 0; i < 200; i++) {
        (void)proofgen_call(&other, 0, "read", i * MS, 1, 512);
        (void)proofgen_call(&other, 1, "futex", i * MS, 1, 0);
    }
    proofgen_finish(&other);
    p.o.control = &other.t;
    compare(&p);
    only_fails(&p.proof, "");
    assert_true(measure(&p.proof, "factor")->value > 3);
    kymo_proof_release(&p.proof);
    p.o.control = &p.a.t; /* the same state is no control */
    compare(&p);
    only_fails(&p.proof, "factor");
    end(&p);
    proofgen_release(&other);
}

static void a_synthesis_is_judged_by_mix_and_rate(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    p.o.image = NULL;
    compare(&p);
    only_fails(&p.proof, "");
    near(measure(&p.proof, "rate_error")->value, 0);
    near(measure(&p.proof, "jsd_gram")->gate, .10);
    for (size_t i = 0; i < p.proof.n; i++)
        assert_string_not_equal(p.proof.measure[i].layer, "order");
    kymo_proof_release(&p.proof);
    p.o.rate = 2;
    compare(&p);
    only_fails(&p.proof, "rate_error");
    near(measure(&p.proof, "rate_error")->value, .5);
    end(&p);
}

/* -------- distances -------- */

static void divergences_are_those_worked_out_by_hand(void **state)
{
    (void)state;
    struct proofgen a, b;
    struct kymo_distance d;
    proofgen_init(&a, 1, 4);
    proofgen_init(&b, 1, 4);
    /* a: read, read, read, write; b: read, write, write, write.  p = (3/4, 1/4), q = (1/4, 3/4), m = 1/2 */
    for (uint64_t i = 0; i < 4; i++) {
        (void)proofgen_call(&a, 0, i < 3 ? "read" : "write", i * MS, 1, 1);
        (void)proofgen_call(&b, 0, i < 1 ? "read" : "write", i * MS, 1, 1);
    }
    proofgen_finish(&a);
    proofgen_finish(&b);
    assert_int_equal(kymo_distance(&d, &a.t, &b.t, NULL), KYMO_OK);
    near(d.jsd_call, .75 * log2(1.5) + .25 * log2(.5));
    near(d.jsd_gram, 1); /* rrr, rrw against rww, www: nothing in common */
    near(d.ks_gap, 0);
    near(d.rate_ratio, 1);
    for (uint32_t i = 0; i < 4; i++) { /* one result in two classes */
        a.t.call[i].name = b.t.call[i].name = proofgen_text(&a, "read");
        a.t.call[i].ret = 1;
        b.t.call[i].ret = i < 2 ? 0 : 99;
    }
    assert_int_equal(kymo_distance(&d, &a.t, &b.t, NULL), KYMO_OK);
    /* p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4) */
    near(d.jsd_call, .5 * log2(1 / .75) + .25 * log2(.5 / .75) + .25 * log2(.5 / .25));
    near(d.jsd_gram, 0);
    proofgen_release(&a);
    proofgen_release(&b);
}

static void the_greatest_step_between_two_samples_is_found(void **state)
{
    (void)state;
    const uint64_t a[] = {10, 20, 30, 40, 50}, b[] = {10, 20, 20, 45, 60, 60, 60, 60};
    /* at 40: 4/5 - 3/8; at 50: 1 - 4/8 */
    near(kymo_ks_sorted(a, 5, b, 8, 0), .5);
    near(kymo_ks_sorted(b, 8, a, 5, 0), .5);
    near(kymo_ks_sorted(a, 5, b, 8, 10), .8 - .5); /* at 40, against those up to 50 */
    near(kymo_ks_sorted(b, 8, a, 5, 10), .8 - .5);
    near(kymo_ks_sorted(a, 5, a, 5, 0), 0);
    assert_true(isnan(kymo_ks_sorted(a, 0, b, 8, 0)));
    const uint64_t fast[] = {300, 310, 320}, slow[] = {900, 930, 960};
    near(kymo_ks_sorted(fast, 3, slow, 3, 0), 1);
    near(kymo_ks_sorted(fast, 3, slow, 3, 1000), 0);
}

/* -------- telling -------- */

static char *print(const struct pair *p, enum kymo_proof_form form)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    kymo_proof_print(&p->proof, &p->a.t, form, f);
    assert_int_equal(fclose(f), 0);
    return text;
}

/* Names and paths as a hostile capture may have them. */
static void make_hostile(struct pair *p)
{
    begin(p);
    const uint32_t name = proofgen_text(&p->a, "re<a>d&\"'\x01\xff\xef\xbf\xbf");
    for (uint32_t k = 0; k < 30; k++) {
        struct kymo_trace_call *a = proofgen_at(&p->a, 2, 2 + 4 * k);
        a->name = name;
        a->has |= KYMO_TRACE_HAS_PATH;
        a->path = proofgen_text(&p->a, "/tmp/\x1b]0;x\x07\"<");
        proofgen_at(&p->b, 2, 2 + 4 * k)->name = proofgen_text(&p->b, p->a.t.text[name]);
        proofgen_at(&p->b, 2, 2 + 4 * k)->ret = -28;
    }
    compare(p);
}

static void text_is_for_people(void **state)
{
    (void)state;
    struct pair p;
    make_hostile(&p);
    char *text = print(&p, KYMO_PROOF_TEXT);
    assert_non_null(strstr(text, "99.25 %"));
    assert_non_null(strstr(text, ">= 99.5 %"));
    assert_non_null(strstr(text, "ENOSPC"));
    assert_non_null(strstr(text, "verdict: deviated"));
    for (const char *c = text; *c; c++)
        assert_true(*c == '\n' || (*c >= 0x20 && *c < 0x7f));
    free(text);
    end(&p);
}

static void json_lines_are_json(void **state)
{
    (void)state;
    struct pair p;
    make_hostile(&p);
    char *text = print(&p, KYMO_PROOF_JSONL), *save = NULL;
    size_t measures = 0, mismatches = 0, verdicts = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_t *j = NULL;
        const char *type;
        assert_int_equal(kymo_json_parse(&j, line, strlen(line), "line", NULL), KYMO_OK);
        type = json_string_value(json_object_get(j, "type"));
        assert_non_null(type);
        measures += !strcmp(type, "measure");
        mismatches += !strcmp(type, "mismatch");
        if (!strcmp(type, "verdict")) {
            verdicts++;
            assert_string_equal(json_string_value(json_object_get(j, "verdict")), "deviated");
            assert_int_equal(json_integer_value(json_object_get(j, "exit")), 1);
        }
        json_decref(j);
    }
    assert_int_equal(measures, p.proof.n);
    assert_int_equal(mismatches, 2); /* the first, and those that follow by their path */
    assert_int_equal(verdicts, 1);
    free(text);
    end(&p);
}

static void junit_is_well_formed(void **state)
{
    (void)state;
    struct pair p;
    make_hostile(&p);
    char *text = print(&p, KYMO_PROOF_JUNIT);
    assert_non_null(strstr(text, "failures=\"2\""));
    assert_non_null(strstr(text, "re&lt;a&gt;d&amp;&quot;'\\x01\\xff\\xef\\xbf\\xbf"));
    FILE *f = popen("timeout -k 5 20 python3 -c 'import sys, xml.etree.ElementTree as e; "
                    "r = e.parse(sys.stdin).getroot(); s = r[0]; "
                    "c = s.findall(\"testcase\"); "
                    "assert len(c) == int(s.get(\"tests\")); "
                    "assert len(s.findall(\".//failure\")) == int(s.get(\"failures\"))'",
                    "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(pclose(f), 0);
    free(text);
    end(&p);
}

/* -------- speed -------- */

static double now_s(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_large(struct proofgen *g, uint32_t n, uint32_t skip)
{
    static const char *const names[] = {"read",  "write", "openat",
                                        "close", "futex", "epoll_wait"};
    proofgen_init(g, 1, n);
    uint64_t at = 0;
    uint32_t seed = 1;
    for (uint32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        at += 500 + (seed >> 20);
        if (skip && seed >> 8 & 1 && i % skip == 0)
            continue;
        (void)proofgen_call(g, 0, names[(seed >> 16) % 6], at, 300, (int)(seed >> 28) - 1);
        g->t.order[g->t.n_calls - 1] = (uint32_t)g->t.n_calls - 1;
    }
    g->t.thread[0].n = (uint32_t)g->t.n_calls;
    g->t.last_ns = at + 300;
}

/* A bound that only another order of growth would pass, whatever else the machine does. */
static void large_traces_take_no_more_than_seconds(void **state)
{
    (void)state;
    struct pair p = {.o = {.pace = 1}};
    const uint32_t n = getenv("KYMO_LONG") ? 4000000 : 200000;
    make_large(&p.a, n, 0);
    for (uint32_t skip = 0; skip <= 4; skip += 4) { /* the same; an eighth of it missing */
        make_large(&p.b, n, skip);
        if (!p.plan)
            p.o.image = p.plan = proofgen_plan(&p.a.t, 0);
        const double from = now_s();
        compare(&p);
        const double s = now_s() - from;
        print_message("# %u calls, %g edits: %.2f s, %.2f s a million\n", n,
                      measure(&p.proof, "edit_distance")->value, s, s * 1e6 / n);
        assert_true(s < 20e-6 * n);
        kymo_proof_release(&p.proof);
        proofgen_release(&p.b);
    }
    proofgen_release(&p.a);
    free(p.plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_the_same_passes_everywhere),
        cmocka_unit_test(a_pace_is_no_error),
        cmocka_unit_test(errors_flipped_fail_the_outcome),
        cmocka_unit_test(a_race_is_a_reason_and_few_of_them_pass),
        cmocka_unit_test(a_size_is_no_outcome_but_is_told),
        cmocka_unit_test(a_call_too_few_fails_the_order),
        cmocka_unit_test(the_one_of_many_alike_that_is_missing_is_found_by_its_result),
        cmocka_unit_test(a_call_too_many_is_told),
        cmocka_unit_test(a_promise_broken_fails_the_order),
        cmocka_unit_test(an_exit_only_has_to_begin),
        cmocka_unit_test(other_calls_fail_the_mix),
        cmocka_unit_test(longer_gaps_fail_the_time),
        cmocka_unit_test(less_than_a_wake_up_is_no_drift),
        cmocka_unit_test(what_the_plan_skips_is_not_missed),
        cmocka_unit_test(what_is_injected_counts_against_it),
        cmocka_unit_test(a_call_that_had_not_returned_may_be_there_or_not),
        cmocka_unit_test(what_comes_by_itself_is_not_compared),
        cmocka_unit_test(follows_from_an_earlier_mismatch_is_a_reason),
        cmocka_unit_test(lost_rows_prove_nothing),
        cmocka_unit_test(threads_of_one_tid_are_told_by_time),
        cmocka_unit_test(a_thread_that_is_not_there_is_all_edits),
        cmocka_unit_test(a_plan_of_another_trace_is_refused),
        cmocka_unit_test(what_is_within_the_noise_is_inconclusive),
        cmocka_unit_test(a_control_has_to_be_farther),
        cmocka_unit_test(a_synthesis_is_judged_by_mix_and_rate),
        cmocka_unit_test(divergences_are_those_worked_out_by_hand),
        cmocka_unit_test(the_greatest_step_between_two_samples_is_found),
        cmocka_unit_test(text_is_for_people),
        cmocka_unit_test(json_lines_are_json),
        cmocka_unit_test(junit_is_well_formed),
        cmocka_unit_test(large_traces_take_no_more_than_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
