/* SPDX-License-Identifier: Apache-2.0 */
#include "record/drain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/trace/chunk.h"
#include "format/trace/sysname.h"
#include "record/callrows.h"
#include "record/counts.h"
#include "record/host.h"
#include "record/processes.h"
#include "record/redact.h"

#define SEAL_EVERY_NS 1000000000u
#define COST_EVERY_NS 10000000000u
/* A record's time is taken before it is committed; preemption is off in between, so two hundred
 * microseconds are plenty outside of a stolen virtual CPU, and what comes later yet is flagged. */
#define WATERMARK_NS 200000u
#define TAIL_EVERY_BYTES 65536u

struct ring {
    uint64_t pos;       /* bytes consumed */
    uint64_t published; /* what the kernel side knows of it */
    uint64_t end;       /* head at this poll */
    uint64_t ts_ns;     /* of the record at pos */
    /* taken by us since the last seal, and reported since the start */
    uint64_t consumed, queue_dropped, late;
    struct kymo_ring_ctl reported;
    uint64_t reported_seen;
};

struct process_account {
    uint64_t seen, filtered, dropped, stored, queue_dropped;
    uint64_t reported_seen, reported_stored, reported_filtered, reported_dropped,
        reported_queue;
};

struct drain {
    struct source source;
    struct outbox *outbox;
    struct callrows *callrows;
    struct redact *redact; /* borrowed; NULL: nothing is hidden */
    struct ring *ring;     /* [n_rings] */
    uint32_t *heap;        /* rings with a record, earliest first */
    uint32_t n_heap;
    struct kymo_rows *calls; /* being filled; NULL: the queue holds all buffers */
    struct kymo_rows *small[16];
    uint32_t n_small;
    uint64_t next_seal_ns, last_seal_ns, next_cost_ns;
    struct counts *counts; /* NULL: nothing is counted */
    uint64_t next_window_ns, last_window_ns;
    uint8_t named[2][KYMO_CALLS_MAX]; /* calls that have a row in sysname: native, 32-bit */
    struct process_account process;
    struct processes *processes;
    struct anchors anchors;
    struct drain_totals totals;
    double fill_max; /* since the last cost row */
    bool any_put;    /* something was given to the outbox */
    drain_sealed sealed;
    void *sealed_ctx;
};

/* ---- small tables --------------------------------------------------------------------------- */

/* The open rows of a small table with room for one more; NULL when its buffers are all queued. */
static struct kymo_rows *small_rows(struct drain *d, const struct kymo_schema *schema)
{
    for (uint32_t i = 0; i < d->n_small; i++) {
        if (d->small[i]->schema != schema)
            continue;
        if (!kymo_rows_full(d->small[i]))
            return d->small[i];
        outbox_put(d->outbox, d->small[i], 0);
        d->small[i] = d->small[--d->n_small];
        break;
    }
    struct kymo_rows *r = outbox_take(d->outbox, schema);
    if (r)
        d->small[d->n_small++] = r;
    return r;
}

static void flush_small(struct drain *d)
{
    d->any_put = true;
    for (uint32_t i = 0; i < d->n_small; i++)
        outbox_put(d->outbox, d->small[i], 0);
    d->n_small = 0;
}

static void set_text(struct kymo_rows *r, uint32_t column, uint32_t i, const char *s)
{
    kymo_rows_set_str(r, column, i, s, strlen(s));
}

void drain_redact(struct drain *d, struct redact *r)
{
    d->redact = r;
    callrows_redact(d->callrows, r);
    processes_redact(d->processes, r);
}

void drain_fact_at(struct drain *d, uint64_t ts_ns, const char *key, const char *value)
{
    struct kymo_rows *r = small_rows(d, &KYMO_TABLE_CONTEXT);

    if (!r)
        return;
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_CONTEXT_TS, i, ts_ns);
    set_text(r, KYMO_CONTEXT_KEY, i, key);
    set_text(r, KYMO_CONTEXT_VALUE, i, value);
}

