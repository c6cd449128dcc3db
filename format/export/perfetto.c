/* SPDX-License-Identifier: Apache-2.0
 * perfetto.c: packets of one sequence. Names of events and of their annotations are interned:
 * the first packet that uses a name brings it along.
 *
 *   a call is SLICE_BEGIN at its entry with all that is known of it, then SLICE_END at its exit;
 *   the reader sorts by time, so each pair stands where its row does. A thread is in one call at
 *   a time: a beginning that rounded times (of an imported log) put before the end of the call
 *   before is moved to it, as slices that overlap would close each other. A call whose entry was
 *   not seen, or that never returned, or that comes too late, is an instant.
 *
 * Times are CLOCK_MONOTONIC; snapshots tie them to the other clocks where the capture has anchors.
 */
#include "format/export/perfetto.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "format/base/file.h"
#include "format/base/size.h"
#include "format/export/proto.h"
#include "format/trace/sysname.h"

#define OUT_BYTES ((size_t)1 << 20)
#define SEQUENCE 1u
/* Tracks and names that are remembered as written. Past that they are forgotten and written again,
 * which says the same twice and costs some bytes. */
#define KNOWN_MAX (1u << 18)
#define KNOWN_SLOTS (2 * KNOWN_MAX)
#define MARKS_UUID 1u

enum { /* Perfetto's field numbers */
       TRACE_PACKET = 1,
       PACKET_CLOCKS = 6,
       PACKET_TIMESTAMP = 8,
       PACKET_SEQUENCE = 10,
       PACKET_EVENT = 11,
       PACKET_INTERNED = 12,
       PACKET_FLAGS = 13,
       PACKET_CLOCK_ID = 58,
       PACKET_DEFAULTS = 59,
       PACKET_TRACK = 60,
       EVENT_CATEGORY_IID = 3,
       EVENT_ANNOTATION = 4,
       EVENT_TYPE = 9,
       EVENT_NAME_IID = 10,
       EVENT_TRACK = 11,
       EVENT_NAME = 23,
       INTERNED_CATEGORY = 1,
       INTERNED_NAME = 2,
       INTERNED_ANNOTATION = 3,
};
enum { TYPE_BEGIN = 1, TYPE_END = 2, TYPE_INSTANT = 3 };
enum { FLAG_CLEARED = 1, FLAG_NEEDS_STATE = 2 };
enum { CLOCK_ID_REAL = 1, CLOCK_ID_MONO = 3, CLOCK_ID_BOOT = 6 };
enum { CATEGORY_SYSCALL = 1, CATEGORY_MARK, CATEGORY_PROCESS, CATEGORY_COUNT };

static const char *const category[CATEGORY_COUNT] = {NULL, "syscall", "mark", "process"};

/* What an event is annotated with: its name in the trace, the column it comes from. */
enum note {
    NOTE_RET = 1,
    NOTE_ERRNO,
    NOTE_PATH,
    NOTE_PATH2,
    NOTE_ADDR,
    NOTE_CPU,
    NOTE_KIND,
    NOTE_DUR,
    NOTE_CODE,
    NOTE_COUNT
};
static const char *const note_name[NOTE_COUNT] = {NULL,   "ret", "errno", "path", "path2",
                                                  "addr", "cpu", "kind",  "dur",  "code"};

/* Columns by name, as later schemas may have others beside them; -1: not there. */
enum col {
    COL_TS,
    COL_PID,
    COL_TID,
    COL_COMM,
    COL_START,
    COL_ARCH,
    COL_NR,
    COL_DUR,
    COL_RET,
    COL_PATH,
    COL_PATH2,
    COL_ADDR,
    COL_CPU,
    COL_KIND,
    COL_NAME,
    COL_ARGV,
    COL_CODE,
    COL_COUNT
};
static const struct {
    const char *name;
    int is_text;
} col_of[COL_COUNT] = {{"ts", 0},    {"pid", 0},  {"tid", 0}, {"comm", 1}, {"start", 0},
                       {"arch", 0},  {"nr", 0},   {"dur", 0}, {"ret", 0},  {"path", 1},
                       {"path2", 1}, {"addr", 1}, {"cpu", 0}, {"kind", 1}, {"name", 1},
                       {"argv", 1},  {"code", 0}};

