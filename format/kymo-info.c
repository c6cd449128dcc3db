/* SPDX-License-Identifier: Apache-2.0
 * kymo-info: what a capture is: when, who, which tables, what was lost, what it cost, and what it
 * could not see.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/base/bytes.h"
#include "format/base/json.h"
#include "format/cli/cli.h"
#include "format/io/clocksteps.h"
#include "format/trace/reader.h"
#include "format/trace/sizes.h"

#define TOOL "kymo-info"
#define TABLES_MAX KYMO_FILE_SCHEMAS_MAX
#define SOURCES_MAX 64u
#define MARKS_MAX 10000u
#define CONTEXT_MAX 256u
#define RULES_MAX 64u
#define KEEP_BYTES ((size_t)16 << 20)
#define NS_PER_S 1000000000u

struct table {
    const char *name; /* keep */
    uint64_t rows, chunks, bytes, seals;
};

struct source {
    const char *name;
    uint64_t seen, stored, filtered, aggregated, sampled;
    uint64_t dropped_ring, dropped_nested, dropped_queue, dropped_quota, late, unread;
};

struct mark {
    uint64_t ts_ns, dur_ns;
    const char *kind, *name;
};

struct pair {
    const char *key, *value;
};

/* What was hidden before it was written, by rule. */
struct rule {
    const char *name;
    uint64_t hits;
};

struct info {
    struct kymo_arena keep;
    struct table table[TABLES_MAX];
    size_t n_tables;
    struct source source[SOURCES_MAX];
    size_t n_sources;
    struct mark mark[MARKS_MAX];
    size_t n_marks, n_marks_all;
    struct pair context[CONTEXT_MAX];
    size_t n_context;
    struct rule rule[RULES_MAX];
    size_t n_rules;
    uint64_t ts_min_ns, ts_max_ns; /* over all chunks that have times, side books last */
    int has_times, has_main_times, has_clock;
    uint64_t clock_ts_ns, clock_real_ns; /* first anchor */
    struct kymo_clocksteps steps;
    uint64_t cost_cpu_ns, cost_rss_bytes, cost_ts_ns;
    double cost_fill;
    int has_cost;
    uint64_t file_bytes;
    int is_complete, is_torn;
    uint64_t torn_at;
};

static const char *const read_tables[] = {"loss", "cost", "clock", "context", "mark", "redact"};

/* -------- gathering -------- */

static kymo_status keep(struct info *f, const char *s, size_t n, const char **out,
                        struct kymo_err *err)
{
    *out = kymo_arena_str(&f->keep, s, n);
    return *out ? KYMO_OK
                : KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                            "too many names for the memory budget");
}

static kymo_status keep_cell(struct info *f, const struct kymo_batch *b, int column,
                             uint32_t row, const char **out, struct kymo_err *err)
{
    uint32_t n = 0;
    const char *s = "";
    if (column >= 0 && kymo_batch_column_type(b, (uint32_t)column) == KYMO_T_STR &&
        kymo_batch_present(b, (uint32_t)column, row))
        s = kymo_batch_str(b, (uint32_t)column, row, &n);
    return keep(f, s, n, out, err);
}

/* A number of a named column, 0 where it is null or missing. */
static uint64_t number(const struct kymo_batch *b, const char *name, uint32_t row)
{
    const int c = kymo_batch_column(b, name);
    if (c < 0 || kymo_batch_column_type(b, (uint32_t)c) == KYMO_T_STR ||
        !kymo_batch_present(b, (uint32_t)c, row))
        return 0;
    return kymo_batch_u64(b, (uint32_t)c, row);
}

