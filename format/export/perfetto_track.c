/* SPDX-License-Identifier: Apache-2.0 */
#include "format/export/perfetto_track.h"

#include <stdlib.h>
#include <xxhash.h>

#define SEQUENCE 1u
/* Tracks and names that are remembered as written. Past that they are forgotten and written again,
 * which says the same twice and costs some bytes. */
#define KNOWN_MAX (1u << 18)
#define KNOWN_SLOTS (2 * KNOWN_MAX)

enum { FLAG_CLEARED = 1, FLAG_NEEDS_STATE = 2 };
enum { CLOCK_ID_REAL = 1, CLOCK_ID_MONO = 3, CLOCK_ID_BOOT = 6 };

static const char *const category[KYMO_PF_CATEGORY_COUNT] = {NULL, "syscall", "mark",
                                                             "process"};

static const char *const note_name[KYMO_PF_NOTE_COUNT] = {
    NULL, "ret", "errno", "path", "path2", "addr", "cpu", "kind", "dur", "code"};

kymo_status kymo_perfetto_stream_init(struct kymo_perfetto_stream *p, struct kymo_err *err)
{
    p->known = calloc(KNOWN_SLOTS, sizeof(*p->known));
    if (!p->known)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a trace");
    return KYMO_OK;
}

void kymo_perfetto_stream_release(struct kymo_perfetto_stream *p)
{
    kymo_buf_release(&p->out);
    free(p->known);
}

/* The slot of a uuid, to be filled by the caller when it is free. */
struct kymo_perfetto_known *kymo_perfetto_known(struct kymo_perfetto_stream *p, uint64_t uuid)
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

size_t kymo_perfetto_packet(struct kymo_perfetto_stream *p, int has_ts, uint64_t ts)
{
    const size_t packet = kymo_proto_begin(&p->out, KYMO_PF_TRACE_PACKET);
    if (has_ts)
        kymo_proto_u64(&p->out, KYMO_PF_PACKET_TIMESTAMP, ts);
    kymo_proto_u64(&p->out, KYMO_PF_PACKET_SEQUENCE, SEQUENCE);
    kymo_proto_u64(&p->out, KYMO_PF_PACKET_FLAGS,
                   p->has_begun ? FLAG_NEEDS_STATE : FLAG_CLEARED | FLAG_NEEDS_STATE);
    p->has_begun = 1;
    return packet;
}

void kymo_perfetto_interned(struct kymo_buf *out, uint32_t field, uint64_t iid,
                            const char *name, size_t n)
{
    const size_t entry = kymo_proto_begin(out, field);
    kymo_proto_u64(out, 1, iid);
    kymo_proto_text(out, 2, name, n);
    kymo_proto_end(out, entry);
}

