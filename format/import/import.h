/* SPDX-License-Identifier: Apache-2.0
 * import.h: other tools' recordings on their way into a capture.
 *
 *   input     bytes of a file, a pipe or memory, unpacked when they are gzip's
 *   importer  one a format: takes one record after the other from an input and hands what it means
 *   sink      puts what it is handed in order of time and writes the recorder's tables
 *
 * Several inputs of one format are taken side by side, always the one that lags, so that files of one
 * recording (one a process, one a rotation) come out in order.
 */
#ifndef KYMO_IMPORT_IMPORT_H
#define KYMO_IMPORT_IMPORT_H

#include <stdbool.h>

#include "format/trace/writer.h"

/* ---- input ------------------------------------------------------------------------------------ */

#define KYMO_IMPORT_LINE_MAX ((size_t)8 << 20)

struct kymo_input; /* owned: _open, _close */

/* "-" is stdin. gzip is unpacked where this build can. */
KYMO_MUST_USE kymo_status kymo_input_open(struct kymo_input **out, const char *path,
                                          struct kymo_err *err);
/* Borrowed bytes. name is for messages. */
KYMO_MUST_USE kymo_status kymo_input_memory(struct kymo_input **out, const void *p, size_t n,
                                            const char *name, struct kymo_err *err);
void kymo_input_close(struct kymo_input *in);
const char *kymo_input_name(const struct kymo_input *in);
/* Bytes (unpacked) and lines taken so far. */
uint64_t kymo_input_at(const struct kymo_input *in);
uint64_t kymo_input_lines(const struct kymo_input *in);
/* Look at the next n bytes, at most KYMO_IMPORT_LINE_MAX, without taking them; fewer at the end.
 * Borrowed until the next call. */
KYMO_MUST_USE kymo_status kymo_input_peek(struct kymo_input *in, size_t n, const uint8_t **p,
                                          size_t *have, struct kymo_err *err);
/* Take n bytes that were peeked at. */
void kymo_input_skip(struct kymo_input *in, size_t n);
/*
 * The next line without its end (\n or \r\n), NUL-terminated and writable, borrowed until the next
 * call; NULL at the end of the input.
 * errors  ECORRUPT: a zero byte in it: this is no text; ELIMIT: longer than KYMO_IMPORT_LINE_MAX
 */
KYMO_MUST_USE kymo_status kymo_input_line(struct kymo_input *in, char **line, size_t *n,
                                          struct kymo_err *err);
/* An error is about this line from now on, not the one last taken. */
void kymo_input_place(struct kymo_input *in, uint64_t line, uint64_t at_bytes);
/* KYMO_FAIL with "line N: " before the message and the byte of the line's start. */
kymo_status kymo_input_bad_line(const struct kymo_input *in, struct kymo_err *err,
                                const char *fmt, ...) KYMO_PRINTF(3, 4);

/* ---- what an importer hands over ---------------------------------------------------------------- */

#define KYMO_IMPORT_UNKNOWN UINT64_MAX

struct kymo_text {
    const char *p; /* NULL: none */
    size_t n;
};

static inline struct kymo_text kymo_text_of(const char *p, size_t n)
{
    const struct kymo_text t = {p, n};
    return t;
}

/* A system call. Texts are borrowed for the call of the sink. */
struct kymo_import_call {
    uint64_t ts_ns;  /* its end */
    uint64_t dur_ns; /* or KYMO_IMPORT_UNKNOWN */
    uint32_t pid;    /* 0: what the sink knows of the thread, else the tid */
    uint32_t tid, cpu, arch, nr;
    uint32_t flags; /* KYMO_CALL_* */
    uint8_t has_ret;
    uint8_t has_arg; /* bit i: arg[i] is known */
    int64_t ret;
    uint64_t arg[6];
    struct kymo_text path, path2, addr;
    struct kymo_text comm; /* none: what the sink knows */
};

enum kymo_import_kind {
    KYMO_IMPORT_SNAPSHOT,
    KYMO_IMPORT_FORK,
    KYMO_IMPORT_EXEC,
    KYMO_IMPORT_EXIT,
};

/* The birth, exec or death of a task. What is none or 0 stays what the sink knows. */
struct kymo_import_process {
    uint64_t ts_ns;
    enum kymo_import_kind kind;
    uint32_t pid, tid, ppid;
    uint32_t uid, gid;
    uint8_t has_ids, has_code;
    uint32_t code; /* wait status */
    uint64_t start_ns;
    struct kymo_text comm, exe;
    struct kymo_text argv; /* one line: see kymo_import_quote() */
};

/* A packet as its headers tell; schema.h says what the fields mean. */
struct kymo_import_packet {
    uint64_t ts_ns;
    uint32_t length, caplen, link, vlan;
    uint32_t l3, l4; /* ethertype, IP protocol */
    struct kymo_text iface, src, dst;
    uint32_t sport, dport, tcp_flags, ttl, payload, frag;
    uint32_t flags; /* KYMO_PACKET_* */
    uint8_t has_vlan, has_l3, has_l4, has_ports, has_tcp, has_ttl, has_frag, has_payload;
};

/* ---- sink ------------------------------------------------------------------------------------- */

/* Arch of calls that this program has no number for: numbered as they come, named in `sysname`. */
#define KYMO_IMPORT_ARCH_NAMED 0u

struct kymo_sink; /* owned: _open, _close */

struct kymo_sink_totals {
    uint64_t calls, processes, packets, late;
    uint64_t ts_min_ns, ts_max_ns;
};

