/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/perform.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/base/file.h"

struct rehearsal {
    const struct kymo_perform_opts *o;
    const struct kymo_image *image;
    struct kymo_performance *out;
    struct kymo_recording *recording; /* NULL: none */
};

/* The actors stand ready: from here on everything they do is in the recording, or there is none. */
static kymo_status begin_recording(void *arg, pid_t leader, struct kymo_err *err)
{
    struct rehearsal *r = arg;
    if (r->o->verify == KYMO_VERIFY_NEVER)
        return KYMO_OK;
    if (!r->o->original && !r->o->again) {
        snprintf(r->out->unverified, sizeof(r->out->unverified),
                 "a plan has nothing to be compared with; its capture has");
        return KYMO_OK;
    }
    struct kymo_err why = {0};
    const kymo_status s = kymo_recording_begin(&r->recording, leader, &why);
    if (s == KYMO_OK)
        return KYMO_OK;
    r->recording = NULL;
    if (r->o->verify == KYMO_VERIFY_WHERE_POSSIBLE && s == KYMO_EHOST) {
        snprintf(r->out->unverified, sizeof(r->out->unverified), "%s", why.text);
        return KYMO_OK;
    }
    *err = why;
    return s;
}

/* The re-recording, cleaned, in o->again or in memory; the path where it can be read. */
struct kept {
    struct kymo_out file;
    int is_file, fd;
    char path[64];
};

static kymo_status keep(struct kept *k, const char *raw, const struct rehearsal *r,
                        struct kymo_err *err)
{
    k->fd = -1;
    if (r->o->again) {
        KYMO_TRY(kymo_out_open(&k->file, r->o->again, r->o->force, err));
        k->is_file = 1;
    } else if ((k->fd = memfd_create("kymo-again", MFD_CLOEXEC)) < 0) {
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "no memory for the re-recording: %s",
                         strerror(errno));
    }
    const int fd = k->is_file ? k->file.fd : k->fd;
    KYMO_TRY(kymo_recording_clean(raw, r->image, fd, err));
    snprintf(k->path, sizeof(k->path), "/proc/self/fd/%d", fd);
    return KYMO_OK;
}

static kymo_status compare(const struct kept *k, const struct rehearsal *r,
                           struct kymo_err *err)
{
    const struct kymo_perform_opts *o = r->o;
    struct kymo_trace *again = NULL, *control = NULL;
    kymo_status s = kymo_trace_load(&again, k->path, 0, err);
    if (s == KYMO_OK && o->control)
        s = kymo_trace_load(&control, o->control, 0, err);
    if (s == KYMO_OK) {
        const struct kymo_proof_opts p = {
            .image = o->is_synthesis ? NULL : r->image,
            .outcome = r->out->stage.outcome,
            .model = o->model,
            .original_path = o->original_path,
            .again_path = k->path,
            .pace = o->stage.pace,
            .noise_jsd_call = o->noise.jsd_call,
            .noise_jsd_gram = o->noise.jsd_gram,
            .noise_ks = o->noise.ks_gap,
            .control = control,
            .rate = o->rate,
            .state = o->state,
        };
        s = kymo_proof_compare(&r->out->proof, o->original, again, &p, err);
    }
    kymo_trace_free(control);
    kymo_trace_free(again);
    return s;
}

static kymo_status prove(struct rehearsal *r, struct kymo_err *err)
{
    const char *raw;
    KYMO_TRY(kymo_recording_end(r->recording, &raw, err));
    struct kept k = {.fd = -1};
    kymo_status s = keep(&k, raw, r, err);
    if (s == KYMO_OK && r->o->original)
        s = compare(&k, r, err);
    if (k.is_file) {
        if (s == KYMO_OK)
            s = kymo_out_commit(&k.file, err);
        else
            kymo_out_abort(&k.file);
    }
    if (k.fd >= 0)
        close(k.fd);
    return s;
}

kymo_status kymo_perform(struct kymo_performance *out, const struct kymo_image *image,
                         const struct kymo_perform_opts *o, struct kymo_err *err)
{
    *out = (struct kymo_performance){0};
    struct rehearsal r = {.o = o, .image = image, .out = out};
    struct kymo_stage_opts stage = o->stage;
    stage.ready = begin_recording;
    stage.ready_arg = &r;
    kymo_status s = kymo_stage_run(image, &stage, &out->stage, err);
    if (s == KYMO_OK && r.recording)
        s = prove(&r, err);
    kymo_recording_close(r.recording);
    if (s != KYMO_OK)
        kymo_performance_release(out);
    return s;
}

void kymo_performance_release(struct kymo_performance *p)
{
    free(p->stage.outcome);
    kymo_proof_release(&p->proof);
    *p = (struct kymo_performance){0};
}

/* -- the report ------------------------------------------------------------------------------- */

