/* SPDX-License-Identifier: Apache-2.0
 * perfetto_track.h: packets of one sequence, and the tracks and clocks they tell of (for
 * perfetto.c).
 */
#ifndef KYMO_EXPORT_PERFETTO_TRACK_H
#define KYMO_EXPORT_PERFETTO_TRACK_H

#include "format/export/proto.h"
#include "format/io/walltime.h"

#define KYMO_PF_MARKS_UUID 1u

enum { /* Perfetto's field numbers */
       KYMO_PF_TRACE_PACKET = 1,
       KYMO_PF_PACKET_CLOCKS = 6,
       KYMO_PF_PACKET_TIMESTAMP = 8,
       KYMO_PF_PACKET_SEQUENCE = 10,
       KYMO_PF_PACKET_EVENT = 11,
       KYMO_PF_PACKET_INTERNED = 12,
       KYMO_PF_PACKET_FLAGS = 13,
       KYMO_PF_PACKET_CLOCK_ID = 58,
       KYMO_PF_PACKET_DEFAULTS = 59,
       KYMO_PF_PACKET_TRACK = 60,
       KYMO_PF_EVENT_CATEGORY_IID = 3,
       KYMO_PF_EVENT_ANNOTATION = 4,
       KYMO_PF_EVENT_TYPE = 9,
       KYMO_PF_EVENT_NAME_IID = 10,
       KYMO_PF_EVENT_TRACK = 11,
       KYMO_PF_EVENT_NAME = 23,
       KYMO_PF_INTERNED_CATEGORY = 1,
       KYMO_PF_INTERNED_NAME = 2,
       KYMO_PF_INTERNED_ANNOTATION = 3,
};
enum { KYMO_PF_TYPE_BEGIN = 1, KYMO_PF_TYPE_END = 2, KYMO_PF_TYPE_INSTANT = 3 };
enum {
    KYMO_PF_CATEGORY_SYSCALL = 1,
    KYMO_PF_CATEGORY_MARK,
    KYMO_PF_CATEGORY_PROCESS,
    KYMO_PF_CATEGORY_COUNT
};
/* What an event is annotated with: its name in the trace, the column it comes from. */
enum kymo_perfetto_note {
    KYMO_PF_NOTE_RET = 1,
    KYMO_PF_NOTE_ERRNO,
    KYMO_PF_NOTE_PATH,
    KYMO_PF_NOTE_PATH2,
    KYMO_PF_NOTE_ADDR,
    KYMO_PF_NOTE_CPU,
    KYMO_PF_NOTE_KIND,
    KYMO_PF_NOTE_DUR,
    KYMO_PF_NOTE_CODE,
    KYMO_PF_NOTE_COUNT
};

/* What was said of a uuid. */
struct kymo_perfetto_known {
    uint64_t uuid, said;
    uint64_t end_ns; /* of a thread's last slice */
};

struct kymo_perfetto_stream {
    struct kymo_buf out;
    int has_clock, has_begun;
    uint32_t n_snapshots;              /* of the file at hand */
    struct kymo_perfetto_known *known; /* open addressing; uuid 0: a free slot */
    uint32_t n_known;
};

struct kymo_perfetto_id {
    uint64_t pid, tid, start;
    const char *comm;
    uint32_t comm_bytes;
};

/* errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_perfetto_stream_init(struct kymo_perfetto_stream *p,
                                                    struct kymo_err *err);
void kymo_perfetto_stream_release(struct kymo_perfetto_stream *p);

/* Begin a packet; what is returned goes to kymo_proto_end(). */
size_t kymo_perfetto_packet(struct kymo_perfetto_stream *p, int has_ts, uint64_t ts);
void kymo_perfetto_interned(struct kymo_buf *out, uint32_t field, uint64_t iid,
                            const char *name, size_t n);
/* The slot of a uuid, valid until the next one is looked for. */
struct kymo_perfetto_known *kymo_perfetto_known(struct kymo_perfetto_stream *p, uint64_t uuid);
/* What the first packet brings, and the anchors that were met since the last call. */
void kymo_perfetto_tell_clock(struct kymo_perfetto_stream *p, const struct kymo_walltime *wall);

uint64_t kymo_perfetto_process_uuid(const struct kymo_perfetto_id *id);
void kymo_perfetto_put_process(struct kymo_perfetto_stream *p,
                               const struct kymo_perfetto_id *id, const char *argv,
                               uint32_t argv_bytes);
/* Describe a track unless that was done. A process without a row of its own is called as its
 * first thread is; a thread is described again when it is called otherwise. */
void kymo_perfetto_meet_process(struct kymo_perfetto_stream *p,
                                const struct kymo_perfetto_id *id);
struct kymo_perfetto_known *kymo_perfetto_meet_thread(struct kymo_perfetto_stream *p,
                                                      const struct kymo_perfetto_id *id);
void kymo_perfetto_meet_marks(struct kymo_perfetto_stream *p);

#endif