static kymo_status take_loss(struct info *f, const struct kymo_batch *b, uint32_t row,
                             struct kymo_err *err)
{
    const char *name;
    KYMO_TRY(keep_cell(f, b, kymo_batch_column(b, "source"), row, &name, err));
    size_t i = 0;
    while (i < f->n_sources && strcmp(f->source[i].name, name) != 0)
        i++;
    if (i == SOURCES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, b->at_bytes, "more than %u sources", SOURCES_MAX);
    struct source *s = &f->source[i];
    if (i == f->n_sources) {
        s->name = name;
        f->n_sources++;
    }
    s->seen += number(b, "seen", row);
    s->stored += number(b, "stored", row);
    s->filtered += number(b, "filtered", row);
    s->dropped_ring += number(b, "dropped_ring", row);
    s->dropped_nested += number(b, "dropped_nested", row);
    s->dropped_queue += number(b, "dropped_queue", row);
    s->dropped_quota += number(b, "dropped_quota", row);
    s->aggregated += number(b, "aggregated", row);
    s->sampled += number(b, "sampled", row);
    s->late += number(b, "late", row);
    s->unread += number(b, "unread", row);
    return KYMO_OK;
}

static void take_cost(struct info *f, const struct kymo_batch *b, uint32_t row)
{
    const int fill = kymo_batch_column(b, "fill");
    f->has_cost = 1;
    f->cost_ts_ns = number(b, "ts", row);
    f->cost_cpu_ns = number(b, "cpu", row);
    if (number(b, "rss", row) > f->cost_rss_bytes)
        f->cost_rss_bytes = number(b, "rss", row);
    if (fill >= 0 && kymo_batch_column_type(b, (uint32_t)fill) != KYMO_T_STR &&
        kymo_batch_f64(b, (uint32_t)fill, row) > f->cost_fill)
        f->cost_fill = kymo_batch_f64(b, (uint32_t)fill, row);
}

static kymo_status take_mark(struct info *f, const struct kymo_batch *b, uint32_t row,
                             struct kymo_err *err)
{
    f->n_marks_all++;
    if (f->n_marks == MARKS_MAX)
        return KYMO_OK;
    struct mark *m = &f->mark[f->n_marks++];
    m->ts_ns = number(b, "ts", row);
    m->dur_ns = number(b, "dur", row);
    KYMO_TRY(keep_cell(f, b, kymo_batch_column(b, "kind"), row, &m->kind, err));
    return keep_cell(f, b, kymo_batch_column(b, "name"), row, &m->name, err);
}

/* The first word on a key stands; recorders repeat their context every few seconds. */
static kymo_status take_context(struct info *f, const struct kymo_batch *b, uint32_t row,
                                struct kymo_err *err)
{
    const int key = kymo_batch_column(b, "key");
    uint32_t n = 0;
    if (key < 0 || kymo_batch_column_type(b, (uint32_t)key) != KYMO_T_STR ||
        !kymo_batch_present(b, (uint32_t)key, row))
        return KYMO_OK;
    const char *s = kymo_batch_str(b, (uint32_t)key, row, &n);
    for (size_t i = 0; i < f->n_context; i++)
        if (strlen(f->context[i].key) == n && !memcmp(f->context[i].key, s, n))
            return KYMO_OK;
    if (f->n_context == CONTEXT_MAX)
        return KYMO_OK;
    struct pair *p = &f->context[f->n_context];
    KYMO_TRY(keep(f, s, n, &p->key, err));
    KYMO_TRY(keep_cell(f, b, kymo_batch_column(b, "value"), row, &p->value, err));
    f->n_context++;
    return KYMO_OK;
}

static kymo_status take_rule(struct info *f, const struct kymo_batch *b, uint32_t row,
                             struct kymo_err *err)
{
    const char *name;
    size_t i = 0;
    KYMO_TRY(keep_cell(f, b, kymo_batch_column(b, "rule"), row, &name, err));
    while (i < f->n_rules && strcmp(f->rule[i].name, name) != 0)
        i++;
    if (i == RULES_MAX)
        return KYMO_OK;
    if (i == f->n_rules)
        f->rule[f->n_rules++] = (struct rule){.name = name};
    f->rule[i].hits += number(b, "hits", row);
    return KYMO_OK;
}

