/* SPDX-License-Identifier: Apache-2.0 */
#include "record/trigger.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "format/base/size.h"
#include "format/trace/filter.h"
#include "record/host.h"
#include "record/judge.h"

#define NS_PER_S 1000000000u
#define HOLD_S_MAX 3600u
#define COLUMNS_MAX 128u
/* A rate over less than this says nothing: the second goes on. */
#define SPAN_NS_MIN 100000000u

enum kind { KIND_ROW, KIND_RATE, KIND_SHARE, KIND_PSI, KIND_DISK, KIND_SCORE };
enum compare { MORE, MORE_OR_EQUAL, LESS, LESS_OR_EQUAL };

struct trigger {
    const char *text; /* owned by the set */
    enum kind kind;
    const struct kymo_schema *schema;
    struct kymo_filter *what, *of; /* of: NULL, all rows */
    enum compare compare;
    double limit;
    uint64_t hold_s;
    int psi;       /* index of the file that is open */
    bool psi_full; /* its line */
    struct judge *judge;
    /* since the last second */
    uint64_t n_what, n_of;
    bool has_fired;
    uint64_t held_s;
};

struct triggers {
    struct trigger one[TRIGGER_MAX];
    size_t n;
    int psi[3]; /* cpu, memory, io; -1: not asked for */
    int disk;
    uint64_t last_ns;
};

static const char *const pressures[] = {"cpu", "memory", "io"};

/* ---- parse ---------------------------------------------------------------------------------- */

struct parser {
    const char *text, *at;
};

static kymo_status mistake(const struct parser *p, const char *what, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                     "trigger: %s at character %zu%s%.24s; see kymo-record(1), Triggers", what,
                     (size_t)(p->at - p->text) + 1, *p->at ? ": " : ", its end", p->at);
}

