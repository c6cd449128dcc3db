/* SPDX-License-Identifier: Apache-2.0
 * feature.h: the one definition of features, shared by training and scoring.
 *
 * A capture is read once, in file order. Time is cut in panes of one step; a window is a whole
 * number of panes. Each (pane, entity) has an accumulator that the groups fill, one group a file
 * (feature_NAME.c). A seal (a chunk that promises no older row) closes every window that ends at or
 * before it, so memory is bounded by the windows in flight (calls that were only counted have their
 * rows later, and what they may be of is held until then):
 *
 *     rows ──► pane 4 │ pane 5 │ pane 6          seal at the end of pane 5, window = 2 panes:
 *                 └──window──┘                   window 4..5 is finished and leaves, then pane 4 goes
 */
#ifndef KYMO_MODEL_FEATURE_H
#define KYMO_MODEL_FEATURE_H

#include "format/base/json.h"
#include "format/kymo.h"
#include "format/model/vocabulary.h"

#define KYMO_FEATURE_SPEC_NAME "kymo-features"
#define KYMO_FEATURE_SPEC_VERSION 2u
#define KYMO_FEATURES_MAX 512u
#define KYMO_WINDOW_NS_MIN 1000000ull              /* 1 ms */
#define KYMO_WINDOW_NS_MAX (86400ull * 1000000000) /* a day */
#define KYMO_WINDOW_STEPS_MAX 1024u

/* What an entity is. A container and a pod are known by the path of their cgroup, an executable by the
 * rows of table process; a process is its pid, start and exec sequence. What is not known is the one
 * entity "unknown". */
enum kymo_by {
    KYMO_BY_HOST,
    KYMO_BY_CGROUP,
    KYMO_BY_CONTAINER,
    KYMO_BY_POD,
    KYMO_BY_EXE,
    KYMO_BY_COMM,
    KYMO_BY_PROCESS,
    KYMO_BY_COUNT
};
#define KYMO_BY_WORDS "host|cgroup|container|pod|exe|comm|process"
const char *kymo_by_name(enum kymo_by by);
/* KYMO_BY_COUNT when the word is none of them. */
enum kymo_by kymo_by_value(const char *word);

/* How a column is bent before distances are taken; always followed by (x - mean) / scale. */
enum kymo_bend {
    KYMO_BEND_NONE,     /* "none": taken as it is, not standardised */
    KYMO_BEND_STANDARD, /* "standard" */
    KYMO_BEND_LOG1P,    /* "log1p+standard", for values >= 0 */
    KYMO_BEND_SQRT,     /* "sqrt+standard", for values >= 0 */
    KYMO_BEND_COUNT
};
const char *kymo_bend_name(enum kymo_bend bend);
enum kymo_bend kymo_bend_value(const char *word);
/* The bent value; NaN where the bend does not take x. */
double kymo_bend(enum kymo_bend bend, double x);
double kymo_unbend(enum kymo_bend bend, double y);

/* What a column is made of, and what a capture has, as bits. */
enum kymo_feature_from {
    KYMO_FROM_CALLS = 1,     /* table syscall, a row a call */
    KYMO_FROM_COUNTS = 2,    /* tables count and count_error, level counts */
    KYMO_FROM_PROCESSES = 4, /* table process */
    KYMO_FROM_OPENS = 8,     /* table fd */
    KYMO_FROM_KNOWN = 16,    /* the vocabulary of the spec, besides one of the others */
};

struct kymo_feature_column {
    char name[56];
    char unit[12];
    char group[16];
    enum kymo_bend bend;
    uint32_t from; /* bits: any of these tables will do */
    double
        weight; /* factor of the group / sqrt(columns of the group): many columns do not drown few */
    double floor; /* least scale, in bent units: smaller spreads are taken for noise */
};

struct kymo_feature_spec {
    uint64_t window_ns, step_ns;
    enum kymo_by by;
    const struct kymo_vocabulary
        *vocabulary; /* borrowed; NULL: nothing is known, nothing is new */
    size_t d;
    struct kymo_feature_column column[KYMO_FEATURES_MAX];
};

/* The columns with these windows, without a vocabulary. errors EUSAGE: window is no whole number of steps. */
KYMO_MUST_USE kymo_status kymo_feature_spec_init(struct kymo_feature_spec *spec,
                                                 uint64_t window_ns, uint64_t step_ns,
                                                 enum kymo_by by, struct kymo_err *err);
/* out owned: json_decref(). NULL when out of memory. */
json_t *kymo_feature_spec_json(const struct kymo_feature_spec *spec);
/* Refuses (EINPUT) another name, version or set of columns than this build computes; its vocabulary, if
 * it has one, is of the arena. errors also ECORRUPT, ELIMIT: the vocabulary */
KYMO_MUST_USE kymo_status kymo_feature_spec_parse(struct kymo_feature_spec *spec,
                                                  const json_t *j, struct kymo_arena *arena,
                                                  const char *name, struct kymo_err *err);
/* Do both give the same columns of the same windows? If not, EINPUT says what differs. */
KYMO_MUST_USE kymo_status kymo_feature_spec_match(const struct kymo_feature_spec *want,
                                                  const struct kymo_feature_spec *have,
                                                  const char *name, struct kymo_err *err);

