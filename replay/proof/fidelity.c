/* SPDX-License-Identifier: Apache-2.0
 * fidelity.c: measures and their gates, layer by layer, and the verdict.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/proof/explain.h"
#include "replay/proof/mix.h"
#include "replay/proof/modelled.h"
#include "replay/proof/pairing.h"
#include "replay/proof/promises.h"
#include "replay/proof/proof.h"
#include "replay/proof/timing.h"

#define COMPARE_BYTES_MAX ((size_t)4 << 30)

/* A control that is as good as the replay is as far as that, whatever rounding says of it. */
#define DISTANCE_LEAST 1e-4

struct gates {
    double jsd_call, jsd_gram, state, bad;
};
static const struct gates gates_replay = {.02, .05, .95, .90};
static const struct gates gates_synthesis = {.05, .10, .90, .80};

struct compare {
    struct kymo_proof *out;
    const struct kymo_proof_opts *o;
    const struct kymo_trace *original, *again;
    const struct gates *gates;
    struct kymo_arena arena;
    struct kymo_pairing pairing;
    struct kymo_strands planned, played;
};

/* -------- measures -------- */

static struct kymo_measure *add(struct compare *c, const char *layer, const char *name,
                                const char *unit, double value, double gate, int at_least)
{
    struct kymo_measure *m = &c->out->measure[c->out->n++];
    *m = (struct kymo_measure){.layer = layer,
                               .name = name,
                               .unit = unit,
                               .value = value,
                               .gate = gate,
                               .at_least = at_least};
    if (isnan(value))
        m->verdict = -1;
    else
        m->verdict = isnan(gate) || (at_least ? value >= gate : value <= gate);
    return m;
}

static void note(struct kymo_measure *m, const char *fmt, ...) KYMO_PRINTF(2, 3);
static void note(struct kymo_measure *m, const char *fmt, ...)
{
    const size_t at = strlen(m->note);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(m->note + at, sizeof(m->note) - at, fmt, ap);
    va_end(ap);
}

/* What the original differs from itself says nothing against a replay. */
static void weigh_noise(struct kymo_measure *m, double noise)
{
    if (!(noise > 0))
        return;
    note(m, "%snoise floor %.4g", m->note[0] ? "; " : "", noise);
    if (m->verdict == 0 && m->value <= noise)
        m->verdict = -1;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : NAN;
}

/* -------- layers -------- */

static void add_recording(struct compare *c)
{
    struct kymo_measure *m = add(c, "recording", "lost", "rows", (double)c->again->lost, 0, 0);
    if (c->again->torn)
        note(m, "the re-recording ends in mid-chunk");
    if (c->again->lost || c->again->torn)
        m->verdict = -1;
    if (c->original->lost)
        note(m, "%sthe original had lost %" PRIu64 " rows", m->note[0] ? "; " : "",
             c->original->lost);
}

struct outcomes {
    uint64_t match, natural, byte_calls, byte_match, missing;
};

static struct outcomes count_outcomes(const struct kymo_pairing *p)
{
    struct outcomes n = {0};
    for (size_t i = 0; i < p->n_calls; i++) {
        if (!p->wanted[i])
            continue;
        const struct kymo_icall *c = &p->call[i];
        const int holds = kymo_pairing_holds(p, i);
        n.match += (uint64_t)holds;
        n.natural += holds && c->how != KYMO_HOW_INJECT;
        n.missing += p->got[i] == KYMO_UNPAIRED;
        const struct kymo_trace_call *o = &p->original->call[c->row];
        if (!(c->flags & KYMO_ICALL_BYTES) || !(o->has & KYMO_TRACE_HAS_RET) || o->ret < 0)
            continue;
        n.byte_calls++;
        n.byte_match += holds && p->again->call[p->got[i]].ret == o->ret;
    }
    return n;
}

