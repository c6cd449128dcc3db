/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/labels.h"

#include <stdlib.h>
#include <string.h>

size_t kymo_labels_find(const struct kymo_labels *l, const char *name)
{
    size_t i = 0;
    while (i < l->n && strcmp(l->label[i].name, name) != 0)
        i++;
    return i;
}

kymo_status kymo_labels_add_one(struct kymo_labels *l, const char *name, size_t bytes,
                                enum kymo_verdict verdict, struct kymo_err *err)
{
    struct kymo_label new = {.verdict = verdict};
    if (bytes == 0 || bytes >= sizeof(new.name))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "a label has 1 to %zu bytes: '%.*s'",
                         sizeof(new.name) - 1, (int)bytes, name);
    memcpy(new.name, name, bytes);
    const size_t at = kymo_labels_find(l, new.name);
    if (at < l->n && l->label[at].verdict != verdict)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "label '%s' is both %s and %s",
                         new.name, kymo_verdict_name(l->label[at].verdict),
                         kymo_verdict_name(verdict));
    if (at < l->n)
        return KYMO_OK;
    if (l->n == KYMO_LABELS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u labels",
                         KYMO_LABELS_MAX);
    l->label[l->n++] = new;
    return KYMO_OK;
}

kymo_status kymo_labels_parse(struct kymo_labels *l, const char *text, struct kymo_err *err)
{
    for (const char *p = text; *p;) {
        const size_t n = strcspn(p, ","), name = strcspn(p, "=,");
        char word[16] = "";
        if (name < n && n - name - 1 < sizeof(word))
            memcpy(word, p + name + 1, n - name - 1);
        const enum kymo_verdict v = kymo_verdict_value(word);
        if (v == KYMO_VERDICTS)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "'%.*s' is not like 'idle=good', with good, bad or unknown",
                             (int)n, p);
        KYMO_TRY(kymo_labels_add_one(l, p, name, v, err));
        p += n + (p[n] == ',');
    }
    return KYMO_OK;
}

kymo_status kymo_labels_add(struct kymo_labels *l, const char *names, enum kymo_verdict verdict,
                            struct kymo_err *err)
{
    for (const char *p = names; *p;) {
        const size_t n = strcspn(p, ",");
        KYMO_TRY(kymo_labels_add_one(l, p, n, verdict, err));
        p += n + (p[n] == ',');
    }
    return KYMO_OK;
}

void kymo_labels_cover(const struct kymo_labels *l, const struct kymo_matrix *m,
                       uint64_t *inside)
{
    memset(inside, 0, l->n * sizeof(*inside));
    for (size_t s = 0; s < m->n_spans && m->row; s++) {
        const size_t at = kymo_labels_find(l, m->span[s].name);
        for (size_t i = 0; i < m->n && at < l->n; i++)
            inside[at] += (uint64_t)kymo_row_inside(&m->row[i], &m->span[s]);
    }
}

void kymo_labels_from_marks(const struct kymo_labels *l, const struct kymo_matrix *m,
                            uint32_t *row_label)
{
    for (size_t i = 0; i < m->n; i++) {
        uint64_t shortest = UINT64_MAX;
        row_label[i] = UINT32_MAX;
        for (size_t s = 0; s < m->n_spans && m->row; s++) {
            const uint64_t dur = m->span[s].end_ns - m->span[s].start_ns;
            if (dur >= shortest || !kymo_row_inside(&m->row[i], &m->span[s]))
                continue;
            const size_t at = kymo_labels_find(l, m->span[s].name);
            if (at == l->n)
                continue;
            row_label[i] = (uint32_t)at;
            shortest = dur;
        }
    }
}

kymo_status kymo_labels_vote(struct kymo_model *model, const struct kymo_labels *l, size_t n,
                             const uint32_t *state, const uint32_t *row_label, const char *by,
                             struct kymo_err *err)
{
    uint64_t *votes = calloc(model->k * l->n + 1, sizeof(*votes)); /* [k, labels] */
    if (!votes)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for votes");
    for (size_t i = 0; i < n; i++)
        if (row_label[i] != UINT32_MAX)
            votes[state[i] * l->n + row_label[i]]++;
    for (size_t c = 0; c < model->k; c++) {
        uint64_t sum[KYMO_VERDICTS] = {0}, total = 0;
        for (size_t i = 0; i < l->n; i++) {
            sum[l->label[i].verdict] += votes[c * l->n + i];
            total += votes[c * l->n + i];
        }
        if (!total)
            continue;
        enum kymo_verdict v = sum[KYMO_GOOD] > sum[KYMO_BAD] ? KYMO_GOOD : KYMO_BAD;
        if (sum[KYMO_GOOD] == sum[KYMO_BAD] || sum[KYMO_UNKNOWN] >= sum[v])
            v = KYMO_UNKNOWN;
        size_t best = l->n;
        for (size_t i = 0; i < l->n; i++)
            if ((l->label[i].verdict == v || v == KYMO_UNKNOWN) && votes[c * l->n + i] &&
                (best == l->n || votes[c * l->n + i] > votes[c * l->n + best]))
                best = i;
        struct kymo_state *s = &model->state[c];
        s->verdict = v;
        s->evidence = v == KYMO_UNKNOWN ? total : sum[v];
        s->purity = v == KYMO_UNKNOWN ? 0 : (double)sum[v] / (double)total;
        memcpy(s->label, l->label[best].name, sizeof(s->label));
        memset(s->by, 0, sizeof(s->by));
        memcpy(s->by, by, strlen(by) < sizeof(s->by) ? strlen(by) : sizeof(s->by) - 1);
    }
    free(votes);
    return KYMO_OK;
}
