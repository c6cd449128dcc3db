/* SPDX-License-Identifier: Apache-2.0
 * What is frozen into a spec, what is refused of it, and the names of containers.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/model/place_name.h"
#include "format/model/vocabulary.h"

static struct kymo_arena arena;

static int set_up(void **state)
{
    (void)state;
    kymo_arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kymo_arena_release(&arena);
    return 0;
}

/* Four windows; bucket 0 in each, bucket 1 in one, the others in none. n paths, one peer. */
static struct kymo_vocabulary *learned(uint32_t n)
{
    struct kymo_vocabulary_fit fit = {0};
    struct kymo_vocabulary *v = NULL;
    for (int w = 0; w < 4; w++) {
        const double share[KYMO_GRAMS] = {1, w == 2};
        kymo_vocabulary_window(&fit, share);
    }
    for (uint32_t i = 0; i < n; i++)
        kymo_vocabulary_learn(&fit, KYMO_KNOWN_PATHS, kymo_mix64(i + 1));
    kymo_vocabulary_learn(&fit, KYMO_KNOWN_PEERS, 0);
    assert_int_equal(kymo_vocabulary_freeze(&v, &fit, &arena, NULL), KYMO_OK);
    kymo_vocabulary_release(&fit);
    return v;
}

static void what_was_met_is_known_and_nothing_else(void **state)
{
    (void)state;
    const struct kymo_vocabulary *v = learned(1000);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(kymo_is_known(v, KYMO_KNOWN_PATHS, kymo_mix64(i + 1)));
        assert_false(kymo_is_known(v, KYMO_KNOWN_PATHS, kymo_mix64(i + 1) + 1));
        assert_false(kymo_is_known(v, KYMO_KNOWN_SEQUENCES, kymo_mix64(i + 1)));
    }
    assert_true(kymo_is_known(v, KYMO_KNOWN_PEERS, 0));
    assert_false(kymo_is_known(v, KYMO_KNOWN_EXES, 0));
}

static void rare_buckets_weigh_more_and_usual_ones_one(void **state)
{
    (void)state;
    const struct kymo_vocabulary *v = learned(1);
    assert_true(v->idf[0] == 1);
    assert_true(fabs(v->idf[1] - (log(5.0 / 2) + 1)) < 1e-15);
    assert_true(fabs(v->idf[2] - (log(5.0) + 1)) < 1e-15);
}

static void past_the_cap_the_most_frequent_stay(void **state)
{
    (void)state;
    struct kymo_vocabulary_fit fit = {0};
    struct kymo_vocabulary *v;
    const double share[KYMO_GRAMS] = {0};
    const uint32_t most = kymo_known_max[KYMO_KNOWN_EXES];
    kymo_vocabulary_window(&fit, share);
    for (uint32_t i = 0; i < most + 100; i++)
        for (int often = 0; often < (i < 100 ? 1 : 2); often++)
            kymo_vocabulary_learn(&fit, KYMO_KNOWN_EXES, kymo_mix64(i + 1));
    assert_int_equal(kymo_vocabulary_freeze(&v, &fit, &arena, NULL), KYMO_OK);
    kymo_vocabulary_release(&fit);
    assert_int_equal(v->known[KYMO_KNOWN_EXES].n, most);
    assert_int_equal(v->known[KYMO_KNOWN_EXES].met, most + 100);
    assert_false(kymo_is_known(v, KYMO_KNOWN_EXES, kymo_mix64(1)));
    assert_true(kymo_is_known(v, KYMO_KNOWN_EXES, kymo_mix64(101)));
}

static void a_vocabulary_of_no_window_is_refused(void **state)
{
    (void)state;
    const struct kymo_vocabulary_fit fit = {0};
    struct kymo_vocabulary *v = NULL;
    assert_int_equal(kymo_vocabulary_freeze(&v, &fit, &arena, NULL), KYMO_EINPUT);
    assert_null(v);
}

static void a_vocabulary_comes_back_from_its_json(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 5; n++) { /* all lengths of base64's last group */
        struct kymo_vocabulary *again;
        const struct kymo_vocabulary *v = learned(n);
        json_t *j = kymo_vocabulary_json(v);
        assert_int_equal(kymo_vocabulary_parse(&again, j, &arena, "x", NULL), KYMO_OK);
        assert_true(again->xxh3 == v->xxh3 && again->windows == v->windows);
        assert_memory_equal(again->idf, v->idf, sizeof(v->idf));
        assert_int_equal(again->known[KYMO_KNOWN_PATHS].n, n);
        if (n)
            assert_memory_equal(again->known[0].hash, v->known[0].hash, n * 8);
        json_decref(j);
    }
    assert_true(learned(3)->xxh3 != learned(4)->xxh3);
}

