/* SPDX-License-Identifier: Apache-2.0
 * perfetto.h: a capture as a trace that Perfetto's UI and its trace processor open: a track for
 * each thread with a slice for each system call, marks as instants on a track of their own.
 */
#ifndef KYMO_EXPORT_PERFETTO_H
#define KYMO_EXPORT_PERFETTO_H

#include "format/export/walk.h"

struct kymo_perfetto; /* owned: _open, _close */

/* fd borrowed; name for messages. */
KYMO_MUST_USE kymo_status kymo_perfetto_open(struct kymo_perfetto **out, int fd,
                                             const char *name, struct kymo_err *err);
void kymo_perfetto_close(struct kymo_perfetto *p);
struct kymo_export_sink kymo_perfetto_sink(struct kymo_perfetto *p);
KYMO_MUST_USE kymo_status kymo_perfetto_finish(struct kymo_perfetto *p, struct kymo_err *err);

#endif
