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
#include "format/export/perfetto_track.h"
#include "format/trace/sysname.h"

#define OUT_BYTES ((size_t)1 << 20)

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
    struct kymo_perfetto_stream t;
    const struct kymo_names *names;
    /* of the schema at hand */
    enum table table;
    int col[COL_COUNT];
    uint64_t name_iid; /* given so far */
};

kymo_status kymo_perfetto_open(struct kymo_perfetto **out, int fd, const char *name,
                               struct kymo_err *err)
{
    struct kymo_perfetto *p = calloc(1, sizeof(*p));
    if (!p)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a trace");
    p->fd = fd;
    p->name = name;
    const kymo_status s = kymo_perfetto_stream_init(&p->t, err);
    if (s) {
        kymo_perfetto_close(p);
        return s;
    }
    *out = p;
    return KYMO_OK;
}

void kymo_perfetto_close(struct kymo_perfetto *p)
{
    if (!p)
        return;
    kymo_perfetto_stream_release(&p->t);
    free(p);
}

static kymo_status flush(struct kymo_perfetto *p, struct kymo_err *err)
{
    if (p->t.out.failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a trace");
    KYMO_TRY(kymo_file_write(p->fd, p->t.out.p, p->t.out.n, p->name, err));
    kymo_buf_clear(&p->t.out);
    return KYMO_OK;
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

static struct kymo_perfetto_id identity(const struct row *r)
{
    struct kymo_perfetto_id id = {number(r, COL_PID), number(r, COL_TID), number(r, COL_START),
                                  NULL, 0};
    id.comm = text(r, COL_COMM, &id.comm_bytes);
    return id;
}

static void note_text(const struct row *r, enum kymo_perfetto_note note, enum col c)
{
    uint32_t n;
    const char *s = text(r, c, &n);
    if (!n)
        return;
    const size_t a = kymo_proto_begin(&r->p->t.out, KYMO_PF_EVENT_ANNOTATION);
    kymo_proto_u64(&r->p->t.out, 1, note);
    kymo_proto_text(&r->p->t.out, 6, s, n);
    kymo_proto_end(&r->p->t.out, a);
}

/* ret is signed, all else is not */
static void note_number(const struct row *r, enum kymo_perfetto_note note, enum col c)
{
    if (!has(r, c))
        return;
    const size_t a = kymo_proto_begin(&r->p->t.out, KYMO_PF_EVENT_ANNOTATION);
    kymo_proto_u64(&r->p->t.out, 1, note);
    kymo_proto_u64(&r->p->t.out, c == COL_RET ? 4 : 3, number(r, c));
    kymo_proto_end(&r->p->t.out, a);
}

static void note_errno(const struct row *r)
{
    const int64_t ret = (int64_t)number(r, COL_RET);
    const char *name = ret < 0 && ret >= -4095 ? kymo_errno_name((int)-ret) : NULL;
    if (!name)
        return;
    const size_t a = kymo_proto_begin(&r->p->t.out, KYMO_PF_EVENT_ANNOTATION);
    kymo_proto_u64(&r->p->t.out, 1, KYMO_PF_NOTE_ERRNO);
    kymo_proto_word(&r->p->t.out, 6, name);
    kymo_proto_end(&r->p->t.out, a);
}

/* -------- rows -------- */

static size_t begin_event(struct kymo_perfetto *p, uint64_t uuid, unsigned type)
{
    const size_t event = kymo_proto_begin(&p->t.out, KYMO_PF_PACKET_EVENT);
    kymo_proto_u64(&p->t.out, KYMO_PF_EVENT_TYPE, type);
    kymo_proto_u64(&p->t.out, KYMO_PF_EVENT_TRACK, uuid);
    return event;
}

/* The number of a call's name; is_new: this packet has to bring the name. */
static uint64_t call_iid(struct kymo_perfetto *p, uint64_t arch, uint64_t nr, int *is_new)
{
    const uint64_t key[2] = {arch, nr};
    struct kymo_perfetto_known *k =
        kymo_perfetto_known(&p->t, XXH3_64bits_withSeed(key, sizeof(key), 1) | 2);
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
    const size_t interned = kymo_proto_begin(&p->t.out, KYMO_PF_PACKET_INTERNED);
    kymo_perfetto_interned(&p->t.out, KYMO_PF_INTERNED_NAME, iid, name, strlen(name));
    kymo_proto_end(&p->t.out, interned);
}

/* Is this call a slice of its thread, and from when on? */
static int place_slice(const struct row *r, struct kymo_perfetto_known *thread, uint64_t *begin)
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
    note_number(r, KYMO_PF_NOTE_RET, COL_RET);
    note_errno(r);
    note_text(r, KYMO_PF_NOTE_PATH, COL_PATH);
    note_text(r, KYMO_PF_NOTE_PATH2, COL_PATH2);
    note_text(r, KYMO_PF_NOTE_ADDR, COL_ADDR);
    note_number(r, KYMO_PF_NOTE_CPU, COL_CPU);
}

static void put_call(const struct row *r)
{
    struct kymo_perfetto *p = r->p;
    const struct kymo_perfetto_id id = identity(r);
    struct kymo_perfetto_known *thread = kymo_perfetto_meet_thread(&p->t, &id);
    const uint64_t uuid = thread->uuid, arch = number(r, COL_ARCH), nr = number(r, COL_NR);
    uint64_t begin = number(r, COL_TS);
    const int is_slice = place_slice(r, thread, &begin);
    int is_new;
    const uint64_t iid = call_iid(p, arch, nr, &is_new);
    size_t packet = kymo_perfetto_packet(&p->t, 1, begin);
    if (is_new)
        put_call_name(p, iid, arch, nr);
    size_t event = begin_event(p, uuid, is_slice ? KYMO_PF_TYPE_BEGIN : KYMO_PF_TYPE_INSTANT);
    kymo_proto_u64(&p->t.out, KYMO_PF_EVENT_NAME_IID, iid);
    kymo_proto_u64(&p->t.out, KYMO_PF_EVENT_CATEGORY_IID, KYMO_PF_CATEGORY_SYSCALL);
    put_call_notes(r);
    kymo_proto_end(&p->t.out, event);
    kymo_proto_end(&p->t.out, packet);
    if (!is_slice)
        return;
    packet = kymo_perfetto_packet(&p->t, 1, number(r, COL_TS));
    event = begin_event(p, uuid, KYMO_PF_TYPE_END);
    kymo_proto_end(&p->t.out, event);
    kymo_proto_end(&p->t.out, packet);
}

static void put_mark(const struct row *r)
{
    uint32_t n;
    const char *name = text(r, COL_NAME, &n);
    kymo_perfetto_meet_marks(&r->p->t);
    const size_t packet = kymo_perfetto_packet(&r->p->t, 1, number(r, COL_TS));
    const size_t event = begin_event(r->p, KYMO_PF_MARKS_UUID, KYMO_PF_TYPE_INSTANT);
    kymo_proto_text(&r->p->t.out, KYMO_PF_EVENT_NAME, name, n);
    kymo_proto_u64(&r->p->t.out, KYMO_PF_EVENT_CATEGORY_IID, KYMO_PF_CATEGORY_MARK);
    note_text(r, KYMO_PF_NOTE_KIND, COL_KIND);
    note_number(r, KYMO_PF_NOTE_DUR, COL_DUR);
    kymo_proto_end(&r->p->t.out, event);
    kymo_proto_end(&r->p->t.out, packet);
}

/* A process' own row names its track; forks, execs and exits are instants on it. */
static void put_life(const struct row *r)
{
    struct kymo_perfetto *p = r->p;
    const struct kymo_perfetto_id id = identity(r);
    uint32_t n_kind, n_argv;
    const char *kind = text(r, COL_KIND, &n_kind), *argv = text(r, COL_ARGV, &n_argv);
    if (id.pid == id.tid &&
        (n_argv || !kymo_perfetto_known(&p->t, kymo_perfetto_process_uuid(&id))->said)) {
        kymo_perfetto_known(&p->t, kymo_perfetto_process_uuid(&id))->said = 1;
        kymo_perfetto_put_process(&p->t, &id, argv, n_argv);
    }
    if (n_kind == 8 && !memcmp(kind, "snapshot", 8))
        return;
    kymo_perfetto_meet_process(&p->t, &id);
    const size_t packet = kymo_perfetto_packet(&p->t, 1, number(r, COL_TS));
    const size_t event = begin_event(p, kymo_perfetto_process_uuid(&id), KYMO_PF_TYPE_INSTANT);
    kymo_proto_text(&p->t.out, KYMO_PF_EVENT_NAME, kind, n_kind);
    kymo_proto_u64(&p->t.out, KYMO_PF_EVENT_CATEGORY_IID, KYMO_PF_CATEGORY_PROCESS);
    note_number(r, KYMO_PF_NOTE_CODE, COL_CODE);
    kymo_proto_end(&p->t.out, event);
    kymo_proto_end(&p->t.out, packet);
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
    p->t.n_snapshots = 0;
    return KYMO_OK;
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
    kymo_perfetto_tell_clock(&p->t, r->fields.wall);
    for (uint32_t i = 0; i < n; i++) {
        const struct row at = {p, b, row[i]};
        if (p->table == TABLE_SYSCALL)
            put_call(&at);
        else if (p->table == TABLE_MARK)
            put_mark(&at);
        else
            put_life(&at);
        if (p->t.out.n >= OUT_BYTES)
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