void drain_fact(struct drain *d, const char *key, const char *value)
{
    drain_fact_at(d, host_mono_ns(), key, value);
}

static void look_at_clocks(struct drain *d, bool is_due)
{
    struct anchor a[2];
    const size_t n = anchors_look(&d->anchors, is_due, a);

    for (size_t i = 0; i < n; i++) {
        struct kymo_rows *r = small_rows(d, &KYMO_TABLE_CLOCK);
        if (!r)
            return;
        const uint32_t row = kymo_rows_add(r);
        kymo_rows_set(r, KYMO_CLOCK_TS, row, a[i].mono_ns);
        kymo_rows_set(r, KYMO_CLOCK_BOOT, row, a[i].boot_ns);
        kymo_rows_set(r, KYMO_CLOCK_REAL, row, a[i].real_ns);
    }
}

void drain_clock(struct drain *d)
{
    look_at_clocks(d, true);
}

void drain_clocks_are(struct drain *d, struct clocks clocks)
{
    d->anchors = (struct anchors){.clocks = clocks};
}

void drain_level(struct drain *d, const char *from, const char *to, const char *why,
                 double value)
{
    struct kymo_rows *r = small_rows(d, &KYMO_TABLE_LEVEL);

    if (!r)
        return;
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_LEVEL_TS, i, host_mono_ns());
    set_text(r, KYMO_LEVEL_FROM, i, from);
    set_text(r, KYMO_LEVEL_TO, i, to);
    set_text(r, KYMO_LEVEL_WHY, i, why);
    kymo_rows_set_f64(r, KYMO_LEVEL_VALUE, i, value);
}

void drain_mark(struct drain *d, uint64_t ts_ns, const char *kind, const char *name,
                uint64_t dur_ns, uint32_t uid, uint32_t pid)
{
    struct kymo_rows *r = small_rows(d, &KYMO_TABLE_MARK);

    if (!r)
        return;
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_MARK_TS, i, ts_ns);
    set_text(r, KYMO_MARK_KIND, i, kind);
    const struct kymo_scrubbed safe = redact_text(d->redact, name, strlen(name));
    kymo_rows_set_str(r, KYMO_MARK_NAME, i, safe.s, safe.n);
    if (dur_ns != UINT64_MAX)
        kymo_rows_set(r, KYMO_MARK_DUR, i, dur_ns);
    kymo_rows_set(r, KYMO_MARK_UID, i, uid);
    kymo_rows_set(r, KYMO_MARK_PID, i, pid);
}

static void name_key(void *ctx, uint32_t arch, uint32_t nr)
{
    const struct kymo_sysinfo *info = kymo_sysinfo(arch, nr);
    struct drain *d = ctx;
    uint8_t *named = nr < KYMO_CALLS_MAX ? &d->named[arch != host_arch()][nr] : NULL;
    struct kymo_rows *r = info && named && !*named ? small_rows(d, &KYMO_TABLE_SYSNAME) : NULL;

    if (!r)
        return;
    *named = 1;
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_SYSNAME_ARCH, i, arch);
    kymo_rows_set(r, KYMO_SYSNAME_NR, i, nr);
    set_text(r, KYMO_SYSNAME_NAME, i, info->name);
}

/* ---- processes ------------------------------------------------------------------------------ */

static struct kymo_rows *rows_for(void *drain, const struct kymo_schema *schema)
{
    return small_rows(drain, schema);
}

void drain_process_event(struct drain *d, const void *event, size_t bytes)
{
    const struct kymo_event_head *h = event;

    if (h->kind == KYMO_EVENT_CGROUP)
        processes_cgroup_made(d->processes, event, bytes);
    else if (bytes < KYMO_EVENT_PROCESS_FIXED)
        return;
    else if (processes_event(d->processes, event, bytes))
        d->process.stored++;
    else
        d->process.queue_dropped++;
    if (h->kind == KYMO_EVENT_EXIT && d->counts)
        counts_ended(d->counts, ((const struct kymo_event_task *)event)->entity);
}

