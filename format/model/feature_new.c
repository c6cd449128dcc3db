/* SPDX-License-Identifier: Apache-2.0
 * feature_new.c: what the spec's vocabulary does not have.
 *
 * "New" is outside of what was frozen into the spec. Without a vocabulary nothing is: that a path was
 * not seen before in this capture says where the capture begins, not what the host does, so that a
 * model of it would judge the first minutes of every capture bad. These columns are 0 then.
 */
#include <stdio.h>

#include "format/model/feature_places.h"

enum {
    COL_PATHS,
    COL_PEERS,
    COL_EXES,
    COL_PATH_CALLS,
    COL_PEER_CALLS,
    COL_SEQUENCES,
    COL_COUNT
};

static void new_column(size_t i, struct kymo_feature_column *out)
{
    static const char *const name[COL_COUNT] = {"paths",      "peers",      "executables",
                                                "path.calls", "peer.calls", "sequences"};
    const uint32_t from = i == COL_EXES ? KYMO_FROM_PROCESSES : KYMO_FROM_CALLS;
    kymo_column_set(out, "new.", name[i], "", i < COL_PATH_CALLS ? "" : "share",
                    i < COL_PATH_CALLS ? KYMO_BEND_LOG1P : KYMO_BEND_SQRT,
                    from | KYMO_FROM_KNOWN);
}

static void new_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    static const char *const what[COL_COUNT] = {
        "different paths outside of the vocabulary",
        "different peers outside of the vocabulary",
        "different executables outside of the vocabulary that were begun",
        "share of the calls that named a path whose path is outside of the vocabulary",
        "share of the calls that named a peer whose peer is outside of the vocabulary",
        "share of the triples of a thread's calls that are outside of the vocabulary",
    };
    snprintf(buf, KYMO_ABOUT_BYTES, "%s (--fit-on)", what[i]);
}

static void new_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    (void)acc;
    const struct kymo_places *p = kymo_places(f);
    for (int k = 0; k < KYMO_PLACE_KINDS; k++) {
        const struct kymo_place_sums *s = &p->of[k];
        x[COL_PATHS + k] = s->new_met.n;
        x[COL_PATH_CALLS + k] = s->calls ? (double)s->new_calls / (double)s->calls : 0;
    }
    x[COL_EXES] = kymo_new_exes(f);
    x[COL_SEQUENCES] = kymo_new_sequences(f);
}

const struct kymo_feature_group kymo_group_new = {
    .name = "new",
    .factor = 0.7,
    .n_columns = COL_COUNT,
    .column = new_column,
    .about = new_about,
    .finish = new_finish,
};