/* The first packet: defaults, and the names that are known beforehand. */
static void put_first(struct kymo_perfetto_stream *p)
{
    const size_t packet = kymo_perfetto_packet(p, 0, 0);
    if (p->has_clock) {
        const size_t defaults = kymo_proto_begin(&p->out, KYMO_PF_PACKET_DEFAULTS);
        kymo_proto_u64(&p->out, KYMO_PF_PACKET_CLOCK_ID, CLOCK_ID_MONO);
        kymo_proto_end(&p->out, defaults);
    }
    const size_t interned = kymo_proto_begin(&p->out, KYMO_PF_PACKET_INTERNED);
    for (uint64_t i = 1; i < KYMO_PF_CATEGORY_COUNT; i++)
        kymo_perfetto_interned(&p->out, KYMO_PF_INTERNED_CATEGORY, i, category[i],
                               strlen(category[i]));
    for (uint64_t i = 1; i < KYMO_PF_NOTE_COUNT; i++)
        kymo_perfetto_interned(&p->out, KYMO_PF_INTERNED_ANNOTATION, i, note_name[i],
                               strlen(note_name[i]));
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

static void put_snapshot(struct kymo_perfetto_stream *p, const struct kymo_walltime_step *s)
{
    const size_t packet = kymo_perfetto_packet(p, 0, 0);
    const size_t snapshot = kymo_proto_begin(&p->out, KYMO_PF_PACKET_CLOCKS);
    put_clock(&p->out, CLOCK_ID_MONO, s->from_ns);
    if (s->boot_ns)
        put_clock(&p->out, CLOCK_ID_BOOT, s->boot_ns);
    put_clock(&p->out, CLOCK_ID_REAL, s->from_ns + s->ahead_ns);
    kymo_proto_u64(&p->out, 2, s->boot_ns ? CLOCK_ID_BOOT : CLOCK_ID_MONO);
    kymo_proto_end(&p->out, snapshot);
    kymo_proto_end(&p->out, packet);
}

/* -------- tracks -------- */

uint64_t kymo_perfetto_process_uuid(const struct kymo_perfetto_id *id)
{
    const uint64_t key[2] = {id->pid, id->start};
    return XXH3_64bits(key, sizeof(key)) | 2;
}

static uint64_t thread_uuid(const struct kymo_perfetto_id *id)
{
    const uint64_t key[3] = {id->pid, id->start, id->tid};
    return XXH3_64bits(key, sizeof(key)) | 2;
}

void kymo_perfetto_put_process(struct kymo_perfetto_stream *p,
                               const struct kymo_perfetto_id *id, const char *argv,
                               uint32_t argv_bytes)
{
    const size_t packet = kymo_perfetto_packet(p, 0, 0);
    const size_t track = kymo_proto_begin(&p->out, KYMO_PF_PACKET_TRACK);
    kymo_proto_u64(&p->out, 1, kymo_perfetto_process_uuid(id));
    const size_t process = kymo_proto_begin(&p->out, 3);
    kymo_proto_u64(&p->out, 1, id->pid & INT32_MAX);
    if (argv_bytes)
        kymo_proto_text(&p->out, 2, argv, argv_bytes);
    kymo_proto_text(&p->out, 6, id->comm, id->comm_bytes);
    kymo_proto_end(&p->out, process);
    kymo_proto_end(&p->out, track);
    kymo_proto_end(&p->out, packet);
}

static void put_thread(struct kymo_perfetto_stream *p, const struct kymo_perfetto_id *id)
{
    const size_t packet = kymo_perfetto_packet(p, 0, 0);
    const size_t track = kymo_proto_begin(&p->out, KYMO_PF_PACKET_TRACK);
    kymo_proto_u64(&p->out, 1, thread_uuid(id));
    const size_t thread = kymo_proto_begin(&p->out, 4);
    kymo_proto_u64(&p->out, 1, id->pid & INT32_MAX);
    kymo_proto_u64(&p->out, 2, id->tid & INT32_MAX);
    kymo_proto_text(&p->out, 5, id->comm, id->comm_bytes);
    kymo_proto_end(&p->out, thread);
    kymo_proto_u64(&p->out, 5, kymo_perfetto_process_uuid(id));
    kymo_proto_end(&p->out, track);
    kymo_proto_end(&p->out, packet);
}

/* A process without a row of its own is called as its first thread is. */
void kymo_perfetto_meet_process(struct kymo_perfetto_stream *p,
                                const struct kymo_perfetto_id *id)
{
    struct kymo_perfetto_known *k = kymo_perfetto_known(p, kymo_perfetto_process_uuid(id));
    if (k->said)
        return;
    k->said = 1;
    kymo_perfetto_put_process(p, id, NULL, 0);
}

/* Written at the first call of a thread, and again when it is called otherwise. */
struct kymo_perfetto_known *kymo_perfetto_meet_thread(struct kymo_perfetto_stream *p,
                                                      const struct kymo_perfetto_id *id)
{
    const uint64_t uuid = thread_uuid(id);
    const uint64_t said = XXH3_64bits(id->comm, id->comm_bytes) | 1;
    struct kymo_perfetto_known *k = kymo_perfetto_known(p, uuid);
    if (k->said == said)
        return k;
    kymo_perfetto_meet_process(p, id);
    k = kymo_perfetto_known(p, uuid);
    k->said = said;
    put_thread(p, id);
    return k;
}

void kymo_perfetto_meet_marks(struct kymo_perfetto_stream *p)
{
    struct kymo_perfetto_known *k = kymo_perfetto_known(p, KYMO_PF_MARKS_UUID);
    if (k->said)
        return;
    k->said = 1;
    const size_t packet = kymo_perfetto_packet(p, 0, 0);
    const size_t track = kymo_proto_begin(&p->out, KYMO_PF_PACKET_TRACK);
    kymo_proto_u64(&p->out, 1, KYMO_PF_MARKS_UUID);
    kymo_proto_word(&p->out, 2, "marks");
    kymo_proto_end(&p->out, track);
    kymo_proto_end(&p->out, packet);
}

/* Anchors that were met since the last rows. */
void kymo_perfetto_tell_clock(struct kymo_perfetto_stream *p, const struct kymo_walltime *wall)
{
    if (!p->has_begun) {
        p->has_clock = wall->n > 0;
        put_first(p);
    }
    for (; p->has_clock && p->n_snapshots < wall->n; p->n_snapshots++)
        put_snapshot(p, &wall->step[p->n_snapshots]);
}