void drain_snapshot(struct drain *d, const struct kymo_event_process *e)
{
    const struct task *known = callrows_task(d->callrows, e->task.head.tid);

    if (!known ||
        !known->known) /* else its own records tell it better: some still lie in a ring */
        callrows_learn(d->callrows, &e->task);
    processes_snapshot(d->processes, e, e->task.head.bytes);
}

bool drain_rows(struct drain *d, struct kymo_rows *rows, uint64_t ts_ns)
{
    const bool in_time = ts_ns >= d->last_seal_ns;

    if (!in_time)
        kymo_rows_clear(rows);
    if (rows->schema == &KYMO_TABLE_PROCESS)
        for (uint32_t i = 0; i < rows->n_rows; i++)
            processes_cgroup(d->processes, rows->lane[KYMO_PROCESS_CGROUP][i],
                             (uint32_t)rows->lane[KYMO_PROCESS_PID][i], ts_ns);
    if (!d->any_put) /* the file's first rows are those of its beginning */
        flush_small(d);
    outbox_put(d->outbox, rows, 0);
    return in_time;
}

void drain_process_counts(struct drain *d, uint64_t seen, uint64_t filtered, uint64_t dropped)
{
    d->process.seen = seen;
    d->process.filtered = filtered;
    d->process.dropped = dropped;
}

/* ---- cutting, sealing, accounting ----------------------------------------------------------- */

/* What explains the calls goes before them: names, clocks, who their processes are. */
static void cut_calls(struct drain *d)
{
    if (!d->calls || !d->calls->n_rows)
        return;
    flush_small(d);
    outbox_put(d->outbox, d->calls, 0);
    d->calls = outbox_take(d->outbox, &KYMO_TABLE_SYSCALL);
    callrows_next_chunk(d->callrows);
}

static struct kymo_rows *loss_row(struct drain *d, uint64_t ts_ns, const char *source,
                                  uint32_t ring, uint32_t *row)
{
    struct kymo_rows *r = small_rows(d, &KYMO_TABLE_LOSS);

    if (!r)
        return NULL;
    *row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_LOSS_TS, *row, ts_ns);
    set_text(r, KYMO_LOSS_SOURCE, *row, source);
    kymo_rows_set(r, KYMO_LOSS_RING, *row, ring);
    return r;
}

/* One ring's account since its last row. Counters that the kernel still moves are read once. */
static void account_ring(struct drain *d, uint32_t n, uint64_t ts_ns, bool last)
{
    struct ring *ring = &d->ring[n];
    const struct kymo_ring_ctl *ctl = &d->source.ctl[n];
    struct kymo_ring_ctl now, *was = &ring->reported;
    uint32_t i;

    memcpy(&now, ctl, sizeof(now));
    const uint64_t filtered = now.filtered - was->filtered,
                   full = now.dropped_ring - was->dropped_ring;
    const uint64_t nested = now.dropped_nested - was->dropped_nested,
                   unread = now.unread - was->unread;
    const uint64_t stored = ring->consumed - ring->queue_dropped;
    const uint64_t aggregated = now.aggregated - was->aggregated,
                   sampled = now.sampled - was->sampled,
                   quota = now.dropped_quota - was->dropped_quota;
    const uint64_t dropped = full + nested + quota + ring->queue_dropped;
    const uint64_t parts = stored + filtered + aggregated + sampled + dropped;
    const uint64_t seen = last ? now.seen - ring->reported_seen : parts;
    struct kymo_rows *r = loss_row(d, ts_ns, "syscall", n, &i);
    if (!r)
        return; /* nothing is forgotten: the next row covers this span as well */
    kymo_rows_set(r, KYMO_LOSS_SEEN, i, seen);
    kymo_rows_set(r, KYMO_LOSS_STORED, i, stored);
    kymo_rows_set(r, KYMO_LOSS_FILTERED, i, filtered);
    kymo_rows_set(r, KYMO_LOSS_DROPPED_RING, i, full);
    kymo_rows_set(r, KYMO_LOSS_DROPPED_NESTED, i, nested);
    kymo_rows_set(r, KYMO_LOSS_DROPPED_QUEUE, i, ring->queue_dropped);
    kymo_rows_set(r, KYMO_LOSS_LATE, i, ring->late);
    kymo_rows_set(r, KYMO_LOSS_UNREAD, i, unread);
    d->totals.seen += seen;
    d->totals.stored += stored;
    d->totals.filtered += filtered;
    kymo_rows_set(r, KYMO_LOSS_AGGREGATED, i, aggregated);
    kymo_rows_set(r, KYMO_LOSS_SAMPLED, i, sampled);
    kymo_rows_set(r, KYMO_LOSS_DROPPED_QUOTA, i, quota);
    d->totals.dropped += dropped;
    d->totals.aggregated += aggregated;
    d->totals.late += ring->late;
    d->totals.unread += unread;
    *was = now;
    ring->reported_seen += seen;
    ring->consumed = ring->queue_dropped = ring->late = 0;
}

