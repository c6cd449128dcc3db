/* SPDX-License-Identifier: Apache-2.0
 * options.h: the recorder's command line, and what the kernel side understands of it.
 */
#ifndef KYMO_RECORD_OPTIONS_H
#define KYMO_RECORD_OPTIONS_H

#include "format/cli/cli.h"
#include "record/callset.h"
#include "record/follow.h"
#include "record/power.h"
#include "record/users.h"

#define TOOL "kymo-record"

struct options {
    const char *path, *syscalls, *filter, *level, *full, *btf, *drop_to, *as_name;
    uint64_t window_ns, max_memory_bytes;
    double max_cpu;
    const char *redact, *key;
    uint64_t duration_ns, max_bytes, ring_bytes, zstd_level, unit_ns, snapshot_ns;
    uint64_t part_bytes, part_ns, n_parts, sync_ns;
    uint64_t flight_bytes, flight_ns, post_ns, every_ns; /* of the flight recorder */
    const char *part_command;
    struct kymo_opt_list triggers;
    double min_free, max_loss;
    struct kymo_opt_list pids, users, cgroups, containers, comms;
    bool everything, wait, force, pass_status, quiet, no_progress;
    char *const *cmd;
    char default_path[160];

    /* What they mean, made by options_parse. */
    struct kymo_whom whom;
    uint32_t tree[KYMO_LIST_MAX]; /* -p */
    struct callset calls;
    struct follow_opts follow;
    struct power_plan power;
    struct user as;
    bool parts;
    char *what; /* the arguments, a NUL behind each; freed by options_release */
    size_t what_bytes;
};

/*
 * Parse and check the whole command line.
 * returns  KYMO_CLI_GO_ON, or the exit status to leave with
 */
int options_parse(struct options *o, int argc, char **argv);
void options_release(struct options *o);

#endif