static kymo_status take_rows(struct info *f, const struct kymo_batch *b, struct kymo_err *err)
{
    const char *table = kymo_batch_table(b);
    kymo_clocksteps_learn(&f->steps, b);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (!strcmp(table, "loss")) {
            KYMO_TRY(take_loss(f, b, i, err));
        } else if (!strcmp(table, "mark")) {
            KYMO_TRY(take_mark(f, b, i, err));
        } else if (!strcmp(table, "context")) {
            KYMO_TRY(take_context(f, b, i, err));
        } else if (!strcmp(table, "redact")) {
            KYMO_TRY(take_rule(f, b, i, err));
        } else if (!strcmp(table, "cost")) {
            take_cost(f, b, i);
        } else if (!f->has_clock) {
            f->has_clock = 1;
            f->clock_ts_ns = number(b, "ts", i);
            f->clock_real_ns = number(b, "real", i);
        }
    }
    return KYMO_OK;
}

static kymo_status find_table(struct info *f, const char *name, struct table **out,
                              struct kymo_err *err)
{
    for (size_t i = 0; i < f->n_tables; i++)
        if (!strcmp(f->table[i].name, name)) {
            *out = &f->table[i];
            return KYMO_OK;
        }
    *out = &f->table[f->n_tables];
    KYMO_TRY(keep(f, name, strlen(name), &(*out)->name, err));
    f->n_tables++;
    return KYMO_OK;
}

/* A capture that was cut out of another keeps books from before its time. */
static int is_side_book(const char *table)
{
    static const char *const side[] = {"context", "clock", "cgroup", "mark"};
    for (size_t i = 0; i < sizeof(side) / sizeof(side[0]); i++)
        if (!strcmp(table, side[i]))
            return 1;
    return 0;
}

static void take_times(struct info *f, const struct kymo_chunk_header *h, int is_side)
{
    if (!h->ts_max_ns || (is_side && f->has_main_times))
        return;
    const int is_first = !f->has_times || (!is_side && !f->has_main_times);
    if (is_first || h->ts_min_ns < f->ts_min_ns)
        f->ts_min_ns = h->ts_min_ns;
    if (is_first || h->ts_max_ns > f->ts_max_ns)
        f->ts_max_ns = h->ts_max_ns;
    f->has_times = 1;
    f->has_main_times |= !is_side;
}

static kymo_status take_chunk(struct info *f, const struct kymo_chunk_header *h,
                              const char *table, struct kymo_err *err)
{
    struct table *t;
    if (!table)
        return KYMO_OK;
    KYMO_TRY(find_table(f, table, &t, err));
    if (h->kind != KYMO_CHUNK_DATA)
        return KYMO_OK;
    t->rows += h->n_rows;
    t->chunks++;
    t->bytes += KYMO_CHUNK_HEADER_BYTES + h->body_bytes;
    take_times(f, h, is_side_book(table));
    return KYMO_OK;
}

static kymo_status gather(struct info *f, kymo_reader *r, struct kymo_err *err)
{
    struct kymo_chunk_header h;
    const char *table;
    int done = 0;
    KYMO_TRY(
        kymo_reader_select(r, read_tables, sizeof(read_tables) / sizeof(read_tables[0]), err));
    for (;;) {
        const kymo_status s = kymo_reader_skim(r, &h, &table, 0, &done, err);
        f->file_bytes = kymo_reader_at(r);
        if (s == KYMO_ETORN) {
            f->is_torn = 1;
            f->torn_at = err ? err->at_bytes : 0;
            return KYMO_OK;
        }
        KYMO_TRY(s);
        if (done)
            break;
        KYMO_TRY(take_chunk(f, &h, table, err));
        if (kymo_reader_batch(r))
            KYMO_TRY(take_rows(f, kymo_reader_batch(r), err));
    }
    f->is_complete = kymo_reader_complete(r);
    return KYMO_OK;
}

/* -------- for people -------- */

static uint64_t dropped(const struct source *s)
{
    return s->dropped_ring + s->dropped_nested + s->dropped_queue + s->dropped_quota;
}

static int is_identity(const struct source *s)
{
    return s->seen == s->stored + s->filtered + s->aggregated + s->sampled + dropped(s);
}

/* Wall time of a monotonic moment by the capture's own anchor. */
static uint64_t real_ns(const struct info *f, uint64_t ts_ns)
{
    return f->clock_real_ns + (ts_ns - f->clock_ts_ns);
}