static void account_processes(struct drain *d, uint64_t ts_ns, bool last)
{
    struct process_account *p = &d->process;
    uint32_t i;
    struct kymo_rows *r = loss_row(d, ts_ns, "process", 0, &i);

    if (!r)
        return;
    const uint64_t stored = p->stored - p->reported_stored,
                   filtered = p->filtered - p->reported_filtered;
    const uint64_t dropped = p->dropped - p->reported_dropped,
                   queue = p->queue_dropped - p->reported_queue;
    const uint64_t seen =
        last ? p->seen - p->reported_seen : stored + filtered + dropped + queue;
    kymo_rows_set(r, KYMO_LOSS_SEEN, i, seen);
    kymo_rows_set(r, KYMO_LOSS_STORED, i, stored);
    kymo_rows_set(r, KYMO_LOSS_FILTERED, i, filtered);
    kymo_rows_set(r, KYMO_LOSS_DROPPED_RING, i, dropped);
    kymo_rows_set(r, KYMO_LOSS_DROPPED_QUEUE, i, queue);
    p->reported_seen += seen;
    p->reported_stored = p->stored;
    p->reported_filtered = p->filtered;
    p->reported_dropped = p->dropped;
    p->reported_queue = p->queue_dropped;
}

static void cost_row(struct drain *d, uint64_t ts_ns)
{
    struct kymo_rows *r = small_rows(d, &KYMO_TABLE_COST);

    if (!r)
        return;
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_COST_TS, i, ts_ns);
    kymo_rows_set(r, KYMO_COST_CPU, i, host_own_cpu_ns());
    kymo_rows_set(r, KYMO_COST_RSS, i, host_own_rss_bytes());
    kymo_rows_set(r, KYMO_COST_RINGS, i, d->source.rings_bytes);
    kymo_rows_set_f64(r, KYMO_COST_FILL, i, d->fill_max);
    kymo_rows_set(r, KYMO_COST_WRITTEN, i, outbox_bytes(d->outbox));
    d->fill_max = 0;
}

static struct kymo_rows *count_rows(void *d, const struct kymo_schema *schema)
{
    return small_rows(d, schema);
}

/* Windows end on whole multiples of their length, as seconds do. */
static void count_window(struct drain *d, uint64_t ts_ns, bool last)
{
    if (!d->counts || (ts_ns < d->next_window_ns && !last))
        return;
    counts_window(d->counts, ts_ns, ts_ns - d->last_window_ns, count_rows, name_key, d);
    d->last_window_ns = ts_ns;
    d->next_window_ns = ts_ns - ts_ns % d->source.window_ns + d->source.window_ns;
}

void drain_redactions(struct drain *d, struct redact *from, uint64_t ts_ns)
{
    for (unsigned rule = 0; from && rule < REDACT_RULES; rule++) {
        struct kymo_rows *r = small_rows(d, &KYMO_TABLE_REDACT);
        if (r)
            redact_row(from, rule, r, ts_ns);
    }
}

