/* SPDX-License-Identifier: Apache-2.0
 * pairing.c: actors to threads, then the calls of each. Where an actor's names are the thread's, calls pair
 * by their places. Else they pair by name and result class first, so that one call too few among many of its
 * name is found where its result is missing; what that leaves between two pairs then pairs by name.
 */
#include "replay/proof/pairing.h"

#include <stdlib.h>
#include <string.h>

#include "format/trace/schema.h"

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "comparing a replay passes the memory budget");
}

/* -------- who is who -------- */

/* An actor or a thread, by whose it was recorded and when it began. */
struct party {
    uint64_t key; /* pid, tid */
    uint64_t from_ns;
    uint32_t index;
};

static int by_key(const void *a, const void *b)
{
    const struct party *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->from_ns != y->from_ns)
        return x->from_ns < y->from_ns ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static struct party *threads_of(const struct kymo_trace *t, struct kymo_arena *arena)
{
    struct party *p = KYMO_NEW(arena, struct party, t->n_threads);
    for (uint32_t i = 0; p && i < t->n_threads; i++) {
        const struct kymo_trace_thread *th = &t->thread[i];
        const uint32_t pid = th->process < t->n_processes ? t->process[th->process].pid : 0;
        p[i] = (struct party){(uint64_t)pid << 32 | th->tid,
                              th->n ? t->call[t->order[th->first]].enter_ns : UINT64_MAX, i};
    }
    if (p)
        qsort(p, t->n_threads, sizeof(*p), by_key);
    return p;
}

static struct party *actors_of(const struct kymo_image *h, struct kymo_arena *arena)
{
    const struct kymo_iactor *actor = kymo_image_at(h, h->actor);
    const struct kymo_iprocess *process = kymo_image_at(h, h->process);
    const struct kymo_icall *call = kymo_image_at(h, h->call);
    struct party *p = KYMO_NEW(arena, struct party, h->actor.n);
    for (uint32_t i = 0; p && i < h->actor.n; i++) {
        const struct kymo_iactor *a = &actor[i];
        const uint32_t pid = a->process < h->process.n ? process[a->process].pid : 0;
        p[i] = (struct party){(uint64_t)pid << 32 | a->tid,
                              a->n_calls ? call[a->call].enter_ns : UINT64_MAX, i};
    }
    if (p)
        qsort(p, h->actor.n, sizeof(*p), by_key);
    return p;
}

/* thread[n_actors] out: of the re-recording, or KYMO_UNPAIRED; taken[n_threads] out. */
static kymo_status find_threads(const struct kymo_pairing *p, uint32_t *thread, uint8_t *taken,
                                struct kymo_arena *arena, struct kymo_err *err)
{
    const size_t n = p->image->actor.n, m = p->again->n_threads;
    const struct party *a = actors_of(p->image, arena), *t = threads_of(p->again, arena);
    if (!a || !t)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        thread[i] = KYMO_UNPAIRED;
    for (size_t i = 0, j = 0; i < n && j < m;) {
        if (a[i].key == t[j].key && a[i].index) { /* actor 0 is the environment */
            thread[a[i].index] = t[j].index;
            taken[t[j++].index] = 1;
            i++;
        } else if (a[i].key <= t[j].key) {
            i++;
        } else {
            j++;
        }
    }
    return KYMO_OK;
}

/* -------- the calls of one actor -------- */

struct side {
    uint32_t *call;        /* of its trace; of the planned side, beside it the plan's */
    uint32_t *name, *word; /* name alone; with result class */
    uint32_t n;
};

struct work {
    struct kymo_pairing *p;
    struct kymo_aligner *aligner;
    const uint32_t *word_original, *word_again;
    struct side a, b;
    uint32_t *of_plan; /* [a.n] */
    uint32_t *pair, *sub;
    uint8_t *used; /* [b.n] */
};

static void put(struct side *s, const struct kymo_trace *t, const uint32_t *word, uint32_t call)
{
    const struct kymo_trace_call *c = &t->call[call];
    s->call[s->n] = call;
    s->name[s->n] = word[c->name];
    s->word[s->n] = word[c->name] << 16 | kymo_result_class(c);
    s->n++;
}

