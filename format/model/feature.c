/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/feature.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/base/size.h"
#include "format/model/feature_group.h"

/* The registry: a group is one file and one line here. The order is the order of the columns. */
static const struct kymo_feature_group *const groups[] = {
    &kymo_group_calls,    &kymo_group_classes, &kymo_group_errors, &kymo_group_latency,
    &kymo_group_time,     &kymo_group_bytes,   &kymo_group_places, &kymo_group_process,
    &kymo_group_pairs,    &kymo_group_triples, &kymo_group_grams,  &kymo_group_mix,
    &kymo_group_failures, &kymo_group_opens,   &kymo_group_new,
};

const struct kymo_feature_group *kymo_feature_group_at(size_t i)
{
    return i < KYMO_COUNT_OF(groups) ? groups[i] : NULL;
}

size_t kymo_group_at(const struct kymo_feature_group *g)
{
    size_t at = 0;
    for (size_t i = 0; i < KYMO_COUNT_OF(groups) && groups[i] != g; i++)
        at += groups[i]->acc_bytes;
    return at;
}

/* Least spreads that count, in bent units: a factor of e^0.5 for what is logged, a twentieth for square
 * roots of shares, half a bit for entropies. */
void kymo_column_set(struct kymo_feature_column *out, const char *prefix, const char *name,
                     const char *suffix, const char *unit, enum kymo_bend bend, uint32_t from)
{
    snprintf(out->name, sizeof(out->name), "%s%s%s", prefix, name, suffix);
    snprintf(out->unit, sizeof(out->unit), "%s", unit);
    out->bend = bend;
    out->floor = bend == KYMO_BEND_SQRT ? 0.05 : 0.5;
    out->from = from;
}

static const char *const by_names[KYMO_BY_COUNT] = {"host", "cgroup", "container", "pod",
                                                    "exe",  "comm",   "process"};
static const struct {
    uint32_t bit;
    const char *tables;
} from_names[] = {
    {KYMO_FROM_CALLS, "syscall"},      {KYMO_FROM_COUNTS, "count"},
    {KYMO_FROM_PROCESSES, "process"},  {KYMO_FROM_OPENS, "fd"},
    {KYMO_FROM_KNOWN, "(vocabulary)"},
};
static const char *const bend_names[KYMO_BEND_COUNT] = {"none", "standard", "log1p+standard",
                                                        "sqrt+standard"};

static size_t word_index(const char *const *words, size_t n, const char *word)
{
    size_t i = 0;
    while (i < n && strcmp(words[i], word) != 0)
        i++;
    return i;
}

const char *kymo_by_name(enum kymo_by by)
{
    return by_names[by];
}

enum kymo_by kymo_by_value(const char *word)
{
    return (enum kymo_by)word_index(by_names, KYMO_BY_COUNT, word);
}

const char *kymo_bend_name(enum kymo_bend bend)
{
    return bend_names[bend];
}

enum kymo_bend kymo_bend_value(const char *word)
{
    return (enum kymo_bend)word_index(bend_names, KYMO_BEND_COUNT, word);
}

double kymo_bend(enum kymo_bend bend, double x)
{
    switch (bend) {
    case KYMO_BEND_LOG1P:
        return x < 0 ? NAN : log1p(x);
    case KYMO_BEND_SQRT:
        return x < 0 ? NAN : sqrt(x);
    default:
        return x;
    }
}

double kymo_unbend(enum kymo_bend bend, double y)
{
    switch (bend) {
    case KYMO_BEND_LOG1P:
        return expm1(y);
    case KYMO_BEND_SQRT:
        return y > 0 ? y * y : 0;
    default:
        return y;
    }
}