static void seal(struct drain *d, uint64_t ts_ns, bool last)
{
    cut_calls(d);
    const bool is_due = ts_ns >= d->next_cost_ns || last;
    count_window(d, ts_ns, last);
    if (is_due) {
        cost_row(d, ts_ns);
        drain_redactions(d, d->redact, ts_ns);
        d->next_cost_ns = ts_ns + COST_EVERY_NS;
    }
    /* What the clocks said at the seal before is younger than that seal, so it can still be told. */
    look_at_clocks(d, is_due);
    flush_small(d);
    for (uint32_t n = 0; n < d->source.n_rings; n++)
        account_ring(d, n, ts_ns, last);
    account_processes(d, ts_ns, last);
    for (uint32_t i = 0; i < d->n_small; i++)
        outbox_put(d->outbox, d->small[i], KYMO_CHUNK_SEAL);
    d->n_small = 0;
    d->last_seal_ns = ts_ns;
    d->next_seal_ns = ts_ns - ts_ns % SEAL_EVERY_NS + SEAL_EVERY_NS;
    if (d->sealed && !last)
        d->sealed(d->sealed_ctx, ts_ns);
}

void drain_on_seal(struct drain *d, drain_sealed f, void *ctx)
{
    d->sealed = f;
    d->sealed_ctx = ctx;
}

void drain_flush(struct drain *d)
{
    flush_small(d);
}

/* ---- merging the rings ---------------------------------------------------------------------- */

static const struct kymo_event_head *record_at(const struct drain *d, uint32_t n)
{
    const uint64_t pos = d->ring[n].pos;
    const uint32_t slices = (uint32_t)(d->source.ring_bytes >> KYMO_SLICE_BITS);
    const size_t slice = (size_t)n * slices + ((pos >> KYMO_SLICE_BITS) & (slices - 1));

    return (const void *)(d->source.data + slice * (KYMO_SLICE_BYTES + KYMO_SLACK_BYTES) +
                          (pos & (KYMO_SLICE_BYTES - 1)));
}

static void heap_down(struct drain *d, uint32_t i)
{
    for (;;) {
        uint32_t least = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < d->n_heap; child++)
            if (d->ring[d->heap[child]].ts_ns < d->ring[d->heap[least]].ts_ns)
                least = child;
        if (least == i)
            return;
        const uint32_t moved = d->heap[i];
        d->heap[i] = d->heap[least];
        d->heap[least] = moved;
        i = least;
    }
}

static void publish(struct drain *d, uint32_t n)
{
    struct ring *r = &d->ring[n];

    if (r->published == r->pos)
        return;
    __atomic_store_n(&d->source.ctl[n].tail, r->pos, __ATOMIC_RELEASE);
    r->published = r->pos;
}

/* Look at every ring's head; build the heap of those that hold something. Returns the highest fill. */
static double look(struct drain *d)
{
    double fill = 0;

    d->n_heap = 0;
    for (uint32_t n = 0; n < d->source.n_rings; n++) {
        struct ring *r = &d->ring[n];
        r->end = __atomic_load_n(&d->source.ctl[n].head, __ATOMIC_ACQUIRE);
        if (r->end == r->pos)
            continue;
        const double f = (double)(r->end - r->pos) / (double)d->source.ring_bytes;
        fill = f > fill ? f : fill;
        r->ts_ns = record_at(d, n)->ts_ns;
        d->heap[d->n_heap++] = n;
    }
    for (uint32_t i = d->n_heap / 2; i-- > 0;)
        heap_down(d, i);
    return fill;
}

static void take_task(struct drain *d, const struct kymo_event_task *e)
{
    if (d->counts)
        counts_learn(d->counts, e);
    if (callrows_learn(d->callrows, e))
        processes_task(d->processes, e);
}