enum table { TABLE_OTHER, TABLE_SYSCALL, TABLE_PROCESS, TABLE_MARK };

struct kymo_perfetto {
    int fd;
    const char *name;
    struct kymo_buf out;
    const struct kymo_names *names;
    int has_clock, has_begun;
    uint32_t n_snapshots; /* of the file at hand */
    /* of the schema at hand */
    enum table table;
    int col[COL_COUNT];
    /* tracks: uuid, and what was last said of it; 0: a free slot */
    struct known {
        uint64_t uuid, said;
        uint64_t end_ns; /* of the thread's last slice */
    } * known;
    uint32_t n_known;
    uint64_t name_iid; /* given so far */
};

kymo_status kymo_perfetto_open(struct kymo_perfetto **out, int fd, const char *name,
                               struct kymo_err *err)
{
    struct kymo_perfetto *p = calloc(1, sizeof(*p));
    if (p)
        p->known = calloc(KNOWN_SLOTS, sizeof(*p->known));
    if (!p || !p->known) {
        kymo_perfetto_close(p);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a trace");
    }
    p->fd = fd;
    p->name = name;
    *out = p;
    return KYMO_OK;
}

void kymo_perfetto_close(struct kymo_perfetto *p)
{
    if (!p)
        return;
    kymo_buf_release(&p->out);
    free(p->known);
    free(p);
}