static const char *wall(char *text, size_t n, uint64_t ns)
{
    const time_t t = (time_t)(ns / NS_PER_S);
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(text, n, "%Y-%m-%d %H:%M:%S UTC", &tm))
        (void)snprintf(text, n, "%" PRIu64 " ns", ns);
    return text;
}

static void print_when(const struct info *f)
{
    char text[64], dur[32];
    if (!f->has_times)
        return;
    printf("when      ");
    if (f->has_clock)
        printf("%s, ", wall(text, sizeof(text), real_ns(f, f->ts_min_ns)));
    printf("%s long\n", kymo_human_ns(dur, sizeof(dur), f->ts_max_ns - f->ts_min_ns));
}

static void print_state(const struct info *f)
{
    char bytes[32];
    printf("size      %s, ", kymo_human_bytes(bytes, sizeof(bytes), f->file_bytes));
    if (f->is_torn)
        printf("torn at byte %" PRIu64 " (its writer was cut off; what is before it is good)\n",
               f->torn_at);
    else
        puts(f->is_complete ? "complete"
                            : "whole chunks to its end, but its writer did not finish");
}

static void print_tables(const struct info *f)
{
    char bytes[32], rows[32];
    printf("\n%-12s %14s %8s %12s %10s\n", "table", "rows", "chunks", "bytes", "bytes/row");
    for (size_t i = 0; i < f->n_tables; i++) {
        const struct table *t = &f->table[i];
        char name[64];
        (void)snprintf(name, sizeof(name), "%-12s", t->name);
        kymo_print_safe(stdout, name, strlen(name));
        printf(" %14s %8" PRIu64 " %12s", kymo_human_count(rows, sizeof(rows), t->rows),
               t->chunks, kymo_human_bytes(bytes, sizeof(bytes), t->bytes));
        if (t->rows)
            printf(" %10.2f", (double)t->bytes / (double)t->rows);
        putchar('\n');
    }
}

static void print_loss(const struct info *f)
{
    if (!f->n_sources) {
        puts("\nloss      not recorded in this file");
        return;
    }
    printf("\n%-12s %14s %14s %12s %12s %12s %10s %10s\n", "source", "seen", "stored",
           "counted", "filtered", "dropped", "late", "unread");
    for (size_t i = 0; i < f->n_sources; i++) {
        const struct source *s = &f->source[i];
        char name[64];
        (void)snprintf(name, sizeof(name), "%-12s", s->name);
        kymo_print_safe(stdout, name, strlen(name));
        printf(" %14" PRIu64 " %14" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64
               " %10" PRIu64 " %10" PRIu64 "\n",
               s->seen, s->stored, s->aggregated, s->filtered + s->sampled, dropped(s), s->late,
               s->unread);
        if (!is_identity(s))
            puts("             these do not add up: seen is not stored + counted + filtered + "
                 "dropped");
    }
}

static void print_cost(const struct info *f)
{
    char cpu[32], rss[32];
    if (!f->has_cost)
        return;
    const uint64_t over = f->ts_max_ns - f->ts_min_ns;
    printf("\ncost      %s of CPU", kymo_human_ns(cpu, sizeof(cpu), f->cost_cpu_ns));
    if (over)
        printf(" (%.1f %% of one)", 100.0 * (double)f->cost_cpu_ns / (double)over);
    printf(", %s of memory, rings %.0f %% full at most\n",
           kymo_human_bytes(rss, sizeof(rss), f->cost_rss_bytes), 100.0 * f->cost_fill);
}

static void print_rules(const struct info *f)
{
    uint64_t hits = 0;
    if (!f->n_rules)
        return;
    printf("\nhidden   ");
    for (size_t i = 0; i < f->n_rules; i++) {
        hits += f->rule[i].hits;
        if (!f->rule[i].hits)
            continue;
        printf(" %" PRIu64 " by ", f->rule[i].hits);
        kymo_print_safe(stdout, f->rule[i].name, strlen(f->rule[i].name));
    }
    puts(hits ? "" : " nothing that looked like a secret");
}