static void take_call(struct drain *d, struct ring *r, const struct kymo_event_call *e,
                      uint32_t cpu)
{
    const bool late = e->head.ts_ns < d->last_seal_ns;

    r->consumed++;
    r->late += late;
    if (d->calls && kymo_rows_full(d->calls))
        cut_calls(d);
    for (int again = 0; d->calls && again < 2; again++) {
        if (callrows_add(d->callrows, d->calls, e, e->head.bytes, cpu,
                         late ? KYMO_CALL_LATE : 0))
            return;
        cut_calls(d);
    }
    r->queue_dropped++;
}

static kymo_status take_record(struct drain *d, uint32_t n, struct kymo_err *err)
{
    struct ring *r = &d->ring[n];
    const struct kymo_event_head *h = record_at(d, n);
    const uint32_t bytes = h->bytes;

    if (bytes < sizeof(*h) || bytes % 8 || bytes > r->end - r->pos)
        return KYMO_FAIL(err, KYMO_ECORRUPT, r->pos, "ring %u holds a record of %u bytes", n,
                         bytes);
    if (h->kind == KYMO_EVENT_TASK && bytes == sizeof(struct kymo_event_task))
        take_task(d, (const void *)h);
    else if (h->kind == KYMO_EVENT_CALL && bytes >= KYMO_EVENT_CALL_FIXED + 8u * h->n_args &&
             h->n_args <= 6)
        take_call(d, r, (const void *)h, n);
    else
        return KYMO_FAIL(err, KYMO_ECORRUPT, r->pos, "ring %u holds a record of kind %u", n,
                         h->kind);
    r->pos += bytes;
    if (r->pos - r->published >= TAIL_EVERY_BYTES)
        publish(d, n);
    return KYMO_OK;
}

/* The queue holds every buffer. While the rings have room it is better to wait than to drop. */
static bool should_wait(struct drain *d, double fill)
{
    if (!d->calls)
        d->calls = outbox_take(d->outbox, &KYMO_TABLE_SYSCALL);
    return !d->calls && fill < 0.5;
}

static kymo_status merge(struct drain *d, uint64_t watermark_ns, double fill, uint32_t *taken,
                         struct kymo_err *err)
{
    while (d->n_heap) {
        const uint32_t n = d->heap[0];
        struct ring *r = &d->ring[n];
        if (r->ts_ns > watermark_ns || (!d->calls && should_wait(d, fill)))
            break;
        if (r->ts_ns >= d->next_seal_ns) {
            seal(d, d->next_seal_ns, false);
            continue;
        }
        KYMO_TRY(take_record(d, n, err));
        ++*taken;
        if (r->pos == r->end)
            d->heap[0] = d->heap[--d->n_heap];
        else
            r->ts_ns = record_at(d, n)->ts_ns;
        heap_down(d, 0);
    }
    for (uint32_t n = 0; n < d->source.n_rings; n++)
        publish(d, n);
    return KYMO_OK;
}

kymo_status drain_poll(struct drain *d, uint64_t now_ns, uint32_t *taken, struct kymo_err *err)
{
    const uint64_t watermark_ns = now_ns - WATERMARK_NS;
    const double fill = look(d);

    *taken = 0;
    d->totals.ring_fill = fill;
    d->fill_max = fill > d->fill_max ? fill : d->fill_max;
    KYMO_TRY(merge(d, watermark_ns, fill, taken, err));
    const bool stuck = d->n_heap && d->ring[d->heap[0]].ts_ns <= watermark_ns;
    while (!stuck && watermark_ns >= d->next_seal_ns)
        seal(d, d->next_seal_ns, false);
    return KYMO_OK;
}

kymo_status drain_rest(struct drain *d, struct kymo_err *err)
{
    uint32_t taken;

    do {
        /* Nothing produces any more, so waiting for a buffer loses nothing: fill 0 says so. */
        taken = 0;
        look(d);
        KYMO_TRY(merge(d, UINT64_MAX, 0, &taken, err));
        if (!taken && d->n_heap)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    } while (taken || d->n_heap);
    return KYMO_OK;
}