kymo_status kymo_feature_spec_init(struct kymo_feature_spec *spec, uint64_t window_ns,
                                   uint64_t step_ns, enum kymo_by by, struct kymo_err *err)
{
    if (step_ns == 0 || window_ns < step_ns || window_ns % step_ns ||
        window_ns / step_ns > KYMO_WINDOW_STEPS_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "a window has to be a whole number of steps, 1 to %u",
                         KYMO_WINDOW_STEPS_MAX);
    memset(spec, 0, sizeof(*spec));
    spec->window_ns = window_ns;
    spec->step_ns = step_ns;
    spec->by = by;
    for (size_t g = 0; g < KYMO_COUNT_OF(groups); g++) {
        for (size_t i = 0; i < groups[g]->n_columns; i++) {
            struct kymo_feature_column *c = &spec->column[spec->d++];
            groups[g]->column(i, c);
            snprintf(c->group, sizeof(c->group), "%s", groups[g]->name);
            c->weight = groups[g]->factor / sqrt((double)groups[g]->n_columns);
        }
    }
    return KYMO_OK;
}

const char *kymo_feature_about(size_t j, char buf[KYMO_ABOUT_BYTES])
{
    size_t g = 0;
    while (g < KYMO_COUNT_OF(groups) && j >= groups[g]->n_columns)
        j -= groups[g++]->n_columns;
    buf[0] = 0;
    if (g < KYMO_COUNT_OF(groups))
        groups[g]->about(j, buf);
    return buf;
}

const char *kymo_feature_from_text(uint32_t from, char buf[KYMO_ABOUT_BYTES])
{
    size_t n = 0;
    buf[0] = 0;
    for (size_t i = 0; i < KYMO_COUNT_OF(from_names); i++)
        if (from & from_names[i].bit)
            n += (size_t)snprintf(buf + n, KYMO_ABOUT_BYTES - n, "%s%s",
                                  n && from_names[i].tables[0] != '(' ? "|" : "",
                                  from_names[i].tables);
    return buf;
}

int kymo_feature_is_there(const struct kymo_feature_column *c, uint32_t from)
{
    const uint32_t tables = c->from & ~(uint32_t)KYMO_FROM_KNOWN;
    if ((c->from & KYMO_FROM_KNOWN) && !(from & KYMO_FROM_KNOWN))
        return 0;
    if (tables == KYMO_FROM_CALLS && (from & KYMO_FROM_COUNTS))
        return 0;
    return (tables & from) != 0;
}

json_t *kymo_feature_spec_json(const struct kymo_feature_spec *spec)
{
    json_t *columns = json_array();
    for (size_t j = 0; columns && j < spec->d; j++) {
        const struct kymo_feature_column *c = &spec->column[j];
        char from[KYMO_ABOUT_BYTES];
        json_array_append_new(columns, json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f}", "name",
                                                 c->name, "unit", c->unit, "group", c->group,
                                                 "from", kymo_feature_from_text(c->from, from),
                                                 "transform", kymo_bend_name(c->bend), "weight",
                                                 c->weight, "floor", c->floor));
    }
    json_t *known = spec->vocabulary ? kymo_vocabulary_json(spec->vocabulary) : json_null();
    return json_pack("{s:s, s:i, s:I, s:I, s:s, s:o, s:o}", "name", KYMO_FEATURE_SPEC_NAME,
                     "version", (int)KYMO_FEATURE_SPEC_VERSION, "window_ns",
                     (json_int_t)spec->window_ns, "step_ns", (json_int_t)spec->step_ns, "by",
                     kymo_by_name(spec->by), "vocabulary", known, "columns", columns);
}

static kymo_status parse_column(const struct kymo_feature_column *mine, const json_t *j,
                                size_t at, const char *name, struct kymo_err *err)
{
    const char *word, *unit, *bend;
    KYMO_TRY(kymo_json_get_str(j, "name", name, &word, err));
    KYMO_TRY(kymo_json_get_str(j, "unit", name, &unit, err));
    KYMO_TRY(kymo_json_get_str(j, "transform", name, &bend, err));
    if (strcmp(word, mine->name) != 0 || strcmp(unit, mine->unit) != 0 ||
        strcmp(bend, kymo_bend_name(mine->bend)) != 0)
        return KYMO_FAIL(
            err, KYMO_EINPUT, KYMO_NOWHERE,
            "%s: feature %zu is '%.60s' (%.20s) there and '%s' (%s) here: of another spec",
            name, at, word, unit, mine->name, mine->unit);
    return KYMO_OK;
}