static kymo_status add_outcome(struct compare *c, struct kymo_err *err)
{
    const struct kymo_pairing *p = &c->pairing;
    const struct outcomes n = count_outcomes(p);
    uint64_t unexplained;
    KYMO_TRY(kymo_explain(c->out, p, c->o->outcome, &unexplained, &c->arena, err));
    struct kymo_measure *m =
        add(c, "outcome", "match", "share", share(n.match, p->n_wanted), .995, 1);
    note(m, "%" PRIu64 " of %" PRIu64 " calls, %" PRIu64 " not there", n.match, p->n_wanted,
         n.missing);
    (void)add(c, "outcome", "natural", "share", share(n.natural, p->n_wanted), .97, 1);
    (void)add(c, "outcome", "injected", "share", share(p->n_injected, p->n_wanted), .02, 0);
    m = add(c, "outcome", "unexplained", "calls", (double)unexplained, 0, 0);
    note(m, "of %" PRIu64 " that do not match", p->n_wanted - n.match);
    m = add(c, "outcome", "bytes", "share", share(n.byte_match, n.byte_calls), NAN, 1);
    note(m, "of %" PRIu64 " calls that move bytes", n.byte_calls);
    return KYMO_OK;
}

static void add_order(struct compare *c)
{
    const struct kymo_pairing *p = &c->pairing;
    const struct kymo_promises k = kymo_promises_check(p);
    struct kymo_measure *m = add(c, "order", "violated", "calls", (double)k.broken, 0, 0);
    note(m, "of %" PRIu64 " dependencies", k.kept + k.broken);
    if (k.untold)
        note(m, ", %" PRIu64 " not to be told", k.untold);
    if (k.broken)
        note(m, "; first %.30s before %.30s",
             p->original->text[p->original->call[p->call[k.call].row].name],
             p->original->text[p->original->call[p->call[k.before].row].name]);
    m = add(c, "order", "not_waiting", "calls", (double)k.awake, NAN, 0);
    note(m, "that were to find another call waiting and came before it");
    m = add(c, "order", "edit_distance", "calls", (double)p->edits, 0, 0);
    note(m, "in %zu of %zu threads", p->n_strayed, p->played.n);
}

static kymo_status add_mix(struct compare *c, struct kymo_err *err)
{
    double calls, grams;
    KYMO_TRY(kymo_mix_calls(&calls, &c->planned, &c->played, err));
    KYMO_TRY(kymo_mix_grams(&grams, &c->planned, &c->played, err));
    if (!c->planned.n_calls)
        calls = grams = NAN;
    weigh_noise(add(c, "mix", "jsd_call", "bits", calls, c->gates->jsd_call, 0),
                c->o->noise_jsd_call);
    weigh_noise(add(c, "mix", "jsd_gram", "bits", grams, c->gates->jsd_gram, 0),
                c->o->noise_jsd_gram);
    return KYMO_OK;
}

/* -------- time -------- */

static void add_makespan(struct compare *c)
{
    uint64_t a0, a1, b0, b1;
    double error = NAN, wanted = NAN, got = NAN;
    if (kymo_strands_span(&c->planned, &a0, &a1) && kymo_strands_span(&c->played, &b0, &b1) &&
        a1 > a0) {
        wanted = (double)(a1 - a0) * c->o->pace;
        got = (double)(b1 - b0);
        error = fabs(got / wanted - 1);
    }
    struct kymo_measure *m = add(c, "time", "makespan_error", "share", error, .05, 0);
    if (!isnan(error))
        note(m, "%.6g s instead of %.6g s", got / 1e9, wanted / 1e9);
    if (m->verdict == 0 && fabs(got - wanted) <= KYMO_WAKE_NS)
        m->verdict = 1;
}

