/* SPDX-License-Identifier: Apache-2.0
 * keeper.h: the one process of a recording that keeps power, and what it may be asked for.
 *
 *     kymo-record ──────── SOCK_SEQPACKET, one packet a request ────────► keeper
 *     no capabilities  ◄── one packet an answer, with a descriptor ──────  CAP_BPF, CAP_SYS_PTRACE,
 *     drains, writes                                                       CAP_DAC_READ_SEARCH
 *
 * The keeper is forked before the recorder drops its power. It knows the descriptors that it was
 * started with (maps, the task iterator, the output's folder) and nothing else, and it treats
 * every request as if a stranger had sent it: the recorder parses what the whole host does.
 * No request is made on the way of a record: they are for what happens once a process, a second
 * or a file.
 *
 * It leaves when the recorder does, however that ended, and removes its control socket. When the
 * keeper is gone or keeps missing its time, the recorder goes on: what it would have been told is
 * unknown from then on, and keeper_lost() says so.
 *
 * To add a request: a kind below, a row in keeper_serve.c's HANDLERS with a function that checks
 * every field it uses, a client function here; then a hostile twin in tests/unit/test_keeper.c. A
 * call that it needs goes into power.c's FOR_KEEPER, a capability into keeper_serve.c's CAPS.
 */
#ifndef KYMO_RECORD_KEEPER_H
#define KYMO_RECORD_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "format/base/err.h"

#define KEEPER_MAPS_MAX 64u
#define KEEPER_LISTS_MAX 8u
#define KEEPER_TEXT_MAX 65536u /* of an answer; requests are shorter */
#define KEEPER_ASK_MAX 4096u
#define KEEPER_NAME_MAX 255u

enum keeper_kind {
    KEEPER_LIST = 1,    /* number = which iterator: a fresh reading of it, a descriptor */
    KEEPER_EXE,         /* pid: its executable */
    KEEPER_CWD,         /* pid: its working directory */
    KEEPER_FD,          /* pid, number = a descriptor: what it is */
    KEEPER_ARGV,        /* pid: its arguments, NULs between */
    KEEPER_CGROUP,      /* pid: the text of /proc/PID/cgroup */
    KEEPER_BLOCKED,     /* pid, number = tid: the text of /proc/PID/task/TID/syscall */
    KEEPER_PART_OPEN,   /* text = a name: a new file in the output's folder */
    KEEPER_PART_REMOVE, /* text = a name: a capture of ours there is removed */
    KEEPER_MAP_LOOKUP,  /* number = a map's descriptor, text = key: the value */
    KEEPER_MAP_UPDATE,  /* number = a map's descriptor, text = key, value */
    KEEPER_CONTAINER,   /* text = the name of a container: its id, from its runtime's state */
    KEEPER_KINDS
};

/* What goes over the socket. */
struct keeper_request {
    uint32_t sequence; /* of the answer, too: one that comes too late is told from the next */
    uint32_t kind, pid, number, text_bytes;
    uint8_t text[KEEPER_ASK_MAX];
};
#define KEEPER_REQUEST_FIXED 20u
struct keeper_answer {
    uint32_t sequence;
    uint32_t error;  /* errno; 0: here it is */
    uint64_t cpu_ns; /* the keeper's own, so that it is not left out of the recording's cost */
    uint32_t text_bytes;
    uint8_t text[KEEPER_TEXT_MAX + 4];
};
#define KEEPER_ANSWER_FIXED 20u
_Static_assert(sizeof(struct keeper_request) == KEEPER_REQUEST_FIXED + KEEPER_ASK_MAX,
               "request");
_Static_assert(sizeof(struct keeper_answer) == KEEPER_ANSWER_FIXED + KEEPER_TEXT_MAX + 4,
               "answer");

struct keeper_opts {
    int lists[KEEPER_LISTS_MAX]; /* links of iterators, told by their place */
    size_t n_lists;
    int maps[KEEPER_MAPS_MAX];
    size_t n_maps;
    const char
        *output;   /* path of the first file: later ones lie beside it, with names that begin
                           like its own; NULL: there will be none */
    int output_fd; /* that file, whose owner later ones get; -1: there is none yet, and the
                      person who ran us gets them where they may write */
};

struct keeper; /* owned */

/*
 * Fork the keeper. Before any thread is started, and before the recorder drops its power.
 * The descriptors in o are copied; what else is open is closed in the keeper.
 *
 * errors  EHOST
 */
KYMO_MUST_USE kymo_status keeper_start(struct keeper **out, const struct keeper_opts *o,
                                       struct kymo_err *err);
/* Let it go and wait for it. NULL is fine. */
void keeper_stop(struct keeper *k);
pid_t keeper_pid(const struct keeper *k);
/* It died, or missed its time again and again; all requests fail from then on. */
bool keeper_lost(const struct keeper *k);
/* CPU time it had used at its last answer. */
uint64_t keeper_cpu_ns(const struct keeper *k);

/* Requests. They may come from any thread, and take a fraction of a millisecond each. */

/* A descriptor to read an iterator from, told by its place in keeper_opts.lists; -1 and errno. */
int keeper_list(struct keeper *k, uint32_t which);
/* The text of KEEPER_EXE, _CWD, _FD, _ARGV, _CGROUP, _BLOCKED, NUL-terminated and cut to cap; its length, 0 when
 * unreadable. */
size_t keeper_text(struct keeper *k, enum keeper_kind kind, uint32_t pid, uint32_t number,
                   char *buf, size_t cap);
/* A new file beside the first one, 0600, its owner's; -1 and errno (EEXIST when the name is taken). */
int keeper_part_open(struct keeper *k, const char *name);
/* Remove a capture beside the first one whose name begins like its own; false and errno. */
bool keeper_part_remove(struct keeper *k, const char *name);
/* The id of a container by its name; false when nobody knows it. */
bool keeper_container(struct keeper *k, const char *name, char *id, size_t cap);
/* A map by the descriptor it had when the keeper was started; false and errno. */
bool keeper_map_lookup(struct keeper *k, int map, const void *key, size_t key_bytes,
                       void *value, size_t value_bytes);
bool keeper_map_update(struct keeper *k, int map, const void *key, size_t key_bytes,
                       const void *value, size_t value_bytes);

/* For tests, which play the stranger: one exchange as the client functions make it (false: no answer
 * came; *fd the descriptor that came along, or -1), and the socket itself. */
bool keeper_ask(struct keeper *k, const struct keeper_request *q, size_t bytes,
                struct keeper_answer *a, int *fd);
int keeper_socket(const struct keeper *k);

#endif