static void skip_space(struct parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static bool take(struct parser *p, const char *sign)
{
    const size_t n = strlen(sign);

    skip_space(p);
    if (strncmp(p->at, sign, n) != 0)
        return false;
    p->at += n;
    return true;
}

/* As far as a character outside of quotes and brackets, or the end. */
static const char *find_outside(const char *s, const char *end, char wanted)
{
    unsigned depth = 0;

    for (; s < end; s++) {
        if (*s == wanted && !depth)
            return s;
        if (*s == '"' || *s == '\'') {
            const char quote = *s++;
            while (s < end && *s != quote)
                s += *s == '\\' && s + 1 < end && s[1] == quote ? 2 : 1;
            if (s >= end)
                return end;
        } else if (*s == '(') {
            depth++;
        } else if (*s == ')' && depth) {
            depth--;
        }
    }
    return end;
}

/* The word "of" between two filters. */
static const char *find_of(const char *s, const char *end)
{
    while ((s = find_outside(s, end, 'o')) < end) {
        if (end - s > 2 && s[1] == 'f' && isspace((unsigned char)s[-1]) &&
            isspace((unsigned char)s[2]))
            return s;
        s++;
    }
    return end;
}

static kymo_status open_filter(struct kymo_filter **out, const struct kymo_schema *schema,
                               uint64_t start_ns, const char *from, const char *end,
                               struct kymo_err *err)
{
    char text[TRIGGER_BYTES_MAX];

    memcpy(text, from, (size_t)(end - from));
    text[end - from] = 0;
    KYMO_TRY(kymo_filter_open(out, text, err));
    return kymo_filter_bind(*out, schema, NULL, start_ns, err);
}

static const struct kymo_schema *find_table(const char *s, size_t n)
{
    for (size_t i = 0; i < KYMO_TABLES_OWN_N; i++)
        if (strlen(KYMO_TABLES_OWN[i]->table) == n && !memcmp(KYMO_TABLES_OWN[i]->table, s, n))
            return KYMO_TABLES_OWN[i];
    return NULL;
}

/* TABLE: FILTER [of FILTER], as far as end. */
static kymo_status parse_rows(struct parser *p, struct trigger *t, const char *end,
                              uint64_t start_ns, struct kymo_err *err)
{
    skip_space(p);
    const char *colon = find_outside(p->at, end, ':'), *word_end = colon;
    while (word_end > p->at && isspace((unsigned char)word_end[-1]))
        word_end--;
    t->schema = find_table(p->at, (size_t)(word_end - p->at));
    if (colon == end)
        return mistake(p, "'TABLE: FILTER' is expected", err);
    if (!t->schema || kymo_schema_ts(t->schema) < 0)
        return mistake(p, "this is no table of events", err);
    p->at = colon + 1;
    const char *of = t->kind == KIND_SHARE ? find_of(p->at, end) : end;
    KYMO_TRY(open_filter(&t->what, t->schema, start_ns, p->at, of, err));
    if (of < end)
        KYMO_TRY(open_filter(&t->of, t->schema, start_ns, of + 2, end, err));
    p->at = end;
    return KYMO_OK;
}

/* As far as the end of the text. */
static bool parse_seconds(const char *s, double *seconds)
{
    char *end;

    if (!isdigit((unsigned char)*s) || (s[0] == '0' && (s[1] | 32) == 'x'))
        return false;
    *seconds = strtod(s, &end);
    if (*end == 'm' || *end == 'h')
        *seconds *= *end == 'm' ? 60 : 3600;
    end += *end == 's' || *end == 'm' || *end == 'h';
    while (isspace((unsigned char)*end))
        end++;
    return !*end;
}

static kymo_status parse_hold(struct parser *p, struct trigger *t, struct kymo_err *err)
{
    double seconds;

    skip_space(p);
    if (!*p->at)
        return KYMO_OK;
    if (!take(p, "for") || !isspace((unsigned char)*p->at))
        return mistake(p, "'for TIME' or the end is expected", err);
    skip_space(p);
    if (!parse_seconds(p->at, &seconds) || !(seconds >= 1 && seconds <= HOLD_S_MAX))
        return mistake(p, "a time from 1s to 1h is expected", err);
    t->hold_s = (uint64_t)(seconds + 0.999999);
    return KYMO_OK;
}

/* OP NUMBER[%] [for TIME] */
static kymo_status parse_limit(struct parser *p, struct trigger *t, struct kymo_err *err)
{
    char *end;

    if (take(p, ">="))
        t->compare = MORE_OR_EQUAL;
    else if (take(p, "<="))
        t->compare = LESS_OR_EQUAL;
    else if (take(p, ">"))
        t->compare = MORE;
    else if (take(p, "<"))
        t->compare = LESS;
    else
        return mistake(p, "one of > >= < <= is expected", err);
    skip_space(p);
    if (!isdigit((unsigned char)*p->at) || (p->at[0] == '0' && (p->at[1] | 32) == 'x'))
        return mistake(p, "a number is expected", err);
    t->limit = strtod(p->at, &end);
    const bool is_percent = *end == '%';
    if (!(t->limit < 1e18) || (is_percent && t->kind == KIND_RATE) ||
        (end[is_percent] && !isspace((unsigned char)end[is_percent])))
        return mistake(p, "a number is expected", err);
    if (t->kind == KIND_SHARE || t->kind == KIND_DISK)
        t->limit = is_percent ? t->limit / 100 : t->limit;
    if ((t->kind == KIND_SHARE || t->kind == KIND_DISK) && t->limit > 1)
        return mistake(p, "a share is at most 1, or 100%", err);
    p->at = end + is_percent;
    return parse_hold(p, t, err);
}

static kymo_status parse_counted(struct parser *p, struct trigger *t, uint64_t start_ns,
                                 struct kymo_err *err)
{
    const char *stop = p->at + strlen(p->at), *close = find_outside(p->at, stop, ')');

    if (close == stop)
        return mistake(p, "a ')' is missing", err);
    KYMO_TRY(parse_rows(p, t, close, start_ns, err));
    p->at = close + 1;
    return parse_limit(p, t, err);
}

static kymo_status parse_psi(struct parser *p, struct trigger *t, struct kymo_err *err)
{
    t->psi = -1;
    for (int i = 0; i < 3; i++)
        if (t->psi < 0 && take(p, pressures[i]))
            t->psi = i;
    if (t->psi < 0)
        return mistake(p, "cpu, memory or io is expected", err);
    t->psi_full = take(p, ".full");
    if (!t->psi_full && !take(p, ".some"))
        return mistake(p, ".some or .full is expected", err);
    return parse_limit(p, t, err);
}

/* A word, or anything between quotes; empty: there is none, or its end is missing. */
static void take_word(struct parser *p, char word[TRIGGER_BYTES_MAX])
{
    skip_space(p);
    const bool is_quoted = *p->at == '"' || *p->at == '\'';
    const char quote[] = {*p->at, 0}, *from = p->at + is_quoted;
    const size_t n = strcspn(from, is_quoted ? quote : " \t\n\v\f\r");

    word[0] = 0;
    if (is_quoted && !from[n])
        return;
    memcpy(word, from, n);
    word[n] = 0;
    p->at = from + n + is_quoted;
}

/* MODEL [RULES] */
static kymo_status parse_score(struct parser *p, struct trigger *t,
                               const struct triggers_opts *o, struct kymo_err *err)
{
    char model[TRIGGER_BYTES_MAX], rules[TRIGGER_BYTES_MAX];

    take_word(p, model);
    if (!*model)
        return mistake(p, "the name of a model's file is expected", err);
    take_word(p, rules);
    skip_space(p);
    if (*p->at)
        return mistake(p, "rules without blanks are expected, as in bad>5%,unknown>20%", err);
    if (o->counts_only)
        return KYMO_FAIL(
            err, KYMO_EUSAGE, KYMO_NOWHERE,
            "trigger: score: a model judges calls one by one, which --level counts "
            "does not record; add --full EXPR, or leave one of them out");
    const struct judge_opts judge = {
        .model = model, .rules = *rules ? rules : NULL, .say = o->say};
    return judge_open(&t->judge, &judge, err);
}

static kymo_status parse(struct trigger *t, const struct triggers_opts *o, struct kymo_err *err)
{
    struct parser p = {t->text, t->text};
    const uint64_t start_ns = o->start_ns;

    t->hold_s = 1;
    if (take(&p, "rate(")) {
        t->kind = KIND_RATE;
        return parse_counted(&p, t, start_ns, err);
    }
    if (take(&p, "share(")) {
        t->kind = KIND_SHARE;
        return parse_counted(&p, t, start_ns, err);
    }
    if (take(&p, "psi.")) {
        t->kind = KIND_PSI;
        return parse_psi(&p, t, err);
    }
    if (take(&p, "disk.free")) {
        t->kind = KIND_DISK;
        return parse_limit(&p, t, err);
    }
    if (take(&p, "score:")) {
        t->kind = KIND_SCORE;
        return parse_score(&p, t, o, err);
    }
    t->kind = KIND_ROW;
    return parse_rows(&p, t, p.at + strlen(p.at), start_ns, err);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void zone_of(const struct kymo_batch *b, uint32_t c, struct kymo_zone *zone)
{
    const uint64_t *lane = b->lane[c];
    const uint8_t type = b->schema->column[c].type;

    zone->is_known = 0;
    if (!lane || !b->n_rows || (type != KYMO_T_U64 && type != KYMO_T_I64) ||
        b->schema->column[c].order == KYMO_ORDER_TASK ||
        b->schema->column[c].order == KYMO_ORDER_KEY)
        return;
    /* Two's complement with its highest bit turned over sorts as an unsigned number. */
    const uint64_t turn = type == KYMO_T_I64 ? (uint64_t)1 << 63 : 0;
    uint64_t min = lane[0] ^ turn, max = min;
    for (uint32_t i = 1; i < b->n_rows; i++) {
        const uint64_t v = lane[i] ^ turn;
        min = v < min ? v : min;
        max = v > max ? v : max;
    }
    *zone = (struct kymo_zone){min ^ turn, max ^ turn, 1};
}

/* The batch with the zones of those columns that somebody looks at. */
static bool with_zones(const struct triggers *t, struct kymo_batch *b,
                       struct kymo_zone zone[COLUMNS_MAX])
{
    uint8_t want[COLUMNS_MAX] = {0};
    bool is_wanted = false;

    if (b->schema->n_columns > COLUMNS_MAX)
        return false;
    for (size_t i = 0; i < t->n; i++) {
        const struct trigger *one = &t->one[i];
        if (one->schema != b->schema || (one->kind == KIND_ROW && one->has_fired))
            continue;
        kymo_filter_need(one->what, want);
        if (one->of)
            kymo_filter_need(one->of, want);
        is_wanted = true;
    }
    for (uint32_t c = 0; is_wanted && c < b->schema->n_columns; c++)
        if (want[c])
            zone_of(b, c, &zone[c]);
        else
            zone[c].is_known = 0;
    b->zone = zone;
    return is_wanted;
}

static void fire(struct trigger *t, const struct kymo_batch *b, uint32_t row,
                 struct trigger_hit *hit)
{
    const int pid = kymo_schema_column(b->schema, "pid");

    t->has_fired = true;
    *hit = (struct trigger_hit){
        .ts_ns = kymo_batch_lane(b, (uint32_t)kymo_schema_ts(b->schema), row),
        .pid = pid >= 0 ? kymo_batch_lane(b, (uint32_t)pid, row) : 0,
        .text = t->text,
    };
}

static kymo_status look_at(struct trigger *t, const struct kymo_batch *b,
                           struct trigger_hit *hit, size_t *n, struct kymo_err *err)
{
    KYMO_TRY(kymo_filter_begin(t->what, b, err));
    if (t->of)
        KYMO_TRY(kymo_filter_begin(t->of, b, err));
    else
        t->n_of += b->n_rows;
    const bool may_pass = kymo_filter_may_match(t->what);
    if (!may_pass && (!t->of || !kymo_filter_may_match(t->of)))
        return KYMO_OK;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (t->of && !kymo_filter_match(t->of, i))
            continue;
        t->n_of += t->of != NULL;
        if (!may_pass || !kymo_filter_match(t->what, i))
            continue;
        t->n_what++;
        if (t->kind == KIND_ROW) {
            fire(t, b, i, &hit[(*n)++]);
            break;
        }
    }
    return KYMO_OK;
}

size_t triggers_look(struct triggers *t, const struct kymo_batch *rows, struct trigger_hit *hit,
                     kymo_status *status, struct kymo_err *err)
{
    struct kymo_zone zone[COLUMNS_MAX];
    struct kymo_batch b = *rows;
    size_t n = 0;

    *status = KYMO_OK;
    for (size_t i = 0; i < t->n; i++)
        if (t->one[i].judge)
            judge_look(t->one[i].judge, rows);
    if (!b.n_rows || !with_zones(t, &b, zone))
        return 0;
    for (size_t i = 0; i < t->n && !*status; i++)
        if (t->one[i].schema == b.schema &&
            !(t->one[i].kind == KIND_ROW && t->one[i].has_fired))
            *status = look_at(&t->one[i], &b, hit, &n, err);
    return n;
}

/* ---- seconds -------------------------------------------------------------------------------- */

/* "some avg10=1.23 avg60=..." */
static bool read_pressure(int fd, bool full, double *percent)
{
    char text[512];
    const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    const char *line;

    if (n <= 0)
        return false;
    text[n] = 0;
    line = strstr(text, full ? "full avg10=" : "some avg10=");
    return line && sscanf(line + 11, "%lf", percent) == 1;
}

static bool disk_free(int fd, double *share)
{
    struct statvfs fs;

    if (fd < 0 || fstatvfs(fd, &fs) || !fs.f_blocks)
        return false;
    *share = (double)fs.f_bavail / (double)fs.f_blocks;
    return true;
}

static bool value_of(const struct triggers *set, const struct trigger *t, double span_s,
                     double *v)
{
    switch (t->kind) {
    case KIND_RATE:
        *v = (double)t->n_what / span_s;
        return true;
    case KIND_SHARE:
        *v = t->n_of ? (double)t->n_what / (double)t->n_of : 0;
        return t->n_of >= TRIGGER_SHARE_ROWS_MIN;
    case KIND_PSI:
        return read_pressure(set->psi[t->psi], t->psi_full, v);
    default:
        return disk_free(set->disk, v);
    }
}

static bool holds(const struct trigger *t, double v)
{
    switch (t->compare) {
    case MORE:
        return v > t->limit;
    case MORE_OR_EQUAL:
        return v >= t->limit;
    case LESS:
        return v < t->limit;
    default:
        return v <= t->limit;
    }
}

size_t triggers_second(struct triggers *t, uint64_t ts_ns, struct trigger_hit *hit)
{
    const uint64_t span_ns = ts_ns > t->last_ns ? ts_ns - t->last_ns : 0;
    const bool is_first = !t->last_ns;
    size_t n = 0;

    if (!is_first && span_ns < SPAN_NS_MIN)
        return 0;
    t->last_ns = ts_ns;
    for (size_t i = 0; i < t->n; i++) {
        struct trigger *one = &t->one[i];
        double v;
        one->has_fired = false;
        if (one->kind == KIND_SCORE) {
            const char *why = judge_second(one->judge, ts_ns);
            if (why)
                hit[n++] = (struct trigger_hit){.ts_ns = ts_ns, .text = why};
            continue;
        }
        /* The first second began before we looked: its rates would be too low. */
        if (one->kind != KIND_ROW && !is_first) {
            const bool is_held =
                value_of(t, one, (double)span_ns / NS_PER_S, &v) && holds(one, v);
            one->held_s = is_held ? one->held_s + 1 : 0;
            if (one->held_s >= one->hold_s)
                hit[n++] = (struct trigger_hit){.ts_ns = ts_ns, .text = one->text};
        }
        one->n_what = one->n_of = 0;
    }
    return n;
}

/* ---- open, close ---------------------------------------------------------------------------- */

static kymo_status open_pressure(struct triggers *t, const struct trigger *one,
                                 const char *folder, struct kymo_err *err)
{
    char path[512];

    if (one->kind != KIND_PSI || t->psi[one->psi] >= 0)
        return KYMO_OK;
    snprintf(path, sizeof(path), "%s/%s", folder ? folder : "/proc/pressure",
             pressures[one->psi]);
    t->psi[one->psi] = open(path, O_RDONLY | O_CLOEXEC);
    if (t->psi[one->psi] < 0)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "trigger: this kernel does not tell its pressure: %s: %s", path,
                         strerror(errno));
    return KYMO_OK;
}

