/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proof/strands.h"

#include <string.h>
#include <xxhash.h>

#include "format/trace/schema.h"

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "comparing two traces passes the memory budget");
}

/* Names by their text: open addressing, at most half full. */
struct names {
    const char **text;
    uint32_t *number;
    size_t slots; /* power of two */
    uint32_t n;
};

/* Mark the texts that name calls; returns how many there are. */
static size_t mark_names(const struct kymo_trace *t, uint32_t *word)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_calls; i++) {
        const uint32_t name = t->call[i].name;
        if (name < t->n_texts && !word[name]) {
            word[name] = 1;
            n++;
        }
    }
    return n;
}

static kymo_status number(struct names *m, const struct kymo_trace *t, uint32_t *word,
                          struct kymo_err *err)
{
    for (size_t i = 0; i < t->n_texts; i++) {
        if (!word[i])
            continue;
        const char *text = t->text[i];
        size_t at = XXH3_64bits(text, strlen(text)) & (m->slots - 1);
        while (m->text[at] && strcmp(m->text[at], text) != 0)
            at = (at + 1) & (m->slots - 1);
        if (!m->text[at]) {
            if (m->n == KYMO_WORDS_NAMED_MAX)
                return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u names of calls",
                                 KYMO_WORDS_NAMED_MAX);
            m->text[at] = text;
            m->number[at] = ++m->n;
        }
        word[i] = m->number[at];
    }
    return KYMO_OK;
}

kymo_status kymo_strands_words(const struct kymo_trace *a, const struct kymo_trace *b,
                               uint32_t **word_a, uint32_t **word_b, struct kymo_arena *arena,
                               struct kymo_err *err)
{
    struct names m = {.slots = 64};
    uint32_t *wa = KYMO_NEW(arena, uint32_t, a->n_texts + 1);
    uint32_t *wb = b ? KYMO_NEW(arena, uint32_t, b->n_texts + 1) : NULL;
    if (!wa || (b && !wb))
        return no_memory(err);
    const size_t n = mark_names(a, wa) + (b ? mark_names(b, wb) : 0);
    while (m.slots < 2 * n)
        m.slots *= 2;
    m.text = KYMO_NEW(arena, const char *, m.slots);
    m.number = KYMO_NEW(arena, uint32_t, m.slots);
    if (!m.text || !m.number)
        return no_memory(err);
    KYMO_TRY(number(&m, a, wa, err));
    if (b)
        KYMO_TRY(number(&m, b, wb, err));
    *word_a = wa;
    if (word_b)
        *word_b = wb;
    return KYMO_OK;
}

int kymo_call_follows(const struct kymo_trace *t, const struct kymo_trace_call *c)
{
    if (c->flags & KYMO_CALL_CHILD)
        return 1;
    const char *name = c->name < t->n_texts ? t->text[c->name] : "";
    return name[0] == 'r' &&
           (!strcmp(name, "rt_sigreturn") || !strcmp(name, "restart_syscall"));
}

kymo_status kymo_strands_all(struct kymo_strands *out, const struct kymo_trace *t,
                             const uint32_t *word, struct kymo_arena *arena,
                             struct kymo_err *err)
{
    struct kymo_strand *strand = KYMO_NEW(arena, struct kymo_strand, t->n_threads);
    uint32_t *list = KYMO_NEW_RAW(arena, uint32_t, t->n_calls);
    uint64_t n = 0;
    if (!strand || !list)
        return no_memory(err);
    for (size_t i = 0; i < t->n_threads; i++) {
        const struct kymo_trace_thread *th = &t->thread[i];
        strand[i].call = list + n;
        for (uint32_t k = 0; k < th->n; k++) {
            const uint32_t at = t->order[th->first + k];
            if (kymo_call_follows(t, &t->call[at]))
                continue;
            list[n++] = at;
            strand[i].n++;
        }
    }
    *out = (struct kymo_strands){
        .t = t, .strand = strand, .n = t->n_threads, .word = word, .n_calls = n};
    return KYMO_OK;
}
