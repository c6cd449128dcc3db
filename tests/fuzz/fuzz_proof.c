/* SPDX-License-Identifier: Apache-2.0
 * fuzz_proof.c: any capture taken for a re-recording, and any calls held against a plan.
 *
 * Input: a byte of choice; then a capture (even), or two traces as rows of 8 bytes each (odd).
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay/proof/proof.h"
#include "tests/fuzz/mend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define THREADS 4u
#define CALLS_MAX 512u
static const char *const texts[] = {"",      "read",  "write",  "openat",          "close",
                                    "futex", "poll",  "execve", "rt_sigreturn",    "exit",
                                    "clone", "ppoll", "a<b>&",  "restart_syscall", "accept4"};
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

struct plan {
    struct kymo_image h;
    struct kymo_iprocess process[2];
    struct kymo_iactor actor[THREADS + 1];
    struct kymo_icall call[CALLS_MAX];
    struct kymo_dep dep[CALLS_MAX];
};

struct traced {
    struct kymo_trace t;
    struct kymo_trace_call call[CALLS_MAX];
    uint32_t order[CALLS_MAX];
    struct kymo_trace_thread thread[THREADS];
    struct kymo_trace_process process[2];
};

static void read_trace(struct traced *s, const uint8_t *p, size_t n)
{
    static uint32_t bytes[TEXTS];
    memset(s, 0, sizeof(*s));
    s->t.call = s->call;
    s->t.order = s->order;
    s->t.thread = s->thread;
    s->t.process = s->process;
    s->t.text = (const char **)texts;
    s->t.text_bytes = bytes;
    s->t.n_texts = TEXTS;
    s->t.n_threads = THREADS;
    s->t.n_processes = 2;
    uint64_t now = 1000;
    for (size_t i = 0; i + 8 <= n && s->t.n_calls < CALLS_MAX; i += 8) {
        struct kymo_trace_call *c = &s->call[s->t.n_calls++];
        const int16_t ret = (int16_t)(p[i + 1] | p[i + 2] << 8);
        now += (uint64_t)p[i + 3] << (p[i + 4] & 31);
        *c = (struct kymo_trace_call){.exit_ns = now,
                                      .enter_ns = now - (p[i + 5] < now ? p[i + 5] : 0),
                                      .ret = ret,
                                      .thread = p[i] % THREADS,
                                      .name = p[i + 6] % TEXTS,
                                      .path = p[i + 3] % TEXTS,
                                      .has = p[i + 7] & 7,
                                      .flags = p[i + 7] >> 3 & 7};
    }
    for (uint32_t th = 0, at = 0; th < THREADS; th++) {
        s->thread[th] = (struct kymo_trace_thread){
            .process = th / 2, .tid = 10 + (n & 1 ? 0 : th), .first = at};
        for (uint32_t i = 0; i < s->t.n_calls; i++)
            if (s->call[i].thread == th)
                s->order[at++] = i;
        s->thread[th].n = at - s->thread[th].first;
    }
    s->t.first_ns = s->t.n_calls ? s->call[0].enter_ns : 0;
    s->t.last_ns = now;
}

/* Of a trace, with everything that a checked plan may say drawn from the bytes. */
static void make_plan(struct plan *p, const struct traced *s, const uint8_t *bytes, size_t n)
{
    memset(p, 0, sizeof(*p));
    p->h.process = (struct kymo_section){offsetof(struct plan, process), 2};
    p->h.actor = (struct kymo_section){offsetof(struct plan, actor), THREADS + 1};
    p->h.call = (struct kymo_section){offsetof(struct plan, call), s->t.n_calls};
    p->h.dep = (struct kymo_section){offsetof(struct plan, dep), s->t.n_calls};
    uint32_t k = 0;
    for (uint32_t th = 0; th < THREADS; th++) {
        p->actor[th + 1] = (struct kymo_iactor){.process = s->thread[th].process,
                                                .tid = s->thread[th].tid,
                                                .call = k,
                                                .n_calls = s->thread[th].n};
        for (uint32_t i = 0; i < s->thread[th].n; i++, k++) {
            const uint8_t a = n ? bytes[(7 * (size_t)k) % n] : 0;
            const uint8_t b = n ? bytes[(7 * (size_t)k + 3) % n] : 0;
            p->call[k] = (struct kymo_icall){.row = s->order[s->thread[th].first + i],
                                             .how = a % KYMO_HOW_COUNT,
                                             .why = b % KYMO_WHY_COUNT,
                                             .kind = {a % KYMO_ARG_COUNT, b % KYMO_ARG_COUNT},
                                             .arg = {b, a},
                                             .out = a % 5,
                                             .flags = b & 31,
                                             .other = a,
                                             .dep = k,
                                             .n_deps = a & 1};
            p->dep[k] =
                (struct kymo_dep){b % (THREADS + 2), (uint32_t)a | (uint32_t)(b & 1) << 31};
        }
    }
}

static void compare(const uint8_t *data, size_t size)
{
    static struct plan plan;
    static struct traced a, b;
    static struct kymo_outcome outcome[CALLS_MAX];
    struct kymo_proof proof;
    struct kymo_distance d;
    const size_t half = size / 2;
    read_trace(&a, data, half);
    read_trace(&b, data + half, size - half);
    make_plan(&plan, &a, data, size);
    struct kymo_proof_opts o = {.image = &plan.h, .pace = (double)(size % 3), .control = &a.t};
    if (size & 4)
        o.outcome = outcome;
    if (kymo_proof_compare(&proof, &a.t, &b.t, &o, NULL) == KYMO_OK) {
        FILE *f = fopen("/dev/null", "w");
        if (!f)
            abort();
        for (int form = KYMO_PROOF_TEXT; form <= KYMO_PROOF_JUNIT; form++)
            kymo_proof_print(&proof, &a.t, (enum kymo_proof_form)form, f);
        fclose(f);
        for (size_t i = 0; i < proof.n; i++)
            if (proof.measure[i].value < 0)
                abort();
        kymo_proof_release(&proof);
    }
    if (kymo_distance(&d, &a.t, &b.t, NULL) == KYMO_OK &&
        (d.jsd_call < 0 || d.jsd_call > 1 || d.jsd_gram < 0 || d.jsd_gram > 1 || d.ks_gap > 1))
        abort();
}

/* Whatever it is, what comes out without an error has no tags left to be cleaned by. */
static void clean(const uint8_t *data, size_t size)
{
    static struct plan plan;
    static struct traced none;
    char path[64];
    const int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
    uint8_t *p = malloc(size + 1);
    if (!p || in < 0 || out < 0)
        abort();
    memcpy(p, data, size);
    mend(p, size);
    if (write(in, p, size) != (ssize_t)size)
        abort();
    free(p);
    read_trace(&none, NULL, 0);
    make_plan(&plan, &none, NULL, 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
    if (kymo_recording_clean(path, &plan.h, out, NULL) == KYMO_OK) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", out);
        const int again = memfd_create("again", MFD_CLOEXEC);
        if (again < 0 || kymo_recording_clean(path, &plan.h, again, NULL) != KYMO_EUSAGE)
            abort();
        close(again);
    }
    close(in);
    close(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] & 1)
        compare(data + 1, size - 1);
    else
        clean(data + 1, size - 1);
    return 0;
}
