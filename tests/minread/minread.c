/* SPDX-License-Identifier: Apache-2.0
 * minread: a second reader of captures, written from format/SPEC.md alone. It shares no code with
 * the first, is slow, keeps the whole file in memory and stops at the first thing that is wrong.
 *
 *     minread FILE TABLE     the rows of a table as JSON Lines, null cells left out
 *
 * Status: 0 good, 1 torn, 3 corrupt.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

struct slice {
    const unsigned char *at, *end;
};

enum { ROW, TASK, KEY, CALL, SPLIT, CHAIN };                        /* orders */
enum { VALUES, PRESENCE, TASKS, KEYS, LENGTHS, STRINGS, RELATIVE }; /* streams */

struct column {
    char name[256], unit[256];
    int type, order, nullable;
};

struct table {
    uint64_t hash, rows, chunks;
    char name[256];
    unsigned n;
    struct column *column;
    int in_end;
};

struct stream {
    int what, codec, zipped, zoned;
    uint64_t column, key, base, encoded, stored, zone_min, zone_range;
    const unsigned char *bytes;
    int used;
};

static const unsigned char *file;
static size_t file_bytes;
static struct table tables[1024];
static unsigned n_tables;
static const char *asked;
static const unsigned char *chunk_at; /* where the chunk at hand begins */

static void stop(int status, const unsigned char *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fflush(stdout);
    if (at < file || at > file + file_bytes)
        at = chunk_at; /* in memory that was a zstd frame */
    fprintf(stderr, "minread: byte %zu: ", (size_t)(at - file));
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(status);
}

static void need(int holds, const unsigned char *at, const char *what)
{
    if (!holds)
        stop(3, at, "corrupt: %s", what);
}

/* Memory is given back together, when a data chunk is done. */
static struct block {
    struct block *older;
    uint64_t of_16_bytes;
} * newest;

static void *memory(size_t n)
{
    struct block *b = calloc(1, sizeof(*b) + n);
    if (!b)
        stop(3, file, "out of memory");
    b->older = newest;
    newest = b;
    return b + 1;
}

static void forget(const struct block *since)
{
    while (newest != since) {
        struct block *b = newest;
        newest = b->older;
        free(b);
    }
}

/* -- numbers -- */

static uint64_t fixed(struct slice *s, int bytes)
{
    uint64_t v = 0;
    need(s->end - s->at >= bytes, s->at, "a number is cut off");
    for (int i = 0; i < bytes; i++)
        v += (uint64_t)*s->at++ << 8 * i;
    return v;
}

static uint64_t varint(struct slice *s)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        need(s->at < s->end && shift < 70, s->at, "a varint is cut off or too long");
        const unsigned char c = *s->at++;
        need(shift < 63 || c <= 1, s->at - 1, "a varint has more than 64 bits");
        v |= (uint64_t)(c & 127) << shift;
        if (c < 128)
            return v;
    }
}

static uint64_t unzigzag(uint64_t v)
{
    return v % 2 ? ~(v / 2) : v / 2;
}

static struct slice part(struct slice *s, uint64_t n)
{
    need(n <= (uint64_t)(s->end - s->at), s->at, "a part is longer than the whole");
    const struct slice p = {s->at, s->at + n};
    s->at += n;
    return p;
}

static void text(struct slice *s, char *out)
{
    const uint64_t n = varint(s);
    need(n <= 255, s->at, "a name is too long");
    const struct slice t = part(s, n);
    for (uint64_t i = 0; i < n; i++)
        need(t.at[i] >= 0x20 && t.at[i] != 0x7f, t.at + i, "a control byte in a name");
    memcpy(out, t.at, n);
    out[n] = 0;
}

/* -- schema -- */

static struct table *find(uint64_t hash)
{
    for (unsigned i = 0; i < n_tables; i++)
        if (tables[i].hash == hash)
            return &tables[i];
    return NULL;
}