/* One line on what column j is; into buf, returned. */
#define KYMO_ABOUT_BYTES 160u
const char *kymo_feature_about(size_t j, char buf[KYMO_ABOUT_BYTES]);
/* The tables that a column's bits name: "syscall|count". Into buf, returned. */
const char *kymo_feature_from_text(uint32_t from, char buf[KYMO_ABOUT_BYTES]);
/*
 * Does a capture with these bits tell the column? Where it does not, the column is 0, and says nothing.
 * Where calls were counted in part of the time, what wants a row a call is not told.
 */
int kymo_feature_is_there(const struct kymo_feature_column *c, uint32_t from);

/* One row of the matrix. */
struct kymo_window {
    uint64_t start_ns, dur_ns; /* CLOCK_MONOTONIC of the captured host */
    uint64_t real_ns; /* wall clock of its end since 1970, 0: the capture has no clock row */
    uint64_t events;  /* rows of table syscall */
    double lost; /* share of events lost or left out by sampling, 0..1, of the whole host */
    uint32_t capture;   /* which of the captures */
    const char *entity; /* borrowed */
    const double *x;    /* [d] raw units, borrowed */
};
typedef kymo_status (*kymo_window_fn)(void *ctx, const struct kymo_window *w,
                                      struct kymo_err *err);

/* A named stretch of a capture, from its marks. */
struct kymo_span {
    char *name; /* arena */
    uint64_t start_ns, end_ns;
    uint32_t capture;
};

/* What is known of a capture once it is read. */
struct kymo_capture_facts {
    char *name;     /* arena: as given */
    uint64_t xxh3;  /* of the checksums of the chunks that features come from, in file order */
    uint64_t rows;  /* syscall rows */
    uint64_t calls; /* and calls that were only counted */
    uint64_t late;  /* rows that came after their window had closed: in no window */
    uint64_t stored, dropped; /* by the capture's own loss account */
    uint64_t windows;
    uint64_t first_ns, last_ns;
    uint32_t from; /* enum kymo_feature_from: what its columns could be made of */
    int torn;      /* ended in mid-chunk */
};

struct kymo_feature_run; /* owned */
struct kymo_arena;

/*
 * Start extracting.
 *
 * spec    borrowed until _close           capture  ordinal of the capture, copied to its windows
 * fn      called with every window, in order of time, then entity; its failure ends the run
 * arena   where names of spans go
 */
KYMO_MUST_USE kymo_status kymo_feature_open(struct kymo_feature_run **out,
                                            const struct kymo_feature_spec *spec,
                                            uint32_t capture, struct kymo_arena *arena,
                                            kymo_window_fn fn, void *ctx, struct kymo_err *err);
/* One chunk, whatever its table; flags and body_xxh3 are its header's. */
KYMO_MUST_USE kymo_status kymo_feature_chunk(struct kymo_feature_run *r,
                                             const struct kymo_batch *b, uint32_t flags,
                                             uint64_t body_xxh3, struct kymo_err *err);
/* The same promise without a chunk, for whoever sees rows before they are one: nothing older than ts_ns
 * follows. errors ECORRUPT: time leaps */
KYMO_MUST_USE kymo_status kymo_feature_seal(struct kymo_feature_run *r, uint64_t ts_ns,
                                            struct kymo_err *err);
/* Learn a vocabulary from what passes (borrowed until _close): what paths, peers, executables and
 * sequences there are. Windows are the caller's, see kymo_feature_learn_window(). */
void kymo_feature_learn(struct kymo_feature_run *r, struct kymo_vocabulary_fit *fit);
/* Learn sequences from what passes (borrowed until _close), of every step of time and entity. */
struct kymo_sequence_learner;
KYMO_MUST_USE kymo_status kymo_feature_sequence(struct kymo_feature_run *r,
                                                struct kymo_sequence_learner *l,
                                                struct kymo_err *err);
/* What a window of a spec without a vocabulary tells of n-grams. */
void kymo_feature_learn_window(struct kymo_vocabulary_fit *fit,
                               const struct kymo_feature_spec *spec, const double *x);
/* Bound the accumulators of windows in flight; 2 GiB by itself. */
void kymo_feature_bound(struct kymo_feature_run *r, size_t bytes);
/* The end of the capture: closes all windows. The last one is left out when less than nine tenths
 * of it are there, unless it is the only one. spans out, arena, n_spans of them. */
KYMO_MUST_USE kymo_status kymo_feature_finish(struct kymo_feature_run *r,
                                              struct kymo_capture_facts *facts,
                                              struct kymo_span **spans, size_t *n_spans,
                                              struct kymo_err *err);
void kymo_feature_close(struct kymo_feature_run *r);

/*
 * Read on from an open reader whose first batch may already have been taken (first, or NULL) to the
 * end. A torn tail is noted in the facts and is no failure.
 */
KYMO_MUST_USE kymo_status kymo_feature_read(kymo_reader *reader, const struct kymo_batch *first,
                                            struct kymo_feature_run *r,
                                            struct kymo_capture_facts *facts,
                                            struct kymo_span **spans, size_t *n_spans,
                                            struct kymo_err *err);
/* Tables that features are made from, for kymo_reader_select. */
extern const char *const kymo_feature_tables[];
extern const size_t kymo_feature_tables_n;
/* Before the first batch: ask for the columns that features are made from, and no others. */
KYMO_MUST_USE kymo_status kymo_feature_ask(kymo_reader *reader, struct kymo_err *err);
/* The same with those that sequences are made from. */
KYMO_MUST_USE kymo_status kymo_feature_ask_sequence(kymo_reader *reader, struct kymo_err *err);

#endif