static kymo_status open_one(struct triggers *t, const char *text, const struct triggers_opts *o,
                            struct kymo_err *err)
{
    struct trigger *one = &t->one[t->n];
    const size_t n = strlen(text);

    if (n >= TRIGGER_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "trigger: %zu characters, at most %u are allowed", n,
                         TRIGGER_BYTES_MAX - 1);
    one->text = strdup(text);
    if (!one->text)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    t->n++;
    KYMO_TRY(parse(one, o, err));
    return open_pressure(t, one, o->pressure, err);
}

kymo_status triggers_open(struct triggers **out, const struct triggers_opts *o,
                          struct kymo_err *err)
{
    struct triggers *t = calloc(1, sizeof(*t));
    kymo_status s = KYMO_OK;

    if (!t)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    t->psi[0] = t->psi[1] = t->psi[2] = -1;
    t->disk = o->disk;
    if (o->n > TRIGGER_MAX)
        s = KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "at most %u triggers", TRIGGER_MAX);
    for (size_t i = 0; i < o->n && !s; i++)
        s = open_one(t, o->text[i], o, err);
    if (s) {
        triggers_close(t);
        return s;
    }
    *out = t;
    return KYMO_OK;
}

void triggers_close(struct triggers *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++) {
        kymo_filter_close(t->one[i].what);
        kymo_filter_close(t->one[i].of);
        judge_close(t->one[i].judge);
        free((char *)t->one[i].text);
    }
    for (size_t i = 0; i < KYMO_COUNT_OF(t->psi); i++)
        if (t->psi[i] >= 0)
            close(t->psi[i]);
    free(t);
}