static void read_schema(struct slice s, uint64_t hash)
{
    need(s.end - s.at <= 4 << 20, s.at, "a schema is too large");
    if (find(hash))
        return;
    need(n_tables < 1024, s.at, "too many schemas");
    struct table *t = &tables[n_tables];
    t->hash = hash;
    need(varint(&s) <= UINT32_MAX, s.at, "a version is too large");
    text(&s, t->name);
    need(t->name[0], s.at, "a table has no name");
    const uint64_t n = varint(&s);
    need(n >= 1 && n <= 4096, s.at, "a number of columns is out of range");
    t->n = (unsigned)n;
    t->column = memory(n * sizeof(*t->column));
    for (unsigned i = 0; i < t->n; i++) {
        struct column *c = &t->column[i];
        text(&s, c->name);
        need(c->name[0], s.at, "a column has no name");
        for (unsigned k = 0; k < i; k++)
            need(strcmp(t->column[k].name, c->name) != 0, s.at, "a column is there twice");
        text(&s, c->unit);
        c->type = (int)fixed(&s, 1);
        c->order = (int)fixed(&s, 1);
        c->nullable = (int)fixed(&s, 1);
        need(c->type >= 1 && c->type <= 5 && c->order <= CHAIN && c->nullable <= 1, s.at,
             "an unknown type or order");
        need(!c->nullable || (c->order != TASK && c->order != KEY && c->order != CHAIN), s.at,
             "a column of its order may not be null");
        need(c->type == 1 || c->order != CHAIN, s.at, "a chain of another type");
        if (c->order == SPLIT)
            c->nullable = 1;
    }
    const uint64_t meta = varint(&s);
    const struct slice m = part(&s, meta);
    need(!meta || !memchr(m.at, 0, meta), s.at, "a zero byte in meta");
    need(s.at == s.end, s.at, "bytes behind a schema");
    n_tables++;
}

/* -- codecs -- */

static uint64_t *planes(struct slice *s, uint64_t n)
{
    uint64_t *v = memory(n * sizeof(*v));
    const uint64_t how = fixed(s, 1), width = how & 15;
    need(how < 32 && width <= 8 && how != 16, s->at - 1, "an unknown width of planes");
    const uint64_t shift = how & 16 ? fixed(s, 1) : 0;
    need(how < 16 || (shift >= 1 && shift <= 63), s->at - 1, "an unknown shift of planes");
    const uint64_t base = unzigzag(varint(s));
    for (uint64_t i = 0; i < n; i++)
        v[i] = base;
    for (uint64_t k = 0; k < width; k++) {
        const struct slice p = part(s, n);
        for (uint64_t i = 0; i < n; i++)
            v[i] += (uint64_t)p.at[i] << 8 * k << shift;
    }
    return v;
}

static uint64_t *delta(struct slice *s, uint64_t n)
{
    uint64_t *v = memory(n * sizeof(*v));
    const uint64_t sign = fixed(s, 1);
    need(sign <= 1, s->at - 1, "an unknown sign");
    v[0] = unzigzag(varint(s));
    uint64_t *d = planes(s, n - 1);
    for (uint64_t i = 1; i < n; i++)
        v[i] = v[i - 1] + (sign ? unzigzag(d[i - 1]) : d[i - 1]);
    return v;
}

static uint64_t *dict(struct slice *s, uint64_t n)
{
    uint64_t list[4096];
    const uint64_t k = varint(s);
    need(k >= 1 && k <= 4096, s->at, "a dictionary's size is out of range");
    list[0] = varint(s);
    for (uint64_t i = 1; i < k; i++) {
        list[i] = list[i - 1] + varint(s) + 1;
        need(list[i] > list[i - 1], s->at, "a dictionary does not rise");
    }
    uint64_t *v = planes(s, n);
    for (uint64_t i = 0; i < n; i++) {
        need(v[i] < k, s->at, "a place outside of its dictionary");
        v[i] = list[v[i]];
    }
    return v;
}

static uint64_t *miss(struct slice *s, uint64_t n)
{
    const struct slice map = part(s, (n + 7) / 8);
    uint64_t others = 0, next = 0, last = 0;
    for (uint64_t i = 0; i < (n + 7) / 8 * 8; i++) {
        const int same = map.at[i / 8] >> i % 8 & 1;
        need(i < n || !same, map.at, "a spare bit is set");
        others += i < n && !same;
    }
    uint64_t *d = planes(s, others), *v = memory(n * sizeof(*v));
    for (uint64_t i = 0; i < n; i++) {
        if (!(map.at[i / 8] >> i % 8 & 1))
            last = d[next++];
        v[i] = last;
    }
    return v;
}

