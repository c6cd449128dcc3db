/* SPDX-License-Identifier: Apache-2.0
 * kymo-record: write down what a host does.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/trace/chunk.h"
#include "record/capture.h"
#include "record/host.h"
#include "record/nocore.h"
#include "record/options.h"
#include "record/redact.h"

#define CELLS_OF_CPU 8192u /* processes times calls each makes, a CPU */

/* ---- output ----------------------------------------------------------------------------------- */

/* A fresh private file; a pipe or a device is written to as it stands. */
static kymo_status open_output(int *fd, const struct options *o, struct kymo_err *err)
{
    struct stat st;

    if (!strcmp(o->path, "-")) {
        if (isatty(STDOUT_FILENO))
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "a capture is no text for a terminal; use -w FILE or a pipe");
        *fd = STDOUT_FILENO;
        return KYMO_OK;
    }
    const bool there = !stat(o->path, &st);
    if (there && S_ISREG(st.st_mode) && !o->force)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%s exists; choose another name or use --force", o->path);
    const int how = there && !S_ISREG(st.st_mode) ? 0 : there ? O_TRUNC : O_CREAT | O_EXCL;
    *fd = power_open_output(o->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | how);
    if (*fd < 0)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write %s: %s", o->path,
                         strerror(errno));
    return KYMO_OK;
}

/* One line that is written over; the summary takes its place. */
static void show_progress(const struct capture_progress *p)
{
    char bytes[32], rate[32];
    const double s = (double)p->interval_ns / 1e9;

    fprintf(stderr, "\r\033[K");
    if (!p->last)
        fprintf(stderr, "%6.1f s  %s events/s  %" PRIu64 " lost  %s  ring %2.0f %%",
                (double)p->elapsed_ns / 1e9,
                kymo_human_count(rate, sizeof(rate),
                                 (uint64_t)((double)p->taken / (s > 0 ? s : 1))),
                p->dropped, kymo_human_bytes(bytes, sizeof(bytes), p->written_bytes),
                100 * p->ring_fill);
    fflush(stderr);
}

static void warn(const char *text)
{
    kymo_cli_say(TOOL, "%s", text);
}

/* A start that failed leaves no empty file behind. */
static void remove_empty(const char *path)
{
    struct stat st;

    if (!stat(path, &st) && S_ISREG(st.st_mode) && st.st_size <= (off_t)KYMO_FILE_HEADER_BYTES)
        unlink(path);
}

/* Where it is: the file, or how many parts and which is the last. */
static const char *where(char *buf, size_t n, const struct options *o,
                         const struct capture_result *r)
{
    char held[64] = "";

    if (!o->parts)
        return o->path;
    if (r->out.flight.held_back)
        snprintf(held, sizeof(held), ", %" PRIu64 " held back", r->out.flight.held_back);
    if (o->flight_bytes && !r->out.files)
        snprintf(buf, n, "nothing was written: no trigger%s", held);
    else if (o->flight_bytes)
        snprintf(buf, n, "%" PRIu64 " triggers%s, %" PRIu64 " files, the last %s",
                 r->out.flight.fired, held, r->out.files, r->last);
    else
        snprintf(buf, n, "%" PRIu64 " parts, %" PRIu64 " old ones deleted, the last %s",
                 r->out.files, r->out.deleted, r->last);
    return buf;
}

static void summarize(const struct options *o, const struct capture_result *r)
{
    static const char *const why[] = {"stopped", "time is over", "the command ended",
                                      "its disk bound was reached"};
    const double s = (double)r->elapsed_ns / 1e9;
    const uint64_t events = r->totals.stored;
    char count[32], lost[32], bytes[32], rss[32], counted[64] = "", number[32], name[700];

    if (o->quiet)
        return;
    if (r->totals.aggregated)
        snprintf(counted, sizeof(counted), "%s counted, ",
                 kymo_human_count(number, sizeof(number), r->totals.aggregated));
    kymo_cli_say(TOOL,
                 "%s events in %.1f s, %s%s lost, %s (%.2f bytes/event), recorder %.1f %% of a "
                 "CPU, %s: %s; %s",
                 kymo_human_count(count, sizeof(count), events), s, counted,
                 kymo_human_count(lost, sizeof(lost), r->totals.dropped),
                 kymo_human_bytes(bytes, sizeof(bytes), r->out.bytes),
                 events ? (double)r->out.bytes / (double)events : 0,
                 100 * (double)r->cpu_ns / (double)r->elapsed_ns,
                 kymo_human_bytes(rss, sizeof(rss), r->rss_bytes), why[r->end],
                 where(name, sizeof(name), o, r));
}

static int verdict(const struct options *o, const struct capture_result *r)
{
    const double all = (double)(r->totals.stored + r->totals.dropped);

    if (o->pass_status && r->end == CAPTURE_COMMAND)
        return r->cmd_status;
    if (all > 0 && (double)r->totals.dropped / all > o->max_loss) {
        kymo_cli_say(TOOL, "%.2f %% of the events were lost, more than --max-loss allows",
                     100 * (double)r->totals.dropped / all);
        return KYMO_EXIT_LOSS;
    }
    return r->end == CAPTURE_BOUND ? KYMO_EXIT_GUARD : KYMO_EXIT_OK;
}

