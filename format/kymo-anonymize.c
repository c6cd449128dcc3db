/* SPDX-License-Identifier: Apache-2.0
 * kymo-anonymize: a capture that may leave the house: names, paths, addresses, users and pointers
 * replaced by keyed pseudonyms, the same for the same everywhere.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "format/anonymize/keyfile.h"
#include "format/anonymize/rewrite.h"
#include "format/base/file.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/trace/reader.h"
#include "format/trace/writer.h"

#define TOOL "kymo-anonymize"
#define LEVEL 3
#define KEY_ID_BYTES 17

struct opts {
    const char *in, *out, *key;
    struct kymo_opt_list keep;
    bool hides_all, list, force, quiet;
};

struct work {
    const struct opts *o;
    struct kymo_mask mask;
    char key_id[KEY_ID_BYTES];
    kymo_reader *reader;
    struct kymo_names *names;
    struct kymo_rewrite *rewrite;
    struct kymo_writer *writer;
    int is_signed; /* the row that says by which key is written */
    uint64_t n_rows;
};

static volatile sig_atomic_t stop;

static void on_signal(int n)
{
    (void)n;
    stop = 1;
}

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt opt[] = {
        {KYMO_OPT_STR, 'w', "write", "FILE", "the capture to write (- for stdout)", &o->out, 0,
         0},
        {KYMO_OPT_STR, 0, "key", "FILE",
         "the key, made when it is not there (~/.config/kymo/key)", &o->key, 0, 0},
        {KYMO_OPT_LIST, 0, "keep", "FIELD",
         "leave this column as it is, or TABLE.COLUMN; may be given again", &o->keep, 0, 0},
        {KYMO_OPT_FLAG, 0, "all", NULL, "hide marks' names and well-known paths, too",
         &o->hides_all, 0, 0},
        {KYMO_OPT_FLAG, 0, "list", NULL, "print the names that paths keep, and leave", &o->list,
         0, 0},
        {KYMO_OPT_FLAG, 0, "force", NULL, "replace an existing FILE", &o->force, 0, 0},
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "say nothing but errors", &o->quiet, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "replace what a capture tells of its host by keyed pseudonyms",
        .positional = "FILE",
        .positional_max = 1,
        .examples = "  kymo anonymize -w public.kymo prod.kymo\n"
                    "  kymo anonymize --key fleet.key -w a.kymo host-a.kymo\n"
                    "  kymo anonymize --keep comm --keep process.exe -w named.kymo prod.kymo\n"
                    "  kymo anonymize -w - prod.kymo | kymo cat -\n",
        .opt = opt,
        .n_opt = KYMO_COUNT_OF(opt),
    };
    int first;
    const int status = kymo_cli_parse(&cli, argc, argv, &first);
    if (status != KYMO_CLI_GO_ON)
        return status;
    o->in = argv[first];
    if (o->list)
        return KYMO_CLI_GO_ON;
    if (!o->in)
        return kymo_cli_usage(TOOL, "which file?");
    return o->out ? KYMO_CLI_GO_ON : kymo_cli_usage(TOOL, "no -w FILE to write");
}

/* -------- the key -------- */

static kymo_status take_key(struct work *w, struct kymo_err *err)
{
    char path[KYMO_KEYFILE_PATH_MAX];
    const char *key_path = w->o->key;
    uint8_t key[KYMO_SIPHASH_KEY_BYTES];
    int is_new, is_shared;
    if (!key_path) {
        KYMO_TRY(kymo_keyfile_path(path, err));
        key_path = path;
    }
    KYMO_TRY(kymo_keyfile_read(key_path, key, &is_new, &is_shared, err));
    kymo_mask_init(&w->mask, key, w->o->hides_all);
    (void)snprintf(w->key_id, sizeof(w->key_id), "%016" PRIx64, w->mask.key_id);
    if (is_new && !w->o->quiet)
        kymo_cli_say(TOOL, "made a key, %s; keep it secret, and keep it", key_path);
    if (is_shared)
        kymo_cli_say(TOOL, "warning: others than its owner may read the key %s", key_path);
    return KYMO_OK;
}

/* Under one key a pseudonym would get a pseudonym, and the two files would not fit together. */
static kymo_status refuse_again(const struct work *w, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    uint32_t n;
    if (kymo_context_value(b, KYMO_ANONYMIZED_KEY, w->key_id, &n))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%s is anonymized under this key already (%s)", w->o->in, w->key_id);
    if (strcmp(b->schema->table, "features") == 0)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "%s is a matrix; anonymize its capture, then featurize that",
                         w->o->in);
    return KYMO_OK;
}

/* Before anything is written, where the input can be read twice. */
static kymo_status look_ahead(const struct work *w, struct kymo_err *err)
{
    static const char *const context[] = {"context"};
    const struct kymo_batch *b = NULL;
    kymo_reader *r;
    if (strcmp(w->o->in, "-") == 0)
        return KYMO_OK;
    KYMO_TRY(kymo_reader_open(&r, w->o->in, 0, err));
    kymo_status s = kymo_reader_select(r, context, 1, err);
    while (!s && !(s = kymo_reader_next(r, &b, err)) && b)
        s = refuse_again(w, b, err);
    kymo_reader_close(r);
    return s == KYMO_ETORN || s == KYMO_ECORRUPT ? KYMO_OK : s;
}