/* ---- the end -------------------------------------------------------------------------------- */

size_t drain_tasks(const struct drain *d, const uint32_t **tids)
{
    return callrows_known(d->callrows, tids);
}

uint32_t drain_task_pid(const struct drain *d, uint32_t tid)
{
    const struct task *t = callrows_task(d->callrows, tid);

    return t && t->known ? t->pid : 0;
}

void drain_unfinished(struct drain *d, uint32_t tid, uint64_t entered_ns, uint64_t now_ns,
                      uint64_t nr, const uint64_t arg[6])
{
    const struct kymo_sysinfo *info = kymo_sysinfo(host_arch(), (uint32_t)nr);
    struct kymo_event_call e = {
        .head = {.kind = KYMO_EVENT_CALL,
                 .n_args = info ? info->n_args : 6,
                 .tid = tid,
                 .ts_ns = now_ns},
        .dur_ns = now_ns - entered_ns,
        .nr = (uint16_t)nr,
        .flags = KYMO_CALL_UNFINISHED,
    };

    memcpy(e.arg, arg, sizeof(e.arg));
    e.head.bytes = (uint16_t)(KYMO_EVENT_CALL_FIXED + 8u * e.head.n_args);
    if (d->calls && kymo_rows_full(d->calls))
        cut_calls(d);
    if (d->calls && callrows_add(d->callrows, d->calls, &e, e.head.bytes, 0, 0)) {
        /* Never seen by a program, yet a row: seen and stored by ourselves. */
        d->ring[0].consumed++;
        d->ring[0].reported_seen--;
    }
}

void drain_finish(struct drain *d, uint64_t now_ns)
{
    seal(d, now_ns, true);
}

void drain_totals(struct drain *d, struct drain_totals *out)
{
    struct processes_totals p;

    processes_totals(d->processes, &p);
    *out = d->totals;
    out->processes = p.rows;
    out->unnamed_cgroups = p.unnamed_cgroups;
}

/* ---- open, close ---------------------------------------------------------------------------- */

kymo_status drain_open(struct drain **out, const struct source *source, struct outbox *outbox,
                       uint64_t now_ns, struct kymo_err *err)
{
    struct drain *d = calloc(1, sizeof(*d));

    if (!d)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    d->source = *source;
    d->outbox = outbox;
    d->anchors.clocks = clocks_of_host();
    d->ring = calloc(source->n_rings, sizeof(*d->ring));
    d->heap = calloc(source->n_rings, sizeof(*d->heap));
    kymo_status s = callrows_open(&d->callrows, source->n_tids, err);
    if (!s)
        s = processes_open(&d->processes, source->n_tids, rows_for, d, err);
    if (!s && source->counts)
        s = counts_open(&d->counts, source->counts, err);
    d->last_window_ns = now_ns;
    if (source->counts)
        d->next_window_ns = now_ns - now_ns % source->window_ns + source->window_ns;
    if (!s && (!d->ring || !d->heap || !(d->calls = outbox_take(outbox, &KYMO_TABLE_SYSCALL))))
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for rows");
    if (s) {
        drain_close(d);
        return s;
    }
    callrows_on_new_key(d->callrows, name_key, d);
    d->totals.started_ns = now_ns;
    d->last_seal_ns = 0;
    d->next_seal_ns = now_ns - now_ns % SEAL_EVERY_NS + SEAL_EVERY_NS;
    d->next_cost_ns = now_ns + COST_EVERY_NS;
    *out = d;
    return KYMO_OK;
}

void drain_close(struct drain *d)
{
    if (!d)
        return;
    /* Buffers that were not put: only their owner knows them. */
    kymo_rows_close(d->calls);
    while (d->n_small)
        kymo_rows_close(d->small[--d->n_small]);
    callrows_close(d->callrows);
    processes_close(d->processes);
    counts_close(d->counts);
    free(d->ring);
    free(d->heap);
    free(d);
}
