/* SPDX-License-Identifier: Apache-2.0
 * machine.h: which machine this is, in the words of a capture.
 */
#ifndef KYMO_PLAN_MACHINE_H
#define KYMO_PLAN_MACHINE_H

#include "format/trace/sysname.h"

#if defined(__x86_64__)
#define KYMO_ARCH_HERE KYMO_ARCH_X86_64
#elif defined(__aarch64__)
#define KYMO_ARCH_HERE KYMO_ARCH_AARCH64
#else
#error "replay knows x86-64 and arm64"
#endif

#endif
