/* SPDX-License-Identifier: Apache-2.0
 * kymo-check: walks the whole of a capture, decodes all of it, and says exactly what is wrong
 * where.
 */
#include <inttypes.h>
#include <string.h>

#include "format/cli/cli.h"
#include "format/trace/reader.h"

#define TOOL "kymo-check"

struct totals {
    uint64_t chunks, rows, bytes;
};

/* errors ECORRUPT: a row of losses whose parts do not make its whole. */
static kymo_status check_loss(const struct kymo_batch *b, struct kymo_err *err)
{
    static const char *const part[] = {"stored",         "filtered",      "dropped_ring",
                                       "dropped_nested", "dropped_queue", "dropped_quota",
                                       "aggregated",     "sampled"};
    const int seen = kymo_batch_column(b, "seen");
    if (strcmp(kymo_batch_table(b), KYMO_TABLE_LOSS.table) != 0 || seen < 0)
        return KYMO_OK;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < sizeof(part) / sizeof(part[0]); k++) {
            const int c = kymo_batch_column(b, part[k]);
            if (c >= 0 && kymo_batch_present(b, (uint32_t)c, i))
                sum += kymo_batch_u64(b, (uint32_t)c, i);
        }
        const uint64_t whole = kymo_batch_u64(b, (uint32_t)seen, i);
        if (sum != whole)
            return KYMO_FAIL(err, KYMO_ECORRUPT, b->at_bytes,
                             "loss row %" PRIu32 ": %" PRIu64 " events seen, but %" PRIu64
                             " stored, filtered, counted and dropped",
                             i, whole, sum);
    }
    return KYMO_OK;
}

static kymo_status walk(kymo_reader *r, struct totals *t, struct kymo_err *err)
{
    struct kymo_chunk_header h;
    const char *table;
    int done = 0;
    for (;;) {
        KYMO_TRY(kymo_reader_skim(r, &h, &table, 1, &done, err));
        t->bytes = kymo_reader_at(r);
        if (done)
            return KYMO_OK;
        t->chunks++;
        t->rows += h.n_rows;
        if (kymo_reader_batch(r))
            KYMO_TRY(check_loss(kymo_reader_batch(r), err));
    }
}

/* One line a file on stdout: what is good, or what is wrong where. */
static int report(const char *path, kymo_status s, const struct kymo_err *err,
                  const struct totals *t, int complete, bool quiet)
{
    char bytes[32], rows[32];
    kymo_human_bytes(bytes, sizeof(bytes), t->bytes);
    kymo_human_count(rows, sizeof(rows), t->rows);
    if (s == KYMO_OK && quiet)
        return KYMO_EXIT_OK;
    kymo_print_safe(stdout, path, strlen(path));
    if (s == KYMO_OK) {
        printf(": good: %s rows in %" PRIu64 " chunks, %s, %s\n", rows, t->chunks, bytes,
               complete ? "complete"
                        : "whole chunks to its end, but its writer did not finish");
        return KYMO_EXIT_OK;
    }
    if (s == KYMO_ETORN) {
        printf(": torn at byte %" PRIu64 ": ", err->at_bytes);
        kymo_print_safe(stdout, err->text, strlen(err->text));
        printf("; %s rows in %" PRIu64 " chunks are good\n", rows, t->chunks);
        return KYMO_EXIT_FINDING;
    }
    if (err->at_bytes == KYMO_NOWHERE)
        printf(": bad: ");
    else
        printf(": bad at byte %" PRIu64 ": ", err->at_bytes);
    kymo_print_safe(stdout, err->text, strlen(err->text));
    putchar('\n');
    return kymo_cli_exit(s);
}

static int check(const char *path, uint64_t memory_bytes, bool quiet)
{
    struct kymo_err err = {0};
    struct totals t = {0};
    kymo_reader *r = NULL;
    kymo_status s = kymo_reader_open(&r, path, (size_t)memory_bytes, &err);
    if (!s)
        s = walk(r, &t, &err);
    const int status = report(path, s, &err, &t, r && kymo_reader_complete(r), quiet);
    kymo_reader_close(r);
    return status;
}

int main(int argc, char **argv)
{
    bool quiet = false;
    uint64_t memory_bytes = 0;
    int first;
    const struct kymo_opt opt[] = {
        {.kind = KYMO_OPT_FLAG,
         .short_name = 'q',
         .long_name = "quiet",
         .help = "say nothing about files that are good",
         .to = &quiet},
        {.kind = KYMO_OPT_BYTES,
         .long_name = "memory-bytes",
         .arg = "SIZE",
         .help = "call a chunk that needs more memory than this too large (256M)",
         .to = &memory_bytes,
         .min = 1 << 20,
         .max = 1e12},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "verify a capture or a matrix, byte for byte",
        .positional = "FILE...",
        .positional_max = SIZE_MAX,
        .examples = "  kymo check prod.kymo\n"
                    "  kymo check -q *.kymo && echo all good\n"
                    "  ssh host cat prod.kymo | kymo check -\n",
        .opt = opt,
        .n_opt = sizeof(opt) / sizeof(opt[0]),
    };
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (first == argc)
        return kymo_cli_usage(TOOL, "which file?");
    int worst = KYMO_EXIT_OK;
    for (int i = first; i < argc; i++) {
        const int status = check(argv[i], memory_bytes, quiet);
        worst = status > worst ? status : worst;
    }
    return kymo_cli_finish(TOOL, NULL, KYMO_OK, NULL, worst);
}