static uint64_t *runs(struct slice *s, uint64_t n)
{
    const uint64_t r = varint(s);
    need(r >= 1 && r <= n, s->at, "a number of runs is out of range");
    uint64_t *value = planes(s, r), *length = planes(s, r), *v = memory(n * sizeof(*v)), at = 0;
    for (uint64_t i = 0; i < r; i++) {
        need(length[i] < n - at, s->at, "the runs are longer than the stream");
        for (uint64_t k = 0; k <= length[i]; k++)
            v[at++] = value[i];
        need(at < n || i == r - 1, s->at, "the runs are longer than the stream");
    }
    need(at == n, s->at, "the runs are shorter than the stream");
    return v;
}

/* -- streams -- */

static struct slice unzip(struct slice frame, uint64_t bytes)
{
    const unsigned char *p = frame.at;
    const uint64_t stored = (uint64_t)(frame.end - frame.at);
    need(ZSTD_getFrameContentSize(p, stored) == bytes, p, "a zstd frame of another size");
    need(ZSTD_findFrameCompressedSize(p, stored) == stored, p, "not one zstd frame");
    unsigned char *out = memory(bytes);
    need(ZSTD_decompress(out, bytes, p, stored) == bytes, p, "zstd");
    const struct slice s = {out, out + bytes};
    return s;
}

static struct slice raw(const struct stream *st)
{
    const struct slice s = {st->bytes, st->bytes + st->stored};
    return st->zipped ? unzip(s, st->encoded) : s;
}

static uint64_t *values(struct stream *st, uint64_t n)
{
    static uint64_t *(*const codec[])(struct slice *, uint64_t) = {planes, delta, dict, miss,
                                                                   runs};
    need(n >= 1 && st->encoded <= 16 * n + 64, st->bytes, "a stream is larger than it can be");
    struct slice s = raw(st);
    uint64_t *v = codec[st->codec](&s, n);
    need(s.at == s.end, st->bytes, "a stream has bytes left over");
    st->used = 1;
    return v;
}

static uint64_t *below(struct stream *st, uint64_t n, uint64_t limit)
{
    uint64_t *v = values(st, n);
    for (uint64_t i = 0; i < n; i++)
        need(v[i] < limit, st->bytes, "a number is out of range");
    return v;
}

/* -- data -- */

struct run {
    uint64_t key, task, rows;
};

struct chunk {
    const struct table *t;
    uint64_t rows, least, tasks, keys, strings, n, n_runs;
    int grouped;
    struct run *run; /* [n_runs] */
    struct stream *stream;
    uint64_t *task, *key; /* [rows] */
    uint64_t *call;       /* [rows] row of each place in call order */
    uint64_t *at;         /* [strings+1] */
    struct slice bytes;
    uint64_t **cell;     /* [columns][rows] */
    unsigned char **has; /* [columns][rows] */
};

static int by_key(const struct column *c)
{
    return c->order == SPLIT || c->order == CHAIN;
}

static int is_integer(const struct column *c)
{
    return c->type == 1 || c->type == 2;
}

static int of_column(int what)
{
    return what == VALUES || what == PRESENCE || what == RELATIVE;
}

static struct stream *seek(struct chunk *c, int what, uint64_t column, uint64_t key)
{
    for (uint64_t i = 0; i < c->n; i++)
        if (c->stream[i].what == what && c->stream[i].column == column &&
            c->stream[i].key == key)
            return &c->stream[i];
    return NULL;
}

/* Entries rise by this; values and relative are in one place, for there is one or the other. */
static uint64_t place(const struct stream *s)
{
    return of_column(s->what) ? 6 + (s->column * 513 + s->key) * 2 + (s->what != PRESENCE)
                              : (uint64_t)s->what;
}

static void read_owner(struct chunk *c, struct slice *toc, struct stream *s)
{
    s->column = varint(toc);
    need(s->column < c->t->n, toc->at, "an unknown column");
    const struct column *column = &c->t->column[s->column];
    if (by_key(column)) {
        s->key = varint(toc);
        need(s->key <= c->keys, toc->at, "an unknown key");
    }
    need(s->what != PRESENCE || column->nullable, toc->at, "presence where nothing is null");
    if (s->what != RELATIVE)
        return;
    s->base = varint(toc);
    need(s->base < c->t->n && s->base > s->column, toc->at, "a base out of range");
    const struct column *base = &c->t->column[s->base];
    need(column->order == SPLIT && base->order == SPLIT && is_integer(column) &&
             is_integer(base),
         toc->at, "a relative stream of what cannot have one");
}