/* -------- rows -------- */

static kymo_status put_signature(struct work *w, uint64_t ts, struct kymo_err *err)
{
    struct kymo_rows *rows;
    KYMO_TRY(kymo_rows_open(&rows, &KYMO_TABLE_CONTEXT, 1, err));
    const uint32_t i = kymo_rows_add(rows);
    kymo_rows_set(rows, KYMO_CONTEXT_TS, i, ts);
    kymo_rows_set_str(rows, KYMO_CONTEXT_KEY, i, KYMO_ANONYMIZED_KEY,
                      strlen(KYMO_ANONYMIZED_KEY));
    kymo_rows_set_str(rows, KYMO_CONTEXT_VALUE, i, w->key_id, strlen(w->key_id));
    const struct kymo_batch b = kymo_rows_view(rows);
    const kymo_status s = kymo_writer_put(w->writer, &b, 0, err);
    kymo_rows_close(rows);
    w->is_signed = 1;
    return s;
}

static kymo_status put_batch(struct work *w, const struct kymo_batch *b, struct kymo_err *err)
{
    struct kymo_batch masked;
    KYMO_TRY(refuse_again(w, b, err));
    KYMO_TRY(kymo_names_learn(w->names, b, err));
    /* with the first times of the capture, which it then begins with as before */
    if (!w->is_signed && kymo_schema_ts(b->schema) >= 0)
        KYMO_TRY(put_signature(w, b->ts_min_ns, err));
    KYMO_TRY(kymo_rewrite_batch(w->rewrite, b, &masked, err));
    w->n_rows += b->n_rows;
    return kymo_writer_put(w->writer, &masked, kymo_reader_chunk(w->reader)->flags, err);
}

/* Tables without rows, and the end when the input had one. */
static kymo_status put_end(struct work *w, struct kymo_err *err)
{
    const struct kymo_schema *s;
    for (size_t i = 0; i < kymo_reader_schemas(w->reader); i++) {
        KYMO_TRY(kymo_rewrite_schema(w->rewrite, kymo_reader_schema(w->reader, i), &s, err));
        KYMO_TRY(kymo_writer_declare(w->writer, s, err));
    }
    if (!w->is_signed)
        KYMO_TRY(put_signature(w, 0, err));
    return kymo_reader_complete(w->reader) ? kymo_writer_finish(w->writer, err) : KYMO_OK;
}

static kymo_status copy(struct work *w, struct kymo_err *err)
{
    const struct kymo_batch *b = NULL;
    kymo_status s = KYMO_OK;
    do {
        s = kymo_reader_next(w->reader, &b, err);
        if (!s && b)
            s = put_batch(w, b, err);
    } while (!s && b && !stop);
    if (stop)
        return KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE, "stopped by a signal");
    if (s == KYMO_ETORN) {
        kymo_cli_say(TOOL, "%s: %s", w->o->in, err->text);
        s = KYMO_OK;
    }
    return s ? s : put_end(w, err);
}

static kymo_status open_work(struct work *w, int fd, struct kymo_err *err)
{
    KYMO_TRY(kymo_reader_open(&w->reader, w->o->in, 0, err));
    KYMO_TRY(kymo_names_open(&w->names, err));
    KYMO_TRY(
        kymo_rewrite_open(&w->rewrite, &w->mask, w->names, w->o->keep.v, w->o->keep.n, err));
    return kymo_writer_open(&w->writer, fd, w->o->out, LEVEL, err);
}

static void say_end(const struct work *w)
{
    char rows[32];
    for (size_t i = 0; i < w->o->keep.n; i++)
        if (!kymo_rewrite_kept(w->rewrite, i))
            kymo_cli_say(TOOL, "warning: nothing to keep is called %s", w->o->keep.v[i]);
    if (!w->o->quiet)
        kymo_cli_say(TOOL, "%s rows under the key %s",
                     kymo_human_count(rows, sizeof(rows), w->n_rows), w->key_id);
}

static kymo_status run(struct work *w, const char **at, struct kymo_err *err)
{
    struct kymo_out out;
    *at = w->o->in;
    KYMO_TRY(take_key(w, err));
    KYMO_TRY(look_ahead(w, err));
    *at = w->o->out;
    KYMO_TRY(kymo_out_open(&out, w->o->out, w->o->force, err));
    *at = w->o->in;
    kymo_status s = open_work(w, out.fd, err);
    if (!s)
        s = copy(w, err);
    if (!s)
        say_end(w);
    kymo_writer_close(w->writer);
    kymo_rewrite_close(w->rewrite);
    kymo_names_close(w->names);
    kymo_reader_close(w->reader);
    if (!s) {
        *at = w->o->out;
        return kymo_out_commit(&out, err);
    }
    kymo_out_abort(&out);
    return s;
}

int main(int argc, char **argv)
{
    static struct opts o;
    static struct work w;
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    for (size_t i = 0; o.list && kymo_mask_known(i); i++)
        puts(kymo_mask_known(i));
    if (o.list)
        return kymo_cli_finish(TOOL, NULL, KYMO_OK, NULL, KYMO_EXIT_OK);
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    struct kymo_err err = {0};
    const char *at = NULL;
    w.o = &o;
    const kymo_status s = run(&w, &at, &err);
    return kymo_cli_finish(TOOL, at, s, &err, KYMO_EXIT_OK);
}