static kymo_status add_drift(struct compare *c, struct kymo_err *err)
{
    const struct kymo_pairing *p = &c->pairing;
    uint64_t a0, b0, end;
    double late_ns = NAN, drift = NAN;
    size_t n = 0;
    struct kymo_moment *moment = KYMO_NEW_RAW(&c->arena, struct kymo_moment, p->n_calls);
    if (!moment)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "moments pass the memory budget");
    if (kymo_strands_span(&c->planned, &a0, &end) && kymo_strands_span(&c->played, &b0, &end)) {
        for (size_t i = 0; i < p->n_calls; i++) {
            if (!p->wanted[i] || p->got[i] == KYMO_UNPAIRED)
                continue;
            const struct kymo_trace_call *o = &p->original->call[p->call[i].row];
            const struct kymo_trace_call *g = &p->again->call[p->got[i]];
            moment[n++] = (struct kymo_moment){
                (uint64_t)((double)(o->enter_ns - a0) * c->o->pace), g->enter_ns - b0};
        }
        drift = kymo_timing_drift(moment, n, &late_ns);
    }
    struct kymo_measure *m = add(c, "time", "drift", "share", drift, .001, 0);
    if (isnan(drift))
        return KYMO_OK;
    note(m, "%.3g us", late_ns / 1e3);
    if (m->verdict == 0 && fabs(late_ns) <= KYMO_WAKE_NS) {
        m->verdict = 1;
        note(m, ", no more than a wake-up costs");
    }
    return KYMO_OK;
}

static kymo_status add_gaps(struct compare *c, struct kymo_err *err)
{
    double exact, ks;
    KYMO_TRY(
        kymo_mix_gaps(&ks, &c->planned, &c->played, c->o->pace, KYMO_GAP_RESOLUTION_NS, err));
    KYMO_TRY(kymo_mix_gaps(&exact, &c->planned, &c->played, c->o->pace, 0, err));
    struct kymo_measure *m = add(c, "time", "ks_gap", "", ks, .10, 0);
    if (!isnan(ks))
        note(m, "to %.3g us; exactly %.4g", KYMO_GAP_RESOLUTION_NS / 1e3, exact);
    weigh_noise(m, c->o->noise_ks);
    return KYMO_OK;
}

static void add_rate(struct compare *c)
{
    uint64_t a0, a1, b0, b1;
    const double times = c->o->rate > 0 ? c->o->rate : 1;
    double error = NAN, wanted = NAN, got = NAN;
    if (kymo_strands_span(&c->planned, &a0, &a1) && kymo_strands_span(&c->played, &b0, &b1) &&
        a1 > a0 && b1 > b0) {
        wanted = (double)c->planned.n_calls / (double)(a1 - a0) * times;
        got = (double)c->played.n_calls / (double)(b1 - b0);
        error = fabs(got / wanted - 1);
    }
    struct kymo_measure *m = add(c, "time", "rate_error", "share", error, .10, 0);
    if (!isnan(error))
        note(m, "%.6g calls/s instead of %.6g", got * 1e9, wanted * 1e9);
}

/* -------- the model, the control -------- */

static kymo_status add_model(struct compare *c, struct kymo_err *err)
{
    const struct kymo_proof_opts *o = c->o;
    struct kymo_modelled got = {.agreement = NAN, .bad_agreement = NAN};
    const int is_timed = !o->image || o->pace == 1;
    const struct kymo_modelled_opts how = {.model = o->model,
                                           .original = o->original_path,
                                           .again = o->again_path,
                                           .original_first_ns = c->original->first_ns,
                                           .original_last_ns = c->original->last_ns,
                                           .again_first_ns = c->again->first_ns,
                                           .state = o->state};
    if (!o->model)
        return KYMO_OK;
    if (is_timed)
        KYMO_TRY(kymo_modelled_compare(&got, &how, err));
    const int has_gate = is_timed && !got.why_not;
    struct kymo_measure *m = add(c, "model", "state_agreement", "share", got.agreement,
                                 has_gate ? c->gates->state : NAN, 1);
    if (!is_timed)
        note(m, "windows are those of the recorded pace alone");
    else
        note(m, "%zu of %zu windows, %zu states%s%s", got.same, got.windows, got.states,
             got.why_not ? "; no gate: " : "", got.why_not ? got.why_not : "");
    m = add(c, "model", "bad_agreement", "share", got.bad_agreement,
            has_gate && got.bad_windows ? c->gates->bad : NAN, 1);
    note(m, "%zu of %zu windows of bad states", got.bad_same, got.bad_windows);
    return KYMO_OK;
}

