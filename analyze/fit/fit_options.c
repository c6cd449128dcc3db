/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/fit/fit_options.h"

#include <string.h>

#include "analyze/fit/fit_ranks.h"
#include "analyze/fit/progress.h"
#include "format/base/file.h"

int kymo_fit_parse(const struct kymo_cli *cli, int argc, char **argv, struct kymo_fit_opts *o)
{
    int first;
    const int usage = kymo_cli_parse(cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (first < argc && o->in)
        return kymo_cli_usage(cli->tool, "one matrix, please: both -r and %s were given",
                              argv[first]);
    if (first < argc) {
        o->in = argv[first];
        o->parts = (const char *const *)argv + first;
        o->n_parts = (size_t)(argc - first);
    }
    if (!o->in)
        return kymo_cli_usage(cli->tool, "no matrix to read");
    if (!o->out)
        return kymo_cli_usage(cli->tool, "no -w FILE to write the model to");
    if (o->json && strcmp(o->out, "-") == 0)
        return kymo_cli_usage(cli->tool, "--json and -w - both want standard output");
    return KYMO_CLI_GO_ON;
}

static kymo_status run_all(struct kymo_fit *f, kymo_fit_run run, void *ctx,
                           struct kymo_err *err)
{
    struct kymo_out probe; /* refuse an existing output before the work, not after */
    if (!kymo_fit_speaks(f))
        return run(f, ctx, err);
    KYMO_TRY(kymo_out_open(&probe, f->o->out, f->o->force, err));
    kymo_out_abort(&probe);
    return run(f, ctx, err);
}

int kymo_fit_main(const struct kymo_fit_opts *o, const char *tool, kymo_fit_run run, void *ctx)
{
    struct kymo_err err = {0};
    struct kymo_fit f;
    kymo_fit_open(&f, o, tool);
    kymo_status s = o->mpi ? kymo_processes_open(&f.ranks, &err) : KYMO_OK;
    if (!o->mpi) /* processes have to go on alike: none of them stops by itself */
        kymo_progress_open(!o->quiet && !o->no_progress);
    if (!s)
        s = run_all(&f, run, ctx, &err);
    kymo_progress_end();
    const struct kymo_ranks *ranks = f.ranks;
    const int stopped = (int)*kymo_progress_stop();
    const int finding = stopped && !f.model.finished ? 128 + stopped : KYMO_EXIT_OK;
    const int status = kymo_cli_finish(tool, f.at, s, &err, finding);
    kymo_fit_close(&f);
    if (ranks && status)
        ranks->leave(status);
    if (ranks)
        ranks->end();
    return status;
}