static int is_open_end(const struct kymo_icall *c, const struct kymo_trace_call *o)
{
    return c->why == KYMO_WHY_UNFINISHED ||
           (!(o->has & KYMO_TRACE_HAS_RET) && !(o->flags & KYMO_CALL_AT_ENTRY));
}

/* What the actor is to make; the name of a call that may be there or not, 0: none. */
static uint32_t take_planned(struct work *w, const struct kymo_iactor *a)
{
    struct kymo_pairing *p = w->p;
    uint32_t open_end = 0;
    w->a.n = 0;
    for (uint32_t i = a->call; i < a->call + a->n_calls; i++) {
        const struct kymo_icall *c = &p->call[i];
        if (c->how == KYMO_HOW_SKIP)
            continue;
        const struct kymo_trace_call *o = &p->original->call[c->row];
        if (is_open_end(c, o)) {
            open_end = w->word_original[o->name];
            continue;
        }
        w->of_plan[w->a.n] = i;
        put(&w->a, p->original, w->word_original, c->row);
        p->wanted[i] = 1;
        p->n_injected += c->how == KYMO_HOW_INJECT;
    }
    p->n_wanted += w->a.n;
    return open_end;
}

static void take_played(struct work *w, uint32_t thread, uint32_t open_end)
{
    const struct kymo_trace *t = w->p->again;
    w->b.n = 0;
    if (thread == KYMO_UNPAIRED)
        return;
    const struct kymo_trace_thread *th = &t->thread[thread];
    for (uint32_t i = 0; i < th->n; i++)
        if (!kymo_call_follows(t, &t->call[t->order[th->first + i]]))
            put(&w->b, t, w->word_again, t->order[th->first + i]);
    if (open_end && w->b.n > w->a.n && w->b.name[w->b.n - 1] == open_end)
        w->b.n--;
}

/* What lies unpaired between two pairs, by name. */
static void pair_gaps(struct work *w)
{
    for (uint32_t i = 0, from = 0; i < w->a.n;) {
        uint32_t end = i;
        while (end < w->a.n && w->pair[end] == KYMO_UNPAIRED)
            end++;
        const uint32_t to = end < w->a.n ? w->pair[end] : w->b.n;
        if (end > i)
            (void)kymo_align(w->aligner, w->a.name + i, end - i, w->b.name + from, to - from,
                             w->sub);
        for (uint32_t k = i; k < end; k++)
            w->pair[k] = w->sub[k - i] == KYMO_UNPAIRED ? KYMO_UNPAIRED : from + w->sub[k - i];
        from = to + 1;
        i = end + 1;
    }
}

static void pair_calls(struct work *w)
{
    struct kymo_pairing *p = w->p;
    const uint64_t edits =
        kymo_align(w->aligner, w->a.name, w->a.n, w->b.name, w->b.n, w->pair);
    p->edits += edits;
    p->n_strayed += edits != 0;
    if (edits) {
        (void)kymo_align(w->aligner, w->a.word, w->a.n, w->b.word, w->b.n, w->pair);
        pair_gaps(w);
    }
    memset(w->used, 0, w->b.n);
    for (uint32_t i = 0; i < w->a.n; i++) {
        if (w->pair[i] == KYMO_UNPAIRED)
            continue;
        p->got[w->of_plan[i]] = w->b.call[w->pair[i]];
        w->used[w->pair[i]] = 1;
    }
    for (uint32_t i = 0; i < w->b.n; i++)
        if (!w->used[i])
            p->extra[p->n_extra++] = w->b.call[i];
}

/* Keep a side as a strand of its own. */
static void keep(struct kymo_strands *to, struct side *s)
{
    to->strand[to->n++] = (struct kymo_strand){s->call, s->n};
    to->n_calls += s->n;
    s->call += s->n;
}

static kymo_status open_side(struct side *s, size_t all, size_t longest,
                             struct kymo_arena *arena, struct kymo_err *err)
{
    s->call = KYMO_NEW_RAW(arena, uint32_t, all);
    s->name = KYMO_NEW_RAW(arena, uint32_t, longest);
    s->word = KYMO_NEW_RAW(arena, uint32_t, longest);
    return s->call && s->name && s->word ? KYMO_OK : no_memory(err);
}