static void print_marks(const struct info *f)
{
    if (!f->n_marks_all)
        return;
    printf("\nmarks     %zu\n", f->n_marks_all);
    for (size_t i = 0; i < f->n_marks; i++) {
        const struct mark *m = &f->mark[i];
        const int64_t at = (int64_t)(m->ts_ns - f->ts_min_ns);
        char dur[32];
        printf("%12.3f s  %-6s ", (double)at / NS_PER_S, m->kind);
        kymo_print_safe(stdout, m->name, strlen(m->name));
        if (m->dur_ns)
            printf(" for %s", kymo_human_ns(dur, sizeof(dur), m->dur_ns));
        putchar('\n');
    }
}

/* Moments are of the capture, since wall times are what is in doubt. */
static void print_steps(const struct info *f)
{
    char by[32];
    if (f->steps.n)
        printf("\nclock\n");
    for (uint32_t i = 0; i < f->steps.n; i++) {
        const struct kymo_clockstep *s = &f->steps.step[i];
        const double at = (double)(int64_t)(s->ts_ns - f->ts_min_ns) / NS_PER_S;
        const uint64_t set = s->set_ns < 0 ? 0 - (uint64_t)s->set_ns : (uint64_t)s->set_ns;
        if (s->set_ns)
            printf("%12.3f s  the wall clock was set %s by %s\n", at,
                   s->set_ns < 0 ? "back" : "forward", kymo_human_ns(by, sizeof(by), set));
        if (s->slept_ns)
            printf("%12.3f s  the host was suspended for %s\n", at,
                   kymo_human_ns(by, sizeof(by), s->slept_ns));
    }
    if (f->steps.n_all > f->steps.n)
        printf("                and %u more\n", f->steps.n_all - f->steps.n);
}

static int has_source(const struct info *f, const char *name)
{
    for (size_t i = 0; i < f->n_sources; i++)
        if (!strcmp(f->source[i].name, name))
            return 1;
    return 0;
}

static int is_host_capture(const struct info *f)
{
    return f->n_sources || f->n_context;
}

static void print_unseen(const struct info *f)
{
    static const char *const sources[] = {"syscall", "process", "net", "packet", "system"};
    if (!is_host_capture(f))
        return;
    puts("\nwhat this cannot see");
    puts("  work submitted through io_uring: only its enter calls are rows");
    puts("  clock and cpu queries that the vDSO answers without entering the kernel");
    puts("  the contents of what is read and written; payloads are not kept, encrypted or not");
    printf("  sources that were off:");
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
        if (!has_source(f, sources[i]))
            printf(" %s", sources[i]);
    putchar('\n');
}

static void print_info(const struct info *f, const char *path)
{
    printf("file      ");
    kymo_print_safe(stdout, path, strlen(path));
    putchar('\n');
    print_state(f);
    print_when(f);
    for (size_t i = 0; i < f->n_context; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "%-9s ", f->context[i].key);
        kymo_print_safe(stdout, key, strlen(key));
        kymo_print_safe(stdout, f->context[i].value, strlen(f->context[i].value));
        putchar('\n');
    }
    print_tables(f);
    if (is_host_capture(f))
        print_loss(f);
    print_cost(f);
    print_rules(f);
    print_marks(f);
    print_steps(f);
    print_unseen(f);
}

/* -------- for programs -------- */

static json_t *json_text(const char *s)
{
    struct kymo_buf b = {0};
    kymo_json_quote(&b, s, strlen(s));
    json_t *j = b.failed ? NULL : json_loadb((const char *)b.p, b.n, JSON_DECODE_ANY, NULL);
    kymo_buf_release(&b);
    return j;
}

static json_t *json_u64(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *json_tables(const struct info *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_tables; i++) {
        const struct table *t = &f->table[i];
        json_array_append_new(list,
                              json_pack("{so so so so}", "name", json_text(t->name), "rows",
                                        json_u64(t->rows), "chunks", json_u64(t->chunks),
                                        "bytes", json_u64(t->bytes)));
    }
    return list;
}