static void read_zone(struct chunk *c, struct slice *toc, struct stream *s)
{
    const struct column *column = &c->t->column[s->column];
    need((s->what == VALUES || s->what == RELATIVE) && is_integer(column) &&
             column->order != CHAIN,
         toc->at, "a zone of what has none");
    s->zone_min = column->type == 2 ? unzigzag(varint(toc)) : varint(toc);
    s->zone_range = varint(toc);
}

static void read_entry(struct chunk *c, struct slice *toc, struct stream *s)
{
    const uint64_t how = fixed(toc, 1);
    s->what = how & 7;
    s->codec = how >> 3 & 7;
    s->zipped = how >> 6 & 1;
    s->zoned = how >> 7 & 1;
    need(s->what <= RELATIVE && s->codec <= 4, toc->at - 1, "an unknown stream");
    need(s->what != STRINGS || !s->codec, toc->at - 1, "strings with a codec");
    if (of_column(s->what))
        read_owner(c, toc, s);
    s->encoded = s->stored = varint(toc);
    if (s->zipped)
        s->stored = varint(toc);
    need(s->encoded <= UINT32_MAX && s->stored <= s->encoded, toc->at,
         "a stream's size is out of range");
    if (s->zoned)
        read_zone(c, toc, s);
}

static void read_index(struct chunk *c, struct slice *toc)
{
    uint64_t rows = 0;
    c->n_runs = varint(toc);
    need(c->n_runs <= c->rows, toc->at, "more runs than rows");
    c->run = memory(c->n_runs * sizeof(*c->run));
    for (uint64_t i = 0; i < c->n_runs; i++) {
        struct run *r = &c->run[i];
        const struct run *before = i ? r - 1 : NULL;
        const uint64_t key = varint(toc), task = varint(toc), more = varint(toc);
        need(key < c->keys && task < c->tasks && more < c->rows - rows, toc->at,
             "a run out of range");
        r->key = before ? before->key + key : key;
        r->task = before && !key ? before->task + task + 1 : task;
        r->rows = more + 1;
        need(r->key < c->keys && r->task < c->tasks, toc->at, "a run out of range");
        rows += r->rows;
        need(rows < c->rows || i == c->n_runs - 1, toc->at, "the runs have too many rows");
    }
    need(!c->n_runs || rows == c->rows, toc->at, "the runs have too few rows");
}

static void read_toc(struct chunk *c, struct slice toc, struct slice streams)
{
    c->tasks = varint(&toc);
    c->keys = varint(&toc);
    c->strings = varint(&toc);
    need(c->grouped ? c->tasks >= 1 && c->tasks <= 65536 : !c->tasks, toc.at,
         "tasks out of range");
    need(c->grouped ? c->keys >= 1 && c->keys <= 512 : !c->keys, toc.at, "keys out of range");
    need(c->strings >= 1 && c->strings <= 4194304, toc.at, "strings out of range");
    if (c->grouped)
        read_index(c, &toc);
    c->n = varint(&toc);
    need(c->n <= (uint64_t)(toc.end - toc.at), toc.at, "streams out of range");
    c->stream = memory(c->n * sizeof(*c->stream));
    for (uint64_t i = 0; i < c->n; i++) {
        struct stream *s = &c->stream[i];
        read_entry(c, &toc, s);
        need(!i || place(s) > place(s - 1), toc.at, "streams are out of order");
        s->bytes = part(&streams, s->stored).at;
    }
    need(toc.at == toc.end && streams.at == streams.end, streams.at, "bytes that nobody owns");
}

static void read_body(struct chunk *c, struct slice body)
{
    const uint64_t form = fixed(&body, 1);
    need(form <= 2, body.at - 1, "an unknown form");
    const uint64_t bytes = varint(&body);
    need(bytes <= 4 << 20, body.at, "a table of contents is too large");
    if (form == 0) {
        const struct slice toc = part(&body, bytes);
        read_toc(c, toc, body);
    } else if (form == 1) {
        const uint64_t stored = varint(&body);
        need(stored <= bytes, body.at, "a zstd frame larger than what it holds");
        const struct slice frame = part(&body, stored);
        read_toc(c, unzip(frame, bytes), body);
    } else {
        const uint64_t whole = varint(&body);
        need(whole <= 4194304, body.at, "a body is too large for one frame");
        struct slice both = unzip(body, whole);
        const struct slice toc = part(&both, bytes);
        read_toc(c, toc, both);
    }
}

