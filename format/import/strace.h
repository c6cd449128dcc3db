/* SPDX-License-Identifier: Apache-2.0
 * strace.h: the parts of the strace importer: text of calls (strace_args.c), what a call means
 * (strace_call.c), what is remembered of threads (strace_threads.c), lines (strace.c).
 */
#ifndef KYMO_IMPORT_STRACE_H
#define KYMO_IMPORT_STRACE_H

#include "format/import/import.h"

#define KYMO_STRACE_ARGS_MAX 16u

/* Views into the line. */
struct kymo_strace_call {
    struct kymo_text name;
    struct kymo_text arg[KYMO_STRACE_ARGS_MAX];
    uint32_t n_args;
    struct kymo_text result; /* what follows the '=' */
};

/* The end of the argument that begins at s: the comma, the bracket or the zero behind it; NULL: a
 * quote or a bracket is open at the end. */
const char *kymo_strace_arg_end(const char *s);
/*
 * Take "name(args) = result" apart; why is set where it is none.
 * returns false: malformed
 */
bool kymo_strace_split(const char *text, struct kymo_strace_call *c, const char **why);
/* A number as strace writes it: decimal, hex, octal, an fd with its annotation, AT_FDCWD, NULL. */
bool kymo_strace_number(struct kymo_text arg, uint64_t *v);
/* The bytes of a quoted string, appended; false where it is no string or was cut. cut: out, "..." */
bool kymo_strace_string(struct kymo_text arg, struct kymo_buf *out, bool *cut);
/* A socket address as the recorder writes it; false where there is none. */
bool kymo_strace_addr(struct kymo_text arg, struct kymo_buf *out);

enum kymo_strace_times { TIMES_UNKNOWN, TIMES_NONE, TIMES_DAY, TIMES_EPOCH, TIMES_RELATIVE };

/* What is remembered of a thread of the log. */
struct kymo_strace_thread {
    uint32_t tid, arch;
    char *text; /* owned: "name(args", until it is resumed; NULL: none */
    size_t bytes;
    uint64_t ts_ns;
    bool used, gone; /* gone: its exit was told */
};

struct kymo_strace_threads {
    struct kymo_strace_thread *slot; /* [slots], a power of two, or NULL */
    uint32_t slots, n;
    uint32_t n_texts;
    size_t text_bytes;
    uint32_t arch; /* of a thread that is new */
};

void kymo_strace_threads_release(struct kymo_strace_threads *t);
/* The thread of a tid, a new one where it is not known; valid until the next find. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_strace_thread_find(struct kymo_strace_threads *t, uint32_t tid,
                                                  struct kymo_strace_thread **out,
                                                  struct kymo_err *err);
/* Keep the first half of a call; drop it. */
KYMO_MUST_USE kymo_status kymo_strace_thread_keep(struct kymo_strace_threads *t,
                                                  struct kymo_strace_thread *h,
                                                  const char *text, size_t n, uint64_t ts_ns,
                                                  struct kymo_err *err);
void kymo_strace_thread_drop(struct kymo_strace_threads *t, struct kymo_strace_thread *h);

/* A log that is being read. */
struct kymo_strace {
    struct kymo_input *in;  /* borrowed */
    struct kymo_sink *sink; /* borrowed */
    uint32_t arch, own_tid;
    enum kymo_strace_times times;
    uint64_t now_ns, day_ns;
    struct kymo_strace_threads threads;
    struct kymo_buf whole, path, path2, addr, argv, exe;
};

/* A line's head. */
struct kymo_strace_head {
    uint32_t tid;
    uint64_t ts_ns;
    struct kymo_text comm;
    char *rest;
};

/* A whole call. start_ns: when its line, or its first half's, was written; resumed: this is its second. */
KYMO_MUST_USE kymo_status kymo_strace_take_call(struct kymo_strace *s,
                                                const struct kymo_strace_head *h,
                                                const char *text, uint64_t start_ns,
                                                bool resumed, struct kymo_err *err);
/* A thread's end, told once. code: wait status */
KYMO_MUST_USE kymo_status kymo_strace_tell_exit(struct kymo_strace *s, uint32_t tid,
                                                uint64_t ts_ns, uint32_t code,
                                                struct kymo_err *err);

#endif
