/* SPDX-License-Identifier: Apache-2.0 */
#include "record/anchors.h"

#include "record/host.h"

#define READS_MAX 5
#define READ_NS_GOOD 20000u
/* A reading that took longer than this may have been interrupted: it proves no step. */
#define READ_NS_SHAKY 2000000u

static uint64_t host_mono(void *ctx)
{
    (void)ctx;
    return host_mono_ns();
}

static uint64_t host_boot(void *ctx)
{
    (void)ctx;
    return host_boot_ns();
}

static uint64_t host_real(void *ctx)
{
    (void)ctx;
    return host_real_ns();
}

struct clocks clocks_of_host(void)
{
    return (struct clocks){NULL, host_mono, host_boot, host_real};
}

/* All three at one moment, as nearly as can be had; returns how long the reading took. */
static uint64_t read_clocks(const struct clocks *c, struct anchor *out)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < READS_MAX && best > READ_NS_GOOD; i++) {
        const uint64_t before = c->mono(c->ctx);
        const uint64_t boot = c->boot(c->ctx), real = c->real(c->ctx);
        const uint64_t took = c->mono(c->ctx) - before;
        if (took >= best)
            continue;
        best = took;
        *out = (struct anchor){before + took / 2, boot, real};
    }
    return best;
}

static bool parted(uint64_t a, uint64_t b)
{
    const uint64_t apart = a - b < b - a ? a - b : b - a;

    return apart >= ANCHORS_STEP_NS_MIN;
}

size_t anchors_look(struct anchors *a, bool is_due, struct anchor out[2])
{
    struct anchor now = {0};
    const bool is_shaky = read_clocks(&a->clocks, &now) > READ_NS_SHAKY;
    const bool is_step =
        a->has_seen && !is_shaky &&
        (parted(now.real_ns - now.mono_ns, a->seen.real_ns - a->seen.mono_ns) ||
         parted(now.boot_ns - now.mono_ns, a->seen.boot_ns - a->seen.mono_ns));
    size_t n = 0;

    if (is_step && !a->is_written)
        out[n++] = a->seen;
    if (is_step || is_due)
        out[n++] = now;
    if (!is_shaky || !a->has_seen) {
        a->seen = now;
        a->has_seen = true;
        a->is_written = is_step || is_due;
    }
    return n;
}