/* The places 0..n-1 by their number, stable, as the specification says. */
static uint64_t *sorted(const uint64_t *number, uint64_t n, uint64_t numbers)
{
    uint64_t *order = memory(n * sizeof(*order)), m = 0;
    uint64_t *head = memory((numbers + 1) * sizeof(*head));
    for (uint64_t i = 0; i < n; i++)
        head[number[i] + 1]++;
    for (uint64_t k = 0; k < numbers; k++)
        head[k + 1] += head[k];
    for (uint64_t i = 0; i < n; i++, m++)
        order[head[number[i]]++] = i;
    return order;
}

/* The index has to say what the tasks and keys do. */
static void check_index(const struct chunk *c)
{
    uint64_t at = 0;
    for (uint64_t i = 0; i < c->n_runs; i++)
        for (uint64_t k = 0; k < c->run[i].rows; k++, at++)
            need(c->key[c->call[at]] == c->run[i].key && c->task[c->call[at]] == c->run[i].task,
                 chunk_at, "the index is wrong");
}

static void read_order(struct chunk *c)
{
    struct stream *tasks = seek(c, TASKS, 0, 0), *keys = seek(c, KEYS, 0, 0);
    if (!c->grouped)
        return;
    need(tasks && keys, chunk_at, "the tasks or keys are missing");
    c->task = below(tasks, c->rows, c->tasks);
    const uint64_t *in_task_order = sorted(c->task, c->rows, c->tasks);
    const uint64_t *key = below(keys, c->rows, c->keys);
    const uint64_t *in_call_order = sorted(key, c->rows, c->keys);
    c->key = memory(c->rows * sizeof(*c->key));
    c->call = memory(c->rows * sizeof(*c->call));
    for (uint64_t i = 0; i < c->rows; i++) {
        c->key[in_task_order[i]] = key[i];
        c->call[i] = in_task_order[in_call_order[i]];
    }
    check_index(c);
}

static void read_strings(struct chunk *c)
{
    struct stream *lengths = seek(c, LENGTHS, 0, 0), *bytes = seek(c, STRINGS, 0, 0);
    c->at = memory((c->strings + 1) * sizeof(*c->at));
    if (c->strings == 1)
        return;
    need(lengths && bytes, chunk_at, "the strings are missing");
    need(bytes->encoded <= 32 << 20, bytes->bytes, "too many bytes of strings");
    uint64_t *length = values(lengths, c->strings - 1);
    c->bytes = raw(bytes);
    bytes->used = 1;
    for (uint64_t i = 1; i < c->strings; i++) {
        need(length[i - 1] >= 1 && length[i - 1] <= bytes->encoded - c->at[i], lengths->bytes,
             "a string's length");
        c->at[i + 1] = c->at[i] + length[i - 1];
    }
    need(c->at[c->strings] == bytes->encoded, lengths->bytes,
         "lengths and bytes of the strings differ");
}

/* a < b, as numbers of this type. */
static int less(int type, uint64_t a, uint64_t b)
{
    const uint64_t sign = type == 2 ? (uint64_t)1 << 63 : 0;
    return (a ^ sign) < (b ^ sign);
}

static void check_zone(const struct stream *s, int type, const uint64_t *v, uint64_t n)
{
    uint64_t least = v[0], most = v[0];
    for (uint64_t i = 1; i < n; i++) {
        least = less(type, v[i], least) ? v[i] : least;
        most = less(type, most, v[i]) ? v[i] : most;
    }
    need(!s->zoned || (least == s->zone_min && most - least == s->zone_range), s->bytes,
         "a zone is wrong");
}

/* The n cells of a stream, which stand in these rows. */
static uint64_t *cells(struct chunk *c, struct stream *s, const uint64_t *rows, uint64_t n)
{
    const int type = c->t->column[s->column].type;
    uint64_t *v = type == 5 ? below(s, n, c->strings) : values(s, n);
    for (uint64_t i = 0; i < n && s->what == RELATIVE; i++)
        v[i] += c->cell[s->base][rows[i]];
    check_zone(s, type, v, n);
    return v;
}

