/* SPDX-License-Identifier: Apache-2.0
 * sequence_own.h: a learner, as its parts share it: sequence_learn.c has the stretches and takes calls in,
 * sequence_beside.c what happens beside them, and who threads are. For those alone.
 */
#ifndef KYMO_MODEL_SEQUENCE_OWN_H
#define KYMO_MODEL_SEQUENCE_OWN_H

#include "format/model/sequence_learn.h"

enum life { LIFE_MAIN, LIFE_FORK, LIFE_THREAD };

struct seq_thread {
    uint64_t pid, tid, start_ns;
    uint64_t last_ns, born_ns;     /* end of its last call; 0: none yet. Born: or first seen */
    uint32_t comm, role;           /* words; role 0: not worked out */
    uint32_t role_comm, role_life; /* that role was worked out of */
    uint8_t depth; /* forks since a program was begun, where life is LIFE_FORK */
    uint8_t life, spawner, is_new, is_dead, is_born;
    uint16_t context[KYMO_GRAM - 1];
    int64_t last_fd;
    uint32_t stretch; /* that conduct is of */
    struct kymo_conduct *conduct;
};

enum seq_event_kind { SEQ_FORK, SEQ_EXEC, SEQ_EXIT, SEQ_OPEN };
struct seq_event {
    uint64_t ts_ns, no; /* in the order of both */
    uint64_t pid, tid, start_ns, ppid;
    int64_t fd;
    enum seq_event_kind kind;
    enum kymo_on on;
    int is_end;    /* of a process, and ends are what it used */
    uint32_t fate; /* exec: of the name it has from then on */
    struct kymo_ends ends;
};

/* Names that a role used, newest first, and all that it ever did. */
struct seq_recent {
    uint64_t hash[KYMO_RECENCY_LIST];
    uint32_t n;
    uint64_t *seen; /* owned, open addressing */
    uint32_t n_seen, slots;
};

/* A key of the chunk. */
struct seq_key {
    uint32_t word;
    int selector, moves, is_arm, forks, watches, ends; /* ends: 1 the thread, 2 the process */
    const struct kymo_fd_callinfo *info;
};

#define SEQ_MADE 64u
#define SEQ_DEPTHS 65536u
#define SEQ_DEPTH_MAX 4u

struct kymo_sequence_learner {
    struct kymo_symbols symbols;
    struct kymo_arena texts; /* names of entities */
    struct kymo_fdroles *fds;
    size_t cap_bytes;
    uint32_t capture, thin; /* one stretch in 1 << thin is learned */
    struct kymo_stretch *stretch;
    uint32_t n_stretches, cap_stretches, n_counted;
    uint32_t *stretch_slot; /* by start and entity: index + 1 */
    uint32_t stretch_slots;
    struct seq_thread *thread;
    uint32_t n_threads, cap_threads;
    uint32_t *thread_slot; /* index + 1 */
    uint32_t thread_slots;
    struct seq_event *event;
    size_t n_events, cap_events, at_event;
    uint64_t event_no;
    struct {
        uint64_t tid;
        int is_thread;
    } made[SEQ_MADE]; /* the last threads and processes that were begun */
    uint32_t at_made;
    struct seq_depth {
        uint64_t pid;
        uint32_t depth;
    } * depth; /* [SEQ_DEPTHS] owned, by pid: the last processes that were made */
    struct seq_recent *(*recent)[2]; /* [n_recent] by role: paths, peers */
    uint32_t n_recent;
    uint32_t *task_thread, *task_comm; /* scratch, a chunk long */
    struct seq_key *key;
    uint16_t begin; /* the symbol */
};

kymo_status kymo_seq_no_memory(struct kymo_err *err);
/* The thread, made where it is new; UINT32_MAX: no memory. */
uint32_t kymo_seq_thread(struct kymo_sequence_learner *l, uint64_t pid, uint64_t tid,
                         uint64_t start_ns);
/* The name of the first thread of its process, a word; 0: it is that itself, or not known. */
uint32_t kymo_seq_leader(const struct kymo_sequence_learner *l, const struct seq_thread *t);
/* Forget those that ended, before a chunk: indexes change. 0: no memory. */
int kymo_seq_bury(struct kymo_sequence_learner *l);
/* The fate of the program that a process begins next, where its rows have told; see symbol.h */
uint32_t kymo_seq_fate(const struct kymo_sequence_learner *l, uint64_t pid);
/* A name as roles have it: what would part fields of a text is "_"; to [KYMO_SEQ_COMM]; returns its bytes. */
#define KYMO_SEQ_COMM 40u
size_t kymo_seq_comm(const char *s, size_t n, char *to);
/* A thread of that process and number was begun not long ago: 1 thread, 0 process, -1 not known. */
int kymo_seq_made(const struct kymo_sequence_learner *l, uint64_t tid);
/* Rows of tables process and fd, to be applied in the order of time. */
KYMO_MUST_USE kymo_status kymo_seq_beside(struct kymo_sequence_learner *l,
                                          const struct kymo_batch *b, struct kymo_err *err);
void kymo_seq_sort(struct kymo_sequence_learner *l);
KYMO_MUST_USE kymo_status kymo_seq_apply(struct kymo_sequence_learner *l, uint64_t until_ns,
                                         struct kymo_err *err);
/* How long ago the role used that name last, in buckets; it is the newest now. */
uint32_t kymo_seq_recency(struct kymo_sequence_learner *l, uint32_t role, int of_peers,
                          const char *text, size_t n);
void kymo_seq_forget(struct kymo_sequence_learner *l);

#endif