static kymo_status parse(json_t *j)
{
    struct kymo_vocabulary *v = NULL;
    struct kymo_err err = {0};
    const kymo_status s = kymo_vocabulary_parse(&v, j, &arena, "x", &err);
    assert_true((v != NULL) == (s == KYMO_OK));
    assert_true(s == KYMO_OK || err.text[0]);
    json_decref(j);
    return s;
}

static json_t *with_paths(json_int_t n, json_int_t met, const char *hashes)
{
    json_t *j = kymo_vocabulary_json(learned(2));
    json_object_set_new(j, "paths",
                        json_pack("{s:I, s:I, s:s}", "n", n, "met", met, "hashes", hashes));
    return j;
}

static json_t *with_idf(json_t *x)
{
    json_t *j = kymo_vocabulary_json(learned(2));
    json_array_set_new(json_object_get(j, "idf"), 3, x);
    return j;
}

static void a_hostile_vocabulary_is_refused(void **state)
{
    (void)state;
    /* 1, 2 in base64, then 2, 1; 1 alone; 0 */
    assert_int_equal(parse(with_paths(2, 2, "AQAAAAAAAAACAAAAAAAAAA==")), KYMO_OK);
    assert_int_equal(parse(with_paths(2, 2, "AgAAAAAAAAABAAAAAAAAAA==")), KYMO_ECORRUPT);
    assert_int_equal(parse(with_paths(2, 2, "AQAAAAAAAAABAAAAAAAAAA==")), KYMO_ECORRUPT);
    assert_int_equal(parse(with_paths(1, 1, "AQAAAAAAAAA=")), KYMO_OK);
    assert_int_equal(parse(with_paths(1, 1, "AAAAAAAAAAA=")), KYMO_ECORRUPT);
    assert_int_equal(parse(with_paths(1, 0, "AQAAAAAAAAA=")), KYMO_ECORRUPT);
    assert_int_equal(parse(with_paths(2, 2, "AQAAAAAAAAA=")), KYMO_ECORRUPT);
    assert_int_equal(parse(with_paths(1, 1, "AQAAAAAAAAAA")), KYMO_ECORRUPT);
    assert_int_equal(parse(with_paths(1, 1, "AQAAAAAAAAB=")), KYMO_ECORRUPT); /* bits past it */
    assert_int_equal(parse(with_paths(1, 1, "AQAA AAAAAA=")), KYMO_ECORRUPT);
    assert_int_equal(parse(with_paths(1 << 30, 1 << 30, "AQAAAAAAAAA=")), KYMO_ECORRUPT);
    assert_int_equal(parse(with_paths(-1, 1, "")), KYMO_EINPUT);
    assert_int_equal(parse(with_idf(json_null())), KYMO_ECORRUPT);
    assert_int_equal(parse(with_idf(json_real(0.5))), KYMO_ECORRUPT);
    assert_int_equal(parse(with_idf(json_real(1e300))), KYMO_ECORRUPT);
    assert_int_equal(parse(with_idf(json_string("NaN"))), KYMO_ECORRUPT);
    json_t *j = kymo_vocabulary_json(learned(2));
    json_array_remove(json_object_get(j, "idf"), 0);
    assert_int_equal(parse(j), KYMO_ECORRUPT);
    j = kymo_vocabulary_json(learned(2));
    json_object_del(j, "sequences");
    assert_int_equal(parse(j), KYMO_EINPUT);
    j = kymo_vocabulary_json(learned(2));
    json_object_set_new(j, "windows", json_integer(0));
    assert_int_equal(parse(j), KYMO_ECORRUPT);
    assert_int_equal(parse(json_array()), KYMO_EINPUT);
}

static void memory_that_is_short_refuses_a_vocabulary(void **state)
{
    (void)state;
    json_t *j = kymo_vocabulary_json(learned(2000));
    int refused = 0;
    for (size_t cap = 1 << 12; cap <= 1 << 18; cap *= 2) {
        struct kymo_arena small;
        struct kymo_vocabulary *v = NULL;
        kymo_arena_init(&small, cap);
        const kymo_status s = kymo_vocabulary_parse(&v, j, &small, "x", NULL);
        assert_true(s == KYMO_OK || s == KYMO_ELIMIT);
        refused += s == KYMO_ELIMIT;
        kymo_arena_release(&small);
    }
    assert_in_range(refused, 1, 5);
    json_decref(j);
}