/* rows[n] of a column, in the order of its streams. */
static void read_part(struct chunk *c, unsigned col, uint64_t key, const uint64_t *rows,
                      uint64_t n)
{
    struct stream *presence = seek(c, PRESENCE, col, key), *v = seek(c, VALUES, col, key);
    if (!v)
        v = seek(c, RELATIVE, col, key);
    need(v || (c->t->column[col].nullable && !presence), chunk_at, "a column has no values");
    if (!v)
        return;
    const uint64_t *has = presence ? below(presence, n, 2) : NULL;
    uint64_t *there = memory(n * sizeof(*there)), m = 0;
    for (uint64_t i = 0; i < n; i++)
        if (!has || has[i])
            there[m++] = rows ? rows[i] : i;
    need(!has || (m && m < n), presence ? presence->bytes : NULL, "presence that says nothing");
    const uint64_t *value = cells(c, v, there, m);
    for (uint64_t i = 0; i < m; i++) {
        c->has[col][there[i]] = 1;
        c->cell[col][there[i]] = value[i];
    }
}

/* A SPLIT or CHAIN column. Streams that are of no rows, or by key beside one for all, stay unused,
 * which is found later. */
static void read_split(struct chunk *c, unsigned col)
{
    int whole = 0;
    for (int what = VALUES; what <= RELATIVE; what++)
        whole |= of_column(what) && seek(c, what, col, c->keys);
    if (whole) {
        read_part(c, col, c->keys, c->call, c->rows);
        return;
    }
    for (uint64_t k = 0, from = 0, to; k < c->keys; k++, from = to) {
        for (to = from; to < c->rows && c->key[c->call[to]] == k; to++)
            ;
        if (to > from)
            read_part(c, col, k, c->call + from, to - from);
    }
}

/* A column that has one value for each task or each key. */
static void read_shared(struct chunk *c, unsigned col, const uint64_t *of_row, uint64_t n)
{
    struct stream *s = seek(c, VALUES, col, 0);
    need(s != NULL, chunk_at, "a column of tasks or keys has no values");
    const uint64_t *v = cells(c, s, NULL, n);
    for (uint64_t i = 0; i < c->rows; i++) {
        c->cell[col][i] = v[of_row[i]];
        c->has[col][i] = 1;
    }
}

static void read_column(struct chunk *c, unsigned col)
{
    const int order = c->t->column[col].order;
    c->cell[col] = memory(c->rows * sizeof(uint64_t));
    c->has[col] = memory(c->rows);
    if (order == TASK)
        read_shared(c, col, c->task, c->tasks);
    else if (order == KEY)
        read_shared(c, col, c->key, c->keys);
    else if (by_key(&c->t->column[col]))
        read_split(c, col);
    else
        read_part(c, col, 0, order == CALL ? c->call : NULL, c->rows);
}

/* The column of this name when it is u64, ns, and of one of two orders; or NULL. */
static const struct column *column_of_ns(const struct table *t, const char *name, int order,
                                         int or_order)
{
    for (unsigned i = 0; i < t->n; i++) {
        const struct column *c = &t->column[i];
        if (!strcmp(c->name, name) && c->type == 1 && !strcmp(c->unit, "ns") &&
            (c->order == order || c->order == or_order))
            return c;
    }
    return NULL;
}

/* Turn the links of a column into its values. */
static void follow(struct chunk *c, unsigned col)
{
    const struct column *d = column_of_ns(c->t, "dur", CALL, SPLIT);
    const uint64_t *dur = d ? c->cell[d - c->t->column] : NULL; /* 0 where null */
    uint64_t *last = memory(c->tasks * sizeof(*last));
    unsigned char *later = memory(c->tasks);
    for (uint64_t row = 0; row < c->rows; row++) {
        const uint64_t task = c->task[row];
        const uint64_t from = later[task] ? last[task] + (dur ? dur[row] : 0) : c->least;
        last[task] = c->cell[col][row] += from;
        later[task] = 1;
    }
}

/* -- printing -- */

static int utf8(const unsigned char *p, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const int n = *p < 0x80   ? 1
                  : *p < 0xc0 ? 0
                  : *p < 0xe0 ? 2
                  : *p < 0xf0 ? 3
                  : *p < 0xf8 ? 4
                              : 0;
    uint32_t u = n > 1 ? *p & (0x7fu >> n) : 0x80;
    if (n < 2)
        return n;
    for (int i = 1; i < n; i++) {
        if ((size_t)i >= left || (p[i] & 0xc0) != 0x80)
            return 0;
        u = u << 6 | (p[i] & 0x3f);
    }
    return u < least[n] || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff) ? 0 : n;
}

