/* SPDX-License-Identifier: Apache-2.0
 * kymo-mark: name a moment or a span in a running capture.
 */
#include <string.h>

#include "format/base/size.h"
#include "format/cli/cli.h"
#include "record/control.h"
#include "record/host.h"

#define TOOL "kymo-mark"
#define SPAN_NS_MAX 31557600e9 /* a year */

int main(int argc, char **argv)
{
    const uint64_t now = host_mono_ns(); /* first: the moment is when the user asked */
    uint64_t span_ns = 0, to = 0;
    bool begin = false, end = false, dump = false;
    const struct kymo_opt rows[] = {
        {KYMO_OPT_TIME, 0, "for", "TIME", "a span that begins now and lasts so long", &span_ns,
         1, SPAN_NS_MAX},
        {KYMO_OPT_FLAG, 0, "begin", NULL, "a span begins", &begin, 0, 0},
        {KYMO_OPT_FLAG, 0, "end", NULL, "the span of this name ends", &end, 0, 0},
        {KYMO_OPT_FLAG, 0, "dump", NULL,
         "ask a flight recorder to write what it holds and what follows (default NAME: dump)",
         &dump, 0, 0},
        {KYMO_OPT_U64, 0, "to", "PID", "the recorder to tell, when several run", &to, 1,
         INT32_MAX},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "name a moment or a span in a running capture",
        .positional = "[NAME]",
        .positional_max = 1,
        .examples = "  kymo mark deploy-42                 a moment\n"
                    "  kymo mark backup                    a span, when kymo mark backup --end "
                    "follows\n"
                    "  kymo mark storm --for 30s           a span of known length\n"
                    "  kymo mark --dump slow-login         what happened just now, to a file\n",
        .opt = rows,
        .n_opt = KYMO_COUNT_OF(rows),
    };
    struct kymo_err err = {0};
    int first;
    const int e = kymo_cli_parse(&cli, argc, argv, &first);

    if (e != KYMO_CLI_GO_ON)
        return e;
    if (first == argc && !dump)
        return kymo_cli_usage(TOOL, "a mark needs a NAME");
    const char *name = first < argc ? argv[first] : "dump";
    if (begin + end + dump + (span_ns > 0) > 1)
        return kymo_cli_usage(TOOL, "--for, --begin, --end and --dump exclude each other");
    if (!*name || strlen(name) > CONTROL_NAME_MAX || strpbrk(name, "\n\r"))
        return kymo_cli_usage(TOOL, "a NAME is 1 to %u bytes on one line", CONTROL_NAME_MAX);
    const struct control_mark m = {
        .kind = begin  ? "begin"
                : end  ? "end"
                : dump ? "trigger"
                       : "point",
        .name = name,
        .ts_ns = now,
        .dur_ns = span_ns ? span_ns : CONTROL_DUR_NONE,
    };
    return kymo_cli_finish(TOOL, NULL, control_send_mark(&m, (pid_t)to, &err), &err, 0);
}