static json_t *json_loss(const struct info *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_sources; i++) {
        const struct source *s = &f->source[i];
        json_array_append_new(
            list,
            json_pack("{so so so so so so so so so so so so sb}", "source", json_text(s->name),
                      "seen", json_u64(s->seen), "stored", json_u64(s->stored), "filtered",
                      json_u64(s->filtered), "aggregated", json_u64(s->aggregated), "sampled",
                      json_u64(s->sampled), "dropped_quota", json_u64(s->dropped_quota),
                      "dropped_ring", json_u64(s->dropped_ring), "dropped_nested",
                      json_u64(s->dropped_nested), "dropped_queue", json_u64(s->dropped_queue),
                      "late", json_u64(s->late), "unread", json_u64(s->unread), "adds_up",
                      is_identity(s)));
    }
    return list;
}

static json_t *json_marks(const struct info *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_marks; i++) {
        const struct mark *m = &f->mark[i];
        json_array_append_new(list, json_pack("{so so so so}", "ts_ns", json_u64(m->ts_ns),
                                              "kind", json_text(m->kind), "name",
                                              json_text(m->name), "dur_ns",
                                              m->dur_ns ? json_u64(m->dur_ns) : json_null()));
    }
    return list;
}

static json_t *json_rules(const struct info *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_rules; i++)
        json_array_append_new(list, json_pack("{so so}", "rule", json_text(f->rule[i].name),
                                              "hits", json_u64(f->rule[i].hits)));
    return list;
}

static json_t *json_steps(const struct info *f)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < f->steps.n; i++) {
        const struct kymo_clockstep *s = &f->steps.step[i];
        json_array_append_new(list, json_pack("{so so so so}", "from_ns", json_u64(s->from_ns),
                                              "ts_ns", json_u64(s->ts_ns), "set_ns",
                                              json_integer((json_int_t)s->set_ns), "slept_ns",
                                              json_u64(s->slept_ns)));
    }
    return list;
}

static json_t *json_context(const struct info *f)
{
    json_t *object = json_object();
    for (size_t i = 0; i < f->n_context; i++) {
        json_t *key = json_text(f->context[i].key); /* cleaned, as keys are UTF-8 too */
        if (json_is_string(key))
            json_object_set_new(object, json_string_value(key), json_text(f->context[i].value));
        json_decref(key);
    }
    return object;
}

static kymo_status print_json(const struct info *f, const char *path, struct kymo_err *err)
{
    json_t *j = json_pack("{so ss so so so so so so so}", "file", json_text(path), "state",
                          f->is_torn       ? "torn"
                          : f->is_complete ? "complete"
                                           : "unfinished",
                          "bytes", json_u64(f->file_bytes), "tables", json_tables(f), "loss",
                          json_loss(f), "marks", json_marks(f), "clock_steps", json_steps(f),
                          "context", json_context(f), "redact", json_rules(f));
    if (!j)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for JSON");
    if (f->has_times) {
        json_object_set_new(j, "ts_min_ns", json_u64(f->ts_min_ns));
        json_object_set_new(j, "ts_max_ns", json_u64(f->ts_max_ns));
    }
    if (f->has_clock)
        json_object_set_new(j, "real_min_ns", json_u64(real_ns(f, f->ts_min_ns)));
    if (f->is_torn)
        json_object_set_new(j, "torn_at", json_u64(f->torn_at));
    if (f->has_cost)
        json_object_set_new(j, "cost",
                            json_pack("{so so sf}", "cpu_ns", json_u64(f->cost_cpu_ns),
                                      "rss_bytes", json_u64(f->cost_rss_bytes), "fill_max",
                                      f->cost_fill));
    char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(j);
    if (!text)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for JSON");
    puts(text);
    free(text);
    return KYMO_OK;
}

/* -------- columns -------- */

static int by_table_and_bytes(const void *a, const void *b)
{
    const struct kymo_size *x = a, *y = b;
    const int table = strcmp(x->table, y->table);
    return table ? table : (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* The rows of a table are counted once, where its contents are. */
static uint64_t rows_of(const struct kymo_sizes *s, const char *table)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->size[i].rows && !strcmp(s->size[i].table, table))
            return s->size[i].rows;
    return 1;
}