static size_t longest_actor(const struct kymo_image *h)
{
    const struct kymo_iactor *actor = kymo_image_at(h, h->actor);
    size_t n = 0;
    for (size_t i = 0; i < h->actor.n; i++)
        n = actor[i].n_calls > n ? actor[i].n_calls : n;
    return n;
}

static size_t longest_thread(const struct kymo_trace *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_threads; i++)
        n = t->thread[i].n > n ? t->thread[i].n : n;
    return n;
}

static kymo_status open_work(struct work *w, struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_pairing *p = w->p;
    const size_t a = longest_actor(p->image), b = longest_thread(p->again);
    const size_t strands = p->image->actor.n + p->again->n_threads;
    KYMO_TRY(open_side(&w->a, p->n_calls, a, arena, err));
    KYMO_TRY(open_side(&w->b, p->again->n_calls, b, arena, err));
    w->of_plan = KYMO_NEW_RAW(arena, uint32_t, a);
    w->pair = KYMO_NEW_RAW(arena, uint32_t, a);
    w->sub = KYMO_NEW_RAW(arena, uint32_t, a);
    w->used = KYMO_NEW_RAW(arena, uint8_t, b);
    p->got = KYMO_NEW_RAW(arena, uint32_t, p->n_calls);
    p->wanted = KYMO_NEW(arena, uint8_t, p->n_calls);
    p->extra = KYMO_NEW_RAW(arena, uint32_t, p->again->n_calls);
    p->planned.strand = KYMO_NEW(arena, struct kymo_strand, strands);
    p->played.strand = KYMO_NEW(arena, struct kymo_strand, strands);
    if (!w->of_plan || !w->pair || !w->sub || !w->used || !p->got || !p->wanted || !p->extra ||
        !p->planned.strand || !p->played.strand)
        return no_memory(err);
    memset(p->got, 0xff, p->n_calls * sizeof(*p->got));
    return KYMO_OK;
}

static kymo_status check_plan(const struct kymo_pairing *p, struct kymo_err *err)
{
    for (size_t i = 0; i < p->n_calls; i++)
        if (p->call[i].row >= p->original->n_calls)
            return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                             "the plan is not of this capture: it has a call number %u of %zu",
                             p->call[i].row, p->original->n_calls);
    return KYMO_OK;
}

static void pair_all(struct work *w, const uint32_t *thread, const uint8_t *taken)
{
    struct kymo_pairing *p = w->p;
    const struct kymo_iactor *actor = kymo_image_at(p->image, p->image->actor);
    for (uint32_t i = 0; i < p->image->actor.n; i++) {
        const uint32_t open_end = take_planned(w, &actor[i]);
        take_played(w, thread[i], open_end);
        pair_calls(w);
        keep(&p->planned, &w->a);
        keep(&p->played, &w->b);
    }
    for (uint32_t i = 0; i < p->again->n_threads; i++) {
        if (taken[i])
            continue;
        w->a.n = 0;
        take_played(w, i, 0);
        pair_calls(w);
        keep(&p->played, &w->b);
    }
}

kymo_status kymo_pairing_make(struct kymo_pairing *out, const struct kymo_image *image,
                              const struct kymo_trace *original, const struct kymo_trace *again,
                              struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_pairing p = {.image = image,
                             .call = kymo_image_at(image, image->call),
                             .n_calls = image->call.n,
                             .original = original,
                             .again = again};
    struct work w = {.p = &p};
    uint32_t *word_original, *word_again;
    KYMO_TRY(check_plan(&p, err));
    KYMO_TRY(kymo_strands_words(original, again, &word_original, &word_again, arena, err));
    w.word_original = p.planned.word = word_original;
    w.word_again = p.played.word = word_again;
    p.planned.t = original;
    p.played.t = again;
    uint32_t *thread = KYMO_NEW_RAW(arena, uint32_t, image->actor.n);
    uint8_t *taken = KYMO_NEW(arena, uint8_t, again->n_threads);
    if (!thread || !taken)
        return no_memory(err);
    KYMO_TRY(open_work(&w, arena, err));
    KYMO_TRY(find_threads(&p, thread, taken, arena, err));
    KYMO_TRY(kymo_aligner_open(&w.aligner, err));
    pair_all(&w, thread, taken);
    kymo_aligner_close(w.aligner);
    *out = p;
    return KYMO_OK;
}