/* Root's commands are root's; behind sudo that may not be what was meant. */
static void say_who_runs(const struct options *o)
{
    if (o->cmd && !o->as_name && !o->quiet && !getuid() && getenv("SUDO_UID"))
        kymo_cli_say(TOOL, "%s runs as root; --as %s runs it as yourself", o->cmd[0],
                     getenv("SUDO_USER") ? getenv("SUDO_USER") : "USER");
}

/* ---- main ------------------------------------------------------------------------------------- */

static struct outbox_opts output_of(const struct options *o, const struct flight_opts *flight)
{
    return (struct outbox_opts){
        .files = {.path = o->path,
                  .fd = -1,
                  .parts = o->parts,
                  .n_parts = o->n_parts,
                  .max_bytes = o->max_bytes,
                  .min_free = o->min_free,
                  .may_delete = o->part_bytes || o->part_ns || o->n_parts,
                  .sync_ns = o->sync_ns},
        .part_bytes = o->part_bytes,
        .part_ns = o->part_ns,
        .flight = o->flight_bytes ? flight : NULL,
        .zstd_level = (int)o->zstd_level,
        .unit_ns = o->unit_ns,
    };
}

static struct flight_opts flight_of(const struct options *o)
{
    return (struct flight_opts){
        .ring_bytes = o->flight_bytes,
        .ring_ns = o->flight_ns,
        .post_ns = o->post_ns,
        .every_ns = o->every_ns,
        .triggers = {.text = o->triggers.v,
                     .n = o->triggers.n,
                     .disk = -1,
                     .counts_only = o->whom.counts && !o->whom.full.n,
                     .start_ns = host_mono_ns()},
        .say = o->quiet ? NULL : warn,
    };
}

static void say_first_line(const struct options *o)
{
    if (o->quiet)
        return;
    if (o->path == o->default_path)
        kymo_cli_say(TOOL,
                     "writing %s, at most %" PRIu64 " MiB, while %.0f %% of the disk stay free",
                     o->path, o->max_bytes >> 20, 100 * o->min_free);
    if (o->flight_bytes)
        kymo_cli_say(TOOL,
                     "keeping the last %" PRIu64 " MiB in memory; nothing is written before a "
                     "trigger, SIGUSR2 or kymo mark --dump",
                     o->flight_bytes >> 20);
}

static kymo_status open_all(struct capture_opts *c, const struct options *o,
                            struct kymo_err *err)
{
    if (o->part_command) /* first: it is to have nothing of the recorder's */
        KYMO_TRY(hook_open(&c->out.files.hook, o->part_command, err));
    return o->parts ? KYMO_OK : open_output(&c->out.files.fd, o, err);
}

static int record(const struct options *o)
{
    struct capture_result r = {0};
    struct kymo_err err = {0};
    const struct flight_opts flight = flight_of(o);
    struct capture_opts c = {
        .session = {.whom = o->whom,
                    .ring_bytes = o->ring_bytes,
                    .cells = o->whom.counts || o->max_cpu > 0 || o->max_memory_bytes
                                 ? CELLS_OF_CPU
                                 : 0,
                    .wanted_native = o->calls.native,
                    .wanted_compat = o->calls.compat,
                    .btf_path = o->btf},
        .out = output_of(o, &flight),
        .duration_ns = o->duration_ns,
        .tree = o->tree,
        .n_tree = o->pids.n,
        .follow = o->follow,
        .cmd = o->cmd,
        .as = o->as_name ? &o->as : NULL,
        .power = o->power,
        .what = o->what,
        .what_bytes = o->what_bytes,
        .progress =
            isatty(STDERR_FILENO) && !o->no_progress && !o->quiet ? show_progress : NULL,
        .warn = warn,
        .snapshot_ns = o->snapshot_ns,
        .window_ns = o->window_ns,
        .max_cpu = o->max_cpu,
        .max_memory_bytes = o->max_memory_bytes,
    };
    kymo_status s = KYMO_OK;

    if (strcmp(o->redact, "none") != 0)
        s = redact_open(&c.redact, o->key, &err);
    if (!s && c.redact)
        s = redact_open(&c.redact_snapshots, o->key, &err);
    if (!s)
        s = open_all(&c, o, &err);
    if (!s) {
        const int fd = c.out.files.fd;
        say_first_line(o);
        say_who_runs(o);
        s = capture_run(&c, &r, &err);
        if (fd >= 0 && fd != STDOUT_FILENO && close(fd) && !s)
            s = KYMO_FAIL(&err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write: %s",
                          strerror(errno));
        if (!o->parts && (s == KYMO_EHOST || s == KYMO_EUSAGE))
            remove_empty(o->path);
    }
    redact_close(c.redact);
    redact_close(c.redact_snapshots);
    if (!s)
        summarize(o, &r);
    hook_close(c.out.files.hook);
    return kymo_cli_finish(TOOL, NULL, s, &err, s ? 0 : verdict(o, &r));
}

int main(int argc, char **argv)
{
    struct options o;

    power_hold_standard_fds();
    nocore_begin();
    int status = options_parse(&o, argc, argv);

    if (status == KYMO_CLI_GO_ON)
        status = record(&o);
    options_release(&o);
    return status;
}