static void quote(const unsigned char *p, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n;) {
        const int len = utf8(p + i, n - i);
        if (p[i] == '"' || p[i] == '\\')
            printf("\\%c", p[i]);
        else if (p[i] < 0x20 || p[i] == 0x7f)
            printf("\\u%04x", p[i]);
        else if (!len)
            fputs("\xef\xbf\xbd", stdout);
        else
            fwrite(p + i, 1, (size_t)len, stdout);
        i += (size_t)(len ? len : 1);
    }
    putchar('"');
}

static void print_real(double v)
{
    if (isfinite(v))
        printf("%.17g", v);
    else
        fputs("null", stdout);
}

static void print_cell(const struct chunk *c, int type, uint64_t v)
{
    const uint32_t low = (uint32_t)v;
    double d;
    float f;
    switch (type) {
    case 1:
        printf("%" PRIu64, v);
        break;
    case 2:
        printf("%" PRId64, (int64_t)v);
        break;
    case 3:
        memcpy(&d, &v, sizeof(d));
        print_real(d);
        break;
    case 4:
        memcpy(&f, &low, sizeof(f));
        print_real((double)f);
        break;
    default:
        quote(c->bytes.at + c->at[v], c->at[v + 1] - c->at[v]);
    }
}

static void print_rows(const struct chunk *c)
{
    for (uint64_t row = 0; row < c->rows; row++) {
        char before = '{';
        for (unsigned i = 0; i < c->t->n; i++) {
            if (!c->has[i][row])
                continue;
            putchar(before);
            before = ',';
            quote((const unsigned char *)c->t->column[i].name, strlen(c->t->column[i].name));
            putchar(':');
            print_cell(c, c->t->column[i].type, c->cell[i][row]);
        }
        puts(before == '{' ? "{}" : "}");
    }
}

/* -- chunks -- */

static void check_times(const struct chunk *c, uint64_t most)
{
    const struct column *ts = column_of_ns(c->t, "ts", ROW, CHAIN);
    uint64_t min = 0, max = 0;
    if (ts && !ts->nullable) {
        const uint64_t *v = c->cell[ts - c->t->column];
        min = max = v[0];
        for (uint64_t row = 1; row < c->rows; row++) {
            min = v[row] < min ? v[row] : min;
            max = v[row] > max ? v[row] : max;
        }
    }
    need(min == c->least && max == most, chunk_at, "the rows are of another time");
}

/* From the last column to the first, for a relative stream wants a larger column; then the links,
 * which want the durations. */
static void read_columns(struct chunk *c)
{
    for (unsigned i = c->t->n; i-- > 0;)
        read_column(c, i);
    for (uint64_t i = 0; i < c->n; i++)
        need(c->stream[i].used, chunk_at, "a stream of nothing");
    for (unsigned i = 0; i < c->t->n; i++)
        if (c->t->column[i].order == CHAIN)
            follow(c, i);
}

static void read_data(const struct table *t, struct slice body, uint64_t rows, uint64_t least,
                      uint64_t most)
{
    const struct block *since = newest;
    struct chunk c = {.t = t, .rows = rows, .least = least};
    c.cell = memory(t->n * sizeof(*c.cell));
    c.has = memory(t->n * sizeof(*c.has));
    for (unsigned i = 0; i < t->n; i++)
        c.grouped |= t->column[i].order != ROW;
    read_body(&c, body);
    read_order(&c);
    read_strings(&c);
    read_columns(&c);
    check_times(&c, most);
    if (!strcmp(t->name, asked))
        print_rows(&c);
    forget(since);
}

static void read_end(struct slice s)
{
    const uint64_t n = varint(&s);
    need(n == n_tables, s.at, "another number of schemas");
    for (uint64_t i = 0; i < n; i++) {
        struct table *t = find(fixed(&s, 8));
        const uint64_t rows = varint(&s), chunks = varint(&s);
        need(t && t->rows == rows && t->chunks == chunks, s.at, "rows or chunks are missing");
        need(!t->in_end, s.at, "a schema is counted twice");
        t->in_end = 1;
    }
    need(s.at == s.end, s.at, "bytes behind the totals");
}

static int only_zeros(const unsigned char *from, const unsigned char *to)
{
    while (from < to && !*from)
        from++;
    return from == to;
}

