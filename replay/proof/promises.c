/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proof/promises.h"

enum { BROKEN, KEPT, UNTOLD, AWAKE };

/* call waits for before; both of the image. */
static int is_kept(const struct kymo_pairing *p, size_t call, size_t before, int begun)
{
    if (p->got[call] == KYMO_UNPAIRED || p->got[before] == KYMO_UNPAIRED)
        return UNTOLD;
    const struct kymo_trace_call *c = &p->again->call[p->got[call]];
    const struct kymo_trace_call *b = &p->again->call[p->got[before]];
    const uint8_t how = p->call[before].how;
    if (how == KYMO_HOW_EXIT || how == KYMO_HOW_EXEC)
        return b->enter_ns <= c->exit_ns ? KEPT : BROKEN;
    if (!(c->has & KYMO_TRACE_HAS_DUR) || (begun && !(b->has & KYMO_TRACE_HAS_DUR)))
        return UNTOLD;
    if (begun)
        return b->enter_ns <= c->enter_ns ? KEPT : AWAKE;
    return b->exit_ns <= c->enter_ns ? KEPT : BROKEN;
}

static void check_call(struct kymo_promises *out, const struct kymo_pairing *p, size_t call)
{
    const struct kymo_image *h = p->image;
    const struct kymo_iactor *actor = kymo_image_at(h, h->actor);
    const struct kymo_dep *dep = kymo_image_at(h, h->dep);
    const struct kymo_icall *c = &p->call[call];
    for (uint32_t i = c->dep; i < c->dep + c->n_deps && i < h->dep.n; i++) {
        const uint32_t index = dep[i].index & ~KYMO_DEP_BEGUN;
        const uint32_t who = dep[i].actor;
        if (!who || who >= h->actor.n || index >= actor[who].n_calls) {
            out->untold++;
            continue;
        }
        const size_t before = actor[who].call + (size_t)index;
        const int kept = is_kept(p, call, before, (dep[i].index & KYMO_DEP_BEGUN) != 0);
        if (kept == BROKEN && !out->broken) {
            out->call = call;
            out->before = before;
        }
        out->kept += kept == KEPT;
        out->broken += kept == BROKEN;
        out->untold += kept == UNTOLD;
        out->awake += kept == AWAKE;
    }
}

struct kymo_promises kymo_promises_check(const struct kymo_pairing *p)
{
    struct kymo_promises out = {0};
    for (size_t i = 0; i < p->n_calls; i++)
        if (p->call[i].how != KYMO_HOW_SKIP)
            check_call(&out, p, i);
    return out;
}