static kymo_status parse_vocabulary(struct kymo_feature_spec *spec, const json_t *j,
                                    struct kymo_arena *arena, const char *name,
                                    struct kymo_err *err)
{
    const json_t *known = json_object_get(j, "vocabulary");
    struct kymo_vocabulary *v = NULL;
    if (known && !json_is_null(known))
        KYMO_TRY(kymo_vocabulary_parse(&v, known, arena, name, err));
    spec->vocabulary = v;
    return KYMO_OK;
}

kymo_status kymo_feature_spec_parse(struct kymo_feature_spec *spec, const json_t *j,
                                    struct kymo_arena *arena, const char *name,
                                    struct kymo_err *err)
{
    const char *word, *by;
    uint64_t version, window_ns, step_ns;
    json_t *columns;
    KYMO_TRY(kymo_json_get_str(j, "name", name, &word, err));
    KYMO_TRY(kymo_json_get_u64(j, "version", name, &version, err));
    if (strcmp(word, KYMO_FEATURE_SPEC_NAME) != 0 || version != KYMO_FEATURE_SPEC_VERSION)
        return KYMO_FAIL(
            err, KYMO_EINPUT, KYMO_NOWHERE,
            "%s has features '%.60s' version %" PRIu64 ", this build computes '%s' version %u; "
            "run featurize again on the captures, and train again on that",
            name, word, version, KYMO_FEATURE_SPEC_NAME, KYMO_FEATURE_SPEC_VERSION);
    KYMO_TRY(kymo_json_get_u64(j, "window_ns", name, &window_ns, err));
    KYMO_TRY(kymo_json_get_u64(j, "step_ns", name, &step_ns, err));
    KYMO_TRY(kymo_json_get_str(j, "by", name, &by, err));
    KYMO_TRY(kymo_json_get(j, "columns", JSON_ARRAY, name, &columns, err));
    if (kymo_by_value(by) == KYMO_BY_COUNT || window_ns < KYMO_WINDOW_NS_MIN ||
        window_ns > KYMO_WINDOW_NS_MAX || step_ns == 0 || window_ns % step_ns ||
        window_ns / step_ns > KYMO_WINDOW_STEPS_MAX)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: windows of its features make no sense", name);
    KYMO_TRY(kymo_feature_spec_init(spec, window_ns, step_ns, kymo_by_value(by), err));
    if (json_array_size(columns) != spec->d)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s has %zu features, its spec has %zu", name,
                         json_array_size(columns), spec->d);
    for (size_t i = 0; i < spec->d; i++)
        KYMO_TRY(parse_column(&spec->column[i], json_array_get(columns, i), i, name, err));
    return parse_vocabulary(spec, j, arena, name, err);
}

kymo_status kymo_feature_spec_match(const struct kymo_feature_spec *want,
                                    const struct kymo_feature_spec *have, const char *name,
                                    struct kymo_err *err)
{
    if (want->window_ns != have->window_ns || want->step_ns != have->step_ns)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s has windows of %g s every %g s, the model wants %g s every %g s",
                         name, (double)have->window_ns / 1e9, (double)have->step_ns / 1e9,
                         (double)want->window_ns / 1e9, (double)want->step_ns / 1e9);
    if (want->by != have->by)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s has windows by %s, the model wants them by %s", name,
                         kymo_by_name(have->by), kymo_by_name(want->by));
    if (want->d != have->d)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s has %zu features, the model has %zu", name, have->d, want->d);
    if (!want->vocabulary != !have->vocabulary ||
        (want->vocabulary && want->vocabulary->xxh3 != have->vocabulary->xxh3))
        return KYMO_FAIL(
            err, KYMO_EINPUT, KYMO_NOWHERE,
            "%s has %s, the model %s: featurize the captures by the model, or both "
            "with the same --fit-on",
            name, have->vocabulary ? "a vocabulary" : "no vocabulary",
            want->vocabulary ? "has another" : "has none");
    return KYMO_OK;
}