/* The stage's own account, for where nothing recorded it. */
struct account {
    uint64_t issued, ended, alike, injected;
};

static int class_of(int64_t ret)
{
    return ret < 0 && ret >= -4095 ? (int)ret : ret != 0;
}

static struct account account_of(const struct kymo_image *image,
                                 const struct kymo_outcome *outcome)
{
    struct account a = {0};
    const struct kymo_icall *call = kymo_image_at(image, image->call);
    for (uint64_t i = 0; outcome && i < image->call.n; i++) {
        if (call[i].how == KYMO_HOW_SKIP)
            continue;
        a.issued++;
        a.injected += call[i].how == KYMO_HOW_INJECT;
        if (!outcome[i].exit_ns && call[i].how != KYMO_HOW_EXIT)
            continue;
        a.ended++;
        a.alike +=
            call[i].how == KYMO_HOW_EXIT || class_of(outcome[i].ret) == class_of(call[i].ret);
    }
    return a;
}

static const char *end_text(enum kymo_stage_end e)
{
    switch (e) {
    case KYMO_END_DONE:
        return "played to its end";
    case KYMO_END_TIME:
        return "stopped: its time is up";
    case KYMO_END_CPU:
        return "stopped: it used up its CPU time";
    case KYMO_END_MEMORY:
        return "stopped: it used up its memory";
    case KYMO_END_DISK:
        return "stopped: it used up its disk";
    case KYMO_END_STUCK:
        return "stopped: nothing moved any more";
    case KYMO_END_STOPPED:
        return "stopped by a signal";
    case KYMO_END_BROKEN:
        break;
    }
    return "the sandbox broke";
}

static void print_stage(const struct kymo_performance *p, const struct kymo_image *image,
                        FILE *out)
{
    const struct account a = account_of(image, p->stage.outcome);
    const double took_s = (double)(p->stage.end_ns - p->stage.begin_ns) / 1e9;
    fprintf(out, "%s after %.3f s%s%s\n", end_text(p->stage.end), took_s,
            p->stage.why[0] ? ": " : "", p->stage.why);
    fprintf(out,
            "%" PRIu64 " of %" PRIu64 " calls ended, %" PRIu64
            " as recorded by the stage's own account, %" PRIu64
            " injected; 99 %% of them began at most %.3f ms late\n",
            a.ended, a.issued, a.alike, a.injected, (double)p->stage.drift_ns_p99 / 1e6);
    if (p->stage.freed)
        fprintf(out, "%" PRIu64 " calls waited for what did not come and were interrupted\n",
                p->stage.freed);
}

static void print_stage_json(const struct kymo_performance *p, const struct kymo_image *image,
                             FILE *out)
{
    const struct account a = account_of(image, p->stage.outcome);
    fprintf(
        out,
        "{\"kind\":\"run\",\"end\":\"%s\",\"seconds\":%.9f,\"span_s\":%.9f,\"calls\":%" PRIu64
        ",\"ended\":%" PRIu64 ",\"alike\":%" PRIu64 ",\"injected\":%" PRIu64
        ",\"freed\":%" PRIu64 ",\"late_p99_ns\":%" PRIu64 ",\"cpu_s\":%.9f}\n",
        end_text(p->stage.end), (double)(p->stage.end_ns - p->stage.begin_ns) / 1e9,
        (double)image->span_ns / 1e9, a.issued, a.ended, a.alike, a.injected, p->stage.freed,
        p->stage.drift_ns_p99, (double)p->stage.cpu_ns / 1e9);
}

void kymo_performance_print(const struct kymo_performance *p, const struct kymo_image *image,
                            const struct kymo_perform_opts *o, FILE *out)
{
    if (o->form == KYMO_PROOF_TEXT)
        print_stage(p, image, out);
    else if (o->form == KYMO_PROOF_JSONL)
        print_stage_json(p, image, out);
    if (p->proof.n)
        kymo_proof_print(&p->proof, o->original, o->form, out);
    else if (p->unverified[0] && o->form == KYMO_PROOF_TEXT)
        fprintf(out, "not verified: %s\n", p->unverified);
}

int kymo_performance_exit(const struct kymo_performance *p)
{
    enum { DONE = 0, DEVIATED = 1, INCONCLUSIVE = 7, GUARD = 8 };
    switch (p->stage.end) {
    case KYMO_END_DONE:
        break;
    case KYMO_END_TIME:
    case KYMO_END_CPU:
    case KYMO_END_MEMORY:
    case KYMO_END_DISK:
    case KYMO_END_STUCK:
        return GUARD;
    case KYMO_END_STOPPED:
    case KYMO_END_BROKEN:
        return INCONCLUSIVE;
    }
    if (!p->proof.n)
        return DONE;
    return p->proof.verdict > 0 ? DONE : p->proof.verdict == 0 ? DEVIATED : INCONCLUSIVE;
}