static kymo_status flush(struct kymo_perfetto *p, struct kymo_err *err)
{
    if (p->out.failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a trace");
    KYMO_TRY(kymo_file_write(p->fd, p->out.p, p->out.n, p->name, err));
    kymo_buf_clear(&p->out);
    return KYMO_OK;
}

/* The slot of a uuid, to be filled by the caller when it is free. */
static struct known *find_known(struct kymo_perfetto *p, uint64_t uuid)
{
    if (p->n_known == KNOWN_MAX) {
        memset(p->known, 0, KNOWN_SLOTS * sizeof(*p->known));
        p->n_known = 0;
    }
    uint64_t h = uuid % KNOWN_SLOTS;
    while (p->known[h].uuid && p->known[h].uuid != uuid)
        h = (h + 1) % KNOWN_SLOTS;
    p->n_known += !p->known[h].uuid;
    p->known[h].uuid = uuid;
    return &p->known[h];
}

/* -------- packets -------- */

static size_t begin_packet(struct kymo_perfetto *p, int has_ts, uint64_t ts)
{
    const size_t packet = kymo_proto_begin(&p->out, TRACE_PACKET);
    if (has_ts)
        kymo_proto_u64(&p->out, PACKET_TIMESTAMP, ts);
    kymo_proto_u64(&p->out, PACKET_SEQUENCE, SEQUENCE);
    kymo_proto_u64(&p->out, PACKET_FLAGS,
                   p->has_begun ? FLAG_NEEDS_STATE : FLAG_CLEARED | FLAG_NEEDS_STATE);
    p->has_begun = 1;
    return packet;
}

static void put_interned(struct kymo_buf *out, uint32_t field, uint64_t iid, const char *name,
                         size_t n)
{
    const size_t entry = kymo_proto_begin(out, field);
    kymo_proto_u64(out, 1, iid);
    kymo_proto_text(out, 2, name, n);
    kymo_proto_end(out, entry);
}

/* The first packet: defaults, and the names that are known beforehand. */
static void put_first(struct kymo_perfetto *p)
{
    const size_t packet = begin_packet(p, 0, 0);
    if (p->has_clock) {
        const size_t defaults = kymo_proto_begin(&p->out, PACKET_DEFAULTS);
        kymo_proto_u64(&p->out, PACKET_CLOCK_ID, CLOCK_ID_MONO);
        kymo_proto_end(&p->out, defaults);
    }
    const size_t interned = kymo_proto_begin(&p->out, PACKET_INTERNED);
    for (uint64_t i = 1; i < CATEGORY_COUNT; i++)
        put_interned(&p->out, INTERNED_CATEGORY, i, category[i], strlen(category[i]));
    for (uint64_t i = 1; i < NOTE_COUNT; i++)
        put_interned(&p->out, INTERNED_ANNOTATION, i, note_name[i], strlen(note_name[i]));
    kymo_proto_end(&p->out, interned);
    kymo_proto_end(&p->out, packet);
}

static void put_clock(struct kymo_buf *out, uint32_t id, uint64_t ns)
{
    const size_t clock = kymo_proto_begin(out, 1);
    kymo_proto_u64(out, 1, id);
    kymo_proto_u64(out, 2, ns);
    kymo_proto_end(out, clock);
}

static void put_snapshot(struct kymo_perfetto *p, const struct kymo_walltime_step *s)
{
    const size_t packet = begin_packet(p, 0, 0);
    const size_t snapshot = kymo_proto_begin(&p->out, PACKET_CLOCKS);
    put_clock(&p->out, CLOCK_ID_MONO, s->from_ns);
    if (s->boot_ns)
        put_clock(&p->out, CLOCK_ID_BOOT, s->boot_ns);
    put_clock(&p->out, CLOCK_ID_REAL, s->from_ns + s->ahead_ns);
    kymo_proto_u64(&p->out, 2, s->boot_ns ? CLOCK_ID_BOOT : CLOCK_ID_MONO);
    kymo_proto_end(&p->out, snapshot);
    kymo_proto_end(&p->out, packet);
}

/* -------- tracks -------- */

struct identity {
    uint64_t pid, tid, start;
    const char *comm;
    uint32_t comm_bytes;
};

static uint64_t process_uuid(const struct identity *id)
{
    const uint64_t key[2] = {id->pid, id->start};
    return XXH3_64bits(key, sizeof(key)) | 2;
}

static uint64_t thread_uuid(const struct identity *id)
{
    const uint64_t key[3] = {id->pid, id->start, id->tid};
    return XXH3_64bits(key, sizeof(key)) | 2;
}

static void put_process(struct kymo_perfetto *p, const struct identity *id, const char *argv,
                        uint32_t argv_bytes)
{
    const size_t packet = begin_packet(p, 0, 0);
    const size_t track = kymo_proto_begin(&p->out, PACKET_TRACK);
    kymo_proto_u64(&p->out, 1, process_uuid(id));
    const size_t process = kymo_proto_begin(&p->out, 3);
    kymo_proto_u64(&p->out, 1, id->pid & INT32_MAX);
    if (argv_bytes)
        kymo_proto_text(&p->out, 2, argv, argv_bytes);
    kymo_proto_text(&p->out, 6, id->comm, id->comm_bytes);
    kymo_proto_end(&p->out, process);
    kymo_proto_end(&p->out, track);
    kymo_proto_end(&p->out, packet);
}

static void put_thread(struct kymo_perfetto *p, const struct identity *id)
{
    const size_t packet = begin_packet(p, 0, 0);
    const size_t track = kymo_proto_begin(&p->out, PACKET_TRACK);
    kymo_proto_u64(&p->out, 1, thread_uuid(id));
    const size_t thread = kymo_proto_begin(&p->out, 4);
    kymo_proto_u64(&p->out, 1, id->pid & INT32_MAX);
    kymo_proto_u64(&p->out, 2, id->tid & INT32_MAX);
    kymo_proto_text(&p->out, 5, id->comm, id->comm_bytes);
    kymo_proto_end(&p->out, thread);
    kymo_proto_u64(&p->out, 5, process_uuid(id));
    kymo_proto_end(&p->out, track);
    kymo_proto_end(&p->out, packet);
}

/* A process without a row of its own is called as its first thread is. */
static void meet_process(struct kymo_perfetto *p, const struct identity *id)
{
    struct known *k = find_known(p, process_uuid(id));
    if (k->said)
        return;
    k->said = 1;
    put_process(p, id, NULL, 0);
}

/* Written at the first call of a thread, and again when it is called otherwise. */
static struct known *meet_thread(struct kymo_perfetto *p, const struct identity *id)
{
    const uint64_t uuid = thread_uuid(id);
    const uint64_t said = XXH3_64bits(id->comm, id->comm_bytes) | 1;
    struct known *k = find_known(p, uuid);
    if (k->said == said)
        return k;
    meet_process(p, id);
    k = find_known(p, uuid);
    k->said = said;
    put_thread(p, id);
    return k;
}

static void meet_marks(struct kymo_perfetto *p)
{
    struct known *k = find_known(p, MARKS_UUID);
    if (k->said)
        return;
    k->said = 1;
    const size_t packet = begin_packet(p, 0, 0);
    const size_t track = kymo_proto_begin(&p->out, PACKET_TRACK);
    kymo_proto_u64(&p->out, 1, MARKS_UUID);
    kymo_proto_word(&p->out, 2, "marks");
    kymo_proto_end(&p->out, track);
    kymo_proto_end(&p->out, packet);
}

/* -------- cells -------- */

struct row {
    struct kymo_perfetto *p;
    const struct kymo_batch *b;
    uint32_t i;
};

static int has(const struct row *r, enum col c)
{
    return r->p->col[c] >= 0 && kymo_batch_present(r->b, (uint32_t)r->p->col[c], r->i);
}

static uint64_t number(const struct row *r, enum col c)
{
    return has(r, c) ? kymo_batch_lane(r->b, (uint32_t)r->p->col[c], r->i) : 0;
}

static const char *text(const struct row *r, enum col c, uint32_t *n)
{
    *n = 0;
    return has(r, c) ? kymo_batch_str(r->b, (uint32_t)r->p->col[c], r->i, n) : "";
}

static struct identity identity(const struct row *r)
{
    struct identity id = {number(r, COL_PID), number(r, COL_TID), number(r, COL_START), NULL,
                          0};
    id.comm = text(r, COL_COMM, &id.comm_bytes);
    return id;
}

static void note_text(const struct row *r, enum note note, enum col c)
{
    uint32_t n;
    const char *s = text(r, c, &n);
    if (!n)
        return;
    const size_t a = kymo_proto_begin(&r->p->out, EVENT_ANNOTATION);
    kymo_proto_u64(&r->p->out, 1, note);
    kymo_proto_text(&r->p->out, 6, s, n);
    kymo_proto_end(&r->p->out, a);
}

/* ret is signed, all else is not */
static void note_number(const struct row *r, enum note note, enum col c)
{
    if (!has(r, c))
        return;
    const size_t a = kymo_proto_begin(&r->p->out, EVENT_ANNOTATION);
    kymo_proto_u64(&r->p->out, 1, note);
    kymo_proto_u64(&r->p->out, c == COL_RET ? 4 : 3, number(r, c));
    kymo_proto_end(&r->p->out, a);
}

static void note_errno(const struct row *r)
{
    const int64_t ret = (int64_t)number(r, COL_RET);
    const char *name = ret < 0 && ret >= -4095 ? kymo_errno_name((int)-ret) : NULL;
    if (!name)
        return;
    const size_t a = kymo_proto_begin(&r->p->out, EVENT_ANNOTATION);
    kymo_proto_u64(&r->p->out, 1, NOTE_ERRNO);
    kymo_proto_word(&r->p->out, 6, name);
    kymo_proto_end(&r->p->out, a);
}

/* -------- rows -------- */

static size_t begin_event(struct kymo_perfetto *p, uint64_t uuid, unsigned type)
{
    const size_t event = kymo_proto_begin(&p->out, PACKET_EVENT);
    kymo_proto_u64(&p->out, EVENT_TYPE, type);
    kymo_proto_u64(&p->out, EVENT_TRACK, uuid);
    return event;
}

/* The number of a call's name; is_new: this packet has to bring the name. */
static uint64_t call_iid(struct kymo_perfetto *p, uint64_t arch, uint64_t nr, int *is_new)
{
    const uint64_t key[2] = {arch, nr};
    struct known *k = find_known(p, XXH3_64bits_withSeed(key, sizeof(key), 1) | 2);
    *is_new = !k->said;
    if (*is_new)
        k->said = ++p->name_iid;
    return k->said;
}

static void put_call_name(struct kymo_perfetto *p, uint64_t iid, uint64_t arch, uint64_t nr)
{
    char unknown[40];
    const char *name = kymo_names_call(p->names, arch, nr);
    if (!name) {
        (void)snprintf(unknown, sizeof(unknown), "syscall_%" PRIu64, nr);
        name = unknown;
    }
    const size_t interned = kymo_proto_begin(&p->out, PACKET_INTERNED);
    put_interned(&p->out, INTERNED_NAME, iid, name, strlen(name));
    kymo_proto_end(&p->out, interned);
}

/* Is this call a slice of its thread, and from when on? */
static int place_slice(const struct row *r, struct known *thread, uint64_t *begin)
{
    const uint64_t ts = number(r, COL_TS), dur = number(r, COL_DUR);
    if (!has(r, COL_DUR) || ts < thread->end_ns || dur > ts)
        return 0;
    *begin = ts - dur < thread->end_ns ? thread->end_ns : ts - dur;
    thread->end_ns = ts;
    return 1;
}

static void put_call_notes(const struct row *r)
{
    note_number(r, NOTE_RET, COL_RET);
    note_errno(r);
    note_text(r, NOTE_PATH, COL_PATH);
    note_text(r, NOTE_PATH2, COL_PATH2);
    note_text(r, NOTE_ADDR, COL_ADDR);
    note_number(r, NOTE_CPU, COL_CPU);
}

static void put_call(const struct row *r)
{
    struct kymo_perfetto *p = r->p;
    const struct identity id = identity(r);
    struct known *thread = meet_thread(p, &id);
    const uint64_t uuid = thread->uuid, arch = number(r, COL_ARCH), nr = number(r, COL_NR);
    uint64_t begin = number(r, COL_TS);
    const int is_slice = place_slice(r, thread, &begin);
    int is_new;
    const uint64_t iid = call_iid(p, arch, nr, &is_new);
    size_t packet = begin_packet(p, 1, begin);
    if (is_new)
        put_call_name(p, iid, arch, nr);
    size_t event = begin_event(p, uuid, is_slice ? TYPE_BEGIN : TYPE_INSTANT);
    kymo_proto_u64(&p->out, EVENT_NAME_IID, iid);
    kymo_proto_u64(&p->out, EVENT_CATEGORY_IID, CATEGORY_SYSCALL);
    put_call_notes(r);
    kymo_proto_end(&p->out, event);
    kymo_proto_end(&p->out, packet);
    if (!is_slice)
        return;
    packet = begin_packet(p, 1, number(r, COL_TS));
    event = begin_event(p, uuid, TYPE_END);
    kymo_proto_end(&p->out, event);
    kymo_proto_end(&p->out, packet);
}

static void put_mark(const struct row *r)
{
    uint32_t n;
    const char *name = text(r, COL_NAME, &n);
    meet_marks(r->p);
    const size_t packet = begin_packet(r->p, 1, number(r, COL_TS));
    const size_t event = begin_event(r->p, MARKS_UUID, TYPE_INSTANT);
    kymo_proto_text(&r->p->out, EVENT_NAME, name, n);
    kymo_proto_u64(&r->p->out, EVENT_CATEGORY_IID, CATEGORY_MARK);
    note_text(r, NOTE_KIND, COL_KIND);
    note_number(r, NOTE_DUR, COL_DUR);
    kymo_proto_end(&r->p->out, event);
    kymo_proto_end(&r->p->out, packet);
}

/* A process' own row names its track; forks, execs and exits are instants on it. */
static void put_life(const struct row *r)
{
    struct kymo_perfetto *p = r->p;
    const struct identity id = identity(r);
    uint32_t n_kind, n_argv;
    const char *kind = text(r, COL_KIND, &n_kind), *argv = text(r, COL_ARGV, &n_argv);
    if (id.pid == id.tid && (n_argv || !find_known(p, process_uuid(&id))->said)) {
        find_known(p, process_uuid(&id))->said = 1;
        put_process(p, &id, argv, n_argv);
    }
    if (n_kind == 8 && !memcmp(kind, "snapshot", 8))
        return;
    meet_process(p, &id);
    const size_t packet = begin_packet(p, 1, number(r, COL_TS));
    const size_t event = begin_event(p, process_uuid(&id), TYPE_INSTANT);
    kymo_proto_text(&p->out, EVENT_NAME, kind, n_kind);
    kymo_proto_u64(&p->out, EVENT_CATEGORY_IID, CATEGORY_PROCESS);
    note_number(r, NOTE_CODE, COL_CODE);
    kymo_proto_end(&p->out, event);
    kymo_proto_end(&p->out, packet);
}

/* -------- the sink -------- */

static enum table table_of(const char *name)
{
    return !strcmp(name, "syscall")   ? TABLE_SYSCALL
           : !strcmp(name, "process") ? TABLE_PROCESS
           : !strcmp(name, "mark")    ? TABLE_MARK
                                      : TABLE_OTHER;
}

static int takes(void *self, const char *table)
{
    (void)self;
    return table_of(table) != TABLE_OTHER;
}

static kymo_status begin_file(void *self, const char *path, struct kymo_err *err)
{
    struct kymo_perfetto *p = self;
    (void)path;
    (void)err;
    p->n_snapshots = 0;
    return KYMO_OK;
}

/* Anchors that were met since the last rows. */
static void tell_clock(struct kymo_perfetto *p, const struct kymo_walltime *wall)
{
    if (!p->has_begun) {
        p->has_clock = wall->n > 0;
        put_first(p);
    }
    for (; p->has_clock && p->n_snapshots < wall->n; p->n_snapshots++)
        put_snapshot(p, &wall->step[p->n_snapshots]);
}

static kymo_status begin(void *self, const struct kymo_export_rows *r, struct kymo_err *err)
{
    struct kymo_perfetto *p = self;
    p->table = table_of(r->schema->table);
    p->names = r->fields.names;
    for (size_t i = 0; i < COL_COUNT; i++) {
        const int c = kymo_schema_column(r->schema, col_of[i].name);
        const int is_text = c >= 0 && r->schema->column[c].type == KYMO_T_STR;
        const int is_whole = c >= 0 && r->schema->column[c].type <= KYMO_T_I64;
        p->col[i] = (col_of[i].is_text ? is_text : is_whole) ? c : -1;
    }
    if (p->col[COL_TS] < 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "table %s of %s has no times",
                         r->schema->table, r->path);
    return KYMO_OK;
}

static kymo_status put(void *self, const struct kymo_export_rows *r, const struct kymo_batch *b,
                       const uint32_t *row, uint32_t n, struct kymo_err *err)
{
    struct kymo_perfetto *p = self;
    tell_clock(p, r->fields.wall);
    for (uint32_t i = 0; i < n; i++) {
        const struct row at = {p, b, row[i]};
        if (p->table == TABLE_SYSCALL)
            put_call(&at);
        else if (p->table == TABLE_MARK)
            put_mark(&at);
        else
            put_life(&at);
        if (p->out.n >= OUT_BYTES)
            KYMO_TRY(flush(p, err));
    }
    return flush(p, err);
}

struct kymo_export_sink kymo_perfetto_sink(struct kymo_perfetto *p)
{
    return (struct kymo_export_sink){
        .self = p, .takes = takes, .file = begin_file, .begin = begin, .put = put};
}

kymo_status kymo_perfetto_finish(struct kymo_perfetto *p, struct kymo_err *err)
{
    return flush(p, err);
}
