/* SPDX-License-Identifier: Apache-2.0
 * fuzz_plan: bytes as the calls of a trace, whatever they claim, through the compiler. What comes out is a plan
 * that may be given to a stage: that is checked, and a refusal is a crash.
 */
#include <stdio.h>

#include "replay/plan/compile.h"
#include "replay/plan/lower_table.h"
#include "tests/lib/tracebuild.h"

#define CALLS_MAX 512u
#define MEMORY_BYTES ((size_t)256 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
    const uint8_t *p;
    size_t n;
};

static uint8_t byte(struct input *in)
{
    if (!in->n)
        return 0;
    in->n--;
    return *in->p++;
}

/* Small numbers mostly, those at the edges, and any. */
static uint64_t number(struct input *in)
{
    static const uint64_t odd[] = {0,
                                   1,
                                   UINT64_MAX,
                                   INT64_MAX,
                                   (uint64_t)INT64_MAX + 1,
                                   UINT32_MAX,
                                   INT32_MAX,
                                   65535,
                                   65536,
                                   (uint64_t)-100,
                                   4096,
                                   0x7f0000000000,
                                   1u << 20,
                                   (uint64_t)1 << 46,
                                   1023,
                                   3};
    const uint8_t b = byte(in);
    if (b < 192)
        return b % 24;
    return b < 240 ? odd[b % 16] : (uint64_t)byte(in) << 8 * (b % 8);
}

static uint32_t path(struct tracebuild *b, struct input *in)
{
    static const char *const piece[] = {"/",    "a",
                                        "..",   ".",
                                        "/a/b", "/.kymo/stage",
                                        "//",   "dev/null",
                                        "/a/",  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                        "\n",   "/proc/self/exe"};
    char s[5000] = "";
    uint8_t k = byte(in);
    size_t n = 0;
    const size_t times = k > 250 ? 120 : k % 5;
    for (size_t i = 0; i < times; i++) {
        const char *const word = piece[times > 5 ? k % 12 : byte(in) % 12];
        const size_t bytes = strlen(word);
        memcpy(s + n, word, bytes);
        n += bytes;
    }
    return trace_text_n(b, s, n);
}

static void add(struct tracebuild *b, struct input *in)
{
    static const char *const addr[] = {"inet:127.0.0.1:80", "inet6:[::1]:80", "unix:/a/s",
                                       "unix:@x",           "unix:",          "netlink:0",
                                       "inet:0.0.0.0:80",   "inet:?"};
    static const int64_t ret[] = {0,  1,   3,   4,   -2,   -11, -17, -512,
                                  -4, -13, 100, 101, 4096, -20, -9,  INT64_MAX};
    uint32_t n_rows;
    const struct lower_row *const row = lower_rows(&n_rows);
    const uint8_t head = byte(in);
    uint64_t arg[6];
    const uint32_t which = (uint32_t)(byte(in) | byte(in) << 8) % n_rows;
    for (int i = 0; i < 6; i++)
        arg[i] = number(in);
    struct kymo_trace_call *c =
        trace_call(b, head % (uint32_t)b->t.n_threads, row[which].name, 0, arg);
    const uint8_t r = byte(in);
    c->ret = r < 128 ? r % 12 : r < 192 ? ret[r % 16] : -(int64_t)(r % 128);
    c->flags = head > 240 ? byte(in) & 0x2e : 0;
    if (head & 64)
        trace_path(b, c, "")->path = path(b, in);
    if (head & 32) {
        c->path2 = path(b, in);
        c->has |= KYMO_TRACE_HAS_PATH2;
    }
    if (head & 16)
        c->addr = trace_text(b, addr[byte(in) % 8]);
    if (head & 128) { /* it took longer, or lies elsewhere in time */
        c->enter_ns -= (uint64_t)byte(in) * 3000 < c->enter_ns ? (uint64_t)byte(in) * 3000 : 0;
        c->exit_ns += (uint64_t)byte(in) * 1000;
        if (byte(in) == 1)
            c->enter_ns = 0;
    }
    if (c->enter_ns > c->exit_ns)
        c->enter_ns = c->exit_ns;
}

static struct tracebuild *build(struct input *in)
{
    struct tracebuild *b = trace_new();
    const uint8_t n = byte(in) % 4;
    trace_thread(b, trace_process(b, 100, UINT32_MAX), 100);
    for (uint8_t i = 0; i < n; i++) {
        const uint32_t p = trace_process(b, 101u + i, byte(in) % (i + 1u));
        trace_thread(b, p, 101u + i);
        trace_thread(b, p, 201u + i);
        if (byte(in) & 1)
            trace_fd(b, p, byte(in) % 8, byte(in) & 1 ? "pipe:[7]" : "socket:[8]",
                     byte(in) & 1 ? "inet:127.0.0.1:80" : "",
                     byte(in) & 1 ? "inet:127.0.0.1:4000" : "");
    }
    for (uint32_t i = 0; i < CALLS_MAX && in->n; i++)
        add(b, in);
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {data, n};
    const struct kymo_plan_opts o = {.cap_bytes = MEMORY_BYTES};
    struct kymo_plan *plan = NULL;
    struct kymo_err err = {0};
    if (!n)
        return 0;
    struct tracebuild *b = build(&in);
    const kymo_status s = kymo_plan_compile(&plan, trace_done(b), &o, &err);
    if (!s && kymo_image_check(plan->image.p, plan->image.n, &err)) {
        fprintf(stderr, "a plan that its own check refuses: %s\n", err.text);
        abort();
    }
    kymo_plan_free(s ? NULL : plan);
    trace_release(b);
    return 0;
}