static void torn_or(const unsigned char *chunk, const unsigned char *end, size_t zeros,
                    const char *what)
{
    const unsigned char *last = file + file_bytes;
    if ((size_t)(end - chunk) >= zeros && only_zeros(end - zeros, last))
        stop(1, chunk, "torn");
    need(0, chunk, what);
}

struct header {
    uint64_t magic, kind, flags, rows, bytes, zero, schema, least, most, sum, own_sum;
};

/* What a header says is judged before its body is there. */
static void check_header(const struct header *h)
{
    need(h->kind && !h->zero && h->bytes <= 134217728, chunk_at, "a header out of range");
    if (h->kind > 3)
        return;
    need(h->flags <= (h->kind == 2), chunk_at, "unknown flags");
    need(h->kind == 2 ? h->rows >= 1 && h->rows <= 131072 : !h->rows && !h->least && !h->most,
         chunk_at, "rows out of range");
    need(h->least <= h->most, chunk_at, "times out of range");
    need(h->kind != 1 || h->schema == h->sum, chunk_at, "a schema of another name");
    need(h->kind != 2 || find(h->schema), chunk_at, "rows of an unknown table");
    need(h->kind != 3 || !h->schema, chunk_at, "an end with a schema");
}

static struct header read_header(size_t left)
{
    struct header h;
    if (left < 64) {
        need(!memcmp(chunk_at, "KCHK", left < 4 ? left : 4) ||
                 only_zeros(chunk_at, chunk_at + left),
             chunk_at, "no chunk");
        stop(1, chunk_at, "torn");
    }
    struct slice s = {chunk_at, chunk_at + 64};
    h.magic = fixed(&s, 4);
    h.kind = fixed(&s, 4);
    h.flags = fixed(&s, 4);
    h.rows = fixed(&s, 4);
    h.bytes = fixed(&s, 4);
    h.zero = fixed(&s, 4);
    h.schema = fixed(&s, 8);
    h.least = fixed(&s, 8);
    h.most = fixed(&s, 8);
    h.sum = fixed(&s, 8);
    h.own_sum = fixed(&s, 8);
    if (h.magic != 0x4b48434b || h.own_sum != XXH3_64bits(chunk_at, 56))
        torn_or(chunk_at, chunk_at + 64, 8, "a bad chunk header");
    check_header(&h);
    return h;
}

static const unsigned char *read_chunk(const unsigned char *at, int *ended)
{
    const size_t left = (size_t)(file + file_bytes - at);
    chunk_at = at;
    need(!*ended, at, "bytes behind the end");
    const struct header h = read_header(left);
    if (h.bytes > left - 64)
        stop(1, at, "torn");
    const struct slice body = {at + 64, at + 64 + h.bytes};
    if (XXH3_64bits(body.at, h.bytes) != h.sum)
        torn_or(body.at, body.end, 64, "a bad checksum");
    struct table *t = find(h.schema);
    if (h.kind == 1) {
        read_schema(body, h.schema);
    } else if (h.kind == 2) {
        read_data(t, body, h.rows, h.least, h.most);
        t->rows += h.rows;
        t->chunks++;
    } else if (h.kind == 3) {
        read_end(body);
        *ended = 1;
    }
    return body.end;
}

static void load(const char *path)
{
    FILE *f = fopen(path, "rb");
    unsigned char *p = NULL;
    size_t n;
    if (!f) {
        perror(path);
        exit(3);
    }
    do {
        p = realloc(p, file_bytes + (1 << 20));
        if (!p)
            exit(3);
        n = fread(p + file_bytes, 1, 1 << 20, f);
        file_bytes += n;
    } while (n);
    fclose(f);
    file = p;
    chunk_at = p;
}

int main(int argc, char **argv)
{
    static const unsigned char head[16] = {0x8b, 'K', 'Y', 'M', '\r', '\n', 0x1a, '\n', 1};
    int ended = 0;
    if (argc != 3) {
        fputs("usage: minread FILE TABLE\n", stderr);
        return 2;
    }
    load(argv[1]);
    asked = argv[2];
    need(file_bytes >= 16 && !memcmp(file, head, 16), file, "no capture of version 1");
    for (const unsigned char *at = file + 16; at < file + file_bytes;)
        at = read_chunk(at, &ended);
    return fflush(stdout) ? 6 : 0;
}