/* Rows go to w, borrowed. chunk_rows: at most so many calls (packets) a chunk, 0 for the usual. */
KYMO_MUST_USE kymo_status kymo_sink_open(struct kymo_sink **out, struct kymo_writer *w,
                                         uint32_t chunk_rows, struct kymo_err *err);
void kymo_sink_close(struct kymo_sink *s);
/* A row of `context`; key is static. The first word on a key stands. */
KYMO_MUST_USE kymo_status kymo_sink_fact(struct kymo_sink *s, const char *key,
                                         const char *value, struct kymo_err *err);
/* A pid that no other input of this sink was given: for recordings that have none. */
uint32_t kymo_sink_fresh_pid(struct kymo_sink *s);
/* From here on times are times of the clock on the wall: `clock` gets its anchors. */
void kymo_sink_real_time(struct kymo_sink *s);
KYMO_MUST_USE kymo_status kymo_sink_call(struct kymo_sink *s, const struct kymo_import_call *c,
                                         struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_sink_process(struct kymo_sink *s,
                                            const struct kymo_import_process *p,
                                            struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_sink_packet(struct kymo_sink *s,
                                           const struct kymo_import_packet *p,
                                           struct kymo_err *err);
/* tid is a thread of pid: at once, not in order of time, as a thread's calls may come before its
 * clone has returned. */
KYMO_MUST_USE kymo_status kymo_sink_thread(struct kymo_sink *s, uint32_t tid, uint32_t pid,
                                           struct kymo_err *err);
/* The process of a thread as far as known: itself otherwise. */
uint32_t kymo_sink_pid(const struct kymo_sink *s, uint32_t tid);
/*
 * The key of a call by its name: the number it has on arch, else the next free one of
 * KYMO_IMPORT_ARCH_NAMED.
 * errors  ELIMIT: too many names that are no calls
 */
KYMO_MUST_USE kymo_status kymo_sink_name(struct kymo_sink *s, uint32_t arch, const char *name,
                                         size_t n, uint32_t *arch_out, uint32_t *nr,
                                         struct kymo_err *err);
/* Everything that is still held, the last seal. The writer is not finished. */
KYMO_MUST_USE kymo_status kymo_sink_finish(struct kymo_sink *s, struct kymo_err *err);
const struct kymo_sink_totals *kymo_sink_totals(const struct kymo_sink *s);

/* ---- importers -------------------------------------------------------------------------------- */

struct kymo_import_opts {
    uint32_t arch; /* of numbers, and of names whose input does not say; 0: x86_64 */
};

/* What one input is read by; ctx is the importer's own. */
struct kymo_importer {
    const char *name;
    bool by_name; /* opens what the input's name says itself: the input is empty */
    /* Do these first bytes look so much like this format that it need not be said? */
    bool (*guess)(const uint8_t *p, size_t n);
    kymo_status (*open)(void **ctx, struct kymo_input *in, const struct kymo_import_opts *o,
                        struct kymo_sink *sink, struct kymo_err *err);
    /* Take one record. *more 0: the input is at its end. *now_ns: where in time this input is. */
    kymo_status (*step)(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err);
    void (*close)(void *ctx);
};

extern const struct kymo_importer kymo_import_strace, kymo_import_sequences, kymo_import_pcap,
    kymo_import_scap, kymo_import_perf, kymo_import_sysdig, kymo_import_tetragon,
    kymo_import_ctf;

/* The importer called name, or NULL. */
const struct kymo_importer *kymo_importer_by_name(const char *name);
#define KYMO_IMPORT_GUESS_BYTES 65536u
/* The importer whose guess it is; NULL: none, or more than one. */
const struct kymo_importer *kymo_importer_guess(const uint8_t *p, size_t n);
/* All of in[n], the one that lags first; the sink is not finished. at: out, the name of the input that an
 * error is about. */
KYMO_MUST_USE kymo_status kymo_import_run(const struct kymo_importer *importer,
                                          struct kymo_input *const *in, size_t n,
                                          const struct kymo_import_opts *o,
                                          struct kymo_sink *sink, const char **at,
                                          struct kymo_err *err);

/* ---- small helpers of several importers ----------------------------------------------------------- */

/* Digits at the start of s, at most `max`; the place behind them, NULL when there is none or it is more. */
const char *kymo_import_digits(const char *s, uint64_t max, uint64_t *v);
/* "12.000345" to ns; the place behind it, or NULL. Digits past the ninth are dropped. */
const char *kymo_import_seconds(const char *s, uint64_t *ns);
/* "12:34:56.7" to ns since midnight; the place behind it, or NULL. */
const char *kymo_import_daytime(const char *s, uint64_t *ns);
/* "2022-01-19T16:29:01.861Z" to ns since 1970; false: no such time. */
bool kymo_import_rfc3339(const char *s, uint64_t *ns);
/* 9 for "SIGKILL" (or "KILL"), 0 unknown. */
uint32_t kymo_import_signal(const char *name, size_t n);
/* Which argument of a call is the number of its bytes; -1: none, or none that is sure. */
int kymo_import_size_arg(uint32_t arch, uint32_t nr);
/* Add an argument to a command line as the recorder writes them: quoted where it needs it. */
void kymo_import_quote(struct kymo_buf *line, const char *s, size_t n);
/* The last part of a path, at most 15 bytes: what the kernel calls a program. */
struct kymo_text kymo_import_comm_of(struct kymo_text exe);
/* The raw result of -1 and an error's name: -errno, also of those that only strace prints; 0 unknown. */
int64_t kymo_import_error(const char *name, size_t n);

#endif