static void entropy_is_that_of_the_counts_in_any_order(void **state)
{
    (void)state;
    struct kymo_distinct a = {0}, b = {0}, one = {0};
    for (uint64_t i = 0; i < 256; i++) {
        kymo_distinct_add(&a, kymo_mix64(i + 1), 3);
        kymo_distinct_add(&b, kymo_mix64(256 - i), 1);
    }
    kymo_distinct_add(&one, 7, 1000);
    assert_true(fabs(kymo_distinct_entropy(&a) - 8) < 1e-5);
    assert_true(fabs(kymo_distinct_entropy(&b) - 8) < 1e-5);
    assert_true(kymo_distinct_entropy(&one) < 1e-5);
    assert_true(kymo_distinct_entropy(&(struct kymo_distinct){0}) == 0);
    assert_int_equal(a.n, 256);
    kymo_distinct_add(&one, 0, 0);
    assert_int_equal(one.n, 1);
    kymo_distinct_release(&a);
    kymo_distinct_release(&b);
    kymo_distinct_release(&one);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHORT "0123456789ab"
#define UID "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
#define UID_ "1b4e28ba_2fa1_11d2_883f_0016d3cca427"

static void containers_and_pods_are_named_by_the_paths_of_their_cgroups(void **state)
{
    (void)state;
    static const struct {
        const char *path, *container, *pod;
    } known[] = {
        {"/", "unknown", "unknown"},
        {"", "unknown", "unknown"},
        {"/system.slice/ssh.service", "unknown", "unknown"},
        {"/user.slice/user-0.slice/session-1.scope", "unknown", "unknown"},
        {"/docker/" ID, SHORT, "unknown"},
        {"/system.slice/docker-" ID ".scope", SHORT, "unknown"},
        {"/system.slice/docker.service", "unknown", "unknown"},
        {"/default/web", "web", "unknown"},
        {"/k8s.io/" ID, SHORT, "unknown"},
        {"/system.slice/nerdctl-" ID ".scope", SHORT, "unknown"},
        {"/machine.slice/libpod-" ID ".scope/container", SHORT, "unknown"},
        {"/machine.slice/libpod-conmon-" ID ".scope", "unknown", "unknown"},
        {"/machine.slice/machine-fedora.scope", "fedora", "unknown"},
        {"/machine.slice/systemd-nspawn@deb.service/payload", "deb", "unknown"},
        {"/lxc.payload.web1/system.slice", "web1", "unknown"},
        {"/lxc/web2", "web2", "unknown"},
        {"/kubepods/besteffort/pod" UID "/" ID, SHORT, UID},
        {"/kubepods/pod" UID, "unknown", UID},
        {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
         ".slice/cri-containerd-" ID ".scope",
         SHORT, UID},
        {"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope", SHORT, UID},
        {"/kubepods.slice/kubepods-burstable.slice", "unknown", "unknown"},
        {"/kubepods/podcast", "unknown", "unknown"},
    };
    char name[KYMO_PLACE_NAME_MAX];
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        kymo_container_name(known[i].path, strlen(known[i].path), name);
        assert_string_equal(name, known[i].container);
        kymo_pod_name(known[i].path, strlen(known[i].path), name);
        assert_string_equal(name, known[i].pod);
    }
    char longest[600] = "/docker/";
    memset(longest + 8, 'x', sizeof(longest) - 9);
    kymo_container_name(longest, sizeof(longest) - 1, name);
    assert_int_equal(strlen(name), KYMO_PLACE_NAME_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_met_is_known_and_nothing_else),
        cmocka_unit_test(rare_buckets_weigh_more_and_usual_ones_one),
        cmocka_unit_test(past_the_cap_the_most_frequent_stay),
        cmocka_unit_test(a_vocabulary_of_no_window_is_refused),
        cmocka_unit_test(a_vocabulary_comes_back_from_its_json),
        cmocka_unit_test(a_hostile_vocabulary_is_refused),
        cmocka_unit_test(memory_that_is_short_refuses_a_vocabulary),
        cmocka_unit_test(entropy_is_that_of_the_counts_in_any_order),
        cmocka_unit_test(containers_and_pods_are_named_by_the_paths_of_their_cgroups),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
