/* SPDX-License-Identifier: Apache-2.0
 * nocore.h: the recorder's memory holds other programs' secrets before they are hidden: no core of it
 * is written, and no program of its user may look into it.
 */
#ifndef KYMO_RECORD_NOCORE_H
#define KYMO_RECORD_NOCORE_H

/* At the start, and again after ids or capabilities changed, which undoes it. */
void nocore_begin(void);
/* In a child, before it becomes another program: that one has its caller's limit. */
void nocore_end(void);

#endif