static void print_size(const struct kymo_sizes *s, const struct kymo_size *size)
{
    char bytes[32];
    kymo_print_safe(stdout, size->table, strlen(size->table));
    printf("%*s", (int)(strlen(size->table) < 14 ? 14 - strlen(size->table) : 1), "");
    kymo_print_safe(stdout, size->name, strlen(size->name));
    printf("%*s %10s %10.4f %9" PRIu64 " ",
           (int)(strlen(size->name) < 14 ? 14 - strlen(size->name) : 1), "",
           kymo_human_bytes(bytes, sizeof(bytes), (uint64_t)(size->bytes + 0.5)),
           size->bytes / (double)rows_of(s, size->table), size->streams);
    for (size_t c = 0; c < KYMO_CODEC_COUNT; c++)
        if (size->codec_bytes[c] >= 0.005 * size->bytes)
            printf(" %s %.0f %%", kymo_codecs[c].name,
                   100 * size->codec_bytes[c] / size->bytes);
    putchar('\n');
}

/* What each column of each table costs, the dearest first. */
static kymo_status show_columns(const char *path, struct kymo_err *err)
{
    kymo_reader *r;
    const struct kymo_batch *b;
    struct kymo_sizes sizes = {0};
    kymo_status s;
    KYMO_TRY(kymo_reader_open(&r, path, 0, err));
    kymo_reader_lazy(r);
    while (!(s = kymo_reader_next(r, &b, err)) && b) {
        s = kymo_sizes_add(&sizes, b->schema, kymo_reader_toc(r), b->n_rows,
                           KYMO_CHUNK_HEADER_BYTES + kymo_reader_chunk(r)->body_bytes, err);
        if (s)
            break;
    }
    if (s == KYMO_ETORN) {
        kymo_cli_say(TOOL, "%s: %s", path, err->text);
        s = KYMO_OK;
    }
    if (!s) {
        if (sizes.n)
            qsort(sizes.size, sizes.n, sizeof(*sizes.size), by_table_and_bytes);
        printf("%-14s%-14s %10s %10s %9s  %s\n", "table", "column", "bytes", "bytes/row",
               "streams", "codecs, by bytes");
        for (size_t i = 0; i < sizes.n; i++)
            print_size(&sizes, &sizes.size[i]);
    }
    kymo_sizes_release(&sizes);
    kymo_reader_close(r);
    return s;
}

/* -------- main -------- */

static kymo_status show(const char *path, bool json, struct kymo_err *err)
{
    kymo_reader *r;
    KYMO_TRY(kymo_reader_open(&r, path, 0, err));
    struct info *f = calloc(1, sizeof(*f));
    kymo_status s = KYMO_OK;
    if (!f) {
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    } else {
        kymo_arena_init(&f->keep, KEEP_BYTES);
        s = gather(f, r, err);
        if (!s && json)
            s = print_json(f, path, err);
        else if (!s)
            print_info(f, path);
        kymo_arena_release(&f->keep);
    }
    free(f);
    kymo_reader_close(r);
    return s;
}

int main(int argc, char **argv)
{
    bool json = false, columns = false;
    int first;
    const struct kymo_opt opt[] = {
        {.kind = KYMO_OPT_FLAG,
         .long_name = "json",
         .help = "print one JSON object a file",
         .to = &json},
        {.kind = KYMO_OPT_FLAG,
         .long_name = "columns",
         .help = "say how many bytes each column takes instead",
         .to = &columns},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "say what a capture or a matrix is",
        .positional = "FILE...",
        .positional_max = SIZE_MAX,
        .examples = "  kymo info prod.kymo\n"
                    "  kymo info --json prod.kymo | jq .loss\n"
                    "  kymo info --columns prod.kymo\n",
        .opt = opt,
        .n_opt = sizeof(opt) / sizeof(opt[0]),
    };
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (first == argc)
        return kymo_cli_usage(TOOL, "which file?");
    if (json && columns)
        return kymo_cli_usage(TOOL, "--json and --columns exclude each other");
    struct kymo_err err = {0};
    kymo_status s = KYMO_OK;
    const char *path = NULL;
    for (int i = first; i < argc && !s; i++) {
        path = argv[i];
        if (i > first && !json)
            putchar('\n');
        s = columns ? show_columns(path, &err) : show(path, json, &err);
    }
    return kymo_cli_finish(TOOL, path, s, &err, KYMO_EXIT_OK);
}