static kymo_status add_control(struct compare *c, struct kymo_err *err)
{
    struct kymo_strands control, planned = c->planned;
    uint32_t *word_original, *word_control;
    double near[2], far[2];
    if (!c->o->control)
        return KYMO_OK;
    KYMO_TRY(kymo_mix_calls(&near[0], &c->planned, &c->played, err));
    KYMO_TRY(kymo_mix_grams(&near[1], &c->planned, &c->played, err));
    KYMO_TRY(kymo_strands_words(c->original, c->o->control, &word_original, &word_control,
                                &c->arena, err));
    KYMO_TRY(kymo_strands_all(&control, c->o->control, word_control, &c->arena, err));
    planned.word = word_original;
    KYMO_TRY(kymo_mix_calls(&far[0], &planned, &control, err));
    KYMO_TRY(kymo_mix_grams(&far[1], &planned, &control, err));
    const double replay = fmax(near[0] + near[1], DISTANCE_LEAST);
    struct kymo_measure *m = add(c, "control", "factor", "", (far[0] + far[1]) / replay, 3, 1);
    note(m, "calls and 3-grams: control %.4g bits, replay %.4g", far[0] + far[1],
         near[0] + near[1]);
    return KYMO_OK;
}

/* -------- the verdict -------- */

static int verdict(const struct kymo_proof *p)
{
    int worst = 1;
    for (size_t i = 0; i < p->n; i++) {
        const struct kymo_measure *m = &p->measure[i];
        if (!strcmp(m->layer, "recording") && m->verdict < 0)
            return -1;
        if (isnan(m->gate))
            continue;
        if (m->verdict == 0)
            worst = 0;
        else if (m->verdict < 0 && worst == 1)
            worst = -1;
    }
    return worst;
}

static kymo_status choose_strands(struct compare *c, struct kymo_err *err)
{
    uint32_t *word_original, *word_again;
    if (c->o->image) {
        KYMO_TRY(
            kymo_pairing_make(&c->pairing, c->o->image, c->original, c->again, &c->arena, err));
        c->planned = c->pairing.planned;
        c->played = c->pairing.played;
        return KYMO_OK;
    }
    KYMO_TRY(
        kymo_strands_words(c->original, c->again, &word_original, &word_again, &c->arena, err));
    KYMO_TRY(kymo_strands_all(&c->planned, c->original, word_original, &c->arena, err));
    return kymo_strands_all(&c->played, c->again, word_again, &c->arena, err);
}

static kymo_status compare(struct compare *c, struct kymo_err *err)
{
    KYMO_TRY(choose_strands(c, err));
    add_recording(c);
    if (c->o->image) {
        KYMO_TRY(add_outcome(c, err));
        add_order(c);
    }
    KYMO_TRY(add_mix(c, err));
    if (!c->o->image)
        add_rate(c);
    if (c->o->image && c->o->pace > 0) {
        add_makespan(c);
        KYMO_TRY(add_drift(c, err));
        KYMO_TRY(add_gaps(c, err));
    }
    KYMO_TRY(add_model(c, err));
    KYMO_TRY(add_control(c, err));
    c->out->verdict = verdict(c->out);
    return KYMO_OK;
}

kymo_status kymo_proof_compare(struct kymo_proof *out, const struct kymo_trace *original,
                               const struct kymo_trace *again, const struct kymo_proof_opts *o,
                               struct kymo_err *err)
{
    struct kymo_proof p = {0};
    struct compare c = {.out = &p,
                        .o = o,
                        .original = original,
                        .again = again,
                        .gates = o->image ? &gates_replay : &gates_synthesis};
    kymo_arena_init(&c.arena, COMPARE_BYTES_MAX);
    const kymo_status s = compare(&c, err);
    kymo_arena_release(&c.arena);
    if (s)
        kymo_proof_release(&p);
    else
        *out = p;
    return s;
}

void kymo_proof_release(struct kymo_proof *p)
{
    free(p->mismatch);
    *p = (struct kymo_proof){0};
}
